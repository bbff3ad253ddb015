//! The text form of Patchjit programs: parser and printer.
//!
//! [`parse`] reads a `.uop` source into a [`Module`], which owns the records of a program and what the
//! text says beside them: names, initial contents of regions, and promises. Printing a module gives the
//! canonical form of its source; [`print()`] does the same for any program. `core/IR.md` describes the grammar.
//!
//! Reading takes time linear in the source, does not recurse, and gives an error for whatever is not well formed;
//! whether the program is valid, `patchjit::verify` says.

mod body;
mod cursor;
mod lexer;
mod module;
mod parser;
mod printer;

pub use module::{Contents, Form, Module, Names, Outcome, Place, Promise};
pub use parser::parse;
pub use printer::{OpTexts, print, print_literal, print_ops, print_promise};

use std::fmt;

/// What is wrong with a source, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The line, counted from 1.
    pub line: u32,
    /// The column in characters, counted from 1.
    pub column: u32,
    /// What was expected and what was found instead.
    pub message: String,
}

impl Error {
    pub(crate) fn new(line: u32, column: u32, message: impl Into<String>) -> Error {
        Error {
            line,
            column,
            message: message.into(),
        }
    }
}

/// `LINE:COLUMN: error: MESSAGE`; the file's name and a colon go before it.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: error: {}", self.line, self.column, self.message)
    }
}

impl std::error::Error for Error {}
