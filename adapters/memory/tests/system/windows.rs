//! Windows: `VirtualQuery`, and exceptions.

use patchjit_memory::Views;
use std::ops::Range;
use std::process::ExitStatus;

/// What arenas may have.
pub const VIEWS: [Views; 1] = [Views::One];

/// How a process ends that reaches what it must not, by exception.
pub const ACCESS: i32 = 0xc000_0005_u32 as i32;
/// How it ends at a [`patchjit_memory::TRAP_BYTE`]: `int3`, and what is no instruction.
pub const TRAP: i32 = if cfg!(target_arch = "x86_64") {
    0x8000_0003_u32 as i32
} else {
    0xc000_001d_u32 as i32
};

/// How a process ended.
pub fn end_of(status: ExitStatus) -> Option<i32> {
    status.code()
}

/// `MEMORY_BASIC_INFORMATION`.
#[derive(Default)]
#[repr(C)]
struct Information {
    base: u64,
    allocation_base: u64,
    allocation_protection: u32,
    partition: u32,
    size: u64,
    state: u32,
    protection: u32,
    kind: u32,
    padding: u32,
}

const MEM_COMMIT: u32 = 0x1000;

#[link(name = "kernel32")]
unsafe extern "system" {
    fn VirtualQuery(address: u64, information: *mut Information, length: usize) -> usize;
}

/// All pages of the process that are there, with their protection as Linux writes it.
pub fn mappings() -> Vec<(Range<u64>, String)> {
    let mut found = Vec::new();
    let mut address = 0;
    loop {
        let mut one = Information::default();
        // SAFETY: writes at most that many bytes, to what is that large.
        let length = unsafe { VirtualQuery(address, &raw mut one, size_of::<Information>()) };
        if length == 0 {
            return found;
        }
        address = one.base + one.size;
        if one.state == MEM_COMMIT {
            // Bits 8 and up say more about pages of any protection.
            let protection = match one.protection & 0xff {
                0x02 => "r--p",
                0x04 | 0x08 => "rw-p",
                0x10 => "--xp",
                0x20 => "r-xp",
                0x40 | 0x80 => "rwxp",
                _ => "---p",
            };
            found.push((one.base..address, protection.to_string()));
        }
    }
}
