//! A collector that moves every object whenever a host function is called: compiled code must go on with the objects
//! where they are then, and what it does not use any more must be gone.
#![cfg(all(
    any(
        target_arch = "x86_64",
        target_arch = "aarch64",
        target_arch = "riscv64"
    ),
    any(target_os = "linux", windows)
))]

use patchjit::call;
use patchjit::code::CodeBuffer;
use patchjit::compile::{
    self, Event, FunctionCode, Observer as _, Options, ReferenceMaps, References, Safepoint,
    ValueName,
};
use patchjit::error::{Error, Storage};
use patchjit::runtime::{Context, EntryCell, HostCode, Status};
use patchjit::verify;
use patchjit_memory::Arena;
use patchjit_tests::host_set;
use patchjit_tests::random::Random;
use patchjit_tests::references::MapStorage;
use std::ffi::c_void;

/// Words of an object: its value, the object behind it or 0, and a mark of what is one.
const WORDS: usize = 3;
const MARK: u64 = 0x0b1ec7;
/// What stands where objects were.
const GONE: u64 = 0xdead_dead_dead_dead;

/// Two halves, one of which has the objects; host functions get it as their context.
struct Heap<'m> {
    halves: [Vec<u64>; 2],
    /// The half with the objects, and how many words of it are taken.
    half: usize,
    taken: usize,
    references: References<'m>,
    code: u64,
    code_length: u64,
    slots: Vec<u64>,
    collections: usize,
    roots: usize,
    /// What host functions see twice: that a walk sees each frame once.
    frames: Vec<usize>,
}

impl Heap<'_> {
    fn address(half: &[u64], word: usize) -> u64 {
        half[word..].as_ptr().expose_provenance() as u64
    }

    /// The object at an address, as an index of words in the half at hand.
    fn object(&self, reference: u64) -> usize {
        let base = Heap::address(&self.halves[self.half], 0);
        let word = (reference.wrapping_sub(base) / 8) as usize;
        assert!(
            reference & 7 == 0 && word + WORDS <= self.taken,
            "{reference:#x} is no reference; objects are at {base:#x}"
        );
        assert_eq!(self.halves[self.half][word + 2], MARK);
        word
    }

    fn make(&mut self, value: u64, next: u64) -> u64 {
        let at = self.taken;
        self.halves[self.half][at..at + WORDS].copy_from_slice(&[value, next, MARK]);
        self.taken += WORDS;
        Heap::address(&self.halves[self.half], at)
    }

    /// Moves what is alive to the other half; gives how many objects that are.
    ///
    /// # Safety
    ///
    /// `values` is what compiled code passed; the arguments with these numbers are references.
    unsafe fn collect(&mut self, values: *mut u64, arguments: &[usize]) -> usize {
        let mut places: Vec<*mut u64> = Vec::new();
        let (references, code, length) = (self.references, self.code, self.code_length);
        let mut frames = 0;
        let frame_at = |address: u64| {
            let offset = address.wrapping_sub(code);
            let frame = (offset < length)
                .then(|| references.at(offset as u32))
                .flatten();
            frames += usize::from(frame.is_some());
            frame
        };
        // SAFETY: the caller's promise.
        unsafe { call::visit_references(values, frame_at, |place| places.push(place)) };
        self.frames.push(frames);
        self.roots += places.len();
        // SAFETY: arguments are words of the array.
        places.extend(
            arguments
                .iter()
                .map(|&number| unsafe { values.add(number) }),
        );
        let mut to = vec![GONE; self.halves[0].len()];
        std::mem::swap(&mut to, &mut self.halves[1 - self.half]);
        let mut taken = 0;
        // An object that has moved has its new address in place of its mark.
        let from_base = Heap::address(&self.halves[self.half], 0);
        for place in places {
            // SAFETY: a root, an argument, or a word of an object.
            let mut place = place;
            loop {
                // SAFETY: as above.
                let reference = unsafe { place.read() };
                if reference == 0 {
                    break;
                }
                let word = (reference.wrapping_sub(from_base) / 8) as usize;
                assert!(
                    reference & 7 == 0 && word + WORDS <= self.taken,
                    "{reference:#x} is stale"
                );
                let [from, to] = {
                    let (first, second) = self.halves.split_at_mut(1);
                    if self.half == 0 {
                        [&mut first[0], &mut second[0]]
                    } else {
                        [&mut second[0], &mut first[0]]
                    }
                };
                if from[word + 2] != MARK {
                    // SAFETY: as above.
                    unsafe { place.write(from[word + 2]) };
                    break;
                }
                to[taken..taken + WORDS].copy_from_slice(&from[word..word + WORDS]);
                let moved = Heap::address(to, taken);
                from[word + 2] = moved;
                // SAFETY: as above.
                unsafe { place.write(moved) };
                place = &raw mut to[taken + 1];
                taken += WORDS;
            }
        }
        let old = self.half;
        self.half = 1 - old;
        self.taken = taken;
        self.halves[old].fill(GONE);
        self.collections += 1;
        taken / WORDS
    }
}

