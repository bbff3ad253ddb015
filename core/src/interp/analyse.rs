//! Looks a function's values over before its instructions are written: how often and where they are used, which
//! comparisons go into branches, which values share a register, which have one of their own.
//!
//! Costs time linear in the function's size, and two words for each value beside its place.

use crate::ir::{Function, NONE, Op};
use crate::ops::{Opcode, flags};

use super::decode::{Decoder, fact, span_of};
use super::internal;
use super::uses::{self, Immediate, Use};
use crate::error::Error;

/// The most constants that a function sets at its entry for the sake of its loops.
const MOST_AT_ENTRY: u32 = 32;

impl Decoder<'_, '_> {
    /// Counts the uses of each value, finds the constants, and how many outgoing registers there must be.
    pub(super) fn count_uses(&mut self, function: &Function) -> Result<(), Error> {
        let program = self.program;
        let mut outgoing = 0;
        for block in self.blocks_of(function) {
            for value in self.ops_of(block) {
                let op = self.op(value)?;
                if op.code.info().has(flags::CONSTANT) {
                    self.note(value, fact::CONSTANT);
                }
                if matches!(op.code, Opcode::CallHost | Opcode::ReturnCall) {
                    outgoing = outgoing.max(uses::outgoing_words(program, &op));
                }
                uses::for_each_use(program, &op, |used, _| {
                    if let Some(facts) = self.facts.get_mut(used as usize) {
                        *facts += u32::from(*facts & fact::COUNT < 2);
                    }
                });
            }
        }
        self.frame.outgoing = outgoing as u32;
        Ok(())
    }

    /// Whether this branch or guard of a block can do the comparison that it decides on: nobody else wants its result.
    fn can_swallow(&self, op: &Op, block_start: u32, at: u32) -> Result<bool, Error> {
        let condition = op.a;
        if !(block_start..at).contains(&condition) || self.count(condition) != 1 {
            return Ok(false);
        }
        let code = self.op(condition)?.code;
        let inverts = code.inverse().is_some() || matches!(code, Opcode::I32Eqz | Opcode::I64Eqz);
        Ok(uses::fuses_with_branch(code) && (op.code != Opcode::GuardNot || inverts))
    }

