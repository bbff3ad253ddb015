//! What compiling the ten loops brings, as tables.
//!
//! Times are processor times, the least of several runs. CPython's are those of the scripts in `python/`, run by the `python3`
//! that is found; its bytecodes and this host's are each counted one by one.

use patchjit::optimize::Passes;
use patchjit::tier::hotness::Schedule;
use patchjit_worked_host::bytecode::Checked;
use patchjit_worked_host::compile::{Compiler, Request};
use patchjit_worked_host::count::Check;
use patchjit_worked_host::host::{Event, Host, Options, Statistics};
use patchjit_worked_host::machine::{Machine, Stop};
use patchjit_worked_host::programs::{SAMPLES, Sample};
use patchjit_worked_host::source;
use patchjit_worked_host::step;
use std::error::Error;
use std::process::Command;

/// Runs that are timed; the least is told.
const RUNS: usize = 5;

/// Measures and prints the programs of these names, or all.
pub(crate) fn print(names: &[String]) -> Result<(), Box<dyn Error>> {
    let samples = chosen(names);
    let mut rows = Vec::new();
    for sample in samples {
        rows.push(Row::new(sample)?);
    }
    print_speed(&rows);
    print_checks(&rows);
    print_start(&rows);
    Ok(())
}

/// The programs of these names, or all.
fn chosen(names: &[String]) -> Vec<&'static Sample> {
    let chosen = |sample: &&Sample| names.is_empty() || names.iter().any(|n| n == sample.name);
    SAMPLES.iter().filter(chosen).collect()
}

/// Prints the traces of the programs of these names, or all, as recorded and as optimized.
pub(crate) fn show(names: &[String]) -> Result<(), Box<dyn Error>> {
    for sample in chosen(names) {
        let mut host = warm(sample, Options::default())?;
        for (head, compiled) in host.traces() {
            for (how, passes) in [("recorded", Passes::NONE), ("optimized", Passes::ALL)] {
                let text = compiled.log.with(|trace| {
                    let request = Request {
                        first_exit: 0,
                        forced: None,
                        checks_entry: true,
                        passes,
                    };
                    Compiler::default().prepare(trace, request, |verified, _, _| {
                        patchjit_text::print(verified.program(), None)
                    })
                })?;
                println!("; {}, loop at {head}, {how}\n{text}", sample.name);
            }
        }
    }
    Ok(())
}

/// What is known of one program.
struct Row {
    name: &'static str,
    /// Bytecodes that the interpreter executes.
    bytecodes: u64,
    interpreted: f64,
    as_recorded: f64,
    compiled: f64,
    python: Option<Python>,
    /// Rounds, checks and ops of the traces as recorded and optimized.
    before: Counts,
    after: Counts,
    executed: step::Executed,
    first_run: f64,
    /// What happened in the first run, and what that cost.
    events: Vec<Event>,
    statistics: Statistics,
    bytes: usize,
}

struct Counts {
    rounds: u64,
    ops: u64,
    checks: Vec<Check>,
}

impl Counts {
    /// Checks, or the program's own conditions, in each of so many rounds.
    fn per_round(&self, own: bool, rounds: u64) -> f64 {
        let all = self.checks.iter().filter(|check| check.own == own);
        let all: u64 = all.map(|check| check.times).sum();
        all as f64 / rounds.max(1) as f64
    }
}

struct Python {
    seconds: f64,
    nanoseconds_per_bytecode: f64,
}

impl Row {
    fn new(sample: &Sample) -> Result<Row, Box<dyn Error>> {
        let program = program(sample, sample.size)?;
        let mut interpreted = Host::new(
            program.clone(),
            Options {
                compile: false,
                ..Options::default()
            },
        );
        let result = interpreted.run()?;
        let mut compiled = Host::new(program.clone(), Options::default());
        let start = processor_time();
        let first = compiled.run()?;
        let first_run = processor_time() - start;
        let events = compiled.events().to_vec();
        let statistics = *compiled.statistics();
        let bytes = compiled.code_bytes();
        if first != result {
            return Err(format!("{}: {result} interpreted, {first} compiled", sample.name).into());
        }
        let mut recorded = Host::new(
            program.clone(),
            Options {
                passes: Passes::NONE,
                ..Options::default()
            },
        );
        Ok(Row {
            name: sample.name,
            bytecodes: bytecodes(program)?,
            interpreted: least(&mut interpreted)?,
            as_recorded: least(&mut recorded)?,
            compiled: least(&mut compiled)?,
            python: python(sample, &result.to_string())?,
            before: counts(sample, Passes::NONE)?,
            after: counts(sample, Passes::ALL)?,
            executed: executed(sample)?,
            first_run,
            events,
            statistics,
            bytes,
        })
    }
}

