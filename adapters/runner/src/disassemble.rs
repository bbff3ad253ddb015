//! Machine code as text, through `iced-x86`.

use iced_x86::{Decoder, DecoderOptions, Formatter, IntelFormatter};
use patchjit::stencil::StencilSet;
use std::fmt::Write as _;

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

/// The instructions of x86-64 code.
pub fn x86_64_instructions(code: &[u8], first_offset: u64) -> Vec<Printed> {
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

/// Prints x86-64 code, one instruction a line: the offset, the bytes, the instruction.
pub fn x86_64(code: &[u8], first_offset: u64) -> String {
    let mut text = String::new();
    for instruction in x86_64_instructions(code, first_offset) {
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

/// Prints code of a target: instructions where they are known, else words.
pub fn of_target(set: &StencilSet, code: &[u8], first_offset: u64) -> String {
    if set.target.starts_with("x86_64") {
        x86_64(code, first_offset)
    } else {
        words(code, first_offset)
    }
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
    #[test]
    fn instructions_and_targets() {
        let text = super::x86_64(&[0x4d, 0x01, 0xe5, 0xeb, 0xfb, 0x06], 0x10);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "    10  4d01e5                 add r13, r12");
        assert_eq!(lines[1], "    13  ebfb                   jmp short 0x10");
        assert_eq!(lines[2], "    15  06                     (bad)");
    }
}
