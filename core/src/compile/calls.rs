//! Calls of functions of the program and of the host.
//!
//! A function of the program keeps no register: what lives across the call is in its spill slot, or made again. A host
//! function keeps what the platform's convention says, so values move to such registers while there are any; its
//! arguments and results stand in words at the stack pointer. References are in their spill slots at every point where
//! a collector may run.

use super::allocate::{INTS, Register, each, only};
use super::workspace::{END, INFO, INFO_REFERENCE, NO_REGISTER};
use super::{Event, FunctionCompiler, Location, Observer};
use crate::error::{Feature, Part};
use crate::ir::{NONE, Op};
use crate::ops::{Opcode, Shape};
use crate::patch::{Fault, Holes, Label, internal, unsupported};
use crate::runtime::offset;
use crate::stencil::{Form, FormKind, Machine};
use crate::types::Type;

impl<O: Observer> FunctionCompiler<'_, '_, O> {
    pub(super) fn lower_call(&mut self, value: u32, op: &Op) -> Result<(), Fault> {
        let program = self.program;
        let (arguments, signature) = match op.code.info().shape {
            Shape::CallIndirect => (program.list(op.b + 1), program.extra[op.b as usize]),
            _ => (
                program.list(op.b),
                program.functions[op.a as usize].signature,
            ),
        };
        let cell = match op.code {
            Opcode::CallIndirect => Some(self.find_cell(value, op, signature)?),
            _ => None,
        };
        self.save_all()?;
        self.move_arguments(arguments)?;
        match op.code {
            Opcode::Call => {
                let holes = self.machine(Machine::CallDirect, [0; 4], 0)?;
                self.link_to_function(holes, op.a)?;
            }
            Opcode::CallCell => {
                let scratch = self.int_scratch;
                self.load_context(scratch, offset::CELLS)?;
                let at = i64::from(op.a) * 16;
                self.machine(Machine::CallThrough, [scratch, 0, 0, 0], at)?;
            }
            _ => {
                let cell = cell.ok_or(internal(Part::Select, line!()))?;
                self.machine(Machine::CallThrough, [cell, 0, 0, 0], 0)?;
            }
        }
        self.observe_safepoint();
        for register in each(self.registers.occupied) {
            self.vacate(register);
        }
        self.registers.pinned = 0;
        self.observe(Event::Clobber {
            set: self.allocatable,
        });
        if op.c != NONE && (op.code != Opcode::Call || self.deoptimizes(op.a)) {
            let form = Form::op(Opcode::Branch, FormKind::Jump);
            let holes = self.form(form, [self.int_scratch, 0, 0, 0], 0)?;
            self.leave_from_call(holes, op.c, value)?;
        }
        self.release_late(op.c);
        let (mut ints, mut floats) = (0, 0);
        for (number, ty) in program.results(signature).iter().enumerate() {
            let register = self
                .argument_register(ty.is_float(), &mut ints, &mut floats)
                .ok_or(unsupported(Feature::Arguments))?;
            self.define(value + number as u32, register);
        }
        Ok(())
    }

    /// Checks the index of an indirect call; gives the register with the address of its cell.
    fn find_cell(&mut self, value: u32, op: &Op, signature: u32) -> Result<Register, Fault> {
        let index = op.a - self.first_op;
        let anything = INTS & self.allocatable;
        let register = self.bring(index, anything)?;
        self.observe(Event::Use {
            op: value + self.first_op,
            register,
            value: self.value_name(index),
        });
        let scratch = self.int_scratch;
        self.load_context(scratch, offset::CELL_COUNT)?;
        let form = Form::op(Opcode::I64GeU, FormKind::Jump);
        let holes = self.form(form, [register, scratch, 0, 0], 0)?;
        self.leave_from(holes, op.c, value)?;
        // The cell's address stays in a register that no argument travels in.
        let arguments = self.set.registers.int_arguments;
        let travelled = arguments
            .iter()
            .fold(0, |set, &number| set | only(number.into()));
        let call = Form::machine(Machine::CallThrough);
        let family = self.set.family(call).ok_or(unsupported(Feature::Op))?;
        let cell = self.obtain(anything & !travelled & u64::from(family.allowed[0]))?;
        self.registers.pinned |= only(cell);
        self.observe(Event::Clobber { set: only(cell) });
        let shift = Form::op(Opcode::I64Shl, FormKind::Immediate);
        self.form(shift, [cell, register, 0, 0], 4)?;
        self.load_context(scratch, offset::CELLS)?;
        let form = Form::machine(Machine::Address);
        self.form(form, [cell, scratch, cell, 0], 0)?;
        let load = Form::op(Opcode::I64RawLoad, FormKind::Immediate);
        self.form(load, [scratch, cell, 0, 0], 8)?;
        let form = Form::op(Opcode::I64Ne, FormKind::JumpImmediate);
        let holes = self.form(form, [scratch, 0, 0, 0], i64::from(signature))?;
        self.leave_from(holes, op.c, value)?;
        Ok(cell)
    }

    /// Puts every value that is needed after this op into its spill slot.
    fn save_all(&mut self) -> Result<(), Fault> {
        for register in each(self.registers.occupied & !self.registers.valid) {
            let value = self.tables.value[register as usize];
            if self.word(value, END) > self.now {
                self.save(value)?;
            }
        }
        Ok(())
    }

