//! The verifier: the rules about operands, exits, edges, accesses and calls, each broken by itself.

mod records;

use patchjit::error::{Error, Rule, Storage};
use patchjit::ir::{ExitKind, IN_BOUNDS, MAX_OFFSET, NONE, access_aux};
use patchjit::ops::Opcode;
use patchjit::types::Type::{self, I32, I64};
use patchjit::verify::{verify, workspace_words};
use records::{Records, base, body, calls_itself, sample, uses_value};

#[test]
fn value_range() {
    uses_value(4).passes();
    for value in [0, 1, 3, 8, 1 << 31, u32::MAX] {
        uses_value(value).breaks_at(Rule::ValueRange, 5);
    }
    // In the next function, too.
    let mut r = base();
    r.function(0);
    let n = r.block(&[I64]);
    r.ret(&[n]);
    let list = r.list(&[n]);
    r.ops[3].b = list;
    r.breaks_at(Rule::ValueRange, 3);
    // In a snapshot.
    let r = body(|r| {
        let exit = r.exit(ExitKind::Trap, &[(0, 99)]);
        r.op(Opcode::Poll, 0, 0, 0, exit);
    });
    r.breaks_at(Rule::ValueRange, 0);
}

#[test]
fn value_given() {
    uses_value(7).breaks_at(Rule::ValueGiven, 5);
    let r = body(|r| {
        let fence = r.op(Opcode::Fence, 0, 0, 0, 0);
        let exit = r.exit(ExitKind::Trap, &[(0, fence)]);
        r.op(Opcode::Poll, 0, 0, 0, exit);
    });
    r.breaks_at(Rule::ValueGiven, 1);
    // A call without results.
    let r = body(|r| {
        let call = r.call(0, 0, &[], NONE);
        r.op(Opcode::I32Eqz, 0, call, 0, 0);
    });
    r.breaks_at(Rule::ValueGiven, 1);
}

#[test]
fn value_type_of_every_operand() {
    // Every op of one or two operands, with each operand once of a wrong type.
    let mut seen = 0;
    for code in Opcode::all() {
        use patchjit::ops::{Shape, flags};
        let info = code.info();
        let scalar = matches!(info.shape, Shape::Unary | Shape::Binary | Shape::Select);
        if !scalar {
            continue;
        }
        let count = info.operand_count as usize;
        let leaves = info.has(flags::LEAVES);
        for wrong in 0..=count {
            let r = body(|r| {
                let zeros: Vec<u32> = [
                    Opcode::I32Const,
                    Opcode::I64Const,
                    Opcode::F32Const,
                    Opcode::F64Const,
                ]
                .into_iter()
                .map(|code| r.op(code, 0, 0, 0, 0))
                .collect();
                let reference = r.op(Opcode::RefFromI64, 0, zeros[1], 0, 0);
                let mut operands = [0; 3];
                for (index, operand) in operands.iter_mut().take(count).enumerate() {
                    let ty = info.operands[index] as usize + usize::from(index == wrong);
                    *operand = *zeros.get(ty % 5).unwrap_or(&reference);
                }
                let exit = r.exit(ExitKind::Trap, &[]);
                if leaves {
                    operands[2] = exit;
                }
                r.op(code, 0, operands[0], operands[1], operands[2]);
            });
            if wrong == count {
                r.passes();
            } else {
                r.breaks_at(Rule::ValueType, 5);
            }
            seen += 1;
        }
    }
    assert!(seen > 350, "{seen}");
}

