//! From a verified program to machine code.
//!
//! ```text
//!   layout     blocks in order, loops as spans of it
//!   liveness   one interval for each value, what is fused
//!   then one walk forward, which knows at each op which register holds what:
//!     lower, memory, compute   forms for the op        allocate   its operands to registers
//!     edges      moves between blocks       calls      what lives across
//!     next_use   who is needed last, found when registers first run short
//!     leave      snapshots, behind the function's code
//!     side       exits that go on in other code, and code that begins at an exit
//!     patch      template, registers, holes, bytes
//! ```
//!
//! Takes a verified program, a stencil set, a workspace and a code buffer; promises the same bytes for the same program,
//! options and stencil set on every host. No allocation, no recursion; time and workspace are linear in the program.
//! Nothing is executable when it returns: publishing is the business of whoever owns the pages.
//!
//! The code of a program begins with the paths that end a run; then for each function: its entry for the embedder, its
//! body, its exits, its jump tables.

mod allocate;
mod brief;
mod calls;
mod choose;
mod compute;
mod describe;
mod edges;
mod layout;
mod leave;
mod liveness;
mod lower;
mod memory;
mod next_use;
mod observe;
mod positions;
mod references;
mod rounds;
mod side;
mod tags;
mod terminate;
mod workspace;

pub use observe::{Event, Location, Observer, Silent, ValueName};
pub use positions::{CodePosition, Positions};
pub use references::{Frame, ReferenceMaps, References, Safepoint};
pub use side::{
    compile_linkable, compile_linkable_observed, compile_side, exit_room, linkable_code_bytes,
    side_workspace_words,
};

use crate::code::CodeBuffer;
use crate::error::{Error, Feature, Part, Place, Storage};
use crate::ir::{Block, NONE, Program};
use crate::ops::Opcode;
use crate::patch::{Fault, Holes, Label, Patcher, internal, unsupported};
use crate::runtime::{Status, offset};
use crate::stencil::{
    Distances, Family, Form, FormKind, Lanes, MAX_OPERANDS, MOST_TEMPLATE_BYTES, Machine,
    RegisterNumber, StencilSet,
};
use crate::types::Type;
use crate::verify::Verified;
use allocate::{Register, Registers, only};
use edges::Plan;
use leave::SHARED_STUBS;
use side::{FIXED, Linking, MOST_KEPT};
use workspace::{
    BLOCK_FLAGS, BLOCK_LOOP, BLOCK_REACHED, BLOCK_START, END, MAPPED, START, Workspace, anchors,
    growing,
};

/// What compilation is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Whether function entries and back-edges charge run fuel.
    pub fuel: bool,
    /// Regions whose accesses may fault.
    pub reserved: Reserved,
}

/// Regions that stand in address space reserved for them: what is accessed there beyond a region's size faults, and neither reads nor
/// writes anything. (Where a store across two pages may write to the first one although the second one faults, as on AArch64, memory cannot be
/// reserved in this sense.)
///
/// An access that cannot get beyond the reserved bytes, and whose exit is a trap without a snapshot, is not compared with the region's size. Where it
/// faults, the embedder's handler must lead control on to [`FaultSite::to`], with all registers as they are. The sizes of such
/// regions are multiples of the system's pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reserved {
    /// Which regions: bit `n` stands for region `n`.
    pub regions: u32,
    /// How many bytes are reserved for each, from its base on.
    pub bytes: u64,
}

/// An access that may fault: see [`Reserved`]. Places are byte offsets in the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultSite {
    /// Where its instructions begin, [`MOST_TEMPLATE_BYTES`] at most. Of two that are so near each other, the one that begins last
    /// before a faulting instruction is meant.
    pub at: u32,
    /// Where control goes on.
    pub to: u32,
}

/// Where a function's code is, as offsets in the code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FunctionCode {
    /// What [`crate::call::enter`] enters.
    pub entry: u32,
    /// What compiled code calls: the address for an entry cell.
    pub body: u32,
    /// Where its jump tables begin, data behind its code.
    pub data: u32,
    /// Where they end, and the table of accesses that may fault begins.
    pub faults: u32,
    /// Where that ends.
    pub end: u32,
}

