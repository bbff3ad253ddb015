//! Values as people write and read them: integers in decimal or hexadecimal, floats as the shortest
//! decimal that gives the same bits back.

use patchjit::types::Type;

/// Prints the bits of a value: integers signed, floats as their shortest round-trip decimal (`nan`, `inf`,
/// `-inf` where they are no numbers), references in hexadecimal.
pub fn print(ty: Type, bits: u64) -> String {
    match ty {
        Type::I32 => (bits as i32).to_string(),
        Type::I64 => (bits as i64).to_string(),
        Type::F32 => print_float(f32::from_bits(bits as u32)),
        Type::F64 => print_float(f64::from_bits(bits)),
        Type::Ref => format!("{bits:#x}"),
    }
}

fn print_float<F: std::fmt::Debug>(value: F) -> String {
    let text = format!("{value:?}");
    if text == "NaN" { "nan".into() } else { text }
}

/// Prints a list of values with commas between them.
pub fn print_list(types: &[Type], values: &[u64]) -> String {
    let texts: Vec<_> = types
        .iter()
        .zip(values)
        .map(|(&ty, &bits)| print(ty, bits))
        .collect();
    texts.join(", ")
}

/// Reads a value: integers in decimal or `0x` hexadecimal, from the least signed to the greatest unsigned
/// one; floats in decimal, `nan`, `inf`, `-inf` or `bits:0x...`.
pub fn parse(ty: Type, text: &str) -> Result<u64, String> {
    let bits = match ty {
        Type::I32 => parse_integer(text)
            .filter(|value| (i128::from(i32::MIN)..=i128::from(u32::MAX)).contains(value))
            .map(|value| u64::from(value as u32)),
        Type::I64 | Type::Ref => parse_integer(text)
            .filter(|value| (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(value))
            .map(|value| value as u64),
        Type::F32 => parse_bits(text)
            .filter(|&bits| bits <= u64::from(u32::MAX))
            .or_else(|| Some(u64::from(text.parse::<f32>().ok()?.to_bits()))),
        Type::F64 => parse_bits(text).or_else(|| Some(text.parse::<f64>().ok()?.to_bits())),
    };
    bits.ok_or_else(|| format!("`{text}` is no {}", ty.name()))
}

fn parse_integer(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let value = match digits.strip_prefix("0x") {
        Some(digits) if digits.starts_with(['+', '-']) => return None,
        Some(digits) => i128::from_str_radix(digits, 16).ok()?,
        None => digits.parse().ok()?,
    };
    Some(if negative { -value } else { value })
}

fn parse_bits(text: &str) -> Option<u64> {
    let digits = text.strip_prefix("bits:0x")?;
    u64::from_str_radix(digits, 16).ok()
}

/// Whether two values of this type are the same to an observer: equal bits, or both NaN.
pub fn same(ty: Type, a: u64, b: u64) -> bool {
    match ty {
        Type::F32 => a as u32 == b as u32 || (is_nan32(a as u32) && is_nan32(b as u32)),
        Type::F64 => a == b || (f64::from_bits(a).is_nan() && f64::from_bits(b).is_nan()),
        Type::I32 => a as u32 == b as u32,
        Type::I64 | Type::Ref => a == b,
    }
}

/// Whether 64 bits in memory, of which nobody knows the types, are the same to an observer: equal, or
/// different only where both hold an f64 NaN, or an f32 NaN in a half.
pub fn same_word(a: u64, b: u64) -> bool {
    let half = |shift: u32| same(Type::F32, a >> shift, b >> shift);
    a == b || same(Type::F64, a, b) || (half(0) && half(32))
}

/// Whether a word is what was promised: it is equal, or the promise is the canonical NaN of a float, which stands for
/// any other.
pub fn keeps_word(found: u64, promised: u64) -> bool {
    let canonical = promised == f64::NAN.to_bits() || promised == u64::from(f32::NAN.to_bits());
    found == promised || canonical && same_word(found, promised)
}

fn is_nan32(bits: u32) -> bool {
    f32::from_bits(bits).is_nan()
}

#[cfg(test)]
mod tests {
    use super::{keeps_word, parse, print, same, same_word};
    use patchjit::types::Type;

    #[test]
    fn what_is_printed_reads_back() {
        for ty in Type::ALL {
            for bits in [
                0,
                1,
                0x7fff_ffff,
                0x8000_0000,
                0xffff_ffff,
                0x3f80_0000,
                0x7f80_0000,
                0xff80_0000,
                0x8000_0000_0000_0000,
                0x3ff8_0000_0000_0000,
                0x7ff0_0000_0000_0000,
                0xfff0_0000_0000_0000,
                0x4341_c379_37e0_8001,
                u64::MAX >> 12,
            ] {
                let bits = if ty.bits() == 32 {
                    bits & 0xffff_ffff
                } else {
                    bits
                };
                let text = print(ty, bits);
                let back = parse(ty, &text).unwrap();
                assert!(same(ty, bits, back), "{ty:?} {bits:#x} {text}");
            }
        }
    }

    #[test]
    fn integers_have_bounds() {
        assert_eq!(parse(Type::I32, "-2147483648"), Ok(0x8000_0000));
        assert_eq!(parse(Type::I32, "0xffffffff"), Ok(0xffff_ffff));
        assert_eq!(parse(Type::I64, "-0x8000000000000000"), Ok(1 << 63));
        assert_eq!(parse(Type::I64, "18446744073709551615"), Ok(u64::MAX));
        for text in [
            "-2147483649",
            "4294967296",
            "",
            "-",
            "--1",
            "+1",
            "0x",
            "0x-1",
            "1.0",
            "x",
        ] {
            let message = format!("`{text}` is no i32");
            assert_eq!(parse(Type::I32, text), Err(message));
        }
        assert!(parse(Type::I64, "18446744073709551616").is_err());
    }

    #[test]
    fn floats_by_name_and_by_bits() {
        assert_eq!(print(Type::F64, f64::NAN.to_bits()), "nan");
        assert_eq!(print(Type::F32, f32::NEG_INFINITY.to_bits().into()), "-inf");
        assert_eq!(print(Type::F64, (-0.0f64).to_bits()), "-0.0");
        assert_eq!(print(Type::F64, 0.1f64.to_bits()), "0.1");
        assert_eq!(
            parse(Type::F64, "bits:0x7ff8000000000001"),
            Ok(0x7ff8_0000_0000_0001)
        );
        assert_eq!(parse(Type::F32, "bits:0x3f800000"), Ok(0x3f80_0000));
        assert!(parse(Type::F32, "bits:0x100000000").is_err());
        assert!(same(
            Type::F64,
            0x7ff8_0000_0000_0001,
            0xfff8_0000_0000_0000
        ));
        assert!(!same(Type::F64, 0, 1 << 63));
    }

    #[test]
    fn words_may_differ_in_nans_only() {
        let one = 0x3f80_0000u64;
        assert!(same_word(0x7fc0_0000 | one << 32, 0xffc0_0001 | one << 32));
        assert!(!same_word(0x7fc0_0000, 0xffc0_0001 | one << 32));
        assert!(!same_word(1, 2));
        assert!(same_word(0x7ff8_0000_0000_0000, 0xfff8_0000_0000_0000));
        assert!(keeps_word(0xfff8_0000_0000_0000, 0x7ff8_0000_0000_0000));
        assert!(!keeps_word(0x7ff8_0000_0000_0000, 0xfff8_0000_0000_0000));
        assert!(keeps_word(0xffc0_0001, 0x7fc0_0000));
    }
}
