//! Checks in a peeled loop that a test in front of it decides.
//!
//! ```text
//!        before ──> copy of the loop <──┐     every check is made
//!                     ...               │
//!                   test ── does not ───┘
//!                     │ holds
//!                     v
//!                   loop <──┐                 checks that the test speaks for are not
//!                     ...   │
//!                     └─────┘
//! ```
//!
//! Where a loop is peeled ([`super::peel`]) its copy may stay a loop: at the end of each round a test says whether the checks in the
//! loop behind it can fail. Nothing leaves earlier than it did, and what fails the test does not leave at all.
//!
//! A check is spoken for if what it checks is `k * factor + sum + constant`, exactly, of a parameter `k` of the loop's head that is a counter
//! of 32 bits, where factor and sum do not change in the loop. What the counter can be at the check lies between two bounds: where it begins, if
//! it only goes away from there; what a condition on the way to the check compares it with; or what is known of it anyway. So the two
//! ends of what is checked are tested, in 64 bits, where nothing wraps: that a sum fits, or that an index is below a length. A product of
//! counters is spoken for by the test that they begin at zero or above.
//!
//! What is found out in the copy holds for the loop, which is the same program in a state that the copy leads to. What is known only
//! where the test holds is not used in the copy.
//!
//! Takes a loop whose ways back are all plain jumps; costs a constant for each check of the copy and each way back.

use super::ahead::{Inside, carries_whole};
use super::carry::Boxing;
use super::facts::Fact;
use super::order;
use super::passes::Pass;
use super::rules;
use super::transfer;
use super::walk::{End, Fault, Phase, SPARE, Walk};
use super::width::{Width, narrowed_with_width};
use super::workspace::{BLOCK, CHAIN, COMING, FLAG_VERSIONED, FLAGS, NOTE_FACT, PENDING, POSITION};
use crate::error::Error;
use crate::ir::{NONE, Op};
use crate::ops::{Opcode, flags};
use crate::types::Type;
use crate::verify::table::{Check, Form};

/// How many checks are spoken for at most.
const MOST: usize = 16;
/// How many conditions on counters are remembered.
const MOST_LIMITS: usize = 8;
/// How many ops deep a value is looked into.
const DEPTH: u32 = 4;
/// How many ops the test for one check takes at most.
const TEST_OPS: u32 = 24;

/// A condition that was passed: a counter is on this side of a value that does not change in the loop.
#[derive(Clone, Copy)]
struct Limit {
    index: u32,
    value: u32,
    above: bool,
    inclusive: bool,
    block: u32,
}

/// What a counter is at most, or at least, at a check.
#[derive(Clone, Copy)]
enum Bound {
    /// What it is when the loop begins.
    Begin,
    /// A value, and this more.
    Value(u32, i64),
    /// This.
    Known(i64),
}

/// What is tested.
#[derive(Clone, Copy)]
enum Kind {
    /// It is at least 0 and less than this value.
    Below(u32),
    /// It is an i32.
    Fits,
    /// The counter begins at 0 or above.
    Positive,
}

/// A value in terms of a counter: `counter * factor + sum + constant`.
#[derive(Clone, Copy)]
struct Affine {
    /// The counter's place among the head's parameters, and how it is boxed there.
    index: u32,
    boxing: Option<Boxing>,
    counter: u32,
    /// A value, or [`NONE`] for a constant.
    factor: u32,
    factor_constant: i64,
    /// A value, or [`NONE`].
    sum: u32,
    constant: i64,
}

/// A check that the test speaks for.
#[derive(Clone, Copy)]
struct Wish {
    /// The op of the program.
    op: u32,
    kind: Kind,
    affine: Affine,
    most: Bound,
    least: Bound,
    /// A step that must not be negative, or [`NONE`].
    step: u32,
}

const NO_LIMIT: Limit = Limit {
    index: 0,
    value: 0,
    above: false,
    inclusive: false,
    block: NONE,
};
const NO_WISH: Wish = Wish {
    op: NONE,
    kind: Kind::Positive,
    affine: Affine {
        index: 0,
        boxing: None,
        counter: 0,
        factor: NONE,
        factor_constant: 0,
        sum: NONE,
        constant: 0,
    },
    most: Bound::Begin,
    least: Bound::Begin,
    step: NONE,
};

