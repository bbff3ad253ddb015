//! Distances to jump targets: how code holds them, and how holes that wait for a target are chained.
//!
//! Takes the 32 bits at a hole; promises the same with the distance laid in, or nothing if it is out of reach. A hole whose
//! target is not known yet holds the way to the hole before it, in the bits that will hold the distance. Constant time.

use super::immediate::Immediate;

/// How a target's code holds distances. Places are byte offsets in the code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Distances {
    /// 32 bits that count bytes from their own end: x86-64.
    #[default]
    Bytes32,
    /// Fields of instructions that count from the instruction, in units of four bytes but for `adr`: AArch64 (Arm ARM, C6.2: B, BL,
    /// B.cond, CBZ, CBNZ, ADR).
    Fields,
}

/// A field of an AArch64 instruction.
#[derive(Clone, Copy)]
enum Field {
    /// `b`, `bl`.
    Long,
    /// `b.cond`, `cbz`, `cbnz`.
    Short,
    /// `adr`.
    Address,
}

impl Field {
    const fn of(word: u32) -> Option<Field> {
        Some(match word >> 24 {
            0x14..=0x17 | 0x94..=0x97 => Field::Long,
            0x54 | 0x34 | 0x35 | 0xb4 | 0xb5 => Field::Short,
            0x10 | 0x30 | 0x50 | 0x70 => Field::Address,
            _ => return None,
        })
    }

    /// How many bits, their unit in bytes as a power of two.
    const fn size(self) -> (u32, u32) {
        match self {
            Field::Long => (26, 2),
            Field::Short => (19, 2),
            Field::Address => (21, 0),
        }
    }

    /// The instruction with other bits in the field.
    const fn set(self, word: u32, bits: u32) -> u32 {
        match self {
            Field::Long => word & !0x03ff_ffff | bits & 0x03ff_ffff,
            Field::Short => word & !0x00ff_ffe0 | (bits & 0x7_ffff) << 5,
            Field::Address => word & !0x60ff_ffe0 | (bits & 3) << 29 | (bits >> 2 & 0x7_ffff) << 5,
        }
    }

    const fn get(self, word: u32) -> u32 {
        match self {
            Field::Long => word & 0x03ff_ffff,
            Field::Short => word >> 5 & 0x7_ffff,
            Field::Address => word >> 29 & 3 | (word >> 5 & 0x7_ffff) << 2,
        }
    }
}

/// Whether an instruction is `movz`: the first of two pieces of 16 bits. Else it begins an [`Immediate::Frame24`].
const fn is_piece(word: u32) -> bool {
    word & 0x7f80_0000 == 0x5280_0000
}

/// `b`, to itself.
const JUMP: u32 = 0x1400_0000;

impl Distances {
    /// The hole that was `word`, leading to a target.
    #[inline]
    pub(crate) const fn lead(self, word: u32, at: u32, target: u32) -> Option<u32> {
        match self {
            Distances::Bytes32 => Some(target.wrapping_sub(at.wrapping_add(4))),
            Distances::Fields => match Field::of(word) {
                Some(field) => Distances::lay(field, word, target as i64 - at as i64),
                None => None,
            },
        }
    }

    const fn lay(field: Field, word: u32, distance: i64) -> Option<u32> {
        let (bits, unit) = field.size();
        let limit = 1 << (bits - 1 + unit);
        if distance < -limit || distance >= limit || distance & ((1 << unit) - 1) != 0 {
            return None;
        }
        Some(field.set(word, (distance >> unit) as u32))
    }

    /// The hole that was `word`, waiting behind another one: `previous` is that one's place plus 1, or 0.
    #[inline]
    pub(crate) const fn chain(self, word: u32, at: u32, previous: u32) -> Option<u32> {
        match self {
            Distances::Bytes32 => Some(previous),
            Distances::Fields => {
                let Some(field) = Field::of(word) else {
                    return None;
                };
                let back = match previous {
                    0 => 0,
                    previous => (at + 1 - previous) / 4,
                };
                if back >> field.size().0 != 0 {
                    return None;
                }
                Some(field.set(word, back))
            }
        }
    }

