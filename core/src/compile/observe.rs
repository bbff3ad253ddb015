//! What the compiler tells of its decisions, in the order in which it takes them.
//!
//! Enough for a checker that knows the program and nothing of the allocator: it follows which value each place
//! holds, copy by copy, and asks at each use, edge and snapshot whether the right value is there. An observer that is
//! not active costs nothing.

use crate::stencil::{Family, MAX_OPERANDS, RegisterNumber};

/// Names a value outside the compiler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValueName {
    /// The value of an op of the program.
    Op(u32),
    /// The address of the guest slots.
    Slots,
    /// The address of a region.
    Region(u32),
    /// How long a region is that grows, as the context says.
    RegionSize(u32),
    /// In a side trace: a value that the exit which it was compiled for keeps and does not name, by its number there.
    Kept(u32),
}

/// Where a value can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Location {
    /// A register: integer registers from 0, float registers from 32.
    Register(u32),
    /// A spill slot. In a side trace, those from 2^19 on are words of the parent's frame.
    Slot(u32),
    /// A word for the arguments of calls.
    Outgoing(u32),
}

/// One decision, or the code that follows from it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event {
    /// A function begins.
    Function {
        /// Its index.
        function: u32,
    },
    /// How long a value is kept, told for every value of the function at hand that is kept at all, before its code.
    /// Positions are doubled: the op at place p of the blocks in their order reads its operands at 2p and has given
    /// its value by 2p + 1.
    Live {
        /// The value.
        value: ValueName,
        /// Twice the position of the op that gives it.
        from: u32,
        /// The last position at which it must be there.
        to: u32,
    },
    /// A value has a spill slot, its own as long as it is kept. Nothing need be stored there yet.
    SpillSlot {
        /// The value.
        value: ValueName,
        /// The slot.
        slot: u32,
    },
    /// A value is in a register when the function begins, or when the block at hand does.
    Entry {
        /// The register.
        register: u32,
        /// The value.
        value: ValueName,
    },
    /// A value is where the exit has it that the side trace at hand is for.
    Inherit {
        /// Here.
        place: Location,
        /// The value.
        value: ValueName,
    },
    /// A block begins.
    Block {
        /// Its index in the program.
        block: u32,
        /// Whether registers hold what they held at the end of the block before it; else what the
        /// [`Event::Entry`] that follow say, and nothing besides.
        continues: bool,
    },
    /// 64 bits are copied.
    Copy {
        /// To here.
        to: Location,
        /// From here.
        from: Location,
    },
    /// A constant or an address from the context is made.
    Make {
        /// In this register.
        to: u32,
        /// What it is.
        value: ValueName,
    },
    /// An op reads an operand.
    Use {
        /// The op.
        op: u32,
        /// From this register.
        register: u32,
        /// It expects this value.
        value: ValueName,
    },
    /// An op gives its value.
    Define {
        /// In this register.
        register: u32,
        /// The value.
        value: ValueName,
    },
    /// Registers lose what they held.
    Clobber {
        /// Bit n for register n.
        set: u64,
    },
    /// An op's exit finds a value of its snapshot.
    Snapshot {
        /// The op.
        op: u32,
        /// Here.
        place: Location,
        /// It expects this value.
        value: ValueName,
    },
    /// The copies of an edge out of the block at hand begin; the state before them holds again behind them.
    Edge {
        /// The edge's extra index.
        at: u32,
    },
    /// They end.
    EdgeEnd,
    /// The code behind a function's blocks begins that serves an exit. What follows up to the next of these serves
    /// this exit, whatever op it names.
    Stub {
        /// The exit, by its index in the program.
        exit: u32,
    },
    /// A collector may run here: during a call, or at a poll. Every reference that is used behind it, or by the exit
    /// that the op leaves through, is in its spill slot, and read from there when it is wanted again.
    Safepoint {
        /// The op.
        op: u32,
        /// The offset in the code to which a call returns; the one behind a poll.
        at: u32,
    },
    /// A function's code ends, and its frame is known.
    Frame {
        /// Words from the stack pointer to the return address.
        words: u32,
        /// How many of them are in front of the spill slots.
        outgoing: u32,
    },
    /// A template is written; what it is for, if the allocator chose it, is told behind it.
    Emit {
        /// For this op.
        op: u32,
        /// Of this family.
        family: &'static Family,
        /// With these registers.
        registers: [RegisterNumber; MAX_OPERANDS],
        /// And this immediate. With it, [`crate::stencil::StencilSet::template`] says which template it is.
        immediate: i64,
        /// At this offset in the code.
        at: u32,
    },
}

/// Is told of every decision.
pub trait Observer {
    /// Whether it wants to be told.
    const ACTIVE: bool = true;
    /// A decision.
    fn event(&mut self, event: Event);
}

/// Both are told everything, the first one first.
impl<A: Observer, B: Observer> Observer for (&mut A, &mut B) {
    const ACTIVE: bool = A::ACTIVE || B::ACTIVE;
    fn event(&mut self, event: Event) {
        self.0.event(event);
        self.1.event(event);
    }
}

/// Is told nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    const ACTIVE: bool = false;
    fn event(&mut self, _: Event) {}
}
