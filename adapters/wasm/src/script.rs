//! The text format, and scripts of the specification's tests (`.wast`).
//!
//! A script is modules and assertions about them
//! (<https://github.com/WebAssembly/spec/blob/main/interpreter/README.md#scripts>). [`run`] executes one on an engine and says which assertions
//! hold. Where a module must be refused, it may be refused as not valid, as malformed, or as not supported; what traps must trap for
//! the reason that the script says.

use crate::error::{Error, Trap};
use crate::store::{InstantiateError, Linker};
use crate::types::{FuncType, Limits, TableType, Value, ValueType};
use crate::{
    Code, CodeOptions, Engine, Extern, Function, Global, Instance, Memory, Module, Store, Table,
};
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use wast::core::{AbstractHeapType, HeapType, NanPattern, WastArgCore, WastRetCore};
use wast::parser::{ParseBuffer, parse};
use wast::token::Id;
use wast::{QuoteWat, Wast, WastArg, WastDirective, WastExecute, WastInvoke, WastRet, Wat};

/// What is wrong with a text, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextError {
    /// From 1.
    pub line: usize,
    /// From 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

impl TextError {
    fn new(error: &wast::Error, text: &str) -> TextError {
        let (line, column) = error.span().linecol_in(text);
        TextError {
            line: line + 1,
            column: column + 1,
            message: error.message(),
        }
    }
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: error: {}", self.line, self.column, self.message)
    }
}

impl std::error::Error for TextError {}

/// The binary format of a module in the text format.
///
/// # Errors
///
/// What is wrong with the text.
pub fn binary(text: &str) -> Result<Vec<u8>, TextError> {
    let wrong = |error: wast::Error| TextError::new(&error, text);
    let buffer = ParseBuffer::new(text).map_err(wrong)?;
    parse::<Wat<'_>>(&buffer)
        .and_then(|mut wat| wat.encode())
        .map_err(wrong)
}

/// What came of a script.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// How many assertions hold.
    pub passed: usize,
    /// Those that do not, and modules that were not made, with their lines from 1.
    pub failures: Vec<(usize, String)>,
}

/// Runs a script.
///
/// # Errors
///
/// If the script itself cannot be read. What is in it and does not hold is in the report.
pub fn run(text: &str, engine: Engine) -> Result<Report, TextError> {
    let wrong = |error: wast::Error| TextError::new(&error, text);
    let mut lexer = wast::lexer::Lexer::new(text);
    // Names may hold what looks confusing.
    lexer.allow_confusing_unicode(true);
    let buffer = ParseBuffer::new_with_lexer(lexer).map_err(wrong)?;
    let script = parse::<Wast<'_>>(&buffer).map_err(wrong)?;
    let mut run = Run::new(engine);
    for directive in script.directives {
        let line = directive.span().linecol_in(text).0 + 1;
        match run.directive(directive) {
            Ok(true) => run.report.passed += 1,
            Ok(false) => {}
            Err(what) => run.report.failures.push((line, what)),
        }
    }
    Ok(run.report)
}

struct Run {
    engine: Engine,
    store: Store,
    linker: Linker,
    current: Option<Instance>,
    named: HashMap<String, Instance>,
    definitions: HashMap<String, Vec<u8>>,
    report: Report,
}

/// Why a module was not made.
enum Refused {
    Text(String),
    Module(Error),
    Instance(InstantiateError),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Text(message) => f.write_str(message),
            Refused::Module(error) => error.fmt(f),
            Refused::Instance(error) => error.fmt(f),
        }
    }
}

impl Run {
    fn new(engine: Engine) -> Run {
        let store = Store::new();
        // Deep enough for what scripts call, and soon exhausted.
        store.set_depth(2_000);
        let mut linker = Linker::new();
        spectest(&store, &mut linker);
        Run {
            engine,
            store,
            linker,
            current: None,
            named: HashMap::new(),
            definitions: HashMap::new(),
            report: Report::default(),
        }
    }

