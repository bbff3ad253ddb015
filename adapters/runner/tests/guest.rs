//! WebAssembly on the command line, run as a program: exit statuses, messages, output.

use serde_json::Value;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

struct Ran {
    status: i32,
    output: String,
    errors: String,
}

fn patchjit(arguments: &[&str], input: &str) -> Ran {
    let mut child = Command::new(env!("CARGO_BIN_EXE_patchjit"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a process");
    let mut stdin = child.stdin.take().expect("a pipe");
    // A command need not read it.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("an end");
    Ran {
        status: output.status.code().unwrap_or(-1),
        output: String::from_utf8_lossy(&output.stdout).into_owned(),
        errors: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn sample(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    path.join("../../tests/wasm")
        .join(name)
        .display()
        .to_string()
}

/// A file in the folder for temporary ones.
fn file(name: &str, content: &str) -> String {
    let name = format!("patchjit-guest-{}-{name}", std::process::id());
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, content).expect("a file");
    path.display().to_string()
}

#[test]
fn a_function_runs_on_every_engine() {
    let file = sample("gcd.wat");
    for engine in ["jit", "interp", "both"] {
        for opt in ["none", "full"] {
            let options = ["--engine", engine, "--opt", opt, "--fuel", "100"];
            let line = [
                &["run", &file, "--invoke", "gcd", "1071", "462"][..],
                &options,
            ]
            .concat();
            let ran = patchjit(&line, "");
            assert_eq!(
                (ran.status, ran.output.as_str()),
                (0, "21, 3\n"),
                "{}",
                ran.errors
            );
        }
    }
    let json = patchjit(&["run", &file, "--invoke", "gcd", "--json", "5", "0"], "");
    let object: Value = serde_json::from_str(&json.output).expect("an object");
    assert_eq!(object["results"], serde_json::json!(["5", "0"]));
    assert_eq!(
        (&object["engine"], &object["exit"]),
        (&"jit".into(), &Value::Null)
    );
    assert!(object["code_bytes"].as_u64().is_some_and(|bytes| bytes > 0));
}

#[test]
fn a_command_gets_its_arguments_and_input() {
    let file = sample("greet.wasm");
    for engine in ["jit", "both"] {
        let ran = patchjit(&["run", &file, "--engine", engine, "Ada"], "a line\n");
        assert_eq!(ran.output, "Hello, Ada!\na line\n", "{}", ran.errors);
        assert_eq!(ran.status, 1);
        assert!(
            ran.errors.ends_with("_start(): exit with status 1\n"),
            "{}",
            ran.errors
        );
    }
    assert_eq!(patchjit(&["run", &file], "").status, 0);
}

#[test]
fn failures_say_what_and_where() {
    let text = file(
        "traps.wat",
        "(module (func (export \"f\") (param i32) (result i32)\n  (i32.div_s (i32.const 1) (local.get 0))))",
    );
    let ran = patchjit(&["run", &text, "--invoke", "f", "0"], "");
    assert_eq!(ran.status, 1);
    assert!(
        ran.errors
            .ends_with("traps.wat: error: f(0): integer divide by zero\n"),
        "{}",
        ran.errors
    );
    for (arguments, what) in [
        (&["--invoke", "g"][..], "no function `g` is exported"),
        (&["--invoke", "f"], "`f` takes 1 arguments, and 0 are given"),
        (&["--invoke", "f", "x"], "argument `x` is no i32"),
        (&[], "the module has no `_start`"),
    ] {
        let ran = patchjit(&[&["run", &text][..], arguments].concat(), "");
        assert_eq!(ran.status, 2);
        assert!(ran.errors.contains(what), "{}", ran.errors);
    }
    let wrong = file("wrong.wat", "(module\n  (func (result i32) i32.wat))");
    let ran = patchjit(&["run", &wrong], "");
    assert_eq!(ran.status, 2);
    assert!(
        ran.errors.contains("wrong.wat:2:22: error: "),
        "{}",
        ran.errors
    );
    let invalid = file("invalid.wat", "(module (func (result i32)))");
    let ran = patchjit(&["run", &invalid], "");
    assert!(
        ran.errors.contains("type mismatch") && ran.errors.contains("(at offset 0x"),
        "{}",
        ran.errors
    );
    for path in [text, wrong, invalid] {
        let _ = std::fs::remove_file(path);
    }
}

#[test]
fn a_module_is_compiled_and_explained_as_its_program() {
    let file = sample("gcd.wat");
    let ran = patchjit(&["compile", &file, "--emit", "uop"], "");
    assert!(
        ran.output
            .contains("func @gcd(v0: i32, v1: i32) -> i32, i32 {"),
        "{}",
        ran.errors
    );
    let file = sample("greet.wasm");
    let ran = patchjit(&["compile", &file, "--emit", "uop", "--opt", "none"], "");
    assert!(ran.output.contains("region @memory "), "{}", ran.output);
    assert!(ran.output.contains("func @_start() {"), "{}", ran.output);
    let ran = patchjit(&["explain", &file], "");
    assert_eq!(ran.status, 0, "{}", ran.errors);
}

#[test]
fn a_script_is_run_on_every_engine() {
    let script = file(
        "script.wast",
        "(module (func (export \"f\") (result i32) (i32.const 1)))\n(assert_return (invoke \"f\") (i32.const 1))\n",
    );
    let ran = patchjit(&["wast", &script], "");
    assert_eq!(ran.status, 0, "{}", ran.errors);
    assert!(
        ran.output
            .starts_with("interp: 1 of 1 hold\njit: 1 of 1 hold\n"),
        "{}",
        ran.output
    );
    std::fs::write(&script, "(module (func (export \"f\") (result i32) (i32.const 1)))\n\n(assert_return (invoke \"f\") (i32.const 2))").expect("a file");
    let ran = patchjit(&["wast", &script], "");
    assert_eq!(ran.status, 3);
    assert!(
        ran.errors.contains("script.wast:3: error: interp: gave"),
        "{}",
        ran.errors
    );
    let _ = std::fs::remove_file(script);
}
