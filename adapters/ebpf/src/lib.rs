//! eBPF on Patchjit: translates programs of eBPF to micro-ops.
//!
//! ```text
//!   bytes ── check ──► flow ──► translate ──► a program of patchjit, function 0: (r1, r2, r3, r4, r5) -> r0
//! ```
//!
//! The instruction set is that of RFC 9669, all of it but for what is named in [`Problem::Unsupported`]; packet loads of classic BPF
//! included. Nothing is allocated: marks, blocks and the program's records are the caller's. Every access is checked when the
//! program runs, or proved before, and so nothing that a program does reaches memory beyond its [`Machine`]'s regions: it need not
//! be trusted, and no proof of its author's is asked for. Loops are allowed; who runs programs that may not end compiles them with fuel.
//!
//! ```
//! use patchjit::build::Buffers;
//! use patchjit_ebpf::{Block, Kind, Machine, Mark, Region, check, translate};
//!
//! // r0 = r1; r0 *= r0; exit
//! let bytes = [
//!     0xbf, 0x10, 0, 0, 0, 0, 0, 0, //
//!     0x2f, 0x00, 0, 0, 0, 0, 0, 0, //
//!     0x95, 0x00, 0, 0, 0, 0, 0, 0,
//! ];
//! let stack = Region { size: 512, writable: true };
//! let machine = Machine {
//!     regions: &[stack],
//!     stack: 0,
//!     packet: None,
//!     arguments: [Kind::Unknown; 5],
//!     fields: &[],
//!     helpers: &[],
//! };
//! let mut marks = [Mark::default(); 16];
//! let mut blocks = [Block::default(); 4];
//! let mut buffers = Buffers::<64>::new();
//! let checked = check(&bytes, &machine, &mut marks)?;
//! let program = translate(&checked, &machine, &mut marks, &mut blocks, buffers.storage())?;
//! let mut workspace = [0; 256];
//! let verified = patchjit::verify::verify(program, &mut workspace)?;
//! assert!(verified.is_contained());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! With the feature `elf`, [`elf`] takes programs out of objects as clang makes them; that allocates.
#![no_std]

#[cfg(feature = "elf")]
extern crate alloc;

mod check;
#[cfg(feature = "elf")]
pub mod elf;
mod error;
mod flow;
pub mod instruction;
mod machine;
mod translate;

pub use check::{Checked, MAX_INSTRUCTIONS, Mark, check};
pub use error::{Error, Problem};
pub use flow::Block;
pub use machine::{
    FRAME_BYTES, Field, Helper, Kind, MAX_REGION_BYTES, MAX_REGIONS, Machine, Region, address_of,
};
pub use translate::{counts, translate};
