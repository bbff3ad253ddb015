//! Executes the forms that ops are glued together with.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

mod common;

use common::*;
use patchjit::runtime::{Context, EntryCell, HostCode, Status};
use patchjit::stencil::{Form, FormKind, Machine, OperandKind, Template};
use std::ffi::c_void;

/// The code of a form for these registers and this immediate, and its template.
fn code(machine: Machine, registers: &[u8], immediate: i64) -> (&'static Template, Vec<u8>) {
    let mut all = [0; 4];
    all[..registers.len()].copy_from_slice(registers);
    let template = SET
        .template(
            family(Form::machine(machine)),
            all.map(u32::from),
            immediate,
        )
        .unwrap_or_else(|| panic!("{machine:?} {registers:?} {immediate:#x}"));
    (template, fill(template, &all, immediate))
}

/// Runs every template of a form in many assignments, and shows the states before and after.
fn each(machine: Machine, mut check: impl FnMut(&Registers, i64, &State, &State)) {
    let family = family(Form::machine(machine));
    let mut pages = Pages::new(1 << 16);
    let mut numbers = Numbers(machine as u64);
    for (template, list) in cases(family, 40) {
        assert!(!list.is_empty());
        for registers in list {
            for &immediate in immediates(template.immediate) {
                pages.clear();
                let start = pages.add(&callable(template, &registers, immediate));
                pages.publish();
                let before = State::filled(&mut numbers);
                let mut after = before.clone();
                run(start, &mut after);
                check_kept("machine", family, &registers, &before, &after);
                check(&registers, immediate, &before, &after);
            }
        }
    }
}

#[test]
fn moves_and_constants() {
    each(Machine::MoveInt, |r, _, before, after| {
        assert_eq!(after.ints[r[0] as usize], before.ints[r[1] as usize])
    });
    each(Machine::MoveFloat, |r, _, before, after| {
        assert_eq!(
            after.floats[r[0] as usize][0],
            before.floats[r[1] as usize][0]
        );
    });
    each(Machine::ConstZero, |r, _, _, after| {
        assert_eq!(after.ints[r[0] as usize], 0)
    });
    each(Machine::ConstUnsigned32, |r, i, _, after| {
        assert_eq!(after.ints[r[0] as usize], i as u32 as u64)
    });
    each(Machine::ConstSigned32, |r, i, _, after| {
        assert_eq!(after.ints[r[0] as usize], i as u64)
    });
    each(Machine::Const64, |r, i, _, after| {
        assert_eq!(after.ints[r[0] as usize], i as u64)
    });
    each(Machine::ConstFloatZero, |r, _, _, after| {
        assert_eq!(after.floats[r[0] as usize][0], 0)
    });
    each(Machine::Landing, |_, _, _, after| {
        assert_eq!(after.jumped, 0)
    });
    each(Machine::Jump, |_, _, _, after| assert_eq!(after.jumped, 1));
}

#[test]
fn bits_of_operands_jump() {
    let mut pages = Pages::new(1 << 16);
    let mut numbers = Numbers(5);
    for (machine, if_set) in [
        (Machine::JumpBitsSet, true),
        (Machine::JumpBitsClear, false),
    ] {
        let family = family(Form::machine(machine));
        for (template, list) in cases(family, 40) {
            for registers in list {
                for (mask, value) in [
                    (0, u64::MAX),
                    (1, 3),
                    (3, 4),
                    (3, 2),
                    (3, 1),
                    (7, 8),
                    (7, 4),
                    (7, u64::MAX),
                    (0x7f, 0x80),
                    (0x7f, 0x40),
                    (-0x80, 0x7f),
                    (-0x80, 0x180),
                    (-1, 0xff00),
                    (-1, 0x10),
                ] {
                    pages.clear();
                    let start = pages.add(&callable(template, &registers, mask));
                    pages.publish();
                    let mut before = State::filled(&mut numbers);
                    before.ints[registers[0] as usize] = value;
                    let mut after = before.clone();
                    run(start, &mut after);
                    let is_set = value & u64::from(mask as u8) != 0;
                    assert_eq!(after.jumped == 1, is_set == if_set);
                    check_kept("bits", family, &registers, &before, &after);
                }
            }
        }
    }
}

