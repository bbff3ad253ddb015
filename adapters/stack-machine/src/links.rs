//! Where code is, and which exits lead on in other code.
//!
//! Takes an arena, compiled code and exits that are taken often; promises that what is retired is linked from nowhere, and that its
//! memory is given back at once. A host belongs to one thread, which runs no code while it changes this table, so there are no
//! epochs to wait for.
//!
//! ```text
//!   loop A ──exit at the head of loop B──> bridge: the snapshot into slots ──> body of B: reads the slots
//! ```
//!
//! Loops find everything in guest slots, so a bridge goes through these. (Side traces of a loop keep values in registers: they are
//! compiled into its code.)

use crate::compile::{Code, Failure};
use crate::record::TAGS;
use patchjit::compile::Compiled;
use patchjit::error::Error;
use patchjit::link::{
    CodeId, CodeRecord, Destination, Epochs, LinkRecord, LinkStorage, Links, Origin, Site, State,
    bridge, bridge_bytes,
};
use patchjit::stencil::StencilSet;
use patchjit_memory::{Arena, Block};
use std::mem::ManuallyDrop;

/// Code that there may be at a time, bridges included.
const CODES: usize = 256;

/// Links that there may be at a time: for each bridge the one to it and its own.
const LINKS: usize = 2 * CODES;

/// The table of links of an arena, and the blocks of the code in it.
pub(crate) struct CodeTable {
    /// Its records are boxes that were leaked for it.
    links: ManuallyDrop<Links<'static>>,
    /// The table's token of code is the index of its block.
    blocks: Vec<Option<Block>>,
    bridges: Vec<CodeId>,
}

impl CodeTable {
    pub(crate) fn new(arena: &Arena) -> Result<CodeTable, Error> {
        let addresses = arena.addresses();
        let storage = LinkStorage {
            codes: Box::leak(vec![CodeRecord::EMPTY; CODES].into_boxed_slice()),
            links: Box::leak(vec![LinkRecord::EMPTY; LINKS].into_boxed_slice()),
            dependencies: &mut [],
            uses: &mut [],
        };
        let length = addresses.end - addresses.start;
        Ok(CodeTable {
            links: ManuallyDrop::new(Links::new(storage, addresses.start, length)?),
            blocks: Vec::new(),
            bridges: Vec::new(),
        })
    }

    /// Adds published code. If the table refuses, its memory is given back.
    pub(crate) fn add(
        &mut self,
        arena: &mut Arena,
        block: Block,
        compiled: &Compiled,
        origin: Origin,
    ) -> Result<CodeId, Failure> {
        let free = self.blocks.iter().position(Option::is_none);
        let token = free.unwrap_or(self.blocks.len());
        let address = block.address();
        let added = self.links.add(address, compiled, origin, &[], token as u64);
        match added {
            Ok(id) => {
                if free.is_none() {
                    self.blocks.push(None);
                }
                self.blocks[token] = Some(block);
                Ok(id)
            }
            Err(error) => {
                arena.release(block)?;
                Err(error.into())
            }
        }
    }

    /// Leads an exit of a loop's code to another loop's, in all places where the code may leave through it.
    pub(crate) fn link(
        &mut self,
        arena: &mut Arena,
        set: &'static StencilSet,
        from: &Code,
        exit: u32,
        to: &Code,
    ) -> Result<(), Failure> {
        let exits = from.exits();
        for index in 0..exits.sites.len() {
            let site = exits.site(index)?;
            if site.number() == exit
                && site.can_link()
                && self.links.linked(from.id, &site)?.is_none()
            {
                self.link_site(arena, set, from, &site, to)?;
            }
        }
        Ok(())
    }

    fn link_site(
        &mut self,
        arena: &mut Arena,
        set: &'static StencilSet,
        from: &Code,
        site: &Site<'_>,
        to: &Code,
    ) -> Result<(), Failure> {
        let destination = Destination::Slots {
            address: to.body,
            results: &[],
            tags: &TAGS,
        };
        let mut block = arena.reserve(bridge_bytes(site, &destination))?;
        let mut writing = arena.write(&mut block)?;
        let compiled = match bridge(set, site, destination, writing.buffer()) {
            Ok(compiled) => compiled,
            Err(error) => {
                drop(writing);
                arena.release(block)?;
                return Err(error.into());
            }
        };
        writing.publish(compiled.code_length as usize)?;
        let origin = Origin::Bridge {
            from: from.id,
            into: to.id,
        };
        let over = self.add(arena, block, &compiled, origin)?;
        self.bridges.push(over);
        let links = &mut self.links;
        arena.relink(|span| links.link(span, from.id, site, over))??;
        Ok(())
    }

    /// Takes code away, with all bridges from it and to it: exits that led there leave again.
    pub(crate) fn retire(&mut self, arena: &mut Arena, code: CodeId) -> Result<(), Failure> {
        let epochs = Epochs::new(&[]);
        let links = &mut self.links;
        arena.relink(|span| links.retire(span, &epochs, code))??;
        while let Some(gone) = self.links.reclaim(&epochs) {
            if let Some(block) = self.blocks[gone.token as usize].take() {
                arena.release(block)?;
            }
        }
        let links = &self.links;
        self.bridges
            .retain(|&bridge| links.state(bridge) == State::Valid);
        Ok(())
    }

    /// Takes all bridges away: every exit leaves again.
    pub(crate) fn unlink_all(&mut self, arena: &mut Arena) -> Result<(), Failure> {
        while let Some(&bridge) = self.bridges.first() {
            self.retire(arena, bridge)?;
        }
        Ok(())
    }

    /// How many exits lead on in other code.
    pub(crate) fn linked(&self) -> usize {
        self.bridges.len()
    }
}

impl Drop for CodeTable {
    fn drop(&mut self) {
        // SAFETY: nothing uses the table behind this.
        let links = unsafe { ManuallyDrop::take(&mut self.links) };
        let storage = links.into_storage();
        // SAFETY: both were leaked from boxes when the table was made, and nobody else has them.
        unsafe {
            drop(Box::from_raw(storage.codes));
            drop(Box::from_raw(storage.links));
        }
    }
}
