//! A program read from text, with everything that the text says beside it.

use patchjit::ir::{
    Block, Exit, Function, HostFunction, NONE, Op, Program, Region, Signature, Tag,
};
use patchjit::ops::flags;
use patchjit::types::Type;
use std::collections::HashSet;

/// A place in the source, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: u32,
    /// The column, in characters.
    pub column: u32,
}

/// The names of a program's parts. A list may be shorter than its table, and an empty name is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Of functions, without the `@`.
    pub functions: Vec<String>,
    /// Of regions, without the `@`.
    pub regions: Vec<String>,
    /// Of host functions, without the `@`.
    pub hosts: Vec<String>,
    /// Of tags, without the `@`.
    pub tags: Vec<String>,
    /// Of blocks.
    pub blocks: Vec<String>,
    /// Of values, by the index of their op.
    pub values: Vec<String>,
}

/// How initial contents are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `bytes 00 ff`
    Bytes,
    /// Numbers of a type: `i32 1, 2`.
    Numbers(Type),
    /// `"text"`
    Text,
}

/// Bytes that a region holds at first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// The region.
    pub region: u32,
    /// Where they begin in it.
    pub offset: u64,
    /// How the text writes them.
    pub form: Form,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// How a promised run ends. Values are bits, narrow ones zero-extended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The function returns these results.
    Returns(Vec<u64>),
    /// It deoptimizes through this exit, and these guest slots hold these values then.
    Exits(u32, Vec<(u32, u64)>),
    /// It traps with this number, and these guest slots hold these values then.
    Traps(u32, Vec<(u32, u64)>),
    /// A call goes too deep.
    TooDeep,
    /// The run fuel is used up.
    OutOfFuel,
}

/// A promise that the file makes of itself: `; run: @f(5) == 30`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promise {
    /// Where it stands.
    pub place: Place,
    /// The function called.
    pub function: u32,
    /// Its arguments, as bits.
    pub arguments: Vec<u64>,
    /// What is promised.
    pub outcome: Outcome,
}

/// A program with the storage that it lives in, names, initial contents and promises.
#[derive(Clone, Debug, Default)]
pub struct Module {
    /// The functions.
    pub functions: Vec<Function>,
    /// The blocks.
    pub blocks: Vec<Block>,
    /// The ops.
    pub ops: Vec<Op>,
    /// Edges, arguments and snapshots.
    pub extra: Vec<u32>,
    /// The exits.
    pub exits: Vec<Exit>,
    /// The signatures, no two equal.
    pub signatures: Vec<Signature>,
    /// The types of the signatures.
    pub types: Vec<Type>,
    /// The regions.
    pub regions: Vec<Region>,
    /// The host functions.
    pub hosts: Vec<HostFunction>,
    /// The tags.
    pub tags: Vec<Tag>,
    /// Source positions, or empty if the text has none.
    pub positions: Vec<u32>,
    /// How many guest slots the program may name.
    pub slot_count: u32,
    /// The names.
    pub names: Names,
    /// What regions hold at first; the rest is zero.
    pub contents: Vec<Contents>,
    /// The `; run:` lines.
    pub promises: Vec<Promise>,
    /// The `; bench:` line.
    pub bench: Option<Promise>,
    pub(crate) op_places: Vec<Place>,
    pub(crate) block_places: Vec<Place>,
    pub(crate) function_places: Vec<Place>,
}

