//! What is known of an integer: one lattice.
//!
//! ```text
//!                      everything                     bits: none known    low = MIN   high = MAX    floor = 0   ceiling = 2^w - 1
//!                 ┌────────┼────────┐
//!         known bits   signed range   unsigned range    a fact is all three at once; what one says, the others are told:
//!          0?1?????    low..=high     floor..=ceiling    bits <-> unsigned range <-> signed range, where signs allow
//!                 └────────┼────────┘
//!                      a constant                     every bit known; low = high; floor = ceiling
//!                          │
//!                       nothing                       no value can be there: the place is never reached
//! ```
//!
//! Up is less known. [`Fact::join`] goes up, where ways meet; [`Fact::meet`] goes down, where something is learned. Facts of 32-bit values are
//! about their zero-extended bits. Non-null is a floor of 1. What ops make of facts ([`value_of`]) is monotone: from less comes no more.
//! There is no widening here: loops are not iterated over, see [`super::learn`].

use super::rules::Width;
use crate::ir::Tag;
use crate::ops::Opcode;

/// Words of a fact in a table.
pub(super) const FACT_WORDS: usize = 12;

/// What is known of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fact {
    /// Bits that are 0.
    pub zeros: u64,
    /// Bits that are 1.
    pub ones: u64,
    /// The least it may be, signed.
    pub low: i64,
    /// The most it may be, signed.
    pub high: i64,
    /// The least it may be, unsigned.
    pub floor: u64,
    /// The most it may be, unsigned.
    pub ceiling: u64,
}

impl Fact {
    /// Nothing is known.
    pub const fn top(width: Width) -> Fact {
        Fact {
            zeros: !width.mask(),
            ones: 0,
            low: width.least(),
            high: width.most(),
            floor: 0,
            ceiling: width.mask(),
        }
    }

    /// No value is left.
    pub const NOTHING: Fact = Fact {
        zeros: u64::MAX,
        ones: u64::MAX,
        low: i64::MAX,
        high: i64::MIN,
        floor: u64::MAX,
        ceiling: 0,
    };

    /// It is 0 or 1, of 32 bits: what comparisons give.
    pub const TRUTH: Fact = Fact {
        zeros: !1,
        ones: 0,
        low: 0,
        high: 1,
        floor: 0,
        ceiling: 1,
    };

    /// It is this value.
    pub const fn constant(width: Width, bits: u64) -> Fact {
        let bits = bits & width.mask();
        Fact {
            zeros: !bits,
            ones: bits,
            low: width.signed(bits),
            high: width.signed(bits),
            floor: bits,
            ceiling: bits,
        }
    }

    /// It is in this unsigned range.
    pub fn unsigned(width: Width, floor: u64, ceiling: u64) -> Fact {
        Fact {
            floor,
            ceiling,
            ..Fact::top(width)
        }
        .told(width)
    }

    /// It is in this signed range.
    pub fn signed(width: Width, low: i64, high: i64) -> Fact {
        Fact {
            low,
            high,
            ..Fact::top(width)
        }
        .told(width)
    }

    /// These bits are known.
    pub fn bits(width: Width, zeros: u64, ones: u64) -> Fact {
        Fact {
            zeros: zeros | !width.mask(),
            ones,
            ..Fact::top(width)
        }
        .told(width)
    }

    /// The value, if only one is left.
    pub fn known(&self) -> Option<u64> {
        (self.floor == self.ceiling).then_some(self.floor)
    }

    /// Whether no value is left.
    pub fn is_empty(&self) -> bool {
        self.low > self.high || self.floor > self.ceiling || self.zeros & self.ones != 0
    }

    /// Whether a value fits.
    #[cfg(test)]
    pub fn holds(&self, width: Width, bits: u64) -> bool {
        let signed = width.signed(bits);
        bits & self.zeros == 0
            && bits & self.ones == self.ones
            && (self.low..=self.high).contains(&signed)
            && (self.floor..=self.ceiling).contains(&bits)
    }

