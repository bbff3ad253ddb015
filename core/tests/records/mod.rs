//! Programs put together record by record, without a check on the way: what the verifier is tested with.
#![allow(dead_code, reason = "each test file uses what it needs")]

use patchjit::error::{Error, Place, Rule};
use patchjit::ir::{
    Block, Exit, ExitKind, Function, HostFunction, NONE, Op, Program, Region, Signature, Tag,
    boxed_place,
};
use patchjit::ops::Opcode;
use patchjit::types::Type;
use patchjit::verify::{Verified, verify, workspace_words};

/// A program that owns its records.
#[derive(Clone, Debug, Default)]
pub struct Records {
    pub functions: Vec<Function>,
    pub blocks: Vec<Block>,
    pub ops: Vec<Op>,
    pub extra: Vec<u32>,
    pub exits: Vec<Exit>,
    pub signatures: Vec<Signature>,
    pub types: Vec<Type>,
    pub regions: Vec<Region>,
    pub hosts: Vec<HostFunction>,
    pub tags: Vec<Tag>,
    pub positions: Vec<u32>,
    pub slot_count: u32,
}

impl Records {
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
            positions: &self.positions,
            slot_count: self.slot_count,
        }
    }

    /// A signature.
    pub fn signature(&mut self, parameters: &[Type], results: &[Type]) -> u32 {
        self.signatures.push(Signature {
            first_type: self.types.len() as u32,
            parameter_count: parameters.len() as u16,
            result_count: results.len() as u16,
        });
        self.types.extend(parameters.iter().chain(results));
        self.signatures.len() as u32 - 1
    }

    /// Begins a function.
    pub fn function(&mut self, signature: u32) -> u32 {
        self.functions.push(Function {
            signature,
            first_block: self.blocks.len() as u32,
            block_count: 0,
            first_op: self.ops.len() as u32,
            op_count: 0,
        });
        self.functions.len() as u32 - 1
    }

    /// Begins a block with parameters; gives the index of the first.
    pub fn block(&mut self, parameters: &[Type]) -> u32 {
        let first = self.ops.len() as u32;
        self.functions.last_mut().unwrap().block_count += 1;
        self.blocks.push(Block {
            first_op: first,
            op_count: 0,
            parameter_count: parameters.len() as u32,
        });
        for (index, ty) in parameters.iter().enumerate() {
            self.op(Opcode::Parameter, *ty as u16, index as u32, 0, 0);
        }
        first
    }

    /// An op of the last block.
    pub fn op(&mut self, code: Opcode, aux: u16, a: u32, b: u32, c: u32) -> u32 {
        self.functions.last_mut().unwrap().op_count += 1;
        self.blocks.last_mut().unwrap().op_count += 1;
        self.ops.push(Op { code, aux, a, b, c });
        self.ops.len() as u32 - 1
    }

    pub fn i64(&mut self, value: u32) -> u32 {
        self.op(Opcode::I64Const, 0, 0, value, 0)
    }

    pub fn i32(&mut self, value: u32) -> u32 {
        self.op(Opcode::I32Const, 0, 0, value, 0)
    }

    /// Words in `extra`.
    pub fn words(&mut self, words: &[u32]) -> u32 {
        self.extra.extend(words);
        (self.extra.len() - words.len()) as u32
    }

    /// A counted list in `extra`.
    pub fn list(&mut self, words: &[u32]) -> u32 {
        let at = self.words(&[words.len() as u32]);
        self.words(words);
        at
    }

    /// An edge in `extra`.
    pub fn edge(&mut self, block: u32, arguments: &[u32]) -> u32 {
        let at = self.words(&[block]);
        self.list(arguments);
        at
    }

    pub fn jump(&mut self, block: u32, arguments: &[u32]) -> u32 {
        let edge = self.edge(block, arguments);
        self.op(Opcode::Jump, 0, 0, edge, 0)
    }

    pub fn branch(&mut self, condition: u32, then: u32, otherwise: u32) -> u32 {
        let (then, otherwise) = (self.edge(then, &[]), self.edge(otherwise, &[]));
        self.op(Opcode::Branch, 0, condition, then, otherwise)
    }

    /// A switch over blocks without parameters, the default last.
    pub fn switch(&mut self, index: u32, blocks: &[u32]) -> u32 {
        let edges: Vec<u32> = blocks.iter().map(|&block| self.edge(block, &[])).collect();
        let at = self.words(&[blocks.len() as u32 - 1]);
        self.words(&edges);
        self.op(Opcode::Switch, 0, index, at, 0)
    }

    pub fn ret(&mut self, values: &[u32]) -> u32 {
        let list = self.list(values);
        self.op(Opcode::Return, 0, 0, list, 0)
    }

    pub fn call(&mut self, aux: u16, function: u32, arguments: &[u32], exit: u32) -> u32 {
        let list = self.list(arguments);
        self.op(Opcode::Call, aux, function, list, exit)
    }

    pub fn exit(&mut self, kind: ExitKind, snapshot: &[(u32, u32)]) -> u32 {
        let words: Vec<u32> = snapshot
            .iter()
            .flat_map(|&(slot, value)| [slot, value])
            .collect();
        let snapshot_at = self.words(&words);
        self.exits.push(Exit {
            number: self.exits.len() as u32,
            kind,
            snapshot: snapshot_at,
            entry_count: snapshot.len() as u32,
        });
        self.exits.len() as u32 - 1
    }

    /// The block of an op, by looking at all of them.
    pub fn block_of(&self, op: u32) -> u32 {
        let found = self.blocks.iter().position(|block| {
            block.first_op <= op && op < block.first_op.saturating_add(block.op_count)
        });
        found.map_or(NONE, |block| block as u32)
    }

    /// The place of an op.
    pub fn place(&self, op: u32) -> Place {
        let block = self.block_of(op);
        let function = self.functions.iter().position(|function| {
            function.first_block <= block && block < function.first_block + function.block_count
        });
        Place::Op {
            function: function.unwrap() as u32,
            block,
            op,
        }
    }

    /// Verifies, with a dirty workspace of exactly the size that is asked for.
    pub fn verify_with<R>(&self, then: impl FnOnce(Result<Verified, Error>) -> R) -> R {
        let mut workspace = vec![0xdead_beef; workspace_words(&self.program())];
        then(verify(self.program(), &mut workspace))
    }

    #[track_caller]
    pub fn passes(&self) {
        self.verify_with(|result| assert_eq!(result.map(|_| ()), Ok(())));
    }

    #[track_caller]
    pub fn breaks(&self, rule: Rule, place: Place) {
        let expected = Err(Error::Invalid { rule, place });
        self.verify_with(|result| assert_eq!(result.map(|_| ()), expected));
    }

    #[track_caller]
    pub fn breaks_at(&self, rule: Rule, op: u32) {
        self.breaks(rule, self.place(op));
    }
}

