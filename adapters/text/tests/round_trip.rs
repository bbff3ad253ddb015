//! What is printed reads back and prints the same.

use patchjit_text::{Module, parse, print};
use std::fs;
use std::path::{Path, PathBuf};

/// Every text program of the project that is meant to be read without an error.
fn sources() -> Vec<(PathBuf, String)> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests");
    let mut sources = Vec::new();
    for folder in ["programs", "filetests/print", "filetests/verify"] {
        let Ok(entries) = fs::read_dir(tests.join(folder)) else {
            continue;
        };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "uop") {
                let source = fs::read_to_string(&path).unwrap();
                sources.push((path, source));
            }
        }
    }
    assert!(sources.len() > 3, "the programs are gone");
    sources
}

fn read(path: &Path, source: &str) -> Module {
    parse(source).unwrap_or_else(|error| panic!("{}:{error}\n{source}", path.display()))
}

#[test]
fn with_names() {
    for (path, source) in sources() {
        let module = read(&path, &source);
        let printed = module.to_string();
        let again = read(&path, &printed);
        assert_eq!(printed, again.to_string(), "{}", path.display());
        assert_eq!(module.names, again.names, "{}", path.display());
        assert_eq!(module.ops, again.ops, "{}", path.display());
        assert_eq!(module.blocks, again.blocks, "{}", path.display());
        assert_eq!(module.functions, again.functions, "{}", path.display());
        assert_eq!(module.extra, again.extra, "{}", path.display());
        assert_eq!(module.exits, again.exits, "{}", path.display());
        assert_eq!(module.positions, again.positions, "{}", path.display());
        for region in 0..module.regions.len() as u32 {
            let (mut first, mut second) = ([0; 2048], [0; 2048]);
            module.fill_region(region, &mut first);
            again.fill_region(region, &mut second);
            assert_eq!(first, second, "{}", path.display());
        }
    }
}

#[test]
fn without_names() {
    for (path, source) in sources() {
        let module = read(&path, &source);
        let printed = print(&module.program(), None);
        let again = read(&path, &printed);
        let program = again.program();
        assert_eq!(printed, print(&program, None), "{}", path.display());
        assert_eq!(module.ops, again.ops, "{}", path.display());
    }
}
