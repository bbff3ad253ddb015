//! Everything that a program needs to run: region memory, guest slots, host functions, entry cells.
//!
//! An [`Instance`] is made for one program and one run; two engines get one each and are compared
//! afterwards with [`Instance::difference`].

use crate::hosts::{self, HostState};
use crate::value;
use crate::zeroed::Zeroed;
use patchjit::ir::{MAX_REGIONS, Op, Program, place_slot, place_tag};
use patchjit::ops::Opcode;
use patchjit::runtime::{Binding, Context, EntryCell, HostCode};
use patchjit::types::Type;

/// Initial bytes of a region; what no content covers is zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// The region's index in the program.
    pub region: usize,
    /// Where in the region the bytes begin.
    pub offset: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// How far a run may go.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Function entries and back-edges; without a number, as many as it takes.
    pub fuel: Option<u64>,
    /// Calls within each other.
    pub depth: u32,
}

/// How many bytes a region may grow by, at most, whatever the program says.
const MOST_GROWTH: u64 = 1 << 20;

/// The calls within each other that the runner allows unless told otherwise.
pub const DEFAULT_DEPTH: u32 = 20_000;

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            fuel: None,
            depth: DEFAULT_DEPTH,
        }
    }
}

/// What a program runs on.
#[derive(Debug)]
pub struct Instance {
    regions: Vec<Zeroed>,
    /// The guest slots: at least as many as the program names.
    pub slots: Vec<u64>,
    hosts: Vec<HostCode>,
    cells: Vec<EntryCell>,
    /// Slots into which the program writes floats as such.
    float_slots: Vec<bool>,
    /// Whether it writes floats into regions.
    float_regions: bool,
    /// What host functions see.
    pub state: Box<HostState>,
    limits: Limits,
}

impl Instance {
    /// Regions with these first contents, slots of zero, and the host functions with these names, in the
    /// order of the program's declarations. Cells have no code yet.
    pub fn new(
        program: &Program<'_>,
        host_names: &[String],
        contents: &[Content],
        limits: Limits,
    ) -> Result<Instance, String> {
        let mut regions = Vec::new();
        let mut state = Box::<HostState>::default();
        for (index, region) in program.regions.iter().enumerate() {
            let most = region.most.min(region.size.saturating_add(MOST_GROWTH));
            let memory = Zeroed::new(most)
                .ok_or_else(|| format!("no memory for region {index} of {} bytes", region.size))?;
            state.sizes.push(region.size);
            state.most.push(most);
            regions.push(memory);
        }
        for Content {
            region,
            offset,
            bytes,
        } in contents
        {
            let memory = regions
                .get_mut(*region)
                .ok_or_else(|| format!("contents for region {region}, which does not exist"))?;
            usize::try_from(*offset)
                .ok()
                .and_then(|start| memory.bytes_mut().get_mut(start..)?.get_mut(..bytes.len()))
                .ok_or_else(|| {
                    let count = bytes.len();
                    format!("{count} bytes at {offset} do not fit into region {region}")
                })?
                .copy_from_slice(bytes);
        }
        let mut codes = Vec::new();
        for (index, host) in program.hosts.iter().enumerate() {
            let name = host_names
                .get(index)
                .ok_or_else(|| format!("host function {index} has no name"))?;
            let (parameters, results) = (
                program.parameters(host.signature),
                program.results(host.signature),
            );
            codes.push(hosts::find(name, parameters, results)?.code);
        }
        let cells = program.functions.iter().map(|function| EntryCell {
            code: 0,
            signature: u64::from(function.signature),
        });
        let (float_slots, float_regions) = floats_written(program);
        Ok(Instance {
            regions,
            float_slots,
            float_regions,
            slots: vec![0; program.slot_count as usize],
            hosts: codes,
            cells: cells.collect(),
            state,
            limits,
        })
    }

    /// Where calls through cells find the code of each function: addresses of bodies, in the order
    /// of the program.
    pub fn set_bodies(&mut self, addresses: impl IntoIterator<Item = u64>) {
        for (cell, address) in self.cells.iter_mut().zip(addresses) {
            cell.code = address;
        }
    }

    /// How far a run may go.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Tells host functions where the context is that a run uses, so that they can make regions longer. It must stay there
    /// until the run ends.
    pub fn follow(&mut self, context: *mut Context) {
        *self.state.context.get_mut() = context;
    }

    /// The bytes of a region, those included that it has not grown to.
    pub fn region(&self, index: usize) -> &[u8] {
        self.regions.get(index).map_or(&[], Zeroed::bytes)
    }

    /// A context for one run. It points into this instance: it must not outlive it, and nothing else of
    /// the instance may be used while it runs.
    pub fn context(&mut self) -> Context {
        let mut regions = [Binding {
            base: std::ptr::null_mut(),
            size: 0,
        }; MAX_REGIONS];
        let sizes = self.regions.iter().zip(&self.state.sizes);
        for (binding, (memory, &size)) in regions.iter_mut().zip(sizes) {
            binding.base = memory.start();
            binding.size = size;
        }
        Context {
            slots: self.slots.as_mut_ptr(),
            hosts: self.hosts.as_ptr(),
            host_context: (&raw mut *self.state).cast(),
            cells: self.cells.as_ptr(),
            fuel: i64::try_from(self.limits.fuel.unwrap_or(u64::MAX)).unwrap_or(i64::MAX),
            depth: i64::from(self.limits.depth),
            cell_count: self.cells.len() as u64,
            regions,
            ..Context::new()
        }
    }

