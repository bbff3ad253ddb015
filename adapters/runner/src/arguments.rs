//! What the command line takes.

use clap::{Args, Parser, Subcommand, ValueEnum};
use patchjit::optimize::{Options, Pass, Passes};
use patchjit_cli::instance::DEFAULT_DEPTH;
use patchjit_cli::interface;
use std::path::PathBuf;

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "patchjit",
    version,
    about = "Runs, compiles, explains and measures micro-op programs and WebAssembly modules",
    after_help = "Exit status: 0 done; 1 the program trapped or left through an exit; 2 bad usage or bad input; \
                  3 a promise of the file is broken, or two engines differ."
)]
pub struct CommandLine {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a function, or everything that the file promises with `; run:`
    Run(RunArguments),
    /// Compile to machine code
    Compile(CompileArguments),
    /// Show what each stage makes of a program
    Explain(ExplainArguments),
    /// Measure compilation and running
    Bench(BenchArguments),
    /// Run a script of WebAssembly's tests on every engine
    Wast(WastArguments),
}

/// What executes the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// Machine code; the interpreter where this machine has no target
    Jit,
    /// The interpreter
    Interp,
    /// Both, compared in everything that can be observed
    Both,
}

/// Whether the optimizer runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Optimization {
    /// Code from the program as it stands
    None,
    /// All passes, or those that `--passes` names
    Full,
}

/// What the optimizer is asked for.
#[derive(Args, Clone, Debug)]
pub struct OptimizerArguments {
    /// Whether the optimizer runs
    #[arg(long, value_enum, default_value = "full")]
    pub opt: Optimization,
    /// The passes that run, with commas between them [default: all]
    #[arg(long, value_name = "PASSES", value_delimiter = ',', value_parser = pass)]
    pub passes: Option<Vec<Pass>>,
    /// Stop optimizing after this many steps, to find the one that breaks something [default: never]
    #[arg(long, value_name = "N")]
    pub pass_fuel: Option<u32>,
}

/// A pass by its name.
fn pass(name: &str) -> Result<Pass, String> {
    Pass::from_name(name).ok_or_else(|| {
        let names: Vec<_> = Pass::ALL.iter().map(|pass| pass.name()).collect();
        format!("there are: {}", names.join(", "))
    })
}

impl OptimizerArguments {
    /// The optimizer's options; `None` if it does not run.
    pub fn options(&self) -> Option<Options> {
        let passes = match &self.passes {
            None => Passes::ALL,
            Some(passes) => passes
                .iter()
                .fold(Passes::NONE, |set, &pass| set.with(pass)),
        };
        let fuel = self.pass_fuel;
        (self.opt == Optimization::Full).then_some(Options { passes, fuel })
    }
}

/// `run`
#[derive(Args, Debug)]
pub struct RunArguments {
    /// The program: a `.uop` file, a WebAssembly module, `.wasm` or `.wat`, or an eBPF object by clang, a `.o` file
    pub file: PathBuf,
    /// The function's arguments, or those of a module that is a command: integers in decimal or 0x hexadecimal, floats in decimal, `nan`,
    /// `inf`, `bits:0x...`; what begins with `-` and is no decimal number stands behind `--`. An object's function gets them in r1 to r5; without
    /// any, the address and length of its memory, or its context
    #[arg(allow_negative_numbers = true)]
    pub arguments: Vec<String>,
    /// The function to run, instead of the file's `; run:` lines or a module's `_start`
    #[arg(long, value_name = "NAME")]
    pub invoke: Option<String>,
    /// What an object's function finds in its memory, or as its packet [default: 65536 zeros]
    #[arg(long, value_name = "FILE")]
    pub memory: Option<PathBuf>,
    /// What executes the program
    #[arg(long, value_enum, default_value = "jit")]
    pub engine: Engine,
    /// The optimizer
    #[command(flatten)]
    pub optimizer: OptimizerArguments,
    /// Print one JSON object; what the program prints goes to standard error
    #[arg(long)]
    pub json: bool,
    /// Permit programs that are not contained: they can reach any memory of this process
    #[arg(long)]
    pub allow_raw: bool,
    /// Stop after this many function entries and back-edges [default: never]
    #[arg(long, value_name = "N")]
    pub fuel: Option<u64>,
    /// How many calls may be within each other
    #[arg(long, value_name = "N", default_value_t = DEFAULT_DEPTH)]
    pub depth: u32,
    /// First contents of the guest slots, from slot 0 on, with commas between them
    #[arg(
        long,
        value_name = "VALUES",
        value_delimiter = ',',
        allow_hyphen_values = true
    )]
    pub slots: Vec<String>,
}