    /// What holds where either does.
    pub fn join(&self, other: &Fact) -> Fact {
        Fact {
            zeros: self.zeros & other.zeros,
            ones: self.ones & other.ones,
            low: self.low.min(other.low),
            high: self.high.max(other.high),
            floor: self.floor.min(other.floor),
            ceiling: self.ceiling.max(other.ceiling),
        }
    }

    /// What holds where both do.
    pub fn meet(&self, width: Width, other: &Fact) -> Fact {
        if *other == Fact::top(width) {
            return *self;
        }
        self.untold(other).told(width)
    }

    /// The same, with nothing told yet.
    fn untold(&self, other: &Fact) -> Fact {
        Fact {
            zeros: self.zeros | other.zeros,
            ones: self.ones | other.ones,
            low: self.low.max(other.low),
            high: self.high.min(other.high),
            floor: self.floor.max(other.floor),
            ceiling: self.ceiling.min(other.ceiling),
        }
    }

    /// With the three told of each other.
    pub fn told(self, width: Width) -> Fact {
        // The width is a constant in each.
        if width.bits() == 64 {
            self.told_at(Width::of_bits(64))
        } else {
            self.told_at(Width::of_bits(32))
        }
    }

    #[inline(always)]
    fn told_at(mut self, width: Width) -> Fact {
        if self.is_empty() {
            return Fact::NOTHING;
        }
        self.floor = self.floor.max(self.ones);
        self.ceiling = self.ceiling.min(!self.zeros);
        let (low, high) = (width.unsigned(self.low), width.unsigned(self.high));
        if (self.low < 0) == (self.high < 0) {
            self.floor = self.floor.max(low);
            self.ceiling = self.ceiling.min(high);
        }
        if self.floor > self.ceiling {
            return Fact::NOTHING;
        }
        let most = width.most() as u64;
        if (self.floor > most) == (self.ceiling > most) {
            self.low = self.low.max(width.signed(self.floor));
            self.high = self.high.min(width.signed(self.ceiling));
        }
        // Bits above the first in which the ends of the range differ.
        let differ = self.floor ^ self.ceiling;
        let same = !u64::MAX.checked_shr(differ.leading_zeros()).unwrap_or(0);
        self.ones |= self.floor & same;
        self.zeros |= !self.floor & same;
        if self.is_empty() { Fact::NOTHING } else { self }
    }

    /// As words of a table.
    pub fn into_words(self) -> [u32; FACT_WORDS] {
        let all = [
            self.zeros,
            self.ones,
            self.low as u64,
            self.high as u64,
            self.floor,
            self.ceiling,
        ];
        core::array::from_fn(|at| (all[at / 2] >> (32 * (at % 2))) as u32)
    }

    /// From words of a table.
    pub fn from_words(words: &[u32; FACT_WORDS]) -> Fact {
        let wide = |at: usize| u64::from(words[at]) | u64::from(words[at + 1]) << 32;
        Fact {
            zeros: wide(0),
            ones: wide(2),
            low: wide(4) as i64,
            high: wide(6) as i64,
            floor: wide(8),
            ceiling: wide(10),
        }
    }
}

/// The four products of the ends of two ranges, least and greatest.
fn products(a: &Fact, b: &Fact) -> (i128, i128) {
    let product = |x: i64, y: i64| i128::from(x) * i128::from(y);
    let all = [
        product(a.low, b.low),
        product(a.low, b.high),
        product(a.high, b.low),
        product(a.high, b.high),
    ];
    let mut ends = (all[0], all[0]);
    for &one in &all[1..] {
        ends = (ends.0.min(one), ends.1.max(one));
    }
    ends
}

