//! Enters Cranelift's code so that a trap can abandon all of its frames.
//!
//! Our entry stencil saves the machine's registers, notes the stack pointer in the context, and a trap returns
//! to it. The same here, by hand, so that Cranelift pays for a trap where it happens and nowhere else.

use patchjit::runtime::{Context, Status, offset};

#[cfg(all(target_arch = "x86_64", not(windows)))]
core::arch::global_asm!(
    ".p2align 4",
    ".globl patchjit_peers_enter",
    "patchjit_peers_enter:", // rdi: context, rsi: values, rdx: entry
    "push rbp",
    "push rbx",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "sub rsp, 8",
    "mov [rdi + {stack}], rsp",
    "call rdx",
    "jmp 2f",
    ".p2align 4",
    ".globl patchjit_peers_leave",
    "patchjit_peers_leave:", // rdi: context, esi: status
    "mov rsp, [rdi + {stack}]",
    "mov eax, esi",
    "2:",
    "add rsp, 8",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbx",
    "pop rbp",
    "ret",
    stack = const offset::STACK,
);

#[cfg(all(target_arch = "aarch64", not(windows), not(target_vendor = "apple")))]
core::arch::global_asm!(
    ".p2align 4",
    ".globl patchjit_peers_enter",
    "patchjit_peers_enter:", // x0: context, x1: values, x2: entry
    "stp x29, x30, [sp, #-160]!",
    "stp x19, x20, [sp, #16]",
    "stp x21, x22, [sp, #32]",
    "stp x23, x24, [sp, #48]",
    "stp x25, x26, [sp, #64]",
    "stp x27, x28, [sp, #80]",
    "stp d8, d9, [sp, #96]",
    "stp d10, d11, [sp, #112]",
    "stp d12, d13, [sp, #128]",
    "stp d14, d15, [sp, #144]",
    "mov x9, sp",
    "str x9, [x0, #{stack}]",
    "blr x2",
    "b 2f",
    ".p2align 4",
    ".globl patchjit_peers_leave",
    "patchjit_peers_leave:", // x0: context, w1: status
    "ldr x9, [x0, #{stack}]",
    "mov sp, x9",
    "mov w0, w1",
    "2:",
    "ldp x19, x20, [sp, #16]",
    "ldp x21, x22, [sp, #32]",
    "ldp x23, x24, [sp, #48]",
    "ldp x25, x26, [sp, #64]",
    "ldp x27, x28, [sp, #80]",
    "ldp d8, d9, [sp, #96]",
    "ldp d10, d11, [sp, #112]",
    "ldp d12, d13, [sp, #128]",
    "ldp d14, d15, [sp, #144]",
    "ldp x29, x30, [sp], #160",
    "ret",
    stack = const offset::STACK,
);

unsafe extern "C" {
    fn patchjit_peers_enter(context: *mut Context, values: *mut u64, entry: u64) -> u32;
    fn patchjit_peers_leave(context: *mut Context, status: u32) -> !;
}

/// The address of the routine that abandons all frames.
pub fn leave_address() -> *const u8 {
    patchjit_peers_leave as *const u8
}

/// Calls an entry, and puts back what a run uses up of the context.
///
/// # Safety
///
/// What [`patchjit::call::enter`] asks for; the entry was made by this crate.
pub unsafe fn run(entry: u64, context: *mut Context, values: *mut u64) -> Status {
    // SAFETY: the caller promises that the context may be read and written.
    let (depth, stack) = unsafe { ((*context).depth, (*context).stack) };
    // SAFETY: the caller promises all that compiled code relies on.
    let status = unsafe { patchjit_peers_enter(context, values, entry) };
    // SAFETY: as above; compiled code is done with it.
    unsafe {
        (*context).depth = depth;
        (*context).stack = stack;
    }
    Status::from_code(status).unwrap_or(Status::Trapped)
}
