//! Linked code in tests: parents, side traces and bridges in one arena, with the table that links them.

use crate::allocation::Checker;
use crate::host_set;
use patchjit::call;
use patchjit::compile::{
    self, Compiled, FunctionCode, Options, compile_linkable_observed, exit_room,
    side_workspace_words,
};
use patchjit::error::Error;
use patchjit::link::{
    Carried, CodeId, CodeRecord, DependencyId, DependencyRecord, Destination, Epochs, ExitSite,
    ExitStorage, Exits, LinkRecord, LinkStorage, Links, LoopHead, Origin, Site, UseRecord, bridge,
    bridge_bytes,
};
use patchjit::runtime::{Context, Status};
use patchjit::verify;
use patchjit_memory::{Arena, Block};
use patchjit_text::Module;
use std::collections::HashMap;
use std::sync::atomic::AtomicU32;

/// Code with the description of its exits.
#[derive(Debug)]
pub struct Piece {
    /// What compilation said.
    pub compiled: Compiled,
    /// Where its functions are.
    pub functions: Vec<FunctionCode>,
    /// Where it runs.
    pub address: u64,
    /// Its bytes as compiled.
    pub bytes: Vec<u8>,
    /// Its name.
    pub id: CodeId,
    sites: Vec<ExitSite>,
    values: Vec<Carried>,
    heads: Vec<LoopHead>,
}

impl Piece {
    /// Its exits.
    pub fn exits(&self) -> Exits<'_> {
        Exits {
            sites: &self.sites,
            values: &self.values,
            heads: &self.heads,
        }
    }

    /// The site of the exit with a number.
    ///
    /// # Panics
    ///
    /// If there is none that can be linked.
    pub fn site(&self, number: u32) -> Site<'_> {
        let index = self.exits().find(number).expect("an exit of this number");
        self.exits()
            .site(index)
            .expect("records that belong together")
    }
}

/// What compilation gives, before it is published.
pub struct Fresh {
    compiled: Compiled,
    functions: Vec<FunctionCode>,
    bytes: Vec<u8>,
    sites: Vec<ExitSite>,
    values: Vec<Carried>,
    heads: Vec<LoopHead>,
}

/// Compiles a program whose exits can be linked, for an exit or for itself, under the eyes of the allocation checker.
///
/// # Errors
///
/// The compiler's.
///
/// # Panics
///
/// If the program does not verify, or the checker finds something.
pub fn compile(
    module: &Module,
    from: Option<Site<'_>>,
    options: Options,
    first_counter: Option<u32>,
) -> Result<Fresh, Error> {
    let program = module.program();
    let mut words = vec![0; verify::workspace_words(&program)];
    let verified = verify::verify(program, &mut words).expect("a valid program");
    let room = exit_room(&verified);
    let mut sites = vec![ExitSite::EMPTY; room.sites];
    let mut values = vec![Carried::EMPTY; room.values];
    let mut heads = vec![LoopHead::EMPTY; room.heads];
    let mut workspace = vec![0xdead_beef; side_workspace_words(&verified)];
    let mut bytes = vec![0; compile::linkable_code_bytes(&verified)];
    let mut functions = vec![FunctionCode::default(); program.functions.len()];
    let mut checker = Checker::new(&program);
    let (compiled, exits) = compile_linkable_observed(
        &verified,
        host_set(),
        &options,
        &mut workspace,
        patchjit::code::CodeBuffer {
            write: &mut bytes,
            execute_at: 0,
        },
        &mut functions,
        from,
        ExitStorage {
            sites: &mut sites,
            values: &mut values,
            heads: &mut heads,
            first_counter,
        },
        &mut checker,
    )?;
    if let Err(what) = checker.check() {
        panic!("allocation: {what}\n{module}");
    }
    let counts = (exits.sites.len(), exits.values.len(), exits.heads.len());
    sites.truncate(counts.0);
    values.truncate(counts.1);
    heads.truncate(counts.2);
    bytes.truncate(compiled.code_length as usize);
    Ok(Fresh {
        compiled,
        functions,
        bytes,
        sites,
        values,
        heads,
    })
}

/// An arena with a table of links, and the blocks of the code in it.
pub struct Workshop {
    /// The executable memory.
    pub arena: Arena,
    /// The table.
    pub links: Links<'static>,
    /// One thread runs code.
    pub epochs: Epochs<'static>,
    blocks: HashMap<u64, Block>,
    next_token: u64,
}

impl Workshop {
    /// Room for ordinary tests.
    ///
    /// # Panics
    ///
    /// If there is no executable memory.
    pub fn new() -> Workshop {
        let arena = crate::rewritable(16 << 20).expect("executable memory");
        let addresses = arena.addresses();
        let storage = LinkStorage {
            codes: vec![CodeRecord::EMPTY; 4096].leak(),
            links: vec![LinkRecord::EMPTY; 4096].leak(),
            dependencies: vec![DependencyRecord::EMPTY; 64].leak(),
            uses: vec![UseRecord::EMPTY; 4096].leak(),
        };
        let length = addresses.end - addresses.start;
        let links = Links::new(storage, addresses.start, length).expect("aligned memory");
        Workshop {
            arena,
            links,
            epochs: Epochs::new(Box::leak(Box::new([AtomicU32::new(0)]))),
            blocks: HashMap::new(),
            next_token: 0,
        }
    }

