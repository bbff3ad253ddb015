//! Names of ops: the enumeration, and what is asked of one op by its name.
//!
//! Takes the tables of [`crate::ops`]; promises an enumeration in their order, which is checked when this is compiled. Costs constant time
//! each, but for [`Opcode::from_name`].

use super::{LEAVING_ROWS, MEMORY_ROWS, OpInfo, Row, STRUCTURAL_ROWS, TAG_ROWS, TOTAL_ROWS};
use crate::types::Type;

/// Names an op. The order is that of the tables in [`crate::ops`]; an assertion below holds the two against each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
#[allow(missing_docs, reason = "the tables say what each op does")]
#[rustfmt::skip]
pub enum Opcode {
    I32Add, I32Sub, I32Mul, I32MulHighS, I32MulHighU, I32And, I32Or, I32Xor, I32Shl, I32ShrS, I32ShrU,
    I32Rotl, I32Rotr, I32Eq, I32Ne, I32LtS, I32LtU, I32GtS, I32GtU, I32LeS, I32LeU, I32GeS, I32GeU, I32Eqz,
    I32Clz, I32Ctz, I32Popcnt, I32Bswap, I32Bswap16, I32Extend8S, I32Extend16S, I64Add, I64Sub, I64Mul,
    I64MulHighS, I64MulHighU, I64And, I64Or, I64Xor, I64Shl, I64ShrS, I64ShrU, I64Rotl, I64Rotr, I64Eq, I64Ne,
    I64LtS, I64LtU, I64GtS, I64GtU, I64LeS, I64LeU, I64GeS, I64GeU, I64Eqz, I64Clz, I64Ctz, I64Popcnt,
    I64Bswap, I64Extend8S, I64Extend16S, I64Extend32S, I32WrapI64, I64ExtendI32S, I64ExtendI32U, F32Add,
    F32Sub, F32Mul, F32Div, F32Min, F32Max, F32Copysign, F32Abs, F32Neg, F32Sqrt, F32Ceil, F32Floor, F32Trunc,
    F32Nearest, F32Canonicalize, F32Eq, F32Ne, F32Lt, F32Gt, F32Le, F32Ge, F64Add, F64Sub, F64Mul, F64Div,
    F64Min, F64Max, F64Copysign, F64Abs, F64Neg, F64Sqrt, F64Ceil, F64Floor, F64Trunc, F64Nearest,
    F64Canonicalize, F64Eq, F64Ne, F64Lt, F64Gt, F64Le, F64Ge, I32TruncSatF32S, I32TruncSatF32U,
    I32TruncSatF64S, I32TruncSatF64U, I64TruncSatF32S, I64TruncSatF32U, I64TruncSatF64S, I64TruncSatF64U,
    F32ConvertI32S, F32ConvertI32U, F32ConvertI64S, F32ConvertI64U, F64ConvertI32S, F64ConvertI32U,
    F64ConvertI64S, F64ConvertI64U, F32DemoteF64, F64PromoteF32, I32ReinterpretF32, I64ReinterpretF64,
    F32ReinterpretI32, F64ReinterpretI64, RefFromI64, I64FromRef, I32AddChecked, I32SubChecked, I32MulChecked,
    I32DivS, I32DivU, I32RemS, I32RemU, I64AddChecked, I64SubChecked, I64MulChecked, I64DivS, I64DivU,
    I64RemS, I64RemU, I32TruncF32S, I32TruncF32U, I32TruncF64S, I32TruncF64U, I64TruncF32S, I64TruncF32U,
    I64TruncF64S, I64TruncF64U, I32Load, I32Load8S, I32Load8U, I32Load16S, I32Load16U, I64Load, I64Load8S,
    I64Load8U, I64Load16S, I64Load16U, I64Load32S, I64Load32U, F32Load, F64Load, I32Store, I32Store8,
    I32Store16, I64Store, I64Store8, I64Store16, I64Store32, F32Store, F64Store, I32RawLoad, I32RawLoad8S,
    I32RawLoad8U, I32RawLoad16S, I32RawLoad16U, I64RawLoad, I64RawLoad8S, I64RawLoad8U, I64RawLoad16S,
    I64RawLoad16U, I64RawLoad32S, I64RawLoad32U, F32RawLoad, F64RawLoad, I32RawStore, I32RawStore8,
    I32RawStore16, I64RawStore, I64RawStore8, I64RawStore16, I64RawStore32, F32RawStore, F64RawStore,
    I32AtomicLoad, I32AtomicStore, I32AtomicAdd, I32AtomicAnd, I32AtomicOr, I32AtomicXor, I32AtomicXchg,
    I32AtomicCmpxchg, I64AtomicLoad, I64AtomicStore, I64AtomicAdd, I64AtomicAnd, I64AtomicOr, I64AtomicXor,
    I64AtomicXchg, I64AtomicCmpxchg, Parameter, Result, I32Const, I64Const, F32Const, F64Const, I32Select,
    I64Select, F32Select, F64Select, RefSelect, Fence, I32SlotGet, I64SlotGet, F32SlotGet, F64SlotGet,
    RefSlotGet, I32SlotSet, I64SlotSet, F32SlotSet, F64SlotSet, RefSlotSet, RegionSize, FunctionIndex, Guard, GuardNot,
    Poll, Call, CallCell, CallIndirect, CallHost, Jump, Branch, Switch, Return, Exit, ReturnCall, I64TagTest,
    I64Box, I64BoxI32, I64BoxF64, I64UnboxS, I64UnboxU, I32Unbox,
}

