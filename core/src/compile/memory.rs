//! Loads, stores, atomics and guest slots.
//!
//! An access in a region is one comparison of its index with the last one in bounds, then the bare access: base in a
//! register, index scaled, offset as the displacement. A constant index in bounds needs no comparison; one out of
//! bounds always leaves.
//!
//! Where a region is reserved ([`super::Reserved`]), an index is so narrow that the access cannot get beyond, and the exit is a trap
//! without a snapshot, there is no comparison: the access faults.
//!
//! In a region that grows, the access's end is compared with the size, which is kept in a register like the base, but not
//! across calls. What could wrap is compared first with the last index that the greatest size has.

use super::allocate::{INTS, Register, only};
use super::{BOUNDED, FunctionCompiler, Observer, Reserved};
use crate::error::Feature;
use crate::ir::{ExitKind, NONE, Op, Program};
use crate::ops::{Opcode, Shape, flags};
use crate::patch::{Fault, unsupported};
use crate::stencil::{ABSENT, Form, FormKind, MAX_OPERANDS, Machine};

impl<O: Observer> FunctionCompiler<'_, '_, O> {
    pub(super) fn lower_raw(&mut self, value: u32, op: &Op) -> Result<(), Fault> {
        let form = Form::op(op.code, FormKind::Immediate);
        let displacement = i64::from(op.c as i32);
        let address = op.a - self.first_op;
        if op.code.info().shape == Shape::Load {
            let family = self.set.family(form).ok_or(unsupported(Feature::Op))?;
            self.compute(value, family, &[address], displacement, false)?;
        } else {
            let inputs = [address, op.b - self.first_op];
            self.test(value, form, &inputs, displacement, value, false)?;
        }
        Ok(())
    }

    /// A load or store in a region: one comparison, then the bare access.
    pub(super) fn lower_access(&mut self, value: u32, op: &Op) -> Result<(), Fault> {
        let access = Access::of(self.program, op);
        let anchor = self.region_anchor(op.region());
        let known = self.constant_bits(op.a);
        let within = |index| access.last_index.is_some_and(|last| index <= last);
        let checked = !op.is_in_bounds() && !known.is_some_and(within);
        let beyond = |index| access.last_ever.is_none_or(|last| index > last);
        if checked && known.is_some_and(beyond) {
            let holes = self.machine(Machine::Jump, [0; 4], 0)?;
            self.leave_from(holes, access.exit, value)?;
            let form = Form::op(op.code, FormKind::Immediate);
            self.access_form(value, form, &[anchor], op, 0, None)?;
        } else {
            let may_fault = checked && may_fault(self.program, self.reserved, op);
            let faults = may_fault.then_some(access.exit);
            if checked && !may_fault {
                self.check_bounds(value, op, &access)?;
            }
            if let Some(at) = known.and_then(|index| access.displacement(index)) {
                let form = Form::op(op.code, FormKind::Immediate);
                self.access_form(value, form, &[anchor], op, at, faults)?;
            } else {
                let index = op.a - self.first_op;
                let form = Form::op(op.code, FormKind::Registers);
                self.access_form(value, form, &[anchor, index], op, access.offset, faults)?;
            }
        }
        self.release_late(access.exit);
        Ok(())
    }

    /// Emits a bare access whose address operands are the anchor of a region and perhaps an index. `faults` is the exit that it leaves
    /// through if it faults.
    fn access_form(
        &mut self,
        value: u32,
        form: Form,
        address: &[u32],
        op: &Op,
        displacement: i64,
        faults: Option<u32>,
    ) -> Result<(), Fault> {
        let family = self.set.family(form).ok_or(unsupported(Feature::Op))?;
        let loads = op.result().is_some();
        let first = usize::from(loads);
        let mut registers: [Register; MAX_OPERANDS] = [0; MAX_OPERANDS];
        // The operands of the record are the index and the value; the anchor's next use stands third.
        for (number, &input) in address.iter().enumerate() {
            let allowed = self.allowed(family.allowed[first + number], input);
            registers[first + number] = self.bring(input, allowed)?;
        }
        let mut used = first + address.len();
        if address.len() == 2 {
            registers[used] = Register::from(op.scale());
            used += 1;
        }
        let stored = op.b - if loads { 0 } else { self.first_op };
        if !loads {
            let allowed = self.allowed(family.allowed[used], stored);
            registers[used] = self.bring(stored, allowed)?;
        }
        if O::ACTIVE {
            let names = registers;
            self.observe_uses(value, address, &names[first..]);
            if !loads {
                self.observe_uses(value, &[stored], &names[used..]);
            }
        }
        self.advance(value, 2, address[0]);
        self.release_if_dead(address[0]);
        if let Some(&index) = address.get(1) {
            self.advance(value, 0, index);
            self.release_if_dead(index);
        }
        if !loads {
            self.advance(value, 1, stored);
            self.release_if_dead(stored);
        }
        self.registers.pinned = 0;
        if !loads {
            if let Some(exit) = faults {
                self.leave_from_fault(exit, value)?;
            }
            self.uniform(form, registers, displacement)?;
            return Ok(());
        }
        let allowed = self.allowed(family.allowed[0], value) & self.allocatable;
        let open = self.free() & allowed;
        let to = match self.hinted_register(value) {
            _ if open == 0 => {
                let keep = registers[1..used].iter().fold(0, |set, &r| set | only(r));
                self.free_for_result(allowed & self.bank(value), keep)?
            }
            Some(hint) if open & only(hint) != 0 => hint,
            _ => self.choose(open),
        };
        registers[0] = to;
        if let Some(exit) = faults {
            self.leave_from_fault(exit, value)?;
        }
        self.family(family, registers, displacement)?;
        self.define(value, to);
        Ok(())
    }

