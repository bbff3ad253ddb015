//! From records to text.
//!
//! Prints any program, valid or not, without a panic: what an index does not lead to is printed as `?` and the
//! index. The text of a valid program can be read back, and prints the same again. One pass, linear time.

use crate::module::{Contents, Form, Module, Names, Outcome, Promise};
use patchjit::ir::{
    Block, Edge, Exit, ExitKind, Function, NONE, Op, Program, Tag, place_slot, place_tag,
};
use patchjit::ops::{Opcode, Shape, flags};
use patchjit::types::Type;
use std::fmt::{self, Write};

/// Bytes or numbers of a region's contents in one line.
const LINE: usize = 32;

/// The canonical text of a program. Parts without a name are called by their index, as in `f0`, `b1` and `v2`;
/// blocks and values count from the start of their function.
pub fn print(program: &Program<'_>, names: Option<&Names>) -> String {
    let mut printer = Printer::new(program, names);
    // Writing to a string does not fail.
    let _ = printer.declarations(&[]);
    let _ = printer.functions();
    printer.out
}

/// The text of each op by itself, by its index in the program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpTexts {
    /// The op as its line has it; of a block's parameter and of a call's further result, its name and type.
    pub lines: Vec<String>,
    /// The name of its value; empty if it gives none.
    pub values: Vec<String>,
}

/// Prints each op of a program by itself, with the names that [`print()`] gives to its parts.
pub fn print_ops(program: &Program<'_>, names: Option<&Names>) -> OpTexts {
    let mut printer = Printer::new(program, names);
    let mut texts = OpTexts {
        lines: vec![String::new(); program.ops.len()],
        values: vec![String::new(); program.ops.len()],
    };
    for function in program.functions {
        printer.first_block = function.first_block;
        let start = function.first_op as usize;
        let end = start.saturating_add(function.op_count as usize);
        let ops = program.ops.get(start..end).unwrap_or(&[]);
        for (index, op) in (function.first_op..).zip(ops) {
            let value = op.result().map(|ty| (printer.value_name(index), ty.name()));
            texts.lines[index as usize] = match (op.code, &value) {
                (Opcode::Parameter | Opcode::Result, Some((name, ty))) => format!("{name}: {ty}"),
                _ => {
                    // Writing to a string does not fail.
                    let _ = printer.line(index, op);
                    std::mem::take(&mut printer.out).trim().to_string()
                }
            };
            texts.values[index as usize] = value.map_or_else(String::new, |(name, _)| name);
        }
    }
    texts
}

/// The canonical text of what was read, names and promises included.
impl fmt::Display for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let program = self.program();
        let mut printer = Printer::new(&program, Some(&self.names));
        printer.declarations(&self.contents)?;
        for promise in &self.promises {
            writeln!(printer.out, "; run: {}", print_promise(self, promise))?;
        }
        if let Some(promise) = &self.bench {
            writeln!(printer.out, "; bench: {}", print_promise(self, promise))?;
        }
        printer.functions()?;
        f.write_str(&printer.out)
    }
}

/// The literal that stands for these bits: integers in signed decimal, floats as the shortest decimal that
/// reads back as the same number, NaNs other than the canonical one as their bits.
pub fn print_literal(ty: Type, bits: u64) -> String {
    match ty {
        Type::I32 => (bits as i32).to_string(),
        Type::I64 | Type::Ref => (bits as i64).to_string(),
        Type::F32 => {
            let value = f32::from_bits(bits as u32);
            if value.is_nan() && value.to_bits() != f32::NAN.to_bits() {
                format!("bits:{:#x}", bits as u32)
            } else {
                decimal(format!("{value:?}"))
            }
        }
        Type::F64 => {
            let value = f64::from_bits(bits);
            if value.is_nan() && bits != f64::NAN.to_bits() {
                format!("bits:{bits:#x}")
            } else {
                decimal(format!("{value:?}"))
            }
        }
    }
}

fn decimal(text: String) -> String {
    if text == "NaN" {
        "nan".to_string()
    } else {
        text
    }
}

