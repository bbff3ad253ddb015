//! Makes the stencil tables from stencil bodies in Rust.
//!
//! ```text
//!   bodies   stencils/bodies/*  -> families: operands, shapes, forms
//!   compile  families           -> crates of functions, one for each variant; runs the compiler
//!   objects  object files       -> bytes and relocations
//!   lift     functions          -> code that control falls out of at its end
//!   fold     variants           -> templates: bytes, linear masks, registers
//!   prove    templates          -> decoded in every assignment; what they clobber
//!   tables   templates          -> stencils/src/<target>.rs, and `listing` the text beside it
//! ```
//!
//! How functions are written, lifted, decoded and printed is each architecture's own (`architecture`; `x86_64`, `aarch64`, `riscv64`).
//! What those share whose bodies are assembly is in `assembly`.
//!
//! Without arguments the files of all targets are written; `--check` compares them with the committed ones instead; the names
//! of targets limit both.
//! Run it with `--release`: it compiles some hundred thousand functions.

mod aarch64;
mod architecture;
mod assembly;
mod bodies;
mod compile;
mod fold;
mod listing;
mod objects;
mod riscv64;
mod tables;
mod x86_64;

use architecture::Architecture;
use bodies::{Body, FamilySource};
use compile::Variant;
use fold::Compiled;
use patchjit::stencil::{Immediate, MAX_OPERANDS, RegisterSet, StencilSet, Template};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// All that there are.
const ARCHITECTURES: [&dyn Architecture; 5] = [
    &x86_64::SYSV,
    &x86_64::SYSV_V3,
    &x86_64::WINDOWS,
    &aarch64::Aarch64,
    &riscv64::Riscv64,
];

