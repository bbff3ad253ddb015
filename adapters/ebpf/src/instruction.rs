//! One instruction of eBPF: its fields and what its opcode means (RFC 9669, sections 3 to 5).
//!
//! Takes eight bytes; promises the fields as the RFC lays them out, little-endian. Decoding never fails: what an instruction may
//! be is for [`crate::check`].

/// How many bytes an instruction takes; wide ones take two.
pub const INSTRUCTION_BYTES: usize = 8;

/// How many registers a program names: r0 to r9, and the frame pointer r10.
pub const REGISTER_COUNT: u8 = 11;

/// The register that holds the end of the frame, and cannot be written.
pub const FRAME_POINTER: u8 = 10;

/// One instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// What to do.
    pub opcode: u8,
    /// The destination register, 0 to 15 as it stands in the code.
    pub destination: u8,
    /// The source register, or what kind of call or constant this is.
    pub source: u8,
    /// Of an access or a jump.
    pub offset: i16,
    /// The constant.
    pub immediate: i32,
}

impl Instruction {
    /// Reads eight bytes.
    pub fn from_bytes(bytes: [u8; INSTRUCTION_BYTES]) -> Instruction {
        let [opcode, registers, o0, o1, i0, i1, i2, i3] = bytes;
        Instruction {
            opcode,
            destination: registers & 15,
            source: registers >> 4,
            offset: i16::from_le_bytes([o0, o1]),
            immediate: i32::from_le_bytes([i0, i1, i2, i3]),
        }
    }

    /// Whether it is the first half of a 64-bit constant.
    pub fn is_wide(self) -> bool {
        self.opcode == WIDE_CONSTANT
    }

    /// The region into which the address leads that a wide instruction gives, the constant's upper half being the offset in it. (For the
    /// kernel it is a map, and the place one in its values.)
    pub fn region(self) -> Option<u8> {
        (self.is_wide() && self.source == 2).then_some(self.immediate as u8)
    }

    /// How many times eight bytes it takes.
    pub fn length(self) -> u32 {
        if self.is_wide() { 2 } else { 1 }
    }

    /// What kind of instruction it is.
    pub fn class(self) -> Class {
        match self.opcode & 7 {
            0 => Class::Load,
            1 => Class::LoadRegister,
            2 => Class::StoreImmediate,
            3 => Class::Store,
            4 => Class::Arithmetic32,
            5 => Class::Jump,
            6 => Class::Jump32,
            _ => Class::Arithmetic64,
        }
    }

    /// Of arithmetic and jumps: whether the second operand is the source register.
    pub fn has_source(self) -> bool {
        self.opcode & 8 != 0
    }

    /// Of arithmetic and jumps: the code.
    pub fn code(self) -> u8 {
        self.opcode >> 4
    }

    /// Of accesses: the mode.
    pub fn mode(self) -> u8 {
        self.opcode >> 5
    }

    /// Of accesses: how many bytes.
    pub fn width(self) -> u8 {
        match self.opcode >> 3 & 3 {
            0 => 4,
            1 => 2,
            2 => 1,
            _ => 8,
        }
    }

    /// How far an instruction that jumps does, in instructions from the next one.
    pub fn distance(self) -> i64 {
        match self.class() {
            Class::Jump32 if self.code() == jump::ALWAYS => i64::from(self.immediate),
            _ => i64::from(self.offset),
        }
    }
}

/// The opcode of a 64-bit constant.
pub const WIDE_CONSTANT: u8 = 0x18;

/// The classes of instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Class {
    Load,
    LoadRegister,
    StoreImmediate,
    Store,
    Arithmetic32,
    Jump,
    Jump32,
    Arithmetic64,
}

/// Codes of arithmetic.
pub mod arithmetic {
    #![allow(missing_docs, reason = "the names are the RFC's")]
    pub const ADD: u8 = 0;
    pub const SUB: u8 = 1;
    pub const MUL: u8 = 2;
    pub const DIV: u8 = 3;
    pub const OR: u8 = 4;
    pub const AND: u8 = 5;
    pub const SHIFT_LEFT: u8 = 6;
    pub const SHIFT_RIGHT: u8 = 7;
    pub const NEGATE: u8 = 8;
    pub const MOD: u8 = 9;
    pub const XOR: u8 = 10;
    pub const MOVE: u8 = 11;
    pub const SHIFT_RIGHT_SIGNED: u8 = 12;
    pub const BYTE_ORDER: u8 = 13;
}

