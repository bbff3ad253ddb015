//! The program ahead of the walk: what holds of values whose ops are not walked yet, as they stand in the program.
//!
//! Takes values of the program, and the head of a loop that is about to be walked or whose parameters are asked about; promises what
//! holds of them in every round, since nothing is taken as known of the loop's parameters but what conditions in front of a place say
//! there. Costs a constant for each question: values are looked into a few ops deep ([`DEPTH`]), and conditions are looked for in at
//! most [`MOST_BLOCKS`] blocks and [`MOST_OPS`] ops.

use super::carry::Boxing;
use super::facts::Fact;
use super::learn::{DEPTH, is_integer, width_of};
use super::order;
use super::rules;
use super::transfer;
use super::walk::Walk;
use super::width::{Width, narrowed_with_width};
use super::workspace::{COMING, FLAG_DONE, FLAGS};
use crate::ir::{NONE, Tag};
use crate::ops::Opcode;

/// How many blocks and ops are looked through for conditions on a loop's parameter.
const MOST_BLOCKS: u32 = 8;
/// See [`MOST_BLOCKS`].
const MOST_OPS: u32 = 32;

/// A value of the program, or what is in its box.
#[derive(Clone, Copy)]
pub(super) struct Inside {
    pub value: u32,
    pub boxing: Option<Boxing>,
}

/// Whether an i32 in a box with this tag loses nothing.
pub(super) fn carries_whole(tag: &Tag) -> bool {
    let carried = u64::from(u32::MAX) << (tag.shift & 63);
    carried >> (tag.shift & 63) == u64::from(u32::MAX) && carried & tag.mask == 0
}

impl Walk<'_, '_, '_, '_> {
    /// The value that a parameter that is not walked yet is known to be, or the value itself.
    pub fn unaliased(&self, value: u32) -> u32 {
        let mut value = value;
        for _ in 0..DEPTH {
            let first = self.function.first_op;
            let alias = self.workspace.aliases[(value - first) as usize];
            if self.program.ops[value as usize].code != Opcode::Parameter
                || alias >= order::SELF
                || self.is_walked(value)
            {
                break;
            }
            value = first + alias;
        }
        value
    }

    /// Whether the map says what stands for a value of the program.
    fn is_walked(&self, value: u32) -> bool {
        let block = self.verified.block_of(value) - self.function.first_block;
        let known = self.workspace.map[(value - self.function.first_op) as usize];
        let block = self.record_of(block);
        self.workspace.blocks[block as usize][FLAGS] & FLAG_DONE != 0 && known != NONE
    }

    /// What holds of a value of the program wherever it is, in the loop with this head.
    pub fn old_fact(&mut self, value: u32, head: u32, depth: u32) -> Fact {
        let value = self.unaliased(value);
        let op = self.program.ops[value as usize];
        if let Some(bits) = rules::constant_of(&op) {
            return Fact::constant(width_of(&op), bits);
        }
        if !is_integer(&op) {
            return Fact::top(width_of(&op));
        }
        if op.code == Opcode::I32Unbox && depth > 0 {
            let boxing = Boxing {
                code: Opcode::I64BoxI32,
                tag: op.aux,
            };
            if carries_whole(&self.program.tag_of(&op))
                && let Some(fact) = self.old_carried(op.a, head, depth - 1, boxing)
            {
                return fact;
            }
        }
        if self.is_walked(value) {
            let new = self.workspace.map[(value - self.function.first_op) as usize];
            return self.fact_at(new, head, depth);
        }
        if depth == 0 || op.code == Opcode::Parameter {
            return Fact::top(width_of(&op));
        }
        self.by_op(&op, |walk, operand| walk.old_fact(operand, head, depth - 1))
    }

    /// What holds of what a word of the program carries, if it is known where it was boxed.
    fn old_carried(&mut self, word: u32, head: u32, depth: u32, boxing: Boxing) -> Option<Fact> {
        let word = self.unaliased(word);
        let op = self.program.ops[word as usize];
        if (op.code, op.aux) == (boxing.code, boxing.tag) {
            return Some(self.old_fact(op.a, head, depth));
        }
        if !self.is_walked(word) {
            return None;
        }
        let new = self.workspace.map[(word - self.function.first_op) as usize];
        let op = self.draft[new as usize];
        let boxed = (op.code, op.aux) == (boxing.code, boxing.tag);
        boxed.then(|| self.fact_at(op.a, head, depth))
    }

