//! The pass in front of translation: validates a body, and finds for each label which locals must be passed to it.
//!
//! Takes a body; promises a [`Plan`]: for each block, loop and `if` that can be reached, in order, whether anything branches to it and the locals
//! that its label takes as arguments. Those are the locals that are set inside and read behind the label before they are set again, so
//! that what loops use up in a round is not carried round.
//!
//! Structured control makes this two passes backward over *events*, the gets, sets, labels and branches: the first finds what is alive at
//! the heads of loops as far as no way back to a loop is taken, which is exact for the outermost ones; the second takes for what is alive
//! on a way back to a loop what the first found for it and for the loops around it, which may be more than is alive, and nothing worse.
//!
//! Costs one pass over the bytes, and over the events for each label words of one bit for each local; where a body has so many
//! of both that this is too much, everything counts as alive.

use crate::error::Error;
use crate::types::ValueType;
use patchjit::types::Type;
use wasmparser::{
    BinaryReader, FuncValidator, FunctionBody, Operator, OperatorsReader, ValidatorResources,
};

/// How many words the sets of labels may take before everything counts as alive.
const MOST_WORDS: usize = 1 << 20;

/// How many words the sets of labels that are open at once may take, and how many locals all labels of a body.
const MOST: usize = 1 << 23;

/// What is known of a label.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Label {
    /// Where its locals begin in [`Plan::locals`], and how many there are.
    pub first: u32,
    pub count: u32,
    /// Whether a branch names it.
    pub used: bool,
    /// For an `if`: whether it has an `else`.
    pub has_else: bool,
    /// Whether it stands at the beginning of a loop.
    pub is_loop: bool,
}

/// What translation needs to know of a body ahead of it.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub labels: Vec<Label>,
    pub locals: Vec<u32>,
    /// The types of the values that each `select` without a type takes.
    pub selects: Vec<Type>,
    /// Storage for the next body.
    scratch: Scratch,
}

impl Plan {
    /// The locals that a label takes.
    pub fn locals_of(&self, label: &Label) -> &[u32] {
        &self.locals[label.first as usize..(label.first + label.count) as usize]
    }
}

#[derive(Debug, Default)]
struct Scratch {
    events: Vec<u32>,
    open: Vec<Open>,
}

/// What an event is, in its low bits; above them a local or a label.
mod event {
    pub const GET: u32 = 0;
    pub const SET: u32 = 1;
    pub const BLOCK: u32 = 2;
    pub const LOOP: u32 = 3;
    pub const IF: u32 = 4;
    pub const ELSE: u32 = 5;
    pub const END: u32 = 6;
    /// A branch that may be taken.
    pub const BRANCH: u32 = 7;
    pub const BITS: u32 = 3;
    /// Nothing behind it is reached.
    pub const STOP: u32 = u32::MAX;
}

/// A label that is open.
#[derive(Clone, Copy, Debug)]
struct Open {
    /// Its number, or [`FUNCTION`].
    label: u32,
    kind: u32,
    /// Whether its end can be reached from inside by a branch.
    branched: bool,
    /// Whether the `else` or the end behind a false condition can be reached.
    otherwise: bool,
}

const FUNCTION: u32 = u32::MAX;

// Opcodes (WebAssembly core specification, 5.4). Only control and `select` are read as `Operator`s, which takes twice as long as
// validating them.

/// `local.get`, the first of three.
const GET: u8 = 0x20;
/// `local.tee`, the last one behind `local.set`.
const TEE: u8 = 0x22;
/// From `unreachable` to `return`.
const CONTROL: std::ops::RangeInclusive<u8> = 0x00..=0x0f;
/// The one without a type.
const SELECT: u8 = 0x1b;

