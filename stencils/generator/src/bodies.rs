//! Reads the stencil bodies: text in, families out. The file's own header says what stands in it.

use crate::architecture::Architecture;
use patchjit::ops::Opcode;
use patchjit::runtime::offset;
use patchjit::stencil::{ABSENT, Form, FormKind, Immediate, MAX_OPERANDS, Machine, RegisterSet};

/// What registers an operand is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bank {
    Int,
    Float,
    Scale,
}

/// An operand of a family.
#[derive(Clone, Debug)]
pub struct Operand {
    pub name: String,
    pub bank: Bank,
    /// Bit r: register r (or scale r) is permitted.
    pub allowed: u32,
    /// Written as `=register`: the instructions name the register themselves.
    pub fixed: bool,
}

/// What a shape's code is written in.
#[derive(Clone, Debug)]
pub enum Body {
    Asm(String),
    Rust(String),
}

/// The code of a family for the assignments that its conditions name.
#[derive(Clone, Debug)]
pub struct Shape {
    /// The operand that shares the output's register.
    pub equal: Option<usize>,
    /// Bit k: operand k is in another register than the output (an earlier shape has it otherwise).
    pub unequal: u8,
    /// The kinds of immediate that it has.
    pub kinds: Vec<Immediate>,
    /// An operand that is no register, and the value that it must have.
    pub given: Option<(usize, u8)>,
    /// Values that it must not have (an earlier shape has them).
    pub taken: Vec<(usize, u8)>,
    pub body: Body,
}

/// A family as written.
#[derive(Clone, Debug)]
pub struct FamilySource {
    /// The form that names it, for messages and the listing.
    pub name: String,
    pub forms: Vec<Form>,
    pub operands: Vec<Operand>,
    pub has_output: bool,
    pub tied: u8,
    pub distinct: u8,
    pub immediates: Vec<Immediate>,
    pub uses_stack: bool,
    /// Fixed registers that the instructions write by design.
    pub clobbers: RegisterSet,
    pub shapes: Vec<Shape>,
}

impl FamilySource {
    /// Whether the family permits this assignment.
    pub fn permits(&self, registers: &[u8; MAX_OPERANDS]) -> bool {
        self.operands.iter().enumerate().all(|(k, operand)| {
            operand.allowed >> registers[k] & 1 == 1
                && (k as u8 != self.tied || registers[k] == registers[0])
                && (self.distinct >> k & 1 == 0 || registers[k] != registers[0])
        })
    }

    /// Whether operand k shares its register with operand 0 (same bank, same number).
    pub fn same_as_output(&self, registers: &[u8; MAX_OPERANDS], k: usize) -> bool {
        self.operands[k].bank == self.operands[0].bank && registers[k] == registers[0]
    }
}

impl Shape {
    /// Whether the shape serves this assignment.
    pub fn serves(&self, family: &FamilySource, registers: &[u8; MAX_OPERANDS]) -> bool {
        self.equal
            .is_none_or(|k| family.same_as_output(registers, k))
            && self.given.is_none_or(|(k, value)| registers[k] == value)
            && self.taken.iter().all(|&(k, value)| registers[k] != value)
            && (1..family.operands.len())
                .all(|k| self.unequal >> k & 1 == 0 || !family.same_as_output(registers, k))
    }
}

/// One `for` line: names, and the rows of values that they take.
struct Loop {
    names: Vec<String>,
    rows: Vec<Vec<String>>,
}

/// Reads a whole file.
pub fn parse(architecture: &dyn Architecture, text: &str) -> Result<Vec<FamilySource>, String> {
    let mut families = Vec::new();
    let mut loops: Vec<Loop> = Vec::new();
    let mut pending: Option<(usize, Vec<String>)> = None;
    // An empty line more, so that the last family is finished.
    for (number, line) in text.lines().chain([""]).enumerate() {
        let trimmed = line.trim();
        let continues = line.starts_with(' ') && !trimmed.is_empty();
        if continues {
            let (_, lines) = pending
                .as_mut()
                .ok_or_else(|| format!("line {}: a body without a family", number + 1))?;
            lines.push(trimmed.to_owned());
            continue;
        }
        if let Some((start, lines)) = pending.take() {
            expand(architecture, &lines, &loops, &mut families)
                .map_err(|error| format!("line {}: {error}", start + 1))?;
        }
        if trimmed.is_empty() {
            loops.clear();
        } else if let Some(rest) = trimmed.strip_prefix("for ") {
            let (names, rows) = rest
                .split_once(" in ")
                .ok_or_else(|| format!("line {}: `for` without `in`", number + 1))?;
            loops.push(Loop {
                names: names.split_whitespace().map(str::to_owned).collect(),
                rows: rows
                    .split_whitespace()
                    .map(|row| row.split('/').map(str::to_owned).collect())
                    .collect(),
            });
        } else if let Some(rest) = trimmed.strip_prefix("family ") {
            pending = Some((number, vec![rest.to_owned()]));
        } else if !trimmed.starts_with('#') {
            return Err(format!(
                "line {}: `{trimmed}` is not understood",
                number + 1
            ));
        }
    }
    Ok(families)
}

