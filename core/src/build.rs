//! Builds a program's records in slices of the caller's.
//!
//! Takes: [`Storage`], and calls in program order. Promises: records laid out as [`crate::ir`] says, or an
//! error, never a panic; an error sticks, so that [`Builder::finish`] gives it again. Checks what it needs for
//! sound records (the right method for an op, blocks filled once, functions defined in order);
//! types, dominance and argument counts are for [`crate::verify`]. Costs: constant time per op, argument and snapshot entry;
//! [`Builder::end`] walks the function once more, [`Builder::signature`] compares with every signature before it.
//!
//! The order of the calls is the layout:
//!
//! * Functions are declared with their signatures and may be called before they are defined.
//!   They are defined in the order of their declaration.
//! * Blocks are created at any time in their function, so that branches can name blocks that come later.
//!   They are filled one after another, each from [`Builder::switch_to`] to its terminator, and stand in the
//!   program in the order in which they were filled. A jump to a block filled earlier, or to itself, is a back-edge.
//! * The entry block is there when a function begins; its parameters are the function's.
//!
//! ```
//! use patchjit::build::{Buffers, Builder};
//! use patchjit::ops::Opcode;
//! use patchjit::types::Type;
//!
//! # fn main() -> Result<(), patchjit::error::Error> {
//! let mut buffers = Buffers::<32>::new();
//! let mut b = Builder::new(buffers.storage());
//! let signature = b.signature(&[Type::I64], &[Type::I64])?;
//! let sum_squares = b.declare(signature)?;
//! b.begin(sum_squares)?;
//! let n = b.argument(0);
//! let (head, body, done) = (b.create_block()?, b.create_block()?, b.create_block()?);
//! let zero = b.constant_i64(0)?;
//! b.jump(head, &[zero, zero])?;
//! b.switch_to(head)?;
//! let (i, sum) = (b.parameter(Type::I64)?, b.parameter(Type::I64)?);
//! let more = b.binary(Opcode::I64LtS, i, n)?;
//! b.branch(more, (body, &[]), (done, &[]))?;
//! b.switch_to(body)?;
//! let square = b.binary(Opcode::I64Mul, i, i)?;
//! let sum_next = b.binary(Opcode::I64Add, sum, square)?;
//! let one = b.constant_i64(1)?;
//! let i_next = b.binary(Opcode::I64Add, i, one)?;
//! b.jump(head, &[i_next, sum_next])?;
//! b.switch_to(done)?;
//! b.return_values(&[sum])?;
//! b.end()?;
//! let program = b.finish()?;
//! let mut workspace = [0; 128];
//! let verified = patchjit::verify::verify(program, &mut workspace)?;
//! assert!(verified.is_contained());
//! # Ok(())
//! # }
//! ```

mod append;
mod storage;

pub use storage::{Buffers, Counts, EMPTY_EXIT, EMPTY_OP, Storage};

use crate::error::{Error, Place, Rule, Storage as Which};
use crate::ir::{
    Block, Exit, Function, HostFunction, MAX_ARGUMENTS, MAX_REGIONS, MAX_TAGS, NONE, Op, Program,
    Region, Signature, Tag,
};
use crate::ops::{Opcode, Shape, flags};
use crate::types::Type;
pub(crate) use storage::Table;

/// A value: the index of the op that gives it. Whoever knows where an op will stand may name it ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Value(pub u32);

/// A block of the function under construction, by the order of creation; 0 is the entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlockId(pub u32);

/// A function, by its index in the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FunctionId(pub u32);

/// A signature, by its index in the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SignatureId(pub u32);

/// A region, by its index in the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RegionId(pub u16);

/// A host function, by its index in the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HostId(pub u32);

/// A tag, by its index in the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TagId(pub u16);

/// An exit, by its index in the program. Ops whose exits are equal may share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ExitId(pub u32);

/// The results of a call: the first is the call's own op, the others stand right behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Results {
    first: u32,
    count: u32,
}

