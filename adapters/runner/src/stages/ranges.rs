//! Which place holds each value when.
//!
//! Follows the compiler's events through a function's blocks. Promises for each value that is kept the moments at
//! which it is read and, from its definition to its end, *spans*: a register while one holds it, else its spill slot,
//! else, for constants and addresses that are made where they are needed, nothing. A value that is copied from a register to another
//! counts as moved if the copy outlasts the old place, else as if it had stayed. What edges move between blocks is not followed: the next
//! block says what its registers hold.

use patchjit::compile::{Event, Location, ValueName};
use patchjit::ir::{Block, Program};
use patchjit::ops::Opcode;
use std::collections::HashMap;

/// Where a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// In this register: integer registers from 0, float registers from 32.
    Register(u32),
    /// In this spill slot and in no register.
    Slot(u32),
    /// Nowhere: it is made again where it is needed.
    Remade,
}

/// A place for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first moment.
    pub from: u32,
    /// The moment behind the last.
    pub to: u32,
    /// Where.
    pub place: Place,
}

/// A value as long as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveRange {
    /// The value.
    pub value: ValueName,
    /// The moment of its definition; a parameter is there from the beginning of its block.
    pub from: u32,
    /// The last moment at which it is kept.
    pub to: u32,
    /// The positions of the ops that read it, in ascending order; an exit's snapshot and an edge's arguments count.
    pub uses: Vec<u32>,
    /// Where it is, without overlaps, in ascending order.
    pub spans: Vec<Span>,
}

/// Follows the events of a function.
pub(super) struct Ranges<'a> {
    program: &'a Program<'a>,
    position_of: &'a HashMap<u32, u32>,
    values: Vec<LiveRange>,
    index: HashMap<ValueName, usize>,
    slots: HashMap<ValueName, u32>,
    /// The last value that each spill slot was given to.
    owners: HashMap<u32, ValueName>,
    /// What each register holds, and since when.
    registers: HashMap<u32, (ValueName, u32)>,
    /// The position of the op at hand.
    position: u32,
    /// The position of the next block.
    next_block: u32,
    in_edge: bool,
}

