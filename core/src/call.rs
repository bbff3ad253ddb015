//! Enters compiled code, and walks its frames.
//!
//! Takes the address of an entry, a context and an array of values; promises that what a run uses up of
//! the context and does not report ([`Context::depth`], [`Context::stack`]) is as it was, however the run
//! ended. Costs one call through the platform's C convention. One of the few places with `unsafe`: code at an
//! address cannot be checked from here.
#![allow(unsafe_code)]

use crate::compile::Frame;
use crate::runtime::{Context, Status};

/// Words that a call leaves between the caller's frame and the callee's: the return address, and on AArch64 and RISC-V one more,
/// for the stack pointer is a multiple of 16 there.
const CALL_WORDS: usize = if cfg!(any(target_arch = "aarch64", target_arch = "riscv64")) {
    2
} else {
    1
};

/// The signature of an entry, as the platform's C convention passes it: the context, and the arguments
/// as `u64` bits, over which the results are written from the front.
pub type EntryCode = unsafe extern "C" fn(context: *mut Context, values: *mut u64) -> u32;

/// Calls the entry at this address and says how the run ended.
///
/// `values` holds the arguments, and its results when the status is [`Status::Returned`]. After
/// [`Status::Deoptimized`] and [`Status::Trapped`] the exit's number stands in [`Context::exit_number`].
/// A status code that compiled code never gives is reported as [`Status::Trapped`].
///
/// A host function may enter again with the same context.
///
/// # Safety
///
/// * `entry` is the address of an entry that this crate compiled for this machine, published
///   (executable, with the instruction cache up to date on this processor), and stays so until the run ends.
/// * `context` is valid for reads and writes, used by this thread alone (but for
///   [`Context::interrupt`]), and bound for the program of that entry and of all code that it can get to through links and
///   cells: as many guest slots, host functions and regions as the programs declare, regions at least as large as declared, those that grow
///   at most as large as they may grow, and none made shorter or moved while code runs,
///   16-aligned and apart from each other and from the slots, all valid for reads and writes as the programs use them.
/// * Regions that the code was told are reserved ([`crate::compile::Reserved`]) stand in so much address space, in which accesses beyond
///   their size fault and change nothing, and a handler leads these faults on to where the code's [`crate::compile::FaultSite`]s say.
/// * [`Context::cells`] has as many cells as [`Context::cell_count`] says and the program has functions, each empty or
///   the body of a function that this crate compiled for this machine, with the signature that the cell names.
/// * [`Context::exit_counters`] is valid for every counter that exits of the code count in, where its exits are counted.
/// * `values` is valid for as many words as the longer of the function's parameters and results.
/// * The machine stack has room for `context.depth` times the greatest frame size that compilation reported for any code
///   that the run can get to. On Windows, where a thread's stack grows only if its pages are touched in order, that much
///   of it has been touched before, if that size is above 4,096 bytes: code does not touch all pages of its frames.
/// * Host functions return: they do not unwind into compiled code, which has no unwind tables. What a host function throws and
///   does not catch must end the process; a Rust function that is `extern "C"` sees to that for panics. (Windows takes
///   functions without tables for such as have no frame, so its search for a handler ends in nonsense, or in a handler
///   whose registers are not what they should be.)
/// * A program that is not contained reaches only memory that it may reach.
pub unsafe fn enter(entry: u64, context: *mut Context, values: *mut u64) -> Status {
    let address = core::ptr::with_exposed_provenance::<()>(entry as usize);
    // SAFETY: the caller promises that an entry with this signature is at this address.
    let code = unsafe { core::mem::transmute::<*const (), EntryCode>(address) };
    // SAFETY: the caller promises that the context may be read and written.
    let (depth, stack) = unsafe { ((*context).depth, (*context).stack) };
    // SAFETY: the caller promises all that compiled code relies on.
    let status = unsafe { code(context, values) };
    // SAFETY: as above; compiled code is done with it.
    unsafe {
        (*context).depth = depth;
        (*context).stack = stack;
    }
    Status::from_code(status).unwrap_or(Status::Trapped)
}