/// `cons(value, next)`: a new object, everything moved before.
unsafe extern "C" fn cons(context: *mut c_void, values: *mut u64) -> u32 {
    // SAFETY: compiled code passes what the context has, and room for two words.
    unsafe {
        let heap = &mut *context.cast::<Heap>();
        heap.collect(values, &[1]);
        *values = heap.make(*values, *values.add(1));
    }
    0
}

/// `value(object)`, everything moved before.
unsafe extern "C" fn value(context: *mut c_void, values: *mut u64) -> u32 {
    // SAFETY: as above, one word.
    unsafe {
        let heap = &mut *context.cast::<Heap>();
        heap.collect(values, &[0]);
        let word = heap.object(*values);
        *values = heap.halves[heap.half][word];
    }
    0
}

/// `next(object)`, everything moved before.
unsafe extern "C" fn next(context: *mut c_void, values: *mut u64) -> u32 {
    // SAFETY: as above, one word.
    unsafe {
        let heap = &mut *context.cast::<Heap>();
        heap.collect(values, &[0]);
        let word = heap.object(*values);
        *values = heap.halves[heap.half][word + 1];
    }
    0
}

/// `count()`: how many objects are alive.
unsafe extern "C" fn count(context: *mut c_void, values: *mut u64) -> u32 {
    // SAFETY: as above, one word of results.
    unsafe {
        let heap = &mut *context.cast::<Heap>();
        *values = heap.collect(values, &[]) as u64;
    }
    0
}

/// `fail()`: moves everything, then leaves.
unsafe extern "C" fn fail(context: *mut c_void, values: *mut u64) -> u32 {
    // SAFETY: as above.
    unsafe { (*context.cast::<Heap>()).collect(values, &[]) };
    1
}

const HOSTS: &str = "
slots 4
host @cons(i64, ref) -> ref
host @value(ref) -> i64
host @next(ref) -> ref
host @count() -> i64
host @fail()
";

/// What is known after a run.
struct Ran {
    status: Status,
    results: Vec<u64>,
    slots: Vec<u64>,
    collections: usize,
    roots: usize,
    frames: Vec<usize>,
    /// The values of the list that guest slot 0 holds, if the run has left it there.
    list: Vec<u64>,
}

/// Compiles a program and runs its first function.
fn run(source: &str, arguments: &[u64]) -> Ran {
    let module = patchjit_text::parse(&format!("{HOSTS}{source}")).unwrap();
    let program = module.program();
    let mut facts = vec![0; verify::workspace_words(&program)];
    let verified = verify::verify(program, &mut facts).unwrap();
    let mut words = vec![0xdead_beef; compile::workspace_words(&verified)];
    let mut arena = Arena::new(1 << 20).unwrap();
    let mut block = arena.reserve(compile::code_bytes(&verified)).unwrap();
    let mut writing = arena.write(&mut block).unwrap();
    let mut functions = vec![FunctionCode::default(); program.functions.len()];
    let mut storage = MapStorage::new(&verified, 1000);
    let mut maps = storage.observer(&verified);
    let options = Options::default();
    let compiled = compile::compile_observed(
        &verified,
        host_set(),
        &options,
        &mut words,
        writing.buffer(),
        &mut functions,
        &mut maps,
    )
    .unwrap();
    let references = maps.finish().unwrap();
    let code = writing.publish(compiled.code_length as usize).unwrap();
    let mut heap = Heap {
        halves: [vec![GONE; 30_000], vec![GONE; 30_000]],
        half: 0,
        taken: 0,
        references,
        code,
        code_length: u64::from(compiled.code_length),
        slots: vec![0; 4],
        collections: 0,
        roots: 0,
        frames: Vec::new(),
    };
    let hosts: [HostCode; 5] = [cons, value, next, count, fail];
    let cells: Vec<EntryCell> = functions
        .iter()
        .zip(program.functions)
        .map(|(function, record)| EntryCell {
            code: code + u64::from(function.body),
            signature: record.signature.into(),
        })
        .collect();
    let mut context = Context::new();
    context.slots = heap.slots.as_mut_ptr();
    context.hosts = hosts.as_ptr();
    context.host_context = (&raw mut heap).cast();
    context.cells = cells.as_ptr();
    context.cell_count = cells.len() as u64;
    context.depth = 1000;
    let mut results = arguments.to_vec();
    results.resize(8, 0);
    let entry = code + u64::from(functions[0].entry);
    // SAFETY: compiled for this machine and published; bound as the program declares; room for 8 results; the stack
    // holds a thousand small frames.
    let status = unsafe { call::enter(entry, &raw mut context, results.as_mut_ptr()) };
    let mut list = Vec::new();
    let mut at = heap.slots[0];
    while status == Status::Deoptimized && at != 0 {
        let word = heap.object(at);
        list.push(heap.halves[heap.half][word]);
        at = heap.halves[heap.half][word + 1];
    }
    Ran {
        status,
        results,
        slots: heap.slots.clone(),
        collections: heap.collections,
        roots: heap.roots,
        frames: heap.frames.clone(),
        list,
    }
}

