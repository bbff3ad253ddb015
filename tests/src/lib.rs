//! Tests of the whole of Patchjit, and what they share: programs made by the thousand, and
//! programs written by hand.

pub mod assemble;
pub mod programs;
pub mod random;
pub mod synthetic;
