//! Ways out: the code behind a function's code that writes snapshots and leaves.
//!
//! Takes, at each place that may leave, where the snapshot's values are just then; promises that on the exit's
//! path, and only there, they reach their guest slots. What must be remembered until the function's end stands at the
//! far end of the code buffer, where the stubs will need more room than that. Exits without a snapshot share a stub.
//!
//! An access that may fault has a record, too: of it and of the exit's record, from which comes where its stub is in the end.
//!
//! Where exits are described (`core/src/compile/describe.rs`), the stub of an exit that can be linked begins with a jump to
//! what stands behind it. Linking it is writing another distance into that jump.

use super::allocate::{INTS, Register, only};
use super::describe::{KeptFor, Stub};
use super::workspace::{BLOCK_LABEL, NO_REGISTER};
use super::{Event, FunctionCompiler, Location, Observer};
use crate::error::Part;
use crate::ir::{Exit, ExitKind, NONE, place_slot, place_tag};
use crate::ops::Opcode;
use crate::patch::{Fault, Holes, Label, internal};
use crate::runtime::offset;
use crate::stencil::{Form, FormKind, Machine};
use crate::types::Type;

/// A record at the far end of the buffer, from its lowest word up: kind and length, label, then what the kind has. Of an
/// exit: its index; if exits are described, the op, the loop around it, what values are kept for and how many, and a word for
/// each; then a word for each entry of the snapshot. What comes in numbers has the last one first. Of an access that may fault, there is
/// no label: the exit's record and the access's place.
const RECORD_FAULT: u32 = 0;
const RECORD_EXIT: u32 = 1 << 30;
const RECORD_CALL_EXIT: u32 = 2 << 30;
const RECORD_TABLE: u32 = 3 << 30;
const RECORD_LENGTH: u32 = (1 << 30) - 1;

/// In a record of a table: not an offset but the block that a case goes to.
pub(super) const CASE_BLOCK: u32 = 1 << 31;

/// In a record: the value is in its spill slot, the number above.
pub(super) const AT_SLOT: u32 = 64;
/// In a record: the value is a constant, or an anchor.
pub(super) const AT_CONSTANT: u32 = 65;
/// In a record, of a value that is kept: where the exit says that the code is a side trace for.
pub(super) const AT_FIXED: u32 = 66;
/// In a record, of a value that is kept: in the context.
pub(super) const AT_CONTEXT: u32 = 67;
/// In a record, of a value that is kept: nowhere.
pub(super) const AT_NOWHERE: u32 = 68;

/// In a record, with exits described: what values are kept for, above their number.
const KEPT_FOR_SHIFT: u32 = 8;

/// The exits without a snapshot that a stub is waiting for, most recent ones.
pub(super) const SHARED_STUBS: usize = 8;

impl<O: Observer> FunctionCompiler<'_, '_, O> {
    /// Makes the holes of a template lead out through an exit, with the values where they are now.
    pub(super) fn leave_from(&mut self, holes: Holes, exit: u32, value: u32) -> Result<(), Fault> {
        self.leave(holes, exit, value, RECORD_EXIT)
    }

    /// The same after a call whose callee has left.
    pub(super) fn leave_from_call(
        &mut self,
        holes: Holes,
        exit: u32,
        value: u32,
    ) -> Result<(), Fault> {
        self.leave(holes, exit, value, RECORD_CALL_EXIT)
    }

    fn leave(&mut self, holes: Holes, exit: u32, value: u32, kind: u32) -> Result<(), Fault> {
        let at = self.push_exit(exit, value, kind)? + 4;
        let mut label = Label(self.patcher.word(at)?);
        self.patcher.link(holes, &mut label)?;
        self.patcher.set_word(at, label.0)
    }

    /// Notes that the access that is written next may fault, and leaves through an exit without a snapshot then.
    pub(super) fn leave_from_fault(&mut self, exit: u32, value: u32) -> Result<(), Fault> {
        let record = self.push_exit(exit, value, RECORD_EXIT)?;
        self.patcher.push_tail(0)?;
        let at = self.patcher.tail();
        self.patcher.push_tail(record)?;
        self.patcher.push_tail(RECORD_FAULT | 2)?;
        // What jumps that wait need stands in front of the access, not between its place and it.
        self.patcher.settle(1)?;
        self.patcher.set_word(at, self.patcher.offset())
    }

