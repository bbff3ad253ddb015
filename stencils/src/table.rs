//! What generated tables are written in: short constructors for the records of the schema.

pub(crate) use patchjit::stencil::{
    Distances, Family, Form, Immediate, MASKS, MAX_OPERANDS, StencilSet, Template, Word,
};
use patchjit::stencil::{
    Hole, HolesAt, NO_FAMILY, OperandKind, PATTERNS, RegisterFile, RegisterSet, Rows,
};

/// No family.
pub(crate) const X: u16 = NO_FAMILY;
/// Not there.
pub(crate) const N: u8 = patchjit::stencil::ABSENT;
/// Every register: of an operand that is not there.
pub(crate) const ALL: u32 = u32::MAX;
pub(crate) const I0: Immediate = Immediate::None;
pub(crate) const S8: Immediate = Immediate::Signed8;
pub(crate) const S32: Immediate = Immediate::Signed32;
pub(crate) const B32: Immediate = Immediate::Bits32;
pub(crate) const B64: Immediate = Immediate::Bits64;

/// A family: templates, output, kinds of operands, registers, tied, distinct, clobbers, immediate, target.
#[allow(clippy::too_many_arguments, reason = "a row of a table")]
pub(crate) const fn family(
    first_template: u16,
    template_count: u8,
    has_output: u8,
    kinds: &[u8; MAX_OPERANDS],
    allowed: [u32; MAX_OPERANDS],
    tied: u8,
    distinct: u8,
    clobbers: u64,
    immediate: Immediate,
    has_target: u8,
) -> Family {
    const fn kind(letter: u8) -> OperandKind {
        match letter {
            b'i' => OperandKind::Int,
            b'f' => OperandKind::Float,
            b's' => OperandKind::Scale,
            _ => OperandKind::None,
        }
    }
    Family {
        first_template,
        template_count,
        starts: [u16::MAX; PATTERNS],
        has_output: has_output != 0,
        kinds: [
            kind(kinds[0]),
            kind(kinds[1]),
            kind(kinds[2]),
            kind(kinds[3]),
        ],
        allowed,
        tied,
        distinct,
        clobbers: RegisterSet(clobbers),
        hazards: RegisterSet(clobbers),
        immediate,
        has_target: has_target != 0,
    }
}

/// The families with what their templates say of them.
pub(crate) const fn settle<const N: usize>(
    mut families: [Family; N],
    templates: &[Template],
) -> [Family; N] {
    let mut index = 0;
    while index < N {
        families[index] = families[index].settled(templates);
        index += 1;
    }
    families
}

/// A template: code, masks, further words and their number, length, immediate and its place, targets, equal, unequal, restriction.
#[allow(clippy::too_many_arguments, reason = "a row of a table")]
pub(crate) const fn template(
    code: u128,
    masks: [u8; MAX_OPERANDS],
    first_word: u16,
    word_count: u8,
    length: u8,
    immediate: Immediate,
    immediate_at: u8,
    target_at: [u8; 2],
    equal: u8,
    unequal: u8,
    restriction: u8,
) -> Template {
    Template {
        code: [
            ((code >> 64) as u64).swap_bytes(),
            (code as u64).swap_bytes(),
        ],
        rows: Rows::new(masks),
        first_word,
        word_count,
        length,
        immediate,
        holes: HolesAt::new(target_at, immediate_at),
        hole: Hole::new(immediate, immediate_at),
        equal,
        unequal,
        restriction,
    }
}

/// A further word of a template; the first byte is the number's highest.
pub(crate) const fn word(code: u64, masks: [u8; MAX_OPERANDS]) -> Word {
    Word {
        code: code.swap_bytes(),
        rows: Rows::new(masks),
    }
}

/// Rows of masks, from what each bit of the register's number changes; the first byte is the number's highest.
pub(crate) const fn rows<const N: usize, const BITS: usize>(
    rows: [[u64; BITS]; N],
) -> [u64; MASKS] {
    let mut masks = [0; MASKS];
    let mut at = 0;
    while at < N {
        let mut register = 0;
        while register < 1 << BITS {
            let mut bit = 0;
            while bit < BITS {
                if register >> bit & 1 == 1 {
                    masks[(at << BITS) + register] ^= rows[at][bit].swap_bytes();
                }
                bit += 1;
            }
            register += 1;
        }
        at += 1;
    }
    masks
}

