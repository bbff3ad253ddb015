//! Object files: compiled code with a symbol for each function.

use object::write::{Object, Symbol, SymbolSection};
use object::{Architecture, BinaryFormat, Endianness, SymbolFlags, SymbolKind, SymbolScope};

/// A function in the code.
#[derive(Clone, Debug)]
pub struct FunctionSymbol {
    /// Its name.
    pub name: String,
    /// Where it begins.
    pub offset: u64,
    /// How many bytes it has.
    pub length: u64,
}

/// An ELF object file whose `.text` is the code.
pub fn write(
    code: &[u8],
    architecture: Architecture,
    functions: &[FunctionSymbol],
) -> Result<Vec<u8>, String> {
    let mut object = Object::new(BinaryFormat::Elf, architecture, Endianness::Little);
    let text = object.section_id(object::write::StandardSection::Text);
    object.append_section_data(text, code, 16);
    for function in functions {
        object.add_symbol(Symbol {
            name: function.name.clone().into_bytes(),
            value: function.offset,
            size: function.length,
            kind: SymbolKind::Text,
            scope: SymbolScope::Linkage,
            weak: false,
            section: SymbolSection::Section(text),
            flags: SymbolFlags::None,
        });
    }
    object
        .write()
        .map_err(|error| format!("the object file cannot be written: {error}"))
}

#[cfg(test)]
mod tests {
    use super::{FunctionSymbol, write};

    #[test]
    fn an_elf_file_with_its_names() {
        let functions = [FunctionSymbol {
            name: "seven".into(),
            offset: 0,
            length: 1,
        }];
        let file = write(&[0xc3], object::Architecture::X86_64, &functions).unwrap();
        assert_eq!(&file[..4], b"\x7fELF");
        assert!(file.windows(6).any(|window| window == b"seven\0"));
    }
}
