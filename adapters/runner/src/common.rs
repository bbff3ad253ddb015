//! What the commands share: engines made for a program, and what they run.

use crate::arguments::{Engine, OptimizerArguments, RunArguments};
use crate::report::{Failure, RunReport, microseconds};
use patchjit::compile::Options;
use patchjit::optimize::Report;
use patchjit::stencil::StencilSet;
use patchjit::types::Type;
use patchjit::verify::Verified;
use patchjit_cli::engine::{self, Interpreter, InterpreterError, Native};
use patchjit_cli::instance::{Instance, Limits};
use patchjit_cli::module::{Module, Promise};
use patchjit_cli::outcome::{self, Outcome};
use patchjit_cli::value;
use std::collections::BTreeMap;
use std::time::Duration;

/// What is run once.
#[derive(Debug)]
pub struct Task<'a> {
    /// The function.
    pub function: usize,
    /// Its arguments.
    pub arguments: Vec<u64>,
    /// What was promised of it.
    pub promise: Option<&'a Promise>,
}

impl<'a> From<&'a Promise> for Task<'a> {
    fn from(promise: &'a Promise) -> Task<'a> {
        Task {
            function: promise.function,
            arguments: promise.arguments.clone(),
            promise: Some(promise),
        }
    }
}

/// What came of it.
#[derive(Debug)]
pub struct Done {
    /// Of the machine code, where there is any.
    pub outcome: Outcome,
    /// After the run.
    pub instance: Instance,
    /// Of the interpreter, where both engines ran.
    pub second: Option<Outcome>,
    /// In what they differ.
    pub difference: Option<String>,
}

/// Refuses a program that can reach memory beyond its regions, unless that is permitted.
pub fn permit(module: &Module, verified: &Verified<'_>, allow_raw: bool) -> Result<(), Failure> {
    if verified.is_contained() || allow_raw {
        return Ok(());
    }
    let what = "the program reaches memory at raw addresses, which --allow-raw permits";
    Err(Failure::input(module.error(what)))
}

/// The engines that a command asked for, made once for all runs of a program.
pub struct Engines<'a> {
    /// The program's file.
    pub module: &'a Module,
    verified: Verified<'a>,
    native: Option<Native>,
    interpreter: Option<Interpreter<'a>>,
    limits: Limits,
    slots: Vec<u64>,
}

impl<'a> Engines<'a> {
    /// Makes the engines; where there can be no machine code, the interpreter stands in, and standard
    /// error says so.
    pub fn new(
        module: &'a Module,
        verified: Verified<'a>,
        engine: Engine,
        limits: Limits,
    ) -> Result<Engines<'a>, Failure> {
        let mut engines = Engines {
            module,
            verified,
            native: None,
            interpreter: None,
            limits,
            slots: Vec::new(),
        };
        if engine != Engine::Interp {
            engines.native = native(module, verified, limits)?;
        }
        if engine == Engine::Both || engines.native.is_none() {
            engines.interpreter = Some(Interpreter::new(verified));
        }
        Ok(engines)
    }

    /// Gives the guest slots first contents, from slot 0 on.
    pub fn set_slots(&mut self, texts: &[String]) -> Result<(), Failure> {
        let values = texts.iter().map(|text| value::parse(Type::I64, text));
        self.slots = values
            .collect::<Result<_, _>>()
            .map_err(|error| Failure::input(format!("error: --slots: {error}")))?;
        Ok(())
    }

    /// What runs.
    pub fn name(&self) -> &'static str {
        match (&self.native, &self.interpreter) {
            (Some(_), Some(_)) => "both",
            (Some(_), None) => "jit",
            _ => "interp",
        }
    }

    /// The machine code, where there is any.
    pub fn native(&self) -> Option<&Native> {
        self.native.as_ref()
    }

    /// A report in which there are no runs yet.
    pub fn report(&self, optimized: &Optimized) -> RunReport {
        let compiled = self.native.as_ref();
        RunReport {
            results: Vec::new(),
            exit: None,
            uops: self.verified.size(),
            code_bytes: compiled.map(|native| native.compiled.code_length as usize),
            compile_us: compiled.map(|native| microseconds(native.time)),
            run_ms: 0.0,
            engine: self.name(),
            opt: if optimized.module.is_some() {
                "full"
            } else {
                "none"
            },
            optimize_us: optimized
                .module
                .as_ref()
                .map(|_| microseconds(optimized.time)),
            passes: optimized.counts(),
            slots: Vec::new(),
            interp_ms: None,
            runs: Vec::new(),
        }
    }

    fn instance(&self) -> Result<Instance, Failure> {
        let mut instance = self.module.instance(self.limits).map_err(Failure::input)?;
        let length = instance.slots.len().max(self.slots.len());
        instance.slots.resize(length, 0);
        instance.slots[..self.slots.len()].copy_from_slice(&self.slots);
        Ok(instance)
    }

    /// Runs a task on each engine, with an instance of its own, and compares.
    pub fn run(&self, task: &Task<'_>) -> Result<Done, Failure> {
        let types = self.module.results(task.function);
        let failed = |error: String| Failure::input(self.module.error(&error));
        let run_interpreter = |interpreter: &Interpreter<'_>, instance: &mut Instance| {
            interpreter
                .run(instance, task.function, &task.arguments, types.len())
                .map_err(|error| match error {
                    InterpreterError::Core(error) => {
                        Failure::input(self.module.program_error(&error))
                    }
                    InterpreterError::Frames => {
                        let depth = self.limits.depth;
                        failed(format!("no memory for {depth} frames: lower --depth"))
                    }
                })
        };
        let mut instance = self.instance()?;
        match (&self.native, &self.interpreter) {
            (Some(native), second) => {
                let outcome = native
                    .run(&mut instance, task.function, &task.arguments, types.len())
                    .map_err(failed)?;
                let (mut second_outcome, mut difference) = (None, None);
                if let Some(interpreter) = second {
                    let mut other = self.instance()?;
                    other.state.replay.clone_from(&instance.state.times);
                    let second = run_interpreter(interpreter, &mut other)?;
                    difference =
                        outcome::difference((&outcome, &instance), (&second, &other), types);
                    second_outcome = Some(second);
                }
                Ok(Done {
                    outcome,
                    instance,
                    second: second_outcome,
                    difference,
                })
            }
            (None, Some(interpreter)) => {
                let outcome = run_interpreter(interpreter, &mut instance)?;
                Ok(Done {
                    outcome,
                    instance,
                    second: None,
                    difference: None,
                })
            }
            (None, None) => Err(failed("there is no engine".to_string())),
        }
    }
}

