//! The draft: ops of the program copied into it with their operands renamed, what was made already found again.
//!
//! Takes ops with names of the program ([`Walk::name`] gives the draft's) or of the draft; promises that whatever is appended stands
//! behind its operands, with words and exits of its own, and that constants and ops that only compute can be found wherever their
//! block dominates. Costs constant time for each op and word, and for each snapshot entry once for each time that names change;
//! looking something up costs a constant ([`LONGEST_CHAIN`]).

use super::operands::{self, COMMUTES, EFFECT, LEAVES, TOUCHES, traits_of};
use super::passes::Pass;
use super::rules;
use super::walk::{Fault, Walk};
use super::workspace::{BLOCK, CHAIN, LINK};
use crate::error::Error;
use crate::ir::{Exit, NONE, Op};
use crate::ops::Opcode;
use crate::types::Type;
use crate::verify::table::{Check, Form};

/// How many values of one hash are looked at.
pub(super) const LONGEST_CHAIN: u32 = 12;

impl Walk<'_, '_, '_, '_> {
    #[inline]
    pub fn define(&mut self, index: u32, value: u32) {
        self.workspace.map[(index - self.function.first_op) as usize] = value;
    }

    /// The draft's name of a value.
    #[inline]
    pub fn name(&self, value: u32) -> u32 {
        self.workspace.map[(value - self.function.first_op) as usize]
    }

    /// An op whose operands are all in its record, with their names in the draft.
    #[inline]
    pub fn renamed(&self, mut op: Op) -> Op {
        operands::for_each_operand(&mut op, &mut [], |value| *value = self.name(*value));
        op
    }

    /// An op with a copy of its words, all names and its exit as in the draft.
    pub fn copied(&mut self, mut op: Op) -> Result<Op, Error> {
        let program = self.program;
        match Check::of(op.code).form {
            Form::Load | Form::Store => {
                op.c = self.copy_words(op.c, 2)?;
            }
            Form::CompareExchange => op.c = self.copy_words(op.c, 3)?,
            Form::Call | Form::CallHost | Form::Return | Form::ReturnCall => {
                op.b = self.copy_words(op.b, 1 + program.list(op.b).len())?;
            }
            Form::CallIndirect => {
                op.b = self.copy_words(op.b, 2 + program.list(op.b + 1).len())?;
            }
            _ => {}
        }
        let (map, first) = (&*self.workspace.map, self.function.first_op);
        operands::for_each_operand(&mut op, self.extra.filled_mut(), |value| {
            *value = map[(*value - first) as usize];
        });
        let exit = operands::exit_of(&mut op, self.extra.filled_mut()).map(|exit| *exit);
        if let Some(exit) = exit {
            let exit = self.exit(exit)?;
            if let Some(place) = operands::exit_of(&mut op, self.extra.filled_mut()) {
                *place = exit;
            }
        }
        Ok(op)
    }

    /// Copies words of the program.
    fn copy_words(&mut self, at: u32, count: usize) -> Result<u32, Error> {
        let program = self.program;
        let first = self.extra.used as u32;
        for &word in &program.extra[at as usize..at as usize + count] {
            self.extra.push(word)?;
        }
        Ok(first)
    }

    /// The draft's exit for one of the program's.
    pub fn exit(&mut self, exit: u32) -> Result<u32, Error> {
        let known = self.workspace.exits[exit as usize];
        if known[1] == self.generation {
            return Ok(known[0]);
        }
        let program = self.program;
        let record = program.exits[exit as usize];
        let snapshot = self.extra.used as u32;
        for pair in program.snapshot(&record).chunks_exact(2) {
            self.extra.push(pair[0])?;
            let value = self.name(pair[1]);
            self.extra.push(value)?;
        }
        let new = self.exits.push(Exit { snapshot, ..record })?;
        self.workspace.exits[exit as usize] = [new, self.generation];
        Ok(new)
    }

    /// Adds an op to the draft.
    #[inline]
    pub fn append(&mut self, op: Op) -> Result<u32, Fault> {
        let traits = traits_of(op.code);
        if traits & TOUCHES != 0 {
            self.memory.pass(&op);
            self.clean &= traits & EFFECT == 0;
        }
        self.append_quiet(op)
    }