    /// Executes a directive. Whether it is an assertion that holds; an error if it is one that does not, or did not do what it should.
    fn directive(&mut self, directive: WastDirective<'_>) -> Result<bool, String> {
        match directive {
            WastDirective::Module(mut module) => {
                let name = module.name();
                let instance = self.module(&mut module).map_err(|refused| {
                    self.current = None;
                    refused.to_string()
                })?;
                self.keep(name, instance);
                Ok(false)
            }
            WastDirective::ModuleDefinition(mut module) => {
                let bytes = module.encode().map_err(|error| error.message())?;
                let name = module.name().map_or("", |name| name.name());
                self.definitions.insert(name.to_owned(), bytes);
                Ok(false)
            }
            WastDirective::ModuleInstance {
                instance, module, ..
            } => {
                let name = module.map_or("", |name| name.name());
                let bytes = self.definitions.get(name).ok_or("no such definition")?;
                let made = self
                    .instantiate(bytes)
                    .map_err(|refused| refused.to_string())?;
                self.keep(instance, made);
                Ok(false)
            }
            WastDirective::Register { name, module, .. } => {
                let instance = self.instance(module)?.clone();
                self.linker.define_instance(name, &instance);
                Ok(false)
            }
            WastDirective::Invoke(invoke) => {
                self.invoke(&invoke)?.map_err(|trap| trap.to_string())?;
                Ok(false)
            }
            WastDirective::AssertReturn { exec, results, .. } => {
                let values = self.execute(exec)?.map_err(|trap| trap.to_string())?;
                let alike = values.len() == results.len()
                    && values
                        .iter()
                        .zip(&results)
                        .all(|(&value, wanted)| holds(value, wanted));
                if alike {
                    Ok(true)
                } else {
                    Err(format!("gave {values:?}, not {results:?}"))
                }
            }
            WastDirective::AssertTrap { exec, message, .. } => {
                trapped(self.execute(exec)?, message)
            }
            WastDirective::AssertExhaustion { call, message, .. } => {
                trapped(self.invoke(&call)?, message)
            }
            WastDirective::AssertUnlinkable {
                mut module,
                message,
                ..
            } => {
                let bytes = module.encode().map_err(|error| error.message())?;
                match self.instantiate(&bytes) {
                    Err(Refused::Instance(InstantiateError::Link { what, .. }))
                        if message.starts_with(what) =>
                    {
                        Ok(true)
                    }
                    Err(refused) => Err(format!("{refused}, not {message}")),
                    Ok(_) => Err(format!("linked, not {message}")),
                }
            }
            WastDirective::AssertInvalid {
                mut module,
                message,
                ..
            } => {
                let bytes = module.encode().map_err(|error| error.message())?;
                refused(Module::translate(&bytes).map(drop), message)
            }
            WastDirective::AssertMalformed {
                mut module,
                message,
                ..
            } => match module.encode() {
                Err(_) => Ok(true),
                Ok(bytes) => refused(Module::translate(&bytes).map(drop), message),
            },
            _ => Err("a directive of a proposal that is not supported".to_owned()),
        }
    }

    fn keep(&mut self, name: Option<Id<'_>>, instance: Instance) {
        if let Some(name) = name {
            self.named.insert(name.name().to_owned(), instance.clone());
        }
        self.current = Some(instance);
    }

    fn module(&self, module: &mut QuoteWat<'_>) -> Result<Instance, Refused> {
        let bytes = module
            .encode()
            .map_err(|error| Refused::Text(error.message()))?;
        self.instantiate(&bytes)
    }

    fn instantiate(&self, bytes: &[u8]) -> Result<Instance, Refused> {
        let module = Module::translate(bytes).map_err(Refused::Module)?;
        let code = Code::new(Rc::new(module), self.engine, CodeOptions::default())
            .map_err(Refused::Module)?;
        let instance = self.store.instantiate(&Rc::new(code), &self.linker);
        instance.map_err(Refused::Instance)
    }

    fn instance(&self, name: Option<Id<'_>>) -> Result<&Instance, String> {
        let instance = match name {
            Some(name) => self.named.get(name.name()),
            None => self.current.as_ref(),
        };
        instance.ok_or_else(|| "no such module".to_owned())
    }

    fn execute(&mut self, exec: WastExecute<'_>) -> Result<Result<Vec<Value>, Trap>, String> {
        match exec {
            WastExecute::Invoke(invoke) => self.invoke(&invoke),
            WastExecute::Wat(mut module) => {
                let bytes = module.encode().map_err(|error| error.message())?;
                match self.instantiate(&bytes) {
                    Ok(_) => Ok(Ok(Vec::new())),
                    Err(Refused::Instance(InstantiateError::Trap(trap))) => Ok(Err(trap)),
                    Err(refused) => Err(refused.to_string()),
                }
            }
            WastExecute::Get { module, global, .. } => {
                let value = self.instance(module)?.global(global);
                Ok(Ok(vec![value.ok_or("no such global")?]))
            }
        }
    }

    fn invoke(&self, invoke: &WastInvoke<'_>) -> Result<Result<Vec<Value>, Trap>, String> {
        let function = self.instance(invoke.module)?.function(invoke.name);
        let function = function.ok_or_else(|| format!("no function `{}`", invoke.name))?;
        let arguments = invoke.args.iter().map(argument);
        let arguments = arguments.collect::<Option<Vec<_>>>();
        let arguments = arguments.ok_or("an argument of a proposal that is not supported")?;
        Ok(function.call(&arguments))
    }
}

