//! The command line, run as a program: exit statuses, messages, output.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

struct Ran {
    status: i32,
    output: String,
    errors: String,
}

fn patchjit(arguments: &[&str]) -> Ran {
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(env!("CARGO_BIN_EXE_patchjit"))
        .args(arguments)
        .output()
        .unwrap();
    Ran {
        status: status.code().unwrap_or(-1),
        output: String::from_utf8(stdout).unwrap(),
        errors: String::from_utf8(stderr).unwrap(),
    }
}

/// A file that is removed with the value.
struct File(PathBuf);

impl File {
    fn new(ending: &str, content: &str) -> File {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("patchjit-cli-{}-{number}.{ending}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, content).unwrap();
        File(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

const SAMPLE: &str = "\
; run: @add(2, 3) == 5
; run: @half(3) exits 7 [0: 3]
; run: @divide(1, 0) traps 2
; run: @deep(1) too deep
slots 2
region @memory 64 = i64 11
host @print_i64(i64)
func @add(a: i64, b: i64) -> i64 {
entry:
    sum = i64.add a, b
    return sum
}
func @half(a: i64) -> i64 {
entry:
    one = i64.const 1
    odd = i64.and a, one
    even = i64.eqz odd
    guard even else exit 7 [0: a]
    result = i64.shr_s a, one
    return result
}
func @divide(a: i64, b: i64) -> i64 {
entry:
    result = i64.div_s a, b else trap 2
    return result
}
func @deep(a: i64) -> i64 {
entry:
    result = call @deep(a)
    return result
}
func @third(x: f64) -> f64, f32 {
entry:
    three = f64.const 3.0
    result = f64.div x, three
    narrow = f32.demote_f64 result
    return result, narrow
}
func @show(a: i64) {
entry:
    call_host @print_i64(a)
    return
}
func @load(a: i64) -> i64 {
entry:
    result = i64.load @memory[a] else trap 1
    return result
}
func @slot() -> i64 {
entry:
    result = i64.slot_get 1
    return result
}
func @forever() {
entry:
    jump again
again:
    jump again
}
";

const ENGINES: [&str; 3] = ["jit", "interp", "both"];

#[test]
fn the_file_s_own_promises() {
    let file = File::new("uop", SAMPLE);
    for engine in ENGINES {
        let ran = patchjit(&["run", file.path(), "--engine", engine]);
        assert_eq!((ran.status, ran.errors.as_str()), (0, ""), "{engine}");
        let lines: Vec<_> = ran.output.lines().collect();
        assert_eq!(
            lines,
            [
                "@add(2, 3) == 5",
                "@half(3) exits 7 [0: 3]",
                "@divide(1, 0) traps 2",
                "@deep(1) too deep",
            ]
        );
    }
}

#[test]
fn results_of_a_function() {
    let file = File::new("uop", SAMPLE);
    for engine in ENGINES {
        let run = |arguments: &[&str]| {
            let start = ["run", file.path(), "--engine", engine, "--invoke"];
            let ran = patchjit(&[&start, arguments].concat());
            assert_eq!((ran.status, ran.errors.as_str()), (0, ""), "{arguments:?}");
            ran.output
        };
        assert_eq!(run(&["add", "-5", "0x10"]), "11\n");
        assert_eq!(
            run(&["@add", "9223372036854775807", "1"]),
            "-9223372036854775808\n"
        );
        assert_eq!(run(&["third", "1"]), "0.3333333333333333, 0.33333334\n");
        assert_eq!(run(&["third", "--", "-inf"]), "-inf, -inf\n");
        assert_eq!(run(&["third", "nan"]), "nan, nan\n");
        assert_eq!(run(&["show", "-3"]), "-3\n");
        assert_eq!(run(&["load", "0"]), "11\n");
        assert_eq!(run(&["slot", "--slots", "0,-4"]), "-4\n");
    }
}

#[test]
fn leaving_is_status_1() {
    let file = File::new("uop", SAMPLE);
    for engine in ENGINES {
        let run = |arguments: &[&str]| {
            let start = ["run", file.path(), "--engine", engine, "--invoke"];
            let ran = patchjit(&[&start, arguments].concat());
            assert_eq!((ran.status, ran.output.as_str()), (1, ""), "{arguments:?}");
            ran.errors
        };
        let name = file.path();
        assert_eq!(
            run(&["half", "3"]),
            format!("{name}: error: @half(3): exit 7 [0: 3, 1: 0]\n")
        );
        assert_eq!(
            run(&["load", "57"]),
            format!("{name}: error: @load(57): trap 1 [0: 0, 1: 0]\n")
        );
        assert_eq!(
            run(&["deep", "1", "--depth", "5"]),
            format!("{name}: error: @deep(1): too deep\n")
        );
        assert_eq!(
            run(&["forever", "--fuel", "1000"]),
            format!("{name}: error: @forever(): out of fuel\n")
        );
    }
}

#[test]
fn broken_promises_are_status_3() {
    let source = SAMPLE.replace("== 5", "== 6");
    let file = File::new("uop", &source);
    for engine in ENGINES {
        let ran = patchjit(&["run", file.path(), "--engine", engine]);
        assert_eq!((ran.status, ran.output.as_str()), (3, ""));
        let place = format!("{}:1:", file.path());
        assert!(ran.errors.starts_with(&place), "{}", ran.errors);
        assert!(
            ran.errors
                .ends_with(": error: promised `@add(2, 3) == 6`, and it gave: 5\n"),
            "{}",
            ran.errors
        );
    }
}

#[test]
fn bad_input_is_status_2() {
    let fails = |arguments: &[&str]| {
        let ran = patchjit(arguments);
        assert_eq!(
            (ran.status, ran.output.as_str()),
            (2, ""),
            "{arguments:?} {}",
            ran.errors
        );
        ran.errors
    };
    let bad = File::new(
        "uop",
        "func @f() {\nentry:\n    x = i64.frobnicate 1\n    return\n}\n",
    );
    let errors = fails(&["run", bad.path()]);
    assert!(
        errors.starts_with(&format!("{}:3:9: error: ", bad.path())),
        "{errors}"
    );
    let source = "func @f() -> i64 {\nentry:\n    x = i32.const 1\n    return x\n}\n";
    let wrong = File::new("uop", source);
    let errors = fails(&["run", wrong.path(), "--invoke", "f"]);
    assert!(
        errors.starts_with(&format!("{}:4:5: error: ", wrong.path())),
        "{errors}"
    );
    let errors = fails(&["run", "/no/such/file.uop"]);
    assert!(errors.starts_with("/no/such/file.uop: error: "), "{errors}");
    let other = File::new("txt", "");
    assert!(fails(&["run", other.path()]).contains("not a .uop, .wasm, .wat or .o file"));

    let file = File::new("uop", SAMPLE);
    let name = file.path();
    assert!(fails(&["run", name, "--invoke", "nothing"]).contains("no function @nothing"));
    assert!(fails(&["run", name, "--invoke", "add", "1"]).contains("takes 2 arguments"));
    assert!(fails(&["run", name, "--invoke", "add", "1", "x"]).contains("`x` is no i64"));
    assert!(fails(&["run", name, "1"]).contains("--invoke"));
    assert!(fails(&["run", name, "--engine", "magic"]).contains("jit"));
    assert!(fails(&["run", name, "--invoke", "slot", "--slots", "x"]).contains("`x` is no i64"));
    assert!(fails(&["compile", name, "--target", "pdp11"]).contains("x86_64-sysv"));
    assert!(fails(&[]).contains("Usage"));
    let empty = File::new("uop", "func @f() {\nentry:\n    return\n}\n");
    assert!(fails(&["run", empty.path()]).contains("--invoke"));
    let host = File::new(
        "uop",
        "host @launch(i64)\nfunc @f() {\nentry:\n    return\n}\n",
    );
    assert!(fails(&["run", host.path(), "--invoke", "f"]).contains("no host function `launch`"));
}

#[test]
fn raw_addresses_need_permission() {
    let source = "; run: @f(0) == 0\n\
        func @f(a: i64) -> i64 {\nentry:\n    x = i64.raw_load [a]\n    return x\n}\n";
    let file = File::new("uop", source);
    for command in ["run", "bench"] {
        let ran = patchjit(&[command, file.path()]);
        assert_eq!(ran.status, 2);
        assert!(ran.errors.contains("--allow-raw"), "{}", ran.errors);
    }
    let ran = patchjit(&[
        "compile",
        file.path(),
        "--target",
        "x86_64-sysv",
        "--emit",
        "asm",
    ]);
    assert_eq!(ran.status, 0, "compiling reaches nothing: {}", ran.errors);
}

/// A disk that is full is not a reader who has seen enough.
#[test]
#[cfg(target_os = "linux")]
fn output_that_cannot_be_written_is_status_2() {
    let file = File::new("uop", SAMPLE);
    let compile = ["compile", file.path(), "--target", "x86_64-sysv"];
    for arguments in [
        &["run", file.path()][..],
        &["explain", file.path()],
        &compile,
    ] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
        let ran = Command::new(env!("CARGO_BIN_EXE_patchjit"))
            .args(arguments)
            .stdout(full.unwrap())
            .output()
            .unwrap();
        assert_eq!(ran.status.code(), Some(2), "{arguments:?}");
        assert!(
            String::from_utf8(ran.stderr)
                .unwrap()
                .contains("standard output")
        );
    }
}

#[test]
fn json_is_one_object() {
    let file = File::new("uop", SAMPLE);
    for engine in ENGINES {
        let run = |arguments: &[&str], status: i32| -> Value {
            let start = ["run", file.path(), "--json", "--engine", engine];
            let ran = patchjit(&[&start, arguments].concat());
            assert_eq!(ran.status, status, "{}", ran.errors);
            serde_json::from_str(&ran.output).unwrap()
        };
        let object = run(&["--invoke", "third", "1"], 0);
        assert_eq!(
            object["results"],
            serde_json::json!(["0.3333333333333333", "0.33333334"])
        );
        assert_eq!(object["exit"], Value::Null);
        assert_eq!(object["engine"], engine);
        assert!(object["uops"].as_u64().unwrap() > 20);
        assert!(object["run_ms"].as_f64().unwrap() >= 0.0);
        assert_eq!(object["code_bytes"].as_u64().is_some(), engine != "interp");
        assert_eq!(object["compile_us"].as_f64().is_some(), engine != "interp");
        assert_eq!(object["opt"], "full");
        assert!(object["optimize_us"].as_f64().unwrap() > 0.0);
        assert!(object["passes"].is_object());
        let object = run(&["--invoke", "half", "3"], 1);
        assert_eq!(object["exit"], "exit 7");
        assert_eq!(object["results"], serde_json::json!([]));
        assert_eq!(object["slots"], serde_json::json!(["3", "0"]));
        let object = run(&[], 0);
        assert_eq!(object["runs"].as_array().unwrap().len(), 4);
        assert_eq!(object["runs"][0]["results"], serde_json::json!(["5"]));
        assert_eq!(object["runs"][0]["kept"], true);
        assert_eq!(object["runs"][3]["exit"], "too deep");
        // What the program prints does not get into the object.
        let object = run(&["--invoke", "show", "3"], 0);
        assert_eq!(object["results"], serde_json::json!([]));
    }
}

#[test]
fn compilation_writes_what_is_asked_for() {
    let file = File::new("uop", SAMPLE);
    let compile = |emit: &str| {
        let output = File::new("out", "");
        let ran = patchjit(&[
            "compile",
            file.path(),
            "--target",
            "x86_64-sysv",
            "--emit",
            emit,
            "-o",
            output.path(),
        ]);
        assert_eq!((ran.status, ran.output.as_str()), (0, ""), "{}", ran.errors);
        std::fs::read(Path::new(output.path())).unwrap()
    };
    let code = compile("bin");
    assert!(!code.is_empty());
    assert_eq!(
        code,
        compile("bin"),
        "the same program gives the same bytes"
    );
    let object = compile("obj");
    assert!(object.starts_with(b"\x7fELF"));
    let has = |name: &[u8]| object.windows(name.len()).any(|window| window == name);
    assert!(has(b"_divide\0"));
    let listing = String::from_utf8(compile("asm")).unwrap();
    assert!(listing.contains("idiv"), "{listing}");
    assert!(listing.contains("divide"), "{listing}");
    let uop = String::from_utf8(compile("uop")).unwrap();
    assert!(uop.contains("i64.div_s"), "{uop}");
}

#[test]
fn explanations_have_their_stages() {
    let file = File::new("uop", SAMPLE);
    let ran = patchjit(&["explain", file.path()]);
    assert_eq!(ran.status, 0, "{}", ran.errors);
    let headings = ran
        .output
        .lines()
        .filter_map(|line| line.strip_prefix("== "));
    let headings: Vec<&str> = headings.collect();
    let stages = [
        "program",
        "passes",
        "optimized program",
        "live ranges",
        "registers",
        "code",
    ];
    assert_eq!(headings, stages);
    assert!(ran.output.contains("idiv"));
    assert!(ran.output.contains(" ; machine.Entry"));
    // Colours are for terminals.
    assert!(!ran.output.contains('\x1b'));
    let ran = patchjit(&["explain", file.path(), "--opt", "none"]);
    assert!(!ran.output.contains("== passes"));
}

#[test]
fn explanations_say_what_passes_and_collectors_do() {
    let source = "
host @add_one(i64) -> i64
func @f(a: ref, b: i64) -> i64, ref {
entry:
    unused = i64.add b, b
    c = call_host @add_one(b)
    return c, a
}
";
    let file = File::new("uop", source);
    let ran = patchjit(&["explain", file.path()]);
    assert_eq!(ran.status, 0, "{}", ran.errors);
    let has = |line: &str| ran.output.lines().any(|found| found.trim() == line);
    assert!(
        ran.output.contains("  - unused = i64.add b, b "),
        "{}",
        ran.output
    );
    assert!(has("2    c = call_host @add_one(b)"), "{}", ran.output);
    let (_, references) = ran.output.split_once("== references").unwrap();
    assert!(references.contains(": a in slot 0"), "{references}");
}

#[test]
fn measurements() {
    let file = File::new("uop", SAMPLE);
    let ran = patchjit(&["bench", file.path(), "--json"]);
    assert_eq!(ran.status, 0, "{}", ran.errors);
    let object: Value = serde_json::from_str(&ran.output).unwrap();
    let row = &object["programs"][0];
    assert!(row["interp_ms"].as_f64().unwrap() > 0.0);
    assert!(row["uops"].as_u64().unwrap() > 20);
    let ran = patchjit(&["bench", file.path()]);
    assert_eq!(ran.status, 0, "{}", ran.errors);
    assert!(ran.output.contains("ns/uop"));
    assert!(ran.output.contains("machine: "));
}

#[test]
fn absurd_limits_are_refused() {
    let file = File::new("uop", SAMPLE);
    for engine in ["jit", "interp"] {
        let limits = ["--invoke", "deep", "1", "--depth", "4294967295"];
        let start = ["run", file.path(), "--engine", engine];
        let ran = patchjit(&[&start[..], &limits].concat());
        // A machine with that much memory runs out of depth instead.
        assert!(
            [1, 2].contains(&ran.status),
            "{}: {}",
            ran.status,
            ran.errors
        );
        assert!(ran.errors.contains(if ran.status == 2 {
            "lower --depth"
        } else {
            "too deep"
        }));
    }
    let source = "region @r 9223372036854775807\nfunc @f() {\nentry:\n    return\n}\n";
    let file = File::new("uop", source);
    let ran = patchjit(&["run", file.path(), "--invoke", "f"]);
    assert_eq!(ran.status, 2);
    assert!(
        ran.errors.contains("no memory for region 0"),
        "{}",
        ran.errors
    );
}

#[test]
fn a_reader_may_go_away() {
    let file = File::new("uop", SAMPLE);
    let mut child = Command::new(env!("CARGO_BIN_EXE_patchjit"))
        .args(["explain", file.path()])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(output.status.success());
}

#[test]
fn the_optimizer_is_chosen() {
    let source = "; run: @f(7) == 19\n\nfunc @f(x: i64) -> i64 {\nentry:\n    two = i64.const 2\n    \
                  three = i64.const 3\n    five = i64.add two, three\n    double = i64.mul x, two\n    \
                  again = i64.mul x, two\n    sum = i64.add double, five\n    return sum\n}\n";
    let file = File::new("uop", source);
    let emit = |arguments: &[&str]| {
        let start = [
            "compile",
            file.path(),
            "--target",
            "x86_64-sysv",
            "--emit",
            "uop",
        ];
        let ran = patchjit(&[&start, arguments].concat());
        assert_eq!(ran.status, 0, "{}", ran.errors);
        ran.output
    };
    assert_eq!(emit(&["--opt", "none"]), source);
    let all = emit(&[]);
    assert!(all.contains("i64.shl x") && !all.contains("again"), "{all}");
    let folded = emit(&["--passes", "fold,dead"]);
    assert!(
        folded.contains("const 5") && folded.contains("i64.mul"),
        "{folded}"
    );
    assert_eq!(emit(&["--pass-fuel", "0"]).matches(" = ").count(), 6);
    let ran = patchjit(&["run", file.path(), "--passes", "fold,nothing"]);
    assert_eq!(ran.status, 2);
    assert!(
        ran.errors.contains("there are: fold, simplify"),
        "{}",
        ran.errors
    );
    let ran = patchjit(&["run", file.path(), "--json", "--passes", "fold"]);
    let object: Value = serde_json::from_str(&ran.output).unwrap();
    assert_eq!(object["passes"], serde_json::json!({"fold": 1}));
    let ran = patchjit(&["explain", file.path(), "--passes", "simplify"]);
    assert!(
        ran.output.contains("== optimized program"),
        "{}",
        ran.output
    );
    assert!(ran.output.contains("; steps: simplify 2"), "{}", ran.output);
}

#[test]
fn functions_of_ebpf_objects_run() {
    let object = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/ebpf/kernels.o");
    let memory = File::new("bin", "123456789");
    for engine in ENGINES {
        let call = ["run", object, "--engine", engine, "--memory", memory.path()];
        // With the address and the length of the memory, or with what is said.
        for (arguments, output) in [
            (["--invoke", "crc32"].as_slice(), "3421780262\n"),
            (&["--invoke", "crc32", "0x10000000", "0"], "0\n"),
            (&["--invoke", "filter"], "1\n"),
        ] {
            let ran = patchjit(&[call.as_slice(), arguments].concat());
            assert_eq!(
                (ran.status, ran.output.as_str()),
                (0, output),
                "{}",
                ran.errors
            );
        }
        // A trap's number is the instruction's.
        let trap = ["--invoke", "crc32", "0x10000000", "10"];
        let ran = patchjit(&[call.as_slice(), &trap].concat());
        assert_eq!(ran.status, 1);
        let said = "error: @crc32(268435456, 10, 0, 0, 0): trap 11";
        assert!(ran.errors.contains(said), "{}", ran.errors);
    }
    let fails = |arguments: &[&str]| {
        let ran = patchjit(&[&["run", object], arguments].concat());
        assert_eq!(ran.status, 2);
        ran.errors
    };
    assert!(fails(&[]).contains("name a function with --invoke; there are: sieve, "));
    assert!(fails(&["--invoke", "x"]).contains("no function x; there are: sieve, "));
    let six = ["--invoke", "fnv", "1", "2", "3", "4", "5", "6"];
    assert!(fails(&six).contains("up to 5 arguments, and 6 are given"));
    assert!(fails(&["--invoke", "fnv", "--memory", "/no/such/file"]).contains("/no/such/file"));
    let file = File::new("uop", SAMPLE);
    let ran = patchjit(&["run", file.path(), "--memory", memory.path()]);
    assert!(ran.errors.contains("--memory is for objects"));
}

#[test]
fn arguments_need_a_function() {
    let file = File::new("uop", SAMPLE);
    let ran = patchjit(&["run", file.path(), "5"]);
    assert_eq!(ran.status, 2);
    assert_eq!(ran.errors, "error: arguments go with --invoke\n");
}
