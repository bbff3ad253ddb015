//! How runs end, what files promise about it, and whether two engines agree.

use crate::instance::Instance;
use crate::value;
use patchjit::runtime::Status;
use patchjit::types::Type;
use std::fmt;
use std::time::Duration;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It returned.
    Returned,
    /// It left through a deoptimizing exit with this number.
    Exit(u32),
    /// It left through a trap with this number.
    Trap(u32),
    /// The fuel was used up.
    OutOfFuel,
    /// There were more calls within each other than allowed.
    TooDeep,
}

impl Ending {
    /// From what engines report.
    pub fn new(status: Status, exit_number: u32) -> Ending {
        match status {
            Status::Returned => Ending::Returned,
            Status::Deoptimized => Ending::Exit(exit_number),
            Status::Trapped => Ending::Trap(exit_number),
            Status::OutOfFuel => Ending::OutOfFuel,
            Status::TooDeep => Ending::TooDeep,
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ending::Returned => write!(f, "returned"),
            Ending::Exit(number) => write!(f, "exit {number}"),
            Ending::Trap(number) => write!(f, "trap {number}"),
            Ending::OutOfFuel => write!(f, "out of fuel"),
            Ending::TooDeep => write!(f, "too deep"),
        }
    }
}

/// What a run gave, besides what it did to its [`Instance`].
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How it ended.
    pub ending: Ending,
    /// The results, if it returned.
    pub results: Vec<u64>,
    /// The fuel that was left; says something only where fuel was asked for.
    pub fuel: i64,
    /// How long it ran.
    pub time: Duration,
}

/// What a file promises of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// These results.
    Results(Vec<u64>),
    /// Another ending, with these guest slots after it.
    Ending(Ending, Vec<(u32, u64)>),
}

impl Outcome {
    /// Prints it: the results, or the ending with the guest slots.
    pub fn describe(&self, result_types: &[Type], slots: &[u64]) -> String {
        if self.ending == Ending::Returned {
            return value::print_list(result_types, &self.results);
        }
        let mut text = self.ending.to_string();
        if matches!(self.ending, Ending::Exit(_) | Ending::Trap(_)) && !slots.is_empty() {
            text.push_str(&format!(" {}", print_slots(slots)));
        }
        text
    }

    /// Whether it is what was promised.
    pub fn keeps(&self, expected: &Expected, result_types: &[Type], slots: &[u64]) -> bool {
        match expected {
            Expected::Results(values) => {
                self.ending == Ending::Returned && same_values(result_types, values, &self.results)
            }
            Expected::Ending(ending, promised) => {
                self.ending == *ending
                    && promised.iter().all(|&(slot, bits)| {
                        let actual = slots.get(slot as usize);
                        actual.is_some_and(|&actual| value::keeps_word(actual, bits))
                    })
            }
        }
    }

    /// The first thing in which a run of the same program by another engine differs, if there is one.
    pub fn difference(&self, other: &Outcome, result_types: &[Type], fuel: bool) -> Option<String> {
        if self.ending != other.ending {
            return Some(format!("{} and {}", self.ending, other.ending));
        }
        let returned = self.ending == Ending::Returned;
        if returned && !same_values(result_types, &self.results, &other.results) {
            let [a, b] =
                [self, other].map(|outcome| value::print_list(result_types, &outcome.results));
            return Some(format!("results {a} and {b}"));
        }
        if fuel && self.fuel != other.fuel {
            return Some(format!(
                "{} and {} units of fuel left",
                self.fuel, other.fuel
            ));
        }
        None
    }
}

/// Prints guest slots the way snapshots are written.
pub fn print_slots(slots: &[u64]) -> String {
    const SHOWN: usize = 16;
    let shown: Vec<_> = slots
        .iter()
        .take(SHOWN)
        .enumerate()
        .map(|(slot, &bits)| format!("{slot}: {}", bits as i64))
        .collect();
    let rest = if slots.len() > SHOWN { ", ..." } else { "" };
    format!("[{}{rest}]", shown.join(", "))
}

