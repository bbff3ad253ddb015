//! The host functions that the runner offers to programs.
//!
//! They are found by name; a program that declares one with another signature, or one that is not here,
//! is refused before it runs.

use patchjit::runtime::{Context, HostCode};
use patchjit::types::Type;
use std::ffi::c_void;
use std::fmt::Write as _;
use std::sync::atomic::AtomicPtr;
use std::time::Instant;

/// A host function that programs may declare.
#[derive(Debug)]
pub struct SampleHost {
    /// The name in the program.
    pub name: &'static str,
    /// The types of its parameters.
    pub parameters: &'static [Type],
    /// The types of its results.
    pub results: &'static [Type],
    /// What is called.
    pub code: HostCode,
    /// What it does.
    pub summary: &'static str,
}

/// All of them.
pub const SAMPLES: [SampleHost; 8] = [
    SampleHost {
        name: "print_i64",
        parameters: &[Type::I64],
        results: &[],
        code: print_i64,
        summary: "prints an integer and a line end",
    },
    SampleHost {
        name: "print_f64",
        parameters: &[Type::F64],
        results: &[],
        code: print_f64,
        summary: "prints a float and a line end",
    },
    SampleHost {
        name: "clock_ns",
        parameters: &[],
        results: &[Type::I64],
        code: clock_ns,
        summary: "nanoseconds since the run began; a second engine sees the same times",
    },
    SampleHost {
        name: "add_one",
        parameters: &[Type::I64],
        results: &[Type::I64],
        code: add_one,
        summary: "x + 1, wrapping",
    },
    SampleHost {
        name: "mix",
        parameters: &[Type::I64, Type::I64],
        results: &[Type::I64],
        code: mix,
        summary: "a * 31 + b, wrapping",
    },
    SampleHost {
        name: "scale",
        parameters: &[Type::F64, Type::F64],
        results: &[Type::F64],
        code: scale,
        summary: "a * b",
    },
    SampleHost {
        name: "fail_if",
        parameters: &[Type::I64],
        results: &[],
        code: fail_if,
        summary: "leaves with the low 32 bits of its argument as its status, unless they are 0",
    },
    SampleHost {
        name: "grow_region",
        parameters: &[Type::I64, Type::I64],
        results: &[Type::I64],
        code: grow_region,
        summary: "makes the region with this index so many bytes longer: its size before, or -1 if it cannot",
    },
];

/// The host function with this name and signature, or why there is none.
pub fn find(
    name: &str,
    parameters: &[Type],
    results: &[Type],
) -> Result<&'static SampleHost, String> {
    let Some(sample) = SAMPLES.iter().find(|sample| sample.name == name) else {
        let names: Vec<_> = SAMPLES.iter().map(|sample| sample.name).collect();
        let names = names.join(", ");
        return Err(format!("no host function `{name}`; there are {names}"));
    };
    if (sample.parameters, sample.results) != (parameters, results) {
        return Err(format!(
            "host function `{name}` is {}, not {}",
            signature(sample.parameters, sample.results),
            signature(parameters, results)
        ));
    }
    Ok(sample)
}

fn signature(parameters: &[Type], results: &[Type]) -> String {
    let names = |types: &[Type]| {
        types
            .iter()
            .map(|ty| ty.name())
            .collect::<Vec<_>>()
            .join(", ")
    };
    let mut text = format!("({})", names(parameters));
    if !results.is_empty() {
        let _ = write!(text, " -> {}", names(results));
    }
    text
}

/// What host functions see and leave behind: their context pointer points here.
#[derive(Debug)]
pub struct HostState {
    /// What was printed.
    pub printed: String,
    /// The times that the clock gave.
    pub times: Vec<i64>,
    /// Times to give before the clock is asked: those that another engine saw.
    pub replay: Vec<i64>,
    /// How long each region is.
    pub sizes: Vec<u64>,
    /// How long each may become.
    pub most: Vec<u64>,
    /// The context of the run, where sizes are changed; null outside of runs.
    pub context: AtomicPtr<Context>,
    started: Instant,
}

impl Default for HostState {
    fn default() -> HostState {
        HostState {
            printed: String::new(),
            times: Vec::new(),
            replay: Vec::new(),
            sizes: Vec::new(),
            most: Vec::new(),
            context: AtomicPtr::default(),
            started: Instant::now(),
        }
    }
}

impl HostState {
    /// The size of a region before it got so many bytes longer, unless that is too much.
    fn grow(&mut self, region: u64, bytes: u64) -> Option<u64> {
        let index = usize::try_from(region).ok()?;
        let (size, &most) = (self.sizes.get_mut(index)?, self.most.get(index)?);
        let before = *size;
        let grown = before.checked_add(bytes).filter(|&grown| grown <= most)?;
        let context = *self.context.get_mut();
        if context.is_null() {
            return None;
        }
        *size = grown;
        // SAFETY: the context of this run, in which no reference to its bindings is held while a host function runs.
        unsafe { (*context).regions[index].size = grown };
        Some(before)
    }

    fn time(&mut self) -> i64 {
        let now = || i64::try_from(self.started.elapsed().as_nanos()).unwrap_or(i64::MAX);
        let time = self
            .replay
            .get(self.times.len())
            .copied()
            .unwrap_or_else(now);
        self.times.push(time);
        time
    }
}

