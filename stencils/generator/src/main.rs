//! Makes the stencil tables from stencil bodies in Rust.
//!
//! ```text
//!   bodies   stencils/bodies/*  -> families: operands, shapes, forms
//!   source   families           -> crates of functions, one for each variant; runs the compiler
//!   objects  object files       -> bytes and relocations
//!   lift     functions          -> blocks, laid out so that control falls out of the end
//!   fold     variants           -> templates: bytes, linear masks, registers
//!   prove    templates          -> decoded in every assignment; what they clobber
//!   tables   templates          -> stencils/src/x86_64_sysv.rs, and `listing` the text beside it
//! ```
//!
//! Without arguments the files are written; `--check` compares them with the committed ones instead.
//! Run it with `--release`: it compiles some hundred thousand functions.

mod bodies;
mod fold;
mod lift;
mod listing;
mod objects;
mod prove;
mod source;
mod tables;

use bodies::{Body, FamilySource};
use fold::Compiled;
use patchjit::stencil::{Immediate, MAX_OPERANDS, RegisterSet, StencilSet, Template};
use sha2::{Digest, Sha256};
use source::Variant;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let check = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => false,
        ["--check"] => true,
        _ => {
            eprintln!("usage: patchjit-stencil-generator [--check]");
            return ExitCode::from(2);
        }
    };
    match run(check) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(check: bool) -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .ok_or("the generator has no folder above it")?;
    let read = |path: &str| {
        std::fs::read_to_string(root.join(path)).map_err(|error| format!("{path}: {error}"))
    };
    let (prelude, text) = (read("bodies/prelude.rs")?, read("bodies/x86_64.stencils")?);
    let version = source::compiler_version()?;
    if !version.starts_with(source::COMPILER) {
        eprintln!(
            "warning: this is {version}, the tables are made with {}: the bytes may differ",
            source::COMPILER
        );
    }
    let digest = digest(&[&prelude, &text, &source::FLAGS.join(" "), source::COMPILER]);
    let families = bodies::parse(&text).map_err(|error| format!("x86_64.stencils: {error}"))?;

    let start = std::time::Instant::now();
    let variants = choose_variants(&families);
    eprintln!("{} families, {} variants", families.len(), variants.len());
    let compiled = compile(&families, &variants, &prelude)?;
    eprintln!("compiled and lifted after {:.1?}", start.elapsed());
    let (folded, clobbers) = fold_and_prove(&families, compiled)?;
    let tables = tables::Tables::build(&families, &folded, &clobbers)?;
    prove_tables(&families, &folded, tables.leak(&digest)?)?;
    let (family_count, template_count, bytes) = tables.sizes();
    eprintln!(
        "{family_count} families, {template_count} templates, {bytes} bytes of tables, proved after {:.1?}",
        start.elapsed()
    );

    let outputs = [
        (root.join("src/x86_64_sysv.rs"), tables.source(&digest)),
        (
            root.join("listing/x86_64_sysv.txt"),
            listing::listing(&families, &folded)?,
        ),
    ];
    for (path, text) in outputs {
        if check {
            compare(&path, &text)?;
        } else {
            write(&path, &text)?;
        }
    }
    Ok(())
}

fn compare(path: &Path, text: &str) -> Result<(), String> {
    let committed =
        std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let line = committed
        .lines()
        .zip(text.lines())
        .position(|(old, new)| old != new);
    match line {
        _ if committed == text => Ok(()),
        line => Err(format!(
            "{} differs from what is generated, from line {}",
            path.display(),
            line.map_or(0, |line| line + 1)
        )),
    }
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    let fail = |error: std::io::Error| format!("{}: {error}", path.display());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(fail)?;
    }
    std::fs::write(path, text).map_err(fail)
}

fn digest(inputs: &[&str]) -> String {
    let mut hash = Sha256::new();
    for input in inputs {
        hash.update((input.len() as u64).to_le_bytes());
        hash.update(input);
    }
    hash.finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A small generator of numbers, the same on every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// Immediates whose bytes are found again in the code, and that no instruction has a short form for.
fn values(kind: Immediate) -> &'static [i64] {
    match kind {
        Immediate::None => &[0],
        Immediate::Signed8 => &[0x5b, 0x2e, 0x67],
        Immediate::Signed32 => &[0x1b5a_4c6d, -0x1234_5679, 0x7654_3a2f],
        Immediate::Bits32 => &[0x1b5a_4c6d, 0x8765_4321, 0x7654_3a2f],
        Immediate::Bits64 => &[0x1b5a_4c6d_3e7f_2839, -0x1234_5678_9abc_def1],
    }
}

