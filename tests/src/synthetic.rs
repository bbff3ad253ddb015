//! Programs of any size, for benches of compile time and for tests of its linearity.
//!
//! Each generator takes a size in ops (which it meets within a few per cent) and makes a valid program
//! whose runs end: loops count down from small constants, calls go to functions that stand before. The
//! mix of the random ones is meant to look like what front ends emit: integer and float arithmetic,
//! compares and branches, loads and stores, guards, a call now and then.

use crate::assemble::{Assembly, Value};
use crate::random::Random;
use patchjit::ir::{ExitKind, NONE};
use patchjit::ops::{Opcode, Shape, flags};
use patchjit::types::Type;

/// A generator by name.
#[derive(Clone, Copy, Debug)]
pub struct Generator {
    /// What reports call it.
    pub name: &'static str,
    /// Makes a program of about this many ops.
    pub make: fn(usize) -> Assembly,
}

/// All generators, with a fixed seed where they are random.
pub const GENERATORS: [Generator; 7] = [
    Generator {
        name: "many functions",
        make: |size| many_functions(size, 1),
    },
    Generator {
        name: "one function",
        make: |size| one_function(size, 1),
    },
    Generator {
        name: "straight line",
        make: straight_line,
    },
    Generator {
        name: "nested loops",
        make: |size| nested_loops(size / 7),
    },
    Generator {
        name: "ladder",
        make: |size| ladder(size / 2),
    },
    Generator {
        name: "live across blocks",
        make: |size| live_across(size / 3),
    },
    Generator {
        name: "wide merges",
        make: wide_merges,
    },
];

/// How many bytes the random programs' region has.
pub const REGION_SIZE: u64 = 4096;

/// Functions of 30 to 300 ops that call their predecessors.
pub fn many_functions(size: usize, seed: u64) -> Assembly {
    let mut random = Random::new(seed);
    let mut assembly = Assembly::new();
    let region = assembly.region(REGION_SIZE);
    while assembly.size() < size {
        let budget = 30 + random.below(270);
        Code::function(&mut assembly, &mut random, region, budget);
    }
    assembly
}

/// One function with this many ops.
pub fn one_function(size: usize, seed: u64) -> Assembly {
    let mut random = Random::new(seed);
    let mut assembly = Assembly::new();
    let region = assembly.region(REGION_SIZE);
    Code::function(&mut assembly, &mut random, region, size.saturating_sub(10));
    assembly
}

/// One block of integer arithmetic, in which a few values are always live.
pub fn straight_line(size: usize) -> Assembly {
    let mut random = Random::new(2);
    let mut assembly = Assembly::new();
    let (_, mut values) = assembly.begin(&[Type::I64; 4], &[Type::I64]);
    let codes = [
        Opcode::I64Add,
        Opcode::I64Sub,
        Opcode::I64Xor,
        Opcode::I64Mul,
        Opcode::I64And,
        Opcode::I64Or,
    ];
    while assembly.size() + 2 < size {
        let (a, b) = (*random.pick(&values), *random.pick(&values));
        let value = assembly.scalar(*random.pick(&codes), a, b, NONE);
        let at = random.below(values.len());
        values[at] = value;
        if values.len() < 8 {
            values.push(value);
        }
    }
    assembly.return_values(&values[..1]);
    assembly.end();
    assembly
}

/// Loops within each other, each of one round; seven ops a loop.
pub fn nested_loops(depth: usize) -> Assembly {
    let mut assembly = Assembly::new();
    let (_, values) = assembly.begin(&[Type::I64], &[Type::I64]);
    let one = assembly.i64(1);
    let mut sum = values[0];
    let mut heads = Vec::with_capacity(depth);
    for _ in 0..depth {
        let head = assembly.label();
        assembly.jump(head, &[one, sum]);
        let values = assembly.place(head, &[Type::I64; 2]);
        heads.push((head, values[0]));
        sum = values[1];
    }
    while let Some((head, count)) = heads.pop() {
        let done = assembly.label();
        let less = assembly.scalar(Opcode::I64Sub, count, one, NONE);
        sum = assembly.scalar(Opcode::I64Add, sum, count, NONE);
        let more = assembly.scalar(Opcode::I64GtS, less, one, NONE);
        assembly.branch(more, (head, &[less, sum]), (done, &[]));
        assembly.place(done, &[]);
    }
    assembly.return_values(&[sum]);
    assembly.end();
    assembly
}

