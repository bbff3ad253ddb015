//! A select whose condition is a comparison: the comparison, and a choice by its flags.
//!
//! Takes a fused condition (see `liveness.rs`); promises the value that the select of the comparison's outcome has. Only
//! moves that leave the flags alone stand between the two forms: everything is brought and freed before. Constant time.

use super::allocate::{Register, only};
use super::lower::LowTest;
use super::{FunctionCompiler, Observer};
use crate::error::Feature;
use crate::ir::{NONE, Op};
use crate::ops::Opcode;
use crate::patch::{Fault, unsupported};
use crate::stencil::{Form, Machine, StencilSet};

/// How a comparison chooses.
struct Choice {
    /// With both operands in registers, and with an immediate.
    compare: [Machine; 2],
    choose: Machine,
    /// Whether the operands are compared the other way round.
    swapped: bool,
}

/// The forms for a comparison, if there are some.
fn choice_of(code: Opcode) -> Option<Choice> {
    use Machine::*;
    use Opcode::*;
    let narrow = [CompareI32, CompareI32Immediate];
    let wide = [CompareI64, CompareI64Immediate];
    let (compare, choose, swapped) = match code {
        I32Eq | I32Eqz => (narrow, ChooseEq, false),
        I32Ne => (narrow, ChooseNe, false),
        I32LtS => (narrow, ChooseLtS, false),
        I32LtU => (narrow, ChooseLtU, false),
        I32GtS => (narrow, ChooseGtS, false),
        I32GtU => (narrow, ChooseGtU, false),
        I32LeS => (narrow, ChooseLeS, false),
        I32LeU => (narrow, ChooseLeU, false),
        I32GeS => (narrow, ChooseGeS, false),
        I32GeU => (narrow, ChooseGeU, false),
        I64Eq | I64Eqz => (wide, ChooseEq, false),
        I64Ne => (wide, ChooseNe, false),
        I64LtS => (wide, ChooseLtS, false),
        I64LtU => (wide, ChooseLtU, false),
        I64GtS => (wide, ChooseGtS, false),
        I64GtU => (wide, ChooseGtU, false),
        I64LeS => (wide, ChooseLeS, false),
        I64LeU => (wide, ChooseLeU, false),
        I64GeS => (wide, ChooseGeS, false),
        I64GeU => (wide, ChooseGeU, false),
        F32Gt => ([CompareF32; 2], ChooseGtF, false),
        F32Ge => ([CompareF32; 2], ChooseGeF, false),
        F32Lt => ([CompareF32; 2], ChooseGtF, true),
        F32Le => ([CompareF32; 2], ChooseGeF, true),
        F64Gt => ([CompareF64; 2], ChooseGtF, false),
        F64Ge => ([CompareF64; 2], ChooseGeF, false),
        F64Lt => ([CompareF64; 2], ChooseGtF, true),
        F64Le => ([CompareF64; 2], ChooseGeF, true),
        // Of which bits are tested.
        I32And => ([CompareBits; 2], ChooseNe, false),
        _ => return None,
    };
    Some(Choice {
        compare,
        choose,
        swapped,
    })
}

/// Whether a select of this kind may choose by the flags of this comparison.
pub(super) fn can_choose(set: &StencilSet, select: Opcode, comparison: Opcode) -> bool {
    let integers = matches!(
        select,
        Opcode::I32Select | Opcode::I64Select | Opcode::RefSelect
    );
    integers
        && choice_of(comparison)
            .is_some_and(|choice| set.family(Form::machine(choice.choose)).is_some())
}

impl<O: Observer> FunctionCompiler<'_, '_, O> {
    /// Compiles a select whose condition is fused.
    #[inline(never)]
    pub(super) fn lower_choice(&mut self, value: u32, op: &Op) -> Result<(), Fault> {
        let condition = self.prepare_condition(value, op.a)?;
        let choice = match condition.low {
            Some(LowTest::Bits { set, .. }) => Choice {
                compare: [Machine::CompareBits; 2],
                choose: if set {
                    Machine::ChooseNe
                } else {
                    Machine::ChooseEq
                },
                swapped: false,
            },
            _ => choice_of(condition.code).ok_or(unsupported(Feature::Op))?,
        };
        let form = Form::machine(choice.choose);
        let family = self.set.family(form).ok_or(unsupported(Feature::Op))?;
        let [a, b, ..] = condition.registers;
        let compared = condition.inputs.into_iter().filter(|&input| input != NONE);
        let mut keep = 0;
        for (_, register) in compared.clone().zip([a, b]) {
            keep |= only(register);
        }
        self.registers.pinned = keep;
        let inputs = [op.b - self.first_op, op.c - self.first_op];
        let mut registers: [Register; 2] = [0; 2];
        for (number, &input) in inputs.iter().enumerate() {
            let allowed = self.allowed(family.allowed[1 + number], input) & self.allocatable;
            registers[number] = self.bring(input, allowed)?;
            keep |= only(registers[number]);
        }
        self.observe_uses(value, &inputs, &registers);
        self.advance(value, 1, inputs[0]);
        self.advance(value, 2, inputs[1]);
        for input in compared.chain(inputs) {
            self.release_if_dead(input);
        }
        self.registers.pinned = 0;
        let allowed = self.allowed(family.allowed[0], value) & self.allocatable;
        let open = self.free() & allowed;
        let to = match self.hinted_register(value) {
            _ if open == 0 => self.free_for_result(allowed, keep)?,
            Some(hint) if open & only(hint) != 0 => hint,
            _ if open & only(registers[0]) != 0 => registers[0],
            _ if open & only(registers[1]) != 0 => registers[1],
            _ => self.choose(open),
        };
        let bits = match condition.low {
            Some(LowTest::Bits { mask, .. }) => Some(i64::from(mask as i8)),
            _ => None,
        };
        let (compare, immediate) = match bits.or(condition.immediate) {
            Some(immediate) => (choice.compare[1], immediate),
            // A comparison with zero has one operand.
            None if condition.inputs[1] == NONE => (choice.compare[1], 0),
            None => (choice.compare[0], 0),
        };
        let operands = if choice.swapped { [b, a] } else { [a, b] };
        self.machine(compare, [operands[0], operands[1], 0, 0], immediate)?;
        self.form(form, [to, registers[0], registers[1], 0], 0)?;
        self.define(value, to);
        Ok(())
    }
}
