//! The edges of a block: how many, where they go, whether they are well-formed.

use super::MAX_SIZE;
use crate::error::Rule;
use crate::ir::{Block, Op, Program};
use crate::ops::Opcode;

/// The last op of a block whose span is known to be in the program.
#[inline]
pub(super) fn terminator<'a>(program: &Program<'a>, block: &Block) -> Option<&'a Op> {
    program
        .ops
        .get((block.first_op + block.op_count - 1) as usize)
}

/// How many edges a terminator has by its record; none if that is a list which does not fit.
#[inline]
fn edge_count(program: &Program, op: &Op) -> usize {
    match op.code {
        Opcode::Jump => 1,
        Opcode::Branch => 2,
        Opcode::Switch => match list(program, op.b, 0) {
            Ok(list) => list.len() + 1,
            Err(_) => 0,
        },
        _ => 0,
    }
}

/// The extra index of an edge of a terminator, if it has that many and the program has that index.
#[inline]
fn edge_at(program: &Program, op: &Op, index: u32) -> Option<u32> {
    match (op.code, index) {
        (Opcode::Jump | Opcode::Branch, 0) => Some(op.b),
        (Opcode::Branch, 1) => Some(op.c),
        (Opcode::Switch, _) => {
            let count = *program.extra.get(op.b as usize)?;
            if index > count {
                return None;
            }
            let at = (op.b as usize)
                .checked_add(1)?
                .checked_add(index as usize)?;
            program.extra.get(at).copied()
        }
        _ => None,
    }
}

/// Where an edge of a block goes, if it has that many. For blocks whose edges are known to be well-formed.
#[inline]
pub(super) fn successor(program: &Program, block: &Block, index: u32) -> Option<u32> {
    let op = terminator(program, block)?;
    let at = edge_at(program, op, index)?;
    program.extra.get(at as usize).copied()
}

/// How many edges all blocks have by their records, and how many of them are switches'. No more than [`MAX_SIZE`].
pub(super) fn count_edges(program: &Program) -> (usize, usize) {
    let (mut all, mut switched) = (0usize, 0usize);
    for block in program.blocks {
        // Nothing is known of the span yet.
        let end = block.first_op.checked_add(block.op_count);
        let last = end.and_then(|end| end.checked_sub(1));
        if let Some(op) = last.and_then(|last| program.ops.get(last as usize)) {
            let count = edge_count(program, op);
            all = all.saturating_add(count);
            if op.code == Opcode::Switch {
                switched = switched.saturating_add(count);
            }
        }
    }
    (all.min(MAX_SIZE), switched.min(MAX_SIZE))
}

/// A list within the extra words: `count` words from `at` on.
#[inline]
pub(super) fn words<'a>(
    program: &Program<'a>,
    at: u32,
    skipped: usize,
    count: u32,
) -> Option<&'a [u32]> {
    let start = (at as usize).checked_add(skipped)?;
    program.extra.get(start..)?.get(..count as usize)
}

/// A counted list, some words behind an extra index.
#[inline]
pub(super) fn list<'a>(program: &Program<'a>, at: u32, skipped: usize) -> Result<&'a [u32], Rule> {
    let start = (at as usize).checked_add(skipped);
    match start.and_then(|start| program.extra.get(start..)) {
        Some([count, rest @ ..]) => rest.get(..*count as usize).ok_or(Rule::ExtraRange),
        _ => Err(Rule::ExtraRange),
    }
}

/// The extra indices of a terminator's edges, of a switch the default's last. `pair` has those of a jump or a branch: `b`
/// and `c` of the record.
#[inline(always)]
pub(super) fn edges_of<'a>(
    program: &Program<'a>,
    op: &Op,
    pair: &'a [u32; 2],
) -> Result<&'a [u32], Rule> {
    match op.code {
        Opcode::Jump => Ok(&pair[..1]),
        Opcode::Branch => Ok(pair),
        Opcode::Switch => {
            let count = list(program, op.b, 0)?.len() as u32;
            words(program, op.b, 1, count + 1).ok_or(Rule::ExtraRange)
        }
        _ => Ok(&[]),
    }
}

/// The target of the edge at an extra index, as an index among `blocks`, the function's, the first of which is `first` in
/// the program. Checks all that an edge must be but its arguments' types. Adds what the edge counts for to `size`.
#[inline(always)]
pub(super) fn check_edge(
    program: &Program,
    blocks: &[Block],
    first: u32,
    at: u32,
    size: &mut usize,
) -> Result<usize, Rule> {
    let target = *program.extra.get(at as usize).ok_or(Rule::ExtraRange)?;
    let arguments = list(program, at, 1)?;
    let target = target.wrapping_sub(first) as usize;
    let block = blocks.get(target).ok_or(Rule::EdgeTarget)?;
    if target == 0 {
        return Err(Rule::EdgeToEntry);
    }
    if arguments.len() != block.parameter_count as usize {
        return Err(Rule::EdgeArguments);
    }
    grow(size, arguments.len())?;
    Ok(target)
}

/// Adds to the size of the program, as far as it may grow.
#[inline]
pub(super) fn grow(size: &mut usize, by: usize) -> Result<(), Rule> {
    *size = size.saturating_add(by);
    if *size > MAX_SIZE {
        return Err(Rule::ProgramSize);
    }
    Ok(())
}
