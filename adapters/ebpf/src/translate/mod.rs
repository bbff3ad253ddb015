//! From a checked program to micro-ops.
//!
//! Takes a checked program, its machine, a workspace, and storage for the result; promises a contained program that does what the
//! RFC says, function 0 being the whole with r1 to r5 as its arguments and r0 as its result. One walk over the instructions of each
//! function, behind the passes of [`crate::flow`].
//!
//! Registers are values of 64 bits. Within a block what is known of one is kept in the form in which it was made (the lower
//! half, a constant, a place in a region), and made a value of 64 bits when something wants that.

mod access;
mod arithmetic;

use patchjit::build::{
    BlockId, Builder, Counts, ExitId, FunctionId, HostId, RegionId, Storage, Value,
};
use patchjit::ir::{ExitKind, Program};
use patchjit::ops::Opcode;
use patchjit::types::Type;

use crate::check::{Checked, Mark};
use crate::error::{Error, Problem};
use crate::flow::{self, Block, Definition, Flow, Kinds, NAMED, NONE};
use crate::instruction::{Class, FRAME_POINTER, Instruction, REGISTER_COUNT, call, jump};
use crate::machine::{FRAME_BYTES, Machine, address_of};

/// How much storage always suffices for the translation of a program.
pub fn counts(checked: &Checked, machine: &Machine) -> Counts {
    let instructions = checked.code.len() as usize;
    let (accesses, regions) = (checked.access_count, machine.regions.len());
    // The program itself is translated once more if it is called.
    let functions = checked.function_count + 1;
    let times = if checked.function_count > 0 { 2 } else { 1 };
    let blocks = times * checked.block_count + functions;
    Counts {
        functions,
        // An access of unknown address tries each region in a block of its own, and goes on in another; one of a packet may leave.
        blocks: blocks + times * accesses * (2 * regions).max(2),
        // A division is the longest instruction. A block has a parameter for each register, and values to pass.
        ops: times * (instructions * 20 + accesses * (8 * regions + 12)) + blocks * 32,
        extra: times * (instructions * 8 + accesses * (9 * regions + 8)) + blocks * 32,
        exits: times * instructions,
        signatures: 2,
        types: 16,
        regions,
        hosts: machine.helpers.len(),
        tags: 0,
    }
}

/// Translates a program.
///
/// A trap's number is the index of the instruction that trapped: an access outside of memory, one that writes where it must not,
/// an atomic one at an address that is not a multiple of its width, or a helper that gave a status. Source positions are the
/// indices of instructions.
///
/// # Errors
///
/// `Workspace` if there are fewer marks or blocks than the program needs; `Build` if the storage is too small: [`counts`] says what
/// suffices.
pub fn translate<'b>(
    checked: &Checked,
    machine: &Machine,
    marks: &mut [Mark],
    blocks: &mut [Block],
    storage: Storage<'b>,
) -> Result<Program<'b>, Error> {
    let needed = (checked.code.len() as usize, checked.block_count);
    if marks.len() < needed.0 || blocks.len() < needed.1 {
        return Err(Error {
            at: None,
            problem: Problem::Workspace {
                marks: needed.0,
                blocks: needed.1,
            },
        });
    }
    let mut builder = Builder::new(storage);
    for region in machine.regions {
        builder.region(region.size)?;
    }
    let helper = builder.signature(&[Type::I64; 5], &[Type::I64])?;
    for _ in machine.helpers {
        builder.host(helper)?;
    }
    let local = builder.signature(&[Type::I64; 6], &[Type::I64])?;
    let entry = builder.declare(helper)?;
    for _ in 0..checked.function_count {
        builder.declare(local)?;
    }
    let flow = flow::cut(checked.code, machine, marks, blocks);
    let mut translator = Translator {
        flow,
        marks,
        builder,
        registers: [Register::EMPTY; REGISTER_COUNT as usize],
        kinds: Kinds::default(),
        zero: Value(0),
        at: 0,
        exit: None,
    };
    translator.function(entry, 0, true)?;
    for block in 0..translator.flow.blocks.len() as u32 {
        match translator.flow.blocks[block as usize].function {
            NONE => {}
            function => translator.function(FunctionId(function), block, false)?,
        }
    }
    Ok(translator.builder.finish()?)
}

