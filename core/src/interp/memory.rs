//! The oracle's memory access: the one place with `unsafe` in what it executes.
//!
//! Three kinds of memory are reached through pointers. *Decoded words*: [`Cursor`] reads what
//! [`super::decode`] wrote, at the offsets that it wrote. *Frame registers*: [`Window`] reads and writes the caller's
//! stack slice at register numbers that the decoder allocated, in a window that was measured against the slice when
//! the function was entered. *Regions, guest slots and raw addresses*: what the embedder bound, after the
//! bounds check that the program's declaration asks for (none, for raw addresses). Debug builds check the first two.
#![allow(unsafe_code)]

use crate::ops::Opcode;
use crate::types::Type;
#[cfg(target_has_atomic = "64")]
use core::sync::atomic::AtomicU64;
use core::sync::atomic::{AtomicU32, Ordering};

/// Whether the host has atomic accesses of 64 bits; where it has not, programs with such ops are not decoded.
pub(super) const HAS_WIDE_ATOMICS: bool = cfg!(target_has_atomic = "64");

/// A place in the decoded words.
#[derive(Clone, Copy)]
pub(super) struct Cursor {
    at: *const u32,
    #[cfg(debug_assertions)]
    start: *const u32,
    #[cfg(debug_assertions)]
    length: usize,
}

impl Cursor {
    /// A cursor at the first word.
    ///
    /// # Safety
    ///
    /// The words outlive the cursor, and it is moved and read only by offsets that the decoder wrote into
    /// these words or that the layout of its instructions gives.
    #[inline(always)]
    pub(super) unsafe fn new(words: &[u32]) -> Cursor {
        Cursor {
            at: words.as_ptr(),
            #[cfg(debug_assertions)]
            start: words.as_ptr(),
            #[cfg(debug_assertions)]
            length: words.len(),
        }
    }

    /// The word that many words further on.
    #[inline(always)]
    pub(super) fn word(self, offset: usize) -> u32 {
        #[cfg(debug_assertions)]
        {
            let here = (self.at as usize - self.start as usize) / 4;
            assert!(
                here + offset < self.length,
                "a read outside the decoded words"
            );
        }
        // SAFETY: by the promise made to `new`, this is an operand word of a decoded instruction.
        unsafe { *self.at.add(offset) }
    }

    /// Two words as one value.
    #[inline(always)]
    pub(super) fn pair(self, offset: usize) -> u64 {
        u64::from(self.word(offset)) | u64::from(self.word(offset + 1)) << 32
    }

    /// The cursor moved on by that many words.
    #[inline(always)]
    pub(super) fn skip(self, words: usize) -> Cursor {
        Cursor {
            // SAFETY: by the promise made to `new`, there is an instruction there.
            at: unsafe { self.at.add(words) },
            ..self
        }
    }

    /// How many words this cursor stands behind another one.
    #[inline(always)]
    pub(super) fn behind(self, other: Cursor) -> u32 {
        ((self.at as usize - other.at as usize) / size_of::<u32>()) as u32
    }
}

/// A window of frame registers on the stack.
#[derive(Clone, Copy)]
pub(super) struct Window {
    base: *mut u64,
    #[cfg(debug_assertions)]
    start: usize,
    #[cfg(debug_assertions)]
    end: usize,
}

impl Window {
    /// The window at the bottom of a stack.
    ///
    /// # Safety
    ///
    /// The stack outlives the window and is reached through it and its copies only. Whoever moves the window has made
    /// sure that all registers of the function that runs in it lie inside the stack.
    #[inline(always)]
    pub(super) unsafe fn new(stack: &mut [u64]) -> Window {
        Window {
            base: stack.as_mut_ptr(),
            #[cfg(debug_assertions)]
            start: stack.as_ptr() as usize,
            #[cfg(debug_assertions)]
            end: stack.as_ptr() as usize + stack.len() * 8,
        }
    }

    #[inline(always)]
    fn check(self, index: usize) {
        #[cfg(debug_assertions)]
        {
            let address = (self.base as usize).wrapping_add(index.wrapping_mul(8));
            assert!(
                address >= self.start && address < self.end,
                "a register outside the stack"
            );
        }
        let _ = index;
    }

    /// The value of a register.
    #[inline(always)]
    pub(super) fn get(self, register: u32) -> u64 {
        self.check(register as usize);
        // SAFETY: registers of decoded instructions lie in the frame, and the frame in the stack.
        unsafe { *self.base.add(register as usize) }
    }

    /// Gives a register a value.
    #[inline(always)]
    pub(super) fn set(self, register: u32, value: u64) {
        self.check(register as usize);
        // SAFETY: as for `get`.
        unsafe { *self.base.add(register as usize) = value }
    }

    /// The word in front of the first register, where the frame keeps how to return.
    #[inline(always)]
    pub(super) fn link(self) -> u64 {
        self.check(usize::MAX);
        // SAFETY: every frame is entered with one word in front of it.
        unsafe { *self.base.sub(1) }
    }

    /// Writes the word in front of the first register.
    #[inline(always)]
    pub(super) fn set_link(self, link: u64) {
        self.check(usize::MAX);
        // SAFETY: as for `link`.
        unsafe { *self.base.sub(1) = link }
    }

