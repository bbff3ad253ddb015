//! What the image needs of AArch64 Linux.

use core::arch::{asm, global_asm};
use patchjit::stencil::StencilSet;

/// Its stencils.
pub const SET: &StencilSet = &patchjit_stencils::AARCH64_AAPCS;

// What the compiler may call without saying so, and the start of the program.
global_asm!(
    ".globl _start",
    "_start: b {start}",
    ".globl memcpy, memmove, memset, memcmp, bcmp",
    "memcpy: memmove: mov x3, x0",
    "cmp x0, x1",
    "b.hi 3f",
    "1: cbz x2, 2f",
    "ldrb w4, [x1], #1",
    "strb w4, [x3], #1",
    "sub x2, x2, #1",
    "b 1b",
    "2: ret",
    // To a higher address: the last byte first.
    "3: cbz x2, 2b",
    "sub x2, x2, #1",
    "ldrb w4, [x1, x2]",
    "strb w4, [x3, x2]",
    "b 3b",
    "memset: mov x3, x0",
    "4: cbz x2, 2b",
    "strb w1, [x3], #1",
    "sub x2, x2, #1",
    "b 4b",
    "memcmp: bcmp: mov x3, x0",
    "mov w0, #0",
    "5: cbz x2, 2b",
    "ldrb w4, [x3], #1",
    "ldrb w5, [x1], #1",
    "sub x2, x2, #1",
    "subs w0, w4, w5",
    "b.eq 5b",
    "ret",
    start = sym super::start,
);

/// Ends the process.
pub fn exit(status: i32) -> ! {
    // SAFETY: exit_group, which does not return.
    unsafe { asm!("svc #0", in("x8") 94, in("x0") status, options(noreturn)) }
}

/// Makes pages of the image executable, and no longer writable.
pub fn make_executable(start: u64, length: usize) -> bool {
    let result: i64;
    // SAFETY: mprotect to read and execute, of pages that hold code only.
    unsafe {
        asm!("svc #0", in("x8") 226, inout("x0") start as i64 => result, in("x1") length, in("x2") 5);
    }
    result == 0
}
