//! Accesses that fault, in memory whose address space is reserved ([`Growing::reserved`](crate::Growing::reserved)), led on to where the
//! code goes on: what [`patchjit::compile::Reserved`] asks of an embedder.
//!
//! Takes where code is and its [`FaultSite`]s; promises that a fault of one of them at an address in reserved memory continues at its
//! exit. Every other fault goes to the handler that was there before. For Linux on x86-64, where a store across two pages of which one faults
//! writes nothing.
//!
//! **What the process must keep.** The handler of `SIGSEGV` is set when the first code is registered, and stays. A handler that is set later
//! must pass on to it what is not its own, and threads that run such code must not block the signal: the system ends a process whose
//! fault nobody can take.
//!
//! The handler takes no lock and no memory. It reads lists whose records are never freed: a record that is being changed is not the one
//! that it looks for, since neither code that runs nor memory that is accessed is given back meanwhile. Costs: a fault looks at each
//! record, then searches the sites in logarithmic time.

use crate::{Error, Step};
use patchjit::compile::FaultSite;
use patchjit::stencil::MOST_TEMPLATE_BYTES;
use std::fmt;
use std::ops::Range;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering, fence};
use std::sync::{Mutex, PoisonError};

/// Whether faults can be led on here. If not, code must compare.
pub const AVAILABLE: bool = cfg!(all(target_os = "linux", target_arch = "x86_64"));

/// A range of addresses, and what is known of it.
struct Record {
    /// Odd while the record is being changed.
    version: AtomicUsize,
    start: AtomicUsize,
    end: AtomicUsize,
    sites: AtomicPtr<FaultSite>,
    count: AtomicUsize,
    next: AtomicPtr<Record>,
}

/// Ranges of addresses that the handler knows.
struct Records {
    first: AtomicPtr<Record>,
    /// Those that can be used again.
    free: Mutex<Vec<&'static Record>>,
}

static CODE: Records = Records::new();
static MEMORY: Records = Records::new();

impl Records {
    const fn new() -> Records {
        Records {
            first: AtomicPtr::new(ptr::null_mut()),
            free: Mutex::new(Vec::new()),
        }
    }

    fn add(&self, range: Range<usize>, sites: &[FaultSite]) -> &'static Record {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(record) = free.pop() {
            record.set(range, sites);
            return record;
        }
        let record: &'static Record = Box::leak(Box::new(Record {
            version: AtomicUsize::new(0),
            start: AtomicUsize::new(0),
            end: AtomicUsize::new(0),
            sites: AtomicPtr::new(ptr::null_mut()),
            count: AtomicUsize::new(0),
            next: AtomicPtr::new(self.first.load(Ordering::Relaxed)),
        }));
        record.set(range, sites);
        // Under the lock, so no other one has come first.
        self.first
            .store(ptr::from_ref(record).cast_mut(), Ordering::Release);
        record
    }

    fn remove(&self, record: &'static Record) {
        record.set(0..0, &[]);
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.push(record);
    }

    /// The start of the range that an address is in, and what is known of it.
    fn find(&self, address: usize) -> Option<(usize, *const FaultSite, usize)> {
        let mut next = self.first.load(Ordering::Acquire);
        // SAFETY: null, or a record, and records live as long as the process.
        while let Some(record) = unsafe { next.as_ref() } {
            let version = record.version.load(Ordering::Acquire);
            let start = record.start.load(Ordering::Relaxed);
            let end = record.end.load(Ordering::Relaxed);
            let sites = record.sites.load(Ordering::Relaxed);
            let count = record.count.load(Ordering::Relaxed);
            fence(Ordering::Acquire);
            let same = version == record.version.load(Ordering::Relaxed) && version % 2 == 0;
            if same && (start..end).contains(&address) {
                return Some((start, sites, count));
            }
            next = record.next.load(Ordering::Acquire);
        }
        None
    }
}

impl Record {
    /// Only whoever has taken the record, or has it alone, calls this.
    fn set(&self, range: Range<usize>, sites: &[FaultSite]) {
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version + 1, Ordering::Relaxed);
        fence(Ordering::Release);
        self.start.store(range.start, Ordering::Relaxed);
        self.end.store(range.end, Ordering::Relaxed);
        self.sites
            .store(sites.as_ptr().cast_mut(), Ordering::Relaxed);
        self.count.store(sites.len(), Ordering::Relaxed);
        self.version.store(version + 2, Ordering::Release);
    }
}

