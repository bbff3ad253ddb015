//! The functions that the compiler gets: families in, Rust out.
//!
//! As on AArch64 a body is one block of assembly with every register by its name. `.option exact` keeps the assembler from
//! choosing other instructions than those that are written: compressed ones, or a jump around a jump.

use crate::bodies::{Bank, Body, FamilySource};
use crate::compile::{Variant, operand_of, replace_placeholders};

/// The function of a variant.
pub fn function(family: &FamilySource, variant: &Variant, name: &str) -> String {
    let text = match &family.shapes[variant.shape].body {
        Body::Asm(text) => text,
        // The compiler says where.
        Body::Rust(text) => return format!("fn {name}() {{ a body of {text}, not assembly }}"),
    };
    let code = replace_placeholders(text, |name, _| {
        immediate(name, variant).unwrap_or_else(|| match operand_of(family, name) {
            Some((k, operand)) => match (operand.bank, variant.registers[k]) {
                (Bank::Int, number) => format!("x{number}"),
                (Bank::Float, number) => format!("f{number}"),
                (Bank::Scale, number) => number.to_string(),
            },
            None => format!("<{name}?>"),
        })
    });
    format!(
        "#[unsafe(no_mangle)] pub unsafe extern \"rust-preserve-none\" fn {name}() {{ unsafe {{ asm!(\".option exact; {code}\", options(nostack)); become CONT() }} }}"
    )
}

fn immediate(name: &str, variant: &Variant) -> Option<String> {
    let value = variant.value;
    let low = |bits: i64| bits << 52 >> 52;
    let high = |bits: i64| (bits + 0x800) >> 12 & 0xfffff;
    let upper = value.wrapping_sub(i64::from(value as i32)) >> 32;
    Some(match name {
        "imm" => value.to_string(),
        "neg" => value.wrapping_neg().to_string(),
        "byte" => (value as u8).to_string(),
        "hi" => high(i64::from(value as i32)).to_string(),
        "lo" => low(value).to_string(),
        "hi2" => high(upper).to_string(),
        "lo2" => low(upper).to_string(),
        "top" => (value >> 44 & 0xfffff).to_string(),
        // The other way round.
        "rest32" => ((32 - value) % 32).to_string(),
        "rest64" => ((64 - value) % 64).to_string(),
        _ => return None,
    })
}
