//! The host functions that programs call: imports, and what works on whole memories and tables.
//!
//! A program declares only those that it calls. What is constant, as the index of an import or of a table, is an argument, so that one
//! function serves every use.

use patchjit::types::Type;

/// A host function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Host {
    /// Calls an import of this type: its index, then its arguments.
    Import(u32),
    /// Calls a function of another instance, of this type: the reference, then the arguments.
    Foreign(u32),
    GlobalGet,
    GlobalSet,
    MemoryGrow,
    MemoryFill,
    MemoryCopy,
    MemoryInit,
    DataDrop,
    TableSet,
    TableGrow,
    TableFill,
    TableCopy,
    TableInit,
    ElementDrop,
}

impl Host {
    /// A name for listings.
    pub fn name(self) -> String {
        let name = match self {
            Host::Import(ty) => return format!("import{ty}"),
            Host::Foreign(ty) => return format!("foreign{ty}"),
            Host::GlobalGet => "global.get",
            Host::GlobalSet => "global.set",
            Host::MemoryGrow => "memory.grow",
            Host::MemoryFill => "memory.fill",
            Host::MemoryCopy => "memory.copy",
            Host::MemoryInit => "memory.init",
            Host::DataDrop => "data.drop",
            Host::TableSet => "table.set",
            Host::TableGrow => "table.grow",
            Host::TableFill => "table.fill",
            Host::TableCopy => "table.copy",
            Host::TableInit => "table.init",
            Host::ElementDrop => "elem.drop",
        };
        name.to_owned()
    }

    /// The types of the parameters and results of one that is no call.
    pub fn signature(self) -> (&'static [Type], &'static [Type]) {
        use Type::{I32, I64};
        match self {
            Host::Import(_) | Host::Foreign(_) => (&[], &[]),
            // The global; its bits.
            Host::GlobalGet => (&[I32], &[I64]),
            Host::GlobalSet => (&[I32, I64], &[]),
            // Pages; pages before.
            Host::MemoryGrow => (&[I32], &[I32]),
            // Where, what, how many bytes.
            Host::MemoryFill => (&[I32, I32, I32], &[]),
            // Where to, where from, how many bytes.
            Host::MemoryCopy => (&[I32, I32, I32], &[]),
            // The segment, then the same.
            Host::MemoryInit => (&[I32, I32, I32, I32], &[]),
            Host::DataDrop | Host::ElementDrop => (&[I32], &[]),
            // The table, the index, the reference.
            Host::TableSet => (&[I32, I32, I64], &[]),
            // The table, the reference, how many; the length before.
            Host::TableGrow => (&[I32, I64, I32], &[I32]),
            // The table, where, the reference, how many.
            Host::TableFill => (&[I32, I32, I64, I32], &[]),
            // The tables, where to, where from, how many.
            Host::TableCopy => (&[I32, I32, I32, I32, I32], &[]),
            // The segment, the table, where to, where from, how many.
            Host::TableInit => (&[I32, I32, I32, I32, I32], &[]),
        }
    }
}
