//! Where references are while a collector may run.
//!
//! An observer that keeps, in the caller's slices, for each place at which a collector may run (a *safepoint*: a call of
//! a host function or of compiled code, a poll) the words of the frame that hold references. Pass it to
//! [`super::compile_observed`]; [`ReferenceMaps::finish`] then gives [`References`], and
//! [`crate::call::visit_references`] walks a stack with them.
//!
//! ```text
//!   higher addresses   return address             stack pointer + 8 * Frame::words
//!                      (padding)
//!                      spill slots                stack pointer + 8 * word, for each word in Frame::roots
//!   stack pointer ->   arguments and results of host calls: what a host function gets as its `values`
//! ```
//!
//! Promises: a word is named if and only if it holds a reference that an op behind the safepoint uses on some way, or
//! the exit through which the safepoint's op leaves; every way to the safepoint has stored it there. So it may be
//! read, and what is written there is what the program goes on with: no register and no other word of the frame
//! holds a copy that is still used. Arguments of the call at hand are the callee's affair; guest slots are the embedder's.
//! While a collector runs at a poll, if the embedder has stopped the thread there by means of its own, its frame is as
//! the map says too; a poll that leaves has no frame any more.
//!
//! What is alive is found out exactly, for the references that have a spill slot: at the end of each function they are followed
//! from their uses back to their definitions. That takes time and workspace linear in ops and edges, and in the roots, but for the references that are used
//! outside of the block that gives them: these take a bit in each block, and time for each block in which they are alive.
//! [`ReferenceMaps::words`] says how many words suffice.

use super::layout::for_each_successor;
use super::{Event, Observer, ValueName};
use crate::error::{Error, Storage};
use crate::interp::uses::for_each_use;
use crate::ir::{Block, Function, NONE, Op, Program};
use crate::ops::flags;
use crate::types::Type;
use crate::verify::Verified;

/// A place in the code at which a collector may run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Safepoint {
    /// The offset in the code to which its call returns; of a poll, the offset behind it.
    pub offset: u32,
    /// The op, by its index in the program.
    pub op: u32,
    /// Words from the stack pointer to the return address of its frame.
    pub frame_words: u32,
    /// Its first root.
    first_root: u32,
    /// How many it has.
    root_count: u32,
}

/// The frame of a safepoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The op, by its index in the program.
    pub op: u32,
    /// Words from the stack pointer to the return address.
    pub words: u32,
    /// The words that hold references, counted from the stack pointer; no word twice.
    pub roots: &'a [u32],
}

/// The safepoints of a program's code.
#[derive(Clone, Copy, Debug, Default)]
pub struct References<'a> {
    safepoints: &'a [Safepoint],
    roots: &'a [u32],
}

impl<'a> References<'a> {
    /// The safepoint to which a call returns at this offset in the code. Takes time logarithmic in the safepoints.
    pub fn at(&self, offset: u32) -> Option<Frame<'a>> {
        let order = |safepoint: &Safepoint| safepoint.offset;
        let at = self.safepoints.binary_search_by_key(&offset, order).ok()?;
        Some(self.frame(self.safepoints.get(at)?))
    }

    /// All safepoints in the order of the code, each with its offset.
    pub fn iter(&self) -> impl Iterator<Item = (u32, Frame<'a>)> {
        let this = *self;
        let safepoints = this.safepoints.iter();
        safepoints.map(move |safepoint| (safepoint.offset, this.frame(safepoint)))
    }

    fn frame(&self, safepoint: &Safepoint) -> Frame<'a> {
        let first = safepoint.first_root as usize;
        let roots = self.roots.get(first..first + safepoint.root_count as usize);
        Frame {
            op: safepoint.op,
            words: safepoint.frame_words,
            roots: roots.unwrap_or_default(),
        }
    }
}

/// Collects safepoints and references. Pass it to [`super::compile_observed`].
#[derive(Debug)]
pub struct ReferenceMaps<'a> {
    program: &'a Program<'a>,
    safepoints: &'a mut [Safepoint],
    safepoint_count: usize,
    roots: &'a mut [u32],
    root_count: usize,
    words: &'a mut [u32],
    words_needed: usize,
    /// The function at hand, and its first safepoint.
    function: Function,
    first_safepoint: usize,
    /// How many of its references have a spill slot.
    spilled: usize,
}

