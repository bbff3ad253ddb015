//! Folding and algebra: the table of rules, and how one is found for an op.
//!
//! A rule says: an op whose operands are such and such has the value of something that is cheaper. Rules are tried when an op is
//! about to be appended to the draft, so operands are in their final form and what they are made of can be looked at. What a rule
//! gives is looked at again, until no rule applies. That ends, because each rule lowers a [`Measure`] and raises none
//! that stands before it in the order of [`Measure`]; a test holds every rule to that, and to the op table's semantics.
//!
//! Rules are written for 32 bits, and serve 64 bits too: opcodes, constants and shift counts are taken at the width of the op
//! that is at hand ([`super::width`]).
//!
//! Takes an op over values of the draft; promises the [`Outcome`] of the first rule that applies. Costs a constant for each rule of the
//! op; the classes of the operands ([`super::classes`]) say which ones need not be looked at.

use super::classes::{Needs, class_of};
use super::width::{NARROW, WIDE, Width, narrowed};
use crate::ir::Op;
use crate::ops::{Opcode, flags};

/// What a rule lowers, the strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Measure {
    /// Ops: the op goes, its value is another one's or a constant.
    Count,
    /// The op's cost.
    Cost,
    /// Ops beneath the operands that are not constants.
    Depth,
    /// Order among equals: `add` before `sub`, fewer operands before more, constants in the range that machines have.
    Rank,
}

/// What the operands must be. `a` and `b` are the operands; `x`, `y` those of the op that gives `a`; `c`, `d` constants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum When {
    /// `op(a, c)` with this constant, sign-extended.
    RightIs(i64),
    /// `op(a, c)` with this float.
    RightIsFloat(f64),
    /// `op(c, b)` with this constant, sign-extended.
    LeftIs(i64),
    /// `op(a, c)` with any constant but the least integer.
    RightConstant,
    /// `op(a, c)` with a power of two greater than 1, unsigned.
    RightPower,
    /// `op(a, c)` with a float whose reciprocal is exact.
    RightReciprocal,
    /// `op(a, c)` with a count that is not less than the width.
    RightWide,
    /// `op(a, y & c)` where `c` keeps all bits of a count.
    RightMasked,
    /// `op(a, a)`.
    Same,
    /// `op(a)` or `op(a, b)` where this op gives `a`.
    Left(Opcode),
    /// `op(a, b)` where this op gives `b`.
    Right(Opcode),
    /// `op(x op2 d, c)`.
    LeftConstant(Opcode),
    /// `op(x op2 d)` with this `d`.
    LeftWith(Opcode, i64),
    /// `op(x op2 b, b)`.
    LeftEndsWithRight(Opcode),
    /// `op(b op2 y, b)`.
    LeftBeginsWithRight(Opcode),
    /// `op(a)` where `a` is a comparison that has an inverse, or a test for zero.
    LeftInverts,
    /// `op(a, c)` with this constant, where `a` is 0 or 1.
    TruthAndRightIs(i64),
    /// The same, where `a` can be inverted.
    InvertsAndRightIs(i64),
    /// `(x << c) | (x >> d)`, unsigned, where `c + d` is the width; or the other way round.
    Rotation,
}

/// What the value is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Then {
    /// `a`
    Left,
    /// `x`
    Inner,
    /// `y`
    InnerSecond,
    /// This constant, sign-extended.
    Constant(i64),
    /// `op2(a)`
    Unary(Opcode),
    /// `op2(x)`
    InnerUnary(Opcode),
    /// `op2(x, y)`
    InnerBinary(Opcode),
    /// `op2(a, b's operand)`
    RightInner(Opcode),
    /// `op2(a, a)`
    Twice(Opcode),
    /// `op2(a, c)` with this constant, sign-extended.
    With(Opcode, i64),
    /// `op2(a, -c)`
    Negated(Opcode),
    /// `op2(a, log2 c)`
    Logarithm(Opcode),
    /// `op2(a, c - 1)`
    Mask(Opcode),
    /// `op2(a, 1/c)`
    Reciprocal(Opcode),
    /// `op(a, c mod width)`
    Reduced,
    /// `op2(0, a)`
    FromZero(Opcode),
    /// `op(x, d op2 c)`
    Regroup(Opcode),
    /// `op(x, c op2 d)`
    Moved(Opcode),
    /// `op(x, c + d)`, or what shifting by the width or more gives: 0, or for a signed shift as by the width less 1.
    ShiftSum,
    /// The inverse of the comparison that gives `a`.
    Inverse,
    /// `rotl(x, c)`
    Rotate,
}

