//! Boxes: what a tagged word carries and which tag it has, where the op that made the word is known.
//!
//! A box always has its tag, and zeros below what it carries, so a test for any tag whose mask asks for nothing else is known.
//! Unboxing gives back what was boxed where the word had room for it: an `i32` by its type, an `i64` by what is known of its range.
//! `f64` ops of arithmetic take a NaN as it is, since theirs have no bits of their own.

use super::passes::Pass;
use super::walk::{Fault, Walk};
use crate::ir::{Op, Tag};
use crate::ops::Opcode;
use crate::types::Type;

/// An op over one operand.
fn unary(code: Opcode, a: u32) -> Op {
    Op {
        code,
        aux: 0,
        a,
        b: 0,
        c: 0,
    }
}

/// Whether the bits of a NaN operand do not show in the op's value.
pub(super) const fn takes_any_nan(code: Opcode) -> bool {
    use Opcode::*;
    matches!(
        code,
        F64Add
            | F64Sub
            | F64Mul
            | F64Div
            | F64Sqrt
            | F64Eq
            | F64Ne
            | F64Lt
            | F64Gt
            | F64Le
            | F64Ge
            | F64Canonicalize
            | I64BoxF64
    )
}

impl Walk<'_, '_, '_, '_> {
    /// Operands without a `canonicalize` that does not show.
    pub fn without_canonicalize(&mut self, op: &mut Op) {
        if !takes_any_nan(op.code) {
            return;
        }
        let plain = |draft: &[Op], value: u32| match draft[value as usize] {
            inner if inner.code == Opcode::F64Canonicalize => inner.a,
            _ => value,
        };
        let a = plain(self.draft, op.a);
        let b = match op.code.info().operand_count {
            2 => plain(self.draft, op.b),
            _ => op.b,
        };
        if (a, b) != (op.a, op.b) && self.steps.take(Pass::Boxes) {
            (op.a, op.b) = (a, b);
        }
    }

    /// The value of an op on a tagged word, if the word is a box.
    pub fn unboxed(&mut self, op: &Op) -> Result<Option<u32>, Fault> {
        if !self.steps.may(Pass::Boxes) {
            return Ok(None);
        }
        let tag = self.program.tag_of(op);
        let carries_all = tag.mask == 0 && tag.shift == 0;
        if carries_all
            && matches!(
                op.code,
                Opcode::I64UnboxU | Opcode::I64UnboxS | Opcode::I64Box
            )
        {
            self.steps.did(Pass::Boxes, 1);
            return Ok(Some(op.a));
        }
        let boxed = self.draft[op.a as usize];
        let carried = boxed.a;
        let possible = match boxed.code {
            Opcode::I64BoxI32 | Opcode::I64Box => match self.fact(carried).ceiling {
                0 => 0,
                ceiling => u64::MAX >> ceiling.leading_zeros(),
            },
            Opcode::I64BoxF64 => u64::MAX,
            _ => return Ok(None),
        };
        let around = self.program.tag_of(&boxed);
        if op.code == Opcode::I64TagTest {
            let Some(holds) = is_on_box(&tag, &around, possible) else {
                return Ok(None);
            };
            self.steps.did(Pass::Boxes, 1);
            return self.constant(Type::I32, u64::from(holds)).map(Some);
        }
        if tag.mask != around.mask || tag.shift != around.shift || !self.has_room() {
            return Ok(None);
        }
        let fits = possible << tag.shift >> tag.shift == possible
            && (possible << tag.shift) & tag.mask == 0;
        // The place of the sign: what is boxed must end below it.
        let top = 63 - (!tag.mask).leading_zeros().min(63);
        let positive = fits && (possible << tag.shift) >> top == 0;
        let room = !tag.mask >> tag.shift;
        let whole = room != 0 && room == u64::MAX >> room.leading_zeros();
        let sign_fits = boxed.code == Opcode::I64Box && whole && {
            let (fact, spare) = (self.fact(carried), room.leading_zeros());
            let (low, high) = (i64::MIN >> spare, i64::MAX >> spare);
            fact.low >= low && fact.high <= high
        };
        let narrow = u64::from(u32::MAX) << tag.shift;
        let narrow_fits = narrow >> tag.shift == u64::from(u32::MAX) && narrow & tag.mask == 0;
        let ops: &[Opcode] = match (op.code, boxed.code) {
            (Opcode::I32Unbox, Opcode::I64BoxI32) if fits => &[],
            (Opcode::I32Unbox, Opcode::I64Box) if narrow_fits => &[Opcode::I32WrapI64],
            (Opcode::I64UnboxU, Opcode::I64BoxI32) if fits => &[Opcode::I64ExtendI32U],
            (Opcode::I64UnboxS, Opcode::I64BoxI32) if positive => &[Opcode::I64ExtendI32U],
            (Opcode::I64UnboxU, Opcode::I64Box) if fits => &[],
            (Opcode::I64UnboxS, Opcode::I64Box) if positive || sign_fits => &[],
            _ => return Ok(None),
        };
        self.steps.did(Pass::Boxes, 1);
        let mut value = carried;
        for &code in ops {
            value = self.pure(unary(code, value))?;
        }
        Ok(Some(value))
    }

    /// What was boxed with the bits of a float, where they are read again.
    pub fn unboxed_float(&mut self, op: &Op) -> Option<Op> {
        if op.code != Opcode::F64ReinterpretI64 || !self.steps.may(Pass::Boxes) {
            return None;
        }
        let boxed = self.draft[op.a as usize];
        let tag = self.program.tag_of(&boxed);
        if boxed.code != Opcode::I64BoxF64 || tag.mask != 0 || tag.shift != 0 {
            return None;
        }
        self.steps.did(Pass::Boxes, 1);
        Some(unary(Opcode::F64Canonicalize, boxed.a))
    }
}

/// Whether a box with the tag `around`, of which no more than the bits of `possible` are carried, has a tag, if that is known.
fn is_on_box(tag: &Tag, around: &Tag, possible: u64) -> Option<bool> {
    let known = around.mask | !(possible << around.shift);
    if (tag.bits ^ around.bits) & tag.mask & known != 0 {
        return Some(false);
    }
    (tag.mask & !known == 0).then_some(true)
}

#[cfg(test)]
mod tests {
    use super::is_on_box;
    use crate::ir::Tag;

    #[test]
    fn what_is_said_of_a_box_holds() {
        let mut random = 0x9e37_79b9_7f4a_7c15u64;
        let mut next = || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random
        };
        let mut known = [0; 2];
        for _ in 0..20_000 {
            let mut tag = || {
                let mask = match next() % 3 {
                    0 => next() & next(),
                    1 => 0xffff << (next() % 49),
                    _ => next() % 8,
                };
                Tag {
                    mask,
                    bits: next() & mask,
                    shift: (next() % 64) as u8,
                }
            };
            let (asked, around) = (tag(), tag());
            let possible = u64::MAX >> (next() % 64);
            if let Some(holds) = is_on_box(&asked, &around, possible) {
                known[usize::from(holds)] += 1;
                for _ in 0..8 {
                    assert_eq!(asked.is_on(around.put_on(next() & possible)), holds);
                }
            }
        }
        assert!(known.iter().all(|&count| count > 100), "{known:?}");
    }
}
