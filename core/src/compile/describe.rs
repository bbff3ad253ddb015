//! What is told of exits: where each value is that an exit carries or keeps, and what the heads of loops want.
//!
//! Takes, where an exit is taken, the state of the registers (words at the far end of the code buffer, as for its
//! stub); promises, when the stubs are written and the frame's size is known, the records of [`crate::link::Exits`]. Costs a few words
//! for each exit and each register of a loop's head; nothing where exits are not described.

use super::allocate::{INTS, Register, each};
use super::leave::{AT_CONSTANT, AT_CONTEXT, AT_FIXED, AT_NOWHERE, AT_SLOT};
use super::side::{DROPPED, FIXED, INHERITED, MOST_KEPT};
use super::workspace::{
    BLOCK_LABEL, BLOCK_LOOP, BLOCK_OCCUPIED, LOCATION, LOOP_HEAD, NO_REGISTER, PARAMETER_REGISTER,
    map_index,
};
use super::{Event, FunctionCompiler, Location, Observer};
use crate::error::{Feature, Part};
use crate::ir::{NONE, place_slot, place_tag};
use crate::link::{Carried, ExitSite, LoopHead, Place};
use crate::ops::Opcode;
use crate::patch::{Fault, Holes, Label, internal, unsupported};
use crate::runtime::offset;
use crate::stencil::{ABSENT, Form, FormKind, Machine};
use crate::types::Type;

impl<O: Observer> FunctionCompiler<'_, '_, O> {
    // ---- what an exit keeps ----

    /// Pushes where the values are that the loop around an exit wants back, a word for each. Gives how many there are and
    /// for which loop.
    pub(super) fn push_kept(&mut self, user: u32) -> Result<(u32, KeptFor, u32), Fault> {
        let innermost = self.workspace.blocks[self.block as usize][BLOCK_LOOP];
        if innermost == NONE {
            return self.push_inherited(user);
        }
        let mut count = 0;
        let (block, registers) = self.head_of(innermost);
        for register in each(registers) {
            let Some(held) = self.needed_in(block, register) else {
                continue;
            };
            // Not told to observers: the head may have had a value there that is dead on some way to it.
            let word = self.place_of_kept(held)?;
            self.patcher.push_tail(word)?;
            count += 1;
        }
        Ok((count, KeptFor::OwnLoop, innermost))
    }

    /// The head of a loop and the registers that hold something at its entry.
    fn head_of(&self, index: u32) -> (u32, u64) {
        let place = self.workspace.loops[index as usize][LOOP_HEAD];
        let block = self.workspace.order[place as usize];
        let record = &self.workspace.blocks[block as usize];
        let low = u64::from(record[BLOCK_OCCUPIED]);
        let high = u64::from(record[BLOCK_OCCUPIED + 1]);
        (block, low | high << 32)
    }

    /// The value from outside a loop that its head wants in a register.
    fn needed_in(&self, block: u32, register: Register) -> Option<u32> {
        let held = self.workspace.blocks[block as usize][map_index(register)];
        let record = self.block_record(block);
        let is_parameter =
            held.wrapping_sub(record.first_op - self.first_op) < record.parameter_count;
        (!is_parameter).then_some(held)
    }

    /// Where a value is that is kept.
    fn place_of_kept(&mut self, held: u32) -> Result<u32, Fault> {
        let register = self.register_of(held);
        let word = if held < self.op_count && self.is_rematerialized(held) {
            AT_CONSTANT
        } else if register != NO_REGISTER {
            register
        } else if self.is_rematerialized(held) {
            AT_CONSTANT
        } else if self.word(held, LOCATION) >> 8 != 0 {
            let slot = self.slot_of(held)?;
            AT_SLOT | slot << 8
        } else {
            AT_NOWHERE
        };
        Ok(word)
    }