#[test]
fn value_type_elsewhere() {
    use Opcode::*;
    let exit_op = |code, operand: Type| {
        body(|r| {
            let value = if operand == I32 { r.i32(0) } else { r.i64(0) };
            let exit = r.exit(ExitKind::Trap, &[]);
            r.op(code, 0, value, 0, exit);
        })
    };
    exit_op(Guard, I32).passes();
    exit_op(Guard, I64).breaks_at(Rule::ValueType, 1);
    exit_op(GuardNot, I64).breaks_at(Rule::ValueType, 1);
    // Branch, switch, return, edge and call arguments, slots, accesses.
    let mut r = sample();
    let find = |r: &Records, code| r.ops.iter().position(|op| op.code == code).unwrap();
    let n = 0; // An i64.
    let x = 1; // An f64.
    for (code, value) in [
        (Branch, n),
        (Switch, n),
        (I64Store, x),
        (F64Load, x),
        (F64SlotSet, n),
        (I64RawLoad, x),
        (I64RawStore, x),
        (I64AtomicAdd, x),
        (I64AtomicCmpxchg, x),
        (CallIndirect, x),
    ] {
        let at = find(&r, code);
        let before = r.ops[at].a;
        r.ops[at].a = value;
        r.breaks_at(Rule::ValueType, at as u32);
        r.ops[at].a = before;
    }
    for code in [I64Store, I64RawStore, I64AtomicAdd, I64AtomicCmpxchg] {
        let at = find(&r, code);
        let before = r.ops[at].b;
        r.ops[at].b = x;
        r.breaks_at(Rule::ValueType, at as u32);
        r.ops[at].b = before;
    }
    // Words in `extra`: the replacement, arguments, returned values.
    for (code, word) in [
        (I64AtomicCmpxchg, 2),
        (Call, 2),
        (CallCell, 1),
        (CallHost, 1),
        (CallIndirect, 2),
        (Jump, 3),
        (Return, 2),
        (ReturnCall, 1),
    ] {
        let at = find(&r, code);
        let list = if code == I64AtomicCmpxchg {
            r.ops[at].c
        } else {
            r.ops[at].b
        };
        let word = list as usize + word;
        let before = r.extra[word];
        // An i32 where something else is asked for; in the second function, a value of the first.
        r.extra[word] = find(&r, I32Const) as u32;
        let rule = if code == ReturnCall {
            Rule::ValueRange
        } else {
            Rule::ValueType
        };
        r.breaks_at(rule, at as u32);
        r.extra[word] = before;
    }
    r.passes();
}

/// Two arms that meet: `0 -> 1, 2; 1 -> 3; 2 -> 3`; values are made in blocks 0, 1 and 2, and used in
/// block 3 by `i64.eqz`, op 8.
fn diamond(value: u32) -> Records {
    let mut r = Records::default();
    let signature = r.signature(&[], &[]);
    r.function(signature);
    r.block(&[]);
    let condition = r.i32(0);
    r.i64(0);
    r.branch(condition, 1, 2);
    r.block(&[]);
    r.i64(0);
    r.jump(3, &[]);
    r.block(&[]);
    r.i64(0);
    r.jump(3, &[]);
    r.block(&[]);
    r.i64(0);
    r.op(Opcode::I64Eqz, 0, value, 0, 0);
    r.i64(0);
    r.ret(&[]);
    r
}

#[test]
fn value_dominates() {
    for value in [1, 7] {
        diamond(value).passes();
    }
    for value in [3, 5, 9] {
        diamond(value).breaks_at(Rule::ValueDominates, 8);
    }
    // Itself.
    let r = body(|r| {
        r.op(Opcode::I32Clz, 0, 0, 0, 0);
    });
    r.breaks_at(Rule::ValueDominates, 0);
    // Edge arguments, returned values, snapshots, call arguments; a call's own result in its snapshot.
    let mut r = diamond(1);
    let list = r.list(&[3]);
    r.types.push(I64);
    r.signatures[0].result_count = 1;
    r.ops[10].b = list;
    r.breaks_at(Rule::ValueDominates, 10);
    let mut r = diamond(1);
    let exit = r.exit(ExitKind::Trap, &[(0, 1), (1, 5)]);
    r.slot_count = 2;
    r.ops[8] = patchjit::ir::Op {
        code: Opcode::Poll,
        aux: 0,
        a: 0,
        b: 0,
        c: exit,
    };
    r.breaks_at(Rule::ValueDominates, 8);
    for own in [0, 1] {
        let mut r = calls_itself(&[I64, I64]);
        r.slot_count = 1;
        r.ops[0].c = r.exit(ExitKind::Deoptimize, &[(0, own)]);
        r.breaks_at(Rule::ValueDominates, 0);
    }
    let mut r = Records::default();
    let signature = r.signature(&[], &[]);
    r.function(signature);
    r.block(&[]);
    r.jump(1, &[3]);
    r.block(&[I64]);
    r.i64(0);
    r.i64(0);
    r.jump(1, &[3]);
    r.breaks_at(Rule::ValueDominates, 0);
    let edge = r.edge(1, &[2]);
    r.ops[4].b = edge;
    r.ops[0].b = edge;
    r.breaks_at(Rule::ValueDominates, 0);
}

