//! The op table, folded for the verifier: eight bytes for each op instead of a row of [`OpInfo`].

use crate::ops::{ALL, OpInfo, Opcode, Shape, flags};
use crate::types::Type;

/// How an op's record is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Form {
    Unary,
    UnaryLeaves,
    Binary,
    BinaryLeaves,
    Tag,
    Constant32,
    Constant64,
    Select,
    Load,
    Store,
    CompareExchange,
    RawLoad,
    RawStore,
    Fence,
    SlotGet,
    SlotSet,
    RegionSize,
    FunctionIndex,
    Guard,
    Poll,
    Call,
    CallIndirect,
    CallHost,
    Parameter,
    Result,
    Jump,
    Branch,
    Switch,
    Return,
    Exit,
    ReturnCall,
}

/// What [`Check::result`] says besides a type's encoding: `aux` is the type.
const IN_RECORD: u8 = 0xfd;
/// The same: `aux` is the type + 1, or 0.
const IN_CALL: u8 = 0xfe;
/// There is no value.
pub(crate) const NO_VALUE: u8 = 0xff;

/// An op's row, of a size that is quick to multiply by.
#[derive(Clone, Copy, Debug)]
#[repr(align(8))]
pub(crate) struct Check {
    /// How the record is read.
    pub form: Form,
    /// Whether it ends a block.
    pub terminates: bool,
    /// Encodings of the types of operands.
    pub operands: [u8; 3],
    /// Encoding of the result's type, or where it is.
    result: u8,
}

/// How the record of an op with this row is checked.
pub(crate) const fn form(info: &OpInfo) -> Form {
    let leaves = info.has(flags::LEAVES);
    let raw = info.has(flags::RAW);
    match info.shape {
        Shape::Parameter => Form::Parameter,
        Shape::Result => Form::Result,
        Shape::Constant => match info.result {
            Some(Type::I32 | Type::F32) => Form::Constant32,
            _ => Form::Constant64,
        },
        Shape::Unary if leaves => Form::UnaryLeaves,
        Shape::Unary => Form::Unary,
        Shape::Binary if leaves => Form::BinaryLeaves,
        Shape::Binary => Form::Binary,
        Shape::Select => Form::Select,
        Shape::Load if raw => Form::RawLoad,
        Shape::Load => Form::Load,
        Shape::Store if raw => Form::RawStore,
        Shape::Store | Shape::Update => Form::Store,
        Shape::CompareExchange => Form::CompareExchange,
        Shape::Tag => Form::Tag,
        Shape::Fence => Form::Fence,
        Shape::SlotGet => Form::SlotGet,
        Shape::SlotSet => Form::SlotSet,
        Shape::RegionSize => Form::RegionSize,
        Shape::FunctionIndex => Form::FunctionIndex,
        Shape::Guard => Form::Guard,
        Shape::Poll => Form::Poll,
        Shape::Call | Shape::CallCell => Form::Call,
        Shape::CallIndirect => Form::CallIndirect,
        Shape::CallHost => Form::CallHost,
        Shape::Jump => Form::Jump,
        Shape::Branch => Form::Branch,
        Shape::Switch => Form::Switch,
        Shape::Return => Form::Return,
        Shape::Exit => Form::Exit,
        Shape::ReturnCall => Form::ReturnCall,
    }
}

static TABLE: [Check; Opcode::COUNT] = {
    let mut table = [Check {
        form: Form::Fence,
        terminates: false,
        operands: [0; 3],
        result: NO_VALUE,
    }; Opcode::COUNT];
    let mut index = 0;
    while index < table.len() {
        let info = ALL[index].info();
        table[index] = Check {
            form: form(info),
            terminates: info.has(flags::TERMINATES),
            operands: [
                info.operands[0] as u8,
                info.operands[1] as u8,
                info.operands[2] as u8,
            ],
            result: match (info.shape, info.result) {
                (Shape::Parameter | Shape::Result, _) => IN_RECORD,
                (Shape::Call | Shape::CallCell | Shape::CallIndirect | Shape::CallHost, _) => {
                    IN_CALL
                }
                (_, Some(ty)) => ty as u8,
                (_, None) => NO_VALUE,
            },
        };
        index += 1;
    }
    table
};

impl Check {
    /// An op's row.
    #[inline(always)]
    pub fn of(code: Opcode) -> &'static Check {
        &TABLE[code as usize]
    }

    /// Whether every record of this op gives the type with this encoding. Where not, one that says its type still may.
    #[inline(always)]
    pub fn always_gives(&self, ty: u8) -> bool {
        self.result == ty
    }

    /// The encoding of the type that a record of this op, with this `aux`, gives; or [`NO_VALUE`].
    #[inline(always)]
    pub fn result(&self, aux: u16) -> u8 {
        if self.result < IN_RECORD {
            return self.result;
        }
        let first = match self.result {
            IN_RECORD => 0,
            IN_CALL => 1,
            _ => return NO_VALUE,
        };
        match aux.checked_sub(first) {
            Some(code) if code < Type::ALL.len() as u16 => code as u8,
            _ => NO_VALUE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Check, NO_VALUE};
    use crate::ir::Op;
    use crate::ops::{Opcode, flags};
    use crate::types::Type;

    #[test]
    fn agrees_with_the_op_table() {
        for code in Opcode::all() {
            let check = Check::of(code);
            assert_eq!(check.terminates, code.info().has(flags::TERMINATES));
            for aux in [0, 1, 2, 3, 4, 5, 6, 7, 0xffff] {
                let op = Op {
                    code,
                    aux,
                    a: 0,
                    b: 0,
                    c: 0,
                };
                let expected = op.result().map_or(NO_VALUE, |ty| ty as u8);
                assert_eq!(check.result(aux), expected, "{code:?} {aux}");
            }
            for (encoding, ty) in check.operands.iter().zip(code.info().operands) {
                assert_eq!(Type::from_code(u32::from(*encoding)), Some(ty));
            }
        }
    }
}
