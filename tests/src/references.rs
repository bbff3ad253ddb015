//! Checks maps of references: against where the allocation checker saw values, and against live sets found in the plainest way.

use crate::allocation::Checker;
use patchjit::compile::{ReferenceMaps, References, Safepoint, ValueName};
use patchjit::error::{Error, Storage};
use patchjit::ir::{Block, Op, Program};
use patchjit::ops::{Opcode, Shape};
use patchjit::types::Type;
use patchjit::verify::Verified;
use std::collections::{HashMap, HashSet};

/// Storage for the maps of a program, dirty.
pub struct MapStorage {
    /// For safepoints.
    pub safepoints: Vec<Safepoint>,
    /// For roots.
    pub roots: Vec<u32>,
    /// Workspace.
    pub words: Vec<u32>,
}

impl MapStorage {
    /// As much as is said to suffice, and room for that many roots.
    pub fn new(verified: &Verified<'_>, roots: usize) -> MapStorage {
        MapStorage {
            safepoints: vec![Safepoint::default(); ReferenceMaps::safepoints(verified)],
            roots: vec![0xdead_beef; roots],
            words: vec![0xdead_beef; ReferenceMaps::words(verified)],
        }
    }

    /// An observer that fills it.
    pub fn observer<'a>(&'a mut self, verified: &'a Verified<'a>) -> ReferenceMaps<'a> {
        ReferenceMaps::new(
            verified,
            &mut self.safepoints,
            &mut self.roots,
            &mut self.words,
        )
    }
}

/// The size that an error asks for, if it is about room for roots.
pub fn roots_needed(error: Error) -> Option<usize> {
    match error {
        Error::Full {
            storage: Storage::Roots,
            needed,
        } => Some(needed),
        _ => None,
    }
}

/// Compares maps with what the checker followed and with live sets. Gives the number of roots.
///
/// # Errors
///
/// The first difference, in words.
pub fn check(
    program: &Program<'_>,
    checker: &Checker<'_>,
    references: &References<'_>,
) -> Result<usize, String> {
    let seen = checker.safepoints()?;
    let alive = Alive::new(program);
    let mut roots = 0;
    let mut told = HashSet::new();
    for (offset, frame) in references.iter() {
        told.insert(offset);
        let words = seen
            .get(&offset)
            .ok_or_else(|| format!("there is no safepoint at {offset:#x}"))?;
        let mut missing = alive.across(frame.op);
        let wanted = missing.clone();
        for root in frame.roots {
            let holds = words.get(root).cloned().unwrap_or_default();
            let held: Vec<u32> = wanted
                .iter()
                .copied()
                .filter(|&value| holds.contains(&ValueName::Op(value)))
                .collect();
            if held.is_empty() {
                return Err(format!(
                    "at {offset:#x}, op {}: word {root} holds {holds:?}, and alive are {wanted:?}",
                    frame.op
                ));
            }
            for value in held {
                missing.remove(&value);
            }
        }
        let distinct: HashSet<&u32> = frame.roots.iter().collect();
        if !missing.is_empty()
            || distinct.len() != frame.roots.len()
            || distinct.len() != wanted.len()
        {
            return Err(format!(
                "at {offset:#x}, op {}: of {wanted:?}, words {:?} lack {missing:?}",
                frame.op, frame.roots
            ));
        }
        if references.at(offset) != Some(frame) {
            return Err(format!("the safepoint at {offset:#x} is not found"));
        }
        roots += frame.roots.len();
    }
    match seen.keys().find(|offset| !told.contains(offset)) {
        Some(offset) => Err(format!("the safepoint at {offset:#x} has no map")),
        None => Ok(roots),
    }
}

/// The references that are alive at the beginning of each block, by going round until nothing changes.
struct Alive<'a> {
    program: &'a Program<'a>,
    at_beginning: HashMap<u32, HashSet<u32>>,
}

impl<'a> Alive<'a> {
    fn new(program: &'a Program<'a>) -> Alive<'a> {
        let mut alive = Alive {
            program,
            at_beginning: HashMap::new(),
        };
        loop {
            let mut changed = false;
            for (index, block) in program.blocks.iter().enumerate().rev() {
                let mut now = alive.at_end(block);
                for op in span(block).rev() {
                    alive.step_back(op, &mut now);
                }
                let before = alive.at_beginning.insert(index as u32, now.clone());
                changed |= before != Some(now);
            }
            if !changed {
                return alive;
            }
        }
    }

    fn at_end(&self, block: &Block) -> HashSet<u32> {
        let last = &self.program.ops[span(block).end as usize - 1];
        let targets = edges(self.program, last);
        let targets = targets.iter().map(|&edge| self.program.edge(edge).block);
        let sets = targets.filter_map(|target| self.at_beginning.get(&target));
        sets.flatten().copied().collect()
    }

    fn step_back(&self, op: u32, now: &mut HashSet<u32>) {
        now.remove(&op);
        let uses = uses(self.program, &self.program.ops[op as usize]);
        now.extend(uses.into_iter().filter(|&value| self.is_reference(value)));
    }

    fn is_reference(&self, value: u32) -> bool {
        self.program.ops[value as usize].result() == Some(Type::Ref)
    }

    /// What is used behind an op or by its exit, and was there before it.
    fn across(&self, op: u32) -> HashSet<u32> {
        let block = self
            .program
            .blocks
            .iter()
            .find(|block| span(block).contains(&op));
        let block = block.expect("every op is in a block");
        let mut now = self.at_end(block);
        for later in (op + 1..span(block).end).rev() {
            self.step_back(later, &mut now);
        }
        now.remove(&op);
        let snapshot = snapshot(self.program, &self.program.ops[op as usize]);
        now.extend(
            snapshot
                .into_iter()
                .filter(|&value| self.is_reference(value)),
        );
        now
    }
}

fn span(block: &Block) -> std::ops::Range<u32> {
    block.first_op..block.first_op + block.op_count
}

/// The edges of a terminator.
fn edges(program: &Program<'_>, op: &Op) -> Vec<u32> {
    match op.code {
        Opcode::Jump => vec![op.b],
        Opcode::Branch => vec![op.b, op.c],
        Opcode::Switch => {
            let cases = program.list(op.b);
            let default = program.extra[op.b as usize + 1 + cases.len()];
            [cases, &[default]].concat()
        }
        _ => Vec::new(),
    }
}

fn snapshot(program: &Program<'_>, op: &Op) -> Vec<u32> {
    let exit = program.exit_of(op).map(|exit| program.exits[exit as usize]);
    let pairs = exit.map_or(&[][..], |exit| program.snapshot(&exit));
    pairs.chunks(2).map(|pair| pair[1]).collect()
}

/// Every value that an op uses.
fn uses(program: &Program<'_>, op: &Op) -> Vec<u32> {
    let info = op.code.info();
    let mut uses = match info.shape {
        Shape::Call | Shape::CallCell | Shape::CallHost | Shape::Return | Shape::ReturnCall => {
            program.list(op.b).to_vec()
        }
        Shape::CallIndirect => [&[op.a], program.list(op.b + 1)].concat(),
        Shape::CompareExchange => vec![op.a, op.b, program.extra[op.c as usize + 2]],
        _ => [op.a, op.b, op.c][..info.operand_count as usize].to_vec(),
    };
    for edge in edges(program, op) {
        uses.extend(program.edge(edge).arguments);
    }
    uses.extend(snapshot(program, op));
    uses
}
