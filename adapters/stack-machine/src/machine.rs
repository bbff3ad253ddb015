//! The machine: slots, heap and a specialising interpreter.
//!
//! Takes a checked program. Promises: what the bytecode says, or a [`Fault`] that names the instruction; the same program
//! gives the same results every time. An instruction that met operands of two types turns into the special case for
//! them, which does no more than look whether they are of these types again; met with others, it turns back.
//!
//! The interpreter knows nothing of compiled code. It stops where a loop is hot or has compiled code ([`Stop`]), with its
//! state in the machine, and goes on from whatever state it finds there. [`Machine::step`] executes a single instruction,
//! for whoever records.

use crate::bytecode::{Checked, Constant, Instruction, LINKS, Opcode};
use crate::heap::Heap;
use crate::value::{Kind, Value};
use patchjit::tier::hotness::{Countdown, Schedule};
use std::fmt;

/// The slots of all frames.
const SLOTS: usize = 1 << 16;

/// Where `main` returns to.
const NOWHERE: i32 = -1;

/// Why a program cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The instruction.
    pub at: usize,
    /// What is wrong.
    pub what: &'static str,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "instruction {}: {}", self.at, self.what)
    }
}

impl std::error::Error for Fault {}

/// Where the interpreter stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The program is done.
    Done(Value),
    /// One instruction was executed.
    Stepped,
    /// At the head of a loop that is worth compiling.
    Hot(usize),
    /// At the head of a loop that has compiled code.
    Compiled(usize),
}

/// What a call needs to know of its callee.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Callee {
    pub(crate) start: usize,
    pub(crate) parameters: usize,
    pub(crate) locals: usize,
    /// The most slots of a frame.
    slots: usize,
}

/// A loop: where it begins, and how hot it is.
#[derive(Clone, Copy, Debug)]
struct Loop {
    head: usize,
    countdown: Countdown,
}

/// A program with all that it needs to run.
#[derive(Debug)]
pub struct Machine {
    pub(crate) code: Vec<Instruction>,
    /// For each instruction: the slots of its frame that are in use before it.
    pub(crate) tops: Vec<usize>,
    pub(crate) functions: Vec<Callee>,
    /// For each instruction: its function.
    owners: Vec<usize>,
    sources: Vec<Constant>,
    pub(crate) constants: Vec<Value>,
    loops: Vec<Loop>,
    schedule: Schedule,
    pub(crate) slots: Vec<u64>,
    /// The arrays.
    pub heap: Heap,
    /// The next instruction.
    pub(crate) at: usize,
    /// The base of its frame.
    pub(crate) base: usize,
}

impl Machine {
    /// A machine for a program. The schedule says when its loops are hot; with no attempts, they never are.
    pub fn new(checked: Checked, schedule: Schedule) -> Machine {
        let Checked {
            program,
            tops,
            frames,
        } = checked;
        let functions: Vec<Callee> = program
            .functions
            .iter()
            .zip(frames)
            .map(|(function, slots)| Callee {
                start: function.start,
                parameters: function.parameters,
                locals: function.locals,
                slots,
            })
            .collect();
        let owners = program.functions.iter().zip(0..);
        let owners =
            owners.flat_map(|(function, index)| vec![index; function.end - function.start]);
        let mut machine = Machine {
            tops,
            owners: owners.collect(),
            functions,
            code: program.code,
            sources: program.constants,
            constants: Vec::new(),
            loops: program
                .loops
                .into_iter()
                .map(|head| Loop {
                    head,
                    countdown: Countdown::new(),
                })
                .collect(),
            schedule,
            slots: vec![0; SLOTS],
            heap: Heap::new(),
            at: 0,
            base: 0,
        };
        machine.restart();
        machine
    }

