//! The allocation checker: knows the program and what was done, nothing of why.
//!
//! Takes the events of a compilation; promises to find every operand, edge argument, call argument and snapshot entry
//! that is read from a place which does not hold that value on every way there. In the manner of regalloc2's checker
//! (its `checker.rs`): abstract interpretation over *places*, each of which holds a set of values, met over all edges
//! into a block until nothing changes. Costs a few passes over the events; uses the heap, so it lives with the tests.
//!
//! ```text
//!   copy   to := from                      define   the register holds that value, no other place does any longer
//!   edge   copies, then arguments become the target's parameters, then meet into the target's state
//! ```

use patchjit::compile::{Event, Location, Observer, ValueName};
use patchjit::ir::{NONE, Program};
use patchjit::ops::{Opcode, Shape, flags};
use patchjit::stencil::{Family, OperandKind};
use std::collections::{HashMap, HashSet};

/// Which values a place holds. Mostly one; two where an argument lives on beside the parameter that it became.
pub type Values = Vec<ValueName>;

/// What every place holds.
type State = HashMap<Location, Values>;

/// The events of one block.
struct BlockEvents {
    block: u32,
    events: Vec<Event>,
}

/// Collects the events of a compilation; [`Checker::check`] then judges them.
pub struct Checker<'a> {
    program: &'a Program<'a>,
    functions: Vec<(u32, Vec<BlockEvents>)>,
}

impl Observer for Checker<'_> {
    fn event(&mut self, event: Event) {
        match event {
            Event::Function { function } => self.functions.push((function, Vec::new())),
            Event::Block { block, .. } => {
                if let Some((_, blocks)) = self.functions.last_mut() {
                    blocks.push(BlockEvents {
                        block,
                        events: Vec::new(),
                    });
                }
            }
            event => {
                if let Some((function, blocks)) = self.functions.last_mut() {
                    if blocks.is_empty() {
                        // What stands before the entry block belongs to it: the values that arrive in registers.
                        let block = self.program.functions[*function as usize].first_block;
                        blocks.push(BlockEvents {
                            block: NONE ^ block,
                            events: Vec::new(),
                        });
                    }
                    if let Some(last) = blocks.last_mut() {
                        last.events.push(event);
                    }
                }
            }
        }
    }
}

