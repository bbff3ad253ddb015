//! Checks on arbitrary bytes: what the fuzz targets call, and tests with random bytes.
//!
//! Each takes any bytes whatever and promises to panic only where something is wrong with Patchjit.

use crate::allocation::Checker;
use crate::differential::Laboratory;
use crate::generate::generate;
use crate::host_set;
use patchjit::code::CodeBuffer;
use patchjit::compile::{self, Compiled, FunctionCode, Options};
use patchjit::error::{Error, Storage};
use patchjit::ir::Op;
use patchjit::ops::Opcode;
use patchjit::verify::{self, Verified};
use patchjit::{interp, ir};
use patchjit_text::Module;

/// Words from bytes; zeros when they are used up.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        first
    }

    fn word(&mut self) -> u32 {
        u32::from_le_bytes([self.byte(), self.byte(), self.byte(), self.byte()])
    }

    /// Mostly a small number, sometimes any.
    fn number(&mut self) -> u32 {
        match self.byte() {
            0xff => self.word(),
            0xfe => ir::NONE,
            small => u32::from(small),
        }
    }

    fn seed(&mut self) -> u64 {
        u64::from(self.word()) | u64::from(self.word()) << 32
    }
}

/// The first eight bytes are the seed of a program, on which compiled code and oracle must agree.
///
/// # Panics
///
/// If they do not.
pub fn differential(laboratory: &mut Laboratory, data: &[u8]) {
    let seed = Bytes(data).seed();
    if let Err(what) = laboratory.check(&generate(seed).module(), seed) {
        panic!("seed {seed}: {what}");
    }
}

/// Records of a program of a small seed, overwritten here and there: the verifier judges them, and what it lets pass is
/// decoded and compiled without a fault.
///
/// # Panics
///
/// If something is wrong.
pub fn verify(data: &[u8]) {
    let mut bytes = Bytes(data);
    let mut module = generate(u64::from(bytes.byte())).module();
    while !bytes.0.is_empty() {
        overwrite(&mut module, &mut bytes);
    }
    judge(&module);
}

fn overwrite(module: &mut Module, bytes: &mut Bytes) {
    let table = bytes.byte() % 16;
    let at = bytes.word() as usize;
    let value = bytes.number();
    let field = bytes.byte() % 5;
    if let 0..=7 = table
        && !module.ops.is_empty()
    {
        let at = at % module.ops.len();
        let op: &mut Op = &mut module.ops[at];
        match field {
            0 => {
                let code = Opcode::all().nth(value as usize % Opcode::COUNT);
                op.code = code.unwrap_or(op.code);
            }
            1 => op.aux = value as u16,
            2 => op.a = (at as u32).wrapping_sub(value),
            3 => op.b = (at as u32).wrapping_sub(value),
            _ => op.c = value,
        }
        return;
    }
    let set = |words: &mut [&mut u32]| {
        let count = words.len();
        if let Some(word) = words.get_mut(field as usize % count.max(1)) {
            **word = value;
        }
    };
    match table {
        8..=10 => {
            if let Some(word) = pick(&mut module.extra, at) {
                *word = value;
            }
        }
        11 => {
            if let Some(f) = pick(&mut module.functions, at) {
                set(&mut [
                    &mut f.signature,
                    &mut f.first_block,
                    &mut f.block_count,
                    &mut f.first_op,
                    &mut f.op_count,
                ]);
            }
        }
        12 => {
            if let Some(b) = pick(&mut module.blocks, at) {
                set(&mut [&mut b.first_op, &mut b.op_count, &mut b.parameter_count]);
            }
        }
        13 => {
            if let Some(e) = pick(&mut module.exits, at) {
                set(&mut [&mut e.number, &mut e.snapshot, &mut e.entry_count]);
            }
        }
        14 => {
            if let Some(s) = pick(&mut module.signatures, at) {
                match field {
                    0 | 1 => s.first_type = value,
                    2 => s.parameter_count = value as u16,
                    _ => s.result_count = value as u16,
                }
            }
        }
        _ => match field {
            0 => module.slot_count = value,
            1 => {
                if let Some(region) = pick(&mut module.regions, at) {
                    match at % 3 {
                        0 => region.most = u64::from(value),
                        1 => region.size = u64::from(value),
                        _ => *region = ir::Region::fixed(u64::from(value)),
                    }
                }
            }
            _ => {
                if let Some(host) = pick(&mut module.hosts, at) {
                    host.signature = value;
                }
            }
        },
    }
}

fn pick<T>(list: &mut [T], at: usize) -> Option<&mut T> {
    let count = list.len();
    list.get_mut(at.checked_rem(count)?)
}

