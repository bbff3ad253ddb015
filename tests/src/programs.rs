//! The programs in the text form: where they are and how they are read.

use patchjit::optimize::{Options, Report};
use patchjit::verify;
use patchjit_cli::optimizer::{Optimizer, numbered};
use patchjit_text::Module;
use std::fs;
use std::path::{Path, PathBuf};

/// The directory of the programs in the text form.
pub fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("programs")
}

/// The names of all programs, without `.uop`, in order.
///
/// # Panics
///
/// If the directory cannot be read.
pub fn names() -> Vec<String> {
    let entries = fs::read_dir(directory()).expect("the directory of the programs");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("an entry of the directory").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "uop"))
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    names
}

/// The source of the program with this name.
///
/// # Panics
///
/// If there is no such file.
pub fn source(name: &str) -> String {
    let path = directory().join(name).with_extension("uop");
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The program with this name, read from its source.
///
/// # Panics
///
/// If there is no such file, or it is not well formed.
pub fn module(name: &str) -> Module {
    patchjit_text::parse(&source(name)).unwrap_or_else(|error| panic!("{name}.uop:{error}"))
}

/// Small programs that once went wrong, with what they promise now: by their names, in order.
///
/// # Panics
///
/// If one cannot be read or is not well formed.
pub fn once_failed() -> Vec<(String, Module)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("filetests/run");
    let entries = fs::read_dir(folder).expect("the directory of the programs");
    let mut programs: Vec<(String, Module)> = entries
        .map(|entry| {
            let path = entry.expect("an entry of the directory").path();
            let source = fs::read_to_string(&path).expect("a source in UTF-8");
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let module = patchjit_text::parse(&source);
            let module = module.unwrap_or_else(|error| panic!("{name}:{error}"));
            assert!(!module.promises.is_empty(), "{name} promises nothing");
            (name.into_owned(), module)
        })
        .collect();
    programs.sort_by(|a, b| a.0.cmp(&b.0));
    programs
}

/// A program optimized, with the names that it had.
///
/// # Errors
///
/// If it is not valid, or the result is not.
pub fn optimized(module: &Module, options: &Options) -> Result<(Module, Report), String> {
    let mut numbers = Vec::new();
    let program = numbered(&module.program(), &mut numbers);
    let mut words = vec![0; verify::workspace_words(&program)];
    let verified = verify::verify(program, &mut words).map_err(|error| error.to_string())?;
    let mut optimizer = Optimizer::new();
    let result = optimizer
        .run(&verified, options)
        .map_err(|error| format!("optimized: {error}"))?;
    let program = result.program();
    let module = module.derived(program, program.positions);
    Ok((module, *optimizer.report()))
}
