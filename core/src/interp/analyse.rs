//! Looks a function's values over before its instructions are written: how often and where they are used, which
//! comparisons go into branches, which values share a register, which have one of their own.
//!
//! Costs time linear in the function's size, and two words for each value beside its place.

use crate::ir::{Function, NONE, Op};
use crate::ops::{Opcode, flags};

use super::decode::{Decoder, Frame, fact, span_of};
use super::internal;
use super::uses::{self, Use};
use crate::error::Error;

/// The most constants that a function sets at its entry for the sake of its loops.
const MOST_AT_ENTRY: u32 = 32;

impl Decoder<'_, '_> {
    pub(super) fn count_uses(&mut self, function: &Function) -> Result<(), Error> {
        let program = self.program;
        for block in self.blocks_of(function) {
            for value in self.ops_of(block) {
                let op = self.op(value)?;
                uses::for_each_use(program, &op, |used, _| {
                    if let Some(facts) = self.facts.get_mut(used as usize)
                        && *facts & fact::COUNT < 2
                    {
                        *facts += 1;
                    }
                });
            }
        }
        Ok(())
    }

    /// Lets branches and guards do the comparisons that nobody else wants.
    pub(super) fn swallow_comparisons(&mut self, function: &Function) -> Result<(), Error> {
        for block in self.blocks_of(function) {
            let ops = self.ops_of(block);
            for value in ops.clone() {
                let op = self.op(value)?;
                if !matches!(op.code, Opcode::Branch | Opcode::Guard | Opcode::GuardNot) {
                    continue;
                }
                let condition = op.a;
                if !(ops.start..value).contains(&condition) || self.count(condition) != 1 {
                    continue;
                }
                let code = self.op(condition)?.code;
                let inverts =
                    code.inverse().is_some() || matches!(code, Opcode::I32Eqz | Opcode::I64Eqz);
                if uses::fuses_with_branch(code) && (op.code != Opcode::GuardNot || inverts) {
                    self.note(condition, fact::SWALLOWED);
                }
            }
        }
        Ok(())
    }

    /// Notes where the values that a block uses are used last, and what kind of use that is.
    pub(super) fn find_last_uses(&mut self, block: u32) -> Result<(), Error> {
        let ops = self.ops_of(block);
        for value in ops.clone() {
            if self.has(value, fact::SWALLOWED) {
                continue;
            }
            let op = self.op(value)?;
            self.use_operands(&op, value, ops.start);
            if let Some(compare) = self.swallowed(&op)? {
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
        if matches!(op.code, Opcode::Branch | Opcode::Guard | Opcode::GuardNot)
            && self.has(op.a, fact::SWALLOWED)
        {
            return self.op(op.a).map(Some);
        }
        Ok(None)
    }

    fn use_operands(&mut self, op: &Op, at: u32, block_start: u32) {
        let program = self.program;
        let immediate = uses::immediate_form(program, op);
        uses::for_each_use(program, op, |used, how| {
            if uses::constant_value(program, used).is_some() {
                let folded = match how {
                    Use::Anywhere => true,
                    Use::Operand(operand) => immediate.is_some_and(|form| form.folded == operand),
                    Use::Listed => false,
                };
                if folded {
                    return;
                }
                self.note(used, fact::IN_REGISTER);
            }
            if !(block_start..at).contains(&used) {
                self.note(used, fact::ESCAPES);
            }
            if let Some(last) = self.last.get_mut(used as usize) {
                *last = at;
            }
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
        Ok(())
    }

    pub(super) fn give_own_registers(&mut self, function: &Function) -> Result<(), Error> {
        let program = self.program;
        let mut own = 0u32;
        let mut outgoing = 0usize;
        for block in self.blocks_of(function) {
            let is_entry = block == function.first_block;
            for value in self.ops_of(block) {
                let op = self.op(value)?;
                outgoing = outgoing.max(uses::outgoing_words(program, &op));
                let facts = self.fact(value);
                let is_own = match op.code {
                    Opcode::Parameter => is_entry || facts & fact::COUNT != 0,
                    code if code.info().has(flags::CONSTANT) => {
                        facts & fact::AT_ENTRY != 0
                            || facts & fact::IN_REGISTER != 0 && facts & fact::ESCAPES != 0
                    }
                    _ => facts & fact::COUNT != 0 && facts & fact::ESCAPES != 0,
                };
                if is_own {
                    self.note(value, fact::OWN);
                    self.set_place(value, own)?;
                    own += 1;
                }
            }
        }
        self.frame = Frame {
            own,
            outgoing: outgoing as u32,
            ..Frame::default()
        };
        Ok(())
    }
}
