//! What a stencil set is: the schema of the generated tables.
//!
//! A *form* is one way in which the compiler uses machine code: an op with its operands in registers, the
//! same with an immediate, a comparison that jumps, or one of the [`Machine`] forms that ops are glued
//! together with. A *family* is a form in all its register assignments. A *template* is the bytes that
//! serve many of them:
//!
//! ```text
//!   word = bytes ^ masks[operand 0][register] ^ masks[operand 1][register] ^ ...     for 8 bytes at a time
//!   immediate and displacement holes are then written over the zero bytes that stand for them
//! ```
//!
//! Tables are data: this module knows their shape and how to choose and fill a template, not their content.

mod distance;
mod immediate;

pub use distance::Distances;
pub use immediate::{Hole, Immediate};

use crate::ops::Opcode;
use core::num::NonZeroU32;

/// A register: its number in its bank.
pub type RegisterNumber = u8;

/// The most operands of a family.
pub const MAX_OPERANDS: usize = 4;

/// "Not there", for byte offsets and operand indices in the tables.
pub const ABSENT: u8 = 0xff;

/// "No family", in [`StencilSet::forms`].
pub const NO_FAMILY: u16 = 0xffff;

/// The ways in which an op's code is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FormKind {
    /// Every operand in a register. Loads and stores: base + index * scale + immediate.
    Registers = 0,
    /// The last operand is the immediate. Loads and stores: base + immediate.
    Immediate = 1,
    /// A comparison that jumps to the target where it holds; `branch`: where its operand is not zero.
    Jump = 2,
    /// The same with the last operand as the immediate.
    JumpImmediate = 3,
    /// A comparison that jumps where it does not hold; `branch`: where its operand is zero.
    JumpNot = 4,
}

/// How many kinds of form there are.
pub const FORM_KINDS: usize = 5;