/// The signed range of an exact result: as it is where it fits, else everything; or what fits of it, if the op leaves for the rest.
/// Nothing is told yet.
fn exact(width: Width, (low, high): (i128, i128), leaves: bool) -> Fact {
    let (least, most) = (i128::from(width.least()), i128::from(width.most()));
    if leaves {
        if low > most || high < least {
            return Fact::NOTHING;
        }
        Fact {
            low: low.max(least) as i64,
            high: high.min(most) as i64,
            ..Fact::top(width)
        }
    } else if low >= least && high <= most {
        Fact {
            low: low as i64,
            high: high as i64,
            ..Fact::top(width)
        }
    } else {
        Fact::top(width)
    }
}

/// The range of the multiples of a factor.
fn multiples(width: Width, factor: i64) -> Fact {
    match factor.checked_abs() {
        Some(factor @ 2..) => Fact::signed(
            width,
            width.least() / factor * factor,
            width.most() / factor * factor,
        ),
        _ => Fact::top(width),
    }
}

/// The exact ends of the result of `add`, `sub` or `mul`, checked or not, signed.
fn ends(narrow: Opcode, a: &Fact, b: &Fact) -> (i128, i128) {
    let wide = i128::from;
    match narrow {
        Opcode::I32Add | Opcode::I32AddChecked => {
            (wide(a.low) + wide(b.low), wide(a.high) + wide(b.high))
        }
        Opcode::I32Sub | Opcode::I32SubChecked => {
            (wide(a.low) - wide(b.high), wide(a.high) - wide(b.low))
        }
        _ => products(a, b),
    }
}

/// Whether a checked op cannot leave.
pub(super) fn never_leaves(width: Width, narrow: Opcode, a: &Fact, b: &Fact) -> bool {
    match narrow {
        _ if a.is_empty() || b.is_empty() => false,
        Opcode::I32AddChecked | Opcode::I32SubChecked | Opcode::I32MulChecked => {
            let (low, high) = ends(narrow, a, b);
            low >= i128::from(width.least()) && high <= i128::from(width.most())
        }
        _ => false,
    }
}

/// The lowest bits in which both are known, and of these the sum's, with a carry going in: zeros and ones.
fn low_bits(width: Width, a: &Fact, b: &Fact, subtract: bool) -> (u64, u64) {
    let known = (a.zeros | a.ones) & (b.zeros | b.ones);
    // Those below the lowest that is not known.
    let mask = known & !known.wrapping_add(1) & width.mask();
    let mask = if known == u64::MAX {
        width.mask()
    } else {
        mask
    };
    let sum = if subtract {
        a.ones.wrapping_sub(b.ones)
    } else {
        a.ones.wrapping_add(b.ones)
    };
    (!sum & mask, sum & mask)
}

