//! The micro-op IR: records in the caller's slices.
//!
//! A *program* is functions; a function is blocks with parameters; a block is micro-ops in SSA form,
//! ended by one terminator. A *trace* is a function with guards and a loop back to its head.
//!
//! ```text
//!   Program ── functions: [Function] ── a span of blocks and of ops
//!           ── blocks:    [Block]    ── a span of ops: parameters first, the terminator last
//!           ── ops:       [Op]       ── 16 bytes each; a value is named by the index of its op
//!           ── extra:     [u32]      ── what has no fixed length: edges, arguments, snapshots
//!           ── exits, signatures, types, regions, hosts, positions
//! ```
//!
//! Functions stand one behind the other, and so do their blocks and ops: function 0 owns the first
//! blocks, and the first block of a function is its entry, whose parameters are the function's.
//! All indices are program-wide. Nothing here checks anything: [`crate::verify`] does, and what takes a
//! [`crate::verify::Verified`] program may rely on it.

use crate::ops::{Opcode, Shape, evaluate_tag, flags};
use crate::types::Type;

/// No value, block, exit or position.
pub const NONE: u32 = u32::MAX;

/// The most regions that a program may declare: their bindings stand in the run-time context.
pub const MAX_REGIONS: usize = 32;

/// The most parameters, or results, that a signature may have.
pub const MAX_ARGUMENTS: usize = 255;

/// The most tags that a program may declare.
pub const MAX_TAGS: usize = 255;

/// The most guest slots that a program may name: a snapshot's word has a tag above its slot.
pub const MAX_SLOTS: u32 = 1 << SLOT_BITS;

const SLOT_BITS: u32 = 24;

/// The word of a snapshot that says: into this slot goes the box with this tag of the value that follows.
/// A slot alone stands for itself. Slots are less than [`MAX_SLOTS`], tags less than [`MAX_TAGS`].
pub const fn boxed_place(slot: u32, tag: u16) -> u32 {
    slot | (tag as u32 + 1) << SLOT_BITS
}

/// The slot that a word of a snapshot names.
#[inline]
pub const fn place_slot(place: u32) -> u32 {
    place & (MAX_SLOTS - 1)
}

/// The tag with which the value is boxed on its way into that slot, if it is.
#[inline]
pub const fn place_tag(place: u32) -> Option<u16> {
    match place >> SLOT_BITS {
        0 => None,
        above => Some(above as u16 - 1),
    }
}

/// The greatest constant offset of a region access, in bytes; offset and scale stay clear of overflow.
pub const MAX_OFFSET: u32 = i32::MAX as u32 - 64;

/// One micro-op. What the fields hold depends on the op's [`crate::ops::Shape`]:
///
/// | shape | `aux` | `a` | `b` | `c` |
/// |---|---|---|---|---|
/// | Parameter, Result | type | index in the block's or call's list | | |
/// | Constant | | | low 32 bits | high 32 bits |
/// | Unary, Binary | | value | value | exit, if the op leaves |
/// | Tag | tag | value | | |
/// | Select | | condition | value | value |
/// | Load, Store, Update | region, scale: [`access_aux`], [`IN_BOUNDS`] | index | value stored | extra: offset, exit |
/// | CompareExchange | the same | index | expected | extra: offset, exit, replacement |
/// | raw Load, Store | | address | value stored | offset, signed |
/// | RegionSize | region | | | |
/// | SlotGet, SlotSet | | value written | | slot |
/// | FunctionIndex | | | function | |
/// | Guard | | condition | | exit |
/// | Poll | | | | exit |
/// | Call, CallCell | type of the first result + 1, or 0 | function | extra: count, arguments | exit or NONE |
/// | CallHost | the same | host function | the same | exit or NONE |
/// | CallIndirect | the same | index | extra: signature, count, arguments | exit |
/// | Jump | | | extra: edge | |
/// | Branch | | condition | extra: edge if not zero | extra: edge if zero |
/// | Switch | | index | extra: count, that many extra indices of edges, then the default's | |
/// | Return | | | extra: count, values | |
/// | Exit | | | | exit |
/// | ReturnCall | | function | extra: count, arguments | |
///
/// An *edge* in `extra` is: block, count, arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Op {
    /// Which op.
    pub code: Opcode,
    /// See the table.
    pub aux: u16,
    /// See the table.
    pub a: u32,
    /// See the table.
    pub b: u32,
    /// See the table.
    pub c: u32,
}

const _: () = assert!(core::mem::size_of::<Op>() == 16);

/// In `aux` of a load or store in a region: the index is known to be in bounds, and the record names no exit ([`NONE`]). Only
/// the optimizer's word counts for that: in any other program it is the embedder's risk, as a raw address is.
pub const IN_BOUNDS: u16 = 1 << 13;

/// Packs the region and the scale (0 to 3: the index counts units of 1, 2, 4 or 8 bytes) of an access.
pub const fn access_aux(region: u16, scale: u8) -> u16 {
    region | ((scale as u16) << 14)
}