/// What is known of the loop at hand.
pub(super) struct Version {
    /// The record of the copy's head; [`NONE`] if the loop is not versioned.
    head: u32,
    /// The first value of the copy.
    first: u32,
    limits: [Limit; MOST_LIMITS],
    limit_count: usize,
    wishes: [Wish; MOST],
    count: usize,
    /// A way back was made: what is tested is settled.
    settled: bool,
}

impl Version {
    pub const NONE: Version = Version {
        head: NONE,
        first: 0,
        limits: [NO_LIMIT; MOST_LIMITS],
        limit_count: 0,
        wishes: [NO_WISH; MOST],
        count: 0,
        settled: false,
    };
}

/// How a counter goes.
struct Steps {
    up: bool,
    down: bool,
    /// It goes up if this value is not negative, or [`NONE`].
    by: u32,
}

impl Walk<'_, '_, '_, '_> {
    /// Whether a loop's copy can stay a loop: all ways back are jumps, and it has checks that might be spoken for.
    pub fn can_be_versioned(&self, head: u32, end: u32) -> bool {
        if !self.steps.may(Pass::Version) {
            return false;
        }
        let (program, first) = (self.program, self.function.first_block);
        let head_block = self.workspace.order[head as usize];
        let mut edge = self.workspace.blocks[head_block as usize][COMING];
        while edge != NONE {
            let [_, from, next] = self.workspace.edges[edge as usize];
            edge = next;
            let source = first + self.workspace.order[from as usize];
            let op = order::terminator(program, &program.blocks[source as usize]);
            if from >= head && op.code != Opcode::Jump {
                return false;
            }
        }
        (head..=end).any(|position| {
            let block = first + self.workspace.order[position as usize];
            let record = &program.blocks[block as usize];
            let body = &program.ops[record.first_op as usize..][..record.op_count as usize];
            body.iter().any(|op| {
                use Opcode::*;
                matches!(
                    op.code,
                    I32AddChecked | I32SubChecked | I32MulChecked | I32LtU | I64LtU
                )
            })
        })
    }

    /// Begins with a loop's copy, by the record of the loop's head.
    pub fn begin_version(&mut self, block: u32) {
        self.version = Version::NONE;
        if self.workspace.blocks[block as usize][FLAGS] & FLAG_VERSIONED != 0 {
            self.version.head = block + self.function.block_count;
            self.version.first = self.used;
        }
    }

    fn is_wishing(&self) -> bool {
        matches!(self.phase, Phase::Copy(..))
            && self.version.head != NONE
            && !self.version.settled
            && self.version.count < MOST
    }

    /// The counter that a value of the copy is, and how the parameter is boxed.
    fn counter(&self, value: u32) -> Option<(u32, Option<Boxing>)> {
        let op = self.draft[value as usize];
        let is_parameter = |value: u32| {
            self.draft[value as usize].code == Opcode::Parameter
                && self.workspace.values[value as usize][CHAIN] == self.version.head
        };
        if op.code == Opcode::Parameter {
            let own = is_parameter(value) && op.result() == Some(Type::I32);
            return own.then(|| (op.a, Boxing::from_word(op.b)));
        }
        if op.code != Opcode::I32Unbox || !is_parameter(op.a) {
            return None;
        }
        let boxing = Boxing {
            code: Opcode::I64BoxI32,
            tag: op.aux,
        };
        let tag = self.program.tag_of(&op);
        carries_whole(&tag).then_some((self.draft[op.a as usize].a, Some(boxing)))
    }

    /// Whether a value is the same in every round.
    fn is_invariant(&self, value: u32, depth: u32) -> bool {
        let op = &self.draft[value as usize];
        if value < self.version.first || rules::constant_of(op).is_some() {
            return true;
        }
        let info = op.code.info();
        let steady = match Check::of(op.code).form {
            Form::Unary | Form::Tag | Form::UnaryLeaves => true,
            Form::Binary | Form::BinaryLeaves => depth > 0 && self.is_invariant(op.b, depth - 1),
            Form::Load => !info.has(flags::ATOMIC) && self.written & 1 << (op.region() & 31) == 0,
            _ => false,
        };
        steady && depth > 0 && self.is_invariant(op.a, depth - 1)
    }

