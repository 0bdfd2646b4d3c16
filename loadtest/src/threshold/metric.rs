//! What a threshold can be put on: names, units, and how values of each are typed.
//! Not where the numbers come from.

use crate::quantity::Quantity;

/// A point of a distribution of times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "percentiles, named as everybody names them")]
pub enum Point {
    P50,
    P90,
    P99,
    P999,
    P9999,
    Max,
    Mean,
}

/// Something a run may measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Of the latency of messages, in microseconds.
    Latency(Point),
    /// Of the time from a connection's beginning to its being open, in microseconds.
    Connect(Point),
    /// Errors of all kinds in the whole run.
    Errors,
    /// Errors for each connection asked for and each message measured.
    ErrorShare,
    /// Round trips or publications a second.
    MessagesPerSecond,
    /// Deliveries of a broadcast a second.
    DeliveriesPerSecond,
    /// Connections that opened.
    Connections,
    /// Silent connections that the server hung up on.
    Reaped,
    /// The server's CPU time for each message, in microseconds.
    CpuPerMessage,
    /// The server's resident memory, in bytes.
    Rss,
    /// What of that came with the connections, for each; in bytes.
    RssPerConnection,
    /// The kernel's socket memory of the server for each connection, in bytes.
    KernelPerConnection,
    /// What the generator used of its CPU, from 0 to 1.
    GeneratorCpuShare,
}

/// The metrics in the order in which they are listed, and the names that each goes by: first its
/// own, then others that people type.
const NAMES: &[(Metric, &[&str])] = &[
    (Metric::Latency(Point::P50), &["p50"]),
    (Metric::Latency(Point::P90), &["p90"]),
    (Metric::Latency(Point::P99), &["p99"]),
    (Metric::Latency(Point::P999), &["p99.9", "p999"]),
    (Metric::Latency(Point::P9999), &["p99.99", "p9999"]),
    (Metric::Latency(Point::Max), &["max"]),
    (Metric::Latency(Point::Mean), &["mean"]),
    (Metric::Connect(Point::P50), &["connect_p50"]),
    (Metric::Connect(Point::P90), &["connect_p90"]),
    (Metric::Connect(Point::P99), &["connect_p99"]),
    (Metric::Connect(Point::P999), &["connect_p99.9", "connect_p999"]),
    (Metric::Connect(Point::P9999), &["connect_p99.99", "connect_p9999"]),
    (Metric::Connect(Point::Max), &["connect_max"]),
    (Metric::Connect(Point::Mean), &["connect_mean"]),
    (Metric::Errors, &["errors"]),
    (Metric::ErrorShare, &["error_share"]),
    (Metric::MessagesPerSecond, &["messages_per_second", "rate"]),
    (Metric::DeliveriesPerSecond, &["deliveries_per_second"]),
    (Metric::Connections, &["connections"]),
    (Metric::Reaped, &["reaped"]),
    (Metric::CpuPerMessage, &["cpu_us_per_message"]),
    (Metric::Rss, &["rss_bytes"]),
    (Metric::RssPerConnection, &["rss_bytes_per_connection"]),
    (Metric::KernelPerConnection, &["kernel_bytes_per_connection"]),
    (Metric::GeneratorCpuShare, &["generator_cpu_share"]),
];

/// Units as they are typed, and how many base units each has.
type TypedUnits = &'static [(&'static str, f64)];

const TIMES: TypedUnits = &[("us", 1.0), ("µs", 1.0), ("ms", 1e3), ("s", 1e6)];
const SIZES: TypedUnits = &[
    ("", 1.0),
    ("B", 1.0),
    ("KiB", 1024.0),
    ("K", 1024.0),
    ("MiB", 1_048_576.0),
    ("M", 1_048_576.0),
    ("GiB", 1_073_741_824.0),
    ("G", 1_073_741_824.0),
    ("KB", 1e3),
    ("MB", 1e6),
    ("GB", 1e9),
];

/// All metrics, for a message to someone who typed another.
pub(super) fn listed() -> String {
    let own: Vec<&str> = NAMES.iter().filter_map(|(_, names)| names.first().copied()).collect();
    format!("the metrics are {}", own.join(", "))
}

impl Metric {
    /// The metric that goes by a name.
    pub fn named(name: &str) -> Option<Metric> {
        NAMES.iter().find(|(_, names)| names.contains(&name)).map(|(metric, _)| *metric)
    }

