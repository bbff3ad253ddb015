//! What generated tables are written in: short constructors for the records of the schema.

pub(crate) use patchjit::stencil::{Family, Form, StencilSet, Template};
use patchjit::stencil::{
    Immediate, MAX_OPERANDS, NO_FAMILY, OperandKind, RegisterFile, RegisterSet,
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
        immediate,
        has_target: has_target != 0,
    }
}

/// A template: registers, equal, unequal, immediate and its place, targets, length, chunk, masks.
#[allow(clippy::too_many_arguments, reason = "a row of a table")]
pub(crate) const fn template(
    allowed: [u32; MAX_OPERANDS],
    equal: u8,
    unequal: u8,
    immediate: Immediate,
    immediate_at: u8,
    target_at: [u8; 2],
    length: u8,
    chunk: u16,
    masks: [u8; MAX_OPERANDS],
) -> Template {
    Template {
        allowed,
        restricted: false,
        equal,
        unequal,
        immediate,
        immediate_at,
        target_at,
        length,
        chunk,
        masks,
    }
}

/// Marks the templates that do not serve every register that their family allows.
pub(crate) const fn settle<const N: usize>(
    families: &[Family],
    mut templates: [Template; N],
) -> [Template; N] {
    let mut index = 0;
    while index < families.len() {
        let family = &families[index];
        let mut at = family.first_template as usize;
        let end = at + family.template_count as usize;
        while at < end {
            let mut operand = 0;
            while operand < MAX_OPERANDS {
                let wanted = family.allowed[operand];
                let is_there = !matches!(family.kinds[operand], OperandKind::None);
                if is_there && templates[at].allowed[operand] & wanted != wanted {
                    templates[at].restricted = true;
                }
                operand += 1;
            }
            at += 1;
        }
        index += 1;
    }
    templates
}

/// A chunk of code; the first byte is the number's highest.
pub(crate) const fn chunk(bytes: u128) -> [u64; 2] {
    let bytes = bytes.swap_bytes();
    [bytes as u64, (bytes >> 64) as u64]
}

/// A row of masks, from what each bit of the register's number changes.
pub(crate) const fn row(bits: [u128; 4]) -> [[u64; 2]; 16] {
    let mut masks = [[0; 2]; 16];
    let mut register = 0;
    while register < 16 {
        let mut mask = 0;
        let mut bit = 0;
        while bit < 4 {
            if register >> bit & 1 == 1 {
                mask ^= bits[bit];
            }
            bit += 1;
        }
        masks[register] = chunk(mask);
        register += 1;
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