impl<'a> Checker<'a> {
    /// Nothing seen yet.
    pub fn new(program: &'a Program<'a>) -> Checker<'a> {
        Checker {
            program,
            functions: Vec::new(),
        }
    }

    /// Judges everything that was seen.
    ///
    /// # Errors
    ///
    /// The first contradiction, in words.
    pub fn check(&self) -> Result<(), String> {
        self.safepoints().map(drop)
    }

    /// Judges everything that was seen; gives, for the offset of each safepoint, which values each word of the frame holds
    /// there on every way, counted from the stack pointer.
    ///
    /// # Errors
    ///
    /// The first contradiction, in words.
    pub fn safepoints(&self) -> Result<HashMap<u32, HashMap<u32, Values>>, String> {
        if self.functions.len() != self.program.functions.len() {
            return Err(format!("{} functions were compiled", self.functions.len()));
        }
        let mut safepoints = HashMap::new();
        for (function, blocks) in &self.functions {
            self.check_function(*function, blocks, &mut safepoints)
                .map_err(|what| format!("function {function}: {what}"))?;
        }
        Ok(safepoints)
    }

    fn check_function(
        &self,
        function: u32,
        blocks: &[BlockEvents],
        safepoints: &mut HashMap<u32, HashMap<u32, Values>>,
    ) -> Result<(), String> {
        let outgoing = blocks
            .iter()
            .flat_map(|block| &block.events)
            .find_map(|event| match *event {
                Event::Frame { outgoing, .. } => Some(outgoing),
                _ => None,
            })
            .ok_or("its frame was not told")?;
        let entry = self.program.functions[function as usize].first_block;
        let mut initial = State::new();
        let mut states: HashMap<u32, State> = HashMap::new();
        for events in blocks.iter().filter(|events| events.block == NONE ^ entry) {
            for event in &events.events {
                match *event {
                    Event::Entry { register, value } => {
                        initial.insert(Location::Register(register), vec![value]);
                    }
                    // Two values of a side trace may begin in one place.
                    Event::Inherit { place, value } => {
                        initial.entry(place).or_default().push(value);
                    }
                    Event::Copy { to, from } => {
                        let values = initial.get(&from).cloned().unwrap_or_default();
                        initial.insert(to, values);
                    }
                    _ => {}
                }
            }
        }
        states.insert(entry, initial);
        let blocks: Vec<&BlockEvents> = blocks
            .iter()
            .filter(|events| events.block != NONE ^ entry)
            .collect();
        loop {
            let mut changed = false;
            for events in &blocks {
                let Some(state) = states.get(&events.block).cloned() else {
                    continue;
                };
                let mut walk = Walk::new(self, state, false);
                walk.run(events)?;
                for (target, arrived) in walk.arrivals {
                    match states.get_mut(&target) {
                        None => {
                            states.insert(target, arrived);
                            changed = true;
                        }
                        Some(known) => changed |= meet(known, &arrived),
                    }
                }
            }
            if !changed {
                break;
            }
        }
        for events in &blocks {
            let state = states
                .get(&events.block)
                .cloned()
                .ok_or_else(|| format!("block {} was compiled and is not reached", events.block))?;
            let mut walk = Walk::new(self, state, true);
            walk.run(events)?;
            for (at, slots) in walk.safepoints {
                let words = slots.into_iter();
                let words = words.map(|(slot, values)| (outgoing + slot, values));
                safepoints.insert(at, words.collect());
            }
        }
        Ok(())
    }
}

/// Keeps in `known` what `arrived` has too; says whether that took something away.
fn meet(known: &mut State, arrived: &State) -> bool {
    let before: usize = known.values().map(Vec::len).sum();
    known.retain(|place, values| {
        match arrived.get(place) {
            Some(others) => values.retain(|value| others.contains(value)),
            None => values.clear(),
        }
        !values.is_empty()
    });
    known.values().map(Vec::len).sum::<usize>() != before
}

/// Follows one block's events.
struct Walk<'c, 'a> {
    checker: &'c Checker<'a>,
    state: State,
    /// The state to go back to behind an edge, and the edge.
    branch: Option<(State, u32)>,
    arrivals: Vec<(u32, State)>,
    /// Whether contradictions count yet: not before the states are settled.
    judge: bool,
    /// What spill slots hold at each safepoint, by its offset.
    safepoints: Vec<(u32, HashMap<u32, Values>)>,
    /// The op whose uses are being collected, and what was read for it.
    op: u32,
    read: HashSet<ValueName>,
}

impl<'c, 'a> Walk<'c, 'a> {
    fn new(checker: &'c Checker<'a>, state: State, judge: bool) -> Walk<'c, 'a> {
        Walk {
            checker,
            state,
            branch: None,
            arrivals: Vec::new(),
            judge,
            safepoints: Vec::new(),
            op: NONE,
            read: HashSet::new(),
        }
    }

    fn run(&mut self, events: &BlockEvents) -> Result<(), String> {
        let mut edges = HashSet::new();
        for event in &events.events {
            self.step(*event)
                .map_err(|what| format!("block {}: {what}", events.block))?;
            if let Event::Edge { at } = *event {
                edges.insert(at);
            }
        }
        self.finish_op()
            .map_err(|what| format!("block {}: {what}", events.block))?;
        if self.judge {
            self.check_edges(events.block, &edges)?;
        }
        Ok(())
    }

