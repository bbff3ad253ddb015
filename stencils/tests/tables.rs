//! The committed tables are complete and consistent, and belong to the bodies beside them.

mod common;

use common::{assignments, fill, immediates, kinds, templates};
use patchjit::ops::{Opcode, Shape, flags};
use patchjit::stencil::{
    ABSENT, Distances, FORM_KINDS, Form, FormKind, MAX_OPERANDS, MOST_TEMPLATE_BYTES, Machine,
    OperandKind, PATTERNS, StencilSet,
};
use patchjit_stencils::{
    AARCH64_AAPCS, ALL, RISCV64_LP64D, X86_64_SYSV, X86_64_SYSV_V3, X86_64_WINDOWS,
};
use sha2::{Digest, Sha256};

/// The sets that have tables of their own; those that share them stand behind.
fn sets() -> Vec<&'static StencilSet> {
    let mut sets = ALL.to_vec();
    sets.dedup_by_key(|set| set.digest);
    sets
}

const FORMS: [FormKind; FORM_KINDS] = [
    FormKind::Registers,
    FormKind::Immediate,
    FormKind::Jump,
    FormKind::JumpImmediate,
    FormKind::JumpNot,
];

fn has_forms(set: &StencilSet) {
    let has = |code, kind| set.family(Form::op(code, kind)).is_some();
    for code in Opcode::all() {
        let info = code.info();
        if info.shape == Shape::Tag {
            // Lowered to other ops.
            continue;
        }
        let scalar = patchjit::ops::evaluate(code, 0, 0).is_some();
        if scalar || info.width > 0 && !info.has(flags::ATOMIC) || info.shape == Shape::Select {
            assert!(has(code, FormKind::Registers), "{}", info.name);
        }
        if info.width > 0 {
            assert!(has(code, FormKind::Immediate), "{}", info.name);
        }
        if info.has(flags::COMPARES) {
            assert!(has(code, FormKind::Jump), "{}", info.name);
            assert!(
                has(code, FormKind::JumpNot) || code.inverse().is_some(),
                "{}",
                info.name
            );
            if info.operand_count == 2 && !info.operands[0].is_float() {
                assert!(has(code, FormKind::Immediate), "{}", info.name);
                assert!(has(code, FormKind::JumpImmediate), "{}", info.name);
            }
        }
        let op = info.name.split('.').nth(1).unwrap_or("");
        let immediates = [
            "add",
            "mul",
            "and",
            "or",
            "xor",
            "shl",
            "shr_s",
            "shr_u",
            "rotl",
            "rotr",
            "add_checked",
            "sub_checked",
            "mul_checked",
        ];
        if immediates.contains(&op) && !info.operands[0].is_float() {
            // No multiplication of AArch64 and RISC-V has a constant in it.
            let registers_only =
                set.distances != Distances::Bytes32 && ["mul", "mul_checked"].contains(&op);
            assert_eq!(
                has(code, FormKind::Immediate),
                !registers_only,
                "{}",
                info.name
            );
        }
    }
    assert!(has(Opcode::Branch, FormKind::Jump) && has(Opcode::Branch, FormKind::JumpNot));
    assert!(has(Opcode::Fence, FormKind::Registers));
    // RISC-V has no flags, and is the only one whose jumps do not reach across all code; on AArch64 jump tables do not.
    let is_riscv = set.distances == Distances::Scattered;
    let flags = Machine::CompareI32 as usize..=Machine::ChooseGeF as usize;
    for machine in Machine::ALL {
        let is_there = match machine {
            Machine::JumpFar => is_riscv,
            Machine::JumpTableFar => set.distances == Distances::Fields,
            machine => !is_riscv || !flags.contains(&(machine as usize)),
        };
        let family = set.family(Form::machine(machine));
        assert_eq!(family.is_some(), is_there, "{machine:?}");
    }
}

#[test]
fn every_op_has_its_forms() {
    sets().into_iter().for_each(has_forms);
}

