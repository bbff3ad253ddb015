//! Scalar ops in Cranelift's terms: a value, a comparison, or a value with the condition under which it leaves.
//!
//! Takes an op and its operands at a cursor; promises what the op table says. Total for every scalar op
//! of the table, which a test holds against [`patchjit::ops::Opcode::all`].

use cranelift_codegen::cursor::FuncCursor;
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::immediates::{Ieee32, Ieee64};
use cranelift_codegen::ir::types::{F32, F64, I8, I16, I32, I64};
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Type, Value};
use patchjit::ir::Tag;
use patchjit::ops::Opcode;

/// What a scalar op gives.
#[derive(Clone, Copy, Debug)]
pub enum Scalar {
    /// A value of the op's type.
    Value(Value),
    /// 0 or 1 in eight bits, which a branch takes as it is.
    Condition(Value),
    /// A value, and eight bits that are not zero where the op leaves instead.
    Checked(Value, Value),
}

/// An integer constant of a type.
pub fn integer(cursor: &mut FuncCursor, ty: Type, value: i64) -> Value {
    let mask = u64::MAX >> (64 - ty.bits());
    cursor.ins().iconst(ty, (value as u64 & mask).cast_signed())
}

fn f32_constant(cursor: &mut FuncCursor, value: f32) -> Value {
    cursor.ins().f32const(Ieee32::with_bits(value.to_bits()))
}

fn f64_constant(cursor: &mut FuncCursor, value: f64) -> Value {
    cursor.ins().f64const(Ieee64::with_bits(value.to_bits()))
}