/// Values that comparisons tell apart, for both widths and as floats.
const COMPARED: [u64; 14] = [
    0,
    1,
    2,
    0x7f,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    1 << 32,
    i64::MAX as u64,
    i64::MIN as u64,
    u64::MAX,
    0x3ff0_0000_3f80_0000,
    0xbff0_0000_bf80_0000,
    0x7ff8_0000_7fc0_0000,
];

type Holds = fn(Machine, u64, u64) -> bool;

/// What a form that chooses makes of two numbers as they were compared.
fn holds<T: PartialOrd, U: PartialOrd>(choose: Machine, signed: [T; 2], unsigned: [U; 2]) -> bool {
    let ([a, b], [c, d]) = (signed, unsigned);
    match choose {
        Machine::ChooseEq => a == b,
        Machine::ChooseNe => a != b,
        Machine::ChooseLtS => a < b,
        Machine::ChooseGtS => a > b,
        Machine::ChooseLeS => a <= b,
        Machine::ChooseGeS => a >= b,
        Machine::ChooseLtU => c < d,
        Machine::ChooseGtU => c > d,
        Machine::ChooseLeU => c <= d,
        _ => c >= d,
    }
}

/// Runs a comparison and a choice behind it, in many assignments of both.
fn compare_and_choose(compare: Machine, chooses: &[Machine], holds: Holds) {
    let mut pages = Pages::new(1 << 16);
    let mut numbers = Numbers(compare as u64);
    let compared = family(Form::machine(compare));
    for &choose in chooses {
        let chosen = family(Form::machine(choose));
        let choices: Vec<_> = cases(chosen, 12)
            .into_iter()
            .flat_map(|(template, list)| list.into_iter().map(move |r| (template, r)))
            .collect();
        let mut next = choices.iter().cycle();
        for (template, list) in cases(compared, 24) {
            for registers in list {
                for &immediate in immediates(template.immediate) {
                    let (choice, picked) = next.next().expect("some choice");
                    let mut code = fill(template, &registers, immediate);
                    code.extend(callable(choice, picked, 0));
                    pages.clear();
                    let start = pages.add(&code);
                    pages.publish();
                    for (x, y) in COMPARED.iter().flat_map(|&x| COMPARED.map(|y| (x, y))) {
                        let mut before = State::filled(&mut numbers);
                        before.set_operand(compared.kinds[0], registers[0], x);
                        let has_second = compared.kinds[1] != OperandKind::None;
                        if has_second {
                            before.set_operand(compared.kinds[1], registers[1], y);
                        }
                        let a = before.operand(compared.kinds[0], registers[0]);
                        let b = if has_second {
                            before.operand(compared.kinds[1], registers[1])
                        } else {
                            immediate as u64
                        };
                        let which = if holds(choose, a, b) { 1 } else { 2 };
                        let expected = before.ints[picked[which] as usize];
                        let mut after = before.clone();
                        run(start, &mut after);
                        assert_eq!(
                            after.ints[picked[0] as usize], expected,
                            "{compare:?} {registers:?} ({a:#x}, {b:#x}), {choose:?} {picked:?}"
                        );
                        check_kept("choose", chosen, picked, &before, &after);
                    }
                }
            }
        }
    }
}

#[test]
fn comparisons_choose() {
    use Machine::*;
    let all = [
        ChooseEq, ChooseNe, ChooseLtS, ChooseLtU, ChooseGtS, ChooseGtU, ChooseLeS, ChooseLeU,
        ChooseGeS, ChooseGeU,
    ];
    for compare in [CompareI32, CompareI32Immediate] {
        compare_and_choose(compare, &all, |choose, a, b| {
            holds(choose, [a as i32, b as i32], [a as u32, b as u32])
        });
    }
    for compare in [CompareI64, CompareI64Immediate] {
        compare_and_choose(compare, &all, |choose, a, b| {
            holds(choose, [a as i64, b as i64], [a, b])
        });
    }
    compare_and_choose(CompareBits, &[ChooseEq, ChooseNe], |choose, a, b| {
        let bits = a as u8 & b as u8;
        holds(choose, [bits, 0], [bits, 0])
    });
    let floats = [ChooseGtU, ChooseGeU];
    compare_and_choose(CompareF32, &floats, |choose, a, b| {
        let [a, b] = [a, b].map(|bits| f32::from_bits(bits as u32));
        holds(choose, [a, b], [a, b])
    });
    compare_and_choose(CompareF64, &floats, |choose, a, b| {
        let [a, b] = [a, b].map(f64::from_bits);
        holds(choose, [a, b], [a, b])
    });
}

