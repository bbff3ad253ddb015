//! The builder lays records out as `ir` says, in any storage that is large enough, and refuses what it cannot.

use patchjit::build::{
    Access, BlockId, Buffers, Builder, Counts, EMPTY_EXIT, EMPTY_OP, ExitId, FunctionId, HostId,
    RegionId, SignatureId, Storage, Value,
};
use patchjit::error::{Error, Rule, Storage as Which};
use patchjit::ir::{
    Block, ExitKind, Function, HostFunction, MAX_ARGUMENTS, MAX_REGIONS, MAX_TAGS, NONE, Region,
    Signature, Tag,
};
use patchjit::ops::Opcode;
use patchjit::types::Type;

/// Slices of chosen lengths.
struct Tables {
    functions: Vec<Function>,
    blocks: Vec<Block>,
    ops: Vec<patchjit::ir::Op>,
    extra: Vec<u32>,
    exits: Vec<patchjit::ir::Exit>,
    signatures: Vec<Signature>,
    types: Vec<Type>,
    regions: Vec<Region>,
    hosts: Vec<HostFunction>,
    tags: Vec<Tag>,
    positions: Vec<u32>,
}

impl Tables {
    fn new(counts: Counts, positions: usize) -> Tables {
        Tables {
            functions: vec![Function::default(); counts.functions],
            blocks: vec![Block::default(); counts.blocks],
            ops: vec![EMPTY_OP; counts.ops],
            extra: vec![0xdead_beef; counts.extra],
            exits: vec![EMPTY_EXIT; counts.exits],
            signatures: vec![Signature::default(); counts.signatures],
            types: vec![Type::Ref; counts.types],
            regions: vec![Region::default(); counts.regions],
            hosts: vec![HostFunction::default(); counts.hosts],
            tags: vec![Tag::default(); counts.tags],
            positions: vec![77; positions],
        }
    }

    fn storage(&mut self) -> Storage<'_> {
        Storage {
            functions: &mut self.functions,
            blocks: &mut self.blocks,
            ops: &mut self.ops,
            extra: &mut self.extra,
            exits: &mut self.exits,
            signatures: &mut self.signatures,
            types: &mut self.types,
            regions: &mut self.regions,
            hosts: &mut self.hosts,
            tags: &mut self.tags,
            positions: &mut self.positions,
        }
    }
}

/// A program with every shape of op, in two functions, the first calling the second.
fn everything(b: &mut Builder<'_>) -> Result<(), Error> {
    b.set_slot_count(3);
    let region = b.region(64)?;
    let signature = b.signature(&[Type::I64, Type::I32], &[Type::I64, Type::F64])?;
    let nothing = b.signature(&[], &[])?;
    assert_eq!(
        b.signature(&[Type::I64, Type::I32], &[Type::I64, Type::F64])?,
        signature
    );
    let host = b.host(signature)?;
    let small = b.tag(Tag {
        mask: 1,
        bits: 1,
        shift: 1,
    })?;
    let first = b.declare(signature)?;
    let second = b.declare(nothing)?;

    b.begin(first)?;
    let (n, c) = (b.argument(0), b.argument(1));
    let loops = b.create_block()?;
    let last = b.create_block()?;
    let middle = b.create_block()?;
    b.set_position(5);
    let trap = b.exit(ExitKind::Trap, 1, &[])?;
    let leave = b.exit(ExitKind::Deoptimize, 2, &[(0, n), (2, c)])?;
    let x = b.constant_f64(1.5)?;
    b.constant(Opcode::I32Const, u64::MAX)?;
    b.constant_f32(2.5)?;
    let k = b.constant_i64(-1)?;
    let s = b.binary(Opcode::I64Add, n, k)?;
    b.unary(Opcode::I64Clz, s)?;
    b.tagged(Opcode::I64UnboxS, small, s)?;
    b.unary_else(Opcode::I32TruncF64S, x, leave)?;
    b.binary_else(Opcode::I64DivS, s, k, trap)?;
    b.select(Opcode::I64Select, c, s, k)?;
    let at = Access {
        region,
        index: n,
        scale: 3,
        offset: 8,
    };
    b.load(Opcode::I64Load, at, trap)?;
    b.store(Opcode::I64Store, at, s, trap)?;
    b.update(Opcode::I64AtomicAdd, at, s, trap)?;
    b.compare_exchange(Opcode::I64AtomicCmpxchg, at, s, k, trap)?;
    b.raw_load(Opcode::I64RawLoad, n, -8)?;
    b.raw_store(Opcode::I64RawStore, n, 8, s)?;
    b.fence()?;
    b.slot_get(Opcode::I64SlotGet, 1)?;
    b.slot_set(Opcode::I64SlotSet, 2, s)?;
    let index = b.function_index(second)?;
    b.guard(Opcode::Guard, c, leave)?;
    b.guard(Opcode::GuardNot, c, leave)?;
    b.poll(leave)?;
    b.call(second, &[], Some(leave))?;
    b.call_cell(second, &[], None)?;
    let results = b.call_host(host, &[n, c], None)?;
    assert_eq!(results.count(), 2);
    assert_eq!(results.get(2), None);
    let (whole, part) = (results.get(0).unwrap(), results.get(1).unwrap());
    assert_eq!(part.0, whole.0 + 1);
    b.call_indirect(signature, index, &[n, c], trap)?;
    b.jump(middle, &[whole])?;

    // Filled in another order than created.
    b.switch_to(middle)?;
    let i = b.parameter(Type::I64)?;
    b.branch(c, (loops, &[]), (last, &[i, part]))?;
    b.switch_to(loops)?;
    b.switch(c, &[(middle, &[k]), (loops, &[])], (last, &[k, x]))?;
    b.switch_to(last)?;
    let (j, y) = (b.parameter(Type::I64)?, b.parameter(Type::F64)?);
    b.return_values(&[j, y])?;
    b.end()?;

    b.begin(second)?;
    let tail = b.create_block()?;
    let stop = b.create_block()?;
    b.branch(Value(0), (tail, &[]), (stop, &[]))?;
    b.switch_to(tail)?;
    b.return_call(second, &[])?;
    b.switch_to(stop)?;
    let exit = b.exit(ExitKind::Trap, 9, &[])?;
    b.leave(exit)?;
    b.end()
}