/// What is known of a register's value. Whatever is there agrees.
#[derive(Clone, Copy, Debug)]
struct Register {
    /// The value.
    full: Option<Value>,
    /// Its lower half; where there is nothing else, the upper half is zero.
    low: Option<Value>,
    /// It is this number.
    constant: Option<i64>,
    /// It is a place in a region.
    anchor: Option<Anchor>,
    /// It is a pointer as the host gave it: to a place in its region, if anywhere.
    is_origin: bool,
    /// The instruction of this block that wrote it.
    written_at: u32,
}

/// A place in a region: an index that is in the region or far behind its end, and so many bytes on.
#[derive(Clone, Copy, Debug)]
struct Anchor {
    region: u8,
    index: Value,
    offset: i32,
}

impl Register {
    const EMPTY: Register = Register {
        full: None,
        low: None,
        constant: None,
        anchor: None,
        is_origin: false,
        written_at: NONE,
    };

    fn full(value: Value) -> Register {
        Register {
            full: Some(value),
            ..Register::EMPTY
        }
    }

    fn low(value: Value) -> Register {
        Register {
            low: Some(value),
            ..Register::EMPTY
        }
    }

    fn constant(value: i64) -> Register {
        Register {
            constant: Some(value),
            ..Register::EMPTY
        }
    }
}

struct Translator<'t, 'c, 'b> {
    flow: Flow<'t, 'c>,
    marks: &'t mut [Mark],
    builder: Builder<'b>,
    registers: [Register; REGISTER_COUNT as usize],
    kinds: Kinds,
    /// The constant 0, made where the function begins.
    zero: Value,
    /// The instruction at hand, and its trap if one was made.
    at: u32,
    exit: Option<ExitId>,
}

impl<'t> Translator<'t, '_, '_> {
    fn machine(&self) -> &'t Machine<'t> {
        self.flow.machine
    }

    fn function(&mut self, id: FunctionId, first: u32, is_entry: bool) -> Result<(), Error> {
        let mut block = self.flow.analyse(first, is_entry);
        let entry = self.builder.begin(id)?;
        self.zero = self.builder.constant_i64(0)?;
        // The frame pointer of a function that is called comes as the index at which its frame begins.
        let stack = self.machine().stack;
        let size = self.machine().regions[usize::from(stack)].size;
        let (index, offset) = match is_entry {
            true => (self.zero, size as i32),
            false => (self.builder.argument(5), FRAME_BYTES as i32),
        };
        let frame = Register {
            constant: is_entry.then_some((address_of(stack) + size) as i64),
            anchor: Some(Anchor {
                region: stack,
                index,
                offset,
            }),
            ..Register::EMPTY
        };
        let mut at = block;
        while at != NONE {
            let is_first = at == first && self.flow.blocks[at as usize].predecessors == 1;
            let built = match is_first {
                true => entry,
                false => self.builder.create_block()?,
            };
            self.flow.blocks[at as usize].built = built.0;
            at = self.flow.next_in_order(at);
        }
        if self.flow.blocks[first as usize].predecessors != 1 {
            self.registers = [Register::constant(0); REGISTER_COUNT as usize];
            for number in 0..5 {
                let argument = self.builder.argument(number);
                self.registers[number as usize + 1] = Register::full(argument);
            }
            let (target, values, count) = self.edge(first)?;
            self.builder.jump(target, &values[..count])?;
        }
        while block != NONE {
            self.block(block, entry, frame)?;
            block = self.flow.next_in_order(block);
        }
        Ok(self.builder.end()?)
    }

    fn block(&mut self, block: u32, entry: BlockId, frame: Register) -> Result<(), Error> {
        let built = BlockId(self.flow.blocks[block as usize].built);
        let parameters = self.flow.parameters(block);
        if built != entry {
            self.builder.switch_to(built)?;
        }
        let mut first_parameter = None;
        for _ in 0..parameters.count_ones() {
            let parameter = self.builder.parameter(Type::I64)?;
            first_parameter.get_or_insert(parameter);
        }
        self.flow.blocks[block as usize].first_parameter = first_parameter.map_or(NONE, |v| v.0);
        for register in 0..NAMED {
            self.registers[register] = self.register_at_begin(block, register);
        }
        self.registers[usize::from(FRAME_POINTER)] = frame;
        self.kinds = self.flow.blocks[block as usize].kinds;
        let machine = self.machine();
        let mut last = None;
        for (at, instruction) in self.flow.instructions(block) {
            (self.at, self.exit) = (at, None);
            self.builder.set_position(at);
            self.instruction(instruction)?;
            self.kinds.pass(instruction, machine);
            last = Some(instruction);
        }
        self.end_block(block, last)
    }

