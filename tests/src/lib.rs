//! Tests of the whole of Patchjit, and what they share: programs made by the thousand, and
//! programs written by hand.

pub mod allocation;
pub mod arbitrary;
pub mod assemble;
pub mod differential;
pub mod draft;
pub mod ebpf;
pub mod generate;
pub mod linked;
pub mod machine;
pub mod oracle;
pub mod programs;
pub mod random;
pub mod reduce;
pub mod reference;
pub mod references;
pub mod synthetic;
pub mod tangle;
pub mod wasm;

use patchjit::stencil::StencilSet;
use patchjit_memory::{Arena, Error, Views};

/// An arena in which code may be written where other code has run.
///
/// # Errors
///
/// As [`Arena::with_views`].
pub fn rewritable(capacity: usize) -> Result<Arena, Error> {
    match std::env::consts::ARCH {
        // The emulator in which RISC-V is tested does not see that code is rewritten through another mapping.
        "riscv64" => Arena::with_views(capacity, Views::One),
        _ => Arena::new(capacity),
    }
}

/// The stencils of the machine that tests run on: what they compile, they execute. With `PATCHJIT_V3` in the environment, those
/// for later x86-64 processors.
pub fn host_set() -> &'static StencilSet {
    match std::env::var_os("PATCHJIT_V3") {
        Some(_) => &patchjit_stencils::X86_64_SYSV_V3,
        None => patchjit_stencils::host().expect("there are stencils for this machine"),
    }
}

/// The embedding example of the project's front page, compiled and run.
#[cfg(all(doctest, target_arch = "x86_64", target_os = "linux"))]
#[doc = include_str!("../../README.md")]
pub struct Readme;
