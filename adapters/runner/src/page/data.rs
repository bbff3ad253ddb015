//! What the page shows, as its script reads it: field names are short, since there is one record for each stencil of the code.

use crate::disassemble;
use crate::module::Module;
use crate::stages::passes::{Fate, PassStages};
use crate::stages::ranges::{LiveRange, Place};
use crate::stages::stencils::{Owner, Serves, StencilUse, family_name, owners};
use crate::stages::{FunctionStages, Stages};
use patchjit::compile::ValueName;
use patchjit::ir::{ExitKind, Program};
use patchjit::stencil::{OperandKind, StencilSet, Template};
use patchjit_text::{Names, OpTexts};
use serde::Serialize;
use std::collections::HashMap;

/// The whole page.
#[derive(Debug, Serialize)]
pub struct Page {
    /// What is said of the program.
    pub heading: Heading,
    /// The names of integer and of float registers.
    registers: [Vec<&'static str>; 2],
    /// The templates that the code uses.
    templates: Vec<TemplateData>,
    /// The names of families that stencils refer to.
    families: Vec<String>,
    /// The passes of the optimizer that ran, with their steps.
    passes: Vec<(&'static str, u32)>,
    functions: Vec<FunctionData>,
}

/// What is said of the program as a whole.
#[derive(Debug, Serialize)]
pub struct Heading {
    /// The file's name.
    pub file: String,
    /// The target's name.
    pub target: &'static str,
    /// Bytes of code.
    pub bytes: usize,
    /// The program's size: ops, edge arguments, snapshot entries.
    pub size: usize,
    /// The most bytes of stack that a call takes.
    pub frame_bytes: u32,
    /// Whether it is contained.
    pub contained: bool,
}

#[derive(Debug, Serialize)]
struct TemplateData {
    /// What each operand is: `i`, `f`, `s` for a scale.
    kinds: String,
    /// Whether operand 0 is written.
    output: bool,
    /// For each byte eight characters, the highest bit first: `.` fixed, `0` to `3` operands, `i` immediate, `t` target.
    owners: Vec<String>,
}

#[derive(Debug, Serialize)]
struct FunctionData {
    name: String,
    /// `[name, position, ops]`, in the order of the code.
    blocks: Vec<(String, u32, u32)>,
    /// The op at each position.
    ops: Vec<String>,
    /// The ops before the optimizer, none if it did not run.
    before: Vec<BeforeData>,
    /// Those ops and positions side by side, -1 for what the other side has not.
    sides: Vec<(i64, i64)>,
    values: Vec<ValueData>,
    stubs: Vec<StubData>,
    code: Vec<CodeData>,
    /// Entries of jump tables: `[offset, target]`.
    tables: Vec<(u32, u32)>,
    /// Where a collector finds references: `[position, [[value, slot]]]`.
    safepoints: Vec<(u32, Vec<(String, u32)>)>,
    slots: u32,
}

#[derive(Debug, Serialize)]
struct BeforeData {
    /// The op as it was.
    o: String,
    /// 0 it is kept, 1 it is changed, 2 it is gone.
    f: u8,
    /// The passes that do that alone, bit by bit.
    p: u32,
}

#[derive(Debug, Serialize)]
struct ValueData {
    n: String,
    /// The position of the op that gives it, or -1.
    d: i64,
    /// The positions that read it.
    u: Vec<u32>,
    /// `[from, to, place]` in moments; registers from 0, float registers from 32, spill slots from 64, -1 for made again.
    s: Vec<(u32, u32, i64)>,
}

#[derive(Debug, Serialize)]
struct StubData {
    name: String,
    at: u32,
    /// The positions of the ops that leave there.
    from: Vec<u32>,
}

#[derive(Debug, Serialize)]
struct CodeData {
    /// What it serves: a position, -1 the entry, -2 the prologue, -3 nothing, -4 - n stub n.
    s: i64,
    at: u32,
    /// Its template, or -1 where the compiler says nothing of it.
    t: i64,
    /// The name of its family.
    f: usize,
    /// The register numbers of its operands.
    r: Vec<u32>,
    /// Its immediate, as text: it may be too large for a number of JavaScript's.
    #[serde(skip_serializing_if = "Option::is_none")]
    m: Option<String>,
    /// Where its target hole leads.
    #[serde(skip_serializing_if = "Option::is_none")]
    g: Option<u32>,
    /// Its bytes.
    b: String,
    /// `[bytes, text]` for each instruction.
    i: Vec<(usize, String)>,
}

impl Page {
    /// Gathers what is shown of a program, compiled as it is; with what the optimizer did before, and to which program,
    /// if it ran. The code is the whole program's, as compilation left it.
    pub fn new(
        heading: Heading,
        module: &Module,
        passes: Option<(&PassStages, &Module)>,
        set: &'static StencilSet,
        stages: &Stages,
        code: &[u8],
    ) -> Page {
        let (program, names) = (&module.program(), &module.text().names);
        let mut gather = Gather {
            program,
            names,
            passes,
            texts: patchjit_text::print_ops(program, Some(names)),
            set,
            code,
            templates: Vec::new(),
            template_at: HashMap::new(),
            families: Vec::new(),
            family_at: HashMap::new(),
        };
        let first = stages.functions.first();
        let ends = first.map_or(code.len() as u32, |function| function.code.entry);
        let mut functions: Vec<FunctionData> = stages
            .functions
            .iter()
            .map(|function| gather.function(function))
            .collect();
        functions.push(gather.ends_of_runs(ends));
        Page {
            heading,
            registers: set.registers.names.map(<[_]>::to_vec),
            templates: gather.templates,
            families: gather.families,
            passes: passes.map_or_else(Vec::new, |(passes, _)| {
                let passes = passes.passes.iter();
                passes.map(|&(pass, steps)| (pass.name(), steps)).collect()
            }),
            functions,
        }
    }
}

struct Gather<'a> {
    program: &'a Program<'a>,
    names: &'a Names,
    passes: Option<(&'a PassStages, &'a Module)>,
    texts: OpTexts,
    set: &'static StencilSet,
    code: &'a [u8],
    templates: Vec<TemplateData>,
    template_at: HashMap<*const Template, usize>,
    families: Vec<String>,
    family_at: HashMap<String, usize>,
}

impl Gather<'_> {
    fn function(&mut self, stages: &FunctionStages) -> FunctionData {
        let positions: HashMap<u32, u32> = stages.ops.iter().copied().zip(0..).collect();
        let blocks = stages.blocks.iter().map(|block| {
            let name = named(&self.names.blocks, block.block, "block ");
            (name, block.position, block.count)
        });
        let line = |&op: &u32| {
            self.texts
                .lines
                .get(op as usize)
                .cloned()
                .unwrap_or_default()
        };
        let values = stages
            .values
            .iter()
            .map(|range| self.value(range, &positions));
        let (blocks, values) = (blocks.collect(), values.collect());
        let ops = stages.ops.iter().map(line).collect();
        let stencils = &stages.stencils;
        let code: Vec<CodeData> = stencils
            .iter()
            .map(|stencil| self.stencil(stages, stencil))
            .collect();
        let (before, sides) = self.sides(stages);
        FunctionData {
            name: format!("@{}", named(&self.names.functions, stages.function, "f")),
            blocks,
            ops,
            before,
            sides,
            values,
            stubs: self.stubs(stages, &code),
            tables: self.tables(stages, &code),
            safepoints: self.safepoints(stages),
            code,
            slots: stages.slot_count,
        }
    }

