//! What a module declares outside of its functions' bodies.
//!
//! Takes the sections as the parser gives them, after validation; promises indices as WebAssembly counts them, imports first. Types that are equal
//! get one number, so that comparing numbers is comparing types. Linear in the sections.

use crate::error::Error;
use crate::types::{FuncType, GlobalType, Limits, TableType, ValueType};
use std::collections::HashMap;
use wasmparser::{
    ConstExpr, DataKind, ElementItems, ElementKind, ExternalKind, Operator, Payload, TypeRef,
};

/// The most entries that a table may grow to here: the specification lets an implementation set a limit.
pub(crate) const MOST_ELEMENTS: u32 = 1 << 24;

/// The most pages that a memory of 32-bit addresses has.
pub(crate) const MOST_PAGES: u32 = 1 << 16;

/// A constant expression.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Constant {
    /// A word.
    Bits(u64),
    /// What a global holds.
    Global(u32),
    /// A reference to a function.
    Function(u32),
}

/// What an import or an export is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Function(u32),
    Table(u32),
    Memory(u32),
    Global(u32),
}

/// An import, with its index among its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Import {
    pub module: String,
    pub name: String,
    pub kind: Kind,
}

/// Elements for a table.
#[derive(Clone, Debug)]
pub(crate) struct Elements {
    /// The table and where in it, if they go there at first.
    pub active: Option<(u32, Constant)>,
    /// Whether they are there for `table.init`.
    pub passive: bool,
    pub items: Vec<Constant>,
}

/// Bytes for a memory.
#[derive(Clone, Debug)]
pub(crate) struct Data {
    /// Where they go at first, if they do.
    pub active: Option<Constant>,
    pub bytes: Vec<u8>,
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Declared {
    /// The types that are different.
    pub types: Vec<FuncType>,
    /// The number of each declared type among them.
    pub type_numbers: Vec<u32>,
    /// The type of each function.
    pub functions: Vec<u32>,
    pub imported_functions: u32,
    pub tables: Vec<TableType>,
    pub imported_tables: u32,
    pub memory: Option<Limits>,
    pub imports_memory: bool,
    pub globals: Vec<GlobalType>,
    pub imported_globals: u32,
    /// What the globals that are not imported hold at first.
    pub initial: Vec<Constant>,
    pub imports: Vec<Import>,
    pub exports: Vec<(String, Kind)>,
    pub start: Option<u32>,
    pub elements: Vec<Elements>,
    pub data: Vec<Data>,
    numbers: HashMap<FuncType, u32>,
}

impl Declared {
    /// The number of a declared type among those that are different.
    pub fn type_number(&self, index: u32) -> u32 {
        self.type_numbers.get(index as usize).copied().unwrap_or(0)
    }

    /// The type of a function.
    pub fn function_type(&self, function: u32) -> &FuncType {
        &self.types[self.functions[function as usize] as usize]
    }

    /// The number of a type, which is new if there is no equal one.
    fn number(&mut self, ty: FuncType) -> u32 {
        if let Some(&number) = self.numbers.get(&ty) {
            return number;
        }
        let number = self.types.len() as u32;
        self.types.push(ty.clone());
        self.numbers.insert(ty, number);
        number
    }

