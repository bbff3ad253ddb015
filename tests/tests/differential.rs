//! Compiled code against the oracle, on random programs; and compilation in storage of every size.
//!
//! `PATCHJIT_SEEDS=START..END` tries other seeds, best in release; a seed that fails is made smaller and printed. While
//! that variable is set, the seed at hand stands in `target/differential.seed`, should its code end the process.

use patchjit::compile::{self, Compiled};
use patchjit::error::{Error, Storage};
use patchjit::ops::Opcode;
use patchjit::optimize::{self, Pass, Passes};
use patchjit::verify;
use patchjit_tests::arbitrary::compile_in;
use patchjit_tests::differential::{Laboratory, Summary};
use patchjit_tests::generate::generate;
use patchjit_tests::{programs, random, reduce, tangle};
use patchjit_text::Module;
use std::collections::HashSet;

/// What makes two failures alike: their text without numbers.
fn kind(what: &str) -> String {
    let what = what.rsplit("interrupt").next().unwrap_or(what);
    let words = what.split([' ', ':']).take(6);
    words
        .filter(|word| !word.contains(|c: char| c.is_ascii_digit()))
        .collect::<Vec<_>>()
        .join(" ")
}

/// Reduces the program of a seed that fails, and prints it.
fn report(laboratory: &mut Laboratory, seed: u64, what: &str) -> String {
    let wanted = kind(what);
    let mut last = what.to_string();
    let reduced = reduce::reduce(generate(seed), &mut |draft| match laboratory
        .check(&draft.module(), seed)
    {
        Err(what) if !what.starts_with("does not verify") && kind(&what) == wanted => {
            last = what;
            true
        }
        _ => false,
    });
    let module = reduced.module();
    let text = patchjit_text::print(&module.program(), Some(&module.names));
    format!("seed {seed}: {what}\n; reduced: {last}\n{text}")
}

fn on_a_large_stack<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::Builder::new()
        .stack_size(64 << 20)
        .spawn(run)
        .expect("a thread")
        .join()
        .expect("no panic")
}

#[test]
fn random_programs() {
    let chosen = std::env::var_os("PATCHJIT_SEEDS").is_some();
    let note = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/differential.seed");
    let (summary, failures) = on_a_large_stack(move || {
        let mut laboratory = Laboratory::new().expect("executable memory");
        let mut summary = Summary::default();
        let mut failures = Vec::new();
        for seed in random::seeds(0..200) {
            if chosen {
                let _ = std::fs::write(note, seed.to_string());
            }
            match laboratory.check(&generate(seed).module(), seed) {
                Ok(found) => summary.add(&found),
                Err(what) => failures.push(report(&mut laboratory, seed, &what)),
            }
            if failures.len() >= 5 {
                break;
            }
        }
        (summary, failures)
    });
    println!("{summary:?}");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    // The generator makes programs that end in every way.
    let ends = summary.ends.iter().all(|&count| count > 20);
    assert!(chosen || ends, "{summary:?}");
}

#[test]
fn tangled_programs() {
    on_a_large_stack(|| {
        let mut laboratory = Laboratory::new().expect("executable memory");
        for seed in random::seeds(0..200) {
            let assembly = tangle::tangle(seed);
            let program = assembly.program();
            let mut module = Module::default();
            module.functions = program.functions.to_vec();
            module.blocks = program.blocks.to_vec();
            module.ops = program.ops.to_vec();
            module.extra = program.extra.to_vec();
            module.exits = program.exits.to_vec();
            module.signatures = program.signatures.to_vec();
            module.types = program.types.to_vec();
            module.regions = program.regions.to_vec();
            module.hosts = program.hosts.to_vec();
            module.slot_count = program.slot_count;
            module.names.hosts = tangle::HOSTS.map(str::to_string).to_vec();
            if let Err(what) = laboratory.check(&module, seed) {
                let text = patchjit_text::print(&module.program(), Some(&module.names));
                panic!("tangle {seed}: {what}\n{text}");
            }
        }
    });
}

