//! Exits that go on in side traces.

use patchjit::code::CodeBuffer;
use patchjit::compile::Options;
use patchjit::error::{Error, Rule};
use patchjit::link::{CodeSpan, Destination, Exits, INVALIDATED, Origin, State, interrupt};
use patchjit::runtime::{Context, Status};
use patchjit::types::Type;
use patchjit_cli::disassemble::{self, Printed};
use patchjit_tests::host_set;
use patchjit_tests::linked::{Piece, Workshop, compile, run};
use patchjit_text::{Module, parse};

fn module(text: &str) -> Module {
    parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// Sums even numbers below n; leaves at odd ones and at the end.
const PARENT: &str = "
slots 4
func @parent(n: i64) -> i64 {
entry:
    zero = i64.const 0
    jump head(zero, zero)
head(i: i64, sum: i64):
    more = i64.lt_s i, n
    guard more else exit 1 [0: sum]
    one = i64.const 1
    odd = i64.and i, one
    even = i64.eqz odd
    guard even else exit 2 [0: i, 1: sum]
    total = i64.add sum, i
    next = i64.add i, one
    jump head(next, total)
}
";

const END: &str = "
func @end(sum: i64) -> i64 {
entry:
    return sum
}
";

/// Leaves an odd number out.
const ODD: &str = "
slots 4
func @odd(i: i64, sum: i64) -> i64 {
entry:
    one = i64.const 1
    next = i64.add i, one
    exit 3 [0: next, 1: sum]
}
";

fn context(slots: &mut [u64]) -> Context {
    let mut context = Context::new();
    context.slots = slots.as_mut_ptr();
    context.depth = 10;
    context
}

fn enter(piece: &Piece, context: &mut Context, n: u64) -> (Status, u64) {
    // SAFETY: the programs here declare slots, which the context has, and are contained.
    unsafe { run(piece, context, &[n]) }
}

#[test]
fn a_linked_exit_goes_on_in_its_side_trace() {
    let mut workshop = Workshop::new();
    let parent = workshop.root(&module(PARENT), Options::default());
    let end = workshop.side(&parent, 1, &module(END), Options::default());
    let mut slots = [0; 4];
    let mut context = context(&mut slots);
    let mut enter = |n: u64| enter(&parent, &mut context, n);
    assert_eq!(enter(1).0, Status::Deoptimized);
    workshop.link(&parent, 1, &end).unwrap();
    assert_eq!(enter(1), (Status::Returned, 0));
    assert_eq!(enter(2).0, Status::Deoptimized);
    assert_eq!(workshop.unlink(&parent, 1), Ok(true));
    assert_eq!(enter(1).0, Status::Deoptimized);
    assert_eq!(slots[..3], [0, 0, 0]);
}

/// Where an instruction jumps to, and whether it always does.
fn jump(text: &str) -> Option<(u64, bool)> {
    let (mnemonic, operands) = text.split_once(' ')?;
    let jumps = matches!(
        mnemonic.as_bytes(),
        [b'j', ..] | b"b" | [b'b', b'.', ..] | b"cbz" | b"cbnz"
    ) || ["beq", "bne", "blt", "bge", "bltu", "bgeu"].contains(&mnemonic);
    let target = operands.rsplit([' ', '+']).next()?.strip_prefix("0x")?;
    let target = u64::from_str_radix(target, 16).expect("a target");
    jumps.then_some((target, matches!(mnemonic, "jmp" | "b" | "jal")))
}

/// Follows direct jumps from an address, taking conditional ones where the answer says so; gives what was run until the
/// stop.
fn follow(
    pieces: &[&Piece],
    start: u64,
    stop: u64,
    mut taken: impl FnMut() -> bool,
) -> Vec<Printed> {
    let mut run = Vec::new();
    let mut at = start;
    loop {
        let piece = pieces
            .iter()
            .find(|piece| (piece.address..piece.address + piece.bytes.len() as u64).contains(&at))
            .expect("an address in known code");
        // What is published now, with its links.
        let length = piece.bytes.len() - (at - piece.address) as usize;
        // SAFETY: published code can be read.
        let bytes = unsafe { std::slice::from_raw_parts(at as *const u8, length) };
        let bytes = &bytes[..bytes.len().min(16)];
        let instruction = disassemble::instructions(host_set(), bytes, at).swap_remove(0);
        let next = at + instruction.length as u64;
        at = match jump(&instruction.text) {
            Some((target, always)) if always || taken() => target,
            _ => next,
        };
        run.push(instruction);
        if at == stop {
            return run;
        }
    }
}

#[test]
fn a_loop_goes_round_through_a_side_trace_without_memory() {
    let mut workshop = Workshop::new();
    let parent = workshop.root(&module(PARENT), Options::default());
    let end = workshop.side(&parent, 1, &module(END), Options::default());
    let odd = workshop.side(&parent, 2, &module(ODD), Options::default());
    let to = Destination::Head {
        exits: parent.exits(),
        address: parent.address,
        arguments: &[0, 1],
    };
    let back = workshop.bridge(&odd, 3, &parent, to).unwrap();
    workshop.link(&parent, 1, &end).unwrap();
    workshop.link(&parent, 2, &odd).unwrap();
    workshop.link(&odd, 3, &back).unwrap();
    let mut slots = [77; 4];
    let mut context = context(&mut slots);
    for n in [0, 1, 2, 3, 10, 1001] {
        let wanted = (0..n).filter(|i| i % 2 == 0).sum();
        let got = enter(&parent, &mut context, n);
        assert_eq!(got, (Status::Returned, wanted), "{n}");
    }
    assert_eq!(slots, [77; 4]);
    // Once round: head, the second guard fails, side trace, bridge, head.
    let mut guards = [false, true].into_iter();
    let head = parent.address + u64::from(parent.exits().heads[0].offset());
    let path = follow(&[&parent, &odd, &back], head, head, || {
        guards.next() == Some(true)
    });
    let touches = |one: &&Printed| one.text.contains(['[', '(']);
    let touching: Vec<_> = path.iter().filter(touches).collect();
    assert!(touching.is_empty(), "{touching:?}");
    assert!(path.len() < 25, "{}", path.len());
}

/// What is in memory now where a piece runs.
fn published(piece: &Piece) -> Vec<u8> {
    // SAFETY: published code can be read.
    unsafe { std::slice::from_raw_parts(piece.address as *const u8, piece.bytes.len()).to_vec() }
}

fn rule<T: std::fmt::Debug>(result: Result<T, Error>) -> Rule {
    match result {
        Err(Error::Invalid { rule, .. }) => rule,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let mut workshop = Workshop::new();
    let options = Options::default();
    let parent = workshop.root(&module(PARENT), options);
    let other = workshop.root(
        &module(&PARENT.replace("[0: i, 1: sum]", "[0: sum, 1: i]")),
        options,
    );
    let for_exit = |text: &str| compile(&module(text), Some(parent.site(2)), options, None);
    let refused = |text: &str| rule(for_exit(text).map(drop));
    let narrow = ODD.replace("(i: i64, sum: i64)", "(i: i64, sum: i32)");
    assert_eq!(
        refused(&narrow.replace("1: sum", "1: i")),
        Rule::SideParameters
    );
    assert_eq!(refused(END), Rule::SideParameters);
    let nothing = "func @f(i: i64, sum: i64) {\nentry:\n    return\n}\n";
    assert_eq!(refused(nothing), Rule::SideResults);
    let recursive =
        "func @f(i: i64, sum: i64) -> i64 {\nentry:\n    r = call @f(i, sum)\n    return r\n}\n";
    assert_eq!(refused(recursive), Rule::SideCalled);

    let odd = workshop.side(&parent, 2, &module(ODD), options);
    let before = (published(&parent), published(&other));
    assert_eq!(rule(workshop.link(&parent, 1, &odd)), Rule::LinkLayout);
    assert_eq!(rule(workshop.link(&other, 2, &odd)), Rule::LinkLayout);
    assert_eq!(rule(workshop.link(&parent, 2, &other)), Rule::LinkLayout);
    let links = &mut workshop.links;
    let mixed = workshop
        .arena
        .relink(|span| links.link(span, other.id, &parent.site(2), odd.id));
    assert_eq!(rule(mixed.unwrap()), Rule::LinkTable);
    let mut bytes = [0; 64];
    let mut span = CodeSpan::stopped(CodeBuffer {
        write: &mut bytes,
        execute_at: parent.address,
    });
    let elsewhere = workshop
        .links
        .link(&mut span, parent.id, &parent.site(2), odd.id);
    assert_eq!(rule(elsewhere), Rule::LinkRange);
    assert_eq!((published(&parent), published(&other)), before);

    workshop.link(&parent, 2, &odd).unwrap();
    assert_ne!(published(&parent), before.0);
    assert_eq!(rule(workshop.link(&parent, 2, &odd)), Rule::LinkTaken);
    assert_eq!(workshop.unlink(&parent, 2), Ok(true));
    assert_eq!(workshop.unlink(&parent, 2), Ok(false));
    assert_eq!(published(&parent), before.0);

    // Records of different compilations do not mix.
    let mixed = Exits {
        values: other.exits().values,
        ..parent.exits()
    };
    let index = parent.exits().find(2).unwrap();
    assert_eq!(rule(mixed.site(index)), Rule::LinkTable);
    assert_eq!(rule(parent.exits().site(99)), Rule::LinkTable);
    let to = |arguments| Destination::Head {
        exits: parent.exits(),
        address: parent.address,
        arguments,
    };
    assert_eq!(
        rule(workshop.bridge(&odd, 3, &parent, to(&[0]))),
        Rule::LinkValues
    );
    assert_eq!(
        rule(workshop.bridge(&odd, 3, &parent, to(&[0, 2]))),
        Rule::LinkValues
    );
    let foreign = Destination::Head {
        exits: other.exits(),
        address: other.address,
        arguments: &[0, 1],
    };
    assert_eq!(
        rule(workshop.bridge(&odd, 3, &other, foreign)),
        Rule::LinkHead
    );
}

#[test]
fn polls_and_traps_cannot_be_linked() {
    let text = "
func @f(n: i64) -> i64 {
entry:
    poll else exit 5
    guard_c = i64.eqz n
    guard guard_c else trap 6
    return n
}
";
    let mut workshop = Workshop::new();
    let piece = workshop.root(&module(text), Options::default());
    assert_eq!((piece.exits().find(5), piece.exits().find(6)), (None, None));
    assert_eq!(piece.exits().sites.len(), 2);
    let site = piece.exits().site(0).unwrap();
    let side = "func @s() -> i64 {\nentry:\n    one = i64.const 1\n    return one\n}\n";
    let refused = compile(&module(side), Some(site), Options::default(), None);
    assert_eq!(rule(refused.map(drop)), Rule::LinkExit);
}

#[test]
fn exits_are_counted_when_they_leave() {
    let mut workshop = Workshop::new();
    let fresh = compile(&module(PARENT), None, Options::default(), Some(3)).unwrap();
    let parent = workshop.add(fresh, Origin::Root, &[]).unwrap();
    let end = workshop.side(&parent, 1, &module(END), Options::default());
    let (mut slots, mut counters) = ([0; 4], [0u64; 8]);
    let mut context = context(&mut slots);
    context.exit_counters = counters.as_mut_ptr();
    for n in [0, 1, 2, 2, 5] {
        assert_eq!(enter(&parent, &mut context, n).0, Status::Deoptimized);
    }
    workshop.link(&parent, 1, &end).unwrap();
    assert_eq!(enter(&parent, &mut context, 1), (Status::Returned, 0));
    let of = |number| 3 + parent.exits().find(number).unwrap();
    assert_eq!((counters[of(1)], counters[of(2)]), (2, 3));
    assert_eq!(counters.iter().sum::<u64>(), 5);
}

#[test]
fn what_is_invalid_is_unlinked_and_freed_when_nobody_runs_it() {
    let mut workshop = Workshop::new();
    let options = Options::default();
    let (shape, other) = (
        workshop.links.declare().unwrap(),
        workshop.links.declare().unwrap(),
    );
    let fresh = compile(&module(PARENT), None, options, None).unwrap();
    let parent = workshop.add(fresh, Origin::Root, &[shape]).unwrap();
    let end = workshop.side(&parent, 1, &module(END), options);
    let fresh = compile(&module(ODD), Some(parent.site(2)), options, None).unwrap();
    let odd = workshop
        .add(fresh, Origin::Side(parent.id), &[other, other])
        .unwrap();
    let to = Destination::Head {
        exits: parent.exits(),
        address: parent.address,
        arguments: &[0, 1],
    };
    let back = workshop.bridge(&odd, 3, &parent, to).unwrap();
    workshop.link(&parent, 1, &end).unwrap();
    workshop.link(&parent, 2, &odd).unwrap();
    workshop.link(&odd, 3, &back).unwrap();
    let mut slots = [0; 4];
    let mut context = context(&mut slots);
    assert_eq!(enter(&parent, &mut context, 10), (Status::Returned, 20));
    assert!(workshop.epochs.enter(0));
    let invalidate = |workshop: &mut Workshop, dependency| {
        let (links, epochs) = (&mut workshop.links, &workshop.epochs);
        let gone = |span: &mut CodeSpan<'_>| links.invalidate(span, epochs, dependency);
        workshop.arena.relink(gone).unwrap()
    };
    // The side trace and its bridge go; the parent stays, and leaves again.
    assert_eq!(invalidate(&mut workshop, other), Ok(2));
    assert_eq!(invalidate(&mut workshop, other), Ok(0));
    let state = |workshop: &Workshop, piece: &Piece| workshop.links.state(piece.id);
    assert_eq!(state(&workshop, &odd), State::Retired);
    assert_eq!(state(&workshop, &back), State::Retired);
    assert_eq!(state(&workshop, &parent), State::Valid);
    assert_eq!(rule(workshop.link(&parent, 2, &odd)), Rule::LinkCode);
    assert_eq!(enter(&parent, &mut context, 10).0, Status::Deoptimized);
    assert_eq!(enter(&parent, &mut context, 1), (Status::Returned, 0));
    assert_eq!(workshop.reclaim(), 0);
    workshop.epochs.quiescent(0);
    assert_eq!(workshop.reclaim(), 2);
    assert_eq!(state(&workshop, &odd), State::Unknown);
    // A name is not used again, though its record is.
    let again = workshop.side(&parent, 2, &module(ODD), options);
    assert_ne!(again.id, odd.id);
    assert_eq!(state(&workshop, &odd), State::Unknown);
    assert_eq!(invalidate(&mut workshop, shape), Ok(3));
    workshop.links.forget(shape).unwrap();
    assert_eq!(
        rule(invalidate(&mut workshop, shape)),
        Rule::DependencyRange
    );
    let fresh = compile(&module(PARENT), None, options, None).unwrap();
    let refused = workshop.add(fresh, Origin::Root, &[shape]).map(drop);
    assert_eq!(rule(refused), Rule::DependencyRange);
    workshop.epochs.leave(0);
    assert_eq!(workshop.reclaim(), 3);
    interrupt([&context.interrupt]);
    assert_ne!(context.interrupt.into_inner() & INVALIDATED, 0);
}

/// Links to a body, with values in registers, and through guest slots.
#[test]
fn bridges_lead_to_bodies_and_through_slots() {
    let mut workshop = Workshop::new();
    let options = Options::default();
    let parent = workshop.root(&module(PARENT), options);
    let take = "
slots 4
func @take(a: i64, b: i64) -> i64 {
entry:
    hundred = i64.const 100
    scaled = i64.mul a, hundred
    r = i64.add scaled, b
    return r
}
";
    let read = "
slots 4
func @read() -> i64 {
entry:
    a = i64.slot_get 0
    b = i64.slot_get 1
    r = i64.sub a, b
    return r
}
";
    let (take, read) = (
        workshop.root(&module(take), options),
        workshop.root(&module(read), options),
    );
    let body = |piece: &Piece| piece.address + u64::from(piece.functions[0].body);
    let to = Destination::Body {
        address: body(&take),
        parameters: &[Type::I64, Type::I64],
        results: &[Type::I64],
        arguments: &[1, 0],
    };
    let over = workshop.bridge(&parent, 2, &take, to).unwrap();
    let to = Destination::Slots {
        address: body(&read),
        results: &[Type::I64],
        tags: &[],
    };
    let through = workshop.bridge(&parent, 2, &read, to).unwrap();
    let mut slots = [0; 4];
    let mut context = context(&mut slots);
    workshop.link(&parent, 2, &over).unwrap();
    // i is 1 and sum is 0 where the first odd number comes.
    assert_eq!(enter(&parent, &mut context, 9), (Status::Returned, 1));
    workshop.unlink(&parent, 2).unwrap();
    workshop.link(&parent, 2, &through).unwrap();
    assert_eq!(enter(&parent, &mut context, 9), (Status::Returned, 1));
    assert_eq!((slots[0], slots[1], context.depth), (1, 0, 10));
}

/// Takes everything that a snapshot boxes through guest slots: every type, from registers, from the frame and constants, with so many
/// values that no register is left; compared with what leaving writes.
#[test]
fn a_bridge_through_slots_boxes_as_the_exit_does() {
    let tags = [
        ("@small", "mask 0x1 bits 0x1 shift 1"),
        (
            "@high",
            "mask 0xffff000000000000 bits 0xfff9000000000000 shift 0",
        ),
        ("@float", "mask 0x0 bits 0x0 shift 0"),
        (
            "@middle",
            "mask 0xff00000000000007 bits 0x2a00000000000005 shift 5",
        ),
    ];
    let mut head = String::from("slots 64\n");
    for (name, tag) in tags {
        head += &format!("tag {name} {tag}\n");
    }
    for count in [1u32, 5, 9, 14, 20] {
        let mut body = String::from("func @parent(a: i64, d: f64) -> i64 {\nentry:\n");
        body += "    n = i32.wrap_i64 a\n    k = i64.const 77\n    f = f64.const 0.75\n    m = i32.const -5\n";
        let mut entries = Vec::new();
        for index in 0..count {
            let one = 2 * index + 1;
            body +=
                &format!("    c{index} = i64.const {one}\n    w{index} = i64.mul a, c{index}\n");
            body += &format!(
                "    v{index} = i32.wrap_i64 w{index}\n    x{index} = f64.convert_i64_s w{index}\n"
            );
            body += &format!("    y{index} = f64.mul x{index}, d\n");
            let (tag, value) = match index % 4 {
                0 => ("@high", format!("v{index}")),
                1 => ("@float", format!("y{index}")),
                2 => ("@small", format!("w{index}")),
                _ => ("@middle", format!("w{index}")),
            };
            entries.push(format!("{}: {tag} {value}", 3 * index));
            entries.push(format!("{}: w{index}", 3 * index + 1));
        }
        entries.push("61: @high m".into());
        entries.push("62: @float f".into());
        entries.push("63: @middle k".into());
        body += &format!(
            "    zero = i64.const 0\n    no = i64.lt_s a, zero\n    guard no else exit 1 [{}]\n",
            entries.join(", ")
        );
        body += "    return a\n}\n";
        let module = module(&(head.clone() + &body));
        let mut workshop = Workshop::new();
        let parent = workshop.root(&module, Options::default());
        let read = workshop.root(&self::module("slots 64\nfunc @read() -> i64 {\nentry:\n    r = i64.slot_get 0\n    return r\n}\n"), Options::default());
        let program = module.program();
        let to = Destination::Slots {
            address: read.address + u64::from(read.functions[0].body),
            results: &[Type::I64],
            tags: program.tags,
        };
        let through = workshop.bridge(&parent, 1, &read, to).unwrap();
        let untagged = Destination::Slots {
            address: read.address + u64::from(read.functions[0].body),
            results: &[Type::I64],
            tags: &program.tags[..2],
        };
        let refused = workshop.bridge(&parent, 1, &read, untagged).err();
        let refused = refused.map(|error| {
            matches!(
                error,
                Error::Invalid {
                    rule: Rule::LinkValues,
                    ..
                }
            )
        });
        assert_eq!(refused, Some(true));
        for (a, d) in [
            (3u64, 0.5f64),
            (0x1234_5678_9abc, -1.25),
            (1 << 62, f64::NAN),
            (7, -f64::NAN),
        ] {
            let mut left = [0u64; 64];
            let mut context = context(&mut left);
            // SAFETY: the program declares slots, which the context has, and is contained.
            let (status, _) = unsafe { run(&parent, &mut context, &[a, d.to_bits()]) };
            assert_eq!(status, Status::Deoptimized);
            workshop.link(&parent, 1, &through).unwrap();
            let mut linked = [0u64; 64];
            let mut context = self::context(&mut linked);
            // SAFETY: as above.
            let (status, first) = unsafe { run(&parent, &mut context, &[a, d.to_bits()]) };
            assert_eq!((status, first), (Status::Returned, linked[0]));
            assert_eq!(context.depth, 10);
            assert_eq!(left, linked, "{count} values of {a:#x}, {d}");
            workshop.unlink(&parent, 1).unwrap();
        }
    }
}
