//! Patchjit beside Cranelift.
//!
//! The same verified programs, translated one to one into Cranelift's IR, compiled by it and run under the same
//! context: a second oracle, and the yardstick for compile time and for the speed of code.

pub mod clock;
pub mod compare;
pub mod ebpf;
pub mod enter;
pub mod machine;
mod memory;
pub mod order;
pub mod ours;
pub mod pages;
pub mod plan;
pub mod report;
pub mod scalar;
pub mod scaling;
pub mod subject;
pub mod translate;
