//! A recorded trace as a function of a program.
//!
//! ```text
//!   entry:                         the slots that the trace reads or carries, once
//!       a = i64.slot_get 0
//!       b = i64.slot_get 1
//!       jump head(a)
//!   head(i: i64):                  those that change on some way round
//!       guard ... else exit 3 [0: i, ...]
//!       branch c, on, side         a guard with a side trace
//!   on:
//!       jump head(i2)
//!   side:
//!       jump head(i3)
//! ```
//!
//! The way round that passes the fewest other loops' heads is the inner loop's. If there are others that pass more, as ways round an outer
//! loop do, there are two heads: the first has a parameter for each slot that changes on any way, and jumps to the second, which has one for
//! each that changes in the inner loop.
//!
//! Where the embedder has an exit for it ([`Emit::entry_exit`]), the entry checks types, so that they are known of the values with which the
//! loop begins: those that the root or the inner loop tests, of what slots held at the head, with guards at which no side trace begins.
//!
//! A snapshot has the slots that changed on its own way since the head, and those that any way round changes: these are in
//! registers, and what the guest's memory holds of them is old.

use super::trace::{End, Segment, Trace, TraceExit};
use super::{MAX_HOST_ARGUMENTS, read_of};
use crate::build::{Access, BlockId, Builder, ExitId, FunctionId, HostId, RegionId, TagId, Value};
use crate::error::{Error, Part, Storage};
use crate::ir::{ExitKind, NONE, Op};
use crate::ops::{Opcode, Shape, flags};
use crate::types::Type;

/// How a trace is emitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Emit {
    /// The number of the trace's exit 0; the others follow.
    pub first_exit: u32,
    /// An op that leaves though it need not; for tests of whatever comes behind an exit.
    pub forced: Option<Forced>,
    /// The number of an exit through which the entry may leave, before anything is done, for the guest to resume at the head: it does if
    /// a slot has not the type that the trace expects. Without it, types are tested nowhere but where the host tested them.
    pub entry_exit: Option<u32>,
}

/// An op that leaves on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forced {
    /// Which, among those of the log that may leave ([`Trace::leaving_count`]), in order.
    pub op: u32,
    /// The guest slot that says when: it is counted down by one each time that the op is reached, and the op leaves
    /// when that gives zero. It must be none that the guest uses.
    pub slot: u32,
}

/// Parts of the workspace, one behind the other.
struct Words<'w> {
    /// For each op of the log: its value in the program.
    values: &'w mut [u32],
    /// For each exit: its record in the program, once there is one.
    exits: &'w mut [u32],
    /// For each segment: its block, once there is one.
    blocks: &'w mut [u32],
    /// For each slot: the head's parameter, if it is carried.
    parameters: &'w mut [u32],
    /// For each slot: its value on the way to an exit or back to the head, while that is written.
    own: &'w mut [u32],
    /// For each slot: 1, if it changes in the inner loop.
    inner: &'w mut [u32],
}

impl Trace<'_> {
    /// How many words of workspace [`Trace::emit`] needs.
    pub fn emit_words(&self) -> usize {
        self.used.ops as usize
            + self.used.exits as usize
            + self.used.segments as usize
            + 3 * self.storage.slots.len()
    }

    /// Adds the trace to a program as a function without parameters and results, which ends by leaving.
    ///
    /// The builder stands between functions, has declared the regions and host functions that the trace names, and room for as
    /// many guest slots. The function's blocks, ops and exits are at most: 3 and one for each guard with a side trace and each
    /// side trace; the log's ops, 5 for each guest slot, and one for each block; the log's exits, and one. Each snapshot may
    /// have an entry for each guest slot.
    ///
    /// # Errors
    ///
    /// The builder's, and [`Error::Full`] if the workspace has fewer than [`Trace::emit_words`].
    pub fn emit(
        &self,
        builder: &mut Builder<'_>,
        options: &Emit,
        words: &mut [u32],
    ) -> Result<FunctionId, Error> {
        let needed = self.emit_words();
        let words = words.get_mut(..needed).ok_or(Error::Full {
            storage: Storage::Workspace,
            needed,
        })?;
        words.fill(NONE);
        let (values, rest) = words.split_at_mut(self.used.ops as usize);
        let (exits, rest) = rest.split_at_mut(self.used.exits as usize);
        let (blocks, rest) = rest.split_at_mut(self.used.segments as usize);
        let (parameters, rest) = rest.split_at_mut(self.storage.slots.len());
        let (own, inner) = rest.split_at_mut(self.storage.slots.len());
        let mut emitter = Emitter {
            trace: self,
            builder,
            options,
            head: BlockId(0),
            outer_head: None,
            leaving: 0,
            words: Words {
                values,
                exits,
                blocks,
                parameters,
                own,
                inner,
            },
            innermost: self.innermost(),
        };
        emitter.function()
    }
}

