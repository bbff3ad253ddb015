//! Makes a program smaller while it keeps a property: what a failing seed is reduced with.
//!
//! Tries, over and over until nothing helps: a function without what it does, a block that returns at once, one
//! edge instead of several, a constant instead of an op or a parameter, no op, an exit without its snapshot. The
//! property is asked of each candidate and must hold for the first; it should ask the verifier, too. Takes time
//! quadratic in the program, times what the property takes.

use crate::draft::{Draft, DraftFunction, DraftOp, Value, constant_of};
use patchjit::ops::{Opcode, flags};
use patchjit::types::Type;
use std::collections::HashSet;

/// The smallest program found that has the property, if this one has it.
pub fn reduce(draft: Draft, holds: &mut dyn FnMut(&Draft) -> bool) -> Draft {
    let mut reducer = Reducer {
        best: draft,
        holds,
        changed: true,
    };
    while std::mem::take(&mut reducer.changed) {
        reducer.functions();
        for number in reducer.best.order.clone() {
            reducer.blocks(number);
            reducer.ops(number);
            reducer.parameters(number);
            reducer.snapshots(number);
        }
    }
    reducer.best
}

struct Reducer<'h> {
    best: Draft,
    holds: &'h mut dyn FnMut(&Draft) -> bool,
    changed: bool,
}

impl Reducer<'_> {
    /// Keeps a changed program if it has the property.
    fn attempt(&mut self, change: impl FnOnce(&mut Draft) -> bool) -> bool {
        let mut candidate = self.best.clone();
        if !change(&mut candidate) || !(self.holds)(&candidate) {
            return false;
        }
        self.best = candidate;
        self.changed = true;
        true
    }

    /// Leaves functions out, or their blocks but one.
    fn functions(&mut self) {
        for number in self.best.order.clone() {
            let left_out = self.attempt(|draft| {
                draft.order.retain(|&other| other != number);
                !draft.order.is_empty()
            });
            if !left_out {
                self.attempt(|draft| {
                    let function = &mut draft.functions[number];
                    let long = function.order.len() > 1 || function.blocks[0].ops.len() > 3;
                    return_constants(function, 0, 0);
                    long
                });
            }
        }
    }

    fn blocks(&mut self, number: usize) {
        for block in self.best.functions[number].order.clone() {
            self.attempt(|draft| {
                let function = &mut draft.functions[number];
                let last = function.blocks[block].ops.len() - 1;
                let shorter = function.blocks[block].ops[last].code != Opcode::Return;
                if shorter {
                    return_constants(function, block, last);
                }
                shorter
            });
            let edges = {
                let ops = &self.best.functions[number].blocks[block].ops;
                ops.last().map_or(0, |op| op.edges.len())
            };
            for edge in 0..edges {
                self.attempt(|draft| {
                    let ops = &mut draft.functions[number].blocks[block].ops;
                    let Some(op) = ops.last_mut().filter(|op| op.edges.len() > 1) else {
                        return false;
                    };
                    let mut jump = DraftOp::new(Opcode::Jump);
                    jump.edges = op.edges.get(edge).cloned().into_iter().collect();
                    let whole = !jump.edges.is_empty();
                    *op = jump;
                    whole
                });
            }
        }
        self.attempt(|draft| {
            let function = &mut draft.functions[number];
            let mut reached = HashSet::new();
            let mut work = vec![0];
            while let Some(block) = work.pop() {
                if reached.insert(block) {
                    let ops = function.blocks[block].ops.iter();
                    work.extend(ops.flat_map(|op| &op.edges).map(|edge| edge.0));
                }
            }
            let before = function.order.len();
            function.order.retain(|block| reached.contains(block));
            function.order.len() < before
        });
    }

    fn ops(&mut self, number: usize) {
        for block in self.best.functions[number].order.clone() {
            let mut at = self.best.functions[number].blocks[block].ops.len() - 1;
            while at > 0 {
                at -= 1;
                let removed = self.attempt(|draft| {
                    let function = &mut draft.functions[number];
                    let op = function.blocks[block].ops.remove(at);
                    let used: HashSet<Value> = used(function);
                    !op.results.iter().any(|(value, _)| used.contains(value))
                });
                if removed {
                    continue;
                }
                self.attempt(|draft| {
                    let ops = &mut draft.functions[number].blocks[block].ops;
                    let op = ops.remove(at);
                    for &(value, ty) in op.results.iter().rev() {
                        if ty == Type::Ref {
                            return false;
                        }
                        ops.insert(at, constant(value, ty, 1));
                    }
                    !op.code.info().has(flags::CONSTANT)
                });
                self.attempt(|draft| {
                    let op = &mut draft.functions[number].blocks[block].ops[at];
                    let large = op.code.info().has(flags::CONSTANT) && op.immediate > 1;
                    op.immediate = 0;
                    large
                });
            }
        }
    }

    /// Makes constants of block parameters.
    fn parameters(&mut self, number: usize) {
        for block in self.best.functions[number].order.clone() {
            let mut index = self.best.functions[number].blocks[block].parameters.len();
            while index > 0 && block > 0 {
                index -= 1;
                self.attempt(|draft| {
                    let function = &mut draft.functions[number];
                    let (value, ty) = function.blocks[block].parameters.remove(index);
                    if ty == Type::Ref {
                        return false;
                    }
                    function.blocks[block].ops.insert(0, constant(value, ty, 1));
                    for op in function.blocks.iter_mut().flat_map(|block| &mut block.ops) {
                        for edge in op.edges.iter_mut().filter(|edge| edge.0 == block) {
                            edge.1.remove(index);
                        }
                    }
                    true
                });
            }
        }
    }

    fn snapshots(&mut self, number: usize) {
        for block in self.best.functions[number].order.clone() {
            for at in 0..self.best.functions[number].blocks[block].ops.len() {
                let entries = {
                    let op = &self.best.functions[number].blocks[block].ops[at];
                    op.exit.as_ref().map_or(0, |exit| exit.snapshot.len())
                };
                for index in (0..entries).rev() {
                    self.attempt(|draft| {
                        let op = &mut draft.functions[number].blocks[block].ops[at];
                        if let Some(exit) = &mut op.exit {
                            exit.snapshot.remove(index);
                        }
                        true
                    });
                }
            }
        }
    }
}

fn constant(value: Value, ty: Type, bits: u64) -> DraftOp {
    let mut op = DraftOp::new(constant_of(ty));
    op.results = vec![(value, ty)];
    op.immediate = bits;
    op
}

fn used(function: &DraftFunction) -> HashSet<Value> {
    function
        .order
        .iter()
        .flat_map(|&block| &function.blocks[block].ops)
        .flat_map(DraftOp::uses)
        .collect()
}

/// Ends a block before this op, with constants as results.
fn return_constants(function: &mut DraftFunction, block: usize, at: usize) {
    if block == 0 && at == 0 {
        function.order.truncate(1);
    }
    let mut end = DraftOp::new(Opcode::Return);
    function.blocks[block].ops.truncate(at);
    for ty in function.results.clone() {
        let bits = function.value();
        let mut value = bits;
        if ty == Type::Ref {
            function.blocks[block]
                .ops
                .push(constant(bits, Type::I64, 1));
            value = function.value();
            let mut op = DraftOp::new(Opcode::RefFromI64);
            op.operands = vec![bits];
            op.results = vec![(value, ty)];
            function.blocks[block].ops.push(op);
        } else {
            function.blocks[block].ops.push(constant(bits, ty, 1));
        }
        end.operands.push(value);
    }
    function.blocks[block].ops.push(end);
}
