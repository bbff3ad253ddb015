//! What the decoder asks of single ops: the values that they use, which constants become
//! immediates, which comparisons a branch can swallow, and how many words they decode to at most.
//!
//! Every question costs time linear in the op's own operands, edges and snapshot.

use crate::ir::{NONE, Op, Program};
use crate::ops::{Opcode, Shape, flags};
use crate::types::Type;

use super::code;

/// How an op uses a value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// As the operand with this index: in a register, or an immediate if [`immediate_form`] says so.
    Operand(u8),
    /// In a register: an argument of a call or a result.
    Listed,
    /// From wherever it is: an argument of an edge, or an entry of a snapshot.
    Anywhere,
}

/// A scalar op in the form with an immediate.
#[derive(Clone, Copy)]
pub(super) struct Immediate {
    /// The op, which differs from the record's if the operands were swapped.
    pub code: Opcode,
    /// The operand that stays a register.
    pub register: u32,
    /// Which operand of the record became the immediate.
    pub folded: u8,
    /// The immediate word.
    pub word: u32,
}

/// For each op: how many of `a`, `b` and `c` are operands, and [`MORE`] if it may use values beside them.
static OPERANDS: [u8; Opcode::COUNT] = {
    let mut table = [0; Opcode::COUNT];
    let mut at = 0;
    while at < table.len() {
        let info = crate::ops::ALL[at].info();
        table[at] = match info.shape {
            Shape::Parameter | Shape::Result | Shape::Constant | Shape::Fence => 0,
            Shape::SlotGet | Shape::RegionSize | Shape::FunctionIndex => 0,
            Shape::Unary | Shape::Tag | Shape::Load | Shape::SlotSet | Shape::Guard => 1,
            Shape::Binary | Shape::Store | Shape::Update => 2,
            Shape::Select => 3,
            Shape::CompareExchange => 2 | MORE,
            Shape::CallIndirect | Shape::Branch | Shape::Switch => 1 | MORE,
            Shape::Poll | Shape::Exit | Shape::Call | Shape::CallCell | Shape::CallHost => MORE,
            Shape::Return | Shape::ReturnCall | Shape::Jump => MORE,
        };
        if info.has(flags::LEAVES) {
            table[at] |= MORE;
        }
        at += 1;
    }
    table
};

/// In [`OPERANDS`]: there are lists, edges or a snapshot.
const MORE: u8 = 1 << 7;

/// Calls `each` with every value that the op uses, in the order of the record.
#[inline]
pub(crate) fn for_each_use(program: &Program<'_>, op: &Op, mut each: impl FnMut(u32, Use)) {
    let operands = OPERANDS[op.code as usize];
    if operands & 3 != 0 {
        each(op.a, Use::Operand(0));
        if operands & 2 != 0 {
            each(op.b, Use::Operand(1));
            if operands & 1 != 0 {
                each(op.c, Use::Operand(2));
            }
        }
    }
    if operands & MORE != 0 {
        for_each_further_use(program, op, &mut each);
    }
}

/// The uses that do not stand in the record itself.
#[inline(never)]
fn for_each_further_use(program: &Program<'_>, op: &Op, each: &mut dyn FnMut(u32, Use)) {
    let mut list = |values: &[u32], how: Use| values.iter().for_each(|&value| each(value, how));
    match op.code.info().shape {
        Shape::CompareExchange => list(&[extra(program, op.c, 2)], Use::Operand(2)),
        Shape::Call | Shape::CallCell | Shape::CallHost | Shape::Return | Shape::ReturnCall => {
            list(program.list(op.b), Use::Listed);
        }
        Shape::CallIndirect => list(program.list(op.b.saturating_add(1)), Use::Listed),
        Shape::Jump => list(program.edge(op.b).arguments, Use::Anywhere),
        Shape::Branch => {
            list(program.edge(op.b).arguments, Use::Anywhere);
            list(program.edge(op.c).arguments, Use::Anywhere);
        }
        Shape::Switch => {
            for edge in switch_edges(program, op) {
                list(program.edge(edge).arguments, Use::Anywhere);
            }
        }
        _ => {}
    }
    if let Some(exit) = program
        .exit_of(op)
        .and_then(|exit| program.exits.get(exit as usize))
    {
        for pair in program.snapshot(exit).chunks_exact(2) {
            if let &[_, value] = pair {
                each(value, Use::Anywhere);
            }
        }
    }
}

