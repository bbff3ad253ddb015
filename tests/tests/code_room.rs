//! What `code_bytes` says suffices, also where ops make much more code than their records are long.

use patchjit::code::CodeBuffer;
use patchjit::compile::{self, FunctionCode, Options};
use patchjit::link::{Carried, ExitSite, ExitStorage, LoopHead};
use patchjit::stencil::StencilSet;
use patchjit::verify;
use patchjit_cli::engine::Compilation;
use std::fmt::Write as _;

/// Compiles a program into exactly the room that it is said to need, for each target; gives how much of it was filled, and it.
fn filled(source: &str) -> (usize, usize) {
    let all = patchjit_stencils::ALL.map(|set| filled_for(source, set));
    all[0]
}

fn filled_for(source: &str, set: &'static StencilSet) -> (usize, usize) {
    let module =
        patchjit_text::parse(source).unwrap_or_else(|error| panic!("{error}\n{source:.2000}"));
    let program = module.program();
    let mut facts = vec![0; verify::workspace_words(&program)];
    let verified = verify::verify(program, &mut facts).expect("a valid program");
    let options = Options {
        fuel: true,
        ..Options::default()
    };
    let mut compilation = Compilation::new(verified, set, options);
    let mut code = vec![0; compilation.code_bytes()];
    let buffer = CodeBuffer {
        write: &mut code,
        execute_at: 0,
    };
    let (compiled, _) = compilation
        .compile(buffer)
        .unwrap_or_else(|error| panic!("{}: {error}\n{source:.2000}", set.target));
    assert!(compiled.code_length as usize <= code.len());
    (compiled.code_length as usize, code.len())
}

/// The same with every exit described.
fn linkable(source: &str, set: &'static StencilSet) {
    let module =
        patchjit_text::parse(source).unwrap_or_else(|error| panic!("{error}\n{source:.2000}"));
    let program = module.program();
    let mut facts = vec![0; verify::workspace_words(&program)];
    let verified = verify::verify(program, &mut facts).expect("a valid program");
    let room = compile::exit_room(&verified);
    let mut sites = vec![ExitSite::EMPTY; room.sites];
    let mut values = vec![Carried::EMPTY; room.values];
    let mut heads = vec![LoopHead::EMPTY; room.heads];
    let mut words = vec![0; compile::workspace_words(&verified)];
    let mut code = vec![0; compile::linkable_code_bytes(&verified)];
    let mut functions = vec![FunctionCode::default(); program.functions.len()];
    let options = Options {
        fuel: true,
        ..Options::default()
    };
    let storage = ExitStorage {
        sites: &mut sites,
        values: &mut values,
        heads: &mut heads,
        first_counter: Some(0),
    };
    let buffer = CodeBuffer {
        write: &mut code,
        execute_at: 0,
    };
    compile::compile_linkable(
        &verified,
        set,
        &options,
        &mut words,
        buffer,
        &mut functions,
        storage,
    )
    .unwrap_or_else(|error| panic!("{}: {error}\n{source:.2000}", set.target));
}

/// Values of a kind that is dear to pass: constants of 64 bits, or more values than there are registers.
fn values(text: &mut String, count: usize, constant: bool) {
    for number in 0..count {
        let _ = match (constant, number) {
            (true, _) => writeln!(
                text,
                "    k{number} = i64.const {}",
                i64::MAX - number as i64
            ),
            (false, 0) => writeln!(text, "    k0 = i64.rotl n, n"),
            (false, _) => writeln!(text, "    k{number} = i64.mul k{}, n", number - 1),
        };
    }
}

fn list(count: usize, of: impl Fn(usize) -> String) -> String {
    (0..count).map(of).collect::<Vec<_>>().join(", ")
}

const CALLS: usize = 200;

#[test]
fn calls_of_host_functions_with_many_arguments() {
    for count in [0, 1, 7, 8, 16, 32, 255] {
        for constant in [true, false] {
            let types = list(count, |_| "i64".to_string());
            let mut text = format!("host @x({types})\nfunc @f(n: i64) -> i64 {{\ne:\n");
            values(&mut text, count, constant);
            for call in 0..CALLS {
                let arguments = list(count, |number| format!("k{}", (number + call) % count));
                let _ = writeln!(text, "    call_host @x({arguments}) else trap 1");
            }
            text += "    return n\n}\n";
            let (length, room) = filled(&text);
            assert!(length * 2 > count * CALLS && length <= room);
        }
    }
}