impl FunctionCode {
    /// The function's accesses that may fault, in the order of their places. The code is the program's, as it was written.
    pub fn fault_sites(&self, code: &[u8]) -> impl Iterator<Item = FaultSite> {
        let table = code.get(self.faults as usize..self.end as usize);
        let (records, _) = table.unwrap_or_default().as_chunks::<8>();
        records.iter().rev().map(|record| {
            let record = u64::from_le_bytes(*record);
            FaultSite {
                at: record as u32,
                to: (record >> 32) as u32,
            }
        })
    }
}

/// What compilation reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compiled {
    /// How many bytes of the buffer were filled.
    pub code_length: u32,
    /// The most bytes of machine stack that one call takes, return address included.
    pub frame_bytes: u32,
    /// For [`crate::link`]: tells which exits the code can be linked to and from.
    pub link: LinkDigests,
}

/// What [`crate::link`] compares before it links code: see [`Compiled::link`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkDigests {
    /// Of the description of its exits; 0 if there is none.
    pub(crate) stamp: u64,
    /// Of the exit that it is a side trace for; 0 if it is none.
    pub(crate) inherits: u64,
    /// Of a bridge: the address that it jumps to; 0 if it is none.
    pub(crate) target: u64,
    /// Where that exit jumps to, as an offset in the code.
    pub(crate) entry: u32,
    /// How the code holds distances.
    pub(crate) distances: Distances,
}

/// How many words of workspace compiling this program needs.
pub fn workspace_words(verified: &Verified) -> usize {
    workspace::program_words(verified)
}

/// How many bytes of code buffer always suffice for this program. What is filled in the end is mostly a fraction.
pub fn code_bytes(verified: &Verified) -> usize {
    // Every unit of size makes a bounded number of templates: an op at most 24 short ones (operands brought and put away, two
    // checks with a stub each, itself), a snapshot entry at most 12 (a box in each of two stubs), an edge argument or a value that is passed at most 4. An edge
    // may store all registers and load all of them, from far away; blocks have room for two.
    let program = verified.program();
    let size = verified.size().saturating_add(verified.passed());
    let functions = program.functions.len();
    bytes_for(size, verified.switched(), functions, program.blocks.len())
}

/// The same for a part of a program: its size with what it passes, the edges of its switches, functions, blocks.
fn bytes_for(size: usize, switched: usize, functions: usize, blocks: usize) -> usize {
    let times = |count: usize, templates: usize| count.saturating_mul(templates);
    times(size, 12)
        .saturating_add(times(switched, 64))
        .saturating_add(times(functions, 48))
        .saturating_add(times(blocks, 112))
        .saturating_add(16)
        .saturating_mul(MOST_TEMPLATE_BYTES / 4)
}

/// How many bytes of code a function has at most.
fn longest(verified: &Verified, index: usize) -> usize {
    let function = &verified.program().functions[index];
    let added = verified.added_size(index as u32);
    let size = added.saturating_add(function.op_count as usize);
    let switched = added.min(verified.switched());
    bytes_for(size, switched, 1, function.block_count as usize)
}

/// Compiles all functions of a program into a code buffer.
///
/// `functions` gets a record for each function of the program.
///
/// # Errors
///
/// `Full` if the workspace ([`workspace_words`]), the code buffer or `functions` is too small; `Unsupported` if the
/// stencil set lacks a form, a signature has more arguments or results than travel in registers, a frame grows
/// beyond what templates reach, or code beyond what jumps do: on AArch64 128 MiB, on RISC-V 2 GiB.
pub fn compile(
    verified: &Verified,
    set: &'static StencilSet,
    options: &Options,
    workspace: &mut [u32],
    code: CodeBuffer,
    functions: &mut [FunctionCode],
) -> Result<Compiled, Error> {
    compile_observed(
        verified,
        set,
        options,
        workspace,
        code,
        functions,
        &mut Silent,
    )
}

/// The same, with every decision told to an observer: for checkers and explanations.
///
/// # Errors
///
/// As [`compile`].
pub fn compile_observed<O: Observer>(
    verified: &Verified,
    set: &'static StencilSet,
    options: &Options,
    workspace: &mut [u32],
    code: CodeBuffer,
    functions: &mut [FunctionCode],
    observer: &mut O,
) -> Result<Compiled, Error> {
    let mut linking = Linking::NONE;
    compile_program(
        verified,
        set,
        options,
        workspace,
        code,
        functions,
        &mut linking,
        observer,
    )
}

