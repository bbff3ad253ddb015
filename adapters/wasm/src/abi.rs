//! How values travel between functions: in the core's arguments and results as far as these travel in registers, the rest in guest slots.
//!
//! The core's compiler takes eight integers and eight floats each way. What is beyond that is written to slots by the caller right before
//! the call and read by the callee at its entry, and results the other way round, so that nothing comes between.

use crate::types::{FuncType, ValueType};
use patchjit::types::Type;

/// The guest slots that every program has.
pub(crate) mod slot {
    /// The number in the store of the instance's function 0, plus 1.
    pub const FUNCTIONS: u32 = 0;
    /// The operand of an op that trapped, where the reason depends on it.
    pub const OPERAND: u32 = 1;
    /// The first of those for what does not travel in registers.
    pub const OVERFLOW: u32 = 2;
}

/// How many of each bank travel in registers.
const IN_REGISTERS: usize = 8;

/// Where a value travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// As the core's argument or result with this index.
    Core(u32),
    /// In this slot.
    Slot(u32),
}

/// How the values of a type travel.
#[derive(Clone, Debug, Default)]
pub(crate) struct Abi {
    pub parameters: Vec<Place>,
    pub results: Vec<Place>,
    /// The types of the core's signature.
    pub core_parameters: Vec<Type>,
    pub core_results: Vec<Type>,
}

impl Abi {
    pub fn of(ty: &FuncType) -> Abi {
        let (parameters, core_parameters) = places(&ty.parameters);
        let (results, core_results) = places(&ty.results);
        Abi {
            parameters,
            results,
            core_parameters,
            core_results,
        }
    }

    /// How many slots it takes.
    pub fn slots(&self) -> u32 {
        let slots = |places: &[Place]| {
            let slot = |place: &&Place| matches!(place, Place::Slot(_));
            places.iter().filter(slot).count() as u32
        };
        slots(&self.parameters).max(slots(&self.results))
    }
}

fn places(types: &[ValueType]) -> (Vec<Place>, Vec<Type>) {
    let (mut ints, mut floats, mut slots) = (0, 0, slot::OVERFLOW);
    let mut core = Vec::new();
    let place = |ty: &ValueType| {
        let ty = ty.core();
        let taken = if ty.is_float() {
            &mut floats
        } else {
            &mut ints
        };
        if *taken < IN_REGISTERS {
            *taken += 1;
            core.push(ty);
            return Place::Core(core.len() as u32 - 1);
        }
        slots += 1;
        Place::Slot(slots - 1)
    };
    let places = types.iter().map(place).collect();
    (places, core)
}
