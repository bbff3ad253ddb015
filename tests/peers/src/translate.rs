//! A function of a verified program, translated one to one into Cranelift's IR.
//!
//! Takes a program, its [`Plan`] and the names that the module gave to what is called; promises a function that
//! does what the oracle does, fuel aside. Values map to values, blocks to blocks and parameters to parameters;
//! what is added is what any user of Cranelift would write: checks as one compare and a branch to a cold
//! block, bases of regions read once with flags that let them move.
//!
//! ```text
//!   body:  tail(context, parameters...) -> results..., status where the function may deoptimize
//!   entry: C(context, values) -> status
//! ```

mod calls;

use crate::memory;
use crate::order::{Order, switch_edges};
use crate::plan::Plan;
use crate::scalar::{self, Scalar, integer};
use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::ir::condcodes::{CondCode, IntCC};
use cranelift_codegen::ir::immediates::{Ieee32, Ieee64};
use cranelift_codegen::ir::types::{F32, F64, I32, I64};
use cranelift_codegen::ir::{
    self, AbiParam, AliasRegion, AliasRegionData, BlockArg, BlockCall, FuncRef, Inst, InstBuilder,
    InstructionData, JumpTableData, MemFlagsData, SigRef, Signature, StackSlot, TrapCode, Value,
};
use cranelift_codegen::isa::CallConv;
use cranelift_module::{FuncId, Module};
use patchjit::ir::{Edge, ExitKind, Op, Program, place_slot, place_tag};
use patchjit::ops::{Opcode, Shape, flags};
use patchjit::runtime::{Status, offset};
use patchjit::types::Type;
use std::borrow::Cow;
use std::collections::HashMap;

/// What the functions of a program are called in a module.
#[derive(Clone, Debug)]
pub struct Names {
    /// The bodies, by function.
    pub bodies: Vec<FuncId>,
    /// The routine that abandons all frames: C(context, status).
    pub leave: FuncId,
}

/// Cranelift's type for a value type.
pub fn type_of(ty: Type) -> ir::Type {
    match ty {
        Type::I32 => I32,
        Type::I64 | Type::Ref => I64,
        Type::F32 => F32,
        Type::F64 => F64,
    }
}

/// The signature of a body.
pub fn body_signature(program: &Program, signature: u32, status: bool) -> Signature {
    let mut result = Signature::new(CallConv::Tail);
    result.params.push(AbiParam::new(I64));
    let parameters = program.parameters(signature).iter();
    result
        .params
        .extend(parameters.map(|&ty| AbiParam::new(type_of(ty))));
    let results = program.results(signature).iter();
    result
        .returns
        .extend(results.map(|&ty| AbiParam::new(type_of(ty))));
    if status {
        result.returns.push(AbiParam::new(I32));
    }
    result
}

/// The signature of an entry and of a host function: the context, a pointer to values; a status.
pub fn pointer_signature(convention: CallConv) -> Signature {
    let mut result = Signature::new(convention);
    result.params.extend([AbiParam::new(I64); 2]);
    result.returns.push(AbiParam::new(I32));
    result
}

/// The signature of the routine that abandons all frames.
pub fn leave_signature(convention: CallConv) -> Signature {
    let mut result = Signature::new(convention);
    result
        .params
        .extend([AbiParam::new(I64), AbiParam::new(I32)]);
    result
}

/// A value of ours: its own value, and the eight bits of a comparison that are widened only where asked for.
#[derive(Clone, Copy, Default)]
struct Known {
    value: Option<Value>,
    condition: Option<Value>,
}

/// What an exit block stands for.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Leaving {
    /// An op leaves through this exit.
    Exit(u32),
    /// A callee deoptimized, and its call leaves through this exit.
    AfterCallee(u32),
    /// A call would go too deep.
    TooDeep,
}

/// Kinds of memory that do not overlap.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// Fields of the context that change in a run.
    Context,
    /// Guest slots.
    Slots,
    /// Regions of the program, all as one.
    Regions,
}

