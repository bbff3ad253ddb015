//! Arrays of values, in three spans of memory that compiled code reaches as regions.
//!
//! ```text
//!   lengths   [u64; ARRAYS]      how many elements        one word for each array, by its index
//!   starts    [u64; ARRAYS]      where they begin, in words of
//!   elements  [u64; WORDS]       values
//! ```
//!
//! Lengths and starts are below [`REACH`], and there are twice as many words. So an index below a length, added to a start,
//! is within the elements whatever the numbers are, as long as both were masked: this is what lets an optimizer drop the
//! bounds checks of the regions. The bounds check of the language it has to keep.
//!
//! There is no collector: arrays live as long as the heap. That keeps this host small; a heap that moves its arrays
//! would change starts, and nothing that compiled code keeps.

use crate::value::Value;

/// The most arrays.
pub const ARRAYS: usize = 1 << 16;

/// The most elements of an array, plus one; and the first word at which no array begins.
pub const REACH: usize = 1 << 20;

/// The words of all arrays.
pub const WORDS: usize = 2 * REACH;

/// All arrays of a machine.
#[derive(Debug)]
pub struct Heap {
    pub(crate) lengths: Box<[u64]>,
    pub(crate) starts: Box<[u64]>,
    pub(crate) elements: Box<[u64]>,
    arrays: usize,
    used: usize,
}

impl Default for Heap {
    fn default() -> Heap {
        Heap::new()
    }
}

impl Heap {
    /// An empty heap. Its memory is asked for here, and touched when it is used.
    pub fn new() -> Heap {
        Heap {
            lengths: vec![0; ARRAYS].into(),
            starts: vec![0; ARRAYS].into(),
            elements: vec![0; WORDS].into(),
            arrays: 0,
            used: 0,
        }
    }

    /// Forgets all arrays.
    pub fn clear(&mut self) {
        self.arrays = 0;
        self.used = 0;
    }

    /// An array of so many equal elements, if there is room for it.
    pub fn array(&mut self, length: usize, element: Value) -> Option<Value> {
        if self.arrays >= ARRAYS || length >= REACH || self.used >= REACH {
            return None;
        }
        let (index, start) = (self.arrays, self.used);
        let elements = self.elements.get_mut(start..start + length)?;
        elements.fill(element.0);
        self.lengths[index] = length as u64;
        self.starts[index] = start as u64;
        self.arrays += 1;
        self.used += length;
        Some(Value::array(index as u16))
    }

    /// The elements of an array.
    pub fn elements(&self, array: Value) -> &[u64] {
        let (start, length) = self.span(array);
        self.elements.get(start..start + length).unwrap_or(&[])
    }

    /// The elements of all arrays, one array behind the other.
    pub fn used(&self) -> &[u64] {
        self.elements.get(..self.used).unwrap_or(&[])
    }

    /// Where an array's element is, if the array has it.
    #[inline(always)]
    pub(crate) fn place(&mut self, array: Value, index: i32) -> Option<&mut u64> {
        let (start, length) = self.span(array);
        if index as u32 as usize >= length {
            return None;
        }
        self.elements.get_mut(start + index as u32 as usize)
    }

    #[inline(always)]
    fn span(&self, array: Value) -> (usize, usize) {
        let index = usize::from(array.as_array());
        (self.starts[index] as usize, self.lengths[index] as usize)
    }

    /// How many elements an array has.
    #[inline(always)]
    pub fn length(&self, array: Value) -> i32 {
        self.lengths[usize::from(array.as_array())] as i32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_are_apart_and_bounded() {
        let mut heap = Heap::new();
        let a = heap.array(3, Value::integer(1)).unwrap();
        let b = heap.array(0, Value::NIL).unwrap();
        let c = heap.array(2, Value::integer(2)).unwrap();
        assert_eq!((heap.length(a), heap.length(b), heap.length(c)), (3, 0, 2));
        *heap.place(a, 2).unwrap() = Value::NIL.0;
        assert_eq!(heap.elements(c), [Value::integer(2).0; 2]);
        assert!(heap.place(a, 3).is_none() && heap.place(a, -1).is_none());
        assert!(heap.place(b, 0).is_none());
        assert!(heap.array(REACH, Value::NIL).is_none());
        assert!(heap.array(REACH - 1, Value::NIL).is_some());
        assert!(
            heap.array(REACH - 1, Value::NIL).is_none(),
            "no word is left to begin at"
        );
    }
}
