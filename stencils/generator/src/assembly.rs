//! What architectures share whose bodies are assembly with every register by its name: how code is lifted, where its immediate
//! is, and the proof with a decoder that knows nothing of how it was made.
//!
//! A template's *pattern* is the text of its decoded instructions with every register that is an operand's replaced by the
//! operand. Each assignment that a template claims is rebuilt, decoded, printed and held against the pattern. From the pattern
//! follows what the code writes, and that no operand is read after the output has been written, in whose register it may be.

use crate::architecture::{Code, Printed};
use crate::bodies::{Bank, Body, FamilySource, Shape};
use crate::compile::Variant;
use crate::fold::{Folded, free_operands};
use crate::objects::{Function, Symbol};
use patchjit::stencil::{Immediate, MAX_OPERANDS, RegisterSet};

/// What the proof must know of an architecture's instructions, as its decoder prints them.
pub struct Language {
    /// The text of each instruction; an error if something is no instruction.
    pub decode: fn(&[u8]) -> Result<Vec<String>, String>,
    /// The bank of registers whose names are this letter and a number.
    pub bank: fn(char) -> Option<Bank>,
    /// How many of the registers at an instruction's head it writes, by its name; an error if that is not known.
    pub written: fn(&str) -> Result<usize, String>,
    /// Those that write part of their register, and so read it, too.
    pub keeping: &'static [&'static str],
    /// Those that write a register which is not in their text, and that register.
    pub calling: (&'static [&'static str], u8),
    /// The integer register that is always zero.
    pub zero: Option<u8>,
    /// How the stack pointer is called.
    pub stack: &'static str,
    /// The instruction that shifts by a scale, and how many registers it has then.
    pub scaling: (&'static str, usize),
    /// How the scale is printed, at its end.
    pub scaled: fn(u8) -> String,
    /// Registers that any template may write.
    pub own: RegisterSet,
}

