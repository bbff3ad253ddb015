//! The op table: the single truth about micro-ops.
//!
//! Names, operand and result types, effects, the text form's shape, the oracle's and the folder's
//! semantics, the names of stencils and the reference page all follow from the tables in this file.
//! A new op is a new line here and a name in the enumeration ([`Opcode`], in `ops/opcode.rs`); what it breaks elsewhere, the compiler
//! or a test says.
//!
//! Semantics are WebAssembly 1.0's where WebAssembly has the op
//! (<https://www.w3.org/TR/wasm-core-1/#numerics>); an op is total or leaves through its exit.

use crate::float;
use crate::ir::Tag;
use crate::types::{Scalar, Type};

/// Facts about an op that passes ask for, as a bit set.
pub mod flags {
    /// The two operands may be swapped.
    pub const COMMUTES: u16 = 1 << 0;
    /// A comparison: the result is 0 or 1, and a branch or guard on it can be fused.
    pub const COMPARES: u16 = 1 << 1;
    /// May leave through the exit that the op names.
    pub const LEAVES: u16 = 1 << 2;
    /// Reads memory that something else may write.
    pub const READS: u16 = 1 << 3;
    /// Writes memory.
    pub const WRITES: u16 = 1 << 4;
    /// Reaches memory outside the declared regions: the program is not contained.
    pub const RAW: u16 = 1 << 5;
    /// An atomic access.
    pub const ATOMIC: u16 = 1 << 6;
    /// Other code runs: nothing is known about memory after it.
    pub const CALLS: u16 = 1 << 7;
    /// A collector may run: the live `ref` values are mapped here.
    pub const SAFEPOINT: u16 = 1 << 8;
    /// Ends a block.
    pub const TERMINATES: u16 = 1 << 9;
    /// Has no operands of its own in the record: a constant.
    pub const CONSTANT: u16 = 1 << 10;
}

/// How an op's record is read, printed and parsed. `ir` says which field holds what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A block parameter; stands only at the head of its block.
    Parameter,
    /// One further result of the call before it.
    Result,
    /// A constant: `i64.const 5`.
    Constant,
    /// One operand: `i64.clz a`.
    Unary,
    /// Two operands: `i64.add a, b`.
    Binary,
    /// One operand and a tag of the program: `i64.box @small, a`.
    Tag,
    /// A condition and two values: `i64.select c, a, b`.
    Select,
    /// `i64.load @mem[a * 8 + 16] else trap 1`, raw: `i64.raw_load [a + 16]`.
    Load,
    /// `i64.store @mem[a], v else trap 1`.
    Store,
    /// An atomic read-modify-write: `i64.atomic_add @mem[a], v else trap 1`.
    Update,
    /// `i64.atomic_cmpxchg @mem[a], expected, replacement else trap 1`.
    CompareExchange,
    /// `fence`
    Fence,
    /// Read of a guest slot: `i64.slot_get 3`.
    SlotGet,
    /// Write of a guest slot: `i64.slot_set 3, v`.
    SlotSet,
    /// How long a region is: `i64.region_size @mem`.
    RegionSize,
    /// The index of a function in the program, as a value: `function.index @f`.
    FunctionIndex,
    /// `guard c else exit 7 [0: a]`: leaves if the condition is zero.
    Guard,
    /// `poll else exit 3`: where interruption and invalidation are noticed.
    Poll,
    /// A direct call: `call @f(a, b) else exit 7`.
    Call,
    /// A call through the function's entry cell: `call_cell @f(a)`.
    CallCell,
    /// A call of the function whose index is the operand: `call_indirect (i64) -> i64, index(a) else trap 4`.
    CallIndirect,
    /// A call of a host function: `call_host @h(a)`.
    CallHost,
    /// `jump b(x)`
    Jump,
    /// `branch c, then(x), otherwise(y)`
    Branch,
    /// `switch i, [a, b(x)], default`
    Switch,
    /// `return a, b`
    Return,
    /// `exit 7 [0: a]` or `trap 7`: always leaves.
    Exit,
    /// `return_call @f(a)`
    ReturnCall,
}

/// What the table says of an op.
#[derive(Clone, Copy, Debug)]
pub struct OpInfo {
    /// The name in the text form, in stencils and in reports.
    pub name: &'static str,
    /// How the record is read.
    pub shape: Shape,
    /// The types of the operands; only the first `operand_count` count.
    pub operands: [Type; 3],
    /// How many value operands stand in the record itself.
    pub operand_count: u8,
    /// The type of the result; `None` where there is none, or where the record says it.
    pub result: Option<Type>,
    /// Bytes accessed, for loads, stores and atomics; else 0.
    pub width: u8,
    /// Whether a narrow load extends the sign.
    pub sign_extends: bool,
    /// What passes ask for: see [`flags`].
    pub flags: u16,
}

/// A row of the tables: what passes ask of an op, and what only people do.
struct Row {
    info: OpInfo,
    /// One line for the reference page.
    summary: &'static str,
}

impl OpInfo {
    /// Whether all of these flags are set.
    pub const fn has(&self, flags: u16) -> bool {
        self.flags & flags == flags
    }
}

