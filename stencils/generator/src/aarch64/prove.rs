//! Proves templates with a decoder that knows nothing of how they were made.
//!
//! A template's *pattern* is the text of its decoded instructions with every register that is an operand's replaced by the
//! operand. Each assignment that a template claims is rebuilt, decoded, printed and held against the pattern. From the pattern
//! follows what the code writes, and that no operand is read after the output has been written, in whose register it may be.

use super::{TEMPLATES_FLOATS, TEMPLATES_INTS};
use crate::bodies::{Bank, Body, FamilySource, Shape};
use crate::fold::{Folded, free_operands};
use patchjit::stencil::{MAX_OPERANDS, RegisterSet};
use yaxpeax_arch::{Arch, Decoder, U8Reader};
use yaxpeax_arm::armv8::a64::ARMv8;

/// A piece of an instruction's text.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// A register of the code's own: the letter of its name, its number.
    Fixed(char, u8),
    /// An operand's register, by the letter of its name.
    Operand(char, usize),
    /// What stands for the scale.
    Scale,
}

/// A template's instructions over operands.
pub struct Pattern {
    instructions: Vec<Vec<Piece>>,
    scale: Option<usize>,
}

/// Decodes code and prints its instructions; an error if something is no instruction.
pub fn decode(bytes: &[u8]) -> Result<Vec<String>, String> {
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

/// Cuts text into registers and what stands between them.
fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut between = String::new();
    let mut word = String::new();
    for c in text.chars().chain(['\n']) {
        if c.is_ascii_alphanumeric() {
            word.push(c);
            continue;
        }
        let (letter, number) = word.split_at(word.len().min(1));
        match (letter.chars().next(), number.parse::<u8>()) {
            (Some(letter @ ('x' | 'w' | 'v' | 'q' | 'd' | 's' | 'h' | 'b')), Ok(number)) => {
                pieces.push(Piece::Text(std::mem::take(&mut between)));
                pieces.push(Piece::Fixed(letter, number));
            }
            _ => between.push_str(&word),
        }
        word.clear();
        between.push(c);
    }
    pieces.push(Piece::Text(between.trim_end().to_owned()));
    pieces
}

