//! Builds the tables from folded templates and writes them as Rust source.

use crate::bodies::{ALLOCATABLE_FLOATS, ALLOCATABLE_INTS, Bank, FamilySource, PRESERVED_INTS};
use crate::fold::Folded;
use patchjit::stencil::{
    ABSENT, Family, Form, Immediate, MAX_OPERANDS, NO_FAMILY, OperandKind, RegisterFile,
    RegisterSet, StencilSet, Template,
};
use std::fmt::Write;

/// A row of masks: what each bit of the register's number XORs into a chunk.
type Row = [u128; 4];

/// The tables, as they will stand in the generated file.
pub struct Tables {
    forms: Vec<u16>,
    families: Vec<Family>,
    templates: Vec<Template>,
    chunks: Vec<[u8; 16]>,
    rows: Vec<Row>,
    /// For comments: the name of each family.
    names: Vec<String>,
}

fn chunk_of(bytes: &[u8], index: usize) -> [u8; 16] {
    let mut chunk = [0; 16];
    for (to, from) in chunk.iter_mut().zip(bytes.iter().skip(16 * index)) {
        *to = *from;
    }
    chunk
}

/// Where a sequence stands in a list; put at its end if it is not there.
fn find_or_add<T: PartialEq + Clone>(list: &mut Vec<T>, wanted: &[T]) -> usize {
    if let Some(at) = list
        .windows(wanted.len().max(1))
        .position(|window| window == wanted)
    {
        return at;
    }
    list.extend_from_slice(wanted);
    list.len() - wanted.len()
}

impl Tables {
    /// Lays out the families with their templates.
    pub fn build(
        sources: &[FamilySource],
        folded: &[Vec<Folded>],
        clobbers: &[RegisterSet],
    ) -> Result<Tables, String> {
        let mut tables = Tables {
            forms: vec![NO_FAMILY; Form::COUNT],
            families: vec![],
            templates: vec![],
            chunks: vec![],
            rows: vec![],
            names: sources.iter().map(|source| source.name.clone()).collect(),
        };
        let longest = folded
            .iter()
            .flatten()
            .map(|template| template.base.len().div_ceil(16))
            .max()
            .unwrap_or(1);
        tables.rows.extend(vec![[0; 4]; longest]);
        for ((source, folded), clobbers) in sources.iter().zip(folded).zip(clobbers) {
            let index = tables.families.len() as u16;
            for form in &source.forms {
                let slot = &mut tables.forms[form.0 as usize];
                if *slot != NO_FAMILY {
                    return Err(format!("{}: one of its forms is taken", source.name));
                }
                *slot = index;
            }
            let first_template = tables.templates.len() as u16;
            for template in folded {
                let template = tables.template(source, template)?;
                tables.templates.push(template);
            }
            tables.families.push(Family {
                first_template,
                template_count: u8::try_from(folded.len())
                    .map_err(|_| format!("{}: too many templates", source.name))?,
                has_output: source.has_output,
                kinds: std::array::from_fn(|k| match source.operands.get(k) {
                    None => OperandKind::None,
                    Some(operand) => match operand.bank {
                        Bank::Int => OperandKind::Int,
                        Bank::Float => OperandKind::Float,
                        Bank::Scale => OperandKind::Scale,
                    },
                }),
                allowed: std::array::from_fn(|k| {
                    source
                        .operands
                        .get(k)
                        .map_or(u32::MAX, |operand| operand.allowed)
                }),
                tied: source.tied,
                distinct: source.distinct,
                clobbers: *clobbers,
                immediate: *source.immediates.last().ok_or("no immediate")?,
                has_target: folded.iter().any(|template| !template.targets.is_empty()),
            });
        }
        Ok(tables)
    }