/// A line of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    /// The op, at 32 bits where there are two widths.
    pub on: Opcode,
    pub when: When,
    pub then: Then,
    #[cfg_attr(not(test), allow(dead_code, reason = "a promise that a test holds"))]
    pub lowers: Measure,
}

macro_rules! rules {
    ($($on:ident $(($($w:tt)*))?: $when:expr => $then:expr, $measure:ident;)*) => {
        &[$(Rule { on: Opcode::$on, when: $when, then: $then, lowers: Measure::$measure }),*]
    };
}

use Opcode as O;
use Then::*;
use When::{
    InvertsAndRightIs, LeftBeginsWithRight, LeftConstant, LeftEndsWithRight, LeftInverts, LeftIs,
    LeftWith, RightConstant, RightIs, RightIsFloat, RightMasked, RightPower, RightReciprocal,
    RightWide, Rotation, Same, TruthAndRightIs,
};

/// The rules. Of several that apply the first is taken.
pub(super) const RULES: &[Rule] = rules! {
    I32Add: RightIs(0) => Left, Count;
    I32Add: LeftConstant(O::I32Add) => Regroup(O::I32Add), Depth;
    I32Add: LeftEndsWithRight(O::I32Sub) => Inner, Count;
    I32Sub: RightIs(0) => Left, Count;
    I32Sub: Same => Constant(0), Count;
    I32Sub: LeftEndsWithRight(O::I32Add) => Inner, Count;
    I32Sub: LeftBeginsWithRight(O::I32Add) => InnerSecond, Count;
    I32Sub: RightConstant => Negated(O::I32Add), Rank;
    I32Mul: RightIs(0) => Constant(0), Count;
    I32Mul: RightIs(1) => Left, Count;
    I32Mul: RightIs(-1) => FromZero(O::I32Sub), Cost;
    I32Mul: RightPower => Logarithm(O::I32Shl), Cost;
    I32Mul: LeftConstant(O::I32Mul) => Regroup(O::I32Mul), Depth;
    I32MulHighU: RightIs(0) => Constant(0), Count;
    I32MulHighU: RightIs(1) => Constant(0), Count;
    I32MulHighS: RightIs(0) => Constant(0), Count;
    I32And: RightIs(0) => Constant(0), Count;
    I32And: RightIs(-1) => Left, Count;
    I32And: Same => Left, Count;
    I32And: LeftConstant(O::I32And) => Regroup(O::I32And), Depth;
    I32Or: RightIs(0) => Left, Count;
    I32Or: RightIs(-1) => Constant(-1), Count;
    I32Or: Same => Left, Count;
    I32Or: LeftConstant(O::I32Or) => Regroup(O::I32Or), Depth;
    I32Or: Rotation => Rotate, Depth;
    I32Xor: RightIs(0) => Left, Count;
    I32Xor: Same => Constant(0), Count;
    I32Xor: LeftConstant(O::I32Xor) => Regroup(O::I32Xor), Depth;
    I32Xor: LeftEndsWithRight(O::I32Xor) => Inner, Count;
    I32Xor: LeftBeginsWithRight(O::I32Xor) => InnerSecond, Count;
    I32Xor: Rotation => Rotate, Depth;
    I32Shl: RightIs(0) => Left, Count;
    I32Shl: LeftIs(0) => Constant(0), Count;
    I32Shl: RightWide => Reduced, Rank;
    I32Shl: RightMasked => RightInner(O::I32Shl), Depth;
    I32Shl: LeftConstant(O::I32Shl) => ShiftSum, Depth;
    I32ShrU: RightIs(0) => Left, Count;
    I32ShrU: LeftIs(0) => Constant(0), Count;
    I32ShrU: RightWide => Reduced, Rank;
    I32ShrU: RightMasked => RightInner(O::I32ShrU), Depth;
    I32ShrU: LeftConstant(O::I32ShrU) => ShiftSum, Depth;
    I32ShrS: RightIs(0) => Left, Count;
    I32ShrS: LeftIs(0) => Constant(0), Count;
    I32ShrS: LeftIs(-1) => Constant(-1), Count;
    I32ShrS: RightWide => Reduced, Rank;
    I32ShrS: RightMasked => RightInner(O::I32ShrS), Depth;
    I32ShrS: LeftConstant(O::I32ShrS) => ShiftSum, Depth;
    I32Rotl: RightIs(0) => Left, Count;
    I32Rotl: RightWide => Reduced, Rank;
    I32Rotl: RightMasked => RightInner(O::I32Rotl), Depth;
    I32Rotr: RightIs(0) => Left, Count;
    I32Rotr: RightWide => Reduced, Rank;
    I32Rotr: RightMasked => RightInner(O::I32Rotr), Depth;
    I32Eq: Same => Constant(1), Count;
    I32Eq: TruthAndRightIs(1) => Left, Count;
    I32Eq: RightIs(0) => Unary(O::I32Eqz), Rank;
    I32Eq: LeftConstant(O::I32Add) => Moved(O::I32Sub), Depth;
    I32Eq: LeftConstant(O::I32Xor) => Moved(O::I32Xor), Depth;
    I32Ne: Same => Constant(0), Count;
    I32Ne: TruthAndRightIs(0) => Left, Count;
    I32Ne: InvertsAndRightIs(1) => Inverse, Depth;
    I32Ne: LeftConstant(O::I32Add) => Moved(O::I32Sub), Depth;
    I32Ne: LeftConstant(O::I32Xor) => Moved(O::I32Xor), Depth;
    I32Eqz: LeftInverts => Inverse, Depth;
    I32Eqz: When::Left(O::I32Sub) => InnerBinary(O::I32Eq), Depth;
    I32Eqz: When::Left(O::I32Xor) => InnerBinary(O::I32Eq), Depth;
    I32LtS: Same => Constant(0), Count;
    I32LtU: Same => Constant(0), Count;
    I32LtU: RightIs(0) => Constant(0), Count;
    I32LtU: RightIs(1) => Unary(O::I32Eqz), Rank;
    I32GtS: Same => Constant(0), Count;
    I32GtU: Same => Constant(0), Count;
    I32GtU: RightIs(-1) => Constant(0), Count;
    I32GtU: RightIs(0) => With(O::I32Ne, 0), Rank;
    I32LeS: Same => Constant(1), Count;
    I32LeU: Same => Constant(1), Count;
    I32LeU: RightIs(-1) => Constant(1), Count;
    I32LeU: RightIs(0) => Unary(O::I32Eqz), Rank;
    I32GeS: Same => Constant(1), Count;
    I32GeU: Same => Constant(1), Count;
    I32GeU: RightIs(0) => Constant(1), Count;
    I32GeU: RightIs(1) => With(O::I32Ne, 0), Rank;
    I32Bswap: When::Left(O::I32Bswap) => Inner, Count;
    I32Extend8S: When::Left(O::I32Extend8S) => Left, Count;
    I32Extend8S: When::Left(O::I32Extend16S) => InnerUnary(O::I32Extend8S), Depth;
    I32Extend8S: LeftWith(O::I32And, 0xff) => InnerUnary(O::I32Extend8S), Depth;
    I32Extend16S: When::Left(O::I32Extend8S) => Left, Count;
    I32Extend16S: When::Left(O::I32Extend16S) => Left, Count;
    I32Extend16S: LeftWith(O::I32And, 0xffff) => InnerUnary(O::I32Extend16S), Depth;
    I64Extend32S: When::Left(O::I64Extend8S) => Left, Count;
    I64Extend32S: When::Left(O::I64Extend16S) => Left, Count;
    I64Extend32S: When::Left(O::I64Extend32S) => Left, Count;
    I64Extend32S: When::Left(O::I64ExtendI32S) => Left, Count;
    I32WrapI64: When::Left(O::I64ExtendI32S) => Inner, Count;
    I32WrapI64: When::Left(O::I64ExtendI32U) => Inner, Count;
    I32WrapI64: When::Left(O::I64Extend32S) => InnerUnary(O::I32WrapI64), Depth;
    I32WrapI64: LeftWith(O::I64And, 0xffff_ffff) => InnerUnary(O::I32WrapI64), Depth;
    I64ExtendI32S: When::Left(O::I32WrapI64) => InnerUnary(O::I64Extend32S), Depth;
    I32ReinterpretF32: When::Left(O::F32ReinterpretI32) => Inner, Count;
    F32ReinterpretI32: When::Left(O::I32ReinterpretF32) => Inner, Count;
    I64ReinterpretF64: When::Left(O::F64ReinterpretI64) => Inner, Count;
    F64ReinterpretI64: When::Left(O::I64ReinterpretF64) => Inner, Count;
    I64FromRef: When::Left(O::RefFromI64) => Inner, Count;
    // Floats: exact, but for the sign and payload of NaNs. A NaN that arithmetic gives is quiet, so what may hand on a signalling one
    // (x + -0, x * 1, min x x) is no rule.
    F32Add: When::Right(O::F32Neg) => RightInner(O::F32Sub), Depth;
    F32Sub: When::Right(O::F32Neg) => RightInner(O::F32Add), Depth;
    F32Mul: RightIsFloat(2.0) => Twice(O::F32Add), Cost;
    F32Div: RightReciprocal => Reciprocal(O::F32Mul), Cost;
    F32Neg: When::Left(O::F32Neg) => Inner, Count;
    F32Abs: When::Left(O::F32Abs) => Left, Count;
    F32Abs: When::Left(O::F32Neg) => InnerUnary(O::F32Abs), Depth;
    F32Lt: Same => Constant(0), Count;
    F32Gt: Same => Constant(0), Count;
    F32Canonicalize: When::Left(O::F32Canonicalize) => Left, Count;
    // Ops that leave: where they did, they still do.
    I32AddChecked: RightIs(0) => Left, Count;
    I32SubChecked: RightIs(0) => Left, Count;
    I32SubChecked: Same => Constant(0), Count;
    I32SubChecked: RightConstant => Negated(O::I32AddChecked), Rank;
    I32MulChecked: RightIs(0) => Constant(0), Count;
    I32MulChecked: RightIs(1) => Left, Count;
    I32MulChecked: RightIs(-1) => FromZero(O::I32SubChecked), Cost;
    I32MulChecked: RightIs(2) => Twice(O::I32AddChecked), Cost;
    I32DivS: RightIs(1) => Left, Count;
    I32DivS: RightIs(-1) => FromZero(O::I32SubChecked), Cost;
    I32DivU: RightIs(1) => Left, Count;
    I32DivU: RightPower => Logarithm(O::I32ShrU), Cost;
    I32RemS: RightIs(1) => Constant(0), Count;
    I32RemS: RightIs(-1) => Constant(0), Count;
    I32RemU: RightIs(1) => Constant(0), Count;
    I32RemU: RightPower => Mask(O::I32And), Cost;
};

