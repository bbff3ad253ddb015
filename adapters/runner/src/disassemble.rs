//! Machine code as text, through `iced-x86`, `yaxpeax-arm` and `riscv-isa`.

use iced_x86::{Decoder, DecoderOptions, Formatter, IntelFormatter};
use patchjit::stencil::{Distances, StencilSet};
use riscv_isa::{Target, Xlen, decode_full};
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
        Distances::Scattered => riscv64_instructions(code, first_offset),
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
        Distances::Scattered => {
            let mut words = code.chunks(4);
            let bad = |word: &[u8]| riscv64_instruction(word).is_none();
            words.position(bad).map(|index| 4 * index)
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

fn riscv64_instructions(code: &[u8], first_offset: u64) -> Vec<Printed> {
    let print = |(number, word): (u64, &[u8])| {
        let at = first_offset + 4 * number;
        let text = riscv64_instruction(word).map(|instruction| riscv64_text(&instruction, at));
        Printed {
            at,
            length: word.len(),
            text: text.unwrap_or_else(|| "(bad)".to_owned()),
        }
    };
    (0..).zip(code.chunks(4)).map(print).collect()
}

/// An instruction of RV64G, if it is one.
fn riscv64_instruction(word: &[u8]) -> Option<riscv_isa::Instruction> {
    let target = Target {
        xlen: Xlen::Rv64,
        m: true,
        a: true,
        f: true,
        d: true,
        ..Target::default()
    };
    let instruction = decode_full(u32::from_le_bytes(word.try_into().ok()?), &target);
    (instruction != riscv_isa::Instruction::UNIMP).then_some(instruction)
}

/// An instruction with its target as an offset, not as a distance, and with its ordering and rounding mode.
fn riscv64_text(instruction: &riscv_isa::Instruction, at: u64) -> String {
    // Its fields have names; what is printed of it leaves some out.
    let fields = format!("{instruction:?}");
    let field = |name: &str| -> Option<i64> {
        let (_, value) = fields.split_once(name)?;
        value.split([',', ' ']).next()?.parse().ok()
    };
    let text = instruction.to_string();
    let (name, operands) = text.split_once(' ').unwrap_or((&text, ""));
    if let (true, Some(distance)) = (instruction.branch(), field("offset: "))
        && name != "jalr"
    {
        let start = operands.rfind(' ').map_or(0, |space| space + 1);
        let target = at.wrapping_add_signed(distance);
        return format!("{name} {}{target:#x}", &operands[..start]);
    }
    let ordering = match (field("aq: "), field("rl: ")) {
        (Some(1), Some(1)) => ".aqrl",
        (Some(1), _) => ".aq",
        (_, Some(1)) => ".rl",
        _ => "",
    };
    let rounding = match field("rm: ") {
        Some(0) => ", rne",
        Some(1) => ", rtz",
        Some(2) => ", rdn",
        Some(3) => ", rup",
        Some(4) => ", rmm",
        _ => "",
    };
    match operands {
        "" => text,
        operands => format!("{name}{ordering} {operands}{rounding}"),
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
    use patchjit_stencils::{AARCH64_AAPCS, RISCV64_LP64D, X86_64_SYSV};

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
        let code: [u32; 5] = [
            0x0062_9463,
            0xff9f_f06f,
            0x1603_32af,
            0xc222_9e53,
            0xffff_ffff,
        ];
        let text = of_target(&RISCV64_LP64D, &code.map(u32::to_le_bytes).concat(), 0x10);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "    10  63946200               bne x5, x6, 0x18");
        assert_eq!(lines[1], "    14  6ff09fff               jal x0, 0xc");
        assert_eq!(
            lines[2],
            "    18  af320316               lr.d.aqrl x5, (x6)"
        );
        assert_eq!(
            lines[3],
            "    1c  539e22c2               fcvt.l.d x28, f5, rtz"
        );
        assert_eq!(lines[4], "    20  ffffffff               (bad)");
    }
}
