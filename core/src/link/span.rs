//! The memory that code is in, to be changed where exits jump.
//!
//! Takes a writable view of all the code that one table of links is for; promises that a change of a jump is one
//! store of eight aligned bytes. Costs a load and a store.

use crate::code::CodeBuffer;
use crate::error::{Error, Place, Rule};
use core::ops::Range;
#[cfg(target_has_atomic = "64")]
use core::sync::atomic::{AtomicU64, Ordering};

/// A writable view of memory with code, all of it that is linked to one another.
///
/// *While it runs* ([`CodeSpan::running`]), a jump is changed by one atomic store: a thread that runs it at that
/// moment goes the old way or the new one. On x86-64 nothing else is needed; elsewhere the instruction caches are brought up
/// to date with what [`CodeSpan::changed`] says, so that every thread goes the new way in the end. *While it does not*
/// ([`CodeSpan::stopped`]), the embedder promises that nobody runs any code in it until it is executable again, and
/// that instruction caches are brought up to date then.
///
/// With `patchjit-memory`, `Arena::relink` gives the one that its pages allow.
#[derive(Debug)]
pub struct CodeSpan<'a> {
    execute_at: u64,
    view: View<'a>,
    changed: Range<u64>,
}

#[derive(Debug)]
enum View<'a> {
    #[cfg(target_has_atomic = "64")]
    Running(&'a [AtomicU64]),
    Stopped(&'a mut [u8]),
}

impl<'a> CodeSpan<'a> {
    /// Memory that runs at this address, a multiple of 8, while it is changed.
    #[cfg(target_has_atomic = "64")]
    pub fn running(execute_at: u64, words: &'a [AtomicU64]) -> CodeSpan<'a> {
        CodeSpan {
            execute_at,
            view: View::Running(words),
            changed: 0..0,
        }
    }

    /// Memory that nobody runs now.
    pub fn stopped(code: CodeBuffer<'a>) -> CodeSpan<'a> {
        CodeSpan {
            execute_at: code.execute_at,
            view: View::Stopped(code.write),
            changed: 0..0,
        }
    }

    /// The address at which its first byte runs.
    pub fn execute_at(&self) -> u64 {
        self.execute_at
    }

    /// How many bytes it has.
    pub fn length(&self) -> u64 {
        match &self.view {
            #[cfg(target_has_atomic = "64")]
            View::Running(words) => 8 * words.len() as u64,
            View::Stopped(bytes) => bytes.len() as u64,
        }
    }

    /// What has been changed through it: from the first byte to behind the last, as offsets from the span's start.
    pub fn changed(&self) -> Range<u64> {
        self.changed.clone()
    }

    /// Writes four bytes that lie within eight aligned ones, at an offset from the span's start.
    pub(crate) fn patch(&mut self, at: u64, word: u32) -> Result<(), Error> {
        let wrong = Error::Invalid {
            rule: Rule::LinkRange,
            place: Place::Program,
        };
        let index = usize::try_from(at / 8).map_err(|_| wrong)?;
        let within = (at % 8) as usize;
        if within > 4 || !self.execute_at.is_multiple_of(8) {
            return Err(wrong);
        }
        let changed = |old: u64| {
            let mut bytes = old.to_le_bytes();
            bytes[within..within + 4].copy_from_slice(&word.to_le_bytes());
            u64::from_le_bytes(bytes)
        };
        match &mut self.view {
            #[cfg(target_has_atomic = "64")]
            View::Running(words) => {
                // Bytes in memory are what counts, whatever the order of bytes in a word is here.
                let word = words.get(index).ok_or(wrong)?;
                let old = u64::from_le(word.load(Ordering::Relaxed));
                word.store(changed(old).to_le(), Ordering::Release);
            }
            View::Stopped(bytes) => {
                let bytes = bytes.get_mut(8 * index..).ok_or(wrong)?;
                let bytes = bytes.first_chunk_mut::<8>().ok_or(wrong)?;
                *bytes = changed(u64::from_le_bytes(*bytes)).to_le_bytes();
            }
        }
        let words = at & !7..(at & !7) + 8;
        if self.changed.is_empty() {
            self.changed = words;
        } else {
            self.changed.start = self.changed.start.min(words.start);
            self.changed.end = self.changed.end.max(words.end);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::CodeSpan;
    use crate::code::CodeBuffer;
    use core::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn four_bytes_change_and_no_others() {
        let words = [AtomicU64::new(u64::MAX), AtomicU64::new(u64::MAX)];
        let mut span = CodeSpan::running(64, &words);
        assert_eq!((span.execute_at(), span.length()), (64, 16));
        assert_eq!(span.changed(), 0..0);
        assert_eq!(span.patch(9, 0x0403_0201), Ok(()));
        assert_eq!(span.changed(), 8..16);
        assert_eq!(words[0].load(Ordering::Relaxed), u64::MAX);
        assert_eq!(words[1].load(Ordering::Relaxed), 0xffff_ff04_0302_01ff);
        let mut bytes = [0xff; 16];
        let mut span = CodeSpan::stopped(CodeBuffer {
            write: &mut bytes,
            execute_at: 64,
        });
        assert_eq!(span.patch(12, 0x0403_0201), Ok(()));
        assert_eq!(span.patch(0, 0xffff_ffff), Ok(()));
        assert_eq!(span.changed(), 0..16);
        assert_eq!(bytes[11..], [0xff, 1, 2, 3, 4]);
    }

    #[test]
    fn what_straddles_or_lies_outside_is_refused() {
        let words = [AtomicU64::new(0), AtomicU64::new(0)];
        let mut span = CodeSpan::running(0, &words);
        for at in [5, 7, 13, 16, 20, u64::MAX - 3] {
            assert!(span.patch(at, 1).is_err(), "{at}");
        }
        let mut span = CodeSpan::running(4, &words);
        assert!(span.patch(0, 1).is_err());
        assert!(words.iter().all(|word| word.load(Ordering::Relaxed) == 0));
    }
}
