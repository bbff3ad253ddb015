//! Code that can be linked: exits that are described and can be led elsewhere, and side traces.
//!
//! A *side trace* is a function that is compiled for one exit of other code, its *parent*. It is no function to call:
//! the exit jumps to it, and it begins with what the exit carries in the places where the parent has it just then. It
//! runs in the parent's machine frame, grown by what it needs, and leaves for good as the parent would: by its own
//! exits, and by returning what the parent's function returns.
//!
//! ```text
//!   return address                          \
//!   the parent's spill slots ............... | the parent's frame: its slots are read, never written
//!   the parent's outgoing words             /
//!   the side trace's own spill slots        \  growth: none where the side trace needs neither slots nor more
//!   its outgoing words          <- rsp      /  outgoing words than the parent has
//! ```
//!
//! Besides the snapshot's values an exit in a loop *keeps* what the loop's head wants back in registers: values from
//! before the loop that the parent counts on. A side trace carries them along like values of its own that are used at
//! its very end, and each of its exits tells where they are, so that a bridge can jump back to the head.
//!
//! Costs what compiling costs, and a few words for each exit and each register of a loop's head.

use super::allocate::{FLOATS, Register, only};
use super::brief::facts_of;
use super::workspace::{
    BLOCK_FLAGS, BLOCK_REACHED, END, INFO_FLOAT, INFO_REFERENCE, LOCATION, MAPPED, NEXT,
    NO_REGISTER, START, VALUE_WORDS, anchors,
};
use super::{
    Compiled, Event, FunctionCode, FunctionCompiler, Location, Observer, Options, Silent,
    code_bytes, compile_program, workspace_words,
};
use crate::code::CodeBuffer;
use crate::error::{Error, Feature, Part, Place as ErrorPlace, Rule};
use crate::ir::{NONE, Program};
use crate::link::{Carried, Description, ExitRoom, ExitStorage, Exits, Place, Site};
use crate::ops::{Opcode, Shape, flags};
use crate::patch::{Fault, internal, unsupported};
use crate::runtime::offset;
use crate::stencil::{Form, FormKind, Machine, StencilSet};
use crate::types::Type;
use crate::verify::Verified;

/// Values that a loop's head can want in registers: one for each register that entry maps have room for.
pub(crate) const MOST_KEPT: usize = MAPPED.count_ones() as usize;

/// Checks of one op that leave, each with code of its own: a division has two, an atomic access too.
const MOST_CHECKS: usize = 3;

/// Slots from here on are the parent's: the number of a word below the frame's top is added.
pub(super) const INHERITED: u32 = 1 << 19;

/// In [`Linking::kept`]: not in a register, and where the parent's exit says.
pub(super) const FIXED: u32 = NONE;
/// In [`Linking::kept`]: the address in the context that the parent had in a register, and that is made again.
pub(super) const DROPPED: u32 = NONE - 1;

/// Of a value that comes in a slot of the parent's: the last hole, plus 1, that waits to know how far it is.
const SLOT_HOLES: usize = NEXT + 1;

/// How long the slices of [`ExitStorage`] must be at most for a program. What is used in the end is mostly a fraction.
pub fn exit_room(verified: &Verified) -> ExitRoom {
    let program = verified.program();
    let leaves = |op: &&crate::ir::Op| op.code.info().has(flags::LEAVES);
    let sites = MOST_CHECKS * program.ops.iter().filter(leaves).count();
    let results = |function: &crate::ir::Function| program.results(function.signature).len();
    let heads = program.blocks.len();
    ExitRoom {
        sites,
        // Snapshots and parameters count in the program's size.
        values: MOST_CHECKS * verified.size()
            + program.ops.len()
            + program.functions.iter().map(results).sum::<usize>()
            + MOST_KEPT * (sites + heads),
        heads,
    }
}

/// How many bytes of code buffer always suffice for this program where its exits are described: [`code_bytes`], and for each
/// exit its jump, its counter, and what is remembered of the values that are kept for its loop.
pub fn linkable_code_bytes(verified: &Verified) -> usize {
    let sites = exit_room(verified).sites;
    code_bytes(verified).saturating_add(sites.saturating_mul(4 * (MOST_KEPT + 20)))
}

/// How many words of workspace compiling a side trace needs.
pub fn side_workspace_words(verified: &Verified) -> usize {
    workspace_words(verified) + MOST_KEPT * (VALUE_WORDS + 1)
}