impl Op {
    /// The region that an access or a question for a size names.
    pub const fn region(&self) -> usize {
        (self.aux & 0x1fff) as usize
    }

    /// Whether an access is marked with [`IN_BOUNDS`].
    pub const fn is_in_bounds(&self) -> bool {
        self.aux & IN_BOUNDS != 0
    }

    /// The scale of an access, 0 to 3.
    pub const fn scale(&self) -> u8 {
        (self.aux >> 14) as u8
    }

    /// The bits of a constant.
    pub const fn constant(&self) -> u64 {
        self.b as u64 | (self.c as u64) << 32
    }

    /// The type of the value that this op gives, if it gives one.
    #[inline]
    pub const fn result(&self) -> Option<Type> {
        match self.code {
            Opcode::Parameter | Opcode::Result => Type::from_code(self.aux as u32),
            Opcode::Call | Opcode::CallCell | Opcode::CallIndirect | Opcode::CallHost => {
                if self.aux == 0 {
                    None
                } else {
                    Type::from_code(self.aux as u32 - 1)
                }
            }
            code => code.info().result,
        }
    }
}

/// A function: a span of blocks and ops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Function {
    /// Index of its signature.
    pub signature: u32,
    /// Its first block, the entry.
    pub first_block: u32,
    /// How many blocks it has, at least 1.
    pub block_count: u32,
    /// Its first op.
    pub first_op: u32,
    /// How many ops it has.
    pub op_count: u32,
}

/// A block: a span of ops, parameters first, one terminator last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// Its first op.
    pub first_op: u32,
    /// How many ops it has, parameters and terminator included.
    pub op_count: u32,
    /// How many of them are parameters.
    pub parameter_count: u32,
}

/// What leaving through an exit does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum ExitKind {
    /// Writes its snapshot, and each caller then leaves through the exit that its call carries.
    Deoptimize = 0,
    /// Writes its snapshot and abandons every compiled frame up to the entry.
    Trap = 1,
}

/// A way out of compiled code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// The embedder's number for it.
    pub number: u32,
    /// What leaving does.
    pub kind: ExitKind,
    /// Extra index of the snapshot: pairs of a place ([`place_slot`], [`place_tag`]) and a value.
    pub snapshot: u32,
    /// How many pairs.
    pub entry_count: u32,
}

/// Types of parameters and results, as spans of [`Program::types`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signature {
    /// The first type; parameters first, results behind them.
    pub first_type: u32,
    /// How many parameters, at most [`MAX_ARGUMENTS`].
    pub parameter_count: u16,
    /// How many results, at most [`MAX_ARGUMENTS`].
    pub result_count: u16,
}

/// A span of memory that the embedder binds at entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Region {
    /// Its size in bytes; what is bound is at least as long.
    pub size: u64,
    /// What it may grow to, in bytes; the size itself if it does not grow.
    pub most: u64,
}

impl Region {
    /// A region of a size that does not change.
    pub const fn fixed(size: u64) -> Region {
        Region { size, most: size }
    }

    /// Whether its size is known at run time only: [`crate::runtime::Binding::size`].
    pub const fn grows(&self) -> bool {
        self.most > self.size
    }
}

/// How a 64-bit word says what it carries: the bits of the word under `mask` are `bits`, and the others, shifted
/// right by `shift`, are what it carries.
///
/// ```text
///   NaN-boxing, 32-bit integers     mask ffff_0000_0000_0000   bits fff9_0000_0000_0000   shift 0
///   low-bit integers of 63 bits     mask 0000_0000_0000_0001   bits 0000_0000_0000_0001   shift 1
///   a header word: kind, length     mask 0000_0000_ffff_ffff   bits 0000_0000_0000_0007   shift 32
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tag {
    /// The bits that tell words with this tag from others.
    pub mask: u64,
    /// What they are; none outside of the mask.
    pub bits: u64,
    /// How far up in the word the lowest bit is of what it carries, 0 to 63.
    pub shift: u8,
}

impl Tag {
    /// Whether a word has this tag.
    #[inline]
    pub const fn is_on(&self, word: u64) -> bool {
        word & self.mask == self.bits
    }

    /// The word with this tag that carries these bits. Bits that fall on the mask or beyond the word are lost.
    #[inline]
    pub const fn put_on(&self, carried: u64) -> u64 {
        carried.wrapping_shl(self.shift as u32) & !self.mask | self.bits
    }

    /// What a word carries, whatever tag it has, zero-extended.
    #[inline]
    pub const fn take_off(&self, word: u64) -> u64 {
        (word & !self.mask).wrapping_shr(self.shift as u32)
    }

    /// The same with the sign extended from the highest bit that the mask leaves.
    #[inline]
    pub const fn take_off_signed(&self, word: u64) -> i64 {
        // A mask that leaves nothing leaves zero, so that the distance does not matter then.
        let above = (!self.mask).leading_zeros();
        let carried = (word & !self.mask).wrapping_shl(above) as i64;
        carried.wrapping_shr(above).wrapping_shr(self.shift as u32)
    }
}

