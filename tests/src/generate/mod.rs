//! Well-typed random programs, each from a seed, that try the compiler where it is likely to be wrong.
//!
//! Takes a seed; promises a program that verifies, mostly ends of its own accord, and whose results depend on
//! many of its values. The shape of each function is drawn first: blocks with forward edges that may skip others,
//! backward edges to any block (so loops nest, cross, and have several entries), switches, unreachable blocks. A
//! backward edge is taken only while a counter lasts: the parameter of a loop's head, or a guest slot where the
//! target does not dominate. Then blocks are filled in an order in which dominators come first; in the end blocks and
//! functions are shuffled.
//!
//! The bits of a float that arithmetic made are not observed but through `canonicalize`, since the sign and payload of
//! a NaN are unspecified; results and snapshots hold them as they are, and are compared as floats.

mod bits;
mod blocks;
mod graph;
mod ops;
mod values;

pub use bits::interesting_bits;

use crate::draft::{Draft, DraftBlock, DraftFunction, Value};
use crate::random::Random;
use patchjit::ir::{Region, Tag};
use patchjit::types::Type;
use std::collections::{HashMap, HashSet};

/// The guest slot that counts backward edges which no parameter counts.
pub const COUNTER_SLOT: u32 = 0;

/// The guest slot that holds the address of [`RAW_BYTES`] bytes for raw accesses; nothing else reads or writes it.
pub const RAW_SLOT: u32 = 1;

/// How many bytes raw accesses may reach.
pub const RAW_BYTES: u64 = 4096;

/// The first guest slot that programs use as they like.
const FREE_SLOT: u32 = 2;

/// How many backward edges a run takes that no parameter counts.
const UNCOUNTED_EDGES: u64 = 60;

/// How deep a function calls itself.
const RECURSION: u64 = 3;

/// What the ends of blocks look like before they are filled.
#[derive(Clone, Debug)]
enum End {
    Leave,
    Jump(usize),
    Branch(usize, usize),
    Switch(Vec<usize>),
}

impl End {
    fn targets(&self) -> Vec<usize> {
        match self {
            End::Leave => Vec::new(),
            End::Jump(to) => vec![*to],
            End::Branch(yes, no) => vec![*yes, *no],
            End::Switch(targets) => targets.clone(),
        }
    }
}

/// What is drawn once for a program.
#[derive(Clone, Debug)]
struct Style {
    /// Ops in a block, about.
    ops: usize,
    /// Blocks in a function, at most.
    blocks: usize,
    /// Values that are made at the start and used at the end.
    pressure: usize,
    /// Of a hundred ops, how many are of each kind: scalar, memory, slot, call, guard, constant.
    weights: [usize; 6],
    /// Of a hundred operands that could make an op leave, how many are left to chance.
    risk: usize,
    /// Of a hundred operands, how many are recent values.
    recent: usize,
    /// Whether there are raw accesses.
    raw: bool,
    /// The types that values mostly have.
    types: Vec<Type>,
}

impl Style {
    fn draw(random: &mut Random) -> Style {
        let types: &[Type] = match random.below(6) {
            0 => &[Type::I64],
            1 => &[Type::I32, Type::I64],
            2 => &[Type::F64, Type::F32, Type::I32],
            _ => &Type::ALL,
        };
        let weights = match random.below(5) {
            0 => [80, 5, 5, 2, 3, 5],
            1 => [40, 40, 5, 5, 5, 5],
            2 => [40, 10, 10, 25, 10, 5],
            3 => [50, 10, 5, 5, 20, 10],
            _ => [60, 12, 6, 6, 8, 8],
        };
        Style {
            ops: *random.pick(&[1, 3, 6, 12, 25]),
            blocks: *random.pick(&[1, 3, 6, 10, 16]),
            pressure: *random.pick(&[0, 0, 4, 16, 24, 40]),
            weights,
            risk: *random.pick(&[0, 1, 5, 20]),
            recent: *random.pick(&[10, 40, 70]),
            raw: random.percent(15),
            types: types.to_vec(),
        }
    }
}

