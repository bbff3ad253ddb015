//! Instruction cache maintenance: what a processor needs before it runs bytes that were just written.
//!
//! Takes the addresses at which bytes were written and at which they will run; promises that this thread may run them
//! afterwards. Embedders with an operating system have `patchjit-memory` do it; those without call it themselves, after writing
//! code and after linking. Costs a few instructions for each cache line on AArch64, one instruction on RISC-V, nothing on x86-64,
//! whose instruction caches see every write. One of the few places with `unsafe`: the instructions are the processor's own.
#![allow(unsafe_code)]

/// Makes what was written at `write` visible to instruction fetches at `execute`: the same bytes, perhaps mapped
/// twice. Other threads that may already have fetched what stood there before run an instruction synchronization barrier (`isb`)
/// before they run it; an interrupt or a system call has that effect.
///
/// On AArch64: Arm ARM, B2.4.4, "Concurrent modification and execution of instructions". User code needs the system to permit
/// the instructions (SCTLR_EL1.UCI and UCT), as Linux does; Apple's systems and Windows ask for their own functions instead.
///
/// On RISC-V (Unprivileged ISA, "Zifencei"): `fence.i`, which is for the processor that runs it, others that are to run the code
/// run it, too. Under a system that moves threads from one to another the system must do it: `riscv_flush_icache` of Linux.
///
/// On processors for which there are no stencils, and on x86-64, it does nothing.
///
/// # Safety
///
/// Both ranges of `length` bytes are mapped.
pub unsafe fn synchronize(write: *const u8, execute: *const u8, length: usize) {
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the caller promises that the ranges are mapped.
    unsafe {
        clean_and_invalidate(write, execute, length);
    }
    #[cfg(target_arch = "riscv64")]
    // SAFETY: orders this processor's fetches behind its writes, and does nothing else.
    unsafe {
        core::arch::asm!("fence.i", options(nostack, preserves_flags));
    }
    #[cfg(not(target_arch = "aarch64"))]
    let _ = (write, execute, length);
}

#[cfg(target_arch = "aarch64")]
unsafe fn clean_and_invalidate(write: *const u8, execute: *const u8, length: usize) {
    use core::arch::asm;
    if length == 0 {
        return;
    }
    let kinds: u64;
    // SAFETY: reads the register that says how long cache lines are.
    unsafe { asm!("mrs {}, ctr_el0", out(reg) kinds, options(nomem, nostack, preserves_flags)) };
    let line = |at: u64| 4usize << ((kinds >> at) & 15);
    let each = |base: *const u8, line: usize| {
        let start = base as usize & !(line - 1);
        (start..base as usize + length).step_by(line)
    };
    for address in each(write, line(16)) {
        // SAFETY: cleans the line of an address that the caller has mapped.
        unsafe { asm!("dc cvau, {}", in(reg) address, options(nostack, preserves_flags)) };
    }
    // SAFETY: orders the cleaning before the invalidation.
    unsafe { asm!("dsb ish", options(nostack, preserves_flags)) };
    for address in each(execute, line(0)) {
        // SAFETY: invalidates the line of an address that the caller has mapped.
        unsafe { asm!("ic ivau, {}", in(reg) address, options(nostack, preserves_flags)) };
    }
    // SAFETY: waits for the invalidation, and drops what was fetched before.
    unsafe { asm!("dsb ish", "isb", options(nostack, preserves_flags)) };
}
