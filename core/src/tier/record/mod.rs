//! Records what a host executes as a trace, and grows it by side traces.
//!
//! ```text
//!   the host executes a guest op ──> what it did, as micro-ops ──> Recorder ──> Trace: a log in the caller's storage
//!                                                                                 │ emit: any number of times
//!   an exit turns out hot ──> Trace::extend ──> Recorder ──> the same log         v
//!                                                                       Builder ──> program: verify, compile
//! ```
//!
//! A [`Trace`] is a tree: a root that begins at a loop's head, and side traces that begin where a guard failed. Each ends by
//! going back to the head ([`Recorder::close`]) or by leaving ([`Recorder::leave`]). All of it becomes one function, in which
//! a guard that has a side trace is a branch, so values stay in registers from one to the other. Ways that come round an
//! outer loop go back to a head of their own in front of the other, so that what only they change is not carried round the inner loop.
//!
//! **Guest slots.** The host names slots relative to the frame that it executes; calls that are inlined shift the
//! frame's base. A slot is read once, at the head, whatever the number of reads; it is written nowhere but in the
//! snapshots of exits. A slot whose value some way round the loop changes becomes a parameter of the loop's head. Slots from
//! [`Recorder::kill_from`] on are dead: no exit writes them.
//!
//! **Where the guest resumes.** Before an op that may leave, the host has said where the guest goes on
//! ([`Recorder::resume_at`]): at the op itself, as a rule, with the slots as they were before it. So within a guest op, all
//! that may leave comes before all writes; the recorder refuses another order ([`GiveUp::WriteBeforeExit`]).
//!
//! Takes: what the host executes, in order, in memory of the caller's. Promises: a trace that is emitted does, up to
//! each of its exits, what the host did in the same state; a recording that gives up, or is dropped, leaves the trace as it was
//! before. Types of operands and definitions before uses are left to [`crate::verify`]. Costs: constant time for an op; an exit
//! costs its snapshot, which has the slots that changed. Linear time to emit.

mod emit;
mod trace;

pub use emit::{Emit, Forced};
pub use trace::{Extent, Segment, Slot, Storage, Trace, TraceExit};

use super::GiveUp;
use crate::ir::{NONE, Op, access_aux};
use crate::ops::{Opcode, Shape, flags};
use crate::types::Type;
use trace::{End, Used};

/// A value in a trace, by the place of its op in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Traced(u32);

/// An address in a region: `index * 2^scale + offset`, as [`crate::build::Access`] has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceAccess {
    /// The region's index in the program into which the trace is emitted.
    pub region: u16,
    /// The index, an unsigned i64.
    pub index: Traced,
    /// The binary logarithm of the index's unit, 0 to 3.
    pub scale: u8,
    /// Bytes added, at most [`crate::ir::MAX_OFFSET`].
    pub offset: u32,
}

/// How far a recording may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Ops in the whole trace, side traces included.
    pub ops: u32,
    /// Frames of guest calls within each other, above the frame in which the trace began.
    pub frames: u32,
    /// How often a recording may pass the head of another loop: see [`Recorder::pass`].
    pub unroll: u8,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            ops: 4000,
            frames: 16,
            unroll: 4,
        }
    }
}

/// How many other loops a recording tells apart.
const LOOPS: usize = 8;

/// Another loop whose head a recording has passed.
#[derive(Clone, Copy, Debug, Default)]
struct Passed {
    key: u64,
    times: u8,
}

/// Records one root or side trace. The first error sticks, and ends the recording; so does dropping it.
#[derive(Debug)]
pub struct Recorder<'t, 'a> {
    trace: &'t mut Trace<'a>,
    before: Used,
    /// The exit from which a side trace comes.
    from: u32,
    base: u32,
    frames: u32,
    /// The other loops passed on the way from the head, those of segments before this one among them.
    way: [u64; LOOPS],
    way_count: u8,
    /// One more than the highest slot that may have a value.
    top: u32,
    /// How many slots have a value.
    listed: u32,
    resume: u64,
    /// Nothing was written since the guest's place was said.
    clean: bool,
    /// The exits of the present place, for guards and for other ops.
    exits: [u32; 2],
    passed: [Passed; LOOPS],
    failed: Option<GiveUp>,
    done: bool,
}