impl Results {
    /// The result with this index, if the call has so many.
    pub fn get(&self, index: u32) -> Option<Value> {
        (index < self.count).then(|| Value(self.first + index))
    }

    /// How many results there are.
    pub fn count(&self) -> u32 {
        self.count
    }
}

/// An address in a region: `index * 2^scale + offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// The region.
    pub region: RegionId,
    /// The index, an unsigned i64.
    pub index: Value,
    /// The binary logarithm of the index's unit, 0 to 3.
    pub scale: u8,
    /// Bytes added, at most [`crate::ir::MAX_OFFSET`].
    pub offset: u32,
}

/// Where the builder stands in a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Between functions.
    Outside,
    /// In a function, between blocks.
    Between,
    /// In a block that has parameters only, so far.
    AtHead(u32),
    /// In a block.
    Inside(u32),
}

/// Builds one program. The module's header says in which order to call.
#[derive(Debug)]
pub struct Builder<'a> {
    functions: Table<'a, Function>,
    blocks: Table<'a, Block>,
    ops: Table<'a, Op>,
    extra: Table<'a, u32>,
    exits: Table<'a, Exit>,
    signatures: Table<'a, Signature>,
    types: Table<'a, Type>,
    regions: Table<'a, Region>,
    hosts: Table<'a, HostFunction>,
    tags: Table<'a, Tag>,
    positions: Table<'a, u32>,
    slot_count: u32,
    /// How many functions are defined, the one under construction not counted.
    defined: u32,
    /// How many blocks of the function under construction have been switched to.
    filled: u32,
    position: u32,
    state: State,
    failed: Option<Error>,
}

/// What a block that was not filled has for its place in the order.
const UNFILLED: u32 = NONE;

impl<'a> Builder<'a> {
    /// A builder of an empty program in this storage.
    pub fn new(storage: Storage<'a>) -> Builder<'a> {
        Builder {
            functions: Table::new(storage.functions, Which::Functions),
            blocks: Table::new(storage.blocks, Which::Blocks),
            ops: Table::new(storage.ops, Which::Ops),
            extra: Table::new(storage.extra, Which::Extra),
            exits: Table::new(storage.exits, Which::Exits),
            signatures: Table::new(storage.signatures, Which::Signatures),
            types: Table::new(storage.types, Which::Types),
            regions: Table::new(storage.regions, Which::Regions),
            hosts: Table::new(storage.hosts, Which::Hosts),
            tags: Table::new(storage.tags, Which::Tags),
            positions: Table::new(storage.positions, Which::Positions),
            slot_count: 0,
            defined: 0,
            filled: 0,
            position: NONE,
            state: State::Outside,
            failed: None,
        }
    }

    /// How much has been used so far.
    pub fn counts(&self) -> Counts {
        Counts {
            functions: self.functions.used,
            blocks: self.blocks.used,
            ops: self.ops.used,
            extra: self.extra.used,
            exits: self.exits.used,
            signatures: self.signatures.used,
            types: self.types.used,
            regions: self.regions.used,
            hosts: self.hosts.used,
            tags: self.tags.used,
        }
    }

    /// The program, if there was no error, no function is open and every declared function is defined.
    pub fn finish(mut self) -> Result<Program<'a>, Error> {
        self.check(|b| match b.state {
            State::Outside if b.defined as usize == b.functions.used => Ok(()),
            _ => Err(b.misuse(Rule::BuildFunctions)),
        })?;
        Ok(Program {
            functions: self.functions.finish(),
            blocks: self.blocks.finish(),
            ops: self.ops.finish(),
            extra: self.extra.finish(),
            exits: self.exits.finish(),
            signatures: self.signatures.finish(),
            types: self.types.finish(),
            regions: self.regions.finish(),
            hosts: self.hosts.finish(),
            tags: self.tags.finish(),
            positions: self.positions.finish(),
            slot_count: self.slot_count,
        })
    }

    // What a program declares.

    /// Says how many guest slots the program may name; 0 unless said.
    pub fn set_slot_count(&mut self, count: u32) {
        self.slot_count = count;
    }

