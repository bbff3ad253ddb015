//! What is recorded: a log of ops, the exits and the guest slots that they name.
//!
//! A root and its side traces share one log; each is a segment of it. A value is the place of its op in the log. The log's ops
//! are records as [`crate::ir`] has them, but for the exits that they name, which are the trace's.

use super::{LOOPS, Limits, Recorder};
use crate::ir::{NONE, Op};
use crate::ops::{Shape, flags};
use crate::tier::GiveUp;
use crate::types::Type;

/// What a trace knows of a guest slot. The default is what storage is filled with before a trace gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The log's read of this slot at the head, or [`NONE`].
    pub(super) read: u32,
    /// While recording: what the slot holds, or [`NONE`] where that is what it held at the head.
    pub(super) value: u32,
    /// While recording: where this slot stands in the list of those that have a value.
    pub(super) place: u32,
    /// While recording: this place's entry in that list, a slot.
    pub(super) listed: u32,
    /// The type that the slot has at the head, once it is known.
    pub(super) ty: Option<Type>,
    /// Whether some way round the loop changes it.
    pub(super) carried: bool,
}

impl Default for Slot {
    fn default() -> Slot {
        Slot {
            read: NONE,
            value: NONE,
            place: 0,
            listed: 0,
            ty: None,
            carried: false,
        }
    }
}

/// A way out of a trace, by its index in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceExit {
    /// Where the guest resumes, as the host said.
    pub resume: u64,
    /// The base of the guest's frame then, in slots above the frame in which the trace began.
    pub base: u32,
    /// How many frames are above that one.
    pub frames: u32,
    /// Whether guards leave here, or other ops do. Only guards' exits can have side traces.
    pub of_guards: bool,
    /// Slots from here on are dead.
    pub(super) top: u32,
    /// The snapshot: pairs of slot and value, in the trace's words.
    pub(super) first: u32,
    pub(super) count: u32,
    /// The segment that begins here plus one, or 0.
    pub(super) side: u32,
    /// The segment whose ops leave here.
    pub(super) segment: u32,
    /// How many of the loops that the segment passes it has passed here.
    pub(super) passed: u8,
}

impl TraceExit {
    /// Whether a side trace begins here.
    pub const fn has_side(&self) -> bool {
        self.side != 0
    }
}

/// The root, or a side trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    pub(super) first_op: u32,
    pub(super) op_count: u32,
    /// The exit where it begins; none for the root.
    pub(super) from: u32,
    /// The other loops whose heads the guest passes on the way from the head to the end, as far as there is room.
    pub(super) passed: [u64; LOOPS],
    pub(super) passed_count: u8,
    pub(super) end: End,
}

impl Segment {
    /// The loops that it passes.
    pub(super) fn passed(&self) -> &[u64] {
        let count = usize::from(self.passed_count);
        self.passed.get(..count).unwrap_or(&self.passed)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum End {
    /// Under construction.
    #[default]
    Open,
    /// Back to the head, with these pairs of slot and value.
    Close { first: u32, count: u32 },
    /// Out, through this exit.
    Leave { exit: u32 },
}

/// Where a trace is kept.
#[derive(Debug)]
pub struct Storage<'a> {
    /// One for each op.
    pub ops: &'a mut [Op],
    /// Two for each snapshot entry and each slot that a closed loop changes; two for a region access, one and the arguments for
    /// a call of a host function.
    pub words: &'a mut [u32],
    /// One for each exit.
    pub exits: &'a mut [TraceExit],
    /// One for the root and each side trace.
    pub segments: &'a mut [Segment],
    /// One for each guest slot that the trace may name, counted from the base of the frame in which it begins.
    pub slots: &'a mut [Slot],
}

/// How much of the storage is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Used {
    pub(super) ops: u32,
    pub(super) words: u32,
    pub(super) exits: u32,
    pub(super) segments: u32,
}

/// How much was recorded: what is needed, beside the storage, to look at a trace again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    used: Used,
    limits: Limits,
    head_top: u32,
}

/// A root and its side traces.
#[derive(Debug)]
pub struct Trace<'a> {
    pub(super) storage: Storage<'a>,
    pub(super) used: Used,
    pub(super) limits: Limits,
    /// Slots from here on are dead at the head.
    pub(super) head_top: u32,
}

