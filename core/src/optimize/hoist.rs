//! Ops of loops that give the same in every round move to where the loop is entered.
//!
//! ```text
//!   before                          after
//!   preheader: jump head(x)         preheader: s = f64.sqrt y          the end of the block from which the loop is entered, if that is
//!                                              guard c else exit 7 [0: x]          one block and it does nothing but enter
//!                                              jump head(x)
//!   head(i):   guard c else         head(i):
//!                 exit 7 [0: i]
//!              ...                             ...
//!              s = f64.sqrt y                  ... s
//! ```
//!
//! *Ops that only compute* move whenever their operands are there: they are total, so that it does not matter that the loop may not
//! come to them. *Guards* move if the first round comes to them before it does anything else that shows, and if all that their
//! snapshot names is there, the head's parameters as what they begin with: then the first round would leave just so, and if it does not,
//! no round does.
//!
//! What moves is alive all through the loop. So there is a bound on how many values may, parameters of the head counted,
//! narrower for ops that cost little; comparisons stay, since they are part of the branch that asks, and constants are nowhere at all.
//!
//! A function of which a loop is peeled is left alone: its blocks may be walked twice, and what was made in them is in one of two places.
//!
//! Promises: the draft stays in an order in which operands come first, since what moves is put into the draft where it was met, and into
//! the output at the end of the preheader. Costs a constant for each op, and for each head of a loop the edges that lead to it.

use super::operands::{A, B, C, traits_of};
use super::passes::Pass;
use super::walk::{Fault, Phase, Walk};
use super::workspace::{
    BLOCK, CARRIED, COMING, FLAG_LOOP, FLAG_PEELED, FLAG_TANGLED, FLAGS, HEAD, INCOMING, LINK,
    LOOP_END, LOOP_OUTER, OUT, OUT_END, OUT_FIRST, OUT_LAST, POSITION, PREHEADER,
};
use crate::error::Error;
use crate::ir::{Exit, NONE, Op};
use crate::ops::{Opcode, flags};
use crate::types::Type;

/// How many loops around an op are looked at.
const MOST_LEVELS: u32 = 4;
/// How many integers may be carried round a loop or through it for an op to move that costs little, and for any other.
const MOST_INTEGERS: [u32; 2] = [4, 7];
/// The same for floats.
const MOST_FLOATS: [u32; 2] = [6, 9];

/// In [`CARRIED`]: one more float. Integers are below.
const ONE_FLOAT: u32 = 1 << 16;

/// Whether an op costs no more than reading its value from a spill slot would.
fn costs_little(code: Opcode) -> bool {
    let info = code.info();
    let float = |ty: Type| ty.is_float();
    let floats = info.result.is_some_and(float) || float(info.operands[0]);
    !floats
        && !matches!(
            code,
            Opcode::I32Mul
                | Opcode::I64Mul
                | Opcode::I32MulHighS
                | Opcode::I64MulHighS
                | Opcode::I32MulHighU
                | Opcode::I64MulHighU
        )
}

impl Walk<'_, '_, '_, '_> {
    /// Notes that a block is going to be walked, by its record, and which loop it is in.
    #[inline]
    pub fn enter_loop(&mut self, block: u32) {
        self.clean = false;
        let loops = self.workspace.blocks[block as usize][FLAGS] & FLAG_LOOP != 0;
        if (loops || self.innermost != NONE)
            && !self.peels
            && self.phase == Phase::Outside
            && self.steps.passes.has(Pass::Hoist)
        {
            self.find_loop(block);
        }
    }

    fn find_loop(&mut self, block: u32) {
        let blocks = &mut *self.workspace.blocks;
        let position = blocks[block as usize][POSITION];
        while self.innermost != NONE && blocks[self.innermost as usize][LOOP_END] < position {
            self.innermost = blocks[self.innermost as usize][LOOP_OUTER];
        }
        let record = blocks[block as usize];
        if record[FLAGS] & (FLAG_LOOP | FLAG_PEELED | FLAG_TANGLED) != FLAG_LOOP {
            return;
        }
        let mut end = position;
        let mut edge = record[COMING];
        while edge != NONE {
            let [_, from, next] = self.workspace.edges[edge as usize];
            end = end.max(from);
            edge = next;
        }
        let mut carried = match blocks.get(self.innermost as usize) {
            Some(outer) => outer[CARRIED],
            None => 0,
        };
        let program = &self.program.blocks[(self.function.first_block + block) as usize];
        let first = program.first_op as usize;
        for op in &self.program.ops[first..first + program.parameter_count as usize] {
            carried += one_more(op);
        }
        let preheader = self.preheader(record[INCOMING]);
        let record = &mut self.workspace.blocks[block as usize];
        record[LOOP_END] = end;
        record[LOOP_OUTER] = self.innermost;
        record[CARRIED] = carried;
        record[PREHEADER] = preheader;
        self.innermost = block;
        self.clean = preheader != NONE;
    }

    /// The block of the program from which the last of these edges comes, if it is the only one and the block does nothing at its end
    /// but go there; or [`NONE`].
    fn preheader(&self, edge: u32) -> u32 {
        let Some(&[at, from, NONE]) = self.workspace.edges.get(edge as usize) else {
            return NONE;
        };
        let out = self.out_of(from);
        let last = self
            .workspace
            .outs
            .get(out as usize)
            .map(|out| out[OUT_END]);
        let last = last.and_then(|end| self.draft.get((end as usize).wrapping_sub(1)));
        match last {
            Some(op) if op.code == Opcode::Jump && op.b == at => from,
            _ => NONE,
        }
    }

    /// The output block that has the ops of a block of the program.
    fn out_of(&self, block: u32) -> u32 {
        self.workspace.blocks[(block - self.function.first_block) as usize][OUT]
    }

