//! Simplification: an op that is about to be appended, in its cheapest form, or the value that it is known to be.
//!
//! Takes an op over names of the draft; promises a value that is the same in the block that is walked. In this order: the
//! op is folded, the table of rules is applied until no rule fits ([`super::rules`]), the same value is looked for, facts are asked, and
//! what is left is moved before the loop around or appended. Ops that leave for some operands and guards go the same way, with their exits,
//! which are the program's until they are appended. Costs a constant for each op, and for each rule that applies.

use super::classes::is_of_interest;
use super::operands::{PROVABLE, traits_of};
use super::passes::Pass;
use super::rules::{self, Outcome, Term};
use super::walk::{Fault, Walk};
use crate::error::Error;
use crate::ir::{NONE, Op};
use crate::ops::{Opcode, evaluate, evaluate_tag, flags};
use crate::types::Type;
use crate::verify::table::{Check, Form};

/// What an op of 32 bits is without its check for overflow.
fn unchecked(code: Opcode) -> Option<Opcode> {
    match code {
        Opcode::I32AddChecked => Some(Opcode::I32Add),
        Opcode::I32SubChecked => Some(Opcode::I32Sub),
        Opcode::I32MulChecked => Some(Opcode::I32Mul),
        _ => None,
    }
}

/// What rules made of an op.
enum Simplified {
    Value(u32),
    Op(Op),
}

impl Walk<'_, '_, '_, '_> {
    fn term(&mut self, ty: Type, term: Term) -> Result<u32, Fault> {
        match term {
            Term::Value(value) => Ok(value),
            Term::Constant(bits) => self.constant(ty, bits),
        }
    }

    /// An op with other operands. Fields that it does not need are zero but for an exit.
    fn rewritten(
        &mut self,
        exit: u32,
        code: Opcode,
        a: Term,
        b: Option<Term>,
    ) -> Result<Op, Fault> {
        let info = code.info();
        let a = self.term(info.operands[0], a)?;
        let b = match b {
            Some(term) => self.term(info.operands[1], term)?,
            None => 0,
        };
        let c = if info.has(flags::LEAVES) { exit } else { 0 };
        Ok(Op {
            code,
            aux: 0,
            a,
            b,
            c,
        })
    }

    /// Constants go right where operands may be swapped.
    #[inline]
    fn ordered(&mut self, mut op: Op) -> Op {
        let info = op.code.info();
        if info.operand_count == 2
            && self.constant_bits(op.a).is_some()
            && self.constant_bits(op.b).is_none()
        {
            let code = if info.has(flags::COMMUTES) {
                Some(op.code)
            } else {
                op.code.swapped()
            };
            if let Some(code) = code
                && self.steps.may(Pass::Simplify)
            {
                op = Op {
                    code,
                    a: op.b,
                    b: op.a,
                    ..op
                };
            }
        }
        op
    }

    /// The value of an op that only computes.
    pub fn pure(&mut self, op: Op) -> Result<u32, Fault> {
        let mut op = op;
        if is_of_interest(self.draft, &op) {
            match self.simplified(op)? {
                Simplified::Value(value) => return Ok(value),
                Simplified::Op(simpler) => op = simpler,
            }
        }
        let hash = self.hash(&op);
        if let Some(value) = self.find_common(hash, &op) {
            return Ok(value);
        }
        if traits_of(op.code) & PROVABLE != 0
            && let Some(value) = self.proved(&op)?
        {
            return Ok(value);
        }
        if self.innermost != NONE
            && self.is_made_before(&op)
            && let Some(value) = self.hoisted(&op)?
        {
            self.remember(hash, value);
            return Ok(value);
        }
        let value = self.append_quiet(op)?;
        self.remember(hash, value);
        Ok(value)
    }

