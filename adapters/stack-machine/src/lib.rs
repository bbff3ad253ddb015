//! A small dynamically typed language on Patchjit: what an embedder copies from.
//!
//! ```text
//!   source    text ──> bytecode           one pass; a language of one page
//!   bytecode  instructions, the check that lets the interpreter trust them
//!   value     NaN-boxed words, and their tags in Patchjit's terms
//!   heap      arrays in regions
//!   machine   slots, frames, the specialising interpreter
//!   record    what each instruction does, as micro-ops
//!   log       storage for what is recorded
//!   compile   a recorded trace ──> program ──> verified ──> code
//!   links     where code is, exits that lead on in other loops' code
//!   count     walks a trace and counts, in place of running its code
//!   step      counts instructions and memory accesses of compiled code
//!   host      interprets, finds hot loops, records, compiles, enters, leaves, grows side traces
//! ```
//!
//! What to copy: `record` is where most of the work is in a runtime of one's own, `host` is how the tiering kit of
//! [`patchjit::tier`] is driven, `compile` how the core is. None of the others knows that there is a compiler, but for `value` and
//! `heap`, which lay words out so that compiled code finds them.
//!
//! ```
//! use patchjit_worked_host::{bytecode::Checked, host::{Host, Options}, source, value::Value};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let text = "fn main() { let s = 0 let i = 0 while i < n { s = s + i * i i = i + 1 } return s }";
//! let program = Checked::new(source::compile(text, &[("n", 1000)])?)?;
//! let mut host = Host::new(program, Options::default());
//! assert_eq!(host.run()?, Value::integer(332_833_500));
//! # Ok(())
//! # }
//! ```

pub mod bytecode;
pub mod compile;
pub mod count;
pub mod heap;
pub mod host;
mod links;
pub mod log;
pub mod machine;
pub mod programs;
pub mod record;
pub mod source;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub mod step;
pub mod value;
