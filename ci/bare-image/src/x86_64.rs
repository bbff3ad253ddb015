//! What the image needs of x86-64 Linux.

use core::arch::{asm, global_asm};
use patchjit::stencil::StencilSet;

/// Its stencils.
pub const SET: &StencilSet = &patchjit_stencils::X86_64_SYSV;

// What the compiler may call without saying so, and the start of the program.
global_asm!(
    ".globl _start",
    "_start: and rsp, -16",
    "call {start}",
    "ud2",
    ".globl memcpy, memmove, memset, memcmp, bcmp",
    "memcpy: mov rax, rdi",
    "mov rcx, rdx",
    "rep movsb",
    "ret",
    "memmove: mov rax, rdi",
    "mov rcx, rdx",
    "mov r8, rdi",
    "sub r8, rsi",
    "cmp r8, rdx",
    "jb 1f",
    "rep movsb",
    "ret",
    "1: lea rdi, [rdi + rcx - 1]",
    "lea rsi, [rsi + rcx - 1]",
    "std",
    "rep movsb",
    "cld",
    "ret",
    "memset: mov r8, rdi",
    "mov eax, esi",
    "mov rcx, rdx",
    "rep stosb",
    "mov rax, r8",
    "ret",
    "memcmp: bcmp: mov rcx, rdx",
    "xor eax, eax",
    "test rcx, rcx",
    "repe cmpsb",
    "je 2f",
    "movzx eax, byte ptr [rdi - 1]",
    "movzx ecx, byte ptr [rsi - 1]",
    "sub eax, ecx",
    "2: ret",
    start = sym super::start,
);

/// Ends the process.
pub fn exit(status: i32) -> ! {
    // SAFETY: exit_group, which does not return.
    unsafe { asm!("syscall", in("rax") 231, in("rdi") status, options(noreturn)) }
}

/// Makes pages of the image executable, and no longer writable.
pub fn make_executable(start: u64, length: usize) -> bool {
    let result: i64;
    // SAFETY: mprotect to read and execute, of pages that hold code only.
    unsafe {
        asm!(
            "syscall", inout("rax") 10i64 => result,
            in("rdi") start, in("rsi") length, in("rdx") 5,
            out("rcx") _, out("r11") _,
        );
    }
    result == 0
}
