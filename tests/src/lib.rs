//! Tests of the whole of Patchjit, and what they share: programs made by the thousand.

pub mod assemble;
pub mod random;
pub mod synthetic;
