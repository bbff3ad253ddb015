//! The ends of blocks: jumps, branches, jump tables, returns.
//!
//! A branch is one jump past the code of the edge that comes next: an edge that needs moves gets them there, an edge
//! that needs none is jumped to directly, and the block that stands next is fallen into.

use super::allocate::{INTS, each, only};
use super::leave::CASE_BLOCK;
use super::workspace::{BLOCK_FLAGS, BLOCK_LANDS, BLOCK_POSITION, INFO, INFO_FLOAT};
use super::{Event, FunctionCompiler, Observer};
use crate::error::{Feature, Part};
use crate::ir::{Edge, Op};
use crate::ops::Opcode;
use crate::patch::{Fault, Holes, Label, internal, unsupported};
use crate::stencil::{Form, FormKind, Machine};

impl<O: Observer> FunctionCompiler<'_, '_, O> {
    /// Compiles a block's terminator.
    pub(super) fn terminate(&mut self, value: u32, op: &Op) -> Result<(), Fault> {
        self.registers.pinned = 0;
        self.falls_through = true;
        match op.code {
            Opcode::Jump => {
                let edge = self.program.edge(op.b);
                self.plan(edge, 0)?;
                self.finish_edge(edge, 0)
            }
            Opcode::Branch => self.branch(value, op),
            Opcode::Switch => self.switch(value, op),
            Opcode::Return => self.return_values(op),
            Opcode::Exit => {
                let holes = self.machine(Machine::Jump, [0; 4], 0)?;
                self.leave_from(holes, op.c, value)
            }
            Opcode::ReturnCall => self.return_call(op),
            _ => Err(internal(Part::Select, line!())),
        }
    }

    pub(super) fn is_next(&self, block: u32) -> bool {
        let target = (block - self.first_block) as usize;
        self.workspace.blocks[target][BLOCK_POSITION] == self.position_in_order + 1
    }

    fn branch(&mut self, value: u32, op: &Op) -> Result<(), Fault> {
        let (yes, no) = (self.program.edge(op.b), self.program.edge(op.c));
        let condition = self.prepare_condition(value, op.a)?;
        self.plan(yes, 0)?;
        self.plan(no, 1)?;
        let (yes_is_free, no_is_free) = (
            self.tables.plans[0].is_empty(),
            self.tables.plans[1].is_empty(),
        );
        let leads_on = self.begins_with_test(yes, no);
        if yes_is_free && !(no_is_free && self.is_next(yes.block)) {
            let holes = self.jump_on(&condition, true)?;
            self.direct_edge(holes, yes)?;
            match leads_on {
                Some(true) => self.remember_test(&condition, true, yes.block - self.first_block),
                Some(false) => self.remember_test(&condition, false, self.here()),
                None => {}
            }
            return self.finish_edge(no, 1);
        }
        // A way back is taken more often than one that leaves the loop, and takes one jump if it comes first.
        let no_first = !yes_is_free
            && !no_is_free
            && leads_on.is_none()
            && self.goes_back(no)
            && !self.goes_back(yes);
        let holes = self.jump_on(&condition, no_first)?;
        let mut otherwise = Label::UNUSED;
        if no_is_free {
            self.direct_edge(holes, no)?;
        } else {
            self.patcher.link(holes, &mut otherwise)?;
        }
        // Linking may have added a jump that reaches farther, so only now is it known where the code goes on.
        if leads_on == Some(true) {
            self.remember_test(&condition, true, self.here());
        }
        if no_is_free {
            if leads_on == Some(false) {
                self.remember_test(&condition, false, no.block - self.first_block);
            }
            return self.finish_edge(yes, 0);
        }
        let [first, second] = match no_first {
            true => [(no, 1), (yes, 0)],
            false => [(yes, 0), (no, 1)],
        };
        self.falls_through = false;
        self.finish_edge(first.0, first.1)?;
        self.patcher.bind(&mut otherwise)?;
        if leads_on == Some(false) {
            self.remember_test(&condition, false, self.here());
        }
        self.falls_through = true;
        self.finish_edge(second.0, second.1)
    }

    /// Whether an edge leads to this block or one before it.
    fn goes_back(&self, edge: Edge) -> bool {
        let target = (edge.block - self.first_block) as usize;
        self.workspace.blocks[target][BLOCK_POSITION] <= self.position_in_order
    }

    /// An edge without moves that a jump takes.
    fn direct_edge(&mut self, holes: Holes, edge: Edge) -> Result<(), Fault> {
        self.observe(Event::Edge { at: edge.at });
        self.observe(Event::EdgeEnd);
        self.link_to_block(holes, edge.block)
    }

