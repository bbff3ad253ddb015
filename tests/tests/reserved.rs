//! Accesses in reserved address space: which are compared all the same, and what the table says of those that are not, for every target.

use patchjit::code::CodeBuffer;
use patchjit::compile::{FaultSite, FunctionCode, Options, Reserved};
use patchjit::stencil::StencilSet;
use patchjit::verify;
use patchjit_cli::disassemble;
use patchjit_cli::engine::Compilation;
use std::fmt::Write as _;

/// The first region is reserved. What is not compared is marked.
const PROGRAM: &str = "\
region @m 65536 to 4294967296
region @other 65536 to 4294967296
slots 1

func @narrow(a: i32, b: i64, x: i64) -> i64 {
e:
    i = i64.extend_i32_u a
    v = i64.load @m[i] else trap 1 ; not
    w = i64.load8_u @m[i + 2147483583] else trap 1 ; not
    i64.store @m[i + 8], x else trap 2 ; not
    j = i64.load32_u @m[i + 16] else trap 1 ; not
    y = i64.load @m[j * 2 + 8] else trap 1 ; not
    p = i64.add v, w
    q = i64.add p, y
    jump next(q)
next(t: i64):
    mask = i64.const 4095
    k = i64.and b, mask
    z = f64.load @m[k] else trap 3 ; not
    f64.store @m[k + 8], z else trap 3 ; not
    return t
}

func @wide(a: i32, b: i64) -> i64 {
e:
    i = i64.extend_i32_u a
    v = i64.load @m[b] else trap 1
    w = i64.load @other[i] else trap 1
    x = i64.load @m[i * 8] else trap 1
    y = i64.load @m[i + 8] else trap 2 [0: b]
    z = i64.load @m[i + 16] else exit 2
    p = i64.add v, w
    q = i64.add p, x
    r = i64.add q, y
    s = i64.add r, z
    return s
}
";

fn compiled(
    source: &str,
    set: &'static StencilSet,
    reserved: Reserved,
) -> (Vec<u8>, Vec<FunctionCode>) {
    let module = patchjit_text::parse(source).unwrap_or_else(|error| panic!("{error}"));
    let program = module.program();
    let mut facts = vec![0; verify::workspace_words(&program)];
    let verified = verify::verify(program, &mut facts).expect("a valid program");
    let options = Options {
        reserved,
        ..Options::default()
    };
    let mut compilation = Compilation::new(verified, set, options);
    let mut code = vec![0; compilation.code_bytes()];
    let buffer = CodeBuffer {
        write: &mut code,
        execute_at: 0,
    };
    let (compiled, _) = compilation.compile(buffer).expect("it compiles");
    code.truncate(compiled.code_length as usize);
    (code, compilation.functions().to_vec())
}

fn sites(code: &[u8], function: &FunctionCode) -> Vec<FaultSite> {
    function.fault_sites(code).collect()
}

#[test]
fn narrow_accesses_of_reserved_regions_may_fault_and_no_others() {
    let wanted = PROGRAM.matches("; not").count();
    for set in patchjit_stencils::ALL {
        let bytes = (1 << 33) + (1 << 16);
        let (plain, without) = compiled(PROGRAM, set, Reserved::default());
        assert!(without.iter().all(|one| sites(&plain, one).is_empty()));
        let (code, functions) = compiled(PROGRAM, set, Reserved { regions: 1, bytes });
        let found = sites(&code, &functions[0]);
        assert_eq!(found.len(), wanted, "{}", set.target);
        assert_eq!(sites(&code, &functions[1]), [], "{}", set.target);
        assert!(code.len() < plain.len(), "{}", set.target);
        let end = functions[0].data;
        for pair in found.windows(2) {
            assert!(pair[0].at < pair[1].at, "{}", set.target);
        }
        for site in found {
            assert!((functions[0].body..end).contains(&site.at));
            assert!((site.at..end).contains(&site.to), "{}", set.target);
        }
    }
}