#[test]
fn lowest_bytes_jump() {
    let mut pages = Pages::new(1 << 16);
    let mut numbers = Numbers(8);
    for (machine, if_equal) in [(Machine::JumpByteEq, true), (Machine::JumpByteNe, false)] {
        let family = family(Form::machine(machine));
        for (template, list) in cases(family, 40) {
            for registers in list {
                for byte in [0i8, 1, 2, 0x7f, -1, -128] {
                    pages.clear();
                    let start = pages.add(&callable(template, &registers, byte.into()));
                    pages.publish();
                    for value in [0, 1, 0x101, 0x1_0002, 0xff, u64::MAX, 0x80, 0xff7f] {
                        let mut before = State::filled(&mut numbers);
                        before.ints[registers[0] as usize] = value;
                        let mut after = before.clone();
                        run(start, &mut after);
                        assert_eq!(after.jumped == 1, (value as i8 == byte) == if_equal);
                        check_kept("byte", family, &registers, &before, &after);
                    }
                }
            }
        }
    }
}

#[test]
fn frames_keep_values() {
    let mut pages = Pages::new(1 << 16);
    let mut numbers = Numbers(6);
    let banks = [
        (
            Machine::FrameStoreInt,
            Machine::FrameLoadInt,
            OperandKind::Int,
        ),
        (
            Machine::FrameStoreFloat,
            Machine::FrameLoadFloat,
            OperandKind::Float,
        ),
    ];
    for (store, load, kind) in banks {
        let loads = assignments(family(Form::machine(load)));
        for (slot, size) in [(8, 64), (120, 128), (128, 1024), (4000, 8192)] {
            for (from, to) in assignments(family(Form::machine(store)))
                .iter()
                .zip(loads.iter().rev())
            {
                let mut c = context();
                c.depth = 3;
                // The value is stored in the frame, found in the frame grown, and the frame shrunk again.
                let growth = 2 * size;
                let mut bytes = enter_frame(size);
                bytes.extend(code(store, &from[..1], slot).1);
                bytes.extend(code(Machine::FrameGrow, &[], growth).1);
                bytes.extend(code(load, &to[..1], growth + slot).1);
                bytes.extend(code(Machine::FrameShrink, &[], growth).1);
                bytes.extend(code(Machine::FrameLeave, &[], size).1);
                bytes.push(0xc3);
                pages.clear();
                let start = pages.add(&bytes);
                pages.publish();
                let mut before = State::filled(&mut numbers);
                before.ints[5] = std::ptr::from_mut(&mut c) as u64;
                let mut after = before.clone();
                run(start, &mut after);
                assert_eq!(c.depth, 3);
                let value = before.operand(kind, from[0]);
                assert_eq!(
                    after.operand(kind, to[0]),
                    value,
                    "{store:?} {from:?} {to:?} {slot}"
                );
                let mut wanted = before.clone();
                match kind {
                    OperandKind::Float => wanted.floats[to[0] as usize] = [value, 0],
                    _ => wanted.ints[to[0] as usize] = value,
                }
                wanted.ints[4] = after.ints[4];
                wanted.jumped = after.jumped;
                assert_eq!(wanted, after);
            }
        }
    }
}

/// The beginning of a function that is never too deep.
fn enter_frame(size: i64) -> Vec<u8> {
    let (template, mut bytes) = code(Machine::FrameEnter, &[], size);
    link(&mut bytes, template, 0, 0);
    bytes
}

fn context() -> Context {
    Context::new()
}