/// Calls a macro with every op that always gives a value, with its semantics over Rust scalars.
/// What stands behind the macro's name goes in front of the table: so tables can be collected into one.
#[macro_export]
#[doc(hidden)]
macro_rules! for_each_total_op {
    ($callback:ident $(, $carried:tt)*) => { $callback! { $($carried)*
    // i32: arithmetic
    I32Add "i32.add" (I32 a, I32 b) -> I32 [COMMUTES] { a.wrapping_add(b) } "sum, wrapping";
    I32Sub "i32.sub" (I32 a, I32 b) -> I32 [] { a.wrapping_sub(b) } "difference, wrapping";
    I32Mul "i32.mul" (I32 a, I32 b) -> I32 [COMMUTES] { a.wrapping_mul(b) } "product, wrapping";
    I32MulHighS "i32.mul_high_s" (I32 a, I32 b) -> I32 [COMMUTES] { ((i64::from(a) * i64::from(b)) >> 32) as i32 } "upper half of the signed product";
    I32MulHighU "i32.mul_high_u" (I32 a, I32 b) -> I32 [COMMUTES] { ((u64::from(a as u32) * u64::from(b as u32)) >> 32) as i32 } "upper half of the unsigned product";
    I32And "i32.and" (I32 a, I32 b) -> I32 [COMMUTES] { a & b } "bitwise and";
    I32Or "i32.or" (I32 a, I32 b) -> I32 [COMMUTES] { a | b } "bitwise or";
    I32Xor "i32.xor" (I32 a, I32 b) -> I32 [COMMUTES] { a ^ b } "bitwise exclusive or";
    I32Shl "i32.shl" (I32 a, I32 b) -> I32 [] { a.wrapping_shl(b as u32) } "shift left by b modulo 32";
    I32ShrS "i32.shr_s" (I32 a, I32 b) -> I32 [] { a.wrapping_shr(b as u32) } "arithmetic shift right by b modulo 32";
    I32ShrU "i32.shr_u" (I32 a, I32 b) -> I32 [] { (a as u32).wrapping_shr(b as u32) as i32 } "logical shift right by b modulo 32";
    I32Rotl "i32.rotl" (I32 a, I32 b) -> I32 [] { a.rotate_left(b as u32 & 31) } "rotation left by b modulo 32";
    I32Rotr "i32.rotr" (I32 a, I32 b) -> I32 [] { a.rotate_right(b as u32 & 31) } "rotation right by b modulo 32";
    // i32: comparisons
    I32Eq "i32.eq" (I32 a, I32 b) -> I32 [COMMUTES | COMPARES] { i32::from(a == b) } "1 if a == b, else 0";
    I32Ne "i32.ne" (I32 a, I32 b) -> I32 [COMMUTES | COMPARES] { i32::from(a != b) } "1 if a != b, else 0";
    I32LtS "i32.lt_s" (I32 a, I32 b) -> I32 [COMPARES] { i32::from(a < b) } "1 if a < b, signed, else 0";
    I32LtU "i32.lt_u" (I32 a, I32 b) -> I32 [COMPARES] { i32::from((a as u32) < (b as u32)) } "1 if a < b, unsigned, else 0";
    I32GtS "i32.gt_s" (I32 a, I32 b) -> I32 [COMPARES] { i32::from(a > b) } "1 if a > b, signed, else 0";
    I32GtU "i32.gt_u" (I32 a, I32 b) -> I32 [COMPARES] { i32::from((a as u32) > (b as u32)) } "1 if a > b, unsigned, else 0";
    I32LeS "i32.le_s" (I32 a, I32 b) -> I32 [COMPARES] { i32::from(a <= b) } "1 if a <= b, signed, else 0";
    I32LeU "i32.le_u" (I32 a, I32 b) -> I32 [COMPARES] { i32::from((a as u32) <= (b as u32)) } "1 if a <= b, unsigned, else 0";
    I32GeS "i32.ge_s" (I32 a, I32 b) -> I32 [COMPARES] { i32::from(a >= b) } "1 if a >= b, signed, else 0";
    I32GeU "i32.ge_u" (I32 a, I32 b) -> I32 [COMPARES] { i32::from((a as u32) >= (b as u32)) } "1 if a >= b, unsigned, else 0";
    I32Eqz "i32.eqz" (I32 a) -> I32 [COMPARES] { i32::from(a == 0) } "1 if a is zero, else 0";
    // i32: bits
    I32Clz "i32.clz" (I32 a) -> I32 [] { a.leading_zeros() as i32 } "leading zero bits; 32 for zero";
    I32Ctz "i32.ctz" (I32 a) -> I32 [] { a.trailing_zeros() as i32 } "trailing zero bits; 32 for zero";
    I32Popcnt "i32.popcnt" (I32 a) -> I32 [] { a.count_ones() as i32 } "bits that are set";
    I32Bswap "i32.bswap" (I32 a) -> I32 [] { a.swap_bytes() } "the bytes in reverse order";
    I32Bswap16 "i32.bswap16" (I32 a) -> I32 [] { i32::from((a as u16).swap_bytes()) } "the low two bytes swapped, zero-extended";
    I32Extend8S "i32.extend8_s" (I32 a) -> I32 [] { i32::from(a as i8) } "the low 8 bits, sign-extended";
    I32Extend16S "i32.extend16_s" (I32 a) -> I32 [] { i32::from(a as i16) } "the low 16 bits, sign-extended";
    // i64: arithmetic
    I64Add "i64.add" (I64 a, I64 b) -> I64 [COMMUTES] { a.wrapping_add(b) } "sum, wrapping";
    I64Sub "i64.sub" (I64 a, I64 b) -> I64 [] { a.wrapping_sub(b) } "difference, wrapping";
    I64Mul "i64.mul" (I64 a, I64 b) -> I64 [COMMUTES] { a.wrapping_mul(b) } "product, wrapping";
    I64MulHighS "i64.mul_high_s" (I64 a, I64 b) -> I64 [COMMUTES] { ((a as i128 * b as i128) >> 64) as i64 } "upper half of the signed product";
    I64MulHighU "i64.mul_high_u" (I64 a, I64 b) -> I64 [COMMUTES] { ((a as u64 as u128 * b as u64 as u128) >> 64) as i64 } "upper half of the unsigned product";
    I64And "i64.and" (I64 a, I64 b) -> I64 [COMMUTES] { a & b } "bitwise and";
    I64Or "i64.or" (I64 a, I64 b) -> I64 [COMMUTES] { a | b } "bitwise or";
    I64Xor "i64.xor" (I64 a, I64 b) -> I64 [COMMUTES] { a ^ b } "bitwise exclusive or";
    I64Shl "i64.shl" (I64 a, I64 b) -> I64 [] { a.wrapping_shl(b as u32) } "shift left by b modulo 64";
    I64ShrS "i64.shr_s" (I64 a, I64 b) -> I64 [] { a.wrapping_shr(b as u32) } "arithmetic shift right by b modulo 64";
    I64ShrU "i64.shr_u" (I64 a, I64 b) -> I64 [] { (a as u64).wrapping_shr(b as u32) as i64 } "logical shift right by b modulo 64";
    I64Rotl "i64.rotl" (I64 a, I64 b) -> I64 [] { a.rotate_left(b as u32 & 63) } "rotation left by b modulo 64";
    I64Rotr "i64.rotr" (I64 a, I64 b) -> I64 [] { a.rotate_right(b as u32 & 63) } "rotation right by b modulo 64";
    // i64: comparisons
    I64Eq "i64.eq" (I64 a, I64 b) -> I32 [COMMUTES | COMPARES] { i32::from(a == b) } "1 if a == b, else 0";
    I64Ne "i64.ne" (I64 a, I64 b) -> I32 [COMMUTES | COMPARES] { i32::from(a != b) } "1 if a != b, else 0";
    I64LtS "i64.lt_s" (I64 a, I64 b) -> I32 [COMPARES] { i32::from(a < b) } "1 if a < b, signed, else 0";
    I64LtU "i64.lt_u" (I64 a, I64 b) -> I32 [COMPARES] { i32::from((a as u64) < (b as u64)) } "1 if a < b, unsigned, else 0";
    I64GtS "i64.gt_s" (I64 a, I64 b) -> I32 [COMPARES] { i32::from(a > b) } "1 if a > b, signed, else 0";
    I64GtU "i64.gt_u" (I64 a, I64 b) -> I32 [COMPARES] { i32::from((a as u64) > (b as u64)) } "1 if a > b, unsigned, else 0";
    I64LeS "i64.le_s" (I64 a, I64 b) -> I32 [COMPARES] { i32::from(a <= b) } "1 if a <= b, signed, else 0";
    I64LeU "i64.le_u" (I64 a, I64 b) -> I32 [COMPARES] { i32::from((a as u64) <= (b as u64)) } "1 if a <= b, unsigned, else 0";
    I64GeS "i64.ge_s" (I64 a, I64 b) -> I32 [COMPARES] { i32::from(a >= b) } "1 if a >= b, signed, else 0";
    I64GeU "i64.ge_u" (I64 a, I64 b) -> I32 [COMPARES] { i32::from((a as u64) >= (b as u64)) } "1 if a >= b, unsigned, else 0";
    I64Eqz "i64.eqz" (I64 a) -> I32 [COMPARES] { i32::from(a == 0) } "1 if a is zero, else 0";
    // i64: bits
    I64Clz "i64.clz" (I64 a) -> I64 [] { a.leading_zeros() as i64 } "leading zero bits; 64 for zero";
    I64Ctz "i64.ctz" (I64 a) -> I64 [] { a.trailing_zeros() as i64 } "trailing zero bits; 64 for zero";
    I64Popcnt "i64.popcnt" (I64 a) -> I64 [] { a.count_ones() as i64 } "bits that are set";
    I64Bswap "i64.bswap" (I64 a) -> I64 [] { a.swap_bytes() } "the bytes in reverse order";
    I64Extend8S "i64.extend8_s" (I64 a) -> I64 [] { i64::from(a as i8) } "the low 8 bits, sign-extended";
    I64Extend16S "i64.extend16_s" (I64 a) -> I64 [] { i64::from(a as i16) } "the low 16 bits, sign-extended";
    I64Extend32S "i64.extend32_s" (I64 a) -> I64 [] { i64::from(a as i32) } "the low 32 bits, sign-extended";
    // conversions between integers
    I32WrapI64 "i32.wrap_i64" (I64 a) -> I32 [] { a as i32 } "the low 32 bits";
    I64ExtendI32S "i64.extend_i32_s" (I32 a) -> I64 [] { i64::from(a) } "sign extension";
    I64ExtendI32U "i64.extend_i32_u" (I32 a) -> I64 [] { i64::from(a as u32) } "zero extension";
    // f32: arithmetic
    F32Add "f32.add" (F32 a, F32 b) -> F32 [COMMUTES] { a + b } "sum";
    F32Sub "f32.sub" (F32 a, F32 b) -> F32 [] { a - b } "difference";
    F32Mul "f32.mul" (F32 a, F32 b) -> F32 [COMMUTES] { a * b } "product";
    F32Div "f32.div" (F32 a, F32 b) -> F32 [] { a / b } "quotient";
    F32Min "f32.min" (F32 a, F32 b) -> F32 [] { float::min32(a, b) } "lesser operand; NaN if either is; -0 below +0";
    F32Max "f32.max" (F32 a, F32 b) -> F32 [] { float::max32(a, b) } "greater operand; NaN if either is; +0 above -0";
    F32Copysign "f32.copysign" (F32 a, F32 b) -> F32 [] { libm::copysignf(a, b) } "a with the sign of b";
    F32Abs "f32.abs" (F32 a) -> F32 [] { libm::fabsf(a) } "a without its sign";
    F32Neg "f32.neg" (F32 a) -> F32 [] { -a } "a with its sign flipped";
    F32Sqrt "f32.sqrt" (F32 a) -> F32 [] { libm::sqrtf(a) } "square root";
    F32Ceil "f32.ceil" (F32 a) -> F32 [] { float::ceil32(a) } "the integer at or above";
    F32Floor "f32.floor" (F32 a) -> F32 [] { float::floor32(a) } "the integer at or below";
    F32Trunc "f32.trunc" (F32 a) -> F32 [] { float::trunc32(a) } "the integer part";
    F32Nearest "f32.nearest" (F32 a) -> F32 [] { float::nearest32(a) } "the nearest integer, ties to even";
    F32Canonicalize "f32.canonicalize" (F32 a) -> F32 [] { float::canonicalize32(a) } "every NaN made the positive quiet NaN with an empty payload";
    // f32: comparisons, all false but `ne` where an operand is NaN
    F32Eq "f32.eq" (F32 a, F32 b) -> I32 [COMMUTES | COMPARES] { i32::from(a == b) } "1 if a == b, else 0";
    F32Ne "f32.ne" (F32 a, F32 b) -> I32 [COMMUTES | COMPARES] { i32::from(a != b) } "1 if a != b, else 0";
    F32Lt "f32.lt" (F32 a, F32 b) -> I32 [COMPARES] { i32::from(a < b) } "1 if a < b, else 0";
    F32Gt "f32.gt" (F32 a, F32 b) -> I32 [COMPARES] { i32::from(a > b) } "1 if a > b, else 0";
    F32Le "f32.le" (F32 a, F32 b) -> I32 [COMPARES] { i32::from(a <= b) } "1 if a <= b, else 0";
    F32Ge "f32.ge" (F32 a, F32 b) -> I32 [COMPARES] { i32::from(a >= b) } "1 if a >= b, else 0";
    // f64: arithmetic
    F64Add "f64.add" (F64 a, F64 b) -> F64 [COMMUTES] { a + b } "sum";
    F64Sub "f64.sub" (F64 a, F64 b) -> F64 [] { a - b } "difference";
    F64Mul "f64.mul" (F64 a, F64 b) -> F64 [COMMUTES] { a * b } "product";
    F64Div "f64.div" (F64 a, F64 b) -> F64 [] { a / b } "quotient";
    F64Min "f64.min" (F64 a, F64 b) -> F64 [] { float::min64(a, b) } "lesser operand; NaN if either is; -0 below +0";
    F64Max "f64.max" (F64 a, F64 b) -> F64 [] { float::max64(a, b) } "greater operand; NaN if either is; +0 above -0";
    F64Copysign "f64.copysign" (F64 a, F64 b) -> F64 [] { libm::copysign(a, b) } "a with the sign of b";
    F64Abs "f64.abs" (F64 a) -> F64 [] { libm::fabs(a) } "a without its sign";
    F64Neg "f64.neg" (F64 a) -> F64 [] { -a } "a with its sign flipped";
    F64Sqrt "f64.sqrt" (F64 a) -> F64 [] { libm::sqrt(a) } "square root";
    F64Ceil "f64.ceil" (F64 a) -> F64 [] { float::ceil64(a) } "the integer at or above";
    F64Floor "f64.floor" (F64 a) -> F64 [] { float::floor64(a) } "the integer at or below";
    F64Trunc "f64.trunc" (F64 a) -> F64 [] { float::trunc64(a) } "the integer part";
    F64Nearest "f64.nearest" (F64 a) -> F64 [] { float::nearest64(a) } "the nearest integer, ties to even";
    F64Canonicalize "f64.canonicalize" (F64 a) -> F64 [] { float::canonicalize64(a) } "every NaN made the positive quiet NaN with an empty payload";
    // f64: comparisons, all false but `ne` where an operand is NaN
    F64Eq "f64.eq" (F64 a, F64 b) -> I32 [COMMUTES | COMPARES] { i32::from(a == b) } "1 if a == b, else 0";
    F64Ne "f64.ne" (F64 a, F64 b) -> I32 [COMMUTES | COMPARES] { i32::from(a != b) } "1 if a != b, else 0";
    F64Lt "f64.lt" (F64 a, F64 b) -> I32 [COMPARES] { i32::from(a < b) } "1 if a < b, else 0";
    F64Gt "f64.gt" (F64 a, F64 b) -> I32 [COMPARES] { i32::from(a > b) } "1 if a > b, else 0";
    F64Le "f64.le" (F64 a, F64 b) -> I32 [COMPARES] { i32::from(a <= b) } "1 if a <= b, else 0";
    F64Ge "f64.ge" (F64 a, F64 b) -> I32 [COMPARES] { i32::from(a >= b) } "1 if a >= b, else 0";
    // conversions with floats
    I32TruncSatF32S "i32.trunc_sat_f32_s" (F32 a) -> I32 [] { a as i32 } "integer part, signed; NaN gives 0, what does not fit the nearest bound";
    I32TruncSatF32U "i32.trunc_sat_f32_u" (F32 a) -> I32 [] { a as u32 as i32 } "integer part, unsigned; NaN gives 0, what does not fit the nearest bound";
    I32TruncSatF64S "i32.trunc_sat_f64_s" (F64 a) -> I32 [] { a as i32 } "integer part, signed; NaN gives 0, what does not fit the nearest bound";
    I32TruncSatF64U "i32.trunc_sat_f64_u" (F64 a) -> I32 [] { a as u32 as i32 } "integer part, unsigned; NaN gives 0, what does not fit the nearest bound";
    I64TruncSatF32S "i64.trunc_sat_f32_s" (F32 a) -> I64 [] { a as i64 } "integer part, signed; NaN gives 0, what does not fit the nearest bound";
    I64TruncSatF32U "i64.trunc_sat_f32_u" (F32 a) -> I64 [] { a as u64 as i64 } "integer part, unsigned; NaN gives 0, what does not fit the nearest bound";
    I64TruncSatF64S "i64.trunc_sat_f64_s" (F64 a) -> I64 [] { a as i64 } "integer part, signed; NaN gives 0, what does not fit the nearest bound";
    I64TruncSatF64U "i64.trunc_sat_f64_u" (F64 a) -> I64 [] { a as u64 as i64 } "integer part, unsigned; NaN gives 0, what does not fit the nearest bound";
    F32ConvertI32S "f32.convert_i32_s" (I32 a) -> F32 [] { a as f32 } "the nearest float to a signed integer";
    F32ConvertI32U "f32.convert_i32_u" (I32 a) -> F32 [] { a as u32 as f32 } "the nearest float to an unsigned integer";
    F32ConvertI64S "f32.convert_i64_s" (I64 a) -> F32 [] { a as f32 } "the nearest float to a signed integer";
    F32ConvertI64U "f32.convert_i64_u" (I64 a) -> F32 [] { a as u64 as f32 } "the nearest float to an unsigned integer";
    F64ConvertI32S "f64.convert_i32_s" (I32 a) -> F64 [] { a as f64 } "the nearest float to a signed integer";
    F64ConvertI32U "f64.convert_i32_u" (I32 a) -> F64 [] { a as u32 as f64 } "the nearest float to an unsigned integer";
    F64ConvertI64S "f64.convert_i64_s" (I64 a) -> F64 [] { a as f64 } "the nearest float to a signed integer";
    F64ConvertI64U "f64.convert_i64_u" (I64 a) -> F64 [] { a as u64 as f64 } "the nearest float to an unsigned integer";
    F32DemoteF64 "f32.demote_f64" (F64 a) -> F32 [] { a as f32 } "the nearest f32";
    F64PromoteF32 "f64.promote_f32" (F32 a) -> F64 [] { f64::from(a) } "the same number";
    I32ReinterpretF32 "i32.reinterpret_f32" (F32 a) -> I32 [] { a.to_bits() as i32 } "the same bits";
    I64ReinterpretF64 "i64.reinterpret_f64" (F64 a) -> I64 [] { a.to_bits() as i64 } "the same bits";
    F32ReinterpretI32 "f32.reinterpret_i32" (I32 a) -> F32 [] { f32::from_bits(a as u32) } "the same bits";
    F64ReinterpretI64 "f64.reinterpret_i64" (I64 a) -> F64 [] { f64::from_bits(a as u64) } "the same bits";
    RefFromI64 "ref.from_i64" (I64 a) -> Ref [] { a as u64 } "the same bits, marked for the collector from here on";
    I64FromRef "i64.from_ref" (Ref a) -> I64 [] { a as i64 } "the same bits, no longer marked";
    } };
}

