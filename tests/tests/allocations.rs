//! No heap: building, verifying, decoding, interpreting, compiling and running take their storage from the caller.

use patchjit::build::{Buffers, Builder};
use patchjit::call;
use patchjit::code::CodeBuffer;
use patchjit::compile::{self, FunctionCode, Options};
use patchjit::error::Error;
use patchjit::interp;
use patchjit::ir::{ExitKind, Program};
use patchjit::ops::Opcode;
use patchjit::runtime::{Context, EntryCell, Status};
use patchjit::types::Type;
use patchjit::verify;
use patchjit_memory::Arena;
use patchjit_tests::host_set;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// Allocations of this thread; the test harness has others.
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: the system's allocator does the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// What a step gives, if it allocates nothing.
fn without_heap<T>(step: &str, run: impl FnOnce() -> T) -> T {
    let before = COUNT.with(Cell::get);
    let result = run();
    let count = COUNT.with(Cell::get) - before;
    assert_eq!(count, 0, "{step} allocates");
    result
}

/// Sums squares up to the argument, each made by a call, and leaves on overflow.
fn build(buffers: &mut Buffers<128>) -> Result<Program<'_>, Error> {
    let mut b = Builder::new(buffers.storage());
    b.set_slot_count(2);
    let unary = b.signature(&[Type::I64], &[Type::I64])?;
    let (sum_squares, square) = (b.declare(unary)?, b.declare(unary)?);
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
    let squared = b.call(square, &[i], None)?.get(0).unwrap_or(i);
    let exit = b.exit(ExitKind::Trap, 7, &[(1, sum)])?;
    let next = b.binary_else(Opcode::I64AddChecked, sum, squared, exit)?;
    let one = b.constant_i64(1)?;
    let i_next = b.binary(Opcode::I64Add, i, one)?;
    b.jump(head, &[i_next, next])?;
    b.switch_to(done)?;
    b.return_values(&[sum])?;
    b.end()?;
    b.begin(square)?;
    let x = b.argument(0);
    let x2 = b.binary(Opcode::I64Mul, x, x)?;
    b.return_values(&[x2])?;
    b.end()?;
    b.finish()
}

#[test]
fn nothing_allocates() {
    // All storage is there beforehand.
    let mut buffers = Box::new(Buffers::<128>::new());
    let mut verify_words = vec![0u32; 4096];
    let mut decode_words = vec![0u32; 4096];
    let mut compile_words = vec![0u32; 1 << 16];
    let mut functions = [FunctionCode::default(); 2];
    let mut stack = vec![0u64; 4096];
    let mut arena = Arena::new(1 << 20).expect("executable memory");
    let mut block = arena.reserve(1 << 19).expect("room");
    let mut slots = [0u64; 2];
    let mut context = Context::new();
    context.slots = slots.as_mut_ptr();
    context.depth = 10;

    let program = without_heap("building", || build(&mut buffers)).expect("a program");
    let verified = without_heap("verifying", || verify::verify(program, &mut verify_words))
        .expect("a valid program");
    let decoded = without_heap("decoding", || interp::decode(&verified, &mut decode_words))
        .expect("enough words");
    let wanted = (0..1000).map(|i| i * i).sum::<u64>();
    let mut values = [1000];
    // SAFETY: the context is bound for the program, which has nothing but slots.
    let outcome = without_heap("interpreting", || unsafe {
        let options = interp::Options::default();
        decoded.run(0, &raw mut context, &mut values, &mut stack, options)
    });
    assert_eq!(outcome.map(|o| o.status), Ok(Status::Returned));
    assert_eq!(values[0], wanted);

    let set = host_set();
    let mut writing = arena.write(&mut block).expect("a view to write");
    let compiled = without_heap("compiling", || {
        let CodeBuffer { write, execute_at } = writing.buffer();
        compile::compile(
            &verified,
            set,
            &Options::default(),
            &mut compile_words,
            CodeBuffer { write, execute_at },
            &mut functions,
        )
    })
    .expect("compiled code");
    let address = writing
        .publish(compiled.code_length as usize)
        .expect("published code");
    let cells = functions.map(|function| EntryCell {
        code: address + u64::from(function.body),
        signature: 0,
    });
    context.cells = cells.as_ptr();
    context.cell_count = 2;
    let mut values = [1000];
    // SAFETY: the code was compiled for this machine from this program, for which the context is bound.
    let status = without_heap("running", || unsafe {
        let entry = address + u64::from(functions[0].entry);
        call::enter(entry, &raw mut context, values.as_mut_ptr())
    });
    assert_eq!((status, values[0]), (Status::Returned, wanted));
    // Errors do not allocate either.
    let full = without_heap("a refusal", || verify::verify(program, &mut []).err());
    assert!(matches!(full, Some(Error::Full { .. })));
}

#[test]
fn the_counter_counts() {
    let before = COUNT.with(Cell::get);
    drop(std::hint::black_box(Box::new(5)));
    assert_eq!(COUNT.with(Cell::get), before + 1);
}
