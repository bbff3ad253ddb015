//! What is wrong with a program, and where.

use core::fmt;

/// Why a program is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// The index of the instruction, counted in eight bytes; none where it is about the whole.
    pub at: Option<u32>,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// It is not whole instructions, or there are none.
    Length,
    /// It has more than [`crate::MAX_INSTRUCTIONS`].
    TooLong,
    /// No instruction has this opcode.
    Opcode(u8),
    /// There is no register with this number.
    Register(u8),
    /// The frame pointer cannot be written.
    FramePointer,
    /// A field that the instruction does not use is not zero.
    Reserved,
    /// Its constant is not among those that it takes.
    Immediate(i32),
    /// Its offset is not among those that it takes.
    Offset(i16),
    /// It jumps to this index, which is outside of its function.
    JumpRange(i64),
    /// It goes to the second half of a 64-bit constant.
    JumpIntoConstant(i64),
    /// The second half of a 64-bit constant is missing or not empty.
    SecondHalf,
    /// What comes after it is not in its function: a function ends with `exit` or a jump.
    FallsOff,
    /// The host has no helper with this number.
    Helper(i32),
    /// It reads packets as classic BPF did, and the machine has none.
    NoPacket,
    /// It is an instruction that is not supported.
    Unsupported(&'static str),
    /// The machine has more regions than there may be, or one is too large, or what it names is none of them.
    Machine,
    /// The workspace is too small: so many marks and blocks are needed.
    Workspace {
        /// One for each instruction.
        marks: usize,
        /// As [`crate::Checked::block_count`] says.
        blocks: usize,
    },
    /// The program's records do not fit, or are not what the builder takes.
    Build(patchjit::error::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(at) = self.at {
            write!(f, "instruction {at}: ")?;
        }
        self.problem.fmt(f)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Problem::Length => f.write_str("expected instructions of 8 bytes, at least one"),
            Problem::TooLong => {
                write!(
                    f,
                    "expected at most {} instructions",
                    crate::MAX_INSTRUCTIONS
                )
            }
            Problem::Opcode(opcode) => write!(f, "no instruction has the opcode {opcode:#04x}"),
            Problem::Register(register) => {
                write!(f, "expected a register from r0 to r10, not r{register}")
            }
            Problem::FramePointer => f.write_str("r10 cannot be written"),
            Problem::Reserved => f.write_str("expected zero in the fields that it does not use"),
            Problem::Immediate(immediate) => write!(f, "does not take the constant {immediate}"),
            Problem::Offset(offset) => write!(f, "does not take the offset {offset}"),
            Problem::JumpRange(target) => {
                write!(f, "goes to instruction {target}, outside of its function")
            }
            Problem::JumpIntoConstant(target) => {
                write!(
                    f,
                    "goes to instruction {target}, the second half of a constant"
                )
            }
            Problem::SecondHalf => {
                f.write_str("expected the second half of a 64-bit constant behind it")
            }
            Problem::FallsOff => f.write_str("expected exit or a jump at a function's end"),
            Problem::Helper(number) => write!(f, "there is no helper {number}"),
            Problem::NoPacket => f.write_str("there is no packet that it could read"),
            Problem::Unsupported(what) => write!(f, "{what} is not supported"),
            Problem::Machine => write!(
                f,
                "expected at most {} regions of at most 2^28 bytes, and among them each that is named; a stack that can be \
                 written and has room for a frame",
                crate::MAX_REGIONS
            ),
            Problem::Workspace { marks, blocks } => {
                write!(f, "needs a workspace of {marks} marks and {blocks} blocks")
            }
            Problem::Build(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for Error {}

impl From<patchjit::error::Error> for Error {
    fn from(error: patchjit::error::Error) -> Error {
        Error {
            at: None,
            problem: Problem::Build(error),
        }
    }
}