/// Runs a form without operands on a context; whether it went to its target.
fn on_context(machine: Machine, immediate: i64, context: &mut Context) -> bool {
    let (template, _) = code(machine, &[], immediate);
    let mut pages = Pages::new(4096);
    let start = pages.add(&callable(template, &[0; 4], immediate));
    pages.publish();
    let mut before = State::filled(&mut Numbers(9));
    before.ints[5] = std::ptr::from_mut(context) as u64;
    let mut after = before.clone();
    run(start, &mut after);
    check_kept(
        "context",
        family(Form::machine(machine)),
        &[0; 4],
        &before,
        &after,
    );
    after.jumped == 1
}

#[test]
fn the_context_is_counted_and_written() {
    let mut c = context();
    (c.fuel, c.depth) = (1, 1);
    assert!(!on_context(Machine::ChargeFuel, 0, &mut c));
    assert!(on_context(Machine::ChargeFuel, 0, &mut c));
    assert_eq!((c.fuel, c.depth), (-1, 1));
    assert!(!on_context(Machine::FrameEnter, 0, &mut c));
    assert!(on_context(Machine::FrameEnter, 0, &mut c));
    assert!(!on_context(Machine::FrameLeave, 0, &mut c));
    assert_eq!((c.fuel, c.depth), (-1, 0));
    assert!(!on_context(Machine::Poll, 0, &mut c));
    *c.interrupt.get_mut() = 0x8000_0000;
    assert!(on_context(Machine::Poll, 0, &mut c));
    for value in [0u32, 1, 0x8000_0000, u32::MAX] {
        on_context(Machine::StoreStatus, i64::from(value), &mut c);
        on_context(Machine::StoreExitNumber, i64::from(!value), &mut c);
        assert_eq!((c.status, c.exit_number, c.reserved), (value, !value, 0));
    }
}

#[test]
fn a_function_that_deoptimizes_says_so() {
    let mut pages = Pages::new(1 << 12);
    let mut numbers = Numbers(11);
    for size in [0, 24, 4096] {
        let mut c = context();
        c.depth = 1;
        let mut bytes = enter_frame(size);
        bytes.extend(code(Machine::Deoptimize, &[], size).1);
        pages.clear();
        let start = pages.add(&bytes);
        pages.publish();
        let mut before = State::filled(&mut numbers);
        before.ints[5] = std::ptr::from_mut(&mut c) as u64;
        let mut after = before.clone();
        run(start, &mut after);
        let status = Status::Deoptimized as u32;
        assert_eq!((c.depth, c.status, after.ints[10]), (1, status, 1));
        before.ints[10] = 1;
        before.jumped = after.jumped;
        assert_eq!(before, after);
    }
}

#[test]
fn jump_tables_go_to_their_entries() {
    let family = family(Form::machine(Machine::JumpTable));
    let mut pages = Pages::new(1 << 16);
    let mut numbers = Numbers(10);
    for (template, list) in cases(family, 60) {
        for registers in list {
            let mut bytes = fill(template, &registers, 0);
            let clear = bytes.len();
            bytes.extend([0xf8, 0xc3]);
            let set = bytes.len();
            bytes.extend([0xf9, 0xc3]);
            let table = bytes.len();
            for to in [set, clear, set] {
                bytes.extend((to as i32 - table as i32).to_le_bytes());
            }
            link(&mut bytes, template, 0, table);
            pages.clear();
            let start = pages.add(&bytes);
            pages.publish();
            for index in 0..3u64 {
                let mut before = State::filled(&mut numbers);
                // The upper half of an i32 is anything.
                before.ints[registers[1] as usize] = index | numbers.next() << 32;
                let mut after = before.clone();
                run(start, &mut after);
                assert_eq!(after.jumped, 1 - index % 2, "{registers:?}");
                check_kept("table", family, &registers, &before, &after);
            }
        }
    }
}

unsafe extern "C" fn host(context: *mut c_void, values: *mut u64) -> u32 {
    // SAFETY: the test passes a number as the context, and the stack pointer with a slot behind it.
    unsafe { *values = *values * 3 + context as u64 };
    77
}

