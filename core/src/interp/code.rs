//! The numbers and the layout of decoded instructions.
//!
//! A decoded program is words. An instruction's first word holds its number in the low half; operands follow, a
//! word each: frame registers, immediates, word offsets of other instructions. Scalar ops keep the number that
//! the op table gives them and have up to three further forms, in number ranges of their own: with an
//! immediate for the second operand, fused with the branch on their result, and both.
//!
//! | instruction | upper half | words behind the first |
//! |---|---|---|
//! | scalar, total | | result, a, b (unary: result, a) |
//! | scalar, leaving | | result, a, b, exit (unary: result, a, exit) |
//! | the same with an immediate | | the same, b the immediate |
//! | fused branch | charge | a, b or immediate, target |
//! | load in a region | access | result, index, offset, exit, count (2) |
//! | store in a region | access | value, index, offset, exit, count (2) |
//! | load, store at a raw address | | result or value, address, offset |
//! | [`ATOMIC`] | access | result, index, offset, exit, count (2), opcode, value, replacement |
//! | [`TAGGED`] | shift | result, operand, opcode, mask (2), bits (2) |
//! | [`SELECT`] | | result, condition, a, b |
//! | [`CONSTANT`] | | result, low half, high half |
//! | [`MOVE`] + n | | n times: to, from |
//! | [`JUMP`] + n | charge | target, n times: to, from |
//! | [`BRANCH_IF`], [`BRANCH_IF_NOT`] | charge | condition, target |
//! | [`SWITCH`] | | index, count, that many targets, the default |
//! | [`CALL`], [`CALL_INDIRECT`] | | function or index, exit, argument count, signature, arguments, results |
//! | [`CALL_HOST`] | | host function, exit, argument count, result count, outgoing register, arguments, results |
//! | [`RETURN_CALL`] | | function, argument count, outgoing register, arguments |
//! | [`RETURN`] | count | values |
//! | [`EXIT`], [`POLL`] | | exit |
//! | [`SLOT_GET`], [`SLOT_GET_LOW`] | | result, slot |
//! | [`SLOT_SET`] | | value, slot |
//! | [`FENCE`] | | |
//! | [`REGION_SIZE`] | | result, region |
//!
//! *Charge* is the fuel that taking the jump costs, *access* the region and, in the two upper bits, the scale.
//! *Count* is how many indices are in bounds at least, whatever the region has grown by: 0 only in regions that grow.

use crate::ops::Opcode;

/// How many numbers the op table's scalar ops take.
pub const SCALARS: u16 = Opcode::I64TruncF64U as u16 + 1;
/// Where the forms with an immediate begin.
pub const IMMEDIATE: u16 = Opcode::Parameter as u16;
/// Where the forms fused with a branch begin.
pub const FUSED: u16 = IMMEDIATE + SCALARS;
/// Where the forms with both begin.
pub const FUSED_IMMEDIATE: u16 = FUSED + SCALARS;

const STRUCTURE: u16 = FUSED_IMMEDIATE + SCALARS;
/// Any atomic access.
pub const ATOMIC: u16 = STRUCTURE;
/// Any select.
pub const SELECT: u16 = STRUCTURE + 1;
/// A constant into a register.
pub const CONSTANT: u16 = STRUCTURE + 2;
/// Reads 64 bits of a guest slot.
pub const SLOT_GET: u16 = STRUCTURE + 3;
/// Reads 32 bits of a guest slot.
pub const SLOT_GET_LOW: u16 = STRUCTURE + 4;
/// Writes a guest slot.
pub const SLOT_SET: u16 = STRUCTURE + 5;
/// A fence.
pub const FENCE: u16 = STRUCTURE + 6;
/// Leaves if an interruption was asked for.
pub const POLL: u16 = STRUCTURE + 7;
/// Leaves.
pub const EXIT: u16 = STRUCTURE + 8;
/// A branch on a value that is not zero.
pub const BRANCH_IF: u16 = STRUCTURE + 9;
/// A branch on a value that is zero.
pub const BRANCH_IF_NOT: u16 = STRUCTURE + 10;
/// A jump through a table.
pub const SWITCH: u16 = STRUCTURE + 11;
/// Calls a function of the program.
pub const CALL: u16 = STRUCTURE + 12;
/// Calls the function of the program that a register says.
pub const CALL_INDIRECT: u16 = STRUCTURE + 13;
/// Calls a host function.
pub const CALL_HOST: u16 = STRUCTURE + 14;
/// Ends the function with another in its place.
pub const RETURN_CALL: u16 = STRUCTURE + 15;
/// Ends the function.
pub const RETURN: u16 = STRUCTURE + 16;
/// Ends the function, which has one result.
pub const RETURN_ONE: u16 = STRUCTURE + 17;
/// `MOVE + n` copies n registers, one after the other; n is 1 to [`MOST_MOVES`].
pub const MOVE: u16 = STRUCTURE + 18;
/// `JUMP + n` copies n registers and jumps; n is 0 to [`MOST_MOVES`].
pub const JUMP: u16 = MOVE + 1 + MOST_MOVES as u16;

