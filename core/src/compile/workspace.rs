//! The caller's words, cut into the tables that compiling one function needs.
//!
//! Everything is 32-bit words, so that an embedder can hand over any memory; records are arrays of words whose
//! fields have names here. Tables are reused from function to function, so the size follows the largest function.

use crate::ir::{Function, Program};
use crate::patch::Fault;
use crate::verify::Verified;

/// Words of a record in [`Workspace::values`].
pub(super) const VALUE_WORDS: usize = 8;
/// Of a value: twice the position of its definition; of a constant or an anchor of its first use in a loop, or 0.
pub(super) const START: usize = 0;
/// Of a value: twice the position up to which it must be kept, plus 1 if also for that op's exit.
pub(super) const END: usize = 1;
/// Of a value: twice the position of its next use after the walk's place, as far as known; a past position means
/// that only `END` is known.
pub(super) const NEXT_USE: usize = 2;
/// Of a value: its register ([`NO_REGISTER`] if none) in the low byte, its spill slot plus 1 above.
pub(super) const LOCATION: usize = 3;
/// Of a value: the bits below.
pub(super) const INFO: usize = 4;
/// Of an op: the next use of its first, second and third operand behind this op, once next uses are known.
pub(super) const NEXT: usize = 5;

/// Of a parameter, which has no operands: its register at its block's entry, [`NO_REGISTER`] if it is in its spill
/// slot there, or NONE while that is not settled.
pub(super) const PARAMETER_REGISTER: usize = NEXT;

/// Of a binary op with an immediate: the immediate, which fits 32 bits. There is no third operand.
pub(super) const IMMEDIATE: usize = NEXT + 2;

/// "In no register", in the low byte of `LOCATION`.
pub(super) const NO_REGISTER: u32 = 0xff;

/// In `INFO`: 0 where there is no use, 1 where there is one, 3 where there are more.
pub(super) const INFO_USES: u32 = 0b11;
/// In `INFO` of a binary op: a constant operand is an immediate.
pub(super) const INFO_IMMEDIATE: u32 = 1 << 8;
/// In `INFO` of a binary op: the immediate is the first operand, and the form is that of the operands swapped.
pub(super) const INFO_SWAPPED: u32 = 1 << 9;
/// In `INFO`: a comparison that branches, guards or selects of its block use; they count as one use.
pub(super) const INFO_CONDITION: u32 = 1 << 2;
/// In `INFO`: a constant, or an address that the context holds: never stored, made again instead.
pub(super) const INFO_REMATERIALIZED: u32 = 1 << 3;
/// In `INFO`: lives in the float bank.
pub(super) const INFO_FLOAT: u32 = 1 << 4;
/// In `INFO`: a collector must find it.
pub(super) const INFO_REFERENCE: u32 = 1 << 5;
/// In `INFO`: a register hint stands in the bits from [`INFO_HINT_SHIFT`]: a register number if below 64.
pub(super) const INFO_HINTED: u32 = 1 << 6;
/// In `INFO`: the hint is not a register but the parameter (value index) that this value becomes.
pub(super) const INFO_HINT_PARAMETER: u32 = 1 << 7;
/// In `INFO` of a value whose hint is a parameter: the parameter is not needed any longer where this value is made, and
/// nowhere before the block's end.
pub(super) const INFO_SUCCEEDS: u32 = 1 << 10;
/// In `INFO` of a fused comparison with zero: its operand is a test of bits, and fused as well.
pub(super) const INFO_TESTS_BITS: u32 = 1 << 11;
/// Where the hint begins in `INFO`.
pub(super) const INFO_HINT_SHIFT: u32 = 12;

/// Whether a value makes code where it is used, as a condition, and not where it is defined.
#[inline(always)]
pub(super) fn is_fused(info: u32) -> bool {
    info & (INFO_USES | INFO_CONDITION) == 1 | INFO_CONDITION
}

/// Values that no op defines: where guest slots begin, where each region does, and, if any region grows, how long each is.
pub(super) fn anchors(program: &Program) -> usize {
    let regions = program.regions.len();
    if growing(program) == 0 {
        1 + regions
    } else {
        1 + 2 * regions
    }
}

