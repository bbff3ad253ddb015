//! The forward walk over a function: ops are copied into the draft with their operands renamed ([`super::draft`]), and simplified on
//! the way ([`super::simplify`]); the ends of blocks are in [`super::ends`].
//!
//! Takes a function with its blocks in order ([`super::order`]); promises a draft in which every value stands behind its
//! operands, output blocks as spans of it, and lists of the edges that were made. Costs constant time for each op, operand,
//! edge argument and snapshot entry, and for each rule that applies.
//!
//! What stands in the draft is never taken back: an op that is not used is left out later ([`super::sweep`]).

use super::learn::Asked;
use super::memory::Memory;
use super::order::{Order, SELF};
use super::passes::{Pass, Steps};
use super::version::Version;
use super::workspace::{
    CHAIN, FLAG_CUT, FLAG_DONE, FLAG_LOOP, FLAG_PEELED, FLAG_TANGLED, FLAGS, HEAD, INCOMING, OUT,
    OUT_END, OUT_FIRST, OUT_LAST, OUT_PARAMETERS, OUT_START, PENDING, Workspace,
};
use crate::build::Table;
use crate::error::{Error, Part};
use crate::ir::{Exit, Function, NONE, Op, Program};
use crate::ops::flags;
use crate::types::Type;
use crate::verify::Verified;
use crate::verify::table::{Check, Form};

/// The most ops that one step adds to the draft, and the op that is walked.
pub(super) const SPARE: u32 = 20;

/// What cannot happen.
#[cold]
pub(super) fn internal(line: u32) -> Error {
    Error::Internal {
        part: Part::Optimize,
        line,
    }
}

/// What cannot happen, where nothing else can: the draft is full.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault;

impl From<Fault> for Error {
    #[cold]
    fn from(Fault: Fault) -> Error {
        internal(line!())
    }
}

/// One function on its way.
pub(super) struct Walk<'e, 'p, 'w, 's> {
    pub verified: &'e Verified<'p>,
    pub program: &'e Program<'p>,
    pub function: Function,
    pub order: Order,
    pub steps: &'e mut Steps,
    pub workspace: &'e mut Workspace<'w>,
    /// The ops so far.
    pub draft: &'e mut [Op],
    pub used: u32,
    pub extra: &'e mut Table<'s, u32>,
    pub exits: &'e mut Table<'s, Exit>,
    /// The first exit of this function in the output.
    pub first_exit: u32,
    /// Changes whenever names of values change their meaning, for what was noted of exits.
    pub generation: u32,
    /// The first and the last constant that stands at the head of the function; [`NONE`] before there is one.
    pub constants: [u32; 2],
    /// The record of the head of the innermost loop that is walked and not peeled, or [`NONE`].
    pub innermost: u32,
    /// Whether nothing that shows was done since that head began, and the block is its own.
    pub clean: bool,
    /// Whether any op was moved before a loop.
    pub moved: bool,
    /// Whether any loop is peeled.
    pub peels: bool,
    /// Whether a loop is peeled.
    pub phase: Phase,
    /// The block of the program whose ops are walked.
    pub block: u32,
    /// How many output blocks there are.
    pub outs: u32,
    /// How many edges there are, those of the program and those that were made.
    pub edges: u32,
    /// How many notes there are.
    pub notes: u32,
    /// The facts that were asked for last.
    pub asked: Asked,
    /// How many parameters are being looked at.
    pub nesting: u32,
    /// What guest slots and regions hold here.
    pub memory: Memory,
    /// Of the loop that is peeled: checks in it that a test in front of it decides.
    pub version: Version,
    /// The regions that something in the function may write, a bit for each.
    pub written: u32,
    /// The op of the program that is walked.
    pub source: u32,
    /// How many ops of the program are in blocks that were not walked to their end.
    pub ahead: u32,
    /// The first op of the block that is walked.
    pub block_start: u32,
    /// One less than the buckets in use.
    pub bucket_mask: u32,
}

/// Where the walk is, with regard to loops that are peeled ([`super::peel`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// In none.
    Outside,
    /// In the copy of one, whose blocks have these places in the order.
    Copy(u32, u32),
    /// In the loop behind its copy.
    Loop(u32, u32),
}

/// How a block of the program ends.
pub(super) enum End {
    /// The output block ends too.
    Here,
    /// It goes on with this block, counted from the function's first.
    With(u32),
}

