//! Blocks of a function: their order, which registers live into them, which definitions reach them, and where pointers lead.
//!
//! Takes a checked program; promises, for each block that is reached, its place in an order in which what dominates a block stands
//! before it, the registers for which it needs parameters, and the kind of value in each. Work lists throughout: each block
//! is looked at again only when what comes into it changes, which happens a bounded number of times, so the time is linear.
//!
//! ```text
//!   live    backward: registers that some way from the block on reads before it writes them
//!   sites   forward: the one definition that reaches the block, or a parameter where there are several
//!   kinds   forward: number, pointer into region k, or anything
//! ```

use crate::Mark;
use crate::instruction::{
    ARGUMENTS, Class, Code, Effects, FRAME_POINTER, Instruction, arithmetic, atomic, call, jump,
    mode,
};
use crate::machine::{Kind, Machine};

/// How many registers have definitions: r0 to r9.
pub(crate) const NAMED: usize = FRAME_POINTER as usize;

/// Nothing, or no block.
pub(crate) const NONE: u32 = u32::MAX;

/// One block of the program that is being translated.
#[derive(Clone, Copy, Debug, Default)]
pub struct Block {
    /// Its first instruction, and the one behind its last.
    pub(crate) first: u32,
    pub(crate) end: u32,
    /// Where it goes: the target of its jump, then what stands behind it.
    pub(crate) successors: [u32; 2],
    /// The first edge that comes to it, and for each edge out of it the next that goes to the same block. An edge is twice the
    /// block's index, and 1 for the second.
    first_edge: u32,
    next_edge: [u32; 2],
    /// How many edges come to it from blocks that are reached, the function's entry included.
    pub(crate) predecessors: u32,
    /// Registers that are read before they are written; that are written; that live into it.
    reads: u16,
    writes: u16,
    pub(crate) live: u16,
    /// The definitions that reach it.
    pub(crate) sites: [Site; NAMED],
    /// The kinds of what they define.
    pub(crate) kinds: Kinds,
    /// The next block of the work list, or of the order; whether it is in the list.
    next: u32,
    is_listed: bool,
    /// How often it was come to, as far as the pass at hand wants to know.
    visits: u8,
    /// Whether any way from the function's entry leads to it.
    pub(crate) is_reached: bool,
    /// The block of the program that is built, and the first of its parameters.
    pub(crate) built: u32,
    pub(crate) first_parameter: u32,
    /// The function that begins here, if one does.
    pub(crate) function: u32,
}

/// Where a value comes from: in one number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Site(u32);

impl Site {
    /// Not known yet.
    const UNVISITED: Site = Site(0);
    /// The constant 0.
    const ZERO: Site = Site(1);
    const FIRST_ARGUMENT: u32 = 2;
    const FIRST_INSTRUCTION: u32 = 8;
    const PARAMETER: u32 = 1 << 31;

    fn argument(number: u32) -> Site {
        Site(Site::FIRST_ARGUMENT + number)
    }

    fn instruction(at: u32) -> Site {
        Site(Site::FIRST_INSTRUCTION + at)
    }

    fn parameter(block: u32) -> Site {
        Site(Site::PARAMETER | block)
    }

    /// What it is.
    pub(crate) fn definition(self) -> Definition {
        match self.0 {
            0 | 1 => Definition::Zero,
            site if site & Site::PARAMETER != 0 => Definition::Parameter(site & !Site::PARAMETER),
            site if site >= Site::FIRST_INSTRUCTION => {
                Definition::Instruction(site - Site::FIRST_INSTRUCTION)
            }
            site => Definition::Argument(site - Site::FIRST_ARGUMENT),
        }
    }
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Definition {
    /// It was never written.
    Zero,
    /// An argument of the function: 0 for r1.
    Argument(u32),
    /// The instruction at this index.
    Instruction(u32),
    /// A parameter of this block.
    Parameter(u32),
}

/// The kinds of ten values, four bits each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kinds(u64);

impl Kinds {
    const UNVISITED: u64 = 0;
    const NUMBER: u64 = 1;
    const FIRST_POINTER: u64 = 2;
    const ANYTHING: u64 = 15;

