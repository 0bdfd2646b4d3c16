//! Looks at a run while it goes on: once a second for the plots, more often for the live view.
//! Not the report at its end.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::generator::Shared;
use crate::server::{self, Server};
use crate::tally::{self, Counts};

/// How often the plots get a point, at first.
const STEP: Duration = Duration::from_secs(1);

/// Points at most; when there are so many, every second one is dropped and the step doubles.
const MOST_POINTS: usize = 3_600;

/// How things stood at one instant, and what latencies came since the one before.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Since the start of the run.
    pub at: Duration,
    /// What all threads have counted so far.
    pub counts: Counts,
    /// The median latency since the last sample, in nanoseconds, where anything came.
    pub p50: Option<u64>,
    /// The 99th percentile, likewise.
    pub p99: Option<u64>,
    /// The server's CPU time so far.
    pub server_cpu: Option<Duration>,
    /// The server's resident memory in bytes.
    pub server_rss: Option<u64>,
    /// What this machine's kernel holds for sockets, in bytes.
    pub kernel: Option<u64>,
}

/// Takes samples.
#[derive(Debug)]
pub struct Sampler {
    server: Option<Server>,
    samples: Vec<Sample>,
    step: Duration,
    next: Duration,
    passing: Histogram<u64>,
    kept: Histogram<u64>,
}

impl Sampler {
    /// For a run against `server`, where its process is known.
    pub fn new(server: Option<Server>) -> Sampler {
        Sampler {
            server,
            samples: Vec::new(),
            step: STEP,
            next: Duration::ZERO,
            passing: tally::histogram(),
            kept: tally::histogram(),
        }
    }

    /// Takes over what the threads have measured, and a sample where one is due.
    pub fn look(&mut self, shared: &Shared) {
        self.collect(shared);
        let at = shared.epoch.elapsed();
        if at < self.next {
            return;
        }
        self.next = at + self.step;
        let quantile = |histogram: &Histogram<u64>, at: f64| {
            (!histogram.is_empty()).then(|| histogram.value_at_quantile(at))
        };
        let sample = Sample {
            at,
            counts: Counts::of(&shared.tallies),
            p50: quantile(&self.passing, 0.5),
            p99: quantile(&self.passing, 0.99),
            server_cpu: self.server.and_then(|server| server.cpu_time().ok()),
            server_rss: self.server.and_then(|server| server.resident_bytes_roughly().ok()),
            kernel: self.server.and_then(|_| server::kernel_socket_bytes().ok()),
        };
        self.passing.reset();
        self.push(sample);
    }

    fn push(&mut self, sample: Sample) {
        self.samples.push(sample);
        if self.samples.len() > MOST_POINTS {
            let mut index = 0;
            self.samples.retain(|_| {
                index += 1;
                index % 2 == 0
            });
            self.step *= 2;
        }
    }

    fn collect(&mut self, shared: &Shared) {
        for latencies in &shared.latencies {
            let Ok(mut taken) = latencies.lock() else { continue };
            if taken.passing.is_empty() {
                continue;
            }
            tally::merge(&mut self.passing, &taken.passing);
            tally::merge(&mut self.kept, &taken.kept);
            taken.passing.reset();
            taken.kept.reset();
        }
    }

    /// The latest sample.
    pub fn latest(&self) -> Option<&Sample> {
        self.samples.last()
    }

    /// All samples so far.
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// The latencies that were measured since this was asked last.
    pub fn take_measured(&mut self, shared: &Shared) -> Histogram<u64> {
        self.collect(shared);
        std::mem::replace(&mut self.kept, tally::histogram())
    }
}

/// A rate between two samples, a second.
pub fn rate(before: u64, after: u64, between: Duration) -> f64 {
    let seconds = between.as_secs_f64();
    if seconds > 0.0 { after.saturating_sub(before) as f64 / seconds } else { 0.0 }
}

/// A clock that strikes every so often, for those who look at it in passing.
#[derive(Debug)]
pub struct Beat {
    every: Duration,
    last: Option<Instant>,
}

impl Beat {
    /// Strikes at once, and then `every` so often.
    pub fn every(every: Duration) -> Beat {
        Beat { every, last: None }
    }

    /// Whether it has struck since the last look.
    pub fn has_struck(&mut self) -> bool {
        let struck = self.last.is_none_or(|last| last.elapsed() >= self.every);
        if struck {
            self.last = Some(Instant::now());
        }
        struck
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_run_keeps_a_bounded_number_of_points() {
        let mut sampler = Sampler::new(None);
        for second in 0..20_000u64 {
            let sample = Sample {
                at: Duration::from_secs(second),
                counts: Counts::default(),
                p50: None,
                p99: None,
                server_cpu: None,
                server_rss: None,
                kernel: None,
            };
            sampler.push(sample);
        }
        assert!(sampler.samples().len() <= MOST_POINTS);
        assert!(sampler.step > STEP);
    }
}
