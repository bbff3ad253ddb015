//! The text form of Patchjit programs: parser and printer.
