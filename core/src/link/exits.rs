//! What a compilation tells of its exits: which values leave, and where they are at that moment.
//!
//! [`crate::compile::compile_linkable`] fills three slices of the caller's: a record for each exit's code, the places of
//! values that those records name, and a record for the head of each loop. [`Exits`] is a view of the three, and all
//! that compiling a side trace ([`crate::compile::compile_side`]) or a [`bridge`](crate::link::bridge) needs to know of the parent; its program is
//! not needed any more.
//!
//! ```text
//!   site   number, op, jump ──┬── carried   a value of the snapshot, in order: type, guest slot, place
//!                             └── kept      what the head of the loop around it wants back: place
//!   head   offset ────────────┬── parameters   where the block's parameters are expected
//!                             └── needs        which register each kept value is expected in
//! ```
//!
//! Records are plain data that may be copied and kept anywhere. They cannot be made by hand, and each has a digest of
//! what it belongs to, so that records of another compilation are found out.

use crate::error::{Error, Place as ErrorPlace, Rule, Storage};
use crate::ir::NONE;
use crate::types::Type;

/// Where a value is when an exit is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a register: integer registers from 0, float registers from 32. Narrow values: upper bits unspecified.
    Register(u8),
    /// In the frame: so many 64-bit words below its top, which is where the return address stands.
    Frame(u32),
    /// It is a constant of these bits, in no register.
    Constant(u64),
    /// It is the 64 bits at this byte offset of the run-time context, in no register.
    Context(u32),
    /// Nowhere: not alive on any way to this place.
    Nowhere,
}

/// A value that an exit carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried {
    /// The guest slot that the snapshot writes it to.
    pub(crate) slot: u32,
    /// The tag of the program with which the snapshot boxes it on the way there, plus 1; or 0.
    pub(crate) boxed: u16,
    /// Its type, unboxed.
    pub(crate) ty: Type,
    /// Where it is.
    pub(crate) place: Place,
}

impl Carried {
    /// Of a slice that is not filled yet.
    pub const EMPTY: Carried = Carried {
        slot: NONE,
        boxed: 0,
        ty: Type::I64,
        place: Place::Nowhere,
    };

    /// The guest slot that the snapshot writes it to.
    pub const fn slot(&self) -> u32 {
        self.slot
    }

    /// Whether the snapshot boxes it on the way there. A side trace gets it unboxed.
    pub const fn is_boxed(&self) -> bool {
        self.boxed != 0
    }

    /// The tag with which it is boxed, by its index in the program.
    pub const fn tag(&self) -> Option<u16> {
        self.boxed.checked_sub(1)
    }

    /// Its type, unboxed.
    pub const fn ty(&self) -> Type {
        self.ty
    }

    /// Where it is when the exit is taken.
    pub const fn place(&self) -> Place {
        self.place
    }

    /// The same, a constant as it is in a register with this above an f32.
    pub(crate) const fn place_with(&self, above_f32: u64) -> Place {
        match (self.place, self.ty) {
            (Place::Constant(bits), Type::F32) => Place::Constant(bits | above_f32),
            (place, _) => place,
        }
    }

    /// Its bits, if it is a constant: better written as a constant in the side trace than taken as a parameter.
    pub const fn constant(&self) -> Option<u64> {
        match self.place {
            Place::Constant(bits) => Some(bits),
            _ => None,
        }
    }
}

/// An exit's code. Exits without a snapshot may share one; an exit that several ops name has one for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExitSite {
    /// Digest of the compilation.
    pub(crate) stamp: u64,
    /// Digest of what the exit carries, where, and of the frame.
    pub(crate) layout: u64,
    /// Digest of the compilation that the loop's head belongs to.
    pub(crate) head_stamp: u64,
    /// The head of the innermost loop around it, or NONE.
    pub(crate) head: u32,
    /// The exit's index in the program, and its number.
    pub(crate) exit: u32,
    pub(crate) number: u32,
    pub(crate) function: u32,
    pub(crate) op: u32,
    /// The offset of the four bytes that linking changes, or NONE.
    pub(crate) jump: u32,
    /// The frame's bytes, without the return address.
    pub(crate) frame: u32,
    /// Words at the stack pointer for the arguments of calls.
    pub(crate) outgoing: u32,
    /// The first of its values; the kept ones follow those that it carries.
    pub(crate) first: u32,
    pub(crate) carried: u32,
    /// The first of the results of its function, in the same slice.
    pub(crate) first_result: u32,
    pub(crate) results: u16,
    pub(crate) kept: u8,
    /// Whether its code charges run fuel.
    pub(crate) fuel: bool,
    /// Whether references may be in the frame.
    pub(crate) references: bool,
}

