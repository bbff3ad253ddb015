//! The pages of an arena: one or two mappings, never writable and executable at once.
//!
//! ```text
//!   to write    [ guard | used: read, write    | not yet used: no access | guard ]
//!   to execute  [ guard | used: read, execute  | not yet used: no access | guard ]   the same pages again
//! ```
//!
//! With one view there is one such mapping, and the pages of a range are writable from `open` to `close`.
//! Ranges are offsets from the end of the first guard page; the caller keeps them below the capacity.

use crate::{Error, Step, TRAP_BYTE, Views, cache};
use region::Protection;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::AtomicU64;

pub(crate) struct Pages {
    mapping: Mapping,
    page: usize,
    capacity: usize,
    write: *mut u8,
    execute: *const u8,
}

/// Owns the mappings.
enum Mapping {
    One {
        _allocation: region::Allocation,
    },
    #[cfg(target_os = "linux")]
    Two {
        _views: [twice::View; 2],
    },
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages")
            .field("views", &self.views())
            .field("capacity", &self.capacity)
            .field("write", &self.write)
            .field("execute", &self.execute)
            .finish()
    }
}

// SAFETY: the pages belong to this value alone, whatever thread it is on.
unsafe impl Send for Pages {}
// SAFETY: what can be done through a shared reference reads fields only.
unsafe impl Sync for Pages {}

impl Pages {
    /// Reserves this many bytes, whole pages, with a guard page on either side and no access yet.
    pub fn reserve(capacity: usize, page: usize, views: Views) -> Result<Pages, Error> {
        match views {
            Views::One => {
                let mut allocation = region::alloc(capacity + 2 * page, Protection::NONE)
                    .map_err(|error| system(Step::Reserve, &error))?;
                let base = allocation.as_mut_ptr::<u8>().wrapping_add(page);
                Ok(Pages {
                    mapping: Mapping::One {
                        _allocation: allocation,
                    },
                    page,
                    capacity,
                    write: base,
                    execute: base,
                })
            }
            #[cfg(target_os = "linux")]
            Views::Two => {
                let views = twice::map(capacity, page)?;
                let [write, execute] = [views[0].inside(page), views[1].inside(page)];
                Ok(Pages {
                    mapping: Mapping::Two { _views: views },
                    page,
                    capacity,
                    write,
                    execute,
                })
            }
            #[cfg(not(target_os = "linux"))]
            Views::Two => Err(Error::System {
                step: Step::Share,
                code: 0,
            }),
        }
    }

    pub fn views(&self) -> Views {
        match self.mapping {
            Mapping::One { .. } => Views::One,
            #[cfg(target_os = "linux")]
            Mapping::Two { .. } => Views::Two,
        }
    }

    pub fn execute_base(&self) -> *const u8 {
        self.execute
    }

    /// Makes whole pages that were never used executable, filled with traps.
    pub fn commit(&mut self, range: Range<usize>) -> Result<(), Error> {
        self.protect(self.write, &range, Protection::READ_WRITE)?;
        self.fill(range.clone());
        self.protect(self.execute, &range, Protection::READ_EXECUTE)?;
        self.publish(&range);
        Ok(())
    }

    /// Makes the pages of a committed range writable.
    pub fn open(&mut self, range: Range<usize>) -> Result<(), Error> {
        match self.views() {
            Views::Two => Ok(()),
            Views::One => self.protect(self.write, &range, Protection::READ_WRITE),
        }
    }

    /// Makes the pages of an open range executable, with what was written there.
    pub fn close(&mut self, range: Range<usize>) -> Result<(), Error> {
        if self.views() == Views::One {
            self.protect(self.write, &range, Protection::READ_EXECUTE)?;
        }
        self.publish(&range);
        Ok(())
    }

    /// The bytes of an open range.
    pub fn bytes(&mut self, range: Range<usize>) -> &mut [u8] {
        debug_assert!(range.start <= range.end && range.end <= self.capacity);
        // SAFETY: the range is committed and open, so its pages are mapped and writable as long as
        // this value lives; the result borrows it mutably, and no other reference to the pages exists.
        unsafe { std::slice::from_raw_parts_mut(self.write.add(range.start), range.len()) }
    }

    /// The same as words, which other threads may execute from the other view. Both ends are multiples of 8.
    pub fn words(&mut self, range: Range<usize>) -> &[AtomicU64] {
        debug_assert!(range.start.is_multiple_of(8) && range.end.is_multiple_of(8));
        debug_assert!(range.end <= self.capacity);
        // SAFETY: as for bytes; pages are aligned to more than 8, and any bits are words.
        unsafe { std::slice::from_raw_parts(self.write.add(range.start).cast(), range.len() / 8) }
    }