/// Code whose faults are led on as long as this lives. Nobody may run the code afterwards.
pub struct Handled {
    record: &'static Record,
    sites: Vec<FaultSite>,
}

impl fmt::Debug for Handled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handled")
            .field("sites", &self.sites.len())
            .finish_non_exhaustive()
    }
}

impl Handled {
    /// Leads on the faults of published code at these addresses, whose sites count from its start.
    ///
    /// # Errors
    ///
    /// `System` with [`Step::Handle`] where faults cannot be handled ([`AVAILABLE`]).
    ///
    /// # Safety
    ///
    /// The code is what the compiler wrote with these sites, and stays at these addresses as long as this lives. The regions that it was
    /// told are reserved are [`Growing::reserved`](crate::Growing::reserved), with at least as many bytes.
    pub unsafe fn new(code: Range<u64>, mut sites: Vec<FaultSite>) -> Result<Handled, Error> {
        system::install()?;
        sites.sort_unstable_by_key(|site| site.at);
        let record = CODE.add(code.start as usize..code.end as usize, &sites);
        Ok(Handled { record, sites })
    }
}

impl Drop for Handled {
    fn drop(&mut self) {
        CODE.remove(self.record);
    }
}

/// Reserved memory that the handler knows.
pub(crate) struct Known {
    record: &'static Record,
    bytes: u64,
}

impl Known {
    pub fn new(memory: Range<usize>) -> Known {
        Known {
            bytes: memory.len() as u64,
            record: MEMORY.add(memory, &[]),
        }
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        MEMORY.remove(self.record);
    }
}

