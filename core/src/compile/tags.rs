//! Tagged words: tests, boxes and unboxes, made of shifts, masks and comparisons that ops have forms for anyway.
//!
//! What suits a tag is worked out from its mask: a field that ends at the word's top is shifted down, one that lies in
//! 32 bits, perhaps after a rotation, is masked with an immediate, and so on. The scratch register holds the part of a
//! word that a test compares, and constants that are no immediates. A box or unbox works in its result's register.

use super::allocate::{INTS, Register, only};
use super::lower::{Condition, LowTest};
use super::workspace::{INFO, INFO_USES, is_fused};
use super::{Event, FunctionCompiler, Observer};
use crate::ir::{Op, Tag};
use crate::ops::Opcode;
use crate::patch::Fault;
use crate::stencil::{Form, FormKind, Machine};

/// A comparison for equality.
#[derive(Clone, Copy)]
pub(super) struct Equality {
    /// `i32.eq` or `i64.eq`.
    pub code: Opcode,
    /// The operands in registers; the second one counts where there is no immediate.
    pub registers: [Register; 2],
    pub immediate: Option<i64>,
}

/// A word that changes step by step on its way into a register.
struct Work {
    from: Register,
    to: Register,
}

impl<O: Observer> FunctionCompiler<'_, '_, O> {
    /// Makes a condition whose word is in a register say how the jump asks for the tag. Emits what comes before the
    /// jump; it leaves its outcome in the scratch register, which planning an edge does not touch.
    pub(super) fn prepare_tag_test(
        &mut self,
        tag: Tag,
        condition: &mut Condition,
    ) -> Result<(), Fault> {
        let single = tag.mask == tag.bits && tag.mask.is_power_of_two();
        if tag.mask < 0x80 && (tag.bits == 0 || single) {
            let mask = tag.mask as u8;
            condition.low = Some(LowTest::Bits { mask, set: single });
            return Ok(());
        }
        if tag.mask == 0xff {
            condition.low = Some(LowTest::Byte(tag.bits as u8));
            return Ok(());
        }
        let test = self.isolate_tag(tag, condition.registers[0])?;
        condition.code = test.code;
        condition.immediate = test.immediate;
        condition.registers[..2].copy_from_slice(&test.registers);
        Ok(())
    }

    /// Compiles an op on tagged words.
    pub(super) fn lower_tagged(&mut self, value: u32, op: &Op) -> Result<(), Fault> {
        let facts = self.word(value, INFO);
        if is_fused(facts) || facts & INFO_USES == 0 {
            return Ok(());
        }
        let tag = self.program.tag_of(op);
        let input = op.a - self.first_op;
        let from = self.bring(input, self.allocatable & self.bank(input))?;
        self.observe_uses(value, &[input], &[from]);
        self.advance(value, 0, input);
        if op.code == Opcode::I64TagTest {
            let test = self.isolate_tag(tag, from)?;
            let to = self.result_register(value, input, from)?;
            let [first, second] = test.registers;
            let (kind, immediate) = match test.immediate {
                Some(immediate) => (FormKind::Immediate, immediate),
                None => (FormKind::Registers, 0),
            };
            self.form(Form::op(test.code, kind), [to, first, second, 0], immediate)?;
            self.define(value, to);
            return Ok(());
        }
        let to = self.result_register(value, input, from)?;
        let mut work = Work { from, to };
        match op.code {
            Opcode::I64Box | Opcode::I64BoxI32 | Opcode::I64BoxF64 => {
                self.put_in_box(&mut work, op.code, tag)?;
            }
            Opcode::I64UnboxS => self.take_off_signed(&mut work, tag)?,
            Opcode::I64UnboxU => self.take_off(&mut work, tag, u64::MAX)?,
            _ => self.take_off(&mut work, tag, u64::from(u32::MAX))?,
        }
        if work.from != to {
            self.copy(to, work.from)?;
        }
        self.define(value, to);
        Ok(())
    }

    /// Emits the box with this tag of a value in one register into another one, for an exit: constants take the scratch
    /// register.
    pub(super) fn make_box(
        &mut self,
        to: Register,
        from: Register,
        code: Opcode,
        tag: Tag,
    ) -> Result<(), Fault> {
        let mut work = Work { from, to };
        self.put_in_box(&mut work, code, tag)?;
        if work.from != to {
            self.copy(to, work.from)?;
        }
        Ok(())
    }

