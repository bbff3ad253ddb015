//! The order in which a function's blocks are compiled, and its loops.
//!
//! Takes a verified function; promises an order in which every reachable block but the entry has a predecessor
//! before it (so its immediate dominator too), and loops that are spans of that order, properly nested:
//!
//! ```text
//!   order:   entry  head  body  inner  latch  exit
//!                   └──── loop: from a block that is jumped back to, to the last block that does ────┘
//! ```
//!
//! The program's own order is taken where it has that property, else a reverse postorder. A jump backward in the
//! order makes a loop whether or not its head dominates it, so irreducible graphs need no case of their own: spans
//! that cross are widened until they nest. Costs time linear in blocks and edges; recursion-free.

use super::workspace::{
    BLOCK_LABEL, BLOCK_LATCH, BLOCK_LOOP, BLOCK_POSITION, BLOCK_PREDECESSORS, BLOCK_START,
    LOOP_DEPTH, LOOP_END, LOOP_HEAD, LOOP_PARENT, Workspace,
};
use crate::ir::{Function, NONE, Program};
use crate::ops::Opcode;
use crate::patch::Label;

/// Calls back with the block of every outgoing edge of a block, in the order of the text.
#[inline(always)]
pub(super) fn for_each_successor(program: &Program, block: u32, mut visit: impl FnMut(u32)) {
    let record = program.blocks[block as usize];
    let terminator = program.ops[(record.first_op + record.op_count - 1) as usize];
    let mut edge = |at: u32| visit(program.extra[at as usize]);
    match terminator.code {
        Opcode::Jump => edge(terminator.b),
        Opcode::Branch => {
            edge(terminator.b);
            edge(terminator.c);
        }
        Opcode::Switch => {
            let at = terminator.b as usize;
            let count = program.extra[at] as usize;
            for &at in &program.extra[at + 1..at + 2 + count] {
                edge(at);
            }
        }
        _ => {}
    }
}

/// Fills in the order, each block's place, start, predecessors and loop, and the loops.
pub(super) fn lay_out(program: &Program, function: &Function, workspace: &mut Workspace) {
    let loops = match natural_order(program, function, workspace) {
        Some(loops) => loops,
        None => {
            reverse_postorder(program, function, workspace);
            find_backward_jumps(program, function, workspace)
        }
    };
    workspace.loop_count = 0;
    if loops {
        nest_loops(workspace);
    }
}

/// The first words of a block's record before anything is known of it.
const UNKNOWN: [u32; 8] = {
    let mut words = [0; 8];
    words[BLOCK_LABEL] = Label::UNUSED.0;
    words[BLOCK_POSITION] = NONE;
    words[BLOCK_LOOP] = NONE;
    words[BLOCK_LATCH] = NONE;
    words
};

/// Takes the program's order, if every reachable block has a predecessor before it; tells whether something jumps
/// backward in it. Blocks that nothing reaches are left out.
fn natural_order(
    program: &Program,
    function: &Function,
    workspace: &mut Workspace,
) -> Option<bool> {
    let first = function.first_block;
    for block in workspace.blocks.iter_mut() {
        block[..UNKNOWN.len()].copy_from_slice(&UNKNOWN);
    }
    workspace.blocks[0][BLOCK_PREDECESSORS] = 1;
    let (mut sound, mut loops) = (true, false);
    let (mut count, mut start) = (0, 0);
    for (block, index) in program.blocks_of(function).iter().zip(0..) {
        let record = &mut workspace.blocks[index as usize];
        // Reached so far only by blocks before it.
        if record[BLOCK_PREDECESSORS] != 0 {
            record[BLOCK_POSITION] = count;
            record[BLOCK_START] = start;
            start += block.op_count;
            workspace.order[count as usize] = index;
            for_each_successor(program, first + index, |to| {
                let to = to - first;
                let record = &mut workspace.blocks[to as usize];
                record[BLOCK_PREDECESSORS] += 1;
                if to <= index {
                    sound &= record[BLOCK_POSITION] != NONE;
                    record[BLOCK_LATCH] = count;
                    loops = true;
                }
            });
            count += 1;
        }
    }
    workspace.block_count = count;
    sound.then_some(loops)
}