/// Calls a macro with every op that gives a value or leaves, with its semantics over Rust scalars.
#[macro_export]
#[doc(hidden)]
macro_rules! for_each_leaving_op {
    ($callback:ident $(, $carried:tt)*) => { $callback! { $($carried)*
    I32AddChecked "i32.add_checked" (I32 a, I32 b) -> I32 [COMMUTES] { a.checked_add(b) } "signed sum; leaves on overflow";
    I32SubChecked "i32.sub_checked" (I32 a, I32 b) -> I32 [] { a.checked_sub(b) } "signed difference; leaves on overflow";
    I32MulChecked "i32.mul_checked" (I32 a, I32 b) -> I32 [COMMUTES] { a.checked_mul(b) } "signed product; leaves on overflow";
    I32DivS "i32.div_s" (I32 a, I32 b) -> I32 [] { a.checked_div(b) } "signed quotient, rounded toward zero; leaves if b is 0 or the quotient does not fit";
    I32DivU "i32.div_u" (I32 a, I32 b) -> I32 [] { (a as u32).checked_div(b as u32).map(|q| q as i32) } "unsigned quotient; leaves if b is 0";
    I32RemS "i32.rem_s" (I32 a, I32 b) -> I32 [] { (b != 0).then(|| a.wrapping_rem(b)) } "signed remainder with the sign of a; leaves if b is 0";
    I32RemU "i32.rem_u" (I32 a, I32 b) -> I32 [] { (a as u32).checked_rem(b as u32).map(|r| r as i32) } "unsigned remainder; leaves if b is 0";
    I64AddChecked "i64.add_checked" (I64 a, I64 b) -> I64 [COMMUTES] { a.checked_add(b) } "signed sum; leaves on overflow";
    I64SubChecked "i64.sub_checked" (I64 a, I64 b) -> I64 [] { a.checked_sub(b) } "signed difference; leaves on overflow";
    I64MulChecked "i64.mul_checked" (I64 a, I64 b) -> I64 [COMMUTES] { a.checked_mul(b) } "signed product; leaves on overflow";
    I64DivS "i64.div_s" (I64 a, I64 b) -> I64 [] { a.checked_div(b) } "signed quotient, rounded toward zero; leaves if b is 0 or the quotient does not fit";
    I64DivU "i64.div_u" (I64 a, I64 b) -> I64 [] { (a as u64).checked_div(b as u64).map(|q| q as i64) } "unsigned quotient; leaves if b is 0";
    I64RemS "i64.rem_s" (I64 a, I64 b) -> I64 [] { (b != 0).then(|| a.wrapping_rem(b)) } "signed remainder with the sign of a; leaves if b is 0";
    I64RemU "i64.rem_u" (I64 a, I64 b) -> I64 [] { (a as u64).checked_rem(b as u64).map(|r| r as i64) } "unsigned remainder; leaves if b is 0";
    I32TruncF32S "i32.trunc_f32_s" (F32 a) -> I32 [] { float::f32_to_i32(a) } "integer part, signed; leaves if a is NaN or it does not fit";
    I32TruncF32U "i32.trunc_f32_u" (F32 a) -> I32 [] { float::f32_to_u32(a).map(|x| x as i32) } "integer part, unsigned; leaves if a is NaN or it does not fit";
    I32TruncF64S "i32.trunc_f64_s" (F64 a) -> I32 [] { float::f64_to_i32(a) } "integer part, signed; leaves if a is NaN or it does not fit";
    I32TruncF64U "i32.trunc_f64_u" (F64 a) -> I32 [] { float::f64_to_u32(a).map(|x| x as i32) } "integer part, unsigned; leaves if a is NaN or it does not fit";
    I64TruncF32S "i64.trunc_f32_s" (F32 a) -> I64 [] { float::f32_to_i64(a) } "integer part, signed; leaves if a is NaN or it does not fit";
    I64TruncF32U "i64.trunc_f32_u" (F32 a) -> I64 [] { float::f32_to_u64(a).map(|x| x as i64) } "integer part, unsigned; leaves if a is NaN or it does not fit";
    I64TruncF64S "i64.trunc_f64_s" (F64 a) -> I64 [] { float::f64_to_i64(a) } "integer part, signed; leaves if a is NaN or it does not fit";
    I64TruncF64U "i64.trunc_f64_u" (F64 a) -> I64 [] { float::f64_to_u64(a).map(|x| x as i64) } "integer part, unsigned; leaves if a is NaN or it does not fit";
    } };
}