/// Compiles all functions of a program as [`super::compile`] does, with exits that can be linked and a description of them.
///
/// # Errors
///
/// As [`super::compile`], and `Full` if the exits need more room ([`exit_room`]).
#[allow(
    clippy::too_many_arguments,
    reason = "each is a storage of its own, as for `compile`"
)]
pub fn compile_linkable<'e>(
    verified: &Verified,
    set: &'static StencilSet,
    options: &Options,
    workspace: &mut [u32],
    code: CodeBuffer,
    functions: &mut [FunctionCode],
    exits: ExitStorage<'e>,
) -> Result<(Compiled, Exits<'e>), Error> {
    let from = None;
    compile_linkable_observed(
        verified,
        set,
        options,
        workspace,
        code,
        functions,
        from,
        exits,
        &mut Silent,
    )
}

/// Compiles a program whose first function is a side trace for an exit.
///
/// The function has a parameter for each value that the exit carries ([`Site::carried`]), in order and of its type, and
/// the results of the function that the exit is in. Nothing may call it. Other functions of the program are ordinary
/// ones. [`FunctionCode::entry`] of the first function is where the exit jumps to, not to be entered otherwise.
///
/// The program runs with the parent's context: whatever it declares must be bound there. Its machine stack
/// ([`Compiled::frame_bytes`]) includes the parent's frame. With run fuel, the side trace charges one unit as it begins.
///
/// # Errors
///
/// As [`compile_linkable`], with [`side_workspace_words`] for the workspace. `Invalid` if the function does not fit the exit
/// ([`Rule::SideParameters`], [`Rule::SideResults`], [`Rule::SideCalled`]), or if the exit cannot be linked
/// ([`Rule::LinkExit`]); `Unsupported` if the parent's function has references ([`Type::Ref`]) and the side trace has an op
/// at which a collector may run: maps of references know nothing of a parent's frame.
#[allow(
    clippy::too_many_arguments,
    reason = "each is a storage of its own, as for `compile`"
)]
pub fn compile_side<'e>(
    verified: &Verified,
    set: &'static StencilSet,
    options: &Options,
    workspace: &mut [u32],
    code: CodeBuffer,
    functions: &mut [FunctionCode],
    from: Site<'_>,
    exits: ExitStorage<'e>,
) -> Result<(Compiled, Exits<'e>), Error> {
    let from = Some(from);
    compile_linkable_observed(
        verified,
        set,
        options,
        workspace,
        code,
        functions,
        from,
        exits,
        &mut Silent,
    )
}

/// Both of the above, with every decision told to an observer: for checkers and explanations.
///
/// # Errors
///
/// As [`compile_linkable`] without a parent's exit, else as [`compile_side`].
#[allow(
    clippy::too_many_arguments,
    reason = "each is a storage of its own, as for `compile`"
)]
pub fn compile_linkable_observed<'e, O: Observer>(
    verified: &Verified,
    set: &'static StencilSet,
    options: &Options,
    workspace: &mut [u32],
    code: CodeBuffer,
    functions: &mut [FunctionCode],
    from: Option<Site<'_>>,
    exits: ExitStorage<'e>,
    observer: &mut O,
) -> Result<(Compiled, Exits<'e>), Error> {
    if let Some(site) = &from {
        check_side(verified.program(), site)?;
    }
    let ExitStorage {
        sites,
        values,
        heads,
        first_counter,
    } = exits;
    let mut linking = Linking {
        description: Some(Description {
            sites: &mut *sites,
            values: &mut *values,
            heads: &mut *heads,
            site_count: 0,
            value_count: 0,
            head_count: 0,
        }),
        from,
        first_counter,
        ..Linking::NONE
    };
    let mut compiled = compile_program(
        verified,
        set,
        options,
        workspace,
        code,
        functions,
        &mut linking,
        observer,
    )?;
    let mut counts = [0; 3];
    if let Some(description) = &mut linking.description {
        description.check()?;
        compiled.link.stamp = description.seal(compiled.code_length);
        counts = [
            description.site_count,
            description.value_count,
            description.head_count,
        ];
    }
    if let (Some(site), Some(first)) = (&from, functions.first()) {
        compiled.link.inherits = site.identity();
        compiled.link.entry = first.entry;
    }
    let exits = Exits {
        sites: sites.get(..counts[0]).unwrap_or_default(),
        values: values.get(..counts[1]).unwrap_or_default(),
        heads: heads.get(..counts[2]).unwrap_or_default(),
    };
    Ok((compiled, exits))
}

