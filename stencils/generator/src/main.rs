//! Makes the stencil tables from stencil bodies in Rust.

fn main() {}