    /// Publishes code and adds it to the table.
    ///
    /// # Errors
    ///
    /// The table's.
    ///
    /// # Panics
    ///
    /// If the arena is full.
    pub fn add(
        &mut self,
        fresh: Fresh,
        origin: Origin,
        dependencies: &[DependencyId],
    ) -> Result<Piece, Error> {
        let mut block = self.arena.reserve(fresh.bytes.len()).expect("room");
        let mut writing = self.arena.write(&mut block).expect("a view to write");
        writing.buffer().write[..fresh.bytes.len()].copy_from_slice(&fresh.bytes);
        let address = writing.publish(fresh.bytes.len()).expect("published code");
        let token = self.next_token;
        self.next_token += 1;
        let id = self
            .links
            .add(address, &fresh.compiled, origin, dependencies, token)?;
        self.blocks.insert(token, block);
        Ok(Piece {
            compiled: fresh.compiled,
            functions: fresh.functions,
            address,
            bytes: fresh.bytes,
            id,
            sites: fresh.sites,
            values: fresh.values,
            heads: fresh.heads,
        })
    }

    /// Compiles, publishes and adds code that stands for itself.
    ///
    /// # Panics
    ///
    /// If that fails.
    pub fn root(&mut self, module: &Module, options: Options) -> Piece {
        let fresh = compile(module, None, options, None).expect("compiled code");
        self.add(fresh, Origin::Root, &[])
            .expect("room in the table")
    }

    /// The same for a side trace.
    ///
    /// # Panics
    ///
    /// If that fails.
    pub fn side(
        &mut self,
        parent: &Piece,
        number: u32,
        module: &Module,
        options: Options,
    ) -> Piece {
        let fresh = compile(module, Some(parent.site(number)), options, None);
        let fresh = fresh.expect("compiled code");
        self.add(fresh, Origin::Side(parent.id), &[])
            .expect("room in the table")
    }

    /// Writes, publishes and adds a bridge from an exit.
    ///
    /// # Errors
    ///
    /// The core's.
    ///
    /// # Panics
    ///
    /// If the arena is full.
    pub fn bridge(
        &mut self,
        from: &Piece,
        number: u32,
        into: &Piece,
        to: Destination<'_>,
    ) -> Result<Piece, Error> {
        let site = from.site(number);
        // A jump's distance depends on where it is, so it is written where it will run.
        let mut block = self
            .arena
            .reserve(bridge_bytes(&site, &to))
            .expect("room for a bridge");
        let mut writing = self.arena.write(&mut block).expect("a view to write");
        let compiled = bridge(host_set(), &site, to, writing.buffer())?;
        let length = compiled.code_length as usize;
        let bytes = writing.buffer().write[..length].to_vec();
        let address = writing.publish(length).expect("published code");
        let token = self.next_token;
        self.next_token += 1;
        let origin = Origin::Bridge {
            from: from.id,
            into: into.id,
        };
        let id = self.links.add(address, &compiled, origin, &[], token)?;
        self.blocks.insert(token, block);
        Ok(Piece {
            compiled,
            functions: Vec::new(),
            address,
            bytes,
            id,
            sites: Vec::new(),
            values: Vec::new(),
            heads: Vec::new(),
        })
    }

    /// Links an exit.
    ///
    /// # Errors
    ///
    /// The table's.
    ///
    /// # Panics
    ///
    /// If the system refuses.
    pub fn link(&mut self, from: &Piece, number: u32, to: &Piece) -> Result<(), Error> {
        let links = &mut self.links;
        self.arena
            .relink(|span| links.link(span, from.id, &from.site(number), to.id))
            .expect("memory that can be written")
    }

    /// Unlinks an exit.
    ///
    /// # Errors
    ///
    /// The table's.
    ///
    /// # Panics
    ///
    /// If the system refuses.
    pub fn unlink(&mut self, from: &Piece, number: u32) -> Result<bool, Error> {
        let links = &mut self.links;
        self.arena
            .relink(|span| links.unlink(span, from.id, &from.site(number)))
            .expect("memory that can be written")
    }

    /// Frees what nobody can run. Gives how much.
    ///
    /// # Panics
    ///
    /// If a block is not there.
    pub fn reclaim(&mut self) -> usize {
        let mut count = 0;
        while let Some(gone) = self.links.reclaim(&self.epochs) {
            let block = self
                .blocks
                .remove(&gone.token)
                .expect("a block for each code");
            assert_eq!(block.address(), gone.address);
            self.arena.release(block).expect("a block of the arena");
            count += 1;
        }
        count
    }
}

impl Default for Workshop {
    fn default() -> Workshop {
        Workshop::new()
    }
}

/// Runs the first function of some code, with these arguments and room for so many results.
///
/// # Safety
///
/// As [`call::enter`].
pub unsafe fn run(piece: &Piece, context: &mut Context, arguments: &[u64]) -> (Status, u64) {
    let mut values = arguments.to_vec();
    values.resize(arguments.len().max(4), 0);
    let entry = piece.address + u64::from(piece.functions[0].entry);
    // SAFETY: the caller's promise.
    let status = unsafe { call::enter(entry, &raw mut *context, values.as_mut_ptr()) };
    (status, values[0])
}
