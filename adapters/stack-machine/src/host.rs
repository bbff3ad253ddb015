//! The host: a machine whose hot loops are recorded and compiled.
//!
//! ```text
//!   interpret ──hot loop──> record the root ──> compile ──> the loop's instruction says: compiled
//!       ^  ^                                                      │ next time round
//!       │  │                                                      v
//!       │  └──── exit: snapshot is written, resume there <── run compiled code <──┐<─┐
//!       │                        │ hot exit           └ hot, at a compiled loop's head: link it there
//!       └── record a side trace from there ──> compile the whole trace anew ──────┘
//! ```
//!
//! Takes a checked program and [`Options`]. Promises: the results are those of the interpreter, with compiled code or without, and whichever guards
//! fail. Recording executes: the machine is one instruction further for each that is recorded, whether the recording
//! succeeds or not. Where there are no stencils for this machine, or no executable memory, everything is interpreted, and
//! [`Host::has_code`] says so.
//!
//! A host belongs to one thread. Code is released as soon as it is replaced: the thread is not in it then, and `links` sees to it that
//! no other code leads there.

use crate::bytecode::Checked;
use crate::compile::{Code, Compiler, Failure, Request, Times};
use crate::count::Counted;
use crate::heap::Heap;
use crate::links::CodeTable;
use crate::log::{Log, WINDOW};
use crate::machine::{Fault, Machine, Stop};
use crate::record;
use crate::value::Value;
use patchjit::call;
use patchjit::optimize::Passes;
use patchjit::runtime::{Binding, Context, Status};
use patchjit::stencil::StencilSet;
use patchjit::tier::GiveUp;
use patchjit::tier::blacklist::{Blacklist, Entry};
use patchjit::tier::hotness::Schedule;
use patchjit::tier::profile::{ExitCounter, ExitProfile};
use patchjit::tier::record::{Forced, Recorder, TraceExit};
use patchjit_memory::Arena;
use std::time::{Duration, Instant};

/// What a host does beside interpreting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Whether loops are compiled at all.
    pub compile: bool,
    /// When a loop is hot.
    pub loops: Schedule,
    /// When an exit is.
    pub exits: Schedule,
    /// The passes that recorded traces are optimized with.
    pub passes: Passes,
    /// Whether traces are walked and counted, in place of running their code.
    pub count: bool,
    /// The op that fails on purpose in every trace, counted among those that may leave (a trace with fewer takes the
    /// remainder), and the number of times that it is reached until it does; for tests.
    pub forced: Option<(u32, u64)>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            compile: true,
            loops: Schedule {
                first: 60,
                attempts: 5,
            },
            exits: Schedule {
                first: 8,
                attempts: 4,
            },
            passes: Passes::ALL,
            count: false,
            forced: None,
        }
    }
}

/// What a host did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Roots that were recorded.
    pub roots: u32,
    /// Side traces that were.
    pub sides: u32,
    /// Recordings that gave up.
    pub given_up: u32,
    /// Compilations that failed.
    pub failed: u32,
    /// Times that compiled code was entered, links not counted.
    pub entries: u64,
    /// Exits that were linked to other loops' code.
    pub links: u32,
    /// Time spent in recording, with the interpretation that it goes along with.
    pub recording: Duration,
    /// Time spent in compiling.
    pub compiling: Times,
}

/// Something that a host did, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// When it was done, from the start of the run.
    pub when: Duration,
    /// The instruction at which the machine was then.
    pub at: usize,
    /// What.
    pub what: Done,
}

/// What a host did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// It recorded a root of so many ops.
    Root(u32),
    /// It recorded a side trace at this exit, with which the trace has so many ops.
    Side(u32, u32),
    /// It compiled a trace to so many bytes.
    Compiled(usize),
    /// It linked this exit to the loop with this head.
    Linked(u32, usize),
    /// A recording gave up.
    GaveUp(GiveUp),
}

/// A loop with compiled code.
#[derive(Debug)]
pub struct Compiled {
    /// What was recorded.
    pub log: Log,
    /// The code.
    pub code: Code,
    /// What its program executed, if it is counted.
    pub counted: Option<Counted>,
    exits: Vec<ExitCounter>,
    /// Whether the entry checks types, and how often in a row it left for that.
    checks_entry: bool,
    refused: u32,
}