/// Forms that belong to no op. Operands are listed in brackets, the output first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Machine {
    /// `[out, in]`: copies 64 bits between integer registers.
    MoveInt,
    /// `[out, in]`: copies a float register.
    MoveFloat,
    /// `[out]`: 0 in an integer register.
    ConstZero,
    /// `[out]`: the immediate, 32 bits zero-extended.
    ConstUnsigned32,
    /// `[out]`: the immediate, 32 bits sign-extended.
    ConstSigned32,
    /// `[out]`: the immediate, 64 bits.
    Const64,
    /// `[out]`: +0 in a float register.
    ConstFloatZero,
    /// `[out]`: 64 bits at stack pointer + immediate.
    FrameLoadInt,
    /// `[in]`: stores 64 bits at stack pointer + immediate.
    FrameStoreInt,
    /// `[out]`: 64 bits at stack pointer + immediate.
    FrameLoadFloat,
    /// `[in]`: stores 64 bits at stack pointer + immediate.
    FrameStoreFloat,
    /// `[out, base, index, scale]`: base + index * scale + immediate.
    Address,
    /// `[in]`: jumps to the target if one of the lowest eight bits of the immediate is set in the operand.
    JumpBitsSet,
    /// `[in]`: jumps to the target if none of them is.
    JumpBitsClear,
    /// Jumps to the target.
    Jump,
    /// `[temporary, index]`: goes to entry `index` (an unsigned 32-bit number in range) of the table at the
    /// target: 32-bit offsets from the table's start.
    JumpTable,
    /// A landing pad for indirect calls and jumps.
    Landing,
    /// Stops: must not be reached.
    Unreachable,
    /// Begins a function: a landing pad for indirect calls; takes the immediate's number of bytes from the stack and
    /// one from the context's `depth`; jumps to the target if that makes it negative.
    FrameEnter,
    /// Gives the immediate's number of bytes back to the stack, and one to the context's `depth`.
    FrameLeave,
    /// Leaves the frame as [`Machine::FrameLeave`] does and returns to the caller, with 0 in the integer scratch
    /// register.
    Return,
    /// The same with 1 there, after storing [`Status::Deoptimized`](crate::runtime::Status::Deoptimized) in the
    /// context's `status`.
    Deoptimize,
    /// Takes the immediate's number of bytes from the stack, and nothing else.
    FrameGrow,
    /// Gives the immediate's number of bytes back to the stack, and nothing else.
    FrameShrink,
    /// Calls the target.
    CallDirect,
    /// `[base]`: calls the code whose address stands at base + immediate.
    CallThrough,
    /// Calls the host function at the immediate's byte offset in the table, with the stack pointer as its
    /// values; the status is in the register [`RegisterFile::host_status`].
    CallHost,
    /// From the platform's C convention `(context, values)` into compiled code: keeps what the platform asks
    /// for, stores the stack pointer in the context and leaves `values` in the integer scratch register.
    Entry,
    /// After the body has returned: `values` in the integer scratch register again.
    EntryResume,
    /// Returns from the entry with status 0.
    EntryReturn,
    /// Leaves from anywhere: abandons all frames, returns from the entry with the context's status.
    EntryAbandon,
    /// Stores the immediate in the context's `status`.
    StoreStatus,
    /// Stores the immediate in the context's `exit_number`.
    StoreExitNumber,
    /// Takes one from the context's `fuel`; jumps to the target if that makes it negative.
    ChargeFuel,
    /// Jumps to the target if the context's `interrupt` is not zero.
    Poll,
    /// `[in]`: jumps to the target if the operand's lowest byte is the immediate's.
    JumpByteEq,
    /// `[in]`: jumps to the target if it is not.
    JumpByteNe,
    /// `[a, b]`: compares two i32. Like the next ones it leaves its outcome in the processor's flags, for the form to
    /// choose by which is next; a target without flags has none of these.
    CompareI32,
    /// `[a, b]`: compares two i64.
    CompareI64,
    /// `[a]`: compares an i32 with the immediate.
    CompareI32Immediate,
    /// `[a]`: compares an i64 with the immediate.
    CompareI64Immediate,
    /// `[a, b]`: compares two f32.
    CompareF32,
    /// `[a, b]`: compares two f64.
    CompareF64,
    /// `[in]`: compares with zero those of an operand's lowest eight bits that the immediate has.
    CompareBits,
    /// `[out, x, y]`: x if `a` was equal to `b` in the comparison right before, else y.
    ChooseEq,
    /// The same if `a` was not equal.
    ChooseNe,
    /// The same if `a` was less than `b` as a signed number.
    ChooseLtS,
    /// The same for less, unsigned.
    ChooseLtU,
    /// The same for greater, signed.
    ChooseGtS,
    /// The same for greater, unsigned.
    ChooseGtU,
    /// The same for less or equal, signed.
    ChooseLeS,
    /// The same for less or equal, unsigned.
    ChooseLeU,
    /// The same for greater or equal, signed.
    ChooseGeS,
    /// The same for greater or equal, unsigned.
    ChooseGeU,
    /// The same for greater, of floats.
    ChooseGtF,
    /// The same for greater or equal, of floats.
    ChooseGeF,
    /// Jumps to the target, farther than [`Machine::Jump`] does; where that reaches across all code there is none.
    JumpFar,
    /// [`Machine::JumpTable`] for a table that is farther away than that one leads; where it reaches across all code there is none.
    JumpTableFar,
}

impl Machine {
    /// How many machine forms there are.
    pub const COUNT: usize = Machine::JumpTableFar as usize + 1;