    /// Emits the check of an access: the comparison of its index with the last one in bounds.
    fn check_bounds(&mut self, value: u32, op: &Op, access: &Access) -> Result<(), Fault> {
        let Some(last) = access.last_ever else {
            let holes = self.machine(Machine::Jump, [0; 4], 0)?;
            return self.leave_from(holes, access.exit, value);
        };
        if access.last_index == Some(last) {
            return self.check_last(value, op.a - self.first_op, last, access.exit);
        }
        if let Some(index) = self.constant_bits(op.a) {
            if index > last {
                let holes = self.machine(Machine::Jump, [0; 4], 0)?;
                return self.leave_from(holes, access.exit, value);
            }
            let needed = (index << access.scale) + access.end;
            self.check_size(value, op, access.exit, None, needed)
        } else {
            if !is_narrow(self.program, op.a) {
                self.check_last(value, op.a - self.first_op, last, access.exit)?;
            }
            self.check_size(value, op, access.exit, Some(access.scale), access.end)
        }
    }

    /// Emits the comparison of a place with how long a region is that grows: the place is a number of bytes, and the scaled
    /// index of the access if it is not in them.
    fn check_size(
        &mut self,
        value: u32,
        op: &Op,
        exit: u32,
        scale: Option<u8>,
        bytes: u64,
    ) -> Result<(), Fault> {
        let anything = INTS & self.allocatable;
        let scratch = self.int_scratch;
        let index = op.a - self.first_op;
        let register = match scale {
            Some(_) => self.bring(index, anything)?,
            None => scratch,
        };
        let size = self.size_anchor(op.region());
        let limit = self.bring(size, anything)?;
        self.observe_uses(value, &[size], &[limit]);
        let add = Form::op(Opcode::I64Add, FormKind::Immediate);
        let family = self.set.family(add).ok_or(unsupported(Feature::Op))?;
        let sum = Form::op(Opcode::I64Add, FormKind::Registers);
        match scale {
            None => self.make_integer(scratch, bytes)?,
            Some(scale) if self.set.offers(family, bytes as i64) => {
                let mut from = register;
                if scale > 0 {
                    let shift = Form::op(Opcode::I64Shl, FormKind::Immediate);
                    self.form(shift, [scratch, register, 0, 0], scale.into())?;
                    from = scratch;
                }
                self.form(add, [scratch, from, 0, 0], bytes as i64)?;
            }
            Some(0) => {
                self.make_integer(scratch, bytes)?;
                self.form(sum, [scratch, scratch, register, 0], 0)?;
            }
            Some(scale) => {
                let address = Form::machine(Machine::Address);
                self.make_integer(scratch, bytes)?;
                self.form(address, [scratch, scratch, register, scale.into()], 0)?;
            }
        }
        let compare = Form::op(Opcode::I64GtU, FormKind::Jump);
        let holes = self.uniform(compare, [scratch, limit, 0, 0], 0)?;
        self.registers.pinned &= !only(limit);
        self.release_if_dead(size);
        self.leave_from(holes, exit, value)
    }

    /// Emits the comparison of an index with the last one in bounds.
    fn check_last(&mut self, value: u32, index: u32, last: u64, exit: u32) -> Result<(), Fault> {
        if self.is_bounded(index, last) {
            return Ok(());
        }
        let anything = INTS & self.allocatable;
        let register = self.bring(index, anything)?;
        let immediate = Form::op(Opcode::I64GtU, FormKind::JumpImmediate);
        let holes = if i32::try_from(last).is_ok() {
            self.uniform(immediate, [register, 0, 0, 0], last as i64)?
        } else {
            self.make_integer(self.int_scratch, last)?;
            let form = Form::op(Opcode::I64GtU, FormKind::Jump);
            self.uniform(form, [register, self.int_scratch, 0, 0], 0)?
        };
        self.leave_from(holes, exit, value)
    }

