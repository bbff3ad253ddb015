//! Calls.
//!
//! A call of a function that the module defines is direct, one of an import a host call. An indirect call loads the reference from the
//! table and subtracts the number of the instance's first function: what comes out less than the count of its functions is called by that
//! index, and the core compares signatures, of which there is one for each type. Where other instances' functions can get into tables, the
//! rest is a host call.

use super::{Translator, slot_get, slot_set};
use crate::abi::{Abi, Place, slot};
use crate::error::{Error, number};
use crate::hosts::Host;
use patchjit::build::{Access, FunctionId, HostId, Results, SignatureId, Value};
use patchjit::ops::Opcode;
use patchjit::types::Type;

impl Translator<'_, '_> {
    /// The host function, declared if it is not.
    pub(super) fn host(&mut self, host: Host) -> Result<HostId, Error> {
        if let Some(&id) = self.host_ids.get(&host) {
            return Ok(id);
        }
        let signature = match host {
            Host::Import(ty) | Host::Foreign(ty) => {
                let abi = &self.abis[ty as usize].0;
                let mut parameters = vec![Type::I64];
                parameters.extend(&abi.core_parameters);
                self.b.new_signature(&parameters, &abi.core_results)?
            }
            _ => {
                let (parameters, results) = host.signature();
                self.b.new_signature(parameters, results)?
            }
        };
        let id = self.b.host(signature)?;
        self.hosts.push(host);
        self.host_ids.insert(host, id);
        Ok(id)
    }

    /// Calls a host function that has no more than one result.
    pub(super) fn call_host(
        &mut self,
        host: Host,
        arguments: &[Value],
    ) -> Result<Option<Value>, Error> {
        let id = self.host(host)?;
        Ok(self.b.call_host(id, arguments, None)?.get(0))
    }

    /// Takes the arguments of a call of a type from the stack: what travels in slots is written there, the rest is in
    /// [`super::State::passed`], behind what that begins with.
    fn take_arguments(&mut self, ty: u32, first: Option<Value>) -> Result<(), Error> {
        let types = &self.declared.types[ty as usize].parameters;
        let start = self.state.stack.len() - types.len();
        self.state.passed.clear();
        self.state.passed.extend(first);
        let places = &self.abis[ty as usize].0.parameters;
        for ((place, ty), value) in places.iter().zip(types).zip(&self.state.stack[start..]) {
            match *place {
                Place::Core(_) => self.state.passed.push(*value),
                Place::Slot(slot) => self.b.slot_set(slot_set(ty.core()), slot, *value)?,
            }
        }
        self.state.stack.truncate(start);
        Ok(())
    }

    /// Puts the results of a call of a type on the stack.
    fn give_results(&mut self, ty: u32, results: &[Value]) -> Result<(), Error> {
        let types = &self.declared.types[ty as usize].results;
        for (place, ty) in self.abis[ty as usize].0.results.iter().zip(types) {
            let value = match *place {
                Place::Core(index) => results.get(index as usize).copied().unwrap_or(Value(0)),
                Place::Slot(slot) => self.b.slot_get(slot_get(ty.core()), slot)?,
            };
            self.state.stack.push(value);
        }
        Ok(())
    }

    /// Calls a function of the module or an import.
    pub(super) fn call(&mut self, function: u32) -> Result<(), Error> {
        let ty = self.declared.functions[function as usize];
        let results = if function < self.declared.imported_functions {
            let import = self.b.constant_i64(i64::from(function))?;
            self.take_arguments(ty, Some(import))?;
            let host = self.host(Host::Import(ty))?;
            self.b.call_host(host, &self.state.passed, None)?
        } else {
            self.take_arguments(ty, None)?;
            self.b
                .call(FunctionId(function), &self.state.passed, None)?
        };
        self.give_results(ty, &all(results))
    }

    pub(super) fn call_indirect(&mut self, ty: u32, table: u32) -> Result<(), Error> {
        let ty = self.declared.type_number(ty);
        let index = self.pop();
        let reference = self.element(table, index, number::UNDEFINED)?;
        let is_null = self.b.unary(Opcode::I64Eqz, reference)?;
        let uninitialized = self.trap(number::UNINITIALIZED)?;
        self.b.guard(Opcode::GuardNot, is_null, uninitialized)?;
        let first = self.b.slot_get(Opcode::I64SlotGet, slot::FUNCTIONS)?;
        let function = self.b.binary(Opcode::I64Sub, reference, first)?;
        let mismatch = self.trap(number::TYPE)?;
        if !self.foreign {
            self.take_arguments(ty, None)?;
            let signature = self.abis[ty as usize].1;
            let passed = &self.state.passed;
            let results = self
                .b
                .call_indirect(signature, function, passed, mismatch)?;
            return self.give_results(ty, &all(results));
        }
        let own = self.b.create_block()?;
        let foreign = self.b.create_block()?;
        let behind = self.b.create_block()?;
        let count = self.declared.functions.len() as i64;
        let count = self.b.constant_i64(count)?;
        let is_own = self.b.binary(Opcode::I64LtU, function, count)?;
        // Slots are written before the ways part, as either callee reads them.
        self.take_arguments(ty, Some(reference))?;
        self.b.branch(is_own, (own, &[]), (foreign, &[]))?;
        let (abi, signature): (&Abi, SignatureId) = {
            let (abi, signature) = &self.abis[ty as usize];
            (abi, *signature)
        };
        let types = abi.core_results.clone();
        self.b.switch_to(own)?;
        let passed = &self.state.passed[1..];
        let results = self
            .b
            .call_indirect(signature, function, passed, mismatch)?;
        self.b.jump(behind, &all(results))?;
        self.b.switch_to(foreign)?;
        // The type stands above the reference.
        let above = self.b.constant_i64(i64::from(ty) << 32)?;
        self.state.passed[0] = self.b.binary(Opcode::I64Or, reference, above)?;
        let host = self.host(Host::Foreign(ty))?;
        let results = self.b.call_host(host, &self.state.passed, None)?;
        self.b.jump(behind, &all(results))?;
        self.b.switch_to(behind)?;
        let mut results = Vec::new();
        for ty in types {
            results.push(self.b.parameter(ty)?);
        }
        self.give_results(ty, &results)
    }

    /// Loads an element of a table, or traps.
    pub(super) fn element(&mut self, table: u32, index: Value, trap: u32) -> Result<Value, Error> {
        let index = self.unary(Opcode::I64ExtendI32U, index)?;
        let exit = self.trap(trap)?;
        let from = Access {
            region: self.tables[table as usize],
            index,
            scale: 3,
            offset: 0,
        };
        Ok(self.b.load(Opcode::I64Load, from, exit)?)
    }
}

/// The results of a call as values.
fn all(results: Results) -> Vec<Value> {
    (0..results.count())
        .filter_map(|index| results.get(index))
        .collect()
}
