//! Zeroed memory that may not be there: for sizes that a program or a command line asks for.

use std::alloc::Layout;
use std::ptr::NonNull;

/// The alignment of the first byte: a cache line, and enough for every access.
const ALIGNMENT: usize = 64;

/// Memory that begins as zeros. Its pages come from the system as they are touched.
#[derive(Debug)]
pub struct Zeroed {
    /// What was allocated: with an alignment that lets the allocator take fresh pages as the zeros that they are. For
    /// greater ones it writes the zeros, and so touches every page.
    allocation: NonNull<u8>,
    layout: Layout,
    /// The first aligned byte.
    start: NonNull<u8>,
    size: usize,
}

// SAFETY: the memory belongs to this value alone.
unsafe impl Send for Zeroed {}

impl Zeroed {
    /// That many bytes, if the system has them.
    pub fn new(size: u64) -> Option<Zeroed> {
        let size = usize::try_from(size).ok()?;
        let layout = Layout::from_size_align(size.checked_add(ALIGNMENT)?, 1).ok()?;
        // SAFETY: the layout is not empty.
        let allocation = NonNull::new(unsafe { std::alloc::alloc_zeroed(layout) })?;
        let before = allocation.as_ptr().align_offset(ALIGNMENT);
        if before > ALIGNMENT {
            return None;
        }
        Some(Zeroed {
            allocation,
            layout,
            // SAFETY: no more than the alignment, by which the allocation is longer than what is asked for.
            start: unsafe { allocation.add(before) },
            size,
        })
    }

    /// The first byte, for use through pointers.
    pub fn start(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: that many initialised bytes belong to this value.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.size) }
    }

    /// The bytes.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: that many initialised bytes belong to this value.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.size) }
    }

    /// The bytes as words of 64 bits, without what is left over at the end.
    pub fn words_mut(&mut self) -> &mut [u64] {
        // SAFETY: that many initialised words belong to this value, and the first is aligned.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr().cast(), self.size / 8) }
    }
}

impl Drop for Zeroed {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout.
        unsafe { std::alloc::dealloc(self.allocation.as_ptr(), self.layout) };
    }
}

#[cfg(test)]
mod tests {
    use super::Zeroed;

    #[test]
    fn zeros_of_any_size() {
        for size in [0u64, 1, 7, 8, 20, 100_000] {
            let mut memory = Zeroed::new(size).unwrap();
            assert_eq!(memory.start() as usize % 64, 0);
            assert!(memory.bytes().iter().all(|&byte| byte == 0));
            assert_eq!(memory.bytes().len() as u64, size);
            assert_eq!(memory.words_mut().len() as u64, size / 8);
            memory.bytes_mut().fill(1);
            assert!(memory.bytes().iter().all(|&byte| byte == 1));
        }
    }

    /// How many bytes of this process are in memory.
    #[cfg(target_os = "linux")]
    fn resident() -> u64 {
        let text = std::fs::read_to_string("/proc/self/statm").expect("a process has it");
        let pages: u64 = text
            .split(' ')
            .nth(1)
            .and_then(|n| n.parse().ok())
            .expect("a number");
        pages * 4096
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn pages_come_as_they_are_touched() {
        let before = resident();
        let mut memory = Zeroed::new(1 << 30).expect("address space");
        memory.bytes_mut()[1 << 29] = 1;
        assert!(resident() < before + (1 << 28));
    }

    #[test]
    fn absurd_sizes_are_refused() {
        assert!(Zeroed::new(u64::MAX).is_none());
        assert!(Zeroed::new(1 << 62).is_none());
    }
}
