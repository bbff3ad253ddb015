//! Block parameters without their boxes.
//!
//! ```text
//!   jump head(box x)                    jump head(x)
//!   head(p: i64):                ->     head(q: i32):
//!       ... p ...                           p = box q          what uses p finds a box: tests are known, unboxes are q,
//!                                           ... p ...          and snapshots box on the exit's path
//! ```
//!
//! A parameter that every edge gives a box of one kind carries what is in it. A word of which tag and all other bits around what it
//! carries are known is as good as a box of an integer: it is unboxed in front of the edge. Of floats only boxes are, since words may
//! have NaNs that no box has. At least one edge must have a box, or nothing would be gained.
//!
//! Of edges that come back the arguments are not made yet: they are looked at as they stand in the program. An argument that is another
//! parameter of the block is taken for a box if that parameter is; this is assumed of all first, and taken back until it agrees
//! ([`ROUNDS`] times at most, then of all that rest on others).
//!
//! Takes a block whose parameters are about to begin; promises edges that pass what the parameters carry, those that are made later
//! too. Costs a constant for each argument of an edge.

use super::passes::Pass;
use super::rules;
use super::walk::{Fault, Walk};
use super::workspace::{
    COMING, FLAG_DONE, FLAG_LOOP, FLAG_TANGLED, FLAGS, HEAD, INCOMING, PENDING, POSITION,
};
use crate::error::Error;
use crate::ir::{NONE, Op, Tag};
use crate::ops::{Opcode, evaluate_tag};
use crate::types::Type;

/// How often assumptions are looked at again.
const ROUNDS: u32 = 4;

/// How a parameter was boxed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Boxing {
    /// The op that makes the box.
    pub code: Opcode,
    /// The tag's index.
    pub tag: u16,
}

impl Boxing {
    /// What an op makes, if it is one that a parameter can do without.
    fn of(program: &crate::ir::Program, op: &Op) -> Option<Boxing> {
        let tag = program.tag_of(op);
        let serves = match op.code {
            Opcode::I64BoxI32 | Opcode::I64Box => true,
            // The word is the float.
            Opcode::I64BoxF64 => (tag.mask, tag.shift) == (0, 0),
            _ => false,
        };
        serves.then_some(Boxing {
            code: op.code,
            tag: op.aux,
        })
    }

    /// As the second operand of a parameter's op in the draft, which has none.
    pub fn into_word(self) -> u32 {
        let kind = match self.code {
            Opcode::I64BoxI32 => 1,
            Opcode::I64Box => 2,
            _ => 3,
        };
        kind << 16 | u32::from(self.tag)
    }

    /// Of a parameter's op in the draft, if it carries what was boxed.
    pub fn from_word(word: u32) -> Option<Boxing> {
        let code = match word >> 16 {
            1 => Opcode::I64BoxI32,
            2 => Opcode::I64Box,
            3 => Opcode::I64BoxF64,
            _ => return None,
        };
        Some(Boxing {
            code,
            tag: word as u16,
        })
    }

    /// The type of what is boxed.
    fn carries(self) -> Type {
        match self.code {
            Opcode::I64BoxI32 => Type::I32,
            Opcode::I64Box => Type::I64,
            _ => Type::F64,
        }
    }

    /// What a word carries.
    pub fn take_off(self, tag: &Tag, word: u64) -> u64 {
        match self.code {
            Opcode::I64BoxI32 => u64::from(tag.take_off(word) as u32),
            Opcode::I64Box => tag.take_off(word),
            _ => word,
        }
    }

    /// Whether boxing what a word carries gives the word again.
    fn makes(self, tag: &Tag, word: u64) -> bool {
        evaluate_tag(self.code, tag, self.take_off(tag, word)) == Some(word)
    }
}

impl Walk<'_, '_, '_, '_> {
    /// What a draft parameter of a block's record carries without its box.
    pub fn boxing(&self, block: u32, index: u32) -> Option<Boxing> {
        if self.program.tags.is_empty() {
            return None;
        }
        let record = &self.workspace.blocks[block as usize];
        if record[FLAGS] & FLAG_DONE == 0 {
            return None;
        }
        Boxing::from_word(self.draft[(record[HEAD] + index) as usize].b)
    }

    /// What is in a word of which it is known that this boxing made it, or might have.
    pub fn without_box(&mut self, word: u32, boxing: Boxing) -> Result<u32, Fault> {
        let op = self.draft[word as usize];
        if op.code == boxing.code && op.aux == boxing.tag {
            return Ok(op.a);
        }
        if let Some(bits) = rules::constant_of(&op) {
            let tag = &self.program.tags[usize::from(boxing.tag)];
            return self.constant(boxing.carries(), boxing.take_off(tag, bits));
        }
        let (code, aux) = match boxing.code {
            Opcode::I64BoxI32 => (Opcode::I32Unbox, boxing.tag),
            Opcode::I64Box => (Opcode::I64UnboxU, boxing.tag),
            _ => (Opcode::F64ReinterpretI64, 0),
        };
        self.pure(Op {
            code,
            aux,
            a: word,
            b: 0,
            c: 0,
        })
    }