impl<'t, 'a> Recorder<'t, 'a> {
    fn new(trace: &'t mut Trace<'a>) -> Recorder<'t, 'a> {
        for slot in trace.storage.slots.iter_mut() {
            slot.value = NONE;
        }
        let (before, top) = (trace.used, trace.head_top);
        Recorder {
            trace,
            before,
            from: NONE,
            base: 0,
            frames: 0,
            way: [0; LOOPS],
            way_count: 0,
            top,
            listed: 0,
            resume: 0,
            clean: false,
            exits: [NONE; 2],
            passed: [Passed::default(); LOOPS],
            failed: None,
            done: false,
        }
    }

    fn open(&mut self, from: u32) -> Result<(), GiveUp> {
        let index = self.trace.used.segments;
        let segment = Segment {
            first_op: self.trace.used.ops,
            from,
            ..Segment::default()
        };
        let place = self.trace.storage.segments.get_mut(index as usize);
        *place.ok_or(GiveUp::TooManySides)? = segment;
        self.trace.used.segments += 1;
        if let Some(exit) = self.trace.storage.exits.get_mut(from as usize) {
            exit.side = index + 1;
            self.from = from;
        }
        Ok(())
    }

    // The guest's slots, frames and places.

    /// What a slot of the present frame holds, as this type.
    ///
    /// # Errors
    ///
    /// [`GiveUp::SlotRange`], [`GiveUp::SlotType`], [`GiveUp::TooLong`].
    pub fn read(&mut self, slot: u32, ty: Type) -> Result<Traced, GiveUp> {
        self.check(|r| {
            let slot = r.base.saturating_add(slot);
            let known = *r.trace.slot_mut(slot).ok_or(GiveUp::SlotRange)?;
            let value = if known.value != NONE {
                known.value
            } else {
                known.read
            };
            if value != NONE {
                return match r.trace.type_of(value) == Some(ty) {
                    true => Ok(Traced(value)),
                    false => Err(GiveUp::SlotType),
                };
            }
            if known.ty.is_some_and(|known| known != ty) {
                return Err(GiveUp::SlotType);
            }
            let value = r.push(read_of(ty), 0, 0, 0, slot)?;
            if let Some(known) = r.trace.slot_mut(slot) {
                known.read = value.0;
                known.ty = Some(ty);
            }
            Ok(value)
        })
    }

    /// Makes a slot of the present frame hold a value.
    ///
    /// # Errors
    ///
    /// [`GiveUp::SlotRange`]; [`GiveUp::Unknown`] if there is no such value.
    pub fn write(&mut self, slot: u32, value: Traced) -> Result<(), GiveUp> {
        self.check(|r| {
            let slot = r.base.saturating_add(slot);
            r.operand(value)?;
            r.trace.slot_mut(slot).ok_or(GiveUp::SlotRange)?;
            r.assign(slot, value.0);
            r.clean = false;
            Ok(())
        })
    }

    /// Says that the slots of the present frame from this one on are dead: the guest will not read them before it writes them.
    ///
    /// # Errors
    ///
    /// The error that ended the recording, if one did.
    pub fn kill_from(&mut self, slot: u32) -> Result<(), GiveUp> {
        self.check(|r| {
            let end = r.base.saturating_add(slot);
            // There may be fewer slots than the host says are alive.
            let slots = r.trace.storage.slots.len() as u32;
            for slot in end..r.top.min(slots) {
                if r.forget(slot) {
                    r.clean = false;
                }
            }
            r.top = r.top.min(end);
            Ok(())
        })
    }

    /// A guest call is inlined: from here on, slots are counted from `shift` slots further up.
    ///
    /// # Errors
    ///
    /// [`GiveUp::TooDeep`].
    pub fn push_frame(&mut self, shift: u32) -> Result<(), GiveUp> {
        self.check(|r| {
            if r.frames >= r.trace.limits.frames {
                return Err(GiveUp::TooDeep);
            }
            r.base = r.base.checked_add(shift).ok_or(GiveUp::SlotRange)?;
            r.frames += 1;
            r.clean = false;
            Ok(())
        })
    }

