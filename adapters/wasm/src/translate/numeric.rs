//! Constants and ops over numbers. Most have an op of the same name in the core.

use super::Translator;
use crate::error::{Error, number};
use crate::scan::Plan;
use crate::types::ValueType;
use patchjit::build::Value;
use patchjit::ops::Opcode;
use patchjit::types::Type;
use wasmparser::Operator;

/// The core's op for each of the ops that always give a value, of one operand and of two.
macro_rules! same_names {
    ($op:expr, [$($unary:ident)*], [$($binary:ident)*]) => {
        match $op {
            $(Operator::$unary => Some((Opcode::$unary, false)),)*
            $(Operator::$binary => Some((Opcode::$binary, true)),)*
            _ => None,
        }
    };
}

/// The core's op for one that always gives a value, and whether it has two operands.
fn total(op: &Operator<'_>) -> Option<(Opcode, bool)> {
    same_names!(
        op,
        [
            I32Eqz I64Eqz I32Clz I32Ctz I32Popcnt I64Clz I64Ctz I64Popcnt F32Abs F32Neg
            F32Ceil F32Floor F32Trunc F32Nearest F32Sqrt F64Abs F64Neg F64Ceil F64Floor
            F64Trunc F64Nearest F64Sqrt I32WrapI64 I64ExtendI32S I64ExtendI32U
            F32ConvertI32S F32ConvertI32U F32ConvertI64S F32ConvertI64U F32DemoteF64
            F64ConvertI32S F64ConvertI32U F64ConvertI64S F64ConvertI64U F64PromoteF32
            I32ReinterpretF32 I64ReinterpretF64 F32ReinterpretI32 F64ReinterpretI64
            I32Extend8S I32Extend16S I64Extend8S I64Extend16S I64Extend32S I32TruncSatF32S
            I32TruncSatF32U I32TruncSatF64S I32TruncSatF64U I64TruncSatF32S I64TruncSatF32U
            I64TruncSatF64S I64TruncSatF64U
        ],
        [
            I32Eq I32Ne I32LtS I32LtU I32GtS I32GtU I32LeS I32LeU I32GeS I32GeU I64Eq I64Ne
            I64LtS I64LtU I64GtS I64GtU I64LeS I64LeU I64GeS I64GeU F32Eq F32Ne F32Lt F32Gt
            F32Le F32Ge F64Eq F64Ne F64Lt F64Gt F64Le F64Ge I32Add I32Sub I32Mul I32And
            I32Or I32Xor I32Shl I32ShrS I32ShrU I32Rotl I32Rotr I64Add I64Sub I64Mul I64And
            I64Or I64Xor I64Shl I64ShrS I64ShrU I64Rotl I64Rotr F32Add F32Sub F32Mul F32Div
            F32Min F32Max F32Copysign F64Add F64Sub F64Mul F64Div F64Min F64Max F64Copysign
        ]
    )
}

/// The op that makes all NaNs of a result one, if it may be a NaN whose bits are not specified.
fn canonical(code: Opcode) -> Option<Opcode> {
    use Opcode::*;
    let info = code.info();
    let exact = matches!(
        code,
        F32Abs | F32Neg | F32Copysign | F64Abs | F64Neg | F64Copysign
    );
    if exact || !info.operands[0].is_float() {
        return None;
    }
    match info.result {
        Some(Type::F32) => Some(F32Canonicalize),
        Some(Type::F64) => Some(F64Canonicalize),
        _ => None,
    }
}

/// What a division or conversion traps for.
enum Traps {
    /// Zero only.
    Zero,
    /// Zero, or a result that does not fit.
    Signed,
    F32,
    F64,
}

