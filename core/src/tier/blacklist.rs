//! What could not be compiled, and why: so that nobody tries for ever.
//!
//! A key (a loop, an exit) whose attempts failed as often as the limit says is blacklisted. The table is bounded: a key has
//! [`WAYS`] entries that it may stand in, and where all are taken by others the one with the fewest failures makes
//! room. So a blacklisted key may be forgotten, and is tried again; a key that did not fail is never reported.
//!
//! Promises: the same calls give the same answers. Costs: [`WAYS`] comparisons for each call, 16 bytes for each entry.

use super::GiveUp;
use super::hotness::spread;
use core::ops::Range;

/// How many entries a key may stand in.
pub const WAYS: usize = 4;

/// One entry. The default is an empty one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    key: u64,
    /// 0 in an empty entry.
    failures: u16,
    reason: Option<GiveUp>,
}

/// Keys and their failures.
#[derive(Debug)]
pub struct Blacklist<'a> {
    entries: &'a mut [Entry],
    limit: u16,
}

impl<'a> Blacklist<'a> {
    /// A list in these entries, which go on from where they are; a key is on it after `limit` failures, at least one. Without
    /// entries it remembers nothing.
    pub fn new(entries: &'a mut [Entry], limit: u16) -> Blacklist<'a> {
        Blacklist {
            entries,
            limit: limit.max(1),
        }
    }

    /// Notes that an attempt failed; true if the key is blacklisted now.
    pub fn failed(&mut self, key: u64, reason: GiveUp) -> bool {
        let limit = self.limit;
        let ways = self.ways(key);
        let mut place = 0;
        let mut fewest = u16::MAX;
        for (index, entry) in ways.iter().enumerate() {
            if entry.failures > 0 && entry.key == key {
                place = index;
                break;
            }
            if entry.failures < fewest {
                fewest = entry.failures;
                place = index;
            }
        }
        let Some(entry) = ways.get_mut(place) else {
            return false;
        };
        let before = if entry.key == key { entry.failures } else { 0 };
        *entry = Entry {
            key,
            failures: before.saturating_add(1),
            reason: Some(reason),
        };
        entry.failures >= limit
    }

    /// Whether attempts with this key should not be made any more.
    pub fn contains(&self, key: u64) -> bool {
        self.find(key)
            .is_some_and(|entry| entry.failures >= self.limit)
    }

    /// How often a key failed and why it did so last, if that is remembered.
    pub fn failures(&self, key: u64) -> Option<(u16, GiveUp)> {
        let entry = self.find(key)?;
        Some((entry.failures, entry.reason?))
    }

    /// Forgets a key: its code was changed, or an attempt succeeded.
    pub fn forgive(&mut self, key: u64) {
        for entry in self.ways(key) {
            if entry.key == key {
                *entry = Entry::default();
            }
        }
    }

    fn find(&self, key: u64) -> Option<&Entry> {
        let ways = self.entries.get(span(key, self.entries.len()))?;
        ways.iter()
            .find(|entry| entry.failures > 0 && entry.key == key)
    }

    /// The entries that a key may stand in.
    fn ways(&mut self, key: u64) -> &mut [Entry] {
        let span = span(key, self.entries.len());
        self.entries.get_mut(span).unwrap_or(&mut [])
    }
}

/// The entries that a key may stand in: all of a table that has no more than [`WAYS`].
fn span(key: u64, length: usize) -> Range<usize> {
    let start = spread(key, (length + 1).saturating_sub(WAYS));
    start..length.min(start + WAYS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_blacklisted_after_as_many_failures_as_the_limit() {
        let mut entries = [Entry::default(); 16];
        let mut list = Blacklist::new(&mut entries, 3);
        assert!(!list.failed(7, GiveUp::TooLong));
        assert!(!list.failed(7, GiveUp::TooLong));
        assert!(!list.contains(7));
        assert!(list.failed(7, GiveUp::InnerLoop));
        assert!(list.contains(7) && !list.contains(8));
        assert_eq!(list.failures(7), Some((3, GiveUp::InnerLoop)));
        list.forgive(7);
        assert!(!list.contains(7));
        assert_eq!(list.failures(7), None);
    }

    #[test]
    fn a_full_table_forgets_those_that_failed_least() {
        let mut entries = [Entry::default(); 1];
        let mut list = Blacklist::new(&mut entries, 2);
        assert!(!list.failed(1, GiveUp::TooLong));
        assert!(list.failed(1, GiveUp::TooLong));
        assert!(!list.failed(2, GiveUp::TooLong), "counted from the start");
        assert!(!list.contains(1) && !list.contains(2));
    }

    #[test]
    fn a_limit_of_zero_is_one_and_no_entries_remember_nothing() {
        let mut entries = [Entry::default(); 1];
        assert!(Blacklist::new(&mut entries, 0).failed(0, GiveUp::Host(3)));
        let mut list = Blacklist::new(&mut [], 1);
        assert!(!list.failed(5, GiveUp::TooLong));
        assert!(!list.contains(5));
        list.forgive(5);
    }

    #[test]
    fn many_keys_are_told_apart() {
        let mut entries = [Entry::default(); 256];
        let mut list = Blacklist::new(&mut entries, 1);
        for key in 0..64 {
            list.failed(key * 16, GiveUp::TooLong);
        }
        let known = (0..64).filter(|key| list.contains(key * 16)).count();
        assert!(known > 56, "{known}");
        assert!((0..64).all(|key| !list.contains(key * 16 + 1)));
    }
}
