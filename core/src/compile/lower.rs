//! From micro-ops to forms: which code serves an op, and what its operands must be.
//!
//! Takes one op and the state of the registers before it; promises the state after it. An op is one form where its
//! operands allow, else a few: a checked division is its checks and a bare division, a region access is a comparison
//! with the last index in bounds and a bare access.

use super::allocate::{INTS, Register};
use super::brief::Brief;
use super::workspace::{
    IMMEDIATE, INFO, INFO_IMMEDIATE, INFO_SUCCEEDS, INFO_SWAPPED, INFO_TESTS_BITS, INFO_USES,
    is_fused,
};
use super::{FunctionCompiler, Observer};
use crate::error::{Feature, Part};
use crate::ir::{NONE, Op, Program};
use crate::ops::{Opcode, Shape, flags};
use crate::patch::{Fault, Holes, Label, internal, unsupported};
use crate::stencil::{Family, Form, FormKind, MAX_OPERANDS, Machine, StencilSet};

/// A scalar op with its operands, as indices in the function, in the order that suits the forms: a constant is last,
/// and an immediate if it fits.
#[derive(Clone, Copy)]
pub(super) struct Scalar {
    pub code: Opcode,
    pub first: u32,
    /// The second operand in a register, or the first again where there is none.
    pub second: u32,
    pub has_second: bool,
    /// The second operand otherwise.
    pub immediate: i64,
    /// Whether the record's operands are swapped.
    pub swapped: bool,
}

impl Scalar {
    /// The operands in registers.
    #[inline(always)]
    pub fn inputs(&self) -> [u32; 2] {
        [self.first, self.second]
    }

    /// How many there are.
    #[inline(always)]
    pub fn count(&self) -> usize {
        1 + usize::from(self.has_second)
    }
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
    pub(super) fn scalar(&self, value: u32, op: &Op, facts: u32) -> Scalar {
        let swapped = facts & INFO_SWAPPED != 0;
        let first = if swapped { op.b } else { op.a } - self.first_op;
        if facts & INFO_IMMEDIATE != 0 {
            return Scalar {
                code: immediate_code(op.code, swapped),
                first,
                second: first,
                has_second: false,
                immediate: i64::from(self.word(value, IMMEDIATE) as i32),
                swapped,
            };
        }
        let has_second = Brief::of(op.code).shape == Shape::Binary;
        Scalar {
            code: op.code,
            first,
            second: if has_second {
                op.b - self.first_op
            } else {
                first
            },
            has_second,
            immediate: 0,
            swapped,
        }
    }

    /// Compiles one op that is not a terminator.
    #[inline(always)]
    pub(super) fn lower(&mut self, value: u32, op: &Op) -> Result<(), Fault> {
        self.registers.pinned = 0;
        match Brief::of(op.code).shape {
            Shape::Parameter | Shape::Result | Shape::Constant | Shape::FunctionIndex => Ok(()),
            _ if self.word(value, INFO) & INFO_SUCCEEDS != 0 => self.lower_successor(value, op),
            Shape::Unary | Shape::Binary => self.lower_scalar(value, op),
            _ => self.lower_other(value, op),
        }
    }

    /// The ops that are not most of a program.
    #[inline(never)]
    pub(super) fn lower_other(&mut self, value: u32, op: &Op) -> Result<(), Fault> {
        let brief = Brief::of(op.code);
        match brief.shape {
            Shape::Unary | Shape::Binary => self.lower_scalar(value, op),
            Shape::Tag => self.lower_tagged(value, op),
            Shape::Select => self.lower_select(value, op),
            Shape::Load | Shape::Store if brief.is_raw() => self.lower_raw(value, op),
            Shape::Load | Shape::Store if !op.code.info().has(flags::ATOMIC) => {
                self.lower_access(value, op)
            }
            Shape::Load | Shape::Store | Shape::Update | Shape::CompareExchange => {
                self.lower_atomic(value, op)
            }
            Shape::Fence => {
                self.form(Form::op(op.code, FormKind::Registers), [0; 4], 0)?;
                Ok(())
            }
            Shape::SlotGet => self.lower_slot_get(value, op),
            Shape::RegionSize => self.lower_region_size(value, op),
            Shape::SlotSet => self.lower_slot_set(value, op),
            Shape::Guard => {
                let stays_if = op.code == Opcode::Guard;
                let condition = self.prepare_condition(value, op.a)?;
                let begins = self.begins_with_guard();
                let holes = self.jump_on(&condition, !stays_if)?;
                for input in condition.inputs.into_iter().filter(|&input| input != NONE) {
                    self.release_if_dead(input);
                }
                self.leave_from(holes, op.c, value)?;
                if begins {
                    self.remember_test(&condition, stays_if, self.here());
                }
                self.release_late(op.c);
                Ok(())
            }
            Shape::Poll => {
                self.spill_references()?;
                let holes = self.machine(Machine::Poll, [0; 4], 0)?;
                self.observe_safepoint();
                self.leave_from(holes, op.c, value)?;
                self.release_late(op.c);
                Ok(())
            }
            Shape::Call | Shape::CallCell | Shape::CallIndirect => self.lower_call(value, op),
            Shape::CallHost => self.lower_host_call(value, op),
            _ => Err(internal(Part::Select, line!())),
        }
    }