    /// What is known of a register where a block begins.
    fn register_at_begin(&self, block: u32, register: usize) -> Register {
        let record = &self.flow.blocks[block as usize];
        if record.live >> register & 1 == 0 {
            return Register::EMPTY;
        }
        match record.sites[register].definition() {
            Definition::Zero => Register::constant(0),
            Definition::Argument(number) => Register {
                is_origin: true,
                ..Register::full(self.builder.argument(number))
            },
            Definition::Instruction(at) => {
                let mark = self.marks[at as usize];
                Register {
                    is_origin: mark.gives_origin(),
                    ..Register::full(Value(mark.value))
                }
            }
            Definition::Parameter(at) => {
                let before = self.flow.parameters(at) & ((1 << register) - 1);
                let first = self.flow.blocks[at as usize].first_parameter;
                Register::full(Value(first + before.count_ones()))
            }
        }
    }

    /// What the last instruction does when all others are done, and values for other blocks.
    fn end_block(&mut self, block: u32, last: Option<Instruction>) -> Result<(), Error> {
        let live = self.flow.live_out(block);
        for register in 0..FRAME_POINTER {
            let written_at = self.registers[usize::from(register)].written_at;
            if live >> register & 1 != 0 && written_at != NONE {
                let value = self.full(register)?;
                let is_origin = self.registers[usize::from(register)].is_origin;
                self.marks[written_at as usize].set_value(value.0, is_origin);
            }
        }
        let [target, next] = self.flow.blocks[block as usize].successors;
        let jumps = |last: &Instruction| {
            matches!(last.class(), Class::Jump | Class::Jump32) && last.code() != jump::CALL
        };
        match last.filter(jumps) {
            Some(last) if last.code() == jump::EXIT => {
                let result = self.full(0)?;
                self.builder.return_values(&[result])?;
            }
            Some(last) if last.code() != jump::ALWAYS => {
                let condition = self.condition(last)?;
                let (then, then_values, then_count) = self.edge(target)?;
                let (other, other_values, other_count) = self.edge(next)?;
                self.builder.branch(
                    condition,
                    (then, &then_values[..then_count]),
                    (other, &other_values[..other_count]),
                )?;
            }
            Some(_) => self.jump(target)?,
            None => self.jump(next)?,
        }
        Ok(())
    }

    fn jump(&mut self, block: u32) -> Result<(), Error> {
        let (target, values, count) = self.edge(block)?;
        Ok(self.builder.jump(target, &values[..count])?)
    }

    /// A block and what its parameters get from here.
    fn edge(&mut self, block: u32) -> Result<(BlockId, [Value; NAMED], usize), Error> {
        let parameters = self.flow.parameters(block);
        let (mut values, mut count) = ([Value(0); NAMED], 0);
        for register in 0..FRAME_POINTER {
            if parameters >> register & 1 != 0 {
                values[count] = self.full(register)?;
                count += 1;
            }
        }
        let built = self.flow.blocks[block as usize].built;
        Ok((BlockId(built), values, count))
    }

    /// A register's value.
    fn full(&mut self, register: u8) -> Result<Value, Error> {
        let known = self.registers[usize::from(register)];
        if let Some(value) = known.full {
            return Ok(value);
        }
        let value = if known.constant == Some(0) {
            self.zero
        } else if let Some(constant) = known.constant {
            self.builder.constant_i64(constant)?
        } else if let Some(low) = known.low {
            self.builder.unary(Opcode::I64ExtendI32U, low)?
        } else if let Some(anchor) = known.anchor {
            let distance = address_of(anchor.region) as i64 + i64::from(anchor.offset);
            self.add_constant(anchor.index, distance)?
        } else {
            self.zero
        };
        self.registers[usize::from(register)].full = Some(value);
        Ok(value)
    }

