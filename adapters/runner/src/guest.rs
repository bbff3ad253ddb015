//! WebAssembly modules on the command line: `run` for `.wasm` and `.wat`, and `wast`.
//!
//! A module is instantiated with WASI for its imports. `run` calls the function that `--invoke` names, or `_start` with the arguments as
//! the command line of the guest. With `--engine both` the module runs twice, on machine code and on the interpreter: the second run gets
//! the times, random bytes and input that the first got, and what both gave, wrote and left behind must be the same.

use crate::arguments::{Engine, Optimization, RunArguments, WastArguments};
use crate::report::{self, Failure, RunLine, RunReport, microseconds};
use patchjit::verify;
use patchjit_cli::module::wasm_bytes;
use patchjit_cli::value;
use patchjit_wasm::{
    Code, CodeOptions, ExportKind, FuncType, Instance, Linker, Module, Store, Trap, Value,
    ValueType, script, wasi,
};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::hash::{BuildHasher as _, Hasher as _};
use std::io::Read as _;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Whether a file is a module by its name.
pub fn is_module(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("wasm" | "wat"))
}

/// What a run reached of the world, for a second run to see the same.
#[derive(Debug, Default)]
struct Seen {
    times: VecDeque<u64>,
    random: VecDeque<u8>,
    input: Vec<Vec<u8>>,
    written: Vec<(bool, Vec<u8>)>,
}

/// The world, as a module sees it.
struct World {
    started: Instant,
    seed: u64,
    /// What another run saw, if it is to be the same.
    replay: Option<Seen>,
    /// Whether what is written goes out at once.
    shows: bool,
    /// Whether standard output is for the report.
    json: bool,
    seen: Rc<RefCell<Seen>>,
}

impl wasi::Host for World {
    fn clock(&mut self, clock: u32) -> u64 {
        let replayed = self.replay.as_mut().and_then(|seen| seen.times.pop_front());
        let now = || match clock {
            0 => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default(),
            _ => self.started.elapsed(),
        };
        let time = replayed.unwrap_or_else(|| now().as_nanos() as u64);
        self.seen.borrow_mut().times.push_back(time);
        time
    }

    fn random(&mut self) -> u8 {
        let replayed = self
            .replay
            .as_mut()
            .and_then(|seen| seen.random.pop_front());
        let byte = replayed.unwrap_or_else(|| {
            // SplitMix64, from a seed that the system gave.
            self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = (self.seed ^ self.seed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            (mixed >> 56) as u8
        });
        self.seen.borrow_mut().random.push_back(byte);
        byte
    }

    fn write(&mut self, error: bool, bytes: &[u8]) {
        if self.shows && (error || self.json) {
            eprint!("{}", String::from_utf8_lossy(bytes));
        } else if self.shows {
            report::print_bytes(bytes);
        }
        self.seen.borrow_mut().written.push((error, bytes.to_vec()));
    }

    fn read(&mut self, bytes: &mut [u8]) -> usize {
        let number = self.seen.borrow().input.len();
        let count = match &self.replay {
            Some(seen) => {
                let input = seen.input.get(number).map_or(&[][..], Vec::as_slice);
                let count = input.len().min(bytes.len());
                bytes[..count].copy_from_slice(&input[..count]);
                count
            }
            None => std::io::stdin().read(bytes).unwrap_or(0),
        };
        self.seen.borrow_mut().input.push(bytes[..count].to_vec());
        count
    }
}

/// What came of a run.
struct Ran {
    result: Result<Vec<Value>, Trap>,
    instance: Instance,
    seen: Seen,
    code_bytes: Option<usize>,
    compile: Duration,
    time: Duration,
}

/// A file's module, and what is asked of it.
struct Guest<'a> {
    module: Rc<Module>,
    arguments: &'a RunArguments,
}

