//! Executes entries and host calls of every convention on x86-64, whatever this process's own is. Their code, and how they
//! are called, asks nothing of the system.
#![cfg(all(target_arch = "x86_64", any(target_os = "linux", windows)))]

mod common;

use common::*;
use patchjit::ops::Opcode;
use patchjit::runtime::{Context, EntryCell, HostCode, Status};
use patchjit::stencil::{Form, FormKind, Machine, StencilSet, Template};
use patchjit_stencils::{X86_64_SYSV, X86_64_WINDOWS};
use std::ffi::c_void;
use std::sync::atomic::{AtomicU64, Ordering};

/// The code of a form for these registers and this immediate, and its template.
fn code(
    set: &StencilSet,
    machine: Machine,
    registers: &[u8],
    immediate: i64,
) -> (&'static Template, Vec<u8>) {
    let mut all = [0; 4];
    all[..registers.len()].copy_from_slice(registers);
    let template = set
        .template(
            set.family(Form::machine(machine)).expect("a family"),
            all.map(u32::from),
            immediate,
        )
        .unwrap_or_else(|| panic!("{machine:?} {registers:?} {immediate:#x}"));
    (template, fill(set, template, &all, immediate))
}

/// The address of a template's end, which a host call leaves right below the values.
static CALLED_FROM: AtomicU64 = AtomicU64::new(0);

/// Host functions in both conventions: a number as the context, a frame with a slot behind its stack pointer.
macro_rules! host {
    ($name:ident, $convention:literal) => {
        unsafe extern $convention fn $name(context: *mut c_void, values: *mut u64) -> u32 {
            assert_eq!(values as usize % 16, 0);
            // SAFETY: the test passes a number, and the stack pointer with a slot behind it.
            unsafe {
                CALLED_FROM.store(values.sub(1).read(), Ordering::Relaxed);
                *values = *values * 3 + context as u64;
            }
            77
        }
    };
}
host!(host_sysv, "sysv64");
host!(host_windows, "win64");

// Each changes what its convention lets it: registers, and the room above its return address.
core::arch::global_asm!(
    "patchjit_host_sysv:",
    "or rax, -1; or rcx, -1; or rdx, -1; or r8, -1; or r9, -1; or r10, -1; or r11, -1",
    "movq xmm0, rax; movq xmm1, rax; movq xmm6, rax; movq xmm7, rax; movq xmm14, rax",
    "jmp {sysv}",
    "patchjit_host_windows:",
    "or rax, -1; or r8, -1; or r9, -1; or r10, -1; or r11, -1",
    "movq xmm0, rax; movq xmm1, rax; movq xmm2, rax; movq xmm3, rax; movq xmm4, rax; movq xmm5, rax",
    "mov [rsp + 8], rax; mov [rsp + 16], rax; mov [rsp + 24], rax; mov [rsp + 32], rax",
    "jmp {windows}",
    sysv = sym host_sysv,
    windows = sym host_windows,
);

unsafe extern "C" {
    fn patchjit_host_sysv(context: *mut c_void, values: *mut u64) -> u32;
    fn patchjit_host_windows(context: *mut c_void, values: *mut u64) -> u32;
}

#[test]
fn entries_keep_what_c_functions_keep() {
    // Context and values of an entry, what C functions keep, a host function.
    const RBX_RBP_R12_R15: u32 = 0xf028;
    let (rcx, rdx, rsi, rdi) = (1, 2, 6, 7);
    let host: HostCode = patchjit_host_sysv;
    entry_and_host_calls(&X86_64_SYSV, [rdi, rsi], (RBX_RBP_R12_R15, 0), host);
    let host: HostCode = patchjit_host_windows;
    let kept = (RBX_RBP_R12_R15 | 1 << rdi | 1 << rsi, 0xffc0);
    entry_and_host_calls(&X86_64_WINDOWS, [rcx, rdx], kept, host);
}

