//! Builds the tables from folded templates and writes them as Rust source.

use crate::architecture::Architecture;
use crate::bodies::{Bank, FamilySource};
use crate::fold::Folded;
use patchjit::stencil::{
    ABSENT, Family, Form, Hole, HolesAt, Immediate, MASK_ROWS, MASKS, MAX_OPERANDS, NO_FAMILY,
    OperandKind, PATTERNS, RegisterFile, RegisterSet, Rows, StencilSet, Template, Word,
};
use std::fmt::Write;

/// A row of masks: what each bit of the register's number XORs into a word.
type Row = [u64; 5];

/// The tables, as they will stand in the generated file.
pub struct Tables<'a> {
    architecture: &'a dyn Architecture,
    forms: Vec<u16>,
    families: Vec<Family>,
    templates: Vec<Template>,
    restrictions: Vec<[u32; MAX_OPERANDS]>,
    words: Vec<Word>,
    rows: Vec<Row>,
    /// For comments: the name of each family.
    names: Vec<String>,
}

/// The bytes of one of the pieces of this size, zeros behind the end.
fn piece<const SIZE: usize>(bytes: &[u8], index: usize) -> [u8; SIZE] {
    let mut piece = [0; SIZE];
    for (to, from) in piece.iter_mut().zip(bytes.iter().skip(SIZE * index)) {
        *to = *from;
    }
    piece
}

/// Where a sequence stands in a list; put at its end if it is not there.
fn find_or_add<T: PartialEq + Clone>(list: &mut Vec<T>, wanted: &[T]) -> usize {
    if let Some(at) = list
        .windows(wanted.len().max(1))
        .position(|window| window == wanted)
    {
        return at;
    }
    // The end of the list may be its beginning.
    let common = (0..wanted.len())
        .rev()
        .find(|&common| list.ends_with(&wanted[..common]))
        .unwrap_or(0);
    list.extend_from_slice(&wanted[common..]);
    list.len() - wanted.len()
}