/// What later functions know of one that is done.
#[derive(Clone, Debug)]
struct Callee {
    number: usize,
    parameters: Vec<Type>,
    results: Vec<Type>,
    may_deoptimize: bool,
}

/// The program of a seed.
///
/// # Panics
///
/// If the draft cannot be made: a fault of this module.
pub fn generate(seed: u64) -> Draft {
    let mut random = Random::new(seed ^ 0x7061_7463_686a_6974);
    let style = Style::draw(&mut random);
    let mut draft = Draft {
        slot_count: FREE_SLOT + random.below(20) as u32 + 1,
        ..Draft::default()
    };
    for _ in 0..random.below(4) {
        let size = *random.pick(&[0, 1, 3, 7, 8, 15, 16, 64, 100, 4096, 70_001]);
        let more = *random.pick(&[0, 0, 0, 1, 8, 100, 65_536]);
        draft.regions.push(Region {
            size,
            most: size + more,
        });
    }
    if random.percent(70) {
        use Type::{F64, I64};
        draft.hosts = vec![
            ("add_one", vec![I64], vec![I64]),
            ("mix", vec![I64, I64], vec![I64]),
            ("scale", vec![F64, F64], vec![F64]),
            ("fail_if", vec![I64], vec![]),
            ("print_i64", vec![I64], vec![]),
            ("print_f64", vec![F64], vec![]),
            ("grow_region", vec![I64, I64], vec![I64]),
        ];
    }
    draft.tags = (0..1 + random.below(4))
        .map(|_| any_tag(&mut random))
        .collect();
    // Few result lists, so that tail calls and indirect calls find partners.
    let mut lists = vec![vec![Type::I64]];
    for _ in 0..random.below(3) {
        lists.push(types(&mut random, &style, 6));
    }
    let count = 1 + random.below(5);
    let mut callees: Vec<Callee> = Vec::new();
    for number in 0..count {
        let mut parameters = match random.below(3) {
            0 if !callees.is_empty() => random.pick(&callees).parameters.clone(),
            _ => types(&mut random, &style, 8),
        };
        let results = random.pick(&lists).clone();
        let recursive = random.percent(25);
        if recursive {
            parameters.retain(|&ty| ty.is_float());
            parameters.insert(0, Type::I64);
        }
        draft.functions.push(DraftFunction {
            results: results.clone(),
            ..DraftFunction::default()
        });
        let builder = Builder {
            random: &mut random,
            style: &style,
            draft: &draft,
            callees: &callees,
            number,
            function: DraftFunction {
                results: results.clone(),
                ..DraftFunction::default()
            },
            types: HashMap::new(),
            exact: HashSet::new(),
            ends: Vec::new(),
            dominators: Vec::new(),
            heads: HashMap::new(),
            reachable: Vec::new(),
            scope: Vec::new(),
            block: 0,
            raw: None,
            private: HashSet::new(),
            recursion: None,
            held: Vec::new(),
            deoptimizes: false,
        };
        let (function, may_deoptimize) = builder.build(&parameters, recursive);
        draft.functions[number] = function;
        callees.push(Callee {
            number,
            parameters,
            results,
            may_deoptimize,
        });
    }
    draft.order = (0..count).collect();
    if random.percent(50) {
        shuffle(&mut random, &mut draft.order);
    }
    draft
}