/// The first thing in which two engines differ after a run of the same program on an instance each.
pub fn difference(
    a: (&Outcome, &Instance),
    b: (&Outcome, &Instance),
    result_types: &[Type],
) -> Option<String> {
    a.0.difference(b.0, result_types, a.1.limits().fuel.is_some())
        .or_else(|| a.1.difference(b.1))
}

fn same_values(types: &[Type], a: &[u64], b: &[u64]) -> bool {
    a.len() == b.len()
        && types.len() == a.len()
        && types
            .iter()
            .zip(a.iter().zip(b))
            .all(|(&ty, (&a, &b))| value::same(ty, a, b))
}

#[cfg(test)]
mod tests {
    use super::{Ending, Expected, Outcome};
    use patchjit::types::Type;
    use std::time::Duration;

    fn outcome(ending: Ending, results: &[u64]) -> Outcome {
        Outcome {
            ending,
            results: results.to_vec(),
            fuel: 0,
            time: Duration::ZERO,
        }
    }

    #[test]
    fn promises() {
        let types = [Type::I64, Type::F64];
        let nan = [1, 0x7ff8_0000_0000_0000];
        let returned = outcome(Ending::Returned, &nan);
        let promise = Expected::Results(vec![1, 0xfff8_0000_0000_0001]);
        assert!(returned.keeps(&promise, &types, &[]));
        assert!(!returned.keeps(&Expected::Results(vec![1]), &types, &[]));
        assert!(!returned.keeps(&Expected::Results(vec![2, nan[1]]), &types, &[]));
        let trap = Expected::Ending(Ending::Trap(3), vec![]);
        assert!(!returned.keeps(&trap, &types, &[]));
        assert!(outcome(Ending::Trap(3), &[]).keeps(&trap, &types, &[9]));
        assert!(!outcome(Ending::Exit(3), &[]).keeps(&trap, &types, &[9]));
        assert!(!outcome(Ending::Trap(4), &[]).keeps(&trap, &types, &[9]));
        let exit = Expected::Ending(Ending::Exit(7), vec![(1, 5)]);
        assert!(outcome(Ending::Exit(7), &[]).keeps(&exit, &types, &[0, 5]));
        assert!(!outcome(Ending::Exit(7), &[]).keeps(&exit, &types, &[5, 0]));
        assert!(!outcome(Ending::Exit(7), &[]).keeps(&exit, &types, &[5]));
    }

    #[test]
    fn descriptions() {
        let types = [Type::I64, Type::F64];
        let returned = outcome(Ending::Returned, &[u64::MAX, 1.5f64.to_bits()]);
        assert_eq!(returned.describe(&types, &[]), "-1, 1.5");
        let exit = outcome(Ending::Exit(7), &[]);
        assert_eq!(
            exit.describe(&types, &[5, u64::MAX]),
            "exit 7 [0: 5, 1: -1]"
        );
        assert_eq!(
            outcome(Ending::TooDeep, &[]).describe(&types, &[5]),
            "too deep"
        );
    }

    #[test]
    fn engines_differ() {
        let types = [Type::I64];
        let one = outcome(Ending::Returned, &[1]);
        let two = outcome(Ending::Returned, &[2]);
        assert_eq!(one.difference(&one, &types, true), None);
        let text = one.difference(&two, &types, false).unwrap();
        assert_eq!(text, "results 1 and 2");
        let trap = outcome(Ending::Trap(1), &[]);
        assert_eq!(trap.difference(&trap, &types, true), None);
        assert_eq!(
            one.difference(&trap, &types, false).unwrap(),
            "returned and trap 1"
        );
        let mut spent = one.clone();
        spent.fuel = 5;
        assert_eq!(one.difference(&spent, &types, false), None);
        assert!(one.difference(&spent, &types, true).is_some());
    }
}
