//! eBPF objects that clang made: every function of tests/ebpf/kernels.c gives the known answer on every engine.

use patchjit::compile;
use patchjit::optimize;
use patchjit::verify;
use patchjit_cli::ebpf::{Loaded, load};
use patchjit_cli::engine::{Interpreter, Native};
use patchjit_cli::instance::{Content, Instance, Limits};
use patchjit_cli::outcome::Ending;
use patchjit_ebpf::address_of;
use patchjit_tests::programs;
use patchjit_text::Module;

const KERNELS: &[u8] = include_bytes!("../ebpf/kernels.o");

/// What a function gives on one engine.
fn run_on(module: &Module, compiled: bool, arguments: &[u64]) -> u64 {
    let program = module.program();
    let mut words = vec![0; verify::workspace_words(&program)];
    let verified = verify::verify(program, &mut words).expect("a valid program");
    let contents = module.contents.iter().map(|contents| Content {
        region: contents.region as usize,
        offset: contents.offset,
        bytes: contents.bytes.clone(),
    });
    let contents: Vec<_> = contents.collect();
    let mut instance = Instance::new(&program, &[], &contents, Limits::default()).expect("memory");
    let outcome = if compiled {
        let options = compile::Options::default();
        let native = Native::new(verified, patchjit_tests::host_set(), options).expect("code");
        native.run(&mut instance, 0, arguments, 1).expect("a run")
    } else {
        let interpreter = Interpreter::new(verified);
        let outcome = interpreter.run(&mut instance, 0, arguments, 1);
        outcome.expect("a run")
    };
    assert_eq!(outcome.ending, Ending::Returned);
    outcome.results[0]
}

/// What a function gives on all engines; without a number, it is called as the runner calls it.
fn run(name: &str, memory: &[u8], number: Option<u64>) -> u64 {
    let loaded = load(KERNELS, Some(name), memory.to_vec()).expect(name);
    let Loaded {
        module,
        mut arguments,
    } = loaded;
    if let Some(number) = number {
        arguments = [address_of(0), number, 0, 0, 0];
    }
    let (optimized, _) =
        programs::optimized(&module, &optimize::Options::default()).expect("an optimized program");
    let result = run_on(&module, false, &arguments);
    for (module, compiled) in [(&module, true), (&optimized, false), (&optimized, true)] {
        assert_eq!(run_on(module, compiled, &arguments), result, "{name}");
    }
    result
}

#[test]
fn functions_give_the_known_answers() {
    let zeros = vec![0; 65_536];
    // OEIS A006880: primes below 10^4 and 10^3.
    assert_eq!(run("sieve", &zeros, Some(10_000)), 1229);
    assert_eq!(run("sieve", &zeros, Some(1000)), 168);
    // The check value of CRC-32/ISO-HDLC.
    assert_eq!(run("crc32", b"123456789", Some(9)), 0xcbf4_3926);
    // Test vectors of the FNV specification (draft-eastlake-fnv).
    assert_eq!(run("fnv", b"a", Some(1)), 0xaf63_dc4c_8601_ec8c);
    assert_eq!(run("fnv", b"foobar", Some(6)), 0x8594_4171_f739_67e8);
    // FIPS 180-4: of "abc", and of nothing.
    let mut memory = vec![0; 128];
    assert_eq!(run("sha256", &memory, Some(0)), 0xe3b0_c442_98fc_1c14);
    memory[..3].copy_from_slice(b"abc");
    assert_eq!(run("sha256", &memory, Some(3)), 0xba78_16bf_8f01_cfea);
    // By a program in Python.
    assert_eq!(run("matrix", &zeros, Some(20)), 4389);
    // OEIS A006877.
    assert_eq!(run("collatz", &zeros, Some(300)), 231);
    // What is sorted grows, and no two words are equal.
    assert_eq!(run("heapsort", &zeros, Some(1000)), 999);
}

/// A packet of TCP over IPv4 to a port.
fn packet(port: u16) -> Vec<u8> {
    let mut packet = vec![0; 54];
    packet[12] = 8;
    packet[14] = 0x45;
    packet[23] = 6;
    packet[36..38].copy_from_slice(&port.to_be_bytes());
    packet
}

#[test]
fn the_filter_reads_its_context() {
    const DROP: u64 = 1;
    const PASS: u64 = 2;
    assert_eq!(run("filter", &packet(443), None), PASS);
    assert_eq!(run("filter", &packet(80), None), DROP);
    let mut with_options = packet(443);
    with_options[14] = 0x46;
    assert_eq!(run("filter", &with_options, None), DROP);
    with_options.splice(34..34, [0; 4]);
    assert_eq!(run("filter", &with_options, None), PASS);
    for length in 0..54 {
        let expected = if length < 38 { DROP } else { PASS };
        assert_eq!(
            run("filter", &packet(443)[..length], None),
            expected,
            "{length}"
        );
    }
}

#[test]
fn broken_objects_are_refused() {
    let said = |bytes: &[u8], name| load(bytes, Some(name), Vec::new()).err().expect("a fault");
    assert_eq!(
        said(KERNELS, "nothing"),
        "no function nothing; there are: sieve, crc32, fnv, sha256, matrix, collatz, heapsort, filter"
    );
    assert!(said(b"\x7fELF", "fnv").starts_with("expected an ELF object: "));
    // Cut off anywhere, or with a bit changed: an error or a program, never a panic.
    for length in (0..KERNELS.len()).step_by(97) {
        let _ = load(&KERNELS[..length], Some("sha256"), Vec::new());
    }
    let mut changed = KERNELS.to_vec();
    for at in (0..KERNELS.len()).step_by(5) {
        changed[at] ^= 1 << (at % 8);
        let _ = load(&changed, Some("sha256"), Vec::new());
        changed[at] = KERNELS[at];
    }
}