/// The core's op for one that may trap.
fn partial(op: &Operator<'_>) -> Option<(Opcode, Traps)> {
    Some(match op {
        Operator::I32DivS => (Opcode::I32DivS, Traps::Signed),
        Operator::I64DivS => (Opcode::I64DivS, Traps::Signed),
        Operator::I32DivU => (Opcode::I32DivU, Traps::Zero),
        Operator::I64DivU => (Opcode::I64DivU, Traps::Zero),
        Operator::I32RemS => (Opcode::I32RemS, Traps::Zero),
        Operator::I64RemS => (Opcode::I64RemS, Traps::Zero),
        Operator::I32RemU => (Opcode::I32RemU, Traps::Zero),
        Operator::I64RemU => (Opcode::I64RemU, Traps::Zero),
        Operator::I32TruncF32S => (Opcode::I32TruncF32S, Traps::F32),
        Operator::I32TruncF32U => (Opcode::I32TruncF32U, Traps::F32),
        Operator::I32TruncF64S => (Opcode::I32TruncF64S, Traps::F64),
        Operator::I32TruncF64U => (Opcode::I32TruncF64U, Traps::F64),
        Operator::I64TruncF32S => (Opcode::I64TruncF32S, Traps::F32),
        Operator::I64TruncF32U => (Opcode::I64TruncF32U, Traps::F32),
        Operator::I64TruncF64S => (Opcode::I64TruncF64S, Traps::F64),
        Operator::I64TruncF64U => (Opcode::I64TruncF64U, Traps::F64),
        _ => return None,
    })
}

impl Translator<'_, '_> {
    /// Translates an op over numbers, if it is one.
    pub(super) fn numeric(&mut self, op: &Operator<'_>, plan: &Plan) -> Result<bool, Error> {
        let value = if let Some((code, is_binary)) = total(op) {
            let value = if is_binary {
                let (a, b) = self.pop2();
                self.b.binary(code, a, b)?
            } else {
                let a = self.pop();
                self.unary(code, a)?
            };
            match canonical(code) {
                Some(canonical) if self.options.canonicalize_nans => {
                    self.b.unary(canonical, value)?
                }
                _ => value,
            }
        } else if let Some((code, traps)) = partial(op) {
            self.partial(code, &traps)?
        } else {
            match *op {
                Operator::I32Const { value } => self.b.constant_i32(value)?,
                Operator::I64Const { value } => self.b.constant_i64(value)?,
                Operator::F32Const { value } => {
                    let bits = u64::from(value.bits());
                    self.b.constant(Opcode::F32Const, bits)?
                }
                Operator::F64Const { value } => self.b.constant(Opcode::F64Const, value.bits())?,
                Operator::Select => {
                    let ty = plan.selects[self.state.select];
                    self.state.select += 1;
                    self.select(ty)?
                }
                Operator::TypedSelect { ty } => match ValueType::from_parser(ty) {
                    Some(ty) => self.select(ty.core())?,
                    None => return self.unsupported(&format!("values of type {ty}")),
                },
                _ => return Ok(false),
            }
        };
        self.push(value);
        Ok(true)
    }

    /// An op of one operand. Addresses are extended all the time, so what was extended is remembered.
    pub(super) fn unary(&mut self, code: Opcode, a: Value) -> Result<Value, Error> {
        if code != Opcode::I64ExtendI32U {
            return Ok(self.b.unary(code, a)?);
        }
        let place = a.0 as usize % super::EXTENDED;
        match self.state.extended[place] {
            Some((known, extended)) if known == a => Ok(extended),
            _ => {
                let extended = self.b.unary(code, a)?;
                self.state.extended[place] = Some((a, extended));
                Ok(extended)
            }
        }
    }

    fn select(&mut self, ty: Type) -> Result<Value, Error> {
        let condition = self.pop();
        let (a, b) = self.pop2();
        let code = match ty {
            Type::I32 => Opcode::I32Select,
            Type::F32 => Opcode::F32Select,
            Type::F64 => Opcode::F64Select,
            Type::I64 | Type::Ref => Opcode::I64Select,
        };
        Ok(self.b.select(code, condition, a, b)?)
    }

    fn partial(&mut self, code: Opcode, traps: &Traps) -> Result<Value, Error> {
        Ok(match traps {
            Traps::Zero | Traps::Signed => {
                let (a, b) = self.pop2();
                let exit = match traps {
                    Traps::Zero => self.trap(number::ZERO)?,
                    _ => self.trap_for(number::DIVISION, b)?,
                };
                self.b.binary_else(code, a, b, exit)?
            }
            Traps::F32 | Traps::F64 => {
                let a = self.pop();
                let number = match traps {
                    Traps::F32 => number::CONVERSION_F32,
                    _ => number::CONVERSION_F64,
                };
                let exit = self.trap_for(number, a)?;
                self.b.unary_else(code, a, exit)?
            }
        })
    }
}
