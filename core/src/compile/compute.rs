//! From operands to a result: the registers that a form reads and writes.
//!
//! Takes a family and the values that it computes with; promises that each operand is in a register which the family
//! allows, that nothing alive is lost to what it clobbers, and that the result has a register of its own. The common
//! case, in which nothing needs to move, has a short path; both make the same promises.

use super::allocate::{INTS, Register, choose, only};
use super::lower::Scalar;
use super::workspace::{
    END, INFO_FLOAT, INFO_HINT_PARAMETER, INFO_HINT_SHIFT, INFO_HINTED, LOCATION, NEXT, NEXT_USE,
    NO_REGISTER, PARAMETER_REGISTER, START,
};
use super::{Event, FunctionCompiler, Observer};
use crate::error::Part;
use crate::ir::NONE;
use crate::patch::{Fault, Holes, internal};
use crate::stencil::{ABSENT, Family, MAX_OPERANDS};

impl<O: Observer> FunctionCompiler<'_, '_, O> {
    /// The common case of [`Self::compute`]: operands that are in registers which suit, a free register for the result,
    /// nothing else to move. Emits nothing and says so in any other case.
    #[inline(always)]
    pub(super) fn compute_simply(
        &mut self,
        value: u32,
        scalar: &Scalar,
        family: &'static Family,
    ) -> Result<bool, Fault> {
        let (first, second) = (scalar.first, scalar.second);
        let Some(registers) = self.assign_simply(value, first, second, family) else {
            return Ok(false);
        };
        if self.knows_next_uses {
            self.advance(value, usize::from(scalar.swapped), first);
            if scalar.has_second {
                self.advance(value, 1, second);
            }
        }
        let [to, a, b] = registers.map(Register::from);
        let registers = [to, a, b, 0];
        self.observe_uses(value, &scalar.inputs()[..scalar.count()], &registers[1..]);
        // The code does not depend on a register for an operand that the family does not have.
        self.family(family, registers, scalar.immediate)?;
        self.observe(Event::Define {
            register: to,
            value: self.value_name(value),
        });
        Ok(true)
    }

    /// Assigns registers in that case: of the result and of both operands. A function of its own, so that it has the
    /// machine's registers for itself; what it gives fits in one of them.
    #[inline(never)]
    fn assign_simply(
        &mut self,
        value: u32,
        first: u32,
        second: u32,
        family: &Family,
    ) -> Option<[u8; 3]> {
        let values = &mut *self.workspace.values;
        let occupied = self.registers.occupied;
        if family.hazards.0 & occupied != 0 {
            return None;
        }
        let [_, end, _, location, ..] = values[first as usize];
        let a = location & 0xff;
        let [_, second_end, _, location, ..] = values[second as usize];
        let b = location & 0xff;
        // No register's number is as high as that of none.
        let suit = family.allowed[1] >> (a & 31) & family.allowed[2] >> (b & 31) & 1;
        if suit == 0 || a | b == NO_REGISTER {
            return None;
        }
        let dead =
            u64::from(end <= self.now) << (a & 63) | u64::from(second_end <= self.now) << (b & 63);
        let closed = occupied & !dead;
        let [.., place, info, _, _, _] = values[value as usize];
        let bank = if info & INFO_FLOAT != 0 { 32 } else { 0 };
        let mut open = u64::from(family.allowed[0]) << bank & self.allocatable & !closed;
        if family.distinct != 0 {
            let distinct = u64::from(family.distinct);
            open &= !((distinct >> 1 & 1) << (a & 63) | (distinct >> 2 & 1) << (b & 63));
        }
        if open == 0 {
            return None;
        }
        let hint = match info & INFO_HINTED {
            0 => NO_REGISTER,
            _ if info & INFO_HINT_PARAMETER == 0 => info >> INFO_HINT_SHIFT,
            _ => values[(info >> INFO_HINT_SHIFT) as usize][PARAMETER_REGISTER],
        };
        let to = if hint < 64 && open & only(hint) != 0 {
            hint
        } else if open & only(a) != 0 {
            a
        } else if open & only(b) != 0 {
            b
        } else {
            choose(open, self.preferred)
        };
        // What dies here is in no register from here on.
        if end <= self.now {
            values[first as usize][LOCATION] |= NO_REGISTER;
        }
        if second_end <= self.now {
            values[second as usize][LOCATION] |= NO_REGISTER;
        }
        values[value as usize][LOCATION] = place & !0xff | to;
        self.registers.occupied = closed | only(to);
        self.registers.valid &= !only(to);
        self.tables.value[(to & 63) as usize] = value;
        Some([to as u8, a as u8, b as u8])
    }

    /// Emits a form with value operands in registers and its result in a register, and updates the state.
    ///
    /// The operands stand in the form from operand 1 on.
    pub(super) fn compute(
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
    pub(super) fn bring_inputs(
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
    pub(super) fn free_for_result(&mut self, allowed: u64, keep: u64) -> Result<Register, Fault> {
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
    pub(super) fn allowed(&self, numbers: u32, value: u32) -> u64 {
        if self.bank(value) == INTS {
            u64::from(numbers)
        } else {
            u64::from(numbers) << 32
        }
    }

    /// Moves what lives on out of registers that a template overwrites.
    pub(super) fn free_clobbered(&mut self, clobbers: u64) -> Result<(), Fault> {
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
        if self.knows_next_uses {
            let next = self.word(user, NEXT + operand);
            self.workspace.values[value as usize][NEXT_USE] = next;
        }
    }

    pub(super) fn observe_uses(&mut self, user: u32, inputs: &[u32], registers: &[Register]) {
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

    /// Frees registers of values that only the op's own exit still named, if it has one.
    pub(super) fn release_late(&mut self, exit: u32) {
        if exit == NONE {
            return;
        }
        let program = self.program;
        for pair in program
            .snapshot(&program.exits[exit as usize])
            .chunks_exact(2)
        {
            let value = pair[1] - self.first_op;
            if self.word(value, END) <= self.now + 1 {
                let register = self.register_of(value);
                if register != NO_REGISTER {
                    self.vacate(register);
                }
            }
        }
    }
}
