//! Folds compiled variants into templates.
//!
//! Variants of a shape whose code has the same length and the same holes make a group. In a group every
//! register number is expected to XOR a linear function of its bits into the code: the functions are
//! learned from the differences between variants, and every variant of the group is rebuilt to prove them.

use crate::bodies::{FamilySource, Shape};
use patchjit::stencil::{Immediate, MAX_OPERANDS};
use std::collections::{BTreeMap, BTreeSet};

/// Compiled code of a variant, its immediate's bytes zeroed.
#[derive(Clone, Debug)]
pub struct Compiled {
    pub registers: [u8; MAX_OPERANDS],
    pub bytes: Vec<u8>,
    pub targets: Vec<u8>,
    pub immediate_at: Option<u8>,
}

/// Bits of the greatest register number.
const NUMBER_BITS: usize = 5;

/// What bit b of a register's number XORs into the code.
#[derive(Clone, Debug)]
pub struct LinearMasks {
    pub bits: [Vec<u8>; NUMBER_BITS],
}

/// The bytes that serve a product of registers.
#[derive(Clone, Debug)]
pub struct Folded {
    pub shape: usize,
    pub kind: Immediate,
    pub base: Vec<u8>,
    pub masks: Vec<LinearMasks>,
    /// Permitted registers for each operand.
    pub allowed: [u32; MAX_OPERANDS],
    pub targets: Vec<u8>,
    pub immediate_at: Option<u8>,
    /// The variants that it was made from.
    pub members: Vec<Compiled>,
}

fn xor_into(bytes: &mut [u8], mask: &[u8]) {
    for (byte, mask) in bytes.iter_mut().zip(mask) {
        *byte ^= mask;
    }
}

impl LinearMasks {
    fn apply(&self, register: u8, bytes: &mut [u8]) {
        for (bit, mask) in self.bits.iter().enumerate() {
            if register >> bit & 1 == 1 {
                xor_into(bytes, mask);
            }
        }
    }
}

impl Folded {
    /// The code for these registers.
    pub fn rebuild(&self, registers: &[u8; MAX_OPERANDS]) -> Vec<u8> {
        let mut bytes = self.base.clone();
        for (masks, &register) in self.masks.iter().zip(registers) {
            masks.apply(register, &mut bytes);
        }
        bytes
    }
}

/// The operands whose registers vary on their own in a shape: neither fixed, nor the output's by condition.
pub fn free_operands(family: &FamilySource, shape: &Shape) -> Vec<usize> {
    (0..family.operands.len())
        .filter(|&k| {
            !family.operands[k].fixed && shape.equal != Some(k) && usize::from(family.tied) != k
        })
        .collect()
}

/// The bits of all operands' registers in one number, as many for each operand.
fn joined(free: &[usize], registers: &[u8; MAX_OPERANDS]) -> u32 {
    free.iter().fold(0, |number, &k| {
        number | u32::from(registers[k]) << (NUMBER_BITS * k)
    })
}

/// A linear map from differences of registers to differences of code, as far as it is known.
struct Fit {
    /// By leading bit: a difference of registers with that leading bit, and its difference of code.
    rows: [Option<(u32, Vec<u8>)>; NUMBER_BITS * MAX_OPERANDS],
}

impl Fit {
    fn new() -> Fit {
        Fit {
            rows: [const { None }; NUMBER_BITS * MAX_OPERANDS],
        }
    }

    fn reduce(&self, mut number: u32, mut code: Vec<u8>) -> (u32, Vec<u8>) {
        for bit in (0..self.rows.len()).rev() {
            if number >> bit & 1 == 1
                && let Some((row, mask)) = &self.rows[bit]
            {
                number ^= row;
                xor_into(&mut code, mask);
            }
        }
        (number, code)
    }

    /// Learns one difference; false if it contradicts what is known.
    fn learn(&mut self, number: u32, code: Vec<u8>) -> bool {
        let (number, code) = self.reduce(number, code);
        if number == 0 {
            return code.iter().all(|&byte| byte == 0);
        }
        self.rows[number.ilog2() as usize] = Some((number, code));
        true
    }

    /// Whether the code for this difference follows from what is known.
    fn spans(&self, number: u32) -> bool {
        self.reduce(number, vec![]).0 == 0
    }

