//! Golden files: each stage of the pipeline has a folder under `filetests/`, each behaviour a small program
//! in it, and beside it the exact output that is expected.
//!
//! `BLESS=1 cargo test -p patchjit-tests --test filetests` rewrites the expected output; read the difference
//! before it is committed.

use patchjit::code::CodeBuffer;
use patchjit::compile::Options;
use patchjit::error::Error;
use patchjit::ir::NONE;
use patchjit::optimize::{self, Pass, Passes};
use patchjit::stencil::StencilSet;
use patchjit_cli::disassemble;
use patchjit_cli::engine::Compilation;
use patchjit_stencils::{AARCH64_AAPCS, RISCV64_LP64D, X86_64_SYSV};
use patchjit_tests::programs;
use std::fs;
use std::path::{Path, PathBuf};

/// What a stage makes of a source.
type Stage = fn(&str) -> String;

/// Every stage, by the name of its folder, and how the names of its golden files end.
const STAGES: &[(&str, &str, Stage)] = &[
    ("parse", "expected", parse),
    ("print", "expected", print),
    ("verify", "expected", verify),
    ("optimize", "expected", optimize),
    ("compile", "expected", |source| {
        compile(source, &X86_64_SYSV)
    }),
    ("compile", "aarch64", |source| {
        compile(source, &AARCH64_AAPCS)
    }),
    ("compile", "riscv64", |source| {
        compile(source, &RISCV64_LP64D)
    }),
];

/// The error, or that there is none.
fn parse(source: &str) -> String {
    match patchjit_text::parse(source) {
        Ok(_) => "well formed\n".to_string(),
        Err(error) => format!("{error}\n"),
    }
}

/// The canonical text with names, then without.
fn print(source: &str) -> String {
    match patchjit_text::parse(source) {
        Ok(module) => {
            let bare = patchjit_text::print(&module.program(), None);
            format!("{module}\n; without names\n\n{bare}")
        }
        Err(error) => format!("{error}\n"),
    }
}

/// The rule that the program breaks and where in the text, or what the verifier found out.
fn verify(source: &str) -> String {
    let module = match patchjit_text::parse(source) {
        Ok(module) => module,
        Err(error) => return format!("not read: {error}\n"),
    };
    let program = module.program();
    let mut workspace = vec![0xdead_beef; patchjit::verify::workspace_words(&program)];
    match patchjit::verify::verify(program, &mut workspace) {
        Ok(verified) => {
            let contained = if verified.is_contained() {
                "contained"
            } else {
                "not contained"
            };
            format!("valid, {contained}, size {}\n", verified.size())
        }
        Err(Error::Invalid { rule, place }) => {
            let function = place.function().unwrap_or(NONE);
            let block = place.block().unwrap_or(NONE);
            let op = place.op().unwrap_or(NONE);
            match module.place_of(function, block, op) {
                Some((line, column)) => format!("{line}:{column}: error: {rule}\n"),
                None => format!("error: {place}: {rule}\n"),
            }
        }
        Err(error) => format!("error: {error}\n"),
    }
}

/// The program optimized with the passes that the first line names, `; passes: a, b`, and how many steps each of them made.
fn optimize(source: &str) -> String {
    let header = source
        .lines()
        .next()
        .and_then(|line| line.strip_prefix("; passes: "));
    let Some(header) = header else {
        return "the first line names no passes\n".to_string();
    };
    let mut passes = if header == "all" {
        Passes::ALL
    } else {
        Passes::NONE
    };
    if header != "all" {
        for name in header.split(", ") {
            let Some(pass) = Pass::from_name(name) else {
                return format!("no pass `{name}`\n");
            };
            passes = passes.with(pass);
        }
    }
    let module = match patchjit_text::parse(source) {
        Ok(module) => module,
        Err(error) => return format!("not read: {error}\n"),
    };
    let options = optimize::Options { passes, fuel: None };
    match programs::optimized(&module, &options) {
        Ok((mut optimized, report)) => {
            optimized.promises.clear();
            let counts = report.counts().filter(|&(_, count)| count > 0);
            let counts: Vec<String> = counts.map(|(pass, n)| format!("{pass} {n}")).collect();
            format!("{optimized}; steps: {}\n", counts.join(", "))
        }
        Err(error) => format!("error: {error}\n"),
    }
}

