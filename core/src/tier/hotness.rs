//! Hotness: counters that say that something has happened often enough to do something about it, then back off.
//!
//! A [`Countdown`] is 32 bits and may stand wherever the host has room: in an inline cache, in a loop's
//! record. Where there is no room, [`Counters`] is a table of them that is looked up by key.
//!
//! ```text
//!   visits     first          2 * first                  4 * first            ...
//!   |-----------------*-----------------------------*-----------------------------------*---
//!                     due: try                      due again, if not reset              after `attempts`: never
//! ```
//!
//! Takes: the host's visits. Promises: the same visits give the same answers; the n-th time that a countdown is due comes
//! `first << (n - 1)` visits after the time before. Costs: a subtraction and a comparison for a visit; a lookup adds a multiplication.
//! Threads: these are plain values; threads that share them bring a lock, or count for themselves.

/// How soon something is worth trying, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Visits before the first attempt: 1 to [`Schedule::MOST_VISITS`]; what lies outside is taken for the nearer end.
    pub first: u32,
    /// Attempts before it is given up: 0 (never try) to [`Schedule::MOST_ATTEMPTS`]; what lies above is taken for that.
    pub attempts: u8,
}

impl Schedule {
    /// The longest that a countdown waits, in visits.
    pub const MOST_VISITS: u32 = (1 << 27) - 1;

    /// The most attempts.
    pub const MOST_ATTEMPTS: u8 = 30;

    /// The visits that lead to an attempt, after `made` of them.
    const fn visits(&self, made: u32) -> u32 {
        let first = if self.first == 0 { 1 } else { self.first };
        let visits = (first as u64) << made;
        if visits > Schedule::MOST_VISITS as u64 {
            Schedule::MOST_VISITS
        } else {
            visits as u32
        }
    }

    const fn most(&self) -> u32 {
        if self.attempts > Schedule::MOST_ATTEMPTS {
            Schedule::MOST_ATTEMPTS as u32
        } else {
            self.attempts as u32
        }
    }
}

/// One counter. A new one, and one whose bits are all zero, has seen nothing.
///
/// Bits 0 to 4: attempts made; bits 5 to 31: visits left until the next one, 0 in a counter that has not begun or is spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Countdown(u32);

const ONE_VISIT: u32 = 1 << 5;
const ATTEMPTS: u32 = ONE_VISIT - 1;
const SPENT: u32 = ATTEMPTS;

impl Countdown {
    /// A counter that has seen nothing.
    pub const fn new() -> Countdown {
        Countdown(0)
    }

    /// Counts a visit; true if an attempt is due now. The next one is further off.
    #[inline]
    pub fn visit(&mut self, schedule: &Schedule) -> bool {
        if self.0 >= 2 * ONE_VISIT {
            self.0 -= ONE_VISIT;
            return false;
        }
        self.turn(schedule)
    }

    /// A visit that begins or ends a countdown.
    #[cold]
    fn turn(&mut self, schedule: &Schedule) -> bool {
        let made = self.0 & ATTEMPTS;
        if made >= schedule.most() {
            self.0 = SPENT;
            return false;
        }
        if self.0 == 0 {
            let visits = schedule.visits(0);
            if visits > 1 {
                self.0 = (visits - 1) * ONE_VISIT;
                return false;
            }
        }
        let made = made + 1;
        self.0 = if made >= schedule.most() {
            SPENT
        } else {
            (schedule.visits(made) * ONE_VISIT) | made
        };
        true
    }

    /// Begins again, as a new one.
    pub fn reset(&mut self) {
        self.0 = 0;
    }

    /// No attempt will ever be due again, unless it is reset.
    pub fn stop(&mut self) {
        self.0 = SPENT;
    }

    /// Whether no attempt will ever be due again.
    pub const fn is_spent(self) -> bool {
        self.0 == SPENT
    }
}

/// A table of counters for keys of 64 bits: addresses of loops, of functions.
///
/// It is bounded and keeps no keys. Keys that fall on the same entry share it: together they are due sooner than
/// each would be by itself, and they back off together. So a collision costs an attempt that is made early or late,
/// and never a wrong answer. With `n` entries, two keys collide with a probability of about `1 / n`.
#[derive(Debug)]
pub struct Counters<'a> {
    entries: &'a mut [Countdown],
    schedule: Schedule,
}

