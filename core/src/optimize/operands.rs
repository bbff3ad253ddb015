//! Where the operands of an op are: in its record, or in words that it names.

use super::prove::is_provable;
use crate::ir::{NONE, Op};
use crate::ops::{ALL, Opcode, flags};
use crate::verify::table::{Check, Form};

/// Of an op, in [`traits_of`]: an operand in the field `a`.
pub(super) const A: u16 = 1;
/// The same in `b`.
pub(super) const B: u16 = 1 << 1;
/// The same in `c`.
pub(super) const C: u16 = 1 << 2;
/// It has operands elsewhere: in words, or on the edges to its block.
pub(super) const LISTED: u16 = 1 << 3;
/// It names an exit, in `c` or in words.
pub(super) const EXITS: u16 = 1 << 4;
/// It has edges.
pub(super) const EDGES: u16 = 1 << 5;
/// It does something besides giving a value.
pub(super) const EFFECT: u16 = 1 << 6;
/// What is known of memory may change with it, or others may look at it there.
pub(super) const TOUCHES: u16 = 1 << 7;
/// A constant.
pub(super) const CONSTANT: u16 = 1 << 8;
/// It may leave: [`flags::LEAVES`].
pub(super) const LEAVES: u16 = 1 << 9;
/// Its operands may be swapped: [`flags::COMMUTES`].
pub(super) const COMMUTES: u16 = 1 << 10;
/// What is known of its operands, or the op alone, may say something of its value, an integer.
pub(super) const TELLS: u16 = 1 << 11;
/// Facts about its operands may tell its value, or a cheaper op: see [`super::prove`].
pub(super) const PROVABLE: u16 = 1 << 12;

static TRAITS: [u16; Opcode::COUNT] = {
    let mut table = [0; Opcode::COUNT];
    let mut at = 0;
    while at < table.len() {
        let info = ALL[at].info();
        let mut traits = match form_of(at) {
            Form::Unary
            | Form::UnaryLeaves
            | Form::Tag
            | Form::Load
            | Form::RawLoad
            | Form::SlotSet
            | Form::Guard
            | Form::Branch
            | Form::Switch => A,
            Form::Binary | Form::BinaryLeaves | Form::Store | Form::RawStore => A | B,
            Form::Select => A | B | C,
            Form::CompareExchange => A | B | LISTED,
            Form::CallIndirect => A | LISTED,
            Form::Call | Form::CallHost | Form::Return | Form::ReturnCall | Form::Parameter => {
                LISTED
            }
            _ => 0,
        };
        traits |= match form_of(at) {
            Form::Load
            | Form::Store
            | Form::CompareExchange
            | Form::UnaryLeaves
            | Form::BinaryLeaves
            | Form::Guard
            | Form::Poll
            | Form::Call
            | Form::CallIndirect
            | Form::CallHost
            | Form::Exit => EXITS,
            Form::Jump | Form::Branch | Form::Switch => EDGES,
            Form::Constant32 | Form::Constant64 => CONSTANT,
            Form::Result => EFFECT,
            _ => 0,
        };
        let effects = flags::LEAVES | flags::WRITES | flags::CALLS | flags::TERMINATES;
        if info.flags & effects != 0 {
            traits |= EFFECT;
        }
        if info.flags & (effects | flags::READS | flags::ATOMIC) != 0 {
            traits |= TOUCHES;
        }
        let tells = match form_of(at) {
            Form::Load | Form::RawLoad => match info.result {
                Some(ty) => 8 * (info.width as u32) < ty.bits(),
                None => false,
            },
            Form::Unary
            | Form::UnaryLeaves
            | Form::Binary
            | Form::BinaryLeaves
            | Form::Tag
            | Form::Select
            | Form::RegionSize => true,
            _ => false,
        };
        if tells {
            traits |= TELLS;
        }
        if info.has(flags::COMPARES) || is_provable(ALL[at]) {
            traits |= PROVABLE;
        }
        if info.has(flags::LEAVES) {
            traits |= LEAVES;
        }
        if info.has(flags::COMMUTES) {
            traits |= COMMUTES;
        }
        table[at] = traits;
        at += 1;
    }
    table
};

const fn form_of(code: usize) -> Form {
    crate::verify::table::form(ALL[code].info())
}

/// What the passes ask about an op for every one that they meet.
#[inline(always)]
pub(super) fn traits_of(code: Opcode) -> u16 {
    TRAITS[code as usize]
}

/// Calls back with every operand of an op: in its record, and in the list that it names. Not with the arguments of edges, nor with
/// what its exit's snapshot names.
#[inline]
pub(super) fn for_each_operand(op: &mut Op, extra: &mut [u32], mut visit: impl FnMut(&mut u32)) {
    let traits = traits_of(op.code);
    if traits & A != 0 {
        visit(&mut op.a);
    }
    if traits & B != 0 {
        visit(&mut op.b);
    }
    if traits & C != 0 {
        visit(&mut op.c);
    }
    if traits & LISTED == 0 {
        return;
    }
    match Check::of(op.code).form {
        Form::CompareExchange => visit(&mut extra[op.c as usize + 2]),
        Form::CallIndirect => for_each_in_list(extra, op.b + 1, visit),
        Form::Call | Form::CallHost | Form::Return | Form::ReturnCall => {
            for_each_in_list(extra, op.b, visit);
        }
        // What a parameter lists is its edges'.
        _ => {}
    }
}

#[inline]
fn for_each_in_list(extra: &mut [u32], at: u32, visit: impl FnMut(&mut u32)) {
    let count = extra[at as usize] as usize;
    let first = at as usize + 1;
    extra[first..first + count].iter_mut().for_each(visit);
}

/// The exit that an op names, where it names one.
#[inline]
pub(super) fn exit_of<'a>(op: &'a mut Op, extra: &'a mut [u32]) -> Option<&'a mut u32> {
    if traits_of(op.code) & EXITS == 0 {
        return None;
    }
    let exit = match Check::of(op.code).form {
        Form::Load | Form::Store | Form::CompareExchange => &mut extra[op.c as usize + 1],
        _ => &mut op.c,
    };
    (*exit != NONE).then_some(exit)
}

/// Calls back with the extra index of every edge of a terminator, where that index stands.
#[inline]
pub(super) fn for_each_edge(op: &Op, extra: &mut [u32], mut visit: impl FnMut(&mut [u32], u32)) {
    match op.code {
        Opcode::Jump => visit(extra, op.b),
        Opcode::Branch => {
            visit(extra, op.b);
            visit(extra, op.c);
        }
        Opcode::Switch => {
            let count = extra[op.b as usize];
            for number in 0..=count {
                let edge = extra[(op.b + 1 + number) as usize];
                visit(extra, edge);
            }
        }
        _ => {}
    }
}