/// The instructions of each function's body and exits, and how many bytes of tables follow.
fn compile(source: &str, set: &'static StencilSet) -> String {
    let module = match patchjit_text::parse(source) {
        Ok(module) => module,
        Err(error) => return format!("not read: {error}\n"),
    };
    let program = module.program();
    let mut facts = vec![0; patchjit::verify::workspace_words(&program)];
    let verified = match patchjit::verify::verify(program, &mut facts) {
        Ok(verified) => verified,
        Err(error) => return format!("error: {error}\n"),
    };
    let mut compilation = Compilation::new(verified, set, Options::default());
    let mut code = vec![0; compilation.code_bytes()];
    let buffer = CodeBuffer {
        write: &mut code,
        execute_at: 0,
    };
    if let Err(error) = compilation.compile(buffer) {
        return format!("error: {error}\n");
    }
    let functions = compilation.functions();
    let mut found = String::new();
    for (function, name) in functions.iter().zip(&module.names.functions) {
        let body = &code[function.body as usize..function.data as usize];
        found += &format!("@{name}:\n{}", disassemble::of_target(set, body, 0));
        if function.faults > function.data {
            let bytes = function.faults - function.data;
            found += &format!("{bytes} bytes of tables\n");
        }
    }
    found
}

/// What is printed in golden files is valid too, and so are the test programs.
#[test]
fn printed_programs_are_valid() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in ["filetests/print", "programs"] {
        let files = sorted(&root.join(folder));
        let mut sources = files.iter().filter(|path| has(path, "uop")).peekable();
        assert!(sources.peek().is_some(), "{folder} is empty");
        for path in sources {
            let source = fs::read_to_string(path).expect("a source in UTF-8");
            let found = verify(&source);
            assert!(found.starts_with("valid"), "{}:{found}", path.display());
        }
    }
}

#[test]
fn filetests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("filetests");
    let bless = std::env::var_os("BLESS").is_some_and(|value| value == "1");
    let mut failures = Vec::new();
    for &(name, ending, stage) in STAGES {
        let files = sorted(&root.join(name));
        let sources: Vec<&PathBuf> = files.iter().filter(|path| has(path, "uop")).collect();
        assert!(!sources.is_empty(), "the folder {name} has no programs");
        for path in &sources {
            let source = fs::read_to_string(path).expect("a source in UTF-8");
            let found = stage(&source);
            let golden = path.with_extension(ending);
            if bless {
                fs::write(&golden, found).expect("a folder that can be written");
                continue;
            }
            match fs::read_to_string(&golden) {
                Ok(expected) if expected == found => {}
                Ok(expected) => failures.push(format!(
                    "{}:\n{}",
                    path.display(),
                    difference(&expected, &found)
                )),
                Err(error) => failures.push(format!("{}: {error}", golden.display())),
            }
        }
        for path in files.iter().filter(|path| has(path, ending)) {
            if !path.with_extension("uop").exists() {
                failures.push(format!("{}: has no program", path.display()));
            }
        }
    }
    for entry in sorted(&root) {
        let name = entry.file_name().and_then(|name| name.to_str());
        // The programs in `run` have no golden files: they make promises, which other tests hold.
        if !STAGES.iter().any(|&(stage, ..)| Some(stage) == name) && name != Some("run") {
            failures.push(format!("{}: no such stage", entry.display()));
        }
    }
    assert!(
        failures.is_empty(),
        "{}\n{} differ; BLESS=1 rewrites what is expected",
        failures.join("\n"),
        failures.len()
    );
}

fn sorted(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry that can be read").path())
        .collect();
    paths.sort();
    paths
}

fn has(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}

/// The lines that differ, `-` expected and `+` found, between the first and the last of them.
fn difference(expected: &str, found: &str) -> String {
    let (expected, found): (Vec<&str>, Vec<&str>) =
        (expected.lines().collect(), found.lines().collect());
    let same = |pairs: &mut dyn Iterator<Item = (&&str, &&str)>| {
        pairs.take_while(|(left, right)| left == right).count()
    };
    let head = same(&mut expected.iter().zip(&found));
    let shorter = expected.len().min(found.len());
    let tail = same(&mut expected.iter().rev().zip(found.iter().rev())).min(shorter - head);
    let mut shown = format!("  from line {}:\n", head + 1);
    for (mark, lines) in [("-", &expected), ("+", &found)] {
        for line in &lines[head..lines.len() - tail] {
            shown += &format!("  {mark} {line}\n");
        }
    }
    shown
}

#[test]
fn a_difference_is_shown_from_its_first_line_to_its_last() {
    assert_eq!(
        difference("a\nb\nc\nd\n", "a\nx\ny\nd\n"),
        "  from line 2:\n  - b\n  - c\n  + x\n  + y\n"
    );
    assert_eq!(difference("a\na\n", "a\n"), "  from line 2:\n  - a\n");
}
