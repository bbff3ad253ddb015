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
//! about their zero-extended bits. Non-null is a floor of 1. What ops make of facts is in [`super::transfer`].
//! There is no widening here: loops are not iterated over, see [`super::induction`]. Everything takes constant time.

use super::width::Width;

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

#[cfg(test)]
mod tests;
