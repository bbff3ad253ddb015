//! Every rule of the IR, checked: nothing unverified goes further.
//!
//! Takes any records whatever; promises that a program which passes keeps every [`Rule`], so that what takes a
//! [`Verified`] program may index, slice and add without a doubt. Never panics, never recurses.
//!
//! Costs one look at each op and its operands, a few nanoseconds, and a logarithm for each block whose edges do not
//! follow the program's order ([`dominators`](self)). Time and workspace are linear in the program's size
//! ([`Verified::size`]; up to that logarithm): what several ops name together counts for each of them, and
//! a size of more than [`MAX_SIZE`] is refused before it costs anything.
//!
//! ```text
//!   tables ─ signatures, hosts, exits, spans of functions
//!   for each function
//!      structure ─ blocks, terminators, edges ──> dominator tree
//!      body      ─ operands, types, fields, dominance
//!   calls ─ which functions may deoptimize, through those that end with another's results
//! ```
//!
//! Blocks to which no way leads from the entry are checked like all others, but their operands may name any
//! value of the function, as they never run; other blocks cannot name theirs.
//!
//! A snapshot may name a slot more than once: its entries are written in order, the last one stays.

mod body;
mod calls;
mod dominators;
mod edges;
mod structure;
pub(crate) mod table;

use crate::error::{Error, Place, Rule, Storage};
use crate::ir::{MAX_ARGUMENTS, MAX_REGIONS, MAX_SLOTS, MAX_TAGS, NONE, Program};
use dominators::{DOMINATOR, LAST, NUMBER, Node};

/// The greatest size of a program: see [`Verified::size`].
pub const MAX_SIZE: usize = 1 << 28;

/// Bits of what is known of a function.
mod fact {
    /// Some op names a deoptimizing exit, or it ends with the results of a function of which this holds.
    pub const MAY_DEOPTIMIZE: u32 = 1 << 0;
    /// Some call of it has no exit.
    pub const CALLED_WITHOUT_EXIT: u32 = 1 << 1;
    /// Each of its blocks stands behind its immediate dominator.
    pub const IN_ORDER: u32 = 1 << 2;
    /// How many edges lead back, from this bit on; they are no more than [`super::MAX_SIZE`].
    pub const BACKWARD_SHIFT: u32 = 3;
}

/// A program that keeps every rule, and what its verification found out.
#[derive(Clone, Copy, Debug)]
pub struct Verified<'a> {
    program: Program<'a>,
    size: usize,
    passed: usize,
    switched: usize,
    contained: bool,
    /// For each function, bits of [`fact`].
    facts: &'a [u32],
    /// For each function, what it adds to the program's size besides its ops, and what its calls and returns pass.
    sizes: &'a [u32],
    /// The dominator trees of all functions, by block.
    tree: &'a [Node],
    /// For each 32 ops: how many blocks begin before them, and a bit for each that begins a block.
    starts: &'a [u32],
}

impl<'a> Verified<'a> {
    /// The program.
    #[inline]
    pub fn program(&self) -> &Program<'a> {
        &self.program
    }

    /// The size of the program: its ops, the arguments of its edges, the edges of its switches (the default is one),
    /// and, for each op that names an exit, the entries of that exit's snapshot. At most [`MAX_SIZE`].
    #[inline]
    pub fn size(&self) -> usize {
        self.size
    }

    /// How many values calls and returns pass, which do not count for the size.
    pub(crate) fn passed(&self) -> usize {
        self.passed
    }

    /// How many edges switches have.
    pub(crate) fn switched(&self) -> usize {
        self.switched
    }

    /// Whether no op reaches memory outside the declared regions.
    #[inline]
    pub fn is_contained(&self) -> bool {
        self.contained
    }

    /// Whether a call of this function may come back deoptimized: some op of it names a deoptimizing exit, or it ends
    /// with the results of such a function. Every call of it has an exit then.
    #[inline]
    pub fn may_deoptimize(&self, function: u32) -> bool {
        self.has(function, fact::MAY_DEOPTIMIZE)
    }

    /// Whether each block of the function that a way leads to stands behind its immediate dominator, so that
    /// a walk over the blocks as they stand meets definitions before uses.
    #[inline]
    pub fn is_in_order(&self, function: u32) -> bool {
        self.has(function, fact::IN_ORDER)
    }

    /// The most loops that the compiler finds in a function: the edges that lead back in the order of its blocks, or all
    /// blocks if that order does not serve.
    #[inline]
    pub(crate) fn most_loops(&self, function: u32) -> usize {
        let facts = self.facts.get(function as usize);
        facts.map_or(0, |facts| (facts >> fact::BACKWARD_SHIFT) as usize)
    }

    /// What a function adds to the program's size besides its ops, and how many values its calls and returns pass.
    pub(crate) fn added_size(&self, function: u32) -> usize {
        self.sizes
            .get(function as usize)
            .map_or(0, |&size| size as usize)
    }

    fn has(&self, function: u32, bits: u32) -> bool {
        matches!(self.facts.get(function as usize), Some(facts) if facts & bits != 0)
    }

    /// Whether a way leads from its function's entry to this block.
    #[inline]
    pub fn is_reachable(&self, block: u32) -> bool {
        matches!(self.tree.get(block as usize), Some(node) if node[NUMBER] != NONE)
    }

    /// The immediate dominator of a block: the last of those that every way to it goes through. [`NONE`] for
    /// entry blocks and for those that no way leads to.
    #[inline]
    pub fn immediate_dominator(&self, block: u32) -> u32 {
        self.tree
            .get(block as usize)
            .map_or(NONE, |node| node[DOMINATOR])
    }

    /// Whether every way to block `b` goes through block `a` of the same function. A block dominates itself. False if
    /// no way leads to one of them.
    #[inline]
    pub fn dominates(&self, a: u32, b: u32) -> bool {
        dominates(self.tree, a, b)
    }

    /// The block in which an op stands; [`NONE`] if there is no such op.
    #[inline]
    pub fn block_of(&self, op: u32) -> u32 {
        if op as usize >= self.program.ops.len() {
            return NONE;
        }
        block_of(self.starts, op)
    }
}