    #[inline(always)]
    fn lower_scalar(&mut self, value: u32, op: &Op) -> Result<(), Fault> {
        let leaves = Brief::of(op.code).leaves();
        let facts = self.word(value, INFO);
        if is_fused(facts) || (facts & INFO_USES == 0 && !leaves) {
            return Ok(());
        }
        let scalar = self.scalar(value, op, facts);
        if facts & INFO_TESTS_BITS != 0 {
            self.lower_bits(scalar.first)?;
        }
        let kind = match facts & INFO_IMMEDIATE {
            0 => FormKind::Registers,
            _ => FormKind::Immediate,
        };
        let form = Form::op(scalar.code, kind);
        let family = self.set.family(form).ok_or(unsupported(Feature::Op))?;
        if leaves {
            return self.lower_leaving(value, op, &scalar, family);
        }
        if !self.compute_simply(value, &scalar, family)? {
            self.compute_scalar(value, &scalar, family)?;
        }
        Ok(())
    }

    /// Compiles what a comparison compares with zero that was to be fused and is not: something else uses it, too. What is
    /// tested of the bits elsewhere is tested there, as it is kept for the comparison alone.
    #[inline(never)]
    fn lower_bits(&mut self, value: u32) -> Result<(), Fault> {
        let facts = self.word(value, INFO);
        if !is_fused(facts) {
            return Ok(());
        }
        let op = self.program.ops[(value + self.first_op) as usize];
        let scalar = self.scalar(value, &op, facts);
        let form = Form::op(scalar.code, FormKind::Immediate);
        let family = self.set.family(form).ok_or(unsupported(Feature::Op))?;
        self.compute_scalar(value, &scalar, family)?;
        self.registers.pinned = 0;
        Ok(())
    }

    #[inline(never)]
    fn lower_leaving(
        &mut self,
        value: u32,
        op: &Op,
        scalar: &Scalar,
        family: &'static Family,
    ) -> Result<(), Fault> {
        self.check_division(value, op)?;
        let holes = self.compute_scalar(value, scalar, family)?;
        if family.has_target {
            self.leave_from(holes, op.c, value)?;
        }
        self.release_late(op.c);
        Ok(())
    }

