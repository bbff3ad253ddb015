//! The ends of blocks: known conditions, jumps through blocks that only jump, edges.
//!
//! Takes a terminator and the draft up to it; promises the terminator in the draft with its edges, or that the walk goes on in a
//! block that nothing else enters. A branch to a block that only leaves becomes a guard: what it leaves with is stored behind the function's code
//! then, nothing is kept for it in registers further on, and the other way falls through. Costs constant time for each edge and edge argument.

use super::order;
use super::passes::Pass;
use super::rules;
use super::walk::{End, Phase, Walk, internal};
use super::workspace::{
    FLAG_DONE, FLAG_LOOP, FLAG_PEELED, FLAG_VERSIONED, FLAGS, INCOMING, PENDING, POSITION,
};
use crate::error::Error;
use crate::ir::{NONE, Op};
use crate::ops::Opcode;

/// How many blocks that only jump are followed.
const LONGEST_DETOUR: u32 = 8;

impl Walk<'_, '_, '_, '_> {
    pub fn terminate(&mut self, op: Op) -> Result<End, Error> {
        match op.code {
            Opcode::Jump => self.jump(op.b),
            Opcode::Branch => self.branch(op),
            Opcode::Switch => self.switch(op),
            _ => {
                let op = self.copied(op)?;
                self.append(op)?;
                Ok(End::Here)
            }
        }
    }

    /// The edges of a block's terminator are not made.
    pub fn drop_edges(&mut self, block: u32) {
        let program = self.program;
        let record = &program.blocks[self.program_block(block) as usize];
        order::for_each_edge(program, record, |at| self.drop_edge(at));
    }

    fn drop_edge(&mut self, at: u32) {
        let target = self.target(at);
        self.workspace.blocks[target as usize][PENDING] -= 1;
        // Either of two edges would be made of it.
        if self.workspace.blocks[target as usize][FLAGS] & FLAG_VERSIONED != 0
            && matches!(self.phase, Phase::Copy(..))
        {
            let copy = target + self.function.block_count;
            self.workspace.blocks[copy as usize][PENDING] -= 1;
        }
    }

    /// The record of the block to which an edge of the program leads from here.
    fn target(&self, at: u32) -> u32 {
        let block = self.program.extra[at as usize] - self.function.first_block;
        self.record_of(block)
    }

    /// Whether an edge to this record leads into a loop's copy, which is walked as a whole.
    fn begins_copy(&self, record: u32) -> bool {
        record >= self.function.block_count && self.phase == Phase::Outside
    }

    /// The record of a block of the function, as seen from here.
    pub fn record_of(&self, block: u32) -> u32 {
        let record = &self.workspace.blocks[block as usize];
        let copied = match self.phase {
            Phase::Outside => record[FLAGS] & FLAG_PEELED != 0,
            Phase::Copy(head, end) => head < record[POSITION] && record[POSITION] <= end,
            Phase::Loop(..) => false,
        };
        if copied {
            block + self.function.block_count
        } else {
            block
        }
    }

    /// Goes to the block of an edge: on with it, if nothing else leads there.
    fn jump(&mut self, at: u32) -> Result<End, Error> {
        if let Some(end) = self.end_of_round(at)? {
            return Ok(end);
        }
        let target = self.target(at);
        let record = &self.workspace.blocks[target as usize];
        let alone = record[PENDING] == 1
            && record[INCOMING] == NONE
            && record[FLAGS] & (FLAG_LOOP | FLAG_DONE) == 0
            && !self.begins_copy(target);
        if alone && !self.order.verbatim && self.steps.take(Pass::Branches) {
            self.workspace.blocks[target as usize][PENDING] = 0;
            let edge = self.program.edge(at);
            let first = self.program.blocks[edge.block as usize].first_op;
            for (&argument, parameter) in edge.arguments.iter().zip(first..) {
                let value = self.name(argument);
                self.define(parameter, value);
            }
            return Ok(End::With(target));
        }
        let edge = self.edge(at)?;
        self.jump_to(edge)?;
        Ok(End::Here)
    }

    pub fn jump_to(&mut self, edge: u32) -> Result<(), Error> {
        self.append(Op {
            code: Opcode::Jump,
            aux: 0,
            a: 0,
            b: edge,
            c: 0,
        })?;
        Ok(())
    }

    fn branch(&mut self, op: Op) -> Result<End, Error> {
        let (mut value, mut taken, mut other) = (self.name(op.a), op.b, op.c);
        let (plain, opposite) = rules::condition(self.draft, value);
        if plain != value && self.steps.take(Pass::Simplify) {
            value = plain;
            if opposite {
                (taken, other) = (other, taken);
            }
        }
        if let Some((truth, pass)) = self.known_condition(value, Pass::Branches) {
            self.steps.did(pass, 1);
            let (way, not) = if truth {
                (taken, other)
            } else {
                (other, taken)
            };
            self.drop_edge(not);
            return self.jump(way);
        }
        if self.is_same_edge(taken, other) && self.steps.take(Pass::Branches) {
            self.drop_edge(other);
            return self.jump(taken);
        }
        for (code, leaves, on) in [
            (Opcode::GuardNot, taken, other),
            (Opcode::Guard, other, taken),
        ] {
            if let Some(exit) = self.only_leaves(leaves)
                && self.steps.take(Pass::Exits)
            {
                self.drop_edge(leaves);
                let guard = Op {
                    code,
                    aux: 0,
                    a: value,
                    b: 0,
                    c: exit,
                };
                let hash = self.hash(&guard);
                self.append_guard(hash, guard)?;
                return self.jump(on);
            }
        }
        let taken = self.edge(taken)?;
        let other = self.edge(other)?;
        self.append(Op {
            a: value,
            b: taken,
            c: other,
            ..op
        })?;
        let ways = [
            (true, self.only_reached_by(taken)),
            (false, self.only_reached_by(other)),
        ];
        match ways {
            [(one, Some(first)), (not, Some(second))] => {
                self.learn_condition(value, &[(one, first), (not, second)]);
            }
            [(one, Some(block)), _] | [_, (one, Some(block))] => {
                self.learn_condition(value, &[(one, block)]);
            }
            _ => {}
        }
        Ok(End::Here)
    }