/// Whether `a` is an ancestor of `b`, both blocks of one function; false where a block has no number.
#[inline]
fn dominates(tree: &[Node], a: u32, b: u32) -> bool {
    let (Some(a), Some(b)) = (tree.get(a as usize), tree.get(b as usize)) else {
        return false;
    };
    (a[NUMBER]..=a[LAST]).contains(&b[NUMBER])
}

/// The block in which an op stands.
#[inline]
fn block_of(starts: &[u32], op: u32) -> u32 {
    let at = 2 * (op as usize / 32);
    let (Some(before), Some(bits)) = (starts.get(at), starts.get(at + 1)) else {
        return NONE;
    };
    let up_to = bits & (u32::MAX >> (31 - op % 32));
    (before + up_to.count_ones()).wrapping_sub(1)
}

/// Words of the table that [`block_of`] reads.
fn start_words(op_count: usize) -> usize {
    2 * op_count.div_ceil(32)
}

/// Words of workspace that [`verify`] needs for this program. Looks at each block once.
pub fn workspace_words(program: &Program) -> usize {
    words_for(program, edges::count_edges(program).0)
}

/// The same for a program with so many edges.
fn words_for(program: &Program, edges: usize) -> usize {
    let functions = program.functions.len();
    let blocks = program.blocks.len();
    let largest = program
        .functions
        .iter()
        .map(|function| (function.block_count as usize).min(blocks))
        .max()
        .unwrap_or(0);
    let tree = dominators::general_words(largest, edges);
    // Kept: facts, sizes, the tree, starts. Scratch: callers, then what one function's tree needs, or the list of functions.
    functions
        .saturating_mul(2)
        .saturating_add(blocks.saturating_mul(3))
        .saturating_add(start_words(program.ops.len().min(MAX_SIZE)))
        .saturating_add(functions)
        .saturating_add(blocks)
        .saturating_add(tree.max(functions))
}

/// Checks every rule.
///
/// The workspace needs [`workspace_words`] words, whatever they hold; what was found out is kept in it
/// for as long as the verified program is used. The first broken rule is reported: the tables first, then function by
/// function, in each its blocks, then its ops in order, and calls without an exit last.
///
/// An access that is marked to be in bounds ([`crate::ir::IN_BOUNDS`]) is taken at its word, so that the program is not contained; but for
/// [`crate::optimize::Optimized::verify`], which knows where the mark comes from.
pub fn verify<'a>(program: Program<'a>, workspace: &'a mut [u32]) -> Result<Verified<'a>, Error> {
    verify_from(program, workspace, false)
}

