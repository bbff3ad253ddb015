//! Select a template, fill its holes, write it into the code buffer.
//!
//! Takes a form, its registers and its immediate; promises that every byte written lies inside the buffer and
//! that every hole holds what it was asked to hold, or returns an error, in every build. Costs a table lookup
//! and an XOR an operand for each 8 bytes of code that have register fields.
//!
//! Jumps to places that are not yet known are threaded through their own holes: a label that is not yet bound
//! holds the code offset of the last hole that waits for it, that hole the offset of the one before.
//!
//! Conditional jumps may not reach their target. Where it is known at once, or where holes do not tell whether they wait, one that
//! reaches farther is put behind them ([`Patcher::extend`]). Others wait as long as what follows is in reach, and are *relayed* then:
//! jumps are put between two templates, one for each that still waits, which leads to it from then on ([`Patcher::relay`]):
//!
//! ```text
//!   label -> hole -> hole -> hole           label -> hole    hole
//!                                                      v       v
//!                                                    jump -> jump -> hole
//! ```

use crate::error::{Error, Feature, Part, Place, Storage};
use crate::stencil::{
    ABSENT, Distances, Family, Form, HolesAt, Lanes, MAX_OPERANDS, MOST_TEMPLATE_BYTES, Machine,
    StencilSet, Template, Word,
};

/// Why compilation stops, in few enough bits to be passed in a register. [`Fault::error`] says it to the embedder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The code buffer is too small.
    CodeFull,
    /// The workspace is too small.
    WorkspaceFull,
    /// The target cannot do it.
    Unsupported(Feature),
    /// The core contradicts itself at this line of a file of this part.
    Internal(Part, u16),
}

const _: () = assert!(core::mem::size_of::<Fault>() == 4);

impl Fault {
    /// The same for the embedder, with the place and the sizes that would suffice.
    pub fn error(self, place: Place, code: usize, workspace: usize) -> Error {
        match self {
            Fault::CodeFull => Error::Full {
                storage: Storage::Code,
                needed: code,
            },
            Fault::WorkspaceFull => Error::Full {
                storage: Storage::Workspace,
                needed: workspace,
            },
            Fault::Unsupported(what) => Error::Unsupported { what, place },
            Fault::Internal(part, line) => Error::Internal {
                part,
                line: line.into(),
            },
        }
    }
}

/// The core contradicts itself at this line of a file.
#[cold]
pub(crate) const fn internal(part: Part, line: u32) -> Fault {
    Fault::Internal(part, line as u16)
}

/// The target cannot do it.
#[cold]
pub(crate) const fn unsupported(what: Feature) -> Fault {
    Fault::Unsupported(what)
}

/// A place in the code: bound to an offset, or the head of the chain of holes that wait for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Label(pub u32);

impl Label {
    /// Not bound, nothing waits.
    pub const UNUSED: Label = Label(0);
    const BOUND: u32 = 1 << 31;

    /// A label that is bound to an offset.
    pub fn at(offset: u32) -> Label {
        Label(offset | Label::BOUND)
    }

    /// The offset that this label is bound to.
    pub fn offset(self) -> Option<u32> {
        (self.0 & Label::BOUND != 0).then_some(self.0 & !Label::BOUND)
    }
}

/// Where the holes of a template were written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Holes {
    start: u32,
    at: HolesAt,
}

const _: () = assert!(core::mem::size_of::<Result<Holes, Fault>>() == 8);

impl Holes {
    /// The code offset of the first distance to a target, if the template has one.
    pub fn target(self) -> Option<u32> {
        let at = self.at.target()[0];
        (at != ABSENT).then_some(self.start + u32::from(at))
    }

    /// The code offset of the immediate hole, if the template has one.
    pub fn immediate(self) -> Option<u32> {
        let at = self.at.immediate();
        (at != ABSENT).then_some(self.start + u32::from(at))
    }
}

/// Writes templates one behind the other into a code buffer, and words that outlive a function behind them.
pub(crate) struct Patcher<'c> {
    code: &'c mut [u8],
    at: u32,
    /// Where templates end at most: where words are kept at the far end of the buffer, or before that.
    limit: usize,
    /// How far behind the limit those words begin. Not 0: from [`Patcher::relayed`] bytes before the limit on, jumps wait that do not reach
    /// beyond it.
    beyond: u32,
    set: &'static StencilSet,
    /// No jump in the code to come leads farther than so many bytes, unless it leads to what is behind already.
    longest: u32,
}

