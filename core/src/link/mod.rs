//! Exits that go on in other compiled code: linking, unlinking, invalidation, reclamation.
//!
//! An exit of compiled code normally writes its snapshot and leaves. If it is taken often, the embedder compiles what
//! comes behind it, a *side trace*, for that exit: it begins with the exit's values in the registers and spill
//! slots where they are just then, and in the same machine frame. Linking is one aligned store into the exit's code,
//! while it runs or not ([`CodeSpan`]). Other destinations are reached over a [`bridge`]: back to the head of the loop that the
//! exit is in, with loop-carried values in registers; to any function's body; or through guest slots.
//!
//! ```text
//!          parent                              side trace                     bridge
//!   head:  ...  <────────────────────────────────────────────────────────────  moves, jmp head
//!          guard ──jne──> exit: jmp ─link───>  entry: ...                         ^
//!                         │ (unlinked)         guard ──> exit: jmp ─link──────────┘
//!                         write the snapshot, leave
//! ```
//!
//! | what | where |
//! |---|---|
//! | compile with exits described | [`crate::compile::compile_linkable`] |
//! | what an exit carries and where | [`Exits`], [`Site`], [`Carried`], [`Place`] |
//! | compile a side trace for an exit | [`crate::compile::compile_side`] |
//! | which code jumps where, what it depends on | [`Links`], a table in the caller's storage |
//! | when retired code's memory is free | [`Epochs`] |
//!
//! **What is the same, linked or not.** A linked exit does what leaving through it and then running the side trace as a
//! function of the snapshot's values would: results, memory, exits behind it, guest slots that are written later, and in
//! code with run fuel the one unit that a function's entry charges. The snapshot itself is not written.
//!
//! **Invalidation.** Code is added with the ids of what it depends on ([`Links::declare`]). [`Links::invalidate`] retires exactly the
//! code that was added with an id, and what was made for exits of that code, and unlinks all of it. The embedder drops
//! such code from tables of its own, then calls [`interrupt`]: threads that run it leave at their next `poll`. Its memory may be
//! freed when [`Links::reclaim`] gives it back: after every thread has reported a quiescent point.
//!
//! **Threads.** One thread at a time changes a table. Code may run on others meanwhile, if the [`CodeSpan`] is
//! one for running code.
//!
//! # Example
//!
//! A loop whose guard fails now and then, a side trace for it, and a bridge back to the loop's head. In an embedder the bytes
//! would be a block of `patchjit_memory::Arena`, and the span what `Arena::relink` gives.
//!
//! ```
//! use patchjit::build::{Buffers, Builder};
//! use patchjit::code::CodeBuffer;
//! use patchjit::compile::{self, Compiled, FunctionCode, Options};
//! use patchjit::error::Error;
//! use patchjit::ir::{ExitKind, Program};
//! use patchjit::link::*;
//! use patchjit::ops::Opcode;
//! use patchjit::types::Type;
//! use patchjit::verify;
//! use patchjit_stencils::X86_64_SYSV;
//! use std::sync::atomic::AtomicU32;
//!
//! /// Counts down from n and sums; exit 2 where the number is odd.
//! fn parent(b: &mut Builder<'_>) -> Result<(), Error> {
//!     let signature = b.signature(&[Type::I64], &[Type::I64])?;
//!     let function = b.declare(signature)?;
//!     b.begin(function)?;
//!     let n = b.argument(0);
//!     let head = b.create_block()?;
//!     let zero = b.constant_i64(0)?;
//!     b.jump(head, &[n, zero])?;
//!     b.switch_to(head)?;
//!     let (i, sum) = (b.parameter(Type::I64)?, b.parameter(Type::I64)?);
//!     let done = b.exit(ExitKind::Deoptimize, 1, &[(0, sum)])?;
//!     let more = b.binary(Opcode::I64GtS, i, zero)?;
//!     b.guard(Opcode::Guard, more, done)?;
//!     let odd = b.exit(ExitKind::Deoptimize, 2, &[(1, i), (0, sum)])?;
//!     let one = b.constant_i64(1)?;
//!     let bit = b.binary(Opcode::I64And, i, one)?;
//!     let even = b.unary(Opcode::I64Eqz, bit)?;
//!     b.guard(Opcode::Guard, even, odd)?;
//!     let total = b.binary(Opcode::I64Add, sum, i)?;
//!     let next = b.binary(Opcode::I64Sub, i, one)?;
//!     b.jump(head, &[next, total])?;
//!     b.end()
//! }
//!
//! /// Where the number is odd, it is left out: a parameter for each value that exit 2 carries, in order.
//! fn side(b: &mut Builder<'_>) -> Result<(), Error> {
//!     let signature = b.signature(&[Type::I64, Type::I64], &[Type::I64])?;
//!     let function = b.declare(signature)?;
//!     b.begin(function)?;
//!     let (i, sum) = (b.argument(0), b.argument(1));
//!     let one = b.constant_i64(1)?;
//!     let next = b.binary(Opcode::I64Sub, i, one)?;
//!     let back = b.exit(ExitKind::Deoptimize, 3, &[(1, next), (0, sum)])?;
//!     b.leave(back)?;
//!     b.end()
//! }
//!
//! # fn main() -> Result<(), Error> {
//! // The memory that code is in; one thread runs it.
//! let mut memory = vec![0u8; 1 << 16];
//! let address = 0x10_0000;
//! let threads = [AtomicU32::new(0)];
//! let epochs = Epochs::new(&threads);
//! let (mut codes, mut records) = ([CodeRecord::EMPTY; 8], [LinkRecord::EMPTY; 8]);
//! let (mut dependencies, mut uses) = ([DependencyRecord::EMPTY; 4], [UseRecord::EMPTY; 8]);
//! let storage = LinkStorage {
//!     codes: &mut codes,
//!     links: &mut records,
//!     dependencies: &mut dependencies,
//!     uses: &mut uses,
//! };
//! let mut links = Links::new(storage, address, 1 << 16)?;
//! let shape = links.declare()?; // say, the shape of an object
//!
//! // The parent, with its exits described in slices of ours. It depends on the shape.
//! let mut buffers = Buffers::<64>::new();
//! let mut b = Builder::new(buffers.storage());
//! b.set_slot_count(2);
//! parent(&mut b)?;
//! let program = b.finish()?;
//! let (mut facts, mut words) = ([0; 256], vec![0; 4096]);
//! let verified = verify::verify(program, &mut facts)?;
//! let room = compile::exit_room(&verified);
//! let mut sites = vec![ExitSite::EMPTY; room.sites];
//! let mut values = vec![Carried::EMPTY; room.values];
//! let mut heads = vec![LoopHead::EMPTY; room.heads];
//! let mut functions = [FunctionCode::default()];
//! let (compiled, exits) = compile::compile_linkable(
//!     &verified,
//!     &X86_64_SYSV,
//!     &Options::default(),
//!     &mut words,
//!     CodeBuffer { write: &mut memory[..0x8000], execute_at: address },
//!     &mut functions,
//!     ExitStorage { sites: &mut sites, values: &mut values, heads: &mut heads, first_counter: None },
//! )?;
//! let root = links.add(address, &compiled, Origin::Root, &[shape], 0)?;
//!
//! // Exit 2 has become hot: a side trace for it.
//! let odd = exits.site(exits.find(2).unwrap())?;
//! assert_eq!(odd.carried().len(), 2);
//! assert!(matches!(odd.carried()[0].place(), Place::Register(_)));
//! let mut buffers = Buffers::<64>::new();
//! let mut b = Builder::new(buffers.storage());
//! b.set_slot_count(2);
//! side(&mut b)?;
//! let program = b.finish()?;
//! let mut facts = [0; 256];
//! let verified = verify::verify(program, &mut facts)?;
//! let room = compile::exit_room(&verified);
//! let mut sites = vec![ExitSite::EMPTY; room.sites];
//! let mut values = vec![Carried::EMPTY; room.values];
//! let mut heads = vec![LoopHead::EMPTY; room.heads];
//! let (compiled, side_exits) = compile::compile_side(
//!     &verified,
//!     &X86_64_SYSV,
//!     &Options::default(),
//!     &mut words,
//!     CodeBuffer { write: &mut memory[0x8000..0xe000], execute_at: address + 0x8000 },
//!     &mut functions,
//!     odd,
//!     ExitStorage { sites: &mut sites, values: &mut values, heads: &mut heads, first_counter: None },
//! )?;
//! let side = links.add(address + 0x8000, &compiled, Origin::Side(root), &[], 1)?;
//!
//! // From the side trace's exit back to the head of the loop: (i, sum) are values 0 and 1 of the exit.
//! let back = side_exits.site(side_exits.find(3).unwrap())?;
//! let to = Destination::Head { exits, address, arguments: &[0, 1] };
//! let code = CodeBuffer { write: &mut memory[0xe000..], execute_at: address + 0xe000 };
//! let over = bridge(&X86_64_SYSV, &back, to, code)?;
//! let origin = Origin::Bridge { from: side, into: root };
//! let over = links.add(address + 0xe000, &over, origin, &[], 2)?;
//!
//! // Published, they are linked.
//! let mut span = CodeSpan::stopped(CodeBuffer { write: &mut memory, execute_at: address });
//! links.link(&mut span, side, &back, over)?;
//! links.link(&mut span, root, &odd, side)?;
//! assert_eq!(links.linked(root, &odd)?, Some(side));
//!
//! // The shape changes: everything that was compiled from it goes.
//! assert!(epochs.enter(0));
//! assert_eq!(links.invalidate(&mut span, &epochs, shape)?, 3);
//! assert_eq!(links.state(root), State::Retired);
//! assert_eq!(links.reclaim(&epochs), None); // the thread may still run it
//! epochs.quiescent(0);
//! assert_eq!(links.reclaim(&epochs).map(|gone| gone.token), Some(0));
//! # Ok(())
//! # }
//! ```

mod bridge;
mod epochs;
mod exits;
mod span;
mod table;

pub use bridge::{Destination, bridge, bridge_bytes};
pub use epochs::{Epoch, Epochs};
pub(crate) use exits::Description;
pub use exits::{Carried, ExitRoom, ExitSite, ExitStorage, Exits, LoopHead, Place, Site};
pub use span::CodeSpan;
pub use table::{
    CodeId, CodeRecord, DependencyId, DependencyRecord, LinkRecord, LinkStorage, Links, Origin,
    Reclaimed, State, UseRecord,
};

use core::sync::atomic::{AtomicU32, Ordering};

/// The bit of [`crate::runtime::Context::interrupt`] that says: some code was invalidated.
pub const INVALIDATED: u32 = 1 << 31;

/// Makes threads leave compiled code at their next `poll`, through its exit, since some code was invalidated. Takes
/// the `interrupt` words of the contexts that they run with; each thread clears the bit of its own when it has left.
pub fn interrupt<'c>(contexts: impl IntoIterator<Item = &'c AtomicU32>) {
    for context in contexts {
        context.fetch_or(INVALIDATED, Ordering::Release);
    }
}
