//! A program file with everything that the runner needs of it.

use crate::ebpf;
use crate::instance::{Content, Instance, Limits};
use crate::optimizer::{Optimizer, numbered};
use crate::outcome::{Ending, Expected};
use patchjit::error::Error;
use patchjit::ir::{NONE, Program};
use patchjit::optimize::{Options, Report};
use patchjit::types::Type;
use patchjit::verify::{self, Verified};
use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

/// A program, and what its file says beside it.
#[derive(Debug)]
pub struct Module {
    path: String,
    text: patchjit_text::Module,
    contents: Vec<Content>,
    promises: Vec<Promise>,
    bench: Option<Promise>,
    /// For each op, if the program was made of another one, the op there that it comes from, or [`NONE`].
    sources: Vec<u32>,
    entry: Option<[u64; 5]>,
}

/// A run that the file makes a promise about.
#[derive(Clone, Debug)]
pub struct Promise {
    /// Its line in the file, from 1.
    pub line: u32,
    /// Its column in the line, from 1.
    pub column: u32,
    /// As it would be written: `@f(5) == 30`.
    pub text: String,
    /// The function.
    pub function: usize,
    /// Its arguments.
    pub arguments: Vec<u64>,
    /// What is promised.
    pub expected: Expected,
}

impl Module {
    /// Reads a file, whose name's ending says what it holds: a program in the text form, or an object with a function for eBPF. The
    /// error is a message for people.
    pub fn load(path: &Path) -> Result<Module, String> {
        Module::load_function(path, None, None)
    }

    /// The same with the function that is taken out of an object, and the memory that it gets.
    pub fn load_function(
        path: &Path,
        function: Option<&str>,
        memory: Option<Vec<u8>>,
    ) -> Result<Module, String> {
        let name = path.display().to_string();
        let extension = path.extension().and_then(|extension| extension.to_str());
        if matches!(extension, Some("wasm" | "wat")) {
            return Module::translate(path);
        }
        if !matches!(extension, Some("uop" | "o")) {
            return Err(format!(
                "{name}: error: not a .uop, .wasm, .wat or .o file by its name"
            ));
        }
        let source = std::fs::read(path).map_err(|error| format!("{name}: error: {error}"))?;
        if extension == Some("o") {
            let memory = memory.unwrap_or_else(|| vec![0; ebpf::DEFAULT_MEMORY]);
            let loaded = ebpf::load(&source, function, memory);
            let loaded = loaded.map_err(|error| format!("{name}: error: {error}"))?;
            return Ok(Module {
                entry: Some(loaded.arguments),
                ..Module::new(name, loaded.module)
            });
        }
        if memory.is_some() {
            return Err(format!("{name}: error: --memory is for objects"));
        }
        let source = String::from_utf8(source)
            .map_err(|error| format!("{name}: error: not UTF-8: {}", error.utf8_error()))?;
        Module::parse(name, &source)
    }

    /// Translates a WebAssembly module. The program is as it is compiled, with names out of what the module imports and exports; what an
    /// instance holds at first is not in it.
    fn translate(path: &Path) -> Result<Module, String> {
        let name = path.display().to_string();
        let bytes = wasm_bytes(path)?;
        let module = patchjit_wasm::Module::translate(&bytes)
            .map_err(|error| format!("{name}: error: {error}"))?;
        let program = module.program();
        let mut text = patchjit_text::Module::default();
        text.functions = program.functions.to_vec();
        text.blocks = program.blocks.to_vec();
        text.ops = program.ops.to_vec();
        text.extra = program.extra.to_vec();
        text.exits = program.exits.to_vec();
        text.signatures = program.signatures.to_vec();
        text.types = program.types.to_vec();
        text.regions = program.regions.to_vec();
        text.hosts = program.hosts.to_vec();
        text.slot_count = program.slot_count;
        text.names.functions = names(module.function_names().iter(), "f");
        text.names.hosts = names(module.host_names().iter(), "h");
        text.names.regions = names(module.region_names().iter(), "r");
        Ok(Module::new(name, text))
    }

