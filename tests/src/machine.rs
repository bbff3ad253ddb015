//! What a program runs on in tests: memory for its regions, guest slots, host functions.

use patchjit::ir::{MAX_REGIONS, Program};
use patchjit::runtime::{Binding, Context, HostCode};
use patchjit_text::Module;
use std::ffi::c_void;

/// What the host function that makes regions longer knows.
#[derive(Clone, Debug)]
struct Growing {
    context: *mut Context,
    most: Vec<u64>,
}

/// Memory of a program's own, 16-aligned.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The guest slots.
    pub slots: Vec<u64>,
    regions: Vec<(Vec<u128>, usize)>,
    sizes: Vec<u64>,
    hosts: Vec<HostCode>,
    growing: Box<Growing>,
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
            regions: program.regions.iter().map(|r| region(r.most)).collect(),
            growing: Box::new(Growing {
                context: std::ptr::null_mut(),
                most: program.regions.iter().map(|r| r.most).collect(),
            }),
            sizes: program.regions.iter().map(|r| r.size).collect(),
            hosts: hosts.iter().map(|name| host(name)).collect(),
            fuel: 0,
            depth: 1000,
        }
    }

    /// The bytes of a region, those included that it has not grown to.
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

    /// Tells host functions where the context of a run is, which stays there until the run ends.
    pub fn follow(&mut self, context: &mut Context) {
        self.growing.context = context;
        context.host_context = (&raw mut *self.growing).cast();
    }

    /// A context bound to this machine; it must not outlive it.
    pub fn context(&mut self) -> Context {
        let mut context = Context::new();
        context.slots = self.slots.as_mut_ptr();
        context.hosts = self.hosts.as_ptr();
        context.fuel = self.fuel;
        context.depth = self.depth;
        assert!(self.regions.len() <= MAX_REGIONS);
        let regions = self.regions.iter_mut().zip(&self.sizes);
        for (((words, _), &size), binding) in regions.zip(&mut context.regions) {
            *binding = Binding {
                base: words.as_mut_ptr().cast(),
                size,
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
        "grow_region" => grow_region,
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

unsafe extern "C" fn grow_region(growing: *mut c_void, values: *mut u64) -> u32 {
    // SAFETY: what `Machine::follow` says; two arguments, one result.
    unsafe {
        let Growing { context, most } = &*growing.cast::<Growing>();
        let (region, bytes) = (*values as usize, *values.add(1));
        *values = u64::MAX;
        if let Some(&most) = most.get(region) {
            let size = &raw mut (**context).regions[region].size;
            let grown = (*size).checked_add(bytes);
            if let Some(grown) = grown.filter(|&grown| grown <= most) {
                *values = *size;
                *size = grown;
            }
        }
    }
    0
}

unsafe extern "C" fn zero(_: *mut c_void, values: *mut u64) -> u32 {
    // SAFETY: one result.
    unsafe { *values = 0 };
    0
}

unsafe extern "C" fn nothing(_: *mut c_void, _: *mut u64) -> u32 {
    0
}
