//! What can go wrong: a module that is none, what is not translated, and traps.

use std::fmt;

/// Why a module was not translated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The bytes are no valid module.
    Invalid {
        /// What is wrong.
        message: String,
        /// Where, in bytes from the module's beginning.
        offset: u64,
    },
    /// The module uses what is not translated, or more of something than there may be.
    Unsupported {
        /// What.
        what: String,
        /// Where, in bytes from the module's beginning.
        offset: u64,
    },
    /// The core refused.
    Core(patchjit::error::Error),
    /// There is no executable memory.
    Memory(patchjit_memory::Error),
    /// There are no stencils for this machine.
    NoTarget,
}

impl Error {
    pub(crate) fn unsupported(what: impl Into<String>, offset: u64) -> Error {
        Error::Unsupported {
            what: what.into(),
            offset,
        }
    }
}

impl From<wasmparser::Error> for Error {
    fn from(error: wasmparser::Error) -> Error {
        let (message, offset) = (error.message().to_owned(), error.offset());
        match error.missing_wasm_feature() {
            Some(_) => Error::Unsupported {
                what: message,
                offset,
            },
            None => Error::Invalid { message, offset },
        }
    }
}

impl From<patchjit::error::Error> for Error {
    fn from(error: patchjit::error::Error) -> Error {
        Error::Core(error)
    }
}

impl From<patchjit_memory::Error> for Error {
    fn from(error: patchjit_memory::Error) -> Error {
        Error::Memory(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Invalid { message, offset } => write!(f, "{message} (at offset {offset:#x})"),
            Error::Unsupported { what, offset } => {
                write!(f, "not supported: {what} (at offset {offset:#x})")
            }
            Error::Core(error) => error.fmt(f),
            Error::Memory(error) => error.fmt(f),
            Error::NoTarget => f.write_str("no target for this machine"),
        }
    }
}

impl std::error::Error for Error {}

/// Why a call did not return. The words are those of the specification's tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trap {
    /// `unreachable` was executed.
    Unreachable,
    /// An access beyond a memory's end.
    MemoryOutOfBounds,
    /// An access beyond a table's end.
    TableOutOfBounds,
    /// An indirect call through an index beyond the table's end.
    UndefinedElement,
    /// An indirect call through an element that is null.
    UninitializedElement,
    /// An indirect call of a function of another type.
    IndirectCallType,
    /// An integer division by zero.
    DivideByZero,
    /// An integer result that does not fit.
    IntegerOverflow,
    /// A conversion of a NaN to an integer.
    InvalidConversion,
    /// More calls within each other than are allowed.
    StackExhausted,
    /// The run fuel was used up.
    OutOfFuel,
    /// The module asked its host to end, with this status (`proc_exit`).
    Exit(u32),
    /// A host function failed.
    Host(String),
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Trap::Unreachable => "unreachable",
            Trap::MemoryOutOfBounds => "out of bounds memory access",
            Trap::TableOutOfBounds => "out of bounds table access",
            Trap::UndefinedElement => "undefined element",
            Trap::UninitializedElement => "uninitialized element",
            Trap::IndirectCallType => "indirect call type mismatch",
            Trap::DivideByZero => "integer divide by zero",
            Trap::IntegerOverflow => "integer overflow",
            Trap::InvalidConversion => "invalid conversion to integer",
            Trap::StackExhausted => "call stack exhausted",
            Trap::OutOfFuel => "out of fuel",
            Trap::Exit(status) => return write!(f, "exit with status {status}"),
            Trap::Host(message) => return f.write_str(message),
        })
    }
}

impl std::error::Error for Trap {}

/// The numbers of the traps that programs name, and of those that host functions give as their status.
pub(crate) mod number {
    use super::Trap;

    pub const UNREACHABLE: u32 = 1;
    pub const MEMORY: u32 = 2;
    pub const TABLE: u32 = 3;
    pub const UNDEFINED: u32 = 4;
    pub const UNINITIALIZED: u32 = 5;
    pub const TYPE: u32 = 6;
    pub const ZERO: u32 = 7;
    /// A signed division: by zero if the word in the slot of the trap's operand is 0, else it does not fit.
    pub const DIVISION: u32 = 8;
    /// A conversion of the binary32 in the slot of the trap's operand.
    pub const CONVERSION_F32: u32 = 9;
    /// The same of a binary64.
    pub const CONVERSION_F64: u32 = 10;
    /// A host function's trap, which the instance has.
    pub const HOST: u32 = 11;

    /// The trap with this number, and this word in the slot of its operand; `None` for a host function's.
    pub fn trap(number: u32, operand: u64) -> Option<Trap> {
        let conversion = |is_nan: bool| match is_nan {
            true => Trap::InvalidConversion,
            false => Trap::IntegerOverflow,
        };
        Some(match number {
            UNREACHABLE => Trap::Unreachable,
            MEMORY => Trap::MemoryOutOfBounds,
            TABLE => Trap::TableOutOfBounds,
            UNDEFINED => Trap::UndefinedElement,
            UNINITIALIZED => Trap::UninitializedElement,
            TYPE => Trap::IndirectCallType,
            ZERO => Trap::DivideByZero,
            DIVISION if operand == 0 => Trap::DivideByZero,
            DIVISION => Trap::IntegerOverflow,
            CONVERSION_F32 => conversion(f32::from_bits(operand as u32).is_nan()),
            CONVERSION_F64 => conversion(f64::from_bits(operand).is_nan()),
            _ => return None,
        })
    }
}
