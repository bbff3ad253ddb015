//! Registers and spill slots: who is where, and how an operand gets to where a template wants it.
//!
//! The walk goes forward through the layout, with one value at most in a register and one register at most for a
//! value. Promises, at every point: a live value is in a register, or in its spill slot, or can be made again.
//! Where a register must be freed, the value whose next use is farthest goes: to another register if one is free, else
//! to its spill slot unless it is there already. A spill slot is never written with anything else while its
//! value lives, so a value stored once stays stored. Costs constant time for each operand, and a scan of one bank's
//! registers where something must go.

use super::side::INHERITED;
use super::workspace::{
    END, INFO, INFO_FLOAT, INFO_HINT_PARAMETER, INFO_HINT_SHIFT, INFO_HINTED, INFO_REMATERIALIZED,
    LOCATION, NEXT_USE, NO_REGISTER, PARAMETER_REGISTER, size_anchor,
};
use super::{Event, FunctionCompiler, Location, Observer};
use crate::error::{Feature, Part};
use crate::ir::NONE;
use crate::ops::Opcode;
use crate::patch::{Fault, internal, unsupported};
use crate::stencil::{Form, FormKind, Machine};

/// A register of either bank: integer registers from 0, float registers from 32.
pub(super) type Register = u32;

/// All integer registers.
pub(super) const INTS: u64 = 0xffff_ffff;
/// All float registers.
pub(super) const FLOATS: u64 = !INTS;

/// Only this register.
#[inline]
pub(super) fn only(register: Register) -> u64 {
    1 << (register & 63)
}

/// The registers of a set, from the lowest.
pub(super) fn each(mut set: u64) -> impl Iterator<Item = Register> {
    core::iter::from_fn(move || {
        if set == 0 {
            return None;
        }
        let register = set.trailing_zeros();
        set &= set - 1;
        Some(register)
    })
}

/// One of a set of registers, one of the preferred ones if there is any.
#[inline(always)]
pub(super) fn choose(set: u64, preferred: u64) -> Register {
    let set = match set & preferred {
        0 => set,
        preferred => preferred,
    };
    if set & INTS != 0 {
        31 - ((set & INTS) as u32).leading_zeros()
    } else {
        set.trailing_zeros()
    }
}

/// Which registers hold something. The values stand in [`Tables::value`](super::Tables).
#[derive(Clone, Copy)]
pub(super) struct Registers {
    /// Registers that hold a value.
    pub occupied: u64,
    /// Those of them whose value is in its spill slot too, or can be made again.
    pub valid: u64,
    /// Registers that the op at hand reads or writes.
    pub pinned: u64,
}

impl Registers {
    /// All free.
    pub const EMPTY: Registers = Registers {
        occupied: 0,
        valid: 0,
        pinned: 0,
    };
}

impl<O: Observer> FunctionCompiler<'_, '_, O> {
    #[inline]
    pub(super) fn word(&self, value: u32, field: usize) -> u32 {
        self.workspace.values[value as usize][field]
    }

    /// The register that holds a value, or [`NO_REGISTER`].
    #[inline]
    pub(super) fn register_of(&self, value: u32) -> Register {
        self.word(value, LOCATION) & 0xff
    }

    #[inline]
    pub(super) fn set_register(&mut self, value: u32, register: Register) {
        let location = &mut self.workspace.values[value as usize][LOCATION];
        *location = *location & !0xff | register;
    }

    #[inline]
    pub(super) fn is_rematerialized(&self, value: u32) -> bool {
        self.word(value, INFO) & INFO_REMATERIALIZED != 0
    }

    /// All registers of the value's bank.
    #[inline]
    pub(super) fn bank(&self, value: u32) -> u64 {
        if self.word(value, INFO) & INFO_FLOAT != 0 {
            FLOATS
        } else {
            INTS
        }
    }

