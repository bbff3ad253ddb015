//! Generated stencil tables for Patchjit.
//!
//! A table is data: an embedder passes the set of its target to `patchjit::compile`. The bodies from which
//! the tables are made stand in `bodies/`, and `listing/` shows the instructions of every template; the
//! generator beside this crate makes both, and nobody needs it to build or use this crate.
//!
//! Which set suits the processor at hand, [`native`] says with the feature `std`; without a standard library the embedder looks
//! itself (`cpuid`), or takes [`host`].
#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "std")]
extern crate std;

mod aarch64_aapcs;
mod riscv64_lp64d;
mod table;
mod x86_64_sysv;
mod x86_64_sysv_v3;
mod x86_64_windows;

pub use aarch64_aapcs::AARCH64_AAPCS;
pub use riscv64_lp64d::RISCV64_LP64D;
pub use x86_64_sysv::X86_64_SYSV;
pub use x86_64_sysv_v3::X86_64_SYSV_V3;
pub use x86_64_windows::X86_64_WINDOWS;

use patchjit::stencil::StencilSet;

/// The stencils for AArch64 as Apple's systems use it. Code of [`AARCH64_AAPCS`] keeps to their rules: it leaves x18 alone and
/// x29 as it is, and passes no arguments on the stack.
pub static AARCH64_APPLE: StencilSet = StencilSet {
    target: "aarch64-apple",
    ..AARCH64_AAPCS
};

/// The stencils for AArch64 as Windows uses it: the same again.
pub static AARCH64_WINDOWS: StencilSet = StencilSet {
    target: "aarch64-windows",
    ..AARCH64_AAPCS
};

/// The sets of all targets.
pub static ALL: [&StencilSet; 7] = [
    &X86_64_SYSV,
    &X86_64_SYSV_V3,
    &X86_64_WINDOWS,
    &AARCH64_AAPCS,
    &AARCH64_APPLE,
    &AARCH64_WINDOWS,
    &RISCV64_LP64D,
];

/// The set whose code runs in this process on every processor: the architecture and the conventions that it was built for.
/// `None` if there is none; the interpreter runs everywhere.
pub const fn host() -> Option<&'static StencilSet> {
    // Firmware and Cygwin have the conventions of Windows, too.
    const WINDOWS: bool = cfg!(any(windows, target_os = "uefi", target_os = "cygwin"));
    if cfg!(target_arch = "x86_64") {
        Some(if WINDOWS {
            &X86_64_WINDOWS
        } else {
            &X86_64_SYSV
        })
    } else if cfg!(all(target_arch = "aarch64", target_endian = "little")) {
        Some(if cfg!(target_vendor = "apple") {
            &AARCH64_APPLE
        } else if WINDOWS {
            &AARCH64_WINDOWS
        } else {
            &AARCH64_AAPCS
        })
    } else if cfg!(all(
        target_arch = "riscv64",
        target_feature = "d",
        target_feature = "a"
    )) {
        Some(&RISCV64_LP64D)
    } else {
        None
    }
}

/// The set whose code is best on the processor that this runs on; [`host`], if that has no set of its own.
#[cfg(feature = "std")]
pub fn native() -> Option<&'static StencilSet> {
    #[cfg(target_arch = "x86_64")]
    {
        let has_all = std::is_x86_feature_detected!("lzcnt")
            && std::is_x86_feature_detected!("bmi1")
            && std::is_x86_feature_detected!("bmi2");
        let is_sysv = host().is_some_and(|set| set.target == X86_64_SYSV.target);
        if has_all && is_sysv {
            return Some(&X86_64_SYSV_V3);
        }
    }
    host()
}
