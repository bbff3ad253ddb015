//! Which ranges of an arena are taken: numbers only, no memory.
//!
//! Best fit over the free ranges, which never touch each other; taking and giving back are
//! logarithmic in their number.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

#[derive(Debug)]
pub(crate) struct Space {
    capacity: usize,
    unit: usize,
    taken: usize,
    /// The end of each free range by its start.
    ends: BTreeMap<usize, usize>,
    /// The free ranges as length and start.
    lengths: BTreeSet<(usize, usize)>,
}

impl Space {
    /// All free. The capacity is a multiple of the unit, in which ranges are handed out.
    pub fn new(capacity: usize, unit: usize) -> Space {
        let mut space = Space {
            capacity,
            unit,
            taken: 0,
            ends: BTreeMap::new(),
            lengths: BTreeSet::new(),
        };
        space.insert(0..capacity);
        space
    }

    pub fn capacity(&self) -> usize {
        self.capacity
    }

    pub fn taken(&self) -> usize {
        self.taken
    }

    /// The start of the shortest free range that is long enough, the lowest among equals; else the length
    /// of the longest one.
    pub fn take(&mut self, length: usize) -> Result<Range<usize>, usize> {
        let found = length
            .max(1)
            .checked_next_multiple_of(self.unit)
            .and_then(|length| {
                let &(free, start) = self.lengths.range((length, 0)..).next()?;
                Some((start..start + free, start..start + length))
            });
        let Some((free, range)) = found else {
            return Err(self.lengths.last().map_or(0, |&(length, _)| length));
        };
        self.remove(&free);
        self.insert(range.end..free.end);
        self.taken += range.len();
        Ok(range)
    }

    /// Gives a taken range, or the end of one, back.
    pub fn give(&mut self, range: Range<usize>) {
        self.taken -= range.len();
        let mut range = range;
        if let Some((&start, &end)) = self.ends.range(..range.start).next_back()
            && end == range.start
        {
            self.remove(&(start..end));
            range.start = start;
        }
        if let Some(&end) = self.ends.get(&range.end) {
            self.remove(&(range.end..end));
            range.end = end;
        }
        self.insert(range);
    }

    fn insert(&mut self, range: Range<usize>) {
        if !range.is_empty() {
            self.ends.insert(range.start, range.end);
            self.lengths.insert((range.len(), range.start));
        }
    }

    fn remove(&mut self, range: &Range<usize>) {
        self.ends.remove(&range.start);
        self.lengths.remove(&(range.len(), range.start));
    }
}

#[cfg(test)]
mod tests {
    use super::Space;
    use std::ops::Range;

    #[test]
    fn ranges_join_again() {
        let mut space = Space::new(64, 16);
        let a = space.take(1).unwrap();
        let b = space.take(17).unwrap();
        let c = space.take(16).unwrap();
        assert_eq!((a.clone(), b.clone(), c.clone()), (0..16, 16..48, 48..64));
        assert_eq!(space.take(1), Err(0));
        space.give(a);
        space.give(c);
        assert_eq!(space.take(17), Err(16));
        space.give(b);
        assert_eq!(space.taken(), 0);
        assert_eq!(space.take(64), Ok(0..64));
    }

    #[test]
    fn the_best_fit_is_taken() {
        let mut space = Space::new(256, 16);
        let ranges: Vec<_> = (0..6).map(|_| space.take(32).unwrap()).collect();
        space.give(ranges[0].clone());
        space.give(ranges[1].clone());
        space.give(ranges[4].clone());
        assert_eq!(space.take(30), Ok(128..160));
        assert_eq!(space.take(48), Ok(0..48));
    }

    #[test]
    fn absurd_lengths_are_refused() {
        let mut space = Space::new(64, 16);
        assert_eq!(space.take(usize::MAX), Err(64));
        assert_eq!(space.take(65), Err(64));
        assert_eq!(space.take(0), Ok(0..16));
    }

    /// A long random run against a map of single units.
    #[test]
    fn agrees_with_a_map_of_units() {
        let mut space = Space::new(1024, 16);
        let mut used = [false; 64];
        let mut live: Vec<Range<usize>> = Vec::new();
        let mut seed = 1u64;
        let mut random = |below: usize| {
            seed = seed
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (seed >> 33) as usize % below
        };
        let longest = |used: &[bool]| {
            let free = used.split(|&taken| taken);
            free.map(<[bool]>::len).max().unwrap_or(0)
        };
        for _ in 0..20_000 {
            if random(2) == 0 {
                let units = 1 + random(12);
                match space.take(units * 16) {
                    Ok(range) => {
                        for taken in &mut used[range.start / 16..range.end / 16] {
                            assert!(!std::mem::replace(taken, true));
                        }
                        live.push(range);
                    }
                    Err(largest) => {
                        assert_eq!(largest, longest(&used) * 16);
                        assert!(largest < units * 16);
                    }
                }
            } else if !live.is_empty() {
                let range = live.swap_remove(random(live.len()));
                used[range.start / 16..range.end / 16].fill(false);
                space.give(range);
            }
            assert_eq!(
                space.taken(),
                used.iter().filter(|&&taken| taken).count() * 16
            );
        }
    }
}