impl<'a> ReferenceMaps<'a> {
    /// Nothing collected yet. Safepoints and roots go into these slices; the contents of the words do not matter.
    pub fn new(
        verified: &'a Verified<'a>,
        safepoints: &'a mut [Safepoint],
        roots: &'a mut [u32],
        words: &'a mut [u32],
    ) -> ReferenceMaps<'a> {
        ReferenceMaps {
            program: verified.program(),
            safepoints,
            safepoint_count: 0,
            roots,
            root_count: 0,
            words,
            words_needed: 0,
            function: Function::default(),
            first_safepoint: 0,
            spilled: 0,
        }
    }

    /// How many safepoints a program's code has at most.
    pub fn safepoints(verified: &Verified<'_>) -> usize {
        let is_safepoint = |op: &&Op| {
            let info = op.code.info();
            info.has(flags::SAFEPOINT) || info.has(flags::CALLS)
        };
        verified.program().ops.iter().filter(is_safepoint).count()
    }

    /// How many words of workspace always suffice for a program. Of the roots there is no such figure that is of use: as many
    /// as there are, [`ReferenceMaps::finish`] says.
    pub fn words(verified: &Verified<'_>) -> usize {
        let program = verified.program();
        let most = program.functions.iter().map(|function| {
            let (mut references, mut crossing) = (0, 0);
            for block in program.blocks_of(function) {
                for op in ops_of(program, block) {
                    references += usize::from(op.result() == Some(Type::Ref));
                    for_each_use(program, op, |used, _| {
                        let op = program.ops.get(used as usize);
                        let is_reference = op.is_some_and(|op| op.result() == Some(Type::Ref));
                        crossing += usize::from(is_reference && !contains(block, used));
                    });
                }
            }
            Sizes::of(program, function, references, crossing.min(references)).total()
        });
        most.max().unwrap_or(0)
    }

    /// What was collected.
    ///
    /// # Errors
    ///
    /// `Full` if a slice was too small: [`Storage::Safepoints`], [`Storage::Roots`] or [`Storage::Workspace`], with
    /// what would have been enough.
    pub fn finish(self) -> Result<References<'a>, Error> {
        let full = |storage, needed| Error::Full { storage, needed };
        if self.words_needed > self.words.len() {
            return Err(full(Storage::Workspace, self.words_needed));
        }
        let safepoints = self.safepoints.get(..self.safepoint_count);
        let roots = self.roots.get(..self.root_count);
        Ok(References {
            safepoints: safepoints.ok_or(full(Storage::Safepoints, self.safepoint_count))?,
            roots: roots.ok_or(full(Storage::Roots, self.root_count))?,
        })
    }

    /// A reference of the function at hand has a spill slot. The words begin with a number for each of its ops, 1 for
    /// the first such reference and 0 for what is none; behind them stand [`SPILLED`] words for each, op and slot first.
    fn spill(&mut self, op: u32, slot: u32) {
        let local = op.wrapping_sub(self.function.first_op);
        let record = self.program.ops.get(op as usize);
        let is_reference = record.is_some_and(|op| op.result() == Some(Type::Ref));
        if !is_reference || local >= self.function.op_count {
            return;
        }
        let at = self.function.op_count as usize + SPILLED * self.spilled;
        self.spilled += 1;
        if let Some(record) = self.words.get_mut(at..at + SPILLED) {
            record.copy_from_slice(&[op, slot, NONE, NONE]);
            self.words[local as usize] = self.spilled as u32;
        }
    }

    fn begin_function(&mut self, function: u32) {
        let function = self.program.functions.get(function as usize);
        self.function = function.copied().unwrap_or_default();
        self.first_safepoint = self.safepoint_count;
        self.spilled = 0;
        let numbers = self.words.get_mut(..self.function.op_count as usize);
        numbers.unwrap_or_default().fill(0);
    }

    /// The function at hand ends: its safepoints get their roots.
    fn end_function(&mut self, frame_words: u32, outgoing: u32) {
        let count = self.safepoint_count.min(self.safepoints.len());
        let first = self.first_safepoint.min(count);
        let mut rest = self.safepoints.get_mut(first..count).unwrap_or_default();
        for safepoint in rest.iter_mut() {
            safepoint.frame_words = frame_words;
        }
        let without_sets = Sizes::of(self.program, &self.function, self.spilled, 0);
        self.words_needed = self.words_needed.max(without_sets.total());
        if self.spilled == 0 {
            return;
        }
        let crossing = number_crossing(self.program, &self.function, &without_sets, self.words);
        let Some(crossing) = crossing else {
            return;
        };
        let sizes = Sizes::of(self.program, &self.function, self.spilled, crossing);
        self.words_needed = self.words_needed.max(sizes.total());
        let Some(mut alive) = Alive::cut(self.program, &self.function, sizes, self.words) else {
            return;
        };
        alive.find_predecessors();
        alive.find_alive();
        // Safepoints of a block stand together, in the order of its ops.
        while let Some(last) = rest.last() {
            let block = alive.block_of(last.op);
            let span = alive
                .blocks
                .get(block as usize)
                .copied()
                .unwrap_or_default();
            let outside = |point: &Safepoint| !contains(&span, point.op);
            let split = rest.partition_point(outside).min(rest.len() - 1);
            let (before, of_block) = rest.split_at_mut(split);
            alive.walk_block(block, of_block, |safepoint, slot| {
                if safepoint.root_count == 0 {
                    safepoint.first_root = self.root_count as u32;
                }
                safepoint.root_count += 1;
                if let Some(entry) = self.roots.get_mut(self.root_count) {
                    *entry = outgoing.wrapping_add(slot);
                }
                self.root_count += 1;
            });
            rest = before;
        }
    }
}