/// Whether a call trapped for this reason.
fn trapped(result: Result<Vec<Value>, Trap>, message: &str) -> Result<bool, String> {
    match result {
        // The script may name the element, too.
        Err(trap) if message.starts_with(&trap.to_string()) => Ok(true),
        Err(trap) => Err(format!("trapped: {trap}, not {message}")),
        Ok(values) => Err(format!("gave {values:?}, not {message}")),
    }
}

fn refused(result: Result<(), Error>, message: &str) -> Result<bool, String> {
    match result {
        Err(Error::Invalid { .. } | Error::Unsupported { .. }) => Ok(true),
        Err(error) => Err(error.to_string()),
        Ok(()) => Err(format!("translated, not {message}")),
    }
}

fn argument(argument: &WastArg<'_>) -> Option<Value> {
    let WastArg::Core(argument) = argument else {
        return None;
    };
    Some(match argument {
        WastArgCore::I32(value) => Value::I32(*value),
        WastArgCore::I64(value) => Value::I64(*value),
        WastArgCore::F32(value) => Value::F32(value.bits),
        WastArgCore::F64(value) => Value::F64(value.bits),
        WastArgCore::RefExtern(number) | WastArgCore::RefHost(number) => {
            Value::ExternRef(Some(*number))
        }
        WastArgCore::RefNull(HeapType::Abstract { ty, .. }) => match ty {
            AbstractHeapType::Func => Value::FuncRef(None),
            AbstractHeapType::Extern => Value::ExternRef(None),
            _ => return None,
        },
        _ => return None,
    })
}

/// Whether a value is what a script says.
fn holds(value: Value, wanted: &WastRet<'_>) -> bool {
    let WastRet::Core(wanted) = wanted else {
        return false;
    };
    is(value, wanted)
}

fn is(value: Value, wanted: &WastRetCore<'_>) -> bool {
    match (value, wanted) {
        (Value::I32(value), WastRetCore::I32(wanted)) => value == *wanted,
        (Value::I64(value), WastRetCore::I64(wanted)) => value == *wanted,
        (Value::F32(bits), WastRetCore::F32(wanted)) => match wanted {
            NanPattern::CanonicalNan => bits & 0x7fff_ffff == 0x7fc0_0000,
            NanPattern::ArithmeticNan => bits & 0x7fc0_0000 == 0x7fc0_0000,
            NanPattern::Value(wanted) => bits == wanted.bits,
        },
        (Value::F64(bits), WastRetCore::F64(wanted)) => match wanted {
            NanPattern::CanonicalNan => bits & !(1 << 63) == 0x7ff8 << 48,
            NanPattern::ArithmeticNan => bits & 0x7ff8 << 48 == 0x7ff8 << 48,
            NanPattern::Value(wanted) => bits == wanted.bits,
        },
        (Value::FuncRef(None) | Value::ExternRef(None), WastRetCore::RefNull(_)) => true,
        (Value::FuncRef(Some(_)), WastRetCore::RefFunc(None)) => true,
        (Value::ExternRef(Some(value)), WastRetCore::RefExtern(wanted)) => {
            wanted.is_none_or(|wanted| wanted == value)
        }
        (value, WastRetCore::Either(any)) => any.iter().any(|wanted| is(value, wanted)),
        _ => false,
    }
}

/// The module that scripts import from.
fn spectest(store: &Store, linker: &mut Linker) {
    use ValueType::{F32, F64, I32, I64};
    let functions: [(&str, &[ValueType]); 7] = [
        ("print", &[]),
        ("print_i32", &[I32]),
        ("print_i64", &[I64]),
        ("print_f32", &[F32]),
        ("print_f64", &[F64]),
        ("print_i32_f32", &[I32, F32]),
        ("print_f64_f64", &[F64, F64]),
    ];
    for (name, parameters) in functions {
        let ty = FuncType {
            parameters: parameters.to_vec(),
            results: Vec::new(),
        };
        let function: Function = store.host_function(ty, |_, _| Ok(Vec::new()));
        linker.define("spectest", name, Extern::Function(function));
    }
    let globals = [
        ("global_i32", Value::I32(666)),
        ("global_i64", Value::I64(666)),
        ("global_f32", Value::F32(666.6f32.to_bits())),
        ("global_f64", Value::F64(666.6f64.to_bits())),
    ];
    for (name, value) in globals {
        linker.define("spectest", name, Extern::Global(Global::new(value, false)));
    }
    let limits = |least, most| Limits {
        least,
        most: Some(most),
    };
    let table = TableType {
        element: ValueType::FuncRef,
        limits: limits(10, 20),
    };
    if let Ok(table) = Table::new(table) {
        linker.define("spectest", "table", Extern::Table(table));
    }
    if let Ok(memory) = Memory::new(limits(1, 2)) {
        linker.define("spectest", "memory", Extern::Memory(memory));
    }
}
