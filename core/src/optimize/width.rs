//! Ops that there are at two widths, 32 and 64 bits, under one name: that of the op at 32 bits.
//!
//! Takes opcodes; promises the twin of each at the other width, by tables that are made when this is compiled. Rules and facts are
//! written for 32 bits, and serve 64 bits too: [`Width`] has what differs. Costs constant time each.

use crate::ops::Opcode;
use Opcode as O;

/// Spans of ops that there are at both widths in the same order: the first at 32 bits, the last, the first at 64 bits.
const TWINS: [(Opcode, Opcode, Opcode); 4] = [
    (O::I32Add, O::I32Bswap, O::I64Add),
    (O::I32Extend8S, O::I32Extend16S, O::I64Extend8S),
    (O::F32Add, O::F32Ge, O::F64Add),
    (O::I32AddChecked, O::I32RemU, O::I64AddChecked),
];

/// Every op at 32 bits, in the lower half; whether that is another op, above.
pub(super) static NARROW: [u16; Opcode::COUNT] = {
    let mut table = [0; Opcode::COUNT];
    let mut at = 0;
    while at < Opcode::COUNT {
        table[at] = at as u16;
        at += 1;
    }
    let mut twin = 0;
    while twin < TWINS.len() {
        let (first, last, wide) = TWINS[twin];
        let mut at = 0;
        while at <= last as usize - first as usize {
            table[wide as usize + at] = (first as usize + at) as u16 | WIDE;
            at += 1;
        }
        twin += 1;
    }
    table
};

/// Every op of 32 bits at 64 bits, others as they are.
pub(super) static WIDENED: [u16; Opcode::COUNT] = {
    let mut table = [0; Opcode::COUNT];
    let mut at = 0;
    while at < Opcode::COUNT {
        table[at] = at as u16;
        at += 1;
    }
    at = 0;
    while at < Opcode::COUNT {
        if NARROW[at] & WIDE != 0 {
            table[(NARROW[at] & !WIDE) as usize] = at as u16;
        }
        at += 1;
    }
    table
};

/// In [`NARROW`]: the op is the wide one of two.
pub(super) const WIDE: u16 = 0x8000;

/// A width of integers or floats, 32 or 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Width {
    pub wide: bool,
}

impl Width {
    /// By the number of bits: 64, else 32.
    pub const fn of_bits(bits: u32) -> Width {
        Width { wide: bits == 64 }
    }

    /// The op of a rule at this width.
    #[inline]
    pub fn of(self, code: Opcode) -> Opcode {
        if self.wide {
            Opcode::ALL[WIDENED[code as usize] as usize]
        } else {
            code
        }
    }

    pub const fn bits(self) -> u32 {
        if self.wide { 64 } else { 32 }
    }

    /// All bits of an integer, which is also the greatest one, unsigned.
    pub const fn mask(self) -> u64 {
        if self.wide { u64::MAX } else { u32::MAX as u64 }
    }

    /// The least signed integer.
    pub const fn least(self) -> i64 {
        if self.wide { i64::MIN } else { i32::MIN as i64 }
    }

    /// The greatest signed integer.
    pub const fn most(self) -> i64 {
        if self.wide { i64::MAX } else { i32::MAX as i64 }
    }

    /// Constant bits as a signed number.
    #[inline]
    pub const fn signed(self, bits: u64) -> i64 {
        if self.wide {
            bits as i64
        } else {
            bits as i32 as i64
        }
    }

    /// A signed number as constant bits.
    pub const fn unsigned(self, value: i64) -> u64 {
        if self.wide {
            value as u64
        } else {
            value as u32 as u64
        }
    }

    pub fn float(self, value: f64) -> u64 {
        if self.wide {
            value.to_bits()
        } else {
            u64::from((value as f32).to_bits())
        }
    }

    /// The bits of the reciprocal of a float, if it is exact: the float is a power of two, and so is what is not too small.
    pub fn reciprocal(self, bits: u64) -> Option<u64> {
        if self.wide {
            let mantissa = bits & ((1 << 52) - 1);
            let exponent = (bits >> 52) & 0x7ff;
            (mantissa == 0 && exponent > 0 && exponent < 2045)
                .then(|| (bits & 1 << 63) | (2046 - exponent) << 52)
        } else {
            let mantissa = bits & ((1 << 23) - 1);
            let exponent = (bits >> 23) & 0xff;
            (mantissa == 0 && exponent > 0 && exponent < 253)
                .then(|| (bits & 1 << 31) | (254 - exponent) << 23)
        }
    }
}

/// The op at 32 bits, and the width at which it is.
#[inline]
pub(super) fn narrowed_with_width(code: Opcode) -> (Opcode, Width) {
    let narrow = NARROW[code as usize];
    let width = Width {
        wide: narrow & WIDE != 0,
    };
    (Opcode::ALL[(narrow & !WIDE) as usize], width)
}

/// The op at 32 bits.
pub(super) fn narrowed(code: Opcode) -> Opcode {
    Opcode::ALL[(NARROW[code as usize] & !WIDE) as usize]
}

#[cfg(test)]
mod tests {
    use super::WIDENED;
    use crate::ops::Opcode;

    #[test]
    fn twins_are_twins() {
        for code in Opcode::all() {
            let wide = Opcode::ALL[WIDENED[code as usize] as usize];
            if wide != code {
                let (narrow, wide) = (code.name(), wide.name());
                assert_eq!(narrow[3..], wide[3..]);
                assert_ne!(narrow[..3], wide[..3]);
            }
        }
    }
}
