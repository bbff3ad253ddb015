//! The whole pipeline in memory that is set aside beforehand: no heap, no operating system.
//!
//! `cargo run -p patchjit --example static_buffers`
//!
//! A program is built, verified, run by the oracle and compiled for x86-64, all in the arrays of one `static`. Only the
//! printing and the lock around the static come from the standard library; on bare metal the lock would be what the
//! board has for it. The code is printed, not executed: that takes executable memory, which `patchjit-memory` provides
//! where there is an operating system, and whoever owns the page tables where there is none. So this example gives the
//! same output on every host.

use patchjit::build::{Buffers, Builder};
use patchjit::code::CodeBuffer;
use patchjit::compile::{self, FunctionCode};
use patchjit::error::Error;
use patchjit::interp;
use patchjit::ir::Program;
use patchjit::ops::Opcode;
use patchjit::runtime::{Context, Status};
use patchjit::types::Type;
use patchjit::verify;
use patchjit_stencils::X86_64_SYSV;
use std::sync::Mutex;

/// All memory that the example uses, a few arguments on the machine stack aside.
struct Memory {
    /// The records of the program.
    program: Buffers<32>,
    /// What the verifier finds out; needed as long as the program is.
    facts: [u32; 128],
    /// The oracle's instructions at first; the compiler's tables afterwards.
    workspace: [u32; 1024],
    /// The oracle's frames.
    stack: [u64; 64],
    /// The machine code. A bound for the worst case: the code of a program takes a fraction of it.
    code: [u8; 32 << 10],
    /// Where each function's code is.
    functions: [FunctionCode; 1],
}

static MEMORY: Mutex<Memory> = Mutex::new(Memory {
    program: Buffers::new(),
    facts: [0; 128],
    workspace: [0; 1024],
    stack: [0; 64],
    code: [0; 32 << 10],
    functions: [FunctionCode {
        entry: 0,
        body: 0,
        data: 0,
        faults: 0,
        end: 0,
    }],
});

/// `sum_squares(n)`: 0 * 0 + 1 * 1 + ... + (n - 1) * (n - 1).
fn build(buffers: &mut Buffers<32>) -> Result<Program<'_>, Error> {
    let mut b = Builder::new(buffers.storage());
    let signature = b.signature(&[Type::I64], &[Type::I64])?;
    let sum_squares = b.declare(signature)?;
    b.begin(sum_squares)?;
    let n = b.argument(0);
    let (head, body, done) = (b.create_block()?, b.create_block()?, b.create_block()?);
    let zero = b.constant_i64(0)?;
    b.jump(head, &[zero, zero])?;
    b.switch_to(head)?;
    let (i, sum) = (b.parameter(Type::I64)?, b.parameter(Type::I64)?);
    let more = b.binary(Opcode::I64LtS, i, n)?;
    b.branch(more, (body, &[]), (done, &[]))?;
    b.switch_to(body)?;
    let square = b.binary(Opcode::I64Mul, i, i)?;
    let next_sum = b.binary(Opcode::I64Add, sum, square)?;
    let one = b.constant_i64(1)?;
    let next_i = b.binary(Opcode::I64Add, i, one)?;
    b.jump(head, &[next_i, next_sum])?;
    b.switch_to(done)?;
    b.return_values(&[sum])?;
    b.end()?;
    b.finish()
}

/// The oracle's answer for an argument.
fn interpret(
    decoded: &interp::Decoded<'_>,
    argument: u64,
    stack: &mut [u64],
) -> Result<Option<u64>, Error> {
    let mut context = Context::new();
    context.depth = 1; // the entry itself is the only call
    let mut values = [argument];
    // SAFETY: the context belongs to this call alone. The program declares no slots, regions and host functions, so
    // that there is nothing to bind, and it is contained.
    let outcome = unsafe {
        decoded.run(
            0,
            &raw mut context,
            &mut values,
            stack,
            interp::Options::default(),
        )
    }?;
    Ok((outcome.status == Status::Returned).then_some(values[0]))
}

fn main() -> Result<(), Error> {
    let mut memory = MEMORY.lock().expect("the only thread");
    let Memory {
        program,
        facts,
        workspace,
        stack,
        code,
        functions,
    } = &mut *memory;

    // What does not fit in one of the arrays is `Error::Full`, which says how much it takes.
    let program = build(program)?;
    println!("program: {} ops", program.ops.len());
    println!(
        "verify: {} of {} words",
        verify::workspace_words(&program),
        facts.len()
    );
    let verified = verify::verify(program, facts)?;

    let decoded = interp::decode(&verified, workspace)?;
    let answer = interpret(&decoded, 5, stack)?;
    println!(
        "oracle: {} of {} words, sum_squares(5) is {answer:?}",
        interp::workspace_words(&verified),
        workspace.len()
    );
    assert_eq!(answer, Some(30));

    let buffer = CodeBuffer {
        write: code,
        execute_at: 0,
    };
    let compiled = compile::compile(
        &verified,
        &X86_64_SYSV,
        &compile::Options::default(),
        workspace,
        buffer,
        functions,
    )?;
    let [function] = functions;
    println!(
        "compile: {} of {} words, {} bytes of code ({} always suffice), {} bytes of stack a call",
        compile::workspace_words(&verified),
        workspace.len(),
        compiled.code_length,
        compile::code_bytes(&verified),
        compiled.frame_bytes
    );
    println!(
        "{} at {:#x}, its entry for the embedder at {:#x}",
        X86_64_SYSV.target, function.body, function.entry
    );
    for (number, row) in code[..compiled.code_length as usize].chunks(16).enumerate() {
        print!("{:6x}:", 16 * number);
        for byte in row {
            print!(" {byte:02x}");
        }
        println!();
    }
    Ok(())
}