#[test]
fn a_list_is_built_and_summed_while_it_moves() {
    let source = "
func @f(n: i64) -> i64, i64 {
entry:
    zero = i64.const 0
    one = i64.const 1
    none = ref.from_i64 zero
    jump build(zero, none)
build(i: i64, list: ref):
    longer = call_host @cons(i, list)
    i1 = i64.add i, one
    more = i64.lt_s i1, n
    branch more, build(i1, longer), built
built:
    recursive = call @sum(longer)
    jump walk(longer, zero)
walk(at: ref, sum: i64):
    value = call_host @value(at)
    sum1 = i64.add sum, value
    behind = call_host @next(at)
    bits = i64.from_ref behind
    some = i64.ne bits, zero
    branch some, walk(behind, sum1), done
done:
    return recursive, sum1
}
func @sum(list: ref) -> i64 {
entry:
    zero = i64.const 0
    bits = i64.from_ref list
    some = i64.ne bits, zero
    branch some, more, none
none:
    return zero
more:
    behind = call_host @next(list)
    rest = call @sum(behind)
    value = call_host @value(list)
    sum = i64.add rest, value
    return sum
}
";
    let ran = run(source, &[100]);
    assert_eq!(ran.status, Status::Returned);
    assert_eq!(ran.results[..2], [4950, 4950]);
    assert_eq!(ran.collections, 500);
    // At the bottom of the recursion the walk sees every frame.
    assert_eq!(ran.frames.iter().max(), Some(&101));
}

/// A reference that is used on one way only is not alive on the other, and what is made on one way only is not named on
/// the other, whatever its slot holds.
#[test]
fn what_is_dead_on_a_way_is_gone_there() {
    let source = "
func @f(which: i64) -> i64, i64 {
entry:
    zero = i64.const 0
    five = i64.const 5
    none = ref.from_i64 zero
    first = call_host @cons(five, none)
    second = call_host @cons(which, none)
    branch_here = i64.ne which, zero
    branch branch_here, left, right
left:
    third = call_host @cons(five, first)
    on_left = call_host @count()
    a = call_host @value(third)
    b = call_host @value(second)
    ab = i64.add a, b
    jump end(on_left, ab)
right:
    on_right = call_host @count()
    c = call_host @value(second)
    jump end(on_right, c)
end(alive: i64, sum: i64):
    return alive, sum
}
";
    let ran = run(source, &[7]);
    assert_eq!(ran.results[..2], [3, 12]);
    // Neither the first object, which only the left way uses, nor the third.
    let ran = run(source, &[0]);
    assert_eq!(ran.results[..2], [1, 0]);
}

/// The last use may be far ahead in the code's order and yet on no way from here.
#[test]
fn a_reference_is_followed_from_its_uses() {
    let source = "
func @f(n: i64) -> i64, i64, i64 {
entry:
    zero = i64.const 0
    one = i64.const 1
    none = ref.from_i64 zero
    kept = call_host @cons(n, none)
    lost = call_host @cons(one, kept)
    early = i64.lt_s n, one
    branch early, out, head(n, kept)
head(i: i64, at: ref):
    inside = call_host @count()
    at1 = call_host @cons(i, none)
    before = call_host @value(at)
    i1 = i64.sub i, one
    more = i64.gt_s i1, zero
    branch more, head(i1, at1), behind
behind:
    after = call_host @count()
    last = call_host @value(at1)
    return inside, after, last
out:
    all = call_host @count()
    value = call_host @value(lost)
    return all, value, zero
}
";
    let ran = run(source, &[3]);
    assert_eq!(ran.results[..3], [1, 1, 1]);
    let ran = run(source, &[0]);
    assert_eq!(ran.results[..3], [2, 1, 0]);
}