#[test]
fn records_are_laid_out_in_the_order_of_filling() {
    let mut buffers = Buffers::<64>::new();
    let mut b = Builder::new(buffers.storage());
    everything(&mut b).unwrap();
    let counts = b.counts();
    let program = b.finish().unwrap();
    assert_eq!(Counts::of(&program), counts);
    assert_eq!((counts.functions, counts.blocks, counts.exits), (2, 7, 3));
    assert_eq!((counts.signatures, counts.types), (2, 4));
    assert_eq!((program.slot_count, program.regions[0].size), (3, 64));

    // Spans follow one another without gaps.
    let (mut block, mut op) = (0, 0);
    for function in program.functions {
        assert_eq!((function.first_block, function.first_op), (block, op));
        for record in program.blocks_of(function) {
            assert_eq!(record.first_op, op);
            assert!(record.op_count > record.parameter_count);
            for index in 0..record.parameter_count {
                let parameter = program.ops[(op + index) as usize];
                assert_eq!((parameter.code, parameter.a), (Opcode::Parameter, index));
            }
            op += record.op_count;
        }
        block += function.block_count;
        assert_eq!(op, function.first_op + function.op_count);
    }
    assert_eq!((block, op), (7, program.ops.len() as u32));

    // The edges follow their blocks: entry, middle, loops, last.
    let end_of = |block: usize| {
        let record = program.blocks[block];
        program.ops[(record.first_op + record.op_count - 1) as usize]
    };
    assert_eq!(program.edge(end_of(0).b).block, 1);
    let branch = end_of(1);
    assert_eq!(
        (program.edge(branch.b).block, program.edge(branch.c).block),
        (2, 3)
    );
    assert_eq!(program.edge(branch.c).arguments.len(), 2);
    let switch = end_of(2);
    let targets = program.list(switch.b);
    let default = program.extra[switch.b as usize + 1 + targets.len()];
    let blocks: Vec<u32> = targets.iter().map(|&at| program.edge(at).block).collect();
    assert_eq!((blocks, program.edge(default).block), (vec![1, 2], 3));
    let branch = end_of(4);
    assert_eq!(
        (program.edge(branch.b).block, program.edge(branch.c).block),
        (5, 6)
    );

    // Constants are zero-extended; positions stand at ops, but not at parameters and further results.
    for (index, (op, &position)) in (0..).zip(program.ops.iter().zip(program.positions)) {
        if op.code == Opcode::I32Const {
            assert_eq!(op.constant(), 0xffff_ffff);
        }
        let first = index < program.functions[1].first_op;
        let marked = first && !matches!(op.code, Opcode::Parameter | Opcode::Result);
        assert_eq!(position, if marked { 5 } else { NONE }, "{op:?}");
    }
}