    fn template(&mut self, source: &FamilySource, folded: &Folded) -> Result<Template, String> {
        let shape = &source.shapes[folded.shape];
        let count = folded.base.len().div_ceil(16);
        let bytes: Vec<[u8; 16]> = (0..count).map(|i| chunk_of(&folded.base, i)).collect();
        let mut masks = [0u8; MAX_OPERANDS];
        for (k, operand) in folded.masks.iter().enumerate() {
            let rows: Vec<Row> = (0..count)
                .map(|i| {
                    std::array::from_fn(|bit| u128::from_le_bytes(chunk_of(&operand.bits[bit], i)))
                })
                .collect();
            masks[k] = u8::try_from(find_or_add(&mut self.rows, &rows))
                .map_err(|_| format!("{}: more rows of masks than a byte names", source.name))?;
        }
        if folded.targets.len() > 2 {
            return Err(format!(
                "{}: more than two jumps to the target",
                source.name
            ));
        }
        // Conditions speak of registers of one bank only.
        let same_bank = (1..source.operands.len())
            .filter(|&k| source.operands[k].bank == source.operands[0].bank)
            .fold(0u8, |bits, k| bits | 1 << k);
        Ok(Template {
            allowed: folded.allowed,
            // Always asked here; the table's own constructor finds out where it need not be.
            restricted: true,
            equal: shape.equal.map_or(0, |k| 1 << k),
            unequal: shape.unequal & same_bank,
            immediate: folded.kind,
            immediate_at: folded.immediate_at.unwrap_or(ABSENT),
            target_at: std::array::from_fn(|i| folded.targets.get(i).copied().unwrap_or(ABSENT)),
            length: u8::try_from(folded.base.len())
                .map_err(|_| format!("{}: too long", source.name))?,
            chunk: find_or_add(&mut self.chunks, &bytes) as u16,
            masks,
        })
    }

    /// The tables as the compiler core sees them. They live as long as the process.
    pub fn leak(&self, digest: &str) -> Result<&'static StencilSet, String> {
        let forms: Box<[u16; Form::COUNT]> = self
            .forms
            .clone()
            .into_boxed_slice()
            .try_into()
            .map_err(|_| "the forms do not fit")?;
        let masks: Vec<[[u64; 2]; 16]> = self
            .rows
            .iter()
            .map(|row| {
                std::array::from_fn(|register| {
                    let mut mask = 0;
                    for (bit, value) in row.iter().enumerate() {
                        if register >> bit & 1 == 1 {
                            mask ^= value;
                        }
                    }
                    words(mask)
                })
            })
            .collect();
        Ok(Box::leak(Box::new(StencilSet {
            target: "x86_64-sysv",
            digest: Box::leak(digest.to_owned().into_boxed_str()),
            registers: RegisterFile {
                allocatable: RegisterSet(
                    u64::from(ALLOCATABLE_INTS) | u64::from(ALLOCATABLE_FLOATS) << 32,
                ),
                preserved: RegisterSet(u64::from(PRESERVED_INTS)),
                int_arguments: &[7, 6, 8, 9, 11, 2, 1, 0],
                float_arguments: &[0, 1, 2, 3, 4, 5, 6, 7],
                int_scratch: 10,
                float_scratch: 15,
                context: 5,
                host_status: 0,
                names: [&[], &[]],
                return_address_size: 8,
                stack_alignment: 16,
            },
            forms: Box::leak(forms),
            families: self.families.clone().leak(),
            templates: self.templates.clone().leak(),
            chunks: self
                .chunks
                .iter()
                .map(|&chunk| words(u128::from_le_bytes(chunk)))
                .collect::<Vec<_>>()
                .leak(),
            masks: masks.leak(),
        })))
    }

    /// How large the tables are: families, templates, and their bytes in a program.
    pub fn sizes(&self) -> (usize, usize, usize) {
        let bytes = size_of_val(&self.forms[..])
            + size_of_val(&self.families[..])
            + size_of_val(&self.templates[..])
            + size_of_val(&self.chunks[..])
            + self.rows.len() * 256;
        (self.families.len(), self.templates.len(), bytes)
    }

    /// The generated file.
    pub fn source(&self, digest: &str) -> String {
        let mut out = String::new();
        let _ = write!(
            out,
            "//! Stencils for x86-64, System V. Generated by `patchjit-stencil-generator` from\n\
             //! `stencils/bodies/`; the listing beside the crate shows every template's instructions.\n\n\
             use crate::table::*;\n\n\
             /// The stencils for x86-64 with SSE4.1 and POPCNT under the System V conventions.\n\
             pub static X86_64_SYSV: StencilSet = StencilSet {{\n    target: \"x86_64-sysv\",\n    \
             digest: \"{digest}\",\n    registers: X86_64_SYSV_REGISTERS,\n    forms: &FORMS,\n    \
             families: &FAMILIES,\n    templates: &TEMPLATES,\n    chunks: &CHUNKS,\n    masks: &MASKS,\n}};\n\n"
        );
        let _ = writeln!(
            out,
            "#[rustfmt::skip]\nstatic FORMS: [u16; Form::COUNT] = ["
        );
        for line in self.forms.chunks(20) {
            let words: Vec<String> = line
                .iter()
                .map(|&form| {
                    if form == NO_FAMILY {
                        "X".to_owned()
                    } else {
                        form.to_string()
                    }
                })
                .collect();
            let _ = writeln!(out, "    {},", words.join(", "));
        }
        let _ = writeln!(out, "];\n");
        let _ = writeln!(
            out,
            "#[rustfmt::skip]\nstatic FAMILIES: [Family; {}] = [",
            self.families.len()
        );
        for (family, name) in self.families.iter().zip(&self.names) {
            let kinds: String = family
                .kinds
                .iter()
                .map(|kind| match kind {
                    OperandKind::None => '-',
                    OperandKind::Int => 'i',
                    OperandKind::Float => 'f',
                    OperandKind::Scale => 's',
                })
                .collect();
            let _ = writeln!(
                out,
                "    family({}, {}, {}, b\"{kinds}\", {}, {}, {}, {:#x}, {}, {}), // {name}",
                family.first_template,
                family.template_count,
                u8::from(family.has_output),
                sets(&family.allowed),
                number(family.tied),
                family.distinct,
                family.clobbers.0,
                immediate(family.immediate),
                u8::from(family.has_target),
            );
        }
        let _ = writeln!(out, "];\n");
        let _ = writeln!(
            out,
            "#[rustfmt::skip]\nstatic TEMPLATES: [Template; {}] = settle(&FAMILIES, [",
            self.templates.len()
        );
        for (family, name) in self.families.iter().zip(&self.names) {
            let first = family.first_template as usize;
            let _ = writeln!(out, "    // {name}");
            for one in &self.templates[first..first + family.template_count as usize] {
                let _ = writeln!(
                    out,
                    "    template({}, {}, {}, {}, {}, [{}, {}], {}, {}, {:?}),",
                    sets(&one.allowed),
                    one.equal,
                    one.unequal,
                    immediate(one.immediate),
                    number(one.immediate_at),
                    number(one.target_at[0]),
                    number(one.target_at[1]),
                    one.length,
                    one.chunk,
                    one.masks,
                );
            }
        }
        let _ = writeln!(out, "]);\n");
        let _ = writeln!(
            out,
            "#[rustfmt::skip]\nstatic CHUNKS: [[u64; 2]; {}] = [",
            self.chunks.len()
        );
        for chunk in &self.chunks {
            let _ = writeln!(out, "    chunk({:#034x}),", u128::from_be_bytes(*chunk));
        }
        let _ = writeln!(out, "];\n");
        let _ = writeln!(
            out,
            "#[rustfmt::skip]\nstatic MASKS: [[[u64; 2]; 16]; {}] = [",
            self.rows.len()
        );
        for row in &self.rows {
            let words: Vec<String> = row
                .iter()
                .map(|mask| match u128::from_be_bytes(mask.to_le_bytes()) {
                    0 => "0".to_owned(),
                    mask => format!("{mask:#034x}"),
                })
                .collect();
            let _ = writeln!(out, "    row([{}]),", words.join(", "));
        }
        let _ = writeln!(out, "];");
        out
    }
}

