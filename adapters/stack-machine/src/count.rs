//! A trace's program, walked op by op, to count what it executes.
//!
//! With [`crate::host::Options::count`] the host walks traces in place of running their code. That is slow, and gives for each
//! op how often it was executed: so guards per iteration are counted where they happen, and not estimated.

use crate::heap::Heap;
use patchjit::ir::{Op, Program, Tag, place_slot};
use patchjit::ops::{Opcode, Shape, evaluate, evaluate_tag, flags};
use patchjit::types::Type;
use patchjit::verify::Verified;

/// A program of one function, and how often its ops were executed.
#[derive(Clone, Debug)]
pub struct Counted {
    ops: Vec<Op>,
    extra: Vec<u32>,
    /// First op and number of parameters of each block.
    blocks: Vec<(u32, u32)>,
    exits: Vec<patchjit::ir::Exit>,
    tags: Vec<Tag>,
    /// For each op: how often it was executed.
    counts: Vec<u64>,
    /// How often an edge led back.
    rounds: u64,
}

/// A kind of check or condition that is left, and how often it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What is checked.
    pub what: String,
    /// It is a condition of the program's own: what a loop or a branch of the program asks, whichever way it is compiled. Everything else
    /// is there because the language is checked.
    pub own: bool,
    /// How often.
    pub times: u64,
}

impl Counted {
    /// Of this program's first function.
    pub fn new(verified: &Verified<'_>) -> Counted {
        let program: &Program<'_> = verified.program();
        let blocks = program.blocks.iter();
        Counted {
            ops: program.ops.to_vec(),
            extra: program.extra.to_vec(),
            blocks: blocks.map(|b| (b.first_op, b.parameter_count)).collect(),
            exits: program.exits.to_vec(),
            tags: program.tags.to_vec(),
            counts: vec![0; program.ops.len()],
            rounds: 0,
        }
    }

    /// Counts anew from here on.
    pub fn forget(&mut self) {
        self.counts.fill(0);
        self.rounds = 0;
    }

    /// How often the trace went back to its head, or round another loop in it.
    pub fn rounds(&self) -> u64 {
        self.rounds
    }

    /// How many ops were executed, parameters, constants and jumps not counted.
    pub fn ops(&self) -> u64 {
        let works = |op: &Op| {
            let shape = op.code.info().shape;
            !matches!(shape, Shape::Parameter | Shape::Constant | Shape::Jump)
        };
        let all = self.ops.iter().zip(&self.counts);
        all.filter(|(op, _)| works(op))
            .map(|(_, count)| count)
            .sum()
    }

    /// The checks that were made: guards, overflow and bounds checks; and the program's own conditions. Those of a kind are told together.
    pub fn checks(&self) -> Vec<Check> {
        let mut checks: Vec<Check> = Vec::new();
        for (op, &times) in self.ops.iter().zip(&self.counts) {
            if times == 0 {
                continue;
            }
            let Some((what, own)) = self.check(op) else {
                continue;
            };
            match checks.iter_mut().find(|check| check.what == what) {
                Some(check) => check.times += times,
                None => checks.push(Check { what, own, times }),
            }
        }
        checks
    }

    /// What an op checks, if it does, and whether the program itself asks for it.
    fn check(&self, op: &Op) -> Option<(String, bool)> {
        let info = op.code.info();
        match info.shape {
            Shape::Guard | Shape::Branch => Some(self.condition(op.a)),
            Shape::Exit => None,
            // The optimizer proved it, and no check is made.
            Shape::Load | Shape::Store if op.is_in_bounds() => None,
            Shape::Load | Shape::Store if info.has(flags::LEAVES) => {
                let what = format!("bounds of region {} ({})", op.region(), info.name);
                Some((what, false))
            }
            _ if info.has(flags::LEAVES) => {
                Some((format!("overflow or zero ({})", info.name), false))
            }
            _ => None,
        }
    }

    /// What a condition asks. The recorder compares integers of 32 bits and floats for the program only; its own tests are of tags, of words
    /// of 64 bits and of what is below a length. The optimizer's are of words of 64 bits.
    fn condition(&self, value: u32) -> (String, bool) {
        let op = self.ops[value as usize];
        let info = op.code.info();
        let compares = info.has(flags::COMPARES);
        match info.shape {
            Shape::Tag if op.code == Opcode::I64TagTest => {
                (format!("type of {}", self.origin(op.a)), false)
            }
            Shape::Tag => ("condition, boxed".into(), true),
            Shape::Binary if compares && matches!(info.operands[0], Type::I32 | Type::F64) => {
                (format!("condition ({})", info.name), true)
            }
            Shape::Unary if op.code == Opcode::I32Eqz => ("condition (i32.eqz)".into(), true),
            Shape::Binary if op.code == Opcode::I64LtU => ("index below length".into(), false),
            Shape::Binary if compares || op.code == Opcode::I32And => {
                ("test in front of a loop, for checks in it".into(), false)
            }
            Shape::Binary | Shape::Unary => {
                (format!("{} of {}", info.name, self.origin(op.a)), false)
            }
            _ => (format!("condition that is {}", self.origin(value)), false),
        }
    }

