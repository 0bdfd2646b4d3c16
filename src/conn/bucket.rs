//! A token bucket in one number: the generic cell rate algorithm (ITU-T I.371, annex A).
//! Not for waiting: it says when the next message conforms, the wheel does the waiting.

use super::tick::TICK_MICROS;
use crate::config::Rate;

/// A rate resolved to microseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// Microseconds between two messages at the sustained rate.
    increment: f64,
    /// How far ahead of the sustained rate a burst may run, in microseconds.
    tolerance: f64,
}

impl From<Rate> for Pace {
    fn from(rate: Rate) -> Self {
        let increment = 1e6 / rate.per_second;
        let burst = increment * f64::from(rate.burst.saturating_sub(1));
        // A paused peer is resumed on a tick, so what a tick brings must fit in, or rates of more
        // than one message a tick could not be reached with a small burst.
        Pace { increment, tolerance: burst.max((TICK_MICROS as f64 - increment).max(0.0)) }
    }
}

/// The state: when the bucket is full again, in microseconds since the start.
///
/// A bucket that is full (which every idle one is) equals the default.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bucket {
    full_at: f64,
}

impl Bucket {
    /// Microseconds until the next token; `None` if there is one.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "a float that is too large saturates")]
    pub fn wait(&self, pace: &Pace, now_micros: u64) -> Option<u64> {
        let early = self.full_at - now_micros as f64 - pace.tolerance;
        (early > 0.0).then(|| (early.ceil() as u64).max(1))
    }

    /// Takes one token, even one that is not there yet.
    #[inline]
    pub fn take(&mut self, pace: &Pace, now_micros: u64) {
        self.full_at = self.full_at.max(now_micros as f64) + pace.increment;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes a token if there is one.
    fn passes(bucket: &mut Bucket, pace: &Pace, now: u64) -> bool {
        let conforms = bucket.wait(pace, now).is_none();
        if conforms {
            bucket.take(pace, now);
        }
        conforms
    }

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let pace = Pace::from(Rate { per_second: 100.0, burst: 20 });
        let mut bucket = Bucket::default();
        let mut now = 5_000_000;
        assert_eq!((0..100).filter(|_| passes(&mut bucket, &pace, now)).count(), 20);
        let mut passed = 0;
        for _ in 0..1_000 {
            now += 1_000;
            passed += usize::from(passes(&mut bucket, &pace, now));
        }
        assert!((99..=101).contains(&passed), "{passed} in a second");
    }

    #[test]
    fn the_wait_it_names_is_enough() {
        let pace = Pace::from(Rate { per_second: 3.0, burst: 1 });
        let mut bucket = Bucket::default();
        bucket.take(&pace, 0);
        let wait = bucket.wait(&pace, 0).unwrap();
        assert!(bucket.wait(&pace, wait - 2).is_some());
        assert!(bucket.wait(&pace, wait).is_none());
    }

    #[test]
    fn a_rate_of_once_an_hour_is_a_rate() {
        let pace = Pace::from(Rate { per_second: 1.0 / 3600.0, burst: 1 });
        let mut bucket = Bucket::default();
        bucket.take(&pace, 0);
        assert!(bucket.wait(&pace, 3_599_000_000).is_some());
        assert!(bucket.wait(&pace, 3_600_000_001).is_none());
    }

    #[test]
    fn a_fast_rate_is_reached_by_looking_once_a_tick() {
        let pace = Pace::from(Rate { per_second: 5_000.0, burst: 1 });
        let mut bucket = Bucket::default();
        let mut passed = 0;
        for tick in 1..=100 {
            while passes(&mut bucket, &pace, tick * TICK_MICROS) {
                passed += 1;
            }
        }
        assert!((4_950..=5_050).contains(&passed), "{passed} in a second");
    }
}
