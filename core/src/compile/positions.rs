//! Which op, and so which source position, a place in the code belongs to.
//!
//! An observer that keeps, in the caller's slice, where the code of each op begins; [`Positions::op_at`] then finds
//! the op of any offset. Costs an entry for each run of code of one op (mostly one an op, more where its exit stands
//! apart); what does not fit is counted, so that the caller can come back with more.

use super::{Event, Observer};
use crate::error::{Error, Storage};
use crate::ir::{NONE, Program};

/// Where the code of an op begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CodePosition {
    /// The offset in the code.
    pub offset: u32,
    /// The op, by its index in the program.
    pub op: u32,
}

/// Collects where the code of each op begins. Pass it to [`super::compile_observed`].
#[derive(Debug)]
pub struct Positions<'a> {
    entries: &'a mut [CodePosition],
    count: usize,
    last: u32,
}

impl<'a> Positions<'a> {
    /// Nothing collected yet; entries go into this slice.
    pub fn new(entries: &'a mut [CodePosition]) -> Positions<'a> {
        Positions {
            entries,
            count: 0,
            last: NONE,
        }
    }

    /// What was collected, in the order of the code.
    ///
    /// # Errors
    ///
    /// `Full` if the slice was too small; it says how many entries there were.
    pub fn entries(&self) -> Result<&[CodePosition], Error> {
        let full = Error::Full {
            storage: Storage::Positions,
            needed: self.count,
        };
        self.entries.get(..self.count).ok_or(full)
    }

    /// The op whose code covers an offset; `None` before the first. Takes time logarithmic in the entries.
    pub fn op_at(&self, offset: u32) -> Option<u32> {
        let known = &self.entries[..self.count.min(self.entries.len())];
        let after = known.partition_point(|entry| entry.offset <= offset);
        known.get(after.checked_sub(1)?).map(|entry| entry.op)
    }

    /// The embedder's source position for an offset, if the op there has one.
    pub fn position_at(&self, program: &Program, offset: u32) -> Option<u32> {
        let op = self.op_at(offset)?;
        let position = *program.positions.get(op as usize)?;
        (position != NONE).then_some(position)
    }
}

impl Observer for Positions<'_> {
    fn event(&mut self, event: Event) {
        match event {
            Event::Function { .. } => self.last = NONE,
            Event::Emit { op, at, .. } if op != self.last => {
                if let Some(entry) = self.entries.get_mut(self.count) {
                    *entry = CodePosition { offset: at, op };
                }
                self.count += 1;
                self.last = op;
            }
            _ => {}
        }
    }
}