fn entry_and_host_calls(
    set: &StencilSet,
    [context_in, values_in]: [usize; 2],
    (kept_ints, kept_floats): (u32, u32),
    host: HostCode,
) {
    // entry: calls the body, stores what it leaves in rax as a result, returns. The body takes its argument
    // from `values`, writes to all other registers, calls a host function through the table, then itself through a cell, or
    // leaves.
    const DEPTH: i64 = 4096;
    let code = |machine, registers: &[u8], immediate| code(set, machine, registers, immediate);
    let mut bytes = code(Machine::Entry, &[], 0).1;
    let (call, call_code) = code(Machine::CallDirect, &[], 0);
    let call_at = bytes.len();
    bytes.extend(call_code);
    bytes.extend(code(Machine::EntryResume, &[], 0).1);
    let access = |op, registers: Registers, immediate| {
        let family = set.family(Form::op(op, FormKind::Immediate));
        let family = family.expect("a family");
        let template = set.template(family, registers.map(u32::from), immediate);
        fill(set, template.expect("a template"), &registers, immediate)
    };
    bytes.extend(access(Opcode::I64RawStore, [10, 0, 0, 0], 0));
    bytes.extend(code(Machine::EntryReturn, &[], 0).1);
    let abandon = bytes.len();
    bytes.extend(code(Machine::EntryAbandon, &[], 0).1);
    bytes.extend(code(Machine::Unreachable, &[], 0).1);
    let body = bytes.len();
    link(&mut bytes, call, call_at, body);
    // The frame is 8 bytes more than a multiple of 16, so that the stack is aligned at the calls in it.
    let (enter, enter_code) = code(Machine::FrameEnter, &[], DEPTH + 8);
    bytes.extend(enter_code);
    link(&mut bytes, enter, body, abandon);
    bytes.extend(access(Opcode::I64RawLoad, [7, 10, 0, 0], 0));
    bytes.extend(code(Machine::FrameStoreInt, &[7], 0).1);
    for register in (0..16).filter(|&register| register != 4 && register != 5) {
        bytes.extend(code(Machine::ConstZero, &[register], 0).1);
    }
    for register in 0..16 {
        bytes.extend(code(Machine::ConstFloatZero, &[register], 0).1);
    }
    bytes.extend(code(Machine::CallHost, &[], 8).1);
    let called = bytes.len();
    bytes.extend(code(Machine::StoreStatus, &[], Status::TooDeep as i64).1);
    let (poll, poll_code) = code(Machine::Poll, &[], 0);
    let poll_at = bytes.len();
    bytes.extend(poll_code);
    link(&mut bytes, poll, poll_at, abandon);
    bytes.extend(code(Machine::FrameLoadInt, &[0], 0).1);
    bytes.extend(access(Opcode::I64RawLoad, [6, 5, 0, 0], 24));
    bytes.extend(code(Machine::CallThrough, &[6], 16).1);
    bytes.extend(code(Machine::Return, &[], DEPTH + 8).1);
    let leaf = bytes.len();
    let (enter, enter_code) = code(Machine::FrameEnter, &[], 0);
    bytes.extend(enter_code);
    link(&mut bytes, enter, leaf, abandon);
    bytes.extend(access(Opcode::I64Add, [0, 0, 0, 0], 1));
    bytes.extend(code(Machine::Return, &[], 0).1);

    let mut pages = Pages::new(1 << 16);
    let start = pages.add(&bytes);
    pages.publish();
    let hosts: [HostCode; 2] = [host, host];
    let cells = [
        EntryCell {
            code: 0,
            signature: 0,
        },
        EntryCell {
            code: start as u64 + leaf as u64,
            signature: 0,
        },
    ];
    let mut c = Context::new();
    c.hosts = hosts.as_ptr();
    c.cells = cells.as_ptr();
    c.host_context = 1000 as *mut c_void;
    c.depth = 2;
    let mut numbers = Numbers(12);
    for (interrupt, status, value) in [
        (0, Status::Returned, 5 * 3 + 1000 + 1),
        (1, Status::TooDeep, 5),
    ] {
        *c.interrupt.get_mut() = interrupt;
        let mut values = [5u64];
        let mut before = State::filled(&mut numbers);
        before.ints[context_in] = std::ptr::from_mut(&mut c) as u64;
        before.ints[values_in] = values.as_mut_ptr() as u64;
        let mut after = before.clone();
        run(start, &mut after);
        assert_eq!((after.ints[0] as u32, values[0]), (status as u32, value));
        let end = start as u64 + called as u64;
        assert_eq!(CALLED_FROM.load(Ordering::Relaxed), end, "{}", set.target);
        for register in 0..16 {
            if kept_ints >> register & 1 == 1 {
                assert_eq!(before.ints[register], after.ints[register], "{register}");
            }
            if kept_floats >> register & 1 == 1 {
                assert_eq!(before.floats[register], after.floats[register]);
            }
        }
    }
}