impl Walk<'_, '_, '_, '_> {
    /// Walks all blocks.
    pub fn walk(&mut self) -> Result<(), Error> {
        let mut position = 0;
        while position < self.order.count {
            let block = self.workspace.order[position as usize];
            if self.workspace.blocks[block as usize][FLAGS] & FLAG_PEELED != 0 {
                position = self.walk_peeled(position)?;
            } else {
                self.walk_if_reached(block)?;
                position += 1;
            }
        }
        Ok(())
    }

    /// Walks a block, by its record, unless that is done or nothing leads there.
    pub fn walk_if_reached(&mut self, block: u32) -> Result<(), Error> {
        let record = &self.workspace.blocks[block as usize];
        if record[FLAGS] & FLAG_DONE != 0 {
            return Ok(());
        }
        if block != 0 && record[INCOMING] == NONE && !self.is_entered_later(block) {
            self.leave_out(block);
            return Ok(());
        }
        self.walk_block(block)
    }

    /// The block of the function that a record is about.
    #[inline]
    pub fn original(&self, record: u32) -> u32 {
        let count = self.function.block_count;
        if record >= count {
            record - count
        } else {
            record
        }
    }

    /// The block of the program that a record is about.
    #[inline]
    pub fn program_block(&self, record: u32) -> u32 {
        self.function.first_block + self.original(record)
    }

    /// Whether a way to a block to which no edge was made yet may still be found: blocks behind it that it does not dominate lead
    /// to it, and its dominator was walked to its end.
    fn is_entered_later(&self, block: u32) -> bool {
        if self.order.verbatim {
            return true;
        }
        let first = self.function.first_block;
        let dominator = self.verified.immediate_dominator(self.program_block(block));
        let tangled = self.workspace.blocks[block as usize][FLAGS] & FLAG_TANGLED != 0;
        if !tangled || dominator == NONE {
            return false;
        }
        let above = &self.workspace.blocks[(dominator - first) as usize];
        above[OUT] != NONE && above[FLAGS] & FLAG_CUT == 0
    }

    /// A block that nothing leads to any more.
    fn leave_out(&mut self, block: u32) {
        self.workspace.blocks[block as usize][FLAGS] |= FLAG_DONE;
        self.drop_edges(block);
    }

    /// Makes an output block that begins with this block, and goes on with those that only it leads to.
    fn walk_block(&mut self, block: u32) -> Result<(), Error> {
        let out = self.outs;
        self.outs += 1;
        let record = &mut self.workspace.outs[out as usize];
        record[OUT_FIRST] = NONE;
        record[OUT_LAST] = NONE;
        self.enter_loop(block);
        self.block = self.program_block(block);
        self.memory.forget();
        self.begin(block, out)?;
        let mut current = block;
        while let End::With(next) = self.body(current)? {
            current = next;
            self.block = self.program_block(next);
            let record = &mut self.workspace.blocks[next as usize];
            record[FLAGS] |= FLAG_DONE;
            record[OUT] = out;
        }
        self.workspace.outs[out as usize][OUT_END] = self.used;
        Ok(())
    }

    /// The parameters of an output block. Those that are known to be another value stay in the draft, where nothing uses them.
    fn begin(&mut self, block: u32, out: u32) -> Result<(), Error> {
        let program = self.program;
        let record = &program.blocks[self.block as usize];
        let count = record.parameter_count;
        // The parameters of a loop that was peeled were chosen behind the copy.
        if self.workspace.blocks[block as usize][FLAGS] & FLAG_PEELED == 0 {
            self.choose_unboxed(block)?;
        }
        let first = self.used;
        let entry = &mut self.workspace.blocks[block as usize];
        entry[FLAGS] |= FLAG_DONE;
        entry[OUT] = out;
        entry[HEAD] = first;
        let record_out = &mut self.workspace.outs[out as usize];
        record_out[OUT_START] = first;
        record_out[OUT_PARAMETERS] = count;
        for index in 0..count {
            self.source = record.first_op + index;
            let op = program.ops[self.source as usize];
            let value = self.append(op)?;
            self.workspace.values[value as usize][CHAIN] = block;
        }
        for index in 0..count {
            self.source = record.first_op + index;
            let parameter = first + index;
            let value = if let Some(boxing) = self.chosen(index) {
                // Its edges pass what was in the boxes, so that a value which they agree on is not the parameter's.
                self.begin_unboxed(parameter, boxing)?
            } else if let Some(known) = self.known_parameter(block, index) {
                self.steps.did(Pass::Parameters, 1);
                known
            } else {
                parameter
            };
            self.define(record.first_op + index, value);
        }
        Ok(())
    }