#[test]
fn calls_and_returns_with_all_arguments_that_travel_in_registers() {
    for call in ["call", "call_cell"] {
        for constant in [true, false] {
            let parameters = list(8, |number| format!("p{number}: i64"));
            let results = list(8, |_| "i64".to_string());
            let mut text = "func @f(n: i64) -> i64 {\ne:\n".to_string();
            values(&mut text, 8, constant);
            for turn in 0..CALLS {
                let names = list(8, |number| format!("r{turn}_{number}"));
                let arguments = list(8, |number| format!("k{}", (number + turn) % 8));
                let _ = writeln!(text, "    {names} = {call} @g({arguments}) else exit 1");
            }
            let passed = list(8, |number| format!("p{}", 7 - number));
            let _ = write!(
                text,
                "    return n\n}}\nfunc @g({parameters}) -> {results} {{\ne:\n    return {passed}\n}}\n"
            );
            let (length, room) = filled(&text);
            assert!(length > CALLS * 8 && length <= room);
        }
    }
}

/// Each case of a switch goes back to the loop's head, which wants in registers what the call before has taken out of
/// them.
#[test]
fn edges_of_switches_that_fill_all_registers() {
    let ints = 12;
    let mut text =
        "func @g() {\ne:\n    return\n}\nfunc @f(n: i64, c: i32) -> i64 {\ne:\n".to_string();
    values(&mut text, ints, false);
    text += "    jump head\nhead:\n";
    for number in 0..ints {
        let _ = writeln!(text, "    s{number} = i64.add k{number}, n");
        let before = match number {
            0 => "n".to_string(),
            _ => format!("t{}", number - 1),
        };
        let _ = writeln!(text, "    t{number} = i64.xor {before}, s{number}");
    }
    let _ = writeln!(text, "    call @g()");
    let cases = list(1000, |_| "head".to_string());
    let _ = writeln!(text, "    switch c, [{cases}], done");
    let _ = writeln!(text, "done:\n    return t{}\n}}", ints - 1);
    let (length, room) = filled(&text);
    assert!(length > 10_000 && length <= room);
}

/// Both checks of a division write the whole snapshot, each entry in a box whose mask and bits are no immediates.
#[test]
fn divisions_with_boxes_in_their_exits() {
    for (divisions, entries) in [(1000, 1), (500, 8), (240, 30), (70, 100)] {
        let tag = "tag @t mask 0xffdc123456789abd bits 0x1254123456789abc shift 1";
        let mut text =
            format!("{tag}\nslots 10000\nfunc @f(n: i64, x: f64, m: i64) -> i64 {{\ne:\n");
        let mut last = "n".to_string();
        for number in 0..divisions {
            let snapshot = list(entries, |entry| format!("{}: @t x", 9000 + entry));
            let exit = 70_000 + number;
            let _ = writeln!(
                text,
                "    d{number} = i64.div_s {last}, m else exit {exit} [{snapshot}]"
            );
            last = format!("d{number}");
        }
        let _ = writeln!(text, "    return {last}\n}}");
        filled(&text);
        for set in patchjit_stencils::ALL {
            linkable(&text, set);
        }
    }
}

/// A loop that wants as many values in registers as any target has, with exits that keep all of them.
#[test]
fn exits_of_loops_that_keep_all_registers() {
    for (ints, floats) in [(10, 12usize), (21, 14), (24, 16)] {
        let mut text = "func @f(n: i64, x: f64, c: i32) -> i64 {\ne:\n".to_string();
        values(&mut text, ints, false);
        for number in 0..floats {
            let before = number
                .checked_sub(1)
                .map_or("x".into(), |at| format!("q{at}"));
            let _ = writeln!(text, "    q{number} = f64.mul {before}, x");
        }
        text += "    jump head(n)\nhead(i: i64):\n";
        text += &"    guard c else exit 7\n".repeat(2000);
        let (mut int, mut float) = ("i".to_string(), "q0".to_string());
        for number in 0..ints {
            let _ = writeln!(text, "    s{number} = i64.xor {int}, k{number}");
            int = format!("s{number}");
        }
        for number in 0..floats {
            let _ = writeln!(text, "    r{number} = f64.add {float}, q{number}");
            float = format!("r{number}");
        }
        let _ = writeln!(
            text,
            "    b = i64.reinterpret_f64 {float}\n    z = i64.xor {int}, b"
        );
        text += "    w = i64.ne z, n\n    branch w, head(z), done\ndone:\n    return z\n}\n";
        filled(&text);
        for set in patchjit_stencils::ALL {
            linkable(&text, set);
        }
    }
}