/// Where the rules of each op begin among the sorted ones.
static FIRST: [u16; Opcode::COUNT + 1] = {
    let mut first = [0; Opcode::COUNT + 1];
    let mut at = 0;
    while at < RULES.len() {
        first[RULES[at].on as usize + 1] += 1;
        at += 1;
    }
    let mut code = 0;
    while code < Opcode::COUNT {
        first[code + 1] += first[code];
        code += 1;
    }
    first
};

/// The rules sorted by op, those of one op in the order of the table.
const SORTED_RULES: [Rule; RULES.len()] = {
    let mut sorted = [RULES[0]; RULES.len()];
    let mut next = FIRST;
    let mut at = 0;
    while at < RULES.len() {
        let place = &mut next[RULES[at].on as usize];
        sorted[*place as usize] = RULES[at];
        *place += 1;
        at += 1;
    }
    sorted
};

static SORTED: [Rule; RULES.len()] = SORTED_RULES;

/// What each of them needs.
static NEEDS: [Needs; RULES.len()] = Needs::of(&SORTED_RULES);

/// The bits of a constant op.
#[inline]
pub(super) fn constant_of(op: &Op) -> Option<u64> {
    matches!(
        op.code,
        O::I32Const | O::I64Const | O::F32Const | O::F64Const
    )
    .then(|| op.constant())
}

