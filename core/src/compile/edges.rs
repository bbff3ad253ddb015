//! Where values are when a block begins, and the moves that make every edge to it agree.
//!
//! The first edge that reaches a block settles its *entry map*: which values its registers hold. Values that are
//! alive there and not in the map are in their spill slots, or can be made again. Every later edge moves its values to
//! where the map wants them. At a loop's head the first edge also decides what is worth a register in the loop,
//! and brings constants in that the loop uses.
//!
//! ```text
//!   plan:  what each register of the target shall hold  (nothing is emitted, the state stays)
//!   emit:  stores to slots ── copies between registers, cycles broken through a scratch register ── loads, constants
//! ```
//!
//! Costs time linear in the registers and the edge's arguments.

use super::allocate::{FLOATS, INTS, Register, Registers, each, only};
use super::workspace::{
    BLOCK_FLAGS, BLOCK_LABEL, BLOCK_LANDS, BLOCK_LOOP, BLOCK_MEMORY, BLOCK_OCCUPIED,
    BLOCK_POSITION, BLOCK_PREDECESSORS, BLOCK_REACHED, BLOCK_START, BLOCK_TESTS, BLOCK_VALID, END,
    LOCATION, LOOP_CALLS, LOOP_CALLS_HOST, LOOP_CALLS_PROGRAM, LOOP_CONSTANTS, LOOP_CROWDED,
    LOOP_CROWDED_FLOATS, LOOP_CROWDED_INTS, LOOP_END_POSITION, LOOP_HEAD, LOOP_START_POSITION,
    NEXT_USE, NO_REGISTER, PARAMETER_REGISTER, START, map_index,
};
use super::{Event, FunctionCompiler, Location, Observer};
use crate::error::Part;
use crate::ir::{Edge, NONE};
use crate::patch::{Fault, Holes, Label, internal};
use crate::stencil::Machine;

/// What an edge must do before it arrives.
pub(super) struct Plan {
    /// Registers that must get a value which they do not hold.
    targets: u64,
    /// The value for each of them: an argument of the edge or of a call, or a value that lives through.
    pub source: [u32; 64],
    /// Registers whose value must be in its spill slot on arrival and is not.
    stores: u64,
    /// Whether some parameter is in its spill slot.
    memory: bool,
    /// Whether the edge is charged fuel.
    charge: bool,
}

/// An entry map while it is being settled.
struct Map {
    block: u32,
    /// The plan of the edge that settles it.
    plan: usize,
    occupied: u64,
    valid: u64,
    /// Of a loop's head: the banks in which the loop has more values alive at once than there are registers.
    crowded: u64,
}

impl Plan {
    pub(super) const EMPTY: Plan = Plan {
        targets: 0,
        source: [0; 64],
        stores: 0,
        memory: false,
        charge: false,
    };

    /// Whether the edge needs code of its own.
    pub(super) fn is_empty(&self) -> bool {
        self.targets == 0 && self.stores == 0 && !self.memory && !self.charge
    }
}

impl<O: Observer> FunctionCompiler<'_, '_, O> {
    /// Plans an edge out of the block at hand; settles the target's entry map if this is the first to reach it.
    ///
    /// The plan stands in [`Tables::plans`](super::Tables) under a number, 0 or 1, until the edge is finished.
    pub(super) fn plan(&mut self, edge: Edge, number: usize) -> Result<(), Fault> {
        let target = edge.block - self.first_block;
        let plan = &mut self.tables.plans[number & 1];
        plan.targets = 0;
        plan.stores = 0;
        plan.memory = false;
        plan.charge = self.fuel && target <= self.block;
        let record = &self.workspace.blocks[target as usize];
        if record[BLOCK_FLAGS] & BLOCK_REACHED == 0 {
            if record[BLOCK_PREDECESSORS] == 1
                && record[BLOCK_POSITION] == self.position_in_order + 1
                && edge.arguments.is_empty()
            {
                // Nobody else comes here: the walk goes on with what it has.
                self.workspace.blocks[target as usize][BLOCK_FLAGS] |= BLOCK_REACHED;
                self.continues = true;
                return Ok(());
            }
            self.settle(target, edge, number)
        } else {
            self.conform(target, edge, number)
        }
    }

