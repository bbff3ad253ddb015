//! `core/IR.md` is the template in `reference/` with the op table in it.
//!
//! `BLESS=1 cargo test -p patchjit-tests --test reference` writes it again.

use patchjit::ops::{OpInfo, Opcode, Shape, flags};
use std::fs;
use std::path::Path;

const TEMPLATE: &str = include_str!("../reference/IR.md");

/// The heading that an op stands under: what the shapes have in common.
fn heading(info: &OpInfo) -> &'static str {
    match info.shape {
        Shape::Parameter | Shape::Result => "Parameters and results",
        Shape::Constant | Shape::FunctionIndex => "Constants",
        Shape::Unary | Shape::Binary | Shape::Select if info.has(flags::COMPARES) => "Comparisons",
        Shape::Unary | Shape::Binary | Shape::Select => match info.operands {
            _ if info.has(flags::LEAVES) => "Arithmetic that can leave",
            _ if converts(info) => "Conversions",
            _ if info.result.is_some_and(|ty| ty.is_float()) => "Float arithmetic",
            _ => "Integer arithmetic and selection",
        },
        Shape::Tag => "Tagged words",
        Shape::Load | Shape::Store | Shape::Update | Shape::CompareExchange | Shape::Fence => {
            if info.has(flags::RAW) {
                "Raw memory"
            } else if info.has(flags::ATOMIC) || info.shape == Shape::Fence {
                "Atomics"
            } else {
                "Memory in regions"
            }
        }
        Shape::RegionSize => "Memory in regions",
        Shape::SlotGet | Shape::SlotSet => "Guest slots",
        Shape::Guard | Shape::Poll => "Guards",
        Shape::Call | Shape::CallCell | Shape::CallIndirect | Shape::CallHost => "Calls",
        _ => "Terminators",
    }
}

fn converts(info: &OpInfo) -> bool {
    info.shape == Shape::Unary && info.result != Some(info.operands[0])
}

/// The headings, in the order of the page.
const HEADINGS: &[&str] = &[
    "Parameters and results",
    "Constants",
    "Integer arithmetic and selection",
    "Float arithmetic",
    "Comparisons",
    "Conversions",
    "Tagged words",
    "Arithmetic that can leave",
    "Memory in regions",
    "Atomics",
    "Raw memory",
    "Guest slots",
    "Guards",
    "Calls",
    "Terminators",
];

fn syntax(info: &OpInfo) -> String {
    let name = info.name;
    let raw = info.has(flags::RAW);
    let leaves = info.has(flags::LEAVES);
    let (place, end) = if raw {
        ("[a + 8]", "")
    } else {
        ("@mem[a*8 + 16]", " else trap 1")
    };
    let or_leave = if leaves { " else exit 7 [0: a]" } else { "" };
    let operation = match info.shape {
        Shape::Parameter => return "block(r: i64):".to_string(),
        Shape::Result => return "r, r2 = call @f(a)".to_string(),
        Shape::Constant => match info.result {
            Some(ty) if ty.is_float() => format!("{name} 1.5"),
            _ => format!("{name} 5"),
        },
        Shape::Unary => format!("{name} a{or_leave}"),
        Shape::Binary => format!("{name} a, b{or_leave}"),
        Shape::Tag => format!("{name} @small, a"),
        Shape::Select => format!("{name} a, b, c"),
        Shape::Load => format!("{name} {place}{end}"),
        Shape::Store | Shape::Update => format!("{name} {place}, b{end}"),
        Shape::CompareExchange => format!("{name} {place}, b, c{end}"),
        Shape::Fence => name.to_string(),
        Shape::RegionSize => format!("{name} @mem"),
        Shape::SlotGet => format!("{name} 3"),
        Shape::SlotSet => format!("{name} 3, a"),
        Shape::FunctionIndex => format!("{name} @f"),
        Shape::Guard => format!("{name} a{or_leave}"),
        Shape::Poll => format!("{name} else exit 7"),
        Shape::Call | Shape::CallCell => format!("r = {name} @f(a, b) else exit 7"),
        Shape::CallHost => format!("r = {name} @h(a, b) else trap 1"),
        Shape::CallIndirect => format!("r = {name} (i64) -> (i64), a(b) else trap 1"),
        Shape::Jump => format!("{name} block(a, b)"),
        Shape::Branch => format!("{name} a, block(b), other"),
        Shape::Switch => format!("{name} a, [block(b), other], default"),
        Shape::Return => format!("{name} a, b"),
        Shape::Exit => format!("{name} 7 [0: a]` or `trap 1"),
        Shape::ReturnCall => format!("{name} @f(a, b)"),
    };
    match info.result {
        Some(_) => format!("r = {operation}"),
        None => operation,
    }
}

