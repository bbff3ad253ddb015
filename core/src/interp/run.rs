//! The loop that executes decoded instructions.
//!
//! One instruction is one turn: its number selects an arm of one `match`. What scalar ops compute
//! stands in the op table only; the arms are made from it. Whatever ends a run is out of line.
#![allow(unsafe_code)]

use crate::error::{Error, Storage};
use crate::float;
use crate::ir::{ExitKind, MAX_REGIONS, NONE, Program, Region, Tag, place_slot};
use crate::ops::{Opcode, TAG_OPS, evaluate_tag};
use crate::runtime::{Context, Status};
use crate::types::{Scalar, Type};
use core::sync::atomic::{Ordering, fence};

use super::code::{self, collect_leaving, collect_total, for_each_executed_op};
use super::memory::{self, Cursor, Window};
use super::uses;
use super::{Decoded, Options, Outcome, internal};

macro_rules! scalar {
    (I32) => {
        i32
    };
    (I64) => {
        i64
    };
    (F32) => {
        f32
    };
    (F64) => {
        f64
    };
    (Ref) => {
        u64
    };
}

macro_rules! is_binary {
    ($a:ident) => {
        false
    };
    ($a:ident, $b:ident) => {
        true
    };
}

/// The bits that an immediate word stands for, by the type of the operand: the inverse of what the decoder does.
macro_rules! widen {
    ($a:ident, $word:expr) => {
        0
    };
    ($a:ident, I32, $word:expr) => {
        u64::from($word)
    };
    ($a:ident, F32, $word:expr) => {
        u64::from($word)
    };
    ($a:ident, F64, $word:expr) => {
        u64::from($word) << 32
    };
    ($a:ident, $b:ident, $word:expr) => {
        i64::from($word as i32) as u64
    };
}

/// Binds the operands' names of a table row to values.
macro_rules! bind {
    ($first:expr, $second:expr, $ty:ident $a:ident) => {
        let $a = <scalar!($ty) as Scalar>::from_bits($first);
    };
    ($first:expr, $second:expr, $ty:ident $a:ident, $other:ident $b:ident) => {
        let $a = <scalar!($ty) as Scalar>::from_bits($first);
        let $b = <scalar!($other) as Scalar>::from_bits($second);
    };
}

/// Why the loop stopped.
enum End {
    /// The entry's own function returned.
    Returned,
    /// An op left through this exit.
    Left(u32),
    /// A host function gave this status, and its call has no exit.
    HostTrapped(u32),
    /// The fuel is used up.
    OutOfFuel,
    /// A call would have gone deeper than allowed.
    TooDeep,
    /// A call needs more stack: so many words from the frame on.
    StackFull(usize),
    /// An instruction that the decoder does not write.
    Fault,
}

/// Where the loop stopped.
struct Stop {
    end: End,
    /// At the instruction that ended it.
    pc: Cursor,
    frame: Window,
    /// The registers of that frame.
    words: u32,
    fuel: i64,
}

