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
//! A comparison whose only uses are branches, guards and selects of the same block is *fused*: it makes
//! no code of its own, and its operands are used where it is.

use super::allocate::{FLOATS, INTS};
use super::brief::{Brief, facts_of};
use super::choose::can_choose;
use super::lower::immediate_of;
use super::memory::may_fault;
use super::workspace::{
    BLOCK_LOOP, BLOCK_START, BLOCK_WORDS, END, IMMEDIATE, INFO, INFO_CONDITION, INFO_FLOAT,
    INFO_HINT_PARAMETER, INFO_HINT_SHIFT, INFO_HINTED, INFO_IMMEDIATE, INFO_REMATERIALIZED,
    INFO_SUCCEEDS, INFO_SWAPPED, INFO_TESTS_BITS, INFO_USES, LOOP_CALLS, LOOP_CALLS_HOST,
    LOOP_CALLS_PROGRAM, LOOP_CONSTANTS, LOOP_CROWDED, LOOP_CROWDED_FLOATS, LOOP_CROWDED_INTS,
    LOOP_DEPTH, LOOP_END, LOOP_END_POSITION, LOOP_HEAD, LOOP_PARENT, LOOP_START_POSITION,
    LOOP_WORDS, NEXT, NO_REGISTER, START, VALUE_WORDS, is_fused, size_anchor,
};
use super::{FunctionCompiler, Observer, Reserved};
use crate::ir::{Block, Edge, Exit, NONE, Op, Program};
use crate::ops::{Opcode, Shape};
use crate::stencil::StencilSet;

/// The records of all values of a function.
pub(super) type Values = [[u32; VALUE_WORDS]];

/// Where an op is.
#[derive(Clone, Copy, Default)]
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
        self.number_loops();
        let (values, floats) = self.define_and_use();
        if self.workspace.loop_count > 0 && self.may_run_short(values, floats) {
            self.measure_pressure();
        } else {
            self.widen_loops();
        }
    }

    /// Whether a bank has fewer registers than the function has values, of which so many are floats; if not, no loop's
    /// pressure matters.
    fn may_run_short(&self, values: u32, floats: u32) -> bool {
        let has = |bank: u64| (self.allocatable & bank).count_ones();
        values - floats > has(INTS) || floats > has(FLOATS)
    }

    /// How many registers the banks have, counted as by [`one_of`], and a bit above each count: it is lost where more is
    /// taken away.
    fn room(&self) -> u64 {
        let has = |bank: u64| u64::from((self.allocatable & bank).count_ones());
        has(INTS) | has(FLOATS) << 32 | ROOM_LEFT
    }

    /// Positions where loops begin and end.
    fn number_loops(&mut self) {
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
        let first = self.block_record(block).first_op - self.first_op;
        point_of(self.workspace.blocks, self.workspace.loops, block, first)
    }

    /// Defines values, stretches intervals, counts uses, collects what loops need; finds how many words calls and the
    /// parameters of a block need. Gives how many values there are, and how many of them are floats; constants and anchors
    /// are counted if loops use them.
    fn define_and_use(&mut self) -> (u32, u32) {
        let reached = self.workspace.block_count;
        if reached != self.block_count {
            // Records of ops that nothing reaches still serve as records of positions.
            self.workspace.values.fill(record_of(0, 0));
        }
        self.workspace.values[self.op_count as usize..].fill(record_of(0, INFO_REMATERIALIZED));
        let mut pass = Forward {
            program: self.program,
            set: self.set,
            first_op: self.first_op,
            first_block: self.first_block,
            op_count: self.op_count,
            block: 0,
            point: Point::default(),
            last_way_out: 0,
            outgoing: 0,
            value_count: 0,
            float_count: 0,
            growing: self.growing,
            reserved: self.reserved,
            values: self.workspace.values,
            blocks: self.workspace.blocks,
            loops: self.workspace.loops,
            loop_at_depth: self.workspace.loop_at_depth,
        };
        for &block in &self.workspace.order[..reached as usize] {
            let record = &self.program.blocks[(self.first_block + block) as usize];
            pass.block(block, record);
        }
        let counts = (pass.value_count, pass.float_count);
        self.outgoing_words = pass.outgoing;
        counts
    }

    /// Counts live values at each position, and finds the loops that have more of them somewhere than there are registers.
    ///
    /// Both banks are counted in one number, floats 2^32 each: what two such numbers carry into each other stays
    /// consistent, as long as no count ends up negative.
    fn measure_pressure(&mut self) {
        // The words for next uses hold, less 1, how the counts change at the position that is the record's index.
        for anchor in self.op_count as usize..self.workspace.values.len() {
            self.begin_later(anchor as u32);
        }
        let room = self.room();
        let mut live = 0u64;
        for at in 0..self.workspace.block_count as usize {
            let block = self.workspace.order[at] as usize;
            let innermost = self.workspace.blocks[block][BLOCK_LOOP];
            let start = self.workspace.blocks[block][BLOCK_START];
            let record = self.block_record(block as u32);
            let mut left = room.wrapping_sub(live);
            let values = &mut *self.workspace.values;
            for number in 0..record.op_count {
                let value = record.first_op - self.first_op + number;
                let [from, to, _, _, info, ..] = values[value as usize];
                if info & INFO_REMATERIALIZED != 0 {
                    if from != 0 && to > from {
                        count_between(values, from, to, info);
                    }
                } else if to > from {
                    live = live.wrapping_add(one_of(info));
                    change(&mut values[(to / 2) as usize], one_of(info).wrapping_neg());
                }
                let at = &mut values[(start + number) as usize];
                live = live.wrapping_add(changes(at)).wrapping_add(1);
                at[NEXT] = NONE;
                at[NEXT + 1] = NONE;
                left &= room.wrapping_sub(live);
            }
            if innermost != NONE {
                let crowded = &mut self.workspace.loops[innermost as usize][LOOP_CROWDED];
                if left & ROOM_LEFT & INTS == 0 {
                    *crowded |= LOOP_CROWDED_INTS;
                }
                if left & ROOM_LEFT & FLOATS == 0 {
                    *crowded |= LOOP_CROWDED_FLOATS;
                }
            }
        }
        self.widen_loops();
    }

    /// Counts an anchor that loops use from its first use in one to its last.
    fn begin_later(&mut self, value: u32) {
        let [from, to, _, _, info, ..] = self.workspace.values[value as usize];
        if from != 0 && to > from {
            count_between(self.workspace.values, from, to, info);
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
            parent[LOOP_CROWDED] |= inner[LOOP_CROWDED];
        }
    }
}