/// The translation of one function.
pub(crate) struct Translation<'a> {
    pub(crate) program: &'a Program<'a>,
    plan: &'a Plan,
    names: &'a Names,
    module: &'a mut dyn Module,
    pub(crate) func: &'a mut ir::Function,
    function: usize,
    first_op: usize,
    known: Vec<Known>,
    blocks: Vec<Option<ir::Block>>,
    /// How many loops each block stands in.
    depth: Vec<u32>,
    /// The block of ours that is being translated.
    at_block: usize,
    current: ir::Block,
    context: Value,
    bases: HashMap<usize, Value>,
    slots: Option<Value>,
    leaving: HashMap<Leaving, ir::Block>,
    leaving_order: Vec<Leaving>,
    callees: HashMap<usize, FuncRef>,
    leave: Option<FuncRef>,
    host_signature: Option<SigRef>,
    host_values: Option<StackSlot>,
    kinds: [AliasRegion; 3],
    last_call: Vec<Value>,
}

/// Fills `func` with the body of a function; `func` is empty but for its name.
pub fn body<'a>(
    program: &'a Program<'a>,
    plan: &'a Plan,
    names: &'a Names,
    module: &'a mut dyn Module,
    func: &'a mut ir::Function,
    function: usize,
) {
    let record = &program.functions[function];
    func.signature = body_signature(program, record.signature, plan.returns_status[function]);
    let mut user_id = 0;
    let kinds = ["context", "slots", "regions"].map(|description| {
        user_id += 1;
        func.dfg.alias_regions.insert(AliasRegionData {
            user_id,
            description: Cow::Borrowed(description),
        })
    });
    let entry = func.dfg.make_block();
    func.layout.append_block(entry);
    let context = func.dfg.append_block_param(entry, I64);
    let mut translation = Translation {
        program,
        plan,
        names,
        module,
        func,
        function,
        first_op: record.first_op as usize,
        known: vec![Known::default(); record.op_count as usize],
        blocks: vec![None; record.block_count as usize],
        depth: Vec::new(),
        at_block: 0,
        current: entry,
        context,
        bases: HashMap::new(),
        slots: None,
        leaving: HashMap::new(),
        leaving_order: Vec::new(),
        callees: HashMap::new(),
        leave: None,
        host_signature: None,
        host_values: None,
        kinds,
        last_call: Vec::new(),
    };
    translation.run(entry);
}

/// Fills `func` with the entry of a function: loads its parameters, calls its body, stores its results.
pub fn entry(
    program: &Program,
    plan: &Plan,
    names: &Names,
    module: &mut dyn Module,
    func: &mut ir::Function,
    function: usize,
) {
    func.signature = pointer_signature(module.isa().default_call_conv());
    let signature = program.functions[function].signature;
    let callee = module.declare_func_in_func(names.bodies[function], func);
    let block = func.dfg.make_block();
    func.layout.append_block(block);
    let context = func.dfg.append_block_param(block, I64);
    let values = func.dfg.append_block_param(block, I64);
    let mut cursor = FuncCursor::new(func).at_bottom(block);
    let trusted = MemFlagsData::trusted();
    let mut arguments = vec![context];
    for (index, &ty) in program.parameters(signature).iter().enumerate() {
        let at = 8 * index as i32;
        let value = cursor.ins().load(type_of(ty), trusted, values, at);
        arguments.push(value);
    }
    let call = cursor.ins().call(callee, &arguments);
    let results = cursor.func.dfg.inst_results(call).to_vec();
    let store = |cursor: &mut FuncCursor| {
        for (index, &ty) in program.results(signature).iter().enumerate() {
            let value = widened(cursor, ty, results[index]);
            cursor.ins().store(trusted, value, values, 8 * index as i32);
        }
        let returned = integer(cursor, I32, Status::Returned as i64);
        cursor.ins().return_(&[returned]);
    };
    if !plan.returns_status[function] {
        store(&mut cursor);
        return;
    }
    let Some(&status) = results.last() else {
        return;
    };
    let left = cursor.func.dfg.make_block();
    let returned = cursor.func.dfg.make_block();
    cursor.func.layout.append_block(left);
    cursor.func.layout.append_block(returned);
    cursor.ins().brif(status, left, &[], returned, &[]);
    cursor.goto_bottom(left);
    cursor.ins().return_(&[status]);
    cursor.goto_bottom(returned);
    store(&mut cursor);
}