    fn code(self, register: u8) -> u64 {
        self.0 >> (4 * register) & 15
    }

    fn set_code(&mut self, register: u8, code: u64) {
        if register < FRAME_POINTER {
            self.0 = self.0 & !(15 << (4 * register)) | code << (4 * register);
        }
    }

    /// The region that a register points into, if that is known.
    pub(crate) fn region(self, register: u8) -> Option<u8> {
        match self.code(register) {
            code @ Kinds::FIRST_POINTER..Kinds::ANYTHING => {
                Some((code - Kinds::FIRST_POINTER) as u8)
            }
            _ => None,
        }
    }

    fn of(kind: Kind) -> u64 {
        match kind {
            Kind::Unknown => Kinds::ANYTHING,
            Kind::Pointer(region) => Kinds::FIRST_POINTER + u64::from(region),
        }
    }

    /// Of either of two.
    fn join(a: u64, b: u64) -> u64 {
        match (a, b) {
            (Kinds::UNVISITED, other) | (other, Kinds::UNVISITED) => other,
            (a, b) if a == b => a,
            _ => Kinds::ANYTHING,
        }
    }

    /// Those behind an instruction.
    pub(crate) fn pass(&mut self, instruction: Instruction, machine: &Machine) {
        let Instruction {
            destination,
            source,
            ..
        } = instruction;
        let kind_of = |register: u8| match register {
            FRAME_POINTER => Kinds::of(Kind::Pointer(machine.stack)),
            register => self.code(register),
        };
        match instruction.class() {
            Class::Load if instruction.is_wide() => {
                let kind = match instruction.region() {
                    Some(region) => Kind::Pointer(region),
                    None => Kind::Unknown,
                };
                self.set_code(destination, Kinds::of(kind));
            }
            Class::Load => self.lose_arguments(Kinds::NUMBER),
            Class::LoadRegister => {
                let code = loaded(instruction, kind_of(source), machine);
                self.set_code(destination, code);
            }
            Class::StoreImmediate => {}
            Class::Store => {
                if instruction.mode() == mode::ATOMIC {
                    match instruction.immediate {
                        atomic::COMPARE_EXCHANGE => self.set_code(0, Kinds::ANYTHING),
                        action if action & atomic::FETCH != 0 => {
                            self.set_code(source, Kinds::ANYTHING)
                        }
                        _ => {}
                    }
                }
            }
            Class::Arithmetic32 => {
                // Pointers fit into 32 bits.
                let keeps = instruction.code() == arithmetic::MOVE
                    && instruction.has_source()
                    && instruction.offset == 0;
                let code = if keeps {
                    kind_of(source)
                } else {
                    Kinds::NUMBER
                };
                self.set_code(destination, code);
            }
            Class::Arithmetic64 => {
                let (a, b) = match instruction.has_source() {
                    true => (kind_of(destination), kind_of(source)),
                    false => (kind_of(destination), Kinds::NUMBER),
                };
                let is_pointer = |code| code >= Kinds::FIRST_POINTER;
                let code = match instruction.code() {
                    arithmetic::MOVE if instruction.offset == 0 => b,
                    arithmetic::ADD if !is_pointer(b) => a,
                    arithmetic::ADD if !is_pointer(a) => b,
                    arithmetic::ADD => Kinds::ANYTHING,
                    arithmetic::SUB if !is_pointer(b) => a,
                    // To align one; a pointer's upper bits stay.
                    arithmetic::AND if !instruction.has_source() && instruction.immediate < 0 => a,
                    _ => Kinds::NUMBER,
                };
                self.set_code(destination, code);
            }
            Class::Jump if instruction.code() == jump::CALL => {
                let result = match instruction.source {
                    call::LOCAL => Kind::Unknown,
                    _ => machine
                        .helper(instruction.immediate)
                        .map_or(Kind::Unknown, |(_, helper)| helper.result),
                };
                self.lose_arguments(Kinds::of(result));
            }
            Class::Jump | Class::Jump32 => {}
        }
    }

