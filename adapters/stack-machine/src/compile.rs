//! From a recorded trace to published code.

use crate::record;
use patchjit::build::{Builder, Counts, EMPTY_EXIT, EMPTY_OP, Storage};
use patchjit::compile::{self, FunctionCode};
use patchjit::error::Error;
use patchjit::ir::{Block, Exit, Function, HostFunction, Op, Region, Signature, Tag};
use patchjit::optimize::{self, Passes};
use patchjit::stencil::StencilSet;
use patchjit::tier::record::{Emit, Trace};
use patchjit::types::Type;
use patchjit::verify::{self, Verified};
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
    /// Verification, of what was optimized too.
    pub verify: Duration,
    /// Optimization.
    pub optimize: Duration,
    /// From a verified program to bytes.
    pub compile: Duration,
    /// Until the bytes are executable, memory for them included.
    pub publish: Duration,
}

impl Times {
    /// All of it.
    pub fn total(&self) -> Duration {
        self.emit + self.verify + self.optimize + self.compile + self.publish
    }

    /// Adds those of another compilation.
    pub fn add(&mut self, other: &Times) {
        self.emit += other.emit;
        self.verify += other.verify;
        self.optimize += other.optimize;
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

/// Records of a program, in storage that is used again and again.
#[derive(Debug, Default)]
struct Records {
    functions: Vec<Function>,
    blocks: Vec<Block>,
    ops: Vec<Op>,
    extra: Vec<u32>,
    exits: Vec<Exit>,
    signatures: Vec<Signature>,
    types: Vec<Type>,
    regions: Vec<Region>,
    hosts: Vec<HostFunction>,
    tags: Vec<Tag>,
}

impl Records {
    /// At least this much storage.
    fn storage(&mut self, counts: &Counts) -> Storage<'_> {
        fn grown<T: Clone>(records: &mut Vec<T>, count: usize, empty: T) -> &mut [T] {
            if records.len() < count {
                records.resize(count, empty);
            }
            records
        }
        Storage {
            functions: grown(&mut self.functions, counts.functions, Function::default()),
            blocks: grown(&mut self.blocks, counts.blocks, Block::default()),
            ops: grown(&mut self.ops, counts.ops, EMPTY_OP),
            extra: grown(&mut self.extra, counts.extra, 0),
            exits: grown(&mut self.exits, counts.exits, EMPTY_EXIT),
            signatures: grown(
                &mut self.signatures,
                counts.signatures,
                Signature::default(),
            ),
            types: grown(&mut self.types, counts.types, Type::I32),
            regions: grown(&mut self.regions, counts.regions, Region::default()),
            hosts: grown(&mut self.hosts, counts.hosts, HostFunction::default()),
            tags: grown(&mut self.tags, counts.tags, Tag::default()),
            positions: &mut [],
        }
    }
}

/// What compiling takes; kept, so that it is not asked for each time.
#[derive(Debug, Default)]
pub struct Compiler {
    recorded: Records,
    optimized: Records,
    words: Vec<u32>,
    facts: Vec<u32>,
    optimized_facts: Vec<u32>,
}

/// The first words of what is kept, as many as are asked for.
fn words(kept: &mut Vec<u32>, count: usize) -> &mut [u32] {
    if kept.len() < count {
        kept.resize(count, 0);
    }
    &mut kept[..count]
}

impl Compiler {
    /// Makes a trace a program, optimizes it with these passes (with none, it stays as it is), and shows it verified.
    ///
    /// # Errors
    ///
    /// The core's.
    pub fn prepare<R>(
        &mut self,
        trace: &Trace<'_>,
        emit: &Emit,
        passes: Passes,
        look: impl FnOnce(&Verified<'_>, &mut Times, &mut Vec<u32>) -> R,
    ) -> Result<R, Error> {
        let mut times = Times::default();
        let start = Instant::now();
        let (ops, exits) = (trace.op_count() as usize, trace.exit_count() as usize);
        let slots = trace.slot_count() as usize + 1;
        // Every guard may begin a block; entry, heads and a forced guard come to it.
        let blocks = ops + 8;
        let counts = Counts {
            functions: 1,
            blocks,
            ops: ops + blocks + 5 * slots + 8,
            extra: 4 * (ops + blocks) + 2 * slots * (exits + 3),
            exits: exits + 1,
            signatures: 1,
            types: 0,
            regions: 3,
            hosts: 0,
            tags: 5,
        };
        let mut builder = Builder::new(self.recorded.storage(&counts));
        builder.set_slot_count(slots as u32);
        record::declare(&mut builder)?;
        let needed = trace.emit_words();
        trace.emit(&mut builder, emit, words(&mut self.words, needed))?;
        let program = builder.finish()?;
        times.emit = start.elapsed();
        let start = Instant::now();
        let needed = verify::workspace_words(&program);
        let verified = verify::verify(program, words(&mut self.facts, needed))?;
        times.verify = start.elapsed();
        if passes == Passes::NONE {
            return Ok(look(&verified, &mut times, &mut self.words));
        }
        let start = Instant::now();
        let options = optimize::Options { passes, fuel: None };
        let needed = optimize::words(&verified);
        let optimized = optimize::optimize(
            &verified,
            &options,
            words(&mut self.words, needed),
            self.optimized.storage(&optimize::storage(&verified)),
        )?;
        times.optimize = start.elapsed();
        let start = Instant::now();
        let needed = verify::workspace_words(optimized.program());
        let verified = optimized.verify(words(&mut self.optimized_facts, needed))?;
        times.verify += start.elapsed();
        Ok(look(&verified, &mut times, &mut self.words))
    }

    /// Compiles a trace into an arena.
    ///
    /// # Errors
    ///
    /// [`Failure`]: nothing of the arena is taken then.
    pub fn compile(
        &mut self,
        trace: &Trace<'_>,
        emit: &Emit,
        passes: Passes,
        set: &'static StencilSet,
        arena: &mut Arena,
    ) -> Result<Code, Failure> {
        self.prepare(trace, emit, passes, |verified, times, kept| {
            publish(
                verified,
                *times,
                words(kept, compile::workspace_words(verified)),
                set,
                arena,
            )
        })?
    }
}

/// Compiles a program into an arena, and makes it executable.
fn publish(
    verified: &Verified<'_>,
    mut times: Times,
    words: &mut [u32],
    set: &'static StencilSet,
    arena: &mut Arena,
) -> Result<Code, Failure> {
    let start = Instant::now();
    let mut block = arena.reserve(compile::code_bytes(verified))?;
    let mut writing = arena.write(&mut block)?;
    times.publish = start.elapsed();
    let start = Instant::now();
    let options = compile::Options::default();
    let mut functions = [FunctionCode::default()];
    let buffer = writing.buffer();
    let compiled = compile::compile(verified, set, &options, words, buffer, &mut functions);
    times.compile = start.elapsed();
    let compiled = match compiled {
        Ok(compiled) => compiled,
        Err(error) => {
            drop(writing);
            arena.release(block)?;
            return Err(error.into());
        }
    };
    let start = Instant::now();
    let bytes = compiled.code_length as usize;
    let address = writing.publish(bytes)?;
    times.publish += start.elapsed();
    Ok(Code {
        block,
        entry: address + u64::from(functions[0].entry),
        bytes,
        times,
    })
}