/// What to compile: every assignment where up to two operands vary; beyond that all variations of two
/// operands around a seed, and a sample that holds all patterns of equal registers.
fn choose_variants(families: &[FamilySource]) -> Vec<Variant> {
    let mut variants = Vec::new();
    let mut numbers = Numbers(1);
    for (family_index, family) in families.iter().enumerate() {
        let all = prove::assignments(family);
        for (shape_index, shape) in family.shapes.iter().enumerate() {
            let free = fold::free_operands(family, shape);
            let mut candidates: Vec<[u8; MAX_OPERANDS]> = all
                .iter()
                .copied()
                .filter(|registers| shape.serves(family, registers))
                .filter(|registers| {
                    free.iter().all(|&k| {
                        source::can_name(&shape.body, family.operands[k].bank, registers[k])
                    })
                })
                // The compiler simplifies Rust over equal inputs; the decoder proves those.
                .filter(|registers| {
                    matches!(shape.body, Body::Asm(_)) || inputs_differ(family, registers)
                })
                .collect();
            if free.len() > 2 {
                candidates = sample(&candidates, &free, &mut numbers);
            }
            for &kind in &family.immediates {
                for (round, &value) in values(kind).iter().enumerate() {
                    // All assignments with one immediate, some with the others.
                    let step = if round == 0 {
                        1
                    } else {
                        candidates.len().div_ceil(5).max(1)
                    };
                    for registers in candidates.iter().step_by(step) {
                        variants.push(Variant {
                            family: family_index,
                            shape: shape_index,
                            kind,
                            value,
                            registers: *registers,
                        });
                    }
                }
            }
        }
    }
    variants
}

/// Whether no two operands that are only read share a register.
fn inputs_differ(family: &FamilySource, registers: &[u8; MAX_OPERANDS]) -> bool {
    let first = usize::from(family.has_output);
    (first..family.operands.len()).all(|k| {
        (first..k).all(|j| {
            family.operands[j].bank != family.operands[k].bank || registers[j] != registers[k]
        })
    })
}

fn sample(
    candidates: &[[u8; MAX_OPERANDS]],
    free: &[usize],
    numbers: &mut Numbers,
) -> Vec<[u8; MAX_OPERANDS]> {
    let apart = |registers: &[u8; MAX_OPERANDS]| {
        free.iter()
            .enumerate()
            .all(|(index, &k)| free[..index].iter().all(|&j| registers[j] != registers[k]))
    };
    let apart: Vec<_> = candidates
        .iter()
        .filter(|registers| apart(registers))
        .collect();
    let seed = apart
        .get(numbers.next() as usize % apart.len().max(1))
        .copied()
        .unwrap_or(&candidates[0]);
    let mut chosen: BTreeSet<[u8; MAX_OPERANDS]> = candidates
        .iter()
        .filter(|registers| free.iter().filter(|&&k| registers[k] != seed[k]).count() <= 2)
        .copied()
        .collect();
    for _ in 0..64 {
        chosen.insert(candidates[numbers.next() as usize % candidates.len()]);
    }
    chosen.into_iter().collect()
}

/// Compiled variants by family, shape and kind of immediate.
type Collected = BTreeMap<(usize, usize, u8), (Immediate, Vec<Compiled>)>;

fn compile(
    families: &[FamilySource],
    variants: &[Variant],
    prelude: &str,
) -> Result<Collected, String> {
    let directory = scratch_directory()?;
    let objects = source::compile(families, variants, prelude, &directory);
    let _ = std::fs::remove_dir_all(&directory);
    let objects = objects?;
    let mut collected = Collected::new();
    for object in &objects {
        let mut functions: Vec<_> = objects::read(object)?.into_iter().collect();
        functions.sort_by_key(|(number, _)| *number);
        for (number, function) in functions {
            let variant = variants.get(number).ok_or("a function too many")?;
            let family = &families[variant.family];
            let describe = |error: String| {
                format!(
                    "{}, shape {}, {:?}: {error}",
                    family.name, variant.shape, variant.registers
                )
            };
            let lifted = lift::lift(&function).map_err(describe)?;
            let mut bytes = lifted.bytes;
            let immediate_at = take_immediate(&mut bytes, variant).map_err(describe)?;
            collected
                .entry((variant.family, variant.shape, variant.kind as u8))
                .or_insert_with(|| (variant.kind, vec![]))
                .1
                .push(Compiled {
                    registers: variant.registers,
                    bytes,
                    targets: lifted.targets,
                    immediate_at,
                });
        }
    }
    let count: usize = collected.values().map(|(_, list)| list.len()).sum();
    if count != variants.len() {
        return Err(format!("{count} functions for {} variants", variants.len()));
    }
    Ok(collected)
}

