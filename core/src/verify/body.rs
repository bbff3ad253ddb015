//! The ops of a function: one pass, one row of the table for each.

use super::dominators::{DOMINATOR, NUMBER, Node};
use super::edges::{edges_of, grow, list, words};
use super::structure::internal;
use super::table::{Check, Form, NO_VALUE};
use super::{State, block_of, dominates, fact, invalid};
use crate::error::{Error, Place, Rule};
use crate::ir::{Edge, ExitKind, MAX_OFFSET, NONE, Op, Program, place_slot, place_tag};
use crate::ops::{Opcode, flags};
use crate::types::Type;

/// Where operands of a function may come from, at one block after the other.
pub(super) struct Uses<'a> {
    program: &'a Program<'a>,
    /// The function's first op.
    first_op: u32,
    /// How many ops it has.
    op_count: u32,
    /// The block.
    block: u32,
    /// The first op of the blocks that stand right before this one and dominate it, each the next, or its own: what
    /// is made from here on is there.
    near: u32,
    /// How many ops the entry block has, which dominates all others. None where this is the entry.
    entry_ops: u32,
    /// Whether a way leads to the block.
    reachable: bool,
    tree: &'a [Node],
    starts: &'a [u32],
}

impl Uses<'_> {
    /// An operand of op `at`, of the type with this encoding.
    #[inline(always)]
    pub fn value(&self, value: u32, ty: u8, at: u32) -> Result<(), Rule> {
        let Some(op) = self.program.ops.get(value as usize) else {
            return Err(Rule::ValueRange);
        };
        let check = Check::of(op.code);
        if !check.always_gives(ty) {
            let given = check.result(op.aux);
            if given != ty {
                return Err(self.wrong(value, given));
            }
        }
        self.comes_before(value, at)
    }

    /// An operand of any type.
    #[inline]
    fn any_value(&self, value: u32, at: u32) -> Result<(), Rule> {
        let Some(op) = self.program.ops.get(value as usize) else {
            return Err(Rule::ValueRange);
        };
        let given = Check::of(op.code).result(op.aux);
        if given == NO_VALUE {
            return Err(self.wrong(value, given));
        }
        self.comes_before(value, at)
    }

    /// Values for these types: a list of operands.
    #[inline]
    pub fn values(&self, values: &[u32], types: &[Type], at: u32) -> Result<(), Rule> {
        for (&value, &ty) in values.iter().zip(types) {
            self.value(value, ty as u8, at)?;
        }
        Ok(())
    }

    #[cold]
    fn wrong(&self, value: u32, given: u8) -> Rule {
        if value.wrapping_sub(self.first_op) >= self.op_count {
            Rule::ValueRange
        } else if given == NO_VALUE {
            Rule::ValueGiven
        } else {
            Rule::ValueType
        }
    }

    /// A value is there when op `at` of the block runs.
    #[inline(always)]
    fn comes_before(&self, value: u32, at: u32) -> Result<(), Rule> {
        // Mostly it was made nearby, or in the entry; one branch for both, as nobody can predict which. What stands
        // before wraps around.
        let near = value.wrapping_sub(self.near) < at.wrapping_sub(self.near);
        let in_entry = value.wrapping_sub(self.first_op) < self.entry_ops;
        if near | in_entry {
            return Ok(());
        }
        self.comes_from_afar(value)
    }

    /// The same for any other value.
    #[inline(never)]
    fn comes_from_afar(&self, value: u32) -> Result<(), Rule> {
        if value.wrapping_sub(self.first_op) >= self.op_count {
            return Err(Rule::ValueRange);
        }
        if !self.reachable {
            return Ok(());
        }
        let origin = block_of(self.starts, value);
        if origin != self.block && dominates(self.tree, origin, self.block) {
            Ok(())
        } else {
            Err(Rule::ValueDominates)
        }
    }

    /// The arguments of an edge that is known to be well-formed.
    #[inline(always)]
    fn edge(&self, edge: u32, at: u32) -> Result<(), Rule> {
        let edge = self.program.edge(edge);
        if edge.arguments.is_empty() {
            return Ok(());
        }
        self.arguments(edge, at)
    }

    #[inline(never)]
    fn arguments(&self, edge: Edge, at: u32) -> Result<(), Rule> {
        let target = self.program.blocks.get(edge.block as usize);
        let first = target.ok_or(Rule::EdgeTarget)?.first_op as usize;
        let parameters = self.program.ops.get(first..).unwrap_or(&[]);
        for (&argument, parameter) in edge.arguments.iter().zip(parameters) {
            // A parameter without a type is refused where it stands; nothing has its type.
            let ty = Check::of(parameter.code).result(parameter.aux);
            if ty == NO_VALUE {
                return Err(Rule::ValueType);
            }
            self.value(argument, ty, at)?;
        }
        Ok(())
    }
}

