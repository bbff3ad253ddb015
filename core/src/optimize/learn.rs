//! What is known of a value at a place: from the op that gives it, from conditions passed on every way there, from loops.
//!
//! Takes the draft as far as it is walked; promises facts ([`super::facts`]) that hold at the block that is walked. Nothing is worked
//! out before a pass asks, so that programs without integer checks pay nothing.
//!
//! * *By the op*: from facts of its operands, a few ops deep ([`DEPTH`]).
//! * *Learned*: a guard that was passed, an edge that only one branch leads to, an access that was in bounds leave a note with the block in
//!   which they hold. It holds in all that this block dominates, and has in it what was known before.
//! * *Parameters*: the join of what the edges pass, once for each. Of an edge that comes back the argument's ops may not be walked
//!   yet, so they are looked at as they stand in the program, with nothing known of the loop's parameters; that holds in every
//!   round. A parameter that steps in one direction and cannot wrap on its way, because the op is checked or a condition bounds
//!   it before, stays on its side of where it began. This takes the place of widening: nothing is iterated.
//!
//! Costs a constant for each question, and once for each argument of an edge to a parameter that is asked about.

use super::carry::Boxing;
use super::facts::{FACT_WORDS, Fact};
use super::operands::{TELLS, traits_of};
use super::passes::Pass;
use super::rules::{self, Width, narrowed_with_width};
use super::transfer;
use super::walk::Walk;
use super::workspace::{
    BLOCK, BLOCK_WORDS, CHAIN, COMING, FLAG_DONE, FLAG_LOOP, FLAG_PEELED, FLAG_TANGLED, FLAGS,
    INCOMING, LEARNED, NOTE_BLOCK, NOTE_FACT, NOTE_NEXT, PEEL, PENDING, POSITION, STATE,
};
use crate::ir::{NONE, Op, Tag};
use crate::ops::{Opcode, flags};
use crate::types::Type;
use crate::verify::table::{Check, Form};

/// How many ops deep a value is looked into.
const DEPTH: u32 = 4;
/// How many notes of a value are looked at.
const MOST_NOTES: u32 = 8;
/// How many parameters may wait for each other.
const MOST_NESTING: u32 = 3;
/// How many blocks and ops are looked through for conditions on a loop's parameter.
const MOST_BLOCKS: u32 = 8;
/// See [`MOST_BLOCKS`].
const MOST_OPS: u32 = 32;

/// In [`STATE`] of a parameter: it is being looked at.
const IN_PROGRESS: u32 = 1;
/// In [`STATE`] of a parameter: it was looked at, and is noted if anything was found.
const LOOKED_AT: u32 = 2;

/// The width of a type's facts; of what is no integer nothing is ever known.
#[inline]
fn width_of(op: &Op) -> Width {
    if Check::of(op.code).result(op.aux) == Type::I32 as u8 {
        Width::of_bits(32)
    } else {
        Width::of_bits(64)
    }
}

