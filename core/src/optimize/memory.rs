//! Guest slots and regions: loads that are known, stores that change nothing, stores that are overwritten.
//!
//! Along a chain of blocks that are walked one behind the other, a short list tells what memory holds: after a load what was loaded, after a
//! store what was stored.
//!
//! The rule of aliases: guest slots and regions never overlap, nor do two regions, as they are named by the program; two
//! accesses in one region are apart if their index is the same value at the same scale, or both are constants, and their bytes differ. Anything
//! else that writes (calls, polls, atomics, fences, raw stores) may write all of it.
//!
//! A load from a region that nothing in the function may write gives what the same load gave before, wherever that dominates it: such loads are
//! common subexpressions.
//!
//! A store is dropped if the next one covers it before anything could look: no load of its memory, no op that may leave or call, no
//! end of the block stands between. What must be looked at for an op is at most [`MOST`] entries.

use super::draft::LONGEST_CHAIN;
use super::operands::{TOUCHES, traits_of};
use super::passes::Pass;
use super::walk::Walk;
use super::workspace::{BLOCK, CHAIN};
use crate::ir::{Function, NONE, Op, Program};
use crate::ops::{Opcode, Shape, flags};
use crate::types::Type;
use crate::verify::table::{Check, Form};

/// How many places are known at most.
const MOST: usize = 16;

/// In place of a region: the guest slots.
const SLOTS: u32 = NONE;

/// Bytes somewhere.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Place {
    region: u32,
    /// The index's value in the draft; 0 for slots.
    index: u32,
    scale: u8,
    width: u8,
    offset: u32,
}

/// What a place holds.
#[derive(Clone, Copy)]
struct Known {
    place: Place,
    value: u32,
    ty: Type,
    /// All bits of a slot are the value's, zero-extended: not so of a narrow value that was read.
    whole: bool,
    /// The store that put it there.
    store: u32,
    /// How often somebody could have looked when it did.
    looks: u32,
}

const NOTHING: Known = Known {
    place: Place {
        region: 0,
        index: NONE,
        scale: 0,
        width: 0,
        offset: 0,
    },
    value: NONE,
    ty: Type::I64,
    whole: false,
    store: NONE,
    looks: 0,
};

/// The regions that something in a function may write, a bit for each.
pub(super) fn written(program: &Program, function: &Function) -> u32 {
    let mut written = 0;
    let first = function.first_op as usize;
    for op in &program.ops[first..first + function.op_count as usize] {
        if traits_of(op.code) & TOUCHES == 0 {
            continue;
        }
        let info = op.code.info();
        if info.flags & (flags::WRITES | flags::CALLS | flags::ATOMIC) == 0 {
            continue;
        }
        written |= match info.shape {
            Shape::SlotSet => 0,
            Shape::Store if !info.has(flags::ATOMIC) => 1 << (op.region() & 31),
            _ => u32::MAX,
        };
    }
    written
}

/// What is known of memory.
pub(super) struct Memory {
    /// The first so many of them are known.
    known: [Known; MOST],
    count: u8,
    /// Which one goes when there are too many.
    next: u8,
    looks: u32,
}

impl Memory {
    pub const EMPTY: Memory = Memory {
        known: [NOTHING; MOST],
        count: 0,
        next: 0,
        looks: 0,
    };

    /// Nothing is known any more.
    #[inline]
    pub fn forget(&mut self) {
        self.count = 0;
        self.looks += 1;
    }

    /// Notes that an op which touches memory stands in the draft now: what it may look at and what it may write.
    pub fn pass(&mut self, op: &Op) {
        let info = op.code.info();
        let looks = flags::LEAVES | flags::READS | flags::CALLS | flags::TERMINATES;
        let plain = matches!(info.shape, Shape::Store | Shape::SlotSet)
            && info.flags & (flags::ATOMIC | flags::RAW) == 0;
        let quiet = plain && info.shape == Shape::Store && op.is_in_bounds();
        self.looks += u32::from(info.flags & looks != 0 && !quiet);
        if info.flags & (flags::WRITES | flags::CALLS | flags::ATOMIC) != 0 && !plain {
            self.forget();
        }
    }

    #[inline]
    fn all(&self) -> &[Known] {
        &self.known[..usize::from(self.count).min(MOST)]
    }

    fn find(&self, place: &Place) -> Option<usize> {
        self.all().iter().position(|known| known.place == *place)
    }

    fn remember(&mut self, known: Known) {
        let at = match self.find(&known.place) {
            Some(at) => at,
            None if usize::from(self.count) < MOST => {
                self.count += 1;
                usize::from(self.count) - 1
            }
            None => {
                self.next = (self.next + 1) % MOST as u8;
                usize::from(self.next)
            }
        };
        self.known[at] = known;
    }
}

