//! A module: validated, and translated to a program.

use crate::abi::Abi;
use crate::declared::{Declared, Kind};
use crate::error::Error;
use crate::hosts::Host;
use crate::scan::{self, Plan};
use crate::translate::Translator;
use crate::types::{FuncType, GlobalType, Limits, TableType};
use patchjit::build::{Builder, Counts};
use patchjit::error::{Error as CoreError, Storage as Which};
use patchjit::ir::{MAX_REGIONS, Program};
use patchjit_memory::records::Records;
use wasmparser::{
    FuncToValidate, FuncValidatorAllocations, FunctionBody, Parser, ValidPayload, Validator,
    ValidatorResources, WasmFeatures,
};

/// The features that are translated: WebAssembly 1.0 and the proposals that 2.0 took in, but for vectors.
const FEATURES: WasmFeatures = WasmFeatures::MUTABLE_GLOBAL
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::REFERENCE_TYPES)
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::FLOATS)
    .union(WasmFeatures::GC_TYPES);

/// How a module is translated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Whether every NaN that arithmetic gives is made the positive quiet one with an empty payload, so that its bits are the same on every
    /// engine and machine.
    pub canonicalize_nans: bool,
}

/// What an import must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportType {
    /// A function.
    Function(FuncType),
    /// A table.
    Table(TableType),
    /// A memory.
    Memory(Limits),
    /// A global.
    Global(GlobalType),
}

/// What a module exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportKind {
    /// A function.
    Function,
    /// A table.
    Table,
    /// A memory.
    Memory,
    /// A global.
    Global,
}

/// A module, translated to a program of the core's.
///
/// Function number n of the module, imports first, is function number n of the program; an import's passes on what it gets. The memory, if there is
/// one, is region 0, and the tables are the regions behind it, of references of 64 bits.
#[derive(Debug)]
pub struct Module {
    pub(crate) declared: Declared,
    pub(crate) records: Records,
    pub(crate) hosts: Vec<Host>,
    /// How values of each type travel.
    pub(crate) abis: Vec<Abi>,
    pub(crate) first_global: u32,
}

impl Module {
    /// Validates and translates a module in the binary format (<https://www.w3.org/TR/wasm-core-2/#binary-format>). Linear in its length, but for a
    /// logarithm.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if it is not valid, [`Error::Unsupported`] if it has features that are not translated, with the offset of the
    /// first one; more than 32 memories and tables together; more locals carried to labels than 2^25; what the core refuses.
    pub fn translate(bytes: &[u8]) -> Result<Module, Error> {
        Module::translate_with(bytes, Options::default())
    }

    /// The same with options.
    ///
    /// # Errors
    ///
    /// Those of [`Module::translate`].
    pub fn translate_with(bytes: &[u8], options: Options) -> Result<Module, Error> {
        let mut validator = Validator::new_with_features(FEATURES);
        let mut declared = Declared::default();
        let mut bodies = Vec::new();
        let mut length = 0;
        let mut parser = Parser::new(0);
        parser.set_features(FEATURES);
        for payload in parser.parse_all(bytes) {
            let payload = payload?;
            match validator.payload(&payload)? {
                ValidPayload::Func(function, body) => {
                    length += body.as_bytes().len();
                    bodies.push((function, body));
                }
                _ => declared.section(payload)?,
            }
        }
        if declared.tables.len() + usize::from(declared.memory.is_some()) > MAX_REGIONS {
            return Err(Error::unsupported("as many tables", 0));
        }
        let types = |types: &[FuncType]| -> usize {
            let count = |ty: &FuncType| ty.parameters.len() + ty.results.len();
            types.iter().map(count).sum()
        };
        let functions = declared.functions.len();
        let kinds = declared.types.len();
        // Enough for most modules; what is not is doubled.
        let mut counts = Counts {
            functions,
            blocks: length / 6 + 2 * functions + 16,
            ops: length + 12 * functions + 64,
            extra: length + 16 * functions + 64,
            exits: length / 64 + 32,
            signatures: 3 * kinds + 16,
            types: 3 * types(&declared.types) + 2 * kinds + 64,
            regions: MAX_REGIONS,
            hosts: 2 * kinds + 16,
            tags: 0,
        };
        let mut records = Records::default();
        let (counts, hosts, first_global) = loop {
            match build(&declared, &bodies, &mut records, &counts, options) {
                Err(Error::Core(CoreError::Full { storage, needed })) => {
                    grow(&mut counts, storage, needed)?;
                }
                result => break result?,
            }
        };
        records.keep(&counts);
        let abis = declared.types.iter().map(Abi::of).collect();
        Ok(Module {
            declared,
            records,
            hosts,
            abis,
            first_global,
        })
    }

