//! WebAssembly for Patchjit.
//!
//! A module is validated and translated to a program of micro-ops ([`Module::translate`]), made ready for an engine ([`Code`]: the
//! interpreter, or machine code with the optimizer off or on), and instantiated in a [`Store`] with what a [`Linker`] has for its imports.
//!
//! ```
//! use patchjit_wasm::{Code, CodeOptions, Engine, Linker, Module, Store, Value};
//! use std::rc::Rc;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let bytes = patchjit_wasm::script::binary(
//!     r#"(module (func (export "add") (param i32 i32) (result i32)
//!         (i32.add (local.get 0) (local.get 1))))"#,
//! )?;
//! let module = Rc::new(Module::translate(&bytes)?);
//! let code = Rc::new(Code::new(module, Engine::JitOptimized, CodeOptions::default())?);
//! let instance = Store::new().instantiate(&code, &Linker::new())?;
//! let add = instance.function("add").ok_or("no such function")?;
//! assert_eq!(add.call(&[Value::I32(20), Value::I32(22)])?, [Value::I32(42)]);
//! # Ok(())
//! # }
//! ```
//!
//! **What there is.** WebAssembly 1.0 with sign extension, saturating conversions, several values, mutable globals, bulk memory and
//! reference types: what 2.0 has, but for vectors. What a module uses beyond that is [`Error::Unsupported`], with its name and byte offset.
//!
//! **How it maps.** A linear memory is a region that grows, of addresses that are zero-extended; an access out of bounds
//! faults, or is found by a comparison ([`Bounds`]). A table is a region of references. Globals are guest slots. A trap is a `trap` exit, an import or an op
//! on a whole memory or table a host call.
//!
//! **Bounds.** A run may be bounded by fuel ([`Store::set_fuel`]) and is by depth. What a module makes this crate do is linear in its
//! length but for a logarithm, and what its runs reach is its memories, tables and globals: programs are contained.

mod abi;
mod callbacks;
mod code;
mod declared;
mod error;
mod hosts;
mod instance;
mod memory;
mod module;
mod scan;
pub mod script;
mod store;
mod table;
mod translate;
mod types;
pub mod wasi;

pub use code::{Bounds, Code, CodeOptions, Engine};
pub use error::{Error, Trap};
pub use instance::{Extern, Instance};
pub use memory::{Memory, PAGE};
pub use module::{ExportKind, ImportType, Module, Options};
pub use store::{Caller, DEFAULT_DEPTH, Function, Global, InstantiateError, Linker, Store};
pub use table::Table;
pub use types::{FuncType, GlobalType, Limits, TableType, Value, ValueType};
