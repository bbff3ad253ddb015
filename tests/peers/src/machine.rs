//! Compiles a verified program with Cranelift, and runs it.
//!
//! Takes a program and one of the [`Settings`]; promises entries of the signature that [`patchjit::call`] names, to
//! be run under a [`Context`]. What is timed is Cranelift's own work alone: from its IR in memory to
//! linked code in memory, with its verifier off and its context reused.

use crate::clock::Clock;
use crate::enter;
use crate::pages::Pages;
use crate::plan::Plan;
use crate::subject::{Engine, Made, Maker};
use crate::translate::{self, Names};
use cranelift_codegen::ir;
use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_codegen::settings::{self, Configurable};
use cranelift_jit::{JITBuilder, JITModule};
use cranelift_module::{FuncId, Linkage, Module, ModuleError};
use patchjit::ir::Program;
use patchjit::runtime::{Context, EntryCell, Status};
use patchjit::verify::Verified;
use std::fmt;
use std::time::Duration;

/// How Cranelift is asked to compile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settings {
    /// `opt_level=speed`
    Speed,
    /// `opt_level=none`
    None,
    /// `opt_level=none` with `regalloc_algorithm=single_pass`
    SinglePass,
}

impl Settings {
    /// All of them, in the order of reports.
    pub const ALL: [Settings; 3] = [Settings::Speed, Settings::None, Settings::SinglePass];

    /// What reports call them.
    pub const fn name(self) -> &'static str {
        match self {
            Settings::Speed => "speed",
            Settings::None => "none",
            Settings::SinglePass => "none+single_pass",
        }
    }
}

/// For which processor Cranelift compiles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Processor {
    /// This one, with all that it has.
    #[default]
    Native,
    /// x86-64-v2, which is what our tables assume; on other machines the same as native.
    Baseline,
}

/// Why Cranelift does not run a program.
#[derive(Debug)]
pub struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl Error {
    pub(crate) fn of(source: impl fmt::Display) -> Error {
        Error(source.to_string())
    }

    fn in_module(source: ModuleError) -> Error {
        match source {
            ModuleError::Compilation(source) => Error(format!("{source:?}")),
            other => Error::of(other),
        }
    }
}

/// Makes the compiler for these settings.
pub fn compiler(settings: Settings, processor: Processor) -> Result<OwnedTargetIsa, Error> {
    let mut flags = settings::builder();
    let (level, algorithm) = match settings {
        Settings::Speed => ("speed", "backtracking"),
        Settings::None => ("none", "backtracking"),
        Settings::SinglePass => ("none", "single_pass"),
    };
    for (name, value) in [
        ("opt_level", level),
        ("regalloc_algorithm", algorithm),
        ("enable_verifier", "false"),
        ("is_pic", "false"),
        ("use_colocated_libcalls", "false"),
        ("unwind_info", "false"),
        ("enable_probestack", "false"),
        ("machine_code_cfg_info", "false"),
        // Tail calls ask for it; on x86-64 the code is the same without.
        ("preserve_frame_pointers", "true"),
        ("enable_heap_access_spectre_mitigation", "false"),
        ("enable_table_access_spectre_mitigation", "false"),
        // A signature may have more results than there are registers.
        ("enable_multi_ret_implicit_sret", "true"),
    ] {
        flags.set(name, value).map_err(Error::of)?;
    }
    let mut isa = match processor {
        Processor::Native => cranelift_native::builder().map_err(Error::of)?,
        Processor::Baseline => {
            cranelift_native::builder_with_options(!cfg!(target_arch = "x86_64"))
                .map_err(Error::of)?
        }
    };
    if processor == Processor::Baseline && cfg!(target_arch = "x86_64") {
        for name in [
            "has_sse3",
            "has_ssse3",
            "has_sse41",
            "has_sse42",
            "has_popcnt",
        ] {
            isa.enable(name).map_err(Error::of)?;
        }
    }
    isa.finish(settings::Flags::new(flags)).map_err(Error::of)
}