/// The registers of x86-64 under the System V conventions. rsp is the machine stack, rbp the context, r10
/// and xmm15 are scratch.
pub(crate) const X86_64_SYSV_REGISTERS: RegisterFile = RegisterFile {
    allocatable: RegisterSet(0xfbcf | 0x7fff << 32),
    preserved: RegisterSet(0xf008),
    int_arguments: &[7, 6, 8, 9, 11, 2, 1, 0],
    float_arguments: &[0, 1, 2, 3, 4, 5, 6, 7],
    int_scratch: 10,
    float_scratch: 15,
    context: 5,
    host_status: 0,
    above_f32: 0,
    names: [
        &[
            "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11",
            "r12", "r13", "r14", "r15",
        ],
        &[
            "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
            "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15",
        ],
    ],
    return_address_size: 8,
    stack_alignment: 16,
};

/// The registers of x86-64 under the conventions of Windows: the same, with more of them kept by host functions. Two arguments
/// are in registers that are kept, since only six of those for values are not.
pub(crate) const X86_64_WINDOWS_REGISTERS: RegisterFile = RegisterFile {
    preserved: RegisterSet(0xf0c8 | 0x7fc0 << 32),
    ..X86_64_SYSV_REGISTERS
};

/// The same for its later processors.
pub(crate) const X86_64_SYSV_V3_REGISTERS: RegisterFile = X86_64_SYSV_REGISTERS;

/// The registers of AArch64 under the AAPCS64 conventions. x28 is the context, x16 and v31 are scratch, x17, x30 and v30
/// belong to templates, x18 to the platform, x29 to C's chain of frames.
pub(crate) const AARCH64_AAPCS_REGISTERS: RegisterFile = RegisterFile {
    allocatable: RegisterSet(0x0ff8_ffff | 0xffff << 32),
    preserved: RegisterSet(0x0ff8_0000 | 0xff00 << 32),
    int_arguments: &[0, 1, 2, 3, 4, 5, 6, 7],
    float_arguments: &[0, 1, 2, 3, 4, 5, 6, 7],
    int_scratch: 16,
    float_scratch: 31,
    context: 28,
    host_status: 0,
    above_f32: 0,
    names: [
        &[
            "x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13",
            "x14", "x15", "x16", "x17", "x18", "x19", "x20", "x21", "x22", "x23", "x24", "x25",
            "x26", "x27", "x28", "x29", "x30", "sp",
        ],
        &[
            "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13",
            "v14", "v15", "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23", "v24", "v25",
            "v26", "v27", "v28", "v29", "v30", "v31",
        ],
    ],
    return_address_size: 16,
    stack_alignment: 16,
};

/// The registers of RISC-V under the LP64D conventions. x27 is the context, x31 and f31 are scratch, x1, x7, x28 to x30 and f28
/// to f30 belong to templates, x8 is C's frame pointer, x3 and x4 are the platform's. Of floats that host functions keep, entry
/// maps have room for f8 and f9.
pub(crate) const RISCV64_LP64D_REGISTERS: RegisterFile = RegisterFile {
    allocatable: RegisterSet(0x07ff_fe60 | 0xffff << 32),
    preserved: RegisterSet(0x07fc_0200 | 0x0300 << 32),
    int_arguments: &[10, 11, 12, 13, 14, 15, 16, 17],
    float_arguments: &[10, 11, 12, 13, 14, 15, 0, 1],
    int_scratch: 31,
    float_scratch: 31,
    context: 27,
    host_status: 10,
    above_f32: 0xffff_ffff << 32,
    names: [
        &[
            "x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13",
            "x14", "x15", "x16", "x17", "x18", "x19", "x20", "x21", "x22", "x23", "x24", "x25",
            "x26", "x27", "x28", "x29", "x30", "x31",
        ],
        &[
            "f0", "f1", "f2", "f3", "f4", "f5", "f6", "f7", "f8", "f9", "f10", "f11", "f12", "f13",
            "f14", "f15", "f16", "f17", "f18", "f19", "f20", "f21", "f22", "f23", "f24", "f25",
            "f26", "f27", "f28", "f29", "f30", "f31",
        ],
    ],
    return_address_size: 16,
    stack_alignment: 16,
};
