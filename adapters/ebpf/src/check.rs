//! Whether a program is well formed: every instruction is one that the RFC defines and the host offers, and every jump leads to an
//! instruction of its function.
//!
//! Takes the code and one mark for each instruction; promises marks that say where blocks and functions begin, or the
//! first fault. What accesses may reach is not asked here: each is checked when it runs, where it is not proved. Three passes over
//! the code.
//!
//! A function is what stands between two targets of local calls, as the kernel has it; no jump leaves it.

use crate::error::{Error, Problem};
use crate::instruction::{
    Class, Code, FRAME_POINTER, Instruction, REGISTER_COUNT, arithmetic, atomic, call, jump, mode,
};
use crate::machine::{FRAME_BYTES, Kind, MAX_REGION_BYTES, MAX_REGIONS, Machine};

/// The most instructions of a program, as in the kernel.
pub const MAX_INSTRUCTIONS: u32 = 1_000_000;

/// A block begins here.
const BLOCK: u32 = 1;
/// A function begins here.
const FUNCTION: u32 = 2;
/// The second half of a constant.
const SECOND_HALF: u32 = 4;
/// The value that the instruction gives is a pointer as the host gave it.
const ORIGIN: u32 = 8;

/// What is known of one instruction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    flags: u32,
    /// The block that begins here.
    pub(crate) block: u32,
    /// The value that the instruction here gives.
    pub(crate) value: u32,
}

impl Mark {
    pub(crate) fn begins_block(self) -> bool {
        self.flags & BLOCK != 0
    }

    pub(crate) fn begins_function(self) -> bool {
        self.flags & FUNCTION != 0
    }

    /// Whether what the instruction gives is a pointer as the host gave it, so that it leads to where a region is, if anywhere.
    pub(crate) fn gives_origin(self) -> bool {
        self.flags & ORIGIN != 0
    }

    pub(crate) fn set_value(&mut self, value: u32, is_origin: bool) {
        self.value = value;
        self.flags = self.flags & !ORIGIN | if is_origin { ORIGIN } else { 0 };
    }
}

/// A well-formed program.
#[derive(Clone, Copy, Debug)]
pub struct Checked<'a> {
    pub(crate) code: Code<'a>,
    pub(crate) block_count: usize,
    pub(crate) function_count: usize,
    pub(crate) access_count: usize,
}

impl Checked<'_> {
    /// How many blocks the workspace must have.
    pub fn block_count(&self) -> usize {
        self.block_count
    }

    /// How many functions the program calls that are its own.
    pub fn function_count(&self) -> usize {
        self.function_count
    }

    /// How many instructions access memory.
    pub fn access_count(&self) -> usize {
        self.access_count
    }
}

/// Checks a program, and marks its blocks and functions.
///
/// # Errors
///
/// The first fault of the program, or of the machine.
pub fn check<'a>(
    bytes: &'a [u8],
    machine: &Machine,
    marks: &mut [Mark],
) -> Result<Checked<'a>, Error> {
    check_machine(machine)?;
    let (code, is_whole) = Code::new(bytes);
    let whole = |problem| Err(Error { at: None, problem });
    if !is_whole || code.is_empty() {
        return whole(Problem::Length);
    }
    if code.len() > MAX_INSTRUCTIONS {
        return whole(Problem::TooLong);
    }
    let needed = code.len() as usize;
    let Some(marks) = marks.get_mut(..needed) else {
        return whole(Problem::Workspace {
            marks: needed,
            blocks: 0,
        });
    };
    marks.fill(Mark::default());
    marks[0].flags = BLOCK;
    let mut checker = Checker {
        code,
        machine,
        marks,
        at: 0,
    };
    let access_count = checker.check_instructions()?;
    checker.check_functions()?;
    let mut checked = Checked {
        code,
        block_count: 0,
        function_count: 0,
        access_count,
    };
    for mark in checker.marks.iter() {
        checked.block_count += usize::from(mark.begins_block());
        checked.function_count += usize::from(mark.begins_function());
    }
    Ok(checked)
}

