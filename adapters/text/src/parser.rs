//! From tokens to a module: declarations and promises. Function bodies are read in `body`.
//!
//! Declarations come first, whatever their order in the text, so that bodies can name functions that are
//! defined later; then the bodies in order, then the promises. The records are laid out by the core's
//! builder, over tables sized from the tokens.

use crate::Error;
use crate::body::{self, Body};
use crate::cursor::{Cursor, hex_byte, shortened};
use crate::lexer::{self, Kind, Token};
use crate::module::{Contents, Form, Module, Names, Outcome, Place, Promise};
use patchjit::build::{
    Builder, Counts, EMPTY_EXIT, EMPTY_OP, FunctionId, HostId, RegionId, SignatureId, Storage,
    TagId,
};
use patchjit::ir::{
    Block, Function, HostFunction, MAX_ARGUMENTS, MAX_REGIONS, MAX_TAGS, NONE, Region, Signature,
    Tag,
};
use patchjit::types::Type;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// What the declarations say; bodies look it up.
pub struct Declared<'s> {
    pub functions: HashMap<&'s str, u32>,
    pub regions: HashMap<&'s str, RegionId>,
    pub hosts: HashMap<&'s str, HostId>,
    pub tags: HashMap<&'s str, TagId>,
    pub signatures: HashMap<(Vec<Type>, Vec<Type>), SignatureId>,
    /// By function.
    pub headers: Vec<Header<'s>>,
    /// By host function.
    pub host_types: Vec<(Vec<Type>, Vec<Type>)>,
}

/// The first line of a function, and where its body begins.
pub struct Header<'s> {
    pub name: Token,
    pub parameters: Vec<(&'s str, Token, Type)>,
    pub results: Vec<Type>,
    pub body: usize,
}

struct Parser<'t, 's, 'b> {
    cursor: Cursor<'t, 's>,
    builder: Builder<'b>,
    declared: Declared<'s>,
    names: Names,
    contents: Vec<Contents>,
    region_sizes: Vec<u64>,
    slot_count: Option<u32>,
    /// Where promises begin.
    promises: Vec<usize>,
}

/// Reads a source in the text form.
pub fn parse(source: &str) -> Result<Module, Error> {
    let tokens = lexer::tokens(source)?;
    let cursor = Cursor {
        source,
        tokens: &tokens,
        at: 0,
    };
    let most = most(&cursor);
    let positions = tokens.iter().any(|token| token.kind == Kind::Mark(b'!'));
    let mut module = Module {
        functions: vec![Function::default(); most.functions],
        blocks: vec![Block::default(); most.blocks],
        ops: vec![EMPTY_OP; most.ops],
        extra: vec![0; most.extra],
        exits: vec![EMPTY_EXIT; most.exits],
        signatures: vec![Signature::default(); most.signatures],
        types: vec![Type::I32; most.types],
        regions: vec![Region::default(); most.regions],
        hosts: vec![HostFunction::default(); most.hosts],
        tags: vec![Tag::default(); most.tags],
        positions: vec![NONE; if positions { most.ops } else { 0 }],
        ..Module::default()
    };
    let mut parser = Parser {
        cursor,
        builder: Builder::new(Storage {
            functions: &mut module.functions,
            blocks: &mut module.blocks,
            ops: &mut module.ops,
            extra: &mut module.extra,
            exits: &mut module.exits,
            signatures: &mut module.signatures,
            types: &mut module.types,
            regions: &mut module.regions,
            hosts: &mut module.hosts,
            tags: &mut module.tags,
            positions: &mut module.positions,
        }),
        declared: Declared {
            functions: HashMap::new(),
            regions: HashMap::new(),
            hosts: HashMap::new(),
            tags: HashMap::new(),
            signatures: HashMap::new(),
            headers: Vec::new(),
            host_types: Vec::new(),
        },
        names: Names::default(),
        contents: Vec::new(),
        region_sizes: Vec::new(),
        slot_count: None,
        promises: Vec::new(),
    };
    parser.declarations()?;
    let (mut op_places, mut block_places) = (Vec::new(), Vec::new());
    for function in 0..parser.declared.headers.len() {
        let mut body = Body::new(
            parser.cursor,
            &mut parser.builder,
            &mut parser.declared,
            function,
            &mut parser.names,
        );
        body.read()?;
        op_places.append(&mut body.op_places);
        block_places.append(&mut body.block_places);
    }
    let (promises, bench) = parser.read_promises()?;
    let counts = parser.builder.counts();
    let function_places = parser
        .declared
        .headers
        .iter()
        .map(|header| place(header.name))
        .collect();
    let slot_count = parser.slot_count.unwrap_or(0);
    let (names, contents) = (parser.names, parser.contents);
    parser
        .builder
        .finish()
        .map_err(|error| body::from_builder(END_OF_SOURCE, error))?;

    fn fit<T>(table: &mut Vec<T>, count: usize) {
        table.truncate(count);
        table.shrink_to_fit();
    }
    fit(&mut module.functions, counts.functions);
    fit(&mut module.blocks, counts.blocks);
    fit(&mut module.ops, counts.ops);
    fit(&mut module.extra, counts.extra);
    fit(&mut module.exits, counts.exits);
    fit(&mut module.signatures, counts.signatures);
    fit(&mut module.types, counts.types);
    fit(&mut module.regions, counts.regions);
    fit(&mut module.hosts, counts.hosts);
    fit(&mut module.tags, counts.tags);
    fit(&mut module.positions, counts.ops);
    Ok(Module {
        slot_count,
        names,
        contents,
        promises,
        bench,
        op_places,
        block_places,
        function_places,
        ..module
    })
}