/// The op, if it is total. `b` is ignored where the op has one operand; pass `a` again.
#[rustfmt::skip]
pub fn total(cursor: &mut FuncCursor, code: Opcode, a: Value, b: Value) -> Option<Scalar> {
    use Opcode::*;
    let value = match code {
        I32Add | I64Add => cursor.ins().iadd(a, b),
        I32Sub | I64Sub => cursor.ins().isub(a, b),
        I32Mul | I64Mul => cursor.ins().imul(a, b),
        I32MulHighS => mul_high(cursor, a, b, true),
        I32MulHighU => mul_high(cursor, a, b, false),
        I64MulHighS => cursor.ins().smulhi(a, b),
        I64MulHighU => cursor.ins().umulhi(a, b),
        I32And | I64And => cursor.ins().band(a, b),
        I32Or | I64Or => cursor.ins().bor(a, b),
        I32Xor | I64Xor => cursor.ins().bxor(a, b),
        I32Shl | I64Shl => cursor.ins().ishl(a, b),
        I32ShrS | I64ShrS => cursor.ins().sshr(a, b),
        I32ShrU | I64ShrU => cursor.ins().ushr(a, b),
        I32Rotl | I64Rotl => cursor.ins().rotl(a, b),
        I32Rotr | I64Rotr => cursor.ins().rotr(a, b),
        I32Clz | I64Clz => cursor.ins().clz(a),
        I32Ctz | I64Ctz => cursor.ins().ctz(a),
        I32Popcnt | I64Popcnt => cursor.ins().popcnt(a),
        I32Bswap | I64Bswap => cursor.ins().bswap(a),
        I32Bswap16 => {
            let narrow = cursor.ins().ireduce(I16, a);
            let swapped = cursor.ins().bswap(narrow);
            cursor.ins().uextend(I32, swapped)
        }
        I32Extend8S => sign_extend(cursor, I8, I32, a),
        I32Extend16S => sign_extend(cursor, I16, I32, a),
        I64Extend8S => sign_extend(cursor, I8, I64, a),
        I64Extend16S => sign_extend(cursor, I16, I64, a),
        I64Extend32S => sign_extend(cursor, I32, I64, a),
        I32WrapI64 => cursor.ins().ireduce(I32, a),
        I64ExtendI32S => cursor.ins().sextend(I64, a),
        I64ExtendI32U => cursor.ins().uextend(I64, a),
        F32Add | F64Add => cursor.ins().fadd(a, b),
        F32Sub | F64Sub => cursor.ins().fsub(a, b),
        F32Mul | F64Mul => cursor.ins().fmul(a, b),
        F32Div | F64Div => cursor.ins().fdiv(a, b),
        F32Min | F64Min => cursor.ins().fmin(a, b),
        F32Max | F64Max => cursor.ins().fmax(a, b),
        F32Copysign | F64Copysign => cursor.ins().fcopysign(a, b),
        F32Abs | F64Abs => cursor.ins().fabs(a),
        F32Neg | F64Neg => cursor.ins().fneg(a),
        F32Sqrt | F64Sqrt => cursor.ins().sqrt(a),
        F32Ceil | F64Ceil => cursor.ins().ceil(a),
        F32Floor | F64Floor => cursor.ins().floor(a),
        F32Trunc | F64Trunc => cursor.ins().trunc(a),
        F32Nearest | F64Nearest => cursor.ins().nearest(a),
        F32Canonicalize => {
            let nan = f32_constant(cursor, f32::NAN);
            canonicalize(cursor, a, nan)
        }
        F64Canonicalize => {
            let nan = f64_constant(cursor, f64::NAN);
            canonicalize(cursor, a, nan)
        }
        I32TruncSatF32S | I32TruncSatF64S => cursor.ins().fcvt_to_sint_sat(I32, a),
        I32TruncSatF32U | I32TruncSatF64U => cursor.ins().fcvt_to_uint_sat(I32, a),
        I64TruncSatF32S | I64TruncSatF64S => cursor.ins().fcvt_to_sint_sat(I64, a),
        I64TruncSatF32U | I64TruncSatF64U => cursor.ins().fcvt_to_uint_sat(I64, a),
        F32ConvertI32S | F32ConvertI64S => cursor.ins().fcvt_from_sint(F32, a),
        F32ConvertI32U | F32ConvertI64U => cursor.ins().fcvt_from_uint(F32, a),
        F64ConvertI32S | F64ConvertI64S => cursor.ins().fcvt_from_sint(F64, a),
        F64ConvertI32U | F64ConvertI64U => cursor.ins().fcvt_from_uint(F64, a),
        F32DemoteF64 => cursor.ins().fdemote(F32, a),
        F64PromoteF32 => cursor.ins().fpromote(F64, a),
        I32ReinterpretF32 => cursor.ins().bitcast(I32, MemFlagsData::new(), a),
        I64ReinterpretF64 => cursor.ins().bitcast(I64, MemFlagsData::new(), a),
        F32ReinterpretI32 => cursor.ins().bitcast(F32, MemFlagsData::new(), a),
        F64ReinterpretI64 => cursor.ins().bitcast(F64, MemFlagsData::new(), a),
        RefFromI64 | I64FromRef => a,
        _ => return comparison(cursor, code, a, b).map(Scalar::Condition),
    };
    Some(Scalar::Value(value))
}

/// An op on tagged words.
pub fn tagged(cursor: &mut FuncCursor, code: Opcode, tag: Tag, a: Value) -> Scalar {
    let shift = i64::from(tag.shift);
    let carrying = (!tag.mask).cast_signed();
    let boxed = |cursor: &mut FuncCursor, carried: Value| {
        let shifted = cursor.ins().ishl_imm_s(carried, shift);
        let kept = cursor.ins().band_imm_s(shifted, carrying);
        cursor.ins().bor_imm_s(kept, tag.bits.cast_signed())
    };
    Scalar::Value(match code {
        Opcode::I64TagTest => {
            let told = cursor.ins().band_imm_s(a, tag.mask.cast_signed());
            let bits = integer(cursor, I64, tag.bits.cast_signed());
            return Scalar::Condition(cursor.ins().icmp(IntCC::Equal, told, bits));
        }
        Opcode::I64BoxI32 => {
            let carried = cursor.ins().uextend(I64, a);
            boxed(cursor, carried)
        }
        Opcode::I64BoxF64 => {
            let nan = f64_constant(cursor, f64::NAN);
            let number = canonicalize(cursor, a, nan);
            let carried = cursor.ins().bitcast(I64, MemFlagsData::new(), number);
            boxed(cursor, carried)
        }
        Opcode::I64UnboxS => {
            let kept = cursor.ins().band_imm_s(a, carrying);
            let above = i64::from((!tag.mask).leading_zeros() % 64);
            let high = cursor.ins().ishl_imm_s(kept, above);
            cursor.ins().sshr_imm_s(high, (above + shift).min(63))
        }
        Opcode::I64UnboxU | Opcode::I32Unbox => {
            let kept = cursor.ins().band_imm_s(a, carrying);
            let carried = cursor.ins().ushr_imm_s(kept, shift);
            match code {
                Opcode::I32Unbox => cursor.ins().ireduce(I32, carried),
                _ => carried,
            }
        }
        _ => boxed(cursor, a),
    })
}