    fn put_in_box(&mut self, work: &mut Work, code: Opcode, tag: Tag) -> Result<(), Fault> {
        let possible = match code {
            Opcode::I64BoxF64 => {
                let canonicalize = Form::op(Opcode::F64Canonicalize, FormKind::Registers);
                self.form(canonicalize, [self.float_scratch, work.from, 0, 0], 0)?;
                work.from = self.float_scratch;
                self.alter(work, Opcode::I64ReinterpretF64)?;
                u64::MAX
            }
            Opcode::I64BoxI32 => {
                if tag.shift < 32 {
                    self.alter(work, Opcode::I64ExtendI32U)?;
                }
                u64::from(u32::MAX)
            }
            _ => u64::MAX,
        };
        self.put_on(work, tag, possible)
    }

    /// A register for the result of an op whose operand has been read into a pinned register, which may serve if the
    /// operand ends here.
    fn result_register(
        &mut self,
        value: u32,
        input: u32,
        from: Register,
    ) -> Result<Register, Fault> {
        self.release_if_dead(input);
        self.registers.pinned = 0;
        let open = self.free() & INTS;
        Ok(match self.hinted_register(value) {
            _ if open == 0 => self.free_for_result(INTS & self.allocatable, only(from) & INTS)?,
            Some(hint) if open & only(hint) != 0 => hint,
            _ if open & only(from) != 0 => from,
            _ => self.choose(open),
        })
    }

    /// Emits what tells a tag from others; gives the comparison that is left to do.
    fn isolate_tag(&mut self, tag: Tag, word: Register) -> Result<Equality, Fault> {
        let Tag { mask, bits, .. } = tag;
        let scratch = self.int_scratch;
        let low = mask.trailing_zeros();
        let narrow = |bits: u64| Equality {
            code: Opcode::I32Eq,
            registers: [scratch, 0],
            immediate: Some(i64::from(bits as i32)),
        };
        let mut work = Work {
            from: word,
            to: scratch,
        };
        if mask & 0xffff_ffff == mask {
            self.step(&mut work, Opcode::I32And, i64::from(mask as i32))?;
            return Ok(narrow(bits));
        }
        if mask == u64::MAX << low {
            // All that lies below is shifted out. The signs of both agree, so that the constant may be an immediate.
            let immediate = bits as i64 >> low;
            if low >= 32 {
                self.step(&mut work, Opcode::I64ShrU, i64::from(low))?;
                return Ok(narrow(bits >> low));
            }
            if i64::from(immediate as i32) == immediate {
                if low > 0 {
                    self.step(&mut work, Opcode::I64ShrS, i64::from(low))?;
                }
                return Ok(Equality {
                    code: Opcode::I64Eq,
                    registers: [work.from, 0],
                    immediate: Some(immediate),
                });
            }
        }
        // The longest run of zeros, around the word's ends: rotated to the top it may leave 32 bits.
        let turned = (1..64).find(|&by| mask.rotate_left(by) >> 32 == 0);
        if let Some(by) = turned {
            self.step(&mut work, Opcode::I64Rotl, i64::from(by))?;
            let immediate = mask.rotate_left(by) as i32;
            self.step(&mut work, Opcode::I32And, i64::from(immediate))?;
            return Ok(narrow(bits.rotate_left(by)));
        }
        if mask == u64::MAX {
            self.make_integer(scratch, bits)?;
            return Ok(Equality {
                code: Opcode::I64Eq,
                registers: [word, scratch],
                immediate: None,
            });
        }
        self.and_bits(&mut work, mask)?;
        let immediate = bits as i64;
        let fits = i64::from(immediate as i32) == immediate;
        let mut registers = [scratch, 0];
        if !fits {
            let temporary = self.obtain(INTS & self.allocatable & !only(word))?;
            self.observe(Event::Clobber {
                set: only(temporary),
            });
            self.make_integer(temporary, bits)?;
            registers[1] = temporary;
        }
        Ok(Equality {
            code: Opcode::I64Eq,
            registers,
            immediate: fits.then_some(immediate),
        })
    }

