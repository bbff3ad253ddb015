//! Programs of eBPF, as modules.
//!
//! [`translate`] takes instructions and the machine that they run on, and gives the program as a module of the text form without
//! names. [`load`] takes a function out of an object file, and a machine that the runner makes for it:
//!
//! | region | what it is |
//! |---|---|
//! | `memory` | what r1 points to, r2 being its length; the packet of a program in a section whose name begins with `xdp` |
//! | `stack` | eight frames |
//! | `constants`, `variables` | the object's data |
//! | `context` | of an `xdp` program: `struct xdp_md`, to which r1 points |
//!
//! Allocates as much as a translation may need.

use patchjit::ir::Program;
use patchjit_ebpf::elf::{Elf, Places};
use patchjit_ebpf::{
    Block, Error, FRAME_BYTES, Field, Kind, Machine, Mark, Region as Memory, address_of,
};
use patchjit_memory::records::{Records, grow};
use patchjit_text::{Contents, Form, Module};

/// Storage for translations, kept from one to the next.
#[derive(Default)]
pub struct Translator {
    marks: Vec<Mark>,
    leaders: Vec<Block>,
    records: Records,
}

impl Translator {
    /// Translates a program. Source positions are the indices of instructions.
    pub fn translate<'a>(
        &'a mut self,
        bytes: &[u8],
        machine: &Machine<'_>,
    ) -> Result<Program<'a>, Error> {
        grow(&mut self.marks, bytes.len() / 8, Mark::default());
        let checked = patchjit_ebpf::check(bytes, machine, &mut self.marks)?;
        grow(&mut self.leaders, checked.block_count(), Block::default());
        self.records
            .make_with_positions(&patchjit_ebpf::counts(&checked, machine));
        let (marks, leaders) = (&mut self.marks, &mut self.leaders);
        patchjit_ebpf::translate(&checked, machine, marks, leaders, self.records.storage())
    }
}

/// Translates a program into a module of its own.
pub fn translate(bytes: &[u8], machine: &Machine<'_>) -> Result<Module, Error> {
    let mut translator = Translator::default();
    let program = translator.translate(bytes, machine)?;
    let mut module = Module::default().derived(&program, &[]);
    module.positions = program.positions.to_vec();
    Ok(module)
}

/// A function of an object, as a program.
pub struct Loaded {
    /// Function 0 is the program.
    pub module: Module,
    /// What it is given in r1 to r5, unless someone says otherwise.
    pub arguments: [u64; 5],
}

/// The memory of a program that is not given any, in bytes.
pub const DEFAULT_MEMORY: usize = 65_536;

const MEMORY: u8 = 0;
const STACK: u8 = 1;
const CONSTANTS: u8 = 2;
const VARIABLES: u8 = 3;
const CONTEXT: u8 = 4;
const REGION_NAMES: [&str; 5] = ["memory", "stack", "constants", "variables", "context"];

/// Calls within each other that the stack has room for, as in the kernel.
const FRAMES: u64 = 8;

/// Six words: where the packet begins, where it ends, where what stands before it begins; where it comes from.
const XDP_CONTEXT_BYTES: usize = 24;

/// Takes a function out of an object: the one with this name, or the only one. The error is a message for people.
pub fn load(bytes: &[u8], name: Option<&str>, memory: Vec<u8>) -> Result<Loaded, String> {
    let elf = Elf::parse(bytes).map_err(|error| error.to_string())?;
    let functions: Vec<_> = elf.functions().collect();
    let names = || {
        let names: Vec<_> = functions.iter().map(|function| function.name).collect();
        names.join(", ")
    };
    let function = match (name, functions.as_slice()) {
        (Some(name), all) => *all
            .iter()
            .find(|function| function.name == name)
            .ok_or_else(|| format!("no function {name}; there are: {}", names()))?,
        (None, [function]) => *function,
        (None, []) => return Err("there is no function".to_owned()),
        (None, _) => {
            return Err(format!(
                "name a function with --invoke; there are: {}",
                names()
            ));
        }
    };
    let places = Places {
        constants: CONSTANTS,
        variables: VARIABLES,
    };
    let linked = elf.link(function.name, places);
    let linked = linked.map_err(|error| error.to_string())?;
    let is_xdp = function.section.starts_with("xdp");
    let length = memory.len() as u64;
    let (begin, end) = (address_of(MEMORY), address_of(MEMORY) + length);
    let mut context = Vec::new();
    if is_xdp {
        for word in [begin, end, begin] {
            context.extend((word as u32).to_le_bytes());
        }
        context.resize(XDP_CONTEXT_BYTES, 0);
    }
    let sizes = [
        length,
        FRAMES * FRAME_BYTES,
        linked.constants.len() as u64,
        linked.variables.len() as u64,
        context.len() as u64,
    ];
    let regions = [MEMORY, STACK, CONSTANTS, VARIABLES, CONTEXT].map(|region| Memory {
        size: sizes[usize::from(region)],
        writable: !matches!(region, CONSTANTS | CONTEXT),
    });
    let fields = [0, 4, 8].map(|offset| Field {
        region: CONTEXT,
        offset,
        width: 4,
        to: MEMORY,
    });
    let (first, second) = match is_xdp {
        true => (CONTEXT, 0),
        false => (MEMORY, length),
    };
    let mut arguments = [Kind::Unknown; 5];
    arguments[0] = Kind::Pointer(first);
    let machine = Machine {
        regions: &regions,
        stack: STACK,
        packet: Some(MEMORY),
        arguments,
        fields: &fields,
        helpers: &[],
    };
    let translated = translate(&linked.code, &machine);
    let mut module = translated.map_err(|error| format!("function {}: {error}", function.name))?;
    module.names.functions = vec![function.name.to_owned()];
    module.names.regions = REGION_NAMES.map(str::to_owned).to_vec();
    let contents = [
        memory,
        Vec::new(),
        linked.constants,
        linked.variables,
        context,
    ];
    for (region, bytes) in (0..).zip(contents) {
        if bytes.iter().any(|&byte| byte != 0) {
            module.contents.push(Contents {
                region,
                offset: 0,
                form: Form::Bytes,
                bytes,
            });
        }
    }
    Ok(Loaded {
        module,
        arguments: [address_of(first), second, 0, 0, 0],
    })
}
