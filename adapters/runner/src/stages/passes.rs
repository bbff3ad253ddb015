//! What each pass of the optimizer did to each op.
//!
//! The optimizer makes all its steps on one way through a program, so what a pass does by itself is found out by running it
//! alone: an op that it then changes or drops is its doing. What only several passes together bring about has no pass. Costs one run of the optimizer
//! for each pass.

use crate::module::Module;
use patchjit::optimize::{Options, Pass, Passes, Report};

/// What became of a program's ops.
#[derive(Debug)]
pub struct PassStages {
    /// Each pass that ran, with the number of its steps.
    pub passes: Vec<(Pass, u32)>,
    /// For each op of the program as it was.
    pub ops: Vec<OpHistory>,
    /// For each op of the optimized program, the op that it comes from, if it comes from one.
    pub sources: Vec<Option<u32>>,
}

/// What became of an op.
#[derive(Clone, Debug)]
pub struct OpHistory {
    /// The op as it was.
    pub line: String,
    /// What became of it.
    pub fate: Fate,
    /// Bit n: the pass n of [`PassStages::passes`] does that, or as much, alone.
    pub passes: u32,
}

/// What became of an op.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// It is as it was.
    Kept,
    /// It is another op, or has other operands.
    Changed,
    /// It is gone.
    Gone,
}

impl PassStages {
    /// Compares a program with what the optimizer made of it with these options.
    ///
    /// # Errors
    ///
    /// A message for people: a fault of the optimizer.
    pub fn of(
        module: &Module,
        optimized: &Module,
        options: &Options,
        report: &Report,
    ) -> Result<PassStages, String> {
        let lines = lines(module);
        let ran = |pass: &(Pass, u32)| options.passes.has(pass.0);
        let passes: Vec<(Pass, u32)> = report.counts().filter(ran).collect();
        let mut ops: Vec<OpHistory> = lines
            .iter()
            .zip(fates(&lines, optimized))
            .map(|(line, fate)| OpHistory {
                line: line.clone(),
                fate,
                passes: 0,
            })
            .collect();
        for (number, &(pass, _)) in passes.iter().enumerate() {
            let alone = Options {
                passes: Passes::NONE.with(pass),
                ..*options
            };
            let (alone, ..) = module.optimized(&alone)?;
            for (op, fate) in ops.iter_mut().zip(fates(&lines, &alone)) {
                op.passes |= u32::from(fate > Fate::Kept && op.fate > Fate::Kept) << number;
            }
        }
        let sources = (0..optimized.program().ops.len() as u32).map(|op| optimized.source(op));
        Ok(PassStages {
            passes,
            ops,
            sources: sources.collect(),
        })
    }
}

fn lines(module: &Module) -> Vec<String> {
    patchjit_text::print_ops(&module.program(), Some(&module.text().names)).lines
}

/// What became of each op of a program that has these lines.
fn fates(before: &[String], after: &Module) -> Vec<Fate> {
    let mut fates = vec![Fate::Gone; before.len()];
    for (op, line) in (0..).zip(lines(after)) {
        let Some(source) = after.source(op) else {
            continue;
        };
        if let (Some(fate), Some(was)) =
            (fates.get_mut(source as usize), before.get(source as usize))
        {
            let now = if *was == line {
                Fate::Kept
            } else {
                Fate::Changed
            };
            *fate = now.min(*fate);
        }
    }
    fates
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fates_of_ops() {
        let source = "
func @f(a: i64) -> i64 {
entry:
    two = i64.const 2
    three = i64.const 3
    six = i64.mul two, three
    unused = i64.add a, two
    sum = i64.add a, six
    again = i64.add a, six
    all = i64.xor sum, again
    end = i64.add all, sum
    return end
}
";
        let module = Module::parse("f.uop".to_string(), source).unwrap();
        let options = Options::default();
        let (optimized, report, _) = module.optimized(&options).unwrap();
        let stages = PassStages::of(&module, &optimized, &options, &report).unwrap();
        let find = |name: &str| {
            let mut ops = stages.ops.iter();
            ops.find(|op| op.line.starts_with(name)).unwrap()
        };
        let by = |op: &OpHistory| {
            let passes = stages.passes.iter().enumerate();
            let passes = passes.filter(|(number, _)| op.passes >> number & 1 != 0);
            passes.map(|(_, (pass, _))| pass.name()).collect::<Vec<_>>()
        };
        assert_eq!(find("a:").fate, Fate::Kept);
        assert_eq!(find("return").fate, Fate::Changed);
        assert_eq!(find("unused").fate, Fate::Gone);
        assert_eq!(by(find("unused")), ["dead"]);
        assert_eq!(find("six").fate, Fate::Changed);
        assert!(by(find("six")).contains(&"fold"));
        assert_eq!(find("again").fate, Fate::Gone);
        assert!(by(find("again")).contains(&"cse"));
    }
}
