//! What the generator must know of an architecture: its bodies, its functions, its object code.

use crate::bodies::{Bank, Body, FamilySource};
use crate::compile::Variant;
use crate::fold::Folded;
use crate::objects::Function;
use patchjit::stencil::{Distances, MAX_OPERANDS, RegisterSet};

/// Code that is entered at its start and left at its end, or through its holes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    pub bytes: Vec<u8>,
    /// Where the 32-bit holes for the target begin.
    pub targets: Vec<u8>,
}

/// An instruction for the listing: where it begins and ends, and its text.
pub struct Printed {
    pub start: usize,
    pub end: usize,
    pub text: String,
}

/// An architecture, and the conventions of one target.
pub trait Architecture: Sync {
    /// The target's name, as the tables have it.
    fn target(&self) -> &'static str;
    /// What the table is called in Rust.
    fn constant(&self) -> &'static str;
    /// What it is, for its documentation.
    fn title(&self) -> &'static str;
    /// What its code needs of the processor, for its documentation.
    fn features(&self) -> &'static str;
    /// The files with the bodies; a family takes the place of one of the same name in a file before.
    fn bodies(&self) -> &'static [&'static str];
    /// The compiler's arguments; part of the digest.
    fn flags(&self) -> &'static [&'static str];
    /// How its code holds distances.
    fn distances(&self) -> Distances;
    /// The bits of a register's number.
    fn number_bits(&self) -> usize;
    /// Where more than two operands vary, how many of them are varied together.
    fn varied_together(&self) -> usize;

    /// The registers of a class of operands: the bank, and bit r for register r.
    fn class(&self, name: &str) -> Option<(Bank, u32)>;
    /// The number of an integer register.
    fn int_number(&self, name: &str) -> Option<u8>;
    /// Registers that are named together as clobbers: `all`, `host`.
    fn group(&self, name: &str) -> Option<RegisterSet>;

    /// Declarations in front of the functions of a crate.
    fn declarations(&self) -> String;
    /// The function of a variant.
    fn function(&self, family: &FamilySource, variant: &Variant, name: &str) -> String;
    /// Whether the compiler can be given this register for an operand of this body.
    fn can_name(&self, body: &Body, bank: Bank, register: u8) -> bool;

    /// Whether a relocation is one of those that bodies make.
    fn knows_relocation(&self, kind: u32, addend: i64) -> bool;
    /// The code of a compiled function, without what leads to the code that follows.
    fn lift(&self, function: &Function) -> Result<Code, String>;
    /// Finds the immediate in the code, where it must stand exactly once, and zeroes it.
    fn take_immediate(&self, bytes: &mut [u8], variant: &Variant) -> Result<Option<u8>, String>;
    /// Holds every assignment that a template claims against its decoded instructions; gives what they clobber.
    fn prove(
        &self,
        family: &FamilySource,
        template: &Folded,
        claimed: &[[u8; MAX_OPERANDS]],
    ) -> Result<RegisterSet, String>;
    /// The instructions of code, for the listing.
    fn print(&self, bytes: &[u8]) -> Result<Vec<Printed>, String>;
}
