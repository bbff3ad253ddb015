//! Well-typed random programs, each from a seed, that try the compiler where it is likely to be wrong.
//!
//! Takes a seed; promises a program that verifies, mostly ends of its own accord, and whose results depend on
//! many of its values. The shape of each function is drawn first: blocks with forward edges that may skip others,
//! backward edges to any block (so loops nest, cross, and have several entries), switches, unreachable blocks. A
//! backward edge is taken only while a counter lasts: the parameter of a loop's head, or a guest slot where the
//! target does not dominate. Then blocks are filled in an order in which dominators come first; in the end blocks and
//! functions are shuffled.
//!
//! The bits of a float that arithmetic made are not observed but through `canonicalize`, since the sign and payload of
//! a NaN are unspecified; results and snapshots hold them as they are, and are compared as floats.

use crate::draft::{Draft, DraftBlock, DraftExit, DraftFunction, DraftOp, Value, constant_of};
use crate::random::Random;
use patchjit::ir::ExitKind;
use patchjit::ops::{Opcode, Shape, flags};
use patchjit::types::Type;
use std::collections::{HashMap, HashSet};

/// The guest slot that counts backward edges which no parameter counts.
pub const COUNTER_SLOT: u32 = 0;

/// The guest slot that holds the address of [`RAW_BYTES`] bytes for raw accesses; nothing else reads or writes it.
pub const RAW_SLOT: u32 = 1;

/// How many bytes raw accesses may reach.
pub const RAW_BYTES: u64 = 4096;

/// The first guest slot that programs use as they like.
const FREE_SLOT: u32 = 2;

/// How many backward edges a run takes that no parameter counts.
const UNCOUNTED_EDGES: u64 = 60;

/// How deep a function calls itself.
const RECURSION: u64 = 3;

/// What the ends of blocks look like before they are filled.
#[derive(Clone, Debug)]
enum End {
    Leave,
    Jump(usize),
    Branch(usize, usize),
    Switch(Vec<usize>),
}

impl End {
    fn targets(&self) -> Vec<usize> {
        match self {
            End::Leave => Vec::new(),
            End::Jump(to) => vec![*to],
            End::Branch(yes, no) => vec![*yes, *no],
            End::Switch(targets) => targets.clone(),
        }
    }
}

/// What is drawn once for a program.
#[derive(Clone, Debug)]
struct Style {
    /// Ops in a block, about.
    ops: usize,
    /// Blocks in a function, at most.
    blocks: usize,
    /// Values that are made at the start and used at the end.
    pressure: usize,
    /// Of a hundred ops, how many are of each kind: scalar, memory, slot, call, guard, constant.
    weights: [usize; 6],
    /// Of a hundred operands that could make an op leave, how many are left to chance.
    risk: usize,
    /// Of a hundred operands, how many are recent values.
    recent: usize,
    /// Whether there are raw accesses.
    raw: bool,
    /// The types that values mostly have.
    types: Vec<Type>,
}

impl Style {
    fn draw(random: &mut Random) -> Style {
        let types: &[Type] = match random.below(6) {
            0 => &[Type::I64],
            1 => &[Type::I32, Type::I64],
            2 => &[Type::F64, Type::F32, Type::I32],
            _ => &Type::ALL,
        };
        let weights = match random.below(5) {
            0 => [80, 5, 5, 2, 3, 5],
            1 => [40, 40, 5, 5, 5, 5],
            2 => [40, 10, 10, 25, 10, 5],
            3 => [50, 10, 5, 5, 20, 10],
            _ => [60, 12, 6, 6, 8, 8],
        };
        Style {
            ops: *random.pick(&[1, 3, 6, 12, 25]),
            blocks: *random.pick(&[1, 3, 6, 10, 16]),
            pressure: *random.pick(&[0, 0, 4, 16, 24, 40]),
            weights,
            risk: *random.pick(&[0, 1, 5, 20]),
            recent: *random.pick(&[10, 40, 70]),
            raw: random.percent(15),
            types: types.to_vec(),
        }
    }
}

/// What later functions know of one that is done.
#[derive(Clone, Debug)]
struct Callee {
    number: usize,
    parameters: Vec<Type>,
    results: Vec<Type>,
    may_deoptimize: bool,
}

/// The program of a seed.
///
/// # Panics
///
/// If the draft cannot be made: a fault of this module.
pub fn generate(seed: u64) -> Draft {
    let mut random = Random::new(seed ^ 0x7061_7463_686a_6974);
    let style = Style::draw(&mut random);
    let mut draft = Draft {
        slot_count: FREE_SLOT + random.below(20) as u32 + 1,
        ..Draft::default()
    };
    for _ in 0..random.below(4) {
        let size = *random.pick(&[0, 1, 3, 7, 8, 15, 16, 64, 100, 4096, 70_001]);
        draft.regions.push(size);
    }
    if random.percent(70) {
        use Type::{F64, I64};
        draft.hosts = vec![
            ("add_one", vec![I64], vec![I64]),
            ("mix", vec![I64, I64], vec![I64]),
            ("scale", vec![F64, F64], vec![F64]),
            ("fail_if", vec![I64], vec![]),
            ("print_i64", vec![I64], vec![]),
            ("print_f64", vec![F64], vec![]),
        ];
    }
    // Few result lists, so that tail calls and indirect calls find partners.
    let mut lists = vec![vec![Type::I64]];
    for _ in 0..random.below(3) {
        lists.push(types(&mut random, &style, 6));
    }
    let count = 1 + random.below(5);
    let mut callees: Vec<Callee> = Vec::new();
    for number in 0..count {
        let mut parameters = match random.below(3) {
            0 if !callees.is_empty() => random.pick(&callees).parameters.clone(),
            _ => types(&mut random, &style, 8),
        };
        let results = random.pick(&lists).clone();
        let recursive = random.percent(25);
        if recursive {
            parameters.retain(|&ty| ty.is_float());
            parameters.insert(0, Type::I64);
        }
        draft.functions.push(DraftFunction {
            results: results.clone(),
            ..DraftFunction::default()
        });
        let builder = Builder {
            random: &mut random,
            style: &style,
            draft: &draft,
            callees: &callees,
            number,
            function: DraftFunction {
                results: results.clone(),
                ..DraftFunction::default()
            },
            types: HashMap::new(),
            exact: HashSet::new(),
            ends: Vec::new(),
            dominators: Vec::new(),
            heads: HashMap::new(),
            reachable: Vec::new(),
            scope: Vec::new(),
            block: 0,
            raw: None,
            private: HashSet::new(),
            recursion: None,
            held: Vec::new(),
            deoptimizes: false,
        };
        let (function, may_deoptimize) = builder.build(&parameters, recursive);
        draft.functions[number] = function;
        callees.push(Callee {
            number,
            parameters,
            results,
            may_deoptimize,
        });
    }
    draft.order = (0..count).collect();
    if random.percent(50) {
        shuffle(&mut random, &mut draft.order);
    }
    draft
}

