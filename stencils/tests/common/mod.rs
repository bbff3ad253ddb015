//! Builds code from the tables as the compiler core does, and runs it with all registers under control.
#![allow(dead_code, reason = "each test uses its part")]
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

use patchjit::stencil::{
    ABSENT, Family, Form, Immediate, MAX_OPERANDS, OperandKind, StencilSet, Template,
};
use patchjit_stencils::X86_64_SYSV;

pub type Registers = [u8; MAX_OPERANDS];

pub const SET: &StencilSet = &X86_64_SYSV;

/// Every register, and whether the code went to its target.
#[derive(Clone, Debug, PartialEq)]
#[repr(C)]
pub struct State {
    pub ints: [u64; 16],
    pub floats: [[u64; 2]; 16],
    pub jumped: u64,
}

core::arch::global_asm!(
    "patchjit_run_stencil:",
    "push rbx; push rbp; push r12; push r13; push r14; push r15",
    "push rdi; push rsi; sub rsp, 8",
    "movups xmm0, [rdi + 128]; movups xmm1, [rdi + 144]; movups xmm2, [rdi + 160]; movups xmm3, [rdi + 176]",
    "movups xmm4, [rdi + 192]; movups xmm5, [rdi + 208]; movups xmm6, [rdi + 224]; movups xmm7, [rdi + 240]",
    "movups xmm8, [rdi + 256]; movups xmm9, [rdi + 272]; movups xmm10, [rdi + 288]; movups xmm11, [rdi + 304]",
    "movups xmm12, [rdi + 320]; movups xmm13, [rdi + 336]; movups xmm14, [rdi + 352]; movups xmm15, [rdi + 368]",
    "mov rax, [rdi]; mov rcx, [rdi + 8]; mov rdx, [rdi + 16]; mov rbx, [rdi + 24]; mov rbp, [rdi + 40]",
    "mov rsi, [rdi + 48]; mov r8, [rdi + 64]; mov r9, [rdi + 72]; mov r10, [rdi + 80]; mov r11, [rdi + 88]",
    "mov r12, [rdi + 96]; mov r13, [rdi + 104]; mov r14, [rdi + 112]; mov r15, [rdi + 120]; mov rdi, [rdi + 56]",
    "call qword ptr [rsp + 8]",
    "push rdi; mov rdi, [rsp + 24]; setc byte ptr [rdi + 384]",
    "mov [rdi], rax; mov [rdi + 8], rcx; mov [rdi + 16], rdx; mov [rdi + 24], rbx; mov [rdi + 40], rbp",
    "mov [rdi + 48], rsi; mov [rdi + 64], r8; mov [rdi + 72], r9; mov [rdi + 80], r10; mov [rdi + 88], r11",
    "mov [rdi + 96], r12; mov [rdi + 104], r13; mov [rdi + 112], r14; mov [rdi + 120], r15; pop rax; mov [rdi + 56], rax",
    "movups [rdi + 128], xmm0; movups [rdi + 144], xmm1; movups [rdi + 160], xmm2; movups [rdi + 176], xmm3",
    "movups [rdi + 192], xmm4; movups [rdi + 208], xmm5; movups [rdi + 224], xmm6; movups [rdi + 240], xmm7",
    "movups [rdi + 256], xmm8; movups [rdi + 272], xmm9; movups [rdi + 288], xmm10; movups [rdi + 304], xmm11",
    "movups [rdi + 320], xmm12; movups [rdi + 336], xmm13; movups [rdi + 352], xmm14; movups [rdi + 368], xmm15",
    "add rsp, 24; pop r15; pop r14; pop r13; pop r12; pop rbp; pop rbx; ret",
);

