//! What each stage of a compilation made of a program, for people to look at.
//!
//! [`Stages::of`] takes a program, the events of its compilation and the code; gives for each function its ops in the
//! order of the code, the values with what held them when ([`ranges`]), and the stencils that its code consists of
//! ([`stencils`]). [`chart`] draws the ranges as text, [`listing`] prints the code; [`passes`] says what the optimizer did before. Linear in the events, on the heap.
//!
//! *Positions* are as the compiler counts them: the op at place p of the blocks, in the order of the code, reads its
//! operands at *moment* 2p and has given its value by moment 2p + 1.

pub mod chart;
pub mod listing;
pub mod passes;
pub mod ranges;
pub mod stencils;

use patchjit::compile::{Event, FunctionCode, Observer, References, ValueName};
use patchjit::ir::Program;
use patchjit::stencil::StencilSet;
use ranges::{LiveRange, Ranges};
use std::collections::HashMap;
use stencils::{Serves, StencilUse};

/// Every decision of a compilation, in the order in which they were taken. Pass it to the compiler as the observer.
#[derive(Debug, Default)]
pub struct Events(pub Vec<Event>);

impl Observer for Events {
    fn event(&mut self, event: Event) {
        self.0.push(event);
    }
}

/// What was made of a program.
#[derive(Debug)]
pub struct Stages {
    /// In the order of the program.
    pub functions: Vec<FunctionStages>,
}

/// What was made of a function.
#[derive(Debug, Default)]
pub struct FunctionStages {
    /// Its index in the program.
    pub function: u32,
    /// Where its code is.
    pub code: FunctionCode,
    /// Its blocks in the order of the code; what is not reached is left out.
    pub blocks: Vec<BlockStage>,
    /// For each position the op, by its index in the program.
    pub ops: Vec<u32>,
    /// The values that are kept at all, in the order in which they begin.
    pub values: Vec<LiveRange>,
    /// The stencils of its code, in the order of the code.
    pub stencils: Vec<StencilUse>,
    /// What writes snapshots and leaves, behind its blocks, in the order of the code.
    pub stubs: Vec<StubStage>,
    /// Where a collector may run, in the order of the code.
    pub safepoints: Vec<SafepointStage>,
    /// How many spill slots its frame has.
    pub slot_count: u32,
}

/// A block in the code.
#[derive(Clone, Copy, Debug)]
pub struct BlockStage {
    /// Its index in the program.
    pub block: u32,
    /// The position of its first op.
    pub position: u32,
    /// How many ops it has.
    pub count: u32,
}

/// A place at which a collector may run.
#[derive(Clone, Debug)]
pub struct SafepointStage {
    /// The position of its op.
    pub position: u32,
    /// The offset in the code to which its call returns.
    pub at: u32,
    /// The references that it finds, each with the spill slot.
    pub roots: Vec<(ValueName, u32)>,
}

/// The code of an exit.
#[derive(Clone, Copy, Debug)]
pub struct StubStage {
    /// The exit, by its index in the program.
    pub exit: u32,
    /// Where it begins in the code.
    pub at: u32,
}

impl Stages {
    /// Orders what the compiler told.
    pub fn of(
        program: &Program<'_>,
        set: &'static StencilSet,
        events: &[Event],
        functions: &[FunctionCode],
        references: &References<'_>,
    ) -> Stages {
        let begins = |event: &Event| matches!(event, Event::Function { .. });
        let mut stages = Vec::new();
        let mut rest = events;
        while let Some((&Event::Function { function }, after)) = rest.split_first() {
            let end = after.iter().position(begins).unwrap_or(after.len());
            let code = functions
                .get(function as usize)
                .copied()
                .unwrap_or_default();
            let events = &after[..end];
            let mut function = function_stages(program, set, function, code, events);
            function.find_roots(events, references);
            stages.push(function);
            rest = &after[end..];
        }
        Stages { functions: stages }
    }
}

impl FunctionStages {
    /// Names what the maps of references have at each safepoint.
    fn find_roots(&mut self, events: &[Event], references: &References<'_>) {
        let outgoing = events.iter().find_map(|event| match *event {
            Event::Frame { outgoing, .. } => Some(outgoing),
            _ => None,
        });
        let outgoing = outgoing.unwrap_or(0);
        let positions: HashMap<u32, u32> = self.ops.iter().copied().zip(0..).collect();
        // The value that has each spill slot as of now.
        let mut owners = HashMap::new();
        for event in events {
            match *event {
                Event::SpillSlot { value, slot } => {
                    owners.insert(slot, value);
                }
                Event::Safepoint { op, at } => {
                    let roots = references.at(at).map_or(&[][..], |frame| frame.roots);
                    let slots = roots.iter().map(|word| word - outgoing);
                    let owned = slots.filter_map(|slot| Some((*owners.get(&slot)?, slot)));
                    self.safepoints.push(SafepointStage {
                        position: positions.get(&op).copied().unwrap_or(0),
                        at,
                        roots: owned.collect(),
                    });
                }
                _ => {}
            }
        }
    }
}

/// Follows the events of one function.
fn function_stages(
    program: &Program<'_>,
    set: &'static StencilSet,
    function: u32,
    code: FunctionCode,
    events: &[Event],
) -> FunctionStages {
    let mut stages = FunctionStages {
        function,
        code,
        ..FunctionStages::default()
    };
    let mut position_of = HashMap::new();
    for event in events {
        if let Event::Block { block, .. } = *event {
            let record = program.blocks[block as usize];
            let position = stages.ops.len() as u32;
            let ops = record.first_op..record.first_op + record.op_count;
            position_of.extend(ops.clone().zip(position..));
            stages.ops.extend(ops);
            stages.blocks.push(BlockStage {
                block,
                position,
                count: record.op_count,
            });
        }
    }
    let mut ranges = Ranges::new(program, &position_of);
    let mut serves = Serves::Entry;
    for event in events {
        match *event {
            Event::Block { .. } if matches!(serves, Serves::Entry | Serves::Prologue) => {
                serves = Serves::Op(0);
            }
            Event::Stub { exit } => {
                serves = Serves::Stub(stages.stubs.len() as u32);
                let at = stages.stencils.last().map_or(code.body, StencilUse::end);
                stages.stubs.push(StubStage { exit, at });
            }
            Event::SpillSlot { slot, .. } => stages.slot_count = stages.slot_count.max(slot + 1),
            Event::Emit {
                op,
                family,
                registers,
                immediate,
                at,
            } => {
                serves = match serves {
                    Serves::Entry if at >= code.body => Serves::Prologue,
                    Serves::Op(_) => Serves::Op(position_of.get(&op).copied().unwrap_or(0)),
                    other => other,
                };
                let registers = registers.map(u32::from);
                if let Some(template) = set.template(family, registers, immediate) {
                    stages.stencils.push(StencilUse {
                        serves,
                        family,
                        template,
                        registers,
                        at,
                    });
                }
            }
            _ => {}
        }
        if !matches!(serves, Serves::Stub(_)) {
            ranges.event(event);
        }
    }
    if let Some(last) = stages.stencils.last_mut()
        && last.end() == code.data
    {
        // What stops a run that falls out of the code serves nothing.
        last.serves = Serves::End;
    }
    stages.values = ranges.finish();
    stages
}

/// A register's name; numbers are as in [`patchjit::compile::Location`].
pub fn register_text(set: &StencilSet, register: u32) -> String {
    let names = set.registers.names[register as usize / 32 % 2];
    names
        .get(register as usize % 32)
        .map_or_else(|| format!("register {register}"), |name| name.to_string())
}