    /// The signature with these types: the one declared before, or a new one.
    pub fn signature(
        &mut self,
        parameters: &[Type],
        results: &[Type],
    ) -> Result<SignatureId, Error> {
        for index in 0..self.signatures.used as u32 {
            if self.signature_is(index, parameters, results) {
                return Ok(SignatureId(index));
            }
        }
        self.new_signature(parameters, results)
    }

    /// A new signature, even if there is an equal one: for callers that keep track themselves, in constant time.
    /// Calls compare indices, so two equal signatures are two.
    pub fn new_signature(
        &mut self,
        parameters: &[Type],
        results: &[Type],
    ) -> Result<SignatureId, Error> {
        self.check(|b| {
            if parameters.len() > MAX_ARGUMENTS || results.len() > MAX_ARGUMENTS {
                return Err(b.misuse(Rule::SignatureLength));
            }
            let first_type = b.types.used as u32;
            for &ty in parameters.iter().chain(results) {
                b.types.push(ty)?;
            }
            b.signatures
                .push(Signature {
                    first_type,
                    parameter_count: parameters.len() as u16,
                    result_count: results.len() as u16,
                })
                .map(SignatureId)
        })
    }

    fn signature_is(&self, index: u32, parameters: &[Type], results: &[Type]) -> bool {
        let Some(s) = self.signatures.get(index) else {
            return false;
        };
        let types = self.types_of(s);
        s.parameter_count as usize == parameters.len()
            && types.len() == parameters.len() + results.len()
            && types.iter().eq(parameters.iter().chain(results))
    }

    fn types_of(&self, s: &Signature) -> &[Type] {
        let start = s.first_type as usize;
        let count = s.parameter_count as usize + s.result_count as usize;
        self.types.slots.get(start..start + count).unwrap_or(&[])
    }

    /// A region of this size in bytes.
    pub fn region(&mut self, size: u64) -> Result<RegionId, Error> {
        self.growing_region(size, size)
    }

    /// A region of at least `size` bytes that the embedder may make longer while the program runs, up to `most`.
    pub fn growing_region(&mut self, size: u64, most: u64) -> Result<RegionId, Error> {
        self.check(|b| {
            if b.regions.used >= MAX_REGIONS {
                return Err(b.misuse(Rule::RegionCount));
            }
            b.regions
                .push(Region { size, most })
                .map(|index| RegionId(index as u16))
        })
    }

    /// A host function, by its place in the embedder's table.
    pub fn host(&mut self, signature: SignatureId) -> Result<HostId, Error> {
        self.check(|b| {
            b.hosts
                .push(HostFunction {
                    signature: signature.0,
                })
                .map(HostId)
        })
    }

    /// A tag: how words say what they carry.
    pub fn tag(&mut self, tag: Tag) -> Result<TagId, Error> {
        self.check(|b| {
            if b.tags.used >= MAX_TAGS {
                return Err(b.misuse(Rule::TagCount));
            }
            b.tags.push(tag).map(|index| TagId(index as u16))
        })
    }

    /// A function to be defined later, in the order of declaration.
    pub fn declare(&mut self, signature: SignatureId) -> Result<FunctionId, Error> {
        self.check(|b| {
            b.functions
                .push(Function {
                    signature: signature.0,
                    ..Function::default()
                })
                .map(FunctionId)
        })
    }

    // Functions and blocks.

    /// Begins to define a function and switches to its entry block.
    pub fn begin(&mut self, function: FunctionId) -> Result<BlockId, Error> {
        self.check(|b| {
            if b.state != State::Outside {
                return Err(b.misuse(Rule::BuildFunctions));
            }
            if function.0 != b.defined {
                return Err(b.misuse(Rule::BuildFunctions));
            }
            let (first_block, first_op) = (b.blocks.used as u32, b.ops.used as u32);
            let Some(record) = b.functions.get_mut(function.0) else {
                return Err(b.misuse(Rule::FunctionRange));
            };
            record.first_block = first_block;
            record.first_op = first_op;
            let signature = record.signature;
            let Some(&signature) = b.signatures.get(signature) else {
                return Err(b.misuse(Rule::SignatureRange));
            };
            b.filled = 0;
            b.state = State::Between;
            b.position = NONE;
            let entry = b.create_block()?;
            b.switch_to(entry)?;
            for index in 0..u32::from(signature.parameter_count) {
                if let Some(&ty) = b.types.get(signature.first_type + index) {
                    b.parameter(ty)?;
                }
            }
            Ok(entry)
        })
    }