    /// All of them, in the order of their encoding.
    #[rustfmt::skip]
    pub const ALL: [Machine; Machine::COUNT] = {
        use Machine::*;
        [
            MoveInt, MoveFloat, ConstZero, ConstUnsigned32, ConstSigned32, Const64, ConstFloatZero, FrameLoadInt,
            FrameStoreInt, FrameLoadFloat, FrameStoreFloat, Address, JumpBitsSet, JumpBitsClear, Jump, JumpTable,
            Landing, Unreachable, FrameEnter, FrameLeave, Return, Deoptimize, FrameGrow, FrameShrink, CallDirect,
            CallThrough, CallHost, Entry, EntryResume, EntryReturn, EntryAbandon, StoreStatus, StoreExitNumber, ChargeFuel, Poll,
            JumpByteEq, JumpByteNe, CompareI32, CompareI64, CompareI32Immediate, CompareI64Immediate, CompareF32, CompareF64,
            CompareBits,
            ChooseEq, ChooseNe, ChooseLtS, ChooseLtU, ChooseGtS, ChooseGtU, ChooseLeS, ChooseLeU, ChooseGeS, ChooseGeU,
            ChooseGtF, ChooseGeF, JumpFar, JumpTableFar,
        ]
    };
}

/// Names a form: an index into [`StencilSet::forms`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form(pub u16);

impl Form {
    /// How many forms there are.
    pub const COUNT: usize = Opcode::COUNT * FORM_KINDS + Machine::COUNT;

    /// A form of an op.
    pub const fn op(code: Opcode, kind: FormKind) -> Form {
        Form(code as u16 * FORM_KINDS as u16 + kind as u16)
    }

    /// A form that belongs to no op.
    pub const fn machine(machine: Machine) -> Form {
        Form((Opcode::COUNT * FORM_KINDS) as u16 + machine as u16)
    }
}

/// What an operand of a family is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum OperandKind {
    /// There is none at this place.
    None,
    /// An integer register.
    Int,
    /// A float register.
    Float,
    /// Not a register: the scale of an index, 0 to 3 for 1, 2, 4 and 8 bytes.
    Scale,
}

/// A set of registers of both banks: bits 0 to 31 are integer registers, 32 to 63 float registers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RegisterSet(pub u64);

/// A form in all its register assignments: what the allocator must know.
///
/// Every assignment that `allowed`, `tied` and `distinct` permit has a template (the generator proves it).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    /// Its templates in [`StencilSet::templates`], tried in order.
    pub first_template: u16,
    /// How many.
    pub template_count: u8,
    /// The first of them that serves operands which share the register of operand 0 as the bits of the index say (bit
    /// k - 1: operand k does); past all templates where the family permits no such assignment.
    pub starts: [u16; PATTERNS],
    /// Whether operand 0 is written.
    pub has_output: bool,
    /// What the operands are, in order.
    pub kinds: [OperandKind; MAX_OPERANDS],
    /// For each operand the register numbers (or scales) that it may have.
    pub allowed: [u32; MAX_OPERANDS],
    /// The operand that must be in the output's register, or [`ABSENT`].
    pub tied: u8,
    /// Bit k: the output must not be in operand k's register.
    pub distinct: u8,
    /// Registers whose content is lost, besides the output.
    pub clobbers: RegisterSet,
    /// Those of them that must hold nothing for an op to be simple: all registers where an operand is tied.
    pub hazards: RegisterSet,
    /// The last kind of immediate that some template takes: the widest, if all are plain.
    pub immediate: Immediate,
    /// Whether it has a jump target.
    pub has_target: bool,
}

impl Family {
    /// The family with its `starts` filled in from a set's templates, and its `hazards`.
    pub const fn settled(mut self, templates: &[Template]) -> Family {
        self.hazards = match self.tied {
            ABSENT => self.clobbers,
            _ => RegisterSet(u64::MAX),
        };
        let mut at = self.first_template as usize + self.template_count as usize;
        while at > self.first_template as usize {
            at -= 1;
            let (equal, unequal) = (templates[at].equal >> 1, templates[at].unequal >> 1);
            let mut pattern = 0;
            while pattern < PATTERNS {
                if pattern as u8 & (equal | unequal) == equal {
                    self.starts[pattern] = at as u16;
                }
                pattern += 1;
            }
        }
        self
    }
}

/// How many ways there are for the other operands to be in the register of operand 0 or not.
pub const PATTERNS: usize = 1 << (MAX_OPERANDS - 1);

