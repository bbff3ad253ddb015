//! The command line of Patchjit.

fn main() {}