/// A generator of numbers, the same ones for the same seed (xorshift, Marsaglia 2003).
pub struct Random(pub u64);

impl Random {
    pub fn bits(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.bits() >> 11) as usize % bound
    }
}

/// Integers with their lowest bit set.
pub const SMALL: Tag = Tag {
    mask: 1,
    bits: 1,
    shift: 1,
};

/// Integers of 32 bits among NaNs.
pub const INT: Tag = Tag {
    mask: 0xffff << 48,
    bits: 0xfff9 << 48,
    shift: 0,
};

/// A program with every shape of op in it.
pub fn sample() -> Records {
    use Opcode::*;
    use Type::{F64, I64};
    let mut r = Records {
        slot_count: 8,
        regions: vec![Region::fixed(4096), Region::fixed(64)],
        tags: vec![SMALL, INT],
        ..Records::default()
    };
    let pair = r.signature(&[I64, F64], &[I64, F64]);
    let one = r.signature(&[I64], &[I64]);
    let none = r.signature(&[], &[]);
    let host_pair = r.signature(&[I64, I64], &[I64, F64]);
    r.hosts.push(HostFunction { signature: one });
    r.hosts.push(HostFunction {
        signature: host_pair,
    });
    let aux = |ty: Type| ty as u16 + 1;

    // Function 0: a loop, accesses, every kind of call.
    r.function(pair);
    let n = r.block(&[I64, F64]);
    let x = n + 1;
    let zero = r.i64(0);
    let small = r.i32(3);
    let wrapped = r.op(I32WrapI64, 0, n, 0, 0);
    let sum = r.op(I64Add, 0, n, zero, 0);
    let deopt = r.exit(
        ExitKind::Deoptimize,
        &[(0, n), (boxed_place(7, 1), sum), (0, x)],
    );
    let trap = r.exit(ExitKind::Trap, &[]);
    let checked = r.op(I64AddChecked, 0, n, sum, deopt);
    let truncated = r.op(I64TruncF64S, 0, x, 0, trap);
    let chosen = r.op(I64Select, 0, small, checked, truncated);
    let boxed = r.op(I64BoxI32, 1, wrapped, 0, 0);
    let is_small = r.op(I64TagTest, 0, boxed, 0, 0);
    let access = r.words(&[16, trap]);
    let loaded = r.op(F64Load, patchjit::ir::access_aux(0, 3), chosen, 0, access);
    r.op(I64Store, patchjit::ir::access_aux(1, 0), zero, sum, access);
    let exchange = r.words(&[8, deopt, checked]);
    r.op(I64AtomicCmpxchg, 0, zero, sum, exchange);
    r.op(I64AtomicAdd, 0, zero, sum, access);
    let raw = r.op(I64RawLoad, 0, sum, 0, 0xffff_fff8);
    r.op(I64RawStore, 0, sum, raw, 8);
    r.op(Fence, 0, 0, 0, 0);
    r.op(RegionSize, 1, 0, 0, 0);
    let slot = r.op(I64SlotGet, 0, 0, 0, 7);
    r.op(F64SlotSet, 0, loaded, 0, 0);
    let index = r.op(FunctionIndex, 0, 0, 1, 0);
    r.op(Guard, 0, small, 0, deopt);
    r.op(GuardNot, 0, is_small, 0, trap);
    r.op(Poll, 0, 0, 0, deopt);
    let first = r.call(aux(I64), 0, &[slot, x], deopt);
    let second = r.op(Result, F64 as u16, 1, 0, 0);
    let arguments = r.list(&[first]);
    r.op(CallCell, aux(I64), 1, arguments, NONE);
    let arguments = r.list(&[first]);
    r.op(CallHost, aux(I64), 0, arguments, NONE);
    let arguments = r.list(&[first, first]);
    r.op(CallHost, aux(I64), 1, arguments, trap);
    r.op(Result, F64 as u16, 1, 0, 0);
    let arguments = r.words(&[one, 1, first]);
    r.op(CallIndirect, aux(I64), index, arguments, trap);
    r.call(0, 2, &[], NONE);
    r.jump(1, &[zero, second]);
    let i = r.block(&[I64, F64]);
    let more = r.op(I64LtS, 0, i, n, 0);
    r.branch(more, 2, 3);
    r.block(&[]);
    let next = r.op(I64Add, 0, i, first, 0);
    r.jump(1, &[next, i + 1]);
    r.block(&[]);
    r.switch(small, &[4, 4, 5]);
    r.block(&[]);
    r.ret(&[i, i + 1]);
    r.block(&[]);
    r.op(Exit, 0, 0, 0, deopt);

    // Function 1: ends with another's results; has a block to which no way leads.
    r.function(one);
    let n = r.block(&[I64]);
    let arguments = r.list(&[n]);
    r.op(ReturnCall, 0, 1, arguments, 0);
    r.block(&[]);
    let later = r.ops.len() as u32 + 1;
    r.op(I64Add, 0, later, n, 0);
    r.i64(1);
    r.ret(&[later]);

    // Function 2.
    r.function(none);
    r.block(&[]);
    r.ret(&[]);
    r.positions = (0..r.ops.len() as u32).collect();
    r
}