    /// Plans an edge to a block whose entry map is settled.
    fn conform(&mut self, target: u32, edge: Edge, number: usize) -> Result<(), Fault> {
        let first = self.program.blocks[edge.block as usize].first_op - self.first_op;
        let count = edge.arguments.len() as u32;
        let record = &self.workspace.blocks[target as usize];
        let starts = 2 * record[BLOCK_START];
        let is_done = record[BLOCK_POSITION] <= self.position_in_order;
        let mut occupied = pair(record, BLOCK_OCCUPIED);
        let mut valid = pair(record, BLOCK_VALID);
        let (mut targets, mut stores) = (0, 0);
        // Registers whose value the map wants where it is.
        let mut stays = 0;
        for register in each(occupied) {
            let value = record[map_index(register)];
            let parameter = value.wrapping_sub(first);
            let wanted = match edge.arguments.get(parameter as usize) {
                Some(argument) => argument - self.first_op,
                None if self.is_nowhere(value) => {
                    // Its interval spans the block, but there is a way to the block on which it is not defined: so it
                    // is not alive there, and whatever is in the register will do.
                    occupied &= !only(register);
                    continue;
                }
                None => value,
            };
            if self.register_of(wanted) != register {
                targets |= only(register);
                self.tables.plans[number & 1].source[register as usize] = wanted;
            } else if wanted == value {
                stays |= only(register);
            }
            if parameter >= count && valid & only(register) != 0 && !self.is_safe(value) {
                // The block counted on the spill slot; if it is not compiled yet, it need not.
                if is_done {
                    stores |= only(self.register_of(value));
                } else {
                    valid &= !only(register);
                }
            }
        }
        for register in each(self.registers.occupied & !self.registers.valid & !stays) {
            let value = self.tables.value[register as usize];
            if self.word(value, START) < starts
                && self.word(value, END) >= starts
                && !self.map_holds(record, occupied, value)
            {
                stores |= only(register);
            }
        }
        let memory = record[BLOCK_FLAGS] & BLOCK_MEMORY != 0;
        let settled = &mut self.workspace.blocks[target as usize];
        set_pair(settled, BLOCK_VALID, valid);
        if !is_done {
            set_pair(settled, BLOCK_OCCUPIED, occupied);
        }
        let plan = &mut self.tables.plans[number & 1];
        plan.targets = targets;
        plan.stores = stores;
        plan.memory = memory;
        Ok(())
    }

    /// Whether a parameter of a block whose entry map is settled is used at all and lives in its spill slot.
    fn is_in_memory(&self, parameter: u32) -> bool {
        self.word(parameter, PARAMETER_REGISTER) == NO_REGISTER
    }

    /// Whether a value is in no register and no spill slot, and is not made again either.
    fn is_nowhere(&self, value: u32) -> bool {
        self.word(value, LOCATION) == NO_REGISTER && !self.is_rematerialized(value)
    }

    fn map_holds(&self, record: &[u32], occupied: u64, value: u32) -> bool {
        // Mostly the value is where it was.
        let register = self.register_of(value);
        if register != NO_REGISTER
            && occupied & only(register) != 0
            && record[map_index(register)] == value
        {
            return true;
        }
        each(occupied & self.bank(value)).any(|register| record[map_index(register)] == value)
    }

    /// Settles a block's entry map by what the first edge to it brings.
    fn settle(&mut self, target: u32, edge: Edge, number: usize) -> Result<(), Fault> {
        let first = self.program.blocks[edge.block as usize].first_op - self.first_op;
        let record = &self.workspace.blocks[target as usize];
        let starts = 2 * record[BLOCK_START];
        let head = self.loop_headed_by(record);
        let mut map = Map {
            block: target,
            plan: number & 1,
            occupied: 0,
            valid: 0,
            crowded: head.map_or(0, |head| self.crowded_banks(head)),
        };
        let entry = &mut self.workspace.blocks[target as usize];
        for register in each(self.registers.occupied) {
            let value = self.tables.value[register as usize];
            if self.workspace.values[value as usize][END] >= starts {
                map.occupied |= only(register);
                entry[map_index(register)] = value;
            }
        }
        map.valid = self.registers.valid & map.occupied;
        if let Some(head) = head {
            self.make_room(head, &mut map);
        }
        let preferred = head.map_or(self.preferred, |head| self.preference(head));
        for (parameter, &argument) in (first..).zip(edge.arguments) {
            self.place_parameter(parameter, argument - self.first_op, preferred, &mut map)?;
        }
        if let Some(head) = head {
            self.hold_slots(head, first, edge)?;
            self.bring_constants(head, &mut map);
        }
        let record = &mut self.workspace.blocks[target as usize];
        record[BLOCK_FLAGS] |= BLOCK_REACHED;
        if self.tables.plans[map.plan].memory {
            record[BLOCK_FLAGS] |= BLOCK_MEMORY;
        }
        set_pair(record, BLOCK_OCCUPIED, map.occupied);
        set_pair(record, BLOCK_VALID, map.valid);
        Ok(())
    }