    /// The lower half of a register's value.
    fn low(&mut self, register: u8) -> Result<Value, Error> {
        let known = self.registers[usize::from(register)];
        if let Some(value) = known.low {
            return Ok(value);
        }
        let value = if let Some(constant) = known.constant {
            self.builder.constant_i32(constant as i32)?
        } else {
            let full = self.full(register)?;
            self.builder.unary(Opcode::I32WrapI64, full)?
        };
        self.registers[usize::from(register)].low = Some(value);
        Ok(value)
    }

    /// Notes what an instruction gives a register.
    fn set(&mut self, register: u8, known: Register) {
        self.registers[usize::from(register)] = Register {
            written_at: self.at,
            ..known
        };
    }

    fn add_constant(&mut self, value: Value, constant: i64) -> Result<Value, Error> {
        if constant == 0 {
            return Ok(value);
        }
        let constant = self.builder.constant_i64(constant)?;
        Ok(self.builder.binary(Opcode::I64Add, value, constant)?)
    }

    /// The exit through which the instruction at hand traps.
    fn trap(&mut self) -> Result<ExitId, Error> {
        if let Some(exit) = self.exit {
            return Ok(exit);
        }
        let exit = self.builder.exit(ExitKind::Trap, self.at, &[])?;
        self.exit = Some(exit);
        Ok(exit)
    }

    fn instruction(&mut self, instruction: Instruction) -> Result<(), Error> {
        match instruction.class() {
            Class::Load if instruction.is_wide() => {
                let constant = self.flow.code.wide_constant(self.at);
                let known = match instruction.region() {
                    Some(region) => self.place_in(region, (constant >> 32) as u32),
                    None => Register::constant(constant),
                };
                self.set(instruction.destination, known);
                Ok(())
            }
            Class::Load => self.load_packet(instruction),
            Class::LoadRegister => self.load(instruction),
            Class::StoreImmediate | Class::Store => self.store(instruction),
            Class::Arithmetic32 => self.arithmetic_32(instruction),
            Class::Arithmetic64 => self.arithmetic_64(instruction),
            Class::Jump if instruction.code() == jump::CALL => self.call(instruction),
            // At the block's end.
            Class::Jump | Class::Jump32 => Ok(()),
        }
    }

    /// A place in a region that is known.
    fn place_in(&self, region: u8, offset: u32) -> Register {
        let anchor = i32::try_from(offset).ok().map(|offset| Anchor {
            region,
            index: self.zero,
            offset,
        });
        Register {
            anchor,
            ..Register::constant((address_of(region) + u64::from(offset)) as i64)
        }
    }

    fn call(&mut self, instruction: Instruction) -> Result<(), Error> {
        let mut arguments = [self.zero; 6];
        let helper = self.machine().helper(instruction.immediate);
        let results = if instruction.source == call::LOCAL {
            for (argument, register) in arguments.iter_mut().zip(1..=5) {
                *argument = self.full(register)?;
            }
            let target = i64::from(self.at) + 1 + i64::from(instruction.immediate);
            let mark = self.marks[target as usize];
            let callee = self.flow.blocks[mark.block as usize].function;
            // The callee's frame ends where this one begins.
            let frame = self.registers[usize::from(FRAME_POINTER)].anchor;
            if let Some(Anchor { index, offset, .. }) = frame {
                let distance = i64::from(offset) - 2 * FRAME_BYTES as i64;
                arguments[5] = self.add_constant(index, distance)?;
            }
            self.builder.call(FunctionId(callee), &arguments, None)?
        } else {
            let (index, helper) = helper.map_or((0, 0), |(index, it)| (index, it.arguments));
            for (argument, register) in arguments.iter_mut().zip(1..=helper.min(5)) {
                *argument = self.full(register)?;
            }
            let trap = self.trap()?;
            self.builder
                .call_host(HostId(index), &arguments[..5], Some(trap))?
        };
        let result = results.get(0).unwrap_or(self.zero);
        self.lose_arguments();
        let is_origin = instruction.source != call::LOCAL;
        self.set(
            0,
            Register {
                is_origin,
                ..Register::full(result)
            },
        );
        Ok(())
    }

    /// After calls, r1 to r5 hold nothing.
    fn lose_arguments(&mut self) {
        for register in 1..=5 {
            self.registers[register] = Register::constant(0);
        }
    }
}

/// A region of the program that is built.
fn region_id(region: u8) -> RegionId {
    RegionId(u16::from(region))
}
