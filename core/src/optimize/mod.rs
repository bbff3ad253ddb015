//! The optimizer: from a verified program to a smaller one that does the same.
//!
//! ```text
//!   for each function
//!      order   blocks in an order in which dominators come first; parameters that are other values
//!      walk    forward once: ops into a draft, operands renamed, rules and common subexpressions on the way
//!      (ends   the same at the ends of blocks: known branches, edges)
//!      sweep   backward once: what is needed; forward once: into the output
//! ```
//!
//! Takes a verified program; promises another one in the caller's storage, in which every run ends alike: results,
//! regions, guest slots, exits with their numbers and snapshots, calls and their order, depth. The sign and payload of NaNs are left open,
//! as everywhere. Where run fuel is charged, the new program is charged no more at any point. Whoever runs the result verifies it again:
//! that costs little, and makes a mistake of a pass an error.
//!
//! Costs time and words linear in the program's size. Nothing is allocated, nothing recurses; the words, the storage and what always
//! suffices of both are told by [`words`] and [`storage`].
//!
//! # How a pass plugs in
//!
//! A pass is a name in `passes.rs` and a step somewhere on the way; there is no walk of its own for it. `Steps::take(Pass)` asks and counts:
//! without a yes (the pass is off, or pass fuel is used up) the op stays as it is. Where the step goes depends on what it needs:
//!
//! * *An op has a cheaper form, given what its operands are made of*: a line in `rules.rs`.
//! * *An op has a known value, or needs not run*: in `walk.rs`, where ops of its form are walked (`body`). A value that stands for the op
//!   is given instead of a new one, and every later use, edge and snapshot gets that name. Operands are names of the draft there, so
//!   what they are made of is `draft[operand]`; `constant_bits` and `constant` read and make constants, `pure` makes any op
//!   that only computes, in its simplest form (`simplify.rs`), and `append` adds an op as it is (`draft.rs`).
//! * *What holds here held on every way here*: values and notes carry the block of the program in which they were made; they hold
//!   where `verified.dominates(that block, self.block)`. The walk sees a block's dominators before it, but siblings in any order, so
//!   a table that is not asked by dominance must be emptied where a block with several ways to it begins.
//! * *Loops*: a block with `FLAG_LOOP` has edges that come back and are not made yet when it begins. What is known of its
//!   parameters before is what `order.rs` found out, and nothing else.
//! * *Loops that are peeled* (`peel.rs`) are walked twice, as `Phase` says. Between the two, notes and values of the first walk get other
//!   blocks; a table of a pass that has blocks in it goes through `move_to_head`, too, or is emptied there.
//! * *A place in memory*: along blocks that are walked one behind the other `memory.rs` knows what it holds; loads from regions that
//!   nothing in the function writes are like ops that only compute.
//! * *Loops around*: `innermost` says which loop that is not peeled an op is in. What moves before it (`hoist.rs`) stands in the draft where it
//!   was met, with the block there that it moves to.
//! * *An effect is not needed* (a store that is overwritten): the draft is never taken back, so such an op is unmarked in `sweep.rs`,
//!   which goes backward over the draft.
//!
//! Exits of the draft are made by `Walk::exit` when an op that names one is appended, with the names that its snapshot's values have
//! there. Every step must lower something that is bounded, or the walk is not linear.

mod access;
mod ahead;
mod boxes;
mod carry;
mod classes;
mod draft;
mod ends;
mod facts;
mod hoist;
mod induction;
mod learn;
mod memory;
mod operands;
mod order;
mod passes;
mod peel;
mod prove;
mod rules;
mod simplify;
mod strength;
mod sweep;
mod transfer;
mod version;
mod walk;
mod width;
mod workspace;

pub use passes::{Pass, Passes, Report};