#[test]
fn unreachable_blocks() {
    // They may use what they like, of their own function and of the right type; nobody may use theirs.
    let mut r = base();
    r.block(&[]);
    let at = r.ops.len() as u32;
    r.op(Opcode::I64Add, 0, at + 1, 0, 0);
    r.op(Opcode::I64Add, 0, at, 1, 0);
    r.jump(1, &[]);
    r.passes();
    r.ops[at as usize].a = at + 2;
    r.breaks_at(Rule::ValueGiven, at);
    r.ops[at as usize].a = at + 3;
    r.breaks_at(Rule::ValueRange, at);
    r.ops[at as usize].a = at + 1;
    let list = r.list(&[at]);
    r.ops[3].b = list;
    r.breaks_at(Rule::ValueDominates, 3);
}

#[test]
fn extra_range() {
    let whole = sample();
    let extra = whole.extra.len() as u32;
    for (index, op) in whole.ops.iter().enumerate() {
        use patchjit::ops::{Shape::*, flags};
        let raw = op.code.info().has(flags::RAW);
        let fields: &[usize] = match op.code.info().shape {
            Load | Store | Update | CompareExchange if !raw => &[2],
            Call | CallCell | CallIndirect | CallHost | Jump | Switch | Return | ReturnCall => &[1],
            Branch => &[1, 2],
            _ => &[],
        };
        for field in fields {
            for at in [extra, u32::MAX, u32::MAX - 1] {
                let mut r = whole.clone();
                let op = &mut r.ops[index];
                *(if *field == 1 { &mut op.b } else { &mut op.c }) = at;
                r.breaks_at(Rule::ExtraRange, index as u32);
            }
            // Lists whose count goes beyond the end.
            for count in [1000, u32::MAX] {
                let mut r = whole.clone();
                let list = r.words(&[0, count]);
                let op = &mut r.ops[index];
                *(if *field == 1 { &mut op.b } else { &mut op.c }) = match op.code.info().shape {
                    CallIndirect | Jump | Branch => list,
                    _ => list + 1,
                };
                let result = r.verify_with(|result| result.map(|_| ()));
                let Err(Error::Invalid { rule, place }) = result else {
                    panic!("{result:?}");
                };
                // A switch of that many edges may be too large in itself.
                assert!(rule == Rule::ExtraRange, "{rule:?}");
                assert_eq!(place, whole.place(index as u32));
            }
        }
    }
    // A switch whose default or an edge is missing.
    let mut r = body(|r| {
        r.i32(0);
    });
    let table = r.words(&[0]);
    r.ops[1].code = Opcode::Switch;
    r.ops[1].b = table;
    r.breaks_at(Rule::ExtraRange, 1);
    r.words(&[u32::MAX]);
    r.breaks_at(Rule::ExtraRange, 1);
}

#[test]
fn edge_target() {
    let mut r = uses_value(4);
    for target in [2, 3, u32::MAX] {
        let edge = r.edge(target, &[]);
        r.ops[2].b = edge;
        r.breaks_at(Rule::EdgeTarget, 2);
    }
    // From the second function to the first.
    let mut r = uses_value(4);
    r.ops[7].code = Opcode::Jump;
    r.ops[7].b = r.ops[2].b;
    r.breaks_at(Rule::EdgeTarget, 7);
}