/// The same, with marks on accesses trusted or not.
pub(crate) fn verify_from<'a>(
    program: Program<'a>,
    workspace: &'a mut [u32],
    trusted: bool,
) -> Result<Verified<'a>, Error> {
    let functions = program.functions.len();
    let blocks = program.blocks.len();
    let largest = program.ops.len().max(blocks).max(functions);
    let (edges, switched) = edges::count_edges(&program);
    if largest > MAX_SIZE || program.ops.len() + switched > MAX_SIZE {
        return Err(invalid(Rule::ProgramSize, Place::Program));
    }
    let needed = words_for(&program, edges);
    let full = Error::Full {
        storage: Storage::Workspace,
        needed,
    };
    if workspace.len() < needed {
        return Err(full);
    }
    let mut rest = workspace;
    let mut take = |length: usize| {
        let (taken, others) = core::mem::take(&mut rest)
            .split_at_mut_checked(length)
            .ok_or(full)?;
        rest = others;
        Ok::<&'a mut [u32], Error>(taken)
    };
    let mut state = State {
        program: &program,
        size: program.ops.len(),
        passed: 0,
        contained: true,
        trusted,
        facts: take(functions)?,
        sizes: take(functions)?,
        tree: take(3 * blocks)?.as_chunks_mut().0,
        starts: take(start_words(program.ops.len()))?,
        callers: take(functions)?,
        next_caller: take(blocks)?,
        scratch: rest,
    };
    check_tables(&program)?;
    state.facts.fill(0);
    state.callers.fill(NONE);
    state.check_spans()?;
    let mut before = state.size;
    for function in 0..functions as u32 {
        state.check_structure(function)?;
        state.check_body(function)?;
        let all = state.size.saturating_add(state.passed);
        if let Some(size) = state.sizes.get_mut(function as usize) {
            *size = u32::try_from(all - before).unwrap_or(u32::MAX);
        }
        before = all;
    }
    state.check_calls()?;
    Ok(Verified {
        program,
        size: state.size,
        passed: state.passed,
        switched,
        contained: state.contained,
        facts: state.facts,
        sizes: state.sizes,
        tree: state.tree,
        starts: state.starts,
    })
}

/// What the checks share. The first fields are what [`Verified`] keeps.
struct State<'a, 'p> {
    program: &'p Program<'a>,
    size: usize,
    passed: usize,
    contained: bool,
    /// Whether marks that an access is in bounds come from the optimizer.
    trusted: bool,
    facts: &'a mut [u32],
    sizes: &'a mut [u32],
    tree: &'a mut [Node],
    starts: &'a mut [u32],
    /// For each function: the last block so far that ends with its results.
    callers: &'a mut [u32],
    /// For such a block: the one before.
    next_caller: &'a mut [u32],
    scratch: &'a mut [u32],
}

#[cold]
fn invalid(rule: Rule, place: Place) -> Error {
    Error::Invalid { rule, place }
}

/// What is not in a function.
fn check_tables(program: &Program) -> Result<(), Error> {
    let in_program = |rule| invalid(rule, Place::Program);
    if program.regions.len() > MAX_REGIONS {
        return Err(in_program(Rule::RegionCount));
    }
    if program
        .regions
        .iter()
        .any(|region| region.most < region.size)
    {
        return Err(in_program(Rule::RegionSizes));
    }
    if !program.positions.is_empty() && program.positions.len() != program.ops.len() {
        return Err(in_program(Rule::PositionCount));
    }
    for (index, signature) in program.signatures.iter().enumerate() {
        let place = Place::Signature(index as u32);
        let counts = (
            usize::from(signature.parameter_count),
            usize::from(signature.result_count),
        );
        if counts.0 > MAX_ARGUMENTS || counts.1 > MAX_ARGUMENTS {
            return Err(invalid(Rule::SignatureLength, place));
        }
        program
            .types
            .get(signature.first_type as usize..)
            .and_then(|types| types.get(..counts.0 + counts.1))
            .ok_or(invalid(Rule::SignatureSpan, place))?;
    }
    if program.slot_count > MAX_SLOTS {
        return Err(in_program(Rule::SlotCount));
    }
    if program.tags.len() > MAX_TAGS {
        return Err(in_program(Rule::TagCount));
    }
    for (index, tag) in program.tags.iter().enumerate() {
        let place = Place::Tag(index as u32);
        if tag.bits & !tag.mask != 0 {
            return Err(invalid(Rule::TagBits, place));
        }
        if tag.shift > 63 {
            return Err(invalid(Rule::TagShift, place));
        }
    }
    for (index, host) in program.hosts.iter().enumerate() {
        if host.signature as usize >= program.signatures.len() {
            return Err(invalid(Rule::HostSignature, Place::Host(index as u32)));
        }
    }
    for (index, exit) in program.exits.iter().enumerate() {
        let count = (exit.entry_count as usize).checked_mul(2);
        count
            .and_then(|count| program.extra.get(exit.snapshot as usize..)?.get(..count))
            .ok_or(invalid(Rule::ExitSnapshot, Place::Exit(index as u32)))?;
    }
    Ok(())
}
