//! The passes by name, sets of them, and what each did.

use core::fmt;

macro_rules! passes {
    ($($(#[doc = $doc:literal])* $variant:ident $name:literal;)*) => {
        /// A pass: one kind of change to a program, which works alone.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Pass {
            $($(#[doc = $doc])* $variant),*
        }

        impl Pass {
            /// All of them, in the order of reports.
            pub const ALL: &'static [Pass] = &[$(Pass::$variant),*];

            /// Its name on command lines and in reports.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Pass::$variant => $name),*
                }
            }
        }
    };
}

passes! {
    /// Ops whose operands are constants become constants.
    Fold "fold";
    /// Ops become cheaper ones with the same value, by the table of rules in `core/src/optimize/rules.rs`.
    Simplify "simplify";
    /// An op that was computed on every way here is not computed again.
    Common "cse";
    /// Branches that are known, jumps to jumps, blocks that only one block leads to.
    Branches "branches";
    /// Branches to blocks that only leave: guards do the same.
    Exits "exits";
    /// What ranges, bits and passed conditions say: comparisons that are known, masks that change nothing.
    Facts "facts";
    /// Guards that cannot fail.
    Guards "guards";
    /// Overflow checks that cannot fail.
    Overflow "overflow";
    /// Bounds checks of region accesses that cannot fail.
    Bounds "bounds";
    /// Sums and shifts that go into the offset or the scale of an access.
    Addresses "addresses";
    /// Tests, unboxes and boxes of words of which it is known how they were boxed.
    Boxes "boxes";
    /// Block parameters that every edge gives a box carry what is in it. Counts parameters.
    Unbox "unbox";
    /// Boxes that only exits need, made on their paths.
    Sink "sink";
    /// Loads of what is known to be in a guest slot or region.
    Loads "loads";
    /// Stores of what is there, and stores that are overwritten before anybody looks.
    Stores "stores";
    /// Divisions by constants.
    Strength "strength";
    /// Ops and guards that are the same in every round of a loop, before it.
    Hoist "hoist";
    /// Loops whose first round is made before them, so that what it checks and computes need not be done in each round. Counts ops.
    Peel "peel";
    /// Checks in peeled loops that a test in front of the loop decides. Counts checks.
    Version "version";
    /// Block parameters that always get the same value.
    Parameters "parameters";
    /// Values that nothing uses, block parameters included.
    Dead "dead";
}

impl Pass {
    /// How many passes there are.
    pub const COUNT: usize = Pass::ALL.len();

    /// The pass with this name.
    pub fn from_name(name: &str) -> Option<Pass> {
        Pass::ALL.iter().copied().find(|pass| pass.name() == name)
    }

    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

impl fmt::Display for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passes(u32);

impl Passes {
    /// No pass: the program is copied, without blocks that cannot be reached.
    pub const NONE: Passes = Passes(0);
    /// All passes.
    pub const ALL: Passes = Passes((1 << Pass::COUNT as u32) - 1);

    /// This set and one more pass.
    #[must_use]
    pub const fn with(self, pass: Pass) -> Passes {
        Passes(self.0 | pass.bit())
    }

    /// This set without a pass.
    #[must_use]
    pub const fn without(self, pass: Pass) -> Passes {
        Passes(self.0 & !pass.bit())
    }

    /// Whether a pass is in the set.
    #[inline]
    pub const fn has(self, pass: Pass) -> bool {
        self.0 & pass.bit() != 0
    }
}

/// What the optimizer did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    counts: [u32; Pass::COUNT],
    /// Ops before.
    pub ops_before: u32,
    /// Ops after.
    pub ops_after: u32,
}

impl Report {
    /// How many changes a pass made: ops folded, branches resolved, values removed.
    pub const fn count(&self, pass: Pass) -> u32 {
        self.counts[pass as usize]
    }

    /// Every pass with its count.
    pub fn counts(&self) -> impl Iterator<Item = (Pass, u32)> + '_ {
        Pass::ALL.iter().copied().zip(self.counts.iter().copied())
    }

    /// Before anything was done to a program of so many ops.
    pub(super) fn of(ops: usize) -> Report {
        Report {
            ops_before: ops as u32,
            ..Report::default()
        }
    }

    #[inline]
    pub(super) fn add(&mut self, pass: Pass, count: u32) {
        let counted = &mut self.counts[pass as usize];
        *counted = counted.saturating_add(count);
    }
}

/// Which steps may be made, and what was made of them.
pub(super) struct Steps {
    pub passes: Passes,
    /// How many more steps may be made.
    pub fuel: u32,
    pub report: Report,
}

impl Steps {
    /// Whether a pass may make a step.
    #[inline]
    pub fn may(&self, pass: Pass) -> bool {
        self.passes.has(pass) && self.fuel != 0
    }

    /// That it made one, which changed so much.
    #[inline]
    pub fn did(&mut self, pass: Pass, count: u32) {
        self.fuel = self.fuel.saturating_sub(1);
        self.report.add(pass, count);
    }

    /// The same in one, for steps that are certain.
    #[inline]
    pub fn take(&mut self, pass: Pass) -> bool {
        let may = self.may(pass);
        if may {
            self.did(pass, 1);
        }
        may
    }
}
