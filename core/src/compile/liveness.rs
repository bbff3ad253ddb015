//! How long each value must be kept, and what its uses wish.
//!
//! Takes a function laid out; promises for every value one interval in the order of the layout that covers all its
//! uses, stretched to the end of the outermost loop that holds a use and not the definition (as TPDE does). One pass over
//! the ops, and where there are loops a second one over the records; linear in ops, edge arguments and snapshot entries.
//! Where values are used next is found later, and only if registers run short: see `next_use.rs`.
//!
//! Positions are doubled: op number p of the order reads its operands at 2p; what its exit's snapshot names is kept
//! until 2p + 1, so that the op's result does not take its place.
//!
//! A comparison whose only use is a branch or guard of the same block is *fused*: it makes
//! no code of its own, and its operands are used where it is.

use super::brief::{Brief, facts_of};
use super::lower::immediate_of;
use super::workspace::{
    BLOCK_LOOP, BLOCK_START, END, IMMEDIATE, INFO, INFO_CONDITION, INFO_FLOAT, INFO_HINT_PARAMETER,
    INFO_HINT_SHIFT, INFO_HINTED, INFO_IMMEDIATE, INFO_REMATERIALIZED, INFO_SWAPPED, INFO_USES,
    LOOP_CALLS, LOOP_CALLS_HOST, LOOP_CALLS_PROGRAM, LOOP_CONSTANTS, LOOP_DEPTH, LOOP_END,
    LOOP_END_POSITION, LOOP_FLOAT_PRESSURE, LOOP_HEAD, LOOP_INT_PRESSURE, LOOP_PARENT,
    LOOP_START_POSITION, LOOP_WORDS, NEXT, NO_REGISTER, START, VALUE_WORDS,
};
use super::{FunctionCompiler, Observer};
use crate::ir::{NONE, Op, Program};
use crate::ops::{Shape, flags};
use crate::stencil::StencilSet;

/// The records of all values of a function.
pub(super) type Values = [[u32; VALUE_WORDS]];

/// Where an op is.
#[derive(Clone, Copy)]
pub(super) struct Point {
    /// Twice its position.
    pub now: u32,
    /// The depth of its innermost loop, 0 outside.
    depth: u32,
    /// Its innermost loop, or NONE.
    innermost: u32,
    /// Twice the position of that loop's first op, or 0.
    pub loop_start: u32,
    /// Twice the position of its last op, plus 1, or NONE.
    pub loop_end: u32,
    /// The first op of its block, as an index in the function.
    pub first: u32,
}

impl<O: Observer> FunctionCompiler<'_, '_, O> {
    /// Fills in the values' records.
    pub(super) fn find_live_ranges(&mut self) {
        self.number_positions();
        self.define_and_use();
        if self.workspace.loop_count > 0 {
            self.measure_pressure();
        }
    }

    /// Positions for blocks and loop ends.
    fn number_positions(&mut self) {
        let mut position = 0;
        for place in 0..self.workspace.block_count as usize {
            let block = self.workspace.order[place] as usize;
            self.workspace.blocks[block][BLOCK_START] = position;
            position += self.block_record(block as u32).op_count;
        }
        for index in 0..self.workspace.loop_count as usize {
            let last = self.workspace.loops[index][LOOP_END] as usize;
            let block = self.workspace.order[last];
            let start = self.workspace.blocks[block as usize][BLOCK_START];
            let end = start + self.block_record(block).op_count - 1;
            self.workspace.loops[index][LOOP_END_POSITION] = 2 * end + 1;
            let head = self.workspace.loops[index][LOOP_HEAD] as usize;
            let block = self.workspace.order[head];
            let start = self.workspace.blocks[block as usize][BLOCK_START];
            self.workspace.loops[index][LOOP_START_POSITION] = 2 * start;
            self.workspace.loops[index][LOOP_CONSTANTS..].fill(NONE);
        }
    }