/// Gives numbers from 0 to the references that are used outside of the block that gives them; says how many there are.
/// `None` if there are too few words.
fn number_crossing(
    program: &Program<'_>,
    function: &Function,
    sizes: &Sizes,
    words: &mut [u32],
) -> Option<usize> {
    let (numbers, rest) = words.split_at_mut_checked(sizes.numbers)?;
    let spilled = rest.get_mut(..sizes.spilled)?.as_chunks_mut::<SPILLED>().0;
    let mut crossing = 0;
    for block in program.blocks_of(function) {
        for op in ops_of(program, block) {
            for_each_use(program, op, |used, _| {
                let local = used.wrapping_sub(function.first_op) as usize;
                let number = numbers.get(local).copied().unwrap_or(0) as usize;
                if let Some(record) = spilled.get_mut(number.wrapping_sub(1))
                    && record[CROSSING] == NONE
                    && !contains(block, used)
                {
                    record[CROSSING] = crossing;
                    crossing += 1;
                }
            });
        }
    }
    Some(crossing as usize)
}

impl Observer for ReferenceMaps<'_> {
    fn event(&mut self, event: Event) {
        match event {
            Event::Function { function } => self.begin_function(function),
            Event::SpillSlot {
                value: ValueName::Op(op),
                slot,
            } => self.spill(op, slot),
            Event::Safepoint { op, at } => {
                if let Some(safepoint) = self.safepoints.get_mut(self.safepoint_count) {
                    *safepoint = Safepoint {
                        offset: at,
                        op,
                        ..Safepoint::default()
                    };
                }
                self.safepoint_count += 1;
            }
            Event::Frame { words, outgoing } => self.end_function(words, outgoing),
            _ => {}
        }
    }
}

/// Whether an op is in a block.
fn contains(block: &Block, op: u32) -> bool {
    op.wrapping_sub(block.first_op) < block.op_count
}

/// Words for each reference with a spill slot: its op, its slot, its number among those that are used outside of their
/// block or [`NONE`], its place in the list of what is alive at hand or [`NONE`].
const SPILLED: usize = 4;
const SLOT: usize = 1;
const CROSSING: usize = 2;
const PLACE: usize = 3;

/// How the workspace is divided for a function.
#[derive(Clone, Copy)]
struct Sizes {
    /// A number for each op.
    numbers: usize,
    /// [`SPILLED`] words for each reference that has a spill slot.
    spilled: usize,
    /// A list of them.
    list: usize,
    /// The reference of each number among those that are used outside of their block.
    crossing: usize,
    /// Where the predecessors of each block begin, and where the last ones end.
    starts: usize,
    predecessors: usize,
    stack: usize,
    /// Words of a set of such references.
    set: usize,
    /// A set for each block.
    sets: usize,
}

