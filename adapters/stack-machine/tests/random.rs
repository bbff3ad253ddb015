//! Random programs run alike with compiled code off and on, optimized and not, and with a guard that fails on purpose.

use patchjit::optimize::Passes;
use patchjit::tier::hotness::Schedule;
use patchjit_worked_host::bytecode::Checked;
use patchjit_worked_host::host::{Host, Options};
use patchjit_worked_host::source;

/// Random numbers that are the same everywhere: SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((u128::from(z ^ (z >> 31)) * bound as u128) >> 64) as usize
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }
}

/// Writes a program: variables `a` to `e`, an array `x`, loops that count for themselves.
struct Writer {
    random: Random,
    loops: usize,
    text: String,
}

impl Writer {
    fn number(&mut self) -> &'static str {
        let numbers = [
            "0",
            "1",
            "2",
            "3",
            "7",
            "-1",
            "100",
            "46341",
            "2147483647",
            "0.5",
            "1.0",
            "-2.25",
        ];
        self.random.pick(&numbers)
    }

    fn variable(&mut self) -> &'static str {
        self.random.pick(&["a", "b", "c", "d", "e"])
    }

    /// An expression that gives a number.
    fn value(&mut self, depth: usize) -> String {
        if depth == 0 || self.random.below(4) == 0 {
            return match self.random.below(3) {
                0 => self.number().into(),
                _ => self.variable().into(),
            };
        }
        let (a, b) = (self.value(depth - 1), self.value(depth - 1));
        match self.random.below(9) {
            0..3 => format!("({a} + {b})"),
            3..5 => format!("({a} - {b})"),
            5 => format!("({a} * {b})"),
            6 => format!("({a} / {b})"),
            7 => format!(
                "x[i{} % 8]",
                self.random.below(self.loops.max(1)).min(self.loops)
            ),
            _ => format!("f({a}, {b})"),
        }
    }

    fn condition(&mut self) -> String {
        let (a, b) = (self.value(1), self.value(1));
        let code = self.random.pick(&["<", "<=", "==", "!="]);
        match self.random.below(4) {
            0 => format!(
                "i{} % {} == 0",
                self.random.below(self.loops.max(1)),
                2 + self.random.below(4)
            ),
            1 => format!("{a} {code} {b} and {b} < 1000"),
            2 => format!("{a} {code} {b} or {a} < 3"),
            _ => format!("{a} {code} {b}"),
        }
    }

    fn statements(&mut self, depth: usize) {
        for _ in 0..1 + self.random.below(4) {
            match self.random.below(8) {
                0 if depth > 0 => {
                    let condition = self.condition();
                    self.text += &format!("if {condition} {{ ");
                    self.statements(depth - 1);
                    if self.random.below(2) == 0 {
                        self.text += "} else { ";
                        self.statements(depth - 1);
                    }
                    self.text += "}\n";
                }
                1 if depth > 0 && self.loops < 4 => {
                    let (counter, rounds) = (self.loops, 2 + self.random.below(12));
                    self.loops += 1;
                    self.text += &format!(
                        "i{counter} = 0 while i{counter} < {rounds} {{ i{counter} = i{counter} + 1\n"
                    );
                    self.statements(depth - 1);
                    self.text += "}\n";
                }
                2 => {
                    let (value, index) = (self.value(2), self.random.below(self.loops.max(1)));
                    self.text += &format!("x[i{index} % 8] = {value}\n");
                }
                _ => {
                    let (to, value) = (self.variable(), self.value(2));
                    self.text += &format!("{to} = {value}\n");
                }
            }
        }
    }

    fn program(seed: u64) -> String {
        let mut writer = Writer {
            random: Random(seed),
            loops: 1,
            text: String::new(),
        };
        writer.statements(3);
        let body = std::mem::take(&mut writer.text);
        writer.loops = 0;
        let slow = writer
            .random
            .pick(&["p + q", "p - q * 0.5", "q", "g(p) + q"]);
        format!(
            "fn main() {{
                let a = 1 let b = 2.5 let c = 0 let d = -3 let e = 100
                let x = array(8, 1)
                let i0 = 0 let i1 = 0 let i2 = 0 let i3 = 0
                while i0 < 40 {{ i0 = i0 + 1
                {body} }}
                x[0] = a x[1] = b x[2] = c x[3] = d x[4] = e
                return a
            }}
            fn f(p, q) {{ if p < q {{ return {slow} }} return p }}
            fn g(p) {{ let s = 0 let k = 0 while k < 3 {{ s = s + p k = k + 1 }} return s }}"
        )
    }
}

fn run(text: &str, options: Options) -> (String, Vec<u64>, u32) {
    let program = source::compile(text, &[]).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let mut host = Host::new(Checked::new(program).unwrap(), options);
    let mut result = format!("{:?}", host.run());
    let elements = host.machine.heap.used().to_vec();
    result += &format!("{:?}", host.run());
    (
        result,
        elements,
        host.statistics().roots + host.statistics().sides,
    )
}

#[test]
fn random_programs_run_alike() {
    let eager = Options {
        loops: Schedule {
            first: 3,
            attempts: 5,
        },
        exits: Schedule {
            first: 2,
            attempts: 4,
        },
        ..Options::default()
    };
    let off = Options {
        compile: false,
        ..eager
    };
    let as_recorded = Options {
        passes: Passes::NONE,
        ..eager
    };
    let mut traces = 0;
    // The variable says how many programs are tried.
    let seeds = std::env::var("PATCHJIT_SEEDS")
        .ok()
        .and_then(|count| count.parse().ok());
    for seed in 0..seeds.unwrap_or(250u64) {
        let text = Writer::program(seed);
        let (result, elements, _) = run(&text, off);
        let forced = Options {
            forced: Some((seed as u32 * 7 % 90, 1 + seed % 3)),
            ..eager
        };
        for options in [eager, as_recorded, forced] {
            let (with, there, compiled) = run(&text, options);
            let context = format!("seed {seed}, {options:?}\n{text}");
            assert_eq!(with, result, "{context}");
            assert_eq!(there, elements, "{context}");
            traces += compiled;
        }
    }
    assert!(traces > 500, "{traces} traces");
}
