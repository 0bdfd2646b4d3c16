//! Samples of a long run, put together until a plot can show them.
//! Not the sampling, nor the plots.

use super::series::Second;

/// The most points a plot over time has: more than its pixels would only weigh.
const MOST: usize = 320;

/// Some seconds taken together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Slice {
    /// Its beginning, in seconds since the start of the run.
    pub from: f64,
    /// Its end.
    pub to: f64,
    /// Messages sent, a second.
    pub sent_rate: f64,
    /// Messages that came, a second.
    pub received_rate: f64,
    /// Connections opened, a second.
    pub opened_rate: f64,
    /// Errors counted.
    pub errors: u64,
    /// Connections open at its end.
    pub open: u64,
    /// The mean of the medians.
    pub p50_us: Option<f64>,
    /// The worst of the 99th percentiles: a peak must not get lost between others.
    pub p99_us: Option<f64>,
    /// The server's CPU, on average.
    pub cpu_share: Option<f64>,
    /// The server's memory at its end, in bytes.
    pub rss_bytes: Option<u64>,
}

impl Slice {
    /// The moment that stands for it.
    pub fn middle(&self) -> f64 {
        f64::midpoint(self.from, self.to)
    }

    fn of(from: f64, seconds: &[Second]) -> Slice {
        let to = seconds.last().map_or(from, |second| second.at);
        let sum = |field: fn(&Second) -> u64| seconds.iter().map(field).sum::<u64>();
        let rate = |count: u64| if to > from { count as f64 / (to - from) } else { 0.0 };
        let finite = |field: fn(&Second) -> Option<f64>| {
            seconds.iter().filter_map(field).filter(|value| value.is_finite())
        };
        let mean = |field: fn(&Second) -> Option<f64>| {
            let count = finite(field).count();
            (count > 0).then(|| finite(field).sum::<f64>() / count as f64)
        };
        Slice {
            from,
            to,
            sent_rate: rate(sum(|second| second.sent)),
            received_rate: rate(sum(|second| second.received)),
            opened_rate: rate(sum(|second| second.opened)),
            errors: sum(|second| second.errors),
            open: seconds.last().map_or(0, |second| second.open),
            p50_us: mean(|second| second.p50_us),
            p99_us: finite(|second| second.p99_us).reduce(f64::max),
            cpu_share: mean(|second| second.server_cpu_share),
            rss_bytes: seconds.iter().rev().find_map(|second| second.server_rss_bytes),
        }
    }
}

/// Puts as many neighbours together as it takes to have few enough.
pub fn slices(seconds: &[Second]) -> Vec<Slice> {
    let together = seconds.len().div_ceil(MOST).max(1);
    let mut from = 0.0;
    let mut slices = Vec::with_capacity(seconds.len() / together + 1);
    for group in seconds.chunks(together) {
        let slice = Slice::of(from, group);
        from = slice.to;
        slices.push(slice);
    }
    slices
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_runs_keep_their_sums_and_their_worst_moments() {
        let second = |index: u32| Second {
            at: f64::from(index + 1),
            received: 10,
            open: u64::from(index),
            p99_us: Some(if index == 777 { 9_000.0 } else { 100.0 }),
            ..Second::default()
        };
        let seconds: Vec<Second> = (0..3_600).map(second).collect();
        let slices = slices(&seconds);
        assert!(slices.len() <= MOST);
        let received: f64 = slices.iter().map(|s| s.received_rate * (s.to - s.from)).sum();
        assert!((received - 36_000.0).abs() < 1e-6, "{received}");
        assert_eq!(slices.iter().filter_map(|s| s.p99_us).fold(0.0, f64::max), 9_000.0);
        assert_eq!(slices.last().map(|slice| (slice.to, slice.open)), Some((3_600.0, 3_599)));
    }

    #[test]
    fn slices_without_length_or_values_give_no_nonsense() {
        let seconds = [Second { sent: 5, p50_us: Some(f64::NAN), ..Second::default() }];
        let slices = slices(&seconds);
        assert_eq!((slices[0].sent_rate, slices[0].p50_us), (0.0, None));
    }
}