/// What is known of the result of an op that takes integers of one width and gives one of the same, by its opcode at 32 bits.
pub(super) fn value_of(width: Width, narrow: Opcode, a: &Fact, b: &Fact) -> Fact {
    use Opcode::*;
    let top = Fact::top(width);
    if a.is_empty() || b.is_empty() {
        return Fact::NOTHING;
    }
    let mask = width.mask();
    let bits = width.bits();
    let count = b.known().map(|count| (count % u64::from(bits)) as u32);
    match narrow {
        I32Add | I32AddChecked => {
            let mut sum = exact(width, ends(narrow, a, b), narrow == I32AddChecked);
            if let Some(ceiling) = a.ceiling.checked_add(b.ceiling)
                && ceiling <= mask
            {
                sum.floor = sum.floor.max(a.floor + b.floor);
                sum.ceiling = sum.ceiling.min(ceiling);
            }
            let (zeros, ones) = low_bits(width, a, b, false);
            sum.zeros |= zeros;
            sum.ones |= ones;
            sum.told(width)
        }
        I32Sub | I32SubChecked => {
            let mut sum = exact(width, ends(narrow, a, b), narrow == I32SubChecked);
            if a.floor >= b.ceiling {
                sum.floor = sum.floor.max(a.floor - b.ceiling);
                sum.ceiling = sum.ceiling.min(a.ceiling - b.floor);
            }
            let (zeros, ones) = low_bits(width, a, b, true);
            sum.zeros |= zeros;
            sum.ones |= ones;
            sum.told(width)
        }
        I32Mul | I32MulChecked => {
            let signed = exact(width, products(a, b), narrow == I32MulChecked).told(width);
            let ceiling = u128::from(a.ceiling) * u128::from(b.ceiling);
            let unsigned = if ceiling <= u128::from(mask) {
                Fact::unsigned(width, a.floor * b.floor, ceiling as u64)
            } else {
                top
            };
            let even = a.zeros.trailing_ones() + b.zeros.trailing_ones();
            let zeros = !u64::MAX.checked_shl(even).unwrap_or(0);
            let known = Fact::bits(width, zeros, 0);
            let signed = match b.known() {
                Some(factor) if narrow == I32MulChecked => {
                    signed.meet(width, &multiples(width, width.signed(factor)))
                }
                _ => signed,
            };
            signed.meet(width, &unsigned).meet(width, &known)
        }
        I32And => {
            let known = Fact::bits(width, a.zeros | b.zeros, a.ones & b.ones);
            known.meet(width, &Fact::unsigned(width, 0, a.ceiling.min(b.ceiling)))
        }
        I32Or => {
            let known = Fact::bits(width, a.zeros & b.zeros, a.ones | b.ones);
            known.meet(width, &Fact::unsigned(width, a.floor.max(b.floor), mask))
        }
        I32Xor => Fact::bits(
            width,
            (a.zeros & b.zeros) | (a.ones & b.ones),
            (a.zeros & b.ones) | (a.ones & b.zeros),
        ),
        I32Shl => match count {
            Some(by) => {
                let low = (1u64 << by) - 1;
                let known = Fact::bits(width, a.zeros << by | low, a.ones << by & mask);
                if a.ceiling <= mask >> by {
                    known.meet(
                        width,
                        &Fact::unsigned(width, a.floor << by, a.ceiling << by),
                    )
                } else {
                    known
                }
            }
            None => top,
        },
        I32ShrU => match count {
            Some(by) => {
                let high = !(mask >> by);
                let known = Fact::bits(width, (a.zeros & mask) >> by | high, a.ones >> by);
                known.meet(
                    width,
                    &Fact::unsigned(width, a.floor >> by, a.ceiling >> by),
                )
            }
            None => Fact::unsigned(width, 0, a.ceiling),
        },
        I32ShrS => match count {
            Some(by) => Fact::signed(width, a.low >> by, a.high >> by),
            None => Fact::signed(width, a.low.min(0), a.high.max(-1).max(a.high)),
        },
        // Where the divisor is zero they leave.
        I32DivU | I32RemU if b.ceiling == 0 => Fact::NOTHING,
        I32DivU => Fact::unsigned(width, a.floor / b.ceiling, a.ceiling / b.floor.max(1)),
        I32RemU => Fact::unsigned(width, 0, a.ceiling.min(b.ceiling - 1)),
        I32DivS if a.low >= 0 && b.low >= 0 => Fact::signed(width, 0, a.high),
        I32RemS if b.low > width.least() => {
            // What is left has the sign of the dividend.
            let most = b.low.unsigned_abs().max(b.high.unsigned_abs());
            let most = most.saturating_sub(1).min(width.most() as u64) as i64;
            let low = if a.low >= 0 { 0 } else { (-most).max(a.low) };
            let high = if a.high <= 0 { 0 } else { most.min(a.high) };
            Fact::signed(width, low, high)
        }
        I32Clz | I32Ctz | I32Popcnt => Fact::unsigned(width, 0, u64::from(bits)),
        I32MulHighU => {
            let product = u128::from(a.ceiling) * u128::from(b.ceiling);
            Fact::unsigned(width, 0, (product >> bits) as u64)
        }
        I32Extend8S => extended(width, a, 8),
        I32Extend16S => extended(width, a, 16),
        I64Extend32S => extended(width, a, 32),
        _ => top,
    }
}

