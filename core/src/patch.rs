//! Select a template, fill its holes, write it into the code buffer.
//!
//! Takes a form, its registers and its immediate; promises that every byte written lies inside the buffer and
//! that every hole holds what it was asked to hold, or returns an error, in every build. Costs a table lookup
//! and one 16-byte XOR an operand for each 16 bytes of code.
//!
//! Jumps to places that are not yet known are threaded through their own holes: a label that is not yet bound
//! holds the code offset of the last hole that waits for it, that hole the offset of the one before.

use crate::error::{Error, Feature, Part, Place, Storage};
use crate::stencil::{ABSENT, Form, MAX_OPERANDS, RegisterNumber, StencilSet, Template};

/// The core contradicts itself at this line of a file.
#[cold]
pub(crate) const fn internal(part: Part, line: u32) -> Error {
    Error::Internal { part, line }
}

/// A piece of storage is too small.
#[cold]
pub(crate) const fn full(storage: Storage, needed: usize) -> Error {
    Error::Full { storage, needed }
}

/// The target cannot do it; the place is filled in by the caller who knows it.
#[cold]
pub(crate) const fn unsupported(what: Feature) -> Error {
    Error::Unsupported {
        what,
        place: Place::Program,
    }
}

/// A place in the code: bound to an offset, or the head of the chain of holes that wait for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Label(pub u32);

impl Label {
    /// Not bound, nothing waits.
    pub const UNUSED: Label = Label(0);
    const BOUND: u32 = 1 << 31;

    /// The offset that this label is bound to.
    pub fn offset(self) -> Option<u32> {
        (self.0 & Label::BOUND != 0).then_some(self.0 & !Label::BOUND)
    }
}

/// Where the holes of a template were written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Holes {
    start: u32,
    target: [u8; 2],
    immediate: u8,
}

impl Holes {
    /// The code offset of the immediate hole, if the template has one.
    pub fn immediate(self) -> Option<u32> {
        (self.immediate != ABSENT).then_some(self.start + u32::from(self.immediate))
    }
}

/// The least room that must be left in the buffer before a template is written.
const MOST_CHUNKS: usize = 5;

/// The most bytes that one template writes, rounded up to whole chunks.
pub(crate) const MOST_TEMPLATE_BYTES: usize = MOST_CHUNKS * 16;

/// Writes templates one behind the other into a code buffer, and words that outlive a function behind them.
pub(crate) struct Patcher<'c> {
    code: &'c mut [u8],
    at: usize,
    /// Where the words begin that are kept at the far end of the buffer.
    tail: usize,
    set: &'static StencilSet,
}