    /// What [`Distances::chain`] was given as `previous`.
    #[inline]
    pub(crate) const fn chained(self, word: u32, at: u32) -> u32 {
        match self {
            Distances::Bytes32 => word,
            Distances::Fields => match Field::of(word) {
                Some(field) => match field.get(word) {
                    0 => 0,
                    back => (at + 1).wrapping_sub(4 * back),
                },
                None => 0,
            },
        }
    }

    /// The hole of a jump that leads from its own address to another one.
    pub(crate) fn jump(self, at: u64, target: u64) -> Option<u32> {
        let distance = target.wrapping_sub(at) as i64;
        match self {
            Distances::Bytes32 => i32::try_from(distance.wrapping_sub(4))
                .ok()
                .map(|d| d as u32),
            Distances::Fields => Distances::lay(Field::Long, JUMP, distance),
        }
    }

    /// The immediate in eight bytes of code from a hole on that was left open: of the kind that is filled in when the code behind it
    /// has been written.
    pub(crate) const fn value(self, code: u64) -> u32 {
        let (low, high) = (code as u32, (code >> 32) as u32);
        match self {
            Distances::Bytes32 => low,
            Distances::Fields if is_piece(low) => low >> 5 & 0xffff | (high >> 5 & 0xffff) << 16,
            Distances::Fields => (low >> 10 & 0xfff) << 12 | high >> 10 & 0xfff,
        }
    }

    /// The code with another value there; `None` if it does not fit.
    pub(crate) const fn with_value(self, code: u64, value: u32) -> Option<u64> {
        let (kind, all) = match self {
            Distances::Bytes32 => return Some(code & !0xffff_ffff | value as u64),
            Distances::Fields if is_piece(code as u32) => (Immediate::PiecesBits32, u32::MAX),
            Distances::Fields => (Immediate::Frame24, (1 << 24) - 1),
        };
        match (kind.encode(all as i64), kind.encode(value as i64)) {
            (Some(all), Some(bits)) => Some(code & !(all as u64) | bits as u64),
            _ => None,
        }
    }

    /// The bits of a hole that hold the distance, the word that it is in being this one.
    pub const fn field(self, word: u32) -> u32 {
        match (self, Field::of(word)) {
            (Distances::Bytes32, _) => u32::MAX,
            (Distances::Fields, Some(field)) => field.set(0, u32::MAX),
            (Distances::Fields, None) => 0,
        }
    }

    /// Where a hole in finished code leads to.
    pub const fn target(self, word: u32, at: u32) -> u32 {
        match (self, Field::of(word)) {
            (Distances::Bytes32, _) => at.wrapping_add(4).wrapping_add(word),
            (Distances::Fields, Some(field)) => {
                let (bits, unit) = field.size();
                let distance = (field.get(word) << (32 - bits)) as i32 >> (32 - bits);
                at.wrapping_add((distance as u32) << unit)
            }
            (Distances::Fields, None) => at,
        }
    }

