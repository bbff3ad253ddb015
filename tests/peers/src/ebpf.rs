//! Programs of eBPF beside rbpf and solana-sbpf.
//!
//! Takes the kernels of `tests/ebpf/kernels.o`; each engine gets the same instructions, behind two that say where its memory is and how much of it
//! is meant. Answers must agree. Times are medians: compilation from instructions in memory to code that can be called, what an
//! engine checks before included, and runs.
//!
//! What is compared is not equally safe. rbpf's code checks no access; its interpreter, solana-sbpf and Patchjit check each when
//! it runs, as far as it is not proved. solana-sbpf is asked for what makes it fastest: no metering of instructions, no disguised constants.

use patchjit::compile::{self, FunctionCode, Options};
use patchjit::error::Error;
use patchjit::{interp, optimize, verify};
use patchjit_cli::ebpf::{self, Translator};
use patchjit_cli::engine::{Interpreter, Native};
use patchjit_cli::instance::{Content, Instance, Limits};
use patchjit_cli::optimizer::Optimizer;
use patchjit_ebpf::elf::{Elf, Linked, Places};
use patchjit_ebpf::{FRAME_BYTES, Kind, Machine, Region, address_of};
use patchjit_memory::Arena;
use patchjit_memory::records::grow;
use patchjit_tests::programs;
use solana_sbpf::ebpf as sbpf;
use solana_sbpf::elf::Executable;
use solana_sbpf::memory_region::{MemoryMapping, MemoryRegion};
use solana_sbpf::program::{BuiltinProgram, FunctionRegistry, SBPFVersion};
use solana_sbpf::verifier::RequisiteVerifier;
use solana_sbpf::vm::{CallFrame, Config, ContextObject, EbpfVm, ExecutionMode};
use std::fmt::Write as _;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::report::geomean;
use crate::scaling::median;

/// The functions, and how much they are asked for.
const KERNELS: [(&str, u64); 7] = [
    ("sieve", 2_000_000),
    ("crc32", 1_000_000),
    ("fnv", 3_000_000),
    ("sha256", 1_000_000),
    ("matrix", 200),
    ("collatz", 100_000),
    ("heapsort", 100_000),
];

const MEMORY_BYTES: usize = 4 << 20;
const CODE_BYTES: usize = 8 << 20;
const MEMORY: u8 = 0;
const STACK: u8 = 1;
const CONSTANTS: u8 = 2;
const VARIABLES: u8 = 3;

const ENGINES: [&str; 6] = [
    "patchjit",
    "patchjit, optimized",
    "patchjit's interpreter",
    "rbpf's JIT, unchecked",
    "rbpf's interpreter",
    "solana-sbpf's JIT",
];

/// What was measured of one engine.
struct Measured {
    compile: Duration,
    run: Duration,
}

/// Measures all kernels and gives a table. With `quick`, fewer rounds.
///
/// # Errors
///
/// If an engine refuses a program, or gives another answer than the others.
pub fn table(quick: bool) -> Result<String, String> {
    let rounds = if quick { 1 } else { 7 };
    let object = programs::directory().join("../ebpf/kernels.o");
    let object = std::fs::read(object).map_err(|error| error.to_string())?;
    let elf = Elf::parse(&object).map_err(|error| error.to_string())?;
    let mut rows = Vec::new();
    for (name, count) in KERNELS {
        let places = Places {
            constants: CONSTANTS,
            variables: VARIABLES,
        };
        let linked = elf.link(name, places).map_err(|error| error.to_string())?;
        let kernel = Kernel {
            linked,
            count,
            rounds,
        };
        let all = [
            kernel.ours(Ours::Plain)?,
            kernel.ours(Ours::Optimized)?,
            kernel.ours(Ours::Interpreted)?,
            kernel.rbpf(true)?,
            kernel.rbpf(false)?,
            kernel.solana()?,
        ];
        let expected = all[0].0;
        if let Some(at) = all.iter().position(|(answer, _)| *answer != expected) {
            let answer = all[at].0;
            return Err(format!(
                "{name}: {} gives {answer}, not {expected}",
                ENGINES[at]
            ));
        }
        rows.push((name, all.map(|(_, measured)| measured)));
    }
    Ok(print(&rows))
}

