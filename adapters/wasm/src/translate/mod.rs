//! From a body's bytecode to micro-ops, in one pass.
//!
//! Takes a validated body with its plan ([`crate::scan`]); promises a function of the program. The stack and the locals hold names of
//! values, so that moving them about makes no ops; a label takes as block parameters its results and the locals that the plan says. What
//! cannot be reached is not translated. Costs constant time for each op, operand, and argument of a branch, the locals that labels take
//! included; all these arguments of a module are bounded, as a body could have labels and locals by the thousand.
//!
//! ```text
//!   block    jump to a block behind its end, if anything branches there
//!   loop     a block at its head, if anything branches back
//!   if       two blocks, or one and its end; locals are set back between the two parts
//!   traps    exits of the kind `trap`; where the reason depends on the operand, the exit writes it to a slot
//! ```

mod calls;
mod memory;
mod numeric;

use crate::abi::{Abi, Place, slot};
use crate::declared::Declared;
use crate::error::{Error, number};
use crate::hosts::Host;
use crate::module::Options;
use crate::scan::{Label, Plan};
use crate::types::{FuncType, ValueType};
use patchjit::build::{BlockId, Builder, ExitId, FunctionId, HostId, RegionId, SignatureId, Value};
use patchjit::ir::ExitKind;
use patchjit::ops::Opcode;
use patchjit::types::Type;
use std::collections::HashMap;
use wasmparser::{BlockType, FunctionBody, Operator};

/// How many arguments of branches the locals of a module's labels may be, and how many locals there may be in it.
const MOST_ARGUMENTS: usize = 1 << 25;

/// What the functions of a module share while they are translated.
pub(crate) struct Translator<'d, 's> {
    declared: &'d Declared,
    b: Builder<'s>,
    /// How the values of each type travel, and the core's signature.
    abis: Vec<(Abi, SignatureId)>,
    /// The host functions that the program declares so far.
    hosts: Vec<Host>,
    host_ids: HashMap<Host, HostId>,
    memory: Option<RegionId>,
    tables: Vec<RegionId>,
    first_global: u32,
    /// The exits of traps whose operand does not matter, by number.
    exits: [Option<ExitId>; number::HOST as usize],
    foreign: bool,
    options: Options,
    /// Arguments of branches so far that are locals, and locals so far.
    arguments: usize,
    locals: usize,
    state: State,
}

/// The function that is translated.
#[derive(Default)]
struct State {
    function: u32,
    stack: Vec<Value>,
    frames: Vec<Frame>,
    locals: Vec<Value>,
    local_types: Vec<ValueType>,
    /// What locals held before they were set, for the `else` of the `if`s that are open.
    log: Vec<(u32, Value)>,
    /// What `if`s take whose `else` is to come.
    entries: Vec<Value>,
    /// The next label of the plan, and the next `select`.
    label: usize,
    select: usize,
    /// Addresses that were zero-extended where this place is dominated, with the result.
    extended: [Option<(Value, Value)>; EXTENDED],
    /// Where the op at hand is, in the module.
    offset: u64,
    /// Arguments of the branch at hand.
    passed: Vec<Value>,
}

/// How many extended addresses are remembered.
const EXTENDED: usize = 8;

/// What opened a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opened {
    Function,
    Block,
    Loop,
    /// With the block of its `else`, until that begins.
    If(Option<BlockId>),
}

/// A block, loop or `if` that is open.
#[derive(Clone, Copy, Debug)]
struct Frame {
    opened: Opened,
    ty: BlockType,
    /// Values of the stack below it.
    height: usize,
    /// Length of the log at its beginning.
    logged: usize,
    label: Label,
    /// Where branches lead, once one does.
    block: Option<BlockId>,
    /// Of an `if` with an `else`: where what it takes begins in [`State::entries`].
    entered: usize,
}