    /// Takes out of a loop's entry map what is not worth a register in the loop.
    fn make_room(&mut self, head: usize, map: &mut Map) {
        if map.crowded != 0 || self.calls_program(head) {
            self.need_next_uses();
        }
        let calls = self.workspace.loops[head][LOOP_CALLS] != 0;
        let mut stores = 0;
        for register in each(map.occupied) {
            let value = self.tables.value[register as usize];
            let stays = self.is_worth_a_register(head, map.crowded, value);
            if !stays {
                map.occupied &= !only(register);
            }
            // Something in the loop will want it stored, a call or what needs its register: once, before the loop.
            if !stays || calls || map.crowded & only(register) != 0 {
                stores |= only(register) & !map.valid;
            }
        }
        map.valid = (map.valid | stores) & map.occupied;
        self.tables.plans[map.plan].stores = stores;
    }

    /// Keeps the spill slots of a loop's parameters taken up to the loop's end, however early a parameter dies: edges write
    /// them up to there.
    fn hold_slots(&mut self, head: usize, first: u32, edge: Edge) -> Result<(), Fault> {
        let end = self.workspace.loops[head][LOOP_END_POSITION];
        for (parameter, _) in (first..).zip(edge.arguments) {
            if self.is_in_memory(parameter) {
                let slot = self.slot_of(parameter)?;
                if let Some(owned) = self.workspace.slots.get_mut(slot as usize) {
                    *owned = end.max(*owned);
                }
            }
        }
        Ok(())
    }

    /// Notes that a register holds a value at the entry of the block whose map is being settled.
    fn put_in_map(&mut self, map: &mut Map, register: Register, value: u32) {
        map.occupied |= only(register);
        self.workspace.blocks[map.block as usize][map_index(register)] = value;
    }

    /// Notes that the edge must bring a value into a register.
    fn want(&mut self, map: &Map, register: Register, value: u32) {
        let plan = &mut self.tables.plans[map.plan];
        plan.targets |= only(register);
        plan.source[register as usize] = value;
    }

    /// The loop whose head a block is.
    fn loop_headed_by(&self, record: &[u32]) -> Option<usize> {
        let innermost = record[BLOCK_LOOP];
        (innermost != NONE
            && self.workspace.loops[innermost as usize][LOOP_HEAD] == record[BLOCK_POSITION])
            .then_some(innermost as usize)
    }

    /// Which registers suit a loop: those that host functions keep, if it calls any.
    pub(super) fn preference(&self, index: usize) -> u64 {
        if self.workspace.loops[index][LOOP_CALLS] & LOOP_CALLS_HOST != 0 {
            self.preserved | FLOATS
        } else {
            !self.preserved
        }
    }

    /// The banks in which a loop has more values alive at once than there are registers.
    fn crowded_banks(&self, head: usize) -> u64 {
        let crowded = self.workspace.loops[head][LOOP_CROWDED];
        let bank = |bit, bank| if crowded & bit != 0 { bank } else { 0 };
        bank(LOOP_CROWDED_INTS, INTS) | bank(LOOP_CROWDED_FLOATS, FLOATS)
    }

    /// Whether a value that lives through a loop's head should be in a register there.
    fn is_worth_a_register(&self, head: usize, crowded: u64, value: u32) -> bool {
        let next = self.word(value, NEXT_USE);
        let record = &self.workspace.loops[head];
        let starts = record[LOOP_START_POSITION];
        let used = next >= starts && next < record[LOOP_END_POSITION];
        // A next use that is not known counts as a use, unless the value is for free.
        let unknown = next < starts;
        let has_room = !self.calls_program(head) && crowded & self.bank(value) == 0;
        used || (unknown || has_room) && !self.is_rematerialized(value)
    }

    /// Whether functions of the program are called in a loop, which keep no registers.
    fn calls_program(&self, head: usize) -> bool {
        self.workspace.loops[head][LOOP_CALLS] & LOOP_CALLS_PROGRAM != 0
    }