/// The most that these tokens can make: each part of a program is written with a token that only it has.
fn most(cursor: &Cursor<'_, '_>) -> Counts {
    let mut most = Counts {
        regions: MAX_REGIONS,
        tags: MAX_TAGS,
        ..Counts::default()
    };
    for &token in cursor.tokens {
        match token.kind {
            // An op ends its line; its further results stand behind commas.
            Kind::Line | Kind::End | Kind::Mark(b',') => most.ops += 1,
            // A parameter, or a block.
            Kind::Mark(b':') => {
                most.ops += 1;
                most.blocks += 1;
            }
            Kind::Word => match cursor.text(token) {
                "func" => {
                    most.functions += 1;
                    most.signatures += 1;
                }
                "host" => {
                    most.hosts += 1;
                    most.signatures += 1;
                }
                "call_indirect" => most.signatures += 1,
                "exit" | "trap" => most.exits += 1,
                "i32" | "i64" | "f32" | "f64" | "ref" => most.types += 1,
                _ => {}
            },
            _ => {}
        }
        // No token stands for more than two words.
        most.extra += 2;
    }
    most
}

const END_OF_SOURCE: Place = Place { line: 1, column: 1 };

pub fn place(token: Token) -> Place {
    Place {
        line: token.line,
        column: token.column,
    }
}

/// Enters a name that must be new.
fn enter<'s, T>(
    cursor: &Cursor<'_, 's>,
    names: &mut HashMap<&'s str, T>,
    (name, token): (&'s str, Token),
    what: &str,
    item: T,
) -> Result<(), Error> {
    match names.entry(name) {
        Entry::Vacant(entry) => {
            entry.insert(item);
            Ok(())
        }
        Entry::Occupied(_) => {
            let name = shortened(name);
            cursor.error_at(token, format!("there is a {what} `@{name}` already"))
        }
    }
}

