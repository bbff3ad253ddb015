//! Immediates: what fits a template's hole, and which bits go where.
//!
//! Takes a value and the kind of a hole; promises that what is said to fit stands in the code afterwards as the machine
//! reads it. *Plain* kinds are whole bytes of the code, laid in by one rotation and a mask. The others are fields of
//! instructions, of AArch64 (Arm ARM, C4) or of RISC-V (Unprivileged ISA, 2.3), worked out by [`Immediate::encode`]. Constant time.

/// What an immediate hole takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Immediate {
    /// There is none; as a condition of a template: the value is zero.
    None,
    /// One byte, sign-extended by the machine.
    Signed8,
    /// Four bytes, sign-extended by the machine.
    Signed32,
    /// Four bytes that stand for themselves: values from -2^31 to 2^32 - 1 are taken.
    Bits32,
    /// Eight bytes.
    Bits64,
    /// 0 to 4095, at bit 10.
    Unsigned12,
    /// -4095 to -1, negated, at bit 10.
    Negated12,
    /// Multiples of 4096 below 2^24, at bit 10.
    High12,
    /// Multiples of 2 up to 2 * 4095, halved, at bit 10.
    Scaled12By2,
    /// Multiples of 4 up to 4 * 4095, divided by 4, at bit 10.
    Scaled12By4,
    /// Multiples of 8 up to 8 * 4095, divided by 8, at bit 10.
    Scaled12By8,
    /// -256 to 255, at bit 12.
    Signed9,
    /// The lowest byte of -128 to 255, at bit 5.
    Byte,
    /// 16 bits at bit 5, all others zero.
    Piece0,
    /// The same for bits 16 to 31 of the value.
    Piece1,
    /// The same for bits 32 to 47 of the value.
    Piece2,
    /// The same for bits 48 to 63 of the value.
    Piece3,
    /// The complement of 16 bits at bit 5, all others one.
    Complement16,
    /// A repeated run of ones in 32 bits: N, immr and imms at bit 10. Values from -2^31 to 2^32 - 1 stand for their lowest 32 bits.
    Logical32,
    /// The same in 64 bits.
    Logical64,
    /// 0 to 31, to be shifted left by, in 32 bits.
    Left32,
    /// 0 to 63, to be shifted left by, in 64 bits.
    Left64,
    /// 0 to 63, at bit 16.
    Shift,
    /// 0 to 63, at bit 10.
    Rotation,
    /// 0 to 31, to be rotated left by: 32 less it, at bit 10.
    RotationLeft32,
    /// 0 to 63, to be rotated left by: 64 less it, at bit 10.
    RotationLeft64,
    /// 0 to 2^24 - 1: the upper 12 bits in the first instruction, the lower ones in the second, both at bit 10.
    Frame24,
    /// -2^31 to 2^31 - 1, in pieces of 16 bits at bit 5 of two instructions, the lowest first.
    Pieces32,
    /// The same for -2^31 to 2^32 - 1, standing for 32 bits.
    PiecesBits32,
    /// 64 bits, in pieces of 16 bits at bit 5 of four instructions.
    Pieces64,
    /// RISC-V: -2048 to 2047, at bit 20 (I-type).
    Signed12,
    /// The same in a store (S-type): the lower five bits at bit 7, the upper seven at bit 25.
    Split12,
    /// -2047 to 2048, negated, at bit 20.
    Opposite12,
    /// 0 to 2047, at bit 20.
    Unsigned11,
    /// The lowest byte of -128 to 255, at bit 20.
    Byte8,
    /// 0 to 63, at bit 20: to be shifted by.
    Amount,
    /// 0 to 31, to be rotated by: at bit 20, and 32 less it at bit 20 of the next instruction.
    Turn32,
    /// 0 to 63, to be rotated by: the same with 64.
    Turn64,
    /// Multiples of 2^12 from -2^31 on and below 2^31, without their lowest 12 bits at bit 12 (U-type).
    Upper32,
    /// Multiples of 2^44, without their lowest 44 bits at bit 12.
    Upper64,
    /// -2^31 to 2^31 - 1: 20 bits at bit 12 of one instruction (`lui`), and what is to be added to them, as a signed number, at
    /// bit 20 of the next (`addiw`).
    Sum32,
    /// The same for 0 to 2^31 - 1.
    SumUnsigned31,
    /// The same for -2^31 to 2^32 - 1, standing for 32 bits.
    SumBits32,
    /// 64 bits: the sum of what two such pairs hold, of the first 2^32 times as much.
    Sum64,
}

