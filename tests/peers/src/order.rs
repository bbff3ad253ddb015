//! In which order blocks are translated, and how deep in loops each stands.
//!
//! One depth-first walk finds both; the loop forest is that of Wei, Mao, Zou and Chen (2007), which takes
//! irreducible graphs. Almost linear, no recursion.

use patchjit::ir::{Edge, Op, Program};
use patchjit::ops::Opcode;

/// The blocks of a function that can be reached.
pub struct Order {
    /// In reverse postorder: definitions before uses. Indices within the function.
    pub blocks: Vec<usize>,
    /// Of each block of the function: how many loops it stands in, its own included if it is a header.
    pub depth: Vec<u32>,
}

/// The edges of a terminator.
pub fn edges<'a>(program: &Program<'a>, op: &Op) -> Vec<Edge<'a>> {
    match op.code {
        Opcode::Jump => vec![program.edge(op.b)],
        Opcode::Branch => vec![program.edge(op.b), program.edge(op.c)],
        Opcode::Switch => {
            let edges = switch_edges(program, op).iter();
            edges.map(|&at| program.edge(at)).collect()
        }
        _ => Vec::new(),
    }
}

/// Extra indices of a switch's edges, the default's last.
pub fn switch_edges<'a>(program: &Program<'a>, op: &Op) -> &'a [u32] {
    let start = op.b as usize;
    let count = program.extra[start] as usize;
    &program.extra[start + 1..start + 2 + count]
}

/// A block of the walk.
#[derive(Clone, Copy, Default)]
struct Node {
    seen: bool,
    is_header: bool,
    /// Position on the current path from 1, or 0 where the block is not on it.
    position: u32,
    /// The header of the innermost loop around it (for a header: around its loop).
    header: Option<u32>,
}

impl Order {
    /// Walks a function.
    pub fn new(program: &Program, function: usize) -> Order {
        let record = &program.functions[function];
        let blocks = program.blocks_of(record);
        let successors = |block: usize| -> Vec<u32> {
            let block = &blocks[block];
            let op = &program.ops[(block.first_op + block.op_count - 1) as usize];
            let edges = edges(program, op).into_iter();
            edges.map(|edge| edge.block - record.first_block).collect()
        };
        let mut nodes = vec![Node::default(); blocks.len()];
        let mut order = Vec::with_capacity(blocks.len());
        let mut path = vec![(0u32, successors(0))];
        nodes[0] = Node {
            seen: true,
            position: 1,
            ..Node::default()
        };
        while let Some((block, rest)) = path.last_mut() {
            let block = *block;
            match rest.pop() {
                Some(next) if !nodes[next as usize].seen => {
                    let node = &mut nodes[next as usize];
                    node.seen = true;
                    node.position = path.len() as u32 + 1;
                    path.push((next, successors(next as usize)));
                }
                Some(next) => revisit(&mut nodes, block, next),
                None => {
                    order.push(block as usize);
                    nodes[block as usize].position = 0;
                    path.pop();
                    if let (Some(&(parent, _)), Some(header)) =
                        (path.last(), nodes[block as usize].header)
                    {
                        set_header(&mut nodes, parent, header);
                    }
                }
            }
        }
        order.reverse();
        let mut depth = vec![0; blocks.len()];
        for &block in &order {
            // A header comes before what it heads in reverse postorder, if the graph is reducible; else
            // the depth is merely a guess.
            let node = nodes[block];
            let outer = node.header.map_or(0, |header| depth[header as usize]);
            depth[block] = outer + u32::from(node.is_header);
        }
        Order {
            blocks: order,
            depth,
        }
    }
}

/// An edge to a block that was seen before: a back-edge, or one into a loop that is known already.
fn revisit(nodes: &mut [Node], block: u32, next: u32) {
    if nodes[next as usize].position > 0 {
        nodes[next as usize].is_header = true;
        set_header(nodes, block, next);
        return;
    }
    let mut header = nodes[next as usize].header;
    while let Some(at) = header {
        if nodes[at as usize].position > 0 {
            set_header(nodes, block, at);
            return;
        }
        header = nodes[at as usize].header;
    }
}

/// Puts a header into a block's chain of headers, where its position on the path says.
fn set_header(nodes: &mut [Node], block: u32, header: u32) {
    let (mut block, mut header) = (block, header);
    if block == header {
        return;
    }
    while let Some(known) = nodes[block as usize].header {
        if known == header {
            return;
        }
        if nodes[known as usize].position < nodes[header as usize].position {
            nodes[block as usize].header = Some(header);
            (block, header) = (header, known);
        } else {
            block = known;
        }
    }
    nodes[block as usize].header = Some(header);
}