#[test]
fn every_capacity_from_nothing_to_enough_is_an_error_or_a_program() {
    let mut buffers = Buffers::<64>::new();
    let mut b = Builder::new(buffers.storage());
    everything(&mut b).unwrap();
    let enough = b.counts();

    type Change = fn(&mut Counts) -> &mut usize;
    let tables: &[(Which, Change)] = &[
        (Which::Functions, |c| &mut c.functions),
        (Which::Blocks, |c| &mut c.blocks),
        (Which::Ops, |c| &mut c.ops),
        (Which::Extra, |c| &mut c.extra),
        (Which::Exits, |c| &mut c.exits),
        (Which::Signatures, |c| &mut c.signatures),
        (Which::Types, |c| &mut c.types),
        (Which::Regions, |c| &mut c.regions),
        (Which::Hosts, |c| &mut c.hosts),
        (Which::Tags, |c| &mut c.tags),
    ];
    for &(which, change) in tables {
        let most = *change(&mut enough.clone());
        assert!(most > 0);
        for capacity in 0..most {
            let mut counts = enough;
            *change(&mut counts) = capacity;
            let mut tables = Tables::new(counts, enough.ops);
            let mut b = Builder::new(tables.storage());
            let full = Error::Full {
                storage: which,
                needed: capacity + 1,
            };
            assert_eq!(everything(&mut b), Err(full));
            // The error stays.
            assert_eq!(b.fence(), Err(full));
            assert_eq!(b.finish().map(drop), Err(full));
        }
    }
    for positions in 0..=enough.ops {
        let mut tables = Tables::new(enough, positions);
        let mut b = Builder::new(tables.storage());
        let result = everything(&mut b);
        if positions == 0 || positions == enough.ops {
            assert_eq!(result, Ok(()));
            assert_eq!(b.finish().unwrap().positions.len(), positions);
        } else {
            let (storage, needed) = (Which::Positions, positions + 1);
            assert_eq!(result, Err(Error::Full { storage, needed }));
        }
    }
}

