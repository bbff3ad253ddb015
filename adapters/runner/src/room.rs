//! Room for a program's records on the heap, which is kept from one program to the next.

use patchjit::build::{Counts, EMPTY_EXIT, EMPTY_OP, Storage};
use patchjit::ir::{Block, Exit, Function, HostFunction, NONE, Op, Region, Signature, Tag};
use patchjit::types::Type;

/// Records of which some program may take the first.
#[derive(Debug, Default)]
pub(crate) struct Room {
    functions: Vec<Function>,
    blocks: Vec<Block>,
    ops: Vec<Op>,
    extra: Vec<u32>,
    exits: Vec<Exit>,
    signatures: Vec<Signature>,
    types: Vec<Type>,
    regions: Vec<Region>,
    hosts: Vec<HostFunction>,
    tags: Vec<Tag>,
    positions: Vec<u32>,
}

impl Room {
    /// Sees to it that there is room for so many.
    pub fn make(&mut self, counts: &Counts) {
        grow(&mut self.functions, counts.functions, Function::default());
        grow(&mut self.blocks, counts.blocks, Block::default());
        grow(&mut self.ops, counts.ops, EMPTY_OP);
        grow(&mut self.extra, counts.extra, 0);
        grow(&mut self.exits, counts.exits, EMPTY_EXIT);
        let signature = Signature::default();
        grow(&mut self.signatures, counts.signatures, signature);
        grow(&mut self.types, counts.types, Type::I32);
        grow(&mut self.regions, counts.regions, Region::default());
        grow(&mut self.hosts, counts.hosts, HostFunction::default());
        grow(&mut self.tags, counts.tags, Tag::default());
        grow(&mut self.positions, counts.ops, NONE);
    }

    /// All of it, for whoever builds a program.
    pub fn storage(&mut self) -> Storage<'_> {
        Storage {
            functions: &mut self.functions,
            blocks: &mut self.blocks,
            ops: &mut self.ops,
            extra: &mut self.extra,
            exits: &mut self.exits,
            signatures: &mut self.signatures,
            types: &mut self.types,
            regions: &mut self.regions,
            hosts: &mut self.hosts,
            tags: &mut self.tags,
            positions: &mut self.positions,
        }
    }
}

/// Makes a list long enough; it never gets shorter.
pub(crate) fn grow<T: Clone>(list: &mut Vec<T>, length: usize, item: T) {
    if list.len() < length {
        list.resize(length, item);
    }
}