impl<'c> Patcher<'c> {
    /// Begins at the start of the buffer.
    pub fn new(code: &'c mut [u8], set: &'static StencilSet) -> Patcher<'c> {
        let tail = code.len().min(Label::BOUND as usize - 1) & !3;
        Patcher {
            code,
            at: 0,
            limit: tail,
            beyond: 0,
            set,
            longest: 0,
        }
    }

    /// The stencils that it writes.
    pub fn set(&self) -> &'static StencilSet {
        self.set
    }

    /// The same place in the same buffer, for one function; [`Patcher::set_offset`] carries on behind it.
    pub fn reborrow(&mut self) -> Patcher<'_> {
        Patcher {
            code: self.code,
            at: self.at,
            limit: self.limit,
            beyond: self.beyond,
            set: self.set,
            longest: self.longest,
        }
    }

    /// Carries on at a later offset.
    pub fn set_offset(&mut self, at: u32) {
        self.at = self.at.max(at);
    }

    /// The offset of the next byte.
    #[inline]
    pub fn offset(&self) -> u32 {
        self.at
    }

    /// Writes the form's code for these registers and this immediate.
    pub fn emit(
        &mut self,
        form: Form,
        registers: [u32; MAX_OPERANDS],
        immediate: i64,
    ) -> Result<Holes, Fault> {
        let family = self.set.family(form).ok_or(unsupported(Feature::Op))?;
        self.emit_family(family, Lanes::new(registers), immediate)
    }

    /// The same for a family that is known already.
    #[inline(never)]
    pub fn emit_family(
        &mut self,
        family: &Family,
        registers: Lanes,
        immediate: i64,
    ) -> Result<Holes, Fault> {
        self.emit_plain(family, registers, immediate, false)
    }

    /// The same for a family whose templates do not depend on which operands share a register: none that writes a
    /// register beside those that it reads.
    #[inline(never)]
    pub fn emit_uniform(
        &mut self,
        family: &Family,
        registers: Lanes,
        immediate: i64,
    ) -> Result<Holes, Fault> {
        self.emit_plain(family, registers, immediate, true)
    }

    #[inline(always)]
    fn emit_plain(
        &mut self,
        family: &Family,
        registers: Lanes,
        immediate: i64,
        uniform: bool,
    ) -> Result<Holes, Fault> {
        let start = family.starts[if uniform { 0 } else { registers.pattern() }];
        match self.set.templates.get(start as usize) {
            Some(first) if first.is_short() && first.immediate.takes(immediate) => {
                self.write(first, registers, immediate, &[])
            }
            Some(first) => self.emit_chosen(family, registers, immediate, first),
            None => Err(unsupported(Feature::Op)),
        }
    }

    /// The same where there is something to choose, or code of more than 16 bytes: from the first template that serves the
    /// operands which share registers.
    #[inline(never)]
    fn emit_chosen(
        &mut self,
        family: &Family,
        registers: Lanes,
        immediate: i64,
        first: &'static Template,
    ) -> Result<Holes, Fault> {
        let set = self.set;
        let serves = first.restriction == 0
            && first.immediate.is_plain()
            && first.immediate.takes(immediate);
        let template = if serves {
            first
        } else {
            set.find_template(family, registers, immediate)
                .ok_or(unsupported(Feature::Op))?
        };
        self.write(template, registers, immediate, set.further_words(template))
    }

    /// Writes a template that serves the registers and has room for the immediate, and its further words.
    #[inline(always)]
    fn write(
        &mut self,
        template: &Template,
        registers: Lanes,
        immediate: i64,
        words: &[Word],
    ) -> Result<Holes, Fault> {
        let start = self.at;
        let end = start as usize + MOST_TEMPLATE_BYTES;
        if end > self.limit {
            return self.write_late(template, registers, immediate, words);
        }
        // Room for every template, so that what follows needs no checks of its own.
        let room: &mut [u8] = self.code.get_mut(start as usize..end).unwrap_or_default();
        let Ok(room) = <&mut [u8; MOST_TEMPLATE_BYTES]>::try_from(room) else {
            return Err(internal(Part::Patch, line!()));
        };
        // A hole is zero in the template, so the immediate is laid over what is there: before it is written, since reading
        // back what was just written in other pieces takes long.
        let first = self.set.word(template.code[0], template.rows, registers);
        let [first, second] = template.hole.fill([first, template.code[1]], immediate);
        room[..8].copy_from_slice(&first.to_le_bytes());
        room[8..16].copy_from_slice(&second.to_le_bytes());
        if !words.is_empty() {
            let pieces = room[8..].as_chunks_mut().0;
            for (piece, word) in pieces.iter_mut().zip(words) {
                *piece = self.set.further_word(word, registers).to_le_bytes();
            }
            let at = (template.holes.immediate() & 63) as usize;
            if template.immediate.is_plain() {
                let hole: &mut [u8] = &mut room[at..at + 8];
                let mask = template.immediate.mask();
                let word = u64::from_le_bytes(hole.try_into().unwrap_or([0; 8]));
                hole.copy_from_slice(&(word | (immediate as u64 & mask)).to_le_bytes());
            } else {
                let bits = template.immediate.encode(immediate);
                let bits = bits.ok_or(unsupported(Feature::Op))?;
                let hole: &mut [u8] = &mut room[at..at + 16];
                let word = u128::from_le_bytes(hole.try_into().unwrap_or([0; 16]));
                hole.copy_from_slice(&(word | bits).to_le_bytes());
            }
        }
        self.at = start + u32::from(template.length);
        Ok(Holes {
            start,
            at: template.holes,
        })
    }

    /// The same where the limit does not leave room.
    #[cold]
    #[inline(never)]
    fn write_late(
        &mut self,
        template: &Template,
        registers: Lanes,
        immediate: i64,
        words: &[Word],
    ) -> Result<Holes, Fault> {
        if self.beyond == 0 {
            return Err(Fault::CodeFull);
        }
        self.relay()?;
        self.write(template, registers, immediate, words)
    }

    /// Reads the 32 bits at a code offset.
    pub fn word(&self, at: u32) -> Result<u32, Fault> {
        let at = at as usize;
        let bytes = self
            .code
            .get(at..at + 4)
            .ok_or(internal(Part::Patch, line!()))?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// Writes 32 bits at a code offset.
    pub fn set_word(&mut self, at: u32, word: u32) -> Result<(), Fault> {
        let at = at as usize;
        let bytes = self
            .code
            .get_mut(at..at + 4)
            .ok_or(internal(Part::Patch, line!()))?;
        bytes.copy_from_slice(&word.to_le_bytes());
        Ok(())
    }

    /// Makes the target holes of a template lead to a label.
    #[inline]
    pub fn link(&mut self, holes: Holes, label: &mut Label) -> Result<(), Fault> {
        let [first, second] = holes.at.target();
        if first == ABSENT {
            return Ok(());
        }
        if self.set.distances != Distances::Bytes32 {
            return self.link_fields(holes, label);
        }
        self.link_bytes(holes.start + u32::from(first), label)?;
        if second == ABSENT {
            return Ok(());
        }
        self.link_bytes(holes.start + u32::from(second), label)
    }

    #[inline(always)]
    fn link_bytes(&mut self, hole: u32, label: &mut Label) -> Result<(), Fault> {
        match label.offset() {
            Some(target) => self.set_word(hole, target.wrapping_sub(hole + 4)),
            None => {
                self.set_word(hole, label.0)?;
                // Offsets are below 2^31 - 1, so one more never looks bound.
                label.0 = hole + 1;
                Ok(())
            }
        }
    }

    /// The same for holes that are fields of instructions.
    #[inline(never)]
    fn link_fields(&mut self, holes: Holes, label: &mut Label) -> Result<(), Fault> {
        for at in holes.at.target() {
            if at != ABSENT {
                self.link_field(holes.start + u32::from(at), label)?;
            }
        }
        Ok(())
    }

    fn link_field(&mut self, hole: u32, label: &mut Label) -> Result<(), Fault> {
        let distances = self.set.distances;
        let code = self.hole(hole)?;
        let changed = match label.offset() {
            Some(target) => distances.lead(code, hole, target),
            None if self.may_fall_short(hole, code) => None,
            None => distances.chain(code, hole, label.0),
        };
        let Some(changed) = changed else {
            let distance = match label.offset() {
                Some(target) => hole.abs_diff(target),
                None => self.longest,
            };
            let holes = self.extend(hole, distance)?;
            let farther = holes.target().ok_or(internal(Part::Patch, line!()))?;
            return self.link_field(farther, label);
        };
        self.set_hole(hole, changed)?;
        if label.offset().is_none() {
            label.0 = hole + 1;
            let limit = (hole + self.relayed()) as usize;
            if self.beyond == 0 && distances.waits(changed).is_some() && limit < self.limit {
                self.beyond = (self.limit - limit) as u32;
                self.limit = limit;
            }
        }
        Ok(())
    }

    /// Whether a jump may not reach as far as jumps may lead, and one that does can be put behind it.
    fn falls_short(&self, code: u64) -> bool {
        let distances = self.set.distances;
        distances.reach(code) < self.longest && distances.is_short(code)
    }

    /// The same for a target that is still to come: a jump that is relayed in time need not.
    fn may_fall_short(&self, hole: u32, code: u64) -> bool {
        let distances = self.set.distances;
        let relayed =
            distances.waits(code).is_some() && self.at - hole <= MOST_TEMPLATE_BYTES as u32;
        self.falls_short(code) && !relayed
    }

    /// Puts jumps here for those that wait and would not reach what follows. Control goes past them.
    #[cold]
    #[inline(never)]
    fn relay(&mut self) -> Result<(), Fault> {
        let distances = self.set.distances;
        let too_far = unsupported(Feature::CodeSize);
        let (first, end) = (self.limit as u32 - self.relayed(), self.at);
        self.limit += self.beyond as usize;
        self.beyond = 0;
        let mut past = None;
        // Between the first that waits and this place there are instructions only, of four bytes each.
        for hole in (first..end).step_by(4) {
            let code = self.hole(hole)?;
            if distances.waits(code) != Some(true) {
                continue;
            }
            if past.is_none() {
                past = self.emit_jump(0)?.target();
            }
            let start = self.at;
            let holes = self.emit_jump(self.longest)?;
            let jump = holes.target().ok_or(too_far)?;
            let chained = distances.chain(self.hole(jump)?, jump, distances.chained(code, hole));
            self.set_hole(jump, chained.ok_or(too_far)?)?;
            let led = distances.lead(code, hole, start);
            self.set_hole(hole, led.ok_or(too_far)?)?;
        }
        if let Some(past) = past {
            let led = distances.lead(self.hole(past)?, past, self.at);
            self.set_hole(past, led.ok_or(too_far)?)?;
        }
        Ok(())
    }

    /// How many bytes after it began to wait a jump is relayed at the latest.
    fn relayed(&self) -> u32 {
        self.set.distances.relayed(self.longest)
    }

    /// Relays jumps now that would have to be before so many more templates: these stand one behind the other at
    /// [`Patcher::offset`].
    pub fn settle(&mut self, templates: usize) -> Result<(), Fault> {
        let end = self.at as usize + templates * MOST_TEMPLATE_BYTES;
        match self.beyond != 0 && end > self.limit {
            true => self.relay(),
            false => Ok(()),
        }
    }

    /// Writes a jump that reaches so far, if one does.
    fn emit_jump(&mut self, distance: u32) -> Result<Holes, Fault> {
        let start = self.at;
        let holes = self.emit(Form::machine(Machine::Jump), [0; MAX_OPERANDS], 0)?;
        let jump = self.hole(holes.target().ok_or(unsupported(Feature::CodeSize))?)?;
        let far = Form::machine(Machine::JumpFar);
        if distance < self.set.distances.reach(jump) || self.set.family(far).is_none() {
            return Ok(holes);
        }
        self.at = start;
        self.emit(far, [0; MAX_OPERANDS], 0)
    }

    /// Puts a jump behind one that may not reach so far, which then leads to that; gives the holes of the new one.
    #[cold]
    #[inline(never)]
    fn extend(&mut self, hole: u32, distance: u32) -> Result<Holes, Fault> {
        let distances = self.set.distances;
        let too_far = unsupported(Feature::CodeSize);
        let code = self.hole(hole)?;
        if !distances.is_jump(code) {
            return Err(too_far);
        }
        self.settle(3)?;
        // In the middle of a template, control must get past the new jump.
        let is_last = hole + 4 == self.at;
        let past = match is_last {
            true => None,
            false => self.emit_jump(0)?.target(),
        };
        let start = self.at;
        // The template of the hole may lie between them.
        let holes = self.emit_jump(distance.saturating_add(2 * MOST_TEMPLATE_BYTES as u32))?;
        if let Some(past) = past {
            let led = distances.lead(self.hole(past)?, past, self.at);
            self.set_hole(past, led.ok_or(too_far)?)?;
        }
        let changed = match distances.inverted(code, self.at - hole) {
            Some(inverted) if is_last => Some(inverted),
            _ => distances.lead(code, hole, start),
        };
        self.set_hole(hole, changed.ok_or(too_far)?)?;
        Ok(holes)
    }

    /// The holes of a template that was just written, for a link that comes after other code: where a jump might not reach
    /// its target from here, those of one that does.
    pub fn extended(&mut self, holes: Holes) -> Result<Holes, Fault> {
        match holes.target() {
            Some(hole) if self.set.distances != Distances::Bytes32 => {
                match self.falls_short(self.hole(hole)?) {
                    true => self.extend(hole, self.longest),
                    false => Ok(holes),
                }
            }
            _ => Ok(holes),
        }
    }

    /// The code from a hole for a distance on: eight bytes, or what there is of them.
    fn hole(&self, at: u32) -> Result<u64, Fault> {
        let next = self.code.get(at as usize + 4..).unwrap_or_default();
        let next = next
            .first_chunk()
            .map_or(0, |next| u32::from_le_bytes(*next));
        Ok(u64::from(self.word(at)?) | u64::from(next) << 32)
    }

    /// Writes a hole with another distance. What stands behind its instruction is left alone, but for what is the hole's.
    fn set_hole(&mut self, at: u32, code: u64) -> Result<(), Fault> {
        self.set_word(at, code as u32)?;
        match self.set.distances.field(code) >> 32 {
            0 => Ok(()),
            _ => self.set_word(at + 4, (code >> 32) as u32),
        }
    }

    /// Says how far jumps in the code that is written from now on may lead, in bytes.
    pub fn set_longest(&mut self, bytes: usize) {
        self.longest = u32::try_from(bytes).unwrap_or(u32::MAX);
    }

    /// Which jump table's template reaches across the code that is written from now on.
    pub fn jump_table(&self) -> Machine {
        match self.longest <= self.set.distances.table_reach() {
            true => Machine::JumpTable,
            false => Machine::JumpTableFar,
        }
    }

    /// Writes a jump that leads so far from itself.
    pub fn jump_away(&mut self, distance: i64) -> Result<(), Fault> {
        let distances = self.set.distances;
        for machine in [Machine::Jump, Machine::JumpFar] {
            let Some(family) = self.set.family(Form::machine(machine)) else {
                continue;
            };
            let start = self.at;
            let holes = self.emit_family(family, Lanes::new([0; MAX_OPERANDS]), 0)?;
            let hole = holes.target().ok_or(internal(Part::Patch, line!()))?;
            let from_hole = distance.wrapping_sub(i64::from(hole - start));
            if let Some(led) = distances.lay(self.hole(hole)?, from_hole) {
                return self.set_hole(hole, led);
            }
            self.at = start;
        }
        Err(unsupported(Feature::CodeSize))
    }

    /// Binds a label to an offset: everything that waits for it is patched.
    pub fn bind_to(&mut self, label: &mut Label, target: u32) -> Result<(), Fault> {
        let mut next = label.0;
        if label.offset().is_some() {
            return Err(internal(Part::Patch, line!()));
        }
        match self.set.distances {
            Distances::Bytes32 => {
                while next != 0 {
                    let hole = next - 1;
                    next = self.word(hole)?;
                    self.set_word(hole, target.wrapping_sub(hole + 4))?;
                }
            }
            _ => self.lead_fields(next, target)?,
        }
        label.0 = target | Label::BOUND;
        Ok(())
    }

    /// Leads holes that are fields of instructions to a target, from the last one of their chain on.
    #[inline(never)]
    fn lead_fields(&mut self, last: u32, target: u32) -> Result<(), Fault> {
        let mut next = last;
        while next != 0 {
            let mut hole = next - 1;
            let mut code = self.hole(hole)?;
            if self.set.distances.waits(code) == Some(false) {
                // What it was relayed to waits in its place.
                hole = self.set.distances.target(code, hole);
                code = self.hole(hole)?;
            }
            next = self.set.distances.chained(code, hole);
            let led = self.set.distances.lead(code, hole, target);
            self.set_hole(hole, led.ok_or(unsupported(Feature::CodeSize))?)?;
        }
        Ok(())
    }

    /// Binds a label to the offset of the next byte.
    pub fn bind(&mut self, label: &mut Label) -> Result<(), Fault> {
        self.bind_to(label, self.offset())
    }

    /// Chains an immediate hole to those that wait for the same value: `last` is the place of the one before plus 1, or 0.
    /// Gives the new last.
    #[inline]
    pub fn await_value(&mut self, hole: u32, last: u32) -> Result<u32, Fault> {
        if self.set.distances == Distances::Bytes32 {
            self.set_word(hole, last)?;
        } else {
            // Fields have room for a distance in instructions.
            let back = last.checked_sub(1).map_or(0, |last| (hole - last) / 4);
            self.set_value(hole, back)?;
        }
        Ok(hole + 1)
    }

    /// Fills in a value that the holes up to this last one wait for.
    pub fn settle_value(&mut self, last: u32, value: u32) -> Result<(), Fault> {
        let mut next = last;
        while next != 0 {
            let hole = next - 1;
            next = match self.set.distances {
                Distances::Bytes32 => self.word(hole)?,
                _ => match self.value(hole)? {
                    0 => 0,
                    back => next.wrapping_sub(4 * back),
                },
            };
            self.set_value(hole, value)?;
        }
        Ok(())
    }

    /// Reads an immediate hole.
    fn value(&self, hole: u32) -> Result<u32, Fault> {
        let at = hole as usize;
        let bytes = self.code.get(at..at + 8).and_then(<[u8]>::first_chunk);
        let code = u64::from_le_bytes(*bytes.ok_or(internal(Part::Patch, line!()))?);
        Ok(self.set.distances.value(code))
    }

    /// Writes a value into an immediate hole that had been left open.
    pub fn set_value(&mut self, hole: u32, value: u32) -> Result<(), Fault> {
        if self.set.distances == Distances::Bytes32 {
            return self.set_word(hole, value);
        }
        let at = hole as usize;
        let bytes = self
            .code
            .get_mut(at..at + 8)
            .and_then(<[u8]>::first_chunk_mut);
        let bytes: &mut [u8; 8] = bytes.ok_or(internal(Part::Patch, line!()))?;
        let code = self
            .set
            .distances
            .with_value(u64::from_le_bytes(*bytes), value);
        *bytes = code.ok_or(unsupported(Feature::FrameSize))?.to_le_bytes();
        Ok(())
    }

    /// Pushes a word onto the stack of words at the far end of the buffer.
    pub fn push_tail(&mut self, word: u32) -> Result<(), Fault> {
        if self.at as usize + MOST_TEMPLATE_BYTES + 4 > self.limit || self.beyond != 0 {
            return self.push_beyond(word);
        }
        self.limit -= 4;
        self.set_word(self.limit as u32, word)
    }

    /// The same where the limit is not where the words begin, or leaves no room.
    #[cold]
    #[inline(never)]
    fn push_beyond(&mut self, word: u32) -> Result<(), Fault> {
        match self.beyond {
            0 => Err(Fault::CodeFull),
            1..=4 => {
                self.relay()?;
                self.push_tail(word)
            }
            _ => {
                self.beyond -= 4;
                self.set_word(self.tail(), word)
            }
        }
    }

    /// The offset of the last word pushed.
    pub fn tail(&self) -> u32 {
        self.limit as u32 + self.beyond
    }

    /// Forgets the words below an earlier [`Patcher::tail`], when nothing waits any more.
    pub fn drop_tail(&mut self, to: u32) {
        self.limit = self.tail().max(to) as usize;
        self.beyond = 0;
    }

    /// Writes a word of data behind the code.
    pub fn emit_word(&mut self, word: u32) -> Result<(), Fault> {
        if self.at + 4 > self.tail() {
            return Err(Fault::CodeFull);
        }
        self.set_word(self.offset(), word)?;
        self.at += 4;
        Ok(())
    }
}