/// How many loops' failures are remembered.
const REMEMBERED: usize = 64;

/// How often in a row code may be entered with other types than it was recorded with.
const REFUSALS: u32 = 32;

/// How often a loop may fail to be recorded or compiled.
const FAILURES: u16 = 5;

/// Address space for code.
const CODE_BYTES: usize = 16 << 20;

/// Exits of all loops have numbers of their own, since code that is entered may leave through another loop's: the loop's
/// index times this, and the exit's.
const EXITS: u32 = 1 << 16;

/// What compiling takes.
struct Engine {
    set: &'static StencilSet,
    arena: Arena,
    table: CodeTable,
    compiler: Compiler,
}

impl Engine {
    /// None where there are no stencils, or no memory for code.
    fn new() -> Option<Engine> {
        let set = patchjit_stencils::native()?;
        let arena = Arena::new(CODE_BYTES).ok()?;
        Some(Engine {
            set,
            table: CodeTable::new(&arena).ok()?,
            arena,
            compiler: Compiler::default(),
        })
    }
}

/// A machine and the code of its loops.
pub struct Host {
    /// The machine.
    pub machine: Machine,
    engine: Option<Engine>,
    options: Options,
    /// For each loop.
    compiled: Vec<Option<Compiled>>,
    /// For each instruction: the loop with code that begins there.
    heads: Vec<Option<usize>>,
    failures: Vec<Entry>,
    /// What is left of the countdown of the ops that fail on purpose.
    countdown: u64,
    statistics: Statistics,
    events: Vec<Event>,
    start: Instant,
    stepped: bool,
}

impl Host {
    /// A host for a program.
    pub fn new(checked: Checked, options: Options) -> Host {
        let loops = checked.program.loops.len();
        let never = Schedule {
            first: 1,
            attempts: 0,
        };
        let engine = options.compile.then(Engine::new).flatten();
        let schedule = engine.as_ref().map_or(never, |_| options.loops);
        let machine = Machine::new(checked, schedule);
        Host {
            heads: vec![None; machine.code.len()],
            machine,
            engine,
            options,
            compiled: (0..loops).map(|_| None).collect(),
            failures: vec![Entry::default(); REMEMBERED],
            countdown: options.forced.map_or(0, |(_, every)| every),
            statistics: Statistics::default(),
            events: Vec::new(),
            start: Instant::now(),
            stepped: false,
        }
    }

    /// Whether loops can be compiled.
    pub fn has_code(&self) -> bool {
        self.engine.is_some()
    }

    /// What was done so far.
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// What happened beside interpreting and running code, in order.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// How many bytes of code there are.
    pub fn code_bytes(&self) -> usize {
        let compiled = self.compiled.iter().flatten();
        compiled.map(|compiled| compiled.code.bytes).sum()
    }

    /// How many exits lead on in other loops' code now.
    pub fn linked(&self) -> usize {
        self.engine
            .as_ref()
            .map_or(0, |engine| engine.table.linked())
    }

    /// From here on, the instructions of compiled code are counted, where that is possible: `step` says how. Exits are not linked
    /// then, since one loop's code is counted at a time.
    pub fn set_stepped(&mut self, stepped: bool) {
        self.stepped = stepped;
        if let Some(Engine { arena, table, .. }) = &mut self.engine {
            // If the system refuses to change the code, what is linked is not counted.
            let _ = table.unlink_all(arena);
        }
    }

    /// Counts anew from here on.
    pub fn forget_counts(&mut self) {
        for compiled in self.compiled.iter_mut().flatten() {
            if let Some(counted) = &mut compiled.counted {
                counted.forget();
            }
        }
    }

    /// The loops that have code, with their heads.
    pub fn traces(&mut self) -> impl Iterator<Item = (usize, &mut Compiled)> {
        let machine = &self.machine;
        let traces = self.compiled.iter_mut().enumerate();
        traces.filter_map(|(index, trace)| Some((machine.head(index), trace.as_mut()?)))
    }

