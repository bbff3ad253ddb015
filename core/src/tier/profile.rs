//! Which exits of compiled code are worth a side trace.
//!
//! Takes: each exit that was taken, as the host meets it. Promises: counts that saturate, and a due attempt for
//! each exit by the [`Schedule`], later and later if the attempts fail. Costs: constant time for an exit, eight bytes for each.

use super::GiveUp;
use super::hotness::{Countdown, Schedule};

/// What is known of one exit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExitCounter {
    taken: u32,
    countdown: Countdown,
}

/// The exits of one piece of compiled code, by their indices in it.
#[derive(Debug)]
pub struct ExitProfile<'a> {
    exits: &'a mut [ExitCounter],
    schedule: Schedule,
}

impl<'a> ExitProfile<'a> {
    /// A profile in these counters, which go on from where they are: a host keeps them beside the code.
    pub fn new(exits: &'a mut [ExitCounter], schedule: Schedule) -> ExitProfile<'a> {
        ExitProfile { exits, schedule }
    }

    /// Counts that an exit was taken; true if a side trace from it is due.
    ///
    /// # Errors
    ///
    /// [`GiveUp::Unknown`] if there is no counter for it.
    pub fn taken(&mut self, exit: u32) -> Result<bool, GiveUp> {
        let schedule = self.schedule;
        let counter = self.counter(exit)?;
        counter.taken = counter.taken.saturating_add(1);
        Ok(counter.countdown.visit(&schedule))
    }

    /// No side trace will be due from this exit again: it has one, or never will.
    ///
    /// # Errors
    ///
    /// [`GiveUp::Unknown`] if there is no counter for it.
    pub fn settle(&mut self, exit: u32) -> Result<(), GiveUp> {
        self.counter(exit)?.countdown.stop();
        Ok(())
    }

    /// How often an exit was taken, up to `u32::MAX`.
    ///
    /// # Errors
    ///
    /// [`GiveUp::Unknown`] if there is no counter for it.
    pub fn count(&self, exit: u32) -> Result<u32, GiveUp> {
        let counter = self.exits.get(exit as usize).ok_or(GiveUp::Unknown)?;
        Ok(counter.taken)
    }

    fn counter(&mut self, exit: u32) -> Result<&mut ExitCounter, GiveUp> {
        self.exits.get_mut(exit as usize).ok_or(GiveUp::Unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEDULE: Schedule = Schedule {
        first: 4,
        attempts: 2,
    };

    #[test]
    fn exits_are_counted_apart() {
        let mut exits = [ExitCounter::default(); 2];
        let mut profile = ExitProfile::new(&mut exits, SCHEDULE);
        for visit in 1..=20 {
            let due = visit == 4 || visit == 12;
            assert_eq!(profile.taken(0), Ok(due), "{visit}");
        }
        assert_eq!((profile.count(0), profile.count(1)), (Ok(20), Ok(0)));
        assert_eq!(profile.taken(1), Ok(false));
    }

    #[test]
    fn a_settled_exit_is_not_due() {
        let mut exits = [ExitCounter::default(); 1];
        let mut profile = ExitProfile::new(&mut exits, SCHEDULE);
        profile.settle(0).unwrap();
        assert!((0..100).all(|_| profile.taken(0) == Ok(false)));
        assert_eq!(profile.count(0), Ok(100));
    }

    #[test]
    fn an_exit_out_of_range_is_refused() {
        let mut profile = ExitProfile::new(&mut [], SCHEDULE);
        assert_eq!(profile.taken(0), Err(GiveUp::Unknown));
        assert_eq!(profile.settle(0), Err(GiveUp::Unknown));
        assert_eq!(profile.count(0), Err(GiveUp::Unknown));
    }

    #[test]
    fn counts_saturate_and_outlive_the_profile() {
        let mut exits = [ExitCounter {
            taken: u32::MAX - 1,
            countdown: Countdown::new(),
        }];
        ExitProfile::new(&mut exits, SCHEDULE).taken(0).unwrap();
        ExitProfile::new(&mut exits, SCHEDULE).taken(0).unwrap();
        let profile = ExitProfile::new(&mut exits, SCHEDULE);
        assert_eq!(profile.count(0), Ok(u32::MAX));
    }
}