/// Whether an op gives 0 or 1.
#[inline]
pub(super) fn is_truth(op: &Op) -> bool {
    op.code.info().has(flags::COMPARES)
}

/// An operand of a new op.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Term {
    /// A value of the draft.
    Value(u32),
    /// A constant of the type that the op asks for.
    Constant(u64),
}

/// What an op's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Another value.
    Value(u32),
    /// A constant of the op's type.
    Constant(u64),
    /// The value of another op.
    Op(Opcode, Term, Option<Term>),
}

/// The outcome of the first rule that applies to a unary or binary op over values of the draft.
#[inline]
pub(super) fn apply(draft: &[Op], op: &Op) -> Option<Outcome> {
    let narrow = NARROW[op.code as usize];
    let code = (narrow & !WIDE) as usize;
    let (first, end) = (FIRST[code] as usize, FIRST[code + 1] as usize);
    if first == end {
        return None;
    }
    let width = Width {
        wide: narrow & WIDE != 0,
    };
    let site = Site::new(draft, op, width);
    let (left, right) = (class_of(site.left), class_of(site.right));
    SORTED[first..end]
        .iter()
        .zip(&NEEDS[first..end])
        .find(|(rule, needs)| needs.are_met(left, right) && site.fits(rule.when))
        .and_then(|(rule, _)| site.outcome(rule))
}

