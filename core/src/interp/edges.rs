//! Writes what ends a block: jumps, branches, switches, and the copies along their edges.

use crate::ir::{Edge, NONE, Op};

use super::code;
use super::decode::{Decoder, Position, fact};
use super::moves::Moves;
use super::uses;
use crate::error::Error;

/// How much more often a loop's edge is expected to be taken than another one.
const LOOP_WEIGHT: u32 = 8;

enum Copy {
    Register { to: u32, from: u32 },
    Constant { to: u32 },
}

/// Copies that wait for an instruction to make several of them.
#[derive(Default)]
struct Group {
    copies: [u32; 2 * code::MOST_MOVES],
    words: usize,
}

impl<'p> Decoder<'p, '_> {
    /// The copies that an edge asks for; parameters that nobody uses get none.
    fn copies(&self, edge: &Edge<'p>) -> impl Iterator<Item = Result<Copy, Error>> {
        let parameters = self.ops_of(edge.block).start..;
        edge.arguments
            .iter()
            .zip(parameters)
            .filter(|&(_, parameter)| self.count(parameter) != 0)
            .map(|(&argument, parameter)| {
                let to = self.place(parameter)?;
                Ok(match uses::constant_value(self.program, argument) {
                    Some(_) => Copy::Constant { to },
                    None => Copy::Register {
                        to,
                        from: self.place(argument)?,
                    },
                })
            })
    }

    fn has_copies(&self, edge: &Edge<'p>) -> Result<bool, Error> {
        for copy in self.copies(edge) {
            if !matches!(copy?, Copy::Register { to, from } if to == from) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn push_group(&mut self, number: u16, group: &mut Group) -> Result<(), Error> {
        let count = group.words / 2;
        self.push(u32::from(number) + count as u32)?;
        self.push_each(group.copies.get(..group.words).unwrap_or(&[]))?;
        group.words = 0;
        Ok(())
    }

    /// Writes the copies of an edge but for the last few, which a jump can make.
    fn write_copies(&mut self, edge: &Edge<'p>, moves: &mut Moves<'_>) -> Result<Group, Error> {
        for copy in self.copies(edge) {
            if let Copy::Register { to, from } = copy? {
                moves.add(to, from)?;
            }
        }
        let mut is_read = false;
        for copy in self.copies(edge) {
            if let Copy::Constant { to } = copy? {
                is_read |= moves.is_read(to);
            }
        }
        // Constants go first where no copy reads what they overwrite.
        if !is_read {
            self.write_constants(edge)?;
        }
        let mut group = Group::default();
        let scratch = self.frame.scratch();
        moves.schedule(scratch, |to, from| {
            if group.words == group.copies.len() {
                self.push_group(code::MOVE, &mut group)?;
            }
            if let Some(slots) = group.copies.get_mut(group.words..group.words + 2) {
                slots.copy_from_slice(&[to, from]);
                group.words += 2;
            }
            Ok(())
        })?;
        if is_read {
            if group.words != 0 {
                self.push_group(code::MOVE, &mut group)?;
            }
            self.write_constants(edge)?;
        }
        Ok(group)
    }

    fn write_constants(&mut self, edge: &Edge<'p>) -> Result<(), Error> {
        let parameters = self.ops_of(edge.block).start..;
        for (&argument, parameter) in edge.arguments.iter().zip(parameters) {
            if let (Some(bits), true) = (
                uses::constant_value(self.program, argument),
                self.count(parameter) != 0,
            ) {
                let to = self.place(parameter)?;
                self.push_constant(to, bits)?;
            }
        }
        Ok(())
    }

    /// Writes the copies of an edge, leaving the last few to the caller.
    fn begin_edge(&mut self, edge: &Edge<'p>) -> Result<Group, Error> {
        let mut moves = core::mem::take(&mut self.moves);
        let group = self.write_copies(edge, &mut moves);
        self.moves = moves;
        group
    }

    /// Writes an edge: its copies, and a jump unless the target is the block that `follows`. `written` is the block
    /// whose instructions are being written.
    fn write_edge(
        &mut self,
        edge: &Edge<'p>,
        charge: u32,
        written: u32,
        follows: u32,
    ) -> Result<(), Error> {
        let mut group = self.begin_edge(edge)?;
        if edge.block == follows && charge == 0 {
            if group.words != 0 {
                self.push_group(code::MOVE, &mut group)?;
            }
            return Ok(());
        }
        let count = (group.words / 2) as u32;
        self.push((u32::from(code::JUMP) + count) | (charge << 16))?;
        self.push_target(edge.block, written)?;
        self.push_each(group.copies.get(..group.words).unwrap_or(&[]))
    }

    pub(super) fn write_jump(&mut self, op: &Op, position: Position) -> Result<(), Error> {
        let edge = self.program.edge(op.b);
        let charge = u32::from(edge.block <= position.block);
        if charge != 0
            && let Some(test) = self.loop_test(edge.block)?
        {
            let mut group = self.begin_edge(&edge)?;
            if group.words != 0 {
                self.push_group(code::MOVE, &mut group)?;
            }
            let from = Position {
                value: position.value,
                block: edge.block,
                next: position.next,
            };
            return self.write_branch(&test, from, position.block, charge);
        }
        self.write_edge(&edge, charge, position.block, position.next)
    }

    /// The branch that a jump to this block can make in the block's place: nothing else that it decodes to is missed.
    fn loop_test(&self, block: u32) -> Result<Option<Op>, Error> {
        let Some(branch) = uses::loop_test(self.program, block) else {
            return Ok(None);
        };
        let mut ops = self.ops_of(block);
        ops.end = ops.end.saturating_sub(1);
        for value in ops {
            let op = self.op(value)?;
            let is_nothing = match uses::constant(&op) {
                Some(_) => !self.has(value, fact::IN_REGISTER) || self.has(value, fact::AT_ENTRY),
                None => {
                    op.code == crate::ops::Opcode::Parameter || self.has(value, fact::SWALLOWED)
                }
            };
            if !is_nothing {
                return Ok(None);
            }
        }
        Ok(Some(*branch))
    }

    /// Writes a branch of the block in `position` into the instructions of the block `written`, which is the same
    /// unless a jump makes the branch in its place; `charge` is what that jump costs.
    pub(super) fn write_branch(
        &mut self,
        op: &Op,
        position: Position,
        written: u32,
        charge: u32,
    ) -> Result<(), Error> {
        let edges = [self.program.edge(op.b), self.program.edge(op.c)];
        let condition = self.condition(op)?;
        let follows = if charge == 0 { position.next } else { NONE };
        let copies = [self.has_copies(&edges[0])?, self.has_copies(&edges[1])?];
        let is_loop = edges.map(|edge| edge.block <= position.block);
        // What the edges cost if the one is the branch's target and the other follows it.
        let cost = |target: usize| {
            let other = 1 - target;
            let weight = |edge: usize| if is_loop[edge] { LOOP_WEIGHT } else { 1 };
            let falls = edges[other].block == follows && !is_loop[other] && !copies[target];
            u32::from(copies[target]) * weight(target)
                + u32::from(copies[other] || !falls) * weight(other)
        };
        let (condition, target) = match condition.inverse() {
            Some(inverse) if cost(1) < cost(0) => (inverse, 1),
            _ => (condition, 0),
        };
        let other = 1 - target;
        let charges = is_loop.map(|is_loop| charge + u32::from(is_loop));
        if !copies[target] {
            self.push_condition(condition, charges[target])?;
            self.push_target(edges[target].block, written)?;
            return self.write_edge(&edges[other], charges[other], written, follows);
        }
        self.push_condition(condition, 0)?;
        let label = self.length;
        self.push(0)?;
        self.write_edge(&edges[other], charges[other], written, NONE)?;
        self.patch(label, self.length as u32)?;
        self.write_edge(&edges[target], charges[target], written, NONE)
    }

    pub(super) fn write_switch(&mut self, op: &Op, position: Position) -> Result<(), Error> {
        let program = self.program;
        let index = self.place(op.a)?;
        let count = program.list(op.b).len() as u32;
        self.push_all([u32::from(code::SWITCH), index, count])?;
        let first = self.length;
        let direct = |decoder: &Self, edge: &Edge<'p>| -> Result<bool, Error> {
            Ok(edge.block > position.block && !decoder.has_copies(edge)?)
        };
        for edge in uses::switch_edges(program, op) {
            let edge = program.edge(edge);
            if direct(self, &edge)? {
                self.push_target(edge.block, position.block)?;
            } else {
                self.push(0)?;
            }
        }
        for (index, edge) in uses::switch_edges(program, op).enumerate() {
            let edge = program.edge(edge);
            if !direct(self, &edge)? {
                self.patch(first + index, self.length as u32)?;
                let charge = u32::from(edge.block <= position.block);
                self.write_edge(&edge, charge, position.block, NONE)?;
            }
        }
        Ok(())
    }
}