/// Validates a body and plans its translation.
pub(crate) fn scan(
    body: &FunctionBody<'_>,
    validator: &mut FuncValidator<ValidatorResources>,
    plan: &mut Plan,
) -> Result<(), Error> {
    let mut reader = body.get_binary_reader();
    validator.read_locals(&mut reader)?;
    plan.labels.clear();
    plan.locals.clear();
    plan.selects.clear();
    plan.scratch.events.clear();
    plan.scratch.open.clear();
    plan.scratch.open.push(Open {
        label: FUNCTION,
        kind: event::BLOCK,
        branched: false,
        otherwise: false,
    });
    let mut ops = OperatorsReader::new(reader);
    let start = body.range().start;
    let mut dead = 0;
    let mut reachable = true;
    while !ops.eof() {
        let offset = ops.original_position();
        let rest = body.as_bytes().get((offset - start) as usize..);
        match *rest.unwrap_or_default() {
            [GET..=TEE, ref index @ ..] if reachable => {
                let kind = match rest {
                    Some([GET, ..]) => event::GET,
                    _ => event::SET,
                };
                let local = BinaryReader::new(index, offset + 1).read_var_u32()?;
                ops.visit_operator(&mut validator.visitor(offset))??;
                plan.event(kind, local);
                continue;
            }
            // Nothing is noted of it.
            [byte, ..] if !CONTROL.contains(&byte) && byte != SELECT => {
                ops.visit_operator(&mut validator.visitor(offset))??;
                continue;
            }
            _ => {}
        }
        let op = ops.read()?;
        if reachable && matches!(op, Operator::Select) {
            let ty = validator.get_operand_type(1).flatten();
            let ty = ty.and_then(ValueType::from_parser);
            plan.selects.push(ty.map_or(Type::I32, ValueType::core));
        }
        validator.op(offset, &op)?;
        if reachable {
            reachable = plan.note(&op)?;
            continue;
        }
        match op {
            Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => dead += 1,
            Operator::End if dead > 0 => dead -= 1,
            Operator::Else | Operator::End if dead == 0 => reachable = plan.close(&op, false),
            _ => {}
        }
    }
    ops.finish()?;
    match plan.find_locals(validator.len_locals()) {
        true => Ok(()),
        false => {
            let at = body.range().start;
            Err(Error::unsupported("as many locals and labels", at))
        }
    }
}

impl Plan {
    fn event(&mut self, kind: u32, operand: u32) {
        self.scratch.events.push(operand << event::BITS | kind);
    }

    fn stop(&mut self) -> bool {
        self.scratch.events.push(event::STOP);
        false
    }

    fn open(&mut self, kind: u32) {
        let label = self.labels.len() as u32;
        self.labels.push(Label {
            is_loop: kind == event::LOOP,
            ..Label::default()
        });
        self.scratch.open.push(Open {
            label,
            kind,
            branched: false,
            otherwise: kind == event::IF,
        });
        self.event(kind, label);
    }

    fn branch(&mut self, depth: u32) {
        let open = &mut self.scratch.open;
        let at = open.len() - 1 - depth as usize;
        open[at].branched = true;
        let label = open[at].label;
        if label != FUNCTION {
            self.labels[label as usize].used = true;
            self.event(event::BRANCH, label);
        }
    }

    /// Notes an op that is reached; says whether the next one is.
    fn note(&mut self, op: &Operator<'_>) -> Result<bool, Error> {
        match *op {
            Operator::Block { .. } => self.open(event::BLOCK),
            Operator::Loop { .. } => self.open(event::LOOP),
            Operator::If { .. } => self.open(event::IF),
            Operator::Else | Operator::End => return Ok(self.close(op, true)),
            Operator::Br { relative_depth } => {
                self.branch(relative_depth);
                return Ok(self.stop());
            }
            Operator::BrIf { relative_depth } => self.branch(relative_depth),
            Operator::BrTable { ref targets } => {
                for target in targets.targets() {
                    self.branch(target?);
                }
                self.branch(targets.default());
                return Ok(self.stop());
            }
            Operator::Return | Operator::Unreachable => return Ok(self.stop()),
            _ => {}
        }
        Ok(true)
    }

    /// An `else` or `end`, reached from above or not; says whether what is behind it is reached.
    fn close(&mut self, op: &Operator<'_>, reached: bool) -> bool {
        let Some(open) = self.scratch.open.last_mut() else {
            return false;
        };
        let label = open.label;
        if matches!(op, Operator::Else) {
            open.branched |= reached;
            open.otherwise = false;
            self.labels[label as usize].has_else = true;
            self.event(event::ELSE, label);
            return true;
        }
        let Open {
            kind,
            branched,
            otherwise,
            ..
        } = *open;
        self.scratch.open.pop();
        if label != FUNCTION {
            self.event(event::END, label);
        }
        reached || otherwise || branched && kind != event::LOOP
    }

    /// Works out which locals each label takes; says whether they are not too many.
    fn find_locals(&mut self, locals: u32) -> bool {
        if self.labels.is_empty() {
            return true;
        }
        let words = (locals as usize).div_ceil(64);
        let events = std::mem::take(&mut self.scratch.events);
        let all = self.labels.len() * words > MOST_WORDS;
        let mut pass = Backward {
            words,
            all,
            live: vec![0; words],
            stack: Vec::new(),
            loops: Vec::new(),
            heads: Vec::new(),
            depths: vec![0; self.labels.len()],
        };
        if !all && self.labels.iter().any(|label| label.is_loop) {
            pass.heads = vec![0; self.labels.len() * words];
            pass.run(&events, self, false);
        }
        let fits = pass.run(&events, self, true);
        self.scratch.events = events;
        fits
    }
}

