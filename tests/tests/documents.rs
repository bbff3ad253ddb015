//! The pages for readers name what is there: files, packages, tests, checks.
//!
//! A code span (or a link's target) that looks like a path must exist, seen from the repository's root or from the page's
//! folder; so must source files that drawings name, and whatever a command names. That the front page's first
//! command prints what the page says is tested beside the command line.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All files below a folder, as paths from the root. Hidden folders and `target` are left out, but for `.ci`.
fn files() -> BTreeSet<String> {
    let root = root();
    let mut files = BTreeSet::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder)).expect("a folder that can be read") {
            let entry = entry.expect("an entry");
            let name = entry.file_name().into_string().expect("a name in UTF-8");
            let path = format!("{folder}{name}");
            let kind = entry.file_type().expect("a kind of file");
            if !kind.is_dir() {
                files.insert(path);
            } else if name != "target" && (!name.starts_with('.') || name == ".ci") {
                folders.push(format!("{path}/"));
            }
        }
    }
    files
}

/// What a page says: code spans and link targets, lines of shell blocks, other fenced lines.
#[derive(Default)]
struct Page {
    path: String,
    spans: Vec<String>,
    links: Vec<String>,
    shell: Vec<String>,
    fenced: Vec<String>,
}

fn page(path: &str) -> Page {
    let text = fs::read_to_string(root().join(path)).expect("a page in UTF-8");
    let mut page = Page {
        path: path.to_owned(),
        ..Page::default()
    };
    let mut fence: Option<&str> = None;
    let mut prose = String::new();
    for line in text.lines() {
        match (line.trim_start().strip_prefix("```"), fence) {
            (Some(language), None) => fence = Some(language),
            (Some(_), Some(_)) => fence = None,
            (None, Some("sh")) => page.shell.push(line.trim().to_owned()),
            (None, Some(_)) => page.fenced.push(line.to_owned()),
            (None, None) if line.trim().is_empty() => prose.push('\n'),
            // A span may go on in the next line of its paragraph.
            (None, None) => prose.push_str(&format!("{} ", line.trim())),
        }
    }
    assert!(fence.is_none(), "{path}: a block is not closed");
    for paragraph in prose.lines() {
        let parts: Vec<&str> = paragraph.split('`').collect();
        assert!(parts.len() % 2 == 1, "{path}: odd code spans: {paragraph}");
        page.spans
            .extend(parts.iter().skip(1).step_by(2).map(|part| part.to_string()));
        let bare: String = parts.iter().step_by(2).copied().collect();
        for target in bare.split("](").skip(1) {
            page.links
                .extend(target.split(')').next().map(str::to_owned));
        }
    }
    page
}

fn pages() -> Vec<Page> {
    let pages: Vec<Page> = files()
        .iter()
        .filter(|path| path.ends_with(".md"))
        .map(|path| page(path))
        .collect();
    for expected in ["README.md", "ARCHITECTURE.md", "PORTING.md", "core/IR.md"] {
        assert!(pages.iter().any(|page| page.path == expected), "{expected}");
    }
    pages
}

/// Endings that only file names have.
const ENDINGS: [&str; 8] = [
    ".rs",
    ".md",
    ".sh",
    ".py",
    ".toml",
    ".uop",
    ".stencils",
    ".txt",
];

fn looks_like_a_path(text: &str) -> bool {
    let in_path = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    let stem = ENDINGS.iter().find_map(|ending| text.strip_suffix(ending));
    text.chars().all(in_path)
        && !text.starts_with('/')
        && (text.contains('/') || stem.is_some_and(|stem| !stem.is_empty()))
}

/// Whether there is a file or folder of this name, from the root or from a page's folder.
fn exists(page: &Page, path: &str) -> bool {
    let beside = root().join(&page.path);
    let folder = beside.parent().expect("a page is in a folder");
    root().join(path).exists() || folder.join(path).exists()
}

#[test]
fn paths_exist() {
    let mut missing = Vec::new();
    for page in pages() {
        let spans = page.spans.iter().filter(|span| looks_like_a_path(span));
        let links = page.links.iter().filter(|link| !link.contains("://"));
        for path in spans.chain(links) {
            let path = path.split('#').next().unwrap_or(path);
            if !exists(&page, path) {
                missing.push(format!("{}: {path}", page.path));
            }
        }
    }
    assert!(missing.is_empty(), "not there:\n{}", missing.join("\n"));
}

