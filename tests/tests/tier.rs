//! The tiering kit's recorder: what it emits, what it refuses, and that a trace does what the host did.

use patchjit::build::{Buffers, Builder, EMPTY_OP};
use patchjit::ir::{Op, Program};
use patchjit::ops::{Opcode, evaluate_total};
use patchjit::runtime::Status;
use patchjit::tier::GiveUp;
use patchjit::tier::record::{
    Emit, Forced, Limits, Recorder, Segment, Slot, Storage, Trace, TraceAccess, TraceExit,
};
use patchjit::types::Type;
use patchjit_tests::machine::Machine;
use patchjit_tests::oracle;
use patchjit_tests::random::{Random, seeds};

/// Storage for one trace.
struct Log {
    ops: Vec<Op>,
    words: Vec<u32>,
    exits: Vec<TraceExit>,
    segments: Vec<Segment>,
    slots: Vec<Slot>,
}

impl Log {
    fn new(ops: usize, slots: usize) -> Log {
        Log {
            ops: vec![EMPTY_OP; ops],
            words: vec![0; ops * 16],
            exits: vec![TraceExit::default(); ops],
            segments: vec![Segment::default(); 16],
            slots: vec![Slot::default(); slots],
        }
    }

    fn trace(&mut self) -> Trace<'_> {
        let storage = Storage {
            ops: &mut self.ops,
            words: &mut self.words,
            exits: &mut self.exits,
            segments: &mut self.segments,
            slots: &mut self.slots,
        };
        Trace::new(storage, Limits::default())
    }
}

/// Emits a trace into a program with one region and a slot beyond those of the trace, and looks at it.
fn emitted<R>(trace: &Trace<'_>, options: &Emit, look: impl FnOnce(&Program<'_>) -> R) -> R {
    let mut buffers = Box::new(Buffers::<2048>::new());
    let mut builder = Builder::new(buffers.storage());
    builder.set_slot_count(trace.slot_count() + 1);
    builder.region(REGION_BYTES).unwrap();
    let mut words = vec![7; trace.emit_words()];
    trace.emit(&mut builder, options, &mut words).unwrap();
    look(&builder.finish().unwrap())
}

fn text(trace: &Trace<'_>) -> String {
    emitted(trace, &Emit::default(), |program| {
        patchjit_text::print(program, None)
    })
}

const REGION_BYTES: u64 = 8 * MEMORY as u64;

/// Words of memory: the guest names 16, and the last two are not there.
const MEMORY: usize = 14;
const I64: Type = Type::I64;

/// A loop at place 0: `i += step; total += i`, as long as `i < end`.
fn record_sum(trace: &mut Trace<'_>) -> Result<(), GiveUp> {
    let mut r = trace.begin(4);
    r.resume_at(10);
    let (i, end) = (r.read(0, I64)?, r.read(1, I64)?);
    let more = r.binary(Opcode::I64LtS, i, end)?;
    r.guard(Opcode::Guard, more)?;
    let step = r.read(2, I64)?;
    let next = r.binary_else(Opcode::I64AddChecked, i, step)?;
    r.write(0, next)?;
    r.resume_at(20);
    let total = r.read(3, I64)?;
    let (i, again) = (r.read(0, I64)?, r.read(0, I64)?);
    assert_eq!(i, again);
    let total = r.binary_else(Opcode::I64AddChecked, total, i)?;
    r.write(4, total)?; // a temporary, dead at the head
    r.write(3, total)?;
    r.close()
}

#[test]
fn changed_slots_are_carried_and_others_are_read_once() {
    let mut log = Log::new(100, 8);
    let mut trace = log.trace();
    record_sum(&mut trace).unwrap();
    let expected = "\
slots 9
region @r0 112

func @f0() {
b0:
    v0 = i64.slot_get 0
    v1 = i64.slot_get 3
    v2 = i64.slot_get 1
    v3 = i64.slot_get 2
    jump b1(v0, v1)
b1(v4: i64, v5: i64):
    v6 = i64.lt_s v4, v2
    guard v6 else exit 0 [0: v4, 3: v5]
    v7 = i64.add_checked v4, v3 else exit 1 [0: v4, 3: v5]
    v8 = i64.add_checked v5, v7 else exit 2 [0: v7, 3: v5]
    jump b1(v7, v8)
}
";
    assert_eq!(text(&trace), expected);
    assert_eq!((trace.exit_count(), trace.leaving_count()), (3, 3));
    let resumes: Vec<_> = (0..3).map(|e| trace.exit(e).unwrap().resume).collect();
    assert_eq!(resumes, [10, 10, 20]);
    assert_eq!(trace.exit(3), None);
}