/// Runs what the arguments ask for.
pub fn run(arguments: &RunArguments) -> Result<(), Failure> {
    let failed =
        |what: String| Failure::input(format!("{}: error: {what}", arguments.file.display()));
    let bytes = wasm_bytes(&arguments.file).map_err(Failure::input)?;
    let module = Module::translate(&bytes).map_err(|error| failed(error.to_string()))?;
    let guest = Guest {
        module: Rc::new(module),
        arguments,
    };
    let (name, values) = guest.task().map_err(failed)?;
    let machine = match arguments.optimizer.opt {
        Optimization::None => patchjit_wasm::Engine::Jit,
        Optimization::Full => patchjit_wasm::Engine::JitOptimized,
    };
    let interpreter = patchjit_wasm::Engine::Interpreter;
    let (engine, name_of_engine) = match arguments.engine {
        Engine::Interp => (interpreter, "interp"),
        _ if patchjit_stencils::native().is_none() => {
            eprintln!("note: no target for this machine: the interpreter runs the program");
            (interpreter, "interp")
        }
        Engine::Jit => (machine, "jit"),
        Engine::Both => (machine, "both"),
    };
    let first = guest.run(engine, &name, &values, None).map_err(failed)?;
    let mut difference = None;
    let mut second_time = None;
    if name_of_engine == "both" {
        let seen = Seen {
            times: first.seen.times.clone(),
            random: first.seen.random.clone(),
            input: first.seen.input.clone(),
            written: Vec::new(),
        };
        let second = guest
            .run(interpreter, &name, &values, Some(seen))
            .map_err(failed)?;
        difference = differ(&guest.module, &first, &second);
        second_time = Some(second);
    }
    guest.report(&name, &values, name_of_engine, &first, second_time.as_ref())?;
    let call = format!("{name}({})", list(&values));
    let at = |what: &str| format!("{}: error: {call}: {what}", arguments.file.display());
    if let Some(difference) = difference {
        return Err(Failure::broken(at(&format!(
            "the engines differ: {difference}"
        ))));
    }
    match first.result {
        Ok(_) | Err(Trap::Exit(0)) => Ok(()),
        Err(trap) => Err(Failure::left(at(&trap.to_string()))),
    }
}

