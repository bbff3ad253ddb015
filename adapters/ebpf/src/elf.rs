//! Programs out of ELF objects, as clang makes them for eBPF.
//!
//! Takes an object; gives, for one of its functions, the code of it and of all that it calls, in one piece, and the first contents of
//! two regions: one for what is only read and one for what is written. References to data become instructions that name
//! the region (constants of kind 2, which the kernel uses for the values of maps). Maps themselves are not known here. Allocates.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use object::{Object, ObjectSection, ObjectSymbol, SectionFlags, SectionIndex, SymbolKind, elf};

use crate::instruction::{Class, INSTRUCTION_BYTES, Instruction, call, jump};

/// An object that was read.
#[derive(Debug)]
pub struct Elf<'a> {
    file: object::File<'a>,
}

/// Where data goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    /// The region for what is only read.
    pub constants: u8,
    /// The region for what is written.
    pub variables: u8,
}

/// A program in one piece.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Linked {
    /// Its instructions, the function that was asked for first.
    pub code: Vec<u8>,
    /// What is only read.
    pub constants: Vec<u8>,
    /// What is written, as it is at first.
    pub variables: Vec<u8>,
}

/// Why an object gives no program.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ElfError {
    /// It is none, or a broken one.
    Object(String),
    /// It is for another machine.
    Machine,
    /// It has no function with this name.
    Function(String),
    /// A reference, at this offset of this section, cannot be resolved.
    Reference {
        /// The section's name.
        section: String,
        /// In bytes.
        offset: u64,
        /// What it refers to, and what is wrong with that.
        what: String,
    },
}

impl fmt::Display for ElfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ElfError::Object(error) => write!(f, "expected an ELF object: {error}"),
            ElfError::Machine => f.write_str("expected an object for eBPF, little-endian"),
            ElfError::Function(name) => write!(f, "there is no function {name}"),
            ElfError::Reference {
                section,
                offset,
                what,
            } => write!(f, "section {section}, offset {offset}: {what}"),
        }
    }
}

impl core::error::Error for ElfError {}

impl From<object::Error> for ElfError {
    fn from(error: object::Error) -> ElfError {
        ElfError::Object(error.to_string())
    }
}

/// A function of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ElfFunction<'a> {
    /// Its name.
    pub name: &'a str,
    /// The name of its section, by which loaders tell what kind of program it is.
    pub section: &'a str,
}

/// A function by its place: its section, and where it begins there.
type FunctionPlace = (SectionIndex, u64);

impl<'a> Elf<'a> {
    /// Reads an object.
    ///
    /// # Errors
    ///
    /// If it is none, or not one for eBPF.
    pub fn parse(bytes: &'a [u8]) -> Result<Elf<'a>, ElfError> {
        let file = object::File::parse(bytes)?;
        if file.architecture() != object::Architecture::Bpf || !file.is_little_endian() {
            return Err(ElfError::Machine);
        }
        Ok(Elf { file })
    }

    /// Its global functions, which are programs.
    pub fn functions(&self) -> impl Iterator<Item = ElfFunction<'_>> {
        self.file.symbols().filter_map(|symbol| {
            let section = self.file.section_by_index(symbol.section_index()?).ok()?;
            let is_program = symbol.kind() == SymbolKind::Text && symbol.is_global();
            Some(ElfFunction {
                name: symbol.name().ok().filter(|_| is_program)?,
                section: section.name().ok()?,
            })
        })
    }

    /// The program that begins with this function.
    ///
    /// # Errors
    ///
    /// If there is none, or something that it refers to is not in the object.
    pub fn link(&self, name: &str, places: Places) -> Result<Linked, ElfError> {
        let mut symbols = self.file.symbols();
        let entry = symbols.find(|symbol| {
            symbol.kind() == SymbolKind::Text && symbol.name() == Ok(name) && symbol.is_definition()
        });
        let missing = || ElfError::Function(name.to_string());
        let entry = entry.ok_or_else(missing)?;
        let section = entry.section_index().ok_or_else(missing)?;
        let mut linker = Linker {
            elf: self,
            places,
            linked: Linked::default(),
            data: Vec::new(),
            functions: [(section, entry.address())].into(),
            starts: Vec::new(),
            calls: Vec::new(),
        };
        linker.lay_out_data()?;
        // Functions are found while others are taken in.
        while let Some(&place) = linker.functions.get(linker.starts.len()) {
            linker.take(place)?;
        }
        linker.finish()
    }
}

struct Linker<'e, 'a> {
    elf: &'e Elf<'a>,
    places: Places,
    linked: Linked,
    /// Where sections of data begin: the section, the region, the offset in it.
    data: Vec<(SectionIndex, u8, u64)>,
    /// The functions of the program, and where those that were taken in begin.
    functions: Vec<FunctionPlace>,
    starts: Vec<usize>,
    /// Calls: where they are, in bytes of the code, and which function they call.
    calls: Vec<(usize, usize)>,
}

