//! The tiering kit: when to compile, what to compile, and when to stop trying.
//!
//! A runtime that interprets a guest language has four questions, and a module here for each. None of them knows
//! anything of the guest's language, allocates, or reads a clock: the same calls give the same answers.
//!
//! ```text
//!   is this loop worth compiling?       hotness    counters with back-off, a few bits or a table of them
//!   what does it do?                    record     the ops that the host executes, as a trace; its side traces grow it
//!   which of its exits is worth more?   profile    counters for the exits of compiled code
//!   does trying again help?             blacklist  what failed, how often, and why
//! ```

pub mod blacklist;
pub mod hotness;
pub mod profile;
pub mod record;

use core::fmt;

/// Why a trace was not recorded, or something about one was refused. Nothing is half done: a recording that gives
/// up leaves the trace that it would have added to as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum GiveUp {
    /// More ops than the options allow, or than the trace's storage holds.
    TooLong,
    /// More exits, or more snapshot entries, arguments and offsets, than the trace's storage holds.
    TooManyExits,
    /// More side traces than the trace's storage holds.
    TooManySides,
    /// A guest slot beyond those that the trace's storage has.
    SlotRange,
    /// A guest slot is read, or closes the loop, as another type than before.
    SlotType,
    /// A slot was written, or a store made, before an op that may leave, without a new place to resume at: the
    /// guest would do it twice.
    WriteBeforeExit,
    /// Calls within each other go deeper than the options allow.
    TooDeep,
    /// The guest returned from the frame in which the trace began.
    FrameUnderflow,
    /// The loop was closed, or the trace ended, in another frame than it began in.
    FrameOpen,
    /// Another loop went round within the trace more often than the options allow.
    InnerLoop,
    /// The trace met more other loops than a recorder tells apart.
    TooManyLoops,
    /// No such exit, or no such value.
    Unknown,
    /// The exit has a side trace already, or belongs to ops that are not guards.
    ExitTaken,
    /// The guest did something that the host does not record; the number is the host's own.
    Host(u8),
}

impl fmt::Display for GiveUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match *self {
            GiveUp::TooLong => "the trace is too long",
            GiveUp::TooManyExits => "the trace has too many exits",
            GiveUp::TooManySides => "the trace has too many side traces",
            GiveUp::SlotRange => "a guest slot is out of range",
            GiveUp::SlotType => "a guest slot changes its type",
            GiveUp::WriteBeforeExit => "something is written before an op that may leave",
            GiveUp::TooDeep => "calls go too deep",
            GiveUp::FrameUnderflow => "the guest left the frame in which the trace began",
            GiveUp::FrameOpen => "the trace ends in another frame than it began in",
            GiveUp::InnerLoop => "an inner loop goes round within the trace",
            GiveUp::TooManyLoops => "the trace meets too many other loops",
            GiveUp::Unknown => "there is no such exit or value",
            GiveUp::ExitTaken => "the exit cannot have a side trace",
            GiveUp::Host(number) => return write!(f, "the host does not record this ({number})"),
        };
        f.write_str(text)
    }
}

impl core::error::Error for GiveUp {}
