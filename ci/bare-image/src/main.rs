//! Builds a program, verifies it, interprets it, compiles it and runs the code, with no library beneath but
//! `core`: what an embedder without an operating system links. Ends with status 0 if all of that works.
//!
//! The code buffer is executable because the image asks for that with its own system call; that and the
//! exit are all that it wants of the system it is tried on, Linux on x86-64 or AArch64.
#![no_std]
#![no_main]

#[cfg_attr(target_arch = "x86_64", path = "x86_64.rs")]
#[cfg_attr(target_arch = "aarch64", path = "aarch64.rs")]
mod machine;

use core::hint::black_box;
use patchjit::build::{Buffers, Builder};
use patchjit::cache;
use patchjit::call;
use patchjit::code::CodeBuffer;
use patchjit::compile::{self, FunctionCode, Options};
use patchjit::error::Error;
use patchjit::interp;
use patchjit::ops::Opcode;
use patchjit::runtime::{Context, Status};
use patchjit::types::Type;
use patchjit::verify;

const CODE_BYTES: usize = 64 << 10;

#[repr(align(4096))]
struct Pages([u8; CODE_BYTES]);

static mut CODE: Pages = Pages([0; CODE_BYTES]);
static mut WORDS: [[u32; 4096]; 3] = [[0; 4096]; 3];
static mut STACK: [u64; 1024] = [0; 1024];

/// What the start of the program calls.
extern "C" fn start() -> ! {
    let status = match work() {
        Ok(true) => 0,
        Ok(false) => 1,
        Err(_) => 2,
    };
    machine::exit(status)
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    machine::exit(3)
}

/// The sum of the squares below 1000 by both engines.
fn work() -> Result<bool, Error> {
    let mut buffers = Buffers::<64>::new();
    let mut b = Builder::new(buffers.storage());
    let signature = b.signature(&[Type::I64], &[Type::I64])?;
    let function = b.declare(signature)?;
    b.begin(function)?;
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
    let next = b.binary(Opcode::I64Add, i, one)?;
    b.jump(head, &[next, next_sum])?;
    b.switch_to(done)?;
    b.return_values(&[sum])?;
    b.end()?;
    let program = b.finish()?;

    // SAFETY: one thread, and this is the only place that uses them.
    let ([verify_words, decode_words, compile_words], stack, code) = unsafe {
        (
            &mut *(&raw mut WORDS),
            &mut *(&raw mut STACK),
            &mut (*(&raw mut CODE)).0,
        )
    };
    let verified = verify::verify(program, verify_words)?;
    let mut context = Context::new();
    context.depth = 8;

    let decoded = interp::decode(&verified, decode_words)?;
    let mut interpreted = [black_box(1000)];
    // SAFETY: the program declares nothing that the context would have to be bound for.
    let ended = unsafe {
        decoded.run(
            0,
            &raw mut context,
            &mut interpreted,
            stack,
            interp::Options::default(),
        )
    }?;

    let mut functions = [FunctionCode::default()];
    let buffer = CodeBuffer::in_place(code);
    let start = buffer.execute_at;
    compile::compile(
        &verified,
        machine::SET,
        &Options::default(),
        compile_words,
        buffer,
        &mut functions,
    )?;
    let executable = machine::make_executable(start, CODE_BYTES);
    // SAFETY: the bytes lie in the image.
    unsafe { cache::synchronize(start as *const u8, start as *const u8, CODE_BYTES) };
    let mut values = [black_box(1000)];
    let entry = start + u64::from(functions[0].entry);
    // SAFETY: compiled for this program and this machine, and executable if the call above succeeded.
    let status = match executable {
        true => unsafe { call::enter(entry, &raw mut context, values.as_mut_ptr()) },
        false => Status::Trapped,
    };
    Ok(ended.status == Status::Returned
        && status == Status::Returned
        && interpreted == [332_833_500]
        && values == interpreted)
}
