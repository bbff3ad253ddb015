//! Executable memory for Patchjit: write or execute, never both.
