//! The order in which a function's blocks are walked, its loops' heads, and parameters that are other values.
//!
//! ```text
//!   order    the program's own, if every block but the entry has a predecessor before it; else a reverse postorder
//!   edges    for each block a list of those that lead to it
//!   aliases  in reverse order: a parameter that gets one value from everywhere, itself aside, is that value
//! ```
//!
//! In either order dominators come first. Run fuel is charged on edges that do not lead forward, so an order may only be taken if
//! it charges no more anywhere than the program's: its own does, and so does a reverse postorder in which every edge back
//! leads to a dominator of its source, since the program's order has an edge back on every such cycle too. A function with
//! neither is copied as it stands. All of this is linear in blocks, edges and their arguments.

use super::workspace::{
    BLOCK_WORDS, COMING, FLAG_LOOP, FLAG_TANGLED, FLAGS, FROM, INCOMING, OUT, PENDING, POSITION,
    TRIED, Workspace,
};
use crate::ir::{Block, Function, NONE, Op, Program};
use crate::ops::Opcode;
use crate::verify::Verified;

/// Of a parameter's aliases: every edge that comes back passes it on as it is.
pub(super) const SELF: u32 = NONE - 1;

/// How a function is walked.
pub(super) struct Order {
    /// How many blocks there are.
    pub count: u32,
    /// How many edges there are.
    pub edges: u32,
    /// No order serves: the function is copied.
    pub verbatim: bool,
}

/// The last op of a block.
#[inline]
pub(super) fn terminator<'p>(program: &Program<'p>, block: &Block) -> &'p Op {
    &program.ops[(block.first_op + block.op_count - 1) as usize]
}

/// Calls back with the extra index of every edge of a block, in the order of the text.
#[inline]
pub(super) fn for_each_edge(program: &Program, block: &Block, mut visit: impl FnMut(u32)) {
    let op = terminator(program, block);
    match op.code {
        Opcode::Jump => visit(op.b),
        Opcode::Branch => {
            visit(op.b);
            visit(op.c);
        }
        Opcode::Switch => {
            let count = program.extra[op.b as usize];
            let first = op.b as usize + 1;
            for &edge in &program.extra[first..=first + count as usize] {
                visit(edge);
            }
        }
        _ => {}
    }
}

/// The extra index of an edge of a block by its number from the last, if there is one. Constant time.
#[inline]
fn edge_from_last(program: &Program, block: &Block, number: u32) -> Option<u32> {
    let op = terminator(program, block);
    match (op.code, number) {
        (Opcode::Jump, 0) | (Opcode::Branch, 1) => Some(op.b),
        (Opcode::Branch, 0) => Some(op.c),
        (Opcode::Switch, _) => {
            let last = program.extra[op.b as usize];
            let number = last.checked_sub(number)?;
            Some(program.extra[(op.b + 1 + number) as usize])
        }
        _ => None,
    }
}

/// Orders the blocks, counts and lists edges: [`PENDING`] and [`COMING`].
pub(super) fn prepare(
    verified: &Verified,
    function: &Function,
    workspace: &mut Workspace,
) -> Order {
    let program = verified.program();
    let blocks = program.blocks_of(function);
    let first = function.first_block;
    let mut order = Order {
        count: 0,
        edges: 0,
        verbatim: false,
    };
    if !natural(program, blocks, first, workspace, &mut order) {
        reverse_postorder(program, blocks, first, workspace, &mut order);
        if !leads_back_to_dominators(verified, blocks, first, workspace, &order) {
            order.verbatim = true;
            order.count = blocks.len() as u32;
            for (index, place) in workspace.order.iter_mut().take(blocks.len()).enumerate() {
                *place = index as u32;
            }
            for (block, index) in workspace.blocks.iter_mut().take(blocks.len()).zip(0..) {
                block[POSITION] = index;
                block[PENDING] = 0;
            }
        }
    }
    let mut count = 0;
    for position in 0..order.count {
        let index = workspace.order[position as usize];
        for_each_edge(program, &blocks[index as usize], |at| {
            let target = &mut workspace.blocks[(program.extra[at as usize] - first) as usize];
            if target[POSITION] <= position {
                target[FLAGS] |= FLAG_LOOP;
                if !verified.dominates(program.extra[at as usize], first + index) {
                    target[FLAGS] |= FLAG_TANGLED;
                }
            }
            if order.verbatim {
                target[PENDING] += 1;
            }
            workspace.edges[count as usize] = [at, position, target[COMING]];
            target[COMING] = count;
            count += 1;
        });
    }
    order.edges = count;
    order
}

/// Takes the program's order, if every reachable block has a predecessor before it.
fn natural(
    program: &Program,
    blocks: &[Block],
    first: u32,
    workspace: &mut Workspace,
    order: &mut Order,
) -> bool {
    for block in workspace.blocks.iter_mut().take(blocks.len()) {
        *block = [0; BLOCK_WORDS];
        block[POSITION] = NONE;
        block[COMING] = NONE;
        block[INCOMING] = NONE;
        block[OUT] = NONE;
    }
    let mut sound = true;
    for (block, index) in blocks.iter().zip(0..) {
        if workspace.blocks[index as usize][PENDING] == 0 && index != 0 {
            continue;
        }
        workspace.order[order.count as usize] = index;
        workspace.blocks[index as usize][POSITION] = order.count;
        order.count += 1;
        for_each_edge(program, block, |at| {
            let to = program.extra[at as usize] - first;
            let record = &mut workspace.blocks[to as usize];
            sound &= to >= index || record[POSITION] != NONE;
            record[PENDING] += 1;
        });
    }
    sound
}

