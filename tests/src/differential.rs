//! Compiled code against the oracle, on one program at a time.
//!
//! Takes a program and a seed for its arguments and limits; promises to say in words what is wrong: a program that
//! does not verify, an allocation that the checker refuses, bytes that are no instructions or outside the code slice
//! or different the second time, and any run that ends otherwise than the oracle's: status, exit number, results,
//! guest slots, regions, what was printed, run fuel left. Then the same for the program optimized, with all passes and with some:
//! the oracle runs it as it ran the program, with no more fuel, and compiled code as the oracle does.

use crate::allocation::Checker;
use crate::generate::{RAW_BYTES, RAW_SLOT, interesting_bits};
use crate::host_set;
use crate::random::Random;
use crate::references::{self, MapStorage};
use patchjit::call;
use patchjit::code::CodeBuffer;
use patchjit::compile::{self, Compiled, FunctionCode, Options};
use patchjit::interp;
use patchjit::optimize::{self, Pass, Passes};
use patchjit::runtime::{Context, Status};
use patchjit::types::Type;
use patchjit::verify::{self, Verified};
use patchjit_cli::disassemble;
use patchjit_cli::instance::{Content, Instance, Limits};
use patchjit_cli::optimizer::Optimizer;
use patchjit_cli::value;
use patchjit_memory::Arena;
use patchjit_text::Module;
use std::sync::atomic::Ordering;

/// The run fuel with which a program is tried first; those that need more are run with fuel only.
const ENOUGH_FUEL: u64 = 5000;

/// Bytes around the code slice that must stay as they are.
const MARGIN: usize = 256;

/// How many runs ended in which way.
#[derive(Clone, Copy, Debug, Default)]
pub struct Summary {
    /// By the code of the status.
    pub ends: [u64; 5],
    /// Bytes of code.
    pub code_bytes: u64,
    /// Ops.
    pub ops: u64,
}

impl Summary {
    /// Adds another one up.
    pub fn add(&mut self, other: &Summary) {
        for (sum, count) in self.ends.iter_mut().zip(other.ends) {
            *sum += count;
        }
        self.code_bytes += other.code_bytes;
        self.ops += other.ops;
    }
}

/// Code of a program as bytes.
struct Code {
    bytes: Vec<u8>,
    functions: Vec<FunctionCode>,
}

/// One run: what is asked for.
struct Question<'q> {
    function: u32,
    arguments: &'q [u64],
    limits: Limits,
    charge_fuel: bool,
    interrupt: bool,
}

/// One run: what came of it.
struct Answer {
    status: Status,
    exit_number: u32,
    values: Vec<u64>,
    fuel: i64,
    instance: Instance,
    raw: Vec<u64>,
}

/// Memory for what is shared between the runs of many programs.
pub struct Laboratory {
    arena: Arena,
    raw: Vec<u64>,
    stack: Vec<u64>,
    workspace: Vec<u32>,
    verified: Vec<u32>,
    decoded: Vec<u32>,
    /// Whether the program at hand, as it was before it was optimized, is contained.
    contained: bool,
}

impl Laboratory {
    /// Room for programs of ordinary size.
    ///
    /// # Errors
    ///
    /// If the system has no executable memory.
    pub fn new() -> Result<Laboratory, String> {
        Ok(Laboratory {
            arena: crate::rewritable(64 << 20).map_err(|error| error.to_string())?,
            raw: vec![0; RAW_BYTES as usize / 8],
            stack: Vec::new(),
            workspace: Vec::new(),
            verified: Vec::new(),
            decoded: Vec::new(),
            contained: true,
        })
    }

