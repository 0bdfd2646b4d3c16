//! What a run measured of each metric that a threshold can name.
//! Not the judging; that is `threshold`.

use std::process::ExitCode;

use super::{Latency, Report};
use crate::threshold::{Metric, Point, Threshold, Verdict};

/// The exit code of a run without errors whose numbers are not what they had to be.
const THRESHOLD_FAILED: u8 = 3;

impl Report {
    /// The value of a metric in its base unit; `None` where the run did not measure it.
    pub fn measured(&self, metric: Metric) -> Option<f64> {
        let server = self.server.as_ref();
        match metric {
            Metric::Latency(point) => self.latency_us.as_ref().map(|latency| latency.at(point)),
            Metric::Connect(point) => self.connect_us.as_ref().map(|times| times.at(point)),
            Metric::Errors => Some(self.errors.total as f64),
            Metric::ErrorShare => Some(self.error_share()),
            Metric::MessagesPerSecond => {
                (self.duration_seconds > 0.0).then_some(self.messages_per_second)
            }
            Metric::DeliveriesPerSecond => {
                self.deliveries_per_second.filter(|_| self.duration_seconds > 0.0)
            }
            Metric::Connections => Some(self.connections as f64),
            Metric::Reaped => self.reaped.as_ref().map(|reaped| reaped.total as f64),
            Metric::CpuPerMessage => server?.cpu_us_per_message,
            Metric::Rss => Some(server?.rss_bytes as f64),
            Metric::RssPerConnection => Some(server?.rss_bytes_per_connection),
            Metric::KernelPerConnection => server?.kernel_bytes_per_connection,
            Metric::GeneratorCpuShare => {
                (self.duration_seconds > 0.0).then_some(self.generator.cpu_share)
            }
        }
    }

    /// Judges the run by thresholds, each by itself.
    pub fn judge(&self, thresholds: &[Threshold]) -> Vec<Verdict> {
        let judged = |one: &Threshold| one.holds(&|metric| self.measured(metric));
        thresholds.iter().map(judged).collect()
    }

    /// The process's exit code: 1 where errors were counted or zombies were not judged, else 3 where
    /// a threshold failed.
    pub fn exit_code(&self) -> ExitCode {
        if self.errors.total > self.errors_of_overload() || self.unjudged() > 0 {
            ExitCode::FAILURE
        } else if self.thresholds.iter().any(|verdict| verdict.failed) || self.found_nothing() {
            ExitCode::from(THRESHOLD_FAILED)
        } else {
            ExitCode::SUCCESS
        }
    }

    /// Zombies that the run ended before it could judge: it says nothing about the server then.
    pub fn unjudged(&self) -> u64 {
        self.zombies.as_ref().map_or(0, |zombies| zombies.unjudged)
    }

    /// Whether this was a search that ended at no load at all.
    fn found_nothing(&self) -> bool {
        self.search.as_ref().is_some_and(|search| search.best.is_none())
    }

    /// Errors at loads that a search found to be too much: looking for those is what it is for.
    fn errors_of_overload(&self) -> u64 {
        let steps = self.search.iter().flat_map(|search| &search.steps);
        steps.filter(|step| !step.kept).map(|step| step.errors).sum()
    }

    /// Errors for each thing that could go wrong: each connection asked for, each message measured.
    fn error_share(&self) -> f64 {
        let messages = self.deliveries_total.unwrap_or(self.messages_total);
        let chances = self.connections_wanted as f64 + messages as f64;
        (self.errors.total as f64 / chances.max(1.0)).min(1.0)
    }
}

impl Latency {
    /// A point of the distribution, in microseconds.
    fn at(&self, point: Point) -> f64 {
        match point {
            Point::P50 => self.p50,
            Point::P90 => self.p90,
            Point::P99 => self.p99,
            Point::P999 => self.p999,
            Point::P9999 => self.p9999,
            Point::Max => self.max,
            Point::Mean => self.mean,
        }
    }
}
