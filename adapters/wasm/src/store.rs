//! Stores: the functions that instances can call, and instantiation (<https://www.w3.org/TR/wasm-core-2/#instantiation>).

use crate::code::Code;
use crate::declared::{Constant, Declared, Kind, MOST_PAGES};
use crate::error::Trap;
use crate::instance::{Budget, Extern, Ingredients, Inner, Instance};
use crate::memory::Memory;
use crate::table::Table;
use crate::types::{FuncType, GlobalType, Limits, Value, ValueType};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;

/// The calls within each other that a store allows unless told otherwise.
pub const DEFAULT_DEPTH: u32 = 10_000;

/// A host function's code.
type HostCode = dyn Fn(&Caller<'_>, &[Value]) -> Result<Vec<Value>, Trap>;

/// A function that instances can call.
#[derive(Clone)]
pub(crate) enum Callee {
    /// An instance's, by its index there.
    Guest(Rc<Inner>, u32),
    Host(FuncType, Rc<HostCode>),
}

pub(crate) struct StoreData {
    pub functions: RefCell<Vec<Callee>>,
    pub fuel: Cell<Option<u64>>,
    pub depth: Cell<u32>,
    pub pages: Cell<u32>,
    /// How many entries are within each other.
    pub nested: Cell<u32>,
    /// Frames of the interpreter that no run uses.
    pub stacks: RefCell<Vec<Vec<u64>>>,
}

/// What instances that can call each other have in common. Everything in a store lives as long as the store or an instance that it gave
/// out; it stays on one thread.
#[derive(Clone)]
pub struct Store {
    pub(crate) data: Rc<StoreData>,
}

/// A function in a store.
#[derive(Clone)]
pub struct Function {
    pub(crate) store: Rc<StoreData>,
    pub(crate) number: u32,
}

/// A global.
#[derive(Clone)]
pub struct Global {
    place: GlobalPlace,
    ty: GlobalType,
}

#[derive(Clone)]
enum GlobalPlace {
    Host(Rc<Cell<u64>>),
    Guest(Rc<Inner>, u32),
}

impl Global {
    /// A global of the embedder's.
    pub fn new(value: Value, mutable: bool) -> Global {
        Global {
            place: GlobalPlace::Host(Rc::new(Cell::new(value.bits()))),
            ty: GlobalType {
                content: value.ty(),
                mutable,
            },
        }
    }

    /// A global of an instance's.
    pub(crate) fn of(inner: &Rc<Inner>, index: u32) -> Global {
        match inner.imported_globals.get(index as usize) {
            Some(imported) => imported.clone(),
            None => Global {
                place: GlobalPlace::Guest(inner.clone(), index),
                ty: inner.module().declared.globals[index as usize],
            },
        }
    }

    pub(crate) fn bits(&self) -> u64 {
        match &self.place {
            GlobalPlace::Host(cell) => cell.get(),
            GlobalPlace::Guest(inner, index) => inner.global(*index),
        }
    }

    pub(crate) fn set_bits(&self, bits: u64) {
        match &self.place {
            GlobalPlace::Host(cell) => cell.set(bits),
            GlobalPlace::Guest(inner, index) => inner.set_global(*index, bits),
        }
    }

    /// What it holds.
    pub fn get(&self) -> Value {
        Value::from_bits(self.ty.content, self.bits())
    }

    /// Its type.
    pub fn ty(&self) -> GlobalType {
        self.ty
    }
}

/// Who called a host function.
pub struct Caller<'c> {
    pub(crate) inner: Option<&'c Inner>,
}

impl Caller<'_> {
    /// The memory of the instance that called, if it has one.
    pub fn memory(&self) -> Option<&Memory> {
        self.inner?.memory.as_ref()
    }
}

/// Why a module was not instantiated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InstantiateError {
    /// There is nothing for an import, or something of another type.
    Link {
        /// The import's module.
        module: String,
        /// Its name.
        name: String,
        /// What is wrong: `unknown import` or `incompatible import type`.
        what: &'static str,
    },
    /// A segment did not fit, or the start function trapped.
    Trap(Trap),
    /// There is no memory for what the module declares.
    Memory(patchjit_memory::Error),
    /// The code keeps bounds by faults, and there was too little address space for that when the memory was made.
    Unreserved,
}

