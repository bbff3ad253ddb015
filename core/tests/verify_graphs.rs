//! The verifier's dominator trees against the definition of dominance, and its time against the size of programs.

mod records;

use patchjit::ir::{ExitKind, NONE};
use patchjit::ops::Opcode;
use patchjit::types::Type::I64;
use patchjit::verify::{verify, workspace_words};
use records::{Random, Records};
use std::time::{Duration, Instant};

/// A function without parameters whose blocks end in edges to these blocks.
fn graph(successors: &[Vec<u32>]) -> Records {
    let mut r = Records::default();
    let signature = r.signature(&[], &[]);
    add_graph(&mut r, signature, successors);
    r
}

fn add_graph(r: &mut Records, signature: u32, successors: &[Vec<u32>]) {
    r.function(signature);
    let first = r.blocks.len() as u32;
    for targets in successors {
        r.block(&[]);
        let targets: Vec<u32> = targets.iter().map(|target| first + target).collect();
        match targets[..] {
            [] => {
                r.ret(&[]);
            }
            [target] => {
                r.jump(target, &[]);
            }
            [then, otherwise] => {
                let condition = r.i32(0);
                r.branch(condition, then, otherwise);
            }
            _ => {
                let index = r.i32(0);
                r.switch(index, &targets);
            }
        }
    }
}

/// Which blocks can be reached from the entry without going through one of them.
fn reached_without(successors: &[Vec<u32>], without: usize) -> Vec<bool> {
    let mut reached = vec![false; successors.len()];
    let mut waiting = vec![0usize];
    while let Some(block) = waiting.pop() {
        if block == without || reached[block] {
            continue;
        }
        reached[block] = true;
        waiting.extend(successors[block].iter().map(|&target| target as usize));
    }
    reached
}

/// Compares what the verifier says of blocks from `first` on with the definitions.
fn compare(r: &Records, function: u32, first: usize, successors: &[Vec<u32>]) -> (bool, bool) {
    let count = successors.len();
    let reached = reached_without(successors, NONE as usize);
    let without: Vec<Vec<bool>> = (0..count)
        .map(|block| reached_without(successors, block))
        .collect();
    let dominates = |a: usize, b: usize| reached[a] && reached[b] && !without[a][b];
    r.verify_with(|result| {
        let verified = result.unwrap();
        let mut in_order = true;
        for (block, &is_reached) in reached.iter().enumerate() {
            let at = (first + block) as u32;
            assert_eq!(verified.is_reachable(at), is_reached, "{successors:?}");
            // The immediate dominator is dominated by all others.
            let strict: Vec<usize> = (0..count)
                .filter(|&a| a != block && dominates(a, block))
                .collect();
            let immediate = strict
                .iter()
                .find(|&&a| strict.iter().all(|&b| dominates(b, a)));
            let expected = immediate.map_or(NONE, |&a| (first + a) as u32);
            assert_eq!(
                verified.immediate_dominator(at),
                expected,
                "block {block} of {successors:?}"
            );
            in_order &= immediate.is_none_or(|&a| a < block);
            for other in 0..count {
                let expected = dominates(other, block);
                let said = verified.dominates((first + other) as u32, at);
                assert_eq!(said, expected, "{other} over {block} of {successors:?}");
            }
        }
        assert_eq!(verified.is_in_order(function), in_order, "{successors:?}");
        (in_order, reached.iter().all(|&reached| reached))
    })
}

/// Random edges: mostly to blocks nearby, so that many graphs are in order and many are not.
fn random_graph(random: &mut Random, count: usize) -> Vec<Vec<u32>> {
    let backward = random.below(4);
    (0..count)
        .map(|block| {
            let edges = [0, 1, 1, 1, 2, 2, 2, 3, 5][random.below(9)];
            let edge = |random: &mut Random| {
                let forward = block + 1 < count && random.below(8) >= backward;
                let target = if forward {
                    block + 1 + random.below((count - block - 1).min(4))
                } else {
                    1 + random.below(count - 1)
                };
                target as u32
            };
            (0..edges).map(|_| edge(random)).collect()
        })
        .collect()
}

#[test]
fn dominators_of_random_graphs() {
    let mut random = Random(0x1234_5678_9abc_def1);
    let mut seen = [0; 4];
    for round in 0..6000 {
        let count = 2 + random.below(if round % 50 == 0 { 60 } else { 14 });
        let successors = random_graph(&mut random, count);
        let (in_order, all) = compare(&graph(&successors), 0, 0, &successors);
        seen[usize::from(in_order) * 2 + usize::from(all)] += 1;
    }
    assert!(seen.iter().all(|&count| count > 100), "{seen:?}");
}