    /// Remembers an exit, with the values where they are now; gives its record, an earlier one if that serves.
    fn push_exit(&mut self, exit: u32, value: u32, kind: u32) -> Result<u32, Fault> {
        let program = self.program;
        let record = program.exits[exit as usize];
        let key = exit ^ kind;
        let shared = key as usize % SHARED_STUBS;
        let can_link = self.can_link(&record, kind, value);
        let can_share = record.entry_count == 0 && !can_link;
        if can_share && self.tables.shared_stubs[shared].0 == key {
            return Ok(self.tables.shared_stubs[shared].1);
        }
        for pair in program.snapshot(&record).chunks_exact(2) {
            let held = pair[1] - self.first_op;
            let register = self.register_of(held);
            let word = if register != NO_REGISTER {
                register
            } else if self.is_rematerialized(held) {
                AT_CONSTANT
            } else {
                let slot = self.slot_of(held)?;
                AT_SLOT | slot << 8
            };
            let place = match word & 0xff {
                AT_SLOT => Some(Location::Slot(word >> 8)),
                AT_CONSTANT => None,
                register => Some(Location::Register(register)),
            };
            if let Some(place) = place {
                self.observe(Event::Snapshot {
                    op: value + self.first_op,
                    place,
                    value: self.value_name(held),
                });
            }
            self.patcher.push_tail(word)?;
        }
        if self.linking.is_active() {
            let (kept, kept_for, loop_index) = match can_link {
                true => self.push_kept(value)?,
                false => (0, KeptFor::Never, 0),
            };
            let kept_for = (kept_for as u32) << KEPT_FOR_SHIFT;
            for word in [kept | kept_for, loop_index, value + self.first_op] {
                self.patcher.push_tail(word)?;
            }
        }
        self.patcher.push_tail(exit)?;
        self.patcher.push_tail(Label::UNUSED.0)?;
        self.patcher.push_tail(kind | record.entry_count)?;
        let at = self.patcher.tail();
        if can_share {
            self.tables.shared_stubs[shared] = (key, at);
        }
        Ok(at)
    }

    /// Whether an exit's stub begins with a jump that can be led elsewhere. Polls must always be noticed, a trap is the
    /// end of the run, and after a call the callee has left already.
    fn can_link(&self, exit: &Exit, kind: u32, value: u32) -> bool {
        let op = &self.program.ops[(value + self.first_op) as usize];
        self.linking.is_active()
            && kind == RECORD_EXIT
            && exit.kind == ExitKind::Deoptimize
            && op.code != Opcode::Poll
    }

    /// Remembers a jump table whose targets have been pushed, the last case first.
    pub(super) fn push_table(&mut self, table: Label, count: u32) -> Result<(), Fault> {
        self.patcher.push_tail(table.0)?;
        self.patcher.push_tail(RECORD_TABLE | count)
    }

    /// Where the record of a table or of an access that may fault ends; `None` if it is an exit's.
    fn end_of_other(at: u32, header: u32) -> Option<u32> {
        let count = header & RECORD_LENGTH;
        match header & !RECORD_LENGTH {
            RECORD_TABLE => Some(at + 4 * (2 + count)),
            RECORD_FAULT => Some(at + 4 * (1 + count)),
            _ => None,
        }
    }

    /// Emits all stubs, then all tables, then the table of accesses that may fault; gives where these tables begin.
    pub(super) fn emit_stubs_and_tables(&mut self, end: u32) -> Result<(u32, u32), Fault> {
        self.reserve_spare_slot(end)?;
        let mut at = self.patcher.tail();
        let (mut tables, mut faults) = (false, false);
        while at < end {
            let header = self.patcher.word(at)?;
            if let Some(next) = Self::end_of_other(at, header) {
                let is_table = header & !RECORD_LENGTH == RECORD_TABLE;
                tables |= is_table;
                faults |= !is_table;
                at = next;
                continue;
            }
            let mut label = Label(self.patcher.word(at + 4)?);
            let mut stub = self.stub_at(at)?;
            if stub.kept_for != KeptFor::Never {
                self.align_jump()?;
            }
            self.patcher.bind(&mut label)?;
            self.patcher.set_word(at + 4, label.0)?;
            self.observe(Event::Stub { exit: stub.exit });
            if stub.kept_for != KeptFor::Never {
                stub.jump = self.emit_link_jump()?;
            }
            self.emit_stub(&stub, header & !RECORD_LENGTH)?;
            if header & !RECORD_LENGTH == RECORD_EXIT {
                self.describe_exit(&stub)?;
            }
            at = stub.end();
        }
        self.machine(Machine::Unreachable, [0; 4], 0)?;
        let data = self.patcher.offset();
        if tables {
            self.emit_tables(end)?;
        }
        let faults_at = self.patcher.offset();
        if faults {
            self.emit_faults(end)?;
        }
        self.patcher.drop_tail(end);
        Ok((data, faults_at))
    }

