//! `patchjit compile`.

use crate::arguments::{CompileArguments, Emit, Format};
use crate::common;
use crate::report::{self, Failure};
use patchjit::code::CodeBuffer;
use patchjit::compile::{FunctionCode, Observer, Options, Silent};
use patchjit::stencil::{Distances, StencilSet};
use patchjit::verify::Verified;
use patchjit_cli::disassemble;
use patchjit_cli::engine::Compilation;
use patchjit_cli::header::{self, Facts};
use patchjit_cli::interface::{self, Interface};
use patchjit_cli::module::Module;
use patchjit_cli::object_file;
use std::fmt::Write as _;
use std::io::IsTerminal as _;

/// Code for some target, and where its functions are.
pub struct Code {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// In the order of the program.
    pub functions: Vec<FunctionCode>,
    /// The most bytes of stack that a call uses.
    pub frame_bytes: u32,
}

/// Compiles to bytes that are not executable; they are the same on every host.
pub fn to_bytes(
    module: &Module,
    verified: Verified<'_>,
    set: &'static StencilSet,
    fuel: bool,
    observer: &mut impl Observer,
) -> Result<Code, Failure> {
    let mut compilation = Compilation::new(
        verified,
        set,
        Options {
            fuel,
            ..Options::default()
        },
    );
    let mut bytes = vec![0; compilation.code_bytes()];
    let buffer = CodeBuffer {
        write: &mut bytes,
        execute_at: 0,
    };
    let compiled = compilation
        .compile_observed(buffer, observer)
        .map_err(|error| Failure::input(module.program_error(&error)))?;
    bytes.truncate(compiled.code_length as usize);
    Ok(Code {
        functions: compilation.functions().to_vec(),
        frame_bytes: compiled.frame_bytes,
        bytes,
    })
}

/// Compiles and writes what the arguments ask for.
pub fn compile(arguments: &CompileArguments) -> Result<(), Failure> {
    combination(arguments)?;
    let set = common::set(arguments.target.as_deref())?;
    let module = Module::load_function(&arguments.file, arguments.invoke.as_deref(), None)
        .map_err(Failure::input)?;
    let optimized = common::optimized(&module, &arguments.optimizer)?;
    let module = optimized.module.as_ref().unwrap_or(&module);
    let mut storage = Vec::new();
    let verified = module.verify(&mut storage).map_err(Failure::input)?;
    let output = match arguments.emit {
        Emit::Uop => module.text().to_string().into_bytes(),
        emit => {
            let code = to_bytes(module, verified, set, arguments.fuel, &mut Silent)?;
            match emit {
                Emit::Asm => listing(module, &code, set).into_bytes(),
                Emit::Obj => object(&code, &names(arguments, module, &code), arguments, set)?,
                Emit::Header => {
                    let facts = Facts {
                        target: set.target,
                        fuel: arguments.fuel,
                        frame_bytes: code.frame_bytes,
                    };
                    header::header(module, &names(arguments, module, &code), facts).into_bytes()
                }
                Emit::Bin | Emit::Uop => code.bytes,
            }
        }
    };
    let binary = matches!(arguments.emit, Emit::Bin | Emit::Obj);
    if binary && arguments.output.is_none() && std::io::stdout().is_terminal() {
        let what = "error: bytes are not for a terminal; name a file with -o, or --emit asm";
        return Err(Failure::input(what.to_string()));
    }
    match &arguments.output {
        Some(path) => std::fs::write(path, output)
            .map_err(|error| Failure::input(format!("{}: error: {error}", path.display())))?,
        None => report::print_bytes(&output),
    }
    Ok(())
}

/// The disassembly, with a heading for each function, its body and its tables.
fn listing(module: &Module, code: &Code, set: &StencilSet) -> String {
    let mut headings: Vec<(u32, String, bool)> = vec![(0, "ends of runs".to_string(), true)];
    for (index, function) in code.functions.iter().enumerate() {
        let name = module.function_name(index);
        headings.push((function.entry, format!("@{name}: entry"), true));
        headings.push((function.body, format!("@{name}: body"), true));
        if function.data < function.faults {
            headings.push((function.data, format!("@{name}: jump tables"), false));
        }
    }
    headings.sort_by_key(|&(offset, ..)| offset);
    let mut text = String::new();
    for (index, &(start, ref heading, is_code)) in headings.iter().enumerate() {
        let next = headings.get(index + 1);
        let end = next.map_or(code.bytes.len() as u32, |next| next.0);
        let _ = writeln!(text, "; {heading}, {} bytes", end - start);
        let bytes = &code.bytes[start as usize..end as usize];
        text += &if is_code {
            disassemble::of_target(set, bytes, start.into())
        } else {
            disassemble::words(bytes, start.into())
        };
    }
    text
}

/// Refuses options that nothing would come of.
fn combination(arguments: &CompileArguments) -> Result<(), Failure> {
    let emit = arguments.emit;
    let what = if arguments.format.is_some() && emit != Emit::Obj {
        "error: --format goes with --emit obj only"
    } else if arguments.prefix.is_some() && !matches!(emit, Emit::Obj | Emit::Header) {
        "error: --prefix goes with --emit obj and --emit header only"
    } else {
        return Ok(());
    };
    Err(Failure::input(what.to_string()))
}

/// The names that the object file and its header have in common.
fn names(arguments: &CompileArguments, module: &Module, code: &Code) -> Interface {
    let prefix = match &arguments.prefix {
        Some(prefix) => prefix,
        None => &interface::default_prefix(&arguments.file),
    };
    Interface::new(module, &code.functions, prefix)
}

fn object(
    code: &Code,
    interface: &Interface,
    arguments: &CompileArguments,
    set: &StencilSet,
) -> Result<Vec<u8>, Failure> {
    let architecture = match set.distances {
        Distances::Bytes32 => object::Architecture::X86_64,
        Distances::Fields => object::Architecture::Aarch64,
        Distances::Scattered => object::Architecture::Riscv64,
    };
    let format = match arguments.format.unwrap_or(Format::Elf) {
        Format::Elf => object::BinaryFormat::Elf,
        Format::Macho => object::BinaryFormat::MachO,
        Format::Coff => object::BinaryFormat::Coff,
    };
    object_file::write(&code.bytes, interface, format, architecture).map_err(Failure::input)
}