impl ExitSite {
    /// Of a slice that is not filled yet.
    pub const EMPTY: ExitSite = ExitSite {
        stamp: 0,
        layout: 0,
        head_stamp: 0,
        head: NONE,
        exit: NONE,
        number: 0,
        function: NONE,
        op: NONE,
        jump: NONE,
        frame: 0,
        outgoing: 0,
        first: 0,
        carried: 0,
        first_result: 0,
        results: 0,
        kept: 0,
        fuel: false,
        references: false,
    };
}

/// The head of a loop: a place in compiled code that a bridge may jump to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoopHead {
    /// Digest of the compilation.
    pub(crate) stamp: u64,
    pub(crate) function: u32,
    /// Its block in the program.
    pub(crate) block: u32,
    /// Where it is in the code.
    pub(crate) offset: u32,
    /// The frame's bytes, without the return address.
    pub(crate) frame: u32,
    /// The first of its parameters; needs follow.
    pub(crate) first: u32,
    pub(crate) parameters: u32,
    pub(crate) needs: u8,
    /// Whether its code charges run fuel.
    pub(crate) fuel: bool,
    /// Digest of its values.
    pub(crate) layout: u64,
}

impl LoopHead {
    /// The block, by its index in the program.
    pub const fn block(&self) -> u32 {
        self.block
    }

    /// Where the block begins in the code.
    pub const fn offset(&self) -> u32 {
        self.offset
    }

    /// How many parameters the block has: a bridge passes a value for each.
    pub const fn parameter_count(&self) -> u32 {
        self.parameters
    }

    /// Of a slice that is not filled yet.
    pub const EMPTY: LoopHead = LoopHead {
        stamp: 0,
        function: NONE,
        block: NONE,
        offset: 0,
        frame: 0,
        first: 0,
        parameters: 0,
        needs: 0,
        fuel: false,
        layout: 0,
    };
}

/// Where a compilation describes its exits. How much is enough: [`crate::compile::exit_room`].
#[derive(Debug)]
pub struct ExitStorage<'e> {
    /// One for each exit's code.
    pub sites: &'e mut [ExitSite],
    /// What they name.
    pub values: &'e mut [Carried],
    /// One for each loop.
    pub heads: &'e mut [LoopHead],
    /// The counter in [`crate::runtime::Context::exit_counters`] of the first site, if exits are to be counted; the others follow in
    /// the order of the sites. An exit counts when it leaves, not when it goes on in code that it is linked to.
    pub first_counter: Option<u32>,
}

/// How long the slices of [`ExitStorage`] must be at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExitRoom {
    /// For `sites`.
    pub sites: usize,
    /// For `values`.
    pub values: usize,
    /// For `heads`.
    pub heads: usize,
}

/// What a compilation told of its exits. The slices may be copied to wherever they fit better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exits<'e> {
    /// One for each exit's code, in the order of the code.
    pub sites: &'e [ExitSite],
    /// What they name.
    pub values: &'e [Carried],
    /// One for each loop.
    pub heads: &'e [LoopHead],
}

