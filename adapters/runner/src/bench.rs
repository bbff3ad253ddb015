//! `patchjit bench`.

use crate::arguments::{BenchArguments, Engine};
use crate::common::{self, Engines, Task};
use crate::report::{self, Failure, milliseconds};
use patchjit::code::CodeBuffer;
use patchjit::compile::Options;
use patchjit::error::Error;
use patchjit_cli::engine::Compilation;
use patchjit_cli::instance::Limits;
use patchjit_cli::module::Module;
use patchjit_cli::optimizer::Optimizer;
use serde::Serialize;
use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Where the programs are that are measured without being named.
const PROGRAMS: &str = "tests/programs";

/// The object that `--json` prints.
#[derive(Debug, Serialize)]
struct Report {
    machine: String,
    engine: &'static str,
    programs: Vec<Row>,
    ratio_geomean: Option<f64>,
}

/// What was measured of one program.
#[derive(Debug, Serialize)]
struct Row {
    program: String,
    uops: usize,
    /// Verification of the result included; the program's size before is what counts, here and below.
    optimize_ns_per_uop: Option<f64>,
    /// Median of several, storage touched before.
    compile_ns_per_uop: Option<f64>,
    /// The first compilation into storage that was never touched.
    first_compile_ns_per_uop: Option<f64>,
    code_bytes: Option<usize>,
    jit_ms: Option<f64>,
    interp_ms: f64,
    ratio: Option<f64>,
}

/// Measures the programs and prints a table, or JSON.
pub fn bench(arguments: &BenchArguments) -> Result<(), Failure> {
    let files = if arguments.files.is_empty() {
        all_programs()?
    } else {
        arguments.files.clone()
    };
    let terminal = std::io::stderr().is_terminal();
    let mut rows = Vec::new();
    for (index, file) in files.iter().enumerate() {
        if terminal {
            eprint!("\r\x1b[K{}/{} {}", index + 1, files.len(), file.display());
            let _ = std::io::stderr().flush();
        }
        let row = measure(file, arguments);
        if terminal {
            eprint!("\r\x1b[K");
        }
        rows.extend(row?);
    }
    if rows.is_empty() {
        let what = "error: none of the files has a `; bench:` or `; run:` line";
        return Err(Failure::input(what.to_string()));
    }
    let ratios: Vec<f64> = rows.iter().filter_map(|row| row.ratio).collect();
    let measured = Report {
        machine: machine(),
        engine: if patchjit_stencils::native().is_some() {
            "both"
        } else {
            "interp"
        },
        ratio_geomean: (!ratios.is_empty()).then(|| {
            let logs: f64 = ratios.iter().map(|ratio| ratio.ln()).sum();
            (logs / ratios.len() as f64).exp()
        }),
        programs: rows,
    };
    if arguments.json {
        report::print_json(&measured)?;
    } else {
        report::print(&table(&measured));
    }
    Ok(())
}

/// The table that people read.
fn table(report: &Report) -> String {
    let mut text = String::new();
    let width = report
        .programs
        .iter()
        .map(|row| row.program.len())
        .max()
        .unwrap_or(0)
        .max("program".len());
    let _ = writeln!(
        text,
        "{:width$} {:>7} {:>9} {:>9} {:>9} {:>10} {:>10} {:>10} {:>7}",
        "program",
        "uops",
        "optimize",
        "ns/uop",
        "first",
        "code bytes",
        "jit ms",
        "interp ms",
        "ratio"
    );
    let number = |value: Option<f64>, digits: usize| {
        value.map_or_else(|| "-".to_string(), |value| format!("{value:.digits$}"))
    };
    for row in &report.programs {
        let _ = writeln!(
            text,
            "{:width$} {:>7} {:>9} {:>9} {:>9} {:>10} {:>10} {:>10} {:>7}",
            row.program,
            row.uops,
            number(row.optimize_ns_per_uop, 1),
            number(row.compile_ns_per_uop, 1),
            number(row.first_compile_ns_per_uop, 1),
            row.code_bytes
                .map_or_else(|| "-".to_string(), |bytes| bytes.to_string()),
            number(row.jit_ms, 3),
            number(Some(row.interp_ms), 3),
            number(row.ratio, 2),
        );
    }
    if let Some(mean) = report.ratio_geomean {
        let _ = writeln!(
            text,
            "interpreter / machine code, geometric mean: {mean:.2}"
        );
    }
    let _ = writeln!(text, "machine: {}", report.machine);
    text
}

