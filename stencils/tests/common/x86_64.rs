//! How code is run on x86-64.

pub const INTS: usize = 16;
pub const FLOATS: usize = 16;
pub const FLOAT_WORDS: usize = 2;

/// Neither loaded nor stored: code gives back what it has taken, or does not return.
pub const STACK_POINTER: usize = 4;

/// Registers that any template may write: there are none.
pub const OWN: &[usize] = &[];

/// Where the first two arguments of C functions are.
pub const C_ARGUMENTS: [usize; 2] = if cfg!(windows) { [1, 2] } else { [7, 6] };

/// By how much the beginning of a frame without room of its own moves the stack pointer: the call has stored the return
/// address.
pub const PUSHED: u64 = 0;

/// Ends code that has not gone to its target: `clc; ret`.
pub const FELL_THROUGH: [u8; 2] = [0xf8, 0xc3];
/// Ends code that has: `stc; ret`.
pub const JUMPED: [u8; 2] = [0xf9, 0xc3];

unsafe extern "sysv64" {
    /// Loads a state's registers, runs the code, and stores the registers in the state again.
    pub fn patchjit_run_stencil(state: *mut super::State, code: *const u8);
}

core::arch::global_asm!(
    ".globl patchjit_run_stencil; patchjit_run_stencil:",
    "push rbx; push rbp; push r12; push r13; push r14; push r15",
    "push rdi; push rsi; sub rsp, 8",
    "movups xmm0, [rdi + 128]; movups xmm1, [rdi + 144]; movups xmm2, [rdi + 160]; movups xmm3, [rdi + 176]",
    "movups xmm4, [rdi + 192]; movups xmm5, [rdi + 208]; movups xmm6, [rdi + 224]; movups xmm7, [rdi + 240]",
    "movups xmm8, [rdi + 256]; movups xmm9, [rdi + 272]; movups xmm10, [rdi + 288]; movups xmm11, [rdi + 304]",
    "movups xmm12, [rdi + 320]; movups xmm13, [rdi + 336]; movups xmm14, [rdi + 352]; movups xmm15, [rdi + 368]",
    "mov rax, [rdi]; mov rcx, [rdi + 8]; mov rdx, [rdi + 16]; mov rbx, [rdi + 24]; mov rbp, [rdi + 40]",
    "mov rsi, [rdi + 48]; mov r8, [rdi + 64]; mov r9, [rdi + 72]; mov r10, [rdi + 80]; mov r11, [rdi + 88]",
    "mov r12, [rdi + 96]; mov r13, [rdi + 104]; mov r14, [rdi + 112]; mov r15, [rdi + 120]; mov rdi, [rdi + 56]",
    "call qword ptr [rsp + 8]",
    "push rdi; mov rdi, [rsp + 24]; setc byte ptr [rdi + 384]",
    "mov [rdi], rax; mov [rdi + 8], rcx; mov [rdi + 16], rdx; mov [rdi + 24], rbx; mov [rdi + 40], rbp",
    "mov [rdi + 48], rsi; mov [rdi + 64], r8; mov [rdi + 72], r9; mov [rdi + 80], r10; mov [rdi + 88], r11",
    "mov [rdi + 96], r12; mov [rdi + 104], r13; mov [rdi + 112], r14; mov [rdi + 120], r15; pop rax; mov [rdi + 56], rax",
    "movups [rdi + 128], xmm0; movups [rdi + 144], xmm1; movups [rdi + 160], xmm2; movups [rdi + 176], xmm3",
    "movups [rdi + 192], xmm4; movups [rdi + 208], xmm5; movups [rdi + 224], xmm6; movups [rdi + 240], xmm7",
    "movups [rdi + 256], xmm8; movups [rdi + 272], xmm9; movups [rdi + 288], xmm10; movups [rdi + 304], xmm11",
    "movups [rdi + 320], xmm12; movups [rdi + 336], xmm13; movups [rdi + 352], xmm14; movups [rdi + 368], xmm15",
    "add rsp, 24; pop r15; pop r14; pop r13; pop r12; pop rbp; pop rbx; ret",
);

/// Lets a function that runs on a state return to this code. Here it returns to the call above it.
pub fn set_return(_state: &mut super::State, _to: *const u8) {}

/// The hole that was this code, leading to a target.
pub fn lead(code: u64, at: usize, target: usize) -> u64 {
    let distance = (target as u32).wrapping_sub(at as u32 + 4);
    code & !0xffff_ffff | u64::from(distance)
}
