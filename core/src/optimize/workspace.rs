//! The caller's words, cut into the tables that optimizing one function needs.
//!
//! Tables are reused from function to function, so the size follows the largest function.

use super::facts::FACT_WORDS;
use super::growth;
use crate::ir::{Function, NONE};
use crate::verify::Verified;

/// Words of a record in [`Workspace::values`].
pub(super) const VALUE_WORDS: usize = 4;
/// Of a draft op: the next one in its bucket of the hash table. Of a parameter: its block's record.
pub(super) const CHAIN: usize = 0;
/// Of a draft op: the block of the program in which it was made, which dominates all uses; [`NONE`] if nothing that is walked later may
/// use it.
pub(super) const BLOCK: usize = 1;
/// Of a draft op: the last note about its value in [`Workspace::notes`], or [`NONE`].
pub(super) const LEARNED: usize = 2;
/// Of a draft parameter: whether it was looked at: see [`super::induction`].
pub(super) const STATE: usize = 3;
/// Of a draft op that is placed elsewhere, at the head of the function or before a loop: the next one there, [`NONE`] behind the last;
/// of others that are no parameters 0, which is never the next.
pub(super) const LINK: usize = 3;

/// Words of a record in [`Workspace::notes`].
pub(super) const NOTE_WORDS: usize = NOTE_FACT + FACT_WORDS;
/// Of a note: the block of the program in which it holds, and in all that this dominates.
pub(super) const NOTE_BLOCK: usize = 0;
/// Of a note: the note about the same value before it.
pub(super) const NOTE_NEXT: usize = 1;
/// Of a note: the fact.
pub(super) const NOTE_FACT: usize = 2;

/// Words of a record in [`Workspace::blocks`].
pub(super) const BLOCK_WORDS: usize = 11;
/// Of a block: its place in the order of the walk; [`NONE`] where no way leads.
pub(super) const POSITION: usize = 0;
/// Of a block: edges to it that the walk has not come to.
pub(super) const PENDING: usize = 1;
/// Of a block: its last incoming edge of those that the walk has made, or [`NONE`].
pub(super) const INCOMING: usize = 2;
/// Of a block: the output block that has its ops, counted from the function's first; [`NONE`] before the walk.
pub(super) const OUT: usize = 3;
/// Of a block: bits below.
pub(super) const FLAGS: usize = 4;
/// Of a block: the first of its parameters in the draft.
pub(super) const HEAD: usize = 5;
/// Of a block: in the walk that orders the blocks, the edges that were followed.
pub(super) const TRIED: usize = 6;
/// Of a block: in the same walk, the block before it on the way.
pub(super) const FROM: usize = 7;
/// Of a block: its last incoming edge of the program's.
pub(super) const COMING: usize = 8;
/// Of the head of a loop that is peeled: the place in the order of the loop's last block; after that, the first of the notes about what its parameters
/// begin with.
pub(super) const PEEL: usize = 9;
/// Of the head of a loop that is not peeled, when it is walked: the place in the order of the loop's last block.
pub(super) const LOOP_END: usize = TRIED;
/// The same: the head of the loop around it, or [`NONE`].
pub(super) const LOOP_OUTER: usize = FROM;
/// The same: the block of the program from which the loop is entered, if ops may be placed at its end; or [`NONE`].
pub(super) const PREHEADER: usize = PEEL;
/// The same: how many values are carried round the loop or through it, as [`super::hoist`] counts.
pub(super) const CARRIED: usize = 10;

/// In [`FLAGS`]: an edge comes back to it.
pub(super) const FLAG_LOOP: u32 = 1;
/// In [`FLAGS`]: its ops are in the draft, or it was found to be out of reach.
pub(super) const FLAG_DONE: u32 = 2;
/// In [`FLAGS`]: an edge comes back to it from a block that it does not dominate.
pub(super) const FLAG_TANGLED: u32 = 4;
/// In [`FLAGS`]: it was found to leave before its end, and what stands behind that is not in the draft.
pub(super) const FLAG_CUT: u32 = 8;
/// In [`FLAGS`] of a loop's head: the loop is peeled.
pub(super) const FLAG_PEELED: u32 = 16;
/// In [`FLAGS`] of a loop's head: the loop is peeled, and its copy stays a loop.
pub(super) const FLAG_VERSIONED: u32 = 32;

/// Words of a record in [`Workspace::outs`].
pub(super) const OUT_WORDS: usize = 5;
/// Of an output block: its first draft op.
pub(super) const OUT_START: usize = 0;
/// Of an output block: the draft op behind its last.
pub(super) const OUT_END: usize = 1;
/// Of an output block: how many of its first draft ops are parameters.
pub(super) const OUT_PARAMETERS: usize = 2;
/// Of an output block: the first and the last draft op that is placed at its end, before what ends it; [`NONE`] if none is.
pub(super) const OUT_FIRST: usize = 3;
/// See [`OUT_FIRST`].
pub(super) const OUT_LAST: usize = 4;