/// Calls a macro with every load, store and atomic: name, text, shape, type, bytes, sign, flags.
#[macro_export]
#[doc(hidden)]
macro_rules! for_each_memory_op {
    ($callback:ident $(, $carried:tt)*) => { $callback! { $($carried)*
    // loads and stores in regions
    I32Load "i32.load" Load I32 4 false [READS] "32 bits in a region";
    I32Load8S "i32.load8_s" Load I32 1 true [READS] "8 bits in a region, sign-extended";
    I32Load8U "i32.load8_u" Load I32 1 false [READS] "8 bits in a region, zero-extended";
    I32Load16S "i32.load16_s" Load I32 2 true [READS] "16 bits in a region, sign-extended";
    I32Load16U "i32.load16_u" Load I32 2 false [READS] "16 bits in a region, zero-extended";
    I64Load "i64.load" Load I64 8 false [READS] "64 bits in a region";
    I64Load8S "i64.load8_s" Load I64 1 true [READS] "8 bits in a region, sign-extended";
    I64Load8U "i64.load8_u" Load I64 1 false [READS] "8 bits in a region, zero-extended";
    I64Load16S "i64.load16_s" Load I64 2 true [READS] "16 bits in a region, sign-extended";
    I64Load16U "i64.load16_u" Load I64 2 false [READS] "16 bits in a region, zero-extended";
    I64Load32S "i64.load32_s" Load I64 4 true [READS] "32 bits in a region, sign-extended";
    I64Load32U "i64.load32_u" Load I64 4 false [READS] "32 bits in a region, zero-extended";
    F32Load "f32.load" Load F32 4 false [READS] "32 bits in a region";
    F64Load "f64.load" Load F64 8 false [READS] "64 bits in a region";
    I32Store "i32.store" Store I32 4 false [WRITES] "32 bits in a region";
    I32Store8 "i32.store8" Store I32 1 false [WRITES] "the low 8 bits in a region";
    I32Store16 "i32.store16" Store I32 2 false [WRITES] "the low 16 bits in a region";
    I64Store "i64.store" Store I64 8 false [WRITES] "64 bits in a region";
    I64Store8 "i64.store8" Store I64 1 false [WRITES] "the low 8 bits in a region";
    I64Store16 "i64.store16" Store I64 2 false [WRITES] "the low 16 bits in a region";
    I64Store32 "i64.store32" Store I64 4 false [WRITES] "the low 32 bits in a region";
    F32Store "f32.store" Store F32 4 false [WRITES] "32 bits in a region";
    F64Store "f64.store" Store F64 8 false [WRITES] "64 bits in a region";
    // loads and stores at raw addresses, the embedder's risk
    I32RawLoad "i32.raw_load" Load I32 4 false [RAW | READS] "32 bits at a raw address";
    I32RawLoad8S "i32.raw_load8_s" Load I32 1 true [RAW | READS] "8 bits at a raw address, sign-extended";
    I32RawLoad8U "i32.raw_load8_u" Load I32 1 false [RAW | READS] "8 bits at a raw address, zero-extended";
    I32RawLoad16S "i32.raw_load16_s" Load I32 2 true [RAW | READS] "16 bits at a raw address, sign-extended";
    I32RawLoad16U "i32.raw_load16_u" Load I32 2 false [RAW | READS] "16 bits at a raw address, zero-extended";
    I64RawLoad "i64.raw_load" Load I64 8 false [RAW | READS] "64 bits at a raw address";
    I64RawLoad8S "i64.raw_load8_s" Load I64 1 true [RAW | READS] "8 bits at a raw address, sign-extended";
    I64RawLoad8U "i64.raw_load8_u" Load I64 1 false [RAW | READS] "8 bits at a raw address, zero-extended";
    I64RawLoad16S "i64.raw_load16_s" Load I64 2 true [RAW | READS] "16 bits at a raw address, sign-extended";
    I64RawLoad16U "i64.raw_load16_u" Load I64 2 false [RAW | READS] "16 bits at a raw address, zero-extended";
    I64RawLoad32S "i64.raw_load32_s" Load I64 4 true [RAW | READS] "32 bits at a raw address, sign-extended";
    I64RawLoad32U "i64.raw_load32_u" Load I64 4 false [RAW | READS] "32 bits at a raw address, zero-extended";
    F32RawLoad "f32.raw_load" Load F32 4 false [RAW | READS] "32 bits at a raw address";
    F64RawLoad "f64.raw_load" Load F64 8 false [RAW | READS] "64 bits at a raw address";
    I32RawStore "i32.raw_store" Store I32 4 false [RAW | WRITES] "32 bits at a raw address";
    I32RawStore8 "i32.raw_store8" Store I32 1 false [RAW | WRITES] "the low 8 bits at a raw address";
    I32RawStore16 "i32.raw_store16" Store I32 2 false [RAW | WRITES] "the low 16 bits at a raw address";
    I64RawStore "i64.raw_store" Store I64 8 false [RAW | WRITES] "64 bits at a raw address";
    I64RawStore8 "i64.raw_store8" Store I64 1 false [RAW | WRITES] "the low 8 bits at a raw address";
    I64RawStore16 "i64.raw_store16" Store I64 2 false [RAW | WRITES] "the low 16 bits at a raw address";
    I64RawStore32 "i64.raw_store32" Store I64 4 false [RAW | WRITES] "the low 32 bits at a raw address";
    F32RawStore "f32.raw_store" Store F32 4 false [RAW | WRITES] "32 bits at a raw address";
    F64RawStore "f64.raw_store" Store F64 8 false [RAW | WRITES] "64 bits at a raw address";
    // sequentially consistent atomics in regions; the address must be a multiple of the width
    I32AtomicLoad "i32.atomic_load" Load I32 4 false [ATOMIC | READS] "atomic load";
    I32AtomicStore "i32.atomic_store" Store I32 4 false [ATOMIC | WRITES] "atomic store";
    I32AtomicAdd "i32.atomic_add" Update I32 4 false [ATOMIC | READS | WRITES] "atomic sum; gives the old value";
    I32AtomicAnd "i32.atomic_and" Update I32 4 false [ATOMIC | READS | WRITES] "atomic bitwise and; gives the old value";
    I32AtomicOr "i32.atomic_or" Update I32 4 false [ATOMIC | READS | WRITES] "atomic bitwise or; gives the old value";
    I32AtomicXor "i32.atomic_xor" Update I32 4 false [ATOMIC | READS | WRITES] "atomic exclusive or; gives the old value";
    I32AtomicXchg "i32.atomic_xchg" Update I32 4 false [ATOMIC | READS | WRITES] "atomic exchange; gives the old value";
    I32AtomicCmpxchg "i32.atomic_cmpxchg" CompareExchange I32 4 false [ATOMIC | READS | WRITES] "stores the replacement if the old value is the expected one; gives the old value";
    I64AtomicLoad "i64.atomic_load" Load I64 8 false [ATOMIC | READS] "atomic load";
    I64AtomicStore "i64.atomic_store" Store I64 8 false [ATOMIC | WRITES] "atomic store";
    I64AtomicAdd "i64.atomic_add" Update I64 8 false [ATOMIC | READS | WRITES] "atomic sum; gives the old value";
    I64AtomicAnd "i64.atomic_and" Update I64 8 false [ATOMIC | READS | WRITES] "atomic bitwise and; gives the old value";
    I64AtomicOr "i64.atomic_or" Update I64 8 false [ATOMIC | READS | WRITES] "atomic bitwise or; gives the old value";
    I64AtomicXor "i64.atomic_xor" Update I64 8 false [ATOMIC | READS | WRITES] "atomic exclusive or; gives the old value";
    I64AtomicXchg "i64.atomic_xchg" Update I64 8 false [ATOMIC | READS | WRITES] "atomic exchange; gives the old value";
    I64AtomicCmpxchg "i64.atomic_cmpxchg" CompareExchange I64 8 false [ATOMIC | READS | WRITES] "stores the replacement if the old value is the expected one; gives the old value";
    } };
}

