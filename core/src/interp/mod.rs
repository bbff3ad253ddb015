//! The oracle: an interpreter for verified programs.
//!
//! What takes part in the project's promises, it defines: compiled code must agree with it on results, regions,
//! exits, guest slots, run fuel and depth (the sign and payload of arithmetic NaNs aside). It is also the fallback
//! where there is no executable memory.
//!
//! [`decode`] turns a program into dense instructions in the caller's words, once, in time linear in the program's size
//! ([`workspace_words`] says how many words). [`Decoded::run`] executes a function of it, on a stack of the
//! caller's; nothing is allocated, and nothing recurses. Several threads may run one [`Decoded`] at a time, each
//! with a context and a stack of its own.
//!
//! ```text
//!   decode ── uses    what single ops use and fold
//!          ── analyse uses, shared registers, registers of their own
//!          ── decode  the pool's registers, instructions
//!          ── edges   jumps, branches, switches: with moves, parallel copies
//!   run    ── code    numbers and layout of instructions
//!          ── memory  the unsafe part: words, registers, regions
//! ```

mod analyse;
mod code;
mod decode;
mod edges;
mod memory;
mod moves;
mod run;
pub(crate) mod uses;

use crate::error::{Error, Feature, Place, Rule};
use crate::ir::{Op, Program};
use crate::ops::flags;
use crate::runtime::{Context, Status};
use crate::verify::Verified;

/// A fault of the interpreter's own, at this line.
macro_rules! internal {
    () => {
        $crate::error::Error::Internal {
            part: $crate::error::Part::Interpret,
            line: line!(),
        }
    };
}
use internal;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How.
    pub status: Status,
    /// The number of the exit through which it left, the innermost one where frames are nested. What a host function
    /// returned, where it is the host function's status that trapped. Zero unless the run left through an exit.
    pub exit_number: u32,
}

/// What a run does beside executing the program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Whether run fuel is charged: to [`Context::fuel`]. Without it the fuel is neither read nor written.
    pub charge_fuel: bool,
}

/// A program in the oracle's form: what [`decode`] made of it, in the caller's words.
#[derive(Clone, Copy, Debug)]
pub struct Decoded<'a> {
    program: Program<'a>,
    image: decode::Image<'a>,
}

/// How many words [`decode`] needs for this program. Takes time linear in the program's size.
pub fn workspace_words(verified: &Verified<'_>) -> usize {
    decode::Sizes::measure(verified).total()
}

/// Decodes a program into the caller's words. [`Error::Full`] says how many are needed if there are too few.
/// [`Error::Unsupported`] names a 64-bit atomic op on a host that has no 64-bit atomic accesses.
pub fn decode<'a>(verified: &Verified<'a>, workspace: &'a mut [u32]) -> Result<Decoded<'a>, Error> {
    refuse_wide_atomics(verified)?;
    Ok(Decoded {
        program: *verified.program(),
        image: decode::decode(verified, workspace)?,
    })
}

/// An error at the first 64-bit atomic op, if the host cannot do it.
fn refuse_wide_atomics(verified: &Verified<'_>) -> Result<(), Error> {
    if memory::HAS_WIDE_ATOMICS {
        return Ok(());
    }
    let program = verified.program();
    let is_wide = |op: &Op| op.code.info().has(flags::ATOMIC) && op.code.info().width == 8;
    let Some(op) = program.ops.iter().position(is_wide) else {
        return Ok(());
    };
    let op = op as u32;
    let place = match program
        .functions
        .iter()
        .position(|function| op.wrapping_sub(function.first_op) < function.op_count)
    {
        Some(function) => Place::Op {
            function: function as u32,
            block: verified.block_of(op),
            op,
        },
        None => Place::Program,
    };
    Err(Error::Unsupported {
        what: Feature::Op,
        place,
    })
}

impl<'a> Decoded<'a> {
    /// The program.
    pub fn program(&self) -> &Program<'a> {
        &self.program
    }

    /// The words that the instructions take.
    pub fn code_words(&self) -> usize {
        self.image.code.len()
    }

    /// How many words of stack suffice for every run with [`Context::depth`] up to `depth`. A run takes less where its calls
    /// nest less deeply or are of smaller functions than the largest.
    pub fn stack_words(&self, depth: u32) -> usize {
        let frames = self.image.table.chunks_exact(code::FUNCTION_WORDS);
        let largest = frames.filter_map(|entry| entry.get(1)).max();
        let largest = largest.map_or(0, |&words| words as usize);
        largest.saturating_add(1).saturating_mul(depth as usize)
    }

    /// Runs a function: its arguments stand at the front of `values`, and so do its results afterwards if it
    /// returned. `values` must be as long as the longer of the two lists; what is longer is left alone.
    ///
    /// Guest frames are kept on `stack`, whose contents do not matter. A call for whose frame it has no room
    /// ends the run with [`Error::Full`]: the guest cannot notice how long the stack is, only
    /// [`Context::depth`] is part of a program's meaning. What the run did until then is done.
    /// [`Decoded::stack_words`] says how much always suffices.
    ///
    /// The context is used as compiled code uses it: [`Context::status`] and [`Context::exit_number`] are written when
    /// the run does not return, [`Context::depth`] is as before whatever happens, [`Context::fuel`] counts
    /// down if the options ask for it and is -1 when it is used up. [`Context::cells`] are not looked at: a call through
    /// a cell is a call of the function, and an indirect call looks its function up in the program.
    ///
    /// A host function may run the program again, with the same context (through a pointer of its own)
    /// and another stack.
    ///
    /// # Errors
    ///
    /// [`Error::Full`] if `values`, `stack` or a region's binding is too short; [`Error::Invalid`] if there is no such
    /// function.
    ///
    /// # Safety
    ///
    /// * `context` is valid for reads and writes, used by this thread alone (but for [`Context::interrupt`]), and
    ///   bound for this program: as many guest slots, host functions and regions as the program declares; bindings
    ///   16-aligned and as long as they say; all valid for reads and writes for as long as the run takes.
    ///   None of that memory is part of `values`, `stack`, the program or the decoded words.
    /// * Host functions keep to [`crate::runtime::HostCode`]'s contract and return: they do not unwind.
    /// * A program that is not contained reaches only memory that it may reach.
    #[allow(unsafe_code, reason = "the promise that is made here is the caller's")]
    pub unsafe fn run(
        &self,
        function: u32,
        context: *mut Context,
        values: &mut [u64],
        stack: &mut [u64],
        options: Options,
    ) -> Result<Outcome, Error> {
        if function as usize >= self.program.functions.len() {
            return Err(Error::Invalid {
                rule: Rule::FunctionRange,
                place: Place::Program,
            });
        }
        // SAFETY: the caller's promise, word for word; the image is what the decoder made of this program.
        unsafe { run::run(self, function, context, values, stack, options) }
    }
}
