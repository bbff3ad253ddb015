//! Room for a program's records on the heap, which may be kept from one program to the next.
//!
//! Takes how many records a program has at most; promises storage for whoever builds or optimizes it.

use patchjit::build::{Counts, EMPTY_EXIT, EMPTY_OP, Storage};
use patchjit::ir::{
    Block, Exit, Function, HostFunction, NONE, Op, Program, Region, Signature, Tag,
};
use patchjit::types::Type;

/// Records of which some program may take the first.
#[derive(Debug, Default)]
pub struct Records {
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

impl Records {
    /// Sees to it that there is room for so many, but for source positions.
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
    }

    /// The same with a source position for each op.
    pub fn make_with_positions(&mut self, counts: &Counts) {
        self.make(counts);
        grow(&mut self.positions, counts.ops, NONE);
    }

    /// All of it, for whoever builds a program. Positions are kept if there is room for them.
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

    /// Keeps as many as a program has that was built in them.
    pub fn keep(&mut self, counts: &Counts) {
        self.functions.truncate(counts.functions);
        self.blocks.truncate(counts.blocks);
        self.ops.truncate(counts.ops);
        self.extra.truncate(counts.extra);
        self.exits.truncate(counts.exits);
        self.signatures.truncate(counts.signatures);
        self.types.truncate(counts.types);
        self.regions.truncate(counts.regions);
        self.hosts.truncate(counts.hosts);
        self.tags.truncate(counts.tags);
        self.positions.truncate(counts.ops);
    }

    /// The program of all records, which may name so many guest slots.
    pub fn program(&self, slot_count: u32) -> Program<'_> {
        Program {
            functions: &self.functions,
            blocks: &self.blocks,
            ops: &self.ops,
            extra: &self.extra,
            exits: &self.exits,
            signatures: &self.signatures,
            types: &self.types,
            regions: &self.regions,
            hosts: &self.hosts,
            tags: &self.tags,
            positions: &self.positions,
            slot_count,
        }
    }
}

/// Makes a list long enough; it never gets shorter.
pub fn grow<T: Clone>(list: &mut Vec<T>, length: usize, item: T) {
    if list.len() < length {
        list.resize(length, item);
    }
}