/// A promise as it stands behind `run:`, such as `@f(5) == 30`.
pub fn print_promise(module: &Module, promise: &Promise) -> String {
    let program = module.program();
    let signature = program
        .functions
        .get(promise.function as usize)
        .map_or(NONE, |function| function.signature);
    let list = |types: &[Type], values: &[u64]| {
        let printed: Vec<String> = values
            .iter()
            .enumerate()
            .map(|(index, &bits)| {
                print_literal(types.get(index).copied().unwrap_or(Type::I64), bits)
            })
            .collect();
        printed.join(", ")
    };
    let name = name_of(&module.names.functions, promise.function, "f");
    let arguments = list(program.parameters(signature), &promise.arguments);
    let outcome = match &promise.outcome {
        Outcome::Returns(values) if values.is_empty() => String::new(),
        Outcome::Returns(values) => format!(" == {}", list(program.results(signature), values)),
        Outcome::Exits(number, slots) => format!(" exits {number}{}", print_slots(slots)),
        Outcome::Traps(number, slots) => format!(" traps {number}{}", print_slots(slots)),
        Outcome::TooDeep => " too deep".to_string(),
        Outcome::OutOfFuel => " out of fuel".to_string(),
    };
    format!("@{name}({arguments}){outcome}")
}

fn print_slots(slots: &[(u32, u64)]) -> String {
    if slots.is_empty() {
        return String::new();
    }
    let printed: Vec<String> = slots
        .iter()
        .map(|&(slot, bits)| format!("{slot}: {}", bits as i64))
        .collect();
    format!(" [{}]", printed.join(", "))
}

/// The name with this index, or one made of a letter and the index.
fn name_of(names: &[String], index: u32, letter: &str) -> String {
    match names.get(index as usize) {
        Some(name) if !name.is_empty() => name.clone(),
        _ => format!("{letter}{index}"),
    }
}

struct Printer<'a> {
    program: &'a Program<'a>,
    names: Option<&'a Names>,
    /// The number of each value in its function.
    numbers: Vec<u32>,
    /// The first block of the function that is being printed.
    first_block: u32,
    out: String,
}

