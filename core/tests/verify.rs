//! The verifier: the rules about tables, spans and the fields of ops, each broken by itself, with its place.

mod records;

use patchjit::error::{Error, Place, Rule};
use patchjit::ir::{ExitKind, HostFunction, MAX_SLOTS, NONE, Region, Signature, boxed_place};
use patchjit::ops::Opcode;
use patchjit::types::Type::{self, F32, F64, I32, I64, Ref};
use patchjit::verify::{Verified, verify, workspace_words};
use records::{INT, Records, SMALL, base, block, body, calls_itself, sample};

#[test]
fn samples_pass() {
    base().passes();
    body(|_| ()).passes();
    sample().passes();
    Records::default().passes();
}

#[test]
fn what_is_found_out() {
    let r = sample();
    r.verify_with(|result| {
        let verified: Verified = result.unwrap();
        assert_eq!(verified.program().ops.len(), r.ops.len());
        assert!(!verified.is_contained());
        // Five edge arguments (2 + 2 on two jumps), three switch edges, seven mentions of an exit with three entries.
        let mentions = r
            .ops
            .iter()
            .filter(|op| {
                use Opcode::*;
                matches!(op.code, I64AddChecked | Guard | Poll | Exit)
                    || op.code == Call && op.c == 0
            })
            .count()
            + 1;
        assert_eq!(mentions, 6);
        assert_eq!(verified.size(), r.ops.len() + 4 + 3 + 3 * mentions);
        let deopts: Vec<bool> = (0..4).map(|f| verified.may_deoptimize(f)).collect();
        assert_eq!(deopts, [true, false, false, false]);
        assert!((0..3).all(|function| verified.is_in_order(function)));
        assert!(!verified.is_in_order(3));
        let reachable: Vec<bool> = (0..10).map(|b| verified.is_reachable(b)).collect();
        assert_eq!(
            reachable,
            [true, true, true, true, true, true, true, false, true, false]
        );
        let dominators: Vec<u32> = (0..10).map(|b| verified.immediate_dominator(b)).collect();
        assert_eq!(dominators, [NONE, 0, 1, 1, 3, 3, NONE, NONE, NONE, NONE]);
        assert!(verified.dominates(1, 5) && verified.dominates(5, 5) && !verified.dominates(2, 3));
        assert!(
            !verified.dominates(7, 7) && !verified.dominates(7, 6) && !verified.dominates(99, 6)
        );
        for op in 0..r.ops.len() as u32 + 40 {
            assert_eq!(verified.block_of(op), r.block_of(op));
        }
    });
    base().verify_with(|result| assert!(result.unwrap().is_contained()));
}

#[test]
fn program_size() {
    // Many jumps share an edge with many arguments.
    let mut r = Records::default();
    let signature = r.signature(&[], &[]);
    r.function(signature);
    r.block(&[]);
    let value = r.i64(0);
    let edge = r.edge(1, &vec![value; 1 << 16]);
    r.op(Opcode::Jump, 0, 0, edge, 0);
    r.block(&vec![I64; 1 << 16]);
    r.op(Opcode::Jump, 0, 0, edge, 0);
    while r.blocks.len() < 4200 {
        r.block(&[]);
        r.op(Opcode::Jump, 0, 0, edge, 0);
    }
    let result = r.verify_with(|result| result.map(|_| ()));
    let Err(Error::Invalid { rule, place }) = result else {
        panic!("{result:?}");
    };
    assert_eq!(rule, Rule::ProgramSize);
    assert_eq!(place.function(), Some(0));
    // The same for switches, whose edges count by themselves.
    let mut r = body(|_| ());
    r.ops.clear();
    r.functions[0].op_count = 0;
    r.blocks[0].op_count = 0;
    let index = r.i32(0);
    let edge = r.edge(1, &[]);
    let table = r.words(&[1 << 16]);
    r.words(&vec![edge; (1 << 16) + 1]);
    r.op(Opcode::Switch, 0, index, table, 0);
    for _ in 0..4200 {
        r.block(&[]);
        r.op(Opcode::Switch, 0, index, table, 0);
    }
    assert!(workspace_words(&r.program()) < 3 * patchjit::verify::MAX_SIZE);
    let mut workspace = [0; 16];
    let too_large = Error::Invalid {
        rule: Rule::ProgramSize,
        place: Place::Program,
    };
    assert_eq!(
        verify(r.program(), &mut workspace).map(|_| ()),
        Err(too_large)
    );
}

