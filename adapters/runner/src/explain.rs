//! `patchjit explain`: what each stage makes of a program.

use crate::arguments::ExplainArguments;
use crate::report::{self, Failure};
use crate::{common, compile};
use patchjit::compile::{Event, Location, ReferenceMaps, Safepoint, ValueName};
use patchjit::error::{Error, Storage};
use patchjit::stencil::StencilSet;
use patchjit_cli::disassemble;
use patchjit_cli::module::Module;
use patchjit_cli::page::{self, Heading, Page};
use patchjit_cli::stages::chart::{ChartNames, chart};
use patchjit_cli::stages::listing::listing;
use patchjit_cli::stages::passes::{Fate, PassStages};
use patchjit_cli::stages::{Events, Stages, register_text};
use patchjit_text::OpTexts;
use std::fmt::Write as _;

/// Prints the stages, or writes them as a page.
pub fn explain(arguments: &ExplainArguments) -> Result<(), Failure> {
    let set = common::set(arguments.target.as_deref())?;
    let read = Module::load_function(&arguments.file, arguments.invoke.as_deref(), None)
        .map_err(Failure::input)?;
    let mut text = stage("program", &read)?;
    let optimized = common::optimized(&read, &arguments.optimizer)?;
    let module = optimized.module.as_ref().unwrap_or(&read);
    let passes = match (&optimized.module, arguments.optimizer.options()) {
        (Some(module), Some(options)) => {
            let passes = PassStages::of(&read, module, &options, &optimized.report);
            Some(passes.map_err(Failure::input)?)
        }
        _ => None,
    };
    if let Some(passes) = &passes {
        text += &format!("\n== passes\n{}", passes_text(&read, passes));
        text += &format!("\n{}", stage("optimized program", module)?);
    }
    let mut storage = Vec::new();
    let verified = module.verify(&mut storage).map_err(Failure::input)?;
    let program = module.program();
    let mut events = Events::default();
    let mut safepoints = vec![Safepoint::default(); ReferenceMaps::safepoints(&verified)];
    let (mut roots, mut words) = (Vec::new(), vec![0; ReferenceMaps::words(&verified)]);
    // How many roots there are, the first round tells.
    let (code, references) = loop {
        events.0.clear();
        let mut maps = ReferenceMaps::new(&verified, &mut safepoints, &mut roots, &mut words);
        let mut both = (&mut events, &mut maps);
        let code = compile::to_bytes(module, verified, set, false, &mut both)?;
        match maps.finish() {
            Ok(references) => break (code, references),
            Err(Error::Full {
                storage: Storage::Roots,
                needed,
            }) => roots = vec![0; needed],
            Err(error) => return Err(Failure::input(module.program_error(&error))),
        }
    };
    let stages = Stages::of(&program, set, &events.0, &code.functions, &references);
    if let Some(path) = &arguments.html {
        let heading = Heading {
            file: arguments.file.display().to_string(),
            target: set.target,
            bytes: code.bytes.len(),
            size: verified.size(),
            frame_bytes: code.frame_bytes,
            contained: verified.is_contained(),
        };
        let passes = passes.as_ref().map(|passes| (passes, &read));
        let page = Page::new(heading, module, passes, set, &stages, &code.bytes);
        let written = page::html(&page)
            .map_err(std::io::Error::from)
            .and_then(|html| std::fs::write(path, html));
        return written
            .map_err(|error| Failure::input(format!("{}: error: {error}", path.display())));
    }
    let texts = patchjit_text::print_ops(&program, Some(&module.text().names));
    let names = Names { module, set, texts };
    report::print(&text);
    report::print(&format!(
        "\n== live ranges\n; {LEGEND}\n{}",
        names.live_ranges(&stages, report::has_colours())
    ));
    report::print(&format!("\n== registers\n{}", names.decisions(&events.0)));
    let found = names.references(&stages);
    if !found.is_empty() {
        report::print(&format!("\n== references\n{found}"));
    }
    report::print(&format!(
        "\n== code\n; {}, {} bytes, {:.1} for each unit of size, at most {} bytes of stack in a call\n{}",
        set.target,
        code.bytes.len(),
        code.bytes.len() as f64 / verified.size().max(1) as f64,
        code.frame_bytes,
        names.code(&stages, &code.bytes),
    ));
    Ok(())
}