    fn origin(&self, value: u32) -> &'static str {
        match self.ops[value as usize].code.info().shape {
            Shape::Parameter => "a value carried round",
            Shape::Load => "an element",
            Shape::SlotGet => "a variable that the loop does not change",
            Shape::Constant => "a constant",
            _ => "a result",
        }
    }

    /// Runs it; gives the number of the exit.
    ///
    /// # Panics
    ///
    /// If it meets an op that this host neither records nor gets from the optimizer.
    pub(crate) fn run(&mut self, slots: &mut [u64], heap: &mut Heap) -> u32 {
        let mut values = vec![0u64; self.ops.len()];
        let mut at = 0;
        loop {
            let op = self.ops[at];
            self.counts[at] += 1;
            let info = op.code.info();
            let (a, b) = (value(&values, op.a), value(&values, op.b));
            let mut leaves = None;
            match info.shape {
                Shape::Parameter => {}
                Shape::Constant => values[at] = op.constant(),
                Shape::Unary | Shape::Binary => match evaluate(op.code, a, b).flatten() {
                    Some(result) => values[at] = result,
                    None => leaves = Some(op.c),
                },
                Shape::Tag => {
                    let tag = self.tags[usize::from(op.aux)];
                    values[at] = evaluate_tag(op.code, &tag, a).unwrap_or_default();
                }
                Shape::Select => {
                    values[at] = if a as u32 != 0 {
                        b
                    } else {
                        value(&values, op.c)
                    };
                }
                Shape::SlotGet => values[at] = slots[op.c as usize],
                Shape::SlotSet => slots[op.c as usize] = a,
                Shape::Load | Shape::Store => {
                    let offset = u64::from(self.extra[op.c as usize]);
                    let region = match op.region() {
                        0 => &mut heap.lengths,
                        1 => &mut heap.starts,
                        _ => &mut heap.elements,
                    };
                    let place = a.checked_mul(1 << op.scale()).map(|a| (a + offset) / 8);
                    match place.and_then(|place| region.get_mut(place as usize)) {
                        Some(word) if info.shape == Shape::Load => values[at] = *word,
                        Some(word) => *word = b,
                        None => leaves = Some(self.extra[op.c as usize + 1]),
                    }
                }
                Shape::Guard => {
                    let holds = (a as u32 != 0) == (op.code == Opcode::Guard);
                    leaves = (!holds).then_some(op.c);
                }
                Shape::Exit => leaves = Some(op.c),
                Shape::Jump => {
                    at = self.follow(op.b, at, &mut values);
                    continue;
                }
                Shape::Branch => {
                    let edge = if a as u32 != 0 { op.b } else { op.c };
                    at = self.follow(edge, at, &mut values);
                    continue;
                }
                _ => panic!("{} is not walked", info.name),
            }
            if let Some(exit) = leaves {
                return self.leave(exit, slots, &values);
            }
            at += 1;
        }
    }

    /// Passes the arguments of an edge; gives the op at which its block begins.
    fn follow(&mut self, edge: u32, from: usize, values: &mut [u64]) -> usize {
        let edge = edge as usize;
        let (first, count) = self.blocks[self.extra[edge] as usize];
        let arguments = &self.extra[edge + 2..edge + 2 + count as usize];
        let passed: Vec<u64> = arguments.iter().map(|&a| value(values, a)).collect();
        let first = first as usize;
        values[first..first + passed.len()].copy_from_slice(&passed);
        self.rounds += u64::from(first <= from);
        first
    }

    /// Writes an exit's snapshot.
    fn leave(&self, exit: u32, slots: &mut [u64], values: &[u64]) -> u32 {
        let exit = self.exits[exit as usize];
        let first = exit.snapshot as usize;
        let pairs = &self.extra[first..first + 2 * exit.entry_count as usize];
        let program = Program {
            ops: &self.ops,
            extra: &self.extra,
            exits: &self.exits,
            tags: &self.tags,
            ..Program::default()
        };
        for pair in pairs.chunks_exact(2) {
            let bits = program.snapshot_bits(pair[0], pair[1], value(values, pair[1]));
            slots[place_slot(pair[0]) as usize] = bits;
        }
        exit.number
    }
}

/// A value, or zero where an op has no such operand.
fn value(values: &[u64], index: u32) -> u64 {
    values.get(index as usize).copied().unwrap_or_default()
}
