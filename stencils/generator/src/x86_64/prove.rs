//! Proves templates with a decoder that knows nothing of how they were made.
//!
//! A template's *pattern* is its decoded instructions with every register that is an operand's replaced by
//! the operand. Each assignment that a template claims is rebuilt, decoded and held against the pattern; what
//! its instructions write becomes the family's clobbers.

use super::INT_NAMES;
use super::lift::decode;
use crate::bodies::{Bank, Body, FamilySource};
use crate::fold::{Folded, free_operands};
use iced_x86::{Instruction, InstructionInfoFactory, OpAccess, OpKind, Register};
use patchjit::stencil::{MAX_OPERANDS, RegisterSet};

/// What stands at a register's place in an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Fixed(Register),
    Operand(usize, Bank, usize),
}

/// A template's instructions over operands.
pub struct Pattern {
    instructions: Vec<(Instruction, Vec<Place>)>,
    scale: Option<usize>,
}

/// The registers that an instruction names, in order: operands, then the memory base and index.
fn named_registers(instruction: &Instruction) -> Vec<Register> {
    let mut registers: Vec<Register> = (0..instruction.op_count())
        .filter(|&op| instruction.op_kind(op) == OpKind::Register)
        .map(|op| instruction.op_register(op))
        .collect();
    registers.push(instruction.memory_base());
    registers.push(instruction.memory_index());
    registers
}

/// The bank and number of a register, if values can be in it.
fn bank_and_number(register: Register) -> Option<(Bank, u8)> {
    if matches!(
        register,
        Register::AH | Register::CH | Register::DH | Register::BH
    ) {
        return None;
    }
    if register.is_xmm() {
        Some((Bank::Float, register.number() as u8))
    } else if register.is_gpr() {
        Some((Bank::Int, register.full_register().number() as u8))
    } else {
        None
    }
}

impl Pattern {
    /// Reads the pattern from code whose operands are all in registers of their own.
    pub fn new(family: &FamilySource, template: &Folded) -> Result<Pattern, String> {
        let shape = &family.shapes[template.shape];
        let free = free_operands(family, shape);
        let text = match &shape.body {
            Body::Asm(text) | Body::Rust(text) => text,
        };
        let named = |register: u8| {
            INT_NAMES[register as usize].iter().any(|name| {
                text.split(|c: char| !c.is_alphanumeric())
                    .any(|word| word == *name)
            })
        };
        let is_clear = |registers: &[u8; MAX_OPERANDS]| {
            free.iter().enumerate().all(|(index, &k)| {
                let bank = family.operands[k].bank;
                let apart = free[..index]
                    .iter()
                    .all(|&j| family.operands[j].bank != bank || registers[j] != registers[k]);
                let fixed = family.operands.iter().enumerate().any(|(j, other)| {
                    other.fixed && other.bank == bank && registers[j] == registers[k]
                });
                apart && !fixed && !(bank == Bank::Int && named(registers[k]))
            })
        };
        let seed = template
            .members
            .iter()
            .find(|member| is_clear(&member.registers))
            .ok_or_else(|| format!("{}: no variant with registers apart", family.name))?;
        let mut pattern = Pattern {
            instructions: vec![],
            scale: family
                .operands
                .iter()
                .position(|operand| operand.bank == Bank::Scale),
        };
        let mut found = 0u8;
        for instruction in decode(&seed.bytes)? {
            let places = named_registers(&instruction)
                .into_iter()
                .map(|register| {
                    let Some((bank, number)) = bank_and_number(register) else {
                        return Place::Fixed(register);
                    };
                    let operand = free
                        .iter()
                        .copied()
                        .find(|&k| family.operands[k].bank == bank && seed.registers[k] == number);
                    match operand {
                        Some(k) => {
                            found |= 1 << k;
                            Place::Operand(k, bank, register.size())
                        }
                        None => Place::Fixed(register),
                    }
                })
                .collect();
            pattern.instructions.push((instruction, places));
        }
        for &k in &free {
            if family.operands[k].bank != Bank::Scale && found >> k & 1 == 0 {
                return Err(format!(
                    "{}: operand {} does not occur",
                    family.name, family.operands[k].name
                ));
            }
        }
        Ok(pattern)
    }

