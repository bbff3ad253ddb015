//! When nobody can run retired code any more.
//!
//! Each thread that runs compiled code has a word of the embedder's, in which it says since when it holds no address of
//! code: *quiescent points*. Code that is retired gets the epoch of that moment; once every thread has had a
//! quiescent point since, or runs nothing, its memory may serve something else.
//!
//! ```text
//!   thread 0   enter ──── runs ──── quiescent ──── runs ────────────── leave
//!   thread 1        enter ──────────── runs ─────────── quiescent ──── runs
//!                          retire A                             ^ A may be freed
//! ```
//!
//! Promises: what [`Epochs::is_over`] says stays true. Costs one store for a quiescent point, a load for each thread
//! to ask. Works without locks, on any number of threads.

use core::sync::atomic::{AtomicU32, Ordering};

/// Of a thread that runs no compiled code.
const IDLE: u32 = 0;

/// A moment at which code was retired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch(u32);

impl Epoch {
    /// Of code that was never retired.
    pub(crate) const NONE: Epoch = Epoch(0);
}

/// The epoch, and the last one that each thread saw. `Sync`.
///
/// A thread takes addresses of code (from [`super::Links`] or tables of the embedder's) only between
/// [`Epochs::enter`] and [`Epochs::leave`], and forgets all that it has at each [`Epochs::quiescent`]. That holds for
/// the frames on its stack, too: a host function that is called from compiled code is no quiescent point.
#[derive(Debug)]
pub struct Epochs<'a> {
    /// Always odd, so that it is never [`IDLE`].
    now: AtomicU32,
    threads: &'a [AtomicU32],
}

impl<'a> Epochs<'a> {
    /// With a word for each thread, all of them idle from now on.
    pub fn new(threads: &'a [AtomicU32]) -> Epochs<'a> {
        for thread in threads {
            thread.store(IDLE, Ordering::SeqCst);
        }
        Epochs {
            now: AtomicU32::new(1),
            threads,
        }
    }

    /// The thread with this number is going to run compiled code. False if there is no such thread: then it must not.
    #[must_use = "a thread that is not there must not run compiled code"]
    pub fn enter(&self, thread: usize) -> bool {
        let Some(word) = self.threads.get(thread) else {
            return false;
        };
        word.store(self.now.load(Ordering::SeqCst), Ordering::SeqCst);
        true
    }

    /// The thread holds no address of compiled code at this moment.
    pub fn quiescent(&self, thread: usize) {
        if let Some(word) = self.threads.get(thread)
            && word.load(Ordering::Relaxed) != IDLE
        {
            word.store(self.now.load(Ordering::SeqCst), Ordering::SeqCst);
        }
    }

    /// The thread runs no compiled code until it enters again.
    pub fn leave(&self, thread: usize) {
        if let Some(word) = self.threads.get(thread) {
            word.store(IDLE, Ordering::SeqCst);
        }
    }

    /// Begins another epoch; gives the one that ends, in which something was made unreachable.
    pub fn end(&self) -> Epoch {
        Epoch(self.now.fetch_add(2, Ordering::SeqCst))
    }

    /// Whether no thread can hold an address that was to be had in this epoch.
    pub fn is_over(&self, epoch: Epoch) -> bool {
        self.threads.iter().all(|thread| {
            let seen = thread.load(Ordering::SeqCst);
            // Epochs wrap. A thread that saw this one has not let anything be freed since, so there are fewer later
            // ones than half of the numbers.
            seen == IDLE || seen.wrapping_sub(epoch.0) as i32 > 0
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Epochs;
    use core::sync::atomic::AtomicU32;

    #[test]
    fn an_epoch_is_over_when_every_thread_was_quiescent_or_idle() {
        let words = [const { AtomicU32::new(7) }; 3];
        let epochs = Epochs::new(&words);
        let first = epochs.end();
        assert!(epochs.is_over(first));
        assert!(epochs.enter(0) && epochs.enter(1) && !epochs.enter(3));
        assert!(epochs.is_over(first));
        let second = epochs.end();
        assert!(!epochs.is_over(second));
        epochs.quiescent(0);
        assert!(!epochs.is_over(second));
        assert!(epochs.enter(2));
        epochs.leave(1);
        assert!(epochs.is_over(second));
        // Who is idle does not become active by a quiescent point.
        epochs.quiescent(1);
        let third = epochs.end();
        assert!(!epochs.is_over(third));
        epochs.leave(0);
        epochs.leave(2);
        assert!(epochs.is_over(third));
    }

    #[test]
    fn epochs_wrap() {
        let words = [const { AtomicU32::new(0) }; 1];
        let mut epochs = Epochs::new(&words);
        *epochs.now.get_mut() = u32::MAX - 2;
        assert!(epochs.enter(0));
        let before = epochs.end();
        let last = epochs.end();
        let wrapped = epochs.end();
        assert!(![before, last, wrapped].iter().any(|&e| epochs.is_over(e)));
        epochs.quiescent(0);
        assert!([before, last, wrapped].iter().all(|&e| epochs.is_over(e)));
    }
}
