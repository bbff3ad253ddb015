//! The verifier on programs with words changed at random: no panic, and what passes keeps the rules by a second,
//! slower look at them.

mod records;

use patchjit::ir::{ExitKind, NONE, Op, Program, place_slot, place_tag};
use patchjit::ops::{Opcode, Shape, flags};
use patchjit::types::Type;
use patchjit::verify::{Verified, verify, workspace_words};
use records::{Random, Records, sample};

/// A word that may be wrong in an interesting way.
fn word(random: &mut Random, old: u32, r: &Records) -> u32 {
    match random.below(10) {
        0 => old.wrapping_add(1),
        1 => old.wrapping_sub(1),
        2 => old ^ 1 << random.below(32),
        3 => random.bits() as u32,
        4 => [0, 1, NONE, NONE - 1, 1 << 31, i32::MAX as u32][random.below(6)],
        5 => random.below(r.extra.len() + 2) as u32,
        6 => random.below(r.blocks.len() + 2) as u32,
        7 => random.below(6) as u32,
        _ => random.below(r.ops.len() + 2) as u32,
    }
}

/// Changes one word of some record.
fn mutate(random: &mut Random, r: &mut Records) {
    let whole = r.clone();
    match random.below(24) {
        0 => {
            let function = random.below(r.functions.len());
            let function = &mut r.functions[function];
            let field = match random.below(5) {
                0 => &mut function.signature,
                1 => &mut function.first_block,
                2 => &mut function.block_count,
                3 => &mut function.first_op,
                _ => &mut function.op_count,
            };
            *field = word(random, *field, &whole);
        }
        1 | 2 => {
            let block = random.below(r.blocks.len());
            let block = &mut r.blocks[block];
            let field = match random.below(3) {
                0 => &mut block.first_op,
                1 => &mut block.op_count,
                _ => &mut block.parameter_count,
            };
            *field = word(random, *field, &whole);
        }
        3 => {
            let exit = random.below(r.exits.len());
            let exit = &mut r.exits[exit];
            match random.below(3) {
                0 => exit.snapshot = word(random, exit.snapshot, &whole),
                1 => exit.entry_count = word(random, exit.entry_count, &whole),
                _ => {
                    exit.kind = match exit.kind {
                        ExitKind::Trap => ExitKind::Deoptimize,
                        ExitKind::Deoptimize => ExitKind::Trap,
                    }
                }
            }
        }
        4 => {
            let signature = random.below(r.signatures.len());
            let signature = &mut r.signatures[signature];
            match random.below(3) {
                0 => signature.first_type = word(random, signature.first_type, &whole),
                1 => signature.parameter_count = word(random, 2, &whole) as u16,
                _ => signature.result_count = word(random, 2, &whole) as u16,
            }
        }
        5 => {
            let at = random.below(r.types.len());
            r.types[at] = Type::ALL[random.below(5)];
        }
        6 => match random.below(5) {
            0 => r.slot_count = word(random, r.slot_count, &whole),
            1 => drop(r.regions.pop()),
            2 => drop(r.positions.pop()),
            3 => drop(r.extra.pop()),
            _ => r.hosts[0].signature = word(random, 0, &whole),
        },
        7..=11 => {
            let at = random.below(r.extra.len());
            r.extra[at] = word(random, r.extra[at], &whole);
        }
        12 => {
            let (a, b) = (random.below(r.ops.len()), random.below(r.ops.len()));
            r.ops.swap(a, b);
        }
        kind => {
            let op = random.below(r.ops.len());
            let op = &mut r.ops[op];
            match kind {
                13..=15 => {
                    op.code = match Opcode::all().nth(random.below(Opcode::COUNT)) {
                        Some(code) => code,
                        None => op.code,
                    }
                }
                16 => op.aux = word(random, u32::from(op.aux), &whole) as u16,
                17..=19 => op.a = word(random, op.a, &whole),
                20 | 21 => op.b = word(random, op.b, &whole),
                _ => op.c = word(random, op.c, &whole),
            }
        }
    }
}