    fn lose_arguments(&mut self, result: u64) {
        self.set_code(0, result);
        for register in 1..=5 {
            self.set_code(register, Kinds::NUMBER);
        }
    }
}

/// The kind of what a load gives, from memory of this kind.
fn loaded(instruction: Instruction, from: u64, machine: &Machine) -> u64 {
    if instruction.mode() != mode::MEMORY || instruction.width() < 4 {
        return Kinds::NUMBER;
    }
    // Fields are found by their offset from the region's begin, which is where arguments point: a pointer that was moved
    // reads another field, and what is believed of it is wrong, and traps.
    let mut fields = machine.fields.iter();
    let field = fields.find(|field| {
        Kinds::of(Kind::Pointer(field.region)) == from
            && i64::from(field.offset) == i64::from(instruction.offset)
            && field.width == instruction.width()
    });
    field.map_or(Kinds::ANYTHING, |field| Kinds::of(Kind::Pointer(field.to)))
}

/// The blocks of the program, and what flows through those of the function at hand.
pub(crate) struct Flow<'f, 'c> {
    pub code: Code<'c>,
    pub machine: &'f Machine<'f>,
    /// All blocks of the program, in the order of the code.
    pub blocks: &'f mut [Block],
    /// The last block of the work list.
    list: u32,
}

/// Cuts the program into blocks, and numbers its functions from 1 on in the order of the code.
pub(crate) fn cut<'f, 'c>(
    code: Code<'c>,
    machine: &'f Machine<'f>,
    marks: &mut [Mark],
    blocks: &'f mut [Block],
) -> Flow<'f, 'c> {
    let (mut count, mut functions) = (0, 0);
    let mut before: Option<&mut Block> = None;
    let begins = (0..)
        .zip(marks.iter_mut())
        .filter(|(_, mark)| mark.begins_block());
    for ((at, mark), block) in begins.zip(blocks.iter_mut()) {
        mark.block = count;
        count += 1;
        if let Some(before) = before {
            before.end = at;
        }
        functions += u32::from(mark.begins_function());
        *block = Block {
            first: at,
            end: code.len(),
            successors: [NONE; 2],
            first_edge: NONE,
            next_edge: [NONE; 2],
            next: NONE,
            function: if mark.begins_function() {
                functions
            } else {
                NONE
            },
            ..Block::default()
        };
        before = Some(block);
    }
    let blocks = blocks.get_mut(..count as usize).unwrap_or_default();
    let mut flow = Flow {
        code,
        machine,
        blocks,
        list: NONE,
    };
    for block in 0..count {
        flow.connect(block, marks);
    }
    flow
}

impl<'c> Flow<'_, 'c> {
    fn effects(&self, instruction: Instruction) -> Effects {
        let arguments = |number| match self.machine.helper(number) {
            Some((_, helper)) => helper.arguments,
            None => 5,
        };
        instruction.effects(arguments)
    }

