//! What the runner is made of: values as text, host functions, instances, engines, reports, object files and
//! headers, what the stages of a compilation made.
//!
//! Tests of the whole project use this library to run programs the way the command line does.

pub mod disassemble;
pub mod ebpf;
pub mod engine;
pub mod header;
pub mod hosts;
pub mod instance;
pub mod interface;
pub mod module;
pub mod object_file;
pub mod optimizer;
pub mod outcome;
pub mod page;
pub mod stack;
pub mod stages;
pub mod value;
pub mod zeroed;
