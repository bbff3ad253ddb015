//! How long each value must be kept, and where it is used next.
//!
//! Takes a function laid out; promises for every value one interval in the order of the layout that covers all its
//! uses, stretched to the end of the outermost loop that holds a use and not the definition (as TPDE does), and for
//! every operand in an op's record the next use behind it. Three passes over the ops, the third only where there are
//! loops; linear in ops, edge arguments and snapshot entries.
//!
//! Positions are doubled: op number p of the order reads its operands at 2p; what its exit's snapshot names is kept
//! until 2p + 1, so that the op's result does not take its place.
//!
//! A comparison whose only use is a branch or guard of the same block is *fused*: it makes
//! no code of its own, and its operands are used where it is.

use super::brief::{Brief, facts_of};
use super::workspace::{
    BLOCK_LOOP, BLOCK_START, END, INFO, INFO_FLOAT, INFO_FUSED, INFO_HINT_PARAMETER,
    INFO_HINT_SHIFT, INFO_HINTED, INFO_IMMEDIATE, INFO_REMATERIALIZED, INFO_SWAPPED, INFO_USES,
    LOCATION, LOOP_CALLS, LOOP_CALLS_HOST, LOOP_CALLS_PROGRAM, LOOP_CONSTANTS, LOOP_DEPTH,
    LOOP_END, LOOP_END_POSITION, LOOP_FLOAT_PRESSURE, LOOP_HEAD, LOOP_INT_PRESSURE, LOOP_PARENT,
    LOOP_START_POSITION, LOOP_WORDS, NEXT, NEXT_USE, NO_REGISTER, PARAMETER_REGISTER, START,
    VALUE_WORDS,
};
use super::{FunctionCompiler, Observer, immediate_of};
use crate::ir::{NONE, Op, Program};
use crate::ops::{Shape, flags};
use crate::stencil::StencilSet;

/// The records of all values of a function.
type Values = [[u32; VALUE_WORDS]];

/// Where an op is.
#[derive(Clone, Copy)]
struct Point {
    /// Twice its position.
    now: u32,
    /// The depth of its innermost loop, 0 outside.
    depth: u32,
    /// Its innermost loop, or NONE.
    innermost: u32,
    /// Twice the position of that loop's first op, or 0.
    loop_start: u32,
    /// Twice the position of its last op, plus 1, or NONE.
    loop_end: u32,
    /// The first op of its block, as an index in the function.
    first: u32,
}