/// Orders the blocks by a depth-first walk with an explicit stack. Last edges go first, so that the block of a first edge stands
/// right behind, where it can.
fn reverse_postorder(
    program: &Program,
    blocks: &[Block],
    first: u32,
    workspace: &mut Workspace,
    order: &mut Order,
) {
    for block in workspace.blocks.iter_mut().take(blocks.len()) {
        block[POSITION] = NONE;
        block[PENDING] = 0;
        block[TRIED] = 0;
    }
    let mut finished = blocks.len();
    let mut current = 0u32;
    workspace.blocks[0][FROM] = NONE;
    workspace.blocks[0][POSITION] = 0;
    while current != NONE {
        let record = &mut workspace.blocks[current as usize];
        let tried = record[TRIED];
        record[TRIED] += 1;
        if let Some(at) = edge_from_last(program, &blocks[current as usize], tried) {
            let to = program.extra[at as usize] - first;
            let record = &mut workspace.blocks[to as usize];
            record[PENDING] += 1;
            if record[POSITION] == NONE {
                record[POSITION] = 0;
                record[FROM] = current;
                current = to;
            }
        } else {
            finished -= 1;
            workspace.order[finished] = current;
            current = record[FROM];
        }
    }
    workspace.order.copy_within(finished..blocks.len(), 0);
    order.count = (blocks.len() - finished) as u32;
    for position in 0..order.count {
        let block = workspace.order[position as usize];
        workspace.blocks[block as usize][POSITION] = position;
    }
}

/// Whether every edge that does not lead forward leads to a block that dominates its source.
fn leads_back_to_dominators(
    verified: &Verified,
    blocks: &[Block],
    first: u32,
    workspace: &Workspace,
    order: &Order,
) -> bool {
    let program = verified.program();
    let mut sound = true;
    for position in 0..order.count {
        let from = workspace.order[position as usize];
        for_each_edge(program, &blocks[from as usize], |at| {
            let target = program.extra[at as usize];
            let back = workspace.blocks[(target - first) as usize][POSITION] <= position;
            sound &= !back || verified.dominates(target, first + from);
        });
    }
    sound
}

/// The value that a parameter is known to be, or the value itself. Values are counted from the function's first op.
fn resolve(map: &mut [u32], value: u32) -> u32 {
    let mut root = value;
    while map[root as usize] < SELF {
        root = map[root as usize];
    }
    let mut at = value;
    while map[at as usize] < SELF {
        let next = map[at as usize];
        map[at as usize] = root;
        at = next;
    }
    root
}

/// Finds parameters that are other values: first of blocks where no edge comes back, in order; then of loops' heads, the innermost
/// first. In the table of aliases, which must hold [`NONE`] everywhere, a parameter gets the value that it is, or [`SELF`].
pub(super) fn find_aliases(
    program: &Program,
    function: &Function,
    workspace: &mut Workspace,
    order: &Order,
) {
    let mut heads = false;
    for position in 1..order.count {
        let block = workspace.order[position as usize];
        if program.blocks[(function.first_block + block) as usize].parameter_count == 0 {
            continue;
        }
        if workspace.blocks[block as usize][FLAGS] & FLAG_LOOP != 0 {
            heads = true;
        } else {
            find_block_aliases(program, function, workspace, position, false);
        }
    }
    if !heads {
        return;
    }
    for position in (1..order.count).rev() {
        let block = workspace.order[position as usize];
        if workspace.blocks[block as usize][FLAGS] & FLAG_LOOP != 0 {
            find_block_aliases(program, function, workspace, position, true);
        }
    }
}

/// The same for a block, which is a loop's head or is not.
fn find_block_aliases(
    program: &Program,
    function: &Function,
    workspace: &mut Workspace,
    position: u32,
    heads: bool,
) {
    let first = function.first_op;
    let block = workspace.order[position as usize] as usize;
    let record = &program.blocks[function.first_block as usize + block];
    for index in 0..record.parameter_count {
        let parameter = record.first_op + index - first;
        let (mut only, mut several, mut comes_back_changed) = (NONE, false, false);
        let mut edge = workspace.blocks[block][COMING];
        while edge != NONE {
            let [at, from, next] = workspace.edges[edge as usize];
            edge = next;
            let argument = program.extra[(at + 2 + index) as usize] - first;
            let argument = resolve(workspace.aliases, argument);
            if argument == parameter {
                continue;
            }
            several |= only != NONE && only != argument;
            only = argument;
            comes_back_changed |= from >= position;
            if several && (comes_back_changed || !heads) {
                break;
            }
        }
        if only != NONE && !several {
            workspace.aliases[parameter as usize] = only;
        } else if heads && !comes_back_changed {
            workspace.aliases[parameter as usize] = SELF;
        }
    }
}
