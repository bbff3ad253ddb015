//! The committed tables are complete and consistent, and belong to the bodies beside them.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

mod common;

use common::*;
use iced_x86::{Decoder, DecoderOptions};
use patchjit::ops::{Opcode, Shape, flags};
use patchjit::stencil::{
    ABSENT, Form, FormKind, Immediate, MOST_TEMPLATE_BYTES, Machine, NO_FAMILY, OperandKind,
    PATTERNS,
};
use sha2::{Digest, Sha256};

#[test]
fn every_op_has_its_forms() {
    let has = |code, kind| SET.family(Form::op(code, kind)).is_some();
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
            assert!(has(code, FormKind::Immediate), "{}", info.name);
        }
    }
    assert!(has(Opcode::Branch, FormKind::Jump) && has(Opcode::Branch, FormKind::JumpNot));
    assert!(has(Opcode::Fence, FormKind::Registers));
    for machine in 0..Machine::COUNT {
        let form = Form::machine(Machine::MoveInt).0 as usize + machine;
        assert_ne!(SET.forms[form], NO_FAMILY, "machine form {machine}");
    }
}

#[test]
fn every_assignment_has_a_template_that_decodes() {
    for (index, family) in SET.families.iter().enumerate() {
        let first = family.first_template as usize;
        let templates = &SET.templates[first..first + family.template_count as usize];
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
        for (position, registers) in assignments(family).iter().enumerate() {
            let mut kinds: Vec<Immediate> = Vec::new();
            for template in templates {
                if !kinds.contains(&template.immediate) {
                    kinds.push(template.immediate);
                }
            }
            for kind in kinds {
                let value = *immediates(kind).last().expect("an immediate");
                let template = SET
                    .template(family, registers.map(u32::from), value)
                    .expect("a template");
                // Decoding all of them takes the generator a while; here a sample.
                if position % 7 != 0 {
                    continue;
                }
                let bytes = fill(template, registers, value);
                let mut decoder = Decoder::new(64, &bytes, DecoderOptions::NONE);
                let mut length = 0;
                while decoder.can_decode() {
                    let instruction = decoder.decode();
                    assert!(!instruction.is_invalid(), "family {index} {registers:?}");
                    length += instruction.len();
                }
                assert_eq!(length, bytes.len(), "family {index} {registers:?}");
            }
        }
    }
}

#[test]
fn holes_and_words_lie_within_their_tables() {
    for template in SET.templates {
        let length = usize::from(template.length);
        let words = usize::from(template.word_count);
        assert!(words == 0 && length <= 16 || words == length.div_ceil(8) - 1);
        assert!(usize::from(template.first_word) + words <= SET.words.len());
        assert!(length <= MOST_TEMPLATE_BYTES);
        assert!((template.restriction as usize) < SET.restrictions.len());
        let field = template.immediate.field();
        assert_eq!(field == 0, template.holes.immediate() == ABSENT);
        if field != 0 {
            let width = 16 - field.leading_zeros() as usize / 8;
            assert!(template.holes.immediate() as usize + width <= length);
        }
        for hole in template
            .holes
            .target()
            .into_iter()
            .filter(|&hole| hole != ABSENT)
        {
            assert!(hole as usize + 4 <= length);
        }
    }
    assert_eq!(SET.masks[..16], [0; 16]);
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
    let families: Vec<_> = forms
        .into_iter()
        .filter_map(|form| SET.family(form))
        .collect();
    assert!(families.len() > 100);
    for family in families {
        assert_eq!(family.starts, [family.first_template; PATTERNS]);
    }
}

#[test]
fn allocatable_registers_are_apart_from_the_others() {
    let file = &SET.registers;
    for reserved in [file.int_scratch, file.context, 4] {
        assert_eq!(file.allocatable.0 >> reserved & 1, 0);
    }
    assert_eq!(file.allocatable.0 >> (32 + file.float_scratch) & 1, 0);
    assert_eq!(file.preserved.0 & !file.allocatable.0, 0);
    // A template without operands is the same for all registers; one with operands writes none but its own.
    for family in SET.families {
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
    }
}

#[test]
fn the_digest_is_that_of_the_bodies() {
    // The same inputs as the generator takes, so that changed bodies without new tables fail here.
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/bodies/");
    let mut hash = Sha256::new();
    let flags = "--target=x86_64-unknown-linux-gnu -Ctarget-cpu=x86-64-v2 -Copt-level=3 -Cpanic=abort \
                 -Crelocation-model=static -Ccodegen-units=1 -Cno-redzone=yes -Awarnings --emit=obj";
    let read =
        |name: &str| std::fs::read_to_string(format!("{folder}{name}")).expect("a body file");
    for input in [
        read("prelude.rs"),
        read("x86_64.stencils"),
        flags.to_owned(),
        "rustc 1.95.0".to_owned(),
    ] {
        hash.update((input.len() as u64).to_le_bytes());
        hash.update(input);
    }
    let digest: String = hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(
        digest, SET.digest,
        "the bodies have changed: run the generator"
    );
}