    /// A function's ops before the optimizer, beside those after it: what is gone stands where it was.
    fn sides(&self, stages: &FunctionStages) -> (Vec<BeforeData>, Vec<(i64, i64)>) {
        let Some((passes, module)) = self.passes else {
            return (Vec::new(), Vec::new());
        };
        let program = module.program();
        let Some(function) = program.functions.get(stages.function as usize) else {
            return (Vec::new(), Vec::new());
        };
        let first = function.first_op as usize;
        let ops = &passes.ops[first..first + function.op_count as usize];
        let mut sides = Vec::new();
        // Up to where ops have been set beside others; what is kept further back has only moved.
        let mut shown = 0;
        let is_gone = |&at: &usize| ops[at].fate == Fate::Gone;
        for (position, &op) in (0..).zip(&stages.ops) {
            let source = passes.sources.get(op as usize).copied().flatten();
            let Some(source) = source.and_then(|op| (op as usize).checked_sub(first)) else {
                sides.push((-1, position));
                continue;
            };
            sides.extend((shown..source).filter(is_gone).map(|at| (at as i64, -1)));
            sides.push((source as i64, position));
            shown = shown.max(source + 1);
        }
        sides.extend((shown..ops.len()).filter(is_gone).map(|at| (at as i64, -1)));
        let before = ops.iter().map(|op| BeforeData {
            o: op.line.clone(),
            f: op.fate as u8,
            p: op.passes,
        });
        (before.collect(), sides)
    }

