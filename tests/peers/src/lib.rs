//! Patchjit beside Cranelift.