#[rustfmt::skip]
fn comparison(cursor: &mut FuncCursor, code: Opcode, a: Value, b: Value) -> Option<Value> {
    use Opcode::*;
    let integer_code = match code {
        I32Eq | I64Eq => Some(IntCC::Equal),
        I32Ne | I64Ne => Some(IntCC::NotEqual),
        I32LtS | I64LtS => Some(IntCC::SignedLessThan),
        I32LtU | I64LtU => Some(IntCC::UnsignedLessThan),
        I32GtS | I64GtS => Some(IntCC::SignedGreaterThan),
        I32GtU | I64GtU => Some(IntCC::UnsignedGreaterThan),
        I32LeS | I64LeS => Some(IntCC::SignedLessThanOrEqual),
        I32LeU | I64LeU => Some(IntCC::UnsignedLessThanOrEqual),
        I32GeS | I64GeS => Some(IntCC::SignedGreaterThanOrEqual),
        I32GeU | I64GeU => Some(IntCC::UnsignedGreaterThanOrEqual),
        I32Eqz | I64Eqz => {
            let ty = if code == I32Eqz { I32 } else { I64 };
            let zero = integer(cursor, ty, 0);
            return Some(cursor.ins().icmp(IntCC::Equal, a, zero));
        }
        _ => None,
    };
    if let Some(condition) = integer_code {
        return Some(cursor.ins().icmp(condition, a, b));
    }
    let float_code = match code {
        F32Eq | F64Eq => FloatCC::Equal,
        F32Ne | F64Ne => FloatCC::NotEqual,
        F32Lt | F64Lt => FloatCC::LessThan,
        F32Gt | F64Gt => FloatCC::GreaterThan,
        F32Le | F64Le => FloatCC::LessThanOrEqual,
        F32Ge | F64Ge => FloatCC::GreaterThanOrEqual,
        _ => return None,
    };
    Some(cursor.ins().fcmp(float_code, a, b))
}

/// The sum, difference or product, and whether it overflowed.
pub fn checked(cursor: &mut FuncCursor, code: Opcode, a: Value, b: Value) -> Option<Scalar> {
    use Opcode::*;
    let (value, overflow) = match code {
        I32AddChecked | I64AddChecked => cursor.ins().sadd_overflow(a, b),
        I32SubChecked | I64SubChecked => cursor.ins().ssub_overflow(a, b),
        I32MulChecked | I64MulChecked => cursor.ins().smul_overflow(a, b),
        _ => return None,
    };
    Some(Scalar::Checked(value, overflow))
}

/// Whether the op is a division or a remainder, and the type that it is done in.
pub fn division_type(code: Opcode) -> Option<Type> {
    use Opcode::*;
    match code {
        I32DivS | I32DivU | I32RemS | I32RemU => Some(I32),
        I64DivS | I64DivU | I64RemS | I64RemU => Some(I64),
        _ => None,
    }
}