fn main() -> ExitCode {
    let mut check = false;
    let mut chosen = Vec::new();
    for argument in std::env::args().skip(1) {
        let known = ARCHITECTURES.iter().find(|one| one.target() == argument);
        match known {
            Some(one) => chosen.push(*one),
            None if argument == "--check" => check = true,
            None => {
                let targets = ARCHITECTURES.map(Architecture::target).join(" or ");
                eprintln!(
                    "usage: patchjit-stencil-generator [--check] [TARGET..], TARGET being {targets}"
                );
                return ExitCode::from(2);
            }
        }
    }
    if chosen.is_empty() {
        chosen.extend(ARCHITECTURES);
    }
    for architecture in chosen {
        if let Err(error) = run(architecture, check) {
            eprintln!("error: {}: {error}", architecture.target());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn run(architecture: &dyn Architecture, check: bool) -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .ok_or("the generator has no folder above it")?;
    let read = |path: &str| {
        std::fs::read_to_string(root.join(path)).map_err(|error| format!("{path}: {error}"))
    };
    let prelude = read("bodies/prelude.rs")?;
    let files = architecture.bodies();
    let texts = files
        .iter()
        .map(|file| read(&format!("bodies/{file}")))
        .collect::<Result<Vec<String>, String>>()?;
    let version = compile::compiler_version()?;
    if !version.starts_with(compile::COMPILER) {
        eprintln!(
            "warning: this is {version}, the tables are made with {}: the bytes may differ",
            compile::COMPILER
        );
    }
    let flags = architecture.flags().join(" ");
    let mut inputs = vec![prelude.as_str()];
    inputs.extend(texts.iter().map(String::as_str));
    inputs.extend([flags.as_str(), compile::COMPILER]);
    let digest = digest(&inputs);
    let mut families = Vec::new();
    for (file, text) in files.iter().zip(&texts) {
        let more = bodies::parse(architecture, text).map_err(|error| format!("{file}: {error}"))?;
        bodies::replace(&mut families, more);
    }

    let start = std::time::Instant::now();
    let variants = choose_variants(architecture, &families);
    eprintln!(
        "{}: {} families, {} variants",
        architecture.target(),
        families.len(),
        variants.len()
    );
    let compiled = compile(architecture, &families, &variants, &prelude)?;
    eprintln!("compiled and lifted after {:.1?}", start.elapsed());
    let (folded, clobbers) = fold_and_prove(architecture, &families, compiled)?;
    let tables = tables::Tables::build(architecture, &families, &folded, &clobbers)?;
    prove_tables(&families, &folded, tables.leak(&digest)?)?;
    let (family_count, template_count, bytes) = tables.sizes();
    eprintln!(
        "{family_count} families, {template_count} templates, {bytes} bytes of tables, proved after {:.1?}",
        start.elapsed()
    );

    let name = architecture.target().replace('-', "_");
    let outputs = [
        (root.join(format!("src/{name}.rs")), tables.source(&digest)),
        (
            root.join(format!("listing/{name}.txt")),
            listing::listing(architecture, &families, &folded)?,
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

/// Immediates that are found again in the code, that no instruction has a short form for, and that no other kind which
/// bodies put before this one takes.
fn values(kind: Immediate) -> &'static [i64] {
    match kind {
        Immediate::None => &[0],
        Immediate::Signed8 => &[0x5b, 0x2e, 0x67],
        Immediate::Signed32 | Immediate::Pieces32 => &[0x1b5a_4c6d, -0x1234_5679, 0x7654_3a2f],
        Immediate::Bits32 | Immediate::PiecesBits32 => &[0x1b5a_4c6d, 0x8765_4321, 0x7654_3a2f],
        Immediate::Bits64 | Immediate::Pieces64 => &[0x1b5a_4c6d_3e7f_2839, -0x1234_5678_9abc_def1],
        Immediate::Unsigned12 => &[0xa5b, 0x35c, 0x6e7],
        Immediate::Negated12 => &[-0xa5b, -0x35c, -0x6e7],
        Immediate::High12 => &[0xa5b000, 0x35c000, 0x6e7000],
        Immediate::Scaled12By2 => &[2 * 0xa5b, 2 * 0x35d, 2 * 0x6e7],
        Immediate::Scaled12By4 => &[4 * 0xa5b, 4 * 0x35d, 4 * 0x6e7],
        Immediate::Scaled12By8 => &[8 * 0xa5b, 8 * 0x35d, 8 * 0x6e7],
        Immediate::Signed9 => &[-0x5b, -0x2d, -0xe3],
        Immediate::Byte => &[0x5b, -0x2e, 0xe7],
        Immediate::Piece0 => &[0xa5b3, 0x1c2d, 0x6e79],
        Immediate::Piece1 => &[0xa5b3 << 16, 0x1c2d << 16, 0x6e79 << 16],
        Immediate::Piece2 => &[0xa5b3 << 32, 0x1c2d << 32, 0x6e79 << 32],
        Immediate::Piece3 => &[0x25b3 << 48, 0x1c2d << 48, 0x6e79 << 48],
        Immediate::Complement16 => &[!0xa5b3, !0x1c2d, !0x6e79],
        Immediate::Logical32 => &[0x3fff_c000, 0x00ff_ff80, 0x7e7e_7e7e],
        Immediate::Logical64 => &[0x3fff_fffc_0000, 0x7e7e_7e7e_7e7e_7e7e, -0x7_ffff_ffff_ffc1],
        Immediate::Left32 | Immediate::RotationLeft32 => &[5, 19, 30],
        Immediate::Left64 | Immediate::RotationLeft64 => &[5, 37, 62],
        Immediate::Shift | Immediate::Rotation => &[5, 19, 30],
        Immediate::Frame24 => &[0xa5_b35c, 0x12_34d6, 0xfe_dc4a],
        Immediate::Signed12 | Immediate::Split12 => &[0x35b, -0x2c5, 0x6e7],
        Immediate::Opposite12 => &[-0x35b, 0x2c5, -0x6e7],
        Immediate::Unsigned11 => &[0x35b, 0x2c5, 0x6e7],
        Immediate::Byte8 => &[0x5b, -0x2e, 0xe7],
        Immediate::Amount => &[5, 19, 30],
        Immediate::Turn32 => &[5, 19, 30],
        Immediate::Turn64 => &[5, 37, 62],
        Immediate::Upper32 => &[0x1b5a_4000, -0x1234_5000, 0x7654_3000],
        Immediate::Upper64 => &[0x1_b5a4 << 44, -0x1_2345 << 44, 0x7_6543 << 44],
        Immediate::Sum32 => &[0x1b5a_4c6d, -0x1234_5679, 0x7654_3a2f],
        Immediate::SumUnsigned31 => &[0x1b5a_4c6d, 0x1234_5678, 0x7654_3a2f],
        Immediate::SumBits32 => &[0x8765_4321, -0x1234_5679, 0x9654_3a2f],
        Immediate::Sum64 => &[0x1b5a_4c6d_3e7f_2839, -0x1234_5678_9abc_def1],
    }
}

/// What to compile: every assignment where up to two operands vary; beyond that all variations of a few
/// operands around a seed, and a sample that holds all patterns of equal registers.
fn choose_variants(architecture: &dyn Architecture, families: &[FamilySource]) -> Vec<Variant> {
    let mut variants = Vec::new();
    let mut numbers = Numbers(1);
    for (family_index, family) in families.iter().enumerate() {
        let all = bodies::assignments(family);
        for (shape_index, shape) in family.shapes.iter().enumerate() {
            let free = fold::free_operands(family, shape);
            let mut candidates: Vec<[u8; MAX_OPERANDS]> = all
                .iter()
                .copied()
                .filter(|registers| shape.serves(family, registers))
                .filter(|registers| {
                    free.iter().all(|&k| {
                        architecture.can_name(&shape.body, family.operands[k].bank, registers[k])
                    })
                })
                // The compiler simplifies Rust over equal inputs; the decoder proves those.
                .filter(|registers| {
                    matches!(shape.body, Body::Asm(_)) || inputs_differ(family, registers)
                })
                .collect();
            if free.len() > 2 {
                let together = architecture.varied_together();
                candidates = sample(&candidates, &free, together, &mut numbers);
            }
            for &kind in &shape.kinds {
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
    together: usize,
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
        .filter(|registers| {
            let varied = free.iter().filter(|&&k| registers[k] != seed[k]);
            varied.count() <= together
        })
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
    architecture: &dyn Architecture,
    families: &[FamilySource],
    variants: &[Variant],
    prelude: &str,
) -> Result<Collected, String> {
    let directory = scratch_directory()?;
    let objects = compile::compile(architecture, families, variants, prelude, &directory);
    let _ = std::fs::remove_dir_all(&directory);
    let objects = objects?;
    let mut collected = Collected::new();
    for object in &objects {
        let mut functions: Vec<_> = objects::read(architecture, object)?.into_iter().collect();
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
            let lifted = architecture.lift(&function).map_err(describe)?;
            let mut bytes = lifted.bytes;
            let immediate_at = architecture
                .take_immediate(&mut bytes, variant)
                .map_err(describe)?;
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

/// Folds every family, and holds every assignment that a template claims against its pattern.
fn fold_and_prove(
    architecture: &dyn Architecture,
    families: &[FamilySource],
    collected: Collected,
) -> Result<(Vec<Vec<fold::Folded>>, Vec<RegisterSet>), String> {
    let mut folded: Vec<Vec<fold::Folded>> = families.iter().map(|_| vec![]).collect();
    let mut clobbers: Vec<RegisterSet> = families.iter().map(|_| RegisterSet(0)).collect();
    for ((family_index, shape, _), (kind, variants)) in collected {
        let family = &families[family_index];
        let all = bodies::assignments(family);
        for template in fold::fold(family, shape, kind, variants)? {
            let claimed: Vec<_> = all
                .iter()
                .copied()
                .filter(|registers| {
                    family.shapes[shape].serves(family, registers)
                        && (0..MAX_OPERANDS).all(|k| template.allowed[k] >> registers[k] & 1 == 1)
                })
                .collect();
            let written = architecture
                .prove(family, &template, &claimed)
                .map_err(|error| format!("{}, shape {shape}: {error}", family.name))?;
            clobbers[family_index].0 |= written.0;
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
        for registers in bodies::assignments(source) {
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
