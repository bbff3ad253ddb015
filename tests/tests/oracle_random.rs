//! The oracle against the plain reference on random programs.

use patchjit::ir::Program;
use patchjit_tests::machine::Machine;
use patchjit_tests::random::{self, Random};
use patchjit_tests::{oracle, reference, synthetic, tangle};
use std::collections::BTreeMap;

fn agree(
    what: &str,
    program: &Program<'_>,
    machine: &Machine,
    function: u32,
    arguments: &[u64],
) -> patchjit::runtime::Status {
    let (mut machine, mut plain) = (machine.clone(), machine.clone());
    let walked = reference::run(program, &mut plain, function, arguments, true, 10_000_000);
    let mut walked = walked.unwrap_or_else(|| panic!("{what} takes too long"));
    let ran = oracle::run(program, &mut machine, function, arguments, true)
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    walked.ops = 0;
    assert_eq!(ran, walked, "{what}: oracle on the left");
    assert_eq!(machine.slots, plain.slots, "{what}");
    assert_eq!(machine.memory(), plain.memory(), "{what}");
    ran.status
}

#[test]
fn tangled_programs() {
    let seeds = random::seeds(0..1000);
    let mut ends = BTreeMap::new();
    for seed in seeds {
        let assembly = tangle::tangle(seed);
        let program = assembly.program();
        let mut random = Random::new(!seed);
        let mut machine = Machine::for_program(&program, &tangle::HOSTS);
        for function in 0..program.functions.len() as u32 {
            for _ in 0..3 {
                machine.fuel = *random.pick(&[0, 1, 5, 100, 1000]);
                machine.depth = *random.pick(&[0, 1, 2, 10, 50]);
                let arguments = [random.bits() % 8, random.bits(), random.bits() % 3];
                let what = format!("seed {seed}, function {function}, {arguments:?}, {machine:?}");
                let status = agree(&what, &program, &machine, function, &arguments);
                *ends.entry(status as u32).or_insert(0) += 1;
            }
        }
    }
    assert_eq!(ends.len(), 5, "every way to end is met: {ends:?}");
    assert!(ends.values().all(|&met| met > 30), "{ends:?}");
}

#[test]
fn synthetic_programs() {
    for seed in 0..60 {
        let assembly = synthetic::many_functions(1500, seed);
        let program = assembly.program();
        let mut random = Random::new(seed);
        let mut machine = Machine::for_program(&program, &[]);
        machine.fuel = 20_000;
        for function in 0..program.functions.len() as u32 {
            let arguments = [
                random.bits() % 1000,
                random.bits(),
                (random.below(100) as f64).to_bits(),
            ];
            let what = format!("seed {seed}, function {function}");
            agree(&what, &program, &machine, function, &arguments);
        }
    }
    for generator in synthetic::GENERATORS {
        let assembly = (generator.make)(3000);
        let program = assembly.program();
        let mut machine = Machine::for_program(&program, &[]);
        machine.fuel = 20_000;
        let last = program.functions.len() as u32 - 1;
        let count = program.parameters(program.functions[last as usize].signature);
        agree(
            generator.name,
            &program,
            &machine,
            last,
            &vec![3; count.len()],
        );
    }
}