#[test]
fn entry_calls_and_exits_fit_together() {
    // entry: calls the body, stores what it leaves in rax as a result, returns. The body takes its argument
    // from `values`, calls a host function through the table, then itself through a cell, or leaves.
    const DEPTH: i64 = 4096;
    let mut bytes = code(Machine::Entry, &[], 0).1;
    let (call, call_code) = code(Machine::CallDirect, &[], 0);
    let call_at = bytes.len();
    bytes.extend(call_code);
    bytes.extend(code(Machine::EntryResume, &[], 0).1);
    let store = Form::op(patchjit::ops::Opcode::I64Store, FormKind::Immediate);
    let template = SET
        .template(family(store), [10, 0, 0, 0], 0)
        .expect("a store");
    bytes.extend(fill(template, &[10, 0, 0, 0], 0));
    bytes.extend(code(Machine::EntryReturn, &[], 0).1);
    let abandon = bytes.len();
    bytes.extend(code(Machine::EntryAbandon, &[], 0).1);
    bytes.extend(code(Machine::Unreachable, &[], 0).1);
    let body = bytes.len();
    link(&mut bytes, call, call_at, body);
    // The frame is 8 bytes more than a multiple of 16, so that the stack is aligned at the calls in it.
    let (enter, enter_code) = code(Machine::FrameEnter, &[], DEPTH + 8);
    bytes.extend(enter_code);
    link(&mut bytes, enter, body, abandon);
    let load = Form::op(patchjit::ops::Opcode::I64Load, FormKind::Immediate);
    let template = SET
        .template(family(load), [7, 10, 0, 0], 0)
        .expect("a load");
    bytes.extend(fill(template, &[7, 10, 0, 0], 0));
    bytes.extend(code(Machine::FrameStoreInt, &[7], 0).1);
    bytes.extend(code(Machine::CallHost, &[], 8).1);
    bytes.extend(code(Machine::StoreStatus, &[], Status::TooDeep as i64).1);
    let (poll, poll_code) = code(Machine::Poll, &[], 0);
    let poll_at = bytes.len();
    bytes.extend(poll_code);
    link(&mut bytes, poll, poll_at, abandon);
    bytes.extend(code(Machine::FrameLoadInt, &[0], 0).1);
    let load_cells = SET
        .template(family(load), [6, 5, 0, 0], 24)
        .expect("a load");
    bytes.extend(fill(load_cells, &[6, 5, 0, 0], 24));
    bytes.extend(code(Machine::CallThrough, &[6], 16).1);
    bytes.extend(code(Machine::Return, &[], DEPTH + 8).1);
    let leaf = bytes.len();
    bytes.extend(enter_frame(0));
    let add = Form::op(patchjit::ops::Opcode::I64Add, FormKind::Immediate);
    let template = SET
        .template(family(add), [0, 0, 0, 0], 1)
        .expect("an addition");
    bytes.extend(fill(template, &[0; 4], 1));
    bytes.extend(code(Machine::Return, &[], 0).1);

    let mut pages = Pages::new(1 << 16);
    let start = pages.add(&bytes);
    pages.publish();
    let hosts: [HostCode; 2] = [host, host];
    let cells = [
        EntryCell {
            code: 0,
            signature: 0,
        },
        EntryCell {
            code: start as u64 + leaf as u64,
            signature: 0,
        },
    ];
    let mut c = context();
    c.hosts = hosts.as_ptr();
    c.cells = cells.as_ptr();
    c.host_context = 1000 as *mut c_void;
    c.depth = 2;
    // SAFETY: the code is an entry in the platform's C convention.
    let entry: extern "C" fn(*mut Context, *mut u64) -> u32 = unsafe { std::mem::transmute(start) };
    let mut values = [5u64];
    assert_eq!(entry(&mut c, values.as_mut_ptr()), 0);
    assert_eq!(values, [5 * 3 + 1000 + 1]);
    *c.interrupt.get_mut() = 1;
    let mut values = [5u64];
    assert_eq!(entry(&mut c, values.as_mut_ptr()), Status::TooDeep as u32);
    assert_eq!(values, [5]);
}