#[test]
fn a_way_round_an_outer_loop_has_a_head_of_its_own() {
    let mut log = Log::new(100, 8);
    let mut trace = log.trace();
    record_sum(&mut trace).unwrap();
    // Where the loop ends: round another loop, which sets it back and steps a slot of its own.
    let mut r = trace.extend(0).unwrap();
    r.resume_at(30);
    r.pass(77).unwrap();
    let start = r.constant(Opcode::I64Const, 5).unwrap();
    r.write(0, start).unwrap();
    let total = r.read(3, I64).unwrap();
    r.write(5, total).unwrap();
    let outer = r.read(2, I64).unwrap();
    let outer = r.binary(Opcode::I64Add, outer, start).unwrap();
    r.write(2, outer).unwrap();
    r.close().unwrap();
    let expected = "\
slots 9
region @r0 112

func @f0() {
b0:
    v0 = i64.slot_get 0
    v1 = i64.slot_get 2
    v2 = i64.slot_get 3
    v3 = i64.slot_get 1
    jump b1(v0, v1, v2)
b1(v4: i64, v5: i64, v6: i64):
    jump b2(v4, v6)
b2(v7: i64, v8: i64):
    v9 = i64.lt_s v7, v3
    branch v9, b3, b4
b3:
    v10 = i64.add_checked v7, v5 else exit 1 [0: v7, 2: v5, 3: v8]
    v11 = i64.add_checked v8, v10 else exit 2 [0: v10, 2: v5, 3: v8]
    jump b2(v10, v11)
b4:
    v12 = i64.const 5
    v13 = i64.add v5, v12
    jump b1(v12, v13, v8)
}
";
    assert_eq!(text(&trace), expected);
}

#[test]
fn the_inner_loop_is_the_way_that_passes_the_fewest_others() {
    let mut log = Log::new(100, 8);
    let mut trace = log.trace();
    // The root was recorded where the inner loop ends at once; a side trace goes round it.
    let mut r = trace.begin(4);
    r.resume_at(10);
    let (i, end) = (r.read(0, I64).unwrap(), r.read(1, I64).unwrap());
    let more = r.binary(Opcode::I64LtS, i, end).unwrap();
    r.resume_at(20);
    r.guard(Opcode::GuardNot, more).unwrap();
    r.pass(77).unwrap();
    let start = r.constant(Opcode::I64Const, 5).unwrap();
    r.write(0, start).unwrap();
    let outer = r.read(2, I64).unwrap();
    let outer = r.binary(Opcode::I64Add, outer, start).unwrap();
    r.write(2, outer).unwrap();
    r.close().unwrap();
    let mut r = trace.extend(0).unwrap();
    r.resume_at(30);
    let i = r.read(0, I64).unwrap();
    let one = r.constant(Opcode::I64Const, 1).unwrap();
    let next = r.binary(Opcode::I64Add, i, one).unwrap();
    r.write(0, next).unwrap();
    r.close().unwrap();
    let text = text(&trace);
    let heads = "\
b1(v3: i64, v4: i64):
    jump b2(v3)
b2(v5: i64):
    v6 = i64.lt_s v5, v2
    branch v6, b4, b3
";
    assert!(text.contains(heads), "{text}");
    assert!(
        text.contains("jump b1(v7, v8)") && text.contains("jump b2(v10)"),
        "{text}"
    );
}

