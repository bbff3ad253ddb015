//! The engines: what each makes of a module's bytes, and how its functions are called.
//!
//! All have one thread. What is compiled is compiled before the first call; nothing is taken from a cache.

use patchjit_wasm::{Bounds, Code, CodeOptions, Engine as Way, Instance, Linker, Store, Value};
use std::rc::Rc;

/// An engine, as it is asked to work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Patchjit's code; reserved address space and faults keep accesses in bounds.
    Jit,
    /// Patchjit's code of optimized programs, the same way.
    JitOptimized,
    /// The same with checks in the code instead.
    JitChecked,
    /// Patchjit's interpreter.
    Interpreter,
    /// wasmtime with Cranelift, optimizing for speed; faults, too.
    Cranelift,
    /// The same with checks in the code instead.
    CraneliftChecked,
    /// wasmtime with Winch, its single-pass compiler; faults.
    Winch,
    /// wasmi's interpreter, which translates before it runs.
    Wasmi,
}

/// All of them.
pub const ENGINES: [Engine; 8] = [
    Engine::Jit,
    Engine::JitOptimized,
    Engine::JitChecked,
    Engine::Interpreter,
    Engine::Cranelift,
    Engine::CraneliftChecked,
    Engine::Winch,
    Engine::Wasmi,
];

/// A module that is ready to be instantiated.
pub enum Ready {
    /// Patchjit's.
    Ours(Rc<Code>),
    /// wasmtime's.
    Wasmtime(wasmtime::Module),
    /// wasmi's.
    Wasmi(wasmi::Module),
}

/// An instance whose functions can be called.
pub enum Running {
    /// Patchjit's.
    Ours {
        instance: Instance,
        /// What it lives in.
        _store: Store,
    },
    /// wasmtime's.
    Wasmtime(wasmtime::Store<()>, wasmtime::Instance),
    /// wasmi's.
    Wasmi(wasmi::Store<()>, wasmi::Instance),
}

/// What is kept from one module to the next.
pub enum Host {
    /// What Patchjit is asked for.
    Ours(Way, CodeOptions),
    /// wasmtime's engine.
    Wasmtime(wasmtime::Engine),
    /// wasmi's engine.
    Wasmi(wasmi::Engine),
}

impl Engine {
    /// What tables call it.
    pub fn name(self) -> &'static str {
        match self {
            Engine::Jit => "patchjit",
            Engine::JitOptimized => "patchjit, optimized",
            Engine::JitChecked => "patchjit, optimized, checked",
            Engine::Interpreter => "patchjit's interpreter",
            Engine::Cranelift => "wasmtime, Cranelift",
            Engine::CraneliftChecked => "wasmtime, Cranelift, checked",
            Engine::Winch => "wasmtime, Winch",
            Engine::Wasmi => "wasmi, eager",
        }
    }

    /// Makes what is kept from one module to the next.
    pub fn host(self) -> Result<Host, String> {
        let [faults, checks] = [Bounds::Faults, Bounds::Comparisons].map(|bounds| CodeOptions {
            bounds,
            ..CodeOptions::default()
        });
        let strategy = match self {
            Engine::Jit => return Ok(Host::Ours(Way::Jit, faults)),
            Engine::JitOptimized => return Ok(Host::Ours(Way::JitOptimized, faults)),
            Engine::JitChecked => return Ok(Host::Ours(Way::JitOptimized, checks)),
            Engine::Interpreter => return Ok(Host::Ours(Way::Interpreter, checks)),
            Engine::Wasmi => {
                let mut config = wasmi::Config::default();
                config.compilation_mode(wasmi::CompilationMode::Eager);
                return Ok(Host::Wasmi(wasmi::Engine::new(&config)));
            }
            Engine::Cranelift | Engine::CraneliftChecked => wasmtime::Strategy::Cranelift,
            Engine::Winch => wasmtime::Strategy::Winch,
        };
        let mut config = wasmtime::Config::new();
        config.strategy(strategy);
        if self == Engine::CraneliftChecked {
            config.memory_reservation(0).memory_guard_size(0);
            // SAFETY: not asking for it leaves code as correct; nobody else's checks have it.
            unsafe { config.cranelift_flag_set("enable_heap_access_spectre_mitigation", "false") };
        }
        let engine = wasmtime::Engine::new(&config).map_err(shown)?;
        Ok(Host::Wasmtime(engine))
    }
}