impl Guest<'_> {
    /// The function that is called, and with what.
    fn task(&self) -> Result<(String, Vec<Value>), String> {
        let texts = &self.arguments.arguments;
        let Some(name) = &self.arguments.invoke else {
            let start = self.module.function_type("_start");
            return match start {
                Some(ty) if *ty == FuncType::default() => Ok(("_start".to_owned(), Vec::new())),
                _ => Err("the module has no `_start`; name a function with --invoke".to_owned()),
            };
        };
        let ty = self.module.function_type(name);
        let ty = ty.ok_or_else(|| format!("no function `{name}` is exported"))?;
        if ty.parameters.len() != texts.len() {
            let (wanted, given) = (ty.parameters.len(), texts.len());
            return Err(format!(
                "`{name}` takes {wanted} arguments, and {given} are given"
            ));
        }
        let values = ty.parameters.iter().zip(texts);
        let values = values
            .map(|(&ty, text)| parse(ty, text))
            .collect::<Result<_, _>>()?;
        Ok((name.clone(), values))
    }

    /// Makes an instance for an engine and calls a function of it.
    fn run(
        &self,
        engine: patchjit_wasm::Engine,
        name: &str,
        values: &[Value],
        replay: Option<Seen>,
    ) -> Result<Ran, String> {
        let arguments = self.arguments;
        let start = Instant::now();
        let fuel = arguments.fuel;
        let options = CodeOptions {
            fuel: fuel.is_some(),
            ..CodeOptions::default()
        };
        let code = Code::new(self.module.clone(), engine, options);
        let code = Rc::new(code.map_err(|error| error.to_string())?);
        let compile = start.elapsed();
        let store = Store::new();
        store.set_fuel(fuel);
        store.set_depth(arguments.depth);
        let mut linker = Linker::new();
        let seen = Rc::new(RefCell::new(Seen::default()));
        let world = World {
            started: Instant::now(),
            seed: std::hash::RandomState::new().build_hasher().finish(),
            shows: replay.is_none(),
            replay,
            json: arguments.json,
            seen: seen.clone(),
        };
        let mut line = vec![arguments.file.display().to_string()];
        if arguments.invoke.is_none() {
            line.extend(arguments.arguments.iter().cloned());
        }
        wasi::define(&store, &mut linker, &line, world);
        let instance = store
            .instantiate(&code, &linker)
            .map_err(|error| error.to_string())?;
        let function = instance.function(name).ok_or("no such function")?;
        let start = Instant::now();
        let result = function.call(values);
        let time = start.elapsed();
        let seen = seen.take();
        Ok(Ran {
            result,
            instance,
            seen,
            code_bytes: code.code_bytes(),
            compile,
            time,
        })
    }

    /// Prints the results, or the object that `--json` asks for.
    fn report(
        &self,
        name: &str,
        values: &[Value],
        engine: &'static str,
        ran: &Ran,
        second: Option<&Ran>,
    ) -> Result<(), Failure> {
        if !self.arguments.json {
            if let Ok(results) = &ran.result
                && !results.is_empty()
            {
                report::print(&format!("{}\n", list(results)));
            }
            return Ok(());
        }
        let texts = |values: &[Value]| values.iter().map(|&value| print(value)).collect();
        let results: Vec<String> = ran
            .result
            .as_ref()
            .map_or_else(|_| Vec::new(), |v| texts(v));
        let exit = ran.result.as_ref().err().map(Trap::to_string);
        let run_ms = report::milliseconds(ran.time);
        let line = RunLine {
            function: name.to_owned(),
            arguments: texts(values),
            results: results.clone(),
            exit: exit.clone(),
            run_ms,
            kept: None,
        };
        let program = self.module.program();
        let mut facts = vec![0; verify::workspace_words(&program)];
        let uops = verify::verify(program, &mut facts).map_or(0, |verified| verified.size());
        report::print_json(&RunReport {
            results,
            exit,
            uops,
            code_bytes: ran.code_bytes,
            compile_us: ran.code_bytes.map(|_| microseconds(ran.compile)),
            run_ms,
            engine,
            opt: match self.arguments.optimizer.opt {
                Optimization::None => "none",
                Optimization::Full => "full",
            },
            optimize_us: None,
            passes: BTreeMap::new(),
            slots: Vec::new(),
            interp_ms: second.map(|second| report::milliseconds(second.time)),
            runs: vec![line],
        })
    }
}

/// In what two runs of a module differ.
fn differ(module: &Module, first: &Ran, second: &Ran) -> Option<String> {
    let alike = match (&first.result, &second.result) {
        (Ok(a), Ok(b)) => a.len() == b.len() && a.iter().zip(b).all(|(&a, &b)| same(a, b)),
        (a, b) => a == b,
    };
    if !alike {
        return Some(format!("{:?} and {:?}", first.result, second.result));
    }
    if first.seen.written != second.seen.written {
        return Some("they wrote something else".to_owned());
    }
    for (name, kind) in module.exports() {
        match kind {
            ExportKind::Global => {
                let values = [first, second].map(|ran| ran.instance.global(name));
                if let [Some(a), Some(b)] = values
                    && !same(a, b)
                {
                    return Some(format!("global `{name}`: {a:?} and {b:?}"));
                }
            }
            ExportKind::Memory => {
                let bytes = [first, second].map(|ran| {
                    let memory = ran.instance.memory(name)?;
                    let mut bytes = vec![0; memory.pages() as usize * 65_536];
                    memory.read(0, &mut bytes)?;
                    Some(bytes)
                });
                let [Some(a), Some(b)] = &bytes else {
                    continue;
                };
                if a.len() != b.len() {
                    return Some(format!(
                        "memory `{name}` has {} and {} bytes",
                        a.len(),
                        b.len()
                    ));
                }
                // Bits of NaNs may differ, and a memory does not say where floats are.
                let words = |bytes: &[u8]| -> Vec<u64> {
                    let words = bytes.as_chunks().0.iter();
                    words.map(|&word| u64::from_le_bytes(word)).collect()
                };
                let different = |(a, b): (&u64, &u64)| a != b && !value::same_word(*a, *b);
                let at = words(a).iter().zip(&words(b)).position(different);
                if let Some(at) = at {
                    return Some(format!("memory `{name}` at address {}", 8 * at));
                }
            }
            _ => {}
        }
    }
    None
}

