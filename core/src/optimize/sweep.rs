//! What is used is marked, and copied from the draft into the output.
//!
//! Takes a draft with its output blocks, edges and exits ([`super::walk`]); promises the function's records in the output. Marking
//! goes backward once: an op is needed if it has an effect or if something that is needed uses it; a block parameter asks for the
//! arguments of the edges that were made to its block. What an edge that comes back passes was walked past by then, and waits
//! on a stack. Costs constant time for each op, operand, edge argument and snapshot entry.

use super::operands::{
    A, B, C, CONSTANT, EDGES, EFFECT, EXITS, LISTED, exit_of, for_each_edge, for_each_operand,
    traits_of,
};
use super::passes::Pass;
use super::walk::{Walk, internal};
use super::workspace::{
    CHAIN, HEAD, INCOMING, LINK, OUT, OUT_END, OUT_FIRST, OUT_PARAMETERS, OUT_START, Workspace,
};
use crate::build::Table;
use crate::error::Error;
use crate::ir::{Block, Exit, Function, NONE, Op, Program, boxed_place, place_tag};
use crate::ops::Opcode;
use core::ops::Range;

/// In an exit's entry count: some op that is needed names it.
const NEEDED: u32 = 1 << 31;

/// Where the function's records go.
pub(super) struct Output<'o, 's> {
    pub ops: &'o mut Table<'s, Op>,
    pub blocks: &'o mut Table<'s, Block>,
    pub functions: &'o mut Table<'s, Function>,
    pub positions: &'o mut Table<'s, u32>,
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
fn mark(marks: &mut [u32], stack: &mut [u32], waiting: &mut usize, now: u32, value: u32) {
    let mark = &mut marks[value as usize];
    if *mark == 0 {
        *mark = 1;
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
        let entry_parameters = self.workspace.outs[0][OUT_PARAMETERS] as usize;
        let used = self.used as usize;
        self.workspace.marks[..used].fill(0);
        self.workspace.marks[..entry_parameters].fill(1);
        let mut waiting = 0;
        for now in (0..used).rev() {
            let op = &self.draft[now];
            let marks = &mut *self.workspace.marks;
            let traits = traits_of(op.code);
            if traits & EFFECT != 0 || everything {
                marks[now] = 1;
            } else if marks[now] == 0 {
                continue;
            }
            // What stands before is met later.
            if traits & A != 0 {
                marks[op.a as usize] = 1;
            }
            if traits & B != 0 {
                marks[op.b as usize] = 1;
            }
            if traits & C != 0 {
                marks[op.c as usize] = 1;
            }
            if traits & LISTED != 0 {
                let now = now as u32;
                self.mark_operands(now, now, &mut waiting)?;
                while waiting > 0 {
                    waiting -= 1;
                    let value = self.workspace.stack[waiting];
                    self.mark_operands(value, now, &mut waiting)?;
                }
            }
            if traits & EXITS != 0 {
                self.mark_exit(now)?;
            }
        }
        Ok(())
    }

    /// Marks what an op uses, wherever that is.
    fn mark_operands(&mut self, value: u32, now: u32, waiting: &mut usize) -> Result<(), Error> {
        let mut op = self.draft[value as usize];
        let Workspace {
            values,
            marks,
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
                mark(marks, stack, waiting, now, *argument);
                edge = next;
            }
            return Ok(());
        }
        for_each_operand(&mut op, self.extra.filled_mut(), |operand| {
            mark(marks, stack, waiting, now, *operand);
        });
        Ok(())
    }

    /// Marks the exit of an op and what its snapshot names. An op with an exit is met before all of that.
    fn mark_exit(&mut self, now: usize) -> Result<(), Error> {
        let mut op = self.draft[now];
        let extra = self.extra.filled_mut();
        let Some(exit) = exit_of(&mut op, extra) else {
            return Ok(());
        };
        let exit = self.exits.get_mut(*exit).ok_or(internal(line!()))?;
        if exit.entry_count & NEEDED != 0 {
            return Ok(());
        }
        let first = exit.snapshot as usize;
        let pairs = &mut extra[first..first + 2 * exit.entry_count as usize];
        exit.entry_count |= NEEDED;
        let marks = &mut *self.workspace.marks;
        for pair in pairs.chunks_exact_mut(2) {
            if marks[pair[1] as usize] == 0
                && let Some(entry) = sunk(self.draft, pair)
                && !self.order.verbatim
                && self.steps.take(Pass::Sink)
            {
                pair.copy_from_slice(&entry);
            }
            marks[pair[1] as usize] = 1;
        }
        Ok(())
    }