#[test]
fn the_entry_checks_what_the_root_tests_of_the_head() {
    let mut log = Log::new(100, 8);
    let mut trace = log.trace();
    let mut r = trace.begin(4);
    r.resume_at(10);
    let word = r.read(0, I64).unwrap();
    let test = r.tagged(Opcode::I64TagTest, 0, word).unwrap();
    r.guard(Opcode::Guard, test).unwrap();
    r.guard(Opcode::Guard, test).unwrap();
    let other = r.read(1, I64).unwrap();
    let test = r.tagged(Opcode::I64TagTest, 0, other).unwrap();
    r.resume_at(11);
    r.guard(Opcode::GuardNot, test).unwrap();
    r.write(0, other).unwrap();
    // No more what the head held.
    let test = r.tagged(Opcode::I64TagTest, 0, other).unwrap();
    r.resume_at(12);
    r.guard(Opcode::Guard, test).unwrap();
    r.close().unwrap();
    let print = |trace: &Trace<'_>| {
        let mut buffers = Box::new(Buffers::<2048>::new());
        let mut builder = Builder::new(buffers.storage());
        builder.set_slot_count(trace.slot_count() + 1);
        builder
            .tag(patchjit::ir::Tag {
                mask: 7,
                bits: 1,
                shift: 3,
            })
            .unwrap();
        let mut words = vec![7; trace.emit_words()];
        let options = Emit {
            entry_exit: Some(99),
            ..Emit::default()
        };
        trace.emit(&mut builder, &options, &mut words).unwrap();
        patchjit_text::print(&builder.finish().unwrap(), None)
    };
    let printed = print(&trace);
    let entry = "\
b0:
    v0 = i64.slot_get 0
    v1 = i64.slot_get 1
    v2 = i64.tag_test @t0, v0
    guard v2 else exit 99
    v3 = i64.tag_test @t0, v1
    guard_not v3 else exit 99
    jump b1(v0)
";
    assert!(printed.contains(entry), "{printed}");
    // Where a side trace begins, what fails the test is welcome.
    let mut r = trace.extend(0).unwrap();
    r.resume_at(20);
    r.leave(21).unwrap();
    let printed = print(&trace);
    let entry = "\
    v1 = i64.slot_get 1
    v2 = i64.tag_test @t0, v1
    guard_not v2 else exit 99
    jump b1(v0)
";
    assert!(printed.contains(entry), "{printed}");
}

#[test]
fn side_traces_become_branches_of_the_same_function() {
    let mut log = Log::new(100, 8);
    let mut trace = log.trace();
    record_sum(&mut trace).unwrap();
    // An op's exit has no side trace, and an abandoned side trace leaves nothing behind.
    let before = text(&trace);
    assert_eq!(trace.extend(1).err(), Some(GiveUp::ExitTaken));
    assert_eq!(trace.extend(9).err(), Some(GiveUp::Unknown));
    let mut r = trace.extend(0).unwrap();
    r.resume_at(30);
    let _ = r.read(5, I64).unwrap();
    drop(r);
    assert_eq!(text(&trace), before);
    // Where the loop ends: another round with twice the step, then out.
    let mut r = trace.extend(0).unwrap();
    r.resume_at(30);
    let step = r.read(2, I64).unwrap();
    let twice = r.binary(Opcode::I64Add, step, step).unwrap();
    r.write(2, twice).unwrap();
    r.close().unwrap();
    assert_eq!(trace.extend(0).err(), Some(GiveUp::ExitTaken));
    let expected = "\
slots 9
region @r0 112

func @f0() {
b0:
    v0 = i64.slot_get 0
    v1 = i64.slot_get 2
    v2 = i64.slot_get 3
    v3 = i64.slot_get 1
    jump b1(v0, v1, v2)
b1(v4: i64, v5: i64, v6: i64):
    v7 = i64.lt_s v4, v3
    branch v7, b2, b3
b2:
    v8 = i64.add_checked v4, v5 else exit 1 [0: v4, 2: v5, 3: v6]
    v9 = i64.add_checked v6, v8 else exit 2 [0: v8, 2: v5, 3: v6]
    jump b1(v8, v5, v9)
b3:
    v10 = i64.add v5, v5
    jump b1(v4, v10, v6)
}
";
    assert_eq!(text(&trace), expected);
}

