//! From micro-ops to forms: which code serves an op, and what its operands must be.
//!
//! Takes one op and the state of the registers before it; promises the state after it. An op is one form where its
//! operands allow, else a few: a checked division is its checks and a bare division, a region access is a comparison
//! with the last index in bounds and a bare access.

use super::allocate::{INTS, Register, only};
use super::brief::Brief;
use super::liveness::{exit_of, operands};
use super::workspace::{
    END, INFO, INFO_FLOAT, INFO_FUSED, INFO_IMMEDIATE, INFO_SWAPPED, INFO_USES, LOCATION, NEXT,
    NEXT_USE, NO_REGISTER, START,
};
use super::{Event, FunctionCompiler, Observer};
use crate::error::{Feature, Part};
use crate::ir::{NONE, Op, Program};
use crate::ops::{Opcode, Shape, flags};
use crate::patch::{Fault, Holes, Label, internal, unsupported};
use crate::stencil::{ABSENT, Family, Form, FormKind, MAX_OPERANDS, Machine, StencilSet};

/// A scalar op with its operands in the order that suits the forms: a constant is last, and an immediate if it fits.
#[derive(Clone, Copy)]
pub(super) struct Scalar {
    pub code: Opcode,
    pub first: u32,
    /// The second operand, where there is one in a register.
    pub second: Option<u32>,
    /// The second operand otherwise.
    pub immediate: i64,
    /// Whether the record's operands are swapped.
    pub swapped: bool,
}

impl<O: Observer> FunctionCompiler<'_, '_, O> {
    /// The bits of a constant op, or `None` for another.
    #[inline]
    pub(super) fn constant_bits(&self, value: u32) -> Option<u64> {
        let op = &self.program.ops[value as usize];
        match op.code {
            Opcode::I32Const | Opcode::I64Const | Opcode::F32Const | Opcode::F64Const => {
                Some(op.constant())
            }
            Opcode::FunctionIndex => Some(u64::from(op.b)),
            _ => None,
        }
    }

    /// A unary or binary op in the order that suits the forms, as the analysis decided.
    #[inline(always)]
    pub(super) fn scalar(&self, op: &Op, facts: u32) -> Scalar {
        let (first, second) = operands(op, facts);
        let swapped = facts & INFO_SWAPPED != 0;
        let plain = Scalar {
            code: op.code,
            first,
            second,
            immediate: 0,
            swapped,
        };
        if facts & INFO_IMMEDIATE == 0 {
            return plain;
        }
        match immediate_of(self.program, self.set, op, swapped) {
            Some((code, immediate)) => Scalar {
                code,
                immediate,
                ..plain
            },
            None => plain,
        }
    }

    /// Compiles one op that is not a terminator.
    #[inline]
    pub(super) fn lower(&mut self, index: u32) -> Result<(), Fault> {
        let op = self.program.ops[index as usize];
        let value = index - self.first_op;
        let brief = Brief::of(op.code);
        self.registers.pinned = 0;
        match brief.shape {
            Shape::Parameter | Shape::Result | Shape::Constant | Shape::FunctionIndex => Ok(()),
            Shape::Unary | Shape::Binary => self.lower_scalar(value, &op),
            Shape::Select => self.lower_select(value, &op),
            Shape::Load | Shape::Store if brief.is_raw() => self.lower_raw(value, &op),
            Shape::Load | Shape::Store if !op.code.info().has(flags::ATOMIC) => {
                self.lower_access(value, &op)
            }
            Shape::Load | Shape::Store | Shape::Update | Shape::CompareExchange => {
                self.lower_atomic(value, &op)
            }
            Shape::Fence => {
                self.form(Form::op(op.code, FormKind::Registers), [0; 4], 0)?;
                Ok(())
            }
            Shape::SlotGet => self.lower_slot_get(value, &op),
            Shape::SlotSet => self.lower_slot_set(value, &op),
            Shape::Guard => {
                let stays_if = op.code == Opcode::Guard;
                let condition = self.prepare_condition(value, op.a)?;
                let holes = self.jump_on(&condition, !stays_if)?;
                for input in condition.inputs.into_iter().filter(|&input| input != NONE) {
                    self.release_if_dead(input);
                }
                self.leave_from(holes, op.c, value)?;
                self.release_late(&op);
                Ok(())
            }
            Shape::Poll => {
                self.spill_references()?;
                let holes = self.machine(Machine::Poll, [0; 4], 0)?;
                self.leave_from(holes, op.c, value)?;
                self.release_late(&op);
                Ok(())
            }
            Shape::Call | Shape::CallCell | Shape::CallIndirect => self.lower_call(value, &op),
            Shape::CallHost => self.lower_host_call(value, &op),
            _ => Err(internal(Part::Select, line!())),
        }
    }

