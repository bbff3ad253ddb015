//! How code is run on RISC-V.
//!
//! x7 holds the address of the code, and leads back from it: any template may write it, none reads what it was. x8 holds the
//! address of the frame in which the way back stands: no template writes it.

pub const INTS: usize = 32;
pub const FLOATS: usize = 32;
pub const FLOAT_WORDS: usize = 1;

/// Not loaded: what is stored is what stood in the state, plus how far it has moved. x3 and x4, the platform's, are treated
/// alike; x0, x7 and x8 stay as they are in the state.
pub const STACK_POINTER: usize = 2;

/// Registers that any template may write and that are stored, but for x1, which functions give back.
pub const OWN: &[usize] = &[28, 29, 30];

/// Where the first two arguments of C functions are.
pub const C_ARGUMENTS: [usize; 2] = [10, 11];

/// By how much the beginning of a frame without room of its own moves the stack pointer: it stores the return address.
pub const PUSHED: u64 = 16;

/// Ends code that has not gone to its target: `ld x7, 224(x8); jalr x0, 0(x7)`.
pub const FELL_THROUGH: [u8; 8] = 0x0003_8067_0e04_3383_u64.to_le_bytes();
/// Ends code that has: `ld x7, 232(x8); jalr x0, 0(x7)`.
pub const JUMPED: [u8; 8] = 0x0003_8067_0e84_3383_u64.to_le_bytes();

unsafe extern "C" {
    /// Loads a state's registers, runs the code, and stores the registers in the state again.
    pub fn patchjit_run_stencil(state: *mut super::State, code: *const u8);
}