/// The word of `extra` that stands this far behind an index; [`NONE`] where there is none.
#[inline]
pub(super) fn extra(program: &Program<'_>, at: u32, offset: usize) -> u32 {
    program
        .extra
        .get(at as usize + offset)
        .copied()
        .unwrap_or(NONE)
}

/// The edges of a switch as indices of `extra`, the default's last.
#[inline]
pub(super) fn switch_edges<'a>(program: &Program<'a>, op: &Op) -> impl Iterator<Item = u32> + 'a {
    let targets = program.list(op.b);
    let default = extra(program, op.b, targets.len() + 1);
    targets.iter().copied().chain(core::iter::once(default))
}

/// The bits of a constant op, zero-extended; `None` for any other op.
#[inline]
pub(super) fn constant(op: &Op) -> Option<u64> {
    match op.code {
        Opcode::I32Const | Opcode::F32Const => Some(u64::from(op.b)),
        Opcode::I64Const | Opcode::F64Const => Some(op.constant()),
        Opcode::FunctionIndex => Some(u64::from(op.b)),
        _ => None,
    }
}

/// The constant that a value is, if it is one.
#[inline]
pub(super) fn constant_value(program: &Program<'_>, value: u32) -> Option<u64> {
    program.ops.get(value as usize).and_then(constant)
}

/// The one word that stands for these bits as an immediate of this type, if one does.
/// [`super::run`] widens it again: narrow types take the word itself, integers extend the sign, f64 takes
/// the word as its upper half.
fn immediate_word(ty: Type, bits: u64) -> Option<u32> {
    match ty {
        Type::I32 | Type::F32 => Some(bits as u32),
        Type::I64 | Type::Ref => (i64::from(bits as i32) as u64 == bits).then_some(bits as u32),
        Type::F64 => (bits as u32 == 0).then_some((bits >> 32) as u32),
    }
}

/// The form with an immediate, if an operand of the op is a constant that allows it. Depends on nothing but
/// the op and its operands, so that whoever asks gets the same answer.
#[inline]
pub(super) fn immediate_form(program: &Program<'_>, op: &Op) -> Option<Immediate> {
    let info = op.code.info();
    if info.shape != Shape::Binary {
        return None;
    }
    let word_of = |value: u32, operand: usize| {
        let bits = constant_value(program, value)?;
        immediate_word(*info.operands.get(operand)?, bits)
    };
    if let Some(word) = word_of(op.b, 1) {
        return Some(Immediate {
            code: op.code,
            register: op.a,
            folded: 1,
            word,
        });
    }
    let code = if info.has(flags::COMMUTES) {
        op.code
    } else {
        op.code.swapped()?
    };
    word_of(op.a, 0).map(|word| Immediate {
        code,
        register: op.b,
        folded: 0,
        word,
    })
}

/// Whether a branch on this op's result can do the op itself.
pub(super) const fn fuses_with_branch(code: Opcode) -> bool {
    let info = code.info();
    info.has(flags::COMPARES) && !matches!(info.shape, Shape::Tag) || matches!(code, Opcode::I32And)
}

/// The most words that an edge decodes to: its copies and a jump.
fn edge_words(program: &Program<'_>, edge: u32) -> usize {
    // A copy takes at most 4 words (a constant's); breaking a cycle of two or more takes one copy more.
    6 + 5 * program.edge(edge).arguments.len()
}

/// The most words that a block's terminator decodes to when it stands in for a jump to the block: 0 where it
/// does not, see [`loop_test`].
fn loop_test_words(program: &Program<'_>, edge: u32) -> usize {
    match loop_test(program, program.edge(edge).block) {
        Some(branch) => 4 + edge_words(program, branch.b) + edge_words(program, branch.c),
        None => 0,
    }
}