impl<'d, 's> Translator<'d, 's> {
    /// Declares all that functions refer to.
    pub fn new(
        declared: &'d Declared,
        mut b: Builder<'s>,
        options: Options,
    ) -> Result<Translator<'d, 's>, Error> {
        let mut abis = Vec::new();
        let mut overflow = 0;
        for ty in &declared.types {
            let abi = Abi::of(ty);
            overflow = overflow.max(abi.slots());
            // One for each type, equal or not, so that indirect calls compare types.
            let signature = b.new_signature(&abi.core_parameters, &abi.core_results)?;
            abis.push((abi, signature));
        }
        let first_global = slot::OVERFLOW + overflow;
        b.set_slot_count(first_global + declared.globals.len() as u32);
        let memory = match &declared.memory {
            Some(limits) => {
                let (least, most) = crate::memory::bytes(limits);
                Some(b.growing_region(least, most)?)
            }
            None => None,
        };
        let mut tables = Vec::new();
        for table in &declared.tables {
            let (least, most) = crate::table::bytes(&table.limits);
            tables.push(b.growing_region(least, most)?);
        }
        for &ty in &declared.functions {
            b.declare(abis[ty as usize].1)?;
        }
        Ok(Translator {
            declared,
            b,
            abis,
            hosts: Vec::new(),
            host_ids: HashMap::new(),
            memory,
            tables,
            first_global,
            exits: [None; number::HOST as usize],
            foreign: declared.may_have_foreign_functions(),
            options,
            arguments: 0,
            locals: 0,
            state: State::default(),
        })
    }

    /// The builder, and the host functions of the program.
    pub fn finish(self) -> (Builder<'s>, Vec<Host>, u32) {
        (self.b, self.hosts, self.first_global)
    }