/// Two rails of blocks with rungs between them: every block is entered from both rails, so that no block but
/// the entry dominates another, and iterative dominators take their longest.
pub fn ladder(rungs: usize) -> Assembly {
    let mut assembly = Assembly::new();
    let (_, values) = assembly.begin(&[Type::I64], &[Type::I64]);
    let n = values[0];
    let zero = assembly.i64(0);
    let odd = assembly.scalar(Opcode::I64GtS, n, zero, NONE);
    let mut rails = [assembly.label(), assembly.label()];
    assembly.branch(odd, (rails[0], &[]), (rails[1], &[]));
    for _ in 0..rungs / 2 {
        let next = [assembly.label(), assembly.label()];
        for (rail, label) in rails.into_iter().enumerate() {
            assembly.place(label, &[]);
            let code = [Opcode::I64LtS, Opcode::I64GtS][rail];
            let straight = assembly.scalar(code, n, zero, NONE);
            assembly.branch(straight, (next[rail], &[]), (next[1 - rail], &[]));
        }
        rails = next;
    }
    for label in rails {
        assembly.place(label, &[]);
        assembly.return_values(&[n]);
    }
    assembly.end();
    assembly
}

/// One value that is live from the entry to the last of these many blocks.
pub fn live_across(blocks: usize) -> Assembly {
    let mut assembly = Assembly::new();
    let (_, values) = assembly.begin(&[Type::I64; 2], &[Type::I64]);
    let (kept, mut sum) = (values[0], values[1]);
    let bound = assembly.i64(1 << 40);
    for _ in 0..blocks / 2 {
        let (rare, next) = (assembly.label(), assembly.label());
        let more = assembly.scalar(Opcode::I64Add, sum, bound, NONE);
        let great = assembly.scalar(Opcode::I64GtS, more, bound, NONE);
        assembly.branch(great, (rare, &[]), (next, &[more]));
        assembly.place(rare, &[]);
        let less = assembly.scalar(Opcode::I64Sub, more, bound, NONE);
        assembly.jump(next, &[less]);
        sum = assembly.place(next, &[Type::I64])[0];
    }
    let result = assembly.scalar(Opcode::I64Xor, kept, sum, NONE);
    assembly.return_values(&[result]);
    assembly.end();
    assembly
}

/// Diamonds whose merge takes sixteen parameters, in another order each time.
pub fn wide_merges(size: usize) -> Assembly {
    let mut random = Random::new(3);
    let mut assembly = Assembly::new();
    let (_, parameters) = assembly.begin(&[Type::I64; 2], &[Type::I64]);
    let mut values: Vec<Value> = parameters.iter().copied().cycle().take(16).collect();
    while assembly.size() + 40 < size {
        let (then, merge) = (assembly.label(), assembly.label());
        let (a, b) = (random.below(16), random.below(16));
        let less = assembly.scalar(Opcode::I64LtS, values[a], values[b], NONE);
        assembly.branch(less, (then, &[]), (merge, &values));
        assembly.place(then, &[]);
        let sum = assembly.scalar(Opcode::I64Add, values[a], values[b], NONE);
        values.rotate_left(1);
        values[a] = sum;
        assembly.jump(merge, &values);
        values = assembly.place(merge, &[Type::I64; 16]);
    }
    let mut sum = values[0];
    for &value in &values[1..] {
        sum = assembly.scalar(Opcode::I64Xor, sum, value, NONE);
    }
    assembly.return_values(&[sum]);
    assembly.end();
    assembly
}