    /// Decides where a parameter lives at its block's entry.
    fn place_parameter(
        &mut self,
        parameter: u32,
        argument: u32,
        preferred: u64,
        map: &mut Map,
    ) -> Result<(), Fault> {
        if self.word(parameter, END) == self.word(parameter, START) {
            // Never used.
            self.workspace.values[parameter as usize][PARAMETER_REGISTER] = NONE;
            return Ok(());
        }
        let bank = self.bank(parameter);
        let current = self.register_of(argument);
        let open = self.allocatable & bank & !map.occupied;
        let suits = |register: Register| open & only(register) != 0;
        let unused = open & !self.registers.occupied;
        let register = if current != NO_REGISTER
            && suits(current)
            && (preferred & only(current) != 0 || open & preferred == 0)
        {
            current
        } else if let Some(hint) = self.hinted_register(parameter).filter(|&hint| suits(hint)) {
            hint
        } else {
            let sets = [unused & preferred, unused, open & preferred, open];
            match sets.into_iter().find(|&set| set != 0) {
                Some(set) => self.choose(set),
                None => {
                    self.workspace.values[parameter as usize][PARAMETER_REGISTER] = NO_REGISTER;
                    self.slot_of(parameter)?;
                    self.tables.plans[map.plan].memory = true;
                    return Ok(());
                }
            }
        };
        self.put_in_map(map, register, parameter);
        self.workspace.values[parameter as usize][PARAMETER_REGISTER] = register;
        if register != current {
            self.want(map, register, argument);
        }
        Ok(())
    }

    /// Loads what a loop uses and what can be made again into registers before the loop, while there are enough.
    fn bring_constants(&mut self, head: usize, map: &mut Map) {
        // What a call in the loop would take out of its register again is made where it is used.
        let mut lost = if self.calls_program(head) {
            INTS | FLOATS
        } else if self.workspace.loops[head][LOOP_CALLS] & LOOP_CALLS_HOST != 0 {
            !self.preserved
        } else {
            0
        };
        lost &= self.allocatable;
        for number in 0..super::workspace::LOOP_CONSTANT_COUNT {
            let value = self.workspace.loops[head][LOOP_CONSTANTS + number];
            if value == NONE {
                break;
            }
            let bank = self.bank(value);
            let open = self.allocatable & bank & !map.occupied & !lost;
            let current = self.register_of(value);
            let there = current != NO_REGISTER && map.occupied & only(current) != 0;
            if there || map.crowded & bank != 0 || open.count_ones() <= 2 {
                continue;
            }
            let preferred = self.preference(head);
            let stays = if current == NO_REGISTER {
                0
            } else {
                only(current)
            };
            let sets = [
                open & preferred & stays,
                open & preferred & !self.registers.occupied,
                open & preferred,
                open,
            ];
            let Some(set) = sets.into_iter().find(|&set| set != 0) else {
                continue;
            };
            let register = self.choose(set);
            self.put_in_map(map, register, value);
            map.valid |= only(register);
            if register != current {
                self.want(map, register, value);
            }
        }
    }

    /// Emits what an edge must do; the state stays as it is at the block's end.
    #[inline(never)]
    fn emit_plan(&mut self, edge: Edge, number: usize) -> Result<(), Fault> {
        let plan = &self.tables.plans[number & 1];
        let (targets, stores, memory) = (plan.targets, plan.stores, plan.memory);
        if plan.charge {
            self.charge_fuel()?;
        }
        for register in each(stores) {
            let value = self.tables.value[register as usize];
            self.store_slot(register, value)?;
        }
        if !memory {
            return self.emit_register_moves(targets, number);
        }
        let first = self.program.blocks[edge.block as usize].first_op - self.first_op;
        if !self.memory_hazard(edge, first, number) {
            for (number, &argument) in edge.arguments.iter().enumerate() {
                let parameter = first + number as u32;
                if self.is_in_memory(parameter) && parameter != argument - self.first_op {
                    let slot = self.slot_of(parameter)?;
                    self.pass_to_memory(argument - self.first_op, Location::Slot(slot))?;
                }
            }
            return self.emit_register_moves(targets, number);
        }
        // Some argument is read from a slot that the edge writes: everything is read, into the words for the arguments
        // of calls, before anything is written.
        let mut staged = 0;
        for (number, &argument) in edge.arguments.iter().enumerate() {
            if self.is_in_memory(first + number as u32) {
                self.pass_to_memory(argument - self.first_op, Location::Outgoing(staged))?;
                staged += 1;
            }
        }
        self.emit_register_moves(targets, number)?;
        staged = 0;
        for number in 0..edge.arguments.len() as u32 {
            if self.is_in_memory(first + number) {
                let slot = self.slot_of(first + number)?;
                let (from, to) = (Location::Outgoing(staged), Location::Slot(slot));
                let scratch = Location::Register(self.int_scratch);
                self.frame_load(self.int_scratch, i64::from(staged) * 8)?;
                self.observe(Event::Copy { to: scratch, from });
                self.frame_store(self.int_scratch, self.slot_offset(slot))?;
                self.observe(Event::Copy { to, from: scratch });
                staged += 1;
            }
        }
        Ok(())
    }