/// Verifies, and decodes and compiles what is valid.
fn judge(module: &Module) {
    let program = module.program();
    let mut words = vec![0xdead_beef; verify::workspace_words(&program).min(1 << 22)];
    let verified = match verify::verify(program, &mut words) {
        Ok(verified) => verified,
        Err(Error::Invalid { .. } | Error::Full { .. }) => return,
        Err(error) => panic!("the verifier: {error}"),
    };
    if verified.size() > 1 << 16 {
        return;
    }
    let mut decoded = vec![0; interp::workspace_words(&verified)];
    match interp::decode(&verified, &mut decoded) {
        Ok(_) | Err(Error::Unsupported { .. }) => {}
        Err(error) => panic!("the decoder: {error}"),
    }
    let mut workspace = vec![0xdead_beef; compile::workspace_words(&verified)];
    let mut code = vec![0; compile::code_bytes(&verified)];
    let mut functions = vec![FunctionCode::default(); program.functions.len()];
    let mut checker = Checker::new(&program);
    let compiled = compile::compile_observed(
        &verified,
        host_set(),
        &Options {
            fuel: true,
            ..Options::default()
        },
        &mut workspace,
        CodeBuffer {
            write: &mut code,
            execute_at: 0,
        },
        &mut functions,
        &mut checker,
    );
    match compiled {
        Ok(_) => {
            if let Err(what) = checker.check() {
                panic!("{what}");
            }
        }
        Err(Error::Unsupported { .. }) => {}
        Err(error) => panic!("the compiler: {error}"),
    }
}

/// Text: read without a panic; what is well formed prints, reads back and prints the same; what is valid compiles.
///
/// # Panics
///
/// If something is wrong.
pub fn text(data: &[u8]) {
    let Ok(source) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(module) = patchjit_text::parse(source) else {
        return;
    };
    let printed = module.to_string();
    match patchjit_text::parse(&printed) {
        Ok(again) => assert_eq!(again.to_string(), printed),
        Err(error) => panic!("what is printed is not read: {error}\n{printed}"),
    }
    judge(&module);
}

/// The program of a small seed, compiled into a code buffer and a workspace of arbitrary sizes.
///
/// # Panics
///
/// If anything else than the buffer is written, or what is said to suffice does not, or gives other code.
pub fn patcher(data: &[u8]) {
    let mut bytes = Bytes(data);
    let module = generate(u64::from(bytes.byte())).module();
    let program = module.program();
    let mut words = vec![0; verify::workspace_words(&program)];
    let Ok(verified) = verify::verify(program, &mut words) else {
        panic!("the generator makes valid programs");
    };
    let workspace = compile::workspace_words(&verified);
    let room = compile::code_bytes(&verified);
    let words = bytes.word() as usize % (workspace + workspace / 4 + 1);
    let size = bytes.word() as usize % (room / 16 + 1);
    let words = if bytes.byte() < 200 { workspace } else { words };
    let garbage = bytes.word();
    let expected = compile_in(&verified, workspace, room, 0);
    let found = match compile_in(&verified, words, size, garbage) {
        Err(Error::Full { storage, needed }) => match storage {
            Storage::Workspace => compile_in(&verified, needed, room, garbage),
            _ => compile_in(&verified, workspace, needed, garbage),
        },
        found => found,
    };
    assert_eq!(found, expected);
    assert!(found.is_ok(), "{found:?}");
}

/// Compiles with so many words of workspace, which hold this, into so many bytes.
///
/// # Errors
///
/// As [`compile::compile`].
///
/// # Panics
///
/// If what is around the bytes changes.
pub fn compile_in(
    verified: &Verified,
    words: usize,
    bytes: usize,
    garbage: u32,
) -> Result<(Compiled, Vec<u8>), Error> {
    const MARGIN: usize = 128;
    let mut workspace = vec![garbage; words];
    let mut code = vec![0x5a; bytes + 2 * MARGIN];
    let mut functions = vec![FunctionCode::default(); verified.program().functions.len()];
    let result = compile::compile(
        verified,
        host_set(),
        &Options {
            fuel: true,
            ..Options::default()
        },
        &mut workspace,
        CodeBuffer {
            write: &mut code[MARGIN..MARGIN + bytes],
            execute_at: 0,
        },
        &mut functions,
    );
    let behind = &code[MARGIN + bytes..];
    assert!(
        code[..MARGIN].iter().chain(behind).all(|&b| b == 0x5a),
        "{words} words and {bytes} bytes: written outside the code slice"
    );
    let compiled = result?;
    let length = compiled.code_length as usize;
    Ok((compiled, code[MARGIN..MARGIN + length].to_vec()))
}