impl fmt::Display for InstantiateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InstantiateError::Link { module, name, what } => {
                write!(f, "{what}: `{module}` `{name}`")
            }
            InstantiateError::Trap(trap) => trap.fmt(f),
            InstantiateError::Memory(error) => error.fmt(f),
            InstantiateError::Unreserved => f.write_str(
                "the memory has too little address space for bounds that are kept by faults",
            ),
        }
    }
}

impl std::error::Error for InstantiateError {}

impl From<Trap> for InstantiateError {
    fn from(trap: Trap) -> InstantiateError {
        InstantiateError::Trap(trap)
    }
}

impl From<patchjit_memory::Error> for InstantiateError {
    fn from(error: patchjit_memory::Error) -> InstantiateError {
        InstantiateError::Memory(error)
    }
}

/// What imports get, by their module and name.
#[derive(Clone, Default)]
pub struct Linker {
    items: HashMap<String, HashMap<String, Extern>>,
}

impl Linker {
    /// Nothing yet.
    pub fn new() -> Linker {
        Linker::default()
    }

    /// Gives imports of this module and name this, from now on.
    pub fn define(&mut self, module: &str, name: &str, item: Extern) {
        let names = self.items.entry(module.to_owned()).or_default();
        names.insert(name.to_owned(), item);
    }

    /// The same with everything that an instance exports.
    pub fn define_instance(&mut self, module: &str, instance: &Instance) {
        let names: Vec<_> = instance
            .inner
            .module()
            .exports()
            .map(|export| export.0)
            .collect();
        for name in names {
            if let Some(item) = instance.export(name) {
                self.define(module, name, item);
            }
        }
    }

    fn get(&self, module: &str, name: &str) -> Option<&Extern> {
        self.items.get(module)?.get(name)
    }
}

impl Default for Store {
    fn default() -> Store {
        Store::new()
    }
}

impl Store {
    /// An empty one, which allows [`DEFAULT_DEPTH`] calls within each other and bounds no run.
    pub fn new() -> Store {
        Store {
            data: Rc::new(StoreData {
                functions: RefCell::default(),
                fuel: Cell::new(None),
                depth: Cell::new(DEFAULT_DEPTH),
                pages: Cell::new(MOST_PAGES),
                nested: Cell::new(0),
                stacks: RefCell::default(),
            }),
        }
    }

    /// How many function entries and back-edges each call from outside may make, in code that charges fuel; without a number, as many as it takes.
    pub fn set_fuel(&self, fuel: Option<u64>) {
        self.data.fuel.set(fuel);
    }

    /// How many calls may be within each other.
    pub fn set_depth(&self, depth: u32) {
        self.data.depth.set(depth);
    }

    /// How many pages each memory that instances make from now on may have, at most 65,536: a module that declares more is not instantiated, and
    /// one that asks for more gets none.
    pub fn set_most_pages(&self, pages: u32) {
        self.data.pages.set(pages.min(MOST_PAGES));
    }