#[test]
fn edge_to_entry() {
    let mut r = base();
    let edge = r.edge(0, &[0]);
    r.ops[3].code = Opcode::Jump;
    r.ops[3].b = edge;
    r.breaks_at(Rule::EdgeToEntry, 3);
}

#[test]
fn edge_arguments() {
    let mut r = base();
    r.ops[2].b = r.edge(1, &[0]);
    r.breaks_at(Rule::EdgeArguments, 2);
    let mut r = body(|r| {
        r.i32(0);
        r.jump(1, &[0]);
        r.block(&[I32]);
    });
    r.passes();
    r.ops[1].b = r.edge(1, &[]);
    r.breaks_at(Rule::EdgeArguments, 1);
}

#[test]
fn exit_needed() {
    let whole = sample();
    let mut seen = 0;
    for (index, op) in whole.ops.iter().enumerate() {
        use Opcode::*;
        let mut r = whole.clone();
        match op.code {
            I64AddChecked | I64TruncF64S | Guard | GuardNot | Poll | CallIndirect | Exit => {
                r.ops[index].c = NONE;
            }
            F64Load | I64Store | I64AtomicAdd | I64AtomicCmpxchg => {
                r.extra[op.c as usize + 1] = NONE;
            }
            _ => continue,
        }
        seen += 1;
        if op.code == I64Store || op.code == I64AtomicAdd {
            // They share their words with the load before.
            let first = whole.ops.iter().position(|op| op.code == F64Load).unwrap();
            r.breaks_at(Rule::ExitNeeded, first as u32);
        } else {
            r.breaks_at(Rule::ExitNeeded, index as u32);
        }
    }
    assert_eq!(seen, 11);
}

#[test]
fn exit_range() {
    for exit in [0, 1, NONE - 1] {
        let r = body(|r| {
            r.op(Opcode::Poll, 0, 0, 0, exit);
        });
        r.breaks_at(Rule::ExitRange, 0);
        let r = body(|r| {
            r.call(0, 0, &[], exit);
        });
        r.breaks_at(Rule::ExitRange, 0);
    }
}

#[test]
fn slot_range() {
    for slot in [2, u32::MAX] {
        let r = body(|r| {
            r.op(Opcode::I64SlotGet, 0, 0, 0, slot);
        });
        r.breaks_at(Rule::SlotRange, 0);
        let r = body(|r| {
            r.i64(0);
            r.op(Opcode::I64SlotSet, 0, 0, 0, slot);
        });
        r.breaks_at(Rule::SlotRange, 1);
        let r = body(|r| {
            r.i64(0);
            let exit = r.exit(ExitKind::Deoptimize, &[(0, 0), (slot, 0)]);
            r.op(Opcode::Poll, 0, 0, 0, exit);
        });
        r.breaks_at(Rule::SlotRange, 1);
    }
}

/// A store at op 2.
fn store(region: u16, scale: u8, offset: u32) -> Records {
    body(|r| {
        r.i64(0);
        r.i64(0);
        let exit = r.exit(ExitKind::Trap, &[]);
        let words = r.words(&[offset, exit]);
        r.op(Opcode::I64Store, access_aux(region, scale), 0, 1, words);
    })
}

#[test]
fn region_range() {
    store(0, 3, 8).passes();
    store(1, 0, 8).breaks_at(Rule::RegionRange, 2);
    store(0x3fff, 3, 8).breaks_at(Rule::RegionRange, 2);
}

