//! Our own engines as [`Maker`]s: the oracle, and the compiler.

use crate::report;
use crate::subject::{Engine, Made, Maker};
use patchjit::interp::{self, Decoded, Options};
use patchjit::runtime::{Context, Status};
use patchjit::verify::Verified;
use patchjit_cli::instance::DEFAULT_DEPTH;
use std::cell::RefCell;

/// The interpreter in core.
#[derive(Debug, Default)]
pub struct Oracle;

/// The most words of stack that the oracle gets; only pages that it touches are ever there.
const STACK_WORDS: usize = 1 << 27;

impl Maker for Oracle {
    fn name(&self) -> String {
        report::ORACLE.to_owned()
    }

    fn make<'a>(&mut self, verified: &'a Verified<'a>) -> Result<Made<'a>, String> {
        let program = verified.program();
        // Never given back: some kilobytes a program, in a process that ends soon.
        let words = vec![0; interp::workspace_words(program)].leak();
        let decoded = interp::decode(program, words).map_err(|error| format!("{error:?}"))?;
        let stack = vec![0; decoded.stack_words(DEFAULT_DEPTH + 1).min(STACK_WORDS)];
        Ok(Made {
            engine: Box::new(Interpreting {
                decoded,
                stack: RefCell::new(stack),
            }),
            compilation: None,
            translation: None,
            code_bytes: None,
        })
    }
}

struct Interpreting<'a> {
    decoded: Decoded<'a>,
    stack: RefCell<Vec<u64>>,
}

impl Engine for Interpreting<'_> {
    unsafe fn run(&self, function: u32, context: &mut Context, values: &mut [u64]) -> Status {
        let options = Options { charge_fuel: false };
        let mut stack = self.stack.borrow_mut();
        // SAFETY: the caller's promise; the stack is this engine's own.
        let outcome = unsafe {
            self.decoded
                .run(function, context, values, &mut stack, options)
        };
        match outcome {
            Ok(outcome) => outcome.status,
            Err(error) => panic!("the oracle cannot run this: {error:?}"),
        }
    }
}