    /// What a word of the program carries that a parameter without its box gets: a value of the program, or what holds of it.
    pub fn inside(&mut self, word: u32, head: u32, boxing: Boxing) -> Result<u32, Fact> {
        let op = self.program.ops[word as usize];
        if (op.code, op.aux) == (boxing.code, boxing.tag) {
            return Ok(self.unaliased(op.a));
        }
        let width = match boxing.code {
            Opcode::I64BoxI32 => Width::of_bits(32),
            _ => Width::of_bits(64),
        };
        if let Some(bits) = rules::constant_of(&op) {
            let tag = &self.program.tags[usize::from(boxing.tag)];
            return Err(Fact::constant(width, boxing.take_off(tag, bits)));
        }
        let known = self.old_carried(word, head, DEPTH, boxing);
        Err(known.unwrap_or(Fact::top(width)))
    }

    /// Whether a value of the program is what a parameter carries.
    pub fn is_same(&self, value: u32, parameter: Inside) -> bool {
        let value = self.unaliased(value);
        let op = &self.program.ops[value as usize];
        match parameter.boxing {
            None => value == parameter.value,
            Some(boxing) => {
                boxing.code == Opcode::I64BoxI32
                    && (op.code, op.aux) == (Opcode::I32Unbox, boxing.tag)
                    && self.unaliased(op.a) == parameter.value
                    && carries_whole(&self.program.tag_of(op))
            }
        }
    }

    /// What a condition of the program says of a value of it, if it holds, or does not.
    fn old_condition(
        &mut self,
        condition: u32,
        mut holds: bool,
        value: Inside,
        head: u32,
        width: Width,
    ) -> Fact {
        let mut op = self.program.ops[condition as usize];
        for _ in 0..DEPTH {
            if op.code != Opcode::I32Eqz {
                break;
            }
            holds = !holds;
            op = self.program.ops[op.a as usize];
        }
        let code = if holds {
            Some(op.code)
        } else {
            op.code.inverse()
        };
        let top = Fact::top(width);
        let Some((code, swapped)) = code.and_then(|code| Some((code, code.swapped()?))) else {
            return top;
        };
        let (code, other) = if self.is_same(op.a, value) {
            (code, op.b)
        } else if self.is_same(op.b, value) {
            (swapped, op.a)
        } else {
            return top;
        };
        let (narrow, width) = narrowed_with_width(code);
        let other = self.old_fact(other, head, 2);
        transfer::implied(width, narrow, &other).told(width)
    }

    /// What holds of a value of the program on an edge, by the branch that ends its block.
    pub fn edge_condition(&mut self, source: u32, edge: u32, value: Inside, width: Width) -> Fact {
        let program = self.program;
        let op = order::terminator(program, &program.blocks[source as usize]);
        let one_way = op.code == Opcode::Branch
            && program.extra[op.b as usize] != program.extra[op.c as usize];
        if !one_way {
            return Fact::top(width);
        }
        self.old_condition(op.a, edge == op.b, value, source, width)
    }

    /// What holds of a loop's parameter where an op of the loop stands: guards before it, and branches that lead only there.
    pub fn conditions(&mut self, parameter: Inside, op: u32, head: u32, width: Width) -> Fact {
        let program = self.program;
        let mut fact = Fact::top(width);
        let mut block = self.verified.block_of(op);
        let mut end = op;
        let mut ops = MOST_OPS;
        for _ in 0..MOST_BLOCKS {
            let record = &program.blocks[block as usize];
            let first = record.first_op + record.parameter_count;
            for index in (first..end).rev() {
                if ops == 0 {
                    break;
                }
                ops -= 1;
                let op = &program.ops[index as usize];
                if op.code == Opcode::Guard || op.code == Opcode::GuardNot {
                    let holds = op.code == Opcode::Guard;
                    let more = self.old_condition(op.a, holds, parameter, head, width);
                    fact = fact.meet(width, &more);
                }
            }
            let above = self.verified.immediate_dominator(block);
            if block == head || above == NONE {
                break;
            }
            let local = (block - self.function.first_block) as usize;
            let edge = self.workspace.blocks[local][COMING];
            if let Some(&[at, from, NONE]) = self.workspace.edges.get(edge as usize)
                && self.workspace.order[from as usize] + self.function.first_block == above
            {
                let more = self.edge_condition(above, at, parameter, width);
                fact = fact.meet(width, &more);
            }
            block = above;
            let record = &program.blocks[block as usize];
            end = record.first_op + record.op_count - 1;
        }
        fact
    }
}