/// Calls a macro with every op on words with tags, with its semantics over Rust scalars and the `tag` of the record.
#[macro_export]
#[doc(hidden)]
macro_rules! for_each_tag_op {
    ($callback:ident $(, $carried:tt)*) => { $callback! { $($carried)*
    I64TagTest "i64.tag_test" (I64 a) -> I32 [COMPARES] tag { i32::from(tag.is_on(a as u64)) } "1 if the word has the tag, else 0";
    I64Box "i64.box" (I64 a) -> I64 [] tag { tag.put_on(a as u64) as i64 } "the tagged word that carries an i64; what the word has no room for is lost";
    I64BoxI32 "i64.box_i32" (I32 a) -> I64 [] tag { tag.put_on(u64::from(a as u32)) as i64 } "the tagged word that carries an i32, zero-extended";
    I64BoxF64 "i64.box_f64" (F64 a) -> I64 [] tag { tag.put_on(float::canonicalize64(a).to_bits()) as i64 } "the tagged word that carries the bits of an f64, NaNs as `f64.canonicalize` makes them";
    I64UnboxS "i64.unbox_s" (I64 a) -> I64 [] tag { tag.take_off_signed(a as u64) } "what a tagged word carries, its highest bit the sign";
    I64UnboxU "i64.unbox_u" (I64 a) -> I64 [] tag { tag.take_off(a as u64) as i64 } "what a tagged word carries, zero-extended";
    I32Unbox "i32.unbox" (I64 a) -> I32 [] tag { tag.take_off(a as u64) as i32 } "the low 32 bits of what a tagged word carries";
    } };
}

