//! Compares Patchjit with Cranelift: see `--help`.

use patchjit::ir::Program;
use patchjit_peers::compare::{Comparison, Rounds, compare};
use patchjit_peers::ebpf;
use patchjit_peers::machine::{Cranelift, Processor, Settings};
use patchjit_peers::ours::{Jit, Oracle, Storage};
use patchjit_peers::report;
use patchjit_peers::scaling::{self, Compiler, SIZES};
use patchjit_peers::subject::{Maker, on_long_stack};
use patchjit_tests::programs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const HELP: &str = "\
patchjit-peers [FILES...] [--json] [--quick] [--baseline] [--cold]
    compares the engines on programs, those of tests/programs if no file is named;
    --quick: fewer rounds; --baseline: Cranelift compiles for x86-64-v2, not for this processor;
    --cold: no compilation before the timed one, so another engine has just used the caches
patchjit-peers --scaling [MOST [MOST_CRANELIFT]]
    compile time of generated programs of up to MOST ops
patchjit-peers --ebpf [--quick]
    compares engines for eBPF on the kernels of tests/ebpf
Exit status: 0; 1 an engine was wrong; 2 bad usage or input
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments.as_slice() {
        ["--scaling", rest @ ..] => scaling_table(rest).map(|()| true),
        ["--ebpf", rest @ ..] => ebpf_table(rest).map(|()| true),
        rest if rest.contains(&"--help") => {
            print!("{HELP}");
            Ok(true)
        }
        rest => on_long_stack(|| programs_table(rest)),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

/// The engines that take part. The first is the one that the others are compared with.
fn makers(processor: Processor) -> Result<Vec<Box<dyn Maker>>, String> {
    let mut makers: Vec<Box<dyn Maker>> = vec![Box::new(Oracle)];
    for jit in [Jit::new(), Jit::optimizing()].into_iter().flatten() {
        makers.push(Box::new(jit));
    }
    for settings in Settings::ALL {
        let cranelift = Cranelift::new(settings, processor).map_err(|error| error.to_string())?;
        makers.push(Box::new(cranelift));
    }
    Ok(makers)
}

fn programs_table(arguments: &[&str]) -> Result<bool, String> {
    let (flags, files): (Vec<&str>, Vec<&str>) = arguments
        .iter()
        .partition(|argument| argument.starts_with("--"));
    let known = ["--json", "--quick", "--baseline", "--cold"];
    if let Some(flag) = flags.iter().find(|flag| !known.contains(flag)) {
        return Err(format!("{flag} is no option\n{HELP}"));
    }
    let mut paths: Vec<PathBuf> = files.iter().map(PathBuf::from).collect();
    if paths.is_empty() {
        let names = programs::names().into_iter();
        paths.extend(names.map(|name| programs::directory().join(name + ".uop")));
    }
    let processor = if flags.contains(&"--baseline") {
        Processor::Baseline
    } else {
        Processor::Native
    };
    let rounds = if flags.contains(&"--quick") {
        Rounds {
            compile: 3,
            run: 1,
            ..Rounds::default()
        }
    } else {
        Rounds::default()
    };
    let rounds = Rounds {
        warm: !flags.contains(&"--cold"),
        ..rounds
    };
    let mut makers = makers(processor)?;
    let names: Vec<String> = makers.iter().map(|maker| maker.name()).collect();
    let mut comparisons: Vec<Comparison> = Vec::new();
    for path in &paths {
        comparisons.push(one(path, &mut makers, rounds)?);
    }
    if flags.contains(&"--json") {
        println!("{}", report::json(&names, &comparisons));
    } else {
        print!("{}", report::table(&names, &comparisons));
    }
    let right = |comparison: &Comparison| comparison.figures.iter().all(Result::is_ok);
    Ok(comparisons.iter().all(right))
}

fn one(path: &Path, makers: &mut [Box<dyn Maker>], rounds: Rounds) -> Result<Comparison, String> {
    let shown = path.display();
    let source = std::fs::read_to_string(path).map_err(|error| format!("{shown}: {error}"))?;
    let module = patchjit_text::parse(&source).map_err(|error| format!("{shown}:{error}"))?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    compare(&name, &module, makers, rounds)
}

fn ebpf_table(arguments: &[&str]) -> Result<(), String> {
    let quick = match arguments {
        [] => false,
        ["--quick"] => true,
        _ => return Err(format!("--ebpf takes --quick\n{HELP}")),
    };
    print!("{}", on_long_stack(|| ebpf::table(quick))?);
    Ok(())
}

fn scaling_table(arguments: &[&str]) -> Result<(), String> {
    let number = |index: usize, default: usize| match arguments.get(index) {
        Some(text) => text.parse().map_err(|_| format!("{text} is no number")),
        None => Ok(default),
    };
    let most = number(0, SIZES[SIZES.len() - 1])?;
    let most_cranelift = number(1, 31_623)?;
    let mut compilers: Vec<Compiler> = Vec::new();
    for (name, storage, jit) in [
        ("jit", Storage::Touched, Jit::new()),
        ("jit, first touch", Storage::Fresh, Jit::new()),
        ("jit optimized", Storage::Touched, Jit::optimizing()),
    ] {
        let Some(mut jit) = jit else {
            continue;
        };
        let compile = move |program: &Program| {
            if let Err(error) = jit.compile(program, storage) {
                eprintln!("{name}: {error}");
                return None;
            }
            let mut times: Vec<_> = (0..5)
                .map_while(|_| Some(jit.compile(program, storage).ok()?.1))
                .collect();
            Some(scaling::median(&mut times))
        };
        compilers.push((name, Box::new(compile)));
    }
    for settings in Settings::ALL {
        let mut cranelift =
            Cranelift::new(settings, Processor::Native).map_err(|error| error.to_string())?;
        compilers.push((
            settings.name(),
            Box::new(move |program| {
                if program.ops.len() > most_cranelift + most_cranelift / 10 {
                    return None;
                }
                let mut once = || Some(cranelift.compile(program).ok()?.0.compilation);
                let first = once()?;
                let rounds = if first.as_secs() > 0 { 0 } else { 2 };
                let mut times: Vec<_> = (0..rounds).map_while(|_| once()).collect();
                times.push(first);
                Some(scaling::median(&mut times))
            }),
        ));
    }
    let names: Vec<&str> = compilers.iter().map(|&(name, _)| name).collect();
    println!("{}", scaling::head(&names));
    scaling::measure(&mut compilers, scaling::generators(), most, |line| {
        println!("{}", scaling::line(line));
    });
    Ok(())
}