    /// The exit of the block that an edge of the program leads to, if that does nothing but leave.
    fn only_leaves(&self, at: u32) -> Option<u32> {
        let block = self.program.extra[at as usize];
        let block = &self.program.blocks[block as usize];
        let op = order::terminator(self.program, block);
        let leaves = block.op_count == 1 && op.code == Opcode::Exit && !self.order.verbatim;
        leaves.then_some(op.c)
    }

    /// The block of the program that a new edge leads to, if no other edge does or will.
    fn only_reached_by(&self, edge: u32) -> Option<u32> {
        let target = *self.extra.get(edge)?;
        let record = &self.workspace.blocks[target as usize];
        let [at, _, next] = *self.workspace.edges.get(record[INCOMING] as usize)?;
        let only = record[PENDING] == 0
            && at == edge
            && next == NONE
            && record[FLAGS] & (FLAG_LOOP | FLAG_DONE) == 0
            && !self.order.verbatim;
        only.then_some(self.program_block(target))
    }

    fn is_same_edge(&self, one: u32, other: u32) -> bool {
        let (one, other) = (self.program.edge(one), self.program.edge(other));
        one.block == other.block
            && one
                .arguments
                .iter()
                .zip(other.arguments)
                .all(|(&a, &b)| self.name(a) == self.name(b))
    }

    fn switch(&mut self, op: Op) -> Result<End, Error> {
        let program = self.program;
        let value = self.name(op.a);
        let count = program.extra[op.b as usize];
        let first = op.b as usize + 1;
        let edges = &program.extra[first..=first + count as usize];
        let known = self.constant_bits(value).map(|bits| bits as u32);
        let known = if count == 0 { Some(0) } else { known };
        if let Some(known) = known
            && self.steps.take(Pass::Branches)
        {
            let chosen = known.min(count);
            for (&edge, number) in edges.iter().zip(0..) {
                if number != chosen {
                    self.drop_edge(edge);
                }
            }
            return self.jump(edges[chosen as usize]);
        }
        let list = self.extra.used as u32;
        self.extra.push(count)?;
        for _ in edges {
            self.extra.push(NONE)?;
        }
        for (&edge, place) in edges.iter().zip(list + 1..) {
            let edge = self.edge(edge)?;
            *self.extra.get_mut(place).ok_or(internal(line!()))? = edge;
        }
        self.append(Op {
            a: value,
            b: list,
            ..op
        })?;
        Ok(End::Here)
    }

    /// Makes an edge of one of the program's. Its block stays the program's until the sweep.
    fn edge(&mut self, at: u32) -> Result<u32, Error> {
        let (at, target) = self.without_detour(at);
        self.edge_into(at, target)
    }

    /// The same to a block by its record.
    pub fn edge_into(&mut self, at: u32, target: u32) -> Result<u32, Error> {
        let edge = self.program.edge(at);
        let new = self.extra.push(target)?;
        self.extra.push(edge.arguments.len() as u32)?;
        for (&argument, index) in edge.arguments.iter().zip(0..) {
            let mut value = self.name(argument);
            if let Some(boxing) = self.boxing(target, index) {
                value = self.without_box(value, boxing)?;
            }
            self.extra.push(value)?;
        }
        let number = self.edges;
        self.edges += 1;
        let record = &mut self.workspace.blocks[target as usize];
        record[PENDING] -= 1;
        self.workspace.edges[number as usize] = [new, self.block, record[INCOMING]];
        record[INCOMING] = number;
        self.workspace.edge_outs[number as usize] = self.outs - 1;
        Ok(new)
    }

    /// Follows blocks that only jump, but not into loops: what leads there is where a loop's ops may be moved.
    /// Gives the record of the block that is reached, too.
    fn without_detour(&mut self, at: u32) -> (u32, u32) {
        let program = self.program;
        let (mut at, mut target) = (at, self.target(at));
        if self.order.verbatim {
            return (at, target);
        }
        for _ in 0..LONGEST_DETOUR {
            let block = &program.blocks[self.program_block(target) as usize];
            if block.op_count != 1
                || self.workspace.blocks[target as usize][FLAGS] & FLAG_LOOP != 0
                || self.begins_copy(target)
            {
                break;
            }
            let op = order::terminator(program, block);
            if op.code != Opcode::Jump {
                break;
            }
            let next = self.target(op.b);
            if next == target
                || self.workspace.blocks[next as usize][FLAGS] & FLAG_LOOP != 0
                || self.begins_copy(next)
                || !self.steps.take(Pass::Branches)
            {
                break;
            }
            self.workspace.blocks[target as usize][PENDING] -= 1;
            self.workspace.blocks[next as usize][PENDING] += 1;
            (at, target) = (op.b, next);
        }
        (at, target)
    }
}
