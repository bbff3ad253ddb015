//! A module made ready to run: decoded for the interpreter, or compiled.

use crate::error::Error;
use crate::memory::RESERVED;
use crate::module::Module;
use patchjit::code::CodeBuffer;
use patchjit::compile::{self, FunctionCode, Reserved};
use patchjit::error::{Error as CoreError, Storage};
use patchjit::interp::{self, Decoded};
use patchjit::ir::Program;
use patchjit::optimize;
use patchjit::verify::{self, Verified};
use patchjit_memory::faults::{self, Handled};
use patchjit_memory::records::Records;
use patchjit_memory::{Arena, Block, Growing};
use self_cell::{MutBorrow, self_cell};
use std::rc::Rc;
use std::sync::OnceLock;

/// What executes a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// The interpreter, which defines what programs mean.
    Interpreter,
    /// Machine code of the program as it was translated.
    Jit,
    /// Machine code of the program, optimized.
    JitOptimized,
}

/// What an interpreted module consists of.
struct Parts {
    module: Rc<Module>,
    facts: Vec<u32>,
    words: Vec<u32>,
}

self_cell!(
    struct Interpreted {
        owner: MutBorrow<Parts>,
        #[covariant]
        dependent: Decoded,
    }
);

/// How code keeps accesses within a memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bounds {
    /// By faults where they can be handled; else by comparisons. This sets the process's handler of `SIGSEGV`, asks of the process what
    /// [`patchjit_memory::faults`] says, and takes 6 GiB of address space for each memory: 20,000 of them are what there is room for in 47
    /// bits.
    #[default]
    Faults,
    /// By comparisons.
    Comparisons,
}

/// What code is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CodeOptions {
    /// Whether runs charge run fuel.
    pub fuel: bool,
    /// How machine code keeps accesses within a memory. The interpreter compares.
    pub bounds: Bounds,
}

/// Machine code.
struct Native {
    /// Goes before the code.
    faults: Option<Handled>,
    _arena: Arena,
    block: Block,
    functions: Vec<FunctionCode>,
    frame_bytes: u32,
    code_bytes: u32,
}

enum Kind {
    Interpreted(Interpreted),
    Native(Box<Native>),
}

/// A module, ready to be instantiated as often as is asked for.
pub struct Code {
    module: Rc<Module>,
    kind: Kind,
    fuel: bool,
}

impl Code {
    /// Makes a module ready for an engine.
    ///
    /// # Errors
    ///
    /// What the core refuses; if there is no executable memory, or no target for this machine.
    pub fn new(module: Rc<Module>, engine: Engine, options: CodeOptions) -> Result<Code, Error> {
        let kind = match engine {
            Engine::Interpreter => Kind::Interpreted(interpret(module.clone())?),
            Engine::Jit | Engine::JitOptimized => {
                let program = module.program();
                let mut facts = vec![0; verify::workspace_words(&program)];
                let verified = verify::verify(program, &mut facts)?;
                let options = compile_options(&module, options);
                Kind::Native(Box::new(match engine {
                    Engine::JitOptimized => {
                        let mut records = Records::default();
                        with_optimized(&verified, &mut records, |verified| {
                            native(verified, &options)
                        })?
                    }
                    _ => native(&verified, &options)?,
                }))
            }
        };
        Ok(Code {
            module,
            kind,
            fuel: options.fuel,
        })
    }

    /// The module.
    pub fn module(&self) -> &Rc<Module> {
        &self.module
    }

    /// How many bytes of machine code there are.
    pub fn code_bytes(&self) -> Option<usize> {
        match &self.kind {
            Kind::Interpreted(_) => None,
            Kind::Native(native) => Some(native.code_bytes as usize),
        }
    }

    /// How much address space its memory must have reserved.
    pub(crate) fn reserved_bytes(&self) -> u64 {
        match &self.kind {
            Kind::Native(native) if native.faults.is_some() => RESERVED,
            _ => 0,
        }
    }

    /// Whether runs charge run fuel.
    pub(crate) fn charges_fuel(&self) -> bool {
        self.fuel
    }