/// Bytes with holes that serve the assignments which its conditions name.
#[derive(Clone, Copy, Debug)]
pub struct Template {
    /// The first 16 bytes, as two little-endian words; zeros behind the template's end and in holes.
    pub code: [u64; 2],
    /// For each operand the row in [`StencilSet::masks`] for the first word.
    pub rows: Rows,
    /// Where the words behind the first stand in [`StencilSet::words`].
    pub first_word: u16,
    /// How many stand there: none where `code` is all, has no register fields in its second word, and its immediate is
    /// plain.
    pub word_count: u8,
    /// How many bytes.
    pub length: u8,
    /// What its immediate hole takes; a template whose hole is too small is passed over.
    pub immediate: Immediate,
    /// Where the holes are.
    pub holes: HolesAt,
    /// How the immediate comes into `code`.
    pub hole: Hole,
    /// Bit k: operand k must be in the same register as operand 0.
    pub equal: u8,
    /// Bit k: operand k must be in another register than operand 0.
    pub unequal: u8,
    /// The registers for which these bytes were proved, in [`StencilSet::restrictions`]; 0 if all that the family
    /// allows.
    pub restriction: u8,
}

impl Template {
    /// Whether it serves all registers that its family allows, and has no words behind its `code`.
    #[inline(always)]
    pub(crate) const fn is_short(&self) -> bool {
        self.restriction | self.word_count == 0
    }
}

/// Where the holes of a template begin, in bytes from its start: in one word, which is never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HolesAt(NonZeroU32);

impl HolesAt {
    /// Distances to the target at these places, the immediate at that one; each may be
    /// [`ABSENT`].
    pub const fn new(target: [u8; 2], immediate: u8) -> HolesAt {
        match NonZeroU32::new(u32::from_le_bytes([target[0], target[1], immediate, 1])) {
            Some(word) => HolesAt(word),
            None => HolesAt(NonZeroU32::MAX),
        }
    }

    /// The distances to the target, or [`ABSENT`].
    #[inline(always)]
    pub const fn target(self) -> [u8; 2] {
        let word = self.0.get();
        [word as u8, (word >> 8) as u8]
    }

    /// The immediate, or [`ABSENT`].
    #[inline(always)]
    pub const fn immediate(self) -> u8 {
        (self.0.get() >> 16) as u8
    }
}

/// For each operand a row in [`StencilSet::masks`], as the number of the 16 masks that it begins with. Row 0 is all zeros.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Rows(u64);

impl Rows {
    /// These rows.
    pub const fn new(rows: [u8; MAX_OPERANDS]) -> Rows {
        let mut lanes = 0;
        let mut operand = 0;
        while operand < MAX_OPERANDS {
            lanes |= (rows[operand] as u64) << (LANE * operand as u32 + ROW_BITS);
            operand += 1;
        }
        Rows(lanes)
    }

    /// The rows by operand.
    pub const fn list(self) -> [u8; MAX_OPERANDS] {
        let mut rows = [0; MAX_OPERANDS];
        let mut operand = 0;
        while operand < MAX_OPERANDS {
            rows[operand] = (self.0 >> (LANE * operand as u32 + ROW_BITS)) as u8;
            operand += 1;
        }
        rows
    }
}

impl core::fmt::Debug for Rows {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.list().fmt(f)
    }
}

/// Bits for each operand where four stand in 64 bits.
const LANE: u32 = 16;
/// Bits of a register's number that a row's place leaves free: rows for 32 registers begin at even places.
const ROW_BITS: u32 = 4;
/// Bits of the greatest register number.
const NUMBER_BITS: u32 = 5;

/// The registers of a form's operands, 16 bits each.
#[derive(Clone, Copy)]
pub(crate) struct Lanes(u64);

impl Lanes {
    /// Registers as the allocator names them.
    #[inline(always)]
    pub const fn new([r0, r1, r2, r3]: [u32; MAX_OPERANDS]) -> Lanes {
        let [r0, r1, r2, r3] = [r0 as u64, r1 as u64, r2 as u64, r3 as u64];
        Lanes(r0 | r1 << LANE | r2 << (2 * LANE) | r3 << (3 * LANE))
    }

