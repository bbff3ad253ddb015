//! Any bytes as a WebAssembly module: translated, and run on every engine alike.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    patchjit_tests::wasm::check(data);
});
