//! How blocks begin and end.

use super::{
    Builder, COUNTER_SLOT, Callee, End, FREE_SLOT, RAW_SLOT, RECURSION, UNCOUNTED_EDGES, any_type,
};
use crate::draft::{DraftBlock, DraftOp, Value};
use patchjit::ops::{Opcode, Shape, flags};
use patchjit::types::Type;

impl Builder<'_> {
    pub(super) fn fill(&mut self, number: usize, recursive: bool) {
        self.block = number;
        self.enter_scope(number);
        if number == 0 {
            self.begin(recursive);
        }
        for _ in 0..self.random.below(self.style.ops + 1) {
            self.op();
        }
        self.end(number);
    }

    /// Values of dominating blocks may be used; in a block that nothing reaches, any value of those before it.
    pub(super) fn enter_scope(&mut self, number: usize) {
        self.scope.clear();
        for other in 0..=number {
            let seen = if self.reachable[number] {
                self.dominators[number].contains(&other)
            } else {
                true
            };
            if !seen {
                continue;
            }
            let block = &self.function.blocks[other];
            let parameters = block.parameters.iter();
            let results = block.ops.iter().flat_map(|op| &op.results);
            for &(value, _) in parameters.chain(results) {
                if !self.private.contains(&value) {
                    self.scope.push(value);
                }
            }
        }
    }

    pub(super) fn begin(&mut self, recursive: bool) {
        if self.style.raw {
            let mut op = DraftOp::new(Opcode::I64SlotGet);
            op.immediate = u64::from(RAW_SLOT);
            let address = self.give(op, Type::I64);
            self.private.insert(address);
            self.raw = Some(address);
        }
        if recursive {
            let depth = self.function.blocks[0].parameters[0].0;
            let mask = self.constant(Type::I64, RECURSION);
            self.recursion = Some(self.binary(Opcode::I64And, depth, mask));
        }
        for _ in 0..self.style.pressure {
            let ty = any_type(self.random, self.style);
            let value = match self.random.below(4) {
                0 => self.any_constant(ty),
                _ => {
                    let code = self.any_code(|code| {
                        matches!(code.info().shape, Shape::Unary | Shape::Binary)
                            && !code.info().has(flags::LEAVES)
                            && code.info().result == Some(ty)
                    });
                    self.scalar(code)
                }
            };
            self.keep(value);
            self.held.push(value);
        }
    }

    /// Ends the block in two ways: where there is depth left, the function calls itself, elsewhere it does not.
    pub(super) fn call_itself(&mut self, depth: Value) {
        let zero = self.constant(Type::I64, 0);
        let more = self.binary(Opcode::I64Ne, depth, zero);
        let first = self.function.blocks.len();
        self.function
            .blocks
            .resize(first + 2, DraftBlock::default());
        let mut op = DraftOp::new(Opcode::Branch);
        op.operands = vec![more];
        op.edges = vec![(first, Vec::new()), (first + 1, Vec::new())];
        self.push(op);
        self.block = first;
        let scope = self.scope.clone();
        let one = self.constant(Type::I64, 1);
        let less = self.binary(Opcode::I64Sub, depth, one);
        let mut op = DraftOp::new(*self.random.pick(&[Opcode::Call, Opcode::CallCell]));
        op.target = self.number;
        op.operands.push(less);
        for (_, ty) in self.function.blocks[0]
            .parameters
            .clone()
            .into_iter()
            .skip(1)
        {
            let value = self.any(ty);
            op.operands.push(value);
        }
        let results = self.function.results.clone();
        self.finish_call(op, &results, true);
        self.leave();
        self.scope = scope;
        self.block = first + 1;
        self.leave();
    }

    pub(super) fn end(&mut self, number: usize) {
        match self.ends[number].clone() {
            End::Leave => match self.recursion {
                Some(depth) if self.random.percent(70) => self.call_itself(depth),
                _ => self.leave(),
            },
            End::Jump(to) => {
                let edge = self.edge(number, to);
                let mut op = DraftOp::new(Opcode::Jump);
                op.edges = vec![edge];
                self.push(op);
            }
            End::Branch(yes, no) if yes <= number => {
                // Backward first.
                let more = self.more(number, yes);
                let (back, on) = (self.edge(number, yes), self.edge(number, no));
                let mut op = DraftOp::new(Opcode::Branch);
                if self.random.percent(30) {
                    let done = self.unary(Opcode::I32Eqz, more);
                    op.operands = vec![done];
                    op.edges = vec![on, back];
                } else {
                    op.operands = vec![more];
                    op.edges = vec![back, on];
                }
                self.push(op);
            }
            End::Branch(yes, no) => {
                let condition = self.condition();
                let (yes, no) = (self.edge(number, yes), self.edge(number, no));
                let mut op = DraftOp::new(Opcode::Branch);
                op.operands = vec![condition];
                op.edges = vec![yes, no];
                self.push(op);
            }
            End::Switch(targets) => {
                let mut index = self.any(Type::I32);
                if self.random.percent(70) {
                    let mask = self.constant(Type::I32, *self.pick_mask(targets.len()));
                    index = self.binary(Opcode::I32And, index, mask);
                }
                let mut heads = targets.clone();
                heads.retain(|&to| to <= number);
                heads.sort_unstable();
                heads.dedup();
                for to in heads {
                    let (more, outside) =
                        (self.more(number, to), self.constant(Type::I32, u64::MAX));
                    let mut op = DraftOp::new(Opcode::I32Select);
                    op.operands = vec![more, index, outside];
                    index = self.give(op, Type::I32);
                }
                let mut op = DraftOp::new(Opcode::Switch);
                op.operands = vec![index];
                for to in targets {
                    let edge = self.edge(number, to);
                    op.edges.push(edge);
                }
                self.push(op);
            }
        }
    }

    pub(super) fn pick_mask(&self, count: usize) -> &'static u64 {
        match count {
            0..=2 => &1,
            3..=4 => &3,
            _ => &7,
        }
    }

    /// Whether the backward edge to this block may be taken once more.
    pub(super) fn more(&mut self, from: usize, to: usize) -> Value {
        if self.is_counted(from, to)
            && let Some(&counter) = self.heads.get(&to)
        {
            let ty = self.types[&counter];
            let zero = self.constant(ty, 0);
            let codes: &[Opcode] = match ty {
                Type::I32 => &[Opcode::I32GtS, Opcode::I32Ne],
                _ => &[Opcode::I64GtS, Opcode::I64Ne],
            };
            let code = *self.random.pick(codes);
            return self.binary(code, counter, zero);
        }
        let mut get = DraftOp::new(Opcode::I64SlotGet);
        get.immediate = u64::from(COUNTER_SLOT);
        let count = self.give(get, Type::I64);
        let one = self.constant(Type::I64, 1);
        let next = self.binary(Opcode::I64Add, count, one);
        let mut set = DraftOp::new(Opcode::I64SlotSet);
        set.immediate = u64::from(COUNTER_SLOT);
        set.operands = vec![next];
        self.push(set);
        let bound = self.constant(Type::I64, UNCOUNTED_EDGES);
        self.binary(Opcode::I64LtU, next, bound)
    }

    /// An edge with arguments: around a loop often the head's own parameters in another order.
    pub(super) fn edge(&mut self, from: usize, to: usize) -> (usize, Vec<Value>) {
        let parameters = self.function.blocks[to].parameters.clone();
        let around = self.is_counted(from, to);
        let rotates = self.random.percent(60);
        let mut arguments = Vec::new();
        for (index, &(value, ty)) in parameters.iter().enumerate() {
            if index == 0
                && let Some(&counter) = self.heads.get(&to)
            {
                let trips = if around {
                    let (one, code) = match ty {
                        Type::I32 => (self.constant(ty, 1), Opcode::I32Sub),
                        _ => (self.constant(ty, 1), Opcode::I64Sub),
                    };
                    self.binary(code, counter, one)
                } else {
                    let trips = self.random.below(6) as u64;
                    self.constant(ty, trips)
                };
                arguments.push(trips);
                continue;
            }
            let others: Vec<Value> = parameters
                .iter()
                .filter(|&&(other, kind)| kind == ty && Some(&other) != self.heads.get(&to))
                .map(|&(other, _)| other)
                .collect();
            let argument = if around && rotates && !others.is_empty() {
                let at = others.iter().position(|&other| other == value);
                others[(at.unwrap_or(0) + 1) % others.len()]
            } else if around && self.random.percent(20) {
                value
            } else {
                self.any(ty)
            };
            arguments.push(argument);
        }
        (to, arguments)
    }

    /// Ends the function: mostly with results that depend on many values.
    pub(super) fn leave(&mut self) {
        let roll = self.random.below(100);
        if roll < self.style.risk / 2 {
            let mut op = DraftOp::new(Opcode::Exit);
            op.exit = Some(self.exit());
            return self.push(op);
        }
        let partners: Vec<Callee> = self
            .callees
            .iter()
            .filter(|callee| callee.results == self.function.results)
            .cloned()
            .collect();
        if !partners.is_empty() && roll > 80 {
            let callee = self.random.pick(&partners).clone();
            let mut op = DraftOp::new(Opcode::ReturnCall);
            op.target = callee.number;
            for &ty in &callee.parameters {
                let value = self.any(ty);
                op.operands.push(value);
            }
            self.deoptimizes |= callee.may_deoptimize;
            return self.push(op);
        }
        let mut values = Vec::new();
        if self.reachable.get(self.block) != Some(&false) {
            values.extend(self.held.clone());
        }
        for _ in 0..self.random.below(16) {
            if !self.scope.is_empty() {
                let value = *self.random.pick(&self.scope);
                values.push(value);
            }
        }
        let mut digest = self.constant(Type::I64, 0);
        for value in values {
            let bits = self.bits_of(value);
            let code = *self
                .random
                .pick(&[Opcode::I64Xor, Opcode::I64Add, Opcode::I64Rotl]);
            digest = self.binary(code, digest, bits);
        }
        let mut op = DraftOp::new(Opcode::Return);
        let mut digested = false;
        for ty in self.function.results.clone() {
            let value = match ty {
                Type::I64 if !digested => {
                    digested = true;
                    digest
                }
                ty => self.any(ty),
            };
            op.operands.push(value);
        }
        if !digested {
            let free = (self.draft.slot_count - FREE_SLOT) as usize;
            let mut set = DraftOp::new(Opcode::I64SlotSet);
            set.immediate = u64::from(FREE_SLOT) + self.random.below(free) as u64;
            set.operands = vec![digest];
            self.push(set);
        }
        self.push(op);
    }

    /// A value as 64 bits.
    pub(super) fn bits_of(&mut self, value: Value) -> Value {
        let exact = self.exact.contains(&value);
        match self.types[&value] {
            Type::I64 => value,
            Type::I32 => {
                let code = *self
                    .random
                    .pick(&[Opcode::I64ExtendI32S, Opcode::I64ExtendI32U]);
                self.unary(code, value)
            }
            Type::Ref => self.unary(Opcode::I64FromRef, value),
            Type::F32 => {
                let value = match exact {
                    true => value,
                    false => self.canonical(Opcode::F32Canonicalize, value),
                };
                let bits = self.unary(Opcode::I32ReinterpretF32, value);
                self.unary(Opcode::I64ExtendI32U, bits)
            }
            Type::F64 => {
                let value = match exact {
                    true => value,
                    false => self.canonical(Opcode::F64Canonicalize, value),
                };
                self.unary(Opcode::I64ReinterpretF64, value)
            }
        }
    }
}