/// A program in Cranelift's IR, not yet compiled.
pub struct Translated {
    module: JITModule,
    names: Names,
    bodies: Vec<ir::Function>,
    entries: Vec<(FuncId, ir::Function)>,
    pages: Pages,
    /// How long the translation took.
    pub translation: Duration,
}

/// A program in machine code.
pub struct Compiled {
    /// Owns what the code refers to; the code itself is in the pages.
    _module: JITModule,
    entries: Vec<u64>,
    cells: Vec<EntryCell>,
    pages: Pages,
    /// How long Cranelift took for the bodies: from its IR in memory to linked code in memory.
    pub compilation: Duration,
    /// Bytes of the bodies' code, padding between functions included.
    pub code_bytes: usize,
}

/// Translates a verified program for a compiler, into code that will stand in these pages, which are empty.
pub fn translate(
    program: &Program,
    isa: &OwnedTargetIsa,
    pages: &Pages,
) -> Result<Translated, Error> {
    let mut builder = JITBuilder::with_isa(isa.clone(), cranelift_module::default_libcall_names());
    builder.memory_provider(Box::new(pages.clone()));
    builder.symbol("leave", enter::leave_address());
    let mut module = JITModule::new(builder);
    let convention = isa.default_call_conv();
    let leave = translate::leave_signature(convention);
    let leave = module
        .declare_function("leave", Linkage::Import, &leave)
        .map_err(Error::in_module)?;
    let mut names = Names {
        bodies: Vec::with_capacity(program.functions.len()),
        leave,
    };
    let plan = Plan::new(program);
    let mut entries = Vec::with_capacity(program.functions.len());
    for (index, function) in program.functions.iter().enumerate() {
        let status = plan.returns_status[index];
        let signature = translate::body_signature(program, function.signature, status);
        let body = module.declare_anonymous_function(&signature);
        names.bodies.push(body.map_err(Error::in_module)?);
        let entry = module.declare_anonymous_function(&translate::pointer_signature(convention));
        entries.push(entry.map_err(Error::in_module)?);
    }
    let start = Clock::start();
    let mut bodies = Vec::with_capacity(program.functions.len());
    for (index, &id) in names.bodies.iter().enumerate() {
        let mut func = ir::Function::new();
        func.name = ir::UserFuncName::user(0, id.as_u32());
        translate::body(program, &plan, &names, &mut module, &mut func, index);
        bodies.push(func);
    }
    let translation = start.elapsed();
    let entries = entries.into_iter().enumerate();
    let entries = entries
        .map(|(index, id)| {
            let mut func = ir::Function::new();
            func.name = ir::UserFuncName::user(0, id.as_u32());
            translate::entry(program, &plan, &names, &mut module, &mut func, index);
            (id, func)
        })
        .collect();
    Ok(Translated {
        module,
        names,
        bodies,
        entries,
        pages: pages.clone(),
        translation,
    })
}

impl Translated {
    /// The IR of a body.
    pub fn function(&self, function: usize) -> &ir::Function {
        &self.bodies[function]
    }

    /// Holds all IR against Cranelift's own verifier.
    pub fn verify(&self) -> Result<(), Error> {
        let entries = self.entries.iter().map(|(_, func)| func);
        for func in self.bodies.iter().chain(entries) {
            cranelift_codegen::verify_function(func, self.module.isa())
                .map_err(|errors| Error(format!("{errors}\n{}", func.display())))?;
        }
        Ok(())
    }

