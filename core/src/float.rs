//! Float operations of WebAssembly that Rust's operators do not name.
//!
//! Rounding, square root and the like come from `libm`, which is correctly rounded for them, but hands on signalling NaNs in places:
//! here every NaN that an operation gives is quiet.

macro_rules! float_helpers {
    ($min:ident, $max:ident, $canonicalize:ident, $ty:ty, [$($rounds:ident = $library:path),*]) => {
        /// The lesser operand; NaN if either is NaN; -0 is less than +0 (WebAssembly `fmin`).
        pub fn $min(a: $ty, b: $ty) -> $ty {
            if a.is_nan() || b.is_nan() {
                <$ty>::NAN
            } else if a < b || (a == b && a.is_sign_negative()) {
                a
            } else {
                b
            }
        }

        /// The greater operand; NaN if either is NaN; +0 is greater than -0 (WebAssembly `fmax`).
        pub fn $max(a: $ty, b: $ty) -> $ty {
            if a.is_nan() || b.is_nan() {
                <$ty>::NAN
            } else if a > b || (a == b && a.is_sign_positive()) {
                a
            } else {
                b
            }
        }

        $(/// The operand rounded to an integer, in the way of this function of the library.
        pub fn $rounds(a: $ty) -> $ty {
            if a.is_nan() { <$ty>::NAN } else { $library(a) }
        })*

        /// The operand, with every NaN made the positive quiet NaN with an empty payload.
        pub fn $canonicalize(a: $ty) -> $ty {
            if a.is_nan() { <$ty>::NAN } else { a }
        }
    };
}

float_helpers!(
    min32,
    max32,
    canonicalize32,
    f32,
    [
        ceil32 = libm::ceilf,
        floor32 = libm::floorf,
        trunc32 = libm::truncf,
        nearest32 = libm::rintf
    ]
);
float_helpers!(
    min64,
    max64,
    canonicalize64,
    f64,
    [
        ceil64 = libm::ceil,
        floor64 = libm::floor,
        trunc64 = libm::trunc,
        nearest64 = libm::rint
    ]
);

macro_rules! truncation {
    ($name:ident, $from:ty, $to:ty, $least:expr, $bound:expr) => {
        /// The operand without its fraction, if it is a number that the result can hold.
        /// The bounds are exact: `least` is the first value excluded below, `bound` the first above.
        pub fn $name(a: $from) -> Option<$to> {
            (a > $least && a < $bound).then_some(a as $to)
        }
    };
    (closed $name:ident, $from:ty, $to:ty, $least:expr, $bound:expr) => {
        /// The operand without its fraction, if it is a number that the result can hold.
        /// `least` is the first value included below, `bound` the first excluded above.
        pub fn $name(a: $from) -> Option<$to> {
            ($least..$bound).contains(&a).then_some(a as $to)
        }
    };
}

truncation!(closed f32_to_i32, f32, i32, -2147483648.0, 2147483648.0);
truncation!(f32_to_u32, f32, u32, -1.0, 4294967296.0);
truncation!(f64_to_i32, f64, i32, -2147483649.0, 2147483648.0);
truncation!(f64_to_u32, f64, u32, -1.0, 4294967296.0);
truncation!(closed f32_to_i64, f32, i64, -9223372036854775808.0, 9223372036854775808.0);
truncation!(f32_to_u64, f32, u64, -1.0, 18446744073709551616.0);
truncation!(closed f64_to_i64, f64, i64, -9223372036854775808.0, 9223372036854775808.0);
truncation!(f64_to_u64, f64, u64, -1.0, 18446744073709551616.0);