    #[inline(always)]
    fn lower_scalar(&mut self, value: u32, op: &Op) -> Result<(), Fault> {
        let brief = Brief::of(op.code);
        let leaves = brief.leaves();
        let facts = self.word(value, INFO);
        if facts & INFO_FUSED != 0 || (facts & INFO_USES == 0 && !leaves) {
            return Ok(());
        }
        let scalar = self.scalar(op, facts);
        let kind = match facts & INFO_IMMEDIATE {
            0 => FormKind::Registers,
            _ => FormKind::Immediate,
        };
        let form = Form::op(scalar.code, kind);
        let family = self.set.family(form).ok_or(unsupported(Feature::Op))?;
        if leaves {
            return self.lower_leaving(value, op, scalar, family);
        }
        if self.compute_simply(value, scalar, family)? {
            return Ok(());
        }
        self.compute_scalar(value, scalar, family)?;
        Ok(())
    }

    fn lower_leaving(
        &mut self,
        value: u32,
        op: &Op,
        scalar: Scalar,
        family: &'static Family,
    ) -> Result<(), Fault> {
        self.check_division(value, op)?;
        let holes = self.compute_scalar(value, scalar, family)?;
        if family.has_target {
            self.leave_from(holes, op.c, value)?;
        }
        self.release_late(op);
        Ok(())
    }

    fn compute_scalar(
        &mut self,
        value: u32,
        scalar: Scalar,
        family: &'static Family,
    ) -> Result<Holes, Fault> {
        let first = scalar.first - self.first_op;
        let inputs = [
            first,
            scalar.second.map_or(first, |second| second - self.first_op),
        ];
        let count = 1 + usize::from(scalar.second.is_some());
        self.compute(
            value,
            family,
            &inputs[..count],
            scalar.immediate,
            scalar.swapped,
        )
    }

    /// The common case of [`Self::compute`]: operands that are in registers which suit, a free register for the
    /// result, nothing else to move. Emits nothing and says so in any other case.
    #[inline(always)]
    fn compute_simply(
        &mut self,
        value: u32,
        scalar: Scalar,
        family: &'static Family,
    ) -> Result<bool, Fault> {
        if family.tied != ABSENT || family.clobbers.0 & self.registers.occupied != 0 {
            return Ok(false);
        }
        let first = scalar.first - self.first_op;
        let second = scalar.second.map_or(first, |second| second - self.first_op);
        let now = self.now;
        let values = &mut *self.workspace.values;
        let [a, b] = [
            values[first as usize][LOCATION] & 0xff,
            values[second as usize][LOCATION] & 0xff,
        ];
        if a == NO_REGISTER || b == NO_REGISTER || family.allowed[1] >> (a & 31) & 1 == 0 {
            return Ok(false);
        }
        let mut closed = self.registers.occupied;
        let mut registers = [0, a, 0, 0];
        let record = values[value as usize];
        if scalar.second.is_some() {
            if family.allowed[2] >> (b & 31) & 1 == 0 {
                return Ok(false);
            }
            registers[2] = b;
            if values[second as usize][END] <= now {
                closed &= !only(b);
            }
        }
        if values[first as usize][END] <= now {
            closed &= !only(a);
        }
        let float = record[INFO] & INFO_FLOAT != 0;
        let numbers = u64::from(family.allowed[0]) << if float { 32 } else { 0 };
        let taken = match family.distinct {
            0 => closed,
            distinct => {
                closed
                    | u64::from(distinct >> 1 & 1) << a
                    | u64::from(distinct >> 2 & 1) << registers[2]
            }
        };
        let open = numbers & self.allocatable & !taken;
        if open == 0 {
            return Ok(false);
        }
        let to = match self.hinted_register(value) {
            Some(hint) if open & only(hint) != 0 => hint,
            _ if open & only(a) != 0 => a,
            _ if open & only(b) != 0 => b,
            _ => self.choose(open),
        };
        registers[0] = to;
        let values = &mut *self.workspace.values;
        for (operand, input) in [first, second].into_iter().enumerate() {
            let operand = operand ^ usize::from(scalar.swapped);
            values[input as usize][NEXT_USE] = record[NEXT + operand];
            if scalar.second.is_none() {
                break;
            }
        }
        let gone = self.registers.occupied & !closed;
        if gone != 0 {
            // Both operands at most: their registers are free from here on.
            for register in [a, b] {
                if gone & only(register) != 0 {
                    let dead = self.registers.value[register as usize];
                    values[dead as usize][LOCATION] |= NO_REGISTER;
                }
            }
        }
        self.registers.occupied = closed | only(to);
        self.registers.valid &= !only(to);
        self.registers.value[to as usize] = value;
        let location = &mut values[value as usize][LOCATION];
        *location = *location & !0xff | to;
        if O::ACTIVE {
            let inputs = [first, second];
            let count = 1 + usize::from(scalar.second.is_some());
            self.observe_uses(value, &inputs[..count], &registers[1..]);
        }
        self.family(family, registers, scalar.immediate)?;
        self.observe(Event::Define {
            register: to,
            value: self.value_name(value),
        });
        Ok(true)
    }