/// What the characters of a chart say.
const LEGEND: &str = "◆ begins, ● is read, ━ in a register, ┿ in another from here on, ╌ in its spill slot, \
                      · made again where needed";

/// A program with its size.
fn stage(title: &str, module: &Module) -> Result<String, Failure> {
    let mut storage = Vec::new();
    let verified = module.verify(&mut storage).map_err(Failure::input)?;
    let program = module.program();
    let contained = if verified.is_contained() {
        "contained"
    } else {
        "not contained"
    };
    Ok(format!(
        "== {title}\n; {} functions, {} blocks, {} ops, size {}, {contained}\n{}",
        program.functions.len(),
        program.blocks.len(),
        program.ops.len(),
        verified.size(),
        module.text(),
    ))
}

/// How many steps each pass made, and what became of the ops that are not as they were.
fn passes_text(module: &Module, passes: &PassStages) -> String {
    let steps: Vec<_> = passes
        .passes
        .iter()
        .map(|(pass, steps)| format!("{pass} {steps}"))
        .collect();
    let mut text = format!(
        "; steps: {}\n; - dropped, ~ changed, and by which passes alone\n",
        steps.join(", ")
    );
    let program = module.program();
    for (index, function) in program.functions.iter().enumerate() {
        let mut heading = format!("@{}\n", module.function_name(index));
        let first = function.first_op as usize;
        for op in &passes.ops[first..first + function.op_count as usize] {
            let mark = match op.fate {
                Fate::Kept => continue,
                Fate::Changed => '~',
                Fate::Gone => '-',
            };
            let names = passes.passes.iter().enumerate();
            let names = names.filter(|(number, _)| op.passes >> number & 1 != 0);
            let names: Vec<_> = names.map(|(_, (pass, _))| pass.name()).collect();
            let by = match names.as_slice() {
                [] => "several together".to_string(),
                names => names.join(", "),
            };
            text += &std::mem::take(&mut heading);
            let _ = writeln!(text, "  {mark} {:56} {by}", op.line);
        }
    }
    text
}

/// Prints decisions with the names of values and registers.
struct Names<'a> {
    module: &'a Module,
    set: &'static StencilSet,
    texts: OpTexts,
}