    /// Reads a source in the text form. The name stands in messages.
    pub fn parse(name: String, source: &str) -> Result<Module, String> {
        let text = patchjit_text::parse(source).map_err(|error| format!("{name}:{error}"))?;
        Ok(Module::new(name, text))
    }

    fn new(name: String, text: patchjit_text::Module) -> Module {
        let contents = text.contents.iter().map(|contents| Content {
            region: contents.region as usize,
            offset: contents.offset,
            bytes: contents.bytes.clone(),
        });
        let contents = contents.collect();
        let promises = text
            .promises
            .iter()
            .map(|line| promise(&text, line))
            .collect();
        let bench = text.bench.as_ref().map(|line| promise(&text, line));
        Module {
            path: name,
            contents,
            promises,
            bench,
            text,
            sources: Vec::new(),
            entry: None,
        }
    }

    /// Of a function out of an object, which is function 0: what it is given, unless someone says otherwise.
    pub fn entry(&self) -> Option<[u64; 5]> {
        self.entry
    }

    /// The program's records.
    pub fn program(&self) -> Program<'_> {
        self.text.program()
    }

    /// The program as it was read, for printing.
    pub fn text(&self) -> &patchjit_text::Module {
        &self.text
    }

    /// Checks the program; the storage, whose contents do not matter, then belongs to the result. The error
    /// is a message for people.
    pub fn verify<'a>(&'a self, storage: &'a mut Vec<u32>) -> Result<Verified<'a>, String> {
        let program = self.program();
        storage.resize(verify::workspace_words(&program), 0);
        verify::verify(program, storage).map_err(|error| self.program_error(&error))
    }

    /// The program optimized, with the same names, lines and promises; and what was done, and how long that took.
    ///
    /// # Errors
    ///
    /// A message for people: the program is not valid, or a fault of the optimizer.
    pub fn optimized(&self, options: &Options) -> Result<(Module, Report, Duration), String> {
        let (mut numbers, mut storage) = (Vec::new(), Vec::new());
        let program = numbered(&self.program(), &mut numbers);
        storage.resize(verify::workspace_words(&program), 0);
        let verified =
            verify::verify(program, &mut storage).map_err(|error| self.program_error(&error))?;
        let mut optimizer = Optimizer::new();
        let optimized = optimizer
            .run(&verified, options)
            .map_err(|error| self.error(&error.to_string()))?;
        let program = optimized.program();
        let text = self.text.derived(program, program.positions);
        let module = Module {
            sources: program.positions.to_vec(),
            path: self.path.clone(),
            text,
            contents: self.contents.clone(),
            promises: self.promises.clone(),
            bench: self.bench.clone(),
            entry: self.entry,
        };
        Ok((module, *optimizer.report(), optimizer.time()))
    }

    /// What is needed to run it once, with the slots beginning as zeros.
    pub fn instance(&self, limits: Limits) -> Result<Instance, String> {
        let (program, names) = (self.program(), &self.text.names.hosts);
        Instance::new(&program, names, &self.contents, limits).map_err(|error| self.error(&error))
    }

    /// What regions begin with.
    pub fn contents(&self) -> &[Content] {
        &self.contents
    }

    /// The `; run:` lines.
    pub fn promises(&self) -> &[Promise] {
        &self.promises
    }

    /// The `; bench:` line.
    pub fn bench(&self) -> Option<&Promise> {
        self.bench.as_ref()
    }

    /// The function with this name.
    pub fn function(&self, name: &str) -> Option<usize> {
        self.text.function(name).map(|index| index as usize)
    }

    /// A function's name.
    pub fn function_name(&self, function: usize) -> String {
        named(&self.text.names.functions, function as u32, "f")
    }

    /// A host function's name.
    pub fn host_name(&self, host: u32) -> String {
        named(&self.text.names.hosts, host, "h")
    }

    /// A block's name.
    pub fn block_name(&self, block: u32) -> String {
        named(&self.text.names.blocks, block, "block ")
    }

    /// A region's name.
    pub fn region_name(&self, region: u32) -> String {
        named(&self.text.names.regions, region, "r")
    }

    /// The op that an op of an optimized program comes from, by its index in the program that was read.
    pub fn source(&self, op: u32) -> Option<u32> {
        self.sources
            .get(op as usize)
            .copied()
            .filter(|&source| source != NONE)
    }

    /// The types of a function's parameters.
    pub fn parameters(&self, function: usize) -> &[Type] {
        let program = self.program();
        let function = program.functions.get(function);
        function.map_or(&[], |function| program.parameters(function.signature))
    }

    /// The types of a function's results.
    pub fn results(&self, function: usize) -> &[Type] {
        let program = self.program();
        let function = program.functions.get(function);
        function.map_or(&[], |function| program.results(function.signature))
    }

    /// A message about the file as a whole.
    pub fn error(&self, what: &str) -> String {
        format!("{}: error: {what}", self.path)
    }

    /// A message about a place in the file.
    pub fn error_at(&self, line: u32, column: u32, what: &str) -> String {
        format!("{}:{line}:{column}: error: {what}", self.path)
    }

    /// An error of core's, with the place in the file that it is about.
    pub fn program_error(&self, error: &Error) -> String {
        let (function, block, op) = match *error {
            Error::Invalid { place, .. } | Error::Unsupported { place, .. } => {
                (place.function(), place.block(), place.op())
            }
            _ => (None, None, None),
        };
        let place = self.text.place_of(
            function.unwrap_or(NONE),
            block.unwrap_or(NONE),
            op.unwrap_or(NONE),
        );
        match (place, error) {
            (Some((line, column)), Error::Invalid { rule, .. }) => {
                self.error_at(line, column, &format!("broken rule: {rule}"))
            }
            (Some((line, column)), Error::Unsupported { what, .. }) => {
                self.error_at(line, column, &format!("not supported: {what}"))
            }
            _ => self.error(&error.to_string()),
        }
    }
}