    /// The guest returns from a call that was inlined with this shift.
    ///
    /// # Errors
    ///
    /// [`GiveUp::FrameUnderflow`] if the trace did not see the call.
    pub fn pop_frame(&mut self, shift: u32) -> Result<(), GiveUp> {
        self.check(|r| {
            if r.frames == 0 || shift > r.base {
                return Err(GiveUp::FrameUnderflow);
            }
            r.base -= shift;
            r.frames -= 1;
            r.clean = false;
            Ok(())
        })
    }

    /// How many frames are open above the one in which the trace began.
    pub fn frames(&self) -> u32 {
        self.frames
    }

    /// Says where the guest resumes, with the slots as they are now, if what follows leaves.
    pub fn resume_at(&mut self, resume: u64) {
        self.resume = resume;
        self.clean = true;
        self.exits = [NONE; 2];
    }

    /// Notes that the guest passes the head of another loop than the trace's own; the key names it.
    ///
    /// # Errors
    ///
    /// [`GiveUp::InnerLoop`] if that happens more often than the limits allow: the other loop is the one to record;
    /// [`GiveUp::TooManyLoops`].
    pub fn pass(&mut self, key: u64) -> Result<(), GiveUp> {
        self.check(|r| {
            let limit = r.trace.limits.unroll;
            let found = |passed: &&mut Passed| passed.times == 0 || passed.key == key;
            let passed = r.passed.iter_mut().find(found);
            let passed = passed.ok_or(GiveUp::TooManyLoops)?;
            if passed.times >= limit {
                return Err(GiveUp::InnerLoop);
            }
            passed.key = key;
            passed.times += 1;
            let count = usize::from(r.way_count);
            if !r.way.iter().take(count).any(|&known| known == key)
                && let Some(place) = r.way.get_mut(count)
            {
                *place = key;
                r.way_count += 1;
            }
            Ok(())
        })
    }

    /// Ends the recording for a reason of the host's, and gives it back.
    pub fn give_up(&mut self, reason: GiveUp) -> GiveUp {
        *self.failed.get_or_insert(reason)
    }

    // Ops. Each has a counterpart in `Builder`.

    /// A constant of the op's type with these bits.
    ///
    /// # Errors
    ///
    /// [`GiveUp::TooLong`], as for all ops; an op of another shape than the method's is [`GiveUp::Unknown`].
    pub fn constant(&mut self, code: Opcode, bits: u64) -> Result<Traced, GiveUp> {
        self.check(|r| {
            check_shape(code, Shape::Constant, false)?;
            r.push(code, 0, 0, bits as u32, (bits >> 32) as u32)
        })
    }

    /// An op with one operand that always gives a value.
    ///
    /// # Errors
    ///
    /// As [`Recorder::constant`].
    pub fn unary(&mut self, code: Opcode, a: Traced) -> Result<Traced, GiveUp> {
        self.check(|r| {
            check_shape(code, Shape::Unary, false)?;
            r.operand(a)?;
            r.push(code, 0, a.0, 0, 0)
        })
    }

    /// An op with one operand that gives a value or leaves.
    ///
    /// # Errors
    ///
    /// As [`Recorder::constant`], and [`GiveUp::WriteBeforeExit`], [`GiveUp::TooManyExits`] as for all that leave.
    pub fn unary_else(&mut self, code: Opcode, a: Traced) -> Result<Traced, GiveUp> {
        self.check(|r| {
            check_shape(code, Shape::Unary, true)?;
            r.operand(a)?;
            let exit = r.exit(false)?;
            r.push(code, 0, a.0, 0, exit)
        })
    }

    /// An op on words with tags; the tag by its index in the program into which the trace is emitted.
    ///
    /// # Errors
    ///
    /// As [`Recorder::constant`].
    pub fn tagged(&mut self, code: Opcode, tag: u16, a: Traced) -> Result<Traced, GiveUp> {
        self.check(|r| {
            check_shape(code, Shape::Tag, false)?;
            r.operand(a)?;
            r.push(code, tag, a.0, 0, 0)
        })
    }

