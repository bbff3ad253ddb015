//! Turns a verified program into the oracle's instructions.
//!
//! Takes the program and the caller's words; promises that every register of a decoded instruction lies in its
//! function's frame, and every target at an instruction. Costs time linear in the program's size, and the
//! words that [`Sizes::measure`] states.
//!
//! A value has one register for its whole life. Block parameters and values that other blocks use have registers of
//! their own; all others share a pool, block by block. Per function:
//!
//! 1. count the uses of each value;
//! 2. find last uses, which values leave their block, which constants need a register, which comparisons branches and
//!    guards do themselves, and which values can be made in the register of the parameter that they are passed to;
//! 3. give out the registers of their own, constants of loops included, which are set once at the entry;
//! 4. write the instructions, block by block; the pool's registers are given out on the way.

use crate::ir::{Function, NONE, Op, Program};
use crate::ops::{Opcode, Shape, flags};
use crate::types::Type;
use crate::verify::Verified;

use super::code;
use super::internal;
use super::moves::Moves;
use super::uses;
use crate::error::{Error, Storage};

/// What is known of a value, beside its last use and its place.
pub(super) mod fact {
    /// The uses: none, one, more.
    pub const COUNT: u32 = 3;
    /// Used outside its block.
    pub const ESCAPES: u32 = 1 << 2;
    /// A constant that some use wants in a register.
    pub const IN_REGISTER: u32 = 1 << 3;
    /// A comparison that its branch or guard does.
    pub const SWALLOWED: u32 = 1 << 4;
    /// Has a register of its own.
    pub const OWN: u32 = 1 << 5;
    /// Has a register of the pool now.
    pub const POOLED: u32 = 1 << 6;
    /// May share its parameter's register only if the parameter does not leave its block.
    pub const SHARES_IF_LOCAL: u32 = 1 << 7;
    /// A constant that is set at the entry of its function.
    pub const AT_ENTRY: u32 = 1 << 8;
    /// A constant.
    pub const CONSTANT: u32 = 1 << 9;
}

/// How the caller's words are divided.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    /// The function table.
    pub table: usize,
    /// A place for each value.
    pub places: usize,
    /// Working storage for each value, twice.
    values: usize,
    /// Working storage for each block.
    blocks: usize,
    /// Working storage for each register of the largest function, four times.
    registers: usize,
    /// Instructions.
    code: usize,
}

impl Sizes {
    /// What this program needs. Saturates where the host's addresses do not reach.
    pub(super) fn measure(verified: &Verified<'_>) -> Sizes {
        let program = verified.program();
        let mut largest = 0usize;
        for function in program.functions {
            largest = largest.max(function.op_count as usize);
        }
        let mut code = 0usize;
        let mut outgoing = 0usize;
        for op in program.ops {
            code = code.saturating_add(uses::op_words(program, op));
            if matches!(op.code, Opcode::CallHost | Opcode::ReturnCall) {
                outgoing = outgoing.max(uses::outgoing_words(program, op));
            }
        }
        Sizes {
            table: program.functions.len().saturating_mul(code::FUNCTION_WORDS),
            places: program.ops.len(),
            values: program.ops.len(),
            blocks: program.blocks.len(),
            registers: largest.saturating_add(outgoing).saturating_add(2),
            code,
        }
    }

    /// How many words that is.
    pub(super) fn total(&self) -> usize {
        self.table
            .saturating_add(self.places)
            .saturating_add(self.values.saturating_mul(2))
            .saturating_add(self.blocks)
            .saturating_add(self.registers.saturating_mul(4))
            .saturating_add(self.code)
    }
}

/// The words of a decoded program.
#[derive(Clone, Copy, Debug)]
pub(super) struct Image<'w> {
    /// The function table.
    pub table: &'w [u32],
    /// The register of each value that has one.
    pub places: &'w [u32],
    /// The instructions.
    pub code: &'w [u32],
}

