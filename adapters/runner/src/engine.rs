//! Compiles and runs verified programs on this machine.

use crate::instance::Instance;
use crate::outcome::{Ending, Outcome};
use crate::stack;
use crate::zeroed::Zeroed;
use patchjit::call;
use patchjit::code::CodeBuffer;
use patchjit::compile::{self, Compiled, FunctionCode, Observer, Options};
use patchjit::error::Error;
use patchjit::interp;
use patchjit::runtime::Context;
use patchjit::stencil::StencilSet;
use patchjit::verify::Verified;
use patchjit_memory::{Arena, Block};
use std::time::{Duration, Instant};

/// A program with the storage that compiling it takes, so that it can be compiled again and again.
pub struct Compilation<'a> {
    verified: Verified<'a>,
    set: &'static StencilSet,
    options: Options,
    workspace: Vec<u32>,
    functions: Vec<FunctionCode>,
}

impl<'a> Compilation<'a> {
    /// Allocates the workspace, and touches none of it.
    pub fn new(verified: Verified<'a>, set: &'static StencilSet, options: Options) -> Self {
        Compilation {
            verified,
            set,
            options,
            workspace: vec![0; compile::workspace_words(&verified)],
            functions: vec![FunctionCode::default(); verified.program().functions.len()],
        }
    }

    /// The most bytes that the code has.
    pub fn code_bytes(&self) -> usize {
        compile::code_bytes(&self.verified)
    }

    /// Compiles into a buffer, and says how long that took: from the program in memory to code in memory.
    pub fn compile(&mut self, buffer: CodeBuffer<'_>) -> Result<(Compiled, Duration), Error> {
        let start = Instant::now();
        let compiled = compile::compile(
            &self.verified,
            self.set,
            &self.options,
            &mut self.workspace,
            buffer,
            &mut self.functions,
        )?;
        Ok((compiled, start.elapsed()))
    }

    /// The same, with every decision told to an observer, and without a time.
    pub fn compile_observed(
        &mut self,
        buffer: CodeBuffer<'_>,
        observer: &mut impl Observer,
    ) -> Result<Compiled, Error> {
        compile::compile_observed(
            &self.verified,
            self.set,
            &self.options,
            &mut self.workspace,
            buffer,
            &mut self.functions,
            observer,
        )
    }

    /// Where the functions of the last compilation are in its code.
    pub fn functions(&self) -> &[FunctionCode] {
        &self.functions
    }
}

/// Machine code, published on this machine.
#[derive(Debug)]
pub struct Native {
    _arena: Arena,
    block: Block,
    functions: Vec<FunctionCode>,
    /// What compilation said.
    pub compiled: Compiled,
    /// How long compilation took.
    pub time: Duration,
}

/// Why there is no machine code.
#[derive(Debug)]
pub enum NativeError {
    /// Compilation failed.
    Compile(Error),
    /// There is no executable memory.
    Memory(patchjit_memory::Error),
}

impl Native {
    /// Compiles and publishes a program. The set must be one for this machine: see `patchjit_stencils::host`.
    pub fn new(
        verified: Verified<'_>,
        set: &'static StencilSet,
        options: Options,
    ) -> Result<Native, NativeError> {
        let mut compilation = Compilation::new(verified, set, options);
        let length = compilation.code_bytes();
        let mut arena = Arena::new(length).map_err(NativeError::Memory)?;
        let mut block = arena.reserve(length).map_err(NativeError::Memory)?;
        let mut writing = arena.write(&mut block).map_err(NativeError::Memory)?;
        let (compiled, time) = compilation
            .compile(writing.buffer())
            .map_err(NativeError::Compile)?;
        writing
            .publish(compiled.code_length as usize)
            .map_err(NativeError::Memory)?;
        Ok(Native {
            _arena: arena,
            block,
            functions: compilation.functions,
            compiled,
            time,
        })
    }