    /// The value of an op that facts tell, as a step.
    #[inline(never)]
    fn proved(&mut self, op: &Op) -> Result<Option<u32>, Fault> {
        let Some(outcome) = self.prove(op).filter(|_| self.has_room()) else {
            return Ok(None);
        };
        self.steps.did(Pass::Facts, 1);
        let value = match outcome {
            Outcome::Value(value) => value,
            Outcome::Constant(bits) => self.result(op, bits)?,
            Outcome::Op(code, a, b) => {
                let op = self.rewritten(NONE, code, a, b)?;
                self.common_or_append(op)?
            }
        };
        Ok(Some(value))
    }

    /// An op that only computes after all rules that apply, or the value that it is.
    #[inline(never)]
    fn simplified(&mut self, op: Op) -> Result<Simplified, Fault> {
        let mut op = op;
        loop {
            let form = Check::of(op.code).form;
            self.without_canonicalize(&mut op);
            if let Some(float) = self.unboxed_float(&op) {
                op = float;
                continue;
            }
            if form == Form::Select {
                op = self.plain_condition(op);
            } else if form == Form::FunctionIndex {
                break;
            }
            let outcome = if form == Form::Select {
                rules::select(self.draft, &op)
            } else {
                op = self.ordered(op);
                if let Some(bits) = self.fold(&op).flatten() {
                    return self.result(&op, bits).map(Simplified::Value);
                }
                if form == Form::Tag {
                    if let Some(value) = self.unboxed(&op)? {
                        return Ok(Simplified::Value(value));
                    }
                    break;
                }
                rules::apply(self.draft, &op)
            };
            let Some(outcome) = outcome else { break };
            if !self.has_room() || !self.steps.take(Pass::Simplify) {
                break;
            }
            match outcome {
                Outcome::Value(value) => return Ok(Simplified::Value(value)),
                Outcome::Constant(bits) => return self.result(&op, bits).map(Simplified::Value),
                Outcome::Op(code, a, b) => op = self.rewritten(NONE, code, a, b)?,
            }
        }
        Ok(Simplified::Op(op))
    }

    /// A selection whose condition is no test for zero.
    fn plain_condition(&mut self, op: Op) -> Op {
        let (value, opposite) = rules::condition(self.draft, op.a);
        if value == op.a || !self.steps.take(Pass::Simplify) {
            return op;
        }
        let (b, c) = if opposite { (op.c, op.b) } else { (op.b, op.c) };
        Op {
            a: value,
            b,
            c,
            ..op
        }
    }

    /// An op's own type as a constant.
    fn result(&mut self, op: &Op, bits: u64) -> Result<u32, Fault> {
        let ty = op.result().ok_or(Fault)?;
        self.constant(ty, bits)
    }

    /// The result of an op over constants, counted as a step: `None` if there is an operand that is none, or no step may be
    /// made; inside, `None` if it leaves.
    fn fold(&mut self, op: &Op) -> Option<Option<u64>> {
        let a = self.constant_bits(op.a)?;
        let b = if op.code.info().operand_count > 1 {
            self.constant_bits(op.b)?
        } else {
            0
        };
        // Constants are no refs, which a collector would look at.
        if op.result() == Some(Type::Ref) || !self.steps.may(Pass::Fold) {
            return None;
        }
        let value = if Check::of(op.code).form == Form::Tag {
            Some(evaluate_tag(op.code, &self.program.tag_of(op), a)?)
        } else {
            evaluate(op.code, a, b)?
        };
        if value.is_some() {
            self.steps.did(Pass::Fold, 1);
        }
        Some(value)
    }

