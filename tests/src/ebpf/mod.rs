//! eBPF programs under test: how they are written, and how they run on every engine.

mod write;

pub use write::{PACKET_BYTES, hostile, random};

use patchjit::compile;
use patchjit::optimize;
use patchjit::verify;
use patchjit_cli::ebpf;
use patchjit_cli::engine::{Interpreter, Native};
use patchjit_cli::instance::{Content, Instance, Limits};
use patchjit_cli::outcome::{Ending, Outcome};
use patchjit_ebpf::{Kind, Machine, Region, address_of};
use patchjit_text::Module;

use crate::programs;

const STACK_BYTES: u64 = 4096;

/// The regions of [`machine`], for a packet of so many bytes.
pub fn regions(packet: usize) -> [Region; 2] {
    [packet as u64, STACK_BYTES].map(|size| Region {
        size,
        writable: true,
    })
}

/// A machine with a packet, region 0, to which r1 points, and a stack.
pub fn machine<'a>(regions: &'a [Region]) -> Machine<'a> {
    let mut arguments = [Kind::Unknown; 5];
    arguments[0] = Kind::Pointer(0);
    Machine {
        regions,
        stack: 1,
        packet: Some(0),
        arguments,
        fields: &[],
        helpers: &[],
    }
}

/// What a run came to, and the packet afterwards.
#[derive(Debug, PartialEq)]
pub struct Run {
    /// How it ended.
    pub ending: Ending,
    /// r0, if it returned.
    pub results: Vec<u64>,
    /// The packet afterwards.
    pub packet: Vec<u8>,
}

/// Runs a program on all engines, with the optimizer and without; they agree.
pub fn run(bytes: &[u8], packet: &[u8]) -> Result<Run, String> {
    run_within(bytes, packet, 10_000_000)
}

/// The same with so much fuel.
pub fn run_within(bytes: &[u8], packet: &[u8], fuel: u64) -> Result<Run, String> {
    let regions = regions(packet.len());
    let module = ebpf::translate(bytes, &machine(&regions)).map_err(|error| error.to_string())?;
    let program = module.program();
    let mut words = vec![0; verify::workspace_words(&program)];
    let verified = verify::verify(program, &mut words).map_err(|error| error.to_string())?;
    assert!(verified.is_contained());
    let (optimized, _) = programs::optimized(&module, &optimize::Options::default())?;
    let mut first: Option<Run> = None;
    for module in [&module, &optimized] {
        for engine in ["interpreter", "code"] {
            let run = run_on(module, engine, packet, fuel)?;
            match &first {
                None => first = Some(run),
                Some(first) if *first == run => {}
                Some(first) => return Err(format!("{engine}: {run:?}, not {first:?}")),
            }
        }
    }
    first.ok_or_else(|| "nothing ran".to_owned())
}

/// Runs a program on one engine: `interpreter`, or `code`.
pub fn run_on(module: &Module, engine: &str, packet: &[u8], fuel: u64) -> Result<Run, String> {
    let program = module.program();
    let mut words = vec![0; verify::workspace_words(&program)];
    let verified = verify::verify(program, &mut words).map_err(|error| error.to_string())?;
    let contents = [Content {
        region: 0,
        offset: 0,
        bytes: packet.to_vec(),
    }];
    let limits = Limits {
        fuel: Some(fuel),
        depth: 8,
    };
    let mut instance = Instance::new(&program, &[], &contents, limits)?;
    // Without a packet, rbpf begins with zeros.
    let at = if packet.is_empty() { 0 } else { address_of(0) };
    let arguments = [at, 0, 0, 0, 0];
    let outcome: Outcome = if engine == "code" {
        let options = compile::Options {
            fuel: true,
            ..compile::Options::default()
        };
        let native = Native::new(verified, crate::host_set(), options);
        let native = native.map_err(|error| format!("{error:?}"))?;
        native.run(&mut instance, 0, &arguments, 1)?
    } else {
        let interpreter = Interpreter::new(verified);
        let outcome = interpreter.run(&mut instance, 0, &arguments, 1);
        outcome.map_err(|error| format!("{error:?}"))?
    };
    Ok(Run {
        ending: outcome.ending,
        results: outcome.results,
        packet: instance.region(0).to_vec(),
    })
}

/// Writes programs, instruction by instruction.
#[derive(Default)]
pub struct Assembly(pub Vec<u8>);

impl Assembly {
    /// One instruction: opcode, destination, source, offset, immediate.
    pub fn push(&mut self, opcode: u8, destination: u8, source: u8, offset: i16, immediate: i32) {
        self.0.extend([opcode, destination | source << 4]);
        self.0.extend(offset.to_le_bytes());
        self.0.extend(immediate.to_le_bytes());
    }

    /// A 64-bit constant into a register.
    pub fn wide(&mut self, destination: u8, constant: u64) {
        self.push(0x18, destination, 0, 0, constant as i32);
        self.push(0, 0, 0, 0, (constant >> 32) as i32);
    }

    /// How many instructions there are, halves of constants counted.
    #[allow(clippy::len_without_is_empty, reason = "nobody asks")]
    pub fn len(&self) -> usize {
        self.0.len() / 8
    }
}