#[test]
fn position_count() {
    let mut r = base();
    r.positions = vec![NONE; r.ops.len()];
    r.passes();
    r.positions.pop();
    r.breaks(Rule::PositionCount, Place::Program);
}

#[test]
fn region_count() {
    let mut r = base();
    r.regions = vec![Region::fixed(1); 32];
    r.passes();
    r.regions.push(Region::fixed(1));
    r.breaks(Rule::RegionCount, Place::Program);
    r.regions = vec![Region { size: 2, most: 1 }];
    r.breaks(Rule::RegionSizes, Place::Program);
}

#[test]
fn tag_count() {
    let mut r = base();
    r.tags = vec![SMALL; 255];
    r.passes();
    r.tags.push(SMALL);
    r.breaks(Rule::TagCount, Place::Program);
}

#[test]
fn slot_count() {
    let mut r = base();
    r.slot_count = MAX_SLOTS;
    r.passes();
    r.slot_count += 1;
    r.breaks(Rule::SlotCount, Place::Program);
}

#[test]
fn boxes_in_snapshots() {
    let with = |place: u32, ty: Type| {
        let mut r = body(|r| {
            let value = match ty {
                Type::F32 => r.op(Opcode::F32Const, 0, 0, 0, 0),
                Type::F64 => r.op(Opcode::F64Const, 0, 0, 0, 0),
                Type::I32 => r.i32(1),
                Type::I64 => r.i64(1),
                Type::Ref => {
                    let bits = r.i64(1);
                    r.op(Opcode::RefFromI64, 0, bits, 0, 0)
                }
            };
            let exit = r.exit(ExitKind::Trap, &[(place, value)]);
            r.op(Opcode::Poll, 0, 0, 0, exit);
        });
        r.tags = vec![SMALL, INT];
        r
    };
    for ty in [Type::I32, Type::I64, Type::F64] {
        with(boxed_place(1, 1), ty).passes();
    }
    with(boxed_place(1, 1), Type::F32).breaks_at(Rule::SnapshotBox, 1);
    with(boxed_place(1, 1), Type::Ref).breaks_at(Rule::SnapshotBox, 2);
    with(boxed_place(1, 2), Type::I64).breaks_at(Rule::TagRange, 1);
    with(boxed_place(2, 1), Type::I64).breaks_at(Rule::SlotRange, 1);
    with(2, Type::I64).breaks_at(Rule::SlotRange, 1);
    with(u32::MAX, Type::I64).breaks_at(Rule::SlotRange, 1);
}

#[test]
fn tag_bits() {
    let mut r = base();
    r.tags = vec![SMALL, INT];
    r.passes();
    r.tags[1].bits |= 1;
    r.breaks(Rule::TagBits, Place::Tag(1));
}

#[test]
fn tag_shift() {
    let mut r = base();
    r.tags = vec![SMALL, INT];
    r.tags[0].shift = 63;
    r.passes();
    r.tags[0].shift = 64;
    r.breaks(Rule::TagShift, Place::Tag(0));
}

#[test]
fn tag_range() {
    let mut r = body(|r| {
        let word = r.i64(5);
        r.op(Opcode::I64TagTest, 1, word, 0, 0);
    });
    r.tags = vec![SMALL, INT];
    r.passes();
    r.tags.pop();
    r.breaks_at(Rule::TagRange, 1);
    r.ops[1].aux = u16::MAX;
    r.breaks_at(Rule::TagRange, 1);
}

#[test]
fn signature_span() {
    for first_type in [1, 2, 3, u32::MAX] {
        let mut r = base();
        r.signatures.push(Signature {
            first_type,
            parameter_count: 1,
            result_count: 1,
        });
        r.breaks(Rule::SignatureSpan, Place::Signature(1));
    }
}

#[test]
fn signature_length() {
    for (parameters, results, passes) in [(255, 255, true), (256, 0, false), (0, 256, false)] {
        let mut r = base();
        r.signature(&vec![I32; parameters], &vec![I32; results]);
        if passes {
            r.passes();
        } else {
            r.breaks(Rule::SignatureLength, Place::Signature(1));
        }
    }
}

#[test]
fn host_signature() {
    let mut r = base();
    r.hosts.push(HostFunction { signature: 0 });
    r.hosts.push(HostFunction { signature: 1 });
    r.breaks(Rule::HostSignature, Place::Host(1));
}

