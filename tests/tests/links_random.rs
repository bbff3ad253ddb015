//! Random programs split into parents and side traces at their exits: linked code does what leaving, and running the
//! side trace on what the exit wrote, does in the oracle.

use patchjit::call;
use patchjit::compile::Options;
use patchjit::error::Error;
use patchjit::interp;
use patchjit::ir::{ExitKind, place_slot};
use patchjit::link::{Carried, Origin};
use patchjit::ops::{Opcode, Shape, flags};
use patchjit::runtime::Status;
use patchjit::types::Type;
use patchjit::verify;
use patchjit_cli::instance::{Instance, Limits};
use patchjit_cli::value;
use patchjit_tests::draft::{Draft, DraftBlock, DraftFunction, DraftOp, constant_of};
use patchjit_tests::generate::{generate, interesting_bits};
use patchjit_tests::linked::{Piece, Workshop, compile};
use patchjit_tests::random::Random;
use patchjit_text::Module;

/// Guest slots behind those of the program, for what exits carry.
const ROOM: u32 = 64;
const DEPTH: u32 = 40;
const FUEL: u64 = 3000;

/// A program whose function of interest has exits with numbers of their own, from this one on.
struct Part {
    module: Module,
    function: usize,
    numbers: Vec<u32>,
}

/// Gives the deoptimizing exits of a function numbers of their own, and room for what they carry; `None` if there is not
/// enough.
fn number_exits(function: &mut DraftFunction, first: u32, slot: u32) -> Option<Vec<u32>> {
    let mut numbers = Vec::new();
    for op in function.blocks.iter_mut().flat_map(|block| &mut block.ops) {
        let is_call = matches!(
            op.code,
            Opcode::Call | Opcode::CallCell | Opcode::CallIndirect
        );
        let Some(exit) = &mut op.exit else { continue };
        if exit.kind != ExitKind::Deoptimize || is_call {
            continue;
        }
        exit.number = first + numbers.len() as u32;
        numbers.push(exit.number);
        if exit.snapshot.len() > ROOM as usize {
            return None;
        }
        for ((place, _), at) in exit.snapshot.iter_mut().zip(slot..) {
            *place = at;
        }
    }
    Some(numbers)
}

/// A seed's program, if its last function is entered from outside only and nothing depends on addresses or indices.
fn parent(seed: u64) -> Option<(Draft, u32, Part)> {
    let mut draft = generate(seed);
    let last = draft.functions.len() - 1;
    let ops = draft.functions.iter().flat_map(|f| &f.blocks);
    let unsuited = ops.flat_map(|block| &block.ops).any(|op| {
        let info = op.code.info();
        let calls = matches!(info.shape, Shape::Call | Shape::ReturnCall) && op.target == last;
        let indirect = matches!(info.shape, Shape::CallCell | Shape::CallIndirect);
        calls || indirect || info.has(flags::RAW)
    });
    if unsuited {
        return None;
    }
    for op in draft.functions.iter_mut().flat_map(|f| &mut f.blocks) {
        for exit in op.ops.iter_mut().filter_map(|op| op.exit.as_mut()) {
            exit.number %= 1000;
            for (place, _) in &mut exit.snapshot {
                *place = place_slot(*place);
            }
        }
    }
    let slot = draft.slot_count;
    draft.slot_count += ROOM;
    let numbers = number_exits(&mut draft.functions[last], 1000, slot)?;
    let function = draft.order.iter().position(|&number| number == last)?;
    let module = draft.module();
    let part = Part {
        module,
        function,
        numbers,
    };
    Some((draft, slot, part))
}