    pub(super) fn point_of_block(&self, block: u32) -> Point {
        let record = &self.workspace.blocks[block as usize];
        let innermost = record[BLOCK_LOOP];
        let (mut depth, mut loop_start, mut loop_end) = (0, 0, NONE);
        if innermost != NONE {
            let record = &self.workspace.loops[innermost as usize];
            depth = record[LOOP_DEPTH];
            loop_start = record[LOOP_START_POSITION];
            loop_end = record[LOOP_END_POSITION];
        }
        Point {
            now: 2 * record[BLOCK_START],
            depth,
            innermost,
            loop_start,
            loop_end,
            first: self.block_record(block).first_op - self.first_op,
        }
    }

    /// Defines values, stretches intervals, counts uses, collects what loops need.
    fn define_and_use(&mut self) {
        let reached = self.workspace.block_count;
        if reached != self.block_count {
            // Records of ops that nothing reaches still serve as records of positions.
            self.workspace.values.fill(record_of(0, 0));
        }
        self.workspace.values[self.op_count as usize..].fill(record_of(0, INFO_REMATERIALIZED));
        for at in 0..reached as usize {
            let block = self.workspace.order[at];
            let mut point = self.point_of_block(block);
            if point.innermost != NONE {
                self.workspace.loop_at_depth[point.depth as usize] = point.innermost;
            }
            let record = self.block_record(block);
            let mut pass = Forward {
                program: self.program,
                set: self.set,
                first_op: self.first_op,
                op_count: self.op_count,
                values: self.workspace.values,
                loops: self.workspace.loops,
                loop_at_depth: self.workspace.loop_at_depth,
            };
            let ops = &self.program.ops[record.first_op as usize..][..record.op_count as usize];
            for (op, value) in ops.iter().zip(point.first..) {
                pass.op(value, op, point);
                point.now += 2;
            }
        }
    }

    /// Counts live values at each position; a loop's pressure is the most inside it.
    fn measure_pressure(&mut self) {
        // The words for next uses hold, less NONE, how the counts change at the position that is the record's index.
        for anchor in self.op_count as usize..self.workspace.values.len() {
            self.begin_later(anchor as u32);
        }
        let mut live = [0u32; 2];
        for at in 0..self.workspace.block_count as usize {
            let block = self.workspace.order[at] as usize;
            let innermost = self.workspace.blocks[block][BLOCK_LOOP];
            let start = self.workspace.blocks[block][BLOCK_START];
            let record = self.block_record(block as u32);
            let mut most = live;
            let values = record.first_op - self.first_op..;
            for (position, value) in (start..start + record.op_count).zip(values) {
                let [from, to, _, _, info, ..] = self.workspace.values[value as usize];
                if info & INFO_REMATERIALIZED != 0 {
                    self.begin_later(value);
                } else if to > from {
                    let bank = usize::from(info & INFO_FLOAT != 0);
                    live[bank] += 1;
                    let end = &mut self.workspace.values[(to / 2) as usize][NEXT + bank];
                    *end = end.wrapping_sub(1);
                }
                let changes = &mut self.workspace.values[position as usize];
                for (bank, live) in live.iter_mut().enumerate() {
                    let change = core::mem::replace(&mut changes[NEXT + bank], NONE);
                    *live = live.wrapping_add(change.wrapping_sub(NONE));
                    most[bank] = most[bank].max(*live);
                }
            }
            if innermost != NONE {
                let record = &mut self.workspace.loops[innermost as usize];
                record[LOOP_INT_PRESSURE] = record[LOOP_INT_PRESSURE].max(most[0]);
                record[LOOP_FLOAT_PRESSURE] = record[LOOP_FLOAT_PRESSURE].max(most[1]);
            }
        }
        self.widen_loops();
    }

    /// Counts a constant or an anchor that loops use from its first use in one to its last.
    fn begin_later(&mut self, value: u32) {
        let [from, to, _, _, info, ..] = self.workspace.values[value as usize];
        if from != 0 && to > from {
            let bank = NEXT + usize::from(info & INFO_FLOAT != 0);
            for (position, change) in [(from / 2, 1), (to / 2, u32::MAX)] {
                let record = &mut self.workspace.values[position as usize][bank];
                *record = record.wrapping_add(change);
            }
        }
    }