/// The regions that grow, a bit for each.
pub(super) fn growing(program: &Program) -> u32 {
    let regions = program.regions.iter().zip(0..);
    regions.fold(0, |set, (region, index)| {
        set | u32::from(region.grows()) << (index & 31)
    })
}

/// The anchor that holds how long a region is, in a function of so many ops.
#[inline]
pub(super) fn size_anchor(program: &Program, op_count: u32, region: usize) -> u32 {
    op_count + 1 + (program.regions.len() + region) as u32
}

/// Words of a record in [`Workspace::blocks`], without its entry map.
pub(super) const BLOCK_WORDS: usize = BLOCK_MAP + MAP_INTS + MAP_FLOATS;
/// Of a block: its label.
pub(super) const BLOCK_LABEL: usize = 0;
/// Of a block: its place in the order, or NONE where nothing reaches it.
pub(super) const BLOCK_POSITION: usize = 1;
/// Of a block: the position of its first op.
pub(super) const BLOCK_START: usize = 2;
/// Of a block: edges to it.
pub(super) const BLOCK_PREDECESSORS: usize = 3;
/// Of a block: its innermost loop, or NONE.
pub(super) const BLOCK_LOOP: usize = 4;
/// Of a block: bits below.
pub(super) const BLOCK_FLAGS: usize = 5;
/// Of a block, while blocks are laid out: the last place in the order that jumps back to it, or NONE.
pub(super) const BLOCK_LATCH: usize = 6;
/// Of a block: 2 words, registers that hold a value at its entry.
pub(super) const BLOCK_OCCUPIED: usize = 6;
/// Of a block: 2 words, those of them whose value is in memory too.
pub(super) const BLOCK_VALID: usize = 8;
/// Of the head of a loop that begins with its test, what repeats the test at the loop's end: the form, ...
pub(super) const BLOCK_TEST_FORM: usize = 10;
/// ... its registers, 8 bits each, ...
pub(super) const BLOCK_TEST_REGISTERS: usize = 11;
/// ... its immediate, ...
pub(super) const BLOCK_TEST_IMMEDIATE: usize = 12;
/// ... and the label, bound, where the loop goes on; if it is not bound, the block in the function.
pub(super) const BLOCK_TEST_TARGET: usize = 13;
/// Of a block: the value in each register at its entry, by [`map_index`].
pub(super) const BLOCK_MAP: usize = 16;

/// In `BLOCK_FLAGS`: its entry map is made.
pub(super) const BLOCK_REACHED: u32 = 1;
/// In `BLOCK_FLAGS`: it is the head of a loop and nothing but its test, which [`BLOCK_TEST_FORM`] and so on describe.
pub(super) const BLOCK_TESTS: u32 = 2;
/// In `BLOCK_FLAGS`: a jump table leads to it, so it begins with a landing pad.
pub(super) const BLOCK_LANDS: u32 = 4;
/// In `BLOCK_FLAGS`: its entry map is made, and some parameter is in its spill slot.
pub(super) const BLOCK_MEMORY: u32 = 8;

/// Words of a record in [`Workspace::loops`].
pub(super) const LOOP_WORDS: usize = 14;
/// Of a loop: the place of its first block in the order.
pub(super) const LOOP_HEAD: usize = 0;
/// Of a loop: the place of its last block in the order.
pub(super) const LOOP_END: usize = 1;
/// Of a loop: the loop around it, or NONE.
pub(super) const LOOP_PARENT: usize = 2;
/// Of a loop: 1 for an outermost one.
pub(super) const LOOP_DEPTH: usize = 3;
/// Of a loop: twice the position of its last op, plus 1.
pub(super) const LOOP_END_POSITION: usize = 4;
/// Of a loop: bit 0 if more integer values are alive at once in it than there are registers, bit 1 if more floats are.
pub(super) const LOOP_CROWDED: usize = 5;
/// Of a loop: bit 0 if it calls the program's functions, bit 1 if it calls host functions.
pub(super) const LOOP_CALLS: usize = 6;
/// Of a loop: twice the position of its first op.
pub(super) const LOOP_START_POSITION: usize = 7;
/// Of a loop: the values that are made again rather than stored and that it uses, as far as there is room.
pub(super) const LOOP_CONSTANTS: usize = 8;
/// Room for them.
pub(super) const LOOP_CONSTANT_COUNT: usize = LOOP_WORDS - LOOP_CONSTANTS;

