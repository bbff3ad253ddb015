//! Any text: read, printed, read again, compiled.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| patchjit_tests::arbitrary::text(data));
