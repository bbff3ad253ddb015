//! Every scalar op of the table on the oracle, in every form that it decodes to, against `ops::evaluate`.

use patchjit::error::Error;
use patchjit::ir::{ExitKind, NONE};
use patchjit::ops::{Opcode, Shape, evaluate, flags};
use patchjit::runtime::Status;
use patchjit::types::Type;
use patchjit_tests::assemble::{Assembly, Value};
use patchjit_tests::machine::Machine;
use patchjit_tests::oracle;
use patchjit_tests::reference::Run;

const EXIT: u32 = 77;

fn edge_values(ty: Type) -> Vec<u64> {
    let floats = [
        0.0,
        -0.0,
        0.5,
        -0.5,
        1.0,
        -1.0,
        1.5,
        2.5,
        -2.5,
        1e10,
        -1e10,
        2147483647.0,
        2147483648.0,
        -2147483648.0,
        -2147483649.0,
        4294967295.0,
        4294967296.0,
        9223372036854775807.0,
        -9223372036854775808.0,
        18446744073709551615.0,
        1e300,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
        f64::MIN_POSITIVE,
        1e-310,
        0.1,
    ];
    match ty {
        Type::I32 => [
            0,
            1,
            2,
            7,
            31,
            32,
            33,
            127,
            128,
            255,
            0x8000,
            0xff80,
            0x7fff_ffff,
            0x8000_0000,
            0x8000_0001,
            0xffff_ffff,
            0xffff_fffe,
            0x1234_5678,
        ]
        .to_vec(),
        Type::I64 | Type::Ref => [
            0,
            1,
            2,
            7,
            31,
            63,
            64,
            65,
            0x80,
            0x8000,
            0x7fff_ffff,
            0x8000_0000,
            0xffff_ffff,
            0x1_0000_0000,
            i64::MAX as u64,
            i64::MIN as u64,
            u64::MAX,
            -2i64 as u64,
            -0x8000_0000i64 as u64,
            -0x8000_0001i64 as u64,
            0x0123_4567_89ab_cdef,
        ]
        .to_vec(),
        Type::F32 => floats
            .iter()
            .map(|&float| u64::from((float as f32).to_bits()))
            .chain([1, 0x7f80_0001, 0xffc0_0000])
            .collect(),
        Type::F64 => floats
            .iter()
            .map(|float| float.to_bits())
            .chain([1])
            .collect(),
    }
}

fn same(ty: Type, a: u64, b: u64) -> bool {
    a == b
        || match ty {
            Type::F32 => {
                a <= u64::from(u32::MAX)
                    && f32::from_bits(a as u32).is_nan()
                    && f32::from_bits(b as u32).is_nan()
            }
            Type::F64 => f64::from_bits(a).is_nan() && f64::from_bits(b).is_nan(),
            _ => false,
        }
}

fn scalar_ops() -> impl Iterator<Item = Opcode> {
    Opcode::all().filter(|code| matches!(code.info().shape, Shape::Unary | Shape::Binary))
}

/// Which operands of the op under test are constants.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Constants {
    None,
    First,
    Second,
    Both,
}

/// What is done with the result.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Consumer {
    Return,
    /// A branch that it is fused with; 1 or 0.
    Branch,
    /// The same with the edges the other way round.
    BranchOver,
    Guard,
    GuardNot,
}

