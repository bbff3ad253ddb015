//! Parallel copies between registers, put in an order in which they can be made one after the other.
//!
//! Takes working storage of one word for each register, three times, zeroed between uses by itself; a
//! set of copies costs time linear in its length. Copies that form a cycle go through a scratch register.

use super::internal;
use crate::error::Error;

/// A set of copies that happen at once. No two have the same target.
#[derive(Default)]
pub(super) struct Moves<'w> {
    /// How many copies read a register.
    readers: &'w mut [u32],
    /// For each target: the register that it is copied from, plus one.
    sources: &'w mut [u32],
    /// The targets, in the order in which they were added.
    targets: &'w mut [u32],
    count: usize,
}

impl<'w> Moves<'w> {
    /// An empty set.
    pub(super) fn new(
        readers: &'w mut [u32],
        sources: &'w mut [u32],
        targets: &'w mut [u32],
    ) -> Moves<'w> {
        readers.fill(0);
        sources.fill(0);
        Moves {
            readers,
            sources,
            targets,
            count: 0,
        }
    }

    /// Adds a copy.
    pub(super) fn add(&mut self, to: u32, from: u32) -> Result<(), Error> {
        if to == from {
            return Ok(());
        }
        let source = self.sources.get_mut(to as usize).ok_or(internal!())?;
        let readers = self.readers.get_mut(from as usize).ok_or(internal!())?;
        let target = self.targets.get_mut(self.count).ok_or(internal!())?;
        if *source != 0 {
            return Err(internal!());
        }
        *source = from + 1;
        *readers += 1;
        *target = to;
        self.count += 1;
        Ok(())
    }

    /// Whether a copy reads this register.
    pub(super) fn is_read(&self, register: u32) -> bool {
        self.readers
            .get(register as usize)
            .is_some_and(|&readers| readers != 0)
    }

    fn source(&self, register: u32) -> Option<u32> {
        self.sources
            .get(register as usize)
            .and_then(|source| source.checked_sub(1))
    }

    /// Takes the copy into this register off the set. Gives where it came from, and whether nobody reads that any more.
    fn take(&mut self, to: u32) -> Option<(u32, bool)> {
        let from = self.source(to)?;
        *self.sources.get_mut(to as usize)? = 0;
        let readers = self.readers.get_mut(from as usize)?;
        *readers = readers.saturating_sub(1);
        Some((from, *readers == 0))
    }

    /// Gives the copies in an order that works, and empties the set.
    pub(super) fn schedule(
        &mut self,
        scratch: u32,
        mut emit: impl FnMut(u32, u32) -> Result<(), Error>,
    ) -> Result<(), Error> {
        // First whatever nobody reads any more, and what becomes so by that.
        for index in 0..self.count {
            let mut to = self.targets.get(index).copied().ok_or(internal!())?;
            while !self.is_read(to) {
                let Some((from, is_free)) = self.take(to) else {
                    break;
                };
                emit(to, from)?;
                if !is_free {
                    break;
                }
                to = from;
            }
        }
        // What is left are cycles, each register read once.
        for index in 0..self.count {
            let first = self.targets.get(index).copied().ok_or(internal!())?;
            if self.source(first).is_none() {
                continue;
            }
            emit(scratch, first)?;
            let mut to = first;
            while let Some((from, _)) = self.take(to) {
                emit(to, if from == first { scratch } else { from })?;
                to = from;
            }
        }
        self.count = 0;
        Ok(())
    }
}