    /// Chooses the parameters of a block that go without their boxes, by its record. The table of values that wait, which nobody needs
    /// before the sweep, says of each how it was boxed; the edges that were made pass what is in the boxes from now on.
    pub fn choose_unboxed(&mut self, block: u32) -> Result<(), Error> {
        // Without tags nothing is boxed.
        if self.program.tags.is_empty() {
            return Ok(());
        }
        let count = self.program.blocks[self.program_block(block) as usize].parameter_count;
        self.workspace.stack[..count as usize].fill(NONE);
        let record = self.workspace.blocks[block as usize];
        let comes_back = record[PENDING] != 0;
        if block == 0
            || self.order.verbatim
            || !self.steps.may(Pass::Unbox)
            || (comes_back && record[FLAGS] & (FLAG_LOOP | FLAG_TANGLED) != FLAG_LOOP)
        {
            return Ok(());
        }
        for index in 0..count {
            if self.known_parameter(block, index).is_none()
                && let Some(boxing) = self.first_boxing(block, index, comes_back)
            {
                self.workspace.stack[index as usize] = boxing.into_word();
            }
        }
        // What gets no box of its own may get that of another parameter.
        for index in 0..count {
            if self.workspace.stack[index as usize] == NONE
                && comes_back
                && self.known_parameter(block, index).is_none()
            {
                let word = self.boxing_of_another(block, index, count);
                self.workspace.stack[index as usize] = word;
            }
        }
        for round in 0..=ROUNDS {
            let mut changed = false;
            for index in 0..count {
                let Some(boxing) = self.chosen(index) else {
                    continue;
                };
                if !self.is_always_boxed(block, index, boxing, comes_back, round < ROUNDS) {
                    self.workspace.stack[index as usize] = NONE;
                    changed = true;
                }
            }
            if !changed {
                break;
            }
        }
        let chosen = self.workspace.stack[..count as usize].iter();
        let chosen = chosen.filter(|&&word| word != NONE).count() as u32;
        let mut edges = record[PENDING];
        let mut edge = record[INCOMING];
        while edge != NONE {
            edges += 1;
            edge = self.workspace.edges[edge as usize][2];
        }
        // All or none, since they may rest on each other. What stands in front of edges is made for certain, so its room is taken now.
        let room = chosen.saturating_mul(2 * edges + 2);
        // No op of the block is walked yet, and all of the one before it are.
        self.block_start = self.source;
        let room = room.min(self.draft.len() as u32);
        self.ahead += room;
        if chosen == 0 || !self.has_room() {
            self.ahead -= room;
            self.workspace.stack[..count as usize].fill(NONE);
            return Ok(());
        }
        self.steps.did(Pass::Unbox, chosen);
        for index in 0..count {
            if let Some(boxing) = self.chosen(index) {
                self.unbox_edges(block, index, boxing)?;
            }
        }
        Ok(())
    }

    /// The boxing of the first edge that passes a box for a parameter.
    fn first_boxing(&self, block: u32, index: u32, comes_back: bool) -> Option<Boxing> {
        let program = self.program;
        let op = &program.ops
            [(program.blocks[self.program_block(block) as usize].first_op + index) as usize];
        if op.result() != Some(Type::I64) {
            return None;
        }
        let mut edge = self.workspace.blocks[block as usize][INCOMING];
        while edge != NONE {
            let [at, _, next] = self.workspace.edges[edge as usize];
            let argument = self.extra.get(at + 2 + index).copied()?;
            let boxing = Boxing::of(program, &self.draft[argument as usize]);
            if boxing.is_some() {
                return boxing;
            }
            edge = next;
        }
        if !comes_back {
            return None;
        }
        let position = self.workspace.blocks[block as usize][POSITION];
        let mut edge = self.workspace.blocks[self.original(block) as usize][COMING];
        while edge != NONE {
            let [at, from, next] = self.workspace.edges[edge as usize];
            let argument = program.extra[(at + 2 + index) as usize];
            let boxing = Boxing::of(program, &program.ops[argument as usize]);
            if from >= position && boxing.is_some() {
                return boxing;
            }
            edge = next;
        }
        None
    }

    /// How the first other parameter was boxed, by its word, that comes back as this one; [`NONE`] if none does.
    fn boxing_of_another(&self, block: u32, index: u32, count: u32) -> u32 {
        let program = self.program;
        let first = program.blocks[self.program_block(block) as usize].first_op;
        if program.ops[(first + index) as usize].result() != Some(Type::I64) {
            return NONE;
        }
        let position = self.workspace.blocks[block as usize][POSITION];
        let mut edge = self.workspace.blocks[self.original(block) as usize][COMING];
        while edge != NONE {
            let [at, from, next] = self.workspace.edges[edge as usize];
            edge = next;
            let argument = self.unaliased(program.extra[(at + 2 + index) as usize]);
            let own = argument.wrapping_sub(first);
            if from >= position && own < count && self.workspace.stack[own as usize] != NONE {
                return self.workspace.stack[own as usize];
            }
        }
        NONE
    }