#[test]
fn what_cannot_be_recorded_is_given_up_with_a_reason() {
    let mut log = Log::new(6, 4);
    let mut trace = log.trace();
    assert_eq!(record_sum(&mut trace), Err(GiveUp::TooLong));
    assert_eq!((trace.op_count(), trace.exit_count()), (0, 0));
    let mut log = Log::new(100, 4);
    let mut trace = log.trace();
    let result = record_sum(&mut trace);
    assert_eq!(result, Err(GiveUp::SlotRange), "slot 4 is written");

    let mut r = trace.begin(4);
    assert_eq!(r.read(4, I64), Err(GiveUp::SlotRange));
    assert_eq!(r.read(0, I64), Err(GiveUp::SlotRange), "errors stick");
    assert_eq!(r.close(), Err(GiveUp::SlotRange));

    let mut r = trace.begin(4);
    let a = r.read(0, I64).unwrap();
    assert_eq!(r.read(0, Type::F64), Err(GiveUp::SlotType));
    drop(r);
    let mut r = trace.begin(4);
    let float = r.constant(Opcode::F64Const, 0).unwrap();
    let _ = r.read(0, I64).unwrap();
    r.write(0, float).unwrap();
    assert_eq!(r.close(), Err(GiveUp::SlotType));

    let mut r = trace.begin(4);
    assert_eq!(r.write(0, a), Err(GiveUp::Unknown), "of another recording");
    drop(r);
    let mut r = trace.begin(4);
    let a = r.constant(Opcode::I64Const, 1).unwrap();
    assert_eq!(
        r.binary_else(Opcode::I64AddChecked, a, a),
        Err(GiveUp::WriteBeforeExit),
        "no place was said"
    );
    drop(r);
    let mut r = trace.begin(4);
    r.resume_at(1);
    let a = r.constant(Opcode::I64Const, 1).unwrap();
    let access = TraceAccess {
        region: 0,
        index: a,
        scale: 0,
        offset: 0,
    };
    r.store(Opcode::I64Store, access, a).unwrap();
    assert_eq!(
        r.load(Opcode::I64Load, access),
        Err(GiveUp::WriteBeforeExit)
    );
    drop(r);
    let mut r = trace.begin(4);
    assert_eq!(r.unary(Opcode::I64Add, a), Err(GiveUp::Unknown));
    drop(r);
    let mut r = trace.begin(4);
    assert_eq!(r.pop_frame(1), Err(GiveUp::FrameUnderflow));
    drop(r);
    let mut r = trace.begin(4);
    r.push_frame(2).unwrap();
    assert_eq!(
        r.read(2, I64),
        Err(GiveUp::SlotRange),
        "slot 4 of the first"
    );
    drop(r);
    let mut r = trace.begin(4);
    r.push_frame(2).unwrap();
    assert_eq!(r.frames(), 1);
    assert_eq!(r.close(), Err(GiveUp::FrameOpen));
    let mut r = trace.begin(4);
    for _ in 0..Limits::default().frames {
        r.push_frame(0).unwrap();
    }
    assert_eq!(r.push_frame(0), Err(GiveUp::TooDeep));
    drop(r);
    let mut r = trace.begin(4);
    for _ in 0..Limits::default().unroll {
        r.pass(5).unwrap();
    }
    r.pass(6).unwrap();
    assert_eq!(r.pass(5), Err(GiveUp::InnerLoop));
    drop(r);
    let mut r = trace.begin(4);
    for key in 0..8 {
        r.pass(key).unwrap();
    }
    assert_eq!(r.pass(8), Err(GiveUp::TooManyLoops));
    drop(r);
    assert_eq!(trace.op_count(), 0);
}

// A guest: registers in slots, frames above each other, forward skips, one loop around it all.

#[derive(Clone, Copy, Debug)]
enum Guest {
    Constant(u32, i64),
    Binary(Opcode, u32, u32, u32),
    /// The sum; on overflow 77, which traces do not do.
    Checked(u32, u32, u32),
    /// The word of the region that the low bits name; past its end -1, which traces do not do.
    Load(u32, u32),
    /// Nothing past the end, which traces do not do.
    Store(u32, u32),
    /// Skips this many instructions if the first register is below the second.
    SkipIfLess(u32, u32, usize),
    /// A call: two registers become the first of a frame above.
    Call(u32, u32),
    /// The end of a call: its first register goes to this one below.
    Return(u32),
    /// Counts register 0 down, and goes back to the first instruction unless it is zero.
    Loop,
}

const REGISTERS: u32 = 6;

struct Interpreter<'a> {
    code: &'a [Guest],
    slots: &'a mut [u64],
    memory: &'a mut [u64],
    at: usize,
    base: u32,
}

