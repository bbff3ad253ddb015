//! Values, conditions and exits.

use super::{Builder, FREE_SLOT, any_type, interesting_bits};
use crate::draft::{DraftExit, DraftOp, Value, constant_of};
use patchjit::ir::{ExitKind, boxed_place};
use patchjit::ops::{Opcode, flags};
use patchjit::types::Type;

impl Builder<'_> {
    pub(super) fn new_value(&mut self, ty: Type) -> Value {
        let value = self.function.value();
        self.types.insert(value, ty);
        value
    }

    pub(super) fn push(&mut self, op: DraftOp) {
        self.function.blocks[self.block].ops.push(op);
    }

    /// Appends an op that gives a value, which nothing picks by chance yet.
    pub(super) fn give(&mut self, mut op: DraftOp, ty: Type) -> Value {
        let value = self.new_value(ty);
        op.results = vec![(value, ty)];
        self.push(op);
        value
    }

    pub(super) fn constant(&mut self, ty: Type, bits: u64) -> Value {
        let mut op = DraftOp::new(constant_of(ty));
        op.immediate = if ty.bits() == 32 {
            bits & 0xffff_ffff
        } else {
            bits
        };
        if ty == Type::Ref {
            let bits = self.give(op, Type::I64);
            return self.unary(Opcode::RefFromI64, bits);
        }
        let value = self.give(op, ty);
        self.exact.insert(value);
        value
    }

    pub(super) fn any_constant(&mut self, ty: Type) -> Value {
        let bits = interesting_bits(self.random, ty);
        self.constant(ty, bits)
    }

    pub(super) fn unary(&mut self, code: Opcode, a: Value) -> Value {
        let mut op = DraftOp::new(code);
        op.operands = vec![a];
        self.give(op, code.info().result.expect("a value"))
    }

    pub(super) fn binary(&mut self, code: Opcode, a: Value, b: Value) -> Value {
        let mut op = DraftOp::new(code);
        op.operands = vec![a, b];
        self.give(op, code.info().result.expect("a value"))
    }

    pub(super) fn keep(&mut self, value: Value) {
        self.scope.push(value);
    }

    /// A value of this type: one in scope, or a constant.
    pub(super) fn any(&mut self, ty: Type) -> Value {
        if self.random.percent(8) {
            return self.any_constant(ty);
        }
        let recent = self.scope.len().saturating_sub(8);
        if self.random.percent(self.style.recent) {
            let of_type = |value: &&Value| self.types[value] == ty;
            if let Some(&value) = self.scope[recent..].iter().rev().find(of_type) {
                return value;
            }
        }
        let all: Vec<Value> = self
            .scope
            .iter()
            .copied()
            .filter(|value| self.types[value] == ty)
            .collect();
        if all.is_empty() {
            return self.any_constant(ty);
        }
        *self.random.pick(&all)
    }

    /// A float whose bits may be observed.
    pub(super) fn any_exact(&mut self, ty: Type) -> Value {
        let value = self.any(ty);
        match ty {
            Type::F32 if !self.exact.contains(&value) => {
                self.canonical(Opcode::F32Canonicalize, value)
            }
            Type::F64 if !self.exact.contains(&value) => {
                self.canonical(Opcode::F64Canonicalize, value)
            }
            _ => value,
        }
    }

    pub(super) fn canonical(&mut self, code: Opcode, value: Value) -> Value {
        let value = self.unary(code, value);
        self.exact.insert(value);
        value
    }

    /// A condition: a comparison that may be fused, or any value.
    pub(super) fn condition(&mut self) -> Value {
        if self.random.percent(25) {
            return self.any(Type::I32);
        }
        if self.random.percent(20) {
            return self.bit_test();
        }
        let codes: Vec<Opcode> = Opcode::all()
            .filter(|code| code.info().has(flags::COMPARES))
            .collect();
        let code = *self.random.pick(&codes);
        let value = self.scalar(code);
        if self.random.percent(30) {
            self.keep(value);
        }
        value
    }

    /// Some of the lowest bits of a value, or their comparison with zero.
    fn bit_test(&mut self) -> Value {
        use Opcode::*;
        let (ty, and, codes) = match self.random.percent(50) {
            true => (Type::I64, I64And, [I64Eqz, I64Eq, I64Ne]),
            false => (Type::I32, I32And, [I32Eqz, I32Eq, I32Ne]),
        };
        let mask = self.random.below(0x180) as u64;
        let (value, mask) = (self.any(ty), self.constant(ty, mask));
        let bits = self.in_any_order(and, value, mask);
        if self.random.percent(20) {
            self.keep(bits);
        }
        if ty == Type::I32 && self.random.percent(30) {
            return bits;
        }
        let code = *self.random.pick(&codes);
        let condition = if code.info().operand_count == 1 {
            self.unary(code, bits)
        } else {
            let zero = self.constant(ty, 0);
            self.in_any_order(code, bits, zero)
        };
        if self.random.percent(40) {
            self.keep(condition);
        }
        condition
    }

    fn in_any_order(&mut self, code: Opcode, a: Value, b: Value) -> Value {
        match self.random.percent(50) {
            true => self.binary(code, a, b),
            false => self.binary(code, b, a),
        }
    }

    /// A condition that holds, as a rule.
    pub(super) fn true_condition(&mut self) -> Value {
        if self.random.percent(self.style.risk) {
            return self.condition();
        }
        match self.random.below(5) {
            4 => {
                let a = self.any(Type::I64);
                let tag = self.random.below(self.draft.tags.len()) as u64;
                let mut op = DraftOp::new(Opcode::I64Box);
                (op.operands, op.immediate) = (vec![a], tag);
                let word = self.give(op, Type::I64);
                self.keep(word);
                let mut op = DraftOp::new(Opcode::I64TagTest);
                (op.operands, op.immediate) = (vec![word], tag);
                self.give(op, Type::I32)
            }
            0 => {
                let (a, one) = (self.any(Type::I32), self.any_constant(Type::I32));
                let odd = self.constant(Type::I32, 1);
                let one = self.binary(Opcode::I32Or, one, odd);
                self.binary(Opcode::I32Or, a, one)
            }
            1 => {
                let a = self.any(Type::I64);
                let mask = self.constant(Type::I64, 0xff);
                let a = self.binary(Opcode::I64And, a, mask);
                let bound = self.constant(Type::I64, 0x100);
                self.binary(Opcode::I64LtU, a, bound)
            }
            2 => {
                let a = self.any(Type::I32);
                self.binary(Opcode::I32GeU, a, a)
            }
            _ => {
                let (a, zero) = (self.any(Type::I64), self.constant(Type::I64, 0));
                self.binary(Opcode::I64GeU, a, zero)
            }
        }
    }

    // Exits.

    pub(super) fn exit(&mut self) -> DraftExit {
        let free = (self.draft.slot_count - FREE_SLOT) as usize;
        let count = match self.random.below(6) {
            0 => free.min(12),
            1..=3 => 0,
            _ => self.random.below(free + 1).min(4),
        };
        let mut snapshot = Vec::new();
        for _ in 0..count {
            let slot = FREE_SLOT + self.random.below(free) as u32;
            let ty = any_type(self.random, self.style);
            // Constants of a snapshot are made in front of the op.
            let value = self.any(ty);
            let place = if Opcode::boxes(ty).is_some() && self.random.percent(25) {
                boxed_place(slot, self.random.below(self.draft.tags.len()) as u16)
            } else {
                slot
            };
            snapshot.push((place, value));
        }
        let kind = if self.random.percent(50) {
            ExitKind::Trap
        } else {
            self.deoptimizes = true;
            ExitKind::Deoptimize
        };
        DraftExit {
            kind,
            number: *self
                .random
                .pick(&[0, 1, 7, 500, 70_000, 0x8000_0000, u32::MAX]),
            snapshot,
        }
    }
}