impl Module {
    /// The program, as a view of this module.
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
            positions: &self.positions,
            slot_count: self.slot_count,
        }
    }

    /// A module for a program that was made of this one's: `sources` has, for each op of it, the op of this module that it comes
    /// from. Names and places follow from that; where a name is taken already, a number is added to it.
    pub fn derived(&self, program: &Program<'_>, sources: &[u32]) -> Module {
        let source = |op: u32| sources.get(op as usize).copied().unwrap_or(NONE);
        let mut module = Module {
            functions: program.functions.to_vec(),
            blocks: program.blocks.to_vec(),
            ops: program.ops.to_vec(),
            extra: program.extra.to_vec(),
            exits: program.exits.to_vec(),
            signatures: program.signatures.to_vec(),
            types: program.types.to_vec(),
            regions: program.regions.to_vec(),
            hosts: program.hosts.to_vec(),
            tags: program.tags.to_vec(),
            slot_count: program.slot_count,
            contents: self.contents.clone(),
            promises: self.promises.clone(),
            bench: self.bench.clone(),
            function_places: self.function_places.clone(),
            names: Names {
                functions: self.names.functions.clone(),
                regions: self.names.regions.clone(),
                hosts: self.names.hosts.clone(),
                tags: self.names.tags.clone(),
                ..Names::default()
            },
            ..Module::default()
        };
        let unknown = Place { line: 0, column: 0 };
        for op in 0..program.ops.len() as u32 {
            let place = self.op_places.get(source(op) as usize);
            module.op_places.push(*place.unwrap_or(&unknown));
            if !self.positions.is_empty() {
                let position = self.positions.get(source(op) as usize);
                module.positions.push(*position.unwrap_or(&NONE));
            }
        }
        for (index, function) in program.functions.iter().enumerate() {
            let (mut blocks, mut values) = (HashSet::new(), HashSet::new());
            for block in program.blocks_of(function) {
                // To a function's first block ops may have been moved from anywhere; others begin with their own.
                let first = source(block.first_op);
                let old = if block.first_op == function.first_op {
                    self.functions
                        .get(index)
                        .map_or(0, |known| known.first_block as usize)
                } else {
                    let behind = self.blocks.partition_point(|known| known.first_op <= first);
                    behind.saturating_sub(1)
                };
                let name = self.names.blocks.get(old).map_or("", String::as_str);
                let name = unused_name(&mut blocks, name);
                module.names.blocks.push(name);
                let place = self.block_places.get(old);
                module.block_places.push(*place.unwrap_or(&unknown));
            }
            let ops = function.first_op..function.first_op + function.op_count;
            for op in ops {
                let name = self.names.values.get(source(op) as usize);
                // A constant that was made for an op has no name: the op has it.
                let made = |old: &&Op| old.code != program.ops[op as usize].code;
                let old = self.ops.get(source(op) as usize);
                let constant = program.ops[op as usize].code.info().has(flags::CONSTANT);
                let gives = program.ops[op as usize].result().is_some()
                    && !(constant && old.as_ref().is_some_and(made));
                let name = name.filter(|_| gives).map_or("", String::as_str);
                let name = unused_name(&mut values, name);
                module.names.values.push(name);
            }
        }
        module
    }

    /// The line and column of an op.
    pub fn place(&self, op: u32) -> Option<(u32, u32)> {
        let place = self.op_places.get(op as usize)?;
        Some((place.line, place.column))
    }

    /// The line and column of the op, else the block, else the function, of those that are named
    /// (not [`NONE`]); for errors that name what they know.
    pub fn place_of(&self, function: u32, block: u32, op: u32) -> Option<(u32, u32)> {
        let find = |places: &[Place], index: u32| {
            let place = places.get(index as usize).filter(|_| index != NONE)?;
            Some((place.line, place.column))
        };
        find(&self.op_places, op)
            .or_else(|| find(&self.block_places, block))
            .or_else(|| find(&self.function_places, function))
    }

    /// The index of the function with this name. Linear time.
    pub fn function(&self, name: &str) -> Option<u32> {
        let at = self
            .names
            .functions
            .iter()
            .position(|known| known == name)?;
        Some(at as u32)
    }

    /// Writes the initial contents of a region to memory that holds zeros; what does not fit is left out.
    pub fn fill_region(&self, region: u32, memory: &mut [u8]) {
        for contents in self.contents.iter().filter(|part| part.region == region) {
            let target = usize::try_from(contents.offset)
                .ok()
                .and_then(|offset| memory.get_mut(offset..)?.get_mut(..contents.bytes.len()));
            if let Some(target) = target {
                target.copy_from_slice(&contents.bytes);
            }
        }
    }
}

/// A name, with a number behind it if it is used already; no name for none.
fn unused_name(used: &mut HashSet<String>, name: &str) -> String {
    if name.is_empty() {
        return String::new();
    }
    let mut candidate = name.to_string();
    let mut number = 2;
    while !used.insert(candidate.clone()) {
        candidate = format!("{name}.{number}");
        number += 1;
    }
    candidate
}
