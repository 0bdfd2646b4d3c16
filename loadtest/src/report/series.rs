//! What happened when, sampled during a run: the raw material of the plots.
//! Not the sums over a whole run; those are in the parent's `Report`.

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::conductor::Outcome;
use crate::sampler::Sample;

/// Everything that is drawn. What was not sampled stays empty, and its plot is left out.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Series {
    /// Slice by slice through the run, in order; usually a second each.
    pub seconds: Vec<Second>,
    /// Latencies in the measurement by quantile, rising.
    pub percentiles: Vec<Quantile>,
    /// Connection set-up times by quantile, rising.
    pub connects: Vec<Quantile>,
    /// Times until a herd's connections were back, by evenly spread quantiles, rising.
    pub back: Vec<Quantile>,
    /// The server's memory while connections opened, by rising number of connections.
    pub memory: Vec<MemorySample>,
    /// Where in the heartbeat interval pings came.
    pub heartbeat: Option<Heartbeat>,
}

/// One slice of time: what happened since the slice before it, and how things stood at its end.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Second {
    /// Its end, in seconds since the start of the run.
    pub at: f64,
    /// Messages sent in it.
    pub sent: u64,
    /// Messages that came in it.
    pub received: u64,
    /// Connections that opened in it.
    pub opened: u64,
    /// Connections open at its end.
    pub open: u64,
    /// Pings that came in it.
    pub pings: u64,
    /// Errors counted in it.
    pub errors: u64,
    /// The median latency in it, in microseconds; `None` where no message came.
    pub p50_us: Option<f64>,
    /// The 99th percentile in it, in microseconds.
    pub p99_us: Option<f64>,
    /// The server's CPU time in it as a share of the cores it may use.
    pub server_cpu_share: Option<f64>,
    /// The server's resident memory at its end, in bytes.
    pub server_rss_bytes: Option<u64>,
}

/// One point of a latency distribution.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Quantile {
    /// The share of all that took at most so long, from 0 to 1; 1 stands for the slowest.
    pub quantile: f64,
    /// How long, in microseconds.
    pub latency_us: f64,
}

/// The server's memory at some number of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct MemorySample {
    /// Connections open then.
    pub open: u64,
    /// The server's resident memory, in bytes.
    pub rss_bytes: Option<u64>,
    /// The kernel's socket memory, in bytes.
    pub kernel_bytes: Option<u64>,
}

/// Pings by their phase in the heartbeat interval.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Heartbeat {
    /// The server's heartbeat interval, in seconds.
    pub interval_seconds: f64,
    /// Pings in each of the equal slices that the interval is cut into.
    pub slices: Vec<u64>,
}

/// Points of a distribution for each factor of ten in 1 - quantile.
const POINTS_PER_NINE: u32 = 20;
/// The finest quantile drawn is this many nines.
const NINES: u32 = 6;

/// The points at which a distribution of `count` values is drawn: evenly spread over the nines, as
/// far as that many values can tell, and the slowest.
pub fn drawn_quantiles(count: u64) -> Vec<f64> {
    if count == 0 {
        return Vec::new();
    }
    let nines = |step: u32| f64::from(step) / f64::from(POINTS_PER_NINE);
    let tails = (0..=NINES * POINTS_PER_NINE).map(|step| 10f64.powf(-nines(step)));
    let told = tails.take_while(|tail| tail * count as f64 >= 1.0);
    let mut quantiles: Vec<f64> = told.map(|tail| 1.0 - tail).collect();
    // The median lies between two of them, and everybody looks for it.
    quantiles.extend([0.5, 1.0]);
    quantiles.sort_by(f64::total_cmp);
    quantiles
}

