//! Patchjit: a `no_std`, allocation-free copy-and-patch JIT core.
#![no_std]
#![deny(unsafe_code)]

pub mod build;
pub mod call;
pub mod code;
pub mod compile;
pub mod error;
mod float;
pub mod interp;
pub mod ir;
pub mod ops;
mod patch;
pub mod runtime;
pub mod stencil;
pub mod types;
pub mod verify;