/// Codes of jumps.
pub mod jump {
    #![allow(missing_docs, reason = "the names are the RFC's")]
    pub const ALWAYS: u8 = 0;
    pub const EQUAL: u8 = 1;
    pub const ABOVE: u8 = 2;
    pub const ABOVE_EQUAL: u8 = 3;
    pub const ANY_BIT: u8 = 4;
    pub const NOT_EQUAL: u8 = 5;
    pub const GREATER: u8 = 6;
    pub const GREATER_EQUAL: u8 = 7;
    pub const CALL: u8 = 8;
    pub const EXIT: u8 = 9;
    pub const BELOW: u8 = 10;
    pub const BELOW_EQUAL: u8 = 11;
    pub const LESS: u8 = 12;
    pub const LESS_EQUAL: u8 = 13;
}

/// Modes of accesses.
pub mod mode {
    #![allow(missing_docs, reason = "the names are the RFC's")]
    pub const IMMEDIATE: u8 = 0;
    pub const PACKET: u8 = 1;
    pub const PACKET_INDIRECT: u8 = 2;
    pub const MEMORY: u8 = 3;
    pub const MEMORY_SIGNED: u8 = 4;
    pub const ATOMIC: u8 = 6;
}

/// What an atomic instruction does, in its immediate.
pub mod atomic {
    #![allow(missing_docs, reason = "the names are the RFC's")]
    pub const ADD: i32 = 0x00;
    pub const OR: i32 = 0x40;
    pub const AND: i32 = 0x50;
    pub const XOR: i32 = 0xa0;
    pub const FETCH: i32 = 0x01;
    pub const EXCHANGE: i32 = 0xe1;
    pub const COMPARE_EXCHANGE: i32 = 0xf1;
}

/// What a call calls, in its source field.
pub mod call {
    #![allow(missing_docs, reason = "the names are the RFC's")]
    pub const HELPER: u8 = 0;
    pub const LOCAL: u8 = 1;
    pub const TYPED_HELPER: u8 = 2;
}

/// The instructions of a program.
#[derive(Clone, Copy, Debug)]
pub struct Code<'a>(&'a [[u8; INSTRUCTION_BYTES]]);

impl<'a> Code<'a> {
    /// The instructions in these bytes, and whether there are no more bytes.
    pub fn new(bytes: &'a [u8]) -> (Code<'a>, bool) {
        let (instructions, rest) = bytes.as_chunks();
        (Code(instructions), rest.is_empty())
    }

    /// How many there are, the halves of wide ones counted.
    pub fn len(self) -> u32 {
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The instruction at an index.
    pub fn get(self, at: u32) -> Option<Instruction> {
        let bytes = self.0.get(at as usize)?;
        Some(Instruction::from_bytes(*bytes))
    }

    /// The constant of the wide instruction at an index.
    pub fn wide_constant(self, at: u32) -> i64 {
        let half = |at: u32| self.get(at).map_or(0, |half| half.immediate as u32);
        (u64::from(half(at)) | u64::from(half(at.saturating_add(1))) << 32) as i64
    }
}

/// What an instruction does to registers r0 to r9: a bit for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Read.
    pub reads: u16,
    /// Written.
    pub writes: u16,
}

/// r0 to r9.
const NAMED: u16 = (1 << FRAME_POINTER) - 1;
/// r1 to r5, which calls take and lose.
pub const ARGUMENTS: u16 = 0b11_1110;

impl Instruction {
    /// Which registers it reads and writes, `arguments` being how many a helper takes.
    pub fn effects(self, arguments: impl Fn(i32) -> u8) -> Effects {
        let (destination, source) = (1 << self.destination, 1 << self.source);
        let operand = if self.has_source() { source } else { 0 };
        let (reads, writes) = match self.class() {
            Class::Load => match self.mode() {
                mode::IMMEDIATE => (0, destination),
                mode::PACKET_INDIRECT => (source, ARGUMENTS | 1),
                _ => (0, ARGUMENTS | 1),
            },
            Class::LoadRegister => (source, destination),
            Class::StoreImmediate => (destination, 0),
            Class::Store if self.mode() == mode::ATOMIC => match self.immediate {
                atomic::COMPARE_EXCHANGE => (destination | source | 1, 1),
                action if action & atomic::FETCH != 0 => (destination | source, source),
                _ => (destination | source, 0),
            },
            Class::Store => (destination | source, 0),
            Class::Arithmetic32 | Class::Arithmetic64 => match self.code() {
                arithmetic::MOVE => (operand, destination),
                arithmetic::NEGATE | arithmetic::BYTE_ORDER => (destination, destination),
                _ => (destination | operand, destination),
            },
            Class::Jump | Class::Jump32 => match self.code() {
                jump::ALWAYS => (0, 0),
                jump::EXIT => (1, 0),
                jump::CALL if self.source == call::LOCAL => (ARGUMENTS, ARGUMENTS | 1),
                jump::CALL => {
                    let taken = (2 << arguments(self.immediate).min(5)) - 2;
                    (taken, ARGUMENTS | 1)
                }
                _ => (destination | operand, 0),
            },
        };
        Effects {
            reads: reads & NAMED,
            writes: writes & NAMED,
        }
    }
}
