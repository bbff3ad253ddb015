//! Memory for code.

/// Pages that are written, then executed, never both at once.
pub struct Pages {
    start: *mut u8,
    size: usize,
    pub used: usize,
}

impl Pages {
    pub fn new(size: usize) -> Pages {
        let start = system::writable(size);
        assert!(!start.is_null());
        Pages {
            start,
            size,
            used: 0,
        }
    }

    /// Makes the pages writable and empty.
    pub fn clear(&mut self) {
        // SAFETY: the pages are ours, and nothing in them runs now.
        assert!(unsafe { system::protect(self.start, self.size, false) });
        self.used = 0;
    }

    /// Makes the pages executable.
    pub fn publish(&mut self) {
        // SAFETY: the pages are ours, and nothing borrows them.
        assert!(unsafe { system::protect(self.start, self.size, true) });
        // SAFETY: the pages are mapped.
        unsafe { patchjit::cache::synchronize(self.start, self.start, self.used) };
    }

    /// Adds code; where it begins.
    pub fn add(&mut self, code: &[u8]) -> *const u8 {
        assert!(self.used + code.len() <= self.size);
        // SAFETY: the range lies in the pages, which are writable now.
        unsafe {
            let at = self.start.add(self.used);
            std::ptr::copy_nonoverlapping(code.as_ptr(), at, code.len());
            self.used += code.len().next_multiple_of(16);
            at
        }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the pages are ours and nothing refers to them any more.
        unsafe { system::free(self.start, self.size) };
    }
}

#[cfg(target_os = "linux")]
mod system {
    use libc::{MAP_ANONYMOUS, MAP_FAILED, MAP_PRIVATE, PROT_EXEC, PROT_READ, PROT_WRITE};

    pub fn writable(size: usize) -> *mut u8 {
        let (protection, flags) = (PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
        // SAFETY: a fresh private mapping at an address that the system chooses.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), size, protection, flags, -1, 0) };
        if start == MAP_FAILED {
            return std::ptr::null_mut();
        }
        start.cast()
    }

    /// # Safety
    ///
    /// The pages are the caller's; nothing in them runs, and nothing borrows them.
    pub unsafe fn protect(start: *mut u8, size: usize, execute: bool) -> bool {
        let access = if execute { PROT_EXEC } else { PROT_WRITE };
        // SAFETY: the caller's promise.
        unsafe { libc::mprotect(start.cast(), size, PROT_READ | access) == 0 }
    }

    /// # Safety
    ///
    /// The pages are the caller's, and nothing uses them any more.
    pub unsafe fn free(start: *mut u8, size: usize) {
        // SAFETY: the caller's promise.
        unsafe { libc::munmap(start.cast(), size) };
    }
}

#[cfg(windows)]
mod system {
    const MEM_COMMIT_RESERVE: u32 = 0x3000;
    const MEM_RELEASE: u32 = 0x8000;
    const PAGE_READWRITE: u32 = 4;
    const PAGE_EXECUTE_READ: u32 = 0x20;

    #[link(name = "kernel32")]
    unsafe extern "system" {
        fn VirtualAlloc(start: *mut u8, size: usize, kind: u32, protection: u32) -> *mut u8;
        fn VirtualProtect(start: *mut u8, size: usize, new: u32, old: *mut u32) -> i32;
        fn VirtualFree(start: *mut u8, size: usize, kind: u32) -> i32;
    }

    pub fn writable(size: usize) -> *mut u8 {
        // SAFETY: fresh pages at an address that the system chooses.
        unsafe {
            VirtualAlloc(
                std::ptr::null_mut(),
                size,
                MEM_COMMIT_RESERVE,
                PAGE_READWRITE,
            )
        }
    }

    /// # Safety
    ///
    /// The pages are the caller's; nothing in them runs, and nothing borrows them.
    pub unsafe fn protect(start: *mut u8, size: usize, execute: bool) -> bool {
        let new = if execute {
            PAGE_EXECUTE_READ
        } else {
            PAGE_READWRITE
        };
        let mut old = 0;
        // SAFETY: the caller's promise.
        unsafe { VirtualProtect(start, size, new, &raw mut old) != 0 }
    }

    /// # Safety
    ///
    /// The pages are the caller's, and nothing uses them any more.
    pub unsafe fn free(start: *mut u8, _size: usize) {
        // SAFETY: the caller's promise.
        unsafe { VirtualFree(start, 0, MEM_RELEASE) };
    }
}
