//! Memories whose bounds are kept by faults: the same results and traps as with comparisons, and faults of others are left alone.

use patchjit_wasm::{
    Bounds, Code, CodeOptions, Engine, Extern, Instance, Limits, Linker, Memory, Module, PAGE,
    Store, Trap, Value, script,
};
use std::fmt::Write as _;
use std::rc::Rc;

/// Loads and stores with their widths.
const LOADS: [(&str, u32); 5] = [
    ("i32.load8_u", 1),
    ("i32.load16_s", 2),
    ("i32.load", 4),
    ("i64.load", 8),
    ("f64.load", 8),
];
const STORES: [(&str, &str, u32); 5] = [
    ("i32.store8", "i32.const -1", 1),
    ("i32.store16", "i32.const -1", 2),
    ("f32.store", "f32.const 1.5", 4),
    ("i64.store", "i64.const -1", 8),
    ("i64.store32", "i64.const -1", 4),
];
const OFFSETS: [u32; 5] = [0, 1, 4096, 65_535, u32::MAX];

/// A function for each access and offset.
fn module() -> String {
    let mut text = String::from("(module (memory (export \"m\") 1 3)\n");
    text += "(func (export \"grow\") (result i32) (memory.grow (i32.const 1)))\n";
    for offset in OFFSETS {
        for (name, _) in LOADS {
            let ty = &name[..3];
            let _ = writeln!(
                text,
                "(func (export \"{name} {offset}\") (param i32) (result {ty}) ({name} offset={offset} (local.get 0)))"
            );
        }
        for (name, value, _) in STORES {
            let _ = writeln!(
                text,
                "(func (export \"{name} {offset}\") (param i32) ({name} offset={offset} (local.get 0) ({value})))"
            );
        }
    }
    text + ")"
}

fn code(text: &str, engine: Engine, bounds: Bounds) -> Rc<Code> {
    let bytes = script::binary(text).expect("a text");
    let module = Module::translate(&bytes).expect("a module");
    let options = CodeOptions {
        fuel: false,
        bounds,
    };
    Rc::new(Code::new(Rc::new(module), engine, options).expect("code"))
}

fn instance(code: &Rc<Code>) -> Instance {
    let instance = Store::new().instantiate(code, &Linker::new());
    instance.expect("an instance")
}

fn call(instance: &Instance, name: &str, arguments: &[Value]) -> Result<Vec<Value>, Trap> {
    let function = instance.function(name).expect("it is exported");
    function.call(arguments)
}

#[test]
fn every_access_around_the_end_is_as_with_comparisons() {
    let text = module();
    for engine in [Engine::Jit, Engine::JitOptimized] {
        let codes = [Bounds::Faults, Bounds::Comparisons].map(|bounds| code(&text, engine, bounds));
        if patchjit_memory::faults::AVAILABLE {
            let [faults, comparisons] = codes.each_ref().map(|code| code.code_bytes());
            assert!(faults < comparisons, "{faults:?} {comparisons:?}");
        }
        let [faults, comparisons] = codes.each_ref().map(instance);
        let accesses = LOADS
            .map(|(name, width)| (name, width))
            .into_iter()
            .chain(STORES.map(|(name, _, width)| (name, width)));
        for pages in 1..=3u64 {
            let size = (pages * PAGE) as u32;
            for (name, width) in accesses.clone() {
                for offset in OFFSETS {
                    let last = size.wrapping_sub(width).wrapping_sub(offset);
                    for address in [
                        0,
                        last.wrapping_sub(1),
                        last,
                        last.wrapping_add(1),
                        size - 1,
                        size,
                        u32::MAX - 1,
                        u32::MAX,
                    ] {
                        let name = format!("{name} {offset}");
                        let argument = [Value::I32(address.cast_signed())];
                        let given = call(&faults, &name, &argument);
                        let wanted = call(&comparisons, &name, &argument);
                        assert_eq!(given, wanted, "{name} of {address}, {pages} pages");
                        // Nothing is written where it traps, and elsewhere the same.
                        let mut ends = [[0; 32]; 2];
                        for (instance, end) in [&faults, &comparisons].into_iter().zip(&mut ends) {
                            let memory = instance.memory("m").expect("it is exported");
                            memory.read(size - 32, end).expect("it is there");
                        }
                        assert_eq!(ends[0], ends[1], "{name} of {address}, {pages} pages");
                    }
                }
            }
            for instance in [&faults, &comparisons] {
                let before = if pages < 3 { pages as i32 } else { -1 };
                let grown = call(instance, "grow", &[]).expect("no trap");
                assert_eq!(grown, [Value::I32(before)]);
            }
        }
    }
}

