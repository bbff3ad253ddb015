//! Object files and headers: read back for every target and format, and, where this machine can, linked with C and run.

use object::read::{Object as _, ObjectSection as _, ObjectSymbol as _};
use object::{
    Architecture, BinaryFormat, File, RelocationFlags, RelocationTarget, SectionKind, SymbolKind,
    elf, macho, pe,
};
use patchjit::stencil::{Distances, StencilSet};
use patchjit_cli::module::Module;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const FORMATS: [(&str, BinaryFormat); 3] = [
    ("elf", BinaryFormat::Elf),
    ("macho", BinaryFormat::MachO),
    ("coff", BinaryFormat::Coff),
];

/// The functions of the program as C names them, in its order.
const FUNCTIONS: [&str; 8] = [
    "add",
    "triple",
    "half",
    "divide",
    "choose",
    "call_2e_host",
    "mem_2e_exchange",
    "letter",
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/objects")
}

/// What `compile` writes of the sample; or its exit status and what it says.
fn compile(arguments: &[&str]) -> Result<Vec<u8>, (i32, String)> {
    let ran = Command::new(env!("CARGO_BIN_EXE_patchjit"))
        .arg("compile")
        .arg(folder().join("sample.uop"))
        .args(arguments)
        .output();
    let Output {
        status,
        stdout,
        stderr,
    } = ran.unwrap();
    if status.success() {
        return Ok(stdout);
    }
    let errors = String::from_utf8(stderr).unwrap();
    Err((status.code().unwrap_or(-1), errors))
}

/// The architecture's name, and whether a relocation puts the address of a symbol into 64 bits.
fn expected(set: &StencilSet, flags: RelocationFlags) -> (Architecture, bool) {
    let (architecture, in_elf, in_macho, in_coff) = match set.distances {
        Distances::Bytes32 => (
            Architecture::X86_64,
            elf::R_X86_64_64,
            Some(macho::X86_64_RELOC_UNSIGNED),
            Some(pe::IMAGE_REL_AMD64_ADDR64),
        ),
        Distances::Fields => (
            Architecture::Aarch64,
            elf::R_AARCH64_ABS64,
            Some(macho::ARM64_RELOC_UNSIGNED),
            Some(pe::IMAGE_REL_ARM64_ADDR64),
        ),
        // In other formats there are none.
        Distances::Scattered => (Architecture::Riscv64, elf::R_RISCV_64, None, None),
    };
    let absolute = match flags {
        RelocationFlags::Elf { r_type } => r_type == in_elf,
        RelocationFlags::MachO {
            r_type,
            r_pcrel,
            r_length,
        } => Some(r_type) == in_macho && !r_pcrel && r_length == 3,
        RelocationFlags::Coff { typ } => Some(typ) == in_coff,
        _ => false,
    };
    (architecture, absolute)
}

#[test]
fn objects_read_back() {
    for set in patchjit_stencils::ALL {
        let code = compile(&["--target", set.target]).unwrap();
        for (name, format) in FORMATS {
            let what = format!("{name}, {}", set.target);
            let arguments = ["--target", set.target, "--emit", "obj", "--format", name];
            if set.distances == Distances::Scattered && format != BinaryFormat::Elf {
                let (status, message) = compile(&arguments).unwrap_err();
                assert!(status == 2 && message.contains("architecture"), "{message}");
                continue;
            }
            let bytes = compile(&arguments).unwrap();
            assert!(bytes == compile(&arguments).unwrap(), "{what}: two runs");
            read_back(&bytes, &code, set, format, &what);
        }
    }
}

