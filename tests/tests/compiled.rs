//! Every program, compiled: its allocation is checked, its code is decoded, its promises are kept.

use patchjit::call;
use patchjit::code::CodeBuffer;
use patchjit::compile::{self, Compiled, FunctionCode, Options};
use patchjit::optimize;
use patchjit::runtime::Status;
use patchjit::verify;
use patchjit_cli::instance::{Content, Instance, Limits};
use patchjit_cli::value;
use patchjit_memory::Arena;
use patchjit_tests::allocation::Checker;
use patchjit_tests::differential::decode;
use patchjit_tests::host_set;
use patchjit_tests::programs;
use patchjit_tests::references::{self, MapStorage};
use patchjit_text::{Module, Outcome, Promise};

/// A program's code in memory that can be run.
struct Code {
    address: u64,
    functions: Vec<FunctionCode>,
    bytes: Vec<u8>,
    compiled: Compiled,
    _arena: Arena,
}

/// Compiles under the eyes of the checker.
fn compile(module: &Module) -> Result<Code, String> {
    let program = module.program();
    let mut words = vec![0; 1 << 24];
    let verified = verify::verify(program, &mut words).map_err(|e| e.to_string())?;
    let mut workspace = vec![0xdead_beef; compile::workspace_words(&verified)];
    let mut code = vec![0; compile::code_bytes(&verified)];
    let mut functions = vec![FunctionCode::default(); program.functions.len()];
    let mut checker = Checker::new(&program);
    let mut storage = MapStorage::new(&verified, 1 << 16);
    let mut maps = storage.observer(&verified);
    let compiled = compile::compile_observed(
        &verified,
        host_set(),
        &Options::default(),
        &mut workspace,
        CodeBuffer {
            write: &mut code,
            execute_at: 0,
        },
        &mut functions,
        &mut (&mut checker, &mut maps),
    )
    .map_err(|e| e.to_string())?;
    let references = maps.finish().map_err(|e| e.to_string())?;
    references::check(&program, &checker, &references)?;
    code.truncate(compiled.code_length as usize);
    let mut arena = Arena::new(code.len() + 4096).map_err(|e| e.to_string())?;
    let mut block = arena.reserve(code.len()).map_err(|e| e.to_string())?;
    let mut writing = arena.write(&mut block).map_err(|e| e.to_string())?;
    writing.buffer().write[..code.len()].copy_from_slice(&code);
    let address = writing.publish(code.len()).map_err(|e| e.to_string())?;
    Ok(Code {
        address,
        functions,
        bytes: code,
        compiled,
        _arena: arena,
    })
}

fn keep(module: &Module, code: &Code, promise: &Promise) -> Result<(), String> {
    let program = module.program();
    let contents: Vec<Content> = module
        .contents
        .iter()
        .map(|part| Content {
            region: part.region as usize,
            offset: part.offset,
            bytes: part.bytes.clone(),
        })
        .collect();
    let limits = Limits {
        fuel: None,
        depth: 20_000,
    };
    let mut instance = Instance::new(&program, &module.names.hosts, &contents, limits)?;
    let bodies = code
        .functions
        .iter()
        .map(|function| code.address + u64::from(function.body));
    instance.set_bodies(bodies);
    let mut context = instance.context();
    instance.follow(&raw mut context);
    let signature = program.functions[promise.function as usize].signature;
    let results = program.results(signature);
    let mut values = promise.arguments.clone();
    values.resize(promise.arguments.len().max(results.len()), 0);
    let entry = code.address + u64::from(code.functions[promise.function as usize].entry);
    // SAFETY: the code was compiled for this machine from this program, and the instance is bound for it; the thread
    // has the stack that the depth needs.
    let status = unsafe { call::enter(entry, &raw mut context, values.as_mut_ptr()) };
    let number = context.exit_number;
    let slots_hold = |wanted: &[(u32, u64)]| {
        wanted
            .iter()
            .all(|&(slot, bits)| value::keeps_word(instance.slots[slot as usize], bits))
    };
    let kept = match (&promise.outcome, status) {
        (Outcome::Returns(wanted), Status::Returned) => wanted
            .iter()
            .zip(&values)
            .zip(results)
            .all(|((&wanted, &got), &ty)| value::same(ty, wanted, got)),
        (Outcome::Exits(exit, slots), Status::Deoptimized)
        | (Outcome::Traps(exit, slots), Status::Trapped) => *exit == number && slots_hold(slots),
        (Outcome::TooDeep, Status::TooDeep) | (Outcome::OutOfFuel, Status::OutOfFuel) => true,
        _ => false,
    };
    if kept {
        return Ok(());
    }
    let line = promise.place.line;
    Err(format!(
        "line {line}: wanted {:x?}, got {status:?} {values:x?}, exit {number}, slots {:x?}",
        promise.outcome, instance.slots
    ))
}