fn print(rows: &[(&str, [Measured; ENGINES.len()])]) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "compilation in microseconds, then runs in milliseconds"
    );
    for (number, engine) in ENGINES.iter().enumerate() {
        let _ = writeln!(text, "  {}  {engine}", number + 1);
    }
    let _ = write!(text, "{:10}", "");
    for number in 1..=2 * ENGINES.len() {
        let _ = write!(text, "{:>10}", (number - 1) % ENGINES.len() + 1);
    }
    for (name, all) in rows {
        let _ = write!(text, "\n{name:10}");
        for measured in all {
            let _ = write!(text, "{:>10.1}", measured.compile.as_secs_f64() * 1e6);
        }
        for measured in all {
            let _ = write!(text, "{:>10.2}", measured.run.as_secs_f64() * 1e3);
        }
    }
    let _ = writeln!(text);
    for (what, pick) in [
        (
            "compiles in so much of its time",
            (|it: &Measured| it.compile) as fn(&Measured) -> Duration,
        ),
        ("runs in so much of its time", |it: &Measured| it.run),
    ] {
        for (other, engine) in ENGINES.iter().enumerate().skip(2) {
            for (ours, name) in ENGINES[..2].iter().enumerate() {
                let ratios = rows.iter().map(|(_, all)| {
                    pick(&all[ours]).as_secs_f64() / pick(&all[other]).as_secs_f64()
                });
                if let Some(ratio) = geomean(ratios) {
                    let _ = writeln!(text, "{name}, against {engine}: {what}: {ratio:.2}");
                }
            }
        }
    }
    text
}

#[derive(Clone, Copy, PartialEq)]
enum Ours {
    Plain,
    Optimized,
    Interpreted,
}

/// What an embedder keeps from one program to the next.
struct Kept {
    arena: Arena,
    translator: Translator,
    optimizer: Optimizer,
    words: Vec<u32>,
    workspace: Vec<u32>,
    functions: Vec<FunctionCode>,
}

impl Kept {
    /// From instructions to code that can be called, which is given back at once; or to what the interpreter begins with.
    fn make(&mut self, code: &[u8], machine: &Machine, how: Ours) -> Result<(), String> {
        let shown = |error: Error| error.to_string();
        let program = self.translator.translate(code, machine);
        let program = program.map_err(|error| error.to_string())?;
        grow(&mut self.words, verify::workspace_words(&program), 0);
        let mut verified = verify::verify(program, &mut self.words).map_err(shown)?;
        if how == Ours::Interpreted {
            grow(&mut self.workspace, interp::workspace_words(&verified), 0);
            interp::decode(&verified, &mut self.workspace).map_err(shown)?;
            return Ok(());
        }
        if how == Ours::Optimized {
            let options = optimize::Options::default();
            verified = self.optimizer.run(&verified, &options).map_err(shown)?;
        }
        grow(&mut self.workspace, compile::workspace_words(&verified), 0);
        let functions = verified.program().functions.len();
        self.functions.resize(functions, FunctionCode::default());
        let in_memory = |error: patchjit_memory::Error| error.to_string();
        let length = compile::code_bytes(&verified);
        let mut block = self.arena.reserve(length).map_err(in_memory)?;
        let mut writing = self.arena.write(&mut block).map_err(in_memory)?;
        let set = patchjit_stencils::native().ok_or("there is no target for this machine")?;
        let compiled = compile::compile(
            &verified,
            set,
            &Options::default(),
            &mut self.workspace,
            writing.buffer(),
            &mut self.functions,
        );
        let length = compiled.map_err(shown)?.code_length as usize;
        writing.publish(length).map_err(in_memory)?;
        self.arena.release(block).map_err(in_memory)
    }
}

struct Kernel {
    linked: Linked,
    count: u64,
    rounds: usize,
}

impl Kernel {
    /// The median time of several.
    fn time<T>(&self, mut act: impl FnMut() -> Result<T, String>) -> Result<(T, Duration), String> {
        let mut result = act()?;
        let mut times = Vec::new();
        for _ in 0..self.rounds {
            let start = Instant::now();
            let again = act()?;
            times.push(start.elapsed());
            result = again;
        }
        Ok((result, median(&mut times)))
    }