/// Whether code is instructions from its start to its end.
fn decodes(set: &StencilSet, bytes: &[u8]) -> bool {
    match set.distances {
        Distances::Bytes32 => {
            let mut decoder = iced_x86::Decoder::new(64, bytes, iced_x86::DecoderOptions::NONE);
            let mut instructions = decoder.iter();
            let length: usize = instructions
                .by_ref()
                .take_while(|instruction| !instruction.is_invalid())
                .map(|instruction| instruction.len())
                .sum();
            length == bytes.len()
        }
        Distances::Fields => {
            use yaxpeax_arch::{Arch, Decoder, U8Reader};
            let decoder = <yaxpeax_arm::armv8::a64::ARMv8 as Arch>::Decoder::default();
            let mut words = bytes.chunks(4);
            words.all(|word| decoder.decode(&mut U8Reader::new(word)).is_ok())
        }
        Distances::Scattered => {
            use riscv_isa::{Instruction, Target, Xlen, decode_full};
            let target = Target {
                xlen: Xlen::Rv64,
                m: true,
                a: true,
                f: true,
                d: true,
                ..Target::default()
            };
            let mut words = bytes
                .chunks(4)
                .map(|word| word.try_into().unwrap_or([0; 4]));
            words.all(|word| decode_full(u32::from_le_bytes(word), &target) != Instruction::UNIMP)
        }
    }
}

fn serves_every_assignment(set: &StencilSet) {
    for (index, family) in set.families.iter().enumerate() {
        let templates = templates(set, family);
        assert!(!templates.is_empty());
        assert!(
            templates
                .iter()
                .any(|template| template.immediate == family.immediate)
        );
        for (k, kind) in family.kinds.iter().enumerate() {
            assert_eq!(
                *kind == OperandKind::None,
                family.allowed[k] == u32::MAX,
                "family {index}"
            );
        }
        let kinds = kinds(templates);
        for (position, registers) in assignments(family).iter().enumerate() {
            for &kind in &kinds {
                let value = *immediates(kind).last().expect("an immediate");
                let template = set
                    .template(family, registers.map(u32::from), value)
                    .expect("a template");
                assert_eq!(template.immediate, kind, "family {index} {registers:?}");
                // Decoding all of them takes the generator a while; here a sample.
                if position % 7 == 0 {
                    let bytes = fill(set, template, registers, value);
                    assert!(decodes(set, &bytes), "family {index} {registers:?}");
                }
            }
        }
    }
}

#[test]
fn every_assignment_has_a_template_that_decodes() {
    sets().into_iter().for_each(serves_every_assignment);
}

#[test]
fn holes_and_words_lie_within_their_tables() {
    for set in sets() {
        for template in set.templates {
            let length = usize::from(template.length);
            let words = usize::from(template.word_count);
            // An immediate that is not plain is laid in with the further words.
            let plain = template.immediate.is_plain();
            let least = if plain { 1 } else { 2 };
            assert!(
                plain && words == 0 && length <= 16 || words == length.div_ceil(8).max(least) - 1
            );
            assert!(usize::from(template.first_word) + words <= set.words.len());
            assert!(length <= MOST_TEMPLATE_BYTES);
            assert!((template.restriction as usize) < set.restrictions.len());
            let field = template.immediate.field();
            assert_eq!(field == 0, template.holes.immediate() == ABSENT);
            let code = set.fill(template, [0; 4]);
            if field != 0 {
                let at = template.holes.immediate() as usize;
                let width = 16 - field.leading_zeros() as usize / 8;
                assert!(at + width <= length);
                let mut bits = [0; 16];
                bits[..width].copy_from_slice(&code[at..at + width]);
                assert_eq!(u128::from_le_bytes(bits) & field, 0);
            }
            let targets = template.holes.target();
            for hole in targets.into_iter().filter(|&hole| hole != ABSENT) {
                let hole = hole as usize;
                let mut bytes = [0; 8];
                for (to, from) in bytes.iter_mut().zip(&code[hole..length]) {
                    *to = *from;
                }
                let code = u64::from_le_bytes(bytes);
                let field = set.distances.field(code);
                assert!(field != 0 && code & field == 0);
                assert!(hole + (64 - field.leading_zeros() as usize).div_ceil(8) <= length);
            }
        }
        assert_eq!(set.masks[..16], [0; 16]);
    }
}

