//! Machine code as text, through `iced-x86` and `yaxpeax-arm`.

use iced_x86::{Decoder, DecoderOptions, Formatter, IntelFormatter};
use patchjit::stencil::{Distances, StencilSet};
use std::fmt::Write as _;
use yaxpeax_arch::{Arch, Decoder as _, U8Reader};
use yaxpeax_arm::armv8::a64::{ARMv8, Instruction, Operand};

/// An instruction as it is printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Printed {
    /// Its offset.
    pub at: u64,
    /// How many bytes it has.
    pub length: usize,
    /// The instruction. Branch targets are offsets as well.
    pub text: String,
}

/// The instructions of a target's code.
pub fn instructions(set: &StencilSet, code: &[u8], first_offset: u64) -> Vec<Printed> {
    match set.distances {
        Distances::Bytes32 => x86_64_instructions(code, first_offset),
        Distances::Fields => aarch64_instructions(code, first_offset),
    }
}

/// Where the first bytes stand in a target's code that are no instruction, if there are some.
pub fn undecodable(set: &StencilSet, code: &[u8]) -> Option<usize> {
    match set.distances {
        Distances::Bytes32 => {
            let mut decoder = Decoder::new(64, code, DecoderOptions::NONE);
            while decoder.can_decode() {
                let at = decoder.position();
                if decoder.decode().is_invalid() {
                    return Some(at);
                }
            }
            None
        }
        Distances::Fields => {
            let decoder = <ARMv8 as Arch>::Decoder::default();
            let words = code.chunks(4);
            let bad = |word: &[u8]| decoder.decode(&mut U8Reader::new(word)).is_err();
            words.into_iter().position(bad).map(|index| 4 * index)
        }
    }
}

fn aarch64_instructions(code: &[u8], first_offset: u64) -> Vec<Printed> {
    let decoder = <ARMv8 as Arch>::Decoder::default();
    let print = |(number, word): (u64, &[u8])| {
        let at = first_offset + 4 * number;
        let text = match decoder.decode(&mut U8Reader::new(word)) {
            Ok(instruction) => aarch64_text(&instruction, at),
            Err(_) => "(bad)".to_owned(),
        };
        Printed {
            at,
            length: word.len(),
            text,
        }
    };
    (0..).zip(code.chunks(4)).map(print).collect()
}

/// An instruction with its target as an offset, not as a distance.
fn aarch64_text(instruction: &Instruction, at: u64) -> String {
    let text = instruction.to_string();
    let target = instruction
        .operands
        .iter()
        .find_map(|operand| match operand {
            Operand::PCOffset(distance) => Some(at.wrapping_add_signed(*distance)),
            _ => None,
        });
    match (target, text.rfind('$')) {
        (Some(target), Some(start)) => format!("{}{target:#x}", &text[..start]),
        _ => text,
    }
}

/// The instructions of x86-64 code.
fn x86_64_instructions(code: &[u8], first_offset: u64) -> Vec<Printed> {
    let mut formatter = IntelFormatter::new();
    let options = formatter.options_mut();
    options.set_space_after_operand_separator(true);
    options.set_hex_prefix("0x");
    options.set_hex_suffix("");
    options.set_branch_leading_zeros(false);
    options.set_small_hex_numbers_in_decimal(true);
    options.set_signed_immediate_operands(true);
    options.set_rip_relative_addresses(true);
    let mut decoder = Decoder::with_ip(64, code, first_offset, DecoderOptions::NONE);
    let mut printed = Vec::new();
    while decoder.can_decode() {
        let start = decoder.position();
        let instruction = decoder.decode();
        let mut text = String::new();
        formatter.format(&instruction, &mut text);
        printed.push(Printed {
            at: instruction.ip(),
            length: decoder.position() - start,
            text,
        });
    }
    printed
}

/// Prints code of a target, one instruction a line: the offset, the bytes, the instruction.
pub fn of_target(set: &StencilSet, code: &[u8], first_offset: u64) -> String {
    let mut text = String::new();
    for instruction in instructions(set, code, first_offset) {
        let start = (instruction.at - first_offset) as usize;
        let bytes = hexadecimal(&code[start..start + instruction.length]);
        let _ = writeln!(
            text,
            "{:6x}  {bytes:<22} {}",
            instruction.at, instruction.text
        );
    }
    text
}

/// Bytes as two digits each.
pub fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Prints data, four bytes a line as a number, after the offset.
pub fn words(data: &[u8], first_offset: u64) -> String {
    let mut text = String::new();
    for (index, bytes) in data.chunks(4).enumerate() {
        let mut word = [0; 4];
        word[..bytes.len()].copy_from_slice(bytes);
        let offset = first_offset + 4 * index as u64;
        let _ = writeln!(text, "{offset:6x}  {:08x}", u32::from_le_bytes(word));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::of_target;
    use patchjit_stencils::{AARCH64_AAPCS, X86_64_SYSV};

    #[test]
    fn instructions_and_targets() {
        let text = of_target(&X86_64_SYSV, &[0x4d, 0x01, 0xe5, 0xeb, 0xfb, 0x06], 0x10);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "    10  4d01e5                 add r13, r12");
        assert_eq!(lines[1], "    13  ebfb                   jmp short 0x10");
        assert_eq!(lines[2], "    15  06                     (bad)");
        let code = [
            0x41, 0, 0x03, 0x8b, 0xff, 0xff, 0xff, 0x17, 0xff, 0xff, 0xff, 0xff,
        ];
        let text = of_target(&AARCH64_AAPCS, &code, 0x10);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "    10  4100038b               add x1, x2, x3");
        assert_eq!(lines[1], "    14  ffffff17               b 0x10");
        assert_eq!(lines[2], "    18  ffffffff               (bad)");
    }
}
