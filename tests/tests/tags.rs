//! Ops on tagged words, of which each tag is lowered in its own way: tags of every kind, every op, interesting
//! operands, and every use of a test, on the oracle and compiled, against a definition that goes bit by bit.

use patchjit::ir::Tag;
use patchjit::ops::{Opcode, Shape, evaluate_tag};
use patchjit::types::Type;
use patchjit_tests::differential::Laboratory;
use patchjit_tests::generate::interesting_bits;
use patchjit_tests::random::Random;
use patchjit_tests::reference;
use std::fmt::Write;

/// Tags that languages have, runs of bits at every place and of every length, and any.
fn tags(random: &mut Random) -> Vec<Tag> {
    let mut tags = vec![
        (0xffff << 48, 0xfff9 << 48, 0),
        (0xfff8 << 48, 0xfff8 << 48, 0),
        (0xffff_8000_0000_0000, 0xfffa_8000_0000_0000, 3),
        (0, 0, 0),
        (1, 1, 1),
        (1, 0, 1),
        (7, 2, 0),
        (7, 0, 3),
        (0x80, 0x80, 0),
        (0xffff_ffff, 0x17, 32),
        (u64::MAX, 0xfff9_0000_0000_0001, 0),
        (u64::MAX, 5, 63),
        (0xffff_0000_0000_000f, 0xfffb_0000_0000_0001, 4),
        (0xff00_ff00_ff00_ff00, 0x1200_3400_5600_7800, 8),
        (0xff00_ff00_ff00_ff00, 0, 8),
    ];
    for low in [0, 1, 5, 31, 32, 33, 48, 62, 63] {
        for length in [1, 2, 16, 31, 32, 33, 47, 63] {
            let mask = (u64::MAX >> (64 - length)) << low;
            let shift = *random.pick(&[0, low, length % 64, 1, 32]) as u8;
            tags.push((mask, random.bits() & mask, shift));
            tags.push((!mask, random.bits() & !mask, shift));
        }
    }
    for _ in 0..40 {
        let mask = random.bits() & random.bits();
        tags.push((mask, random.bits() & mask, random.below(64) as u8));
    }
    tags.iter()
        .map(|&(mask, bits, shift)| Tag { mask, bits, shift })
        .collect()
}

fn tag_ops() -> impl Iterator<Item = Opcode> {
    Opcode::all().filter(|code| code.info().shape == Shape::Tag)
}

fn operands(random: &mut Random, ty: Type, tag: Tag) -> Vec<u64> {
    let mut words: Vec<u64> = (0..12).map(|_| interesting_bits(random, ty)).collect();
    if ty == Type::I64 {
        for _ in 0..4 {
            words.push(tag.put_on(random.bits()));
            // Nearly of this tag.
            words.push(tag.put_on(random.bits()) ^ 1 << random.below(64));
        }
    }
    words
}

#[test]
fn the_table_agrees_with_the_bits() {
    let mut random = Random::new(1);
    for tag in tags(&mut random) {
        for code in tag_ops() {
            for a in operands(&mut random, code.info().operands[0], tag) {
                let expected = reference::tagged(code, tag, a);
                assert_eq!(
                    evaluate_tag(code, &tag, a),
                    Some(expected),
                    "{} {tag:x?} {a:#x}",
                    code.name()
                );
            }
        }
    }
}

/// One function for each op, and for each use of a test.
fn source(tag: Tag) -> String {
    let Tag { mask, bits, shift } = tag;
    let mut text = format!("tag @t mask {mask} bits {bits} shift {shift}\nslots 1\n");
    for code in tag_ops() {
        let info = code.info();
        let (name, ty) = (info.name, info.operands[0].name());
        let result = info.result.expect("a value").name();
        let _ = writeln!(
            text,
            "func @{name}(a: {ty}) -> {result} {{\nentry:\n    r = {name} @t, a\n    return r\n}}"
        );
        // The operand lives on, so that the result is made elsewhere.
        let _ = writeln!(
            text,
            "func @{name}_kept(a: {ty}) -> {result}, {ty} {{\nentry:\n    r = {name} @t, a\n    return r, a\n}}"
        );
    }
    for guard in ["guard", "guard_not"] {
        let _ = writeln!(
            text,
            "func @{guard}(a: i64) -> i64 {{\nentry:\n    t = i64.tag_test @t, a\n    {guard} t else exit 3 [0: a]\n    return a\n}}"
        );
    }
    for (name, edges) in [("branch", "yes, no"), ("branch_over", "no, yes")] {
        let _ = writeln!(
            text,
            "func @{name}(a: i64) -> i32 {{\nentry:\n    t = i64.tag_test @t, a\n    branch t, {edges}\nyes:\n    one = i32.const 1\n    return one\nno:\n    zero = i32.const 0\n    return zero\n}}"
        );
    }
    let _ = writeln!(
        text,
        "func @both(a: i64) -> i32 {{\nentry:\n    t = i64.tag_test @t, a\n    branch t, yes, no\nyes:\n    return t\nno:\n    not = i32.eqz t\n    return not\n}}"
    );
    text
}