/// The record of a value that begins at a position, before anything uses it.
fn record_of(start: u32, info: u32) -> [u32; VALUE_WORDS] {
    [start, start, 0, NO_REGISTER, info, NONE, NONE, NONE]
}

/// Where a block begins.
fn point_of(
    blocks: &[[u32; BLOCK_WORDS]],
    loops: &[[u32; LOOP_WORDS]],
    block: u32,
    first: u32,
) -> Point {
    let record = &blocks[block as usize];
    let innermost = record[BLOCK_LOOP];
    let (mut depth, mut loop_start, mut loop_end) = (0, 0, NONE);
    if innermost != NONE {
        let record = &loops[innermost as usize];
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
        first,
    }
}

/// One value of a bank, as pressure is counted.
#[inline(always)]
fn one_of(info: u32) -> u64 {
    if info & INFO_FLOAT != 0 { 1 << 32 } else { 1 }
}

/// The bits of [`FunctionCompiler::room`] above its counts.
const ROOM_LEFT: u64 = 1 << 63 | 1 << 31;

/// How the counts change at a position, less 1.
#[inline(always)]
fn changes(record: &[u32; VALUE_WORDS]) -> u64 {
    u64::from(record[NEXT]) | u64::from(record[NEXT + 1]) << 32
}

#[inline(always)]
fn change(record: &mut [u32; VALUE_WORDS], by: u64) {
    let changed = changes(record).wrapping_add(by);
    record[NEXT] = changed as u32;
    record[NEXT + 1] = (changed >> 32) as u32;
}

/// Counts a value that is made again from one place on to another.
fn count_between(values: &mut Values, from: u32, to: u32, info: u32) {
    change(&mut values[(from / 2) as usize], one_of(info));
    change(&mut values[(to / 2) as usize], one_of(info).wrapping_neg());
}

/// The forward pass over the ops.
struct Forward<'f> {
    program: &'f Program<'f>,
    set: &'static StencilSet,
    first_op: u32,
    first_block: u32,
    op_count: u32,
    /// Where the pass is.
    block: u32,
    point: Point,
    /// Twice the position of the last op of a block with an edge that leads out of the block's innermost loop.
    last_way_out: u32,
    /// The most words so far for what a call or a block is passed in memory.
    outgoing: u32,
    /// How many values there are, and how many of them are floats.
    value_count: u32,
    float_count: u32,
    /// The regions that grow, a bit for each.
    growing: u32,
    reserved: Reserved,
    /// The tables of the workspace.
    values: &'f mut Values,
    blocks: &'f [[u32; BLOCK_WORDS]],
    loops: &'f mut [[u32; LOOP_WORDS]],
    loop_at_depth: &'f mut [u32],
}

