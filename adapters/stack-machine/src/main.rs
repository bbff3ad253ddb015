//! Prints what compiling the ten loops brings: `cargo run --release -p patchjit-worked-host`.

use patchjit_worked_host::bytecode::Checked;
use patchjit_worked_host::host::{Host, Options};
use patchjit_worked_host::programs::{SAMPLES, Sample};
use patchjit_worked_host::source;
use std::error::Error;
use std::time::{Duration, Instant};

/// Runs that are timed; the least is told.
const RUNS: usize = 5;

fn main() -> Result<(), Box<dyn Error>> {
    println!(
        "{:16} {:>12} {:>12} {:>12} {:>9}",
        "program", "interpreted", "first run", "compiled", "speed-up"
    );
    for sample in SAMPLES {
        row(sample)?;
    }
    Ok(())
}

fn row(sample: &Sample) -> Result<(), Box<dyn Error>> {
    let text = source::compile(sample.text, &[("size", sample.size)])?;
    let program = Checked::new(text)?;
    let off = Options {
        compile: false,
        ..Options::default()
    };
    let mut interpreted = Host::new(program.clone(), off);
    let slow = least(&mut interpreted)?;
    let mut compiled = Host::new(program, Options::default());
    let start = Instant::now();
    compiled.run()?;
    let first = start.elapsed();
    let fast = least(&mut compiled)?;
    println!(
        "{:16} {:>12.2?} {:>12.2?} {:>12.2?} {:>9.1}",
        sample.name,
        slow,
        first,
        fast,
        slow.as_secs_f64() / fast.as_secs_f64()
    );
    Ok(())
}

fn least(host: &mut Host) -> Result<Duration, Box<dyn Error>> {
    let mut least = Duration::MAX;
    for _ in 0..RUNS {
        let start = Instant::now();
        host.run()?;
        least = least.min(start.elapsed());
    }
    Ok(least)
}