    /// The spill slot of a value, which it gets when it is first asked for.
    pub(super) fn slot_of(&mut self, value: u32) -> Result<u32, Fault> {
        let location = self.word(value, LOCATION);
        if location >> 8 != 0 {
            return Ok((location >> 8) - 1);
        }
        let end = self.word(value, END);
        let mut slot = self.slot_count;
        // A few slots are tried for one whose owner is dead at this place; the rest is left for other times.
        for _ in 0..8.min(self.slot_count) {
            self.slot_cursor = if self.slot_cursor + 1 < self.slot_count {
                self.slot_cursor + 1
            } else {
                0
            };
            if self.workspace.slots[self.slot_cursor as usize] < self.now {
                slot = self.slot_cursor;
                break;
            }
        }
        if slot == self.slot_count {
            self.slot_count += 1;
        }
        if slot >= INHERITED {
            return Err(unsupported(Feature::FrameSize));
        }
        *self
            .workspace
            .slots
            .get_mut(slot as usize)
            .ok_or(internal(Part::Allocate, line!()))? = end;
        self.workspace.values[value as usize][LOCATION] = (slot + 1) << 8 | location & 0xff;
        self.observe(Event::SpillSlot {
            value: self.value_name(value),
            slot,
        });
        Ok(slot)
    }

    /// Where a spill slot is, from the stack pointer.
    #[inline]
    pub(super) fn slot_offset(&self, slot: u32) -> i64 {
        i64::from(self.outgoing_words + slot) * 8
    }

    /// Whether the value's spill slot holds it at this place, or it needs none.
    #[inline]
    pub(super) fn is_safe(&self, value: u32) -> bool {
        let register = self.register_of(value);
        register == NO_REGISTER || self.registers.valid & only(register) != 0
    }

    /// Puts a value that is in a register into its spill slot, unless it is there.
    pub(super) fn save(&mut self, value: u32) -> Result<(), Fault> {
        let register = self.register_of(value);
        if register == NO_REGISTER || self.registers.valid & only(register) != 0 {
            return Ok(());
        }
        self.store_slot(register, value)?;
        self.registers.valid |= only(register);
        Ok(())
    }

    /// Emits the store of a value's register to its spill slot.
    pub(super) fn store_slot(&mut self, register: Register, value: u32) -> Result<(), Fault> {
        let slot = self.slot_of(value)?;
        self.frame_store(register, self.slot_offset(slot))?;
        self.observe(Event::Copy {
            to: Location::Slot(slot),
            from: Location::Register(register),
        });
        Ok(())
    }

    pub(super) fn frame_store(&mut self, register: Register, at: i64) -> Result<(), Fault> {
        let machine = if register >= 32 {
            Machine::FrameStoreFloat
        } else {
            Machine::FrameStoreInt
        };
        self.machine(machine, [register, 0, 0, 0], at)?;
        Ok(())
    }

    pub(super) fn frame_load(&mut self, register: Register, at: i64) -> Result<(), Fault> {
        let machine = if register >= 32 {
            Machine::FrameLoadFloat
        } else {
            Machine::FrameLoadInt
        };
        self.machine(machine, [register, 0, 0, 0], at)?;
        Ok(())
    }

    /// Emits a copy between two registers of a bank.
    pub(super) fn copy(&mut self, to: Register, from: Register) -> Result<(), Fault> {
        let machine = if to >= 32 {
            Machine::MoveFloat
        } else {
            Machine::MoveInt
        };
        self.machine(machine, [to, from, 0, 0], 0)?;
        self.observe(Event::Copy {
            to: Location::Register(to),
            from: Location::Register(from),
        });
        Ok(())
    }

    /// Emits code that brings a value into a register from its spill slot, or makes it again.
    pub(super) fn fetch(&mut self, to: Register, value: u32) -> Result<(), Fault> {
        if self.is_rematerialized(value) {
            self.rematerialize(to, value)?;
            self.observe(Event::Make {
                to,
                value: self.value_name(value),
            });
            return Ok(());
        }
        let location = self.word(value, LOCATION);
        let slot = (location >> 8)
            .checked_sub(1)
            .ok_or(internal(Part::Allocate, line!()))?;
        if slot >= INHERITED {
            self.load_inherited(to, value)?;
        } else {
            self.frame_load(to, self.slot_offset(slot))?;
        }
        self.observe(Event::Copy {
            to: Location::Register(to),
            from: Location::Slot(slot),
        });
        Ok(())
    }