/// The 64 bits of a value, zero-extended; a 64-bit float stays one.
fn widened(cursor: &mut FuncCursor, ty: Type, value: Value) -> Value {
    match ty {
        Type::I32 => cursor.ins().uextend(I64, value),
        Type::F32 => {
            let bits = cursor.ins().bitcast(I32, MemFlagsData::new(), value);
            cursor.ins().uextend(I64, bits)
        }
        Type::I64 | Type::Ref | Type::F64 => value,
    }
}

impl<'a> Translation<'a> {
    fn run(&mut self, entry: ir::Block) {
        let program = self.program;
        let record = &program.functions[self.function];
        let Order {
            blocks: order,
            depth,
        } = Order::new(program, self.function);
        let blocks = program.blocks_of(record);
        self.depth = depth;
        self.blocks[0] = Some(entry);
        for &index in &order {
            let block = match self.blocks[index] {
                Some(block) => block,
                None => {
                    let block = self.func.dfg.make_block();
                    self.blocks[index] = Some(block);
                    block
                }
            };
            let record = &blocks[index];
            for at in record.first_op..record.first_op + record.parameter_count {
                let ty = self.result_type(at);
                let value = self.func.dfg.append_block_param(block, ty);
                self.set(at, value);
            }
        }
        self.prologue(&order);
        for &index in &order {
            let Some(block) = self.blocks[index] else {
                continue;
            };
            self.at_block = index;
            if index != 0 {
                self.func.layout.append_block(block);
                self.current = block;
            }
            let record = &blocks[index];
            for at in record.first_op + record.parameter_count..record.first_op + record.op_count {
                self.op(at);
            }
        }
        self.exits();
    }

    /// Takes one from the depth, and reads what stays the same for the whole function.
    fn prologue(&mut self, order: &[usize]) {
        let flags = self.flags(Kind::Context);
        let (context, at) = (self.context, offset::DEPTH as i32);
        let depth = self.at().ins().load(I64, flags, context, at);
        let one = self.integer(I64, 1);
        let less = self.at().ins().isub(depth, one);
        self.at().ins().store(flags, less, context, at);
        let zero = self.integer(I64, 0);
        let too_deep = self.at().ins().icmp(IntCC::SignedLessThan, less, zero);
        self.leave_if(too_deep, Leaving::TooDeep);
        let blocks = self
            .program
            .blocks_of(&self.program.functions[self.function]);
        for &index in order {
            let block = &blocks[index];
            for at in block.first_op..block.first_op + block.op_count {
                let op = self.program.ops[at as usize];
                let info = op.code.info();
                match info.shape {
                    Shape::Load | Shape::Store | Shape::Update | Shape::CompareExchange
                        if !info.has(flags::RAW) =>
                    {
                        let region = op.region();
                        if !self.bases.contains_key(&region) {
                            let at = offset::REGIONS + 16 * region as u32;
                            let base = self.context_word(at);
                            self.bases.insert(region, base);
                        }
                    }
                    Shape::SlotGet | Shape::SlotSet if self.slots.is_none() => {
                        self.slots = Some(self.context_word(offset::SLOTS));
                    }
                    _ => {}
                }
            }
        }
    }

