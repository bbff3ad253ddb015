//! Tables of what was measured, and the ratios that the goals name.

use crate::engines::{ENGINES, Engine};
use std::time::Duration;

/// What an engine takes to make code of a module.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    /// From bytes to code that can be called.
    pub time: Duration,
    /// On the heap, at most at once.
    pub heap_bytes: usize,
    /// Of machine code.
    pub code_bytes: Option<usize>,
}

/// The engines that are compared with others, and the others.
const OURS: [Engine; 3] = [Engine::Jit, Engine::JitOptimized, Engine::JitChecked];
const RIVALS: [Engine; 4] = [
    Engine::Cranelift,
    Engine::CraneliftChecked,
    Engine::Winch,
    Engine::Wasmi,
];

fn place(engine: Engine) -> usize {
    ENGINES
        .iter()
        .position(|&one| one == engine)
        .unwrap_or_default()
}

/// Prints what compilation takes.
pub fn compilation(made: &[(String, Vec<Figures>)]) {
    for (name, figures) in made {
        println!("{name}");
        println!(
            "  {:30}{:>12}{:>12}{:>14}",
            "", "us", "code bytes", "heap bytes"
        );
        for (engine, figures) in ENGINES.iter().zip(figures) {
            let code = figures.code_bytes.map(|bytes| bytes.to_string());
            println!(
                "  {:30}{:>12.1}{:>12}{:>14}",
                engine.name(),
                figures.time.as_secs_f64() * 1e6,
                code.unwrap_or_default(),
                figures.heap_bytes
            );
        }
        for ours in OURS {
            for rival in RIVALS {
                let time = |engine| figures[place(engine)].time.as_secs_f64();
                let ratio = time(rival) / time(ours);
                println!(
                    "  {:30}compiles {ratio:.2} times faster than {}",
                    ours.name(),
                    rival.name()
                );
            }
        }
        println!();
    }
}

/// Prints how fast kernels run: milliseconds of each engine, then of native code without and with optimization.
pub fn runs(runs: &[(&str, Vec<Option<Duration>>)]) {
    let columns: Vec<&str> = ENGINES
        .iter()
        .map(|engine| engine.name())
        .chain(["native, -O0", "native, -O2"])
        .collect();
    println!("milliseconds");
    for (number, name) in columns.iter().enumerate() {
        println!("  {}  {name}", number + 1);
    }
    print!("{:16}", "");
    for number in 1..=columns.len() {
        print!("{number:>9}");
    }
    println!();
    for (name, times) in runs {
        print!("{name:16}");
        for time in times {
            match time {
                Some(time) => print!("{:>9.2}", time.as_secs_f64() * 1e3),
                None => print!("{:>9}", ""),
            }
        }
        println!();
    }
    println!();
    for ours in OURS.map(place) {
        for (other, name) in columns.iter().enumerate() {
            if OURS.map(place).contains(&other) {
                continue;
            }
            let ratios = runs.iter().filter_map(|(_, times)| {
                let (ours, other) = (times.get(ours)?.as_ref()?, times.get(other)?.as_ref()?);
                Some(other.as_secs_f64() / ours.as_secs_f64())
            });
            if let Some((least, mean)) = least_and_mean(ratios) {
                println!(
                    "{}: {mean:.2} times as fast as {name}, geomean; at least {least:.2}",
                    columns[ours]
                );
            }
        }
    }
}

/// The least of figures, and their geometric mean.
fn least_and_mean(figures: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let mut count = 0.0;
    let mut sum = 0.0;
    let mut least = f64::INFINITY;
    for figure in figures {
        count += 1.0;
        sum += figure.ln();
        least = least.min(figure);
    }
    (count > 0.0).then(|| (least, (sum / count).exp()))
}
