//! Which code jumps where, and what it depends on: the table behind linking, unlinking, invalidation and reclamation.
//!
//! Takes slices of the caller's for its records; promises that what it refuses changes nothing, that retired code has no
//! links from or to it, and that its memory is given back only when no thread can run it. Costs: constant time for a
//! link, plus the links out of the same code; for code that is retired, its links, its dependencies, and what was compiled
//! for its exits.
//!
//! ```text
//!   dependency ──uses──> code ──links──> code
//!                        code <──made for── side traces and bridges of its exits: retired with it
//!                        code <──jump of a bridge, never cut: the bridge is retired with it
//!
//!   valid ──retire, invalidate──> retired ──every thread quiescent──> reclaimed, its record free
//! ```
//!
//! The table is not `Sync`-shared: threads put it behind a lock. The code that it links may run meanwhile, if the
//! [`CodeSpan`] says so.
//!
//! Here is what code there is, what it was made for and what it depends on; jumps between code are in `table/jumps.rs`, the end of code
//! is in `table/retire.rs`, and the records are in `table/records.rs`.

mod jumps;
mod records;
mod retire;

pub use records::{CodeRecord, DependencyRecord, LinkRecord, LinkStorage, UseRecord};

use super::span::CodeSpan;
use crate::compile::Compiled;
use crate::error::{Error, Place, Rule, Storage};
use crate::ir::NONE;
use records::{FIXED, Phase};

/// Names code in a table. A name is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CodeId {
    index: u32,
    generation: u32,
}

/// Names something that code depends on. A name is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DependencyId {
    index: u32,
    generation: u32,
}

/// What code was compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It stands for itself.
    Root,
    /// It is a side trace for an exit of this code.
    Side(CodeId),
    /// It is a bridge from an exit of one code into another.
    Bridge {
        /// The code whose exit it was made for.
        from: CodeId,
        /// The code that it jumps into.
        into: CodeId,
    },
}

/// What a table knows of some code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It may be entered and linked.
    Valid,
    /// It must not be entered any more; threads may still be running it.
    Retired,
    /// It was reclaimed, or never was.
    Unknown,
}

/// Code whose memory may be used for something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reclaimed {
    /// Its name, which is not valid any more.
    pub code: CodeId,
    /// Where it was.
    pub address: u64,
    /// What the embedder gave with it.
    pub token: u64,
}

/// The table. See the module's page.
#[derive(Debug)]
pub struct Links<'a> {
    codes: &'a mut [CodeRecord],
    links: &'a mut [LinkRecord],
    dependencies: &'a mut [DependencyRecord],
    uses: &'a mut [UseRecord],
    free_code: u32,
    free_link: u32,
    free_dependency: u32,
    free_use: u32,
    /// How many records of uses are free.
    free_uses: usize,
    first_retired: u32,
    last_retired: u32,
    execute_at: u64,
    length: u64,
    /// Where the code ends that was added, from the start of the memory.
    used: u64,
}

#[cold]
fn invalid(rule: Rule, place: Place) -> Error {
    Error::Invalid { rule, place }
}

#[cold]
fn full(storage: Storage, count: usize) -> Error {
    Error::Full {
        storage,
        needed: count + 1,
    }
}