fn check_machine(machine: &Machine) -> Result<(), Error> {
    let is_region = |region: u8| usize::from(region) < machine.regions.len();
    let is_known = |kind: Kind| match kind {
        Kind::Unknown => true,
        Kind::Pointer(region) => is_region(region),
    };
    let stack = machine.regions.get(usize::from(machine.stack));
    let mut regions = machine.regions.iter();
    let sound = machine.regions.len() <= MAX_REGIONS
        && regions.all(|region| region.size <= MAX_REGION_BYTES)
        && stack.is_some_and(|stack| stack.writable && stack.size >= FRAME_BYTES)
        && machine.packet.is_none_or(is_region)
        && machine.arguments.into_iter().all(is_known)
        && machine.helpers.iter().all(|helper| is_known(helper.result))
        && machine
            .fields
            .iter()
            .all(|field| is_region(field.region) && is_region(field.to));
    if sound {
        return Ok(());
    }
    Err(Error {
        at: None,
        problem: Problem::Machine,
    })
}

struct Checker<'c, 'm> {
    code: Code<'c>,
    machine: &'m Machine<'m>,
    marks: &'m mut [Mark],
    at: u32,
}

impl Checker<'_, '_> {
    fn fault<T>(&self, problem: Problem) -> Result<T, Error> {
        Err(Error {
            at: Some(self.at),
            problem,
        })
    }

    fn require(&self, holds: bool, problem: Problem) -> Result<(), Error> {
        if holds { Ok(()) } else { self.fault(problem) }
    }

    fn mark(&mut self, at: u32, flags: u32) {
        if let Some(mark) = self.marks.get_mut(at as usize) {
            mark.flags |= flags;
        }
    }

    /// Each instruction by itself; marks halves of constants, and what calls lead to. Gives how many access memory.
    fn check_instructions(&mut self) -> Result<usize, Error> {
        let mut accesses = 0;
        while let Some(instruction) = self.code.get(self.at) {
            let reads =
                |register: u8| self.require(register < REGISTER_COUNT, Problem::Register(register));
            reads(instruction.destination)?;
            match instruction.class() {
                Class::Load | Class::LoadRegister | Class::Store | Class::StoreImmediate => {
                    self.check_access(instruction)?;
                    accesses += usize::from(!instruction.is_wide());
                }
                Class::Arithmetic32 | Class::Arithmetic64 => self.check_arithmetic(instruction)?,
                Class::Jump | Class::Jump32 => self.check_jump(instruction)?,
            }
            let destination = instruction.destination;
            let written = match instruction.class() {
                Class::Store if instruction.mode() == mode::ATOMIC => {
                    instruction.source == FRAME_POINTER
                        && instruction.immediate & atomic::FETCH != 0
                        && instruction.immediate != atomic::COMPARE_EXCHANGE
                }
                Class::Load | Class::LoadRegister | Class::Arithmetic32 | Class::Arithmetic64 => {
                    destination == FRAME_POINTER
                }
                _ => false,
            };
            self.require(!written, Problem::FramePointer)?;
            self.at += instruction.length();
        }
        Ok(accesses)
    }

    fn check_source(&self, instruction: Instruction) -> Result<(), Error> {
        let source = instruction.source;
        self.require(source < REGISTER_COUNT, Problem::Register(source))
    }