    /// A cursor behind what is there of the current block.
    pub(crate) fn at(&mut self) -> FuncCursor<'_> {
        FuncCursor::new(self.func).at_bottom(self.current)
    }

    pub(crate) fn integer(&mut self, ty: ir::Type, value: i64) -> Value {
        integer(&mut self.at(), ty, value)
    }

    /// The flags of an access to a kind of memory.
    pub(crate) fn flags(&self, kind: Kind) -> MemFlagsData {
        MemFlagsData::trusted().with_alias_region(Some(self.kinds[kind as usize]))
    }

    /// A word of the context that does not change during a run.
    /// How long a region is now, which is read again wherever a call may have changed it.
    pub(crate) fn region_size(&mut self, region: usize) -> Value {
        let (context, flags) = (self.context, self.flags(Kind::Context));
        let at = offset::REGIONS + 16 * region as u32 + 8;
        self.at().ins().load(I64, flags, context, at.cast_signed())
    }

    fn context_word(&mut self, at: u32) -> Value {
        let context = self.context;
        self.constant_word(context, at as i32)
    }

    /// A word of memory that does not change during a run, so that reads of it may move.
    fn constant_word(&mut self, base: Value, at: i32) -> Value {
        let flags = MemFlagsData::trusted().with_readonly().with_can_move();
        self.at().ins().load(I64, flags, base, at)
    }

    pub(crate) fn base(&mut self, region: usize) -> Value {
        self.bases[&region]
    }

    fn slots(&mut self) -> Value {
        match self.slots {
            Some(slots) => slots,
            // Exits alone use them: read in the cold block.
            None => self.context_word(offset::SLOTS),
        }
    }

    fn result_type(&self, at: u32) -> ir::Type {
        let ty = self.program.ops[at as usize].result();
        ty.map_or(I64, type_of)
    }

    fn set(&mut self, at: u32, value: Value) {
        self.known[at as usize - self.first_op].value = Some(value);
    }

    /// The value of an op; a comparison's is widened where it was made, at the first use that needs it.
    pub(crate) fn value(&mut self, at: u32) -> Value {
        let known = self.known[at as usize - self.first_op];
        if let Some(value) = known.value {
            return value;
        }
        let condition = known.condition.expect("verified: defined before its use");
        let made: Inst = self.func.dfg.value_def(condition).unwrap_inst();
        let mut cursor = FuncCursor::new(self.func).after_inst(made);
        let value = cursor.ins().uextend(I32, condition);
        self.set(at, value);
        value
    }

    /// Something that is zero exactly where the value of an op is.
    fn condition(&mut self, at: u32) -> Value {
        match self.known[at as usize - self.first_op].condition {
            Some(condition) => condition,
            None => self.value(at),
        }
    }

    fn values(&mut self, list: &[u32]) -> Vec<Value> {
        list.iter().map(|&at| self.value(at)).collect()
    }

    /// The value of an integer constant, if the op is one.
    pub(crate) fn constant(&self, at: u32) -> Option<i64> {
        let op = self.program.ops[at as usize];
        match op.code {
            Opcode::I32Const => Some(i64::from(op.constant() as i32)),
            Opcode::I64Const => Some(op.constant().cast_signed()),
            _ => None,
        }
    }

    fn leaving_block(&mut self, leaving: Leaving) -> ir::Block {
        if let Some(&block) = self.leaving.get(&leaving) {
            return block;
        }
        let block = self.func.dfg.make_block();
        self.leaving.insert(leaving, block);
        self.leaving_order.push(leaving);
        block
    }

    fn continuation(&mut self) -> ir::Block {
        let next = self.func.dfg.make_block();
        self.func.layout.append_block(next);
        next
    }

    /// Leaves if a condition is not zero. The block that leaves is the first successor: Cranelift then visits it
    /// last, and it gives up hoisting out of a loop once it has visited a block outside.
    fn leave_if(&mut self, condition: Value, leaving: Leaving) {
        let left = self.leaving_block(leaving);
        let next = self.continuation();
        self.at().ins().brif(condition, left, &[], next, &[]);
        self.current = next;
    }

    fn leave_unless(&mut self, condition: Value, leaving: Leaving) {
        let fails = self.negated(condition);
        self.leave_if(fails, leaving);
    }

    /// Something that is zero exactly where a condition is not. A comparison is made again, the other way
    /// round, which costs nothing where the first is not used.
    fn negated(&mut self, condition: Value) -> Value {
        let dfg = &self.func.dfg;
        let made = dfg.value_def(condition).inst();
        match made.map(|made| dfg.insts[made]) {
            Some(InstructionData::IntCompare { args, cond, .. }) => {
                self.at().ins().icmp(cond.complement(), args[0], args[1])
            }
            Some(InstructionData::FloatCompare { args, cond, .. }) => {
                self.at().ins().fcmp(cond.complement(), args[0], args[1])
            }
            _ => {
                let ty = dfg.value_type(condition);
                let zero = self.integer(ty, 0);
                self.at().ins().icmp(IntCC::Equal, condition, zero)
            }
        }
    }

    /// Leaves through an exit if a condition is not zero.
    pub(crate) fn exit_if(&mut self, condition: Value, exit: u32) {
        self.leave_if(condition, Leaving::Exit(exit));
    }

    fn op(&mut self, at: u32) {
        let op = self.program.ops[at as usize];
        match op.code.info().shape {
            Shape::Parameter => {}
            Shape::Result => {
                let value = self.last_call[op.a as usize];
                self.set(at, value);
            }
            Shape::Constant => {
                let bits = op.constant();
                let value = match op.code {
                    Opcode::I32Const => self.integer(I32, bits.cast_signed()),
                    Opcode::I64Const => self.integer(I64, bits.cast_signed()),
                    Opcode::F32Const => {
                        let value = Ieee32::with_bits(bits as u32);
                        self.at().ins().f32const(value)
                    }
                    _ => self.at().ins().f64const(Ieee64::with_bits(bits)),
                };
                self.set(at, value);
            }
            Shape::Unary | Shape::Binary => self.scalar(at, &op),
            Shape::Tag => {
                let (tag, a) = (self.program.tag_of(&op), self.value(op.a));
                let mut cursor = FuncCursor::new(self.func).at_bottom(self.current);
                match scalar::tagged(&mut cursor, op.code, tag, a) {
                    Scalar::Condition(condition) => {
                        self.known[at as usize - self.first_op].condition = Some(condition);
                    }
                    Scalar::Value(value) | Scalar::Checked(value, _) => self.set(at, value),
                }
            }
            Shape::Select => {
                let condition = self.condition(op.a);
                let (b, c) = (self.value(op.b), self.value(op.c));
                let value = self.at().ins().select(condition, b, c);
                self.set(at, value);
            }
            Shape::Load | Shape::Store | Shape::Update | Shape::CompareExchange => {
                if let Some(value) = memory::access(self, &op) {
                    self.set(at, value);
                }
            }
            Shape::Fence => {
                self.at().ins().fence();
            }
            Shape::RegionSize => {
                let region = self.program.regions[op.region()];
                let value = if region.grows() {
                    self.region_size(op.region())
                } else {
                    self.integer(I64, region.size.cast_signed())
                };
                self.set(at, value);
            }
            Shape::SlotGet => {
                let (slots, flags) = (self.slots(), self.flags(Kind::Slots));
                let ty = self.result_type(at);
                let value = self.at().ins().load(ty, flags, slots, 8 * op.c as i32);
                self.set(at, value);
            }
            Shape::SlotSet => {
                let value = self.value(op.a);
                let slots = self.slots();
                self.store_slot(slots, op.c, op.code.info().operands[0], value);
            }
            Shape::FunctionIndex => {
                let value = self.integer(I64, i64::from(op.b));
                self.set(at, value);
            }
            Shape::Guard => {
                let condition = self.condition(op.a);
                let leaving = Leaving::Exit(op.c);
                match op.code {
                    Opcode::GuardNot => self.leave_if(condition, leaving),
                    _ => self.leave_unless(condition, leaving),
                }
            }
            Shape::Poll => {
                let context = self.context;
                let by = self.integer(I64, i64::from(offset::INTERRUPT));
                let address = self.at().ins().iadd(context, by);
                // Atomic, or a second read might be taken for the first.
                let flags = self.flags(Kind::Context);
                let interrupt = self.at().ins().atomic_load(I32, flags, address);
                self.leave_if(interrupt, Leaving::Exit(op.c));
            }
            Shape::Call | Shape::CallCell | Shape::CallIndirect => self.call(at, &op),
            Shape::CallHost => self.call_host(at, &op),
            Shape::Jump => {
                let (block, arguments) = self.edge(self.program.edge(op.b));
                self.at().ins().jump(block, &arguments);
            }
            Shape::Branch => self.branch(&op),
            Shape::Switch => self.switch(&op),
            Shape::Return => {
                let mut values = self.values(self.program.list(op.b));
                self.give_depth_back();
                if self.plan.returns_status[self.function] {
                    let returned = self.integer(I32, Status::Returned as i64);
                    values.push(returned);
                }
                self.at().ins().return_(&values);
            }
            Shape::Exit => {
                let block = self.leaving_block(Leaving::Exit(op.c));
                self.at().ins().jump(block, &[]);
            }
            Shape::ReturnCall => {
                let values = self.values(self.program.list(op.b));
                self.give_depth_back();
                let callee = self.callee(op.a as usize);
                let mut arguments = vec![self.context];
                arguments.extend(values);
                self.at().ins().return_call(callee, &arguments);
            }
        }
    }

    fn scalar(&mut self, at: u32, op: &Op) {
        let a = self.value(op.a);
        let b = match op.code.info().shape {
            Shape::Binary => self.value(op.b),
            _ => a,
        };
        let mut cursor = FuncCursor::new(self.func).at_bottom(self.current);
        let made = scalar::total(&mut cursor, op.code, a, b)
            .or_else(|| scalar::checked(&mut cursor, op.code, a, b));
        match made {
            Some(Scalar::Value(value)) => self.set(at, value),
            Some(Scalar::Condition(condition)) => {
                self.known[at as usize - self.first_op].condition = Some(condition);
            }
            Some(Scalar::Checked(value, leaves)) => {
                self.leave_if(leaves, Leaving::Exit(op.c));
                self.set(at, value);
            }
            None => {
                let value = match scalar::division_type(op.code) {
                    Some(ty) => {
                        self.check_division(op, ty, a, b);
                        scalar::divide(&mut self.at(), op.code, a, b)
                    }
                    None => {
                        let fits = scalar::truncates(&mut self.at(), op.code, a);
                        for condition in fits.into_iter().flatten() {
                            self.leave_unless(condition, Leaving::Exit(op.c));
                        }
                        scalar::truncate(&mut self.at(), op.code, a)
                    }
                };
                self.set(at, value);
            }
        }
    }

    /// Leaves where the divisor is zero or the quotient does not fit; a constant divisor is looked at here.
    fn check_division(&mut self, op: &Op, ty: ir::Type, a: Value, b: Value) {
        let divisor = self.constant(op.b);
        if divisor.is_none_or(|divisor| divisor == 0) {
            self.leave_unless(b, Leaving::Exit(op.c));
        }
        let Some(least) = scalar::least_dividend(op.code) else {
            return;
        };
        if divisor.is_none_or(|divisor| divisor == -1) {
            let minus_one = self.integer(ty, -1);
            let by_minus_one = self.at().ins().icmp(IntCC::Equal, b, minus_one);
            let rare = self.continuation();
            let next = self.continuation();
            self.func.layout.set_cold(rare);
            self.at().ins().brif(by_minus_one, rare, &[], next, &[]);
            self.current = rare;
            let least = self.integer(ty, least);
            let overflows = self.at().ins().icmp(IntCC::Equal, a, least);
            let left = self.leaving_block(Leaving::Exit(op.c));
            self.at().ins().brif(overflows, left, &[], next, &[]);
            self.current = next;
        }
    }

    fn edge(&mut self, edge: Edge) -> (ir::Block, Vec<BlockArg>) {
        let first = self.program.functions[self.function].first_block;
        let block = self.blocks[(edge.block - first) as usize];
        let arguments = edge
            .arguments
            .iter()
            .map(|&at| BlockArg::Value(self.value(at)))
            .collect();
        (block.expect("reachable blocks have one"), arguments)
    }

    /// Cranelift visits the first successor last, so the one that leaves the loop goes first: see [`Self::leave_if`].
    fn branch(&mut self, op: &Op) {
        let mut condition = self.condition(op.a);
        let (mut first, mut second) = (self.program.edge(op.b), self.program.edge(op.c));
        let base = self.program.functions[self.function].first_block;
        let depth = |edge: Edge| self.depth[(edge.block - base) as usize];
        let here = self.depth[self.at_block];
        if depth(first) >= here && depth(second) < here {
            core::mem::swap(&mut first, &mut second);
            condition = self.negated(condition);
        }
        let (then, then_arguments) = self.edge(first);
        let (other, other_arguments) = self.edge(second);
        let mut cursor = self.at();
        let builder = cursor.ins();
        builder.brif(condition, then, &then_arguments, other, &other_arguments);
    }

    fn switch(&mut self, op: &Op) {
        let index = self.value(op.a);
        let mut calls: Vec<BlockCall> = Vec::new();
        for &at in switch_edges(self.program, op) {
            let (block, arguments) = self.edge(self.program.edge(at));
            calls.push(self.func.dfg.block_call(block, &arguments));
        }
        let Some((&default, table)) = calls.split_last() else {
            return;
        };
        let table = JumpTableData::new(default, table);
        let table = self.func.create_jump_table(table);
        self.at().ins().br_table(index, table);
    }

    fn give_depth_back(&mut self) {
        let flags = self.flags(Kind::Context);
        let (context, at) = (self.context, offset::DEPTH as i32);
        let depth = self.at().ins().load(I64, flags, context, at);
        let one = self.integer(I64, 1);
        let more = self.at().ins().iadd(depth, one);
        self.at().ins().store(flags, more, context, at);
    }

    fn store_slot(&mut self, slots: Value, slot: u32, ty: Type, value: Value) {
        let flags = self.flags(Kind::Slots);
        let mut cursor = self.at();
        let value = widened(&mut cursor, ty, value);
        cursor.ins().store(flags, value, slots, 8 * slot as i32);
    }

    fn set_exit_number(&mut self, number: Value) {
        let flags = self.flags(Kind::Context);
        let (context, at) = (self.context, offset::EXIT_NUMBER as i32);
        self.at().ins().store(flags, number, context, at);
    }

    /// Abandons all frames.
    fn abandon(&mut self, status: Status) {
        let leave = match self.leave {
            Some(leave) => leave,
            None => {
                let leave = self
                    .module
                    .declare_func_in_func(self.names.leave, self.func);
                self.leave = Some(leave);
                leave
            }
        };
        let context = self.context;
        let status = self.integer(I32, status as i64);
        self.at().ins().call(leave, &[context, status]);
        self.at().ins().trap(TrapCode::unwrap_user(1));
    }

    /// The cold blocks at the end.
    fn exits(&mut self) {
        for leaving in core::mem::take(&mut self.leaving_order) {
            let block = self.leaving[&leaving];
            self.func.layout.append_block(block);
            self.func.layout.set_cold(block);
            self.current = block;
            let (exit, innermost) = match leaving {
                Leaving::Exit(exit) => (exit, true),
                Leaving::AfterCallee(exit) => (exit, false),
                Leaving::TooDeep => {
                    self.abandon(Status::TooDeep);
                    continue;
                }
            };
            let exit = self.program.exits[exit as usize];
            let snapshot = self.program.snapshot(&exit);
            if !snapshot.is_empty() {
                let slots = self.slots();
                for pair in snapshot.chunks_exact(2) {
                    let mut value = self.value(pair[1]);
                    let mut ty = self.program.ops[pair[1] as usize].result();
                    if let Some(tag) = place_tag(pair[0])
                        && let Some(code) = ty.and_then(Opcode::boxes)
                    {
                        let tag = self.program.tags[usize::from(tag)];
                        let mut cursor = FuncCursor::new(self.func).at_bottom(self.current);
                        if let Scalar::Value(word) = scalar::tagged(&mut cursor, code, tag, value) {
                            (value, ty) = (word, Some(Type::I64));
                        }
                    }
                    let slot = place_slot(pair[0]);
                    self.store_slot(slots, slot, ty.unwrap_or(Type::I64), value);
                }
            }
            if innermost {
                let number = self.integer(I32, i64::from(exit.number));
                self.set_exit_number(number);
            }
            match exit.kind {
                ExitKind::Trap => self.abandon(Status::Trapped),
                ExitKind::Deoptimize => self.deoptimize(),
            }
        }
    }

    fn deoptimize(&mut self) {
        let signature = self.program.functions[self.function].signature;
        let mut values = Vec::new();
        for &ty in self.program.results(signature) {
            let mut cursor = self.at();
            values.push(match ty {
                Type::F32 => cursor.ins().f32const(Ieee32::with_bits(0)),
                Type::F64 => cursor.ins().f64const(Ieee64::with_bits(0)),
                _ => integer(&mut cursor, type_of(ty), 0),
            });
        }
        let status = self.integer(I32, Status::Deoptimized as i64);
        values.push(status);
        self.at().ins().return_(&values);
    }
}
