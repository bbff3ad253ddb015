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

use super::epochs::{Epoch, Epochs};
use super::exits::Site;
use super::span::CodeSpan;
use crate::compile::Compiled;
use crate::error::{Error, Feature, Place, Rule, Storage};
use crate::ir::NONE;

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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Free,
    Valid,
    Doomed,
    Retired,
}

/// In [`LinkRecord::jump`]: the jump of a bridge, which is not changed.
const FIXED: u32 = NONE;

/// A record of code.
#[derive(Clone, Copy, Debug)]
pub struct CodeRecord {
    address: u64,
    token: u64,
    stamp: u64,
    inherits: u64,
    length: u32,
    entry: u32,
    generation: u32,
    phase: Phase,
    epoch: Epoch,
    /// Links out of it and into it.
    first_out: u32,
    first_in: u32,
    /// The code whose exit it was made for, and the list of those made for the same.
    origin: u32,
    next_sibling: u32,
    previous_sibling: u32,
    first_child: u32,
    first_use: u32,
    /// The next one that is free, doomed or retired.
    next: u32,
}

impl CodeRecord {
    /// Of a slice that is not used yet.
    pub const EMPTY: CodeRecord = CodeRecord {
        address: 0,
        token: 0,
        stamp: 0,
        inherits: 0,
        length: 0,
        entry: 0,
        generation: 0,
        phase: Phase::Free,
        epoch: Epoch::NONE,
        first_out: NONE,
        first_in: NONE,
        origin: NONE,
        next_sibling: NONE,
        previous_sibling: NONE,
        first_child: NONE,
        first_use: NONE,
        next: NONE,
    };
}

/// A record of a link.
#[derive(Clone, Copy, Debug)]
pub struct LinkRecord {
    from: u32,
    to: u32,
    /// The offset in `from` of the bytes that were changed, or [`FIXED`].
    jump: u32,
    next_out: u32,
    previous_out: u32,
    next_in: u32,
    previous_in: u32,
}

impl LinkRecord {
    /// Of a slice that is not used yet.
    pub const EMPTY: LinkRecord = LinkRecord {
        from: NONE,
        to: NONE,
        jump: NONE,
        next_out: NONE,
        previous_out: NONE,
        next_in: NONE,
        previous_in: NONE,
    };
}

/// A record of something that code depends on.
#[derive(Clone, Copy, Debug)]
pub struct DependencyRecord {
    generation: u32,
    is_used: bool,
    first_use: u32,
    next: u32,
}

impl DependencyRecord {
    /// Of a slice that is not used yet.
    pub const EMPTY: DependencyRecord = DependencyRecord {
        generation: 0,
        is_used: false,
        first_use: NONE,
        next: NONE,
    };
}

/// A record of one code that depends on one thing.
#[derive(Clone, Copy, Debug)]
pub struct UseRecord {
    dependency: u32,
    code: u32,
    next_of_code: u32,
    next_of_dependency: u32,
    previous_of_dependency: u32,
}

impl UseRecord {
    /// Of a slice that is not used yet.
    pub const EMPTY: UseRecord = UseRecord {
        dependency: NONE,
        code: NONE,
        next_of_code: NONE,
        next_of_dependency: NONE,
        previous_of_dependency: NONE,
    };
}