impl<'a> Tables<'a> {
    /// Lays out the families with their templates.
    pub fn build(
        architecture: &'a dyn Architecture,
        sources: &[FamilySource],
        folded: &[Vec<Folded>],
        clobbers: &[RegisterSet],
    ) -> Result<Tables<'a>, String> {
        let mut tables = Tables {
            architecture,
            forms: vec![NO_FAMILY; Form::COUNT],
            families: vec![],
            templates: vec![],
            restrictions: vec![[u32::MAX; MAX_OPERANDS]],
            words: vec![],
            rows: vec![[0; 5]],
            names: sources.iter().map(|source| source.name.clone()).collect(),
        };
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
            let family = Family {
                starts: [u16::MAX; PATTERNS],
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
                hazards: *clobbers,
                immediate: *source.immediates.iter().max().ok_or("no immediate")?,
                has_target: folded.iter().any(|template| !template.targets.is_empty()),
            };
            tables.families.push(family.settled(&tables.templates));
        }
        Ok(tables)
    }

    fn template(&mut self, source: &FamilySource, folded: &Folded) -> Result<Template, String> {
        let shape = &source.shapes[folded.shape];
        let words = (0..folded.base.len().div_ceil(8))
            .map(|number| self.word(folded, number))
            .collect::<Result<Vec<Word>, String>>()
            .map_err(|error| format!("{}: {error}", source.name))?;
        let mut words = words;
        if !folded.kind.is_plain() && words.len() < 2 {
            // Laid in where further words are.
            words.push(Word {
                code: 0,
                rows: Rows::new([0; MAX_OPERANDS]),
            });
        }
        let is_short = words.len() < 3
            && folded.kind.is_plain()
            && words
                .get(1)
                .is_none_or(|word| word.rows == Rows::new([0; 4]));
        let further = if is_short { &[][..] } else { &words[1..] };
        let restricted = source
            .operands
            .iter()
            .zip(folded.allowed)
            .any(|(operand, allowed)| allowed & operand.allowed != operand.allowed);
        let restriction = match restricted {
            true => find_or_add(&mut self.restrictions, &[folded.allowed]),
            false => 0,
        };
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
            code: std::array::from_fn(|number| words.get(number).map_or(0, |word| word.code)),
            rows: words[0].rows,
            first_word: match further {
                [] => 0,
                further => find_or_add(&mut self.words, further) as u16,
            },
            word_count: further.len() as u8,
            length: u8::try_from(folded.base.len())
                .map_err(|_| format!("{}: too long", source.name))?,
            restriction: u8::try_from(restriction)
                .map_err(|_| format!("{}: more restrictions than a byte names", source.name))?,
            equal: shape.equal.map_or(0, |k| 1 << k),
            unequal: shape.unequal & same_bank,
            immediate: folded.kind,
            holes: HolesAt::new(
                std::array::from_fn(|i| folded.targets.get(i).copied().unwrap_or(ABSENT)),
                folded.immediate_at.unwrap_or(ABSENT),
            ),
            hole: Hole::new(folded.kind, folded.immediate_at.unwrap_or(ABSENT)),
        })
    }

    /// How many times 16 masks a row is.
    fn units_of_row(&self) -> usize {
        (1 << self.architecture.number_bits()) / 16
    }

    /// A word of a template.
    fn word(&mut self, folded: &Folded, number: usize) -> Result<Word, String> {
        let mut rows = [0; MAX_OPERANDS];
        for (number_of_row, operand) in rows.iter_mut().zip(&folded.masks) {
            let row: Row =
                std::array::from_fn(|bit| u64::from_le_bytes(piece(&operand.bits[bit], number)));
            let place = find_or_add(&mut self.rows, &[row]);
            let place = place * self.units_of_row();
            if place >= MASK_ROWS {
                return Err(format!("more than {MASK_ROWS} rows of 16 masks"));
            }
            *number_of_row = place as u8;
        }
        Ok(Word {
            code: u64::from_le_bytes(piece(&folded.base, number)),
            rows: Rows::new(rows),
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
        let mut masks = Box::new([0; MASKS]);
        let size = MASKS / MASK_ROWS * self.units_of_row();
        for (room, row) in masks.chunks_exact_mut(size).zip(&self.rows) {
            for (register, mask) in room.iter_mut().enumerate() {
                for (bit, value) in row.iter().enumerate() {
                    if register >> bit & 1 == 1 {
                        *mask ^= value;
                    }
                }
            }
        }
        Ok(Box::leak(Box::new(StencilSet {
            target: self.architecture.target(),
            digest: Box::leak(digest.to_owned().into_boxed_str()),
            // What registers are for is written by hand, and nothing here asks.
            registers: RegisterFile {
                allocatable: RegisterSet(0),
                preserved: RegisterSet(0),
                int_arguments: &[],
                float_arguments: &[],
                int_scratch: 0,
                float_scratch: 0,
                context: 0,
                host_status: 0,
                above_f32: 0,
                names: [&[], &[]],
                return_address_size: 0,
                stack_alignment: 0,
            },
            distances: self.architecture.distances(),
            forms: Box::leak(forms),
            families: self.families.clone().leak(),
            templates: self.templates.clone().leak(),
            restrictions: self.restrictions.clone().leak(),
            words: self.words.clone().leak(),
            masks: Box::leak(masks),
        })))
    }

    /// How large the tables are: families, templates, and their bytes in a program.
    pub fn sizes(&self) -> (usize, usize, usize) {
        let bytes = size_of_val(&self.forms[..])
            + size_of_val(&self.families[..])
            + size_of_val(&self.templates[..])
            + size_of_val(&self.restrictions[..])
            + size_of_val(&self.words[..])
            + size_of::<[[u64; 16]; MASK_ROWS]>();
        (self.families.len(), self.templates.len(), bytes)
    }

    /// The generated file.
    pub fn source(&self, digest: &str) -> String {
        let mut out = String::new();
        let (title, features) = (self.architecture.title(), self.architecture.features());
        let (name, target) = (self.architecture.constant(), self.architecture.target());
        let _ = write!(
            out,
            "//! Stencils for {title}. Generated by `patchjit-stencil-generator` from\n\
             //! `stencils/bodies/`; the listing beside the crate shows every template's instructions.\n\n\
             use crate::table::*;\n\n\
             /// The stencils for {features}.\n\
             pub static {name}: StencilSet = StencilSet {{\n    target: \"{target}\",\n    \
             digest: \"{digest}\",\n    registers: {name}_REGISTERS,\n    distances: Distances::{:?},\n    \
             forms: &FORMS,\n    families: &FAMILIES,\n    templates: &TEMPLATES,\n    \
             restrictions: &RESTRICTIONS,\n    words: &WORDS,\n    masks: &ROWS,\n}};\n\n",
            self.architecture.distances()
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
            "#[rustfmt::skip]\nstatic FAMILIES: [Family; {}] = settle([",
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
        let _ = writeln!(out, "], &TEMPLATES);\n");
        let _ = writeln!(
            out,
            "#[rustfmt::skip]\nstatic TEMPLATES: [Template; {}] = [",
            self.templates.len()
        );
        for (family, name) in self.families.iter().zip(&self.names) {
            let first = family.first_template as usize;
            let _ = writeln!(out, "    // {name}");
            for one in &self.templates[first..first + family.template_count as usize] {
                let _ = writeln!(
                    out,
                    "    template({:#034x}, {:?}, {}, {}, {}, {}, {}, [{}, {}], {}, {}, {}),",
                    bytes_of(one.code),
                    one.rows,
                    one.first_word,
                    one.word_count,
                    one.length,
                    immediate(one.immediate),
                    number(one.holes.immediate()),
                    number(one.holes.target()[0]),
                    number(one.holes.target()[1]),
                    one.equal,
                    one.unequal,
                    one.restriction,
                );
            }
        }
        let _ = writeln!(out, "];\n");
        let _ = writeln!(
            out,
            "#[rustfmt::skip]\nstatic RESTRICTIONS: [[u32; {MAX_OPERANDS}]; {}] = [",
            self.restrictions.len()
        );
        for restriction in &self.restrictions {
            let _ = writeln!(out, "    {},", sets(restriction));
        }
        let _ = writeln!(out, "];\n");
        let _ = writeln!(
            out,
            "#[rustfmt::skip]\nstatic WORDS: [Word; {}] = [",
            self.words.len()
        );
        for word in &self.words {
            let _ = writeln!(
                out,
                "    word({:#018x}, {:?}),",
                word.code.swap_bytes(),
                word.rows
            );
        }
        let _ = writeln!(out, "];\n");
        let _ = writeln!(out, "#[rustfmt::skip]\nstatic ROWS: [u64; MASKS] = rows([",);
        for row in &self.rows {
            let words: Vec<String> = row[..self.architecture.number_bits()]
                .iter()
                .map(|mask| match mask.swap_bytes() {
                    0 => "0".to_owned(),
                    mask => format!("{mask:#018x}"),
                })
                .collect();
            let _ = writeln!(out, "    [{}],", words.join(", "));
        }
        let _ = writeln!(out, "]);");
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

fn immediate(kind: Immediate) -> String {
    match kind {
        Immediate::None => "I0".into(),
        Immediate::Signed8 => "S8".into(),
        Immediate::Signed32 => "S32".into(),
        Immediate::Bits32 => "B32".into(),
        Immediate::Bits64 => "B64".into(),
        kind => format!("Immediate::{kind:?}"),
    }
}

/// Two words as a number whose highest byte is the first.
fn bytes_of(words: [u64; 2]) -> u128 {
    u128::from(words[0].swap_bytes()) << 64 | u128::from(words[1].swap_bytes())
}
