//! Object files: compiled code with its symbols and tables, for linkers.
//!
//! Takes code that is in one piece, and what it is to C. Promises the same bytes on every host: the code as it was
//! compiled, in a section of its own that no relocation changes; and, read-only once it is linked, a table of the host
//! functions' addresses and one of the entry cells. Those addresses, absolute ones of 64 bits, are all that the linker
//! fills in. Costs one copy of the code.

use crate::interface::Interface;
use object::write::{
    MachOBuildVersion, Object, Relocation, StandardSection, Symbol, SymbolId, SymbolSection,
};
use object::{
    Architecture, BinaryFormat, Endianness, FileFlags, RelocationEncoding, RelocationFlags,
    RelocationKind, SectionKind, SymbolFlags, SymbolKind, SymbolScope, elf, macho,
};

/// An object file in ELF, Mach-O or COFF.
pub fn write(
    code: &[u8],
    interface: &Interface,
    format: BinaryFormat,
    architecture: Architecture,
) -> Result<Vec<u8>, String> {
    let mut object = Object::new(format, architecture, Endianness::Little);
    match format {
        // Without this section linkers take it that the object wants an executable stack.
        BinaryFormat::Elf => {
            object.add_section(vec![], b".note.GNU-stack".to_vec(), SectionKind::Other);
            if architecture == Architecture::Riscv64 {
                // Linkers ask how floats are passed.
                object.flags = FileFlags::Elf {
                    os_abi: elf::ELFOSABI_NONE,
                    abi_version: 0,
                    e_flags: elf::EF_RISCV_FLOAT_ABI_DOUBLE,
                };
            }
        }
        // Without this command Apple's linker guesses the platform, with a warning. The code asks for no version; this is
        // the first one on both architectures.
        BinaryFormat::MachO => {
            let mut version = MachOBuildVersion::default();
            version.platform = macho::PLATFORM_MACOS;
            version.minos = macho::Version::new(11, 0, 0);
            object.set_macho_build_version(version);
        }
        _ => {}
    }
    write_contents(&mut object, code, interface)
        .and_then(|()| object.write())
        .map_err(|error| format!("error: the object file cannot be written: {error}"))
}

fn write_contents(
    object: &mut Object<'_>,
    code: &[u8],
    interface: &Interface,
) -> object::write::Result<()> {
    let text = object.section_id(StandardSection::Text);
    object.append_section_data(text, code, 16);
    let mut bodies = Vec::new();
    for function in &interface.functions {
        let mut add = |name: String, start: u32, end: u32, scope| {
            object.add_symbol(Symbol {
                name: name.into_bytes(),
                value: u64::from(start),
                size: u64::from(end - start),
                kind: SymbolKind::Text,
                scope,
                weak: false,
                section: SymbolSection::Section(text),
                flags: SymbolFlags::None,
            })
        };
        let (symbol, at) = (&function.symbol, &function.code);
        add(symbol.clone(), at.entry, at.body, SymbolScope::Dynamic);
        // For cells, debuggers and profilers.
        let body = format!("{symbol}.body");
        bodies.push(add(body, at.body, at.end, SymbolScope::Compilation));
    }
    let hosts: Vec<_> = interface
        .hosts
        .iter()
        .map(|host| {
            let host = object.add_symbol(Symbol {
                name: host.clone().into_bytes(),
                value: 0,
                size: 0,
                kind: SymbolKind::Text,
                scope: SymbolScope::Dynamic,
                weak: false,
                section: SymbolSection::Undefined,
                flags: SymbolFlags::None,
            });
            [Word::Address(host)]
        })
        .collect();
    if !hosts.is_empty() {
        write_table(object, &interface.host_table, hosts.as_flattened())?;
    }
    if let Some(name) = &interface.cell_table {
        let cells: Vec<_> = bodies
            .into_iter()
            .zip(&interface.functions)
            .map(|(body, function)| {
                [
                    Word::Address(body),
                    Word::Number(u64::from(function.signature)),
                ]
            })
            .collect();
        write_table(object, name, cells.as_flattened())?;
    }
    Ok(())
}

/// A word of a table.
enum Word {
    Address(SymbolId),
    Number(u64),
}

/// Words behind a symbol of their own, in a section that is read-only once addresses are filled in.
fn write_table(object: &mut Object<'_>, name: &str, words: &[Word]) -> object::write::Result<()> {
    let section = object.section_id(StandardSection::ReadOnlyDataWithRel);
    let bytes: Vec<u8> = words
        .iter()
        .flat_map(|word| match *word {
            Word::Address(_) => [0; 8],
            Word::Number(number) => number.to_le_bytes(),
        })
        .collect();
    let start = object.append_section_data(section, &bytes, 8);
    object.add_symbol(Symbol {
        name: name.as_bytes().to_vec(),
        value: start,
        size: bytes.len() as u64,
        kind: SymbolKind::Data,
        scope: SymbolScope::Dynamic,
        weak: false,
        section: SymbolSection::Section(section),
        flags: SymbolFlags::None,
    });
    for (index, word) in words.iter().enumerate() {
        if let Word::Address(symbol) = *word {
            let relocation = Relocation {
                offset: start + 8 * index as u64,
                symbol,
                addend: 0,
                flags: RelocationFlags::Generic {
                    kind: RelocationKind::Absolute,
                    encoding: RelocationEncoding::Generic,
                    size: 64,
                },
            };
            object.add_relocation(section, relocation)?;
        }
    }
    Ok(())
}
