//! Executes every template of the ops against the op table, over edge cases, in several register assignments.
#![cfg(all(
    any(
        target_arch = "x86_64",
        target_arch = "aarch64",
        target_arch = "riscv64"
    ),
    any(target_os = "linux", windows)
))]

mod common;

use common::*;
use patchjit::ops::{self, OpInfo, Opcode, Shape, flags};
use patchjit::stencil::{Family, Form, FormKind, Immediate, OperandKind};
use patchjit::types::Type;

/// How many assignments of each template are executed.
const ASSIGNMENTS: usize = 20;

fn edges(ty: Type, numbers: &mut Numbers) -> Vec<u64> {
    match ty {
        Type::I32 => {
            let mut list: Vec<u64> = [
                0u32,
                1,
                2,
                3,
                31,
                32,
                33,
                63,
                64,
                0x7f,
                0x80,
                0xff,
                0x7fff,
                0x8000,
                0xffff,
                0x7fff_ffff,
                0x8000_0000,
                0x8000_0001,
                0xffff_fffe,
                0xffff_ffff,
                0x1234_5678,
                46341,
            ]
            .map(u64::from)
            .to_vec();
            list.extend((0..4).map(|_| numbers.next() & 0xffff_ffff));
            // The upper half is not the op's: it is filled with anything.
            list.iter().map(|low| low | numbers.next() << 32).collect()
        }
        Type::I64 | Type::Ref => {
            let mut list = vec![
                0,
                1,
                2,
                3,
                31,
                32,
                63,
                64,
                65,
                0x80,
                0x8000,
                0x7fff_ffff,
                0x8000_0000,
                0xffff_ffff,
                1 << 32,
                i64::MAX as u64,
                i64::MIN as u64,
                i64::MIN as u64 + 1,
                u64::MAX,
                u64::MAX - 1,
                (-128i64) as u64,
                i32::MIN as i64 as u64,
                0x8000_0000_0000_0401,
                0x8000_0000_0000_0400,
                (1 << 53) + 1,
                0x7fff_ffbf_ffff_ffff,
                0xffff_ff7f_ffff_ffff,
                3_037_000_500,
            ];
            list.extend((0..4).map(|_| numbers.next()));
            list.extend((0..4).map(|_| numbers.next() >> 11));
            list
        }
        Type::F32 => {
            let mut list: Vec<f32> = vec![
                0.0,
                -0.0,
                0.5,
                -0.5,
                1.0,
                -1.0,
                1.5,
                2.5,
                -2.5,
                -0.99999994,
                f32::MIN_POSITIVE,
                -f32::MIN_POSITIVE,
                1e-45,
                -1e-45,
                f32::MAX,
                f32::MIN,
                f32::INFINITY,
                f32::NEG_INFINITY,
                f32::NAN,
                -f32::NAN,
                2147483648.0,
                2147483520.0,
                -2147483648.0,
                -2147483904.0,
                4294967296.0,
                4294967040.0,
                9223372036854775808.0,
                9223371487098961920.0,
                -9223372036854775808.0,
                -9223373136366403584.0,
                18446744073709551616.0,
                18446742974197923840.0,
                1e10,
                -1e10,
                8388609.0,
                16777217.0,
                -5.0,
            ];
            list.push(f32::from_bits(0x7f80_0001));
            list.extend((0..6).map(|_| f32::from_bits(numbers.next() as u32)));
            // What is above is anything, unless the set says otherwise.
            let above = SET.registers.above_f32;
            list.iter()
                .map(|x| u64::from(x.to_bits()) | numbers.next() << 32 | above)
                .collect()
        }
        Type::F64 => {
            let mut list: Vec<f64> = vec![
                0.0,
                -0.0,
                0.5,
                -0.5,
                1.0,
                -1.0,
                1.5,
                2.5,
                -2.5,
                -0.9999999999999999,
                f64::MIN_POSITIVE,
                5e-324,
                -5e-324,
                f64::MAX,
                f64::MIN,
                f64::INFINITY,
                f64::NEG_INFINITY,
                f64::NAN,
                -f64::NAN,
                2147483648.0,
                2147483647.5,
                2147483647.0,
                -2147483648.0,
                -2147483648.9,
                -2147483649.0,
                4294967296.0,
                4294967295.9,
                9223372036854775808.0,
                9223372036854774784.0,
                -9223372036854775808.0,
                -9223372036854777856.0,
                18446744073709551616.0,
                18446744073709549568.0,
                1e19,
                1e300,
                -1e300,
                1e-300,
                4503599627370497.5,
                1e40,
                -5.0,
            ];
            list.push(f64::from_bits(0x7ff0_0000_0000_0001));
            list.extend((0..6).map(|_| f64::from_bits(numbers.next())));
            list.iter().map(|x| x.to_bits()).collect()
        }
    }
}

