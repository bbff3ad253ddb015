//! What is known of a value at a place: from the op that gives it, and from conditions passed on every way there.
//!
//! Takes the draft as far as it is walked; promises facts ([`super::facts`]) that hold at the block that is walked. Nothing is worked
//! out before a pass asks, so that programs without integer checks pay nothing.
//!
//! * *By the op*: from facts of its operands, a few ops deep ([`DEPTH`]).
//! * *Learned*: a guard that was passed, an edge that only one branch leads to, an access that was in bounds leave a note with the block in
//!   which they hold. It holds in all that this block dominates, and has in it what was known before.
//! * *Parameters*: what their edges pass, and what holds of them in every round of a loop ([`super::induction`]).
//!
//! Costs a constant for each question, and for parameters what is said there.

use super::facts::{FACT_WORDS, Fact};
use super::operands::{TELLS, traits_of};
use super::passes::Pass;
use super::rules;
use super::transfer;
use super::walk::Walk;
use super::width::{Width, narrowed_with_width};
use super::workspace::{LEARNED, NOTE_BLOCK, NOTE_FACT, NOTE_NEXT};
use crate::ir::{NONE, Op};
use crate::ops::{Opcode, flags};
use crate::types::Type;
use crate::verify::table::{Check, Form};

/// How many ops deep a value is looked into.
pub(super) const DEPTH: u32 = 4;
/// How many notes of a value are looked at.
const MOST_NOTES: u32 = 8;

/// The width of a type's facts; of what is no integer nothing is ever known.
#[inline]
pub(super) fn width_of(op: &Op) -> Width {
    if Check::of(op.code).result(op.aux) == Type::I32 as u8 {
        Width::of_bits(32)
    } else {
        Width::of_bits(64)
    }
}

#[inline]
pub(super) fn is_integer(op: &Op) -> bool {
    let given = Check::of(op.code).result(op.aux);
    given == Type::I32 as u8 || given == Type::I64 as u8
}

/// How many of the facts that were asked for last are kept.
const MOST_ASKED: usize = 4;

/// Facts that were asked for last: what a check asks is asked again by what learns from it.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    entries: [(Occasion, Fact); MOST_ASKED],
}

/// When a fact was asked for: of this value, in this block, when there were so many notes. What is asked again then is the same.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Occasion {
    value: u32,
    block: u32,
    notes: u32,
}

impl Asked {
    /// Nothing was.
    pub const NONE: Asked = Asked {
        entries: [(
            Occasion {
                value: NONE,
                block: NONE,
                notes: 0,
            },
            Fact::NOTHING,
        ); MOST_ASKED],
    };
}

impl Walk<'_, '_, '_, '_> {
    /// What is known of a value here.
    pub fn fact(&mut self, value: u32) -> Fact {
        let occasion = Occasion {
            value,
            block: self.block,
            notes: self.notes,
        };
        let place = value as usize % MOST_ASKED;
        let (known, fact) = &self.asked.entries[place];
        if *known == occasion {
            return *fact;
        }
        let fact = self.fact_at(value, self.block, DEPTH);
        // What was looked at on the way may have left notes.
        let occasion = Occasion {
            notes: self.notes,
            ..occasion
        };
        self.asked.entries[place] = (occasion, fact);
        fact
    }

    /// The same in another block.
    pub fn fact_in(&mut self, value: u32, block: u32) -> Fact {
        self.fact_at(value, block, DEPTH)
    }

    pub fn fact_at(&mut self, value: u32, block: u32, depth: u32) -> Fact {
        let op = self.draft[value as usize];
        if let Some(bits) = rules::constant_of(&op) {
            return Fact::constant(width_of(&op), bits);
        }
        let top = Fact::top(width_of(&op));
        if !is_integer(&op) {
            return top;
        }
        let note = self.workspace.values[value as usize][LEARNED];
        if note != NONE
            && let Some(noted) = self.noted(note, block)
        {
            return noted;
        }
        if op.code == Opcode::Parameter {
            self.look_at_parameter(value, &op);
            let note = self.workspace.values[value as usize][LEARNED];
            return self.noted(note, block).unwrap_or(top);
        }
        if depth == 0 || traits_of(op.code) & TELLS == 0 {
            return top;
        }
        self.by_op(&op, |walk, operand| walk.fact_at(operand, block, depth - 1))
    }

    /// The last note that holds in a block, of this one and those of the same value before it.
    fn noted(&self, mut note: u32, block: u32) -> Option<Fact> {
        for _ in 0..MOST_NOTES {
            let record = self.workspace.notes.get(note as usize)?;
            let origin = record[NOTE_BLOCK];
            if origin == block || self.verified.dominates(origin, block) {
                let words = record[NOTE_FACT..].first_chunk::<FACT_WORDS>()?;
                return Some(Fact::from_words(words));
            }
            note = record[NOTE_NEXT];
        }
        None
    }

