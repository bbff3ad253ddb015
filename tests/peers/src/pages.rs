//! Memory for Cranelift's code: taken and touched before the clock starts, made executable after it stops.
//!
//! Ours is measured the same way: from the IR in memory to the last patched byte, publishing aside.

use cranelift_jit::{BranchProtection, JITMemoryKind, JITMemoryProvider};
use cranelift_module::ModuleResult;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One span of memory from which a module takes what it asks for.
#[derive(Clone)]
pub struct Pages {
    shared: Arc<Span>,
}

struct Span {
    start: usize,
    length: usize,
    used: AtomicUsize,
    memory: Memory,
}

/// Keeps the memory alive; its address is kept beside it as a number.
struct Memory(region::Allocation);

// SAFETY: nothing is read or written through this value; it gives the memory back when dropped, on any thread.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Pages {
    /// Takes this many bytes, and touches them.
    pub fn new(bytes: usize) -> io::Result<Pages> {
        let protection = region::Protection::READ_WRITE;
        let mut memory = region::alloc(bytes, protection).map_err(io::Error::other)?;
        let start = memory.as_mut_ptr::<u8>();
        // SAFETY: the allocation is writable and that long.
        unsafe { core::ptr::write_bytes(start, 0xcc, memory.len()) };
        Ok(Pages {
            shared: Arc::new(Span {
                start: start.expose_provenance(),
                length: memory.len(),
                used: AtomicUsize::new(0),
                memory: Memory(memory),
            }),
        })
    }

    /// Makes everything executable, and nothing writable.
    pub fn publish(&self) -> io::Result<()> {
        let Memory(memory) = &self.shared.memory;
        let protection = region::Protection::READ_EXECUTE;
        // SAFETY: the pages are this allocation's own, and nobody writes to them any more.
        unsafe { region::protect(memory.as_ptr::<u8>(), memory.len(), protection) }
            .map_err(io::Error::other)
    }

    /// How many bytes were taken, padding between functions included.
    pub fn used(&self) -> usize {
        self.shared.used.load(Ordering::Relaxed)
    }

    fn start(&self) -> *mut u8 {
        core::ptr::with_exposed_provenance_mut(self.shared.start)
    }
}

impl JITMemoryProvider for Pages {
    fn allocate(&mut self, size: usize, align: u64, _: JITMemoryKind) -> io::Result<*mut u8> {
        let start = self.used().next_multiple_of(align as usize);
        let end = start + size;
        if end > self.shared.length {
            return Err(io::Error::other("the code does not fit"));
        }
        self.shared.used.store(end, Ordering::Relaxed);
        Ok(self.start().wrapping_add(start))
    }

    unsafe fn free_memory(&mut self) {}

    fn finalize(&mut self, _: BranchProtection) -> ModuleResult<()> {
        Ok(())
    }
}