#[allow(
    clippy::too_many_arguments,
    reason = "private; each is a part of the whole"
)]
fn compile_program<O: Observer>(
    verified: &Verified,
    set: &'static StencilSet,
    options: &Options,
    workspace: &mut [u32],
    code: CodeBuffer,
    functions: &mut [FunctionCode],
    linking: &mut Linking,
    observer: &mut O,
) -> Result<Compiled, Error> {
    let program = verified.program();
    let storage = |storage, needed| Err(Error::Full { storage, needed });
    let needed = match linking.from {
        Some(_) => side_workspace_words(verified),
        None => workspace_words(verified),
    };
    if workspace.len() < needed {
        return storage(Storage::Workspace, needed);
    }
    if functions.len() < program.functions.len() {
        return storage(Storage::FunctionCode, program.functions.len());
    }
    let (bodies, words) = workspace.split_at_mut(program.functions.len());
    bodies.fill(Label::UNUSED.0);
    let mut patcher = Patcher::new(code.write, set);
    let mut frame_bytes = 0;
    let mut place = Place::Program;
    let mut tables = Tables::EMPTY;
    let result = (|| {
        let shared = emit_shared(&mut patcher, options)?;
        for index in 0..program.functions.len() {
            if set.distances != Distances::Bytes32 {
                patcher.set_longest(longest(verified, index));
            }
            let mut function = FunctionCompiler::new(
                verified,
                set,
                options,
                index,
                words,
                bodies,
                shared,
                &mut tables,
                patcher.reborrow(),
                linking.reborrow(index == 0),
                observer,
            )?;
            let done = function.run();
            place = function.place();
            let (code, frame) = done?;
            let described = function.linking.counts();
            linking.set_counts(described);
            patcher.set_offset(code.end);
            functions[index] = code;
            frame_bytes = frame_bytes.max(frame);
        }
        Ok(Compiled {
            code_length: patcher.offset(),
            frame_bytes,
            link: LinkDigests {
                distances: set.distances,
                ..LinkDigests::default()
            },
        })
    })();
    let room = match linking.is_active() {
        true => linkable_code_bytes(verified),
        false => code_bytes(verified),
    };
    result.map_err(|fault: Fault| fault.error(place, room, needed))
}

/// Labels, all bound, of the paths that end a run.
#[derive(Clone, Copy)]
struct Shared {
    /// Leaves with the context's status.
    abandon: u32,
    /// Leaves with a trap.
    trapped: u32,
    /// Of code that charges no fuel it is the same as `abandon`.
    out_of_fuel: u32,
    too_deep: u32,
    /// Leaves with a trap whose number is the status that a host function returned.
    host_failed: u32,
}

/// Emits the paths that end a run.
fn emit_shared(patcher: &mut Patcher, options: &Options) -> Result<Shared, Fault> {
    let registers = &patcher.set().registers;
    let status = [registers.context.into(), registers.host_status.into(), 0, 0];
    let host_failed = bind_here(patcher)?;
    let form = Form::op(Opcode::I32RawStore, FormKind::Immediate);
    patcher.emit(form, status, i64::from(offset::EXIT_NUMBER))?;
    let trapped = bind_here(patcher)?;
    emit(patcher, Machine::StoreStatus, Status::Trapped as i64)?;
    let abandon = bind_here(patcher)?;
    emit(patcher, Machine::EntryAbandon, 0)?;
    let mut end = |status: Status| {
        let label = bind_here(patcher)?;
        emit(patcher, Machine::StoreStatus, status as i64)?;
        let holes = emit(patcher, Machine::Jump, 0)?;
        patcher.link(holes, &mut Label(abandon))?;
        Ok(label)
    };
    let too_deep = end(Status::TooDeep)?;
    let out_of_fuel = match options.fuel {
        true => end(Status::OutOfFuel)?,
        false => abandon,
    };
    emit(patcher, Machine::Unreachable, 0)?;
    Ok(Shared {
        abandon,
        trapped,
        out_of_fuel,
        too_deep,
        host_failed,
    })
}

