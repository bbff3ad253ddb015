//! Our own engines as [`Maker`]s: the oracle, and the compiler.

use crate::clock::Clock;
use crate::report;
use crate::subject::{Engine, Made, Maker};
use patchjit::code::CodeBuffer;
use patchjit::compile::{self, FunctionCode};
use patchjit::interp::{self, Decoded};
use patchjit::ir::Program;
use patchjit::optimize;
use patchjit::runtime::{Context, EntryCell, Status};
use patchjit::stencil::StencilSet;
use patchjit::verify::{self, Verified};
use patchjit_cli::instance::DEFAULT_DEPTH;
use patchjit_cli::optimizer::Optimizer;
use patchjit_memory::Arena;
use std::cell::RefCell;
use std::time::Duration;

/// The interpreter in core.
#[derive(Debug, Default)]
pub struct Oracle;

/// The most words of stack that the oracle gets; only pages that it touches are ever there.
const STACK_WORDS: usize = 1 << 27;

impl Maker for Oracle {
    fn name(&self) -> String {
        report::ORACLE.to_owned()
    }

    fn make<'a>(&mut self, verified: &'a Verified<'a>) -> Result<Made<'a>, String> {
        // Never given back: some kilobytes a program, in a process that ends soon.
        let words = vec![0; interp::workspace_words(verified)].leak();
        let decoded = interp::decode(verified, words).map_err(|error| error.to_string())?;
        let stack = vec![0; decoded.stack_words(DEFAULT_DEPTH + 1).min(STACK_WORDS)];
        Ok(Made {
            engine: Box::new(Interpreting {
                decoded,
                stack: RefCell::new(stack),
            }),
            compilation: None,
            translation: None,
            code_bytes: None,
        })
    }
}

struct Interpreting<'a> {
    decoded: Decoded<'a>,
    stack: RefCell<Vec<u64>>,
}

impl Engine for Interpreting<'_> {
    unsafe fn run(&self, function: u32, context: &mut Context, values: &mut [u64]) -> Status {
        let options = interp::Options { charge_fuel: false };
        let mut stack = self.stack.borrow_mut();
        // SAFETY: the caller's promise; the stack is this engine's own.
        let outcome = unsafe {
            self.decoded
                .run(function, context, values, &mut stack, options)
        };
        match outcome {
            Ok(outcome) => outcome.status,
            Err(error) => panic!("the oracle cannot run this: {error}"),
        }
    }
}

/// Whether a compilation finds its workspace and its code buffer in memory, or has the system bring each page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// The storage of the compilation before: what an embedder that keeps its buffers sees.
    Touched,
    /// Fresh from the system.
    Fresh,
}

/// Our compiler. What is timed runs from the program in memory to the last patched byte, verification included.
pub struct Jit {
    set: &'static StencilSet,
    /// Where programs are optimized first.
    optimizer: Option<Optimizer>,
    verifier: Vec<u32>,
    workspace: Vec<u32>,
    code: Vec<u8>,
    functions: Vec<FunctionCode>,
}

impl Jit {
    /// For this machine, if it has a stencil set.
    pub fn new() -> Option<Jit> {
        Some(Jit {
            set: patchjit_stencils::native()?,
            optimizer: None,
            verifier: Vec::new(),
            workspace: Vec::new(),
            code: Vec::new(),
            functions: Vec::new(),
        })
    }

    /// The same with the optimizer before it.
    pub fn optimizing() -> Option<Jit> {
        Some(Jit {
            optimizer: Some(Optimizer::new()),
            ..Jit::new()?
        })
    }

    /// Compiles a program; gives the length of the code and the time.
    pub fn compile(
        &mut self,
        program: &Program,
        storage: Storage,
    ) -> Result<(usize, Duration), String> {
        self.take_storage(program, storage)?;
        let start = Clock::start();
        let mut verified =
            verify::verify(*program, &mut self.verifier).map_err(|error| error.to_string())?;
        if let Some(optimizer) = &mut self.optimizer {
            verified = optimizer
                .run_in_room(&verified, &optimize::Options::default())
                .map_err(|error| error.to_string())?;
        }
        let compiled = compile::compile(
            &verified,
            self.set,
            &compile::Options::default(),
            &mut self.workspace,
            CodeBuffer {
                write: &mut self.code,
                execute_at: 0,
            },
            &mut self.functions,
        )
        .map_err(|error| error.to_string())?;
        let time = start.elapsed();
        Ok((compiled.code_length as usize, time))
    }