    /// Where exits are described, the frame's size must be known before the first stub: makes room for what stubs need.
    fn reserve_spare_slot(&mut self, end: u32) -> Result<(), Fault> {
        let mut at = self.patcher.tail();
        while self.linking.is_active() && at < end {
            let header = self.patcher.word(at)?;
            if let Some(next) = Self::end_of_other(at, header) {
                at = next;
                continue;
            }
            let stub = self.stub_at(at)?;
            if self.needs_spare_slot(&stub)? {
                self.linking.spare_slot = Some(self.slot_count);
                self.slot_count += 1;
                break;
            }
            at = stub.end();
        }
        Ok(())
    }

    /// A slot for a stub.
    fn spare_slot(&mut self) -> u32 {
        self.linking.spare_slot.unwrap_or_else(|| {
            self.slot_count += 1;
            self.slot_count - 1
        })
    }

    /// Reads the record of an exit.
    fn stub_at(&self, at: u32) -> Result<Stub, Fault> {
        let mut stub = Stub {
            exit: self.patcher.word(at + 8)?,
            op: NONE,
            jump: NONE,
            kept_for: KeptFor::Never,
            loop_index: 0,
            kept: 0,
            kept_at: at + 12,
            entries: self.patcher.word(at)? & RECORD_LENGTH,
            entries_at: at + 12,
        };
        if self.linking.is_active() {
            stub.op = self.patcher.word(at + 12)?;
            stub.loop_index = self.patcher.word(at + 16)?;
            let kept = self.patcher.word(at + 20)?;
            stub.kept_for = KeptFor::from_code(kept >> KEPT_FOR_SHIFT);
            stub.kept = kept & ((1 << KEPT_FOR_SHIFT) - 1);
            stub.kept_at = at + 24;
            stub.entries_at = stub.kept_at + 4 * stub.kept;
        }
        Ok(stub)
    }

    fn emit_tables(&mut self, end: u32) -> Result<(), Fault> {
        let mut at = self.patcher.tail();
        while at < end {
            let header = self.patcher.word(at)?;
            let count = header & RECORD_LENGTH;
            if header & !RECORD_LENGTH != RECORD_TABLE {
                at = self.next_record(at, header)?;
                continue;
            }
            let mut table = Label(self.patcher.word(at + 4)?);
            let start = self.patcher.offset();
            self.patcher.bind(&mut table)?;
            for number in 0..count {
                let mut target = self.patcher.word(at + 8 + 4 * number)?;
                if target & CASE_BLOCK != 0 {
                    let block = &self.workspace.blocks[(target & !CASE_BLOCK) as usize];
                    let label = Label(block[BLOCK_LABEL]).offset();
                    target = label.ok_or(internal(Part::Patch, line!()))?;
                }
                self.patcher.emit_word(target.wrapping_sub(start))?;
            }
            at = self.next_record(at, header)?;
        }
        Ok(())
    }

    /// The accesses that may fault, the last one first.
    fn emit_faults(&mut self, end: u32) -> Result<(), Fault> {
        let mut at = self.patcher.tail();
        while at < end {
            let header = self.patcher.word(at)?;
            if header & !RECORD_LENGTH == RECORD_FAULT {
                let exit = self.patcher.word(at + 4)?;
                let stub = Label(self.patcher.word(exit + 4)?).offset();
                self.patcher.emit_word(self.patcher.word(at + 8)?)?;
                self.patcher
                    .emit_word(stub.ok_or(internal(Part::Patch, line!()))?)?;
            }
            at = self.next_record(at, header)?;
        }
        Ok(())
    }

    fn next_record(&self, at: u32, header: u32) -> Result<u32, Fault> {
        match Self::end_of_other(at, header) {
            Some(next) => Ok(next),
            None => Ok(self.stub_at(at)?.end()),
        }
    }

    /// Whether a stub needs a slot besides: every register is taken, and something is elsewhere or boxed.
    fn needs_spare_slot(&self, stub: &Stub) -> Result<bool, Fault> {
        let snapshot = self
            .program
            .snapshot(&self.program.exits[stub.exit as usize]);
        let (mut open, mut elsewhere) = (INTS & self.allocatable, false);
        for (number, pair) in (0..).zip(snapshot.chunks_exact(2)) {
            match self.patcher.word(stub.entry(number))? {
                register @ 0..64 => {
                    open &= !only(register);
                    elsewhere |= place_tag(pair[0]).is_some();
                }
                _ => elsewhere = true,
            }
        }
        Ok(elsewhere && open == 0)
    }