impl<'a> Trace<'a> {
    /// An empty trace in this storage.
    pub fn new(storage: Storage<'a>, limits: Limits) -> Trace<'a> {
        storage.slots.fill(Slot::default());
        Trace {
            storage,
            used: Used::default(),
            limits,
            head_top: 0,
        }
    }

    /// How much was recorded, for [`Trace::resume`]: so a host that keeps the storage of many traces borrows it only while it
    /// uses it.
    pub fn extent(&self) -> Extent {
        Extent {
            used: self.used,
            limits: self.limits,
            head_top: self.head_top,
        }
    }

    /// A trace that was recorded before, in the storage that it was recorded in. With other storage it is another trace, or none
    /// that can be emitted; it is never a panic.
    pub fn resume(storage: Storage<'a>, extent: Extent) -> Trace<'a> {
        let Extent {
            used,
            limits,
            head_top,
        } = extent;
        Trace {
            storage,
            used,
            limits,
            head_top,
        }
    }

    /// Begins to record the root, at a loop's head, with slots from `top` on dead ([`u32::MAX`]: with none). What was recorded
    /// before is dropped.
    pub fn begin(&mut self, top: u32) -> Recorder<'_, 'a> {
        self.used = Used::default();
        self.head_top = top;
        self.storage.slots.fill(Slot::default());
        let mut recorder = Recorder::new(self);
        let result = recorder.open(NONE);
        recorder.failed = result.err();
        recorder
    }

    /// Begins to record a side trace where guards of this exit fail. The guest is in the state that the exit's snapshot describes.
    ///
    /// # Errors
    ///
    /// [`GiveUp::Unknown`] if there is no such exit; [`GiveUp::ExitTaken`] if it has a side trace, or is not of guards.
    pub fn extend(&mut self, exit: u32) -> Result<Recorder<'_, 'a>, GiveUp> {
        let from = *self.exit(exit).ok_or(GiveUp::Unknown)?;
        if from.has_side() || !from.of_guards {
            return Err(GiveUp::ExitTaken);
        }
        let mut recorder = Recorder::new(self);
        let result = recorder.open(exit);
        recorder.failed = result.err();
        recorder.base = from.base;
        recorder.frames = from.frames;
        recorder.top = from.top;
        let segments = &*recorder.trace.storage.segments;
        if let Some(segment) = segments.get(from.segment as usize) {
            recorder.way = segment.passed;
            recorder.way_count = from.passed;
        }
        for index in 0..from.count {
            let (slot, value) = recorder.trace.pair(from.first, index);
            recorder.assign(slot, value);
        }
        Ok(recorder)
    }

    /// An exit, by its index.
    pub fn exit(&self, index: u32) -> Option<&TraceExit> {
        let exits = self.storage.exits.get(..self.used.exits as usize)?;
        exits.get(index as usize)
    }

    /// How many exits there are.
    pub fn exit_count(&self) -> u32 {
        self.used.exits
    }

    /// How many ops the log has.
    pub fn op_count(&self) -> u32 {
        self.used.ops
    }

    /// How many ops of the log may leave: those that [`super::Forced`] counts.
    pub fn leaving_count(&self) -> u32 {
        let leaves = |op: &&Op| op.code.info().has(flags::LEAVES);
        self.ops().iter().filter(leaves).count() as u32
    }

    /// How many guest slots from the base of its frame a run of the trace may touch.
    pub fn slot_count(&self) -> u32 {
        self.storage.slots.len() as u32
    }

    pub(super) fn ops(&self) -> &[Op] {
        let ops = &*self.storage.ops;
        ops.get(..self.used.ops as usize).unwrap_or(ops)
    }

    pub(super) fn word(&self, at: u32) -> u32 {
        self.storage.words.get(at as usize).copied().unwrap_or(NONE)
    }

    /// A pair of slot and value.
    pub(super) fn pair(&self, first: u32, index: u32) -> (u32, u32) {
        let at = first + 2 * index;
        (self.word(at), self.word(at + 1))
    }

    pub(super) fn type_of(&self, value: u32) -> Option<Type> {
        self.ops().get(value as usize).and_then(Op::result)
    }

    pub(super) fn slot_mut(&mut self, slot: u32) -> Option<&mut Slot> {
        self.storage.slots.get_mut(slot as usize)
    }

    /// Drops what was recorded since.
    pub(super) fn truncate(&mut self, to: Used) {
        for index in to.ops..self.used.ops {
            let Some(&op) = self.storage.ops.get(index as usize) else {
                continue;
            };
            if op.code.info().shape == Shape::SlotGet
                && let Some(slot) = self.slot_mut(op.c)
            {
                slot.read = NONE;
                if !slot.carried {
                    slot.ty = None;
                }
            }
        }
        self.used = to;
    }
}