impl Forward<'_> {
    fn block(&mut self, block: u32, record: &Block) {
        self.block = block;
        self.point = point_of(
            self.blocks,
            self.loops,
            block,
            record.first_op - self.first_op,
        );
        if self.point.innermost != NONE {
            let depth = self.point.depth as usize;
            self.loop_at_depth[depth] = self.point.innermost;
        }
        if block != 0 {
            self.outgoing = self.outgoing.max(record.parameter_count);
        }
        let ops = &self.program.ops[record.first_op as usize..][..record.op_count as usize];
        for (op, value) in ops.iter().zip(self.point.first..) {
            self.op(value, op);
            self.point.now += 2;
        }
    }

    #[inline(always)]
    fn op(&mut self, value: u32, op: &Op) {
        let brief = Brief::of(op.code);
        let mut facts = u32::from(brief.facts);
        if brief.is_typed_by_record() {
            facts = facts_of(op.result());
        }
        // A constant can be made anywhere, so it begins where it is first used in a loop.
        let start = if facts & INFO_REMATERIALIZED != 0 {
            0
        } else {
            self.value_count += u32::from(brief.gives());
            if facts & INFO_FLOAT != 0 {
                self.float_count += 1;
            }
            self.point.now
        };
        self.values[value as usize] = record_of(start, facts);
        match brief.shape {
            Shape::Parameter | Shape::Result | Shape::Constant | Shape::FunctionIndex => return,
            Shape::Unary | Shape::Tag => self.keep(op.a - self.first_op),
            Shape::Binary => self.binary(value, op),
            Shape::Load | Shape::Store if !brief.is_raw() => {
                // A constant index becomes part of the displacement.
                if self.fact(op.a) & INFO_REMATERIALIZED == 0 {
                    self.keep(op.a - self.first_op);
                }
                if brief.operand_count > 1 {
                    self.keep(op.b - self.first_op);
                }
                self.keep(self.op_count + 1 + op.region() as u32);
                self.keep_size(op);
            }
            _ => {
                self.rare(op);
                return;
            }
        }
        if brief.leaves() {
            self.snapshot(op);
        }
    }

    /// How long the region of an access is, where a check asks for it.
    #[inline(always)]
    fn keep_size(&mut self, op: &Op) {
        if self.growing >> (op.region() & 31) & 1 != 0
            && !op.is_in_bounds()
            && !may_fault(self.program, self.reserved, op)
        {
            self.keep(size_anchor(self.program, self.op_count, op.region()));
        }
    }

    #[inline(always)]
    fn fact(&self, operand: u32) -> u32 {
        self.values[(operand - self.first_op) as usize][INFO]
    }

    /// The operands of a binary op, one of which may become an immediate.
    #[inline(always)]
    fn binary(&mut self, value: u32, op: &Op) {
        let constants = (self.fact(op.a) | self.fact(op.b)) & INFO_REMATERIALIZED;
        if constants != 0 {
            self.binary_with_constant(value, op);
            return;
        }
        self.keep(op.a - self.first_op);
        self.keep(op.b - self.first_op);
    }

    fn binary_with_constant(&mut self, value: u32, op: &Op) {
        let as_it_stands = immediate_of(self.program, self.set, op, false);
        let swapped = || immediate_of(self.program, self.set, op, true);
        let record = &mut self.values[value as usize];
        if let Some(immediate) = as_it_stands {
            record[INFO] |= INFO_IMMEDIATE;
            record[IMMEDIATE] = immediate as u32;
            self.keep(op.a - self.first_op);
        } else if let Some(immediate) = swapped() {
            record[INFO] |= INFO_IMMEDIATE | INFO_SWAPPED;
            record[IMMEDIATE] = immediate as u32;
            self.keep(op.b - self.first_op);
        } else {
            self.keep(op.a - self.first_op);
            self.keep(op.b - self.first_op);
        }
    }

    /// Ops that are not most of a program.
    #[inline(never)]
    fn rare(&mut self, op: &Op) {
        let brief = Brief::of(op.code);
        let first = op.a.wrapping_sub(self.first_op);
        match brief.shape {
            Shape::Select => {
                if can_choose(self.set, op.code, self.program.ops[op.a as usize].code) {
                    self.keep_condition(op.a);
                } else {
                    self.keep(first);
                }
                self.keep(op.b - self.first_op);
                self.keep(op.c - self.first_op);
            }
            Shape::Guard => self.keep_condition(op.a),
            Shape::Branch => {
                self.keep_condition(op.a);
                self.keep_edge(op.c);
                self.keep_edge(op.b);
            }
            Shape::Load | Shape::Store | Shape::Update | Shape::CompareExchange => {
                self.keep(first);
                if brief.operand_count > 1 {
                    self.keep(op.b - self.first_op);
                }
                if brief.operand_count > 2 {
                    self.keep(self.program.extra[op.c as usize + 2] - self.first_op);
                }
                if !brief.is_raw() {
                    self.keep(self.op_count + 1 + op.region() as u32);
                    self.keep_size(op);
                }
            }
            Shape::SlotGet => self.keep(self.op_count),
            Shape::SlotSet => {
                self.keep(first);
                self.keep(self.op_count);
            }
            Shape::Jump => {
                self.keep_edge(op.b);
                if self.point.innermost != NONE {
                    self.find_successors(op.b);
                }
            }
            Shape::Switch => {
                self.keep(first);
                let count = self.program.extra[op.b as usize];
                for number in 0..=count {
                    self.keep_edge(self.program.extra[(op.b + 1 + number) as usize]);
                }
            }
            Shape::Return => self.keep_arguments(op.b),
            Shape::Call | Shape::CallCell | Shape::ReturnCall => {
                self.keep_arguments(op.b);
                self.note_call(LOOP_CALLS_PROGRAM);
            }
            Shape::CallIndirect => {
                self.keep(first);
                self.keep_arguments(op.b + 1);
                self.note_call(LOOP_CALLS_PROGRAM);
            }
            Shape::CallHost => {
                self.keep_list(op.b);
                let signature = self.program.hosts[op.a as usize].signature;
                let results = self.program.results(signature).len();
                let most = self.program.list(op.b).len().max(results) as u32;
                self.outgoing = self.outgoing.max(most);
                self.note_call(LOOP_CALLS_HOST);
            }
            _ => {}
        }
        if brief.leaves() {
            self.snapshot(op);
        }
    }

    /// What an op's exit names is kept until the op is done.
    #[inline]
    fn snapshot(&mut self, op: &Op) {
        let program = self.program;
        if let Some(exit) = program.exit_of(op)
            && program.exits[exit as usize].entry_count != 0
        {
            self.keep_entries(&program.exits[exit as usize]);
        }
    }

    #[inline(never)]
    fn keep_entries(&mut self, exit: &Exit) {
        self.point.now += 1;
        for pair in self.program.snapshot(exit).chunks_exact(2) {
            self.keep(pair[1] - self.first_op);
        }
        self.point.now -= 1;
    }

    /// A use of a value by its index in the function, anchors included.
    #[inline(always)]
    fn keep(&mut self, value: u32) {
        let record = &mut self.values[value as usize];
        let info = record[INFO];
        // Where there was a use, the bit above is set as well.
        record[INFO] = info | 1 | (info & 1) << 1;
        if record[START] < self.point.loop_start {
            self.keep_through_loop(value);
        } else {
            record[END] = record[END].max(self.point.now);
        }
    }

    /// A use inside a loop of a value from outside.
    #[inline(never)]
    fn keep_through_loop(&mut self, value: u32) {
        let record = &mut self.values[value as usize];
        // The innermost loop around the use that holds the definition, too: the last that begins before it. The loop at
        // hand does not.
        let (mut inside, mut outside) = (0, self.point.depth);
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
                record[START] = self.point.now;
                self.value_count += 1;
                self.float_count += u32::from(record[INFO] & INFO_FLOAT != 0);
            }
            remember(&mut self.loops[self.point.innermost as usize], value);
        }
    }

    /// A use as a condition: should it be fused, the comparison's operands are used here as well. Further uses as a
    /// condition do not count as long as there are no others.
    fn keep_condition(&mut self, condition: u32) {
        let local = condition - self.first_op;
        let is_near = local >= self.point.first;
        if !is_near || !is_fused(self.values[local as usize][INFO]) {
            self.keep(local);
        }
        let op = self.program.ops[condition as usize];
        let facts = self.values[local as usize][INFO];
        if facts & INFO_USES == 1
            && is_near
            && (Brief::of(op.code).compares() || self.tests_bits(local, op.code))
        {
            let mut fused = INFO_CONDITION;
            let (mut first, second) = operands(&op, facts);
            let tested = first - self.first_op;
            if tested >= self.point.first && self.compares_with_zero(local, op.code) {
                let test = self.program.ops[first as usize];
                let tested_facts = self.values[tested as usize][INFO];
                if self.tests_bits(tested, test.code)
                    && (tested_facts & INFO_USES == 1 || facts & INFO_TESTS_BITS != 0)
                {
                    // The bits are tested where the outcome is used.
                    self.values[tested as usize][INFO] |= INFO_CONDITION;
                    fused |= INFO_TESTS_BITS;
                    (first, _) = operands(&test, tested_facts);
                }
            }
            self.values[local as usize][INFO] |= fused;
            self.keep(first - self.first_op);
            if let Some(second) = second {
                self.keep(second - self.first_op);
            }
        }
    }

    /// Whether a value is some of an operand's lowest eight bits.
    fn tests_bits(&self, value: u32, code: Opcode) -> bool {
        let record = &self.values[value as usize];
        matches!(code, Opcode::I32And | Opcode::I64And)
            && record[INFO] & INFO_IMMEDIATE != 0
            && (1..=0xff).contains(&record[IMMEDIATE])
    }

    /// Whether a comparison tells zero from everything else.
    fn compares_with_zero(&self, value: u32, code: Opcode) -> bool {
        use Opcode::*;
        let record = &self.values[value as usize];
        match code {
            I32Eqz | I64Eqz => true,
            I32Eq | I64Eq | I32Ne | I64Ne => {
                record[INFO] & INFO_IMMEDIATE != 0 && record[IMMEDIATE] == 0
            }
            _ => false,
        }
    }

    /// An edge: what it passes, and whether it leads out of a loop.
    #[inline(always)]
    fn keep_edge(&mut self, edge: u32) {
        let edge = self.program.edge(edge);
        let target = (edge.block - self.first_block) as usize;
        let starts = 2 * self.blocks[target][BLOCK_START];
        let stays = starts > self.point.now && starts < self.point.loop_end;
        if !stays && starts != self.point.loop_start {
            self.last_way_out = self.point.now;
        }
        if !edge.arguments.is_empty() {
            self.keep_edge_arguments(edge);
        }
    }

    /// What is passed to a block should be where the block's parameter will be. A constant is made there, and
    /// needs no register until then.
    #[inline(never)]
    fn keep_edge_arguments(&mut self, edge: Edge) {
        let first = self.program.blocks[edge.block as usize].first_op - self.first_op;
        for (parameter, &argument) in (first..).zip(edge.arguments) {
            let argument = argument - self.first_op;
            if self.values[argument as usize][INFO] & INFO_REMATERIALIZED == 0 {
                if parameter >> (32 - INFO_HINT_SHIFT) == 0 {
                    self.hint(argument, INFO_HINT_PARAMETER | parameter << INFO_HINT_SHIFT);
                }
                self.keep(argument);
            }
        }
    }

    /// In a loop, at the end of its round: a parameter of the loop's head that what it becomes was computed from, or after
    /// its last use, is not needed from there on, though code behind the loop may use it. So its register is free for
    /// what it becomes.
    fn find_successors(&mut self, edge: u32) {
        let edge = self.program.edge(edge);
        let first = self.program.blocks[edge.block as usize].first_op - self.first_op;
        let head = edge.block - self.first_block;
        let starts = 2 * self.blocks[head as usize][BLOCK_START];
        if starts != self.point.loop_start {
            return;
        }
        // Where all of the loop has been seen, the value may be from before, if no way out lies between.
        let since = if self.point.now + 1 == self.point.loop_end {
            self.last_way_out
        } else {
            2 * self.blocks[self.block as usize][BLOCK_START]
        };
        for (parameter, &argument) in (first..).zip(edge.arguments) {
            let argument = argument - self.first_op;
            let [start, _, _, _, info, ..] = self.values[argument as usize];
            if start >= since
                && info & INFO_HINTED != 0
                && info & INFO_HINT_PARAMETER != 0
                && info >> INFO_HINT_SHIFT == parameter
                && self.values[parameter as usize][END] <= start
            {
                self.values[argument as usize][INFO] |= INFO_SUCCEEDS;
            }
        }
    }

    /// What is passed to a function should be where the convention wants it.
    fn keep_arguments(&mut self, list: u32) {
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
                if let Some(register) = register {
                    self.hint(argument, register << INFO_HINT_SHIFT);
                }
                self.keep(argument);
            }
        }
    }

    fn keep_list(&mut self, at: u32) {
        for &argument in self.program.list(at) {
            if self.fact(argument) & INFO_REMATERIALIZED == 0 {
                self.keep(argument - self.first_op);
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

    fn note_call(&mut self, what: u32) {
        if self.point.innermost != NONE {
            self.loops[self.point.innermost as usize][LOOP_CALLS] |= what;
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
