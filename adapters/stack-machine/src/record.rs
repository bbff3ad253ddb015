//! What each instruction does, as micro-ops: recorded as the machine executes it, naively.
//!
//! Every operand's type is tested where it is used, every sum of integers looks for overflow, every element for its
//! bounds, and nothing is remembered from one instruction to the next: to find out that a test was made before is the
//! optimizer's business, not the host's. What the host decides is which of an instruction's ways to record: the one that the
//! machine is about to go, with guards that leave to the interpreter if it is another one next time.

use crate::bytecode::{Instruction, LINKS, Opcode};
use crate::heap::REACH;
use crate::machine::{Callee, Machine};
use crate::value::{self, Kind, Value};
use patchjit::build::Builder;
use patchjit::error::Error;
use patchjit::ir::Tag;
use patchjit::ops::Opcode as Op;
use patchjit::tier::GiveUp;
use patchjit::tier::record::{Recorder, TraceAccess, Traced};
use patchjit::types::Type;

/// The reasons that this host gives up for: [`GiveUp::Host`] with this number.
pub mod reason {
    /// An array would be made.
    pub const ALLOCATES: u8 = 1;
    /// The operands are not numbers, or whatever else the instruction asks for: a fault is near.
    pub const FAULT: u8 = 2;
    /// The trace could not be compiled.
    pub const REFUSED: u8 = 3;
}

// Tags and regions, by their indices in every program that is compiled.
const INTEGER: u16 = 0;
const BOOLEAN: u16 = 1;
const ARRAY: u16 = 2;
const NOT_FLOAT: u16 = 3;
const FLOAT: u16 = 4;
const LENGTHS: u16 = 0;
const STARTS: u16 = 1;
const ELEMENTS: u16 = 2;

/// The tags of every program that is compiled.
pub(crate) const TAGS: [Tag; 5] = {
    use value::{ARRAY, BOOLEAN, FLOAT, INTEGER, NOT_FLOAT};
    [INTEGER, BOOLEAN, ARRAY, NOT_FLOAT, FLOAT]
};

/// Declares what the recorded ops name.
pub(crate) fn declare(builder: &mut Builder<'_>) -> Result<(), Error> {
    use crate::heap::{ARRAYS, WORDS};
    for tag in TAGS {
        builder.tag(tag)?;
    }
    for words in [ARRAYS, ARRAYS, WORDS] {
        builder.region(words as u64 * 8)?;
    }
    Ok(())
}

/// Records the instruction that the machine executes next. Where guards are made to fail on purpose, a branch's exit goes on at
/// the branch, which then finds out again which way to go, and not at the other way.
pub(crate) fn record(
    machine: &Machine,
    recorder: &mut Recorder<'_, '_>,
    on_purpose: bool,
) -> Result<(), GiveUp> {
    let instruction = machine.instruction();
    let mut r = Frame {
        machine,
        top: machine.top() as u32,
        on_purpose,
        r: recorder,
    };
    r.r.resume_at(machine.at as u64);
    r.instruction(instruction)
}

/// The recorder, and the frame of which it records an instruction.
struct Frame<'m, 'r, 't, 'a> {
    machine: &'m Machine,
    /// The slots in use.
    top: u32,
    on_purpose: bool,
    r: &'r mut Recorder<'t, 'a>,
}

type Done = Result<(), GiveUp>;
type Gives = Result<Traced, GiveUp>;