/// The sets of an open label.
#[derive(Clone, Copy)]
enum Set {
    /// Alive where branches to the label lead.
    Alive = 0,
    /// Set inside.
    Assigned = 1,
    /// Of an `if`: alive where its `else` begins.
    Else = 2,
}

/// A pass over the events from the last to the first.
struct Backward {
    /// Words of a set.
    words: usize,
    /// Whether everything counts as alive.
    all: bool,
    /// The locals that are alive at the place reached.
    live: Vec<u64>,
    /// The sets of the labels that are open.
    stack: Vec<u64>,
    /// The depths of the loops among them.
    loops: Vec<usize>,
    /// By label of a loop: alive at its head, after the first pass.
    heads: Vec<u64>,
    /// The depth of each open label, by its number.
    depths: Vec<usize>,
}

impl Backward {
    fn depth(&self) -> usize {
        self.stack.len() / (3 * self.words.max(1))
    }

    fn set(&mut self, depth: usize, which: Set) -> &mut [u64] {
        let first = (3 * depth + which as usize) * self.words;
        &mut self.stack[first..first + self.words]
    }

    fn run(&mut self, events: &[u32], plan: &mut Plan, last: bool) -> bool {
        if self.words == 0 {
            return true;
        }
        self.live.fill(0);
        self.stack.clear();
        for &event in events.iter().rev() {
            if event == event::STOP {
                self.live.fill(0);
                continue;
            }
            let operand = (event >> event::BITS) as usize;
            match event & ((1 << event::BITS) - 1) {
                event::GET => self.live[operand / 64] |= 1 << (operand % 64),
                event::SET => {
                    let bit = 1 << (operand % 64);
                    self.live[operand / 64] &= !bit;
                    if let Some(depth) = self.depth().checked_sub(1) {
                        self.set(depth, Set::Assigned)[operand / 64] |= bit;
                    }
                }
                event::END => self.begin(operand, plan.labels[operand].is_loop),
                event::BRANCH => self.join(self.depths[operand], Set::Alive),
                event::ELSE => {
                    // What the `else` needs waits until the condition is reached; the first part ends at the label.
                    let depth = self.depth() - 1;
                    for word in 0..self.words {
                        self.set(depth, Set::Else)[word] = self.live[word];
                        self.live[word] = self.set(depth, Set::Alive)[word];
                    }
                }
                event::IF => {
                    let has_else = plan.labels[operand].has_else;
                    let which = if has_else { Set::Else } else { Set::Alive };
                    self.join(self.depth() - 1, which);
                    self.finish(operand, plan, last);
                }
                _ => self.finish(operand, plan, last),
            }
            if self.stack.len() > MOST || plan.locals.len() > MOST {
                return false;
            }
        }
        true
    }

    fn join(&mut self, depth: usize, which: Set) {
        for word in 0..self.words {
            let other = self.set(depth, which)[word];
            self.live[word] |= other;
        }
    }

    /// At the end of a block, loop or `if`: what is alive at its label.
    fn begin(&mut self, label: usize, is_loop: bool) {
        let depth = self.depth();
        self.depths[label] = depth;
        self.stack.resize(3 * (depth + 1) * self.words, 0);
        for word in 0..self.words {
            let alive = match self.loops.last() {
                _ if !is_loop => self.live[word],
                // What may be needed round any loop around it may be needed here.
                Some(&around) => self.head(label, word) | self.set(around, Set::Alive)[word],
                None => self.head(label, word),
            };
            self.set(depth, Set::Alive)[word] = alive;
        }
        if is_loop {
            self.loops.push(depth);
        }
    }

    fn head(&self, label: usize, word: usize) -> u64 {
        self.heads
            .get(label * self.words + word)
            .copied()
            .unwrap_or(0)
    }

    /// At its beginning: which locals its label takes.
    fn finish(&mut self, label: usize, plan: &mut Plan, last: bool) {
        let depth = self.depth() - 1;
        let is_loop = plan.labels[label].is_loop;
        if is_loop {
            self.loops.pop();
        }
        let first = plan.locals.len() as u32;
        for word in 0..self.words {
            let mut taken = self.set(depth, Set::Assigned)[word];
            if depth > 0 {
                self.set(depth - 1, Set::Assigned)[word] |= taken;
            }
            if is_loop && !last {
                self.heads[label * self.words + word] = self.live[word];
            }
            if !last {
                continue;
            }
            if !self.all {
                taken &= match is_loop {
                    true => self.live[word],
                    false => self.set(depth, Set::Alive)[word],
                };
            }
            while taken != 0 {
                plan.locals.push(word as u32 * 64 + taken.trailing_zeros());
                taken &= taken - 1;
            }
        }
        if last {
            plan.labels[label].first = first;
            plan.labels[label].count = plan.locals.len() as u32 - first;
        }
        self.stack.truncate(3 * depth * self.words);
    }
}
