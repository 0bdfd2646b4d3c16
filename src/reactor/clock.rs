//! The reactor's time: read once a turn, and standing still while the process itself did.
//! Not for latencies that others take part in; those use the real clock.
//!
//! After a SIGSTOP, a suspended machine or a handler that blocked, every deadline looks overdue
//! although nobody had a chance to speak. So time that passed while the reactor could not run is
//! taken out of its clock: each deadline moves by as much.

use crate::conn::{TICK_MICROS, Tick};
use crate::mutation::{self, Mutation};

/// A turn that comes later than it should by more than this was kept from running.
const STALL_MICROS: u64 = 500_000;

/// The time of one turn.
#[derive(Clone, Copy, Debug, Default)]
pub struct Now {
    /// For deadlines.
    pub tick: Tick,
    /// Microseconds on the reactor's clock.
    pub micros: u64,
    /// Microseconds on the process's clock.
    pub real: u64,
}

/// The reactor's clock.
#[derive(Debug)]
pub struct Clock {
    /// Microseconds that were taken out.
    lost: u64,
    last: u64,
}

impl Clock {
    /// A clock that starts at `real` microseconds.
    pub fn new(real: u64) -> Self {
        Clock { lost: 0, last: real }
    }

    /// The time of a turn that begins at `real`, after a wait that was to take at most `waited`
    /// microseconds. And how many microseconds were taken out, if the process was kept from running.
    pub fn turn(&mut self, real: u64, waited: Option<u64>) -> (Now, Option<u64>) {
        let passed = real.saturating_sub(self.last);
        self.last = self.last.max(real);
        // Without a limit to the wait nothing was due, so no deadline can have been missed.
        let late = waited.map_or(0, |waited| passed.saturating_sub(waited));
        // When in the wait it began can't be known, so the wait counts as lost too: its end is the
        // very deadline that nobody had the time to meet. But not all of it: turns that are all
        // long must not stop the clock, and with it every drain.
        let is_stall = late > STALL_MICROS && !mutation::is(Mutation::ForgetRebasing);
        let stalled = is_stall.then(|| passed - STALL_MICROS);
        self.lost += stalled.unwrap_or(0);
        (self.now(self.last), stalled)
    }

    /// Microseconds that were taken out.
    #[cfg(feature = "simulation")]
    pub fn lost(&self) -> u64 {
        self.lost
    }

    fn now(&self, real: u64) -> Now {
        let micros = real.saturating_sub(self.lost);
        Now { tick: Tick::from_micros(micros), micros, real }
    }
}

/// Microseconds from `now` until `ticks` ticks on begin.
pub fn micros_until(now: &Now, ticks: u32) -> u64 {
    (u64::from(ticks) * TICK_MICROS).saturating_sub(now.micros % TICK_MICROS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_is_taken_out_and_a_long_wait_is_not() {
        let mut clock = Clock::new(0);
        let (now, stalled) = clock.turn(25_000_000, Some(25_000_000));
        assert_eq!((now.micros, stalled), (25_000_000, None));
        let (now, stalled) = clock.turn(85_100_000, Some(100_000));
        assert_eq!((now.micros, stalled), (25_500_000, Some(59_600_000)));
        let (now, stalled) = clock.turn(85_300_000, Some(0));
        assert_eq!((now.micros, now.real, stalled), (25_700_000, 85_300_000, None));
        assert_eq!(clock.turn(185_300_000, None).1, None);
    }

    #[test]
    fn a_stall_in_a_long_wait_does_not_bring_its_end() {
        let mut clock = Clock::new(0);
        let (now, stalled) = clock.turn(14_000_000, Some(10_000_000));
        assert_eq!((now.micros, stalled), (500_000, Some(13_500_000)));
    }

    #[test]
    fn turns_that_are_all_long_do_not_stop_the_clock() {
        let mut clock = Clock::new(0);
        let turns = (1..=20).map(|turn| clock.turn(turn * 900_000, Some(0)).0.micros);
        let times: Vec<_> = turns.collect();
        assert!(times.is_sorted_by(|before, after| after - before >= 400_000), "{times:?}");
    }

    #[test]
    fn sleep_ends_as_the_tick_begins() {
        let now = Now { tick: Tick(1), micros: 12_345, real: 0 };
        assert_eq!(micros_until(&now, 1), 7_655);
        assert_eq!(micros_until(&now, 0), 0);
    }
}