fn read_back(bytes: &[u8], code: &[u8], set: &StencilSet, format: BinaryFormat, what: &str) {
    let file = File::parse(bytes).unwrap();
    assert_eq!(file.format(), format, "{what}");
    assert!(file.is_little_endian(), "{what}");

    let mut sections = file
        .sections()
        .filter(|section| section.kind() == SectionKind::Text);
    let text = sections.next().unwrap();
    assert!(sections.next().is_none(), "{what}");
    assert!(text.data().unwrap() == code, "{what}: the code's bytes");
    assert_eq!(text.align(), 16, "{what}");
    assert_eq!(text.relocations().count(), 0, "{what}");

    let underscore = if format == BinaryFormat::MachO {
        "_"
    } else {
        ""
    };
    let symbol = |name: &str| {
        let name = format!("{underscore}{name}");
        let mut found = file.symbols().filter(|symbol| symbol.name() == Ok(&name));
        let symbol = found
            .next()
            .unwrap_or_else(|| panic!("{what}: no symbol {name}"));
        assert!(found.next().is_none(), "{what}: {name} twice");
        symbol
    };
    for (index, name) in FUNCTIONS.iter().enumerate() {
        let entry = symbol(&format!("sample_{name}"));
        assert!(entry.is_global() && entry.is_definition(), "{what}: {name}");
        assert_eq!(entry.kind(), SymbolKind::Text, "{what}: {name}");
        assert_eq!(entry.section_index(), Some(text.index()), "{what}: {name}");
        let body = symbol(&format!("sample_{name}.body"));
        assert!(body.is_local(), "{what}: {name}");
        assert_eq!(body.section_index(), Some(text.index()), "{what}: {name}");
        assert!(entry.address() < body.address(), "{what}: {name}");
        if format == BinaryFormat::Elf {
            let end = entry.address() + entry.size();
            assert_eq!(end, body.address(), "{what}: {name}");
            let end = body.address() + body.size();
            let next = FUNCTIONS.get(index + 1);
            let next = next.map_or(code.len() as u64, |next| {
                symbol(&format!("sample_{next}")).address()
            });
            assert!(body.size() > 0 && end <= next, "{what}: {name}");
        }
    }
    for host in ["mix", "host_2e_log"] {
        assert!(symbol(host).is_undefined(), "{what}: {host}");
    }
    let undefined = file.symbols().filter(|symbol| symbol.is_undefined());
    let undefined = undefined.filter(|symbol| symbol.name() != Ok(""));
    assert_eq!(undefined.count(), 2, "{what}");

    // Each word of the tables: an address, or a number.
    let hosts = symbol("sample_hosts");
    let cells = symbol("sample_cells");
    let section = hosts.section_index().unwrap();
    assert!(hosts.is_global() && cells.is_global(), "{what}");
    assert_eq!(cells.section_index(), Some(section), "{what}");
    let section = file.section_by_index(section).unwrap();
    assert_eq!(section.align(), 8, "{what}");
    let start = |address: u64| address - section.address();
    let mut places: Vec<(u64, String)> = Vec::new();
    for (offset, relocation) in section.relocations() {
        let (architecture, absolute) = expected(set, relocation.flags());
        assert_eq!(file.architecture(), architecture, "{what}");
        assert!(absolute, "{what}: {relocation:?}");
        let RelocationTarget::Symbol(target) = relocation.target() else {
            panic!("{what}: {relocation:?}");
        };
        let name = file.symbol_by_index(target).unwrap().name().unwrap();
        places.push((offset, name.to_owned()));
    }
    places.sort();
    let mut wanted = Vec::new();
    for (index, host) in ["mix", "host_2e_log"].iter().enumerate() {
        let at = start(hosts.address()) + 8 * index as u64;
        wanted.push((at, format!("{underscore}{host}")));
    }
    let data = section.data().unwrap();
    let module = Module::load(&folder().join("sample.uop")).unwrap();
    for (index, function) in FUNCTIONS.iter().enumerate() {
        let at = start(cells.address()) + 16 * index as u64;
        wanted.push((at, format!("{underscore}sample_{function}.body")));
        let number = &data[at as usize + 8..][..8];
        let number = u64::from_le_bytes(number.try_into().unwrap());
        let signature = module.program().functions[index].signature;
        assert_eq!(number, u64::from(signature), "{what}: {function}");
    }
    wanted.sort();
    assert_eq!(places, wanted, "{what}");
    if format == BinaryFormat::Elf {
        assert_eq!((hosts.size(), cells.size()), (16, 128), "{what}");
        // Its name is what linkers look for; no flag asks for a stack that is executable.
        let note = file.section_by_name(".note.GNU-stack").unwrap();
        let object::SectionFlags::Elf { sh_flags, .. } = note.flags() else {
            panic!("{what}");
        };
        assert!(!sh_flags.contains(elf::SHF_EXECINSTR), "{what}");
    }
}

#[test]
fn programs_without_tables_have_none() {
    let folder = Folder::new("plain");
    let path = folder.0.join("plain.uop");
    std::fs::write(&path, "func @f() {\nentry:\n    return\n}\n").unwrap();
    let write = |emit: &str| {
        let arguments = ["--target", "x86_64-sysv", "--emit", emit];
        let ran = Command::new(env!("CARGO_BIN_EXE_patchjit"))
            .arg("compile")
            .arg(&path)
            .args(arguments)
            .output();
        ran.unwrap().stdout
    };
    let bytes = write("obj");
    let file = File::parse(&*bytes).unwrap();
    let names = file.symbols().map(|symbol| symbol.name().unwrap());
    let names: Vec<_> = names.filter(|name| !name.is_empty()).collect();
    assert_eq!(names, ["plain_f.body", "plain_f"]);
    let header = String::from_utf8(write("header")).unwrap();
    assert!(
        header.contains("uint32_t PATCHJIT_CALL plain_f("),
        "{header}"
    );
    assert!(!header.contains("extern const"), "{header}");
}