impl Frame<'_, '_, '_, '_> {
    fn instruction(&mut self, instruction: Instruction) -> Done {
        let operand = instruction.operand();
        match instruction.opcode {
            Opcode::Integer => self.push_constant(Value::integer(instruction.signed())),
            Opcode::Boolean => self.push_constant(Value::boolean(operand != 0)),
            Opcode::Constant => self.push_constant(self.machine.constants[operand]),
            Opcode::Load => {
                let value = self.r.read(operand as u32, Type::I64)?;
                self.r.write(self.top, value)
            }
            Opcode::Store => {
                let value = self.operand(1)?;
                self.r.write(operand as u32, value)?;
                self.r.kill_from(self.top - 1)
            }
            Opcode::Pop => self.r.kill_from(self.top - 1),
            Opcode::Add | Opcode::Subtract | Opcode::Multiply => {
                self.arithmetic(instruction.opcode)
            }
            Opcode::Divide => {
                let (a, b) = (self.number(2)?, self.number(1)?);
                let quotient = self.r.binary(Op::F64Div, a, b)?;
                self.replace_float(2, quotient)
            }
            Opcode::Quotient | Opcode::Remainder => {
                let code = match instruction.opcode {
                    Opcode::Quotient => Op::I32DivS,
                    _ => Op::I32RemS,
                };
                let (a, b) = (self.integer(2)?, self.integer(1)?);
                let result = self.r.binary_else(code, a, b)?;
                let result = self.r.tagged(Op::I64BoxI32, INTEGER, result)?;
                self.replace(2, result)
            }
            Opcode::Less => self.compare(Op::I32LtS, Op::F64Lt),
            Opcode::LessEqual => self.compare(Op::I32LeS, Op::F64Le),
            Opcode::Equal => self.compare(Op::I32Eq, Op::F64Eq),
            Opcode::NotEqual => self.compare(Op::I32Ne, Op::F64Ne),
            Opcode::SquareRoot => {
                let number = self.number(1)?;
                let root = self.r.unary(Op::F64Sqrt, number)?;
                self.replace_float(1, root)
            }
            Opcode::Jump | Opcode::Loop => Ok(()),
            Opcode::JumpIfFalse => self.branch(operand),
            Opcode::GetElement => {
                let access = self.element(2, 1)?;
                let element = self.r.load(Op::I64Load, access)?;
                self.replace(2, element)
            }
            Opcode::SetElement => {
                let access = self.element(3, 2)?;
                let value = self.operand(1)?;
                self.r.store(Op::I64Store, access, value)?;
                self.r.kill_from(self.top - 3)
            }
            Opcode::Length => {
                let array = self.array(1)?;
                let length = self.length(array)?;
                let length = self.r.unary(Op::I32WrapI64, length)?;
                let length = self.r.tagged(Op::I64BoxI32, INTEGER, length)?;
                self.replace(1, length)
            }
            Opcode::Call => self.call(self.machine.functions[operand]),
            Opcode::Return => self.returns(),
            Opcode::NewArray => Err(self.r.give_up(GiveUp::Host(reason::ALLOCATES))),
            // `Machine::instruction` gives no special case.
            _ => Err(self.fault()),
        }
    }

    fn fault(&mut self) -> GiveUp {
        self.r.give_up(GiveUp::Host(reason::FAULT))
    }

    // The operand stack. Operands are counted from the top, from 1.

    fn kind(&self, below: u32) -> Kind {
        self.machine.slot((self.top - below) as usize).kind()
    }

    fn operand(&mut self, below: u32) -> Gives {
        self.r.read(self.top - below, Type::I64)
    }

    fn constant(&mut self, value: Value) -> Gives {
        self.r.constant(Op::I64Const, value.0)
    }

    fn push_constant(&mut self, value: Value) -> Done {
        let value = self.constant(value)?;
        self.r.write(self.top, value)
    }

    /// Puts a result in the place of so many operands.
    fn replace(&mut self, count: u32, result: Traced) -> Done {
        self.r.write(self.top - count, result)?;
        self.r.kill_from(self.top - count + 1)
    }

    fn replace_float(&mut self, count: u32, result: Traced) -> Done {
        let result = self.r.tagged(Op::I64BoxF64, FLOAT, result)?;
        self.replace(count, result)
    }

    // Operands of types that are tested.

    fn tested(&mut self, below: u32, kind: Kind, tag: u16, code: Op) -> Gives {
        if self.kind(below) != kind {
            return Err(self.fault());
        }
        let value = self.operand(below)?;
        let test = self.r.tagged(Op::I64TagTest, tag, value)?;
        self.r.guard(code, test)?;
        Ok(value)
    }

    fn integer(&mut self, below: u32) -> Gives {
        let value = self.tested(below, Kind::Integer, INTEGER, Op::Guard)?;
        self.r.tagged(Op::I32Unbox, INTEGER, value)
    }

    fn float(&mut self, below: u32) -> Gives {
        let value = self.tested(below, Kind::Float, NOT_FLOAT, Op::GuardNot)?;
        let bits = self.r.tagged(Op::I64UnboxU, FLOAT, value)?;
        self.r.unary(Op::F64ReinterpretI64, bits)
    }

    /// A number of either type, as a float.
    fn number(&mut self, below: u32) -> Gives {
        if self.kind(below) == Kind::Integer {
            let value = self.integer(below)?;
            return self.r.unary(Op::F64ConvertI32S, value);
        }
        self.float(below)
    }

    fn array(&mut self, below: u32) -> Gives {
        let value = self.tested(below, Kind::Array, ARRAY, Op::Guard)?;
        self.r.tagged(Op::I64UnboxU, ARRAY, value)
    }

    // Instructions.

