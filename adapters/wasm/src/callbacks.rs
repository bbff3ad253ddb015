//! What compiled code calls: the host functions of [`crate::hosts`].
//!
//! Each gets the instance as its context and words in which its arguments stand and its results go. A status that is not 0 is the trap's
//! number. Nothing here unwinds into compiled code: these are `extern "C"`, so that a panic ends the process.

use crate::abi::Place;
use crate::error::{Trap, number};
use crate::hosts::Host;
use crate::instance::Inner;
use crate::store::{Callee, Caller, host};
use crate::types::Value;
use patchjit::runtime::HostCode;
use std::ffi::c_void;

/// How many bytes a unit of fuel moves.
const BYTES_OF_A_UNIT: u64 = 256;

/// A status: none, or the number of a trap.
type Step<T> = Result<T, Trap>;

impl Inner {
    /// Puts a value where it travels.
    pub fn put(&self, place: Place, values: &mut [u64], bits: u64) {
        match place {
            Place::Core(index) => values[index as usize] = bits,
            Place::Slot(slot) => self.set_slot(slot, bits),
        }
    }

    /// The value that travelled there.
    pub fn take(&self, place: Place, values: &[u64]) -> u64 {
        match place {
            Place::Core(index) => values[index as usize],
            Place::Slot(slot) => self.slot(slot),
        }
    }

    /// Calls a function of the store's that has the type with this number here. `values` are the arguments as the core passes them, and then
    /// the results.
    fn call_out(&self, number: u32, ty: u32, values: &mut [u64]) -> Step<()> {
        let store = self.store.upgrade();
        let store = store.ok_or_else(|| Trap::Host("the store is gone".to_owned()))?;
        let callee = store.callee(number).ok_or(Trap::UndefinedElement)?;
        let own = &self.module().declared.types[ty as usize];
        if callee.ty() != own {
            return Err(Trap::IndirectCallType);
        }
        let abi = &self.module().abis[ty as usize];
        match &callee {
            Callee::Host(ty, code) => {
                let arguments = abi.parameters.iter().zip(&ty.parameters);
                let arguments: Vec<Value> = arguments
                    .map(|(place, &ty)| Value::from_bits(ty, self.take(*place, values)))
                    .collect();
                let caller = Caller { inner: Some(self) };
                let results = host(&caller, ty, &**code, &arguments)?;
                for (place, result) in abi.results.iter().zip(results) {
                    self.put(*place, values, result.bits());
                }
                Ok(())
            }
            Callee::Guest(other, index) => {
                // Both have the same places for the same type, in slots of their own.
                let copy = |from: &Inner, to: &Inner, places: &[Place]| {
                    for place in places {
                        if let Place::Slot(slot) = *place {
                            to.set_slot(slot, from.slot(slot));
                        }
                    }
                };
                copy(self, other, &abi.parameters);
                let (result, fuel) = other.enter(*index, values, self.budget());
                self.set_fuel(fuel);
                result?;
                copy(other, self, &abi.results);
                Ok(())
            }
        }
    }

    /// Charges fuel for what an op moves at once, one unit for each so many bytes, so that work is bounded by fuel.
    fn charge(&self, bytes: u64) -> Step<()> {
        let units = (bytes / BYTES_OF_A_UNIT).cast_signed();
        if !self.code.charges_fuel() || units == 0 {
            return Ok(());
        }
        let left = self.budget().fuel - units;
        self.set_fuel(left.max(0));
        if left < 0 {
            Err(Trap::OutOfFuel)
        } else {
            Ok(())
        }
    }

    fn memory_grow(&self, pages: u32) -> u32 {
        let memory = self.memory.as_ref();
        memory
            .and_then(|memory| memory.grow(pages))
            .unwrap_or(u32::MAX)
    }

    fn memory_fill(&self, to: u32, byte: u32, count: u32) -> Option<()> {
        let bytes = &self.memory.as_ref()?.0.bytes;
        bytes.fill(to.into(), count.into(), byte as u8)
    }

    fn memory_copy(&self, to: u32, from: u32, count: u32) -> Option<()> {
        let bytes = &self.memory.as_ref()?.0.bytes;
        bytes.copy(to.into(), bytes, from.into(), count.into())
    }

