//! From a recorded trace to published code.

use crate::links::CodeTable;
use crate::record;
use patchjit::build::{Builder, Counts};
use patchjit::compile::{self, FunctionCode};
use patchjit::error::Error;
use patchjit::link::{Carried, CodeId, ExitSite, ExitStorage, Exits, LoopHead, Origin};
use patchjit::optimize::{self, Passes};
use patchjit::stencil::StencilSet;
use patchjit::tier::record::{Emit, Forced, Trace};
use patchjit::verify::{self, Verified};
use patchjit_memory::Arena;
use patchjit_memory::records::{Records, grow};
use std::fmt;
use std::time::{Duration, Instant};

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
    /// Its name in the table of links.
    pub(crate) id: CodeId,
    /// Where it is.
    pub(crate) address: u64,
    /// What is entered.
    pub(crate) entry: u64,
    /// What other code jumps to.
    pub(crate) body: u64,
    /// How many bytes it has.
    pub bytes: usize,
    /// How long it took.
    pub times: Times,
    sites: Vec<ExitSite>,
    values: Vec<Carried>,
    heads: Vec<LoopHead>,
}

impl Code {
    /// Its exits, for links.
    pub(crate) fn exits(&self) -> Exits<'_> {
        Exits {
            sites: &self.sites,
            values: &self.values,
            heads: &self.heads,
        }
    }
}

/// How a trace is compiled.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// The number of its exit 0.
    pub first_exit: u32,
    /// An op that fails on purpose.
    pub forced: Option<Forced>,
    /// Whether its entry checks types, and leaves through one exit more.
    pub checks_entry: bool,
    /// The passes that it is optimized with; with none, it stays as it was recorded.
    pub passes: Passes,
}

/// What compiling takes; kept, so that it is not asked for each time.
#[derive(Debug, Default)]
pub struct Compiler {
    recorded: Records,
    optimized: Records,
    words: Vec<u32>,
    facts: Vec<u32>,
    optimized_facts: Vec<u32>,
    exits: ExitRecords,
}

/// Room for the description of exits.
#[derive(Debug, Default)]
struct ExitRecords {
    sites: Vec<ExitSite>,
    values: Vec<Carried>,
    heads: Vec<LoopHead>,
}

impl ExitRecords {
    /// Enough for a program.
    fn storage(&mut self, verified: &Verified<'_>) -> ExitStorage<'_> {
        let room = compile::exit_room(verified);
        grow(&mut self.sites, room.sites, ExitSite::EMPTY);
        grow(&mut self.values, room.values, Carried::EMPTY);
        grow(&mut self.heads, room.heads, LoopHead::EMPTY);
        ExitStorage {
            sites: &mut self.sites,
            values: &mut self.values,
            heads: &mut self.heads,
            first_counter: None,
        }
    }
}

/// The first words of what is kept, as many as are asked for.
fn words(kept: &mut Vec<u32>, count: usize) -> &mut [u32] {
    grow(kept, count, 0);
    &mut kept[..count]
}

/// What a compiler keeps for whoever looks at a program.
pub struct Kept<'k> {
    words: &'k mut Vec<u32>,
    exits: &'k mut ExitRecords,
}

impl Compiler {
    /// Makes a trace a program, optimizes it, and shows it verified.
    ///
    /// # Errors
    ///
    /// The core's.
    pub fn prepare<R>(
        &mut self,
        trace: &Trace<'_>,
        request: Request,
        look: impl FnOnce(&Verified<'_>, &mut Times, Kept<'_>) -> R,
    ) -> Result<R, Error> {
        let Request {
            first_exit,
            forced,
            checks_entry,
            passes,
        } = request;
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
        self.recorded.make(&counts);
        let mut builder = Builder::new(self.recorded.storage());
        builder.set_slot_count(slots as u32);
        record::declare(&mut builder)?;
        let emit = Emit {
            first_exit,
            forced,
            entry_exit: checks_entry.then_some(first_exit + trace.exit_count()),
        };
        let needed = trace.emit_words();
        trace.emit(&mut builder, &emit, words(&mut self.words, needed))?;
        let program = builder.finish()?;
        times.emit = start.elapsed();
        let start = Instant::now();
        let needed = verify::workspace_words(&program);
        let verified = verify::verify(program, words(&mut self.facts, needed))?;
        times.verify = start.elapsed();
        if passes == Passes::NONE {
            let kept = Kept {
                words: &mut self.words,
                exits: &mut self.exits,
            };
            return Ok(look(&verified, &mut times, kept));
        }
        let start = Instant::now();
        let options = optimize::Options { passes, fuel: None };
        let needed = optimize::words(&verified);
        self.optimized.make(&optimize::storage(&verified));
        let optimized = optimize::optimize(
            &verified,
            &options,
            words(&mut self.words, needed),
            self.optimized.storage(),
        )?;
        times.optimize = start.elapsed();
        let start = Instant::now();
        let needed = verify::workspace_words(optimized.program());
        let verified = optimized.verify(words(&mut self.optimized_facts, needed))?;
        times.verify += start.elapsed();
        let kept = Kept {
            words: &mut self.words,
            exits: &mut self.exits,
        };
        Ok(look(&verified, &mut times, kept))
    }

    /// Compiles a trace into an arena, and adds it to the table of links.
    ///
    /// # Errors
    ///
    /// [`Failure`]: nothing of the arena is taken then.
    pub(crate) fn compile(
        &mut self,
        trace: &Trace<'_>,
        request: Request,
        set: &'static StencilSet,
        arena: &mut Arena,
        table: &mut CodeTable,
    ) -> Result<Code, Failure> {
        self.prepare(trace, request, |verified, times, kept| {
            publish(verified, *times, kept, set, arena, table)
        })?
    }
}

/// Compiles a program into an arena, and makes it executable.
fn publish(
    verified: &Verified<'_>,
    mut times: Times,
    kept: Kept<'_>,
    set: &'static StencilSet,
    arena: &mut Arena,
    table: &mut CodeTable,
) -> Result<Code, Failure> {
    let start = Instant::now();
    let mut block = arena.reserve(compile::linkable_code_bytes(verified))?;
    let mut writing = arena.write(&mut block)?;
    times.publish = start.elapsed();
    let start = Instant::now();
    let mut functions = [FunctionCode::default()];
    let result = compile::compile_linkable(
        verified,
        set,
        &compile::Options::default(),
        words(kept.words, compile::workspace_words(verified)),
        writing.buffer(),
        &mut functions,
        kept.exits.storage(verified),
    );
    times.compile = start.elapsed();
    let (compiled, exits) = match result {
        Ok(done) => done,
        Err(error) => {
            drop(writing);
            arena.release(block)?;
            return Err(error.into());
        }
    };
    let start = Instant::now();
    let bytes = compiled.code_length as usize;
    let address = writing.publish(bytes)?;
    let id = table.add(arena, block, &compiled, Origin::Root)?;
    times.publish += start.elapsed();
    Ok(Code {
        id,
        address,
        entry: address + u64::from(functions[0].entry),
        body: address + u64::from(functions[0].body),
        bytes,
        times,
        sites: exits.sites.to_vec(),
        values: exits.values.to_vec(),
        heads: exits.heads.to_vec(),
    })
}