    fn arithmetic(&mut self, opcode: Opcode) -> Done {
        let (checked, wide, float) = match opcode {
            Opcode::Add => (Op::I32AddChecked, Op::I64Add, Op::F64Add),
            Opcode::Subtract => (Op::I32SubChecked, Op::I64Sub, Op::F64Sub),
            _ => (Op::I32MulChecked, Op::I64Mul, Op::F64Mul),
        };
        if (self.kind(2), self.kind(1)) != (Kind::Integer, Kind::Integer) {
            let (a, b) = (self.number(2)?, self.number(1)?);
            let result = self.r.binary(float, a, b)?;
            return self.replace_float(2, result);
        }
        let (a, b) = (self.integer(2)?, self.integer(1)?);
        if !self.overflows(opcode) {
            let result = self.r.binary_else(checked, a, b)?;
            let result = self.r.tagged(Op::I64BoxI32, INTEGER, result)?;
            return self.replace(2, result);
        }
        // The result is a float, as long as it does not fit.
        let a = self.r.unary(Op::I64ExtendI32S, a)?;
        let b = self.r.unary(Op::I64ExtendI32S, b)?;
        let exact = self.r.binary(wide, a, b)?;
        let narrow = self.r.unary(Op::I64Extend32S, exact)?;
        let fits = self.r.binary(Op::I64Eq, exact, narrow)?;
        self.r.guard(Op::GuardNot, fits)?;
        let result = self.r.unary(Op::F64ConvertI64S, exact)?;
        self.replace_float(2, result)
    }

    fn overflows(&self, opcode: Opcode) -> bool {
        let operand = |below: u32| self.machine.slot((self.top - below) as usize).as_integer();
        let (a, b) = (operand(2), operand(1));
        let result = match opcode {
            Opcode::Add => a.checked_add(b),
            Opcode::Subtract => a.checked_sub(b),
            _ => a.checked_mul(b),
        };
        result.is_none()
    }

    fn compare(&mut self, integers: Op, floats: Op) -> Done {
        let both = (self.kind(2), self.kind(1)) == (Kind::Integer, Kind::Integer);
        let result = if both {
            let (a, b) = (self.integer(2)?, self.integer(1)?);
            self.r.binary(integers, a, b)?
        } else {
            let (a, b) = (self.number(2)?, self.number(1)?);
            self.r.binary(floats, a, b)?
        };
        let result = self.r.tagged(Op::I64BoxI32, BOOLEAN, result)?;
        self.replace(2, result)
    }

    fn branch(&mut self, target: usize) -> Done {
        let value = self.tested(1, Kind::Boolean, BOOLEAN, Op::Guard)?;
        let condition = self.r.tagged(Op::I32Unbox, BOOLEAN, value)?;
        let is_true = self.machine.slot((self.top - 1) as usize) == Value::boolean(true);
        let (other, code) = if is_true {
            (target, Op::Guard)
        } else {
            (self.machine.at + 1, Op::GuardNot)
        };
        if self.on_purpose {
            self.r.guard(code, condition)?;
            return self.r.kill_from(self.top - 1);
        }
        // The other way goes on behind the branch, with the condition taken off the stack.
        self.r.kill_from(self.top - 1)?;
        self.r.resume_at(other as u64);
        self.r.guard(code, condition)
    }

    /// The length of an array, below [`REACH`].
    fn length(&mut self, array: Traced) -> Gives {
        self.table(LENGTHS, array)
    }

    fn table(&mut self, region: u16, array: Traced) -> Gives {
        let access = TraceAccess {
            region,
            index: array,
            scale: 3,
            offset: 0,
        };
        let word = self.r.load(Op::I64Load, access)?;
        let mask = self.r.constant(Op::I64Const, REACH as u64 - 1)?;
        self.r.binary(Op::I64And, word, mask)
    }

    /// Where the element is that two operands name, once its bounds are checked.
    fn element(&mut self, array: u32, index: u32) -> Result<TraceAccess, GiveUp> {
        let array = self.array(array)?;
        let index = self.integer(index)?;
        // A negative index is a large one.
        let index = self.r.unary(Op::I64ExtendI32U, index)?;
        let length = self.length(array)?;
        let within = self.r.binary(Op::I64LtU, index, length)?;
        self.r.guard(Op::Guard, within)?;
        let start = self.table(STARTS, array)?;
        Ok(TraceAccess {
            region: ELEMENTS,
            index: self.r.binary(Op::I64Add, start, index)?,
            scale: 3,
            offset: 0,
        })
    }

    fn call(&mut self, callee: Callee) -> Done {
        let Callee {
            parameters, locals, ..
        } = callee;
        let shift = self.top - parameters as u32;
        let nil = self.constant(Value::NIL)?;
        let back = self.constant(Value::integer(self.machine.at as i32 + 1))?;
        let below = self.constant(Value::integer(shift as i32))?;
        self.r.push_frame(shift)?;
        for local in parameters..locals {
            self.r.write(local as u32, nil)?;
        }
        self.r.write(locals as u32, back)?;
        self.r.write(locals as u32 + 1, below)
    }

    fn returns(&mut self) -> Done {
        if self.r.frames() == 0 {
            return Err(self.r.give_up(GiveUp::FrameUnderflow));
        }
        let result = self.operand(1)?;
        // The trace saw the call, so where it returns to is known.
        let link = self.machine.function().locals + LINKS - 1;
        let shift = self.machine.slot(link).as_integer() as u32;
        self.r.kill_from(0)?;
        self.r.pop_frame(shift)?;
        self.r.write(shift, result)
    }
}