    /// The program. It is valid and contained.
    pub fn program(&self) -> Program<'_> {
        let slot_count = self.first_global + self.declared.globals.len() as u32;
        self.records.program(slot_count)
    }

    /// The names of what it exports.
    pub fn exports(&self) -> impl Iterator<Item = (&str, ExportKind)> {
        self.declared.exports.iter().map(|(name, kind)| {
            let kind = match kind {
                Kind::Function(_) => ExportKind::Function,
                Kind::Table(_) => ExportKind::Table,
                Kind::Memory(_) => ExportKind::Memory,
                Kind::Global(_) => ExportKind::Global,
            };
            (name.as_str(), kind)
        })
    }

    /// The module and name of each import, and what it must be.
    pub fn imports(&self) -> impl Iterator<Item = (&str, &str, ImportType)> {
        let declared = &self.declared;
        declared.imports.iter().map(|import| {
            let ty = match import.kind {
                Kind::Function(index) => {
                    ImportType::Function(declared.function_type(index).clone())
                }
                Kind::Table(index) => ImportType::Table(declared.tables[index as usize]),
                Kind::Memory(_) => ImportType::Memory(declared.memory.unwrap_or(Limits {
                    least: 0,
                    most: None,
                })),
                Kind::Global(index) => ImportType::Global(declared.globals[index as usize]),
            };
            (import.module.as_str(), import.name.as_str(), ty)
        })
    }

    /// The type of an exported function.
    pub fn function_type(&self, name: &str) -> Option<&FuncType> {
        self.declared
            .exports
            .iter()
            .find_map(|(export, kind)| match kind {
                Kind::Function(function) if export == name => {
                    Some(self.declared.function_type(*function))
                }
                _ => None,
            })
    }

    /// What each host function of the program does, for listings.
    pub fn host_names(&self) -> Vec<String> {
        self.hosts.iter().map(|host| host.name()).collect()
    }

    /// What each region of the program is, for listings.
    pub fn region_names(&self) -> Vec<String> {
        let memory = self.declared.memory.iter().map(|_| "memory".to_owned());
        let tables = (0..self.declared.tables.len()).map(|table| format!("table{table}"));
        memory.chain(tables).collect()
    }

    /// The names of the functions that have one, by what the module imports and exports; for listings.
    pub fn function_names(&self) -> Vec<String> {
        let mut names = vec![String::new(); self.declared.functions.len()];
        let mut name = |function: u32, text: String| {
            if let Some(name) = names.get_mut(function as usize) {
                *name = text;
            }
        };
        for import in &self.declared.imports {
            if let Kind::Function(function) = import.kind {
                name(function, format!("{}.{}", import.module, import.name));
            }
        }
        for (export, kind) in &self.declared.exports {
            if let Kind::Function(function) = kind {
                name(*function, export.clone());
            }
        }
        names
    }
}

type Body<'b> = (FuncToValidate<ValidatorResources>, FunctionBody<'b>);

/// Builds the program in storage of this size.
fn build(
    declared: &Declared,
    bodies: &[Body<'_>],
    records: &mut Records,
    counts: &Counts,
    options: Options,
) -> Result<(Counts, Vec<Host>, u32), Error> {
    records.make(counts);
    let builder = Builder::new(records.storage());
    let mut translator = Translator::new(declared, builder, options)?;
    for function in 0..declared.imported_functions {
        translator.import(function)?;
    }
    let mut plan = Plan::default();
    let mut allocations = FuncValidatorAllocations::default();
    for (function, (validate, body)) in (declared.imported_functions..).zip(bodies) {
        let validate = FuncToValidate {
            resources: validate.resources.clone(),
            ..*validate
        };
        let mut validator = validate.into_validator(allocations);
        scan::scan(body, &mut validator, &mut plan)?;
        allocations = validator.into_allocations();
        translator.function(function, body, &plan)?;
    }
    let (builder, hosts, first_global) = translator.finish();
    let used = builder.counts();
    builder.finish()?;
    Ok((used, hosts, first_global))
}

/// Makes room for more of what there was too little of.
fn grow(counts: &mut Counts, storage: Which, needed: usize) -> Result<(), Error> {
    let count = match storage {
        Which::Functions => &mut counts.functions,
        Which::Blocks => &mut counts.blocks,
        Which::Ops => &mut counts.ops,
        Which::Extra => &mut counts.extra,
        Which::Exits => &mut counts.exits,
        Which::Signatures => &mut counts.signatures,
        Which::Types => &mut counts.types,
        Which::Hosts => &mut counts.hosts,
        _ => return Err(Error::Core(CoreError::Full { storage, needed })),
    };
    *count = (2 * *count).max(needed);
    Ok(())
}