impl Walk<'_, '_, '_, '_> {
    /// Where a plain access with the draft's names reads or writes, and the type of what it moves; no type if it is narrower.
    fn place_of(&self, op: &Op, offset: u32) -> (Place, Option<Type>) {
        let info = op.code.info();
        let ty = info.result.unwrap_or(match info.shape {
            Shape::SlotSet => info.operands[0],
            _ => info.operands[1],
        });
        if matches!(info.shape, Shape::SlotGet | Shape::SlotSet) {
            let place = Place {
                region: SLOTS,
                index: 0,
                scale: 0,
                width: 8,
                offset: op.c,
            };
            return (place, Some(ty));
        }
        let place = Place {
            region: op.region() as u32,
            index: op.a,
            scale: op.scale(),
            width: info.width,
            offset,
        };
        let whole = u32::from(info.width) * 8 == ty.bits();
        (place, whole.then_some(ty))
    }

    /// The value of a load whose place is known to hold it.
    pub fn forwarded(&mut self, op: &Op, offset: u32) -> Option<u32> {
        if !self.steps.may(Pass::Loads) {
            return None;
        }
        let (place, ty) = self.place_of(op, offset);
        let known = self.memory.known[self.memory.find(&place)?];
        if Some(known.ty) != ty {
            return None;
        }
        self.steps.did(Pass::Loads, 1);
        Some(known.value)
    }

    /// The value of the same load where nothing in the function writes its region, and the bucket in which such loads are found; neither, if
    /// something does.
    pub fn loaded(&mut self, op: &Op, offset: u32) -> (Option<u32>, Option<u32>) {
        if self.written & 1 << (op.region() & 31) != 0 || !self.steps.may(Pass::Loads) {
            return (None, None);
        }
        let hash = if self.program.regions[op.region()].grows() {
            self.hash_of_checks(op)
        } else {
            self.hash(&Op { b: offset, ..*op })
        };
        let mut value = self.workspace.buckets[hash as usize];
        for _ in 0..LONGEST_CHAIN {
            if value == NONE {
                break;
            }
            let known = self.draft[value as usize];
            let record = &self.workspace.values[value as usize];
            if known.code == op.code
                && known.a == op.a
                && (known.region(), known.scale()) == (op.region(), op.scale())
                && self.extra.get(known.c) == Some(&offset)
                && (record[BLOCK] == self.block
                    || self.verified.dominates(record[BLOCK], self.block))
            {
                self.steps.did(Pass::Loads, 1);
                return (Some(value), None);
            }
            value = record[CHAIN];
        }
        (None, Some(hash))
    }

    /// Whether a store puts there what is there.
    pub fn is_stored(&mut self, op: &Op, offset: u32, stored: u32) -> bool {
        if !self.steps.may(Pass::Stores) {
            return false;
        }
        let (place, ty) = self.place_of(op, offset);
        let same = self.memory.find(&place).is_some_and(|at| {
            let known = &self.memory.known[at];
            known.value == stored && Some(known.ty) == ty && known.whole
        });
        if same {
            self.steps.did(Pass::Stores, 1);
        }
        same
    }

    /// Notes what a load has loaded, or a store stored, that stands in the draft.
    pub fn note_access(&mut self, at: u32, offset: u32) {
        let op = self.draft[at as usize];
        let (place, ty) = self.place_of(&op, offset);
        let form = Check::of(op.code).form;
        let loads = matches!(form, Form::Load | Form::SlotGet);
        let value = match form {
            Form::Load | Form::SlotGet => at,
            Form::SlotSet => op.a,
            _ => op.b,
        };
        if !loads {
            self.drop_overwritten(&place);
            for index in (0..usize::from(self.memory.count).min(MOST)).rev() {
                if self.may_overlap(&self.memory.known[index].place, &place) {
                    self.memory.count -= 1;
                    let last = usize::from(self.memory.count);
                    self.memory.known[index] = self.memory.known[last];
                }
            }
        }
        if let Some(ty) = ty {
            let droppable = form == Form::SlotSet || form == Form::Store && op.is_in_bounds();
            self.memory.remember(Known {
                place,
                value,
                ty,
                whole: !loads || place.region != SLOTS || ty.bits() == 64,
                store: if droppable { at } else { NONE },
                looks: self.memory.looks,
            });
        }
    }

    /// A store that this one covers, and at which nobody could look, is none.
    fn drop_overwritten(&mut self, place: &Place) {
        let Some(at) = self.memory.find(place) else {
            return;
        };
        let known = self.memory.known[at];
        if known.store == NONE || known.looks != self.memory.looks || !self.steps.take(Pass::Stores)
        {
            return;
        }
        // A constant that nothing uses stands in its place.
        self.draft[known.store as usize] = Op {
            code: Opcode::I32Const,
            aux: 0,
            a: 0,
            b: 0,
            c: 0,
        };
    }

    fn may_overlap(&self, one: &Place, other: &Place) -> bool {
        if one.region != other.region {
            return false;
        }
        if one.region == SLOTS {
            return one.offset == other.offset;
        }
        let start = |place: &Place| {
            let index = self.constant_bits(place.index)?;
            Some((u128::from(index) << place.scale) + u128::from(place.offset))
        };
        let (first, second) = if one.index == other.index && one.scale == other.scale {
            (u128::from(one.offset), u128::from(other.offset))
        } else if let (Some(first), Some(second)) = (start(one), start(other)) {
            (first, second)
        } else {
            return true;
        };
        first < second + u128::from(other.width) && second < first + u128::from(one.width)
    }
}
