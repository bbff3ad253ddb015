//! Builds code from the tables as the compiler core does, and runs it with all registers under control where this process
//! can.
#![allow(dead_code, reason = "each test uses its part")]

#[cfg(all(
    any(
        target_arch = "x86_64",
        target_arch = "aarch64",
        target_arch = "riscv64"
    ),
    any(target_os = "linux", windows)
))]
mod run;

#[cfg(all(
    any(
        target_arch = "x86_64",
        target_arch = "aarch64",
        target_arch = "riscv64"
    ),
    any(target_os = "linux", windows)
))]
#[allow(unused_imports, reason = "the tests of tables run nothing")]
pub use run::*;

use patchjit::stencil::{
    ABSENT, Family, Immediate, MAX_OPERANDS, OperandKind, StencilSet, Template,
};
use patchjit::types::Type;

pub type Registers = [u8; MAX_OPERANDS];

/// The templates of a family.
pub fn templates(set: &StencilSet, family: &Family) -> &'static [Template] {
    let first = family.first_template as usize;
    &set.templates[first..first + family.template_count as usize]
}

/// The kinds of immediate that templates take.
pub fn kinds(templates: &[Template]) -> Vec<Immediate> {
    let mut kinds: Vec<_> = templates.iter().map(|one| one.immediate).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

/// A template's bytes with registers and immediate filled in, holes for the target still zero.
pub fn fill(
    set: &StencilSet,
    template: &Template,
    registers: &Registers,
    immediate: i64,
) -> Vec<u8> {
    let code = set.fill(template, registers.map(u32::from));
    let mut bytes = code[..template.length as usize].to_vec();
    let at = template.holes.immediate();
    if at != ABSENT {
        let bits = template.immediate.encode(immediate).expect("it fits");
        for (to, from) in bytes[at as usize..].iter_mut().zip(bits.to_le_bytes()) {
            *to |= from;
        }
    }
    bytes
}

/// Every assignment that a family permits.
pub fn assignments(family: &Family) -> Vec<Registers> {
    let mut all = vec![[0u8; MAX_OPERANDS]];
    for k in 0..MAX_OPERANDS {
        if family.kinds[k] == OperandKind::None {
            continue;
        }
        all = all
            .into_iter()
            .flat_map(|registers| {
                (0..32u8)
                    .filter(|register| family.allowed[k] >> register & 1 == 1)
                    .map(move |register| {
                        let mut registers = registers;
                        registers[k] = register;
                        registers
                    })
            })
            .collect();
    }
    all.retain(|registers| {
        (0..MAX_OPERANDS).all(|k| {
            (k as u8 != family.tied || registers[k] == registers[0])
                && (family.distinct >> k & 1 == 0 || registers[k] != registers[0])
        })
    });
    all
}

/// Immediates for a template: the bounds of its hole and some between. The last is one that no kind takes which stands
/// before this one in a family.
pub fn immediates(kind: Immediate) -> &'static [i64] {
    match kind {
        Immediate::None => &[0],
        Immediate::Signed8 => &[0, 1, -1, 5, 31, 63, 127, -128],
        Immediate::Signed32 => &[128, -129, 0x1234_5678, i32::MAX as i64, i32::MIN as i64],
        Immediate::Bits32 => &[0, 1, -1, i32::MIN as i64, 0xffff_ffff],
        Immediate::Bits64 | Immediate::Pieces64 => {
            &[0, -1, i64::MIN, i64::MAX, 0x0123_4567_89ab_cdef]
        }
        Immediate::Unsigned12 => &[0, 1, 0x7ff, 0x800, 0xfff],
        Immediate::Negated12 => &[-1, -0x7ff, -0x800, -0xfff],
        Immediate::High12 => &[0, 0x1000, 0x7f_f000, 0x80_0000, 0xff_f000],
        Immediate::Scaled12By2 => &[0, 2, 2 * 0x7ff, 2 * 0x800, 2 * 0xfff],
        Immediate::Scaled12By4 => &[0, 4, 4 * 0x7ff, 4 * 0x800, 4 * 0xfff],
        Immediate::Scaled12By8 => &[0, 8, 8 * 0x7ff, 8 * 0x800, 8 * 0xfff],
        Immediate::Signed9 => &[0, 1, 0xff, -1, -0x100],
        Immediate::Byte => &[0, 1, 0x7f, 0x80, 0xff, -1, -0x80],
        Immediate::Piece0 => &[0, 1, 0x7fff, 0x8000, 0xffff, 0xa5b3],
        Immediate::Piece1 => &[0, 1 << 16, 0x7fff << 16, 0x8000 << 16, 0xffff << 16],
        Immediate::Piece2 => &[0, 1 << 32, 0x7fff << 32, 0x8000 << 32, 0xffff << 32],
        Immediate::Piece3 => &[0, 1 << 48, 0x7fff << 48, i64::MIN, -1 << 48],
        Immediate::Complement16 => &[-1, -2, !0x7fff, !0x8000, !0xffff, !0xa5b3],
        Immediate::Logical32 => &[
            1,
            i32::MAX as i64,
            i32::MIN as i64,
            0x8000_0000,
            -2,
            0x5555_5555,
            0xf0f0_f0f0,
            0xc000_0003,
            0xffff_0000,
            0x3fff_c000,
        ],
        Immediate::Logical64 => &[
            1,
            i64::MAX,
            i64::MIN,
            -2,
            0xffff_ffff,
            0x5555_5555_5555_5555,
            0x00f0_00f0_00f0_00f0,
            i64::MIN + 1,
            0x3fff_fffc_0000,
        ],
        Immediate::Left32 | Immediate::RotationLeft32 => &[0, 1, 16, 31],
        Immediate::Left64 | Immediate::RotationLeft64 => &[0, 1, 31, 32, 63],
        // Of 32 bits or of 64.
        Immediate::Shift | Immediate::Rotation => &[0, 1, 16, 32, 63, 31],
        Immediate::Frame24 => &[0, 16, 0x1000, 0xff_fff0],
        Immediate::Pieces32 => &[0, 1, -1, i32::MAX as i64, i32::MIN as i64, -0x1234_5679],
        Immediate::PiecesBits32 => &[0, -1, i32::MIN as i64, 0xffff_ffff, 0x8765_4321],
        Immediate::Signed12 | Immediate::Split12 => &[0, 1, -1, 0x7ff, -0x800],
        Immediate::Opposite12 => &[0, 1, -1, -0x7ff, 0x800],
        Immediate::Unsigned11 => &[0, 1, 0x7ff],
        Immediate::Byte8 => &[0, 1, 0x7f, 0x80, 0xff, -1, -0x80],
        // Of 32 bits or of 64.
        Immediate::Amount => &[0, 1, 16, 32, 63, 31],
        Immediate::Turn32 => &[0, 1, 16, 31],
        Immediate::Turn64 => &[0, 1, 31, 32, 63],
        Immediate::Upper32 => &[0, 0x1000, i32::MIN as i64, -0x1000, 0x7fff_f000],
        Immediate::Upper64 => &[0, 1 << 44, 0x3ff << 52, i64::MIN, -1 << 44],
        Immediate::Sum32 => &[
            0,
            1,
            -1,
            0x7ff,
            0x800,
            -0x801,
            i32::MAX as i64,
            i32::MIN as i64,
            0x7fff_f800,
            -0x1234_5679,
        ],
        Immediate::SumUnsigned31 => &[0, 1, 0x7ff, 0x800, i32::MAX as i64, 0x7fff_f800],
        Immediate::SumBits32 => &[
            0,
            -1,
            i32::MIN as i64,
            0xffff_ffff,
            0x7fff_f800,
            0x8765_4321,
        ],
        Immediate::Sum64 => &[
            0,
            -1,
            i64::MIN,
            i64::MAX,
            0x8000_0000,
            -0x8000_0001,
            0x0123_4567_89ab_cdef,
        ],
    }
}

/// What counts of a value.
pub fn low(ty: Type, value: u64) -> u64 {
    if ty.bits() == 32 {
        value & 0xffff_ffff
    } else {
        value
    }
}
