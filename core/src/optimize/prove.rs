//! What facts make of an op: a known comparison, a check that cannot fail, a mask that changes nothing.

use super::passes::Pass;
use super::rules::{Outcome, Term};
use super::transfer;
use super::walk::Walk;
use super::width::narrowed_with_width;
use crate::ir::Op;
use crate::ops::{Opcode, flags};
use crate::types::Type;

/// Whether [`Walk::prove`] knows what to ask about an op that is no comparison.
pub(super) const fn is_provable(code: Opcode) -> bool {
    use Opcode::*;
    matches!(
        code,
        I32And
            | I64And
            | I32Extend8S
            | I64Extend8S
            | I32Extend16S
            | I64Extend16S
            | I64Extend32S
            | I64ExtendI32S
            | I32ShrS
            | I64ShrS
    )
}

impl Walk<'_, '_, '_, '_> {
    /// The value of an op that only computes, if facts tell it or something cheaper. Asks only where there is a chance.
    pub fn prove(&mut self, op: &Op) -> Option<Outcome> {
        if !self.steps.may(Pass::Facts) {
            return None;
        }
        let info = op.code.info();
        if info.has(flags::COMPARES) {
            return self.prove_comparison(op);
        }
        let (narrow, width) = narrowed_with_width(op.code);
        match narrow {
            Opcode::I32And => {
                let mask = self.constant_bits(op.b)?;
                let a = self.fact(op.a);
                ((a.zeros | mask) == u64::MAX).then_some(Outcome::Value(op.a))
            }
            Opcode::I32Extend8S | Opcode::I32Extend16S | Opcode::I64Extend32S => {
                let from = match narrow {
                    Opcode::I32Extend8S => 8,
                    Opcode::I32Extend16S => 16,
                    _ => 32,
                };
                let (a, most) = (self.fact(op.a), (1i64 << (from - 1)) - 1);
                let fits = a.low >= -most - 1 && a.high <= most;
                (fits && !a.is_empty()).then_some(Outcome::Value(op.a))
            }
            Opcode::I64ExtendI32S => {
                let a = self.fact(op.a);
                let code = Opcode::I64ExtendI32U;
                (a.low >= 0).then_some(Outcome::Op(code, Term::Value(op.a), None))
            }
            Opcode::I32ShrS if self.constant_bits(op.b).is_some() => {
                let a = self.fact(op.a);
                let code = width.of(Opcode::I32ShrU);
                (a.low >= 0).then_some(Outcome::Op(
                    code,
                    Term::Value(op.a),
                    Some(Term::Value(op.b)),
                ))
            }
            _ => None,
        }
    }

    fn prove_comparison(&mut self, op: &Op) -> Option<Outcome> {
        let info = op.code.info();
        let known = if op.code == Opcode::I64TagTest {
            let word = self.fact(op.a);
            transfer::has_tag(&self.program.tag_of(op), &word)
        } else if matches!(info.operands[0], Type::I32 | Type::I64) {
            let a = self.fact(op.a);
            let b = if info.operand_count > 1 {
                self.fact(op.b)
            } else {
                a
            };
            let (narrow, _) = narrowed_with_width(op.code);
            transfer::decide(narrow, &a, &b)
        } else {
            None
        };
        let known = known.or_else(|| self.known_otherwise(op));
        known.map(|known| Outcome::Constant(u64::from(known)))
    }

    /// Whether a comparison holds, by what was learned of it in another form.
    fn known_otherwise(&mut self, op: &Op) -> Option<bool> {
        if self.notes == 0 {
            return None;
        }
        let swapped = |op: Op| {
            Some(Op {
                code: op.code.swapped()?,
                a: op.b,
                b: op.a,
                ..op
            })
        };
        let inverse = op.code.inverse().map(|code| Op { code, ..*op });
        let forms = [
            (swapped(*op), false),
            (inverse, true),
            (inverse.and_then(swapped), true),
        ];
        for (form, opposite) in forms {
            if let Some(form) = form
                && let Some(value) = self.find(self.hash(&form), &form)
                && let Some(truth) = self.truth(value)
            {
                return Some(truth != opposite);
            }
        }
        None
    }

    /// The op that a checked one is, if its check cannot fail; or that a signed division is, where nothing is negative.
    pub fn prove_check(&mut self, op: &Op) -> Option<(Pass, Op)> {
        let (narrow, width) = narrowed_with_width(op.code);
        let (pass, code) = match narrow {
            Opcode::I32AddChecked => (Pass::Overflow, Opcode::I32Add),
            Opcode::I32SubChecked => (Pass::Overflow, Opcode::I32Sub),
            Opcode::I32MulChecked => (Pass::Overflow, Opcode::I32Mul),
            Opcode::I32DivS => (Pass::Facts, Opcode::I32DivU),
            Opcode::I32RemS => (Pass::Facts, Opcode::I32RemU),
            _ => return None,
        };
        if !self.steps.may(pass) {
            return None;
        }
        let a = self.fact(op.a);
        if pass == Pass::Facts && a.low < 0 {
            return None;
        }
        let b = self.fact(op.b);
        let holds = match pass {
            Pass::Facts => b.low >= 0,
            _ => transfer::never_leaves(width, narrow, &a, &b),
        };
        let code = width.of(code);
        let c = if code.info().has(flags::LEAVES) {
            op.c
        } else {
            0
        };
        holds.then_some((pass, Op { code, c, ..*op }))
    }
}
