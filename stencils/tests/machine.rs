//! Executes the forms that ops are glued together with.
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
use patchjit::ops::Opcode;
use patchjit::runtime::{Context, EntryCell, HostCode, Status, offset};
use patchjit::stencil::{Family, Form, FormKind, Machine, OperandKind, Template};
use std::ffi::c_void;

/// The register of the context.
const CONTEXT: usize = SET.registers.context as usize;

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
    (template, fill(SET, template, &all, immediate))
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
    if SET.family(Form::machine(Machine::JumpFar)).is_some() {
        each(Machine::JumpFar, |_, _, _, after| {
            assert_eq!(after.jumped, 1)
        });
    }
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
        Machine::ChooseGeU => c >= d,
        Machine::ChooseGtF => a > b,
        _ => a >= b,
    }
}

/// Runs a comparison and a choice behind it, in many assignments of both.
fn compare_and_choose(compare: Machine, chooses: &[Machine], holds: Holds) {
    let mut pages = Pages::new(1 << 16);
    let mut numbers = Numbers(compare as u64);
    let Some(compared) = SET.family(Form::machine(compare)) else {
        // The test of tables says who may do without.
        return;
    };
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
                    let mut code = fill(SET, template, &registers, immediate);
                    code.extend(callable(choice, picked, 0));
                    pages.clear();
                    let start = pages.add(&code);
                    pages.publish();
                    for (x, y) in COMPARED.iter().flat_map(|&x| COMPARED.map(|y| (x, y))) {
                        let mut before = State::filled(&mut numbers);
                        before.set_operand(compared.kinds[0], registers[0], x);
                        let has_second = compared.kinds[1] != OperandKind::None;
                        if !has_second && y != COMPARED[0] {
                            continue;
                        }
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
    let floats = [ChooseGtF, ChooseGeF];
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
        for (slot, size) in [
            (8, 64),
            (120, 128),
            (128, 1024),
            (4000, 8192),
            (40_000, 0xa050),
        ] {
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
                bytes.extend(FELL_THROUGH);
                pages.clear();
                let start = pages.add(&bytes);
                pages.publish();
                let mut before = State::filled(&mut numbers);
                before.ints[CONTEXT] = std::ptr::from_mut(&mut c) as u64;
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
                    OperandKind::Float => wanted.floats[to[0] as usize] = State::float(value),
                    _ => wanted.ints[to[0] as usize] = value,
                }
                wanted.jumped = after.jumped;
                forget_own(&mut wanted, &after);
                assert_eq!(wanted, after);
            }
        }
    }
}

