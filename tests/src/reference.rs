//! A second interpreter, as plain as can be: it walks the records and keeps every value under its name.
//! It shares nothing with the oracle but the op table's `evaluate`, and counts the ops that it executes.

use patchjit::ir::{ExitKind, NONE, Op, Program, Tag, place_slot, place_tag};
use patchjit::ops::{Opcode, Shape, evaluate, flags};
use patchjit::runtime::Status;
use patchjit::types::Type;

use crate::machine::Machine;

/// What a run did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// How it ended.
    pub status: Status,
    /// The exit's number, or zero.
    pub exit_number: u32,
    /// The results, if it returned.
    pub results: Vec<u64>,
    /// The fuel left.
    pub fuel: i64,
    /// How many ops were executed; parameters, further results and terminators count, too.
    pub ops: u64,
}

struct Frame {
    values: Vec<u64>,
    first: u32,
    /// The call that made it, in the frame below.
    call: u32,
    at: u32,
    block: u32,
}

enum Flow {
    Next,
    To(u32, Vec<u64>),
    Leave(u32),
    Enter(u32, Vec<u64>),
    Replace(u32, Vec<u64>),
    Return(Vec<u64>),
    Stop(Status, u32),
}

struct Walk<'a> {
    program: &'a Program<'a>,
    machine: &'a mut Machine,
    context: patchjit::runtime::Context,
    frames: Vec<Frame>,
    fuel: Option<i64>,
}

/// Runs a function, at most `limit` ops of it; `None` if it takes more.
pub fn run(
    program: &Program<'_>,
    machine: &mut Machine,
    function: u32,
    arguments: &[u64],
    charge_fuel: bool,
    limit: u64,
) -> Option<Run> {
    let context = machine.context();
    let fuel = charge_fuel.then_some(machine.fuel);
    let mut walk = Walk {
        program,
        machine,
        context,
        frames: Vec::new(),
        fuel,
    };
    walk.machine.follow(&mut walk.context);
    let mut ops = 0;
    let mut flow = Flow::Enter(function, arguments.to_vec());
    let (status, exit_number, results) = loop {
        if ops > limit {
            return None;
        }
        flow = match flow {
            Flow::Stop(status, number) => break (status, number, Vec::new()),
            Flow::Next => {
                ops += 1;
                walk.step()
            }
            Flow::To(block, arguments) => {
                let from = walk.top().block;
                if block <= from && !walk.charge() {
                    Flow::Stop(Status::OutOfFuel, 0)
                } else {
                    walk.go(block, &arguments)
                }
            }
            Flow::Enter(function, arguments) => {
                if walk.frames.len() as i64 >= walk.machine.depth {
                    Flow::Stop(Status::TooDeep, 0)
                } else if !walk.charge() {
                    Flow::Stop(Status::OutOfFuel, 0)
                } else {
                    let call = walk.frames.last().map_or(NONE, |frame| frame.at - 1);
                    walk.push(function, call);
                    let entry = program.functions[function as usize].first_block;
                    walk.go(entry, &arguments)
                }
            }
            Flow::Replace(function, arguments) => {
                if walk.charge() {
                    let call = walk.frames.pop().unwrap().call;
                    walk.push(function, call);
                    let entry = program.functions[function as usize].first_block;
                    walk.go(entry, &arguments)
                } else {
                    Flow::Stop(Status::OutOfFuel, 0)
                }
            }
            Flow::Return(results) => {
                let call = walk.frames.pop().unwrap().call;
                if call == NONE {
                    break (Status::Returned, 0, results);
                }
                for (index, value) in results.into_iter().enumerate() {
                    walk.set(call + index as u32, value);
                }
                Flow::Next
            }
            Flow::Leave(exit) => {
                let number = program.exits[exit as usize].number;
                let status = walk.leave(exit);
                Flow::Stop(status, number)
            }
        };
    };
    let fuel = walk.fuel.unwrap_or(walk.machine.fuel);
    Some(Run {
        status,
        exit_number,
        results,
        fuel,
        ops,
    })
}

fn mask(value: u64, ty: Option<Type>) -> u64 {
    if ty.is_some_and(|ty| ty.bits() == 32) {
        value & 0xffff_ffff
    } else {
        value
    }
}

