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
    /// The constant `size` in tests.
    pub small: i32,
}

macro_rules! samples {
    ($($name:literal $size:literal $small:literal;)*) => {
        /// All of them.
        pub const SAMPLES: &[Sample] = &[$(Sample {
            name: $name,
            text: include_str!(concat!("../programs/", $name, ".tiny")),
            size: $size,
            small: $small,
        }),*];
    };
}

samples! {
    "sum_squares" 2000 3;
    "collatz" 30_000 100;
    "dot_product" 2000 3;
    "matrix_product" 100 9;
    "nbody" 20_000 20;
    "sieve" 50_000 200;
    "string_hash" 20_000 15;
    "fibonacci" 50_000 40;
    "insertion_sort" 500 20;
    "mandelbrot" 160 8;
}
