//! Jumps from exits of code into other code: linking and unlinking.
//!
//! Takes names of valid code, sites of its exits ([`Site`]) and the memory that it is in; promises that the jump in the code and its
//! record in the table always change together, and that nothing changes where it is refused. Costs: constant time, plus
//! the links out of the same code.

use super::super::exits::Site;
use super::super::span::CodeSpan;
use super::records::{FIXED, LinkRecord};
use super::{CodeId, Links, full, invalid};
use crate::error::{Error, Feature, Place, Rule, Storage};
use crate::ir::NONE;

/// Links.
impl Links<'_> {
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
        let distance = self.codes[source].distances.jump(at, entry);
        let distance = distance.ok_or(Error::Unsupported {
            what: Feature::CodeSize,
            place,
        })?;
        if self.free_link as usize >= self.links.len() {
            return Err(full(Storage::Links, self.links.len()));
        }
        span.patch(at - self.execute_at, distance)?;
        self.add_link(source, target, jump);
        Ok(())
    }

    /// Notes a link. There must be a free record.
    pub(super) fn add_link(&mut self, source: usize, target: usize, jump: u32) {
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
    pub(super) fn cut(&mut self, span: &mut CodeSpan, index: u32) -> Result<(), Error> {
        let link = self.links[index as usize];
        let from = self.codes[link.from as usize].address - self.execute_at;
        if link.jump != FIXED {
            // The exit's own code stands behind the four bytes.
            let at = from + u64::from(link.jump);
            let onward = self.codes[link.from as usize].distances.jump(at, at + 4);
            span.patch(at, onward.unwrap_or(0))?;
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
}