/// An op over values of the draft, with what rules ask about it.
struct Site<'d> {
    draft: &'d [Op],
    op: &'d Op,
    width: Width,
    left: &'d Op,
    right: &'d Op,
    /// The second operand, where it is a constant.
    constant: Option<u64>,
}

impl<'d> Site<'d> {
    fn new(draft: &'d [Op], op: &'d Op, width: Width) -> Site<'d> {
        let left = &draft[op.a as usize];
        let binary = op.code.info().operand_count > 1;
        let right = if binary { &draft[op.b as usize] } else { left };
        Site {
            draft,
            op,
            width,
            left,
            right,
            constant: if binary { constant_of(right) } else { None },
        }
    }

    fn right_is(&self, value: i64) -> bool {
        self.constant
            .is_some_and(|bits| self.width.signed(bits) == value)
    }

    /// The second operand of the op that gives the first, where it is a constant.
    fn inner_constant(&self) -> Option<u64> {
        constant_of(&self.draft[self.left.b as usize])
    }

    fn left_by(&self, code: Opcode) -> bool {
        self.left.code == self.width.of(code)
    }

    fn inverts(&self) -> bool {
        self.left.code.inverse().is_some() || matches!(self.left.code, O::I32Eqz | O::I64Eqz)
    }

    /// Not inlined: else all that conditions may ask is worked out before the first one is looked at.
    #[inline(never)]
    fn fits(&self, when: When) -> bool {
        let bits = self.width.bits();
        match when {
            RightIs(value) => self.right_is(value),
            RightIsFloat(value) => self.constant == Some(self.width.float(value)),
            LeftIs(value) => {
                constant_of(self.left).is_some_and(|bits| self.width.signed(bits) == value)
            }
            RightConstant => self
                .constant
                .is_some_and(|c| self.width.signed(c) != i64::MIN >> (64 - bits)),
            RightPower => self.constant.is_some_and(|c| c > 1 && c.is_power_of_two()),
            RightReciprocal => self
                .constant
                .is_some_and(|c| self.width.reciprocal(c).is_some()),
            RightWide => self.constant.is_some_and(|c| c >= u64::from(bits)),
            RightMasked => {
                let kept = u64::from(bits - 1);
                self.right.code == self.width.of(O::I32And)
                    && constant_of(&self.draft[self.right.b as usize])
                        .is_some_and(|c| c & kept == kept)
            }
            Same => self.op.a == self.op.b,
            When::Left(code) => self.left_by(code),
            When::Right(code) => self.right.code == self.width.of(code),
            LeftConstant(code) => {
                self.constant.is_some() && self.left_by(code) && self.inner_constant().is_some()
            }
            LeftWith(code, value) => {
                self.left_by(code)
                    && self.inner_constant().is_some_and(|bits| {
                        let width = Width {
                            wide: self.left.code == O::I64And,
                        };
                        width.signed(bits) == value
                    })
            }
            LeftEndsWithRight(code) => self.left_by(code) && self.left.b == self.op.b,
            LeftBeginsWithRight(code) => self.left_by(code) && self.left.a == self.op.b,
            LeftInverts => self.inverts(),
            TruthAndRightIs(value) => self.right_is(value) && is_truth(self.left),
            InvertsAndRightIs(value) => self.right_is(value) && self.inverts(),
            Rotation => self.rotation().is_some(),
        }
    }

    /// The value that is rotated left, and by how much.
    fn rotation(&self) -> Option<(u32, u64)> {
        let (up, down) = if self.left_by(O::I32Shl) {
            (self.left, self.right)
        } else {
            (self.right, self.left)
        };
        let shifts = up.code == self.width.of(O::I32Shl)
            && down.code == self.width.of(O::I32ShrU)
            && up.a == down.a;
        if !shifts {
            return None;
        }
        let count = constant_of(&self.draft[up.b as usize])?;
        let other = constant_of(&self.draft[down.b as usize])?;
        let whole = u64::from(self.width.bits());
        (count < whole && other < whole && count + other == whole).then_some((up.a, count))
    }

    #[inline(never)]
    fn outcome(&self, rule: &Rule) -> Option<Outcome> {
        let (op, left) = (self.op, self.left);
        let width = self.width;
        let bits = u64::from(width.bits());
        let constant = self.constant.unwrap_or(0);
        let with = |code: Opcode, value: u64| {
            Outcome::Op(
                width.of(code),
                Term::Value(op.a),
                Some(Term::Constant(value)),
            )
        };
        Some(match rule.then {
            Left => Outcome::Value(op.a),
            Inner => Outcome::Value(left.a),
            InnerSecond => Outcome::Value(left.b),
            Constant(value) => {
                let compares = op.code.info().has(flags::COMPARES);
                Outcome::Constant(if compares {
                    value as u64
                } else {
                    width.unsigned(value)
                })
            }
            Unary(code) => Outcome::Op(width.of(code), Term::Value(op.a), None),
            InnerUnary(code) => Outcome::Op(width.of(code), Term::Value(left.a), None),
            InnerBinary(code) => {
                let second = Some(Term::Value(left.b));
                Outcome::Op(width.of(code), Term::Value(left.a), second)
            }
            RightInner(code) => {
                let second = Some(Term::Value(self.right.a));
                Outcome::Op(width.of(code), Term::Value(op.a), second)
            }
            Twice(code) => Outcome::Op(width.of(code), Term::Value(op.a), Some(Term::Value(op.a))),
            With(code, value) => with(code, width.unsigned(value)),
            Negated(code) => with(code, width.unsigned(width.signed(constant).wrapping_neg())),
            Logarithm(code) => with(code, u64::from(constant.trailing_zeros())),
            Mask(code) => with(code, constant - 1),
            Reciprocal(code) => with(code, width.reciprocal(constant)?),
            Reduced => with(narrowed(op.code), constant % bits),
            FromZero(code) => {
                Outcome::Op(width.of(code), Term::Constant(0), Some(Term::Value(op.a)))
            }
            Regroup(code) => {
                let value = self.combine(code, self.inner_constant()?, constant)?;
                Outcome::Op(op.code, Term::Value(left.a), Some(Term::Constant(value)))
            }
            Moved(code) => {
                let value = self.combine(code, constant, self.inner_constant()?)?;
                Outcome::Op(op.code, Term::Value(left.a), Some(Term::Constant(value)))
            }
            ShiftSum => {
                let sum = self.inner_constant()? % bits + constant % bits;
                if sum < bits {
                    let by = Some(Term::Constant(sum));
                    Outcome::Op(op.code, Term::Value(left.a), by)
                } else if narrowed(op.code) == O::I32ShrS {
                    let by = Some(Term::Constant(bits - 1));
                    Outcome::Op(op.code, Term::Value(left.a), by)
                } else {
                    Outcome::Constant(0)
                }
            }
            Inverse => match (left.code.inverse(), left.code) {
                (Some(code), _) => {
                    Outcome::Op(code, Term::Value(left.a), Some(Term::Value(left.b)))
                }
                (None, O::I32Eqz) => not_zero(O::I32Ne, left.a),
                (None, _) => not_zero(O::I64Ne, left.a),
            },
            Rotate => {
                let (value, count) = self.rotation()?;
                let by = Some(Term::Constant(count));
                Outcome::Op(width.of(O::I32Rotl), Term::Value(value), by)
            }
        })
    }

    fn combine(&self, code: Opcode, a: u64, b: u64) -> Option<u64> {
        crate::ops::evaluate_total(self.width.of(code), a, b)
    }
}