/// Decodes a verified program.
pub(super) fn decode<'w>(
    verified: &Verified<'_>,
    workspace: &'w mut [u32],
) -> Result<Image<'w>, Error> {
    let program = verified.program();
    let sizes = Sizes::measure(verified);
    let needed = sizes.total();
    if workspace.len() < needed {
        return Err(Error::Full {
            storage: Storage::Workspace,
            needed,
        });
    }
    // A verified program is too small for that: offsets of instructions are words.
    if sizes.code >= NONE as usize {
        return Err(internal!());
    }
    let (table, rest) = workspace.split_at_mut(sizes.table);
    let (places, rest) = rest.split_at_mut(sizes.places);
    let (last, rest) = rest.split_at_mut(sizes.values);
    let (facts, rest) = rest.split_at_mut(sizes.values);
    let (blocks, rest) = rest.split_at_mut(sizes.blocks);
    let (readers, rest) = rest.split_at_mut(sizes.registers);
    let (sources, rest) = rest.split_at_mut(sizes.registers);
    let (ready, rest) = rest.split_at_mut(sizes.registers);
    let (pool, rest) = rest.split_at_mut(sizes.registers);
    let (code, _) = rest.split_at_mut(sizes.code);
    places.fill(NONE);
    last.fill(0);
    facts.fill(0);
    let mut decoder = Decoder {
        verified,
        program,
        table,
        places,
        last,
        facts,
        blocks,
        pool,
        moves: Moves::new(readers, sources, ready),
        code,
        length: 0,
        frame: Frame::default(),
    };
    for (index, function) in program.functions.iter().enumerate() {
        decoder.function(index, function)?;
    }
    let Decoder {
        table,
        places,
        code,
        length,
        ..
    } = decoder;
    Ok(Image {
        table,
        places,
        code: code.get(..length).unwrap_or(&[]),
    })
}

/// The registers of the function that is being decoded: those of values of their own, outgoing ones, a scratch
/// register, the pool.
#[derive(Clone, Copy, Default)]
pub(super) struct Frame {
    pub(super) own: u32,
    pub(super) outgoing: u32,
    /// Registers of the pool that have ever been used in this function.
    pub(super) pooled: u32,
    /// Registers of the pool that are used now or wait in the free list.
    pub(super) taken: u32,
    /// How many constants are set at the entry.
    pub(super) at_entry: u32,
    /// Length of the free list.
    pub(super) free: usize,
}

impl Frame {
    pub(super) const fn scratch(&self) -> u32 {
        self.own + self.outgoing
    }

    const fn words(&self) -> u32 {
        self.own + self.outgoing + 1 + self.pooled
    }
}

/// What a branch decides on.
#[derive(Clone, Copy)]
pub(super) enum Condition {
    Compare {
        code: Opcode,
        first: u32,
        second: u32,
        immediate: bool,
    },
    If(u32),
    IfNot(u32),
}

impl Condition {
    pub(super) fn inverse(self) -> Option<Condition> {
        Some(match self {
            Condition::If(value) => Condition::IfNot(value),
            Condition::IfNot(value) => Condition::If(value),
            Condition::Compare {
                code: code @ (Opcode::I32Eqz | Opcode::I64Eqz),
                first,
                ..
            } => Condition::Compare {
                code: if code == Opcode::I32Eqz {
                    Opcode::I32Ne
                } else {
                    Opcode::I64Ne
                },
                first,
                second: 0,
                immediate: true,
            },
            Condition::Compare {
                code,
                first,
                second,
                immediate,
            } => Condition::Compare {
                code: code.inverse()?,
                first,
                second,
                immediate,
            },
        })
    }
}

/// Where an op stands.
#[derive(Clone, Copy)]
pub(super) struct Position {
    /// The op's index, which is the name of its value.
    pub value: u32,
    /// Its block.
    pub block: u32,
    /// The block behind it, if the function has one there.
    pub next: u32,
}

pub(super) struct Decoder<'p, 'w> {
    pub(super) verified: &'p Verified<'p>,
    pub(super) program: &'p Program<'p>,
    pub(super) table: &'w mut [u32],
    pub(super) places: &'w mut [u32],
    pub(super) last: &'w mut [u32],
    pub(super) facts: &'w mut [u32],
    /// While a function's values are looked at: how the number of loops changes at each block.
    /// While its instructions are written: where a block begins, or the last word that waits to be told.
    pub(super) blocks: &'w mut [u32],
    pub(super) pool: &'w mut [u32],
    pub(super) moves: Moves<'w>,
    pub(super) code: &'w mut [u32],
    pub(super) length: usize,
    pub(super) frame: Frame,
}

/// The span of blocks of a function, as indices.
pub(super) fn span_of(function: &Function) -> core::ops::Range<u32> {
    function.first_block..function.first_block.saturating_add(function.block_count)
}