    /// Emits one stub. Nothing but the values that its record names is alive there.
    fn emit_stub(&mut self, stub: &Stub, kind: u32) -> Result<(), Fault> {
        let program = self.program;
        let exit = program.exits[stub.exit as usize];
        let snapshot = program.snapshot(&exit);
        let entry = |number: u32| stub.entry(number);
        let (mut taken, mut elsewhere) = (0, false);
        for (number, pair) in snapshot.chunks_exact(2).enumerate() {
            let register = self.patcher.word(entry(number as u32))?;
            if register < 64 {
                taken |= only(register);
                self.widen_in_place(register, program.ops[pair[1] as usize].result())?;
            }
            elsewhere |= register >= 64 || place_tag(pair[0]).is_some();
        }
        // What is elsewhere or is boxed goes through a register that no entry is in. Where there is none, the value of
        // one waits in a spill slot: entries are written in order, for the last one of a slot must stay.
        let open = INTS & self.allocatable & !taken;
        let mut temporary = open.trailing_zeros();
        let mut moved = (NO_REGISTER, 0);
        if elsewhere && open == 0 {
            temporary = (INTS & self.allocatable).trailing_zeros();
            moved = (temporary, self.spare_slot());
            let at = self.slot_offset(moved.1);
            self.frame_store(temporary, at)?;
        }
        let mut has_base = false;
        for (number, pair) in snapshot.chunks_exact(2).enumerate() {
            let word = self.patcher.word(entry(number as u32))?;
            let word = if word == moved.0 {
                AT_SLOT | moved.1 << 8
            } else {
                word
            };
            let ty = program.ops[pair[1] as usize].result();
            let mut register = word;
            if word & 0xff == AT_SLOT {
                self.frame_load(temporary, self.slot_offset_in_stub(word >> 8))?;
                if ty.is_some_and(|ty| ty.bits() == 32) {
                    let form = Form::op(Opcode::I64ExtendI32U, FormKind::Registers);
                    self.form(form, [temporary, temporary, 0, 0], 0)?;
                }
                register = temporary;
            } else if word == AT_CONSTANT {
                let bits = self.constant_bits(pair[1]).unwrap_or(0);
                self.make_integer(temporary, program.snapshot_bits(pair[0], pair[1], bits))?;
                register = temporary;
            }
            if let Some(tag) = place_tag(pair[0])
                && let Some(code) = ty.and_then(Opcode::boxes)
                && word != AT_CONSTANT
            {
                if code == Opcode::I64BoxF64 && register == temporary {
                    let form = Form::op(Opcode::F64ReinterpretI64, FormKind::Registers);
                    self.form(form, [self.float_scratch, temporary, 0, 0], 0)?;
                    register = self.float_scratch;
                }
                self.make_box(temporary, register, code, program.tags[usize::from(tag)])?;
                register = temporary;
                // The box's constants may have been in the scratch register.
                has_base = false;
            }
            if !has_base {
                self.load_context(self.int_scratch, offset::SLOTS)?;
                has_base = true;
            }
            self.store_guest_slot(register, place_slot(pair[0]))?;
        }
        if kind == RECORD_EXIT {
            self.count_exit()?;
            self.machine(Machine::StoreExitNumber, [0; 4], i64::from(exit.number))?;
        }
        match exit.kind {
            ExitKind::Trap => {
                let holes = self.machine(Machine::Jump, [0; 4], 0)?;
                let mut label = Label(self.shared.trapped);
                self.patcher.link(holes, &mut label)
            }
            ExitKind::Deoptimize => self.leave_frame(Machine::Deoptimize),
        }
    }

    /// Emits what makes a narrow value's register hold it zero-extended to 64 bits.
    fn widen_in_place(&mut self, register: Register, ty: Option<Type>) -> Result<(), Fault> {
        let scratch = self.int_scratch;
        match ty {
            Some(Type::I32) => {
                let form = Form::op(Opcode::I64ExtendI32U, FormKind::Registers);
                self.form(form, [register, register, 0, 0], 0)?;
            }
            Some(Type::F32) => {
                let form = Form::op(Opcode::I32ReinterpretF32, FormKind::Registers);
                self.form(form, [scratch, register, 0, 0], 0)?;
                let form = Form::op(Opcode::F64ReinterpretI64, FormKind::Registers);
                self.form(form, [register, scratch, 0, 0], 0)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn store_guest_slot(&mut self, register: Register, slot: u32) -> Result<(), Fault> {
        let code = if register >= 32 {
            Opcode::F64RawStore
        } else {
            Opcode::I64RawStore
        };
        let form = Form::op(code, FormKind::Immediate);
        self.form(
            form,
            [self.int_scratch, register, 0, 0],
            i64::from(slot) * 8,
        )?;
        Ok(())
    }
}