#[test]
fn dominators_of_functions_behind_one_another() {
    // The second function's blocks begin elsewhere than at 0, and what the first left behind is in the way.
    let mut random = Random(99);
    for _ in 0..300 {
        let mut r = Records::default();
        let signature = r.signature(&[], &[]);
        let graphs = [9, 17, 5].map(|count| random_graph(&mut random, count));
        let mut first = 0;
        for successors in &graphs {
            add_graph(&mut r, signature, successors);
        }
        for (function, successors) in graphs.iter().enumerate() {
            compare(&r, function as u32, first, successors);
            first += successors.len();
        }
    }
}

/// Blocks in the other order, the entry aside.
fn backward(successors: &[Vec<u32>]) -> Vec<Vec<u32>> {
    let count = successors.len() as u32;
    let place = |block: u32| if block == 0 { 0 } else { count - block };
    (0..count)
        .map(|block| {
            let targets = &successors[place(block) as usize];
            targets.iter().map(|&target| place(target)).collect()
        })
        .collect()
}

/// Two rails with rungs both ways, as both ends of an edge at each height; irreducible if `crossed`.
fn ladder(rungs: u32, crossed: bool) -> Vec<Vec<u32>> {
    let mut successors = vec![vec![1, 2]];
    for rung in 0..rungs {
        let (left, right) = (1 + 2 * rung, 2 + 2 * rung);
        let last = rung + 1 == rungs;
        let mut from_left = if last { vec![] } else { vec![left + 2] };
        let mut from_right = if last { vec![] } else { vec![right + 2] };
        from_left.push(right);
        if crossed {
            from_right.push(left);
        }
        successors.push(from_left);
        successors.push(from_right);
    }
    successors
}

/// Loops in loops: heads, then latches from the innermost out.
fn nested(depth: u32) -> Vec<Vec<u32>> {
    let mut successors = vec![vec![1]];
    successors.extend((1..=depth).map(|head| vec![head + 1]));
    for latch in 0..depth {
        successors.push(vec![depth - latch, depth + 2 + latch]);
    }
    successors.push(vec![]);
    successors
}

/// A chain of diamonds whose joins are dominated by what is far behind: `from` goes to every block.
fn fan(count: u32) -> Vec<Vec<u32>> {
    let mut successors = vec![(1..count).collect::<Vec<u32>>()];
    successors.extend((1..count).map(|block| {
        if block + 1 < count {
            vec![block + 1]
        } else {
            vec![]
        }
    }));
    successors
}

/// A chain; each block also goes back to the one before, from the last to the first.
fn zigzag(count: u32) -> Vec<Vec<u32>> {
    let mut successors = vec![vec![1, count / 2]];
    successors.extend((1..count).map(|block| {
        let mut targets = vec![];
        if block + 1 < count {
            targets.push(block + 1);
        }
        if block > 1 {
            targets.push(block - 1);
        }
        targets
    }));
    successors
}

#[test]
fn dominators_of_hostile_graphs() {
    for size in [1, 2, 3, 7, 20] {
        let graphs = [
            ladder(size, false),
            ladder(size, true),
            nested(size),
            fan(size + 2),
            zigzag(size + 3),
        ];
        for successors in graphs {
            compare(&graph(&successors), 0, 0, &successors);
            let successors = backward(&successors);
            compare(&graph(&successors), 0, 0, &successors);
        }
    }
}

/// The shortest time of a few verifications.
fn time(r: &Records) -> Duration {
    let program = r.program();
    let mut workspace = vec![0x5555_5555; workspace_words(&program)];
    (0..5)
        .map(|_| {
            let start = Instant::now();
            assert!(verify(program, &mut workspace).is_ok());
            start.elapsed()
        })
        .min()
        .unwrap()
}

/// Time for each unit may grow by a factor of 4 where the size grows by 16 (caches, and a logarithm).
#[track_caller]
fn is_linear(name: &str, make: impl Fn(u32) -> Records, small: u32) {
    let mut last = 0.0;
    // Others work on this machine, too.
    for _ in 0..3 {
        let each = [small, 16 * small].map(|size| {
            let r = make(size);
            time(&r).as_nanos() as f64 / r.ops.len() as f64
        });
        last = each[1] / each[0];
        if last < 4.0 {
            return;
        }
    }
    panic!("{name}: {last} times the time for each op");
}

fn straight(ops: u32) -> Records {
    let mut r = Records {
        slot_count: 4,
        ..Records::default()
    };
    let signature = r.signature(&[I64, I64], &[I64]);
    r.function(signature);
    r.block(&[I64, I64]);
    let codes = [
        Opcode::I64Add,
        Opcode::I64Xor,
        Opcode::I64Mul,
        Opcode::I64ShrU,
    ];
    for at in 2..ops {
        r.op(codes[at as usize % 4], 0, at - 1, at - 2, 0);
    }
    r.ret(&[ops - 1]);
    r
}