    /// Writes a part of a data segment.
    pub fn memory_init(&self, segment: u32, to: u32, from: u32, count: u32) -> Step<()> {
        let data = &self.module().declared.data[segment as usize].bytes;
        let dropped = self.dropped_data.borrow()[segment as usize];
        let data: &[u8] = if dropped { &[] } else { data };
        let part = span(data, from, count);
        let memory = self.memory.as_ref();
        part.and_then(|part| memory?.write(to, part))
            .ok_or(Trap::MemoryOutOfBounds)
    }

    /// Drops a data segment.
    pub fn data_drop(&self, segment: u32) {
        self.dropped_data.borrow_mut()[segment as usize] = true;
    }

    /// Writes a part of an element segment.
    pub fn table_init(&self, segment: u32, table: u32, to: u32, from: u32, count: u32) -> Step<()> {
        let elements = self.elements.borrow();
        let part = span(&elements[segment as usize], from, count);
        let table = &self.tables[table as usize];
        let part = part.filter(|_| {
            to.checked_add(count)
                .is_some_and(|end| end <= table.length())
        });
        let part = part.ok_or(Trap::TableOutOfBounds)?;
        let written = (to..)
            .zip(part)
            .try_for_each(|(index, &word)| table.set(index, word));
        written.ok_or(Trap::TableOutOfBounds)
    }

    /// Drops an element segment.
    pub fn element_drop(&self, segment: u32) {
        self.elements.borrow_mut()[segment as usize] = Vec::new();
    }
}

/// So many items from there on.
fn span<T>(items: &[T], from: u32, count: u32) -> Option<&[T]> {
    items.get(from as usize..)?.get(..count as usize)
}

/// The code of a host function.
pub(crate) fn code(host: Host) -> HostCode {
    match host {
        Host::Import(_) => import,
        Host::Foreign(_) => foreign,
        Host::GlobalGet => global_get,
        Host::GlobalSet => global_set,
        Host::MemoryGrow => memory_grow,
        Host::MemoryFill => memory_fill,
        Host::MemoryCopy => memory_copy,
        Host::MemoryInit => memory_init,
        Host::DataDrop => data_drop,
        Host::TableSet => table_set,
        Host::TableGrow => table_grow,
        Host::TableFill => table_fill,
        Host::TableCopy => table_copy,
        Host::TableInit => table_init,
        Host::ElementDrop => element_drop,
    }
}

/// The instance and as many words as are asked for, for as long as the host function runs.
///
/// # Safety
///
/// The context is that of an instance that runs, and there are so many words.
unsafe fn given<'a>(
    context: *mut c_void,
    values: *mut u64,
    count: usize,
) -> (&'a Inner, &'a mut [u64]) {
    // SAFETY: the caller's promise. An instance is reached through shared references alone, and nothing else uses the words now.
    unsafe {
        (
            &*context.cast(),
            std::slice::from_raw_parts_mut(values, count),
        )
    }
}

/// The status of a step, which the instance remembers if it is a trap without a number.
fn status(inner: &Inner, step: Step<()>) -> u32 {
    let trap = match step {
        Ok(()) => return 0,
        Err(trap) => trap,
    };
    *inner.trap.borrow_mut() = Some(trap);
    number::HOST
}

/// Calls a function whose type is that of a function here: how many words its arguments and results take, and the call.
///
/// # Safety
///
/// As for [`given`], with the words that the core passes for the type, one more in front.
unsafe fn call(inner: &Inner, values: *mut u64, ty: u32, number: u32) -> u32 {
    let abi = &inner.module().abis[ty as usize];
    let (parameters, results) = (abi.core_parameters.len(), abi.core_results.len());
    let mut passed = vec![0; parameters.max(results)];
    // SAFETY: the arguments stand behind the word in front.
    let words = unsafe { std::slice::from_raw_parts(values.add(1), parameters) };
    passed[..parameters].copy_from_slice(words);
    let step = inner.call_out(number, ty, &mut passed);
    // SAFETY: the results go to the front.
    let words = unsafe { std::slice::from_raw_parts_mut(values, results) };
    words.copy_from_slice(&passed[..results]);
    status(inner, step)
}

