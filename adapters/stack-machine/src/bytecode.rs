//! Bytecode: instructions of 32 bits, and the check that lets the interpreter trust them.
//!
//! An instruction is an opcode in the low byte and an operand of 24 bits. Operands are taken from a stack, and results
//! put there. A frame's slots, from its base:
//!
//! ```text
//!   0 ..            locals, the parameters first
//!   locals          where the caller goes on: an integer
//!   locals + 1      how far below its base the caller's is: an integer
//!   locals + 2 ..   the operand stack
//! ```
//!
//! Because the link to the caller stands in slots like any value, a trace that inlines calls rebuilds frames with nothing but its
//! snapshots.

use crate::value::Value;
use std::fmt;

/// Makes the opcodes: name, how many operands it takes and gives, and the opcode that it is a special case of.
macro_rules! opcodes {
    ($($(#[$about:meta])* $name:ident $takes:literal $gives:literal $(of $general:ident)?;)*) => {
        /// What an instruction does. Those that end in a type are special cases into which the interpreter
        /// turns an instruction that met operands of these types, and out of which it turns it when it meets others.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Opcode {
            $($(#[$about])* $name,)*
        }

        impl Opcode {
            /// All of them.
            pub const ALL: &'static [Opcode] = &[$(Opcode::$name),*];

            /// How many operands it takes from the stack, and how many it puts there; a call's depend on the callee.
            pub const fn stack(self) -> (usize, usize) {
                match self { $(Opcode::$name => ($takes, $gives),)* }
            }

            /// The opcode of which it is a special case; itself, if of none.
            pub const fn general(self) -> Opcode {
                match self { $($(Opcode::$name => Opcode::$general,)?)* other => other }
            }
        }
    };
}

opcodes! {
    /// The integer that the operand is, sign-extended.
    Integer 0 1;
    /// A constant of the program.
    Constant 0 1;
    /// True or false: operand 1 or 0.
    Boolean 0 1;
    /// A local's value.
    Load 0 1;
    /// To a local.
    Store 1 0;
    /// Drops a value.
    Pop 1 0;
    /// Sum: of integers an integer, or a float if it does not fit; else of floats.
    Add 2 1;
    /// Difference, likewise.
    Subtract 2 1;
    /// Product, likewise.
    Multiply 2 1;
    /// Quotient of floats.
    Divide 2 1;
    /// Quotient of integers, rounded toward zero.
    Quotient 2 1;
    /// Remainder of integers, with the sign of the first.
    Remainder 2 1;
    /// Whether the first is less.
    Less 2 1;
    /// Whether the first is less or equal.
    LessEqual 2 1;
    /// Whether two numbers are equal.
    Equal 2 1;
    /// Whether two numbers are not equal.
    NotEqual 2 1;
    /// The square root of a number.
    SquareRoot 1 1;
    /// Goes to an instruction further on.
    Jump 0 0;
    /// Goes to an instruction further on if the boolean is false.
    JumpIfFalse 1 0;
    /// Goes back to a loop's head; the operand is the loop.
    Loop 0 0;
    /// An array: its length and what all elements are.
    NewArray 2 1;
    /// An element of an array.
    GetElement 2 1;
    /// Sets an element of an array: array, index, value.
    SetElement 3 0;
    /// How many elements an array has.
    Length 1 1;
    /// Calls a function with the operands on top.
    Call 0 1;
    /// Returns a value to the caller.
    Return 1 0;
    /// Sum of integers.
    AddInteger 2 1 of Add;
    /// Sum of floats.
    AddFloat 2 1 of Add;
    /// Difference of integers.
    SubtractInteger 2 1 of Subtract;
    /// Difference of floats.
    SubtractFloat 2 1 of Subtract;
    /// Product of integers.
    MultiplyInteger 2 1 of Multiply;
    /// Product of floats.
    MultiplyFloat 2 1 of Multiply;
    /// Quotient of two floats.
    DivideFloat 2 1 of Divide;
    /// Comparison of integers.
    LessInteger 2 1 of Less;
    /// Comparison of floats.
    LessFloat 2 1 of Less;
    /// Comparison of integers.
    LessEqualInteger 2 1 of LessEqual;
    /// Comparison of floats.
    LessEqualFloat 2 1 of LessEqual;
    /// Comparison of integers.
    EqualInteger 2 1 of Equal;
    /// Comparison of integers.
    NotEqualInteger 2 1 of NotEqual;
    /// A loop that has compiled code.
    LoopCompiled 0 0 of Loop;
}

/// One instruction.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C, align(4))]
pub struct Instruction {
    /// What it does.
    pub opcode: Opcode,
    operand: [u8; 3],
}

/// The least and the greatest integer that stand in an instruction.
pub const SMALL: std::ops::RangeInclusive<i32> = -(1 << 23)..=(1 << 23) - 1;

impl Instruction {
    /// An instruction with an operand, of which 24 bits are kept.
    pub const fn new(opcode: Opcode, operand: i32) -> Instruction {
        let [a, b, c, _] = operand.to_le_bytes();
        Instruction {
            opcode,
            operand: [a, b, c],
        }
    }

    /// The operand, zero-extended.
    #[inline(always)]
    pub const fn operand(self) -> usize {
        let [a, b, c] = self.operand;
        u32::from_le_bytes([a, b, c, 0]) as usize
    }

    /// The operand, sign-extended.
    #[inline(always)]
    pub const fn signed(self) -> i32 {
        (self.operand() as i32) << 8 >> 8
    }
}

impl fmt::Debug for Instruction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.opcode, self.signed())
    }
}

