//! What makes the rounds of loops short.
//!
//! A loop whose head is nothing but its test, or begins with a guard, is tested again where it comes round: one jump a round, back to the body,
//! instead of two. What a parameter of the head becomes is made in the parameter's register where that is not needed any
//! longer in this round, even if code behind the loop uses the parameter.
//!
//! Takes what the analysis marked and what the branch at a head emitted; promises the same outcome. Constant time each.

use super::lower::Condition;
use super::workspace::{
    BLOCK_FLAGS, BLOCK_LABEL, BLOCK_LOOP, BLOCK_POSITION, BLOCK_TEST_FORM, BLOCK_TEST_IMMEDIATE,
    BLOCK_TEST_REGISTERS, BLOCK_TEST_TARGET, BLOCK_TESTS, END, INFO, INFO_HINT_SHIFT, LOOP_END,
    LOOP_HEAD, LOOP_WORDS,
};
use super::{FunctionCompiler, Observer};
use crate::ir::{Edge, NONE, Op};
use crate::ops::Shape;
use crate::patch::{Fault, Label};
use crate::stencil::Form;

impl<O: Observer> FunctionCompiler<'_, '_, O> {
    /// Compiles an op whose value succeeds a parameter: the parameter ends at the op, before the value is made. Behind the
    /// op it ends where it does in truth.
    #[inline(never)]
    pub(super) fn lower_successor(&mut self, value: u32, op: &Op) -> Result<(), Fault> {
        let shape = op.code.info().shape;
        if !matches!(
            shape,
            Shape::Unary
                | Shape::Binary
                | Shape::Tag
                | Shape::Load
                | Shape::SlotGet
                | Shape::Select
        ) {
            return self.lower_other(value, op);
        }
        let parameter = self.word(value, INFO) >> INFO_HINT_SHIFT;
        let end = &mut self.workspace.values[parameter as usize][END];
        let truth = core::mem::replace(end, self.now);
        if ![op.a, op.b, op.c].contains(&(parameter + self.first_op)) && shape != Shape::Select {
            self.release_if_dead(parameter);
        }
        self.lower_other(value, op)?;
        self.workspace.values[parameter as usize][END] = truth;
        Ok(())
    }

    /// The loop whose head the block at hand is, if nothing of the block has been emitted yet.
    fn fresh_loop(&self) -> Option<&[u32; LOOP_WORDS]> {
        let record = &self.workspace.blocks[self.block as usize];
        let innermost = record[BLOCK_LOOP];
        if innermost == NONE || Label(record[BLOCK_LABEL]).offset() != Some(self.patcher.offset()) {
            return None;
        }
        let round = &self.workspace.loops[innermost as usize];
        (round[LOOP_HEAD] == self.position_in_order).then_some(round)
    }

    /// Whether a loop begins with the guard whose condition has just been prepared.
    pub(super) fn begins_with_guard(&self) -> bool {
        self.fresh_loop().is_some()
    }

    /// Whether a loop begins with the branch whose condition has just been prepared, and one way out of it leads on and
    /// the other one out. Then says whether the first one leads on.
    pub(super) fn begins_with_test(&self, yes: Edge, no: Edge) -> Option<bool> {
        let round = self.fresh_loop()?;
        let leads_on = |edge: Edge| {
            let target = &self.workspace.blocks[(edge.block - self.first_block) as usize];
            (round[LOOP_HEAD]..=round[LOOP_END]).contains(&target[BLOCK_POSITION])
        };
        (leads_on(yes) != leads_on(no)).then(|| leads_on(yes))
    }

    /// A label for the offset of the next byte, bound.
    pub(super) fn here(&self) -> u32 {
        Label::at(self.patcher.offset()).0
    }

    /// Remembers how the test of the head at hand is made again: it jumps if the condition is this, to a place in the
    /// code or to a block.
    pub(super) fn remember_test(&mut self, condition: &Condition, taken_if: bool, target: u32) {
        let (form, immediate) = condition.jump(taken_if);
        let Ok(immediate) = i32::try_from(immediate) else {
            return;
        };
        let [first, second, ..] = condition.registers;
        let record = &mut self.workspace.blocks[self.block as usize];
        record[BLOCK_FLAGS] |= BLOCK_TESTS;
        record[BLOCK_TEST_FORM] = form.0.into();
        record[BLOCK_TEST_REGISTERS] = first | second << 8;
        record[BLOCK_TEST_IMMEDIATE] = immediate as u32;
        record[BLOCK_TEST_TARGET] = target;
    }

    /// Emits the test of a loop's head again where the loop comes round; what is behind it goes to the head.
    pub(super) fn repeat_test(&mut self, head: usize) -> Result<(), Fault> {
        let record = &self.workspace.blocks[head];
        let form = Form(record[BLOCK_TEST_FORM] as u16);
        let registers = record[BLOCK_TEST_REGISTERS];
        let immediate = record[BLOCK_TEST_IMMEDIATE] as i32;
        let target = record[BLOCK_TEST_TARGET];
        let registers = [registers & 0xff, registers >> 8, 0, 0];
        let holes = self.uniform(form, registers, immediate.into())?;
        let mut label = Label(target);
        if label.offset().is_some() {
            return self.patcher.link(holes, &mut label);
        }
        self.link_to_block(holes, target + self.first_block)
    }
}
