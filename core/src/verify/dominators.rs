//! Which block stands on every way to which: the dominator tree of one function.
//!
//! Takes edges that are known to go to blocks of the function; promises, for each block, its immediate dominator
//! and an interval of numbers that nests as the tree does. Blocks that no way leads to have neither.
//!
//! Two ways lead there. While every edge goes forward in the program's order, or back to a block that dominates its
//! source, one pass in that order suffices: a block's immediate dominator is the nearest common ancestor of its
//! forward predecessors, found through skew-binary jump pointers in logarithmic time. Edges back to a dominator
//! change nothing. For all else (irreducible graphs, blocks before their dominators) there is Lengauer's and
//! Tarjan's algorithm with simple linking (ACM TOPLAS 1(1), 1979). Both are O(m log n) at worst, and without recursion.
//!
//! Within this file blocks are numbered from the function's entry, which is 0.

use super::edges::successor;
use crate::ir::{Block, NONE, Program};

/// What is kept for each block: the words below. In [`Sweep`] the last two are scratch.
pub(super) type Node = [u32; 3];
/// Of a block: its immediate dominator; [`NONE`] for the entry and where no way leads.
pub(super) const DOMINATOR: usize = 0;
/// Of a block: its number; [`NONE`] where no way leads.
pub(super) const NUMBER: usize = 1;
/// Of a block: the greatest number in its subtree; 0 where no way leads.
pub(super) const LAST: usize = 2;

/// Of a block that no way leads to.
const NOWHERE: Node = [NONE, NONE, 0];

/// Whether every block with a dominator stands behind it.
fn is_in_order(tree: &[Node]) -> bool {
    let mut nodes = tree.iter().enumerate();
    nodes.all(|(block, node)| node[DOMINATOR] == NONE || (node[DOMINATOR] as usize) < block)
}

/// Makes a dominator an index in the program, in which the entry is `first`.
#[inline]
fn absolute(dominator: u32, first: u32) -> u32 {
    match dominator {
        NONE => NONE,
        block => block + first,
    }
}

/// The pass in program order. Edges are fed to it block by block, in order.
pub(super) struct Sweep<'t> {
    tree: &'t mut [Node],
    /// Whether the order serves so far.
    in_order: bool,
    /// How many edges lead back so far.
    backward: u32,
}

