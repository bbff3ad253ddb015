//! `patchjit run`.

use crate::arguments::RunArguments;
use crate::common::{self, Engines, Task};
use crate::guest;
use crate::report::{self, Failure, RunLine, RunReport};
use patchjit_cli::module::Module;
use patchjit_cli::outcome::Ending;
use patchjit_cli::value;

/// Runs what the arguments ask for.
pub fn run(arguments: &RunArguments) -> Result<(), Failure> {
    if guest::is_module(&arguments.file) {
        return guest::run(arguments);
    }
    let memory = match &arguments.memory {
        None => None,
        Some(path) => Some(
            std::fs::read(path)
                .map_err(|error| Failure::input(format!("{}: error: {error}", path.display())))?,
        ),
    };
    let module = Module::load_function(&arguments.file, arguments.invoke.as_deref(), memory);
    let module = module.map_err(Failure::input)?;
    let mut storage = Vec::new();
    let verified = module.verify(&mut storage).map_err(Failure::input)?;
    common::permit(&module, &verified, arguments.allow_raw)?;
    let optimized = common::optimized(&module, &arguments.optimizer)?;
    let module = optimized.module.as_ref().unwrap_or(&module);
    let mut storage = Vec::new();
    let verified = module.verify(&mut storage).map_err(Failure::input)?;
    let tasks = tasks(module, arguments)?;
    let limits = common::limits(arguments);
    let mut engines = Engines::new(module, verified, arguments.engine, limits)?;
    engines.set_slots(&arguments.slots)?;
    let mut report = engines.report(&optimized);
    let mut failure = None;
    for task in &tasks {
        failure = one(&engines, task, arguments.json, &mut report)?;
        if failure.is_some() {
            break;
        }
    }
    if arguments.json {
        report::print_json(&report)?;
    }
    failure.map_or(Ok(()), Err)
}

/// Runs one task and says what came of it. Gives a failure that belongs to the report, or one that
/// ends the command before there is a report.
fn one(
    engines: &Engines<'_>,
    task: &Task<'_>,
    json: bool,
    report: &mut RunReport,
) -> Result<Option<Failure>, Failure> {
    let module = engines.module;
    let done = engines.run(task)?;
    let printed = &done.instance.state.printed;
    if json {
        eprint!("{printed}");
    } else {
        report::print(printed);
    }
    let (parameters, types) = (
        module.parameters(task.function),
        module.results(task.function),
    );
    let (outcome, slots) = (&done.outcome, done.instance.slots.as_slice());
    let kept = task
        .promise
        .map(|promise| outcome.keeps(&promise.expected, types, slots));
    let name = module.function_name(task.function);
    let given = (parameters, task.arguments.as_slice());
    report.add(
        RunLine::new(&name, given, types, outcome, kept),
        slots,
        done.second.as_ref(),
    );
    let described = outcome.describe(types, slots);
    let call = format!(
        "@{name}({})",
        value::print_list(parameters, &task.arguments)
    );
    let at = |what: &str| match task.promise {
        Some(promise) => module.error_at(promise.line, promise.column, what),
        None => module.error(what),
    };
    if let Some(difference) = &done.difference {
        let what = format!("{call}: the engines differ: {difference}");
        return Ok(Some(Failure::broken(at(&what))));
    }
    Ok(match (task.promise, kept) {
        (Some(promise), Some(false)) => {
            let what = format!("promised `{}`, and it gave: {described}", promise.text);
            Some(Failure::broken(at(&what)))
        }
        (Some(promise), _) => {
            if !json {
                report::print(&format!("{}\n", promise.text));
            }
            None
        }
        (None, _) if outcome.ending != Ending::Returned => {
            Some(Failure::left(at(&format!("{call}: {described}"))))
        }
        (None, _) => {
            if !json && !types.is_empty() {
                report::print(&format!("{described}\n"));
            }
            None
        }
    })
}

/// The function that is asked for, or every `; run:` line of the file.
fn tasks<'a>(module: &'a Module, arguments: &RunArguments) -> Result<Vec<Task<'a>>, Failure> {
    if let Some(given) = module.entry() {
        return Ok(vec![entry_task(module, arguments, given)?]);
    }
    let Some(name) = &arguments.invoke else {
        if !arguments.arguments.is_empty() {
            return Err(Failure::input(
                "error: arguments go with --invoke".to_string(),
            ));
        }
        if module.promises().is_empty() {
            return Err(Failure::input(module.error(
                "the file has no `; run:` line; name a function with --invoke",
            )));
        }
        return Ok(module.promises().iter().map(Task::from).collect());
    };
    let name = name.strip_prefix('@').unwrap_or(name);
    let function = module
        .function(name)
        .ok_or_else(|| Failure::input(module.error(&format!("no function @{name}"))))?;
    let parameters = module.parameters(function);
    let given = arguments.arguments.len();
    if parameters.len() != given {
        return Err(Failure::input(module.error(&format!(
            "@{name} takes {} arguments, and {given} are given",
            parameters.len()
        ))));
    }
    let values = parameters
        .iter()
        .zip(&arguments.arguments)
        .map(|(&ty, text)| value::parse(ty, text))
        .collect::<Result<_, _>>()
        .map_err(|error| Failure::input(format!("error: argument {error}")))?;
    Ok(vec![Task {
        function,
        arguments: values,
        promise: None,
    }])
}

/// A call of a function out of an object, with as many arguments as are given.
fn entry_task<'a>(
    module: &Module,
    arguments: &RunArguments,
    mut given: [u64; 5],
) -> Result<Task<'a>, Failure> {
    let count = arguments.arguments.len();
    if count > given.len() {
        let what = format!("a program takes up to 5 arguments, and {count} are given");
        return Err(Failure::input(module.error(&what)));
    }
    if count > 0 {
        given = [0; 5];
    }
    for (value, text) in given.iter_mut().zip(&arguments.arguments) {
        *value = value::parse(patchjit::types::Type::I64, text)
            .map_err(|error| Failure::input(format!("error: argument {error}")))?;
    }
    Ok(Task {
        function: 0,
        arguments: given.to_vec(),
        promise: None,
    })
}
