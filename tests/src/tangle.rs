//! Random programs of tangled control flow: any block may go to any other, with its parameters in any order.
//!
//! Made for engines that share registers between values: permutations along edges, values of the entry and of a
//! loop head that live everywhere, exits whose snapshots name old values, calls that deoptimize through
//! several frames, tail and indirect calls, switches. Most loop for ever: run them with fuel.

use crate::assemble::{Assembly, Label, Value};
use crate::random::Random;
use patchjit::ir::{ExitKind, NONE};
use patchjit::ops::{Opcode, Shape, flags};
use patchjit::types::Type;

/// Guest slots that the programs name.
pub const SLOTS: u32 = 6;
/// Bytes of their region.
pub const REGION: u64 = 96;
/// The names of the host functions that they call, in order.
pub const HOSTS: [&str; 3] = ["add_one", "mix", "fail_if"];
/// Parameters and results of every function.
pub const SHAPE: ([Type; 3], [Type; 2]) =
    ([Type::I64, Type::I64, Type::I32], [Type::I64, Type::I32]);

/// A program of a few functions.
pub fn tangle(seed: u64) -> Assembly {
    let mut random = Random::new(seed);
    let mut assembly = Assembly::new();
    assembly.region(REGION);
    assembly.host(&[Type::I64], &[Type::I64]);
    assembly.host(&[Type::I64, Type::I64], &[Type::I64]);
    assembly.host(&[Type::I64], &[]);
    assembly.slots(SLOTS);
    let codes: Vec<Opcode> = Opcode::all()
        .filter(|code| {
            let info = code.info();
            let types = &info.operands[..usize::from(info.operand_count)];
            let known = |ty: &Type| matches!(ty, Type::I32 | Type::I64);
            matches!(info.shape, Shape::Unary | Shape::Binary)
                && types.iter().all(known)
                && info.result.as_ref().is_some_and(known)
        })
        .collect();
    for _ in 0..2 + random.below(4) {
        Maker {
            assembly: &mut assembly,
            random: &mut random,
            codes: &codes,
            everywhere: Vec::new(),
            here: Vec::new(),
            labels: Vec::new(),
        }
        .function();
    }
    assembly
}

struct Maker<'a> {
    assembly: &'a mut Assembly,
    random: &'a mut Random,
    codes: &'a [Opcode],
    /// Values of the entry and of the head that dominates the rest.
    everywhere: Vec<Value>,
    /// Values of the block.
    here: Vec<Value>,
    labels: Vec<(Label, Vec<Type>)>,
}

