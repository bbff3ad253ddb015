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

use super::workspace::{
    BLOCK_LOOP, BLOCK_START, END, INFO, INFO_FLOAT, INFO_FUSED, INFO_HINT_PARAMETER,
    INFO_HINT_SHIFT, INFO_HINTED, INFO_REFERENCE, INFO_REMATERIALIZED, INFO_USES, LOCATION,
    LOOP_CALLS, LOOP_CALLS_HOST, LOOP_CALLS_PROGRAM, LOOP_CONSTANTS, LOOP_DEPTH, LOOP_END,
    LOOP_END_POSITION, LOOP_FLOAT_PRESSURE, LOOP_HEAD, LOOP_INT_PRESSURE, LOOP_PARENT, NEXT,
    NEXT_USE, NO_REGISTER, PARAMETER_REGISTER, START, VALUE_WORDS,
};
use super::{FunctionCompiler, Observer};
use crate::ir::{NONE, Op};
use crate::ops::{Opcode, Shape, flags};
use crate::types::Type;

/// What the passes carry from op to op.
#[derive(Clone, Copy)]
struct Point {
    /// Twice the op's position.
    now: u32,
    /// Its innermost loop, or NONE.
    innermost: u32,
    /// That loop's depth, 0 outside.
    depth: u32,
    /// The first op of the block, as an index in the function.
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
            self.workspace.loops[index][LOOP_CONSTANTS..].fill(NONE);
        }
    }

    fn place_of_block(&mut self, block: u32) -> Point {
        let record = &self.workspace.blocks[block as usize];
        let innermost = record[BLOCK_LOOP];
        let now = 2 * record[BLOCK_START];
        let mut depth = 0;
        if innermost != NONE {
            depth = self.workspace.loops[innermost as usize][LOOP_DEPTH];
            self.workspace.loop_at_depth[depth as usize] = innermost;
        }
        let first = self.block_record(block).first_op - self.first_op;
        Point {
            now,
            innermost,
            depth,
            first,
        }
    }

    /// Defines values, stretches intervals, counts uses, collects what loops need.
    fn forward(&mut self) {
        for anchor in self.op_count as usize..self.workspace.values.len() {
            let mut record = [0; VALUE_WORDS];
            record[INFO] = INFO_REMATERIALIZED;
            record[NEXT_USE] = NONE;
            self.workspace.values[anchor] = record;
        }
        if self.workspace.block_count != self.block_count {
            // Records of ops that nothing reaches still serve as records of positions.
            self.workspace.values[..self.op_count as usize]
                .fill([0, 0, NONE, 0, 0, NONE, NONE, NONE]);
        }
        for at in 0..self.workspace.block_count as usize {
            let block = self.workspace.order[at];
            let mut place = self.place_of_block(block);
            let record = self.block_record(block);
            for index in record.first_op..record.first_op + record.op_count {
                let op = self.program.ops[index as usize];
                let value = index - self.first_op;
                self.note_definition(value, &op, place);
                self.forward_uses(&op, place);
                place.now += 2;
            }
        }
    }

    #[inline]
    fn note_definition(&mut self, value: u32, op: &Op, place: Point) {
        let mut info = 0;
        match op.result() {
            Some(Type::F32 | Type::F64) => info |= INFO_FLOAT,
            Some(Type::Ref) => info |= INFO_REFERENCE,
            _ => {}
        }
        let mut depth = place.depth;
        if is_constant(op.code) {
            // It can be made anywhere, so it is no part of the loop that it stands in.
            info |= INFO_REMATERIALIZED;
            depth = 0;
        }
        self.workspace.values[value as usize] =
            [place.now, place.now, NONE, depth, info, NONE, NONE, NONE];
    }

    #[inline]
    fn forward_uses(&mut self, op: &Op, place: Point) {
        let info = op.code.info();
        match info.shape {
            Shape::Parameter | Shape::Result | Shape::Constant | Shape::FunctionIndex => return,
            Shape::Unary => self.keep(op.a, place),
            Shape::Binary => {
                let (first, second) = self.binary_operands(op);
                self.keep(first, place);
                if let Some(second) = second {
                    self.keep(second, place);
                }
            }
            Shape::Select => {
                self.keep(op.a, place);
                self.keep(op.b, place);
                self.keep(op.c, place);
            }
            Shape::Guard | Shape::Branch => self.keep_condition(op.a, place),
            Shape::Load | Shape::Store | Shape::Update | Shape::CompareExchange => {
                if self.constant_bits(op.a).is_none() || info.has(flags::RAW) {
                    self.keep(op.a, place);
                }
                if info.operand_count > 1 {
                    self.keep(op.b, place);
                }
                if info.operand_count > 2 {
                    self.keep(self.program.extra[op.c as usize + 2], place);
                }
                if !info.has(flags::RAW) {
                    self.keep_local(self.region_anchor(op.region()), place);
                }
            }
            Shape::SlotGet => self.keep_local(self.slots_anchor(), place),
            Shape::SlotSet => {
                self.keep(op.a, place);
                self.keep_local(self.slots_anchor(), place);
            }
            Shape::Switch | Shape::CallIndirect => self.keep(op.a, place),
            Shape::Fence | Shape::Poll | Shape::Call | Shape::CallCell | Shape::CallHost => {}
            Shape::Jump | Shape::Return | Shape::Exit | Shape::ReturnCall => {}
        }
        match info.shape {
            Shape::Jump => self.keep_edge(op.b, place),
            Shape::Branch => {
                self.keep_edge(op.b, place);
                self.keep_edge(op.c, place);
            }
            Shape::Switch => {
                let count = self.program.extra[op.b as usize];
                for number in 0..=count {
                    self.keep_edge(self.program.extra[(op.b + 1 + number) as usize], place);
                }
            }
            Shape::Return => self.keep_list(op.b, place),
            Shape::Call | Shape::CallCell | Shape::ReturnCall => {
                self.keep_list(op.b, place);
                self.note_call(place, LOOP_CALLS_PROGRAM);
            }
            Shape::CallIndirect => {
                self.keep_list(op.b + 1, place);
                self.note_call(place, LOOP_CALLS_PROGRAM);
            }
            Shape::CallHost => {
                self.keep_list(op.b, place);
                self.note_call(place, LOOP_CALLS_HOST);
            }
            _ => {}
        }
        if info.has(flags::LEAVES)
            && let Some(exit) = self.exit_of(op)
        {
            let record = self.program.exits[exit as usize];
            let late = Point {
                now: place.now + 1,
                ..place
            };
            for pair in self.program.snapshot(&record).chunks_exact(2) {
                self.keep(pair[1], late);
            }
        }
    }

    /// A use of an op of the program.
    #[inline]
    fn keep(&mut self, operand: u32, place: Point) {
        self.keep_local(operand - self.first_op, place);
    }

    /// A use of a value by its index in the function, anchors included.
    #[inline]
    fn keep_local(&mut self, value: u32, place: Point) {
        let record = &mut self.workspace.values[value as usize];
        let mut end = place.now;
        if record[LOCATION] < place.depth {
            let outermost = self.workspace.loop_at_depth[record[LOCATION] as usize + 1];
            end = self.workspace.loops[outermost as usize][LOOP_END_POSITION];
        }
        if value >= self.op_count && record[END] == 0 {
            // The first use of an anchor.
            record[START] = place.now;
        }
        record[END] = record[END].max(end);
        let uses = (record[INFO] & INFO_USES) + 1;
        if uses <= INFO_USES {
            record[INFO] = (record[INFO] & !INFO_USES) | uses;
        }
        if record[INFO] & INFO_REMATERIALIZED != 0 && record[LOCATION] < place.depth {
            let constants = &mut self.workspace.loops[place.innermost as usize][LOOP_CONSTANTS..];
            for slot in constants {
                if *slot == value {
                    break;
                }
                if *slot == NONE {
                    *slot = value;
                    break;
                }
            }
        }
    }

    /// A use as a condition: should it be fused, the comparison's operands are used here as well.
    fn keep_condition(&mut self, condition: u32, place: Point) {
        self.keep(condition, place);
        let local = condition - self.first_op;
        let op = self.program.ops[condition as usize];
        let uses = self.workspace.values[local as usize][INFO] & INFO_USES;
        if uses == 1 && op.code.info().has(flags::COMPARES) && local >= place.first {
            if op.code.info().shape == Shape::Unary {
                self.keep(op.a, place);
                return;
            }
            let (first, second) = self.binary_operands(&op);
            self.keep(first, place);
            if let Some(second) = second {
                self.keep(second, place);
            }
        }
    }

    fn keep_edge(&mut self, edge: u32, place: Point) {
        let edge = self.program.edge(edge);
        for &argument in edge.arguments {
            self.keep_argument(argument, place);
        }
    }

    fn keep_list(&mut self, at: u32, place: Point) {
        for &argument in self.program.list(at) {
            self.keep_argument(argument, place);
        }
    }

    /// A use that a constant serves from nowhere: it needs no register until then.
    fn keep_argument(&mut self, argument: u32, place: Point) {
        if !is_constant(self.program.ops[argument as usize].code) {
            self.keep(argument, place);
        }
    }

    fn note_call(&mut self, place: Point, what: u32) {
        if place.innermost != NONE {
            self.workspace.loops[place.innermost as usize][LOOP_CALLS] |= what;
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
            let parent_start = {
                let parent = &self.workspace.loops[inner[LOOP_PARENT] as usize];
                let block = self.workspace.order[parent[LOOP_HEAD] as usize];
                2 * self.workspace.blocks[block as usize][BLOCK_START]
            };
            for value in &inner[LOOP_CONSTANTS..] {
                if *value == NONE || self.workspace.values[*value as usize][START] >= parent_start {
                    continue;
                }
                let parent = &mut self.workspace.loops[inner[LOOP_PARENT] as usize];
                for slot in &mut parent[LOOP_CONSTANTS..] {
                    if *slot == *value {
                        break;
                    }
                    if *slot == NONE {
                        *slot = *value;
                        break;
                    }
                }
            }
            let parent = &mut self.workspace.loops[inner[LOOP_PARENT] as usize];
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
            let mut place = self.place_of_block(block);
            let loop_end = match place.innermost {
                NONE => NONE,
                index => self.workspace.loops[index as usize][LOOP_END_POSITION],
            };
            let record = self.block_record(block);
            place.now += 2 * record.op_count;
            for index in (record.first_op..record.first_op + record.op_count).rev() {
                place.now -= 2;
                let op = self.program.ops[index as usize];
                let value = index - self.first_op;
                self.backward_uses(value, &op, place, loop_end);
            }
        }
        for record in self.workspace.values.iter_mut() {
            record[LOCATION] = NO_REGISTER;
        }
    }

    #[inline]
    fn backward_uses(&mut self, value: u32, op: &Op, place: Point, loop_end: u32) {
        let info = op.code.info();
        match info.shape {
            Shape::Parameter => self.workspace.values[value as usize][PARAMETER_REGISTER] = NONE,
            Shape::Result | Shape::Constant | Shape::FunctionIndex => {}
            Shape::Unary | Shape::Binary => {
                if self.workspace.values[value as usize][INFO] & INFO_FUSED == 0 {
                    self.chain_scalar(value, op, place, loop_end);
                }
            }
            Shape::Select => {
                self.chain(value, 0, op.a - self.first_op, place, loop_end);
                self.chain(value, 1, op.b - self.first_op, place, loop_end);
                self.chain(value, 2, op.c - self.first_op, place, loop_end);
            }
            Shape::Guard => self.chain_condition(value, op.a, place, loop_end),
            Shape::Branch => {
                self.hint_edge(op.b, place);
                self.hint_edge(op.c, place);
                self.chain_condition(value, op.a, place, loop_end);
            }
            Shape::Jump => self.hint_edge(op.b, place),
            Shape::Load | Shape::Store | Shape::Update | Shape::CompareExchange => {
                self.chain(value, 0, op.a - self.first_op, place, loop_end);
                if info.operand_count > 1 {
                    self.chain(value, 1, op.b - self.first_op, place, loop_end);
                }
                if info.operand_count > 2 {
                    let third = self.program.extra[op.c as usize + 2];
                    self.note_use(third - self.first_op, place);
                }
                if !info.has(flags::RAW) {
                    self.chain(value, 2, self.region_anchor(op.region()), place, loop_end);
                }
            }
            Shape::SlotGet => self.chain(value, 2, self.slots_anchor(), place, loop_end),
            Shape::SlotSet => {
                self.chain(value, 0, op.a - self.first_op, place, loop_end);
                self.chain(value, 2, self.slots_anchor(), place, loop_end);
            }
            Shape::Return => self.hint_arguments(op.b, place),
            Shape::Call | Shape::CallCell | Shape::ReturnCall => self.hint_arguments(op.b, place),
            Shape::CallIndirect => self.hint_arguments(op.b + 1, place),
            Shape::CallHost => {
                for &argument in self.program.list(op.b) {
                    self.note_use(argument - self.first_op, place);
                }
            }
            Shape::Switch | Shape::Exit | Shape::Fence | Shape::Poll => {}
        }
    }

    fn chain_scalar(&mut self, user: u32, op: &Op, place: Point, loop_end: u32) {
        let (first, second) = match op.code.info().shape {
            Shape::Unary => (op.a, None),
            _ => self.binary_operands(op),
        };
        if let Some(second) = second {
            self.chain(user, 1, second - self.first_op, place, loop_end);
        }
        self.chain(user, 0, first - self.first_op, place, loop_end);
    }

    /// A condition; here it is decided whether its comparison is fused.
    fn chain_condition(&mut self, user: u32, condition: u32, place: Point, loop_end: u32) {
        let local = condition - self.first_op;
        let op = self.program.ops[condition as usize];
        let fusible = self.workspace.values[local as usize][INFO] & INFO_USES == 1
            && op.code.info().has(flags::COMPARES)
            && local >= place.first;
        if fusible {
            self.workspace.values[local as usize][INFO] |= INFO_FUSED;
            self.chain_scalar(local, &op, place, loop_end);
        } else {
            self.chain(user, 0, local, place, loop_end);
        }
    }

    /// Links one operand of an op to its next use.
    #[inline]
    fn chain(&mut self, user: u32, operand: usize, value: u32, place: Point, loop_end: u32) {
        let record = &self.workspace.values[value as usize];
        let mut next = record[NEXT_USE];
        // A value from outside the loop is needed again when the loop comes round.
        if next > loop_end && record[LOCATION] < place.depth {
            next = loop_end;
        }
        self.workspace.values[user as usize][NEXT + operand] = next;
        self.workspace.values[value as usize][NEXT_USE] = place.now;
    }

    fn note_use(&mut self, value: u32, place: Point) {
        self.workspace.values[value as usize][NEXT_USE] = place.now;
    }

    /// What is passed to a block should be where the block's parameter will be.
    fn hint_edge(&mut self, edge: u32, place: Point) {
        let edge = self.program.edge(edge);
        let first = self.program.blocks[edge.block as usize].first_op - self.first_op;
        for (number, &argument) in edge.arguments.iter().enumerate() {
            let value = argument - self.first_op;
            self.note_use(value, place);
            let info = &mut self.workspace.values[value as usize][INFO];
            *info = *info & ((1 << INFO_HINT_SHIFT) - 1) | INFO_HINTED | INFO_HINT_PARAMETER;
            let parameter = first + number as u32;
            if parameter >> (32 - INFO_HINT_SHIFT) == 0 {
                *info |= parameter << INFO_HINT_SHIFT;
            } else {
                *info &= !INFO_HINTED;
            }
        }
    }

    /// What is passed to a function should be where the convention wants it.
    fn hint_arguments(&mut self, list: u32, place: Point) {
        let (mut ints, mut floats) = (0, 0);
        for &argument in self.program.list(list) {
            let value = argument - self.first_op;
            self.note_use(value, place);
            let float = self.workspace.values[value as usize][INFO] & INFO_FLOAT != 0;
            let Some(register) = self.argument_register(float, &mut ints, &mut floats) else {
                continue;
            };
            let info = &mut self.workspace.values[value as usize][INFO];
            *info = *info & ((1 << INFO_HINT_SHIFT) - 1) & !INFO_HINT_PARAMETER | INFO_HINTED;
            *info |= register << INFO_HINT_SHIFT;
        }
    }
}

/// Whether the op is a constant, which is made where it is used.
#[inline]
pub(super) fn is_constant(code: Opcode) -> bool {
    matches!(
        code,
        Opcode::I32Const
            | Opcode::I64Const
            | Opcode::F32Const
            | Opcode::F64Const
            | Opcode::FunctionIndex
    )
}