    /// A host function. What it gives must have the types that are said, else the call traps.
    pub fn host_function(
        &self,
        ty: FuncType,
        code: impl Fn(&Caller<'_>, &[Value]) -> Result<Vec<Value>, Trap> + 'static,
    ) -> Function {
        let mut functions = self.data.functions.borrow_mut();
        functions.push(Callee::Host(ty, Rc::new(code)));
        Function {
            store: self.data.clone(),
            number: functions.len() as u32 - 1,
        }
    }

    /// The function with this number, which a reference has.
    pub fn function(&self, number: u32) -> Option<Function> {
        let count = self.data.functions.borrow().len();
        ((number as usize) < count).then(|| Function {
            store: self.data.clone(),
            number,
        })
    }

    /// Instantiates a module with what a linker has for its imports: makes what it declares, writes its segments, and calls its start function.
    ///
    /// # Errors
    ///
    /// [`InstantiateError`]. What segments wrote before one did not fit stays written.
    pub fn instantiate(
        &self,
        code: &Rc<Code>,
        linker: &Linker,
    ) -> Result<Instance, InstantiateError> {
        let module = code.module().clone();
        let declared = &module.declared;
        let mut parts = Ingredients {
            first_function: 0,
            imported: Vec::new(),
            memory: None,
            tables: Vec::new(),
            imported_globals: Vec::new(),
        };
        for import in &declared.imports {
            let failed = |what| InstantiateError::Link {
                module: import.module.clone(),
                name: import.name.clone(),
                what,
            };
            let item = linker.get(&import.module, &import.name);
            let item = item.ok_or_else(|| failed("unknown import"))?;
            if !self.import(declared, import.kind, item, &mut parts) {
                return Err(failed("incompatible import type"));
            }
        }
        if let (Some(limits), None) = (declared.memory, &parts.memory) {
            parts.memory = Some(Memory::within(limits, self.data.pages.get())?);
        }
        if let Some(memory) = &parts.memory
            && memory.0.bytes.reserved_bytes() < code.reserved_bytes()
        {
            return Err(InstantiateError::Unreserved);
        }
        for &ty in &declared.tables[parts.tables.len()..] {
            parts.tables.push(Table::new(ty)?);
        }
        let mut functions = self.data.functions.borrow_mut();
        parts.first_function = functions.len() as u32;
        let inner = Inner::new(code.clone(), Rc::downgrade(&self.data), parts);
        let own = 0..declared.functions.len() as u32;
        functions.extend(own.map(|index| Callee::Guest(inner.clone(), index)));
        drop(functions);
        self.fill(&inner)?;
        let instance = Instance {
            inner,
            store: self.data.clone(),
        };
        if let Some(start) = module.declared.start {
            let start = Function {
                store: self.data.clone(),
                number: instance.inner.function(start),
            };
            start.call(&[])?;
        }
        Ok(instance)
    }

    /// Takes what an import gets; says whether it has the right type.
    fn import(
        &self,
        declared: &Declared,
        kind: Kind,
        item: &Extern,
        parts: &mut Ingredients,
    ) -> bool {
        match (kind, item) {
            (Kind::Function(index), Extern::Function(function)) => {
                parts.imported.push(function.number);
                Rc::ptr_eq(&function.store, &self.data)
                    && function.ty() == *declared.function_type(index)
            }
            (Kind::Table(index), Extern::Table(table)) => {
                let (wanted, given) = (declared.tables[index as usize], table.ty());
                parts.tables.push(table.clone());
                wanted.element == given.element && matches(wanted.limits, given.limits)
            }
            (Kind::Memory(_), Extern::Memory(memory)) => {
                parts.memory = Some(memory.clone());
                let wanted = declared.memory;
                wanted.is_some_and(|wanted| matches(wanted, memory.limits()))
            }
            (Kind::Global(index), Extern::Global(global)) => {
                parts.imported_globals.push(global.clone());
                global.ty == declared.globals[index as usize]
            }
            _ => false,
        }
    }

    /// Fills in globals, tables and the memory.
    fn fill(&self, inner: &Rc<Inner>) -> Result<(), Trap> {
        let declared = &inner.module().declared;
        let word = |constant: &Constant| match *constant {
            Constant::Bits(bits) => bits,
            Constant::Global(global) => inner.global(global),
            // An import is called through the function that it is here.
            Constant::Function(function) => u64::from(inner.first_function + function) + 1,
        };
        for (index, global) in inner.imported_globals.iter().enumerate() {
            // What cannot be set is read from slots.
            if !global.ty.mutable {
                inner.set_slot(inner.module().first_global + index as u32, global.bits());
            }
        }
        for (index, constant) in (declared.imported_globals..).zip(&declared.initial) {
            inner.set_global(index, word(constant));
        }
        let elements = declared.elements.iter();
        let elements = elements.map(|segment| segment.items.iter().map(word).collect());
        *inner.elements.borrow_mut() = elements.collect();
        *inner.dropped_data.borrow_mut() = vec![false; declared.data.len()];
        for (index, segment) in declared.elements.iter().enumerate() {
            if let Some((table, offset)) = &segment.active {
                let to = word(offset) as u32;
                let count = segment.items.len() as u32;
                inner.table_init(index as u32, *table, to, 0, count)?;
            }
            if !segment.passive {
                inner.element_drop(index as u32);
            }
        }
        for (index, segment) in declared.data.iter().enumerate() {
            if let Some(offset) = &segment.active {
                let to = word(offset) as u32;
                inner.memory_init(index as u32, to, 0, segment.bytes.len() as u32)?;
                inner.data_drop(index as u32);
            }
        }
        Ok(())
    }
}

/// Whether something with these limits, the first of them its size now, is what an import wants.
fn matches(wanted: Limits, given: Limits) -> bool {
    let most = match (wanted.most, given.most) {
        (None, _) => true,
        (Some(wanted), Some(given)) => given <= wanted,
        (Some(_), None) => false,
    };
    given.least >= wanted.least && most
}

impl StoreData {
    /// The function with this number.
    pub fn callee(&self, number: u32) -> Option<Callee> {
        self.functions.borrow().get(number as usize).cloned()
    }
}

impl Callee {
    /// Its type.
    pub fn ty(&self) -> &FuncType {
        match self {
            Callee::Guest(inner, index) => inner.module().declared.function_type(*index),
            Callee::Host(ty, _) => ty,
        }
    }
}

impl Function {
    /// Its number in its store, which references to it have.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Its type.
    pub fn ty(&self) -> FuncType {
        let callee = self.store.callee(self.number);
        callee.map_or_else(FuncType::default, |callee| callee.ty().clone())
    }