fn scratch_directory() -> Result<PathBuf, String> {
    let path = std::env::temp_dir().join(format!("patchjit-stencils-{}", std::process::id()));
    std::fs::create_dir_all(&path).map_err(|error| error.to_string())?;
    Ok(path)
}

/// Finds the immediate in the code, where it must stand exactly once, and zeroes it.
fn take_immediate(bytes: &mut [u8], variant: &Variant) -> Result<Option<u8>, String> {
    let width = match variant.kind {
        Immediate::None => return Ok(None),
        Immediate::Signed8 => 1,
        Immediate::Signed32 | Immediate::Bits32 => 4,
        Immediate::Bits64 => 8,
    };
    let wanted = &variant.value.to_le_bytes()[..width];
    let places: Vec<usize> = lift::constants(bytes)?
        .into_iter()
        .filter(|&(at, size)| size == width && bytes[at..at + width] == *wanted)
        .map(|(at, _)| at)
        .collect();
    let [at] = places[..] else {
        return Err(format!(
            "the immediate {:#x} at {places:?} in {bytes:02x?}",
            variant.value
        ));
    };
    bytes[at..at + width].fill(0);
    Ok(Some(at as u8))
}

/// Folds every family, and holds every assignment that a template claims against its pattern.
fn fold_and_prove(
    families: &[FamilySource],
    collected: Collected,
) -> Result<(Vec<Vec<fold::Folded>>, Vec<RegisterSet>), String> {
    let mut folded: Vec<Vec<fold::Folded>> = families.iter().map(|_| vec![]).collect();
    let mut clobbers: Vec<RegisterSet> = families.iter().map(|_| RegisterSet(0)).collect();
    for ((family_index, shape, _), (kind, variants)) in collected {
        let family = &families[family_index];
        let all = prove::assignments(family);
        for template in fold::fold(family, shape, kind, variants)? {
            let pattern = prove::Pattern::new(family, &template)?;
            clobbers[family_index].0 |= pattern.clobbers(family)?.0;
            for registers in &all {
                let claimed = family.shapes[shape].serves(family, registers)
                    && (0..MAX_OPERANDS).all(|k| template.allowed[k] >> registers[k] & 1 == 1);
                if claimed && !pattern.holds(&template.rebuild(registers), registers) {
                    return Err(format!(
                        "{}, shape {shape}: {registers:?} decodes to something else: {:02x?}",
                        family.name,
                        template.rebuild(registers)
                    ));
                }
            }
            folded[family_index].push(template);
        }
    }
    Ok((folded, clobbers))
}

/// The code of a template for some registers, as the patcher makes it.
fn code_of(set: &StencilSet, template: &Template, registers: &[u8; MAX_OPERANDS]) -> Vec<u8> {
    set.fill(template, registers.map(u32::from))[..template.length as usize].to_vec()
}

/// The finished tables: every compiled variant comes out of them, every permitted assignment is served, and
/// by bytes of the shape that is meant for it.
fn prove_tables(
    families: &[FamilySource],
    folded: &[Vec<fold::Folded>],
    set: &StencilSet,
) -> Result<(), String> {
    for (index, (source, templates)) in families.iter().zip(folded).enumerate() {
        let family = &set.families[index];
        for template in templates {
            let value = values(template.kind)[0];
            for member in &template.members {
                let found = set
                    .template(family, member.registers.map(u32::from), value)
                    .ok_or_else(|| format!("{}: {:?} not found", source.name, member.registers))?;
                let holes: Vec<u8> = found
                    .holes
                    .target()
                    .into_iter()
                    .filter(|&at| at != patchjit::stencil::ABSENT)
                    .collect();
                if code_of(set, found, &member.registers) != member.bytes
                    || holes != member.targets
                    || found.holes.immediate()
                        != member.immediate_at.unwrap_or(patchjit::stencil::ABSENT)
                {
                    return Err(format!("{}: {:?} is lost", source.name, member.registers));
                }
            }
        }
        for registers in prove::assignments(source) {
            for &kind in &source.immediates {
                let value = values(kind)[0];
                let found = set
                    .template(family, registers.map(u32::from), value)
                    .ok_or_else(|| {
                        format!(
                            "{}: no template for {registers:?} with {kind:?}",
                            source.name
                        )
                    })?;
                let wanted = templates.iter().find(|template| {
                    template.kind == kind
                        && source.shapes[template.shape].serves(source, &registers)
                        && (0..MAX_OPERANDS).all(|k| template.allowed[k] >> registers[k] & 1 == 1)
                });
                let rebuilt = code_of(set, found, &registers);
                if wanted.is_none_or(|wanted| wanted.rebuild(&registers) != rebuilt) {
                    return Err(format!(
                        "{}: the wrong template for {registers:?}",
                        source.name
                    ));
                }
            }
        }
    }
    Ok(())
}
