//! Code as text: bytes beside their disassembly, under the op or exit that they serve, each stencil with what it was filled with.
//!
//! ```text
//!           ; 9  next = i64.add i, one
//!     b3  4983c301               add r11, 1                       ; i64.add.Immediate out=r11 a=r11 #1
//! ```

use super::stencils::{Serves, StencilUse, family_name};
use super::{FunctionStages, register_text};
use crate::disassemble;
use patchjit::ir::{ExitKind, Program};
use patchjit::stencil::{OperandKind, StencilSet};
use std::fmt::Write as _;

/// Where the instruction ends and the stencil begins.
const INSTRUCTION: usize = 62;

/// Prints the code of a function. The code is the whole program's, the lines are those of its ops.
pub fn listing(
    stages: &FunctionStages,
    program: &Program<'_>,
    set: &StencilSet,
    name: &str,
    lines: &[String],
    code: &[u8],
) -> String {
    let mut text = String::new();
    let mut before = None;
    for stencil in &stages.stencils {
        if before != Some(stencil.serves) {
            heading(&mut text, stages, program, name, lines, stencil.serves);
            before = Some(stencil.serves);
        }
        let bytes = &code[stencil.at as usize..stencil.end() as usize];
        let printed = disassemble::of_target(set, bytes, u64::from(stencil.at));
        for (number, line) in printed.lines().enumerate() {
            let filled = match number {
                0 => stencil_text(stages, program, set, stencil, code),
                _ => String::new(),
            };
            let line = match filled.as_str() {
                "" => line.to_string(),
                filled => format!("{line:INSTRUCTION$} ; {filled}"),
            };
            let _ = writeln!(text, "{line}");
        }
    }
    let (data, end) = (stages.code.data, stages.code.faults);
    if data < end {
        let _ = writeln!(text, "; {name}: jump tables, {} bytes", end - data);
        text += &disassemble::words(&code[data as usize..end as usize], u64::from(data));
    }
    text
}

fn heading(
    text: &mut String,
    stages: &FunctionStages,
    program: &Program<'_>,
    name: &str,
    lines: &[String],
    serves: Serves,
) {
    let code = &stages.code;
    let _ = match serves {
        Serves::Entry => writeln!(text, "; {name}: entry, {} bytes", code.body - code.entry),
        Serves::Prologue => writeln!(text, "; {name}: body, {} bytes", code.data - code.body),
        Serves::Op(position) => {
            let op = stages.ops.get(position as usize).copied().unwrap_or(0);
            let line = lines.get(op as usize).map_or("", String::as_str);
            writeln!(text, "        ; {position}  {line}")
        }
        Serves::Stub(stub) => {
            let exit = stages.stubs.get(stub as usize);
            let exit = exit.and_then(|stub| program.exits.get(stub.exit as usize));
            match exit.map(|exit| (exit.kind, exit.number)) {
                Some((ExitKind::Deoptimize, number)) => writeln!(text, "        ; exit {number}"),
                Some((ExitKind::Trap, number)) => writeln!(text, "        ; trap {number}"),
                None => Ok(()),
            }
        }
        Serves::End => writeln!(text, "        ; not reached"),
    };
}

/// A stencil's family, its registers, its immediate, the offset that it leads to.
fn stencil_text(
    stages: &FunctionStages,
    program: &Program<'_>,
    set: &StencilSet,
    stencil: &StencilUse,
    code: &[u8],
) -> String {
    let op = match stencil.serves {
        Serves::Op(position) => stages.ops.get(position as usize),
        _ => None,
    };
    let op = op.and_then(|&op| Some(program.ops.get(op as usize)?.code));
    let mut text = family_name(set, stencil.family, op);
    let names = match stencil.family.has_output {
        true => ["out", "a", "b", "c"],
        false => ["a", "b", "c", "d"],
    };
    for (operand, name) in names.into_iter().enumerate() {
        let filled = match stencil.family.kinds[operand] {
            OperandKind::None => continue,
            OperandKind::Scale => format!("*{}", 1 << stencil.registers[operand]),
            OperandKind::Int => register_text(set, stencil.registers[operand]),
            OperandKind::Float => register_text(set, 32 + stencil.registers[operand]),
        };
        let _ = write!(text, " {name}={filled}");
    }
    if let Some(immediate) = stencil.immediate(code) {
        let _ = write!(text, " #{immediate}");
    }
    if let Some(target) = stencil.target(set, code) {
        let _ = write!(text, " ->{target:x}");
    }
    text
}