    /// Whether code is this pattern with these registers.
    pub fn holds(&self, bytes: &[u8], registers: &[u8; MAX_OPERANDS]) -> bool {
        let Ok(instructions) = decode(bytes) else {
            return false;
        };
        instructions.len() == self.instructions.len()
            && instructions
                .iter()
                .zip(&self.instructions)
                .all(|(found, (wanted, places))| self.same(found, wanted, places, registers))
    }

    fn same(
        &self,
        found: &Instruction,
        wanted: &Instruction,
        places: &[Place],
        registers: &[u8; MAX_OPERANDS],
    ) -> bool {
        let kinds = |instruction: &Instruction| -> Vec<OpKind> {
            (0..instruction.op_count())
                .map(|op| instruction.op_kind(op))
                .collect()
        };
        let has_memory = kinds(wanted).contains(&OpKind::Memory);
        let scale = match self.scale {
            Some(k) if has_memory && wanted.memory_index() != Register::None => 1 << registers[k],
            _ => wanted.memory_index_scale(),
        };
        let immediate = |instruction: &Instruction| -> Vec<u64> {
            (0..instruction.op_count())
                .filter_map(|op| instruction.try_immediate(op).ok())
                .collect()
        };
        found.code() == wanted.code()
            && found.len() == wanted.len()
            && kinds(found) == kinds(wanted)
            && found.has_lock_prefix() == wanted.has_lock_prefix()
            && found.memory_index_scale() == scale
            && found.memory_displ_size() == wanted.memory_displ_size()
            && found.memory_displacement64() == wanted.memory_displacement64()
            && found.segment_prefix() == wanted.segment_prefix()
            && found.near_branch64() == wanted.near_branch64()
            && immediate(found) == immediate(wanted)
            && named_registers(found).into_iter().zip(places).all(
                |(register, place)| match *place {
                    Place::Fixed(wanted) => register == wanted,
                    Place::Operand(k, bank, size) => {
                        bank_and_number(register) == Some((bank, registers[k]))
                            && register.size() == size
                    }
                },
            )
    }

    /// What the instructions write besides the output; an error where they must not.
    pub fn clobbers(&self, family: &FamilySource) -> Result<RegisterSet, String> {
        let mut clobbers = RegisterSet(0);
        let mut factory = InstructionInfoFactory::new();
        for (instruction, places) in &self.instructions {
            let names = named_registers(instruction);
            for used in factory.info(instruction).used_registers() {
                let register = used.register();
                let Some((bank, number)) = bank_and_number(register) else {
                    continue;
                };
                if bank == Bank::Int && number == 4 && !family.uses_stack {
                    return Err(format!("{}: uses the stack pointer", family.name));
                }
                let writes = !matches!(
                    used.access(),
                    OpAccess::Read | OpAccess::CondRead | OpAccess::None | OpAccess::NoMemAccess
                );
                if !writes || (bank == Bank::Int && number == 4) {
                    continue;
                }
                let operand = names
                    .iter()
                    .zip(places)
                    .find_map(|(name, place)| match place {
                        Place::Operand(k, ..) if bank_and_number(*name) == Some((bank, number)) => {
                            Some(*k)
                        }
                        _ => None,
                    });
                match operand {
                    Some(0) if family.has_output => continue,
                    Some(k) => {
                        return Err(format!(
                            "{}: writes its operand {}",
                            family.name, family.operands[k].name
                        ));
                    }
                    None => {}
                }
                let output = &family.operands.first();
                let is_output = family.has_output
                    && output.is_some_and(|output| {
                        output.fixed && output.bank == bank && output.allowed == 1 << number
                    });
                if !is_output {
                    let shift = if bank == Bank::Int { 0 } else { 32 };
                    clobbers.0 |= 1 << (u32::from(number) + shift);
                }
            }
        }
        let expected = family.clobbers.0 | 1 << 10 | 1 << (32 + 15);
        if clobbers.0 & !expected != 0 && !family.uses_stack {
            return Err(format!(
                "{}: writes registers {:#x} that it does not declare",
                family.name,
                clobbers.0 & !expected
            ));
        }
        Ok(RegisterSet(clobbers.0 | family.clobbers.0))
    }
}