impl<O: Observer> FunctionCompiler<'_, '_, O> {
    /// Fills in the values' records.
    pub(super) fn find_live_ranges(&mut self) {
        self.number_positions();
        self.forward();
        if self.workspace.loop_count > 0 {
            self.measure_pressure();
        }
        self.backward();
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

    fn point_of_block(&self, block: u32) -> Point {
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
    fn forward(&mut self) {
        let reached = self.workspace.block_count;
        if reached != self.block_count {
            // Records of ops that nothing reaches still serve as records of positions.
            self.workspace
                .values
                .fill([0, 0, NONE, 0, 0, NONE, NONE, NONE]);
        }
        for anchor in &mut self.workspace.values[self.op_count as usize..] {
            *anchor = [0, 0, NONE, 0, INFO_REMATERIALIZED, NONE, NONE, NONE];
        }
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
        // Until the backward pass fills them, the words for next uses hold the change of the counts at the
        // position that is the record's index, plus NONE, with which they began.
        let positions = self.op_count as usize;
        for value in 0..self.workspace.values.len() {
            let record = self.workspace.values[value];
            let is_op = value < positions;
            if is_op && record[START] == record[END] {
                continue;
            }
            if !is_op && record[END] == 0 {
                continue;
            }
            let bank = NEXT + usize::from(record[INFO] & INFO_FLOAT != 0);
            let start = (record[START] / 2) as usize;
            let end = (record[END] / 2) as usize;
            self.add_pressure(start, bank, 1);
            self.add_pressure(end, bank, u32::MAX);
        }
        let mut live = [0u32; 2];
        for at in 0..self.workspace.block_count as usize {
            let block = self.workspace.order[at];
            let innermost = self.workspace.blocks[block as usize][BLOCK_LOOP];
            let start = self.workspace.blocks[block as usize][BLOCK_START];
            let count = self.block_record(block).op_count;
            let mut most = live;
            for position in start..start + count {
                let record = &self.workspace.values[position as usize];
                for bank in 0..2 {
                    let change = record[NEXT + bank].wrapping_sub(NONE);
                    live[bank] = live[bank].wrapping_add(change);
                    most[bank] = most[bank].max(live[bank]);
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

    fn add_pressure(&mut self, position: usize, bank: usize, amount: u32) {
        if let Some(record) = self.workspace.values.get_mut(position) {
            record[bank] = record[bank].wrapping_add(amount);
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

    /// Finds next uses, decides what is fused, leaves hints.
    fn backward(&mut self) {
        for at in (0..self.workspace.block_count as usize).rev() {
            let block = self.workspace.order[at];
            let mut point = self.point_of_block(block);
            let record = self.block_record(block);
            let file = &self.set.registers;
            let mut pass = Backward {
                program: self.program,
                first_op: self.first_op,
                op_count: self.op_count,
                int_arguments: file.int_arguments,
                float_arguments: file.float_arguments,
                values: self.workspace.values,
            };
            let ops = &self.program.ops[record.first_op as usize..][..record.op_count as usize];
            point.now += 2 * record.op_count;
            for (number, op) in ops.iter().enumerate().rev() {
                point.now -= 2;
                pass.op(point.first + number as u32, op, point);
            }
        }
        for anchor in &mut self.workspace.values[self.op_count as usize..] {
            anchor[LOCATION] = NO_REGISTER;
        }
    }
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
        // A constant can be made anywhere, so it is no part of the loop that it stands in.
        let depth = if facts & INFO_REMATERIALIZED != 0 {
            0
        } else {
            point.depth
        };
        self.values[value as usize] = [point.now, point.now, NONE, depth, facts, NONE, NONE, NONE];
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
        let facts = immediate_facts(self.program, self.set, op);
        self.values[value as usize][INFO] |= facts;
        let (first, second) = if facts & INFO_SWAPPED != 0 {
            (op.b, op.a)
        } else {
            (op.a, op.b)
        };
        self.keep(first - self.first_op, point);
        if facts & INFO_IMMEDIATE == 0 {
            self.keep(second - self.first_op, point);
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
                self.keep_edge(op.b, point);
                self.keep_edge(op.c, point);
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
            Shape::Return => self.keep_list(op.b, point),
            Shape::Call | Shape::CallCell | Shape::ReturnCall => {
                self.keep_list(op.b, point);
                self.note_call(point, LOOP_CALLS_PROGRAM);
            }
            Shape::CallIndirect => {
                self.keep(first, point);
                self.keep_list(op.b + 1, point);
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
        if record[LOCATION] < point.depth || record[START] < point.loop_start {
            self.keep_through_loop(value, point);
        } else {
            record[END] = record[END].max(point.now);
            if value >= self.op_count && record[START] == 0 {
                // The first use of an anchor.
                record[START] = point.now;
            }
        }
    }

    /// A use inside a loop of a value from outside.
    #[inline(never)]
    fn keep_through_loop(&mut self, value: u32, point: Point) {
        let record = &mut self.values[value as usize];
        // The innermost loop around the use that holds the definition, too: of those as deep as the definition at
        // most, the last that begins before it.
        let (mut inside, mut outside) = (0, record[LOCATION].min(point.depth) + 1);
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
        if value >= self.op_count && record[END] == 0 {
            record[START] = point.now;
        }
        record[END] = record[END].max(end);
        if record[INFO] & INFO_REMATERIALIZED != 0 {
            remember(&mut self.loops[point.innermost as usize], value);
        }
    }

    /// A use as a condition: should it be fused, the comparison's operands are used here as well.
    fn keep_condition(&mut self, condition: u32, point: Point) {
        self.keep(condition - self.first_op, point);
        let local = condition - self.first_op;
        let op = self.program.ops[condition as usize];
        let facts = self.values[local as usize][INFO];
        if facts & INFO_USES == 1 && op.code.info().has(flags::COMPARES) && local >= point.first {
            let (first, second) = operands(&op, facts);
            self.keep(first - self.first_op, point);
            if let Some(second) = second {
                self.keep(second - self.first_op, point);
            }
        }
    }

    fn keep_edge(&mut self, edge: u32, point: Point) {
        self.keep_list(edge + 1, point);
    }

    /// Uses that a constant serves from nowhere: it needs no register until then.
    fn keep_list(&mut self, at: u32, point: Point) {
        for &argument in self.program.list(at) {
            if self.fact(argument) & INFO_REMATERIALIZED == 0 {
                self.keep(argument - self.first_op, point);
            }
        }
    }

    fn note_call(&mut self, point: Point, what: u32) {
        if point.innermost != NONE {
            self.loops[point.innermost as usize][LOOP_CALLS] |= what;
        }
    }
}

/// The backward pass over the ops of a block.
struct Backward<'b> {
    program: &'b Program<'b>,
    first_op: u32,
    op_count: u32,
    int_arguments: &'static [u8],
    float_arguments: &'static [u8],
    values: &'b mut Values,
}

impl Backward<'_> {
    #[inline(always)]
    fn op(&mut self, value: u32, op: &Op, point: Point) {
        let brief = Brief::of(op.code);
        // All uses stand behind; from here on the word says where the value is.
        let facts = self.values[value as usize][INFO];
        self.values[value as usize][LOCATION] = NO_REGISTER;
        match brief.shape {
            Shape::Parameter => self.values[value as usize][PARAMETER_REGISTER] = NONE,
            Shape::Result | Shape::Constant | Shape::FunctionIndex => {}
            Shape::Unary | Shape::Binary | Shape::Tag => {
                if facts & INFO_FUSED == 0 {
                    self.scalar(value, op, facts, point);
                }
            }
            Shape::Load | Shape::Store if !brief.is_raw() => {
                self.chain(value, 0, op.a - self.first_op, point);
                if brief.operand_count > 1 {
                    self.chain(value, 1, op.b - self.first_op, point);
                }
                self.chain(value, 2, self.op_count + 1 + op.region() as u32, point);
            }
            _ => self.rare(value, op, point),
        }
    }

    #[inline(never)]
    fn rare(&mut self, value: u32, op: &Op, point: Point) {
        let info = op.code.info();
        let first = op.a.wrapping_sub(self.first_op);
        match info.shape {
            Shape::Select => {
                self.chain(value, 0, first, point);
                self.chain(value, 1, op.b - self.first_op, point);
                self.chain(value, 2, op.c - self.first_op, point);
            }
            Shape::Guard => self.condition(value, op.a, point),
            Shape::Branch => {
                self.hint_edge(op.b, point);
                self.hint_edge(op.c, point);
                self.condition(value, op.a, point);
            }
            Shape::Jump => self.hint_edge(op.b, point),
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
                }
            }
            Shape::SlotGet => self.chain(value, 2, self.op_count, point),
            Shape::SlotSet => {
                self.chain(value, 0, first, point);
                self.chain(value, 2, self.op_count, point);
            }
            Shape::Return | Shape::Call | Shape::CallCell | Shape::ReturnCall => {
                self.hint_arguments(op.b, point);
            }
            Shape::CallIndirect => self.hint_arguments(op.b + 1, point),
            Shape::CallHost => {
                for &argument in self.program.list(op.b) {
                    self.note_use(argument - self.first_op, point);
                }
            }
            _ => {}
        }
    }

    /// The operands of a unary or binary op that need registers, used at the point of its user.
    #[inline(always)]
    fn scalar(&mut self, user: u32, op: &Op, facts: u32, point: Point) {
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

    /// A condition; here it is decided whether its comparison is fused.
    fn condition(&mut self, user: u32, condition: u32, point: Point) {
        let local = condition - self.first_op;
        let op = self.program.ops[condition as usize];
        let facts = self.values[local as usize][INFO];
        let fusible =
            facts & INFO_USES == 1 && op.code.info().has(flags::COMPARES) && local >= point.first;
        if fusible {
            self.values[local as usize][INFO] |= INFO_FUSED;
            self.scalar(local, &op, facts, point);
        } else {
            self.chain(user, 0, local, point);
        }
    }

    /// Links one operand of an op to its next use.
    #[inline(always)]
    fn chain(&mut self, user: u32, operand: usize, value: u32, point: Point) {
        let record = &mut self.values[value as usize];
        let mut next = core::mem::replace(&mut record[NEXT_USE], point.now);
        // A value from outside the loop is needed again when the loop comes round.
        if next > point.loop_end && record[LOCATION] < point.depth {
            next = point.loop_end;
        }
        self.values[user as usize][NEXT + operand] = next;
    }

    fn note_use(&mut self, value: u32, point: Point) {
        self.values[value as usize][NEXT_USE] = point.now;
    }

    /// What is passed to a block should be where the block's parameter will be.
    fn hint_edge(&mut self, edge: u32, point: Point) {
        let edge = self.program.edge(edge);
        let first = self.program.blocks[edge.block as usize].first_op - self.first_op;
        for (parameter, &argument) in (first..).zip(edge.arguments) {
            let record = &mut self.values[(argument - self.first_op) as usize];
            record[NEXT_USE] = point.now;
            if parameter >> (32 - INFO_HINT_SHIFT) == 0 {
                let hint = INFO_HINTED | INFO_HINT_PARAMETER | parameter << INFO_HINT_SHIFT;
                record[INFO] = record[INFO] & ((1 << INFO_HINT_SHIFT) - 1) | hint;
            }
        }
    }

    /// What is passed to a function should be where the convention wants it.
    fn hint_arguments(&mut self, list: u32, point: Point) {
        let (mut ints, mut floats) = (self.int_arguments.iter(), self.float_arguments.iter());
        for &argument in self.program.list(list) {
            let record = &mut self.values[(argument - self.first_op) as usize];
            record[NEXT_USE] = point.now;
            let register = if record[INFO] & INFO_FLOAT != 0 {
                floats.next().map(|&number| 32 + u32::from(number))
            } else {
                ints.next().map(|&number| u32::from(number))
            };
            if let Some(register) = register {
                let kept = ((1 << INFO_HINT_SHIFT) - 1) & !INFO_HINT_PARAMETER;
                let hint = INFO_HINTED | register << INFO_HINT_SHIFT;
                record[INFO] = record[INFO] & kept | hint;
            }
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

/// Whether a constant operand of a binary op becomes an immediate, and whether the operands change places for it.
fn immediate_facts(program: &Program, set: &StencilSet, op: &Op) -> u32 {
    if immediate_of(program, set, op, false).is_some() {
        INFO_IMMEDIATE
    } else if immediate_of(program, set, op, true).is_some() {
        INFO_IMMEDIATE | INFO_SWAPPED
    } else {
        0
    }
}