    /// The instructions of a block with their indices.
    pub fn instructions(&self, block: u32) -> impl Iterator<Item = (u32, Instruction)> + use<'c> {
        let Block { first, end, .. } = self.blocks[block as usize];
        instructions(self.code, first, end)
    }

    /// What the block reads and writes, and where it goes.
    fn connect(&mut self, block: u32, marks: &[Mark]) {
        let (mut reads, mut writes) = (0, 0);
        let mut last = None;
        for (at, instruction) in self.instructions(block) {
            let effects = self.effects(instruction);
            reads |= effects.reads & !writes;
            writes |= effects.writes;
            last = Some((at, instruction));
        }
        let mut successors = [NONE; 2];
        if let Some((at, instruction)) = last {
            let next = at + instruction.length();
            let block_at = |at: i64| {
                let mark = usize::try_from(at).ok().and_then(|at| marks.get(at));
                mark.map_or(NONE, |mark| mark.block)
            };
            let jumps = matches!(instruction.class(), Class::Jump | Class::Jump32);
            let target = i64::from(next) + instruction.distance();
            successors = match instruction.code() {
                jump::EXIT if jumps => [NONE, NONE],
                jump::ALWAYS if jumps => [block_at(target), NONE],
                code if jumps && code != jump::CALL => [block_at(target), block_at(next.into())],
                _ => [NONE, block_at(next.into())],
            };
        }
        let record = &mut self.blocks[block as usize];
        (record.reads, record.writes, record.live) = (reads, writes, reads);
        record.successors = successors;
        for (number, successor) in (0..).zip(successors) {
            if successor != NONE {
                let edge = 2 * block + number;
                let target = &mut self.blocks[successor as usize].first_edge;
                let next = core::mem::replace(target, edge);
                self.blocks[block as usize].next_edge[number as usize] = next;
            }
        }
    }

    fn push(&mut self, block: u32) {
        let record = &mut self.blocks[block as usize];
        if !record.is_listed {
            record.is_listed = true;
            record.next = core::mem::replace(&mut self.list, block);
        }
    }

    fn pop(&mut self) -> Option<u32> {
        let block = self.list;
        let record = self.blocks.get_mut(block as usize)?;
        record.is_listed = false;
        self.list = record.next;
        Some(block)
    }

    /// Looks at the function whose blocks begin here. Gives the block that comes first in its order; [`Flow::next_in_order`] gives
    /// the others.
    pub fn analyse(&mut self, first_block: u32, is_entry: bool) -> u32 {
        let behind = &self.blocks[first_block as usize + 1..];
        let end = match behind.iter().position(|block| block.function != NONE) {
            Some(count) => first_block + 1 + count as u32,
            None => self.blocks.len() as u32,
        };
        for record in &mut self.blocks[first_block as usize..end as usize] {
            record.sites = [Site::UNVISITED; NAMED];
            record.kinds = Kinds::default();
            (record.is_reached, record.predecessors, record.visits) = (false, 0, 0);
        }
        self.find_reached(first_block);
        self.find_live(first_block, end);
        self.find_definitions(first_block, is_entry);
        self.find_order(first_block, end)
    }

    /// Which blocks are reached, and by how many edges.
    fn find_reached(&mut self, first: u32) {
        self.blocks[first as usize].is_reached = true;
        self.blocks[first as usize].predecessors = 1;
        self.push(first);
        while let Some(block) = self.pop() {
            for successor in self.blocks[block as usize].successors {
                if let Some(record) = self.blocks.get_mut(successor as usize) {
                    record.predecessors += 1;
                    if !core::mem::replace(&mut record.is_reached, true) {
                        self.push(successor);
                    }
                }
            }
        }
    }

    fn find_live(&mut self, first: u32, end: u32) {
        for block in first..end {
            self.push(block);
        }
        while let Some(block) = self.pop() {
            let record = &self.blocks[block as usize];
            let mut edge = record.first_edge;
            let live = record.live;
            while edge != NONE {
                let before = &mut self.blocks[(edge / 2) as usize];
                let needed = live & !before.writes;
                let changed = needed & !before.live != 0;
                before.live |= needed;
                let next = before.next_edge[(edge & 1) as usize];
                if changed {
                    self.push(edge / 2);
                }
                edge = next;
            }
        }
    }

    /// Registers that some successor of a block needs.
    pub fn live_out(&self, block: u32) -> u16 {
        let successors = self.blocks[block as usize].successors;
        let live = |block: u32| {
            self.blocks
                .get(block as usize)
                .map_or(0, |block| block.live)
        };
        live(successors[0]) | live(successors[1])
    }

    fn find_definitions(&mut self, first: u32, is_entry: bool) {
        let mut sites = [Site::ZERO; NAMED];
        let mut kinds = Kinds::default();
        for register in 0..FRAME_POINTER {
            kinds.set_code(register, Kinds::NUMBER);
        }
        for number in 0..5 {
            let register = number as u8 + 1;
            sites[usize::from(register)] = Site::argument(number);
            let kind = match is_entry {
                true => self.machine.arguments[number as usize],
                false => Kind::Unknown,
            };
            kinds.set_code(register, Kinds::of(kind));
        }
        self.merge(first, &sites, kinds);
        while let Some(block) = self.pop() {
            let record = &self.blocks[block as usize];
            let (mut sites, mut kinds) = (record.sites, record.kinds);
            let successors = record.successors;
            for (at, instruction) in self.instructions(block) {
                kinds.pass(instruction, self.machine);
                let writes = self.effects(instruction).writes;
                for (register, site) in (0..).zip(&mut sites) {
                    if writes >> register & 1 != 0 {
                        *site = Site::instruction(at);
                    }
                }
                // A call and a packet's load leave nothing in the registers of arguments.
                if writes & ARGUMENTS == ARGUMENTS {
                    sites[1..=5].fill(Site::ZERO);
                }
            }
            for successor in successors {
                if successor != NONE {
                    self.merge(successor, &sites, kinds);
                }
            }
        }
    }

    /// Lets definitions come into a block.
    fn merge(&mut self, block: u32, sites: &[Site; NAMED], kinds: Kinds) {
        let record = &mut self.blocks[block as usize];
        let alone = record.predecessors == 1;
        let mut changed = false;
        let pairs = record.sites.iter_mut().zip(sites);
        for (register, (old, &new)) in (0..FRAME_POINTER).zip(pairs) {
            if record.live >> register & 1 == 0 {
                continue;
            }
            let site = if alone || *old == Site::UNVISITED || *old == new {
                new
            } else {
                Site::parameter(block)
            };
            let (old_kind, new_kind) = (record.kinds.code(register), kinds.code(register));
            let kind = if alone {
                new_kind
            } else {
                Kinds::join(old_kind, new_kind)
            };
            changed |= site != *old || kind != old_kind;
            *old = site;
            record.kinds.set_code(register, kind);
        }
        // A block into which nothing lives is looked at once.
        if changed || record.visits == 0 {
            record.visits = 1;
            self.push(block);
        }
    }

    /// Links the blocks that are reached in an order in which every block stands behind what dominates it: that of the code, if
    /// each but the first has a predecessor before it; else a reverse postorder.
    fn find_order(&mut self, first: u32, end: u32) -> u32 {
        let is_ordered = (first + 1..end).all(|block| {
            let record = &self.blocks[block as usize];
            let mut edge = record.first_edge;
            let mut found = !record.is_reached;
            while edge != NONE && !found {
                let before = &self.blocks[(edge / 2) as usize];
                found = edge / 2 < block && before.is_reached;
                edge = before.next_edge[(edge & 1) as usize];
            }
            found
        });
        let mut next = NONE;
        if is_ordered {
            for block in (first..end).rev() {
                let record = &mut self.blocks[block as usize];
                if record.is_reached {
                    record.next = core::mem::replace(&mut next, block);
                }
            }
            return first;
        }
        // Depth first; the way back stands in `next` until a block is finished, and `visits` is 1 more than the successors that
        // were gone to.
        for record in &mut self.blocks[first as usize..end as usize] {
            record.visits = 0;
        }
        let mut block = first;
        self.blocks[first as usize].visits = 1;
        loop {
            let record = &mut self.blocks[block as usize];
            if let Some(&successor) = record.successors.get(usize::from(record.visits) - 1) {
                record.visits += 1;
                if let Some(after) = self.blocks.get_mut(successor as usize)
                    && after.visits == 0
                {
                    (after.visits, after.next) = (1, block);
                    block = successor;
                }
                continue;
            }
            let way_back = record.next;
            record.next = core::mem::replace(&mut next, block);
            if block == first {
                return first;
            }
            block = way_back;
        }
    }

    /// The registers for which a block needs parameters: those which several definitions reach.
    pub fn parameters(&self, block: u32) -> u16 {
        let sites = self.blocks[block as usize].sites.iter();
        let own = Site::parameter(block);
        (0..).zip(sites).fold(0, |mask, (register, site)| {
            mask | u16::from(*site == own) << register
        })
    }

    /// The block that comes next in the order.
    pub fn next_in_order(&self, block: u32) -> u32 {
        self.blocks[block as usize].next
    }
}

/// The instructions from an index to another, with their indices.
fn instructions<'c>(
    code: Code<'c>,
    mut at: u32,
    end: u32,
) -> impl Iterator<Item = (u32, Instruction)> + use<'c> {
    core::iter::from_fn(move || {
        let here = at;
        let instruction = code.get(here).filter(|_| here < end)?;
        at += instruction.length();
        Some((here, instruction))
    })
}