    /// The same for what the parent's exit kept.
    fn push_inherited(&mut self, user: u32) -> Result<(u32, KeptFor, u32), Fault> {
        let Some(site) = self.linking.from.filter(|site| site.record.head != NONE) else {
            return Ok((0, KeptFor::Nothing, 0));
        };
        let count = site.kept.len().min(MOST_KEPT);
        for number in 0..count {
            let word = match self.tables.kept[number] {
                FIXED => AT_FIXED,
                DROPPED => AT_CONTEXT,
                held => {
                    let word = self.place_of_kept(held)?;
                    let place = match word & 0xff {
                        AT_SLOT => Some(Location::Slot(word >> 8)),
                        register @ 0..64 => Some(Location::Register(register)),
                        _ => None,
                    };
                    if let Some(place) = place {
                        self.observe(Event::Snapshot {
                            op: user + self.first_op,
                            place,
                            value: self.value_name(held),
                        });
                    }
                    match word {
                        AT_CONSTANT => AT_CONTEXT,
                        word => word,
                    }
                }
            };
            self.patcher.push_tail(word)?;
        }
        Ok((count as u32, KeptFor::ParentsLoop, 0))
    }

    // ---- the description ----

    /// Emits, before an exit's code, what keeps the bytes that linking changes within eight aligned ones.
    pub(super) fn align_jump(&mut self) -> Result<(), Fault> {
        let jump = Form::machine(Machine::Jump);
        let family = self.set.family(jump).ok_or(unsupported(Feature::Op))?;
        let template = self.set.template(family, [0; 4], 0);
        let template = template.ok_or(unsupported(Feature::Op))?;
        let at = template.holes.target()[0];
        if at == ABSENT {
            return Err(unsupported(Feature::Op));
        }
        self.patcher.settle(2)?;
        let straddles = |offset: u32| (offset + u32::from(at)) % 8 > 4;
        for _ in 0..8 {
            if !straddles(self.patcher.offset()) {
                return Ok(());
            }
            self.machine(Machine::Unreachable, [0; 4], 0)?;
        }
        Err(unsupported(Feature::Op))
    }

    /// Emits the jump that linking changes: to what follows it. Gives the offset of its distance.
    pub(super) fn emit_link_jump(&mut self) -> Result<u32, Fault> {
        let holes: Holes = self.machine(Machine::Jump, [0; 4], 0)?;
        self.patcher
            .link(holes, &mut Label::at(self.patcher.offset()))?;
        holes.target().ok_or(internal(Part::Select, line!()))
    }

    /// Emits what counts an exit. Nothing but the context is alive there.
    pub(super) fn count_exit(&mut self) -> Result<(), Fault> {
        let (Some(first), Some(description)) =
            (self.linking.first_counter, &self.linking.description)
        else {
            return Ok(());
        };
        let at = 8 * (i64::from(first) + description.site_count as i64);
        let scratch = self.int_scratch;
        let temporary = (INTS & self.allocatable).trailing_zeros();
        self.load_context(scratch, offset::EXIT_COUNTERS)?;
        for (code, registers, immediate) in [
            (Opcode::I64RawLoad, [temporary, scratch, 0, 0], at),
            (Opcode::I64Add, [temporary, temporary, 0, 0], 1),
            (Opcode::I64RawStore, [scratch, temporary, 0, 0], at),
        ] {
            self.form(Form::op(code, FormKind::Immediate), registers, immediate)?;
        }
        Ok(())
    }

