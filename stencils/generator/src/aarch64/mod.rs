//! AArch64 under AAPCS64.

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

/// x0 to x15 and x19 to x27: those that operands may be in. The platform has x18, compiled code x28 (the context); x29 is C's.
const INTS: u32 = 0xffff | 0x1ff << 19;
/// x16: the core's scratch.
const SCRATCH_INT: u32 = 1 << 16;
const CONTEXT: u32 = 1 << 28;
/// v0 to v29.
const FLOATS: u32 = (1 << 30) - 1;
/// v31: the core's scratch.
const SCRATCH_FLOAT: u32 = 1 << 31;
/// x19 to x27 and v8 to v15 are kept by C functions; of the latter the lower halves, and values have no more.
const PRESERVED_INTS: u32 = 0x1ff << 19;
const PRESERVED_FLOATS: u32 = 0xff << 8;
/// x17, x30 and v30: any template may write them.
const TEMPLATES_INTS: u32 = 1 << 17 | 1 << 30;
const TEMPLATES_FLOATS: u32 = 1 << 30;

/// The architecture.
pub struct Aarch64;

impl Architecture for Aarch64 {
    fn target(&self) -> &'static str {
        "aarch64-aapcs"
    }

    fn constant(&self) -> &'static str {
        "AARCH64_AAPCS"
    }

    fn title(&self) -> &'static str {
        "AArch64, AAPCS64"
    }

    fn features(&self) -> &'static str {
        "Armv8.0-A with floating point under the AAPCS64 conventions"
    }

    fn bodies(&self) -> &'static [&'static str] {
        &["aarch64.stencils"]
    }

    fn flags(&self) -> &'static [&'static str] {
        &[
            "--target=aarch64-unknown-none",
            "-Zfixed-x18",
            "-Copt-level=3",
            "-Cpanic=abort",
            "-Crelocation-model=static",
            "-Ccodegen-units=1",
            "-Cno-redzone=yes",
            "-Awarnings",
            "--emit=obj",
        ]
    }

    fn distances(&self) -> Distances {
        Distances::Fields
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
        number.filter(|&number| number < 31)
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
        let known = [
            elf::R_AARCH64_JUMP26,
            elf::R_AARCH64_CALL26,
            elf::R_AARCH64_CONDBR19,
            elf::R_AARCH64_ADR_PREL_LO21,
            elf::R_AARCH64_MOVW_PREL_G0,
        ];
        known.contains(&kind) && addend == 0
    }

    fn lift(&self, function: &Function) -> Result<Code, String> {
        assembly::lift(function, 4)
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