impl Immediate {
    /// Whether the hole is whole bytes of the code.
    #[inline(always)]
    pub const fn is_plain(self) -> bool {
        self as u8 <= Immediate::Bits64 as u8
    }

    /// Whether an instruction more makes the value: a register would serve as well.
    pub const fn is_made(self) -> bool {
        matches!(
            self,
            Immediate::Pieces32
                | Immediate::PiecesBits32
                | Immediate::Pieces64
                | Immediate::Sum32
                | Immediate::SumUnsigned31
                | Immediate::SumBits32
                | Immediate::Sum64
        )
    }

    /// The bits of a value that go into a plain hole.
    #[inline(always)]
    pub const fn mask(self) -> u64 {
        Range::of(self).mask
    }

    /// Whether a value fits a plain hole.
    #[inline(always)]
    pub const fn takes(self, value: i64) -> bool {
        let range = Range::of(self);
        (value as u64).wrapping_add(range.bias) <= range.limit
    }

    /// Whether a value fits.
    #[inline]
    pub const fn fits(self, value: i64) -> bool {
        if self.is_plain() {
            self.takes(value)
        } else {
            self.encode(value).is_some()
        }
    }

    /// The bits of the hole for a value, from its place on, little-endian; `None` if the value does not fit.
    pub const fn encode(self, value: i64) -> Option<u128> {
        use Immediate::*;
        let bits = value as u64;
        let in_range = match self {
            None | Signed8 | Signed32 | Bits32 | Bits64 => self.takes(value),
            Unsigned12 => bits < 1 << 12,
            Negated12 => value < 0 && value > -(1 << 12),
            High12 => bits < 1 << 24 && bits.is_multiple_of(1 << 12),
            Scaled12By2 => bits < 1 << 13 && bits.is_multiple_of(2),
            Scaled12By4 => bits < 1 << 14 && bits.is_multiple_of(4),
            Scaled12By8 => bits < 1 << 15 && bits.is_multiple_of(8),
            Signed9 => value >= -(1 << 8) && value < 1 << 8,
            Byte | Byte8 => value >= -(1 << 7) && value < 1 << 8,
            Piece0 => bits < 1 << 16,
            Piece1 => bits & !(0xffff << 16) == 0,
            Piece2 => bits & !(0xffff << 32) == 0,
            Piece3 => bits & !(0xffff << 48) == 0,
            Complement16 => !bits < 1 << 16,
            Left32 | RotationLeft32 | Turn32 => bits < 32,
            Left64 | Shift | Rotation | RotationLeft64 | Amount | Turn64 => bits < 64,
            Frame24 => bits < 1 << 24,
            Pieces32 | Sum32 => value >= -(1 << 31) && value < 1 << 31,
            Logical32 | PiecesBits32 | SumBits32 => value >= -(1 << 31) && value < 1 << 32,
            Logical64 | Pieces64 | Sum64 => true,
            Signed12 | Split12 => value >= -(1 << 11) && value < 1 << 11,
            Opposite12 => value > -(1 << 11) && value <= 1 << 11,
            Unsigned11 => bits < 1 << 11,
            Upper32 => value >= -(1 << 31) && value < 1 << 31 && bits.is_multiple_of(1 << 12),
            Upper64 => bits.is_multiple_of(1 << 44),
            SumUnsigned31 => bits < 1 << 31,
        };
        if !in_range {
            return Option::None;
        }
        let pieces = (bits & 0xffff) << 5 | (bits >> 16 & 0xffff) << 37;
        let upper = bits >> 32;
        let upper = (upper & 0xffff) << 5 | (upper >> 16 & 0xffff) << 37;
        let field = match self {
            None | Signed8 | Signed32 | Bits32 | Bits64 => bits & self.mask(),
            Negated12 => bits.wrapping_neg() << 10,
            High12 => bits >> 12 << 10,
            Scaled12By2 => bits >> 1 << 10,
            Scaled12By4 => bits >> 2 << 10,
            Scaled12By8 => bits >> 3 << 10,
            Signed9 => (bits & 0x1ff) << 12,
            Byte => (bits & 0xff) << 5,
            Piece0 => bits << 5,
            Piece1 => bits >> 16 << 5,
            Piece2 => bits >> 32 << 5,
            Piece3 => bits >> 48 << 5,
            Complement16 => !bits << 5,
            Left32 => ((32 - bits) % 32) << 16 | (31 - bits) << 10,
            Left64 => ((64 - bits) % 64) << 16 | (63 - bits) << 10,
            Shift => bits << 16,
            RotationLeft32 => ((32 - bits) % 32) << 10,
            RotationLeft64 => ((64 - bits) % 64) << 10,
            Frame24 => bits >> 12 << 10 | (bits & 0xfff) << 42,
            Pieces32 | PiecesBits32 => pieces,
            Pieces64 => return Some(pieces as u128 | (upper as u128) << 64),
            Logical32 => match logical(bits << 32 | bits & 0xffff_ffff) {
                Some(field) => field as u64,
                Option::None => return Option::None,
            },
            Logical64 => match logical(bits) {
                Some(field) => field as u64,
                Option::None => return Option::None,
            },
            Signed12 => (bits & 0xfff) << 20,
            Split12 => (bits & 0x1f) << 7 | (bits >> 5 & 0x7f) << 25,
            Opposite12 => (bits.wrapping_neg() & 0xfff) << 20,
            Byte8 => (bits & 0xff) << 20,
            Unsigned11 | Amount => bits << 20,
            Turn32 => bits << 20 | ((32 - bits) % 32) << 52,
            Turn64 => bits << 20 | ((64 - bits) % 64) << 52,
            Upper32 => bits & 0xffff_f000,
            Upper64 => bits >> 44 << 12,
            Sum32 | SumUnsigned31 | SumBits32 => sum(bits),
            Sum64 => {
                let upper = bits.wrapping_sub(bits as i32 as u64) >> 32;
                return Some(sum(upper) as u128 | (sum(bits) as u128) << 64);
            }
            _ => bits << 10,
        };
        Some(field as u128)
    }