/// The low bits with their sign.
fn extended(width: Width, a: &Fact, from: u32) -> Fact {
    let most = (1i64 << (from - 1)) - 1;
    if a.low >= -most - 1 && a.high <= most {
        return *a;
    }
    Fact::signed(width, -most - 1, most)
}

/// What is known of the 64 bits to which 32 are extended.
pub(super) fn widened(a: &Fact, signed: bool) -> Fact {
    let width = Width::of_bits(64);
    if signed {
        Fact::signed(width, a.low, a.high)
    } else {
        Fact::bits(width, a.zeros, a.ones).meet(width, &Fact::unsigned(width, a.floor, a.ceiling))
    }
}

/// What is known of the low 32 bits.
pub(super) fn narrowed(a: &Fact) -> Fact {
    let (narrow, low) = (Width::of_bits(32), u64::from(u32::MAX));
    let mut fact = Fact::bits(narrow, a.zeros & low, a.ones & low);
    if a.low >= narrow.least() && a.high <= narrow.most() {
        fact = fact.meet(narrow, &Fact::signed(narrow, a.low, a.high));
    }
    if a.ceiling <= low {
        fact = fact.meet(narrow, &Fact::unsigned(narrow, a.floor, a.ceiling));
    }
    fact
}

/// The words of floats whose NaNs are all the one that boxes make: none is above negative infinity.
pub(super) fn boxed_float() -> Fact {
    Fact::unsigned(Width::of_bits(64), 0, f64::NEG_INFINITY.to_bits())
}

/// The words for which a test for a tag comes out one way, where these are a range: what else the mask leaves is below what it asks
/// for, or the mask asks for nothing else.
pub(super) fn tagged(tag: &Tag, holds: bool) -> Fact {
    let width = Width::of_bits(64);
    if holds {
        return Fact::bits(width, tag.mask & !tag.bits, tag.bits);
    }
    let within = tag.bits | !tag.mask;
    if tag.mask.leading_ones() + tag.mask.trailing_zeros() < 64 {
        return Fact::top(width);
    }
    // All words but those from the tag's first to its last: a range if these stand at an end.
    if within == u64::MAX && tag.bits > 0 {
        Fact::unsigned(width, 0, tag.bits - 1)
    } else if tag.bits == 0 && within < u64::MAX {
        Fact::unsigned(width, within + 1, u64::MAX)
    } else {
        Fact::top(width)
    }
}

/// Whether a word has a tag, if that is known.
pub(super) fn has_tag(tag: &Tag, word: &Fact) -> Option<bool> {
    if word.is_empty() {
        return None;
    }
    let known = word.zeros | word.ones;
    if (word.ones ^ tag.bits) & known & tag.mask != 0 {
        return Some(false);
    }
    if known & tag.mask == tag.mask {
        return Some(true);
    }
    let is_range = tag.mask.leading_ones() + tag.mask.trailing_zeros() >= 64;
    let apart = word.ceiling < tag.bits || word.floor > tag.bits | !tag.mask;
    (is_range && apart).then_some(false)
}

/// What is known of what a word carries, zero-extended, by what is known of the word.
pub(super) fn carried(tag: &Tag, word: &Fact) -> Fact {
    let width = Width::of_bits(64);
    let without = value_of(
        width,
        Opcode::I32And,
        word,
        &Fact::constant(width, !tag.mask),
    );
    let by = Fact::constant(width, u64::from(tag.shift));
    value_of(width, Opcode::I32ShrU, &without, &by)
}

