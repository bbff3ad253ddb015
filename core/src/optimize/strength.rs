//! Divisions by constants as multiplications and shifts.
//!
//! Takes a division or remainder by a constant other than -1, 0 and 1, which therefore never leaves; promises ops that give the same for
//! every dividend. The factors are those of Granlund and Montgomery (PLDI 1994): for a divisor d of w bits there is a
//! factor m of w or w + 1 bits and a shift s with n / d = (n * m) >> (w + s) for every n.

use super::walk::{Fault, Walk};
use super::width::{Width, narrowed_with_width};
use crate::ir::Op;
use crate::ops::Opcode;

/// A factor and what is shifted behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Factor {
    /// Its low bits.
    low: u64,
    /// Whether it has one bit more than the width.
    longer: bool,
    /// How far the upper half of the product is shifted.
    shift: u32,
}

/// For an unsigned divisor that is no power of two.
fn unsigned_factor(width: Width, divisor: u64) -> Factor {
    let bits = width.bits();
    let shift = divisor.ilog2();
    // 2^(w + shift) over d has w bits, as d has shift + 1.
    let power = 1u128 << (bits + shift);
    let (quotient, remainder) = (power / u128::from(divisor), power % u128::from(divisor));
    if u128::from(divisor) - remainder < 1 << shift {
        return Factor {
            low: (quotient as u64 + 1) & width.mask(),
            longer: false,
            shift,
        };
    }
    // One bit more: twice the quotient, and the bit above is implied.
    let twice = 2 * quotient + u128::from(2 * remainder >= u128::from(divisor));
    Factor {
        low: (twice as u64).wrapping_add(1) & width.mask(),
        longer: true,
        shift,
    }
}

/// For a signed divisor of at least 2; the factor is signed, and counts as longer where that makes it negative.
fn signed_factor(width: Width, divisor: u64) -> Factor {
    let bits = width.bits();
    let divisor = u128::from(divisor);
    let half = 1u128 << (bits - 1);
    // The greatest dividend that leaves the most of a remainder.
    let greatest = half - 1 - half % divisor;
    let mut power = bits;
    let short = |power: u32| divisor - (1u128 << power) % divisor;
    while power < 2 * bits - 1 && 1u128 << power <= greatest * short(power) {
        power += 1;
    }
    let factor = ((1u128 << power) + short(power)) / divisor;
    Factor {
        low: factor as u64 & width.mask(),
        longer: factor & half != 0,
        shift: power - bits,
    }
}

impl Walk<'_, '_, '_, '_> {
    /// The value of a division or remainder by a constant. `None` if it is by none that serves, or another op.
    pub fn divide(&mut self, op: &Op) -> Result<Option<u32>, Fault> {
        let (narrow, width) = narrowed_with_width(op.code);
        let divides = matches!(
            narrow,
            Opcode::I32DivS | Opcode::I32DivU | Opcode::I32RemS | Opcode::I32RemU
        );
        let Some(bits) = self.constant_bits(op.b).filter(|_| divides) else {
            return Ok(None);
        };
        let signed = matches!(narrow, Opcode::I32DivS | Opcode::I32RemS);
        let magnitude = if signed {
            width.signed(bits).unsigned_abs()
        } else {
            bits
        };
        if magnitude < 2 || (!signed && magnitude.is_power_of_two()) {
            return Ok(None);
        }
        let quotient = if signed {
            self.divide_signed(width, op.a, magnitude)?
        } else {
            self.divide_unsigned(width, op.a, magnitude)?
        };
        let negative = signed && width.signed(bits) < 0;
        Ok(Some(match narrow {
            Opcode::I32DivS if negative => {
                let zero = self.integer(width, 0)?;
                self.binary(width, Opcode::I32Sub, zero, quotient)?
            }
            Opcode::I32DivS | Opcode::I32DivU => quotient,
            // The sign of the divisor does not matter.
            _ => {
                let divisor = self.integer(width, magnitude)?;
                let whole = self.binary(width, Opcode::I32Mul, quotient, divisor)?;
                self.binary(width, Opcode::I32Sub, op.a, whole)?
            }
        }))
    }

    fn divide_unsigned(&mut self, width: Width, value: u32, divisor: u64) -> Result<u32, Fault> {
        let factor = unsigned_factor(width, divisor);
        let by = self.integer(width, factor.low)?;
        let product = self.binary(width, Opcode::I32MulHighU, value, by)?;
        if !factor.longer {
            return self.shift(width, Opcode::I32ShrU, product, factor.shift);
        }
        // The sum may have a bit more than the width: half of the rest is added instead.
        let rest = self.binary(width, Opcode::I32Sub, value, product)?;
        let half = self.shift(width, Opcode::I32ShrU, rest, 1)?;
        let sum = self.binary(width, Opcode::I32Add, half, product)?;
        self.shift(width, Opcode::I32ShrU, sum, factor.shift)
    }