    /// Whether each edge passes a box of this kind for a parameter, or a word that is as good.
    fn is_always_boxed(
        &mut self,
        block: u32,
        index: u32,
        boxing: Boxing,
        comes_back: bool,
        trusting: bool,
    ) -> bool {
        let program = self.program;
        let head = self.program_block(block);
        let first = program.blocks[head as usize].first_op;
        let count = program.blocks[head as usize].parameter_count;
        let mut edge = self.workspace.blocks[block as usize][INCOMING];
        while edge != NONE {
            let [at, from, next] = self.workspace.edges[edge as usize];
            edge = next;
            let argument = self.extra.get(at + 2 + index).copied();
            if !argument.is_some_and(|word| self.is_boxed(word, from, boxing)) {
                return false;
            }
        }
        if !comes_back {
            return true;
        }
        let position = self.workspace.blocks[block as usize][POSITION];
        let mut edge = self.workspace.blocks[self.original(block) as usize][COMING];
        while edge != NONE {
            let [at, from, next] = self.workspace.edges[edge as usize];
            edge = next;
            if from < position {
                continue;
            }
            let argument = self.unaliased(program.extra[(at + 2 + index) as usize]);
            let op = &program.ops[argument as usize];
            let own = argument.wrapping_sub(first);
            let boxed = if own < count {
                own == index || trusting && self.workspace.stack[own as usize] == boxing.into_word()
            } else if let Some(bits) = rules::constant_of(op) {
                boxing.makes(&program.tags[usize::from(boxing.tag)], bits)
            } else if Boxing::of(program, op) == Some(boxing) {
                true
            } else {
                // Only what stands in front of the loop has its name for good.
                let place = self.verified.block_of(argument) - self.function.first_block;
                let place = self.workspace.blocks[place as usize][POSITION];
                let known = self.workspace.map[(argument - self.function.first_op) as usize];
                place < position && known != NONE && self.is_boxed(known, head, boxing)
            };
            if !boxed {
                return false;
            }
        }
        true
    }

    /// Whether a word of the draft is, in a block, one that this boxing gives back when it was unboxed.
    fn is_boxed(&mut self, word: u32, block: u32, boxing: Boxing) -> bool {
        let op = self.draft[word as usize];
        let tag = self.program.tags[usize::from(boxing.tag)];
        if let Some(bits) = rules::constant_of(&op) {
            return op.result() == Some(Type::I64) && boxing.makes(&tag, bits);
        }
        if Boxing::of(self.program, &op) == Some(boxing) {
            return true;
        }
        let carried = match boxing.code {
            Opcode::I64BoxI32 => u64::from(u32::MAX),
            Opcode::I64Box => u64::MAX,
            _ => return false,
        };
        let around = !(carried.wrapping_shl(u32::from(tag.shift)) & !tag.mask);
        let fact = self.fact_in(word, block);
        fact.ones & around == tag.bits && (fact.zeros | tag.bits) & around == around
    }

    /// Makes the edges to a block pass what is in a parameter's boxes. What must be unboxed for it is unboxed at the end of the edge's
    /// block.
    fn unbox_edges(&mut self, block: u32, index: u32, boxing: Boxing) -> Result<(), Error> {
        let mut edge = self.workspace.blocks[block as usize][INCOMING];
        let here = self.block;
        while edge != NONE {
            let [at, from, next] = self.workspace.edges[edge as usize];
            let out = self.workspace.edge_outs[edge as usize];
            edge = next;
            let place = at + 2 + index;
            let Some(&word) = self.extra.get(place) else {
                continue;
            };
            let first = self.used;
            self.block = from;
            let value = self.without_box(word, boxing)?;
            self.block = here;
            // Constants stand at the head of the function, where they stand once.
            let elsewhere = self.steps.passes.has(Pass::Common);
            for made in first..self.used {
                if !elsewhere || rules::constant_of(&self.draft[made as usize]).is_none() {
                    self.move_to_end(made, out);
                }
            }
            if let Some(argument) = self.extra.get_mut(place) {
                *argument = value;
            }
        }
        Ok(())
    }

    /// How a parameter of the block that begins was boxed, if it was chosen to go without its box.
    pub fn chosen(&self, index: u32) -> Option<Boxing> {
        if self.program.tags.is_empty() {
            return None;
        }
        let word = self.workspace.stack[index as usize];
        Boxing::from_word(word).filter(|_| word != NONE)
    }

    /// The draft's op of a parameter that was chosen, and the word that stands for it behind the block's parameters.
    pub fn begin_unboxed(&mut self, value: u32, boxing: Boxing) -> Result<u32, Fault> {
        let op = &mut self.draft[value as usize];
        op.aux = boxing.carries() as u16;
        op.b = boxing.into_word();
        let op = Op {
            code: boxing.code,
            aux: boxing.tag,
            a: value,
            b: 0,
            c: 0,
        };
        self.common_or_append(op)
    }
}
