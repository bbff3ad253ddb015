//! The front page's first command prints what the front page says.

use std::path::Path;
use std::process::Command;

const PAGE: &str = include_str!("../../../README.md");

/// The lines of the first fenced block of this language.
fn block(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}");
    PAGE.lines()
        .skip_while(|line| *line != fence)
        .skip(1)
        .take_while(|line| *line != "```")
        .collect()
}

#[test]
fn the_first_command_prints_what_the_page_shows() {
    let commands = block("sh");
    let first = commands.first().expect("a command");
    let (cargo, arguments) = first.split_once(" -- ").expect("arguments behind --");
    assert_eq!(cargo, "cargo run --release");
    let output = Command::new(env!("CARGO_BIN_EXE_patchjit"))
        .args(arguments.split(' '))
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
        .output()
        .expect("the command runs");
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).expect("text");
    assert_eq!(printed.lines().collect::<Vec<_>>(), block("text"));
    assert_eq!(commands.get(1), Some(&"cargo test"));
}