    /// Whether a check on every way to this place has found an index to be at most this; else notes that one is about to.
    #[inline]
    fn is_bounded(&mut self, index: u32, last: u64) -> bool {
        let mut known = self.tables.bounded.iter_mut().take(self.bounded_count);
        if let Some((_, bound)) = known.find(|(bounded, _)| *bounded == index) {
            let is_bounded = *bound <= last;
            *bound = last.min(*bound);
            return is_bounded;
        }
        // Where all are taken, any may go.
        let mut at = index as usize % BOUNDED;
        if self.bounded_count < BOUNDED {
            at = self.bounded_count;
            self.bounded_count += 1;
        }
        self.tables.bounded[at % BOUNDED] = (index, last);
        false
    }

    /// An atomic access: bounds, alignment, then the op at an address in the scratch register.
    pub(super) fn lower_atomic(&mut self, value: u32, op: &Op) -> Result<(), Fault> {
        let info = op.code.info();
        let access = Access::of(self.program, op);
        let anchor = self.region_anchor(op.region());
        let index = op.a - self.first_op;
        let anything = INTS & self.allocatable;
        self.check_bounds(value, op, &access)?;
        let index_register = self.bring(index, anything)?;
        let base = self.bring(anchor, anything)?;
        let scratch = self.int_scratch;
        let scale = Register::from(access.scale);
        let address = Form::machine(Machine::Address);
        // Regions begin at multiples of 16, so the address tells the alignment of the place in the region.
        self.form(
            address,
            [scratch, base, index_register, scale],
            access.offset,
        )?;
        let mask = i64::from(info.width) - 1;
        let holes = self.machine(Machine::JumpBitsSet, [scratch, 0, 0, 0], mask)?;
        self.leave_from(holes, access.exit, value)?;
        self.observe_uses(value, &[index, anchor], &[index_register, base]);
        self.advance(value, 0, index);
        self.advance(value, 2, anchor);
        self.registers.pinned = 0;
        self.release_if_dead(anchor);
        let mut inputs = [NONE; 2];
        let mut count = 0;
        if info.shape == Shape::CompareExchange {
            inputs = [
                op.b - self.first_op,
                self.program.extra[op.c as usize + 2] - self.first_op,
            ];
            count = 2;
        } else if info.operand_count > 1 {
            inputs[0] = op.b - self.first_op;
            count = 1;
        }
        let form = Form::op(op.code, FormKind::Immediate);
        self.compute_at_scratch(value, form, &inputs[..count], info.result.is_some())?;
        self.release_if_dead(index);
        self.release_late(access.exit);
        Ok(())
    }

    /// Emits a form whose base is the scratch register, with further operands behind it.
    fn compute_at_scratch(
        &mut self,
        value: u32,
        form: Form,
        inputs: &[u32],
        has_result: bool,
    ) -> Result<(), Fault> {
        let family = self.set.family(form).ok_or(unsupported(Feature::Op))?;
        let base = usize::from(has_result);
        let mut registers: [Register; MAX_OPERANDS] = [0; MAX_OPERANDS];
        registers[base] = self.int_scratch;
        self.bring_inputs(family, base + 1, inputs, &mut registers)?;
        self.observe_uses(value, inputs, &registers[base + 1..]);
        for (number, &input) in inputs.iter().enumerate() {
            if number == 0 {
                self.advance(value, 1, input);
            }
            self.release_if_dead(input);
        }
        let clobbers = family.clobbers.0 & self.allocatable;
        if clobbers & self.registers.occupied != 0 {
            self.free_clobbered(clobbers)?;
        }
        self.registers.pinned |= clobbers;
        if has_result {
            // The result takes a register that no operand has: the families differ in what they write when.
            let mut allowed = self.allowed(family.allowed[0], value) & self.allocatable;
            if family.tied != ABSENT {
                let register = registers[family.tied as usize & 3];
                allowed = only(register);
                self.evict(register, only(register))?;
            } else {
                allowed &= !self.registers.pinned & !clobbers;
                let free = self.free() & allowed;
                if free == 0 {
                    self.obtain(allowed)?;
                }
                let free = self.free() & allowed;
                allowed = only(self.choose(free));
            }
            registers[0] = allowed.trailing_zeros();
        }
        self.registers.pinned = 0;
        self.form(form, registers, 0)?;
        if has_result {
            self.define(value, registers[0]);
        }
        Ok(())
    }

    /// How long a region is.
    pub(super) fn lower_region_size(&mut self, value: u32, op: &Op) -> Result<(), Fault> {
        let region = self.program.regions[op.region()];
        let open = self.free() & INTS;
        let to = match self.hinted_register(value) {
            Some(hint) if open & only(hint) != 0 => hint,
            _ => self.obtain(INTS & self.allocatable)?,
        };
        if region.grows() {
            let at = self.offset_of_anchor(self.size_anchor(op.region()));
            self.load_context(to, at)?;
        } else {
            self.make_integer(to, region.size)?;
        }
        self.define(value, to);
        Ok(())
    }

