//! Memories, tables, globals and references.
//!
//! An address is 32 bits, zero-extended; an offset that the core's accesses do not take is added to it. Globals are guest slots; those that
//! are imported and can be set may be other instances' and are host calls.

use super::{Translator, slot_get, slot_set};
use crate::abi::slot;
use crate::error::{Error, number};
use crate::hosts::Host;
use crate::types::ValueType;
use patchjit::build::{Access, Value};
use patchjit::ir::MAX_OFFSET;
use patchjit::ops::Opcode;
use patchjit::types::Type;
use wasmparser::{MemArg, Operator};

/// The core's load or store for one of the module's, and the offset.
macro_rules! accesses {
    ($op:expr, [$($load:ident)*], [$($store:ident)*]) => {
        match $op {
            $(Operator::$load { memarg } => Some((Opcode::$load, false, memarg)),)*
            $(Operator::$store { memarg } => Some((Opcode::$store, true, memarg)),)*
            _ => None,
        }
    };
}

fn access<'o>(op: &'o Operator<'_>) -> Option<(Opcode, bool, &'o MemArg)> {
    accesses!(
        op,
        [
            I32Load I64Load F32Load F64Load I32Load8S I32Load8U I32Load16S I32Load16U I64Load8S
            I64Load8U I64Load16S I64Load16U I64Load32S I64Load32U
        ],
        [
            I32Store I64Store F32Store F64Store I32Store8 I32Store16 I64Store8 I64Store16
            I64Store32
        ]
    )
}

