//! What is used is marked, and copied from the draft into the output.
//!
//! Takes a draft with its output blocks, edges and exits ([`super::walk`]); promises the function's records in the output. Marking
//! goes backward once: an op is needed if it has an effect or if something that is needed uses it; a block parameter asks for the
//! arguments of the edges that were made to its block. What an edge that comes back passes was walked past by then, and waits
//! on a stack. Costs constant time for each op, operand, edge argument and snapshot entry.

use super::operands::{exit_of, for_each_edge, for_each_operand};
use super::passes::Pass;
use super::walk::{Walk, internal};
use super::workspace::{
    CHAIN, HEAD, INCOMING, LINK, MARK, MOVED, OUT, OUT_END, OUT_FIRST, OUT_PARAMETERS, OUT_START,
    OUT_TAIL, SOURCE, VALUE_WORDS, Workspace,
};
use crate::build::Table;
use crate::error::Error;
use crate::ir::{Block, Exit, Function, NONE, Op, boxed_place, place_tag};
use crate::ops::{Opcode, flags};
use crate::verify::table::{Check, Form};

/// In an exit's entry count: some op that is needed names it.
const NEEDED: u32 = 1 << 31;

/// Where the function's records go.
pub(super) struct Output<'o, 's> {
    pub ops: &'o mut Table<'s, Op>,
    pub blocks: &'o mut Table<'s, Block>,
    pub functions: &'o mut Table<'s, Function>,
    pub positions: &'o mut Table<'s, u32>,
}

/// Whether an op does something besides giving a value.
#[inline]
fn has_effect(op: &Op) -> bool {
    let effects = flags::LEAVES | flags::WRITES | flags::CALLS | flags::TERMINATES;
    op.code.info().flags & effects != 0 || op.code == Opcode::Result
}

/// An entry of a snapshot whose value nothing else needed so far, with what the value was made of instead of it.
fn sunk(draft: &[Op], pair: &[u32]) -> Option<[u32; 2]> {
    let (place, op) = (pair[0], draft.get(pair[1] as usize)?);
    if place_tag(place).is_some() {
        return None;
    }
    let place = match op.code {
        Opcode::I64Box | Opcode::I64BoxI32 | Opcode::I64BoxF64 => boxed_place(place, op.aux),
        // The slot gets the same 64 bits.
        Opcode::I64ReinterpretF64 | Opcode::F64ReinterpretI64 | Opcode::I64ExtendI32U => place,
        _ => return None,
    };
    Some([place, op.a])
}

/// Marks a value. If the sweep is past it, it waits on the stack.
#[inline]
fn mark(
    values: &mut [[u32; VALUE_WORDS]],
    stack: &mut [u32],
    waiting: &mut usize,
    now: u32,
    value: u32,
) {
    let record = &mut values[value as usize];
    if record[MARK] == 0 {
        record[MARK] = 1;
        if value >= now {
            stack[*waiting] = value;
            *waiting += 1;
        }
    }
}

impl Walk<'_, '_, '_, '_> {
    /// Marks what is needed.
    pub fn mark(&mut self) -> Result<(), Error> {
        let everything = self.order.verbatim || !self.steps.may(Pass::Dead);
        let entry_parameters = self.workspace.outs[0][OUT_PARAMETERS];
        for value in 0..entry_parameters {
            self.workspace.values[value as usize][MARK] = 1;
        }
        let mut waiting = 0;
        for now in (0..self.used).rev() {
            let op = self.draft[now as usize];
            if everything || has_effect(&op) {
                self.workspace.values[now as usize][MARK] = 1;
            }
            if self.workspace.values[now as usize][MARK] == 0 {
                continue;
            }
            self.mark_operands(now, now, &mut waiting)?;
            while waiting > 0 {
                waiting -= 1;
                let value = self.workspace.stack[waiting];
                self.mark_operands(value, now, &mut waiting)?;
            }
        }
        Ok(())
    }

    fn mark_operands(&mut self, value: u32, now: u32, waiting: &mut usize) -> Result<(), Error> {
        let mut op = self.draft[value as usize];
        let Workspace {
            values,
            stack,
            blocks,
            edges,
            ..
        } = &mut *self.workspace;
        if op.code == Opcode::Parameter {
            let block = values[value as usize][CHAIN];
            let mut edge = blocks[block as usize][INCOMING];
            while edge != NONE {
                let [at, _, next] = edges[edge as usize];
                let argument = self.extra.get(at + 2 + op.a).ok_or(internal(line!()))?;
                mark(values, stack, waiting, now, *argument);
                edge = next;
            }
            return Ok(());
        }
        let extra = self.extra.filled_mut();
        for_each_operand(&mut op, extra, |operand| {
            mark(values, stack, waiting, now, *operand);
        });
        if let Some(exit) = exit_of(&mut op, extra) {
            let exit = self.exits.get_mut(*exit).ok_or(internal(line!()))?;
            if exit.entry_count & NEEDED == 0 {
                let first = exit.snapshot as usize;
                let pairs = &mut extra[first..first + 2 * exit.entry_count as usize];
                for pair in pairs.chunks_exact_mut(2) {
                    if values[pair[1] as usize][MARK] == 0
                        && let Some(entry) = sunk(self.draft, pair)
                        && !self.order.verbatim
                        && self.steps.take(Pass::Sink)
                    {
                        pair.copy_from_slice(&entry);
                    }
                    mark(values, stack, waiting, now, pair[1]);
                }
                exit.entry_count |= NEEDED;
            }
        }
        Ok(())
    }

