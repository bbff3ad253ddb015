//! The stencils that a function's code consists of, and whose each bit of them is.

use patchjit::ops::Opcode;
use patchjit::stencil::{
    ABSENT, FORM_KINDS, Family, Form, FormKind, MAX_OPERANDS, Machine, OperandKind, StencilSet,
    Template,
};

/// A template in the code.
#[derive(Clone, Copy, Debug)]
pub struct StencilUse {
    /// What it is there for.
    pub serves: Serves,
    /// Its family.
    pub family: &'static Family,
    /// Itself.
    pub template: &'static Template,
    /// The registers of its operands, by their numbers in their banks.
    pub registers: [u32; MAX_OPERANDS],
    /// Where it begins in the code.
    pub at: u32,
}

/// What code is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serves {
    /// Callers in the platform's C convention.
    Entry,
    /// The function's frame, before its first block.
    Prologue,
    /// The op at this position.
    Op(u32),
    /// The exit of this stub of the function.
    Stub(u32),
    /// Nothing: it must not be reached.
    End,
}

/// Whose a bit of a template is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Nobody's: it is the same wherever the template stands.
    Fixed,
    /// The register of this operand is written there.
    Operand(u8),
    /// The immediate.
    Immediate,
    /// The distance to the target.
    Target,
}

impl StencilUse {
    /// The offset of the byte behind it.
    pub fn end(&self) -> u32 {
        self.at + u32::from(self.template.length)
    }

    /// Its immediate, in the code as it is in the end, if it has a hole for one.
    pub fn immediate(&self, code: &[u8]) -> Option<i64> {
        if self.template.holes.immediate() == ABSENT {
            return None;
        }
        let at = self.at as usize + self.template.holes.immediate() as usize;
        let mut bits = [0; 16];
        for (to, from) in bits.iter_mut().zip(code.get(at..)?) {
            *to = *from;
        }
        Some(self.template.immediate.decode(u128::from_le_bytes(bits)))
    }

    /// The code offset that its target hole leads to, in the code as it is in the end.
    pub fn target(&self, set: &StencilSet, code: &[u8]) -> Option<u32> {
        let hole = (self.template.holes.target()[0] != ABSENT)
            .then(|| self.at + u32::from(self.template.holes.target()[0]))?;
        let bytes = code.get(hole as usize..)?;
        Some(set.distances.target(eight(bytes), hole))
    }

    /// The register of an operand as in [`patchjit::compile::Location`], if the operand is one.
    pub fn register(&self, operand: usize) -> Option<u32> {
        match self.family.kinds[operand] {
            OperandKind::Int => Some(self.registers[operand]),
            OperandKind::Float => Some(32 + self.registers[operand]),
            OperandKind::None | OperandKind::Scale => None,
        }
    }
}

/// The first eight bytes, or what there is of them, little-endian.
fn eight(bytes: &[u8]) -> u64 {
    let mut first = [0; 8];
    for (to, from) in first.iter_mut().zip(bytes) {
        *to = *from;
    }
    u64::from_le_bytes(first)
}

/// For each byte of a template whose its bits are, the highest bit first.
pub fn owners(set: &StencilSet, template: &Template) -> Vec<[Owner; 8]> {
    let mut owners = vec![[Owner::Fixed; 8]; template.length as usize];
    let zero = set.fill(template, [0; MAX_OPERANDS]);
    for operand in 0..MAX_OPERANDS {
        for bit in 0..set.registers.names[0].len().ilog2() {
            let mut registers = [0; MAX_OPERANDS];
            registers[operand] = 1 << bit;
            let changed = set.fill(template, registers);
            for ((byte, before), after) in owners.iter_mut().zip(zero).zip(changed) {
                for (bit, owner) in byte.iter_mut().enumerate() {
                    if (before ^ after) >> (7 - bit) & 1 != 0 {
                        *owner = Owner::Operand(operand as u8);
                    }
                }
            }
        }
    }
    let mut own = |at: u8, bits: u128, owner| {
        let bytes = owners.iter_mut().skip(at.into());
        for (byte, bits) in bytes.zip(bits.to_le_bytes()) {
            for (place, bit) in byte.iter_mut().zip((0..8).rev()) {
                if bits >> bit & 1 != 0 {
                    *place = owner;
                }
            }
        }
    };
    let at = template.holes.immediate();
    if at != ABSENT {
        own(at, template.immediate.field(), Owner::Immediate);
    }
    for at in template
        .holes
        .target()
        .into_iter()
        .filter(|&at| at != ABSENT)
    {
        let code = eight(zero.get(at.into()..).unwrap_or_default());
        own(at, set.distances.field(code).into(), Owner::Target);
    }
    owners
}