impl<'s> Declared<'s> {
    /// The signature with these types.
    pub fn signature(
        &mut self,
        builder: &mut Builder<'_>,
        parameters: Vec<Type>,
        results: Vec<Type>,
        place: Place,
    ) -> Result<SignatureId, Error> {
        for (types, what) in [(&parameters, "parameters"), (&results, "results")] {
            if types.len() > MAX_ARGUMENTS {
                let message = format!("more than {MAX_ARGUMENTS} {what}");
                return Err(Error::new(place.line, place.column, message));
            }
        }
        match self.signatures.entry((parameters, results)) {
            Entry::Occupied(entry) => Ok(*entry.get()),
            Entry::Vacant(entry) => {
                let (parameters, results) = entry.key();
                let signature = builder
                    .new_signature(parameters, results)
                    .map_err(|error| body::from_builder(place, error))?;
                Ok(*entry.insert(signature))
            }
        }
    }
}

/// `i64, f64`, up to what cannot be a type.
fn types(cursor: &mut Cursor<'_, '_>) -> Result<Vec<Type>, Error> {
    let mut types = vec![cursor.ty()?];
    while cursor.take_mark(b',') {
        types.push(cursor.ty()?);
    }
    Ok(types)
}

/// `(i64, f64)` or `()`
pub fn types_in_parentheses(cursor: &mut Cursor<'_, '_>) -> Result<Vec<Type>, Error> {
    cursor.mark(b'(', "before the types")?;
    let types = if cursor.is_mark(b')') {
        Vec::new()
    } else {
        types(cursor)?
    };
    cursor.mark(b')', "behind the types")?;
    Ok(types)
}

/// `(n: i64, x: f64)`, for functions and blocks.
pub fn parameters<'s>(cursor: &mut Cursor<'_, 's>) -> Result<Vec<(&'s str, Token, Type)>, Error> {
    let mut parameters = Vec::new();
    cursor.mark(b'(', "before the parameters")?;
    if !cursor.is_mark(b')') {
        loop {
            let (name, token) = cursor.name("a parameter")?;
            cursor.mark(b':', "and the parameter's type")?;
            parameters.push((name, token, cursor.ty()?));
            if !cursor.take_mark(b',') {
                break;
            }
        }
    }
    cursor.mark(b')', "behind the parameters")?;
    Ok(parameters)
}

impl<'s> Parser<'_, 's, '_> {
    fn declarations(&mut self) -> Result<(), Error> {
        loop {
            let token = self.cursor.peek();
            match token.kind {
                Kind::End => return Ok(()),
                Kind::Line => {
                    self.cursor.next();
                }
                Kind::Run | Kind::Bench => {
                    self.promises.push(self.cursor.at);
                    self.cursor.skip_line();
                }
                Kind::Word => match self.cursor.word() {
                    "slots" => self.slots()?,
                    "region" => self.region()?,
                    "tag" => self.tag()?,
                    "host" => self.host()?,
                    "func" => self.function()?,
                    _ => return self.expected_declaration(),
                },
                _ => return self.expected_declaration(),
            }
        }
    }

    fn expected_declaration<T>(&self) -> Result<T, Error> {
        self.cursor
            .expected("`func`, `region`, `tag`, `host` or `slots`")
    }

    fn slots(&mut self) -> Result<(), Error> {
        let token = self.cursor.next();
        if self.slot_count.is_some() {
            return self
                .cursor
                .error_at(token, "the number of slots is given already");
        }
        let count = self.cursor.unsigned_32()?;
        self.slot_count = Some(count);
        self.builder.set_slot_count(count);
        self.cursor.end_of_line()
    }

    fn region(&mut self) -> Result<(), Error> {
        let token = self.cursor.next();
        let name = self.cursor.at_name("the region's name, such as `@mem`")?;
        let size = self.cursor.unsigned_64()?;
        let mut most = size;
        if self.cursor.take_word("to") {
            let token = self.cursor.peek();
            most = self.cursor.unsigned_64()?;
            if most < size {
                let message = "a region grows to no less than it begins with";
                return self.cursor.error_at(token, message);
            }
        }
        if self.region_sizes.len() >= MAX_REGIONS {
            return self
                .cursor
                .error_at(token, format!("more than {MAX_REGIONS} regions"));
        }
        let region = self
            .builder
            .growing_region(size, most)
            .map_err(|error| body::from_builder(place(token), error))?;
        enter(
            &self.cursor,
            &mut self.declared.regions,
            name,
            "region",
            region,
        )?;
        self.names.regions.push(name.0.to_string());
        self.region_sizes.push(size);
        let mut offset = 0;
        loop {
            // Further parts may stand in lines of their own.
            if self.cursor.peek().kind == Kind::Line
                && self.cursor.ahead(1).kind == Kind::Mark(b'=')
            {
                self.cursor.next();
            }
            if !self.cursor.take_mark(b'=') {
                break;
            }
            offset = self.region_contents(u32::from(region.0), size, offset)?;
        }
        self.cursor.end_of_line()
    }

