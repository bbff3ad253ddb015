//! Random loops with counters: checks that a test in front of a loop speaks for must fail where they failed before.
//!
//! Where counters begin and end, what they step by and lengths are read from memory, so that the optimizer knows nothing of them; many are
//! near the ends of 32 bits. `PATCHJIT_SEEDS=START..END` tries other seeds.

use patchjit::optimize::{self, Pass};
use patchjit_tests::differential::Laboratory;
use patchjit_tests::programs;
use patchjit_tests::random::{Random, seeds};
use std::fmt::Write;

const INTEGER: &str = "@int";

/// A program under construction.
struct Text {
    random: Random,
    text: String,
    names: u32,
    exits: u32,
    boxed: bool,
    /// What every exit writes.
    snapshot: String,
    /// Values of 32 bits that do not change in the loop.
    steady: Vec<String>,
}

impl Text {
    fn value(&mut self) -> i32 {
        let small = self.random.below(24) as i32 - 4;
        match self.random.below(9) {
            0 => i32::MAX - small.abs(),
            1 => i32::MIN + small.abs(),
            2 => 46340 + small,
            3 => 0x10000 * small,
            4 => self.random.bits() as i32,
            _ => small,
        }
    }

    fn line(&mut self, text: &str) {
        writeln!(self.text, "    {text}").unwrap();
    }

    fn name(&mut self) -> String {
        self.names += 1;
        format!("v{}", self.names)
    }

    fn op(&mut self, op: &str) -> String {
        let name = self.name();
        self.line(&format!("{name} = {op}"));
        name
    }

    fn exit(&mut self) -> String {
        self.exits += 1;
        format!("else exit {} [{}]", self.exits, self.snapshot)
    }

    fn checked(&mut self, code: &str, a: &str, b: &str) -> String {
        let exit = self.exit();
        self.op(&format!("i32.{code}_checked {a}, {b} {exit}"))
    }

    /// Something that does not change in the loop.
    fn steady(&mut self) -> String {
        if self.random.percent(50) {
            let value = self.value() % 64;
            return self.op(&format!("i32.const {value}"));
        }
        let at = self.random.below(self.steady.len());
        self.steady[at].clone()
    }

    /// A few ops on the counter, and what they lead to.
    fn checks(&mut self, counter: &str) {
        let mut x = counter.to_string();
        if self.random.percent(30) {
            let (factor, sum) = (self.steady[3].clone(), self.steady[4].clone());
            x = self.checked("mul", &x, &factor);
            if self.random.percent(60) {
                x = self.checked("add", &x, &sum);
            }
        } else if self.random.percent(50) {
            for _ in 0..self.random.below(4) {
                let other = match self.random.below(6) {
                    0 => counter.to_string(),
                    _ => self.steady(),
                };
                let code = *self.random.pick(&["add", "add", "mul", "sub"]);
                x = match self.random.percent(70) || code == "sub" {
                    true => self.checked(code, &x, &other),
                    false => self.checked(code, &other, &x),
                };
                if self.random.percent(10) {
                    x = self.op(&format!("i32.add {x}, {other}"));
                }
            }
        }
        if self.random.percent(70) {
            let exit = self.exit();
            let wide = self.op(&format!("i64.extend_i32_u {x}"));
            let below = self.op(&format!("i64.lt_u {wide}, length"));
            self.line(&format!("guard {below} {exit}"));
            let exit = self.exit();
            let cell = self.op(&format!("i32.load @cells[{wide}*4] {exit}"));
            let sum = self.op(&format!("i32.add {cell}, {counter}"));
            let exit = self.exit();
            self.line(&format!("i32.store @cells[{wide}*4], {sum} {exit}"));
        }
    }

    fn unboxed(&mut self, word: &str) -> String {
        if !self.boxed {
            return word.to_string();
        }
        let exit = self.exit();
        let test = self.op(&format!("i64.tag_test {INTEGER}, {word}"));
        self.line(&format!("guard {test} {exit}"));
        self.op(&format!("i32.unbox {INTEGER}, {word}"))
    }

    fn boxed(&mut self, value: &str) -> String {
        match self.boxed {
            true => self.op(&format!("i64.box_i32 {INTEGER}, {value}")),
            false => value.to_string(),
        }
    }

    fn step(&mut self, counter: &str) -> String {
        let step = *self.random.pick(&["1", "1", "1", "-1", "3", "-2", ""]);
        let code = *self.random.pick(&["add", "add", "add", "sub"]);
        let by = match step {
            "" => self.steady(),
            step => self.op(&format!("i32.const {step}")),
        };
        let next = match self.random.percent(90) {
            true => self.checked(code, counter, &by),
            false => self.op(&format!("i32.{code} {counter}, {by}")),
        };
        self.boxed(&next)
    }
}

