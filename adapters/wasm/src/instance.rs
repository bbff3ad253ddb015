//! Instances: a module's code with what it works on.
//!
//! An instance has a context, guest slots for its globals, and the memories and tables that it made or imported; the last two may be other
//! instances', too, so every instance that binds one is told when it gets longer. Everything is reached through shared references: compiled
//! code and host functions come back to an instance while it runs.

use crate::abi::slot;
use crate::code::Code;
use crate::error::{Trap, number};
use crate::memory::Memory;
use crate::module::Module;
use crate::store::{Function, Global, StoreData};
use crate::table::Table;
use crate::types::Value;
use patchjit::call;
use patchjit::interp;
use patchjit::runtime::{Binding, Context, EntryCell, HostCode, Status};
use std::cell::{Cell, RefCell, UnsafeCell};
use std::rc::{Rc, Weak};

/// How many entries from host functions may be within each other: each takes of the machine's stack what no program counts.
const MOST_NESTED: u32 = 200;

/// What of the machine's stack an entry takes besides frames of compiled code, in bytes.
const RESERVE: usize = 128 << 10;

/// The most of the machine's stack that frames may take, in bytes. Programs whose frames are so large that the allowed depth takes more get
/// less depth.
const MOST_STACK: u64 = 256 << 20;

/// The most words for frames of the interpreter.
const MOST_FRAME_WORDS: usize = 32 << 20;

/// The parts of an instance.
pub(crate) struct Inner {
    pub code: Rc<Code>,
    pub store: Weak<StoreData>,
    /// Compiled code writes there, and whoever holds a reference to this value may; no reference into it is ever made.
    context: UnsafeCell<Context>,
    slots: Box<[Cell<u64>]>,
    hosts: Box<[HostCode]>,
    cells: Box<[EntryCell]>,
    /// The number in the store of function 0.
    pub first_function: u32,
    /// The numbers of the functions that are imported.
    pub imported: Vec<u32>,
    pub memory: Option<Memory>,
    pub tables: Vec<Table>,
    /// The globals that are imported.
    pub imported_globals: Vec<Global>,
    /// The words of element segments, until they are dropped.
    pub elements: RefCell<Vec<Vec<u64>>>,
    pub dropped_data: RefCell<Vec<bool>>,
    /// Why a host function gave a status that is not 0.
    pub trap: RefCell<Option<Trap>>,
}

/// What an instance is made of, besides its code.
pub(crate) struct Ingredients {
    pub first_function: u32,
    pub imported: Vec<u32>,
    pub memory: Option<Memory>,
    pub tables: Vec<Table>,
    pub imported_globals: Vec<Global>,
}

/// How far a run may go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    pub fuel: i64,
    pub depth: i64,
}

impl Inner {
    /// An instance whose globals hold zeros, and whose segments are to be filled in.
    pub fn new(code: Rc<Code>, store: Weak<StoreData>, ingredients: Ingredients) -> Rc<Inner> {
        let Ingredients {
            first_function,
            imported,
            memory,
            tables,
            imported_globals,
        } = ingredients;
        let program = code.module().program();
        let cell = |(index, function): (usize, &patchjit::ir::Function)| EntryCell {
            code: code.body(index),
            signature: u64::from(function.signature),
        };
        let cells = program.functions.iter().enumerate().map(cell).collect();
        let slots = vec![Cell::new(0); program.slot_count as usize].into_boxed_slice();
        let hosts = code.module().hosts.iter();
        let hosts = hosts.map(|host| crate::callbacks::code(*host)).collect();
        let inner = Rc::new(Inner {
            store,
            context: UnsafeCell::new(Context::new()),
            slots,
            hosts,
            cells,
            first_function,
            imported,
            memory,
            tables,
            imported_globals,
            elements: RefCell::default(),
            dropped_data: RefCell::default(),
            trap: RefCell::default(),
            code,
        });
        inner.bind();
        inner
    }