    /// Runs a function on an instance made for the same program, on a thread with room for as many calls
    /// within each other as the instance allows.
    pub fn run(
        &self,
        instance: &mut Instance,
        function: usize,
        arguments: &[u64],
        result_count: usize,
    ) -> Result<Outcome, String> {
        let base = self.block.address();
        let bodies = self
            .functions
            .iter()
            .map(|code| base + u64::from(code.body));
        instance.set_bodies(bodies);
        let code = self
            .functions
            .get(function)
            .ok_or_else(|| format!("no function {function}"))?;
        let entry = base + u64::from(code.entry);
        let mut values = values(arguments, result_count);
        let depth = instance.limits().depth;
        stack::with_room(depth, self.compiled.frame_bytes, move || {
            let mut context = instance.context();
            instance.follow(&raw mut context);
            let start = Instant::now();
            // SAFETY: the entry is published code of this program, and stays so while `self` is
            // borrowed; the context is bound for the program by its instance; there are enough
            // values; the thread has room for the depth. The program is contained, or the caller was asked.
            let status = unsafe { call::enter(entry, &raw mut context, values.as_mut_ptr()) };
            let time = start.elapsed();
            let ending = Ending::new(status, context.exit_number);
            outcome(ending, &context, values, result_count, time)
        })
    }
}

/// Why the interpreter did not run.
#[derive(Debug)]
pub enum InterpreterError {
    /// It refused.
    Core(Error),
    /// There is no memory for as many frames as the depth allows.
    Frames,
}

impl From<Error> for InterpreterError {
    fn from(error: Error) -> InterpreterError {
        InterpreterError::Core(error)
    }
}

/// The oracle, for one program.
#[derive(Clone, Copy, Debug)]
pub struct Interpreter<'a> {
    verified: Verified<'a>,
}

impl<'a> Interpreter<'a> {
    /// For a program that was checked.
    pub fn new(verified: Verified<'a>) -> Interpreter<'a> {
        Interpreter { verified }
    }

    /// Decodes the program and runs a function on an instance made for it. The time is that of
    /// the run, without decoding.
    pub fn run(
        &self,
        instance: &mut Instance,
        function: usize,
        arguments: &[u64],
        result_count: usize,
    ) -> Result<Outcome, InterpreterError> {
        let mut words = vec![0; interp::workspace_words(&self.verified)];
        let decoded = interp::decode(&self.verified, &mut words)?;
        let depth = instance.limits().depth;
        let frame_words = decoded.stack_words(depth);
        // A deep limit costs address space only, but there may not be enough of it.
        let mut frames =
            Zeroed::new((frame_words as u64).saturating_mul(8)).ok_or(InterpreterError::Frames)?;
        let options = interp::Options {
            charge_fuel: instance.limits().fuel.is_some(),
        };
        let mut values = values(arguments, result_count);
        let mut context = instance.context();
        instance.follow(&raw mut context);
        let start = Instant::now();
        // SAFETY: the context is bound for the program by its instance. The program is contained, or
        // the caller was asked.
        let ended = unsafe {
            decoded.run(
                function as u32,
                &raw mut context,
                &mut values,
                frames.words_mut(),
                options,
            )
        }?;
        let time = start.elapsed();
        let ending = Ending::new(ended.status, ended.exit_number);
        Ok(outcome(ending, &context, values, result_count, time))
    }
}

/// Arguments, with room for the results.
fn values(arguments: &[u64], result_count: usize) -> Vec<u64> {
    let mut values = arguments.to_vec();
    values.resize(arguments.len().max(result_count), 0);
    values
}

fn outcome(
    ending: Ending,
    context: &Context,
    mut values: Vec<u64>,
    result_count: usize,
    time: Duration,
) -> Outcome {
    values.truncate(if ending == Ending::Returned {
        result_count
    } else {
        0
    });
    Outcome {
        ending,
        results: values,
        fuel: context.fuel,
        time,
    }
}
