//! Arithmetic and conditions.
//!
//! Instructions of 32 bits work on lower halves, and what they give has nothing above. Additions of constants to pointers and
//! numbers that are known make no micro-ops.

use patchjit::build::Value;
use patchjit::ops::Opcode;

use super::{Anchor, Register, Translator};
use crate::error::Error;
use crate::instruction::{Class, Instruction, arithmetic, jump};

impl Translator<'_, '_, '_> {
    /// A register as an operand of so many bits.
    pub(super) fn operand(&mut self, register: u8, is_wide: bool) -> Result<Value, Error> {
        if is_wide {
            self.full(register)
        } else {
            self.low(register)
        }
    }

    /// The second operand of an instruction.
    fn second(&mut self, instruction: Instruction, is_wide: bool) -> Result<Value, Error> {
        if instruction.has_source() {
            self.operand(instruction.source, is_wide)
        } else {
            self.constant(instruction.immediate, is_wide)
        }
    }

    fn constant(&mut self, constant: i32, is_wide: bool) -> Result<Value, Error> {
        Ok(match is_wide {
            true => self.builder.constant_i64(constant.into())?,
            false => self.builder.constant_i32(constant)?,
        })
    }

    pub(super) fn arithmetic_64(&mut self, instruction: Instruction) -> Result<(), Error> {
        let destination = instruction.destination;
        let source = self.registers[usize::from(instruction.source)];
        let known = match (instruction.code(), instruction.has_source()) {
            (arithmetic::MOVE, false) => Register::constant(instruction.immediate.into()),
            (arithmetic::MOVE, true) if instruction.offset == 0 => {
                // What is found out of the one later, the other need not know.
                if source.constant.is_none() && source.anchor.is_none() {
                    self.full(instruction.source)?;
                }
                self.registers[usize::from(instruction.source)]
            }
            (arithmetic::MOVE, true) => {
                let full = self.full(instruction.source)?;
                let code = match instruction.offset {
                    8 => Opcode::I64Extend8S,
                    16 => Opcode::I64Extend16S,
                    _ => Opcode::I64Extend32S,
                };
                Register::full(self.builder.unary(code, full)?)
            }
            (arithmetic::ADD, false) => {
                let constant = i64::from(instruction.immediate);
                match self.moved(destination, constant)? {
                    Some(known) => known,
                    None => Register::full(self.compute(instruction, true)?),
                }
            }
            (arithmetic::BYTE_ORDER, _) => return self.swap(instruction),
            _ => Register::full(self.compute(instruction, true)?),
        };
        self.set(destination, known);
        Ok(())
    }

    /// A register that is a number or a place in a region, so many bytes on.
    fn moved(&mut self, register: u8, distance: i64) -> Result<Option<Register>, Error> {
        self.anchor_of(register)?;
        let known = self.registers[usize::from(register)];
        let anchor = known.anchor.and_then(|anchor| {
            let offset = i64::from(anchor.offset) + distance;
            let offset = i32::try_from(offset).ok()?;
            Some(Anchor { offset, ..anchor })
        });
        let constant = known
            .constant
            .map(|constant| constant.wrapping_add(distance));
        Ok(
            (anchor.is_some() || constant.is_some()).then_some(Register {
                constant,
                anchor,
                ..Register::EMPTY
            }),
        )
    }

    pub(super) fn arithmetic_32(&mut self, instruction: Instruction) -> Result<(), Error> {
        let destination = instruction.destination;
        let known = match (instruction.code(), instruction.has_source()) {
            (arithmetic::MOVE, false) => {
                Register::constant(i64::from(instruction.immediate as u32))
            }
            (arithmetic::MOVE, true) => {
                let low = self.low(instruction.source)?;
                Register::low(match instruction.offset {
                    8 => self.builder.unary(Opcode::I32Extend8S, low)?,
                    16 => self.builder.unary(Opcode::I32Extend16S, low)?,
                    _ => low,
                })
            }
            (arithmetic::BYTE_ORDER, _) => return self.swap(instruction),
            _ => Register::low(self.compute(instruction, false)?),
        };
        self.set(destination, known);
        Ok(())
    }

    /// What an instruction computes of its two operands.
    fn compute(&mut self, instruction: Instruction, is_wide: bool) -> Result<Value, Error> {
        let code = match (instruction.code(), is_wide) {
            (arithmetic::ADD, false) => Opcode::I32Add,
            (arithmetic::ADD, true) => Opcode::I64Add,
            (arithmetic::SUB, false) => Opcode::I32Sub,
            (arithmetic::SUB, true) => Opcode::I64Sub,
            (arithmetic::MUL, false) => Opcode::I32Mul,
            (arithmetic::MUL, true) => Opcode::I64Mul,
            (arithmetic::OR, false) => Opcode::I32Or,
            (arithmetic::OR, true) => Opcode::I64Or,
            (arithmetic::AND, false) => Opcode::I32And,
            (arithmetic::AND, true) => Opcode::I64And,
            (arithmetic::XOR, false) => Opcode::I32Xor,
            (arithmetic::XOR, true) => Opcode::I64Xor,
            (arithmetic::SHIFT_LEFT, false) => Opcode::I32Shl,
            (arithmetic::SHIFT_LEFT, true) => Opcode::I64Shl,
            (arithmetic::SHIFT_RIGHT, false) => Opcode::I32ShrU,
            (arithmetic::SHIFT_RIGHT, true) => Opcode::I64ShrU,
            (arithmetic::SHIFT_RIGHT_SIGNED, false) => Opcode::I32ShrS,
            (arithmetic::SHIFT_RIGHT_SIGNED, true) => Opcode::I64ShrS,
            (arithmetic::NEGATE, _) => {
                let a = self.operand(instruction.destination, is_wide)?;
                return self.negate(a, is_wide);
            }
            _ => return self.divide(instruction, is_wide),
        };
        let a = self.operand(instruction.destination, is_wide)?;
        let b = self.second(instruction, is_wide)?;
        Ok(self.builder.binary(code, a, b)?)
    }

    fn negate(&mut self, a: Value, is_wide: bool) -> Result<Value, Error> {
        let zero = self.constant(0, is_wide)?;
        let code = match is_wide {
            true => Opcode::I64Sub,
            false => Opcode::I32Sub,
        };
        Ok(self.builder.binary(code, zero, a)?)
    }

    /// Quotient or remainder. By zero the quotient is 0 and the remainder is the dividend; by -1 the quotient wraps.
    fn divide(&mut self, instruction: Instruction, is_wide: bool) -> Result<Value, Error> {
        let is_signed = instruction.offset == 1;
        let is_remainder = instruction.code() == arithmetic::MOD;
        let code = match (is_wide, is_signed, is_remainder) {
            (false, false, false) => Opcode::I32DivU,
            (false, false, true) => Opcode::I32RemU,
            (false, true, false) => Opcode::I32DivS,
            (false, true, true) => Opcode::I32RemS,
            (true, false, false) => Opcode::I64DivU,
            (true, false, true) => Opcode::I64RemU,
            (true, true, false) => Opcode::I64DivS,
            (true, true, true) => Opcode::I64RemS,
        };
        let select = match is_wide {
            true => Opcode::I64Select,
            false => Opcode::I32Select,
        };
        let a = self.operand(instruction.destination, is_wide)?;
        // What divides is never one of those by which a division may leave, so that this one does not.
        let exit = self.trap()?;
        if !instruction.has_source() {
            return match (instruction.immediate, is_signed, is_remainder) {
                (0, _, false) => self.constant(0, is_wide),
                (0, _, true) => Ok(a),
                (-1, true, false) => self.negate(a, is_wide),
                (-1, true, true) => self.constant(0, is_wide),
                (divisor, ..) => {
                    let divisor = self.constant(divisor, is_wide)?;
                    Ok(self.builder.binary_else(code, a, divisor, exit)?)
                }
            };
        }
        let b = self.operand(instruction.source, is_wide)?;
        let (zero, one) = (self.constant(0, is_wide)?, self.constant(1, is_wide)?);
        let (is_zero_code, is_equal_code) = match is_wide {
            true => (Opcode::I64Eqz, Opcode::I64Eq),
            false => (Opcode::I32Eqz, Opcode::I32Eq),
        };
        let is_zero = self.builder.unary(is_zero_code, b)?;
        let by_zero = if is_remainder { a } else { zero };
        let mut divisor = self.builder.select(select, is_zero, one, b)?;
        let mut quotient_by_minus_one = None;
        if is_signed {
            let minus_one = self.constant(-1, is_wide)?;
            let is_minus_one = self.builder.binary(is_equal_code, b, minus_one)?;
            divisor = self.builder.select(select, is_minus_one, one, divisor)?;
            if !is_remainder {
                quotient_by_minus_one = Some((is_minus_one, self.negate(a, is_wide)?));
            }
        }
        let mut result = self.builder.binary_else(code, a, divisor, exit)?;
        if let Some((is_minus_one, negated)) = quotient_by_minus_one {
            result = self.builder.select(select, is_minus_one, negated, result)?;
        }
        Ok(self.builder.select(select, is_zero, by_zero, result)?)
    }

    /// Bytes in another order, or the lowest ones alone.
    fn swap(&mut self, instruction: Instruction) -> Result<(), Error> {
        let destination = instruction.destination;
        let swaps = instruction.class() == Class::Arithmetic64 || instruction.has_source();
        let known = match (instruction.immediate, swaps) {
            (16, true) => {
                let low = self.low(destination)?;
                Register::low(self.builder.unary(Opcode::I32Bswap16, low)?)
            }
            (16, false) => {
                let (low, mask) = (self.low(destination)?, self.builder.constant_i32(0xffff)?);
                Register::low(self.builder.binary(Opcode::I32And, low, mask)?)
            }
            (32, true) => {
                let low = self.low(destination)?;
                Register::low(self.builder.unary(Opcode::I32Bswap, low)?)
            }
            (32, false) => Register::low(self.low(destination)?),
            (_, true) => {
                let full = self.full(destination)?;
                Register::full(self.builder.unary(Opcode::I64Bswap, full)?)
            }
            _ => Register::full(self.full(destination)?),
        };
        self.set(destination, known);
        Ok(())
    }

    /// Whether a conditional jump is taken.
    pub(super) fn condition(&mut self, instruction: Instruction) -> Result<Value, Error> {
        let is_wide = instruction.class() == Class::Jump;
        let a = self.operand(instruction.destination, is_wide)?;
        let b = self.second(instruction, is_wide)?;
        let code = match (instruction.code(), is_wide) {
            (jump::EQUAL, false) => Opcode::I32Eq,
            (jump::EQUAL, true) => Opcode::I64Eq,
            (jump::ABOVE, false) => Opcode::I32GtU,
            (jump::ABOVE, true) => Opcode::I64GtU,
            (jump::ABOVE_EQUAL, false) => Opcode::I32GeU,
            (jump::ABOVE_EQUAL, true) => Opcode::I64GeU,
            (jump::NOT_EQUAL, false) => Opcode::I32Ne,
            (jump::NOT_EQUAL, true) => Opcode::I64Ne,
            (jump::GREATER, false) => Opcode::I32GtS,
            (jump::GREATER, true) => Opcode::I64GtS,
            (jump::GREATER_EQUAL, false) => Opcode::I32GeS,
            (jump::GREATER_EQUAL, true) => Opcode::I64GeS,
            (jump::BELOW, false) => Opcode::I32LtU,
            (jump::BELOW, true) => Opcode::I64LtU,
            (jump::BELOW_EQUAL, false) => Opcode::I32LeU,
            (jump::BELOW_EQUAL, true) => Opcode::I64LeU,
            (jump::LESS, false) => Opcode::I32LtS,
            (jump::LESS, true) => Opcode::I64LtS,
            (jump::LESS_EQUAL, false) => Opcode::I32LeS,
            (jump::LESS_EQUAL, true) => Opcode::I64LeS,
            (_, false) => {
                let both = self.builder.binary(Opcode::I32And, a, b)?;
                let zero = self.builder.constant_i32(0)?;
                return Ok(self.builder.binary(Opcode::I32Ne, both, zero)?);
            }
            (_, true) => {
                let both = self.builder.binary(Opcode::I64And, a, b)?;
                return Ok(self.builder.binary(Opcode::I64Ne, both, self.zero)?);
            }
        };
        Ok(self.builder.binary(code, a, b)?)
    }
}