fn program(code: Opcode, constants: Constants, consumer: Consumer, a: u64, b: u64) -> Assembly {
    let info = code.info();
    let [first, second, _] = info.operands;
    let second = if info.operand_count == 2 {
        second
    } else {
        Type::I32
    };
    let result = info.result.unwrap();
    let mut assembly = Assembly::new();
    let returned = if consumer == Consumer::Return {
        result
    } else {
        Type::I32
    };
    let (_, values) = assembly.begin(&[first, second], &[returned]);
    let constant = |assembly: &mut Assembly, ty: Type, bits: u64, wanted: bool, value: Value| {
        if wanted {
            assembly.constant(ty, bits)
        } else {
            value
        }
    };
    let is_first = matches!(constants, Constants::First | Constants::Both);
    let is_second = matches!(constants, Constants::Second | Constants::Both);
    let x = constant(&mut assembly, first, a, is_first, values[0]);
    let y = constant(&mut assembly, second, b, is_second, values[1]);
    let exit = assembly.exit(ExitKind::Trap, EXIT, &[]);
    let value = assembly.scalar(code, x, y, exit);
    if consumer == Consumer::Return {
        assembly.return_values(&[value]);
        assembly.end();
        return assembly;
    }
    let (yes, no) = (assembly.label(), assembly.label());
    match consumer {
        Consumer::Branch => assembly.branch(value, (yes, &[]), (no, &[])),
        Consumer::BranchOver => assembly.branch(value, (no, &[]), (yes, &[])),
        Consumer::Guard | Consumer::GuardNot => {
            let guard = if consumer == Consumer::Guard {
                Opcode::Guard
            } else {
                Opcode::GuardNot
            };
            assembly.push(guard, 0, value, 0, exit);
            assembly.jump(yes, &[]);
        }
        Consumer::Return => {}
    }
    for (label, result) in [(yes, 1), (no, 0)] {
        assembly.place(label, &[]);
        let result = assembly.constant(Type::I32, result);
        assembly.return_values(&[result]);
    }
    assembly.end();
    assembly
}

fn run(assembly: &Assembly, arguments: &[u64]) -> Result<Run, Error> {
    let program = assembly.program();
    let mut machine = Machine::for_program(&program, &[]);
    oracle::run(&program, &mut machine, 0, arguments, false)
}

fn check(code: Opcode, constants: Constants, consumer: Consumer, run: &Run, a: u64, b: u64) {
    let what = || {
        format!(
            "{} {constants:?} {consumer:?} {a:#x} {b:#x}: {run:?}",
            code.name()
        )
    };
    let expected = evaluate(code, a, b).unwrap();
    let is_set = expected.is_some_and(|value| value as u32 != 0);
    let left = || (run.status, run.exit_number) == (Status::Trapped, EXIT);
    let returned = |value: u64| run.status == Status::Returned && run.results == [value];
    match (expected, consumer) {
        (None, _) => assert!(left(), "{}", what()),
        (Some(value), Consumer::Return) => {
            let ty = code.info().result.unwrap();
            let is_same = run.status == Status::Returned && same(ty, run.results[0], value);
            assert!(is_same, "{}, not {value:#x}", what());
        }
        (Some(_), Consumer::Branch) => assert!(returned(u64::from(is_set)), "{}", what()),
        (Some(_), Consumer::BranchOver) => assert!(returned(u64::from(!is_set)), "{}", what()),
        (Some(_), Consumer::Guard) if is_set => assert!(returned(1), "{}", what()),
        (Some(_), Consumer::GuardNot) if !is_set => assert!(returned(1), "{}", what()),
        (Some(_), _) => assert!(left(), "{}", what()),
    }
}

#[test]
fn every_scalar_op_in_every_form() {
    let mut programs = 0;
    for code in scalar_ops() {
        let info = code.info();
        let is_binary = info.operand_count == 2;
        let (xs, ys) = (
            edge_values(info.operands[0]),
            if is_binary {
                edge_values(info.operands[1])
            } else {
                vec![0]
            },
        );
        let consumers: &[Consumer] = if info.result == Some(Type::I32) {
            use Consumer::*;
            &[Return, Branch, BranchOver, Guard, GuardNot]
        } else {
            &[Consumer::Return]
        };
        for &consumer in consumers {
            for constants in [
                Constants::None,
                Constants::First,
                Constants::Second,
                Constants::Both,
            ] {
                if !is_binary && matches!(constants, Constants::Second | Constants::Both) {
                    continue;
                }
                // A program for each constant; all operands on each.
                let (is_first, is_second) = (
                    matches!(constants, Constants::First | Constants::Both),
                    matches!(constants, Constants::Second | Constants::Both),
                );
                let firsts = if is_first { xs.clone() } else { vec![0] };
                let seconds = if is_second { ys.clone() } else { vec![0] };
                // Where both are constant, a sample: the first stays a register.
                let step = if is_first && is_second { 5 } else { 1 };
                for &first in firsts.iter().step_by(step) {
                    for &second in seconds.iter().step_by(step) {
                        let assembly = program(code, constants, consumer, first, second);
                        programs += 1;
                        let here = |all: &[u64], one: u64, wanted: bool| {
                            if wanted { vec![one] } else { all.to_vec() }
                        };
                        check_all(
                            &assembly,
                            (code, constants, consumer),
                            &here(&xs, first, is_first),
                            &here(&ys, second, is_second),
                        );
                    }
                }
            }
        }
    }
    assert!(programs > 10_000, "{programs}");
}