impl<'c> Patcher<'c> {
    /// Begins at the start of the buffer.
    pub fn new(code: &'c mut [u8], set: &'static StencilSet) -> Patcher<'c> {
        let tail = code.len().min(Label::BOUND as usize - 1) & !3;
        Patcher {
            code,
            at: 0,
            tail,
            set,
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
            tail: self.tail,
            set: self.set,
        }
    }

    /// Carries on at a later offset.
    pub fn set_offset(&mut self, at: u32) {
        self.at = self.at.max(at as usize);
    }

    /// The offset of the next byte.
    #[inline]
    pub fn offset(&self) -> u32 {
        self.at as u32
    }

    /// Writes the form's code for these registers and this immediate.
    #[inline]
    pub fn emit(
        &mut self,
        form: Form,
        registers: [RegisterNumber; MAX_OPERANDS],
        immediate: i64,
    ) -> Result<Holes, Error> {
        let family = self.set.family(form).ok_or(unsupported(Feature::Op))?;
        let template = self
            .set
            .template(family, registers, immediate)
            .ok_or(unsupported(Feature::Op))?;
        self.write(template, registers, immediate)
    }

    #[inline]
    fn write(
        &mut self,
        template: &Template,
        registers: [RegisterNumber; MAX_OPERANDS],
        immediate: i64,
    ) -> Result<Holes, Error> {
        let start = self.at;
        let length = template.length as usize;
        if start + MOST_TEMPLATE_BYTES > self.tail || length > MOST_TEMPLATE_BYTES {
            return Err(full(Storage::Code, 0));
        }
        let numbers = registers.map(|register| (register & 15) as usize);
        let set = self.set;
        let mut chunk = 0;
        loop {
            let bytes = set.chunks.get(template.chunk as usize + chunk);
            let mut word = u128::from_le_bytes(*bytes.ok_or(internal(Part::Patch, line!()))?);
            for (&row, &number) in template.masks.iter().zip(&numbers) {
                let row = if row == 0 { 0 } else { row as usize + chunk };
                let row = set.masks.get(row).ok_or(internal(Part::Patch, line!()))?;
                word ^= u128::from_le_bytes(row[number]);
            }
            let to = start + 16 * chunk;
            self.code[to..to + 16].copy_from_slice(&word.to_le_bytes());
            chunk += 1;
            if 16 * chunk >= length {
                break;
            }
        }
        if template.immediate_at != ABSENT {
            self.fill(start + template.immediate_at as usize, template, immediate);
        }
        self.at = start + length;
        Ok(Holes {
            start: start as u32,
            target: template.target_at,
            immediate: template.immediate_at,
        })
    }

    /// Writes an immediate that the template was chosen to take.
    #[inline]
    fn fill(&mut self, at: usize, template: &Template, immediate: i64) {
        use crate::stencil::Immediate;
        let bytes = immediate.to_le_bytes();
        match template.immediate {
            Immediate::None => {}
            Immediate::Signed8 => self.code[at] = bytes[0],
            Immediate::Signed32 | Immediate::Bits32 => {
                self.code[at..at + 4].copy_from_slice(&bytes[..4]);
            }
            Immediate::Bits64 => self.code[at..at + 8].copy_from_slice(&bytes),
        }
    }

    /// Reads the 32 bits at a code offset.
    pub fn word(&self, at: u32) -> Result<u32, Error> {
        let at = at as usize;
        let bytes = self
            .code
            .get(at..at + 4)
            .ok_or(internal(Part::Patch, line!()))?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// Writes 32 bits at a code offset.
    pub fn set_word(&mut self, at: u32, word: u32) -> Result<(), Error> {
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
    pub fn link(&mut self, holes: Holes, label: &mut Label) -> Result<(), Error> {
        for at in holes.target {
            if at != ABSENT {
                self.link_hole(holes.start + u32::from(at), label)?;
            }
        }
        Ok(())
    }

    fn link_hole(&mut self, hole: u32, label: &mut Label) -> Result<(), Error> {
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

    /// Binds a label to an offset: everything that waits for it is patched.
    pub fn bind_to(&mut self, label: &mut Label, target: u32) -> Result<(), Error> {
        let mut next = label.0;
        if label.offset().is_some() {
            return Err(internal(Part::Patch, line!()));
        }
        while next != 0 {
            let hole = next - 1;
            next = self.word(hole)?;
            self.set_word(hole, target.wrapping_sub(hole + 4))?;
        }
        label.0 = target | Label::BOUND;
        Ok(())
    }

    /// Binds a label to the offset of the next byte.
    pub fn bind(&mut self, label: &mut Label) -> Result<(), Error> {
        self.bind_to(label, self.offset())
    }

    /// Pushes a word onto the stack of words at the far end of the buffer.
    pub fn push_tail(&mut self, word: u32) -> Result<(), Error> {
        if self.at + MOST_TEMPLATE_BYTES + 4 > self.tail {
            return Err(full(Storage::Code, 0));
        }
        self.tail -= 4;
        self.set_word(self.tail as u32, word)
    }

    /// The offset of the last word pushed.
    pub fn tail(&self) -> u32 {
        self.tail as u32
    }

    /// Forgets the words below an earlier [`Patcher::tail`].
    pub fn drop_tail(&mut self, to: u32) {
        self.tail = self.tail.max(to as usize);
    }

    /// Writes a word of data behind the code.
    pub fn emit_word(&mut self, word: u32) -> Result<(), Error> {
        if self.at + 4 > self.tail {
            return Err(full(Storage::Code, 0));
        }
        self.set_word(self.offset(), word)?;
        self.at += 4;
        Ok(())
    }
}
