//! Compile time against program size: generated programs from 10,000 to 1,000,000 ops.
//!
//! A compiler whose time is linear has the same figure in every line of a table. First-touch figures
//! include the system's page faults in fresh buffers; touched ones do not.

use patchjit::ir::Program;
use patchjit_tests::synthetic::{GENERATORS, Generator};
use std::fmt::Write as _;
use std::time::Duration;

/// The sizes that are measured, in ops.
pub const SIZES: [usize; 5] = [10_000, 31_623, 100_000, 316_228, 1_000_000];

/// One program's figures.
#[derive(Clone, Debug)]
pub struct Line {
    /// The generator's name.
    pub generator: &'static str,
    /// How many ops the program has.
    pub ops: usize,
    /// What its size counts: ops, edge arguments, snapshot entries.
    pub size: usize,
    /// Nanoseconds for each unit of size, by compiler; `None` where a compiler did not take it.
    pub nanoseconds: Vec<Option<f64>>,
}

/// The size of a program: ops, and the edge arguments and snapshot entries that they refer to.
pub fn size(program: &Program) -> usize {
    let of_op = |op: &patchjit::ir::Op| {
        let edges: usize = crate::order::edges(program, op)
            .iter()
            .map(|edge| edge.arguments.len())
            .sum();
        let snapshot = program
            .exit_of(op)
            .map_or(0, |exit| program.exits[exit as usize].entry_count as usize);
        1 + edges + snapshot
    };
    program.ops.iter().map(of_op).sum()
}

/// The median of some times.
pub fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// A compiler under measurement.
pub type Compiler<'a> = (
    &'static str,
    Box<dyn FnMut(&Program) -> Option<Duration> + 'a>,
);

/// A compiler that took longer than this for one program is not given the larger ones of the same generator.
const PATIENCE: Duration = Duration::from_secs(10);

/// Measures generators at all sizes up to `most` ops; `report` gets each line as it is done.
pub fn measure(
    compilers: &mut [Compiler],
    generators: &[Generator],
    most: usize,
    mut report: impl FnMut(&Line),
) {
    for generator in generators {
        let mut patient = vec![true; compilers.len()];
        for ops in SIZES.into_iter().filter(|&ops| ops <= most) {
            let assembly = (generator.make)(ops);
            let program = assembly.program();
            let size = size(&program);
            let figure = |(_, compile): &mut Compiler, patient: &mut bool| {
                let time = if *patient {
                    compile(&program)?
                } else {
                    return None;
                };
                *patient = time < PATIENCE;
                Some(time.as_nanos() as f64 / size as f64)
            };
            let both = compilers.iter_mut().zip(&mut patient);
            let nanoseconds = both.map(|(compiler, patient)| figure(compiler, patient));
            report(&Line {
                generator: generator.name,
                ops: program.ops.len(),
                size,
                nanoseconds: nanoseconds.collect(),
            });
        }
    }
}

/// The head of a table.
pub fn head(names: &[&str]) -> String {
    let mut text = format!("{:<20} {:>9} {:>9}", "ns per unit of size", "ops", "size");
    for name in names {
        let _ = write!(text, " {name:>18}");
    }
    text
}

/// A line of a table.
pub fn line(line: &Line) -> String {
    let mut text = format!("{:<20} {:>9} {:>9}", line.generator, line.ops, line.size);
    for figure in &line.nanoseconds {
        let _ = match figure {
            Some(figure) => write!(text, " {figure:>18.1}"),
            None => write!(text, " {:>18}", "-"),
        };
    }
    text
}

/// All generators.
pub fn generators() -> &'static [Generator] {
    &GENERATORS
}