    /// Emits a form with value operands in registers and its result in a register, and updates the state.
    ///
    /// The operands stand in the form from operand 1 on.
    fn compute(
        &mut self,
        value: u32,
        family: &'static Family,
        inputs: &[u32],
        immediate: i64,
        swapped: bool,
    ) -> Result<Holes, Fault> {
        let mut registers: [Register; MAX_OPERANDS] = [0; MAX_OPERANDS];
        self.bring_inputs(family, 1, inputs, &mut registers)?;
        self.observe_uses(value, inputs, &registers[1..]);
        for (number, &input) in inputs.iter().enumerate() {
            let operand = if swapped { 1 - number } else { number };
            self.advance(value, operand, input);
            self.release_if_dead(input);
        }
        let clobbers = family.clobbers.0 & self.allocatable;
        if clobbers & self.registers.occupied != 0 {
            self.free_clobbered(clobbers)?;
        }
        self.registers.pinned |= clobbers;
        let bank = self.bank(value);
        let mut allowed = self.allowed(family.allowed[0], value) & self.allocatable;
        if family.tied != ABSENT {
            let tied = family.tied as usize & 3;
            let register = registers[tied];
            let dead = self.registers.occupied & only(register) == 0;
            let other = (1..MAX_OPERANDS).any(|operand| {
                operand != tied && operand <= inputs.len() && registers[operand] == register
            });
            if !(dead && !other && allowed & only(register) != 0) {
                registers[tied] = self.copy_to_work_on(register, allowed)?;
            }
            allowed = only(registers[tied]);
        } else if family.distinct != 0 {
            for (operand, &register) in registers.iter().enumerate().skip(1) {
                if family.distinct >> operand & 1 != 0 {
                    allowed &= !only(register);
                }
            }
        }
        // Operands are read before the result is written, so their registers may serve.
        self.registers.pinned = clobbers;
        let open = self.free() & allowed;
        let to = if open == 0 {
            let keep = registers[1..=inputs.len()]
                .iter()
                .fold(clobbers, |set, &r| set | only(r));
            self.free_for_result(allowed & bank, keep)?
        } else {
            match self.hinted_register(value) {
                Some(hint) if open & only(hint) != 0 => hint,
                _ if open & only(registers[1]) != 0 => registers[1],
                _ if inputs.len() > 1 && open & only(registers[2]) != 0 => registers[2],
                _ => self.choose(open),
            }
        };
        registers[0] = to;
        self.registers.pinned = 0;
        let holes = self.family(family, registers, immediate)?;
        self.define(value, to);
        Ok(holes)
    }

    /// Brings values into registers that suit a form's operands from this one on. An operand that a single register
    /// suits goes first: another one must not be pinned there.
    fn bring_inputs(
        &mut self,
        family: &Family,
        first: usize,
        inputs: &[u32],
        registers: &mut [Register; MAX_OPERANDS],
    ) -> Result<(), Fault> {
        for single in [true, false] {
            for (operand, &input) in (first..).zip(inputs) {
                let numbers = family.allowed[operand & 3];
                if numbers.is_power_of_two() == single {
                    registers[operand & 3] = self.bring(input, self.allowed(numbers, input))?;
                }
            }
        }
        Ok(())
    }