impl<'t> Sweep<'t> {
    /// Begins with the entry. While this runs, the tree's numbers are depths, and its last numbers are ancestors to
    /// jump to.
    pub fn new(tree: &'t mut [Node]) -> Sweep<'t> {
        tree.fill(NOWHERE);
        if let Some(entry) = tree.first_mut() {
            *entry = [NONE, 0, 0];
        }
        Sweep {
            tree,
            in_order: true,
            backward: 0,
        }
    }

    /// Goes on to this block; says whether its edges are to be fed.
    #[inline(always)]
    pub fn block(&mut self, block: usize) -> bool {
        if block == 0 || !self.in_order {
            return self.in_order;
        }
        let [parent, ..] = self.tree[block];
        if parent == NONE {
            return false;
        }
        let [_, depth, ancestor] = self.tree[parent as usize];
        let [_, middle, farther] = self.tree[ancestor as usize];
        let is_farther = depth - middle == middle - self.depth(farther);
        let jump = if is_farther { farther } else { parent };
        self.tree[block] = [parent, depth + 1, jump];
        true
    }

    /// An edge of the block.
    #[inline(always)]
    pub fn edge(&mut self, from: usize, to: usize) {
        if !self.in_order {
            return;
        }
        let known = self.tree[to][DOMINATOR];
        if to <= from {
            // Back: fine where it goes to an ancestor.
            self.backward += 1;
            self.in_order =
                known != NONE && self.climb(from as u32, self.depth(to as u32)) == to as u32;
        } else if known == NONE {
            self.tree[to][DOMINATOR] = from as u32;
        } else if known != from as u32 {
            self.tree[to][DOMINATOR] = self.common(known, from as u32);
        }
    }

    fn depth(&self, block: u32) -> u32 {
        self.tree[block as usize][NUMBER]
    }

    /// The ancestor at this depth; the block itself if it is not deeper.
    fn climb(&self, mut block: u32, depth: u32) -> u32 {
        loop {
            let [dominator, own, jump] = self.tree[block as usize];
            if own <= depth {
                return block;
            }
            block = if self.depth(jump) >= depth {
                jump
            } else {
                dominator
            };
        }
    }

    /// The nearest common ancestor. At equal depths jumps are equally long.
    #[inline(never)]
    fn common(&self, a: u32, b: u32) -> u32 {
        let mut a = self.climb(a, self.depth(b));
        let mut b = self.climb(b, self.depth(a));
        while a != b {
            let (of_a, of_b) = (self.tree[a as usize], self.tree[b as usize]);
            (a, b) = if of_a[LAST] != of_b[LAST] {
                (of_a[LAST], of_b[LAST])
            } else {
                (of_a[DOMINATOR], of_b[DOMINATOR])
            };
        }
        a
    }

    /// How many edges lead back; as many as there are blocks, if the order does not serve.
    pub fn backward(&self) -> u32 {
        let blocks = self.tree.len() as u32;
        match self.in_order {
            true => self.backward.min(blocks),
            false => blocks,
        }
    }

    /// Numbers the tree and makes its dominators indices in the program, in which the entry is `first`, if the order
    /// served; else says so. `sizes` is a word for each block.
    pub fn finish(self, first: u32, sizes: &mut [u32]) -> bool {
        let Sweep { tree, in_order, .. } = self;
        if in_order {
            let sizes = &mut sizes[..tree.len()];
            sizes.fill(1);
            for block in (1..tree.len()).rev() {
                let size = sizes[block];
                if let Some(sum) = sizes.get_mut(tree[block][DOMINATOR] as usize) {
                    *sum += size;
                }
            }
            // From here on `sizes` of a block that has its number is the next number for its children.
            for (block, node) in tree.iter_mut().enumerate() {
                let size = sizes[block];
                let number = if block == 0 {
                    0
                } else if let Some(next) = sizes.get_mut(node[DOMINATOR] as usize) {
                    let number = *next;
                    *next += size;
                    number
                } else {
                    *node = NOWHERE;
                    continue;
                };
                sizes[block] = number + 1;
                *node = [absolute(node[DOMINATOR], first), number, number + size - 1];
            }
        }
        in_order
    }
}

/// Words of scratch that [`general`] needs for a function of this many blocks and edges.
pub(super) fn general_words(blocks: usize, edges: usize) -> usize {
    blocks
        .saturating_mul(9)
        .saturating_add(edges.saturating_mul(2))
}

/// The scratch of [`general`]. Vertices are blocks in the order of a depth-first walk; all but `preds` is by vertex.
struct Scratch<'w> {
    /// The block.
    block: &'w mut [u32],
    /// The parent in the walk.
    parent: &'w mut [u32],
    /// The forest of linked vertices, its paths compressed.
    ancestor: &'w mut [u32],
    /// The vertex with the least semidominator on the compressed path.
    label: &'w mut [u32],
    /// The semidominator.
    semi: &'w mut [u32],
    /// The first of the vertices whose semidominator this is.
    bucket: &'w mut [u32],
    /// The next in the bucket; once taken out of it, the dominator.
    next: &'w mut [u32],
    /// What is still to be compressed.
    stack: &'w mut [u32],
    /// By block: its last incoming edge.
    incoming: &'w mut [u32],
    /// Pairs: the source's vertex, the incoming edge before.
    edges: &'w mut [u32],
}

/// The tree of any function, by Lengauer and Tarjan. `blocks` are the function's, `first` is the entry's index in the
/// program, `words` as many as [`general_words`] says. Says whether each block stands behind its
/// dominator. Returns `None` if they are too few.
pub(super) fn general(
    program: &Program,
    blocks: &[Block],
    first: u32,
    tree: &mut [Node],
    words: &mut [u32],
) -> Option<bool> {
    let count = blocks.len();
    let mut words = words;
    let mut take = |length: usize| {
        let (taken, rest) = core::mem::take(&mut words).split_at_mut_checked(length)?;
        words = rest;
        Some(taken)
    };
    let mut scratch = Scratch {
        block: take(count)?,
        parent: take(count)?,
        ancestor: take(count)?,
        label: take(count)?,
        semi: take(count)?,
        bucket: take(count)?,
        next: take(count)?,
        stack: take(count)?,
        incoming: take(count)?,
        edges: words,
    };
    tree.fill(NOWHERE);
    let reached = scratch.walk(program, blocks, first, tree)?;
    scratch.dominate(reached);
    scratch.number(reached, tree);
    let in_order = is_in_order(tree);
    for node in tree {
        node[DOMINATOR] = absolute(node[DOMINATOR], first);
    }
    Some(in_order)
}

