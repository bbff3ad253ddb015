//! x86-64 under the System V conventions, and under those of Windows.

mod lift;
mod prove;
mod source;

use crate::architecture::{Architecture, Code, Printed};
use crate::bodies::{Bank, Body, FamilySource};
use crate::compile::Variant;
use crate::fold::Folded;
use crate::objects::Function;
use iced_x86::{Formatter, IntelFormatter};
use patchjit::stencil::{Distances, Immediate, MAX_OPERANDS, RegisterSet};

/// Names of the integer registers by number, for 64, 32, 16 and 8 bits.
pub const INT_NAMES: [[&str; 4]; 16] = [
    ["rax", "eax", "ax", "al"],
    ["rcx", "ecx", "cx", "cl"],
    ["rdx", "edx", "dx", "dl"],
    ["rbx", "ebx", "bx", "bl"],
    ["rsp", "esp", "sp", "spl"],
    ["rbp", "ebp", "bp", "bpl"],
    ["rsi", "esi", "si", "sil"],
    ["rdi", "edi", "di", "dil"],
    ["r8", "r8d", "r8w", "r8b"],
    ["r9", "r9d", "r9w", "r9b"],
    ["r10", "r10d", "r10w", "r10b"],
    ["r11", "r11d", "r11w", "r11b"],
    ["r12", "r12d", "r12w", "r12b"],
    ["r13", "r13d", "r13w", "r13b"],
    ["r14", "r14d", "r14w", "r14b"],
    ["r15", "r15d", "r15w", "r15b"],
];

/// The integer registers that may be allocated: all but rsp, rbp (the context) and r10 (the scratch).
const ALLOCATABLE_INTS: u32 = 0xffff & !(1 << 4 | 1 << 5 | 1 << 10);
/// The float registers that may be allocated: all but xmm15 (the scratch).
const ALLOCATABLE_FLOATS: u32 = 0x7fff;
const SCRATCH_INT: u32 = 1 << 10;
/// r12: as a base it takes a byte more, the one that says that there is no index.
const INDEX_ESCAPE: u32 = 1 << 12;
const CONTEXT: u32 = 1 << 5;

/// How C functions call each other.
enum Convention {
    SystemV,
    Windows,
}

use Convention::{SystemV, Windows};

impl Convention {
    /// What C functions keep of the registers that values may be in, integer and float registers: rbp is not among them,
    /// and no scratch register.
    fn preserved(&self) -> (u32, u32) {
        match self {
            // rbx, r12 to r15
            SystemV => (1 << 3 | 0xf << 12, 0),
            // rbx, rsi, rdi, r12 to r15; xmm6 to xmm14
            Windows => (1 << 3 | 1 << 6 | 1 << 7 | 0xf << 12, 0x7fc0),
        }
    }
}

/// The architecture, with the convention and the processors of a target.
pub struct X86_64 {
    target: &'static str,
    constant: &'static str,
    title: &'static str,
    features: &'static str,
    convention: Convention,
    bodies: &'static [&'static str],
}

/// For all processors that 64-bit systems ask for today.
pub const SYSV: X86_64 = X86_64 {
    target: "x86_64-sysv",
    constant: "X86_64_SYSV",
    title: "x86-64, System V",
    features: "x86-64 with SSE4.1 and POPCNT under the System V conventions",
    convention: SystemV,
    bodies: &["x86_64.stencils"],
};

/// For processors with some instructions more.
pub const SYSV_V3: X86_64 = X86_64 {
    target: "x86_64-sysv-v3",
    constant: "X86_64_SYSV_V3",
    title: "x86-64-v3, System V",
    features: "x86-64 with SSE4.1, POPCNT, LZCNT, BMI1 and BMI2 under the System V conventions",
    convention: SystemV,
    bodies: &["x86_64.stencils", "x86_64_v3.stencils"],
};

/// The same as the first for Windows.
pub const WINDOWS: X86_64 = X86_64 {
    target: "x86_64-windows",
    constant: "X86_64_WINDOWS",
    title: "x86-64, Windows",
    features: "x86-64 with SSE4.1 and POPCNT under the conventions of Windows",
    convention: Windows,
    bodies: &["x86_64.stencils", "x86_64_windows.stencils"],
};