    /// The same for an op that has nothing to do with memory.
    #[inline]
    pub fn append_quiet(&mut self, op: Op) -> Result<u32, Fault> {
        let index = self.used;
        let (Some(place), Some(record)) = (
            self.draft.get_mut(index as usize),
            self.workspace.values.get_mut(index as usize),
        ) else {
            return Err(Fault);
        };
        *place = op;
        *record = [NONE, self.block, NONE, 0];
        if let Some(source) = self.workspace.sources.get_mut(index as usize) {
            *source = self.source;
        }
        self.used += 1;
        Ok(index)
    }

    // Constants.

    /// A constant of a type.
    pub fn constant(&mut self, ty: Type, bits: u64) -> Result<u32, Fault> {
        let code = match ty {
            Type::I32 => Opcode::I32Const,
            Type::F32 => Opcode::F32Const,
            Type::F64 => Opcode::F64Const,
            Type::I64 | Type::Ref => Opcode::I64Const,
        };
        self.constant_op(Op {
            code,
            aux: 0,
            a: 0,
            b: bits as u32,
            c: (bits >> 32) as u32,
        })
    }

    /// Constants stand once, at the head of the function: they make no code there, but where they are used.
    pub fn constant_op(&mut self, op: Op) -> Result<u32, Fault> {
        if !self.steps.passes.has(Pass::Common) {
            return self.append(op);
        }
        let hash = self.hash(&op);
        if let Some(value) = self.find(hash, &op) {
            return Ok(value);
        }
        let value = self.append_quiet(op)?;
        self.workspace.values[value as usize][BLOCK] = self.function.first_block;
        self.workspace.values[value as usize][LINK] = NONE;
        if self.constants == [NONE; 2] {
            self.constants = [value; 2];
        } else {
            self.workspace.values[self.constants[1] as usize][LINK] = value;
            self.constants[1] = value;
        }
        self.remember(hash, value);
        Ok(value)
    }

    #[inline]
    pub fn constant_bits(&self, value: u32) -> Option<u64> {
        rules::constant_of(&self.draft[value as usize])
    }

    // Common subexpressions.

    pub fn common_or_append(&mut self, op: Op) -> Result<u32, Fault> {
        let hash = self.hash(&op);
        if let Some(value) = self.find_common(hash, &op) {
            return Ok(value);
        }
        let value = self.append(op)?;
        self.remember(hash, value);
        Ok(value)
    }

    /// The bucket of an op. What commutes hashes alike both ways; exits do not matter.
    #[inline]
    pub fn hash(&self, op: &Op) -> u32 {
        let traits = traits_of(op.code);
        let (a, b) = if traits & COMMUTES != 0 {
            (op.a ^ op.b, op.a.wrapping_add(op.b))
        } else {
            (op.a, op.b)
        };
        let c = if traits & LEAVES != 0 { 0 } else { op.c };
        let mut hash = a.wrapping_mul(0x9e37_79b1) ^ b.wrapping_mul(0x85eb_ca77).rotate_left(13);
        hash ^= c.wrapping_mul(0xc2b2_ae3d).rotate_left(7);
        hash = (hash ^ op.code as u32 ^ u32::from(op.aux) << 16).wrapping_mul(0x27d4_eb2f);
        (hash ^ hash >> 15) & self.bucket_mask
    }

    /// A value of the draft that is the same as the op's and known here.
    pub fn find(&self, hash: u32, op: &Op) -> Option<u32> {
        let traits = traits_of(op.code);
        let (leaves, commutes) = (traits & LEAVES != 0, traits & COMMUTES != 0);
        let mut value = self.workspace.buckets[hash as usize];
        for _ in 0..LONGEST_CHAIN {
            if value == NONE {
                break;
            }
            let known = &self.draft[value as usize];
            let record = &self.workspace.values[value as usize];
            let same = known.code == op.code
                && known.aux == op.aux
                && ((known.a == op.a && known.b == op.b)
                    || (commutes && known.a == op.b && known.b == op.a))
                && (leaves || known.c == op.c);
            if same
                && (record[BLOCK] == self.block
                    || self.verified.dominates(record[BLOCK], self.block))
            {
                return Some(value);
            }
            value = record[CHAIN];
        }
        None
    }

    /// The same as a step of the pass.
    #[inline]
    pub fn find_common(&mut self, hash: u32, op: &Op) -> Option<u32> {
        if !self.steps.may(Pass::Common) {
            return None;
        }
        let value = self.find(hash, op)?;
        self.steps.did(Pass::Common, 1);
        Some(value)
    }

    pub fn remember(&mut self, hash: u32, value: u32) {
        let bucket = &mut self.workspace.buckets[hash as usize];
        self.workspace.values[value as usize][CHAIN] = *bucket;
        *bucket = value;
    }
}