/// The code of a function whose control falls out of its body into a jump of so many bytes, which the compiler adds.
pub fn lift(function: &Function, jump: usize) -> Result<Code, String> {
    let last = function.code.len().checked_sub(jump);
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

/// 16 bytes of code from a place on, zeros behind its end.
fn bits_at(bytes: &[u8], at: usize) -> u128 {
    let mut bits = [0; 16];
    for (to, from) in bits.iter_mut().zip(&bytes[at..]) {
        *to = *from;
    }
    u128::from_le_bytes(bits)
}

/// Finds the immediate in instructions, where it must stand exactly once, and zeroes it.
pub fn take_immediate(bytes: &mut [u8], variant: &Variant) -> Result<Option<u8>, String> {
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

/// Holds every assignment that a template claims against its pattern; gives what it clobbers.
pub fn prove(
    language: &Language,
    family: &FamilySource,
    template: &Folded,
    claimed: &[[u8; MAX_OPERANDS]],
) -> Result<RegisterSet, String> {
    let pattern = Pattern::new(language, family, template)?;
    for registers in claimed {
        pattern.hold(&template.rebuild(registers), registers)?;
    }
    pattern.clobbers(family, &family.shapes[template.shape])
}

/// The instructions of code, four bytes each.
pub fn print(language: &Language, bytes: &[u8]) -> Result<Vec<Printed>, String> {
    let print = |(number, text)| Printed {
        start: 4 * number,
        end: 4 * number + 4,
        text,
    };
    let texts = (language.decode)(bytes)?;
    Ok(texts.into_iter().enumerate().map(print).collect())
}

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
struct Pattern<'l> {
    language: &'l Language,
    instructions: Vec<Vec<Piece>>,
    scale: Option<usize>,
}

/// Cuts text into registers and what stands between them.
fn pieces(language: &Language, text: &str) -> Vec<Piece> {
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
            (Some(letter), Ok(number)) if (language.bank)(letter).is_some() => {
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

impl<'l> Pattern<'l> {
    /// Reads the pattern from code whose operands are all in registers of their own.
    fn new(
        language: &'l Language,
        family: &FamilySource,
        template: &Folded,
    ) -> Result<Pattern<'l>, String> {
        let bank_of = |letter| (language.bank)(letter).ok_or("a register of no bank");
        let shape = &family.shapes[template.shape];
        let free = free_operands(family, shape);
        let (Body::Asm(text) | Body::Rust(text)) = &shape.body;
        let named: Vec<(Bank, u8)> = pieces(language, text)
            .into_iter()
            .filter_map(|piece| match piece {
                Piece::Fixed(letter, number) => Some(((language.bank)(letter)?, number)),
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
        for text in (language.decode)(&seed.bytes)? {
            let mut pieces = pieces(language, &text);
            for piece in &mut pieces {
                let Piece::Fixed(letter, number) = *piece else {
                    continue;
                };
                let bank = bank_of(letter)?;
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
            language,
            instructions,
            scale,
        };
        pattern.find_scale(seed.registers)?;
        Ok(pattern)
    }

    /// Marks where the scale stands: at the end of the one instruction that shifts by it.
    fn find_scale(&mut self, seed: [u8; MAX_OPERANDS]) -> Result<(), String> {
        let Some(k) = self.scale else {
            return Ok(());
        };
        for pieces in &mut self.instructions {
            let (name, count) = self.language.scaling;
            let scales = matches!(pieces.first(), Some(Piece::Text(text)) if text.trim() == name);
            let registers = pieces
                .iter()
                .filter(|piece| !matches!(piece, Piece::Text(_)));
            if !scales || registers.count() != count {
                continue;
            }
            if let Some(Piece::Text(text)) = pieces.last()
                && *text == (self.language.scaled)(seed[k])
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
                Piece::Scale => {
                    text.push_str(&(self.language.scaled)(registers[self.scale.unwrap_or(0)]))
                }
            }
        }
        text
    }

    /// An error if code is not this pattern with these registers.
    fn hold(&self, bytes: &[u8], registers: &[u8; MAX_OPERANDS]) -> Result<(), String> {
        let found = (self.language.decode)(bytes)?;
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
    fn clobbers(&self, family: &FamilySource, shape: &Shape) -> Result<RegisterSet, String> {
        let language = self.language;
        let mut clobbers = RegisterSet(0);
        let mut has_written = false;
        for pieces in &self.instructions {
            let Some(Piece::Text(head)) = pieces.first() else {
                return Err("an instruction without a name".into());
            };
            let mnemonic = head.split_whitespace().next().unwrap_or_default();
            let count = (language.written)(mnemonic)?;
            let registers: Vec<&Piece> = pieces
                .iter()
                .filter(|piece| matches!(piece, Piece::Fixed(..) | Piece::Operand(..)))
                .collect();
            let all = pieces.iter().map(|piece| match piece {
                Piece::Text(text) => text.clone(),
                Piece::Fixed(letter, number) => format!("{letter}{number}"),
                _ => String::new(),
            });
            let mut all = all.flat_map(|text| {
                let words = text.split(|c: char| !c.is_ascii_alphanumeric());
                words.map(str::to_owned).collect::<Vec<_>>()
            });
            if all.any(|word| word == language.stack) && !family.uses_stack {
                return Err("uses the stack pointer".into());
            }
            let reads_first = language.keeping.contains(&mnemonic);
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
                    Piece::Fixed('x', number) if language.zero == Some(*number) => {}
                    Piece::Fixed(letter, number) => {
                        let is_int = (language.bank)(*letter) == Some(Bank::Int);
                        clobbers.0 |= 1 << (u32::from(*number) + if is_int { 0 } else { 32 });
                    }
                    _ => {}
                }
            }
            if language.calling.0.contains(&mnemonic) {
                clobbers.0 |= 1 << language.calling.1;
            }
        }
        let surprising = clobbers.0 & !(family.clobbers.0 | language.own.0);
        if surprising != 0 && !family.uses_stack {
            return Err(format!(
                "writes registers {surprising:#x} that it does not declare"
            ));
        }
        Ok(RegisterSet(clobbers.0 | family.clobbers.0))
    }
}