/// Functions that each end with the results of the next, the last of which deoptimizes.
fn chain_of_functions(count: u32) -> Records {
    let mut r = Records::default();
    let signature = r.signature(&[], &[]);
    let list = r.list(&[]);
    for function in 1..count {
        r.function(signature);
        r.block(&[]);
        r.op(Opcode::ReturnCall, 0, function, list, 0);
    }
    r.function(signature);
    r.block(&[]);
    let exit = r.exit(ExitKind::Deoptimize, &[]);
    r.op(Opcode::Exit, 0, 0, 0, exit);
    r
}

/// A value of the entry, used in every one of many blocks.
fn live_across(blocks: u32) -> Records {
    let mut r = Records::default();
    let signature = r.signature(&[I64], &[I64]);
    r.function(signature);
    r.block(&[I64]);
    r.jump(1, &[]);
    for block in 1..blocks {
        r.block(&[]);
        r.op(Opcode::I64Add, 0, 0, 0, 0);
        r.jump(block + 1, &[]);
    }
    r.block(&[]);
    r.ret(&[0]);
    r
}

#[test]
fn time_is_linear() {
    is_linear("straight", straight, 1 << 16);
    is_linear("live across", live_across, 1024);
    is_linear("chain of functions", chain_of_functions, 1024);
    is_linear("ladder", |size| graph(&ladder(size, false)), 1024);
    is_linear("crossed ladder", |size| graph(&ladder(size, true)), 1024);
    is_linear("nested loops", |size| graph(&nested(size)), 1024);
    is_linear("fan", |size| graph(&fan(size)), 1024);
    is_linear("zigzag", |size| graph(&zigzag(size)), 1024);
    is_linear(
        "ladder backward",
        |size| graph(&backward(&ladder(size, false))),
        1024,
    );
    is_linear(
        "nested loops backward",
        |size| graph(&backward(&nested(size))),
        1024,
    );
    is_linear("fan backward", |size| graph(&backward(&fan(size))), 1024);
}

/// Loops over some arithmetic and accesses: what compiled programs look like.
fn mixed(count: usize) -> Records {
    let mut random = Random(5);
    let mut r = Records {
        slot_count: 4,
        ..Records::default()
    };
    let signature = r.signature(&[I64, I64], &[I64]);
    r.regions.push(patchjit::ir::Region::fixed(1 << 20));
    r.function(signature);
    let n = r.block(&[I64, I64]);
    let mut known = vec![n, n + 1];
    while r.ops.len() < count {
        // A loop: head, body, then on.
        let head = r.blocks.len() as u32;
        r.jump(head, &[known[known.len() - 1], n]);
        let i = r.block(&[I64, I64]);
        let more = r.op(Opcode::I64LtS, 0, i, n, 0);
        r.branch(more, head + 1, head + 2);
        r.block(&[]);
        let mut values = vec![i, i + 1, n];
        values.extend(known.iter().rev().take(2));
        for _ in 0..8 + random.below(8) {
            let a = values[values.len() - 1 - random.below(values.len().min(6))];
            let b = values[random.below(values.len())];
            let exit = r.exits.len() as u32;
            let value = match random.below(8) {
                0 => {
                    r.exit(ExitKind::Deoptimize, &[(0, i), (1, a)]);
                    r.op(Opcode::I64AddChecked, 0, a, b, exit)
                }
                1 => {
                    r.exit(ExitKind::Trap, &[]);
                    let words = r.words(&[8, exit]);
                    r.op(Opcode::I64Load, 0, a, 0, words)
                }
                2 => r.i64(3),
                _ => r.op(Opcode::I64Add, 0, a, b, 0),
            };
            values.push(value);
        }
        let last = values[values.len() - 1];
        r.jump(head, &[last, values[values.len() - 2]]);
        r.block(&[]);
        known.push(i);
    }
    let last = known[known.len() - 1];
    r.ret(&[last]);
    r
}

/// Prints nanoseconds for each op: `cargo test --release --test verify_graphs -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn speed() {
    let backward_mixed = |size| graph(&backward(&nested(size)));
    let all: [(&str, Records); 8] = [
        ("straight, 1,000 ops", straight(1000)),
        ("straight, 1,000,000 ops", straight(1_000_000)),
        ("loops, 1,000 ops", mixed(1000)),
        ("loops, 1,000,000 ops", mixed(1_000_000)),
        ("live across 100,000 blocks", live_across(100_000)),
        ("ladder of 100,000 rungs", graph(&ladder(100_000, false))),
        ("crossed ladder, 100,000", graph(&ladder(100_000, true))),
        ("100,000 nested loops backward", backward_mixed(100_000)),
    ];
    for (name, r) in &all {
        let elapsed = (0..20).map(|_| time(r)).min().unwrap().as_nanos() as f64;
        let size = r.verify_with(|result| result.unwrap().size());
        println!(
            "{name}: {:.1} ns for each op, {:.1} for each unit, {:.1} bytes of workspace for each op",
            elapsed / r.ops.len() as f64,
            elapsed / size as f64,
            4.0 * workspace_words(&r.program()) as f64 / r.ops.len() as f64,
        );
    }
}
