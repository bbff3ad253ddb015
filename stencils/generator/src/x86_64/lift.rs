//! Lifts a compiled function to blocks and lays them out again, so that control falls out of its end.
//!
//! The compiler ends a stencil with jumps to the continuation and to the target, in any order and number.
//! Here the block that ends with the continuation goes last and loses its jump; other jumps to the
//! continuation become short ones to the end; every jump to the target gets a 32-bit hole.

use crate::architecture::Code;
use crate::objects::{Function, Symbol};
use iced_x86::{ConditionCode, Decoder, DecoderOptions, FlowControl, Instruction};
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Local(usize),
    Continuation,
    Target,
}

#[derive(Clone, Copy, Debug)]
enum End {
    Goes(Place),
    Branches(u8, Place, Place),
    Stops,
}

#[derive(Clone, Debug)]
struct Block {
    bytes: Vec<u8>,
    targets: Vec<usize>,
    end: End,
}

/// Decodes code into its instructions; an error if something is no instruction.
pub fn decode(bytes: &[u8]) -> Result<Vec<Instruction>, String> {
    let mut decoder = Decoder::with_ip(64, bytes, 0, DecoderOptions::NONE);
    let mut instructions = Vec::new();
    while decoder.can_decode() {
        let instruction = decoder.decode();
        if instruction.is_invalid() {
            return Err(format!(
                "no instruction at {}: {bytes:02x?}",
                instruction.ip()
            ));
        }
        instructions.push(instruction);
    }
    Ok(instructions)
}

/// Where the displacements and immediates of instructions stand, and how many bytes they have.
pub fn constants(bytes: &[u8]) -> Result<Vec<(usize, usize)>, String> {
    let mut decoder = Decoder::with_ip(64, bytes, 0, DecoderOptions::NONE);
    let mut found = Vec::new();
    for instruction in decode(bytes)? {
        let at = instruction.ip() as usize;
        let same = decoder.decode();
        let offsets = decoder.get_constant_offsets(&same);
        if offsets.has_displacement() {
            found.push((
                at + offsets.displacement_offset(),
                offsets.displacement_size(),
            ));
        }
        if offsets.has_immediate() {
            found.push((at + offsets.immediate_offset(), offsets.immediate_size()));
        }
    }
    Ok(found)
}

/// Lays a function out anew.
pub fn lift(function: &Function) -> Result<Code, String> {
    let blocks = blocks(function)?;
    if resolve(&blocks, Place::Local(0))? == Place::Target {
        // Nothing but the jump itself.
        return Ok(Code {
            bytes: vec![0xe9, 0, 0, 0, 0],
            targets: vec![1],
        });
    }
    let order = order(&blocks)?;
    emit(&blocks, &order)
}

fn condition_bits(condition: ConditionCode) -> Result<u8, String> {
    use ConditionCode as C;
    Ok(match condition {
        C::o => 0,
        C::no => 1,
        C::b => 2,
        C::ae => 3,
        C::e => 4,
        C::ne => 5,
        C::be => 6,
        C::a => 7,
        C::s => 8,
        C::ns => 9,
        C::p => 10,
        C::np => 11,
        C::l => 12,
        C::ge => 13,
        C::le => 14,
        C::g => 15,
        C::None => return Err("a jump on no condition".into()),
    })
}

/// Cuts a function into blocks, by the address at which each begins.
fn blocks(function: &Function) -> Result<BTreeMap<usize, Block>, String> {
    let instructions = decode(&function.code)?;
    let relocation_in = |instruction: &Instruction| {
        let (start, end) = (instruction.ip() as usize, instruction.next_ip() as usize);
        function
            .relocations
            .iter()
            .find(|relocation| (start..end).contains(&relocation.at))
    };
    let destination = |instruction: &Instruction| match relocation_in(instruction) {
        Some(relocation) if relocation.at + 4 != instruction.next_ip() as usize => {
            Err("a relocation that is not at an instruction's end".to_owned())
        }
        Some(relocation) if relocation.symbol == Symbol::Continuation => Ok(Place::Continuation),
        Some(_) => Ok(Place::Target),
        None => Ok(Place::Local(instruction.near_branch64() as usize)),
    };
    // Where blocks begin.
    let mut starts = vec![0];
    for instruction in &instructions {
        if let FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch =
            instruction.flow_control()
        {
            starts.push(instruction.next_ip() as usize);
            if let Place::Local(at) = destination(instruction)? {
                starts.push(at);
            }
        }
    }
    starts.sort_unstable();
    starts.dedup();
    let mut blocks = BTreeMap::new();
    let mut current = Block {
        bytes: vec![],
        targets: vec![],
        end: End::Stops,
    };
    let mut start = 0;
    let mut closed = false;
    for instruction in &instructions {
        let at = instruction.ip() as usize;
        let next = instruction.next_ip() as usize;
        if closed || (at != start && starts.contains(&at)) {
            if !closed {
                current.end = End::Goes(Place::Local(at));
            }
            let finished = std::mem::replace(
                &mut current,
                Block {
                    bytes: vec![],
                    targets: vec![],
                    end: End::Stops,
                },
            );
            blocks.insert(start, finished);
            (start, closed) = (at, false);
        }
        let mut keep = true;
        match instruction.flow_control() {
            FlowControl::Next | FlowControl::Call | FlowControl::IndirectCall => {}
            FlowControl::UnconditionalBranch => {
                current.end = End::Goes(destination(instruction)?);
                (keep, closed) = (false, true);
            }
            FlowControl::ConditionalBranch => {
                current.end = End::Branches(
                    condition_bits(instruction.condition_code())?,
                    destination(instruction)?,
                    Place::Local(next),
                );
                (keep, closed) = (false, true);
            }
            FlowControl::Return | FlowControl::IndirectBranch | FlowControl::Exception => {
                current.end = End::Stops;
                closed = true;
            }
            other => return Err(format!("an instruction with flow {other:?}")),
        }
        if keep {
            if let Some(relocation) = relocation_in(instruction) {
                if relocation.symbol != Symbol::Target || relocation.at + 4 != next {
                    return Err("a relocation in the middle of code".into());
                }
                current
                    .targets
                    .push(current.bytes.len() + (relocation.at - at));
            }
            current.bytes.extend_from_slice(&function.code[at..next]);
        }
    }
    if !closed {
        return Err("a function without an end".into());
    }
    blocks.insert(start, current);
    Ok(blocks)
}

