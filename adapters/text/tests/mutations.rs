//! Broken sources give errors, never panics; and what still reads, prints and reads again.

use patchjit_text::{parse, print};
use std::fs;
use std::path::Path;

const CASES: u32 = 100_000;

/// Words and marks that stand in the way of a parser.
const PIECES: &[&str] = &[
    "func",
    "@f",
    "@g",
    "region",
    "host",
    "slots",
    "else",
    "exit",
    "trap",
    "call",
    "switch",
    "param",
    "entry:",
    "i64",
    "i32",
    "f64",
    "ref",
    "v",
    "n",
    "0",
    "1",
    "-1",
    "0x",
    "0xff",
    "1e",
    "1e999",
    "bits:",
    "nan",
    "-",
    "inf",
    "->",
    "==",
    "=",
    ",",
    ":",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "*",
    "+",
    "!",
    "\"",
    "\\",
    ";",
    "; run:",
    "; bench:",
    "@",
    "\n",
    "\r\n",
    " ",
    "\t",
    "é",
    "\u{0}",
    "99999999999999999999",
    "18446744073709551615",
    "4294967295",
    "i64.add",
    "call_indirect",
    "fence",
    "return",
    "bytes",
];

/// A small generator of random numbers, always the same ones.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound.max(1) as u64) as usize
    }

    /// A place between two characters.
    fn place(&mut self, text: &str) -> usize {
        let mut at = self.below(text.len() + 1);
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    }

    /// A short span.
    fn span(&mut self, text: &str) -> (usize, usize) {
        let start = self.place(text);
        let mut end = (start + self.below(24)).min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        (start, end)
    }

    /// A span from one line's start to the next one's, or to a later one's.
    fn lines(&mut self, text: &str) -> (usize, usize) {
        let at = self.place(text);
        let start = text[..at].rfind('\n').map_or(0, |end| end + 1);
        let end = text[at..].find('\n').map_or(text.len(), |end| at + end + 1);
        (start, end)
    }

    fn mutate(&mut self, text: &mut String, other: &str) {
        match self.below(8) {
            0 => text.truncate(self.place(text)),
            1 => {
                let (start, end) = self.span(text);
                text.replace_range(start..end, "");
            }
            2 => {
                let (start, end) = self.span(text);
                let copy = text[start..end].to_string();
                let at = self.place(text);
                text.insert_str(at, &copy);
            }
            3 | 4 => {
                let at = self.place(text);
                text.insert_str(at, PIECES[self.below(PIECES.len())]);
            }
            5 => {
                let (start, end) = self.lines(text);
                let line = text[start..end].to_string();
                text.replace_range(start..end, "");
                let (at, _) = self.lines(text);
                text.insert_str(at, &line);
            }
            6 => {
                let (start, end) = self.lines(other);
                let (at, _) = self.lines(text);
                text.insert_str(at, &other[start..end]);
            }
            _ => {
                let at = self.place(text);
                let character = char::from(self.below(128) as u8);
                text.insert(at, character);
            }
        }
    }
}

#[test]
fn broken_sources_give_errors() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/filetests/print");
    let mut sources = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "uop") {
            sources.push(fs::read_to_string(path).unwrap());
        }
    }
    sources.sort();
    sources.retain(|source| source.len() < 3000);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut read, mut refused) = (0, 0);
    for _ in 0..CASES {
        let mut text = sources[random.below(sources.len())].clone();
        let other = &sources[random.below(sources.len())];
        for _ in 0..=random.below(3) {
            random.mutate(&mut text, other);
        }
        match parse(&text) {
            Ok(module) => {
                read += 1;
                if read % 8 == 0 {
                    let printed = module.to_string();
                    let again =
                        parse(&printed).unwrap_or_else(|e| panic!("{e}\n{text}\n{printed}"));
                    assert_eq!(again.to_string(), printed, "{text}");
                    let bare = print(&module.program(), None);
                    assert!(parse(&bare).is_ok(), "{text}\n{bare}");
                }
            }
            Err(error) => {
                refused += 1;
                let lines = text.split('\n').count() as u32;
                assert!((1..=lines).contains(&error.line), "{error}\n{text}");
                let line = text.split('\n').nth(error.line as usize - 1).unwrap();
                let columns = line.chars().count() as u32 + 1;
                assert!((1..=columns).contains(&error.column), "{error}\n{text}");
                assert!(!error.message.is_empty());
                // These would be the builder's complaints: the parser must find the faults itself.
                assert!(!error.message.contains("broken rule"), "{error}\n{text}");
                assert!(
                    !error.message.contains("not enough room"),
                    "{error}\n{text}"
                );
            }
        }
    }
    assert!(read > CASES / 50, "{read} of {CASES} were read");
    assert!(refused > CASES / 4, "{refused} of {CASES} were refused");
}

#[test]
fn every_truncation_of_a_source_gives_an_error_or_a_module() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/filetests/print/everything.uop");
    let source = fs::read_to_string(path).unwrap();
    let whole = (0..=source.len())
        .filter(|&end| source.is_char_boundary(end))
        .filter(|&end| parse(&source[..end]).is_ok())
        .count();
    // Ends of declarations, of comments and of functions.
    assert!(whole > 100, "{whole}");
}

/// Time is linear: what is ten times as long takes about ten times as long, not a hundred times.
#[test]
fn long_sources_take_linear_time() {
    let source = |count: usize| {
        let mut text = String::from("func @f(n: i64) -> i64 {\nentry:\n    v0 = i64.clz n\n");
        for index in 0..count {
            text += &format!(
                "    v{} = i64.div_s v{index}, n else exit {index} [{index}: n]\n    jump b{index}\nb{index}:\n",
                index + 1
            );
        }
        text += &format!("    return v{count}\n}}\n");
        for index in 0..count {
            text += &format!(
                "host @h{index}()\nfunc @g{index}() {{\nb:\n    return\n}}\n; run: @g{index}()\n"
            );
        }
        text
    };
    let time = |text: &str| {
        let start = std::time::Instant::now();
        let module = parse(text).unwrap();
        assert!(module.to_string().len() > text.len() / 2);
        start.elapsed()
    };
    let (short, long) = (source(2_000), source(20_000));
    time(&short);
    let (short, long) = (time(&short), time(&long));
    assert!(
        long < short * 40 + std::time::Duration::from_millis(50),
        "{short:?} and {long:?}"
    );
}

/// Programs that nobody verified are printed too, somehow.
#[test]
fn broken_records_are_printed() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/filetests/print/everything.uop");
    let whole = parse(&fs::read_to_string(path).unwrap()).unwrap();
    let mut random = Random(88_172_645_463_325_252);
    for _ in 0..2_000 {
        let mut module = whole.clone();
        for _ in 0..=random.below(8) {
            let word = match random.below(4) {
                0 => u32::MAX - random.below(4) as u32,
                1 => random.below(1 << 31) as u32,
                _ => random.below(200) as u32,
            };
            let op = random.below(module.ops.len());
            let block = random.below(module.blocks.len());
            let function = random.below(module.functions.len());
            let extra = random.below(module.extra.len());
            match random.below(9) {
                0 => module.ops[op].a = word,
                1 => module.ops[op].b = word,
                2 => module.ops[op].c = word,
                3 => module.ops[op].aux = word as u16,
                4 => module.blocks[block].first_op = word,
                5 => module.blocks[block].op_count = word,
                6 => module.functions[function].first_block = word,
                7 => module.functions[function].signature = word,
                _ => module.extra[extra] = word,
            }
        }
        assert!(module.to_string().contains("func @name("));
        assert!(print(&module.program(), None).contains("func @f0("));
    }
}