use crate::build::{Counts, Storage, Table};
use crate::error::{Error, Storage as Which};
use crate::ir::{Block, Exit, Function, NONE, Op, Program};
use crate::verify::table::{Check, Form};
use crate::verify::{self, Verified};
use learn::Asked;
use memory::Memory;
use order::{find_aliases, prepare};
use passes::Steps;
use sweep::Output;
use walk::{Phase, Walk};
use workspace::{Sizes, Workspace, buckets};

/// What the optimizer is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// The passes that run.
    pub passes: Passes,
    /// How many steps may be made, for finding the one that breaks something; `None` for as many as there are. Removal of what is not
    /// needed counts as one step for each function.
    pub fuel: Option<u32>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            passes: Passes::ALL,
            fuel: None,
        }
    }
}

/// An optimized program, not yet verified again.
#[derive(Clone, Copy, Debug)]
pub struct Optimized<'a> {
    program: Program<'a>,
    report: Report,
    /// Whether the program was contained before.
    contained: bool,
}

impl<'a> Optimized<'a> {
    /// The program.
    pub fn program(&self) -> &Program<'a> {
        &self.program
    }

    /// What was done.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Verifies the program, and trusts that accesses are in bounds where the optimizer says so, if it was contained before; in [`verify::workspace_words`] words.
    ///
    /// # Errors
    ///
    /// If the words are too few, or if the optimizer made a mistake.
    pub fn verify(&self, words: &'a mut [u32]) -> Result<Verified<'a>, Error> {
        verify::verify_from(self.program, words, self.contained)
    }
}

/// How many ops a function may gain, of those that the draft holds while it has so many.
fn growth(ops: usize) -> usize {
    2 * ops + 64
}

/// Words that [`optimize`] needs for this program. Looks at each block once.
pub fn words(verified: &Verified) -> usize {
    Sizes::of(verified).words()
}

/// How long the slices of the storage must be at most. Looks at each op once.
pub fn storage(verified: &Verified) -> Counts {
    let program = verified.program();
    let mut counts = Counts::of(program);
    let mut most = 0;
    let mut total = 0;
    for function in program.functions {
        let draft = function.op_count as usize;
        let draft = draft + growth(draft);
        most = most.max(draft);
        total += draft;
    }
    counts.ops = total + most;
    // Every op has words and an exit of its own then.
    let mut extra = 0;
    let mut exits = 0;
    for op in program.ops {
        extra += match Check::of(op.code).form {
            Form::Load | Form::Store => 2,
            Form::CompareExchange => 3,
            Form::Call | Form::CallHost | Form::Return | Form::ReturnCall => {
                1 + program.list(op.b).len()
            }
            Form::CallIndirect => 2 + program.list(op.b + 1).len(),
            Form::Jump => 2,
            Form::Branch => 4,
            Form::Switch => 4 + 3 * program.list(op.b).len(),
            _ => 0,
        };
        exits += usize::from(program.exit_of(op).is_some());
    }
    // The size counts arguments of edges and entries of snapshots, each of which is at most two words. What is peeled stands twice, and
    // edges that come back three times.
    counts.extra = 3 * (extra + 2 * (verified.size() - program.ops.len()));
    counts.exits = 2 * exits;
    counts.blocks *= 2;
    counts
}

