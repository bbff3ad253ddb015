//! Memory that gets longer and stays where it is: for regions that grow.
//!
//! Address space for the greatest size is reserved at first, without access; what is grown into becomes readable and writable, and holds
//! zeros. Reserving costs address space alone; growing costs a call of the system.

use crate::faults::Known;
use crate::{Error, Step, pages};
use region::{Allocation, Protection};
use std::cell::Cell;
use std::fmt;

/// Memory of a size between two bounds. Compiled code writes there through [`Growing::base`] while it runs; whoever reads or writes it
/// through this value does so between two steps of that code, in a host function or after the run.
pub struct Growing {
    /// Goes before the address space does, which may be something else's then.
    known: Option<Known>,
    /// None where the greatest size is 0.
    allocation: Option<Allocation>,
    base: *mut u8,
    size: Cell<usize>,
    /// Bytes that are readable and writable, whole pages.
    open: Cell<usize>,
    most: usize,
}

impl fmt::Debug for Growing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Growing")
            .field("base", &self.base)
            .field("size", &self.size.get())
            .field("most", &self.most)
            .finish_non_exhaustive()
    }
}

/// What an empty one begins at: aligned as regions are, and read by nobody.
const NOWHERE: usize = 64;

impl Growing {
    /// Zeros of this size, which may grow to `most` bytes.
    ///
    /// # Errors
    ///
    /// If there is no address space or no memory.
    pub fn new(size: u64, most: u64) -> Result<Growing, Error> {
        Growing::reserved(size, most, 0)
    }

    /// The same in at least so many bytes of address space. Accesses in it that are beyond the size, rounded up to whole pages, fault;
    /// [`crate::faults`] leads them on.
    ///
    /// # Errors
    ///
    /// As [`Growing::new`].
    pub fn reserved(size: u64, most: u64, reserved: u64) -> Result<Growing, Error> {
        let too_large = |_| Error::System {
            step: Step::Reserve,
            code: 0,
        };
        let size = usize::try_from(size).map_err(too_large)?;
        let most = usize::try_from(most).map_err(too_large)?.max(size);
        let reserved = usize::try_from(reserved).map_err(too_large)?;
        let mut allocation = match most.max(reserved) {
            0 => None,
            length => Some(
                region::alloc(length, Protection::NONE)
                    .map_err(|error| pages::system(Step::Reserve, &error))?,
            ),
        };
        let base: *mut u8 = match &mut allocation {
            Some(allocation) => allocation.as_mut_ptr(),
            None => std::ptr::without_provenance_mut(NOWHERE),
        };
        let memory = Growing {
            known: (reserved > 0).then(|| Known::new(base.addr()..base.addr() + reserved)),
            allocation,
            base,
            size: Cell::new(0),
            open: Cell::new(0),
            most,
        };
        memory.grow(size as u64)?;
        Ok(memory)
    }

    /// Where it begins, now and later; a multiple of 64.
    pub fn base(&self) -> *mut u8 {
        self.base
    }

    /// How many bytes it has.
    pub fn size(&self) -> u64 {
        self.size.get() as u64
    }

    /// What it may grow to, in bytes.
    pub fn most(&self) -> u64 {
        self.most as u64
    }

    /// How many bytes of address space are reserved for it so that accesses in them fault; 0 if it was not asked for.
    pub fn reserved_bytes(&self) -> u64 {
        self.known.as_ref().map_or(0, Known::bytes)
    }

    /// Makes it this long; what comes to it are zeros.
    ///
    /// # Errors
    ///
    /// If that is more than it may grow to, or there is no memory. It is as long as before then.
    pub fn grow(&self, size: u64) -> Result<(), Error> {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        if size > self.most {
            return Err(Error::System {
                step: Step::Reserve,
                code: 0,
            });
        }
        if size > self.open.get() {
            let open = size.next_multiple_of(region::page::size());
            let (from, length) = (self.open.get(), open - self.open.get());
            let start = self.base.wrapping_add(from);
            // SAFETY: these pages are of the allocation, whose length is rounded up to whole pages, and nothing refers to them yet.
            unsafe { region::protect(start, length, Protection::READ_WRITE) }
                .map_err(|error| pages::system(Step::Protect, &error))?;
            self.open.set(open);
        }
        self.size.set(size.max(self.size.get()));
        Ok(())
    }

