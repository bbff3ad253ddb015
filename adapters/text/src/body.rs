//! Function bodies: blocks and ops.
//!
//! A body is read twice. The first walk gives names to blocks and values, which may be used before they
//! are defined: each line gives one op, or as many as it names results, so that the index of every op is known.
//! The second walk reads the ops and hands them to the core's builder.

mod operands;

use crate::Error;
use crate::cursor::{Cursor, shortened};
use crate::lexer::{Kind, Token};
use crate::module::{Names, Place};
use crate::parser::{Declared, parameters, place, types_in_parentheses};
use patchjit::build::{BlockId, Builder, ExitId, FunctionId, Results, Value};
use patchjit::ir::{ExitKind, NONE};
use patchjit::ops::{OpInfo, Opcode, Shape, flags};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::OnceLock;

/// An edge as written: the block and what it gets.
type Edge = (BlockId, Vec<Value>);

/// An exit as written: two that are equal are one.
type ExitKey = (u32, u32, Vec<(u32, Value)>);

/// Reads one function's body.
pub struct Body<'t, 's, 'p, 'b> {
    cursor: Cursor<'t, 's>,
    builder: &'p mut Builder<'b>,
    declared: &'p mut Declared<'s>,
    function: usize,
    names: &'p mut Names,
    values: HashMap<&'s str, Value>,
    blocks: HashMap<&'s str, BlockId>,
    /// The names of the blocks, in order.
    labels: Vec<Token>,
    exits: HashMap<ExitKey, ExitId>,
    first_op: u32,
    /// Where each op is written.
    pub op_places: Vec<Place>,
    /// Where each block is written.
    pub block_places: Vec<Place>,
}

/// The op with this name; what only stands for parameters and results has none.
fn opcode(name: &str) -> Option<Opcode> {
    static NAMES: OnceLock<HashMap<&'static str, Opcode>> = OnceLock::new();
    let names = NAMES.get_or_init(|| {
        Opcode::all()
            .filter(|code| !matches!(code.info().shape, Shape::Parameter | Shape::Result))
            .map(|code| (code.name(), code))
            .collect()
    });
    names.get(name).copied()
}

/// The builder refuses only what the parser has checked before, or what does not fit its indices.
pub fn from_builder(place: Place, error: patchjit::error::Error) -> Error {
    Error::new(place.line, place.column, format!("{error}"))
}

/// What stands on the left of an op's `=`.
struct Left {
    names: usize,
    /// The op's own token.
    op: Token,
}

impl<'t, 's, 'p, 'b> Body<'t, 's, 'p, 'b> {
    pub fn new(
        cursor: Cursor<'t, 's>,
        builder: &'p mut Builder<'b>,
        declared: &'p mut Declared<'s>,
        function: usize,
        names: &'p mut Names,
    ) -> Self {
        let first_op = builder.counts().ops as u32;
        Body {
            cursor,
            builder,
            declared,
            function,
            names,
            values: HashMap::new(),
            blocks: HashMap::new(),
            labels: Vec::new(),
            exits: HashMap::new(),
            first_op,
            op_places: Vec::new(),
            block_places: Vec::new(),
        }
    }

    /// Reads the body that begins where the function's header says.
    pub fn read(&mut self) -> Result<(), Error> {
        let Some(header) = self.declared.headers.get(self.function) else {
            return Ok(());
        };
        let start = header.body;
        let header_name = header.name;
        let entry_parameters: Vec<_> = header.parameters.iter().map(|p| (p.0, p.1)).collect();
        for (name, token) in entry_parameters {
            self.define(name, token)?;
        }
        self.cursor.at = start;
        self.walk_names()?;
        if self.labels.is_empty() {
            return self
                .cursor
                .error_at(header_name, "a function needs at least one block");
        }

        let at = place(header_name);
        let wrong = |error| from_builder(at, error);
        let function = FunctionId(self.function as u32);
        self.builder.begin(function).map_err(wrong)?;
        for _ in self.labels.iter().skip(1) {
            self.builder.create_block().map_err(wrong)?;
        }
        self.cursor.at = start;
        self.walk_ops()?;
        self.builder.end().map_err(wrong)
    }

