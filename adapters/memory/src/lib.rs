//! Executable memory for Patchjit: write or execute, never both.
//!
//! An [`Arena`] is a span of address space with a guard page on either side, from which blocks of any
//! length are taken: many functions share a page. A block is written through a [`Writing`] and runs after
//! [`Writing::publish`]:
//!
//! ```
//! # fn main() -> Result<(), patchjit_memory::Error> {
//! let mut arena = patchjit_memory::Arena::new(1 << 20)?;
//! let mut block = arena.reserve(100)?;
//! let mut writing = arena.write(&mut block)?;
//! let used = {
//!     let buffer = writing.buffer(); // what the compiler takes
//!     buffer.write[0] = 0xc3;
//!     1
//! };
//! let entry = writing.publish(used)?; // the address at which it runs
//! # assert_eq!(entry, block.address());
//! arena.release(block)?; // once nobody runs it any more
//! # Ok(())
//! # }
//! ```
//!
//! **W^X.** No mapping is writable and executable at any moment. On Linux the pages are mapped twice, once
//! to write and once to execute ([`Views::Two`]), so code can be added while other code of the arena runs. Where
//! the system refuses that, and elsewhere, one mapping has its protection changed ([`Views::One`], through the
//! `region` crate): while a [`Writing`] is open, the pages that its block touches do not execute, so nobody
//! may run code on them. The path for Windows is tested in Wine; that for macOS is compiled from the same source and not run by
//! this project's tests.
//!
//! **What stands where no code is.** Pages that were never used have no access at all; the rest of a used page,
//! what stands behind a block's code, and released blocks are filled with [`TRAP_BYTE`].
//!
//! **Threads.** [`Arena`] and [`Block`] are `Send` and `Sync`; every change goes through `&mut Arena`, so
//! threads that share one put it behind a lock. Running code needs no lock: that it stays published until
//! the run ends is what the caller of the code promises. [`Writing::publish`] brings the instruction cache of the
//! machine up to date for addresses that no processor has run yet; where a released range is used again, a
//! thread that ran the old code must pass a context switch or a serialising instruction before it
//! runs the new code.
//!
//! **Processes.** With two views the pages are shared: after a `fork` the child sees what the parent writes
//! and the other way round. A child that goes on to compile needs an arena of its own.
//!
//! **Memory of programs.** [`Growing`] is memory for a region that grows; [`faults`] leads accesses on that fault beyond its end. What a program
//! consists of can stand in [`records::Records`].
//!
//! **Costs.** A reservation is logarithmic in the number of free ranges; storage grows in steps of 64 KiB, each
//! with two system calls; with one view, each [`Writing`] and release has two more.

mod cache;
pub mod faults;
mod growing;
mod pages;
pub mod records;
mod space;

pub use growing::Growing;
use pages::Pages;
use patchjit::code::{CODE_ALIGNMENT, CodeBuffer};
use patchjit::link::CodeSpan;
use space::Space;
use std::fmt;
use std::ops::Range;

/// The byte that fills everything executable where there is no code: each instruction that it makes traps.
#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
pub const TRAP_BYTE: u8 = 0xcc;

/// The byte that fills everything executable where there is no code: each instruction that it makes traps.
#[cfg(not(any(target_arch = "x86", target_arch = "x86_64")))]
pub const TRAP_BYTE: u8 = 0;

/// How much more of an arena becomes accessible at a time, in bytes.
const GROWTH: usize = 64 << 10;

/// How an arena's pages are mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Views {
    /// Twice: one mapping to write, one to execute.
    Two,
    /// Once: its protection is changed between writing and executing.
    One,
}

/// What the system was asked for when it refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Address space.
    Reserve,
    /// Memory that can be mapped twice.
    Share,
    /// A mapping of that memory.
    Map,
    /// Another protection of mapped pages.
    Protect,
    /// To tell of faults.
    Handle,
}

