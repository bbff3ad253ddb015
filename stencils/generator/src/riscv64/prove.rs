//! RISC-V as `riscv-isa` prints it, with what it leaves out, for the proof.

use super::{TEMPLATES_FLOATS, TEMPLATES_INTS};
use crate::assembly::Language;
use crate::bodies::Bank;
use patchjit::stencil::RegisterSet;
use riscv_isa::{Instruction, Target, Xlen, decode_full};

pub const LANGUAGE: Language = Language {
    decode,
    bank,
    written,
    keeping: &[],
    calling: (&[], 0),
    zero: Some(0),
    stack: "x2",
    scaling: ("slli", 2),
    scaled,
    own: RegisterSet(TEMPLATES_INTS as u64 | (TEMPLATES_FLOATS as u64) << 32),
};

/// Decodes code and prints its instructions; an error if something is no instruction.
fn decode(bytes: &[u8]) -> Result<Vec<String>, String> {
    let target = Target {
        xlen: Xlen::Rv64,
        m: true,
        a: true,
        f: true,
        d: true,
        ..Target::default()
    };
    let decoded = bytes.chunks(4).map(|word| {
        let bytes = word.try_into().map_err(|_| "half an instruction")?;
        match decode_full(u32::from_le_bytes(bytes), &target) {
            Instruction::UNIMP => Err(format!("no instruction: {word:02x?}")),
            instruction => Ok(format!("{instruction}{}", left_out(&instruction))),
        }
    });
    decoded.collect()
}

/// The rounding mode and the ordering of an instruction, which are not printed. The fields have names.
fn left_out(instruction: &Instruction) -> String {
    let fields = format!("{instruction:?}");
    let named = ["rm: ", "rl: ", "aq: "].into_iter().filter_map(|name| {
        let (_, value) = fields.split_once(name)?;
        let digits = value.chars().take_while(char::is_ascii_digit);
        Some(format!(" {name}{}", digits.collect::<String>()))
    });
    named.collect()
}

fn bank(letter: char) -> Option<Bank> {
    Some(match letter {
        'x' => Bank::Int,
        'f' => Bank::Float,
        _ => return None,
    })
}

/// How many of the registers at an instruction's head it writes: what has a result has it first.
fn written(mnemonic: &str) -> Result<usize, String> {
    Ok(match mnemonic {
        "sb" | "sh" | "sw" | "sd" | "fsw" | "fsd" | "beq" | "bne" | "blt" | "bge" | "bltu"
        | "bgeu" | "fence" | "ebreak" => 0,
        _ => 1,
    })
}

/// How the end of a shift is printed that shifts by the scale.
fn scaled(scale: u8) -> String {
    format!(", {scale}")
}
