//! Bits of values, often at a bound of something.

use crate::random::Random;
use patchjit::types::Type;

/// Bits of a value of this type, often at a bound of something.
pub fn interesting_bits(random: &mut Random, ty: Type) -> u64 {
    match ty {
        Type::I32 => match random.below(4) {
            0 => random.below(10) as u64,
            1 => u64::from((random.below(20) as i32 - 10) as u32),
            2 => u64::from(*random.pick::<u32>(&[
                0,
                1,
                0x7f,
                0x80,
                0xff,
                0x7fff,
                0x8000,
                0xffff,
                0x7fff_ffff,
                0x8000_0000,
                0x8000_0001,
                0xffff_ffff,
                0x1234_5678,
            ])),
            _ => random.bits() & 0xffff_ffff,
        },
        Type::I64 | Type::Ref => match random.below(5) {
            0 => random.below(10) as u64,
            1 => (random.below(20) as i64 - 10) as u64,
            2 => *random.pick(&[
                0x7f,
                0x80,
                0x7fff_ffff,
                0x8000_0000,
                0xffff_ffff,
                0x1_0000_0000,
                0xffff_ffff_7fff_ffff,
                0xffff_ffff_8000_0000,
                0x7fff_ffff_ffff_ffff,
                0x8000_0000_0000_0000,
                u64::MAX,
            ]),
            3 => 1 << random.below(64),
            _ => random.bits(),
        },
        Type::F32 => u64::from(match random.below(4) {
            0 => (random.below(9) as f32 - 4.0).to_bits(),
            1 => (*random.pick(&[
                0.0,
                -0.0,
                0.5,
                1.5,
                2.5,
                -0.5,
                f32::INFINITY,
                f32::NEG_INFINITY,
                f32::NAN,
                f32::MAX,
                f32::MIN_POSITIVE,
                2147483648.0,
                -2147483648.0,
                2147483520.0,
                4294967296.0,
                9.223372e18,
                1.8446744e19,
            ]))
            .to_bits(),
            2 => (random.bits() as i32 as f32 / 256.0).to_bits(),
            _ => random.bits() as u32,
        }),
        Type::F64 => match random.below(4) {
            0 => (random.below(9) as f64 - 4.0).to_bits(),
            1 => (*random.pick(&[
                0.0,
                -0.0,
                0.5,
                1.5,
                2.5,
                -0.5,
                f64::INFINITY,
                f64::NEG_INFINITY,
                f64::NAN,
                f64::MAX,
                f64::MIN_POSITIVE,
                2147483647.0,
                2147483647.5,
                -2147483648.9,
                -2147483649.0,
                4294967295.9,
                4294967296.0,
                9223372036854774784.0,
                9223372036854775808.0,
                18446744073709551616.0,
            ]))
            .to_bits(),
            2 => (random.bits() as i64 as f64 / 65536.0).to_bits(),
            _ => random.bits(),
        },
    }
}
