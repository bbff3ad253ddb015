//! Loads and stores in regions: what their index is made of, and whether it is in bounds.
//!
//! An access at `index * scale + offset` is in bounds if its index is at most the last one ([`last_index`]). Where facts say so, the op is marked
//! ([`crate::ir::IN_BOUNDS`]) and needs no exit. Where it is checked, the index is known to be in bounds from there on. A sum with a
//! constant, or a shift, goes into the offset or the scale if it cannot wrap, since bounds are checked without wrapping.
//!
//! A region that grows never gets shorter. So facts are compared with its least size, and what they say behind a check comes from its greatest; and
//! an access is in bounds, too, if one that ends no earlier at the same index was checked where it dominates ([`Walk::was_checked`]).

use super::draft::LONGEST_CHAIN;
use super::facts::Fact;
use super::passes::Pass;
use super::walk::Walk;
use super::width::Width;
use super::workspace::{BLOCK, CHAIN};
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
        let region = &program.regions[op.region()];
        let width = op.code.info().width;
        let last = last_index(region.size, offset, width, scale);
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
        if region.grows() && self.steps.may(Pass::Bounds) {
            if !marked && self.was_checked(&probe, offset + u32::from(width)) {
                marked = true;
                self.steps.did(Pass::Bounds, 1);
            }
            bucket = bucket.or((!marked).then(|| self.hash_of_checks(&probe)));
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
        if let Some(last) = last_index(region.most, offset, width, scale)
            && !marked
            && self.steps.may(Pass::Bounds)
        {
            let within = Fact::unsigned(Width::of_bits(64), 0, last);
            self.learn(index, self.block, &within);
        }
        Ok(value)
    }

    /// Where accesses in a region that grows are found by their index and scale.
    pub fn hash_of_checks(&self, op: &Op) -> u32 {
        self.hash(&Op {
            code: Opcode::RegionSize,
            aux: access_aux(op.region() as u16, op.scale()),
            a: op.a,
            b: 0,
            c: 0,
        })
    }

    /// Whether an access at the same index that ends here or later was checked on every way to this place.
    fn was_checked(&self, op: &Op, end: u32) -> bool {
        let mut value = self.workspace.buckets[self.hash_of_checks(op) as usize];
        for _ in 0..LONGEST_CHAIN {
            if value == NONE {
                break;
            }
            let known = self.draft[value as usize];
            let record = &self.workspace.values[value as usize];
            if matches!(Check::of(known.code).form, Form::Load | Form::Store)
                && (known.region(), known.scale(), known.a) == (op.region(), op.scale(), op.a)
                && !known.is_in_bounds()
                && self
                    .extra
                    .get(known.c)
                    .is_some_and(|offset| offset + u32::from(known.code.info().width) >= end)
                && (record[BLOCK] == self.block
                    || self.verified.dominates(record[BLOCK], self.block))
            {
                return true;
            }
            value = record[CHAIN];
        }
        false
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