    /// The first thing in which another instance differs, after the same program ran on both: a slot, a
    /// region's byte, what was printed. Words that hold NaNs on both sides do not differ where the program writes floats.
    pub fn difference(&self, other: &Instance) -> Option<String> {
        for (index, (&a, &b)) in self.slots.iter().zip(&other.slots).enumerate() {
            let floats = self.float_slots.get(index).is_none_or(|&floats| floats);
            if a != b && !(floats && value::same_word(a, b)) {
                return Some(format!("slot {index}: {a:#x} and {b:#x}"));
            }
        }
        for (index, (a, b)) in self.regions.iter().zip(&other.regions).enumerate() {
            if let Some((offset, a, b)) =
                region_difference(a.bytes(), b.bytes(), self.float_regions)
            {
                return Some(format!(
                    "region {index} at byte {offset}: {a:#x} and {b:#x}"
                ));
            }
        }
        let (a, b) = (&self.state.sizes, &other.state.sizes);
        if a != b {
            return Some(format!("regions of {a:?} and {b:?} bytes"));
        }
        let (a, b) = (&self.state.printed, &other.state.printed);
        (a != b).then(|| format!("printed {a:?} and {b:?}"))
    }
}

/// For each slot whether some op or exit of the program writes a float into it that is not boxed, and whether some op
/// writes one into a region: what arithmetic makes of NaNs is not the same everywhere.
fn floats_written(program: &Program<'_>) -> (Vec<bool>, bool) {
    let mut slots = vec![false; program.slot_count as usize];
    let mut regions = false;
    let mut note = |slot: u32| {
        if let Some(slot) = slots.get_mut(slot as usize) {
            *slot = true;
        }
    };
    for op in program.ops {
        match op.code {
            Opcode::F32SlotSet | Opcode::F64SlotSet => note(op.c),
            Opcode::F32Store | Opcode::F64Store => regions = true,
            _ => {}
        }
    }
    for exit in program.exits {
        for pair in program.snapshot(exit).chunks_exact(2) {
            let ty = program.ops.get(pair[1] as usize).and_then(Op::result);
            if place_tag(pair[0]).is_none() && ty.is_some_and(Type::is_float) {
                note(place_slot(pair[0]));
            }
        }
    }
    (slots, regions)
}

/// The first word of two regions that differs, and where it is.
fn region_difference(a: &[u8], b: &[u8], floats: bool) -> Option<(usize, u64, u64)> {
    if a == b {
        return None;
    }
    let word = |bytes: &[u8]| {
        let mut word = [0; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        u64::from_le_bytes(word)
    };
    a.chunks(8)
        .zip(b.chunks(8))
        .enumerate()
        .map(|(index, (a, b))| (index * 8, word(a), word(b)))
        .find(|&(_, a, b)| a != b && !(floats && value::same_word(a, b)))
}

#[cfg(test)]
mod tests {
    use super::{Content, Instance, Limits};
    use patchjit::ir::{Program, Region};

    fn instance(contents: &[Content]) -> Result<Instance, String> {
        let program = Program {
            regions: &[Region::fixed(20), Region::fixed(0)],
            slot_count: 2,
            ..Program::default()
        };
        Instance::new(&program, &[], contents, Limits::default())
    }

    fn content(region: usize, offset: u64, bytes: &[u8]) -> Content {
        Content {
            region,
            offset,
            bytes: bytes.to_vec(),
        }
    }

    #[test]
    fn regions_begin_with_their_contents() {
        let mut instance = instance(&[content(0, 17, &[1, 2, 3]), content(0, 0, &[9])]).unwrap();
        let expected = [9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3];
        assert_eq!(instance.region(0), expected);
        let context = instance.context();
        assert_eq!(context.regions[0].size, 20);
        assert_eq!(context.regions[0].base as usize % 64, 0);
        assert_eq!(context.regions[1].size, 0);
        assert!(context.regions[2].base.is_null());
    }

    #[test]
    fn contents_must_fit() {
        let error = instance(&[content(0, 18, &[1, 2, 3])]).unwrap_err();
        assert_eq!(error, "3 bytes at 18 do not fit into region 0");
        assert!(instance(&[content(0, u64::MAX, &[1])]).is_err());
        assert!(instance(&[content(2, 0, &[])]).is_err());
    }

    #[test]
    fn differences_are_found() {
        let (mut a, mut b) = (instance(&[]).unwrap(), instance(&[]).unwrap());
        assert_eq!(a.difference(&b), None);
        a.slots[1] = 5;
        assert_eq!(a.difference(&b).unwrap(), "slot 1: 0x5 and 0x0");
        b.slots[1] = 5;
        b.state.printed.push('x');
        assert!(a.difference(&b).unwrap().starts_with("printed"));
        let c = instance(&[content(0, 19, &[7])]).unwrap();
        let d = instance(&[]).unwrap();
        let text = c.difference(&d).unwrap();
        assert_eq!(text, "region 0 at byte 16: 0x7000000 and 0x0");
    }
}
