//! Storage for what is recorded, on this host's heap.

use patchjit::build::EMPTY_OP;
use patchjit::ir::{NONE, Op};
use patchjit::tier::GiveUp;
use patchjit::tier::record::{Extent, Limits, Recorder, Segment, Slot, Storage, Trace, TraceExit};

/// The slots of the machine that a trace may name, from the base of its frame.
pub const WINDOW: usize = 128;

/// The most ops of a trace, side traces included.
const OPS: usize = 6000;

/// The most side traces of a trace.
const SIDES: usize = 24;

const LIMITS: Limits = Limits {
    ops: OPS as u32,
    frames: 8,
    unroll: 1,
};

/// One trace with its storage.
#[derive(Debug)]
pub struct Log {
    ops: Vec<Op>,
    words: Vec<u32>,
    exits: Vec<TraceExit>,
    segments: Vec<Segment>,
    slots: Vec<Slot>,
    extent: Extent,
}

impl Log {
    /// An empty one.
    pub(crate) fn new() -> Log {
        let mut slots = vec![Slot::default(); WINDOW];
        let empty = Storage {
            ops: &mut [],
            words: &mut [],
            exits: &mut [],
            segments: &mut [],
            slots: &mut slots,
        };
        let extent = Trace::new(empty, LIMITS).extent();
        Log {
            ops: vec![EMPTY_OP; OPS],
            words: vec![NONE; 16 * OPS],
            exits: vec![TraceExit::default(); OPS / 2],
            segments: vec![Segment::default(); SIDES + 1],
            slots,
            extent,
        }
    }

    /// The trace, for a time.
    pub fn with<R>(&mut self, use_it: impl FnOnce(&mut Trace<'_>) -> R) -> R {
        let storage = Storage {
            ops: &mut self.ops,
            words: &mut self.words,
            exits: &mut self.exits,
            segments: &mut self.segments,
            slots: &mut self.slots,
        };
        let mut trace = Trace::resume(storage, self.extent);
        let result = use_it(&mut trace);
        self.extent = trace.extent();
        result
    }

    /// Begins to record the root of the trace, or a side trace at an exit.
    pub(crate) fn record<R>(
        &mut self,
        from: Option<u32>,
        top: usize,
        record: impl FnOnce(Recorder<'_, '_>) -> R,
    ) -> Result<R, GiveUp> {
        self.with(|trace| match from {
            None => Ok(record(trace.begin(top as u32))),
            Some(exit) => Ok(record(trace.extend(exit)?)),
        })
    }
}
