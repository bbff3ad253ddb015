//! Instances through the public interface, on every engine: limits, sharing, host functions, what is refused.

use patchjit_wasm::{
    Code, CodeOptions, Engine, Error, Extern, FuncType, Global, Instance, InstantiateError, Limits,
    Linker, Memory, Module, Options, Store, Trap, Value, ValueType, script,
};
use std::fmt::Write as _;
use std::rc::Rc;
use std::time::{Duration, Instant};

const ENGINES: [Engine; 3] = [Engine::Interpreter, Engine::Jit, Engine::JitOptimized];

fn code(text: &str, engine: Engine, fuel: bool) -> Rc<Code> {
    let bytes = script::binary(text).expect("a text");
    let module = Module::translate(&bytes).expect("a module");
    let options = CodeOptions {
        fuel,
        ..CodeOptions::default()
    };
    Rc::new(Code::new(Rc::new(module), engine, options).expect("code"))
}

fn instance(store: &Store, linker: &Linker, text: &str, engine: Engine) -> Instance {
    let code = code(text, engine, true);
    store.instantiate(&code, linker).expect("an instance")
}

fn call(instance: &Instance, name: &str, arguments: &[Value]) -> Result<Vec<Value>, Trap> {
    instance
        .function(name)
        .expect("it is exported")
        .call(arguments)
}

#[test]
fn what_is_not_supported_has_its_name_and_offset() {
    let bytes = script::binary(
        "(module (func (drop (i64.add128 (i64.const 1) (i64.const 1) (i64.const 1) (i64.const 1))) drop))",
    );
    let bytes = bytes.expect("a text");
    match Module::translate(&bytes) {
        Err(Error::Unsupported { what, offset }) => {
            assert!(what.contains("wide arithmetic"), "{what}");
            assert_eq!(bytes[offset as usize], 0xfc);
        }
        other => panic!("{other:?}"),
    }
    let error = Module::translate(b"\0asm\x01\0\0\0\x01").expect_err("it is cut off");
    assert!(
        matches!(error, Error::Invalid { offset: 9, .. }),
        "{error:?}"
    );
}

#[test]
fn fuel_is_the_same_on_every_engine() {
    let text = r#"(module (memory 1)
        (func $sum (export "sum") (param i32) (result i32)
            (if (result i32) (i32.eqz (local.get 0))
                (then (i32.const 0))
                (else (i32.add (local.get 0) (call $sum (i32.sub (local.get 0) (i32.const 1)))))))
        (func (export "spin") (loop (br 0)))
        (func (export "fill") (loop
            (memory.fill (i32.const 0) (i32.const 7) (i32.const 65536)) (br 0))))"#;
    for engine in ENGINES {
        let store = Store::new();
        store.set_fuel(Some(1000));
        store.set_depth(50);
        let instance = instance(&store, &Linker::new(), text, engine);
        let sum = instance.function("sum").expect("it is exported");
        // One for each entry.
        let (result, left) = sum.call_with_fuel(&[Value::I32(10)]);
        assert_eq!(
            (result, left),
            (Ok(vec![Value::I32(55)]), Some(989)),
            "{engine:?}"
        );
        assert_eq!(sum.call(&[Value::I32(49)]), Ok(vec![Value::I32(1225)]));
        assert_eq!(
            sum.call(&[Value::I32(50)]),
            Err(Trap::StackExhausted),
            "{engine:?}"
        );
        assert_eq!(call(&instance, "spin", &[]), Err(Trap::OutOfFuel));
        // What moves many bytes takes more than one.
        assert_eq!(call(&instance, "fill", &[]), Err(Trap::OutOfFuel));
    }
}

