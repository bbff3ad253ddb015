//! What the fuzz targets check, on random bytes: `PATCHJIT_SEEDS=START..END` tries more.

use patchjit_tests::random::{self, Random};
use patchjit_tests::{arbitrary, programs};

fn bytes(random: &mut Random, most: usize) -> Vec<u8> {
    (0..random.below(most + 1))
        .map(|_| random.bits() as u8)
        .collect()
}

#[test]
fn overwritten_records() {
    for seed in random::seeds(0..2000) {
        let mut random = Random::new(seed);
        // Few changes, so that some programs stay valid.
        let most = *random.pick(&[10, 12, 24, 60]);
        arbitrary::verify(&bytes(&mut random, most));
    }
}

#[test]
fn overwritten_text() {
    let sources: Vec<String> = programs::names()
        .iter()
        .map(|name| programs::source(name))
        .collect();
    for seed in random::seeds(0..300) {
        let mut random = Random::new(seed);
        let mut text = random.pick(&sources).clone().into_bytes();
        for _ in 0..random.below(4) {
            let at = random.below(text.len());
            let length = random.below(12).min(text.len() - at);
            let from = random.below(text.len() - length + 1);
            let piece = text[from..from + length].to_vec();
            match random.below(3) {
                0 => drop(text.drain(at..at + length)),
                1 => text[at..at + length].copy_from_slice(&piece),
                _ => text[at] = random.bits() as u8 & 0x7f,
            }
        }
        arbitrary::text(&text);
    }
}

#[test]
fn storage_of_any_size() {
    for seed in random::seeds(0..200) {
        arbitrary::patcher(&bytes(&mut Random::new(seed), 20));
    }
}
