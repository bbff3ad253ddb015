//! Generated stencil tables for Patchjit.
//!
//! A table is data: an embedder passes the set of its target to `patchjit::compile`. The bodies from which
//! the tables are made stand in `bodies/`, and `listing/` shows the instructions of every template; the
//! generator beside this crate makes both, and nobody needs it to build or use this crate.
#![no_std]
#![forbid(unsafe_code)]

mod table;
mod x86_64_sysv;

pub use x86_64_sysv::X86_64_SYSV;
