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
    BLOCK_FLAGS, BLOCK_LABEL, BLOCK_LOOP, BLOCK_POSITION, BLOCK_PREDECESSORS, BLOCK_START,
    LOOP_DEPTH, LOOP_END, LOOP_HEAD, LOOP_PARENT, Workspace,
};
use crate::ir::{Function, NONE, Program};
use crate::ops::Opcode;
use crate::patch::Label;

/// Calls back with the block of every outgoing edge of a block, in the order of the text.
#[inline]
pub(super) fn for_each_successor(program: &Program, block: u32, mut visit: impl FnMut(u32)) {
    let mut number = 0;
    while let Some(to) = successor(program, block, number) {
        visit(to);
        number += 1;
    }
}

/// Fills in the order, each block's position, predecessors and loop, and the loops.
pub(super) fn lay_out(program: &Program, function: &Function, workspace: &mut Workspace) {
    if !natural_order(program, function, workspace) {
        reverse_postorder(program, function, workspace);
    }
    find_loops(program, function, workspace);
}

/// Takes the program's order, if every reachable block has a predecessor before it. Blocks that nothing reaches are
/// left out.
fn natural_order(program: &Program, function: &Function, workspace: &mut Workspace) -> bool {
    let first = function.first_block;
    for block in workspace.blocks.iter_mut() {
        block[BLOCK_LABEL] = Label::UNUSED.0;
        block[BLOCK_FLAGS] = 0;
        block[BLOCK_POSITION] = NONE;
        block[BLOCK_PREDECESSORS] = 0;
        block[BLOCK_LOOP] = NONE;
    }
    workspace.blocks[0][BLOCK_PREDECESSORS] = 1;
    let mut sound = true;
    let mut count = 0;
    for index in 0..function.block_count {
        // Reached so far only by blocks before it.
        if workspace.blocks[index as usize][BLOCK_PREDECESSORS] == 0 {
            continue;
        }
        workspace.order[count as usize] = index;
        workspace.blocks[index as usize][BLOCK_POSITION] = count;
        count += 1;
        for_each_successor(program, first + index, |to| {
            let to = to - first;
            let record = &mut workspace.blocks[to as usize];
            if to < index && record[BLOCK_POSITION] == NONE {
                sound = false;
            }
            record[BLOCK_PREDECESSORS] += 1;
        });
    }
    workspace.block_count = count;
    sound
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
    for position in 0..workspace.block_count {
        let block = workspace.order[position as usize] as usize;
        workspace.blocks[block][BLOCK_POSITION] = position;
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

/// Makes a loop of each span that a backward jump closes, nested by widening.
fn find_loops(program: &Program, function: &Function, workspace: &mut Workspace) {
    let first = function.first_block;
    workspace.loop_count = 0;
    let mut any = false;
    for position in 0..workspace.block_count {
        workspace.blocks[workspace.order[position as usize] as usize][BLOCK_START] = NONE;
    }
    // BLOCK_START holds, for the time being, the last position that jumps back to the block.
    for position in 0..workspace.block_count {
        let block = workspace.order[position as usize];
        for_each_successor(program, first + block, |to| {
            let record = &mut workspace.blocks[(to - first) as usize];
            if record[BLOCK_POSITION] <= position {
                record[BLOCK_START] = position;
                any = true;
            }
        });
    }
    if !any {
        return;
    }
    let mut open = NONE;
    for position in 0..workspace.block_count {
        let block = workspace.order[position as usize] as usize;
        let last = workspace.blocks[block][BLOCK_START];
        if last != NONE {
            let index = workspace.loop_count;
            workspace.loop_count += 1;
            let depth = match open {
                NONE => 1,
                parent => workspace.loops[parent as usize][LOOP_DEPTH] + 1,
            };
            let record = &mut workspace.loops[index as usize];
            *record = [0; super::workspace::LOOP_WORDS];
            record[LOOP_HEAD] = position;
            record[LOOP_END] = last;
            record[LOOP_PARENT] = open;
            record[LOOP_DEPTH] = depth;
            open = index;
        }
        workspace.blocks[block][BLOCK_LOOP] = open;
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