/// Puts families in the places of those of the same name, others at the end.
pub fn replace(families: &mut Vec<FamilySource>, with: Vec<FamilySource>) {
    for family in with {
        match families.iter_mut().find(|other| other.name == family.name) {
            Some(other) => *other = family,
            None => families.push(family),
        }
    }
}

/// Instantiates a family for every combination of the loops' rows.
fn expand(
    architecture: &dyn Architecture,
    lines: &[String],
    loops: &[Loop],
    families: &mut Vec<FamilySource>,
) -> Result<(), String> {
    let mut bindings: Vec<Vec<(String, String)>> = vec![vec![]];
    for one in loops {
        let mut next = Vec::new();
        for binding in &bindings {
            for row in &one.rows {
                if row.len() != one.names.len() {
                    return Err(format!(
                        "`{}` has not {} parts",
                        row.join("/"),
                        one.names.len()
                    ));
                }
                let mut extended = binding.clone();
                extended.extend(one.names.iter().cloned().zip(row.iter().cloned()));
                next.push(extended);
            }
        }
        bindings = next;
    }
    for mut binding in bindings {
        // Longer names first, so that `$s` does not eat the head of `$size`.
        binding.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        let instantiated: Vec<String> = lines
            .iter()
            .map(|line| substitute(line, &binding))
            .collect::<Result<_, _>>()?;
        families.push(family(architecture, &instantiated)?);
    }
    Ok(())
}

fn substitute(line: &str, binding: &[(String, String)]) -> Result<String, String> {
    let mut line = line.to_owned();
    let offsets = [
        ("EXIT_NUMBER", offset::EXIT_NUMBER),
        ("HOST_CONTEXT", offset::HOST_CONTEXT),
        ("INTERRUPT", offset::INTERRUPT),
        ("STATUS", offset::STATUS),
        ("HOSTS", offset::HOSTS),
        ("STACK", offset::STACK),
        ("DEPTH", offset::DEPTH),
        ("FUEL", offset::FUEL),
    ];
    for (name, value) in offsets {
        line = line.replace(&format!("${name}"), &value.to_string());
    }
    for (name, value) in binding {
        line = line.replace(&format!("${name}"), value);
    }
    match line.find('$') {
        Some(at) => Err(format!("`{}` is not bound", &line[at..])),
        None => Ok(line),
    }
}

/// Reads one family: its header, then its shapes.
fn family(architecture: &dyn Architecture, lines: &[String]) -> Result<FamilySource, String> {
    let (forms_text, rest) = lines[0].split_once(':').ok_or("a family without `:`")?;
    let (operands_text, attributes) = rest.split_once(';').unwrap_or((rest, ""));
    let (name, forms) = forms(forms_text)?;
    let operands: Vec<Operand> = operands_text
        .split_whitespace()
        .map(|text| operand(architecture, text))
        .collect::<Result<_, _>>()?;
    if operands.len() > MAX_OPERANDS {
        return Err(format!("{name}: more than {MAX_OPERANDS} operands"));
    }
    let mut family = FamilySource {
        name,
        forms,
        has_output: operands.first().is_some_and(|first| first.name == "out"),
        operands,
        tied: ABSENT,
        distinct: 0,
        immediates: vec![],
        uses_stack: false,
        clobbers: RegisterSet(0),
        shapes: vec![],
    };
    for attribute in attributes.split_whitespace() {
        set_attribute(architecture, &mut family, attribute)?;
    }
    for line in &lines[1..] {
        let (condition, body) = line
            .strip_prefix('[')
            .and_then(|line| line.split_once(']'))
            .ok_or_else(|| format!("`{line}`: a body begins with its condition"))?;
        let body = match body.trim().split_once(' ') {
            Some(("asm", text)) => Body::Asm(text.to_owned()),
            Some(("rust", text)) => Body::Rust(text.to_owned()),
            _ => return Err(format!("`{body}`: neither asm nor rust")),
        };
        let shape = shape(&family, condition, body)?;
        family.shapes.push(shape);
    }
    for shape in &family.shapes {
        for &kind in &shape.kinds {
            if !family.immediates.contains(&kind) {
                family.immediates.push(kind);
            }
        }
    }
    Ok(family)
}

