//! Ten loops: their texts, and the sizes that benchmarks and tests run them at.
//!
//! `python/` has the same loops in Python, under the same names.

/// A program with its sizes.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Its name.
    pub name: &'static str,
    /// Its text.
    pub text: &'static str,
    /// The constant `size` in benchmarks.
    pub size: i32,
    /// The constant `size` where CPython's bytecodes are counted.
    pub middle: i32,
    /// The constant `size` in tests, and where every op is counted.
    pub small: i32,
}

macro_rules! samples {
    ($($name:literal $size:literal $middle:literal $small:literal;)*) => {
        /// All of them.
        pub const SAMPLES: &[Sample] = &[$(Sample {
            name: $name,
            text: include_str!(concat!("../programs/", $name, ".tiny")),
            size: $size,
            middle: $middle,
            small: $small,
        }),*];
    };
}

samples! {
    "sum_squares" 2000 20 3;
    "collatz" 30_000 300 100;
    "dot_product" 2000 20 3;
    "matrix_product" 100 20 9;
    "nbody" 20_000 100 20;
    "sieve" 50_000 1000 200;
    "string_hash" 20_000 100 15;
    "fibonacci" 50_000 300 40;
    "insertion_sort" 500 50 20;
    "mandelbrot" 160 16 8;
}