#[test]
fn a_memory_is_shared_and_grows_for_all() {
    let writer = r#"(module (memory (export "memory") 1 3)
        (func (export "grow") (result i32) (memory.grow (i32.const 1)))
        (func (export "write") (param i32 i32) (i32.store (local.get 0) (local.get 1))))"#;
    let reader = r#"(module (import "a" "memory" (memory 1 5)) (import "a" "grow" (func $grow (result i32)))
        (func (export "read") (param i32) (result i32) (i32.load (local.get 0)))
        (func (export "grow_and_read") (param i32) (result i32 i32 i32)
            (i32.load (i32.const 0)) (drop)
            (call $grow) (i32.load (local.get 0)) (memory.size)))"#;
    for engine in ENGINES {
        for other in ENGINES {
            let store = Store::new();
            let mut linker = Linker::new();
            let first = instance(&store, &linker, writer, engine);
            linker.define_instance("a", &first);
            let second = instance(&store, &linker, reader, other);
            let at = Value::I32(65_536);
            assert_eq!(call(&second, "read", &[at]), Err(Trap::MemoryOutOfBounds));
            let grown = call(&second, "grow_and_read", &[at]);
            assert_eq!(grown, Ok(vec![Value::I32(1), Value::I32(0), Value::I32(2)]));
            assert_eq!(call(&first, "write", &[at, Value::I32(77)]), Ok(vec![]));
            assert_eq!(call(&second, "read", &[at]), Ok(vec![Value::I32(77)]));
            let memory = first.memory("memory").expect("it is exported");
            assert_eq!((memory.grow(1), memory.grow(1)), (Some(2), None));
            assert_eq!(
                call(&second, "read", &[Value::I32(131_072)]),
                Ok(vec![Value::I32(0)])
            );
        }
    }
}

#[test]
fn memories_have_no_more_pages_than_the_store_allows() {
    let text =
        r#"(module (memory 2) (func (export "grow") (result i32) (memory.grow (i32.const 3))))"#;
    for engine in ENGINES {
        let store = Store::new();
        store.set_most_pages(4);
        let instance = instance(&store, &Linker::new(), text, engine);
        assert_eq!(call(&instance, "grow", &[]), Ok(vec![Value::I32(-1)]));
        store.set_most_pages(1);
        let code = code(text, engine, false);
        let refused = store.instantiate(&code, &Linker::new());
        assert!(matches!(refused, Err(InstantiateError::Memory(_))));
    }
}

#[test]
fn host_functions_fail_as_traps() {
    let text = r#"(module (import "host" "f" (func $f (param i32 f64) (result i64)))
        (global (import "host" "g") (mut i64))
        (func (export "f") (param i32 f64) (result i64)
            (global.set 0 (i64.add (global.get 0) (i64.const 1)))
            (call $f (local.get 0) (local.get 1))))"#;
    let ty = FuncType {
        parameters: vec![ValueType::I32, ValueType::F64],
        results: vec![ValueType::I64],
    };
    for engine in ENGINES {
        let store = Store::new();
        let mut linker = Linker::new();
        let host = store.host_function(ty.clone(), |_, arguments| match arguments {
            [Value::I32(0), _] => Err(Trap::Host("nothing will come of nothing".to_owned())),
            [Value::I32(1), _] => Ok(vec![Value::I32(1)]),
            [Value::I32(value), Value::F64(bits)] => Ok(vec![Value::I64(
                i64::from(*value) + f64::from_bits(*bits) as i64,
            )]),
            _ => Err(Trap::Exit(7)),
        });
        linker.define("host", "f", Extern::Function(host));
        let counter = Global::new(Value::I64(40), true);
        linker.define("host", "g", Extern::Global(counter.clone()));
        let instance = instance(&store, &linker, text, engine);
        let f = |value| {
            call(
                &instance,
                "f",
                &[Value::I32(value), Value::F64(1.5f64.to_bits())],
            )
        };
        assert_eq!(
            f(0),
            Err(Trap::Host("nothing will come of nothing".to_owned()))
        );
        assert!(matches!(f(1), Err(Trap::Host(_))));
        assert_eq!(f(2), Ok(vec![Value::I64(3)]));
        assert_eq!(counter.get(), Value::I64(43));
        let wrong = call(&instance, "f", &[Value::I32(0)]);
        assert!(matches!(wrong, Err(Trap::Host(_))));
        let other = Store::new();
        let code = code(text, engine, false);
        let foreign = other.instantiate(&code, &linker);
        assert!(matches!(foreign, Err(InstantiateError::Link { .. })));
    }
}

#[test]
fn canonical_nans_are_one() {
    let text = r#"(module (func (export "f") (param f64) (result i64)
        (i64.reinterpret_f64 (f64.mul (local.get 0) (f64.const 1)))))"#;
    let bytes = script::binary(text).expect("a text");
    let options = Options {
        canonicalize_nans: true,
    };
    for engine in ENGINES {
        let module = Module::translate_with(&bytes, options).expect("a module");
        let code =
            Rc::new(Code::new(Rc::new(module), engine, CodeOptions::default()).expect("code"));
        let instance = Store::new()
            .instantiate(&code, &Linker::new())
            .expect("an instance");
        let nan = Value::F64(0xfff4_0000_0000_0001);
        let expected = Value::I64(f64::NAN.to_bits().cast_signed());
        assert_eq!(call(&instance, "f", &[nan]), Ok(vec![expected]));
    }
}

