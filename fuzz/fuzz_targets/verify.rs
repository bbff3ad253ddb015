//! Overwritten records: the verifier judges them, and what passes compiles.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| patchjit_tests::arbitrary::verify(data));