    /// Describes an exit whose code has been emitted.
    pub(super) fn describe_exit(&mut self, stub: &Stub) -> Result<(), Fault> {
        let program = self.program;
        let Some(first) = self.linking.description.as_ref().map(|d| d.value_count) else {
            return Ok(());
        };
        let record = program.exits[stub.exit as usize];
        for (number, pair) in (0..).zip(program.snapshot(&record).chunks_exact(2)) {
            let word = self.patcher.word(stub.entry(number))?;
            let place = match word {
                AT_CONSTANT => Place::Constant(self.constant_bits(pair[1]).unwrap_or(0)),
                word => self.place_of(word),
            };
            self.describe(Carried {
                slot: place_slot(pair[0]),
                boxed: place_tag(pair[0]).map_or(0, |tag| tag + 1),
                ty: program.ops[pair[1] as usize].result().unwrap_or(Type::I64),
                place,
            });
        }
        let (mut head, mut head_stamp) = (NONE, 0);
        match (stub.kept_for, self.linking.from) {
            (KeptFor::OwnLoop, _) => {
                head = self.linking.first_head + stub.loop_index;
                let (block, registers) = self.head_of(stub.loop_index);
                let mut number = 0;
                for register in each(registers) {
                    if let Some(held) = self.needed_in(block, register) {
                        let word = self.patcher.word(stub.kept_word(number))?;
                        let place = self.place_of(word);
                        let kept = self.kept_value(held, place);
                        self.describe(kept);
                        number += 1;
                    }
                }
            }
            (KeptFor::ParentsLoop, Some(site)) => {
                (head, head_stamp) = (site.record.head, site.record.head_stamp);
                for (number, value) in (0..).zip(site.kept) {
                    let place = match self.patcher.word(stub.kept_word(number))? {
                        AT_FIXED => value.place,
                        AT_CONTEXT => Place::Context(value.slot),
                        word => self.place_of(word),
                    };
                    self.describe(Carried { place, ..*value });
                }
            }
            _ => {}
        }
        let site = ExitSite {
            stamp: 0,
            layout: 0,
            head_stamp,
            head,
            exit: stub.exit,
            number: record.number,
            function: self.function,
            op: stub.op,
            jump: stub.jump,
            frame: self.frame_bytes(),
            outgoing: self.outgoing_words,
            first: first as u32,
            carried: record.entry_count,
            first_result: self.linking.first_result,
            results: program.results(self.signature).len() as u16,
            kept: stub.kept as u8,
            fuel: self.fuel,
            references: self.linking.references,
        };
        if let Some(description) = &mut self.linking.description {
            description.site(site);
        }
        Ok(())
    }

    fn describe(&mut self, value: Carried) {
        if let Some(description) = &mut self.linking.description {
            description.value(value);
        }
    }

    /// What a word of an exit's record says.
    fn place_of(&self, word: u32) -> Place {
        match word & 0xff {
            AT_SLOT => self.place_of_slot(word >> 8),
            register @ 0..64 => Place::Register(register as u8),
            _ => Place::Nowhere,
        }
    }

    /// Where a spill slot is, its own or a parent's, from the stack pointer in a stub: the frame's size is known there.
    pub(super) fn slot_offset_in_stub(&self, slot: u32) -> i64 {
        match slot.checked_sub(INHERITED) {
            Some(word) => i64::from(self.frame_bytes()) - 8 * i64::from(word),
            None => self.slot_offset(slot),
        }
    }

    fn place_of_slot(&self, slot: u32) -> Place {
        if slot >= INHERITED {
            return Place::Frame(slot - INHERITED);
        }
        let at = 8 * (self.outgoing_words + slot);
        Place::Frame((self.frame_bytes() - at) / 8)
    }

    /// What a loop's head wants in a register, with its place; constants and anchors are made again.
    fn kept_value(&self, held: u32, place: Place) -> Carried {
        if held >= self.op_count {
            let at = self.offset_of_anchor(held);
            let place = match place {
                Place::Nowhere => Place::Context(at),
                place => place,
            };
            return Carried {
                slot: at,
                place,
                ..Carried::EMPTY
            };
        }
        let value = held + self.first_op;
        Carried {
            slot: NONE,
            ty: self.program.ops[value as usize]
                .result()
                .unwrap_or(Type::I64),
            place: match self.constant_bits(value) {
                Some(bits) => Place::Constant(bits),
                None => place,
            },
            ..Carried::EMPTY
        }
    }

