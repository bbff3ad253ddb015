//! The code of every program for every target, by its digest: the same bytes on every host, from every build.
//!
//! `BLESS=1 cargo test -p patchjit-tests --test digests` rewrites `digests.txt`, which shows in a change what programs' code it
//! touches.

use patchjit::code::CodeBuffer;
use patchjit::compile::Options;
use patchjit::optimize;
use patchjit::stencil::StencilSet;
use patchjit::verify;
use patchjit_cli::engine::Compilation;
use patchjit_tests::programs;
use patchjit_text::Module;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;

fn code(module: &Module, set: &'static StencilSet) -> Vec<u8> {
    let program = module.program();
    let mut facts = vec![0; verify::workspace_words(&program)];
    let verified = verify::verify(program, &mut facts).expect("a valid program");
    let options = Options {
        fuel: true,
        ..Options::default()
    };
    let mut compilation = Compilation::new(verified, set, options);
    let mut code = vec![0; compilation.code_bytes()];
    let buffer = CodeBuffer {
        write: &mut code,
        execute_at: 0,
    };
    let (compiled, _) = compilation.compile(buffer).expect("code for every target");
    code.truncate(compiled.code_length as usize);
    code
}

/// A line for each program, target and level of optimization: length and digest. Targets that share their tables have the
/// same code.
fn digests() -> String {
    let mut text = String::new();
    let mut sets = patchjit_stencils::ALL.to_vec();
    sets.dedup_by_key(|set| set.digest);
    for name in programs::names() {
        let module = programs::module(&name);
        let options = optimize::Options::default();
        let optimized = programs::optimized(&module, &options)
            .expect("it is optimized")
            .0;
        for &set in &sets {
            for (level, module) in [("none", &module), ("full", &optimized)] {
                let code = code(module, set);
                let digest = Sha256::digest(&code);
                let _ = writeln!(
                    text,
                    "{name} {} {level} {} {digest:x}",
                    set.target,
                    code.len()
                );
            }
        }
    }
    text
}

#[test]
fn code_has_the_digests_that_are_committed() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/digests.txt");
    let found = digests();
    if std::env::var_os("BLESS").is_some_and(|value| value == "1") {
        std::fs::write(path, found).expect("a folder that can be written");
        return;
    }
    let committed = std::fs::read_to_string(path).expect("the committed digests");
    let differ: Vec<&str> = found
        .lines()
        .filter(|line| !committed.lines().any(|one| one == *line))
        .collect();
    assert!(
        differ.is_empty(),
        "new:\n{}\nBLESS=1 accepts them",
        differ.join("\n")
    );
    assert_eq!(found, committed, "programs are gone: BLESS=1 accepts that");
}
