//! The optimizer with storage of its own.

use patchjit::build::{Counts, EMPTY_EXIT, EMPTY_OP, Storage};
use patchjit::error::Error;
use patchjit::ir::{
    Block, Exit, Function, HostFunction, NONE, Op, Program, Region, Signature, Tag,
};
use patchjit::optimize::{self, Options, Report};
use patchjit::types::Type;
use patchjit::verify::{self, Verified};
use std::time::{Duration, Instant};

/// Storage for one optimized program, which may be used again for the next.
#[derive(Debug, Default)]
pub struct Optimizer {
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
    words: Vec<u32>,
    facts: Vec<u32>,
    report: Report,
    time: Duration,
}

impl Optimizer {
    /// Empty.
    pub fn new() -> Optimizer {
        Optimizer::default()
    }

    /// What was done last.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// How long the last program took, from the verified program to the verified result; storage was there.
    pub fn time(&self) -> Duration {
        self.time
    }

    /// Optimizes a program and verifies the result.
    ///
    /// # Errors
    ///
    /// Faults of the optimizer: it gets enough storage.
    pub fn run<'a>(
        &'a mut self,
        verified: &Verified<'_>,
        options: &Options,
    ) -> Result<Verified<'a>, Error> {
        self.make_room(verified);
        self.run_in_room(verified, options)
    }

    /// The same for a program for which there is room.
    ///
    /// # Errors
    ///
    /// If there is none, and faults of the optimizer.
    pub fn run_in_room<'a>(
        &'a mut self,
        verified: &Verified<'_>,
        options: &Options,
    ) -> Result<Verified<'a>, Error> {
        let start = Instant::now();
        let storage = Storage {
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
        };
        let optimized = optimize::optimize(verified, options, &mut self.words, storage)?;
        self.report = *optimized.report();
        let needed = verify::workspace_words(optimized.program());
        if self.facts.len() < needed {
            self.facts.resize(needed, 0);
        }
        let verified = optimized.verify(&mut self.facts)?;
        self.time = start.elapsed();
        Ok(verified)
    }

    /// Sees to it that there is room for a program, optimized.
    pub fn make_room(&mut self, verified: &Verified<'_>) {
        let Counts {
            functions,
            blocks,
            ops,
            extra,
            exits,
            signatures,
            types,
            regions,
            hosts,
            tags,
        } = optimize::storage(verified);
        grow(&mut self.functions, functions, Function::default());
        grow(&mut self.blocks, blocks, Block::default());
        grow(&mut self.ops, ops, EMPTY_OP);
        grow(&mut self.extra, extra, 0);
        grow(&mut self.exits, exits, EMPTY_EXIT);
        grow(&mut self.signatures, signatures, Signature::default());
        grow(&mut self.types, types, Type::I32);
        grow(&mut self.regions, regions, Region::default());
        grow(&mut self.hosts, hosts, HostFunction::default());
        grow(&mut self.tags, tags, Tag::default());
        grow(&mut self.positions, ops, NONE);
        grow(&mut self.words, optimize::words(verified), 0);
    }
}

fn grow<T: Clone>(storage: &mut Vec<T>, length: usize, item: T) {
    if storage.len() < length {
        storage.resize(length, item);
    }
}

/// A program with the index of each op for its source position, so that an optimized program says where its ops come from.
pub fn numbered<'a>(program: &Program<'a>, numbers: &'a mut Vec<u32>) -> Program<'a> {
    numbers.clear();
    numbers.extend(0..program.ops.len() as u32);
    Program {
        positions: numbers,
        ..*program
    }
}
