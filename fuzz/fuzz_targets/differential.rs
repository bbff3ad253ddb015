//! Compiled code against the oracle, on the program of a seed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use patchjit_tests::arbitrary;
use patchjit_tests::differential::Laboratory;
use std::cell::RefCell;

thread_local! {
    static LABORATORY: RefCell<Laboratory> =
        RefCell::new(Laboratory::new().expect("executable memory"));
}

fuzz_target!(|data: &[u8]| {
    LABORATORY.with_borrow_mut(|laboratory| arbitrary::differential(laboratory, data));
});