/// A side trace that takes what an exit carries and goes on with the parent's last function from its start.
fn side(
    random: &mut Random,
    draft: &Draft,
    slot: u32,
    first: u32,
    carried: &[Carried],
) -> Option<Part> {
    let mut draft = draft.clone();
    let last = draft.functions.len() - 1;
    let mut function = draft.functions[last].clone();
    let mut entry = DraftBlock::default();
    for value in carried {
        entry.parameters.push((function.value(), value.ty()));
    }
    let mut arguments = Vec::new();
    for (_, ty) in function.blocks[0].parameters.clone() {
        let same: Vec<_> = entry.parameters.iter().filter(|p| p.1 == ty).collect();
        if !same.is_empty() {
            arguments.push(random.pick(&same).0);
            continue;
        }
        let mut op = DraftOp::new(constant_of(ty));
        op.immediate = match ty {
            Type::I32 | Type::F32 => interesting_bits(random, ty) as u32 as u64,
            ty => interesting_bits(random, ty),
        };
        let mut value = function.value();
        let of = if ty == Type::Ref { Type::I64 } else { ty };
        op.results.push((value, of));
        entry.ops.push(op);
        if ty == Type::Ref {
            let mut op = DraftOp::new(Opcode::RefFromI64);
            op.operands.push(value);
            value = function.value();
            op.results.push((value, ty));
            entry.ops.push(op);
        }
        arguments.push(value);
    }
    let number = function.blocks.len();
    let mut jump = DraftOp::new(Opcode::Jump);
    jump.edges.push((0, arguments));
    entry.ops.push(jump);
    function.blocks.push(entry);
    // The entry block is the first one in the program and the first of the list.
    function.blocks.swap(0, number);
    for edge in function
        .blocks
        .iter_mut()
        .flat_map(|block| &mut block.ops)
        .flat_map(|op| &mut op.edges)
    {
        if edge.0 == 0 {
            edge.0 = number;
        }
    }
    for block in &mut function.order {
        if *block == 0 {
            *block = number;
        }
    }
    function.order.insert(0, 0);
    let numbers = number_exits(&mut function, first, slot)?;
    draft.functions.push(function);
    draft.order.insert(0, last + 1);
    Some(Part {
        module: draft.module(),
        function: 0,
        numbers,
    })
}

/// How a run ended.
struct End {
    status: Status,
    number: u32,
    values: Vec<u64>,
    fuel: i64,
    instance: Instance,
}

fn instance(module: &Module) -> Instance {
    let limits = Limits {
        fuel: Some(FUEL),
        depth: DEPTH,
    };
    Instance::new(&module.program(), &module.names.hosts, &[], limits).expect("an instance")
}

fn number(status: Status, number: u32) -> u32 {
    match status {
        Status::Deoptimized | Status::Trapped => number,
        _ => 0,
    }
}

/// The oracle: where an exit is linked, the side trace runs on what the exit wrote, which is taken away again.
fn interpret(root: &Part, links: &[(u32, &Part)], slot: u32, arguments: &[u64]) -> End {
    let mut instance = instance(&root.module);
    let mut context = instance.context();
    instance.follow(&raw mut context);
    let (mut part, mut values) = (root, arguments.to_vec());
    loop {
        let program = part.module.program();
        let mut words = vec![0; verify::workspace_words(&program)];
        let verified = verify::verify(program, &mut words).expect("a valid program");
        let mut words = vec![0; interp::workspace_words(&verified)];
        let decoded = interp::decode(&verified, &mut words).expect("a decoded program");
        let mut stack = vec![0; decoded.stack_words(DEPTH)];
        values.resize(values.len().max(ROOM as usize), 0);
        let options = interp::Options { charge_fuel: true };
        let function = part.function as u32;
        // SAFETY: the instance binds what both programs declare, which are contained.
        let run =
            unsafe { decoded.run(function, &raw mut context, &mut values, &mut stack, options) };
        let run = run.expect("enough storage");
        let next = links.iter().find(|link| link.0 == run.exit_number);
        match next {
            Some((_, side)) if run.status == Status::Deoptimized => {
                part = side;
                let room = &mut instance.slots[slot as usize..];
                values = room.to_vec();
                room.fill(0);
            }
            _ => {
                return End {
                    status: run.status,
                    number: number(run.status, run.exit_number),
                    values,
                    fuel: context.fuel,
                    instance,
                };
            }
        }
    }
}

fn execute(root: &Part, piece: &Piece, arguments: &[u64]) -> End {
    let mut instance = instance(&root.module);
    let mut context = instance.context();
    instance.follow(&raw mut context);
    let mut values = arguments.to_vec();
    values.resize(values.len().max(ROOM as usize), 0);
    let entry = piece.address + u64::from(piece.functions[root.function].entry);
    // SAFETY: published code of this machine; the instance is bound for it and for what it is linked to.
    let status = unsafe { call::enter(entry, &raw mut context, values.as_mut_ptr()) };
    assert_eq!(context.depth, i64::from(DEPTH));
    End {
        status,
        number: number(status, context.exit_number),
        values,
        fuel: context.fuel,
        instance,
    }
}