impl<'p> Decoder<'p, '_> {
    pub(super) fn op(&self, value: u32) -> Result<Op, Error> {
        let op = self.program.ops.get(value as usize);
        op.copied().ok_or(internal!())
    }

    pub(super) fn fact(&self, value: u32) -> u32 {
        self.facts.get(value as usize).copied().unwrap_or(0)
    }

    pub(super) fn has(&self, value: u32, fact: u32) -> bool {
        self.fact(value) & fact != 0
    }

    pub(super) fn note(&mut self, value: u32, fact: u32) {
        if let Some(facts) = self.facts.get_mut(value as usize) {
            *facts |= fact;
        }
    }

    pub(super) fn count(&self, value: u32) -> u32 {
        self.fact(value) & fact::COUNT
    }

    /// The register of a value that has one.
    pub(super) fn place(&self, value: u32) -> Result<u32, Error> {
        match self.places.get(value as usize) {
            Some(&place) if place < self.frame.words() => Ok(place),
            _ => Err(internal!()),
        }
    }

    pub(super) fn set_place(&mut self, value: u32, place: u32) -> Result<(), Error> {
        *self.places.get_mut(value as usize).ok_or(internal!())? = place;
        Ok(())
    }

    /// The blocks of a function that a way from its entry leads to; the others are not decoded.
    pub(super) fn blocks_of(&self, function: &Function) -> impl Iterator<Item = u32> + use<'p> {
        let verified = self.verified;
        span_of(function).filter(move |&block| verified.is_reachable(block))
    }

    /// The indices of a block's ops.
    pub(super) fn ops_of(&self, block: u32) -> core::ops::Range<u32> {
        match self.program.blocks.get(block as usize) {
            Some(block) => block.first_op..block.first_op.saturating_add(block.op_count),
            None => 0..0,
        }
    }

    fn function(&mut self, index: usize, function: &Function) -> Result<(), Error> {
        self.frame = Frame::default();
        self.count_uses(function)?;
        for block in self.blocks_of(function) {
            self.find_last_uses(block)?;
        }
        self.find_loops(function)?;
        self.give_own_registers(function)?;
        let entry = self.length as u32;
        self.write_function(function)?;
        let parameters = self.program.parameters(function.signature).len() as u32;
        let slots = self
            .table
            .chunks_exact_mut(code::FUNCTION_WORDS)
            .nth(index)
            .ok_or(internal!())?;
        slots.copy_from_slice(&[entry, self.frame.words(), function.signature, parameters]);
        Ok(())
    }

    pub(super) fn push(&mut self, word: u32) -> Result<(), Error> {
        *self.code.get_mut(self.length).ok_or(internal!())? = word;
        self.length += 1;
        Ok(())
    }

    pub(super) fn push_all<const N: usize>(&mut self, words: [u32; N]) -> Result<(), Error> {
        let room = self.code.get_mut(self.length..);
        *room
            .and_then(|room| room.first_chunk_mut())
            .ok_or(internal!())? = words;
        self.length += N;
        Ok(())
    }

    pub(super) fn push_each(&mut self, words: &[u32]) -> Result<(), Error> {
        words.iter().try_for_each(|&word| self.push(word))
    }

    pub(super) fn patch(&mut self, at: usize, word: u32) -> Result<(), Error> {
        *self.code.get_mut(at).ok_or(internal!())? = word;
        Ok(())
    }

    /// Writes the word offset of a block that begins at or before the one being written, or a link of the chain that
    /// [`Decoder::begin_block`] follows.
    pub(super) fn push_target(&mut self, block: u32, written: u32) -> Result<(), Error> {
        let here = self.length as u32;
        let slot = self.blocks.get_mut(block as usize).ok_or(internal!())?;
        let word = *slot;
        if block > written {
            *slot = here;
        }
        self.push(word)
    }

    fn begin_block(&mut self, block: u32) -> Result<(), Error> {
        let here = self.length as u32;
        let slot = self.blocks.get_mut(block as usize).ok_or(internal!())?;
        let mut waiting = core::mem::replace(slot, here);
        while waiting != NONE {
            let word = self.code.get_mut(waiting as usize).ok_or(internal!())?;
            waiting = core::mem::replace(word, here);
        }
        Ok(())
    }

    fn write_function(&mut self, function: &Function) -> Result<(), Error> {
        let all = span_of(function);
        let span = all.start as usize..all.end as usize;
        self.blocks.get_mut(span).ok_or(internal!())?.fill(NONE);
        let mut at_entry = self.frame.at_entry;
        for block in self.blocks_of(function) {
            if at_entry == 0 {
                break;
            }
            for value in self.ops_of(block) {
                if self.has(value, fact::AT_ENTRY) {
                    at_entry -= 1;
                    let op = self.op(value)?;
                    let to = self.place(value)?;
                    self.push_constant(to, uses::constant(&op).ok_or(internal!())?)?;
                }
            }
        }
        for block in self.blocks_of(function) {
            self.begin_block(block)?;
            self.frame.taken = 0;
            self.frame.free = 0;
            let next = if block + 1 < all.end { block + 1 } else { NONE };
            for value in self.ops_of(block) {
                let position = Position { value, block, next };
                self.write_op(position)?;
            }
        }
        Ok(())
    }

    /// Gives back the registers of the pool that are used here for the last time.
    fn release(&mut self, op: &Op, at: u32) {
        let program = self.program;
        uses::for_each_use(program, op, |used, _| {
            if self.has(used, fact::POOLED) && self.last.get(used as usize) == Some(&at) {
                let place = self.places.get(used as usize).copied().unwrap_or(NONE);
                if let Some(entry) = self.pool.get_mut(self.frame.free) {
                    *entry = place;
                    self.frame.free += 1;
                }
                if let Some(facts) = self.facts.get_mut(used as usize) {
                    *facts &= !fact::POOLED;
                }
            }
        });
    }

    /// Gives a register to a value that is about to be made.
    fn define(&mut self, value: u32) -> Result<u32, Error> {
        let facts = self.fact(value);
        if facts & fact::OWN != 0 {
            return self.place(value);
        }
        let hint = self.places.get(value as usize).copied().unwrap_or(NONE);
        let place = if facts & fact::COUNT == 0 {
            self.frame.scratch()
        } else if hint != NONE
            && (facts & fact::SHARES_IF_LOCAL == 0 || !self.has(hint, fact::ESCAPES))
        {
            self.place(hint)?
        } else {
            self.note(value, fact::POOLED);
            self.take_pooled()
        };
        self.set_place(value, place)?;
        Ok(place)
    }

    fn take_pooled(&mut self) -> u32 {
        let base = self.frame.scratch() + 1;
        if let Some(free) = self.frame.free.checked_sub(1)
            && let Some(&place) = self.pool.get(free)
        {
            self.frame.free = free;
            return place;
        }
        let place = base + self.frame.taken;
        self.frame.taken += 1;
        self.frame.pooled = self.frame.pooled.max(self.frame.taken);
        place
    }

    pub(super) fn push_constant(&mut self, to: u32, bits: u64) -> Result<(), Error> {
        let head = u32::from(code::CONSTANT);
        self.push_all([head, to, bits as u32, (bits >> 32) as u32])
    }

    fn write_op(&mut self, position: Position) -> Result<(), Error> {
        let op = self.op(position.value)?;
        let info = op.code.info();
        let value = position.value;
        if self.has(value, fact::SWALLOWED) {
            return Ok(());
        }
        let program = self.program;
        let exit = program.exit_of(&op).unwrap_or(NONE);
        if exit != NONE && exit as usize >= program.exits.len() {
            return Err(internal!());
        }
        let head = u32::from(op.code as u16);
        match info.shape {
            Shape::Parameter | Shape::Result => {}
            Shape::Constant | Shape::FunctionIndex => {
                let facts = self.fact(value);
                if facts & fact::IN_REGISTER != 0 && facts & fact::AT_ENTRY == 0 {
                    let to = self.define(value)?;
                    self.push_constant(to, uses::constant(&op).ok_or(internal!())?)?;
                }
            }
            Shape::Unary | Shape::Binary => {
                let immediate = self.immediate(&op);
                let (head, operands) = match immediate {
                    Some(form) => (
                        u32::from(code::IMMEDIATE + form.code as u16),
                        [self.place(form.register)?, form.word],
                    ),
                    None if info.shape == Shape::Unary => (head, [self.place(op.a)?, 0]),
                    None => (head, [self.place(op.a)?, self.place(op.b)?]),
                };
                self.release(&op, value);
                let to = self.define(value)?;
                match info.shape {
                    Shape::Unary => self.push_all([head, to, operands[0]])?,
                    _ => self.push_all([head, to, operands[0], operands[1]])?,
                }
                if info.has(flags::LEAVES) {
                    self.push(exit)?;
                }
            }
            Shape::Tag => {
                let tag = program.tags.get(op.aux as usize).ok_or(internal!())?;
                let from = self.place(op.a)?;
                self.release(&op, value);
                let to = self.define(value)?;
                let head = u32::from(code::TAGGED) | u32::from(tag.shift) << 16;
                self.push_all([head, to, from, u32::from(op.code as u16)])?;
                for half in [tag.mask, tag.bits] {
                    self.push_all([half as u32, (half >> 32) as u32])?;
                }
            }
            Shape::Select => {
                let operands = [self.place(op.a)?, self.place(op.b)?, self.place(op.c)?];
                self.release(&op, value);
                let to = self.define(value)?;
                self.push_all([u32::from(code::SELECT), to])?;
                self.push_all(operands)?;
            }
            Shape::Load | Shape::Store | Shape::Update | Shape::CompareExchange => {
                self.write_access(&op, value, exit)?;
            }
            Shape::Fence => self.push(u32::from(code::FENCE))?,
            Shape::RegionSize => {
                let region = program.regions.get(op.region()).ok_or(internal!())?;
                let to = self.define(value)?;
                if region.grows() {
                    self.push_all([u32::from(code::REGION_SIZE), to, u32::from(op.aux)])?;
                } else {
                    let (low, high) = (region.size as u32, (region.size >> 32) as u32);
                    self.push_all([u32::from(code::CONSTANT), to, low, high])?;
                }
            }
            Shape::SlotGet => {
                if op.c >= program.slot_count {
                    return Err(internal!());
                }
                let narrow = info.result.map_or(64, Type::bits) == 32;
                let head = if narrow {
                    code::SLOT_GET_LOW
                } else {
                    code::SLOT_GET
                };
                let to = self.define(value)?;
                self.push_all([u32::from(head), to, op.c])?;
            }
            Shape::SlotSet => {
                if op.c >= program.slot_count {
                    return Err(internal!());
                }
                let from = self.place(op.a)?;
                self.release(&op, value);
                self.push_all([u32::from(code::SLOT_SET), from, op.c])?;
            }
            Shape::Guard => {
                let condition = self.condition(&op)?;
                if let Some(compare) = self.swallowed(&op)? {
                    self.release(&compare, value);
                }
                self.release(&op, value);
                let condition = if op.code == Opcode::GuardNot {
                    condition.inverse().ok_or(internal!())?
                } else {
                    condition
                };
                self.push_condition(condition, 0)?;
                let behind = self.length as u32 + 3;
                self.push_all([behind, u32::from(code::EXIT), exit])?;
            }
            Shape::Poll => {
                self.release(&op, value);
                self.push_all([u32::from(code::POLL), exit])?;
            }
            Shape::Call | Shape::CallCell | Shape::CallIndirect => {
                self.write_call(&op, value, exit)?;
            }
            Shape::CallHost => self.write_host_call(&op, value, exit)?,
            Shape::Jump => self.write_jump(&op, position)?,
            Shape::Branch => self.write_branch(&op, position, position.block, 0)?,
            Shape::Switch => self.write_switch(&op, position)?,
            Shape::Return => {
                let values = program.list(op.b);
                let head = match values.len() {
                    1 => u32::from(code::RETURN_ONE),
                    count => u32::from(code::RETURN) | (count as u32) << 16,
                };
                self.push(head)?;
                self.push_places(values)?;
            }
            Shape::Exit => self.push_all([u32::from(code::EXIT), exit])?,
            Shape::ReturnCall => {
                let arguments = program.list(op.b);
                self.check_callee(op.a, arguments)?;
                let head = u32::from(code::RETURN_CALL);
                self.push_all([head, op.a, arguments.len() as u32, self.frame.own])?;
                self.push_places(arguments)?;
            }
        }
        Ok(())
    }

    fn push_places(&mut self, values: &[u32]) -> Result<(), Error> {
        for &value in values {
            let place = self.place(value)?;
            self.push(place)?;
        }
        Ok(())
    }

    /// A call passes what its callee takes: the interpreter copies without looking again.
    fn check_callee(&self, function: u32, arguments: &[u32]) -> Result<u32, Error> {
        let function = self.program.functions.get(function as usize);
        let signature = function.ok_or(internal!())?.signature;
        self.check_arguments(signature, arguments)?;
        Ok(signature)
    }

    fn check_arguments(&self, signature: u32, arguments: &[u32]) -> Result<(), Error> {
        if arguments.len() == self.program.parameters(signature).len() {
            Ok(())
        } else {
            Err(internal!())
        }
    }

    fn write_access(&mut self, op: &Op, value: u32, exit: u32) -> Result<(), Error> {
        let program = self.program;
        let info = op.code.info();
        let index = self.place(op.a)?;
        let stored = match info.shape {
            Shape::Load => 0,
            _ => self.place(op.b)?,
        };
        let replacement = match info.shape {
            Shape::CompareExchange => self.place(uses::extra(program, op.c, 2))?,
            _ => 0,
        };
        self.release(op, value);
        let to = match info.result {
            Some(_) => self.define(value)?,
            None if info.has(flags::ATOMIC) => self.frame.scratch(),
            None => stored,
        };
        if info.has(flags::RAW) {
            return self.push_all([u32::from(op.code as u16), to, index, op.c]);
        }
        let region = program.regions.get(op.region()).ok_or(internal!())?;
        let offset = uses::extra(program, op.c, 0);
        let end = u64::from(offset) + u64::from(info.width);
        let count = match region.size.checked_sub(end) {
            Some(room) => (room >> op.scale()) + 1,
            None if region.grows() => 0,
            None => return self.push_all([u32::from(code::EXIT), exit]),
        };
        let number = if info.has(flags::ATOMIC) {
            code::ATOMIC
        } else {
            op.code as u16
        };
        let head = u32::from(number) | u32::from(op.aux) << 16;
        self.push_all([head, to, index, offset, exit])?;
        self.push_all([count as u32, (count >> 32) as u32])?;
        if info.has(flags::ATOMIC) {
            self.push_all([u32::from(op.code as u16), stored, replacement])?;
        }
        Ok(())
    }

    /// Registers for the results of a call: its own value's, and those of the `Result` ops behind it.
    fn push_results(&mut self, value: u32, signature: u32) -> Result<(), Error> {
        for result in 0..self.program.results(signature).len() as u32 {
            let place = self.define(value + result)?;
            self.push(place)?;
        }
        Ok(())
    }

    fn write_call(&mut self, op: &Op, value: u32, exit: u32) -> Result<(), Error> {
        let program = self.program;
        let (arguments, signature, callee, number) = if op.code == Opcode::CallIndirect {
            let arguments = program.list(op.b.saturating_add(1));
            let signature = uses::extra(program, op.b, 0);
            self.check_arguments(signature, arguments)?;
            (arguments, signature, self.place(op.a)?, code::CALL_INDIRECT)
        } else {
            let arguments = program.list(op.b);
            let signature = self.check_callee(op.a, arguments)?;
            (arguments, signature, op.a, code::CALL)
        };
        let count = arguments.len() as u32;
        self.push_all([u32::from(number), callee, exit, count, signature])?;
        self.push_places(arguments)?;
        self.release(op, value);
        self.push_results(value, signature)
    }

    fn write_host_call(&mut self, op: &Op, value: u32, exit: u32) -> Result<(), Error> {
        let program = self.program;
        let arguments = program.list(op.b);
        let host = program.hosts.get(op.a as usize).ok_or(internal!())?;
        self.check_arguments(host.signature, arguments)?;
        let results = program.results(host.signature).len() as u32;
        let head = u32::from(code::CALL_HOST);
        self.push_all([head, op.a, exit, arguments.len() as u32, results])?;
        self.push(self.frame.own)?;
        self.push_places(arguments)?;
        self.release(op, value);
        self.push_results(value, host.signature)
    }

    pub(super) fn condition(&self, op: &Op) -> Result<Condition, Error> {
        let Some(compare) = self.swallowed(op)? else {
            let value = self.place(op.a)?;
            return Ok(Condition::If(value));
        };
        if let Some(form) = self.immediate(&compare) {
            return Ok(Condition::Compare {
                code: form.code,
                first: self.place(form.register)?,
                second: form.word,
                immediate: true,
            });
        }
        let first = self.place(compare.a)?;
        Ok(Condition::Compare {
            code: compare.code,
            first,
            second: if compare.code.info().operand_count == 2 {
                self.place(compare.b)?
            } else {
                first
            },
            immediate: false,
        })
    }

    /// Writes a branch up to its target.
    pub(super) fn push_condition(
        &mut self,
        condition: Condition,
        charge: u32,
    ) -> Result<(), Error> {
        let charge = charge << 16;
        match condition {
            Condition::Compare {
                code,
                first,
                second,
                immediate,
            } => {
                let form = if immediate {
                    code::FUSED_IMMEDIATE
                } else {
                    code::FUSED
                };
                let head = u32::from(form + code as u16) | charge;
                self.push_all([head, first, second])
            }
            Condition::If(value) => self.push_all([u32::from(code::BRANCH_IF) | charge, value]),
            Condition::IfNot(value) => {
                self.push_all([u32::from(code::BRANCH_IF_NOT) | charge, value])
            }
        }
    }
}