    /// Reads a section that was validated; code is not read here.
    pub fn section(&mut self, payload: Payload<'_>) -> Result<(), Error> {
        match payload {
            Payload::TypeSection(types) => {
                let at = types.range().start;
                for ty in types.into_iter_err_on_gc_types() {
                    let ty = ty?;
                    let list = |types: &[wasmparser::ValType]| -> Result<Vec<ValueType>, Error> {
                        types.iter().map(|&ty| value_type(ty, at)).collect()
                    };
                    let ty = FuncType {
                        parameters: list(ty.params())?,
                        results: list(ty.results())?,
                    };
                    let number = self.number(ty);
                    self.type_numbers.push(number);
                }
            }
            Payload::ImportSection(imports) => {
                for import in imports.into_imports_with_offsets() {
                    let (offset, import) = import?;
                    self.import(import, offset)?;
                }
            }
            Payload::FunctionSection(functions) => {
                for ty in functions {
                    let number = self.type_number(ty?);
                    self.functions.push(number);
                }
            }
            Payload::TableSection(tables) => {
                let at = tables.range().start;
                for table in tables {
                    let table = table?;
                    self.tables.push(table_type(&table.ty, at)?);
                }
            }
            Payload::MemorySection(memories) => {
                for memory in memories {
                    self.memory = Some(memory_limits(&memory?));
                }
            }
            Payload::GlobalSection(globals) => {
                for global in globals.into_iter_with_offsets() {
                    let (offset, global) = global?;
                    self.globals.push(global_type(global.ty, offset)?);
                    self.initial.push(constant(&global.init_expr)?);
                }
            }
            Payload::ExportSection(exports) => {
                for export in exports.into_iter_with_offsets() {
                    let (offset, export) = export?;
                    let kind = match export.kind {
                        ExternalKind::Func => Kind::Function(export.index),
                        ExternalKind::Table => Kind::Table(export.index),
                        ExternalKind::Memory => Kind::Memory(export.index),
                        ExternalKind::Global => Kind::Global(export.index),
                        _ => return Err(Error::unsupported("an export of this kind", offset)),
                    };
                    self.exports.push((export.name.to_owned(), kind));
                }
            }
            Payload::StartSection { func, .. } => self.start = Some(func),
            Payload::ElementSection(segments) => {
                for segment in segments {
                    let segment = segment?;
                    let (active, passive) = match segment.kind {
                        ElementKind::Passive => (None, true),
                        ElementKind::Declared => (None, false),
                        ElementKind::Active {
                            table_index,
                            offset_expr,
                        } => {
                            let table = table_index.unwrap_or(0);
                            (Some((table, constant(&offset_expr)?)), false)
                        }
                    };
                    let items = match segment.items {
                        ElementItems::Functions(functions) => functions
                            .into_iter()
                            .map(|function| Ok(Constant::Function(function?)))
                            .collect::<Result<_, Error>>()?,
                        ElementItems::Expressions(_, items) => items
                            .into_iter()
                            .map(|item| constant(&item?))
                            .collect::<Result<_, Error>>()?,
                    };
                    self.elements.push(Elements {
                        active,
                        passive,
                        items,
                    });
                }
            }
            Payload::DataSection(segments) => {
                for segment in segments {
                    let segment = segment?;
                    let active = match segment.kind {
                        DataKind::Passive => None,
                        DataKind::Active { offset_expr, .. } => Some(constant(&offset_expr)?),
                    };
                    self.data.push(Data {
                        active,
                        bytes: segment.data.to_vec(),
                    });
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn import(&mut self, import: wasmparser::Import<'_>, offset: u64) -> Result<(), Error> {
        let kind = match import.ty {
            TypeRef::Func(ty) => {
                let number = self.type_number(ty);
                self.functions.push(number);
                self.imported_functions += 1;
                Kind::Function(self.imported_functions - 1)
            }
            TypeRef::Table(ty) => {
                self.tables.push(table_type(&ty, offset)?);
                self.imported_tables += 1;
                Kind::Table(self.imported_tables - 1)
            }
            TypeRef::Memory(ty) => {
                self.memory = Some(memory_limits(&ty));
                self.imports_memory = true;
                Kind::Memory(0)
            }
            TypeRef::Global(ty) => {
                self.globals.push(global_type(ty, offset)?);
                self.imported_globals += 1;
                Kind::Global(self.imported_globals - 1)
            }
            _ => return Err(Error::unsupported("an import of this kind", offset)),
        };
        self.imports.push(Import {
            module: import.module.to_owned(),
            name: import.name.to_owned(),
            kind,
        });
        Ok(())
    }

    /// Whether elements of tables may be functions of other instances: where none can come in, calls need not ask.
    pub fn may_have_foreign_functions(&self) -> bool {
        let function = |ty: &ValueType| *ty == ValueType::FuncRef;
        let shared = |kind: &Kind| match kind {
            Kind::Table(_) => true,
            Kind::Global(global) => function(&self.globals[*global as usize].content),
            _ => false,
        };
        self.imports.iter().any(|import| shared(&import.kind))
            || self.exports.iter().any(|(_, kind)| shared(kind))
            || self
                .types
                .iter()
                .any(|ty| ty.parameters.iter().chain(&ty.results).any(function))
    }
}

fn value_type(ty: wasmparser::ValType, offset: u64) -> Result<ValueType, Error> {
    ValueType::from_parser(ty)
        .ok_or_else(|| Error::unsupported(format!("values of type {ty}"), offset))
}

fn global_type(ty: wasmparser::GlobalType, offset: u64) -> Result<GlobalType, Error> {
    Ok(GlobalType {
        content: value_type(ty.content_type, offset)?,
        mutable: ty.mutable,
    })
}

fn table_type(ty: &wasmparser::TableType, offset: u64) -> Result<TableType, Error> {
    let element = ValueType::from_reference(ty.element_type)
        .ok_or_else(|| Error::unsupported(format!("tables of {}", ty.element_type), offset))?;
    Ok(TableType {
        element,
        limits: limits(ty.initial, ty.maximum),
    })
}

fn memory_limits(ty: &wasmparser::MemoryType) -> Limits {
    limits(ty.initial, ty.maximum)
}

/// Validation has found them to be 32 bits.
fn limits(least: u64, most: Option<u64>) -> Limits {
    let narrow = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    Limits {
        least: narrow(least),
        most: most.map(narrow),
    }
}

/// A constant expression: one op, as validation without further proposals has found.
fn constant(expression: &ConstExpr<'_>) -> Result<Constant, Error> {
    let mut ops = expression.get_operators_reader();
    let (op, offset) = ops.read_with_offset()?;
    Ok(match op {
        Operator::I32Const { value } => Constant::Bits(u64::from(value as u32)),
        Operator::I64Const { value } => Constant::Bits(value as u64),
        Operator::F32Const { value } => Constant::Bits(u64::from(value.bits())),
        Operator::F64Const { value } => Constant::Bits(value.bits()),
        Operator::RefNull { .. } => Constant::Bits(0),
        Operator::RefFunc { function_index } => Constant::Function(function_index),
        Operator::GlobalGet { global_index } => Constant::Global(global_index),
        _ => {
            return Err(Error::unsupported(
                "this op in a constant expression",
                offset,
            ));
        }
    })
}