/// Optimizes a program into this storage.
///
/// The words, of which there must be as many as [`words`] says, may hold anything. Source positions are kept where both the program and the
/// storage have them.
///
/// # Errors
///
/// [`Error::Full`] if the words or the storage are too short; what [`storage`] says always suffices.
pub fn optimize<'a>(
    verified: &Verified<'_>,
    options: &Options,
    words: &mut [u32],
    storage: Storage<'a>,
) -> Result<Optimized<'a>, Error> {
    let program = verified.program();
    let sizes = Sizes::of(verified);
    let mut workspace = Workspace::cut(words, &sizes).ok_or(Error::Full {
        storage: Which::Workspace,
        needed: sizes.words(),
    })?;
    let mut signatures = Table::new(storage.signatures, Which::Signatures);
    let mut types = Table::new(storage.types, Which::Types);
    let mut regions = Table::new(storage.regions, Which::Regions);
    let mut hosts = Table::new(storage.hosts, Which::Hosts);
    let mut tags = Table::new(storage.tags, Which::Tags);
    signatures.append(program.signatures)?;
    types.append(program.types)?;
    regions.append(program.regions)?;
    hosts.append(program.hosts)?;
    tags.append(program.tags)?;
    let kept = storage.ops.len().checked_sub(sizes.draft);
    let (ops, draft) = kept
        .and_then(|kept| storage.ops.split_at_mut_checked(kept))
        .ok_or_else(|| Error::Full {
            storage: Which::Ops,
            needed: self::storage(verified).ops,
        })?;
    let positions = if program.positions.is_empty() {
        &mut []
    } else {
        storage.positions
    };
    let mut ops: Table<Op> = Table::new(ops, Which::Ops);
    let mut blocks: Table<Block> = Table::new(storage.blocks, Which::Blocks);
    let mut functions: Table<Function> = Table::new(storage.functions, Which::Functions);
    let mut extra = Table::new(storage.extra, Which::Extra);
    let mut exits: Table<Exit> = Table::new(storage.exits, Which::Exits);
    let mut positions = Table::new(positions, Which::Positions);
    let mut steps = Steps {
        passes: options.passes,
        fuel: options.fuel.unwrap_or(u32::MAX),
        report: Report::of(program.ops.len()),
    };
    let mut generation = 0u32;
    for function in program.functions {
        let mut output = Output {
            ops: &mut ops,
            blocks: &mut blocks,
            functions: &mut functions,
            positions: &mut positions,
        };
        let order = prepare(verified, function, &mut workspace);
        let edges = order.edges;
        let count = function.op_count as usize;
        if order.verbatim {
            steps.passes = Passes::NONE;
            for (name, index) in workspace.map.iter_mut().take(count).zip(0..) {
                *name = index;
            }
        } else {
            steps.passes = options.passes;
            workspace.map[..count].fill(NONE);
            workspace.aliases[..count].fill(NONE);
            if steps.may(Pass::Parameters) {
                find_aliases(program, function, &mut workspace, &order);
            }
        }
        let bucket_count = buckets(count);
        workspace.buckets[..bucket_count].fill(NONE);
        let first_exit = exits.used as u32;
        generation = generation.wrapping_add(1);
        let mut walk = Walk {
            verified,
            program,
            function: *function,
            order,
            steps: &mut steps,
            workspace: &mut workspace,
            draft,
            used: 0,
            extra: &mut extra,
            exits: &mut exits,
            first_exit,
            generation,
            constants: [NONE; 2],
            innermost: NONE,
            clean: false,
            moved: false,
            peels: false,
            phase: Phase::Outside,
            block: function.first_block,
            outs: 0,
            edges,
            notes: 0,
            asked: Asked::NONE,
            nesting: 0,
            memory: Memory::EMPTY,
            version: version::Version::NONE,
            written: memory::written(program, function),
            source: function.first_op,
            ahead: function.op_count,
            block_start: function.first_op,
            bucket_mask: bucket_count as u32 - 1,
        };
        walk.choose_loops();
        walk.walk()?;
        generation = walk.generation;
        walk.mark()?;
        walk.copy_out(&mut output)?;
    }
    Ok(Optimized {
        program: Program {
            functions: functions.finish(),
            blocks: blocks.finish(),
            ops: ops.finish(),
            extra: extra.finish(),
            exits: exits.finish(),
            signatures: signatures.finish(),
            types: types.finish(),
            regions: regions.finish(),
            hosts: hosts.finish(),
            tags: tags.finish(),
            positions: positions.finish(),
            slot_count: program.slot_count,
        },
        report: steps.report,
        contained: verified.is_contained(),
    })
}
