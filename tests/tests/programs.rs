//! Every program in `programs/` is well formed, prints and reads back as itself, and says of itself what the others
//! rely on: where its answers come from, promises, one bench size.

use patchjit::compile;
use patchjit::ir::Region;
use patchjit::runtime::Status;
use patchjit::verify;
use patchjit_tests::machine::Machine;
use patchjit_tests::oracle;
use patchjit_tests::programs::{module, names, source};
use patchjit_text::{Contents, Module, Outcome, Promise};

/// What makes up a program and its promises, without places in the source; region contents as the bytes that they
/// make, since the printer breaks long lists.
fn content(module: &Module) -> String {
    let promise = |promise: &Promise| {
        format!(
            "{} {:?} {:?}",
            promise.function, promise.arguments, promise.outcome
        )
    };
    let memory = |(index, region): (usize, &Region)| {
        let end = |contents: &Contents| contents.offset + contents.bytes.len() as u64;
        let of_region = |contents: &&Contents| contents.region == index as u32;
        let parts = module.contents.iter().filter(of_region);
        let filled = parts.map(end).max().unwrap_or(0);
        assert!(filled <= region.size);
        let mut bytes = vec![0; filled as usize];
        module.fill_region(index as u32, &mut bytes);
        bytes
    };
    format!(
        "{:?} {:?} {:?} {:?}",
        module.program(),
        module
            .regions
            .iter()
            .enumerate()
            .map(memory)
            .collect::<Vec<_>>(),
        module.promises.iter().map(promise).collect::<Vec<_>>(),
        module.bench.as_ref().map(promise),
    )
}

#[test]
fn there_are_enough_of_them() {
    let names = names();
    assert!(names.len() >= 22, "{names:?}");
    for name in ["sha256", "nbody", "quicksort", "fib"] {
        assert!(names.iter().any(|known| known == name), "{name}");
    }
    let large = |name: &str| {
        let module = module(name);
        let counts = module.functions.iter().map(|function| function.op_count);
        counts.max().unwrap_or(0)
    };
    for name in ["large_sha256", "large_network", "large_tree"] {
        assert!(large(name) >= 10_000, "{name}: {} ops", large(name));
    }
}

#[test]
fn every_program_says_where_its_answers_come_from() {
    for name in names() {
        let source = source(&name);
        let mut head = source.lines().take_while(|line| line.starts_with(';'));
        assert!(
            head.any(|line| line.starts_with("; Answer: ")),
            "{name}: no answer's source"
        );
        let module = module(&name);
        assert!(!module.promises.is_empty(), "{name}: no promise");
        assert!(module.bench.is_some(), "{name}: no bench size");
        let lines = source.lines();
        let benches = lines.filter(|line| line.starts_with("; bench:")).count();
        assert_eq!(benches, 1, "{name}");
    }
}

#[test]
fn every_program_reads_back_as_printed() {
    for name in names() {
        let module = module(&name);
        let printed = module.to_string();
        let again =
            patchjit_text::parse(&printed).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(
            content(&module) == content(&again),
            "{name} reads back as another"
        );
        assert!(printed == again.to_string(), "{name} prints differently");
        let bare = patchjit_text::print(&module.program(), None);
        let nameless =
            patchjit_text::parse(&bare).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(
            format!("{:?}", module.program()) == format!("{:?}", nameless.program()),
            "{name} without names reads back as another"
        );
    }
}

#[test]
fn every_program_is_valid_and_contained() {
    for name in names() {
        let module = module(&name);
        let program = module.program();
        let mut workspace = vec![0; verify::workspace_words(&program)];
        let verified = verify::verify(program, &mut workspace)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(verified.is_contained(), "{name}");
    }
}

/// The `; run:` lines are held by `oracle_programs.rs`; the `; bench:` lines are too long for a debug build.
#[test]
#[cfg_attr(debug_assertions, ignore = "takes minutes without optimisation")]
fn every_bench_size_gives_what_it_promises() {
    for name in names() {
        let module = module(&name);
        let bench = module.bench.as_ref().expect("a bench line");
        let mut machine = Machine::new(&module);
        machine.depth = 10_000;
        let ran = oracle::run(
            &module.program(),
            &mut machine,
            bench.function,
            &bench.arguments,
            false,
        )
        .unwrap_or_else(|error| panic!("{name}: {error}"));
        let kept = match &bench.outcome {
            Outcome::Returns(values) => ran.status == Status::Returned && ran.results == *values,
            Outcome::Exits(number, slots) => {
                ran.status == Status::Deoptimized
                    && ran.exit_number == *number
                    && slots
                        .iter()
                        .all(|&(slot, value)| machine.slots[slot as usize] == value)
            }
            other => panic!("{name}: a bench that promises {other:?}"),
        };
        assert!(kept, "{name}: {ran:?}");
    }
}

#[test]
fn the_promises_cover_every_way_to_end() {
    let promises: Vec<Promise> = names()
        .iter()
        .flat_map(|name| module(name).promises)
        .collect();
    let count = |kind: fn(&Outcome) -> bool| promises.iter().filter(|p| kind(&p.outcome)).count();
    assert!(count(|outcome| matches!(outcome, Outcome::Returns(_))) > 80);
    assert!(count(|outcome| matches!(outcome, Outcome::Exits(..))) > 8);
    assert!(count(|outcome| matches!(outcome, Outcome::Traps(..))) > 8);
    assert!(count(|outcome| matches!(outcome, Outcome::TooDeep)) > 0);
}

/// What the front page says of the compiler's workspace.
#[test]
fn compiling_takes_no_more_than_128_bytes_an_op() {
    for name in names() {
        let module = module(&name);
        let program = module.program();
        let mut words = vec![0; verify::workspace_words(&program)];
        let verified = verify::verify(program, &mut words).expect("a valid program");
        let bytes = 4 * compile::workspace_words(&verified);
        let ops = program.ops.len();
        assert!(bytes <= 128 * ops, "{name}: {bytes} bytes for {ops} ops");
    }
}