impl Trace<'_> {
    fn segments(&self) -> impl Iterator<Item = &Segment> {
        let segments = self.storage.segments.iter();
        segments.take(self.used.segments as usize)
    }

    /// The first of the ways round that pass the fewest other loops.
    fn innermost(&self) -> Segment {
        let ways = self.segments();
        let ways = ways.filter(|segment| matches!(segment.end, End::Close { .. }));
        ways.min_by_key(|way| way.passed_count)
            .copied()
            .unwrap_or_default()
    }
}

struct Emitter<'t, 's, 'b, 'p, 'w> {
    trace: &'t Trace<'s>,
    builder: &'b mut Builder<'p>,
    options: &'t Emit,
    /// Where the ways go that stay in the loop.
    head: BlockId,
    /// Where the others go, if there are both.
    outer_head: Option<BlockId>,
    /// The way round the inner loop.
    innermost: Segment,
    /// How many ops that may leave were met.
    leaving: u32,
    words: Words<'w>,
}

impl Emitter<'_, '_, '_, '_, '_> {
    fn function(&mut self) -> Result<FunctionId, Error> {
        let signature = self.builder.signature(&[], &[])?;
        let function = self.builder.declare(signature)?;
        self.builder.begin(function)?;
        self.head_block()?;
        for index in 0..self.trace.used.segments {
            let Some(&segment) = self.trace.storage.segments.get(index as usize) else {
                break;
            };
            if index > 0 {
                let block = self.side_block(index)?;
                self.builder.switch_to(block)?;
            }
            self.segment(&segment)?;
        }
        self.builder.end()?;
        Ok(function)
    }

    /// The entry, and the heads with their parameters.
    fn head_block(&mut self) -> Result<(), Error> {
        let trace = self.trace;
        let slots = || (0u32..).zip(trace.storage.slots.iter());
        // Values of ops that are emitted in a row follow each other.
        let mut first = NONE;
        let mut count = 0;
        for (index, slot) in slots().filter(|(_, slot)| slot.carried) {
            let value = self.slot_get(slot.ty, index)?;
            self.set_value(slot.read, value);
            first = first.min(value.0);
            count += 1;
        }
        for (index, slot) in slots().filter(|(_, slot)| !slot.carried && slot.read != NONE) {
            let value = self.slot_get(slot.ty, index)?;
            self.set_value(slot.read, value);
        }
        if let Some(number) = self.options.entry_exit {
            self.check_entry(number)?;
        }
        self.head = self.builder.create_block()?;
        self.builder
            .jump_from(self.head, (first..first + count).map(Value))?;
        self.builder.switch_to(self.head)?;
        let slots_of = &*trace.storage.slots;
        self.parameters(|_, slot| slots_of.get(slot).is_some_and(|slot| slot.carried))?;
        let (mut inner, mut outer) = (false, false);
        for way in trace.segments() {
            let End::Close { first, count } = way.end else {
                continue;
            };
            if self.is_outer(way) {
                outer = true;
                continue;
            }
            inner = true;
            for pair in 0..count {
                let (slot, _) = trace.pair(first, pair);
                if let Some(word) = self.words.inner.get_mut(slot as usize) {
                    *word = 1;
                }
            }
        }
        if !(inner && outer) {
            return Ok(());
        }
        self.outer_head = Some(self.head);
        self.head = self.builder.create_block()?;
        let words = &self.words;
        let inner = slots().filter(|&(index, _)| words.is_inner(index as usize));
        let values = inner.map(|(index, _)| Value(words.parameter(index as usize)));
        self.builder.jump_from(self.head, values)?;
        self.builder.switch_to(self.head)?;
        self.parameters(|words, slot| words.is_inner(slot))
    }

    /// Parameters for slots, which hold them from here on.
    fn parameters(&mut self, which: impl Fn(&Words, usize) -> bool) -> Result<(), Error> {
        for (index, slot) in (0u32..).zip(self.trace.storage.slots.iter()) {
            if !which(&self.words, index as usize) {
                continue;
            }
            let value = self.builder.parameter(slot.ty.unwrap_or(Type::I64))?;
            if let Some(word) = self.words.parameters.get_mut(index as usize) {
                *word = value.0;
            }
            self.set_value(slot.read, value);
        }
        Ok(())
    }

    /// Guards at the entry, as the root has them on what slots held at the head.
    fn check_entry(&mut self, number: u32) -> Result<(), Error> {
        let trace = self.trace;
        let ops = trace.ops();
        let op_of = |index: u32| ops.get(index as usize);
        let mut exit = None;
        let root = trace.storage.segments.first().copied().unwrap_or_default();
        let body = |segment: Segment| {
            let ops = ops.iter().skip(segment.first_op as usize);
            ops.take(segment.op_count as usize)
        };
        let inner = match self.innermost.first_op == root.first_op {
            true => Segment::default(),
            false => self.innermost,
        };
        for guard in body(root).chain(body(inner)) {
            if guard.code.info().shape != Shape::Guard {
                continue;
            }
            let Some(test) = op_of(guard.a).filter(|op| op.code == Opcode::I64TagTest) else {
                continue;
            };
            let Some(read) = op_of(test.a).filter(|op| op.code.info().shape == Shape::SlotGet)
            else {
                continue;
            };
            let has_side = trace.exit(guard.c).is_none_or(TraceExit::has_side);
            // The word marks slots that are done.
            let done = self.words.own.get_mut(read.c as usize);
            match done {
                Some(done) if *done == NONE => *done = 0,
                _ => continue,
            }
            if has_side {
                continue;
            }
            let value = Value(self.words.value(test.a));
            let test = self
                .builder
                .tagged(Opcode::I64TagTest, TagId(test.aux), value)?;
            let exit = match exit {
                Some(exit) => exit,
                None => {
                    let none = core::iter::empty();
                    let new = self.builder.exit_from(ExitKind::Deoptimize, number, none)?;
                    exit = Some(new);
                    new
                }
            };
            self.builder.guard(guard.code, test, exit)?;
        }
        self.words.own.fill(NONE);
        Ok(())
    }

    fn slot_get(&mut self, ty: Option<Type>, slot: u32) -> Result<Value, Error> {
        let code = read_of(ty.unwrap_or(Type::I64));
        self.builder.slot_get(code, slot)
    }

    /// Whether a way round passes a loop that the innermost does not.
    fn is_outer(&self, way: &Segment) -> bool {
        let inner = self.innermost.passed();
        way.passed().iter().any(|key| !inner.contains(key))
    }

    fn segment(&mut self, segment: &Segment) -> Result<(), Error> {
        for index in segment.first_op..segment.first_op + segment.op_count {
            let Some(&op) = self.trace.ops().get(index as usize) else {
                break;
            };
            if op.code.info().shape != Shape::SlotGet {
                let value = self.op(&op)?;
                self.set_value(index, value);
            }
        }
        match segment.end {
            End::Close { first, count } => {
                self.set_own(first, count);
                let words = &self.words;
                let (head, all) = match self.outer_head {
                    Some(head) if self.is_outer(segment) => (head, true),
                    Some(_) => (self.head, false),
                    None => (self.head, true),
                };
                let slots = &*self.trace.storage.slots;
                let is_passed = |&slot: &usize| match all {
                    true => slots.get(slot).is_some_and(|slot| slot.carried),
                    false => words.is_inner(slot),
                };
                let arguments = (0..words.own.len()).filter(is_passed).map(|slot| {
                    match words.own_value(slot) {
                        NONE => Value(words.parameter(slot)),
                        value => Value(value),
                    }
                });
                self.builder.jump_from(head, arguments)?;
                self.clear_own(first, count);
                Ok(())
            }
            End::Leave { exit } => {
                let exit = self.exit(exit)?;
                self.builder.leave(exit)
            }
            End::Open => Ok(()),
        }
    }

    fn op(&mut self, op: &Op) -> Result<Value, Error> {
        let info = op.code.info();
        let leaves = info.has(flags::LEAVES);
        if leaves {
            self.force(op)?;
        }
        let value = |words: &Words<'_>, index: u32| Value(words.value(index));
        let (a, b) = (value(&self.words, op.a), value(&self.words, op.b));
        match info.shape {
            Shape::Constant => self.builder.constant(op.code, op.constant()),
            Shape::Unary if leaves => {
                let exit = self.exit(op.c)?;
                self.builder.unary_else(op.code, a, exit)
            }
            Shape::Unary => self.builder.unary(op.code, a),
            Shape::Tag => self.builder.tagged(op.code, TagId(op.aux), a),
            Shape::Binary if leaves => {
                let exit = self.exit(op.c)?;
                self.builder.binary_else(op.code, a, b, exit)
            }
            Shape::Binary => self.builder.binary(op.code, a, b),
            Shape::Select => {
                let otherwise = value(&self.words, op.c);
                self.builder.select(op.code, a, b, otherwise)
            }
            Shape::Load => {
                let (access, exit) = self.access(op, a)?;
                self.builder.load(op.code, access, exit)
            }
            Shape::Store => {
                let (access, exit) = self.access(op, a)?;
                self.builder.store(op.code, access, b, exit)?;
                Ok(Value(NONE))
            }
            Shape::Guard => {
                self.guard(op.code, a, op.c)?;
                Ok(Value(NONE))
            }
            Shape::Poll => {
                let exit = self.exit(op.c)?;
                self.builder.poll(exit)?;
                Ok(Value(NONE))
            }
            Shape::CallHost => {
                let exit = self.exit(op.c)?;
                let mut arguments = [Value(NONE); MAX_HOST_ARGUMENTS];
                let count = self.trace.word(op.b);
                for (argument, at) in arguments.iter_mut().zip(0..count) {
                    *argument = value(&self.words, self.trace.word(op.b + 1 + at));
                }
                let arguments = arguments.get(..count as usize).unwrap_or(&[]);
                let results = self
                    .builder
                    .call_host(HostId(op.a), arguments, Some(exit))?;
                Ok(results.get(0).unwrap_or(Value(NONE)))
            }
            // The recorder logs no op of another shape.
            _ => Err(Error::Internal {
                part: Part::Build,
                line: line!(),
            }),
        }
    }

    /// The address of an access, and where it leaves.
    fn access(&mut self, op: &Op, index: Value) -> Result<(Access, ExitId), Error> {
        let access = Access {
            region: RegionId(op.region() as u16),
            index,
            scale: op.scale(),
            offset: self.trace.word(op.c),
        };
        let exit = self.exit(self.trace.word(op.c + 1))?;
        Ok((access, exit))
    }

    /// A guard, or a branch to the side trace that begins where it fails.
    fn guard(&mut self, code: Opcode, condition: Value, exit: u32) -> Result<(), Error> {
        let side = self.trace.exit(exit).map_or(0, |exit| exit.side);
        if side == 0 {
            let exit = self.exit(exit)?;
            return self.builder.guard(code, condition, exit);
        }
        let side = self.side_block(side - 1)?;
        let on = self.builder.create_block()?;
        let (then, otherwise) = match code {
            Opcode::GuardNot => (side, on),
            _ => (on, side),
        };
        self.builder
            .branch(condition, (then, &[]), (otherwise, &[]))?;
        self.builder.switch_to(on)
    }

    /// In front of an op that is to leave on purpose: a guard that fails when the slot has counted down.
    fn force(&mut self, op: &Op) -> Result<(), Error> {
        let index = self.leaving;
        self.leaving += 1;
        let Some(forced) = self.options.forced else {
            return Ok(());
        };
        if forced.op != index {
            return Ok(());
        }
        let b = &mut *self.builder;
        let left = b.slot_get(Opcode::I64SlotGet, forced.slot)?;
        let one = b.constant_i64(1)?;
        let left = b.binary(Opcode::I64Sub, left, one)?;
        b.slot_set(Opcode::I64SlotSet, forced.slot, left)?;
        let zero = b.constant_i64(0)?;
        let stays = b.binary(Opcode::I64Ne, left, zero)?;
        let exit = match op.code.info().shape {
            Shape::Load | Shape::Store => self.trace.word(op.c + 1),
            _ => op.c,
        };
        self.guard(Opcode::Guard, stays, exit)
    }

    fn side_block(&mut self, segment: u32) -> Result<BlockId, Error> {
        let known = self.words.blocks.get(segment as usize).copied();
        if let Some(known) = known.filter(|&known| known != NONE) {
            return Ok(BlockId(known));
        }
        let block = self.builder.create_block()?;
        if let Some(word) = self.words.blocks.get_mut(segment as usize) {
            *word = block.0;
        }
        Ok(block)
    }

    /// The program's exit for one of the trace's, made where it is first asked for.
    fn exit(&mut self, index: u32) -> Result<ExitId, Error> {
        let known = self.words.exits.get(index as usize).copied();
        if let Some(known) = known.filter(|&known| known != NONE) {
            return Ok(ExitId(known));
        }
        let TraceExit {
            top, first, count, ..
        } = self.trace.exit(index).copied().unwrap_or_default();
        self.set_own(first, count);
        let (trace, words) = (self.trace, &self.words);
        let own = (0..count).map(|pair| {
            let (slot, value) = trace.pair(first, pair);
            (slot, Value(words.value(value)))
        });
        let carried = (0..words.own.len().min(top as usize))
            .filter(|&slot| words.parameter(slot) != NONE && words.own_value(slot) == NONE)
            .map(|slot| (slot as u32, Value(words.parameter(slot))));
        let number = self.options.first_exit.wrapping_add(index);
        let exit = self
            .builder
            .exit_from(ExitKind::Deoptimize, number, own.chain(carried))?;
        self.clear_own(first, count);
        if let Some(word) = self.words.exits.get_mut(index as usize) {
            *word = exit.0;
        }
        Ok(exit)
    }

    /// Notes what slots hold on the way that these pairs describe.
    fn set_own(&mut self, first: u32, count: u32) {
        for index in 0..count {
            let (slot, value) = self.trace.pair(first, index);
            let value = self.words.value(value);
            if let Some(word) = self.words.own.get_mut(slot as usize) {
                *word = value;
            }
        }
    }

    fn clear_own(&mut self, first: u32, count: u32) {
        for index in 0..count {
            let (slot, _) = self.trace.pair(first, index);
            if let Some(word) = self.words.own.get_mut(slot as usize) {
                *word = NONE;
            }
        }
    }

    fn set_value(&mut self, index: u32, value: Value) {
        if let Some(word) = self.words.values.get_mut(index as usize) {
            *word = value.0;
        }
    }
}

impl Words<'_> {
    fn value(&self, index: u32) -> u32 {
        self.values.get(index as usize).copied().unwrap_or(NONE)
    }

    fn parameter(&self, slot: usize) -> u32 {
        self.parameters.get(slot).copied().unwrap_or(NONE)
    }

    fn is_inner(&self, slot: usize) -> bool {
        self.inner.get(slot) == Some(&1)
    }

    fn own_value(&self, slot: usize) -> u32 {
        self.own.get(slot).copied().unwrap_or(NONE)
    }
}