/// A function of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// Its first instruction.
    pub start: usize,
    /// Behind its last instruction.
    pub end: usize,
    /// How many parameters it has.
    pub parameters: usize,
    /// How many locals it has, parameters included.
    pub locals: usize,
}

/// A constant of a program.
#[derive(Clone, Debug, PartialEq)]
pub enum Constant {
    /// A value.
    Value(Value),
    /// An array of the text's bytes, as integers.
    Text(String),
}

/// What a front end makes.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// The functions; the first one is run, and has no parameters.
    pub functions: Vec<Function>,
    /// The instructions of all functions.
    pub code: Vec<Instruction>,
    /// The constants.
    pub constants: Vec<Constant>,
    /// The head of each loop: an instruction.
    pub loops: Vec<usize>,
}

/// What is wrong with a program, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// The instruction.
    pub at: usize,
    /// What is wrong.
    pub what: &'static str,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "instruction {}: {}", self.at, self.what)
    }
}

impl std::error::Error for Invalid {}

/// A program that was checked: every instruction finds its operands, locals, constants and targets.
#[derive(Clone, Debug)]
pub struct Checked {
    pub(crate) program: Program,
    /// For each instruction: how many slots of the frame are in use before it, operands included.
    pub(crate) tops: Vec<usize>,
    /// For each function: the most slots that a frame of it has.
    pub(crate) frames: Vec<usize>,
}

/// The slots between locals and operands.
pub(crate) const LINKS: usize = 2;

/// The most slots of a frame: small integers in instructions name them.
const MAX_SLOTS: usize = 1 << 16;

/// No top is known yet.
const UNKNOWN: usize = usize::MAX;

impl Checked {
    /// Checks a program.
    ///
    /// # Errors
    ///
    /// [`Invalid`] names the first instruction that breaks a rule.
    pub fn new(program: Program) -> Result<Checked, Invalid> {
        let mut tops = vec![UNKNOWN; program.code.len()];
        let mut frames = Vec::new();
        let fail = |at, what| Err(Invalid { at, what });
        match program.functions.first() {
            Some(main) if main.parameters == 0 => {}
            _ => return fail(0, "there is no first function without parameters"),
        }
        let mut end = 0;
        for function in &program.functions {
            let at = function.start;
            if at != end || function.end <= at || function.end > program.code.len() {
                return fail(at, "functions do not follow one another");
            }
            if function.parameters > function.locals || function.locals > MAX_SLOTS {
                return fail(at, "a function has too many locals, or too few");
            }
            end = function.end;
            frames.push(check_function(&program, function, &mut tops)?);
        }
        if end != program.code.len() {
            return fail(end, "an instruction belongs to no function");
        }
        Ok(Checked {
            program,
            tops,
            frames,
        })
    }
}

/// Walks a function once, in order: every jump but a loop's goes forward, so the operands before an instruction are known
/// when it is met. Gives the most slots of a frame.
fn check_function(
    program: &Program,
    function: &Function,
    tops: &mut [usize],
) -> Result<usize, Invalid> {
    let bottom = function.locals + LINKS;
    let mut most = bottom;
    let mut top = bottom;
    for at in function.start..function.end {
        let fail = |what| Err(Invalid { at, what });
        match tops[at] {
            UNKNOWN if top == UNKNOWN => return fail("it cannot be reached"),
            UNKNOWN => tops[at] = top,
            known if top == UNKNOWN => top = known,
            known if known == top => {}
            _ => return fail("ways to it leave different numbers of operands"),
        }
        let instruction = program.code[at];
        let (operand, opcode) = (instruction.operand(), instruction.opcode);
        let (mut takes, gives) = opcode.stack();
        match opcode {
            Opcode::Load | Opcode::Store if operand >= function.locals => {
                return fail("no such local");
            }
            Opcode::Constant if operand >= program.constants.len() => {
                return fail("no such constant");
            }
            Opcode::Boolean if operand > 1 => return fail("a boolean is 0 or 1"),
            Opcode::Call => match program.functions.get(operand) {
                Some(callee) => takes = callee.parameters,
                None => return fail("no such function"),
            },
            _ if opcode.general() != opcode => return fail("a special case"),
            _ => {}
        }
        if top < bottom + takes {
            return fail("an operand is missing");
        }
        let next = top - takes + gives;
        most = most.max(next);
        if most > MAX_SLOTS {
            return fail("too many operands");
        }
        top = match opcode {
            Opcode::Jump | Opcode::JumpIfFalse => {
                if operand <= at || operand >= function.end {
                    return fail("a jump goes nowhere, or back");
                }
                match tops[operand] {
                    UNKNOWN => tops[operand] = next,
                    known if known == next => {}
                    _ => return fail("ways to its target leave different numbers of operands"),
                }
                if opcode == Opcode::Jump {
                    UNKNOWN
                } else {
                    next
                }
            }
            Opcode::Loop => match program.loops.get(operand) {
                Some(&head) if head >= function.start && head <= at && tops[head] == next => {
                    UNKNOWN
                }
                _ => return fail("a loop has no head, or other operands there"),
            },
            Opcode::Return => UNKNOWN,
            _ => next,
        };
    }
    if top != UNKNOWN {
        return Err(Invalid {
            at: function.end - 1,
            what: "the function goes on behind its end",
        });
    }
    Ok(most)
}
