//! What compiled code is to C and to linkers: the names of its functions, host functions, regions and tables.
//!
//! Takes a program and where its functions' code is; promises names that C allows, no two of them alike, the same
//! for the same program and prefix on every host. Costs one lookup per name.
//!
//! Exported names begin with the prefix, so that two objects can be linked together; host functions are named as the
//! program names them, so that objects can share them. A character that C does not allow becomes `_` with its number in
//! hexadecimal and another `_`: `@a.b` is `a_2e_b`. A name that is taken gets `_` behind it, as often as it takes: host
//! functions come first, then functions, each in the order of the program, then the tables and what only headers have.

use crate::module::Module;
use patchjit::compile::FunctionCode;
use patchjit::ops::Opcode;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

/// The names of a program for C, and what they stand for.
#[derive(Clone, Debug)]
pub struct Interface {
    /// What exported names begin with.
    pub prefix: String,
    /// The symbols that the linker must find elsewhere, in the order of the host functions.
    pub hosts: Vec<String>,
    /// In the order of the program.
    pub functions: Vec<FunctionInterface>,
    /// The table of host functions, for `Context::hosts`.
    pub host_table: String,
    /// The table of entry cells, for `Context::cells`, if the program calls through cells.
    pub cell_table: Option<String>,
    /// In a header: what binds the tables.
    pub bind: String,
    /// In a header: how many slots the program may name.
    pub slots: String,
    /// In a header: how much stack a call takes.
    pub frame_bytes: String,
    /// In the order of the program.
    pub regions: Vec<RegionInterface>,
}

/// A function of the program.
#[derive(Clone, Debug)]
pub struct FunctionInterface {
    /// The symbol of its entry. Its body has the same and `.body`, which is no name in C.
    pub symbol: String,
    /// Where its code is.
    pub code: FunctionCode,
    /// What its entry cell says.
    pub signature: u32,
}

/// A region of the program, which only headers name.
#[derive(Clone, Debug)]
pub struct RegionInterface {
    /// What binds it.
    pub bind: String,
    /// How many bytes it has.
    pub size: String,
}

impl Interface {
    /// Names everything. The functions' code is in the order of the program.
    pub fn new(module: &Module, functions: &[FunctionCode], prefix: &str) -> Interface {
        let program = module.program();
        let mut names = Names::default();
        let hosts = (0..program.hosts.len() as u32)
            .map(|host| names.take(identifier(&module.host_name(host))))
            .collect();
        let functions = functions
            .iter()
            .zip(program.functions)
            .enumerate()
            .map(|(index, (&code, function))| FunctionInterface {
                symbol: names.take(prefix.to_owned() + &identifier(&module.function_name(index))),
                code,
                signature: function.signature,
            })
            .collect();
        let through_cells = [Opcode::CallIndirect, Opcode::CallCell];
        let has_cells = program
            .ops
            .iter()
            .any(|op| through_cells.contains(&op.code));
        let mut own = |name: &str| names.take(format!("{prefix}{name}"));
        Interface {
            prefix: prefix.to_owned(),
            hosts,
            functions,
            host_table: own("hosts"),
            cell_table: has_cells.then(|| own("cells")),
            bind: own("bind"),
            slots: own("SLOTS"),
            frame_bytes: own("FRAME_BYTES"),
            regions: (0..program.regions.len() as u32)
                .map(|region| identifier(&module.region_name(region)))
                .map(|name| RegionInterface {
                    bind: own(&format!("bind_{name}")),
                    size: own(&format!("SIZE_{name}")),
                })
                .collect(),
        }
    }
}

/// The names that are taken.
#[derive(Default)]
struct Names(BTreeSet<String>);

impl Names {
    fn take(&mut self, mut name: String) -> String {
        while !self.0.insert(name.clone()) {
            name.push('_');
        }
        name
    }
}

/// A name of a program as an identifier of C.
fn identifier(name: &str) -> String {
    let mut identifier = String::new();
    for character in name.chars() {
        if character.is_ascii_alphanumeric() || character == '_' {
            identifier.push(character);
        } else {
            let _ = write!(identifier, "_{:x}_", u32::from(character));
        }
    }
    identifier
}

/// The prefix of a file's program unless one is asked for: the file's name without its ending and with `_` for what C does
/// not allow, and another `_`.
pub fn default_prefix(file: &Path) -> String {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let mut prefix = String::new();
    if stem.starts_with(|first: char| first.is_ascii_digit()) {
        prefix.push('_');
    }
    prefix.extend(stem.chars().map(|c| match c {
        c if c.is_ascii_alphanumeric() => c,
        _ => '_',
    }));
    prefix + "_"
}

/// The prefix that was asked for, if C allows names that begin with it.
///
/// # Errors
///
/// A message for people.
pub fn prefix(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if text.starts_with(|first: char| first.is_ascii_digit()) || !text.chars().all(allowed) {
        return Err("no name in C begins with it".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Interface, default_prefix, prefix};
    use crate::module::Module;
    use patchjit::compile::FunctionCode;
    use std::path::Path;

    #[test]
    fn no_two_names_are_alike() {
        let functions = ["x_a.b", "a.b", "a_2e_b", "hosts", "bind_r"];
        let mut source = "host @x_a_2e_b()\nhost @free()\nregion @r 8\n".to_owned();
        for name in functions {
            source += &format!("func @{name}() {{\nentry:\n    return\n}}\n");
        }
        let module = Module::parse("a.uop".to_owned(), &source).unwrap();
        let interface = Interface::new(&module, &[FunctionCode::default(); 5], "x_");
        assert_eq!(interface.hosts, ["x_a_2e_b", "free"]);
        let symbols = interface.functions.iter().map(|f| f.symbol.as_str());
        let symbols: Vec<_> = symbols.collect();
        assert_eq!(
            symbols,
            [
                "x_x_a_2e_b",
                "x_a_2e_b_",
                "x_a_2e_b__",
                "x_hosts",
                "x_bind_r"
            ]
        );
        assert_eq!(interface.host_table, "x_hosts_");
        assert_eq!(interface.cell_table, None);
        assert_eq!(interface.bind, "x_bind");
        assert_eq!(interface.regions[0].bind, "x_bind_r_");
        assert_eq!(interface.regions[0].size, "x_SIZE_r");
    }

    #[test]
    fn prefixes() {
        assert_eq!(default_prefix(Path::new("a/b-c.d.uop")), "b_c_d_");
        assert_eq!(default_prefix(Path::new("2nd.uop")), "_2nd_");
        assert_eq!(prefix("a_1"), Ok("a_1".to_owned()));
        assert_eq!(prefix(""), Ok(String::new()));
        assert!(prefix("1a").is_err() && prefix("a-b").is_err() && prefix("ä").is_err());
    }
}