    // The first walk.

    /// Gives the next op a name.
    fn define(&mut self, name: &'s str, token: Token) -> Result<(), Error> {
        let value = Value(self.first_op + self.op_places.len() as u32);
        self.op_places.push(place(token));
        self.names.values.push(name.to_string());
        match self.values.entry(name) {
            Entry::Vacant(entry) => {
                entry.insert(value);
                Ok(())
            }
            Entry::Occupied(_) => {
                let message = format!("there is a value `{}` already", shortened(name));
                self.cursor.error_at(token, message)
            }
        }
    }

    fn walk_names(&mut self) -> Result<(), Error> {
        loop {
            let token = self.cursor.peek();
            match token.kind {
                Kind::Mark(b'}') | Kind::End => return Ok(()),
                Kind::Line | Kind::Run | Kind::Bench => self.cursor.skip_line(),
                Kind::Word if self.at_label() => self.name_block()?,
                _ if self.labels.is_empty() => {
                    return self.cursor.expected("a block, such as `entry:`");
                }
                Kind::Word => {
                    self.name_values()?;
                    self.cursor.skip_line();
                }
                _ => return self.cursor.expected("an op, a block or `}`"),
            }
        }
    }

    /// Whether a block begins here, not an op.
    fn at_label(&self) -> bool {
        match self.cursor.ahead(1).kind {
            Kind::Mark(b':') => true,
            Kind::Mark(b'(') => opcode(self.cursor.word()).is_none(),
            _ => false,
        }
    }

    fn name_block(&mut self) -> Result<(), Error> {
        let (name, token) = self.cursor.name("a block's name")?;
        let block = BlockId(self.labels.len() as u32);
        self.labels.push(token);
        self.block_places.push(place(token));
        self.names.blocks.push(name.to_string());
        if self.blocks.insert(name, block).is_some() {
            let message = format!("there is a block `{}` already", shortened(name));
            return self.cursor.error_at(token, message);
        }
        if self.cursor.is_mark(b'(') {
            if block.0 == 0 {
                let message = "the first block takes the function's parameters: it has no list";
                return self.cursor.error_at(self.cursor.peek(), message);
            }
            for (name, token, _) in parameters(&mut self.cursor)? {
                self.define(name, token)?;
            }
        }
        self.cursor.mark(b':', "behind the block's name")?;
        self.cursor.end_of_line()
    }

    /// Names the values of an op, or counts it.
    fn name_values(&mut self) -> Result<(), Error> {
        let start = self.cursor.at;
        let left = self.left()?;
        if left.names == 0 {
            self.op_places.push(place(left.op));
            self.names.values.push(String::new());
            return Ok(());
        }
        let behind = self.cursor.at;
        let first = self.op_places.len();
        self.cursor.at = start;
        for _ in 0..left.names {
            let (name, token) = self.cursor.name("a value's name")?;
            self.define(name, token)?;
            // The comma or the equals sign.
            self.cursor.next();
        }
        self.cursor.at = behind;
        if let Some(own) = self.op_places.get_mut(first) {
            *own = place(left.op);
        }
        Ok(())
    }

    /// Passes `a, b =` if it stands here, and stops at the op.
    fn left(&mut self) -> Result<Left, Error> {
        let mut names = 0;
        if matches!(self.cursor.ahead(1).kind, Kind::Mark(b'=' | b',')) {
            loop {
                self.cursor.name("a value's name")?;
                names += 1;
                if self.cursor.take_mark(b'=') {
                    break;
                }
                self.cursor
                    .mark(b',', "or `=` behind the name of a value")?;
            }
        }
        let op = self.cursor.peek();
        if op.kind != Kind::Word {
            return self.cursor.expected("an op");
        }
        Ok(Left { names, op })
    }

    // The second walk.