#[test]
fn marks_of_accesses() {
    let marked = |code, exit: fn(&mut Records) -> u32| {
        body(move |r| {
            r.i64(0);
            r.i64(0);
            let exit = exit(r);
            let words = r.words(&[0, exit]);
            r.op(code, access_aux(0, 0) | IN_BOUNDS, 0, 1, words);
        })
    };
    marked(Opcode::I64Store, |_| NONE).passes();
    marked(Opcode::I64Store, |r| r.exit(ExitKind::Trap, &[])).breaks_at(Rule::InBounds, 2);
    marked(Opcode::I64AtomicStore, |_| NONE).breaks_at(Rule::InBounds, 2);
    // Whoever marks an access himself answers for it.
    let records = marked(Opcode::I64Store, |_| NONE);
    let program = records.program();
    let mut words = vec![0; patchjit::verify::workspace_words(&program)];
    let verified = patchjit::verify::verify(program, &mut words).expect("a valid program");
    assert!(!verified.is_contained());
}

#[test]
fn offset_range() {
    store(0, 0, MAX_OFFSET).passes();
    store(0, 0, MAX_OFFSET + 1).breaks_at(Rule::OffsetRange, 2);
    store(0, 0, u32::MAX).breaks_at(Rule::OffsetRange, 2);
}

#[test]
fn function_range() {
    for function in [1, u32::MAX] {
        let r = body(|r| {
            r.op(Opcode::FunctionIndex, 0, 0, function, 0);
        });
        r.breaks_at(Rule::FunctionRange, 0);
        for code in [Opcode::Call, Opcode::CallCell] {
            let r = body(|r| {
                let list = r.list(&[]);
                r.op(code, 0, function, list, NONE);
            });
            r.breaks_at(Rule::FunctionRange, 0);
        }
        let mut r = body(|_| ());
        r.ops[0].code = Opcode::ReturnCall;
        r.ops[0].a = function;
        r.breaks_at(Rule::FunctionRange, 0);
    }
}

#[test]
fn host_range() {
    let r = body(|r| {
        let list = r.list(&[]);
        r.op(Opcode::CallHost, 0, 0, list, NONE);
    });
    r.breaks_at(Rule::HostRange, 0);
}

#[test]
fn signature_range() {
    let mut r = body(|r| {
        r.i64(0);
        let words = r.words(&[1, 0]);
        let exit = r.exit(ExitKind::Trap, &[]);
        r.op(Opcode::CallIndirect, 0, 0, words, exit);
    });
    r.breaks_at(Rule::SignatureRange, 1);
    r.extra[0] = 0;
    r.passes();
}

#[test]
fn argument_count() {
    let whole = sample();
    let mut seen = 0;
    for (index, op) in whole.ops.iter().enumerate() {
        use Opcode::*;
        let skipped = match op.code {
            Call | CallCell | CallHost | ReturnCall => 0,
            CallIndirect => 1,
            _ => continue,
        };
        let mut r = whole.clone();
        let start = op.b as usize;
        let mut words = r.extra[start..start + skipped].to_vec();
        words.extend([3, 0, 0, 0]);
        r.ops[index].b = r.words(&words);
        r.breaks_at(Rule::ArgumentCount, index as u32);
        seen += 1;
    }
    assert_eq!(seen, 7);
}

#[test]
fn return_count() {
    for values in [&[][..], &[0, 0]] {
        let mut r = base();
        r.ops[3].b = r.list(values);
        r.breaks_at(Rule::ReturnCount, 3);
    }
}

#[test]
fn return_call_results() {
    let mut r = body(|_| ());
    let same = r.signature(&[], &[]);
    let other = r.signature(&[], &[I64]);
    let returns_call = |mut r: Records, callee_signature| {
        r.function(callee_signature);
        r.block(&[]);
        let list = r.list(&[]);
        r.op(Opcode::ReturnCall, 0, 1, list, 0);
        r.ops[0].code = Opcode::ReturnCall;
        r.ops[0].a = 1;
        r
    };
    returns_call(r.clone(), same).passes();
    returns_call(r, other).breaks_at(Rule::ReturnCallResults, 0);
}

/// Functions without arguments and results: what each does is one op and a return, or `return_call` alone.
enum Does {
    Nothing,
    Polls(ExitKind),
    Calls(Opcode, u32, Option<ExitKind>),
    ReturnCalls(u32),
}