/// The rule that a use of the builder breaks.
fn broken(step: impl FnOnce(&mut Builder<'_>) -> Result<(), Error>) -> Rule {
    let mut buffers = Buffers::<64>::new();
    let mut b = Builder::new(buffers.storage());
    let error = match step(&mut b) {
        Ok(()) => b.finish().map(drop),
        error => error,
    };
    match error {
        Err(Error::Invalid { rule, .. }) => rule,
        other => panic!("{other:?}"),
    }
}

/// A step in the entry block of a function with an i64 parameter.
fn in_entry(step: impl FnOnce(&mut Builder<'_>) -> Result<(), Error>) -> Rule {
    broken(|b| {
        let signature = b.signature(&[Type::I64], &[])?;
        let function = b.declare(signature)?;
        b.begin(function)?;
        step(b)
    })
}

#[test]
fn misuse_is_refused() {
    let exit = ExitId(0);
    let value = Value(0);
    assert_eq!(broken(|b| b.fence()), Rule::BuildBlocks);
    assert_eq!(broken(|b| b.create_block().map(drop)), Rule::BuildFunctions);
    assert_eq!(broken(|b| b.end()), Rule::BuildFunctions);
    assert_eq!(broken(|b| b.switch_to(BlockId(0))), Rule::BuildFunctions);
    assert_eq!(
        broken(|b| b.begin(FunctionId(1)).map(drop)),
        Rule::BuildFunctions
    );
    assert_eq!(
        broken(|b| b.begin(FunctionId(0)).map(drop)),
        Rule::FunctionRange
    );
    assert_eq!(
        broken(|b| {
            let function = b.declare(SignatureId(3))?;
            b.begin(function).map(drop)
        }),
        Rule::SignatureRange
    );
    assert_eq!(
        broken(|b| {
            let signature = b.signature(&[], &[])?;
            b.declare(signature).map(drop)
        }),
        Rule::BuildFunctions
    );
    let types = [Type::I32; MAX_ARGUMENTS + 1];
    assert_eq!(
        broken(|b| b.signature(&types, &[]).map(drop)),
        Rule::SignatureLength
    );
    assert_eq!(
        broken(|b| b.signature(&[], &types).map(drop)),
        Rule::SignatureLength
    );
    assert_eq!(
        broken(|b| (0..=MAX_REGIONS).try_for_each(|_| b.region(8).map(drop))),
        Rule::RegionCount
    );
    let counts = Counts {
        tags: MAX_TAGS + 1,
        ..Counts::default()
    };
    let mut tables = Tables::new(counts, 0);
    let mut b = Builder::new(tables.storage());
    let tags = (0..=MAX_TAGS).try_for_each(|_| b.tag(Tag::default()).map(drop));
    assert!(matches!(
        tags,
        Err(Error::Invalid {
            rule: Rule::TagCount,
            ..
        })
    ));

    assert_eq!(in_entry(|_| Ok(())), Rule::BuildFunctions);
    assert_eq!(
        in_entry(|b| b.begin(FunctionId(0)).map(drop)),
        Rule::BuildFunctions
    );
    assert_eq!(in_entry(|b| b.end()), Rule::BuildBlocks);
    assert_eq!(in_entry(|b| b.switch_to(BlockId(0))), Rule::BuildBlocks);
    assert_eq!(
        in_entry(|b| {
            b.return_values(&[])?;
            b.fence()
        }),
        Rule::BuildBlocks
    );
    assert_eq!(
        in_entry(|b| {
            b.return_values(&[])?;
            b.switch_to(BlockId(0))
        }),
        Rule::BuildBlocks
    );
    assert_eq!(
        in_entry(|b| {
            b.return_values(&[])?;
            b.switch_to(BlockId(1))
        }),
        Rule::EdgeTarget
    );
    assert_eq!(
        in_entry(|b| {
            b.jump(BlockId(9), &[])?;
            b.end()
        }),
        Rule::EdgeTarget
    );
    assert_eq!(
        in_entry(|b| {
            b.create_block()?;
            b.return_values(&[])?;
            b.end()
        }),
        Rule::BuildBlockFilled
    );
    assert_eq!(
        in_entry(|b| {
            b.fence()?;
            b.parameter(Type::I32).map(drop)
        }),
        Rule::ParameterPlace
    );
    let access = Access {
        region: RegionId(0),
        index: value,
        scale: 4,
        offset: 0,
    };
    assert_eq!(
        in_entry(|b| b.load(Opcode::I64Load, access, exit).map(drop)),
        Rule::RegionRange
    );
    assert_eq!(
        in_entry(|b| {
            b.region(8)?;
            b.load(Opcode::I64Load, access, exit).map(drop)
        }),
        Rule::BuildScale
    );
    assert_eq!(
        in_entry(|b| b.call(FunctionId(1), &[], None).map(drop)),
        Rule::FunctionRange
    );
    assert_eq!(
        in_entry(|b| b.call_host(HostId(0), &[], None).map(drop)),
        Rule::HostRange
    );
    assert_eq!(
        in_entry(|b| b.call_indirect(SignatureId(1), value, &[], exit).map(drop)),
        Rule::SignatureRange
    );
}

#[test]
fn ops_are_built_with_the_method_for_their_shape() {
    let (exit, v) = (ExitId(0), Value(0));
    let a = Access {
        region: RegionId(0),
        index: v,
        scale: 0,
        offset: 0,
    };
    type Method = fn(&mut Builder<'_>, Opcode, Value, Access, ExitId) -> Result<(), Error>;
    let methods: &[(Method, &[&str])] = &[
        (|b, c, _, _, _| b.constant(c, 0).map(drop), &["Constant"]),
        (|b, c, v, _, _| b.unary(c, v).map(drop), &["Unary"]),
        (
            |b, c, v, _, e| b.unary_else(c, v, e).map(drop),
            &["Unary leaving"],
        ),
        (|b, c, v, _, _| b.binary(c, v, v).map(drop), &["Binary"]),
        (
            |b, c, v, _, e| b.binary_else(c, v, v, e).map(drop),
            &["Binary leaving"],
        ),
        (|b, c, v, _, _| b.select(c, v, v, v).map(drop), &["Select"]),
        (|b, c, _, a, e| b.load(c, a, e).map(drop), &["Load leaving"]),
        (|b, c, v, a, e| b.store(c, a, v, e), &["Store leaving"]),
        (
            |b, c, v, a, e| b.update(c, a, v, e).map(drop),
            &["Update leaving"],
        ),
        (
            |b, c, v, a, e| b.compare_exchange(c, a, v, v, e).map(drop),
            &["CompareExchange leaving"],
        ),
        (|b, c, v, _, _| b.raw_load(c, v, 0).map(drop), &["Load"]),
        (|b, c, v, _, _| b.raw_store(c, v, 0, v), &["Store"]),
        (|b, c, _, _, _| b.slot_get(c, 0).map(drop), &["SlotGet"]),
        (|b, c, v, _, _| b.slot_set(c, 0, v), &["SlotSet"]),
        (|b, c, v, _, e| b.guard(c, v, e), &["Guard leaving"]),
    ];
    for code in Opcode::all() {
        let info = code.info();
        let leaving = if info.has(patchjit::ops::flags::LEAVES) {
            " leaving"
        } else {
            ""
        };
        let shape = format!("{:?}{leaving}", info.shape);
        for (method, shapes) in methods {
            let mut buffers = Buffers::<16>::new();
            let mut b = Builder::new(buffers.storage());
            b.region(8).unwrap();
            let signature = b.signature(&[Type::I64], &[]).unwrap();
            let function = b.declare(signature).unwrap();
            b.begin(function).unwrap();
            let result = method(&mut b, code, v, a, exit);
            if shapes.contains(&shape.as_str()) {
                assert_eq!(result, Ok(()), "{code:?}");
            } else {
                let rule = Rule::BuildMethod;
                assert!(
                    matches!(result, Err(Error::Invalid { rule: found, .. }) if found == rule),
                    "{code:?} by {shapes:?}: {result:?}"
                );
            }
        }
    }
}