fn bank_of(letter: char) -> Bank {
    match letter {
        'x' | 'w' => Bank::Int,
        _ => Bank::Float,
    }
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

impl Pattern {
    /// Reads the pattern from code whose operands are all in registers of their own.
    pub fn new(family: &FamilySource, template: &Folded) -> Result<Pattern, String> {
        let shape = &family.shapes[template.shape];
        let free = free_operands(family, shape);
        let (Body::Asm(text) | Body::Rust(text)) = &shape.body;
        let named: Vec<(Bank, u8)> = pieces(text)
            .into_iter()
            .filter_map(|piece| match piece {
                Piece::Fixed(letter, number) => Some((bank_of(letter), number)),
                _ => None,
            })
            .collect();
        let is_clear = |registers: &[u8; MAX_OPERANDS]| {
            free.iter().enumerate().all(|(index, &k)| {
                let bank = family.operands[k].bank;
                let apart = free[..index]
                    .iter()
                    .all(|&j| family.operands[j].bank != bank || registers[j] != registers[k]);
                apart && !named.contains(&(bank, registers[k]))
            })
        };
        let seed = template
            .members
            .iter()
            .find(|member| is_clear(&member.registers))
            .ok_or("no variant with registers apart")?;
        let scale = family
            .operands
            .iter()
            .position(|operand| operand.bank == Bank::Scale)
            .filter(|_| shape.given.is_none());
        let mut found = 0u8;
        let mut instructions = Vec::new();
        for text in decode(&seed.bytes)? {
            let mut pieces = pieces(&text);
            for piece in &mut pieces {
                let Piece::Fixed(letter, number) = *piece else {
                    continue;
                };
                let bank = bank_of(letter);
                let operand = free
                    .iter()
                    .copied()
                    .find(|&k| family.operands[k].bank == bank && seed.registers[k] == number);
                if let Some(k) = operand {
                    found |= 1 << k;
                    *piece = Piece::Operand(letter, k);
                }
            }
            instructions.push(pieces);
        }
        for &k in &free {
            if family.operands[k].bank != Bank::Scale && found >> k & 1 == 0 {
                return Err(format!(
                    "operand {} does not occur",
                    family.operands[k].name
                ));
            }
        }
        let mut pattern = Pattern {
            instructions,
            scale,
        };
        pattern.find_scale(seed.registers)?;
        Ok(pattern)
    }

    /// Marks where the scale stands: at the end of the one addition that shifts.
    fn find_scale(&mut self, seed: [u8; MAX_OPERANDS]) -> Result<(), String> {
        let Some(k) = self.scale else {
            return Ok(());
        };
        for pieces in &mut self.instructions {
            let adds = matches!(pieces.first(), Some(Piece::Text(text)) if text.trim() == "add");
            let registers = pieces
                .iter()
                .filter(|piece| !matches!(piece, Piece::Text(_)));
            if !adds || registers.count() != 3 {
                continue;
            }
            if let Some(Piece::Text(text)) = pieces.last()
                && *text == shifted(seed[k])
            {
                pieces.pop();
                pieces.push(Piece::Scale);
                return Ok(());
            }
        }
        Err("the scale does not occur".into())
    }

    /// The text that the code must have with these registers.
    fn text(&self, pieces: &[Piece], registers: &[u8; MAX_OPERANDS]) -> String {
        let mut text = String::new();
        for piece in pieces {
            match piece {
                Piece::Text(part) => text.push_str(part),
                Piece::Fixed(letter, number) => text.push_str(&format!("{letter}{number}")),
                Piece::Operand(letter, k) => text.push_str(&format!("{letter}{}", registers[*k])),
                Piece::Scale => text.push_str(&shifted(registers[self.scale.unwrap_or(0)])),
            }
        }
        text
    }

    /// An error if code is not this pattern with these registers.
    pub fn hold(&self, bytes: &[u8], registers: &[u8; MAX_OPERANDS]) -> Result<(), String> {
        let found = decode(bytes)?;
        let wanted: Vec<String> = self
            .instructions
            .iter()
            .map(|pieces| self.text(pieces, registers))
            .collect();
        if found == wanted {
            Ok(())
        } else {
            Err(format!(
                "{registers:?} decodes to {found:?}, not {wanted:?}"
            ))
        }
    }

    /// What the instructions write besides the output; an error where they must not, or read an operand too late.
    pub fn clobbers(&self, family: &FamilySource, shape: &Shape) -> Result<RegisterSet, String> {
        let mut clobbers = RegisterSet(0);
        let mut has_written = false;
        for pieces in &self.instructions {
            let Some(Piece::Text(head)) = pieces.first() else {
                return Err("an instruction without a name".into());
            };
            let mnemonic = head.split_whitespace().next().unwrap_or_default();
            let count = written(mnemonic)?;
            let registers: Vec<&Piece> = pieces
                .iter()
                .filter(|piece| matches!(piece, Piece::Fixed(..) | Piece::Operand(..)))
                .collect();
            let all = pieces.iter().map(|piece| match piece {
                Piece::Text(text) => text.as_str(),
                _ => "",
            });
            if all.collect::<String>().contains("sp") && !family.uses_stack {
                return Err("uses the stack pointer".into());
            }
            // An instruction that writes part of a register reads it, too.
            let reads_first = matches!(mnemonic, "movk" | "bit" | "bif" | "bsl");
            let first_read = if reads_first { 0 } else { count };
            for piece in &registers[first_read.min(registers.len())..] {
                let Piece::Operand(_, k) = piece else {
                    continue;
                };
                let apart = (family.distinct | shape.unequal) >> k & 1 == 1;
                let other_bank = family.operands[*k].bank != family.operands[0].bank;
                if has_written && *k != 0 && !apart && !other_bank {
                    return Err(format!(
                        "reads its operand {} after it has written the output",
                        family.operands[*k].name
                    ));
                }
            }
            for piece in registers.iter().take(count) {
                match piece {
                    Piece::Operand(_, 0) if family.has_output => has_written = true,
                    Piece::Operand(_, k) => {
                        return Err(format!("writes its operand {}", family.operands[*k].name));
                    }
                    Piece::Fixed(letter, number) => {
                        let shift = if bank_of(*letter) == Bank::Int { 0 } else { 32 };
                        clobbers.0 |= 1 << (u32::from(*number) + shift);
                    }
                    _ => {}
                }
            }
            if matches!(mnemonic, "bl" | "blr") {
                clobbers.0 |= 1 << 30;
            }
        }
        let own = u64::from(TEMPLATES_INTS) | u64::from(TEMPLATES_FLOATS) << 32;
        let surprising = clobbers.0 & !(family.clobbers.0 | own);
        if surprising != 0 && !family.uses_stack {
            return Err(format!(
                "writes registers {surprising:#x} that it does not declare"
            ));
        }
        Ok(RegisterSet(clobbers.0 | family.clobbers.0))
    }
}

/// How the decoder prints the end of an addition that shifts by the scale.
fn shifted(scale: u8) -> String {
    match scale {
        0 => String::new(),
        scale => format!(", lsl #{scale}"),
    }
}
