//! Jumps and offsets at the ends of what instructions reach: loops, exits and edges across long code, and loads and stores at far
//! offsets. On x86-64 everything reaches; on AArch64 conditional jumps reach a megabyte, and offsets 12 scaled bits; on RISC-V
//! conditional jumps reach 4 KiB, others a megabyte, and offsets 12 bits with a sign.

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

/// The most guest slots of a program.
const SLOTS: usize = 300_000;

/// Runs a function of one argument and one result; the status and the result, or the number of the exit.
fn run(code: &Code, function: usize, argument: i64) -> (Status, i64) {
    let mut context = Context::new();
    context.depth = 10;
    let mut slots = vec![0; SLOTS];
    context.slots = slots.as_mut_ptr();
    let mut values = [argument as u64];
    // SAFETY: the code was compiled for this machine from a program that has this many slots at most, no hosts and no regions.
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

/// The counts around which a distance of 4 KiB is reached where an addition is four bytes, and one of a megabyte, and far beyond.
fn counts() -> Vec<usize> {
    let mut counts = vec![10];
    for limit in [(1 << 12) / 4, (1 << 20) / 4] {
        counts.push(limit / 2);
        counts.extend(limit - 24..limit + 4);
        counts.push(3 * limit);
    }
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

/// Many jumps wait for places that come long after them, and not in the order in which they began to wait: exits and blocks, for each
/// number one. Some are waited for more than once.
#[test]
fn many_jumps_wait_at_once() {
    for count in [3, 200, 3000] {
        let mut assembly = Assembly::new();
        assembly.slots(1);
        let (_, values) = assembly.begin(&[Type::I64], &[Type::I64]);
        let n = values[0];
        let labels: Vec<_> = (0..count).map(|_| assembly.label()).collect();
        for number in 0..count {
            let exit = assembly.exit(ExitKind::Deoptimize, number, &[(0, n)]);
            let other = assembly.i64(i64::from(number));
            let is_it = assembly.scalar(Opcode::I64Eq, n, other, NONE);
            assembly.push(Opcode::GuardNot, 0, is_it, 0, exit);
            // Above: leads to a block, the last one first.
            let next = assembly.label();
            let other = assembly.i64(i64::from(count + number));
            let is_it = assembly.scalar(Opcode::I64Eq, n, other, NONE);
            let block = labels[(count - 1 - number) as usize];
            assembly.branch(is_it, (block, &[]), (next, &[]));
            assembly.place(next, &[]);
            if number % 7 == 0 {
                let other = assembly.i64(-i64::from(number));
                let is_it = assembly.scalar(Opcode::I64LtS, n, other, NONE);
                let next = assembly.label();
                assembly.branch(is_it, (labels[count as usize / 2], &[]), (next, &[]));
                assembly.place(next, &[]);
            }
        }
        assembly.return_values(&[n]);
        for (number, &label) in (0..).zip(&labels) {
            assembly.place(label, &[]);
            let number = assembly.i64(1_000_000 + number);
            assembly.return_values(&[number]);
        }
        assembly.end();
        let code = compile(&assembly);
        for number in (0..count).step_by(count as usize / 100 + 1) {
            let exit = i64::from(number);
            assert_eq!(run(&code, 0, exit), (Status::Deoptimized, exit), "{count}");
            let block = 1_000_000 + i64::from(count - 1 - number);
            let argument = i64::from(count + number);
            assert_eq!(run(&code, 0, argument), (Status::Returned, block));
        }
        let between = 1_000_000 + i64::from(count / 2);
        assert_eq!(run(&code, 0, -1), (Status::Returned, between));
        let most = 2 * i64::from(count);
        assert_eq!(run(&code, 0, most), (Status::Returned, most));
    }
}

/// Entries of a jump table, and what is not in it, on both sides of long code.
#[test]
fn switches_lead_across_long_code() {
    for count in [10, 1000, 1100, 300_000] {
        let mut assembly = Assembly::new();
        let (_, values) = assembly.begin(&[Type::I64], &[Type::I64]);
        let index = assembly.scalar(Opcode::I32WrapI64, values[0], NONE, NONE);
        let labels = [(); 3].map(|()| assembly.label());
        let edges: Vec<(_, &[Value])> = labels.iter().map(|&label| (label, &[][..])).collect();
        assembly.switch(index, &edges);
        for (number, label) in (0..).zip(labels) {
            assembly.place(label, &[]);
            let sum = assembly.i64(number);
            let by = assembly.i64(2);
            let by = assembly.scalar(Opcode::I64Add, by, values[0], NONE);
            let sum = pad(&mut assembly, sum, by, count);
            assembly.return_values(&[sum]);
        }
        assembly.end();
        let code = compile(&assembly);
        for argument in [0, 1, 2, 9] {
            let which = argument.min(2);
            let sum = which + (2 + argument) * count as i64;
            assert_eq!(run(&code, 0, argument), (Status::Returned, sum), "{count}");
        }
    }
}

/// Guest slots, words of memory and spill slots at the ends of what offsets have room for.
#[test]
fn offsets_of_every_size_are_reached() {
    let words = [
        0, 1, 254, 255, 256, 257, 511, 512, 4094, 4095, 4096, 65_535, 262_143, 262_144,
    ];
    for word in words {
        let mut assembly = Assembly::new();
        assembly.slots(word as u32 + 1);
        let (_, values) = assembly.begin(&[Type::I64], &[Type::I64]);
        assembly.push(Opcode::I64SlotSet, 0, values[0], 0, word as u32);
        let slot = assembly.push(Opcode::I64SlotGet, 0, 0, 0, word as u32);
        assembly.return_values(&[slot]);
        assembly.end();
        let code = compile(&assembly);
        assert_eq!(run(&code, 0, 77 + word), (Status::Returned, 77 + word));
    }
    // As many values at once wait in the frame.
    for count in [100, 254, 255, 256, 257, 300, 600, 5000] {
        let mut assembly = Assembly::new();
        let (_, values) = assembly.begin(&[Type::I64], &[Type::I64]);
        let mut all = vec![values[0]];
        for _ in 0..count {
            let last = *all.last().expect("one");
            all.push(assembly.scalar(Opcode::I64Mul, last, values[0], NONE));
        }
        let mut sum = assembly.i64(0);
        for &value in &all {
            sum = assembly.scalar(Opcode::I64Add, sum, value, NONE);
        }
        assembly.return_values(&[sum]);
        assembly.end();
        let code = compile(&assembly);
        let (mut power, mut wanted) = (1i64, 0i64);
        for _ in 0..=count {
            power = power.wrapping_mul(3);
            wanted = wanted.wrapping_add(power);
        }
        assert_eq!(run(&code, 0, 3), (Status::Returned, wanted), "{count}");
    }
}