/// A function of the embedder's that the program calls by its index in the embedder's table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostFunction {
    /// Index of its signature.
    pub signature: u32,
}

/// A program: views of the caller's slices.
#[derive(Clone, Copy, Debug, Default)]
pub struct Program<'a> {
    /// The functions.
    pub functions: &'a [Function],
    /// The blocks of all functions.
    pub blocks: &'a [Block],
    /// The ops of all functions.
    pub ops: &'a [Op],
    /// Edges, arguments and snapshots.
    pub extra: &'a [u32],
    /// The exits.
    pub exits: &'a [Exit],
    /// The signatures; two that are equal may stand here twice, but calls compare indices.
    pub signatures: &'a [Signature],
    /// Where signatures keep their types.
    pub types: &'a [Type],
    /// The regions.
    pub regions: &'a [Region],
    /// The host functions.
    pub hosts: &'a [HostFunction],
    /// The tags.
    pub tags: &'a [Tag],
    /// The embedder's source position of each op ([`NONE`] where there is none), or empty.
    pub positions: &'a [u32],
    /// How many guest slots the program may name.
    pub slot_count: u32,
}

/// An edge to a block: where it goes and what it passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge<'a> {
    /// Its extra index.
    pub at: u32,
    /// The block.
    pub block: u32,
    /// A value for each of its parameters.
    pub arguments: &'a [u32],
}

impl<'a> Program<'a> {
    /// The counted list at an extra index: a length, then that many words. Empty where it does not fit.
    #[inline]
    pub fn list(&self, at: u32) -> &'a [u32] {
        match self.extra.get(at as usize..) {
            Some([count, rest @ ..]) => rest.get(..*count as usize).unwrap_or(&[]),
            _ => &[],
        }
    }

    /// The edge at an extra index.
    #[inline]
    pub fn edge(&self, at: u32) -> Edge<'a> {
        let (block, arguments) = match self.extra.get(at as usize..) {
            Some([block, count, rest @ ..]) => (*block, rest.get(..*count as usize).unwrap_or(&[])),
            Some([block]) => (*block, &[][..]),
            _ => (NONE, &[][..]),
        };
        Edge {
            at,
            block,
            arguments,
        }
    }

    /// The snapshot of an exit: pairs of a place ([`place_slot`], [`place_tag`]) and a value.
    #[inline]
    pub fn snapshot(&self, exit: &Exit) -> &'a [u32] {
        let start = exit.snapshot as usize;
        self.extra
            .get(start..start + 2 * exit.entry_count as usize)
            .unwrap_or(&[])
    }

    /// The exit that an op names, if it does. For valid programs: an access whose words are missing names none.
    #[inline]
    pub fn exit_of(&self, op: &Op) -> Option<u32> {
        let info = op.code.info();
        if !info.has(flags::LEAVES) {
            return None;
        }
        let exit = match info.shape {
            Shape::Load | Shape::Store | Shape::Update | Shape::CompareExchange => {
                let at = (op.c as usize).checked_add(1)?;
                *self.extra.get(at)?
            }
            _ => op.c,
        };
        (exit != NONE).then_some(exit)
    }

    /// The tag that an op on tagged words names; one that every word has where there is none.
    #[inline]
    pub fn tag_of(&self, op: &Op) -> Tag {
        self.tags.get(op.aux as usize).copied().unwrap_or_default()
    }

    /// What a snapshot writes for a value of these bits: the bits, or the box that the place asks for.
    #[inline]
    pub fn snapshot_bits(&self, place: u32, value: u32, bits: u64) -> u64 {
        let Some(tag) = place_tag(place) else {
            return bits;
        };
        let code = self
            .ops
            .get(value as usize)
            .and_then(|op| Opcode::boxes(op.result()?));
        match (code, self.tags.get(usize::from(tag))) {
            (Some(code), Some(tag)) => evaluate_tag(code, tag, bits).unwrap_or(bits),
            _ => bits,
        }
    }

    /// The parameter types of a signature.
    pub fn parameters(&self, signature: u32) -> &'a [Type] {
        let Some(s) = self.signatures.get(signature as usize) else {
            return &[];
        };
        let start = s.first_type as usize;
        self.types
            .get(start..start + s.parameter_count as usize)
            .unwrap_or(&[])
    }

    /// The result types of a signature.
    pub fn results(&self, signature: u32) -> &'a [Type] {
        let Some(s) = self.signatures.get(signature as usize) else {
            return &[];
        };
        let start = s.first_type as usize + s.parameter_count as usize;
        self.types
            .get(start..start + s.result_count as usize)
            .unwrap_or(&[])
    }

    /// The blocks of a function.
    pub fn blocks_of(&self, function: &Function) -> &'a [Block] {
        let start = function.first_block as usize;
        self.blocks
            .get(start..start + function.block_count as usize)
            .unwrap_or(&[])
    }
}
