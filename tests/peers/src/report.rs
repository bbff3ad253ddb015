//! What was measured, as tables and as JSON.

use crate::compare::{Comparison, Figures};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::time::Duration;

/// What the interpreter in core is called.
pub const ORACLE: &str = "oracle";
/// What our compiler without the optimizer is called.
pub const PLAIN: &str = "jit";
/// What our compiler with the optimizer is called.
pub const OPTIMIZED: &str = "jit optimized";

/// A figure of an engine on a program, if there is one.
type Pick = fn(&Figures, usize) -> Option<f64>;

fn nanoseconds(time: Duration) -> f64 {
    time.as_nanos() as f64
}

fn compile(figures: &Figures, size: usize) -> Option<f64> {
    figures.compile.map(|time| nanoseconds(time) / size as f64)
}

fn translate(figures: &Figures, size: usize) -> Option<f64> {
    figures
        .translate
        .map(|time| nanoseconds(time) / size as f64)
}

fn bytes(figures: &Figures, size: usize) -> Option<f64> {
    figures.code_bytes.map(|bytes| bytes as f64 / size as f64)
}

fn run(figures: &Figures, _: usize) -> Option<f64> {
    figures.run.map(|time| nanoseconds(time) / 1e6)
}

/// The ratios that the budgets name: what, whose figure is divided by whose, and which figure.
const RATIOS: [(&str, &str, &str, Pick); 8] = [
    (
        "compile time of cranelift none over jit",
        "cranelift none",
        PLAIN,
        compile,
    ),
    (
        "compile time of cranelift none+single_pass over jit",
        "cranelift none+single_pass",
        PLAIN,
        compile,
    ),
    (
        "compile time of cranelift speed over jit optimized",
        "cranelift speed",
        OPTIMIZED,
        compile,
    ),
    (
        "code speed of jit over cranelift speed",
        "cranelift speed",
        PLAIN,
        run,
    ),
    (
        "code speed of jit optimized over cranelift speed",
        "cranelift speed",
        OPTIMIZED,
        run,
    ),
    ("code speed of jit over oracle", ORACLE, PLAIN, run),
    (
        "code speed of jit optimized over oracle",
        ORACLE,
        OPTIMIZED,
        run,
    ),
    (
        "code speed of cranelift speed over oracle",
        ORACLE,
        "cranelift speed",
        run,
    ),
];

/// The geometric mean of some figures, if there are any.
pub fn geomean(figures: impl Iterator<Item = f64>) -> Option<f64> {
    let (count, sum) = figures.fold((0u32, 0.0), |(count, sum), figure| {
        (count + 1, sum + figure.ln())
    });
    (count > 0).then(|| (sum / f64::from(count)).exp())
}

fn figure(comparison: &Comparison, engine: usize, pick: Pick) -> Option<f64> {
    let figures = comparison.figures.get(engine)?.as_ref().ok()?;
    pick(figures, comparison.size)
}

/// The ratios that the budgets name: their names, geomeans, and how many programs they are of.
pub fn ratios(names: &[String], comparisons: &[Comparison]) -> Vec<(&'static str, f64, usize)> {
    let index = |name: &str| names.iter().position(|known| known == name);
    let of = |&(what, above, below, pick): &(&'static str, &str, &str, Pick)| {
        let (above, below) = (index(above)?, index(below)?);
        let each: Vec<f64> = comparisons
            .iter()
            .filter_map(|comparison| {
                Some(figure(comparison, above, pick)? / figure(comparison, below, pick)?)
            })
            .collect();
        Some((what, geomean(each.iter().copied())?, each.len()))
    };
    RATIOS.iter().filter_map(of).collect()
}

/// Everything as text.
pub fn table(names: &[String], comparisons: &[Comparison]) -> String {
    let mut text = String::new();
    let parts: [(&str, Pick, usize); 4] = [
        ("compile, ns per unit of size", compile, 1),
        (
            "translation, ns per unit of size (not counted)",
            translate,
            1,
        ),
        ("code, bytes per unit of size", bytes, 1),
        ("run of the bench line, ms", run, 2),
    ];
    for (title, pick, digits) in parts {
        let any = |engine: &usize| {
            comparisons
                .iter()
                .any(|comparison| figure(comparison, *engine, pick).is_some())
        };
        let engines: Vec<usize> = (0..names.len()).filter(any).collect();
        if engines.is_empty() {
            continue;
        }
        let _ = write!(text, "{title}\n{:<20} {:>8}", "program", "size");
        for &engine in &engines {
            let _ = write!(text, " {:>26}", names[engine]);
        }
        text.push('\n');
        let row = |text: &mut String, figure: Option<f64>| {
            let _ = match figure {
                Some(figure) => write!(text, " {figure:>26.digits$}"),
                None => write!(text, " {:>26}", "-"),
            };
        };
        for comparison in comparisons {
            let _ = write!(text, "{:<20} {:>8}", comparison.program, comparison.size);
            for &engine in &engines {
                row(&mut text, figure(comparison, engine, pick));
            }
            text.push('\n');
        }
        let _ = write!(text, "{:<20} {:>8}", "geomean", "");
        for &engine in &engines {
            let figures = comparisons.iter();
            let figures = figures.filter_map(|comparison| figure(comparison, engine, pick));
            row(&mut text, geomean(figures));
        }
        text.push_str("\n\n");
    }
    for (what, ratio, count) in ratios(names, comparisons) {
        let _ = writeln!(text, "{what:<55} {ratio:>8.2}x ({count} programs)");
    }
    let kept = |engine: usize| -> usize {
        let figures = comparisons
            .iter()
            .map(|comparison| &comparison.figures[engine]);
        figures.flatten().map(|figures| figures.kept).sum()
    };
    for (engine, name) in names.iter().enumerate() {
        let _ = writeln!(text, "{name}: {} promises kept", kept(engine));
    }
    for comparison in comparisons {
        for (name, figures) in names.iter().zip(&comparison.figures) {
            if let Err(error) = figures {
                let _ = writeln!(text, "WRONG: {} with {name}: {error}", comparison.program);
            }
        }
    }
    text
}

/// Everything as JSON: one object.
pub fn json(names: &[String], comparisons: &[Comparison]) -> Value {
    let of_engine = |figures: &Result<Figures, String>| match figures {
        Ok(figures) => json!({
            "compile_ns": figures.compile.map(nanoseconds),
            "translate_ns": figures.translate.map(nanoseconds),
            "code_bytes": figures.code_bytes,
            "run_ms": figures.run.map(|time| nanoseconds(time) / 1e6),
            "promises": figures.kept,
        }),
        Err(error) => json!({ "error": error }),
    };
    let of_program = |comparison: &Comparison| {
        let engines = names.iter().zip(&comparison.figures);
        let engines: Map<String, Value> = engines
            .map(|(name, figures)| (name.clone(), of_engine(figures)))
            .collect();
        json!({ "program": comparison.program, "size": comparison.size, "engines": engines })
    };
    let ratios: Map<String, Value> = ratios(names, comparisons)
        .into_iter()
        .map(|(what, ratio, _)| (what.to_owned(), json!(ratio)))
        .collect();
    json!({
        "programs": comparisons.iter().map(of_program).collect::<Vec<_>>(),
        "ratios": ratios,
    })
}
