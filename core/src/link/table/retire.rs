//! The end of code: invalidation through what it depends on, retirement, reclamation.
//!
//! Takes names of code or of a dependency; promises that all that was made for the code is retired with it, that retired code has no
//! links from or to it, and that it is given back only when every thread has been quiescent since. Costs: for code that
//! is retired, its links, its dependencies, and what was compiled for its exits; constant time to reclaim one.

use super::super::epochs::Epochs;
use super::super::span::CodeSpan;
use super::records::{FIXED, Phase, UseRecord};
use super::{CodeId, CodeRecord, DependencyId, Links, Reclaimed};
use crate::error::Error;
use crate::ir::NONE;

/// The end of code.
impl Links<'_> {
    /// Retires all code that depends on this, all that was made for it, and unlinks it. Gives how many codes that
    /// were; [`Links::state`] says which.
    ///
    /// The embedder enters none of it any more. Threads that run it leave at their next exit, and notice at their next
    /// `poll` if [`interrupt`](crate::link::interrupt) is called for their contexts behind this.
    ///
    /// # Errors
    ///
    /// `Invalid` if there is no such dependency ([`Rule::DependencyRange`]), or if the span is not the table's memory
    /// ([`Rule::LinkRange`]). Nothing is retired then.
    ///
    /// [`Rule::DependencyRange`]: crate::error::Rule::DependencyRange
    /// [`Rule::LinkRange`]: crate::error::Rule::LinkRange
    pub fn invalidate(
        &mut self,
        span: &mut CodeSpan,
        epochs: &Epochs,
        dependency: DependencyId,
    ) -> Result<usize, Error> {
        self.check_span(span)?;
        let index = self.dependency(dependency)?;
        let mut count = 0;
        loop {
            let first = self.dependencies[index].first_use;
            let Some(one) = self.uses.get(first as usize) else {
                return Ok(count);
            };
            count += self.retire_all(span, epochs, one.code)?;
        }
    }

    /// Retires one code and all that was made for it, and unlinks it. Gives how many codes that were.
    ///
    /// # Errors
    ///
    /// `Invalid` if it is not valid ([`Rule::LinkCode`]), or if the span is not the table's memory
    /// ([`Rule::LinkRange`]).
    ///
    /// [`Rule::LinkCode`]: crate::error::Rule::LinkCode
    /// [`Rule::LinkRange`]: crate::error::Rule::LinkRange
    pub fn retire(
        &mut self,
        span: &mut CodeSpan,
        epochs: &Epochs,
        code: CodeId,
    ) -> Result<usize, Error> {
        self.check_span(span)?;
        let index = self.code(code)?;
        self.retire_all(span, epochs, index as u32)
    }

    fn retire_all(
        &mut self,
        span: &mut CodeSpan,
        epochs: &Epochs,
        first: u32,
    ) -> Result<usize, Error> {
        let (mut doomed, mut last, mut count) = (first, NONE, 0);
        self.doom(first, &mut last);
        while doomed != NONE {
            let index = doomed as usize;
            while let Some(&link) = self.links.get(self.codes[index].first_in as usize) {
                if link.jump == FIXED {
                    self.doom(link.from, &mut last);
                }
                self.cut(span, self.codes[index].first_in)?;
            }
            while self.codes[index].first_out != NONE {
                self.cut(span, self.codes[index].first_out)?;
            }
            while self.codes[index].first_child != NONE {
                let child = self.codes[index].first_child;
                self.doom(child, &mut last);
                self.leave_siblings(child as usize);
            }
            self.leave_siblings(index);
            self.drop_uses(index);
            count += 1;
            doomed = self.codes[index].next;
        }
        // Everything is unlinked: who is quiescent from now on cannot come back.
        let epoch = epochs.end();
        let mut index = first;
        while index != NONE {
            let record = &mut self.codes[index as usize];
            record.phase = Phase::Retired;
            record.epoch = epoch;
            index = record.next;
        }
        match self.last_retired {
            NONE => self.first_retired = first,
            before => self.codes[before as usize].next = first,
        }
        self.last_retired = last;
        Ok(count)
    }

    /// Puts code at the end of the list of what is being retired, behind `last`, unless it is there.
    fn doom(&mut self, code: u32, last: &mut u32) {
        let record = &mut self.codes[code as usize];
        if record.phase == Phase::Valid {
            record.phase = Phase::Doomed;
            record.next = NONE;
            if let Some(before) = self.codes.get_mut(*last as usize) {
                before.next = code;
            }
            *last = code;
        }
    }

    fn leave_siblings(&mut self, index: usize) {
        let record = self.codes[index];
        if record.origin == NONE {
            return;
        }
        match record.previous_sibling {
            NONE => self.codes[record.origin as usize].first_child = record.next_sibling,
            previous => self.codes[previous as usize].next_sibling = record.next_sibling,
        }
        if record.next_sibling != NONE {
            self.codes[record.next_sibling as usize].previous_sibling = record.previous_sibling;
        }
        let record = &mut self.codes[index];
        record.origin = NONE;
        record.next_sibling = NONE;
        record.previous_sibling = NONE;
    }

    fn drop_uses(&mut self, index: usize) {
        let mut next = self.codes[index].first_use;
        self.codes[index].first_use = NONE;
        while next != NONE {
            let one = self.uses[next as usize];
            if one.dependency != NONE {
                match one.previous_of_dependency {
                    NONE => {
                        self.dependencies[one.dependency as usize].first_use =
                            one.next_of_dependency;
                    }
                    previous => {
                        self.uses[previous as usize].next_of_dependency = one.next_of_dependency;
                    }
                }
                if one.next_of_dependency != NONE {
                    self.uses[one.next_of_dependency as usize].previous_of_dependency =
                        one.previous_of_dependency;
                }
            }
            self.uses[next as usize] = UseRecord {
                next_of_code: self.free_use,
                ..UseRecord::EMPTY
            };
            self.free_use = next;
            self.free_uses += 1;
            next = one.next_of_code;
        }
    }

    /// The code that was retired first, if no thread can run it any more: its memory may be freed. To be asked until
    /// there is none.
    pub fn reclaim(&mut self, epochs: &Epochs) -> Option<Reclaimed> {
        let index = self.first_retired;
        let record = self.codes.get_mut(index as usize)?;
        if !epochs.is_over(record.epoch) {
            return None;
        }
        self.first_retired = record.next;
        if self.first_retired == NONE {
            self.last_retired = NONE;
        }
        let reclaimed = Reclaimed {
            code: CodeId {
                index,
                generation: record.generation,
            },
            address: record.address,
            token: record.token,
        };
        *record = CodeRecord {
            generation: record.generation,
            next: self.free_code,
            ..CodeRecord::EMPTY
        };
        self.free_code = index;
        Some(reclaimed)
    }
}