impl<'e> Exits<'e> {
    /// The site with this index.
    ///
    /// # Errors
    ///
    /// `Invalid` if there is none, or if the slices do not belong together ([`Rule::LinkTable`]).
    pub fn site(&self, index: usize) -> Result<Site<'e>, Error> {
        let wrong = Error::Invalid {
            rule: Rule::LinkTable,
            place: ErrorPlace::Exit(index as u32),
        };
        let record = self.sites.get(index).ok_or(wrong)?;
        let span = |first: u32, count: u32| {
            let values = self.values.get(first as usize..)?;
            values.get(..count as usize)
        };
        let carried = span(record.first, record.carried).ok_or(wrong)?;
        let kept = record.first.checked_add(record.carried);
        let kept = kept
            .and_then(|first| span(first, record.kept.into()))
            .ok_or(wrong)?;
        let results = span(record.first_result, record.results.into()).ok_or(wrong)?;
        let site = Site {
            record,
            index: index as u32,
            carried,
            kept,
            results,
        };
        if site.digest() != record.layout {
            return Err(wrong);
        }
        Ok(site)
    }

    /// The first site of the exit with this number that can be linked. Takes time linear in the sites.
    pub fn find(&self, number: u32) -> Option<usize> {
        let mut sites = self.sites.iter();
        sites.position(|site| site.number == number && site.jump != NONE)
    }

    /// The head with this index: its record, parameters and needs.
    pub(crate) fn head(
        &self,
        index: usize,
    ) -> Option<(&'e LoopHead, &'e [Carried], &'e [Carried])> {
        let record = self.heads.get(index)?;
        let values = self.values.get(record.first as usize..)?;
        let (parameters, rest) = values.split_at_checked(record.parameters as usize)?;
        let needs = rest.get(..record.needs.into())?;
        let digest = digest_of(parameters).fold(digest_of(needs).0);
        (digest.0 == record.layout).then_some((record, parameters, needs))
    }
}

/// A site with all that it names.
#[derive(Clone, Copy, Debug)]
pub struct Site<'e> {
    pub(crate) record: &'e ExitSite,
    pub(crate) index: u32,
    pub(crate) carried: &'e [Carried],
    pub(crate) kept: &'e [Carried],
    pub(crate) results: &'e [Carried],
}

impl<'e> Site<'e> {
    /// Its index among the sites of its compilation.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// The number of its exit.
    pub fn number(&self) -> u32 {
        self.record.number
    }

    /// The index of its exit in the program.
    pub fn exit(&self) -> u32 {
        self.record.exit
    }

    /// The op that leaves through it, the first one of several.
    pub fn op(&self) -> u32 {
        self.record.op
    }

    /// The function in which it is.
    pub fn function(&self) -> u32 {
        self.record.function
    }

    /// The values of the snapshot, in its order: a side trace has a parameter for each.
    pub fn carried(&self) -> &'e [Carried] {
        self.carried
    }

    /// The types of the results of its function, which a side trace has too.
    pub fn results(&self) -> impl Iterator<Item = Type> + 'e {
        self.results.iter().map(Carried::ty)
    }

    /// Whether it can be linked: it deoptimizes, and is not that of a poll, which must always be noticed.
    pub fn can_link(&self) -> bool {
        self.record.jump != NONE
    }

    /// The head of the innermost loop around it, to which a bridge may lead: its index in the heads of its own
    /// compilation, or of the one that it is a side trace of ([`Site::is_head_own`]).
    pub fn head(&self) -> Option<u32> {
        (self.record.head != NONE).then_some(self.record.head)
    }

    /// Whether the loop around it is in its own code, and not in the code that its code is a side trace of.
    pub fn is_head_own(&self) -> bool {
        self.record.head_stamp == self.record.stamp
    }

    /// Names the site among all compilations.
    pub(crate) fn identity(&self) -> u64 {
        Digest(self.record.stamp)
            .fold(self.record.layout)
            .fold(self.index.into())
            .0
    }

    /// Digest of all that a side trace relies on.
    pub(crate) fn digest(&self) -> u64 {
        let record = self.record;
        digest_of(self.carried)
            .fold(digest_of(self.kept).0)
            .fold(digest_of(self.results).0)
            .fold(u64::from(record.frame) << 32 | u64::from(record.outgoing))
            .fold(record.head_stamp)
            .fold(u64::from(record.head) << 32 | u64::from(record.jump))
            .0
    }
}

/// A digest under way: tells records of different compilations apart, no more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Digest(pub u64);

impl Digest {
    pub const EMPTY: Digest = Digest(0x6c69_6e6b);