#[test]
fn compiled_code_agrees_with_the_oracle() {
    let mut random = Random::new(2);
    let mut laboratory = Laboratory::new().expect("executable memory");
    for (number, tag) in (0..).zip(tags(&mut random)) {
        let mut text = source(tag);
        // The words that are tried by chance hardly ever have the tag: some are built in.
        for (index, word) in (0..).zip(operands(&mut random, Type::I64, tag)) {
            let _ = writeln!(
                text,
                "func @constant{index}() -> i32, i64, i64, i32 {{\nentry:\n    a = i64.const {}\n    t = i64.tag_test @t, a\n    s = i64.unbox_s @t, a\n    u = i64.unbox_u @t, a\n    n = i32.unbox @t, a\n    guard t else exit 1\n    return t, s, u, n\n}}",
                word as i64
            );
        }
        let module = patchjit_text::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        for seed in 0..4 {
            if let Err(what) = laboratory.check(&module, 8 * number + seed) {
                panic!("{tag:x?}: {what}");
            }
        }
    }
}

/// Exits that box values from registers, from spill slots and from constants, with every register taken and not.
#[test]
fn exits_box_what_they_write() {
    let mut random = Random::new(3);
    let mut laboratory = Laboratory::new().expect("executable memory");
    for (number, tag) in (0..).zip(tags(&mut random)) {
        let Tag { mask, bits, shift } = tag;
        for ints in [1, 12, 13, 20] {
            let mut text = format!(
                "tag @t mask {mask} bits {bits} shift {shift}\ntag @small mask 1 bits 1 shift 1\nslots 80\n\
                 func @f(n: i32, x: f64) -> i64 {{\nentry:\n    c = i32.const {}\n    d = f64.const 1.5\n",
                random.bits() as i32
            );
            let mut entries = String::new();
            for index in 0..ints {
                let _ = writeln!(text, "    a{index} = i64.slot_get {index}");
                let _ = writeln!(text, "    b{index} = f64.slot_get {index}");
                let _ = writeln!(text, "    c{index} = i32.slot_get {index}");
                // Floats are read as their bits in the first slots.
                let slot = 20 + 3 * index;
                let tag = ["@t ", "", "@small "][index % 3];
                let tag2 = ["", "@t "][index % 2];
                let _ = write!(
                    entries,
                    "{slot}: {tag2}a{index}, {}: {tag}b{index}, {}: {tag}c{index}, ",
                    slot + 1,
                    slot + 2
                );
            }
            let _ = writeln!(
                text,
                "    guard n else exit 5 [{entries}1: @t n, 2: n, 3: @t x, 4: @t c, 5: c, 6: @t d, 6: @t a0, 7: @small a0]\n    r = i64.const 0"
            );
            for index in 0..ints {
                let _ = writeln!(
                    text,
                    "    w{index} = i64.extend_i32_u c{index}\n    f{index} = i64.reinterpret_f64 b{index}"
                );
            }
            let mut last = "r".to_string();
            for index in 0..ints {
                let _ = writeln!(
                    text,
                    "    x{index} = i64.xor {last}, w{index}\n    y{index} = i64.xor x{index}, f{index}\n    z{index} = i64.add y{index}, a{index}"
                );
                last = format!("z{index}");
            }
            let _ = writeln!(text, "    return {last}\n}}");
            let module =
                patchjit_text::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
            if let Err(what) = laboratory.check(&module, number) {
                panic!("{tag:x?}: {what}\n{text}");
            }
        }
    }
}