fn program(seed: u64) -> String {
    let mut random = Random::new(seed);
    let boxed = random.percent(50);
    let nested = random.percent(40);
    let mut t = Text {
        random,
        text: String::new(),
        names: 0,
        exits: 0,
        boxed,
        snapshot: String::new(),
        steady: Vec::new(),
    };
    let mut values: Vec<i64> = (0..6).map(|_| i64::from(t.value())).collect();
    let mut length = match t.random.below(8) {
        0 => -1,
        1 => i64::MAX,
        2 => 0,
        _ => t.random.below(64) as i64,
    };
    // As loops are: from about zero to a limit, with a length at which an index of theirs just ends.
    if t.random.percent(60) {
        for (value, (from, count)) in
            values
                .iter_mut()
                .zip([(-1, 4), (3, 18), (1, 3), (-3, 7), (-3, 7), (-2, 6)])
        {
            *value = from + t.random.below(count) as i64;
        }
        let last = values[1] - t.random.below(2) as i64;
        length = match t.random.below(3) {
            0 => last,
            1 => last * values[3],
            _ => last * values[3] + values[4],
        };
        length += t.random.below(3) as i64 - 1;
    }
    let values: Vec<String> = values.iter().map(i64::to_string).collect();
    let ty = if boxed { "i64" } else { "i32" };
    t.text = format!(
        "slots 4\nregion @values 40 = i32 {} = @32 i64 {length}\nregion @cells 256\n\
         tag {INTEGER} mask 0xffffffff00000000 bits 0xfff9000000000000\n\
         func @counts() -> i32 {{\nentry:\n",
        values.join(", ")
    );
    t.line("zero = i64.const 0");
    t.line("one = i64.const 1");
    for at in 0..6 {
        let value = t.op(&format!(
            "i32.load @values[zero*4 + {}] else trap 1",
            4 * at
        ));
        t.steady.push(value);
    }
    t.line("length = i64.load @values[zero*8 + 32] else trap 1");
    let begin = t.steady[0].clone();
    let begin = t.boxed(&begin);
    let first = if nested { "outer" } else { "head" };
    t.line(&format!("jump {first}({begin}, zero)"));
    if nested {
        writeln!(t.text, "outer(o: {ty}, s: i64):").unwrap();
        t.line("jump head(o, s)");
    }
    writeln!(t.text, "head(k: {ty}, trips: i64):").unwrap();
    t.snapshot = "0: k, 1: trips".into();
    t.line("most = i64.const 30");
    t.line("few = i64.lt_u trips, most");
    let exit = t.exit();
    t.line(&format!("guard few {exit}"));
    t.line("more = i64.add trips, one");
    if t.random.percent(20) {
        let k = t.unboxed("k");
        t.checks(&k);
    }
    let k = t.unboxed("k");
    let limit = t.steady[1].clone();
    let compare = *t
        .random
        .pick(&["lt_s", "lt_s", "le_s", "gt_s", "ge_s", "ne"]);
    let (a, b) = if t.random.percent(80) {
        (k, limit)
    } else {
        (limit, k)
    };
    let goes = t.op(&format!("i32.{compare} {a}, {b}"));
    t.line(&format!("branch {goes}, body, done"));
    writeln!(t.text, "body:").unwrap();
    let k = t.unboxed("k");
    t.checks(&k);
    if t.random.percent(40) {
        let bit = t.op(&format!("i32.and {k}, {}", t.steady[2].clone()));
        t.line(&format!("branch {bit}, rest, short"));
        writeln!(t.text, "short:").unwrap();
        t.checks(&k);
        let next = t.step(&k);
        t.line(&format!("jump head({next}, more)"));
        writeln!(t.text, "rest:").unwrap();
    }
    t.checks(&k);
    let next = t.step(&k);
    t.line(&format!("jump head({next}, more)"));
    writeln!(t.text, "done:").unwrap();
    if nested {
        let exit = t.exit();
        t.line(&format!("guard few {exit}"));
        let again = t.steady();
        let again = t.boxed(&again);
        t.line(&format!("jump outer({again}, more)"));
    } else {
        let exit = t.exit();
        let exit = exit.trim_start_matches("else ").to_string();
        t.line(&exit);
    }
    t.text.push_str("}\n");
    t.text
}

#[test]
fn loops_with_counters_do_what_they_did() {
    let mut laboratory = Laboratory::new().expect("executable memory");
    let mut spoken_for = 0;
    for seed in seeds(0..1000) {
        let text = program(seed);
        let module = patchjit_text::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        if let Err(what) = laboratory.check(&module, seed) {
            panic!("seed {seed}: {what}\n{text}");
        }
        let (_, report) = programs::optimized(&module, &optimize::Options::default())
            .unwrap_or_else(|error| panic!("seed {seed}: {error}\n{text}"));
        spoken_for += report.count(Pass::Version);
    }
    assert!(spoken_for > 300, "{spoken_for} checks");
}
