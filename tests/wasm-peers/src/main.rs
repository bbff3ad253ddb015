//! Patchjit's WebAssembly beside wasmtime, wasmi and native code, in one run.
//!
//! From a module's bytes to code that can be called: time, bytes of code, bytes on the heap at most. Then runs of the kernels of
//! `tests/wasm/kernels.wasm`, whose results must agree. Times are medians; engines take turns, so that what else a machine does meets all.
//! The exit status is 0; 1 if an engine fails or is wrong; 2 for bad usage.

mod engines;
mod heap;
mod many;
mod native;
mod report;

use engines::{ENGINES, Host, Running};
use native::Native;
use report::Figures;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

const USAGE: &str = "\
patchjit-wasm-peers [--quick] [MODULE.wasm...]
    compares engines for WebAssembly: what they take to make code of tests/wasm/kernels.wasm, of a module of a megabyte made of it, and
    of modules that are named; then how fast the kernels run.
    --quick: one round
    The environment variable CLANG names the compiler that makes native code for comparison; clang-19 if it is not set.
Exit status: 0; 1 an engine failed or was wrong; 2 bad usage or input
";

/// A function of `tests/wasm/kernels.wasm`.
struct Kernel {
    name: &'static str,
    /// What it is called with: such that it runs for some ten milliseconds.
    size: i32,
    /// Whether it gives an `f64`; else an `i32`.
    is_float: bool,
}

const fn kernel(name: &'static str, size: i32, is_float: bool) -> Kernel {
    Kernel {
        name,
        size,
        is_float,
    }
}

const KERNELS: [Kernel; 11] = [
    kernel("gemm", 200, true),
    kernel("two_products", 200, true),
    kernel("jacobi", 250, true),
    kernel("floyd_warshall", 250, false),
    kernel("nbody", 300_000, true),
    kernel("fannkuch", 9, false),
    kernel("spectral", 250, true),
    kernel("sieve", 1_000_000, false),
    kernel("sha256", 30_000, false),
    kernel("fib", 32, false),
    kernel("quicksort", 60_000, false),
];

/// How many copies of the kernels' code the large module has.
const COPIES: u32 = 170;

/// A module whose compilation is measured.
struct Subject {
    name: String,
    bytes: Vec<u8>,
}

fn main() -> ExitCode {
    let mut rounds = 9;
    let mut paths = Vec::new();
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--quick" => rounds = 1,
            "--help" | "-h" => {
                print!("{USAGE}");
                return ExitCode::SUCCESS;
            }
            option if option.starts_with('-') => {
                eprint!("error: `{option}` is no option\n\n{USAGE}");
                return ExitCode::from(2);
            }
            path => paths.push(PathBuf::from(path)),
        }
    }
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wasm");
    let subjects = match subjects(&directory, &paths) {
        Ok(subjects) => subjects,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    match compare(&directory, &subjects, rounds) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn subjects(directory: &Path, paths: &[PathBuf]) -> Result<Vec<Subject>, String> {
    let read =
        |path: &Path| std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
    let kernels = read(&directory.join("kernels.wasm"))?;
    let large = many::copies(&kernels, COPIES)?;
    let mut subjects = vec![
        Subject {
            name: "kernels".to_owned(),
            bytes: kernels,
        },
        Subject {
            name: format!("kernels x {COPIES}"),
            bytes: large,
        },
    ];
    for path in paths {
        let name = path.file_stem().unwrap_or_default();
        subjects.push(Subject {
            name: name.to_string_lossy().into_owned(),
            bytes: read(path)?,
        });
    }
    Ok(subjects)
}

fn compare(directory: &Path, subjects: &[Subject], rounds: usize) -> Result<(), String> {
    let hosts = ENGINES.map(|engine| engine.host());
    let hosts: Vec<Host> = hosts.into_iter().collect::<Result<_, _>>()?;
    let mut made = Vec::new();
    for subject in subjects {
        eprintln!("compiling {}, {} bytes", subject.name, subject.bytes.len());
        let label = format!("{} ({} bytes)", subject.name, subject.bytes.len());
        made.push((label, make(subject, &hosts, rounds)?));
    }
    report::compilation(&made);
    let kernels = subjects.first().ok_or("there is no module")?;
    let mut running = Vec::new();
    for host in &hosts {
        running.push(host.make(&kernels.bytes)?.start()?);
    }
    let source = directory.join("c/kernels.c");
    let natives = ["-O0", "-O2"].map(|level| match Native::new(&source, level) {
        Ok(native) => Some(native),
        Err(error) => {
            eprintln!("no native code for comparison: {error}");
            None
        }
    });
    let mut runs = Vec::new();
    for kernel in &KERNELS {
        eprintln!("running {}", kernel.name);
        runs.push((kernel.name, run(kernel, &mut running, &natives, rounds)?));
    }
    report::runs(&runs);
    Ok(())
}

/// What each engine takes to make code of a module.
fn make(subject: &Subject, hosts: &[Host], rounds: usize) -> Result<Vec<Figures>, String> {
    // Small modules are made often, so that a median says something.
    let rounds = match subject.bytes.len() {
        0..100_000 if rounds > 1 => 5 * rounds,
        _ => rounds,
    };
    let mut times = vec![Vec::new(); hosts.len()];
    let mut figures = vec![Figures::default(); hosts.len()];
    for round in 0..=rounds {
        for (number, host) in hosts.iter().enumerate() {
            let before = heap::begin();
            let start = Instant::now();
            let ready = host.make(&subject.bytes);
            let time = start.elapsed();
            let most = heap::most_since(before);
            let ready = ready.map_err(|error| format!("{}: {error}", ENGINES[number].name()))?;
            figures[number].heap_bytes = most;
            figures[number].code_bytes = ready.code_bytes();
            // The first round touches what is touched once.
            if round > 0 {
                times[number].push(time);
            }
        }
    }
    for (figures, times) in figures.iter_mut().zip(&mut times) {
        figures.time = median(times);
    }
    Ok(figures)
}

/// How long each engine runs a kernel, then native code.
fn run(
    kernel: &Kernel,
    running: &mut [Running],
    natives: &[Option<Native>; 2],
    rounds: usize,
) -> Result<Vec<Option<Duration>>, String> {
    let mut times = vec![Vec::new(); running.len() + natives.len()];
    let mut answer = None;
    for _ in 0..rounds {
        let mut agree = |who: &str, given: u64| match *answer.get_or_insert(given) {
            expected if expected == given => Ok(()),
            expected => Err(format!(
                "{}: {who} gives {given:#x}, not {expected:#x}",
                kernel.name
            )),
        };
        for (number, running) in running.iter_mut().enumerate() {
            let start = Instant::now();
            let given = running.call(kernel.name, kernel.size);
            times[number].push(start.elapsed());
            let who = ENGINES[number].name();
            agree(who, given.map_err(|error| format!("{who}: {error}"))?)?;
        }
        for (number, native) in natives.iter().enumerate() {
            if let Some(native) = native {
                let start = Instant::now();
                let given = native.call(kernel.name, kernel.size)?;
                times[running.len() + number].push(start.elapsed());
                agree("native code", given)?;
            }
        }
    }
    Ok(times
        .iter_mut()
        .map(|times| (!times.is_empty()).then(|| median(times)))
        .collect())
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