impl Opcode {
    /// How many ops there are.
    pub const COUNT: usize = TOTAL_ROWS.len()
        + LEAVING_ROWS.len()
        + MEMORY_ROWS.len()
        + STRUCTURAL_ROWS.len()
        + TAG_ROWS.len();

    /// Every op, in the order of the table.
    pub const ALL: [Opcode; Opcode::COUNT] = ALL;

    /// Every op, in the order of the table.
    pub fn all() -> impl Iterator<Item = Opcode> {
        ALL.into_iter()
    }

    /// What the table says of this op.
    #[inline(always)]
    pub const fn info(self) -> &'static OpInfo {
        &OPS[self as usize]
    }

    /// The name in the text form.
    pub const fn name(self) -> &'static str {
        self.info().name
    }

    /// What it does, in one line, for the reference page.
    pub const fn summary(self) -> &'static str {
        SUMMARIES[self as usize]
    }

    /// The op with this name in the text form, if there is one. Takes time linear in the table.
    pub fn from_name(name: &str) -> Option<Opcode> {
        Opcode::all().find(|code| code.name() == name)
    }

    /// The op that boxes a value of this type; what has no op of its own is made an integer first.
    pub const fn boxes(ty: Type) -> Option<Opcode> {
        match ty {
            Type::I32 => Some(Opcode::I64BoxI32),
            Type::I64 => Some(Opcode::I64Box),
            Type::F64 => Some(Opcode::I64BoxF64),
            Type::F32 | Type::Ref => None,
        }
    }

    /// The comparison that holds exactly where this one does not, if the table has it.
    pub const fn inverse(self) -> Option<Opcode> {
        use Opcode::*;
        Some(match self {
            I32Eq => I32Ne,
            I32Ne => I32Eq,
            I32LtS => I32GeS,
            I32GeS => I32LtS,
            I32GtS => I32LeS,
            I32LeS => I32GtS,
            I32LtU => I32GeU,
            I32GeU => I32LtU,
            I32GtU => I32LeU,
            I32LeU => I32GtU,
            I64Eq => I64Ne,
            I64Ne => I64Eq,
            I64LtS => I64GeS,
            I64GeS => I64LtS,
            I64GtS => I64LeS,
            I64LeS => I64GtS,
            I64LtU => I64GeU,
            I64GeU => I64LtU,
            I64GtU => I64LeU,
            I64LeU => I64GtU,
            F32Eq => F32Ne,
            F32Ne => F32Eq,
            F64Eq => F64Ne,
            F64Ne => F64Eq,
            _ => return None,
        })
    }

    /// The comparison that gives the same result with its operands swapped, if this is one.
    pub const fn swapped(self) -> Option<Opcode> {
        use Opcode::*;
        Some(match self {
            I32Eq | I32Ne | I64Eq | I64Ne | F32Eq | F32Ne | F64Eq | F64Ne => self,
            I32LtS => I32GtS,
            I32GtS => I32LtS,
            I32LeS => I32GeS,
            I32GeS => I32LeS,
            I32LtU => I32GtU,
            I32GtU => I32LtU,
            I32LeU => I32GeU,
            I32GeU => I32LeU,
            I64LtS => I64GtS,
            I64GtS => I64LtS,
            I64LeS => I64GeS,
            I64GeS => I64LeS,
            I64LtU => I64GtU,
            I64GtU => I64LtU,
            I64LeU => I64GeU,
            I64GeU => I64LeU,
            F32Lt => F32Gt,
            F32Gt => F32Lt,
            F32Le => F32Ge,
            F32Ge => F32Le,
            F64Lt => F64Gt,
            F64Gt => F64Lt,
            F64Le => F64Ge,
            F64Ge => F64Le,
            _ => return None,
        })
    }
}