/// More references than registers, some of them parameters of a loop that live in their slots.
#[test]
fn more_references_than_registers() {
    let count = 20;
    let names = |prefix: &str| {
        (0..count)
            .map(|k| format!("{prefix}{k}"))
            .collect::<Vec<_>>()
    };
    let mut source = String::from(
        "func @f(n: i64) -> i64 {\nentry:\n    zero = i64.const 0\n    one = i64.const 1\n    none = ref.from_i64 zero\n",
    );
    for k in 0..count {
        source += &format!("    c{k} = i64.const {k}\n    a{k} = call_host @cons(c{k}, none)\n");
    }
    source += &format!("    jump loop(n, {})\nloop(i: i64, ", names("a").join(", "));
    let parameters: Vec<String> = names("p")
        .iter()
        .map(|name| format!("{name}: ref"))
        .collect();
    source += &format!(
        "{}):\n    count = call_host @count()\n    i1 = i64.sub i, one\n",
        parameters.join(", ")
    );
    // Each time round they move on by one.
    let mut turned = names("p");
    turned.rotate_left(1);
    source += &format!(
        "    more = i64.gt_s i1, zero\n    branch more, loop(i1, {}), done\ndone:\n",
        turned.join(", ")
    );
    source += "    s0 = call_host @value(p0)\n    t0 = i64.mul s0, one\n";
    for k in 1..count {
        source += &format!(
            "    s{k} = call_host @value(p{k})\n    c{k}x = i64.const {}\n    m{k} = i64.mul s{k}, c{k}x\n    t{k} = i64.add t{}, m{k}\n",
            k + 1,
            k - 1
        );
    }
    source += &format!(
        "    h = i64.const 1000000\n    counted = i64.mul count, h\n    all = i64.add counted, t{}\n    return all\n}}\n",
        count - 1
    );
    let rounds = 8;
    let ran = run(&source, &[rounds]);
    let expected: u64 = (0..count).map(|k| (k + rounds - 1) % count * (k + 1)).sum();
    assert_eq!(ran.results[0], count * 1_000_000 + expected);
}

/// An exit's snapshot has the references as the host function left them, in every frame.
#[test]
fn exits_take_what_has_moved() {
    let source = "
func @f(a: i64) {
entry:
    zero = i64.const 0
    none = ref.from_i64 zero
    list = call_host @cons(a, none)
    call @g(list) else exit 3 [0: list]
    return
}
func @g(list: ref) {
entry:
    two = i64.const 2
    longer = call_host @cons(two, list)
    call_host @fail() else exit 4 [1: longer]
    return
}
";
    let ran = run(source, &[9]);
    assert_eq!(ran.status, Status::Deoptimized);
    assert_eq!(ran.list, [9]);
    assert_ne!(ran.slots[1], 0);
    assert_ne!(ran.slots[1], GONE);
    assert_eq!(ran.frames, [1, 2, 2]);
    assert_eq!(ran.roots, 3);
}

/// Calls through cells and by index, polls, and references that go to the guest slots and come back.
#[test]
fn every_kind_of_call() {
    let source = "
func @f(a: i64) -> i64, i64 {
entry:
    zero = i64.const 0
    none = ref.from_i64 zero
    one = call_host @cons(a, none)
    two = call_cell @again(one) else trap 1
    which = function.index @again
    three = call_indirect (ref) -> (ref), which(two) else trap 1
    poll else exit 2 [0: three, 1: two]
    ref.slot_set 2, three
    x = call_host @value(one)
    y = call_host @value(two)
    back = ref.slot_get 2
    same = i64.from_ref back
    bits = i64.from_ref three
    moved = i64.ne same, bits
    wide = i64.extend_i32_u moved
    sum = i64.add x, y
    z = call_host @value(three)
    all = i64.add sum, z
    return all, wide
}
func @again(r: ref) -> ref {
entry:
    v = call_host @value(r)
    s = call_host @cons(v, r)
    return s
}
";
    let ran = run(source, &[5]);
    assert_eq!(ran.status, Status::Returned);
    // What a guest slot holds is the embedder's to update, and this one does not.
    assert_eq!(ran.results[..2], [15, 1]);
}