    fn walk_ops(&mut self) -> Result<(), Error> {
        let mut blocks_begun = 0;
        // Whether the block is open, with its label for the message if it stays so.
        let mut open: Option<Token> = None;
        loop {
            let token = self.cursor.peek();
            match token.kind {
                Kind::Line | Kind::Run | Kind::Bench => self.cursor.skip_line(),
                Kind::Word if !self.at_label() => {
                    if open.is_none() {
                        let message = "this stands behind the end of its block: begin a new one";
                        return self.cursor.error_at(token, message);
                    }
                    if self.op_line()? {
                        open = None;
                    }
                }
                _ => {
                    if let Some(label) = open {
                        let name = shortened(self.cursor.text(label));
                        let message = format!(
                            "block `{name}` has no end: expected `jump`, `branch`, `switch`, `return`, `exit`, `trap` or `return_call` before this"
                        );
                        return self.cursor.error_at(token, message);
                    }
                    if token.kind != Kind::Word {
                        return Ok(());
                    }
                    self.block(blocks_begun)?;
                    blocks_begun += 1;
                    open = Some(token);
                }
            }
        }
    }

    fn block(&mut self, index: u32) -> Result<(), Error> {
        let at = place(self.cursor.next());
        let wrong = |error| from_builder(at, error);
        if index > 0 {
            self.builder.switch_to(BlockId(index)).map_err(wrong)?;
        }
        if self.cursor.is_mark(b'(') {
            for (_, _, ty) in parameters(&mut self.cursor)? {
                self.builder.parameter(ty).map_err(wrong)?;
            }
        }
        self.cursor.mark(b':', "behind the block's name")?;
        self.cursor.end_of_line()
    }

    /// Reads one line; whether it ends the block.
    fn op_line(&mut self) -> Result<bool, Error> {
        let left = self.left()?;
        let name = self.cursor.word();
        let position = self.position_ahead()?;
        self.builder.set_position(position);
        self.cursor.next();
        if name == "trap" {
            self.results(&left, name, 0)?;
            let exit = self.exit(ExitKind::Trap)?;
            self.builder
                .leave(exit)
                .map_err(|error| from_builder(place(left.op), error))?;
            self.line_end()?;
            return Ok(true);
        }
        let Some(code) = opcode(name) else {
            let message = format!("unknown op `{}`", shortened(name));
            return self.cursor.error_at(left.op, message);
        };
        let info = code.info();
        let calls = info.has(flags::CALLS) && !info.has(flags::TERMINATES);
        if !calls {
            self.results(&left, name, usize::from(info.result.is_some()))?;
        }
        self.op(code, info, &left)?;
        self.line_end()?;
        Ok(info.has(flags::TERMINATES))
    }

    /// That the line names as many values as the op gives.
    fn results(&self, left: &Left, name: &str, wanted: usize) -> Result<(), Error> {
        if left.names == wanted {
            return Ok(());
        }
        let message = match wanted {
            0 => format!("`{name}` gives no value: write it without `=`"),
            1 => format!("`{name}` gives one value: write `v = {name} ...`"),
            _ => format!("`{name}` gives {wanted} values: write `a, b, ... = {name} ...`"),
        };
        self.cursor.error_at(left.op, message)
    }

    /// The source position at the end of this line, if there is one.
    fn position_ahead(&self) -> Result<u32, Error> {
        let mut cursor = self.cursor;
        while !cursor.at_line_end() {
            if cursor.take_mark(b'!') {
                return cursor
                    .integer(0, i128::from(NONE) - 1)
                    .map(|position| position as u32);
            }
            cursor.next();
        }
        Ok(NONE)
    }

    /// `!120`, which has been read, and the end of the line.
    fn line_end(&mut self) -> Result<(), Error> {
        if self.cursor.take_mark(b'!') {
            self.cursor.next();
        }
        if self.cursor.is_word("else") {
            return self.cursor.error_at(
                self.cursor.peek(),
                "this op does not leave: it takes no `else`",
            );
        }
        self.cursor.end_of_line()
    }

