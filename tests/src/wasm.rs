//! Any bytes as a WebAssembly module: what is one runs on every engine alike, and ends when its fuel is used up.

use crate::random::Random;
use patchjit::error::Error as CoreError;
use patchjit::verify;
use patchjit_wasm::{
    Bounds, Code, CodeOptions, Engine, Error, ExportKind, Extern, Global, ImportType, Instance,
    InstantiateError, Linker, Memory, Module, Options, PAGE, Store, Table, Trap, Value, ValueType,
};
use std::rc::Rc;

const FUEL: u64 = 5_000;
const DEPTH: u32 = 100;
const PAGES: u32 = 64;

/// How many functions are called.
const CALLS: usize = 12;

/// What a call gave, and the fuel that was left.
type Called = (Result<Vec<Value>, Trap>, Option<u64>);

/// What was seen of a module on one engine.
#[derive(Debug, PartialEq)]
struct Seen {
    instantiated: Result<(), InstantiateError>,
    calls: Vec<Called>,
    globals: Vec<Option<Value>>,
    memories: Vec<Vec<u8>>,
}

/// Translates bytes; what is a module runs on every engine, with imports that give zeros, and every engine must give, keep and leave the same.
/// Gives how many calls returned on the oracle.
///
/// # Panics
///
/// If something differs, or the core refuses what was translated.
pub fn check(bytes: &[u8]) -> usize {
    let options = Options {
        canonicalize_nans: true,
    };
    let module = match Module::translate_with(bytes, options) {
        Ok(module) => Rc::new(module),
        Err(Error::Invalid { .. } | Error::Unsupported { .. }) => return 0,
        Err(error) => panic!("translation: {error}"),
    };
    let program = module.program();
    let mut words = vec![0; verify::workspace_words(&program)];
    let verified = verify::verify(program, &mut words).expect("a valid program");
    assert!(verified.is_contained());
    let Some(oracle) = see(&module, Engine::Interpreter, Bounds::Comparisons) else {
        return 0;
    };
    for (engine, bounds) in [
        (Engine::Jit, Bounds::Faults),
        (Engine::Jit, Bounds::Comparisons),
        (Engine::JitOptimized, Bounds::Faults),
    ] {
        if let Some(seen) = see(&module, engine, bounds) {
            assert_eq!(oracle, seen, "{engine:?}, {bounds:?}");
        }
    }
    oracle.calls.iter().filter(|call| call.0.is_ok()).count()
}

/// A value of a type: zero, or what often goes wrong.
fn value(random: &mut Random, ty: ValueType) -> Value {
    let bits = match random.below(6) {
        0 => 0,
        1 => random.bits(),
        2 => random.bits() & 0xff,
        3 => u64::MAX,
        4 => 1 << 31,
        _ => 0x3ff8_0000_3fc0_0000,
    };
    match ty {
        ValueType::I32 => Value::I32(bits as i32),
        ValueType::I64 => Value::I64(bits.cast_signed()),
        ValueType::F32 => Value::F32(bits as u32),
        ValueType::F64 => Value::F64(bits),
        ValueType::FuncRef => Value::FuncRef(None),
        ValueType::ExternRef => Value::ExternRef((bits != 0).then_some(bits as u32)),
    }
}

/// Zero, or null.
fn zero(ty: ValueType) -> Value {
    match ty {
        ValueType::I32 => Value::I32(0),
        ValueType::I64 => Value::I64(0),
        ValueType::F32 => Value::F32(0),
        ValueType::F64 => Value::F64(0),
        ValueType::FuncRef => Value::FuncRef(None),
        ValueType::ExternRef => Value::ExternRef(None),
    }
}