impl Architecture for X86_64 {
    fn target(&self) -> &'static str {
        self.target
    }

    fn constant(&self) -> &'static str {
        self.constant
    }

    fn title(&self) -> &'static str {
        self.title
    }

    fn features(&self) -> &'static str {
        self.features
    }

    fn bodies(&self) -> &'static [&'static str] {
        self.bodies
    }

    fn flags(&self) -> &'static [&'static str] {
        &[
            "--target=x86_64-unknown-linux-gnu",
            "-Ctarget-cpu=x86-64-v2",
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
        Distances::Bytes32
    }

    fn number_bits(&self) -> usize {
        4
    }

    fn varied_together(&self) -> usize {
        2
    }

    fn class(&self, name: &str) -> Option<(Bank, u32)> {
        let base = ALLOCATABLE_INTS | SCRATCH_INT | CONTEXT;
        Some(match name {
            "int" => (Bank::Int, ALLOCATABLE_INTS),
            "any" => (Bank::Int, ALLOCATABLE_INTS | SCRATCH_INT),
            "base" => (Bank::Int, base),
            "alone" => (Bank::Int, base & !INDEX_ESCAPE),
            "float" => (Bank::Float, ALLOCATABLE_FLOATS),
            "anyf" => (Bank::Float, 0xffff),
            _ => return None,
        })
    }

    fn int_number(&self, name: &str) -> Option<u8> {
        let number = INT_NAMES.iter().position(|names| names[0] == name);
        number.map(|number| number as u8)
    }

    fn group(&self, name: &str) -> Option<RegisterSet> {
        let (kept_ints, kept_floats) = match name {
            "all" => (0, 0),
            "host" => self.convention.preserved(),
            _ => return None,
        };
        let ints = (ALLOCATABLE_INTS | SCRATCH_INT) & !kept_ints;
        let floats = 0xffff & !kept_floats;
        Some(RegisterSet(u64::from(ints) | u64::from(floats) << 32))
    }

    fn declarations(&self) -> String {
        source::declarations()
    }

    fn function(&self, family: &FamilySource, variant: &Variant, name: &str) -> String {
        source::function(family, variant, name)
    }

    fn can_name(&self, body: &Body, bank: Bank, register: u8) -> bool {
        source::can_name(body, bank, register)
    }

    fn knows_relocation(&self, kind: u32, addend: i64) -> bool {
        use object::elf::{R_X86_64_PC32, R_X86_64_PLT32};
        matches!(kind, R_X86_64_PC32 | R_X86_64_PLT32) && addend == -4
    }

    fn lift(&self, function: &Function) -> Result<Code, String> {
        lift::lift(function)
    }

    fn take_immediate(&self, bytes: &mut [u8], variant: &Variant) -> Result<Option<u8>, String> {
        let width = match variant.kind {
            Immediate::None => return Ok(None),
            Immediate::Signed8 => 1,
            Immediate::Signed32 | Immediate::Bits32 => 4,
            Immediate::Bits64 => 8,
            kind => return Err(format!("{kind:?} is no kind of immediate here")),
        };
        let wanted = &variant.value.to_le_bytes()[..width];
        let places: Vec<usize> = lift::constants(bytes)?
            .into_iter()
            .filter(|&(at, size)| size == width && bytes[at..at + width] == *wanted)
            .map(|(at, _)| at)
            .collect();
        let [at] = places[..] else {
            return Err(format!(
                "the immediate {:#x} at {places:?} in {bytes:02x?}",
                variant.value
            ));
        };
        bytes[at..at + width].fill(0);
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
            let code = template.rebuild(registers);
            if !pattern.holds(&code, registers) {
                return Err(format!(
                    "{registers:?} decodes to something else: {code:02x?}"
                ));
            }
        }
        pattern.clobbers(family)
    }

    fn print(&self, bytes: &[u8]) -> Result<Vec<Printed>, String> {
        let mut formatter = IntelFormatter::new();
        let options = formatter.options_mut();
        options.set_space_after_operand_separator(true);
        options.set_branch_leading_zeros(false);
        let instructions = lift::decode(bytes)?;
        let print = |instruction| {
            let mut text = String::new();
            formatter.format(instruction, &mut text);
            Printed {
                start: instruction.ip() as usize,
                end: instruction.next_ip() as usize,
                text,
            }
        };
        Ok(instructions.iter().map(print).collect())
    }
}
