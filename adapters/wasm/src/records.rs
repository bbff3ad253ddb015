//! A program's records on the heap.

use patchjit::build::{Counts, EMPTY_EXIT, EMPTY_OP, Storage};
use patchjit::ir::{Block, Exit, Function, HostFunction, Op, Program, Region, Signature, Tag};
use patchjit::types::Type;

/// The records of a program, and how many of them it has.
#[derive(Debug, Default)]
pub(crate) struct Records {
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
    slot_count: u32,
}

impl Records {
    /// Room for so many.
    pub fn storage(&mut self, counts: &Counts) -> Storage<'_> {
        fn fit<T: Clone>(records: &mut Vec<T>, count: usize, empty: T) -> &mut [T] {
            records.clear();
            records.resize(count, empty);
            records
        }
        Storage {
            functions: fit(&mut self.functions, counts.functions, Function::default()),
            blocks: fit(&mut self.blocks, counts.blocks, Block::default()),
            ops: fit(&mut self.ops, counts.ops, EMPTY_OP),
            extra: fit(&mut self.extra, counts.extra, 0),
            exits: fit(&mut self.exits, counts.exits, EMPTY_EXIT),
            signatures: fit(
                &mut self.signatures,
                counts.signatures,
                Signature::default(),
            ),
            types: fit(&mut self.types, counts.types, Type::I32),
            regions: fit(&mut self.regions, counts.regions, Region::default()),
            hosts: fit(&mut self.hosts, counts.hosts, HostFunction::default()),
            tags: fit(&mut self.tags, counts.tags, Tag::default()),
            positions: &mut [],
        }
    }

    /// Keeps as many as a program has that was built in them.
    pub fn keep(&mut self, counts: &Counts, slot_count: u32) {
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
        self.slot_count = slot_count;
    }

    /// The program.
    pub fn program(&self) -> Program<'_> {
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
            positions: &[],
            slot_count: self.slot_count,
        }
    }
}