/// `func (i64) -> i64 { entry(n): c = 1; jump next(); next: return n }`, ops 0 to 3.
pub fn base() -> Records {
    let mut r = Records {
        slot_count: 2,
        regions: vec![Region::fixed(64)],
        ..Records::default()
    };
    let signature = r.signature(&[Type::I64], &[Type::I64]);
    r.function(signature);
    r.block(&[Type::I64]);
    r.i64(1);
    r.jump(1, &[]);
    r.block(&[]);
    r.ret(&[0]);
    r
}

/// One block of a function without parameters and results, to be filled by `body` and ended by `return`.
pub fn body(fill: impl FnOnce(&mut Records)) -> Records {
    let mut r = Records {
        slot_count: 2,
        regions: vec![Region::fixed(64)],
        ..Records::default()
    };
    let signature = r.signature(&[], &[]);
    r.function(signature);
    r.block(&[]);
    fill(&mut r);
    r.ret(&[]);
    r
}

pub fn block(function: u32, block: u32) -> Place {
    Place::Block { function, block }
}

/// A function that calls itself and has these results; the call is op 0.
pub fn calls_itself(results: &[Type]) -> Records {
    let mut r = Records::default();
    let signature = r.signature(&[], results);
    r.function(signature);
    r.block(&[]);
    let aux = results.first().map_or(0, |ty| *ty as u16 + 1);
    r.call(aux, 0, &[], NONE);
    for (index, ty) in results.iter().enumerate().skip(1) {
        r.op(Opcode::Result, *ty as u16, index as u32, 0, 0);
    }
    let values: Vec<u32> = (0..results.len() as u32).collect();
    r.ret(&values);
    r
}

/// `i64.eqz` of this value, in a second function whose ops are 4 to 7, before an unused constant.
pub fn uses_value(value: u32) -> Records {
    let mut r = base();
    r.function(0);
    r.block(&[Type::I64]);
    r.op(Opcode::I64Eqz, 0, value, 0, 0);
    r.i64(0);
    r.ret(&[4]);
    r
}
