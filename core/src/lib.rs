//! Patchjit: a `no_std`, allocation-free copy-and-patch JIT core.
//!
//! An embedder builds a program of typed micro-ops in SSA form; this crate verifies it, interprets it, and compiles it
//! to machine code by copying prepared pieces of code, *stencils*, and patching registers, immediates and distances
//! into them. All memory is the caller's: storage for the program, words for a workspace, bytes for the code. The crate
//! never makes memory executable and never asks an operating system for anything.
//!
//! # The pipeline
//!
//! ```text
//!   build::Builder ──> ir::Program ──> verify::verify ──> Verified ──┬─> interp::decode ──> Decoded::run
//!    (or records that                   (every rule                  │    (the oracle; the fallback)
//!     you fill in)                       of the IR)                  │
//!                                                                    └─> compile::compile ──> bytes ──> call::enter
//!                                                                         (with the StencilSet of a target)
//! ```
//!
//! | module | what it has |
//! |---|---|
//! | [`types`], [`ops`], [`ir`] | value types; the table of all ops with their semantics; the records of a program |
//! | [`build`] | fills the records, in slices of the caller's |
//! | [`verify`] | checks every rule; only a [`verify::Verified`] program is compiled |
//! | [`optimize`] | makes a smaller program that does the same, if it is asked to |
//! | [`interp`] | the oracle: defines what a program means, and runs it where there is no executable memory |
//! | [`compile`] | liveness, register allocation, selection and patching of stencils |
//! | [`stencil`] | the schema of stencil tables; the tables themselves are data, in the crate `patchjit-stencils` |
//! | [`code`], [`call`] | where code is written and where it will run; entering it |
//! | [`link`] | exits that go on in other code: side traces, bridges, dependencies, when code may be freed |
//! | [`tier`] | what a runtime needs around it: hotness, recording of traces, profiles of exits |
//! | [`runtime`] | what a program sees of its embedder: slots, regions, host functions, fuel, depth |
//! | [`error`] | the one error type |
//!
//! `core/IR.md` in the repository describes the IR and its text form, `ARCHITECTURE.md` how the parts work.
//!
//! # Example
//!
//! A function that adds two numbers, run by the oracle and compiled for x86-64. Nothing here needs a heap. Running the
//! code takes executable memory, as the crate `patchjit-memory` provides it; the example in the repository's `README.md`
//! goes that far.
//!
//! ```
//! use patchjit::build::{Buffers, Builder};
//! use patchjit::code::CodeBuffer;
//! use patchjit::compile::{self, FunctionCode};
//! use patchjit::interp;
//! use patchjit::ops::Opcode;
//! use patchjit::runtime::{Context, Status};
//! use patchjit::types::Type;
//! use patchjit::verify;
//! use patchjit_stencils::X86_64_SYSV;
//!
//! # fn main() -> Result<(), patchjit::error::Error> {
//! let mut buffers = Buffers::<16>::new();
//! let mut b = Builder::new(buffers.storage());
//! let signature = b.signature(&[Type::I64, Type::I64], &[Type::I64])?;
//! let add = b.declare(signature)?;
//! b.begin(add)?;
//! let sum = b.binary(Opcode::I64Add, b.argument(0), b.argument(1))?;
//! b.return_values(&[sum])?;
//! b.end()?;
//! let program = b.finish()?;
//!
//! let mut facts = [0; 64];
//! let verified = verify::verify(program, &mut facts)?;
//!
//! let mut words = [0; 512];
//! let decoded = interp::decode(&verified, &mut words)?;
//! let mut context = Context::new();
//! context.depth = 1; // calls within each other, the one from outside included
//! let mut values = [20, 22]; // arguments in, results out
//! // SAFETY: the program declares nothing that would have to be bound, and is contained.
//! let outcome = unsafe {
//!     decoded.run(0, &mut context, &mut values, &mut [0; 16], interp::Options::default())?
//! };
//! assert_eq!((outcome.status, values[0]), (Status::Returned, 42));
//!
//! let mut bytes = [0; 8192];
//! let mut functions = [FunctionCode::default()];
//! let compiled = compile::compile(
//!     &verified,
//!     &X86_64_SYSV,
//!     &compile::Options::default(),
//!     &mut words,
//!     CodeBuffer::in_place(&mut bytes),
//!     &mut functions,
//! )?;
//! assert!(compiled.code_length > 0);
//! # Ok(())
//! # }
//! ```
//!
//! # Storage
//!
//! Nothing grows. Each stage says how much it needs at most ([`verify::workspace_words`], [`interp::workspace_words`],
//! [`optimize::words`], [`optimize::storage`], [`compile::workspace_words`], [`compile::side_workspace_words`],
//! [`compile::exit_room`], [`compile::code_bytes`], [`link::bridge_bytes`]), and what is too short is [`error::Error::Full`] with the
//! size that would do. Time and storage are linear in the program's [size](verify::Verified::size), but for the maps that a
//! collector may ask for ([`compile::ReferenceMaps`]); nothing recurses.
//!
//! # Safety
//!
//! `unsafe` is denied in this crate but where the oracle runs a program and where compiled code is entered. Building,
//! verifying, decoding and compiling are safe functions that return errors and do not panic, whatever records
//! they get. Running is not safe: [`call::enter`] and [`interp::Decoded::run`] list what the caller promises, in the main that the
//! context is bound as the program declares. A program without raw accesses is
//! [contained](verify::Verified::is_contained): it reaches its regions, its guest slots and its host functions, and no
//! other memory. Code of a program that is not contained can do what the program says, anywhere.
//!
//! # Features
//!
//! There are none. The crate is `no_std`, does not use `alloc`, and depends on `libm` alone, for the oracle's
//! float functions. It compiles for any target on any host: the target is the stencil set that
//! is passed to [`compile::compile`].
#![no_std]
#![deny(unsafe_code)]

pub mod build;
pub mod cache;
pub mod call;
pub mod code;
pub mod compile;
pub mod error;
mod float;
pub mod interp;
pub mod ir;
pub mod link;
pub mod ops;
pub mod optimize;
mod patch;
pub mod runtime;
pub mod stencil;
pub mod tier;
pub mod types;
pub mod verify;
