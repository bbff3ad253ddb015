//! Programs put together record by record, in vectors: for tests and benches that make programs by the thousand.
//!
//! Nothing is checked here beyond what an assertion catches; [`patchjit::verify`] is for that. Blocks are named by
//! labels, so edges may go forward; a block begins where its label is placed.

use patchjit::ir::{
    Block, Exit, ExitKind, Function, HostFunction, Op, Program, Region, Signature, Tag, access_aux,
};
use patchjit::ops::{Opcode, Shape};
use patchjit::types::Type;

/// A program that owns its records.
#[derive(Clone, Debug, Default)]
pub struct Assembly {
    functions: Vec<Function>,
    blocks: Vec<Block>,
    ops: Vec<Op>,
    extra: Vec<u32>,
    exits: Vec<Exit>,
    signatures: Vec<Signature>,
    types: Vec<Type>,
    regions: Vec<Region>,
    hosts: Vec<HostFunction>,
    tags: Vec<Tag>,
    slot_count: u32,
    /// Where the current function's labels stand.
    labels: Vec<Option<u32>>,
    /// Extra words of the current function that hold a label until it ends.
    pending: Vec<usize>,
}

/// Names a block of the function that is being put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label(u32);

/// An op's index: its value.
pub type Value = u32;

impl Assembly {
    /// An empty program.
    pub fn new() -> Assembly {
        Assembly::default()
    }

