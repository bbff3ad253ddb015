//! How much of the heap is in use: an allocator that counts. Executable memory and memories of modules are not on the heap.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: the system's allocator does what it is asked for; what is counted is its caller's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = IN_USE.fetch_add(layout.size(), Relaxed) + layout.size();
        MOST.fetch_max(now, Relaxed);
        // SAFETY: as this function's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let now = IN_USE.fetch_add(layout.size(), Relaxed) + layout.size();
        MOST.fetch_max(now, Relaxed);
        // SAFETY: as this function's.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let before = IN_USE.fetch_add(size, Relaxed);
        MOST.fetch_max((before + size).saturating_sub(layout.size()), Relaxed);
        IN_USE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as this function's.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as this function's.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// How many bytes are in use; what is used most is counted from here.
pub fn begin() -> usize {
    let now = IN_USE.load(Relaxed);
    MOST.store(now, Relaxed);
    now
}

/// How many bytes more than `before` were in use at once since [`begin`] gave it.
pub fn most_since(before: usize) -> usize {
    MOST.load(Relaxed).saturating_sub(before)
}