fn sets(sets: &[u32; MAX_OPERANDS]) -> String {
    let words: Vec<String> = sets
        .iter()
        .map(|&set| match set {
            u32::MAX => "ALL".to_owned(),
            set => format!("{set:#06x}"),
        })
        .collect();
    format!("[{}]", words.join(", "))
}

fn number(value: u8) -> String {
    if value == ABSENT {
        "N".to_owned()
    } else {
        value.to_string()
    }
}

fn immediate(kind: Immediate) -> &'static str {
    match kind {
        Immediate::None => "I0",
        Immediate::Signed8 => "S8",
        Immediate::Signed32 => "S32",
        Immediate::Bits32 => "B32",
        Immediate::Bits64 => "B64",
    }
}

/// Sixteen bytes as the tables keep them: two little-endian words.
fn words(bytes: u128) -> [u64; 2] {
    [bytes as u64, (bytes >> 64) as u64]
}

/// The code of a template for some registers, from the tables.
pub fn rebuild(set: &StencilSet, template: &Template, registers: &[u8; MAX_OPERANDS]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for index in 0..usize::from(template.length).div_ceil(16) {
        let mut chunk = set.chunks[template.chunk as usize + index];
        for (k, &register) in registers.iter().enumerate() {
            let row = &set.masks[template.masks[k] as usize + index];
            for (word, mask) in chunk.iter_mut().zip(row[register as usize]) {
                *word ^= mask;
            }
        }
        bytes.extend(chunk.map(u64::to_le_bytes).as_flattened());
    }
    bytes.truncate(template.length as usize);
    bytes
}