/// Runs a module on an engine; `None` if the engine has no code for it, or there is no memory for what it imports.
fn see(module: &Rc<Module>, engine: Engine, bounds: Bounds) -> Option<Seen> {
    let options = CodeOptions { fuel: true, bounds };
    let code = match Code::new(module.clone(), engine, options) {
        Ok(code) => Rc::new(code),
        Err(Error::Core(CoreError::Unsupported { .. })) => return None,
        Err(error) => panic!("{engine:?}: {error}"),
    };
    let store = Store::new();
    store.set_fuel(Some(FUEL));
    store.set_depth(DEPTH);
    store.set_most_pages(PAGES);
    let mut linker = Linker::new();
    for (from, name, ty) in module.imports() {
        let item = match ty {
            ImportType::Function(ty) => {
                let results: Vec<Value> = ty.results.iter().map(|&ty| zero(ty)).collect();
                Extern::Function(store.host_function(ty, move |_, _| Ok(results.clone())))
            }
            ImportType::Global(ty) => Extern::Global(Global::new(zero(ty.content), ty.mutable)),
            ImportType::Memory(limits) if limits.least <= PAGES => {
                Extern::Memory(Memory::new(limits).ok()?)
            }
            ImportType::Memory(_) => return None,
            ImportType::Table(ty) => Extern::Table(Table::new(ty).ok()?),
        };
        linker.define(from, name, item);
    }
    let instance = match store.instantiate(&code, &linker) {
        Ok(instance) => instance,
        Err(error) => {
            return Some(Seen {
                instantiated: Err(error),
                calls: Vec::new(),
                globals: Vec::new(),
                memories: Vec::new(),
            });
        }
    };
    let mut random = Random::new(module.exports().count() as u64);
    let functions = module
        .exports()
        .filter(|export| export.1 == ExportKind::Function);
    let calls = functions.take(CALLS).map(|(name, _)| {
        let function = instance.function(name).expect("it is exported");
        let ty = function.ty();
        let arguments: Vec<Value> = ty
            .parameters
            .iter()
            .map(|&ty| value(&mut random, ty))
            .collect();
        function.call_with_fuel(&arguments)
    });
    let calls = calls.collect();
    let exports = |kind| module.exports().filter(move |export| export.1 == kind);
    Some(Seen {
        instantiated: Ok(()),
        calls,
        globals: exports(ExportKind::Global)
            .map(|(name, _)| instance.global(name))
            .collect(),
        memories: exports(ExportKind::Memory)
            .map(|(name, _)| bytes(&instance, name))
            .collect(),
    })
}

fn bytes(instance: &Instance, name: &str) -> Vec<u8> {
    let memory = instance.memory(name).expect("it is exported");
    let mut bytes = vec![0; memory.pages() as usize * PAGE as usize];
    memory.read(0, &mut bytes).expect("all of it");
    bytes
}

/// Ops of one byte that take and give the same types.
const ALIKE: [std::ops::RangeInclusive<u8>; 12] = [
    0x46..=0x4f,
    0x51..=0x5a,
    0x5b..=0x60,
    0x61..=0x66,
    0x67..=0x69,
    0x6a..=0x78,
    0x79..=0x7b,
    0x7c..=0x8a,
    0x8b..=0x91,
    0x92..=0x98,
    0x99..=0x9f,
    0xa0..=0xa6,
];

/// Changes some bytes of a module: one op for another of its types or a number, mostly, so that it stays one; anything, else.
pub fn mutate(random: &mut Random, bytes: &mut Vec<u8>) {
    for _ in 0..1 + random.below(4) {
        let at = random.below(bytes.len());
        let alike = ALIKE.iter().find(|ops| ops.contains(&bytes[at]));
        if let Some(ops) = alike {
            bytes[at] = ops.start() + random.below(ops.len()) as u8;
        } else if random.percent(50) {
            // What is no op is a small number, mostly; in the code it may be an index or a constant.
            if at > bytes.len() / 2 && bytes[at] < 0x40 {
                bytes[at] = random.below(0x40) as u8;
            }
        } else if random.percent(40) {
            destroy(random, bytes, at);
        }
    }
}

/// Changes something at a place, whatever comes of it.
fn destroy(random: &mut Random, bytes: &mut Vec<u8>, at: usize) {
    match random.below(5) {
        0 => bytes[at] = random.bits() as u8,
        1 => bytes[at] ^= 1 << random.below(8),
        2 => {
            let from = random.below(bytes.len());
            let length = (1 + random.below(8)).min(bytes.len() - at.max(from));
            let piece = bytes[from..from + length].to_vec();
            bytes[at..at + length].copy_from_slice(&piece);
        }
        3 if bytes.len() > 16 => drop(bytes.remove(at)),
        _ => bytes[at] = *random.pick(&[0, 0x0b, 0x1a, 0x20, 0x41, 0x7f, 0x80, 0xff]),
    }
}
