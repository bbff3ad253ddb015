//! The records of a table of code, in slices of the caller's: lists linked by index, with [`NONE`] at their ends.
//!
//! Takes nothing and checks nothing: what stands in records is the table's ([`super::Links`]), which alone reads and writes them.

use super::super::epochs::Epoch;
use crate::ir::NONE;
use crate::stencil::Distances;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Free,
    Valid,
    Doomed,
    Retired,
}

/// In [`LinkRecord::jump`]: the jump of a bridge, which is not changed.
pub(super) const FIXED: u32 = NONE;

/// A record of code.
#[derive(Clone, Copy, Debug)]
pub struct CodeRecord {
    pub(super) address: u64,
    pub(super) token: u64,
    pub(super) stamp: u64,
    pub(super) inherits: u64,
    pub(super) length: u32,
    pub(super) entry: u32,
    pub(super) distances: Distances,
    pub(super) generation: u32,
    pub(super) phase: Phase,
    pub(super) epoch: Epoch,
    /// Links out of it and into it.
    pub(super) first_out: u32,
    pub(super) first_in: u32,
    /// The code whose exit it was made for, and the list of those made for the same.
    pub(super) origin: u32,
    pub(super) next_sibling: u32,
    pub(super) previous_sibling: u32,
    pub(super) first_child: u32,
    pub(super) first_use: u32,
    /// The next one that is free, doomed or retired.
    pub(super) next: u32,
}

impl CodeRecord {
    /// Of a slice that is not used yet.
    pub const EMPTY: CodeRecord = CodeRecord {
        address: 0,
        token: 0,
        stamp: 0,
        inherits: 0,
        length: 0,
        entry: 0,
        distances: Distances::Bytes32,
        generation: 0,
        phase: Phase::Free,
        epoch: Epoch::NONE,
        first_out: NONE,
        first_in: NONE,
        origin: NONE,
        next_sibling: NONE,
        previous_sibling: NONE,
        first_child: NONE,
        first_use: NONE,
        next: NONE,
    };
}

/// A record of a link.
#[derive(Clone, Copy, Debug)]
pub struct LinkRecord {
    pub(super) from: u32,
    pub(super) to: u32,
    /// The offset in `from` of the bytes that were changed, or [`FIXED`].
    pub(super) jump: u32,
    pub(super) next_out: u32,
    pub(super) previous_out: u32,
    pub(super) next_in: u32,
    pub(super) previous_in: u32,
}

impl LinkRecord {
    /// Of a slice that is not used yet.
    pub const EMPTY: LinkRecord = LinkRecord {
        from: NONE,
        to: NONE,
        jump: NONE,
        next_out: NONE,
        previous_out: NONE,
        next_in: NONE,
        previous_in: NONE,
    };
}

/// A record of something that code depends on.
#[derive(Clone, Copy, Debug)]
pub struct DependencyRecord {
    pub(super) generation: u32,
    pub(super) is_used: bool,
    pub(super) first_use: u32,
    pub(super) next: u32,
}

impl DependencyRecord {
    /// Of a slice that is not used yet.
    pub const EMPTY: DependencyRecord = DependencyRecord {
        generation: 0,
        is_used: false,
        first_use: NONE,
        next: NONE,
    };
}

/// A record of one code that depends on one thing.
#[derive(Clone, Copy, Debug)]
pub struct UseRecord {
    pub(super) dependency: u32,
    pub(super) code: u32,
    pub(super) next_of_code: u32,
    pub(super) next_of_dependency: u32,
    pub(super) previous_of_dependency: u32,
}

impl UseRecord {
    /// Of a slice that is not used yet.
    pub const EMPTY: UseRecord = UseRecord {
        dependency: NONE,
        code: NONE,
        next_of_code: NONE,
        next_of_dependency: NONE,
        previous_of_dependency: NONE,
    };
}

/// The storage of a table: as many records of each kind as there may be at a time.
#[derive(Debug)]
pub struct LinkStorage<'a> {
    /// One for each code that is valid, or retired and not reclaimed.
    pub codes: &'a mut [CodeRecord],
    /// One for each exit that is linked, and one for each bridge.
    pub links: &'a mut [LinkRecord],
    /// One for each dependency.
    pub dependencies: &'a mut [DependencyRecord],
    /// One for each dependency of each code.
    pub uses: &'a mut [UseRecord],
}
