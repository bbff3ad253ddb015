//! Linux: `/proc`, and signals.

use patchjit_memory::Views;
use std::ops::Range;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// What arenas may have.
pub const VIEWS: [Views; 2] = [Views::Two, Views::One];

/// How a process ends that reaches what it must not, by signal.
pub const ACCESS: i32 = 11;
/// How it ends at a [`patchjit_memory::TRAP_BYTE`]: `int3`, and what is no instruction.
pub const TRAP: i32 = if cfg!(target_arch = "x86_64") { 5 } else { 4 };

/// How a process ended that did not exit.
pub fn end_of(status: ExitStatus) -> Option<i32> {
    status.signal()
}

/// All mappings of the process, with their protection as `rwxp`.
pub fn mappings() -> Vec<(Range<u64>, String)> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines()
        .map(|line| {
            let (range, rest) = line.split_once(' ').unwrap();
            let (start, end) = range.split_once('-').unwrap();
            let address = |text| u64::from_str_radix(text, 16).unwrap();
            (address(start)..address(end), rest[..4].to_string())
        })
        .collect()
}
