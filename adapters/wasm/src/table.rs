//! Tables of references, which instances may share. An element is a word: see [`crate::types`].

use crate::declared::MOST_ELEMENTS;
use crate::memory::{Users, tell};
use crate::types::{Limits, TableType};
use patchjit_memory::Growing;
use std::rc::Rc;

/// Bytes of an element.
const ELEMENT: u64 = 8;

/// How many bytes the region of a table has at least and at most.
pub(crate) fn bytes(limits: &Limits) -> (u64, u64) {
    let most = limits.most.unwrap_or(u32::MAX).max(limits.least);
    (u64::from(limits.least) * ELEMENT, u64::from(most) * ELEMENT)
}

pub(crate) struct Shared {
    pub words: Growing,
    pub ty: TableType,
    pub users: Users,
}

/// A table.
#[derive(Clone)]
pub struct Table(pub(crate) Rc<Shared>);

impl Table {
    /// A table of nulls. It grows to no more than 2^24 elements.
    ///
    /// # Errors
    ///
    /// If it has more than 2^24 elements; if there is no address space for what it may grow to, or no memory.
    pub fn new(ty: TableType) -> Result<Table, patchjit_memory::Error> {
        let limits = ty.limits;
        let most = limits.most.unwrap_or(MOST_ELEMENTS).min(MOST_ELEMENTS);
        if limits.least > MOST_ELEMENTS {
            return Err(patchjit_memory::Error::System {
                step: patchjit_memory::Step::Reserve,
                code: 0,
            });
        }
        let most = u64::from(most) * ELEMENT;
        Ok(Table(Rc::new(Shared {
            words: Growing::new(u64::from(limits.least) * ELEMENT, most)?,
            ty,
            users: Users::default(),
        })))
    }

    /// How many elements it has.
    pub fn length(&self) -> u32 {
        (self.0.words.size() / ELEMENT) as u32
    }

    /// Its type, with its length now.
    pub(crate) fn ty(&self) -> TableType {
        TableType {
            element: self.0.ty.element,
            limits: Limits {
                least: self.length(),
                most: self.0.ty.limits.most,
            },
        }
    }

    /// Sets the word of an element.
    pub(crate) fn set(&self, index: u32, word: u64) -> Option<()> {
        let at = u64::from(index) * ELEMENT;
        self.0.words.write(at, &word.to_ne_bytes())
    }

    /// Makes it so many elements longer, which are this word; gives how many it had, or `None` if it cannot.
    pub(crate) fn grow(&self, count: u32, word: u64) -> Option<u32> {
        let before = self.length();
        let length = before.checked_add(count)?;
        let size = u64::from(length) * ELEMENT;
        self.0.words.grow(size).ok()?;
        tell(&self.0.users, size);
        if word != 0 {
            self.fill(before, word, count)?;
        }
        Some(before)
    }

    pub(crate) fn fill(&self, index: u32, word: u64, count: u32) -> Option<()> {
        let end = index.checked_add(count)?;
        if end > self.length() {
            return None;
        }
        (index..end).try_for_each(|index| self.set(index, word))
    }

    pub(crate) fn copy(&self, to: u32, source: &Table, from: u32, count: u32) -> Option<()> {
        let [to, from, count] = [to, from, count].map(|count| u64::from(count) * ELEMENT);
        self.0.words.copy(to, &source.0.words, from, count)
    }
}