/// Reads the condition of a shape: `out=operand`, `operand=value` where that is no register, kinds of immediate.
fn shape(family: &FamilySource, condition: &str, body: Body) -> Result<Shape, String> {
    let mut shape = Shape {
        equal: None,
        unequal: 0,
        kinds: vec![],
        given: None,
        taken: vec![],
        body,
    };
    for word in condition.split_whitespace() {
        match word.split_once('=') {
            Some(("out", name)) => shape.equal = Some(place(family, name)?),
            Some((name, value)) => {
                let value = value.parse().map_err(|_| format!("`{word}`: no number"))?;
                shape.given = Some((place(family, name)?, value));
            }
            None => shape.kinds.push(kind(word)?),
        }
    }
    if shape.kinds.is_empty() {
        shape.kinds.clone_from(&family.immediates);
    }
    if shape.kinds.is_empty() {
        shape.kinds.push(Immediate::None);
    }
    for earlier in &family.shapes {
        if earlier.kinds != shape.kinds {
            continue;
        }
        match (earlier.given, earlier.equal) {
            (Some(given), None) => shape.taken.push(given),
            (None, Some(k)) => shape.unequal |= 1 << k,
            (None, None) => return Err("a shape behind one that serves all".into()),
            (Some(_), Some(_)) => return Err("two conditions of a shape".into()),
        }
    }
    Ok(shape)
}

/// A kind of immediate by its name in the bodies.
fn kind(name: &str) -> Result<Immediate, String> {
    use Immediate::*;
    Ok(match name {
        "zero" => None,
        "8" => Signed8,
        "32" => Signed32,
        "bits32" => Bits32,
        "bits64" => Bits64,
        "u12" => Unsigned12,
        "n12" => Negated12,
        "u12h" => High12,
        "u12x2" => Scaled12By2,
        "u12x4" => Scaled12By4,
        "u12x8" => Scaled12By8,
        "s9" => Signed9,
        "byte" => Byte,
        "m16" => Piece0,
        "m16h1" => Piece1,
        "m16h2" => Piece2,
        "m16h3" => Piece3,
        "o16" => Complement16,
        "l32" => Logical32,
        "l64" => Logical64,
        "sl32" => Left32,
        "sl64" => Left64,
        "sr32" | "sr64" => Shift,
        "ror32" | "ror64" => Rotation,
        "rol32" => RotationLeft32,
        "rol64" => RotationLeft64,
        "frame" => Frame24,
        "p32" => Pieces32,
        "p32u" => PiecesBits32,
        "p64" => Pieces64,
        "i12" => Signed12,
        "s12" => Split12,
        "o12" => Opposite12,
        "u11" => Unsigned11,
        "b8" => Byte8,
        "amount" => Amount,
        "turn32" => Turn32,
        "turn64" => Turn64,
        "upper32" => Upper32,
        "upper64" => Upper64,
        "sum32" => Sum32,
        "sum31u" => SumUnsigned31,
        "sum32u" => SumBits32,
        "sum64" => Sum64,
        _ => return Err(format!("`{name}` is no kind of immediate")),
    })
}

fn place(family: &FamilySource, name: &str) -> Result<usize, String> {
    family
        .operands
        .iter()
        .position(|operand| operand.name == name)
        .ok_or_else(|| format!("{}: no operand `{name}`", family.name))
}