fn compare(results: &[Type], wanted: &End, got: &End, what: &str) {
    assert_eq!(
        (wanted.status, wanted.number, wanted.fuel),
        (got.status, got.number, got.fuel),
        "{what}"
    );
    if wanted.status == Status::Returned {
        for (at, &ty) in results.iter().enumerate() {
            let (a, b) = (wanted.values[at], got.values[at]);
            assert!(value::same(ty, a, b), "{what}: result {at}: {a:#x} {b:#x}");
        }
    }
    if let Some(difference) = wanted.instance.difference(&got.instance) {
        panic!("{what}: {difference}");
    }
}

#[test]
fn linked_is_what_leaving_and_going_on_is() {
    let options = Options {
        fuel: true,
        ..Options::default()
    };
    let (mut links_made, mut tried, mut through) = (0, 0, 0);
    for seed in 0..720 {
        let mut random = Random::new(seed);
        let Some((draft, slot, root)) = parent(seed) else {
            continue;
        };
        if root.numbers.is_empty() {
            continue;
        }
        let mut workshop = Workshop::new();
        let fresh = match compile(&root.module, None, options, None) {
            Ok(fresh) => fresh,
            Err(Error::Unsupported { .. }) => continue,
            Err(error) => panic!("seed {seed}: {error}"),
        };
        let piece = workshop.add(fresh, Origin::Root, &[]).expect("room");
        // Pieces with what they are linked from: (piece, number).
        let mut pieces = vec![(piece, root)];
        let mut links: Vec<(usize, u32, usize)> = Vec::new();
        for from in 0..4 {
            let Some((piece, part)) = pieces.get(from) else {
                break;
            };
            let mut made = Vec::new();
            for &number in part.numbers.iter().take(6) {
                let Some(index) = piece.exits().find(number) else {
                    continue;
                };
                let sites = (0..piece.exits().sites.len()).map(|at| piece.exits().site(at));
                let same = sites.flatten().filter(|site| site.number() == number);
                // An op with two checks has an exit's code for each.
                if same.count() > 1 {
                    continue;
                }
                let site = piece.exits().site(index).expect("a site");
                let first = 1000 * (2 + (pieces.len() + made.len()) as u32);
                let Some(next) = side(&mut random, &draft, slot, first, site.carried()) else {
                    continue;
                };
                match compile(&next.module, Some(site), options, None) {
                    Ok(fresh) => made.push((number, fresh, next, piece.id)),
                    Err(Error::Unsupported { .. }) => {}
                    Err(error) => panic!("seed {seed}: {error}"),
                }
            }
            for (number, fresh, next, id) in made {
                let piece = workshop.add(fresh, Origin::Side(id), &[]).expect("room");
                links.push((from, number, pieces.len()));
                pieces.push((piece, next));
            }
        }
        let (root_piece, root) = &pieces[0];
        let program = root.module.program();
        let signature = program.functions[root.function].signature;
        for round in 0..8 {
            // Some links are made and some undone, then all is as the oracle says for just these.
            let mut active = Vec::new();
            for &(from, number, to) in &links {
                let is_linked = random.percent(70);
                let (from, to) = (&pieces[from].0, &pieces[to]);
                workshop.unlink(from, number).expect("an exit");
                if is_linked {
                    workshop.link(from, number, &to.0).expect("a link");
                    active.push((number, &to.1));
                    links_made += 1;
                }
            }
            let arguments: Vec<u64> = program
                .parameters(signature)
                .iter()
                .map(|&ty| interesting_bits(&mut random, ty))
                .collect();
            let wanted = interpret(root, &active, slot, &arguments);
            let plain = interpret(root, &[], slot, &arguments);
            through += usize::from(active.iter().any(|link| link.0 == plain.number));
            let got = execute(root, root_piece, &arguments);
            tried += 1;
            let what = format!("seed {seed}, round {round}, {arguments:x?}");
            compare(program.results(signature), &wanted, &got, &what);
        }
    }
    assert!(
        links_made > 1000 && tried > 500 && through > 50,
        "{links_made} {tried} {through}"
    );
}