    /// With one more word.
    pub fn fold(self, word: u64) -> Digest {
        let mixed = (self.0.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Digest(mixed ^ mixed >> 29)
    }
}

/// Digest of values: types, slots and places.
pub(crate) fn digest_of(values: &[Carried]) -> Digest {
    let start = Digest::EMPTY.fold(values.len() as u64);
    values.iter().fold(start, |digest, value| {
        let (kind, bits) = match value.place {
            Place::Register(register) => (0, u64::from(register)),
            Place::Frame(word) => (1, u64::from(word)),
            Place::Constant(bits) => (2, bits),
            Place::Context(offset) => (3, u64::from(offset)),
            Place::Nowhere => (4, 0),
        };
        let head = u64::from(value.slot) << 32
            | u64::from(value.boxed) << 16
            | (value.ty as u64) << 8
            | kind;
        digest.fold(head).fold(bits)
    })
}

/// What a compilation that describes exits writes, and where it is.
#[derive(Debug)]
pub(crate) struct Description<'e> {
    pub sites: &'e mut [ExitSite],
    pub values: &'e mut [Carried],
    pub heads: &'e mut [LoopHead],
    /// How many there are so far, whether they fit or not.
    pub site_count: usize,
    pub value_count: usize,
    pub head_count: usize,
}

impl Description<'_> {
    pub fn site(&mut self, site: ExitSite) {
        if let Some(room) = self.sites.get_mut(self.site_count) {
            *room = site;
        }
        self.site_count += 1;
    }

    pub fn value(&mut self, value: Carried) {
        if let Some(room) = self.values.get_mut(self.value_count) {
            *room = value;
        }
        self.value_count += 1;
    }

    pub fn head(&mut self, head: LoopHead) {
        if let Some(room) = self.heads.get_mut(self.head_count) {
            *room = head;
        }
        self.head_count += 1;
    }

    /// Whether everything fitted.
    pub fn check(&self) -> Result<(), Error> {
        for (storage, needed, length) in [
            (Storage::ExitSites, self.site_count, self.sites.len()),
            (Storage::ExitValues, self.value_count, self.values.len()),
            (Storage::LoopHeads, self.head_count, self.heads.len()),
        ] {
            if needed > length {
                return Err(Error::Full { storage, needed });
            }
        }
        Ok(())
    }

    /// Stamps all records with a digest of everything; gives it.
    pub fn seal(&mut self, code_length: u32) -> u64 {
        let (sites, heads) = (
            self.sites.get_mut(..self.site_count).unwrap_or_default(),
            self.heads.get_mut(..self.head_count).unwrap_or_default(),
        );
        let values = self.values.get(..self.value_count).unwrap_or_default();
        let mut stamp = digest_of(values).fold(code_length.into());
        for site in sites.iter() {
            stamp = stamp.fold(u64::from(site.number) << 32 | u64::from(site.jump));
        }
        for head in heads.iter_mut() {
            let span = |first: usize, count: usize| {
                let span = values.get(first..).and_then(|rest| rest.get(..count));
                digest_of(span.unwrap_or_default())
            };
            let first = head.first as usize;
            let parameters = span(first, head.parameters as usize);
            let needs = span(first + head.parameters as usize, head.needs.into());
            head.layout = parameters.fold(needs.0).0;
            stamp = stamp.fold(u64::from(head.offset));
        }
        for head in heads {
            head.stamp = stamp.0;
        }
        for (index, site) in sites.iter_mut().enumerate() {
            site.stamp = stamp.0;
            if site.head != NONE && site.head_stamp == 0 {
                site.head_stamp = stamp.0;
            }
            let first = site.first as usize;
            let span = |first: usize, count: usize| {
                let span = values.get(first..).and_then(|rest| rest.get(..count));
                span.unwrap_or_default()
            };
            let view = Site {
                record: site,
                index: index as u32,
                carried: span(first, site.carried as usize),
                kept: span(first + site.carried as usize, site.kept.into()),
                results: span(site.first_result as usize, site.results.into()),
            };
            site.layout = view.digest();
        }
        stamp.0
    }
}
