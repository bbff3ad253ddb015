//! Calls: direct, through cells, by index, and of host functions.
//!
//! Between functions of the program, values travel in registers under the `tail` convention, the context first;
//! a status comes back only where the callee may deoptimize. A host function gets an array on the stack.

use super::{Leaving, Translation, body_signature, pointer_signature, type_of, widened};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::I64;
use cranelift_codegen::ir::{
    FuncRef, InstBuilder, MemFlagsData, StackSlot, StackSlotData, StackSlotKind, Value,
};
use cranelift_module::Module;
use patchjit::ir::{NONE, Op};
use patchjit::ops::Opcode;
use patchjit::runtime::{Status, offset};

impl Translation<'_> {
    pub(super) fn callee(&mut self, function: usize) -> FuncRef {
        if let Some(&callee) = self.callees.get(&function) {
            return callee;
        }
        let id = self.names.bodies[function];
        let callee = self.module.declare_func_in_func(id, self.func);
        self.callees.insert(function, callee);
        callee
    }

    pub(super) fn call(&mut self, at: u32, op: &Op) {
        let program = self.program;
        let extra = op.b as usize;
        let (signature, list, checks) = match op.code {
            Opcode::CallIndirect => {
                let signature = program.extra[extra];
                (
                    signature,
                    op.b + 1,
                    self.plan.indirect_status[signature as usize],
                )
            }
            _ => {
                let callee = op.a as usize;
                let signature = program.functions[callee].signature;
                let checks = if op.code == Opcode::CallCell {
                    self.plan.indirect_status[signature as usize]
                } else {
                    self.plan.may_deoptimize[callee]
                };
                (signature, op.b, checks)
            }
        };
        let values = self.values(program.list(list));
        let mut arguments = vec![self.context];
        arguments.extend(values);
        let call = match op.code {
            Opcode::Call => {
                let callee = self.callee(op.a as usize);
                self.at().ins().call(callee, &arguments)
            }
            _ => {
                let code = match op.code {
                    Opcode::CallCell => {
                        let cells = self.context_word(offset::CELLS);
                        let flags = MemFlagsData::trusted();
                        let at = 16 * op.a as i32;
                        self.at().ins().load(I64, flags, cells, at)
                    }
                    _ => self.checked_cell(op, signature),
                };
                let status = self.plan.indirect_status[signature as usize];
                let signature = body_signature(program, signature, status);
                let signature = self.func.import_signature(signature);
                self.at().ins().call_indirect(signature, code, &arguments)
            }
        };
        let results = self.func.dfg.inst_results(call).to_vec();
        if checks && op.c != NONE {
            let status = results[results.len() - 1];
            self.leave_if(status, Leaving::AfterCallee(op.c));
        }
        if op.aux != 0 {
            self.set(at, results[0]);
        }
        self.last_call = results;
    }

    /// The code of the function with this index, or leaves.
    fn checked_cell(&mut self, op: &Op, signature: u32) -> Value {
        let index = self.value(op.a);
        let count = self.context_word(offset::CELL_COUNT);
        let beyond = IntCC::UnsignedGreaterThanOrEqual;
        let beyond = self.at().ins().icmp(beyond, index, count);
        self.leave_if(beyond, Leaving::Exit(op.c));
        let cells = self.context_word(offset::CELLS);
        let four = self.integer(I64, 4);
        let distance = self.at().ins().ishl(index, four);
        let cell = self.at().ins().iadd(cells, distance);
        let flags = MemFlagsData::trusted();
        let found = self.at().ins().load(I64, flags, cell, 8);
        let wanted = self.integer(I64, i64::from(signature));
        let other = self.at().ins().icmp(IntCC::NotEqual, found, wanted);
        self.leave_if(other, Leaving::Exit(op.c));
        self.at().ins().load(I64, flags, cell, 0)
    }

    pub(super) fn call_host(&mut self, at: u32, op: &Op) {
        let program = self.program;
        let signature = program.hosts[op.a as usize].signature;
        let parameters = program.parameters(signature);
        let results = program.results(signature);
        let values = self.values(program.list(op.b));
        let room = self.host_values();
        let address = self.at().ins().stack_addr(I64, room, 0);
        let trusted = MemFlagsData::trusted();
        for (index, (&ty, &value)) in parameters.iter().zip(&values).enumerate() {
            let mut cursor = self.at();
            let value = widened(&mut cursor, ty, value);
            cursor
                .ins()
                .store(trusted, value, address, 8 * index as i32);
        }
        let hosts = self.context_word(offset::HOSTS);
        let code = self.constant_word(hosts, 8 * op.a as i32);
        let context = self.context_word(offset::HOST_CONTEXT);
        let signature = match self.host_signature {
            Some(signature) => signature,
            None => {
                let convention = self.module.isa().default_call_conv();
                let signature = self.func.import_signature(pointer_signature(convention));
                self.host_signature = Some(signature);
                signature
            }
        };
        let call = self
            .at()
            .ins()
            .call_indirect(signature, code, &[context, address]);
        let status = self.func.dfg.inst_results(call)[0];
        if op.c != NONE {
            self.leave_if(status, Leaving::Exit(op.c));
        } else {
            let failed = self.func.dfg.make_block();
            let next = self.continuation();
            self.at().ins().brif(status, failed, &[], next, &[]);
            self.func.layout.append_block(failed);
            self.func.layout.set_cold(failed);
            self.current = failed;
            self.set_exit_number(status);
            self.abandon(Status::Trapped);
            self.current = next;
        }
        self.last_call.clear();
        for (index, &ty) in results.iter().enumerate() {
            let at = 8 * index as i32;
            let value = self.at().ins().load(type_of(ty), trusted, address, at);
            self.last_call.push(value);
        }
        if op.aux != 0 {
            let value = self.last_call[0];
            self.set(at, value);
        }
    }

    /// Stack space for the longest list that a host function of the program takes or gives.
    fn host_values(&mut self) -> StackSlot {
        if let Some(room) = self.host_values {
            return room;
        }
        let program = self.program;
        let longest = program.hosts.iter().map(|host| {
            let parameters = program.parameters(host.signature).len();
            parameters.max(program.results(host.signature).len())
        });
        let bytes = 8 * longest.max().unwrap_or(0).max(1) as u32;
        let data = StackSlotData::new(StackSlotKind::ExplicitSlot, bytes, 3);
        let room = self.func.create_sized_stack_slot(data);
        self.host_values = Some(room);
        room
    }
}