#[inline]
fn is_integer(op: &Op) -> bool {
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

/// A value of the program, or what is in its box.
#[derive(Clone, Copy)]
pub(super) struct Inside {
    pub value: u32,
    pub boxing: Option<Boxing>,
}

/// Whether an i32 in a box with this tag loses nothing.
pub(super) fn carries_whole(tag: &Tag) -> bool {
    let carried = u64::from(u32::MAX) << (tag.shift & 63);
    carried >> (tag.shift & 63) == u64::from(u32::MAX) && carried & tag.mask == 0
}

/// A step of a loop's parameter from round to round.
pub(super) struct Step {
    pub by: i64,
    /// It cannot wrap.
    pub exact: bool,
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

    fn fact_at(&mut self, value: u32, block: u32, depth: u32) -> Fact {
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
    fn note(&mut self, value: u32, block: u32, fact: &Fact) {
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
    fn by_op(&mut self, op: &Op, mut operand: impl FnMut(&mut Self, u32) -> Fact) -> Fact {
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

    // Parameters.

    /// Finds out once what holds of a parameter in its block.
    fn look_at_parameter(&mut self, value: u32, op: &Op) {
        let record = &mut self.workspace.values[value as usize];
        if record[STATE] != 0 || self.nesting >= MOST_NESTING || record[BLOCK] == NONE {
            return;
        }
        record[STATE] = IN_PROGRESS;
        let (block, place) = (record[BLOCK], record[CHAIN]);
        self.nesting += 1;
        let fact = self.parameter(value, op, place);
        self.nesting -= 1;
        self.workspace.values[value as usize][STATE] = LOOKED_AT;
        if fact != Fact::top(width_of(op)) && !fact.is_empty() {
            self.note(value, block, &fact);
        }
    }

    fn parameter(&mut self, value: u32, op: &Op, place: u32) -> Fact {
        let width = width_of(op);
        let top = Fact::top(width);
        let record = self.workspace.blocks[place as usize];
        let loops = record[FLAGS] & FLAG_LOOP != 0;
        if self.order.verbatim
            || place == 0
            || record[FLAGS] & FLAG_TANGLED != 0
            || (record[PENDING] != 0 && !loops)
        {
            return top;
        }
        let block = self.function.first_block + self.original(place);
        if loops && record[FLAGS] & FLAG_PEELED != 0 {
            let begins = self.begins_behind_copy(&record, op);
            return self.carried(op, block, begins);
        }
        let mut known: Option<Fact> = None;
        let mut edge = record[INCOMING];
        while edge != NONE {
            let [at, from, next] = self.workspace.edges[edge as usize];
            edge = next;
            let Some(&argument) = self.extra.get(at + 2 + op.a) else {
                return top;
            };
            if argument == value {
                continue;
            }
            let one = self.fact_at(argument, from, DEPTH);
            let joined = known.map_or(one, |known| known.join(&one));
            if joined == top && !loops {
                return top;
            }
            known = Some(joined);
        }
        let Some(begins) = known else {
            return top;
        };
        if !loops || record[PENDING] == 0 {
            return begins;
        }
        self.carried(op, block, begins)
    }

    /// What the copy of a peeled loop passes for a parameter of the head, as it was noted.
    fn begins_behind_copy(&self, head: &[u32; BLOCK_WORDS], op: &Op) -> Fact {
        let note = head[PEEL].checked_add(op.a);
        let note = note.and_then(|note| self.workspace.notes.get(note as usize));
        match note.and_then(|note| note[NOTE_FACT..].first_chunk::<FACT_WORDS>()) {
            Some(words) => Fact::from_words(words),
            None => Fact::top(width_of(op)),
        }
    }

    /// Notes what the edges made so far pass for each parameter of a block, in a row; gives the first note, or [`NONE`].
    pub fn note_arguments(&mut self, block: u32) -> u32 {
        let program = self.program;
        let record = &program.blocks[(self.function.first_block + block) as usize];
        let first = self.notes;
        let room = self.workspace.notes.len() as u32 - first;
        if room < record.parameter_count {
            return NONE;
        }
        self.notes += record.parameter_count;
        for index in 0..record.parameter_count {
            let mut top = Fact::top(Width::of_bits(64));
            let mut known = None;
            let mut edge = self.workspace.blocks[block as usize][INCOMING];
            while edge != NONE && known != Some(top) {
                let [at, from, next] = self.workspace.edges[edge as usize];
                edge = next;
                let Some(&argument) = self.extra.get(at + 2 + index) else {
                    known = Some(top);
                    break;
                };
                top = Fact::top(width_of(&self.draft[argument as usize]));
                let one = self.fact_at(argument, from, DEPTH);
                known = Some(known.map_or(one, |known| known.join(&one)));
            }
            let note = &mut self.workspace.notes[(first + index) as usize];
            note[NOTE_BLOCK] = NONE;
            note[NOTE_NEXT] = NONE;
            note[NOTE_FACT..].copy_from_slice(&known.unwrap_or(top).into_words());
        }
        first
    }

    /// What holds of a loop's parameter in every round, where `begins` holds in the first.
    fn carried(&mut self, op: &Op, block: u32, begins: Fact) -> Fact {
        let width = width_of(op);
        if begins == Fact::top(width) {
            return begins;
        }
        let program = self.program;
        let local = (block - self.function.first_block) as usize;
        let position = self.workspace.blocks[local][POSITION];
        let parameter = Inside {
            value: program.blocks[block as usize].first_op + op.a,
            boxing: Boxing::from_word(op.b),
        };
        let (mut all, mut up, mut down) = (begins, true, true);
        let mut edge = self.workspace.blocks[local][COMING];
        let mut several = false;
        while edge != NONE {
            let [at, from, next] = self.workspace.edges[edge as usize];
            edge = next;
            if from < position {
                continue;
            }
            let argument = self.unaliased(program.extra[(at + 2 + op.a) as usize]);
            if argument == parameter.value {
                continue;
            }
            let argument = match parameter.boxing {
                None => argument,
                Some(boxing) => match self.inside(argument, block, boxing) {
                    Ok(carried) => carried,
                    Err(fact) => {
                        (up, down, several) = (false, false, true);
                        all = all.join(&fact);
                        continue;
                    }
                },
            };
            // What the way back says of the argument also bounds the parameter, if there is no other way back.
            let source = self.workspace.order[from as usize] + self.function.first_block;
            let whole = Inside {
                value: argument,
                boxing: None,
            };
            let taken = self.edge_condition(source, at, whole, width);
            let bound = if several || self.comes_back_otherwise(edge, position) {
                Fact::top(width)
            } else {
                begins.join(&taken)
            };
            several = true;
            let (one, step) = self.next_round(argument, parameter, block, width, &bound);
            let step = step.filter(|step| step.exact);
            up &= step.as_ref().is_some_and(|step| step.by >= 0);
            down &= step.as_ref().is_some_and(|step| step.by <= 0);
            all = all.join(&one.meet(width, &taken));
        }
        if up {
            all = all.meet(width, &Fact::signed(width, begins.low, width.most()));
        }
        if down {
            all = all.meet(width, &Fact::signed(width, width.least(), begins.high));
        }
        all
    }

    /// Whether one of these edges of the program comes back.
    fn comes_back_otherwise(&self, mut edge: u32, position: u32) -> bool {
        while edge != NONE {
            let [_, from, next] = self.workspace.edges[edge as usize];
            if from >= position {
                return true;
            }
            edge = next;
        }
        false
    }

    /// What an argument of an edge that comes back may be, and how it differs from the parameter.
    pub fn next_round(
        &mut self,
        argument: u32,
        parameter: Inside,
        head: u32,
        width: Width,
        bound: &Fact,
    ) -> (Fact, Option<Step>) {
        let op = self.program.ops[argument as usize];
        let (narrow, _) = narrowed_with_width(op.code);
        let subtracts = matches!(narrow, Opcode::I32Sub | Opcode::I32SubChecked);
        let checked = matches!(narrow, Opcode::I32AddChecked | Opcode::I32SubChecked);
        let adds = matches!(narrow, Opcode::I32Add | Opcode::I32AddChecked);
        if adds || subtracts {
            let by = if self.is_same(op.a, parameter) {
                Some(op.b)
            } else if adds && self.is_same(op.b, parameter) {
                Some(op.a)
            } else {
                None
            };
            if let Some(by) = by {
                let by = self.old_fact(by, head, 1);
                if by == Fact::top(width) {
                    return (by, None);
                }
                let within = self
                    .conditions(parameter, argument, head, width)
                    .meet(width, bound);
                let one = transfer::value_of(width, narrow, &within, &by);
                let by = by.known().map(|bits| width.signed(bits));
                let by = by.and_then(|by| {
                    if subtracts {
                        by.checked_neg()
                    } else {
                        Some(by)
                    }
                });
                let step = by.map(|by| {
                    let end =
                        i128::from(by) + i128::from(if by > 0 { within.high } else { within.low });
                    let fits = end <= i128::from(width.most()) && end >= i128::from(width.least());
                    Step {
                        by,
                        exact: checked || fits,
                    }
                });
                return (one, step);
            }
        }
        (self.old_fact(argument, head, DEPTH), None)
    }

    // The program as it stands: ops that are not walked yet.

    /// The value that a parameter that is not walked yet is known to be, or the value itself.
    pub fn unaliased(&self, value: u32) -> u32 {
        let mut value = value;
        for _ in 0..DEPTH {
            let first = self.function.first_op;
            let alias = self.workspace.aliases[(value - first) as usize];
            if self.program.ops[value as usize].code != Opcode::Parameter
                || alias >= super::order::SELF
                || self.is_walked(value)
            {
                break;
            }
            value = first + alias;
        }
        value
    }

    /// Whether the map says what stands for a value of the program.
    fn is_walked(&self, value: u32) -> bool {
        let block = self.verified.block_of(value) - self.function.first_block;
        let known = self.workspace.map[(value - self.function.first_op) as usize];
        let block = self.record_of(block);
        self.workspace.blocks[block as usize][FLAGS] & FLAG_DONE != 0 && known != NONE
    }

    /// What holds of a value of the program wherever it is, in the loop with this head.
    fn old_fact(&mut self, value: u32, head: u32, depth: u32) -> Fact {
        let value = self.unaliased(value);
        let op = self.program.ops[value as usize];
        if let Some(bits) = rules::constant_of(&op) {
            return Fact::constant(width_of(&op), bits);
        }
        if !is_integer(&op) {
            return Fact::top(width_of(&op));
        }
        if op.code == Opcode::I32Unbox && depth > 0 {
            let boxing = Boxing {
                code: Opcode::I64BoxI32,
                tag: op.aux,
            };
            if carries_whole(&self.program.tag_of(&op))
                && let Some(fact) = self.old_carried(op.a, head, depth - 1, boxing)
            {
                return fact;
            }
        }
        if self.is_walked(value) {
            let new = self.workspace.map[(value - self.function.first_op) as usize];
            return self.fact_at(new, head, depth);
        }
        if depth == 0 || op.code == Opcode::Parameter {
            return Fact::top(width_of(&op));
        }
        self.by_op(&op, |walk, operand| walk.old_fact(operand, head, depth - 1))
    }

    /// What holds of what a word of the program carries, if it is known where it was boxed.
    fn old_carried(&mut self, word: u32, head: u32, depth: u32, boxing: Boxing) -> Option<Fact> {
        let word = self.unaliased(word);
        let op = self.program.ops[word as usize];
        if (op.code, op.aux) == (boxing.code, boxing.tag) {
            return Some(self.old_fact(op.a, head, depth));
        }
        if !self.is_walked(word) {
            return None;
        }
        let new = self.workspace.map[(word - self.function.first_op) as usize];
        let op = self.draft[new as usize];
        let boxed = (op.code, op.aux) == (boxing.code, boxing.tag);
        boxed.then(|| self.fact_at(op.a, head, depth))
    }

    /// What a word of the program carries that a parameter without its box gets: a value of the program, or what holds of it.
    pub fn inside(&mut self, word: u32, head: u32, boxing: Boxing) -> Result<u32, Fact> {
        let op = self.program.ops[word as usize];
        if (op.code, op.aux) == (boxing.code, boxing.tag) {
            return Ok(self.unaliased(op.a));
        }
        let width = match boxing.code {
            Opcode::I64BoxI32 => Width::of_bits(32),
            _ => Width::of_bits(64),
        };
        if let Some(bits) = rules::constant_of(&op) {
            let tag = &self.program.tags[usize::from(boxing.tag)];
            return Err(Fact::constant(width, boxing.take_off(tag, bits)));
        }
        let known = self.old_carried(word, head, DEPTH, boxing);
        Err(known.unwrap_or(Fact::top(width)))
    }

    /// Whether a value of the program is what a parameter carries.
    pub fn is_same(&self, value: u32, parameter: Inside) -> bool {
        let value = self.unaliased(value);
        let op = &self.program.ops[value as usize];
        match parameter.boxing {
            None => value == parameter.value,
            Some(boxing) => {
                boxing.code == Opcode::I64BoxI32
                    && (op.code, op.aux) == (Opcode::I32Unbox, boxing.tag)
                    && self.unaliased(op.a) == parameter.value
                    && carries_whole(&self.program.tag_of(op))
            }
        }
    }

    /// What a condition of the program says of a value of it, if it holds, or does not.
    fn old_condition(
        &mut self,
        condition: u32,
        mut holds: bool,
        value: Inside,
        head: u32,
        width: Width,
    ) -> Fact {
        let mut op = self.program.ops[condition as usize];
        for _ in 0..DEPTH {
            if op.code != Opcode::I32Eqz {
                break;
            }
            holds = !holds;
            op = self.program.ops[op.a as usize];
        }
        let code = if holds {
            Some(op.code)
        } else {
            op.code.inverse()
        };
        let top = Fact::top(width);
        let Some((code, swapped)) = code.and_then(|code| Some((code, code.swapped()?))) else {
            return top;
        };
        let (code, other) = if self.is_same(op.a, value) {
            (code, op.b)
        } else if self.is_same(op.b, value) {
            (swapped, op.a)
        } else {
            return top;
        };
        let (narrow, width) = narrowed_with_width(code);
        let other = self.old_fact(other, head, 2);
        transfer::implied(width, narrow, &other).told(width)
    }

    /// What holds of a value of the program on an edge, by the branch that ends its block.
    fn edge_condition(&mut self, source: u32, edge: u32, value: Inside, width: Width) -> Fact {
        let program = self.program;
        let op = super::order::terminator(program, &program.blocks[source as usize]);
        let one_way = op.code == Opcode::Branch
            && program.extra[op.b as usize] != program.extra[op.c as usize];
        if !one_way {
            return Fact::top(width);
        }
        self.old_condition(op.a, edge == op.b, value, source, width)
    }

    /// What holds of a loop's parameter where an op of the loop stands: guards before it, and branches that lead only there.
    fn conditions(&mut self, parameter: Inside, op: u32, head: u32, width: Width) -> Fact {
        let program = self.program;
        let mut fact = Fact::top(width);
        let mut block = self.verified.block_of(op);
        let mut end = op;
        let mut ops = MOST_OPS;
        for _ in 0..MOST_BLOCKS {
            let record = &program.blocks[block as usize];
            let first = record.first_op + record.parameter_count;
            for index in (first..end).rev() {
                if ops == 0 {
                    break;
                }
                ops -= 1;
                let op = &program.ops[index as usize];
                if op.code == Opcode::Guard || op.code == Opcode::GuardNot {
                    let holds = op.code == Opcode::Guard;
                    let more = self.old_condition(op.a, holds, parameter, head, width);
                    fact = fact.meet(width, &more);
                }
            }
            let above = self.verified.immediate_dominator(block);
            if block == head || above == NONE {
                break;
            }
            let local = (block - self.function.first_block) as usize;
            let edge = self.workspace.blocks[local][COMING];
            if let Some(&[at, from, NONE]) = self.workspace.edges.get(edge as usize)
                && self.workspace.order[from as usize] + self.function.first_block == above
            {
                let more = self.edge_condition(above, at, parameter, width);
                fact = fact.meet(width, &more);
            }
            block = above;
            let record = &program.blocks[block as usize];
            end = record.first_op + record.op_count - 1;
        }
        fact
    }
}

/// Whether a unary op gives an integer as wide as the one that it takes.
fn is_same_width(op: &Op) -> bool {
    let info = op.code.info();
    info.result == Some(info.operands[0])
}