    /// The code in front of all functions, of which observers are told nothing.
    fn ends_of_runs(&self, end: u32) -> FunctionData {
        let bytes = &self.code[..end as usize];
        let code = disassemble::instructions(self.set, bytes, 0)
            .into_iter()
            .map(|printed| {
                let at = printed.at as u32;
                CodeData {
                    s: -1,
                    at,
                    t: -1,
                    f: 0,
                    r: Vec::new(),
                    m: None,
                    g: None,
                    b: disassemble::hexadecimal(&bytes[at as usize..][..printed.length]),
                    i: vec![(printed.length, printed.text)],
                }
            });
        FunctionData {
            name: "ends of runs".to_string(),
            blocks: Vec::new(),
            ops: Vec::new(),
            before: Vec::new(),
            sides: Vec::new(),
            values: Vec::new(),
            stubs: Vec::new(),
            code: code.collect(),
            tables: Vec::new(),
            safepoints: Vec::new(),
            slots: 0,
        }
    }

    fn value(&self, range: &LiveRange, positions: &HashMap<u32, u32>) -> ValueData {
        let defined = match range.value {
            ValueName::Op(op) => positions.get(&op).map_or(-1, |&at| i64::from(at)),
            _ => -1,
        };
        let spans = range.spans.iter().map(|span| {
            let place = match span.place {
                Place::Register(register) => i64::from(register),
                Place::Slot(slot) => 64 + i64::from(slot),
                Place::Remade => -1,
            };
            (span.from, span.to, place)
        });
        ValueData {
            n: self.value_name(range.value),
            d: defined,
            u: range.uses.clone(),
            s: spans.collect(),
        }
    }

    fn value_name(&self, value: ValueName) -> String {
        match value {
            ValueName::Op(op) => {
                let name = self.texts.values.get(op as usize);
                name.cloned().unwrap_or_default()
            }
            ValueName::Slots => "(guest slots)".to_string(),
            ValueName::Region(region) => format!("(@{})", named(&self.names.regions, region, "r")),
            ValueName::RegionSize(region) => {
                format!("(size of @{})", named(&self.names.regions, region, "r"))
            }
            ValueName::Kept(number) => format!("(kept {number})"),
        }
    }

    fn safepoints(&self, stages: &FunctionStages) -> Vec<(u32, Vec<(String, u32)>)> {
        let points = stages.safepoints.iter();
        let points = points.filter(|point| !point.roots.is_empty());
        let root = |&(value, slot): &(ValueName, u32)| (self.value_name(value), slot);
        let named = points.map(|point| (point.position, point.roots.iter().map(root).collect()));
        named.collect()
    }

