//! Time that a thread spends on its work, on a machine that may be busy with something else.

use std::time::{Duration, Instant};

/// A moment from which time is taken.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    processor: Option<Duration>,
    wall: Instant,
}

impl Clock {
    /// Now.
    pub fn start() -> Clock {
        let processor = processor_time();
        let wall = Instant::now();
        Clock { processor, wall }
    }

    /// The time since: what the wall clock says, or this thread's processor time where that is less because
    /// somebody else ran in between.
    pub fn elapsed(self) -> Duration {
        let wall = self.wall.elapsed();
        match (self.processor, processor_time()) {
            (Some(start), Some(now)) => wall.min(now.saturating_sub(start)),
            _ => wall,
        }
    }
}

/// The processor time of this thread, where the system tells.
#[cfg(unix)]
fn processor_time() -> Option<Duration> {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the structure is this function's own.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    (failed == 0).then(|| Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

/// The processor time of this thread, where the system tells.
#[cfg(not(unix))]
fn processor_time() -> Option<Duration> {
    None
}