impl<'a> Links<'a> {
    /// An empty table for code in the memory that runs at `execute_at` and is so many bytes long, both multiples of 8.
    /// What the records hold is forgotten.
    ///
    /// # Errors
    ///
    /// `Invalid` ([`Rule::LinkRange`]) if the memory is not aligned, or goes round the end of the address space.
    pub fn new(storage: LinkStorage<'a>, execute_at: u64, length: u64) -> Result<Links<'a>, Error> {
        if !(execute_at | length).is_multiple_of(8) || execute_at.checked_add(length).is_none() {
            return Err(invalid(Rule::LinkRange, Place::Program));
        }
        let LinkStorage {
            codes,
            links,
            dependencies,
            uses,
        } = storage;
        for (next, code) in (1..).zip(codes.iter_mut()) {
            *code = CodeRecord {
                next,
                ..CodeRecord::EMPTY
            };
        }
        for (next, link) in (1..).zip(links.iter_mut()) {
            *link = LinkRecord {
                next_out: next,
                ..LinkRecord::EMPTY
            };
        }
        for (next, dependency) in (1..).zip(dependencies.iter_mut()) {
            *dependency = DependencyRecord {
                next,
                ..DependencyRecord::EMPTY
            };
        }
        for (next, one) in (1..).zip(uses.iter_mut()) {
            *one = UseRecord {
                next_of_code: next,
                ..UseRecord::EMPTY
            };
        }
        let free_uses = uses.len();
        Ok(Links {
            codes,
            links,
            dependencies,
            uses,
            free_code: 0,
            free_link: 0,
            free_dependency: 0,
            free_use: 0,
            free_uses,
            first_retired: NONE,
            last_retired: NONE,
            execute_at,
            length,
            used: 0,
        })
    }

    /// Gives the records back. What they hold is of no use any more.
    pub fn into_storage(self) -> LinkStorage<'a> {
        LinkStorage {
            codes: self.codes,
            links: self.links,
            dependencies: self.dependencies,
            uses: self.uses,
        }
    }

    /// Something that code may depend on: a class's layout, a function that is not redefined.
    ///
    /// # Errors
    ///
    /// `Full`.
    pub fn declare(&mut self) -> Result<DependencyId, Error> {
        let count = self.dependencies.len();
        let index = self.free_dependency;
        let record = self
            .dependencies
            .get_mut(index as usize)
            .ok_or(full(Storage::Dependencies, count))?;
        self.free_dependency = record.next;
        record.is_used = true;
        record.generation = record.generation.wrapping_add(1);
        Ok(DependencyId {
            index,
            generation: record.generation,
        })
    }

    /// A dependency that will not be named again. Code that depends on it stays valid and cannot be invalidated
    /// through it any more.
    ///
    /// # Errors
    ///
    /// `Invalid` ([`Rule::DependencyRange`]).
    pub fn forget(&mut self, dependency: DependencyId) -> Result<(), Error> {
        let index = self.dependency(dependency)?;
        let mut next = self.dependencies[index].first_use;
        while next != NONE {
            let one = &mut self.uses[next as usize];
            next = one.next_of_dependency;
            one.dependency = NONE;
        }
        self.dependencies[index].first_use = NONE;
        self.dependencies[index].is_used = false;
        self.dependencies[index].next = self.free_dependency;
        self.free_dependency = dependency.index;
        Ok(())
    }

    fn dependency(&self, dependency: DependencyId) -> Result<usize, Error> {
        let index = dependency.index as usize;
        let known = self.dependencies.get(index);
        known
            .filter(|known| known.is_used && known.generation == dependency.generation)
            .map(|_| index)
            .ok_or(invalid(
                Rule::DependencyRange,
                Place::Dependency(dependency.index),
            ))
    }

    /// The index of code that is valid.
    fn code(&self, code: CodeId) -> Result<usize, Error> {
        match self.state(code) {
            State::Valid => Ok(code.index as usize),
            _ => Err(invalid(Rule::LinkCode, Place::Code(code.index))),
        }
    }

    /// What the table knows of some code.
    pub fn state(&self, code: CodeId) -> State {
        let known = self.codes.get(code.index as usize);
        match known.filter(|known| known.generation == code.generation) {
            None => State::Unknown,
            Some(known) => match known.phase {
                Phase::Valid => State::Valid,
                Phase::Doomed | Phase::Retired => State::Retired,
                Phase::Free => State::Unknown,
            },
        }
    }

    /// Where code is, if it is valid.
    pub fn address(&self, code: CodeId) -> Option<u64> {
        Some(self.codes[self.code(code).ok()?].address)
    }