#[test]
fn accesses_that_get_beyond_what_is_reserved_are_compared() {
    let set = patchjit_stencils::ALL[0];
    for (bytes, count) in [
        (0, 0),
        // The mask alone keeps no index from being any of 32 bits, as far as the compiler knows: 8 bytes behind the last one.
        ((1 << 32) + 6, 0),
        ((1 << 32) + 7, 2),
        ((1 << 32) + 15, 4),
        ((1 << 32) + 19, 5),
        ((1 << 32) + (1 << 31) - 65, 6),
        ((1 << 33) + 13, 6),
        ((1 << 33) + 14, 7),
        (u64::MAX, 7),
    ] {
        let (code, functions) = compiled(PROGRAM, set, Reserved { regions: 1, bytes });
        assert_eq!(sites(&code, &functions[0]).len(), count, "{bytes}");
    }
    let nowhere = Reserved {
        regions: !1,
        bytes: u64::MAX,
    };
    let (code, functions) = compiled(PROGRAM, set, nowhere);
    assert_eq!(sites(&code, &functions[0]).len(), 0);
    assert_eq!(sites(&code, &functions[1]).len(), 1);
}

/// Where an instruction of x86-64 is the access, it has a memory operand, and the exit that it goes to is the one that is named.
#[test]
fn sites_begin_with_the_access_and_lead_to_its_exit() {
    let set = &patchjit_stencils::X86_64_SYSV;
    let bytes = (1 << 33) + (1 << 16);
    let (code, functions) = compiled(PROGRAM, set, Reserved { regions: 1, bytes });
    let mut exits = std::collections::BTreeMap::new();
    for site in sites(&code, &functions[0]) {
        let access = &code[site.at as usize..functions[0].data as usize];
        let access = disassemble::instructions(set, access, 0).swap_remove(0);
        assert!(access.text.contains('['), "{}", access.text);
        *exits.entry(site.to).or_insert(0) += 1;
    }
    // Accesses without snapshots share the stubs of their exits: of traps 1, 2 and 3.
    let mut counts: Vec<i32> = exits.into_values().collect();
    counts.sort_unstable();
    assert_eq!(counts, [1, 2, 4]);
}

/// Where jumps wait and have to be led on in between, as on RISC-V after 4 KiB, sites still begin with their access.
#[test]
fn sites_begin_with_the_access_among_jumps_that_wait() {
    let mut text = "region @m 65536 to 4294967296\nslots 1\nfunc @f(a: i32, x: i64) -> i64 {\ne:\n    i0 = i64.extend_i32_u a\n".to_owned();
    for number in 0..3000 {
        let _ = write!(
            text,
            "    c{number} = i64.ne x, i{number}\n    guard c{number} else exit {number} [0: x]\n    v{number} = i32.load @m[i{number} + {}] else trap {}\n    i{} = i64.extend_i32_u v{number}\n",
            8 * (number % 64),
            4000 + number % 3,
            number + 1
        );
    }
    text += "    return i3000\n}\n";
    let bytes = (1 << 33) + (1 << 16);
    for set in patchjit_stencils::ALL {
        let (code, functions) = compiled(&text, set, Reserved { regions: 1, bytes });
        let found = sites(&code, &functions[0]);
        assert_eq!(found.len(), 3000, "{}", set.target);
        let instructions = |at: u32| {
            let bytes = &code[at as usize..functions[0].data as usize];
            let bytes = &bytes[..bytes.len().min(16)];
            disassemble::instructions(set, bytes, 0)
        };
        // The access is the first instruction, or the second one behind an address.
        for site in found {
            let first = instructions(site.at);
            let is_access = |text: &str| text.contains('[') || text.contains('(');
            let access = first.iter().position(|one| is_access(&one.text));
            assert!(
                access.is_some_and(|access| access < 2),
                "{}: {first:?}",
                set.target
            );
            assert!(!first[0].text.starts_with('j'), "{}: {first:?}", set.target);
        }
    }
}
