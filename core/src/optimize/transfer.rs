//! The transfer functions of the lattice of facts: what ops make of what is known of their operands, and what conditions say.
//!
//! Takes facts ([`super::facts`]) and ops at 32 bits with a width; promises facts that hold of every result, and that are monotone: from
//! less comes no more. The other way, a condition that holds says of its operand what [`implied`] and [`tagged`] give. Where no
//! value can be, nothing is decided. Costs constant time each.

use super::facts::Fact;
use super::width::Width;
use crate::ir::Tag;
use crate::ops::Opcode;

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