    /// Its own name.
    pub fn name(self) -> &'static str {
        let entry = NAMES.iter().find(|(metric, _)| *metric == self);
        entry.and_then(|(_, names)| names.first()).copied().unwrap_or("?")
    }

    /// What its values count; they are in that quantity's base unit.
    pub fn quantity(self) -> Quantity {
        match self {
            Metric::Latency(_) | Metric::Connect(_) | Metric::CpuPerMessage => Quantity::Micros,
            Metric::Errors | Metric::Connections | Metric::Reaped => Quantity::Count,
            Metric::ErrorShare | Metric::GeneratorCpuShare => Quantity::Share,
            Metric::MessagesPerSecond | Metric::DeliveriesPerSecond => Quantity::PerSecond,
            Metric::Rss | Metric::RssPerConnection | Metric::KernelPerConnection => Quantity::Bytes,
        }
    }

    /// What a run needs in order to measure it, where that is not obvious.
    /// Why a step of a search cannot tell it, if so; `accounts` says whether the server's are read.
    pub fn unknown_to_a_step(self, accounts: bool) -> Option<&'static str> {
        let reads_server = matches!(
            self,
            Metric::CpuPerMessage
                | Metric::Rss
                | Metric::RssPerConnection
                | Metric::KernelPerConnection
        );
        match self {
            Metric::Connect(_) => Some("connections are opened before a step, not in it"),
            Metric::Reaped | Metric::DeliveriesPerSecond => Some("a search has none"),
            _ if reads_server && !accounts => Some("it needs --server-pid"),
            _ => None,
        }
    }

    pub(super) fn needs(self) -> Option<&'static str> {
        match self {
            Metric::CpuPerMessage | Metric::Rss | Metric::RssPerConnection => Some("--server-pid"),
            Metric::KernelPerConnection => {
                Some("--server-pid, and a kernel that tells its socket memory")
            }
            Metric::DeliveriesPerSecond => Some("the broadcast scenario"),
            Metric::Reaped => Some("idle --mute"),
            Metric::Latency(_) => Some("messages in the measurement"),
            _ => None,
        }
    }

    fn typed_units(self) -> TypedUnits {
        match self {
            // Its name says the unit already.
            Metric::CpuPerMessage => &[("", 1.0), ("us", 1.0), ("µs", 1.0), ("ms", 1e3)],
            _ => match self.quantity() {
                Quantity::Micros | Quantity::Seconds => TIMES,
                Quantity::Bytes => SIZES,
                Quantity::Share => &[("", 1.0), ("%", 0.01)],
                Quantity::PerSecond => &[("", 1.0), ("/s", 1.0)],
                Quantity::Count => &[("", 1.0)],
            },
        }
    }

    /// Reads a value of this metric as it is typed, into its base unit.
    pub(super) fn value(self, text: &str) -> Result<f64, String> {
        let units = self.typed_units();
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let number: f64 = number.parse().map_err(|_| {
            let shown = if text.is_empty() { "nothing" } else { text };
            format!("{} takes {}, not {shown}", self.name(), self.expected())
        })?;
        let unit = unit.trim();
        let size = units.iter().find(|(name, _)| *name == unit).map(|(_, size)| *size);
        let size = size.ok_or_else(|| match unit {
            "" => format!("{} needs a unit: {}", self.name(), self.expected()),
            _ => format!("`{unit}` is no unit of {}, which takes {}", self.name(), self.expected()),
        })?;
        Ok(number * size)
    }

    fn expected(self) -> &'static str {
        match self.quantity() {
            Quantity::Micros | Quantity::Seconds if self == Metric::CpuPerMessage => {
                "microseconds such as 8.5"
            }
            Quantity::Micros | Quantity::Seconds => "a duration such as 250us, 5ms or 1.5s",
            Quantity::Bytes => "a size such as 192, 16KiB or 16MiB",
            Quantity::Share => "a share such as 0.01 or 1%",
            Quantity::Count | Quantity::PerSecond => "a number such as 1000",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_to_its_metric_and_no_name_to_two() {
        let mut seen = std::collections::BTreeSet::new();
        for (metric, names) in NAMES {
            for name in *names {
                assert!(seen.insert(*name), "{name} twice");
                assert_eq!(Metric::named(name), Some(*metric));
            }
            assert_eq!(metric.name(), names[0]);
        }
    }
}