/// Runs a function.
///
/// # Safety
///
/// What [`Decoded::run`] asks for, and that the function exists.
pub(super) unsafe fn run(
    decoded: &Decoded<'_>,
    function: u32,
    context: *mut Context,
    values: &mut [u64],
    stack: &mut [u64],
    options: Options,
) -> Result<Outcome, Error> {
    let program = &decoded.program;
    let image = &decoded.image;
    let &[entry, words, signature, _] = image
        .table
        .chunks_exact(code::FUNCTION_WORDS)
        .nth(function as usize)
        .ok_or(internal!())?
    else {
        return Err(internal!());
    };
    let parameters = program.parameters(signature).len();
    let longer = parameters.max(program.results(signature).len());
    if values.len() < longer {
        return Err(Error::Full {
            storage: Storage::Values,
            needed: longer,
        });
    }
    for (index, region) in program.regions.iter().enumerate() {
        // SAFETY: the caller promises a context; a verified program has at most as many regions as it binds.
        let bound = unsafe { (*context).regions[index % MAX_REGIONS].size };
        if bound < region.size {
            return Err(Error::Full {
                storage: Storage::Binding,
                needed: usize::try_from(region.size).unwrap_or(usize::MAX),
            });
        }
    }
    // SAFETY: the caller promises a context.
    let (depth, fuel) = unsafe { ((*context).depth, (*context).fuel) };
    let fuel = if options.charge_fuel { fuel } else { i64::MAX };
    let stack_words = stack.len();
    let end = stack.as_ptr_range().end as usize;
    let needed = words as usize + 1;
    // SAFETY: the image is what the decoder made of the program, and lives longer than this run.
    let start = unsafe { Cursor::new(image.code) };
    // SAFETY: `stack` is reached through this window only from here on; the frame is measured before it is used.
    let bottom = unsafe { Window::new(stack) };
    let stop = if depth <= 0 || fuel <= 0 || stack_words < needed {
        let end = if depth <= 0 {
            End::TooDeep
        } else if fuel <= 0 {
            End::OutOfFuel
        } else {
            End::StackFull(needed)
        };
        Stop {
            end,
            pc: start,
            frame: bottom,
            words,
            fuel,
        }
    } else {
        let frame = bottom.up(1);
        frame.set_link(u64::from(NONE));
        for (register, &value) in (0..).zip(values.iter().take(parameters)) {
            frame.set(register, value);
        }
        let begin = Stop {
            end: End::Fault,
            pc: start.skip(entry as usize),
            frame,
            words,
            fuel: fuel - 1,
        };
        // SAFETY: the caller's promise; the frame of the function that begins lies in the stack.
        unsafe { execute(decoded, context, begin, depth - 1, end, options) }
    };
    // SAFETY: the caller promises a context.
    unsafe {
        (*context).depth = depth;
        if options.charge_fuel {
            (*context).fuel = match stop.end {
                End::OutOfFuel => -1,
                _ => stop.fuel,
            };
        }
    }
    let (status, exit_number) = match stop.end {
        End::Returned => {
            let count = program.results(signature).len();
            for (index, value) in values.iter_mut().take(count).enumerate() {
                *value = stop.frame.get(stop.pc.word(1 + index));
            }
            return Ok(Outcome {
                status: Status::Returned,
                exit_number: 0,
            });
        }
        // SAFETY: the frame and those below it were entered by the loop.
        End::Left(exit) => unsafe { leave(decoded, context, start, &stop, exit)? },
        End::HostTrapped(status) => (Status::Trapped, status),
        End::OutOfFuel => (Status::OutOfFuel, 0),
        End::TooDeep => (Status::TooDeep, 0),
        End::StackFull(needed) => {
            return Err(Error::Full {
                storage: Storage::Stack,
                needed: (stack_words - stop.frame.room(end)).saturating_add(needed),
            });
        }
        End::Fault => return Err(internal!()),
    };
    // SAFETY: the caller promises a context.
    unsafe {
        (*context).status = status as u32;
        (*context).exit_number = exit_number;
    }
    Ok(Outcome {
        status,
        exit_number,
    })
}

/// Leaves through an exit, and through those that the calls below it carry, down to the entry.
///
/// # Safety
///
/// What [`Decoded::run`] asks for.
#[cold]
unsafe fn leave(
    decoded: &Decoded<'_>,
    context: *mut Context,
    start: Cursor,
    stop: &Stop,
    exit: u32,
) -> Result<(Status, u32), Error> {
    let program = &decoded.program;
    let (mut frame, mut words, mut exit) = (stop.frame, stop.words, exit);
    let innermost = program.exits.get(exit as usize).ok_or(internal!())?.number;
    loop {
        let record = program.exits.get(exit as usize).ok_or(internal!())?;
        for pair in program.snapshot(record).chunks_exact(2) {
            let &[place, value] = pair else {
                return Err(internal!());
            };
            let slot = place_slot(place);
            let bits = match uses::constant_value(program, value) {
                Some(bits) => bits,
                None => match decoded.image.places.get(value as usize) {
                    Some(&place) if place < words => frame.get(place),
                    _ => return Err(internal!()),
                },
            };
            if slot >= program.slot_count {
                return Err(internal!());
            }
            let bits = program.snapshot_bits(place, value, bits);
            // SAFETY: the caller promises as many guest slots as the program declares.
            unsafe { *(*context).slots.add(slot as usize) = bits };
        }
        if record.kind == ExitKind::Trap {
            return Ok((Status::Trapped, innermost));
        }
        let link = frame.link();
        if link as u32 == NONE {
            return Ok((Status::Deoptimized, innermost));
        }
        words = (link >> 32) as u32;
        frame = frame.down(words as usize + 1);
        // Both kinds of call have their exit there.
        exit = start.skip(link as u32 as usize).word(2);
    }
}