    /// A loop has what the loops inside it have. Loops stand in the order of their heads, inner ones later.
    fn widen_loops(&mut self) {
        for index in (0..self.workspace.loop_count as usize).rev() {
            let inner = self.workspace.loops[index];
            if inner[LOOP_PARENT] == NONE {
                continue;
            }
            let parent = &mut self.workspace.loops[inner[LOOP_PARENT] as usize];
            for &value in inner[LOOP_CONSTANTS..]
                .iter()
                .filter(|&&value| value != NONE)
            {
                remember(parent, value);
            }
            parent[LOOP_CALLS] |= inner[LOOP_CALLS];
            for word in [LOOP_INT_PRESSURE, LOOP_FLOAT_PRESSURE] {
                parent[word] = parent[word].max(inner[word]);
            }
        }
    }
}

/// The record of a value that begins at a position, before anything uses it.
fn record_of(start: u32, info: u32) -> [u32; VALUE_WORDS] {
    [start, start, 0, NO_REGISTER, info, NONE, NONE, NONE]
}

/// The forward pass over the ops of a block.
struct Forward<'f> {
    program: &'f Program<'f>,
    set: &'static StencilSet,
    first_op: u32,
    op_count: u32,
    values: &'f mut Values,
    loops: &'f mut [[u32; LOOP_WORDS]],
    loop_at_depth: &'f mut [u32],
}