fn program(sample: &Sample, size: i32) -> Result<Checked, Box<dyn Error>> {
    let program = source::compile(sample.text, &[("size", size)])?;
    Ok(Checked::new(program)?)
}

/// How many bytecodes the interpreter executes.
fn bytecodes(program: Checked) -> Result<u64, Box<dyn Error>> {
    let never = Schedule {
        first: 1,
        attempts: 0,
    };
    let mut machine = Machine::new(program, never);
    let mut count = 1;
    while machine.step()? == Stop::Stepped {
        count += 1;
    }
    Ok(count)
}

/// The least time of a run, in seconds.
fn least(host: &mut Host) -> Result<f64, Box<dyn Error>> {
    let mut least = f64::MAX;
    for _ in 0..RUNS {
        let start = processor_time();
        host.run()?;
        least = least.min(processor_time() - start);
    }
    Ok(least)
}

/// The processor time of this thread, in seconds.
fn processor_time() -> f64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the system writes a time there.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// Runs before anything is counted: as many as it takes until all that is hot has code.
const WARM: usize = 100;

fn warm(sample: &Sample, options: Options) -> Result<Host, Box<dyn Error>> {
    let mut host = Host::new(program(sample, sample.small)?, options);
    for _ in 0..WARM {
        host.run()?;
    }
    Ok(host)
}

/// The checks that traces make in a run.
fn counts(sample: &Sample, passes: Passes) -> Result<Counts, Box<dyn Error>> {
    let options = Options {
        passes,
        count: true,
        ..Options::default()
    };
    let mut host = warm(sample, options)?;
    host.forget_counts();
    host.run()?;
    let mut counts = Counts {
        rounds: 0,
        ops: 0,
        checks: Vec::new(),
    };
    for (_, compiled) in host.traces() {
        let Some(counted) = &compiled.counted else {
            continue;
        };
        counts.rounds += counted.rounds();
        counts.ops += counted.ops();
        for check in counted.checks() {
            match counts
                .checks
                .iter_mut()
                .find(|known| known.what == check.what)
            {
                Some(known) => known.times += check.times,
                None => counts.checks.push(check),
            }
        }
    }
    counts
        .checks
        .sort_by_key(|check| std::cmp::Reverse(check.times));
    Ok(counts)
}

/// The instructions that compiled code executes in a run.
fn executed(sample: &Sample) -> Result<step::Executed, Box<dyn Error>> {
    let mut host = warm(sample, Options::default())?;
    host.set_stepped(true);
    step::take();
    host.run()?;
    Ok(step::take())
}

/// CPython's times for the same loop, if there is a `python3`. It must come to the same result.
fn python(sample: &Sample, result: &str) -> Result<Option<Python>, Box<dyn Error>> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/python/run.py");
    let output = Command::new("python3")
        .args(["-B", script, sample.name])
        .args([sample.size.to_string(), sample.middle.to_string()])
        .output();
    let Ok(output) = output else {
        return Ok(None);
    };
    let text = String::from_utf8(output.stdout)?;
    let mut words = text.split_whitespace();
    let there = words.next();
    if there != Some(result) {
        return Err(format!("{}: {result} here, {there:?} in Python", sample.name).into());
    }
    let mut next = || words.next().unwrap_or("nan").parse::<f64>();
    let (seconds, bytecodes, few) = (next()?, next()?, next()?);
    Ok(Some(Python {
        seconds,
        nanoseconds_per_bytecode: few / bytecodes * 1e9,
    }))
}

fn print_speed(rows: &[Row]) {
    println!("Speed. Times in milliseconds; bytecodes in nanoseconds each.\n");
    println!(
        "{:15} {:>9} {:>8} | {:>9} {:>8} | {:>9} {:>9} | {:>9} {:>9}",
        "",
        "CPython",
        "bytecode",
        "interp.",
        "bytecode",
        "recorded",
        "optimized",
        "speed-up",
        "/CPython"
    );
    let (mut sum, mut sum_python) = (0.0, 0.0);
    for row in rows {
        let per_bytecode = row.interpreted / row.bytecodes as f64 * 1e9;
        let speed_up = row.interpreted / row.compiled;
        sum += speed_up.ln();
        let python = row.python.as_ref();
        let number = |value: Option<f64>| value.map_or("-".into(), |v| format!("{v:.2}"));
        let over_python = python.map(|python| python.seconds / row.compiled);
        sum_python += over_python.unwrap_or(1.0).ln();
        println!(
            "{:15} {:>9} {:>8} | {:>9.2} {:>8.2} | {:>9.2} {:>9.2} | {:>9.1} {:>9}",
            row.name,
            number(python.map(|python| python.seconds * 1e3)),
            number(python.map(|python| python.nanoseconds_per_bytecode)),
            row.interpreted * 1e3,
            per_bytecode,
            row.as_recorded * 1e3,
            row.compiled * 1e3,
            speed_up,
            number(over_python),
        );
    }
    let mean = |sum: f64| (sum / rows.len().max(1) as f64).exp();
    println!(
        "\ngeometric means: {:.1} times the interpreter, {:.1} times CPython\n",
        mean(sum),
        mean(sum_python)
    );
}

