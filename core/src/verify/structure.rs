//! Spans of functions, blocks and ops, terminators and edges: what must hold before anything is looked up.

use super::dominators::{Sweep, general};
use super::edges::{check_edge, edges_of, grow, terminator};
use super::table::Check;
use super::{State, fact, invalid};
use crate::error::{Error, Part, Place, Rule};
use crate::ir::{Block, Function};
use crate::ops::Opcode;

impl State<'_, '_> {
    /// Functions own blocks and ops one behind the other, all of them, and so do their blocks.
    pub(super) fn check_spans(&mut self) -> Result<(), Error> {
        let program = self.program;
        self.starts.fill(0);
        let (mut block, mut op) = (0u32, 0u32);
        for (index, function) in program.functions.iter().enumerate() {
            let place = Place::Function(index as u32);
            if function.signature as usize >= program.signatures.len() {
                return Err(invalid(Rule::FunctionSignature, place));
            }
            // Neither total is ever more than MAX_SIZE, so that nothing below can overflow.
            let blocks_left = program.blocks.len() as u32 - block;
            if function.first_block != block
                || function.block_count == 0
                || function.block_count > blocks_left
            {
                return Err(invalid(Rule::FunctionBlocks, place));
            }
            let ops_left = program.ops.len() as u32 - op;
            if function.first_op != op || function.op_count > ops_left {
                return Err(invalid(Rule::FunctionOps, place));
            }
            self.check_blocks(index as u32, function)?;
            block += function.block_count;
            op += function.op_count;
        }
        if block as usize != program.blocks.len() {
            return Err(invalid(Rule::BlockOwner, Place::Program));
        }
        if op as usize != program.ops.len() {
            return Err(invalid(Rule::OpOwner, Place::Program));
        }
        // The bits are there; now the counts.
        let mut before = 0;
        for pair in self.starts.chunks_exact_mut(2) {
            pair[0] = before;
            before += pair[1].count_ones();
        }
        Ok(())
    }

    /// The blocks of a function own its ops. Marks where they begin.
    fn check_blocks(&mut self, index: u32, function: &Function) -> Result<(), Error> {
        let mut op = function.first_op;
        let end = function.first_op + function.op_count;
        for (block, local) in self.program.blocks_of(function).iter().zip(0..) {
            let place = Place::Block {
                function: index,
                block: function.first_block + local,
            };
            if block.first_op != op || block.op_count == 0 || block.op_count > end - op {
                return Err(invalid(Rule::BlockOps, place));
            }
            if block.parameter_count >= block.op_count {
                return Err(invalid(Rule::BlockParameters, place));
            }
            if let Some(bits) = self.starts.get_mut(2 * (op as usize / 32) + 1) {
                *bits |= 1 << (op % 32);
            }
            op += block.op_count;
        }
        if op != end {
            return Err(invalid(Rule::BlockOps, Place::Function(index)));
        }
        Ok(())
    }

    /// The blocks of a function, and the ways between them.
    pub(super) fn check_structure(&mut self, index: u32) -> Result<(), Error> {
        let program = self.program;
        let Some(function) = program.functions.get(index as usize) else {
            return Err(internal(line!()));
        };
        let first = function.first_block as usize;
        let last = first + function.block_count as usize;
        let Some(blocks) = program.blocks.get(first..last) else {
            return Err(internal(line!()));
        };
        self.check_entry(index, function, blocks)?;

        let Some(tree) = self.tree.get_mut(first..last) else {
            return Err(internal(line!()));
        };
        let mut sweep = Sweep::new(tree);
        for (local, block) in blocks.iter().enumerate() {
            let Some(op) = terminator(program, block) else {
                return Err(internal(line!()));
            };
            if !Check::of(op.code).terminates {
                let place = Place::Block {
                    function: index,
                    block: function.first_block + local as u32,
                };
                return Err(invalid(Rule::BlockTerminator, place));
            }
            let followed = sweep.block(local);
            let wrong = |rule| {
                let place = Place::Op {
                    function: index,
                    block: function.first_block + local as u32,
                    op: block.first_op + block.op_count - 1,
                };
                invalid(rule, place)
            };
            let pair = [op.b, op.c];
            let edges = edges_of(program, op, &pair).map_err(wrong)?;
            if op.code == Opcode::Switch {
                grow(&mut self.size, edges.len()).map_err(wrong)?;
            }
            for &at in edges {
                let first = function.first_block;
                let target =
                    check_edge(program, blocks, first, at, &mut self.size).map_err(wrong)?;
                if followed {
                    sweep.edge(local, target);
                }
            }
        }
        let backward = sweep.backward();
        let mut in_order = sweep.finish(function.first_block, self.scratch);
        if !in_order {
            let first = function.first_block;
            in_order =
                general(program, blocks, first, tree, self.scratch).ok_or(internal(line!()))?;
        }
        if let Some(facts) = self.facts.get_mut(index as usize) {
            *facts |= backward << fact::BACKWARD_SHIFT;
            if in_order {
                *facts |= fact::IN_ORDER;
            }
        }
        Ok(())
    }

    /// The entry's parameters are the function's.
    fn check_entry(&self, index: u32, function: &Function, blocks: &[Block]) -> Result<(), Error> {
        let Some(entry) = blocks.first() else {
            return Err(internal(line!()));
        };
        let types = self.program.parameters(function.signature);
        let first = entry.first_op as usize;
        let ops = self.program.ops.get(first..).unwrap_or(&[]);
        let matches = entry.parameter_count as usize == types.len()
            && types
                .iter()
                .zip(ops)
                .all(|(ty, op)| Check::of(op.code).result(op.aux) == *ty as u8);
        if !matches {
            let place = Place::Block {
                function: index,
                block: function.first_block,
            };
            return Err(invalid(Rule::EntryParameters, place));
        }
        Ok(())
    }
}

/// What cannot happen.
#[cold]
pub(super) fn internal(line: u32) -> Error {
    Error::Internal {
        part: Part::Verify,
        line,
    }
}