impl Translator<'_, '_> {
    /// Translates an op on what an instance holds, if it is one.
    pub(super) fn stored(&mut self, op: &Operator<'_>) -> Result<bool, Error> {
        if let Some((code, stores, memarg)) = access(op) {
            self.access(code, stores, memarg)?;
            return Ok(true);
        }
        match *op {
            Operator::GlobalGet { global_index } => self.global_get(global_index)?,
            Operator::GlobalSet { global_index } => self.global_set(global_index)?,
            Operator::MemorySize { .. } => {
                let Some(memory) = self.memory else {
                    return self.unsupported("a memory that is not there");
                };
                let bytes = self.b.region_size(memory)?;
                let shift = self.b.constant_i64(16)?;
                let pages = self.b.binary(Opcode::I64ShrU, bytes, shift)?;
                let pages = self.b.unary(Opcode::I32WrapI64, pages)?;
                self.push(pages);
            }
            Operator::MemoryGrow { .. } => self.host_op(Host::MemoryGrow, &[], 1)?,
            Operator::MemoryFill { .. } => self.host_op(Host::MemoryFill, &[], 3)?,
            Operator::MemoryCopy { .. } => self.host_op(Host::MemoryCopy, &[], 3)?,
            Operator::MemoryInit { data_index, .. } => {
                self.host_op(Host::MemoryInit, &[data_index], 3)?;
            }
            Operator::DataDrop { data_index } => self.host_op(Host::DataDrop, &[data_index], 0)?,
            Operator::TableGet { table } => {
                let index = self.pop();
                let element = self.element(table, index, number::TABLE)?;
                self.push(element);
            }
            Operator::TableSize { table } => {
                let bytes = self.b.region_size(self.tables[table as usize])?;
                let shift = self.b.constant_i64(3)?;
                let count = self.b.binary(Opcode::I64ShrU, bytes, shift)?;
                let count = self.b.unary(Opcode::I32WrapI64, count)?;
                self.push(count);
            }
            Operator::TableSet { table } => self.host_op(Host::TableSet, &[table], 2)?,
            Operator::TableGrow { table } => self.host_op(Host::TableGrow, &[table], 2)?,
            Operator::TableFill { table } => self.host_op(Host::TableFill, &[table], 3)?,
            Operator::TableCopy {
                dst_table,
                src_table,
            } => self.host_op(Host::TableCopy, &[dst_table, src_table], 3)?,
            Operator::TableInit { elem_index, table } => {
                self.host_op(Host::TableInit, &[elem_index, table], 3)?;
            }
            Operator::ElemDrop { elem_index } => {
                self.host_op(Host::ElementDrop, &[elem_index], 0)?;
            }
            Operator::RefNull { hty } => {
                if ValueType::from_heap(hty).is_none() {
                    return self.unsupported("references of this type");
                }
                let null = self.b.constant_i64(0)?;
                self.push(null);
            }
            Operator::RefIsNull => {
                let reference = self.pop();
                let is_null = self.b.unary(Opcode::I64Eqz, reference)?;
                self.push(is_null);
            }
            Operator::RefFunc { function_index } => {
                let first = self.b.slot_get(Opcode::I64SlotGet, slot::FUNCTIONS)?;
                let index = self.b.constant_i64(i64::from(function_index))?;
                let reference = self.b.binary(Opcode::I64Add, first, index)?;
                self.push(reference);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// A host call with these constants and so many values of the stack.
    fn host_op(&mut self, host: Host, constants: &[u32], taken: usize) -> Result<(), Error> {
        let mut arguments = Vec::with_capacity(constants.len() + taken);
        for &constant in constants {
            arguments.push(self.b.constant_i32(constant.cast_signed())?);
        }
        let first = self.state.stack.len() - taken;
        arguments.extend(self.state.stack.drain(first..));
        let result = self.call_host(host, &arguments)?;
        self.state.stack.extend(result);
        Ok(())
    }

    fn access(&mut self, code: Opcode, stores: bool, memarg: &MemArg) -> Result<(), Error> {
        let stored = if stores { Some(self.pop()) } else { None };
        let address = self.pop();
        let mut index = self.unary(Opcode::I64ExtendI32U, address)?;
        let mut offset = u32::try_from(memarg.offset).unwrap_or(u32::MAX);
        if offset > MAX_OFFSET {
            let more = self.b.constant_i64(i64::from(offset))?;
            index = self.b.binary(Opcode::I64Add, index, more)?;
            offset = 0;
        }
        let Some(region) = self.memory else {
            return self.unsupported("a memory that is not there");
        };
        let exit = self.trap(number::MEMORY)?;
        let access = Access {
            region,
            index,
            scale: 0,
            offset,
        };
        match stored {
            Some(value) => self.b.store(code, access, value, exit)?,
            None => {
                let value = self.b.load(code, access, exit)?;
                self.push(value);
            }
        }
        Ok(())
    }

    /// Whether a global may be another instance's, and can be set.
    fn is_shared(&self, global: u32) -> bool {
        global < self.declared.imported_globals && self.declared.globals[global as usize].mutable
    }

    fn global_get(&mut self, global: u32) -> Result<(), Error> {
        let ty = self.declared.globals[global as usize].content.core();
        let value = if self.is_shared(global) {
            let index = self.b.constant_i32(global.cast_signed())?;
            let bits = self.call_host(Host::GlobalGet, &[index])?;
            self.value_of(ty, bits.unwrap_or(Value(0)))?
        } else {
            self.b.slot_get(slot_get(ty), self.first_global + global)?
        };
        self.push(value);
        Ok(())
    }

    fn global_set(&mut self, global: u32) -> Result<(), Error> {
        let ty = self.declared.globals[global as usize].content.core();
        let value = self.pop();
        if self.is_shared(global) {
            let index = self.b.constant_i32(global.cast_signed())?;
            let bits = self.bits_of(ty, value)?;
            self.call_host(Host::GlobalSet, &[index, bits])?;
            return Ok(());
        }
        Ok(self
            .b
            .slot_set(slot_set(ty), self.first_global + global, value)?)
    }

    /// The value of a type that 64 bits stand for.
    fn value_of(&mut self, ty: Type, bits: Value) -> Result<Value, Error> {
        Ok(match ty {
            Type::I32 => self.b.unary(Opcode::I32WrapI64, bits)?,
            Type::F32 => {
                let low = self.b.unary(Opcode::I32WrapI64, bits)?;
                self.b.unary(Opcode::F32ReinterpretI32, low)?
            }
            Type::F64 => self.b.unary(Opcode::F64ReinterpretI64, bits)?,
            Type::I64 | Type::Ref => bits,
        })
    }

    /// The 64 bits that stand for a value.
    fn bits_of(&mut self, ty: Type, value: Value) -> Result<Value, Error> {
        Ok(match ty {
            Type::I32 => self.b.unary(Opcode::I64ExtendI32U, value)?,
            Type::F32 => {
                let low = self.b.unary(Opcode::I32ReinterpretF32, value)?;
                self.b.unary(Opcode::I64ExtendI32U, low)?
            }
            Type::F64 => self.b.unary(Opcode::I64ReinterpretF64, value)?,
            Type::I64 | Type::Ref => value,
        })
    }
}