/// A label for the offset of the next byte.
fn bind_here(patcher: &mut Patcher) -> Result<u32, Fault> {
    let mut label = Label::UNUSED;
    patcher.bind(&mut label)?;
    Ok(label.0)
}

fn emit(patcher: &mut Patcher, machine: Machine, immediate: i64) -> Result<Holes, Fault> {
    patcher.emit(Form::machine(machine), [0; MAX_OPERANDS], immediate)
}

/// Arrays that are not made anew for each function.
struct Tables {
    /// The value in each register that holds one.
    value: [u32; 64],
    /// What the edges at hand must do.
    plans: [Plan; 2],
    /// The last exits without a snapshot, and where the records of their stubs are.
    shared_stubs: [(u32, u32); SHARED_STUBS],
    /// For each value that the exit keeps which the first function is a side trace for: the value of this function that
    /// stands for it, or [`FIXED`](side::FIXED), or [`DROPPED`](side::DROPPED).
    kept: [u32; MOST_KEPT],
    /// Indices that checks on every way to this place have found to be at most so much.
    bounded: [(u32, u64); BOUNDED],
}

impl Tables {
    const EMPTY: Tables = Tables {
        value: [0; 64],
        plans: [const { Plan::EMPTY }; 2],
        shared_stubs: [(NONE, 0); SHARED_STUBS],
        kept: [FIXED; MOST_KEPT],
        bounded: [(NONE, 0); BOUNDED],
    };
}

/// How many checked indices are remembered.
const BOUNDED: usize = 4;

/// Compiles one function.
struct FunctionCompiler<'a, 'o, O: Observer> {
    program: &'a Program<'a>,
    verified: &'a Verified<'a>,
    set: &'static StencilSet,
    workspace: Workspace<'a>,
    bodies: &'a mut [u32],
    patcher: Patcher<'a>,
    linking: Linking<'a>,
    observer: &'o mut O,
    shared: Shared,
    tables: &'a mut Tables,
    function: u32,
    first_op: u32,
    first_block: u32,
    op_count: u32,
    block_count: u32,
    signature: u32,
    fuel: bool,
    reserved: Reserved,
    may_deoptimize: bool,
    /// From the stencil set: registers for values, registers that host functions keep, and those with a fixed use.
    allocatable: u64,
    preserved: u64,
    context: Register,
    int_scratch: Register,
    float_scratch: Register,
    /// The block at hand, as an index in the function, and its place in the order.
    block: u32,
    position_in_order: u32,
    /// The op at hand, and twice its position.
    current_op: u32,
    now: u32,
    /// Who is where.
    registers: Registers,
    /// Registers that suit the loop at hand.
    preferred: u64,
    /// The next block takes the state as it is.
    continues: bool,
    /// Where values are used next has been found.
    knows_next_uses: bool,
    /// How many indices are remembered.
    bounded_count: usize,
    /// The regions that grow, a bit for each.
    growing: u32,
    /// The last edge of the block may fall into the next block.
    falls_through: bool,
    /// Words at the stack pointer for the arguments of calls; spill slots follow.
    outgoing_words: u32,
    slot_count: u32,
    slot_cursor: u32,
    /// The last hole that waits for the frame's size, plus 1.
    frame_holes: u32,
}