impl Interpreter<'_> {
    fn slot(&mut self, register: u32) -> &mut u64 {
        &mut self.slots[(self.base + register) as usize]
    }

    fn get(&mut self, register: u32) -> i64 {
        *self.slot(register) as i64
    }

    /// Executes an instruction; false at the end of the program.
    fn step(&mut self) -> bool {
        let op = self.code[self.at];
        self.at += 1;
        match op {
            Guest::Constant(to, value) => *self.slot(to) = value as u64,
            Guest::Binary(code, to, a, b) => {
                let (a, b) = (self.get(a) as u64, self.get(b) as u64);
                *self.slot(to) = evaluate_total(code, a, b).unwrap();
            }
            Guest::Checked(to, a, b) => {
                *self.slot(to) = self.get(a).checked_add(self.get(b)).unwrap_or(77) as u64;
            }
            Guest::Load(to, a) => {
                let index = self.get(a) & 15;
                let word = self.memory.get(index as usize);
                *self.slot(to) = word.copied().unwrap_or(u64::MAX);
            }
            Guest::Store(a, from) => {
                let (index, value) = (self.get(a) & 15, self.get(from));
                if let Some(word) = self.memory.get_mut(index as usize) {
                    *word = value as u64;
                }
            }
            Guest::SkipIfLess(a, b, count) => {
                if self.get(a) < self.get(b) {
                    self.at += count;
                }
            }
            Guest::Call(a, b) => {
                let arguments = [self.get(a), self.get(b)];
                self.base += REGISTERS;
                for register in 0..REGISTERS {
                    *self.slot(register) =
                        arguments.get(register as usize).map_or(0, |&a| a as u64);
                }
            }
            Guest::Return(to) => {
                let result = self.get(0);
                self.base -= REGISTERS;
                *self.slot(to) = result as u64;
            }
            Guest::Loop => {
                *self.slot(0) = (self.get(0) - 1) as u64;
                if self.get(0) == 0 {
                    return false;
                }
                self.at = 0;
            }
        }
        true
    }

    /// Records the instruction that `step` is about to execute.
    fn record(&mut self, r: &mut Recorder<'_, '_>) -> Result<(), GiveUp> {
        r.resume_at(self.at as u64);
        match self.code[self.at] {
            Guest::Constant(to, value) => {
                let value = r.constant(Opcode::I64Const, value as u64)?;
                r.write(to, value)
            }
            Guest::Binary(code, to, a, b) => {
                let (a, b) = (r.read(a, I64)?, r.read(b, I64)?);
                let value = r.binary(code, a, b)?;
                r.write(to, value)
            }
            Guest::Checked(to, a, b) => {
                if self.get(a).checked_add(self.get(b)).is_none() {
                    return Err(GiveUp::Host(1));
                }
                let (a, b) = (r.read(a, I64)?, r.read(b, I64)?);
                let value = r.binary_else(Opcode::I64AddChecked, a, b)?;
                r.write(to, value)
            }
            Guest::Load(to, a) => {
                if self.get(a) & 15 >= MEMORY as i64 {
                    return Err(GiveUp::Host(2));
                }
                let access = access(r, a)?;
                let value = r.load(Opcode::I64Load, access)?;
                r.write(to, value)
            }
            Guest::Store(a, from) => {
                if self.get(a) & 15 >= MEMORY as i64 {
                    return Err(GiveUp::Host(2));
                }
                let (access, value) = (access(r, a)?, r.read(from, I64)?);
                r.store(Opcode::I64Store, access, value)
            }
            Guest::SkipIfLess(a, b, _) => {
                let less = self.get(a) < self.get(b);
                let (a, b) = (r.read(a, I64)?, r.read(b, I64)?);
                let condition = r.binary(Opcode::I64LtS, a, b)?;
                let code = if less {
                    Opcode::Guard
                } else {
                    Opcode::GuardNot
                };
                r.guard(code, condition)
            }
            Guest::Call(a, b) => {
                let (a, b) = (r.read(a, I64)?, r.read(b, I64)?);
                let zero = r.constant(Opcode::I64Const, 0)?;
                r.push_frame(REGISTERS)?;
                for register in 0..REGISTERS {
                    let value = *[a, b].get(register as usize).unwrap_or(&zero);
                    r.write(register, value)?;
                }
                Ok(())
            }
            Guest::Return(to) => {
                let result = r.read(0, I64)?;
                r.kill_from(0)?;
                r.pop_frame(REGISTERS)?;
                r.write(to, result)
            }
            Guest::Loop => {
                if self.get(0) == 1 {
                    return Err(GiveUp::Host(3));
                }
                let counter = r.read(0, I64)?;
                let one = r.constant(Opcode::I64Const, 1)?;
                let counter = r.binary(Opcode::I64Sub, counter, one)?;
                let more = r.unary(Opcode::I64Eqz, counter)?;
                r.guard(Opcode::GuardNot, more)?;
                r.write(0, counter)
            }
        }
    }
}