/// The name of a family: of the form that it serves; with several of this op's, else a machine form, else one of the op's
/// type, else the first one.
pub fn family_name(set: &StencilSet, family: &Family, op: Option<Opcode>) -> String {
    let known = |&index: &u16| {
        let known = set.families.get(usize::from(index));
        known.is_some_and(|known| std::ptr::eq(known, family))
    };
    let forms = (0..set.forms.len()).filter(|&form| known(&set.forms[form]));
    let ty = |code: Opcode| code.info().name.split('.').next();
    let rank = |&form: &usize| match Opcode::ALL.get(form / FORM_KINDS).copied() {
        None => 1,
        code if code == op => 0,
        code if code.and_then(ty) == op.and_then(ty) => 2,
        _ => 3,
    };
    let form = forms.min_by_key(rank);
    form.map_or_else(|| "?".to_string(), form_name)
}

/// The name of a form as the stencils' bodies have it: `i64.add.Immediate`, `machine.MoveInt`.
fn form_name(form: usize) -> String {
    let kinds = [
        FormKind::Registers,
        FormKind::Immediate,
        FormKind::Jump,
        FormKind::JumpImmediate,
        FormKind::JumpNot,
    ];
    match Machine::ALL
        .iter()
        .find(|&&machine| Form::machine(machine).0 as usize == form)
    {
        Some(machine) => format!("machine.{machine:?}"),
        None => {
            let code = Opcode::ALL.get(form / FORM_KINDS);
            let kind = kinds[form % FORM_KINDS];
            code.map_or_else(
                || "?".to_string(),
                |code| format!("{}.{kind:?}", code.info().name),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use patchjit_stencils::X86_64_SYSV as SET;

    fn template(form: Form) -> (&'static Family, &'static Template) {
        let family = SET.family(form).unwrap();
        (family, &SET.templates[family.first_template as usize])
    }

    #[test]
    fn names_of_families() {
        let family = template(Form::machine(Machine::Poll)).0;
        assert_eq!(family_name(&SET, family, None), "machine.Poll");
        let family = template(Form::op(Opcode::I64Mul, FormKind::Registers)).0;
        let name = |op| family_name(&SET, family, op);
        assert_eq!(name(Some(Opcode::I64Mul)), "i64.mul.Registers");
        assert_eq!(name(Some(Opcode::I32Mul)), "i32.mul.Registers");
    }

    /// `mov out, a`: 0100 1R0B, 89, 11 aaa ooo.
    #[test]
    fn owners_of_a_move() {
        let owners = owners(&SET, template(Form::machine(Machine::MoveInt)).1);
        let text: Vec<String> = owners
            .iter()
            .map(|byte| byte.iter().map(|owner| letter(*owner)).collect())
            .collect();
        assert_eq!(text, [".....1.0", "........", "..111000"]);
    }

    #[test]
    fn owners_of_holes() {
        let owners = owners(&SET, template(Form::machine(Machine::Jump)).1);
        assert_eq!(owners[0], [Owner::Fixed; 8]);
        assert_eq!(owners[1..], [[Owner::Target; 8]; 4]);
    }

    fn letter(owner: Owner) -> char {
        match owner {
            Owner::Fixed => '.',
            Owner::Operand(operand) => char::from(b'0' + operand),
            Owner::Immediate => 'i',
            Owner::Target => 't',
        }
    }
}