impl Scratch<'_> {
    /// Walks depth first from the entry; leaves each block's vertex as its number, and says how many were reached.
    fn walk(
        &mut self,
        program: &Program,
        blocks: &[Block],
        first: u32,
        tree: &mut [Node],
    ) -> Option<usize> {
        // The walk's stack is the chain of parents; `ancestor` counts the edges that were followed.
        self.incoming.fill(NONE);
        let mut reached = 1u32;
        let mut edge_count = 0;
        let mut current = 0u32;
        tree[0][NUMBER] = 0;
        self.block[0] = 0;
        self.parent[0] = 0;
        self.ancestor[0] = 0;
        loop {
            let at = current as usize;
            let taken = self.ancestor[at];
            let block = blocks.get(self.block[at] as usize)?;
            let Some(target) = successor(program, block, taken) else {
                if current == 0 {
                    return Some(reached as usize);
                }
                current = self.parent[at];
                continue;
            };
            self.ancestor[at] = taken + 1;
            let target = target.wrapping_sub(first) as usize;
            let pair = self.edges.get_mut(2 * edge_count..2 * edge_count + 2)?;
            pair[0] = current;
            pair[1] = *self.incoming.get(target)?;
            self.incoming[target] = edge_count as u32;
            edge_count += 1;
            if tree[target][NUMBER] == NONE {
                tree[target][NUMBER] = reached;
                self.block[reached as usize] = target as u32;
                self.parent[reached as usize] = current;
                self.ancestor[reached as usize] = 0;
                current = reached;
                reached += 1;
            }
        }
    }

    /// The vertex with the least semidominator on the way from `vertex` up to where nothing is linked: vertices
    /// above `limit` are.
    fn evaluate(&mut self, vertex: u32, limit: u32) -> u32 {
        let mut depth = 0;
        let mut at = vertex;
        while self.ancestor[at as usize] > limit {
            self.stack[depth] = at;
            depth += 1;
            at = self.ancestor[at as usize];
        }
        while depth > 0 {
            depth -= 1;
            let below = self.stack[depth] as usize;
            let label = self.label[at as usize];
            if self.semi[label as usize] < self.semi[self.label[below] as usize] {
                self.label[below] = label;
            }
            self.ancestor[below] = self.ancestor[at as usize];
            at = below as u32;
        }
        self.label[vertex as usize]
    }

    /// Finds the dominators; they are in `next` then.
    fn dominate(&mut self, reached: usize) {
        self.ancestor[..reached].copy_from_slice(&self.parent[..reached]);
        self.bucket[..reached].fill(NONE);
        self.next[..reached].fill(0);
        for vertex in 0..reached {
            self.label[vertex] = vertex as u32;
            self.semi[vertex] = vertex as u32;
        }
        for vertex in (1..reached as u32).rev() {
            let at = vertex as usize;
            let mut edge = self.incoming[self.block[at] as usize];
            let mut least = self.parent[at];
            while edge != NONE {
                let source = self.edges[2 * edge as usize];
                edge = self.edges[2 * edge as usize + 1];
                let best = if source > vertex {
                    self.evaluate(source, vertex)
                } else {
                    source
                };
                least = least.min(self.semi[best as usize]);
            }
            self.semi[at] = least;
            self.next[at] = self.bucket[least as usize];
            self.bucket[least as usize] = vertex;
            // From here on the vertex counts as linked to its parent.
            let parent = self.parent[at];
            let mut waiting = self.bucket[parent as usize];
            self.bucket[parent as usize] = NONE;
            while waiting != NONE {
                let following = self.next[waiting as usize];
                let best = self.evaluate(waiting, vertex - 1);
                self.next[waiting as usize] =
                    if self.semi[best as usize] < self.semi[waiting as usize] {
                        best
                    } else {
                        parent
                    };
                waiting = following;
            }
        }
        for vertex in 1..reached {
            if self.next[vertex] != self.semi[vertex] {
                self.next[vertex] = self.next[self.next[vertex] as usize];
            }
        }
    }

    /// Numbers the tree. A dominator's vertex is below those of what it dominates.
    fn number(&mut self, reached: usize, tree: &mut [Node]) {
        // `stack` is sizes, and then the next numbers for children, as in the sweep.
        self.stack[..reached].fill(1);
        for vertex in (1..reached).rev() {
            self.stack[self.next[vertex] as usize] += self.stack[vertex];
        }
        for vertex in 0..reached {
            let size = self.stack[vertex];
            let block = self.block[vertex] as usize;
            let (dominator, number) = if vertex == 0 {
                (NONE, 0)
            } else {
                let parent = self.next[vertex] as usize;
                let number = self.stack[parent];
                self.stack[parent] += size;
                (self.block[parent], number)
            };
            tree[block] = [dominator, number, number + size - 1];
            self.stack[vertex] = number + 1;
        }
    }
}