    /// Every edge of the block's terminator must have been told.
    fn check_edges(&self, block: u32, told: &HashSet<u32>) -> Result<(), String> {
        let program = self.checker.program;
        let record = program.blocks[block as usize];
        let terminator = program.ops[(record.first_op + record.op_count - 1) as usize];
        let mut wanted = Vec::new();
        match terminator.code {
            Opcode::Jump => wanted.push(terminator.b),
            Opcode::Branch => wanted.extend([terminator.b, terminator.c]),
            Opcode::Switch => {
                let cases = program.list(terminator.b);
                wanted.extend(cases);
                wanted.push(program.extra[terminator.b as usize + 1 + cases.len()]);
            }
            _ => {}
        }
        match wanted.iter().find(|edge| !told.contains(edge)) {
            Some(edge) => Err(format!("block {block}: edge {edge} has no code")),
            None => Ok(()),
        }
    }

    fn step(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Copy { to, from } => {
                let values = self.state.get(&from).cloned().unwrap_or_default();
                self.state.insert(to, values);
            }
            Event::Make { to, value } => {
                self.state.insert(Location::Register(to), vec![value]);
            }
            Event::Use {
                op,
                register,
                value,
            } => {
                // What an edge passes on is no operand.
                if self.branch.is_none() {
                    self.begin_op(op)?;
                    self.read.insert(value);
                }
                self.expect(Location::Register(register), value, op)?;
            }
            Event::Snapshot { op, place, value } => self.expect(place, value, op)?,
            Event::Define { register, value } => {
                if let ValueName::Op(op) = value
                    && self.checker.program.ops[op as usize].code != Opcode::Result
                {
                    self.begin_op(op)?;
                }
                for values in self.state.values_mut() {
                    values.retain(|other| *other != value);
                }
                self.state.insert(Location::Register(register), vec![value]);
            }
            Event::Clobber { set } => {
                for register in (0..64).filter(|register| set >> register & 1 != 0) {
                    self.state.remove(&Location::Register(register));
                }
            }
            Event::Emit {
                op,
                family,
                registers,
                ..
            } => {
                self.begin_op(op)?;
                self.overwrite(family, registers);
            }
            Event::Safepoint { op, at } => {
                if self.judge {
                    let slots = self
                        .state
                        .iter()
                        .filter_map(|(place, values)| match *place {
                            Location::Slot(slot) => Some((slot, values.clone())),
                            _ => None,
                        });
                    self.safepoints.push((at, slots.collect()));
                }
                // A host function may have made a region longer.
                if self.checker.program.ops[op as usize].code != Opcode::Poll {
                    for values in self.state.values_mut() {
                        values.retain(|value| !matches!(value, ValueName::RegionSize(_)));
                    }
                }
            }
            Event::Edge { at } => {
                self.finish_op()?;
                self.branch = Some((self.state.clone(), at));
            }
            Event::EdgeEnd => {
                if let Some((before, at)) = self.branch.take() {
                    let arrived = std::mem::replace(&mut self.state, before);
                    self.arrive(arrived, at)?;
                }
            }
            Event::Entry { .. }
            | Event::Function { .. }
            | Event::Block { .. }
            | Event::Live { .. }
            | Event::SpillSlot { .. }
            | Event::Frame { .. }
            | Event::Inherit { .. }
            | Event::Stub { .. } => {}
        }
        Ok(())
    }

    /// A template overwrites its output and what its family clobbers.
    fn overwrite(&mut self, family: &Family, registers: [u8; 4]) {
        for register in (0..64).filter(|register| family.clobbers.0 >> register & 1 != 0) {
            self.state.remove(&Location::Register(register));
        }
        if family.has_output {
            let float = family.kinds[0] == OperandKind::Float;
            let register = u32::from(registers[0]) + if float { 32 } else { 0 };
            self.state.remove(&Location::Register(register));
        }
    }

    fn arrive(&mut self, mut arrived: State, at: u32) -> Result<(), String> {
        let program = self.checker.program;
        let edge = program.edge(at);
        let first = program.blocks[edge.block as usize].first_op;
        let count = edge.arguments.len() as u32;
        for values in arrived.values_mut() {
            let mut after: Values = values
                .iter()
                .copied()
                .filter(
                    |value| !matches!(value, ValueName::Op(op) if op.wrapping_sub(first) < count),
                )
                .collect();
            for (number, &argument) in edge.arguments.iter().enumerate() {
                if values.contains(&ValueName::Op(argument)) {
                    after.push(ValueName::Op(first + number as u32));
                }
            }
            *values = after;
        }
        arrived.retain(|_, values| !values.is_empty());
        self.arrivals.push((edge.block, arrived));
        Ok(())
    }

    fn expect(&self, place: Location, value: ValueName, op: u32) -> Result<(), String> {
        let holds = self
            .state
            .get(&place)
            .is_some_and(|values| values.contains(&value));
        if holds || !self.judge {
            return Ok(());
        }
        let held = self.state.get(&place);
        Err(format!(
            "op {op} reads {value:?} from {place:?}, which holds {held:?}"
        ))
    }

    fn begin_op(&mut self, op: u32) -> Result<(), String> {
        if op != self.op {
            self.finish_op()?;
            self.op = op;
        }
        Ok(())
    }

    /// Every operand that code must read was read.
    fn finish_op(&mut self) -> Result<(), String> {
        let op = std::mem::replace(&mut self.op, NONE);
        let read = std::mem::take(&mut self.read);
        if op == NONE || !self.judge || read.is_empty() {
            return Ok(());
        }
        for operand in self.operands(op, &read) {
            if !read.contains(&ValueName::Op(operand)) {
                return Err(format!("op {op} does not read its operand {operand}"));
            }
        }
        Ok(())
    }

    /// What the code of a condition must read: the condition, or the operands of the comparison or test of bits that it
    /// is, which may compare a test of bits with zero.
    fn condition(&self, condition: u32, read: &HashSet<ValueName>) -> Vec<u32> {
        let program = self.checker.program;
        let mut operands = vec![condition];
        for depth in 0..2 {
            let [operand] = operands[..] else {
                break;
            };
            let op = program.ops[operand as usize];
            let tests_bits = matches!(op.code, Opcode::I32And | Opcode::I64And);
            let fuses = tests_bits || depth == 0 && op.code.info().has(flags::COMPARES);
            if read.contains(&ValueName::Op(operand)) || !fuses {
                break;
            }
            operands = [op.a, op.b][..op.code.info().operand_count as usize].to_vec();
            operands.retain(|&operand| {
                !program.ops[operand as usize]
                    .code
                    .info()
                    .has(flags::CONSTANT)
            });
        }
        operands
    }

    /// The operands that an op's code must read: constants may be immediates, a condition may be a comparison that is
    /// made on the spot.
    fn operands(&self, op: u32, read: &HashSet<ValueName>) -> Vec<u32> {
        let program = self.checker.program;
        let record = program.ops[op as usize];
        let info = record.code.info();
        let mut operands = match info.shape {
            Shape::Call | Shape::CallCell | Shape::CallHost | Shape::Return | Shape::ReturnCall => {
                program.list(record.b).to_vec()
            }
            Shape::CallIndirect => {
                let mut operands = program.list(record.b + 1).to_vec();
                operands.push(record.a);
                operands
            }
            _ => [record.a, record.b, record.c][..info.operand_count.min(2) as usize].to_vec(),
        };
        if matches!(info.shape, Shape::Guard | Shape::Branch | Shape::Select) {
            operands = self.condition(record.a, read);
        }
        if info.shape == Shape::Select {
            operands.extend([record.b, record.c]);
        }
        operands.retain(|&operand| {
            !program.ops[operand as usize]
                .code
                .info()
                .has(flags::CONSTANT)
        });
        operands
    }
}