macro_rules! list_total {
    ($($variant:ident $name:literal $operands:tt -> $result:ident $flags:tt $body:block $doc:literal;)*) => {
        const TOTAL: &[Opcode] = &[$(Opcode::$variant),*];
    };
}

macro_rules! list_leaving {
    ($($variant:ident $name:literal $operands:tt -> $result:ident $flags:tt $body:block $doc:literal;)*) => {
        const LEAVING: &[Opcode] = &[$(Opcode::$variant),*];
    };
}

macro_rules! list_memory {
    ($($variant:ident $name:literal $shape:ident $ty:ident $width:literal $sign:literal $flags:tt $doc:literal;)*) => {
        const MEMORY: &[Opcode] = &[$(Opcode::$variant),*];
    };
}

macro_rules! list_structural {
    ($($variant:ident $name:literal $shape:ident $operands:tt -> $result:tt $flags:tt $doc:literal;)*) => {
        const STRUCTURAL: &[Opcode] = &[$(Opcode::$variant),*];
    };
}

macro_rules! list_tag {
    ($($variant:ident $name:literal $operands:tt -> $result:ident $flags:tt $tag:ident $body:block $doc:literal;)*) => {
        /// The ops on tagged words, in the order of the table.
        pub(crate) const TAG_OPS: &[Opcode] = &[$(Opcode::$variant),*];
    };
}

for_each_total_op!(list_total);
for_each_leaving_op!(list_leaving);
for_each_memory_op!(list_memory);
for_each_structural_op!(list_structural);
for_each_tag_op!(list_tag);

/// All rows, in the order of the tables.
const ROWS: [&Row; Opcode::COUNT] = {
    let mut rows = [&STRUCTURAL_ROWS[0]; Opcode::COUNT];
    let parts = [
        TOTAL_ROWS,
        LEAVING_ROWS,
        MEMORY_ROWS,
        STRUCTURAL_ROWS,
        TAG_ROWS,
    ];
    let (mut at, mut part) = (0, 0);
    while part < parts.len() {
        let mut index = 0;
        while index < parts[part].len() {
            rows[at] = &parts[part][index];
            at += 1;
            index += 1;
        }
        part += 1;
    }
    rows
};

static OPS: [OpInfo; Opcode::COUNT] = {
    let mut table = [ROWS[0].info; Opcode::COUNT];
    let mut at = 0;
    while at < ROWS.len() {
        table[at] = ROWS[at].info;
        at += 1;
    }
    table
};

/// A table of its own, so that who does not print it need not carry it.
static SUMMARIES: [&str; Opcode::COUNT] = {
    let mut table = [""; Opcode::COUNT];
    let mut at = 0;
    while at < ROWS.len() {
        table[at] = ROWS[at].summary;
        at += 1;
    }
    table
};

pub(crate) const ALL: [Opcode; Opcode::COUNT] = {
    let mut all = [Opcode::Parameter; Opcode::COUNT];
    let mut at = 0;
    let parts = [TOTAL, LEAVING, MEMORY, STRUCTURAL, TAG_OPS];
    let mut part = 0;
    while part < parts.len() {
        let mut index = 0;
        while index < parts[part].len() {
            // The enumeration stands in the order of the tables.
            assert!(parts[part][index] as usize == at);
            all[at] = parts[part][index];
            at += 1;
            index += 1;
        }
        part += 1;
    }
    all
};