    /// Where so many bytes from here on begin, if it has them.
    fn span(&self, at: u64, count: u64) -> Option<*mut u8> {
        let end = at.checked_add(count)?;
        (end <= self.size()).then(|| self.base.wrapping_add(at as usize))
    }

    /// Reads bytes from there on; `None` if they are not all there, and nothing is read.
    pub fn read(&self, at: u64, bytes: &mut [u8]) -> Option<()> {
        let from = self.span(at, bytes.len() as u64)?;
        // SAFETY: that many bytes are there and initialised, and `bytes` is none of them: no reference to them is given out.
        unsafe { from.copy_to_nonoverlapping(bytes.as_mut_ptr(), bytes.len()) };
        Some(())
    }

    /// Writes bytes from there on; `None` if they do not all fit, and nothing is written.
    pub fn write(&self, at: u64, bytes: &[u8]) -> Option<()> {
        let to = self.span(at, bytes.len() as u64)?;
        // SAFETY: there is room for that many bytes, and `bytes` is none of them: no reference to them is given out.
        unsafe { to.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        Some(())
    }

    /// Fills so many bytes from there on; `None` if they are not all there, and nothing is written.
    pub fn fill(&self, at: u64, count: u64, byte: u8) -> Option<()> {
        let to = self.span(at, count)?;
        // SAFETY: there is room for that many bytes.
        unsafe { to.write_bytes(byte, count as usize) };
        Some(())
    }

    /// Copies bytes from another one, or from itself, where they may overlap; `None` if they are not all there or do not fit, and nothing is written.
    pub fn copy(&self, to: u64, source: &Growing, from: u64, count: u64) -> Option<()> {
        let from = source.span(from, count)?;
        let to = self.span(to, count)?;
        // SAFETY: that many bytes are there, and there is room for them.
        unsafe { to.copy_from(from, count as usize) };
        Some(())
    }

    /// Whether it has no address space.
    pub fn is_nowhere(&self) -> bool {
        self.allocation.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::Growing;

    #[test]
    fn it_grows_in_place_and_begins_with_zeros() {
        let memory = Growing::new(10, 1 << 32).expect("address space");
        let base = memory.base();
        assert_eq!(base as usize % 64, 0);
        assert_eq!(memory.size(), 10);
        assert_eq!(memory.write(9, &[7]), Some(()));
        assert_eq!(memory.write(9, &[7, 8]), None);
        memory.grow(3 << 20).expect("memory");
        assert_eq!((memory.base(), memory.size()), (base, 3 << 20));
        let mut bytes = [1; 4];
        assert_eq!(memory.read(8, &mut bytes), Some(()));
        assert_eq!(bytes, [0, 7, 0, 0]);
        assert_eq!(memory.read((3 << 20) - 4, &mut bytes), Some(()));
        assert_eq!(bytes, [0; 4]);
        assert_eq!(memory.read((3 << 20) - 3, &mut bytes), None);
        assert_eq!(memory.read(u64::MAX, &mut bytes), None);
        assert!(memory.grow((1 << 32) + 1).is_err());
        assert_eq!(memory.size(), 3 << 20);
    }

    #[test]
    fn bytes_are_moved_where_they_overlap() {
        let memory = Growing::new(8, 8).expect("memory");
        assert_eq!(memory.fill(0, 9, 1), None);
        assert_eq!(memory.write(0, &[1, 2, 3, 4]), Some(()));
        assert_eq!(memory.copy(2, &memory, 0, 4), Some(()));
        let mut bytes = [0; 8];
        assert_eq!(memory.read(0, &mut bytes), Some(()));
        assert_eq!(bytes, [1, 2, 1, 2, 3, 4, 0, 0]);
        assert_eq!(memory.copy(5, &memory, 0, 4), None);
        assert_eq!(memory.fill(4, 4, 9), Some(()));
        assert_eq!(memory.read(3, &mut bytes[..5]), Some(()));
        assert_eq!(bytes[..5], [2, 9, 9, 9, 9]);
    }

    #[test]
    fn nothing_needs_no_memory() {
        let memory = Growing::new(0, 0).expect("nothing");
        assert!(memory.is_nowhere());
        assert_eq!(memory.read(0, &mut []), Some(()));
        assert_eq!(memory.write(0, &[1]), None);
        assert!(Growing::new(0, u64::MAX).is_err());
    }
}