/// A tag: one that a language would have, or any.
fn any_tag(random: &mut Random) -> Tag {
    let (mask, bits, shift) = match random.below(12) {
        0 => (0xffff << 48, 0xfff9 << 48, 0),
        1 => (0xffff_8000_0000_0000, 0xfffa_8000_0000_0000, 0),
        2 => (0xffff << 48, 0xfffe << 48, 3),
        3 => (1, 1, 1),
        4 => (3, 2, 2),
        5 => (7, 5, 0),
        6 => (1, 0, 1),
        7 => (0xffff_ffff, 0, 32),
        8 => (0xffff_00ff, 0x17, 32),
        9 => (0xffff_0000_0000_0007, 0xfffb_0000_0000_0001, 3),
        10 => (0, 0, 0),
        _ => {
            let mut mask = interesting_bits(random, Type::I64);
            if random.percent(50) {
                // A run of bits somewhere.
                mask = (u64::MAX >> random.below(64)) << random.below(64);
            }
            let bits = interesting_bits(random, Type::I64) & mask;
            (mask, bits, random.below(64) as u8)
        }
    };
    Tag { mask, bits, shift }
}

fn shuffle<T>(random: &mut Random, list: &mut [T]) {
    for at in (1..list.len()).rev() {
        list.swap(at, random.below(at + 1));
    }
}

/// A list of types, with at most eight in each bank.
fn types(random: &mut Random, style: &Style, most: usize) -> Vec<Type> {
    let length = *random.pick(&[0, 1, 1, 2, 3, most, 2 * most]);
    let mut list: Vec<Type> = Vec::new();
    for _ in 0..random.below(length + 1) {
        let ty = any_type(random, style);
        if list
            .iter()
            .filter(|other| other.is_float() == ty.is_float())
            .count()
            < 8
        {
            list.push(ty);
        }
    }
    list
}

fn any_type(random: &mut Random, style: &Style) -> Type {
    if random.percent(85) {
        *random.pick(&style.types)
    } else {
        *random.pick(&Type::ALL)
    }
}

/// Fills one function.
struct Builder<'g> {
    random: &'g mut Random,
    style: &'g Style,
    draft: &'g Draft,
    callees: &'g [Callee],
    number: usize,
    function: DraftFunction,
    types: HashMap<Value, Type>,
    /// Floats whose bits are specified even where they are NaNs.
    exact: HashSet<Value>,
    ends: Vec<End>,
    /// For each block: the blocks on every way to it, itself included.
    dominators: Vec<HashSet<usize>>,
    /// Heads of loops, with the value that counts.
    heads: HashMap<usize, Value>,
    reachable: Vec<bool>,
    /// Values that may be used here.
    scope: Vec<Value>,
    block: usize,
    /// The address for raw accesses.
    raw: Option<Value>,
    /// Values that must not be observed: addresses.
    private: HashSet<Value>,
    /// How deep this function may call itself yet.
    recursion: Option<Value>,
    /// Values made at the start, to be used at the end.
    held: Vec<Value>,
    deoptimizes: bool,
}

impl Builder<'_> {
    fn build(mut self, parameters: &[Type], recursive: bool) -> (DraftFunction, bool) {
        self.draw_shape();
        for number in 0..self.ends.len() {
            let list = match number {
                0 => parameters.to_vec(),
                _ => {
                    let most = *self.random.pick(&[0, 0, 2, 5, 12]);
                    let mut list = types(self.random, self.style, most);
                    if self.random.percent(3) {
                        // More than travel in registers.
                        list.extend((0..20).map(|_| any_type(self.random, self.style)));
                    }
                    list
                }
            };
            let mut block = DraftBlock::default();
            if self.is_head(number) {
                let ty = *self.random.pick(&[Type::I32, Type::I64]);
                let value = self.new_value(ty);
                block.parameters.push((value, ty));
                self.heads.insert(number, value);
            }
            for ty in list {
                let value = self.new_value(ty);
                block.parameters.push((value, ty));
            }
            self.function.blocks.push(block);
        }
        for number in 0..self.ends.len() {
            self.fill(number, recursive);
        }
        let mut order: Vec<usize> = (1..self.function.blocks.len()).collect();
        if self.random.percent(40) {
            shuffle(self.random, &mut order);
        }
        order.insert(0, 0);
        self.function.order = order;
        (self.function, self.deoptimizes)
    }
}
