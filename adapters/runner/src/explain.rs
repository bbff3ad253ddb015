//! `patchjit explain`: what each stage makes of a program.

use crate::arguments::ExplainArguments;
use crate::report::{self, Failure};
use crate::{common, compile};
use patchjit::compile::{Event, Location, ValueName};
use patchjit::stencil::StencilSet;
use patchjit_cli::engine;
use patchjit_cli::module::Module;
use patchjit_cli::page::{self, Heading, Page};
use patchjit_cli::stages::chart::{ChartNames, chart};
use patchjit_cli::stages::passes::PassStages;
use patchjit_cli::stages::{Events, Stages, register_text};
use std::fmt::Write as _;

/// Prints the stages, or writes them as a page.
pub fn explain(arguments: &ExplainArguments) -> Result<(), Failure> {
    let set = match &arguments.target {
        Some(target) => common::set(target)?,
        None => engine::host_set().unwrap_or(engine::sets()[0]),
    };
    let read = Module::load(&arguments.file).map_err(Failure::input)?;
    let mut text = stage("program", &read)?;
    let optimized = common::optimized(&read, &arguments.optimizer)?;
    let module = optimized.module.as_ref().unwrap_or(&read);
    if optimized.module.is_some() {
        let counts = optimized.counts().into_iter();
        let counts: Vec<_> = counts.map(|(pass, n)| format!("{pass} {n}")).collect();
        text += &format!("\n{}", stage("optimized program", module)?);
        text += &format!("; steps: {}\n", counts.join(", "));
    }
    let mut storage = Vec::new();
    let verified = module.verify(&mut storage).map_err(Failure::input)?;
    let program = module.program();
    let mut events = Events::default();
    let code = compile::to_bytes(module, verified, set, false, &mut events)?;
    let stages = Stages::of(&program, set, &events.0, &code.functions);
    if let Some(path) = &arguments.html {
        let heading = Heading {
            file: arguments.file.display().to_string(),
            target: set.target,
            bytes: code.bytes.len(),
            size: verified.size(),
            frame_bytes: code.frame_bytes,
            contained: verified.is_contained(),
        };
        let passes = match (&optimized.module, arguments.optimizer.options()) {
            (Some(module), Some(options)) => {
                let passes = PassStages::of(&read, module, &options, &optimized.report);
                Some(passes.map_err(Failure::input)?)
            }
            _ => None,
        };
        let passes = passes.as_ref().map(|passes| (passes, &read));
        let page = Page::new(heading, module, passes, set, &stages, &code.bytes);
        let written = page::html(&page)
            .map_err(std::io::Error::from)
            .and_then(|html| std::fs::write(path, html));
        return written
            .map_err(|error| Failure::input(format!("{}: error: {error}", path.display())));
    }
    let names = Names { module, set };
    report::print(&text);
    report::print(&format!(
        "\n== live ranges\n; {LEGEND}\n{}",
        names.live_ranges(&stages, report::has_colours())
    ));
    report::print(&format!("\n== registers\n{}", names.decisions(&events.0)));
    report::print(&format!(
        "\n== code\n; {}, {} bytes, {:.1} for each unit of size, at most {} bytes of stack in a call\n{}",
        set.target,
        code.bytes.len(),
        code.bytes.len() as f64 / verified.size().max(1) as f64,
        code.frame_bytes,
        compile::listing(module, &code, set, &notes(module, &events.0)),
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

/// For each run of code that one op is the reason for: where it begins, and the op's line in the file.
fn notes<'a>(module: &'a Module, events: &[Event]) -> Vec<(u32, &'a str)> {
    let mut emitted: Vec<(u32, u32)> = events
        .iter()
        .filter_map(|event| match *event {
            Event::Emit { op, at, .. } => Some((at, op)),
            _ => None,
        })
        .collect();
    emitted.sort_by_key(|&(at, _)| at);
    emitted.dedup_by_key(|&mut (_, op)| op);
    emitted
        .into_iter()
        .filter_map(|(at, op)| Some((at, module.line(op)?)))
        .collect()
}

/// Prints decisions with the names of values and registers.
struct Names<'a> {
    module: &'a Module,
    set: &'static StencilSet,
}

impl Names<'_> {
    /// The ranges of all functions.
    fn live_ranges(&self, stages: &Stages, colours: bool) -> String {
        let program = self.module.program();
        let texts = patchjit_text::print_ops(&program, Some(&self.module.text().names));
        let charts = stages.functions.iter().map(|function| {
            let names = ChartNames {
                function: format!("@{}", self.module.function_name(function.function as usize)),
                lines: &texts.lines,
                value: &|range| self.value(range.value),
                block: &|block| self.module.block_name(block),
                register: &|register| self.register(register),
            };
            chart(function, &names, colours)
        });
        charts.collect()
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
            ValueName::Op(op) => self.module.value_name(op),
            ValueName::Slots => "(guest slots)".to_string(),
            ValueName::Region(region) => format!("(@{})", self.module.region_name(region)),
        }
    }

    /// The line of the op that gives a value, else its name.
    fn line(&self, value: ValueName) -> String {
        match value {
            ValueName::Op(op) => self.module.line(op).map(str::to_string),
            _ => None,
        }
        .unwrap_or_else(|| self.value(value))
    }
}