fn shuffle<T>(random: &mut Random, list: &mut [T]) {
    for at in (1..list.len()).rev() {
        list.swap(at, random.below(at + 1));
    }
}

/// A list of types, with at most eight in each bank.
fn types(random: &mut Random, style: &Style, most: usize) -> Vec<Type> {
    let length = *random.pick(&[0, 1, 1, 2, 3, most, 2 * most]);
    let mut list: Vec<Type> = Vec::new();
    for _ in 0..random.below(length + 1) {
        let ty = any_type(random, style);
        if list
            .iter()
            .filter(|other| other.is_float() == ty.is_float())
            .count()
            < 8
        {
            list.push(ty);
        }
    }
    list
}

fn any_type(random: &mut Random, style: &Style) -> Type {
    if random.percent(85) {
        *random.pick(&style.types)
    } else {
        *random.pick(&Type::ALL)
    }
}

/// Bits of a value of this type, often at a bound of something.
pub fn interesting_bits(random: &mut Random, ty: Type) -> u64 {
    match ty {
        Type::I32 => match random.below(4) {
            0 => random.below(10) as u64,
            1 => u64::from((random.below(20) as i32 - 10) as u32),
            2 => u64::from(*random.pick::<u32>(&[
                0,
                1,
                0x7f,
                0x80,
                0xff,
                0x7fff,
                0x8000,
                0xffff,
                0x7fff_ffff,
                0x8000_0000,
                0x8000_0001,
                0xffff_ffff,
                0x1234_5678,
            ])),
            _ => random.bits() & 0xffff_ffff,
        },
        Type::I64 | Type::Ref => match random.below(5) {
            0 => random.below(10) as u64,
            1 => (random.below(20) as i64 - 10) as u64,
            2 => *random.pick(&[
                0x7f,
                0x80,
                0x7fff_ffff,
                0x8000_0000,
                0xffff_ffff,
                0x1_0000_0000,
                0xffff_ffff_7fff_ffff,
                0xffff_ffff_8000_0000,
                0x7fff_ffff_ffff_ffff,
                0x8000_0000_0000_0000,
                u64::MAX,
            ]),
            3 => 1 << random.below(64),
            _ => random.bits(),
        },
        Type::F32 => u64::from(match random.below(4) {
            0 => (random.below(9) as f32 - 4.0).to_bits(),
            1 => (*random.pick(&[
                0.0,
                -0.0,
                0.5,
                1.5,
                2.5,
                -0.5,
                f32::INFINITY,
                f32::NEG_INFINITY,
                f32::NAN,
                f32::MAX,
                f32::MIN_POSITIVE,
                2147483648.0,
                -2147483648.0,
                2147483520.0,
                4294967296.0,
                9.223372e18,
                1.8446744e19,
            ]))
            .to_bits(),
            2 => (random.bits() as i32 as f32 / 256.0).to_bits(),
            _ => random.bits() as u32,
        }),
        Type::F64 => match random.below(4) {
            0 => (random.below(9) as f64 - 4.0).to_bits(),
            1 => (*random.pick(&[
                0.0,
                -0.0,
                0.5,
                1.5,
                2.5,
                -0.5,
                f64::INFINITY,
                f64::NEG_INFINITY,
                f64::NAN,
                f64::MAX,
                f64::MIN_POSITIVE,
                2147483647.0,
                2147483647.5,
                -2147483648.9,
                -2147483649.0,
                4294967295.9,
                4294967296.0,
                9223372036854774784.0,
                9223372036854775808.0,
                18446744073709551616.0,
            ]))
            .to_bits(),
            2 => (random.bits() as i64 as f64 / 65536.0).to_bits(),
            _ => random.bits(),
        },
    }
}

/// Fills one function.
struct Builder<'g> {
    random: &'g mut Random,
    style: &'g Style,
    draft: &'g Draft,
    callees: &'g [Callee],
    number: usize,
    function: DraftFunction,
    types: HashMap<Value, Type>,
    /// Floats whose bits are specified even where they are NaNs.
    exact: HashSet<Value>,
    ends: Vec<End>,
    /// For each block: the blocks on every way to it, itself included.
    dominators: Vec<HashSet<usize>>,
    /// Heads of loops, with the value that counts.
    heads: HashMap<usize, Value>,
    reachable: Vec<bool>,
    /// Values that may be used here.
    scope: Vec<Value>,
    block: usize,
    /// The address for raw accesses.
    raw: Option<Value>,
    /// Values that must not be observed: addresses.
    private: HashSet<Value>,
    /// How deep this function may call itself yet.
    recursion: Option<Value>,
    /// Values made at the start, to be used at the end.
    held: Vec<Value>,
    deoptimizes: bool,
}

