//! Memories, which instances may share.

use crate::declared::MOST_PAGES;
use crate::instance::Inner;
use crate::types::Limits;
use patchjit_memory::{Growing, faults};
use std::cell::RefCell;
use std::rc::{Rc, Weak};

/// Bytes of a page.
pub const PAGE: u64 = 1 << 16;

/// How much address space every memory has where faults are handled and there is that much: an address of 32 bits and an offset of 31. What
/// could get farther is compared.
pub(crate) const RESERVED: u64 = (1 << 32) + (1 << 31);

/// How many bytes the region of a memory has at least and at most.
pub(crate) fn bytes(limits: &Limits) -> (u64, u64) {
    let most = limits.most.unwrap_or(MOST_PAGES).min(MOST_PAGES);
    (u64::from(limits.least) * PAGE, u64::from(most) * PAGE)
}

/// Who has to be told when something gets longer: instances, and the region that it is there.
pub(crate) type Users = RefCell<Vec<(Weak<Inner>, usize)>>;

/// Tells instances how long something is now.
pub(crate) fn tell(users: &Users, size: u64) {
    for (user, region) in users.borrow().iter() {
        if let Some(user) = user.upgrade() {
            user.set_region_size(*region, size);
        }
    }
}

pub(crate) struct Shared {
    pub bytes: Growing,
    pub limits: Limits,
    pub users: Users,
}

/// A linear memory.
#[derive(Clone)]
pub struct Memory(pub(crate) Rc<Shared>);

impl Memory {
    /// A memory of zeros.
    ///
    /// # Errors
    ///
    /// If there is no address space for what it may grow to, or no memory.
    pub fn new(limits: Limits) -> Result<Memory, patchjit_memory::Error> {
        Memory::within(limits, MOST_PAGES)
    }

    /// The same with so many pages at most, whatever is declared.
    pub(crate) fn within(limits: Limits, pages: u32) -> Result<Memory, patchjit_memory::Error> {
        let (least, most) = bytes(&limits);
        let most = most.min(u64::from(pages) * PAGE);
        if least > most {
            return Err(patchjit_memory::Error::System {
                step: patchjit_memory::Step::Reserve,
                code: 0,
            });
        }
        let bytes = match faults::AVAILABLE {
            true => {
                Growing::reserved(least, most, RESERVED).or_else(|_| Growing::new(least, most))?
            }
            false => Growing::new(least, most)?,
        };
        Ok(Memory(Rc::new(Shared {
            bytes,
            limits,
            users: Users::default(),
        })))
    }

    /// How many pages it has.
    pub fn pages(&self) -> u32 {
        (self.0.bytes.size() / PAGE) as u32
    }

    /// Its pages now and at most.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            least: self.pages(),
            most: self.0.limits.most,
        }
    }

    /// Makes it so many pages longer; gives how many it had, or `None` if it cannot.
    pub fn grow(&self, pages: u32) -> Option<u32> {
        let before = self.pages();
        let size = u64::from(before.checked_add(pages)?) * PAGE;
        self.0.bytes.grow(size).ok()?;
        tell(&self.0.users, size);
        Some(before)
    }

    /// Reads bytes from an address on; `None` if they are not all there.
    pub fn read(&self, address: u32, bytes: &mut [u8]) -> Option<()> {
        self.0.bytes.read(address.into(), bytes)
    }

    /// Writes bytes from an address on; `None` if they do not all fit, and nothing is written.
    pub fn write(&self, address: u32, bytes: &[u8]) -> Option<()> {
        self.0.bytes.write(address.into(), bytes)
    }
}