    /// The bits of the hole, from its place on, little-endian.
    pub const fn field(self) -> u128 {
        use Immediate::*;
        let pieces = 0xffff << 5 | 0xffff << 37;
        match self {
            None | Signed8 | Signed32 | Bits32 | Bits64 => self.mask() as u128,
            Unsigned12 | Negated12 | High12 | Scaled12By2 | Scaled12By4 | Scaled12By8 | Left32
            | Left64 => 0xfff << 10,
            Signed9 => 0x1ff << 12,
            Byte | Piece0 | Piece1 | Piece2 | Piece3 | Complement16 => 0xffff << 5,
            Logical32 | Logical64 => 0x1fff << 10,
            Shift => 0x3f << 16,
            Rotation | RotationLeft32 | RotationLeft64 => 0x3f << 10,
            Frame24 => 0xfff << 10 | 0xfff << 42,
            Pieces32 | PiecesBits32 => pieces,
            Pieces64 => pieces | pieces << 64,
            Signed12 | Opposite12 | Unsigned11 | Byte8 => 0xfff << 20,
            Split12 => 0x1f << 7 | 0x7f << 25,
            Amount => 0x3f << 20,
            Turn32 => 0x1f << 20 | 0x1f << 52,
            Turn64 => 0x3f << 20 | 0x3f << 52,
            Upper32 | Upper64 => 0xfffff << 12,
            Sum32 | SumUnsigned31 | SumBits32 => SUM,
            Sum64 => SUM | SUM << 64,
        }
    }