fn check_all(
    assembly: &Assembly,
    (code, constants, consumer): (Opcode, Constants, Consumer),
    xs: &[u64],
    ys: &[u64],
) {
    let program = assembly.program();
    let mut machine = Machine::for_program(&program, &[]);
    let pairs: Vec<[u64; 2]> = xs
        .iter()
        .flat_map(|&x| ys.iter().map(move |&y| [x, y]))
        .collect();
    let runs = oracle::run_each(&program, &mut machine, 0, &pairs).unwrap();
    for (run, [a, b]) in runs.iter().zip(pairs) {
        check(code, constants, consumer, run, a, b);
    }
}

#[test]
fn narrow_values_come_zero_extended() {
    for code in scalar_ops() {
        let info = code.info();
        if info.result.unwrap().bits() == 64 {
            continue;
        }
        let assembly = program(code, Constants::None, Consumer::Return, 0, 0);
        for a in edge_values(info.operands[0]) {
            let run = run(&assembly, &[a, a & 0x7fff_ffff]).unwrap();
            for result in run.results {
                assert!(
                    result <= u64::from(u32::MAX),
                    "{}: {result:#x}",
                    code.name()
                );
            }
        }
    }
}

#[test]
fn selects_and_slots_of_every_type() {
    for code in Opcode::all() {
        let info = code.info();
        let Shape::Select = info.shape else { continue };
        let ty = info.result.unwrap();
        let mut assembly = Assembly::new();
        let (_, values) = assembly.begin(&[Type::I32, ty, ty], &[ty]);
        let value = assembly.push(code, 0, values[0], values[1], values[2]);
        assembly.return_values(&[value]);
        assembly.end();
        for condition in [0, 1, 0x8000_0000, 0xffff_ffff] {
            let run = run(&assembly, &[condition, 5, 9]).unwrap();
            assert_eq!(run.results, [if condition != 0 { 5 } else { 9 }]);
        }
    }
    let pairs = [
        (Opcode::I32SlotGet, Opcode::I32SlotSet),
        (Opcode::I64SlotGet, Opcode::I64SlotSet),
        (Opcode::F32SlotGet, Opcode::F32SlotSet),
        (Opcode::F64SlotGet, Opcode::F64SlotSet),
        (Opcode::RefSlotGet, Opcode::RefSlotSet),
    ];
    for (get, set) in pairs {
        let ty = get.info().result.unwrap();
        let mut assembly = Assembly::new();
        assembly.slots(3);
        let (_, values) = assembly.begin(&[ty], &[ty]);
        let value = assembly.push(get, 0, 0, 0, 1);
        assembly.push(set, 0, values[0], 0, 2);
        assembly.return_values(&[value]);
        assembly.end();
        let program = assembly.program();
        let mut machine = Machine::for_program(&program, &[]);
        machine.slots = vec![7, 0xffff_eeee_dddd_cccc, u64::MAX];
        let run = oracle::run(&program, &mut machine, 0, &[0x1234], false).unwrap();
        let all = machine.slots[1];
        let expected = if ty.bits() == 32 {
            all & 0xffff_ffff
        } else {
            all
        };
        assert_eq!(run.results, [expected], "{}", get.name());
        assert_eq!(machine.slots, [7, all, 0x1234], "{}", set.name());
    }
}

