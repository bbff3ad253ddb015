//! The forward walk over a function: ops are copied into the draft with their operands renamed, and simplified on the way.
//!
//! Takes a function with its blocks in order ([`super::order`]); promises a draft in which every value stands behind its
//! operands, output blocks as spans of it, and lists of the edges that were made. Costs constant time for each op, operand,
//! edge argument and snapshot entry, and for each rule that applies.
//!
//! What stands in the draft is never taken back: an op that is not used is left out later ([`super::sweep`]).

use super::classes::is_of_interest;
use super::learn::Asked;
use super::memory::Memory;
use super::operands::{self, COMMUTES, EFFECT, LEAVES, PROVABLE, TOUCHES, traits_of};
use super::order::{Order, SELF};
use super::passes::{Pass, Steps};
use super::rules::{self, Outcome, Term};
use super::version::Version;
use super::workspace::{
    BLOCK, CHAIN, FLAG_CUT, FLAG_DONE, FLAG_LOOP, FLAG_PEELED, FLAG_TANGLED, FLAGS, HEAD, INCOMING,
    LINK, OUT, OUT_END, OUT_FIRST, OUT_LAST, OUT_PARAMETERS, OUT_START, PENDING, Workspace,
};
use crate::build::Table;
use crate::error::{Error, Part};
use crate::ir::{Exit, Function, NONE, Op, Program};
use crate::ops::{Opcode, evaluate, evaluate_tag, flags};
use crate::types::Type;
use crate::verify::Verified;
use crate::verify::table::{Check, Form};

/// How many values of one hash are looked at.
pub(super) const LONGEST_CHAIN: u32 = 12;

/// The most ops that one step adds to the draft, and the op that is walked.
pub(super) const SPARE: u32 = 20;

/// What an op of 32 bits is without its check for overflow.
fn unchecked(code: Opcode) -> Option<Opcode> {
    match code {
        Opcode::I32AddChecked => Some(Opcode::I32Add),
        Opcode::I32SubChecked => Some(Opcode::I32Sub),
        Opcode::I32MulChecked => Some(Opcode::I32Mul),
        _ => None,
    }
}

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