    /// A value of 32 bits in terms of a counter.
    fn affine(&mut self, value: u32, depth: u32) -> Option<Affine> {
        if let Some((index, boxing)) = self.counter(value) {
            return Some(Affine {
                index,
                boxing,
                counter: value,
                factor: NONE,
                factor_constant: 1,
                sum: NONE,
                constant: 0,
            });
        }
        let op = self.draft[value as usize];
        if value < self.version.first || depth == 0 {
            return None;
        }
        self.affine_op(&op, depth - 1)
    }

    /// The same of what an op gives, if that is exact.
    fn affine_op(&mut self, op: &Op, depth: u32) -> Option<Affine> {
        let (narrow, width) = narrowed_with_width(op.code);
        if width.bits() != 32 || op.code.info().operand_count != 2 {
            return None;
        }
        use Opcode::*;
        let checked = match narrow {
            I32AddChecked | I32SubChecked | I32MulChecked => narrow,
            I32Add | I32Sub | I32Mul => {
                let code = match narrow {
                    I32Add => I32AddChecked,
                    I32Sub => I32SubChecked,
                    _ => I32MulChecked,
                };
                let (a, b) = (self.fact(op.a), self.fact(op.b));
                if !transfer::never_leaves(width, code, &a, &b) {
                    return None;
                }
                code
            }
            _ => return None,
        };
        let (mut inner, other) = match self.affine(op.a, depth) {
            Some(inner) => (inner, op.b),
            None if checked == I32SubChecked => return None,
            None => (self.affine(op.b, depth)?, op.a),
        };
        let known = self.constant_bits(other).map(|bits| width.signed(bits));
        match (checked, known) {
            (I32AddChecked, Some(by)) => inner.constant += by,
            (I32SubChecked, Some(by)) => inner.constant -= by,
            (I32AddChecked, None) if inner.sum == NONE && self.is_invariant(other, DEPTH) => {
                inner.sum = other;
            }
            (I32MulChecked, _)
                if (inner.factor, inner.factor_constant) == (NONE, 1)
                    && (inner.sum, inner.constant) == (NONE, 0) =>
            {
                match known {
                    Some(by) => inner.factor_constant = by,
                    None if self.is_invariant(other, DEPTH) => inner.factor = other,
                    None => return None,
                }
            }
            _ => return None,
        }
        // Sums of a few constants stay far from the ends of 64 bits.
        (inner.constant.unsigned_abs() < 1 << 40).then_some(inner)
    }

    /// Remembers that a counter was compared with something that does not change.
    pub fn note_limit(&mut self, op: &Op, holds: bool, block: u32) {
        if !self.is_wishing() || self.version.limit_count >= MOST_LIMITS {
            return;
        }
        let code = if holds {
            Some(op.code)
        } else {
            op.code.inverse()
        };
        let Some(mut code) = code else { return };
        let (mut counter, mut value) = (self.counter(op.a), op.b);
        if counter.is_none() {
            let Some(swapped) = code.swapped() else {
                return;
            };
            (code, counter, value) = (swapped, self.counter(op.b), op.a);
        }
        let (above, inclusive) = match code {
            Opcode::I32LtS => (true, false),
            Opcode::I32LeS => (true, true),
            Opcode::I32GtS => (false, false),
            Opcode::I32GeS => (false, true),
            _ => return,
        };
        if let Some((index, _)) = counter
            && self.is_invariant(value, DEPTH)
        {
            self.version.limits[self.version.limit_count] = Limit {
                index,
                value,
                above,
                inclusive,
                block,
            };
            self.version.limit_count += 1;
        }
    }