/// Whether two values are the same, NaNs all being one.
fn same(a: Value, b: Value) -> bool {
    match (a, b) {
        (Value::F32(a), Value::F32(b)) => {
            a == b || f32::from_bits(a).is_nan() && f32::from_bits(b).is_nan()
        }
        (Value::F64(a), Value::F64(b)) => {
            a == b || f64::from_bits(a).is_nan() && f64::from_bits(b).is_nan()
        }
        (a, b) => a == b,
    }
}

fn parse(ty: ValueType, text: &str) -> Result<Value, String> {
    use patchjit::types::Type;
    let read = |ty| value::parse(ty, text).map_err(|error| format!("argument {error}"));
    Ok(match ty {
        ValueType::I32 => Value::I32(read(Type::I32)? as i32),
        ValueType::I64 => Value::I64(read(Type::I64)?.cast_signed()),
        ValueType::F32 => Value::F32(read(Type::F32)? as u32),
        ValueType::F64 => Value::F64(read(Type::F64)?),
        ValueType::FuncRef if text == "null" => Value::FuncRef(None),
        ValueType::ExternRef if text == "null" => Value::ExternRef(None),
        ValueType::ExternRef => Value::ExternRef(Some(read(Type::I32)? as u32)),
        ValueType::FuncRef => {
            return Err(format!("argument `{text}` is no reference to a function"));
        }
    })
}

fn print(value: Value) -> String {
    use patchjit::types::Type;
    match value {
        Value::I32(value) => value.to_string(),
        Value::I64(value) => value.to_string(),
        Value::F32(bits) => value::print(Type::F32, bits.into()),
        Value::F64(bits) => value::print(Type::F64, bits),
        Value::FuncRef(None) | Value::ExternRef(None) => "null".to_owned(),
        Value::FuncRef(Some(number)) => format!("function {number}"),
        Value::ExternRef(Some(number)) => number.to_string(),
    }
}

fn list(values: &[Value]) -> String {
    values
        .iter()
        .map(|&value| print(value))
        .collect::<Vec<_>>()
        .join(", ")
}

/// Runs a script of the specification's tests, on each engine that is asked for.
pub fn wast(arguments: &WastArguments) -> Result<(), Failure> {
    let name = arguments.file.display();
    let failed = |what: String| Failure::input(format!("{name}: error: {what}"));
    let text =
        std::fs::read_to_string(&arguments.file).map_err(|error| failed(error.to_string()))?;
    let engines = [
        (patchjit_wasm::Engine::Interpreter, "interp"),
        (patchjit_wasm::Engine::Jit, "jit"),
        (patchjit_wasm::Engine::JitOptimized, "jit, optimized"),
    ];
    let mut wrong = Vec::new();
    for (engine, engine_name) in engines {
        if engine != patchjit_wasm::Engine::Interpreter && patchjit_stencils::native().is_none() {
            continue;
        }
        let script = script::run(&text, engine);
        let report = script.map_err(|error| Failure::input(format!("{name}:{error}")))?;
        let total = report.passed + report.failures.len();
        report::print(&format!(
            "{engine_name}: {} of {total} hold\n",
            report.passed
        ));
        let failures = report.failures.into_iter();
        wrong.extend(
            failures.map(|(line, what)| format!("{name}:{line}: error: {engine_name}: {what}")),
        );
    }
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(Failure::broken(wrong.join("\n")))
    }
}