/// What a pathological module takes to translate, or why it is refused.
fn time(text: &str) -> (Duration, Result<(), Error>) {
    let bytes = script::binary(text).expect("a text");
    let start = Instant::now();
    let result = Module::translate(&bytes).map(drop);
    (start.elapsed(), result)
}

#[test]
fn labels_and_locals_by_the_thousand_are_bounded() {
    // All locals are set in the innermost of many blocks, each of which may be left by a branch.
    let deep = |labels: usize, locals: usize| {
        let mut text = "(module (func (param i32) (local".to_owned();
        text += &" i64".repeat(locals);
        text += ")";
        text += &"(block (br_if 0 (local.get 0))".repeat(labels);
        for local in 1..=locals {
            let _ = write!(text, "(local.set {local} (i64.const {local}))");
        }
        text += &")".repeat(labels);
        for local in 1..=locals {
            let _ = write!(text, "(drop (local.get {local}))");
        }
        text + "))"
    };
    let (small, result) = time(&deep(20, 20));
    assert_eq!(result, Ok(()));
    let (large, result) = time(&deep(400, 400));
    assert_eq!(result, Ok(()));
    // 400 times as many pairs of both, not their square.
    assert!(
        large < 2_000 * small.max(Duration::from_micros(500)),
        "{small:?} {large:?}"
    );
    let (refused, result) = time(&deep(3_000, 20_000));
    assert!(
        matches!(result, Err(Error::Unsupported { .. })),
        "{result:?}"
    );
    assert!(refused < Duration::from_secs(20), "{refused:?}");
}

#[test]
fn loops_carry_what_they_read() {
    // The temporary is set before it is read in every round, so it is no parameter of the loop.
    let text = r#"(module (func (param $n i32) (result i32) (local $sum i32) (local $temporary i32)
        (loop $next
            (local.set $temporary (i32.mul (local.get $n) (local.get $n)))
            (local.set $sum (i32.add (local.get $sum) (local.get $temporary)))
            (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (local.get $sum)))"#;
    let bytes = script::binary(text).expect("a text");
    let module = Module::translate(&bytes).expect("a module");
    let program = module.program();
    let head = program
        .blocks
        .iter()
        .map(|block| block.parameter_count)
        .collect::<Vec<_>>();
    assert_eq!(head, [1, 2, 0]);
}

#[test]
fn a_memory_may_be_the_embedders() {
    let text = r#"(module (import "host" "memory" (memory 1))
        (data (i32.const 16) "patch") (data (i32.const 65533) "jit"))"#;
    let limits = Limits {
        least: 1,
        most: Some(1),
    };
    for engine in ENGINES {
        let memory = Memory::new(limits).expect("memory");
        let mut linker = Linker::new();
        linker.define("host", "memory", Extern::Memory(memory.clone()));
        instance(&Store::new(), &linker, text, engine);
        let mut bytes = [0; 5];
        assert_eq!(memory.read(16, &mut bytes), Some(()));
        assert_eq!(&bytes, b"patch");
        assert_eq!(memory.read(65_533, &mut bytes), None);
        assert_eq!(memory.write(65_536, &[1]), None);
    }
}

/// Code that takes more room than is tried first.
#[test]
fn dense_code_is_compiled() {
    let mut text =
        "(module (func (export \"f\") (param i32 i32) (result i32)\n(local.get 0)\n".to_owned();
    for _ in 0..3000 {
        text += "(i32.div_s (local.get 1))\n";
    }
    let bytes = script::binary(&(text + "))")).expect("a text");
    let module = Rc::new(Module::translate(&bytes).expect("a module"));
    let program = module.program();
    let mut facts = vec![0; patchjit::verify::workspace_words(&program)];
    let verified = patchjit::verify::verify(program, &mut facts).expect("a valid program");
    let most = patchjit::compile::code_bytes(&verified);
    let code = Code::new(module.clone(), Engine::Jit, CodeOptions::default()).expect("code");
    let length = code.code_bytes().expect("it is compiled");
    assert!(length > most / 8 + 8192, "{length} of {most} bytes");
    let store = Store::new();
    let instance = store.instantiate(&Rc::new(code), &Linker::new());
    let arguments = [Value::I32(-77), Value::I32(-1)];
    let results = call(&instance.expect("an instance"), "f", &arguments);
    assert_eq!(results, Ok(vec![Value::I32(-77)]));
}