/// An op on a tagged word.
pub const TAGGED: u16 = JUMP + 1 + MOST_MOVES as u16;
/// Asks how long a region is that grows.
pub const REGION_SIZE: u16 = TAGGED + 1;

/// The most copies that one instruction makes.
pub const MOST_MOVES: usize = 3;

/// Words of a call in front of its arguments.
pub const CALL_HEAD: usize = 5;
/// Words of a host call in front of its arguments.
pub const CALL_HOST_HEAD: usize = 6;
/// Words of a tail call in front of its arguments.
pub const RETURN_CALL_HEAD: usize = 4;

/// Words of the table entry of a function: its first instruction, the words of its frame, its signature,
/// how many parameters it has.
pub const FUNCTION_WORDS: usize = 4;

macro_rules! number_forms {
    ({$($total:ident $total_name:literal $total_operands:tt -> $total_result:ident $total_flags:tt $total_body:block $total_doc:literal;)*}
     {$($leaving:ident $leaving_name:literal $leaving_operands:tt -> $leaving_result:ident $leaving_flags:tt $leaving_body:block $leaving_doc:literal;)*}
     $($memory:ident $name:literal $shape:ident $ty:ident $width:literal $sign:literal $flags:tt $doc:literal;)*) => {
        /// The number of each op on registers.
        #[allow(non_upper_case_globals, reason = "named like the op table's variants")]
        pub mod register {
            use crate::ops::Opcode;
            $(pub const $total: u16 = Opcode::$total as u16;)*
            $(pub const $leaving: u16 = Opcode::$leaving as u16;)*
            $(pub const $memory: u16 = Opcode::$memory as u16;)*
        }
        /// The number of each scalar op with an immediate.
        #[allow(non_upper_case_globals, reason = "named like the op table's variants")]
        pub mod immediate {
            use crate::ops::Opcode;
            $(pub const $total: u16 = super::IMMEDIATE + Opcode::$total as u16;)*
            $(pub const $leaving: u16 = super::IMMEDIATE + Opcode::$leaving as u16;)*
        }
        /// The number of each total op fused with a branch.
        #[allow(non_upper_case_globals, reason = "named like the op table's variants")]
        pub mod fused {
            use crate::ops::Opcode;
            $(pub const $total: u16 = super::FUSED + Opcode::$total as u16;)*
        }
        /// The number of each total op with an immediate, fused with a branch.
        #[allow(non_upper_case_globals, reason = "named like the op table's variants")]
        pub mod fused_immediate {
            use crate::ops::Opcode;
            $(pub const $total: u16 = super::FUSED_IMMEDIATE + Opcode::$total as u16;)*
        }
    };
}

/// Calls a macro with the table of total ops in braces, that of leaving ops in braces, and that of memory ops.
macro_rules! for_each_executed_op {
    ($callback:ident) => {
        $crate::for_each_total_op! { collect_total, [$callback] }
    };
}

macro_rules! collect_total {
    ([$callback:ident] $($total:tt)*) => {
        $crate::for_each_leaving_op! { collect_leaving, [$callback], { $($total)* } }
    };
}

macro_rules! collect_leaving {
    ([$callback:ident] $total:tt $($leaving:tt)*) => {
        $crate::for_each_memory_op! { $callback, $total, { $($leaving)* } }
    };
}

pub(super) use {collect_leaving, collect_total, for_each_executed_op};

for_each_executed_op!(number_forms);