/// The compiler takes the first template of these forms without looking at which operands share a register.
#[test]
fn forms_without_a_choice_by_registers_are_uniform() {
    let tests_of = |code| {
        let kinds = [FormKind::Jump, FormKind::JumpImmediate, FormKind::JumpNot];
        kinds.map(|kind| Form::op(code, kind))
    };
    let mut forms: Vec<Form> = Opcode::all().flat_map(tests_of).collect();
    let stores = Opcode::all().filter(|code| code.info().shape == Shape::Store);
    forms.extend(stores.flat_map(|code| {
        [FormKind::Registers, FormKind::Immediate].map(|kind| Form::op(code, kind))
    }));
    let machines = Machine::ALL.into_iter().filter(|&machine| {
        machine != Machine::Address && (machine as usize) < Machine::ChooseEq as usize
    });
    forms.extend(machines.map(Form::machine));
    for set in sets() {
        let families: Vec<_> = forms.iter().filter_map(|&form| set.family(form)).collect();
        assert!(families.len() > 100, "{}", families.len());
        for family in families {
            assert_eq!(family.starts, [family.first_template; PATTERNS]);
        }
    }
}

fn keeps_registers_apart(set: &StencilSet, untouched: &[u8]) {
    let file = &set.registers;
    for &reserved in untouched.iter().chain([&file.int_scratch, &file.context]) {
        assert_eq!(file.allocatable.0 >> reserved & 1, 0);
    }
    assert_eq!(file.allocatable.0 >> (32 + file.float_scratch) & 1, 0);
    assert_eq!(file.preserved.0 & !file.allocatable.0, 0);
    let untouched = untouched.iter().fold(0u32, |set, &r| set | 1 << r);
    // A template without operands is the same for all registers; one with operands writes none but its own.
    for family in set.families {
        let output = if family.has_output && family.allowed[0].is_power_of_two() {
            u64::from(family.allowed[0])
                << if family.kinds[0] == OperandKind::Float {
                    32
                } else {
                    0
                }
        } else {
            0
        };
        assert_eq!(family.clobbers.0 & output, 0, "an output is no clobber");
        if family.has_output && family.kinds[0] == OperandKind::Int {
            assert_eq!(family.allowed[0] & untouched, 0);
        }
    }
    let codes = Opcode::all().flat_map(|code| FORMS.map(|kind| Form::op(code, kind)));
    for family in codes.filter_map(|form| set.family(form)) {
        assert_eq!(family.clobbers.0 & u64::from(untouched), 0);
    }
}

#[test]
fn allocatable_registers_are_apart_from_the_others() {
    // The stack pointer and the context; those of the platform and of C.
    keeps_registers_apart(&X86_64_SYSV, &[4, 5]);
    keeps_registers_apart(&X86_64_SYSV_V3, &[4, 5]);
    keeps_registers_apart(&X86_64_WINDOWS, &[4, 5]);
    keeps_registers_apart(&AARCH64_AAPCS, &[18, 28, 29, 31]);
    keeps_registers_apart(&RISCV64_LP64D, &[0, 2, 3, 4, 8, 27]);
}