    /// The value in a hole, from the code at its place on, little-endian: one that [`Immediate::encode`] makes these bits of.
    pub const fn decode(self, code: u128) -> i64 {
        use Immediate::*;
        let code = [code as u64, (code >> 64) as u64];
        let twelve = (code[0] >> 10 & 0xfff) as i64;
        let six = twelve & 63;
        let sixteen = (code[0] >> 5 & 0xffff) as i64;
        let pieces = code[0] >> 5 & 0xffff | (code[0] >> 37 & 0xffff) << 16;
        let upper = code[1] >> 5 & 0xffff | (code[1] >> 37 & 0xffff) << 16;
        let logical = repeated(code[0] >> 22 & 1, code[0] >> 16 & 63, code[0] >> 10 & 63);
        match self {
            None => 0,
            Signed8 => code[0] as i8 as i64,
            Signed32 => code[0] as i32 as i64,
            Bits32 => code[0] as u32 as i64,
            Bits64 => code[0] as i64,
            Unsigned12 => twelve,
            Negated12 => -twelve,
            High12 => twelve << 12,
            Scaled12By2 => twelve << 1,
            Scaled12By4 => twelve << 2,
            Scaled12By8 => twelve << 3,
            Signed9 => (code[0] << 43) as i64 >> 55,
            Byte => sixteen & 0xff,
            Piece0 => sixteen,
            Piece1 => sixteen << 16,
            Piece2 => sixteen << 32,
            Piece3 => sixteen << 48,
            Complement16 => !sixteen,
            Logical32 => logical as u32 as i64,
            Logical64 => logical as i64,
            Left32 => 31 - six,
            Left64 => 63 - six,
            Shift => (code[0] >> 16 & 63) as i64,
            Rotation => six,
            RotationLeft32 => (32 - six) & 31,
            RotationLeft64 => (64 - six) & 63,
            Frame24 => twelve << 12 | (code[0] >> 42 & 0xfff) as i64,
            Pieces32 => pieces as i32 as i64,
            PiecesBits32 => pieces as i64,
            Pieces64 => (upper << 32 | pieces) as i64,
            Signed12 | Unsigned11 => (code[0] as i32 >> 20) as i64,
            Split12 => ((code[0] as i32 >> 25) << 5) as i64 | (code[0] >> 7 & 0x1f) as i64,
            Opposite12 => -(code[0] as i32 >> 20) as i64,
            Byte8 => (code[0] >> 20 & 0xff) as i64,
            Amount | Turn64 => (code[0] >> 20 & 63) as i64,
            Turn32 => (code[0] >> 20 & 31) as i64,
            Upper32 => (code[0] as i32 & !0xfff) as i64,
            Upper64 => ((code[0] >> 12 & 0xfffff) << 44) as i64,
            Sum32 | SumUnsigned31 => summed(code[0]) as i64,
            SumBits32 => summed(code[0]) as u32 as i64,
            Sum64 => ((summed(code[0]) as i64) << 32).wrapping_add(summed(code[1]) as i64),
        }
    }
}

/// The fields of `lui` and of the instruction behind it that adds.
const SUM: u128 = 0xfffff << 12 | 0xfff << 52;

/// The lowest 32 bits of a value in them.
const fn sum(bits: u64) -> u64 {
    (bits.wrapping_add(0x800) & 0xffff_f000) | (bits & 0xfff) << 52
}

/// The value in them.
const fn summed(code: u64) -> i32 {
    (code as i32 & !0xfff).wrapping_add((code as i64 >> 52) as i32)
}

