//! Zombies that reset: in waves, with a look at what the server has open before and after, since
//! a peer that has reset its connection cannot see what the server makes of it.
//! Not the other kinds, which see by themselves.

use std::time::Duration;

use super::crowd::Crowd;
use super::kind::Kind;
use super::observed::{Observed, Sign};
use crate::tables::Tables;

/// Zombies that reset together at most.
const WAVE: usize = 500;

/// How often the descriptors are counted.
const LOOK: Duration = Duration::from_millis(5);

/// What the parent is to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cue {
    /// Begin so many.
    Begin(usize),
    /// Reset all that are there.
    Reset,
    /// Wait until this time, or for the connections to open.
    Wait(Duration),
    /// Nothing: it is over.
    Over,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Idle,
    Opening,
    Watching { since: Duration, peak: u64, wave: usize, gone: usize },
    Over,
}

/// The scene of those that reset, played by one thread.
#[derive(Debug)]
pub struct Resets {
    tables: Option<Tables>,
    left: usize,
    wave: usize,
    /// Descriptors before the wave.
    before: u64,
    phase: Phase,
}

impl Resets {
    /// `count` of them, at most `at_a_time` together, watched through the server's tables.
    pub fn new(count: usize, at_a_time: usize, tables: Option<Tables>) -> Resets {
        let phase = if count == 0 { Phase::Over } else { Phase::Idle };
        Resets { tables, left: count, wave: at_a_time.clamp(1, WAVE), before: 0, phase }
    }

    /// Whether nothing is left to do.
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// What is next, with `opening` zombies on their way and `ready` of them open.
    pub fn next(
        &mut self,
        (opening, ready): (usize, usize),
        crowd: &Crowd,
        observed: &mut Observed,
        now: Duration,
    ) -> Cue {
        match self.phase {
            Phase::Over => Cue::Over,
            Phase::Idle => {
                self.before = self.count(observed).unwrap_or_default();
                let wave = self.left.min(self.wave);
                self.left -= wave;
                self.phase = Phase::Opening;
                Cue::Begin(wave)
            }
            Phase::Opening if opening > 0 => Cue::Wait(now + LOOK),
            Phase::Opening => {
                let peak = self.count(observed).unwrap_or_default();
                if self.tables.is_some() && peak < self.before + ready as u64 {
                    self.tables = None;
                    let why = "the descriptors of --server-pid do not show its connections";
                    observed.of_mut(Kind::Reset).invisible = Some(why.to_owned());
                }
                self.phase = Phase::Watching { since: now, peak, wave: ready, gone: 0 };
                Cue::Reset
            }
            Phase::Watching { since, peak, wave, gone } => {
                self.watch((since, peak, wave, gone), crowd, observed, now)
            }
        }
    }

    fn watch(
        &mut self,
        (since, peak, wave, gone): (Duration, u64, usize, usize),
        crowd: &Crowd,
        observed: &mut Observed,
        now: Duration,
    ) -> Cue {
        let count = self.count(observed);
        let passed = now.saturating_sub(since);
        let gone_now = count.map_or(wave, |count| gone_of(wave, self.before, peak, count));
        if count.is_some() {
            let late = passed > crowd.claims.deadline(Kind::Reset, 0) + crowd.claims.grace;
            for _ in gone..gone_now {
                observed.of_mut(Kind::Reset).notice(passed, Sign::Descriptor, late);
            }
        }
        let gone = gone.max(gone_now);
        if gone < wave && passed < crowd.patience() {
            self.phase = Phase::Watching { since, peak, wave, gone };
            return Cue::Wait(now + LOOK);
        }
        observed.of_mut(Kind::Reset).unnoticed += (wave - gone) as u64;
        self.phase = if self.left == 0 { Phase::Over } else { Phase::Idle };
        Cue::Wait(now)
    }

    /// Counts the server's descriptors; `None` where they cannot be seen.
    fn count(&mut self, observed: &mut Observed) -> Option<u64> {
        let seen = &mut observed.of_mut(Kind::Reset).invisible;
        let Some(tables) = &self.tables else {
            seen.get_or_insert_with(|| "not visible without --server-pid".to_owned());
            return None;
        };
        match tables.open() {
            Ok(count) => Some(count),
            Err(error) => {
                *seen = Some(format!("the descriptors of --server-pid cannot be read: {error}"));
                self.tables = None;
                None
            }
        }
    }
}

/// How many of a wave are gone when `now` descriptors are left of `peak`, of which `before` are
/// not the wave's. One connection may count several times, once for each thread that shares the
/// table.
fn gone_of(wave: usize, before: u64, peak: u64, now: u64) -> usize {
    let (whole, gone) = (peak.saturating_sub(before), peak.saturating_sub(now));
    if gone >= whole { wave } else { (wave as u64 * gone / whole) as usize }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wave_is_gone_when_the_descriptors_are_back() {
        assert_eq!(gone_of(10, 20, 30, 30), 0);
        assert_eq!(gone_of(10, 20, 30, 24), 6);
        assert_eq!(gone_of(10, 20, 30, 20), 10);
        assert_eq!(gone_of(10, 20, 30, 19), 10);
        // Three threads share the table.
        assert_eq!(gone_of(10, 60, 90, 75), 5);
    }

    #[test]
    fn a_wave_whose_opening_failed_has_nobody_to_wait_for() {
        assert_eq!(gone_of(0, 20, 20, 20), 0);
    }
}