    /// Notes where the values that a block uses are used last, and what kind of use that is. Lets branches and
    /// guards do the comparisons that nobody else wants: their operands are used there then.
    pub(super) fn find_last_uses(&mut self, block: u32) -> Result<(), Error> {
        let ops = self.ops_of(block);
        for value in ops.clone() {
            let op = self.op(value)?;
            self.use_operands(&op, value, ops.start);
            if decides(&op) && self.can_swallow(&op, ops.start, value)? {
                self.note(op.a, fact::SWALLOWED);
                let compare = self.op(op.a)?;
                self.use_operands(&compare, value, ops.start);
            }
        }
        let Some(value) = ops.end.checked_sub(1) else {
            return Ok(());
        };
        let op = self.op(value)?;
        match op.code {
            Opcode::Jump => self.share_along(op.b, &ops, 0),
            Opcode::Branch => {
                let (first, second) = (self.program.edge(op.b), self.program.edge(op.c));
                if first.block != second.block {
                    self.share_along(op.b, &ops, fact::SHARES_IF_LOCAL)?;
                    self.share_along(op.c, &ops, fact::SHARES_IF_LOCAL)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The comparison that a branch or guard does itself.
    pub(super) fn swallowed(&self, op: &Op) -> Result<Option<Op>, Error> {
        if decides(op) && self.has(op.a, fact::SWALLOWED) {
            return self.op(op.a).map(Some);
        }
        Ok(None)
    }

    /// The form of an op with an immediate, if it has one.
    pub(super) fn immediate(&self, op: &Op) -> Option<Immediate> {
        // Most ops have no constant operand, which is known already.
        if (self.fact(op.a) | self.fact(op.b)) & fact::CONSTANT == 0 {
            return None;
        }
        uses::immediate_form(self.program, op)
    }

    fn use_operands(&mut self, op: &Op, at: u32, block_start: u32) {
        let program = self.program;
        uses::for_each_use(program, op, |used, how| {
            let (Some(facts), Some(last)) = (
                self.facts.get_mut(used as usize),
                self.last.get_mut(used as usize),
            ) else {
                return;
            };
            if *facts & fact::CONSTANT != 0 {
                let folded = match how {
                    Use::Anywhere => true,
                    Use::Operand(operand) => {
                        uses::immediate_form(program, op).is_some_and(|form| form.folded == operand)
                    }
                    Use::Listed => false,
                };
                if folded {
                    return;
                }
                *facts |= fact::IN_REGISTER;
            }
            if !(block_start..at).contains(&used) {
                *facts |= fact::ESCAPES;
            }
            *last = at;
        });
    }

    /// Looks for values of this block that can be made in the register of the parameter that an edge passes
    /// them to: the block must not use the parameter once the value is there. Whether the parameter is used
    /// elsewhere matters only where the block has another way out (`condition`).
    fn share_along(
        &mut self,
        edge: u32,
        ops: &core::ops::Range<u32>,
        condition: u32,
    ) -> Result<(), Error> {
        let edge = self.program.edge(edge);
        let parameters = self.ops_of(edge.block).start;
        for (&value, parameter) in edge.arguments.iter().zip(parameters..) {
            if !ops.contains(&value) || self.count(parameter) == 0 {
                continue;
            }
            let code = self.op(value)?.code;
            let last = self.last.get(parameter as usize).copied().unwrap_or(NONE);
            let free = !(ops.contains(&last) && last > value);
            let hinted = self.places.get(value as usize).is_some_and(|&p| p != NONE);
            if free && !hinted && code != Opcode::Parameter && !code.info().has(flags::CONSTANT) {
                self.set_place(value, parameter)?;
                self.note(value, condition);
            }
        }
        Ok(())
    }

    /// Finds the constants that are better set at the entry: those of blocks in loops. A block counts as in a loop if a
    /// jump from it or from below goes to it or above; a miss costs speed only.
    pub(super) fn find_loops(&mut self, function: &Function) -> Result<(), Error> {
        let all = span_of(function);
        let span = all.start as usize..all.end as usize;
        self.blocks.get_mut(span).ok_or(internal!())?.fill(0);
        let program = self.program;
        for block in self.blocks_of(function) {
            let Some(value) = self.ops_of(block).end.checked_sub(1) else {
                continue;
            };
            let op = self.op(value)?;
            let mut edge = |edge: u32| {
                let target = program.edge(edge).block;
                if target <= block && all.contains(&target) {
                    if let Some(begins) = self.blocks.get_mut(target as usize) {
                        *begins = begins.wrapping_add(1);
                    }
                    if block + 1 < all.end
                        && let Some(ends) = self.blocks.get_mut(block as usize + 1)
                    {
                        *ends = ends.wrapping_sub(1);
                    }
                }
            };
            match op.code {
                Opcode::Jump => edge(op.b),
                Opcode::Branch => {
                    edge(op.b);
                    edge(op.c);
                }
                Opcode::Switch => uses::switch_edges(program, &op).for_each(edge),
                _ => {}
            }
        }
        let mut depth = 0u32;
        let mut constants = 0;
        for block in all {
            if constants == MOST_AT_ENTRY {
                break;
            }
            depth = depth.wrapping_add(self.blocks.get(block as usize).copied().unwrap_or(0));
            if depth == 0 {
                continue;
            }
            for value in self.ops_of(block) {
                if constants < MOST_AT_ENTRY && self.has(value, fact::IN_REGISTER) {
                    constants += 1;
                    self.note(value, fact::AT_ENTRY);
                }
            }
        }
        self.frame.at_entry = constants;
        Ok(())
    }

    /// Numbers the registers of parameters, of values that leave their block, and of constants that do or that are set
    /// at the entry.
    pub(super) fn give_own_registers(&mut self, function: &Function) -> Result<(), Error> {
        let mut own = 0u32;
        for block in self.blocks_of(function) {
            let is_entry = block == function.first_block;
            let parameters = self.program.blocks.get(block as usize);
            let parameters = parameters.map_or(0, |block| block.parameter_count);
            let ops = self.ops_of(block);
            for value in ops.clone() {
                let facts = self.fact(value);
                let is_own = if value - ops.start < parameters {
                    is_entry || facts & fact::COUNT != 0
                } else if facts & fact::CONSTANT != 0 {
                    facts & fact::AT_ENTRY != 0
                        || facts & (fact::IN_REGISTER | fact::ESCAPES)
                            == fact::IN_REGISTER | fact::ESCAPES
                } else {
                    facts & fact::ESCAPES != 0
                };
                if is_own {
                    self.note(value, fact::OWN);
                    self.set_place(value, own)?;
                    own += 1;
                }
            }
        }
        self.frame.own = own;
        Ok(())
    }
}

/// Whether an op decides on a condition that it can compute itself.
fn decides(op: &Op) -> bool {
    matches!(op.code, Opcode::Branch | Opcode::Guard | Opcode::GuardNot)
}
