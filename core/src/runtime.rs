//! What compiled code and the oracle see of the embedder at run time.
//!
//! A [`Context`] belongs to one thread at a time. Compiled code keeps its address in a register of its own
//! and reaches everything through it, so the code itself holds no addresses of the embedder's.

use crate::ir::MAX_REGIONS;
use core::ffi::c_void;
use core::ptr::{null, null_mut};
use core::sync::atomic::AtomicU32;

/// A host function: gets the embedder's context pointer and the arguments as `u64` bits, writes its results
/// over them from the front (so there is room for the longer of the two lists), and returns 0, or another
/// status to leave through the exit that the call carries.
pub type HostCode = unsafe extern "C" fn(context: *mut c_void, values: *mut u64) -> u32;

/// A region as bound at entry. An empty binding has no address.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Binding {
    /// The first byte.
    pub base: *mut u8,
    /// How many bytes there are, at least as many as the program declares. Of a region that grows: how long it is now, at most what the program
    /// declares. A host function may make that greater, not less, and code sees it once the function has returned.
    pub size: u64,
}

/// Where calls through entry cells find a function: its code, and what a signature check compares.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct EntryCell {
    /// The address of the function's body, called by compiled code only.
    pub code: u64,
    /// The index of its signature in the program.
    pub signature: u64,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Status {
    /// The function returned; its results stand in the argument array.
    Returned = 0,
    /// It left through a deoptimizing exit; snapshots are written.
    Deoptimized = 1,
    /// It left through a trap; the snapshot is written.
    Trapped = 2,
    /// The run fuel was used up.
    OutOfFuel = 3,
    /// A call would have gone deeper than allowed.
    TooDeep = 4,
}

impl Status {
    /// The status with this code, if there is one.
    pub const fn from_code(code: u32) -> Option<Status> {
        Some(match code {
            0 => Status::Returned,
            1 => Status::Deoptimized,
            2 => Status::Trapped,
            3 => Status::OutOfFuel,
            4 => Status::TooDeep,
            _ => return None,
        })
    }
}

/// What compiled code is given at entry. Field offsets are part of the stencils: see [`offset`].
#[derive(Debug)]
#[repr(C)]
pub struct Context {
    /// The guest slots.
    pub slots: *mut u64,
    /// The host functions, in the order of the program's declarations.
    pub hosts: *const HostCode,
    /// What host functions get as their first argument.
    pub host_context: *mut c_void,
    /// One cell for each function of the program.
    pub cells: *const EntryCell,
    /// Run fuel left: a charge that finds 0 leaves with [`Status::OutOfFuel`]. Counts down by one at
    /// each function entry and back-edge (a jump to a block that does not stand later in the program),
    /// in code compiled with fuel.
    pub fuel: i64,
    /// Calls that may still be nested; a call that finds 0 leaves with [`Status::TooDeep`].
    pub depth: i64,
    /// Not zero: the next poll leaves. Other threads may store here.
    pub interrupt: AtomicU32,
    /// How the run ended, a [`Status`]; written by compiled code when it does not return.
    pub status: u32,
    /// The number of the exit through which it left; the innermost one where frames are nested.
    pub exit_number: u32,
    /// Unused; keeps the fields below aligned.
    pub reserved: u32,
    /// The machine stack pointer of the entry; compiled code's own.
    pub stack: u64,
    /// How many cells there are.
    pub cell_count: u64,
    /// The regions, in the order of the program's declarations.
    pub regions: [Binding; MAX_REGIONS],
    /// How often exits were taken, for code that was compiled to count them: it adds 1, wrapping, to the counters that
    /// its compilation was told of ([`crate::link::ExitStorage::first_counter`]). Not atomic: other threads read
    /// what they find.
    pub exit_counters: *mut u64,
}

impl Context {
    /// A context for a program that declares nothing: no slots, hosts, cells or regions, no fuel and no depth.
    pub const fn new() -> Context {
        Context {
            slots: null_mut(),
            hosts: null(),
            host_context: null_mut(),
            cells: null(),
            fuel: 0,
            depth: 0,
            interrupt: AtomicU32::new(0),
            status: 0,
            exit_number: 0,
            reserved: 0,
            stack: 0,
            cell_count: 0,
            regions: [Binding {
                base: null_mut(),
                size: 0,
            }; MAX_REGIONS],
            exit_counters: null_mut(),
        }
    }
}

impl Default for Context {
    fn default() -> Context {
        Context::new()
    }
}

/// Byte offsets in [`Context`] that are written into stencils: those of 64-bit targets, whatever the host.
pub mod offset {
    #[cfg(doc)]
    use super::Context;

    /// Of [`Context::slots`].
    pub const SLOTS: u32 = 0;
    /// Of [`Context::hosts`].
    pub const HOSTS: u32 = 8;
    /// Of [`Context::host_context`].
    pub const HOST_CONTEXT: u32 = 16;
    /// Of [`Context::cells`].
    pub const CELLS: u32 = 24;
    /// Of [`Context::fuel`].
    pub const FUEL: u32 = 32;
    /// Of [`Context::depth`].
    pub const DEPTH: u32 = 40;
    /// Of [`Context::interrupt`].
    pub const INTERRUPT: u32 = 48;
    /// Of [`Context::status`].
    pub const STATUS: u32 = 52;
    /// Of [`Context::exit_number`].
    pub const EXIT_NUMBER: u32 = 56;
    /// Of [`Context::stack`].
    pub const STACK: u32 = 64;
    /// Of [`Context::cell_count`].
    pub const CELL_COUNT: u32 = 72;
    /// Of the first binding in [`Context::regions`]; a binding is 16 bytes, its address first.
    pub const REGIONS: u32 = 80;
    /// Of [`Context::exit_counters`].
    pub const EXIT_COUNTERS: u32 = REGIONS + 16 * crate::ir::MAX_REGIONS as u32;
}

#[cfg(target_pointer_width = "64")]
const _: () = {
    use core::mem::offset_of;
    assert!(
        offset_of!(Context, slots) == offset::SLOTS as usize
            && offset_of!(Context, hosts) == offset::HOSTS as usize
            && offset_of!(Context, host_context) == offset::HOST_CONTEXT as usize
            && offset_of!(Context, cells) == offset::CELLS as usize
            && offset_of!(Context, fuel) == offset::FUEL as usize
            && offset_of!(Context, depth) == offset::DEPTH as usize
            && offset_of!(Context, interrupt) == offset::INTERRUPT as usize
            && offset_of!(Context, status) == offset::STATUS as usize
            && offset_of!(Context, exit_number) == offset::EXIT_NUMBER as usize
            && offset_of!(Context, stack) == offset::STACK as usize
            && offset_of!(Context, cell_count) == offset::CELL_COUNT as usize
            && offset_of!(Context, regions) == offset::REGIONS as usize
            && offset_of!(Context, exit_counters) == offset::EXIT_COUNTERS as usize
            && size_of::<Binding>() == 16
            && offset_of!(Binding, base) == 0
    );
};
