//! Loads and stores in regions: what their index is made of, and whether it is in bounds.
//!
//! An access at `index * scale + offset` is in bounds if its index is at most the last one ([`last_index`]). Where facts say so, the op is marked
//! ([`crate::ir::IN_BOUNDS`]) and needs no exit. Where it is checked, the index is known to be in bounds from there on. A sum with a
//! constant, or a shift, goes into the offset or the scale if it cannot wrap, since bounds are checked without wrapping.

use super::facts::Fact;
use super::passes::Pass;
use super::walk::Walk;
use super::width::Width;
use crate::error::Error;
use crate::ir::{IN_BOUNDS, MAX_OFFSET, NONE, Op, access_aux};
use crate::ops::Opcode;
use crate::verify::table::{Check, Form};

/// How many ops of an index are looked through.
const MOST_STEPS: u32 = 3;

/// The last index in bounds of an access, if there is one.
fn last_index(size: u64, offset: u32, width: u8, scale: u8) -> Option<u64> {
    let room = size.checked_sub(u64::from(offset) + u64::from(width))?;
    Some(room >> scale)
}

impl Walk<'_, '_, '_, '_> {
    /// A load or store that is not atomic.
    pub fn access(&mut self, op: Op) -> Result<u32, Error> {
        let program = self.program;
        let [offset, exit] = [0, 1].map(|word| program.extra[op.c as usize + word]);
        let (mut index, mut offset, mut scale) = (self.name(op.a), offset, op.scale());
        for _ in 0..MOST_STEPS {
            let Some(address) = self.simpler_address(index, offset, scale) else {
                break;
            };
            self.steps.did(Pass::Addresses, 1);
            (index, offset, scale) = address;
        }
        let stores = Check::of(op.code).form == Form::Store;
        let probe = Op {
            aux: access_aux(op.region() as u16, scale),
            a: index,
            b: 0,
            ..op
        };
        let mut bucket = None;
        if stores {
            let stored = self.name(op.b);
            if self.is_stored(&probe, offset, stored) {
                return Ok(NONE);
            }
        } else if let Some(value) = self.forwarded(&probe, offset) {
            return Ok(value);
        } else {
            let (value, hash) = self.loaded(&probe, offset);
            if let Some(value) = value {
                return Ok(value);
            }
            bucket = hash;
        }
        let size = program.regions[op.region()].size;
        let last = last_index(size, offset, op.code.info().width, scale);
        let mut marked = op.is_in_bounds();
        if let Some(last) = last
            && !marked
            && self.steps.may(Pass::Bounds)
        {
            let fact = self.fact(index);
            marked = fact.ceiling <= last && !fact.is_empty();
            if marked {
                self.steps.did(Pass::Bounds, 1);
            }
        }
        let exit = if marked { NONE } else { self.exit(exit)? };
        let words = self.extra.push(offset)?;
        self.extra.push(exit)?;
        let mark = if marked { IN_BOUNDS } else { 0 };
        let value = self.append(Op {
            aux: access_aux(op.region() as u16, scale) | mark,
            a: index,
            b: if stores { self.name(op.b) } else { 0 },
            c: words,
            ..op
        })?;
        self.note_access(value, offset);
        if let Some(hash) = bucket {
            self.remember(hash, value);
        }
        if let Some(last) = last
            && !marked
            && self.steps.may(Pass::Bounds)
        {
            let within = Fact::unsigned(Width::of_bits(64), 0, last);
            self.learn(index, self.block, &within);
        }
        Ok(value)
    }

    /// The same address with one op less in its index.
    fn simpler_address(&mut self, index: u32, offset: u32, scale: u8) -> Option<(u32, u32, u8)> {
        let op = self.draft[index as usize];
        if !matches!(op.code, Opcode::I64Add | Opcode::I64Shl) || !self.steps.may(Pass::Addresses) {
            return None;
        }
        let constant = self.constant_bits(op.b)?;
        if op.code == Opcode::I64Shl {
            if constant > u64::from(3 - scale) {
                return None;
            }
            let fits = self.fact(op.a).ceiling <= u64::MAX >> constant;
            return fits.then_some((op.a, offset, scale + constant as u8));
        }
        if constant > u64::from(MAX_OFFSET) {
            return None;
        }
        let sum = (constant << scale) + u64::from(offset);
        let fits =
            sum <= u64::from(MAX_OFFSET) && self.fact(op.a).ceiling.checked_add(constant).is_some();
        fits.then_some((op.a, sum as u32, scale))
    }
}