    /// Calls it from outside, with the store's fuel and depth.
    ///
    /// # Errors
    ///
    /// The trap that ended it; one that says so if there are not as many arguments as parameters, of their types.
    pub fn call(&self, arguments: &[Value]) -> Result<Vec<Value>, Trap> {
        self.call_with_fuel(arguments).0
    }

    /// The same; gives the fuel that is left, too, where the store bounds it.
    pub fn call_with_fuel(&self, arguments: &[Value]) -> (Result<Vec<Value>, Trap>, Option<u64>) {
        let fuel = self.store.fuel.get();
        let budget = Budget {
            fuel: fuel.map_or(i64::MAX, |fuel| i64::try_from(fuel).unwrap_or(i64::MAX)),
            depth: i64::from(self.store.depth.get()),
        };
        let Some(callee) = self.store.callee(self.number) else {
            return (Err(Trap::Host("no such function".to_owned())), fuel);
        };
        let ty = callee.ty();
        if !arguments
            .iter()
            .map(|value| value.ty())
            .eq(ty.parameters.iter().copied())
        {
            let what = "the arguments are not of the parameters' types".to_owned();
            return (Err(Trap::Host(what)), fuel);
        }
        match &callee {
            Callee::Host(_, code) => (host(&Caller { inner: None }, ty, &**code, arguments), fuel),
            Callee::Guest(inner, index) => {
                let (results, left) = guest(inner, *index, arguments, budget);
                (results, fuel.map(|_| left.max(0).cast_unsigned()))
            }
        }
    }
}

/// Calls a host function and looks at what it gives.
pub(crate) fn host(
    caller: &Caller<'_>,
    ty: &FuncType,
    code: &HostCode,
    arguments: &[Value],
) -> Result<Vec<Value>, Trap> {
    let results = code(caller, arguments)?;
    let types: Vec<ValueType> = results.iter().map(|value| value.ty()).collect();
    if types == ty.results {
        Ok(results)
    } else {
        Err(Trap::Host(
            "a host function's results are of other types".to_owned(),
        ))
    }
}

/// Calls a function of an instance with values of the parameters' types.
fn guest(
    inner: &Rc<Inner>,
    index: u32,
    arguments: &[Value],
    budget: Budget,
) -> (Result<Vec<Value>, Trap>, i64) {
    let declared = &inner.module().declared;
    let number = declared.functions[index as usize] as usize;
    let (ty, abi) = (&declared.types[number], &inner.module().abis[number]);
    let length = abi.core_parameters.len().max(abi.core_results.len());
    let mut values = vec![0; length];
    for (place, argument) in abi.parameters.iter().zip(arguments) {
        inner.put(*place, &mut values, argument.bits());
    }
    let (result, left) = inner.enter(index, &mut values, budget);
    let results = abi.results.iter().zip(&ty.results);
    let results = results.map(|(place, &ty)| Value::from_bits(ty, inner.take(*place, &values)));
    (result.map(|()| results.collect()), left)
}