/// Whether a program's first function can be a side trace for an exit.
fn check_side(program: &Program, site: &Site) -> Result<(), Error> {
    let invalid = |rule, place| Err(Error::Invalid { rule, place });
    let place = ErrorPlace::Function(0);
    if !site.can_link() {
        return invalid(Rule::LinkExit, ErrorPlace::Exit(site.index()));
    }
    let Some(function) = program.functions.first() else {
        return invalid(Rule::SideParameters, place);
    };
    let parameters = program.parameters(function.signature);
    let carried = site.carried();
    let same = |(&ty, value): (&Type, &Carried)| ty == value.ty();
    if parameters.len() != carried.len() || !parameters.iter().zip(carried).all(same) {
        return invalid(Rule::SideParameters, place);
    }
    let mut ops = program.ops.iter().take(function.op_count as usize);
    if site.record.references && ops.any(|op| op.code.info().has(flags::SAFEPOINT)) {
        return Err(Error::Unsupported {
            what: Feature::SideReferences,
            place,
        });
    }
    let results = program.results(function.signature);
    if !site.results().eq(results.iter().copied()) {
        return invalid(Rule::SideResults, place);
    }
    for (index, op) in program.ops.iter().enumerate() {
        let names = match op.code.info().shape {
            Shape::Call | Shape::CallCell | Shape::ReturnCall => op.a == 0,
            Shape::FunctionIndex => op.b == 0,
            _ => false,
        };
        if names {
            let function = program.functions.partition_point(|function| {
                function.first_op as usize + function.op_count as usize <= index
            }) as u32;
            return invalid(Rule::SideCalled, ErrorPlace::Function(function));
        }
    }
    Ok(())
}

/// What compiling one function knows of links.
pub(super) struct Linking<'a> {
    /// Where exits are described, if they are.
    pub description: Option<Description<'a>>,
    /// The exit that the first function is a side trace for.
    pub from: Option<Site<'a>>,
    /// The counter of the first site, if exits are counted.
    pub first_counter: Option<u32>,
    /// The record of the function's first loop among the heads.
    pub first_head: u32,
    /// The function's results among the values.
    pub first_result: u32,
    /// The hole for the growth of the parent's frame.
    growth_hole: u32,
    /// Whether references may be in the frame.
    pub references: bool,
    /// The slot that stubs may use, if one needs it.
    pub spare_slot: Option<u32>,
}

impl Linking<'_> {
    /// Of a compilation that knows nothing of links.
    pub const NONE: Linking<'static> = Linking {
        description: None,
        from: None,
        first_counter: None,
        first_head: 0,
        first_result: 0,
        growth_hole: 0,
        references: false,
        spare_slot: None,
    };

    /// The same for compiling a function, the first one of its program or another.
    pub fn reborrow(&mut self, is_first: bool) -> Linking<'_> {
        Linking {
            description: self.description.as_mut().map(|description| Description {
                sites: &mut *description.sites,
                values: &mut *description.values,
                heads: &mut *description.heads,
                ..*description
            }),
            from: self.from.filter(|_| is_first),
            first_counter: self.first_counter,
            ..Linking::NONE
        }
    }

    /// How much is described.
    pub fn counts(&self) -> [usize; 3] {
        let counts = self.description.as_ref();
        counts.map_or([0; 3], |d| [d.site_count, d.value_count, d.head_count])
    }

    /// Goes on behind what a function described.
    pub fn set_counts(&mut self, [sites, values, heads]: [usize; 3]) {
        if let Some(description) = &mut self.description {
            description.site_count = sites;
            description.value_count = values;
            description.head_count = heads;
        }
    }

    /// How many records of values a function needs for what the parent's exit keeps.
    pub fn kept_records(&self) -> usize {
        self.from.map_or(0, |_| MOST_KEPT)
    }

    /// Whether exits are described.
    pub fn is_active(&self) -> bool {
        self.description.is_some()
    }
}

impl<O: Observer> FunctionCompiler<'_, '_, O> {
    /// Begins the description of a function.
    pub(super) fn begin_description(&mut self) {
        let results = self.program.results(self.signature);
        let ops = &self.program.ops[self.first_op as usize..][..self.op_count as usize];
        let Some(description) = &mut self.linking.description else {
            return;
        };
        let inherits = self.linking.from.is_some_and(|site| site.record.references);
        self.linking.references = inherits || ops.iter().any(|op| op.result() == Some(Type::Ref));
        self.linking.first_head = description.head_count as u32;
        self.linking.first_result = description.value_count as u32;
        for &ty in results {
            description.value(Carried {
                ty,
                ..Carried::EMPTY
            });
        }
    }