unsafe extern "C" {
    fn patchjit_run_stencil(state: *mut State, code: *const u8);
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
    /// Every register with a content of its own.
    pub fn filled(numbers: &mut Numbers) -> State {
        State {
            ints: std::array::from_fn(|_| numbers.next()),
            floats: std::array::from_fn(|_| [numbers.next(), numbers.next()]),
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

    pub fn set_operand(&mut self, kind: OperandKind, register: u8, value: u64) {
        match kind {
            OperandKind::Float => self.floats[register as usize][0] = value,
            _ => self.ints[register as usize] = value,
        }
    }
}

/// Pages that are written, then executed, never both at once.
pub struct Pages {
    start: *mut u8,
    size: usize,
    pub used: usize,
}

impl Pages {
    pub fn new(size: usize) -> Pages {
        // SAFETY: a fresh private mapping, checked below.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert!(start != libc::MAP_FAILED);
        Pages {
            start: start.cast(),
            size,
            used: 0,
        }
    }

    fn protect(&self, protection: i32) {
        // SAFETY: the mapping is ours, and nothing in it runs now.
        let result = unsafe { libc::mprotect(self.start.cast(), self.size, protection) };
        assert_eq!(result, 0);
    }

    /// Makes the pages writable and empty.
    pub fn clear(&mut self) {
        self.protect(libc::PROT_READ | libc::PROT_WRITE);
        self.used = 0;
    }

    /// Makes the pages executable.
    pub fn publish(&mut self) {
        self.protect(libc::PROT_READ | libc::PROT_EXEC);
    }

    /// Adds code; where it begins.
    pub fn add(&mut self, code: &[u8]) -> *const u8 {
        assert!(self.used + code.len() <= self.size);
        // SAFETY: the range lies in the mapping, which is writable now.
        unsafe {
            let at = self.start.add(self.used);
            std::ptr::copy_nonoverlapping(code.as_ptr(), at, code.len());
            self.used += code.len().next_multiple_of(16);
            at
        }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and nothing refers to it any more.
        unsafe { libc::munmap(self.start.cast(), self.size) };
    }
}

/// Runs published code on a state.
pub fn run(code: *const u8, state: &mut State) {
    state.jumped = 0;
    // SAFETY: the code was made by `callable` from templates whose operands the caller has set up; it
    // returns, and everything that it may change is saved around it.
    unsafe { patchjit_run_stencil(state, code) };
}

/// A template's bytes with registers and immediate filled in, holes for the target still zero.
pub fn fill(template: &Template, registers: &Registers, immediate: i64) -> Vec<u8> {
    let code = SET.fill(template, registers.map(u32::from));
    let mut bytes = code[..template.length as usize].to_vec();
    let at = template.holes.immediate();
    if at != ABSENT {
        let bits = template.immediate.encode(immediate).expect("it fits");
        for (to, from) in bytes[at as usize..].iter_mut().zip(bits.to_le_bytes()) {
            *to |= from;
        }
    }
    bytes
}

/// Fills the holes for the target.
pub fn link(bytes: &mut [u8], template: &Template, start: usize, target: usize) {
    for hole in template.holes.target() {
        if hole != ABSENT {
            let at = start + hole as usize;
            let distance = target as i32 - (at as i32 + 4);
            bytes[at..at + 4].copy_from_slice(&distance.to_le_bytes());
        }
    }
}

/// A function for `run`: returns with carry clear where the template falls through, set at its target.
pub fn callable(template: &Template, registers: &Registers, immediate: i64) -> Vec<u8> {
    let mut code = fill(template, registers, immediate);
    code.extend([0xf8, 0xc3]);
    let target = code.len();
    code.extend([0xf9, 0xc3]);
    link(&mut code, template, 0, target);
    code
}

pub fn family(form: Form) -> &'static Family {
    SET.family(form).expect("the form has a family")
}

/// Every assignment that a family permits.
pub fn assignments(family: &Family) -> Vec<Registers> {
    let mut all = vec![[0u8; MAX_OPERANDS]];
    for k in 0..MAX_OPERANDS {
        if family.kinds[k] == OperandKind::None {
            continue;
        }
        all = all
            .into_iter()
            .flat_map(|registers| {
                (0..16u8)
                    .filter(|register| family.allowed[k] >> register & 1 == 1)
                    .map(move |register| {
                        let mut registers = registers;
                        registers[k] = register;
                        registers
                    })
            })
            .collect();
    }
    all.retain(|registers| {
        (0..MAX_OPERANDS).all(|k| {
            (k as u8 != family.tied || registers[k] == registers[0])
                && (family.distinct >> k & 1 == 0 || registers[k] != registers[0])
        })
    });
    all
}

/// Immediates for a template: the bounds of its hole and some between, of those that it alone takes.
pub fn immediates(kind: Immediate) -> &'static [i64] {
    match kind {
        Immediate::None => &[0],
        Immediate::Signed8 => &[0, 1, -1, 5, 63, 127, -128],
        Immediate::Signed32 => &[128, -129, 0x1234_5678, i32::MAX as i64, i32::MIN as i64],
        Immediate::Bits32 => &[0, 1, -1, i32::MIN as i64, 0xffff_ffff],
        Immediate::Bits64 => &[0, -1, i64::MIN, i64::MAX, 0x0123_4567_89ab_cdef],
        kind => unreachable!("{kind:?} is not of this target"),
    }
}

/// For every template of a family: the template, an immediate's kind, and some assignments that it serves.
pub fn cases(family: &Family, count: usize) -> Vec<(&'static Template, Vec<Registers>)> {
    let first = family.first_template as usize;
    let templates = &SET.templates[first..first + family.template_count as usize];
    let mut served: Vec<(&Template, Vec<Registers>)> = templates
        .iter()
        .map(|template| (template, vec![]))
        .collect();
    for registers in assignments(family) {
        for kind in [
            Immediate::None,
            Immediate::Signed8,
            Immediate::Signed32,
            Immediate::Bits32,
            Immediate::Bits64,
        ] {
            if !templates.iter().any(|template| template.immediate == kind) {
                continue;
            }
            let probe = *immediates(kind).last().expect("an immediate");
            let found = SET.template(family, registers.map(u32::from), probe);
            let found = found.unwrap_or_else(|| panic!("no template for {registers:?} {kind:?}"));
            for (template, list) in &mut served {
                if std::ptr::eq(*template, found) && template.immediate == kind {
                    list.push(registers);
                }
            }
        }
    }
    for (_, list) in &mut served {
        let all = std::mem::take(list);
        let step = all.len().div_ceil(count).max(1) | 1;
        *list = all.iter().copied().step_by(step).collect();
        list.extend(all.last());
    }
    served
}

/// Compares the registers after a run with those before; `changed` says which operand may differ.
pub fn check_kept(
    name: &str,
    family: &Family,
    registers: &Registers,
    before: &State,
    after: &State,
) {
    for register in 0..16 {
        let is_output = |kind| {
            family.has_output && family.kinds[0] == kind && registers[0] as usize == register
        };
        let lost = |shift: u32| family.clobbers.0 >> (register as u32 + shift) & 1 == 1;
        if register != 4 && !is_output(OperandKind::Int) && !lost(0) {
            assert_eq!(
                before.ints[register], after.ints[register],
                "{name} {registers:?} changes integer register {register}"
            );
        }
        if !is_output(OperandKind::Float) && !lost(32) {
            assert_eq!(
                before.floats[register], after.floats[register],
                "{name} {registers:?} changes float register {register}"
            );
        }
    }
}
