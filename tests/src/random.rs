//! Random numbers that are the same everywhere: SplitMix64.

/// A generator of random numbers.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The same seed gives the same numbers.
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below a bound that is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.bits()) * bound as u128) >> 64) as usize
    }

    /// True in this many of a hundred cases.
    pub fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// The seeds that tests of random programs try: these, or those that the variable `PATCHJIT_SEEDS` says, as `COUNT` or
/// `START..END`.
///
/// # Panics
///
/// If the variable says something else.
pub fn seeds(ordinary: std::ops::Range<u64>) -> std::ops::Range<u64> {
    let Ok(text) = std::env::var("PATCHJIT_SEEDS") else {
        return ordinary;
    };
    let number = |text: &str| {
        text.parse()
            .unwrap_or_else(|_| panic!("PATCHJIT_SEEDS is COUNT or START..END, not {text}"))
    };
    match text.split_once("..") {
        Some((start, end)) => number(start)..number(end),
        None => 0..number(&text),
    }
}