    /// Copies what is marked into the output.
    pub fn copy_out(&mut self, output: &mut Output) -> Result<(), Error> {
        let exits = self.keep_exits()?;
        let (first_op, first_block) = (output.ops.used as u32, output.blocks.used as u32);
        if self.order.verbatim {
            for (record, index) in self.workspace.values.iter_mut().zip(first_op..) {
                record[MARK] = index;
            }
        }
        for out in 0..self.outs {
            self.copy_block(out, first_block, output)?;
        }
        for exit in self.first_exit..exits {
            let record = self.exits.get_mut(exit).ok_or(internal(line!()))?;
            let first = record.snapshot as usize;
            let length = 2 * record.entry_count as usize;
            for pair in self.extra.filled_mut()[first..first + length].chunks_exact_mut(2) {
                pair[1] = self.workspace.values[pair[1] as usize][MARK];
            }
        }
        let op_count = output.ops.used as u32 - first_op;
        self.steps.report.ops_after += op_count;
        if self.steps.may(Pass::Dead) {
            self.steps.did(Pass::Dead, self.used - op_count);
        }
        output.functions.push(Function {
            signature: self.function.signature,
            first_block,
            block_count: output.blocks.used as u32 - first_block,
            first_op,
            op_count,
        })?;
        Ok(())
    }

    /// Closes the gaps between exits that are needed; the stack says then where each went. Gives the end of them.
    fn keep_exits(&mut self) -> Result<u32, Error> {
        let mut kept = self.first_exit;
        for exit in self.first_exit..self.exits.used as u32 {
            let record = *self.exits.get(exit).ok_or(internal(line!()))?;
            if record.entry_count & NEEDED != 0 {
                let place = self.exits.get_mut(kept).ok_or(internal(line!()))?;
                *place = Exit {
                    entry_count: record.entry_count & !NEEDED,
                    ..record
                };
                self.workspace.stack[(exit - self.first_exit) as usize] = kept;
                kept += 1;
            }
        }
        self.exits.used = kept as usize;
        Ok(kept)
    }

    fn copy_block(&mut self, out: u32, first_block: u32, output: &mut Output) -> Result<(), Error> {
        let record = self.workspace.outs[out as usize];
        let first_op = output.ops.used as u32;
        let behind_parameters = record[OUT_START] + record[OUT_PARAMETERS];
        for value in record[OUT_START]..behind_parameters {
            if self.is_needed(value) {
                let index = output.ops.used as u32 - first_op;
                let mut op = self.draft[value as usize];
                op.a = index;
                op.b = 0;
                self.put(value, op, output)?;
            }
        }
        let parameter_count = output.ops.used as u32 - first_op;
        let mut moved = record[OUT_FIRST];
        while moved != NONE {
            if self.is_needed(moved) {
                self.copy_op(moved, first_block, output)?;
            }
            moved = self.workspace.values[moved as usize][LINK];
        }
        for value in behind_parameters..record[OUT_END] {
            if value + 1 == record[OUT_END] {
                let mut moved = record[OUT_TAIL];
                while moved != NONE {
                    if self.is_needed(moved) {
                        self.copy_op(moved, first_block, output)?;
                    }
                    moved = self.workspace.values[moved as usize][LINK];
                }
            }
            if self.workspace.values[value as usize][MOVED] == 0 && self.is_needed(value) {
                self.copy_op(value, first_block, output)?;
            }
        }
        output.blocks.push(Block {
            first_op,
            op_count: output.ops.used as u32 - first_op,
            parameter_count,
        })?;
        Ok(())
    }

    #[inline]
    fn is_needed(&self, value: u32) -> bool {
        self.order.verbatim || self.workspace.values[value as usize][MARK] != 0
    }

    /// Copies an op that is no parameter, with the names that its operands have in the output.
    fn copy_op(&mut self, value: u32, first_block: u32, output: &mut Output) -> Result<(), Error> {
        let mut op = self.draft[value as usize];
        let extra = self.extra.filled_mut();
        let values = &*self.workspace.values;
        for_each_operand(&mut op, extra, |operand| {
            *operand = values[*operand as usize][MARK];
        });
        if let Some(exit) = exit_of(&mut op, extra) {
            *exit = self.workspace.stack[(*exit - self.first_exit) as usize];
        }
        let form = Check::of(op.code).form;
        if matches!(form, Form::Jump | Form::Branch | Form::Switch) {
            let (blocks, verbatim) = (&*self.workspace.blocks, self.order.verbatim);
            for_each_edge(&op, extra, |extra, at| {
                let at = at as usize;
                let target = &blocks[extra[at] as usize];
                extra[at] = first_block + target[OUT];
                let count = extra[at + 1] as usize;
                let mut kept = 0;
                for index in 0..count {
                    if verbatim || values[target[HEAD] as usize + index][MARK] != 0 {
                        extra[at + 2 + kept] = values[extra[at + 2 + index] as usize][MARK];
                        kept += 1;
                    }
                }
                extra[at + 1] = kept as u32;
            });
        }
        self.put(value, op, output)
    }

    /// Writes an op to the output and notes its place.
    #[inline]
    fn put(&mut self, value: u32, op: Op, output: &mut Output) -> Result<(), Error> {
        let record = &mut self.workspace.values[value as usize];
        record[MARK] = output.ops.push(op)?;
        if !output.positions.slots.is_empty() {
            let position = self.program.positions.get(record[SOURCE] as usize);
            output.positions.push(position.copied().unwrap_or(NONE))?;
        }
        Ok(())
    }
}