fn functions(all: &[Does]) -> Records {
    let mut r = Records::default();
    let signature = r.signature(&[], &[]);
    let list = r.list(&[]);
    for does in all {
        r.function(signature);
        r.block(&[]);
        match *does {
            Does::Nothing => (),
            Does::Polls(kind) => {
                let exit = r.exit(kind, &[]);
                r.op(Opcode::Poll, 0, 0, 0, exit);
            }
            Does::Calls(code, callee, kind) => {
                let exit = kind.map_or(NONE, |kind| r.exit(kind, &[]));
                r.op(code, 0, callee, list, exit);
            }
            Does::ReturnCalls(callee) => {
                r.op(Opcode::ReturnCall, 0, callee, list, 0);
                continue;
            }
        }
        r.op(Opcode::Return, 0, 0, list, 0);
    }
    r
}

#[test]
fn call_needs_exit() {
    use Does::*;
    use ExitKind::{Deoptimize, Trap};
    use Opcode::{Call, CallCell};
    for code in [Call, CallCell] {
        functions(&[Calls(code, 1, None), Polls(Trap)]).passes();
        functions(&[Calls(code, 1, Some(Deoptimize)), Polls(Deoptimize)]).passes();
        functions(&[Calls(code, 1, None), Polls(Deoptimize)]).breaks_at(Rule::CallNeedsExit, 0);
        functions(&[Polls(Deoptimize), Nothing, Calls(code, 0, None)])
            .breaks_at(Rule::CallNeedsExit, 3);
        // Through an exit that is a trap, and one that is not.
        functions(&[
            Calls(code, 1, None),
            Calls(code, 2, Some(Trap)),
            Polls(Deoptimize),
        ])
        .passes();
        functions(&[
            Calls(code, 1, None),
            Calls(code, 2, Some(Deoptimize)),
            Polls(Deoptimize),
        ])
        .breaks_at(Rule::CallNeedsExit, 0);
        // Through chains and rings of functions that end with another's results.
        let chain = |end| {
            functions(&[
                Calls(code, 1, None),
                ReturnCalls(3),
                Nothing,
                ReturnCalls(4),
                ReturnCalls(5),
                end,
            ])
        };
        chain(Polls(Trap)).passes();
        chain(ReturnCalls(1)).passes();
        chain(Polls(Deoptimize)).breaks_at(Rule::CallNeedsExit, 0);
        chain(Polls(Deoptimize)).verify_with(|result| assert!(result.is_err()));
    }
    // The ring, with one function in it that may.
    let ring = functions(&[
        ReturnCalls(1),
        ReturnCalls(2),
        ReturnCalls(0),
        Polls(Deoptimize),
    ]);
    ring.verify_with(|result| {
        let verified = result.unwrap();
        assert!((0..3).all(|function| !verified.may_deoptimize(function)));
        assert!(verified.may_deoptimize(3));
    });
    let ring = functions(&[
        ReturnCalls(1),
        ReturnCalls(2),
        ReturnCalls(3),
        Polls(Deoptimize),
    ]);
    ring.verify_with(|result| {
        let verified = result.unwrap();
        assert!((0..4).all(|function| verified.may_deoptimize(function)));
    });
}

#[test]
fn every_size_of_workspace() {
    let r = sample();
    let needed = workspace_words(&r.program());
    for length in 0..needed {
        let mut workspace = vec![u32::MAX; length];
        let result = verify(r.program(), &mut workspace).map(|_| ());
        let full = Error::Full {
            storage: Storage::Workspace,
            needed,
        };
        assert_eq!(result, Err(full));
    }
    for dirt in [0, 1, 7, 0x8000_0000, u32::MAX] {
        for more in [0, 1, 100] {
            let mut workspace = vec![dirt; needed + more];
            let verified = verify(r.program(), &mut workspace).unwrap();
            assert!(verified.may_deoptimize(0) && !verified.may_deoptimize(1));
            assert_eq!(verified.immediate_dominator(5), 3);
        }
    }
}