    /// One part of a region's contents; gives the offset behind it.
    fn region_contents(&mut self, region: u32, size: u64, mut offset: u64) -> Result<u64, Error> {
        let first = self.cursor.peek();
        if first.kind == Kind::At {
            let text = self.cursor.text(first).get(1..).unwrap_or("");
            let value = match text.strip_prefix("0x") {
                Some(digits) if !digits.starts_with('+') => u64::from_str_radix(digits, 16).ok(),
                _ if text.starts_with(|c: char| c.is_ascii_digit()) => text.parse().ok(),
                _ => None,
            };
            match value {
                Some(value) => offset = value,
                None => {
                    return self
                        .cursor
                        .expected("an offset in the region, such as `@8`");
                }
            }
            self.cursor.next();
        }
        let token = self.cursor.peek();
        let (form, bytes) = match token.kind {
            Kind::Text => (Form::Text, self.cursor.string()?),
            Kind::Word if self.cursor.take_word("bytes") => (Form::Bytes, self.hex_bytes()?),
            Kind::Word => match Type::from_name(self.cursor.word()) {
                Some(ty) if ty != Type::Ref => (Form::Numbers(ty), self.numbers(ty)?),
                _ => return self.expected_contents(),
            },
            _ => return self.expected_contents(),
        };
        let end = offset.checked_add(bytes.len() as u64);
        let Some(end) = end.filter(|&end| end <= size) else {
            let message = "the contents do not fit in the region";
            return self.cursor.error_at(first, message);
        };
        self.contents.push(Contents {
            region,
            offset,
            form,
            bytes,
        });
        Ok(end)
    }

    fn expected_contents<T>(&self) -> Result<T, Error> {
        self.cursor
            .expected("`bytes`, `i32`, `i64`, `f32`, `f64` or a string")
    }