    /// The window moved up.
    #[inline(always)]
    pub(super) fn up(self, words: usize) -> Window {
        Window {
            // SAFETY: the interpreter has measured the frame above against the stack.
            base: unsafe { self.base.add(words) },
            ..self
        }
    }

    /// The window moved down again.
    #[inline(always)]
    pub(super) fn down(self, words: usize) -> Window {
        Window {
            // SAFETY: the frame below was entered before this one and is as long as the link says.
            base: unsafe { self.base.sub(words) },
            ..self
        }
    }

    /// How many words there are from here to the end of a stack whose end is at this address.
    #[inline(always)]
    pub(super) fn room(self, end: usize) -> usize {
        (end - self.base as usize) / size_of::<u64>()
    }

    /// The address of a register, for a host function.
    #[inline(always)]
    pub(super) fn pointer(self, register: u32) -> *mut u64 {
        // SAFETY: as for `get`.
        unsafe { self.base.add(register as usize) }
    }
}

/// The pointer that a raw address stands for.
#[inline(always)]
pub(super) fn raw(address: u64) -> *mut u8 {
    core::ptr::with_exposed_provenance_mut(address as usize)
}

/// Reads `width` bytes as a value of this type, zero-extended to 64 bits. Constant arguments leave one load.
///
/// # Safety
///
/// That many bytes may be read there.
#[inline(always)]
pub(super) unsafe fn load(at: *const u8, width: u8, sign_extends: bool, ty: Type) -> u64 {
    // SAFETY: the caller's promise; no alignment is assumed.
    let value = unsafe {
        match (width, sign_extends) {
            (1, false) => u64::from(*at),
            (1, true) => i64::from(*at.cast::<i8>()) as u64,
            (2, false) => u64::from(at.cast::<u16>().read_unaligned()),
            (2, true) => i64::from(at.cast::<i16>().read_unaligned()) as u64,
            (4, false) => u64::from(at.cast::<u32>().read_unaligned()),
            (4, true) => i64::from(at.cast::<i32>().read_unaligned()) as u64,
            _ => at.cast::<u64>().read_unaligned(),
        }
    };
    if ty.bits() == 32 {
        value & 0xffff_ffff
    } else {
        value
    }
}

/// Writes the low `width` bytes of a value.
///
/// # Safety
///
/// That many bytes may be written there.
#[inline(always)]
pub(super) unsafe fn store(at: *mut u8, width: u8, value: u64) {
    // SAFETY: the caller's promise; no alignment is assumed.
    unsafe {
        match width {
            1 => *at = value as u8,
            2 => at.cast::<u16>().write_unaligned(value as u16),
            4 => at.cast::<u32>().write_unaligned(value as u32),
            _ => at.cast::<u64>().write_unaligned(value),
        }
    }
}

/// An atomic access, sequentially consistent. Gives what stood there, except for a store. `None` for an
/// opcode that is none.
///
/// # Safety
///
/// The bytes may be read and written there by an aligned access of the op's width.
pub(super) unsafe fn atomic(
    code: Opcode,
    at: *mut u8,
    value: u64,
    replacement: u64,
) -> Option<u64> {
    use Opcode::*;
    let order = Ordering::SeqCst;
    if code.info().width == 4 {
        // SAFETY: the caller's promise.
        let place = unsafe { AtomicU32::from_ptr(at.cast()) };
        let value = value as u32;
        let old = match code {
            I32AtomicLoad => place.load(order),
            I32AtomicStore => {
                place.store(value, order);
                0
            }
            I32AtomicAdd => place.fetch_add(value, order),
            I32AtomicAnd => place.fetch_and(value, order),
            I32AtomicOr => place.fetch_or(value, order),
            I32AtomicXor => place.fetch_xor(value, order),
            I32AtomicXchg => place.swap(value, order),
            I32AtomicCmpxchg => place
                .compare_exchange(value, replacement as u32, order, order)
                .unwrap_or_else(|old| old),
            _ => return None,
        };
        return Some(u64::from(old));
    }
    // SAFETY: the caller's promise.
    unsafe { atomic_wide(code, at, value, replacement) }
}

/// The same for 64 bits, on a host that has no such accesses: none, for the decoder lets none through.
///
/// # Safety
///
/// None is needed.
#[cfg(not(target_has_atomic = "64"))]
unsafe fn atomic_wide(_: Opcode, _: *mut u8, _: u64, _: u64) -> Option<u64> {
    None
}

/// The same for 64 bits.
///
/// # Safety
///
/// As for [`atomic`].
#[cfg(target_has_atomic = "64")]
unsafe fn atomic_wide(code: Opcode, at: *mut u8, value: u64, replacement: u64) -> Option<u64> {
    use Opcode::*;
    let order = Ordering::SeqCst;
    // SAFETY: the caller's promise.
    let place = unsafe { AtomicU64::from_ptr(at.cast()) };
    Some(match code {
        I64AtomicLoad => place.load(order),
        I64AtomicStore => {
            place.store(value, order);
            0
        }
        I64AtomicAdd => place.fetch_add(value, order),
        I64AtomicAnd => place.fetch_and(value, order),
        I64AtomicOr => place.fetch_or(value, order),
        I64AtomicXor => place.fetch_xor(value, order),
        I64AtomicXchg => place.swap(value, order),
        I64AtomicCmpxchg => place
            .compare_exchange(value, replacement, order, order)
            .unwrap_or_else(|old| old),
        _ => return None,
    })
}
