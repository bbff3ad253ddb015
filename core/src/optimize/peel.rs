//! Peeling: a loop's first round is made before the loop, by walking its blocks twice.
//!
//! ```text
//!   before            after
//!   preheader         preheader
//!       │                 │
//!   ┌─> head          copy of head        checks what never changes, and the types of what is carried round
//!   │   ...           copy of ...         edges back lead to the loop
//!   └── latch             │
//!                     ┌─> head            finds it checked and computed: no pass of its own takes it out
//!                     │   ...
//!                     └── latch
//! ```
//!
//! This is how traces lose their guards (LuaJIT's copy-substitution): a snapshot that is valid for the first round is in the copy. A loop
//! is peeled if nothing leaves it but exits, and ways that only it leads to and that end by exits or go back to loops around it: these
//! are copied, too, and no other block can use its values but as arguments of edges; if no other loop is in it; if it checks
//! something; and as long as all copies together are no larger than the function. Blocks of the copy have records of their own. When it is
//! walked, what was made in blocks that every round goes through counts as made at the loop's head, where it dominates the loop; other
//! values of the copy count as made nowhere.

use super::learn::Asked;
use super::order;
use super::passes::Pass;
use super::walk::{Phase, Walk};
use super::workspace::{
    BLOCK, COMING, FLAG_LOOP, FLAG_PEELED, FLAG_TANGLED, FLAG_VERSIONED, FLAGS, NOTE_BLOCK, PEEL,
    PENDING, POSITION,
};
use crate::error::Error;
use crate::ir::NONE;
use crate::ops::{Shape, flags};

impl Walk<'_, '_, '_, '_> {
    /// Chooses the loops that are peeled.
    pub fn choose_loops(&mut self) {
        if !self.steps.may(Pass::Peel) || self.order.verbatim {
            return;
        }
        let mut position = 0;
        while position < self.order.count {
            let block = self.workspace.order[position as usize];
            let record = &self.workspace.blocks[block as usize];
            let loops = record[FLAGS] & (FLAG_LOOP | FLAG_TANGLED) == FLAG_LOOP;
            let mut next = position + 1;
            if loops && let Some((end, ops)) = self.can_be_peeled(position) {
                self.steps.did(Pass::Peel, ops);
                self.peels = true;
                self.ahead += ops;
                let versioned = self.can_be_versioned(position, end);
                self.prepare_copy(position, end, versioned);
                next = end + 1;
            }
            position = next;
        }
    }

    /// The place of the last block of a loop and of what only it leads to, and how many ops these have, if it is one to peel.
    fn can_be_peeled(&self, head: u32) -> Option<(u32, u32)> {
        let (program, first) = (self.program, self.function.first_block);
        let head_block = first + self.workspace.order[head as usize];
        let mut end = head;
        let mut edge = self.workspace.blocks[(head_block - first) as usize][COMING];
        while edge != NONE {
            let [_, from, next] = self.workspace.edges[edge as usize];
            end = end.max(from);
            edge = next;
        }
        let (mut ops, mut checks, mut closed) = (0, false, true);
        let left = self.draft.len() as u32 - self.ahead;
        let mut position = head;
        while position <= end {
            let block = self.workspace.order[position as usize];
            let record = &program.blocks[(first + block) as usize];
            let inner =
                position != head && self.workspace.blocks[block as usize][FLAGS] & FLAG_LOOP != 0;
            ops += record.op_count;
            if inner || ops > left / 2 || !self.verified.dominates(head_block, first + block) {
                return None;
            }
            order::for_each_edge(program, record, |at| {
                let target = program.extra[at as usize];
                let place = self.workspace.blocks[(target - first) as usize][POSITION];
                // Forward it may go where only the loop leads, and back to loops around it.
                if self.verified.dominates(head_block, target) {
                    end = end.max(place);
                } else {
                    closed &= place < head;
                }
            });
            let body = &program.ops[record.first_op as usize..][..record.op_count as usize];
            checks |= body.iter().any(|op| op.code.info().has(flags::LEAVES));
            closed &= body.last().is_some_and(|op| {
                !matches!(op.code.info().shape, Shape::Return | Shape::ReturnCall)
            });
            position += 1;
        }
        (closed && checks).then_some((end, ops))
    }

