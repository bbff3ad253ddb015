//! Where the operands of an op are: in its record, or in words that it names.

use crate::ir::{NONE, Op};
use crate::ops::Opcode;
use crate::verify::table::{Check, Form};

/// Calls back with every operand of an op: in its record, and in the list that it names. Not with the arguments of edges, nor with
/// what its exit's snapshot names.
#[inline]
pub(super) fn for_each_operand(op: &mut Op, extra: &mut [u32], mut visit: impl FnMut(&mut u32)) {
    match Check::of(op.code).form {
        Form::Unary
        | Form::UnaryLeaves
        | Form::Tag
        | Form::Load
        | Form::RawLoad
        | Form::SlotSet
        | Form::Guard
        | Form::Branch
        | Form::Switch => visit(&mut op.a),
        Form::Binary | Form::BinaryLeaves | Form::Store | Form::RawStore => {
            visit(&mut op.a);
            visit(&mut op.b);
        }
        Form::Select => {
            visit(&mut op.a);
            visit(&mut op.b);
            visit(&mut op.c);
        }
        Form::CompareExchange => {
            visit(&mut op.a);
            visit(&mut op.b);
            visit(&mut extra[op.c as usize + 2]);
        }
        Form::CallIndirect => {
            visit(&mut op.a);
            for_each_in_list(extra, op.b + 1, visit);
        }
        Form::Call | Form::CallHost | Form::Return | Form::ReturnCall => {
            for_each_in_list(extra, op.b, visit);
        }
        Form::Constant32
        | Form::Constant64
        | Form::Fence
        | Form::SlotGet
        | Form::FunctionIndex
        | Form::Poll
        | Form::Parameter
        | Form::Result
        | Form::Jump
        | Form::Exit => {}
    }
}

#[inline]
fn for_each_in_list(extra: &mut [u32], at: u32, visit: impl FnMut(&mut u32)) {
    let count = extra[at as usize] as usize;
    let first = at as usize + 1;
    extra[first..first + count].iter_mut().for_each(visit);
}

/// The exit that an op names, where it names one.
#[inline]
pub(super) fn exit_of<'a>(op: &'a mut Op, extra: &'a mut [u32]) -> Option<&'a mut u32> {
    let exit = match Check::of(op.code).form {
        Form::Load | Form::Store | Form::CompareExchange => &mut extra[op.c as usize + 1],
        Form::UnaryLeaves
        | Form::BinaryLeaves
        | Form::Guard
        | Form::Poll
        | Form::Call
        | Form::CallIndirect
        | Form::CallHost
        | Form::Exit => &mut op.c,
        _ => return None,
    };
    (*exit != NONE).then_some(exit)
}

/// Calls back with the extra index of every edge of a terminator, where that index stands.
#[inline]
pub(super) fn for_each_edge(op: &Op, extra: &mut [u32], mut visit: impl FnMut(&mut [u32], u32)) {
    match op.code {
        Opcode::Jump => visit(extra, op.b),
        Opcode::Branch => {
            visit(extra, op.b);
            visit(extra, op.c);
        }
        Opcode::Switch => {
            let count = extra[op.b as usize];
            for number in 0..=count {
                let edge = extra[(op.b + 1 + number) as usize];
                visit(extra, edge);
            }
        }
        _ => {}
    }
}