    /// A register that a tied operand can be overwritten in, while its value lives on or is read twice.
    fn copy_to_work_on(&mut self, register: Register, allowed: u64) -> Result<Register, Fault> {
        let others = allowed & !self.registers.pinned;
        if others != 0 {
            let to = self.obtain(others)?;
            self.copy(to, register)?;
            return Ok(to);
        }
        // Only the operand's own register will do: its value goes elsewhere, the bits stay.
        self.evict(register, 0)?;
        Ok(register)
    }

    /// Frees a register for a result while the operands stay readable until the op is done.
    fn free_for_result(&mut self, allowed: u64, keep: u64) -> Result<Register, Fault> {
        self.registers.pinned = keep;
        if allowed & !keep & self.registers.occupied != 0 {
            let to = self.obtain(allowed & !keep)?;
            self.registers.pinned = 0;
            return Ok(to);
        }
        // Only an operand's own register will do; its value goes elsewhere, and the op still reads it here.
        let to = (allowed & self.allocatable).trailing_zeros();
        if to == 64 {
            return Err(internal(Part::Select, line!()));
        }
        self.registers.pinned = keep & !only(to);
        self.evict(to, 0)?;
        self.registers.pinned = 0;
        Ok(to)
    }

    /// A template's register numbers as registers of the value's bank.
    #[inline]
    fn allowed(&self, numbers: u32, value: u32) -> u64 {
        if self.bank(value) == INTS {
            u64::from(numbers)
        } else {
            u64::from(numbers) << 32
        }
    }

    /// Moves what lives on out of registers that a template overwrites.
    fn free_clobbered(&mut self, clobbers: u64) -> Result<(), Fault> {
        for register in super::allocate::each(clobbers & self.registers.occupied) {
            self.evict(register, clobbers)?;
        }
        Ok(())
    }

    /// Binds a result to its register.
    #[inline]
    pub(super) fn define(&mut self, value: u32, register: Register) {
        self.observe(Event::Define {
            register,
            value: self.value_name(value),
        });
        if self.word(value, END) > self.word(value, START) {
            self.occupy(register, value, false);
        }
    }

    /// Notes that an operand has been read: its next use is what the record of the op says.
    #[inline]
    pub(super) fn advance(&mut self, user: u32, operand: usize, value: u32) {
        let next = self.word(user, NEXT + operand);
        self.workspace.values[value as usize][NEXT_USE] = next;
    }

    fn observe_uses(&mut self, user: u32, inputs: &[u32], registers: &[Register]) {
        if !O::ACTIVE {
            return;
        }
        for (&input, &register) in inputs.iter().zip(registers) {
            self.observe(Event::Use {
                op: user + self.first_op,
                register,
                value: self.value_name(input),
            });
        }
    }

    /// Frees registers of values that only the op's own exit still named.
    pub(super) fn release_late(&mut self, op: &Op) {
        let Some(exit) = exit_of(self.program, op) else {
            return;
        };
        let program = self.program;
        let record = program.exits[exit as usize];
        for pair in program.snapshot(&record).chunks_exact(2) {
            let value = pair[1] - self.first_op;
            if self.word(value, END) <= self.now + 1 {
                let register = self.register_of(value);
                if register != NO_REGISTER {
                    self.vacate(register);
                }
            }
        }
    }

    /// Brings a condition's operands into registers. They stay there: edges of the same op may pass them on.
    pub(super) fn prepare_condition(
        &mut self,
        user: u32,
        condition: u32,
    ) -> Result<Condition, Fault> {
        let local = condition - self.first_op;
        let mut prepared = Condition {
            code: Opcode::Branch,
            immediate: None,
            registers: [0; MAX_OPERANDS],
            inputs: [NONE; 2],
        };
        let mut inputs = [local, NONE];
        let mut count = 1;
        let mut record = user;
        let mut swapped = false;
        let facts = self.word(local, INFO);
        if facts & INFO_FUSED != 0 {
            let op = self.program.ops[condition as usize];
            let scalar = self.scalar(&op, facts);
            prepared.code = scalar.code;
            inputs[0] = scalar.first - self.first_op;
            record = local;
            swapped = scalar.swapped;
            if let Some(second) = scalar.second {
                inputs[1] = second - self.first_op;
                count = 2;
            } else if op.code.info().shape == Shape::Binary {
                prepared.immediate = Some(scalar.immediate);
            }
        }
        // Whichever way the jump goes, the operands may be in any register of their bank.
        for (number, &input) in inputs[..count].iter().enumerate() {
            let anything = self.allocatable & self.bank(input);
            prepared.registers[number] = self.bring(input, anything)?;
        }
        self.observe_uses(user, &inputs[..count], &prepared.registers);
        for (number, &input) in inputs[..count].iter().enumerate() {
            let operand = if swapped { 1 - number } else { number };
            self.advance(record, operand, input);
        }
        prepared.inputs = inputs;
        self.registers.pinned = 0;
        Ok(prepared)
    }

