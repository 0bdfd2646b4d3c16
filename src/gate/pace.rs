//! How fast connections may come: one address, and all of them together.
//! Not for messages, which `conn::Bucket` and the reactors' total rate count.
//!
//! Both are the generic cell rate algorithm (ITU-T I.371, annex A): of a token bucket only the time
//! at which it will be full again is kept. Time is the process's, in nanoseconds, the same on all
//! reactors.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::config::Rate;

/// Nanoseconds since the process's epoch, or of a span.
pub type Nanos = u64;

/// A second.
const SECOND: Nanos = 1_000_000_000;

/// The longest that a refused client is told to stay away. A flood makes the queue as long as it
/// likes; nobody should be sent away for an hour by it.
const LONGEST_WAIT: Nanos = 60_000_000_000;

/// A rate resolved to nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Between two connections at the sustained rate; above zero.
    increment: Nanos,
    /// How far ahead of the sustained rate a burst may run.
    tolerance: Nanos,
}

impl From<Rate> for Pace {
    fn from(rate: Rate) -> Self {
        // Casts of floats saturate.
        #[expect(clippy::cast_possible_truncation, reason = "a float that is too large saturates")]
        let increment = ((1e9 / rate.per_second) as Nanos).max(1);
        Pace {
            increment,
            tolerance: increment.saturating_mul(Nanos::from(rate.burst.saturating_sub(1))),
        }
    }
}

impl Pace {
    /// Takes a token from a bucket that will be full at `full_at`: when it will be now.
    ///
    /// # Errors
    /// There is none; how long until there is.
    pub fn take(&self, full_at: Nanos, now: Nanos) -> Result<Nanos, Nanos> {
        let wait = full_at.saturating_sub(now).saturating_sub(self.tolerance);
        if wait > 0 { Err(wait) } else { Ok(full_at.max(now).saturating_add(self.increment)) }
    }
}

/// The rate of all connections together, and the queue of those that it turned away.
///
/// Who is turned away is told when to come back, and each is given a time of its own: as far behind
/// the one before as the rate asks for. So a herd comes back as it will be let in.
#[derive(Debug, Default)]
pub struct Turnstile {
    full_at: AtomicU64,
    /// The time that was given to the last one who was turned away.
    promised: AtomicU64,
}

impl Turnstile {
    /// Lets one connection through.
    ///
    /// # Errors
    /// Too many have come; when to come back.
    pub fn pass(&self, pace: &Pace, now: Nanos) -> Result<(), Nanos> {
        let taken =
            self.full_at.fetch_update(Relaxed, Relaxed, |full_at| pace.take(full_at, now).ok());
        match taken {
            Ok(_) => Ok(()),
            Err(_) => Err(self.promise(pace, now)),
        }
    }

    fn promise(&self, pace: &Pace, now: Nanos) -> Nanos {
        let next = |promised: Nanos| {
            promised.max(now).saturating_add(pace.increment).min(now.saturating_add(LONGEST_WAIT))
        };
        let before = self.promised.fetch_update(Relaxed, Relaxed, |last| Some(next(last)));
        next(before.unwrap_or(now)).saturating_sub(now)
    }
}

/// A wait in whole seconds, as `Retry-After` has it (RFC 9110 section 10.2.3), however long it is.
/// `jitter`, from 0 to 1, moves some of those who would come back together by half a second.
#[expect(clippy::cast_possible_truncation, reason = "at most half a second in nanoseconds")]
pub fn retry_after(wait: Nanos, jitter: f64) -> u64 {
    let jitter = (jitter.clamp(0.0, 1.0) * 0.5e9) as Nanos;
    wait.saturating_add(jitter).div_ceil(SECOND).max(1)
}