/// What most of random code is made of.
const COMMON: [Opcode; 24] = [
    Opcode::I64Add,
    Opcode::I64Add,
    Opcode::I64Sub,
    Opcode::I64Mul,
    Opcode::I64And,
    Opcode::I64Or,
    Opcode::I64Xor,
    Opcode::I64Shl,
    Opcode::I64ShrU,
    Opcode::I64LtS,
    Opcode::I64Eq,
    Opcode::I32Add,
    Opcode::I32Sub,
    Opcode::I32And,
    Opcode::I32Xor,
    Opcode::I32LtS,
    Opcode::I32WrapI64,
    Opcode::I64ExtendI32S,
    Opcode::I64ExtendI32U,
    Opcode::F64Add,
    Opcode::F64Mul,
    Opcode::F64Sub,
    Opcode::F64Lt,
    Opcode::F64ConvertI64S,
];

const LOADS: [Opcode; 6] = [
    Opcode::I64Load,
    Opcode::I64Load,
    Opcode::I32Load,
    Opcode::I64Load8U,
    Opcode::F64Load,
    Opcode::I32Load16S,
];

const STORES: [Opcode; 4] = [
    Opcode::I64Store,
    Opcode::I32Store,
    Opcode::F64Store,
    Opcode::I64Store8,
];

const ATOMICS: [Opcode; 6] = [
    Opcode::I64AtomicLoad,
    Opcode::I32AtomicStore,
    Opcode::I64AtomicAdd,
    Opcode::I32AtomicXor,
    Opcode::I64AtomicXchg,
    Opcode::I32AtomicCmpxchg,
];

/// Random code under way.
struct Code<'a> {
    assembly: &'a mut Assembly,
    random: &'a mut Random,
    region: u16,
    /// Values that may be used here, the newest last, and whether they were, by type.
    pools: [Vec<(Value, bool)>; 4],
    calls_left: usize,
    all: Vec<Opcode>,
}

const TYPES: [Type; 4] = [Type::I32, Type::I64, Type::F32, Type::F64];

/// The integer parameters, then the float, of every random function; its result is an `i64`.
pub const PARAMETERS: [Type; 3] = [Type::I64, Type::I64, Type::F64];

