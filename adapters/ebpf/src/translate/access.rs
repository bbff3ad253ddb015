//! Loads, stores and atomic instructions: from an address to an index in a region.
//!
//! Where it is known into which region an address leads, the access is one in that region, and traps where the address leads
//! elsewhere. Where nothing is known, the regions are tried one after another. Either way the address is worked out to the bit: a
//! pointer may lead before a region's begin on its way into it.

use patchjit::build::{Access, Value};
use patchjit::ops::Opcode;
use patchjit::types::Type;

use super::{Anchor, Register, Translator, region_id};
use crate::error::Error;
use crate::instruction::{Class, Instruction, atomic, mode};
use crate::machine::address_of;

/// The furthest offset of an access that is left to the access itself.
const MOST_OFFSET: i32 = 1 << 29;

/// Where an access goes.
enum Place {
    /// To a place in a region.
    Known { region: u8, at: Access },
    /// To this address, in any region.
    Anywhere(Value),
}

impl Translator<'_, '_, '_> {
    /// Where an access by a register and an offset goes.
    fn place(&mut self, register: u8, offset: i16) -> Result<Place, Error> {
        let offset = i32::from(offset);
        let known = self.registers[usize::from(register)];
        if let Some(anchor) = self.anchor_of(register)? {
            let distance = anchor.offset.saturating_add(offset);
            if (0..MOST_OFFSET).contains(&distance) {
                return Ok(at_index(anchor.region, anchor.index, distance as u32));
            }
        }
        let region = match known.anchor {
            Some(anchor) => Some(anchor.region),
            None => self.kinds.region(register),
        };
        let full = self.full(register)?;
        match region {
            Some(region) => {
                let distance = i64::from(offset) - address_of(region) as i64;
                let index = self.add_constant(full, distance)?;
                Ok(at_index(region, index, 0))
            }
            None => Ok(Place::Anywhere(self.add_constant(full, offset.into())?)),
        }
    }

    /// The place that a register holds, if it is one from which offsets can be counted.
    pub(super) fn anchor_of(&mut self, register: u8) -> Result<Option<Anchor>, Error> {
        let known = self.registers[usize::from(register)];
        if known.anchor.is_some() || !known.is_origin {
            return Ok(known.anchor);
        }
        let Some(region) = self.kinds.region(register) else {
            return Ok(None);
        };
        let full = self.full(register)?;
        let anchor = Anchor {
            region,
            index: self.add_constant(full, -(address_of(region) as i64))?,
            offset: 0,
        };
        self.registers[usize::from(register)].anchor = Some(anchor);
        Ok(Some(anchor))
    }

    /// The regions that an access of unknown address may be in.
    fn candidates(&self, writes: bool) -> impl Iterator<Item = (u8, u64)> + use<'_> {
        let regions = (0..).zip(self.machine().regions);
        regions
            .filter(move |(_, region)| region.size > 0 && (region.writable || !writes))
            .map(|(number, region)| (number, region.size))
    }

    /// Does an access at a place; `None` where nothing may be accessed there.
    ///
    /// An access anywhere is done in each region that it may be in, behind a question whether the address is there; the last one
    /// is not asked for, and traps.
    fn access(
        &mut self,
        place: Place,
        writes: bool,
        gives: Option<Type>,
        mut act: impl FnMut(&mut Self, Access) -> Result<Option<Value>, Error>,
    ) -> Result<Option<Value>, Error> {
        let address = match place {
            Place::Known { region, at } => {
                let regions = self.machine().regions;
                let allowed = !writes || regions[usize::from(region)].writable;
                return match allowed {
                    true => act(self, at),
                    false => self.never(gives),
                };
            }
            Place::Anywhere(address) => address,
        };
        let Some((last, _)) = self.candidates(writes).last() else {
            return self.never(gives);
        };
        let mut done = None;
        for number in 0..=last {
            let mut candidates = self.candidates(writes);
            let Some((region, size)) = candidates.find(|(region, _)| *region == number) else {
                continue;
            };
            drop(candidates);
            let index = self.add_constant(address, -(address_of(region) as i64))?;
            let at = Access {
                region: region_id(region),
                index,
                scale: 0,
                offset: 0,
            };
            if region == last {
                let value = act(self, at)?;
                let Some(done) = done else {
                    return Ok(value);
                };
                self.builder.jump_from(done, value)?;
                self.builder.switch_to(done)?;
                return match gives {
                    Some(ty) => Ok(Some(self.builder.parameter(ty)?)),
                    None => Ok(None),
                };
            }
            let (here, next) = (self.builder.create_block()?, self.builder.create_block()?);
            let done = match done {
                Some(done) => done,
                None => *done.insert(self.builder.create_block()?),
            };
            let size = self.builder.constant_i64(size as i64)?;
            let inside = self.builder.binary(Opcode::I64LtU, index, size)?;
            self.builder.branch(inside, (here, &[]), (next, &[]))?;
            self.builder.switch_to(here)?;
            let value = act(self, at)?;
            self.builder.jump_from(done, value)?;
            self.builder.switch_to(next)?;
        }
        Ok(None)
    }

    /// An access that traps whatever the address is.
    fn never(&mut self, gives: Option<Type>) -> Result<Option<Value>, Error> {
        let exit = self.trap()?;
        let never = self.builder.constant_i32(0)?;
        self.builder.guard(Opcode::Guard, never, exit)?;
        Ok(match gives {
            Some(Type::I32) => Some(never),
            Some(_) => Some(self.zero),
            None => None,
        })
    }

    pub(super) fn load(&mut self, instruction: Instruction) -> Result<(), Error> {
        let signed = instruction.mode() == mode::MEMORY_SIGNED;
        let code = match (instruction.width(), signed) {
            (1, false) => Opcode::I64Load8U,
            (1, true) => Opcode::I64Load8S,
            (2, false) => Opcode::I64Load16U,
            (2, true) => Opcode::I64Load16S,
            (4, false) => Opcode::I64Load32U,
            (4, true) => Opcode::I64Load32S,
            _ => Opcode::I64Load,
        };
        let place = self.place(instruction.source, instruction.offset)?;
        let exit = self.trap()?;
        let value = self.access(place, false, Some(Type::I64), |it, at| {
            Ok(Some(it.builder.load(code, at, exit)?))
        })?;
        let value = Register::full(value.unwrap_or(self.zero));
        let is_origin = true;
        self.set(instruction.destination, Register { is_origin, ..value });
        Ok(())
    }

    pub(super) fn store(&mut self, instruction: Instruction) -> Result<(), Error> {
        if instruction.class() == Class::Store && instruction.mode() == mode::ATOMIC {
            return self.update(instruction);
        }
        let width = instruction.width();
        let place = self.place(instruction.destination, instruction.offset)?;
        let known = self.registers[usize::from(instruction.source)];
        let is_constant = instruction.class() == Class::StoreImmediate;
        let is_low = width < 8 && known.full.is_none() && !is_constant;
        let value = if is_constant {
            let constant = i64::from(instruction.immediate);
            self.builder.constant_i64(constant)?
        } else if is_low {
            self.low(instruction.source)?
        } else {
            self.full(instruction.source)?
        };
        let code = match (width, is_low) {
            (1, true) => Opcode::I32Store8,
            (2, true) => Opcode::I32Store16,
            (_, true) => Opcode::I32Store,
            (1, false) => Opcode::I64Store8,
            (2, false) => Opcode::I64Store16,
            (4, false) => Opcode::I64Store32,
            _ => Opcode::I64Store,
        };
        let exit = self.trap()?;
        self.access(place, true, None, |it, at| {
            it.builder.store(code, at, value, exit)?;
            Ok(None)
        })?;
        Ok(())
    }

    /// An atomic instruction.
    fn update(&mut self, instruction: Instruction) -> Result<(), Error> {
        let is_wide = instruction.width() == 8;
        let action = instruction.immediate;
        let place = self.place(instruction.destination, instruction.offset)?;
        let value = self.operand(instruction.source, is_wide)?;
        let expected = match action {
            atomic::COMPARE_EXCHANGE => Some(self.operand(0, is_wide)?),
            _ => None,
        };
        let code = match (action & !atomic::FETCH, is_wide) {
            (atomic::ADD, false) => Opcode::I32AtomicAdd,
            (atomic::ADD, true) => Opcode::I64AtomicAdd,
            (atomic::OR, false) => Opcode::I32AtomicOr,
            (atomic::OR, true) => Opcode::I64AtomicOr,
            (atomic::AND, false) => Opcode::I32AtomicAnd,
            (atomic::AND, true) => Opcode::I64AtomicAnd,
            (atomic::XOR, false) => Opcode::I32AtomicXor,
            (atomic::XOR, true) => Opcode::I64AtomicXor,
            (_, false) if expected.is_some() => Opcode::I32AtomicCmpxchg,
            (_, true) if expected.is_some() => Opcode::I64AtomicCmpxchg,
            (_, false) => Opcode::I32AtomicXchg,
            (_, true) => Opcode::I64AtomicXchg,
        };
        let exit = self.trap()?;
        let ty = if is_wide { Type::I64 } else { Type::I32 };
        let old = self.access(place, true, Some(ty), |it, at| {
            let builder = &mut it.builder;
            Ok(Some(match expected {
                Some(expected) => builder.compare_exchange(code, at, expected, value, exit)?,
                None => builder.update(code, at, value, exit)?,
            }))
        })?;
        let old = old.unwrap_or(self.zero);
        let known = match is_wide {
            true => Register::full(old),
            false => Register::low(old),
        };
        if expected.is_some() {
            self.set(0, known);
        } else if action & atomic::FETCH != 0 {
            self.set(instruction.source, known);
        }
        Ok(())
    }

    /// A load as classic BPF had it: from the packet, in the network's order; beyond its end the program returns 0.
    pub(super) fn load_packet(&mut self, instruction: Instruction) -> Result<(), Error> {
        let packet = self.machine().packet.unwrap_or(0);
        let size = self.machine().regions[usize::from(packet)].size;
        let width = u64::from(instruction.width());
        let mut index = self.builder.constant_i32(instruction.immediate)?;
        if instruction.mode() == mode::PACKET_INDIRECT {
            let low = self.low(instruction.source)?;
            index = self.builder.binary(Opcode::I32Add, low, index)?;
        }
        let index = self.builder.unary(Opcode::I64ExtendI32U, index)?;
        let places = self
            .builder
            .constant_i64((size + 1).saturating_sub(width) as i64)?;
        let inside = self.builder.binary(Opcode::I64LtU, index, places)?;
        let (go_on, leave) = (self.builder.create_block()?, self.builder.create_block()?);
        self.builder.branch(inside, (go_on, &[]), (leave, &[]))?;
        self.builder.switch_to(leave)?;
        self.builder.return_values(&[self.zero])?;
        self.builder.switch_to(go_on)?;
        let at = Access {
            region: region_id(packet),
            index,
            scale: 0,
            offset: 0,
        };
        let exit = self.trap()?;
        let code = match width {
            1 => Opcode::I32Load8U,
            2 => Opcode::I32Load16U,
            _ => Opcode::I32Load,
        };
        let loaded = self.builder.load(code, at, exit)?;
        let value = match width {
            1 => loaded,
            2 => self.builder.unary(Opcode::I32Bswap16, loaded)?,
            _ => self.builder.unary(Opcode::I32Bswap, loaded)?,
        };
        self.lose_arguments();
        self.set(0, Register::low(value));
        Ok(())
    }
}

fn at_index(region: u8, index: Value, offset: u32) -> Place {
    Place::Known {
        region,
        at: Access {
            region: region_id(region),
            index,
            scale: 0,
            offset,
        },
    }
}