    /// Tries a program.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub fn check(&mut self, module: &Module, seed: u64) -> Result<Summary, String> {
        let program = module.program();
        grow(&mut self.verified, verify::workspace_words(&program));
        let mut verified_words = std::mem::take(&mut self.verified);
        let verified = verify::verify(program, &mut verified_words)
            .map_err(|error| format!("does not verify: {error}"))?;
        self.contained = verified.is_contained();
        let result = self.check_with_optimizer(module, &verified, seed);
        self.verified = verified_words;
        result
    }

    fn check_with_optimizer(
        &mut self,
        module: &Module,
        verified: &Verified,
        seed: u64,
    ) -> Result<Summary, String> {
        let mut words = vec![0xdddd_dddd; interp::workspace_words(verified)];
        let decoded = interp::decode(verified, &mut words)
            .map_err(|error| format!("is not decoded: {error}"))?;
        let summary = self.check_verified(module, verified, None, seed)?;
        let some = Random::new(seed ^ 0x5555).bits();
        for passes in [Passes::ALL, subset(some)] {
            let options = optimize::Options { passes, fuel: None };
            let mut optimizer = Optimizer::new();
            optimizer
                .run(verified, &options)
                .map_err(|error| error.to_string())
                .and_then(|optimized| self.check_verified(module, &optimized, Some(&decoded), seed))
                .map_err(|what| format!("optimized ({passes:?}): {what}"))?;
        }
        Ok(summary)
    }

    fn check_verified(
        &mut self,
        module: &Module,
        verified: &Verified,
        original: Option<&interp::Decoded>,
        seed: u64,
    ) -> Result<Summary, String> {
        let mut summary = Summary {
            ops: module.ops.len() as u64,
            ..Summary::default()
        };
        grow(&mut self.decoded, interp::workspace_words(verified));
        let mut decoded_words = std::mem::take(&mut self.decoded);
        let decoded = interp::decode(verified, &mut decoded_words)
            .map_err(|error| format!("is not decoded: {error}"))?;
        let mut random = Random::new(!seed);
        let mut questions = Vec::new();
        for function in 0..module.functions.len() as u32 {
            for _ in 0..2 {
                let parameters = module
                    .program()
                    .parameters(module.functions[function as usize].signature);
                let arguments: Vec<u64> = parameters
                    .iter()
                    .map(|&ty| interesting_bits(&mut random, ty))
                    .collect();
                let depth = *random.pick(&[0, 1, 2, 3, 40, 40, 40, 40]);
                let small = random.below(40) as u64;
                questions.push((function, arguments, depth, small, random.percent(10)));
            }
        }
        for fuel in [false, true] {
            let code = self.compile(module, verified, fuel)?;
            summary.code_bytes = code.bytes.len() as u64;
            let mut block = self
                .arena
                .reserve(code.bytes.len())
                .map_err(|error| error.to_string())?;
            let mut writing = self
                .arena
                .write(&mut block)
                .map_err(|error| error.to_string())?;
            writing.buffer().write[..code.bytes.len()].copy_from_slice(&code.bytes);
            let address = writing
                .publish(code.bytes.len())
                .map_err(|error| error.to_string())?;
            for (function, arguments, depth, small, interrupt) in &questions {
                for amount in [ENOUGH_FUEL, *small] {
                    if amount == *small && !fuel {
                        continue;
                    }
                    let mut question = Question {
                        function: *function,
                        arguments,
                        limits: Limits {
                            fuel: Some(amount),
                            depth: *depth,
                        },
                        charge_fuel: true,
                        interrupt: *interrupt,
                    };
                    let mut wanted = self.ask_oracle(module, &decoded, &question)?;
                    if let Some(original) = original {
                        let before = self.ask_oracle(module, original, &question)?;
                        if before.status == Status::OutOfFuel {
                            // With the fuel that it saves, the optimized program may come farther.
                            continue;
                        }
                        let mut after = wanted;
                        if after.fuel < before.fuel {
                            return Err(describe(&question, fuel, "takes more fuel"));
                        }
                        let saved = std::mem::replace(&mut after.fuel, before.fuel);
                        compare(module, &question, &before, &after)
                            .map_err(|what| describe(&question, fuel, &what))?;
                        after.fuel = saved;
                        wanted = after;
                    }
                    if !fuel {
                        if wanted.status == Status::OutOfFuel {
                            continue;
                        }
                        question.charge_fuel = false;
                        wanted.fuel = amount as i64;
                    }
                    let got = self.ask_code(module, &code, address, &question)?;
                    summary.ends[got.status as usize] += 1;
                    compare(module, &question, &wanted, &got)
                        .map_err(|what| describe(&question, fuel, &what))?;
                }
            }
            self.arena
                .release(block)
                .map_err(|error| error.to_string())?;
        }
        self.decoded = decoded_words;
        Ok(summary)
    }

    /// Compiles twice, under the eyes of the checker and with another workspace.
    fn compile(
        &mut self,
        module: &Module,
        verified: &Verified,
        fuel: bool,
    ) -> Result<Code, String> {
        let options = Options {
            fuel,
            ..Options::default()
        };
        let program = *verified.program();
        let room = compile::code_bytes(verified);
        let needed = compile::workspace_words(verified);
        let mut bytes = vec![0xa5; room + 2 * MARGIN];
        let mut functions = vec![FunctionCode::default(); program.functions.len()];
        let mut checker = Checker::new(&program);
        let mut storage = MapStorage::new(verified, 1 << 16);
        let mut maps = storage.observer(verified);
        // What another program left, longer than needed.
        grow(&mut self.workspace, needed);
        let compiled = compile::compile_observed(
            verified,
            host_set(),
            &options,
            &mut self.workspace,
            CodeBuffer {
                write: &mut bytes[MARGIN..MARGIN + room],
                execute_at: 0,
            },
            &mut functions,
            &mut (&mut checker, &mut maps),
        )
        .map_err(|error| format!("is not compiled: {error}"))?;
        let length = compiled.code_length as usize;
        let untouched = |bytes: &[u8]| {
            let behind = &bytes[MARGIN + room..];
            bytes[..MARGIN].iter().chain(behind).all(|&b| b == 0xa5)
        };
        if length > room || !untouched(&bytes) {
            return Err("was written outside the code slice".to_string());
        }
        let references = maps.finish().map_err(|error| error.to_string())?;
        references::check(&program, &checker, &references)
            .map_err(|what| format!("allocation: {what}"))?;
        let bytes = bytes[MARGIN..MARGIN + length].to_vec();
        let code = Code { bytes, functions };
        decode(&code.functions, &code.bytes)?;
        let (again, second) = self.compile_silently(module, verified, &options)?;
        if second != compiled || again.bytes != code.bytes || again.functions != code.functions {
            return Err("gives other code the second time".to_string());
        }
        Ok(code)
    }

    fn compile_silently(
        &mut self,
        module: &Module,
        verified: &Verified,
        options: &Options,
    ) -> Result<(Code, Compiled), String> {
        let mut workspace = vec![0xdead_beef; compile::workspace_words(verified)];
        let mut bytes = vec![0; compile::code_bytes(verified)];
        let mut functions = vec![FunctionCode::default(); module.functions.len()];
        let compiled = compile::compile(
            verified,
            host_set(),
            options,
            &mut workspace,
            CodeBuffer {
                write: &mut bytes,
                execute_at: 0x1000,
            },
            &mut functions,
        )
        .map_err(|error| format!("is not compiled the second time: {error}"))?;
        bytes.truncate(compiled.code_length as usize);
        Ok((Code { bytes, functions }, compiled))
    }

    /// An instance, a context bound to it, and the raw memory as at the start.
    fn prepare(&mut self, module: &Module, question: &Question) -> Result<Instance, String> {
        let contents: Vec<Content> = module
            .contents
            .iter()
            .map(|part| Content {
                region: part.region as usize,
                offset: part.offset,
                bytes: part.bytes.clone(),
            })
            .collect();
        let mut instance = Instance::new(
            &module.program(),
            &module.names.hosts,
            &contents,
            question.limits,
        )?;
        if !self.contained {
            self.raw.fill(0x0102_0304_0506_0708);
            if let Some(slot) = instance.slots.get_mut(RAW_SLOT as usize) {
                *slot = self.raw.as_mut_ptr().expose_provenance() as u64;
            }
        }
        Ok(instance)
    }

    fn ask_oracle(
        &mut self,
        module: &Module,
        decoded: &interp::Decoded,
        question: &Question,
    ) -> Result<Answer, String> {
        let mut instance = self.prepare(module, question)?;
        let mut values = values_for(module, question);
        let mut context = bind(&mut instance, question);
        let words = decoded.stack_words(question.limits.depth);
        if self.stack.len() < words {
            self.stack.resize(words, 0x5555_5555_5555_5555);
        }
        // SAFETY: the instance binds what the program declares; raw accesses stay in the raw memory.
        let outcome = unsafe {
            decoded.run(
                question.function,
                &raw mut context,
                &mut values,
                &mut self.stack,
                interp::Options {
                    charge_fuel: question.charge_fuel,
                },
            )
        }
        .map_err(|error| format!("the oracle: {error}"))?;
        Ok(self.answer(outcome.status, &context, values, instance))
    }

    fn ask_code(
        &mut self,
        module: &Module,
        code: &Code,
        address: u64,
        question: &Question,
    ) -> Result<Answer, String> {
        let mut instance = self.prepare(module, question)?;
        let bodies = code.functions.iter();
        instance.set_bodies(bodies.map(|function| address + u64::from(function.body)));
        let mut values = values_for(module, question);
        let mut context = bind(&mut instance, question);
        let entry = address + u64::from(code.functions[question.function as usize].entry);
        // SAFETY: the code was compiled for this machine from this program, and the instance is bound for it; the stack
        // has room for the few calls that the depth allows.
        let status = unsafe { call::enter(entry, &raw mut context, values.as_mut_ptr()) };
        if context.depth != i64::from(question.limits.depth) {
            return Err(describe(question, false, "the depth is not as before"));
        }
        Ok(self.answer(status, &context, values, instance))
    }

    fn answer(
        &self,
        status: Status,
        context: &Context,
        values: Vec<u64>,
        instance: Instance,
    ) -> Answer {
        Answer {
            status,
            exit_number: match status {
                Status::Deoptimized | Status::Trapped => context.exit_number,
                _ => 0,
            },
            values,
            fuel: context.fuel,
            instance,
            raw: self.raw.clone(),
        }
    }
}