/// Every access at, before and behind every bound, at every scale, against plain arithmetic.
#[test]
fn region_accesses_at_their_bounds() {
    let size = 64u64;
    let mut accesses = 0;
    for code in Opcode::all() {
        let info = code.info();
        if info.width == 0 || info.has(flags::RAW) {
            continue;
        }
        let width = u64::from(info.width);
        for scale in 0..4u8 {
            for offset in [0, 1, 8, size - width, size - width + 1, size, 1 << 30] {
                let mut assembly = Assembly::new();
                let region = assembly.region(size);
                let exit = assembly.exit(ExitKind::Trap, EXIT, &[]);
                let types = [Type::I64, info.operands[1], info.operands[2]];
                let results: Vec<Type> = info.result.into_iter().collect();
                let (_, values) = assembly.begin(&types, &results);
                let value = assembly.access(
                    code,
                    (region, scale, offset as u32),
                    (values[0], values[1], values[2]),
                    exit,
                );
                if info.result.is_some() {
                    assembly.return_values(&[value]);
                } else {
                    assembly.return_values(&[]);
                }
                assembly.end();
                let program = assembly.program();
                let last = (size.saturating_sub(offset + width)) >> scale;
                let huge = u64::MAX >> scale;
                let wraps = (u64::MAX - offset - width + 1) >> scale;
                for index in [
                    0,
                    1,
                    last,
                    last + 1,
                    size,
                    huge,
                    huge.wrapping_add(1),
                    wraps,
                    wraps.wrapping_add(1),
                    1 << 63,
                    1 << 61,
                    u64::MAX,
                    u64::MAX - 7,
                    1 << 32,
                ] {
                    accesses += 1;
                    let mut machine = Machine::for_program(&program, &[]);
                    for (at, byte) in machine.region_mut(0).iter_mut().enumerate() {
                        *byte = 0x81u8.wrapping_add((at as u8).wrapping_mul(7));
                    }
                    let mut plain = machine.clone();
                    let arguments = [index, 0x8182_8384_8586_8788 & mask(types[1]), 3];
                    let ran = oracle::run(&program, &mut machine, 0, &arguments, false).unwrap();
                    let at = (u128::from(index) << scale) + u128::from(offset);
                    let is_in = at + u128::from(width) <= u128::from(size);
                    let is_aligned = !info.has(flags::ATOMIC) || at % u128::from(width) == 0;
                    let what = format!("{} {scale} {offset} {index:#x}", code.name());
                    let expected = if is_in && is_aligned {
                        Status::Returned
                    } else {
                        Status::Trapped
                    };
                    assert_eq!(ran.status, expected, "{what}");
                    let mut walked = patchjit_tests::reference::run(
                        &program, &mut plain, 0, &arguments, false, 100,
                    )
                    .unwrap();
                    walked.ops = 0;
                    assert_eq!(ran, walked, "{what}");
                    assert_eq!(machine.memory(), plain.memory(), "{what}");
                }
            }
        }
    }
    assert!(accesses > 5000, "{accesses}");
}

fn mask(ty: Type) -> u64 {
    if ty.bits() == 32 {
        0xffff_ffff
    } else {
        u64::MAX
    }
}

#[test]
fn raw_accesses_reach_what_they_are_given() {
    for code in Opcode::all() {
        let info = code.info();
        if !info.has(flags::RAW) {
            continue;
        }
        for offset in [0i32, 5, -9] {
            let mut assembly = Assembly::new();
            let results: Vec<Type> = info.result.into_iter().collect();
            let (_, values) = assembly.begin(&[Type::I64, info.operands[1]], &results);
            let is_load = info.shape == Shape::Load;
            let stored = if is_load { 0 } else { values[1] };
            let value = assembly.push(code, 0, values[0], stored, offset as u32);
            assembly.return_values(if is_load {
                std::slice::from_ref(&value)
            } else {
                &[]
            });
            assembly.end();
            let mut bytes = [0xf1u8; 48];
            for (at, byte) in bytes.iter_mut().enumerate() {
                *byte = byte.wrapping_add(at as u8);
            }
            let base = bytes.as_mut_ptr().expose_provenance() as u64 + 16;
            let at = (16 + offset) as usize;
            let width = usize::from(info.width);
            let mut word = [0u8; 8];
            word[..width].copy_from_slice(&bytes[at..at + width]);
            let old = u64::from_le_bytes(word);
            let stored = 0x0102_0304_0506_0708u64 & mask(info.operands[1]);
            let ran = run(&assembly, &[base, stored]).unwrap();
            assert_eq!(ran.status, Status::Returned);
            if is_load {
                let shift = 64 - 8 * width;
                let wide = if info.sign_extends {
                    ((old << shift) as i64 >> shift) as u64
                } else {
                    old
                };
                assert_eq!(
                    ran.results,
                    [wide & mask(info.result.unwrap())],
                    "{}",
                    code.name()
                );
            } else {
                let after = std::hint::black_box(&bytes)[at..at + width].to_vec();
                assert_eq!(after, &stored.to_le_bytes()[..width], "{}", code.name());
            }
        }
    }
    assert_eq!(NONE, u32::MAX);
}