impl Builder<'_> {
    fn build(mut self, parameters: &[Type], recursive: bool) -> (DraftFunction, bool) {
        self.draw_shape();
        for number in 0..self.ends.len() {
            let list = match number {
                0 => parameters.to_vec(),
                _ => {
                    let most = *self.random.pick(&[0, 0, 2, 5, 12]);
                    let mut list = types(self.random, self.style, most);
                    if self.random.percent(3) {
                        // More than travel in registers.
                        list.extend((0..20).map(|_| any_type(self.random, self.style)));
                    }
                    list
                }
            };
            let mut block = DraftBlock::default();
            if self.is_head(number) {
                let ty = *self.random.pick(&[Type::I32, Type::I64]);
                let value = self.new_value(ty);
                block.parameters.push((value, ty));
                self.heads.insert(number, value);
            }
            for ty in list {
                let value = self.new_value(ty);
                block.parameters.push((value, ty));
            }
            self.function.blocks.push(block);
        }
        for number in 0..self.ends.len() {
            self.fill(number, recursive);
        }
        let mut order: Vec<usize> = (1..self.function.blocks.len()).collect();
        if self.random.percent(40) {
            shuffle(self.random, &mut order);
        }
        order.insert(0, 0);
        self.function.order = order;
        (self.function, self.deoptimizes)
    }

    // The graph.

    fn draw_shape(&mut self) {
        let count = 1 + self.random.below(self.style.blocks);
        let ahead = |random: &mut Random, from: usize| match random.below(3) {
            0 => from + 1,
            _ => from + 1 + random.below((count - from - 1).min(4)),
        };
        for number in 0..count {
            let last = number + 1 == count;
            let end = match self.random.below(12) {
                _ if last => End::Leave,
                0 if number > 0 => End::Leave,
                0..=2 => End::Jump(ahead(self.random, number)),
                3..=6 => End::Branch(ahead(self.random, number), ahead(self.random, number)),
                7..=9 if number > 0 => {
                    // Backward; which of the two is chosen where it is filled.
                    let back = 1 + self.random.below(number);
                    End::Branch(back, ahead(self.random, number))
                }
                _ => {
                    let mut targets = Vec::new();
                    for _ in 0..self.random.below(5) {
                        if number > 0 && self.random.percent(25) {
                            targets.push(1 + self.random.below(number));
                        } else {
                            targets.push(ahead(self.random, number));
                        }
                    }
                    targets.push(ahead(self.random, number));
                    End::Switch(targets)
                }
            };
            self.ends.push(end);
        }
        // Every block is reached from one before it, but for a few that nothing reaches.
        for number in 1..count {
            let reached = (0..number).any(|from| self.ends[from].targets().contains(&number));
            if !reached && self.random.percent(90) {
                let from = self.random.below(number);
                self.ends[from] = match &self.ends[from] {
                    End::Leave => End::Jump(number),
                    End::Jump(to) => End::Branch(*to, number),
                    End::Branch(yes, no) => End::Switch(vec![*yes, number, *no]),
                    End::Switch(targets) => {
                        let mut targets = targets.clone();
                        targets.insert(0, number);
                        End::Switch(targets)
                    }
                };
            }
        }
        self.find_dominators();
    }

    fn find_dominators(&mut self) {
        let count = self.ends.len();
        self.reachable = vec![false; count];
        let mut work = vec![0];
        while let Some(number) = work.pop() {
            if !std::mem::replace(&mut self.reachable[number], true) {
                work.extend(self.ends[number].targets());
            }
        }
        let all: HashSet<usize> = (0..count).collect();
        self.dominators = vec![all.clone(); count];
        self.dominators[0] = HashSet::from([0]);
        let mut changed = true;
        while changed {
            changed = false;
            for number in 1..count {
                let mut met = all.clone();
                for from in 0..count {
                    if self.reachable[from] && self.ends[from].targets().contains(&number) {
                        met.retain(|block| self.dominators[from].contains(block));
                    }
                }
                met.insert(number);
                if met != self.dominators[number] {
                    self.dominators[number] = met;
                    changed = true;
                }
            }
        }
    }

    /// Whether a backward edge from a block that it dominates leads here.
    fn is_head(&self, number: usize) -> bool {
        (number..self.ends.len()).any(|from| self.is_counted(from, number))
    }

    fn is_counted(&self, from: usize, to: usize) -> bool {
        to > 0
            && from >= to
            && self.reachable[from]
            && self.dominators[from].contains(&to)
            && self.ends[from].targets().contains(&to)
    }

    // Values.

    fn new_value(&mut self, ty: Type) -> Value {
        let value = self.function.value();
        self.types.insert(value, ty);
        value
    }

    fn push(&mut self, op: DraftOp) {
        self.function.blocks[self.block].ops.push(op);
    }

    /// Appends an op that gives a value, which nothing picks by chance yet.
    fn give(&mut self, mut op: DraftOp, ty: Type) -> Value {
        let value = self.new_value(ty);
        op.results = vec![(value, ty)];
        self.push(op);
        value
    }

    fn constant(&mut self, ty: Type, bits: u64) -> Value {
        let mut op = DraftOp::new(constant_of(ty));
        op.immediate = if ty.bits() == 32 {
            bits & 0xffff_ffff
        } else {
            bits
        };
        if ty == Type::Ref {
            let bits = self.give(op, Type::I64);
            return self.unary(Opcode::RefFromI64, bits);
        }
        let value = self.give(op, ty);
        self.exact.insert(value);
        value
    }

    fn any_constant(&mut self, ty: Type) -> Value {
        let bits = interesting_bits(self.random, ty);
        self.constant(ty, bits)
    }

    fn unary(&mut self, code: Opcode, a: Value) -> Value {
        let mut op = DraftOp::new(code);
        op.operands = vec![a];
        self.give(op, code.info().result.expect("a value"))
    }

    fn binary(&mut self, code: Opcode, a: Value, b: Value) -> Value {
        let mut op = DraftOp::new(code);
        op.operands = vec![a, b];
        self.give(op, code.info().result.expect("a value"))
    }

    fn keep(&mut self, value: Value) {
        self.scope.push(value);
    }

    /// A value of this type: one in scope, or a constant.
    fn any(&mut self, ty: Type) -> Value {
        if self.random.percent(8) {
            return self.any_constant(ty);
        }
        let recent = self.scope.len().saturating_sub(8);
        if self.random.percent(self.style.recent) {
            let of_type = |value: &&Value| self.types[value] == ty;
            if let Some(&value) = self.scope[recent..].iter().rev().find(of_type) {
                return value;
            }
        }
        let all: Vec<Value> = self
            .scope
            .iter()
            .copied()
            .filter(|value| self.types[value] == ty)
            .collect();
        if all.is_empty() {
            return self.any_constant(ty);
        }
        *self.random.pick(&all)
    }

    /// A float whose bits may be observed.
    fn any_exact(&mut self, ty: Type) -> Value {
        let value = self.any(ty);
        match ty {
            Type::F32 if !self.exact.contains(&value) => {
                self.canonical(Opcode::F32Canonicalize, value)
            }
            Type::F64 if !self.exact.contains(&value) => {
                self.canonical(Opcode::F64Canonicalize, value)
            }
            _ => value,
        }
    }

    fn canonical(&mut self, code: Opcode, value: Value) -> Value {
        let value = self.unary(code, value);
        self.exact.insert(value);
        value
    }

    /// A condition: a comparison that may be fused, or any value.
    fn condition(&mut self) -> Value {
        if self.random.percent(25) {
            return self.any(Type::I32);
        }
        let codes: Vec<Opcode> = Opcode::all()
            .filter(|code| code.info().has(flags::COMPARES))
            .collect();
        let code = *self.random.pick(&codes);
        let value = self.scalar(code);
        if self.random.percent(30) {
            self.keep(value);
        }
        value
    }

    /// A condition that holds, as a rule.
    fn true_condition(&mut self) -> Value {
        if self.random.percent(self.style.risk) {
            return self.condition();
        }
        match self.random.below(4) {
            0 => {
                let (a, one) = (self.any(Type::I32), self.any_constant(Type::I32));
                let odd = self.constant(Type::I32, 1);
                let one = self.binary(Opcode::I32Or, one, odd);
                self.binary(Opcode::I32Or, a, one)
            }
            1 => {
                let a = self.any(Type::I64);
                let mask = self.constant(Type::I64, 0xff);
                let a = self.binary(Opcode::I64And, a, mask);
                let bound = self.constant(Type::I64, 0x100);
                self.binary(Opcode::I64LtU, a, bound)
            }
            2 => {
                let a = self.any(Type::I32);
                self.binary(Opcode::I32GeU, a, a)
            }
            _ => {
                let (a, zero) = (self.any(Type::I64), self.constant(Type::I64, 0));
                self.binary(Opcode::I64GeU, a, zero)
            }
        }
    }

    // Exits.

    fn exit(&mut self) -> DraftExit {
        let free = (self.draft.slot_count - FREE_SLOT) as usize;
        let count = match self.random.below(6) {
            0 => free.min(12),
            1..=3 => 0,
            _ => self.random.below(free + 1).min(4),
        };
        let mut snapshot = Vec::new();
        for _ in 0..count {
            let slot = FREE_SLOT + self.random.below(free) as u32;
            let ty = any_type(self.random, self.style);
            // Constants of a snapshot are made in front of the op.
            let value = self.any(ty);
            snapshot.push((slot, value));
        }
        let kind = if self.random.percent(50) {
            ExitKind::Trap
        } else {
            self.deoptimizes = true;
            ExitKind::Deoptimize
        };
        DraftExit {
            kind,
            number: *self
                .random
                .pick(&[0, 1, 7, 500, 70_000, 0x8000_0000, u32::MAX]),
            snapshot,
        }
    }

    // Ops.

    /// A unary or binary op over any values; where it may leave, over such that it mostly does not.
    fn scalar(&mut self, code: Opcode) -> Value {
        let info = code.info();
        let observes = matches!(code, Opcode::I32ReinterpretF32 | Opcode::I64ReinterpretF64);
        let a = if observes {
            self.any_exact(info.operands[0])
        } else {
            self.any(info.operands[0])
        };
        let mut operands = vec![a];
        if info.shape == Shape::Binary {
            let copies_sign = matches!(code, Opcode::F32Copysign | Opcode::F64Copysign);
            let b = match self.random.below(10) {
                0 => a,
                1..=3 => self.any_constant(info.operands[1]),
                _ => self.any(info.operands[1]),
            };
            operands.push(b);
            if copies_sign {
                operands[1] = self.any_exact(info.operands[1]);
            }
        }
        let mut op = DraftOp::new(code);
        if info.has(flags::LEAVES) {
            if !self.random.percent(self.style.risk) {
                self.tame(code, &mut operands);
            }
            op.exit = Some(self.exit());
        }
        let exact = operands.iter().all(|value| self.exact.contains(value))
            && matches!(
                code,
                Opcode::F32Neg
                    | Opcode::F64Neg
                    | Opcode::F32Abs
                    | Opcode::F64Abs
                    | Opcode::F32Copysign
                    | Opcode::F64Copysign
            );
        let exact = exact
            || matches!(
                code,
                Opcode::F32ReinterpretI32
                    | Opcode::F64ReinterpretI64
                    | Opcode::F32Canonicalize
                    | Opcode::F64Canonicalize
                    | Opcode::F32ConvertI32S
                    | Opcode::F64ConvertI64U
            );
        op.operands = operands;
        let value = self.give(op, info.result.expect("a value"));
        if exact {
            self.exact.insert(value);
        }
        value
    }

    /// Makes operands small, divisors not zero, floats numbers.
    fn tame(&mut self, code: Opcode, operands: &mut [Value]) {
        let info = code.info();
        for (index, operand) in operands.iter_mut().enumerate() {
            let divides = info.name.contains("div") || info.name.contains("rem");
            let (and, or, ty) = match info.operands[index] {
                Type::I32 => (Opcode::I32And, Opcode::I32Or, Type::I32),
                Type::I64 => (Opcode::I64And, Opcode::I64Or, Type::I64),
                ty => {
                    let bits = self.any(Type::I32);
                    let mask = self.constant(Type::I32, 0xffff);
                    let bits = self.binary(Opcode::I32And, bits, mask);
                    *operand = match ty {
                        Type::F32 => self.unary(Opcode::F32ConvertI32U, bits),
                        _ => self.unary(Opcode::F64ConvertI32U, bits),
                    };
                    continue;
                }
            };
            if divides && index == 0 {
                continue;
            }
            if divides && self.random.percent(30) {
                let bits = *self.random.pick(&[1, 2, 3, 7, 10, 64, 1000, 0x7fff_ffff]);
                *operand = self.constant(ty, bits);
                continue;
            }
            let mask = self.constant(ty, 0x7fff);
            *operand = self.binary(and, *operand, mask);
            if divides {
                let one = self.constant(ty, 1);
                *operand = self.binary(or, *operand, one);
            }
        }
    }

    fn any_code(&mut self, wanted: impl Fn(Opcode) -> bool) -> Opcode {
        let codes: Vec<Opcode> = Opcode::all().filter(|&code| wanted(code)).collect();
        *self.random.pick(&codes)
    }

    fn op(&mut self) {
        let mut at = self.random.below(self.style.weights.iter().sum());
        let kind = self.style.weights.iter().position(|&weight| {
            let here = at < weight;
            at = at.saturating_sub(weight);
            here
        });
        match kind {
            Some(0) => {
                let ty = any_type(self.random, self.style);
                let code = match self.random.below(10) {
                    0 => self.any_code(|code| code.info().shape == Shape::Select),
                    // Of the style's types, or any.
                    1..=7 => self.any_code(|code| {
                        let info = code.info();
                        matches!(info.shape, Shape::Unary | Shape::Binary)
                            && (info.result == Some(ty) || info.operands[0] == ty)
                    }),
                    _ => self
                        .any_code(|code| matches!(code.info().shape, Shape::Unary | Shape::Binary)),
                };
                let value = if code.info().shape == Shape::Select {
                    self.select(code)
                } else {
                    self.scalar(code)
                };
                self.keep(value);
            }
            Some(1) => self.memory(),
            Some(2) => self.slot(),
            Some(3) => self.call(),
            Some(4) => self.guard(),
            _ => {
                let ty = any_type(self.random, self.style);
                let value = self.any_constant(ty);
                self.keep(value);
            }
        }
    }

    fn select(&mut self, code: Opcode) -> Value {
        let info = code.info();
        let condition = self.condition();
        let (a, b) = (self.any(info.operands[1]), self.any(info.operands[2]));
        let mut op = DraftOp::new(code);
        op.operands = vec![condition, a, b];
        let value = self.give(op, info.operands[1]);
        if self.exact.contains(&a) && self.exact.contains(&b) {
            self.exact.insert(value);
        }
        value
    }

    fn memory(&mut self) {
        if let Some(address) = self.raw
            && self.random.percent(40)
        {
            return self.raw_access(address);
        }
        if self.random.percent(4) {
            return self.push(DraftOp::new(Opcode::Fence));
        }
        if self.draft.regions.is_empty() {
            return;
        }
        let code = self.any_code(|code| {
            let info = code.info();
            info.width > 0 && !info.has(flags::RAW)
        });
        let info = code.info();
        let region = self.random.below(self.draft.regions.len());
        let size = self.draft.regions[region];
        let width = u64::from(info.width);
        let scale = self.random.below(4) as u8;
        let room = size.saturating_sub(width);
        let mut offset = match self.random.below(5) {
            0 | 1 => 0,
            2 => self.random.below(room as usize + 1) as u64,
            3 => room,
            _ => self.random.below(64) as u64,
        };
        let index = if self.random.percent(self.style.risk) || room == 0 {
            if self.random.percent(20) {
                offset = *self.random.pick(&[0x7fff_ffbf, 0x7fff_0000, 70_000]);
            }
            if size < width && !self.random.percent(self.style.risk) {
                return;
            }
            self.any(Type::I64)
        } else {
            offset = offset.min(room);
            if info.has(flags::ATOMIC) {
                offset &= !(width - 1);
            }
            let units = (room - offset) >> scale;
            let mut mask = units + 1;
            // A mask of low bits that stays within the units.
            while !mask.is_power_of_two() {
                mask &= mask - 1;
            }
            let mut mask = mask - 1;
            if info.has(flags::ATOMIC) {
                mask &= !((width >> scale).max(1) - 1);
            }
            match self.random.below(4) {
                0 => {
                    let at = self.random.below(units as usize + 1) as u64;
                    let at = if info.has(flags::ATOMIC) {
                        at & mask
                    } else {
                        at
                    };
                    self.constant(Type::I64, at)
                }
                _ => {
                    let (any, mask) = (self.any(Type::I64), self.constant(Type::I64, mask));
                    self.binary(Opcode::I64And, any, mask)
                }
            }
        };
        let mut op = DraftOp::new(code);
        op.access = (region as u16, scale, offset as u32);
        op.operands = vec![index];
        for &ty in &info.operands[1..info.operand_count as usize] {
            let value = self.any_exact(ty);
            op.operands.push(value);
        }
        op.exit = Some(self.exit());
        self.finish_access(op);
    }

    fn raw_access(&mut self, address: Value) {
        let code = self.any_code(|code| code.info().has(flags::RAW));
        let info = code.info();
        let (any, mask) = (
            self.any(Type::I64),
            self.constant(Type::I64, RAW_BYTES / 2 - 1),
        );
        let index = self.binary(Opcode::I64And, any, mask);
        let middle = self.random.percent(50);
        let address = if self.random.percent(50) {
            let address = self.binary(Opcode::I64Add, address, index);
            self.private.insert(address);
            address
        } else {
            address
        };
        let mut op = DraftOp::new(code);
        op.operands = vec![address];
        op.immediate = match middle {
            true => self.random.below(RAW_BYTES as usize / 2 - 8) as u64,
            false => 0,
        };
        if info.shape == Shape::Store {
            let value = self.any_exact(info.operands[1]);
            op.operands.push(value);
        }
        self.finish_access(op);
    }

    fn finish_access(&mut self, op: DraftOp) {
        match op.code.info().result {
            Some(ty) => {
                let value = self.give(op, ty);
                self.exact.insert(value);
                self.keep(value);
            }
            None => self.push(op),
        }
    }

    fn slot(&mut self) {
        let free = (self.draft.slot_count - FREE_SLOT) as usize;
        let code =
            self.any_code(|code| matches!(code.info().shape, Shape::SlotGet | Shape::SlotSet));
        let info = code.info();
        let mut op = DraftOp::new(code);
        op.immediate = u64::from(FREE_SLOT) + self.random.below(free) as u64;
        match info.result {
            Some(ty) => {
                let value = self.give(op, ty);
                self.exact.insert(value);
                self.keep(value);
            }
            None => {
                op.operands = vec![self.any_exact(info.operands[0])];
                self.push(op);
            }
        }
    }

    fn guard(&mut self) {
        match self.random.below(6) {
            0 => {
                let mut op = DraftOp::new(Opcode::Poll);
                op.exit = Some(self.exit());
                self.push(op);
            }
            1 | 2 => {
                let code = self.any_code(|code| {
                    let info = code.info();
                    matches!(info.shape, Shape::Unary | Shape::Binary) && info.has(flags::LEAVES)
                });
                let value = self.scalar(code);
                self.keep(value);
            }
            3 => {
                let condition = self.true_condition();
                let exit = self.exit();
                let not = self.unary(Opcode::I32Eqz, condition);
                self.push_guard(Opcode::GuardNot, not, exit);
            }
            _ => {
                let condition = self.true_condition();
                let exit = self.exit();
                self.push_guard(Opcode::Guard, condition, exit);
            }
        }
    }

    fn push_guard(&mut self, code: Opcode, condition: Value, exit: DraftExit) {
        let mut op = DraftOp::new(code);
        op.operands = vec![condition];
        op.exit = Some(exit);
        self.push(op);
    }

    // Calls.

    fn call(&mut self) {
        let host = self.callees.is_empty() || self.random.percent(40);
        if host {
            if !self.draft.hosts.is_empty() {
                self.call_host();
            }
            return;
        }
        let callee = self.random.pick(self.callees).clone();
        let code = *self.random.pick(&[
            Opcode::Call,
            Opcode::Call,
            Opcode::CallCell,
            Opcode::CallIndirect,
        ]);
        let mut op = DraftOp::new(code);
        op.target = callee.number;
        if code == Opcode::CallIndirect {
            let index = if self.random.percent(self.style.risk) {
                let index = interesting_bits(self.random, Type::I64);
                self.constant(Type::I64, index)
            } else {
                let mut op = DraftOp::new(Opcode::FunctionIndex);
                op.target = if self.random.percent(self.style.risk) {
                    self.random.pick(self.callees).number
                } else {
                    callee.number
                };
                self.give(op, Type::I64)
            };
            op.operands.push(index);
        }
        for &ty in &callee.parameters {
            let value = self.any(ty);
            op.operands.push(value);
        }
        let needed = callee.may_deoptimize || code == Opcode::CallIndirect;
        self.finish_call(op, &callee.results, needed);
    }

    fn call_host(&mut self) {
        let hosts = &self.draft.hosts;
        let number = self.random.below(hosts.len());
        let (name, parameters, results) = hosts[number].clone();
        let mut op = DraftOp::new(Opcode::CallHost);
        op.target = number;
        for ty in parameters {
            let mut value = self.any(ty);
            if name == "fail_if" && !self.random.percent(self.style.risk) {
                let mask = self.constant(Type::I64, 0xffff_ffff_0000_0000);
                value = self.binary(Opcode::I64And, value, mask);
            }
            op.operands.push(value);
        }
        self.finish_call(op, &results, false);
    }

    fn finish_call(&mut self, mut op: DraftOp, results: &[Type], needs_exit: bool) {
        if needs_exit || self.random.percent(40) {
            op.exit = Some(self.exit());
        }
        for &ty in results {
            let value = self.new_value(ty);
            op.results.push((value, ty));
        }
        let values: Vec<Value> = op.results.iter().map(|&(value, _)| value).collect();
        self.push(op);
        for value in values {
            if self.random.percent(90) {
                self.keep(value);
            }
        }
    }

    // Blocks.

    fn fill(&mut self, number: usize, recursive: bool) {
        self.block = number;
        self.enter_scope(number);
        if number == 0 {
            self.begin(recursive);
        }
        for _ in 0..self.random.below(self.style.ops + 1) {
            self.op();
        }
        self.end(number);
    }

    /// Values of dominating blocks may be used; in a block that nothing reaches, any value of those before it.
    fn enter_scope(&mut self, number: usize) {
        self.scope.clear();
        for other in 0..=number {
            let seen = if self.reachable[number] {
                self.dominators[number].contains(&other)
            } else {
                true
            };
            if !seen {
                continue;
            }
            let block = &self.function.blocks[other];
            let parameters = block.parameters.iter();
            let results = block.ops.iter().flat_map(|op| &op.results);
            for &(value, _) in parameters.chain(results) {
                if !self.private.contains(&value) {
                    self.scope.push(value);
                }
            }
        }
    }

    fn begin(&mut self, recursive: bool) {
        if self.style.raw {
            let mut op = DraftOp::new(Opcode::I64SlotGet);
            op.immediate = u64::from(RAW_SLOT);
            let address = self.give(op, Type::I64);
            self.private.insert(address);
            self.raw = Some(address);
        }
        if recursive {
            let depth = self.function.blocks[0].parameters[0].0;
            let mask = self.constant(Type::I64, RECURSION);
            self.recursion = Some(self.binary(Opcode::I64And, depth, mask));
        }
        for _ in 0..self.style.pressure {
            let ty = any_type(self.random, self.style);
            let value = match self.random.below(4) {
                0 => self.any_constant(ty),
                _ => {
                    let code = self.any_code(|code| {
                        matches!(code.info().shape, Shape::Unary | Shape::Binary)
                            && !code.info().has(flags::LEAVES)
                            && code.info().result == Some(ty)
                    });
                    self.scalar(code)
                }
            };
            self.keep(value);
            self.held.push(value);
        }
    }

    /// Ends the block in two ways: where there is depth left, the function calls itself, elsewhere it does not.
    fn call_itself(&mut self, depth: Value) {
        let zero = self.constant(Type::I64, 0);
        let more = self.binary(Opcode::I64Ne, depth, zero);
        let first = self.function.blocks.len();
        self.function
            .blocks
            .resize(first + 2, DraftBlock::default());
        let mut op = DraftOp::new(Opcode::Branch);
        op.operands = vec![more];
        op.edges = vec![(first, Vec::new()), (first + 1, Vec::new())];
        self.push(op);
        self.block = first;
        let scope = self.scope.clone();
        let one = self.constant(Type::I64, 1);
        let less = self.binary(Opcode::I64Sub, depth, one);
        let mut op = DraftOp::new(*self.random.pick(&[Opcode::Call, Opcode::CallCell]));
        op.target = self.number;
        op.operands.push(less);
        for (_, ty) in self.function.blocks[0]
            .parameters
            .clone()
            .into_iter()
            .skip(1)
        {
            let value = self.any(ty);
            op.operands.push(value);
        }
        let results = self.function.results.clone();
        self.finish_call(op, &results, true);
        self.leave();
        self.scope = scope;
        self.block = first + 1;
        self.leave();
    }

    fn end(&mut self, number: usize) {
        match self.ends[number].clone() {
            End::Leave => match self.recursion {
                Some(depth) if self.random.percent(70) => self.call_itself(depth),
                _ => self.leave(),
            },
            End::Jump(to) => {
                let edge = self.edge(number, to);
                let mut op = DraftOp::new(Opcode::Jump);
                op.edges = vec![edge];
                self.push(op);
            }
            End::Branch(yes, no) if yes <= number => {
                // Backward first.
                let more = self.more(number, yes);
                let (back, on) = (self.edge(number, yes), self.edge(number, no));
                let mut op = DraftOp::new(Opcode::Branch);
                if self.random.percent(30) {
                    let done = self.unary(Opcode::I32Eqz, more);
                    op.operands = vec![done];
                    op.edges = vec![on, back];
                } else {
                    op.operands = vec![more];
                    op.edges = vec![back, on];
                }
                self.push(op);
            }
            End::Branch(yes, no) => {
                let condition = self.condition();
                let (yes, no) = (self.edge(number, yes), self.edge(number, no));
                let mut op = DraftOp::new(Opcode::Branch);
                op.operands = vec![condition];
                op.edges = vec![yes, no];
                self.push(op);
            }
            End::Switch(targets) => {
                let mut index = self.any(Type::I32);
                if self.random.percent(70) {
                    let mask = self.constant(Type::I32, *self.pick_mask(targets.len()));
                    index = self.binary(Opcode::I32And, index, mask);
                }
                let mut heads = targets.clone();
                heads.retain(|&to| to <= number);
                heads.sort_unstable();
                heads.dedup();
                for to in heads {
                    let (more, outside) =
                        (self.more(number, to), self.constant(Type::I32, u64::MAX));
                    let mut op = DraftOp::new(Opcode::I32Select);
                    op.operands = vec![more, index, outside];
                    index = self.give(op, Type::I32);
                }
                let mut op = DraftOp::new(Opcode::Switch);
                op.operands = vec![index];
                for to in targets {
                    let edge = self.edge(number, to);
                    op.edges.push(edge);
                }
                self.push(op);
            }
        }
    }

    fn pick_mask(&self, count: usize) -> &'static u64 {
        match count {
            0..=2 => &1,
            3..=4 => &3,
            _ => &7,
        }
    }

    /// Whether the backward edge to this block may be taken once more.
    fn more(&mut self, from: usize, to: usize) -> Value {
        if self.is_counted(from, to)
            && let Some(&counter) = self.heads.get(&to)
        {
            let ty = self.types[&counter];
            let zero = self.constant(ty, 0);
            let codes: &[Opcode] = match ty {
                Type::I32 => &[Opcode::I32GtS, Opcode::I32Ne],
                _ => &[Opcode::I64GtS, Opcode::I64Ne],
            };
            let code = *self.random.pick(codes);
            return self.binary(code, counter, zero);
        }
        let mut get = DraftOp::new(Opcode::I64SlotGet);
        get.immediate = u64::from(COUNTER_SLOT);
        let count = self.give(get, Type::I64);
        let one = self.constant(Type::I64, 1);
        let next = self.binary(Opcode::I64Add, count, one);
        let mut set = DraftOp::new(Opcode::I64SlotSet);
        set.immediate = u64::from(COUNTER_SLOT);
        set.operands = vec![next];
        self.push(set);
        let bound = self.constant(Type::I64, UNCOUNTED_EDGES);
        self.binary(Opcode::I64LtU, next, bound)
    }

    /// An edge with arguments: around a loop often the head's own parameters in another order.
    fn edge(&mut self, from: usize, to: usize) -> (usize, Vec<Value>) {
        let parameters = self.function.blocks[to].parameters.clone();
        let around = self.is_counted(from, to);
        let rotates = self.random.percent(60);
        let mut arguments = Vec::new();
        for (index, &(value, ty)) in parameters.iter().enumerate() {
            if index == 0
                && let Some(&counter) = self.heads.get(&to)
            {
                let trips = if around {
                    let (one, code) = match ty {
                        Type::I32 => (self.constant(ty, 1), Opcode::I32Sub),
                        _ => (self.constant(ty, 1), Opcode::I64Sub),
                    };
                    self.binary(code, counter, one)
                } else {
                    let trips = self.random.below(6) as u64;
                    self.constant(ty, trips)
                };
                arguments.push(trips);
                continue;
            }
            let others: Vec<Value> = parameters
                .iter()
                .filter(|&&(other, kind)| kind == ty && Some(&other) != self.heads.get(&to))
                .map(|&(other, _)| other)
                .collect();
            let argument = if around && rotates && !others.is_empty() {
                let at = others.iter().position(|&other| other == value);
                others[(at.unwrap_or(0) + 1) % others.len()]
            } else if around && self.random.percent(20) {
                value
            } else {
                self.any(ty)
            };
            arguments.push(argument);
        }
        (to, arguments)
    }

    /// Ends the function: mostly with results that depend on many values.
    fn leave(&mut self) {
        let roll = self.random.below(100);
        if roll < self.style.risk / 2 {
            let mut op = DraftOp::new(Opcode::Exit);
            op.exit = Some(self.exit());
            return self.push(op);
        }
        let partners: Vec<Callee> = self
            .callees
            .iter()
            .filter(|callee| callee.results == self.function.results)
            .cloned()
            .collect();
        if !partners.is_empty() && roll > 80 {
            let callee = self.random.pick(&partners).clone();
            let mut op = DraftOp::new(Opcode::ReturnCall);
            op.target = callee.number;
            for &ty in &callee.parameters {
                let value = self.any(ty);
                op.operands.push(value);
            }
            self.deoptimizes |= callee.may_deoptimize;
            return self.push(op);
        }
        let mut values = Vec::new();
        if self.reachable.get(self.block) != Some(&false) {
            values.extend(self.held.clone());
        }
        for _ in 0..self.random.below(16) {
            if !self.scope.is_empty() {
                let value = *self.random.pick(&self.scope);
                values.push(value);
            }
        }
        let mut digest = self.constant(Type::I64, 0);
        for value in values {
            let bits = self.bits_of(value);
            let code = *self
                .random
                .pick(&[Opcode::I64Xor, Opcode::I64Add, Opcode::I64Rotl]);
            digest = self.binary(code, digest, bits);
        }
        let mut op = DraftOp::new(Opcode::Return);
        let mut digested = false;
        for ty in self.function.results.clone() {
            let value = match ty {
                Type::I64 if !digested => {
                    digested = true;
                    digest
                }
                ty => self.any(ty),
            };
            op.operands.push(value);
        }
        if !digested {
            let free = (self.draft.slot_count - FREE_SLOT) as usize;
            let mut set = DraftOp::new(Opcode::I64SlotSet);
            set.immediate = u64::from(FREE_SLOT) + self.random.below(free) as u64;
            set.operands = vec![digest];
            self.push(set);
        }
        self.push(op);
    }

    /// A value as 64 bits.
    fn bits_of(&mut self, value: Value) -> Value {
        let exact = self.exact.contains(&value);
        match self.types[&value] {
            Type::I64 => value,
            Type::I32 => {
                let code = *self
                    .random
                    .pick(&[Opcode::I64ExtendI32S, Opcode::I64ExtendI32U]);
                self.unary(code, value)
            }
            Type::Ref => self.unary(Opcode::I64FromRef, value),
            Type::F32 => {
                let value = match exact {
                    true => value,
                    false => self.canonical(Opcode::F32Canonicalize, value),
                };
                let bits = self.unary(Opcode::I32ReinterpretF32, value);
                self.unary(Opcode::I64ExtendI32U, bits)
            }
            Type::F64 => {
                let value = match exact {
                    true => value,
                    false => self.canonical(Opcode::F64Canonicalize, value),
                };
                self.unary(Opcode::I64ReinterpretF64, value)
            }
        }
    }
}
