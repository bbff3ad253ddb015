//! What the commands give back: failures with their exit status, and JSON.

use patchjit::types::Type;
use patchjit_cli::outcome::{Ending, Outcome};
use patchjit_cli::value;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

/// Why a command did not end with status 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The exit status.
    pub status: u8,
    /// What goes to standard error.
    pub message: String,
}

impl Failure {
    /// The program trapped or left through an exit.
    pub fn left(message: String) -> Failure {
        Failure { status: 1, message }
    }

    /// Bad usage or bad input.
    pub fn input(message: String) -> Failure {
        Failure { status: 2, message }
    }

    /// A promise is broken, or two engines differ.
    pub fn broken(message: String) -> Failure {
        Failure { status: 3, message }
    }
}

/// Writes to standard output. A reader that has gone away ends the process, quietly, as it does for other commands; that
/// there is no room ends it with status 2.
pub fn print(text: &str) {
    print_bytes(text.as_bytes());
}

/// The same for what is not text.
pub fn print_bytes(bytes: &[u8]) {
    let mut output = std::io::stdout().lock();
    if let Err(error) = output.write_all(bytes).and_then(|()| output.flush()) {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            std::process::exit(0);
        }
        eprintln!("error: standard output: {error}");
        std::process::exit(2);
    }
}

/// Whether standard output is a terminal, and nobody asked for it to be without colours (`NO_COLOR`).
pub fn has_colours() -> bool {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    std::io::stdout().is_terminal() && !unwanted
}

/// Writes an object as one line of JSON.
pub fn print_json(object: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(object).map_err(|error| Failure::input(error.to_string()))?;
    print(&format!("{text}\n"));
    Ok(())
}

/// The object that `run --json` prints. What is said of one run is of the last one.
#[derive(Debug, Serialize)]
pub struct RunReport {
    /// The results as text, floats as their shortest round-trip decimal; empty if it did not return.
    pub results: Vec<String>,
    /// How it ended if it did not return: `exit 7`, `trap 3`, `out of fuel`, `too deep`.
    pub exit: Option<String>,
    /// The size of the program that is compiled: ops, terminators, edge arguments, snapshot entries.
    pub uops: usize,
    /// Bytes of machine code.
    pub code_bytes: Option<usize>,
    /// Compilation, from the verified program in memory to code in memory.
    pub compile_us: Option<f64>,
    /// All runs together; with `both`, those of the machine code.
    pub run_ms: f64,
    /// `jit`, `interp` or `both`.
    pub engine: &'static str,
    /// Whether the optimizer ran: `full` or `none`.
    pub opt: &'static str,
    /// Optimization, from the verified program to the verified result.
    pub optimize_us: Option<f64>,
    /// How many steps each of its passes made.
    pub passes: BTreeMap<&'static str, u32>,
    /// The guest slots afterwards.
    pub slots: Vec<String>,
    /// With `both`: all runs of the interpreter.
    pub interp_ms: Option<f64>,
    /// Every run, in the file's order.
    pub runs: Vec<RunLine>,
}

/// One run.
#[derive(Debug, Serialize)]
pub struct RunLine {
    /// The function.
    pub function: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its results; empty if it did not return.
    pub results: Vec<String>,
    /// How it ended if it did not return.
    pub exit: Option<String>,
    /// How long it ran.
    pub run_ms: f64,
    /// Whether it was as promised, where something was promised.
    pub kept: Option<bool>,
}

impl RunReport {
    /// Adds a run, which is then the last one.
    pub fn add(&mut self, line: RunLine, slots: &[u64], second: Option<&Outcome>) {
        self.results.clone_from(&line.results);
        self.exit.clone_from(&line.exit);
        self.run_ms = sum(self.run_ms, line.run_ms);
        self.slots = slots
            .iter()
            .map(|&bits| (bits as i64).to_string())
            .collect();
        if let Some(second) = second {
            let before = self.interp_ms.unwrap_or(0.0);
            self.interp_ms = Some(sum(before, milliseconds(second.time)));
        }
        self.runs.push(line);
    }
}

impl RunLine {
    /// Describes a run.
    pub fn new(
        function: &str,
        (parameters, arguments): (&[Type], &[u64]),
        types: &[Type],
        outcome: &Outcome,
        kept: Option<bool>,
    ) -> RunLine {
        let returned = outcome.ending == Ending::Returned;
        RunLine {
            function: function.to_string(),
            arguments: texts(parameters, arguments),
            results: texts(types, &outcome.results),
            exit: (!returned).then(|| outcome.ending.to_string()),
            run_ms: milliseconds(outcome.time),
            kept,
        }
    }
}

/// A sum of milliseconds without what floats add behind the nanosecond.
fn sum(a: f64, b: f64) -> f64 {
    ((a + b) * 1e6).round() / 1e6
}

fn texts(types: &[Type], values: &[u64]) -> Vec<String> {
    types
        .iter()
        .zip(values)
        .map(|(&ty, &bits)| value::print(ty, bits))
        .collect()
}

/// A duration as JSON has it.
pub fn milliseconds(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1e6
}

/// A duration as JSON has it.
pub fn microseconds(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1e3
}
