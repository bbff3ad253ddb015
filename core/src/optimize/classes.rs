//! Which ops cannot have a cheaper form, told by what gives their operands: most ops are passed on at once.
//!
//! Ops that some rule ([`super::rules`]) looks for beneath another have a bit each, what can be inverted one for all of them, and constants one
//! for each kind that rules ask for. An op is
//! of interest if a bit of its operands is among those that its rules ask for. That is necessary, not sufficient: the rules are asked then.

use super::boxes::takes_any_nan;
use super::rules::{RULES, Rule, When};
use super::width::{NARROW, WIDE};
use crate::ir::Op;
use crate::ops::{ALL, Opcode, Shape};

/// Constants.
const CONSTANTS: u32 = 1 << 29;
/// What has an inverse.
const INVERTS: u32 = 1 << 30;
/// Every op.
const ANY: u32 = 1 << 31;
/// Constants that are 0.
const ZERO: u32 = 1 << 28;
/// Constants that are 1.
const ONE: u32 = 1 << 27;
/// Constants that are -1 at one of the widths.
const MINUS_ONE: u32 = 1 << 26;
/// Constants that are powers of two, but for 1.
const POWER: u32 = 1 << 25;
/// Constants that are at least as great as the lesser width.
const WIDE_COUNT: u32 = 1 << 24;
/// How many bits there are for single ops. If there are more of those, they share.
const SINGLE: u32 = 24;

/// By op, its bits.
static CLASSES: [u32; Opcode::COUNT] = classes();

/// What an op's rules ask for.
#[derive(Clone, Copy)]
struct Interest {
    left: u32,
    right: u32,
    /// Also if both operands are the same value.
    same: bool,
}

static INTERESTS: [Interest; Opcode::COUNT] = interests();

/// Whether an op over values of the draft may have a cheaper form.
#[inline(always)]
pub(super) fn is_of_interest(draft: &[Op], op: &Op) -> bool {
    let interest = &INTERESTS[op.code as usize];
    // What is no value, as the index of a function, may be past the draft; no rule asks for it.
    let of = |value: u32| draft.get(value as usize);
    let left = of(op.a).map_or(0, |op| CLASSES[op.code as usize]);
    let right = of(op.b).map_or(0, class_of);
    (interest.left & left) | (interest.right & right) != 0 || (interest.same && op.a == op.b)
}

/// The bits of an op of the draft.
#[inline(always)]
pub(super) fn class_of(op: &Op) -> u32 {
    let class = CLASSES[op.code as usize];
    if class & CONSTANTS == 0 {
        return class;
    }
    let bits = op.constant();
    let kind = |holds: bool, kind: u32| if holds { kind } else { 0 };
    class
        | kind(bits == 0, ZERO)
        | kind(bits == 1, ONE)
        | kind(bits == u64::MAX || bits == u64::from(u32::MAX), MINUS_ONE)
        | kind(bits > 1 && bits & (bits - 1) == 0, POWER)
        | kind(bits >= 32, WIDE_COUNT)
}

/// The kind of constant that is this number.
const fn kind_of(value: i64) -> u32 {
    match value {
        0 => ZERO,
        1 => ONE,
        -1 => MINUS_ONE,
        2 => POWER,
        _ => CONSTANTS,
    }
}

const fn narrow(code: Opcode) -> usize {
    (NARROW[code as usize] & !WIDE) as usize
}

/// The op that a condition asks for beneath one of the operands.
const fn beneath(when: When) -> Option<Opcode> {
    match when {
        When::Left(code)
        | When::Right(code)
        | When::LeftConstant(code)
        | When::LeftWith(code, _)
        | When::LeftEndsWithRight(code)
        | When::LeftBeginsWithRight(code) => Some(code),
        When::RightMasked => Some(Opcode::I32And),
        _ => None,
    }
}

const fn classes() -> [u32; Opcode::COUNT] {
    let mut table = [ANY; Opcode::COUNT];
    let mut next = 0;
    let mut at = 0;
    // Those of which no rule but another step knows, then those of the rules.
    let others = [
        Opcode::I64BoxF64,
        Opcode::F64Canonicalize,
        Opcode::I32Shl,
        Opcode::I32ShrU,
    ];
    while at < others.len() + RULES.len() {
        let code = if at < others.len() {
            Some(others[at])
        } else {
            beneath(RULES[at - others.len()].when)
        };
        if let Some(code) = code
            && table[narrow(code)] == ANY
        {
            table[narrow(code)] |= 1 << (next % SINGLE);
            next += 1;
        }
        at += 1;
    }
    at = 0;
    while at < table.len() {
        let code = ALL[at];
        table[at] = table[narrow(code)];
        if matches!(code.info().shape, Shape::Constant) {
            table[at] |= CONSTANTS;
        }
        if code.inverse().is_some() || matches!(code, Opcode::I32Eqz | Opcode::I64Eqz) {
            table[at] |= INVERTS;
        }
        at += 1;
    }
    table
}