    /// Fills an open range with traps.
    pub fn fill(&mut self, range: Range<usize>) {
        self.bytes(range).fill(TRAP_BYTE);
    }

    /// Brings instruction caches up to date with what was written to a range.
    pub fn publish(&self, range: &Range<usize>) {
        cache::publish(
            self.write.wrapping_add(range.start),
            self.execute.wrapping_add(range.start),
            range.len(),
        );
    }

    /// Changes the protection of the pages that a range touches, in one of the views.
    fn protect(
        &self,
        view: *const u8,
        range: &Range<usize>,
        protection: Protection,
    ) -> Result<(), Error> {
        let start = range.start / self.page * self.page;
        let end = range.end.next_multiple_of(self.page);
        // SAFETY: the pages are this value's own, between the guards; who opens a range does not run
        // or borrow what is on its pages.
        unsafe { region::protect(view.wrapping_add(start), end - start, protection) }
            .map_err(|error| system(Step::Protect, &error))
    }
}

pub(crate) fn system(step: Step, error: &region::Error) -> Error {
    let code = match error {
        region::Error::SystemCall(error) => error.raw_os_error().unwrap_or(0),
        region::Error::MachCall(code) => *code,
        _ => 0,
    };
    Error::System { step, code }
}

/// The same pages mapped twice, through an anonymous file.
#[cfg(target_os = "linux")]
mod twice {
    use super::{Error, Step};
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
    use std::ptr::null_mut;

    /// A mapping with its guard pages.
    pub(super) struct View {
        start: *mut u8,
        length: usize,
    }

    impl View {
        /// The first byte behind the first guard page.
        pub fn inside(&self, page: usize) -> *mut u8 {
            self.start.wrapping_add(page)
        }
    }

    impl Drop for View {
        fn drop(&mut self) {
            // SAFETY: the mapping is this value's own, and nothing uses it after its owner.
            unsafe { libc::munmap(self.start.cast(), self.length) };
        }
    }

    /// Two views of the same `capacity` bytes, all without access.
    pub(super) fn map(capacity: usize, page: usize) -> Result<[View; 2], Error> {
        let file = create()?;
        let length = libc::off_t::try_from(capacity).map_err(|_| Error::System {
            step: Step::Share,
            code: libc::EFBIG,
        })?;
        // SAFETY: sets the length of a file that nobody else has.
        if unsafe { libc::ftruncate(file.as_raw_fd(), length) } != 0 {
            return Err(last(Step::Share));
        }
        Ok([view(&file, capacity, page)?, view(&file, capacity, page)?])
    }

    fn view(file: &OwnedFd, capacity: usize, page: usize) -> Result<View, Error> {
        let length = capacity + 2 * page;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping at an address that the system chooses.
        let start = unsafe { libc::mmap(null_mut(), length, libc::PROT_NONE, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(last(Step::Reserve));
        }
        let view = View {
            start: start.cast(),
            length,
        };
        let flags = libc::MAP_SHARED | libc::MAP_FIXED;
        let inside = view.inside(page).cast();
        // SAFETY: replaces the middle of the mapping that was just made, which nobody uses yet.
        let mapped = unsafe {
            libc::mmap(
                inside,
                capacity,
                libc::PROT_NONE,
                flags,
                file.as_raw_fd(),
                0,
            )
        };
        if mapped == libc::MAP_FAILED {
            return Err(last(Step::Map));
        }
        Ok(view)
    }

    fn create() -> Result<OwnedFd, Error> {
        // Kernels from 6.3 on want to be told whether the file itself may be executed, which it need
        // not be for its pages to be; older ones do not know the flag.
        for flags in [libc::MFD_CLOEXEC | libc::MFD_NOEXEC_SEAL, libc::MFD_CLOEXEC] {
            // SAFETY: the name ends with a zero byte.
            let file = unsafe { libc::memfd_create(c"patchjit".as_ptr(), flags) };
            if file >= 0 {
                // SAFETY: a descriptor that was just made and that nobody else has.
                return Ok(unsafe { OwnedFd::from_raw_fd(file) });
            }
        }
        Err(last(Step::Share))
    }

    fn last(step: Step) -> Error {
        let code = std::io::Error::last_os_error().raw_os_error().unwrap_or(0);
        Error::System { step, code }
    }
}