    #[inline(never)]
    fn compute_scalar(
        &mut self,
        value: u32,
        scalar: &Scalar,
        family: &'static Family,
    ) -> Result<Holes, Fault> {
        let inputs = scalar.inputs();
        let inputs = &inputs[..scalar.count()];
        self.compute(value, family, inputs, scalar.immediate, scalar.swapped)
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
            low: None,
            registers: [0; MAX_OPERANDS],
            inputs: [NONE; 2],
        };
        let mut inputs = [local, NONE];
        let mut count = 1;
        let mut record = user;
        let mut swapped = false;
        let facts = self.word(local, INFO);
        if is_fused(facts) {
            let op = self.program.ops[condition as usize];
            let scalar = self.scalar(local, &op, facts);
            prepared.code = scalar.code;
            inputs[0] = scalar.first;
            record = local;
            swapped = scalar.swapped;
            let mask = if facts & INFO_TESTS_BITS != 0 {
                record = scalar.first;
                let test = self.program.ops[(record + self.first_op) as usize];
                let scalar = self.scalar(record, &test, self.word(record, INFO));
                inputs[0] = scalar.first;
                swapped = scalar.swapped;
                let set = matches!(prepared.code, Opcode::I32Ne | Opcode::I64Ne);
                Some((scalar.immediate, set))
            } else if matches!(op.code, Opcode::I32And | Opcode::I64And) {
                Some((scalar.immediate, true))
            } else {
                None
            };
            if let Some((mask, set)) = mask {
                let mask = mask as u8;
                prepared.low = Some(LowTest::Bits { mask, set });
            } else if scalar.has_second {
                inputs[1] = scalar.second;
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
        if prepared.code == Opcode::I64TagTest {
            let tag = self.program.tag_of(&self.program.ops[condition as usize]);
            self.prepare_tag_test(tag, &mut prepared)?;
        }
        self.registers.pinned = 0;
        Ok(prepared)
    }

    /// Emits a jump that is taken if a prepared condition holds, or if it does not; gives the holes to link.
    pub(super) fn jump_on(
        &mut self,
        condition: &Condition,
        taken_if: bool,
    ) -> Result<Holes, Fault> {
        let (form, immediate) = condition.jump(taken_if);
        self.uniform(form, condition.registers, immediate)
    }

    /// Emits a form that has no result, with value operands in registers from operand 0 on.
    pub(super) fn test(
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
        self.uniform(form, registers, immediate)
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
        if is_fused(self.word(op.a - self.first_op, INFO)) {
            return self.lower_choice(value, op);
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

/// A test of an operand's lowest byte.
#[derive(Clone, Copy)]
pub(super) enum LowTest {
    /// Some bit of the mask is set, or none is.
    Bits { mask: u8, set: bool },
    /// The byte is this.
    Byte(u8),
}

/// A condition whose operands are in registers.
pub(super) struct Condition {
    pub code: Opcode,
    pub immediate: Option<i64>,
    /// Instead of a comparison.
    pub low: Option<LowTest>,
    pub registers: [Register; MAX_OPERANDS],
    pub inputs: [u32; 2],
}

impl Condition {
    /// The form that jumps if it holds, or if it does not, and its immediate.
    pub fn jump(&self, taken_if: bool) -> (Form, i64) {
        if let Some(test) = self.low {
            let (machine, byte) = match test {
                LowTest::Bits { mask, set } if taken_if == set => (Machine::JumpBitsSet, mask),
                LowTest::Bits { mask, .. } => (Machine::JumpBitsClear, mask),
                LowTest::Byte(byte) if taken_if => (Machine::JumpByteEq, byte),
                LowTest::Byte(byte) => (Machine::JumpByteNe, byte),
            };
            return (Form::machine(machine), i64::from(byte as i8));
        }
        let kind = match self.immediate {
            Some(_) => FormKind::JumpImmediate,
            None => FormKind::Jump,
        };
        let form = match (taken_if, self.code.inverse()) {
            (true, _) => Form::op(self.code, kind),
            (false, Some(inverse)) => Form::op(inverse, kind),
            (false, None) => Form::op(self.code, FormKind::JumpNot),
        };
        (form, self.immediate.unwrap_or(0))
    }
}

/// The immediate that a binary op's second operand becomes (or its first, the operands swapped), if it is a constant
/// that the stencil set takes as an immediate.
#[inline]
pub(super) fn immediate_of(
    program: &Program,
    set: &StencilSet,
    op: &Op,
    swapped: bool,
) -> Option<i32> {
    let constant = &program.ops[if swapped { op.a } else { op.b } as usize];
    let bits = match constant.code {
        Opcode::I32Const | Opcode::I64Const => constant.constant(),
        Opcode::FunctionIndex => u64::from(constant.b),
        _ => return None,
    };
    let brief = Brief::of(op.code);
    if swapped && !brief.swaps() {
        return None;
    }
    let wide = brief.is_wide();
    let mut value = if wide {
        bits as i64
    } else {
        i64::from(bits as i32)
    };
    if brief.shifts() {
        value &= if wide { 63 } else { 31 };
    } else if op.code == Opcode::I32Sub {
        value = i64::from((value as i32).wrapping_neg());
    } else if op.code == Opcode::I64Sub {
        value = value.wrapping_neg();
    }
    let form = Form::op(immediate_code(op.code, swapped), FormKind::Immediate);
    let takes = set.offers(set.family(form)?, value);
    i32::try_from(value).ok().filter(|_| takes)
}

/// The op whose form takes the immediate that [`immediate_of`] gives.
#[inline]
fn immediate_code(code: Opcode, swapped: bool) -> Opcode {
    match code {
        Opcode::I32Sub => Opcode::I32Add,
        Opcode::I64Sub => Opcode::I64Add,
        code if swapped => code.swapped().unwrap_or(code),
        code => code,
    }
}