    // ---- the beginning of a side trace ----

    /// Emits the entry of a side trace; gives where it begins if the frame does not grow. The values are where the parent's exit has them.
    pub(super) fn begin_side(&mut self, site: Site) -> Result<u32, Fault> {
        let holes = self.machine(Machine::FrameGrow, [0; 4], 0)?;
        self.linking.growth_hole = holes.immediate().ok_or(internal(Part::Select, line!()))?;
        let entry = self.patcher.offset();
        if self.fuel {
            self.charge_fuel()?;
        }
        for (parameter, value) in (0..).zip(site.carried) {
            if !self.is_used(parameter) {
                continue;
            }
            match value.place {
                Place::Register(register) => {
                    let register = Register::from(register);
                    self.check_register(parameter, register)?;
                    self.observe(Event::Inherit {
                        place: Location::Register(register),
                        value: self.value_name(parameter),
                    });
                    if self.registers.occupied & only(register) == 0 {
                        self.occupy(register, parameter, false);
                    }
                }
                Place::Frame(word) => self.inherit_slot(parameter, word)?,
                _ => {}
            }
        }
        self.begin_kept(site)?;
        for (parameter, value) in (0..).zip(site.carried) {
            if self.is_used(parameter) && self.word(parameter, LOCATION) == NO_REGISTER {
                self.place_inherited(parameter, value)?;
            }
        }
        self.workspace.blocks[0][BLOCK_FLAGS] = BLOCK_REACHED;
        self.continues = true;
        Ok(entry)
    }

    fn is_used(&self, parameter: u32) -> bool {
        self.word(parameter, END) > self.word(parameter, START)
    }

    fn check_register(&self, value: u32, register: Register) -> Result<(), Fault> {
        if self.allocatable & self.bank(value) & only(register) != 0 {
            Ok(())
        } else {
            Err(unsupported(Feature::Layout))
        }
    }

    /// A value is in a slot of the parent's.
    fn inherit_slot(&mut self, value: u32, word: u32) -> Result<(), Fault> {
        if word >= INHERITED {
            return Err(unsupported(Feature::FrameSize));
        }
        let slot = INHERITED + word;
        self.workspace.values[value as usize][LOCATION] = (slot + 1) << 8 | NO_REGISTER;
        self.workspace.values[value as usize][SLOT_HOLES] = 0;
        self.observe(Event::Inherit {
            place: Location::Slot(slot),
            value: self.value_name(value),
        });
        Ok(())
    }

    /// What the parent's loop wants back begins its life.
    fn begin_kept(&mut self, site: Site) -> Result<(), Fault> {
        let first = self.op_count + anchors(self.program) as u32;
        for (number, value) in site.kept.iter().enumerate().take(MOST_KEPT) {
            let Place::Register(register) = value.place else {
                continue;
            };
            let register = Register::from(register);
            let held = self.tables.value[register as usize];
            let taken = self.registers.occupied & only(register) != 0;
            let stands_for = if value.slot != NONE {
                match self.anchor_at(value.slot) {
                    Some(anchor) if !taken && self.register_of(anchor) == NO_REGISTER => {
                        self.occupy(register, anchor, true);
                        anchor
                    }
                    _ => {
                        self.tables.kept[number] = DROPPED;
                        continue;
                    }
                }
            } else if taken {
                // The snapshot names it too: the parameter is kept to the end.
                held
            } else {
                let hidden = first + number as u32;
                let record = self.workspace.values.get_mut(hidden as usize);
                *record.ok_or(Fault::WorkspaceFull)? = [
                    0,
                    NONE,
                    NONE,
                    NO_REGISTER,
                    facts_of(Some(value.ty)) & (INFO_FLOAT | INFO_REFERENCE),
                    NONE,
                    NONE,
                    NONE,
                ];
                self.occupy(register, hidden, false);
                hidden
            };
            self.check_register(stands_for, register)?;
            self.workspace.values[stands_for as usize][START] = 0;
            self.workspace.values[stands_for as usize][END] = NONE;
            self.tables.kept[number] = stands_for;
            self.observe(Event::Inherit {
                place: Location::Register(register),
                value: self.value_name(stands_for),
            });
        }
        Ok(())
    }

