//! Bridges: fresh code that takes an exit's values to where other code wants them, and jumps there.
//!
//! Takes an exit's description and a destination; promises that every value of the destination is where it is wanted,
//! that the machine frame is the one that it counts on, and that nothing else of the exit's is kept. Costs a template or
//! two for each value. A bridge is code like other code: published, added to the table of links, reclaimed.
//!
//! ```text
//!   exit ──jump──> bridge   to a loop's head:  moves into registers and spill slots, frame shrunk to the head's
//!                           to a body:         moves into argument registers, frame left
//!                           through slots:     the snapshot written, frame left
//! ```

use super::exits::{Carried, Exits, LoopHead, Place, Site};
use crate::code::CodeBuffer;
use crate::compile::{Compiled, LinkDigests};
use crate::error::{Error, Feature, Part, Place as ErrorPlace, Rule, Storage};
use crate::ir::Tag;
use crate::ops::Opcode;
use crate::patch::{Fault, Holes, Label, Patcher, internal, unsupported};
use crate::runtime::{Status, offset};
use crate::stencil::{Form, FormKind, MAX_OPERANDS, MOST_TEMPLATE_BYTES, Machine, StencilSet};
use crate::types::Type;

/// Where a bridge goes.
#[derive(Clone, Copy, Debug)]
pub enum Destination<'d> {
    /// To the head of the loop around the exit ([`Site::head`]). What the loop has from before it goes on, since the frame is
    /// the same.
    Head {
        /// The exits of the code that the head is in: of the exit's own, or of the one that it is a side trace of,
        /// directly or through others.
        exits: Exits<'d>,
        /// The address of that code.
        address: u64,
        /// For each parameter of the head's block, which of the values that the exit carries it gets.
        arguments: &'d [u32],
    },
    /// To the body of a function ([`crate::compile::FunctionCode::body`]) with the results of the exit's function, as if
    /// that ended with a call of it.
    Body {
        /// The body's address.
        address: u64,
        /// The types of its parameters.
        parameters: &'d [Type],
        /// The types of its results.
        results: &'d [Type],
        /// For each parameter, which of the values that the exit carries it gets.
        arguments: &'d [u32],
    },
    /// The same for a function without parameters, which finds everything in guest slots: the snapshot is written.
    Slots {
        /// The body's address.
        address: u64,
        /// The types of its results.
        results: &'d [Type],
        /// The tags of the exit's program, with which its snapshot may box values.
        tags: &'d [Tag],
    },
}

/// How many bytes of code buffer always suffice for a bridge from this exit.
pub fn bridge_bytes(site: &Site, to: &Destination) -> usize {
    let values = match to {
        Destination::Head { arguments, .. } => arguments.len() + site.kept.len(),
        Destination::Body { arguments, .. } => arguments.len(),
        Destination::Slots { .. } => site.carried.len(),
    };
    // A value takes three templates at most, twice if it is staged; a cycle of copies one more for two. A box takes eight.
    let boxed = match to {
        Destination::Slots { .. } => site.carried.iter().filter(|value| value.is_boxed()).count(),
        _ => 0,
    };
    (8 * values + 16 * boxed + 16) * (MOST_TEMPLATE_BYTES / 2) + MOST_TEMPLATE_BYTES
}