    /// Notes what holds of a value in a block. Where there is no room, it is not known.
    pub fn note(&mut self, value: u32, block: u32, fact: &Fact) {
        let index = self.notes;
        if let Some(record) = self.workspace.notes.get_mut(index as usize) {
            let first = &mut self.workspace.values[value as usize][LEARNED];
            record[NOTE_BLOCK] = block;
            record[NOTE_NEXT] = *first;
            record[NOTE_FACT..].copy_from_slice(&fact.into_words());
            *first = index;
            self.notes += 1;
        }
    }

    /// What an op's record says of its value here.
    pub fn fact_of(&mut self, op: &Op) -> Fact {
        let block = self.block;
        self.by_op(op, |walk, operand| walk.fact_at(operand, block, DEPTH - 1))
    }

    /// What an op's record says of its value, given what is known of its operands.
    pub fn by_op(&mut self, op: &Op, mut operand: impl FnMut(&mut Self, u32) -> Fact) -> Fact {
        let own = width_of(op);
        let wide = Width::of_bits(64);
        match op.code {
            Opcode::I64ExtendI32S => return transfer::widened(&operand(self, op.a), true),
            Opcode::I64ExtendI32U => return transfer::widened(&operand(self, op.a), false),
            Opcode::I32WrapI64 => return transfer::narrowed(&operand(self, op.a)),
            Opcode::I64Box => {
                let carried = operand(self, op.a);
                return transfer::boxed(&self.program.tag_of(op), &carried);
            }
            Opcode::I64BoxI32 => {
                let carried = transfer::widened(&operand(self, op.a), false);
                return transfer::boxed(&self.program.tag_of(op), &carried);
            }
            Opcode::I64BoxF64 => {
                return transfer::boxed(&self.program.tag_of(op), &transfer::boxed_float());
            }
            Opcode::I64UnboxU => {
                return transfer::carried(&self.program.tag_of(op), &operand(self, op.a));
            }
            Opcode::I32Unbox => {
                let carried = transfer::carried(&self.program.tag_of(op), &operand(self, op.a));
                return transfer::narrowed(&carried);
            }
            _ => {}
        }
        let info = op.code.info();
        if info.has(flags::COMPARES) {
            return Fact::TRUTH;
        }
        match Check::of(op.code).form {
            Form::Load | Form::RawLoad => {
                let bits = 8 * u32::from(info.width);
                if bits >= own.bits() {
                    Fact::top(own)
                } else if info.sign_extends {
                    let most = (1i64 << (bits - 1)) - 1;
                    Fact::signed(own, -most - 1, most)
                } else {
                    Fact::unsigned(own, 0, (1 << bits) - 1)
                }
            }
            Form::RegionSize => {
                let region = &self.program.regions[op.region()];
                Fact::unsigned(wide, region.size, region.most)
            }
            Form::Select => {
                let one = operand(self, op.b);
                one.join(&operand(self, op.c))
            }
            Form::Unary | Form::UnaryLeaves if is_same_width(op) => {
                let (narrow, width) = narrowed_with_width(op.code);
                let width = if op.code == Opcode::I64Extend32S {
                    wide
                } else {
                    width
                };
                let a = operand(self, op.a);
                transfer::value_of(width, narrow, &a, &a)
            }
            Form::Binary | Form::BinaryLeaves => {
                let (narrow, width) = narrowed_with_width(op.code);
                let a = operand(self, op.a);
                if a == Fact::top(width) && matches!(narrow, Opcode::I32Add | Opcode::I32Sub) {
                    return a;
                }
                let b = operand(self, op.b);
                transfer::value_of(width, narrow, &a, &b)
            }
            _ => Fact::top(own),
        }
    }

    // What conditions teach.

    /// Learns more of a value in a block: the one that is walked, or one that is only reached from its end.
    pub fn learn(&mut self, value: u32, block: u32, more: &Fact) {
        let op = self.draft[value as usize];
        if !is_integer(&op) || rules::constant_of(&op).is_some() {
            return;
        }
        let width = width_of(&op);
        if *more == Fact::top(width) {
            return;
        }
        let before = self.fact(value);
        self.learn_beside(value, block, &before, more);
    }

    /// The same of an integer that is no constant and of which something is known where the block that is walked ends.
    fn learn_beside(&mut self, value: u32, block: u32, before: &Fact, more: &Fact) {
        let op = self.draft[value as usize];
        let width = width_of(&op);
        let after = before.meet(width, more);
        if after == *before || after.is_empty() {
            return;
        }
        self.note(value, block, &after);
        // What it is made of is known better too.
        match op.code {
            Opcode::I64ExtendI32S => {
                let narrow = Width::of_bits(32);
                if after.low >= narrow.least() && after.high <= narrow.most() {
                    let more = Fact::signed(narrow, after.low, after.high);
                    self.learn_shallow(op.a, block, &more);
                }
            }
            Opcode::I64ExtendI32U => {
                self.learn_shallow(op.a, block, &transfer::narrowed(&after));
            }
            Opcode::I32And | Opcode::I64And => {
                if let Some(mask) = self.constant_bits(op.b) {
                    let more = Fact::bits(width, after.zeros & mask, after.ones & mask);
                    self.learn_shallow(op.a, block, &more);
                }
            }
            _ => {}
        }
    }