    fn stencil(&mut self, stages: &FunctionStages, stencil: &StencilUse) -> CodeData {
        let serves = match stencil.serves {
            Serves::Op(position) => i64::from(position),
            Serves::Entry => -1,
            Serves::Prologue => -2,
            Serves::End => -3,
            Serves::Stub(stub) => -4 - i64::from(stub),
        };
        let op = match stencil.serves {
            Serves::Op(position) => stages.ops.get(position as usize),
            _ => None,
        };
        let op = op.map(|&op| self.program.ops[op as usize].code);
        let name = family_name(self.set, stencil.family, op);
        let next = self.families.len();
        let family = *self.family_at.entry(name).or_insert_with_key(|name| {
            self.families.push(name.clone());
            next
        });
        let bytes = &self.code[stencil.at as usize..stencil.end() as usize];
        let kinds = stencil.family.kinds;
        let operands = kinds.iter().zip(stencil.registers);
        let operands = operands.take_while(|(kind, _)| **kind != OperandKind::None);
        let instructions = disassemble::instructions(self.set, bytes, u64::from(stencil.at));
        CodeData {
            s: serves,
            at: stencil.at,
            t: self.template(stencil) as i64,
            f: family,
            r: operands.map(|(_, register)| register).collect(),
            m: stencil
                .immediate(self.code)
                .map(|immediate| immediate.to_string()),
            g: stencil.target(self.set, self.code),
            b: disassemble::hexadecimal(bytes),
            i: instructions
                .into_iter()
                .map(|printed| (printed.length, printed.text))
                .collect(),
        }
    }

    /// The number of a stencil's template on the page.
    fn template(&mut self, stencil: &StencilUse) -> usize {
        let (set, templates) = (self.set, &mut self.templates);
        let key = std::ptr::from_ref(stencil.template);
        *self.template_at.entry(key).or_insert_with(|| {
            let kinds = stencil.family.kinds.iter().filter_map(|kind| match kind {
                OperandKind::None => None,
                OperandKind::Int => Some('i'),
                OperandKind::Float => Some('f'),
                OperandKind::Scale => Some('s'),
            });
            let letter = |owner: &Owner| match *owner {
                Owner::Fixed => '.',
                Owner::Operand(operand) => char::from(b'0' + operand),
                Owner::Immediate => 'i',
                Owner::Target => 't',
            };
            templates.push(TemplateData {
                kinds: kinds.collect(),
                output: stencil.family.has_output,
                owners: owners(set, stencil.template)
                    .iter()
                    .map(|byte| byte.iter().map(letter).collect())
                    .collect(),
            });
            templates.len() - 1
        })
    }

    /// The exits' code, each with the ops that jump to it.
    fn stubs(&self, stages: &FunctionStages, code: &[CodeData]) -> Vec<StubData> {
        let mut sources: HashMap<u32, Vec<u32>> = HashMap::new();
        for stencil in code.iter().filter(|stencil| stencil.s >= 0) {
            if let Some(target) = stencil.g {
                let positions = sources.entry(target).or_default();
                if positions.last() != Some(&(stencil.s as u32)) {
                    positions.push(stencil.s as u32);
                }
            }
        }
        let stubs = stages.stubs.iter().map(|stub| {
            let exit = &self.program.exits[stub.exit as usize];
            let kind = match exit.kind {
                ExitKind::Deoptimize => "exit",
                ExitKind::Trap => "trap",
            };
            StubData {
                name: format!("{kind} {}", exit.number),
                at: stub.at,
                from: sources.remove(&stub.at).unwrap_or_default(),
            }
        });
        stubs.collect()
    }

    /// The entries of jump tables. A table begins where a stencil's target does, and holds distances from there.
    fn tables(&self, stages: &FunctionStages, code: &[CodeData]) -> Vec<(u32, u32)> {
        let mut starts: Vec<u32> = code.iter().filter_map(|stencil| stencil.g).collect();
        starts.retain(|target| (stages.code.data..stages.code.faults).contains(target));
        starts.sort_unstable();
        let mut start = stages.code.data;
        let words = self.code[stages.code.data as usize..stages.code.faults as usize].as_chunks();
        let entries = (stages.code.data..)
            .step_by(4)
            .zip(words.0)
            .map(|(at, word)| {
                if starts.binary_search(&at).is_ok() {
                    start = at;
                }
                (at, start.wrapping_add(u32::from_le_bytes(*word)))
            });
        entries.collect()
    }
}

/// A name, or a prefix and the index where there is none.
fn named(names: &[String], index: u32, prefix: &str) -> String {
    match names.get(index as usize) {
        Some(name) if !name.is_empty() => name.clone(),
        _ => format!("{prefix}{index}"),
    }
}
