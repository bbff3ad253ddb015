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
patchjit-wasm-peers [--quick] [--run MODULE.wasm FUNCTION ARGUMENT]... [MODULE.wasm...]
    compares engines for WebAssembly: what they take to make code of tests/wasm/kernels.wasm, of a module of a megabyte made of it, and
    of modules that are named; then how fast the kernels run.
    --quick: one round
    --run: run this function of this module, too, which imports nothing; it takes an i32 and gives an i32 or an f64
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
    /// A function that is run, and its argument. Those of the first module are the kernels.
    run: Option<(String, i32)>,
}

/// What the command line asks for.
struct Asked {
    rounds: usize,
    /// Modules, and what is run of them.
    modules: Vec<(PathBuf, Option<(String, i32)>)>,
}

fn main() -> ExitCode {
    let asked = match asked(std::env::args().skip(1)) {
        Ok(Some(asked)) => asked,
        Ok(None) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprint!("error: {error}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wasm");
    let subjects = match subjects(&directory, asked.modules) {
        Ok(subjects) => subjects,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    match compare(&directory, &subjects, asked.rounds) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Reads the command line; `None` if it asks for help.
fn asked(mut arguments: impl Iterator<Item = String>) -> Result<Option<Asked>, String> {
    let mut asked = Asked {
        rounds: 9,
        modules: Vec::new(),
    };
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--quick" => asked.rounds = 1,
            "--help" | "-h" => return Ok(None),
            "--run" => {
                let mut next = || arguments.next().ok_or("`--run` takes three arguments");
                let (module, name, size) = (next()?, next()?, next()?);
                let size = size
                    .parse()
                    .map_err(|error| format!("`{size}` is no argument: {error}"))?;
                asked.modules.push((module.into(), Some((name, size))));
            }
            option if option.starts_with('-') => return Err(format!("`{option}` is no option")),
            path => asked.modules.push((path.into(), None)),
        }
    }
    Ok(Some(asked))
}

fn subjects(
    directory: &Path,
    modules: Vec<(PathBuf, Option<(String, i32)>)>,
) -> Result<Vec<Subject>, String> {
    let read =
        |path: &Path| std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
    let kernels = read(&directory.join("kernels.wasm"))?;
    let large = many::copies(&kernels, COPIES)?;
    let mut subjects = Vec::new();
    for (name, bytes) in [
        ("kernels".to_owned(), kernels),
        (format!("kernels x {COPIES}"), large),
    ] {
        subjects.push(Subject {
            name,
            bytes,
            run: None,
        });
    }
    for (path, run) in modules {
        let name = path.file_stem().unwrap_or_default();
        subjects.push(Subject {
            name: name.to_string_lossy().into_owned(),
            bytes: read(&path)?,
            run,
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
    let mut running = start(kernels, &hosts)?;
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
        let times = run(kernel.name, kernel.size, &mut running, &natives, rounds)?;
        runs.push((kernel.name, times));
    }
    for subject in subjects {
        if let Some((name, size)) = &subject.run {
            eprintln!("running {name}");
            let mut running = start(subject, &hosts)?;
            let times = run(name, *size, &mut running, &[None, None], rounds)?;
            runs.push((name, times));
        }
    }
    report::runs(&runs);
    Ok(())
}

/// An instance of a module on each engine.
fn start(subject: &Subject, hosts: &[Host]) -> Result<Vec<Running>, String> {
    let made = hosts.iter().map(|host| host.make(&subject.bytes)?.start());
    made.collect()
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

/// How long each engine runs a function, then native code.
fn run(
    name: &str,
    size: i32,
    running: &mut [Running],
    natives: &[Option<Native>; 2],
    rounds: usize,
) -> Result<Vec<Option<Duration>>, String> {
    let mut times = vec![Vec::new(); running.len() + natives.len()];
    let mut answer = None;
    for _ in 0..rounds {
        let mut agree = |who: &str, given: u64| match *answer.get_or_insert(given) {
            expected if expected == given => Ok(()),
            expected => Err(format!("{name}: {who} gives {given:#x}, not {expected:#x}")),
        };
        for (number, running) in running.iter_mut().enumerate() {
            let start = Instant::now();
            let given = running.call(name, size);
            times[number].push(start.elapsed());
            let who = ENGINES[number].name();
            agree(who, given.map_err(|error| format!("{who}: {error}"))?)?;
        }
        for (number, native) in natives.iter().enumerate() {
            if let Some(native) = native {
                let start = Instant::now();
                let given = native.call(name, size)?;
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