#[test]
fn bad_combinations_are_status_2() {
    for (arguments, what) in [
        (
            &["--format", "macho"][..],
            "--format goes with --emit obj only",
        ),
        (
            &["--emit", "header", "--format", "elf"],
            "--format goes with --emit obj only",
        ),
        (&["--emit", "asm", "--prefix", "a_"], "--prefix goes with"),
        (&["--emit", "obj", "--prefix", "1a"], "no name in C"),
        (&["--emit", "obj", "--format", "a.out"], "coff"),
    ] {
        let (status, errors) = compile(arguments).unwrap_err();
        assert_eq!(status, 2, "{arguments:?}");
        assert!(errors.starts_with("error: "), "{errors}");
        assert!(errors.contains(what), "{errors}");
    }
}

/// A folder that is removed with the value.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let name = format!("patchjit-objects-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Whether there is a C compiler for what this machine runs, which the objects here are for; says so if not.
fn has_cc() -> bool {
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        eprintln!("not run: this machine is not x86-64 Linux");
        return false;
    }
    let found = Command::new("cc").arg("--version").output().is_ok();
    if !found {
        eprintln!("not run: there is no cc");
    }
    found
}

/// Runs a command that must succeed; gives what it prints.
fn run(command: &mut Command) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let text = String::from_utf8_lossy(&stdout).into_owned();
    let errors = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{command:?}: {text}{errors}");
    text
}

/// `ci/objects.sh` does the same for AArch64. The compiler knows both conventions of x86-64.
#[test]
fn linked_with_c() {
    if has_cc() {
        link_with_c("x86_64-sysv");
        link_with_c("x86_64-windows");
    }
}

fn link_with_c(target: &str) {
    let build = Folder::new(target);
    let harness = build.0.join("harness");
    for (name, prefix) in [("sample", "sample_"), ("other", "other_")] {
        for (emit, ending) in [("obj", "o"), ("header", "h")] {
            let arguments = ["--target", target, "--prefix", prefix, "--emit"];
            let bytes = compile(&[&arguments[..], &[emit]].concat()).unwrap();
            std::fs::write(build.0.join(name).with_extension(ending), bytes).unwrap();
        }
    }
    // Position-independent, and the tables read-only once they are filled in; no warning of an executable stack.
    run(Command::new("cc")
        .args(["-std=c11", "-pedantic", "-Wall", "-Wextra", "-Werror"])
        .args(["-pie", "-Wl,-z,text", "-Wl,--fatal-warnings"])
        .arg("-I")
        .arg(&build.0)
        .arg("-o")
        .arg(&harness)
        .arg(folder().join("harness.c"))
        .args(["sample.o", "other.o"].map(|name| build.0.join(name))));
    assert_eq!(run(&mut Command::new(&harness)), "all as it should be\n");
    if Command::new("c++").arg("--version").output().is_err() {
        eprintln!("not compiled as C++: there is no c++");
        return;
    }
    run(Command::new("c++")
        .args(["-x", "c++", "-std=c++11", "-pedantic", "-Wall", "-Wextra"])
        .args(["-Werror", "-fsyntax-only", "-I"])
        .arg(&build.0)
        .arg(folder().join("harness.c")));
}

/// The front page's C program, with the object and the header of the commands above it.
#[test]
fn the_front_page_s_program() {
    if !has_cc() {
        return;
    }
    let page = include_str!("../../../README.md");
    let (_, section) = page.split_once("## Ahead of time").unwrap();
    let block = |language: &str| {
        let (_, block) = section.split_once(&format!("```{language}\n")).unwrap();
        block.split_once("```").unwrap().0
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let build = Folder::new("page");
    for command in block("sh").lines() {
        let (_, arguments) = command.split_once(" -- ").unwrap();
        let (arguments, output) = arguments.split_once(" -o ").unwrap();
        run(Command::new(env!("CARGO_BIN_EXE_patchjit"))
            .args(arguments.split(' '))
            .arg("-o")
            .arg(build.0.join(output))
            .current_dir(&root));
    }
    std::fs::write(build.0.join("main.c"), block("c")).unwrap();
    run(Command::new("cc")
        .args(["main.c", "collatz.o"])
        .current_dir(&build.0));
    let printed = run(&mut Command::new(build.0.join("a.out")));
    assert!(section.contains(&format!("prints `{}`", printed.trim_end())));
}
