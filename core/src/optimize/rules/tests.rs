//! Every rule against the op table and its measure: the same values over a grid of operands, and what it lowers.

extern crate std;

use super::super::classes::is_of_interest;
use super::super::width::WIDENED;
use super::*;
use crate::ops::evaluate;
use crate::types::Type;
use std::vec::Vec;

/// A draft in which rules find what they look for.
struct Draft(Vec<Op>);

impl Draft {
    fn op(&mut self, code: Opcode, a: u32, b: u32) -> u32 {
        self.0.push(Op {
            code,
            aux: 0,
            a,
            b,
            c: 0,
        });
        self.0.len() as u32 - 1
    }

    fn constant(&mut self, ty: Type, bits: u64) -> u32 {
        let code = match ty {
            Type::I32 => O::I32Const,
            Type::I64 | Type::Ref => O::I64Const,
            Type::F32 => O::F32Const,
            Type::F64 => O::F64Const,
        };
        let at = self.op(code, 0, bits as u32);
        self.0[at as usize].c = (bits >> 32) as u32;
        at
    }

    /// The value of an op, where parameters have these values; `None` where it leaves.
    fn value(&self, at: u32, given: &[u64]) -> Option<u64> {
        let op = &self.0[at as usize];
        match op.code {
            O::Parameter => Some(given[op.a as usize]),
            _ if constant_of(op).is_some() => constant_of(op),
            code => {
                let a = self.value(op.a, given)?;
                let b = if code.info().operand_count > 1 {
                    self.value(op.b, given)?
                } else {
                    0
                };
                evaluate(code, a, b).expect("a scalar op")
            }
        }
    }

    fn of(&mut self, outcome: Outcome, like: Type) -> u32 {
        let mut term = |ty: Type, term: Term| match term {
            Term::Value(value) => value,
            Term::Constant(bits) => self.constant(ty, bits),
        };
        match outcome {
            Outcome::Value(value) => value,
            Outcome::Constant(bits) => term(like, Term::Constant(bits)),
            Outcome::Op(code, a, b) => {
                let operands = code.info().operands;
                let a = term(operands[0], a);
                let b = b.map_or(0, |b| term(operands[1], b));
                self.op(code, a, b)
            }
        }
    }
}

fn interesting(ty: Type) -> Vec<u64> {
    let mut all: Vec<u64> = match ty {
        Type::F32 => [
            0.0f32,
            -0.0,
            1.0,
            -1.0,
            2.0,
            0.5,
            3.7,
            f32::MAX,
            f32::INFINITY,
            1e-40,
            f32::from_bits(0xffa0_0001),
        ]
        .iter()
        .map(|value| u64::from(value.to_bits()))
        .collect(),
        Type::F64 => [
            0.0,
            -0.0,
            1.0,
            -1.0,
            2.0,
            0.5,
            3.7,
            f64::MAX,
            f64::INFINITY,
            1e-310,
            f64::from_bits(0x7ff4 << 48 | 1),
        ]
        .iter()
        .map(|value: &f64| value.to_bits())
        .collect(),
        _ => [0, 1, 2, 3, 7, 15, 31, 32, 33, 63, 64]
            .iter()
            .flat_map(|&n| [n, !n, 1 << (n & 63), (1 << (n & 63)) - 1])
            .collect(),
    };
    if ty == Type::I32 {
        all.iter_mut()
            .for_each(|bits| *bits = u64::from(*bits as u32));
    }
    all
}