impl Walk<'_> {
    fn top(&mut self) -> &mut Frame {
        self.frames.last_mut().unwrap()
    }

    fn get(&mut self, value: u32) -> u64 {
        let frame = self.top();
        frame.values[(value - frame.first) as usize]
    }

    fn set(&mut self, value: u32, bits: u64) {
        let frame = self.top();
        let at = (value - frame.first) as usize;
        frame.values[at] = bits;
    }

    fn all(&mut self, values: &[u32]) -> Vec<u64> {
        values.iter().map(|&value| self.get(value)).collect()
    }

    fn charge(&mut self) -> bool {
        match &mut self.fuel {
            Some(fuel) => {
                *fuel -= 1;
                *fuel >= 0
            }
            None => true,
        }
    }

    fn push(&mut self, function: u32, call: u32) {
        let function = &self.program.functions[function as usize];
        self.frames.push(Frame {
            // What no op has written yet is conspicuous.
            values: vec![0xdead_beef_dead_beef; function.op_count as usize],
            first: function.first_op,
            call,
            at: 0,
            block: 0,
        });
    }

    fn go(&mut self, block: u32, arguments: &[u64]) -> Flow {
        let record = self.program.blocks[block as usize];
        self.top().block = block;
        self.top().at = record.first_op;
        for (&value, parameter) in arguments.iter().zip(record.first_op..) {
            self.set(parameter, value);
        }
        Flow::Next
    }

    fn leave(&mut self, mut exit: u32) -> Status {
        loop {
            let record = self.program.exits[exit as usize];
            for pair in self.program.snapshot(&record).chunks_exact(2) {
                let bits = self.get(pair[1]);
                let bits = match place_tag(pair[0]) {
                    Some(tag) => {
                        let ty = self.program.ops[pair[1] as usize].result().unwrap();
                        let code = Opcode::boxes(ty).unwrap();
                        tagged(code, self.program.tags[usize::from(tag)], bits)
                    }
                    None => bits,
                };
                self.machine.slots[place_slot(pair[0]) as usize] = bits;
            }
            if record.kind == ExitKind::Trap {
                return Status::Trapped;
            }
            let call = self.frames.pop().unwrap().call;
            if call == NONE {
                return Status::Deoptimized;
            }
            exit = self.program.ops[call as usize].c;
        }
    }

    fn edge(&mut self, at: u32) -> Flow {
        let edge = self.program.edge(at);
        Flow::To(edge.block, self.all(edge.arguments))
    }

    fn step(&mut self) -> Flow {
        let value = self.top().at;
        self.top().at += 1;
        let op = self.program.ops[value as usize];
        let info = op.code.info();
        match info.shape {
            Shape::Parameter | Shape::Result | Shape::Fence => {}
            Shape::Constant => self.set(value, mask(op.constant(), info.result)),
            Shape::FunctionIndex => self.set(value, u64::from(op.b)),
            Shape::Unary | Shape::Binary => {
                let a = self.get(op.a);
                let b = if info.shape == Shape::Binary {
                    self.get(op.b)
                } else {
                    0
                };
                match evaluate(op.code, a, b).unwrap() {
                    Some(result) => self.set(value, result),
                    None => return Flow::Leave(op.c),
                }
            }
            Shape::Tag => {
                let tag = self.program.tags[op.aux as usize];
                let a = self.get(op.a);
                self.set(value, tagged(op.code, tag, a));
            }
            Shape::Select => {
                let chosen = if self.get(op.a) as u32 != 0 {
                    op.b
                } else {
                    op.c
                };
                let chosen = self.get(chosen);
                self.set(value, chosen);
            }
            Shape::Load | Shape::Store | Shape::Update | Shape::CompareExchange => {
                return self.access(value, &op);
            }
            Shape::RegionSize => self.set(value, self.context.regions[op.region()].size),
            Shape::SlotGet => {
                let slot = self.machine.slots[op.c as usize];
                self.set(value, mask(slot, info.result));
            }
            Shape::SlotSet => self.machine.slots[op.c as usize] = self.get(op.a),
            Shape::Guard => {
                if (self.get(op.a) as u32 == 0) == (op.code == Opcode::Guard) {
                    return Flow::Leave(op.c);
                }
            }
            Shape::Poll => {
                if *self.context.interrupt.get_mut() != 0 {
                    return Flow::Leave(op.c);
                }
            }
            Shape::Call | Shape::CallCell => {
                let arguments = self.all(self.program.list(op.b));
                return Flow::Enter(op.a, arguments);
            }
            Shape::CallIndirect => {
                let index = self.get(op.a);
                let signature = self.program.extra[op.b as usize];
                match self.program.functions.get(index as usize) {
                    Some(function) if function.signature == signature => {
                        let arguments = self.all(self.program.list(op.b + 1));
                        return Flow::Enter(index as u32, arguments);
                    }
                    _ => return Flow::Leave(op.c),
                }
            }
            Shape::CallHost => {
                let mut values = self.all(self.program.list(op.b));
                values.resize(512, 0);
                // SAFETY: the machine's hosts take what the program declares, and there is room.
                let status = unsafe {
                    (*self.context.hosts.add(op.a as usize))(
                        self.context.host_context,
                        values.as_mut_ptr(),
                    )
                };
                if status != 0 {
                    return if op.c == NONE {
                        Flow::Stop(Status::Trapped, status)
                    } else {
                        Flow::Leave(op.c)
                    };
                }
                let signature = self.program.hosts[op.a as usize].signature;
                values.truncate(self.program.results(signature).len());
                for (result, bits) in (value..).zip(values) {
                    self.set(result, bits);
                }
            }
            Shape::Jump => return self.edge(op.b),
            Shape::Branch => {
                let edge = if self.get(op.a) as u32 != 0 {
                    op.b
                } else {
                    op.c
                };
                return self.edge(edge);
            }
            Shape::Switch => {
                let targets = self.program.list(op.b);
                let index = self.get(op.a) as u32 as usize;
                let default = self.program.extra[op.b as usize + 1 + targets.len()];
                return self.edge(targets.get(index).copied().unwrap_or(default));
            }
            Shape::Return => {
                let results = self.all(self.program.list(op.b));
                return Flow::Return(results);
            }
            Shape::Exit => return Flow::Leave(op.c),
            Shape::ReturnCall => {
                let arguments = self.all(self.program.list(op.b));
                return Flow::Replace(op.a, arguments);
            }
        }
        Flow::Next
    }

    fn access(&mut self, value: u32, op: &Op) -> Flow {
        let info = op.code.info();
        assert!(!info.has(flags::RAW), "contained programs only");
        let width = usize::from(info.width);
        let offset = self.program.extra[op.c as usize];
        let exit = self.program.extra[op.c as usize + 1];
        let at = (u128::from(self.get(op.a)) << op.scale()) + u128::from(offset);
        let size = self.context.regions[op.region()].size;
        let is_aligned = !info.has(flags::ATOMIC) || at.is_multiple_of(width as u128);
        if at + width as u128 > u128::from(size) || !is_aligned {
            return Flow::Leave(exit);
        }
        let span = at as usize..at as usize + width;
        let mut bytes = [0u8; 8];
        bytes[..width].copy_from_slice(&self.machine.region(op.region())[span.clone()]);
        let old = u64::from_le_bytes(bytes);
        let operand = if info.operand_count > 1 {
            self.get(op.b)
        } else {
            0
        };
        let name = info.name.rsplit_once('.').unwrap().1;
        let new = match name.strip_prefix("atomic_").unwrap_or(name) {
            load if load.starts_with("load") => None,
            store if store.starts_with("store") => Some(operand),
            "add" => Some(old.wrapping_add(operand)),
            "and" => Some(old & operand),
            "or" => Some(old | operand),
            "xor" => Some(old ^ operand),
            "xchg" => Some(operand),
            "cmpxchg" => {
                let replacement = self.program.extra[op.c as usize + 2];
                (old == operand).then(|| self.get(replacement))
            }
            other => panic!("no memory op {other}"),
        };
        if let Some(new) = new {
            self.machine.region_mut(op.region())[span].copy_from_slice(&new.to_le_bytes()[..width]);
        }
        if info.result.is_some() {
            let shift = 64 - 8 * width as u32;
            let wide = if info.sign_extends {
                ((old << shift) as i64 >> shift) as u64
            } else {
                old
            };
            self.set(value, mask(wide, info.result));
        }
        Flow::Next
    }
}