    /// An op with two operands that always gives a value.
    ///
    /// # Errors
    ///
    /// As [`Recorder::constant`].
    pub fn binary(&mut self, code: Opcode, a: Traced, b: Traced) -> Result<Traced, GiveUp> {
        self.check(|r| {
            check_shape(code, Shape::Binary, false)?;
            r.operand(a)?;
            r.operand(b)?;
            r.push(code, 0, a.0, b.0, 0)
        })
    }

    /// An op with two operands that gives a value or leaves.
    ///
    /// # Errors
    ///
    /// As [`Recorder::unary_else`].
    pub fn binary_else(&mut self, code: Opcode, a: Traced, b: Traced) -> Result<Traced, GiveUp> {
        self.check(|r| {
            check_shape(code, Shape::Binary, true)?;
            r.operand(a)?;
            r.operand(b)?;
            let exit = r.exit(false)?;
            r.push(code, 0, a.0, b.0, exit)
        })
    }

    /// `then` if the condition is not zero, else `otherwise`.
    ///
    /// # Errors
    ///
    /// As [`Recorder::constant`].
    pub fn select(
        &mut self,
        code: Opcode,
        condition: Traced,
        then: Traced,
        otherwise: Traced,
    ) -> Result<Traced, GiveUp> {
        self.check(|r| {
            check_shape(code, Shape::Select, false)?;
            for value in [condition, then, otherwise] {
                r.operand(value)?;
            }
            r.push(code, 0, condition.0, then.0, otherwise.0)
        })
    }

    /// A load from a region.
    ///
    /// # Errors
    ///
    /// As [`Recorder::unary_else`].
    pub fn load(&mut self, code: Opcode, from: TraceAccess) -> Result<Traced, GiveUp> {
        self.check(|r| {
            check_shape(code, Shape::Load, true)?;
            r.access(code, from, 0)
        })
    }

    /// A store to a region.
    ///
    /// # Errors
    ///
    /// As [`Recorder::unary_else`].
    pub fn store(&mut self, code: Opcode, to: TraceAccess, value: Traced) -> Result<(), GiveUp> {
        self.check(|r| {
            check_shape(code, Shape::Store, true)?;
            r.operand(value)?;
            r.access(code, to, value.0)?;
            r.clean = false;
            Ok(())
        })
    }

    /// Leaves if the condition is zero ([`Opcode::Guard`]) or not zero ([`Opcode::GuardNot`]).
    ///
    /// # Errors
    ///
    /// As [`Recorder::unary_else`].
    pub fn guard(&mut self, code: Opcode, condition: Traced) -> Result<(), GiveUp> {
        self.check(|r| {
            check_shape(code, Shape::Guard, true)?;
            r.operand(condition)?;
            let exit = r.exit(true)?;
            r.push(code, 0, condition.0, 0, exit).map(drop)
        })
    }

    /// Leaves if the embedder asked for an interruption.
    ///
    /// # Errors
    ///
    /// As [`Recorder::unary_else`].
    pub fn poll(&mut self) -> Result<(), GiveUp> {
        self.check(|r| {
            let exit = r.exit(false)?;
            r.push(Opcode::Poll, 0, 0, 0, exit).map(drop)
        })
    }

    /// Calls a host function, by its index in the program into which the trace is emitted; gives its result, if it has one.
    /// If its status is not zero the trace leaves. It must not look at guest slots, which are written at exits only.
    ///
    /// # Errors
    ///
    /// As [`Recorder::unary_else`]; [`GiveUp::TooLong`] for more than [`MAX_HOST_ARGUMENTS`] arguments.
    pub fn call_host(
        &mut self,
        host: u32,
        arguments: &[Traced],
        result: Option<Type>,
    ) -> Result<Traced, GiveUp> {
        self.check(|r| {
            if arguments.len() > MAX_HOST_ARGUMENTS {
                return Err(GiveUp::TooLong);
            }
            let exit = r.exit(false)?;
            let at = r.trace.used.words;
            r.push_word(arguments.len() as u32)?;
            for &argument in arguments {
                r.operand(argument)?;
                r.push_word(argument.0)?;
            }
            let aux = result.map_or(0, |ty| ty as u16 + 1);
            let value = r.push(Opcode::CallHost, aux, host, at, exit)?;
            r.clean = false;
            Ok(value)
        })
    }