/// What the ops of a function add to what is known of the program.
pub(super) struct Tally {
    pub size: usize,
    /// How many values calls and returns pass.
    pub passed: usize,
    pub contained: bool,
    /// Whether marks that an access is in bounds come from the optimizer.
    pub trusted: bool,
    /// Bits of [`fact`] about the function.
    pub facts: u32,
    /// How many further results stand behind the last call.
    pub results: usize,
}

impl Tally {
    /// An exit that op `at` names.
    #[inline]
    fn exit(&mut self, uses: &Uses, exit: u32, at: u32) -> Result<(), Rule> {
        if exit == NONE {
            return Err(Rule::ExitNeeded);
        }
        let program = uses.program;
        let exit = program.exits.get(exit as usize).ok_or(Rule::ExitRange)?;
        if exit.kind == ExitKind::Deoptimize {
            self.facts |= fact::MAY_DEOPTIMIZE;
        }
        grow(&mut self.size, exit.entry_count as usize)?;
        for entry in program.snapshot(exit).chunks_exact(2) {
            if entry[0] >= program.slot_count {
                boxed_place(uses, entry[0], entry[1])?;
            }
            uses.any_value(entry[1], at)?;
        }
        Ok(())
    }

    /// An exit that op `at` may name.
    #[inline]
    pub fn exit_or_none(&mut self, uses: &Uses, exit: u32, at: u32) -> Result<(), Rule> {
        if exit == NONE {
            return Ok(());
        }
        self.exit(uses, exit, at)
    }

    /// The region, offset and exit of an access whose extra words are so many; gives these words.
    #[inline]
    fn access<'a>(
        &mut self,
        uses: &Uses<'a>,
        op: &Op,
        at: u32,
        count: u32,
    ) -> Result<&'a [u32], Rule> {
        if op.region() >= uses.program.regions.len() {
            return Err(Rule::RegionRange);
        }
        let words = words(uses.program, op.c, 0, count).ok_or(Rule::ExtraRange)?;
        if words[0] > MAX_OFFSET {
            return Err(Rule::OffsetRange);
        }
        if op.is_in_bounds() {
            // Of an atomic access the alignment is checked, too.
            if op.code.info().has(flags::ATOMIC) || words[1] != NONE {
                return Err(Rule::InBounds);
            }
            self.contained &= self.trusted;
        } else {
            self.exit(uses, words[1], at)?;
        }
        Ok(words)
    }
}

/// The place in a snapshot of a value that is boxed on its way there: its word is greater than any slot.
#[cold]
fn boxed_place(uses: &Uses, place: u32, value: u32) -> Result<(), Rule> {
    let program = uses.program;
    let Some(tag) = place_tag(place) else {
        return Err(Rule::SlotRange);
    };
    if place_slot(place) >= program.slot_count {
        return Err(Rule::SlotRange);
    }
    if usize::from(tag) >= program.tags.len() {
        return Err(Rule::TagRange);
    }
    // A value that is none is refused for that.
    let given = program.ops.get(value as usize).and_then(Op::result);
    match given {
        Some(ty) if Opcode::boxes(ty).is_none() => Err(Rule::SnapshotBox),
        _ => Ok(()),
    }
}

/// Refuses a record with something in a field that its op does not use.
#[inline(always)]
fn unused(fields: u32) -> Result<(), Rule> {
    if fields == 0 {
        Ok(())
    } else {
        Err(Rule::UnusedField)
    }
}