/// The least number of a type, for the quotient that does not fit: the least by -1. `None` where every
/// quotient by a divisor other than zero fits.
pub fn least_dividend(code: Opcode) -> Option<i64> {
    match code {
        Opcode::I32DivS => Some(i64::from(i32::MIN)),
        Opcode::I64DivS => Some(i64::MIN),
        _ => None,
    }
}

/// The quotient or remainder, once the checks are passed.
pub fn divide(cursor: &mut FuncCursor, code: Opcode, a: Value, b: Value) -> Value {
    use Opcode::*;
    match code {
        I32DivS | I64DivS => cursor.ins().sdiv(a, b),
        I32DivU | I64DivU => cursor.ins().udiv(a, b),
        I32RemS | I64RemS => cursor.ins().srem(a, b),
        _ => cursor.ins().urem(a, b),
    }
}

/// Two conditions that must hold (not zero) for a truncating conversion to be done, if the op is one; they do not for NaN.
pub fn truncates(cursor: &mut FuncCursor, code: Opcode, a: Value) -> Option<[Value; 2]> {
    use Opcode::*;
    // The bounds are exact in their float type; where the least integer has no neighbour below it in
    // that type, the least integer itself is the first that fits.
    let (above, least, bound) = match code {
        I32TruncF32S => (FloatCC::GreaterThanOrEqual, -2147483648.0, 2147483648.0),
        I32TruncF64S => (FloatCC::GreaterThan, -2147483649.0, 2147483648.0),
        I32TruncF32U | I32TruncF64U => (FloatCC::GreaterThan, -1.0, 4294967296.0),
        I64TruncF32S | I64TruncF64S => (
            FloatCC::GreaterThanOrEqual,
            -9223372036854775808.0,
            9223372036854775808.0,
        ),
        I64TruncF32U | I64TruncF64U => (FloatCC::GreaterThan, -1.0, 18446744073709551616.0),
        _ => return None,
    };
    let single = matches!(
        code,
        I32TruncF32S | I32TruncF32U | I64TruncF32S | I64TruncF32U
    );
    let (least, bound) = if single {
        (
            f32_constant(cursor, least as f32),
            f32_constant(cursor, bound as f32),
        )
    } else {
        (f64_constant(cursor, least), f64_constant(cursor, bound))
    };
    let fits_below = cursor.ins().fcmp(above, a, least);
    let fits_above = cursor.ins().fcmp(FloatCC::LessThan, a, bound);
    Some([fits_below, fits_above])
}

/// The integer part, once the checks are passed.
pub fn truncate(cursor: &mut FuncCursor, code: Opcode, a: Value) -> Value {
    use Opcode::*;
    match code {
        I32TruncF32S | I32TruncF64S => cursor.ins().fcvt_to_sint_sat(I32, a),
        I32TruncF32U | I32TruncF64U => cursor.ins().fcvt_to_uint_sat(I32, a),
        I64TruncF32S | I64TruncF64S => cursor.ins().fcvt_to_sint_sat(I64, a),
        _ => cursor.ins().fcvt_to_uint_sat(I64, a),
    }
}

fn sign_extend(cursor: &mut FuncCursor, narrow: Type, wide: Type, a: Value) -> Value {
    let low = cursor.ins().ireduce(narrow, a);
    cursor.ins().sextend(wide, low)
}

fn mul_high(cursor: &mut FuncCursor, a: Value, b: Value, signed: bool) -> Value {
    let mut widen = |value| {
        if signed {
            cursor.ins().sextend(I64, value)
        } else {
            cursor.ins().uextend(I64, value)
        }
    };
    let (a, b) = (widen(a), widen(b));
    let product = cursor.ins().imul(a, b);
    let by = integer(cursor, I64, 32);
    let high = cursor.ins().ushr(product, by);
    cursor.ins().ireduce(I32, high)
}

fn canonicalize(cursor: &mut FuncCursor, a: Value, nan: Value) -> Value {
    let ordered = cursor.ins().fcmp(FloatCC::Equal, a, a);
    cursor.ins().select(ordered, a, nan)
}