/// All operands of an op, with the types that they must have, if any is asked for; edges as pairs of block
/// and arguments are added to `edges`.
fn operands(
    program: &Program,
    signature: u32,
    op: &Op,
    edges: &mut Vec<u32>,
) -> Vec<(u32, Option<Type>)> {
    let info = op.code.info();
    let raw = info.has(flags::RAW);
    let mut all = Vec::new();
    for (value, ty) in [op.a, op.b, op.c]
        .into_iter()
        .zip(info.operands)
        .take(info.operand_count as usize)
    {
        all.push((value, Some(ty)));
    }
    let mut exit = None;
    let extra = |at: u32, index: usize| program.extra[at as usize + index];
    let typed = |values: &[u32], types: &[Type]| {
        assert_eq!(values.len(), types.len());
        let pairs = values.iter().zip(types);
        pairs
            .map(|(&value, &ty)| (value, Some(ty)))
            .collect::<Vec<_>>()
    };
    let call = |exit: &mut Option<u32>, signature: u32, list: u32| {
        let results = program.results(signature);
        assert_eq!(op.result(), results.first().copied());
        if op.c != NONE {
            *exit = Some(op.c);
        }
        typed(program.list(list), program.parameters(signature))
    };
    match info.shape {
        Shape::Unary | Shape::Binary if info.has(flags::LEAVES) => exit = Some(op.c),
        Shape::Guard | Shape::Poll | Shape::Exit => exit = Some(op.c),
        Shape::Load | Shape::Store | Shape::Update if !raw => exit = Some(extra(op.c, 1)),
        Shape::CompareExchange => {
            exit = Some(extra(op.c, 1));
            all[2].0 = extra(op.c, 2);
        }
        Shape::Call | Shape::CallCell => {
            let callee = program.functions[op.a as usize];
            all.extend(call(&mut exit, callee.signature, op.b));
        }
        Shape::CallHost => {
            let host = program.hosts[op.a as usize];
            all.extend(call(&mut exit, host.signature, op.b));
        }
        Shape::CallIndirect => all.extend(call(&mut exit, extra(op.b, 0), op.b + 1)),
        Shape::Jump => edges.push(op.b),
        Shape::Branch => edges.extend([op.b, op.c]),
        Shape::Switch => {
            let count = extra(op.b, 0) as usize;
            edges.extend((0..=count).map(|index| extra(op.b, 1 + index)));
        }
        Shape::Return => all.extend(typed(program.list(op.b), program.results(signature))),
        Shape::ReturnCall => {
            let callee = program.functions[op.a as usize].signature;
            assert_eq!(program.results(callee), program.results(signature));
            all.extend(typed(program.list(op.b), program.parameters(callee)));
        }
        _ => (),
    }
    if let Some(exit) = exit {
        let snapshot = program.snapshot(&program.exits[exit as usize]);
        assert_eq!(
            snapshot.len(),
            2 * program.exits[exit as usize].entry_count as usize
        );
        for pair in snapshot.chunks(2) {
            assert!(place_slot(pair[0]) < program.slot_count);
            if let Some(tag) = place_tag(pair[0]) {
                assert!(usize::from(tag) < program.tags.len());
                let ty = program.ops[pair[1] as usize].result().unwrap();
                assert!(Opcode::boxes(ty).is_some());
            }
            all.push((pair[1], None));
        }
    }
    all
}

/// Whether a walk from the entry reaches block `to` without block `without`.
fn reaches(successors: &[Vec<u32>], to: u32, without: Option<u32>) -> bool {
    let mut seen = vec![false; successors.len()];
    let mut waiting = vec![0];
    while let Some(block) = waiting.pop() {
        if Some(block) == without || seen[block as usize] {
            continue;
        }
        seen[block as usize] = true;
        waiting.extend(&successors[block as usize]);
    }
    seen[to as usize]
}

/// Looks at what passed again, the slow way. Panics where a rule is broken.
fn look_again(verified: &Verified) {
    let program = verified.program();
    let mut next_op = 0;
    for function in program.functions {
        let blocks = program.blocks_of(function);
        let mut uses = Vec::new();
        let mut successors = vec![Vec::new(); blocks.len()];
        for (local, block) in blocks.iter().enumerate() {
            assert_eq!(block.first_op, next_op);
            next_op += block.op_count;
            for at in block.first_op..next_op {
                let op = &program.ops[at as usize];
                let info = op.code.info();
                assert_eq!(info.has(flags::TERMINATES), at + 1 == next_op);
                let parameter = info.shape == Shape::Parameter;
                assert_eq!(parameter, at - block.first_op < block.parameter_count);
                let mut edges = Vec::new();
                for (value, ty) in operands(program, function.signature, op, &mut edges) {
                    uses.push((at, local as u32, value, ty));
                }
                for edge in edges {
                    let edge = program.edge(edge);
                    let target = edge.block - function.first_block;
                    assert!(target != 0);
                    let block = &blocks[target as usize];
                    assert_eq!(edge.arguments.len(), block.parameter_count as usize);
                    for (index, &argument) in edge.arguments.iter().enumerate() {
                        let ty = program.ops[block.first_op as usize + index].result();
                        uses.push((at, local as u32, argument, Some(ty.unwrap())));
                    }
                    successors[local].push(target);
                }
            }
        }
        for (at, block, value, ty) in uses {
            let given = program.ops[value as usize].result().unwrap();
            assert!(ty.is_none_or(|ty| ty == given));
            let origin = blocks
                .iter()
                .position(|block| {
                    (block.first_op..block.first_op + block.op_count).contains(&value)
                })
                .unwrap() as u32;
            let dominated = if origin == block {
                value < at
            } else {
                !reaches(&successors, block, Some(origin))
            };
            assert!(dominated || !reaches(&successors, block, None));
        }
    }
    assert_eq!(next_op as usize, program.ops.len());
}

fn run(seed: u64, rounds: usize, most: usize) -> usize {
    let mut random = Random(seed);
    let whole = sample();
    let mut workspace = vec![0; 1 << 16];
    let mut passed = 0;
    let mut current = whole.clone();
    for _ in 0..rounds {
        let mut r = current.clone();
        for _ in 0..1 + random.below(most) {
            mutate(&mut random, &mut r);
        }
        let program = r.program();
        let words = workspace_words(&program);
        if words > workspace.len() {
            // What records may ask for is bounded by what they are.
            assert!(words < 100 * (r.ops.len() + r.blocks.len() + r.extra.len()).pow(2));
        }
        if let Ok(verified) = verify(program, &mut workspace) {
            look_again(&verified);
            passed += 1;
            // Go on from here for a while, to get farther away.
            current = if random.below(64) == 0 {
                whole.clone()
            } else {
                r
            };
        }
    }
    passed
}

#[test]
fn single_changes() {
    let passed = run(0x5eed, 60_000, 1);
    assert!(passed > 2000, "{passed}");
}

#[test]
fn several_changes() {
    let passed = run(0xfeed_f00d, 40_000, 4);
    assert!(passed > 500, "{passed}");
}