    /// How a counter goes from round to round, if it goes one way or the other, by the program.
    fn counter_steps(&mut self, affine: &Affine) -> Steps {
        let program = self.program;
        let head = self.original(self.version.head);
        let block = self.function.first_block + head;
        let position = self.workspace.blocks[head as usize][POSITION];
        let (width, top) = (Width::of_bits(32), Fact::top(Width::of_bits(32)));
        let counter = Inside {
            value: program.blocks[block as usize].first_op + affine.index,
            boxing: affine.boxing,
        };
        let mut steps = Steps {
            up: true,
            down: true,
            by: NONE,
        };
        let none = Steps {
            up: false,
            down: false,
            by: NONE,
        };
        let mut edge = self.workspace.blocks[head as usize][COMING];
        while edge != NONE {
            let [at, from, next] = self.workspace.edges[edge as usize];
            edge = next;
            if from < position {
                continue;
            }
            let argument = self.unaliased(program.extra[(at + 2 + affine.index) as usize]);
            if argument == counter.value {
                continue;
            }
            let argument = match affine.boxing {
                None => argument,
                Some(boxing) => match self.inside(argument, block, boxing) {
                    Ok(argument) => argument,
                    Err(_) => return none,
                },
            };
            let (_, step) = self.next_round(argument, counter, block, width, &top);
            if let Some(step) = step {
                steps.up &= step.exact && step.by >= 0;
                steps.down &= step.exact && step.by <= 0;
                continue;
            }
            // A step that does not change in the loop.
            steps.down = false;
            let op = program.ops[argument as usize];
            let by = if op.code != Opcode::I32AddChecked {
                return none;
            } else if self.is_same(op.a, counter) {
                op.b
            } else if self.is_same(op.b, counter) {
                op.a
            } else {
                return none;
            };
            let Some(by) = self.walked(by) else {
                return none;
            };
            if !self.is_invariant(by, DEPTH) || (steps.by != NONE && steps.by != by) {
                return none;
            }
            steps.by = by;
        }
        steps
    }

    /// The draft's name of a value of the program that was walked.
    fn walked(&self, value: u32) -> Option<u32> {
        let known = self.workspace.map[(self.unaliased(value) - self.function.first_op) as usize];
        (known != NONE).then_some(known)
    }

    /// The condition that bounds a counter where the walk is.
    fn limit(&self, index: u32, above: bool) -> Option<Bound> {
        let limits = self.version.limits[..self.version.limit_count].iter();
        let mut holding = limits.filter(|limit| {
            (limit.index, limit.above) == (index, above)
                && (limit.block == self.block || self.verified.dominates(limit.block, self.block))
        });
        holding.next().map(|limit| {
            let by = i64::from(!limit.inclusive);
            Bound::Value(limit.value, if above { -by } else { by })
        })
    }

    /// Wishes for a check, if there is a test that speaks for it.
    fn wish(&mut self, kind: Kind, affine: Affine) {
        let steps = self.counter_steps(&affine);
        let fact = self.fact(affine.counter);
        let up = steps.up;
        let most = if steps.down {
            Some(Bound::Begin)
        } else {
            self.limit(affine.index, true)
        };
        let least = if up {
            Some(Bound::Begin)
        } else {
            self.limit(affine.index, false)
        };
        // Where nothing is known of an end the test would never hold, and keep the loop from being entered.
        let (width, positive) = (Width::of_bits(32), matches!(kind, Kind::Positive));
        let bounded = (most.is_some() || fact.high < width.most())
            && (least.is_some() || fact.low > width.least());
        if !bounded && !positive {
            return;
        }
        let wish = Wish {
            op: self.source,
            kind,
            affine,
            most: most.unwrap_or(Bound::Known(fact.high)),
            least: least.unwrap_or(Bound::Known(fact.low)),
            step: if up { steps.by } else { NONE },
        };
        self.version.wishes[self.version.count] = wish;
        self.version.count += 1;
    }

    /// Wishes that a guard of the copy cannot fail in the loop, if it asks whether an index is below something.
    pub fn wish_for_guard(&mut self, op: &Op) {
        if !self.is_wishing() || op.code != Opcode::Guard {
            return;
        }
        let condition = self.draft[op.a as usize];
        let index = match condition.code {
            Opcode::I32LtU => condition.a,
            Opcode::I64LtU => {
                let wide = self.draft[condition.a as usize];
                if wide.code != Opcode::I64ExtendI32U {
                    return;
                }
                wide.a
            }
            _ => return,
        };
        if self.is_invariant(condition.b, DEPTH)
            && let Some(affine) = self.affine(index, DEPTH)
        {
            self.wish(Kind::Below(condition.b), affine);
        }
    }

    /// Wishes that an op of the copy cannot overflow in the loop.
    pub fn wish_for_op(&mut self, op: &Op) {
        if !self.is_wishing() {
            return;
        }
        let arithmetic = matches!(
            op.code,
            Opcode::I32AddChecked | Opcode::I32SubChecked | Opcode::I32MulChecked
        );
        if !arithmetic {
            return;
        }
        if let Some(affine) = self.affine_op(op, DEPTH) {
            self.wish(Kind::Fits, affine);
        } else if op.code == Opcode::I32MulChecked {
            for value in [op.a, op.b] {
                if self.is_wishing()
                    && self.fact(value).low < 0
                    && let Some((..)) = self.counter(value)
                    && let Some(affine) = self.affine(value, DEPTH)
                {
                    let steps = self.counter_steps(&affine);
                    if steps.up && steps.by == NONE && self.limit(affine.index, true).is_some() {
                        self.wish(Kind::Positive, affine);
                    }
                }
            }
        }
    }

