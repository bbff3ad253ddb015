//! What is known of block parameters: what the edges pass, and for loops what holds in every round.
//!
//! Takes a parameter that was asked about, in the draft; promises a fact that holds in its block, noted with it
//! ([`super::learn`]). It is the join of what the edges pass, once for each parameter. Of an edge that comes back the argument's
//! ops may not be walked yet, so they are looked at as they stand in the program ([`super::ahead`]), with nothing known of the
//! loop's parameters; that holds in every round. A parameter that steps in one direction and cannot wrap on its way, because the
//! op is checked or a condition bounds it before, stays on its side of where it began. This takes the place of widening: nothing is
//! iterated.
//!
//! Costs a constant for each argument of an edge to a parameter that is asked about.

use super::ahead::Inside;
use super::carry::Boxing;
use super::facts::{FACT_WORDS, Fact};
use super::learn::{DEPTH, width_of};
use super::transfer;
use super::walk::Walk;
use super::width::{Width, narrowed_with_width};
use super::workspace::{
    BLOCK, BLOCK_WORDS, CHAIN, COMING, FLAG_LOOP, FLAG_PEELED, FLAG_TANGLED, FLAGS, INCOMING,
    NOTE_BLOCK, NOTE_FACT, NOTE_NEXT, PEEL, PENDING, POSITION, STATE,
};
use crate::ir::{NONE, Op};
use crate::ops::Opcode;

/// How many parameters may wait for each other.
const MOST_NESTING: u32 = 3;

/// In [`STATE`] of a parameter: it is being looked at.
const IN_PROGRESS: u32 = 1;
/// In [`STATE`] of a parameter: it was looked at, and is noted if anything was found.
const LOOKED_AT: u32 = 2;

/// A step of a loop's parameter from round to round.
pub(super) struct Step {
    pub by: i64,
    /// It cannot wrap.
    pub exact: bool,
}

impl Walk<'_, '_, '_, '_> {
    /// Finds out once what holds of a parameter in its block.
    pub fn look_at_parameter(&mut self, value: u32, op: &Op) {
        let record = &mut self.workspace.values[value as usize];
        if record[STATE] != 0 || self.nesting >= MOST_NESTING || record[BLOCK] == NONE {
            return;
        }
        record[STATE] = IN_PROGRESS;
        let (block, place) = (record[BLOCK], record[CHAIN]);
        self.nesting += 1;
        let fact = self.parameter(value, op, place);
        self.nesting -= 1;
        self.workspace.values[value as usize][STATE] = LOOKED_AT;
        if fact != Fact::top(width_of(op)) && !fact.is_empty() {
            self.note(value, block, &fact);
        }
    }

    fn parameter(&mut self, value: u32, op: &Op, place: u32) -> Fact {
        let width = width_of(op);
        let top = Fact::top(width);
        let record = self.workspace.blocks[place as usize];
        let loops = record[FLAGS] & FLAG_LOOP != 0;
        if self.order.verbatim
            || place == 0
            || record[FLAGS] & FLAG_TANGLED != 0
            || (record[PENDING] != 0 && !loops)
        {
            return top;
        }
        let block = self.function.first_block + self.original(place);
        if loops && record[FLAGS] & FLAG_PEELED != 0 {
            let begins = self.begins_behind_copy(&record, op);
            return self.carried(op, block, begins);
        }
        let mut known: Option<Fact> = None;
        let mut edge = record[INCOMING];
        while edge != NONE {
            let [at, from, next] = self.workspace.edges[edge as usize];
            edge = next;
            let Some(&argument) = self.extra.get(at + 2 + op.a) else {
                return top;
            };
            if argument == value {
                continue;
            }
            let one = self.fact_at(argument, from, DEPTH);
            let joined = known.map_or(one, |known| known.join(&one));
            if joined == top && !loops {
                return top;
            }
            known = Some(joined);
        }
        let Some(begins) = known else {
            return top;
        };
        if !loops || record[PENDING] == 0 {
            return begins;
        }
        self.carried(op, block, begins)
    }

    /// What the copy of a peeled loop passes for a parameter of the head, as it was noted.
    fn begins_behind_copy(&self, head: &[u32; BLOCK_WORDS], op: &Op) -> Fact {
        let note = head[PEEL].checked_add(op.a);
        let note = note.and_then(|note| self.workspace.notes.get(note as usize));
        match note.and_then(|note| note[NOTE_FACT..].first_chunk::<FACT_WORDS>()) {
            Some(words) => Fact::from_words(words),
            None => Fact::top(width_of(op)),
        }
    }