#[test]
fn drawings_name_files_that_exist() {
    let files = files();
    let names: BTreeSet<&str> = files.iter().filter_map(|f| f.rsplit('/').next()).collect();
    let mut missing = Vec::new();
    for page in pages() {
        for line in &page.fenced {
            let words = line.split(|c: char| !(c.is_ascii_alphanumeric() || "._-/".contains(c)));
            for word in words.filter(|word| word.ends_with(".rs")) {
                let name = word.rsplit('/').next().unwrap_or(word);
                if !names.contains(name) || word.contains('/') && !files.contains(word) {
                    missing.push(format!("{}: {word}", page.path));
                }
            }
        }
    }
    assert!(missing.is_empty(), "not there:\n{}", missing.join("\n"));
}

/// The packages of the workspace: name and folder.
fn packages() -> Vec<(String, String)> {
    let mut packages = Vec::new();
    for manifest in files().iter().filter(|path| path.ends_with("/Cargo.toml")) {
        let text = fs::read_to_string(root().join(manifest)).expect("a manifest in UTF-8");
        let name = text.lines().find_map(|line| line.strip_prefix("name = "));
        let folder = manifest.trim_end_matches("Cargo.toml");
        packages.push((
            name.expect("a name").trim_matches('"').to_owned(),
            folder.to_owned(),
        ));
    }
    packages
}

/// What is wrong with a command, if anything.
fn judge(command: &str) -> Result<(), String> {
    let mut words = command.split_whitespace().peekable();
    while words.peek().is_some_and(|word| word.contains('=')) {
        words.next(); // a variable of the environment
    }
    let program = words.next().unwrap_or("");
    let words: Vec<&str> = words.collect();
    if program == ".ci/run" {
        let script = fs::read_to_string(root().join(program)).expect("the checks");
        let check = |name: &&&str| !script.contains(&format!("\ncheck {name} "));
        return words
            .iter()
            .find(check)
            .map_or(Ok(()), |name| Err(format!("no check {name}")));
    }
    if program != "cargo" {
        return Ok(());
    }
    let position = words.iter().position(|&word| word == "--");
    let (own, passed) = words.split_at(position.unwrap_or(words.len()));
    let value = |names: &[&str]| {
        let at = own.iter().position(|word| names.contains(word))?;
        own.get(at + 1).copied()
    };
    let packages = packages();
    let folder = match value(&["-p", "--package"]) {
        None => None,
        Some(wanted) => {
            let found = packages.iter().find(|(name, _)| name == wanted);
            Some(&found.ok_or(format!("no package {wanted}"))?.1)
        }
    };
    for (option, place) in [("--test", "tests"), ("--example", "examples")] {
        if let Some(name) = value(&[option]) {
            let folder = folder.ok_or(format!("{option} without a package"))?;
            let path = format!("{folder}{place}/{name}.rs");
            if !root().join(&path).exists() {
                return Err(format!("no {path}"));
            }
        }
    }
    for word in passed.iter().filter(|word| looks_like_a_path(word)) {
        if !root().join(word).exists() {
            return Err(format!("no {word}"));
        }
    }
    if own.first() == Some(&"run") && folder.is_none() {
        // Of all the workspace's binaries it must be clear which one is meant, and what it is told.
        let manifest = fs::read_to_string(root().join("adapters/runner/Cargo.toml"));
        if !manifest.is_ok_and(|text| text.contains("default-run = \"patchjit\"")) {
            return Err("no binary is the default".to_owned());
        }
        let commands = ["run", "compile", "explain", "bench", "wast", "--help"];
        let command = passed.get(1).copied().unwrap_or("");
        if !commands.contains(&command) {
            return Err(format!("the command line has no {command:?}"));
        }
    }
    Ok(())
}

#[test]
fn commands_name_what_exists() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for page in pages() {
        let is_command = |text: &&String| {
            text.starts_with("cargo ") || text.starts_with("BLESS=1 ") || text.starts_with(".ci/")
        };
        for command in page.spans.iter().filter(is_command).chain(&page.shell) {
            count += 1;
            if let Err(what) = judge(command) {
                wrong.push(format!("{}: `{command}`: {what}", page.path));
            }
        }
    }
    assert!(count >= 8, "{count} commands were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn wrong_commands_are_noticed() {
    for command in [
        "cargo test -p patchjit-nothing",
        "cargo test -p patchjit-tests --test nothing",
        "cargo run -p patchjit --example nothing",
        "cargo run --release -- run tests/programs/nothing.uop",
        "cargo run --release -- dance tests/programs/nbody.uop",
        "BLESS=1 cargo test -p nothing",
        ".ci/run nothing",
    ] {
        assert!(judge(command).is_err(), "{command}");
    }
    assert!(looks_like_a_path("core/src/ir.rs") && looks_like_a_path("README.md"));
    assert!(!looks_like_a_path(".uop") && !looks_like_a_path("a / b"));
}