    /// The value of an op that leaves for some operands. Its exit is the program's.
    pub fn leaving(&mut self, op: Op) -> Result<u32, Error> {
        let mut op = op;
        while is_of_interest(self.draft, &op) {
            op = self.ordered(op);
            match self.fold(&op) {
                Some(Some(bits)) => return Ok(self.result(&op, bits)?),
                // It always leaves: what comes behind it never runs.
                Some(None) => break,
                None => {}
            }
            let Some(outcome) = rules::apply(self.draft, &op) else {
                break;
            };
            if !self.has_room() || !self.steps.take(Pass::Simplify) {
                break;
            }
            match outcome {
                Outcome::Value(value) => return Ok(value),
                Outcome::Constant(bits) => return Ok(self.result(&op, bits)?),
                Outcome::Op(code, a, b) => op = self.rewritten(op.c, code, a, b)?,
            }
            if !op.code.info().has(flags::LEAVES) {
                return Ok(self.pure(op)?);
            }
        }
        let hash = self.hash(&op);
        if let Some(value) = self.find_common(hash, &op) {
            return Ok(value);
        }
        if let Some((pass, proved)) = self.prove_check(&op) {
            self.steps.did(pass, 1);
            if !proved.code.info().has(flags::LEAVES) {
                return Ok(self.pure(proved)?);
            }
            // An unsigned division may be cheaper still.
            return self.leaving(proved);
        }
        if self.steps.may(Pass::Strength)
            && self.has_room()
            && let Some(value) = self.divide(&op)?
        {
            self.steps.did(Pass::Strength, 1);
            // What it is made of now says less than what it is.
            if self.steps.may(Pass::Facts) {
                let fact = self.fact_of(&op);
                self.learn(value, self.block, &fact);
            }
            return Ok(value);
        }
        if self.is_spoken_for()
            && let Some(plain) = unchecked(op.code)
        {
            let fact = self.fact_of(&op);
            let value = self.pure(Op {
                code: plain,
                c: 0,
                ..op
            })?;
            self.learn(value, self.block, &fact);
            return Ok(value);
        }
        self.wish_for_op(&op);
        op.c = self.exit(op.c)?;
        let value = self.append(op)?;
        self.remember(hash, value);
        Ok(value)
    }

    /// A guard. Says whether it always leaves, so that the block ends here.
    pub fn guard(&mut self, op: Op) -> Result<bool, Error> {
        let mut op = Op {
            a: self.name(op.a),
            ..op
        };
        let (value, opposite) = rules::condition(self.draft, op.a);
        if value != op.a && self.steps.take(Pass::Simplify) {
            op.a = value;
            op.code = match (op.code, opposite) {
                (Opcode::Guard, true) => Opcode::GuardNot,
                (Opcode::GuardNot, true) => Opcode::Guard,
                (code, _) => code,
            };
        }
        let hash = self.hash(&op);
        if self.find_common(hash, &op).is_some() {
            return Ok(false);
        }
        if let Some((truth, pass)) = self.known_condition(op.a, Pass::Guards) {
            self.steps.did(pass, 1);
            let passes = truth == (op.code == Opcode::Guard);
            if !passes {
                let exit = self.exit(op.c)?;
                self.append(Op {
                    code: Opcode::Exit,
                    aux: 0,
                    a: 0,
                    b: 0,
                    c: exit,
                })?;
            }
            return Ok(!passes);
        }
        if self.is_spoken_for() && op.code == Opcode::Guard {
            self.learn_condition(op.a, &[(true, self.block)]);
            return Ok(false);
        }
        self.wish_for_guard(&op);
        self.append_guard(hash, op)?;
        Ok(false)
    }

    /// A guard that is not known, over the draft's names but for its exit, which is the program's.
    pub fn append_guard(&mut self, hash: u32, mut op: Op) -> Result<(), Error> {
        let moved = if self.clean {
            self.hoisted_guard(&op)?
        } else {
            None
        };
        let value = match moved {
            Some(value) => value,
            None => {
                op.c = self.exit(op.c)?;
                self.append(op)?
            }
        };
        self.remember(hash, value);
        self.learn_condition(op.a, &[(op.code == Opcode::Guard, self.block)]);
        Ok(())
    }

    /// Whether a condition is not zero, if that is known, and the pass that may use it: branches where it is a constant, else facts
    /// for this one.
    pub fn known_condition(&mut self, value: u32, pass: Pass) -> Option<(bool, Pass)> {
        if let Some(bits) = self.constant_bits(value) {
            let known = (bits as u32 != 0, Pass::Branches);
            return self.steps.may(Pass::Branches).then_some(known);
        }
        if !self.steps.may(pass) || !self.steps.may(Pass::Facts) {
            return None;
        }
        self.truth(value).map(|truth| (truth, pass))
    }
}