    /// Masks for each bit; where a bit alone is not known, what makes the known differences come out right.
    fn masks(&self, length: usize) -> [LinearMasks; MAX_OPERANDS] {
        let mut bits: [Vec<u8>; NUMBER_BITS * MAX_OPERANDS] =
            std::array::from_fn(|_| vec![0; length]);
        for bit in 0..bits.len() {
            if let Some((number, code)) = &self.rows[bit] {
                let mut mask = code.clone();
                for (lower, known) in bits.iter().enumerate().take(bit) {
                    if number >> lower & 1 == 1 {
                        xor_into(&mut mask, known);
                    }
                }
                bits[bit] = mask;
            }
        }
        std::array::from_fn(|k| LinearMasks {
            bits: std::array::from_fn(|bit| bits[NUMBER_BITS * k + bit].clone()),
        })
    }
}

/// Folds the variants of one shape with one kind of immediate.
pub fn fold(
    family: &FamilySource,
    shape_index: usize,
    kind: Immediate,
    variants: Vec<Compiled>,
) -> Result<Vec<Folded>, String> {
    let shape = &family.shapes[shape_index];
    let free = free_operands(family, shape);
    let all: Vec<[u8; MAX_OPERANDS]> = variants.iter().map(|v| v.registers).collect();
    type Key = (usize, Vec<u8>, Option<u8>);
    let mut groups: BTreeMap<Key, Vec<Compiled>> = BTreeMap::new();
    for variant in variants {
        let key = (
            variant.bytes.len(),
            variant.targets.clone(),
            variant.immediate_at,
        );
        groups.entry(key).or_default().push(variant);
    }
    let mut folded = Vec::new();
    for ((length, targets, immediate_at), members) in groups {
        let first = &members[0];
        let mut fit = Fit::new();
        for member in &members {
            let number = joined(&free, &first.registers) ^ joined(&free, &member.registers);
            let mut code = first.bytes.clone();
            xor_into(&mut code, &member.bytes);
            if !fit.learn(number, code) {
                return Err(format!(
                    "{}, shape {shape_index}: the register fields of {:?} are not linear",
                    family.name, member.registers
                ));
            }
        }
        let masks = fit.masks(length)[..family.operands.len()].to_vec();
        let mut base = first.bytes.clone();
        for (masks, &register) in masks.iter().zip(&first.registers) {
            masks.apply(register, &mut base);
        }
        // Registers: those of the group, and those that the masks reach, unless a compiled variant that
        // they would take in belongs to another group.
        let mut allowed = [u32::MAX; MAX_OPERANDS];
        for (k, allowed) in allowed.iter_mut().enumerate().take(family.operands.len()) {
            *allowed = members
                .iter()
                .fold(0, |set, member| set | 1 << member.registers[k]);
        }
        let own: BTreeSet<[u8; MAX_OPERANDS]> = members.iter().map(|v| v.registers).collect();
        for &k in &free {
            for register in 0..32u8 {
                let bit = 1u32 << register;
                let mut wider = allowed;
                wider[k] |= bit;
                if shape.equal.is_some() && k == 0 {
                    wider[shape.equal.unwrap_or(0)] |= bit;
                }
                let foreign = |registers: &[u8; MAX_OPERANDS]| {
                    !own.contains(registers)
                        && registers
                            .iter()
                            .zip(wider)
                            .all(|(r, set)| set >> r & 1 == 1)
                };
                if family.operands[k].allowed & bit != 0
                    && allowed[k] & bit == 0
                    && fit.spans(u32::from(first.registers[k] ^ register) << (NUMBER_BITS * k))
                    && !all.iter().any(foreign)
                {
                    allowed = wider;
                }
            }
        }
        let template = Folded {
            shape: shape_index,
            kind,
            base,
            masks,
            allowed,
            targets,
            immediate_at,
            members,
        };
        for member in &template.members {
            if template.rebuild(&member.registers) != member.bytes {
                return Err(format!(
                    "{}, shape {shape_index}: {:?} is not rebuilt: {:02x?}, not {:02x?}; {} variants, the first {:?} {:02x?}",
                    family.name,
                    member.registers,
                    template.rebuild(&member.registers),
                    member.bytes,
                    template.members.len(),
                    template.members[0].registers,
                    template.members[0].bytes,
                ));
            }
        }
        folded.push(template);
    }
    // Those with the most registers first: they are asked for most.
    folded.sort_by_key(|template| std::cmp::Reverse(template.members.len()));
    Ok(folded)
}