/// Writes a bridge from an exit. With run fuel in the exit's code, one unit is charged on the way to a loop's head.
///
/// The result goes to [`super::Links::add`] with [`super::Origin::Bridge`].
///
/// # Errors
///
/// `Invalid` if the exit cannot be linked ([`Rule::LinkExit`]), if it is not in the loop or the head's description is
/// another compilation's ([`Rule::LinkHead`]), if a value is missing or has another type ([`Rule::LinkValues`]), or if the results
/// are others ([`Rule::SideResults`]); `Unsupported` if there are more arguments than registers for them, or if the
/// destination is farther away than a jump reaches; `Full` if the buffer is too small ([`bridge_bytes`]).
pub fn bridge(
    set: &'static StencilSet,
    site: &Site,
    to: Destination,
    code: CodeBuffer,
) -> Result<Compiled, Error> {
    let place = ErrorPlace::Exit(site.index);
    let invalid = |rule| Err(Error::Invalid { rule, place });
    if !site.can_link() {
        return invalid(Rule::LinkExit);
    }
    let execute_at = code.execute_at;
    let needed = bridge_bytes(site, &to);
    let mut writer = Writer {
        patcher: Patcher::new(code.write, set),
        set,
        frame: site.record.frame,
        staged: 0,
    };
    let target = match to {
        Destination::Head {
            exits,
            address,
            arguments,
        } => {
            let head = site.head().map(|head| exits.head(head as usize));
            let Some(Some((head, parameters, needs))) = head else {
                return invalid(Rule::LinkHead);
            };
            if head.stamp != site.record.head_stamp
                || needs.len() != site.kept.len()
                || head.frame > site.record.frame
            {
                return invalid(Rule::LinkHead);
            }
            let moves = Moves {
                carried: site.carried,
                arguments,
                parameters,
                kept: site.kept,
                needs,
                above_f32: set.registers.above_f32,
            };
            if !moves.fit() {
                return invalid(Rule::LinkValues);
            }
            let target = address.wrapping_add(head.offset.into());
            let done = writer.write_to_head(&moves, head, execute_at, target, site.record.fuel);
            done.map(|()| target)
        }
        Destination::Body {
            address,
            parameters,
            results,
            arguments,
        } => {
            if !site.results().eq(results.iter().copied()) {
                return invalid(Rule::SideResults);
            }
            let same = |(&ty, &argument): (&Type, &u32)| {
                let value = site.carried.get(argument as usize);
                value.is_some_and(|value| value.ty == ty)
            };
            if parameters.len() != arguments.len() || !parameters.iter().zip(arguments).all(same) {
                return invalid(Rule::LinkValues);
            }
            let done = writer.write_to_body(site.carried, arguments, execute_at, address);
            done.map(|()| address)
        }
        Destination::Slots {
            address,
            results,
            tags,
        } => {
            if !site.results().eq(results.iter().copied()) {
                return invalid(Rule::SideResults);
            }
            let known = |tag: u16| usize::from(tag) < tags.len();
            if !site.carried.iter().filter_map(Carried::tag).all(known) {
                return invalid(Rule::LinkValues);
            }
            let done = writer.write_through_slots(site.carried, tags, execute_at, address);
            done.map(|()| address)
        }
    };
    let target = target.map_err(|fault| match fault {
        Fault::CodeFull => Error::Full {
            storage: Storage::Code,
            needed,
        },
        fault => fault.error(place, needed, 0),
    })?;
    Ok(Compiled {
        code_length: writer.patcher.offset(),
        frame_bytes: site.record.frame + set.registers.return_address_size,
        link: LinkDigests {
            stamp: 0,
            inherits: site.identity(),
            target,
            entry: 0,
            distances: set.distances,
        },
    })
}

/// What goes where on the way to a loop's head.
struct Moves<'m> {
    carried: &'m [Carried],
    arguments: &'m [u32],
    parameters: &'m [Carried],
    kept: &'m [Carried],
    needs: &'m [Carried],
    above_f32: u64,
}

impl Moves<'_> {
    /// Whether there is a value of the same type for each parameter.
    fn fit(&self) -> bool {
        let same = |(parameter, &argument): (&Carried, &u32)| {
            let value = self.carried.get(argument as usize);
            value.is_some_and(|value| value.ty == parameter.ty)
        };
        self.parameters.len() == self.arguments.len()
            && self.parameters.iter().zip(self.arguments).all(same)
    }

    /// Where each value is and where it is wanted; what nobody wants is left out.
    fn each(&self) -> impl Iterator<Item = (Place, Place)> + Clone {
        let arguments = self.parameters.iter().zip(self.arguments);
        let arguments = arguments.map(|(parameter, &argument)| {
            let from = self.carried.get(argument as usize);
            let from = from.map(|from| from.place_with(self.above_f32));
            (from.unwrap_or(Place::Nowhere), parameter.place)
        });
        let kept = self.kept.iter().zip(self.needs);
        let kept = kept.map(|(from, to)| (from.place_with(self.above_f32), to.place));
        arguments
            .chain(kept)
            .filter(|&(from, to)| from != to && to != Place::Nowhere && from != Place::Nowhere)
    }

    /// Those that are wanted in the frame.
    fn frame_moves(&self) -> impl Iterator<Item = (Place, u32)> {
        self.each().filter_map(|(from, to)| match to {
            Place::Frame(word) => Some((from, word)),
            _ => None,
        })
    }

    /// Whether some word of the frame that is written may be read for another place. Words that are
    /// written are taken for all those between the first and the last.
    fn overlap(&self) -> bool {
        let (mut least, mut most) = (u32::MAX, 0);
        for (_, word) in self.frame_moves() {
            (least, most) = (least.min(word), most.max(word));
        }
        self.each()
            .any(|(from, _)| matches!(from, Place::Frame(word) if least <= word && word <= most))
    }
}

