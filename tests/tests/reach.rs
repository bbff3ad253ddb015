//! Jumps and offsets at the ends of what instructions reach: loops, exits and edges across long code, and loads at far
//! offsets. On x86-64 everything reaches; on AArch64 conditional jumps reach a megabyte, and offsets 12 scaled bits.

use patchjit::call;
use patchjit::code::CodeBuffer;
use patchjit::compile::{self, FunctionCode, Options};
use patchjit::ir::{ExitKind, NONE};
use patchjit::ops::Opcode;
use patchjit::runtime::{Context, Status};
use patchjit::types::Type;
use patchjit::verify;
use patchjit_memory::Arena;
use patchjit_tests::assemble::{Assembly, Value};
use patchjit_tests::host_set;

/// Compiled functions in memory that can be run.
struct Code {
    entries: Vec<u64>,
    length: u32,
    _arena: Arena,
}

fn compile(assembly: &Assembly) -> Code {
    let program = assembly.program();
    let mut facts = vec![0; verify::workspace_words(&program)];
    let verified = verify::verify(program, &mut facts).expect("a valid program");
    let mut words = vec![0; compile::workspace_words(&verified)];
    let room = compile::code_bytes(&verified);
    let mut arena = Arena::new(room + 4096).expect("executable memory");
    let mut block = arena.reserve(room).expect("room");
    let mut writing = arena.write(&mut block).expect("room");
    let mut functions = vec![FunctionCode::default(); program.functions.len()];
    let compiled = compile::compile(
        &verified,
        host_set(),
        &Options::default(),
        &mut words,
        CodeBuffer {
            write: writing.buffer().write,
            execute_at: 0,
        },
        &mut functions,
    )
    .expect("it compiles");
    let address = writing
        .publish(compiled.code_length as usize)
        .expect("executable");
    Code {
        entries: functions
            .iter()
            .map(|f| address + u64::from(f.entry))
            .collect(),
        length: compiled.code_length,
        _arena: arena,
    }
}

/// Runs a function of one argument and one result; the status and the result, or the number of the exit.
fn run(code: &Code, function: usize, argument: i64) -> (Status, i64) {
    let mut context = Context::new();
    context.depth = 10;
    let mut slots = [0; 1];
    context.slots = slots.as_mut_ptr();
    let mut values = [argument as u64];
    // SAFETY: the code was compiled for this machine from a program that has a slot at most, no hosts and no regions.
    let status = unsafe {
        call::enter(
            code.entries[function],
            &raw mut context,
            values.as_mut_ptr(),
        )
    };
    match status {
        Status::Returned => (status, values[0] as i64),
        _ => (status, context.exit_number.into()),
    }
}

/// So many ops of one instruction each: the sum goes on from value to value.
fn pad(assembly: &mut Assembly, mut sum: Value, by: Value, count: usize) -> Value {
    for _ in 0..count {
        sum = assembly.scalar(Opcode::I64Add, sum, by, NONE);
    }
    sum
}

/// `n` rounds of a loop with so many additions of 3; the test that it goes round by leads back across all of them.
fn long_loop(count: usize) -> Assembly {
    let mut assembly = Assembly::new();
    let (_, values) = assembly.begin(&[Type::I64], &[Type::I64]);
    let (zero, one, three) = (assembly.i64(0), assembly.i64(1), assembly.i64(3));
    let (head, done) = (assembly.label(), assembly.label());
    assembly.jump(head, &[values[0], zero]);
    let parameters = assembly.place(head, &[Type::I64; 2]);
    let sum = pad(&mut assembly, parameters[1], three, count);
    let left = assembly.scalar(Opcode::I64Sub, parameters[0], one, NONE);
    let more = assembly.scalar(Opcode::I64GtS, left, zero, NONE);
    assembly.branch(more, (head, &[left, sum]), (done, &[]));
    assembly.place(done, &[]);
    assembly.return_values(&[sum]);
    assembly.end();
    assembly
}

/// A branch and a guard whose ways lead across so many additions of 5: an argument of 1 takes the branch, 2 the exit.
fn long_ways(count: usize) -> Assembly {
    let mut assembly = Assembly::new();
    assembly.slots(1);
    let (_, values) = assembly.begin(&[Type::I64], &[Type::I64]);
    let n = values[0];
    let (one, two, five) = (assembly.i64(1), assembly.i64(2), assembly.i64(5));
    let (long, short) = (assembly.label(), assembly.label());
    let exit = assembly.exit(ExitKind::Deoptimize, 77, &[(0, n)]);
    let is_two = assembly.scalar(Opcode::I64Eq, n, two, NONE);
    assembly.push(Opcode::GuardNot, 0, is_two, 0, exit);
    let is_one = assembly.scalar(Opcode::I64Eq, n, one, NONE);
    assembly.branch(is_one, (short, &[]), (long, &[]));
    assembly.place(long, &[]);
    let sum = pad(&mut assembly, n, five, count);
    assembly.return_values(&[sum]);
    assembly.place(short, &[]);
    assembly.return_values(&[two]);
    assembly.end();
    assembly
}

/// The counts around which a distance of a megabyte is reached where an addition is four bytes, and far beyond.
fn counts() -> Vec<usize> {
    let limit = (1 << 20) / 4;
    let mut counts = vec![10, 1000, limit / 2];
    counts.extend(limit - 12..limit + 4);
    counts.push(3 * limit);
    counts
}

#[test]
fn loops_of_every_length_go_round() {
    for count in counts() {
        let code = compile(&long_loop(count));
        assert!(code.length as usize > 3 * count);
        for rounds in [1, 3] {
            let sum = 3 * count as i64 * rounds;
            assert_eq!(run(&code, 0, rounds), (Status::Returned, sum), "{count}");
        }
    }
}

#[test]
fn ways_of_every_length_lead_out() {
    for count in counts() {
        let code = compile(&long_ways(count));
        let sum = 9 + 5 * count as i64;
        assert_eq!(run(&code, 0, 9), (Status::Returned, sum), "{count}");
        assert_eq!(run(&code, 0, 1), (Status::Returned, 2), "{count}");
        assert_eq!(run(&code, 0, 2), (Status::Deoptimized, 77), "{count}");
    }
}

/// Behind more than a megabyte of functions, entries and ends of runs that lie before them are still reached.
#[test]
fn ends_of_runs_are_reached_from_afar() {
    let mut assembly = Assembly::new();
    let (_, values) = assembly.begin(&[Type::I64], &[Type::I64]);
    let sum = pad(&mut assembly, values[0], values[0], 600_000);
    assembly.return_values(&[sum]);
    assembly.end();
    // Calls itself until it is too deep.
    let (function, values) = assembly.begin(&[Type::I64], &[Type::I64]);
    let result = assembly.call(Opcode::Call, function, &values, NONE);
    assembly.return_values(&result);
    assembly.end();
    let (_, values) = assembly.begin(&[Type::I64], &[Type::I64]);
    let result = assembly.call(Opcode::Call, 0, &values, NONE);
    assembly.return_values(&result);
    assembly.end();
    let code = compile(&assembly);
    assert!(code.length > 1 << 20);
    assert_eq!(run(&code, 1, 5).0, Status::TooDeep);
    assert_eq!(run(&code, 2, 3), (Status::Returned, 3 * 600_001));
}