    /// The same of what a value is made of.
    fn learn_shallow(&mut self, value: u32, block: u32, more: &Fact) {
        let op = self.draft[value as usize];
        if !is_integer(&op) || rules::constant_of(&op).is_some() {
            return;
        }
        let before = self.fact_at(value, block, DEPTH);
        let after = before.meet(width_of(&op), more);
        if after != before && !after.is_empty() {
            self.note(value, block, &after);
        }
    }

    /// Learns that a condition is not zero, or is zero, in blocks: the one that is walked, or those that are only reached from its end.
    pub fn learn_condition(&mut self, condition: u32, ways: &[(bool, u32)]) {
        if !self.steps.may(Pass::Facts) || ways.is_empty() {
            return;
        }
        let (condition, opposite) = rules::condition(self.draft, condition);
        let op = self.draft[condition as usize];
        let info = op.code.info();
        let compared = info.has(flags::COMPARES)
            && info.operand_count == 2
            && matches!(info.operands[0], Type::I32 | Type::I64);
        let operands = compared.then(|| (self.fact(op.a), self.fact(op.b)));
        for &(holds, block) in ways {
            let holds = holds != opposite;
            if compared {
                self.note_limit(&op, holds, block);
            }
            if let Some((a, b)) = &operands {
                self.note_truth(condition, holds, block);
                self.learn_comparison(&op, holds, block, a, b);
            } else {
                self.learn_other_condition(condition, &op, holds, block);
            }
        }
    }

    /// A note of a comparison costs nothing to work out.
    fn note_truth(&mut self, condition: u32, holds: bool, block: u32) {
        let fact = Fact::constant(Width::of_bits(32), u64::from(holds));
        self.note(condition, block, &fact);
    }

    /// What a comparison of integers teaches of both, of which these facts are known.
    fn learn_comparison(&mut self, op: &Op, holds: bool, block: u32, a: &Fact, b: &Fact) {
        let code = if holds {
            Some(op.code)
        } else {
            op.code.inverse()
        };
        let Some((code, swapped)) = code.and_then(|code| Some((code, code.swapped()?))) else {
            return;
        };
        for (code, value, before, other) in [(code, op.a, a, b), (swapped, op.b, b, a)] {
            let of = &self.draft[value as usize];
            if is_integer(of) && rules::constant_of(of).is_none() {
                let (narrow, width) = narrowed_with_width(code);
                let more = transfer::implied(width, narrow, other);
                self.learn_beside(value, block, before, &more);
            }
        }
    }

    fn learn_other_condition(&mut self, condition: u32, op: &Op, holds: bool, block: u32) {
        let narrow = Width::of_bits(32);
        if op.code.info().has(flags::COMPARES) {
            self.note_truth(condition, holds, block);
        } else {
            let own = if holds {
                Fact::unsigned(narrow, 1, narrow.mask())
            } else {
                Fact::constant(narrow, 0)
            };
            self.learn(condition, block, &own);
        }
        match op.code {
            Opcode::I64TagTest => {
                let taught = transfer::tagged(&self.program.tag_of(op), holds);
                self.learn(op.a, block, &taught);
            }
            Opcode::I64Eqz => {
                let wide = Width::of_bits(64);
                let more = if holds {
                    Fact::constant(wide, 0)
                } else {
                    Fact::unsigned(wide, 1, wide.mask())
                };
                self.learn(op.a, block, &more);
            }
            Opcode::I32And if holds => {
                for value in [op.a, op.b] {
                    let more = Fact::unsigned(narrow, 1, narrow.mask());
                    self.learn(value, block, &more);
                }
            }
            _ => {}
        }
    }

    /// Whether a condition is not zero here, if that is known.
    pub fn truth(&mut self, condition: u32) -> Option<bool> {
        let compares = self.draft[condition as usize]
            .code
            .info()
            .has(flags::COMPARES);
        if compares && self.workspace.values[condition as usize][LEARNED] == NONE {
            return None;
        }
        let fact = self.fact(condition);
        if fact.is_empty() {
            None
        } else if fact.ceiling == 0 {
            Some(false)
        } else if fact.floor > 0 || fact.ones != 0 {
            Some(true)
        } else {
            None
        }
    }
}

/// Whether a unary op gives an integer as wide as the one that it takes.
fn is_same_width(op: &Op) -> bool {
    let info = op.code.info();
    info.result == Some(info.operands[0])
}