    /// Whether an argument is read from the slot of a parameter that the edge writes.
    fn memory_hazard(&self, edge: Edge, first: u32, number: usize) -> bool {
        let plan = &self.tables.plans[number & 1];
        let count = edge.arguments.len() as u32;
        let reads_written = |value: u32| {
            value.wrapping_sub(first) < count
                && self.is_in_memory(value)
                && self.register_of(value) == NO_REGISTER
        };
        let passes = edge
            .arguments
            .iter()
            .enumerate()
            .any(|(number, &argument)| {
                let argument = argument - self.first_op;
                argument != first + number as u32 && reads_written(argument)
            });
        passes || each(plan.targets).any(|register| reads_written(plan.source[register as usize]))
    }

    /// Writes a value to memory from wherever it is.
    pub(super) fn pass_to_memory(&mut self, value: u32, to: Location) -> Result<(), Fault> {
        let mut register = self.register_of(value);
        if register == NO_REGISTER {
            let float = self.is_rematerialized(value) && self.bank(value) == FLOATS;
            register = if float {
                self.float_scratch
            } else {
                self.int_scratch
            };
            self.fetch(register, value)?;
        }
        if matches!(to, Location::Outgoing(_)) {
            let value = self.value_name(value);
            self.observe(Event::Use {
                op: self.current_op,
                register,
                value,
            });
        }
        let at = match to {
            Location::Slot(slot) => self.slot_offset(slot),
            Location::Outgoing(word) => i64::from(word) * 8,
            Location::Register(_) => return Err(internal(Part::Allocate, line!())),
        };
        self.frame_store(register, at)?;
        self.observe(Event::Copy {
            to,
            from: Location::Register(register),
        });
        Ok(())
    }

    /// Emits moves of a plan's sources into a set of registers, all at once as it were.
    pub(super) fn emit_register_moves(&mut self, targets: u64, plan: usize) -> Result<(), Fault> {
        if targets == 0 {
            return Ok(());
        }
        let plan = plan & 1;
        let (mut copies, mut read) = (0, 0);
        for target in each(targets) {
            let register = self.register_of(self.tables.plans[plan].source[target as usize]);
            if register != NO_REGISTER {
                copies |= only(target);
                read |= only(register);
            }
        }
        if copies & read != 0 {
            self.permute(copies, plan)?;
        } else {
            // Mostly no copy writes what another one reads.
            for target in each(copies) {
                let value = self.tables.plans[plan].source[target as usize];
                self.copy(target, self.register_of(value))?;
            }
        }
        for target in each(targets & !copies) {
            self.fetch(target, self.tables.plans[plan].source[target as usize])?;
        }
        Ok(())
    }

    /// Emits copies some of which read what others write.
    #[inline(never)]
    fn permute(&mut self, copies: u64, plan: usize) -> Result<(), Fault> {
        // How many copies still read each register, and where each target's value is.
        let mut readers = [0u8; 64];
        let mut from = [NO_REGISTER as u8; 64];
        for target in each(copies) {
            let register = self.register_of(self.tables.plans[plan & 1].source[target as usize]);
            from[target as usize] = register as u8;
            readers[register as usize & 63] += 1;
        }
        let mut ready = 0;
        for target in each(copies) {
            if readers[target as usize] == 0 {
                ready |= only(target);
            }
        }
        let mut waiting = copies;
        while waiting != 0 {
            if ready == 0 {
                // Only cycles are left: one register is copied aside, its readers read the copy.
                let target = waiting.trailing_zeros();
                let scratch = if target >= 32 {
                    self.float_scratch
                } else {
                    self.int_scratch
                };
                self.copy(scratch, target)?;
                for reader in each(waiting) {
                    if u32::from(from[reader as usize]) == target {
                        from[reader as usize] = scratch as u8;
                    }
                }
                readers[target as usize] = 0;
                ready = only(target);
            }
            let target = ready.trailing_zeros();
            ready &= !only(target);
            waiting &= !only(target);
            let register = u32::from(from[target as usize]);
            self.copy(target, register)?;
            let count = &mut readers[register as usize & 63];
            *count = count.saturating_sub(1);
            if *count == 0 && waiting & only(register) != 0 {
                ready |= only(register);
            }
        }
        Ok(())
    }

