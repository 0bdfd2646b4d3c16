//! Which connections of a thread are still to be opened, or opened again, and when.
//! Not the opening itself; that is `open`.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;
use std::time::Duration;

use crate::args::Backoff;
use crate::plan::Plan;
use crate::wire::payload::scramble;

/// Connections that one turn opens at most, so that those already open are attended to meanwhile.
const BUDGET: usize = 128;

/// Connections between connect(2) and open at most, over all threads: well below the accept queue
/// of a usual listener, which drops what it can't hold.
const PENDING: usize = 512;

/// The connections of one thread that are not there yet.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    /// Those that were never begun, by their number among this thread's.
    fresh: Range<usize>,
    /// Those that come (back) at a time of their own, with the attempts made so far.
    again: BinaryHeap<Reverse<(Duration, u32, u16)>>,
    /// Those between connect(2) and open.
    pending: usize,
    /// How many were begun since `since`.
    begun: usize,
    since: Duration,
    /// Whether who fails tries again.
    pub(super) persistent: bool,
    /// Whether all may come at once, as a herd does, however many are under way.
    pub(super) rushing: bool,
}

impl Arrivals {
    /// From `now` on the connections with these numbers come, as fast as the plan allows.
    pub(super) fn begin(&mut self, fresh: Range<usize>, persistent: bool, now: Duration) {
        self.fresh = fresh;
        self.again.clear();
        (self.begun, self.since) = (0, now);
        (self.persistent, self.rushing) = (persistent, false);
    }

    /// Nobody is to come any more; who is under way may.
    pub(super) fn end(&mut self) {
        self.fresh = 0..0;
        self.again.clear();
    }

    /// Connection `id` comes at `at`, after `attempts` attempts that failed.
    pub(super) fn come_at(&mut self, at: Duration, id: u32, attempts: u16) {
        self.again.push(Reverse((at, id, attempts)));
    }

    /// How many may be begun now.
    pub(super) fn room(&self, plan: &Plan, now: Duration) -> usize {
        let due = self.again.peek().is_some_and(|Reverse((at, ..))| *at <= now);
        let due = if due { self.again.len() } else { 0 };
        let pending = match self.rushing {
            true => usize::MAX,
            false => (PENDING / plan.threads).max(8).saturating_sub(self.pending),
        };
        let by_rate = match plan.connect_rate {
            None => usize::MAX,
            Some(rate) => {
                let elapsed = now.saturating_sub(self.since).as_secs_f64();
                let due = (elapsed * rate / plan.threads as f64) as usize;
                due.saturating_add(1).saturating_sub(self.begun)
            }
        };
        (self.fresh.len() + due).min(pending).min(by_rate).min(BUDGET)
    }

    /// The next one to begin: its number among all and the attempts it has behind it.
    pub(super) fn next(&mut self, plan: &Plan, thread: usize, now: Duration) -> Option<(u32, u16)> {
        let next = match self.again.peek() {
            Some(Reverse((at, ..))) if *at <= now => {
                self.again.pop().map(|Reverse((_, id, attempts))| (id, attempts))
            }
            _ => self.fresh.next().map(|nth| ((thread + nth * plan.threads) as u32, 0)),
        };
        self.begun += usize::from(next.is_some());
        next
    }

    /// One of those begun is under way.
    pub(super) fn under_way(&mut self) {
        self.pending += 1;
    }

    /// One of those under way is open, or has failed.
    pub(super) fn settled(&mut self) {
        self.pending = self.pending.saturating_sub(1);
    }

    /// Whether nobody is to come and nobody is under way.
    pub(super) fn is_over(&self) -> bool {
        self.fresh.is_empty() && self.again.is_empty() && self.pending == 0
    }

    /// How long a turn may wait before the next one can begin, where time alone decides.
    pub(super) fn patience(&self, plan: &Plan, now: Duration) -> Option<Duration> {
        if self.room(plan, now) > 0 {
            return Some(Duration::ZERO);
        }
        if !self.fresh.is_empty() {
            return Some(Duration::from_millis(1));
        }
        let Reverse((at, ..)) = self.again.peek()?;
        Some(at.saturating_sub(now).max(Duration::from_millis(1)))
    }
}

/// The pause before attempt number `attempts`, counted from 0, of connection `id`.
pub(super) fn pause(backoff: &Backoff, id: u32, attempts: u16, seed: u64) -> Duration {
    let whole = backoff.backoff.saturating_mul(1 << attempts.min(16)).min(backoff.backoff_max);
    let random = scramble(seed ^ u64::from(id) ^ (u64::from(attempts) + 1) << 40);
    let part = (random >> 11) as f64 / (1u64 << 53) as f64;
    whole.mul_f64(1.0 - backoff.jitter * part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backoff(jitter: f64) -> Backoff {
        let (backoff, backoff_max) = (Duration::from_secs(1), Duration::from_secs(30));
        Backoff { backoff, backoff_max, jitter, heed_retry_after: false }
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let seconds = |attempts| pause(&backoff(0.0), 1, attempts, 1).as_secs();
        assert_eq!([0, 1, 2, 3, 4, 5, 60].map(seconds), [1, 2, 4, 8, 16, 30, 30]);
    }

    #[test]
    fn jitter_spreads_a_herd_over_the_whole_pause() {
        let mut tenths = [0; 10];
        for id in 0..10_000 {
            let pause = pause(&backoff(1.0), id, 0, 7);
            tenths[(pause.as_millis() / 100).min(9) as usize] += 1;
        }
        assert!(tenths.iter().all(|count| (900..=1_100).contains(count)), "{tenths:?}");
    }

    #[test]
    fn who_is_late_comes_when_it_is_due() {
        let mut arrivals = Arrivals::default();
        let plan = crate::generator::tests::plan("echo -c 10 --threads 2");
        arrivals.begin(0..2, true, Duration::ZERO);
        arrivals.come_at(Duration::from_secs(5), 40, 3);
        let early = Duration::from_secs(1);
        assert_eq!(arrivals.next(&plan, 1, early), Some((1, 0)));
        assert_eq!(arrivals.next(&plan, 1, early), Some((3, 0)));
        assert_eq!(arrivals.next(&plan, 1, early), None);
        assert_eq!(arrivals.room(&plan, early), 0);
        assert_eq!(arrivals.patience(&plan, early), Some(Duration::from_secs(4)));
        let later = Duration::from_secs(5);
        assert_eq!(arrivals.room(&plan, later), 1);
        assert_eq!(arrivals.next(&plan, 1, later), Some((40, 3)));
        assert!(arrivals.is_over());
    }
}