/// The tables.
pub(super) struct Workspace<'w> {
    /// By op of the function: the value of the draft that stands for it; [`NONE`] before it is walked.
    pub map: &'w mut [u32],
    /// By op of the function, of parameters: what [`super::order`] found out.
    pub aliases: &'w mut [u32],
    /// By op of the draft: whether it is used (0 or 1); later its place in the output.
    pub marks: &'w mut [u32],
    /// By op of the draft, if the program has source positions: the op of the program from which it was made.
    pub sources: &'w mut [u32],
    /// A record for each draft op.
    pub values: &'w mut [[u32; VALUE_WORDS]],
    /// Heads of the chains of equal hashes; a power of two.
    pub buckets: &'w mut [u32],
    /// A record for each block of the function, then one for the copy of each that is made when its loop is peeled.
    pub blocks: &'w mut [[u32; BLOCK_WORDS]],
    /// A record for each output block.
    pub outs: &'w mut [[u32; OUT_WORDS]],
    /// The blocks in the order of the walk, counted from the function's first.
    pub order: &'w mut [u32],
    /// Edges to a block: the extra index, the source, the next edge. First those of the program, where the source is a place in the
    /// order; then those that the walk has made, where it is a block of the program.
    pub edges: &'w mut [[u32; 3]],
    /// Of an edge that the walk has made: the output block that it leaves.
    pub edge_outs: &'w mut [u32],
    /// What was learned of values, as long as there is room.
    pub notes: &'w mut [[u32; NOTE_WORDS]],
    /// Values of the draft that are used and not yet looked at.
    pub stack: &'w mut [u32],
    /// By exit of the program: the exit of the draft that stands for it.
    pub exits: &'w mut [[u32; 2]],
}

/// How large the tables are.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sizes {
    pub ops: usize,
    pub draft: usize,
    pub blocks: usize,
    pub edges: usize,
    pub exits: usize,
    pub buckets: usize,
    pub notes: usize,
    pub sources: usize,
}

impl Sizes {
    /// For any function of a program.
    pub fn of(verified: &Verified) -> Sizes {
        let program = verified.program();
        let mut sizes = Sizes {
            exits: program.exits.len(),
            ..Sizes::default()
        };
        for function in program.functions {
            let ops = function.op_count as usize;
            sizes.ops = sizes.ops.max(ops);
            sizes.blocks = sizes.blocks.max(function.block_count as usize);
            sizes.draft = sizes.draft.max(ops + growth(ops));
            sizes.buckets = sizes.buckets.max(buckets(ops));
            sizes.notes = sizes.notes.max(ops + 32);
            sizes.edges = sizes.edges.max(count_edges(verified, function));
        }
        if !program.positions.is_empty() {
            sizes.sources = sizes.draft;
        }
        sizes
    }

    /// Words of the tables.
    pub fn words(&self) -> usize {
        self.ops
            + self.draft * (VALUE_WORDS + 2)
            + self.sources
            + self.buckets
            + self.ops
            + self.blocks * (2 * (BLOCK_WORDS + OUT_WORDS) + 1)
            + self.edges * 16
            + self.notes * NOTE_WORDS
            + self.exits * 2
    }
}

/// How many buckets a function of so many ops gets.
pub(super) fn buckets(ops: usize) -> usize {
    (ops / 2).next_power_of_two()
}

/// The edges of a function.
fn count_edges(verified: &Verified, function: &Function) -> usize {
    let program = verified.program();
    let mut count = 0;
    for block in program.blocks_of(function) {
        super::order::for_each_edge(program, block, |_| count += 1);
    }
    count
}

impl<'w> Workspace<'w> {
    /// Cuts the tables. `None` if the words are too few.
    pub fn cut(words: &'w mut [u32], sizes: &Sizes) -> Option<Workspace<'w>> {
        let mut rest = words;
        let mut take = |length: usize| {
            let (taken, others) = core::mem::take(&mut rest).split_at_mut_checked(length)?;
            rest = others;
            Some(taken)
        };
        let workspace = Workspace {
            map: take(sizes.ops)?,
            aliases: take(sizes.ops)?,
            marks: take(sizes.draft)?,
            sources: take(sizes.sources)?,
            values: take(sizes.draft * VALUE_WORDS)?.as_chunks_mut().0,
            buckets: take(sizes.buckets)?,
            blocks: take(2 * sizes.blocks * BLOCK_WORDS)?.as_chunks_mut().0,
            outs: take(2 * sizes.blocks * OUT_WORDS)?.as_chunks_mut().0,
            order: take(sizes.blocks)?,
            edges: take(sizes.edges * 12)?.as_chunks_mut().0,
            edge_outs: take(sizes.edges * 4)?,
            notes: take(sizes.notes * NOTE_WORDS)?.as_chunks_mut().0,
            stack: take(sizes.draft)?,
            exits: take(sizes.exits * 2)?.as_chunks_mut().0,
        };
        for exit in workspace.exits.iter_mut() {
            *exit = [NONE; 2];
        }
        Some(workspace)
    }
}
