//! Tests of the whole of Patchjit.
