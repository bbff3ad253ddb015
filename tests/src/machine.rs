//! What a program runs on in tests: memory for its regions, guest slots, host functions.

use patchjit::ir::{MAX_REGIONS, Program};
use patchjit::runtime::{Binding, Context, HostCode};
use patchjit_text::Module;
use std::ffi::c_void;

/// Memory of a program's own, 16-aligned.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The guest slots.
    pub slots: Vec<u64>,
    regions: Vec<(Vec<u128>, usize)>,
    hosts: Vec<HostCode>,
    /// Run fuel that the next context gets.
    pub fuel: i64,
    /// Depth that the next context gets.
    pub depth: i64,
}

impl Machine {
    /// A machine for a program: regions as the text fills them, slots zero.
    pub fn new(module: &Module) -> Machine {
        let names: Vec<&str> = module.names.hosts.iter().map(String::as_str).collect();
        let mut machine = Machine::for_program(&module.program(), &names);
        for index in 0..module.regions.len() {
            module.fill_region(index as u32, machine.region_mut(index));
        }
        machine
    }

    /// A machine for a program whose host functions have these names: regions and slots zero.
    pub fn for_program(program: &Program<'_>, hosts: &[&str]) -> Machine {
        let region = |size: u64| (vec![0; (size as usize).div_ceil(16)], size as usize);
        Machine {
            slots: vec![0; program.slot_count as usize],
            regions: program.regions.iter().map(|r| region(r.size)).collect(),
            hosts: hosts.iter().map(|name| host(name)).collect(),
            fuel: 0,
            depth: 1000,
        }
    }

    /// The bytes of a region.
    pub fn region(&self, index: usize) -> &[u8] {
        let (words, size) = &self.regions[index];
        // SAFETY: the words are initialised, hold at least `size` bytes, and are borrowed for as long.
        unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), *size) }
    }

    /// The bytes of a region, to be written.
    pub fn region_mut(&mut self, index: usize) -> &mut [u8] {
        let (words, size) = &mut self.regions[index];
        // SAFETY: the words are initialised, hold at least `size` bytes, and are borrowed for as long.
        unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), *size) }
    }

    /// The bytes of all regions.
    pub fn memory(&self) -> Vec<Vec<u8>> {
        (0..self.regions.len())
            .map(|index| self.region(index).to_vec())
            .collect()
    }

    /// A context bound to this machine; it must not outlive it.
    pub fn context(&mut self) -> Context {
        let mut context = Context::new();
        context.slots = self.slots.as_mut_ptr();
        context.hosts = self.hosts.as_ptr();
        context.fuel = self.fuel;
        context.depth = self.depth;
        assert!(self.regions.len() <= MAX_REGIONS);
        for ((words, size), binding) in self.regions.iter_mut().zip(&mut context.regions) {
            *binding = Binding {
                base: words.as_mut_ptr().cast(),
                size: *size as u64,
            };
        }
        context
    }
}

/// The host function that test programs know by this name.
///
/// # Panics
///
/// If there is none.
pub fn host(name: &str) -> HostCode {
    match name {
        "add_one" => add_one,
        "mix" => mix,
        "scale" => scale,
        "fail_if" => fail_if,
        "clock_ns" => zero,
        "print_i64" | "print_f64" => nothing,
        _ => panic!("no host function {name}"),
    }
}

unsafe extern "C" fn add_one(_: *mut c_void, values: *mut u64) -> u32 {
    // SAFETY: one argument, one result.
    unsafe { *values = (*values).wrapping_add(1) };
    0
}

unsafe extern "C" fn mix(_: *mut c_void, values: *mut u64) -> u32 {
    // SAFETY: two arguments, one result.
    unsafe { *values = (*values).wrapping_mul(31).wrapping_add(*values.add(1)) };
    0
}

unsafe extern "C" fn scale(_: *mut c_void, values: *mut u64) -> u32 {
    // SAFETY: two arguments, one result.
    unsafe { *values = (f64::from_bits(*values) * f64::from_bits(*values.add(1))).to_bits() };
    0
}

unsafe extern "C" fn fail_if(_: *mut c_void, values: *mut u64) -> u32 {
    // SAFETY: one argument.
    unsafe { *values as u32 }
}

unsafe extern "C" fn zero(_: *mut c_void, values: *mut u64) -> u32 {
    // SAFETY: one result.
    unsafe { *values = 0 };
    0
}

unsafe extern "C" fn nothing(_: *mut c_void, _: *mut u64) -> u32 {
    0
}