    /// Compiles a program to code that can run; gives the length of the code and the time too.
    pub fn engine(
        &mut self,
        program: &Program,
    ) -> Result<(impl Engine + use<>, usize, Duration), String> {
        let (length, time) = self.compile(program, Storage::Touched)?;
        let engine = Executing::publish(program, &self.code[..length], &self.functions)?;
        Ok((engine, length, time))
    }

    /// Makes all storage long enough; none of it is touched where it is to be fresh.
    fn take_storage(&mut self, program: &Program, storage: Storage) -> Result<(), String> {
        fn take<T: Clone>(vector: &mut Vec<T>, length: usize, zero: T, storage: Storage) {
            if storage == Storage::Fresh || vector.len() < length {
                *vector = Vec::new();
                *vector = vec![zero; length];
            }
        }
        let words = verify::workspace_words(program);
        take(&mut self.verifier, words, 0, storage);
        let mut verified =
            verify::verify(*program, &mut self.verifier).map_err(|error| error.to_string())?;
        if let Some(optimizer) = &mut self.optimizer {
            verified = optimizer
                .run(&verified, &optimize::Options::default())
                .map_err(|error| error.to_string())?;
        }
        let (words, bytes) = (
            compile::workspace_words(&verified),
            compile::code_bytes(&verified),
        );
        take(&mut self.workspace, words, 0, storage);
        take(&mut self.code, bytes, 0, storage);
        let none = FunctionCode::default();
        self.functions.resize(program.functions.len(), none);
        if storage == Storage::Fresh {
            let words = self.verifier.len();
            take(&mut self.verifier, words, 0, storage);
            if let Some(optimizer) = &mut self.optimizer {
                let verified = verify::verify(*program, &mut self.verifier)
                    .map_err(|error| error.to_string())?;
                *optimizer = Optimizer::new();
                optimizer.make_room(&verified);
                take(&mut self.verifier, words, 0, storage);
            }
        }
        Ok(())
    }
}

impl Maker for Jit {
    fn name(&self) -> String {
        match self.optimizer {
            None => report::PLAIN.to_owned(),
            Some(_) => report::OPTIMIZED.to_owned(),
        }
    }

    fn make<'a>(&mut self, verified: &'a Verified<'a>) -> Result<Made<'a>, String> {
        let (engine, length, time) = self.engine(verified.program())?;
        Ok(Made {
            engine: Box::new(engine),
            compilation: Some(time),
            translation: None,
            code_bytes: Some(length),
        })
    }
}

/// Machine code of ours.
struct Executing {
    entries: Vec<u64>,
    cells: Vec<EntryCell>,
    _arena: Arena,
}

impl Executing {
    /// Brings code to where it can run.
    fn publish(
        program: &Program,
        code: &[u8],
        functions: &[FunctionCode],
    ) -> Result<Executing, String> {
        let shown = |error: patchjit_memory::Error| error.to_string();
        let mut arena = Arena::new(code.len() + 4096).map_err(shown)?;
        let mut block = arena.reserve(code.len()).map_err(shown)?;
        let mut writing = arena.write(&mut block).map_err(shown)?;
        writing.buffer().write[..code.len()].copy_from_slice(code);
        let base = writing.publish(code.len()).map_err(shown)?;
        let entries = functions.iter().map(|code| base + u64::from(code.entry));
        let cells = functions.iter().zip(program.functions);
        let cells = cells.map(|(code, function)| EntryCell {
            code: base + u64::from(code.body),
            signature: u64::from(function.signature),
        });
        Ok(Executing {
            entries: entries.collect(),
            cells: cells.collect(),
            _arena: arena,
        })
    }
}

impl Engine for Executing {
    unsafe fn run(&self, function: u32, context: &mut Context, values: &mut [u64]) -> Status {
        context.cells = self.cells.as_ptr();
        context.cell_count = self.cells.len() as u64;
        let entry = self.entries[function as usize];
        // SAFETY: the caller's promise; the entry was compiled for this machine and is published.
        unsafe { patchjit::call::enter(entry, context, values.as_mut_ptr()) }
    }
}
