//! Runs code with all registers under control. What is different from one machine to another stands in a file for each.

#[cfg_attr(target_arch = "x86_64", path = "x86_64.rs")]
#[cfg_attr(target_arch = "aarch64", path = "aarch64.rs")]
#[cfg_attr(target_arch = "riscv64", path = "riscv64.rs")]
mod machine;
mod pages;

#[allow(unused_imports, reason = "each test uses its part")]
pub use {
    machine::{C_ARGUMENTS, FELL_THROUGH, JUMPED, OWN, PUSHED, STACK_POINTER, set_return},
    pages::Pages,
};

use super::{Registers, assignments, fill, immediates, kinds, templates};
use machine::{FLOAT_WORDS, FLOATS, INTS};
use patchjit::stencil::{ABSENT, Family, Form, OperandKind, RegisterSet, StencilSet, Template};
use std::collections::BTreeMap;

/// The stencils that run in this process.
pub const SET: &StencilSet = match option_env!("PATCHJIT_V3") {
    Some(_) => &patchjit_stencils::X86_64_SYSV_V3,
    None => patchjit_stencils::host().expect("tests are built for such hosts"),
};

/// Every register, and whether the code went to its target.
#[derive(Clone, Debug, PartialEq)]
#[repr(C)]
pub struct State {
    pub ints: [u64; INTS],
    pub floats: [[u64; FLOAT_WORDS]; FLOATS],
    pub jumped: u64,
}

/// A small generator of numbers.
pub struct Numbers(pub u64);

impl Numbers {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl State {
    /// Every register with a content of its own. Some floats are NaN at both widths, which is rare among numbers.
    pub fn filled(numbers: &mut Numbers) -> State {
        let float = |_| {
            let nan = 0x7ff8_0000_7fc0_0000 * (numbers.next() & 1);
            let mut words = [(); FLOAT_WORDS].map(|()| numbers.next());
            words[0] |= nan;
            words
        };
        State {
            floats: std::array::from_fn(float),
            ints: std::array::from_fn(|_| numbers.next()),
            jumped: 0,
        }
    }

    /// The content of an operand's register.
    pub fn operand(&self, kind: OperandKind, register: u8) -> u64 {
        match kind {
            OperandKind::Float => self.floats[register as usize][0],
            _ => self.ints[register as usize],
        }
    }

    /// What is in a float register that was loaded with 64 bits.
    pub fn float(bits: u64) -> [u64; FLOAT_WORDS] {
        let mut words = [0; FLOAT_WORDS];
        words[0] = bits;
        words
    }

    pub fn set_operand(&mut self, kind: OperandKind, register: u8, value: u64) {
        match kind {
            OperandKind::Float => self.floats[register as usize][0] = value,
            _ => self.ints[register as usize] = value,
        }
    }

    /// The registers whose content is another one in another state.
    pub fn changes(&self, other: &State) -> RegisterSet {
        let ints = (0..INTS).filter(|&r| self.ints[r] != other.ints[r]);
        let floats = (0..FLOATS).filter(|&r| self.floats[r] != other.floats[r]);
        let all = ints.chain(floats.map(|r| r + 32));
        RegisterSet(all.fold(0, |set, register| set | 1 << register))
    }
}

/// Runs published code on a state.
pub fn run(code: *const u8, state: &mut State) {
    state.jumped = 0;
    // SAFETY: the code was made by `callable` from templates whose operands the caller has set up; it
    // returns, and everything that it may change is saved around it.
    unsafe { machine::patchjit_run_stencil(state, code) };
}

/// Fills the holes for the target.
pub fn link(bytes: &mut [u8], template: &Template, start: usize, target: usize) {
    for hole in template.holes.target() {
        if hole != ABSENT {
            let at = start + hole as usize;
            let length = bytes.len().min(at + 8) - at;
            let mut code = [0; 8];
            code[..length].copy_from_slice(&bytes[at..at + length]);
            let code = machine::lead(u64::from_le_bytes(code), at, target);
            assert_eq!(SET.distances.target(code, at as u32), target as u32);
            bytes[at..at + length].copy_from_slice(&code.to_le_bytes()[..length]);
        }
    }
}

/// A function for `run`: returns with `jumped` as 0 where the template falls through, as 1 at its target.
pub fn callable(template: &Template, registers: &Registers, immediate: i64) -> Vec<u8> {
    let mut code = fill(SET, template, registers, immediate);
    code.extend(FELL_THROUGH);
    let target = code.len();
    code.extend(JUMPED);
    link(&mut code, template, 0, target);
    code
}

pub fn family(form: Form) -> &'static Family {
    SET.family(form).expect("the form has a family")
}

/// What assignments can have in common: which operands share a register, and the scale.
fn pattern(family: &Family, registers: &Registers) -> u32 {
    let mut pattern = 0;
    for (k, kind) in family.kinds.iter().enumerate() {
        match kind {
            OperandKind::None => {}
            OperandKind::Scale => pattern = pattern << 2 | u32::from(registers[k]),
            _ => {
                for j in 0..k {
                    let same = family.kinds[j] == *kind && registers[j] == registers[k];
                    pattern = pattern << 1 | u32::from(same);
                }
            }
        }
    }
    pattern
}

/// For every template of a family: the template, and some assignments that it serves, of every pattern.
pub fn cases(family: &Family, count: usize) -> Vec<(&'static Template, Vec<Registers>)> {
    let templates = templates(SET, family);
    let kinds = kinds(templates);
    let mut served = vec![BTreeMap::<u32, Vec<Registers>>::new(); templates.len()];
    for registers in assignments(family) {
        for &kind in &kinds {
            let probe = *immediates(kind).last().expect("an immediate");
            let found = SET.template(family, registers.map(u32::from), probe);
            let found = found.unwrap_or_else(|| panic!("no template for {registers:?} {kind:?}"));
            assert_eq!(found.immediate, kind, "{registers:?} {probe:#x}");
            let place = templates.iter().position(|one| std::ptr::eq(one, found));
            let patterns = &mut served[place.expect("one of the family's")];
            let list = patterns.entry(pattern(family, &registers)).or_default();
            list.push(registers);
        }
    }
    let sample = |patterns: BTreeMap<u32, Vec<Registers>>| {
        let each = count.div_ceil(patterns.len().max(1)).max(2);
        let lists = patterns.into_values().flat_map(|all| {
            let step = all.len().div_ceil(each) | 1;
            let last = all.last().copied().into_iter();
            let list: Vec<_> = all.iter().copied().step_by(step).chain(last).collect();
            list
        });
        lists.collect()
    };
    templates
        .iter()
        .zip(served.into_iter().map(sample))
        .collect()
}

/// Compares the registers after a run with those before: only the output may differ, and what the family says is lost.
pub fn check_kept(
    name: &str,
    family: &Family,
    registers: &Registers,
    before: &State,
    after: &State,
) {
    let output = match (family.has_output, family.kinds[0]) {
        (true, OperandKind::Float) => 1 << (32 + registers[0]),
        (true, _) => 1 << registers[0],
        (false, _) => 0,
    };
    let changed = before.changes(after).0 & !(output | family.clobbers.0);
    assert_eq!(changed, 0, "{name} {registers:?} changes {changed:#x}");
}