/// The loop. Begins where `begin` says, and says where and why it stopped.
///
/// # Safety
///
/// What [`Decoded::run`] asks for; the image was decoded from a verified program; the frame that begins lies in the stack,
/// which ends at the address `end`.
unsafe fn execute(
    decoded: &Decoded<'_>,
    context: *mut Context,
    begin: Stop,
    mut depth: i64,
    end: usize,
    options: Options,
) -> Stop {
    let (program, image) = (&decoded.program, &decoded.image);
    // SAFETY: the decoder's words, which live longer than this run.
    let (start, table) = unsafe { (Cursor::new(image.code), Cursor::new(image.table)) };
    let Stop {
        mut pc,
        mut frame,
        mut words,
        mut fuel,
        ..
    } = begin;

    macro_rules! stop {
        ($end:expr) => {
            return Stop {
                end: $end,
                pc,
                frame,
                words,
                fuel,
            }
        };
    }
    macro_rules! register {
        ($word:expr) => {
            frame.get(pc.word($word))
        };
    }
    macro_rules! give {
        ($value:expr) => {
            frame.set(pc.word(1), $value)
        };
    }
    // Goes to the target in a word. Jumps that cost nothing pass the check too: it costs less than a second kind of jump.
    macro_rules! take {
        ($head:expr, $word:expr) => {
            fuel -= i64::from($head >> 16);
            if fuel < 0 {
                stop!(End::OutOfFuel);
            }
            pc = start.skip(pc.word($word) as usize);
        };
    }
    macro_rules! branch {
        ($head:expr, $taken:expr, $word:expr) => {
            if $taken {
                take!($head, $word);
            } else {
                pc = pc.skip($word + 1);
            }
        };
    }
    // Enters a function of the program, from the call at `pc`.
    macro_rules! enter {
        ($callee:expr) => {
            let callee = table.skip($callee as usize * code::FUNCTION_WORDS);
            if depth <= 0 {
                stop!(End::TooDeep);
            }
            depth -= 1;
            fuel -= 1;
            if fuel < 0 {
                stop!(End::OutOfFuel);
            }
            let needed = words as usize + 1 + callee.word(1) as usize;
            if frame.room(end) < needed {
                stop!(End::StackFull(needed));
            }
            let above = frame.up(words as usize + 1);
            above.set_link(u64::from(pc.behind(start)) | u64::from(words) << 32);
            for argument in 0..pc.word(3) {
                above.set(argument, register!(code::CALL_HEAD + argument as usize));
            }
            frame = above;
            words = callee.word(1);
            pc = start.skip(callee.word(0) as usize);
        };
    }
    // Goes back to the caller; binds its call instruction and the word that names its first result.
    macro_rules! go_back {
        (|$call:ident, $above:ident, $first:ident| $copy:expr, $count:expr) => {
            let link = frame.link();
            if link as u32 == NONE {
                stop!(End::Returned);
            }
            let $above = frame;
            let $call = start.skip(link as u32 as usize);
            words = (link >> 32) as u32;
            frame = frame.down(words as usize + 1);
            let $first = code::CALL_HEAD + $call.word(3) as usize;
            depth += 1;
            $copy;
            pc = $call.skip($first + $count);
        };
    }
    // The address of a region access, after its bounds check; binds the offset in the region too.
    macro_rules! access {
        ($head:expr, $width:expr) => {{
            let index = register!(2);
            if index >= pc.pair(5) {
                let region = ($head >> 16) as usize % MAX_REGIONS;
                // SAFETY: the context is the caller's, and binds every region that the program names.
                let size = unsafe { (*context).regions[region].size };
                let end = u64::from(pc.word(3)) + $width as u64;
                if !has_grown(program, region, size, (index, $head >> 30, end)) {
                    stop!(End::Left(pc.word(4)));
                }
            }
            let offset = (index << ($head >> 30)) + u64::from(pc.word(3));
            // SAFETY: the context is the caller's, and binds every region that the program names.
            let base = unsafe { (*context).regions[($head >> 16) as usize % MAX_REGIONS].base };
            // SAFETY: the index is in bounds of the region's declared size, which the binding has at least, or of its size now.
            (unsafe { base.add(offset as usize) }, offset)
        }};
    }
    macro_rules! memory_arm {
        ($head:ident Load $ty:ident $width:literal $sign:literal READS) => {
            let (at, _) = access!($head, $width);
            // SAFETY: in bounds of a region that the caller bound for reads and writes.
            give!(unsafe { memory::load(at, $width, $sign, Type::$ty) });
            pc = pc.skip(7);
        };
        ($head:ident Store $ty:ident $width:literal $sign:literal WRITES) => {
            let (at, _) = access!($head, $width);
            // SAFETY: in bounds of a region that the caller bound for reads and writes.
            unsafe { memory::store(at, $width, register!(1)) };
            pc = pc.skip(7);
        };
        ($head:ident Load $ty:ident $width:literal $sign:literal RAW | READS) => {
            let at = memory::raw(register!(2).wrapping_add_signed(i64::from(pc.word(3) as i32)));
            // SAFETY: the caller promises that the program may read wherever it does.
            give!(unsafe { memory::load(at, $width, $sign, Type::$ty) });
            pc = pc.skip(4);
        };
        ($head:ident Store $ty:ident $width:literal $sign:literal RAW | WRITES) => {
            let at = memory::raw(register!(2).wrapping_add_signed(i64::from(pc.word(3) as i32)));
            // SAFETY: the caller promises that the program may write wherever it does.
            unsafe { memory::store(at, $width, register!(1)) };
            pc = pc.skip(4);
        };
        ($head:ident $shape:ident $ty:ident $width:literal $sign:literal ATOMIC $(| $flag:ident)*) => {
            // Decoded to `ATOMIC`.
            stop!(End::Fault);
        };
    }
    macro_rules! total_arm {
        ($first:expr, $second:expr, ($($ty:ident $operand:ident),*) -> $result:ident $body:block) => {{
            let (first, second): (u64, u64) = ($first, $second);
            let _ = second;
            bind!(first, second, $($ty $operand),*);
            let value: scalar!($result) = $body;
            value.into_bits()
        }};
    }
    macro_rules! leaving_arm {
        ($first:expr, $second:expr, $exit:expr, ($($ty:ident $operand:ident),*) -> $result:ident $body:block) => {{
            let (first, second): (u64, u64) = ($first, $second);
            let _ = second;
            bind!(first, second, $($ty $operand),*);
            let value: Option<scalar!($result)> = $body;
            let Some(value) = value else {
                stop!(End::Left(pc.word($exit)));
            };
            value.into_bits()
        }};
    }

    macro_rules! dispatch {
        (
            {$($total:ident $total_name:literal ($($total_ty:ident $total_operand:ident),*) -> $total_result:ident $total_flags:tt $total_body:block $total_doc:literal;)*}
            {$($leaving:ident $leaving_name:literal ($($leaving_ty:ident $leaving_operand:ident),*) -> $leaving_result:ident $leaving_flags:tt $leaving_body:block $leaving_doc:literal;)*}
            $($memory:ident $memory_name:literal $shape:ident $ty:ident $width:literal $sign:literal [$($flag:ident)|*] $memory_doc:literal;)*
        ) => {
            loop {
                let head = pc.word(0);
                match head as u16 {
                    $(code::register::$total => {
                        const BINARY: bool = is_binary!($($total_operand),*);
                        let second = if BINARY { register!(3) } else { 0 };
                        let value = total_arm!(register!(2), second, ($($total_ty $total_operand),*) -> $total_result $total_body);
                        give!(value);
                        pc = pc.skip(if BINARY { 4 } else { 3 });
                    })*
                    $(code::immediate::$total => {
                        if !is_binary!($($total_operand),*) {
                            stop!(End::Fault);
                        }
                        let second = widen!($($total_ty),*, pc.word(3));
                        let value = total_arm!(register!(2), second, ($($total_ty $total_operand),*) -> $total_result $total_body);
                        give!(value);
                        pc = pc.skip(4);
                    })*
                    $(code::fused::$total => {
                        if const { !uses::fuses_with_branch(Opcode::$total) } {
                            stop!(End::Fault);
                        }
                        let value = total_arm!(register!(1), register!(2), ($($total_ty $total_operand),*) -> $total_result $total_body);
                        branch!(head, value != 0, 3);
                    })*
                    $(code::fused_immediate::$total => {
                        if const { !uses::fuses_with_branch(Opcode::$total) || !is_binary!($($total_operand),*) } {
                            stop!(End::Fault);
                        }
                        let second = widen!($($total_ty),*, pc.word(2));
                        let value = total_arm!(register!(1), second, ($($total_ty $total_operand),*) -> $total_result $total_body);
                        branch!(head, value != 0, 3);
                    })*
                    $(code::register::$leaving => {
                        const BINARY: bool = is_binary!($($leaving_operand),*);
                        let second = if BINARY { register!(3) } else { 0 };
                        let exit = if BINARY { 4 } else { 3 };
                        let value = leaving_arm!(register!(2), second, exit, ($($leaving_ty $leaving_operand),*) -> $leaving_result $leaving_body);
                        give!(value);
                        pc = pc.skip(exit + 1);
                    })*
                    $(code::immediate::$leaving => {
                        if !is_binary!($($leaving_operand),*) {
                            stop!(End::Fault);
                        }
                        let second = widen!($($leaving_ty),*, pc.word(3));
                        let value = leaving_arm!(register!(2), second, 4, ($($leaving_ty $leaving_operand),*) -> $leaving_result $leaving_body);
                        give!(value);
                        pc = pc.skip(5);
                    })*
                    $(code::register::$memory => {
                        memory_arm!(head $shape $ty $width $sign $($flag)|*);
                    })*
                    code::ATOMIC => {
                        let Some(opcode) = atomic_opcode(pc.word(7)) else {
                            stop!(End::Fault);
                        };
                        let (at, offset) = access!(head, opcode.info().width);
                        if offset & (u64::from(opcode.info().width) - 1) != 0 {
                            stop!(End::Left(pc.word(4)));
                        }
                        // SAFETY: in bounds and aligned, as the caller promises of the binding.
                        let old = unsafe { memory::atomic(opcode, at, register!(8), register!(9)) };
                        let Some(old) = old else {
                            stop!(End::Fault);
                        };
                        give!(old);
                        pc = pc.skip(10);
                    }
                    code::TAGGED => {
                        let tag = Tag {
                            mask: pc.pair(4),
                            bits: pc.pair(6),
                            shift: (head >> 16) as u8,
                        };
                        let Some(value) = tagged(pc.word(3), &tag, register!(2)) else {
                            stop!(End::Fault);
                        };
                        give!(value);
                        pc = pc.skip(8);
                    }
                    code::SELECT => {
                        let (condition, first, second) = (register!(2), register!(3), register!(4));
                        give!(if condition as u32 != 0 { first } else { second });
                        pc = pc.skip(5);
                    }
                    code::CONSTANT => {
                        give!(pc.pair(2));
                        pc = pc.skip(4);
                    }
                    code::SLOT_GET => {
                        // SAFETY: the caller promises as many slots as the program declares.
                        give!(unsafe { *(*context).slots.add(pc.word(2) as usize) });
                        pc = pc.skip(3);
                    }
                    code::SLOT_GET_LOW => {
                        // SAFETY: as above.
                        give!(unsafe { *(*context).slots.add(pc.word(2) as usize) } & 0xffff_ffff);
                        pc = pc.skip(3);
                    }
                    code::SLOT_SET => {
                        // SAFETY: as above.
                        unsafe { *(*context).slots.add(pc.word(2) as usize) = register!(1) };
                        pc = pc.skip(3);
                    }
                    code::REGION_SIZE => {
                        let region = pc.word(2) as usize % MAX_REGIONS;
                        // SAFETY: the context is the caller's, and binds every region that the program names.
                        give!(unsafe { (*context).regions[region].size });
                        pc = pc.skip(3);
                    }
                    code::FENCE => {
                        fence(Ordering::SeqCst);
                        pc = pc.skip(1);
                    }
                    code::POLL => {
                        // SAFETY: the context is the caller's; other threads may store here, hence the atomic.
                        if unsafe { (*context).interrupt.load(Ordering::Relaxed) } != 0 {
                            stop!(End::Left(pc.word(1)));
                        }
                        pc = pc.skip(2);
                    }
                    code::EXIT => {
                        stop!(End::Left(pc.word(1)));
                    }
                    code::BRANCH_IF => {
                        branch!(head, register!(1) as u32 != 0, 2);
                    }
                    code::BRANCH_IF_NOT => {
                        branch!(head, register!(1) as u32 == 0, 2);
                    }
                    code::SWITCH => {
                        let index = (register!(1) as u32).min(pc.word(2));
                        pc = start.skip(pc.word(3 + index as usize) as usize);
                    }
                    JUMP_NONE => {
                        take!(head, 1);
                    }
                    JUMP_ONE => {
                        frame.set(pc.word(2), register!(3));
                        take!(head, 1);
                    }
                    JUMP_TWO => {
                        frame.set(pc.word(2), register!(3));
                        frame.set(pc.word(4), register!(5));
                        take!(head, 1);
                    }
                    JUMP_THREE => {
                        frame.set(pc.word(2), register!(3));
                        frame.set(pc.word(4), register!(5));
                        frame.set(pc.word(6), register!(7));
                        take!(head, 1);
                    }
                    MOVE_ONE => {
                        frame.set(pc.word(1), register!(2));
                        pc = pc.skip(3);
                    }
                    MOVE_TWO => {
                        frame.set(pc.word(1), register!(2));
                        frame.set(pc.word(3), register!(4));
                        pc = pc.skip(5);
                    }
                    MOVE_THREE => {
                        frame.set(pc.word(1), register!(2));
                        frame.set(pc.word(3), register!(4));
                        frame.set(pc.word(5), register!(6));
                        pc = pc.skip(7);
                    }
                    code::CALL => {
                        enter!(pc.word(1));
                    }
                    code::CALL_INDIRECT => {
                        let index = register!(1);
                        let functions = (image.table.len() / code::FUNCTION_WORDS) as u64;
                        if index >= functions
                            || table.skip(index as usize * code::FUNCTION_WORDS).word(2) != pc.word(4)
                        {
                            stop!(End::Left(pc.word(2)));
                        }
                        enter!(index);
                    }
                    code::CALL_HOST => {
                        let (arguments, results, outgoing) = (pc.word(3), pc.word(4), pc.word(5));
                        for argument in 0..arguments {
                            let value = register!(code::CALL_HOST_HEAD + argument as usize);
                            frame.set(outgoing + argument, value);
                        }
                        // SAFETY: the caller promises the context and the program's host functions, which find
                        // their arguments, and room for their results, in the outgoing registers.
                        let status = unsafe {
                            (*context).depth = depth;
                            if options.charge_fuel {
                                (*context).fuel = fuel;
                            }
                            let host = *(*context).hosts.add(pc.word(1) as usize);
                            let status = host((*context).host_context, frame.pointer(outgoing));
                            if options.charge_fuel {
                                fuel = (*context).fuel;
                            }
                            status
                        };
                        if status != 0 {
                            stop!(match pc.word(2) {
                                NONE => End::HostTrapped(status),
                                exit => End::Left(exit),
                            });
                        }
                        let first = code::CALL_HOST_HEAD + arguments as usize;
                        for result in 0..results {
                            let value = frame.get(outgoing + result);
                            frame.set(pc.word(first + result as usize), value);
                        }
                        pc = pc.skip(first + results as usize);
                    }
                    code::RETURN_CALL => {
                        let callee = table.skip(pc.word(1) as usize * code::FUNCTION_WORDS);
                        let (arguments, outgoing) = (pc.word(2), pc.word(3));
                        fuel -= 1;
                        if fuel < 0 {
                            stop!(End::OutOfFuel);
                        }
                        let needed = callee.word(1) as usize;
                        if frame.room(end) < needed {
                            stop!(End::StackFull(needed));
                        }
                        for argument in 0..arguments {
                            let value = register!(code::RETURN_CALL_HEAD + argument as usize);
                            frame.set(outgoing + argument, value);
                        }
                        // The outgoing registers do not begin before the first parameter, so that none is overwritten
                        // before it is copied.
                        for argument in 0..arguments {
                            frame.set(argument, frame.get(outgoing + argument));
                        }
                        words = callee.word(1);
                        pc = start.skip(callee.word(0) as usize);
                    }
                    code::RETURN_ONE => {
                        let value = register!(1);
                        go_back!(|call, _above, first| frame.set(call.word(first), value), 1);
                    }
                    code::RETURN => {
                        let count = (head >> 16) as usize;
                        let list = pc;
                        go_back!(|call, above, first| for result in 0..count {
                            frame.set(call.word(first + result), above.get(list.word(1 + result)));
                        }, count);
                    }
                    _ => {
                        stop!(End::Fault);
                    }
                }
            }
        };
    }
    for_each_executed_op!(dispatch)
}