    /// Emits an edge: its moves, and a jump unless its target comes next.
    #[inline]
    pub(super) fn finish_edge(&mut self, edge: Edge, number: usize) -> Result<(), Fault> {
        self.observe(Event::Edge { at: edge.at });
        if !self.tables.plans[number & 1].is_empty() {
            self.emit_plan(edge, number)?;
        }
        self.observe(Event::EdgeEnd);
        if self.falls_through && self.is_next(edge.block) {
            return Ok(());
        }
        self.jump_to_block(edge.block)
    }

    /// Emits a jump to a block, behind the test of a loop's head if it is one that is tested where it comes round.
    #[inline(never)]
    fn jump_to_block(&mut self, block: u32) -> Result<(), Fault> {
        let target = (block - self.first_block) as usize;
        if self.workspace.blocks[target][BLOCK_FLAGS] & BLOCK_TESTS != 0 {
            self.repeat_test(target)?;
        }
        let holes = self.machine(Machine::Jump, [0; 4], 0)?;
        self.link_to_block(holes, block)
    }

    /// Makes the holes of a template lead to a block.
    pub(super) fn link_to_block(&mut self, holes: Holes, block: u32) -> Result<(), Fault> {
        let target = (block - self.first_block) as usize;
        let mut label = Label(self.workspace.blocks[target][BLOCK_LABEL]);
        self.patcher.link(holes, &mut label)?;
        self.workspace.blocks[target][BLOCK_LABEL] = label.0;
        Ok(())
    }

    /// Begins a block: its label is bound, its entry map becomes the state.
    pub(super) fn enter_block(&mut self) -> Result<(), Fault> {
        let record = &mut self.workspace.blocks[self.block as usize];
        let mut label = Label(record[BLOCK_LABEL]);
        let flags = record[BLOCK_FLAGS];
        if flags & BLOCK_LANDS != 0 {
            self.patcher.settle(1)?;
        }
        self.patcher.bind(&mut label)?;
        record[BLOCK_LABEL] = label.0;
        let starts = 2 * record[BLOCK_START];
        let (occupied, valid) = (pair(record, BLOCK_OCCUPIED), pair(record, BLOCK_VALID));
        self.observe(Event::Block {
            block: self.block + self.first_block,
            continues: self.continues,
        });
        if flags & BLOCK_LANDS != 0 {
            self.current_op = self.block_record(self.block).first_op;
            self.machine(Machine::Landing, [0; 4], 0)?;
        }
        if self.continues {
            self.continues = false;
            for register in each(self.registers.occupied) {
                let value = self.tables.value[register as usize];
                if self.word(value, END) < starts {
                    self.vacate(register);
                }
            }
            self.registers.pinned = 0;
            return Ok(());
        }
        if flags & BLOCK_REACHED == 0 {
            return Err(internal(Part::Allocate, line!()));
        }
        self.bounded_count = 0;
        // Everything leaves its register; what stays is in the map.
        let held = self.registers.occupied;
        self.registers = Registers {
            occupied,
            valid,
            pinned: 0,
        };
        for register in each(held) {
            let value = self.tables.value[register as usize];
            self.set_register(value, NO_REGISTER);
        }
        for register in each(occupied) {
            let value = self.workspace.blocks[self.block as usize][map_index(register)];
            self.tables.value[register as usize] = value;
            self.set_register(value, register);
        }
        if O::ACTIVE {
            for register in each(occupied) {
                let value = self.value_name(self.tables.value[register as usize]);
                self.observe(Event::Entry { register, value });
            }
        }
        Ok(())
    }
}

fn pair(record: &[u32], at: usize) -> u64 {
    u64::from(record[at]) | u64::from(record[at + 1]) << 32
}

fn set_pair(record: &mut [u32], at: usize, set: u64) {
    record[at] = set as u32;
    record[at + 1] = (set >> 32) as u32;
}