    /// Copies what is marked into the output.
    pub fn copy_out(&mut self, output: &mut Output) -> Result<(), Error> {
        let exits = self.keep_exits()?;
        let (first_op, first_block) = (output.ops.used as u32, output.blocks.used as u32);
        if self.order.verbatim {
            for (mark, index) in self.workspace.marks.iter_mut().zip(first_op..) {
                *mark = index;
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
                pair[1] = self.workspace.marks[pair[1] as usize];
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
        if out == 0 {
            let mut constant = self.constants[0];
            while constant != NONE {
                if self.is_needed(constant) {
                    self.put(constant, self.draft[constant as usize], output)?;
                }
                constant = self.workspace.values[constant as usize][LINK];
            }
        }
        let (first, end) = (behind_parameters as usize, record[OUT_END] as usize);
        if record[OUT_FIRST] == NONE {
            self.copy_ops(first..end, false, first_block, output)?;
        } else {
            self.copy_with_moved(first..end, record[OUT_FIRST], first_block, output)?;
        }
        output.blocks.push(Block {
            first_op,
            op_count: output.ops.used as u32 - first_op,
            parameter_count,
        })?;
        Ok(())
    }

    /// The same for the ops of a block to which others were moved: these come before what ends it.
    #[cold]
    fn copy_with_moved(
        &mut self,
        values: Range<usize>,
        mut moved: u32,
        first_block: u32,
        output: &mut Output,
    ) -> Result<(), Error> {
        let last = values.end - 1;
        self.copy_ops(values.start..last, false, first_block, output)?;
        while moved != NONE {
            let at = moved as usize;
            self.copy_ops(at..at + 1, true, first_block, output)?;
            moved = self.workspace.values[at][LINK];
        }
        self.copy_ops(last..last + 1, false, first_block, output)
    }

    /// Copies what is needed of these ops, which are no parameters, with the names that their operands have in the output: those that
    /// stand where they are in the draft, or those that were moved.
    #[inline]
    fn copy_ops(
        &mut self,
        values: Range<usize>,
        moved: bool,
        first_block: u32,
        output: &mut Output,
    ) -> Result<(), Error> {
        // Where constants are at the head of the function, all are.
        let placed = if self.constants[0] == NONE {
            0
        } else {
            CONSTANT
        };
        let verbatim = self.order.verbatim;
        let positions = !output.positions.slots.is_empty();
        let Workspace {
            values: records,
            marks,
            sources,
            stack,
            blocks,
            ..
        } = &mut *self.workspace;
        let marks = &mut **marks;
        let skips = self.moved && !moved;
        let extra = self.extra.filled_mut();
        for (draft, value) in self.draft[values.clone()].iter().zip(values) {
            if marks[value] == 0 && !verbatim {
                continue;
            }
            let traits = traits_of(draft.code);
            if traits & placed != 0 || (skips && records[value][LINK] != 0) {
                continue;
            }
            let mut op = *draft;
            if traits & LISTED == 0 {
                if traits & A != 0 {
                    op.a = marks[op.a as usize];
                }
                if traits & B != 0 {
                    op.b = marks[op.b as usize];
                }
                if traits & C != 0 {
                    op.c = marks[op.c as usize];
                }
            } else {
                for_each_operand(&mut op, extra, |operand| {
                    *operand = marks[*operand as usize];
                });
            }
            if traits & EXITS != 0
                && let Some(exit) = exit_of(&mut op, extra)
            {
                *exit = stack[(*exit - self.first_exit) as usize];
            }
            if traits & EDGES != 0 {
                for_each_edge(&op, extra, |extra, at| {
                    let at = at as usize;
                    let target = &blocks[extra[at] as usize];
                    extra[at] = first_block + target[OUT];
                    let count = extra[at + 1] as usize;
                    let mut kept = 0;
                    for index in 0..count {
                        if verbatim || marks[target[HEAD] as usize + index] != 0 {
                            extra[at + 2 + kept] = marks[extra[at + 2 + index] as usize];
                            kept += 1;
                        }
                    }
                    extra[at + 1] = kept as u32;
                });
            }
            marks[value] = output.ops.push(op)?;
            if positions {
                let position = position_of(self.program, sources, value);
                output.positions.push(position)?;
            }
        }
        Ok(())
    }

    #[inline]
    fn is_needed(&self, value: u32) -> bool {
        self.order.verbatim || self.workspace.marks[value as usize] != 0
    }

    /// Writes an op to the output and notes its place.
    fn put(&mut self, value: u32, op: Op, output: &mut Output) -> Result<(), Error> {
        self.workspace.marks[value as usize] = output.ops.push(op)?;
        if !output.positions.slots.is_empty() {
            let position = position_of(self.program, self.workspace.sources, value as usize);
            output.positions.push(position)?;
        }
        Ok(())
    }
}

/// The source position of the op from which one of the draft was made.
fn position_of(program: &Program, sources: &[u32], value: usize) -> u32 {
    let source = sources.get(value);
    let position = source.and_then(|&source| program.positions.get(source as usize));
    position.copied().unwrap_or(NONE)
}