    /// Runs the program from its start. What was compiled before is used again.
    ///
    /// # Errors
    ///
    /// [`Fault`].
    pub fn run(&mut self) -> Result<Value, Fault> {
        self.start = Instant::now();
        self.machine.restart();
        loop {
            match self.machine.run()? {
                Stop::Done(value) => return Ok(value),
                Stop::Hot(index) => self.compile_loop(index)?,
                Stop::Compiled(index) => self.enter(index)?,
                Stop::Stepped => {}
            }
        }
    }

    /// Runs a loop's code, and that of loops that it leads to, until the interpreter has to go on.
    fn enter(&mut self, mut index: usize) -> Result<(), Fault> {
        loop {
            // Linked code goes on in another loop's, which may be the one that leaves.
            let Some((left, number, exit)) = self.execute(index) else {
                return Ok(());
            };
            self.machine.at = exit.resume as usize;
            self.machine.base += exit.base as usize;
            let schedule = self.options.exits;
            let exits = match &mut self.compiled[left] {
                Some(compiled) => &mut compiled.exits,
                None => return Ok(()),
            };
            let due = ExitProfile::new(exits, schedule).taken(number) == Ok(true);
            // The code may have left for another loop that has code. If it left at its own head nothing was done, and
            // the interpreter must.
            match self.heads[self.machine.at] {
                Some(next) if next != left && !exit.of_guards => {
                    if due && exit.base == 0 {
                        self.link(left, number, next);
                    }
                    index = next;
                }
                _ if due => return self.grow(left, number),
                _ => return Ok(()),
            }
        }
    }

    /// Leads a loop's exit to another loop's code, in the same frame. Where that is not possible, it goes on as before.
    fn link(&mut self, from: usize, exit: u32, to: usize) {
        if self.stepped || self.options.count {
            return;
        }
        let Some(engine) = &mut self.engine else {
            return;
        };
        let (Some(source), Some(target)) = (&self.compiled[from], &self.compiled[to]) else {
            return;
        };
        let Engine {
            set, arena, table, ..
        } = engine;
        let number = from as u32 * EXITS + exit;
        if table
            .link(arena, set, &source.code, number, &target.code)
            .is_err()
        {
            return;
        }
        self.statistics.links += 1;
        let head = self.machine.head(to);
        self.note(Done::Linked(exit, head));
        // If the other loop is compiled anew, the exit leaves again, and is counted from the start.
        if let Some(compiled) = &mut self.compiled[from] {
            compiled.exits[exit as usize] = ExitCounter::default();
        }
    }

    /// Runs a loop's code and says where it left, and which loop's code that was; nothing, if it cannot run here.
    fn execute(&mut self, index: usize) -> Option<(usize, u32, TraceExit)> {
        let machine = &mut self.machine;
        let compiled = self.compiled[index].as_mut()?;
        let window = machine.slots.get_mut(machine.base..)?;
        let window = window.get_mut(..WINDOW + 1)?;
        let spared = std::mem::replace(&mut window[WINDOW], self.countdown);
        let number = match &mut compiled.counted {
            Some(counted) => counted.run(window, &mut machine.heap),
            #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
            None if self.stepped => {
                let code = &compiled.code;
                crate::step::count(code, || enter(code, window, &mut machine.heap))
            }
            None => enter(&compiled.code, window, &mut machine.heap),
        };
        self.countdown = std::mem::replace(&mut window[WINDOW], spared);
        if self.countdown == 0 {
            self.countdown = self.options.forced.map_or(0, |(_, every)| every);
        }
        self.statistics.entries += 1;
        let (left, number) = ((number / EXITS) as usize, number % EXITS);
        let compiled = self.compiled.get_mut(left)?.as_mut()?;
        let exit = compiled.log.with(|trace| trace.exit(number).copied());
        if exit.is_none() {
            // The entry's exit is none of the trace's: nothing was done, and the interpreter goes on at that loop's head.
            compiled.refused += 1;
            self.machine.at = self.machine.head(left);
            self.loosen(left);
            return None;
        }
        compiled.refused = 0;
        Some((left, number, exit?))
    }

