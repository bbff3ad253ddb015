//! RISC-V with 64 bits under the LP64D conventions.

mod prove;
mod source;

use crate::architecture::{Architecture, Code, Printed};
use crate::assembly;
use crate::bodies::{Bank, Body, FamilySource};
use crate::compile::Variant;
use crate::fold::Folded;
use crate::objects::Function;
use object::elf;
use patchjit::stencil::{Distances, MAX_OPERANDS, RegisterSet};
use prove::LANGUAGE;

/// x5, x6 and x9 to x26: those that operands may be in. x2 to x4 are the stack pointer and the platform's, x8 is C's frame
/// pointer, x27 the context.
const INTS: u32 = 0b11 << 5 | 0x3_ffff << 9;
/// x31: the core's scratch.
const SCRATCH_INT: u32 = 1 << 31;
const CONTEXT: u32 = 1 << 27;
/// f0 to f27.
const FLOATS: u32 = (1 << 28) - 1;
/// f31: the core's scratch.
const SCRATCH_FLOAT: u32 = 1 << 31;
/// x9, x18 to x27, f8, f9 and f18 to f27 are kept by C functions.
const PRESERVED_INTS: u32 = 1 << 9 | 0x3ff << 18;
const PRESERVED_FLOATS: u32 = 0b11 << 8 | 0x3ff << 18;
/// x1, x7, x28 to x30 and f28 to f30: any template may write them.
const TEMPLATES_INTS: u32 = 1 << 1 | 1 << 7 | 0b111 << 28;
const TEMPLATES_FLOATS: u32 = 0b111 << 28;

/// The architecture.
pub struct Riscv64;

impl Architecture for Riscv64 {
    fn target(&self) -> &'static str {
        "riscv64-lp64d"
    }

    fn constant(&self) -> &'static str {
        "RISCV64_LP64D"
    }

    fn title(&self) -> &'static str {
        "RISC-V, LP64D"
    }

    fn features(&self) -> &'static str {
        "RV64G (integers, multiplication, atomics, floats of both widths) under the LP64D conventions"
    }

    fn bodies(&self) -> &'static [&'static str] {
        &["riscv64.stencils"]
    }

    fn flags(&self) -> &'static [&'static str] {
        &[
            "--target=riscv64gc-unknown-none-elf",
            "-Ctarget-feature=-c,-relax",
            "-Copt-level=3",
            "-Cpanic=abort",
            "-Crelocation-model=static",
            "-Ccodegen-units=1",
            "-Awarnings",
            "--emit=obj",
        ]
    }

    fn distances(&self) -> Distances {
        Distances::Scattered
    }

    fn number_bits(&self) -> usize {
        5
    }

    fn varied_together(&self) -> usize {
        1
    }

    fn class(&self, name: &str) -> Option<(Bank, u32)> {
        Some(match name {
            "int" => (Bank::Int, INTS),
            "any" => (Bank::Int, INTS | SCRATCH_INT),
            "base" => (Bank::Int, INTS | SCRATCH_INT | CONTEXT),
            "float" => (Bank::Float, FLOATS),
            "anyf" => (Bank::Float, FLOATS | SCRATCH_FLOAT),
            _ => return None,
        })
    }

    fn int_number(&self, name: &str) -> Option<u8> {
        let number = name.strip_prefix('x')?.parse().ok();
        number.filter(|&number| number < 32)
    }

    fn group(&self, name: &str) -> Option<RegisterSet> {
        let ints = INTS | SCRATCH_INT | TEMPLATES_INTS;
        let (ints, floats) = match name {
            "all" => (ints, u32::MAX),
            "host" => (ints & !PRESERVED_INTS, !PRESERVED_FLOATS),
            _ => return None,
        };
        Some(RegisterSet(u64::from(ints) | u64::from(floats) << 32))
    }

    fn declarations(&self) -> String {
        "unsafe extern \"rust-preserve-none\" { fn CONT(); }\n".to_owned()
    }

    fn function(&self, family: &FamilySource, variant: &Variant, name: &str) -> String {
        source::function(family, variant, name)
    }

    fn can_name(&self, body: &Body, _: Bank, _: u8) -> bool {
        matches!(body, Body::Asm(_))
    }

    fn knows_relocation(&self, kind: u32, addend: i64) -> bool {
        let known = [elf::R_RISCV_BRANCH, elf::R_RISCV_JAL, elf::R_RISCV_CALL_PLT];
        known.contains(&kind) && addend == 0
    }

    fn lift(&self, function: &Function) -> Result<Code, String> {
        assembly::lift(function, 8)
    }

    fn take_immediate(&self, bytes: &mut [u8], variant: &Variant) -> Result<Option<u8>, String> {
        assembly::take_immediate(bytes, variant)
    }

    fn prove(
        &self,
        family: &FamilySource,
        template: &Folded,
        claimed: &[[u8; MAX_OPERANDS]],
    ) -> Result<RegisterSet, String> {
        assembly::prove(&LANGUAGE, family, template, claimed)
    }

    fn print(&self, bytes: &[u8]) -> Result<Vec<Printed>, String> {
        assembly::print(&LANGUAGE, bytes)
    }
}