/// Code that is given back, and memory, while other code stays.
#[test]
fn instances_come_and_go_on_threads() {
    let text = "(module (memory 1) (func (export \"f\") (param i32) (result i32) (i32.load (local.get 0))))";
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let stays = instance(&code(text, Engine::Jit, Bounds::Faults));
                for round in 0..200 {
                    let goes = instance(&code(text, Engine::Jit, Bounds::Faults));
                    let beyond = [Value::I32(65_533 + round)];
                    for instance in [&goes, &stays] {
                        assert_eq!(call(instance, "f", &beyond), Err(Trap::MemoryOutOfBounds));
                        assert_eq!(
                            call(instance, "f", &[Value::I32(round)]),
                            Ok(vec![Value::I32(0)])
                        );
                    }
                }
            });
        }
    });
}

/// A memory from the host serves code that faults, and one that compares.
#[test]
fn memories_of_the_host_are_reserved_too() {
    let text = "(module (import \"host\" \"m\" (memory 1)) (func (export \"f\") (param i32) (i64.store (local.get 0) (i64.const -1))))";
    let memory = Memory::new(Limits {
        least: 1,
        most: None,
    })
    .expect("a memory");
    let mut linker = Linker::new();
    linker.define("host", "m", Extern::Memory(memory.clone()));
    for bounds in [Bounds::Faults, Bounds::Comparisons] {
        let code = code(text, Engine::JitOptimized, bounds);
        let instance = Store::new()
            .instantiate(&code, &linker)
            .expect("an instance");
        assert_eq!(
            call(&instance, "f", &[Value::I32(65_529)]),
            Err(Trap::MemoryOutOfBounds)
        );
        assert_eq!(
            call(&instance, "f", &[Value::I32(-1)]),
            Err(Trap::MemoryOutOfBounds)
        );
        let mut end = [1; 8];
        memory.read(65_528, &mut end).expect("it is there");
        assert_eq!(end, [0; 8]);
    }
    assert_eq!(memory.grow(1), Some(1));
    let code = code(text, Engine::Jit, Bounds::Faults);
    let instance = Store::new()
        .instantiate(&code, &linker)
        .expect("an instance");
    assert_eq!(call(&instance, "f", &[Value::I32(65_529)]), Ok(vec![]));
}

/// In a process of its own: a fault that is not compiled code's ends it as it would without the handler.
#[cfg(unix)]
#[test]
fn faults_of_others_are_left_alone() {
    use std::os::unix::process::ExitStatusExt;
    const CHILD: &str = "PATCHJIT_FAULT";
    if std::env::var_os(CHILD).is_some() {
        let text = "(module (memory 1) (func (export \"f\") (param i32) (result i32) (i32.load (local.get 0))))";
        let instance = instance(&code(text, Engine::Jit, Bounds::Faults));
        assert_eq!(
            call(&instance, "f", &[Value::I32(-1)]),
            Err(Trap::MemoryOutOfBounds)
        );
        // SAFETY: not sound, and meant so: this process is there to end here.
        let word = unsafe { std::ptr::read_volatile(std::ptr::without_provenance::<u32>(4096)) };
        println!("read {word}");
        std::process::exit(0);
    }
    let child = std::process::Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "faults_of_others_are_left_alone", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .expect("it starts");
    let text = String::from_utf8_lossy(&child.stdout);
    // SIGSEGV.
    assert_eq!(child.status.signal(), Some(11), "{text}");
    assert!(!text.contains("read"), "{text}");
}