    /// Points the context at what it binds.
    fn bind(self: &Rc<Inner>) {
        let context = self.context.get();
        let mut context_value = Context::new();
        context_value.slots = self.slots.as_ptr().cast_mut().cast();
        context_value.hosts = self.hosts.as_ptr();
        context_value.host_context = Rc::as_ptr(self).cast_mut().cast();
        context_value.cells = self.cells.as_ptr();
        context_value.cell_count = self.cells.len() as u64;
        let memory = self
            .memory
            .iter()
            .map(|memory| (&memory.0.bytes, &memory.0.users));
        let tables = self
            .tables
            .iter()
            .map(|table| (&table.0.words, &table.0.users));
        for (region, (bytes, users)) in memory.chain(tables).enumerate() {
            context_value.regions[region] = Binding {
                base: bytes.base(),
                size: bytes.size(),
            };
            users.borrow_mut().push((Rc::downgrade(self), region));
        }
        // SAFETY: nobody else knows of the context yet.
        unsafe { *context = context_value };
        self.set_slot(slot::FUNCTIONS, u64::from(self.first_function) + 1);
    }

    pub fn module(&self) -> &Module {
        self.code.module()
    }

    /// A region got longer.
    pub fn set_region_size(&self, region: usize, size: u64) {
        // SAFETY: on this thread, and no reference into the context is ever made; compiled code reads sizes again behind the
        // host call in which this happens.
        unsafe { (*self.context.get()).regions[region].size = size };
    }

    pub fn slot(&self, slot: u32) -> u64 {
        self.slots[slot as usize].get()
    }

    pub fn set_slot(&self, slot: u32, word: u64) {
        self.slots[slot as usize].set(word);
    }

    /// What the run that is in a host function has left.
    pub fn budget(&self) -> Budget {
        let context = self.context.get();
        // SAFETY: as for `set_region_size`.
        let (fuel, depth) = unsafe { ((*context).fuel, (*context).depth) };
        Budget { fuel, depth }
    }

    pub fn set_fuel(&self, fuel: i64) {
        // SAFETY: as for `set_region_size`.
        unsafe { (*self.context.get()).fuel = fuel };
    }

    /// The word that a global holds.
    pub fn global(&self, global: u32) -> u64 {
        match self.imported_globals.get(global as usize) {
            Some(imported) => imported.bits(),
            None => self.slot(self.module().first_global + global),
        }
    }

    /// Sets a global.
    pub fn set_global(&self, global: u32, word: u64) {
        match self.imported_globals.get(global as usize) {
            Some(imported) => imported.set_bits(word),
            None => self.set_slot(self.module().first_global + global, word),
        }
    }

    /// The number in the store of a function.
    pub fn function(&self, index: u32) -> u32 {
        match self.imported.get(index as usize) {
            Some(&number) => number,
            None => self.first_function + index,
        }
    }

    /// Runs a function. `values` holds what travels in the core's arguments, and then its results; what travels in slots is there. Gives
    /// the fuel that is left.
    pub fn enter(
        &self,
        function: u32,
        values: &mut [u64],
        budget: Budget,
    ) -> (Result<(), Trap>, i64) {
        let Some(store) = self.store.upgrade() else {
            let gone = Trap::Host("the store is gone".to_owned());
            return (Err(gone), budget.fuel);
        };
        if store.nested.get() >= MOST_NESTED {
            return (Err(Trap::StackExhausted), budget.fuel);
        }
        store.nested.set(store.nested.get() + 1);
        let context = self.context.get();
        // SAFETY: as for `set_region_size`.
        let outside = unsafe {
            let outside = ((*context).fuel, (*context).depth);
            (*context).fuel = budget.fuel;
            (*context).depth = budget.depth;
            outside
        };
        let result = self.run(&store, function, values);
        store.nested.set(store.nested.get() - 1);
        // SAFETY: the same.
        let (fuel, number) = unsafe {
            let left = (*context).fuel;
            ((*context).fuel, (*context).depth) = outside;
            (left, (*context).exit_number)
        };
        let result = match result {
            Ok(Status::Returned) => Ok(()),
            Ok(Status::OutOfFuel) => Err(Trap::OutOfFuel),
            Ok(Status::TooDeep) => Err(Trap::StackExhausted),
            Ok(Status::Trapped | Status::Deoptimized) => {
                let known = number::trap(number, self.slot(slot::OPERAND));
                let host = || self.trap.borrow_mut().take();
                let unknown = || Trap::Host(format!("trap {number}"));
                Err(known.or_else(host).unwrap_or_else(unknown))
            }
            Err(trap) => Err(trap),
        };
        (result, fuel)
    }

