//! A program of the text form, what it promises, and engines that are held to it.
//!
//! Every run gets an [`Instance`] of its own: regions with their first contents, guest slots, host functions.

use crate::clock::Clock;
use patchjit::runtime::{Context, Status};
use patchjit::types::Type;
use patchjit::verify::Verified;
use patchjit_cli::instance::{Content, DEFAULT_DEPTH, Instance, Limits};
use patchjit_cli::value;
use patchjit_text::{Module, Outcome, Promise};
use std::time::Duration;

/// Something that runs the functions of one program.
pub trait Engine {
    /// Runs a function under a context; `values` has room for its parameters and its results.
    ///
    /// # Safety
    ///
    /// The context is bound for the engine's program, as [`patchjit::call::enter`] asks.
    unsafe fn run(&self, function: u32, context: &mut Context, values: &mut [u64]) -> Status;

    /// Whether it counts fuel.
    fn has_fuel(&self) -> bool {
        false
    }
}

/// An engine, and what making it took.
pub struct Made<'a> {
    /// The engine.
    pub engine: Box<dyn Engine + 'a>,
    /// From the IR in memory to code in memory; `None` for an engine that makes no code.
    pub compilation: Option<Duration>,
    /// From our IR to the engine's own, which does not count as compilation.
    pub translation: Option<Duration>,
    /// Bytes of machine code.
    pub code_bytes: Option<usize>,
}

/// Something that makes engines for programs.
pub trait Maker {
    /// What reports call it.
    fn name(&self) -> String;

    /// Makes an engine for a program.
    fn make<'a>(&mut self, verified: &'a Verified<'a>) -> Result<Made<'a>, String>;
}

/// How a run ended, and what it left behind.
#[derive(Debug)]
pub struct Ended {
    /// Its status.
    pub status: Status,
    /// The exit through which it left, where it did.
    pub exit_number: u32,
    /// The results, where it returned.
    pub results: Vec<u64>,
    /// The regions, the slots and what was printed.
    pub instance: Instance,
    /// How long it ran.
    pub time: Duration,
}

/// The bytes of machine stack that runs may use: the default depth in frames of some hundred bytes.
const STACK: usize = 1 << 30;

/// Does something on a thread whose stack is long enough for the deepest recursion.
///
/// # Panics
///
/// If the thread cannot be had, or panics itself.
pub fn on_long_stack<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK);
        let handle = thread.spawn_scoped(scope, work).expect("a thread");
        handle
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn contents(module: &Module) -> Vec<Content> {
    let parts = module.contents.iter().map(|part| Content {
        region: part.region as usize,
        offset: part.offset,
        bytes: part.bytes.clone(),
    });
    parts.collect()
}

/// Runs one call of a module's program on an engine that was made for it.
///
/// # Safety
///
/// The engine's program is the module's.
pub unsafe fn run(
    module: &Module,
    engine: &dyn Engine,
    function: u32,
    arguments: &[u64],
) -> Result<Ended, String> {
    let program = module.program();
    let limits = Limits {
        fuel: None,
        depth: DEFAULT_DEPTH,
    };
    let mut instance = Instance::new(&program, &module.names.hosts, &contents(module), limits)?;
    let signature = program.functions[function as usize].signature;
    let results = program.results(signature).len();
    let mut values = arguments.to_vec();
    values.resize(values.len().max(results), 0);
    let mut context = instance.context();
    instance.follow(&raw mut context);
    let start = Clock::start();
    // SAFETY: the caller promises that the instance is one of the engine's program; it outlives the context.
    let status = unsafe { engine.run(function, &mut context, &mut values) };
    let time = start.elapsed();
    if context.depth != i64::from(DEFAULT_DEPTH) {
        return Err(format!("the depth afterwards is {}", context.depth));
    }
    let exit_number = context.exit_number;
    values.truncate(results);
    Ok(Ended {
        status,
        exit_number,
        results: values,
        instance,
        time,
    })
}

/// Whether an engine can keep a promise at all: one that counts no fuel runs on.
pub fn applies(engine: &dyn Engine, promise: &Promise) -> bool {
    engine.has_fuel() || promise.outcome != Outcome::OutOfFuel
}

/// Holds a run against a promise.
pub fn keeps(module: &Module, promise: &Promise, ended: &Ended) -> Result<(), String> {
    let program = module.program();
    let signature = program.functions[promise.function as usize].signature;
    let types = program.results(signature);
    let slots_of = |slots: &[(u32, u64)]| {
        for &(slot, expected) in slots {
            let found = ended.instance.slots[slot as usize];
            if !value::same_word(found, expected) {
                return Err(format!("slot {slot} holds {found:#x}, not {expected:#x}"));
            }
        }
        Ok(())
    };
    let found = (ended.status, ended.exit_number);
    let as_promised = match &promise.outcome {
        Outcome::Returns(expected) => {
            ended.status == Status::Returned && same(types, expected, &ended.results)
        }
        Outcome::Exits(number, slots) => {
            slots_of(slots)?;
            found == (Status::Deoptimized, *number)
        }
        Outcome::Traps(number, slots) => {
            slots_of(slots)?;
            found == (Status::Trapped, *number)
        }
        Outcome::TooDeep => ended.status == Status::TooDeep,
        Outcome::OutOfFuel => ended.status == Status::OutOfFuel,
    };
    if as_promised {
        return Ok(());
    }
    let results = value::print_list(types, &ended.results);
    let (status, number) = found;
    Err(format!(
        "line {}: ended as {status:?} (exit {number}) with {results}",
        promise.place.line
    ))
}

/// Whether two engines ended one call in the same way, regions, slots and printed text included.
pub fn same_end(module: &Module, function: u32, a: &Ended, b: &Ended) -> Result<(), String> {
    let program = module.program();
    let types = program.results(program.functions[function as usize].signature);
    let exits = |ended: &Ended| match ended.status {
        Status::Deoptimized | Status::Trapped => Some(ended.exit_number),
        _ => None,
    };
    if (a.status, exits(a)) != (b.status, exits(b)) {
        return Err(format!(
            "{:?} {:?} and {:?} {:?}",
            a.status,
            exits(a),
            b.status,
            exits(b)
        ));
    }
    if a.status == Status::Returned && !same(types, &a.results, &b.results) {
        let (a, b) = (&a.results, &b.results);
        let (a, b) = (value::print_list(types, a), value::print_list(types, b));
        return Err(format!("{a} and {b}"));
    }
    match a.instance.difference(&b.instance) {
        Some(difference) => Err(difference),
        None => Ok(()),
    }
}

fn same(types: &[Type], a: &[u64], b: &[u64]) -> bool {
    types.len() == a.len()
        && types.len() == b.len()
        && types
            .iter()
            .zip(a.iter().zip(b))
            .all(|(&ty, (&a, &b))| value::same(ty, a, b))
}