    /// The register of an operand.
    #[inline(always)]
    const fn register(self, operand: u32) -> u32 {
        (self.0 >> (LANE * operand)) as u32 & 0xffff
    }

    /// Bit k - 1: operand k is in the register of operand 0.
    #[inline(always)]
    pub(crate) const fn pattern(self) -> usize {
        // A lane is zero where the register is the same; taken from 2^15, it leaves the highest bit only then.
        let others = self.0 ^ ((self.0 & 0xffff) * 0x0001_0001_0001_0001);
        let equal = 0x8000_8000_8000_0000 - (others & !0xffff);
        // Bits 31, 47 and 63 come to stand side by side.
        let bits = equal >> 31 & 0x0001_0001_0001;
        (bits.wrapping_mul(1 << 32 | 1 << 17 | 1 << 2) >> 32) as usize % PATTERNS
    }
}

/// 8 bytes of a template behind its first 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word {
    /// The bytes, little-endian; zeros behind the template's end and in holes.
    pub code: u64,
    /// For each operand the row in [`StencilSet::masks`].
    pub rows: Rows,
}

/// Which registers a target has and what they are for.
#[derive(Clone, Copy, Debug)]
pub struct RegisterFile {
    /// What the allocator may give to values, of integer registers those with numbers below 28, of float registers those below
    /// 16.
    pub allocatable: RegisterSet,
    /// Kept by host functions.
    pub preserved: RegisterSet,
    /// Where integer arguments and results travel between compiled functions, in order.
    pub int_arguments: &'static [RegisterNumber],
    /// Where float arguments and results travel, in order.
    pub float_arguments: &'static [RegisterNumber],
    /// Never allocated: for moves and addresses.
    pub int_scratch: RegisterNumber,
    /// Never allocated: for moves.
    pub float_scratch: RegisterNumber,
    /// Holds the context's address; a base of loads and stores, nothing else.
    pub context: RegisterNumber,
    /// Where a host function's status is.
    pub host_status: RegisterNumber,
    /// What stands above an f32 in a float register: 0 where that may be anything, ones on RISC-V, whose instructions take it
    /// for NaN else.
    pub above_f32: u64,
    /// The names, for reports: integer registers, then float registers.
    pub names: [&'static [&'static str]; 2],
    /// Bytes that a call leaves on the stack.
    pub return_address_size: u32,
    /// What the stack pointer is a multiple of before a call.
    pub stack_alignment: u32,
}

/// All templates of a target.
#[derive(Debug)]
pub struct StencilSet {
    /// The target's name, as the runner takes it.
    pub target: &'static str,
    /// SHA-256 over what the tables were made from, in hexadecimal.
    pub digest: &'static str,
    /// Its registers.
    pub registers: RegisterFile,
    /// How its code holds distances.
    pub distances: Distances,
    /// The family of each form, or [`NO_FAMILY`].
    pub forms: &'static [u16; Form::COUNT],
    /// The families.
    pub families: &'static [Family],
    /// The templates.
    pub templates: &'static [Template],
    /// For each operand the register numbers that a template serves, where they are not all that its family allows.
    /// Entry 0 is for the others.
    pub restrictions: &'static [[u32; MAX_OPERANDS]],
    /// The words of templates behind the first, of those that are long or have register fields there.
    pub words: &'static [Word],
    /// Rows of 16 masks for a word, or of 32 where banks have more registers: what register number r XORs into it is
    /// entry r of a row.
    pub masks: &'static [u64; MASKS],
}

/// How many rows of 16 masks a set has room for: a power of two, so that looking one up needs no check.
pub const MASK_ROWS: usize = 128;

/// How many masks they have.
pub const MASKS: usize = MASK_ROWS << ROW_BITS;