    fn hex_bytes(&mut self) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        while self.cursor.peek().kind == Kind::Word {
            let digits = self.cursor.word();
            let Some(byte) = hex_byte(digits.as_bytes()) else {
                return self.cursor.expected("a byte of two hexadecimal digits");
            };
            bytes.push(byte);
            self.cursor.next();
        }
        Ok(bytes)
    }

    fn numbers(&mut self, ty: Type) -> Result<Vec<u8>, Error> {
        self.cursor.next();
        let mut bytes = Vec::new();
        loop {
            let bits = self.cursor.literal(ty)?.to_le_bytes();
            let length = ty.bits() as usize / 8;
            bytes.extend_from_slice(bits.get(..length).unwrap_or(&bits));
            if !self.cursor.take_mark(b',') {
                return Ok(bytes);
            }
        }
    }

    /// `tag @small mask 0x1 bits 0x1 shift 1`, the shift only where it is not 0.
    fn tag(&mut self) -> Result<(), Error> {
        let token = self.cursor.next();
        let name = self.cursor.at_name("the tag's name, such as `@small`")?;
        if self.names.tags.len() >= MAX_TAGS {
            return self
                .cursor
                .error_at(token, format!("more than {MAX_TAGS} tags"));
        }
        if !self.cursor.take_word("mask") {
            return self
                .cursor
                .expected("`mask` and the bits that tell the tag");
        }
        let mask = self.cursor.unsigned_64()?;
        if !self.cursor.take_word("bits") {
            return self.cursor.expected("`bits` and what they are");
        }
        let place_of_bits = self.cursor.peek();
        let bits = self.cursor.unsigned_64()?;
        if bits & !mask != 0 {
            let message = format!("bits outside of the mask: {:#x}", bits & !mask);
            return self.cursor.error_at(place_of_bits, message);
        }
        let mut shift = 0;
        if self.cursor.take_word("shift") {
            shift = self.cursor.integer(0, 63)? as u8;
        }
        self.cursor.end_of_line()?;
        let tag = self
            .builder
            .tag(Tag { mask, bits, shift })
            .map_err(|error| body::from_builder(place(token), error))?;
        enter(&self.cursor, &mut self.declared.tags, name, "tag", tag)?;
        self.names.tags.push(name.0.to_string());
        Ok(())
    }

    fn host(&mut self) -> Result<(), Error> {
        let token = self.cursor.next();
        let name = self
            .cursor
            .at_name("the host function's name, such as `@print_i64`")?;
        let parameters = types_in_parentheses(&mut self.cursor)?;
        let results = self.results()?;
        self.cursor.end_of_line()?;
        let (builder, at) = (&mut self.builder, place(token));
        self.declared
            .host_types
            .push((parameters.clone(), results.clone()));
        let signature = self.declared.signature(builder, parameters, results, at)?;
        let host = builder
            .host(signature)
            .map_err(|error| body::from_builder(at, error))?;
        self.names.hosts.push(name.0.to_string());
        enter(
            &self.cursor,
            &mut self.declared.hosts,
            name,
            "host function",
            host,
        )
    }

    /// `-> i64, f64`, or nothing.
    fn results(&mut self) -> Result<Vec<Type>, Error> {
        if self.cursor.peek().kind == Kind::Arrow {
            self.cursor.next();
            types(&mut self.cursor)
        } else {
            Ok(Vec::new())
        }
    }

    fn function(&mut self) -> Result<(), Error> {
        let first = self.cursor.next();
        let name = self
            .cursor
            .at_name("the function's name, such as `@main`")?;
        let parameters = parameters(&mut self.cursor)?;
        let results = self.results()?;
        self.cursor.mark(b'{', "to open the function's body")?;
        self.cursor.end_of_line()?;
        let parameter_types = parameters.iter().map(|&(_, _, ty)| ty).collect();
        let (builder, at) = (&mut self.builder, place(first));
        let signature = self
            .declared
            .signature(builder, parameter_types, results.clone(), at)?;
        let FunctionId(function) = builder
            .declare(signature)
            .map_err(|error| body::from_builder(at, error))?;
        enter(
            &self.cursor,
            &mut self.declared.functions,
            name,
            "function",
            function,
        )?;
        self.names.functions.push(name.0.to_string());
        self.declared.headers.push(Header {
            name: name.1,
            parameters,
            results,
            body: self.cursor.at,
        });
        // The body is read when all declarations are known.
        loop {
            let token = self.cursor.peek();
            match token.kind {
                Kind::Mark(b'}') => {
                    self.cursor.next();
                    return self.cursor.end_of_line();
                }
                Kind::End => break,
                Kind::Word
                    if self.cursor.word() == "func" && self.cursor.ahead(1).kind == Kind::At =>
                {
                    break;
                }
                Kind::Run | Kind::Bench => self.promises.push(self.cursor.at),
                _ => {}
            }
            self.cursor.skip_line();
        }
        let message = format!(
            "missing `}}` of the function that begins in line {}",
            first.line
        );
        self.cursor.error_at(self.cursor.peek(), message)
    }

    fn read_promises(&mut self) -> Result<(Vec<Promise>, Option<Promise>), Error> {
        let (mut promises, mut bench) = (Vec::new(), None);
        for at in std::mem::take(&mut self.promises) {
            self.cursor.at = at;
            let head = self.cursor.next();
            let promise = self.promise(place(head))?;
            if head.kind == Kind::Run {
                promises.push(promise);
            } else if bench.is_none() {
                bench = Some(promise);
            } else {
                return self
                    .cursor
                    .error_at(head, "there is a `bench:` line already");
            }
        }
        Ok((promises, bench))
    }

    fn promise(&mut self, place: Place) -> Result<Promise, Error> {
        let (name, token) = self.cursor.at_name("a function, such as `@main`")?;
        let function = self.declared.functions.get(name).copied();
        let header = function.and_then(|index| self.declared.headers.get(index as usize));
        let (Some(function), Some(header)) = (function, header) else {
            let message = format!("unknown function `@{}`", shortened(name));
            return self.cursor.error_at(token, message);
        };
        let cursor = &mut self.cursor;
        cursor.mark(b'(', "before the arguments")?;
        let mut arguments = Vec::new();
        for &(_, _, ty) in &header.parameters {
            if cursor.is_mark(b')') {
                break;
            }
            if !arguments.is_empty() {
                cursor.mark(b',', "and a further argument")?;
            }
            arguments.push(cursor.literal(ty)?);
        }
        let wanted = header.parameters.len();
        if arguments.len() != wanted || !cursor.is_mark(b')') {
            let plural = if wanted == 1 { "" } else { "s" };
            let name = shortened(name);
            let message = format!("`@{name}` takes {wanted} argument{plural}");
            return cursor.error_at(cursor.peek(), message);
        }
        cursor.next();
        let outcome = outcome(cursor, &header.results)?;
        cursor.end_of_line()?;
        Ok(Promise {
            place,
            function,
            arguments,
            outcome,
        })
    }
}