    fn check_access(&mut self, instruction: Instruction) -> Result<(), Error> {
        let Instruction {
            opcode,
            destination,
            source,
            offset,
            immediate,
        } = instruction;
        let no_opcode = Problem::Opcode(opcode);
        let wide = instruction.width() == 8;
        match (instruction.class(), instruction.mode()) {
            (Class::Load, mode::IMMEDIATE) if wide => {
                let next = self.code.get(self.at + 1);
                let is_half = |half: Instruction| {
                    half.opcode == 0 && half.destination | half.source == 0 && half.offset == 0
                };
                self.require(next.is_some_and(is_half), Problem::SecondHalf)?;
                self.mark(self.at + 1, SECOND_HALF);
                self.require(offset == 0, Problem::Reserved)?;
                match source {
                    // A number, and a map by its number.
                    0 | 1 => Ok(()),
                    // A place in a region.
                    2 => {
                        let known = usize::try_from(immediate)
                            .is_ok_and(|region| region < self.machine.regions.len());
                        self.require(known, Problem::Immediate(immediate))
                    }
                    3 => self.fault(Problem::Unsupported("the address of a kernel variable")),
                    4 => self.fault(Problem::Unsupported("the address of a function")),
                    5 | 6 => self.fault(Problem::Unsupported("a map by its index")),
                    _ => self.fault(Problem::Register(source)),
                }
            }
            (Class::Load, mode::PACKET | mode::PACKET_INDIRECT) if !wide => {
                self.require(self.machine.packet.is_some(), Problem::NoPacket)?;
                self.require(destination == 0 && offset == 0, Problem::Reserved)?;
                match instruction.mode() {
                    mode::PACKET => self.require(source == 0, Problem::Reserved),
                    _ => self.check_source(instruction),
                }
            }
            (Class::LoadRegister, mode::MEMORY) => {
                self.require(immediate == 0, Problem::Reserved)?;
                self.check_source(instruction)
            }
            (Class::LoadRegister, mode::MEMORY_SIGNED) if !wide => {
                self.require(immediate == 0, Problem::Reserved)?;
                self.check_source(instruction)
            }
            (Class::StoreImmediate, mode::MEMORY) => self.require(source == 0, Problem::Reserved),
            (Class::Store, mode::MEMORY) => {
                self.require(immediate == 0, Problem::Reserved)?;
                self.check_source(instruction)
            }
            (Class::Store, mode::ATOMIC) => {
                self.check_source(instruction)?;
                let known = match immediate {
                    atomic::EXCHANGE | atomic::COMPARE_EXCHANGE => true,
                    _ => matches!(
                        immediate & !atomic::FETCH,
                        atomic::ADD | atomic::OR | atomic::AND | atomic::XOR
                    ),
                };
                self.require(instruction.width() >= 4, no_opcode)?;
                match immediate {
                    0x100 => self.fault(Problem::Unsupported("a load that acquires")),
                    0x110 => self.fault(Problem::Unsupported("a store that releases")),
                    _ => self.require(known, Problem::Immediate(immediate)),
                }
            }
            _ => self.fault(no_opcode),
        }
    }

    fn check_arithmetic(&mut self, instruction: Instruction) -> Result<(), Error> {
        let Instruction {
            opcode,
            source,
            offset,
            immediate,
            ..
        } = instruction;
        let code = instruction.code();
        self.require(code <= arithmetic::BYTE_ORDER, Problem::Opcode(opcode))?;
        let is_wide = instruction.class() == Class::Arithmetic64;
        match code {
            arithmetic::NEGATE => {
                self.require(!instruction.has_source(), Problem::Opcode(opcode))?;
                let unused = source == 0 && offset == 0 && immediate == 0;
                return self.require(unused, Problem::Reserved);
            }
            arithmetic::BYTE_ORDER => {
                // With 64-bit arithmetic the bytes are swapped whatever the host's order is.
                let swaps = !is_wide || !instruction.has_source();
                self.require(swaps, Problem::Opcode(opcode))?;
                self.require(source == 0 && offset == 0, Problem::Reserved)?;
                let known = matches!(immediate, 16 | 32 | 64);
                return self.require(known, Problem::Immediate(immediate));
            }
            _ => {}
        }
        if instruction.has_source() {
            self.check_source(instruction)?;
            self.require(immediate == 0, Problem::Reserved)?;
        } else {
            self.require(source == 0, Problem::Reserved)?;
        }
        let offsets: &[i16] = match code {
            // Signed, if 1.
            arithmetic::DIV | arithmetic::MOD => &[0, 1],
            // From so many bits, with their sign.
            arithmetic::MOVE if instruction.has_source() && is_wide => &[0, 8, 16, 32],
            arithmetic::MOVE if instruction.has_source() => &[0, 8, 16],
            _ => &[0],
        };
        self.require(offsets.contains(&offset), Problem::Offset(offset))
    }

