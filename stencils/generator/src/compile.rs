//! Writes the crates that the compiler gets, and runs it: families in, object files out.
//!
//! Every variant (a shape of a family with registers and an immediate) is one function; how an architecture writes it is its
//! own business ([`Architecture::function`]).

use crate::architecture::Architecture;
use crate::bodies::FamilySource;
use patchjit::stencil::{Immediate, MAX_OPERANDS};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The compiler for which the bodies were written.
pub const COMPILER: &str = "rustc 1.95.0";

/// How many functions go into one crate.
const BATCH: usize = 6000;

/// One function to compile.
#[derive(Clone, Debug)]
pub struct Variant {
    pub family: usize,
    pub shape: usize,
    pub kind: Immediate,
    pub value: i64,
    pub registers: [u8; MAX_OPERANDS],
}

/// Replaces each `{name}` or `{name:width}` of a body.
pub fn replace_placeholders(text: &str, mut with: impl FnMut(&str, &str) -> String) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        let Some(close) = rest[open..].find('}') else {
            break;
        };
        let inner = &rest[open + 1..open + close];
        if !inner.chars().all(|c| c.is_alphanumeric() || c == ':') || inner.is_empty() {
            // A brace of Rust's own.
            out.push_str(&rest[..=open]);
            rest = &rest[open + 1..];
            continue;
        }
        out.push_str(&rest[..open]);
        let (name, width) = inner.split_once(':').unwrap_or((inner, ""));
        out.push_str(&with(name, width));
        rest = &rest[open + close + 1..];
    }
    out.push_str(rest);
    out
}

/// An operand of a family by its name.
pub fn operand_of<'a>(
    family: &'a FamilySource,
    name: &str,
) -> Option<(usize, &'a crate::bodies::Operand)> {
    family
        .operands
        .iter()
        .enumerate()
        .find(|(_, operand)| operand.name == name)
}

/// Compiles the variants and gives the object files: function `v<n>` is variant n of the slice at the
/// object's index times the batch size.
pub fn compile(
    architecture: &dyn Architecture,
    families: &[FamilySource],
    variants: &[Variant],
    prelude: &str,
    directory: &Path,
) -> Result<Vec<Vec<u8>>, String> {
    let mut sources = Vec::new();
    for (batch, part) in variants.chunks(BATCH).enumerate() {
        let mut text = String::from(prelude);
        text.push_str(&architecture.declarations());
        for (index, variant) in part.iter().enumerate() {
            let family = &families[variant.family];
            let name = format!("v{}", batch * BATCH + index);
            let _ = writeln!(text, "{}", architecture.function(family, variant, &name));
        }
        let path = directory.join(format!("stencils{batch}.rs"));
        std::fs::write(&path, text).map_err(|error| error.to_string())?;
        sources.push(path);
    }
    let objects: Vec<PathBuf> = sources
        .iter()
        .map(|path| path.with_extension("o"))
        .collect();
    // Two at a time: the compiler itself is single-threaded here.
    let workers = std::thread::available_parallelism().map_or(1, |count| count.get());
    let next = std::sync::atomic::AtomicUsize::new(0);
    let failure = std::sync::Mutex::new(None::<String>);
    std::thread::scope(|scope| {
        for _ in 0..workers.min(sources.len()) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let Some(source) = sources.get(index) else {
                        break;
                    };
                    if let Err(error) = run_compiler(architecture, source, &objects[index])
                        && let Ok(mut failure) = failure.lock()
                    {
                        *failure = Some(error);
                    }
                }
            });
        }
    });
    if let Some(error) = failure.into_inner().map_err(|error| error.to_string())? {
        return Err(error);
    }
    objects
        .iter()
        .map(|path| std::fs::read(path).map_err(|error| error.to_string()))
        .collect()
}

fn rustc() -> Command {
    let mut command = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    command.env("RUSTC_BOOTSTRAP", "1");
    command
}

fn run_compiler(
    architecture: &dyn Architecture,
    source: &Path,
    object: &Path,
) -> Result<(), String> {
    let output = rustc()
        .args(architecture.flags())
        .arg(source)
        .arg("-o")
        .arg(object)
        .output()
        .map_err(|error| format!("the compiler does not start: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let messages = String::from_utf8_lossy(&output.stderr);
    let head: Vec<&str> = messages.lines().take(40).collect();
    Err(format!("the compiler fails:\n{}", head.join("\n")))
}

/// The compiler's name and version.
pub fn compiler_version() -> Result<String, String> {
    let output = rustc()
        .arg("--version")
        .output()
        .map_err(|error| format!("the compiler does not start: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