impl StencilSet {
    /// The family of a form, if this target has it.
    #[inline]
    pub fn family(&self, form: Form) -> Option<&'static Family> {
        let index = *self.forms.get(form.0 as usize)?;
        self.families.get(index as usize)
    }

    /// Whether a family takes an immediate in an instruction that does the work, so that no register need hold it.
    #[inline]
    pub fn offers(&self, family: &Family, immediate: i64) -> bool {
        if family.immediate.is_plain() {
            return family.immediate.takes(immediate);
        }
        let first = family.first_template as usize;
        let templates = first..first + family.template_count as usize;
        let mut templates = self.templates.get(templates).into_iter().flatten();
        templates
            .any(|template| !template.immediate.is_made() && template.immediate.fits(immediate))
    }

    /// The first template of a family that serves these register numbers and this immediate.
    #[inline]
    pub fn template(
        &self,
        family: &Family,
        registers: [u32; MAX_OPERANDS],
        immediate: i64,
    ) -> Option<&'static Template> {
        self.find_template(family, Lanes::new(registers), immediate)
    }

    /// The same for registers in lanes.
    #[inline(always)]
    pub(crate) fn find_template(
        &self,
        family: &Family,
        registers: Lanes,
        immediate: i64,
    ) -> Option<&'static Template> {
        let pattern = registers.pattern();
        let start = family.starts[pattern] as usize;
        let end = family.first_template as usize + family.template_count as usize;
        let same = (pattern << 1) as u8;
        self.templates.get(start..end)?.iter().find(|template| {
            template.immediate.fits(immediate)
                && same & (template.equal | template.unequal) == template.equal
                && (template.restriction == 0 || self.allows(template.restriction, registers))
        })
    }

    /// Whether a restriction allows these registers.
    fn allows(&self, restriction: u8, registers: Lanes) -> bool {
        let Some(allowed) = self.restrictions.get(restriction as usize) else {
            return false;
        };
        let mut sets = allowed.iter().zip(0..);
        sets.all(|(set, operand)| set >> (registers.register(operand) & 31) & 1 != 0)
    }

    /// The code of a template in some registers, its other holes zero: that many bytes of the result, zeros behind.
    ///
    /// What the compiler emits, for those who look into tables.
    pub fn fill(
        &self,
        template: &Template,
        registers: [u32; MAX_OPERANDS],
    ) -> [u8; MOST_TEMPLATE_BYTES] {
        let mut bytes = [0; MOST_TEMPLATE_BYTES];
        let mut room = bytes.as_chunks_mut().0.iter_mut();
        let registers = Lanes::new(registers);
        let first = self.word(template.code[0], template.rows, registers);
        let further = self.further_words(template);
        let words = further
            .iter()
            .map(|word| self.word(word.code, word.rows, registers));
        let second = further.is_empty().then_some(template.code[1]);
        for word in core::iter::once(first).chain(second).chain(words) {
            if let Some(room) = room.next() {
                *room = word.to_le_bytes();
            }
        }
        bytes
    }

    /// The words of a template behind the first, where `code` is not all.
    #[inline]
    pub(crate) fn further_words(&self, template: &Template) -> &'static [Word] {
        let first = template.first_word as usize;
        let words = first..first + template.word_count as usize;
        self.words.get(words).unwrap_or_default()
    }

    /// The same where most words have no register fields.
    #[inline(always)]
    pub(crate) fn further_word(&self, word: &Word, registers: Lanes) -> u64 {
        match word.rows {
            Rows(0) => word.code,
            rows => self.word(word.code, rows, registers),
        }
    }

    /// A word of code in some registers.
    #[inline(always)]
    pub(crate) fn word(&self, code: u64, rows: Rows, registers: Lanes) -> u64 {
        const NUMBERS: u64 = 0x0001_0001_0001_0001 * ((1 << NUMBER_BITS) - 1);
        // Each lane is the index of a mask: the row's first, plus the register's number.
        let at = rows.0 | registers.0 & NUMBERS;
        let mask = |operand: u32| self.masks[(at >> (LANE * operand)) as usize % MASKS];
        code ^ mask(0) ^ mask(1) ^ mask(2) ^ mask(3)
    }
}

/// The most bytes that a template has.
pub const MOST_TEMPLATE_BYTES: usize = 80;