#[test]
fn exit_snapshot() {
    for (snapshot, entry_count) in [(0, 100), (0, u32::MAX), (u32::MAX, 0), (1 << 20, 1)] {
        let mut r = base();
        let exit = r.exit(ExitKind::Trap, &[]);
        r.exits[exit as usize].snapshot = snapshot;
        r.exits[exit as usize].entry_count = entry_count;
        r.breaks(Rule::ExitSnapshot, Place::Exit(exit));
    }
}

#[test]
fn function_signature() {
    let mut r = base();
    r.functions[0].signature = 1;
    r.breaks(Rule::FunctionSignature, Place::Function(0));
}

#[test]
fn function_blocks() {
    for (first, count) in [(0, 0), (1, 1), (0, 3), (0, u32::MAX), (u32::MAX, 2)] {
        let mut r = base();
        r.functions[0].first_block = first;
        r.functions[0].block_count = count;
        r.breaks(Rule::FunctionBlocks, Place::Function(0));
    }
    let mut r = base();
    r.functions.push(r.functions[0]);
    r.breaks(Rule::FunctionBlocks, Place::Function(1));
}

#[test]
fn function_ops() {
    for (first, count) in [(1, 3), (0, 5), (0, u32::MAX), (u32::MAX, 4)] {
        let mut r = base();
        r.functions[0].first_op = first;
        r.functions[0].op_count = count;
        r.breaks(Rule::FunctionOps, Place::Function(0));
    }
}

#[test]
fn block_owner() {
    let mut r = base();
    r.blocks.push(r.blocks[1]);
    r.breaks(Rule::BlockOwner, Place::Program);
}

#[test]
fn op_owner() {
    let mut r = base();
    r.ops.push(r.ops[3]);
    r.breaks(Rule::OpOwner, Place::Program);
}

#[test]
fn block_ops() {
    for (first, count) in [(2, 1), (4, 1), (3, 0), (3, 2), (3, u32::MAX), (u32::MAX, 1)] {
        let mut r = base();
        r.blocks[1].first_op = first;
        r.blocks[1].op_count = count;
        r.breaks(Rule::BlockOps, block(0, 1));
    }
    // Blocks that do not use up their function's ops.
    let mut r = base();
    r.ops.push(r.ops[3]);
    r.functions[0].op_count += 1;
    r.breaks(Rule::BlockOps, Place::Function(0));
}

#[test]
fn block_parameters() {
    for count in [1, 2, u32::MAX] {
        let mut r = base();
        r.blocks[1].parameter_count = count;
        r.breaks(Rule::BlockParameters, block(0, 1));
    }
}

#[test]
fn block_terminator() {
    let mut r = base();
    r.ops[2] = r.ops[1];
    r.breaks(Rule::BlockTerminator, block(0, 0));
}

#[test]
fn entry_parameters() {
    let mut r = base();
    r.ops[0].aux = F64 as u16;
    r.breaks(Rule::EntryParameters, block(0, 0));
    for parameters in [&[][..], &[I64, I64]] {
        let mut r = base();
        r.functions[0].signature = r.signature(parameters, &[I64]);
        r.breaks(Rule::EntryParameters, block(0, 0));
    }
}

#[test]
fn parameter_op() {
    // The constant gives an i64 too, so only the op is wrong.
    let mut r = base();
    r.ops[0] = r.ops[1];
    r.breaks_at(Rule::ParameterOp, 0);
}

#[test]
fn parameter_place() {
    let mut r = body(|_| ());
    r.ops.insert(0, base().ops[0]);
    r.functions[0].op_count = 2;
    r.blocks[0].op_count = 2;
    r.breaks_at(Rule::ParameterPlace, 0);
    r.ops[0].code = Opcode::I64Const;
    r.breaks_at(Rule::UnusedField, 0);
}

#[test]
fn parameter_index() {
    let mut r = base();
    r.ops[0].a = 1;
    r.breaks_at(Rule::ParameterIndex, 0);
}

#[test]
fn parameter_type() {
    for aux in [5, 0x100, u16::MAX] {
        let mut r = body(|r| {
            r.jump(1, &[]);
            r.block(&[I32]);
        });
        // Nothing leads there, so that nothing passes a value of no type.
        r.ops[0] = r.ops[2];
        r.ops[1].aux = aux;
        r.breaks_at(Rule::ParameterType, 1);
    }
}

#[test]
fn terminator_place() {
    let mut r = base();
    r.ops[1] = r.ops[2];
    r.breaks_at(Rule::TerminatorPlace, 1);
}

#[test]
fn results_behind_calls() {
    for results in [&[][..], &[F32], &[I32, F64], &[Ref, I64, F32, I32]] {
        calls_itself(results).passes();
    }
}