impl Code<'_> {
    fn function(assembly: &mut Assembly, random: &mut Random, region: u16, budget: usize) {
        let (_, parameters) = assembly.begin(&PARAMETERS, &[Type::I64]);
        let end = assembly.size() + budget;
        let is_scalar = |code: &Opcode| {
            let info = code.info();
            let of_ref = info.operands[0] == Type::Ref || info.result == Some(Type::Ref);
            matches!(info.shape, Shape::Unary | Shape::Binary) && !of_ref
        };
        let mut code = Code {
            assembly,
            random,
            region,
            pools: Default::default(),
            calls_left: 1 + budget / 100,
            all: Opcode::all().filter(is_scalar).collect(),
        };
        for value in parameters {
            code.keep(value);
        }
        while code.assembly.size() < end {
            code.statement(0, end);
        }
        let mut result = code.value(Type::I64);
        for ty in [Type::I64, Type::I64] {
            let other = code.value(ty);
            result = code.assembly.scalar(Opcode::I64Xor, result, other, NONE);
        }
        code.assembly.return_values(&[result]);
        code.assembly.end();
    }

    fn keep(&mut self, value: Value) {
        if let Some(ty) = self.assembly.type_of(value) {
            self.pools[ty as usize].push((value, false));
        }
    }

    /// A value of a type: mostly a recent one, sometimes an old one or a constant.
    fn value(&mut self, ty: Type) -> Value {
        if self.pools[ty as usize].is_empty() || self.random.percent(8) {
            let bits = match self.random.below(4) {
                0 => self.random.bits(),
                _ => self.random.below(100) as u64,
            };
            let value = self.assembly.constant(ty, bits);
            self.keep(value);
            return value;
        }
        let pool = &mut self.pools[ty as usize];
        let reach = if self.random.percent(5) {
            pool.len()
        } else {
            pool.len().min(8)
        };
        // Rather one that nothing uses yet: front ends emit little dead code.
        let mut at = 0;
        for _ in 0..4 {
            at = pool.len() - 1 - self.random.below(reach);
            if !pool[at].1 {
                break;
            }
        }
        pool[at].1 = true;
        pool[at].0
    }

    /// An exit with a snapshot of up to three values.
    fn exit(&mut self) -> u32 {
        let mut snapshot = Vec::new();
        for slot in 0..self.random.below(4) as u32 {
            let ty = *self.random.pick(&TYPES);
            snapshot.push((slot, self.value(ty)));
        }
        let number = self.random.below(1000) as u32;
        let kind = if self.random.percent(50) {
            ExitKind::Trap
        } else {
            ExitKind::Deoptimize
        };
        self.assembly.exit(kind, number, &snapshot)
    }

    fn scopes(&self) -> [usize; 4] {
        [0, 1, 2, 3].map(|ty| self.pools[ty].len())
    }

    fn leave_scope(&mut self, scopes: [usize; 4]) {
        for (pool, length) in self.pools.iter_mut().zip(scopes) {
            pool.truncate(length);
        }
    }

    fn statement(&mut self, nesting: usize, end: usize) {
        match self.random.below(100) {
            0..70 => {
                let code = *self.random.pick(&COMMON);
                self.scalar(code);
            }
            70..75 => {
                let code = self.all[self.random.below(self.all.len())];
                self.scalar(code);
            }
            75..81 => self.load(),
            81..85 => self.store(),
            85..87 => self.guard(),
            87..89 => self.select(),
            89 => self.rare(nesting, end),
            90..91 if self.calls_left > 0 => self.call(),
            91..97 if nesting < 8 => self.diamond(nesting, end),
            97..100 if nesting < 4 => self.repeat(nesting, end),
            _ => self.scalar(Opcode::I64Add),
        }
    }

    fn scalar(&mut self, code: Opcode) {
        let info = code.info();
        let a = self.value(info.operands[0]);
        let b = self.value(info.operands[1]);
        let exit = if info.has(flags::LEAVES) {
            self.exit()
        } else {
            NONE
        };
        let value = self.assembly.scalar(code, a, b, exit);
        self.keep(value);
    }

    /// An index that is in bounds, unless it is an arbitrary value.
    fn index(&mut self) -> Value {
        let index = self.value(Type::I64);
        if self.random.percent(10) {
            return index;
        }
        let mask = self.assembly.i64(255);
        self.assembly.scalar(Opcode::I64And, index, mask, NONE)
    }

    fn load(&mut self) {
        let code = *self.random.pick(&LOADS);
        let index = self.index();
        let exit = self.exit();
        let place = (
            self.region,
            self.random.below(4) as u8,
            8 * self.random.below(16) as u32,
        );
        let value = self.assembly.access(code, place, (index, 0, 0), exit);
        self.keep(value);
    }

    fn store(&mut self) {
        let code = *self.random.pick(&STORES);
        let index = self.index();
        let value = self.value(code.info().operands[1]);
        let exit = self.exit();
        let place = (
            self.region,
            self.random.below(4) as u8,
            8 * self.random.below(16) as u32,
        );
        self.assembly.access(code, place, (index, value, 0), exit);
    }

    fn guard(&mut self) {
        let (a, b) = (self.value(Type::I64), self.value(Type::I64));
        let holds = self.assembly.scalar(Opcode::I64Ne, a, b, NONE);
        let exit = self.exit();
        self.assembly.push(Opcode::Guard, 0, holds, 0, exit);
    }

    fn select(&mut self) {
        let condition = self.value(Type::I32);
        let (a, b) = (self.value(Type::I64), self.value(Type::I64));
        let value = self.assembly.push(Opcode::I64Select, 0, condition, a, b);
        self.keep(value);
    }

    /// Calls one of the functions before, so that chains stay short: never the last of eight.
    fn call(&mut self) {
        let this = self.assembly.function_count() - 1;
        if this.is_multiple_of(8) {
            return;
        }
        self.calls_left -= 1;
        let callee = this - 1 - self.random.below(this as usize % 8) as u32;
        let arguments = PARAMETERS.map(|ty| self.value(ty));
        let exit = self.exit();
        let results = match self.random.below(10) {
            0 => {
                let index = self.assembly.push(Opcode::FunctionIndex, 0, 0, callee, 0);
                let signature = self.assembly.signature(&PARAMETERS, &[Type::I64]);
                self.assembly
                    .call_indirect(signature, index, &arguments, exit)
            }
            1 => self
                .assembly
                .call(Opcode::CallCell, callee, &arguments, exit),
            _ => self.assembly.call(Opcode::Call, callee, &arguments, exit),
        };
        for value in results {
            self.keep(value);
        }
    }

    /// What front ends emit now and then.
    fn rare(&mut self, nesting: usize, end: usize) {
        match self.random.below(4) {
            0 => {
                let slot = self.random.below(8) as u32;
                self.assembly.slots(8);
                let value = self.value(Type::I64);
                self.assembly.push(Opcode::I64SlotSet, 0, value, 0, slot);
            }
            1 => {
                let slot = self.random.below(8) as u32;
                self.assembly.slots(8);
                let value = self.assembly.push(Opcode::I32SlotGet, 0, 0, 0, slot);
                self.keep(value);
            }
            2 => {
                let code = *self.random.pick(&ATOMICS);
                let index = self.index();
                let ty = code.info().operands[1];
                let (second, third) = (self.value(ty), self.value(ty));
                let exit = self.exit();
                let place = (self.region, self.random.below(4) as u8, 8);
                let value = self
                    .assembly
                    .access(code, place, (index, second, third), exit);
                self.keep(value);
            }
            _ if nesting < 8 => self.switch(nesting, end),
            _ => {}
        }
    }

    /// Some blocks, of which an index takes one, and a merge.
    fn switch(&mut self, nesting: usize, end: usize) {
        let index = self.value(Type::I32);
        let mask = self.assembly.constant(Type::I32, 7);
        let index = self.assembly.scalar(Opcode::I32And, index, mask, NONE);
        let count = 2 + self.random.below(5);
        let merge = self.assembly.label();
        let cases: Vec<_> = (0..count).map(|_| self.assembly.label()).collect();
        let edges: Vec<_> = cases.iter().map(|&label| (label, &[][..])).collect();
        self.assembly.switch(index, &edges);
        let scopes = self.scopes();
        for label in cases {
            self.assembly.place(label, &[]);
            self.body(nesting, end);
            let value = self.value(Type::I64);
            self.assembly.jump(merge, &[value]);
            self.leave_scope(scopes);
        }
        for value in self.assembly.place(merge, &[Type::I64]) {
            self.keep(value);
        }
    }

    fn body(&mut self, nesting: usize, end: usize) {
        let length = 4 + self.random.below(24);
        let end = end.min(self.assembly.size() + length);
        while self.assembly.size() < end {
            self.statement(nesting + 1, end);
        }
    }

    fn diamond(&mut self, nesting: usize, end: usize) {
        let condition = self.value(Type::I32);
        let [then, other, merge] = [(); 3].map(|()| self.assembly.label());
        self.assembly.branch(condition, (then, &[]), (other, &[]));
        let scopes = self.scopes();
        for label in [then, other] {
            self.assembly.place(label, &[]);
            self.body(nesting, end);
            let values = [self.value(Type::I64), self.value(Type::F64)];
            self.assembly.jump(merge, &values);
            self.leave_scope(scopes);
        }
        for value in self.assembly.place(merge, &[Type::I64, Type::F64]) {
            self.keep(value);
        }
    }

    fn repeat(&mut self, nesting: usize, end: usize) {
        let rounds = self.assembly.i64(1 + self.random.below(4) as i64);
        let one = self.assembly.i64(1);
        let carried = self.value(Type::I64);
        let [head, done] = [(); 2].map(|()| self.assembly.label());
        self.assembly.jump(head, &[rounds, carried]);
        let values = self.assembly.place(head, &[Type::I64; 2]);
        let scopes = self.scopes();
        self.keep(values[1]);
        self.body(nesting, end);
        let next = self.value(Type::I64);
        let less = self.assembly.scalar(Opcode::I64Sub, values[0], one, NONE);
        let zero = self.assembly.i64(0);
        let more = self.assembly.scalar(Opcode::I64GtS, less, zero, NONE);
        self.assembly
            .branch(more, (head, &[less, next]), (done, &[next]));
        self.leave_scope(scopes);
        for value in self.assembly.place(done, &[Type::I64]) {
            self.keep(value);
        }
    }
}