    /// The program as it is now.
    pub fn program(&self) -> Program<'_> {
        Program {
            functions: &self.functions,
            blocks: &self.blocks,
            ops: &self.ops,
            extra: &self.extra,
            exits: &self.exits,
            signatures: &self.signatures,
            types: &self.types,
            regions: &self.regions,
            hosts: &self.hosts,
            tags: &self.tags,
            positions: &[],
            slot_count: self.slot_count,
        }
    }

    /// How many ops there are.
    pub fn size(&self) -> usize {
        self.ops.len()
    }

    /// How many functions there are.
    pub fn function_count(&self) -> u32 {
        self.functions.len() as u32
    }

    /// The index of a signature, the same for the same types.
    pub fn signature(&mut self, parameters: &[Type], results: &[Type]) -> u32 {
        let program = self.program();
        let found = (0..self.signatures.len() as u32).find(|&index| {
            (program.parameters(index), program.results(index)) == (parameters, results)
        });
        found.unwrap_or_else(|| {
            let first_type = self.types.len() as u32;
            self.types.extend_from_slice(parameters);
            self.types.extend_from_slice(results);
            self.signatures.push(Signature {
                first_type,
                parameter_count: parameters.len() as u16,
                result_count: results.len() as u16,
            });
            self.signatures.len() as u32 - 1
        })
    }

    /// Declares a region.
    pub fn region(&mut self, size: u64) -> u16 {
        self.regions.push(Region::fixed(size));
        self.regions.len() as u16 - 1
    }

    /// Declares a host function.
    pub fn host(&mut self, parameters: &[Type], results: &[Type]) -> u32 {
        let signature = self.signature(parameters, results);
        self.hosts.push(HostFunction { signature });
        self.hosts.len() as u32 - 1
    }

    /// Declares this many guest slots, or more if there are more already.
    pub fn slots(&mut self, count: u32) {
        self.slot_count = self.slot_count.max(count);
    }

    /// An exit with pairs of slot and value.
    pub fn exit(&mut self, kind: ExitKind, number: u32, snapshot: &[(u32, Value)]) -> u32 {
        let start = self.extra.len() as u32;
        for &(slot, value) in snapshot {
            self.slots(slot + 1);
            self.extra.extend([slot, value]);
        }
        self.exits.push(Exit {
            number,
            kind,
            snapshot: start,
            entry_count: snapshot.len() as u32,
        });
        self.exits.len() as u32 - 1
    }

    /// Begins a function with its entry block; gives its index and its parameters.
    pub fn begin(&mut self, parameters: &[Type], results: &[Type]) -> (u32, Vec<Value>) {
        let signature = self.signature(parameters, results);
        self.functions.push(Function {
            signature,
            first_block: self.blocks.len() as u32,
            block_count: 0,
            first_op: self.ops.len() as u32,
            op_count: 0,
        });
        let entry = self.label();
        let values = self.place(entry, parameters);
        (self.functions.len() as u32 - 1, values)
    }

    /// Ends the function that was begun: its edges go where their labels were placed.
    pub fn end(&mut self) {
        self.close();
        for at in self.pending.drain(..) {
            let label = self.extra[at];
            self.extra[at] = self.labels[label as usize].expect("every label is placed");
        }
        self.labels.clear();
        let (blocks, ops) = (self.blocks.len() as u32, self.ops.len() as u32);
        let function = self.functions.last_mut().expect("a function was begun");
        function.block_count = blocks - function.first_block;
        function.op_count = ops - function.first_op;
    }

    /// A new label.
    pub fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() as u32 - 1)
    }

    /// Begins the block of a label here; gives its parameters.
    pub fn place(&mut self, label: Label, parameters: &[Type]) -> Vec<Value> {
        self.close();
        let here = &mut self.labels[label.0 as usize];
        assert!(here.is_none(), "a label is placed once");
        *here = Some(self.blocks.len() as u32);
        self.blocks.push(Block {
            first_op: self.ops.len() as u32,
            op_count: 0,
            parameter_count: parameters.len() as u32,
        });
        let types = parameters.iter().enumerate();
        types
            .map(|(index, &ty)| self.push(Opcode::Parameter, ty as u16, index as u32, 0, 0))
            .collect()
    }

    fn close(&mut self) {
        let ops = self.ops.len() as u32;
        let function = self.functions.last().expect("a function was begun");
        if self.blocks.len() as u32 > function.first_block
            && let Some(block) = self.blocks.last_mut()
        {
            block.op_count = ops - block.first_op;
        }
    }

    /// Appends a record as it is.
    pub fn push(&mut self, code: Opcode, aux: u16, a: u32, b: u32, c: u32) -> Value {
        self.ops.push(Op { code, aux, a, b, c });
        self.ops.len() as u32 - 1
    }

    /// The type of a value.
    pub fn type_of(&self, value: Value) -> Option<Type> {
        self.ops[value as usize].result()
    }

    /// A constant.
    pub fn constant(&mut self, ty: Type, bits: u64) -> Value {
        let code = match ty {
            Type::I32 => Opcode::I32Const,
            Type::F32 => Opcode::F32Const,
            Type::F64 => Opcode::F64Const,
            Type::I64 | Type::Ref => Opcode::I64Const,
        };
        let bits = if ty.bits() == 32 {
            bits & 0xffff_ffff
        } else {
            bits
        };
        let value = self.push(code, 0, 0, bits as u32, (bits >> 32) as u32);
        match ty {
            Type::Ref => self.scalar(Opcode::RefFromI64, value, 0, 0),
            _ => value,
        }
    }

    /// An `i64` constant.
    pub fn i64(&mut self, value: i64) -> Value {
        self.constant(Type::I64, value as u64)
    }

    /// A scalar op; `b` and `exit` are ignored where it has none.
    pub fn scalar(&mut self, code: Opcode, a: Value, b: Value, exit: u32) -> Value {
        let info = code.info();
        let b = if matches!(info.shape, Shape::Binary) {
            b
        } else {
            0
        };
        let leaves = info.has(patchjit::ops::flags::LEAVES);
        self.push(code, 0, a, b, if leaves { exit } else { 0 })
    }

    /// An access to a region: `third` is the replacement of a compare-exchange.
    pub fn access(
        &mut self,
        code: Opcode,
        (region, scale, offset): (u16, u8, u32),
        (index, second, third): (Value, Value, Value),
        exit: u32,
    ) -> Value {
        let at = self.extra.len() as u32;
        self.extra.extend([offset, exit]);
        if matches!(code.info().shape, Shape::CompareExchange) {
            self.extra.push(third);
        }
        let second = if matches!(code.info().shape, Shape::Load) {
            0
        } else {
            second
        };
        self.push(code, access_aux(region, scale), index, second, at)
    }

    fn list(&mut self, values: &[Value]) -> u32 {
        let at = self.extra.len() as u32;
        self.extra.push(values.len() as u32);
        self.extra.extend_from_slice(values);
        at
    }

    fn edge(&mut self, label: Label, arguments: &[Value]) -> u32 {
        let at = self.extra.len();
        self.pending.push(at);
        self.extra.push(label.0);
        self.list(arguments);
        at as u32
    }

    /// A call of a function, a cell or a host function; gives its results.
    pub fn call(
        &mut self,
        code: Opcode,
        target: u32,
        arguments: &[Value],
        exit: u32,
    ) -> Vec<Value> {
        let signature = match code {
            Opcode::CallHost => self.hosts[target as usize].signature,
            _ => self.functions[target as usize].signature,
        };
        let list = self.list(arguments);
        self.call_record(code, signature, (target, list), exit)
    }

    /// A call of the function with an index.
    pub fn call_indirect(
        &mut self,
        signature: u32,
        index: Value,
        arguments: &[Value],
        exit: u32,
    ) -> Vec<Value> {
        let at = self.extra.len() as u32;
        self.extra.push(signature);
        self.list(arguments);
        self.call_record(Opcode::CallIndirect, signature, (index, at), exit)
    }

    fn call_record(
        &mut self,
        code: Opcode,
        signature: u32,
        (a, b): (u32, u32),
        exit: u32,
    ) -> Vec<Value> {
        let results = self.program().results(signature).to_vec();
        let aux = results.first().map_or(0, |&ty| ty as u16 + 1);
        let call = self.push(code, aux, a, b, exit);
        let mut values = Vec::new();
        for (index, &ty) in results.iter().enumerate() {
            values.push(match index {
                0 => call,
                _ => self.push(Opcode::Result, ty as u16, index as u32, 0, 0),
            });
        }
        values
    }

    /// Ends the block with a jump.
    pub fn jump(&mut self, to: Label, arguments: &[Value]) {
        let edge = self.edge(to, arguments);
        self.push(Opcode::Jump, 0, 0, edge, 0);
    }

    /// Ends the block with a branch.
    pub fn branch(&mut self, condition: Value, then: (Label, &[Value]), other: (Label, &[Value])) {
        let then = self.edge(then.0, then.1);
        let other = self.edge(other.0, other.1);
        self.push(Opcode::Branch, 0, condition, then, other);
    }

    /// Ends the block with a switch; the last edge is the default's.
    pub fn switch(&mut self, index: Value, edges: &[(Label, &[Value])]) {
        let edges: Vec<u32> = edges
            .iter()
            .map(|&(label, arguments)| self.edge(label, arguments))
            .collect();
        let at = self.extra.len() as u32;
        self.extra.push(edges.len() as u32 - 1);
        self.extra.extend(edges);
        self.push(Opcode::Switch, 0, index, at, 0);
    }

    /// Ends the block, and the function's run, with these results.
    pub fn return_values(&mut self, values: &[Value]) {
        let list = self.list(values);
        self.push(Opcode::Return, 0, 0, list, 0);
    }

    /// Ends the block with a tail call.
    pub fn return_call(&mut self, function: u32, arguments: &[Value]) {
        let list = self.list(arguments);
        self.push(Opcode::ReturnCall, 0, function, list, 0);
    }
}
