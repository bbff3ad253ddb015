//! Runs updates of memory on two threads at once: none of them is lost.
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
use patchjit::ops::{Opcode, Shape};
use patchjit::stencil::{Form, FormKind, Machine, OperandKind};
use patchjit::types::Type;
use std::sync::atomic::{AtomicU64, Ordering};

/// How often each of two threads runs code on what they share at least, and how many pairs of ops it has: little else, so
/// that they meet.
const ROUNDS: u64 = 4000;
const PAIRS: u64 = 50;

/// What a thread has done.
struct Done {
    /// The bits that were its own.
    own: u64,
    /// How many pairs it ran.
    times: u64,
    /// The sum of what they found.
    found: u64,
}

/// Two ops, each with its inputs behind the address.
type Pair = [(Opcode, u64, u64); 2];

/// What a thread does to a cell again and again: something that it undoes, to bits of its own, or what can be told from
/// sums. With it come the bits of the results that are added up.
fn pair_of(code: Opcode, own: u64) -> (Pair, u64) {
    let [and, or] = match code.info().operands[1] {
        Type::I32 => [Opcode::I32AtomicAnd, Opcode::I32AtomicOr],
        _ => [Opcode::I64AtomicAnd, Opcode::I64AtomicOr],
    };
    let all = low(code.info().operands[1], u64::MAX);
    match code.name().rsplit('_').next() {
        Some("cmpxchg") => ([(code, 0, 1), (code, 1, 0)], 1),
        Some("add" | "xchg") => ([(code, own, 0), (code, !own, 0)], all),
        Some("xor") => ([(code, own, 0), (code, own, 0)], own),
        _ => ([(or, own, 0), (and, !own, 0)], own),
    }
}

/// What a cell that was 0 has become through a thread's pairs, as far as it is this thread's; an error where what they
/// found cannot be.
fn left(code: Opcode, done: Done) -> Result<u64, String> {
    let Done { own, times, found } = done;
    let added = times.wrapping_mul(own.wrapping_add(!own));
    match code.name().rsplit('_').next() {
        // How often 1 took the place of 0, less how often 0 that of 1.
        Some("cmpxchg") => Ok(times.wrapping_sub(found)),
        Some("add") => Ok(added),
        // What was put in and not found again.
        Some("xchg") => Ok(added.wrapping_sub(found)),
        _ if found == times.wrapping_mul(own) => Ok(0),
        _ => Err(format!("{} loses bits", code.name())),
    }
}

/// Code that runs pairs of ops, and the registers that it takes: of the cell's address, of four inputs, of the bits that
/// are added up, of the sum.
fn pairs_of_ops(ops: [Opcode; 2], template: usize) -> (Vec<u8>, i64, [usize; 7]) {
    let families = ops.map(|code| family(Form::op(code, FormKind::Immediate)));
    let template = &templates(SET, families[0])[template];
    let immediate = *immediates(template.immediate).last().expect("an immediate");
    let inputs = if families[0].kinds[3] == OperandKind::None {
        2..3
    } else {
        2..4
    };
    let apart = |registers: &&Registers| {
        let distinct = |k: usize| (1..k).all(|j| registers[j] != registers[k]);
        // The address is wanted again.
        registers[0] != registers[1] && inputs.clone().all(distinct)
    };
    let list = assignments(families[0]);
    let registers = *list.iter().find(apart).expect("registers apart");
    let taken = registers
        .iter()
        .fold(0, |set, register| set | 1 << register);
    let lost = families[0].clobbers.0 | families[1].clobbers.0;
    let free = SET.registers.allocatable.0 & !lost & !taken;
    let mut free = (0..32u8).filter(|register| free >> register & 1 == 1);
    let own: [u8; 7] = std::array::from_fn(|_| free.next().expect("enough registers"));
    let [first, second, third, fourth, mask, sum, between] = own;
    let scalar = |form, registers: [u8; 4]| {
        let family = family(form);
        let template = SET.template(family, registers.map(u32::from), 0);
        fill(SET, template.expect("a template"), &registers, 0)
    };
    let mut bytes = Vec::new();
    for (family, from) in families.iter().zip([[first, second], [third, fourth]]) {
        for (k, from) in inputs.clone().zip(from) {
            bytes.extend(scalar(
                Form::machine(Machine::MoveInt),
                [registers[k], from, 0, 0],
            ));
        }
        let template = SET.template(family, registers.map(u32::from), immediate);
        bytes.extend(fill(
            SET,
            template.expect("a template"),
            &registers,
            immediate,
        ));
        let and = Form::op(Opcode::I64And, FormKind::Registers);
        bytes.extend(scalar(and, [between, registers[0], mask, 0]));
        let add = Form::op(Opcode::I64Add, FormKind::Registers);
        bytes.extend(scalar(add, [sum, sum, between, 0]));
    }
    let mut bytes = bytes.repeat(PAIRS as usize);
    bytes.extend(FELL_THROUGH);
    let all = [registers[1], first, second, third, fourth, mask, sum];
    (bytes, immediate, all.map(usize::from))
}

#[test]
fn threads_lose_no_updates() {
    let mut pages = Pages::new(1 << 16);
    let is_update =
        |code: &Opcode| matches!(code.info().shape, Shape::Update | Shape::CompareExchange);
    for code in Opcode::all().filter(is_update) {
        let ops = pair_of(code, 0).0.map(|(code, ..)| code);
        let count = family(Form::op(code, FormKind::Immediate)).template_count;
        for template in 0..usize::from(count) {
            let (bytes, immediate, registers) = pairs_of_ops(ops, template);
            pages.clear();
            let start = pages.add(&bytes) as usize;
            pages.publish();
            let cell = &AtomicU64::new(0);
            let rounds = &[AtomicU64::new(0), AtomicU64::new(0)];
            let contend = move |number: usize| {
                let own = [0x5555_5555, 0xaaaa_aaaa][number];
                let ([first, second], mask) = pair_of(code, own);
                let address = (cell.as_ptr() as u64).wrapping_sub(immediate as u64);
                let contents = [address, first.1, first.2, second.1, second.2, mask, 0];
                let mut state = State::filled(&mut Numbers(own));
                for (register, content) in registers.into_iter().zip(contents) {
                    state.ints[register] = content;
                }
                // Neither stops before the other has done its part, so that one of them never runs alone.
                while rounds
                    .iter()
                    .any(|done| done.load(Ordering::Relaxed) < ROUNDS)
                {
                    run(start as *const u8, &mut state);
                    rounds[number].fetch_add(1, Ordering::Relaxed);
                }
                Done {
                    own,
                    times: rounds[number].load(Ordering::Relaxed) * PAIRS,
                    found: state.ints[registers[6]],
                }
            };
            let [first, second] = std::thread::scope(|scope| {
                let threads = [0, 1].map(|number| scope.spawn(move || contend(number)));
                threads.map(|thread| thread.join().expect("the thread comes to its end"))
            });
            let left = [first, second].map(|done| left(code, done).expect("what can be"));
            let all = low(code.info().operands[1], left[0].wrapping_add(left[1]));
            assert_eq!(cell.load(Ordering::Relaxed), all, "{}", code.name());
        }
    }
}
