//! A large module out of a small one: its functions over and over, each copy calling itself.
//!
//! Takes a module without imported functions; gives one with as many copies of its code. What is exported is the first copy, so it
//! means what the module meant. Linear time.

use std::convert::Infallible;
use wasm_encoder::reencode::{self, Error, Reencode};
use wasm_encoder::{CodeSection, FunctionSection, Module};
use wasmparser::{CodeSectionReader, FunctionSectionReader, Parser};

struct Copies {
    copies: u32,
    /// How many functions a copy has.
    functions: u32,
    /// Which copy is written. Exports, elements and the start stand before the code, so they name the first one's functions.
    copy: u32,
}

impl Reencode for Copies {
    type Error = Infallible;

    fn function_index(&mut self, function: u32) -> Result<u32, Error<Infallible>> {
        Ok(function + self.copy * self.functions)
    }

    fn parse_function_section(
        &mut self,
        section: &mut FunctionSection,
        reader: FunctionSectionReader<'_>,
    ) -> Result<(), Error<Infallible>> {
        self.functions = reader.count();
        for _ in 0..self.copies {
            reencode::utils::parse_function_section(self, section, reader.clone())?;
        }
        Ok(())
    }

    fn parse_code_section(
        &mut self,
        section: &mut CodeSection,
        reader: CodeSectionReader<'_>,
    ) -> Result<(), Error<Infallible>> {
        for copy in 0..self.copies {
            self.copy = copy;
            reencode::utils::parse_code_section(self, section, reader.clone())?;
        }
        Ok(())
    }
}

/// So many copies of a module's functions in one module.
///
/// # Errors
///
/// What the reader says of bytes that are no module.
pub fn copies(bytes: &[u8], copies: u32) -> Result<Vec<u8>, String> {
    let mut module = Module::new();
    let mut writer = Copies {
        copies,
        functions: 0,
        copy: 0,
    };
    let written = writer.parse_core_module(&mut module, Parser::new(0), bytes);
    written.map_err(|error| error.to_string())?;
    Ok(module.finish())
}
