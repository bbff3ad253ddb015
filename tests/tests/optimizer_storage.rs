//! The optimizer in storage of every size: it gives the same program, or says which storage is too short.

use patchjit::build::{EMPTY_EXIT, EMPTY_OP, Storage};
use patchjit::error::Error;
use patchjit::ir::{Block, Function, HostFunction, NONE, Op, Region, Signature, Tag};
use patchjit::optimize::{self, Options};
use patchjit::types::Type;
use patchjit::verify::{self, Verified};
use patchjit_tests::generate::generate;
use patchjit_tests::synthetic::GENERATORS;

/// How long the slices are: words, ops, extra, exits, blocks, functions, and all others.
type Lengths = [usize; 7];

fn run(verified: &Verified, lengths: Lengths) -> Result<(Vec<Op>, Vec<u32>), Error> {
    let [words, ops, extra, exits, blocks, functions, others] = lengths;
    let mut words = vec![0xdead_beef; words];
    let (mut ops, mut extra) = (vec![EMPTY_OP; ops], vec![0x7777_7777; extra]);
    let (mut exits, mut blocks) = (vec![EMPTY_EXIT; exits], vec![Block::default(); blocks]);
    let mut functions = vec![Function::default(); functions];
    let (mut signatures, mut types) = (vec![Signature::default(); others], vec![Type::I32; others]);
    let mut regions = vec![Region::default(); others];
    let mut hosts = vec![HostFunction::default(); others];
    let mut tags = vec![Tag::default(); others];
    let mut positions = vec![NONE; ops.len()];
    let storage = Storage {
        functions: &mut functions,
        blocks: &mut blocks,
        ops: &mut ops,
        extra: &mut extra,
        exits: &mut exits,
        signatures: &mut signatures,
        types: &mut types,
        regions: &mut regions,
        hosts: &mut hosts,
        tags: &mut tags,
        positions: &mut positions,
    };
    let optimized = optimize::optimize(verified, &Options::default(), &mut words, storage)?;
    let program = optimized.program();
    Ok((program.ops.to_vec(), program.extra.to_vec()))
}

/// How long the slices have to be at most.
fn enough(verified: &Verified) -> Lengths {
    let counts = optimize::storage(verified);
    [
        optimize::words(verified),
        counts.ops,
        counts.extra,
        counts.exits,
        counts.blocks,
        counts.functions,
        counts
            .types
            .max(counts.signatures)
            .max(counts.regions)
            .max(counts.hosts)
            .max(counts.tags),
    ]
}

/// The index of a function is no value, and may be greater than what any function's values need.
#[test]
fn more_functions_than_values() {
    let mut text = String::new();
    for number in 0..5000 {
        text += &format!("func @f{number}() -> i64 {{\ne:\n    i = function.index @f4999\n");
        text += "    j = function.index @f4999\n    k = i64.add i, j\n    return k\n}\n";
    }
    let module = patchjit_text::parse(&text).expect("well formed");
    let program = module.program();
    let mut facts = vec![0; verify::workspace_words(&program)];
    let verified = verify::verify(program, &mut facts).expect("a valid program");
    let (ops, _) = run(&verified, enough(&verified)).expect("what is said to suffice");
    assert_eq!(ops.len(), 5000 * 3, "the second index is the first");
}

/// The kinds of large programs that compile time is measured on; many functions among them.
#[test]
fn large_programs() {
    for generator in GENERATORS {
        for size in [100, 5000] {
            let assembly = (generator.make)(size);
            let program = assembly.program();
            let mut facts = vec![0; verify::workspace_words(&program)];
            let verified = verify::verify(program, &mut facts).expect("a valid program");
            let (ops, _) = run(&verified, enough(&verified)).expect("what is said to suffice");
            assert!(!ops.is_empty(), "{}", generator.name);
        }
    }
}

#[test]
fn storage_of_every_size() {
    for seed in 0..6 {
        let module = generate(seed).module();
        let program = module.program();
        let mut facts = vec![0; verify::workspace_words(&program)];
        let verified = verify::verify(program, &mut facts).expect("a valid program");
        let enough = enough(&verified);
        let wanted = run(&verified, enough).expect("what is said to suffice");
        for which in 0..enough.len() {
            for length in (0..enough[which]).step_by(enough[which] / 50 + 1) {
                let mut lengths = enough;
                lengths[which] = length;
                match run(&verified, lengths) {
                    Ok(found) => assert_eq!(found, wanted, "seed {seed}"),
                    Err(Error::Full { .. }) => {}
                    Err(other) => panic!("seed {seed}, storage {which} of {length}: {other}"),
                }
            }
        }
    }
}