/// The bytes of a WebAssembly module in either format. The error is a message for people.
pub fn wasm_bytes(path: &Path) -> Result<Vec<u8>, String> {
    let name = path.display();
    let bytes = std::fs::read(path).map_err(|error| format!("{name}: error: {error}"))?;
    if path.extension().is_none_or(|extension| extension != "wat") {
        return Ok(bytes);
    }
    let text = String::from_utf8(bytes)
        .map_err(|error| format!("{name}: error: not UTF-8: {}", error.utf8_error()))?;
    patchjit_wasm::script::binary(&text).map_err(|error| format!("{name}:{error}"))
}

/// Names that the text form can have, no two the same.
fn names<'a>(wanted: impl Iterator<Item = &'a String>, prefix: &str) -> Vec<String> {
    let mut taken = HashSet::new();
    wanted
        .enumerate()
        .map(|(index, wanted)| {
            let letter = |c: char| {
                if c.is_ascii_alphanumeric() || c == '.' {
                    c
                } else {
                    '_'
                }
            };
            let mut name: String = wanted.chars().map(letter).collect();
            if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
                name = format!("{prefix}{index}{name}");
            }
            if !taken.insert(name.clone()) {
                name = format!("{name}.{prefix}{index}");
                taken.insert(name.clone());
            }
            name
        })
        .collect()
}

/// A name, or a prefix and the index where there is none.
fn named(names: &[String], index: u32, prefix: &str) -> String {
    match names.get(index as usize) {
        Some(name) if !name.is_empty() => name.clone(),
        _ => format!("{prefix}{index}"),
    }
}

fn promise(module: &patchjit_text::Module, line: &patchjit_text::Promise) -> Promise {
    use patchjit_text::Outcome;
    let expected = match &line.outcome {
        Outcome::Returns(values) => Expected::Results(values.clone()),
        Outcome::Exits(number, slots) => Expected::Ending(Ending::Exit(*number), slots.clone()),
        Outcome::Traps(number, slots) => Expected::Ending(Ending::Trap(*number), slots.clone()),
        Outcome::TooDeep => Expected::Ending(Ending::TooDeep, Vec::new()),
        Outcome::OutOfFuel => Expected::Ending(Ending::OutOfFuel, Vec::new()),
    };
    Promise {
        line: line.place.line,
        column: line.place.column,
        text: patchjit_text::print_promise(module, line),
        function: line.function as usize,
        arguments: line.arguments.clone(),
        expected,
    }
}