fn print_checks(rows: &[Row]) {
    println!(
        "Per iteration of a loop: checks (of types, overflow and bounds), the program's own conditions, ops, instructions, memory accesses.\n"
    );
    println!(
        "{:15} {:>10} {:>10} {:>7} {:>9} {:>9} {:>9} {:>9} {:>12} {:>9}",
        "", "recorded", "optimized", "gone", "own", "to", "ops", "to", "instructions", "accesses"
    );
    let (mut all_before, mut all_after) = (0.0, 0.0);
    for row in rows {
        // Rounds as recorded: those that are peeled go back nowhere.
        let count = row.before.rounds;
        let (before, after) = (
            row.before.per_round(false, count),
            row.after.per_round(false, count),
        );
        all_before += before;
        all_after += after;
        let rounds = count.max(1) as f64;
        println!(
            "{:15} {:>10.2} {:>10.2} {:>6.1}% {:>9.2} {:>9.2} {:>9.2} {:>9.2} {:>12.2} {:>9.2}",
            row.name,
            before,
            after,
            100.0 * (1.0 - after / before),
            row.before.per_round(true, count),
            row.after.per_round(true, count),
            row.before.ops as f64 / row.before.rounds.max(1) as f64,
            row.after.ops as f64 / rounds,
            row.executed.instructions as f64 / rounds,
            row.executed.accesses as f64 / rounds,
        );
    }
    println!(
        "\nof the checks of one iteration of each: {:.1}% gone",
        100.0 * (1.0 - all_after / all_before)
    );
    println!("\nChecks that are left, per iteration, from 0.02 on:\n");
    for row in rows {
        println!("{}", row.name);
        for check in row.after.checks.iter().filter(|check| !check.own) {
            let times = check.times as f64 / row.before.rounds.max(1) as f64;
            if times >= 0.02 {
                println!("    {times:>5.2}  {}: {}", check.what, why(&check.what));
            }
        }
    }
    println!();
}

/// Why a check is left.
fn why(what: &str) -> &'static str {
    if what.starts_with("overflow") {
        "nothing bounds a sum that goes on from round to round, nor a product of it"
    } else if what.contains("an element") {
        "arrays hold values of any type"
    } else if what.contains("does not change") {
        "once where code is entered, or on a way that few rounds take"
    } else if what.contains("carried round") {
        "where the loop is entered, and in rounds of outer loops"
    } else if what.contains("below length") {
        "in the round before the loop, and where the index is no sum of a counter"
    } else if what.starts_with("test in front") {
        "once each time that the loop is entered"
    } else {
        "where the loop is entered, or on a way that few rounds take"
    }
}

fn print_start(rows: &[Row]) {
    println!("Cold start. Microseconds; the first run against later ones in milliseconds.\n");
    println!(
        "{:15} {:>5} {:>5} {:>8} {:>6} {:>6} {:>8} {:>7} {:>7} {:>9} {:>9} {:>8} {:>8}",
        "",
        "roots",
        "sides",
        "record",
        "emit",
        "verify",
        "optimize",
        "compile",
        "publish",
        "first run",
        "later run",
        "bytes",
        "entries"
    );
    for row in rows {
        let statistics = &row.statistics;
        let micro = |time: std::time::Duration| time.as_secs_f64() * 1e6;
        let times = statistics.compiling;
        println!(
            "{:15} {:>5} {:>5} {:>8.1} {:>6.1} {:>6.1} {:>8.1} {:>7.1} {:>7.1} {:>9.2} {:>9.2} {:>8} {:>8}",
            row.name,
            statistics.roots,
            statistics.sides,
            micro(statistics.recording),
            micro(times.emit),
            micro(times.verify),
            micro(times.optimize),
            micro(times.compile),
            micro(times.publish),
            row.first_run * 1e3,
            row.compiled * 1e3,
            row.bytes,
            statistics.entries,
        );
    }
    println!("\nWhat happened in the first run, in microseconds from its start.\n");
    for row in rows {
        println!("{}", row.name);
        for event in &row.events {
            let when = event.when.as_secs_f64() * 1e6;
            println!("    {when:>9.1}  at {:>4}  {:?}", event.at, event.what);
        }
    }
}