#[test]
fn programs_that_once_failed() {
    on_a_large_stack(|| {
        let mut laboratory = Laboratory::new().expect("executable memory");
        for (name, module) in programs::once_failed() {
            for seed in 0..20 {
                if let Err(what) = laboratory.check(&module, seed) {
                    panic!("{name}: {what}");
                }
            }
        }
    });
}

#[test]
fn storage_of_every_size() {
    let mut tried = 0;
    for seed in 0.. {
        let module = generate(seed).module();
        if module.ops.len() > 90 {
            continue;
        }
        let program = module.program();
        let mut words = vec![0; verify::workspace_words(&program)];
        let verified = verify::verify(program, &mut words).expect("a valid program");
        let workspace = compile::workspace_words(&verified);
        let room = compile::code_bytes(&verified);
        let (compiled, code) =
            compile_in(&verified, workspace, room, 0).expect("what is said to suffice");
        let check = |result: Result<(Compiled, Vec<u8>), Error>, storage: Storage| match result {
            Ok(found) => assert_eq!(found, (compiled, code.clone()), "seed {seed}"),
            Err(Error::Full {
                storage: full,
                needed,
            }) => {
                assert_eq!(full, storage, "seed {seed}");
                let enough = match storage {
                    Storage::Workspace => compile_in(&verified, needed, room, 7),
                    _ => compile_in(&verified, workspace, needed, 7),
                };
                assert_eq!(enough, Ok((compiled, code.clone())), "seed {seed}");
            }
            Err(other) => panic!("seed {seed}: {other}"),
        };
        let step = workspace / 300 + 1;
        for words in (0..workspace + 2).step_by(step) {
            check(compile_in(&verified, words, room, !0), Storage::Workspace);
        }
        let most = (compiled.code_length as usize + 600).min(room);
        let step = most / 1000 + 1;
        for bytes in (0..most).step_by(step) {
            let result = compile_in(&verified, workspace, bytes, 0xdead_beef);
            // What is needed is checked once in a while: it is always the same.
            match result {
                Err(Error::Full { storage, .. }) if bytes % 64 != 0 => {
                    assert_eq!(storage, Storage::Code, "seed {seed}, {bytes} bytes");
                }
                result => check(result, Storage::Code),
            }
        }
        tried += 1;
        if tried == 12 {
            break;
        }
    }
}

#[test]
fn the_generator_uses_every_op() {
    let mut missing: HashSet<Opcode> = Opcode::all().collect();
    for seed in 0..2000 {
        let module = generate(seed).module();
        for op in &module.ops {
            missing.remove(&op.code);
        }
        if missing.is_empty() {
            return;
        }
    }
    panic!("never made: {missing:?}");
}

#[test]
fn random_programs_survive_their_text() {
    for seed in 0..60 {
        let module = generate(seed).module();
        let text = patchjit_text::print(&module.program(), Some(&module.names));
        let again = patchjit_text::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let printed = patchjit_text::print(&again.program(), Some(&module.names));
        assert_eq!(printed, text, "seed {seed}");
        assert_eq!(again.ops.len(), module.ops.len(), "seed {seed}");
        assert_eq!(again.blocks, module.blocks, "seed {seed}");
    }
}

#[test]
fn passes_find_work_alone() {
    for pass in [
        Pass::Boxes,
        Pass::Unbox,
        Pass::Sink,
        Pass::Loads,
        Pass::Stores,
        Pass::Exits,
        Pass::Hoist,
    ] {
        let options = optimize::Options {
            passes: Passes::NONE.with(pass),
            fuel: None,
        };
        let mut steps = 0;
        for seed in 0..1000 {
            let module = generate(seed).module();
            let (_, report) = programs::optimized(&module, &options).expect("an optimized program");
            steps += report.count(pass);
            if steps >= 10 {
                break;
            }
        }
        assert!(steps >= 10, "{pass} makes {steps} steps in 1000 programs");
    }
}