    fn divide_signed(&mut self, width: Width, value: u32, divisor: u64) -> Result<u32, Fault> {
        let top = width.bits() - 1;
        if divisor.is_power_of_two() {
            // Toward zero: negative dividends are moved up by one less than the divisor.
            let shift = divisor.trailing_zeros();
            let sign = self.shift(width, Opcode::I32ShrS, value, top)?;
            let bias = self.shift(width, Opcode::I32ShrU, sign, width.bits() - shift)?;
            let moved = self.binary(width, Opcode::I32Add, value, bias)?;
            return self.shift(width, Opcode::I32ShrS, moved, shift);
        }
        let factor = signed_factor(width, divisor);
        let by = self.integer(width, factor.low)?;
        let mut product = self.binary(width, Opcode::I32MulHighS, value, by)?;
        if factor.longer {
            product = self.binary(width, Opcode::I32Add, product, value)?;
        }
        let shifted = self.shift(width, Opcode::I32ShrS, product, factor.shift)?;
        let negative = self.shift(width, Opcode::I32ShrU, value, top)?;
        self.binary(width, Opcode::I32Add, shifted, negative)
    }

    fn shift(&mut self, width: Width, code: Opcode, value: u32, by: u32) -> Result<u32, Fault> {
        let by = self.integer(width, u64::from(by))?;
        self.binary(width, code, value, by)
    }

    fn integer(&mut self, width: Width, bits: u64) -> Result<u32, Fault> {
        let ty = width.of(Opcode::I32Add).info().operands[0];
        self.constant(ty, bits)
    }

    fn binary(&mut self, width: Width, code: Opcode, a: u32, b: u32) -> Result<u32, Fault> {
        self.pure(Op {
            code: width.of(code),
            aux: 0,
            a,
            b,
            c: 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Factor, Width, signed_factor, unsigned_factor};

    fn interesting(bits: u32, at: u64) -> u64 {
        let random = at
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(at as u32 % 64);
        let value = match at % 4 {
            0 => random,
            1 => random >> (at / 4 % 64),
            2 => (1u64 << (at / 4 % 64)).wrapping_sub(1 + at % 3),
            _ => u64::MAX - at / 4 % 7,
        };
        if bits == 64 {
            value
        } else {
            value & 0xffff_ffff
        }
    }

    #[test]
    fn factors_divide() {
        for bits in [32, 64] {
            let width = Width::of_bits(bits);
            for d in 0..400 {
                let divisor = if d < 200 { d } else { interesting(bits, d) };
                if divisor < 2 || divisor.is_power_of_two() {
                    continue;
                }
                let unsigned = unsigned_factor(width, divisor);
                let signed =
                    (divisor <= width.most() as u64).then(|| signed_factor(width, divisor));
                for n in 0..800 {
                    let near = divisor.wrapping_mul(n).wrapping_sub(n % 2) & width.mask();
                    for value in [interesting(bits, n), near] {
                        assert_eq!(
                            by_unsigned(bits, unsigned, value),
                            value / divisor,
                            "{value} / {divisor}"
                        );
                        if let Some(factor) = signed {
                            let value = width.signed(value);
                            let quotient = by_signed(bits, factor, value);
                            assert_eq!(
                                quotient,
                                i128::from(value) / i128::from(divisor),
                                "{value} / {divisor}"
                            );
                        }
                    }
                }
            }
        }
    }

    fn by_unsigned(bits: u32, factor: Factor, value: u64) -> u64 {
        let whole = u128::from(factor.low) | u128::from(factor.longer) << bits;
        // Longer factors have one bit more behind the point, too.
        let shift = bits + factor.shift + u32::from(factor.longer);
        let (high, low) = (whole >> 64, whole & u128::from(u64::MAX));
        let value = u128::from(value);
        let product = high * value + ((low * value) >> 64);
        if shift >= 64 {
            (product >> (shift - 64)) as u64
        } else {
            ((whole * value) >> shift) as u64
        }
    }

    fn by_signed(bits: u32, factor: Factor, value: i64) -> i128 {
        let low = i128::from(factor.low);
        let whole = if factor.longer {
            low - (1 << bits)
        } else {
            low
        };
        let mut high = (whole * i128::from(value)) >> bits;
        if factor.longer {
            high += i128::from(value);
        }
        (high >> factor.shift) + i128::from(value < 0)
    }
}