/// Calls a macro with the ops that are about structure: name, text, shape, operands, result, flags.
macro_rules! for_each_structural_op {
    ($callback:ident) => { $callback! {
    Parameter "param" Parameter () -> () [] "a block parameter, of the type that its block declares";
    Result "result" Result () -> () [] "a further result of the call before it";
    I32Const "i32.const" Constant () -> (I32) [CONSTANT] "an i32 constant";
    I64Const "i64.const" Constant () -> (I64) [CONSTANT] "an i64 constant";
    F32Const "f32.const" Constant () -> (F32) [CONSTANT] "an f32 constant";
    F64Const "f64.const" Constant () -> (F64) [CONSTANT] "an f64 constant";
    I32Select "i32.select" Select (I32 I32 I32) -> (I32) [] "the second operand if the first is not zero, else the third";
    I64Select "i64.select" Select (I32 I64 I64) -> (I64) [] "the second operand if the first is not zero, else the third";
    F32Select "f32.select" Select (I32 F32 F32) -> (F32) [] "the second operand if the first is not zero, else the third";
    F64Select "f64.select" Select (I32 F64 F64) -> (F64) [] "the second operand if the first is not zero, else the third";
    RefSelect "ref.select" Select (I32 Ref Ref) -> (Ref) [] "the second operand if the first is not zero, else the third";
    Fence "fence" Fence () -> () [READS | WRITES] "a sequentially consistent fence";
    I32SlotGet "i32.slot_get" SlotGet () -> (I32) [READS] "the low 32 bits of a guest slot";
    I64SlotGet "i64.slot_get" SlotGet () -> (I64) [READS] "a guest slot";
    F32SlotGet "f32.slot_get" SlotGet () -> (F32) [READS] "the low 32 bits of a guest slot";
    F64SlotGet "f64.slot_get" SlotGet () -> (F64) [READS] "a guest slot";
    RefSlotGet "ref.slot_get" SlotGet () -> (Ref) [READS] "a guest slot";
    I32SlotSet "i32.slot_set" SlotSet (I32) -> () [WRITES] "writes a guest slot, zero-extended";
    I64SlotSet "i64.slot_set" SlotSet (I64) -> () [WRITES] "writes a guest slot";
    F32SlotSet "f32.slot_set" SlotSet (F32) -> () [WRITES] "writes a guest slot, zero-extended";
    F64SlotSet "f64.slot_set" SlotSet (F64) -> () [WRITES] "writes a guest slot";
    RefSlotSet "ref.slot_set" SlotSet (Ref) -> () [WRITES] "writes a guest slot";
    RegionSize "i64.region_size" RegionSize () -> (I64) [READS] "how many bytes a region has now";
    FunctionIndex "function.index" FunctionIndex () -> (I64) [CONSTANT] "the index of a function, which call_indirect takes";
    Guard "guard" Guard (I32) -> () [LEAVES] "leaves if the operand is zero";
    GuardNot "guard_not" Guard (I32) -> () [LEAVES] "leaves if the operand is not zero";
    Poll "poll" Poll () -> () [LEAVES | READS | WRITES | SAFEPOINT] "leaves if the embedder asked for an interruption";
    Call "call" Call () -> () [CALLS | READS | WRITES | LEAVES] "calls a function of the program";
    CallCell "call_cell" CallCell () -> () [CALLS | READS | WRITES | LEAVES] "calls a function through its entry cell, which the embedder can change";
    CallIndirect "call_indirect" CallIndirect (I64) -> () [CALLS | READS | WRITES | LEAVES] "calls the function with this index; leaves if there is none or its signature is another";
    CallHost "call_host" CallHost () -> () [CALLS | READS | WRITES | LEAVES | SAFEPOINT] "calls a host function; leaves if its status is not zero";
    Jump "jump" Jump () -> () [TERMINATES] "goes to a block";
    Branch "branch" Branch (I32) -> () [TERMINATES] "goes to the first block if the operand is not zero, else to the second";
    Switch "switch" Switch (I32) -> () [TERMINATES] "goes to the block with this index, unsigned, or to the default";
    Return "return" Return () -> () [TERMINATES] "ends the function with its results";
    Exit "exit" Exit () -> () [TERMINATES | LEAVES] "leaves";
    ReturnCall "return_call" ReturnCall () -> () [TERMINATES | CALLS | READS | WRITES] "ends the function with the results of another, in its place";
    } };
}

