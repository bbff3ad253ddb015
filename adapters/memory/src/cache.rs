//! Instruction cache maintenance: what a processor needs before it runs bytes that were just written.

/// Makes what was written at `write` visible to instruction fetches at `execute`.
#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
pub(crate) fn publish(_write: *const u8, _execute: *const u8, _length: usize) {
    // These processors keep the instruction cache coherent, whatever the address that was written through.
}

/// Makes what was written at `write` visible to instruction fetches at `execute`.
#[cfg(all(target_arch = "aarch64", not(any(windows, target_vendor = "apple"))))]
pub(crate) fn publish(write: *const u8, execute: *const u8, length: usize) {
    use std::arch::asm;
    if length == 0 {
        return;
    }
    let kinds: u64;
    // SAFETY: reads the register that says how long cache lines are; user code may.
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

/// Makes what was written at `write` visible to instruction fetches at `execute`.
#[cfg(all(target_arch = "aarch64", target_vendor = "apple"))]
pub(crate) fn publish(_write: *const u8, execute: *const u8, length: usize) {
    unsafe extern "C" {
        fn sys_icache_invalidate(start: *mut std::ffi::c_void, length: usize);
    }
    // SAFETY: the system's own function, on a range that the caller has mapped.
    unsafe { sys_icache_invalidate(execute.cast_mut().cast(), length) };
}

/// Makes what was written at `write` visible to instruction fetches at `execute`.
#[cfg(all(target_arch = "aarch64", windows))]
pub(crate) fn publish(_write: *const u8, execute: *const u8, length: usize) {
    #[link(name = "kernel32")]
    unsafe extern "system" {
        fn GetCurrentProcess() -> *mut std::ffi::c_void;
        fn FlushInstructionCache(
            process: *mut std::ffi::c_void,
            start: *const std::ffi::c_void,
            length: usize,
        ) -> i32;
    }
    // SAFETY: the system's own functions, on a range that the caller has mapped.
    unsafe { FlushInstructionCache(GetCurrentProcess(), execute.cast(), length) };
}

/// Patchjit makes no code for other processors, so there is nothing to publish.
#[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
pub(crate) fn publish(_write: *const u8, _execute: *const u8, _length: usize) {}