    /// Adds code that was published at this address, with what it depends on. The token comes back when it is
    /// [reclaimed](Links::reclaim).
    ///
    /// # Errors
    ///
    /// `Full`; `Invalid` if the code is not in the table's memory or not aligned to 8 bytes ([`Rule::LinkRange`]), if it
    /// was not compiled for what `origin` says or that is not valid ([`Rule::LinkOrigin`], [`Rule::LinkCode`]), or if a
    /// dependency does not exist ([`Rule::DependencyRange`]). Nothing is added then.
    pub fn add(
        &mut self,
        address: u64,
        compiled: &Compiled,
        origin: Origin,
        dependencies: &[DependencyId],
        token: u64,
    ) -> Result<CodeId, Error> {
        let link = compiled.link;
        let offset = address.checked_sub(self.execute_at);
        let fits = |offset: u64| {
            let end = offset.checked_add(compiled.code_length.into());
            address.is_multiple_of(8) && end.is_some_and(|end| end <= self.length)
        };
        let offset = offset
            .filter(|&offset| fits(offset))
            .ok_or(invalid(Rule::LinkRange, Place::Program))?;
        let wrong_origin = Err(invalid(Rule::LinkOrigin, Place::Program));
        let (parent, target) = match origin {
            Origin::Root if link.inherits == 0 => (None, None),
            Origin::Side(parent) if link.inherits != 0 && link.target == 0 => {
                (Some(self.code(parent)?), None)
            }
            Origin::Bridge { from, into } if link.target != 0 => {
                let (from, into) = (self.code(from)?, self.code(into)?);
                let code = &self.codes[into];
                let within = link.target.checked_sub(code.address);
                if within.is_none_or(|within| within >= code.length.into()) {
                    return wrong_origin;
                }
                (Some(from), Some(into))
            }
            _ => return wrong_origin,
        };
        for &dependency in dependencies {
            self.dependency(dependency)?;
        }
        let used = self.uses.len() - self.free_uses;
        if dependencies.len() > self.free_uses {
            return Err(full(Storage::Uses, used + dependencies.len() - 1));
        }
        if target.is_some() && self.free_link as usize >= self.links.len() {
            return Err(full(Storage::Links, self.links.len()));
        }
        let count = self.codes.len();
        let index = self.free_code;
        let record = self
            .codes
            .get_mut(index as usize)
            .ok_or(full(Storage::Codes, count))?;
        self.free_code = record.next;
        let end = offset + u64::from(compiled.code_length);
        self.used = self.used.max(end.next_multiple_of(8));
        let generation = record.generation.wrapping_add(1);
        *record = CodeRecord {
            address,
            token,
            stamp: link.stamp,
            inherits: link.inherits,
            length: compiled.code_length,
            entry: link.entry,
            distances: link.distances,
            generation,
            phase: Phase::Valid,
            ..CodeRecord::EMPTY
        };
        if let Some(parent) = parent {
            self.add_child(parent as u32, index);
        }
        if let Some(target) = target {
            self.add_link(index as usize, target, FIXED);
        }
        for dependency in dependencies {
            self.add_use(index, dependency.index);
        }
        Ok(CodeId { index, generation })
    }

    fn add_child(&mut self, parent: u32, child: u32) {
        let next = self.codes[parent as usize].first_child;
        if next != NONE {
            self.codes[next as usize].previous_sibling = child;
        }
        self.codes[parent as usize].first_child = child;
        let record = &mut self.codes[child as usize];
        record.origin = parent;
        record.next_sibling = next;
    }

    fn add_use(&mut self, code: u32, dependency: u32) {
        let at = self.free_use;
        let next = self.dependencies[dependency as usize].first_use;
        if next != NONE {
            self.uses[next as usize].previous_of_dependency = at;
        }
        self.dependencies[dependency as usize].first_use = at;
        let record = &mut self.uses[at as usize];
        self.free_use = record.next_of_code;
        self.free_uses -= 1;
        *record = UseRecord {
            dependency,
            code,
            next_of_code: self.codes[code as usize].first_use,
            next_of_dependency: next,
            previous_of_dependency: NONE,
        };
        self.codes[code as usize].first_use = at;
    }

    fn check_span(&self, span: &CodeSpan) -> Result<(), Error> {
        if span.execute_at() == self.execute_at && span.length() >= self.used {
            Ok(())
        } else {
            Err(invalid(Rule::LinkRange, Place::Program))
        }
    }
}
