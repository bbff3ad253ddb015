//! Distances to jump targets: how code holds them, and how holes that wait for a target are chained.
//!
//! Takes eight bytes of code from a hole on, little-endian; promises the same with the distance laid in, or nothing if it is out
//! of reach. A hole whose target is not known yet holds the way to the hole before it, in the bits that will hold the distance.
//! A branch of RISC-V, which reaches 4 KiB, tells whether it waits: no distance is odd. Constant time.

use super::immediate::Immediate;

/// How a target's code holds distances. Places are byte offsets in the code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Distances {
    /// 32 bits that count bytes from their own end: x86-64.
    #[default]
    Bytes32,
    /// Fields of instructions that count from the instruction, in units of four bytes but for `adr`: AArch64 (Arm ARM, C6.2: B, BL,
    /// B.cond, CBZ, CBNZ, ADR); or two constants of 16 bits, MOVZ with MOVK right behind it, which count from the first.
    Fields,
    /// Scattered bits of instructions that count from the instruction: RISC-V (Unprivileged ISA, 2.5: JAL, branches, and AUIPC with
    /// the instruction behind it).
    Scattered,
}

/// A field of an instruction, or of two.
#[derive(Clone, Copy)]
enum Field {
    /// AArch64: `b`, `bl`.
    Long,
    /// AArch64: `b.cond`, `cbz`, `cbnz`.
    Short,
    /// AArch64: `adr`.
    Address,
    /// RISC-V: `jal`.
    Jump,
    /// RISC-V: `beq` and the like.
    Branch,
    /// Two instructions, one right behind the other, which hold an immediate of this kind. AArch64: `movz` and `movk`; RISC-V:
    /// `auipc`, and `jalr` or `addi`.
    Halves(Immediate),
}

impl Field {
    const fn of(distances: Distances, code: u64) -> Option<Field> {
        let word = code as u32;
        Some(match (distances, word >> 24, word & 0x7f) {
            (Distances::Fields, 0x14..=0x17 | 0x94..=0x97, _) => Field::Long,
            (Distances::Fields, 0x54 | 0x34 | 0x35 | 0xb4 | 0xb5, _) => Field::Short,
            (Distances::Fields, 0x10 | 0x30 | 0x50 | 0x70, _) => Field::Address,
            (Distances::Fields, 0x52, _) => Field::Halves(Immediate::PiecesBits32),
            (Distances::Scattered, _, 0x6f) => Field::Jump,
            (Distances::Scattered, _, 0x63) => Field::Branch,
            (Distances::Scattered, _, 0x17) => Field::Halves(Immediate::SumBits32),
            _ => return None,
        })
    }

    /// How many bits, their unit in bytes as a power of two.
    const fn size(self) -> (u32, u32) {
        match self {
            Field::Long => (26, 2),
            Field::Short => (19, 2),
            Field::Address => (21, 0),
            Field::Jump => (20, 1),
            Field::Branch => (12, 1),
            Field::Halves(_) => (32, 0),
        }
    }

    /// The least distance that it does not reach ahead; back it reaches as far.
    const fn reach(self) -> i64 {
        let (bits, unit) = self.size();
        let reach = 1 << (bits - 1 + unit);
        match self {
            // The lower half counts from -2048.
            Field::Halves(Immediate::SumBits32) => reach - (1 << 11),
            _ => reach,
        }
    }

    /// The code with other bits in the field.
    const fn set(self, code: u64, bits: u32) -> u64 {
        let word = code as u32;
        let word = match self {
            Field::Long => word & !0x03ff_ffff | bits & 0x03ff_ffff,
            Field::Short => word & !0x00ff_ffe0 | (bits & 0x7_ffff) << 5,
            Field::Address => word & !0x60ff_ffe0 | (bits & 3) << 29 | (bits >> 2 & 0x7_ffff) << 5,
            Field::Jump => {
                let (low, high) = (bits & 0x3ff, bits >> 11 & 0xff);
                word & 0xfff | bits >> 19 << 31 | low << 21 | (bits >> 10 & 1) << 20 | high << 12
            }
            Field::Branch => {
                let (low, high) = (bits & 0xf, bits >> 4 & 0x3f);
                word & 0x01ff_f07f
                    | bits >> 11 << 31
                    | high << 25
                    | low << 8
                    | (bits >> 10 & 1) << 7
            }
            Field::Halves(kind) => {
                let laid = match kind.encode(bits as i64) {
                    Some(laid) => laid as u64,
                    None => 0,
                };
                return code & !(kind.field() as u64) | laid;
            }
        };
        code & !0xffff_ffff | word as u64
    }

