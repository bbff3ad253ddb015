//! A subset of WASI preview 1 (<https://github.com/WebAssembly/WASI/blob/main/legacy/preview1/docs.md>), for command-line modules: arguments, clocks,
//! random numbers, standard input and output, and an end with a status.
//!
//! There are no files and no environment: what asks for them gets the error number that says so. Nothing of the embedder's is reached but
//! through the functions of a [`Host`].

use crate::error::Trap;
use crate::instance::Extern;
use crate::store::{Caller, Linker, Store};
use crate::types::{FuncType, Value, ValueType};
use std::cell::RefCell;
use std::rc::Rc;

/// The module that modules import it from.
const MODULE: &str = "wasi_snapshot_preview1";

/// What modules reach through WASI.
pub trait Host {
    /// Nanoseconds: of the clock with this number, 0 for the time since 1970 and others for a time that never goes back.
    fn clock(&mut self, clock: u32) -> u64;
    /// The next random byte.
    fn random(&mut self) -> u8;
    /// Takes what is written to standard output, or to standard error.
    fn write(&mut self, error: bool, bytes: &[u8]);
    /// Reads standard input; gives how many bytes there were, 0 at its end.
    fn read(&mut self, bytes: &mut [u8]) -> usize;
}

mod errno {
    pub const SUCCESS: i32 = 0;
    pub const BADF: i32 = 8;
    pub const FAULT: i32 = 21;
    pub const INVAL: i32 = 28;
    pub const SPIPE: i32 = 70;
}

/// The most bytes that one call moves; callers come back for the rest.
const MOST: u32 = 1 << 20;

struct State<H> {
    /// Each with a zero behind it.
    arguments: Vec<Vec<u8>>,
    host: H,
}

/// A call: the module's memory and its arguments, of which all but offsets are 32 bits.
struct Call<'c> {
    caller: &'c Caller<'c>,
    arguments: &'c [Value],
}

impl Call<'_> {
    fn word(&self, index: usize) -> u32 {
        match self.arguments.get(index) {
            Some(Value::I32(value)) => value.cast_unsigned(),
            _ => 0,
        }
    }

    fn write(&self, address: u32, bytes: &[u8]) -> Result<(), i32> {
        let memory = self.caller.memory().ok_or(errno::FAULT)?;
        memory.write(address, bytes).ok_or(errno::FAULT)
    }

    fn read<const N: usize>(&self, address: u32) -> Result<[u8; N], i32> {
        let memory = self.caller.memory().ok_or(errno::FAULT)?;
        let mut bytes = [0; N];
        memory.read(address, &mut bytes).ok_or(errno::FAULT)?;
        Ok(bytes)
    }

    /// The buffer with this index in a list of them: where it is and how long, at most [`MOST`].
    fn buffer(&self, list: u32, index: u32) -> Result<(u32, u32), i32> {
        let at = index
            .checked_mul(8)
            .and_then(|offset| list.checked_add(offset));
        let [a, b, c, d, rest @ ..] = self.read::<8>(at.ok_or(errno::FAULT)?)?;
        let start = u32::from_le_bytes([a, b, c, d]);
        Ok((start, u32::from_le_bytes(rest).min(MOST)))
    }
}