/// What stands behind the call in a promise.
fn outcome(cursor: &mut Cursor<'_, '_>, results: &[Type]) -> Result<Outcome, Error> {
    let token = cursor.peek();
    if token.kind == Kind::Equals {
        cursor.next();
        let mut values = Vec::new();
        for &ty in results {
            if !values.is_empty() {
                cursor.mark(b',', "and a further result")?;
            }
            values.push(cursor.literal(ty)?);
        }
        return Ok(Outcome::Returns(values));
    }
    if cursor.at_line_end() && results.is_empty() {
        return Ok(Outcome::Returns(Vec::new()));
    }
    if cursor.take_word("exits") {
        return Ok(Outcome::Exits(
            cursor.unsigned_32()?,
            promised_slots(cursor)?,
        ));
    }
    if cursor.take_word("traps") {
        return Ok(Outcome::Traps(
            cursor.unsigned_32()?,
            promised_slots(cursor)?,
        ));
    }
    if cursor.take_word("too") && cursor.take_word("deep") {
        return Ok(Outcome::TooDeep);
    }
    if cursor.take_word("out") && cursor.take_word("of") && cursor.take_word("fuel") {
        return Ok(Outcome::OutOfFuel);
    }
    cursor.expected("`==`, `exits`, `traps`, `too deep` or `out of fuel`")
}

/// `[0: 5, 1: 0x10]`, or nothing. A number with a point or an exponent stands for the bits of an f64.
fn promised_slots(cursor: &mut Cursor<'_, '_>) -> Result<Vec<(u32, u64)>, Error> {
    let mut slots = Vec::new();
    if !cursor.take_mark(b'[') || cursor.take_mark(b']') {
        return Ok(slots);
    }
    loop {
        let slot = cursor.unsigned_32()?;
        cursor.mark(b':', "and the slot's value")?;
        let number = cursor.text(cursor.ahead(usize::from(cursor.is_mark(b'-'))));
        let hexadecimal = number.starts_with("0x");
        let float = !hexadecimal && number.contains(['.', 'e', 'E', 'n', 'b']);
        let ty = if float { Type::F64 } else { Type::I64 };
        slots.push((slot, cursor.literal(ty)?));
        if !cursor.take_mark(b',') {
            cursor.mark(b']', "behind the slots")?;
            return Ok(slots);
        }
    }
}