/// Why there is no memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// No free range of the arena is long enough.
    Full {
        /// How many bytes were asked for, with what alignment adds.
        needed: usize,
        /// The longest free range.
        largest: usize,
    },
    /// More bytes were published than the block has.
    TooLong {
        /// How many were said to be used.
        used: usize,
        /// How many the block has.
        length: usize,
    },
    /// The block belongs to another arena.
    Foreign,
    /// The system refused.
    System {
        /// What it was asked for.
        step: Step,
        /// The system's error code, or 0 where there is none.
        code: i32,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Error::Full { needed, largest } => write!(
                f,
                "code memory is full: {needed} bytes needed, the longest free range has {largest}"
            ),
            Error::TooLong { used, length } => {
                write!(f, "{used} bytes published of a block of {length}")
            }
            Error::Foreign => write!(f, "the block belongs to another arena"),
            Error::System { step, code } => {
                let what = match step {
                    Step::Reserve => "reserving address space",
                    Step::Share => "creating memory to map twice",
                    Step::Map => "mapping memory",
                    Step::Protect => "changing the protection of memory",
                    Step::Handle => "setting a handler of faults",
                };
                let error = std::io::Error::from_raw_os_error(code);
                write!(f, "{what}: {error}")
            }
        }
    }
}

impl std::error::Error for Error {}

/// A span of address space from which blocks for code are taken. Dropping it unmaps them all.
///
/// `Send` and `Sync`: all changes go through `&mut`.
#[derive(Debug)]
pub struct Arena {
    pages: Pages,
    space: Space,
    /// How many bytes from the start are accessible; the rest has no access. Whole pages.
    accessible: usize,
}

/// A range of an arena. Dropping it keeps the range taken until the arena goes; [`Arena::release`] gives it back.
///
/// `Send` and `Sync`.
#[derive(Debug)]
#[must_use = "a block that is dropped stays taken as long as its arena lives"]
pub struct Block {
    base: usize,
    offset: usize,
    length: usize,
}

impl Block {
    /// The address of its first byte where it executes, a multiple of
    /// [`patchjit::code::CODE_ALIGNMENT`].
    pub fn address(&self) -> u64 {
        (self.base + self.offset) as u64
    }

    /// How many bytes it has: at least what was asked for, and after [`Writing::publish`] at least what was used.
    pub fn length(&self) -> usize {
        self.length
    }

    fn range(&self) -> Range<usize> {
        self.offset..self.offset + self.length
    }
}

impl Arena {
    /// Reserves address space for at least this many bytes of code: two views where the system has them.
    pub fn new(capacity: usize) -> Result<Arena, Error> {
        Arena::with_views(capacity, Views::Two).or_else(|_| Arena::with_views(capacity, Views::One))
    }

    /// The same, mapped in the way that is asked for or not at all. The first pages are made accessible here,
    /// so that a system which refuses does so now.
    pub fn with_views(capacity: usize, views: Views) -> Result<Arena, Error> {
        let page = region::page::size();
        let capacity = capacity
            .max(1)
            .checked_next_multiple_of(page)
            .filter(|&capacity| capacity <= isize::MAX as usize - 2 * page)
            .ok_or(Error::Full {
                needed: capacity,
                largest: 0,
            })?;
        let mut arena = Arena {
            pages: Pages::reserve(capacity, page, views)?,
            space: Space::new(capacity, CODE_ALIGNMENT as usize),
            accessible: 0,
        };
        arena.make_accessible(1)?;
        Ok(arena)
    }

    /// How its pages are mapped.
    pub fn views(&self) -> Views {
        self.pages.views()
    }

    /// The addresses between its guard pages, where code executes.
    pub fn addresses(&self) -> Range<u64> {
        let base = self.pages.execute_base() as usize as u64;
        base..base + self.space.capacity() as u64
    }

    /// How many bytes its blocks have together.
    pub fn taken(&self) -> usize {
        self.space.taken()
    }