impl<'a> Ranges<'a> {
    pub fn new(program: &'a Program<'a>, position_of: &'a HashMap<u32, u32>) -> Ranges<'a> {
        Ranges {
            program,
            position_of,
            values: Vec::new(),
            index: HashMap::new(),
            slots: HashMap::new(),
            owners: HashMap::new(),
            registers: HashMap::new(),
            position: 0,
            next_block: 0,
            in_edge: false,
        }
    }

    pub fn event(&mut self, event: &Event) {
        let before = 2 * self.position;
        match *event {
            Event::Live { value, from, to } => {
                self.index.insert(value, self.values.len());
                self.values.push(LiveRange {
                    value,
                    from: self.beginning(value, from),
                    to,
                    uses: Vec::new(),
                    spans: Vec::new(),
                });
            }
            Event::SpillSlot { value, slot } => {
                self.slots.insert(value, slot);
                self.owners.insert(slot, value);
            }
            Event::Block { block, continues } => {
                self.position = self.next_block;
                self.next_block += self.program.blocks[block as usize].op_count;
                // What a function's first block begins with was told before.
                if !continues {
                    self.release_all(2 * self.position);
                }
            }
            Event::Entry { register, value }
            | Event::Inherit {
                place: Location::Register(register),
                value,
            } => self.hold(register, value, before),
            Event::Edge { at } => {
                self.in_edge = true;
                // Edges are the block's last op's, which may have made no code before them.
                self.position = self.next_block.saturating_sub(1);
                for &argument in self.program.edge(at).arguments {
                    self.read(ValueName::Op(argument), self.position);
                }
            }
            Event::EdgeEnd => self.in_edge = false,
            Event::Use { op, value, .. } | Event::Snapshot { op, value, .. } => {
                let position = self.position_of.get(&op).copied();
                self.read(value, position.unwrap_or(self.position));
            }
            Event::Emit { op, family, .. } => {
                if let Some(&position) = self.position_of.get(&op) {
                    self.position = position;
                }
                if !self.in_edge {
                    self.lose(family.clobbers.0, 2 * self.position + 1);
                }
            }
            _ if self.in_edge => {}
            Event::Copy {
                to: Location::Register(to),
                from,
            } => {
                let value = match from {
                    Location::Register(from) => self.registers.get(&from).map(|held| held.0),
                    Location::Slot(slot) => self.owners.get(&slot).copied(),
                    Location::Outgoing(_) => None,
                };
                match value {
                    Some(value) => self.hold(to, value, before),
                    None => self.release(to, before),
                }
            }
            Event::Make { to, value } => self.hold(to, value, before),
            Event::Define { register, value } => {
                let moment = match value {
                    ValueName::Op(op) => self.position_of.get(&op).map(|at| 2 * at + 1),
                    _ => None,
                };
                self.hold(register, value, moment.unwrap_or(before + 1));
            }
            Event::Clobber { set } => self.lose(set, before + 1),
            Event::Copy { .. }
            | Event::Inherit { .. }
            | Event::Function { .. }
            | Event::Stub { .. }
            | Event::Safepoint { .. }
            | Event::Frame { .. } => {}
        }
    }

    /// The moment at which a value begins: all parameters of a block do when it begins.
    fn beginning(&self, value: ValueName, from: u32) -> u32 {
        let ValueName::Op(op) = value else {
            return from;
        };
        if self.program.ops[op as usize].code != Opcode::Parameter {
            return from;
        }
        let after = |block: &Block| block.first_op <= op;
        let block = self.program.blocks.partition_point(after) - 1;
        from - 2 * (op - self.program.blocks[block].first_op)
    }

    fn read(&mut self, value: ValueName, position: u32) {
        if let Some(&at) = self.index.get(&value)
            && self.values[at].uses.last() != Some(&position)
        {
            self.values[at].uses.push(position);
            // What is made again where it is needed need not be kept for it.
            self.values[at].to = self.values[at].to.max(2 * position);
        }
    }

    fn hold(&mut self, register: u32, value: ValueName, moment: u32) {
        self.release(register, moment);
        self.registers.insert(register, (value, moment));
    }

    fn release(&mut self, register: u32, moment: u32) {
        let Some((value, since)) = self.registers.remove(&register) else {
            return;
        };
        let Some(&at) = self.index.get(&value) else {
            return;
        };
        let range = &mut self.values[at];
        // Whatever comes into the register after the op at hand has read it: it was there to be read.
        let read = range.uses.last() == Some(&self.position);
        let moment = moment.max(if read { 2 * self.position + 1 } else { 0 });
        let to = moment.min(range.to + 1);
        if since < to {
            range.spans.push(Span {
                from: since,
                to,
                place: Place::Register(register),
            });
        }
    }

    fn release_all(&mut self, moment: u32) {
        // In the order of the registers, so that the same events give the same spans.
        self.lose(u64::MAX, moment);
    }

    fn lose(&mut self, set: u64, moment: u32) {
        for register in (0..64).filter(|register| set >> register & 1 != 0) {
            self.release(register, moment);
        }
    }

    /// The values in the order in which they begin.
    pub fn finish(mut self) -> Vec<LiveRange> {
        self.release_all(u32::MAX);
        for range in &mut self.values {
            let slot = self.slots.get(&range.value).copied();
            let op = match range.value {
                ValueName::Op(op) => self.program.ops.get(op as usize),
                _ => None,
            };
            let remade = op.is_none_or(|op| op.code.info().has(patchjit::ops::flags::CONSTANT));
            let elsewhere = match slot {
                Some(slot) => Some(Place::Slot(slot)),
                None => remade.then_some(Place::Remade),
            };
            range.uses.sort_unstable();
            range.uses.dedup();
            let held = without_overlaps(std::mem::take(&mut range.spans));
            if let Some(first) = held.first() {
                // Loops have such addresses brought before their first use.
                range.from = range.from.min(first.from);
            }
            let mut at = match op {
                Some(op) if op.code != Opcode::Parameter => range.from + 1,
                _ => range.from,
            };
            for span in held {
                range.spans.extend(gap(at, span.from, elsewhere));
                at = span.to;
                range.spans.push(span);
            }
            range.spans.extend(gap(at, range.to + 1, elsewhere));
        }
        self.values.sort_by_key(|range| range.from);
        self.values
    }
}

fn gap(from: u32, to: u32, place: Option<Place>) -> Option<Span> {
    let place = place.filter(|_| from < to)?;
    Some(Span { from, to, place })
}

/// Decides between a register and its copy: the one that holds the value longer is its place.
fn without_overlaps(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_by_key(|span| (span.from, span.to));
    let mut kept: Vec<Span> = Vec::new();
    for span in spans {
        match kept.last_mut() {
            Some(last) if span.from < last.to => {
                if span.to >= last.to {
                    last.to = span.from;
                    if last.from == last.to {
                        kept.pop();
                    }
                    kept.push(span);
                }
            }
            Some(last) if span.from == last.to && span.place == last.place => last.to = span.to,
            _ => kept.push(span),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::{Place, Span, without_overlaps};

    fn span(from: u32, to: u32, register: u32) -> Span {
        let place = Place::Register(register);
        Span { from, to, place }
    }

    #[test]
    fn a_copy_that_lasts_longer_is_the_place() {
        let spans = vec![span(1, 8, 1), span(4, 20, 2)];
        assert_eq!(without_overlaps(spans), [span(1, 4, 1), span(4, 20, 2)]);
    }

    #[test]
    fn a_copy_that_is_overwritten_is_not() {
        let spans = vec![span(1, 20, 1), span(4, 5, 2)];
        assert_eq!(without_overlaps(spans), [span(1, 20, 1)]);
    }
}
