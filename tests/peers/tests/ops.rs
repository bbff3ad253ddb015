//! Every scalar op through Cranelift against the op table, on operands that sit at the edges.

use cranelift_codegen::Context as CompilerContext;
use patchjit::ir::{ExitKind, NONE};
use patchjit::ops::{Opcode, Shape, evaluate, flags};
use patchjit::runtime::{Context, Status};
use patchjit::types::Type;
use patchjit_peers::machine::{Compiled, Processor, Settings, compiler, translate};
use patchjit_peers::pages::Pages;
use patchjit_tests::assemble::Assembly;

const INTEGERS: [u64; 20] = [
    0,
    1,
    2,
    7,
    31,
    32,
    33,
    63,
    64,
    0x1234_5678,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_fffe,
    0xffff_ffff,
    0x1_0000_0000,
    0x0123_4567_89ab_cdef,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    0xffff_ffff_ffff_fffe,
    0xffff_ffff_ffff_ffff,
];

const FLOATS: [f64; 32] = [
    0.0,
    -0.0,
    0.5,
    -0.5,
    1.0,
    -1.0,
    1.5,
    2.5,
    -2.5,
    -0.999_999_9,
    1e10,
    -1e10,
    2147483647.0,
    2147483647.5,
    2147483648.0,
    -2147483648.0,
    -2147483648.5,
    -2147483649.0,
    4294967295.0,
    4294967295.5,
    4294967296.0,
    9223372036854775807.0,
    -9223372036854775808.0,
    -9223372036854777856.0,
    18446744073709551615.0,
    18446744073709549568.0,
    1e300,
    f64::MIN_POSITIVE,
    5e-324,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
];

fn operands(ty: Type) -> Vec<u64> {
    match ty {
        Type::I32 => INTEGERS.iter().map(|&bits| bits & 0xffff_ffff).collect(),
        Type::I64 | Type::Ref => INTEGERS.to_vec(),
        Type::F32 => {
            let bits = |value: &f64| u64::from((*value as f32).to_bits());
            FLOATS.iter().map(bits).collect()
        }
        Type::F64 => FLOATS.iter().map(|value| value.to_bits()).collect(),
    }
}

fn is_scalar(code: &Opcode) -> bool {
    matches!(code.info().shape, Shape::Unary | Shape::Binary)
}

/// One function for each scalar op, in the order of the table. An op that leaves has exit 9.
fn all_scalar_ops() -> (Assembly, Vec<Opcode>) {
    let mut assembly = Assembly::new();
    let codes: Vec<Opcode> = Opcode::all().filter(is_scalar).collect();
    for &code in &codes {
        let info = code.info();
        let types = &info.operands[..usize::from(info.operand_count)];
        let (_, values) = assembly.begin(types, &[info.result.unwrap()]);
        let exit = if info.has(flags::LEAVES) {
            assembly.exit(ExitKind::Deoptimize, 9, &[(1, values[0])])
        } else {
            NONE
        };
        let b = values.get(1).copied().unwrap_or(0);
        let value = assembly.scalar(code, values[0], b, exit);
        assembly.return_values(&[value]);
        assembly.end();
    }
    (assembly, codes)
}

fn compile(assembly: &Assembly, settings: Settings) -> Compiled {
    let pages = Pages::new(1 << 20).unwrap();
    let isa = compiler(settings, Processor::Native).unwrap();
    let program = assembly.program();
    let translated = translate(&program, &isa, &pages).unwrap();
    translated.verify().unwrap();
    let mut context = CompilerContext::new();
    translated.compile(&program, &mut context).unwrap()
}

fn is_nan(ty: Type, bits: u64) -> bool {
    match ty {
        Type::F32 => f32::from_bits(bits as u32).is_nan(),
        Type::F64 => f64::from_bits(bits).is_nan(),
        _ => false,
    }
}