impl State<'_, '_> {
    /// All ops of a function whose structure has been checked. Not inlined, so that it has the machine's registers for
    /// itself.
    #[inline(never)]
    pub(super) fn check_body(&mut self, function: u32) -> Result<(), Error> {
        let program = self.program;
        let Some(record) = program.functions.get(function as usize) else {
            return Err(internal(line!()));
        };
        let mut tally = Tally {
            size: self.size,
            passed: self.passed,
            contained: self.contained,
            trusted: self.trusted,
            facts: 0,
            results: 0,
        };
        let mut uses = Uses {
            program,
            first_op: record.first_op,
            op_count: record.op_count,
            block: record.first_block,
            near: record.first_op,
            entry_ops: 0,
            reachable: true,
            tree: self.tree,
            starts: self.starts,
        };
        for (block, index) in program.blocks_of(record).iter().zip(record.first_block..) {
            let first = block.first_op as usize;
            let Some((last, ops)) = program
                .ops
                .get(first..first + block.op_count as usize)
                .and_then(|ops| ops.split_last())
            else {
                return Err(internal(line!()));
            };
            if index != record.first_block {
                let node = self.tree.get(index as usize).ok_or(internal(line!()))?;
                uses.block = index;
                uses.reachable = node[NUMBER] != NONE;
                if node[DOMINATOR] != index - 1 {
                    uses.near = block.first_op;
                }
            }
            let place = |op| Place::Op {
                function,
                block: index,
                op,
            };
            let (parameters, body) = ops.split_at(block.parameter_count as usize);
            let mut at = block.first_op;
            for (op, position) in parameters.iter().zip(0..) {
                check_parameter(op, position).map_err(|rule| invalid(rule, place(at)))?;
                at += 1;
            }
            for op in body {
                check_op(&uses, &mut tally, self.facts, op, at)
                    .map_err(|rule| invalid(rule, place(at)))?;
                at += 1;
            }
            check_terminator(&uses, record.signature, &mut tally, last, at)
                .map_err(|rule| invalid(rule, place(at)))?;
            if Check::of(last.code).form == Form::ReturnCall
                && let Some(last_caller) = self.callers.get_mut(last.a as usize)
                && let Some(next) = self.next_caller.get_mut(index as usize)
            {
                *next = *last_caller;
                *last_caller = index;
            }
            if index == record.first_block {
                uses.entry_ops = block.op_count;
            }
        }
        self.size = tally.size;
        self.passed = tally.passed;
        self.contained = tally.contained;
        if let Some(facts) = self.facts.get_mut(function as usize) {
            *facts |= tally.facts;
        }
        Ok(())
    }
}

/// A parameter at the head of its block, with its index in the block's list.
#[inline]
fn check_parameter(op: &Op, position: u32) -> Result<(), Rule> {
    let check = Check::of(op.code);
    if check.form != Form::Parameter {
        return Err(Rule::ParameterOp);
    }
    if op.a != position {
        return Err(Rule::ParameterIndex);
    }
    if check.result(op.aux) == NO_VALUE {
        return Err(Rule::ParameterType);
    }
    unused(op.b | op.c)
}