    const fn get(self, code: u64) -> u32 {
        let word = code as u32;
        match self {
            Field::Long => word & 0x03ff_ffff,
            Field::Short => word >> 5 & 0x7_ffff,
            Field::Address => word >> 29 & 3 | (word >> 5 & 0x7_ffff) << 2,
            Field::Jump => {
                let (low, high) = (word >> 21 & 0x3ff, word >> 12 & 0xff);
                word >> 31 << 19 | high << 11 | (word >> 20 & 1) << 10 | low
            }
            Field::Branch => {
                let (low, high) = (word >> 8 & 0xf, word >> 25 & 0x3f);
                word >> 31 << 11 | (word >> 7 & 1) << 10 | high << 4 | low
            }
            Field::Halves(kind) => kind.decode(code as u128) as u32,
        }
    }

    /// The bits of a field that waits, so many instructions behind the hole before.
    const fn waiting(self, back: u32) -> Option<u32> {
        let bits = match self {
            Field::Branch => (back as u64) << 1 | 1,
            _ => back as u64,
        };
        match bits >> self.size().0 {
            0 => Some(bits as u32),
            _ => None,
        }
    }

    /// The code with a distance in the field.
    const fn lay(self, code: u64, distance: i64) -> Option<u64> {
        let (limit, unit) = (self.reach(), self.size().1);
        // Where a field has a unit, instructions are what it leads to.
        let misaligned = unit > 0 && distance % 4 != 0;
        if distance < -limit || distance >= limit || misaligned {
            return None;
        }
        Some(self.set(code, (distance >> unit) as u32))
    }
}

/// Whether an AArch64 instruction is `movz`: the first of two pieces of 16 bits. Else it begins an [`Immediate::Frame24`].
const fn is_piece(word: u32) -> bool {
    word & 0x7f80_0000 == 0x5280_0000
}

/// AArch64: `b`, to itself.
const LONG: u64 = 0x1400_0000;
/// RISC-V: `jal x0`, to itself.
const JUMP: u64 = 0x6f;

impl Distances {
    /// The hole that was this code, leading to a target.
    #[inline]
    pub(crate) const fn lead(self, code: u64, at: u32, target: u32) -> Option<u64> {
        self.lay(code, target as i64 - at as i64)
    }

    /// The hole that was this code, leading so far away from its place.
    pub(crate) const fn lay(self, code: u64, distance: i64) -> Option<u64> {
        match (self, Field::of(self, code)) {
            (Distances::Bytes32, _) => {
                let from_end = distance.wrapping_sub(4);
                if from_end != from_end as i32 as i64 {
                    return None;
                }
                Some(code & !0xffff_ffff | from_end as u32 as u64)
            }
            (_, Some(field)) => field.lay(code, distance),
            (_, None) => None,
        }
    }

    /// The hole that was this code, waiting behind another one: `previous` is that one's place plus 1, or 0.
    #[inline]
    pub(crate) const fn chain(self, code: u64, at: u32, previous: u32) -> Option<u64> {
        match (self, Field::of(self, code)) {
            (Distances::Bytes32, _) => Some(code & !0xffff_ffff | previous as u64),
            (_, Some(field)) => {
                let back = match previous {
                    0 => 0,
                    // Linked after one behind it: there is no way back.
                    previous if previous > at => return None,
                    previous => (at + 1 - previous) / 4,
                };
                match field.waiting(back) {
                    Some(bits) => Some(field.set(code, bits)),
                    None => None,
                }
            }
            (_, None) => None,
        }
    }

    /// What [`Distances::chain`] was given as `previous`.
    #[inline]
    pub(crate) const fn chained(self, code: u64, at: u32) -> u32 {
        match (self, Field::of(self, code)) {
            (Distances::Bytes32, _) => code as u32,
            (_, Some(field)) => {
                let bits = field.get(code);
                let back = match field {
                    Field::Branch => bits >> 1,
                    _ => bits,
                };
                match back {
                    0 => 0,
                    back => (at + 1).wrapping_sub(4 * back),
                }
            }
            (_, None) => 0,
        }
    }

    /// How many bytes after it began to wait a hole that tells so is relayed at the latest, in code whose jumps lead at most so
    /// far. A branch reaches 4,092 bytes; a jump goes before those that it is relayed to, and they are no longer than the
    /// branches, or twice as long.
    pub(crate) const fn relayed(self, longest: u32) -> u32 {
        match (longest as i64) < Field::Jump.reach() {
            true => 4088,
            false => 2040,
        }
    }

