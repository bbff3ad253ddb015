//! Real code in the cache: threads compile functions on demand, run them, and give the memory back.
// Threads run code while other code is written, through another mapping; the emulator in which RISC-V is tested does not see that.
#![cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(windows)))]

use patchjit::build::{Buffers, Builder};
use patchjit::compile::{self, FunctionCode};
use patchjit::link::Epochs;
use patchjit::ops::Opcode;
use patchjit::runtime::{Context, Status};
use patchjit::types::Type;
use patchjit::{call, verify};
use patchjit_cache::{Cache, Refusal};
use patchjit_memory::{Arena, Block};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

/// Compiles `x * factor + factor`; gives its block, its entry and its length.
fn compile(factor: i64, arena: &Mutex<Arena>) -> (Block, u64, usize) {
    let mut buffers = Buffers::<16>::new();
    let mut b = Builder::new(buffers.storage());
    let signature = b.signature(&[Type::I64], &[Type::I64]).unwrap();
    let function = b.declare(signature).unwrap();
    b.begin(function).unwrap();
    let factor = b.constant_i64(factor).unwrap();
    let product = b.binary(Opcode::I64Mul, b.argument(0), factor).unwrap();
    let sum = b.binary(Opcode::I64Add, product, factor).unwrap();
    b.return_values(&[sum]).unwrap();
    b.end().unwrap();
    let mut facts = [0; 64];
    let verified = verify::verify(b.finish().unwrap(), &mut facts).unwrap();
    let mut words = [0; 512];
    let mut functions = [FunctionCode::default()];
    let mut arena = arena.lock().unwrap();
    let mut block = arena.reserve(compile::code_bytes(&verified)).unwrap();
    let mut writing = arena.write(&mut block).unwrap();
    let compiled = compile::compile(
        &verified,
        patchjit_stencils::host().expect("there are stencils"),
        &compile::Options::default(),
        &mut words,
        writing.buffer(),
        &mut functions,
    )
    .unwrap();
    let address = writing.publish(compiled.code_length as usize).unwrap();
    let length = block.length();
    (block, address + u64::from(functions[0].entry), length)
}

#[test]
fn threads_share_functions_that_come_and_go() {
    const THREADS: usize = 4;
    const KEYS: u64 = 24;
    let arena = Mutex::new(Arena::new(1 << 20).unwrap());
    let words = [const { AtomicU32::new(0) }; THREADS];
    let epochs = Epochs::new(&words);
    // Room for a few of them.
    let cache: Cache<'_, u64, Block> = Cache::new(&epochs, 2000);
    let ran = AtomicU32::new(0);
    let release = |block| arena.lock().unwrap().release(block).unwrap();
    let work = |thread: usize| {
        let mut session = cache.session(thread).unwrap();
        for round in 0..600u64 {
            let key = (round * (thread as u64 + 3)) % KEYS;
            if let Some(entry) = session.get(&key) {
                let mut context = Context::new();
                context.depth = 1;
                let mut values = [round];
                // SAFETY: the address comes from the cache, and this thread was not quiescent since; the
                // program declares nothing to bind.
                let status = unsafe { call::enter(entry, &raw mut context, values.as_mut_ptr()) };
                assert_eq!((status, values[0]), (Status::Returned, round * key + key));
                ran.fetch_add(1, Ordering::Relaxed);
            } else if let Some(claim) = cache.claim(key) {
                let (block, entry, bytes) = compile(key as i64, &arena);
                match claim.fill(block, entry, bytes) {
                    Ok(()) => {}
                    Err(Refusal::Waiting(block)) => release(block),
                    Err(refusal) => panic!("{refusal}"),
                }
            }
            if round % 3 == 0 {
                session.quiescent();
                cache.reclaim(release);
            }
            let usage = cache.usage();
            assert!(usage.bytes + usage.retired_bytes <= 2000, "{usage:?}");
        }
    };
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let work = &work;
            scope.spawn(move || work(thread));
        }
    });
    let ran = ran.into_inner();
    assert!(ran > 100, "{ran}");
    assert!(cache.usage().evictions > 0);
}