    /// Takes a block of at least this many bytes.
    pub fn reserve(&mut self, length: usize) -> Result<Block, Error> {
        let range = self.space.take(length).map_err(|largest| Error::Full {
            needed: length,
            largest,
        })?;
        if let Err(error) = self.make_accessible(range.end) {
            self.space.give(range);
            return Err(error);
        }
        Ok(Block {
            base: self.pages.execute_base() as usize,
            offset: range.start,
            length: range.len(),
        })
    }

    /// Opens a block for writing; what was published in it before is still there.
    ///
    /// With one view, code on the pages that the block touches cannot execute until the result is
    /// published or dropped.
    pub fn write<'a>(&'a mut self, block: &'a mut Block) -> Result<Writing<'a>, Error> {
        self.check(block)?;
        self.pages.open(block.range())?;
        Ok(Writing {
            arena: self,
            block,
            published: false,
        })
    }

    /// Takes a block back and fills it with [`TRAP_BYTE`]. Nobody may run its code any more.
    pub fn release(&mut self, block: Block) -> Result<(), Error> {
        self.check(&block)?;
        self.pages.open(block.range())?;
        self.pages.fill(block.range());
        self.space.give(block.range());
        self.pages.close(block.range())
    }

    /// Lets a table of links ([`patchjit::link::Links`], made for [`Arena::addresses`]) change where exits jump.
    ///
    /// With two views, code may run meanwhile. With one view nobody may run any code of the arena until this returns.
    pub fn relink<T>(&mut self, change: impl FnOnce(&mut CodeSpan<'_>) -> T) -> Result<T, Error> {
        let execute_at = self.addresses().start;
        let range = 0..self.accessible;
        if self.views() == Views::Two {
            let mut span = CodeSpan::running(execute_at, self.pages.words(range));
            let result = change(&mut span);
            let changed = span.changed();
            self.pages
                .publish(&(changed.start as usize..changed.end as usize));
            return Ok(result);
        }
        self.pages.open(range.clone())?;
        let result = change(&mut CodeSpan::stopped(CodeBuffer {
            write: self.pages.bytes(range.clone()),
            execute_at,
        }));
        self.pages.close(range)?;
        Ok(result)
    }

    fn check(&self, block: &Block) -> Result<(), Error> {
        if block.base == self.pages.execute_base() as usize {
            Ok(())
        } else {
            Err(Error::Foreign)
        }
    }

    fn make_accessible(&mut self, end: usize) -> Result<(), Error> {
        if end > self.accessible {
            let page = region::page::size();
            let wanted = end.next_multiple_of(GROWTH.max(page));
            let range = self.accessible..wanted.min(self.space.capacity());
            self.pages.commit(range.clone())?;
            self.accessible = range.end;
        }
        Ok(())
    }
}

/// A block that is being written. Dropped without [`Writing::publish`], it holds traps only.
#[derive(Debug)]
pub struct Writing<'a> {
    arena: &'a mut Arena,
    block: &'a mut Block,
    published: bool,
}

impl Writing<'_> {
    /// The block's bytes, and the address at which they will run.
    pub fn buffer(&mut self) -> CodeBuffer<'_> {
        CodeBuffer {
            write: self.arena.pages.bytes(self.block.range()),
            execute_at: self.block.address(),
        }
    }

    /// Makes the first `used` bytes executable and gives the address of the first. What is behind
    /// them becomes traps, and whole units of it go back to the arena.
    pub fn publish(mut self, used: usize) -> Result<u64, Error> {
        let length = self.block.length;
        if used > length {
            return Err(Error::TooLong { used, length });
        }
        let range = self.block.range();
        self.arena.pages.fill(range.start + used..range.end);
        self.published = true;
        let kept = used.max(1).next_multiple_of(CODE_ALIGNMENT as usize);
        if kept < length {
            self.arena.space.give(range.start + kept..range.end);
            self.block.length = kept;
        }
        self.arena.pages.close(range)?;
        Ok(self.block.address())
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        if !self.published {
            let range = self.block.range();
            self.arena.pages.fill(range.clone());
            // If the system refuses, the pages stay writable and do not execute: nothing runs that must not.
            let _ = self.arena.pages.close(range);
        }
    }
}