    fn function_type(&self, function: u32) -> &'d FuncType {
        self.declared.function_type(function)
    }

    /// The function that an import is in the program: it passes on what it gets.
    pub fn import(&mut self, function: u32) -> Result<(), Error> {
        self.begin(function)?;
        let count = self.function_type(function).parameters.len() as u32;
        for local in 0..count {
            let value = self.state.locals[local as usize];
            self.push(value);
        }
        self.call(function)?;
        self.leave_function()?;
        Ok(self.b.end()?)
    }

    /// Begins a function: its parameters are its first locals.
    fn begin(&mut self, function: u32) -> Result<(), Error> {
        self.b.begin(FunctionId(function))?;
        let state = &mut self.state;
        state.stack.clear();
        state.frames.clear();
        state.locals.clear();
        state.local_types.clear();
        state.log.clear();
        state.entries.clear();
        state.function = function;
        (state.label, state.select) = (0, 0);
        state.extended = [None; EXTENDED];
        let ty = self.declared.functions[function as usize] as usize;
        let places = self.abis[ty].0.parameters.iter();
        for (place, &ty) in places.zip(&self.declared.types[ty].parameters) {
            let value = match *place {
                Place::Core(index) => self.b.argument(index),
                Place::Slot(slot) => self.b.slot_get(slot_get(ty.core()), slot)?,
            };
            self.state.locals.push(value);
            self.state.local_types.push(ty);
        }
        self.state.frames.push(Frame {
            opened: Opened::Function,
            ty: BlockType::Empty,
            height: 0,
            logged: 0,
            label: Label::default(),
            block: None,
            entered: 0,
        });
        Ok(())
    }

    /// Translates a function with its body.
    pub fn function(
        &mut self,
        function: u32,
        body: &FunctionBody<'_>,
        plan: &Plan,
    ) -> Result<(), Error> {
        self.begin(function)?;
        let mut locals = body.get_locals_reader()?;
        let mut zeros: [Option<Value>; 4] = [None; 4];
        for _ in 0..locals.get_count() {
            let offset = locals.original_position();
            let (count, ty) = locals.read()?;
            let ty = ValueType::from_parser(ty)
                .ok_or_else(|| Error::unsupported(format!("values of type {ty}"), offset))?;
            let zero = match zeros[ty.core() as usize & 3] {
                Some(zero) => zero,
                None => self.b.constant(constant(ty.core()), 0)?,
            };
            zeros[ty.core() as usize & 3] = Some(zero);
            self.locals += count as usize;
            if self.locals > MOST_ARGUMENTS {
                return Err(Error::unsupported("as many locals of a module", offset));
            }
            let length = self.state.locals.len() + count as usize;
            self.state.locals.resize(length, zero);
            self.state.local_types.resize(length, ty);
        }
        let mut ops = body.get_operators_reader()?;
        let (mut dead, mut reachable) = (0, true);
        while !ops.eof() {
            let (op, offset) = ops.read_with_offset()?;
            self.state.offset = offset;
            if reachable {
                reachable = self.op(&op, plan)?;
                continue;
            }
            match op {
                Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => dead += 1,
                Operator::End if dead > 0 => dead -= 1,
                Operator::Else if dead == 0 => {
                    self.otherwise(false, plan)?;
                    reachable = true;
                }
                Operator::End if dead == 0 => reachable = self.end(false, plan)?,
                _ => {}
            }
        }
        Ok(self.b.end()?)
    }

    fn unsupported<T>(&self, what: &str) -> Result<T, Error> {
        Err(Error::unsupported(what, self.state.offset))
    }

    // The stack. Validation has found that there is what is taken.

    fn push(&mut self, value: Value) {
        self.state.stack.push(value);
    }

    fn pop(&mut self) -> Value {
        self.state.stack.pop().unwrap_or(Value(0))
    }

    fn pop2(&mut self) -> (Value, Value) {
        let b = self.pop();
        (self.pop(), b)
    }

    fn set_local(&mut self, local: u32, value: Value) {
        let place = &mut self.state.locals[local as usize];
        let before = std::mem::replace(place, value);
        self.state.log.push((local, before));
    }

    /// The exit of a trap.
    fn trap(&mut self, number: u32) -> Result<ExitId, Error> {
        let known = &mut self.exits[number as usize];
        if let Some(exit) = *known {
            return Ok(exit);
        }
        let exit = self.b.exit(ExitKind::Trap, number, &[])?;
        *known = Some(exit);
        Ok(exit)
    }

    /// The exit of a trap whose reason depends on this value.
    fn trap_for(&mut self, number: u32, operand: Value) -> Result<ExitId, Error> {
        let snapshot = [(slot::OPERAND, operand)];
        Ok(self.b.exit(ExitKind::Trap, number, &snapshot)?)
    }

    // Control.

    /// What a block takes and gives.
    fn block_types(&self, ty: BlockType) -> (&'d [ValueType], &'d [ValueType]) {
        match ty {
            BlockType::Empty => (&[], &[]),
            BlockType::Type(ty) => {
                let ty = ValueType::from_parser(ty);
                (&[], ty.map_or(&[], ValueType::alone))
            }
            BlockType::FuncType(index) => {
                let ty = &self.declared.types[self.declared.type_number(index) as usize];
                (&ty.parameters, &ty.results)
            }
        }
    }

    /// The types of what a branch to a frame takes from the stack.
    fn label_types(&self, frame: &Frame) -> &'d [ValueType] {
        match frame.opened {
            Opened::Function => &self.function_type(self.state.function).results,
            Opened::Loop => self.block_types(frame.ty).0,
            Opened::Block | Opened::If(_) => self.block_types(frame.ty).1,
        }
    }

    fn open(&mut self, opened: Opened, ty: BlockType, label: Label) {
        let (taken, _) = self.block_types(ty);
        self.state.frames.push(Frame {
            opened,
            ty,
            height: self.state.stack.len() - taken.len(),
            logged: self.state.log.len(),
            label,
            block: None,
            entered: self.state.entries.len(),
        });
    }

    fn next_label(&mut self, plan: &Plan) -> Label {
        self.state.label += 1;
        plan.labels[self.state.label - 1]
    }

    /// Where branches to a frame lead.
    fn target(&mut self, frame: usize) -> Result<BlockId, Error> {
        if let Some(block) = self.state.frames[frame].block {
            return Ok(block);
        }
        let block = self.b.create_block()?;
        self.state.frames[frame].block = Some(block);
        Ok(block)
    }

    /// Adds to what is passed: the values on top of the stack that a label takes, and its locals.
    fn pass(&mut self, frame: usize, plan: &Plan) -> Result<(), Error> {
        let frame = self.state.frames[frame];
        let count = self.label_types(&frame).len();
        let state = &mut self.state;
        let first = state.stack.len() - count;
        state.passed.extend(&state.stack[first..]);
        let locals = plan.locals_of(&frame.label);
        self.arguments += locals.len();
        if self.arguments > MOST_ARGUMENTS {
            return self.unsupported("as many locals as labels of this module take");
        }
        let state = &mut self.state;
        state
            .passed
            .extend(locals.iter().map(|&local| state.locals[local as usize]));
        Ok(())
    }

    /// Goes to a frame's label.
    fn jump(&mut self, frame: usize, plan: &Plan) -> Result<(), Error> {
        let block = self.target(frame)?;
        self.state.passed.clear();
        self.pass(frame, plan)?;
        Ok(self.b.jump(block, &self.state.passed)?)
    }

    /// Begins the block of a label: its parameters are on the stack, and in the locals that it takes.
    fn begin_label(&mut self, frame: &Frame, block: BlockId, plan: &Plan) -> Result<(), Error> {
        self.b.switch_to(block)?;
        self.state.stack.truncate(frame.height);
        for ty in self.label_types(frame) {
            let value = self.b.parameter(ty.core())?;
            self.push(value);
        }
        for &local in plan.locals_of(&frame.label) {
            let ty = self.state.local_types[local as usize];
            let value = self.b.parameter(ty.core())?;
            self.set_local(local, value);
        }
        Ok(())
    }

    /// Sets locals back to what they were.
    fn set_back(&mut self, logged: usize) {
        let state = &mut self.state;
        while state.log.len() > logged {
            if let Some((local, before)) = state.log.pop() {
                state.locals[local as usize] = before;
            }
        }
    }

    fn begin_loop(&mut self, ty: BlockType, plan: &Plan) -> Result<(), Error> {
        let label = self.next_label(plan);
        self.open(Opened::Loop, ty, label);
        if !label.used {
            return Ok(());
        }
        let at = self.state.frames.len() - 1;
        self.jump(at, plan)?;
        let frame = self.state.frames[at];
        let block = self.target(at)?;
        self.begin_label(&frame, block, plan)
    }

    fn begin_if(&mut self, ty: BlockType, plan: &Plan) -> Result<(), Error> {
        let condition = self.pop();
        let label = self.next_label(plan);
        self.open(Opened::If(None), ty, label);
        let at = self.state.frames.len() - 1;
        let then = self.b.create_block()?;
        self.state.passed.clear();
        let otherwise = if label.has_else {
            let block = self.b.create_block()?;
            let frame = &mut self.state.frames[at];
            frame.opened = Opened::If(Some(block));
            self.state.entries.extend(&self.state.stack[frame.height..]);
            block
        } else {
            // Its parameters are its results.
            self.pass(at, plan)?;
            self.target(at)?
        };
        let passed = &self.state.passed;
        self.b.branch(condition, (then, &[]), (otherwise, passed))?;
        Ok(self.b.switch_to(then)?)
    }

    /// `else`, reached from above or not.
    fn otherwise(&mut self, reached: bool, plan: &Plan) -> Result<(), Error> {
        let at = self.state.frames.len() - 1;
        if reached {
            self.jump(at, plan)?;
        }
        let frame = self.state.frames[at];
        let Opened::If(Some(block)) = frame.opened else {
            return self.unsupported("an else without an if");
        };
        self.set_back(frame.logged);
        let state = &mut self.state;
        state.stack.truncate(frame.height);
        state.stack.extend(state.entries.drain(frame.entered..));
        state.extended = [None; EXTENDED];
        state.frames[at].opened = Opened::If(None);
        Ok(self.b.switch_to(block)?)
    }

    /// The end of a frame, reached from above or not; says whether what is behind it is reached.
    fn end(&mut self, reached: bool, plan: &Plan) -> Result<bool, Error> {
        let at = self.state.frames.len() - 1;
        let frame = self.state.frames[at];
        // A loop's label is at its head.
        let block = match frame.opened {
            Opened::Loop => None,
            _ => frame.block,
        };
        let Some(block) = block else {
            if frame.opened == Opened::Function && reached {
                self.leave_function()?;
            }
            self.state.frames.pop();
            return Ok(reached);
        };
        if reached {
            self.jump(at, plan)?;
        }
        if matches!(frame.opened, Opened::If(_)) {
            self.set_back(frame.logged);
        }
        self.begin_label(&frame, block, plan)?;
        self.state.extended = [None; EXTENDED];
        if frame.opened == Opened::Function {
            self.leave_function()?;
        }
        self.state.frames.pop();
        Ok(true)
    }

    /// A branch that is always taken.
    fn branch(&mut self, depth: u32, plan: &Plan) -> Result<(), Error> {
        match self.frame_at(depth) {
            0 => self.leave_function(),
            frame => self.jump(frame, plan),
        }
    }

    fn frame_at(&self, depth: u32) -> usize {
        self.state.frames.len() - 1 - depth as usize
    }

    fn branch_if(&mut self, depth: u32, plan: &Plan) -> Result<(), Error> {
        let condition = self.pop();
        let frame = self.frame_at(depth);
        let block = self.target(frame)?;
        self.state.passed.clear();
        self.pass(frame, plan)?;
        let next = self.b.create_block()?;
        let passed = &self.state.passed;
        self.b.branch(condition, (block, passed), (next, &[]))?;
        Ok(self.b.switch_to(next)?)
    }

    fn branch_table(
        &mut self,
        targets: &wasmparser::BrTable<'_>,
        plan: &Plan,
    ) -> Result<(), Error> {
        let index = self.pop();
        let mut ends = Vec::new();
        self.state.passed.clear();
        let all = targets.targets().chain([Ok(targets.default())]);
        for depth in all {
            let frame = self.frame_at(depth?);
            let block = self.target(frame)?;
            self.pass(frame, plan)?;
            ends.push((block, self.state.passed.len()));
        }
        let mut first = 0;
        let mut edges: Vec<(BlockId, &[Value])> = Vec::new();
        for (block, end) in ends {
            edges.push((block, &self.state.passed[first..end]));
            first = end;
        }
        match edges.split_last() {
            Some((&default, targets)) => Ok(self.b.switch(index, targets, default)?),
            None => self.unsupported("a branch without targets"),
        }
    }

    /// Ends the function with the results that are on the stack.
    fn leave_function(&mut self) -> Result<(), Error> {
        let ty = self.declared.functions[self.state.function as usize] as usize;
        let results = &self.declared.types[ty].results;
        let first = self.state.stack.len() - results.len();
        self.state.passed.clear();
        for (index, (place, ty)) in self.abis[ty].0.results.iter().zip(results).enumerate() {
            let value = self.state.stack[first + index];
            match *place {
                Place::Core(_) => self.state.passed.push(value),
                Place::Slot(slot) => self.b.slot_set(slot_set(ty.core()), slot, value)?,
            }
        }
        Ok(self.b.return_values(&self.state.passed)?)
    }

    /// Translates an op that is reached; says whether the next one is.
    fn op(&mut self, op: &Operator<'_>, plan: &Plan) -> Result<bool, Error> {
        match *op {
            Operator::Nop => {}
            Operator::Unreachable => {
                let exit = self.trap(number::UNREACHABLE)?;
                self.b.leave(exit)?;
                return Ok(false);
            }
            Operator::Block { blockty } => {
                let label = self.next_label(plan);
                self.open(Opened::Block, blockty, label);
            }
            Operator::Loop { blockty } => self.begin_loop(blockty, plan)?,
            Operator::If { blockty } => self.begin_if(blockty, plan)?,
            Operator::Else => self.otherwise(true, plan)?,
            Operator::End => return self.end(true, plan),
            Operator::Br { relative_depth } => {
                self.branch(relative_depth, plan)?;
                return Ok(false);
            }
            Operator::BrIf { relative_depth } => self.branch_if(relative_depth, plan)?,
            Operator::BrTable { ref targets } => {
                self.branch_table(targets, plan)?;
                return Ok(false);
            }
            Operator::Return => {
                self.leave_function()?;
                return Ok(false);
            }
            Operator::Call { function_index } => self.call(function_index)?,
            Operator::CallIndirect {
                type_index,
                table_index,
            } => self.call_indirect(type_index, table_index)?,
            Operator::Drop => {
                self.pop();
            }
            Operator::LocalGet { local_index } => {
                let value = self.state.locals[local_index as usize];
                self.push(value);
            }
            Operator::LocalSet { local_index } => {
                let value = self.pop();
                self.set_local(local_index, value);
            }
            Operator::LocalTee { local_index } => {
                let value = self.pop();
                self.push(value);
                self.set_local(local_index, value);
            }
            _ if self.numeric(op, plan)? => {}
            _ if self.stored(op)? => {}
            _ => return self.unsupported(&format!("{op:?}")),
        }
        Ok(true)
    }
}

/// The constant of a type.
fn constant(ty: Type) -> Opcode {
    match ty {
        Type::I32 => Opcode::I32Const,
        Type::F32 => Opcode::F32Const,
        Type::F64 => Opcode::F64Const,
        Type::I64 | Type::Ref => Opcode::I64Const,
    }
}

/// The read of a slot as a type.
fn slot_get(ty: Type) -> Opcode {
    match ty {
        Type::I32 => Opcode::I32SlotGet,
        Type::F32 => Opcode::F32SlotGet,
        Type::F64 => Opcode::F64SlotGet,
        Type::I64 | Type::Ref => Opcode::I64SlotGet,
    }
}

/// The write of a slot as a type.
fn slot_set(ty: Type) -> Opcode {
    match ty {
        Type::I32 => Opcode::I32SlotSet,
        Type::F32 => Opcode::F32SlotSet,
        Type::F64 => Opcode::F64SlotSet,
        Type::I64 | Type::Ref => Opcode::I64SlotSet,
    }
}