/// Storage that is too small is an error that says what would do, and dirty storage is as good as any.
#[test]
fn storage_of_every_size() {
    let source = format!(
        "{HOSTS}
func @f(a: ref, b: ref) -> i64 {{
entry:
    x = call_host @value(a)
    more = i64.eqz x
    branch more, left, right
left:
    y = call_host @value(b)
    return y
right:
    c = call_host @next(a)
    z = call_host @value(b)
    w = call_host @value(c)
    zw = i64.add z, w
    return zw
}}
"
    );
    let module = patchjit_text::parse(&source).unwrap();
    let program = module.program();
    let mut facts = vec![0; verify::workspace_words(&program)];
    let verified = verify::verify(program, &mut facts).unwrap();
    let mut words = vec![0; compile::workspace_words(&verified)];
    let mut bytes = vec![0; compile::code_bytes(&verified)];
    let mut functions = [FunctionCode::default()];
    let mut compile = |safepoints: usize, roots: usize, map_words: usize| {
        let mut storage = (
            vec![Safepoint::default(); safepoints],
            vec![0xdead_beef; roots],
            vec![0xdead_beef; map_words],
        );
        let mut maps =
            ReferenceMaps::new(&verified, &mut storage.0, &mut storage.1, &mut storage.2);
        let options = Options::default();
        let buffer = CodeBuffer {
            write: &mut bytes,
            execute_at: 0,
        };
        compile::compile_observed(
            &verified,
            host_set(),
            &options,
            &mut words,
            buffer,
            &mut functions,
            &mut maps,
        )
        .unwrap();
        maps.finish().map(|references| {
            let frames = references.iter();
            frames
                .map(|(offset, frame)| (offset, frame.roots.to_vec()))
                .collect::<Vec<_>>()
        })
    };
    let (safepoints, map_words) = (
        ReferenceMaps::safepoints(&verified),
        ReferenceMaps::words(&verified),
    );
    assert_eq!(safepoints, 5);
    let all = compile(safepoints, 100, map_words).unwrap();
    let counts: Vec<usize> = all.iter().map(|(_, roots)| roots.len()).collect();
    assert_eq!(counts, [2, 0, 1, 1, 0]);
    let needs = |result: Result<_, Error>, wanted: Storage| match result {
        Err(Error::Full { storage, needed }) => {
            assert_eq!(storage, wanted);
            needed
        }
        other => panic!("{other:?}"),
    };
    for count in 0..safepoints {
        assert_eq!(
            needs(compile(count, 100, map_words), Storage::Safepoints),
            safepoints
        );
    }
    for count in 0..4 {
        assert_eq!(
            needs(compile(safepoints, count, map_words), Storage::Roots),
            4
        );
    }
    // What an error asks for is enough, or brings one nearer.
    for count in 0..=map_words {
        match compile(safepoints, 100, count) {
            Ok(found) => assert_eq!(found, all),
            error => {
                let needed = needs(error, Storage::Workspace);
                assert!(count < needed && needed <= map_words);
            }
        }
    }
    assert!(compile(safepoints, 4, map_words).is_ok());
}

/// Whatever is told, nothing panics.
#[test]
fn nonsense_is_no_panic() {
    let source = format!(
        "{HOSTS}\nfunc @f(a: ref) -> i64 {{\nentry:\n    x = call_host @value(a)\n    y = call_host @value(a)\n    return y\n}}\n"
    );
    let module = patchjit_text::parse(&source).unwrap();
    let program = module.program();
    let mut facts = vec![0; verify::workspace_words(&program)];
    let verified = verify::verify(program, &mut facts).unwrap();
    let mut random = Random::new(5);
    for _ in 0..2000 {
        let mut storage = MapStorage::new(&verified, random.below(3));
        let words = random.below(storage.words.len() + 1);
        storage.words.truncate(words);
        let mut maps = storage.observer(&verified);
        for _ in 0..random.below(20) {
            let mut number = || match random.below(4) {
                0 => u32::MAX - random.below(3) as u32,
                _ => random.below(6) as u32,
            };
            let [a, b] = [number(), number()];
            maps.event(match random.below(5) {
                0 => Event::Function { function: a },
                1 => Event::SpillSlot {
                    value: ValueName::Op(a),
                    slot: b,
                },
                2 | 3 => Event::Safepoint { op: a, at: b },
                _ => Event::Frame {
                    words: a,
                    outgoing: b,
                },
            });
        }
        if let Ok(references) = maps.finish() {
            for (offset, frame) in references.iter() {
                assert!(frame.roots.len() <= 1);
                let _ = references.at(offset);
            }
        }
    }
}