#[test]
fn scalar_ops_do_what_the_table_says() {
    let (assembly, codes) = all_scalar_ops();
    for settings in Settings::ALL {
        let compiled = compile(&assembly, settings);
        let mut compared = 0;
        for (function, &code) in codes.iter().enumerate() {
            let info = code.info();
            let first = operands(info.operands[0]);
            let second = match info.operand_count {
                2 => operands(info.operands[1]),
                _ => vec![0],
            };
            for &a in &first {
                for &b in &second {
                    let mut slots = [77u64; 2];
                    let mut context = Context::new();
                    context.slots = slots.as_mut_ptr();
                    context.depth = 1;
                    let mut values = [a, b];
                    // SAFETY: the program has two slots and a depth of one; it reaches nothing else.
                    let status = unsafe { compiled.run(function, &mut context, &mut values) };
                    let what = format!("{} {a:#x} {b:#x} {settings:?}", code.name());
                    match evaluate(code, a, b).unwrap() {
                        Some(expected) => {
                            assert_eq!(status, Status::Returned, "{what}");
                            let ty = info.result.unwrap();
                            let both_nan = is_nan(ty, expected) && is_nan(ty, values[0]);
                            assert!(
                                values[0] == expected || both_nan,
                                "{what}: {:#x}, not {expected:#x}",
                                values[0]
                            );
                            assert_eq!(slots, [77; 2], "{what}");
                        }
                        None => {
                            assert_eq!(status, Status::Deoptimized, "{what}");
                            assert_eq!((context.exit_number, slots[1]), (9, a), "{what}");
                        }
                    }
                    assert_eq!(context.depth, 1, "{what}");
                    compared += 1;
                }
            }
        }
        assert!(compared > 30_000, "{compared}");
    }
}

/// A function that calls itself without end, and one whose trap abandons three frames.
#[test]
fn frames_are_abandoned() {
    let mut assembly = Assembly::new();
    let (endless, values) = assembly.begin(&[Type::I64], &[Type::I64]);
    let results = assembly.call(Opcode::Call, endless, &values, NONE);
    assembly.return_values(&results);
    assembly.end();
    let (inner, values) = assembly.begin(&[Type::I64], &[]);
    let zero = assembly.i64(0);
    let less = assembly.scalar(Opcode::I64LtS, values[0], zero, NONE);
    let trap = assembly.exit(ExitKind::Trap, 5, &[(0, values[0])]);
    assembly.push(Opcode::GuardNot, 0, less, 0, trap);
    assembly.return_values(&[]);
    assembly.end();
    let (middle, values) = assembly.begin(&[Type::I64], &[Type::I64]);
    assembly.call(Opcode::Call, inner, &values, NONE);
    assembly.return_values(&values);
    assembly.end();
    let (outer, values) = assembly.begin(&[Type::I64], &[Type::I64]);
    let results = assembly.call(Opcode::Call, middle, &values, NONE);
    assembly.return_values(&results);
    assembly.end();
    for settings in Settings::ALL {
        let compiled = compile(&assembly, settings);
        let run = |function: u32, argument: i64, depth: i64| {
            let mut slots = [0u64];
            let mut context = Context::new();
            context.slots = slots.as_mut_ptr();
            context.depth = depth;
            let mut values = [argument.cast_unsigned()];
            // SAFETY: one slot, one value, a depth for which the stack has room.
            let status = unsafe { compiled.run(function as usize, &mut context, &mut values) };
            (
                status,
                context.exit_number,
                slots[0],
                values[0].cast_signed(),
            )
        };
        assert_eq!(run(endless, 3, 1000).0, Status::TooDeep);
        assert_eq!(run(outer, 7, 3), (Status::Returned, 0, 0, 7));
        assert_eq!(run(outer, 7, 2).0, Status::TooDeep);
        let (status, number, slot, _) = run(outer, -4, 3);
        assert_eq!((status, number), (Status::Trapped, 5));
        assert_eq!(slot.cast_signed(), -4);
    }
}