    /// Notes what the edges made so far pass for each parameter of a block, in a row; gives the first note, or [`NONE`].
    pub fn note_arguments(&mut self, block: u32) -> u32 {
        let program = self.program;
        let record = &program.blocks[(self.function.first_block + block) as usize];
        let first = self.notes;
        let room = self.workspace.notes.len() as u32 - first;
        if room < record.parameter_count {
            return NONE;
        }
        self.notes += record.parameter_count;
        for index in 0..record.parameter_count {
            let mut top = Fact::top(Width::of_bits(64));
            let mut known = None;
            let mut edge = self.workspace.blocks[block as usize][INCOMING];
            while edge != NONE && known != Some(top) {
                let [at, from, next] = self.workspace.edges[edge as usize];
                edge = next;
                let Some(&argument) = self.extra.get(at + 2 + index) else {
                    known = Some(top);
                    break;
                };
                top = Fact::top(width_of(&self.draft[argument as usize]));
                let one = self.fact_at(argument, from, DEPTH);
                known = Some(known.map_or(one, |known| known.join(&one)));
            }
            let note = &mut self.workspace.notes[(first + index) as usize];
            note[NOTE_BLOCK] = NONE;
            note[NOTE_NEXT] = NONE;
            note[NOTE_FACT..].copy_from_slice(&known.unwrap_or(top).into_words());
        }
        first
    }

    /// What holds of a loop's parameter in every round, where `begins` holds in the first.
    fn carried(&mut self, op: &Op, block: u32, begins: Fact) -> Fact {
        let width = width_of(op);
        if begins == Fact::top(width) {
            return begins;
        }
        let program = self.program;
        let local = (block - self.function.first_block) as usize;
        let position = self.workspace.blocks[local][POSITION];
        let parameter = Inside {
            value: program.blocks[block as usize].first_op + op.a,
            boxing: Boxing::from_word(op.b),
        };
        let (mut all, mut up, mut down) = (begins, true, true);
        let mut edge = self.workspace.blocks[local][COMING];
        let mut several = false;
        while edge != NONE {
            let [at, from, next] = self.workspace.edges[edge as usize];
            edge = next;
            if from < position {
                continue;
            }
            let argument = self.unaliased(program.extra[(at + 2 + op.a) as usize]);
            if argument == parameter.value {
                continue;
            }
            let argument = match parameter.boxing {
                None => argument,
                Some(boxing) => match self.inside(argument, block, boxing) {
                    Ok(carried) => carried,
                    Err(fact) => {
                        (up, down, several) = (false, false, true);
                        all = all.join(&fact);
                        continue;
                    }
                },
            };
            // What the way back says of the argument also bounds the parameter, if there is no other way back.
            let source = self.workspace.order[from as usize] + self.function.first_block;
            let whole = Inside {
                value: argument,
                boxing: None,
            };
            let taken = self.edge_condition(source, at, whole, width);
            let bound = if several || self.comes_back_otherwise(edge, position) {
                Fact::top(width)
            } else {
                begins.join(&taken)
            };
            several = true;
            let (one, step) = self.next_round(argument, parameter, block, width, &bound);
            let step = step.filter(|step| step.exact);
            up &= step.as_ref().is_some_and(|step| step.by >= 0);
            down &= step.as_ref().is_some_and(|step| step.by <= 0);
            all = all.join(&one.meet(width, &taken));
        }
        if up {
            all = all.meet(width, &Fact::signed(width, begins.low, width.most()));
        }
        if down {
            all = all.meet(width, &Fact::signed(width, width.least(), begins.high));
        }
        all
    }

    /// Whether one of these edges of the program comes back.
    fn comes_back_otherwise(&self, mut edge: u32, position: u32) -> bool {
        while edge != NONE {
            let [_, from, next] = self.workspace.edges[edge as usize];
            if from >= position {
                return true;
            }
            edge = next;
        }
        false
    }

    /// What an argument of an edge that comes back may be, and how it differs from the parameter.
    pub fn next_round(
        &mut self,
        argument: u32,
        parameter: Inside,
        head: u32,
        width: Width,
        bound: &Fact,
    ) -> (Fact, Option<Step>) {
        let op = self.program.ops[argument as usize];
        let (narrow, _) = narrowed_with_width(op.code);
        let subtracts = matches!(narrow, Opcode::I32Sub | Opcode::I32SubChecked);
        let checked = matches!(narrow, Opcode::I32AddChecked | Opcode::I32SubChecked);
        let adds = matches!(narrow, Opcode::I32Add | Opcode::I32AddChecked);
        if adds || subtracts {
            let by = if self.is_same(op.a, parameter) {
                Some(op.b)
            } else if adds && self.is_same(op.b, parameter) {
                Some(op.a)
            } else {
                None
            };
            if let Some(by) = by {
                let by = self.old_fact(by, head, 1);
                if by == Fact::top(width) {
                    return (by, None);
                }
                let within = self
                    .conditions(parameter, argument, head, width)
                    .meet(width, bound);
                let one = transfer::value_of(width, narrow, &within, &by);
                let by = by.known().map(|bits| width.signed(bits));
                let by = by.and_then(|by| {
                    if subtracts {
                        by.checked_neg()
                    } else {
                        Some(by)
                    }
                });
                let step = by.map(|by| {
                    let end =
                        i128::from(by) + i128::from(if by > 0 { within.high } else { within.low });
                    let fits = end <= i128::from(width.most()) && end >= i128::from(width.least());
                    Step {
                        by,
                        exact: checked || fits,
                    }
                });
                return (one, step);
            }
        }
        (self.old_fact(argument, head, DEPTH), None)
    }
}