    /// Whether the op of the program at hand is a check that the test in front of this loop speaks for.
    pub fn is_spoken_for(&self) -> bool {
        let wishes = self.version.wishes[..self.version.count].iter();
        matches!(self.phase, Phase::Loop(..))
            && self.version.head != NONE
            && wishes
                .filter(|wish| !matches!(wish.kind, Kind::Positive))
                .any(|wish| wish.op == self.source)
    }

    /// The loop's parameters that begin at zero or above, where the test says so: notes of what they begin with. Behind the choice of those
    /// that go without their boxes; of a word in its box nothing is said.
    pub fn note_positive(&mut self, first_note: u32) {
        let width = Width::of_bits(32);
        for wish in &self.version.wishes[..self.version.count] {
            let index = wish.affine.index;
            let is_plain = wish
                .affine
                .boxing
                .is_none_or(|boxing| self.workspace.stack[index as usize] == boxing.into_word());
            let note = first_note.checked_add(index).filter(|_| is_plain);
            let note = note.and_then(|note| self.workspace.notes.get_mut(note as usize));
            if let Kind::Positive = wish.kind
                && let Some(words) = note.and_then(|note| note[NOTE_FACT..].first_chunk_mut())
            {
                let positive = Fact::signed(width, 0, width.most());
                let fact = Fact::from_words(words).meet(width, &positive);
                *words = fact.into_words();
            }
        }
    }

    /// The end of a round of a versioned loop's copy: on to the loop if the test holds, else round again. `None` if this jump is
    /// none of these.
    pub fn end_of_round(&mut self, at: u32) -> Result<Option<End>, Error> {
        let Phase::Copy(head, _) = self.phase else {
            return Ok(None);
        };
        let block = self.workspace.order[head as usize];
        let copy = block + self.function.block_count;
        let target = self.program.extra[at as usize];
        if self.version.head != copy || target != self.function.first_block + block {
            return Ok(None);
        }
        let settled = self.version.settled;
        self.version.settled = true;
        let (mut all, mut possible, mut kept) = (None, true, 0);
        for place in 0..self.version.count {
            let wish = self.version.wishes[place];
            let has_room = (self.used + self.ahead + SPARE + TEST_OPS) as usize <= self.draft.len();
            let test = match possible && has_room && self.is_available(&wish) {
                true => self.test(&wish, at)?,
                false => None,
            };
            let Some(test) = test else {
                // At the first end of a round it is taken back; the loop may not be reached from others without it.
                possible &= !settled;
                continue;
            };
            self.version.wishes[kept] = wish;
            kept += usize::from(!settled);
            all = match (self.constant_bits(test), all) {
                (Some(_), all) => all,
                (None, None) => Some(test),
                (None, Some(before)) => Some(self.pair(Opcode::I32And, before, test)?),
            };
        }
        if !settled {
            self.version.count = kept;
            self.steps.did(Pass::Version, kept as u32);
        }
        if !possible {
            self.workspace.blocks[block as usize][PENDING] -= 1;
            let edge = self.edge_into(at, copy)?;
            self.jump_to(edge)?;
            return Ok(Some(End::Here));
        }
        let Some(test) = all else {
            self.workspace.blocks[copy as usize][PENDING] -= 1;
            let edge = self.edge_into(at, block)?;
            self.jump_to(edge)?;
            return Ok(Some(End::Here));
        };
        let on = self.edge_into(at, block)?;
        let again = self.edge_into(at, copy)?;
        self.append(Op {
            code: Opcode::Branch,
            aux: 0,
            a: test,
            b: on,
            c: again,
        })?;
        Ok(Some(End::Here))
    }