    /// Whether the hole tells that it waits; `None` where it cannot be told.
    #[inline]
    pub(crate) const fn waits(self, code: u64) -> Option<bool> {
        match Field::of(self, code) {
            Some(field @ Field::Branch) => Some(field.get(code) & 1 == 1),
            _ => None,
        }
    }

    /// How far [`Machine::JumpTable`](super::Machine::JumpTable) leads to its table, in bytes.
    pub(crate) const fn table_reach(self) -> u32 {
        match self {
            Distances::Fields => Field::Address.reach() as u32,
            Distances::Bytes32 | Distances::Scattered => u32::MAX,
        }
    }

    /// The hole of a jump that leads from its own address to another one.
    pub(crate) const fn jump(self, at: u64, target: u64) -> Option<u32> {
        let jump = match self {
            Distances::Bytes32 => 0,
            Distances::Fields => LONG,
            Distances::Scattered => JUMP,
        };
        match self.lay(jump, target.wrapping_sub(at) as i64) {
            Some(code) => Some(code as u32),
            None => None,
        }
    }

    /// The immediate in eight bytes of code from a hole on that was left open: of the kind that is filled in when the code behind it
    /// has been written.
    pub(crate) const fn value(self, code: u64) -> u32 {
        self.open(code).decode(code as u128) as u32
    }

    /// The code with another value there; `None` if it does not fit.
    pub(crate) const fn with_value(self, code: u64, value: u32) -> Option<u64> {
        let kind = self.open(code);
        match kind.encode(value as i64) {
            Some(bits) => Some(code & !(kind.field() as u64) | bits as u64),
            None => None,
        }
    }

    /// Which kind that is.
    const fn open(self, code: u64) -> Immediate {
        match self {
            Distances::Bytes32 => Immediate::Bits32,
            Distances::Fields if is_piece(code as u32) => Immediate::PiecesBits32,
            Distances::Fields => Immediate::Frame24,
            Distances::Scattered => Immediate::SumBits32,
        }
    }

    /// The bits of a hole that hold the distance, this being the code from it on.
    pub const fn field(self, code: u64) -> u64 {
        match (self, Field::of(self, code)) {
            (Distances::Bytes32, _) => 0xffff_ffff,
            (_, Some(Field::Halves(kind))) => kind.field() as u64,
            (_, Some(field)) => field.set(0, u32::MAX),
            (_, None) => 0,
        }
    }

    /// Where a hole in finished code leads to.
    pub const fn target(self, code: u64, at: u32) -> u32 {
        match (self, Field::of(self, code)) {
            (Distances::Bytes32, _) => at.wrapping_add(4).wrapping_add(code as u32),
            (_, Some(field)) => {
                let (bits, unit) = field.size();
                let distance = (field.get(code) << (32 - bits)) as i32 >> (32 - bits);
                at.wrapping_add((distance as u32) << unit)
            }
            (_, None) => at,
        }
    }

    /// How far the hole reaches, in bytes.
    pub(crate) const fn reach(self, code: u64) -> u32 {
        match (self, Field::of(self, code)) {
            (Distances::Bytes32, _) | (_, None) => u32::MAX,
            (_, Some(field)) => field.reach() as u32,
        }
    }

    /// Whether the hole is a jump's: another one can be put somewhere for it to lead to. Calls do not come back from there.
    pub(crate) const fn is_jump(self, code: u64) -> bool {
        let links = match Field::of(self, code) {
            Some(Field::Short | Field::Branch) => 0,
            Some(Field::Long) => code >> 31 & 1,
            Some(Field::Jump) => code >> 7 & 31,
            // `jalr x0` is what is behind it.
            Some(Field::Halves(Immediate::SumBits32)) => code >> 32 & 0xfff ^ 0x67,
            Some(Field::Address | Field::Halves(_)) | None => 1,
        };
        links == 0
    }

    /// Whether there is a jump that reaches farther than the hole.
    pub(crate) const fn is_short(self, code: u64) -> bool {
        matches!(
            Field::of(self, code),
            Some(Field::Short | Field::Branch | Field::Jump)
        )
    }

