//! What must be known of a whole program before its first function is translated.
//!
//! Takes a verified program; promises, for every function, whether a run of it may end in a deoptimizing exit
//! and whether its Cranelift signature returns a status. Found independently of the verifier, which this
//! engine is meant to check. Linear but for the status rounds, whose number is the longest chain of tail calls.

use patchjit::ir::{ExitKind, Op, Program};
use patchjit::ops::Opcode;

/// What functions and signatures have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Of each function: whether it may leave through a deoptimizing exit.
    pub may_deoptimize: Vec<bool>,
    /// Of each function: whether it returns a status behind its results.
    pub returns_status: Vec<bool>,
    /// Of each signature: whether functions that are called through it return a status.
    pub indirect_status: Vec<bool>,
}

/// The ops of a function.
pub fn ops_of<'a>(program: &Program<'a>, function: usize) -> &'a [Op] {
    let f = &program.functions[function];
    &program.ops[f.first_op as usize..(f.first_op + f.op_count) as usize]
}

impl Plan {
    /// Looks through a program.
    pub fn new(program: &Program) -> Plan {
        let count = program.functions.len();
        let deoptimizes =
            |exit: u32| matches!(program.exits[exit as usize].kind, ExitKind::Deoptimize);
        let mut may_deoptimize = vec![false; count];
        let mut callers: Vec<Vec<u32>> = vec![Vec::new(); count];
        let mut tail_calls = Vec::new();
        let mut indirect = vec![false; program.signatures.len()];
        for (function, may) in may_deoptimize.iter_mut().enumerate() {
            for op in ops_of(program, function) {
                let leaves = program.exit_of(op).is_some_and(deoptimizes);
                match op.code {
                    Opcode::Call | Opcode::CallCell => {
                        if leaves {
                            callers[op.a as usize].push(function as u32);
                        }
                        if op.code == Opcode::CallCell {
                            indirect[program.functions[op.a as usize].signature as usize] = true;
                        }
                    }
                    Opcode::ReturnCall => {
                        callers[op.a as usize].push(function as u32);
                        tail_calls.push((function, op.a as usize));
                    }
                    Opcode::CallIndirect => {
                        indirect[program.extra[op.b as usize] as usize] = true;
                        *may |= leaves;
                    }
                    _ => *may |= leaves,
                }
            }
        }
        let mut work: Vec<u32> = (0..count as u32)
            .filter(|&function| may_deoptimize[function as usize])
            .collect();
        while let Some(function) = work.pop() {
            for &caller in &callers[function as usize] {
                if !core::mem::replace(&mut may_deoptimize[caller as usize], true) {
                    work.push(caller);
                }
            }
        }
        let mut returns_status = may_deoptimize.clone();
        let mut indirect_status = vec![false; program.signatures.len()];
        loop {
            let mut changed = false;
            let mut set = |flag: &mut bool, value: bool| {
                changed |= value && !*flag;
                *flag |= value;
            };
            for (function, record) in program.functions.iter().enumerate() {
                let signature = record.signature as usize;
                if indirect[signature] {
                    set(&mut indirect_status[signature], returns_status[function]);
                }
            }
            for (function, record) in program.functions.iter().enumerate() {
                let signature = record.signature as usize;
                set(&mut returns_status[function], indirect_status[signature]);
            }
            for &(caller, callee) in &tail_calls {
                let either = returns_status[caller] | returns_status[callee];
                set(&mut returns_status[caller], either);
                set(&mut returns_status[callee], either);
            }
            if !changed {
                break;
            }
        }
        Plan {
            may_deoptimize,
            returns_status,
            indirect_status,
        }
    }
}