impl Sizes {
    fn of(program: &Program<'_>, function: &Function, spilled: usize, crossing: usize) -> Sizes {
        let blocks = function.block_count as usize;
        let mut edges = 0;
        for block in function.first_block..function.first_block + function.block_count {
            for_each_successor(program, block, |_| edges += 1);
        }
        let set = crossing.div_ceil(32);
        Sizes {
            numbers: function.op_count as usize,
            spilled: SPILLED * spilled,
            list: spilled,
            crossing,
            starts: blocks + 1,
            predecessors: edges,
            stack: blocks,
            set,
            sets: set * blocks,
        }
    }

    fn total(&self) -> usize {
        let references = self.numbers + self.spilled + self.list + self.crossing;
        let blocks = self.starts + self.predecessors + self.stack;
        references + blocks + self.sets
    }
}

/// Which references are alive where, by their numbers from 0.
struct Alive<'a, 'w> {
    program: &'a Program<'a>,
    first_block: u32,
    blocks: &'a [Block],
    first_op: u32,
    numbers: &'w [u32],
    spilled: &'w mut [[u32; SPILLED]],
    /// What is alive at hand, in no order.
    list: &'w mut [u32],
    /// How much of the list is taken.
    count: usize,
    crossing: &'w mut [u32],
    starts: &'w mut [u32],
    predecessors: &'w mut [u32],
    stack: &'w mut [u32],
    /// Words of a set.
    set: usize,
    /// For each block those that are alive when it begins, by their numbers in `crossing`.
    at_beginning: &'w mut [u32],
}

/// Cuts a piece off the front.
fn take<'w>(words: &mut &'w mut [u32], count: usize) -> Option<&'w mut [u32]> {
    let (piece, rest) = core::mem::take(words).split_at_mut_checked(count)?;
    *words = rest;
    Some(piece)
}

impl<'a, 'w> Alive<'a, 'w> {
    /// `None` if the words do not suffice.
    fn cut(
        program: &'a Program<'a>,
        function: &Function,
        sizes: Sizes,
        mut words: &'w mut [u32],
    ) -> Option<Alive<'a, 'w>> {
        let words = &mut words;
        let alive = Alive {
            program,
            first_block: function.first_block,
            blocks: program.blocks_of(function),
            first_op: function.first_op,
            numbers: take(words, sizes.numbers)?,
            spilled: take(words, sizes.spilled)?.as_chunks_mut().0,
            list: take(words, sizes.list)?,
            count: 0,
            crossing: take(words, sizes.crossing)?,
            starts: take(words, sizes.starts)?,
            predecessors: take(words, sizes.predecessors)?,
            stack: take(words, sizes.stack)?,
            set: sizes.set,
            at_beginning: take(words, sizes.sets)?,
        };
        alive.at_beginning.fill(0);
        for (number, record) in (0..).zip(alive.spilled.iter()) {
            if let Some(entry) = alive.crossing.get_mut(record[CROSSING] as usize) {
                *entry = number;
            }
        }
        Some(alive)
    }

    /// The block of an op, as an index in the function.
    fn block_of(&self, op: u32) -> u32 {
        let after = self.blocks.partition_point(|block| block.first_op <= op);
        after.saturating_sub(1) as u32
    }

    /// The number of a value, if it is a reference with a spill slot.
    fn number_of(&self, value: u32) -> Option<u32> {
        let number = self
            .numbers
            .get(value.wrapping_sub(self.first_op) as usize)?;
        number.checked_sub(1)
    }

    /// Fills in the predecessors of each block.
    fn find_predecessors(&mut self) {
        let (program, first) = (self.program, self.first_block);
        let all = 0..self.blocks.len() as u32;
        self.starts.fill(0);
        for block in all.clone() {
            for_each_successor(program, first + block, |to| {
                self.starts[(to - first) as usize] += 1;
            });
        }
        // Each block's place begins at its end, and moves down to its start as it is filled.
        let mut sum = 0;
        for start in self.starts.iter_mut() {
            sum += *start;
            *start = sum;
        }
        for block in all {
            for_each_successor(program, first + block, |to| {
                let at = &mut self.starts[(to - first) as usize];
                *at -= 1;
                self.predecessors[*at as usize] = block;
            });
        }
    }