    /// A parameter of the function under construction.
    pub fn argument(&self, index: u32) -> Value {
        Value(self.function_first_op().saturating_add(index))
    }

    /// A block to be filled later.
    pub fn create_block(&mut self) -> Result<BlockId, Error> {
        self.check(|b| {
            if b.state == State::Outside {
                return Err(b.misuse(Rule::BuildFunctions));
            }
            // Until the function ends, `op_count` holds the block's place in the order of filling.
            let index = b.blocks.push(Block {
                op_count: UNFILLED,
                ..Block::default()
            })?;
            Ok(BlockId(index - b.function_first_block()))
        })
    }

    /// Begins to fill a block; the one before it must have its terminator.
    pub fn switch_to(&mut self, block: BlockId) -> Result<(), Error> {
        self.check(|b| {
            match b.state {
                State::Outside => return Err(b.misuse(Rule::BuildFunctions)),
                State::Between => {}
                _ => return Err(b.misuse(Rule::BuildBlocks)),
            }
            let (first_op, place) = (b.ops.used as u32, b.filled);
            let index = b.function_first_block().saturating_add(block.0);
            match b.blocks.get_mut(index) {
                Some(record) if record.op_count == UNFILLED => {
                    record.first_op = first_op;
                    record.op_count = place;
                }
                Some(_) => return Err(b.misuse(Rule::BuildBlocks)),
                None => return Err(b.misuse(Rule::EdgeTarget)),
            }
            b.filled += 1;
            b.state = State::AtHead(index);
            Ok(())
        })
    }

    /// The next parameter of the block that was switched to; before its other ops.
    pub fn parameter(&mut self, ty: Type) -> Result<Value, Error> {
        self.check(|b| {
            let State::AtHead(block) = b.state else {
                return Err(b.misuse(Rule::ParameterPlace));
            };
            let index = match b.blocks.get_mut(block) {
                Some(record) => {
                    record.parameter_count += 1;
                    record.parameter_count - 1
                }
                None => 0,
            };
            b.push(
                Op {
                    code: Opcode::Parameter,
                    aux: ty as u16,
                    a: index,
                    ..EMPTY_OP
                },
                NONE,
            )
        })
    }

    /// Ends the function: its blocks get their places, and edges are pointed at them.
    pub fn end(&mut self) -> Result<(), Error> {
        self.check(|b| {
            match b.state {
                State::Outside => return Err(b.misuse(Rule::BuildFunctions)),
                State::Between => {}
                _ => return Err(b.misuse(Rule::BuildBlocks)),
            }
            let first_op = b.function_first_op();
            let first_block = b.function_first_block();
            let (op_end, block_end) = (b.ops.used as u32, b.blocks.used as u32);
            if b.filled != block_end - first_block {
                return Err(b.misuse(Rule::BuildBlockFilled));
            }
            b.place_edges(first_op, first_block)?;
            // Permute the blocks in place, then turn places into lengths.
            let blocks = b
                .blocks
                .slots
                .get_mut(first_block as usize..block_end as usize)
                .unwrap_or(&mut []);
            for index in 0..blocks.len() {
                // Each swap puts one block where it belongs.
                while let Some(place) = blocks.get(index).map(|block| block.op_count as usize)
                    && place != index
                    && place < blocks.len()
                {
                    blocks.swap(index, place);
                }
            }
            let mut end = op_end;
            for block in blocks.iter_mut().rev() {
                block.op_count = end - block.first_op;
                end = block.first_op;
            }
            if let Some(function) = b.functions.get_mut(b.defined) {
                function.block_count = block_end - first_block;
                function.op_count = op_end - first_op;
            }
            b.defined += 1;
            b.state = State::Outside;
            Ok(())
        })
    }