/// The bits of one op alone.
const fn single(classes: &[u32; Opcode::COUNT], code: Opcode) -> u32 {
    classes[narrow(code)] & ((1 << SINGLE) - 1)
}

/// The classes of which both operands must have one each for a rule to apply.
#[derive(Clone, Copy)]
pub(super) struct Needs {
    left: u32,
    right: u32,
}

impl Needs {
    /// Of each of these rules.
    pub const fn of<const COUNT: usize>(rules: &[Rule; COUNT]) -> [Needs; COUNT] {
        let classes = classes();
        let mut table = [Needs {
            left: ANY,
            right: ANY,
        }; COUNT];
        let mut at = 0;
        while at < COUNT {
            table[at] = needs(&classes, rules[at].when);
            at += 1;
        }
        table
    }

    /// Whether ops of these classes may be the operands.
    #[inline(always)]
    pub fn are_met(&self, left: u32, right: u32) -> bool {
        self.left & left != 0 && self.right & right != 0
    }
}

const fn needs(classes: &[u32; Opcode::COUNT], when: When) -> Needs {
    let mut needs = Needs {
        left: ANY,
        right: ANY,
    };
    match when {
        When::RightIs(value) | When::TruthAndRightIs(value) => needs.right = kind_of(value),
        When::RightIsFloat(_) | When::RightConstant | When::RightReciprocal => {
            needs.right = CONSTANTS;
        }
        When::RightPower => needs.right = POWER,
        When::RightWide => needs.right = WIDE_COUNT,
        When::InvertsAndRightIs(value) => {
            needs.left = INVERTS;
            needs.right = kind_of(value);
        }
        When::LeftIs(_) => needs.left = CONSTANTS,
        When::LeftInverts => needs.left = INVERTS,
        When::Same => {}
        When::Rotation => {
            needs.left = single(classes, Opcode::I32Shl) | single(classes, Opcode::I32ShrU);
        }
        When::Right(code) => needs.right = single(classes, code),
        When::RightMasked => needs.right = single(classes, Opcode::I32And),
        When::LeftConstant(code) => {
            needs.left = single(classes, code);
            needs.right = CONSTANTS;
        }
        When::Left(code)
        | When::LeftWith(code, _)
        | When::LeftEndsWithRight(code)
        | When::LeftBeginsWithRight(code) => needs.left = single(classes, code),
    }
    needs
}

const fn interests() -> [Interest; Opcode::COUNT] {
    let classes = classes();
    let mut table = [Interest {
        left: 0,
        right: 0,
        same: false,
    }; Opcode::COUNT];
    let mut at = 0;
    while at < RULES.len() {
        let rule = &RULES[at];
        let interest = &mut table[rule.on as usize];
        let needs = needs(&classes, rule.when);
        // One of the two will do, the one that says more.
        if needs.left & (ANY | INVERTS) == 0 {
            interest.left |= needs.left;
        } else if needs.right & ANY == 0 {
            interest.right |= needs.right;
        } else if needs.left & ANY == 0 {
            interest.left |= needs.left;
        } else {
            interest.same = true;
        }
        at += 1;
    }
    at = 0;
    while at < table.len() {
        let code = ALL[at];
        table[at] = table[narrow(code)];
        at += 1;
    }
    at = 0;
    while at < table.len() {
        let code = ALL[at];
        let interest = &mut table[at];
        match code.info().shape {
            // Folding, and constants to the right.
            Shape::Unary | Shape::Binary => interest.left |= CONSTANTS,
            Shape::Select | Shape::Tag => interest.left |= ANY,
            _ => {}
        }
        if takes_any_nan(code) {
            interest.left |= single(&classes, Opcode::F64Canonicalize);
            if code.info().operand_count > 1 {
                interest.right |= single(&classes, Opcode::F64Canonicalize);
            }
        }
        if matches!(code, Opcode::F64ReinterpretI64) {
            interest.left |= single(&classes, Opcode::I64BoxF64);
        }
        at += 1;
    }
    table
}
