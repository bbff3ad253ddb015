//! Where values are used next, for the choice of which must leave a register.
//!
//! Takes the live ranges; promises, for every value used at or behind the walk's place, that place in its record, and for
//! every operand in the record of an op from there on the next use behind it. Found when registers first run short, or
//! before a loop in which they will: most functions never ask. Costs one backward pass over the ops from the end to the
//! walk's place, linear in ops, edge arguments and snapshot entries, once for a function.
//!
//! Next uses only rank values: a wrong one costs speed of the code, not its meaning.

use super::brief::Brief;
use super::liveness::{Point, Values, operands};
use super::memory::may_fault;
use super::workspace::{
    INFO, INFO_IMMEDIATE, INFO_SWAPPED, INFO_TESTS_BITS, NEXT, NEXT_USE, START, is_fused,
    size_anchor,
};
use super::{FunctionCompiler, Observer, Reserved};
use crate::ir::{Op, Program};
use crate::ops::{Shape, flags};

impl<O: Observer> FunctionCompiler<'_, '_, O> {
    /// Finds next uses from the walk's place on, unless that is done.
    #[inline]
    pub(super) fn need_next_uses(&mut self) {
        if !self.knows_next_uses {
            self.knows_next_uses = true;
            self.find_next_uses();
        }
    }

    #[inline(never)]
    fn find_next_uses(&mut self) {
        for at in (self.position_in_order..self.workspace.block_count).rev() {
            let block = self.workspace.order[at as usize];
            let mut point = self.point_of_block(block);
            let record = self.block_record(block);
            let mut pass = Backward {
                program: self.program,
                first_op: self.first_op,
                op_count: self.op_count,
                reserved: self.reserved,
                values: self.workspace.values,
            };
            let ops = &self.program.ops[record.first_op as usize..][..record.op_count as usize];
            point.now += 2 * record.op_count;
            for (number, op) in ops.iter().enumerate().rev() {
                point.now -= 2;
                if point.now < self.now {
                    break;
                }
                pass.op(point.first + number as u32, op, &point);
            }
        }
    }
}

/// The pass over the ops of a block.
struct Backward<'b> {
    program: &'b Program<'b>,
    first_op: u32,
    op_count: u32,
    reserved: Reserved,
    values: &'b mut Values,
}

impl Backward<'_> {
    #[inline(always)]
    fn op(&mut self, value: u32, op: &Op, point: &Point) {
        let brief = Brief::of(op.code);
        match brief.shape {
            Shape::Parameter | Shape::Result | Shape::Constant | Shape::FunctionIndex => {}
            Shape::Unary | Shape::Binary | Shape::Tag => {
                let facts = self.values[value as usize][INFO];
                if !is_fused(facts) {
                    self.scalar(value, op, facts, point);
                }
            }
            Shape::Load | Shape::Store if !brief.is_raw() => {
                self.chain(value, 0, op.a - self.first_op, point);
                if brief.operand_count > 1 {
                    self.chain(value, 1, op.b - self.first_op, point);
                }
                self.chain(value, 2, self.op_count + 1 + op.region() as u32, point);
                self.note_size(op, point);
            }
            _ => self.rare(value, op, point),
        }
    }

    #[inline(never)]
    fn rare(&mut self, value: u32, op: &Op, point: &Point) {
        let info = op.code.info();
        let first = op.a.wrapping_sub(self.first_op);
        match info.shape {
            Shape::Select => {
                self.condition(value, op.a, point);
                self.chain(value, 1, op.b - self.first_op, point);
                self.chain(value, 2, op.c - self.first_op, point);
            }
            Shape::Guard => self.condition(value, op.a, point),
            Shape::Branch => {
                self.pass(op.b + 1, point);
                self.pass(op.c + 1, point);
                self.condition(value, op.a, point);
            }
            Shape::Jump => self.pass(op.b + 1, point),
            Shape::Load | Shape::Store | Shape::Update | Shape::CompareExchange => {
                self.chain(value, 0, first, point);
                if info.operand_count > 1 {
                    self.chain(value, 1, op.b - self.first_op, point);
                }
                if info.operand_count > 2 {
                    let third = self.program.extra[op.c as usize + 2];
                    self.note_use(third - self.first_op, point);
                }
                if !info.has(flags::RAW) {
                    self.chain(value, 2, self.op_count + 1 + op.region() as u32, point);
                    self.note_size(op, point);
                }
            }
            Shape::SlotGet => self.chain(value, 2, self.op_count, point),
            Shape::SlotSet => {
                self.chain(value, 0, first, point);
                self.chain(value, 2, self.op_count, point);
            }
            Shape::Return | Shape::Call | Shape::CallCell | Shape::ReturnCall | Shape::CallHost => {
                self.pass(op.b, point)
            }
            Shape::CallIndirect => self.pass(op.b + 1, point),
            _ => {}
        }
    }

    /// The operands of a unary or binary op that need registers, used at the point of its user.
    #[inline(always)]
    fn scalar(&mut self, user: u32, op: &Op, facts: u32, point: &Point) {
        if Brief::of(op.code).shape == Shape::Binary {
            if facts & (INFO_IMMEDIATE | INFO_SWAPPED) == 0 {
                self.chain(user, 1, op.b - self.first_op, point);
            } else if facts & INFO_SWAPPED != 0 {
                // The immediate is the first operand.
                self.chain(user, 1, op.b - self.first_op, point);
                return;
            }
        }
        self.chain(user, 0, op.a - self.first_op, point);
    }

    fn condition(&mut self, user: u32, condition: u32, point: &Point) {
        let local = condition - self.first_op;
        let facts = self.values[local as usize][INFO];
        if is_fused(facts) {
            let op = self.program.ops[condition as usize];
            if facts & INFO_TESTS_BITS != 0 {
                let (tested, _) = operands(&op, facts);
                let (op, value) = (self.program.ops[tested as usize], tested - self.first_op);
                let facts = self.values[value as usize][INFO];
                self.scalar(value, &op, facts, point);
                return;
            }
            self.scalar(local, &op, facts, point);
        } else {
            self.chain(user, 0, local, point);
        }
    }

    /// Links one operand of an op to its next use.
    #[inline(always)]
    fn chain(&mut self, user: u32, operand: usize, value: u32, point: &Point) {
        let record = &mut self.values[value as usize];
        let mut next = core::mem::replace(&mut record[NEXT_USE], point.now);
        // A value from outside the loop is needed again when the loop comes round.
        if record[START] < point.loop_start && (next == 0 || next > point.loop_end) {
            next = point.loop_end;
        }
        self.values[user as usize][NEXT + operand] = next;
    }

    fn note_use(&mut self, value: u32, point: &Point) {
        self.values[value as usize][NEXT_USE] = point.now;
    }

    /// How long the region of an access is, if it grows.
    fn note_size(&mut self, op: &Op, point: &Point) {
        if self.program.regions[op.region()].grows()
            && !op.is_in_bounds()
            && !may_fault(self.program, self.reserved, op)
        {
            self.note_use(size_anchor(self.program, self.op_count, op.region()), point);
        }
    }

    /// The values of a list.
    fn pass(&mut self, list: u32, point: &Point) {
        for &argument in self.program.list(list) {
            self.note_use(argument - self.first_op, point);
        }
    }
}