impl Linker<'_, '_> {
    /// Puts the sections of data one behind the other.
    fn lay_out_data(&mut self) -> Result<(), ElfError> {
        for section in self.elf.file.sections() {
            let SectionFlags::Elf { sh_flags, .. } = section.flags() else {
                continue;
            };
            let has = |flag: elf::SectionFlags| sh_flags.0 & flag.0 != 0;
            let is_data = has(elf::SHF_ALLOC) && !has(elf::SHF_EXECINSTR);
            if !is_data || section.name() == Ok(".maps") {
                continue;
            }
            let (region, contents) = match has(elf::SHF_WRITE) {
                true => (self.places.variables, &mut self.linked.variables),
                false => (self.places.constants, &mut self.linked.constants),
            };
            let align = usize::try_from(section.align()).unwrap_or(1).clamp(1, 4096);
            contents.resize(contents.len().next_multiple_of(align), 0);
            let start = contents.len();
            contents.extend_from_slice(section.data()?);
            // What is zero at first has no bytes in the object.
            let size = usize::try_from(section.size()).unwrap_or(usize::MAX);
            if size > crate::MAX_REGION_BYTES as usize {
                return Err(ElfError::Object("a section is too large".to_string()));
            }
            contents.resize(start + size, 0);
            self.data.push((section.index(), region, start as u64));
        }
        Ok(())
    }

    /// Takes in a function, and notes what it calls.
    fn take(&mut self, place: FunctionPlace) -> Result<(), ElfError> {
        let (section, address) = place;
        let section = self.elf.file.section_by_index(section)?;
        let name = section.name()?;
        let fault = |offset: u64, what: String| ElfError::Reference {
            section: name.to_string(),
            offset,
            what,
        };
        let mut symbols = self.elf.file.symbols();
        let symbol = symbols.find(|symbol| {
            symbol.section_index() == Some(place.0)
                && symbol.address() == address
                && symbol.kind() == SymbolKind::Text
        });
        let size = symbol.map_or(0, |symbol| symbol.size());
        let range = usize::try_from(address)
            .ok()
            .zip(usize::try_from(size).ok());
        let bytes = range.and_then(|(start, size)| section.data().ok()?.get(start..)?.get(..size));
        let bytes = bytes.filter(|bytes| !bytes.is_empty());
        let bytes = bytes.ok_or_else(|| fault(address, "there is no function here".to_string()))?;
        let start = self.linked.code.len();
        self.starts.push(start);
        self.linked.code.extend_from_slice(bytes);
        let end = address + size;
        let mut resolved = Vec::new();
        for (offset, relocation) in section.relocations() {
            if !(address..end).contains(&offset) {
                continue;
            }
            let target = match relocation.target() {
                object::RelocationTarget::Symbol(index) => self.elf.file.symbol_by_index(index)?,
                _ => return Err(fault(offset, "refers to nothing".to_string())),
            };
            let named = target.name().unwrap_or_default();
            let Some(index) = target.section_index() else {
                return Err(fault(
                    offset,
                    alloc::format!("{named} is not in the object"),
                ));
            };
            let at = start + (offset - address) as usize;
            let Some(instruction) = self.instruction(at) else {
                return Err(fault(offset, "is not an instruction".to_string()));
            };
            if instruction.is_wide() {
                let data = self.data.iter().find(|(section, ..)| *section == index);
                let Some(&(_, region, begin)) = data else {
                    let what = "is neither a constant nor a variable";
                    return Err(fault(offset, alloc::format!("{named} {what}")));
                };
                let low = i64::from(instruction.immediate);
                let to = (begin + target.address()).wrapping_add_signed(low);
                self.set_data_address(at, region, to);
            } else {
                let called = target
                    .address()
                    .wrapping_add_signed((i64::from(instruction.immediate) + 1) * 8);
                resolved.push((at, (index, called)));
            }
        }
        // Calls within a section need no relocation.
        for at in (start..self.linked.code.len()).step_by(INSTRUCTION_BYTES) {
            let Some(instruction) = self.instruction(at) else {
                break;
            };
            let is_call = instruction.class() == Class::Jump
                && instruction.code() == jump::CALL
                && instruction.source == call::LOCAL;
            if is_call && !resolved.iter().any(|(known, _)| *known == at) {
                let next = address + (at - start) as u64 + 8;
                let called = next.wrapping_add_signed(i64::from(instruction.immediate) * 8);
                resolved.push((at, (place.0, called)));
            }
        }
        for (at, place) in resolved {
            let known = self.functions.iter().position(|other| *other == place);
            let function = known.unwrap_or_else(|| {
                self.functions.push(place);
                self.functions.len() - 1
            });
            self.calls.push((at, function));
        }
        Ok(())
    }

    fn instruction(&self, at: usize) -> Option<Instruction> {
        let bytes = self.linked.code.get(at..at + INSTRUCTION_BYTES)?;
        Some(Instruction::from_bytes(bytes.try_into().ok()?))
    }

    /// Makes a constant the address of a place in a region.
    fn set_data_address(&mut self, at: usize, region: u8, offset: u64) {
        let Some(bytes) = self.linked.code.get_mut(at..at + 2 * INSTRUCTION_BYTES) else {
            return;
        };
        bytes[1] = bytes[1] & 15 | 2 << 4;
        bytes[4..8].copy_from_slice(&i32::from(region).to_le_bytes());
        bytes[12..16].copy_from_slice(&(offset as u32).to_le_bytes());
    }

    /// Lets calls lead to where functions are.
    fn finish(mut self) -> Result<Linked, ElfError> {
        for &(at, function) in &self.calls {
            let target = self.starts.get(function).copied().unwrap_or(at);
            let distance = (target as i64 - at as i64) / INSTRUCTION_BYTES as i64 - 1;
            if let Some(bytes) = self.linked.code.get_mut(at..at + INSTRUCTION_BYTES) {
                bytes[4..8].copy_from_slice(&(distance as i32).to_le_bytes());
            }
        }
        Ok(self.linked)
    }
}