    // The end.

    /// Goes back to the trace's head: the guest is there, in the frame in which the trace began.
    ///
    /// # Errors
    ///
    /// The error that ended the recording before; [`GiveUp::FrameOpen`]; [`GiveUp::SlotType`] if a slot would come round with
    /// another type. The trace is then as it was before this recording.
    pub fn close(mut self) -> Result<(), GiveUp> {
        if self.base != 0 || self.frames != 0 {
            return Err(self.failed.unwrap_or(GiveUp::FrameOpen));
        }
        self.kill_from(self.trace.head_top)?;
        let (first, count) = self.snapshot()?;
        for index in 0..count {
            let (slot, value) = self.trace.pair(first, index);
            let ty = self.trace.type_of(value);
            let known = self.trace.slot_mut(slot).and_then(|slot| slot.ty);
            if known.is_some() && known != ty {
                return Err(GiveUp::SlotType);
            }
        }
        for index in 0..count {
            let (slot, value) = self.trace.pair(first, index);
            let ty = self.trace.type_of(value);
            if let Some(slot) = self.trace.slot_mut(slot) {
                slot.ty = ty;
                slot.carried = true;
            }
        }
        self.finish(End::Close { first, count });
        Ok(())
    }

    /// Ends the trace by leaving: the guest resumes at this place, with the slots as they are now.
    ///
    /// # Errors
    ///
    /// The error that ended the recording before; [`GiveUp::TooManyExits`]. The trace is then as it was before this recording.
    pub fn leave(mut self, resume: u64) -> Result<(), GiveUp> {
        self.resume_at(resume);
        let exit = self.check(|r| r.exit(false))?;
        self.finish(End::Leave { exit });
        Ok(())
    }

    fn finish(&mut self, end: End) {
        let op_end = self.trace.used.ops;
        let index = self.trace.used.segments as usize;
        if let Some(segment) = self.trace.storage.segments.get_mut(index - 1) {
            segment.op_count = op_end - segment.first_op;
            segment.passed = self.way;
            segment.passed_count = self.way_count;
            segment.end = end;
            self.done = true;
        }
    }

    // What the methods share.

    /// Runs a step unless one failed before; remembers the first failure.
    fn check<T>(&mut self, step: impl FnOnce(&mut Self) -> Result<T, GiveUp>) -> Result<T, GiveUp> {
        if let Some(reason) = self.failed {
            return Err(reason);
        }
        let result = step(self);
        if let Err(reason) = &result {
            self.failed = Some(*reason);
        }
        result
    }

    fn operand(&self, value: Traced) -> Result<(), GiveUp> {
        match self.trace.type_of(value.0) {
            Some(_) => Ok(()),
            None => Err(GiveUp::Unknown),
        }
    }

    fn push(&mut self, code: Opcode, aux: u16, a: u32, b: u32, c: u32) -> Result<Traced, GiveUp> {
        let index = self.trace.used.ops;
        if index >= self.trace.limits.ops {
            return Err(GiveUp::TooLong);
        }
        let place = self.trace.storage.ops.get_mut(index as usize);
        *place.ok_or(GiveUp::TooLong)? = Op { code, aux, a, b, c };
        self.trace.used.ops += 1;
        Ok(Traced(index))
    }

    fn push_word(&mut self, word: u32) -> Result<(), GiveUp> {
        let place = self
            .trace
            .storage
            .words
            .get_mut(self.trace.used.words as usize);
        *place.ok_or(GiveUp::TooManyExits)? = word;
        self.trace.used.words += 1;
        Ok(())
    }

    fn access(&mut self, code: Opcode, access: TraceAccess, stored: u32) -> Result<Traced, GiveUp> {
        self.operand(access.index)?;
        if access.scale > 3 {
            return Err(GiveUp::Unknown);
        }
        let exit = self.exit(false)?;
        let at = self.trace.used.words;
        self.push_word(access.offset)?;
        self.push_word(exit)?;
        let aux = access_aux(access.region, access.scale);
        self.push(code, aux, access.index.0, stored, at)
    }