fn set_attribute(
    architecture: &dyn Architecture,
    family: &mut FamilySource,
    attribute: &str,
) -> Result<(), String> {
    match attribute.split_once('=') {
        None if attribute == "stack" => family.uses_stack = true,
        Some(("imm", kinds)) => {
            for name in kinds.split(',') {
                family.immediates.push(kind(name)?);
            }
        }
        Some(("tied", name)) => family.tied = place(family, name)? as u8,
        Some(("distinct", names)) => {
            for name in names.split(',') {
                family.distinct |= 1 << place(family, name)?;
            }
        }
        Some(("clobbers", names)) => {
            for name in names.split(',') {
                family.clobbers.0 |= match architecture.group(name) {
                    Some(set) => set.0,
                    None => 1 << int_number(architecture, name)?,
                };
            }
        }
        _ => return Err(format!("`{attribute}` is no attribute")),
    }
    Ok(())
}

/// `A.Kind`, then `also B.Kind ..` or `raw C ..`: the raw form of A, and C with its raw form.
fn forms(text: &str) -> Result<(String, Vec<Form>), String> {
    let mut words = text.split_whitespace();
    let name = words.next().ok_or("a family without a form")?.to_owned();
    let mut forms = vec![form(&name)?];
    match words.next() {
        Some("also") => {
            for word in words {
                forms.push(form(word)?);
            }
        }
        Some("raw") => {
            let (op, kind) = name.rsplit_once('.').ok_or("a form without a kind")?;
            for op in [op].into_iter().chain(words.filter(|word| *word != "-")) {
                let raw = op.replacen('.', ".raw_", 1);
                for one in [format!("{op}.{kind}"), format!("{raw}.{kind}")] {
                    let one = form(&one)?;
                    if !forms.contains(&one) {
                        forms.push(one);
                    }
                }
            }
        }
        Some(word) => return Err(format!("`{word}`: neither `also` nor `raw`")),
        None => {}
    }
    Ok((name, forms))
}

fn form(name: &str) -> Result<Form, String> {
    let unknown = || format!("`{name}` is no form");
    let (head, last) = name.rsplit_once('.').ok_or_else(unknown)?;
    if head == "machine" {
        return Machine::ALL
            .iter()
            .find(|machine| format!("{machine:?}") == last)
            .map(|&machine| Form::machine(machine))
            .ok_or_else(unknown);
    }
    let kind = match last {
        "Registers" => FormKind::Registers,
        "Immediate" => FormKind::Immediate,
        "Jump" => FormKind::Jump,
        "JumpImmediate" => FormKind::JumpImmediate,
        "JumpNot" => FormKind::JumpNot,
        _ => return Err(unknown()),
    };
    Ok(Form::op(Opcode::from_name(head).ok_or_else(unknown)?, kind))
}

fn int_number(architecture: &dyn Architecture, name: &str) -> Result<u8, String> {
    architecture
        .int_number(name)
        .ok_or_else(|| format!("`{name}` is no register"))
}

fn operand(architecture: &dyn Architecture, text: &str) -> Result<Operand, String> {
    let mut exclusions = text.split('-');
    let head = exclusions.next().unwrap_or_default();
    let (name, bank, mut allowed, fixed) = if let Some((name, register)) = head.split_once('=') {
        let number = int_number(architecture, register)?;
        (name, Bank::Int, 1 << number, true)
    } else {
        let (name, class) = head.split_once(':').ok_or("an operand without a class")?;
        let (bank, allowed) = match class {
            "scale" => (Bank::Scale, 0xf),
            class => architecture
                .class(class)
                .ok_or_else(|| format!("`{class}` is no class"))?,
        };
        (name, bank, allowed, false)
    };
    for register in exclusions {
        allowed &= !(1 << int_number(architecture, register)?);
    }
    Ok(Operand {
        name: name.to_owned(),
        bank,
        allowed,
        fixed,
    })
}

/// Every assignment that a family permits.
pub fn assignments(family: &FamilySource) -> Vec<[u8; MAX_OPERANDS]> {
    let mut all = vec![[0u8; MAX_OPERANDS]];
    for (k, operand) in family.operands.iter().enumerate() {
        all = all
            .into_iter()
            .flat_map(|registers| {
                (0..32u8)
                    .filter(|register| operand.allowed >> register & 1 == 1)
                    .map(move |register| {
                        let mut registers = registers;
                        registers[k] = register;
                        registers
                    })
            })
            .collect();
    }
    all.retain(|registers| family.permits(registers));
    all
}