/// The 64 bits that N, immr and imms of a logical immediate stand for (`DecodeBitMasks` in the Arm ARM).
const fn repeated(n: u64, immr: u64, imms: u64) -> u64 {
    let kind = n << 6 | !imms & 63;
    if kind < 2 {
        return 0;
    }
    let size = 1 << kind.ilog2();
    let (run, turn) = (imms & (size - 1), immr & (size - 1));
    let run = (u64::MAX >> (63 - run)) as u128;
    let mut word = ((run | run << size) >> turn) as u64 & (u64::MAX >> (64 - size));
    let mut size = size;
    while size < 64 {
        word |= word << size;
        size *= 2;
    }
    word
}

/// N, immr and imms of a logical immediate, in place, for 64 bits that are copies of a rotated run of ones
/// (`DecodeBitMasks` in the Arm ARM, the other way round).
const fn logical(bits: u64) -> Option<u32> {
    if bits == 0 || bits == u64::MAX {
        return None;
    }
    // The shortest element that the word repeats.
    let mut size = 64;
    while size > 2 {
        let half = size / 2;
        let mask = (1 << half) - 1;
        if (bits >> half ^ bits) & mask != 0 {
            break;
        }
        size = half;
    }
    if bits != bits.rotate_right(size) {
        return None;
    }
    let element = bits & (u64::MAX >> (64 - size));
    let ones = element.count_ones();
    // Where the run begins: the lowest one whose lower neighbour in the element is zero.
    let mut turn = element.trailing_zeros();
    if element & 1 == 1 {
        let zeros = !element & (u64::MAX >> (64 - size));
        turn = 64 - zeros.leading_zeros();
    }
    let run = (u64::MAX >> (64 - ones)) as u128;
    let turned = run << (turn % size);
    let wrapped = (turned | turned >> size) as u64 & (u64::MAX >> (64 - size));
    if wrapped != element {
        return None;
    }
    let immr = (size - turn % size) % size;
    let n = (size == 64) as u32;
    // The size stands above the run's length as zeros behind ones.
    let imms = (!(2 * size - 1) & 0x3f) | (ones - 1);
    Some(n << 22 | immr << 16 | imms << 10)
}

/// What fits a plain hole.
#[repr(align(32))]
struct Range {
    /// Added to a value so that the least one that fits becomes zero.
    bias: u64,
    /// The greatest one, then.
    limit: u64,
    /// The bits that go into the hole.
    mask: u64,
}

/// How many plain kinds there are, and so that an index needs no check, what rounds them up.
const PLAIN: usize = 8;

impl Range {
    /// By the plain kind.
    const OF: [Range; PLAIN] = [
        Range::new(0, 0, 0),
        Range::new(1 << 7, 0xff, 0xff),
        Range::new(1 << 31, 0xffff_ffff, 0xffff_ffff),
        Range::new(1 << 31, 0x1_7fff_ffff, 0xffff_ffff),
        Range::new(0, u64::MAX, u64::MAX),
        Range::new(0, 0, 0),
        Range::new(0, 0, 0),
        Range::new(0, 0, 0),
    ];

    const fn new(bias: u64, limit: u64, mask: u64) -> Range {
        Range { bias, limit, mask }
    }

    #[inline(always)]
    const fn of(kind: Immediate) -> &'static Range {
        &Range::OF[kind as usize % PLAIN]
    }
}

/// How a plain immediate comes into the first 16 bytes of a template: its bits, rotated to where the hole is, under a mask for
/// each of the two words. An index into all the ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hole(u8);

impl Hole {
    /// The way for this kind of immediate at this place; none into these bytes if the place is not among them, or the
    /// kind is not plain.
    pub const fn new(kind: Immediate, at: u8) -> Hole {
        if at < 16 && kind.is_plain() {
            Hole(kind as u8 * 16 + at)
        } else {
            Hole(0)
        }
    }

