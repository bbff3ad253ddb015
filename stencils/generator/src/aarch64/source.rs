//! The functions that the compiler gets: families in, Rust out.
//!
//! A body is one block of assembly with every register by its name, so the function around it has no parameters, and all
//! registers pass through it.

use crate::bodies::{Bank, Body, FamilySource};
use crate::compile::{Variant, operand_of, replace_placeholders};
use patchjit::stencil::Immediate;

/// The function of a variant.
pub fn function(family: &FamilySource, variant: &Variant, name: &str) -> String {
    let text = match &family.shapes[variant.shape].body {
        Body::Asm(text) => text,
        // The compiler says where.
        Body::Rust(text) => return format!("fn {name}() {{ a body of {text}, not assembly }}"),
    };
    let code = replace_placeholders(text, |name, width| {
        immediate(name, width, variant).unwrap_or_else(|| match operand_of(family, name) {
            Some((k, operand)) => register(operand.bank, variant.registers[k], width),
            None => format!("<{name}?>"),
        })
    });
    format!(
        "#[unsafe(no_mangle)] pub unsafe extern \"rust-preserve-none\" fn {name}() {{ unsafe {{ asm!(\"{code}\", options(nostack)); become CONT() }} }}"
    )
}

fn immediate(name: &str, width: &str, variant: &Variant) -> Option<String> {
    let value = variant.value;
    let piece = |number: u32| value as u64 >> (16 * number) & 0xffff;
    Some(match name {
        "imm" if width == "u32" => (value as u32).to_string(),
        "imm" => value.to_string(),
        "imm0" => piece(0).to_string(),
        "imm1" => piece(1).to_string(),
        "imm2" => piece(2).to_string(),
        "imm3" => piece(3).to_string(),
        "immlo" => (value & 0xfff).to_string(),
        "immhi" => (value >> 12).to_string(),
        "neg" => value.wrapping_neg().to_string(),
        "not" => (!value).to_string(),
        "byte" => (value as u8).to_string(),
        // The other way round.
        "rol" if variant.kind == Immediate::RotationLeft32 => ((32 - value) % 32).to_string(),
        "rol" => ((64 - value) % 64).to_string(),
        _ => return None,
    })
}

fn register(bank: Bank, number: u8, width: &str) -> String {
    match (bank, width) {
        (Bank::Scale, _) => number.to_string(),
        (Bank::Int, "") => format!("x{number}"),
        (_, width) => format!("{width}{number}"),
    }
}
