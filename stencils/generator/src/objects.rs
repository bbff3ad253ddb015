//! Reads object files: the bytes of each function and its relocations.

use crate::architecture::Architecture;
use object::{Object, ObjectSection, ObjectSymbol, RelocationTarget, SymbolKind};
use std::collections::HashMap;

/// What a relocation refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Symbol {
    /// The code that follows the stencil.
    Continuation,
    /// The stencil's jump target.
    Target,
}

/// 32 bits of code that lead to a symbol.
#[derive(Clone, Copy, Debug)]
pub struct Relocation {
    pub at: usize,
    pub symbol: Symbol,
}

/// A compiled function.
#[derive(Clone, Debug)]
pub struct Function {
    pub code: Vec<u8>,
    pub relocations: Vec<Relocation>,
}

/// Reads the functions `v<n>` of an object: n and the function.
pub fn read(
    architecture: &dyn Architecture,
    bytes: &[u8],
) -> Result<HashMap<usize, Function>, String> {
    let text = |error: object::Error| error.to_string();
    let file = object::File::parse(bytes).map_err(text)?;
    let mut functions = HashMap::new();
    for symbol in file.symbols() {
        if symbol.kind() != SymbolKind::Text || symbol.is_undefined() {
            continue;
        }
        let name = symbol.name().map_err(text)?;
        let Some(number) = name.strip_prefix('v').and_then(|n| n.parse().ok()) else {
            return Err(format!("the function `{name}` is not ours"));
        };
        let index = symbol
            .section_index()
            .ok_or("a function without a section")?;
        let section = file.section_by_index(index).map_err(text)?;
        if symbol.address() != 0 {
            return Err(format!(
                "`{name}` does not stand at the start of its section"
            ));
        }
        let mut relocations = Vec::new();
        for (at, relocation) in section.relocations() {
            let object::RelocationFlags::Elf { r_type } = relocation.flags() else {
                return Err(format!("`{name}`: not an ELF relocation"));
            };
            if !architecture.knows_relocation(r_type, relocation.addend()) {
                return Err(format!("`{name}`: unknown relocation {r_type}"));
            }
            let RelocationTarget::Symbol(target) = relocation.target() else {
                return Err(format!("`{name}`: a relocation without a symbol"));
            };
            let target = file.symbol_by_index(target).map_err(text)?;
            let symbol = match target.name().map_err(text)? {
                "CONT" => Symbol::Continuation,
                "TARGET" => Symbol::Target,
                other => return Err(format!("`{name}` refers to `{other}`")),
            };
            relocations.push(Relocation {
                at: at as usize,
                symbol,
            });
        }
        relocations.sort_by_key(|relocation| relocation.at);
        let code = section.data().map_err(text)?.to_vec();
        functions.insert(number, Function { code, relocations });
    }
    Ok(functions)
}