    /// Emits a jump that is taken if a prepared condition holds, or if it does not; gives the holes to link.
    pub(super) fn jump_on(
        &mut self,
        condition: &Condition,
        taken_if: bool,
    ) -> Result<Holes, Fault> {
        let kind = match condition.immediate {
            Some(_) => FormKind::JumpImmediate,
            None => FormKind::Jump,
        };
        let form = match (taken_if, condition.code.inverse()) {
            (true, _) => Form::op(condition.code, kind),
            (false, Some(inverse)) => Form::op(inverse, kind),
            (false, None) => Form::op(condition.code, FormKind::JumpNot),
        };
        self.form(form, condition.registers, condition.immediate.unwrap_or(0))
    }

    /// Emits a form that has no result, with value operands in registers from operand 0 on.
    fn test(
        &mut self,
        user: u32,
        form: Form,
        inputs: &[u32],
        immediate: i64,
        record: u32,
        swapped: bool,
    ) -> Result<Holes, Fault> {
        let family = self.set.family(form).ok_or(unsupported(Feature::Op))?;
        let mut registers: [Register; MAX_OPERANDS] = [0; MAX_OPERANDS];
        self.bring_inputs(family, 0, inputs, &mut registers)?;
        self.observe_uses(user, inputs, &registers);
        for (number, &input) in inputs.iter().enumerate() {
            let operand = if swapped { 1 - number } else { number };
            self.advance(record, operand, input);
            self.release_if_dead(input);
        }
        self.registers.pinned = 0;
        self.form(form, registers, immediate)
    }

    /// Emits the checks in front of a division that the op table makes leave.
    fn check_division(&mut self, value: u32, op: &Op) -> Result<(), Fault> {
        use Opcode::*;
        let (wide, signed) = match op.code {
            I32DivS => (false, true),
            I64DivS => (true, true),
            I32DivU | I32RemU | I32RemS => (false, false),
            I64DivU | I64RemU | I64RemS => (true, false),
            _ => return Ok(()),
        };
        let (dividend, divisor) = (op.a - self.first_op, op.b - self.first_op);
        let known = self.constant_bits(op.b);
        let minus_one = if wide { u64::MAX } else { u64::from(u32::MAX) };
        let anything = INTS & self.allocatable;
        if known.is_none_or(|bits| bits == 0) {
            let register = self.bring(divisor, anything)?;
            let code = if wide { I64Eqz } else { I32Eqz };
            let holes = self.form(Form::op(code, FormKind::Jump), [register, 0, 0, 0], 0)?;
            self.leave_from(holes, op.c, value)?;
        }
        if signed && known.is_none_or(|bits| bits == minus_one) {
            let divisor = self.bring(divisor, anything)?;
            let dividend = self.bring(dividend, anything)?;
            let not_equal = if wide { I64Ne } else { I32Ne };
            let form = Form::op(not_equal, FormKind::JumpImmediate);
            let holes = self.form(form, [divisor, 0, 0, 0], -1)?;
            let mut fine = Label::UNUSED;
            self.patcher.link(holes, &mut fine)?;
            let holes = if wide {
                self.make_integer(self.int_scratch, i64::MIN as u64)?;
                let form = Form::op(I64Eq, FormKind::Jump);
                self.form(form, [dividend, self.int_scratch, 0, 0], 0)?
            } else {
                let form = Form::op(I32Eq, FormKind::JumpImmediate);
                self.form(form, [dividend, 0, 0, 0], i64::from(i32::MIN))?
            };
            self.leave_from(holes, op.c, value)?;
            self.patcher.bind(&mut fine)?;
        }
        self.registers.pinned = 0;
        Ok(())
    }

    fn lower_select(&mut self, value: u32, op: &Op) -> Result<(), Fault> {
        if self.word(value, INFO) & INFO_USES == 0 {
            return Ok(());
        }
        let inputs = [
            op.a - self.first_op,
            op.b - self.first_op,
            op.c - self.first_op,
        ];
        let form = Form::op(op.code, FormKind::Registers);
        let family = self.set.family(form).ok_or(unsupported(Feature::Op))?;
        self.compute(value, family, &inputs, 0, false)?;
        Ok(())
    }