macro_rules! count_operands {
    () => {
        0
    };
    ($a:ident) => {
        1
    };
    ($a:ident $b:ident) => {
        2
    };
    ($a:ident $b:ident $c:ident) => {
        3
    };
}

macro_rules! operand_types {
    () => {
        [Type::I32; 3]
    };
    ($a:ident) => {
        [Type::$a, Type::I32, Type::I32]
    };
    ($a:ident $b:ident) => {
        [Type::$a, Type::$b, Type::I32]
    };
    ($a:ident $b:ident $c:ident) => {
        [Type::$a, Type::$b, Type::$c]
    };
}

macro_rules! result_type {
    () => {
        None
    };
    ($ty:ident) => {
        Some(Type::$ty)
    };
}

macro_rules! flag_set {
    ($($flag:ident)|*) => { 0 $(| flags::$flag)* };
}

macro_rules! value_shape {
    ($a:ident) => {
        Shape::Unary
    };
    ($a:ident $b:ident) => {
        Shape::Binary
    };
}

macro_rules! memory_operands {
    (Load $ty:ident) => {
        ([Type::I64, Type::I32, Type::I32], 1, Some(Type::$ty))
    };
    (Store $ty:ident) => {
        ([Type::I64, Type::$ty, Type::I32], 2, None)
    };
    (Update $ty:ident) => {
        ([Type::I64, Type::$ty, Type::I32], 2, Some(Type::$ty))
    };
    (CompareExchange $ty:ident) => {
        ([Type::I64, Type::$ty, Type::$ty], 3, Some(Type::$ty))
    };
}