    pub(super) fn lower_host_call(&mut self, value: u32, op: &Op) -> Result<(), Fault> {
        let program = self.program;
        self.spill_references()?;
        let kept = self.preserved & self.allocatable;
        for register in each(self.registers.occupied & !kept) {
            let held = self.tables.value[register as usize];
            if self.word(held, END) > self.now && !self.is_size(held) {
                self.move_to(kept, register)?;
            }
        }
        for (word, &argument) in program.list(op.b).iter().enumerate() {
            let ty = program.ops[argument as usize].result();
            let argument = argument - self.first_op;
            self.pass_widened(argument, ty, word as u32)?;
        }
        self.machine(Machine::CallHost, [0; 4], i64::from(op.a) * 8)?;
        self.observe_safepoint();
        for register in each(self.registers.occupied) {
            let held = self.tables.value[register as usize];
            let ends = self.word(held, END) <= self.now || self.is_size(held);
            if kept & only(register) == 0 || ends {
                self.vacate(register);
            }
        }
        self.registers.pinned = 0;
        self.observe(Event::Clobber { set: !kept });
        let status = Register::from(self.set.registers.host_status);
        let form = Form::op(Opcode::Branch, FormKind::Jump);
        let holes = self.form(form, [status, 0, 0, 0], 0)?;
        if op.c == NONE {
            let mut label = Label(self.shared.host_failed);
            self.patcher.link(holes, &mut label)?;
        } else {
            self.leave_from(holes, op.c, value)?;
            self.release_late(op.c);
        }
        let signature = program.hosts[op.a as usize].signature;
        for number in 0..program.results(signature).len() as u32 {
            let result = value + number;
            if self.word(result, END) == self.now + 2 * number {
                continue;
            }
            let register = self.obtain(self.allocatable & self.bank(result))?;
            self.frame_load(register, i64::from(number) * 8)?;
            if register >= 32
                && self.has_above(program.ops[(result + self.first_op) as usize].result())
            {
                let scratch = self.int_scratch;
                let form = Form::op(Opcode::I32ReinterpretF32, FormKind::Registers);
                self.form(form, [scratch, register, 0, 0], 0)?;
                let form = Form::op(Opcode::F32ReinterpretI32, FormKind::Registers);
                self.form(form, [register, scratch, 0, 0], 0)?;
            }
            self.define(result, register);
        }
        Ok(())
    }

    /// Moves a value out of a register that the host does not keep.
    fn move_to(&mut self, kept: u64, register: Register) -> Result<(), Fault> {
        let value = self.tables.value[register as usize];
        let open = self.free() & kept & self.bank(value);
        if open == 0 || self.is_rematerialized(value) {
            self.save(value)?;
            self.vacate(register);
            return Ok(());
        }
        let valid = self.registers.valid & only(register) != 0;
        let to = self.choose(open);
        self.copy(to, register)?;
        self.vacate(register);
        self.occupy(to, value, valid);
        Ok(())
    }

    /// Writes a host function's argument as 64 bits, zero-extended.
    fn pass_widened(&mut self, value: u32, ty: Option<Type>, word: u32) -> Result<(), Fault> {
        let scratch = self.int_scratch;
        let register = self.register_of(value);
        let widen = match ty {
            Some(Type::I32) => Opcode::I64ExtendI32U,
            Some(Type::F32) => Opcode::I32ReinterpretF32,
            _ => return self.pass_to_memory(value, Location::Outgoing(word)),
        };
        if let Some(bits) = self.constant_bits(value + self.first_op) {
            self.make_integer(scratch, bits)?;
        } else if register != NO_REGISTER {
            self.observe(Event::Use {
                op: self.current_op,
                register,
                value: self.value_name(value),
            });
            self.form(
                Form::op(widen, FormKind::Registers),
                [scratch, register, 0, 0],
                0,
            )?;
        } else {
            // The low half of the spill slot, which holds the bits of either bank.
            self.fetch(scratch, value)?;
            self.observe(Event::Use {
                op: self.current_op,
                register: scratch,
                value: self.value_name(value),
            });
            let form = Form::op(Opcode::I64ExtendI32U, FormKind::Registers);
            self.form(form, [scratch, scratch, 0, 0], 0)?;
        }
        self.frame_store(scratch, i64::from(word) * 8)
    }

    /// Puts references into their spill slots and nowhere else: a collector may change them.
    pub(super) fn spill_references(&mut self) -> Result<(), Fault> {
        for register in each(self.registers.occupied) {
            let held = self.tables.value[register as usize];
            if self.word(held, INFO) & INFO_REFERENCE != 0 && self.word(held, END) > self.now {
                self.save(held)?;
                self.vacate(register);
            }
        }
        Ok(())
    }

    /// Makes the holes of a template lead to a function's body.
    pub(super) fn link_to_function(&mut self, holes: Holes, function: u32) -> Result<(), Fault> {
        let slot = self
            .bodies
            .get(function as usize)
            .ok_or(internal(Part::Select, line!()))?;
        let mut label = Label(*slot);
        self.patcher.link(holes, &mut label)?;
        self.bodies[function as usize] = label.0;
        Ok(())
    }
}
