//! Facts and transfer functions against values: they hold of what the op table computes, and are monotone.

extern crate std;

use super::super::transfer::*;
use super::*;
use crate::ir::Tag;
use crate::ops::{Opcode, evaluate};
use std::vec::Vec;

const OPS: [Opcode; 26] = {
    use Opcode::*;
    [
        I32Add,
        I32Sub,
        I32Mul,
        I32And,
        I32Or,
        I32Xor,
        I32Shl,
        I32ShrU,
        I32ShrS,
        I32DivU,
        I32RemU,
        I32DivS,
        I32RemS,
        I32Clz,
        I32Ctz,
        I32Popcnt,
        I32MulHighU,
        I32Extend8S,
        I32Extend16S,
        I64Extend32S,
        I32AddChecked,
        I32SubChecked,
        I32MulChecked,
        I32Rotl,
        I32MulHighS,
        I32Bswap,
    ]
};
const COMPARISONS: [Opcode; 10] = {
    use Opcode::*;
    [
        I32Eq, I32Ne, I32LtS, I32LtU, I32GtS, I32GtU, I32LeS, I32LeU, I32GeS, I32GeU,
    ]
};

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        let x = self.0;
        (x ^ x >> 31).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 3 ^ x
    }

    fn value(&mut self, width: Width) -> u64 {
        let bits = self.next();
        let small = self.next() % 20;
        let shift = self.next() % 64;
        let value = match self.next() % 5 {
            0 => small,
            1 => small.wrapping_neg(),
            2 => bits >> shift,
            3 => (1u64 << shift).wrapping_add(small).wrapping_sub(10),
            _ => bits,
        };
        value & width.mask()
    }

    /// A fact that holds of some values, and these.
    fn fact(&mut self, width: Width) -> (Fact, Vec<u64>) {
        let count = 1 + self.next() % 4;
        let mut values: Vec<u64> = (0..count).map(|_| self.value(width)).collect();
        let kind = self.next() % 4;
        let mut fact = Fact::constant(width, values[0]);
        for &value in &values {
            let one = Fact::constant(width, value);
            fact = fact.join(&one);
        }
        let top = Fact::top(width);
        fact = match kind {
            0 => Fact {
                zeros: top.zeros,
                ones: 0,
                ..fact
            },
            1 => Fact {
                low: top.low,
                high: top.high,
                floor: 0,
                ceiling: top.ceiling,
                ..fact
            },
            _ => fact,
        }
        .told(width);
        for _ in 0..8 {
            let value = self.value(width);
            if fact.holds(width, value) {
                values.push(value);
            }
        }
        (fact, values)
    }
}

fn leq(less: &Fact, more: &Fact) -> bool {
    less.join(more) == *more
}

#[test]
fn facts_of_results_hold_and_are_monotone() {
    let mut random = Random(1);
    for round in 0..150_000 {
        let width = Width::of_bits([32, 64][round % 2]);
        let (a, xs) = random.fact(width);
        let (b, ys) = random.fact(width);
        let (more_a, more_b) = (a.join(&random.fact(width).0), b.join(&random.fact(width).0));
        let (more_a, more_b) = (more_a.told(width), more_b.told(width));
        let narrow = OPS[round / 2 % OPS.len()];
        if narrow == Opcode::I64Extend32S && width.bits() == 32 {
            continue;
        }
        let code = width.of(narrow);
        let fact = value_of(width, narrow, &a, &b);
        let more = value_of(width, narrow, &more_a, &more_b);
        assert!(
            leq(&fact, &more),
            "{code:?} of {a:x?} {b:x?}, {more_a:x?} {more_b:x?}: {fact:x?} {more:x?}"
        );
        for &x in &xs {
            for &y in &ys {
                let result = evaluate(code, x, y).expect("a scalar op");
                if let Some(result) = result {
                    assert!(
                        fact.holds(width, result),
                        "{code:?}({x:#x}, {y:#x}) = {result:#x}: {fact:x?}"
                    );
                } else {
                    assert!(!never_leaves(width, narrow, &a, &b));
                }
            }
        }
    }
}