/// The storage of a table: as many records of each kind as there may be at a time.
#[derive(Debug)]
pub struct LinkStorage<'a> {
    /// One for each code that is valid, or retired and not reclaimed.
    pub codes: &'a mut [CodeRecord],
    /// One for each exit that is linked, and one for each bridge.
    pub links: &'a mut [LinkRecord],
    /// One for each dependency.
    pub dependencies: &'a mut [DependencyRecord],
    /// One for each dependency of each code.
    pub uses: &'a mut [UseRecord],
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

    /// The index of the code that a site belongs to, with the jump's offset.
    fn jump_of(&self, from: CodeId, site: &Site) -> Result<(usize, u32), Error> {
        let index = self.code(from)?;
        let place = Place::Exit(site.index());
        if site.record.stamp != self.codes[index].stamp {
            return Err(invalid(Rule::LinkTable, place));
        }
        if !site.can_link() || site.record.jump > self.codes[index].length.saturating_sub(4) {
            return Err(invalid(Rule::LinkExit, place));
        }
        Ok((index, site.record.jump))
    }

    fn find_link(&self, from: usize, jump: u32) -> u32 {
        let mut link = self.codes[from].first_out;
        while link != NONE && self.links[link as usize].jump != jump {
            link = self.links[link as usize].next_out;
        }
        link
    }

    /// Leads an exit of `from` to `to`: a side trace that was compiled for that exit, or a bridge that was.
    ///
    /// # Errors
    ///
    /// `Full`; `Invalid` if one of them is not valid ([`Rule::LinkCode`]), if the site does not describe an exit of `from`
    /// ([`Rule::LinkTable`]) or one that can be linked ([`Rule::LinkExit`]), if `to` was compiled for another exit or
    /// another layout ([`Rule::LinkLayout`]) or added with another origin ([`Rule::LinkOrigin`]), if the exit is linked already ([`Rule::LinkTaken`]), or if the span is not the
    /// table's memory ([`Rule::LinkRange`]); `Unsupported` if it is farther away than a jump reaches. Nothing is linked
    /// then.
    pub fn link(
        &mut self,
        span: &mut CodeSpan,
        from: CodeId,
        site: &Site,
        to: CodeId,
    ) -> Result<(), Error> {
        self.check_span(span)?;
        let (source, jump) = self.jump_of(from, site)?;
        let target = self.code(to)?;
        let place = Place::Exit(site.index());
        if self.codes[target].inherits != site.identity() {
            return Err(invalid(Rule::LinkLayout, place));
        }
        if self.codes[target].origin != source as u32 {
            return Err(invalid(Rule::LinkOrigin, place));
        }
        if self.find_link(source, jump) != NONE {
            return Err(invalid(Rule::LinkTaken, place));
        }
        let at = self.codes[source].address + u64::from(jump);
        let entry = self.codes[target].address + u64::from(self.codes[target].entry);
        let distance = i32::try_from(entry.wrapping_sub(at + 4) as i64);
        let distance = distance.map_err(|_| Error::Unsupported {
            what: Feature::CodeSize,
            place,
        })?;
        if self.free_link as usize >= self.links.len() {
            return Err(full(Storage::Links, self.links.len()));
        }
        span.patch(at - self.execute_at, distance as u32)?;
        self.add_link(source, target, jump);
        Ok(())
    }

    /// Notes a link. There must be a free record.
    fn add_link(&mut self, source: usize, target: usize, jump: u32) {
        let index = self.free_link;
        self.free_link = self.links[index as usize].next_out;
        let (next_out, next_in) = (self.codes[source].first_out, self.codes[target].first_in);
        if next_out != NONE {
            self.links[next_out as usize].previous_out = index;
        }
        if next_in != NONE {
            self.links[next_in as usize].previous_in = index;
        }
        self.links[index as usize] = LinkRecord {
            from: source as u32,
            to: target as u32,
            jump,
            next_out,
            previous_out: NONE,
            next_in,
            previous_in: NONE,
        };
        self.codes[source].first_out = index;
        self.codes[target].first_in = index;
    }

    /// Whether an exit is linked, and where to.
    ///
    /// # Errors
    ///
    /// As [`Links::link`] for `from` and its site.
    pub fn linked(&self, from: CodeId, site: &Site) -> Result<Option<CodeId>, Error> {
        let (source, jump) = self.jump_of(from, site)?;
        let link = self.find_link(source, jump);
        Ok(self.links.get(link as usize).map(|link| CodeId {
            index: link.to,
            generation: self.codes[link.to as usize].generation,
        }))
    }

    /// Makes an exit leave again. False if it was not linked.
    ///
    /// # Errors
    ///
    /// As [`Links::link`] for `from`, its site and the span.
    pub fn unlink(
        &mut self,
        span: &mut CodeSpan,
        from: CodeId,
        site: &Site,
    ) -> Result<bool, Error> {
        self.check_span(span)?;
        let (source, jump) = self.jump_of(from, site)?;
        let link = self.find_link(source, jump);
        if link == NONE {
            return Ok(false);
        }
        self.cut(span, link)?;
        Ok(true)
    }

    /// Undoes a link, in the code and in the table.
    fn cut(&mut self, span: &mut CodeSpan, index: u32) -> Result<(), Error> {
        let link = self.links[index as usize];
        let from = self.codes[link.from as usize].address - self.execute_at;
        if link.jump != FIXED {
            // A distance of zero leads to what stands behind the jump, the exit's own code.
            span.patch(from + u64::from(link.jump), 0)?;
        }
        match link.previous_out {
            NONE => self.codes[link.from as usize].first_out = link.next_out,
            previous => self.links[previous as usize].next_out = link.next_out,
        }
        if link.next_out != NONE {
            self.links[link.next_out as usize].previous_out = link.previous_out;
        }
        match link.previous_in {
            NONE => self.codes[link.to as usize].first_in = link.next_in,
            previous => self.links[previous as usize].next_in = link.next_in,
        }
        if link.next_in != NONE {
            self.links[link.next_in as usize].previous_in = link.previous_in;
        }
        self.links[index as usize] = LinkRecord {
            next_out: self.free_link,
            ..LinkRecord::EMPTY
        };
        self.free_link = index;
        Ok(())
    }

    /// Retires all code that depends on this, all that was made for it, and unlinks it. Gives how many codes that
    /// were; [`Links::state`] says which.
    ///
    /// The embedder enters none of it any more. Threads that run it leave at their next exit, and notice at their next
    /// `poll` if [`interrupt`](super::interrupt) is called for their contexts behind this.
    ///
    /// # Errors
    ///
    /// `Invalid` if there is no such dependency ([`Rule::DependencyRange`]), or if the span is not the table's memory
    /// ([`Rule::LinkRange`]). Nothing is retired then.
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