/// The address of the word that a register names.
fn access(r: &mut Recorder<'_, '_>, register: u32) -> Result<TraceAccess, GiveUp> {
    let register = r.read(register, I64)?;
    let mask = r.constant(Opcode::I64Const, 15)?;
    Ok(TraceAccess {
        region: 0,
        index: r.binary(Opcode::I64And, register, mask)?,
        scale: 3,
        offset: 0,
    })
}

fn generate(random: &mut Random) -> Vec<Guest> {
    let mut code = Vec::new();
    let mut depth = 0;
    let mut skips = 0usize; // instructions that a skip still covers; frames do not open or close there
    for _ in 0..random.below(30) + 5 {
        // Register 0 of the first frame counts rounds.
        let to = random.below(REGISTERS as usize - 1) as u32 + 1;
        let a = random.below(REGISTERS as usize) as u32;
        let b = random.below(REGISTERS as usize) as u32;
        let binary = [
            Opcode::I64Add,
            Opcode::I64Sub,
            Opcode::I64Mul,
            Opcode::I64Xor,
        ];
        let op = match random.below(13) {
            0 => Guest::Constant(to, random.below(40) as i64),
            1..5 => Guest::Binary(*random.pick(&binary), to, a, b),
            5 => Guest::Checked(to, a, b),
            6 => Guest::Load(to, a),
            7 => Guest::Store(a, b),
            8 if depth < 3 && skips == 0 => {
                depth += 1;
                Guest::Call(a, b)
            }
            9 if depth > 0 && skips == 0 => {
                depth -= 1;
                Guest::Return(to)
            }
            10 if skips == 0 => {
                skips = random.below(4) + 1;
                // Often a comparison with the counter, so that one way is taken first and then the other.
                let a = if depth == 0 && random.percent(60) {
                    0
                } else {
                    a
                };
                Guest::SkipIfLess(a, b, skips)
            }
            11 => Guest::Binary(Opcode::I64And, to, a, b),
            _ => Guest::Constant(to, random.bits() as i64 >> (30 + random.below(34))),
        };
        skips = match op {
            Guest::SkipIfLess(..) => skips,
            _ => skips.saturating_sub(1),
        };
        code.push(op);
    }
    // What a skip still covers.
    code.extend((0..skips).map(|_| Guest::Constant(1, 1)));
    for _ in 0..depth {
        code.push(Guest::Return(1));
    }
    code.push(Guest::Loop);
    code
}

/// The words of a region.
fn words(machine: &Machine) -> Vec<u64> {
    let words = machine.region(0).chunks_exact(8);
    words
        .map(|word| u64::from_le_bytes(word.try_into().unwrap()))
        .collect()
}

fn set_words(machine: &mut Machine, words: &[u64]) {
    for (bytes, word) in machine.region_mut(0).chunks_exact_mut(8).zip(words) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
}

const SLOTS: usize = REGISTERS as usize * 5;

