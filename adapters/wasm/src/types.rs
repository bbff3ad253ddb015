//! Types of WebAssembly, and what the core calls them.
//!
//! References are 64-bit words here and no `ref` of the core's: nothing moves them. 0 is null; any other word of a function reference is
//! its number in its store plus 1, of an external reference the embedder's number plus 1.

use patchjit::types::Type;
use wasmparser::{HeapType, RefType, ValType};

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValueType {
    /// 32-bit integers.
    I32,
    /// 64-bit integers.
    I64,
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary64.
    F64,
    /// References to functions, or null.
    FuncRef,
    /// The embedder's references, or null.
    ExternRef,
}

impl ValueType {
    /// The type in the core.
    pub(crate) const fn core(self) -> Type {
        match self {
            ValueType::I32 => Type::I32,
            ValueType::F32 => Type::F32,
            ValueType::F64 => Type::F64,
            ValueType::I64 | ValueType::FuncRef | ValueType::ExternRef => Type::I64,
        }
    }

    /// A list of this type alone.
    pub(crate) const fn alone(self) -> &'static [ValueType] {
        match self {
            ValueType::I32 => &[ValueType::I32],
            ValueType::I64 => &[ValueType::I64],
            ValueType::F32 => &[ValueType::F32],
            ValueType::F64 => &[ValueType::F64],
            ValueType::FuncRef => &[ValueType::FuncRef],
            ValueType::ExternRef => &[ValueType::ExternRef],
        }
    }

    /// The type of a validated module's value, if it is one of the features that are translated.
    pub(crate) fn from_parser(ty: ValType) -> Option<ValueType> {
        Some(match ty {
            ValType::I32 => ValueType::I32,
            ValType::I64 => ValueType::I64,
            ValType::F32 => ValueType::F32,
            ValType::F64 => ValueType::F64,
            ValType::Ref(ty) => return ValueType::from_reference(ty),
            ValType::V128 => return None,
        })
    }

    /// The same of a reference.
    pub(crate) fn from_reference(ty: RefType) -> Option<ValueType> {
        if ty == RefType::FUNCREF {
            Some(ValueType::FuncRef)
        } else if ty == RefType::EXTERNREF {
            Some(ValueType::ExternRef)
        } else {
            None
        }
    }

    /// The same of what a null is one of.
    pub(crate) fn from_heap(ty: HeapType) -> Option<ValueType> {
        RefType::new(true, ty).and_then(ValueType::from_reference)
    }
}

/// The type of a function.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct FuncType {
    /// Of its parameters.
    pub parameters: Vec<ValueType>,
    /// Of its results.
    pub results: Vec<ValueType>,
}

/// How long something is at least and at most: a memory in pages of 65,536 bytes, a table in elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// At first.
    pub least: u32,
    /// What it may grow to, if that is said.
    pub most: Option<u32>,
}

/// The type of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableType {
    /// Of its elements: a reference.
    pub element: ValueType,
    /// Its lengths.
    pub limits: Limits,
}

/// The type of a global.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GlobalType {
    /// Of what it holds.
    pub content: ValueType,
    /// Whether it can be set.
    pub mutable: bool,
}

/// A value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// A 32-bit integer.
    I32(i32),
    /// A 64-bit integer.
    I64(i64),
    /// The bits of a binary32.
    F32(u32),
    /// The bits of a binary64.
    F64(u64),
    /// A function, by its number in its store, or null.
    FuncRef(Option<u32>),
    /// A number of the embedder's, or null.
    ExternRef(Option<u32>),
}

impl Value {
    /// Its type.
    pub const fn ty(self) -> ValueType {
        match self {
            Value::I32(_) => ValueType::I32,
            Value::I64(_) => ValueType::I64,
            Value::F32(_) => ValueType::F32,
            Value::F64(_) => ValueType::F64,
            Value::FuncRef(_) => ValueType::FuncRef,
            Value::ExternRef(_) => ValueType::ExternRef,
        }
    }

    /// The word that stands for it.
    pub(crate) fn bits(self) -> u64 {
        match self {
            Value::I32(value) => u64::from(value as u32),
            Value::I64(value) => value as u64,
            Value::F32(bits) => u64::from(bits),
            Value::F64(bits) => bits,
            Value::FuncRef(number) | Value::ExternRef(number) => {
                number.map_or(0, |number| u64::from(number) + 1)
            }
        }
    }

    /// The value that a word stands for.
    pub(crate) fn from_bits(ty: ValueType, bits: u64) -> Value {
        let number = || bits.checked_sub(1).map(|number| number as u32);
        match ty {
            ValueType::I32 => Value::I32(bits as i32),
            ValueType::I64 => Value::I64(bits as i64),
            ValueType::F32 => Value::F32(bits as u32),
            ValueType::F64 => Value::F64(bits),
            ValueType::FuncRef => Value::FuncRef(number()),
            ValueType::ExternRef => Value::ExternRef(number()),
        }
    }
}