const JUMP_NONE: u16 = code::JUMP;
const JUMP_ONE: u16 = code::JUMP + 1;
const JUMP_TWO: u16 = code::JUMP + 2;
const JUMP_THREE: u16 = code::JUMP + 3;
const MOVE_ONE: u16 = code::MOVE + 1;
const MOVE_TWO: u16 = code::MOVE + 2;
const MOVE_THREE: u16 = code::MOVE + 3;
const _: () = assert!(code::MOST_MOVES == 3);

/// Whether an access that is beyond a region's least size is in bounds of what the region has grown to: at this index, with
/// the binary logarithm of its unit and the bytes up to the access's end.
#[cold]
fn has_grown(
    program: &Program<'_>,
    region: usize,
    size: u64,
    (index, scale, end): (u64, u32, u64),
) -> bool {
    let grows = program.regions.get(region).is_some_and(Region::grows);
    grows && (u128::from(index) << scale) + u128::from(end) <= u128::from(size)
}

/// The value of the op on tagged words with this number.
#[inline(always)]
fn tagged(number: u32, tag: &Tag, operand: u64) -> Option<u64> {
    let index = number.checked_sub(TAG_OPS[0] as u32)?;
    evaluate_tag(*TAG_OPS.get(index as usize)?, tag, operand)
}

/// The atomic op with this number.
fn atomic_opcode(number: u32) -> Option<Opcode> {
    use Opcode::*;
    const OPS: [Opcode; 16] = [
        I32AtomicLoad,
        I32AtomicStore,
        I32AtomicAdd,
        I32AtomicAnd,
        I32AtomicOr,
        I32AtomicXor,
        I32AtomicXchg,
        I32AtomicCmpxchg,
        I64AtomicLoad,
        I64AtomicStore,
        I64AtomicAdd,
        I64AtomicAnd,
        I64AtomicOr,
        I64AtomicXor,
        I64AtomicXchg,
        I64AtomicCmpxchg,
    ];
    let index = number.checked_sub(I32AtomicLoad as u32)?;
    OPS.get(index as usize).copied()
}
