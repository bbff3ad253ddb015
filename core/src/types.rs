//! Value types and their bit patterns.
//!
//! Everything that leaves compiled code or the oracle travels as `u64` bits:
//! narrow values are zero-extended, floats are their IEEE 754 bit patterns.

/// The type of a micro-op's value. The encoding leaves room for 128-bit vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Type {
    /// 32-bit integer without a sign of its own.
    I32 = 0,
    /// 64-bit integer without a sign of its own; also what addresses and indices are.
    I64 = 1,
    /// IEEE 754 binary32.
    F32 = 2,
    /// IEEE 754 binary64.
    F64 = 3,
    /// 64 bits that a collector may move: every safepoint has a map of where they live.
    Ref = 4,
}

impl Type {
    /// All types, in the order of their encoding.
    pub const ALL: [Type; 5] = [Type::I32, Type::I64, Type::F32, Type::F64, Type::Ref];

    /// The name in the text form.
    pub const fn name(self) -> &'static str {
        match self {
            Type::I32 => "i32",
            Type::I64 => "i64",
            Type::F32 => "f32",
            Type::F64 => "f64",
            Type::Ref => "ref",
        }
    }

    /// The type with this encoding, if there is one.
    pub const fn from_code(code: u32) -> Option<Type> {
        match code {
            0 => Some(Type::I32),
            1 => Some(Type::I64),
            2 => Some(Type::F32),
            3 => Some(Type::F64),
            4 => Some(Type::Ref),
            _ => None,
        }
    }

    /// The type with this name in the text form, if there is one.
    pub fn from_name(name: &str) -> Option<Type> {
        Type::ALL.into_iter().find(|ty| ty.name() == name)
    }

    /// Whether values of this type live in the float bank.
    pub const fn is_float(self) -> bool {
        matches!(self, Type::F32 | Type::F64)
    }

    /// The significant bits of a value of this type: 32 or 64.
    pub const fn bits(self) -> u32 {
        match self {
            Type::I32 | Type::F32 => 32,
            Type::I64 | Type::F64 | Type::Ref => 64,
        }
    }
}

/// A Rust type that stands for a value type in the op table's semantics.
pub trait Scalar: Copy {
    /// The value that these bits stand for; the upper bits of narrow values are ignored.
    fn from_bits(bits: u64) -> Self;
    /// The bits of this value, zero-extended.
    fn into_bits(self) -> u64;
}

impl Scalar for i32 {
    #[inline(always)]
    fn from_bits(bits: u64) -> i32 {
        bits as i32
    }
    #[inline(always)]
    fn into_bits(self) -> u64 {
        u64::from(self as u32)
    }
}

impl Scalar for i64 {
    #[inline(always)]
    fn from_bits(bits: u64) -> i64 {
        bits as i64
    }
    #[inline(always)]
    fn into_bits(self) -> u64 {
        self as u64
    }
}

impl Scalar for u64 {
    #[inline(always)]
    fn from_bits(bits: u64) -> u64 {
        bits
    }
    #[inline(always)]
    fn into_bits(self) -> u64 {
        self
    }
}

impl Scalar for f32 {
    #[inline(always)]
    fn from_bits(bits: u64) -> f32 {
        f32::from_bits(bits as u32)
    }
    #[inline(always)]
    fn into_bits(self) -> u64 {
        u64::from(self.to_bits())
    }
}

impl Scalar for f64 {
    #[inline(always)]
    fn from_bits(bits: u64) -> f64 {
        f64::from_bits(bits)
    }
    #[inline(always)]
    fn into_bits(self) -> u64 {
        self.to_bits()
    }
}
