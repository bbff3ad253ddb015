//! Ops in the middle of blocks, calls included.

use super::{Builder, FREE_SLOT, RAW_BYTES, any_type, interesting_bits};
use crate::draft::{DraftExit, DraftOp, Value};
use patchjit::ops::{Opcode, Shape, flags};
use patchjit::types::Type;

impl Builder<'_> {
    /// A unary or binary op over any values; where it may leave, over such that it mostly does not.
    pub(super) fn scalar(&mut self, code: Opcode) -> Value {
        let info = code.info();
        let observes = matches!(code, Opcode::I32ReinterpretF32 | Opcode::I64ReinterpretF64);
        let a = if observes {
            self.any_exact(info.operands[0])
        } else {
            self.any(info.operands[0])
        };
        let mut operands = vec![a];
        if info.shape == Shape::Binary {
            let copies_sign = matches!(code, Opcode::F32Copysign | Opcode::F64Copysign);
            let b = match self.random.below(10) {
                0 => a,
                1..=3 => self.any_constant(info.operands[1]),
                _ => self.any(info.operands[1]),
            };
            operands.push(b);
            if copies_sign {
                operands[1] = self.any_exact(info.operands[1]);
            }
        }
        let mut op = DraftOp::new(code);
        if info.shape == Shape::Tag {
            op.immediate = self.random.below(self.draft.tags.len()) as u64;
        }
        if info.has(flags::LEAVES) {
            if !self.random.percent(self.style.risk) {
                self.tame(code, &mut operands);
            }
            op.exit = Some(self.exit());
        }
        let exact = operands.iter().all(|value| self.exact.contains(value))
            && matches!(
                code,
                Opcode::F32Neg
                    | Opcode::F64Neg
                    | Opcode::F32Abs
                    | Opcode::F64Abs
                    | Opcode::F32Copysign
                    | Opcode::F64Copysign
            );
        let exact = exact
            || matches!(
                code,
                Opcode::F32ReinterpretI32
                    | Opcode::F64ReinterpretI64
                    | Opcode::F32Canonicalize
                    | Opcode::F64Canonicalize
                    | Opcode::F32ConvertI32S
                    | Opcode::F64ConvertI64U
            );
        op.operands = operands;
        let value = self.give(op, info.result.expect("a value"));
        if exact {
            self.exact.insert(value);
        }
        value
    }

    /// Makes operands small, divisors not zero, floats numbers.
    pub(super) fn tame(&mut self, code: Opcode, operands: &mut [Value]) {
        let info = code.info();
        for (index, operand) in operands.iter_mut().enumerate() {
            let divides = info.name.contains("div") || info.name.contains("rem");
            let (and, or, ty) = match info.operands[index] {
                Type::I32 => (Opcode::I32And, Opcode::I32Or, Type::I32),
                Type::I64 => (Opcode::I64And, Opcode::I64Or, Type::I64),
                ty => {
                    let bits = self.any(Type::I32);
                    let mask = self.constant(Type::I32, 0xffff);
                    let bits = self.binary(Opcode::I32And, bits, mask);
                    *operand = match ty {
                        Type::F32 => self.unary(Opcode::F32ConvertI32U, bits),
                        _ => self.unary(Opcode::F64ConvertI32U, bits),
                    };
                    continue;
                }
            };
            if divides && index == 0 {
                continue;
            }
            if divides && self.random.percent(30) {
                let bits = *self.random.pick(&[1, 2, 3, 7, 10, 64, 1000, 0x7fff_ffff]);
                *operand = self.constant(ty, bits);
                continue;
            }
            let mask = self.constant(ty, 0x7fff);
            *operand = self.binary(and, *operand, mask);
            if divides {
                let one = self.constant(ty, 1);
                *operand = self.binary(or, *operand, one);
            }
        }
    }

    pub(super) fn any_code(&mut self, wanted: impl Fn(Opcode) -> bool) -> Opcode {
        let codes: Vec<Opcode> = Opcode::all().filter(|&code| wanted(code)).collect();
        *self.random.pick(&codes)
    }

    pub(super) fn op(&mut self) {
        let mut at = self.random.below(self.style.weights.iter().sum());
        let kind = self.style.weights.iter().position(|&weight| {
            let here = at < weight;
            at = at.saturating_sub(weight);
            here
        });
        match kind {
            Some(0) => {
                let ty = any_type(self.random, self.style);
                let code = match self.random.below(10) {
                    0 => self.any_code(|code| code.info().shape == Shape::Select),
                    // Of the style's types, or any.
                    1..=7 => self.any_code(|code| {
                        let info = code.info();
                        matches!(info.shape, Shape::Unary | Shape::Binary | Shape::Tag)
                            && (info.result == Some(ty) || info.operands[0] == ty)
                    }),
                    8 => self
                        .any_code(|code| matches!(code.info().shape, Shape::Unary | Shape::Binary)),
                    _ => self.any_code(|code| code.info().shape == Shape::Tag),
                };
                let value = if code.info().shape == Shape::Select {
                    self.select(code)
                } else {
                    self.scalar(code)
                };
                self.keep(value);
            }
            Some(1) => self.memory(),
            Some(2) => self.slot(),
            Some(3) => self.call(),
            Some(4) => self.guard(),
            _ => {
                let ty = any_type(self.random, self.style);
                let value = self.any_constant(ty);
                self.keep(value);
            }
        }
    }

    pub(super) fn select(&mut self, code: Opcode) -> Value {
        let info = code.info();
        let condition = self.condition();
        let (a, b) = (self.any(info.operands[1]), self.any(info.operands[2]));
        let mut op = DraftOp::new(code);
        op.operands = vec![condition, a, b];
        let value = self.give(op, info.operands[1]);
        if self.exact.contains(&a) && self.exact.contains(&b) {
            self.exact.insert(value);
        }
        value
    }

    pub(super) fn memory(&mut self) {
        if let Some(address) = self.raw
            && self.random.percent(40)
        {
            return self.raw_access(address);
        }
        if self.random.percent(4) {
            return self.push(DraftOp::new(Opcode::Fence));
        }
        if self.draft.regions.is_empty() {
            return;
        }
        let code = self.any_code(|code| {
            let info = code.info();
            info.width > 0 && !info.has(flags::RAW)
        });
        let info = code.info();
        let region = self.random.below(self.draft.regions.len());
        let bounds = self.draft.regions[region];
        if self.random.percent(10) {
            let mut op = DraftOp::new(Opcode::RegionSize);
            op.access.0 = region as u16;
            let value = self.give(op, Type::I64);
            self.keep(value);
        }
        let grown = bounds.grows() && self.random.percent(30);
        let size = if grown { bounds.most } else { bounds.size };
        let width = u64::from(info.width);
        let scale = self.random.below(4) as u8;
        let room = size.saturating_sub(width);
        let mut offset = match self.random.below(5) {
            0 | 1 => 0,
            2 => self.random.below(room as usize + 1) as u64,
            3 => room,
            _ => self.random.below(64) as u64,
        };
        let index = if self.random.percent(self.style.risk) || room == 0 {
            if self.random.percent(20) {
                offset = *self.random.pick(&[0x7fff_ffbf, 0x7fff_0000, 70_000]);
            }
            if size < width && !self.random.percent(self.style.risk) {
                return;
            }
            self.any(Type::I64)
        } else {
            offset = offset.min(room);
            if info.has(flags::ATOMIC) {
                offset &= !(width - 1);
            }
            let units = (room - offset) >> scale;
            let mut mask = units + 1;
            // A mask of low bits that stays within the units.
            while !mask.is_power_of_two() {
                mask &= mask - 1;
            }
            let mut mask = mask - 1;
            if info.has(flags::ATOMIC) {
                mask &= !((width >> scale).max(1) - 1);
            }
            match self.random.below(4) {
                0 => {
                    let at = self.random.below(units as usize + 1) as u64;
                    let at = if info.has(flags::ATOMIC) {
                        at & mask
                    } else {
                        at
                    };
                    self.constant(Type::I64, at)
                }
                _ => {
                    let (any, mask) = (self.any(Type::I64), self.constant(Type::I64, mask));
                    self.binary(Opcode::I64And, any, mask)
                }
            }
        };
        let mut op = DraftOp::new(code);
        op.access = (region as u16, scale, offset as u32);
        op.operands = vec![index];
        for &ty in &info.operands[1..info.operand_count as usize] {
            let value = self.any_exact(ty);
            op.operands.push(value);
        }
        op.exit = Some(self.exit());
        let again = op.clone();
        self.finish_access(op);
        if !info.has(flags::ATOMIC) && self.random.percent(30) {
            self.access_again(again);
        }
    }

    /// The same place once more: a load of it, or a store of something else.
    fn access_again(&mut self, mut op: DraftOp) {
        let back = match op.code {
            Opcode::I32Store => Some(Opcode::I32Load),
            Opcode::I64Store => Some(Opcode::I64Load),
            Opcode::F32Store => Some(Opcode::F32Load),
            Opcode::F64Store => Some(Opcode::F64Load),
            _ => None,
        };
        match back {
            Some(code) if self.random.percent(60) => {
                op.code = code;
                op.operands.truncate(1);
            }
            _ if op.operands.len() > 1 => {
                op.operands[1] = self.any_exact(op.code.info().operands[1]);
            }
            _ => {}
        }
        self.finish_access(op);
    }

    pub(super) fn raw_access(&mut self, address: Value) {
        let code = self.any_code(|code| code.info().has(flags::RAW));
        let info = code.info();
        let (any, mask) = (
            self.any(Type::I64),
            self.constant(Type::I64, RAW_BYTES / 2 - 1),
        );
        let index = self.binary(Opcode::I64And, any, mask);
        let middle = self.random.percent(50);
        let address = if self.random.percent(50) {
            let address = self.binary(Opcode::I64Add, address, index);
            self.private.insert(address);
            address
        } else {
            address
        };
        let mut op = DraftOp::new(code);
        op.operands = vec![address];
        op.immediate = match middle {
            true => self.random.below(RAW_BYTES as usize / 2 - 8) as u64,
            false => 0,
        };
        if info.shape == Shape::Store {
            let value = self.any_exact(info.operands[1]);
            op.operands.push(value);
        }
        self.finish_access(op);
    }

    pub(super) fn finish_access(&mut self, op: DraftOp) {
        match op.code.info().result {
            Some(ty) => {
                let value = self.give(op, ty);
                self.exact.insert(value);
                self.keep(value);
            }
            None => self.push(op),
        }
    }

    pub(super) fn slot(&mut self) {
        let free = (self.draft.slot_count - FREE_SLOT) as usize;
        let code =
            self.any_code(|code| matches!(code.info().shape, Shape::SlotGet | Shape::SlotSet));
        let slot = u64::from(FREE_SLOT) + self.random.below(free) as u64;
        self.slot_op(code, slot);
        if self.random.percent(40) {
            // The same slot once more, read or written as the same type.
            let ty = code.info().result.unwrap_or(code.info().operands[0]);
            let code = self.any_code(|code| {
                let info = code.info();
                match info.shape {
                    Shape::SlotGet => info.result == Some(ty),
                    Shape::SlotSet => info.operands[0] == ty,
                    _ => false,
                }
            });
            self.slot_op(code, slot);
        }
    }

    fn slot_op(&mut self, code: Opcode, slot: u64) {
        let info = code.info();
        let mut op = DraftOp::new(code);
        op.immediate = slot;
        match info.result {
            Some(ty) => {
                let value = self.give(op, ty);
                self.exact.insert(value);
                self.keep(value);
            }
            None => {
                op.operands = vec![self.any_exact(info.operands[0])];
                self.push(op);
            }
        }
    }

    pub(super) fn guard(&mut self) {
        match self.random.below(6) {
            0 => {
                let mut op = DraftOp::new(Opcode::Poll);
                op.exit = Some(self.exit());
                self.push(op);
            }
            1 | 2 => {
                let code = self.any_code(|code| {
                    let info = code.info();
                    matches!(info.shape, Shape::Unary | Shape::Binary) && info.has(flags::LEAVES)
                });
                let value = self.scalar(code);
                self.keep(value);
            }
            3 => {
                let condition = self.true_condition();
                let exit = self.exit();
                let not = self.unary(Opcode::I32Eqz, condition);
                self.push_guard(Opcode::GuardNot, not, exit);
            }
            _ => {
                let condition = self.true_condition();
                let exit = self.exit();
                self.push_guard(Opcode::Guard, condition, exit);
            }
        }
    }

    pub(super) fn push_guard(&mut self, code: Opcode, condition: Value, exit: DraftExit) {
        let mut op = DraftOp::new(code);
        op.operands = vec![condition];
        op.exit = Some(exit);
        self.push(op);
    }

    // Calls.

    pub(super) fn call(&mut self) {
        let host = self.callees.is_empty() || self.random.percent(40);
        if host {
            if !self.draft.hosts.is_empty() {
                self.call_host();
            }
            return;
        }
        let callee = self.random.pick(self.callees).clone();
        let code = *self.random.pick(&[
            Opcode::Call,
            Opcode::Call,
            Opcode::CallCell,
            Opcode::CallIndirect,
        ]);
        let mut op = DraftOp::new(code);
        op.target = callee.number;
        if code == Opcode::CallIndirect {
            let index = if self.random.percent(self.style.risk) {
                let index = interesting_bits(self.random, Type::I64);
                self.constant(Type::I64, index)
            } else {
                let mut op = DraftOp::new(Opcode::FunctionIndex);
                op.target = if self.random.percent(self.style.risk) {
                    self.random.pick(self.callees).number
                } else {
                    callee.number
                };
                self.give(op, Type::I64)
            };
            op.operands.push(index);
        }
        for &ty in &callee.parameters {
            let value = self.any(ty);
            op.operands.push(value);
        }
        let needed = callee.may_deoptimize || code == Opcode::CallIndirect;
        self.finish_call(op, &callee.results, needed);
    }

    pub(super) fn call_host(&mut self) {
        let hosts = &self.draft.hosts;
        let number = self.random.below(hosts.len());
        let (name, parameters, results) = hosts[number].clone();
        let mut op = DraftOp::new(Opcode::CallHost);
        op.target = number;
        for ty in parameters {
            let mut value = self.any(ty);
            if name == "grow_region" && self.random.percent(80) {
                // A region that there may be, and so many bytes as may be left.
                let most = if op.operands.is_empty() { 3 } else { 127 };
                let mask = self.constant(Type::I64, most);
                value = self.binary(Opcode::I64And, value, mask);
            }
            if name == "fail_if" && !self.random.percent(self.style.risk) {
                let mask = self.constant(Type::I64, 0xffff_ffff_0000_0000);
                value = self.binary(Opcode::I64And, value, mask);
            }
            op.operands.push(value);
        }
        self.finish_call(op, &results, false);
    }

    pub(super) fn finish_call(&mut self, mut op: DraftOp, results: &[Type], needs_exit: bool) {
        if needs_exit || self.random.percent(40) {
            op.exit = Some(self.exit());
        }
        for &ty in results {
            let value = self.new_value(ty);
            op.results.push((value, ty));
        }
        let values: Vec<Value> = op.results.iter().map(|&(value, _)| value).collect();
        self.push(op);
        for value in values {
            if self.random.percent(90) {
                self.keep(value);
            }
        }
    }
}
