//! The command line of Patchjit.

mod arguments;
mod bench;
mod common;
mod compile;
mod explain;
mod guest;
mod report;
mod run;

use arguments::{Command, CommandLine};
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let result = match CommandLine::parse().command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Compile(arguments) => compile::compile(&arguments),
        Command::Explain(arguments) => explain::explain(&arguments),
        Command::Bench(arguments) => bench::bench(&arguments),
        Command::Wast(arguments) => guest::wast(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{}", failure.message);
            ExitCode::from(failure.status)
        }
    }
}
