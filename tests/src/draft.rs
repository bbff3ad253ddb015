//! Programs in a form that is easy to change: for generators, and for the reducer of what they find.
//!
//! Values are numbers that belong to a function and keep their meaning wherever blocks and ops are moved;
//! [`Draft::module`] turns a draft into records. Nothing is checked here: [`patchjit::verify`] is for that.

use patchjit::ir::{
    Block, Exit, ExitKind, Function, HostFunction, NONE, Op, Region, Signature, Tag, access_aux,
};
use patchjit::ops::{Opcode, Shape, flags};
use patchjit::types::Type;
use patchjit_text::Module;
use std::collections::HashMap;

/// A value of a function, by a number of its own.
pub type Value = u32;

/// A program.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    /// The functions, by the numbers that calls use.
    pub functions: Vec<DraftFunction>,
    /// The order in which they stand in the program; functions that are not named are left out.
    pub order: Vec<usize>,
    /// The sizes of the regions.
    pub regions: Vec<Region>,
    /// The host functions: name, parameters, results.
    pub hosts: Vec<(&'static str, Vec<Type>, Vec<Type>)>,
    /// The tags.
    pub tags: Vec<Tag>,
    /// How many guest slots there are.
    pub slot_count: u32,
}

/// A function.
#[derive(Clone, Debug, Default)]
pub struct DraftFunction {
    /// The types of its results; its parameters are those of its first block.
    pub results: Vec<Type>,
    /// The blocks, by the numbers that edges use.
    pub blocks: Vec<DraftBlock>,
    /// The order in which they stand in the program, the first one first; what is not named is left out.
    pub order: Vec<usize>,
    /// The next value that is free.
    pub next_value: Value,
}

/// A block.
#[derive(Clone, Debug, Default)]
pub struct DraftBlock {
    /// Its parameters.
    pub parameters: Vec<(Value, Type)>,
    /// Its ops, the terminator last.
    pub ops: Vec<DraftOp>,
}

/// An exit.
#[derive(Clone, Debug, PartialEq)]
pub struct DraftExit {
    /// Trap or deoptimize.
    pub kind: ExitKind,
    /// Its number.
    pub number: u32,
    /// Pairs of place and value.
    pub snapshot: Vec<(u32, Value)>,
}

/// An op. Fields that its shape does not need are empty.
#[derive(Clone, Debug)]
pub struct DraftOp {
    /// Which.
    pub code: Opcode,
    /// Its results, mostly one at most.
    pub results: Vec<(Value, Type)>,
    /// All operands: those of the record in their order, a call's arguments (behind an indirect call's index), the
    /// values returned.
    pub operands: Vec<Value>,
    /// Its exit.
    pub exit: Option<DraftExit>,
    /// Its edges: block and arguments; a switch's default last, a branch's edge for zero last.
    pub edges: Vec<(usize, Vec<Value>)>,
    /// A constant's bits, a slot, a tag, a raw access's offset.
    pub immediate: u64,
    /// Region, scale and offset of an access.
    pub access: (u16, u8, u32),
    /// The function or host function that is named, or whose signature an indirect call names.
    pub target: usize,
}

impl DraftOp {
    /// An op with nothing in it.
    pub fn new(code: Opcode) -> DraftOp {
        DraftOp {
            code,
            results: Vec::new(),
            operands: Vec::new(),
            exit: None,
            edges: Vec::new(),
            immediate: 0,
            access: (0, 0, 0),
            target: 0,
        }
    }

    /// Every value that the op reads.
    pub fn uses(&self) -> impl Iterator<Item = Value> + '_ {
        let edges = self.edges.iter().flat_map(|(_, arguments)| arguments);
        let snapshot = self.exit.iter().flat_map(|exit| &exit.snapshot);
        let snapshot = snapshot.map(|(_, value)| value);
        self.operands.iter().chain(edges).chain(snapshot).copied()
    }
}

impl DraftFunction {
    /// The types of the parameters.
    pub fn parameters(&self) -> Vec<Type> {
        let types = self.blocks[0].parameters.iter();
        types.map(|&(_, ty)| ty).collect()
    }

    /// A new value.
    pub fn value(&mut self) -> Value {
        self.next_value += 1;
        self.next_value - 1
    }
}

/// The op that makes a constant of a type; references are made of an `i64`.
pub fn constant_of(ty: Type) -> Opcode {
    match ty {
        Type::I32 => Opcode::I32Const,
        Type::F32 => Opcode::F32Const,
        Type::F64 => Opcode::F64Const,
        Type::I64 | Type::Ref => Opcode::I64Const,
    }
}

