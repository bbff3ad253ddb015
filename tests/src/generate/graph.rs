//! The graph of a function's blocks.

use super::{Builder, End};
use crate::random::Random;
use std::collections::HashSet;

impl Builder<'_> {
    pub(super) fn draw_shape(&mut self) {
        let count = 1 + self.random.below(self.style.blocks);
        let ahead = |random: &mut Random, from: usize| match random.below(3) {
            0 => from + 1,
            _ => from + 1 + random.below((count - from - 1).min(4)),
        };
        for number in 0..count {
            let last = number + 1 == count;
            let end = match self.random.below(12) {
                _ if last => End::Leave,
                0 if number > 0 => End::Leave,
                0..=2 => End::Jump(ahead(self.random, number)),
                3..=6 => End::Branch(ahead(self.random, number), ahead(self.random, number)),
                7..=9 if number > 0 => {
                    // Backward; which of the two is chosen where it is filled.
                    let back = 1 + self.random.below(number);
                    End::Branch(back, ahead(self.random, number))
                }
                _ => {
                    let mut targets = Vec::new();
                    for _ in 0..self.random.below(5) {
                        if number > 0 && self.random.percent(25) {
                            targets.push(1 + self.random.below(number));
                        } else {
                            targets.push(ahead(self.random, number));
                        }
                    }
                    targets.push(ahead(self.random, number));
                    End::Switch(targets)
                }
            };
            self.ends.push(end);
        }
        // Every block is reached from one before it, but for a few that nothing reaches.
        for number in 1..count {
            let reached = (0..number).any(|from| self.ends[from].targets().contains(&number));
            if !reached && self.random.percent(90) {
                let from = self.random.below(number);
                self.ends[from] = match &self.ends[from] {
                    End::Leave => End::Jump(number),
                    End::Jump(to) => End::Branch(*to, number),
                    End::Branch(yes, no) => End::Switch(vec![*yes, number, *no]),
                    End::Switch(targets) => {
                        let mut targets = targets.clone();
                        targets.insert(0, number);
                        End::Switch(targets)
                    }
                };
            }
        }
        self.find_dominators();
    }

    pub(super) fn find_dominators(&mut self) {
        let count = self.ends.len();
        self.reachable = vec![false; count];
        let mut work = vec![0];
        while let Some(number) = work.pop() {
            if !std::mem::replace(&mut self.reachable[number], true) {
                work.extend(self.ends[number].targets());
            }
        }
        let all: HashSet<usize> = (0..count).collect();
        self.dominators = vec![all.clone(); count];
        self.dominators[0] = HashSet::from([0]);
        let mut changed = true;
        while changed {
            changed = false;
            for number in 1..count {
                let mut met = all.clone();
                for from in 0..count {
                    if self.reachable[from] && self.ends[from].targets().contains(&number) {
                        met.retain(|block| self.dominators[from].contains(block));
                    }
                }
                met.insert(number);
                if met != self.dominators[number] {
                    self.dominators[number] = met;
                    changed = true;
                }
            }
        }
    }

    /// Whether a backward edge from a block that it dominates leads here.
    pub(super) fn is_head(&self, number: usize) -> bool {
        (number..self.ends.len()).any(|from| self.is_counted(from, number))
    }

    pub(super) fn is_counted(&self, from: usize, to: usize) -> bool {
        to > 0
            && from >= to
            && self.reachable[from]
            && self.dominators[from].contains(&to)
            && self.ends[from].targets().contains(&to)
    }
}
