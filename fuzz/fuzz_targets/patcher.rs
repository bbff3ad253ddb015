//! Compilation into storage of any size.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| patchjit_tests::arbitrary::patcher(data));
