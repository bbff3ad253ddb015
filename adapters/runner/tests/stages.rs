//! What `explain` shows, held against the programs and their code.

use patchjit::code::CodeBuffer;
use patchjit::compile::{Event, FunctionCode, Options, References};
use patchjit::ops::Opcode;
use patchjit_cli::engine::Compilation;
use patchjit_cli::module::Module;
use patchjit_cli::stages::ranges::Place;
use patchjit_cli::stages::stencils::{Owner, Serves, owners};
use patchjit_cli::stages::{Events, Stages};
use patchjit_stencils::X86_64_SYSV as SET;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

fn programs() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/programs");
    let entries = std::fs::read_dir(folder).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "uop"));
    paths.sort();
    assert!(paths.len() >= 20);
    paths
}

/// Compiles and tells what became of it.
fn each(mut look: impl FnMut(&Module, &[Event], &Stages, &[u8])) {
    for path in programs() {
        let module = Module::load(&path).unwrap();
        let mut storage = Vec::new();
        let verified = module.verify(&mut storage).unwrap();
        let mut compilation = Compilation::new(verified, &SET, Options::default());
        let mut code = vec![0; compilation.code_bytes()];
        let mut events = Events::default();
        let buffer = CodeBuffer {
            write: &mut code,
            execute_at: 0,
        };
        let compiled = compilation.compile_observed(buffer, &mut events).unwrap();
        code.truncate(compiled.code_length as usize);
        let functions: Vec<FunctionCode> = compilation.functions().to_vec();
        let stages = Stages::of(
            &module.program(),
            &SET,
            &events.0,
            &functions,
            &References::default(),
        );
        look(&module, &events.0, &stages, &code);
    }
}

#[test]
fn spans_are_disjoint_and_within_their_range() {
    each(|module, _, stages, _| {
        for range in stages
            .functions
            .iter()
            .flat_map(|function| &function.values)
        {
            let mut at = range.from;
            for span in &range.spans {
                assert!(
                    span.from >= at && span.to > span.from,
                    "{range:?} {:?}",
                    module.bench().map(|bench| &bench.text)
                );
                at = span.to;
            }
            assert!(at <= range.to + 1, "{range:?}");
            assert!(range.uses.is_sorted());
        }
    });
}

/// What an op reads from a register is in some register just then, or on its way to a host function.
#[test]
fn what_is_read_is_in_a_register() {
    let mut read = 0;
    each(|module, events, stages, _| {
        let functions = events
            .split(|event| matches!(event, Event::Function { .. }))
            .skip(1);
        for (function, events) in stages.functions.iter().zip(functions) {
            let ops = function.ops.iter().copied().zip(0..);
            let positions: HashMap<u32, u32> = ops.collect();
            let ranges = function.values.iter();
            let ranges: HashMap<_, _> = ranges.map(|range| (range.value, range)).collect();
            let mut in_edge = false;
            for event in events {
                match *event {
                    Event::Edge { .. } => in_edge = true,
                    Event::EdgeEnd => in_edge = false,
                    Event::Use { op, value, .. } if !in_edge => {
                        let Some(range) = ranges.get(&value) else {
                            continue;
                        };
                        let moment = 2 * positions[&op];
                        let mut spans = range.spans.iter();
                        let now = spans.find(|span| span.from <= moment && moment < span.to);
                        let now = now.unwrap_or_else(|| panic!("op {op}, {moment}: {range:?}"));
                        let host = module.program().ops[op as usize].code == Opcode::CallHost;
                        let register = matches!(now.place, Place::Register(_));
                        assert!(register || host, "op {op}, {moment}: {range:?}");
                        read += 1;
                    }
                    _ => {}
                }
            }
        }
    });
    assert!(read > 10_000);
}

/// Stencils stand one behind the other, and what nobody owns in them is as in their templates.
#[test]
fn stencils_are_the_code() {
    let mut exits = 0;
    each(|module, _, stages, code| {
        for function in &stages.functions {
            let mut at = function.code.entry;
            for stencil in &function.stencils {
                assert_eq!(stencil.at, at, "{module:?}");
                at = stencil.end();
                let template = SET.fill(stencil.template, [0; 4]);
                let bytes = &code[stencil.at as usize..at as usize];
                let owners = owners(&SET, stencil.template);
                for ((byte, template), owners) in bytes.iter().zip(template).zip(owners) {
                    for (bit, owner) in owners.into_iter().enumerate() {
                        let differs = (byte ^ template) >> (7 - bit) & 1 != 0;
                        assert!(!differs || owner != Owner::Fixed, "{stencil:?}");
                    }
                }
                if let Some(target) = stencil.target(&SET, code) {
                    assert!(target as usize <= code.len());
                }
                exits += usize::from(matches!(stencil.serves, Serves::Stub(_)));
            }
            assert_eq!(at, function.code.data);
        }
    });
    assert!(exits > 100);
}
