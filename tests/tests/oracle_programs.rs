//! Every program's promises, on the oracle and on the plain reference, with and without fuel.

use patchjit::runtime::Status;
use patchjit::types::Type;
use patchjit_tests::machine::Machine;
use patchjit_tests::{oracle, reference};
use patchjit_text::{Module, Outcome};
use std::path::Path;

fn same(types: &[Type], a: &[u64], b: &[u64]) -> bool {
    a.len() == b.len()
        && types
            .iter()
            .zip(a.iter().zip(b))
            .all(|(ty, (&a, &b))| match ty {
                Type::F32 => {
                    a == b || f32::from_bits(a as u32).is_nan() && f32::from_bits(b as u32).is_nan()
                }
                Type::F64 => a == b || f64::from_bits(a).is_nan() && f64::from_bits(b).is_nan(),
                _ => a == b,
            })
}

fn keeps_its_promises(name: &str, module: &Module) -> usize {
    let program = module.program();
    for promise in &module.promises {
        let what = format!("{name}:{}", promise.place.line);
        for charge_fuel in [false, true] {
            let mut machine = Machine::new(module);
            machine.fuel = 1_000_000_000;
            let mut plain = machine.clone();
            let ran = oracle::run(
                &program,
                &mut machine,
                promise.function,
                &promise.arguments,
                charge_fuel,
            )
            .unwrap_or_else(|error| panic!("{what}: {error}"));
            let slots = |expected: &[(u32, u64)]| {
                expected
                    .iter()
                    .all(|&(slot, value)| machine.slots[slot as usize] == value)
            };
            let signature = program.functions[promise.function as usize].signature;
            let types = program.results(signature);
            let kept = match &promise.outcome {
                Outcome::Returns(values) => {
                    ran.status == Status::Returned && same(types, &ran.results, values)
                }
                Outcome::Exits(number, expected) => {
                    ran.status == Status::Deoptimized
                        && ran.exit_number == *number
                        && slots(expected)
                }
                Outcome::Traps(number, expected) => {
                    ran.status == Status::Trapped && ran.exit_number == *number && slots(expected)
                }
                Outcome::TooDeep => ran.status == Status::TooDeep,
                Outcome::OutOfFuel => ran.status == Status::OutOfFuel || !charge_fuel,
            };
            assert!(kept, "{what}: {ran:?}");
            let Some(mut walked) = reference::run(
                &program,
                &mut plain,
                promise.function,
                &promise.arguments,
                charge_fuel,
                20_000_000,
            ) else {
                continue;
            };
            walked.ops = 0;
            assert_eq!(ran, walked, "{what}");
            assert_eq!(machine.slots, plain.slots, "{what}");
            assert!(machine.memory() == plain.memory(), "{what}: regions differ");
        }
    }
    module.promises.len()
}

#[test]
fn programs_keep_their_promises() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("programs");
    let mut promises = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "uop") {
            continue;
        }
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let source = std::fs::read_to_string(&path).unwrap();
        let module = patchjit_text::parse(&source).unwrap_or_else(|error| panic!("{name}:{error}"));
        promises += keeps_its_promises(&name, &module);
    }
    assert!(promises > 20, "only {promises} promises found");
}