/// The value of an op on tagged words, bit by bit.
pub fn tagged(code: Opcode, tag: Tag, a: u64) -> u64 {
    let is_set = |word: u64, bit: u32| word >> bit & 1 == 1;
    let (tells, shift) = (|bit: u32| is_set(tag.mask, bit), u32::from(tag.shift));
    let gather = |of: &dyn Fn(u32) -> bool| (0..64).map(|bit| u64::from(of(bit)) << bit).sum();
    let carried = match code {
        Opcode::I64BoxI32 => a & 0xffff_ffff,
        Opcode::I64BoxF64 if f64::from_bits(a).is_nan() => 0x7ff8_0000_0000_0000,
        _ => a,
    };
    match code {
        Opcode::I64TagTest => {
            u64::from((0..64).all(|bit| !tells(bit) || is_set(a, bit) == is_set(tag.bits, bit)))
        }
        Opcode::I64Box | Opcode::I64BoxI32 | Opcode::I64BoxF64 => gather(&|bit| match tells(bit) {
            true => is_set(tag.bits, bit),
            false => bit >= shift && is_set(carried, bit - shift),
        }),
        _ => {
            let top = (0..64).rev().find(|&bit| !tells(bit));
            let carries = |bit: u32| {
                let from = bit + shift;
                match top {
                    Some(top) if code == Opcode::I64UnboxS && from > top => is_set(a, top),
                    _ => from < 64 && !tells(from) && is_set(a, from),
                }
            };
            let wide: u64 = gather(&carries);
            if code == Opcode::I32Unbox {
                wide & 0xffff_ffff
            } else {
                wide
            }
        }
    }
}