    /// Whether a value of the draft is there at the end of a block of the program.
    fn is_there(&self, value: u32, block: u32) -> bool {
        let made = self.workspace.values[value as usize][BLOCK];
        made == block || self.verified.dominates(made, block)
    }

    /// Whether neither of an op's operands was made in the block that is walked: most are, and need not be looked at. Nor
    /// need what is no value, as the index of a function.
    #[inline]
    pub fn is_made_before(&self, op: &Op) -> bool {
        let made_before = |value: u32| {
            let record = self.workspace.values.get(value as usize);
            record.is_some_and(|record| record[BLOCK] != self.block)
        };
        made_before(op.a) && made_before(op.b)
    }

    /// Puts an op that only computes before the loops in which it gives the same in every round, as a step.
    #[inline(never)]
    pub fn hoisted(&mut self, op: &Op) -> Result<Option<u32>, Fault> {
        if self.phase != Phase::Outside || !self.steps.may(Pass::Hoist) {
            return Ok(None);
        }
        let info = op.code.info();
        let traits = traits_of(op.code);
        let operands = &info.operands[..usize::from(info.operand_count)];
        // What a collector moves stays where it is.
        let moves = info.result == Some(Type::Ref) || operands.contains(&Type::Ref);
        if traits & A == 0 || info.has(flags::COMPARES) || moves {
            return Ok(None);
        }
        let more = one_more(op);
        let most = usize::from(!costs_little(op.code));
        let most = [MOST_INTEGERS[most], MOST_FLOATS[most]];
        let (mut target, mut level) = (NONE, self.innermost);
        for _ in 0..MOST_LEVELS {
            let Some(record) = self.workspace.blocks.get(level as usize) else {
                break;
            };
            // A block between a loop's first and last need not be in it.
            let before = record[PREHEADER];
            let there = before != NONE
                && self.verified.dominates(before, self.block)
                && self.is_there(op.a, before)
                && (traits & B == 0 || self.is_there(op.b, before))
                && (traits & C == 0 || self.is_there(op.c, before));
            let carried = record[CARRIED] + more;
            let fits = carried % ONE_FLOAT <= most[0] || more == ONE_FLOAT;
            let fits = fits && (carried / ONE_FLOAT <= most[1] || more != ONE_FLOAT);
            if !there || !fits {
                break;
            }
            target = level;
            level = record[LOOP_OUTER];
        }
        if target == NONE {
            return Ok(None);
        }
        self.steps.did(Pass::Hoist, 1);
        level = self.innermost;
        loop {
            let record = &mut self.workspace.blocks[level as usize];
            record[CARRIED] += more;
            if level == target {
                break;
            }
            level = record[LOOP_OUTER];
        }
        let value = self.append_quiet(*op)?;
        self.move_before(value, target);
        Ok(Some(value))
    }

    /// Puts a guard, over the draft's names but for its exit, before the loop at whose head it stands, as a step.
    #[inline(never)]
    pub fn hoisted_guard(&mut self, op: &Op) -> Result<Option<u32>, Error> {
        if !self.clean || !self.steps.may(Pass::Hoist) {
            return Ok(None);
        }
        let head = self.innermost;
        let Some(record) = self.workspace.blocks.get(head as usize) else {
            return Ok(None);
        };
        let (before, first) = (record[PREHEADER], record[HEAD]);
        let Some(&[at, ..]) = self.workspace.edges.get(record[INCOMING] as usize) else {
            return Ok(None);
        };
        if !self.is_there(op.a, before) {
            return Ok(None);
        }
        let count = self.extra.get(at + 1).copied().unwrap_or(0);
        // What a value is before the loop: a parameter of its head is what it begins with.
        let begins = |walk: &Self, value: u32| {
            let value = walk.name(value);
            let parameter = value.wrapping_sub(first);
            if parameter < count {
                return walk.extra.get(at + 2 + parameter).copied();
            }
            walk.is_there(value, before).then_some(value)
        };
        let program = self.program;
        let record = program.exits[op.c as usize];
        let pairs = program.snapshot(&record).chunks_exact(2);
        if !pairs.clone().all(|pair| begins(self, pair[1]).is_some()) {
            return Ok(None);
        }
        self.steps.did(Pass::Hoist, 1);
        let snapshot = self.extra.used as u32;
        for pair in pairs {
            let value = begins(self, pair[1]).unwrap_or(NONE);
            self.extra.push(pair[0])?;
            self.extra.push(value)?;
        }
        let exit = self.exits.push(Exit { snapshot, ..record })?;
        let value = self.append(Op { c: exit, ..*op })?;
        // Nothing in the loop was done that shows.
        self.clean = true;
        self.move_before(value, head);
        Ok(Some(value))
    }

    /// Moves a value of the draft to the end of the block from which a loop is entered, behind those that were moved there before.
    fn move_before(&mut self, value: u32, head: u32) {
        let before = self.workspace.blocks[head as usize][PREHEADER];
        self.workspace.values[value as usize][BLOCK] = before;
        self.move_to_end(value, self.out_of(before));
    }

    /// Moves a value of the draft to the end of an output block, behind those that were moved there before.
    pub fn move_to_end(&mut self, value: u32, out: u32) {
        self.workspace.values[value as usize][LINK] = NONE;
        let out = &mut self.workspace.outs[out as usize];
        let last = out[OUT_LAST];
        out[OUT_LAST] = value;
        if last == NONE {
            out[OUT_FIRST] = value;
        } else {
            self.workspace.values[last as usize][LINK] = value;
        }
        self.moved = true;
    }
}

/// A value of an op, as [`CARRIED`] counts it.
fn one_more(op: &Op) -> u32 {
    match op.result() {
        Some(ty) if ty.is_float() => ONE_FLOAT,
        _ => 1,
    }
}