impl<'a> Counters<'a> {
    /// A table in these entries, which are reset. Without any, nothing is ever due.
    pub fn new(entries: &'a mut [Countdown], schedule: Schedule) -> Counters<'a> {
        entries.fill(Countdown::new());
        Counters { entries, schedule }
    }

    /// Counts a visit of a key; true if an attempt is due now.
    #[inline]
    pub fn visit(&mut self, key: u64) -> bool {
        let schedule = self.schedule;
        self.entry(key).is_some_and(|entry| entry.visit(&schedule))
    }

    /// The counter that a key falls on.
    #[inline]
    pub fn entry(&mut self, key: u64) -> Option<&mut Countdown> {
        let index = spread(key, self.entries.len());
        self.entries.get_mut(index)
    }

    /// Resets every entry: what a host may do when much of its code is new, or at intervals so that only loops that are hot
    /// now are taken for hot.
    pub fn reset(&mut self) {
        self.entries.fill(Countdown::new());
    }
}

/// An index below `length` for a key, 0 if the length is 0: Fibonacci hashing, scaled without a division.
pub(super) fn spread(key: u64, length: usize) -> usize {
    let hash = key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    ((hash * (length as u64 & 0xffff_ffff)) >> 32) as usize
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    /// The visits, counted from 1, at which an attempt is due.
    fn due(schedule: Schedule, visits: u32) -> Vec<u32> {
        let mut countdown = Countdown::new();
        (1..=visits)
            .filter(|_| countdown.visit(&schedule))
            .collect()
    }

    #[test]
    fn attempts_come_ever_more_rarely_and_end() {
        let schedule = |first, attempts| Schedule { first, attempts };
        assert_eq!(due(schedule(10, 3), 1000), [10, 30, 70]);
        assert_eq!(due(schedule(1, 4), 100), [1, 3, 7, 15]);
        assert_eq!(due(schedule(0, 2), 100), [1, 3]);
        assert_eq!(due(schedule(5, 0), 100), []);
        assert_eq!(due(schedule(2, 255), 1 << 16).len(), 15);
    }

    #[test]
    fn the_longest_wait_is_bounded() {
        let schedule = Schedule {
            first: u32::MAX,
            attempts: 30,
        };
        assert_eq!(schedule.visits(0), Schedule::MOST_VISITS);
        assert_eq!(schedule.visits(30), Schedule::MOST_VISITS);
        let mut countdown = Countdown((Schedule::MOST_VISITS * ONE_VISIT) | 3);
        assert!(!countdown.visit(&schedule));
    }

    #[test]
    fn a_spent_counter_begins_again_when_reset() {
        let schedule = Schedule {
            first: 2,
            attempts: 1,
        };
        let mut countdown = Countdown::new();
        assert!(!countdown.visit(&schedule));
        assert!(countdown.visit(&schedule));
        assert!(countdown.is_spent());
        assert!(!(0..100).any(|_| countdown.visit(&schedule)));
        countdown.reset();
        assert!(!countdown.visit(&schedule) && countdown.visit(&schedule));
        countdown.reset();
        countdown.stop();
        assert!(!(0..100).any(|_| countdown.visit(&schedule)));
    }

    #[test]
    fn keys_are_counted_apart_until_they_collide() {
        let schedule = Schedule {
            first: 3,
            attempts: 2,
        };
        let mut entries = [Countdown::new(); 64];
        let mut counters = Counters::new(&mut entries, schedule);
        assert!(!counters.visit(1) && !counters.visit(1));
        assert!(!counters.visit(2));
        assert!(counters.visit(1));
        // In a table of one entry every key is the same.
        let mut entries = [Countdown::new(); 1];
        let mut counters = Counters::new(&mut entries, schedule);
        assert!(!counters.visit(1) && !counters.visit(2) && counters.visit(3));
        counters.reset();
        assert!(!counters.visit(1));
        let mut counters = Counters::new(&mut [], schedule);
        assert!(!(0..100).any(|key| counters.visit(key)));
    }

    #[test]
    fn keys_are_spread_over_the_table() {
        for length in [1usize, 7, 64, 1000] {
            let mut hits = std::vec![0u32; length];
            for key in 0..length as u64 * 16 {
                hits[spread(key * 8, length)] += 1;
            }
            assert!(hits.iter().all(|&hits| hits < 64), "{length}");
        }
    }
}