fn types(info: &OpInfo) -> String {
    let operands: Vec<&str> = info
        .operands
        .iter()
        .take(usize::from(info.operand_count))
        .map(|ty| ty.name())
        .collect();
    let operands = format!("({})", operands.join(", "));
    match (info.shape, info.result) {
        (Shape::Parameter | Shape::Result, _) => "any".to_string(),
        (Shape::Call | Shape::CallCell | Shape::CallHost | Shape::ReturnCall, _) => {
            "the signature's".to_string()
        }
        (Shape::CallIndirect, _) => format!("{operands} and the signature's"),
        (Shape::Return, _) => "the function's results".to_string(),
        (_, Some(result)) => format!("{operands} -> {}", result.name()),
        (_, None) => operands,
    }
}

fn effects(info: &OpInfo) -> String {
    let words = [
        (flags::COMMUTES, "commutes"),
        (flags::LEAVES, "leaves"),
        (flags::READS, "reads"),
        (flags::WRITES, "writes"),
        (flags::RAW, "raw"),
        (flags::ATOMIC, "atomic"),
        (flags::CALLS, "calls"),
        (flags::SAFEPOINT, "safepoint"),
        (flags::TERMINATES, "ends"),
    ];
    let set: Vec<&str> = words
        .into_iter()
        .filter(|&(flag, _)| info.has(flag))
        .map(|(_, word)| word)
        .collect();
    set.join(", ")
}

fn page() -> String {
    let mut ops = format!("There are {} ops.\n", Opcode::COUNT);
    let mut listed = 0;
    for title in HEADINGS {
        ops += &format!(
            "\n### {title}\n\n| op | types | effects | what it does |\n|---|---|---|---|\n"
        );
        for code in Opcode::all() {
            let info = code.info();
            if heading(info) == *title {
                listed += 1;
                ops += &format!(
                    "| `{}` | {} | {} | {} |\n",
                    syntax(info),
                    types(info),
                    effects(info),
                    code.summary()
                );
            }
        }
    }
    assert_eq!(listed, Opcode::COUNT, "a heading is missing");
    TEMPLATE.replace("{ops}\n", &ops)
}

#[test]
fn the_reference_page_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/IR.md");
    let page = page();
    if std::env::var_os("BLESS").is_some_and(|value| value == "1") {
        fs::write(&path, &page).expect("a folder that can be written");
        return;
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    let line = page
        .lines()
        .zip(committed.lines())
        .take_while(|(a, b)| a == b)
        .count()
        + 1;
    assert!(
        page == committed,
        "core/IR.md differs from line {line} on; BLESS=1 writes it again"
    );
}

/// Every op's syntax in the table can be read, and gives that op.
#[test]
fn the_syntax_shown_is_the_syntax_read() {
    for code in Opcode::all() {
        let info = code.info();
        if matches!(info.shape, Shape::Parameter | Shape::Result) {
            continue;
        }
        let ends = if info.has(flags::TERMINATES) {
            ""
        } else {
            "\n    return"
        };
        for line in syntax(info).split("` or `") {
            let source = format!(
                "region @mem 64\ntag @small mask 1 bits 1 shift 1\nhost @h() -> i64\nfunc @f() -> i64 {{\nentry:\n    a = i64.const 0\n    b = i64.const 0\n    c = i64.const 0\n    {line}{ends}\nblock:\n    return\nother:\n    return\ndefault:\n    return\n}}\n"
            );
            let module =
                patchjit_text::parse(&source).unwrap_or_else(|error| panic!("{error}\n{source}"));
            assert_eq!(module.ops[3].code, code, "{source}");
        }
    }
}

/// The program in the template is one.
#[test]
fn the_example_is_well_formed() {
    let mut fences = TEMPLATE.split("```\n");
    let example = fences.nth(1).expect("an example between fences");
    let module = patchjit_text::parse(example).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(
        module.to_string().trim(),
        with_parts_on_lines(example).trim()
    );
    assert_eq!(module.promises.len(), 2);
}

/// The printer puts contents on lines of their own.
fn with_parts_on_lines(source: &str) -> String {
    source.replace(" = i64 3", "\n    = i64 3")
}
