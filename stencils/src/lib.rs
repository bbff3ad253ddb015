//! Generated stencil tables for Patchjit.
//!
//! A table is data: an embedder passes the set of its target to `patchjit::compile`. The bodies from which
//! the tables are made stand in `bodies/`, and `listing/` shows the instructions of every template; the
//! generator beside this crate makes both, and nobody needs it to build or use this crate.
#![no_std]
#![forbid(unsafe_code)]

mod aarch64_aapcs;
mod table;
mod x86_64_sysv;

pub use aarch64_aapcs::AARCH64_AAPCS;
pub use x86_64_sysv::X86_64_SYSV;

use patchjit::stencil::StencilSet;

/// The sets of all targets.
pub static ALL: [&StencilSet; 2] = [&X86_64_SYSV, &AARCH64_AAPCS];

/// The set whose code runs in this process: the architecture and the conventions that it was built for. `None` if there is
/// none; the interpreter runs everywhere.
pub const fn host() -> Option<&'static StencilSet> {
    if cfg!(all(target_arch = "x86_64", not(windows))) {
        Some(&X86_64_SYSV)
    } else if cfg!(all(
        target_arch = "aarch64",
        target_endian = "little",
        not(any(windows, target_vendor = "apple"))
    )) {
        Some(&AARCH64_AAPCS)
    } else {
        None
    }
}
