//! A command-line module that clang made (`tests/wasm/c/greet.c`), with a world of the test's own.

use patchjit_wasm::{Code, CodeOptions, Engine, Linker, Module, Store, Trap, wasi};
use std::cell::RefCell;
use std::rc::Rc;

#[derive(Default)]
struct World {
    output: Rc<RefCell<Vec<u8>>>,
    input: Vec<u8>,
    time: u64,
}

impl wasi::Host for World {
    fn clock(&mut self, _: u32) -> u64 {
        self.time += 1;
        self.time
    }

    fn random(&mut self) -> u8 {
        4
    }

    fn write(&mut self, error: bool, bytes: &[u8]) {
        assert!(!error);
        self.output.borrow_mut().extend_from_slice(bytes);
    }

    fn read(&mut self, bytes: &mut [u8]) -> usize {
        // In small pieces.
        let count = self.input.len().min(bytes.len()).min(7);
        bytes[..count].copy_from_slice(&self.input[..count]);
        self.input.drain(..count);
        count
    }
}

#[test]
fn a_command_reads_its_arguments_and_input_and_writes() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/wasm/greet.wasm");
    let bytes = std::fs::read(path).expect("the module");
    let module = Rc::new(Module::translate(&bytes).expect("a module"));
    for engine in [Engine::Interpreter, Engine::Jit, Engine::JitOptimized] {
        let code =
            Rc::new(Code::new(module.clone(), engine, CodeOptions::default()).expect("code"));
        for arguments in [&["greet"][..], &["greet", "Ada", "Grace"]] {
            let world = World {
                input: b"a line, and another one".to_vec(),
                ..World::default()
            };
            let output = world.output.clone();
            let store = Store::new();
            let mut linker = Linker::new();
            let line: Vec<String> = arguments.iter().map(|&text| text.to_owned()).collect();
            wasi::define(&store, &mut linker, &line, world);
            let instance = store.instantiate(&code, &linker).expect("an instance");
            let result = instance
                .function("_start")
                .expect("it is exported")
                .call(&[]);
            let names = &arguments[1..];
            let greeted: String = names
                .iter()
                .map(|name| format!("Hello, {name}!\n"))
                .collect();
            let wanted = greeted + "a line, and another one";
            assert_eq!(String::from_utf8_lossy(&output.borrow()), wanted);
            match names.len() {
                0 => assert_eq!(result, Ok(vec![])),
                count => assert_eq!(result, Err(Trap::Exit(count as u32))),
            }
        }
    }
}