    fn op(&mut self, code: Opcode, info: &OpInfo, left: &Left) -> Result<(), Error> {
        let at = place(left.op);
        let wrong = |error| from_builder(at, error);
        let leaves = info.has(flags::LEAVES);
        match info.shape {
            // These have no names in the text.
            Shape::Parameter | Shape::Result => {}
            Shape::Constant => {
                let bits = match info.result {
                    Some(ty) => self.cursor.literal(ty)?,
                    None => 0,
                };
                self.builder.constant(code, bits).map_err(wrong)?;
            }
            Shape::Unary => {
                let [a] = self.operands(info)?;
                if leaves {
                    let exit = self.else_exit(info)?;
                    self.builder.unary_else(code, a, exit).map_err(wrong)?;
                } else {
                    self.builder.unary(code, a).map_err(wrong)?;
                }
            }
            Shape::Binary => {
                let [a, b] = self.operands(info)?;
                if leaves {
                    let exit = self.else_exit(info)?;
                    self.builder.binary_else(code, a, b, exit).map_err(wrong)?;
                } else {
                    self.builder.binary(code, a, b).map_err(wrong)?;
                }
            }
            Shape::Tag => {
                let tag = self.tag_name()?;
                self.cursor.mark(b',', "and the operand")?;
                let [a] = self.exactly(info.name)?;
                self.no_more(info.name, 2)?;
                self.builder.tagged(code, tag, a).map_err(wrong)?;
            }
            Shape::Select => {
                let [c, a, b] = self.operands(info)?;
                self.builder.select(code, c, a, b).map_err(wrong)?;
            }
            Shape::Load if !leaves => {
                let (address, offset) = self.raw_address(info)?;
                self.builder
                    .raw_load(code, address, offset)
                    .map_err(wrong)?;
            }
            Shape::Store if !leaves => {
                let (address, offset) = self.raw_address(info)?;
                let [value] = self.stored(info)?;
                self.builder
                    .raw_store(code, address, offset, value)
                    .map_err(wrong)?;
            }
            Shape::Load => {
                let access = self.access(info)?;
                let exit = self.access_exit(info)?;
                self.builder
                    .load(code, access, exit.unwrap_or(ExitId(NONE)))
                    .map_err(wrong)?;
                if exit.is_none() {
                    self.builder.mark_in_bounds().map_err(wrong)?;
                }
            }
            Shape::Store => {
                let access = self.access(info)?;
                let [value] = self.stored(info)?;
                let exit = self.access_exit(info)?;
                self.builder
                    .store(code, access, value, exit.unwrap_or(ExitId(NONE)))
                    .map_err(wrong)?;
                if exit.is_none() {
                    self.builder.mark_in_bounds().map_err(wrong)?;
                }
            }
            Shape::Update => {
                let access = self.access(info)?;
                let [value] = self.stored(info)?;
                let exit = self.else_exit(info)?;
                self.builder
                    .update(code, access, value, exit)
                    .map_err(wrong)?;
            }
            Shape::CompareExchange => {
                let access = self.access(info)?;
                let [expected, replacement] = self.stored(info)?;
                let exit = self.else_exit(info)?;
                self.builder
                    .compare_exchange(code, access, expected, replacement, exit)
                    .map_err(wrong)?;
            }
            Shape::Fence => self.builder.fence().map_err(wrong)?,
            Shape::RegionSize => {
                let region = self.region_name("a region, such as `@mem`")?;
                self.builder.region_size(region).map_err(wrong)?;
            }
            Shape::SlotGet => {
                let slot = self.cursor.unsigned_32()?;
                self.builder.slot_get(code, slot).map_err(wrong)?;
            }
            Shape::SlotSet => {
                let slot = self.cursor.unsigned_32()?;
                self.cursor.mark(b',', "and the value")?;
                let value = self.value()?;
                self.builder.slot_set(code, slot, value).map_err(wrong)?;
            }
            Shape::FunctionIndex => {
                let function = self.function_name()?;
                self.builder.function_index(function).map_err(wrong)?;
            }
            Shape::Guard => {
                let [condition] = self.operands(info)?;
                let exit = self.else_exit(info)?;
                self.builder.guard(code, condition, exit).map_err(wrong)?;
            }
            Shape::Poll => {
                let exit = self.else_exit(info)?;
                self.builder.poll(exit).map_err(wrong)?;
            }
            Shape::Call | Shape::CallCell | Shape::CallHost | Shape::CallIndirect => {
                self.call(code, info, left)?;
            }
            Shape::Jump => {
                let (block, arguments) = self.edge()?;
                self.builder.jump(block, &arguments).map_err(wrong)?;
            }
            Shape::Branch => {
                let condition = self.value()?;
                self.cursor
                    .mark(b',', "and the block to go to if not zero")?;
                let then = self.edge()?;
                self.cursor.mark(b',', "and the block to go to if zero")?;
                let otherwise = self.edge()?;
                self.builder
                    .branch(condition, (then.0, &then.1), (otherwise.0, &otherwise.1))
                    .map_err(wrong)?;
            }
            Shape::Switch => self.switch(at)?,
            Shape::Return => {
                let values = self.values_of_line()?;
                self.builder.return_values(&values).map_err(wrong)?;
            }
            Shape::Exit => {
                let exit = self.exit(ExitKind::Deoptimize)?;
                self.builder.leave(exit).map_err(wrong)?;
            }
            Shape::ReturnCall => {
                let function = self.function_name()?;
                let arguments = self.arguments()?;
                self.builder
                    .return_call(function, &arguments)
                    .map_err(wrong)?;
            }
        }
        Ok(())
    }

