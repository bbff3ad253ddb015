//! What the passes ask of an op most often, in four bytes: a table small enough to stay in the cache.

use super::workspace::{INFO_FLOAT, INFO_REFERENCE, INFO_REMATERIALIZED};
use crate::ops::{Opcode, Shape, flags};
use crate::types::Type;

/// Facts about an op, out of the op table.
#[derive(Clone, Copy)]
pub(super) struct Brief {
    /// How its record is read.
    pub shape: Shape,
    /// The bits of `INFO` that its value begins with; for ops whose record says the type, none.
    pub facts: u8,
    /// Value operands in the record.
    pub operand_count: u8,
    bits: u8,
}

const LEAVES: u8 = 1;
const RAW: u8 = 2;
const TYPED_BY_RECORD: u8 = 4;
const COMPARES: u8 = 8;
const WIDE: u8 = 16;
const SWAPS: u8 = 32;
const SHIFTS: u8 = 64;
const GIVES: u8 = 128;

impl Brief {
    /// What the table says of an op.
    #[inline(always)]
    pub fn of(code: Opcode) -> Brief {
        TABLE[code as usize]
    }

    /// Whether it may leave through an exit.
    #[inline(always)]
    pub fn leaves(self) -> bool {
        self.bits & LEAVES != 0
    }

    /// Whether it reaches memory outside the regions.
    #[inline(always)]
    pub fn is_raw(self) -> bool {
        self.bits & RAW != 0
    }

    /// Whether it is a comparison that conditions can be made of.
    #[inline(always)]
    pub fn compares(self) -> bool {
        self.bits & COMPARES != 0
    }

    /// Whether its first operand has 64 bits.
    #[inline(always)]
    pub fn is_wide(self) -> bool {
        self.bits & WIDE != 0
    }

    /// Whether its operands may be swapped, be it as those of another op.
    #[inline(always)]
    pub fn swaps(self) -> bool {
        self.bits & SWAPS != 0
    }

    /// Whether its second operand is a count modulo the width.
    #[inline(always)]
    pub fn shifts(self) -> bool {
        self.bits & SHIFTS != 0
    }

    /// Whether it may give a value.
    #[inline(always)]
    pub fn gives(self) -> bool {
        self.bits & GIVES != 0
    }

    /// Whether its record says the type of its value.
    #[inline(always)]
    pub fn is_typed_by_record(self) -> bool {
        self.bits & TYPED_BY_RECORD != 0
    }
}

/// The bits of `INFO` for a value of a type.
pub(super) const fn facts_of(ty: Option<Type>) -> u32 {
    match ty {
        Some(Type::F32 | Type::F64) => INFO_FLOAT,
        Some(Type::Ref) => INFO_REFERENCE,
        _ => 0,
    }
}

static TABLE: [Brief; Opcode::COUNT] = {
    let nothing = Brief {
        shape: Shape::Fence,
        facts: 0,
        operand_count: 0,
        bits: 0,
    };
    let mut table = [nothing; Opcode::COUNT];
    let mut index = 0;
    while index < Opcode::COUNT {
        let info = Opcode::ALL[index].info();
        let constant = if info.has(flags::CONSTANT) {
            INFO_REMATERIALIZED
        } else {
            0
        };
        let mut bits = 0;
        if info.has(flags::LEAVES) {
            bits |= LEAVES;
        }
        if info.has(flags::RAW) {
            bits |= RAW;
        }
        if info.has(flags::COMPARES) {
            bits |= COMPARES;
        }
        if matches!(info.shape, Shape::Parameter | Shape::Result) || info.has(flags::CALLS) {
            bits |= TYPED_BY_RECORD | GIVES;
        }
        if info.result.is_some() {
            bits |= GIVES;
        }
        if info.operand_count > 0 && info.operands[0].bits() == 64 {
            bits |= WIDE;
        }
        if info.has(flags::COMMUTES) || Opcode::ALL[index].swapped().is_some() {
            bits |= SWAPS;
        }
        if is_shift(Opcode::ALL[index]) {
            bits |= SHIFTS;
        }
        table[index] = Brief {
            shape: info.shape,
            facts: (facts_of(info.result) | constant) as u8,
            operand_count: info.operand_count,
            bits,
        };
        index += 1;
    }
    table
};

const fn is_shift(code: Opcode) -> bool {
    use Opcode::*;
    matches!(
        code,
        I32Shl
            | I32ShrS
            | I32ShrU
            | I32Rotl
            | I32Rotr
            | I64Shl
            | I64ShrS
            | I64ShrU
            | I64Rotl
            | I64Rotr
    )
}