/// What a function does: gives its error number.
type Step<H> = fn(&mut State<H>, &Call<'_>) -> Result<(), i32>;

/// Gives imports of WASI what they ask for. The first argument is the program's name.
pub fn define<H: Host + 'static>(
    store: &Store,
    linker: &mut Linker,
    arguments: &[String],
    host: H,
) {
    use ValueType::{I32, I64};
    let terminated = |argument: &String| {
        let mut bytes = argument.clone().into_bytes();
        bytes.retain(|&byte| byte != 0);
        bytes.push(0);
        bytes
    };
    let state = Rc::new(RefCell::new(State {
        arguments: arguments.iter().map(terminated).collect(),
        host,
    }));
    let functions: [(&str, &[ValueType], Step<H>); 15] = [
        ("args_sizes_get", &[I32, I32], sizes::<H>),
        ("args_get", &[I32, I32], arguments_get::<H>),
        ("environ_sizes_get", &[I32, I32], |_, call| {
            call.write(call.word(0), &[0; 4])?;
            call.write(call.word(1), &[0; 4])
        }),
        ("environ_get", &[I32, I32], |_, _| Ok(())),
        ("clock_res_get", &[I32, I32], |_, call| {
            call.write(call.word(1), &1u64.to_le_bytes())
        }),
        ("clock_time_get", &[I32, I64, I32], |state, call| {
            let time = state.host.clock(call.word(0));
            call.write(call.word(2), &time.to_le_bytes())
        }),
        ("random_get", &[I32, I32], random::<H>),
        ("fd_write", &[I32, I32, I32, I32], write::<H>),
        ("fd_read", &[I32, I32, I32, I32], read::<H>),
        ("fd_close", &[I32], |_, call| standard(call).map(drop)),
        ("fd_seek", &[I32, I64, I32, I32], |_, call| {
            standard(call)?;
            Err(errno::SPIPE)
        }),
        ("fd_fdstat_get", &[I32, I32], |_, call| {
            standard(call)?;
            // A character device, without flags, with all rights.
            let mut status = [0; 24];
            status[0] = 2;
            status[8..].fill(0xff);
            call.write(call.word(1), &status)
        }),
        ("fd_prestat_get", &[I32, I32], |_, _| Err(errno::BADF)),
        ("fd_prestat_dir_name", &[I32, I32, I32], |_, _| {
            Err(errno::BADF)
        }),
        ("sched_yield", &[], |_, _| Ok(())),
    ];
    for (name, parameters, step) in functions {
        let ty = FuncType {
            parameters: parameters.to_vec(),
            results: vec![I32],
        };
        let state = state.clone();
        let function = store.host_function(ty, move |caller, arguments| {
            let call = Call { caller, arguments };
            let error = step(&mut state.borrow_mut(), &call).err();
            Ok(vec![Value::I32(error.unwrap_or(errno::SUCCESS))])
        });
        linker.define(MODULE, name, Extern::Function(function));
    }
    let ty = FuncType {
        parameters: vec![I32],
        results: Vec::new(),
    };
    let exit = store.host_function(ty, |caller, arguments| {
        Err(Trap::Exit(Call { caller, arguments }.word(0)))
    });
    linker.define(MODULE, "proc_exit", Extern::Function(exit));
}

/// The descriptor that a call is about, if it is a standard one.
fn standard(call: &Call<'_>) -> Result<u32, i32> {
    let descriptor = call.word(0);
    if descriptor < 3 {
        Ok(descriptor)
    } else {
        Err(errno::BADF)
    }
}

fn sizes<H>(state: &mut State<H>, call: &Call<'_>) -> Result<(), i32> {
    let bytes: usize = state.arguments.iter().map(Vec::len).sum();
    call.write(call.word(0), &(state.arguments.len() as u32).to_le_bytes())?;
    call.write(call.word(1), &(bytes as u32).to_le_bytes())
}

fn arguments_get<H>(state: &mut State<H>, call: &Call<'_>) -> Result<(), i32> {
    let (mut pointer, mut place) = (call.word(0), call.word(1));
    for argument in &state.arguments {
        call.write(pointer, &place.to_le_bytes())?;
        call.write(place, argument)?;
        pointer = pointer.checked_add(4).ok_or(errno::FAULT)?;
        place = place
            .checked_add(argument.len() as u32)
            .ok_or(errno::FAULT)?;
    }
    Ok(())
}

fn random<H: Host>(state: &mut State<H>, call: &Call<'_>) -> Result<(), i32> {
    let (start, length) = (call.word(0), call.word(1));
    // Looked at first, so that nothing is made for what does not fit.
    let end = u64::from(start) + u64::from(length);
    let memory = call.caller.memory().ok_or(errno::FAULT)?;
    if end > u64::from(memory.pages()) * crate::PAGE {
        return Err(errno::FAULT);
    }
    let bytes: Vec<u8> = (0..length).map(|_| state.host.random()).collect();
    call.write(start, &bytes)
}

fn write<H: Host>(state: &mut State<H>, call: &Call<'_>) -> Result<(), i32> {
    let descriptor = standard(call)?;
    if descriptor == 0 {
        return Err(errno::BADF);
    }
    let memory = call.caller.memory().ok_or(errno::FAULT)?;
    let mut written = 0;
    let mut bytes = Vec::new();
    for index in 0..call.word(2) {
        let (start, length) = call.buffer(call.word(1), index)?;
        bytes.resize(length as usize, 0);
        memory.read(start, &mut bytes).ok_or(errno::FAULT)?;
        state.host.write(descriptor == 2, &bytes);
        written += length;
        if written >= MOST {
            break;
        }
    }
    call.write(call.word(3), &written.to_le_bytes())
}

fn read<H: Host>(state: &mut State<H>, call: &Call<'_>) -> Result<(), i32> {
    if standard(call)? != 0 {
        return Err(errno::BADF);
    }
    // The first buffer that is not empty: a short read is one.
    for index in 0..call.word(2) {
        let (start, length) = call.buffer(call.word(1), index)?;
        if length > 0 {
            let mut bytes = vec![0; length as usize];
            let count = state.host.read(&mut bytes);
            let bytes = bytes.get(..count).ok_or(errno::INVAL)?;
            call.write(start, bytes)?;
            return call.write(call.word(3), &(count as u32).to_le_bytes());
        }
    }
    call.write(call.word(3), &[0; 4])
}