/// Some of the passes.
fn subset(bits: u64) -> Passes {
    let chosen = Pass::ALL
        .iter()
        .filter(|&&pass| bits >> pass as u64 & 1 != 0);
    chosen.fold(Passes::NONE, |passes, &pass| passes.with(pass))
}

fn grow(words: &mut Vec<u32>, length: usize) {
    if words.len() < length {
        words.resize(length, 0xabab_abab);
    }
}

fn values_for(module: &Module, question: &Question) -> Vec<u64> {
    let signature = module.functions[question.function as usize].signature;
    let results = module.program().results(signature).len();
    let mut values = question.arguments.to_vec();
    values.resize(values.len().max(results), 0);
    values
}

fn bind(instance: &mut Instance, question: &Question) -> Context {
    let context = instance.context();
    let interrupt = u32::from(question.interrupt);
    context.interrupt.store(interrupt, Ordering::Relaxed);
    context
}

fn describe(question: &Question, fuel: bool, what: &str) -> String {
    format!(
        "function {} of {:x?}, depth {}, fuel {:?} ({}), interrupt {}: {what}",
        question.function,
        question.arguments,
        question.limits.depth,
        question.limits.fuel,
        if fuel { "charged" } else { "not charged" },
        question.interrupt,
    )
}

fn compare(
    module: &Module,
    question: &Question,
    wanted: &Answer,
    got: &Answer,
) -> Result<(), String> {
    let ends = |answer: &Answer| (answer.status, answer.exit_number);
    if ends(wanted) != ends(got) {
        return Err(format!("wanted {:?}, got {:?}", ends(wanted), ends(got)));
    }
    if wanted.fuel != got.fuel {
        return Err(format!("fuel: wanted {}, got {}", wanted.fuel, got.fuel));
    }
    if wanted.status == Status::Returned {
        let program = module.program();
        let results = program.results(module.functions[question.function as usize].signature);
        let pairs = wanted.values.iter().zip(&got.values);
        for (index, (&ty, (&a, &b))) in results.iter().zip(pairs).enumerate() {
            let narrow = matches!(ty, Type::I32 | Type::F32) && b >> 32 != 0;
            if !value::same(ty, a, b) || narrow {
                return Err(format!("result {index}: wanted {a:#x}, got {b:#x}"));
            }
        }
    }
    if let Some(what) = wanted.instance.difference(&got.instance) {
        return Err(format!("oracle and code: {what}"));
    }
    if wanted.raw != got.raw {
        return Err("the raw memory differs".to_string());
    }
    Ok(())
}

/// Every byte before a function's tables is an instruction.
pub fn decode(functions: &[FunctionCode], code: &[u8]) -> Result<(), String> {
    let mut start = 0;
    for function in functions {
        let bytes = &code[start..function.data as usize];
        if let Some(at) = disassemble::undecodable(host_set(), bytes) {
            return Err(format!("undecodable bytes at {:#x}", start + at));
        }
        start = function.end as usize;
    }
    Ok(())
}