impl Forward<'_> {
    #[inline(always)]
    fn op(&mut self, value: u32, op: &Op, point: Point) {
        let brief = Brief::of(op.code);
        let mut facts = u32::from(brief.facts);
        if brief.is_typed_by_record() {
            facts = facts_of(op.result());
        }
        // A constant can be made anywhere, so it begins where it is first used in a loop.
        let start = if facts & INFO_REMATERIALIZED != 0 {
            0
        } else {
            point.now
        };
        self.values[value as usize] = record_of(start, facts);
        match brief.shape {
            Shape::Parameter | Shape::Result | Shape::Constant | Shape::FunctionIndex => return,
            Shape::Unary | Shape::Tag => self.keep(op.a - self.first_op, point),
            Shape::Binary => self.binary(value, op, point),
            Shape::Load | Shape::Store if !brief.is_raw() => {
                // A constant index becomes part of the displacement.
                if self.fact(op.a) & INFO_REMATERIALIZED == 0 {
                    self.keep(op.a - self.first_op, point);
                }
                if brief.operand_count > 1 {
                    self.keep(op.b - self.first_op, point);
                }
                self.keep(self.op_count + 1 + op.region() as u32, point);
            }
            _ => {
                self.rare(op, point);
                return;
            }
        }
        if brief.leaves() {
            self.snapshot(op, point);
        }
    }

    #[inline(always)]
    fn fact(&self, operand: u32) -> u32 {
        self.values[(operand - self.first_op) as usize][INFO]
    }

    /// The operands of a binary op, one of which may become an immediate.
    #[inline(always)]
    fn binary(&mut self, value: u32, op: &Op, point: Point) {
        let constants = (self.fact(op.a) | self.fact(op.b)) & INFO_REMATERIALIZED;
        if constants != 0 {
            self.binary_with_constant(value, op, point);
            return;
        }
        self.keep(op.a - self.first_op, point);
        self.keep(op.b - self.first_op, point);
    }

    fn binary_with_constant(&mut self, value: u32, op: &Op, point: Point) {
        let as_it_stands = immediate_of(self.program, self.set, op, false);
        let swapped = || immediate_of(self.program, self.set, op, true);
        let record = &mut self.values[value as usize];
        if let Some(immediate) = as_it_stands {
            record[INFO] |= INFO_IMMEDIATE;
            record[IMMEDIATE] = immediate as u32;
            self.keep(op.a - self.first_op, point);
        } else if let Some(immediate) = swapped() {
            record[INFO] |= INFO_IMMEDIATE | INFO_SWAPPED;
            record[IMMEDIATE] = immediate as u32;
            self.keep(op.b - self.first_op, point);
        } else {
            self.keep(op.a - self.first_op, point);
            self.keep(op.b - self.first_op, point);
        }
    }

    /// Ops that are not most of a program.
    #[inline(never)]
    fn rare(&mut self, op: &Op, point: Point) {
        let info = op.code.info();
        let first = op.a.wrapping_sub(self.first_op);
        match info.shape {
            Shape::Select => {
                self.keep(first, point);
                self.keep(op.b - self.first_op, point);
                self.keep(op.c - self.first_op, point);
            }
            Shape::Guard => self.keep_condition(op.a, point),
            Shape::Branch => {
                self.keep_condition(op.a, point);
                self.keep_edge(op.c, point);
                self.keep_edge(op.b, point);
            }
            Shape::Load | Shape::Store | Shape::Update | Shape::CompareExchange => {
                self.keep(first, point);
                if info.operand_count > 1 {
                    self.keep(op.b - self.first_op, point);
                }
                if info.operand_count > 2 {
                    self.keep(self.program.extra[op.c as usize + 2] - self.first_op, point);
                }
                if !info.has(flags::RAW) {
                    self.keep(self.op_count + 1 + op.region() as u32, point);
                }
            }
            Shape::SlotGet => self.keep(self.op_count, point),
            Shape::SlotSet => {
                self.keep(first, point);
                self.keep(self.op_count, point);
            }
            Shape::Jump => self.keep_edge(op.b, point),
            Shape::Switch => {
                self.keep(first, point);
                let count = self.program.extra[op.b as usize];
                for number in 0..=count {
                    self.keep_edge(self.program.extra[(op.b + 1 + number) as usize], point);
                }
            }
            Shape::Return => self.keep_arguments(op.b, point),
            Shape::Call | Shape::CallCell | Shape::ReturnCall => {
                self.keep_arguments(op.b, point);
                self.note_call(point, LOOP_CALLS_PROGRAM);
            }
            Shape::CallIndirect => {
                self.keep(first, point);
                self.keep_arguments(op.b + 1, point);
                self.note_call(point, LOOP_CALLS_PROGRAM);
            }
            Shape::CallHost => {
                self.keep_list(op.b, point);
                self.note_call(point, LOOP_CALLS_HOST);
            }
            _ => {}
        }
        if info.has(flags::LEAVES) {
            self.snapshot(op, point);
        }
    }

    /// What an op's exit names is kept until the op is done.
    fn snapshot(&mut self, op: &Op, point: Point) {
        let Some(exit) = self.program.exit_of(op) else {
            return;
        };
        let program = self.program;
        let exit = &program.exits[exit as usize];
        if exit.entry_count == 0 {
            return;
        }
        let late = Point {
            now: point.now + 1,
            ..point
        };
        for pair in program.snapshot(exit).chunks_exact(2) {
            self.keep(pair[1] - self.first_op, late);
        }
    }

    /// A use of a value by its index in the function, anchors included.
    #[inline(always)]
    fn keep(&mut self, value: u32, point: Point) {
        let record = &mut self.values[value as usize];
        let info = record[INFO];
        record[INFO] = info + u32::from(info & INFO_USES != INFO_USES);
        if record[START] < point.loop_start {
            self.keep_through_loop(value, point);
        } else {
            record[END] = record[END].max(point.now);
        }
    }

    /// A use inside a loop of a value from outside.
    #[inline(never)]
    fn keep_through_loop(&mut self, value: u32, point: Point) {
        let record = &mut self.values[value as usize];
        // The innermost loop around the use that holds the definition, too: the last that begins before it.
        let (mut inside, mut outside) = (0, point.depth + 1);
        while outside - inside > 1 {
            let middle = (inside + outside) / 2;
            let around = self.loop_at_depth[middle as usize] as usize;
            if self.loops[around][LOOP_START_POSITION] <= record[START] {
                inside = middle;
            } else {
                outside = middle;
            }
        }
        let outermost = self.loop_at_depth[inside as usize + 1];
        let end = self.loops[outermost as usize][LOOP_END_POSITION];
        record[END] = record[END].max(end);
        if record[INFO] & INFO_REMATERIALIZED != 0 {
            if record[START] == 0 {
                record[START] = point.now;
            }
            remember(&mut self.loops[point.innermost as usize], value);
        }
    }

    /// A use as a condition: should it be fused, the comparison's operands are used here as well.
    fn keep_condition(&mut self, condition: u32, point: Point) {
        self.keep(condition - self.first_op, point);
        let local = condition - self.first_op;
        let op = self.program.ops[condition as usize];
        let facts = self.values[local as usize][INFO];
        if facts & INFO_USES == 1 && Brief::of(op.code).compares() && local >= point.first {
            self.values[local as usize][INFO] |= INFO_CONDITION;
            let (first, second) = operands(&op, facts);
            self.keep(first - self.first_op, point);
            if let Some(second) = second {
                self.keep(second - self.first_op, point);
            }
        }
    }

    /// What is passed to a block should be where the block's parameter will be. A constant is made there, and
    /// needs no register until then.
    fn keep_edge(&mut self, edge: u32, point: Point) {
        let edge = self.program.edge(edge);
        let first = self.program.blocks[edge.block as usize].first_op - self.first_op;
        for (parameter, &argument) in (first..).zip(edge.arguments) {
            let argument = argument - self.first_op;
            if self.values[argument as usize][INFO] & INFO_REMATERIALIZED == 0 {
                self.keep(argument, point);
                if parameter >> (32 - INFO_HINT_SHIFT) == 0 {
                    self.hint(argument, INFO_HINT_PARAMETER | parameter << INFO_HINT_SHIFT);
                }
            }
        }
    }

    /// What is passed to a function should be where the convention wants it.
    fn keep_arguments(&mut self, list: u32, point: Point) {
        let file = &self.set.registers;
        let (mut ints, mut floats) = (file.int_arguments.iter(), file.float_arguments.iter());
        for &argument in self.program.list(list) {
            let argument = argument - self.first_op;
            let facts = self.values[argument as usize][INFO];
            let register = if facts & INFO_FLOAT != 0 {
                floats.next().map(|&number| 32 + u32::from(number))
            } else {
                ints.next().map(|&number| u32::from(number))
            };
            if facts & INFO_REMATERIALIZED == 0 {
                self.keep(argument, point);
                if let Some(register) = register {
                    self.hint(argument, register << INFO_HINT_SHIFT);
                }
            }
        }
    }

    fn keep_list(&mut self, at: u32, point: Point) {
        for &argument in self.program.list(at) {
            if self.fact(argument) & INFO_REMATERIALIZED == 0 {
                self.keep(argument - self.first_op, point);
            }
        }
    }

    /// Notes what the first use that has a wish wishes.
    fn hint(&mut self, value: u32, hint: u32) {
        let info = &mut self.values[value as usize][INFO];
        if *info & INFO_HINTED == 0 {
            *info |= INFO_HINTED | hint;
        }
    }

    fn note_call(&mut self, point: Point, what: u32) {
        if point.innermost != NONE {
            self.loops[point.innermost as usize][LOOP_CALLS] |= what;
        }
    }
}

/// Adds a value to the constants that a loop uses, if there is room.
fn remember(record: &mut [u32; LOOP_WORDS], value: u32) {
    for slot in &mut record[LOOP_CONSTANTS..] {
        if *slot == value {
            return;
        }
        if *slot == NONE {
            *slot = value;
            return;
        }
    }
}

/// The operands of a unary or binary op that need registers, the first operand of its form first.
#[inline(always)]
pub(super) fn operands(op: &Op, facts: u32) -> (u32, Option<u32>) {
    if matches!(Brief::of(op.code).shape, Shape::Unary | Shape::Tag) {
        (op.a, None)
    } else if facts & INFO_IMMEDIATE == 0 {
        (op.a, Some(op.b))
    } else if facts & INFO_SWAPPED == 0 {
        (op.a, None)
    } else {
        (op.b, None)
    }
}