    fn ours(&self, how: Ours) -> Result<(u64, Measured), String> {
        let sizes = [
            MEMORY_BYTES as u64,
            8 * FRAME_BYTES,
            self.linked.constants.len() as u64,
            self.linked.variables.len() as u64,
        ];
        let regions = [MEMORY, STACK, CONSTANTS, VARIABLES].map(|region| Region {
            size: sizes[usize::from(region)],
            writable: region != CONSTANTS,
        });
        let mut arguments = [Kind::Unknown; 5];
        arguments[0] = Kind::Pointer(MEMORY);
        let machine = Machine {
            regions: &regions,
            stack: STACK,
            packet: None,
            arguments,
            fields: &[],
            helpers: &[],
        };
        let set = patchjit_stencils::native().ok_or("there is no target for this machine")?;
        let mut storage = Kept {
            arena: Arena::new(CODE_BYTES).map_err(|error| error.to_string())?,
            translator: Translator::default(),
            optimizer: Optimizer::new(),
            words: Vec::new(),
            workspace: Vec::new(),
            functions: Vec::new(),
        };
        let code = &self.linked.code;
        let ((), compile) = self.time(|| storage.make(code, &machine, how))?;
        let module = ebpf::translate(code, &machine).map_err(|error| error.to_string())?;
        let module = match how {
            Ours::Optimized => programs::optimized(&module, &optimize::Options::default())?.0,
            _ => module,
        };
        let program = module.program();
        let mut words = vec![0; verify::workspace_words(&program)];
        let verified = verify::verify(program, &mut words).map_err(|error| error.to_string())?;
        let native = match how {
            Ours::Interpreted => None,
            _ => {
                let native = Native::new(verified, set, Options::default());
                Some(native.map_err(|error| format!("{error:?}"))?)
            }
        };
        let content = |region: u8, bytes: &Vec<u8>| Content {
            region: region.into(),
            offset: 0,
            bytes: bytes.clone(),
        };
        let contents = [
            content(CONSTANTS, &self.linked.constants),
            content(VARIABLES, &self.linked.variables),
        ];
        let mut instance = Instance::new(&program, &[], &contents, Limits::default())?;
        let arguments = [address_of(MEMORY), self.count, 0, 0, 0];
        let mut times = Vec::new();
        let mut answer = 0;
        for _ in 0..self.rounds + 1 {
            let outcome = match &native {
                Some(native) => native.run(&mut instance, 0, &arguments, 1)?,
                None => {
                    let interpreter = Interpreter::new(verified);
                    let outcome = interpreter.run(&mut instance, 0, &arguments, 1);
                    outcome.map_err(|error| format!("{error:?}"))?
                }
            };
            answer = *outcome.results.first().ok_or("it trapped")?;
            times.push(outcome.time);
        }
        let run = median(&mut times);
        Ok((answer, Measured { compile, run }))
    }

    /// The instructions, with memory at an address and data at others.
    fn placed(&self, memory: u64, constants: u64, variables: u64) -> Vec<u8> {
        let wide = |register: u8, constant: u64| {
            let mut bytes = [0; 16];
            bytes[0] = 0x18;
            bytes[1] = register;
            bytes[4..8].copy_from_slice(&(constant as u32).to_le_bytes());
            bytes[12..16].copy_from_slice(&((constant >> 32) as u32).to_le_bytes());
            bytes
        };
        let mut code = [wide(1, memory), wide(2, self.count)].concat();
        let mut rest = self.linked.code.chunks(8);
        while let Some(bytes) = rest.next() {
            if bytes[0] != 0x18 {
                code.extend_from_slice(bytes);
                continue;
            }
            let half = rest.next().unwrap_or_default();
            if bytes[1] >> 4 != 2 {
                code.extend([bytes, half].concat());
                continue;
            }
            let word = |bytes: &[u8]| u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
            let base = match word(bytes) as u8 {
                CONSTANTS => constants,
                _ => variables,
            };
            code.extend(wide(bytes[1] & 15, base + u64::from(word(half))));
        }
        code
    }