    /// Makes records for the copy's blocks, and tells edges to the loop apart.
    fn prepare_copy(&mut self, head: u32, end: u32, versioned: bool) {
        let count = self.function.block_count;
        let (program, first) = (self.program, self.function.first_block);
        for position in head..=end {
            let block = self.workspace.order[position as usize];
            let record = self.workspace.blocks[block as usize];
            self.workspace.blocks[(block + count) as usize] = record;
            // The copy goes back to loops around it, too.
            let body = &program.blocks[(first + block) as usize];
            order::for_each_edge(program, body, |at| {
                let target =
                    &mut self.workspace.blocks[(program.extra[at as usize] - first) as usize];
                target[PENDING] += u32::from(target[POSITION] < head);
            });
        }
        let block = self.workspace.order[head as usize];
        let mut edge = self.workspace.blocks[block as usize][COMING];
        let mut back = 0;
        while edge != NONE {
            let [_, from, next] = self.workspace.edges[edge as usize];
            back += u32::from(from >= head);
            edge = next;
        }
        let copy = &mut self.workspace.blocks[(block + count) as usize];
        if !versioned {
            copy[PENDING] -= back;
            copy[FLAGS] &= !FLAG_LOOP;
        }
        let record = &mut self.workspace.blocks[block as usize];
        if versioned {
            record[FLAGS] |= FLAG_VERSIONED;
        }
        record[PENDING] = 2 * back;
        record[FLAGS] |= FLAG_PEELED;
        record[PEEL] = end;
    }

    /// Walks a loop's copy and the loop; gives the place behind it.
    pub fn walk_peeled(&mut self, head: u32) -> Result<u32, Error> {
        let block = self.workspace.order[head as usize];
        let end = self.workspace.blocks[block as usize][PEEL];
        let (values, notes, edges) = (self.used, self.notes, self.edges);
        self.begin_version(block);
        self.phase = Phase::Copy(head, end);
        self.generation = self.generation.wrapping_add(1);
        for position in head..=end {
            let copied = self.workspace.order[position as usize] + self.function.block_count;
            self.walk_if_reached(copied)?;
        }
        self.choose_unboxed(block)?;
        let first_note = self.note_arguments(block);
        self.note_positive(first_note);
        self.workspace.blocks[block as usize][PEEL] = first_note;
        self.move_to_head(head, end, values, notes);
        self.move_edges_out(block, edges);
        self.phase = Phase::Loop(head, end);
        self.generation = self.generation.wrapping_add(1);
        for position in head..=end {
            let block = self.workspace.order[position as usize];
            self.walk_if_reached(block)?;
        }
        self.phase = Phase::Outside;
        self.generation = self.generation.wrapping_add(1);
        Ok(end + 1)
    }

    /// On the copy's edges back to loops around it holds what held before the loop: what is known of its blocks from now on is known of
    /// the loop behind it.
    fn move_edges_out(&mut self, head: u32, edges: u32) {
        let before = self
            .verified
            .immediate_dominator(self.function.first_block + head);
        let place = self.workspace.blocks[head as usize][POSITION];
        for number in edges..self.edges {
            let [at, _, next] = self.workspace.edges[number as usize];
            let target = self.extra.get(at).copied().unwrap_or(NONE);
            let blocks = &*self.workspace.blocks;
            if blocks
                .get(target as usize)
                .is_some_and(|block| block[POSITION] < place)
            {
                self.workspace.edges[number as usize] = [at, before, next];
            }
        }
    }

    /// What the copy made in blocks that every round goes through was made at the head from now on, the rest nowhere.
    fn move_to_head(&mut self, head: u32, end: u32, values: u32, notes: u32) {
        self.asked = Asked::NONE;
        let (program, first) = (self.program, self.function.first_block);
        let head_block = self.workspace.order[head as usize];
        // The last block that every round goes through dominates all that come back.
        let mut last = NONE;
        let mut edge = self.workspace.blocks[head_block as usize][COMING];
        while edge != NONE {
            let [_, from, next] = self.workspace.edges[edge as usize];
            edge = next;
            if from < head {
                continue;
            }
            let source = first + self.workspace.order[from as usize];
            if last == NONE {
                last = source;
            }
            while last != NONE && !self.verified.dominates(last, source) {
                last = self.verified.immediate_dominator(last);
            }
        }
        // Nobody asks for the program's edges to a copy: the word says where its values count as made.
        for position in head..=end {
            let block = self.workspace.order[position as usize];
            let every = self.verified.dominates(first + block, last);
            let copy = (block + self.function.block_count) as usize;
            self.workspace.blocks[copy][COMING] = if every { first + head_block } else { NONE };
            let record = &program.blocks[(first + block) as usize];
            let ops = (record.first_op - self.function.first_op) as usize;
            self.workspace.map[ops..ops + record.op_count as usize].fill(NONE);
        }
        let copies = self.function.block_count;
        let blocks = &*self.workspace.blocks;
        let moved = |block: u32| match block.checked_sub(first) {
            Some(local) if block != NONE => {
                let place = blocks[local as usize][POSITION];
                if head <= place && place <= end {
                    blocks[(local + copies) as usize][COMING]
                } else {
                    block
                }
            }
            _ => block,
        };
        for record in &mut self.workspace.values[values as usize..self.used as usize] {
            record[BLOCK] = moved(record[BLOCK]);
        }
        for record in &mut self.workspace.notes[notes as usize..self.notes as usize] {
            record[NOTE_BLOCK] = moved(record[NOTE_BLOCK]);
        }
    }
}
