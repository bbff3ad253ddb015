//! One builder method for each shape of op.

use super::{
    Access, BlockId, Builder, EMPTY_OP, ExitId, FunctionId, HostId, RegionId, Results, SignatureId,
    State, TagId, Value,
};
use crate::error::{Error, Rule};
use crate::ir::{Exit, ExitKind, Function, HostFunction, IN_BOUNDS, NONE, Op, access_aux};
use crate::ops::{Opcode, Shape, flags};
use crate::types::Type;

/// Ops.
impl Builder<'_> {
    /// A constant of the op's type with these bits; those beyond the type's width are dropped.
    pub fn constant(&mut self, code: Opcode, bits: u64) -> Result<Value, Error> {
        self.check(|b| {
            b.check_method(code, Shape::Constant, false)?;
            let narrow = code.info().result.is_some_and(|ty| ty.bits() == 32);
            let high = if narrow { 0 } else { (bits >> 32) as u32 };
            b.add(code, 0, 0, bits as u32, high)
        })
    }

    /// `i32.const`
    pub fn constant_i32(&mut self, value: i32) -> Result<Value, Error> {
        self.constant(Opcode::I32Const, u64::from(value as u32))
    }

    /// `i64.const`
    pub fn constant_i64(&mut self, value: i64) -> Result<Value, Error> {
        self.constant(Opcode::I64Const, value as u64)
    }

    /// `f32.const`
    pub fn constant_f32(&mut self, value: f32) -> Result<Value, Error> {
        self.constant(Opcode::F32Const, u64::from(value.to_bits()))
    }

    /// `f64.const`
    pub fn constant_f64(&mut self, value: f64) -> Result<Value, Error> {
        self.constant(Opcode::F64Const, value.to_bits())
    }

    /// An op with one operand that always gives a value.
    pub fn unary(&mut self, code: Opcode, a: Value) -> Result<Value, Error> {
        self.check(|b| {
            b.check_method(code, Shape::Unary, false)?;
            b.add(code, 0, a.0, 0, 0)
        })
    }

    /// An op with one operand that gives a value or leaves.
    pub fn unary_else(&mut self, code: Opcode, a: Value, exit: ExitId) -> Result<Value, Error> {
        self.check(|b| {
            b.check_method(code, Shape::Unary, true)?;
            b.add(code, 0, a.0, 0, exit.0)
        })
    }

    /// An op with two operands that always gives a value.
    pub fn binary(&mut self, code: Opcode, a: Value, other: Value) -> Result<Value, Error> {
        self.check(|b| {
            b.check_method(code, Shape::Binary, false)?;
            b.add(code, 0, a.0, other.0, 0)
        })
    }

    /// An op with two operands that gives a value or leaves.
    pub fn binary_else(
        &mut self,
        code: Opcode,
        a: Value,
        other: Value,
        exit: ExitId,
    ) -> Result<Value, Error> {
        self.check(|b| {
            b.check_method(code, Shape::Binary, true)?;
            b.add(code, 0, a.0, other.0, exit.0)
        })
    }

    /// An op on words with tags.
    pub fn tagged(&mut self, code: Opcode, tag: TagId, a: Value) -> Result<Value, Error> {
        self.check(|b| {
            b.check_method(code, Shape::Tag, false)?;
            b.add(code, tag.0, a.0, 0, 0)
        })
    }

    /// `then` if the condition is not zero, else `otherwise`.
    pub fn select(
        &mut self,
        code: Opcode,
        condition: Value,
        then: Value,
        otherwise: Value,
    ) -> Result<Value, Error> {
        self.check(|b| {
            b.check_method(code, Shape::Select, false)?;
            b.add(code, 0, condition.0, then.0, otherwise.0)
        })
    }

    /// A load from a region, atomic ones included.
    pub fn load(&mut self, code: Opcode, from: Access, exit: ExitId) -> Result<Value, Error> {
        self.check(|b| {
            b.check_method(code, Shape::Load, true)?;
            b.access(code, from, 0, &[exit.0])
        })
    }

    /// Marks the load or store that was added last as in bounds, whatever its index is: it is not checked and has no exit. The embedder's
    /// risk: the program is not contained then.
    pub fn mark_in_bounds(&mut self) -> Result<(), Error> {
        self.check(|b| {
            let last = (b.ops.used as u32).wrapping_sub(1);
            let words = match b.ops.get_mut(last) {
                Some(op)
                    if op.code.info().has(flags::LEAVES)
                        && matches!(op.code.info().shape, Shape::Load | Shape::Store) =>
                {
                    op.aux |= IN_BOUNDS;
                    op.c
                }
                _ => return Err(b.misuse(Rule::BuildMethod)),
            };
            if let Some(exit) = b.extra.get_mut(words + 1) {
                *exit = NONE;
            }
            Ok(())
        })
    }

    /// A store to a region, atomic ones included.
    pub fn store(
        &mut self,
        code: Opcode,
        to: Access,
        value: Value,
        exit: ExitId,
    ) -> Result<(), Error> {
        self.check(|b| {
            b.check_method(code, Shape::Store, true)?;
            b.access(code, to, value.0, &[exit.0]).map(drop)
        })
    }

    /// An atomic read-modify-write; gives the old value.
    pub fn update(
        &mut self,
        code: Opcode,
        at: Access,
        value: Value,
        exit: ExitId,
    ) -> Result<Value, Error> {
        self.check(|b| {
            b.check_method(code, Shape::Update, true)?;
            b.access(code, at, value.0, &[exit.0])
        })
    }

    /// An atomic compare-exchange; gives the old value.
    pub fn compare_exchange(
        &mut self,
        code: Opcode,
        at: Access,
        expected: Value,
        replacement: Value,
        exit: ExitId,
    ) -> Result<Value, Error> {
        self.check(|b| {
            b.check_method(code, Shape::CompareExchange, true)?;
            b.access(code, at, expected.0, &[exit.0, replacement.0])
        })
    }

    fn access(
        &mut self,
        code: Opcode,
        access: Access,
        stored: u32,
        rest: &[u32],
    ) -> Result<Value, Error> {
        if access.region.0 as usize >= self.regions.used {
            return Err(self.misuse(Rule::RegionRange));
        }
        if access.scale > 3 {
            return Err(self.misuse(Rule::BuildScale));
        }
        let at = self.extra.push(access.offset)?;
        for &word in rest {
            self.extra.push(word)?;
        }
        let aux = access_aux(access.region.0, access.scale);
        self.add(code, aux, access.index.0, stored, at)
    }

    /// A load from a raw address, at the embedder's risk.
    pub fn raw_load(&mut self, code: Opcode, address: Value, offset: i32) -> Result<Value, Error> {
        self.check(|b| {
            b.check_method(code, Shape::Load, false)?;
            b.add(code, 0, address.0, 0, offset as u32)
        })
    }

    /// A store to a raw address, at the embedder's risk.
    pub fn raw_store(
        &mut self,
        code: Opcode,
        address: Value,
        offset: i32,
        value: Value,
    ) -> Result<(), Error> {
        self.check(|b| {
            b.check_method(code, Shape::Store, false)?;
            b.add(code, 0, address.0, value.0, offset as u32).map(drop)
        })
    }

    /// A sequentially consistent fence.
    pub fn fence(&mut self) -> Result<(), Error> {
        self.check(|b| b.add(Opcode::Fence, 0, 0, 0, 0).map(drop))
    }

    /// Reads a guest slot.
    pub fn slot_get(&mut self, code: Opcode, slot: u32) -> Result<Value, Error> {
        self.check(|b| {
            b.check_method(code, Shape::SlotGet, false)?;
            b.add(code, 0, 0, 0, slot)
        })
    }

    /// Writes a guest slot.
    pub fn slot_set(&mut self, code: Opcode, slot: u32, value: Value) -> Result<(), Error> {
        self.check(|b| {
            b.check_method(code, Shape::SlotSet, false)?;
            b.add(code, 0, value.0, 0, slot).map(drop)
        })
    }

    /// How many bytes a region has now.
    pub fn region_size(&mut self, region: RegionId) -> Result<Value, Error> {
        self.check(|b| b.add(Opcode::RegionSize, region.0, 0, 0, 0))
    }

    /// The index of a function of the program, which an indirect call takes.
    pub fn function_index(&mut self, function: FunctionId) -> Result<Value, Error> {
        self.check(|b| b.add(Opcode::FunctionIndex, 0, 0, function.0, 0))
    }

    /// An exit. The snapshot is pairs of guest slot, or [`crate::ir::boxed_place`], and the value that goes there.
    pub fn exit(
        &mut self,
        kind: ExitKind,
        number: u32,
        snapshot: &[(u32, Value)],
    ) -> Result<ExitId, Error> {
        self.exit_from(kind, number, snapshot.iter().copied())
    }

    /// The same, with the pairs as they come.
    pub fn exit_from(
        &mut self,
        kind: ExitKind,
        number: u32,
        snapshot: impl IntoIterator<Item = (u32, Value)>,
    ) -> Result<ExitId, Error> {
        self.check(|b| {
            let start = b.extra.used as u32;
            let mut entry_count = 0;
            for (slot, value) in snapshot {
                b.extra.push(slot)?;
                b.extra.push(value.0)?;
                entry_count += 1;
            }
            b.exits
                .push(Exit {
                    number,
                    kind,
                    snapshot: start,
                    entry_count,
                })
                .map(ExitId)
        })
    }

    /// Leaves if the condition is zero ([`Opcode::Guard`]) or not zero ([`Opcode::GuardNot`]).
    pub fn guard(&mut self, code: Opcode, condition: Value, exit: ExitId) -> Result<(), Error> {
        self.check(|b| {
            b.check_method(code, Shape::Guard, true)?;
            b.add(code, 0, condition.0, 0, exit.0).map(drop)
        })
    }

    /// Leaves if the embedder asked for an interruption.
    pub fn poll(&mut self, exit: ExitId) -> Result<(), Error> {
        self.check(|b| b.add(Opcode::Poll, 0, 0, 0, exit.0).map(drop))
    }

    // Calls.

    /// Calls a function of the program. Without an exit the callee must not be able to deoptimize.
    pub fn call(
        &mut self,
        function: FunctionId,
        arguments: &[Value],
        exit: Option<ExitId>,
    ) -> Result<Results, Error> {
        self.check(|b| b.direct_call(Opcode::Call, function, arguments, exit))
    }

    /// Calls a function through its entry cell.
    pub fn call_cell(
        &mut self,
        function: FunctionId,
        arguments: &[Value],
        exit: Option<ExitId>,
    ) -> Result<Results, Error> {
        self.check(|b| b.direct_call(Opcode::CallCell, function, arguments, exit))
    }

    /// Calls the function with this index, if it has this signature; else leaves.
    pub fn call_indirect(
        &mut self,
        signature: SignatureId,
        index: Value,
        arguments: &[Value],
        exit: ExitId,
    ) -> Result<Results, Error> {
        self.check(|b| {
            let at = b.extra.push(signature.0)?;
            b.list(arguments)?;
            b.add_call(Opcode::CallIndirect, signature, index.0, at, exit.0)
        })
    }

    /// Calls a host function. Without an exit a status other than 0 is a trap with that number.
    pub fn call_host(
        &mut self,
        host: HostId,
        arguments: &[Value],
        exit: Option<ExitId>,
    ) -> Result<Results, Error> {
        self.check(|b| {
            let Some(&HostFunction { signature }) = b.hosts.get(host.0) else {
                return Err(b.misuse(Rule::HostRange));
            };
            let at = b.list(arguments)?;
            let exit = exit.map_or(NONE, |exit| exit.0);
            b.add_call(Opcode::CallHost, SignatureId(signature), host.0, at, exit)
        })
    }

    fn direct_call(
        &mut self,
        code: Opcode,
        function: FunctionId,
        arguments: &[Value],
        exit: Option<ExitId>,
    ) -> Result<Results, Error> {
        let Some(&Function { signature, .. }) = self.functions.get(function.0) else {
            return Err(self.misuse(Rule::FunctionRange));
        };
        let at = self.list(arguments)?;
        let exit = exit.map_or(NONE, |exit| exit.0);
        self.add_call(code, SignatureId(signature), function.0, at, exit)
    }

    /// The call and one op for each further result.
    fn add_call(
        &mut self,
        code: Opcode,
        signature: SignatureId,
        a: u32,
        b: u32,
        exit: u32,
    ) -> Result<Results, Error> {
        let Some(&signature) = self.signatures.get(signature.0) else {
            return Err(self.misuse(Rule::SignatureRange));
        };
        let first_result = signature.first_type + u32::from(signature.parameter_count);
        let aux = match signature.result_count {
            0 => 0,
            _ => self.types.get(first_result).map_or(0, |&ty| ty as u16 + 1),
        };
        let first = self.add(code, aux, a, b, exit)?.0;
        let count = u32::from(signature.result_count);
        for index in 1..count {
            let ty = self.types.get(first_result + index).copied();
            let op = Op {
                code: Opcode::Result,
                aux: ty.unwrap_or(Type::I32) as u16,
                a: index,
                ..EMPTY_OP
            };
            self.push(op, NONE)?;
        }
        Ok(Results { first, count })
    }

    // Terminators.

    /// Goes to a block.
    pub fn jump(&mut self, block: BlockId, arguments: &[Value]) -> Result<(), Error> {
        self.jump_from(block, arguments.iter().copied())
    }

    /// The same, with the arguments as they come.
    pub fn jump_from(
        &mut self,
        block: BlockId,
        arguments: impl IntoIterator<Item = Value>,
    ) -> Result<(), Error> {
        self.check(|b| {
            let edge = b.extra.push(block.0)?;
            let count = b.extra.push(0)?;
            for argument in arguments {
                b.extra.push(argument.0)?;
            }
            let passed = b.extra.used as u32 - count - 1;
            if let Some(word) = b.extra.get_mut(count) {
                *word = passed;
            }
            b.terminate(Opcode::Jump, 0, edge, 0)
        })
    }

    /// Goes to the first block if the condition is not zero, else to the second.
    pub fn branch(
        &mut self,
        condition: Value,
        then: (BlockId, &[Value]),
        otherwise: (BlockId, &[Value]),
    ) -> Result<(), Error> {
        self.check(|b| {
            let then = b.edge(then)?;
            let otherwise = b.edge(otherwise)?;
            b.terminate(Opcode::Branch, condition.0, then, otherwise)
        })
    }

    /// Goes to the target with this index, an unsigned i32, or to the default.
    pub fn switch(
        &mut self,
        index: Value,
        targets: &[(BlockId, &[Value])],
        default: (BlockId, &[Value]),
    ) -> Result<(), Error> {
        self.check(|b| {
            let at = b.extra.push(targets.len() as u32)?;
            for _ in 0..=targets.len() {
                b.extra.push(0)?;
            }
            for (slot, &target) in (at + 1..).zip(targets.iter().chain([&default])) {
                let edge = b.edge(target)?;
                if let Some(word) = b.extra.get_mut(slot) {
                    *word = edge;
                }
            }
            b.terminate(Opcode::Switch, index.0, at, 0)
        })
    }

    /// Ends the function with these results.
    pub fn return_values(&mut self, values: &[Value]) -> Result<(), Error> {
        self.check(|b| {
            let at = b.list(values)?;
            b.terminate(Opcode::Return, 0, at, 0)
        })
    }

    /// Ends the block by leaving.
    pub fn leave(&mut self, exit: ExitId) -> Result<(), Error> {
        self.check(|b| b.terminate(Opcode::Exit, 0, 0, exit.0))
    }

    /// Ends the function with the results of another, in its place.
    pub fn return_call(&mut self, function: FunctionId, arguments: &[Value]) -> Result<(), Error> {
        self.check(|b| {
            let at = b.list(arguments)?;
            b.terminate(Opcode::ReturnCall, function.0, at, 0)
        })
    }

    fn terminate(&mut self, code: Opcode, a: u32, b: u32, c: u32) -> Result<(), Error> {
        self.add(code, 0, a, b, c)?;
        self.state = State::Between;
        Ok(())
    }
}
