//! The storage that a builder fills: the caller's slices, and how much of each is used.

use crate::error::{Error, Storage as Which};
use crate::ir::{
    Block, Exit, ExitKind, Function, HostFunction, MAX_REGIONS, NONE, Op, Program, Region,
    Signature, Tag,
};
use crate::ops::Opcode;
use crate::types::Type;

/// Where the records go. What does not fit is an [`Error`] that names the slice.
#[derive(Debug)]
pub struct Storage<'a> {
    /// One for each function.
    pub functions: &'a mut [Function],
    /// One for each block.
    pub blocks: &'a mut [Block],
    /// One for each op, block parameter and further call result.
    pub ops: &'a mut [Op],
    /// Words: see [`Counts::extra`].
    pub extra: &'a mut [u32],
    /// One for each call of [`super::Builder::exit`].
    pub exits: &'a mut [Exit],
    /// One for each different signature.
    pub signatures: &'a mut [Signature],
    /// The types of all signatures.
    pub types: &'a mut [Type],
    /// One for each region.
    pub regions: &'a mut [Region],
    /// One for each host function.
    pub hosts: &'a mut [HostFunction],
    /// One for each tag.
    pub tags: &'a mut [Tag],
    /// One for each op; or empty, and positions are not kept.
    pub positions: &'a mut [u32],
}

/// How much of each slice of a [`Storage`] a program takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Functions.
    pub functions: usize,
    /// Blocks.
    pub blocks: usize,
    /// Ops, block parameters and further call results.
    pub ops: usize,
    /// Words of variable length. A region access takes 2 (a compare-exchange 3), a call or return 1 and its values
    /// (an indirect call 2), an edge 2 and its arguments, a switch 2 and one more for each target beside the edges,
    /// an exit 2 for each snapshot entry.
    pub extra: usize,
    /// Exits.
    pub exits: usize,
    /// Signatures.
    pub signatures: usize,
    /// Types in signatures.
    pub types: usize,
    /// Regions.
    pub regions: usize,
    /// Host functions.
    pub hosts: usize,
    /// Tags.
    pub tags: usize,
}

impl Counts {
    /// What a program takes.
    pub const fn of(program: &Program<'_>) -> Counts {
        Counts {
            functions: program.functions.len(),
            blocks: program.blocks.len(),
            ops: program.ops.len(),
            extra: program.extra.len(),
            exits: program.exits.len(),
            signatures: program.signatures.len(),
            types: program.types.len(),
            regions: program.regions.len(),
            hosts: program.hosts.len(),
            tags: program.tags.len(),
        }
    }
}

/// Storage of a fixed size for programs of up to `N` ops; may stand in a `static` or on the stack.
/// There is room for `N` of everything but [`MAX_REGIONS`] regions and 32 tags, and four words of `extra` for each op.
#[derive(Clone, Debug)]
pub struct Buffers<const N: usize> {
    functions: [Function; N],
    blocks: [Block; N],
    ops: [Op; N],
    extra: [[u32; 4]; N],
    exits: [Exit; N],
    signatures: [Signature; N],
    types: [Type; N],
    regions: [Region; MAX_REGIONS],
    hosts: [HostFunction; N],
    tags: [Tag; BUFFERED_TAGS],
    positions: [u32; N],
}

/// Tags that [`Buffers`] has room for, whatever else there is.
const BUFFERED_TAGS: usize = 32;

impl<const N: usize> Buffers<N> {
    /// Empty buffers.
    pub const fn new() -> Buffers<N> {
        Buffers {
            functions: [EMPTY_FUNCTION; N],
            blocks: [EMPTY_BLOCK; N],
            ops: [EMPTY_OP; N],
            extra: [[0; 4]; N],
            exits: [EMPTY_EXIT; N],
            signatures: [EMPTY_SIGNATURE; N],
            types: [Type::I32; N],
            regions: [Region::fixed(0); MAX_REGIONS],
            hosts: [HostFunction { signature: 0 }; N],
            tags: [EMPTY_TAG; BUFFERED_TAGS],
            positions: [NONE; N],
        }
    }

    /// All of it, for a builder.
    pub fn storage(&mut self) -> Storage<'_> {
        Storage {
            functions: &mut self.functions,
            blocks: &mut self.blocks,
            ops: &mut self.ops,
            extra: self.extra.as_flattened_mut(),
            exits: &mut self.exits,
            signatures: &mut self.signatures,
            types: &mut self.types,
            regions: &mut self.regions,
            hosts: &mut self.hosts,
            tags: &mut self.tags,
            positions: &mut self.positions,
        }
    }
}

impl<const N: usize> Default for Buffers<N> {
    fn default() -> Buffers<N> {
        Buffers::new()
    }
}

/// A record to fill storage with before a builder gets it; a builder reads nothing that it did not write.
pub const EMPTY_OP: Op = Op {
    code: Opcode::Fence,
    aux: 0,
    a: 0,
    b: 0,
    c: 0,
};

/// The same for exits.
pub const EMPTY_EXIT: Exit = Exit {
    number: 0,
    kind: ExitKind::Trap,
    snapshot: 0,
    entry_count: 0,
};

const EMPTY_FUNCTION: Function = Function {
    signature: 0,
    first_block: 0,
    block_count: 0,
    first_op: 0,
    op_count: 0,
};

const EMPTY_BLOCK: Block = Block {
    first_op: 0,
    op_count: 0,
    parameter_count: 0,
};

const EMPTY_TAG: Tag = Tag {
    mask: 0,
    bits: 0,
    shift: 0,
};

const EMPTY_SIGNATURE: Signature = Signature {
    first_type: 0,
    parameter_count: 0,
    result_count: 0,
};

/// A slice that fills up.
#[derive(Debug)]
pub(crate) struct Table<'a, T> {
    pub slots: &'a mut [T],
    pub used: usize,
    which: Which,
}

impl<'a, T: Copy> Table<'a, T> {
    pub fn new(slots: &'a mut [T], which: Which) -> Table<'a, T> {
        Table {
            slots,
            used: 0,
            which,
        }
    }

    /// Appends an item and gives its index.
    pub fn push(&mut self, item: T) -> Result<u32, Error> {
        let at = self.used;
        match self.slots.get_mut(at) {
            // The last index is not given out: it stands for "none".
            Some(slot) if at < NONE as usize => {
                *slot = item;
                self.used += 1;
                Ok(at as u32)
            }
            _ => Err(Error::Full {
                storage: self.which,
                needed: at + 1,
            }),
        }
    }

    /// Appends items.
    pub fn append(&mut self, items: &[T]) -> Result<(), Error> {
        let end = self.used + items.len();
        let Some(place) = self.slots.get_mut(self.used..end) else {
            return Err(Error::Full {
                storage: self.which,
                needed: end,
            });
        };
        place.copy_from_slice(items);
        self.used = end;
        Ok(())
    }

    /// What is there so far.
    pub fn filled_mut(&mut self) -> &mut [T] {
        self.slots.get_mut(..self.used).unwrap_or_default()
    }

    pub fn get(&self, index: u32) -> Option<&T> {
        self.slots.get(..self.used)?.get(index as usize)
    }

    pub fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.slots.get_mut(..self.used)?.get_mut(index as usize)
    }

    pub fn finish(self) -> &'a [T] {
        let slots: &'a [T] = self.slots;
        slots.get(..self.used).unwrap_or(slots)
    }
}