unsafe extern "C" fn import(context: *mut c_void, values: *mut u64) -> u32 {
    // SAFETY: the index stands in front.
    let (inner, words) = unsafe { given(context, values, 1) };
    let index = words[0] as usize;
    let ty = inner.module().declared.functions[index];
    // SAFETY: the function is called with the words of its type.
    unsafe { call(inner, values, ty, inner.imported[index]) }
}

unsafe extern "C" fn foreign(context: *mut c_void, values: *mut u64) -> u32 {
    // SAFETY: the reference and the type stand in front.
    let (inner, words) = unsafe { given(context, values, 1) };
    let (ty, reference) = ((words[0] >> 32) as u32, words[0] as u32);
    // SAFETY: the function is called with the words of this type.
    unsafe { call(inner, values, ty, reference.wrapping_sub(1)) }
}

/// The host functions that take words and give at most one.
macro_rules! callbacks {
    ($($name:ident($inner:ident, $($word:ident),*) $body:expr;)*) => {
        $(unsafe extern "C" fn $name(context: *mut c_void, values: *mut u64) -> u32 {
            const COUNT: usize = [$(stringify!($word)),*].len();
            // SAFETY: a host function gets as many words as it has parameters.
            let ($inner, words) = unsafe { given(context, values, COUNT) };
            let &mut [$($word),*] = words else {
                return number::HOST;
            };
            let step = || -> Step<Option<u64>> { $body };
            match step() {
                Ok(result) => {
                    if let Some(result) = result {
                        words[0] = result;
                    }
                    0
                }
                Err(trap) => status($inner, Err(trap)),
            }
        })*
    };
}

/// A step that gives nothing, or a trap.
fn done(step: Option<()>, trap: Trap) -> Step<Option<u64>> {
    step.map(|()| None).ok_or(trap)
}

callbacks! {
    global_get(inner, global) Ok(Some(inner.global(global as u32)));
    global_set(inner, global, bits) {
        inner.set_global(global as u32, bits);
        Ok(None)
    };
    memory_grow(inner, pages) Ok(Some(inner.memory_grow(pages as u32).into()));
    memory_fill(inner, to, byte, count) {
        inner.charge(count & 0xffff_ffff)?;
        let step = inner.memory_fill(to as u32, byte as u32, count as u32);
        done(step, Trap::MemoryOutOfBounds)
    };
    memory_copy(inner, to, from, count) {
        inner.charge(count & 0xffff_ffff)?;
        let step = inner.memory_copy(to as u32, from as u32, count as u32);
        done(step, Trap::MemoryOutOfBounds)
    };
    memory_init(inner, segment, to, from, count) {
        inner.charge(count & 0xffff_ffff)?;
        let step = inner.memory_init(segment as u32, to as u32, from as u32, count as u32);
        step.map(|()| None)
    };
    data_drop(inner, segment) {
        inner.data_drop(segment as u32);
        Ok(None)
    };
    table_set(inner, table, index, word) {
        let step = inner.tables[table as usize].set(index as u32, word);
        done(step, Trap::TableOutOfBounds)
    };
    table_grow(inner, table, word, count) {
        inner.charge(8 * (count & 0xffff_ffff))?;
        let before = inner.tables[table as usize].grow(count as u32, word);
        Ok(Some(before.unwrap_or(u32::MAX).into()))
    };
    table_fill(inner, table, index, word, count) {
        inner.charge(8 * (count & 0xffff_ffff))?;
        let step = inner.tables[table as usize].fill(index as u32, word, count as u32);
        done(step, Trap::TableOutOfBounds)
    };
    table_copy(inner, to_table, from_table, to, from, count) {
        inner.charge(8 * (count & 0xffff_ffff))?;
        let source = &inner.tables[from_table as usize];
        let step = inner.tables[to_table as usize].copy(to as u32, source, from as u32, count as u32);
        done(step, Trap::TableOutOfBounds)
    };
    table_init(inner, segment, table, to, from, count) {
        inner.charge(8 * (count & 0xffff_ffff))?;
        let [segment, table, to, from, count] = [segment, table, to, from, count].map(|word| word as u32);
        inner.table_init(segment, table, to, from, count).map(|()| None)
    };
    element_drop(inner, segment) {
        inner.element_drop(segment as u32);
        Ok(None)
    };
}