// The frame: what C keeps, x1 and x8 first, floats from 104, the state's address at 200, x3 and x4, the two ways back at 224.
// Below it is room for what the end of a function's frame takes from the stack, where it is run without a beginning.
core::arch::global_asm!(
    ".option push; .option arch, +d",
    ".globl patchjit_run_stencil; patchjit_run_stencil: addi sp, sp, -240",
    "sd x1, 0(sp); sd x8, 8(sp); sd x9, 16(sp); sd x18, 24(sp); sd x19, 32(sp); sd x20, 40(sp)",
    "sd x21, 48(sp); sd x22, 56(sp); sd x23, 64(sp); sd x24, 72(sp); sd x25, 80(sp); sd x26, 88(sp)",
    "sd x27, 96(sp)",
    "fsd f8, 104(sp); fsd f9, 112(sp); fsd f18, 120(sp); fsd f19, 128(sp); fsd f20, 136(sp); fsd f21, 144(sp)",
    "fsd f22, 152(sp); fsd f23, 160(sp); fsd f24, 168(sp); fsd f25, 176(sp); fsd f26, 184(sp); fsd f27, 192(sp)",
    "sd x10, 200(sp); sd x3, 208(sp); sd x4, 216(sp); lla x12, 1f; sd x12, 224(sp); lla x12, 2f; sd x12, 232(sp)",
    "addi x8, sp, 0; addi sp, sp, -32; addi x7, x11, 0",
    "fld f0, 256(x10); fld f1, 264(x10); fld f2, 272(x10); fld f3, 280(x10); fld f4, 288(x10); fld f5, 296(x10)",
    "fld f6, 304(x10); fld f7, 312(x10); fld f8, 320(x10); fld f9, 328(x10); fld f10, 336(x10); fld f11, 344(x10)",
    "fld f12, 352(x10); fld f13, 360(x10); fld f14, 368(x10); fld f15, 376(x10); fld f16, 384(x10); fld f17, 392(x10)",
    "fld f18, 400(x10); fld f19, 408(x10); fld f20, 416(x10); fld f21, 424(x10); fld f22, 432(x10); fld f23, 440(x10)",
    "fld f24, 448(x10); fld f25, 456(x10); fld f26, 464(x10); fld f27, 472(x10); fld f28, 480(x10); fld f29, 488(x10)",
    "fld f30, 496(x10); fld f31, 504(x10)",
    "ld x1, 8(x10); ld x5, 40(x10); ld x6, 48(x10); ld x9, 72(x10); ld x11, 88(x10); ld x12, 96(x10)",
    "ld x13, 104(x10); ld x14, 112(x10); ld x15, 120(x10); ld x16, 128(x10); ld x17, 136(x10); ld x18, 144(x10)",
    "ld x19, 152(x10); ld x20, 160(x10); ld x21, 168(x10); ld x22, 176(x10); ld x23, 184(x10); ld x24, 192(x10)",
    "ld x25, 200(x10); ld x26, 208(x10); ld x27, 216(x10); ld x28, 224(x10); ld x29, 232(x10); ld x30, 240(x10)",
    "ld x31, 248(x10)",
    "ld x10, 80(x10); jalr x0, 0(x7)",
    "1: ld x7, 200(x8); sd x10, 80(x7); addi x10, x0, 0; j 3f",
    "2: ld x7, 200(x8); sd x10, 80(x7); addi x10, x0, 1",
    "3: sd x10, 512(x7)",
    "sd x1, 8(x7); sd x5, 40(x7); sd x6, 48(x7); sd x9, 72(x7); sd x11, 88(x7); sd x12, 96(x7)",
    "sd x13, 104(x7); sd x14, 112(x7); sd x15, 120(x7); sd x16, 128(x7); sd x17, 136(x7); sd x18, 144(x7)",
    "sd x19, 152(x7); sd x20, 160(x7); sd x21, 168(x7); sd x22, 176(x7); sd x23, 184(x7); sd x24, 192(x7)",
    "sd x25, 200(x7); sd x26, 208(x7); sd x27, 216(x7); sd x28, 224(x7); sd x29, 232(x7); sd x30, 240(x7)",
    "sd x31, 248(x7)",
    "fsd f0, 256(x7); fsd f1, 264(x7); fsd f2, 272(x7); fsd f3, 280(x7); fsd f4, 288(x7); fsd f5, 296(x7)",
    "fsd f6, 304(x7); fsd f7, 312(x7); fsd f8, 320(x7); fsd f9, 328(x7); fsd f10, 336(x7); fsd f11, 344(x7)",
    "fsd f12, 352(x7); fsd f13, 360(x7); fsd f14, 368(x7); fsd f15, 376(x7); fsd f16, 384(x7); fsd f17, 392(x7)",
    "fsd f18, 400(x7); fsd f19, 408(x7); fsd f20, 416(x7); fsd f21, 424(x7); fsd f22, 432(x7); fsd f23, 440(x7)",
    "fsd f24, 448(x7); fsd f25, 456(x7); fsd f26, 464(x7); fsd f27, 472(x7); fsd f28, 480(x7); fsd f29, 488(x7)",
    "fsd f30, 496(x7); fsd f31, 504(x7)",
    "ld x10, 208(x8); sub x10, x3, x10; ld x11, 24(x7); add x11, x11, x10; sd x11, 24(x7)",
    "ld x10, 216(x8); sub x10, x4, x10; ld x11, 32(x7); add x11, x11, x10; sd x11, 32(x7)",
    "addi x10, sp, 32; sub x10, x10, x8; ld x11, 16(x7); add x11, x11, x10; sd x11, 16(x7)",
    "addi sp, x8, 0",
    "fld f8, 104(sp); fld f9, 112(sp); fld f18, 120(sp); fld f19, 128(sp); fld f20, 136(sp); fld f21, 144(sp)",
    "fld f22, 152(sp); fld f23, 160(sp); fld f24, 168(sp); fld f25, 176(sp); fld f26, 184(sp); fld f27, 192(sp)",
    "ld x1, 0(sp); ld x8, 8(sp); ld x9, 16(sp); ld x18, 24(sp); ld x19, 32(sp); ld x20, 40(sp)",
    "ld x21, 48(sp); ld x22, 56(sp); ld x23, 64(sp); ld x24, 72(sp); ld x25, 80(sp); ld x26, 88(sp)",
    "ld x27, 96(sp)",
    "addi sp, sp, 240; ret; .option pop",
);

/// Lets a function that runs on a state return to this code.
pub fn set_return(state: &mut super::State, to: *const u8) {
    state.ints[1] = to as u64;
}

/// The hole that was this code, leading to a target.
pub fn lead(code: u64, at: usize, target: usize) -> u64 {
    let distance = (target as u32).wrapping_sub(at as u32);
    let bits =
        |from: u32, count: u32, to: u32| u64::from(distance >> from & ((1 << count) - 1)) << to;
    let laid = match code & 0x7f {
        // Branches; jal; auipc, and what is behind it.
        0x63 => bits(12, 1, 31) | bits(5, 6, 25) | bits(1, 4, 8) | bits(11, 1, 7),
        0x6f => bits(20, 1, 31) | bits(1, 10, 21) | bits(11, 1, 20) | bits(12, 8, 12),
        0x17 => u64::from(distance.wrapping_add(1 << 11) & !0xfff) | bits(0, 12, 52),
        _ => panic!("{code:#x} is no hole"),
    };
    code & !super::SET.distances.field(code) | laid
}