impl Host {
    /// From a module's bytes to code that can be called.
    ///
    /// # Errors
    ///
    /// What the engine says.
    pub fn make(&self, bytes: &[u8]) -> Result<Ready, String> {
        Ok(match self {
            Host::Ours(way, options) => {
                let module = patchjit_wasm::Module::translate(bytes).map_err(shown)?;
                let code = Code::new(Rc::new(module), *way, *options).map_err(shown)?;
                Ready::Ours(Rc::new(code))
            }
            Host::Wasmtime(engine) => {
                Ready::Wasmtime(wasmtime::Module::new(engine, bytes).map_err(shown)?)
            }
            Host::Wasmi(engine) => Ready::Wasmi(wasmi::Module::new(engine, bytes).map_err(shown)?),
        })
    }
}

impl Ready {
    /// How many bytes of machine code there are, constants between it included.
    pub fn code_bytes(&self) -> Option<usize> {
        match self {
            Ready::Ours(code) => code.code_bytes(),
            Ready::Wasmtime(module) => Some(module.text().len()),
            Ready::Wasmi(_) => None,
        }
    }

    /// Makes an instance of a module that imports nothing.
    ///
    /// # Errors
    ///
    /// What the engine says.
    pub fn start(&self) -> Result<Running, String> {
        Ok(match self {
            Ready::Ours(code) => {
                let store = Store::new();
                let instance = store.instantiate(code, &Linker::new()).map_err(shown)?;
                Running::Ours {
                    instance,
                    _store: store,
                }
            }
            Ready::Wasmtime(module) => {
                let mut store = wasmtime::Store::new(module.engine(), ());
                let instance = wasmtime::Instance::new(&mut store, module, &[]).map_err(shown)?;
                Running::Wasmtime(store, instance)
            }
            Ready::Wasmi(module) => {
                let mut store = wasmi::Store::new(module.engine(), ());
                let instance = wasmi::Instance::new(&mut store, module, &[]).map_err(shown)?;
                Running::Wasmi(store, instance)
            }
        })
    }
}

impl Running {
    /// Calls a function of an `i32` and gives the bits of its result, an `i32` or an `f64`.
    ///
    /// # Errors
    ///
    /// If there is no such function, or it traps.
    pub fn call(&mut self, name: &str, size: i32) -> Result<u64, String> {
        let no_such = || format!("`{name}` is not exported");
        let other = || format!("`{name}` gives neither an i32 nor an f64");
        match self {
            Running::Ours { instance, .. } => {
                let function = instance.function(name).ok_or_else(no_such)?;
                match function.call(&[Value::I32(size)]).map_err(shown)?[..] {
                    [Value::I32(value)] => Ok(value.cast_unsigned().into()),
                    [Value::F64(bits)] => Ok(bits),
                    _ => Err(other()),
                }
            }
            Running::Wasmtime(store, instance) => {
                let function = instance.get_func(&mut *store, name).ok_or_else(no_such)?;
                let mut results = [wasmtime::Val::I32(0)];
                let arguments = [wasmtime::Val::I32(size)];
                let called = function.call(store, &arguments, &mut results);
                called.map_err(shown)?;
                match results {
                    [wasmtime::Val::I32(value)] => Ok(value.cast_unsigned().into()),
                    [wasmtime::Val::F64(bits)] => Ok(bits),
                    _ => Err(other()),
                }
            }
            Running::Wasmi(store, instance) => {
                let function = instance.get_func(&*store, name).ok_or_else(no_such)?;
                let mut results = [wasmi::Val::I32(0)];
                let arguments = [wasmi::Val::I32(size)];
                let called = function.call(store, &arguments, &mut results);
                called.map_err(shown)?;
                match results {
                    [wasmi::Val::I32(value)] => Ok(value.cast_unsigned().into()),
                    [wasmi::Val::F64(float)] => Ok(float.to_bits()),
                    _ => Err(other()),
                }
            }
        }
    }
}

fn shown(error: impl std::fmt::Display) -> String {
    error.to_string()
}
