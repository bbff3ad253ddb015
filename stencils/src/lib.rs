//! Generated stencil tables for Patchjit.
#![no_std]