/// Visits every word of compiled frames that holds a reference, innermost frame first: for a collector that runs in a
/// host function. A reference is visited as often as there are words that hold it; what is written to a word is what
/// the program goes on with.
///
/// `values` is what the host function got as its second argument. `frame_at` finds the frame of a return address, with
/// [`crate::compile::References::at`] in whatever code the address is in; the walk ends at the first address for which
/// there is none, which is that of an entry. Where host functions enter compiled code again, the frames of each entry are a walk of their own,
/// from the `values` of the host function that entered. Takes time linear in the frames and their references.
///
/// # Safety
///
/// * `values` is what compiled code passed to a host function that has not returned, on this thread.
/// * `frame_at` gives the frame of each return address within code that this crate compiled for this machine, from an
///   observer of its compilation, and none for other addresses.
pub unsafe fn visit_references<'m>(
    values: *mut u64,
    mut frame_at: impl FnMut(u64) -> Option<Frame<'m>>,
    mut visit: impl FnMut(*mut u64),
) {
    let mut stack = values;
    // SAFETY: compiled code calls a host function with its stack pointer as `values`, and has the call's address right
    // below.
    let mut address = unsafe { stack.sub(1).read() };
    while let Some(frame) = frame_at(address) {
        for &word in frame.roots {
            // SAFETY: the frame is this large.
            visit(unsafe { stack.add(word as usize) });
        }
        // SAFETY: the return address stands at the frame's end, and the frame of the caller behind what the call left.
        unsafe {
            address = stack.add(frame.words as usize).read();
            stack = stack.add(frame.words as usize + CALL_WORDS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{EntryCode, enter};
    use crate::runtime::{Context, Status};

    fn context() -> Context {
        let mut context = Context::new();
        context.depth = 10;
        context.stack = 77;
        context
    }

    unsafe extern "C" fn doubles(context: *mut Context, values: *mut u64) -> u32 {
        // SAFETY: the tests below pass a context and one value.
        unsafe {
            (*context).depth -= 3;
            (*context).stack = 1;
            *values *= 2;
        }
        0
    }

    unsafe extern "C" fn traps(context: *mut Context, _values: *mut u64) -> u32 {
        // SAFETY: the tests below pass a context.
        unsafe {
            (*context).depth = 0;
            (*context).exit_number = 9;
        }
        Status::Trapped as u32
    }

    unsafe extern "C" fn nonsense(_context: *mut Context, _values: *mut u64) -> u32 {
        99
    }

    unsafe extern "C" fn enters_again(context: *mut Context, values: *mut u64) -> u32 {
        // SAFETY: a stand-in for a host function that enters again, with what it was given itself.
        let status = unsafe {
            (*context).stack = 5;
            enter(doubles as EntryCode as usize as u64, context, values)
        };
        // SAFETY: as above.
        assert_eq!(unsafe { (*context).stack }, 5);
        status as u32
    }

    fn run(code: EntryCode, values: &mut [u64; 1]) -> (Status, Context) {
        let mut context = context();
        // SAFETY: these entries are functions of this test and touch what they are given only.
        let status = unsafe { enter(code as usize as u64, &raw mut context, values.as_mut_ptr()) };
        (status, context)
    }

    #[test]
    fn what_a_run_uses_up_is_restored() {
        let mut values = [21];
        let (status, after) = run(doubles, &mut values);
        assert_eq!((status, values[0]), (Status::Returned, 42));
        assert_eq!((after.depth, after.stack), (10, 77));
        let (status, after) = run(traps, &mut values);
        assert_eq!((status, after.exit_number), (Status::Trapped, 9));
        assert_eq!(after.depth, 10);
    }

    #[test]
    fn an_unknown_status_is_a_trap() {
        assert_eq!(run(nonsense, &mut [0]).0, Status::Trapped);
    }

    #[test]
    fn entering_again_keeps_the_outer_stack() {
        let mut values = [4];
        let (status, after) = run(enters_again, &mut values);
        assert_eq!((status, values[0]), (Status::Returned, 8));
        assert_eq!((after.depth, after.stack), (10, 77));
    }
}