/// An op that is neither a parameter at the head of its block nor its terminator.
#[inline(always)]
fn check_op(
    uses: &Uses,
    tally: &mut Tally,
    facts: &mut [u32],
    op: &Op,
    at: u32,
) -> Result<(), Rule> {
    let check = Check::of(op.code);
    let aux = u32::from(op.aux);
    match check.form {
        Form::Binary => {
            unused(aux | op.c)?;
            uses.value(op.a, check.operands[0], at)?;
            uses.value(op.b, check.operands[1], at)
        }
        Form::Unary => {
            unused(aux | op.b | op.c)?;
            uses.value(op.a, check.operands[0], at)
        }
        Form::Tag => {
            unused(op.b | op.c)?;
            uses.value(op.a, check.operands[0], at)?;
            if usize::from(op.aux) < uses.program.tags.len() {
                Ok(())
            } else {
                Err(Rule::TagRange)
            }
        }
        Form::Constant64 => unused(aux | op.a),
        Form::Constant32 => {
            unused(aux | op.a)?;
            if op.c == 0 {
                Ok(())
            } else {
                Err(Rule::ConstantBits)
            }
        }
        Form::BinaryLeaves => {
            unused(aux)?;
            uses.value(op.a, check.operands[0], at)?;
            uses.value(op.b, check.operands[1], at)?;
            tally.exit(uses, op.c, at)
        }
        Form::UnaryLeaves => {
            unused(aux | op.b)?;
            uses.value(op.a, check.operands[0], at)?;
            tally.exit(uses, op.c, at)
        }
        Form::Select => {
            unused(aux)?;
            uses.value(op.a, check.operands[0], at)?;
            uses.value(op.b, check.operands[1], at)?;
            uses.value(op.c, check.operands[2], at)
        }
        Form::Load => {
            unused(op.b)?;
            uses.value(op.a, check.operands[0], at)?;
            tally.access(uses, op, at, 2).map(|_| ())
        }
        Form::Store => {
            uses.value(op.a, check.operands[0], at)?;
            uses.value(op.b, check.operands[1], at)?;
            tally.access(uses, op, at, 2).map(|_| ())
        }
        Form::CompareExchange => {
            uses.value(op.a, check.operands[0], at)?;
            uses.value(op.b, check.operands[1], at)?;
            let words = tally.access(uses, op, at, 3)?;
            uses.value(words[2], check.operands[2], at)
        }
        Form::RawLoad => {
            tally.contained = false;
            unused(aux | op.b)?;
            uses.value(op.a, check.operands[0], at)
        }
        Form::RawStore => {
            tally.contained = false;
            unused(aux)?;
            uses.value(op.a, check.operands[0], at)?;
            uses.value(op.b, check.operands[1], at)
        }
        Form::Fence => unused(aux | op.a | op.b | op.c),
        Form::SlotGet => {
            unused(aux | op.a | op.b)?;
            check_slot(uses, op)
        }
        Form::SlotSet => {
            unused(aux | op.b)?;
            uses.value(op.a, check.operands[0], at)?;
            check_slot(uses, op)
        }
        Form::RegionSize => {
            unused(op.a | op.b | op.c)?;
            if usize::from(op.aux) < uses.program.regions.len() {
                Ok(())
            } else {
                Err(Rule::RegionRange)
            }
        }
        Form::FunctionIndex => {
            unused(aux | op.a | op.c)?;
            if (op.b as usize) < uses.program.functions.len() {
                Ok(())
            } else {
                Err(Rule::FunctionRange)
            }
        }
        Form::Guard => {
            unused(aux | op.b)?;
            uses.value(op.a, check.operands[0], at)?;
            tally.exit(uses, op.c, at)
        }
        Form::Poll => {
            unused(aux | op.a | op.b)?;
            tally.exit(uses, op.c, at)
        }
        Form::Call => tally.call(uses, facts, op, at),
        Form::CallIndirect => {
            uses.value(op.a, check.operands[0], at)?;
            tally.call_indirect(uses, op, at)?;
            tally.exit(uses, op.c, at)
        }
        Form::CallHost => tally.call_host(uses, op, at),
        Form::Result if tally.results > 0 => {
            // The call has looked at it.
            tally.results -= 1;
            Ok(())
        }
        Form::Result => Err(Rule::ResultPlace),
        Form::Parameter => Err(Rule::ParameterPlace),
        Form::Jump | Form::Branch | Form::Switch | Form::Return | Form::Exit | Form::ReturnCall => {
            Err(Rule::TerminatorPlace)
        }
    }
}

/// The slot of an op that reads or writes one.
#[inline]
fn check_slot(uses: &Uses, op: &Op) -> Result<(), Rule> {
    if op.c < uses.program.slot_count {
        Ok(())
    } else {
        Err(Rule::SlotRange)
    }
}

/// The last op of a block; its edges are known to be well-formed.
#[inline]
fn check_terminator(
    uses: &Uses,
    signature: u32,
    tally: &mut Tally,
    op: &Op,
    at: u32,
) -> Result<(), Rule> {
    let check = Check::of(op.code);
    let aux = u32::from(op.aux);
    match check.form {
        Form::Jump => {
            unused(aux | op.a | op.c)?;
            uses.edge(op.b, at)
        }
        Form::Branch => {
            unused(aux)?;
            uses.value(op.a, check.operands[0], at)?;
            uses.edge(op.b, at)?;
            uses.edge(op.c, at)
        }
        Form::Switch => {
            unused(aux | op.c)?;
            uses.value(op.a, check.operands[0], at)?;
            for &edge in edges_of(uses.program, op, &[op.b, op.c])? {
                uses.edge(edge, at)?;
            }
            Ok(())
        }
        Form::Return => {
            unused(aux | op.a | op.c)?;
            let types = uses.program.results(signature);
            let values = list(uses.program, op.b, 0)?;
            if values.len() != types.len() {
                return Err(Rule::ReturnCount);
            }
            tally.passed = tally.passed.saturating_add(values.len());
            uses.values(values, types, at)
        }
        Form::Exit => {
            unused(aux | op.a | op.b)?;
            tally.exit(uses, op.c, at)
        }
        Form::ReturnCall => {
            unused(aux | op.c)?;
            tally.return_call(uses, signature, op, at)
        }
        _ => Err(Rule::BlockTerminator),
    }
}

impl<'a> Uses<'a> {
    /// The program.
    pub fn program(&self) -> &'a Program<'a> {
        self.program
    }
}
