//! Values: NaN-boxed words of 64 bits.
//!
//! ```text
//!   float     any double; all NaNs are the one with bits 7ff8_0000_0000_0000
//!   integer   fff9_0000 | 32 bits          array   fffb_0000_0000 | 16 bits, an index into the heap's tables
//!   boolean   fffa_0000_0000_000 | 0 or 1  nil     fffc_0000_0000_0000
//! ```
//!
//! Everything but floats has its upper 13 bits set, which no double has once NaNs are canonical. The tags below say the
//! same to compiled code, in the terms of Patchjit's ops on tagged words.

use patchjit::ir::Tag;
use std::fmt;

/// The tag of integers. It asks for zeros above the integer, too, so that an integer and its tag are all that there is in the word.
pub const INTEGER: Tag = Tag {
    mask: 0xffff_ffff_0000_0000,
    bits: 0xfff9_0000_0000_0000,
    shift: 0,
};

/// The tag of booleans; they carry 0 or 1.
pub const BOOLEAN: Tag = Tag {
    mask: 0xffff_ffff_ffff_fffe,
    bits: 0xfffa_0000_0000_0000,
    shift: 0,
};

/// The tag of arrays; they carry 16 bits.
pub const ARRAY: Tag = Tag {
    mask: 0xffff_ffff_ffff_0000,
    bits: 0xfffb_0000_0000_0000,
    shift: 0,
};

/// The tag that everything but floats has.
pub const NOT_FLOAT: Tag = Tag {
    mask: 0xfff8_0000_0000_0000,
    bits: 0xfff8_0000_0000_0000,
    shift: 0,
};

/// The tag of floats: no bit tells, the word is the double.
pub const FLOAT: Tag = Tag {
    mask: 0,
    bits: 0,
    shift: 0,
};

/// A value of the guest's.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct Value(pub u64);

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An integer of 32 bits.
    Integer,
    /// A double.
    Float,
    /// A boolean.
    Boolean,
    /// An array.
    Array,
    /// Nothing.
    Nil,
}

impl Value {
    /// Nothing.
    pub const NIL: Value = Value(0xfffc_0000_0000_0000);

    /// An integer.
    #[inline(always)]
    pub const fn integer(value: i32) -> Value {
        Value(INTEGER.bits | value as u32 as u64)
    }

    /// A double. All NaNs become one.
    #[inline(always)]
    pub fn float(value: f64) -> Value {
        if value.is_nan() {
            return Value(0x7ff8_0000_0000_0000);
        }
        Value(value.to_bits())
    }

    /// A boolean.
    #[inline(always)]
    pub const fn boolean(value: bool) -> Value {
        Value(BOOLEAN.bits | value as u64)
    }

    /// The array with this index in the heap's tables.
    #[inline(always)]
    pub const fn array(index: u16) -> Value {
        Value(ARRAY.bits | index as u64)
    }

    /// Whether it is an integer.
    #[inline(always)]
    pub const fn is_integer(self) -> bool {
        INTEGER.is_on(self.0)
    }

    /// Whether it is a float.
    #[inline(always)]
    pub const fn is_float(self) -> bool {
        !NOT_FLOAT.is_on(self.0)
    }

    /// Whether it is an array.
    #[inline(always)]
    pub const fn is_array(self) -> bool {
        ARRAY.is_on(self.0)
    }

    /// The integer that it is, if it is one.
    #[inline(always)]
    pub const fn as_integer(self) -> i32 {
        self.0 as i32
    }

    /// The double that it is, if it is one.
    #[inline(always)]
    pub const fn as_float(self) -> f64 {
        f64::from_bits(self.0)
    }

    /// The array that it is, if it is one.
    #[inline(always)]
    pub const fn as_array(self) -> u16 {
        self.0 as u16
    }

    /// The boolean that it is, if it is one.
    #[inline(always)]
    pub const fn to_boolean(self) -> Option<bool> {
        if BOOLEAN.is_on(self.0) {
            Some(self.0 & 1 != 0)
        } else {
            None
        }
    }

    /// The number that it is, as a double.
    #[inline(always)]
    pub fn to_number(self) -> Option<f64> {
        match self.kind() {
            Kind::Integer => Some(f64::from(self.as_integer())),
            Kind::Float => Some(self.as_float()),
            _ => None,
        }
    }

    /// What it is.
    #[inline(always)]
    pub fn kind(self) -> Kind {
        match self.0 >> 48 {
            0xfff9 => Kind::Integer,
            0xfffa => Kind::Boolean,
            0xfffb => Kind::Array,
            0xfffc => Kind::Nil,
            _ => Kind::Float,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind() {
            Kind::Integer => write!(f, "{}", self.as_integer()),
            Kind::Float => write!(f, "{:?}", self.as_float()),
            Kind::Boolean => write!(f, "{}", self.0 & 1 != 0),
            Kind::Array => write!(f, "array {}", self.as_array()),
            Kind::Nil => f.write_str("nil"),
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_apart() {
        let values = [
            (Value::integer(-1), Kind::Integer),
            (Value::integer(i32::MIN), Kind::Integer),
            (Value::float(-0.0), Kind::Float),
            (Value::float(f64::NEG_INFINITY), Kind::Float),
            (Value::float(-f64::NAN), Kind::Float),
            (Value::boolean(true), Kind::Boolean),
            (Value::array(65535), Kind::Array),
            (Value::NIL, Kind::Nil),
        ];
        for (value, kind) in values {
            assert_eq!(value.kind(), kind, "{value}");
            assert_eq!(value.is_float(), kind == Kind::Float);
            assert_eq!(value.is_integer(), kind == Kind::Integer);
            assert_eq!(value.is_array(), kind == Kind::Array);
            assert_eq!(value.to_boolean().is_some(), kind == Kind::Boolean);
        }
        assert_eq!(Value::integer(-7).as_integer(), -7);
        assert_eq!(Value::array(9).as_array(), 9);
    }
}
