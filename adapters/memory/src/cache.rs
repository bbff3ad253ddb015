//! Instruction cache maintenance: what a processor needs before it runs bytes that were just written.

/// Makes what was written at `write` visible to instruction fetches at `execute`. The caller has mapped both.
#[cfg(not(any(
    all(target_arch = "aarch64", any(windows, target_vendor = "apple")),
    all(target_arch = "riscv64", target_os = "linux")
)))]
pub(crate) fn publish(write: *const u8, execute: *const u8, length: usize) {
    // SAFETY: both ranges are mapped.
    unsafe { patchjit::cache::synchronize(write, execute, length) };
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

/// Makes what was written at `write` visible to instruction fetches at `execute`, on every processor that may run this process's
/// threads.
#[cfg(all(target_arch = "riscv64", target_os = "linux"))]
pub(crate) fn publish(_write: *const u8, execute: *const u8, length: usize) {
    const RISCV_FLUSH_ICACHE: libc::c_long = 259;
    /// Not for the processor alone that runs this.
    const EVERYWHERE: usize = 0;
    let end = execute.wrapping_add(length);
    // SAFETY: the system's own function, on a range that the caller has mapped.
    unsafe { libc::syscall(RISCV_FLUSH_ICACHE, execute, end, EVERYWHERE) };
}