impl<'a, 'o, O: Observer> FunctionCompiler<'a, 'o, O> {
    #[allow(
        clippy::too_many_arguments,
        reason = "private; each is a part of the whole"
    )]
    fn new(
        verified: &'a Verified<'a>,
        set: &'static StencilSet,
        options: &Options,
        index: usize,
        words: &'a mut [u32],
        bodies: &'a mut [u32],
        shared: Shared,
        tables: &'a mut Tables,
        patcher: Patcher<'a>,
        linking: Linking<'a>,
        observer: &'o mut O,
    ) -> Result<Self, Fault> {
        tables.shared_stubs = Tables::EMPTY.shared_stubs;
        let program = verified.program();
        let function = &program.functions[index];
        let file = &set.registers;
        let allocatable = file.allocatable.0 & MAPPED;
        let preserved = file.preserved.0 & allocatable;
        Ok(FunctionCompiler {
            program,
            verified,
            set,
            workspace: Workspace::cut(words, verified, index as u32, linking.kept_records())?,
            bodies,
            patcher,
            linking,
            observer,
            shared,
            tables,
            function: index as u32,
            first_op: function.first_op,
            first_block: function.first_block,
            op_count: function.op_count,
            block_count: function.block_count,
            signature: function.signature,
            fuel: options.fuel,
            reserved: options.reserved,
            may_deoptimize: verified.may_deoptimize(index as u32),
            allocatable,
            preserved,
            context: file.context.into(),
            int_scratch: file.int_scratch.into(),
            float_scratch: 32 + Register::from(file.float_scratch),
            block: 0,
            position_in_order: 0,
            current_op: function.first_op,
            now: 0,
            registers: Registers::EMPTY,
            preferred: !preserved,
            continues: false,
            knows_next_uses: false,
            bounded_count: 0,
            growing: growing(program),
            falls_through: true,
            outgoing_words: 0,
            slot_count: 0,
            slot_cursor: 0,
            frame_holes: 0,
        })
    }

    /// Where the walk is, for errors.
    fn place(&self) -> Place {
        Place::Op {
            function: self.function,
            block: self.first_block + self.block,
            op: self.current_op,
        }
    }

    /// Compiles the function; gives its record, and the stack that a call takes.
    fn run(&mut self) -> Result<(FunctionCode, u32), Fault> {
        let program = self.program;
        let tail = self.patcher.tail();
        layout::lay_out(
            program,
            &program.functions[self.function as usize],
            &mut self.workspace,
        );
        self.find_live_ranges();
        self.observe(Event::Function {
            function: self.function,
        });
        if O::ACTIVE {
            self.observe_live_ranges();
        }
        self.begin_description();
        let mut code = FunctionCode {
            entry: self.patcher.offset(),
            ..FunctionCode::default()
        };
        if let Some(site) = self.linking.from {
            code.body = self.begin_side(site)?;
        } else {
            self.emit_entry()?;
            code.body = self.patcher.offset();
            let mut label = Label(self.bodies[self.function as usize]);
            self.patcher.bind(&mut label)?;
            self.bodies[self.function as usize] = label.0;
            self.emit_prologue()?;
            self.begin_entry_block()?;
        }
        for place in 0..self.workspace.block_count {
            self.compile_block(place)?;
        }
        (code.data, code.faults) = self.emit_stubs_and_tables(tail)?;
        self.describe_heads()?;
        self.settle_side(&mut code)?;
        let frame_bytes = self.settle_frame()?;
        code.end = self.patcher.offset();
        Ok((code, frame_bytes))
    }

    fn compile_block(&mut self, place: u32) -> Result<(), Fault> {
        let block = self.workspace.order[place as usize];
        let record = self.block_record(block);
        self.block = block;
        self.position_in_order = place;
        let innermost = self.workspace.blocks[block as usize][BLOCK_LOOP];
        self.preferred = match innermost {
            NONE => !self.preserved,
            index => self.preference(index as usize),
        };
        self.now = 2 * self.workspace.blocks[block as usize][BLOCK_START];
        self.enter_block()?;
        let program = self.program;
        let ops = &program.ops[record.first_op as usize..][..record.op_count as usize];
        let Some((terminator, ops)) = ops.split_last() else {
            return Err(internal(Part::Select, line!()));
        };
        // Parameters make no code of their own.
        self.now += 2 * record.parameter_count;
        let mut index = record.first_op + record.parameter_count;
        for op in &ops[record.parameter_count as usize..] {
            self.current_op = index;
            self.lower(index - self.first_op, op)?;
            self.now += 2;
            index += 1;
        }
        self.current_op = index;
        self.terminate(index - self.first_op, terminator)
    }

    /// The block of the program with this index in the function.
    #[inline]
    fn block_record(&self, block: u32) -> Block {
        self.program.blocks[(self.first_block + block) as usize]
    }

    /// Whether a function of the program may return after a deoptimizing exit.
    fn deoptimizes(&self, function: u32) -> bool {
        self.verified.may_deoptimize(function)
    }

    /// From the platform's C convention to the function's own, and back.
    fn emit_entry(&mut self) -> Result<(), Fault> {
        let program = self.program;
        let scratch = self.int_scratch;
        self.machine(Machine::Entry, [0; 4], 0)?;
        let (mut ints, mut floats) = (0, 0);
        for (number, ty) in program.parameters(self.signature).iter().enumerate() {
            let register = self
                .argument_register(ty.is_float(), &mut ints, &mut floats)
                .ok_or(unsupported(Feature::Arguments))?;
            let code = if !ty.is_float() {
                Opcode::I64RawLoad
            } else if self.has_above(Some(*ty)) {
                Opcode::F32RawLoad
            } else {
                Opcode::F64RawLoad
            };
            let form = Form::op(code, FormKind::Immediate);
            self.form(form, [register, scratch, 0, 0], 8 * number as i64)?;
        }
        let holes = self.machine(Machine::CallDirect, [0; 4], 0)?;
        self.link_to_function(holes, self.function)?;
        if self.may_deoptimize {
            let form = Form::op(Opcode::Branch, FormKind::Jump);
            let holes = self.form(form, [scratch, 0, 0, 0], 0)?;
            let mut label = Label(self.shared.abandon);
            self.patcher.link(holes, &mut label)?;
        }
        self.machine(Machine::EntryResume, [0; 4], 0)?;
        // A register that the platform keeps is restored on the way out, so it is free here, if no result is in it.
        let travels = program
            .results(self.signature)
            .len()
            .min(self.set.registers.int_arguments.len());
        let results = &self.set.registers.int_arguments[..travels];
        let taken = results.iter().fold(0, |set, &r| set | only(r.into()));
        let temporary = (self.preserved & !taken).trailing_zeros();
        let (mut ints, mut floats) = (0, 0);
        for (number, ty) in program.results(self.signature).iter().enumerate() {
            let mut register = self
                .argument_register(ty.is_float(), &mut ints, &mut floats)
                .ok_or(unsupported(Feature::Arguments))?;
            let widen = match ty {
                Type::I32 => Some(Opcode::I64ExtendI32U),
                Type::F32 => Some(Opcode::I32ReinterpretF32),
                _ => None,
            };
            if let Some(code) = widen {
                let form = Form::op(code, FormKind::Registers);
                self.form(form, [temporary, register, 0, 0], 0)?;
                register = temporary;
            }
            let code = if register >= 32 {
                Opcode::F64RawStore
            } else {
                Opcode::I64RawStore
            };
            let form = Form::op(code, FormKind::Immediate);
            self.form(form, [scratch, register, 0, 0], 8 * number as i64)?;
        }
        self.machine(Machine::EntryReturn, [0; 4], 0)?;
        Ok(())
    }

    /// Whether what stands above a value in its register is not anything.
    fn has_above(&self, ty: Option<Type>) -> bool {
        ty == Some(Type::F32) && self.set.registers.above_f32 != 0
    }

    fn emit_prologue(&mut self) -> Result<(), Fault> {
        let holes = self.machine(Machine::FrameEnter, [0; 4], 0)?;
        self.await_frame(holes)?;
        let mut label = Label(self.shared.too_deep);
        self.patcher.link(holes, &mut label)?;
        if self.fuel {
            self.charge_fuel()?;
        }
        Ok(())
    }

    /// The function's parameters are where the convention puts them.
    fn begin_entry_block(&mut self) -> Result<(), Fault> {
        let block = self.block_record(0);
        let (mut ints, mut floats) = (0, 0);
        for value in 0..block.parameter_count {
            let op = self.program.ops[(self.first_op + value) as usize];
            let float = op.result().is_some_and(Type::is_float);
            let register = self
                .argument_register(float, &mut ints, &mut floats)
                .ok_or(unsupported(Feature::Arguments))?;
            if self.word(value, END) > self.word(value, START) {
                self.occupy(register, value, false);
                self.observe(Event::Entry {
                    register,
                    value: self.value_name(value),
                });
            }
        }
        self.workspace.blocks[0][BLOCK_FLAGS] = BLOCK_REACHED;
        self.continues = true;
        Ok(())
    }

    /// Remembers a hole for the frame's size.
    fn await_frame(&mut self, holes: Holes) -> Result<(), Fault> {
        let at = holes.immediate().ok_or(internal(Part::Select, line!()))?;
        self.frame_holes = self.patcher.await_value(at, self.frame_holes)?;
        Ok(())
    }

    /// Emits one of the forms that leave the frame.
    fn leave_frame(&mut self, machine: Machine) -> Result<(), Fault> {
        let holes = self.machine(machine, [0; 4], 0)?;
        self.await_frame(holes)
    }

    /// Fills in the frame's size; gives what a call takes of the stack.
    fn settle_frame(&mut self) -> Result<u32, Fault> {
        let frame = self.frame_bytes();
        self.observe(Event::Frame {
            words: frame / 8,
            outgoing: self.outgoing_words,
        });
        self.patcher.settle_value(self.frame_holes, frame)?;
        Ok(frame + self.set.registers.return_address_size)
    }

    /// Emits a machine form whose code does not depend on which operands share a register.
    #[inline]
    fn machine(
        &mut self,
        machine: Machine,
        registers: [Register; MAX_OPERANDS],
        immediate: i64,
    ) -> Result<Holes, Fault> {
        self.uniform(Form::machine(machine), registers, immediate)
    }

    /// The same for a form of an op: one without a result.
    #[inline]
    fn uniform(
        &mut self,
        form: Form,
        registers: [Register; MAX_OPERANDS],
        immediate: i64,
    ) -> Result<Holes, Fault> {
        let family = self.set.family(form).ok_or(unsupported(Feature::Op))?;
        self.observe_emission(family, registers, immediate)?;
        self.patcher
            .emit_uniform(family, Lanes::new(registers), immediate)
    }

    /// Emits a form.
    #[inline]
    fn form(
        &mut self,
        form: Form,
        registers: [Register; MAX_OPERANDS],
        immediate: i64,
    ) -> Result<Holes, Fault> {
        let family = self.set.family(form).ok_or(unsupported(Feature::Op))?;
        self.family(family, registers, immediate)
    }

    /// Emits a family that is known already.
    #[inline]
    fn family(
        &mut self,
        family: &'static Family,
        registers: [Register; MAX_OPERANDS],
        immediate: i64,
    ) -> Result<Holes, Fault> {
        self.observe_emission(family, registers, immediate)?;
        self.patcher
            .emit_family(family, Lanes::new(registers), immediate)
    }

    #[inline]
    fn observe_emission(
        &mut self,
        family: &'static Family,
        registers: [Register; MAX_OPERANDS],
        immediate: i64,
    ) -> Result<(), Fault> {
        if O::ACTIVE {
            self.patcher.settle(1)?;
            let at = self.patcher.offset();
            self.observe(Event::Emit {
                op: self.current_op,
                family,
                registers: registers.map(|register| (register & 31) as RegisterNumber),
                immediate,
                at,
            });
        }
        Ok(())
    }

    #[inline]
    fn observe(&mut self, event: Event) {
        if O::ACTIVE {
            self.observer.event(event);
        }
    }

    /// Tells how long values are kept.
    fn observe_live_ranges(&mut self) {
        for value in 0..self.workspace.values.len() as u32 {
            let (from, to) = (self.word(value, START), self.word(value, END));
            if to > from {
                let value = self.value_name(value);
                self.observe(Event::Live { value, from, to });
            }
        }
    }

    /// Tells that a collector may have run before the next byte of code.
    fn observe_safepoint(&mut self) {
        let (op, at) = (self.current_op, self.patcher.offset());
        self.observe(Event::Safepoint { op, at });
    }

    /// A value's name outside the compiler.
    #[inline]
    fn value_name(&self, value: u32) -> ValueName {
        if value < self.op_count {
            ValueName::Op(value + self.first_op)
        } else {
            match value - self.op_count {
                0 => ValueName::Slots,
                region if region as usize <= self.program.regions.len() => {
                    ValueName::Region(region - 1)
                }
                _ if self.is_size(value) => ValueName::RegionSize(value - self.size_anchor(0)),
                other => ValueName::Kept(other - anchors(self.program) as u32),
            }
        }
    }
}