/// Whether two results are the same value: NaNs are, and of narrow types only the low half counts.
fn same(ty: Type, a: u64, b: u64) -> bool {
    match ty {
        Type::I32 => a as u32 == b as u32,
        Type::F32 => {
            let (x, y) = (f32::from_bits(a as u32), f32::from_bits(b as u32));
            a as u32 == b as u32 || x.is_nan() && y.is_nan()
        }
        Type::F64 => {
            let (x, y) = (f64::from_bits(a), f64::from_bits(b));
            a == b || x.is_nan() && y.is_nan()
        }
        _ => a == b,
    }
}

/// Executes one form of a scalar op with every pair of edge operands.
fn execute_scalar(
    code: Opcode,
    kind: FormKind,
    family: &Family,
    pages: &mut Pages,
    numbers: &mut Numbers,
) {
    let info = code.info();
    let name = format!("{} {kind:?}", info.name);
    let jumps = matches!(
        kind,
        FormKind::Jump | FormKind::JumpImmediate | FormKind::JumpNot
    );
    let has_immediate = family.immediate != Immediate::None;
    let first = usize::from(family.has_output);
    let shift = matches!(
        info.name.rsplit('.').next(),
        Some("shl" | "shr_s" | "shr_u" | "rotl" | "rotr")
    );
    let checked_outside = ["div_s", "div_u", "rem_s", "rem_u"]
        .iter()
        .any(|op| info.name.ends_with(op));
    assert_eq!(family.has_output, !jumps, "{name}");
    let count = (0..4)
        .filter(|&k| family.kinds[k] != OperandKind::None)
        .count()
        - first
        + usize::from(has_immediate);
    assert_eq!(count, usize::from(info.operand_count), "{name}: operands");

    let mut prepared = Vec::new();
    pages.clear();
    for (template, assignments) in cases(family, ASSIGNMENTS) {
        assert!(
            !assignments.is_empty(),
            "{name}: a template that serves nothing"
        );
        for registers in assignments {
            for &immediate in immediates(template.immediate) {
                let width = i64::from(info.operands[0].bits());
                if shift && !(0..width).contains(&immediate) && has_immediate {
                    continue;
                }
                prepared.push((
                    registers,
                    immediate,
                    pages.add(&callable(template, &registers, immediate)),
                ));
            }
        }
    }
    pages.publish();
    let lists: Vec<Vec<u64>> = (0..2).map(|k| edges(info.operands[k], numbers)).collect();
    let background = State::filled(numbers);
    for (registers, immediate, start) in prepared {
        for &x in &lists[0] {
            for &y in &lists[1] {
                let binary = info.operand_count == 2 && !has_immediate;
                if !binary && y != lists[1][0] {
                    break;
                }
                let mut before = background.clone();
                before.set_operand(family.kinds[first], registers[first], x);
                if binary {
                    before.set_operand(family.kinds[first + 1], registers[first + 1], y);
                }
                // Read back: the operands may share a register.
                let a = before.operand(family.kinds[first], registers[first]);
                let b = if binary {
                    before.operand(family.kinds[first + 1], registers[first + 1])
                } else {
                    immediate as u64
                };
                let expected = ops::evaluate(code, a, b).expect("a scalar op");
                if checked_outside && expected.is_none() {
                    continue;
                }
                let mut after = before.clone();
                run(start, &mut after);
                let goes = match kind {
                    FormKind::Jump | FormKind::JumpImmediate => expected == Some(1),
                    FormKind::JumpNot => expected == Some(0),
                    _ => expected.is_none(),
                };
                assert_eq!(
                    after.jumped == 1,
                    goes,
                    "{name} {registers:?} ({a:#x}, {b:#x})"
                );
                if let (false, Some(expected)) = (jumps, expected) {
                    let ty = info.result.expect("a result");
                    let found = after.operand(family.kinds[0], registers[0]);
                    assert!(
                        same(ty, found, expected),
                        "{name} {registers:?} ({a:#x}, {b:#x}) gives {found:#x}, not {expected:#x}"
                    );
                    if ty == Type::F32 {
                        let above = SET.registers.above_f32;
                        assert_eq!(found & above, above, "{name} {registers:?}");
                    }
                    if code == Opcode::F32Canonicalize || code == Opcode::F64Canonicalize {
                        let mask = if ty == Type::F32 {
                            0xffff_ffff
                        } else {
                            u64::MAX
                        };
                        assert_eq!(found & mask, expected & mask, "{name}: the canonical NaN");
                    }
                }
                check_kept(&name, family, &registers, &before, &after);
            }
        }
    }
}

