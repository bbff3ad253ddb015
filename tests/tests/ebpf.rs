//! eBPF programs in every engine: the tests that the crates `rbpf` and `solana-sbpf` ship for their own engines, read out of their sources; random
//! programs against that interpreter; instructions that it has not, against what RFC 9669 says; hostile bytes.

#![cfg(not(windows))]

use patchjit_cli::ebpf::translate;
use patchjit_cli::outcome::Ending;
use patchjit_ebpf::{Kind, Machine, Region};
use patchjit_tests::ebpf::{
    self, Assembly, PACKET_BYTES, Run, machine, regions, run, run_on, run_within,
};
use patchjit_tests::random::{Random, seeds};
use solana_sbpf::memory_region::MemoryMapping;
use solana_sbpf::program::{BuiltinProgram, SBPFVersion};
use solana_sbpf::vm::{Config, ContextObject};
use std::path::PathBuf;
use std::ptr::NonNull;
use std::sync::Arc;

/// The folder of the sources from which a crate was built: where cargo keeps those of the version in the lock file.
fn sources(name: &str) -> PathBuf {
    let lock = include_str!("../../Cargo.lock");
    let version = between(lock, &format!("name = \"{name}\"\nversion = \""), "\"");
    let version = version.expect("the crate in the lock file");
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.unwrap_or_else(|| std::env::home_dir().expect("a home").join(".cargo"));
    let registries = home.join("registry/src");
    let registries = registries.read_dir().expect("the registry's sources");
    let folders = registries.map(|registry| registry.expect("a registry").path());
    let mut folders = folders.map(|registry| registry.join(format!("{name}-{version}")));
    folders
        .find(|folder| folder.is_dir())
        .expect("the sources of the crate")
}

/// A test of rbpf's: its name, its assembly, the packet, what it gives.
struct Borrowed {
    name: String,
    code: Vec<u8>,
    packet: Vec<u8>,
    expected: u64,
}

/// The text between two others.
fn between<'a>(text: &'a str, before: &str, behind: &str) -> Option<&'a str> {
    let start = text.find(before)? + before.len();
    let length = text[start..].find(behind)?;
    Some(&text[start..start + length])
}