/// What is in registers that any template may write does not count.
fn forget_own(state: &mut State, other: &State) {
    for &register in OWN {
        state.ints[register] = other.ints[register];
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
    before.ints[CONTEXT] = std::ptr::from_mut(context) as u64;
    let mut after = before.clone();
    run(start, &mut after);
    let moved = match machine {
        Machine::FrameEnter => PUSHED.wrapping_neg(),
        Machine::FrameLeave => PUSHED,
        _ => 0,
    };
    before.ints[STACK_POINTER] = before.ints[STACK_POINTER].wrapping_add(moved);
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
    for value in [0u32, 1, 0x1234_5678, 0x8000_0000, u32::MAX] {
        on_context(Machine::StoreStatus, i64::from(value), &mut c);
        on_context(Machine::StoreExitNumber, i64::from(!value), &mut c);
        assert_eq!((c.status, c.exit_number, c.reserved), (value, !value, 0));
    }
}

/// On x86-64 code that has moved the stack pointer does not return; there, frames are known by what is found in them.
#[cfg(not(target_arch = "x86_64"))]
#[test]
fn frames_move_the_stack_pointer() {
    use Machine::*;
    let mut pages = Pages::new(1 << 12);
    let mut numbers = Numbers(12);
    for size in [0, 16, 0xff0, 0x1000, 0x1010, 0x12_3450, 0xff_fff0] {
        let down = size as u64 + PUSHED;
        let pieces: [(&[Machine], u64); 4] = [
            (&[FrameEnter], down),
            (&[FrameEnter, FrameLeave], 0),
            (&[FrameGrow], size as u64),
            (&[FrameGrow, FrameShrink], 0),
        ];
        for (machines, down) in pieces {
            let mut c = context();
            c.depth = 1;
            let mut bytes = Vec::new();
            for &machine in machines {
                let at = bytes.len();
                let (template, piece) = code(machine, &[], size);
                bytes.extend(piece);
                link(&mut bytes, template, at, 0);
            }
            bytes.extend(FELL_THROUGH);
            pages.clear();
            let start = pages.add(&bytes);
            pages.publish();
            let mut before = State::filled(&mut numbers);
            before.ints[CONTEXT] = std::ptr::from_mut(&mut c) as u64;
            let mut after = before.clone();
            run(start, &mut after);
            before.ints[STACK_POINTER] = before.ints[STACK_POINTER].wrapping_sub(down);
            before.jumped = after.jumped;
            forget_own(&mut before, &after);
            assert_eq!(before, after, "{machines:?} {size:#x}");
        }
    }
}

#[test]
fn functions_return_and_say_how() {
    let mut pages = Pages::new(1 << 12);
    let mut numbers = Numbers(11);
    let deoptimized = Status::Deoptimized as u32;
    let ways = [
        (Machine::Return, 0, 0),
        (Machine::Deoptimize, 1, deoptimized),
    ];
    for size in [0, 48, 4096, 0x1_0230] {
        for (machine, said, status) in ways {
            let mut c = context();
            c.depth = 1;
            let mut bytes = enter_frame(size);
            // Something in between that may use what templates have for themselves.
            bytes.extend(code(Machine::StoreExitNumber, &[], 0x1234_5678).1);
            bytes.extend(code(machine, &[], size).1);
            pages.clear();
            let start = pages.add(&bytes);
            let back = pages.add(&FELL_THROUGH);
            pages.publish();
            let mut before = State::filled(&mut numbers);
            set_return(&mut before, back);
            before.ints[CONTEXT] = std::ptr::from_mut(&mut c) as u64;
            let mut after = before.clone();
            run(start, &mut after);
            assert_eq!((c.depth, c.status, c.exit_number), (1, status, 0x1234_5678));
            before.ints[SET.registers.int_scratch as usize] = said;
            before.jumped = after.jumped;
            forget_own(&mut before, &after);
            assert_eq!(before, after, "{machine:?} {size:#x}");
        }
    }
}

#[test]
fn jump_tables_go_to_their_entries() {
    for machine in [Machine::JumpTable, Machine::JumpTableFar] {
        if let Some(family) = SET.family(Form::machine(machine)) {
            tables_lead(family);
        }
    }
}

fn tables_lead(family: &Family) {
    let mut pages = Pages::new(1 << 16);
    let mut numbers = Numbers(10);
    for (template, list) in cases(family, 60) {
        for registers in list {
            let mut bytes = fill(SET, template, &registers, 0);
            let clear = bytes.len();
            bytes.extend(FELL_THROUGH);
            let set = bytes.len();
            bytes.extend(JUMPED);
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

/// What a host function adds, and the address that stood right below its values.
#[repr(C)]
struct Called {
    addend: u64,
    from: u64,
}

unsafe extern "C" fn host(context: *mut c_void, values: *mut u64) -> u32 {
    // SAFETY: the test passes its record as the context, and the stack pointer with a slot behind it. What stands below is
    // the call's.
    unsafe {
        let called = &mut *context.cast::<Called>();
        called.from = *values.sub(1);
        *values = *values * 3 + called.addend;
    }
    assert!((values as usize).is_multiple_of(SET.registers.stack_alignment as usize));
    77
}

/// What stands where the code should not look.
unsafe extern "C" fn wrong_host(_context: *mut c_void, values: *mut u64) -> u32 {
    // SAFETY: as for the right one.
    unsafe { *values = 0 };
    78
}

/// The code of an op's form with an immediate.
fn op(code: Opcode, registers: &[u8], immediate: i64) -> Vec<u8> {
    let mut all = [0; 4];
    all[..registers.len()].copy_from_slice(registers);
    let family = family(Form::op(code, FormKind::Immediate));
    let template = SET.template(family, all.map(u32::from), immediate);
    fill(SET, template.expect("a template"), &all, immediate)
}

/// Where a test's code is entered, and its parts that something else refers to.
struct Entered {
    bytes: Vec<u8>,
    /// A function that adds 1 to its argument.
    leaf: usize,
    /// Behind the call of a host function.
    called: usize,
}

/// The entry calls the body, stores what it leaves as a result, returns. The body takes its argument from `values`, calls a
/// host function through the table, then the leaf through a cell, or leaves; it writes every register that it should keep.
fn entry_and_functions(host: i64, cell: i64) -> Entered {
    const ROOM: i64 = 4096;
    let file = &SET.registers;
    let (scratch, context) = (file.int_scratch, file.context);
    let [value, address] = [file.int_arguments[0], file.int_arguments[1]];
    let mut bytes = code(Machine::Entry, &[], 0).1;
    let (call, call_code) = code(Machine::CallDirect, &[], 0);
    let call_at = bytes.len();
    bytes.extend(call_code);
    bytes.extend(code(Machine::EntryResume, &[], 0).1);
    bytes.extend(op(Opcode::I64RawStore, &[scratch, value], 0));
    bytes.extend(code(Machine::EntryReturn, &[], 0).1);
    let abandon = bytes.len();
    bytes.extend(code(Machine::EntryAbandon, &[], 0).1);
    bytes.extend(code(Machine::Unreachable, &[], 0).1);
    let body = bytes.len();
    link(&mut bytes, call, call_at, body);
    // The frame is what makes a multiple of the alignment with the return address, so that the stack is aligned at the
    // calls in it.
    let size = ROOM + i64::from(file.return_address_size % file.stack_alignment);
    let (enter, enter_code) = code(Machine::FrameEnter, &[], size);
    bytes.extend(enter_code);
    link(&mut bytes, enter, body, abandon);
    for register in (0..32u8).filter(|register| file.preserved.0 >> register & 1 == 1) {
        bytes.extend(code(Machine::ConstZero, &[register], 0).1);
    }
    for register in (0..32u8).filter(|register| file.preserved.0 >> (32 + register) & 1 == 1) {
        bytes.extend(code(Machine::ConstFloatZero, &[register], 0).1);
    }
    bytes.extend(op(Opcode::I64RawLoad, &[value, scratch], 0));
    bytes.extend(code(Machine::FrameStoreInt, &[value], 0).1);
    bytes.extend(code(Machine::CallHost, &[], 8 * host).1);
    let called = bytes.len();
    bytes.extend(code(Machine::StoreStatus, &[], Status::TooDeep as i64).1);
    let (poll, poll_code) = code(Machine::Poll, &[], 0);
    let poll_at = bytes.len();
    bytes.extend(poll_code);
    link(&mut bytes, poll, poll_at, abandon);
    bytes.extend(code(Machine::FrameLoadInt, &[value], 0).1);
    bytes.extend(op(
        Opcode::I64RawLoad,
        &[address, context],
        offset::CELLS.into(),
    ));
    bytes.extend(code(Machine::CallThrough, &[address], 16 * cell).1);
    bytes.extend(code(Machine::Return, &[], size).1);
    let leaf = bytes.len();
    bytes.extend(enter_frame(0));
    bytes.extend(op(Opcode::I64Add, &[value, value], 1));
    bytes.extend(code(Machine::Return, &[], 0).1);
    Entered {
        bytes,
        leaf,
        called,
    }
}

/// C's chain of frames goes through the entry's.
#[cfg(target_arch = "aarch64")]
#[test]
fn the_entry_is_in_the_chain_of_frames() {
    /// `ldr x29, [x29]`
    const LEAVE: u32 = 0xf940_03bd;
    let mut pages = Pages::new(1 << 12);
    let mut bytes = code(Machine::Entry, &[], 0).1;
    bytes.extend(LEAVE.to_le_bytes());
    bytes.extend(FELL_THROUGH);
    let start = pages.add(&bytes);
    pages.publish();
    let mut c = context();
    let mut before = State::filled(&mut Numbers(14));
    let [context, values] = C_ARGUMENTS;
    before.ints[context] = std::ptr::from_mut(&mut c) as u64;
    let mut after = before.clone();
    run(start, &mut after);
    before.ints[STACK_POINTER] = after.ints[STACK_POINTER];
    before.ints[CONTEXT] = before.ints[context];
    before.ints[SET.registers.int_scratch as usize] = before.ints[values];
    assert_eq!(before, after);
}

#[test]
fn entry_calls_and_exits_fit_together() {
    let mut pages = Pages::new(1 << 16);
    let mut numbers = Numbers(13);
    // Host functions and cells near the beginning of their tables, and so far that the instructions are others.
    for (host_index, cell) in [(1, 1), (6000, 5000)] {
        let Entered {
            bytes,
            leaf,
            called,
        } = entry_and_functions(host_index, cell);
        pages.clear();
        let start = pages.add(&bytes);
        let back = pages.add(&FELL_THROUGH);
        pages.publish();
        let mut hosts: Vec<HostCode> = vec![wrong_host; 1 + host_index as usize];
        hosts[host_index as usize] = host;
        let empty = EntryCell {
            code: 0,
            signature: 0,
        };
        let mut cells = vec![empty; 1 + cell as usize];
        cells[cell as usize].code = start as u64 + leaf as u64;
        let mut record = Called {
            addend: 1000,
            from: 0,
        };
        let mut c = context();
        c.hosts = hosts.as_ptr();
        c.cells = cells.as_ptr();
        c.host_context = std::ptr::from_mut(&mut record).cast();
        c.depth = 2;
        // Calls the entry in the platform's C convention; the status that it returns, and the value.
        let mut enter = |c: &mut Context| {
            let mut values = [5u64];
            let mut before = State::filled(&mut numbers);
            set_return(&mut before, back);
            before.ints[C_ARGUMENTS[0]] = std::ptr::from_mut(c) as u64;
            before.ints[C_ARGUMENTS[1]] = values.as_mut_ptr() as u64;
            let mut after = before.clone();
            run(start, &mut after);
            let file = &SET.registers;
            let changed = before.changes(&after).0;
            let kept = 1 << STACK_POINTER | 1 << CONTEXT | file.preserved.0 & 0xffff_ffff;
            assert_eq!(changed & kept, 0);
            // Of floats, the lower halves are kept.
            for register in (0..32).filter(|register| file.preserved.0 >> (32 + register) & 1 == 1)
            {
                assert_eq!(before.floats[register][0], after.floats[register][0]);
            }
            let status = after.ints[file.host_status as usize] as u32;
            (status, std::hint::black_box(values)[0])
        };
        assert_eq!(enter(&mut c), (0, 5 * 3 + 1000 + 1));
        *c.interrupt.get_mut() = 1;
        assert_eq!(enter(&mut c), (Status::TooDeep as u32, 5));
        // The body began a frame that it did not end.
        assert_eq!(c.depth, 1);
        assert_eq!(record.from, start as u64 + called as u64);
    }
}