    /// Emits code that makes a constant or an anchor.
    fn rematerialize(&mut self, to: Register, value: u32) -> Result<(), Fault> {
        if value >= self.op_count {
            let at = self.offset_of_anchor(value);
            return self.load_context(to, at);
        }
        let op = self.program.ops[(value + self.first_op) as usize];
        let bits = self.constant_bits(value + self.first_op).unwrap_or(0);
        match op.code {
            Opcode::F32Const | Opcode::F64Const if bits == 0 && !self.has_above(op.result()) => {
                self.machine(Machine::ConstFloatZero, [to, 0, 0, 0], 0)?;
            }
            Opcode::F32Const => {
                self.make_integer(self.int_scratch, bits)?;
                let form = Form::op(Opcode::F32ReinterpretI32, FormKind::Registers);
                self.form(form, [to, self.int_scratch, 0, 0], 0)?;
            }
            Opcode::F64Const => {
                self.make_integer(self.int_scratch, bits)?;
                let form = Form::op(Opcode::F64ReinterpretI64, FormKind::Registers);
                self.form(form, [to, self.int_scratch, 0, 0], 0)?;
            }
            _ => self.make_integer(to, bits)?,
        }
        Ok(())
    }

    /// Emits the shortest code that puts these bits into an integer register.
    pub(super) fn make_integer(&mut self, to: Register, bits: u64) -> Result<(), Fault> {
        let machine = if bits == 0 {
            Machine::ConstZero
        } else if u32::try_from(bits).is_ok() {
            Machine::ConstUnsigned32
        } else if i64::from(bits as i32) == bits as i64 {
            Machine::ConstSigned32
        } else {
            Machine::Const64
        };
        self.machine(machine, [to, 0, 0, 0], bits as i64)?;
        Ok(())
    }

    /// Binds a value to a free register.
    #[inline]
    pub(super) fn occupy(&mut self, register: Register, value: u32, valid: bool) {
        self.tables.value[register as usize] = value;
        self.registers.occupied |= only(register);
        if valid {
            self.registers.valid |= only(register);
        } else {
            self.registers.valid &= !only(register);
        }
        self.set_register(value, register);
    }

    /// Frees a register; its value is elsewhere, or dead.
    #[inline]
    pub(super) fn vacate(&mut self, register: Register) {
        let value = self.tables.value[register as usize];
        self.registers.occupied &= !only(register);
        self.set_register(value, NO_REGISTER);
    }

    /// The registers that values may have and that are free now.
    #[inline]
    pub(super) fn free(&self) -> u64 {
        self.allocatable & !self.registers.occupied & !self.registers.pinned
    }

    /// One of a set of registers, by what suits the loop that is being compiled.
    #[inline]
    pub(super) fn choose(&self, set: u64) -> Register {
        choose(set, self.preferred)
    }

    /// Frees one register of a set by the farthest next use; none of them may be pinned.
    fn evict_one(&mut self, allowed: u64) -> Result<Register, Fault> {
        self.need_next_uses();
        let mut farthest = (0, NONE);
        for register in each(allowed & self.registers.occupied & !self.registers.pinned) {
            let value = self.tables.value[register as usize];
            let record = &self.workspace.values[value as usize];
            let next = if record[END] < self.now {
                NONE
            } else if record[NEXT_USE] < self.now {
                record[END]
            } else {
                record[NEXT_USE]
            };
            // What costs no store to let go of goes first among equals.
            let rank =
                next.saturating_mul(2) | u32::from(self.registers.valid >> register & 1 != 0);
            if farthest.1 == NONE || rank > farthest.0 {
                farthest = (rank, register);
            }
        }
        if farthest.1 == NONE {
            return Err(internal(Part::Allocate, line!()));
        }
        self.evict(farthest.1, 0)?;
        Ok(farthest.1)
    }

