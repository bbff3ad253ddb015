//! AArch64 under AAPCS64.

mod prove;
mod source;

use crate::architecture::{Architecture, Code, Printed};
use crate::bodies::{Bank, Body, FamilySource};
use crate::compile::Variant;
use crate::fold::Folded;
use crate::objects::{Function, Symbol};
use object::elf;
use patchjit::stencil::{Distances, Immediate, MAX_OPERANDS, RegisterSet};

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

/// 16 bytes of code from a place on, zeros behind its end.
fn bits_at(bytes: &[u8], at: usize) -> u128 {
    let mut bits = [0; 16];
    for (to, from) in bits.iter_mut().zip(&bytes[at..]) {
        *to = *from;
    }
    u128::from_le_bytes(bits)
}

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
        ];
        known.contains(&kind) && addend == 0
    }

    /// Bodies are assembly, which control falls out of: what follows is the jump that the compiler adds.
    fn lift(&self, function: &Function) -> Result<Code, String> {
        let last = function.code.len().checked_sub(4);
        let mut targets = Vec::new();
        let mut ends = false;
        for relocation in &function.relocations {
            match relocation.symbol {
                Symbol::Continuation if Some(relocation.at) == last => ends = true,
                Symbol::Continuation => return Err("control leaves in the middle".into()),
                Symbol::Target => targets.push(relocation.at as u8),
            }
        }
        match last {
            Some(last) if ends => Ok(Code {
                bytes: function.code[..last].to_vec(),
                targets,
            }),
            _ => Err("a function that does not go on".into()),
        }
    }

    fn take_immediate(&self, bytes: &mut [u8], variant: &Variant) -> Result<Option<u8>, String> {
        if variant.kind == Immediate::None {
            return Ok(None);
        }
        let field = variant.kind.field();
        let wanted = variant.kind.encode(variant.value);
        let wanted = wanted.ok_or_else(|| format!("{:?} is no kind here", variant.kind))?;
        let places: Vec<usize> = (0..bytes.len())
            .step_by(4)
            .filter(|&at| bits_at(bytes, at) & field == wanted)
            .collect();
        let [at] = places[..] else {
            return Err(format!(
                "the immediate {:#x} at {places:?} in {bytes:02x?}",
                variant.value
            ));
        };
        let cleared = (bits_at(bytes, at) & !field).to_le_bytes();
        for (to, from) in bytes[at..].iter_mut().zip(cleared) {
            *to = from;
        }
        Ok(Some(at as u8))
    }

    fn prove(
        &self,
        family: &FamilySource,
        template: &Folded,
        claimed: &[[u8; MAX_OPERANDS]],
    ) -> Result<RegisterSet, String> {
        let pattern = prove::Pattern::new(family, template)?;
        for registers in claimed {
            pattern.hold(&template.rebuild(registers), registers)?;
        }
        pattern.clobbers(family, &family.shapes[template.shape])
    }

    fn print(&self, bytes: &[u8]) -> Result<Vec<Printed>, String> {
        let texts = prove::decode(bytes)?;
        let print = |(number, text)| Printed {
            start: 4 * number,
            end: 4 * number + 4,
            text,
        };
        Ok(texts.into_iter().enumerate().map(print).collect())
    }
}