    fn lower_raw(&mut self, value: u32, op: &Op) -> Result<(), Fault> {
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
    fn lower_access(&mut self, value: u32, op: &Op) -> Result<(), Fault> {
        let info = op.code.info();
        let access = self.access(op);
        let anchor = self.region_anchor(op.region());
        let loads = info.shape == Shape::Load;
        let known = self.constant_bits(op.a);
        if known.is_some_and(|index| access.last_index.is_none_or(|last| index > last)) {
            let holes = self.machine(Machine::Jump, [0; 4], 0)?;
            self.leave_from(holes, access.exit, value)?;
            let form = Form::op(op.code, FormKind::Immediate);
            self.access_form(value, form, &[anchor], op, 0, loads)?;
        } else if let Some(at) = known.and_then(|index| access.displacement(index)) {
            let form = Form::op(op.code, FormKind::Immediate);
            self.access_form(value, form, &[anchor], op, at, loads)?;
        } else {
            let index = op.a - self.first_op;
            self.check_bounds(value, index, &access)?;
            let form = Form::op(op.code, FormKind::Registers);
            self.access_form(value, form, &[anchor, index], op, access.offset, loads)?;
        }
        self.release_late(op);
        Ok(())
    }

    /// Emits a bare access whose address operands are the anchor of a region and perhaps an index.
    fn access_form(
        &mut self,
        value: u32,
        form: Form,
        address: &[u32],
        op: &Op,
        displacement: i64,
        loads: bool,
    ) -> Result<(), Fault> {
        let family = self.set.family(form).ok_or(unsupported(Feature::Op))?;
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
            self.form(form, registers, displacement)?;
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
        self.form(form, registers, displacement)?;
        self.define(value, to);
        Ok(())
    }

    /// Emits the comparison of an index with the last one in bounds.
    fn check_bounds(&mut self, value: u32, index: u32, access: &Access) -> Result<(), Fault> {
        let Some(last) = access.last_index else {
            let holes = self.machine(Machine::Jump, [0; 4], 0)?;
            return self.leave_from(holes, access.exit, value);
        };
        let anything = INTS & self.allocatable;
        let register = self.bring(index, anything)?;
        let immediate = Form::op(Opcode::I64GtU, FormKind::JumpImmediate);
        let holes = if i32::try_from(last).is_ok() {
            self.form(immediate, [register, 0, 0, 0], last as i64)?
        } else {
            self.make_integer(self.int_scratch, last)?;
            let form = Form::op(Opcode::I64GtU, FormKind::Jump);
            self.form(form, [register, self.int_scratch, 0, 0], 0)?
        };
        self.leave_from(holes, access.exit, value)
    }

    fn access(&self, op: &Op) -> Access {
        let size = self.program.regions[op.region()].size;
        let at = op.c as usize;
        let offset = u64::from(self.program.extra[at]);
        let end = offset + u64::from(op.code.info().width);
        Access {
            offset: offset as i64,
            scale: op.scale(),
            exit: self.program.extra[at + 1],
            last_index: size.checked_sub(end).map(|room| room >> op.scale()),
        }
    }

    /// An atomic access: bounds, alignment, then the op at an address in the scratch register.
    fn lower_atomic(&mut self, value: u32, op: &Op) -> Result<(), Fault> {
        let info = op.code.info();
        let access = self.access(op);
        let anchor = self.region_anchor(op.region());
        let index = op.a - self.first_op;
        let anything = INTS & self.allocatable;
        self.check_bounds(value, index, &access)?;
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
        let holes = self.machine(Machine::JumpUnaligned, [scratch, 0, 0, 0], mask)?;
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
        self.release_late(op);
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

    fn lower_slot_get(&mut self, value: u32, op: &Op) -> Result<(), Fault> {
        let code = match op.code {
            Opcode::I32SlotGet => Opcode::I32RawLoad,
            Opcode::F32SlotGet => Opcode::F32RawLoad,
            Opcode::F64SlotGet => Opcode::F64RawLoad,
            _ => Opcode::I64RawLoad,
        };
        let form = Form::op(code, FormKind::Immediate);
        let anchor = self.slots_anchor();
        self.access_form(value, form, &[anchor], op, i64::from(op.c) * 8, true)
    }

    fn lower_slot_set(&mut self, value: u32, op: &Op) -> Result<(), Fault> {
        let stored = op.a - self.first_op;
        let everything = self.allocatable & self.bank(stored);
        let mut register = self.bring(stored, everything)?;
        let anchor = self.slots_anchor();
        let base = self.bring(anchor, self.allocatable & INTS)?;
        self.observe_uses(value, &[stored, anchor], &[register, base]);
        let scratch = self.int_scratch;
        let widen = match op.code {
            Opcode::I32SlotSet => Some(Opcode::I64ExtendI32U),
            Opcode::F32SlotSet => Some(Opcode::I32ReinterpretF32),
            _ => None,
        };
        if let Some(code) = widen {
            self.form(
                Form::op(code, FormKind::Registers),
                [scratch, register, 0, 0],
                0,
            )?;
            register = scratch;
        }
        let code = if register >= 32 {
            Opcode::F64RawStore
        } else {
            Opcode::I64RawStore
        };
        let form = Form::op(code, FormKind::Immediate);
        self.form(form, [base, register, 0, 0], i64::from(op.c) * 8)?;
        self.advance(value, 0, stored);
        self.advance(value, 2, anchor);
        self.release_if_dead(stored);
        self.release_if_dead(anchor);
        self.registers.pinned = 0;
        Ok(())
    }

    /// Emits a load of 64 bits of the context.
    pub(super) fn load_context(&mut self, to: Register, at: u32) -> Result<(), Fault> {
        let form = Form::op(Opcode::I64RawLoad, FormKind::Immediate);
        self.form(form, [to, self.context, 0, 0], i64::from(at))?;
        Ok(())
    }

    pub(super) fn charge_fuel(&mut self) -> Result<(), Fault> {
        let holes = self.machine(Machine::ChargeFuel, [0; 4], 0)?;
        let mut label = Label(self.shared.out_of_fuel);
        self.patcher.link(holes, &mut label)
    }
}

/// A condition whose operands are in registers.
pub(super) struct Condition {
    code: Opcode,
    immediate: Option<i64>,
    registers: [Register; MAX_OPERANDS],
    inputs: [u32; 2],
}

/// The op and the immediate that a binary op becomes if its second operand (or its first, the operands swapped) is a
/// constant that the stencil set takes as an immediate.
pub(super) fn immediate_of(
    program: &Program,
    set: &StencilSet,
    op: &Op,
    swapped: bool,
) -> Option<(Opcode, i64)> {
    let info = op.code.info();
    let constant = program.ops[if swapped { op.a } else { op.b } as usize];
    let bits = match constant.code {
        Opcode::I32Const | Opcode::I64Const => constant.constant(),
        Opcode::FunctionIndex => u64::from(constant.b),
        _ => return None,
    };
    let wide = info.operands[0].bits() == 64;
    let value = if wide {
        bits as i64
    } else {
        i64::from(bits as i32)
    };
    let code = match swapped {
        false => op.code,
        true if info.has(flags::COMMUTES) => op.code,
        true => op.code.swapped()?,
    };
    let (code, value) = match code {
        Opcode::I32Sub => (Opcode::I32Add, i64::from((value as i32).wrapping_neg())),
        Opcode::I64Sub => (Opcode::I64Add, value.wrapping_neg()),
        code if is_shift(code) => (code, value & if wide { 63 } else { 31 }),
        code => (code, value),
    };
    let family = set.family(Form::op(code, FormKind::Immediate))?;
    family.immediate.takes(value).then_some((code, value))
}

/// Whether the second operand is a count modulo the width.
fn is_shift(code: Opcode) -> bool {
    use Opcode::*;
    matches!(
        code,
        I32Shl
            | I32ShrS
            | I32ShrU
            | I32Rotl
            | I32Rotr
            | I64Shl
            | I64ShrS
            | I64ShrU
            | I64Rotl
            | I64Rotr
    )
}

/// A region access with its constants worked out.
struct Access {
    offset: i64,
    scale: u8,
    exit: u32,
    /// The last index in bounds, if there is one.
    last_index: Option<u64>,
}

impl Access {
    /// Where a constant index in bounds leads, from the region's start, if a displacement reaches it.
    fn displacement(&self, index: u64) -> Option<i64> {
        let at = (u128::from(index) << self.scale) + self.offset as u128;
        i32::try_from(at).ok().map(i64::from)
    }
}
