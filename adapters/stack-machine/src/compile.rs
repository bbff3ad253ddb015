//! From a recorded trace to published code.

use crate::record;
use patchjit::build::{Builder, EMPTY_EXIT, EMPTY_OP, Storage};
use patchjit::compile::{self, FunctionCode, Options};
use patchjit::error::Error;
use patchjit::ir::{Block, Function, HostFunction, Op, Program, Region, Signature, Tag};
use patchjit::stencil::StencilSet;
use patchjit::tier::record::{Emit, Forced, Trace};
use patchjit::types::Type;
use patchjit::verify;
use patchjit_memory::{Arena, Block as CodeBlock};
use std::fmt;
use std::time::{Duration, Instant};

/// The stencil set for the code that this machine runs, if there is one.
pub(crate) fn host_set() -> Option<&'static StencilSet> {
    #[cfg(all(target_arch = "x86_64", not(windows)))]
    return Some(&patchjit_stencils::X86_64_SYSV);
    #[cfg(not(all(target_arch = "x86_64", not(windows))))]
    return None;
}

/// Why a trace has no code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The core refused.
    Core(Error),
    /// There is no executable memory.
    Memory(patchjit_memory::Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Core(error)
    }
}

impl From<patchjit_memory::Error> for Failure {
    fn from(error: patchjit_memory::Error) -> Failure {
        Failure::Memory(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Core(error) => error.fmt(f),
            Failure::Memory(error) => error.fmt(f),
        }
    }
}

/// How long each step of a compilation took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// From the log to a program.
    pub emit: Duration,
    /// Verification.
    pub verify: Duration,
    /// From a verified program to bytes.
    pub compile: Duration,
    /// Until the bytes are executable, memory for them included.
    pub publish: Duration,
}

impl Times {
    /// All of it.
    pub fn total(&self) -> Duration {
        self.emit + self.verify + self.compile + self.publish
    }

    /// Adds those of another compilation.
    pub fn add(&mut self, other: &Times) {
        self.emit += other.emit;
        self.verify += other.verify;
        self.compile += other.compile;
        self.publish += other.publish;
    }
}

/// Code of a trace.
#[derive(Debug)]
pub struct Code {
    /// Where it is.
    pub(crate) block: CodeBlock,
    /// What is entered.
    pub(crate) entry: u64,
    /// How many bytes it has.
    pub bytes: usize,
    /// How long it took.
    pub times: Times,
}

/// Storage for the records of programs, used again and again.
#[derive(Debug, Default)]
pub struct Compiler {
    functions: Vec<Function>,
    blocks: Vec<Block>,
    ops: Vec<Op>,
    extra: Vec<u32>,
    exits: Vec<patchjit::ir::Exit>,
    signatures: Vec<Signature>,
    types: Vec<Type>,
    regions: Vec<Region>,
    hosts: Vec<HostFunction>,
    tags: Vec<Tag>,
    words: Vec<u32>,
    facts: Vec<u32>,
}

impl Compiler {
    /// Emits a trace and shows the program: for whoever wants to look at it.
    ///
    /// # Errors
    ///
    /// The builder's.
    pub fn emit<R>(
        &mut self,
        trace: &Trace<'_>,
        forced: Option<Forced>,
        look: impl FnOnce(&Program<'_>) -> R,
    ) -> Result<R, Error> {
        let program = self.program(trace, forced)?;
        Ok(look(&program.0))
    }

    /// The trace as a program, the words that may be used for more, and those for the facts of verification.
    #[allow(
        clippy::type_complexity,
        reason = "said above, and used in this file only"
    )]
    fn program(
        &mut self,
        trace: &Trace<'_>,
        forced: Option<Forced>,
    ) -> Result<(Program<'_>, &mut Vec<u32>, &mut Vec<u32>), Error> {
        let (ops, exits) = (trace.op_count() as usize, trace.exit_count() as usize);
        let slots = trace.slot_count() as usize + 1;
        // Every guard may begin a block; entry, head and a forced guard come to it.
        let blocks = 2 * ops + 8;
        self.functions.resize(1, Function::default());
        self.blocks.resize(blocks, Block::default());
        self.ops.resize(ops + blocks + 2 * slots + 8, EMPTY_OP);
        self.extra
            .resize(4 * (ops + blocks) + 2 * slots * (exits + 2), 0);
        self.exits.resize(exits, EMPTY_EXIT);
        self.signatures.resize(1, Signature::default());
        self.types.resize(1, Type::I32);
        self.regions.resize(3, Region::default());
        self.tags.resize(8, Tag::default());
        self.words.resize(trace.emit_words(), 0);
        let mut builder = Builder::new(Storage {
            functions: &mut self.functions,
            blocks: &mut self.blocks,
            ops: &mut self.ops,
            extra: &mut self.extra,
            exits: &mut self.exits,
            signatures: &mut self.signatures,
            types: &mut self.types,
            regions: &mut self.regions,
            hosts: &mut self.hosts,
            tags: &mut self.tags,
            positions: &mut [],
        });
        builder.set_slot_count(slots as u32);
        record::declare(&mut builder)?;
        let options = Emit {
            first_exit: 0,
            forced,
        };
        trace.emit(&mut builder, &options, &mut self.words)?;
        Ok((builder.finish()?, &mut self.words, &mut self.facts))
    }

    /// Compiles a trace into an arena.
    ///
    /// # Errors
    ///
    /// [`Failure`]: nothing of the arena is taken then.
    pub fn compile(
        &mut self,
        trace: &Trace<'_>,
        forced: Option<Forced>,
        set: &'static StencilSet,
        arena: &mut Arena,
    ) -> Result<Code, Failure> {
        let start = Instant::now();
        let (program, words, facts) = self.program(trace, forced)?;
        let emitted = Instant::now();
        facts.resize(verify::workspace_words(&program), 0);
        let verified = verify::verify(program, facts)?;
        let checked = Instant::now();
        words.resize(compile::workspace_words(&verified), 0);
        let mut block = arena.reserve(compile::code_bytes(&verified))?;
        let reserved = Instant::now();
        let mut functions = [FunctionCode::default()];
        let mut writing = arena.write(&mut block)?;
        let compiled = compile::compile(
            &verified,
            set,
            &Options::default(),
            words,
            writing.buffer(),
            &mut functions,
        );
        let finished = Instant::now();
        let compiled = match compiled {
            Ok(compiled) => compiled,
            Err(error) => {
                drop(writing);
                arena.release(block)?;
                return Err(error.into());
            }
        };
        let bytes = compiled.code_length as usize;
        let address = writing.publish(bytes)?;
        Ok(Code {
            block,
            entry: address + u64::from(functions[0].entry),
            bytes,
            times: Times {
                emit: emitted - start,
                verify: checked - emitted,
                compile: finished - reserved,
                publish: (reserved - checked) + finished.elapsed(),
            },
        })
    }
}