    fn rbpf(&self, compiled: bool) -> Result<(u64, Measured), String> {
        let mut memory = vec![0_u8; MEMORY_BYTES];
        let constants = self.linked.constants.clone();
        let mut variables = self.linked.variables.clone();
        let code = self.placed(
            memory.as_mut_ptr() as u64,
            constants.as_ptr() as u64,
            variables.as_mut_ptr() as u64,
        );
        let shown = |error: rbpf::lib::Error| format!("rbpf: {error:?}");
        let make = || {
            let mut vm = rbpf::EbpfVmNoData::new(Some(&code)).map_err(shown)?;
            for range in [
                memory.as_ptr_range(),
                constants.as_ptr_range(),
                variables.as_ptr_range(),
            ] {
                vm.register_allowed_memory(range.start as u64..range.end as u64);
            }
            if compiled {
                vm.jit_compile().map_err(shown)?;
            }
            Ok(vm)
        };
        let (vm, compile) = self.time(make)?;
        let (answer, run) = self.time(|| match compiled {
            // SAFETY: the program reaches the memory above only: Patchjit ran it within its regions.
            true => unsafe { vm.execute_program_jit() }.map_err(shown),
            false => vm.execute_program().map_err(shown),
        })?;
        Ok((answer, Measured { compile, run }))
    }

    fn solana(&self) -> Result<(u64, Measured), String> {
        let mut memory = vec![0_u8; MEMORY_BYTES];
        let constants = memory.len() as u64;
        memory.extend_from_slice(&self.linked.constants);
        memory.resize(memory.len().next_multiple_of(8), 0);
        let variables = memory.len() as u64;
        memory.extend_from_slice(&self.linked.variables);
        let start = sbpf::MM_INPUT_START;
        let mut code = self.placed(start, start + constants, start + variables);
        let config = Config {
            enable_instruction_meter: false,
            noop_instruction_rate: 0,
            sanitize_user_provided_values: false,
            ..Config::default()
        };
        let loader: Arc<BuiltinProgram<Unmetered>> = Arc::new(BuiltinProgram::new_loader(config));
        let shown = |error: String| format!("solana-sbpf: {error}");
        let key = |target: usize| sbpf::hash_symbol_name(&(target as u64).to_le_bytes());
        // Local calls are by the hash of where they lead.
        let mut calls = Vec::new();
        for (at, bytes) in code.chunks_mut(8).enumerate() {
            if bytes[0] == 0x85 && bytes[1] >> 4 == 1 {
                let distance = i32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
                let target = (at as i64 + 1 + i64::from(distance)) as usize;
                let hash = key(target);
                bytes[4..8].copy_from_slice(&hash.to_le_bytes());
                bytes[1] = 0;
                calls.push(target);
            }
        }
        let make = || {
            let mut functions = FunctionRegistry::default();
            for &target in &calls {
                functions
                    .register_function(key(target), *b"", target)
                    .map_err(|error| shown(error.to_string()))?;
            }
            let executable =
                Executable::new_from_text_bytes(&code, loader.clone(), SBPFVersion::V0, functions);
            let executable = executable.map_err(|error| shown(error.to_string()))?;
            executable
                .verify::<RequisiteVerifier>()
                .map_err(|error| shown(error.to_string()))?;
            executable
                .jit_compile()
                .map_err(|error| shown(error.to_string()))?;
            Ok(executable)
        };
        let (executable, compile) = self.time(make)?;
        let config = executable.get_config();
        let mut stack = vec![0_u8; config.stack_size()];
        let regions = vec![
            MemoryRegion::new(&raw mut stack[..], sbpf::MM_STACK_START),
            MemoryRegion::new(&raw mut memory[..], start),
        ];
        // SAFETY: stack and memory outlive the mapping, and nothing else uses them while programs run.
        let mapping = unsafe { MemoryMapping::new(regions, config, SBPFVersion::V0) };
        let mapping = mapping.map_err(|error| shown(error.to_string()))?;
        let mut context = Unmetered { mapping };
        let mut frames = vec![CallFrame::default(); config.max_call_depth];
        let (answer, run) = self.time(|| {
            let mut vm = EbpfVm::new(
                loader.clone(),
                SBPFVersion::V0,
                &mut context,
                config.stack_size(),
            );
            let (_, result) = vm.execute_program(&executable, &mut ExecutionMode::Jit, &mut frames);
            Result::from(result).map_err(|error| shown(error.to_string()))
        })?;
        Ok((answer, Measured { compile, run }))
    }
}

/// What solana-sbpf asks of whoever runs programs.
struct Unmetered {
    mapping: MemoryMapping,
}

impl ContextObject for Unmetered {
    fn consume(&mut self, _: u64) {}

    fn get_remaining(&self) -> u64 {
        u64::MAX
    }

    fn active_mapping_ptr(&mut self) -> NonNull<MemoryMapping> {
        NonNull::from(&mut self.mapping)
    }
}