    /// Begins anew: an empty heap, the first frame of `main`. What was learned about the code stays.
    pub fn restart(&mut self) {
        self.heap.clear();
        self.constants.clear();
        for source in &self.sources {
            let value = match source {
                Constant::Value(value) => *value,
                Constant::Text(text) => {
                    // A text that does not fit is nil, and using it a fault.
                    let array = self.heap.array(text.len(), Value::integer(0));
                    for (index, byte) in (0..).zip(text.bytes()) {
                        if let Some(place) = array.and_then(|a| self.heap.place(a, index)) {
                            *place = Value::integer(i32::from(byte)).0;
                        }
                    }
                    array.unwrap_or(Value::NIL)
                }
            };
            self.constants.push(value);
        }
        self.at = 0;
        self.base = 0;
        if let Some(&Callee { locals, .. }) = self.functions.first() {
            self.slots[..locals].fill(Value::NIL.0);
            self.slots[locals] = Value::integer(NOWHERE).0;
            self.slots[locals + 1] = Value::integer(0).0;
        }
    }

    /// The instruction that is next, as what it is a special case of.
    pub(crate) fn instruction(&self) -> Instruction {
        let instruction = self.code[self.at];
        Instruction::new(instruction.opcode.general(), instruction.signed())
    }

    /// What a slot of the present frame holds.
    pub(crate) fn slot(&self, slot: usize) -> Value {
        Value(self.slots[self.base + slot])
    }

    /// How many slots of the present frame are in use.
    pub(crate) fn top(&self) -> usize {
        self.tops[self.at]
    }

    /// The function of the instruction that is next.
    pub(crate) fn function(&self) -> Callee {
        self.functions[self.owners[self.at]]
    }

    /// The instruction at which a loop begins.
    pub(crate) fn head(&self, index: usize) -> usize {
        self.loops[index].head
    }

    /// From now on the interpreter stops with [`Stop::Compiled`] when it comes to this loop's head from below, or no longer.
    pub(crate) fn set_compiled(&mut self, index: usize, compiled: bool) {
        let opcode = if compiled {
            Opcode::LoopCompiled
        } else {
            Opcode::Loop
        };
        for instruction in &mut self.code {
            if instruction.opcode.general() == Opcode::Loop && instruction.operand() == index {
                instruction.opcode = opcode;
            }
        }
    }

    /// Never stops at this loop for being hot again.
    pub(crate) fn cool(&mut self, index: usize) {
        self.loops[index].countdown.stop();
    }

    /// Runs until the program is done, or a loop's head asks for attention.
    ///
    /// # Errors
    ///
    /// [`Fault`]: the machine stays at the instruction.
    pub fn run(&mut self) -> Result<Stop, Fault> {
        // SAFETY: the machine is at the start of the program, or where it stopped or a trace left: at an instruction, with
        // the frames below as calls made them.
        unsafe { self.interpret::<false>() }
    }

    /// Executes one instruction.
    ///
    /// # Errors
    ///
    /// [`Fault`]: the machine stays at the instruction.
    pub fn step(&mut self) -> Result<Stop, Fault> {
        // SAFETY: as above.
        unsafe { self.interpret::<true>() }
    }