    /// A loop that is entered again and again with other types than those that it was recorded with is compiled so that it tests them
    /// where the program does, and grows side traces there.
    fn loosen(&mut self, index: usize) {
        let is_due =
            |compiled: &mut Compiled| compiled.checks_entry && compiled.refused >= REFUSALS;
        let Some(compiled) = self.compiled[index].take_if(is_due) else {
            return;
        };
        let Compiled {
            log, code, exits, ..
        } = compiled;
        self.forget(index, &code);
        // As when a trace has grown too much.
        let _ = self.install(index, log, exits, false);
    }

    fn note(&mut self, what: Done) {
        self.events.push(Event {
            when: self.start.elapsed(),
            at: self.machine.at,
            what,
        });
    }

    /// Records the loop at whose head the machine is, and compiles it.
    fn compile_loop(&mut self, index: usize) -> Result<(), Fault> {
        let key = self.machine.head(index) as u64;
        if self.compiled[index].is_some() {
            return Ok(());
        }
        let mut log = Log::new();
        let result = match self.record(&mut log, index, None)? {
            Ok(()) => {
                let ops = log.with(|trace| trace.op_count());
                self.note(Done::Root(ops));
                self.install(index, log, Vec::new(), true)
            }
            Err(reason) => Err(reason),
        };
        match result {
            Ok(()) => self.statistics.roots += 1,
            Err(reason) => {
                self.statistics.given_up += 1;
                self.note(Done::GaveUp(reason));
                if Blacklist::new(&mut self.failures, FAILURES).failed(key, reason) {
                    self.machine.cool(index);
                }
            }
        }
        Ok(())
    }

    /// Records a side trace from the exit at which the machine is, and compiles the whole trace anew.
    fn grow(&mut self, index: usize, exit: u32) -> Result<(), Fault> {
        let Some(mut compiled) = self.compiled[index].take() else {
            return Ok(());
        };
        match self.record(&mut compiled.log, index, Some(exit)) {
            Ok(Ok(())) => {
                self.statistics.sides += 1;
                let Compiled {
                    mut log,
                    code,
                    exits,
                    checks_entry,
                    ..
                } = compiled;
                let ops = log.with(|trace| trace.op_count());
                self.note(Done::Side(exit, ops));
                self.forget(index, &code);
                // A trace that has become too much for the compiler is given up; the loop may be recorded again.
                let _ = self.install(index, log, exits, checks_entry);
                Ok(())
            }
            Ok(Err(reason)) => {
                self.statistics.given_up += 1;
                self.note(Done::GaveUp(reason));
                if reason == GiveUp::ExitTaken || reason == GiveUp::TooManySides {
                    let mut profile = ExitProfile::new(&mut compiled.exits, self.options.exits);
                    // The exit is one of the trace's, so there is a counter.
                    let _ = profile.settle(exit);
                }
                self.compiled[index] = Some(compiled);
                Ok(())
            }
            Err(fault) => {
                self.compiled[index] = Some(compiled);
                Err(fault)
            }
        }
    }

    /// Executes and records until the trace ends, one way or the other.
    fn record(
        &mut self,
        log: &mut Log,
        index: usize,
        from: Option<u32>,
    ) -> Result<Result<(), GiveUp>, Fault> {
        let start = Instant::now();
        let head = self.machine.head(index);
        let (machine, heads) = (&mut self.machine, &self.heads);
        let top = machine.tops[head];
        let on_purpose = self.options.forced.is_some();
        let done = log.record(from, top, |mut recorder| {
            let begun = from.is_some();
            let result = record_until_end(machine, &mut recorder, head, begun, heads, on_purpose)?;
            Ok(result.and_then(|end| match end {
                End::Closes => recorder.close(),
                End::Leaves => recorder.leave(machine.at as u64),
            }))
        });
        self.statistics.recording += start.elapsed();
        match done {
            Ok(result) => result,
            Err(reason) => Ok(Err(reason)),
        }
    }