#[test]
fn result_place() {
    let r = body(|r| {
        r.op(Opcode::Result, I32 as u16, 1, 0, 0);
    });
    r.breaks_at(Rule::ResultPlace, 0);
    // One too many; one behind something else.
    let mut r = calls_itself(&[I32, I32]);
    r.ops.insert(2, r.ops[1]);
    r.ops[2].a = 2;
    r.functions[0].op_count += 1;
    r.blocks[0].op_count += 1;
    r.breaks_at(Rule::ResultPlace, 2);
}

#[test]
fn call_results() {
    for change in [
        |r: &mut Records| r.ops[2].a = 1,
        |r: &mut Records| r.ops[1].aux = I64 as u16,
        |r: &mut Records| r.ops[2].code = Opcode::Parameter,
        |r: &mut Records| {
            r.ops.remove(2);
            r.functions[0].op_count -= 1;
            r.blocks[0].op_count -= 1;
        },
        |r: &mut Records| {
            r.ops.drain(1..3);
            r.functions[0].op_count -= 2;
            r.blocks[0].op_count -= 2;
        },
    ] {
        let mut r = calls_itself(&[I32, I32, F64]);
        change(&mut r);
        r.breaks_at(Rule::CallResults, 0);
    }
    let mut r = calls_itself(&[I32, I32, F64]);
    r.ops[1].b = 1;
    r.breaks_at(Rule::UnusedField, 0);
}

#[test]
fn call_type() {
    let mut r = calls_itself(&[]);
    r.ops[0].aux = 1;
    r.breaks_at(Rule::CallType, 0);
    for aux in [0, I64 as u16, u16::MAX] {
        let mut r = calls_itself(&[I64]);
        r.ops[0].aux = aux;
        r.breaks_at(Rule::CallType, 0);
    }
}

#[test]
fn unused_fields() {
    // What the table of records says: aux, a, b, c in use, for each op of the sample.
    let used = |code: Opcode| {
        use patchjit::ops::{Shape::*, flags};
        let leaves = code.info().has(flags::LEAVES);
        let raw = code.info().has(flags::RAW);
        match code.info().shape {
            Parameter | Result => [true, true, false, false],
            Constant => [false, false, true, true],
            Unary => [false, true, false, leaves],
            Binary => [false, true, true, leaves],
            Tag => [true, true, false, false],
            Select => [false, true, true, true],
            Load => [!raw, true, false, true],
            Store => [!raw, true, true, true],
            Update | CompareExchange => [true, true, true, true],
            Fence => [false, false, false, false],
            RegionSize => [true, false, false, false],
            SlotGet => [false, false, false, true],
            SlotSet => [false, true, false, true],
            FunctionIndex => [false, false, true, false],
            Guard => [false, true, false, true],
            Poll => [false, false, false, true],
            Call | CallCell | CallIndirect | CallHost => [true, true, true, true],
            Jump => [false, false, true, false],
            Branch => [false, true, true, true],
            Switch => [false, true, true, false],
            Return => [false, false, true, false],
            Exit => [false, false, false, true],
            ReturnCall => [false, true, true, false],
        }
    };
    let whole = sample();
    let mut seen = 0;
    for index in 0..whole.ops.len() {
        let code = whole.ops[index].code;
        for (field, used) in used(code).into_iter().enumerate() {
            let mut r = whole.clone();
            let op = &mut r.ops[index];
            match field {
                0 => op.aux ^= 1,
                1 => op.a ^= 1,
                2 => op.b ^= 1,
                _ => op.c ^= 1,
            }
            let place = if code == Opcode::Result {
                index - 1
            } else {
                index
            };
            let broken = Error::Invalid {
                rule: Rule::UnusedField,
                place: r.place(place as u32),
            };
            let result = r.verify_with(|result| result.map(|_| ()));
            assert_eq!(
                result == Err(broken),
                !used,
                "op {index}, {code:?}, field {field}"
            );
            seen += usize::from(!used);
        }
    }
    assert!(seen > 40, "{seen}");
}

#[test]
fn constant_bits() {
    for code in [Opcode::I32Const, Opcode::F32Const] {
        let r = body(|r| {
            r.op(code, 0, 0, u32::MAX, 1);
        });
        r.breaks_at(Rule::ConstantBits, 0);
    }
    for code in [Opcode::I64Const, Opcode::F64Const] {
        body(|r| {
            r.op(code, 0, 0, u32::MAX, u32::MAX);
        })
        .passes();
    }
}