fn number(text: &str) -> Option<u64> {
    let text = text.trim().replace('_', "");
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

fn bytes(list: &str) -> Option<Vec<u8>> {
    let items = list.split(',').map(str::trim);
    let items = items.filter(|item| !item.is_empty());
    items
        .map(|item| number(item).map(|byte| byte as u8))
        .collect()
}

/// Reads a test out of its source; `None` if it is not a program, a packet and a result.
fn borrowed(source: &str, common: &str) -> Option<Borrowed> {
    let name = between(source, "fn ", "(")?.to_owned();
    let source: String = source
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .map(|line| format!("{line}\n"))
        .collect();
    let constant = |name: &str, before: &str, behind: &str| {
        let definition = &common[common.find(&format!("const {name}:"))?..];
        between(&definition[definition.find('=')?..], before, behind)
    };
    let mentions = |name: &str| source.contains(name);
    let packet = if mentions("TCP_SACK_NOMATCH") {
        bytes(constant("TCP_SACK_NOMATCH", "[", "]")?)?
    } else if mentions("TCP_SACK_MATCH") {
        bytes(constant("TCP_SACK_MATCH", "[", "]")?)?
    } else if mentions("let mem") || mentions("let mut mem") {
        let list = between(&source, "mem = &mut [", "]");
        bytes(list.or_else(|| between(&source, "mem = [", "]"))?)?
    } else {
        Vec::new()
    };
    let code = if let Some(assembly) = between(&source, "assemble(\n", "\",\n") {
        rbpf::assembler::assemble(assembly.trim().strip_prefix('"')?).ok()?
    } else if mentions("assemble(TCP_SACK_ASM)") {
        rbpf::assembler::assemble(constant("TCP_SACK_ASM", "\"", "\"")?).ok()?
    } else if mentions("PROG_TCP_PORT_80") {
        bytes(constant("PROG_TCP_PORT_80", "[", "]")?)?
    } else {
        bytes(between(&source, "let prog = &[", "]")?)?
    };
    let result = between(&source, "assert_eq!(vm.execute_program(", ");")?;
    let expected = number(result.rsplit_once(',')?.1)?;
    let plain = !source.contains("register_helper") && !source.contains("FixedMbuff");
    plain.then_some(Borrowed {
        name,
        code,
        packet,
        expected,
    })
}

#[test]
fn tests_of_rbpf_pass() {
    let tests = sources("rbpf").join("tests");
    let read = |name: &str| std::fs::read_to_string(tests.join(name)).expect(name);
    let (source, common) = (read("ubpf_vm.rs"), read("common.rs"));
    let common = common + &source;
    let (mut passed, mut other, mut failed) = (0, Vec::new(), Vec::new());
    for test in source.split("#[test]").skip(1) {
        let Some(test) = borrowed(test, &common) else {
            other.push(between(test, "fn ", "(").unwrap_or("?"));
            continue;
        };
        match run(&test.code, &test.packet) {
            Ok(run) if run.results == [test.expected] => passed += 1,
            Ok(run) => failed.push(format!("{}: {run:x?}, not {:#x}", test.name, test.expected)),
            Err(error) => failed.push(format!("{}: {error}", test.name)),
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert_eq!(passed, 137);
    assert_eq!(other, OTHER);
}

/// Assembles a program in the first version of solana-sbpf's instructions, those of the kernel but for two forms: its tests add to the frame
/// pointer first, and a call of a function of the program says where that is, not how far away.
fn assembled(text: &str) -> Option<Vec<u8>> {
    let text = text.replacen("add64 r10, 0\n", "", 1);
    let version = SBPFVersion::V0;
    let config = Config {
        enabled_sbpf_versions: version..=version,
        ..Config::default()
    };
    let loader: BuiltinProgram<Budget> = BuiltinProgram::new_loader(config);
    let executable = solana_sbpf::assembler::assemble(&text, Arc::new(loader)).ok()?;
    let mut code = executable.get_text_bytes().1.to_vec();
    let count = code.len() / 8;
    for (at, bytes) in code.chunks_exact_mut(8).enumerate() {
        let target = i32::from_le_bytes(bytes[4..].try_into().ok()?);
        if bytes[0] == 0x85 && usize::try_from(target).is_ok_and(|target| target < count) {
            bytes[1] = 0x10;
            bytes[4..].copy_from_slice(&(target - at as i32 - 1).to_le_bytes());
        }
    }
    Some(code)
}

/// What solana-sbpf asks for to run a program, which is not done here.
struct Budget;

impl ContextObject for Budget {
    fn consume(&mut self, _amount: u64) {}
    fn get_remaining(&self) -> u64 {
        0
    }
    fn active_mapping_ptr(&mut self) -> NonNull<MemoryMapping> {
        NonNull::dangling()
    }
}

/// The tests in a source of solana-sbpf's: each macro that has a program, perhaps an input, and a number that comes out.
fn borrowed_from_solana(source: &str) -> (Vec<Borrowed>, usize) {
    let (mut tests, mut other) = (Vec::new(), 0);
    for function in source.split("#[test]").skip(1) {
        let name = between(function, "fn ", "(").unwrap_or("?");
        let mut parts = function.split("test_interpreter_and_jit_asm!(");
        let mut before = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let read = || {
                let call = &part[..part.find(");")?];
                let program = between(call, "\"", "\"")?;
                let packet = match call.contains("input,") {
                    true => bytes(between(before.rsplit_once("input")?.1, "[", "]")?)?,
                    false => Vec::new(),
                };
                let expected = between(call, "ProgramResult::Ok(", ")")?;
                Some(Borrowed {
                    name: name.to_owned(),
                    code: assembled(program)?,
                    packet,
                    expected: number(expected)?,
                })
            };
            match read() {
                Some(test) => tests.push(test),
                None => other += 1,
            }
            before = part.to_owned();
        }
    }
    (tests, other)
}

#[test]
fn tests_of_solana_sbpf_pass() {
    let path = sources("solana-sbpf").join("tests/execution.rs");
    let source = std::fs::read_to_string(path).expect("its tests");
    let (tests, other) = borrowed_from_solana(&source);
    let (mut passed, mut unlike, mut failed) = (0, Vec::new(), Vec::new());
    for test in &tests {
        let name = test.name.as_str();
        match run(&test.code, &test.packet) {
            Ok(run) if run.results == [test.expected] => passed += 1,
            _ if UNLIKE.contains(&name) => unlike.push(name),
            Ok(run) => failed.push(format!("{name}: {run:x?}, not {:#x}", test.expected)),
            Err(error) => failed.push(format!("{name}: {error}")),
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert_eq!(unlike, UNLIKE);
    // The others end with errors of its own (its budget of instructions, its kinds of stack, its checks of calls), call its system calls, or are
    // of later versions.
    assert_eq!((passed, other), (89, 73));
}

/// Tests of solana-sbpf's whose programs are meant otherwise there.
const UNLIKE: [&str; 9] = [
    // An instruction of later versions.
    "test_hor64",
    // More instructions than are run here.
    "test_noop_insertion",
    // Calls of registers are not supported.
    "test_callx",
    "test_callx_unaligned_target",
    // It begins in the middle.
    "test_entrypoint_not_first",
    // Calls of registers.
    "test_far_jumps",
    "test_callx_imm",
    // Products of 32 bits are sign-extended there, which RFC 9669 does not do.
    "test_mul",
    // Frames have gaps between them.
    "test_stack_gaps",
];

/// The frame pointer.
const FRAME: u8 = 10;

/// Those that are no program with a packet and a result.
const OTHER: [&str; 10] = [
    // They pass addresses of this process to helpers.
    "test_vm_call",
    "test_vm_call_memfrob",
    "test_vm_call_save",
    // What is refused is shown below.
    "test_vm_err_call_bad_imm",
    "test_vm_err_call_unreg",
    "test_vm_err_stack_out_of_bound",
    // A program in another form: also below.
    "test_vm_jmp_unsigned_extend",
    "test_vm_stack2",
    // Its context has addresses of this process.
    "test_vm_stdw_add_overflow",
    "test_vm_string_stack",
];

#[test]
fn random_programs_agree_with_rbpf() {
    for seed in seeds(0..400) {
        let mut random = Random::new(seed);
        let program = ebpf::random(&mut random);
        let packet: Vec<u8> = (0..PACKET_BYTES).map(|_| random.bits() as u8).collect();
        let vm = rbpf::EbpfVmRaw::new(Some(&program)).expect("a program that rbpf takes");
        let mut memory = packet.clone();
        let result = vm.execute_program(&mut memory);
        let result = result.unwrap_or_else(|error| panic!("seed {seed}: {error:?}"));
        let run = run(&program, &packet).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let expected = Run {
            ending: Ending::Returned,
            results: vec![result],
            packet: memory,
        };
        assert_eq!(run, expected, "seed {seed}");
    }
}

/// What a program without a packet gives.
fn result(assembly: &Assembly) -> u64 {
    let run = run(&assembly.0, &[]).expect("a program");
    assert_eq!(run.ending, Ending::Returned);
    run.results[0]
}

/// The result of one instruction on r0, with another number in r1.
fn one(opcode: u8, offset: i16, immediate: i32, a: u64, b: u64) -> u64 {
    let mut assembly = Assembly::default();
    assembly.wide(0, a);
    assembly.wide(1, b);
    let source = if opcode & 8 != 0 && opcode & 0xf0 != 0xd0 {
        1
    } else {
        0
    };
    assembly.push(opcode, 0, source, offset, immediate);
    assembly.push(0x95, 0, 0, 0, 0);
    result(&assembly)
}

#[test]
fn signed_division_is_total() {
    let numbers = [
        0,
        1,
        -1,
        2,
        -2,
        7,
        -7,
        i64::MAX,
        i64::MIN,
        0x8000_0000,
        -0x8000_0000,
    ];
    for a in numbers {
        for b in numbers {
            let (quotient, remainder) = match b {
                0 => (0, a),
                _ => (a.wrapping_div(b), a.wrapping_rem(b)),
            };
            assert_eq!(
                one(0x3f, 1, 0, a as u64, b as u64),
                quotient as u64,
                "{a} / {b}"
            );
            assert_eq!(
                one(0x9f, 1, 0, a as u64, b as u64),
                remainder as u64,
                "{a} % {b}"
            );
            let (a, b) = (a as i32, b as i32);
            let (quotient, remainder) = match b {
                0 => (0, a),
                _ => (a.wrapping_div(b), a.wrapping_rem(b)),
            };
            let given = |opcode| one(opcode, 1, 0, a as u64, b as u64);
            assert_eq!(given(0x3c), u64::from(quotient as u32), "{a} / {b}");
            assert_eq!(given(0x9c), u64::from(remainder as u32), "{a} % {b}");
            let given = |opcode| one(opcode, 1, b, a as u64, 0);
            assert_eq!(given(0x34), u64::from(quotient as u32), "{a} / {b}");
            assert_eq!(given(0x94), u64::from(remainder as u32), "{a} % {b}");
        }
    }
}

#[test]
fn moves_extend_signs() {
    let number = 0x1234_5678_8765_f0e1_u64;
    assert_eq!(one(0xbf, 8, 0, 0, number), number as i8 as u64);
    assert_eq!(one(0xbf, 16, 0, 0, number), number as i16 as u64);
    assert_eq!(one(0xbf, 32, 0, 0, number), number as i32 as u64);
    assert_eq!(one(0xbc, 8, 0, 0, number), u64::from(number as i8 as u32));
    assert_eq!(one(0xbc, 16, 0, 0, number), u64::from(number as i16 as u32));
    assert_eq!(one(0xbc, 0, 0, 0, number), u64::from(number as u32));
}

#[test]
fn bytes_are_swapped() {
    let number = 0x0123_4567_89ab_cdef_u64;
    for opcode in [0xd7, 0xdc] {
        assert_eq!(one(opcode, 0, 16, number, 0), 0xefcd);
        assert_eq!(one(opcode, 0, 32, number, 0), 0xefcd_ab89);
        assert_eq!(one(opcode, 0, 64, number, 0), number.swap_bytes());
    }
    assert_eq!(one(0xd4, 0, 16, number, 0), 0xcdef);
    assert_eq!(one(0xd4, 0, 32, number, 0), 0x89ab_cdef);
    assert_eq!(one(0xd4, 0, 64, number, 0), number);
}

#[test]
fn loads_extend_signs() {
    for (size, expected) in [(0x10, -1_i64), (0x08, -0x7001), (0x00, -0x2345_7001)] {
        let mut assembly = Assembly::default();
        assembly.wide(2, 0xdcba_8fff);
        assembly.push(0x7b, FRAME, 2, -8, 0);
        assembly.push(0x81 | size, 0, FRAME, -8, 0);
        assembly.push(0x95, 0, 0, 0, 0);
        assert_eq!(result(&assembly), expected as u64, "{size:#x}");
    }
}

#[test]
fn atomic_instructions_give_the_old_value() {
    let (old, operand) = (0xf0f0_1234_8765_4321_u64, 0x1_0000_00ff_u64);
    type Becomes = fn(u64, u64) -> u64;
    let cases: [(i32, Becomes); 6] = [
        (0x00, |a, b| a.wrapping_add(b)),
        (0x40, |a, b| a | b),
        (0x50, |a, b| a & b),
        (0xa0, |a, b| a ^ b),
        (0xe0, |_, b| b),
        // Compared with r0, which is 0 at first.
        (0xf0, |a, _| a),
    ];
    for (action, becomes) in cases {
        for (opcode, mask) in [(0xdb, u64::MAX), (0xc3, u64::from(u32::MAX))] {
            for fetches in [1, 0] {
                if fetches == 0 && action >= 0xe0 {
                    continue;
                }
                let mut assembly = Assembly::default();
                assembly.push(0xb7, 0, 0, 0, 0);
                assembly.wide(1, old);
                assembly.wide(2, operand);
                assembly.push(0x7b, FRAME, 1, -8, 0);
                assembly.push(opcode, FRAME, 2, -8, action | fetches);
                // r3: what is in memory; r4: what the instruction gave.
                assembly.push(0x79, 3, FRAME, -8, 0);
                let given = if action == 0xf0 { 0 } else { 2 };
                assembly.push(0xbf, 4, given, 0, 0);
                assembly.push(0xbf, 0, 3, 0, 0);
                assembly.push(0x27, 0, 0, 0, 31);
                assembly.push(0x0f, 0, 4, 0, 0);
                assembly.push(0x95, 0, 0, 0, 0);
                let memory = old & !mask | becomes(old & mask, operand & mask) & mask;
                let given = if fetches == 1 { old & mask } else { operand };
                let expected = memory.wrapping_mul(31).wrapping_add(given);
                assert_eq!(
                    result(&assembly),
                    expected,
                    "{action:#x} {opcode:#x} {fetches}"
                );
            }
        }
    }
}

#[test]
fn far_jumps_and_packet_loads() {
    let mut assembly = Assembly::default();
    assembly.push(0x06, 0, 0, 0, 1);
    assembly.push(0x95, 0, 0, 0, 0);
    assembly.push(0x28, 0, 0, 0, 2);
    assembly.push(0xbf, 6, 0, 0, 0);
    assembly.push(0xb7, 2, 0, 0, 1);
    assembly.push(0x40, 0, 2, 0, 3);
    assembly.push(0x0f, 0, 6, 0, 0);
    assembly.push(0x95, 0, 0, 0, 0);
    let packet = [1, 2, 3, 4, 5, 6, 7, 8];
    let run_with = |packet: &[u8]| run(&assembly.0, packet).expect("a program").results;
    assert_eq!(run_with(&packet), [0x0304 + 0x0506_0708]);
    // A packet that ends too early: the program gives 0.
    assert_eq!(run_with(&packet[..7]), [0]);
}

/// An access of a program with a packet of eight bytes, which must trap.
fn traps(write: impl FnOnce(&mut Assembly)) {
    let mut assembly = Assembly::default();
    write(&mut assembly);
    let at = assembly.len() as u32 - 1;
    assembly.push(0xb7, 0, 0, 0, 0);
    assembly.push(0x95, 0, 0, 0, 0);
    let run = run(&assembly.0, &[0; 8]).expect("a program");
    assert_eq!(run.ending, Ending::Trap(at));
}

#[test]
fn accesses_outside_trap() {
    // Behind the packet, before it, across its end.
    traps(|it| it.push(0x71, 0, 1, 8, 0));
    traps(|it| it.push(0x71, 0, 1, -1, 0));
    traps(|it| it.push(0x79, 0, 1, 1, 0));
    traps(|it| it.push(0x7a, 1, 0, 1, 0));
    // Above the frame, and below the stack.
    traps(|it| it.push(0x7b, FRAME, 1, 0, 0));
    traps(|it| it.push(0x7b, FRAME, 1, -4097, 0));
    // Nowhere: a number, and zero.
    traps(|it| {
        it.wide(2, 0xffff_ffff_ffff_fff0);
        it.push(0x71, 0, 2, 0, 0);
    });
    traps(|it| {
        it.push(0xb7, 2, 0, 0, 0);
        it.push(0x73, 2, 1, 0, 0);
    });
    // An atomic one that is not aligned.
    traps(|it| it.push(0xc3, 1, 2, 2, 0));
    // One whose value nobody wants.
    traps(|it| {
        it.push(0xbf, 3, 1, 0, 0);
        it.push(0x07, 3, 0, 0, 1000);
        it.push(0x71, 4, 3, 0, 0);
    });
}

#[test]
fn writes_where_nothing_may_be_written_trap() {
    let regions = [
        Region {
            size: 8,
            writable: false,
        },
        Region {
            size: 512,
            writable: true,
        },
    ];
    for kind in [Kind::Unknown, Kind::Pointer(0)] {
        let mut machine = machine(&regions);
        machine.arguments[0] = kind;
        for (opcode, ending) in [(0x71, Ending::Returned), (0x72, Ending::Trap(0))] {
            let mut assembly = Assembly::default();
            let (to, from) = if opcode == 0x71 { (0, 1) } else { (1, 0) };
            assembly.push(opcode, to, from, 0, 0);
            assembly.push(0xb7, 0, 0, 0, 0);
            assembly.push(0x95, 0, 0, 0, 0);
            let module = translate(&assembly.0, &machine).expect("a program");
            for engine in ["interpreter", "code"] {
                assert_eq!(
                    run_on(&module, engine, &[0; 8], 100).expect("a run").ending,
                    ending
                );
            }
        }
    }
}

/// What is wrong with a program.
fn refused(write: impl FnOnce(&mut Assembly)) -> String {
    let mut assembly = Assembly::default();
    write(&mut assembly);
    let regions = regions(8);
    let translated = translate(&assembly.0, &machine(&regions));
    translated.expect_err("a fault").to_string()
}

#[test]
fn faults_say_what_is_wrong_and_where() {
    let exit = |it: &mut Assembly| it.push(0x95, 0, 0, 0, 0);
    let with = |opcode, destination, source, offset, immediate| {
        refused(|it| {
            it.push(opcode, destination, source, offset, immediate);
            exit(it);
        })
    };
    let cases = [
        (
            refused(|_| ()),
            "expected instructions of 8 bytes, at least one",
        ),
        (
            refused(|it| it.0.push(0x95)),
            "expected instructions of 8 bytes, at least one",
        ),
        (
            with(0xff, 0, 0, 0, 0),
            "instruction 0: no instruction has the opcode 0xff",
        ),
        (
            with(0xbf, 0, 12, 0, 0),
            "instruction 0: expected a register from r0 to r10, not r12",
        ),
        (
            with(0xbf, 11, 0, 0, 0),
            "instruction 0: expected a register from r0 to r10, not r11",
        ),
        (
            with(0xbf, 10, 0, 0, 0),
            "instruction 0: r10 cannot be written",
        ),
        (
            with(0x79, 10, 1, 0, 0),
            "instruction 0: r10 cannot be written",
        ),
        (
            with(0xdb, 1, 10, 0, 1),
            "instruction 0: r10 cannot be written",
        ),
        (
            with(0xb7, 0, 1, 0, 0),
            "instruction 0: expected zero in the fields that it does not use",
        ),
        (
            with(0xd4, 0, 0, 0, 24),
            "instruction 0: does not take the constant 24",
        ),
        (
            with(0x3f, 0, 1, 2, 0),
            "instruction 0: does not take the offset 2",
        ),
        (
            with(0x05, 0, 0, 7, 0),
            "instruction 0: goes to instruction 8, outside of its function",
        ),
        (
            with(0x05, 0, 0, -2, 0),
            "instruction 0: goes to instruction -1, outside of its function",
        ),
        (
            refused(|it| {
                it.push(0x05, 0, 0, 1, 0);
                it.wide(0, 0);
                exit(it);
            }),
            "instruction 0: goes to instruction 2, the second half of a constant",
        ),
        (
            refused(|it| {
                it.push(0x85, 0, 1, 0, 1);
                it.wide(0, 0);
                exit(it);
            }),
            "instruction 1: expected exit or a jump at a function's end",
        ),
        (
            with(0x18, 0, 0, 0, 0),
            "instruction 0: expected the second half of a 64-bit constant behind it",
        ),
        (
            refused(|it| it.push(0xb7, 0, 0, 0, 0)),
            "instruction 0: expected exit or a jump at a function's end",
        ),
        (
            with(0x85, 0, 0, 0, 77),
            "instruction 0: there is no helper 77",
        ),
        (
            with(0x85, 0, 2, 0, 77),
            "instruction 0: a call of a kernel function is not supported",
        ),
        (
            with(0x8d, 0, 0, 0, 0),
            "instruction 0: a call of a register is not supported",
        ),
        (
            with(0xdb, 1, 0, 0, 0x100),
            "instruction 0: a load that acquires is not supported",
        ),
        (
            with(0xdb, 1, 0, 0, 0x30),
            "instruction 0: does not take the constant 48",
        ),
    ];
    for (said, expected) in cases {
        assert_eq!(said, expected);
    }
}

#[test]
fn machines_are_checked() {
    let mut assembly = Assembly::default();
    assembly.push(0xb7, 0, 0, 0, 0);
    assembly.push(0x95, 0, 0, 0, 0);
    let small = [Region {
        size: 511,
        writable: true,
    }];
    let too_many = [regions(8)[0]; 8];
    let good = regions(8);
    let mut wrong_argument = machine(&good);
    wrong_argument.arguments[3] = Kind::Pointer(2);
    for machine in [
        Machine {
            stack: 0,
            packet: None,
            ..machine(&small)
        },
        machine(&too_many),
        Machine {
            packet: Some(2),
            ..machine(&good)
        },
        wrong_argument,
    ] {
        let error = translate(&assembly.0, &machine).expect_err("a fault");
        assert_eq!(error.problem, patchjit_ebpf::Problem::Machine);
    }
}

#[test]
fn hostile_programs_are_refused_or_contained() {
    let (mut ran, mut refused) = (0, 0);
    for seed in seeds(0..1000) {
        let mut random = Random::new(seed);
        let program = ebpf::hostile(&mut random);
        match run_within(&program, &[7; 32], 1000) {
            Ok(_) => ran += 1,
            Err(error) if error.starts_with("instruction ") => refused += 1,
            Err(error) => panic!("seed {seed}: {error}"),
        }
    }
    assert!(
        ran > refused && refused > 0,
        "{ran} ran, {refused} were refused"
    );
}