impl Maker<'_> {
    fn function(mut self) {
        let (_, parameters) = self.assembly.begin(&SHAPE.0, &SHAPE.1);
        self.here = parameters;
        for _ in 0..2 + self.random.below(7) {
            let types = (0..self.random.below(6))
                .map(|_| self.ty())
                .collect::<Vec<_>>();
            self.labels.push((self.assembly.label(), types));
        }
        self.statements();
        let (head, arguments) = self.edge(0);
        self.assembly.jump(head, &arguments);
        self.everywhere = std::mem::take(&mut self.here);
        for index in 0..self.labels.len() {
            let (label, types) = self.labels[index].clone();
            self.here = self.assembly.place(label, &types);
            // Some blocks do nothing but move values about or test one.
            if self.random.percent(60) {
                self.statements();
            }
            self.terminator();
            let here = std::mem::take(&mut self.here);
            if index == 0 {
                self.everywhere.extend(here);
            }
        }
        self.assembly.end();
    }

    fn ty(&mut self) -> Type {
        *self.random.pick(&[Type::I64, Type::I64, Type::I32])
    }

    fn value(&mut self, ty: Type) -> Value {
        let is_ty = |value: &&Value| self.assembly.type_of(**value) == Some(ty);
        let here: Vec<Value> = self.here.iter().filter(is_ty).copied().collect();
        let everywhere: Vec<Value> = self.everywhere.iter().filter(is_ty).copied().collect();
        match self.random.below(10) {
            0..6 if !here.is_empty() => *self.random.pick(&here),
            6..9 if !everywhere.is_empty() => *self.random.pick(&everywhere),
            _ => {
                let bits = match self.random.below(6) {
                    0 => self.random.bits(),
                    1 => i64::MIN as u64,
                    2 => u64::MAX,
                    _ => self.random.below(12) as u64,
                };
                let value = self.assembly.constant(ty, bits);
                self.here.push(value);
                value
            }
        }
    }

    fn values(&mut self, types: &[Type]) -> Vec<Value> {
        types.iter().map(|&ty| self.value(ty)).collect()
    }

    fn exit(&mut self) -> u32 {
        let snapshot: Vec<(u32, Value)> = (0..self.random.below(4))
            .map(|_| {
                let ty = self.ty();
                (self.random.below(SLOTS as usize) as u32, self.value(ty))
            })
            .collect();
        let kind = if self.random.percent(60) {
            ExitKind::Deoptimize
        } else {
            ExitKind::Trap
        };
        let number = self.random.below(1000) as u32;
        self.assembly.exit(kind, number, &snapshot)
    }

    fn statements(&mut self) {
        for _ in 0..1 + self.random.below(8) {
            self.statement();
        }
    }

    fn statement(&mut self) {
        let made = match self.random.below(100) {
            0..60 => {
                let code = *self.random.pick(self.codes);
                let info = code.info();
                let (a, b) = (self.value(info.operands[0]), self.value(info.operands[1]));
                let exit = if info.has(flags::LEAVES) {
                    self.exit()
                } else {
                    NONE
                };
                vec![self.assembly.scalar(code, a, b, exit)]
            }
            60..66 => {
                let condition = self.value(Type::I32);
                let (a, b) = (self.value(Type::I64), self.value(Type::I64));
                vec![self.assembly.push(Opcode::I64Select, 0, condition, a, b)]
            }
            66..72 => {
                let code = *self.random.pick(&[Opcode::I64SlotGet, Opcode::I32SlotGet]);
                let slot = self.random.below(SLOTS as usize) as u32;
                vec![self.assembly.push(code, 0, 0, 0, slot)]
            }
            72..76 => {
                let value = self.value(Type::I64);
                let slot = self.random.below(SLOTS as usize) as u32;
                self.assembly.push(Opcode::I64SlotSet, 0, value, 0, slot);
                vec![]
            }
            76..82 => self.memory(),
            82..86 => {
                let condition = self.value(Type::I32);
                let code = *self.random.pick(&[Opcode::Guard, Opcode::GuardNot]);
                let exit = self.exit();
                self.assembly.push(code, 0, condition, 0, exit);
                vec![]
            }
            86..90 => {
                let host = self.random.below(3) as u32;
                let arguments = self.values(&[Type::I64, Type::I64][..[1, 2, 1][host as usize]]);
                let exit = if self.random.percent(50) {
                    self.exit()
                } else {
                    NONE
                };
                self.assembly.call(Opcode::CallHost, host, &arguments, exit)
            }
            90..97 => self.call(),
            _ => {
                let exit = self.exit();
                self.assembly.push(Opcode::Poll, 0, 0, 0, exit);
                vec![]
            }
        };
        self.here.extend(made);
    }

    fn call(&mut self) -> Vec<Value> {
        let arguments = self.values(&SHAPE.0);
        let exit = self.exit();
        let functions = self.assembly.function_count() as usize;
        if self.random.percent(30) {
            let index = self.value(Type::I64);
            let signature = self.assembly.signature(&SHAPE.0, &SHAPE.1);
            return self
                .assembly
                .call_indirect(signature, index, &arguments, exit);
        }
        let callee = self.random.below(functions) as u32;
        let code = *self.random.pick(&[Opcode::Call, Opcode::CallCell]);
        self.assembly.call(code, callee, &arguments, exit)
    }

    fn memory(&mut self) -> Vec<Value> {
        let codes: Vec<Opcode> = Opcode::all()
            .filter(|code| {
                let info = code.info();
                info.width != 0
                    && !info.has(flags::RAW)
                    && !matches!(info.result, Some(Type::F32 | Type::F64))
                    && !matches!(info.operands[1], Type::F32 | Type::F64)
            })
            .collect();
        let code = *self.random.pick(&codes);
        let info = code.info();
        let index = self.value(Type::I64);
        let (second, third) = (self.value(info.operands[1]), self.value(info.operands[2]));
        let exit = self.exit();
        let place = (0, self.random.below(4) as u8, self.random.below(100) as u32);
        let made = self
            .assembly
            .access(code, place, (index, second, third), exit);
        if info.result.is_some() {
            vec![made]
        } else {
            vec![]
        }
    }

    /// Where an edge to this block goes and what it passes: often parameters of this very block, moved about.
    fn edge(&mut self, to: usize) -> (Label, Vec<Value>) {
        let (label, types) = self.labels[to].clone();
        (label, self.values(&types))
    }

    fn any_edge(&mut self) -> (Label, Vec<Value>) {
        let to = match self.random.percent(30) {
            true => 0,
            false => self.random.below(self.labels.len()),
        };
        self.edge(to)
    }

    fn terminator(&mut self) {
        match self.random.below(100) {
            0..30 => {
                let (to, arguments) = self.any_edge();
                self.assembly.jump(to, &arguments);
            }
            30..70 => {
                let condition = if self.random.percent(60) {
                    let compares: Vec<Opcode> = self
                        .codes
                        .iter()
                        .copied()
                        .filter(|code| code.info().has(flags::COMPARES))
                        .chain([Opcode::I32And])
                        .collect();
                    let code = *self.random.pick(&compares);
                    let info = code.info();
                    let a = self.value(info.operands[0]);
                    let b = if self.random.percent(40) {
                        let bits = self.random.below(10) as u64;
                        self.assembly.constant(info.operands[1], bits)
                    } else {
                        self.value(info.operands[1])
                    };
                    self.assembly.scalar(code, a, b, NONE)
                } else {
                    self.value(Type::I32)
                };
                let to = self.random.below(self.labels.len());
                let (then, other) = match self.random.percent(25) {
                    true => (self.edge(to), self.edge(to)),
                    false => (self.any_edge(), self.any_edge()),
                };
                self.assembly
                    .branch(condition, (then.0, &then.1), (other.0, &other.1));
            }
            70..80 => {
                let index = self.value(Type::I32);
                let edges: Vec<(Label, Vec<Value>)> = (0..1 + self.random.below(5))
                    .map(|_| self.any_edge())
                    .collect();
                let edges: Vec<(Label, &[Value])> = edges
                    .iter()
                    .map(|(label, arguments)| (*label, arguments.as_slice()))
                    .collect();
                self.assembly.switch(index, &edges);
            }
            80..88 => {
                let values = self.values(&SHAPE.1);
                self.assembly.return_values(&values);
            }
            88..94 => {
                let exit = self.exit();
                self.assembly.push(Opcode::Exit, 0, 0, 0, exit);
            }
            _ => {
                let arguments = self.values(&SHAPE.0);
                let functions = self.assembly.function_count() as usize;
                let callee = self.random.below(functions) as u32;
                self.assembly.return_call(callee, &arguments);
            }
        }
    }
}