/// Ops over two parameters for which the rule might be meant, at one width.
fn sites(rule: &Rule, width: Width) -> Vec<(Draft, u32)> {
    let code = width.of(rule.on);
    let info = code.info();
    let [first, second, _] = info.operands;
    let mut sites = Vec::new();
    let mut add = |make: &mut dyn FnMut(&mut Draft) -> (u32, u32)| {
        let mut draft = Draft(Vec::new());
        for index in 0..2 {
            let at = draft.op(O::Parameter, index, 0);
            draft.0[at as usize].aux = first as u16;
        }
        let (a, b) = make(&mut draft);
        let at = draft.op(code, a, b);
        sites.push((draft, at));
    };
    let inner = |draft: &mut Draft, inner: Opcode, constant: Option<u64>| {
        let [own, other, _] = inner.info().operands;
        for at in 0..2 {
            draft.0[at].aux = own as u16;
        }
        let b = constant.map_or(1, |bits| draft.constant(other, bits));
        let b = if inner.info().operand_count > 1 { b } else { 0 };
        draft.op(inner, 0, b)
    };
    let truths = [
        O::I32Eq,
        O::I64LtS,
        O::F64Lt,
        O::I32Eqz,
        O::I64Eqz,
        O::F32Ne,
    ];
    match rule.when {
        When::RightIs(_)
        | RightIsFloat(_)
        | RightConstant
        | RightPower
        | RightReciprocal
        | RightWide => {
            for bits in interesting(second) {
                add(&mut |draft| (0, draft.constant(second, bits)));
            }
        }
        LeftIs(value) => add(&mut |draft| (draft.constant(first, width.unsigned(value)), 1)),
        RightMasked => {
            for mask in [31, 63, 127] {
                add(&mut |draft| {
                    let mask = draft.constant(second, mask);
                    (0, draft.op(width.of(O::I32And), 1, mask))
                });
            }
        }
        Same => add(&mut |_| (0, 0)),
        When::Left(op) => add(&mut |draft| (inner(draft, width.of(op), None), 1)),
        When::Right(op) => add(&mut |draft| (0, draft.op(width.of(op), 1, 0))),
        LeftConstant(op) => {
            for (d, c) in [(1, 2), (31, 31), (5, 60), (u64::MAX, 3), (1 << 31, 1 << 31)] {
                let (d, c) = (width.unsigned(d as i64), width.unsigned(c as i64));
                add(&mut |draft| {
                    let left = inner(draft, width.of(op), Some(d));
                    (left, draft.constant(second, c))
                });
            }
        }
        LeftWith(op, value) => {
            let op = width.of(op);
            let bits = if op == O::I64And {
                value as u64
            } else {
                u64::from(value as u32)
            };
            add(&mut |draft| (inner(draft, op, Some(bits)), 1));
        }
        LeftEndsWithRight(op) => add(&mut |draft| (draft.op(width.of(op), 0, 1), 1)),
        LeftBeginsWithRight(op) => add(&mut |draft| (draft.op(width.of(op), 1, 0), 1)),
        LeftInverts => {
            for truth in truths {
                add(&mut |draft| (inner(draft, truth, None), 1));
            }
        }
        TruthAndRightIs(value) | InvertsAndRightIs(value) => {
            for truth in truths {
                add(&mut |draft| {
                    let left = inner(draft, truth, None);
                    (left, draft.constant(second, width.unsigned(value)))
                });
            }
        }
        Rotation => {
            for count in [1, 7, 31] {
                let bits = u64::from(width.bits());
                for swapped in [false, true] {
                    add(&mut |draft| {
                        let up = draft.constant(second, count);
                        let down = draft.constant(second, bits - count);
                        let up = draft.op(width.of(O::I32Shl), 0, up);
                        let down = draft.op(width.of(O::I32ShrU), 0, down);
                        if swapped { (down, up) } else { (up, down) }
                    });
                }
            }
        }
    }
    sites
}

fn same(ty: Type, a: Option<u64>, b: Option<u64>) -> bool {
    let nan = |bits: Option<u64>| match (ty, bits) {
        (Type::F32, Some(bits)) => f32::from_bits(bits as u32).is_nan(),
        (Type::F64, Some(bits)) => f64::from_bits(bits).is_nan(),
        _ => false,
    };
    let quiet = |bits: Option<u64>| match (ty, bits) {
        (Type::F32, Some(bits)) => bits & 1 << 22 != 0,
        (_, Some(bits)) => bits & 1 << 51 != 0,
        _ => false,
    };
    a == b || (nan(a) && nan(b) && (quiet(b) || !quiet(a)))
}