    /// The exit of the present place.
    fn exit(&mut self, of_guards: bool) -> Result<u32, GiveUp> {
        if !self.clean {
            return Err(GiveUp::WriteBeforeExit);
        }
        let [guards, others] = self.exits;
        let (own, other) = if of_guards {
            (guards, others)
        } else {
            (others, guards)
        };
        if own != NONE {
            return Ok(own);
        }
        // Both have the same snapshot.
        let (first, count) = match self.trace.exit(other) {
            Some(exit) => (exit.first, exit.count),
            None => self.snapshot()?,
        };
        let index = self.trace.used.exits;
        let place = self.trace.storage.exits.get_mut(index as usize);
        *place.ok_or(GiveUp::TooManyExits)? = TraceExit {
            resume: self.resume,
            base: self.base,
            frames: self.frames,
            of_guards,
            top: self.top,
            first,
            count,
            side: 0,
            segment: self.trace.used.segments - 1,
            passed: self.way_count,
        };
        self.trace.used.exits += 1;
        self.exits[usize::from(!of_guards)] = index;
        Ok(index)
    }

    /// Writes the slots that have a value, and their values, into the words.
    fn snapshot(&mut self) -> Result<(u32, u32), GiveUp> {
        let first = self.trace.used.words;
        for place in 0..self.listed {
            let slots = &*self.trace.storage.slots;
            let slot = slots.get(place as usize).map_or(NONE, |slot| slot.listed);
            let value = slots.get(slot as usize).map_or(NONE, |slot| slot.value);
            self.push_word(slot)?;
            self.push_word(value)?;
        }
        Ok((first, self.listed))
    }

    /// Gives a slot a value: none, if it is what the slot held at the head.
    fn assign(&mut self, slot: u32, value: u32) {
        let listed = self.listed;
        let Some(known) = self.trace.slot_mut(slot) else {
            return;
        };
        self.top = self.top.max(slot + 1);
        if known.read == value {
            self.forget(slot);
            return;
        }
        let is_new = known.value == NONE;
        known.value = value;
        if is_new {
            known.place = listed;
            if let Some(entry) = self.trace.slot_mut(listed) {
                entry.listed = slot;
            }
            self.listed += 1;
        }
    }

    /// Takes a slot's value away; true if it had one.
    fn forget(&mut self, slot: u32) -> bool {
        let Some(known) = self.trace.slot_mut(slot) else {
            return false;
        };
        if known.value == NONE {
            return false;
        }
        known.value = NONE;
        let place = known.place;
        self.listed -= 1;
        let last = self.trace.slot_mut(self.listed).map_or(NONE, |e| e.listed);
        if let Some(entry) = self.trace.slot_mut(place) {
            entry.listed = last;
        }
        if let Some(moved) = self.trace.slot_mut(last) {
            moved.place = place;
        }
        true
    }
}

impl Drop for Recorder<'_, '_> {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        self.trace.truncate(self.before);
        if let Some(exit) = self.trace.storage.exits.get_mut(self.from as usize) {
            exit.side = 0;
        }
    }
}

/// The most arguments of a host function that a trace calls.
pub const MAX_HOST_ARGUMENTS: usize = 16;

/// The op that reads a guest slot as this type.
const fn read_of(ty: Type) -> Opcode {
    match ty {
        Type::I32 => Opcode::I32SlotGet,
        Type::I64 => Opcode::I64SlotGet,
        Type::F32 => Opcode::F32SlotGet,
        Type::F64 => Opcode::F64SlotGet,
        Type::Ref => Opcode::RefSlotGet,
    }
}

/// That the op has the shape of the method that was called, and leaves or not as the method says.
fn check_shape(code: Opcode, shape: Shape, leaves: bool) -> Result<(), GiveUp> {
    let info = code.info();
    if info.shape == shape && info.has(flags::LEAVES) == leaves {
        Ok(())
    } else {
        Err(GiveUp::Unknown)
    }
}
