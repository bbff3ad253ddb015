//! Executes loads, stores and atomics, with every kind of address.
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
use patchjit::ops::{Opcode, Shape, flags};
use patchjit::stencil::{Family, Form, FormKind, Machine, OperandKind};
use patchjit::types::Type;

/// Where accesses go. They aim at its middle, as an address may come out a few bytes off.
type Arena = [u64; 64];

fn read(arena: &Arena, at: usize, width: u8) -> u64 {
    let bytes: Vec<u8> = arena.iter().flat_map(|word| word.to_le_bytes()).collect();
    let mut value = [0; 8];
    value[..width as usize].copy_from_slice(&bytes[at..at + width as usize]);
    u64::from_le_bytes(value)
}

fn write(arena: &mut Arena, at: usize, width: u8, value: u64) {
    for (k, byte) in value.to_le_bytes()[..width as usize].iter().enumerate() {
        let (word, shift) = ((at + k) / 8, (at + k) % 8 * 8);
        arena[word] = arena[word] & !(0xff << shift) | u64::from(*byte) << shift;
    }
}

/// Sets base and index so that the address comes out in the arena; the address.
fn aim(
    state: &mut State,
    family: &Family,
    base: usize,
    registers: &[u8; 4],
    immediate: i64,
    wanted: u64,
) -> u64 {
    let rest = wanted.wrapping_sub(immediate as u64);
    let indexed = family.kinds.contains(&OperandKind::Scale);
    let base_register = registers[base] as usize;
    if !indexed {
        state.ints[base_register] = rest;
        return wanted;
    }
    let index_register = registers[base + 1] as usize;
    let scale = registers[base + 2];
    if index_register == base_register {
        // Both at once: the nearest address that base * (1 + 2^scale) can reach; `rest` is positive here.
        let factor = 1 + (1u64 << scale);
        state.ints[base_register] = rest / factor;
        return (rest / factor * factor).wrapping_add(immediate as u64);
    }
    let index = state.ints[index_register] % 1000;
    state.ints[index_register] = index;
    state.ints[base_register] = rest.wrapping_sub(index << scale);
    wanted
}

fn extended(code: Opcode, value: u64) -> u64 {
    let info = code.info();
    let bits = u32::from(info.width) * 8;
    if info.sign_extends {
        ((value << (64 - bits)) as i64 >> (64 - bits)) as u64
    } else {
        value
    }
}

/// What an atomic update writes.
fn updated(code: Opcode, old: u64, value: u64) -> u64 {
    match code.name().rsplit('_').next() {
        Some("add") => old.wrapping_add(value),
        Some("and") => old & value,
        Some("or") => old | value,
        Some("xor") => old ^ value,
        Some("xchg") => value,
        other => panic!("{other:?}"),
    }
}

fn execute(
    code: Opcode,
    kind: FormKind,
    family: &Family,
    pages: &mut Pages,
    numbers: &mut Numbers,
) {
    let info = code.info();
    let name = format!("{} {kind:?}", info.name);
    let base = usize::from(family.has_output);
    let indexed = kind == FormKind::Registers;
    assert_eq!(
        family.kinds.contains(&OperandKind::Scale),
        indexed,
        "{name}"
    );
    let behind = base + if indexed { 3 } else { 1 };
    for (template, list) in cases(family, 60) {
        assert!(!list.is_empty(), "{name}: a template that serves nothing");
        pages.clear();
        let mut prepared = Vec::new();
        for registers in &list {
            for &immediate in immediates(template.immediate) {
                prepared.push((
                    *registers,
                    immediate,
                    pages.add(&callable(template, registers, immediate)),
                ));
            }
        }
        pages.publish();
        for (registers, immediate, start) in prepared {
            for matches in [false, true] {
                let mut arena: Box<Arena> = Box::new(std::array::from_fn(|_| numbers.next()));
                let original = *arena;
                let start_of_arena = arena.as_mut_ptr() as u64;
                let mut before = State::filled(numbers);
                let address = aim(
                    &mut before,
                    family,
                    base,
                    &registers,
                    immediate,
                    start_of_arena + 256,
                );
                let at = (address - start_of_arena) as usize;
                let old = read(&original, at, info.width);
                let value = before.operand(family.kinds[behind.min(3)], registers[behind.min(3)]);
                let may_match = registers[behind.min(3)] != registers[base];
                if info.shape == Shape::CompareExchange && matches && may_match {
                    before.ints[registers[behind] as usize] = old;
                }
                let expected_old = before.ints[registers[behind.min(3)] as usize];
                let replacement = before.ints[registers[(behind + 1).min(3)] as usize];
                let mut after = before.clone();
                run(start, &mut after);
                let ty = info.result.unwrap_or(info.operands[1]);
                let mut wanted = original;
                let written = match info.shape {
                    Shape::Load => None,
                    Shape::Store => Some(value),
                    Shape::Update => Some(updated(code, old, value)),
                    Shape::CompareExchange => Some(if low(ty, expected_old) == old {
                        replacement
                    } else {
                        old
                    }),
                    other => panic!("{other:?}"),
                };
                if let Some(written) = written {
                    write(&mut wanted, at, info.width, written);
                }
                assert_eq!(
                    *std::hint::black_box(&mut arena),
                    Box::new(wanted),
                    "{name} {registers:?} {immediate:#x}"
                );
                if info.result.is_some() {
                    let found = after.operand(family.kinds[0], registers[0]);
                    assert_eq!(
                        low(ty, found),
                        low(ty, extended(code, old)),
                        "{name} {registers:?} {immediate:#x}"
                    );
                    if ty == Type::F32 {
                        let above = SET.registers.above_f32;
                        assert_eq!(found & above, above, "{name} {registers:?}");
                    }
                }
                check_kept(&name, family, &registers, &before, &after);
            }
        }
    }
}

#[test]
fn memory_ops_reach_what_they_name() {
    let mut pages = Pages::new(1 << 20);
    let mut numbers = Numbers(11);
    let mut forms = 0;
    for code in Opcode::all().filter(|code| code.info().width > 0) {
        for kind in [FormKind::Registers, FormKind::Immediate] {
            match SET.family(Form::op(code, kind)) {
                Some(family) => {
                    execute(code, kind, family, &mut pages, &mut numbers);
                    forms += 1;
                }
                None => assert!(
                    code.info().has(flags::ATOMIC) && kind == FormKind::Registers,
                    "{}",
                    code.name()
                ),
            }
        }
    }
    assert_eq!(forms, 2 * 2 * 23 + 16);
}

#[test]
fn addresses_are_computed() {
    let family = family(Form::machine(Machine::Address));
    let mut pages = Pages::new(1 << 20);
    let mut numbers = Numbers(12);
    for (template, list) in cases(family, 200) {
        for registers in list {
            for &immediate in immediates(template.immediate) {
                pages.clear();
                let start = pages.add(&callable(template, &registers, immediate));
                pages.publish();
                let before = State::filled(&mut numbers);
                let mut after = before.clone();
                run(start, &mut after);
                let expected = before.ints[registers[1] as usize]
                    .wrapping_add(before.ints[registers[2] as usize] << registers[3])
                    .wrapping_add(immediate as u64);
                assert_eq!(after.ints[registers[0] as usize], expected, "{registers:?}");
                check_kept("address", family, &registers, &before, &after);
            }
        }
    }
}