    pub(super) fn lower_slot_get(&mut self, value: u32, op: &Op) -> Result<(), Fault> {
        let code = match op.code {
            Opcode::I32SlotGet => Opcode::I32RawLoad,
            Opcode::F32SlotGet => Opcode::F32RawLoad,
            Opcode::F64SlotGet => Opcode::F64RawLoad,
            _ => Opcode::I64RawLoad,
        };
        let form = Form::op(code, FormKind::Immediate);
        let anchor = self.slots_anchor();
        self.access_form(value, form, &[anchor], op, i64::from(op.c) * 8, None)
    }

    pub(super) fn lower_slot_set(&mut self, value: u32, op: &Op) -> Result<(), Fault> {
        let stored = op.a - self.first_op;
        let everything = self.allocatable & self.bank(stored);
        let (code, widen) = match op.code {
            Opcode::I32SlotSet => (Opcode::I64RawStore, Some(Opcode::I64ExtendI32U)),
            Opcode::F32SlotSet => (Opcode::I64RawStore, Some(Opcode::I32ReinterpretF32)),
            Opcode::F64SlotSet => (Opcode::F64RawStore, None),
            _ => (Opcode::I64RawStore, None),
        };
        let form = Form::op(code, FormKind::Immediate);
        let family = self.set.family(form).ok_or(unsupported(Feature::Op))?;
        let mut register = self.bring(stored, everything)?;
        let anchor = self.slots_anchor();
        let bases = self.allowed(family.allowed[0], anchor) & self.allocatable;
        let base = self.bring(anchor, bases)?;
        self.observe_uses(value, &[stored, anchor], &[register, base]);
        let scratch = self.int_scratch;
        if let Some(code) = widen {
            self.form(
                Form::op(code, FormKind::Registers),
                [scratch, register, 0, 0],
                0,
            )?;
            register = scratch;
        }
        self.family(family, [base, register, 0, 0], i64::from(op.c) * 8)?;
        self.advance(value, 0, stored);
        self.advance(value, 2, anchor);
        self.release_if_dead(stored);
        self.release_if_dead(anchor);
        self.registers.pinned = 0;
        Ok(())
    }
}

/// Whether an access faults where it is out of bounds, in reserved address space, and that will do.
#[inline]
pub(super) fn may_fault(program: &Program, reserved: Reserved, op: &Op) -> bool {
    let regions = reserved.regions.checked_shr(op.region() as u32);
    if regions.is_none_or(|regions| regions & 1 == 0) || op.code.info().has(flags::ATOMIC) {
        return false;
    }
    let access = Access::of(program, op);
    let exit = &program.exits[access.exit as usize];
    is_narrow(program, op.a)
        && (u64::from(u32::MAX) << access.scale) + access.end <= reserved.bytes
        && exit.kind == ExitKind::Trap
        && exit.entry_count == 0
}

/// Whether an index is 32 bits, zero-extended: no sum of an access wraps then.
fn is_narrow(program: &Program, index: u32) -> bool {
    let op = &program.ops[index as usize];
    match op.code {
        Opcode::I64ExtendI32U | Opcode::I64Load8U | Opcode::I64Load16U | Opcode::I64Load32U => true,
        Opcode::I64And => {
            let mask = &program.ops[op.b as usize];
            mask.code == Opcode::I64Const && mask.constant() >> 32 == 0
        }
        _ => false,
    }
}

/// A region access with its constants worked out.
struct Access {
    offset: i64,
    scale: u8,
    exit: u32,
    /// Bytes up to its end, without the index.
    end: u64,
    /// The last index that is always in bounds, if there is one.
    last_index: Option<u64>,
    /// The last index that may be in bounds, if there is one: the same but in a region that grows.
    last_ever: Option<u64>,
}

impl Access {
    fn of(program: &Program, op: &Op) -> Access {
        let region = &program.regions[op.region()];
        let at = op.c as usize;
        let offset = u64::from(program.extra[at]);
        let end = offset + u64::from(op.code.info().width);
        let last = |size: u64| size.checked_sub(end).map(|room| room >> op.scale());
        Access {
            offset: offset as i64,
            scale: op.scale(),
            exit: program.extra[at + 1],
            end,
            last_index: last(region.size),
            last_ever: last(region.most),
        }
    }

    /// Where a constant index in bounds leads, from the region's start, if a displacement reaches it.
    fn displacement(&self, index: u64) -> Option<i64> {
        let at = (u128::from(index) << self.scale) + self.offset as u128;
        i32::try_from(at).ok().map(i64::from)
    }
}