    fn switch(&mut self, at: Place) -> Result<(), Error> {
        let index = self.value()?;
        self.cursor.mark(b',', "and the list of blocks")?;
        self.cursor.mark(b'[', "before the list of blocks")?;
        let mut targets = Vec::new();
        if !self.cursor.is_mark(b']') {
            targets.push(self.edge()?);
            while self.cursor.take_mark(b',') {
                targets.push(self.edge()?);
            }
        }
        self.cursor.mark(b']', "behind the list of blocks")?;
        self.cursor.mark(b',', "and the default block")?;
        let default = self.edge()?;
        let targets: Vec<(BlockId, &[Value])> = targets
            .iter()
            .map(|(block, arguments)| (*block, arguments.as_slice()))
            .collect();
        self.builder
            .switch(index, &targets, (default.0, &default.1))
            .map_err(|error| from_builder(at, error))
    }

    fn call(&mut self, code: Opcode, info: &OpInfo, left: &Left) -> Result<(), Error> {
        let at = place(left.op);
        let wrong = |error| from_builder(at, error);
        let results: Results = match info.shape {
            Shape::CallIndirect => {
                let parameters = types_in_parentheses(&mut self.cursor)?;
                if self.cursor.peek().kind != Kind::Arrow {
                    return self.cursor.expected("`->` and the types of the results");
                }
                self.cursor.next();
                let results = types_in_parentheses(&mut self.cursor)?;
                self.results(left, info.name, results.len())?;
                self.cursor.mark(b',', "and the function's index")?;
                let index = self.value()?;
                let arguments = self.arguments()?;
                let signature = self
                    .declared
                    .signature(self.builder, parameters, results, at)?;
                let exit = self.else_exit(info)?;
                self.builder
                    .call_indirect(signature, index, &arguments, exit)
            }
            Shape::CallHost => {
                let (name, token) = self
                    .cursor
                    .at_name("a host function, such as `@clock_ns`")?;
                let Some(&host) = self.declared.hosts.get(name) else {
                    let message = format!("unknown host function `@{}`", shortened(name));
                    return self.cursor.error_at(token, message);
                };
                let types = self.declared.host_types.get(host.0 as usize);
                let wanted = types.map_or(0, |(_, results)| results.len());
                self.results(left, info.name, wanted)?;
                let arguments = self.arguments()?;
                let exit = self.optional_exit()?;
                self.builder.call_host(host, &arguments, exit)
            }
            _ => {
                let function = self.function_name()?;
                let header = self.declared.headers.get(function.0 as usize);
                let wanted = header.map_or(0, |header| header.results.len());
                self.results(left, info.name, wanted)?;
                let arguments = self.arguments()?;
                let exit = self.optional_exit()?;
                if code == Opcode::CallCell {
                    self.builder.call_cell(function, &arguments, exit)
                } else {
                    self.builder.call(function, &arguments, exit)
                }
            }
        }
        .map_err(wrong)?;
        debug_assert_eq!(results.count() as usize, left.names);
        Ok(())
    }
}
