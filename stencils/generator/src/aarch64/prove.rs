//! AArch64 as `yaxpeax-arm` prints it, for the proof.

use super::{TEMPLATES_FLOATS, TEMPLATES_INTS};
use crate::assembly::Language;
use crate::bodies::Bank;
use patchjit::stencil::RegisterSet;
use yaxpeax_arch::{Arch, Decoder, U8Reader};
use yaxpeax_arm::armv8::a64::ARMv8;

pub const LANGUAGE: Language = Language {
    decode,
    bank,
    written,
    keeping: &["movk", "bit", "bif", "bsl"],
    calling: (&["bl", "blr"], 30),
    zero: None,
    stack: "sp",
    scaling: ("add", 3),
    scaled,
    own: RegisterSet(TEMPLATES_INTS as u64 | (TEMPLATES_FLOATS as u64) << 32),
};

/// Decodes code and prints its instructions; an error if something is no instruction.
fn decode(bytes: &[u8]) -> Result<Vec<String>, String> {
    let decoder = <ARMv8 as Arch>::Decoder::default();
    bytes
        .chunks(4)
        .map(|word| {
            let decoded = decoder.decode(&mut U8Reader::new(word));
            decoded
                .map(|instruction| instruction.to_string())
                .map_err(|error| format!("no instruction: {word:02x?}: {error}"))
        })
        .collect()
}

fn bank(letter: char) -> Option<Bank> {
    Some(match letter {
        'x' | 'w' => Bank::Int,
        'v' | 'q' | 'd' | 's' | 'h' | 'b' => Bank::Float,
        _ => return None,
    })
}

/// How many of the registers at an instruction's head it writes.
fn written(mnemonic: &str) -> Result<usize, String> {
    Ok(match mnemonic {
        "b" | "bl" | "br" | "blr" | "ret" | "cbz" | "cbnz" | "bti" | "brk" | "dmb" | "clrex"
        | "str" | "strb" | "strh" | "stur" | "sturb" | "sturh" | "stp" | "stlr" | "stlrb"
        | "stlrh" | "cmp" | "cmn" | "tst" | "fcmp" | "hint" => 0,
        _ if mnemonic.starts_with("b.") => 0,
        "ldp" => 2,
        "add" | "adds" | "sub" | "subs" | "mul" | "smull" | "umull" | "smulh" | "umulh"
        | "sdiv" | "udiv" | "msub" | "neg" | "and" | "ands" | "orr" | "eor" | "lsl" | "lsr"
        | "asr" | "ror" | "extr" | "ubfm" | "ubfx" | "ubfiz" | "sbfm" | "sbfx" | "sbfiz"
        | "uxtb" | "uxth" | "mov" | "movz" | "movn" | "movk" | "clz" | "rbit" | "rev" | "rev16"
        | "rev32" | "sxtb" | "sxth" | "sxtw" | "cset" | "csel" | "adr" | "ldr" | "ldrb"
        | "ldrh" | "ldrsb" | "ldrsh" | "ldrsw" | "ldur" | "ldurb" | "ldurh" | "ldursb"
        | "ldursh" | "ldursw" | "ldar" | "ldarb" | "ldarh" | "ldaxr" | "ldaxrb" | "ldaxrh"
        | "stlxr" | "stlxrb" | "stlxrh" | "fmov" | "movi" | "fneg" | "fabs" | "fadd" | "fsub"
        | "fmul" | "fdiv" | "fmin" | "fmax" | "fsqrt" | "frintn" | "frintm" | "frintp"
        | "frintz" | "fcsel" | "fcvt" | "fcvtzs" | "fcvtzu" | "scvtf" | "ucvtf" | "bit" | "bif"
        | "bsl" | "cnt" | "addv" => 1,
        _ => return Err(format!("`{mnemonic}`: which registers does it write?")),
    })
}

/// How the end of an addition is printed that shifts by the scale.
fn scaled(scale: u8) -> String {
    match scale {
        0 => String::new(),
        scale => format!(", lsl #{scale}"),
    }
}