impl<'a> Printer<'a> {
    fn new(program: &'a Program<'a>, names: Option<&'a Names>) -> Printer<'a> {
        let mut numbers = vec![NONE; program.ops.len()];
        for function in program.functions {
            let start = function.first_op as usize;
            let end = start.saturating_add(function.op_count as usize);
            let ops = program.ops.get(start..end).unwrap_or(&[]);
            let values = ops.iter().zip(numbers.iter_mut().skip(start));
            let given = values.filter(|(op, _)| op.result().is_some());
            for (count, (_, number)) in (0..).zip(given) {
                *number = count;
            }
        }
        Printer {
            program,
            names,
            numbers,
            first_block: 0,
            out: String::new(),
        }
    }

    // Names.

    fn function_name(&self, index: u32) -> String {
        name_of(self.names.map_or(&[], |names| &names.functions), index, "f")
    }

    fn region_name(&self, index: u32) -> String {
        name_of(self.names.map_or(&[], |names| &names.regions), index, "r")
    }

    fn host_name(&self, index: u32) -> String {
        name_of(self.names.map_or(&[], |names| &names.hosts), index, "h")
    }

    fn tag_name(&self, index: u32) -> String {
        name_of(self.names.map_or(&[], |names| &names.tags), index, "t")
    }

    fn block_name(&self, index: u32) -> String {
        let name = self.names.and_then(|n| n.blocks.get(index as usize));
        match (name, index.checked_sub(self.first_block)) {
            (Some(name), _) if !name.is_empty() => name.clone(),
            (_, Some(number)) if index != NONE => format!("b{number}"),
            _ => format!("?{index}"),
        }
    }

    fn value_name(&self, index: u32) -> String {
        let name = self.names.and_then(|n| n.values.get(index as usize));
        match (name, self.numbers.get(index as usize)) {
            (Some(name), _) if !name.is_empty() => name.clone(),
            (_, Some(&number)) if number != NONE => format!("v{number}"),
            _ => format!("?{index}"),
        }
    }

    fn value_list(&self, values: &[u32]) -> String {
        let names: Vec<String> = values.iter().map(|&value| self.value_name(value)).collect();
        names.join(", ")
    }

    // Declarations.

    fn declarations(&mut self, contents: &[Contents]) -> fmt::Result {
        if self.program.slot_count > 0 {
            writeln!(self.out, "slots {}", self.program.slot_count)?;
        }
        let mut parts: Vec<Vec<&Contents>> = vec![Vec::new(); self.program.regions.len()];
        for part in contents {
            if let Some(parts) = parts.get_mut(part.region as usize) {
                parts.push(part);
            }
        }
        for (index, (region, parts)) in (0..).zip(self.program.regions.iter().zip(parts)) {
            let name = self.region_name(index);
            write!(self.out, "region @{name} {}", region.size)?;
            if region.grows() {
                write!(self.out, " to {}", region.most)?;
            }
            writeln!(self.out)?;
            let mut reached = 0;
            for part in parts {
                self.contents(part, &mut reached)?;
            }
        }
        for (index, tag) in (0..).zip(self.program.tags) {
            let name = self.tag_name(index);
            let Tag { mask, bits, shift } = *tag;
            write!(self.out, "tag @{name} mask {mask:#x} bits {bits:#x}")?;
            match shift {
                0 => self.out.push('\n'),
                shift => writeln!(self.out, " shift {shift}")?,
            }
        }
        for (index, host) in (0..).zip(self.program.hosts) {
            let types = type_list(self.program.parameters(host.signature));
            let name = self.host_name(index);
            write!(self.out, "host @{name}({types})")?;
            self.results(host.signature)?;
            self.out.push('\n');
        }
        Ok(())
    }

    /// One part of a region's contents; long ones go on in further lines.
    fn contents(&mut self, part: &Contents, reached: &mut u64) -> fmt::Result {
        self.out.push_str("    =");
        if part.offset != *reached {
            write!(self.out, " @{}", part.offset)?;
        }
        *reached = part.offset.saturating_add(part.bytes.len() as u64);
        match part.form {
            Form::Text => writeln!(self.out, " \"{}\"", escaped(&part.bytes)),
            Form::Bytes => {
                if part.bytes.is_empty() {
                    self.out.push_str(" bytes\n");
                }
                for (index, line) in part.bytes.chunks(LINE).enumerate() {
                    self.out
                        .push_str(if index == 0 { " bytes" } else { "    = bytes" });
                    for byte in line {
                        write!(self.out, " {byte:02x}")?;
                    }
                    self.out.push('\n');
                }
                Ok(())
            }
            Form::Numbers(ty) => {
                let width = ty.bits() as usize / 8;
                for (index, line) in part.bytes.chunks(width * LINE / 2).enumerate() {
                    let numbers: Vec<String> = line
                        .chunks(width)
                        .map(|bytes| print_literal(ty, little_endian(bytes)))
                        .collect();
                    let head = if index == 0 { " " } else { "    = " };
                    writeln!(self.out, "{head}{} {}", ty.name(), numbers.join(", "))?;
                }
                Ok(())
            }
        }
    }

    fn results(&mut self, signature: u32) -> fmt::Result {
        let results = self.program.results(signature);
        if results.is_empty() {
            return Ok(());
        }
        write!(self.out, " -> {}", type_list(results))
    }

    // Functions.

    fn functions(&mut self) -> fmt::Result {
        for (index, function) in (0..).zip(self.program.functions) {
            self.function(index, function)?;
        }
        Ok(())
    }

    fn function(&mut self, index: u32, function: &Function) -> fmt::Result {
        let blocks = self.program.blocks_of(function);
        self.first_block = function.first_block;
        if !self.out.is_empty() {
            self.out.push('\n');
        }
        let name = self.function_name(index);
        let parameters = blocks
            .first()
            .map_or_else(String::new, |entry| self.parameter_list(entry));
        write!(self.out, "func @{name}({parameters})")?;
        self.results(function.signature)?;
        self.out.push_str(" {\n");
        for (number, block) in (0..).zip(blocks) {
            let name = self.block_name(function.first_block.saturating_add(number));
            let parameters = if number > 0 && block.parameter_count > 0 {
                format!("({})", self.parameter_list(block))
            } else {
                String::new()
            };
            writeln!(self.out, "{name}{parameters}:")?;
            let end = block.first_op.saturating_add(block.op_count);
            for index in block.first_op.saturating_add(block.parameter_count)..end {
                match self.program.ops.get(index as usize) {
                    Some(op) if op.code == Opcode::Result => {}
                    Some(op) => self.line(index, op)?,
                    None => break,
                }
            }
        }
        self.out.push_str("}\n");
        Ok(())
    }

    fn parameter_list(&self, block: &Block) -> String {
        let start = block.first_op as usize;
        let end = start.saturating_add(block.parameter_count as usize);
        let ops = self.program.ops.get(start..end).unwrap_or(&[]);
        let printed: Vec<String> = (block.first_op..)
            .zip(ops)
            .map(|(index, op)| {
                let ty = op.result().map_or("?", Type::name);
                format!("{}: {ty}", self.value_name(index))
            })
            .collect();
        printed.join(", ")
    }

    /// One op, with its results and its position.
    fn line(&mut self, index: u32, op: &Op) -> fmt::Result {
        self.out.push_str("    ");
        if op.result().is_some() {
            let mut results = self.value_name(index);
            let calls = op.code.info().has(flags::CALLS);
            let behind = self.program.ops.get(index as usize + 1..).unwrap_or(&[]);
            let further = behind.iter().take_while(|op| op.code == Opcode::Result);
            for (next, _) in (index + 1..).zip(further).take_while(|_| calls) {
                let name = self.value_name(next);
                write!(results, ", {name}")?;
            }
            write!(self.out, "{results} = ")?;
        }
        let text = self.op(op);
        self.out.push_str(&text);
        match self.program.positions.get(index as usize) {
            Some(&position) if position != NONE => writeln!(self.out, " !{position}"),
            _ => writeln!(self.out),
        }
    }

    fn op(&self, op: &Op) -> String {
        let info = op.code.info();
        let name = info.name;
        let leaves = info.has(flags::LEAVES);
        let a = || self.value_name(op.a);
        let b = || self.value_name(op.b);
        let c = || self.value_name(op.c);
        let extra = |at: u32, ahead: usize| {
            let index = (at as usize).saturating_add(ahead);
            self.program.extra.get(index).copied().unwrap_or(NONE)
        };
        let access_exit = || {
            if op.is_in_bounds() {
                " in_bounds".to_string()
            } else {
                self.else_exit(extra(op.c, 1))
            }
        };
        match info.shape {
            Shape::Parameter | Shape::Result => name.to_string(),
            Shape::Constant => {
                let ty = info.result.unwrap_or(Type::I64);
                format!("{name} {}", print_literal(ty, op.constant()))
            }
            Shape::Unary if leaves => format!("{name} {}{}", a(), self.else_exit(op.c)),
            Shape::Unary => format!("{name} {}", a()),
            Shape::Binary if leaves => {
                format!("{name} {}, {}{}", a(), b(), self.else_exit(op.c))
            }
            Shape::Binary => format!("{name} {}, {}", a(), b()),
            Shape::Tag => format!("{name} @{}, {}", self.tag_name(u32::from(op.aux)), a()),
            Shape::Select => format!("{name} {}, {}, {}", a(), b(), c()),
            Shape::Load if !leaves => format!("{name} {}", self.raw_address(op)),
            Shape::Store if !leaves => format!("{name} {}, {}", self.raw_address(op), b()),
            Shape::Load => {
                let access = self.access(op, extra(op.c, 0));
                format!("{name} {access}{}", access_exit())
            }
            Shape::Store | Shape::Update => {
                let access = self.access(op, extra(op.c, 0));
                format!("{name} {access}, {}{}", b(), access_exit())
            }
            Shape::CompareExchange => {
                let access = self.access(op, extra(op.c, 0));
                let replacement = self.value_name(extra(op.c, 2));
                format!("{name} {access}, {}, {replacement}{}", b(), access_exit())
            }
            Shape::Fence => name.to_string(),
            Shape::RegionSize => format!("{name} @{}", self.region_name(op.region() as u32)),
            Shape::SlotGet => format!("{name} {}", op.c),
            Shape::SlotSet => format!("{name} {}, {}", op.c, a()),
            Shape::FunctionIndex => format!("{name} @{}", self.function_name(op.b)),
            Shape::Guard => format!("{name} {}{}", a(), self.else_exit(op.c)),
            Shape::Poll => format!("{name}{}", self.else_exit(op.c)),
            Shape::Call | Shape::CallCell => {
                let arguments = self.value_list(self.program.list(op.b));
                let exit = self.else_exit(op.c);
                format!("{name} @{}({arguments}){exit}", self.function_name(op.a))
            }
            Shape::CallHost => {
                let arguments = self.value_list(self.program.list(op.b));
                let exit = self.else_exit(op.c);
                format!("{name} @{}({arguments}){exit}", self.host_name(op.a))
            }
            Shape::CallIndirect => {
                let signature = extra(op.b, 0);
                let parameters = type_list(self.program.parameters(signature));
                let results = type_list(self.program.results(signature));
                let arguments = self.value_list(self.program.list(op.b.saturating_add(1)));
                let exit = self.else_exit(op.c);
                format!(
                    "{name} ({parameters}) -> ({results}), {}({arguments}){exit}",
                    a()
                )
            }
            Shape::Jump => format!("{name} {}", self.edge(self.program.edge(op.b))),
            Shape::Branch => {
                let then = self.edge(self.program.edge(op.b));
                let otherwise = self.edge(self.program.edge(op.c));
                format!("{name} {}, {then}, {otherwise}", a())
            }
            Shape::Switch => {
                let targets = self.program.list(op.b);
                let edges: Vec<String> = targets
                    .iter()
                    .map(|&at| self.edge(self.program.edge(at)))
                    .collect();
                let default = extra(op.b, targets.len() + 1);
                let default = self.edge(self.program.edge(default));
                format!("{name} {}, [{}], {default}", a(), edges.join(", "))
            }
            Shape::Return => {
                let values = self.value_list(self.program.list(op.b));
                format!("{name} {values}").trim_end().to_string()
            }
            Shape::Exit => self.exit(op.c),
            Shape::ReturnCall => {
                let arguments = self.value_list(self.program.list(op.b));
                format!("{name} @{}({arguments})", self.function_name(op.a))
            }
        }
    }

    fn edge(&self, edge: Edge<'_>) -> String {
        let name = self.block_name(edge.block);
        if edge.arguments.is_empty() {
            name
        } else {
            format!("{name}({})", self.value_list(edge.arguments))
        }
    }

    fn access(&self, op: &Op, offset: u32) -> String {
        let region = self.region_name(op.region() as u32);
        let mut text = format!("@{region}[{}", self.value_name(op.a));
        if op.scale() > 0 {
            text += &format!("*{}", 1 << op.scale());
        }
        if offset != 0 {
            text += &format!(" + {offset}");
        }
        text + "]"
    }

    fn raw_address(&self, op: &Op) -> String {
        let address = self.value_name(op.a);
        match op.c as i32 {
            0 => format!("[{address}]"),
            offset if offset < 0 => format!("[{address} - {}]", offset.unsigned_abs()),
            offset => format!("[{address} + {offset}]"),
        }
    }

    fn else_exit(&self, exit: u32) -> String {
        if exit == NONE {
            String::new()
        } else {
            format!(" else {}", self.exit(exit))
        }
    }

    fn exit(&self, index: u32) -> String {
        let Some(exit) = self.program.exits.get(index as usize) else {
            return format!("?{index}");
        };
        let Exit { number, kind, .. } = *exit;
        let kind = match kind {
            ExitKind::Deoptimize => "exit",
            ExitKind::Trap => "trap",
        };
        let entries: Vec<String> = self
            .program
            .snapshot(exit)
            .chunks_exact(2)
            .map(|pair| match pair {
                &[place, value] => {
                    let boxed = place_tag(place).map_or_else(String::new, |tag| {
                        format!("@{} ", self.tag_name(tag.into()))
                    });
                    format!("{}: {boxed}{}", place_slot(place), self.value_name(value))
                }
                _ => String::new(),
            })
            .collect();
        if entries.is_empty() {
            format!("{kind} {number}")
        } else {
            format!("{kind} {number} [{}]", entries.join(", "))
        }
    }
}

fn type_list(types: &[Type]) -> String {
    let names: Vec<&str> = types.iter().map(|ty| ty.name()).collect();
    names.join(", ")
}

fn little_endian(bytes: &[u8]) -> u64 {
    let shifted = bytes.iter().zip((0..64).step_by(8));
    shifted.fold(0, |bits, (&byte, shift)| bits | u64::from(byte) << shift)
}

/// A string's bytes as they stand between quotes.
fn escaped(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\t' => out.push_str("\\t"),
                '\r' => out.push_str("\\r"),
                '\0' => out.push_str("\\0"),
                c if c.is_ascii_control() => out.push_str(&format!("\\x{:02x}", c as u32)),
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}
