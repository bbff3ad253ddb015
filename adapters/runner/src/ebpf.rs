//! Programs of eBPF, as modules.
//!
//! Takes instructions and the machine that they run on; gives the program as a module of the text form, whose only names are those
//! of its functions and regions. Allocates as much as the translation may need, and keeps what it did.

use patchjit::build::Storage;
use patchjit::build::{Counts, EMPTY_EXIT, EMPTY_OP};
use patchjit::ir::{Block, Function, HostFunction, NONE, Region, Signature};
use patchjit::types::Type;
use patchjit_ebpf::{Error, Machine, Mark};
use patchjit_text::Module;

/// Translates a program. Source positions are the indices of instructions.
pub fn translate(bytes: &[u8], machine: &Machine<'_>) -> Result<Module, Error> {
    let mut marks = vec![Mark::default(); bytes.len() / 8];
    let checked = patchjit_ebpf::check(bytes, machine, &mut marks)?;
    let mut blocks = vec![patchjit_ebpf::Block::default(); checked.block_count()];
    let counts: Counts = patchjit_ebpf::counts(&checked, machine);
    let mut storage = Room {
        functions: vec![Function::default(); counts.functions],
        blocks: vec![Block::default(); counts.blocks],
        ops: vec![EMPTY_OP; counts.ops],
        extra: vec![0; counts.extra],
        exits: vec![EMPTY_EXIT; counts.exits],
        signatures: vec![Signature::default(); counts.signatures],
        types: vec![Type::I64; counts.types],
        regions: vec![Region { size: 0 }; counts.regions],
        hosts: vec![HostFunction { signature: 0 }; counts.hosts],
        positions: vec![NONE; counts.ops],
    };
    let storage = Storage {
        functions: &mut storage.functions,
        blocks: &mut storage.blocks,
        ops: &mut storage.ops,
        extra: &mut storage.extra,
        exits: &mut storage.exits,
        signatures: &mut storage.signatures,
        types: &mut storage.types,
        regions: &mut storage.regions,
        hosts: &mut storage.hosts,
        tags: &mut [],
        positions: &mut storage.positions,
    };
    let program = patchjit_ebpf::translate(&checked, machine, &mut marks, &mut blocks, storage)?;
    let mut module = Module::default().derived(&program, &[]);
    module.positions = program.positions.to_vec();
    Ok(module)
}

/// Storage for a builder.
struct Room {
    functions: Vec<Function>,
    blocks: Vec<Block>,
    ops: Vec<patchjit::ir::Op>,
    extra: Vec<u32>,
    exits: Vec<patchjit::ir::Exit>,
    signatures: Vec<Signature>,
    types: Vec<Type>,
    regions: Vec<Region>,
    hosts: Vec<HostFunction>,
    positions: Vec<u32>,
}