    fn switch(&mut self, value: u32, op: &Op) -> Result<(), Fault> {
        let cases = self.program.list(op.b);
        let default = self.program.extra[op.b as usize + 1 + cases.len()];
        let default = self.program.edge(default);
        let anything = INTS & self.allocatable;
        let index = op.a - self.first_op;
        let register = self.bring(index, anything)?;
        let temporary = self.obtain(anything & !only(register))?;
        self.observe(Event::Use {
            op: value + self.first_op,
            register,
            value: self.value_name(index),
        });
        self.observe(Event::Clobber {
            set: only(temporary),
        });
        self.registers.pinned = 0;
        let count = cases.len() as i64;
        let form = Form::op(Opcode::I32GeU, FormKind::JumpImmediate);
        let out_of_range = self.uniform(form, [register, 0, 0, 0], count)?;
        let out_of_range = self.patcher.extended(out_of_range)?;
        if count > 0 {
            let mut table = Label::UNUSED;
            let machine = self.patcher.jump_table();
            let holes = self.machine(machine, [temporary, register, 0, 0], 0)?;
            self.patcher.link(holes, &mut table)?;
            self.falls_through = false;
            for &at in cases.iter().rev() {
                let landing = self.land_case(self.program.edge(at))?;
                self.patcher.push_tail(landing)?;
            }
            self.push_table(table, cases.len() as u32)?;
        }
        self.plan(default, 0)?;
        if self.tables.plans[0].is_empty() {
            return self.direct_edge(out_of_range, default);
        }
        let mut otherwise = Label::UNUSED;
        self.patcher.link(out_of_range, &mut otherwise)?;
        self.patcher.bind(&mut otherwise)?;
        self.falls_through = true;
        self.finish_edge(default, 0)
    }

    /// Where a jump table's case goes: to its block itself, if that is still to come and the edge needs no code, else to
    /// code of the edge. Gives what the table's record says.
    fn land_case(&mut self, edge: Edge) -> Result<u32, Fault> {
        self.plan(edge, 0)?;
        let target = edge.block - self.first_block;
        let record = &mut self.workspace.blocks[target as usize];
        if self.tables.plans[0].is_empty() && record[BLOCK_POSITION] > self.position_in_order {
            record[BLOCK_FLAGS] |= BLOCK_LANDS;
            self.observe(Event::Edge { at: edge.at });
            self.observe(Event::EdgeEnd);
            return Ok(CASE_BLOCK | target);
        }
        self.patcher.settle(1)?;
        let landing = self.patcher.offset();
        self.machine(Machine::Landing, [0; 4], 0)?;
        self.finish_edge(edge, 0)?;
        Ok(landing)
    }

    /// Moves values to where the convention wants them; the state is not used afterwards.
    pub(super) fn move_arguments(&mut self, arguments: &[u32]) -> Result<(), Fault> {
        let mut targets = 0;
        let mut there = 0;
        let (mut ints, mut floats) = (0, 0);
        for &argument in arguments {
            let value = argument - self.first_op;
            let float = self.word(value, INFO) & INFO_FLOAT != 0;
            let register = self
                .argument_register(float, &mut ints, &mut floats)
                .ok_or(unsupported(Feature::Arguments))?;
            there |= only(register);
            if self.register_of(value) != register {
                targets |= only(register);
                self.tables.plans[0].source[register as usize] = value;
            }
        }
        self.emit_register_moves(targets, 0)?;
        if O::ACTIVE {
            let (mut ints, mut floats) = (0, 0);
            for (&argument, _) in arguments.iter().zip(each(there)) {
                let value = argument - self.first_op;
                let float = self.word(value, INFO) & INFO_FLOAT != 0;
                if let Some(register) = self.argument_register(float, &mut ints, &mut floats) {
                    let value = self.value_name(value);
                    self.observe(Event::Use {
                        op: self.current_op,
                        register,
                        value,
                    });
                }
            }
        }
        Ok(())
    }

    fn return_values(&mut self, op: &Op) -> Result<(), Fault> {
        self.move_arguments(self.program.list(op.b))?;
        self.leave_frame(Machine::Return)
    }

    fn return_call(&mut self, op: &Op) -> Result<(), Fault> {
        self.move_arguments(self.program.list(op.b))?;
        self.leave_frame(Machine::FrameLeave)?;
        let holes = self.machine(Machine::Jump, [0; 4], 0)?;
        self.link_to_function(holes, op.a)
    }

    /// The register in which the next argument of a bank travels.
    #[inline]
    pub(super) fn argument_register(
        &self,
        float: bool,
        ints: &mut usize,
        floats: &mut usize,
    ) -> Option<u32> {
        let file = &self.set.registers;
        if float {
            let register = file.float_arguments.get(*floats)?;
            *floats += 1;
            Some(32 + u32::from(*register))
        } else {
            let register = file.int_arguments.get(*ints)?;
            *ints += 1;
            Some(u32::from(*register))
        }
    }
}