#[test]
fn comparisons_are_decided_as_they_come_out() {
    let mut random = Random(2);
    for round in 0..100_000 {
        let width = Width::of_bits([32, 64][round % 2]);
        let (a, xs) = random.fact(width);
        let (b, ys) = random.fact(width);
        let narrow = COMPARISONS[round / 2 % COMPARISONS.len()];
        let decided = decide(narrow, &a, &b);
        let implied = implied(width, narrow, &b);
        for &x in &xs {
            for &y in &ys {
                let holds = evaluate(width.of(narrow), x, y) == Some(Some(1));
                assert!(decided.is_none_or(|decided| decided == holds));
                assert!(
                    !holds || implied.holds(width, x),
                    "{narrow:?} {x:#x} {y:#x}"
                );
            }
        }
        let zero = decide(Opcode::I32Eqz, &a, &b);
        assert!(xs.iter().all(|&x| zero.is_none_or(|zero| zero == (x == 0))));
    }
}

#[test]
fn joins_and_meets_hold_what_they_should() {
    let mut random = Random(3);
    for round in 0..50_000 {
        let width = Width::of_bits([32, 64][round % 2]);
        let (a, xs) = random.fact(width);
        let (b, ys) = random.fact(width);
        let (join, meet) = (a.join(&b), a.meet(width, &b));
        assert!(leq(&a, &join) && leq(&b, &join));
        for &x in xs.iter().chain(&ys) {
            assert!(join.holds(width, x));
            assert!(!(a.holds(width, x) && b.holds(width, x)) || meet.holds(width, x));
        }
        assert_eq!(Fact::from_words(&a.into_words()), a);
        if width.bits() == 32 {
            let (signed, unsigned) = (widened(&a, true), widened(&a, false));
            for &x in &xs {
                assert!(signed.holds(Width::of_bits(64), x as i32 as u64));
                assert!(unsigned.holds(Width::of_bits(64), x));
            }
        } else {
            let narrow = narrowed(&a);
            let tag = Tag {
                mask: 0xffff << 48,
                bits: 0xfff9 << 48,
                shift: 3,
            };
            let boxed = boxed(&tag, &a);
            let carried = carried(&tag, &a);
            for &x in &xs {
                assert!(narrow.holds(Width::of_bits(32), x & 0xffff_ffff));
                assert!(boxed.holds(Width::of_bits(64), tag.put_on(x)));
                assert!(carried.holds(Width::of_bits(64), tag.take_off(x)));
            }
        }
    }
}

#[test]
fn tags_are_decided_as_tests_come_out() {
    let mut random = Random(4);
    let width = Width::of_bits(64);
    let mut known = [0; 2];
    let mut ranges = 0;
    for _ in 0..50_000 {
        let (a, xs) = random.fact(width);
        let mask = match random.next() % 3 {
            0 => !0 << (random.next() % 64),
            1 => 7,
            _ => random.value(width),
        };
        let bits = match random.next() % 4 {
            0 => mask,
            1 => 0,
            _ => random.value(width) & mask,
        };
        let shift = (random.next() % 64) as u8;
        let tag = Tag { mask, bits, shift };
        let decided = has_tag(&tag, &a);
        if let Some(decided) = decided {
            known[usize::from(decided)] += 1;
        }
        let more = a.join(&random.fact(width).0).told(width);
        assert!(has_tag(&tag, &more).is_none_or(|more| decided == Some(more)));
        let taught = [tagged(&tag, false), tagged(&tag, true)];
        ranges += usize::from(taught[0] != Fact::top(width));
        for &x in &xs {
            let on = tag.is_on(x);
            assert!(
                decided.is_none_or(|decided| decided == on),
                "{tag:x?} {x:x}"
            );
            assert!(taught[usize::from(on)].holds(width, x), "{tag:x?} {x:x}");
        }
    }
    assert!(
        known.iter().all(|&count| count > 100) && ranges > 100,
        "{known:?} {ranges}"
    );
    let float = boxed_float();
    for x in [
        0,
        0x7ff8 << 48,
        0xfff0 << 48,
        1f64.to_bits(),
        (-1f64).to_bits(),
    ] {
        assert!(float.holds(width, x));
    }
}