struct Writer<'c> {
    patcher: Patcher<'c>,
    set: &'static StencilSet,
    /// The frame's bytes at the exit.
    frame: u32,
    /// Bytes below it for values on their way.
    staged: u32,
}

/// No register, in the tables of copies.
const NO_REGISTER: u8 = 0xff;

impl Writer<'_> {
    fn machine(
        &mut self,
        machine: Machine,
        registers: [u32; MAX_OPERANDS],
        immediate: i64,
    ) -> Result<Holes, Fault> {
        self.patcher
            .emit(Form::machine(machine), registers, immediate)
    }

    fn op(
        &mut self,
        code: Opcode,
        kind: FormKind,
        registers: [u32; MAX_OPERANDS],
        immediate: i64,
    ) -> Result<(), Fault> {
        self.patcher
            .emit(Form::op(code, kind), registers, immediate)?;
        Ok(())
    }

    fn int_scratch(&self) -> u32 {
        self.set.registers.int_scratch.into()
    }

    fn float_scratch(&self) -> u32 {
        32 + u32::from(self.set.registers.float_scratch)
    }

    /// Where a word of the frame is, from the stack pointer.
    fn frame_offset(&self, word: u32) -> i64 {
        i64::from(self.frame) + i64::from(self.staged) - 8 * i64::from(word)
    }

    fn copy(&mut self, to: u32, from: u32) -> Result<(), Fault> {
        let machine = if to >= 32 {
            Machine::MoveFloat
        } else {
            Machine::MoveInt
        };
        self.machine(machine, [to, from, 0, 0], 0)?;
        Ok(())
    }

    fn make_integer(&mut self, to: u32, bits: u64) -> Result<(), Fault> {
        let machine = if bits == 0 {
            Machine::ConstZero
        } else if u32::try_from(bits).is_ok() {
            Machine::ConstUnsigned32
        } else if i64::from(bits as i32) == bits as i64 {
            Machine::ConstSigned32
        } else {
            Machine::Const64
        };
        self.machine(machine, [to, 0, 0, 0], bits as i64)?;
        Ok(())
    }

    fn store(&mut self, register: u32, at: i64) -> Result<(), Fault> {
        let machine = if register >= 32 {
            Machine::FrameStoreFloat
        } else {
            Machine::FrameStoreInt
        };
        self.machine(machine, [register, 0, 0, 0], at)?;
        Ok(())
    }

    /// Brings a value into a register.
    fn fetch(&mut self, to: u32, from: Place) -> Result<(), Fault> {
        match from {
            Place::Register(register) => {
                if to != u32::from(register) {
                    self.copy(to, register.into())?;
                }
                Ok(())
            }
            Place::Frame(word) => {
                let machine = if to >= 32 {
                    Machine::FrameLoadFloat
                } else {
                    Machine::FrameLoadInt
                };
                self.machine(machine, [to, 0, 0, 0], self.frame_offset(word))?;
                Ok(())
            }
            Place::Constant(bits) if to >= 32 => {
                let scratch = self.int_scratch();
                self.make_integer(scratch, bits)?;
                let code = Opcode::F64ReinterpretI64;
                self.op(code, FormKind::Registers, [to, scratch, 0, 0], 0)
            }
            Place::Constant(bits) => self.make_integer(to, bits),
            Place::Context(at) => {
                let context = self.set.registers.context.into();
                let registers = [to, context, 0, 0];
                self.op(
                    Opcode::I64RawLoad,
                    FormKind::Immediate,
                    registers,
                    at.into(),
                )
            }
            Place::Nowhere => Err(internal(Part::Select, line!())),
        }
    }

    /// A register that holds a value, the scratch register if it is in none.
    fn in_register(&mut self, from: Place) -> Result<u32, Fault> {
        if let Place::Register(register) = from {
            return Ok(register.into());
        }
        let scratch = self.int_scratch();
        self.fetch(scratch, from)?;
        Ok(scratch)
    }

    /// Moves values into registers, all at once as it were.
    fn move_into_registers(
        &mut self,
        moves: impl Iterator<Item = (Place, Place)> + Clone,
    ) -> Result<(), Fault> {
        let mut from = [NO_REGISTER; 64];
        let mut readers = [0u8; 64];
        let mut waiting = 0u64;
        let copies = moves.clone().filter_map(|(from, to)| match (from, to) {
            (Place::Register(from), Place::Register(to)) => Some((from & 63, to & 63)),
            _ => None,
        });
        for (source, target) in copies {
            from[target as usize] = source;
            readers[source as usize] += 1;
            waiting |= 1 << target;
        }
        while waiting != 0 {
            let mut targets = waiting;
            let mut ready = None;
            while targets != 0 {
                let target = targets.trailing_zeros();
                targets &= targets - 1;
                if readers[target as usize] == 0 {
                    ready = Some(target);
                    break;
                }
            }
            let target = match ready {
                Some(target) => target,
                None => {
                    // Only cycles are left: one register is copied aside, its readers read the copy.
                    let target = waiting.trailing_zeros();
                    let scratch = if target >= 32 {
                        self.float_scratch()
                    } else {
                        self.int_scratch()
                    };
                    self.copy(scratch, target)?;
                    for source in from.iter_mut().filter(|source| **source == target as u8) {
                        *source = scratch as u8;
                    }
                    readers[scratch as usize & 63] = readers[target as usize];
                    readers[target as usize] = 0;
                    target
                }
            };
            let source = from[target as usize];
            self.copy(target, source.into())?;
            waiting &= !(1 << target);
            from[target as usize] = NO_REGISTER;
            let count = &mut readers[source as usize & 63];
            *count = count.saturating_sub(1);
        }
        for (from, to) in moves {
            if let (Place::Frame(_) | Place::Constant(_) | Place::Context(_), Place::Register(to)) =
                (from, to)
            {
                self.fetch(to.into(), from)?;
            }
        }
        Ok(())
    }

    /// Jumps to an address.
    fn jump(&mut self, execute_at: u64, target: u64) -> Result<(), Fault> {
        let here = execute_at.wrapping_add(u64::from(self.patcher.offset()));
        self.patcher.jump_away(target.wrapping_sub(here) as i64)
    }

    fn write_to_head(
        &mut self,
        moves: &Moves,
        head: &LoopHead,
        execute_at: u64,
        target: u64,
        fuel: bool,
    ) -> Result<(), Fault> {
        let mut out_of_fuel = Label::UNUSED;
        if fuel {
            let holes = self.machine(Machine::ChargeFuel, [0; 4], 0)?;
            self.patcher.link(holes, &mut out_of_fuel)?;
        }
        let stage = moves.overlap();
        if stage {
            let bytes = 8 * moves.frame_moves().count() as u32;
            self.staged = bytes.next_multiple_of(self.set.registers.stack_alignment);
            self.machine(Machine::FrameGrow, [0; 4], self.staged.into())?;
        }
        for (number, (from, word)) in moves.frame_moves().enumerate() {
            let register = self.in_register(from)?;
            let at = match stage {
                true => 8 * number as i64,
                false => self.frame_offset(word),
            };
            self.store(register, at)?;
        }
        self.move_into_registers(moves.each())?;
        if stage {
            let scratch = self.int_scratch();
            for (number, (_, word)) in moves.frame_moves().enumerate() {
                self.machine(Machine::FrameLoadInt, [scratch, 0, 0, 0], 8 * number as i64)?;
                self.store(scratch, self.frame_offset(word))?;
            }
        }
        let shrink = self.frame + self.staged - head.frame;
        if shrink > 0 {
            self.machine(Machine::FrameShrink, [0; 4], shrink.into())?;
        }
        self.jump(execute_at, target)?;
        if fuel {
            self.patcher.bind(&mut out_of_fuel)?;
            let status = Status::OutOfFuel as i64;
            self.machine(Machine::StoreStatus, [0; 4], status)?;
            self.machine(Machine::EntryAbandon, [0; 4], 0)?;
        }
        Ok(())
    }

    fn write_to_body(
        &mut self,
        carried: &[Carried],
        arguments: &[u32],
        execute_at: u64,
        target: u64,
    ) -> Result<(), Fault> {
        let file = &self.set.registers;
        let mut registers = [Place::Nowhere; 64];
        let (mut ints, mut floats) = (file.int_arguments.iter(), file.float_arguments.iter());
        for (number, &argument) in arguments.iter().enumerate() {
            let float = carried
                .get(argument as usize)
                .is_some_and(|value| value.ty.is_float());
            let register = match float {
                true => floats.next().map(|register| 32 + register),
                false => ints.next().copied(),
            };
            let register = register.ok_or(unsupported(Feature::Arguments))?;
            let room = registers.get_mut(number);
            *room.ok_or(unsupported(Feature::Arguments))? = Place::Register(register);
        }
        let moves = arguments.iter().zip(&registers).map(|(&argument, &to)| {
            let from = carried.get(argument as usize);
            let from = from.map(|from| from.place_with(file.above_f32));
            (from.unwrap_or(Place::Nowhere), to)
        });
        self.move_into_registers(moves.filter(|(from, to)| from != to))?;
        self.machine(Machine::FrameLeave, [0; 4], self.frame.into())?;
        self.jump(execute_at, target)
    }

    fn write_through_slots(
        &mut self,
        carried: &[Carried],
        tags: &[Tag],
        execute_at: u64,
        target: u64,
    ) -> Result<(), Fault> {
        let scratch = self.int_scratch();
        let allocatable = self.set.registers.allocatable.0 & 0xffff_ffff;
        let taken = carried.iter().fold(0u64, |set, value| match value.place {
            Place::Register(register) => set | 1 << (register & 63),
            _ => set,
        });
        // What is elsewhere or boxed goes through a register that no value is in. Where there is none, the value of one waits
        // below the frame.
        let open = allocatable & !taken;
        let mut temporary = open.trailing_zeros();
        let mut moved = None;
        if open == 0 {
            temporary = allocatable.trailing_zeros();
            moved = Some(temporary);
            self.staged = self.set.registers.stack_alignment;
            self.machine(Machine::FrameGrow, [0; 4], self.staged.into())?;
            self.store(temporary, 0)?;
        }
        let context = self.set.registers.context.into();
        for value in carried {
            let mut register = match value.place {
                Place::Register(register) if moved == Some(register.into()) => {
                    self.machine(Machine::FrameLoadInt, [temporary, 0, 0, 0], 0)?;
                    temporary
                }
                Place::Register(register) => register.into(),
                Place::Nowhere => continue,
                place => {
                    self.fetch(temporary, place)?;
                    temporary
                }
            };
            let tag = value.tag().and_then(|tag| tags.get(usize::from(tag)));
            if let Some(tag) = tag {
                self.make_box(temporary, register, value.ty, tag)?;
                register = temporary;
            } else {
                let widen = match value.ty {
                    Type::I32 => Some(Opcode::I64ExtendI32U),
                    Type::F32 if register >= 32 => Some(Opcode::I32ReinterpretF32),
                    Type::F32 => Some(Opcode::I64ExtendI32U),
                    _ => None,
                };
                if let Some(code) = widen {
                    self.op(code, FormKind::Registers, [temporary, register, 0, 0], 0)?;
                    register = temporary;
                }
            }
            let slots = i64::from(offset::SLOTS);
            self.op(
                Opcode::I64RawLoad,
                FormKind::Immediate,
                [scratch, context, 0, 0],
                slots,
            )?;
            let code = match register >= 32 {
                true => Opcode::F64RawStore,
                false => Opcode::I64RawStore,
            };
            let at = 8 * i64::from(value.slot);
            self.op(code, FormKind::Immediate, [scratch, register, 0, 0], at)?;
        }
        let frame = self.frame + self.staged;
        self.machine(Machine::FrameLeave, [0; 4], frame.into())?;
        self.jump(execute_at, target)
    }

    /// Boxes a value, as the op for its type does. Constants take the scratch register, floats the one for floats.
    fn make_box(&mut self, to: u32, from: u32, ty: Type, tag: &Tag) -> Result<(), Fault> {
        let possible = match ty {
            Type::F64 => {
                let float = self.float_scratch();
                let mut word = from;
                if from < 32 {
                    let code = Opcode::F64ReinterpretI64;
                    self.op(code, FormKind::Registers, [float, from, 0, 0], 0)?;
                    word = float;
                }
                let code = Opcode::F64Canonicalize;
                self.op(code, FormKind::Registers, [float, word, 0, 0], 0)?;
                let code = Opcode::I64ReinterpretF64;
                self.op(code, FormKind::Registers, [to, float, 0, 0], 0)?;
                u64::MAX
            }
            Type::I32 => {
                let code = Opcode::I64ExtendI32U;
                self.op(code, FormKind::Registers, [to, from, 0, 0], 0)?;
                u64::from(u32::MAX)
            }
            _ => {
                if from != to {
                    self.copy(to, from)?;
                }
                u64::MAX
            }
        };
        if tag.shift > 0 {
            let by = i64::from(tag.shift);
            self.op(Opcode::I64Shl, FormKind::Immediate, [to, to, 0, 0], by)?;
        }
        let shifted = possible << tag.shift;
        if shifted & tag.mask != 0 {
            self.with_bits(Opcode::I64And, to, !tag.mask)?;
        }
        if tag.bits != 0 {
            self.with_bits(Opcode::I64Or, to, tag.bits)?;
        }
        Ok(())
    }

    /// An op with a constant that may be no immediate.
    fn with_bits(&mut self, code: Opcode, to: u32, bits: u64) -> Result<(), Fault> {
        let scratch = self.int_scratch();
        self.make_integer(scratch, bits)?;
        self.op(code, FormKind::Registers, [to, to, scratch, 0], 0)
    }
}