impl Series {
    /// What can be drawn of a run.
    pub fn of(outcome: &Outcome) -> Series {
        let measured = outcome.measured();
        let samples = &outcome.samples;
        let cores = outcome
            .server_threads_and_cores
            .map_or(1, |(threads, cores)| threads.min(cores).max(1));
        let slices = &outcome.findings.pings_by_slice;
        let beats = slices.iter().any(|count| *count > 0).then(|| Heartbeat {
            interval_seconds: outcome.plan().ping_interval.as_secs_f64(),
            slices: slices.clone(),
        });
        Series {
            seconds: samples.windows(2).map(|pair| second(&pair[0], &pair[1], cores)).collect(),
            percentiles: measured.map_or(Vec::new(), |played| quantiles(&played.latency)),
            connects: quantiles(&outcome.findings.connects),
            back: evenly(&outcome.findings.back),
            memory: memory(outcome),
            heartbeat: beats,
        }
    }
}

fn quantiles(histogram: &Histogram<u64>) -> Vec<Quantile> {
    let point = |quantile: f64| Quantile {
        quantile,
        latency_us: histogram.value_at_quantile(quantile) as f64 / 1_000.0,
    };
    drawn_quantiles(histogram.len()).into_iter().map(point).collect()
}

fn evenly(histogram: &Histogram<u64>) -> Vec<Quantile> {
    let point = |percent: u32| {
        let quantile = f64::from(percent) / 100.0;
        Quantile { quantile, latency_us: histogram.value_at_quantile(quantile) as f64 / 1_000.0 }
    };
    if histogram.is_empty() { Vec::new() } else { (1..=100).map(point).collect() }
}

fn second(before: &Sample, after: &Sample, cores: u64) -> Second {
    let micros = |nanoseconds: u64| nanoseconds as f64 / 1_000.0;
    let lasted = (after.at - before.at).as_secs_f64();
    let cpu = after.server_cpu.zip(before.server_cpu);
    let (from, to) = (before.counts, after.counts);
    Second {
        at: after.at.as_secs_f64(),
        sent: to.sent - from.sent,
        received: to.received - from.received,
        opened: to.opened - from.opened,
        open: to.open,
        pings: to.pings - from.pings,
        errors: to.errors - from.errors,
        p50_us: after.p50.map(micros),
        p99_us: after.p99.map(micros),
        server_cpu_share: cpu.map(|(after, before)| {
            after.saturating_sub(before).as_secs_f64() / lasted / cores as f64
        }),
        server_rss_bytes: after.server_rss,
    }
}

/// Memory against connections, while these grow for the first time.
fn memory(outcome: &Outcome) -> Vec<MemorySample> {
    let taken = |kernel: Option<u64>| Some(kernel?.saturating_sub(outcome.kernel_before?));
    let first = outcome.rss_before.map(|rss| MemorySample {
        open: 0,
        rss_bytes: Some(rss),
        kernel_bytes: outcome.kernel_before.map(|_| 0),
    });
    let mut samples: Vec<MemorySample> = first.into_iter().collect();
    for sample in outcome.samples.iter().filter(|sample| sample.server_rss.is_some()) {
        let open = sample.counts.open;
        if samples.last().is_none_or(|last| open > last.open) {
            let kernel_bytes = taken(sample.kernel);
            samples.push(MemorySample { open, rss_bytes: sample.server_rss, kernel_bytes });
        }
    }
    samples
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_go_as_far_as_the_values_can_tell() {
        let last_but_max = |count| {
            let all = drawn_quantiles(count);
            (all[0], all[all.len() - 2], all[all.len() - 1])
        };
        assert!(drawn_quantiles(0).is_empty());
        assert_eq!(drawn_quantiles(1), [0.0, 0.5, 1.0]);
        assert!(drawn_quantiles(1_000).is_sorted());
        let (first, last, max) = last_but_max(1_001);
        assert_eq!((first, max), (0.0, 1.0));
        assert!((last - 0.999).abs() < 1e-9, "{last}");
        let (_, last, _) = last_but_max(u64::MAX);
        assert!((last - 0.999_999).abs() < 1e-9, "{last}");
    }
}