    /// Executes one instruction, or as many as it takes.
    ///
    /// # Safety
    ///
    /// `at` is an instruction of the program, `base` has room for a frame of its function, and what the links of the
    /// frames below say is what calls wrote there. The rest follows from the check of the program: the slots of a frame
    /// are within `slots`, because calls look for room; locals, constants, functions and loops exist, and operands are where the
    /// check counted them.
    #[allow(
        unsafe_op_in_unsafe_fn,
        reason = "every access rests on the same promise"
    )]
    unsafe fn interpret<const STEP: bool>(&mut self) -> Result<Stop, Fault> {
        let code = self.code.as_mut_ptr();
        let slots = self.slots.as_mut_ptr();
        let mut at = self.at;
        let mut frame = slots.add(self.base);
        let mut top = frame.add(self.tops[at]);
        macro_rules! fault {
            ($what:expr) => {{
                self.at = at;
                self.base = frame.offset_from(slots) as usize;
                return Err(Fault { at, what: $what });
            }};
        }
        macro_rules! stop {
            ($stop:expr) => {{
                self.at = at;
                self.base = frame.offset_from(slots) as usize;
                return Ok($stop);
            }};
        }
        // The operand this far below the top.
        macro_rules! operand {
            ($below:literal) => {
                Value(*top.sub($below))
            };
        }
        macro_rules! push {
            ($value:expr) => {{
                let value: Value = $value;
                {
                    *top = value.0;
                    top = top.add(1);
                }
            }};
        }
        // Puts a result in the place of two operands.
        macro_rules! replace_two {
            ($value:expr) => {{
                let value: Value = $value;
                {
                    top = top.sub(1);
                    *top.sub(1) = value.0;
                }
                at += 1;
            }};
        }
        macro_rules! becomes {
            ($opcode:expr) => {
                (*code.add(at)).opcode = $opcode
            };
        }
        // An instruction on two operands that has special cases.
        macro_rules! general {
            ($integers:expr, $floats:expr, $slow:path) => {{
                let (a, b) = (operand!(2), operand!(1));
                match (a.kind(), b.kind()) {
                    (Kind::Integer, Kind::Integer) => becomes!($integers),
                    (Kind::Float, Kind::Float) => becomes!($floats),
                    _ => {}
                }
                match $slow(a, b) {
                    Some(value) => replace_two!(value),
                    None => fault!("the operands are not numbers"),
                }
            }};
        }
        // The special case for integers; where the result does not fit, the general one goes on as floats.
        macro_rules! integers {
            ($general:expr, |$a:ident, $b:ident| $result:expr) => {{
                let (a, b) = (operand!(2), operand!(1));
                let ($a, $b) = (a.as_integer(), b.as_integer());
                match $result {
                    Some(value) if a.is_integer() && b.is_integer() => replace_two!(value),
                    _ => {
                        becomes!($general);
                        continue;
                    }
                }
            }};
        }
        macro_rules! floats {
            ($general:expr, |$a:ident, $b:ident| $result:expr) => {{
                let (a, b) = (operand!(2), operand!(1));
                if a.is_float() && b.is_float() {
                    let ($a, $b) = (a.as_float(), b.as_float());
                    replace_two!($result)
                } else {
                    becomes!($general);
                    continue;
                }
            }};
        }
        loop {
            let instruction = *code.add(at);
            match instruction.opcode {
                Opcode::Integer => {
                    push!(Value::integer(instruction.signed()));
                    at += 1;
                }
                Opcode::Constant => {
                    push!(*self.constants.get_unchecked(instruction.operand()));
                    at += 1;
                }
                Opcode::Boolean => {
                    push!(Value::boolean(instruction.operand() != 0));
                    at += 1;
                }
                Opcode::Load => {
                    push!(Value(*frame.add(instruction.operand())));
                    at += 1;
                }
                Opcode::Store => {
                    top = top.sub(1);
                    *frame.add(instruction.operand()) = *top;
                    at += 1;
                }
                Opcode::Pop => {
                    top = top.sub(1);
                    at += 1;
                }
                Opcode::Add => general!(Opcode::AddInteger, Opcode::AddFloat, add),
                Opcode::Subtract => {
                    general!(Opcode::SubtractInteger, Opcode::SubtractFloat, subtract)
                }
                Opcode::Multiply => {
                    general!(Opcode::MultiplyInteger, Opcode::MultiplyFloat, multiply)
                }
                Opcode::Divide => general!(Opcode::Divide, Opcode::DivideFloat, divide),
                Opcode::Less => general!(Opcode::LessInteger, Opcode::LessFloat, less),
                Opcode::LessEqual => {
                    general!(Opcode::LessEqualInteger, Opcode::LessEqualFloat, less_equal)
                }
                Opcode::Equal => general!(Opcode::EqualInteger, Opcode::Equal, equal),
                Opcode::NotEqual => general!(Opcode::NotEqualInteger, Opcode::NotEqual, not_equal),
                Opcode::AddInteger => {
                    integers!(Opcode::Add, |a, b| a.checked_add(b).map(Value::integer))
                }
                Opcode::SubtractInteger => {
                    integers!(Opcode::Subtract, |a, b| a
                        .checked_sub(b)
                        .map(Value::integer))
                }
                Opcode::MultiplyInteger => {
                    integers!(Opcode::Multiply, |a, b| a
                        .checked_mul(b)
                        .map(Value::integer))
                }
                Opcode::LessInteger => {
                    integers!(Opcode::Less, |a, b| Some(Value::boolean(a < b)))
                }
                Opcode::LessEqualInteger => {
                    integers!(Opcode::LessEqual, |a, b| Some(Value::boolean(a <= b)))
                }
                Opcode::EqualInteger => {
                    integers!(Opcode::Equal, |a, b| Some(Value::boolean(a == b)))
                }
                Opcode::NotEqualInteger => {
                    integers!(Opcode::NotEqual, |a, b| Some(Value::boolean(a != b)))
                }
                Opcode::AddFloat => floats!(Opcode::Add, |a, b| Value::float(a + b)),
                Opcode::SubtractFloat => floats!(Opcode::Subtract, |a, b| Value::float(a - b)),
                Opcode::MultiplyFloat => floats!(Opcode::Multiply, |a, b| Value::float(a * b)),
                Opcode::DivideFloat => floats!(Opcode::Divide, |a, b| Value::float(a / b)),
                Opcode::LessFloat => floats!(Opcode::Less, |a, b| Value::boolean(a < b)),
                Opcode::LessEqualFloat => {
                    floats!(Opcode::LessEqual, |a, b| Value::boolean(a <= b))
                }
                Opcode::Quotient | Opcode::Remainder => {
                    let (a, b) = (operand!(2), operand!(1));
                    if !(a.is_integer() && b.is_integer()) {
                        fault!("the operands are not integers");
                    }
                    let (a, b) = (a.as_integer(), b.as_integer());
                    let result = match instruction.opcode {
                        Opcode::Quotient => a.checked_div(b),
                        _ if b == 0 => None,
                        _ => Some(a.wrapping_rem(b)),
                    };
                    match result {
                        Some(value) => replace_two!(Value::integer(value)),
                        None => fault!("the quotient does not exist, or is no integer of 32 bits"),
                    }
                }
                Opcode::SquareRoot => match operand!(1).to_number() {
                    Some(value) => {
                        *top.sub(1) = Value::float(value.sqrt()).0;
                        at += 1;
                    }
                    None => fault!("the operand is not a number"),
                },
                Opcode::Jump => at = instruction.operand(),
                Opcode::JumpIfFalse => match operand!(1).to_boolean() {
                    Some(condition) => {
                        top = top.sub(1);
                        at = if condition {
                            at + 1
                        } else {
                            instruction.operand()
                        };
                    }
                    None => fault!("the condition is not a boolean"),
                },
                Opcode::Loop => {
                    let index = instruction.operand();
                    let known = self.loops.get_unchecked_mut(index);
                    at = known.head;
                    if !STEP && known.countdown.visit(&self.schedule) {
                        stop!(Stop::Hot(index));
                    }
                }
                Opcode::LoopCompiled => {
                    let index = instruction.operand();
                    at = self.loops.get_unchecked(index).head;
                    if !STEP {
                        stop!(Stop::Compiled(index));
                    }
                }
                Opcode::NewArray => {
                    let (length, element) = (operand!(2), operand!(1));
                    if !length.is_integer() || length.as_integer() < 0 {
                        fault!("the length is not an integer from 0");
                    }
                    match self.heap.array(length.as_integer() as usize, element) {
                        Some(array) => replace_two!(array),
                        None => fault!("the heap is full"),
                    }
                }
                Opcode::GetElement => {
                    let (array, index) = (operand!(2), operand!(1));
                    if !array.is_array() || !index.is_integer() {
                        fault!("the operands are not an array and an integer");
                    }
                    match self.heap.place(array, index.as_integer()) {
                        Some(&mut element) => replace_two!(Value(element)),
                        None => fault!("the index is out of range"),
                    }
                }
                Opcode::SetElement => {
                    let (array, index, value) = (operand!(3), operand!(2), operand!(1));
                    if !array.is_array() || !index.is_integer() {
                        fault!("the operands are not an array and an integer");
                    }
                    match self.heap.place(array, index.as_integer()) {
                        Some(place) => *place = value.0,
                        None => fault!("the index is out of range"),
                    }
                    top = top.sub(3);
                    at += 1;
                }
                Opcode::Length => {
                    let array = operand!(1);
                    if !array.is_array() {
                        fault!("the operand is not an array");
                    }
                    *top.sub(1) = Value::integer(self.heap.length(array)).0;
                    at += 1;
                }
                Opcode::Call => {
                    let callee = *self.functions.get_unchecked(instruction.operand());
                    // The operands become the first locals.
                    let base = top.sub(callee.parameters);
                    let room = SLOTS - base.offset_from(slots) as usize;
                    if room < callee.slots {
                        fault!("calls go too deep");
                    }
                    let shift = base.offset_from(frame) as i32;
                    {
                        for local in callee.parameters..callee.locals {
                            *base.add(local) = Value::NIL.0;
                        }
                        *base.add(callee.locals) = Value::integer(at as i32 + 1).0;
                        *base.add(callee.locals + 1) = Value::integer(shift).0;
                        top = base.add(callee.locals + LINKS);
                    }
                    frame = base;
                    at = callee.start;
                }
                Opcode::Return => {
                    let result = operand!(1);
                    let owner = *self.owners.get_unchecked(at);
                    let locals = self.functions.get_unchecked(owner).locals;
                    let (back, shift) = (*frame.add(locals), *frame.add(locals + 1));
                    let back = Value(back).as_integer();
                    if back == NOWHERE {
                        stop!(Stop::Done(result));
                    }
                    top = frame;
                    // The links are of the interpreter's or a snapshot's making: a call wrote them.
                    frame = frame.sub(Value(shift).as_integer() as usize);
                    at = back as usize;
                    push!(result);
                }
            }
            if STEP {
                stop!(Stop::Stepped);
            }
        }
    }
}