    /// Shifts and masks what a word shall carry, of which no more than the bits of `possible` are set, and adds the tag.
    fn put_on(&mut self, work: &mut Work, tag: Tag, possible: u64) -> Result<(), Fault> {
        let shift = u32::from(tag.shift);
        let shifted = possible << shift;
        let kept = shifted & !tag.mask;
        if tag.mask == 1 && tag.bits == 1 && shift == 1 && work.from < 32 {
            // Twice the number, and one.
            let form = Form::machine(Machine::Address);
            self.form(form, [work.to, work.from, work.from, 0], 1)?;
            work.from = work.to;
            return Ok(());
        }
        let above = kept.leading_zeros();
        if kept == shifted {
            if shift > 0 {
                self.step(work, Opcode::I64Shl, i64::from(shift))?;
            }
        } else if kept != 0 && kept == shifted << above >> above {
            // Only upper bits are lost: shifted out, and back.
            self.step(work, Opcode::I64Shl, i64::from(shift + above))?;
            self.step(work, Opcode::I64ShrU, i64::from(above))?;
        } else {
            if shift > 0 {
                self.step(work, Opcode::I64Shl, i64::from(shift))?;
            }
            self.and_bits(work, kept)?;
        }
        if tag.bits != 0 {
            self.with_bits(work, Opcode::I64Or, tag.bits)?;
        }
        Ok(())
    }

    /// What a word carries, zero-extended; of the result only the bits of `wanted` count.
    fn take_off(&mut self, work: &mut Work, tag: Tag, wanted: u64) -> Result<(), Fault> {
        let shift = u32::from(tag.shift);
        let there = u64::MAX << shift;
        let kept = !tag.mask & there;
        let above = kept.leading_zeros();
        if kept >> shift & wanted == (u64::MAX >> shift) & wanted {
            // Nothing else is in the way.
        } else if kept == 0xffff_ffff {
            return self.alter(work, Opcode::I64ExtendI32U);
        } else if kept != 0 && kept == there << above >> above && i32::try_from(kept).is_err() {
            // Only what is above: shifted out, and back.
            self.step(work, Opcode::I64Shl, i64::from(above))?;
            return self.step(work, Opcode::I64ShrU, i64::from(above + shift));
        } else {
            self.and_bits(work, kept)?;
        }
        if shift > 0 {
            self.step(work, Opcode::I64ShrU, i64::from(shift))?;
        }
        Ok(())
    }

    /// What a word carries, the highest bit that the mask leaves as its sign.
    fn take_off_signed(&mut self, work: &mut Work, tag: Tag) -> Result<(), Fault> {
        let shift = u32::from(tag.shift);
        let kept = !tag.mask;
        let above = kept.leading_zeros() % 64;
        let carried = u64::MAX << shift << above >> above;
        if kept & carried != carried || carried == 0 {
            self.and_bits(work, kept)?;
        } else if shift == 0 && above == 32 {
            return self.alter(work, Opcode::I64Extend32S);
        }
        if above > 0 {
            self.step(work, Opcode::I64Shl, i64::from(above))?;
        }
        let down = (above + shift).min(63);
        if down > 0 {
            self.step(work, Opcode::I64ShrS, i64::from(down))?;
        }
        Ok(())
    }

    /// One more step: an op with an immediate.
    fn step(&mut self, work: &mut Work, code: Opcode, immediate: i64) -> Result<(), Fault> {
        let form = Form::op(code, FormKind::Immediate);
        self.form(form, [work.to, work.from, 0, 0], immediate)?;
        work.from = work.to;
        Ok(())
    }

    /// One more step: an op with one operand.
    fn alter(&mut self, work: &mut Work, code: Opcode) -> Result<(), Fault> {
        let form = Form::op(code, FormKind::Registers);
        self.form(form, [work.to, work.from, 0, 0], 0)?;
        work.from = work.to;
        Ok(())
    }

    fn and_bits(&mut self, work: &mut Work, bits: u64) -> Result<(), Fault> {
        self.with_bits(work, Opcode::I64And, bits)
    }

    /// One more step: a bitwise op with a constant. Where the work is done in the scratch register itself, the
    /// constant is put there first.
    fn with_bits(&mut self, work: &mut Work, code: Opcode, bits: u64) -> Result<(), Fault> {
        let immediate = bits as i64;
        if i64::from(immediate as i32) == immediate {
            return self.step(work, code, immediate);
        }
        let scratch = self.int_scratch;
        self.make_integer(scratch, bits)?;
        let form = Form::op(code, FormKind::Registers);
        self.form(form, [work.to, work.from, scratch, 0], 0)?;
        work.from = work.to;
        Ok(())
    }
}