/// What the records of one function need of the others.
struct Writer<'d> {
    draft: &'d Draft,
    module: Module,
    /// Where each function stands.
    functions: HashMap<usize, u32>,
    values: HashMap<Value, u32>,
    blocks: HashMap<usize, u32>,
}

impl Draft {
    /// The program's records.
    pub fn module(&self) -> Module {
        let places = self.order.iter().zip(0..);
        let mut writer = Writer {
            draft: self,
            module: Module::default(),
            functions: places.map(|(&number, at)| (number, at)).collect(),
            values: HashMap::new(),
            blocks: HashMap::new(),
        };
        writer.module.slot_count = self.slot_count;
        writer.module.regions = self.regions.clone();
        writer.module.tags.clone_from(&self.tags);
        for (name, parameters, results) in &self.hosts {
            let signature = writer.signature(parameters, results);
            writer.module.hosts.push(HostFunction { signature });
            writer.module.names.hosts.push((*name).to_string());
        }
        for &number in &self.order {
            writer.function(&self.functions[number]);
        }
        writer.module
    }
}

impl Writer<'_> {
    fn signature(&mut self, parameters: &[Type], results: &[Type]) -> u32 {
        let program = self.module.program();
        let count = program.signatures.len() as u32;
        let known = (0..count).find(|&index| {
            program.parameters(index) == parameters && program.results(index) == results
        });
        known.unwrap_or_else(|| {
            self.module.signatures.push(Signature {
                first_type: self.module.types.len() as u32,
                parameter_count: parameters.len() as u16,
                result_count: results.len() as u16,
            });
            self.module.types.extend_from_slice(parameters);
            self.module.types.extend_from_slice(results);
            count
        })
    }

    fn function(&mut self, function: &DraftFunction) {
        let signature = self.signature(&function.parameters(), &function.results);
        let (first_op, first_block) = (
            self.module.ops.len() as u32,
            self.module.blocks.len() as u32,
        );
        self.values.clear();
        self.blocks.clear();
        let mut next = first_op;
        for (&number, at) in function.order.iter().zip(first_block..) {
            self.blocks.insert(number, at);
            let block = &function.blocks[number];
            for &(value, _) in &block.parameters {
                self.values.insert(value, next);
                next += 1;
            }
            for op in &block.ops {
                for (&(value, _), at) in op.results.iter().zip(next..) {
                    self.values.insert(value, at);
                }
                next += op.results.len().max(1) as u32;
            }
        }
        for &number in &function.order {
            let block = &function.blocks[number];
            let first_op = self.module.ops.len() as u32;
            for (&(_, ty), index) in block.parameters.iter().zip(0..) {
                self.record(Opcode::Parameter, ty as u16, index, 0, 0);
            }
            for op in &block.ops {
                self.op(op);
            }
            self.module.blocks.push(Block {
                first_op,
                op_count: self.module.ops.len() as u32 - first_op,
                parameter_count: block.parameters.len() as u32,
            });
        }
        self.module.functions.push(Function {
            signature,
            first_block,
            block_count: function.order.len() as u32,
            first_op,
            op_count: self.module.ops.len() as u32 - first_op,
        });
    }

    fn record(&mut self, code: Opcode, aux: u16, a: u32, b: u32, c: u32) {
        self.module.ops.push(Op { code, aux, a, b, c });
    }

    fn value(&self, value: Value) -> u32 {
        self.values.get(&value).copied().unwrap_or(NONE)
    }

    fn list(&mut self, values: &[Value]) -> u32 {
        let at = self.module.extra.len() as u32;
        self.module.extra.push(values.len() as u32);
        for &value in values {
            self.module.extra.push(self.value(value));
        }
        at
    }

    fn edge(&mut self, (block, arguments): &(usize, Vec<Value>)) -> u32 {
        let at = self.module.extra.len() as u32;
        let block = self.blocks.get(block).copied().unwrap_or(NONE);
        self.module.extra.push(block);
        self.list(arguments);
        at
    }

    fn exit(&mut self, exit: Option<&DraftExit>) -> u32 {
        let Some(exit) = exit else { return NONE };
        let snapshot = self.module.extra.len() as u32;
        for &(slot, value) in &exit.snapshot {
            let value = self.value(value);
            self.module.extra.extend([slot, value]);
        }
        self.module.exits.push(Exit {
            number: exit.number,
            kind: exit.kind,
            snapshot,
            entry_count: exit.snapshot.len() as u32,
        });
        self.module.exits.len() as u32 - 1
    }

    fn op(&mut self, op: &DraftOp) {
        let info = op.code.info();
        let operand = |index: usize| self.value(op.operands[index]);
        let function = |writer: &Self| writer.functions.get(&op.target).copied().unwrap_or(NONE);
        match info.shape {
            Shape::Parameter | Shape::Result => {}
            Shape::Constant => {
                let bits = op.immediate;
                self.record(op.code, 0, 0, bits as u32, (bits >> 32) as u32);
            }
            Shape::Unary | Shape::Binary => {
                let (a, mut b) = (operand(0), 0);
                if info.shape == Shape::Binary {
                    b = operand(1);
                }
                let mut exit = 0;
                if info.has(flags::LEAVES) {
                    exit = self.exit(op.exit.as_ref());
                }
                self.record(op.code, 0, a, b, exit);
            }
            Shape::Tag => self.record(op.code, op.immediate as u16, operand(0), 0, 0),
            Shape::Select => self.record(op.code, 0, operand(0), operand(1), operand(2)),
            Shape::Load | Shape::Store if info.has(flags::RAW) => {
                let mut stored = 0;
                if info.shape == Shape::Store {
                    stored = operand(1);
                }
                self.record(op.code, 0, operand(0), stored, op.immediate as u32);
            }
            Shape::Load | Shape::Store | Shape::Update | Shape::CompareExchange => {
                let (index, mut second, mut third) = (operand(0), 0, None);
                if info.shape != Shape::Load {
                    second = operand(1);
                }
                if info.shape == Shape::CompareExchange {
                    third = Some(operand(2));
                }
                let exit = self.exit(op.exit.as_ref());
                let at = self.module.extra.len() as u32;
                let (region, scale, offset) = op.access;
                self.module.extra.extend([offset, exit]);
                self.module.extra.extend(third);
                self.record(op.code, access_aux(region, scale), index, second, at);
            }
            Shape::Fence => self.record(op.code, 0, 0, 0, 0),
            Shape::RegionSize => self.record(op.code, op.access.0, 0, 0, 0),
            Shape::SlotGet => self.record(op.code, 0, 0, 0, op.immediate as u32),
            Shape::SlotSet => self.record(op.code, 0, operand(0), 0, op.immediate as u32),
            Shape::FunctionIndex => self.record(op.code, 0, 0, function(self), 0),
            Shape::Guard => {
                let condition = operand(0);
                let exit = self.exit(op.exit.as_ref());
                self.record(op.code, 0, condition, 0, exit);
            }
            Shape::Poll | Shape::Exit => {
                let exit = self.exit(op.exit.as_ref());
                self.record(op.code, 0, 0, 0, exit);
            }
            Shape::Call | Shape::CallCell | Shape::CallHost => {
                let target = match info.shape {
                    Shape::CallHost => op.target as u32,
                    _ => function(self),
                };
                let list = self.list(&op.operands);
                self.call(op, target, list);
            }
            Shape::CallIndirect => {
                let index = operand(0);
                let target = &self.draft.functions[op.target];
                let signature = self.signature(&target.parameters(), &target.results);
                let at = self.module.extra.len() as u32;
                self.module.extra.push(signature);
                self.list(&op.operands[1..]);
                self.call(op, index, at);
            }
            Shape::Jump => {
                let edge = self.edge(&op.edges[0]);
                self.record(op.code, 0, 0, edge, 0);
            }
            Shape::Branch => {
                let condition = operand(0);
                let (yes, no) = (self.edge(&op.edges[0]), self.edge(&op.edges[1]));
                self.record(op.code, 0, condition, yes, no);
            }
            Shape::Switch => {
                let index = operand(0);
                let edges: Vec<u32> = op.edges.iter().map(|edge| self.edge(edge)).collect();
                let at = self.module.extra.len() as u32;
                self.module.extra.push(edges.len() as u32 - 1);
                self.module.extra.extend(edges);
                self.record(op.code, 0, index, at, 0);
            }
            Shape::Return => {
                let list = self.list(&op.operands);
                self.record(op.code, 0, 0, list, 0);
            }
            Shape::ReturnCall => {
                let list = self.list(&op.operands);
                let target = function(self);
                self.record(op.code, 0, target, list, 0);
            }
        }
    }

    fn call(&mut self, op: &DraftOp, a: u32, b: u32) {
        let exit = self.exit(op.exit.as_ref());
        let aux = op.results.first().map_or(0, |&(_, ty)| ty as u16 + 1);
        self.record(op.code, aux, a, b, exit);
        for (&(_, ty), index) in op.results.iter().zip(0..).skip(1) {
            self.record(Opcode::Result, ty as u16, index, 0, 0);
        }
    }
}