    /// The anchor that stands at this offset of the context.
    fn anchor_at(&self, at: u32) -> Option<u32> {
        if at == offset::SLOTS {
            return Some(self.slots_anchor());
        }
        let word = at.checked_sub(offset::REGIONS)? / 8;
        let region = (word / 2) as usize;
        let known = self.program.regions.get(region)?;
        match word % 2 {
            0 => Some(self.region_anchor(region)),
            _ => known.grows().then(|| self.size_anchor(region)),
        }
    }

    /// Where an anchor stands in the context.
    pub(super) fn offset_of_anchor(&self, anchor: u32) -> u32 {
        match anchor - self.op_count {
            0 => offset::SLOTS,
            number => {
                let regions = self.program.regions.len() as u32;
                match number - 1 {
                    region if region < regions => offset::REGIONS + 16 * region,
                    size => offset::REGIONS + 16 * (size - regions) + 8,
                }
            }
        }
    }

    /// Finds room for a parameter that shares its place with another, or is a constant.
    fn place_inherited(&mut self, parameter: u32, value: &Carried) -> Result<(), Fault> {
        let free = self.free() & self.bank(parameter);
        let float = self.bank(parameter) == FLOATS;
        let register = match free {
            0 if float => self.float_scratch,
            0 => self.int_scratch,
            free => self.choose(free),
        };
        match value.place_with(self.set.registers.above_f32) {
            Place::Register(from) => self.copy(register, from.into())?,
            Place::Constant(bits) => {
                if float {
                    self.make_integer(self.int_scratch, bits)?;
                    let form = Form::op(Opcode::F64ReinterpretI64, FormKind::Registers);
                    self.form(form, [register, self.int_scratch, 0, 0], 0)?;
                } else {
                    self.make_integer(register, bits)?;
                }
                self.observe(Event::Inherit {
                    place: Location::Register(register),
                    value: self.value_name(parameter),
                });
            }
            _ => return Err(unsupported(Feature::Layout)),
        }
        if free == 0 {
            self.store_slot(register, parameter)
        } else {
            self.occupy(register, parameter, false);
            Ok(())
        }
    }

    /// Emits the load of a value from a slot of the parent's, whose distance is known at the end only.
    pub(super) fn load_inherited(&mut self, to: Register, value: u32) -> Result<(), Fault> {
        let machine = if to >= 32 {
            Machine::FrameLoadFloat
        } else {
            Machine::FrameLoadInt
        };
        let holes = self.machine(machine, [to, 0, 0, 0], i64::from(i32::MAX))?;
        let hole = holes.immediate().ok_or(internal(Part::Select, line!()))?;
        let last = self.word(value, SLOT_HOLES);
        let last = self.patcher.await_value(hole, last)?;
        self.workspace.values[value as usize][SLOT_HOLES] = last;
        Ok(())
    }

    // ---- the frame ----

    /// The frame's bytes, without the return address. Final once the function's blocks are compiled.
    pub(super) fn frame_bytes(&self) -> u32 {
        let file = &self.set.registers;
        let words = self.outgoing_words + self.slot_count;
        match &self.linking.from {
            None => {
                let wanted = words * 8 + file.return_address_size;
                wanted.next_multiple_of(file.stack_alignment) - file.return_address_size
            }
            Some(site) => site.record.frame + self.growth(),
        }
    }

    /// By how much the parent's frame grows.
    fn growth(&self) -> u32 {
        match &self.linking.from {
            Some(site) if self.slot_count > 0 || self.outgoing_words > site.record.outgoing => {
                let words = self.outgoing_words + self.slot_count;
                (words * 8).next_multiple_of(self.set.registers.stack_alignment)
            }
            _ => 0,
        }
    }

    /// Fills in what depends on the frame's size, but for its size; the entry of a side trace whose frame does not
    /// grow begins behind the code that would grow it.
    pub(super) fn settle_side(&mut self, code: &mut FunctionCode) -> Result<(), Fault> {
        let Some(site) = self.linking.from else {
            return Ok(());
        };
        let growth = self.growth();
        self.patcher.set_value(self.linking.growth_hole, growth)?;
        if growth == 0 {
            code.entry = code.body;
        }
        code.body = code.entry;
        let frame = self.frame_bytes();
        for (parameter, value) in (0..).zip(site.carried) {
            let Place::Frame(word) = value.place else {
                continue;
            };
            if !self.is_used(parameter) {
                continue;
            }
            let holes = self.word(parameter, SLOT_HOLES);
            let at = frame.wrapping_sub(8 * word);
            self.patcher.settle_value(holes, at)?;
        }
        Ok(())
    }
}