    /// Compiles a trace and makes it the loop's.
    fn install(
        &mut self,
        index: usize,
        mut log: Log,
        mut exits: Vec<ExitCounter>,
        checks_entry: bool,
    ) -> Result<(), GiveUp> {
        let Some(engine) = &mut self.engine else {
            return Err(GiveUp::Host(record::reason::REFUSED));
        };
        let options = self.options;
        type Installed = (Code, Option<Counted>, u32);
        let result: Result<Installed, Failure> = log.with(|trace| {
            let request = Request {
                first_exit: index as u32 * EXITS,
                forced: options.forced.map(|(op, _)| Forced {
                    op: op % trace.leaving_count().max(1),
                    slot: WINDOW as u32,
                }),
                checks_entry,
                passes: options.passes,
            };
            let Engine {
                set,
                arena,
                table,
                compiler,
            } = engine;
            let code = compiler.compile(trace, request, set, arena, table)?;
            let counted = match options.count {
                true => Some(
                    compiler.prepare(trace, request, |verified, _, _| Counted::new(verified))?,
                ),
                false => None,
            };
            Ok((code, counted, trace.exit_count()))
        });
        let (code, counted, count) = match result {
            Ok(done) => done,
            Err(_) => {
                self.statistics.failed += 1;
                return Err(GiveUp::Host(record::reason::REFUSED));
            }
        };
        self.statistics.compiling.add(&code.times);
        self.note(Done::Compiled(code.bytes));
        exits.resize(count as usize, ExitCounter::default());
        self.machine.set_compiled(index, true);
        self.heads[self.machine.head(index)] = Some(index);
        self.compiled[index] = Some(Compiled {
            log,
            code,
            counted,
            exits,
            checks_entry,
            refused: 0,
        });
        Ok(())
    }

    /// Takes a loop's code away.
    fn forget(&mut self, index: usize, code: &Code) {
        self.machine.set_compiled(index, false);
        self.heads[self.machine.head(index)] = None;
        if let Some(Engine { arena, table, .. }) = &mut self.engine {
            // The code is in the table; if the system refuses to change its protection, its memory stays taken.
            let _ = table.retire(arena, code.id);
        }
    }
}

/// Enters code on a window of slots; gives the number of the exit through which it left.
fn enter(code: &Code, window: &mut [u64], heap: &mut Heap) -> u32 {
    let mut context = Context::new();
    context.slots = window.as_mut_ptr();
    context.depth = 1;
    let regions = [&mut heap.lengths, &mut heap.starts, &mut heap.elements];
    for (binding, words) in context.regions.iter_mut().zip(regions) {
        *binding = Binding {
            base: words.as_mut_ptr().cast(),
            size: words.len() as u64 * 8,
        };
    }
    let mut values = [0];
    // SAFETY: the entry is published code that was compiled for this machine, and stays until the host replaces it; the
    // context is bound as the trace's program declares: a window of slots, three regions, no host functions. One frame
    // is entered, and the program is contained.
    let status = unsafe { call::enter(code.entry, &raw mut context, values.as_mut_ptr()) };
    debug_assert_eq!(status, Status::Deoptimized, "a trace ends by leaving");
    context.exit_number
}

/// How a recording ends.
enum End {
    /// At the trace's head.
    Closes,
    /// At the head of another loop that has code.
    Leaves,
}

/// Executes and records until the trace's head, or that of another loop with code. A recording at the head begins
/// with an instruction; one elsewhere may be there already.
fn record_until_end(
    machine: &mut Machine,
    recorder: &mut Recorder<'_, '_>,
    head: usize,
    mut begun: bool,
    heads: &[Option<usize>],
    on_purpose: bool,
) -> Result<Result<End, GiveUp>, Fault> {
    loop {
        if begun {
            if machine.at == head && recorder.frames() == 0 {
                return Ok(Ok(End::Closes));
            }
            if machine.at != head && heads[machine.at].is_some() {
                return Ok(Ok(End::Leaves));
            }
        }
        begun = true;
        if let Err(reason) = record::record(machine, recorder, on_purpose) {
            return Ok(Err(reason));
        }
        let is_loop = machine.instruction().opcode == crate::bytecode::Opcode::Loop;
        machine.step()?;
        if is_loop
            && machine.at != head
            && heads[machine.at].is_none()
            && let Err(reason) = recorder.pass(machine.at as u64)
        {
            return Ok(Err(reason));
        }
    }
}