#[test]
fn every_rule_keeps_the_value_and_lowers_its_measure() {
    for rule in RULES {
        let mut tried = 0;
        for wide in [false, true] {
            let width = Width { wide };
            if wide && WIDENED[rule.on as usize] as usize == rule.on as usize {
                continue;
            }
            for (mut draft, at) in sites(rule, width) {
                let op = draft.0[at as usize];
                let fits = Site::new(&draft.0, &op, width).fits(rule.when);
                let Some(outcome) = fits
                    .then(|| Site::new(&draft.0, &op, width).outcome(rule))
                    .flatten()
                else {
                    continue;
                };
                assert!(is_of_interest(&draft.0, &op), "{rule:?} is not asked");
                assert!(apply(&draft.0, &op).is_some(), "{rule:?} is passed by");
                let ty = op.code.info().result.expect("a value");
                let new = draft.of(outcome, ty);
                lowers(rule, &draft.0, &op, outcome);
                let given = [draft.0[0].aux, draft.0[1].aux]
                    .map(|aux| interesting(Type::from_code(u32::from(aux)).expect("a type")));
                for &x in &given[0] {
                    for &y in &given[1] {
                        let before = draft.value(at, &[x, y]);
                        let after = draft.value(new, &[x, y]);
                        assert!(
                            same(ty, before, after),
                            "{rule:?} of {x:#x}, {y:#x}: {before:x?}, {after:x?}"
                        );
                    }
                }
                tried += 1;
            }
        }
        assert!(tried > 0, "nothing that fits: {rule:?}");
    }
}

/// What an op costs, roughly in cycles.
fn cost(code: Opcode) -> u32 {
    match narrowed(code) {
        O::I32Mul | O::F32Mul | O::F32Add | O::F32Sub => 4,
        O::I32MulChecked => 5,
        O::I32AddChecked | O::I32SubChecked => 2,
        O::I32DivS | O::I32DivU | O::I32RemS | O::I32RemU | O::F32Div => 20,
        _ => 1,
    }
}

/// Order among ops of one cost.
fn rank(code: Opcode, has_constant: bool) -> u32 {
    let rank = match narrowed(code) {
        O::I32Eqz | O::I32WrapI64 | O::F32Neg => 0,
        O::I32Add | O::I32AddChecked | O::I32Ne => 1,
        O::I32Sub | O::I32SubChecked | O::I32Eq => 2,
        _ => 3,
    };
    2 * rank + u32::from(has_constant)
}

fn lowers(rule: &Rule, draft: &[Op], op: &Op, outcome: Outcome) {
    let holds = match (rule.lowers, outcome) {
        (Measure::Count, Outcome::Value(_) | Outcome::Constant(_)) => true,
        // The operands of what is new are operands of the old op's operand, or constants; a shift may be a constant.
        (Measure::Depth, Outcome::Op(code, a, b)) => {
            let below = |term| match term {
                Term::Constant(_) => true,
                Term::Value(value) => value < op.a.max(op.b),
            };
            let deeper = matches!(rule.then, Then::RightInner(_)) || below(a);
            let same = cost(code) <= cost(op.code) + 4 * u32::from(code != op.code);
            deeper && b.is_none_or(below) && same
        }
        (Measure::Depth, Outcome::Constant(_)) => rule.then == ShiftSum,
        (Measure::Cost, Outcome::Op(code, ..)) => {
            // Twice the same operand is read once.
            cost(code) < cost(op.code) || matches!(rule.then, Twice(_))
        }
        (Measure::Rank, Outcome::Op(code, _, b)) => {
            let before =
                op.code.info().operand_count > 1 && constant_of(&draft[op.b as usize]).is_some();
            let after = matches!(b, Some(Term::Constant(_)));
            let lower = rank(code, after) < rank(op.code, before);
            cost(code) <= cost(op.code) && (lower || rule.then == Reduced)
        }
        _ => false,
    };
    assert!(holds, "{rule:?} does not lower it: {outcome:?}");
}