    /// Compiles everything; `context` is reused from one compilation to the next.
    pub fn compile(
        mut self,
        program: &Program,
        context: &mut cranelift_codegen::Context,
    ) -> Result<Compiled, Error> {
        let bodies = core::mem::take(&mut self.bodies);
        let mut done = Vec::with_capacity(bodies.len());
        let start = Clock::start();
        for (&id, func) in self.names.bodies.iter().zip(bodies) {
            let before = core::mem::replace(&mut context.func, func);
            done.push(before);
            self.module
                .define_function(id, context)
                .map_err(Error::in_module)?;
            // Clears the result, but the IR's storage belongs to the function that goes away after the clock stops.
            let func = core::mem::replace(&mut context.func, ir::Function::new());
            done.push(func);
            context.clear();
        }
        self.module
            .finalize_definitions()
            .map_err(Error::in_module)?;
        let compilation = start.elapsed();
        drop(done);
        let code_bytes = self.pages.used();
        for (id, func) in core::mem::take(&mut self.entries) {
            context.func = func;
            self.module
                .define_function(id, context)
                .map_err(Error::in_module)?;
            context.clear();
            self.entries.push((id, ir::Function::new()));
        }
        self.module
            .finalize_definitions()
            .map_err(Error::in_module)?;
        self.pages.publish().map_err(Error::of)?;
        let address = |id| self.module.get_finalized_function(id).addr() as u64;
        let entries = self.entries.iter().map(|&(id, _)| address(id)).collect();
        let cells = self.names.bodies.iter().zip(program.functions);
        let cells = cells
            .map(|(&id, function)| EntryCell {
                code: address(id),
                signature: u64::from(function.signature),
            })
            .collect();
        Ok(Compiled {
            entries,
            cells,
            _module: self.module,
            pages: self.pages,
            compilation,
            code_bytes,
        })
    }
}

impl Compiled {
    /// The cells that a [`Context`] for this code must point to.
    pub fn cells(&self) -> &[EntryCell] {
        &self.cells
    }

    /// The machine code, bodies and entries.
    pub fn bytes(&self) -> Vec<u8> {
        let length = self.pages.used();
        let Some(first) = self.cells.first() else {
            return Vec::new();
        };
        let start = core::ptr::with_exposed_provenance::<u8>(first.code as usize);
        // SAFETY: the pages are readable, and the first body stands at their front.
        unsafe { core::slice::from_raw_parts(start, length) }.to_vec()
    }

    /// Runs a function.
    ///
    /// # Safety
    ///
    /// What [`patchjit::call::enter`] asks for, with the cells of [`Compiled::cells`].
    pub unsafe fn run(&self, function: usize, context: &mut Context, values: &mut [u64]) -> Status {
        context.cells = self.cells.as_ptr();
        context.cell_count = self.cells.len() as u64;
        // SAFETY: the caller promises the rest; the entry belongs to this module, which is alive.
        unsafe { enter::run(self.entries[function], context, values.as_mut_ptr()) }
    }
}

/// Cranelift as a [`Maker`] of engines.
pub struct Cranelift {
    settings: Settings,
    isa: OwnedTargetIsa,
    context: cranelift_codegen::Context,
}

impl Cranelift {
    /// With these settings, for this processor.
    pub fn new(settings: Settings, processor: Processor) -> Result<Cranelift, Error> {
        Ok(Cranelift {
            settings,
            isa: compiler(settings, processor)?,
            context: cranelift_codegen::Context::new(),
        })
    }

    /// Compiles a program once, into pages of its own.
    pub fn compile(&mut self, program: &Program) -> Result<(Compiled, Duration), Error> {
        let pages = Pages::new((1 << 16) + program.ops.len() * 96).map_err(Error::of)?;
        let translated = translate(program, &self.isa, &pages)?;
        let translation = translated.translation;
        Ok((translated.compile(program, &mut self.context)?, translation))
    }
}

impl Maker for Cranelift {
    fn name(&self) -> String {
        format!("cranelift {}", self.settings.name())
    }

    fn make<'a>(&mut self, verified: &'a Verified<'a>) -> Result<Made<'a>, String> {
        let compiled = self.compile(verified.program());
        let (compiled, translation) = compiled.map_err(|error| error.to_string())?;
        Ok(Made {
            compilation: Some(compiled.compilation),
            translation: Some(translation),
            code_bytes: Some(compiled.code_bytes),
            engine: Box::new(Running(compiled)),
        })
    }
}

/// Compiled code as an engine.
struct Running(Compiled);

impl Engine for Running {
    unsafe fn run(&self, function: u32, context: &mut Context, values: &mut [u64]) -> Status {
        // SAFETY: the caller promises what is asked for here.
        unsafe { self.0.run(function as usize, context, values) }
    }
}