    /// The decoded program, if the interpreter runs it.
    pub(crate) fn decoded(&self) -> Option<&Decoded<'_>> {
        match &self.kind {
            Kind::Interpreted(interpreted) => Some(interpreted.borrow_dependent()),
            Kind::Native(_) => None,
        }
    }

    /// Where a function is entered from outside, if there is machine code.
    pub(crate) fn entry(&self, function: u32) -> Option<u64> {
        match &self.kind {
            Kind::Interpreted(_) => None,
            Kind::Native(native) => {
                let code = native.functions.get(function as usize)?;
                Some(native.block.address() + u64::from(code.entry))
            }
        }
    }

    /// Where other code calls a function; 0 where there is no machine code.
    pub(crate) fn body(&self, function: usize) -> u64 {
        match &self.kind {
            Kind::Interpreted(_) => 0,
            Kind::Native(native) => {
                let code = native.functions.get(function);
                code.map_or(0, |code| native.block.address() + u64::from(code.body))
            }
        }
    }

    /// What a call takes of the machine's stack at most, in bytes.
    pub(crate) fn frame_bytes(&self) -> u32 {
        match &self.kind {
            Kind::Interpreted(_) => 0,
            Kind::Native(native) => native.frame_bytes,
        }
    }
}

fn interpret(module: Rc<Module>) -> Result<Interpreted, Error> {
    let parts = Parts {
        module,
        facts: Vec::new(),
        words: Vec::new(),
    };
    Interpreted::try_new(MutBorrow::new(parts), |parts| {
        let Parts {
            module,
            facts,
            words,
        } = parts.borrow_mut();
        let program: Program<'_> = module.program();
        facts.resize(verify::workspace_words(&program), 0);
        let verified = verify::verify(program, facts)?;
        words.resize(interp::workspace_words(&verified), 0);
        Ok(interp::decode(&verified, words)?)
    })
}

/// Optimizes a program in these records, and shows the result.
fn with_optimized<R>(
    verified: &Verified<'_>,
    records: &mut Records,
    look: impl FnOnce(&Verified<'_>) -> Result<R, Error>,
) -> Result<R, Error> {
    let mut words = vec![0; optimize::words(verified)];
    records.make(&optimize::storage(verified));
    let options = optimize::Options::default();
    let optimized = optimize::optimize(verified, &options, &mut words, records.storage())?;
    let mut facts = vec![0; verify::workspace_words(optimized.program())];
    look(&optimized.verify(&mut facts)?)
}

/// What the compiler is asked for.
fn compile_options(module: &Module, options: CodeOptions) -> compile::Options {
    let mut reserved = Reserved::default();
    if options.bounds == Bounds::Faults && module.declared.memory.is_some() && can_reserve() {
        // The memory is the first region.
        reserved = Reserved {
            regions: 1,
            bytes: RESERVED,
        };
    }
    compile::Options {
        fuel: options.fuel,
        reserved,
    }
}

/// Whether faults are handled here, and this process gets the address space that it takes: asked once.
fn can_reserve() -> bool {
    static CAN: OnceLock<bool> = OnceLock::new();
    *CAN.get_or_init(|| faults::AVAILABLE && Growing::reserved(0, 0, RESERVED).is_ok())
}

/// Which part of the room for the longest code is tried first, besides so many bytes.
const ROOM: usize = 8;
const ROOM_LEAST: usize = 8 << 10;

fn native(verified: &Verified<'_>, options: &compile::Options) -> Result<Native, Error> {
    let set = patchjit_stencils::native().ok_or(Error::NoTarget)?;
    let mut words = vec![0; compile::workspace_words(verified)];
    let mut functions = vec![FunctionCode::default(); verified.program().functions.len()];
    // A fraction of the room for the longest code that there could be, as that is mostly enough; what the code takes of it goes into the
    // arena, as it is the same wherever it stands.
    let most = compile::code_bytes(verified);
    let mut bytes = vec![0; most / ROOM + ROOM_LEAST];
    let mut write = |bytes: &mut [u8]| {
        let buffer = CodeBuffer {
            write: bytes,
            execute_at: 0,
        };
        compile::compile(verified, set, options, &mut words, buffer, &mut functions)
    };
    let compiled = match write(&mut bytes) {
        Err(CoreError::Full {
            storage: Storage::Code,
            ..
        }) => {
            bytes = vec![0; most];
            write(&mut bytes)?
        }
        compiled => compiled?,
    };
    let length = compiled.code_length as usize;
    let mut arena = Arena::new(length)?;
    let mut block = arena.reserve(length)?;
    let mut writing = arena.write(&mut block)?;
    writing.buffer().write[..length].copy_from_slice(&bytes[..length]);
    let address = writing.publish(length)?;
    let sites = functions.iter().flat_map(|code| code.fault_sites(&bytes));
    let faults = match sites.collect::<Vec<_>>() {
        sites if sites.is_empty() => None,
        sites => {
            // SAFETY: the code was published there, and the arena goes after this.
            Some(unsafe { Handled::new(address..address + length as u64, sites) }?)
        }
    };
    Ok(Native {
        faults,
        _arena: arena,
        block,
        functions,
        frame_bytes: compiled.frame_bytes,
        code_bytes: compiled.code_length,
    })
}
