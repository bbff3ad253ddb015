//! How fast the oracle is: `cargo run --release -p patchjit-tests --example oracle_speed [NAME...]`.
//!
//! Runs each program's `; bench:` line, the best of three, and prints the time for each op of the IR
//! (parameters and terminators included), counted by the plain reference where that does not take too long, and
//! the time that decoding takes. With `--decode`, only how long large made-up programs take to decode.

use patchjit::interp::{self, Options};
use patchjit::verify;
use patchjit_tests::machine::Machine;
use patchjit_tests::{reference, synthetic};
use std::time::Instant;

const MOST_OPS: u64 = 400_000_000;

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    if wanted.first().is_some_and(|first| first == "--decode") {
        return decoding();
    }
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/programs");
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "uop"));
    paths.sort();
    println!(
        "{:16} {:>10} {:>12} {:>8} {:>12} {:>12}",
        "program", "ms", "ops", "ns/op", "decode ns/op", "words/op"
    );
    let (mut product, mut count) = (0.0, 0);
    for path in paths {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if !wanted.is_empty() && !wanted.contains(&name) {
            continue;
        }
        let Ok(source) = std::fs::read_to_string(&path) else {
            continue;
        };
        let module = patchjit_text::parse(&source).unwrap_or_else(|error| panic!("{name}:{error}"));
        let Some(bench) = &module.bench else {
            continue;
        };
        let program = module.program();
        let mut facts = vec![0; verify::workspace_words(&program)];
        let verified = verify::verify(program, &mut facts).unwrap();
        let mut workspace = vec![0; interp::workspace_words(&verified)];
        let begun = Instant::now();
        for _ in 0..100 {
            interp::decode(&verified, &mut workspace).unwrap();
        }
        let decoding = begun.elapsed().as_secs_f64() / 100.0 / module.ops.len() as f64;
        let decoded = interp::decode(&verified, &mut workspace).unwrap();
        let mut stack = vec![0u64; 1 << 22];
        let mut best = f64::INFINITY;
        for _ in 0..3 {
            let mut machine = Machine::new(&module);
            machine.depth = 10_000;
            let mut context = machine.context();
            let mut values = bench.arguments.clone();
            values.resize(values.len().max(8), 0);
            let begun = Instant::now();
            // SAFETY: the machine binds what the program declares, and its hosts return.
            let outcome = unsafe {
                decoded.run(
                    bench.function,
                    &raw mut context,
                    &mut values,
                    &mut stack,
                    Options::default(),
                )
            };
            best = best.min(begun.elapsed().as_secs_f64());
            outcome.unwrap();
        }
        let mut machine = Machine::new(&module);
        machine.depth = 10_000;
        let walked = reference::run(
            &program,
            &mut machine,
            bench.function,
            &bench.arguments,
            false,
            MOST_OPS,
        );
        let words = decoded.code_words() as f64 / module.ops.len() as f64;
        let (ops, each) = match walked {
            Some(run) => {
                let each = best * 1e9 / run.ops as f64;
                product += each.ln();
                count += 1;
                (run.ops.to_string(), format!("{each:.2}"))
            }
            None => ("many".to_string(), "-".to_string()),
        };
        println!(
            "{name:16} {:10.1} {ops:>12} {each:>8} {:12.1} {words:12.1}",
            best * 1e3,
            decoding * 1e9
        );
    }
    println!("geomean {:.3} ns/op", (product / f64::from(count)).exp());
}

/// The time and the words of decoding, for each unit of size.
fn decoding() {
    println!("{:20} {:>9} {:>9} {:>9}", "program", "size", "ns", "words");
    for generator in synthetic::GENERATORS {
        for size in [2_000, 20_000, 200_000] {
            let assembly = (generator.make)(size);
            let program = assembly.program();
            let mut facts = vec![0; verify::workspace_words(&program)];
            let verified = verify::verify(program, &mut facts).unwrap();
            let words = interp::workspace_words(&verified);
            let mut workspace = vec![0; words];
            let mut best = f64::INFINITY;
            for _ in 0..10 {
                let begun = Instant::now();
                interp::decode(&verified, &mut workspace).unwrap();
                best = best.min(begun.elapsed().as_secs_f64());
            }
            let size = verified.size() as f64;
            println!(
                "{:20} {size:9} {:9.1} {:9.1}",
                generator.name,
                best * 1e9 / size,
                words as f64 / size
            );
        }
    }
}
