//! What ops are made of: values, lists, edges, places in memory, exits.

use super::{Body, Edge, from_builder};
use crate::Error;
use crate::cursor::shortened;
use crate::lexer::Kind;
use crate::parser::place;
use patchjit::build::{Access, ExitId, FunctionId, RegionId, TagId, Value};
use patchjit::ir::{ExitKind, MAX_OFFSET, boxed_place, place_slot};
use patchjit::ops::OpInfo;
use std::collections::hash_map::Entry;

impl Body<'_, '_, '_, '_> {
    pub(super) fn value(&mut self) -> Result<Value, Error> {
        let (name, token) = self.cursor.name("a value")?;
        match self.values.get(name) {
            Some(&value) => Ok(value),
            None => {
                // A comma lets a list go on in the next line: it may stand there by mistake.
                let before = self.cursor.at.checked_sub(2);
                let before = before.and_then(|at| self.cursor.tokens.get(at));
                if let Some(comma) =
                    before.filter(|t| t.kind == Kind::Mark(b',') && t.line < token.line)
                {
                    return self
                        .cursor
                        .error_at(*comma, "expected a value behind this comma");
                }
                let message = format!("unknown value `{}`", shortened(name));
                self.cursor.error_at(token, message)
            }
        }
    }

    /// As many values as the op takes, with commas between them.
    pub(super) fn operands<const N: usize>(&mut self, info: &OpInfo) -> Result<[Value; N], Error> {
        let operands = self.exactly::<N>(info.name)?;
        self.no_more(info.name, N)?;
        Ok(operands)
    }

    /// The values that stand behind the place of an access.
    pub(super) fn stored<const N: usize>(&mut self, info: &OpInfo) -> Result<[Value; N], Error> {
        self.cursor.mark(b',', "and the value to be stored")?;
        let operands = self.exactly::<N>(info.name)?;
        self.no_more(info.name, N + 1)?;
        Ok(operands)
    }

    pub(super) fn exactly<const N: usize>(&mut self, name: &str) -> Result<[Value; N], Error> {
        let mut operands = [Value(0); N];
        for (index, operand) in operands.iter_mut().enumerate() {
            if index > 0 && !self.cursor.take_mark(b',') {
                let message = format!("`{name}` takes {N} operands here, {index} given");
                return self.cursor.error_at(self.cursor.peek(), message);
            }
            *operand = self.value()?;
        }
        Ok(operands)
    }

    pub(super) fn no_more(&self, name: &str, count: usize) -> Result<(), Error> {
        if self.cursor.is_mark(b',') {
            let plural = if count == 1 { "" } else { "s" };
            let message = format!("`{name}` takes {count} operand{plural}, more given");
            return self.cursor.error_at(self.cursor.peek(), message);
        }
        Ok(())
    }

    /// `(a, b)`
    pub(super) fn arguments(&mut self) -> Result<Vec<Value>, Error> {
        self.cursor.mark(b'(', "before the arguments")?;
        let mut values = Vec::new();
        if !self.cursor.is_mark(b')') {
            values.push(self.value()?);
            while self.cursor.take_mark(b',') {
                values.push(self.value()?);
            }
        }
        self.cursor.mark(b')', "behind the arguments")?;
        Ok(values)
    }

    /// `a, b`, or nothing, up to the end of the line or a source position.
    pub(super) fn values_of_line(&mut self) -> Result<Vec<Value>, Error> {
        let mut values = Vec::new();
        if !self.cursor.at_line_end() && !self.cursor.is_mark(b'!') {
            values.push(self.value()?);
            while self.cursor.take_mark(b',') {
                values.push(self.value()?);
            }
        }
        Ok(values)
    }

    /// `block` or `block(a, b)`
    pub(super) fn edge(&mut self) -> Result<Edge, Error> {
        let (name, token) = self.cursor.name("a block")?;
        let Some(&block) = self.blocks.get(name) else {
            let message = format!("unknown block `{}`", shortened(name));
            return self.cursor.error_at(token, message);
        };
        let arguments = if self.cursor.is_mark(b'(') {
            self.arguments()?
        } else {
            Vec::new()
        };
        Ok((block, arguments))
    }

    pub(super) fn function_name(&mut self) -> Result<FunctionId, Error> {
        let (name, token) = self.cursor.at_name("a function, such as `@main`")?;
        match self.declared.functions.get(name) {
            Some(&function) => Ok(FunctionId(function)),
            None => {
                let message = format!("unknown function `@{}`", shortened(name));
                self.cursor.error_at(token, message)
            }
        }
    }

    pub(super) fn tag_name(&mut self) -> Result<TagId, Error> {
        let (name, token) = self.cursor.at_name("a tag, such as `@small`")?;
        match self.declared.tags.get(name) {
            Some(&tag) => Ok(tag),
            None => {
                let message = format!("unknown tag `@{}`", shortened(name));
                self.cursor.error_at(token, message)
            }
        }
    }