impl Names<'_> {
    /// The ranges of all functions.
    fn live_ranges(&self, stages: &Stages, colours: bool) -> String {
        let charts = stages.functions.iter().map(|function| {
            let names = ChartNames {
                function: format!("@{}", self.module.function_name(function.function as usize)),
                lines: &self.texts.lines,
                value: &|range| self.value(range.value),
                block: &|block| self.module.block_name(block),
                register: &|register| self.register(register),
            };
            chart(function, &names, colours)
        });
        charts.collect()
    }

    /// What a collector finds at each safepoint; nothing where a program has no references.
    fn references(&self, stages: &Stages) -> String {
        let mut text = String::new();
        for function in &stages.functions {
            let mut name = format!(
                "@{}\n",
                self.module.function_name(function.function as usize)
            );
            for safepoint in function
                .safepoints
                .iter()
                .filter(|point| !point.roots.is_empty())
            {
                let op = function.ops.get(safepoint.position as usize).copied();
                let line = op.and_then(|op| self.texts.lines.get(op as usize));
                let (position, at) = (safepoint.position, safepoint.at);
                let roots = safepoint.roots.iter();
                let roots =
                    roots.map(|&(value, slot)| format!("{} in slot {slot}", self.value(value)));
                let roots: Vec<_> = roots.collect();
                text += &std::mem::take(&mut name);
                let _ = writeln!(text, "{position:6}    {}", line.map_or("", String::as_str));
                let _ = writeln!(text, "          at {at:x}: {}", roots.join(", "));
            }
        }
        text
    }

    /// The code: what ends runs, then each function.
    fn code(&self, stages: &Stages, code: &[u8]) -> String {
        let program = self.module.program();
        let first = stages.functions.first();
        let first = first.map_or(code.len() as u32, |function| function.code.entry);
        let ends = disassemble::of_target(self.set, &code[..first as usize], 0);
        let mut text = format!("; ends of runs, {first} bytes\n{ends}");
        for function in &stages.functions {
            let name = format!("@{}", self.module.function_name(function.function as usize));
            text += &listing(function, &program, self.set, &name, &self.texts.lines, code);
        }
        text
    }

    /// A line for each decision that is about where values are.
    fn decisions(&self, events: &[Event]) -> String {
        let mut text = String::new();
        for event in events {
            let _ = match *event {
                Event::Function { function } => {
                    let name = self.module.function_name(function as usize);
                    writeln!(text, "@{name}")
                }
                Event::Block { block, .. } => writeln!(text, "{}:", self.module.block_name(block)),
                Event::Entry { register, value } => {
                    writeln!(
                        text,
                        "    {}: {}",
                        self.register(register),
                        self.value(value)
                    )
                }
                Event::Inherit { place, value } => {
                    writeln!(text, "    {}: {}", self.place(place), self.value(value))
                }
                Event::Copy { to, from } => {
                    writeln!(text, "    {} = {}", self.place(to), self.place(from))
                }
                Event::Make { to, value } => {
                    writeln!(
                        text,
                        "    {} = {}, made",
                        self.register(to),
                        self.value(value)
                    )
                }
                Event::Define { register, value } => {
                    let (register, line) = (self.register(register), self.line(value));
                    writeln!(text, "    {register}: {line}")
                }
                Event::Snapshot { place, value, .. } => writeln!(
                    text,
                    "    the exit finds {} in {}",
                    self.value(value),
                    self.place(place)
                ),
                Event::Clobber { set } => {
                    let lost = (0..64).filter(|register| set >> register & 1 != 0);
                    let lost: Vec<_> = lost.map(|register| self.register(register)).collect();
                    writeln!(text, "    lost: {}", lost.join(" "))
                }
                Event::Edge { at } => {
                    let block = self.module.program().edge(at).block;
                    writeln!(text, "    to {}:", self.module.block_name(block))
                }
                Event::Stub { exit } => {
                    let exit = self.module.program().exits[exit as usize];
                    writeln!(text, "exit {}:", exit.number)
                }
                Event::EdgeEnd
                | Event::Use { .. }
                | Event::Emit { .. }
                | Event::Live { .. }
                | Event::SpillSlot { .. }
                | Event::Safepoint { .. }
                | Event::Frame { .. } => Ok(()),
            };
        }
        text
    }

    fn register(&self, register: u32) -> String {
        register_text(self.set, register)
    }

    fn place(&self, place: Location) -> String {
        match place {
            Location::Register(register) => self.register(register),
            Location::Slot(slot) => format!("spill slot {slot}"),
            Location::Outgoing(word) => format!("argument word {word}"),
        }
    }

    fn value(&self, value: ValueName) -> String {
        match value {
            ValueName::Op(op) => self
                .texts
                .values
                .get(op as usize)
                .cloned()
                .unwrap_or_default(),
            ValueName::Slots => "(guest slots)".to_string(),
            ValueName::Region(region) => format!("(@{})", self.module.region_name(region)),
            ValueName::RegionSize(region) => {
                format!("(size of @{})", self.module.region_name(region))
            }
            ValueName::Kept(number) => format!("(kept {number})"),
        }
    }

    /// The op that gives a value, else its name.
    fn line(&self, value: ValueName) -> String {
        match value {
            ValueName::Op(op) => self.texts.lines.get(op as usize).cloned(),
            _ => None,
        }
        .unwrap_or_else(|| self.value(value))
    }
}