/// What is known of a word with a tag, from what it carries.
pub(super) fn boxed(tag: &Tag, carried: &Fact) -> Fact {
    let width = Width::of_bits(64);
    let shifted = value_of(
        width,
        Opcode::I32Shl,
        carried,
        &Fact::constant(width, u64::from(tag.shift)),
    );
    if (tag.mask, tag.bits) == (0, 0) {
        return shifted;
    }
    Fact::bits(
        width,
        (shifted.zeros | tag.mask) & !tag.bits,
        (shifted.ones & !tag.mask) | tag.bits,
    )
}

/// Whether a comparison holds, if that is known. By its opcode at 32 bits.
pub(super) fn decide(narrow: Opcode, a: &Fact, b: &Fact) -> Option<bool> {
    use Opcode::*;
    if a.is_empty() || b.is_empty() {
        return None;
    }
    let between = |yes: bool, no: bool| match (yes, no) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    };
    let apart = a.high < b.low
        || b.high < a.low
        || a.ceiling < b.floor
        || b.ceiling < a.floor
        || a.ones & b.zeros != 0
        || a.zeros & b.ones != 0;
    let same = a.known().is_some() && a.known() == b.known();
    match narrow {
        I32Eq => between(same, apart),
        I32Ne => between(apart, same),
        I32Eqz => between(
            a.ceiling == 0,
            a.floor > 0 || a.ones != 0 || a.low > 0 || a.high < 0,
        ),
        I32LtS => between(a.high < b.low, a.low >= b.high),
        I32LtU => between(a.ceiling < b.floor, a.floor >= b.ceiling),
        I32GtS => between(a.low > b.high, a.high <= b.low),
        I32GtU => between(a.floor > b.ceiling, a.ceiling <= b.floor),
        I32LeS => between(a.high <= b.low, a.low > b.high),
        I32LeU => between(a.ceiling <= b.floor, a.floor > b.ceiling),
        I32GeS => between(a.low >= b.high, a.high < b.low),
        I32GeU => between(a.floor >= b.ceiling, a.ceiling < b.floor),
        _ => None,
    }
}

