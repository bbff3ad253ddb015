//! The functions that the compiler gets: families in, Rust out.
//!
//! The parameters of a function are the registers that the calling convention passes through, by position; so an assignment
//! is the choice of the variables that a body names. Registers which no parameter can have are written by name in
//! assembly.

use super::INT_NAMES;
use crate::bodies::{Bank, Body, FamilySource};
use crate::compile::{Variant, operand_of, replace_placeholders};
use std::fmt::Write;

/// The integer registers of parameters in `rust-preserve-none` functions, in order.
pub const INT_PARAMETERS: [u8; 12] = [12, 13, 14, 15, 7, 6, 2, 1, 8, 9, 11, 0];
/// How many float parameters there are: xmm0 and up.
pub const FLOAT_PARAMETERS: u8 = 8;

/// Whether the compiler can be given this register for an operand of this body.
pub fn can_name(body: &Body, bank: Bank, register: u8) -> bool {
    match (body, bank) {
        (Body::Asm(_), _) | (_, Bank::Scale) => true,
        (Body::Rust(_), Bank::Int) => INT_PARAMETERS.contains(&register),
        (Body::Rust(_), Bank::Float) => register < FLOAT_PARAMETERS,
    }
}

fn variable(bank: Bank, register: u8) -> Option<String> {
    match bank {
        Bank::Int => INT_PARAMETERS
            .iter()
            .position(|&r| r == register)
            .map(|index| format!("r{index}")),
        Bank::Float => (register < FLOAT_PARAMETERS).then(|| format!("f{register}")),
        Bank::Scale => None,
    }
}

fn register_name(bank: Bank, register: u8, width: &str) -> String {
    match bank {
        Bank::Int => {
            let column = match width {
                "e" => 1,
                "x" => 2,
                "l" => 3,
                _ => 0,
            };
            INT_NAMES[register as usize][column].to_owned()
        }
        Bank::Float => format!("xmm{register}"),
        Bank::Scale => (1 << register).to_string(),
    }
}

fn mnemonic(instruction: &str) -> &str {
    instruction.split_whitespace().next().unwrap_or_default()
}

