//! The optimizer with storage of its own.

use patchjit::error::Error;
use patchjit::ir::Program;
use patchjit::optimize::{self, Options, Report};
use patchjit::verify::{self, Verified};
use patchjit_memory::records::{Records, grow};
use std::time::{Duration, Instant};

/// Storage for one optimized program, which may be used again for the next.
#[derive(Debug, Default)]
pub struct Optimizer {
    records: Records,
    words: Vec<u32>,
    facts: Vec<u32>,
    report: Report,
    time: Duration,
}

impl Optimizer {
    /// Empty.
    pub fn new() -> Optimizer {
        Optimizer::default()
    }

    /// What was done last.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// How long the last program took, from the verified program to the verified result; storage was there.
    pub fn time(&self) -> Duration {
        self.time
    }

    /// Optimizes a program and verifies the result.
    ///
    /// # Errors
    ///
    /// Faults of the optimizer: it gets enough storage.
    pub fn run<'a>(
        &'a mut self,
        verified: &Verified<'_>,
        options: &Options,
    ) -> Result<Verified<'a>, Error> {
        self.make_room(verified);
        self.run_in_room(verified, options)
    }

    /// The same for a program for which there is room.
    ///
    /// # Errors
    ///
    /// If there is none, and faults of the optimizer.
    pub fn run_in_room<'a>(
        &'a mut self,
        verified: &Verified<'_>,
        options: &Options,
    ) -> Result<Verified<'a>, Error> {
        let start = Instant::now();
        let optimized =
            optimize::optimize(verified, options, &mut self.words, self.records.storage())?;
        self.report = *optimized.report();
        let needed = verify::workspace_words(optimized.program());
        grow(&mut self.facts, needed, 0);
        let verified = optimized.verify(&mut self.facts)?;
        self.time = start.elapsed();
        Ok(verified)
    }

    /// Sees to it that there is room for a program, optimized.
    pub fn make_room(&mut self, verified: &Verified<'_>) {
        self.records
            .make_with_positions(&optimize::storage(verified));
        grow(&mut self.words, optimize::words(verified), 0);
    }
}

/// A program with the index of each op for its source position, so that an optimized program says where its ops come from.
pub fn numbered<'a>(program: &Program<'a>, numbers: &'a mut Vec<u32>) -> Program<'a> {
    numbers.clear();
    numbers.extend(0..program.ops.len() as u32);
    Program {
        positions: numbers,
        ..*program
    }
}