/// What a comparison that holds says of its first operand. Nothing is told yet: it is to be met with what is known, or told.
pub(super) fn implied(width: Width, narrow: Opcode, b: &Fact) -> Fact {
    use Opcode::*;
    let top = Fact::top(width);
    let (least, most, mask) = (width.least(), width.most(), width.mask());
    let signed = |low, high| Fact { low, high, ..top };
    let unsigned = |floor, ceiling| Fact {
        floor,
        ceiling,
        ..top
    };
    match narrow {
        I32Eq => *b,
        I32Ne => match b.known() {
            Some(0) => unsigned(1, mask),
            Some(bits) if bits == mask => unsigned(0, mask - 1),
            Some(bits) if width.signed(bits) == most => signed(least, most - 1),
            Some(bits) if width.signed(bits) == least => signed(least + 1, most),
            _ => top,
        },
        I32Eqz => Fact::constant(width, 0),
        I32LtS if b.high > least => signed(least, b.high - 1),
        I32LeS => signed(least, b.high),
        I32GtS if b.low < most => signed(b.low + 1, most),
        I32GeS => signed(b.low, most),
        I32LtU if b.ceiling > 0 => unsigned(0, b.ceiling - 1),
        I32LeU => unsigned(0, b.ceiling),
        I32GtU if b.floor < mask => unsigned(b.floor + 1, mask),
        I32GeU => unsigned(b.floor, mask),
        _ => top,
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use crate::ops::evaluate;
    use std::vec::Vec;

    const OPS: [Opcode; 26] = {
        use Opcode::*;
        [
            I32Add,
            I32Sub,
            I32Mul,
            I32And,
            I32Or,
            I32Xor,
            I32Shl,
            I32ShrU,
            I32ShrS,
            I32DivU,
            I32RemU,
            I32DivS,
            I32RemS,
            I32Clz,
            I32Ctz,
            I32Popcnt,
            I32MulHighU,
            I32Extend8S,
            I32Extend16S,
            I64Extend32S,
            I32AddChecked,
            I32SubChecked,
            I32MulChecked,
            I32Rotl,
            I32MulHighS,
            I32Bswap,
        ]
    };
    const COMPARISONS: [Opcode; 10] = {
        use Opcode::*;
        [
            I32Eq, I32Ne, I32LtS, I32LtU, I32GtS, I32GtU, I32LeS, I32LeU, I32GeS, I32GeU,
        ]
    };

    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 = self
                .0
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            let x = self.0;
            (x ^ x >> 31).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 3 ^ x
        }

        fn value(&mut self, width: Width) -> u64 {
            let bits = self.next();
            let small = self.next() % 20;
            let shift = self.next() % 64;
            let value = match self.next() % 5 {
                0 => small,
                1 => small.wrapping_neg(),
                2 => bits >> shift,
                3 => (1u64 << shift).wrapping_add(small).wrapping_sub(10),
                _ => bits,
            };
            value & width.mask()
        }

        /// A fact that holds of some values, and these.
        fn fact(&mut self, width: Width) -> (Fact, Vec<u64>) {
            let count = 1 + self.next() % 4;
            let mut values: Vec<u64> = (0..count).map(|_| self.value(width)).collect();
            let kind = self.next() % 4;
            let mut fact = Fact::constant(width, values[0]);
            for &value in &values {
                let one = Fact::constant(width, value);
                fact = fact.join(&one);
            }
            let top = Fact::top(width);
            fact = match kind {
                0 => Fact {
                    zeros: top.zeros,
                    ones: 0,
                    ..fact
                },
                1 => Fact {
                    low: top.low,
                    high: top.high,
                    floor: 0,
                    ceiling: top.ceiling,
                    ..fact
                },
                _ => fact,
            }
            .told(width);
            for _ in 0..8 {
                let value = self.value(width);
                if fact.holds(width, value) {
                    values.push(value);
                }
            }
            (fact, values)
        }
    }

    fn leq(less: &Fact, more: &Fact) -> bool {
        less.join(more) == *more
    }

    #[test]
    fn facts_of_results_hold_and_are_monotone() {
        let mut random = Random(1);
        for round in 0..150_000 {
            let width = Width::of_bits([32, 64][round % 2]);
            let (a, xs) = random.fact(width);
            let (b, ys) = random.fact(width);
            let (more_a, more_b) = (a.join(&random.fact(width).0), b.join(&random.fact(width).0));
            let (more_a, more_b) = (more_a.told(width), more_b.told(width));
            let narrow = OPS[round / 2 % OPS.len()];
            if narrow == Opcode::I64Extend32S && width.bits() == 32 {
                continue;
            }
            let code = width.of(narrow);
            let fact = value_of(width, narrow, &a, &b);
            let more = value_of(width, narrow, &more_a, &more_b);
            assert!(
                leq(&fact, &more),
                "{code:?} of {a:x?} {b:x?}, {more_a:x?} {more_b:x?}: {fact:x?} {more:x?}"
            );
            for &x in &xs {
                for &y in &ys {
                    let result = evaluate(code, x, y).expect("a scalar op");
                    if let Some(result) = result {
                        assert!(
                            fact.holds(width, result),
                            "{code:?}({x:#x}, {y:#x}) = {result:#x}: {fact:x?}"
                        );
                    } else {
                        assert!(!never_leaves(width, narrow, &a, &b));
                    }
                }
            }
        }
    }

    #[test]
    fn comparisons_are_decided_as_they_come_out() {
        let mut random = Random(2);
        for round in 0..100_000 {
            let width = Width::of_bits([32, 64][round % 2]);
            let (a, xs) = random.fact(width);
            let (b, ys) = random.fact(width);
            let narrow = COMPARISONS[round / 2 % COMPARISONS.len()];
            let decided = decide(narrow, &a, &b);
            let implied = implied(width, narrow, &b);
            for &x in &xs {
                for &y in &ys {
                    let holds = evaluate(width.of(narrow), x, y) == Some(Some(1));
                    assert!(decided.is_none_or(|decided| decided == holds));
                    assert!(
                        !holds || implied.holds(width, x),
                        "{narrow:?} {x:#x} {y:#x}"
                    );
                }
            }
            let zero = decide(Opcode::I32Eqz, &a, &b);
            assert!(xs.iter().all(|&x| zero.is_none_or(|zero| zero == (x == 0))));
        }
    }

    #[test]
    fn joins_and_meets_hold_what_they_should() {
        let mut random = Random(3);
        for round in 0..50_000 {
            let width = Width::of_bits([32, 64][round % 2]);
            let (a, xs) = random.fact(width);
            let (b, ys) = random.fact(width);
            let (join, meet) = (a.join(&b), a.meet(width, &b));
            assert!(leq(&a, &join) && leq(&b, &join));
            for &x in xs.iter().chain(&ys) {
                assert!(join.holds(width, x));
                assert!(!(a.holds(width, x) && b.holds(width, x)) || meet.holds(width, x));
            }
            assert_eq!(Fact::from_words(&a.into_words()), a);
            if width.bits() == 32 {
                let (signed, unsigned) = (widened(&a, true), widened(&a, false));
                for &x in &xs {
                    assert!(signed.holds(Width::of_bits(64), x as i32 as u64));
                    assert!(unsigned.holds(Width::of_bits(64), x));
                }
            } else {
                let narrow = narrowed(&a);
                let tag = Tag {
                    mask: 0xffff << 48,
                    bits: 0xfff9 << 48,
                    shift: 3,
                };
                let boxed = boxed(&tag, &a);
                let carried = carried(&tag, &a);
                for &x in &xs {
                    assert!(narrow.holds(Width::of_bits(32), x & 0xffff_ffff));
                    assert!(boxed.holds(Width::of_bits(64), tag.put_on(x)));
                    assert!(carried.holds(Width::of_bits(64), tag.take_off(x)));
                }
            }
        }
    }

    #[test]
    fn tags_are_decided_as_tests_come_out() {
        let mut random = Random(4);
        let width = Width::of_bits(64);
        let mut known = [0; 2];
        let mut ranges = 0;
        for _ in 0..50_000 {
            let (a, xs) = random.fact(width);
            let mask = match random.next() % 3 {
                0 => !0 << (random.next() % 64),
                1 => 7,
                _ => random.value(width),
            };
            let bits = match random.next() % 4 {
                0 => mask,
                1 => 0,
                _ => random.value(width) & mask,
            };
            let shift = (random.next() % 64) as u8;
            let tag = Tag { mask, bits, shift };
            let decided = has_tag(&tag, &a);
            if let Some(decided) = decided {
                known[usize::from(decided)] += 1;
            }
            let more = a.join(&random.fact(width).0).told(width);
            assert!(has_tag(&tag, &more).is_none_or(|more| decided == Some(more)));
            let taught = [tagged(&tag, false), tagged(&tag, true)];
            ranges += usize::from(taught[0] != Fact::top(width));
            for &x in &xs {
                let on = tag.is_on(x);
                assert!(
                    decided.is_none_or(|decided| decided == on),
                    "{tag:x?} {x:x}"
                );
                assert!(taught[usize::from(on)].holds(width, x), "{tag:x?} {x:x}");
            }
        }
        assert!(
            known.iter().all(|&count| count > 100) && ranges > 100,
            "{known:?} {ranges}"
        );
        let float = boxed_float();
        for x in [
            0,
            0x7ff8 << 48,
            0xfff0 << 48,
            1f64.to_bits(),
            (-1f64).to_bits(),
        ] {
            assert!(float.holds(width, x));
        }
    }
}