/// The statement of an assembly body.
fn asm_statement(family: &FamilySource, variant: &Variant, text: &str) -> String {
    let registers = &variant.registers;
    // A register that is a fixed operand too is written by its name everywhere.
    let is_literal = |k: usize| {
        let bank = family.operands[k].bank;
        let register = registers[k];
        variable(bank, register).is_none()
            || family
                .operands
                .iter()
                .enumerate()
                .any(|(j, other)| other.fixed && other.bank == bank && registers[j] == register)
    };
    let mut code = Vec::new();
    for instruction in text.split(';') {
        let mut instruction = instruction.trim();
        let mut label = "";
        if let Some((head, tail)) = instruction.split_once(':')
            && head.chars().all(|c| c.is_ascii_digit())
        {
            label = head;
            instruction = tail.trim();
        }
        let mut has_operand = false;
        let mut line = replace_placeholders(instruction, |name, width| {
            if name == "imm" {
                return variant.value.to_string();
            }
            let Some((k, operand)) = operand_of(family, name) else {
                return format!("<{name}?>");
            };
            if operand.bank != Bank::Scale {
                has_operand = true;
            }
            if operand.bank == Bank::Scale || is_literal(k) {
                return register_name(operand.bank, registers[k], width);
            }
            let binding = variable(operand.bank, registers[k]).unwrap_or_default();
            match width {
                "" | "r" => format!("{{{binding}}}"),
                width => format!("{{{binding}:{width}}}"),
            }
        });
        // Instructions with a VEX prefix have four bits for every register as they are.
        let has_vex = ["shlx", "sarx", "shrx", "rorx"].contains(&mnemonic(instruction));
        if has_operand && !has_vex {
            // Behind a lock prefix, which the assembler takes as an instruction of its own.
            line = match line.strip_prefix("lock ") {
                Some(line) => format!("lock; {{{{rex}}}} {line}"),
                None => format!("{{{{rex}}}} {line}"),
            };
        }
        if !label.is_empty() {
            line = format!("{label}: {line}");
        }
        code.push(line);
    }
    let mut bindings = String::new();
    let mut bound: Vec<(Bank, u8)> = Vec::new();
    for (k, operand) in family.operands.iter().enumerate() {
        let place = (operand.bank, registers[k]);
        if operand.bank == Bank::Scale || bound.contains(&place) {
            continue;
        }
        bound.push(place);
        let users: Vec<usize> = (0..family.operands.len())
            .filter(|&j| (family.operands[j].bank, registers[j]) == place)
            .collect();
        let written = family.has_output && users.contains(&0)
            || operand.bank == Bank::Int && family.clobbers.0 >> registers[k] & 1 == 1;
        let read = users.iter().any(|&j| j != 0 || !family.has_output);
        let Some(variable) = variable(operand.bank, registers[k]) else {
            // What is written by name only: the compiler is told of those that it knows as its own.
            let name = register_name(operand.bank, registers[k], "");
            if name != "rbx" && name != "rbp" {
                let _ = write!(bindings, ", out(\"{name}\") _");
            }
            continue;
        };
        let direction = match (read, written) {
            (true, true) => "inout",
            (true, false) => "in",
            (false, _) => "out",
        };
        if is_literal(k) {
            let name = register_name(operand.bank, registers[k], "");
            let _ = write!(bindings, ", {direction}(\"{name}\") {variable}");
        } else {
            let class = if operand.bank == Bank::Int {
                "reg"
            } else {
                "xmm_reg"
            };
            let _ = write!(bindings, ", {variable} = {direction}({class}) {variable}");
        }
    }
    // Fixed registers that are neither operands nor parameters of the code that follows.
    let machine = family.uses_stack;
    for register in 0..16u8 {
        if family.clobbers.0 >> register & 1 == 0
            || bound.contains(&(Bank::Int, register))
            || machine
        {
            continue;
        }
        if let Some(variable) = variable(Bank::Int, register) {
            let name = register_name(Bank::Int, register, "");
            let _ = write!(bindings, ", lateout(\"{name}\") {variable}");
        }
    }
    for (name, bank, register) in [("r10", Bank::Int, 10u8), ("xmm15", Bank::Float, 15)] {
        if text.contains(name) && !bound.contains(&(bank, register)) {
            let _ = write!(bindings, ", out(\"{name}\") _");
        }
    }
    format!("asm!(\"{}\"{bindings}, options(nostack));", code.join("; "))
}

/// The statement of a Rust body.
fn rust_statement(family: &FamilySource, variant: &Variant, text: &str) -> String {
    replace_placeholders(text, |name, _| match name {
        "imm" => format!("{:#x}u64", variant.value as u64),
        "target" => format!("become TARGET({})", arguments()),
        _ => operand_of(family, name)
            .and_then(|(k, operand)| variable(operand.bank, variant.registers[k]))
            .unwrap_or_else(|| format!("<{name}?>")),
    })
}

fn parameters(mutable: &str) -> String {
    let ints = (0..INT_PARAMETERS.len()).map(|i| format!("{mutable}r{i}: u64"));
    let floats = (0..FLOAT_PARAMETERS).map(|i| format!("{mutable}f{i}: f64"));
    ints.chain(floats).collect::<Vec<_>>().join(", ")
}

fn arguments() -> String {
    let ints = (0..INT_PARAMETERS.len()).map(|i| format!("r{i}"));
    let floats = (0..FLOAT_PARAMETERS).map(|i| format!("f{i}"));
    ints.chain(floats).collect::<Vec<_>>().join(", ")
}

/// The declarations in front of the functions.
pub fn declarations() -> String {
    format!(
        "unsafe extern \"rust-preserve-none\" {{ fn CONT({0}); fn TARGET({0}); }}\n",
        parameters("")
    )
}

/// The function of a variant.
pub fn function(family: &FamilySource, variant: &Variant, name: &str) -> String {
    let statement = match &family.shapes[variant.shape].body {
        Body::Asm(body) => asm_statement(family, variant, body),
        Body::Rust(body) => rust_statement(family, variant, body),
    };
    format!(
        "#[unsafe(no_mangle)] pub unsafe extern \"rust-preserve-none\" fn {name}({}) {{ unsafe {{ {statement} become CONT({}) }} }}",
        parameters("mut "),
        arguments()
    )
}
