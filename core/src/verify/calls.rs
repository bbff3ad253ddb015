//! Calls: arguments and results against signatures, and which functions may come back deoptimized.
//!
//! A function may deoptimize if some op of it names a deoptimizing exit, whatever for, or if it ends with the results of
//! a function that may. Nothing else passes a deoptimization on: a call either leaves through an exit of its own, or
//! has none and calls what cannot. So one walk from callees to the functions that end with their results finds them
//! all; each of those is a block's terminator, and the block's index is a node in its callee's list.

use super::body::{Tally, Uses};
use super::edges::list;
use super::structure::internal;
use super::table::{Check, Form};
use super::{State, fact, invalid};
use crate::error::{Error, Place, Rule};
use crate::ir::{NONE, Op};

impl Tally {
    /// A call of a function of the program, directly or through its cell.
    pub fn call(&mut self, uses: &Uses, facts: &mut [u32], op: &Op, at: u32) -> Result<(), Rule> {
        let callee = uses.program().functions.get(op.a as usize);
        let signature = callee.ok_or(Rule::FunctionRange)?.signature;
        if op.c == NONE
            && let Some(facts) = facts.get_mut(op.a as usize)
        {
            *facts |= fact::CALLED_WITHOUT_EXIT;
        }
        self.check_arguments(uses, signature, op.b, 0, at)?;
        self.check_results(uses, signature, op, at)?;
        self.exit_or_none(uses, op.c, at)
    }

    /// A call through a function's index, but for that index and the exit.
    pub fn call_indirect(&mut self, uses: &Uses, op: &Op, at: u32) -> Result<(), Rule> {
        let program = uses.program();
        let signature = *program.extra.get(op.b as usize).ok_or(Rule::ExtraRange)?;
        if signature as usize >= program.signatures.len() {
            return Err(Rule::SignatureRange);
        }
        self.check_arguments(uses, signature, op.b, 1, at)?;
        self.check_results(uses, signature, op, at)
    }

    /// A call of a host function.
    pub fn call_host(&mut self, uses: &Uses, op: &Op, at: u32) -> Result<(), Rule> {
        let host = uses.program().hosts.get(op.a as usize);
        let signature = host.ok_or(Rule::HostRange)?.signature;
        self.check_arguments(uses, signature, op.b, 0, at)?;
        self.check_results(uses, signature, op, at)?;
        self.exit_or_none(uses, op.c, at)
    }

    /// A function's end with the results of another.
    pub fn return_call(
        &mut self,
        uses: &Uses,
        signature: u32,
        op: &Op,
        at: u32,
    ) -> Result<(), Rule> {
        let program = uses.program();
        let callee = program.functions.get(op.a as usize);
        let callee = callee.ok_or(Rule::FunctionRange)?;
        if callee.signature != signature
            && program.results(callee.signature) != program.results(signature)
        {
            return Err(Rule::ReturnCallResults);
        }
        self.check_arguments(uses, callee.signature, op.b, 0, at)
    }

    /// The call's own type, and the ops right behind it that give its further results.
    fn check_results(&mut self, uses: &Uses, signature: u32, op: &Op, at: u32) -> Result<(), Rule> {
        let program = uses.program();
        let types = program.results(signature);
        let Some((first, further)) = types.split_first() else {
            return if op.aux == 0 {
                Ok(())
            } else {
                Err(Rule::CallType)
            };
        };
        if op.aux != *first as u16 + 1 {
            return Err(Rule::CallType);
        }
        // A terminator ends the block, so that these cannot reach beyond it.
        let results = program.ops.get(at as usize + 1..).unwrap_or(&[]);
        if results.len() < further.len() {
            return Err(Rule::CallResults);
        }
        for ((ty, result), index) in further.iter().zip(results).zip(1..) {
            let fits = Check::of(result.code).form == Form::Result
                && result.a == index
                && result.aux == *ty as u16;
            if !fits {
                return Err(Rule::CallResults);
            }
            if result.b | result.c != 0 {
                return Err(Rule::UnusedField);
            }
        }
        self.results = further.len();
        Ok(())
    }

    /// The counted list of arguments, some words behind an extra index.
    fn check_arguments(
        &mut self,
        uses: &Uses,
        signature: u32,
        extra: u32,
        skipped: usize,
        at: u32,
    ) -> Result<(), Rule> {
        let arguments = list(uses.program(), extra, skipped)?;
        let types = uses.program().parameters(signature);
        if arguments.len() != types.len() {
            return Err(Rule::ArgumentCount);
        }
        self.passed = self.passed.saturating_add(arguments.len());
        uses.values(arguments, types, at)
    }
}

impl State<'_, '_> {
    /// Finds all functions that may deoptimize, and the calls of them that have no exit.
    pub(super) fn check_calls(&mut self) -> Result<(), Error> {
        let program = self.program;
        // Each function gets on the list of those to look at once.
        let mut waiting = 0;
        for (facts, function) in self.facts.iter().zip(0..) {
            if facts & fact::MAY_DEOPTIMIZE != 0 {
                self.scratch[waiting] = function;
                waiting += 1;
            }
        }
        while waiting > 0 {
            waiting -= 1;
            let callee = self.scratch[waiting] as usize;
            let mut block = self.callers[callee];
            while block != NONE {
                let after = program
                    .functions
                    .partition_point(|function| function.first_block <= block);
                let caller = after.saturating_sub(1);
                if self.facts[caller] & fact::MAY_DEOPTIMIZE == 0 {
                    self.facts[caller] |= fact::MAY_DEOPTIMIZE;
                    self.scratch[waiting] = caller as u32;
                    waiting += 1;
                }
                block = self.next_caller[block as usize];
            }
        }
        let both = fact::MAY_DEOPTIMIZE | fact::CALLED_WITHOUT_EXIT;
        if self.facts.iter().any(|facts| facts & both == both) {
            return Err(self.call_without_exit());
        }
        Ok(())
    }

    /// The first call without an exit that needs one, of which it is known that there is one.
    #[cold]
    fn call_without_exit(&self) -> Error {
        let program = self.program;
        for (index, function) in program.functions.iter().enumerate() {
            for (block, number) in program
                .blocks_of(function)
                .iter()
                .zip(function.first_block..)
            {
                let first = block.first_op as usize;
                let ops = program.ops.get(first..first + block.op_count as usize);
                for (op, at) in ops.unwrap_or(&[]).iter().zip(block.first_op..) {
                    let needed = Check::of(op.code).form == Form::Call
                        && op.c == NONE
                        && self.facts[op.a as usize] & fact::MAY_DEOPTIMIZE != 0;
                    if needed {
                        let place = Place::Op {
                            function: index as u32,
                            block: number,
                            op: at,
                        };
                        return invalid(Rule::CallNeedsExit, place);
                    }
                }
            }
        }
        internal(line!())
    }
}