/// Where control goes on after an instruction at `at` has faulted with an address: nowhere if that is no access of registered code in
/// reserved memory.
#[cfg_attr(
    not(all(target_os = "linux", target_arch = "x86_64")),
    allow(dead_code, reason = "there is no handler")
)]
fn landing(at: usize, address: usize) -> Option<usize> {
    MEMORY.find(address)?;
    let (start, sites, count) = CODE.find(at)?;
    // SAFETY: the sites of code that runs, and it runs just now. They are sorted and do not change.
    let sites = unsafe { std::slice::from_raw_parts(sites, count) };
    let offset = (at - start) as u32;
    let next = sites.partition_point(|site| site.at <= offset);
    let site = sites.get(next.checked_sub(1)?)?;
    let is_its = ((offset - site.at) as usize) < MOST_TEMPLATE_BYTES;
    is_its.then(|| start + site.to as usize)
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod system {
    use super::{Error, Step, landing};
    use libc::{c_int, c_void, sigaction, siginfo_t, ucontext_t};
    use std::sync::OnceLock;

    /// Reasons of a `SIGSEGV` (`asm-generic/siginfo.h`): nothing is mapped there; the access is not permitted.
    const SEGV_MAPERR: c_int = 1;
    const SEGV_ACCERR: c_int = 2;

    /// What was done about faults before. There from before the handler is set.
    static BEFORE: OnceLock<sigaction> = OnceLock::new();

    /// Whether the handler is set; the system's code if that was refused.
    static INSTALLED: OnceLock<Result<(), i32>> = OnceLock::new();

    /// Sets the handler, if it is not set yet.
    pub fn install() -> Result<(), Error> {
        let installed = INSTALLED.get_or_init(|| {
            let refused = || std::io::Error::last_os_error().raw_os_error().unwrap_or(0);
            // SAFETY: the records are plain numbers, for which zeros are values; the handler is one for `SA_SIGINFO`.
            unsafe {
                let mut before: sigaction = std::mem::zeroed();
                if sigaction(libc::SIGSEGV, std::ptr::null(), &mut before) != 0 {
                    return Err(refused());
                }
                BEFORE.get_or_init(|| before);
                let mut ours: sigaction = std::mem::zeroed();
                ours.sa_sigaction = handle as *const () as usize;
                // The stack that it faulted on may be all used: threads of Rust have another one for this.
                ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
                match sigaction(libc::SIGSEGV, &ours, std::ptr::null_mut()) {
                    0 => Ok(()),
                    _ => Err(refused()),
                }
            }
        });
        installed.map_err(|code| Error::System {
            step: Step::Handle,
            code,
        })
    }

    extern "C" fn handle(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
        let pointer = libc::REG_RIP as usize;
        // SAFETY: the system passes both records to a handler with `SA_SIGINFO`.
        unsafe {
            let registers = &mut (*context.cast::<ucontext_t>()).uc_mcontext.gregs;
            let at = registers[pointer] as usize;
            // Signals that are sent have no address.
            let faulted = matches!((*info).si_code, SEGV_MAPERR | SEGV_ACCERR);
            match landing(at, (*info).si_addr() as usize) {
                Some(to) if faulted => registers[pointer] = to as i64,
                _ => pass_on(signal, info, context),
            }
        }
    }

    /// Does what would have been done without this handler.
    ///
    /// # Safety
    ///
    /// These are a handler's arguments.
    unsafe fn pass_on(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
        // SAFETY: what stands there is a handler of the kind that its flags say, or a word that says what to do.
        unsafe {
            match BEFORE.get() {
                Some(before) if before.sa_sigaction > libc::SIG_IGN => {
                    if before.sa_flags & libc::SA_SIGINFO != 0 {
                        let handler: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) =
                            std::mem::transmute(before.sa_sigaction);
                        handler(signal, info, context);
                    } else {
                        let handler: extern "C" fn(c_int) =
                            std::mem::transmute(before.sa_sigaction);
                        handler(signal);
                    }
                }
                _ => {
                    // The instruction faults again, and ends the process; what was sent is sent again, and waits until this returns.
                    let mut default: sigaction = std::mem::zeroed();
                    default.sa_sigaction = libc::SIG_DFL;
                    sigaction(signal, &default, std::ptr::null_mut());
                    if (*info).si_code <= 0 {
                        libc::raise(signal);
                    }
                }
            }
        }
    }
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
mod system {
    use super::{Error, Step};

    pub fn install() -> Result<(), Error> {
        Err(Error::System {
            step: Step::Handle,
            code: 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{CODE, Known, MEMORY, landing};
    use patchjit::compile::FaultSite;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn faults_of_known_sites_in_known_memory_are_led_on() {
        let sites = [FaultSite { at: 16, to: 200 }, FaultSite { at: 20, to: 300 }];
        let code = CODE.add(0x1000..0x2000, &sites);
        let known = Known::new(0x9000..0xa000);
        for (at, address, to) in [
            (0x1010, 0x9000, Some(0x1000 + 200)),
            (0x1013, 0x9fff, Some(0x1000 + 200)),
            (0x1014, 0x9000, Some(0x1000 + 300)),
            (0x1014 + 79, 0x9000, Some(0x1000 + 300)),
            // No access, in front of the first or far behind the last; other code; other memory.
            (0x1014 + 80, 0x9000, None),
            (0x100f, 0x9000, None),
            (0x2010, 0x9000, None),
            (0x1010, 0xa000, None),
            (0x1010, 0, None),
        ] {
            assert_eq!(landing(at, address), to, "{at:#x} {address:#x}");
        }
        drop(known);
        assert_eq!(landing(0x1010, 0x9000), None);
        CODE.remove(code);
    }

    #[test]
    fn what_is_there_is_found_while_others_come_and_go() {
        let stays = MEMORY.add(0x10_0000..0x11_0000, &[]);
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let done = &done;
            let threads: Vec<_> = (1..3usize)
                .map(|thread| {
                    scope.spawn(move || {
                        for round in 0..20_000 {
                            let start = (thread << 30) + (round << 12);
                            let record = MEMORY.add(start..start + 0x1000, &[]);
                            assert!(MEMORY.find(start + 5).is_some());
                            MEMORY.remove(record);
                        }
                    })
                })
                .collect();
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    assert!(MEMORY.find(0x10_ffff).is_some());
                    assert!(MEMORY.find(0x11_0000).is_none());
                }
            });
            for thread in threads {
                thread.join().expect("no panic");
            }
            done.store(true, Ordering::Relaxed);
        });
        MEMORY.remove(stays);
    }
}