/// Follows blocks that hold nothing but a jump.
fn resolve(blocks: &BTreeMap<usize, Block>, mut place: Place) -> Result<Place, String> {
    for _ in 0..=blocks.len() {
        let Place::Local(at) = place else {
            return Ok(place);
        };
        let block = blocks.get(&at).ok_or("a jump into an instruction")?;
        match block.end {
            End::Goes(next) if block.bytes.is_empty() => place = next,
            _ => return Ok(place),
        }
    }
    Err("jumps in a circle".into())
}

/// The reachable blocks in their new order: as they stood, the last one that goes to the continuation last.
fn order(blocks: &BTreeMap<usize, Block>) -> Result<Vec<usize>, String> {
    let mut reachable = Vec::new();
    let mut open = vec![resolve(blocks, Place::Local(0))?];
    while let Some(place) = open.pop() {
        let Place::Local(at) = place else { continue };
        if reachable.contains(&at) {
            continue;
        }
        reachable.push(at);
        match blocks[&at].end {
            End::Goes(next) => open.push(resolve(blocks, next)?),
            End::Branches(_, taken, next) => {
                open.push(resolve(blocks, taken)?);
                open.push(resolve(blocks, next)?);
            }
            End::Stops => {}
        }
    }
    reachable.sort_unstable();
    let mut last = None;
    for (index, at) in reachable.iter().enumerate() {
        let falls_out = match blocks[at].end {
            End::Goes(next) => resolve(blocks, next)? == Place::Continuation,
            End::Branches(_, taken, next) => {
                resolve(blocks, taken)? == Place::Continuation
                    || resolve(blocks, next)? == Place::Continuation
            }
            End::Stops => false,
        };
        if falls_out {
            last = Some(index);
        }
    }
    if let Some(index) = last
        && reachable[index] != 0
    {
        let at = reachable.remove(index);
        reachable.push(at);
    }
    Ok(reachable)
}

/// Writes the blocks with their jumps; local jumps are short.
fn emit(blocks: &BTreeMap<usize, Block>, order: &[usize]) -> Result<Code, String> {
    let mut code = Code {
        bytes: vec![],
        targets: vec![],
    };
    let mut begins = BTreeMap::new();
    let mut short_jumps: Vec<(usize, Place)> = Vec::new();
    let target_hole = |code: &mut Code| {
        code.targets.push(code.bytes.len() as u8);
        code.bytes.extend([0; 4]);
    };
    for (index, at) in order.iter().enumerate() {
        begins.insert(*at, code.bytes.len());
        let block = &blocks[at];
        for hole in &block.targets {
            code.targets.push((code.bytes.len() + hole) as u8);
        }
        code.bytes.extend_from_slice(&block.bytes);
        let following = match order.get(index + 1) {
            Some(&next) => Place::Local(next),
            None => Place::Continuation,
        };
        let (condition, taken, next) = match block.end {
            End::Stops => continue,
            End::Goes(next) => (None, next, next),
            End::Branches(condition, taken, next) => (Some(condition), taken, next),
        };
        let (mut taken, mut next) = (resolve(blocks, taken)?, resolve(blocks, next)?);
        if let Some(mut condition) = condition {
            if taken == following {
                (taken, next, condition) = (next, taken, condition ^ 1);
            }
            if taken == Place::Target {
                code.bytes.extend([0x0f, 0x80 | condition]);
                target_hole(&mut code);
            } else {
                code.bytes.extend([0x70 | condition, 0]);
                short_jumps.push((code.bytes.len(), taken));
            }
        }
        if next == following {
            continue;
        }
        if next == Place::Target {
            code.bytes.push(0xe9);
            target_hole(&mut code);
        } else {
            code.bytes.extend([0xeb, 0]);
            short_jumps.push((code.bytes.len(), next));
        }
    }
    for (end, place) in short_jumps {
        let to = match place {
            Place::Local(at) => *begins.get(&at).ok_or("a jump to nowhere")?,
            _ => code.bytes.len(),
        };
        code.bytes[end - 1] = i8::try_from(to as i64 - end as i64)
            .map_err(|_| "a local jump that is too long")? as u8;
    }
    Ok(code)
}