/// What does not know the convention is the same code, so that to execute it in one set speaks for both.
#[test]
fn the_sets_differ_in_entries_and_host_calls_only() {
    use Machine::{CallHost, Entry, EntryAbandon, EntryReturn};
    let own = [CallHost, Entry, EntryAbandon, EntryReturn].map(Form::machine);
    let (sysv, windows) = (&X86_64_SYSV, &X86_64_WINDOWS);
    assert_eq!(sysv.forms, windows.forms);
    for form in (0..Form::COUNT as u16).map(Form) {
        let (Some(one), Some(other)) = (sysv.family(form), windows.family(form)) else {
            continue;
        };
        if own.contains(&form) {
            continue;
        }
        assert_eq!(one, other);
        for (one, other) in templates(sysv, one).iter().zip(templates(windows, other)) {
            assert_eq!((one.immediate, one.holes), (other.immediate, other.holes));
            assert_eq!((one.equal, one.unequal), (other.equal, other.unequal));
            let allowed = |set: &StencilSet, at| set.restrictions[usize::from(at)];
            let (restriction, other_restriction) = (one.restriction, other.restriction);
            assert_eq!(
                allowed(sysv, restriction),
                allowed(windows, other_restriction)
            );
            // Masks are linear in the bits of a register's number.
            for operand in 0..MAX_OPERANDS {
                for bit in [0, 1, 2, 4, 8] {
                    let mut registers = [0; MAX_OPERANDS];
                    registers[operand] = bit;
                    assert_eq!(sysv.fill(one, registers), windows.fill(other, registers));
                }
            }
        }
    }
}

/// Sets for AArch64 are one under several names.
#[test]
fn sets_of_one_digest_share_their_tables() {
    for pair in ALL
        .windows(2)
        .filter(|pair| pair[0].digest == pair[1].digest)
    {
        assert_ne!(pair[0].target, pair[1].target);
        assert!(std::ptr::eq(pair[0].templates, pair[1].templates));
    }
    assert_eq!(sets().len(), 5);
}

/// Checks the digest over the same inputs as the generator takes, so that changed bodies without new tables fail.
fn is_of_the_bodies(set: &StencilSet, files: &[&str], flags: &str) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/bodies/");
    let mut hash = Sha256::new();
    let read =
        |name: &str| std::fs::read_to_string(format!("{folder}{name}")).expect("a body file");
    let mut inputs = vec![read("prelude.rs")];
    inputs.extend(files.iter().map(|file| read(file)));
    inputs.extend([flags, "rustc 1.95.0"].map(str::to_owned));
    for input in inputs {
        hash.update((input.len() as u64).to_le_bytes());
        hash.update(input);
    }
    let digest: String = hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(
        digest, set.digest,
        "the bodies have changed: run the generator"
    );
}

#[test]
fn the_digests_are_those_of_the_bodies() {
    let flags = "--target=x86_64-unknown-linux-gnu -Ctarget-cpu=x86-64-v2 -Copt-level=3 -Cpanic=abort \
                 -Crelocation-model=static -Ccodegen-units=1 -Cno-redzone=yes -Awarnings --emit=obj";
    is_of_the_bodies(&X86_64_SYSV, &["x86_64.stencils"], flags);
    let files = ["x86_64.stencils", "x86_64_v3.stencils"];
    is_of_the_bodies(&X86_64_SYSV_V3, &files, flags);
    let files = ["x86_64.stencils", "x86_64_windows.stencils"];
    is_of_the_bodies(&X86_64_WINDOWS, &files, flags);
    is_of_the_bodies(
        &AARCH64_AAPCS,
        &["aarch64.stencils"],
        "--target=aarch64-unknown-none -Zfixed-x18 -Copt-level=3 -Cpanic=abort \
         -Crelocation-model=static -Ccodegen-units=1 -Cno-redzone=yes -Awarnings --emit=obj",
    );
    is_of_the_bodies(
        &RISCV64_LP64D,
        &["riscv64.stencils"],
        "--target=riscv64gc-unknown-none-elf -Ctarget-feature=-c,-relax -Copt-level=3 -Cpanic=abort \
         -Crelocation-model=static -Ccodegen-units=1 -Awarnings --emit=obj",
    );
}