    /// Whether all that a test is made of is known here.
    fn is_available(&self, wish: &Wish) -> bool {
        let known = |value: u32| {
            value == NONE || {
                let block = self.workspace.values[value as usize][BLOCK];
                block == self.block || self.verified.dominates(block, self.block)
            }
        };
        let bound = |bound: Bound| match bound {
            Bound::Value(value, _) => known(value),
            _ => true,
        };
        let kind = match wish.kind {
            Kind::Below(value) => known(value),
            _ => true,
        };
        let affine = &wish.affine;
        kind && bound(wish.most)
            && bound(wish.least)
            && known(affine.factor)
            && known(affine.sum)
            && known(wish.step)
    }

    fn pair(&mut self, code: Opcode, a: u32, b: u32) -> Result<u32, Fault> {
        self.pure(Op {
            code,
            aux: 0,
            a,
            b,
            c: 0,
        })
    }

    /// A value of 32 bits in 64, with its sign.
    fn wide(&mut self, value: u32) -> Result<u32, Fault> {
        self.pair(Opcode::I64ExtendI32S, value, 0)
    }

    fn wide_constant(&mut self, value: i64) -> Result<u32, Fault> {
        self.constant(Type::I64, value as u64)
    }

    /// The test that speaks for a check, on the edge that ends this round; none, if it never holds.
    fn test(&mut self, wish: &Wish, at: u32) -> Result<Option<u32>, Fault> {
        let affine = &wish.affine;
        let mut begin = self.name(self.program.extra[(at + 2 + affine.index) as usize]);
        if self.draft[begin as usize].result() == Some(Type::I64) {
            let Some(boxing) = affine.boxing else {
                return Ok(None);
            };
            begin = self.without_box(begin, boxing)?;
        }
        let begin = self.wide(begin)?;
        let (zero, mut all) = (self.wide_constant(0)?, None);
        if let Kind::Positive = wish.kind {
            self.also(Opcode::I64GeS, begin, zero, &mut all)?;
            return Ok(self.possible(all));
        }
        if wish.step != NONE {
            let step = self.wide(wish.step)?;
            self.also(Opcode::I64GeS, step, zero, &mut all)?;
        }
        let mut ends = [wish.most, wish.least];
        if affine.factor != NONE {
            let factor = self.wide(affine.factor)?;
            self.also(Opcode::I64GeS, factor, zero, &mut all)?;
        } else if affine.factor_constant < 0 {
            ends.swap(0, 1);
        }
        let mut values = [0; 2];
        for (value, end) in values.iter_mut().zip(ends) {
            let mut sum = match end {
                Bound::Begin => begin,
                Bound::Value(value, by) => {
                    let (value, by) = (self.wide(value)?, self.wide_constant(by)?);
                    self.pair(Opcode::I64Add, value, by)?
                }
                Bound::Known(value) => self.wide_constant(value)?,
            };
            let factor = match affine.factor {
                NONE => self.wide_constant(affine.factor_constant)?,
                factor => self.wide(factor)?,
            };
            sum = self.pair(Opcode::I64Mul, sum, factor)?;
            if affine.sum != NONE {
                let more = self.wide(affine.sum)?;
                sum = self.pair(Opcode::I64Add, sum, more)?;
            }
            let constant = self.wide_constant(affine.constant)?;
            *value = self.pair(Opcode::I64Add, sum, constant)?;
        }
        let [most, least] = values;
        match wish.kind {
            Kind::Below(end) => {
                let end = match self.draft[end as usize].result() {
                    Some(Type::I32) => self.pair(Opcode::I64ExtendI32U, end, 0)?,
                    _ => end,
                };
                self.also(Opcode::I64GeS, least, zero, &mut all)?;
                self.also(Opcode::I64LtS, most, end, &mut all)?;
            }
            _ => {
                let low = self.wide_constant(i64::from(i32::MIN))?;
                let high = self.wide_constant(i64::from(i32::MAX))?;
                self.also(Opcode::I64GeS, least, low, &mut all)?;
                self.also(Opcode::I64LeS, most, high, &mut all)?;
            }
        }
        Ok(self.possible(all))
    }

    /// One comparison more that must hold.
    fn also(&mut self, code: Opcode, a: u32, b: u32, all: &mut Option<u32>) -> Result<(), Fault> {
        let one = self.pair(code, a, b)?;
        *all = Some(match *all {
            Some(all) => self.pair(Opcode::I32And, all, one)?,
            None => one,
        });
        Ok(())
    }

    /// A test that may hold.
    fn possible(&self, test: Option<u32>) -> Option<u32> {
        test.filter(|&test| self.constant_bits(test) != Some(0))
    }
}