macro_rules! scalar {
    (I32) => {
        i32
    };
    (I64) => {
        i64
    };
    (F32) => {
        f32
    };
    (F64) => {
        f64
    };
    (Ref) => {
        u64
    };
}

// The five tables become one enumeration, in the order total, leaving, memory, structural, tag. The callbacks below
// collect them: each macro passes what it has gathered on to the next table.
macro_rules! gather_total {
    ($($variant:ident $name:literal ($($ty:ident $operand:ident),*) -> $result:ident [$($flag:ident)|*] $body:block $doc:literal;)*) => {
        const TOTAL_ROWS: &[Row] = &[$(Row {
            info: OpInfo {
                name: $name,
                shape: value_shape!($($ty)*),
                operands: operand_types!($($ty)*),
                operand_count: count_operands!($($ty)*),
                result: Some(Type::$result),
                width: 0,
                sign_extends: false,
                flags: flag_set!($($flag)|*),
            },
            summary: $doc,
        }),*];

        /// The value of a total op for these operand bits; `None` for an op that is not total.
        /// Operands that the op does not have are ignored.
        #[inline]
        pub fn evaluate_total(code: Opcode, a: u64, b: u64) -> Option<u64> {
            let mut operands = [a, b].into_iter();
            Some(match code {
                $(Opcode::$variant => {
                    $(let $operand = <scalar!($ty) as Scalar>::from_bits(operands.next().unwrap_or(0));)*
                    let value: scalar!($result) = $body;
                    value.into_bits()
                })*
                _ => return None,
            })
        }
    };
}

macro_rules! gather_leaving {
    ($($variant:ident $name:literal ($($ty:ident $operand:ident),*) -> $result:ident [$($flag:ident)|*] $body:block $doc:literal;)*) => {
        const LEAVING_ROWS: &[Row] = &[$(Row {
            info: OpInfo {
                name: $name,
                shape: value_shape!($($ty)*),
                operands: operand_types!($($ty)*),
                operand_count: count_operands!($($ty)*),
                result: Some(Type::$result),
                width: 0,
                sign_extends: false,
                flags: flag_set!($($flag)|*) | flags::LEAVES,
            },
            summary: $doc,
        }),*];

        /// What a scalar op does for these operand bits: `Some(Some(value))`, `Some(None)` where it
        /// leaves, `None` for an op that is not a scalar op. Operands that the op does not have are ignored.
        #[inline]
        pub fn evaluate(code: Opcode, a: u64, b: u64) -> Option<Option<u64>> {
            let mut operands = [a, b].into_iter();
            Some(match code {
                $(Opcode::$variant => {
                    $(let $operand = <scalar!($ty) as Scalar>::from_bits(operands.next().unwrap_or(0));)*
                    let value: Option<scalar!($result)> = $body;
                    value.map(Scalar::into_bits)
                })*
                _ => return evaluate_total(code, a, b).map(Some),
            })
        }
    };
}

macro_rules! gather_memory {
    ($($variant:ident $name:literal $shape:ident $ty:ident $width:literal $sign:literal [$($flag:ident)|*] $doc:literal;)*) => {
        const MEMORY_ROWS: &[Row] = &[$({
            let (operands, operand_count, result) = memory_operands!($shape $ty);
            let raw = flag_set!($($flag)|*) & flags::RAW != 0;
            Row {
                info: OpInfo {
                    name: $name,
                    shape: Shape::$shape,
                    operands,
                    operand_count,
                    result,
                    width: $width,
                    sign_extends: $sign,
                    flags: flag_set!($($flag)|*) | if raw { 0 } else { flags::LEAVES },
                },
                summary: $doc,
            }
        }),*];
    };
}

macro_rules! gather_structural {
    ($($variant:ident $name:literal $shape:ident ($($ty:ident)*) -> ($($result:ident)?) [$($flag:ident)|*] $doc:literal;)*) => {
        const STRUCTURAL_ROWS: &[Row] = &[$(Row {
            info: OpInfo {
                name: $name,
                shape: Shape::$shape,
                operands: operand_types!($($ty)*),
                operand_count: count_operands!($($ty)*),
                result: result_type!($($result)?),
                width: 0,
                sign_extends: false,
                flags: flag_set!($($flag)|*),
            },
            summary: $doc,
        }),*];
    };
}

macro_rules! gather_tag {
    ($($variant:ident $name:literal ($ty:ident $operand:ident) -> $result:ident [$($flag:ident)|*] $tag:ident $body:block $doc:literal;)*) => {
        const TAG_ROWS: &[Row] = &[$(Row {
            info: OpInfo {
                name: $name,
                shape: Shape::Tag,
                operands: operand_types!($ty),
                operand_count: 1,
                result: Some(Type::$result),
                width: 0,
                sign_extends: false,
                flags: flag_set!($($flag)|*),
            },
            summary: $doc,
        }),*];

        /// The value of an op on tagged words for these operand bits and this tag; `None` for another op.
        #[inline]
        pub fn evaluate_tag(code: Opcode, tag: &Tag, a: u64) -> Option<u64> {
            Some(match code {
                $(Opcode::$variant => {
                    let ($tag, $operand) = (tag, <scalar!($ty) as Scalar>::from_bits(a));
                    let value: scalar!($result) = $body;
                    value.into_bits()
                })*
                _ => return None,
            })
        }
    };
}

for_each_total_op!(gather_total);
for_each_leaving_op!(gather_leaving);
for_each_memory_op!(gather_memory);
for_each_structural_op!(gather_structural);
for_each_tag_op!(gather_tag);

// Behind the tables, whose macros it uses.
mod opcode;

pub use opcode::Opcode;
pub(crate) use opcode::{ALL, TAG_OPS};