/// `compile`
#[derive(Args, Debug)]
pub struct CompileArguments {
    /// The program: a `.uop` file, or an eBPF object, a `.o` file
    pub file: PathBuf,
    /// The function of an eBPF object, if it has several
    #[arg(long, value_name = "NAME")]
    pub invoke: Option<String>,
    /// The machine and its conventions [default: this machine's]
    #[arg(long)]
    pub target: Option<String>,
    /// Where to write [default: standard output]
    #[arg(short, long, value_name = "OUT")]
    pub output: Option<PathBuf>,
    /// What to write
    #[arg(long, value_enum, default_value = "bin")]
    pub emit: Emit,
    /// The optimizer
    #[command(flatten)]
    pub optimizer: OptimizerArguments,
    /// The object file's format [default: elf]
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// What exported names in an object file and its header begin with: nothing, or a name in C [default: the file's name
    /// without its ending, and `_`]
    #[arg(long, value_name = "NAME", value_parser = interface::prefix)]
    pub prefix: Option<String>,
    /// Charge fuel at function entries and back-edges
    #[arg(long)]
    pub fuel: bool,
}

/// Formats of object files; each goes with every target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Linux, other systems of that family, and images with nothing beneath
    Elf,
    /// macOS 11 and later; read back, never run there
    Macho,
    /// Windows; read back, run in Wine at most. Code for x86_64-sysv keeps the System V convention, which GCC and Clang
    /// know and Microsoft's compiler does not. No code probes the stack: what `depth` calls take must be committed
    Coff,
}

/// What `compile` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Emit {
    /// The code's bytes
    Bin,
    /// An object file with a symbol for each function, and tables of host functions and entry cells
    Obj,
    /// The C header for the object file that the same options give
    Header,
    /// The code's disassembly
    Asm,
    /// The program that is compiled, in its text form
    Uop,
}

/// `explain`
#[derive(Args, Debug)]
pub struct ExplainArguments {
    /// The program: a `.uop` file, or an eBPF object, a `.o` file
    pub file: PathBuf,
    /// The function of an eBPF object, if it has several
    #[arg(long, value_name = "NAME")]
    pub invoke: Option<String>,
    /// The machine and its conventions [default: this machine's]
    #[arg(long)]
    pub target: Option<String>,
    /// Write the stages side by side into this file, a page for a browser that needs nothing else
    #[arg(long, value_name = "OUT")]
    pub html: Option<PathBuf>,
    /// The optimizer
    #[command(flatten)]
    pub optimizer: OptimizerArguments,
}

/// `wast`
#[derive(Args, Debug)]
pub struct WastArguments {
    /// The script, a `.wast` file
    pub file: PathBuf,
}

/// `bench`
#[derive(Args, Debug)]
pub struct BenchArguments {
    /// The programs [default: all of tests/programs]
    pub files: Vec<PathBuf>,
    /// The optimizer
    #[command(flatten)]
    pub optimizer: OptimizerArguments,
    /// Permit programs that are not contained: they can reach any memory of this process
    #[arg(long)]
    pub allow_raw: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

#[cfg(test)]
mod tests {
    use super::CommandLine;
    use clap::{CommandFactory, Parser};

    #[test]
    fn the_declarations_are_sound() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn negative_arguments_need_no_escape() {
        let line = "patchjit run f.uop --invoke f -5 -1.5e3 7 --json --slots -1,0x10 -- -inf -0x5";
        let parsed = CommandLine::parse_from(line.split(' '));
        let super::Command::Run(run) = parsed.command else {
            panic!("{parsed:?}");
        };
        assert_eq!(run.arguments, ["-5", "-1.5e3", "7", "-inf", "-0x5"]);
        assert_eq!(run.slots, ["-1", "0x10"]);
        assert!(run.json);
    }
}