/// Orders the blocks by a depth-first walk with an explicit stack.
fn reverse_postorder(program: &Program, function: &Function, workspace: &mut Workspace) {
    let first = function.first_block;
    let total = function.block_count as usize;
    for block in workspace.blocks.iter_mut() {
        block[BLOCK_POSITION] = NONE;
        block[BLOCK_PREDECESSORS] = 0;
    }
    // The stack holds the path to the current block as a list through BLOCK_LOOP; BLOCK_START counts the
    // successors that were tried.
    let mut current = 0;
    workspace.blocks[0][BLOCK_LOOP] = NONE;
    workspace.blocks[0][BLOCK_START] = 0;
    workspace.blocks[0][BLOCK_POSITION] = 0;
    let mut finished = total;
    loop {
        let tried = workspace.blocks[current as usize][BLOCK_START];
        let mut next = NONE;
        if let Some(to) = successor(program, first + current, tried) {
            next = to - first;
            workspace.blocks[current as usize][BLOCK_START] += 1;
            workspace.blocks[next as usize][BLOCK_PREDECESSORS] += 1;
            if workspace.blocks[next as usize][BLOCK_POSITION] != NONE {
                continue;
            }
        }
        if next == NONE {
            finished -= 1;
            workspace.order[finished] = current;
            current = workspace.blocks[current as usize][BLOCK_LOOP];
            if current == NONE {
                break;
            }
        } else {
            let record = &mut workspace.blocks[next as usize];
            record[BLOCK_LOOP] = current;
            record[BLOCK_START] = 0;
            record[BLOCK_POSITION] = 0;
            current = next;
        }
    }
    workspace.order.copy_within(finished..total, 0);
    workspace.block_count = (total - finished) as u32;
    workspace.blocks[0][BLOCK_PREDECESSORS] += 1;
    let mut start = 0;
    for position in 0..workspace.block_count {
        let block = workspace.order[position as usize];
        workspace.blocks[block as usize][BLOCK_POSITION] = position;
        workspace.blocks[block as usize][BLOCK_START] = start;
        start += program.blocks[(first + block) as usize].op_count;
    }
    for block in workspace.blocks.iter_mut() {
        block[BLOCK_LOOP] = NONE;
    }
}

/// The block of the edge with this number, if there is one. Constant time.
#[inline]
fn successor(program: &Program, block: u32, number: u32) -> Option<u32> {
    let record = program.blocks[block as usize];
    let terminator = program.ops[(record.first_op + record.op_count - 1) as usize];
    let edge = match (terminator.code, number) {
        (Opcode::Jump | Opcode::Branch, 0) => terminator.b,
        (Opcode::Branch, 1) => terminator.c,
        (Opcode::Switch, _) => {
            let count = program.extra[terminator.b as usize];
            if number > count {
                return None;
            }
            program.extra[terminator.b as usize + 1 + number as usize]
        }
        _ => return None,
    };
    Some(program.edge(edge).block)
}

/// Notes for each block the last position that jumps back to it; tells whether there is any.
fn find_backward_jumps(program: &Program, function: &Function, workspace: &mut Workspace) -> bool {
    let first = function.first_block;
    let mut any = false;
    for block in workspace.blocks.iter_mut() {
        block[BLOCK_LATCH] = NONE;
    }
    for position in 0..workspace.block_count {
        let block = workspace.order[position as usize];
        for_each_successor(program, first + block, |to| {
            let record = &mut workspace.blocks[(to - first) as usize];
            if record[BLOCK_POSITION] <= position {
                record[BLOCK_LATCH] = position;
                any = true;
            }
        });
    }
    any
}

/// Makes a loop of each span that a backward jump closes, nested by widening.
fn nest_loops(workspace: &mut Workspace) {
    let mut open = NONE;
    let order = &workspace.order[..workspace.block_count as usize];
    for (&block, position) in order.iter().zip(0..) {
        let record = &mut workspace.blocks[block as usize];
        let last = record[BLOCK_LATCH];
        if last != NONE {
            let index = workspace.loop_count;
            workspace.loop_count += 1;
            let depth = match open {
                NONE => 1,
                parent => workspace.loops[parent as usize][LOOP_DEPTH] + 1,
            };
            let inner = &mut workspace.loops[index as usize];
            *inner = [0; super::workspace::LOOP_WORDS];
            inner[LOOP_HEAD] = position;
            inner[LOOP_END] = last;
            inner[LOOP_PARENT] = open;
            inner[LOOP_DEPTH] = depth;
            open = index;
        }
        record[BLOCK_LOOP] = open;
        while open != NONE && workspace.loops[open as usize][LOOP_END] <= position {
            let end = workspace.loops[open as usize][LOOP_END];
            open = workspace.loops[open as usize][LOOP_PARENT];
            if open != NONE {
                let parent = &mut workspace.loops[open as usize];
                parent[LOOP_END] = parent[LOOP_END].max(end);
            }
        }
    }
}
