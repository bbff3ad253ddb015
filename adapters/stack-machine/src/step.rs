//! Counts the instructions that compiled code executes, and those that touch memory, on x86-64 Linux.
//!
//! The processor's trap flag stops it behind each instruction, and a signal handler notes where. That takes
//! microseconds for an instruction, and says exactly what a loop does: no estimate, no model of the code. Each thread has counts of
//! its own; the handler of the process is replaced while something is counted.

use crate::compile::Code;
use iced_x86::{Decoder, DecoderOptions, InstructionInfoFactory, Mnemonic};
use std::arch::asm;
use std::cell::Cell;
use std::ffi::c_void;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// The most bytes of code that are counted.
const BYTES: usize = 1 << 16;

static START: AtomicU64 = AtomicU64::new(0);
static COUNTS: [AtomicU32; BYTES] = [const { AtomicU32::new(0) }; BYTES];
/// One run is counted at a time.
static ONE: Mutex<()> = Mutex::new(());

thread_local! {
    static TOTAL: Cell<Executed> = const { Cell::new(Executed { instructions: 0, accesses: 0 }) };
}

/// What was executed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Executed {
    /// Instructions of compiled code.
    pub instructions: u64,
    /// Reads and writes of memory in them.
    pub accesses: u64,
}

/// What this thread's code executed since this was asked last.
pub fn take() -> Executed {
    TOTAL.take()
}

extern "C" fn on_trap(_signal: i32, _info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the system passes a context of this type to handlers with SA_SIGINFO.
    let context = unsafe { &*context.cast::<libc::ucontext_t>() };
    let at = context.uc_mcontext.gregs[libc::REG_RIP as usize] as u64;
    let offset = at.wrapping_sub(START.load(Ordering::Relaxed));
    if let Some(count) = COUNTS.get(offset as usize) {
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// Calls something that runs this code, and counts.
pub(crate) fn count<R>(code: &Code, run: impl FnOnce() -> R) -> R {
    // A run that panicked left nothing behind that matters.
    let _one = ONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let address = code.address;
    START.store(address, Ordering::Relaxed);
    for count in COUNTS.iter().take(code.bytes) {
        count.store(0, Ordering::Relaxed);
    }
    // SAFETY: an empty action is a valid value of this plain structure; the handler has the type that SA_SIGINFO asks for
    // and does nothing but count.
    let before = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        let mut before: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_trap as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        libc::sigaction(libc::SIGTRAP, &raw const action, &raw mut before);
        before
    };
    // SAFETY: sets the trap flag and nothing else; the handler for its signal stands.
    unsafe { asm!("pushfq", "or dword ptr [rsp], 0x100", "popfq") };
    let result = run();
    // SAFETY: clears the trap flag.
    unsafe { asm!("pushfq", "and dword ptr [rsp], 0xfffffeff", "popfq") };
    // SAFETY: what stood before.
    unsafe { libc::sigaction(libc::SIGTRAP, &raw const before, std::ptr::null_mut()) };
    let executed = add(code, address);
    TOTAL.with(|total| {
        let mut sum = total.get();
        sum.instructions += executed.instructions;
        sum.accesses += executed.accesses;
        total.set(sum);
    });
    result
}

/// Decodes what was executed.
fn add(code: &Code, address: u64) -> Executed {
    let pointer = std::ptr::with_exposed_provenance::<u8>(address as usize);
    // SAFETY: published code, which stays until the host replaces it; compiled code can be read.
    let bytes = unsafe { std::slice::from_raw_parts(pointer, code.bytes) };
    let mut executed = Executed::default();
    let mut factory = InstructionInfoFactory::new();
    for (offset, count) in COUNTS.iter().take(code.bytes).enumerate() {
        let times = u64::from(count.load(Ordering::Relaxed));
        if times == 0 {
            continue;
        }
        let mut decoder = Decoder::new(64, &bytes[offset..], DecoderOptions::NONE);
        let instruction = decoder.decode();
        let accesses = match instruction.mnemonic() {
            Mnemonic::Lea | Mnemonic::Nop => 0,
            _ => factory.info(&instruction).used_memory().len() as u64,
        };
        executed.instructions += times;
        executed.accesses += times * accesses;
    }
    executed
}