/// An operation on two numbers: of integers `None` where the result does not fit, and then as floats.
fn arithmetic(
    a: Value,
    b: Value,
    integers: fn(i32, i32) -> Option<i32>,
    floats: fn(f64, f64) -> f64,
) -> Option<Value> {
    if a.is_integer()
        && b.is_integer()
        && let Some(value) = integers(a.as_integer(), b.as_integer())
    {
        return Some(Value::integer(value));
    }
    Some(Value::float(floats(a.to_number()?, b.to_number()?)))
}

fn add(a: Value, b: Value) -> Option<Value> {
    arithmetic(a, b, i32::checked_add, |a, b| a + b)
}

fn subtract(a: Value, b: Value) -> Option<Value> {
    arithmetic(a, b, i32::checked_sub, |a, b| a - b)
}

fn multiply(a: Value, b: Value) -> Option<Value> {
    arithmetic(a, b, i32::checked_mul, |a, b| a * b)
}

fn divide(a: Value, b: Value) -> Option<Value> {
    Some(Value::float(a.to_number()? / b.to_number()?))
}

// Every integer is a double, so numbers are compared as doubles.

fn less(a: Value, b: Value) -> Option<Value> {
    Some(Value::boolean(a.to_number()? < b.to_number()?))
}

fn less_equal(a: Value, b: Value) -> Option<Value> {
    Some(Value::boolean(a.to_number()? <= b.to_number()?))
}

fn equal(a: Value, b: Value) -> Option<Value> {
    Some(Value::boolean(a.to_number()? == b.to_number()?))
}

fn not_equal(a: Value, b: Value) -> Option<Value> {
    Some(Value::boolean(a.to_number()? != b.to_number()?))
}