    /// The value that a parameter of a block is known to be, by the block's record, before it begins.
    pub fn known_parameter(&self, block: u32, index: u32) -> Option<u32> {
        if block == 0 || !self.steps.may(Pass::Parameters) {
            return None;
        }
        let record = &self.workspace.blocks[block as usize];
        let (pending, loops) = (record[PENDING], record[FLAGS] & FLAG_LOOP != 0);
        let parameter = self.program.blocks[self.program_block(block) as usize].first_op + index;
        let alias = self.workspace.aliases[(parameter - self.function.first_op) as usize];
        if alias < SELF {
            Some(self.workspace.map[alias as usize])
        } else if pending == 0 || (loops && alias == SELF) {
            self.same_argument(block, index)
        } else {
            None
        }
    }

    /// The value that all edges made so far pass for a parameter of a block, if it is one.
    fn same_argument(&self, block: u32, index: u32) -> Option<u32> {
        let mut edge = self.workspace.blocks[block as usize][INCOMING];
        let mut only = None;
        while edge != NONE {
            let [at, _, next] = self.workspace.edges[edge as usize];
            let argument = self.extra.get(at + 2 + index).copied()?;
            if only.is_some_and(|known| known != argument) {
                return None;
            }
            only = Some(argument);
            edge = next;
        }
        only
    }

    /// The ops of a block behind its parameters.
    fn body(&mut self, block: u32) -> Result<End, Error> {
        let program = self.program;
        let record = program.blocks[self.program_block(block) as usize];
        let first = record.first_op + record.parameter_count;
        let last = record.first_op + record.op_count - 1;
        self.block_start = record.first_op;
        for index in first..last {
            self.source = index;
            let op = program.ops[index as usize];
            match Check::of(op.code).form {
                Form::Constant32 | Form::Constant64 => {
                    let value = self.constant_op(op)?;
                    self.define(index, value);
                }
                Form::Unary | Form::Tag => {
                    let a = self.name(op.a);
                    let value = self.pure(Op { a, ..op })?;
                    self.define(index, value);
                }
                Form::Binary => {
                    let (a, b) = (self.name(op.a), self.name(op.b));
                    let value = self.pure(Op { a, b, ..op })?;
                    self.define(index, value);
                }
                Form::Select | Form::FunctionIndex => {
                    let op = self.renamed(op);
                    let value = self.pure(op)?;
                    self.define(index, value);
                }
                Form::UnaryLeaves | Form::BinaryLeaves => {
                    let op = self.renamed(op);
                    let value = self.leaving(op)?;
                    self.define(index, value);
                }
                Form::Guard => {
                    if self.guard(op)? {
                        self.workspace.blocks[block as usize][FLAGS] |= FLAG_CUT;
                        self.drop_edges(block);
                        return Ok(End::Here);
                    }
                }
                Form::Load | Form::Store if !op.code.info().has(flags::ATOMIC) => {
                    let value = self.access(op)?;
                    self.define(index, value);
                }
                Form::RegionSize if !program.regions[op.region()].grows() => {
                    let size = program.regions[op.region()].size;
                    let value = self.constant(Type::I64, size)?;
                    self.define(index, value);
                }
                Form::SlotGet => {
                    let value = match self.forwarded(&op, op.c) {
                        Some(value) => value,
                        None => {
                            let value = self.append(op)?;
                            self.note_access(value, op.c);
                            value
                        }
                    };
                    self.define(index, value);
                }
                Form::SlotSet => {
                    let op = self.renamed(op);
                    if !self.is_stored(&op, op.c, op.a) {
                        let value = self.append(op)?;
                        self.note_access(value, op.c);
                    }
                }
                _ => {
                    let op = self.copied(op)?;
                    let value = self.append(op)?;
                    self.define(index, value);
                }
            }
        }
        self.source = last;
        let end = self.terminate(program.ops[last as usize])?;
        self.ahead -= record.op_count;
        Ok(end)
    }

    /// Whether the draft has room for some ops besides those that the program still has.
    pub fn has_room(&self) -> bool {
        let ahead = self.ahead - (self.source - self.block_start);
        (self.used + ahead + SPARE) as usize <= self.draft.len()
    }
}