/// Machine code for this machine; without it a line on standard error that says why.
fn native(
    module: &Module,
    verified: Verified<'_>,
    limits: Limits,
) -> Result<Option<Native>, Failure> {
    let Some(set) = patchjit_stencils::native() else {
        eprintln!("note: no target for this machine: the interpreter runs the program");
        return Ok(None);
    };
    let options = Options {
        fuel: limits.fuel.is_some(),
        ..Options::default()
    };
    match Native::new(verified, set, options) {
        Ok(native) => Ok(Some(native)),
        Err(engine::NativeError::Compile(error @ patchjit::error::Error::Unsupported { .. })) => {
            let why = module.program_error(&error);
            eprintln!("{why}\nnote: the interpreter runs the program");
            Ok(None)
        }
        Err(engine::NativeError::Compile(error)) => {
            Err(Failure::input(module.program_error(&error)))
        }
        Err(engine::NativeError::Memory(error)) => {
            eprintln!("note: {error}: the interpreter runs the program");
            Ok(None)
        }
    }
}

/// The stencil set of a target by its name; without one this machine's, or the first where it has none.
pub fn set(target: Option<&str>) -> Result<&'static StencilSet, Failure> {
    let sets = patchjit_stencils::ALL;
    let Some(target) = target else {
        return Ok(patchjit_stencils::host().unwrap_or(sets[0]));
    };
    sets.iter()
        .find(|set| set.target == target)
        .copied()
        .ok_or_else(|| {
            let names: Vec<_> = sets.iter().map(|set| set.target).collect();
            let names = names.join(", ");
            Failure::input(format!("error: no target `{target}`; there are: {names}"))
        })
}

/// What the optimizer made of a program.
#[derive(Debug, Default)]
pub struct Optimized {
    /// The program, if the optimizer ran.
    pub module: Option<Module>,
    /// What was done.
    pub report: Report,
    /// How long that took, verification of the result included.
    pub time: Duration,
}

impl Optimized {
    /// How many steps each pass made that made any.
    pub fn counts(&self) -> BTreeMap<&'static str, u32> {
        let counts = self.report.counts().filter(|&(_, count)| count > 0);
        counts.map(|(pass, count)| (pass.name(), count)).collect()
    }
}

/// Optimizes a program as the arguments ask for.
pub fn optimized(module: &Module, arguments: &OptimizerArguments) -> Result<Optimized, Failure> {
    let Some(options) = arguments.options() else {
        return Ok(Optimized::default());
    };
    let (module, report, time) = module.optimized(&options).map_err(Failure::input)?;
    Ok(Optimized {
        module: Some(module),
        report,
        time,
    })
}

/// The limits that a run asks for.
pub fn limits(arguments: &RunArguments) -> Limits {
    Limits {
        fuel: arguments.fuel,
        depth: arguments.depth,
    }
}