    /// Describes the heads of the function's loops.
    pub(super) fn describe_heads(&mut self) -> Result<(), Fault> {
        let Some(mut first) = self.linking.description.as_ref().map(|d| d.value_count) else {
            return Ok(());
        };
        for index in 0..self.workspace.loop_count {
            let (block, registers) = self.head_of(index);
            let record = self.block_record(block);
            let parameters = record.first_op..record.first_op + record.parameter_count;
            for value in parameters {
                let ty = self.program.ops[value as usize].result();
                let place = match self.word(value - self.first_op, PARAMETER_REGISTER) {
                    NO_REGISTER => match self.word(value - self.first_op, LOCATION) >> 8 {
                        0 => Place::Nowhere,
                        slot => self.place_of_slot(slot - 1),
                    },
                    register @ 0..64 => Place::Register(register as u8),
                    _ => Place::Nowhere,
                };
                self.describe(Carried {
                    ty: ty.unwrap_or(Type::I64),
                    place,
                    ..Carried::EMPTY
                });
            }
            let mut needs = 0;
            for register in each(registers) {
                if let Some(held) = self.needed_in(block, register) {
                    let place = Place::Register(register as u8);
                    let ty = match held < self.op_count {
                        true => self.program.ops[(held + self.first_op) as usize].result(),
                        false => None,
                    };
                    self.describe(Carried {
                        ty: ty.unwrap_or(Type::I64),
                        place,
                        ..Carried::EMPTY
                    });
                    needs += 1;
                }
            }
            let label = Label(self.workspace.blocks[block as usize][BLOCK_LABEL]);
            let frame = self.frame_bytes();
            let head = LoopHead {
                block: block + self.first_block,
                function: self.function,
                offset: label.offset().unwrap_or(NONE),
                frame,
                first: first as u32,
                parameters: record.parameter_count,
                needs,
                fuel: self.fuel,
                ..LoopHead::EMPTY
            };
            first += record.parameter_count as usize + usize::from(needs);
            if let Some(description) = &mut self.linking.description {
                description.head(head);
            }
        }
        Ok(())
    }
}

/// What an exit keeps values for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeptFor {
    /// It cannot be linked.
    Never,
    /// There is no loop around it.
    Nothing,
    /// The innermost loop of its own code around it.
    OwnLoop,
    /// The loop around the exit that its code is a side trace for.
    ParentsLoop,
}

impl KeptFor {
    /// The one with this number.
    pub fn from_code(code: u32) -> KeptFor {
        match code {
            1 => KeptFor::Nothing,
            2 => KeptFor::OwnLoop,
            3 => KeptFor::ParentsLoop,
            _ => KeptFor::Never,
        }
    }
}

/// An exit's code and what was noted where it is taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stub {
    /// The exit's index in the program.
    pub exit: u32,
    /// The op that leaves.
    pub op: u32,
    /// The offset of the distance of the jump that linking changes, or NONE.
    pub jump: u32,
    /// What values are kept for.
    pub kept_for: KeptFor,
    /// The innermost loop around it in its own code.
    pub loop_index: u32,
    /// How many words say where kept values are.
    pub kept: u32,
    /// Where these words begin, in reverse order.
    pub kept_at: u32,
    /// How many words say where the snapshot's values are.
    pub entries: u32,
    /// Where these words begin, in reverse order.
    pub entries_at: u32,
}

impl Stub {
    /// Where the word for an entry of the snapshot stands.
    pub fn entry(&self, number: u32) -> u32 {
        self.entries_at + 4 * (self.entries - 1 - number)
    }

    /// Where the word for a kept value stands.
    fn kept_word(&self, number: u32) -> u32 {
        self.kept_at + 4 * (self.kept - 1 - number)
    }

    /// Where its record ends.
    pub fn end(&self) -> u32 {
        self.entries_at + 4 * self.entries
    }
}
