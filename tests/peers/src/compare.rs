//! Engines side by side on one program: are they right, how long do they take to compile, how fast is the code?
//!
//! Compilations and runs of the engines take turns, so that what else the machine does falls on all of
//! them alike; medians are compared. Before anything is timed, every engine is held to the program's promises
//! and to the first engine's ends.

use crate::scaling::median;
use crate::subject::{self, Made, Maker};
use patchjit::verify::{self, Verified};
use patchjit_text::Module;
use std::time::Duration;

/// How many compilations and runs are timed.
#[derive(Clone, Copy, Debug)]
pub struct Rounds {
    /// Turns of each engine at compiling.
    pub compile: usize,
    /// Runs of the bench line.
    pub run: usize,
    /// Whether a turn is one compilation that is not timed and a few in a row that are, so that the engine finds its own
    /// code and tables in the caches. If not, it is a single one, and the engine before it has just used them.
    pub warm: bool,
}

/// How many compilations are timed in a turn.
const IN_A_ROW: usize = 5;

impl Default for Rounds {
    fn default() -> Rounds {
        Rounds {
            compile: 9,
            run: 5,
            warm: true,
        }
    }
}

/// What was measured of an engine on a program.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// The median time to compile, for an engine that does.
    pub compile: Option<Duration>,
    /// The median time to translate to the engine's own IR.
    pub translate: Option<Duration>,
    /// Bytes of machine code.
    pub code_bytes: Option<usize>,
    /// The median time of the bench line; `None` where the program has none.
    pub run: Option<Duration>,
    /// How many promises were held, the bench line's included.
    pub kept: usize,
}

/// What was measured of a program.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// The program's name.
    pub program: String,
    /// Its size: ops, edge arguments and snapshot entries.
    pub size: usize,
    /// By engine, in the order of the makers; or why there are none.
    pub figures: Vec<Result<Figures, String>>,
}

/// Measures a program on all engines. The first is the one that the others are compared with. An error is of the
/// program's; what goes wrong with an engine stands in its figures.
pub fn compare(
    name: &str,
    module: &Module,
    makers: &mut [Box<dyn Maker>],
    rounds: Rounds,
) -> Result<Comparison, String> {
    let program = module.program();
    let mut workspace = vec![0; verify::workspace_words(&program)];
    let verified =
        verify::verify(program, &mut workspace).map_err(|error| format!("{name}: {error:?}"))?;
    let mut figures = Vec::new();
    let mut engines: Vec<Option<Made>> = Vec::new();
    for maker in makers.iter_mut() {
        let made = maker.make(&verified);
        let held = made.and_then(|made| Ok((hold(module, &made, engines.first())?, made)));
        match held {
            Ok((kept, made)) => {
                figures.push(Ok(Figures {
                    code_bytes: made.code_bytes,
                    kept,
                    ..Figures::default()
                }));
                engines.push(Some(made));
            }
            Err(error) => {
                figures.push(Err(error));
                engines.push(None);
            }
        }
    }
    time_compilations(&verified, makers, &engines, rounds, &mut figures)?;
    time_runs(module, &engines, rounds.run, &mut figures)?;
    Ok(Comparison {
        program: name.to_owned(),
        size: verified.size(),
        figures,
    })
}

/// Holds an engine to a module's promises, and to what another engine makes of the same calls.
fn hold(module: &Module, made: &Made, other: Option<&Option<Made>>) -> Result<usize, String> {
    let mut kept = 0;
    for promise in module.promises.iter().chain(&module.bench) {
        let call = |made: &Made| {
            let (function, arguments) = (promise.function, &promise.arguments);
            // SAFETY: the engines were made for this module's program.
            unsafe { subject::run(module, &*made.engine, function, arguments) }
        };
        if !subject::applies(&*made.engine, promise) {
            continue;
        }
        let ended = call(made)?;
        subject::keeps(module, promise, &ended)?;
        if let Some(Some(other)) = other
            && subject::applies(&*other.engine, promise)
        {
            let reference = call(other)?;
            subject::same_end(module, promise.function, &ended, &reference)?;
        }
        kept += 1;
    }
    Ok(kept)
}

fn time_compilations(
    verified: &Verified,
    makers: &mut [Box<dyn Maker>],
    engines: &[Option<Made>],
    rounds: Rounds,
    figures: &mut [Result<Figures, String>],
) -> Result<(), String> {
    let mut compile = vec![Vec::new(); makers.len()];
    let mut translate = vec![Vec::new(); makers.len()];
    for _ in 0..rounds.compile {
        for (index, maker) in makers.iter_mut().enumerate() {
            if engines[index].is_none() {
                continue;
            }
            let mut timed = 1;
            if rounds.warm {
                maker.make(verified)?;
                timed = IN_A_ROW;
            }
            for _ in 0..timed {
                let made = maker.make(verified)?;
                compile[index].extend(made.compilation);
                translate[index].extend(made.translation);
            }
        }
    }
    for (index, figures) in figures.iter_mut().enumerate() {
        if let Ok(figures) = figures {
            let of = |times: &mut Vec<Duration>| (!times.is_empty()).then(|| median(times));
            figures.compile = of(&mut compile[index]);
            figures.translate = of(&mut translate[index]);
        }
    }
    Ok(())
}

fn time_runs(
    module: &Module,
    engines: &[Option<Made>],
    rounds: usize,
    figures: &mut [Result<Figures, String>],
) -> Result<(), String> {
    let Some(bench) = &module.bench else {
        return Ok(());
    };
    let mut times = vec![Vec::new(); engines.len()];
    for _ in 0..rounds {
        for (engine, times) in engines.iter().zip(&mut times) {
            if let Some(made) = engine {
                let (function, arguments) = (bench.function, &bench.arguments);
                // SAFETY: the engines were made for this module's program.
                let ended = unsafe { subject::run(module, &*made.engine, function, arguments) }?;
                times.push(ended.time);
            }
        }
    }
    for (figures, times) in figures.iter_mut().zip(&mut times) {
        if let Ok(figures) = figures {
            figures.run = Some(median(times));
        }
    }
    Ok(())
}
