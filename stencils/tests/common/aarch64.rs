//! How code is run on AArch64.
//!
//! x17 holds the address of the code, and leads back from it: any template may write it, none reads what it was. x29 holds
//! the address of the frame in which the way back stands: no template writes it.

pub const INTS: usize = 32;
pub const FLOATS: usize = 32;
pub const FLOAT_WORDS: usize = 2;

/// Not loaded: what is stored is what stood in the state, plus how far it has moved. x18, the platform's, is treated alike;
/// x17 and x29 stay as they are in the state.
pub const STACK_POINTER: usize = 31;

/// Registers that any template may write and that are stored: only x30, which functions give back.
pub const OWN: &[usize] = &[];

/// Where the first two arguments of C functions are.
pub const C_ARGUMENTS: [usize; 2] = [0, 1];

/// By how much the beginning of a frame without room of its own moves the stack pointer: it stores the return address.
pub const PUSHED: u64 = 16;

/// Ends code that has not gone to its target: `ldr x17, [x29, #176]; br x17`.
pub const FELL_THROUGH: [u8; 8] = 0xd61f_0220_f940_5bb1_u64.to_le_bytes();
/// Ends code that has: `ldr x17, [x29, #184]; br x17`.
pub const JUMPED: [u8; 8] = 0xd61f_0220_f940_5fb1_u64.to_le_bytes();

unsafe extern "C" {
    /// Loads a state's registers, runs the code, and stores the registers in the state again.
    pub fn patchjit_run_stencil(state: *mut super::State, code: *const u8);
}

// The frame: x29 and x30, x19 to x28 from 16, d8 to d15 from 96, the state's address and x18 at 160, the two ways back at
// 176. Below it is room for what the end of a function's frame takes from the stack, where it is run without a beginning.
core::arch::global_asm!(
    ".globl patchjit_run_stencil; patchjit_run_stencil:",
    "stp x29, x30, [sp, #-192]!; mov x29, sp; stp x19, x20, [sp, #16]; stp x21, x22, [sp, #32]",
    "stp x23, x24, [sp, #48]; stp x25, x26, [sp, #64]; stp x27, x28, [sp, #80]",
    "stp d8, d9, [sp, #96]; stp d10, d11, [sp, #112]; stp d12, d13, [sp, #128]; stp d14, d15, [sp, #144]",
    "stp x0, x18, [sp, #160]; adr x2, 1f; adr x3, 2f; stp x2, x3, [sp, #176]; sub sp, sp, #32",
    "ldp q0, q1, [x0, #256]; ldp q2, q3, [x0, #288]; ldp q4, q5, [x0, #320]; ldp q6, q7, [x0, #352]",
    "ldp q8, q9, [x0, #384]; ldp q10, q11, [x0, #416]; ldp q12, q13, [x0, #448]; ldp q14, q15, [x0, #480]",
    "ldp q16, q17, [x0, #512]; ldp q18, q19, [x0, #544]; ldp q20, q21, [x0, #576]; ldp q22, q23, [x0, #608]",
    "ldp q24, q25, [x0, #640]; ldp q26, q27, [x0, #672]; ldp q28, q29, [x0, #704]; ldp q30, q31, [x0, #736]",
    "mov x17, x1; ldp x1, x2, [x0, #8]; ldp x3, x4, [x0, #24]; ldp x5, x6, [x0, #40]; ldp x7, x8, [x0, #56]",
    "ldp x9, x10, [x0, #72]; ldp x11, x12, [x0, #88]; ldp x13, x14, [x0, #104]; ldp x15, x16, [x0, #120]",
    "ldp x19, x20, [x0, #152]; ldp x21, x22, [x0, #168]; ldp x23, x24, [x0, #184]; ldp x25, x26, [x0, #200]",
    "ldp x27, x28, [x0, #216]; ldr x30, [x0, #240]; ldr x0, [x0]; br x17",
    "1: ldr x17, [x29, #160]; str x0, [x17]; mov x0, #0; b 3f",
    "2: ldr x17, [x29, #160]; str x0, [x17]; mov x0, #1",
    "3: str x0, [x17, #768]",
    "stp x1, x2, [x17, #8]; stp x3, x4, [x17, #24]; stp x5, x6, [x17, #40]; stp x7, x8, [x17, #56]",
    "stp x9, x10, [x17, #72]; stp x11, x12, [x17, #88]; stp x13, x14, [x17, #104]; stp x15, x16, [x17, #120]",
    "stp x19, x20, [x17, #152]; stp x21, x22, [x17, #168]; stp x23, x24, [x17, #184]; stp x25, x26, [x17, #200]",
    "stp x27, x28, [x17, #216]; str x30, [x17, #240]",
    "stp q0, q1, [x17, #256]; stp q2, q3, [x17, #288]; stp q4, q5, [x17, #320]; stp q6, q7, [x17, #352]",
    "stp q8, q9, [x17, #384]; stp q10, q11, [x17, #416]; stp q12, q13, [x17, #448]; stp q14, q15, [x17, #480]",
    "stp q16, q17, [x17, #512]; stp q18, q19, [x17, #544]; stp q20, q21, [x17, #576]; stp q22, q23, [x17, #608]",
    "stp q24, q25, [x17, #640]; stp q26, q27, [x17, #672]; stp q28, q29, [x17, #704]; stp q30, q31, [x17, #736]",
    "ldr x0, [x29, #168]; sub x0, x18, x0; ldr x1, [x17, #144]; add x0, x0, x1; str x0, [x17, #144]",
    "mov x0, sp; add x0, x0, #32; sub x0, x0, x29; ldr x1, [x17, #248]; add x0, x0, x1; str x0, [x17, #248]",
    "mov sp, x29; ldp d14, d15, [sp, #144]; ldp d12, d13, [sp, #128]; ldp d10, d11, [sp, #112]; ldp d8, d9, [sp, #96]",
    "ldp x27, x28, [sp, #80]; ldp x25, x26, [sp, #64]; ldp x23, x24, [sp, #48]; ldp x21, x22, [sp, #32]",
    "ldp x19, x20, [sp, #16]; ldp x29, x30, [sp], #192; ret",
);

/// Lets a function that runs on a state return to this code.
pub fn set_return(state: &mut super::State, to: *const u8) {
    state.ints[30] = to as u64;
}

/// The hole that was this code, leading to a target.
pub fn lead(code: u64, at: usize, target: usize) -> u64 {
    let distance = u64::from((target as u32).wrapping_sub(at as u32));
    let is_adr = code & 0x9f00_0000 == 0x1000_0000;
    let is_movz = code & 0xff80_0000 == 0x5280_0000;
    let field = super::SET.distances.field(code);
    let bits = if is_adr {
        (distance & 3) << 29 | distance >> 2 << 5
    } else if is_movz {
        // 16 bits in it, 16 in the `movk` behind it.
        (distance & 0xffff) << 5 | distance >> 16 << 37
    } else {
        distance >> 2 << field.trailing_zeros()
    };
    code & !field | bits & field
}