    /// Points the edges of the ops from here on, which name blocks by creation, at the blocks' places.
    fn place_edges(&mut self, first_op: u32, first_block: u32) -> Result<(), Error> {
        for index in first_op..self.ops.used as u32 {
            let Some(&op) = self.ops.get(index) else {
                break;
            };
            match op.code {
                Opcode::Jump => self.place_edge(op.b, first_block)?,
                Opcode::Branch => {
                    self.place_edge(op.b, first_block)?;
                    self.place_edge(op.c, first_block)?;
                }
                Opcode::Switch => {
                    let count = self.extra.get(op.b).copied().unwrap_or(0);
                    for target in 0..=count {
                        let edge = self.extra.get(op.b + 1 + target).copied();
                        self.place_edge(edge.unwrap_or(NONE), first_block)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn place_edge(&mut self, edge: u32, first_block: u32) -> Result<(), Error> {
        let blocks = &self.blocks;
        let place = |block: u32| {
            let record = blocks.get(first_block.checked_add(block)?)?;
            Some(first_block + record.op_count)
        };
        if let Some(word) = self.extra.get_mut(edge)
            && let Some(block) = place(*word)
        {
            *word = block;
            return Ok(());
        }
        Err(self.misuse(Rule::EdgeTarget))
    }

    fn function_first_op(&self) -> u32 {
        self.functions.get(self.defined).map_or(0, |f| f.first_op)
    }

    fn function_first_block(&self) -> u32 {
        self.functions
            .get(self.defined)
            .map_or(0, |f| f.first_block)
    }

    /// The embedder's source position of the ops from here on, until the function ends; [`NONE`] for none.
    /// Parameters and further results of calls carry no position.
    pub fn set_position(&mut self, position: u32) {
        self.position = position;
    }

    // What the methods share.

    /// Runs a step unless one failed before; remembers the first failure.
    fn check<T>(&mut self, step: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let result = step(self);
        if let Err(error) = &result {
            self.failed = Some(*error);
        }
        result
    }

    /// That the op has the shape of the method that was called, and leaves or not as the method says.
    fn check_method(&self, code: Opcode, shape: Shape, leaves: bool) -> Result<(), Error> {
        let info = code.info();
        if info.shape == shape && info.has(flags::LEAVES) == leaves {
            Ok(())
        } else {
            Err(self.misuse(Rule::BuildMethod))
        }
    }

    fn edge(&mut self, (block, arguments): (BlockId, &[Value])) -> Result<u32, Error> {
        let at = self.extra.push(block.0)?;
        self.list(arguments)?;
        Ok(at)
    }

    /// A counted list in `extra`.
    fn list(&mut self, values: &[Value]) -> Result<u32, Error> {
        let at = self.extra.push(values.len() as u32)?;
        for value in values {
            self.extra.push(value.0)?;
        }
        Ok(at)
    }

    fn add(&mut self, code: Opcode, aux: u16, a: u32, b: u32, c: u32) -> Result<Value, Error> {
        match self.state {
            State::AtHead(block) => self.state = State::Inside(block),
            State::Inside(_) => {}
            State::Outside | State::Between => return Err(self.misuse(Rule::BuildBlocks)),
        }
        self.push(Op { code, aux, a, b, c }, self.position)
    }

    fn push(&mut self, op: Op, position: u32) -> Result<Value, Error> {
        let index = self.ops.push(op)?;
        if !self.positions.slots.is_empty() {
            self.positions.push(position)?;
        }
        Ok(Value(index))
    }

    /// A call that the order or the tables do not allow, at the place reached.
    fn misuse(&self, rule: Rule) -> Error {
        let function = self.defined;
        let place = match self.state {
            State::Outside => Place::Program,
            State::Between => Place::Function(function),
            State::AtHead(block) | State::Inside(block) => Place::Op {
                function,
                block,
                op: self.ops.used as u32,
            },
        };
        Error::Invalid { rule, place }
    }
}