/// What a host function gets, as references.
///
/// # Safety
///
/// As the contract of [`HostCode`] has it: the context is the [`HostState`] of the running instance, and there
/// are `N` values.
unsafe fn given<'a, const N: usize>(
    context: *mut c_void,
    values: *mut u64,
) -> (&'a mut HostState, &'a mut [u64; N]) {
    // SAFETY: the caller's promise; nothing else uses them while the host function runs.
    unsafe { (&mut *context.cast(), &mut *values.cast()) }
}

unsafe extern "C" fn print_i64(context: *mut c_void, values: *mut u64) -> u32 {
    // SAFETY: one parameter.
    let (state, [value]) = unsafe { given(context, values) };
    let _ = writeln!(state.printed, "{}", *value as i64);
    0
}

unsafe extern "C" fn print_f64(context: *mut c_void, values: *mut u64) -> u32 {
    // SAFETY: one parameter.
    let (state, [value]) = unsafe { given(context, values) };
    state
        .printed
        .push_str(&crate::value::print(Type::F64, *value));
    state.printed.push('\n');
    0
}

unsafe extern "C" fn clock_ns(context: *mut c_void, values: *mut u64) -> u32 {
    // SAFETY: one result.
    let (state, [value]) = unsafe { given(context, values) };
    *value = state.time() as u64;
    0
}

unsafe extern "C" fn add_one(context: *mut c_void, values: *mut u64) -> u32 {
    // SAFETY: one parameter.
    let (_, [value]) = unsafe { given(context, values) };
    *value = value.wrapping_add(1);
    0
}

unsafe extern "C" fn mix(context: *mut c_void, values: *mut u64) -> u32 {
    // SAFETY: two parameters.
    let (_, [a, b]) = unsafe { given(context, values) };
    *a = a.wrapping_mul(31).wrapping_add(*b);
    0
}

unsafe extern "C" fn scale(context: *mut c_void, values: *mut u64) -> u32 {
    // SAFETY: two parameters.
    let (_, [a, b]) = unsafe { given(context, values) };
    *a = (f64::from_bits(*a) * f64::from_bits(*b)).to_bits();
    0
}

unsafe extern "C" fn grow_region(context: *mut c_void, values: *mut u64) -> u32 {
    // SAFETY: two parameters.
    let (state, [region, bytes]) = unsafe { given(context, values) };
    *region = state.grow(*region, *bytes).unwrap_or(u64::MAX);
    0
}

unsafe extern "C" fn fail_if(context: *mut c_void, values: *mut u64) -> u32 {
    // SAFETY: one parameter.
    let (_, [value]) = unsafe { given(context, values) };
    *value as u32
}

#[cfg(test)]
mod tests {
    use super::{HostState, find};
    use patchjit::types::Type;

    fn call(state: &mut HostState, name: &str, values: &mut [u64]) -> u32 {
        let sample = super::SAMPLES
            .iter()
            .find(|sample| sample.name == name)
            .unwrap();
        assert!(values.len() >= sample.parameters.len().max(sample.results.len()));
        // SAFETY: the state is theirs and there are enough values.
        unsafe { (sample.code)((&raw mut *state).cast(), values.as_mut_ptr()) }
    }

    #[test]
    fn they_do_what_they_say() {
        let mut state = HostState::default();
        let mut values = [u64::MAX, 3];
        assert_eq!(call(&mut state, "mix", &mut values), 0);
        assert_eq!(values[0] as i64, -28);
        assert_eq!(call(&mut state, "print_i64", &mut values), 0);
        assert_eq!(call(&mut state, "add_one", &mut values), 0);
        assert_eq!(values[0] as i64, -27);
        let mut values = [1.5f64.to_bits(), 4f64.to_bits()];
        assert_eq!(call(&mut state, "scale", &mut values), 0);
        assert_eq!(call(&mut state, "print_f64", &mut values), 0);
        assert_eq!(state.printed, "-28\n6.0\n");
        assert_eq!(call(&mut state, "fail_if", &mut [0x1_0000_0005]), 5);
    }

    #[test]
    fn the_clock_repeats_what_was_seen() {
        let (mut first, mut values) = (HostState::default(), [0]);
        call(&mut first, "clock_ns", &mut values);
        let seen = values[0];
        call(&mut first, "clock_ns", &mut values);
        assert!(values[0] >= seen);
        let mut second = HostState {
            replay: first.times.clone(),
            ..HostState::default()
        };
        call(&mut second, "clock_ns", &mut values);
        assert_eq!(values[0], seen);
        call(&mut second, "clock_ns", &mut values);
        assert_eq!(second.times, first.times);
    }

    #[test]
    fn wrong_declarations_are_refused() {
        assert!(find("mix", &[Type::I64, Type::I64], &[Type::I64]).is_ok());
        let error = find("mix", &[Type::I64], &[]).unwrap_err();
        assert_eq!(error, "host function `mix` is (i64, i64) -> i64, not (i64)");
        let error = find("mixx", &[], &[]).unwrap_err();
        assert!(error.starts_with("no host function `mixx`; there are print_i64, "));
    }
}
