//! Compares Patchjit with Cranelift: see `--help`.

use patchjit_peers::machine::Settings;
use patchjit_peers::scaling::{self, Compiler, Cranelift, SIZES};
use std::process::ExitCode;

const HELP: &str = "\
patchjit-peers [FILES...] [--json]      compare on programs (those of tests/programs if no file is named)
patchjit-peers --scaling [MOST [MOST_CRANELIFT]]
                                        compile time of generated programs of up to MOST ops
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments.as_slice() {
        ["--scaling", rest @ ..] => scaling_table(rest),
        ["--help", ..] => {
            print!("{HELP}");
            Ok(())
        }
        _ => Err(HELP.to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn scaling_table(arguments: &[&str]) -> Result<(), String> {
    let number = |index: usize, default: usize| match arguments.get(index) {
        Some(text) => text.parse().map_err(|_| format!("{text} is no number")),
        None => Ok(default),
    };
    let most = number(0, SIZES[SIZES.len() - 1])?;
    let most_cranelift = number(1, 100_000)?;
    let mut compilers: Vec<Compiler> = Vec::new();
    for settings in Settings::ALL {
        let mut cranelift =
            Cranelift::new(settings, most_cranelift).map_err(|error| error.to_string())?;
        compilers.push((
            settings.name(),
            Box::new(move |program| {
                if program.ops.len() > most_cranelift + most_cranelift / 10 {
                    return None;
                }
                let first = cranelift.compile(program).ok()?;
                let rounds = if first.as_secs() > 0 { 0 } else { 2 };
                let times = (0..rounds).map(|_| cranelift.compile(program));
                let mut times: Vec<_> = times.collect::<Result<_, _>>().ok()?;
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
