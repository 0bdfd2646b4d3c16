//! Counter, gauge and histogram with one writer each: what a shard is made of.
//! Not what is counted (that is the shard) nor how it is shown (that is the exposition).
//!
//! Each has a single writer, so an update is a relaxed load and a relaxed store: plain moves, no
//! locked instruction. Two writers would lose updates.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A number that only grows. One thread writes, any thread reads.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// A counter at zero.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Adds `n`; wraps after 2^64, as Prometheus expects of a counter that starts anew.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Adds one.
    #[inline]
    pub fn increment(&self) {
        self.add(1);
    }

    /// Takes over a sum that is counted elsewhere, and only grows there.
    #[inline]
    pub fn reach(&self, sum: u64) {
        self.0.store(sum, Relaxed);
    }

    /// The sum so far.
    #[inline]
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A level that rises and falls and is never below zero. One thread writes, any thread reads.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// A gauge at zero.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Replaces the level.
    #[inline]
    pub fn set(&self, level: u64) {
        self.0.store(level, Relaxed);
    }

    /// Raises the level by `n`.
    #[inline]
    pub fn add(&self, n: u64) {
        self.set(self.get().saturating_add(n));
    }

    /// Lowers the level by `n`; it stops at zero, so that a slip in the accounts shows as a low
    /// number and not as 18 quintillion.
    #[inline]
    pub fn sub(&self, n: u64) {
        let level = self.get();
        debug_assert!(level >= n, "a gauge at {level} was lowered by {n}");
        self.set(level.saturating_sub(n));
    }

    /// The level now.
    #[inline]
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// The most bounds a histogram may have, not counting the last bucket without one.
const MAX_BOUNDS: usize = 20;

/// How often durations fell between fixed bounds, and their sum. Microseconds within; the
/// exposition renders seconds. One thread writes, any thread reads.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [u64],
    /// One for each bound (at most that many microseconds, above the bound before), then one for
    /// everything longer. Inline: a heap block of counters could share a line with another shard's.
    buckets: [Counter; MAX_BOUNDS + 1],
    sum_micros: Counter,
}

/// What a [`Histogram`] held when it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistogramSnapshot {
    /// Upper bounds in microseconds, inclusive, ascending.
    pub bounds: &'static [u64],
    /// How many observations each bound took that no lower one did; one more at the end for those
    /// above every bound.
    pub counts: Vec<u64>,
    /// The sum of all observations in microseconds.
    pub sum_micros: u64,
}

impl HistogramSnapshot {
    /// How many observations there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Adds what another histogram with the same bounds held.
    pub fn merge(&mut self, other: &Self) {
        debug_assert_eq!(self.bounds, other.bounds, "histograms of different kinds");
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.sum_micros = self.sum_micros.wrapping_add(other.sum_micros);
    }
}

impl Histogram {
    /// An empty histogram over `bounds`: microseconds, ascending, at most 20 of them.
    ///
    /// # Panics
    ///
    /// If there are more bounds or they do not ascend; in a constant that is a compile error.
    #[must_use]
    #[expect(clippy::indexing_slicing, reason = "the loop ends before the array does")]
    pub const fn new(bounds: &'static [u64]) -> Self {
        assert!(bounds.len() <= MAX_BOUNDS, "too many bounds");
        let mut i = 1;
        while i < bounds.len() {
            assert!(bounds[i - 1] < bounds[i], "bounds must ascend");
            i += 1;
        }
        Self {
            bounds,
            buckets: [const { Counter::new() }; MAX_BOUNDS + 1],
            sum_micros: Counter::new(),
        }
    }

    /// Counts one duration of so many microseconds. A binary search over at most 20 bounds.
    #[inline]
    pub fn observe_micros(&self, micros: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < micros);
        // There is a bucket above every bound.
        if let Some(bucket) = self.buckets.get(bucket) {
            bucket.increment();
        }
        self.sum_micros.add(micros);
    }

    /// What it holds now. Read while the reactor writes, the sum may be ahead of or behind the
    /// counts by the observation under way.
    #[must_use]
    pub fn snapshot(&self) -> HistogramSnapshot {
        let counts = self.buckets.iter().take(self.bounds.len() + 1).map(Counter::get).collect();
        HistogramSnapshot { bounds: self.bounds, counts, sum_micros: self.sum_micros.get() }
    }
}

#[cfg(test)]
mod tests {
    use super::{Gauge, Histogram};

    const BOUNDS: &[u64] = &[10, 100, 1_000];

    #[test]
    fn an_observation_falls_into_the_first_bucket_whose_bound_is_not_below_it() {
        let histogram = Histogram::new(BOUNDS);
        for micros in [0, 10, 11, 100, 1_000, 1_001, 5_000_000] {
            histogram.observe_micros(micros);
        }
        let held = histogram.snapshot();
        assert_eq!(held.counts, [2, 2, 1, 2]);
        assert_eq!(held.count(), 7);
        assert_eq!(held.sum_micros, 5_002_122);
    }

    #[test]
    fn merged_snapshots_add_up() {
        let (one, other) = (Histogram::new(BOUNDS), Histogram::new(BOUNDS));
        one.observe_micros(5);
        other.observe_micros(7);
        other.observe_micros(2_000);
        let mut sum = one.snapshot();
        sum.merge(&other.snapshot());
        assert_eq!((sum.counts.as_slice(), sum.sum_micros), ([2, 0, 0, 1].as_slice(), 2_012));
    }

    #[test]
    fn a_gauge_rises_and_falls() {
        let gauge = Gauge::new();
        gauge.add(5);
        gauge.sub(3);
        assert_eq!(gauge.get(), 2);
        gauge.set(9);
        assert_eq!(gauge.get(), 9);
    }
}