/// Measures a program's `; bench:` line, else its last `; run:` line; nothing where there is neither.
fn measure(file: &Path, arguments: &BenchArguments) -> Result<Option<Row>, Failure> {
    let optimizer = &arguments.optimizer;
    let module = Module::load(file).map_err(Failure::input)?;
    let mut storage = Vec::new();
    let verified = module.verify(&mut storage).map_err(Failure::input)?;
    common::permit(&module, &verified, arguments.allow_raw)?;
    let uops = verified.size();
    let per_uop = |time: Duration| time.as_secs_f64() * 1e9 / uops.max(1) as f64;
    let optimize_ns_per_uop = match optimizer.options() {
        None => None,
        Some(options) => {
            let mut optimizer = Optimizer::new();
            let failed = |error: Error| Failure::input(module.error(&error.to_string()));
            Some(median(Duration::from_millis(200), 1001, || {
                optimizer.run(&verified, &options).map_err(failed)?;
                Ok(per_uop(optimizer.time()))
            })?)
        }
    };
    let optimized = common::optimized(&module, optimizer)?;
    let module = optimized.module.as_ref().unwrap_or(&module);
    let mut storage = Vec::new();
    let verified = module.verify(&mut storage).map_err(Failure::input)?;
    let Some(promise) = module.bench().or_else(|| module.promises().last()) else {
        return Ok(None);
    };
    let task = Task::from(promise);
    let limits = Limits::default();
    let time = |engines: &Engines<'_>| -> Result<f64, Failure> {
        median(Duration::from_secs(1), 5, || {
            let done = engines.run(&task)?;
            let types = module.results(task.function);
            if !done
                .outcome
                .keeps(&promise.expected, types, &done.instance.slots)
            {
                let described = done.outcome.describe(types, &done.instance.slots);
                let what = format!("promised `{}`, and it gave: {described}", promise.text);
                return Err(Failure::broken(module.error_at(
                    promise.line,
                    promise.column,
                    &what,
                )));
            }
            Ok(milliseconds(done.outcome.time))
        })
    };
    let interp_ms = time(&Engines::new(module, verified, Engine::Interp, limits)?)?;
    let mut row = Row {
        program: file
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
        uops,
        optimize_ns_per_uop,
        compile_ns_per_uop: None,
        first_compile_ns_per_uop: None,
        code_bytes: None,
        jit_ms: None,
        interp_ms,
        ratio: None,
    };
    let engines = Engines::new(module, verified, Engine::Jit, limits)?;
    if let (Some(native), Some(set)) = (engines.native(), patchjit_stencils::native()) {
        let failed = |error| Failure::input(module.program_error(&error));
        let mut compilation = Compilation::new(verified, set, Options::default());
        let mut code = vec![0; compilation.code_bytes()];
        let mut compile = || {
            let buffer = CodeBuffer {
                write: &mut code,
                execute_at: 0,
            };
            let (_, time) = compilation.compile(buffer).map_err(failed)?;
            Ok(per_uop(time))
        };
        row.first_compile_ns_per_uop = Some(compile()?);
        row.compile_ns_per_uop = Some(median(Duration::from_millis(200), 1001, compile)?);
        row.code_bytes = Some(native.compiled.code_length as usize);
        let jit_ms = time(&engines)?;
        row.jit_ms = Some(jit_ms);
        row.ratio = Some(interp_ms / jit_ms);
    }
    Ok(Some(row))
}

/// The median of at most `count` measurements, fewer when they take longer than the budget together.
fn median(
    budget: Duration,
    count: usize,
    mut measurement: impl FnMut() -> Result<f64, Failure>,
) -> Result<f64, Failure> {
    let started = Instant::now();
    let mut values = vec![measurement()?];
    while values.len() < count && started.elapsed() < budget {
        values.push(measurement()?);
    }
    values.sort_by(f64::total_cmp);
    Ok(values[values.len() / 2])
}

fn all_programs() -> Result<Vec<PathBuf>, Failure> {
    let missing = |error: std::io::Error| {
        Failure::input(format!(
            "error: {PROGRAMS}: {error}; name the files to measure"
        ))
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(PROGRAMS).map_err(missing)? {
        let path = entry.map_err(missing)?.path();
        if path.extension().is_some_and(|extension| extension == "uop") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// What the figures were measured on.
fn machine() -> String {
    let model = std::fs::read_to_string("/proc/cpuinfo")
        .ok()
        .and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("model name"))?;
            Some(line.split_once(':')?.1.trim().to_string())
        })
        .unwrap_or_else(|| std::env::consts::ARCH.to_string());
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let build = if cfg!(debug_assertions) {
        ", debug build"
    } else {
        ""
    };
    format!(
        "{model}, {processors} processors, {}{build}",
        std::env::consts::OS
    )
}