/// As [`retry_after`], for a time that a [`Turnstile`] gave. Where its queue is longer than anyone is
/// sent away for, the times are all the same, and `jitter` moves them by half of that.
#[expect(clippy::cast_possible_truncation, reason = "at most half a minute in nanoseconds")]
pub fn return_time(wait: Nanos, jitter: f64) -> u64 {
    if wait < LONGEST_WAIT {
        return retry_after(wait, jitter);
    }
    let jitter = jitter.clamp(0.0, 1.0) * 0.5 * LONGEST_WAIT as f64;
    retry_after((LONGEST_WAIT / 2).saturating_add(jitter as Nanos), 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(per_second: f64, burst: u32) -> Pace {
        Pace::from(Rate { per_second, burst })
    }

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let (pace, turnstile) = (pace(100.0, 20), Turnstile::default());
        let mut now = 5 * SECOND;
        assert_eq!((0..100).filter(|_| turnstile.pass(&pace, now).is_ok()).count(), 20);
        let mut passed = 0;
        for _ in 0..1_000 {
            now += SECOND / 1_000;
            passed += usize::from(turnstile.pass(&pace, now).is_ok());
        }
        assert!((99..=101).contains(&passed), "{passed} in a second");
    }

    #[test]
    fn the_wait_it_names_is_enough() {
        let pace = pace(3.0, 1);
        let full_at = pace.take(0, 0).unwrap();
        let wait = pace.take(full_at, 0).unwrap_err();
        assert!(pace.take(full_at, wait - 1).is_err());
        assert!(pace.take(full_at, wait).is_ok());
    }

    #[test]
    fn the_slowest_and_the_fastest_rate_are_rates() {
        let day = pace(1.0 / 86_400.0, 1);
        let full_at = day.take(0, 7).unwrap();
        assert!(day.take(full_at, 86_399 * SECOND).is_err());
        assert!(day.take(full_at, 86_401 * SECOND).is_ok());
        let fast = pace(1e9, u32::MAX);
        assert_eq!(fast.take(u64::MAX, u64::MAX), Ok(u64::MAX));
    }

    /// Ten thousand at once, two thousand a second: whoever comes back when told to is let in, and
    /// the last one is in within five seconds or so.
    #[test]
    fn a_herd_that_comes_back_when_told_to_is_in_at_the_rate() {
        let (pace, turnstile) = (pace(2000.0, 2000), Turnstile::default());
        let mut random = fastrand::Rng::with_seed(5);
        let mut due: Vec<Nanos> = (0..10_000).map(|_| random.u64(0..SECOND / 2)).collect();
        let (mut attempts, mut last) = (0, 0);
        while !due.is_empty() {
            due.sort_unstable();
            let mut later = Vec::new();
            for now in due {
                attempts += 1;
                match turnstile.pass(&pace, now) {
                    Ok(()) => last = last.max(now),
                    Err(wait) => {
                        later.push(now + return_time(wait, random.f64()) * SECOND);
                    }
                }
            }
            due = later;
        }
        assert!(last < 7 * SECOND, "the last one after {last} ns");
        assert!(attempts < 25_000, "{attempts} attempts");
    }

    #[test]
    fn a_flood_sends_nobody_away_for_longer_than_a_minute() {
        let (pace, turnstile) = (pace(10.0, 1), Turnstile::default());
        let longest = (0..100_000).filter_map(|_| turnstile.pass(&pace, 0).err()).max();
        assert_eq!(longest, Some(LONGEST_WAIT));
        assert_eq!([0.0, 0.5, 1.0].map(|jitter| return_time(LONGEST_WAIT, jitter)), [30, 45, 60]);
    }

    #[test]
    fn a_wait_is_told_in_whole_seconds_and_never_as_none() {
        for (wait, jitter, seconds) in
            [(1, 0.0, 1), (SECOND, 0.0, 1), (SECOND, 0.9, 2), (SECOND / 4, 1.0, 1), (0, 0.0, 1)]
        {
            assert_eq!(retry_after(wait, jitter), seconds, "{wait} ns");
            assert_eq!(return_time(wait, jitter), seconds, "{wait} ns");
        }
    }

    /// One connection an hour: to come back after a minute would be to be refused again.
    #[test]
    fn an_address_is_told_the_whole_wait_of_a_slow_rate() {
        let pace = pace(1.0 / 3600.0, 1);
        let full_at = pace.take(0, 0).unwrap();
        let wait = pace.take(full_at, 0).unwrap_err();
        assert_eq!(retry_after(wait, 0.0), 3600);
        assert!(pace.take(full_at, retry_after(wait, 0.7) * SECOND).is_ok());
    }
}