    /// For a hole that does not reach everywhere in a long function: the same instruction with the opposite condition, past
    /// the one that follows it, if it is a conditional jump.
    pub(crate) const fn inverted(self, word: u32) -> Option<u32> {
        match (self, Field::of(word)) {
            (Distances::Fields, Some(Field::Short)) => {
                let bit = if word >> 24 == 0x54 { 1 } else { 1 << 24 };
                Some(Field::Short.set(word ^ bit, 2))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Distances::{Bytes32, Fields};

    const ENDS: [(u32, i64, i64); 5] = [
        // b, bl, b.ne, cbz, adr: the instruction, the farthest distances back and ahead.
        (0x1400_0000, -(1 << 27), (1 << 27) - 4),
        (0x9400_0000, -(1 << 27), (1 << 27) - 4),
        (0x5400_0001, -(1 << 20), (1 << 20) - 4),
        (0xb400_0003, -(1 << 20), (1 << 20) - 4),
        (0x1000_0011, -(1 << 20), (1 << 20) - 1),
    ];

    #[test]
    fn distances_reach_to_their_ends_and_no_farther() {
        let at = 1 << 28;
        for (word, least, most) in ENDS {
            let to = |distance: i64| Fields.lead(word, at, (i64::from(at) + distance) as u32);
            let unit = if word == 0x1000_0011 { 1 } else { 4 };
            for distance in [least, least + unit, -unit, 0, unit, most - unit, most] {
                let hole = to(distance).expect("in reach");
                let target = Fields.target(hole, at);
                assert_eq!(i64::from(target), i64::from(at) + distance, "{word:#x}");
                assert_eq!((hole ^ word) & !Fields.field(word), 0);
            }
            for distance in [least - unit, most + unit, 2 * least, 2 * most] {
                assert!(to(distance).is_none(), "{word:#x} {distance}");
            }
            assert!(unit == 1 || to(2).is_none(), "{word:#x}");
        }
        // As an assembler has them.
        assert_eq!(Fields.lead(0x5400_0001, 16, 8), Some(0x54ff_ffc1));
        assert_eq!(Fields.lead(0x1400_0000, 0, 32), Some(0x1400_0008));
        assert_eq!(Fields.lead(0x1000_0011, 8, 5), Some(0x30ff_fff1));
        assert_eq!(Bytes32.lead(0, 16, 8), Some(-12i32 as u32));
        assert_eq!(Fields.lead(0xd503_201f, 0, 8), None);
    }

    #[test]
    fn jumps_between_addresses() {
        let at = 0x7fff_0000_1000;
        assert_eq!(Fields.jump(at, at + 4), Some(0x1400_0001));
        assert!(Fields.jump(at, at + (1 << 27) - 4).is_some());
        assert!(Fields.jump(at, at + (1 << 27)).is_none());
        assert!(Fields.jump(at, at - (1 << 27)).is_some());
        assert!(Fields.jump(at, at - (1 << 27) - 4).is_none());
        assert_eq!(Bytes32.jump(at, at + 4), Some(0));
        assert!(Bytes32.jump(at, at + (1 << 31) + 3).is_some());
        assert!(Bytes32.jump(at, at + (1 << 31) + 4).is_none());
    }

    #[test]
    fn chains_give_back_what_was_put_in() {
        for (word, ..) in ENDS {
            for previous in [0, 1, 5, 4093] {
                let hole = Fields.chain(word, 4096, previous).expect("near");
                assert_eq!(Fields.chained(hole, 4096), previous);
                // Nothing else of the instruction changes.
                assert_eq!(Fields.lead(hole, 4096, 4096), Fields.lead(word, 4096, 4096));
            }
        }
        assert_eq!(Fields.chain(0x5400_0001, 4 << 19, 1), None);
        assert!(Fields.chain(0x5400_0001, (4 << 19) - 4, 1).is_some());
        assert_eq!(Bytes32.chain(7, 100, 44), Some(44));
        assert_eq!(Bytes32.chained(44, 100), 44);
    }

    #[test]
    fn open_immediates_are_filled_in() {
        // sub sp, sp, #0, lsl #12; sub sp, sp, #0
        let frame = 0xd100_03ff_d140_03ff;
        let filled = Fields.with_value(frame, 0x12_3456).expect("fits");
        assert_eq!(filled, 0xd111_5bff_d144_8fff);
        assert_eq!(Fields.value(filled), 0x12_3456);
        assert_eq!(Fields.with_value(filled, 0), Some(frame));
        assert_eq!(Fields.with_value(frame, 1 << 24), None);
        // movz w17, #0; movk w17, #0, lsl #16
        let pieces = 0x72a0_0011_5280_0011;
        let filled = Fields.with_value(pieces, 0xfedc_1234).expect("fits");
        assert_eq!(filled, 0x72bf_db91_5282_4691);
        assert_eq!(Fields.value(filled), 0xfedc_1234);
        assert_eq!(Bytes32.with_value(u64::MAX, 5), Some(0xffff_ffff_0000_0005));
        assert_eq!(Bytes32.value(0xffff_ffff_0000_0005), 5);
    }

    #[test]
    fn conditions_are_inverted() {
        // b.ne becomes b.eq, cbz becomes cbnz, each past the next instruction.
        assert_eq!(Fields.inverted(0x5400_0001), Some(0x5400_0040));
        assert_eq!(Fields.inverted(0xb400_0003), Some(0xb500_0043));
        assert_eq!(Fields.inverted(0x1400_0000), None);
        assert_eq!(Bytes32.inverted(0x5400_0001), None);
    }
}