    pub(super) fn region_name(&mut self, what: &str) -> Result<RegionId, Error> {
        let (name, token) = self.cursor.at_name(what)?;
        match self.declared.regions.get(name) {
            Some(&region) => Ok(region),
            None => {
                let message = format!("unknown region `@{}`", shortened(name));
                self.cursor.error_at(token, message)
            }
        }
    }

    /// `@mem[index * 8 + 16]`
    pub(super) fn access(&mut self, info: &OpInfo) -> Result<Access, Error> {
        if self.cursor.is_mark(b'[') {
            let message = format!("`{}` takes a region, such as `@mem[...]`", info.name);
            return self.cursor.error_at(self.cursor.peek(), message);
        }
        let region = self.region_name("a region, such as `@mem[...]`")?;
        self.cursor.mark(b'[', "before the index")?;
        let index = self.value()?;
        let mut scale = 0;
        if self.cursor.take_mark(b'*') {
            let token = self.cursor.peek();
            scale = match self.cursor.unsigned_32()? {
                1 => 0,
                2 => 1,
                4 => 2,
                8 => 3,
                _ => {
                    let message = "an index counts units of 1, 2, 4 or 8 bytes";
                    return self.cursor.error_at(token, message);
                }
            };
        }
        let mut offset = 0;
        if self.cursor.take_mark(b'+') {
            offset = self.cursor.integer(0, i128::from(MAX_OFFSET))? as u32;
        } else if self.cursor.is_mark(b'-') {
            let message = "the offset in a region cannot be negative";
            return self.cursor.error_at(self.cursor.peek(), message);
        }
        self.cursor.mark(b']', "behind the index")?;
        Ok(Access {
            region,
            index,
            scale,
            offset,
        })
    }

    /// `[address + 8]`
    pub(super) fn raw_address(&mut self, info: &OpInfo) -> Result<(Value, i32), Error> {
        if self.cursor.peek().kind == Kind::At {
            let message = format!("`{}` takes an address, such as `[a + 8]`", info.name);
            return self.cursor.error_at(self.cursor.peek(), message);
        }
        self.cursor.mark(b'[', "before the address")?;
        let address = self.value()?;
        let mut offset = 0;
        if self.cursor.is_mark(b'-') {
            // The minus sign belongs to the number.
            offset = self.cursor.integer(i128::from(i32::MIN), 0)? as i32;
        } else if self.cursor.take_mark(b'+') {
            offset = self.cursor.integer(0, i128::from(i32::MAX))? as i32;
        }
        self.cursor.mark(b']', "behind the address")?;
        Ok((address, offset))
    }

    /// The `else` of an op that cannot do without.
    pub(super) fn else_exit(&mut self, info: &OpInfo) -> Result<ExitId, Error> {
        match self.optional_exit()? {
            Some(exit) => Ok(exit),
            None => {
                let name = info.name;
                self.cursor.expected(&format!(
                    "`else exit` or `else trap`, because `{name}` can leave"
                ))
            }
        }
    }

    /// The `else` of an access; none where it is marked `in_bounds` instead.
    pub(super) fn access_exit(&mut self, info: &OpInfo) -> Result<Option<ExitId>, Error> {
        if self.cursor.take_word("in_bounds") {
            return Ok(None);
        }
        self.else_exit(info).map(Some)
    }

    pub(super) fn optional_exit(&mut self) -> Result<Option<ExitId>, Error> {
        if !self.cursor.take_word("else") {
            return Ok(None);
        }
        let kind = if self.cursor.take_word("exit") {
            ExitKind::Deoptimize
        } else if self.cursor.take_word("trap") {
            ExitKind::Trap
        } else {
            return self.cursor.expected("`exit` or `trap`");
        };
        self.exit(kind).map(Some)
    }

    /// The number and the snapshot of an exit: `7 [0: a, 1: @small b]`.
    pub(super) fn exit(&mut self, kind: ExitKind) -> Result<ExitId, Error> {
        let at = place(self.cursor.peek());
        let number = self.cursor.unsigned_32()?;
        let mut snapshot = Vec::new();
        if self.cursor.take_mark(b'[') && !self.cursor.take_mark(b']') {
            loop {
                let mut place = self.cursor.unsigned_32()?;
                self.cursor.mark(b':', "and the slot's value")?;
                if self.cursor.peek().kind == Kind::At {
                    let tag = self.tag_name()?;
                    place = boxed_place(place_slot(place), tag.0);
                }
                snapshot.push((place, self.value()?));
                if !self.cursor.take_mark(b',') {
                    break;
                }
            }
            self.cursor.mark(b']', "behind the snapshot")?;
        }
        match self.exits.entry((kind as u32, number, snapshot)) {
            Entry::Occupied(entry) => Ok(*entry.get()),
            Entry::Vacant(entry) => {
                let (_, _, snapshot) = entry.key();
                let exit = self
                    .builder
                    .exit(kind, number, snapshot)
                    .map_err(|error| from_builder(at, error))?;
                Ok(*entry.insert(exit))
            }
        }
    }
}