/// What rules made of an op.
enum Simplified {
    Value(u32),
    Op(Op),
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
            let value = match self.known_parameter(block, index) {
                Some(known) => {
                    self.steps.did(Pass::Parameters, 1);
                    known
                }
                None => self.begin_unboxed(first + index, index)?,
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

    #[inline]
    pub fn define(&mut self, index: u32, value: u32) {
        self.workspace.map[(index - self.function.first_op) as usize] = value;
    }

    /// The draft's name of a value.
    #[inline]
    pub fn name(&self, value: u32) -> u32 {
        self.workspace.map[(value - self.function.first_op) as usize]
    }

    /// An op whose operands are all in its record, with their names in the draft.
    #[inline]
    fn renamed(&self, mut op: Op) -> Op {
        operands::for_each_operand(&mut op, &mut [], |value| *value = self.name(*value));
        op
    }

    /// An op with a copy of its words, all names and its exit as in the draft.
    pub fn copied(&mut self, mut op: Op) -> Result<Op, Error> {
        let program = self.program;
        match Check::of(op.code).form {
            Form::Load | Form::Store => {
                op.c = self.copy_words(op.c, 2)?;
            }
            Form::CompareExchange => op.c = self.copy_words(op.c, 3)?,
            Form::Call | Form::CallHost | Form::Return | Form::ReturnCall => {
                op.b = self.copy_words(op.b, 1 + program.list(op.b).len())?;
            }
            Form::CallIndirect => {
                op.b = self.copy_words(op.b, 2 + program.list(op.b + 1).len())?;
            }
            _ => {}
        }
        let (map, first) = (&*self.workspace.map, self.function.first_op);
        operands::for_each_operand(&mut op, self.extra.filled_mut(), |value| {
            *value = map[(*value - first) as usize];
        });
        let exit = operands::exit_of(&mut op, self.extra.filled_mut()).map(|exit| *exit);
        if let Some(exit) = exit {
            let exit = self.exit(exit)?;
            if let Some(place) = operands::exit_of(&mut op, self.extra.filled_mut()) {
                *place = exit;
            }
        }
        Ok(op)
    }

    /// Copies words of the program.
    fn copy_words(&mut self, at: u32, count: usize) -> Result<u32, Error> {
        let program = self.program;
        let first = self.extra.used as u32;
        for &word in &program.extra[at as usize..at as usize + count] {
            self.extra.push(word)?;
        }
        Ok(first)
    }

    /// The draft's exit for one of the program's.
    pub fn exit(&mut self, exit: u32) -> Result<u32, Error> {
        let known = self.workspace.exits[exit as usize];
        if known[1] == self.generation {
            return Ok(known[0]);
        }
        let program = self.program;
        let record = program.exits[exit as usize];
        let snapshot = self.extra.used as u32;
        for pair in program.snapshot(&record).chunks_exact(2) {
            self.extra.push(pair[0])?;
            let value = self.name(pair[1]);
            self.extra.push(value)?;
        }
        let new = self.exits.push(Exit { snapshot, ..record })?;
        self.workspace.exits[exit as usize] = [new, self.generation];
        Ok(new)
    }

    /// Adds an op to the draft.
    #[inline]
    pub fn append(&mut self, op: Op) -> Result<u32, Fault> {
        let traits = traits_of(op.code);
        if traits & TOUCHES != 0 {
            self.memory.pass(&op);
            self.clean &= traits & EFFECT == 0;
        }
        self.append_quiet(op)
    }

    /// The same for an op that has nothing to do with memory.
    #[inline]
    pub fn append_quiet(&mut self, op: Op) -> Result<u32, Fault> {
        let index = self.used;
        let (Some(place), Some(record)) = (
            self.draft.get_mut(index as usize),
            self.workspace.values.get_mut(index as usize),
        ) else {
            return Err(Fault);
        };
        *place = op;
        *record = [NONE, self.block, NONE, 0];
        if let Some(source) = self.workspace.sources.get_mut(index as usize) {
            *source = self.source;
        }
        self.used += 1;
        Ok(index)
    }

    // Values.

    /// A constant of a type.
    pub fn constant(&mut self, ty: Type, bits: u64) -> Result<u32, Fault> {
        let code = match ty {
            Type::I32 => Opcode::I32Const,
            Type::F32 => Opcode::F32Const,
            Type::F64 => Opcode::F64Const,
            Type::I64 | Type::Ref => Opcode::I64Const,
        };
        self.constant_op(Op {
            code,
            aux: 0,
            a: 0,
            b: bits as u32,
            c: (bits >> 32) as u32,
        })
    }

    /// Constants stand once, at the head of the function: they make no code there, but where they are used.
    fn constant_op(&mut self, op: Op) -> Result<u32, Fault> {
        if !self.steps.passes.has(Pass::Common) {
            return self.append(op);
        }
        let hash = self.hash(&op);
        if let Some(value) = self.find(hash, &op) {
            return Ok(value);
        }
        let value = self.append_quiet(op)?;
        self.workspace.values[value as usize][BLOCK] = self.function.first_block;
        self.workspace.values[value as usize][LINK] = NONE;
        if self.constants == [NONE; 2] {
            self.constants = [value; 2];
        } else {
            self.workspace.values[self.constants[1] as usize][LINK] = value;
            self.constants[1] = value;
        }
        self.remember(hash, value);
        Ok(value)
    }

    #[inline]
    pub fn constant_bits(&self, value: u32) -> Option<u64> {
        rules::constant_of(&self.draft[value as usize])
    }

    fn term(&mut self, ty: Type, term: Term) -> Result<u32, Fault> {
        match term {
            Term::Value(value) => Ok(value),
            Term::Constant(bits) => self.constant(ty, bits),
        }
    }

    /// An op with other operands. Fields that it does not need are zero but for an exit.
    fn rewritten(
        &mut self,
        exit: u32,
        code: Opcode,
        a: Term,
        b: Option<Term>,
    ) -> Result<Op, Fault> {
        let info = code.info();
        let a = self.term(info.operands[0], a)?;
        let b = match b {
            Some(term) => self.term(info.operands[1], term)?,
            None => 0,
        };
        let c = if info.has(flags::LEAVES) { exit } else { 0 };
        Ok(Op {
            code,
            aux: 0,
            a,
            b,
            c,
        })
    }

    /// Constants go right where operands may be swapped.
    #[inline]
    fn ordered(&mut self, mut op: Op) -> Op {
        let info = op.code.info();
        if info.operand_count == 2
            && self.constant_bits(op.a).is_some()
            && self.constant_bits(op.b).is_none()
        {
            let code = if info.has(flags::COMMUTES) {
                Some(op.code)
            } else {
                op.code.swapped()
            };
            if let Some(code) = code
                && self.steps.may(Pass::Simplify)
            {
                op = Op {
                    code,
                    a: op.b,
                    b: op.a,
                    ..op
                };
            }
        }
        op
    }

    /// The value of an op that only computes.
    pub fn pure(&mut self, op: Op) -> Result<u32, Fault> {
        let mut op = op;
        if is_of_interest(self.draft, &op) {
            match self.simplified(op)? {
                Simplified::Value(value) => return Ok(value),
                Simplified::Op(simpler) => op = simpler,
            }
        }
        let hash = self.hash(&op);
        if let Some(value) = self.find_common(hash, &op) {
            return Ok(value);
        }
        if traits_of(op.code) & PROVABLE != 0
            && let Some(value) = self.proved(&op)?
        {
            return Ok(value);
        }
        if self.innermost != NONE
            && self.is_made_before(&op)
            && let Some(value) = self.hoisted(&op)?
        {
            self.remember(hash, value);
            return Ok(value);
        }
        let value = self.append_quiet(op)?;
        self.remember(hash, value);
        Ok(value)
    }

    /// The value of an op that facts tell, as a step.
    #[inline(never)]
    fn proved(&mut self, op: &Op) -> Result<Option<u32>, Fault> {
        let Some(outcome) = self.prove(op).filter(|_| self.has_room()) else {
            return Ok(None);
        };
        self.steps.did(Pass::Facts, 1);
        let value = match outcome {
            Outcome::Value(value) => value,
            Outcome::Constant(bits) => self.result(op, bits)?,
            Outcome::Op(code, a, b) => {
                let op = self.rewritten(NONE, code, a, b)?;
                self.common_or_append(op)?
            }
        };
        Ok(Some(value))
    }

    /// An op that only computes after all rules that apply, or the value that it is.
    #[inline(never)]
    fn simplified(&mut self, op: Op) -> Result<Simplified, Fault> {
        let mut op = op;
        loop {
            let form = Check::of(op.code).form;
            self.without_canonicalize(&mut op);
            if let Some(float) = self.unboxed_float(&op) {
                op = float;
                continue;
            }
            if form == Form::Select {
                op = self.plain_condition(op);
            } else if form == Form::FunctionIndex {
                break;
            }
            let outcome = if form == Form::Select {
                rules::select(self.draft, &op)
            } else {
                op = self.ordered(op);
                if let Some(bits) = self.fold(&op).flatten() {
                    return self.result(&op, bits).map(Simplified::Value);
                }
                if form == Form::Tag {
                    if let Some(value) = self.unboxed(&op)? {
                        return Ok(Simplified::Value(value));
                    }
                    break;
                }
                rules::apply(self.draft, &op)
            };
            let Some(outcome) = outcome else { break };
            if !self.has_room() || !self.steps.take(Pass::Simplify) {
                break;
            }
            match outcome {
                Outcome::Value(value) => return Ok(Simplified::Value(value)),
                Outcome::Constant(bits) => return self.result(&op, bits).map(Simplified::Value),
                Outcome::Op(code, a, b) => op = self.rewritten(NONE, code, a, b)?,
            }
        }
        Ok(Simplified::Op(op))
    }

    /// A selection whose condition is no test for zero.
    fn plain_condition(&mut self, op: Op) -> Op {
        let (value, opposite) = rules::condition(self.draft, op.a);
        if value == op.a || !self.steps.take(Pass::Simplify) {
            return op;
        }
        let (b, c) = if opposite { (op.c, op.b) } else { (op.b, op.c) };
        Op {
            a: value,
            b,
            c,
            ..op
        }
    }

    /// An op's own type as a constant.
    fn result(&mut self, op: &Op, bits: u64) -> Result<u32, Fault> {
        let ty = op.result().ok_or(Fault)?;
        self.constant(ty, bits)
    }

    /// The result of an op over constants, counted as a step: `None` if there is an operand that is none, or no step may be
    /// made; inside, `None` if it leaves.
    fn fold(&mut self, op: &Op) -> Option<Option<u64>> {
        let a = self.constant_bits(op.a)?;
        let b = if op.code.info().operand_count > 1 {
            self.constant_bits(op.b)?
        } else {
            0
        };
        // Constants are no refs, which a collector would look at.
        if op.result() == Some(Type::Ref) || !self.steps.may(Pass::Fold) {
            return None;
        }
        let value = if Check::of(op.code).form == Form::Tag {
            Some(evaluate_tag(op.code, &self.program.tag_of(op), a)?)
        } else {
            evaluate(op.code, a, b)?
        };
        if value.is_some() {
            self.steps.did(Pass::Fold, 1);
        }
        Some(value)
    }

    /// The value of an op that leaves for some operands. Its exit is the program's.
    fn leaving(&mut self, op: Op) -> Result<u32, Error> {
        let mut op = op;
        while is_of_interest(self.draft, &op) {
            op = self.ordered(op);
            match self.fold(&op) {
                Some(Some(bits)) => return Ok(self.result(&op, bits)?),
                // It always leaves: what comes behind it never runs.
                Some(None) => break,
                None => {}
            }
            let Some(outcome) = rules::apply(self.draft, &op) else {
                break;
            };
            if !self.has_room() || !self.steps.take(Pass::Simplify) {
                break;
            }
            match outcome {
                Outcome::Value(value) => return Ok(value),
                Outcome::Constant(bits) => return Ok(self.result(&op, bits)?),
                Outcome::Op(code, a, b) => op = self.rewritten(op.c, code, a, b)?,
            }
            if !op.code.info().has(flags::LEAVES) {
                return Ok(self.pure(op)?);
            }
        }
        let hash = self.hash(&op);
        if let Some(value) = self.find_common(hash, &op) {
            return Ok(value);
        }
        if let Some((pass, proved)) = self.prove_check(&op) {
            self.steps.did(pass, 1);
            if !proved.code.info().has(flags::LEAVES) {
                return Ok(self.pure(proved)?);
            }
            // An unsigned division may be cheaper still.
            return self.leaving(proved);
        }
        if self.steps.may(Pass::Strength)
            && self.has_room()
            && let Some(value) = self.divide(&op)?
        {
            self.steps.did(Pass::Strength, 1);
            // What it is made of now says less than what it is.
            if self.steps.may(Pass::Facts) {
                let fact = self.fact_of(&op);
                self.learn(value, self.block, &fact);
            }
            return Ok(value);
        }
        if self.is_spoken_for()
            && let Some(plain) = unchecked(op.code)
        {
            let fact = self.fact_of(&op);
            let value = self.pure(Op {
                code: plain,
                c: 0,
                ..op
            })?;
            self.learn(value, self.block, &fact);
            return Ok(value);
        }
        self.wish_for_op(&op);
        op.c = self.exit(op.c)?;
        let value = self.append(op)?;
        self.remember(hash, value);
        Ok(value)
    }

    /// A guard. Says whether it always leaves, so that the block ends here.
    fn guard(&mut self, op: Op) -> Result<bool, Error> {
        let mut op = Op {
            a: self.name(op.a),
            ..op
        };
        let (value, opposite) = rules::condition(self.draft, op.a);
        if value != op.a && self.steps.take(Pass::Simplify) {
            op.a = value;
            op.code = match (op.code, opposite) {
                (Opcode::Guard, true) => Opcode::GuardNot,
                (Opcode::GuardNot, true) => Opcode::Guard,
                (code, _) => code,
            };
        }
        let hash = self.hash(&op);
        if self.find_common(hash, &op).is_some() {
            return Ok(false);
        }
        if let Some((truth, pass)) = self.known_condition(op.a, Pass::Guards) {
            self.steps.did(pass, 1);
            let passes = truth == (op.code == Opcode::Guard);
            if !passes {
                let exit = self.exit(op.c)?;
                self.append(Op {
                    code: Opcode::Exit,
                    aux: 0,
                    a: 0,
                    b: 0,
                    c: exit,
                })?;
            }
            return Ok(!passes);
        }
        if self.is_spoken_for() && op.code == Opcode::Guard {
            self.learn_condition(op.a, &[(true, self.block)]);
            return Ok(false);
        }
        self.wish_for_guard(&op);
        self.append_guard(hash, op)?;
        Ok(false)
    }

    /// A guard that is not known, over the draft's names but for its exit, which is the program's.
    pub fn append_guard(&mut self, hash: u32, mut op: Op) -> Result<(), Error> {
        let moved = if self.clean {
            self.hoisted_guard(&op)?
        } else {
            None
        };
        let value = match moved {
            Some(value) => value,
            None => {
                op.c = self.exit(op.c)?;
                self.append(op)?
            }
        };
        self.remember(hash, value);
        self.learn_condition(op.a, &[(op.code == Opcode::Guard, self.block)]);
        Ok(())
    }

    /// Whether a condition is not zero, if that is known, and the pass that may use it: branches where it is a constant, else facts
    /// for this one.
    pub fn known_condition(&mut self, value: u32, pass: Pass) -> Option<(bool, Pass)> {
        if let Some(bits) = self.constant_bits(value) {
            let known = (bits as u32 != 0, Pass::Branches);
            return self.steps.may(Pass::Branches).then_some(known);
        }
        if !self.steps.may(pass) || !self.steps.may(Pass::Facts) {
            return None;
        }
        self.truth(value).map(|truth| (truth, pass))
    }

    // Common subexpressions.

    pub fn common_or_append(&mut self, op: Op) -> Result<u32, Fault> {
        let hash = self.hash(&op);
        if let Some(value) = self.find_common(hash, &op) {
            return Ok(value);
        }
        let value = self.append(op)?;
        self.remember(hash, value);
        Ok(value)
    }

    /// The bucket of an op. What commutes hashes alike both ways; exits do not matter.
    #[inline]
    pub fn hash(&self, op: &Op) -> u32 {
        let traits = traits_of(op.code);
        let (a, b) = if traits & COMMUTES != 0 {
            (op.a ^ op.b, op.a.wrapping_add(op.b))
        } else {
            (op.a, op.b)
        };
        let c = if traits & LEAVES != 0 { 0 } else { op.c };
        let mut hash = a.wrapping_mul(0x9e37_79b1) ^ b.wrapping_mul(0x85eb_ca77).rotate_left(13);
        hash ^= c.wrapping_mul(0xc2b2_ae3d).rotate_left(7);
        hash = (hash ^ op.code as u32 ^ u32::from(op.aux) << 16).wrapping_mul(0x27d4_eb2f);
        (hash ^ hash >> 15) & self.bucket_mask
    }

    /// A value of the draft that is the same as the op's and known here.
    pub fn find(&self, hash: u32, op: &Op) -> Option<u32> {
        let traits = traits_of(op.code);
        let (leaves, commutes) = (traits & LEAVES != 0, traits & COMMUTES != 0);
        let mut value = self.workspace.buckets[hash as usize];
        for _ in 0..LONGEST_CHAIN {
            if value == NONE {
                break;
            }
            let known = &self.draft[value as usize];
            let record = &self.workspace.values[value as usize];
            let same = known.code == op.code
                && known.aux == op.aux
                && ((known.a == op.a && known.b == op.b)
                    || (commutes && known.a == op.b && known.b == op.a))
                && (leaves || known.c == op.c);
            if same
                && (record[BLOCK] == self.block
                    || self.verified.dominates(record[BLOCK], self.block))
            {
                return Some(value);
            }
            value = record[CHAIN];
        }
        None
    }

    /// The same as a step of the pass.
    #[inline]
    fn find_common(&mut self, hash: u32, op: &Op) -> Option<u32> {
        if !self.steps.may(Pass::Common) {
            return None;
        }
        let value = self.find(hash, op)?;
        self.steps.did(Pass::Common, 1);
        Some(value)
    }

    pub fn remember(&mut self, hash: u32, value: u32) {
        let bucket = &mut self.workspace.buckets[hash as usize];
        self.workspace.values[value as usize][CHAIN] = *bucket;
        *bucket = value;
    }

    // Ways out of a block.
}