    /// Frees a register: its value goes to a free register outside `avoid`, else to memory.
    pub(super) fn evict(&mut self, register: Register, avoid: u64) -> Result<(), Fault> {
        if self.registers.occupied & only(register) == 0 {
            return Ok(());
        }
        let value = self.tables.value[register as usize];
        if self.word(value, END) < self.now {
            // Its last use was an op without effect. Its spill slot may serve another value by now.
            self.vacate(register);
            return Ok(());
        }
        let elsewhere = self.free() & self.bank(value) & !avoid & !only(register);
        let valid = self.registers.valid & only(register) != 0;
        if elsewhere != 0 && !self.is_rematerialized(value) {
            let to = self.choose(elsewhere);
            self.copy(to, register)?;
            self.vacate(register);
            self.occupy(to, value, valid);
            return Ok(());
        }
        self.save(value)?;
        self.vacate(register);
        Ok(())
    }

    /// A free register of a set, freed if need be. The set must have a register that is not pinned.
    pub(super) fn obtain(&mut self, allowed: u64) -> Result<Register, Fault> {
        let free = self.free() & allowed;
        if free != 0 {
            return Ok(self.choose(free));
        }
        self.evict_one(allowed & self.allocatable)
    }

    /// Brings a value into a register of a set for the op at hand, and pins the register.
    #[inline]
    pub(super) fn bring(&mut self, value: u32, allowed: u64) -> Result<Register, Fault> {
        let register = self.register_of(value);
        if register != NO_REGISTER && allowed & only(register) != 0 {
            self.registers.pinned |= only(register);
            return Ok(register);
        }
        self.bring_elsewhere(value, allowed, register)
    }

    fn bring_elsewhere(
        &mut self,
        value: u32,
        allowed: u64,
        register: Register,
    ) -> Result<Register, Fault> {
        if register == NO_REGISTER {
            let to = self.obtain(allowed & self.bank(value))?;
            self.fetch(to, value)?;
            self.occupy(to, value, true);
            self.registers.pinned |= only(to);
            return Ok(to);
        }
        let was_pinned = self.registers.pinned & only(register) != 0;
        self.registers.pinned |= only(register);
        let to = self.obtain(allowed)?;
        self.copy(to, register)?;
        self.registers.pinned |= only(to);
        if !was_pinned {
            // The value moves; where another operand of the op reads the old register, it stays and the copy
            // serves this operand only.
            let valid = self.registers.valid & only(register) != 0;
            self.registers.pinned &= !only(register);
            self.vacate(register);
            self.occupy(to, value, valid);
        }
        Ok(to)
    }

    /// Frees the register of a value that is not needed after this op's operands are read.
    #[inline]
    pub(super) fn release_if_dead(&mut self, value: u32) {
        if self.word(value, END) <= self.now {
            let register = self.register_of(value);
            if register != NO_REGISTER {
                self.vacate(register);
            }
        }
    }

    /// The register that a value would best be defined in, if its hint says so and it is free.
    #[inline]
    pub(super) fn hinted_register(&self, value: u32) -> Option<Register> {
        let info = self.word(value, INFO);
        if info & INFO_HINTED == 0 {
            return None;
        }
        let hint = info >> INFO_HINT_SHIFT;
        if info & INFO_HINT_PARAMETER == 0 {
            return Some(hint);
        }
        let register = self.word(hint, PARAMETER_REGISTER);
        (register < 64).then_some(register)
    }

    /// The anchor that holds where guest slots begin.
    #[inline]
    pub(super) fn slots_anchor(&self) -> u32 {
        self.op_count
    }

    /// The anchor that holds where a region begins.
    #[inline]
    pub(super) fn region_anchor(&self, region: usize) -> u32 {
        self.op_count + 1 + region as u32
    }

    /// The anchor that holds how long a region is that grows: in a register it holds what is so now, as calls, which may
    /// change it, leave it in none.
    #[inline]
    pub(super) fn size_anchor(&self, region: usize) -> u32 {
        size_anchor(self.program, self.op_count, region)
    }

    /// Whether a value is such an anchor.
    #[inline]
    pub(super) fn is_size(&self, value: u32) -> bool {
        let first = self.size_anchor(0);
        self.growing != 0 && value >= first && value - first < self.program.regions.len() as u32
    }
}