/// Runs a guest program with a trace: recorded in the given round, run from then on, grown at exits.
/// Gives the registers and the memory at the end, how often the trace ran, and how many side traces it has.
fn run_traced(
    code: &[Guest],
    slots: &[u64],
    memory: &[u64],
    hot: u64,
    forced: Option<u32>,
) -> (Vec<u64>, Vec<u64>, u32, u32) {
    let mut log = Log::new(1000, SLOTS);
    let mut trace = log.trace();
    let (mut slots, mut memory) = (slots.to_vec(), memory.to_vec());
    let (mut rounds, mut runs) = (0, 0);
    let mut has_trace = false;
    let mut guest = Interpreter {
        code,
        slots: &mut slots,
        memory: &mut memory,
        at: 0,
        base: 0,
    };
    loop {
        if guest.at == 0 && guest.base == 0 {
            rounds += 1;
            if rounds == hot {
                let mut r = trace.begin(REGISTERS);
                if !record_round(&mut guest, &mut r) {
                    break;
                }
                has_trace = r.close().is_ok();
                continue;
            }
            if has_trace && rounds > hot {
                let forced = forced.map(|op| Forced {
                    op: op % trace.leaving_count(),
                    slot: SLOTS as u32,
                });
                let options = Emit {
                    first_exit: 100,
                    forced,
                    entry_exit: None,
                };
                let run = emitted(&trace, &options, |program| {
                    let mut machine = Machine::for_program(program, &[]);
                    machine.slots[..SLOTS].copy_from_slice(guest.slots);
                    machine.slots[SLOTS] = 1 + rounds % 3;
                    set_words(&mut machine, guest.memory);
                    let run = oracle::run(program, &mut machine, 0, &[], false).unwrap();
                    guest.slots.copy_from_slice(&machine.slots[..SLOTS]);
                    guest.memory.copy_from_slice(&words(&machine));
                    run
                });
                runs += 1;
                assert_eq!(run.status, Status::Deoptimized);
                let number = run.exit_number - 100;
                let exit = *trace.exit(number).expect("an exit of the trace");
                (guest.at, guest.base) = (exit.resume as usize, exit.base);
                if exit.of_guards && !exit.has_side() && forced.is_none() {
                    if let Ok(mut r) = trace.extend(number) {
                        if !record_round(&mut guest, &mut r) {
                            break;
                        }
                        // A side trace that cannot be recorded is no harm.
                        let _ = r.close();
                    }
                    continue;
                }
            }
        }
        if !guest.step() {
            break;
        }
    }
    let exits = (0..trace.exit_count()).filter_map(|exit| trace.exit(exit));
    let sides = exits.filter(|exit| exit.has_side()).count() as u32;
    slots.truncate(REGISTERS as usize);
    (slots, memory, runs, sides)
}

/// Executes and records until the guest is at the loop's head; false if the program ends before.
fn record_round(guest: &mut Interpreter<'_>, r: &mut Recorder<'_, '_>) -> bool {
    loop {
        // Once it has given up, the recorder says no more.
        let _ = guest.record(r).map_err(|reason| match reason {
            GiveUp::Host(_) => r.give_up(reason),
            _ => reason,
        });
        if !guest.step() {
            return false;
        }
        if guest.at == 0 && guest.base == 0 {
            return true;
        }
    }
}

#[test]
fn a_recorded_trace_does_what_the_guest_does() {
    let (mut runs, mut sides) = (0, 0);
    for seed in seeds(0..400) {
        let mut random = Random::new(seed);
        let code = generate(&mut random);
        let mut slots = vec![0; SLOTS];
        for slot in &mut slots[1..REGISTERS as usize] {
            *slot = match random.percent(50) {
                true => random.below(40) as u64,
                false => random.bits() >> random.below(64),
            };
        }
        slots[0] = 40;
        let memory: Vec<u64> = (0..MEMORY).map(|_| random.below(20) as u64).collect();
        let (mut plain_slots, mut plain_memory) = (slots.clone(), memory.clone());
        let mut guest = Interpreter {
            code: &code,
            slots: &mut plain_slots,
            memory: &mut plain_memory,
            at: 0,
            base: 0,
        };
        while guest.step() {}
        plain_slots.truncate(REGISTERS as usize);
        let hot = 2 + random.below(6) as u64;
        let forced = (0..4).map(|_| Some(random.below(1000) as u32));
        for forced in [None].into_iter().chain(forced) {
            let (slots, memory, ran, grown) = run_traced(&code, &slots, &memory, hot, forced);
            let context = format!("seed {seed}, forced {forced:?}\n{code:?}");
            assert_eq!(slots, plain_slots, "{context}");
            assert_eq!(memory, plain_memory, "{context}");
            runs += ran;
            sides += grown;
        }
    }
    assert!(
        runs > 1000 && sides > 50,
        "{runs} runs, {sides} side traces"
    );
}