fn not_zero(code: Opcode, value: u32) -> Outcome {
    Outcome::Op(code, Term::Value(value), Some(Term::Constant(0)))
}

/// What a selection's value is. `swap` says that the arms changed places on the way.
pub(super) fn select(draft: &[Op], op: &Op) -> Option<Outcome> {
    let condition = &draft[op.a as usize];
    if op.b == op.c {
        return Some(Outcome::Value(op.b));
    }
    if let Some(bits) = constant_of(condition) {
        return Some(Outcome::Value(if bits as u32 != 0 { op.b } else { op.c }));
    }
    if op.code == O::I32Select && is_truth(condition) {
        let arms = (
            constant_of(&draft[op.b as usize]),
            constant_of(&draft[op.c as usize]),
        );
        match arms {
            (Some(1), Some(0)) => return Some(Outcome::Value(op.a)),
            (Some(0), Some(1)) => {
                return Some(Outcome::Op(O::I32Eqz, Term::Value(op.a), None));
            }
            _ => {}
        }
    }
    None
}

/// A condition that is asked whether it is zero: what else can be asked, and whether the answer is the opposite one then.
pub(super) fn condition(draft: &[Op], mut value: u32) -> (u32, bool) {
    let mut opposite = false;
    loop {
        let op = &draft[value as usize];
        match op.code {
            O::I32Eqz => opposite = !opposite,
            O::I32Ne if constant_of(&draft[op.b as usize]) == Some(0) => {}
            _ => return (value, opposite),
        }
        value = op.a;
    }
}

#[cfg(test)]
mod tests;