const KINDS: [FormKind; 5] = [
    FormKind::Registers,
    FormKind::Immediate,
    FormKind::Jump,
    FormKind::JumpImmediate,
    FormKind::JumpNot,
];

/// Executes all forms of the ops that a filter takes; how many forms there were.
fn execute_all(filter: impl Fn(&OpInfo) -> bool) -> usize {
    let mut pages = Pages::new(1 << 20);
    let mut numbers = Numbers(7);
    let mut count = 0;
    for code in Opcode::all().filter(|&code| ops::evaluate(code, 0, 0).is_some()) {
        let info = code.info();
        if !filter(info) {
            continue;
        }
        for kind in KINDS {
            if let Some(family) = SET.family(Form::op(code, kind)) {
                execute_scalar(code, kind, family, &mut pages, &mut numbers);
                count += 1;
            }
        }
    }
    count
}

fn is_float(info: &OpInfo) -> bool {
    info.operands[0].is_float() || info.result.is_some_and(Type::is_float)
}

#[test]
fn i32_ops_agree_with_the_op_table() {
    assert!(execute_all(|info| !is_float(info) && info.operands[0] == Type::I32) > 80);
}

#[test]
fn i64_ops_agree_with_the_op_table() {
    assert!(execute_all(|info| !is_float(info) && info.operands[0] != Type::I32) > 80);
}

#[test]
fn float_arithmetic_agrees_with_the_op_table() {
    assert!(execute_all(|info| is_float(info) && !info.has(flags::COMPARES)) > 50);
}

#[test]
fn float_comparisons_agree_with_the_op_table() {
    assert_eq!(
        execute_all(|info| is_float(info) && info.has(flags::COMPARES)),
        36
    );
}

#[test]
fn branches_look_at_32_bits() {
    let mut pages = Pages::new(1 << 16);
    let mut numbers = Numbers(3);
    for (kind, goes_if_zero) in [(FormKind::Jump, false), (FormKind::JumpNot, true)] {
        let family = family(Form::op(Opcode::Branch, kind));
        for (template, list) in cases(family, 16) {
            for registers in list {
                pages.clear();
                let start = pages.add(&callable(template, &registers, 0));
                pages.publish();
                for value in [0u64, 1, 0x8000_0000, 1 << 32, u64::MAX] {
                    let mut before = State::filled(&mut numbers);
                    before.set_operand(family.kinds[0], registers[0], value);
                    let mut after = before.clone();
                    run(start, &mut after);
                    assert_eq!(after.jumped == 1, (value as u32 == 0) == goes_if_zero);
                    check_kept("branch", family, &registers, &before, &after);
                }
            }
        }
    }
}

#[test]
fn selects_choose_by_32_bits() {
    let mut pages = Pages::new(1 << 20);
    let mut numbers = Numbers(4);
    let mut forms = 0;
    for code in Opcode::all().filter(|code| code.info().shape == Shape::Select) {
        let family = family(Form::op(code, FormKind::Registers));
        let ty = code.info().result.expect("a result");
        forms += 1;
        for (template, list) in cases(family, 60) {
            pages.clear();
            let starts: Vec<_> = list
                .iter()
                .map(|r| pages.add(&callable(template, r, 0)))
                .collect();
            pages.publish();
            for (registers, start) in list.iter().zip(starts) {
                for condition in [0u64, 1, 0x8000_0000, 1 << 32, u64::MAX] {
                    let mut before = State::filled(&mut numbers);
                    before.set_operand(OperandKind::Int, registers[1], condition);
                    let condition = before.ints[registers[1] as usize] as u32;
                    let chosen = if condition != 0 { 2 } else { 3 };
                    let expected = before.operand(family.kinds[chosen], registers[chosen]);
                    let mut after = before.clone();
                    run(start, &mut after);
                    let found = after.operand(family.kinds[0], registers[0]);
                    assert!(
                        same(ty, found, expected),
                        "{} {registers:?} {condition:#x}",
                        code.name()
                    );
                    check_kept(code.name(), family, registers, &before, &after);
                }
            }
        }
    }
    assert_eq!(forms, 5);
}