    /// For a hole that does not reach everywhere in a long function: the same instruction with the opposite condition, leading so
    /// many bytes ahead, if it is a conditional jump.
    pub(crate) const fn inverted(self, code: u64, ahead: u32) -> Option<u64> {
        let condition = match Field::of(self, code) {
            Some(Field::Short) if code as u32 >> 24 == 0x54 => 1,
            Some(Field::Short) => 1 << 24,
            Some(Field::Branch) => 1 << 12,
            _ => return None,
        };
        self.lay(code ^ condition, ahead as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::Distances::{self, Bytes32, Fields, Scattered};

    /// Instructions with the farthest distances back and ahead, and what distances are multiples of.
    const ENDS: [(Distances, u64, i64, i64, i64); 14] = [
        // b, bl, b.ne, cbz, adr; movz w17 and movk w17
        (Fields, 0x1400_0000, -(1 << 27), (1 << 27) - 4, 4),
        (Fields, 0x9400_0000, -(1 << 27), (1 << 27) - 4, 4),
        (Fields, 0x5400_0001, -(1 << 20), (1 << 20) - 4, 4),
        (Fields, 0xb400_0003, -(1 << 20), (1 << 20) - 4, 4),
        (Fields, 0x1000_0011, -(1 << 20), (1 << 20) - 1, 1),
        (Fields, 0x72a0_0011_5280_0011, -(1 << 31), (1 << 31) - 1, 1),
        // jal x0; bne, blt, bgeu x5, x6; auipc x7 and jalr x0, 0(x7); auipc x28 and addi x28, x28
        (Scattered, 0x0000_006f, -(1 << 20), (1 << 20) - 4, 4),
        (Scattered, 0x0062_9063, -(1 << 12), (1 << 12) - 4, 4),
        (Scattered, 0x0062_c063, -(1 << 12), (1 << 12) - 4, 4),
        (Scattered, 0x0062_f063, -(1 << 12), (1 << 12) - 4, 4),
        (
            Scattered,
            0x0003_8067_0000_0397,
            -(1 << 31) + 2048,
            (1 << 31) - 2049,
            1,
        ),
        (
            Scattered,
            0x000e_0e13_0000_0e17,
            -(1 << 31) + 2048,
            (1 << 31) - 2049,
            1,
        ),
        // What stands behind an instruction is not the field's.
        (
            Scattered,
            0xffff_ffff_0062_9063,
            -(1 << 12),
            (1 << 12) - 4,
            4,
        ),
        (Fields, 0xffff_ffff_5400_0001, -(1 << 20), (1 << 20) - 4, 4),
    ];

    #[test]
    fn distances_reach_to_their_ends_and_no_farther() {
        for (kind, code, least, most, unit) in ENDS {
            for distance in [least, least + unit, -unit, 0, unit, most - unit, most] {
                let hole = kind.lay(code, distance).expect("in reach");
                let at = 1 << 31;
                let target = i64::from(kind.target(hole, at));
                assert_eq!(target, i64::from(at) + distance, "{code:#x}");
                assert_eq!((hole ^ code) & !kind.field(code), 0);
                assert_eq!(kind.field(hole), kind.field(code));
            }
            for distance in [least - unit, most + unit, 2 * least, 2 * most + 4] {
                assert!(kind.lay(code, distance).is_none(), "{code:#x} {distance}");
            }
            assert!(unit == 1 || kind.lay(code, 2).is_none(), "{code:#x}");
            assert_eq!(i64::from(kind.reach(code)), -least, "{code:#x}");
        }
        // As an assembler has them.
        assert_eq!(Fields.lead(0x5400_0001, 16, 8), Some(0x54ff_ffc1));
        assert_eq!(Fields.lead(0x1400_0000, 0, 32), Some(0x1400_0008));
        assert_eq!(Fields.lead(0x1000_0011, 8, 5), Some(0x30ff_fff1));
        assert_eq!(
            Fields.lead(0x72a0_0011_5280_0011, 8, 0x1234_5680),
            Some(0x72a2_4691_528a_cf11)
        );
        assert_eq!(Scattered.lead(0x0062_9063, 16, 8), Some(0xfe62_9ce3));
        assert_eq!(Scattered.lead(0x6f, 0, 0x12_3454), None);
        assert_eq!(Scattered.lead(0x6f, 0, 0x5_a1b4), Some(0x1b45_a06f));
        assert_eq!(Scattered.lead(0x6f, 8, 0), Some(0xff9f_f06f));
        assert_eq!(
            Scattered.lead(0x0003_8067_0000_0397, 0, 0x1234_5a98),
            Some(0xa983_8067_1234_6397)
        );
        assert_eq!(Bytes32.lead(7 << 32, 16, 8), Some(7 << 32 | 0xffff_fff4));
        assert_eq!(Bytes32.lay(0, (1 << 31) + 4), None);
        assert_eq!(Fields.lead(0xd503_201f, 0, 8), None);
        assert_eq!(Scattered.lead(0x13, 0, 8), None);
    }

    #[test]
    fn jumps_between_addresses() {
        let at = 0x7fff_0000_1000;
        for (kind, to_next, reach) in [
            (Fields, 0x1400_0001, 1 << 27),
            (Scattered, 0x0040_006f, 1 << 20),
        ] {
            assert_eq!(kind.jump(at, at + 4), Some(to_next));
            assert!(kind.jump(at, at + reach - 4).is_some());
            assert!(kind.jump(at, at + reach).is_none());
            assert!(kind.jump(at, at - reach).is_some());
            assert!(kind.jump(at, at - reach - 4).is_none());
        }
        assert_eq!(Bytes32.jump(at, at + 4), Some(0));
        assert!(Bytes32.jump(at, at + (1 << 31) + 3).is_some());
        assert!(Bytes32.jump(at, at + (1 << 31) + 4).is_none());
    }

    #[test]
    fn chains_give_back_what_was_put_in() {
        for (kind, code, ..) in ENDS {
            for previous in [0, 1, 5, 4093] {
                let hole = kind.chain(code, 4096, previous).expect("near");
                assert_eq!(kind.chained(hole, 4096), previous);
                // Nothing else of the instruction changes.
                assert_eq!(kind.lead(hole, 4096, 4096), kind.lead(code, 4096, 4096));
            }
        }
        assert_eq!(Fields.chain(0x5400_0001, 8, 13), None);
        assert_eq!(Fields.chain(0x5400_0001, 4 << 19, 1), None);
        assert!(Fields.chain(0x5400_0001, (4 << 19) - 4, 1).is_some());
        assert_eq!(Scattered.chain(0x0062_9063, 4 << 11, 1), None);
        let waiting = Scattered.chain(0x0062_9063, (4 << 11) - 4, 1);
        let waiting = waiting.expect("near");
        assert_eq!(Scattered.waits(waiting), Some(true));
        let led = Scattered.lead(waiting, 4, 0).expect("near");
        assert_eq!(Scattered.waits(led), Some(false));
        assert_eq!(
            (Scattered.waits(0x6f), Fields.waits(0x5400_0001)),
            (None, None)
        );
        assert!(
            Scattered
                .chain(0x0003_8067_0000_0397, u32::MAX - 3, 1)
                .is_some()
        );
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
        // lui x28, 0; addiw x28, x28, 0
        let sum = 0x000e_0e1b_0000_0e37;
        let filled = Scattered.with_value(sum, 0x1234_5a98).expect("fits");
        assert_eq!(filled, 0xa98e_0e1b_1234_6e37);
        assert_eq!(Scattered.value(filled), 0x1234_5a98);
        assert_eq!(Scattered.with_value(filled, 0), Some(sum));
        assert_eq!(Bytes32.with_value(u64::MAX, 5), Some(0xffff_ffff_0000_0005));
        assert_eq!(Bytes32.value(0xffff_ffff_0000_0005), 5);
    }

    #[test]
    fn conditions_are_inverted() {
        // b.ne becomes b.eq, cbz becomes cbnz, each past the next instruction.
        assert_eq!(Fields.inverted(0x5400_0001, 8), Some(0x5400_0040));
        assert_eq!(Fields.inverted(0xb400_0003, 8), Some(0xb500_0043));
        assert_eq!(Fields.inverted(0x1400_0000, 8), None);
        // bne becomes beq, blt bge, bgeu bltu, past one instruction or two.
        assert_eq!(Scattered.inverted(0x0062_9063, 8), Some(0x0062_8463));
        assert_eq!(Scattered.inverted(0x0062_c063, 12), Some(0x0062_d663));
        assert_eq!(Scattered.inverted(0x0062_f063, 8), Some(0x0062_e463));
        assert_eq!(Scattered.inverted(0x6f, 8), None);
        assert_eq!(Bytes32.inverted(0x5400_0001, 8), None);
    }

    #[test]
    fn jumps_are_told_from_calls_and_addresses() {
        // jal x0; bne; auipc and jalr x0: the last one reaches as far as any.
        for (jump, is_short) in [
            (0x6f, true),
            (0x0062_9063, true),
            (0x0003_8067_0000_0397, false),
        ] {
            assert!(Scattered.is_jump(jump) && Scattered.is_short(jump) == is_short);
        }
        // jal x1; auipc and jalr x1; auipc and addi
        for other in [0xef, 0x0000_80e7_0000_0097, 0x000e_0e13_0000_0e17] {
            assert!(!Scattered.is_jump(other));
        }
        // cbz, b; bl, adr; movz and movk
        assert!(Fields.is_jump(0xb400_0003) && Fields.is_short(0xb400_0003));
        assert!(Fields.is_jump(0x1400_0000) && !Fields.is_short(0x1400_0000));
        assert!(!Fields.is_jump(0x9400_0000) && !Fields.is_jump(0x1000_0011));
        assert!(!Fields.is_jump(0x72a0_0011_5280_0011));
    }
}