/// The branch of a block that does nothing but test: parameters, constants, at most one comparison, and a branch
/// whose edges pass few values. A loop's last jump makes such a test itself instead of jumping to it.
pub(super) fn loop_test<'a>(program: &Program<'a>, block: u32) -> Option<&'a Op> {
    const MOST_OPS: usize = 6;
    const MOST_ARGUMENTS: usize = 6;
    let block = program.blocks.get(block as usize)?;
    let parameters = block.parameter_count as usize;
    let first = block.first_op as usize;
    let ops = program
        .ops
        .get(first + parameters..first + block.op_count as usize)?;
    let (last, others) = ops.split_last()?;
    if last.code != Opcode::Branch || others.len() > MOST_OPS {
        return None;
    }
    let arguments = |edge: u32| program.edge(edge).arguments.len();
    if arguments(last.b) > MOST_ARGUMENTS || arguments(last.c) > MOST_ARGUMENTS {
        return None;
    }
    let tests = others.iter().filter(|op| constant(op).is_none()).count();
    (tests <= 1).then_some(last)
}

/// For each op: the most words that it decodes to, or 0 where that depends on the record.
static WORDS: [u8; Opcode::COUNT] = {
    let mut table = [0; Opcode::COUNT];
    let mut at = 0;
    while at < table.len() {
        let info = crate::ops::ALL[at].info();
        let leaves = info.has(flags::LEAVES);
        table[at] = match info.shape {
            Shape::Parameter | Shape::Fence => 1,
            // The call in front of it lists the register.
            Shape::Result => 1,
            Shape::Constant | Shape::FunctionIndex | Shape::RegionSize => 4,
            Shape::Unary | Shape::Binary if leaves => 5,
            Shape::Unary | Shape::Binary => 4,
            Shape::Tag => 8,
            Shape::Select => 5,
            Shape::Load | Shape::Store if !leaves => 4,
            Shape::Load | Shape::Store if !info.has(flags::ATOMIC) => 7,
            Shape::Load | Shape::Store | Shape::Update | Shape::CompareExchange => 10,
            Shape::SlotGet | Shape::SlotSet => 3,
            Shape::Guard => 6,
            Shape::Poll | Shape::Exit => 2,
            Shape::Call | Shape::CallCell | Shape::CallIndirect | Shape::CallHost => 0,
            Shape::Jump | Shape::Branch | Shape::Switch | Shape::Return | Shape::ReturnCall => 0,
        };
        at += 1;
    }
    table
};

/// The most words that an op decodes to.
#[inline]
pub(super) fn op_words(program: &Program<'_>, op: &Op) -> usize {
    match WORDS[op.code as usize] {
        0 => variable_words(program, op),
        words => usize::from(words),
    }
}

/// The same for ops of which the record says how long they are.
fn variable_words(program: &Program<'_>, op: &Op) -> usize {
    match op.code {
        Opcode::Call | Opcode::CallCell => code::CALL_HEAD + 1 + program.list(op.b).len(),
        Opcode::CallIndirect => code::CALL_HEAD + 1 + program.list(op.b.saturating_add(1)).len(),
        Opcode::CallHost => code::CALL_HOST_HEAD + 1 + program.list(op.b).len(),
        Opcode::Jump => edge_words(program, op.b) + loop_test_words(program, op.b),
        Opcode::Branch => 4 + edge_words(program, op.b) + edge_words(program, op.c),
        Opcode::Switch => {
            3 + switch_edges(program, op)
                .map(|edge| 1 + edge_words(program, edge))
                .sum::<usize>()
        }
        Opcode::Return => 1 + program.list(op.b).len(),
        Opcode::ReturnCall => code::RETURN_CALL_HEAD + program.list(op.b).len(),
        _ => 0,
    }
}

/// How many words of outgoing registers the op needs: where a host function finds its arguments and leaves its
/// results, and where a tail call's arguments wait until the frame is another's.
pub(super) fn outgoing_words(program: &Program<'_>, op: &Op) -> usize {
    match op.code {
        Opcode::CallHost => {
            let signature = program
                .hosts
                .get(op.a as usize)
                .map_or(NONE, |host| host.signature);
            program
                .parameters(signature)
                .len()
                .max(program.results(signature).len())
        }
        Opcode::ReturnCall => program.list(op.b).len(),
        _ => 0,
    }
}