    /// Follows each reference from its uses back to its definition. A block is visited once for each at most.
    fn find_alive(&mut self) {
        let program = self.program;
        for (number, block) in (0..).zip(self.blocks) {
            for op in ops_of(program, block) {
                for_each_use(program, op, |used, _| {
                    if let Some(reference) = self.number_of(used)
                        && !contains(block, used)
                    {
                        let crossing = self.spilled[reference as usize][CROSSING];
                        self.follow(crossing, used, number);
                    }
                });
            }
        }
    }

    /// Notes that a reference is alive where a block begins, and on every way there from its op.
    fn follow(&mut self, crossing: u32, op: u32, block: u32) {
        let mut waiting = 0;
        if self.arrive(crossing, block) {
            self.stack[0] = block;
            waiting = 1;
        }
        while waiting > 0 {
            waiting -= 1;
            let block = self.stack[waiting] as usize;
            for at in self.starts[block]..self.starts[block + 1] {
                let before = self.predecessors[at as usize];
                if !contains(&self.blocks[before as usize], op) && self.arrive(crossing, before) {
                    self.stack[waiting] = before;
                    waiting += 1;
                }
            }
        }
    }

    /// Adds a reference to the set of a block's beginning; says whether it was not there.
    fn arrive(&mut self, crossing: u32, block: u32) -> bool {
        let at = block as usize * self.set + crossing as usize / 32;
        let bit = 1 << (crossing % 32);
        let word = &mut self.at_beginning[at];
        core::mem::replace(word, *word | bit) & bit == 0
    }

    /// Visits the safepoints of a block, which stand in the order of its ops, each with the spill slots that hold
    /// references then.
    fn walk_block(
        &mut self,
        block: u32,
        safepoints: &mut [Safepoint],
        mut visit: impl FnMut(&mut Safepoint, u32),
    ) {
        let program = self.program;
        let Some(record) = self.blocks.get(block as usize) else {
            return;
        };
        for reference in self.list.iter().take(self.count) {
            self.spilled[*reference as usize][PLACE] = NONE;
        }
        self.count = 0;
        for_each_successor(program, self.first_block + block, |to| {
            let at = (to - self.first_block) as usize * self.set;
            for word in 0..self.set {
                let mut set = self.at_beginning[at + word];
                while set != 0 {
                    let crossing = 32 * word + set.trailing_zeros() as usize;
                    set &= set - 1;
                    self.add(self.crossing[crossing]);
                }
            }
        });
        let mut safepoints = safepoints.iter_mut().rev().peekable();
        for (number, op) in ops_of(program, record).iter().enumerate().rev() {
            let index = record.first_op + number as u32;
            if let Some(reference) = self.number_of(index) {
                self.remove(reference);
            }
            if let Some(safepoint) = safepoints.next_if(|point| point.op == index) {
                let exit = program
                    .exit_of(op)
                    .and_then(|exit| program.exits.get(exit as usize));
                let snapshot = exit.map_or(&[][..], |exit| program.snapshot(exit));
                for pair in snapshot.chunks_exact(2) {
                    self.use_value(pair[1]);
                }
                for &reference in self.list.iter().take(self.count) {
                    visit(safepoint, self.spilled[reference as usize][SLOT]);
                }
            }
            if safepoints.peek().is_none() {
                return;
            }
            for_each_use(program, op, |used, _| self.use_value(used));
        }
    }

    /// Adds a value to what is alive at hand, if it is a reference with a spill slot.
    fn use_value(&mut self, value: u32) {
        if let Some(reference) = self.number_of(value) {
            self.add(reference);
        }
    }

    fn add(&mut self, reference: u32) {
        let place = &mut self.spilled[reference as usize][PLACE];
        if *place == NONE {
            *place = self.count as u32;
            self.list[self.count] = reference;
            self.count += 1;
        }
    }

    fn remove(&mut self, reference: u32) {
        let place = core::mem::replace(&mut self.spilled[reference as usize][PLACE], NONE);
        if place != NONE {
            // The last one takes its place.
            self.count -= 1;
            let last = self.list[self.count];
            if last != reference {
                self.list[place as usize] = last;
                self.spilled[last as usize][PLACE] = place;
            }
        }
    }
}

fn ops_of<'a>(program: &Program<'a>, block: &Block) -> &'a [Op] {
    let start = block.first_op as usize;
    let ops = program.ops.get(start..start + block.op_count as usize);
    ops.unwrap_or_default()
}