#[test]
fn code_is_traced_back_to_its_ops_and_positions() {
    let source = "func @f(a: i64, b: i64) -> i64 {\nentry:\n    c = i64.add a, b !70\n    d = i64.mul c, b !80\n    \
                  return d\n}\n";
    let module = patchjit_text::parse(source).expect("a program");
    let program = module.program();
    let mut words = vec![0; verify::workspace_words(&program)];
    let verified = verify::verify(program, &mut words).expect("a valid program");
    let mut workspace = vec![0; compile::workspace_words(&verified)];
    let mut code = vec![0; compile::code_bytes(&verified)];
    let mut functions = [FunctionCode::default()];
    let mut entries = [compile::CodePosition::default(); 32];
    let mut positions = compile::Positions::new(&mut entries);
    let buffer = CodeBuffer {
        write: &mut code,
        execute_at: 0,
    };
    let options = Options::default();
    compile::compile_observed(
        &verified,
        host_set(),
        &options,
        &mut workspace,
        buffer,
        &mut functions,
        &mut positions,
    )
    .expect("code");
    let known = positions.entries().expect("room enough").to_vec();
    assert!(known.windows(2).all(|pair| pair[0].offset < pair[1].offset));
    for (op, position) in [(2, 70), (3, 80)] {
        let entry = known
            .iter()
            .find(|entry| entry.op == op)
            .expect("code for the op");
        assert_eq!(positions.op_at(entry.offset), Some(op));
        assert_eq!(
            positions.position_at(&program, entry.offset),
            Some(position)
        );
    }
    assert_eq!(positions.op_at(functions[0].end - 1), Some(4));
    let mut none = [];
    let mut small = compile::Positions::new(&mut none);
    compile::compile_observed(
        &verified,
        host_set(),
        &options,
        &mut workspace,
        CodeBuffer {
            write: &mut code,
            execute_at: 0,
        },
        &mut functions,
        &mut small,
    )
    .expect("code");
    let needed = known.len();
    let full = patchjit::error::Error::Full {
        storage: patchjit::error::Storage::Positions,
        needed,
    };
    assert_eq!(small.entries(), Err(full));
}

#[test]
fn every_program_keeps_its_promises() {
    let run = || {
        let mut failures = Vec::new();
        let programs = programs::names().into_iter().map(|name| {
            let module = programs::module(&name);
            (name, module)
        });
        let programs = programs
            .chain(programs::once_failed())
            .flat_map(|(name, module)| {
                let options = optimize::Options::default();
                let (optimized, _) = programs::optimized(&module, &options)
                    .unwrap_or_else(|what| panic!("{name}: {what}"));
                [
                    (name.clone(), module),
                    (format!("{name}, optimized"), optimized),
                ]
            });
        for (name, module) in programs {
            let code = match compile(&module) {
                Ok(code) => code,
                Err(what) => {
                    failures.push(format!("{name}: {what}"));
                    continue;
                }
            };
            assert!(code.compiled.frame_bytes >= 8);
            if let Err(what) = decode(&code.functions, &code.bytes) {
                failures.push(format!("{name}: {what}"));
            }
            for promise in &module.promises {
                if let Err(what) = keep(&module, &code, promise) {
                    failures.push(format!("{name}: {what}"));
                }
            }
        }
        failures
    };
    let thread = std::thread::Builder::new()
        .stack_size(256 << 20)
        .spawn(run)
        .expect("a thread");
    let failures = thread.join().expect("no panic");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