    fn check_jump(&mut self, instruction: Instruction) -> Result<(), Error> {
        let Instruction {
            opcode,
            destination,
            source,
            offset,
            immediate,
        } = instruction;
        let is_narrow = instruction.class() == Class::Jump32;
        match instruction.code() {
            jump::ALWAYS => {
                self.require(!instruction.has_source(), Problem::Opcode(opcode))?;
                let other = if is_narrow {
                    i32::from(offset)
                } else {
                    immediate
                };
                let unused = destination | source == 0 && other == 0;
                self.require(unused, Problem::Reserved)
            }
            jump::EXIT => {
                let plain = !instruction.has_source() && !is_narrow;
                self.require(plain, Problem::Opcode(opcode))?;
                let unused = destination | source == 0 && offset == 0 && immediate == 0;
                self.require(unused, Problem::Reserved)
            }
            jump::CALL => {
                self.require(!is_narrow, Problem::Opcode(opcode))?;
                if instruction.has_source() {
                    return self.fault(Problem::Unsupported("a call of a register"));
                }
                self.require(destination == 0 && offset == 0, Problem::Reserved)?;
                match source {
                    call::HELPER => {
                        let known = self.machine.helper(immediate).is_some();
                        self.require(known, Problem::Helper(immediate))
                    }
                    call::LOCAL => {
                        let target = i64::from(self.at) + 1 + i64::from(immediate);
                        let inside = (0..i64::from(self.code.len())).contains(&target);
                        self.require(inside, Problem::JumpRange(target))?;
                        self.mark(target as u32, FUNCTION | BLOCK);
                        Ok(())
                    }
                    call::TYPED_HELPER => {
                        self.fault(Problem::Unsupported("a call of a kernel function"))
                    }
                    _ => self.fault(Problem::Register(source)),
                }
            }
            code if code <= jump::LESS_EQUAL => {
                if instruction.has_source() {
                    self.require(immediate == 0, Problem::Reserved)?;
                    return self.check_source(instruction);
                }
                self.require(source == 0, Problem::Reserved)
            }
            _ if opcode == 0xe5 => self.fault(Problem::Unsupported("a jump that may be taken")),
            _ => self.fault(Problem::Opcode(opcode)),
        }
    }

    /// Jumps within each function, and its end; marks where blocks begin.
    fn check_functions(&mut self) -> Result<(), Error> {
        let length = self.code.len();
        let mut start = 0;
        while start < length {
            let begins = |mark: &Mark| mark.begins_function();
            let behind = &self.marks[start as usize + 1..];
            let end = match behind.iter().position(begins) {
                Some(distance) => start + 1 + distance as u32,
                None => length,
            };
            self.at = start;
            while self.at < end {
                self.check_flow(start, end)?;
            }
            start = end;
        }
        Ok(())
    }

    /// Where one instruction of a function leads.
    fn check_flow(&mut self, start: u32, end: u32) -> Result<(), Error> {
        let at = self.at;
        let Some(instruction) = self.code.get(at) else {
            return Ok(());
        };
        if self.marks[at as usize].flags & (SECOND_HALF | FUNCTION) == SECOND_HALF | FUNCTION {
            return self.fault(Problem::JumpIntoConstant(i64::from(at)));
        }
        let next = at + instruction.length();
        let jumps = matches!(instruction.class(), Class::Jump | Class::Jump32)
            && instruction.code() != jump::CALL;
        let goes_on = !jumps || !matches!(instruction.code(), jump::ALWAYS | jump::EXIT);
        if goes_on && next >= end {
            return self.fault(Problem::FallsOff);
        }
        if jumps && instruction.code() != jump::EXIT {
            let target = i64::from(next) + instruction.distance();
            let inside = (i64::from(start)..i64::from(end)).contains(&target);
            self.require(inside, Problem::JumpRange(target))?;
            let is_half = self.marks[target as usize].flags & SECOND_HALF != 0;
            self.require(!is_half, Problem::JumpIntoConstant(target))?;
            self.mark(target as u32, BLOCK);
        }
        if jumps {
            self.mark(next, BLOCK);
        }
        self.at = next;
        Ok(())
    }
}