/// In `LOOP_CROWDED`: integers.
pub(super) const LOOP_CROWDED_INTS: u32 = 1;
/// In `LOOP_CROWDED`: floats.
pub(super) const LOOP_CROWDED_FLOATS: u32 = 2;

/// In `LOOP_CALLS`: a function of the program is called.
pub(super) const LOOP_CALLS_PROGRAM: u32 = 1;
/// In `LOOP_CALLS`: a host function is called.
pub(super) const LOOP_CALLS_HOST: u32 = 2;

/// Integer registers that an entry map has room for: those with numbers below this may be allocated.
const MAP_INTS: usize = 28;
/// Float registers that it has room for.
const MAP_FLOATS: usize = 16;

/// The registers that entry maps have room for.
pub(super) const MAPPED: u64 = ((1 << MAP_INTS) - 1) | ((1 << MAP_FLOATS) - 1) << 32;

/// The index in an entry map of a register (0 to 31 integer, 32 to 63 float).
#[inline]
pub(super) fn map_index(register: u32) -> usize {
    BLOCK_MAP + (register - (register >> 5) * (32 - MAP_INTS as u32)) as usize
}

/// The tables.
pub(super) struct Workspace<'w> {
    /// A record for each op of the function, then one for each anchor.
    pub values: &'w mut [[u32; VALUE_WORDS]],
    /// A record for each block.
    pub blocks: &'w mut [[u32; BLOCK_WORDS]],
    /// The blocks that are compiled, in order.
    pub order: &'w mut [u32],
    /// How many there are.
    pub block_count: u32,
    /// A record for each loop.
    pub loops: &'w mut [[u32; LOOP_WORDS]],
    /// How many there are.
    pub loop_count: u32,
    /// The innermost open loop at each depth.
    pub loop_at_depth: &'w mut [u32],
    /// For each spill slot twice the position up to which it is taken.
    pub slots: &'w mut [u32],
}

/// How many words a function with so many loops at most needs.
fn function_words(program: &Program, function: &Function, loops: usize) -> usize {
    let ops = function.op_count as usize;
    let blocks = function.block_count as usize;
    (VALUE_WORDS + 1) * (ops + anchors(program))
        + blocks * (BLOCK_WORDS + 1)
        + loops * (LOOP_WORDS + 1)
        + 2
}

/// How many words the largest function of a program needs, and one label for each function.
pub(super) fn program_words(verified: &Verified) -> usize {
    let program = verified.program();
    let functions = program.functions.iter().zip(0..);
    let largest = functions
        .map(|(function, index)| function_words(program, function, verified.most_loops(index)))
        .max()
        .unwrap_or(0);
    largest + program.functions.len()
}

/// Cuts a piece off the front.
fn take<'w>(words: &mut &'w mut [u32], count: usize) -> Result<&'w mut [u32], Fault> {
    let all = core::mem::take(words);
    let (piece, rest) = all
        .split_at_mut_checked(count)
        .ok_or(Fault::WorkspaceFull)?;
    *words = rest;
    Ok(piece)
}

impl<'w> Workspace<'w> {
    /// Cuts the tables for one function; `kept` values of a parent's exit have records behind the anchors.
    pub fn cut(
        mut words: &'w mut [u32],
        verified: &Verified,
        index: u32,
        kept: usize,
    ) -> Result<Workspace<'w>, Fault> {
        let program = verified.program();
        let function = &program.functions[index as usize];
        let loops = verified.most_loops(index);
        let ops = function.op_count as usize;
        let blocks = function.block_count as usize;
        let anchors = anchors(program) + kept;
        let words = &mut words;
        Ok(Workspace {
            values: take(words, VALUE_WORDS * (ops + anchors))?
                .as_chunks_mut()
                .0,
            blocks: take(words, BLOCK_WORDS * blocks)?.as_chunks_mut().0,
            loops: take(words, LOOP_WORDS * loops)?.as_chunks_mut().0,
            order: take(words, blocks)?,
            loop_at_depth: take(words, loops + 2)?,
            slots: take(words, ops + anchors)?,
            block_count: 0,
            loop_count: 0,
        })
    }
}