    /// Runs a function with the context as it is.
    fn run(&self, store: &StoreData, function: u32, values: &mut [u64]) -> Result<Status, Trap> {
        let context = self.context.get();
        if let Some(decoded) = self.code.decoded() {
            let depth = u32::try_from(self.budget().depth).unwrap_or(u32::MAX);
            let needed = decoded.stack_words(depth).min(MOST_FRAME_WORDS);
            let mut stack = store.stacks.borrow_mut().pop().unwrap_or_default();
            if stack.len() < needed {
                // Fresh zeros, whose pages come as they are touched.
                stack = vec![0; needed];
            }
            let options = interp::Options {
                charge_fuel: self.code.charges_fuel(),
            };
            // SAFETY: the context binds what the program declares, which is contained; host functions return.
            let outcome = unsafe { decoded.run(function, context, values, &mut stack, options) };
            store.stacks.borrow_mut().push(stack);
            return match outcome {
                Ok(outcome) => Ok(outcome.status),
                Err(patchjit::error::Error::Full { .. }) => Err(Trap::StackExhausted),
                Err(error) => Err(Trap::Host(error.to_string())),
            };
        }
        let Some(entry) = self.code.entry(function) else {
            return Err(Trap::Host(format!("no function {function}")));
        };
        let frame = u64::from(self.code.frame_bytes()).max(1);
        let depth = self.budget().depth.min((MOST_STACK / frame).cast_signed());
        // SAFETY: as for `set_region_size`.
        unsafe { (*context).depth = depth };
        let needed = depth.max(0) as usize * frame as usize + RESERVE;
        let values = values.as_mut_ptr();
        let status = stacker::maybe_grow(needed, needed, || {
            // SAFETY: published code of this program, which this instance keeps; the context binds what the program declares, which is
            // contained; host functions return; there is room for the depth; there are enough values.
            unsafe { call::enter(entry, context, values) }
        });
        Ok(status)
    }
}

/// An instance of a module.
#[derive(Clone)]
pub struct Instance {
    pub(crate) inner: Rc<Inner>,
    pub(crate) store: Rc<StoreData>,
}

/// What an instance exports, or an import gets.
#[derive(Clone)]
pub enum Extern {
    /// A function.
    Function(Function),
    /// A table.
    Table(Table),
    /// A memory.
    Memory(Memory),
    /// A global.
    Global(Global),
}

impl Instance {
    /// What is exported by this name.
    pub fn export(&self, name: &str) -> Option<Extern> {
        use crate::declared::Kind;
        let exports = &self.inner.module().declared.exports;
        let (_, kind) = exports.iter().find(|(export, _)| export == name)?;
        Some(match *kind {
            Kind::Function(index) => Extern::Function(Function {
                store: self.store.clone(),
                number: self.inner.function(index),
            }),
            Kind::Table(index) => Extern::Table(self.inner.tables.get(index as usize)?.clone()),
            Kind::Memory(_) => Extern::Memory(self.inner.memory.clone()?),
            Kind::Global(index) => Extern::Global(Global::of(&self.inner, index)),
        })
    }

    /// The function that is exported by this name.
    pub fn function(&self, name: &str) -> Option<Function> {
        match self.export(name)? {
            Extern::Function(function) => Some(function),
            _ => None,
        }
    }

    /// The memory that is exported by this name.
    pub fn memory(&self, name: &str) -> Option<Memory> {
        match self.export(name)? {
            Extern::Memory(memory) => Some(memory),
            _ => None,
        }
    }

    /// What an exported global holds.
    pub fn global(&self, name: &str) -> Option<Value> {
        match self.export(name)? {
            Extern::Global(global) => Some(global.get()),
            _ => None,
        }
    }
}