    /// By index: the masks.
    const MASKS: [[u64; 2]; 256] = {
        let mut masks = [[0; 2]; 256];
        let mut index = 0;
        while index < 16 * PLAIN {
            let bits = (Range::OF[index / 16].mask as u128) << (8 * (index % 16));
            masks[index] = [bits as u64, (bits >> 64) as u64];
            index += 1;
        }
        masks
    };

    /// Lays an immediate over words that are zero in the hole.
    #[inline(always)]
    pub(crate) fn fill(self, words: [u64; 2], immediate: i64) -> [u64; 2] {
        let masks = &Hole::MASKS[self.0 as usize];
        let immediate = (immediate as u64).rotate_left(8 * u32::from(self.0));
        [
            words[0] | immediate & masks[0],
            words[1] | immediate & masks[1],
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::{Immediate, logical};

    #[test]
    fn every_logical_immediate_is_found_and_nothing_else() {
        // As many as the Arm ARM counts.
        let mut all = [0; 5334];
        let mut room = all.iter_mut();
        for size in [2u32, 4, 8, 16, 32, 64] {
            for ones in 1..size {
                for turn in 0..size {
                    let run = u64::MAX >> (64 - ones);
                    let mut word = 0;
                    for at in (0..64).step_by(size as usize) {
                        let element = u128::from(run) << turn;
                        let element = (element | element >> size) as u64;
                        word |= (element & (u64::MAX >> (64 - size))) << at;
                    }
                    let field = logical(word).expect("a run of ones");
                    let decoded = Immediate::Logical64.decode(field.into());
                    assert_eq!(decoded as u64, word, "{word:#x}");
                    *room.next().expect("no more than these") = word;
                }
            }
        }
        assert!(room.next().is_none());
        all.sort_unstable();
        let found = |word: u64| all.binary_search(&word).is_ok();
        let mut numbers = 1u64;
        for _ in 0..100_000 {
            numbers = numbers.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            let word = numbers ^ numbers >> 29;
            assert_eq!(logical(word).is_some(), found(word), "{word:#x}");
        }
        for word in all {
            for bit in 0..64 {
                let word = word ^ 1 << bit;
                assert_eq!(logical(word).is_some(), found(word), "{word:#x}");
            }
        }
    }

    #[test]
    fn fields_take_what_they_say() {
        use Immediate::*;
        let ends = [
            (Unsigned12, 0, 4095, 1),
            (Negated12, -4095, -1, 1),
            (High12, 0, 4095 << 12, 1 << 12),
            (Scaled12By2, 0, 2 * 4095, 2),
            (Scaled12By4, 0, 4 * 4095, 4),
            (Scaled12By8, 0, 8 * 4095, 8),
            (Signed9, -256, 255, 1),
            (Byte, -128, 255, 1),
            (Piece0, 0, 0xffff, 1),
            (Piece1, 0, 0xffff << 16, 1 << 16),
            (Piece2, 0, 0xffff << 32, 1 << 32),
            (Complement16, -0x1_0000, -1, 1),
            (Left32, 0, 31, 1),
            (Left64, 0, 63, 1),
            (Shift, 0, 63, 1),
            (Rotation, 0, 63, 1),
            (RotationLeft32, 0, 31, 1),
            (RotationLeft64, 0, 63, 1),
            (Frame24, 0, (1 << 24) - 1, 1),
            (Pieces32, i64::from(i32::MIN), i64::from(i32::MAX), 1),
            (PiecesBits32, i64::from(i32::MIN), i64::from(u32::MAX), 1),
            (Signed12, -2048, 2047, 1),
            (Split12, -2048, 2047, 1),
            (Opposite12, -2047, 2048, 1),
            (Unsigned11, 0, 2047, 1),
            (Byte8, -128, 255, 1),
            (Amount, 0, 63, 1),
            (Turn32, 0, 31, 1),
            (Turn64, 0, 63, 1),
            (
                Upper32,
                i64::from(i32::MIN),
                i64::from(i32::MAX) & !0xfff,
                1 << 12,
            ),
            (Sum32, i64::from(i32::MIN), i64::from(i32::MAX), 1),
            (SumUnsigned31, 0, i64::from(i32::MAX), 1),
            (SumBits32, i64::from(i32::MIN), i64::from(u32::MAX), 1),
        ];
        for (kind, least, most, step) in ends {
            for value in [least, least + step, most - step, most] {
                let bits = kind.encode(value).expect("fits");
                assert_eq!(bits & !kind.field(), 0, "{kind:?} {value}");
                let decoded = kind.decode(bits | !kind.field());
                let narrow = match kind {
                    Byte | Byte8 => decoded == value & 0xff,
                    PiecesBits32 | SumBits32 => decoded as i32 == value as i32,
                    _ => decoded == value,
                };
                assert!(narrow, "{kind:?} {value} {decoded}");
            }
            for value in [least - step, most + step, i64::MIN, i64::MAX] {
                assert!(!kind.fits(value), "{kind:?} {value}");
            }
            assert!(step == 1 || !kind.fits(least + step / 2), "{kind:?}");
        }
        assert!(Piece3.fits(0x3ff0 << 48) && !Piece3.fits(1));
        assert!(None.fits(0) && !None.fits(1));
        assert!(Upper64.fits(0x3ff << 52) && !Upper64.fits(1 << 43));
        for kind in [Pieces64, Sum64] {
            for value in [i64::MIN, -1, 0x1122_3344_5566_7788, i64::MAX, 0x8000_0000] {
                let bits = kind.encode(value).expect("fits");
                assert_eq!(bits & !kind.field(), 0, "{kind:?} {value}");
                assert_eq!(kind.decode(bits | !kind.field()), value);
            }
        }
    }

    /// As an assembler has them: instructions without the immediate, and with it.
    #[test]
    fn fields_of_riscv_are_where_an_assembler_puts_them() {
        use Immediate::*;
        let cases: [(Immediate, i64, u128, u128); 11] = [
            // addi x5, x6, -3
            (Signed12, -3, 0x0003_0293, 0xffd3_0293),
            // addi x5, x6, -2048 for 2048
            (Opposite12, 2048, 0x0003_0293, 0x8003_0293),
            // sd x5, -1999(x6)
            (Split12, -1999, 0x0053_3023, 0x8253_38a3),
            // sd x5, 2047(x6)
            (Split12, 2047, 0x0053_3023, 0x7e53_3fa3),
            // srai x5, x6, 63
            (Amount, 63, 0x4003_5293, 0x43f3_5293),
            // srliw x5, x6, 7; slliw x6, x6, 25
            (Turn32, 7, 0x0003_131b_0003_529b, 0x0193_131b_0073_529b),
            // srli x5, x6, 0; slli x6, x6, 0
            (Turn64, 0, 0x0003_1313_0003_5293, 0x0003_1313_0003_5293),
            // lui x5, 0x3ff00
            (Upper64, 0x3ff << 52, 0x0000_02b7, 0x3ff0_02b7),
            // lui x5, 0x12346; addiw x5, x5, -1384
            (
                Sum32,
                0x1234_5a98,
                0x0002_829b_0000_02b7,
                0xa982_829b_1234_62b7,
            ),
            // lui x5, 0x80000; addiw x5, x5, -1
            (
                Sum32,
                i32::MAX as i64,
                0x0002_829b_0000_02b7,
                0xfff2_829b_8000_02b7,
            ),
            // lui x5, 0x80000; addiw x5, x5, 0
            (
                SumBits32,
                1 << 31,
                0x0002_829b_0000_02b7,
                0x0002_829b_8000_02b7,
            ),
        ];
        for (kind, value, without, with) in cases {
            assert_eq!(without & kind.field(), 0);
            let bits = kind.encode(value).expect("fits");
            assert_eq!(without | bits, with, "{kind:?} {value}");
        }
    }
}
