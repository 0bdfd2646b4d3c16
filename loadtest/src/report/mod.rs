//! What a run amounts to, as one JSON document or as a table to read.
//! Not the measuring: every number here comes from `conductor` and `tally`.

mod charts;
mod command;
mod escape;
pub mod html;
mod measured;
mod plot;
mod scale;
pub mod series;
mod slices;
mod sum;
mod text;
mod zombies;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::threshold::Verdict;

/// The whole report. Field names are the JSON's and stay fixed.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Which scenario.
    pub scenario: &'static str,
    /// Where to.
    pub url: String,
    /// Connections that opened in the (first) opening.
    pub connections: u64,
    /// Connections that were asked for.
    pub connections_wanted: usize,
    /// How long that took, in seconds.
    pub connect_seconds: f64,
    /// Connections that opened in the measurement.
    pub connects_total: u64,
    /// The same, a second.
    pub connects_per_second: f64,
    /// From connect(2) to an open connection, over the whole run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect_us: Option<Latency>,
    /// Length of the measurement, in seconds.
    pub duration_seconds: f64,
    /// Bytes of a message's payload; where sizes differ, their mean.
    pub message_bytes: usize,
    /// Echo round trips, or messages published, in the measurement.
    pub messages_total: u64,
    /// The same, a second.
    pub messages_per_second: f64,
    /// Messages that came to a subscriber in the measurement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deliveries_total: Option<u64>,
    /// The same, a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deliveries_per_second: Option<f64>,
    /// What was counted from the first connection to the last goodbye, the warm-up included.
    pub totals: Totals,
    /// What went wrong in the whole run.
    pub errors: Errors,
    /// Echo round trips (open loop: from when each was due), times from a publication's due time to
    /// its coming to a subscriber, heartbeat round trips of `idle`, set-up times of `connect`;
    /// null where nothing of that kind was measured.
    pub latency_us: Option<Latency>,
    /// How soon a broadcast reached half, 99 % and all of its subscribers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reach_us: Option<Reach>,
    /// How a herd came back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub herd: Option<HerdReport>,
    /// What a search found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub search: Option<SearchReport>,
    /// Pings that came during the measurement.
    pub pings: Pings,
    /// Silent connections that the server hung up on, where the scenario makes them silent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reaped: Option<Reaped>,
    /// Peers that went wrong, where the scenario has any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zombies: Option<zombies::Zombies>,
    /// The server process; null unless `--server-pid` names it.
    pub server: Option<ServerAccounts>,
    /// This process.
    pub generator: GeneratorAccounts,
    /// Scene by scene.
    pub scenes: Vec<SceneReport>,
    /// Whether the run was ended early.
    pub interrupted: bool,
    /// How the run stands to each threshold that it was given.
    pub thresholds: Vec<Verdict>,
    /// What makes the numbers doubtful.
    pub warnings: Vec<String>,
}

/// Counts of the whole run, to be held against the server's own. Peers that go wrong and the messages
/// of `--subscribe` are in none of them.
#[derive(Debug, Serialize)]
pub struct Totals {
    /// Connections that opened.
    pub opened: u64,
    /// Messages sent.
    pub sent: u64,
    /// Messages that came: answers, or deliveries of a broadcast.
    pub received: u64,
    /// Pings that came, whether answered or not.
    pub pings: u64,
}

/// Errors by kind.
#[derive(Debug, Serialize)]
pub struct Errors {
    /// How many in all.
    pub total: u64,
    /// How many of each kind that occurred.
    pub kinds: BTreeMap<&'static str, u64>,
    /// The first few in words.
    pub examples: Vec<String>,
}

/// Latencies in microseconds.
#[derive(Debug, Serialize)]
#[allow(missing_docs, reason = "percentiles, named as everybody names them")]
pub struct Latency {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub p9999: f64,
    pub max: f64,
    pub mean: f64,
}

/// From a broadcast's due time until so many of its subscribers had it; for each broadcast one value.
#[derive(Debug, Serialize)]
pub struct Reach {
    /// Half of them.
    pub median: Latency,
    /// 99 of a hundred.
    pub p99: Latency,
    /// All.
    pub last: Latency,
}

/// Connections that dropped at once, and came back.
#[derive(Debug, Serialize)]
pub struct HerdReport {
    /// How many dropped.
    pub dropped: u64,
    /// How many came back.
    pub back: u64,
    /// Attempts to connect that this took.
    pub attempts: u64,
    /// Those of them that failed in whatever way.
    pub failed_attempts: u64,
    /// Those of them that the server answered with an HTTP error.
    pub refused_attempts: u64,
    /// From the drop until half of those that came back were there, in seconds.
    pub p50_seconds: f64,
    /// Until 99 of a hundred were.
    pub p99_seconds: f64,
    /// Until all were.
    pub max_seconds: f64,
}

/// A search for the largest load.
#[derive(Debug, Serialize)]
pub struct SearchReport {
    /// What was varied: `rate` or `connections`.
    pub over: &'static str,
    /// What had to hold.
    pub keep: Vec<String>,
    /// The largest load at which it did: messages a second, or connections.
    pub best: Option<f64>,
    /// The least load at which it did not.
    pub too_much: Option<f64>,
    /// Each step.
    pub steps: Vec<StepReport>,
}

/// One step of a search.
#[derive(Debug, Serialize)]
pub struct StepReport {
    /// The load that was tried.
    pub load: f64,
    /// Whether all that had to hold did.
    pub kept: bool,
    /// What went wrong in it.
    pub errors: u64,
    /// Answers a second.
    pub messages_per_second: f64,
    /// Connections that were open.
    pub connections: u64,
    /// Latencies.
    pub latency_us: Option<Latency>,
    /// The server's CPU time for each message, in microseconds.
    pub cpu_us_per_message: Option<f64>,
    /// The server's resident memory, in bytes.
    pub rss_bytes: Option<u64>,
    /// How it stands to each condition.
    pub verdicts: Vec<Verdict>,
}

/// Connections that fell silent and that the server hung up on.
#[derive(Debug, Serialize)]
pub struct Reaped {
    /// How many.
    pub total: u64,
    /// How many the server still held at the end of the measurement.
    pub left: u64,
    /// How long after its last byte the first one went, in seconds.
    pub min_seconds: f64,
    /// The median.
    pub p50_seconds: f64,
    /// The last one.
    pub max_seconds: f64,
}

/// Pings by second, over the whole seconds of a scene.
#[derive(Debug, Serialize)]
pub struct Pings {
    /// How many.
    pub total: u64,
    /// In the second with fewest.
    pub min_per_second: u64,
    /// In the second with most.
    pub max_per_second: u64,
    /// On average.
    pub mean_per_second: f64,
    /// Most over average; 0 where no ping came.
    pub worst_over_mean: f64,
    /// Each second.
    pub by_second: Vec<u64>,
}

/// The server's accounts.
#[derive(Debug, Serialize)]
pub struct ServerAccounts {
    /// Its CPU time in the measurement, in seconds.
    pub cpu_seconds: f64,
    /// The same as a share of the cores it may use.
    pub cpu_share: f64,
    /// CPU time for each message, in microseconds.
    pub cpu_us_per_message: Option<f64>,
    /// CPU time for each delivery of a broadcast, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_us_per_delivery: Option<f64>,
    /// CPU time for each connection opened (in the first opening), in microseconds.
    pub cpu_us_per_connect: Option<f64>,
    /// Resident memory before the first connection, in bytes.
    pub rss_before_bytes: u64,
    /// Resident memory when all were open, in bytes.
    pub rss_open_bytes: u64,
    /// Resident memory at the end of the measurement, in bytes.
    pub rss_bytes: u64,
    /// What of that came with the connections, for each; in bytes.
    pub rss_bytes_per_connection: f64,
    /// What this machine's kernel took for sockets since before the first connection, for each
    /// connection, in bytes; both ends where both are here.
    pub kernel_bytes_per_connection: Option<f64>,
    /// What its busiest thread used of a core, from 0 to 1.
    pub busiest_thread_share: f64,
    /// Threads.
    pub threads: u64,
}

/// The generator's own accounts.
#[derive(Debug, Serialize)]
pub struct GeneratorAccounts {
    /// Its CPU time in the measurement, in seconds.
    pub cpu_seconds: f64,
    /// The same as a share of what its threads could have used.
    pub cpu_share: f64,
    /// What its busiest thread used of a core, from 0 to 1.
    pub busiest_thread_share: f64,
    /// CPU time for each message (or delivery), in microseconds.
    pub cpu_us_per_message: Option<f64>,
    /// Threads.
    pub threads: usize,
}

/// One scene.
#[derive(Debug, Serialize)]
pub struct SceneReport {
    /// Its name.
    pub name: &'static str,
    /// When it began, in seconds since the start of the run.
    pub from_seconds: f64,
    /// How long it took.
    pub seconds: f64,
    /// Whether it is part of the measurement, or of that of one step of a search.
    pub measured: bool,
    /// Connections open at its end.
    pub open: u64,
    /// Messages that came in it.
    pub messages: u64,
    /// Pings that came in it.
    pub pings: Pings,
    /// The server's CPU time in it, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_cpu_seconds: Option<f64>,
    /// The server's resident memory after it, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_rss_bytes: Option<u64>,
    /// What of that came since before the first connection, for each connection asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_rss_bytes_per_connection: Option<f64>,
    /// What the kernel took for sockets since then, for each connection asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel_bytes_per_connection: Option<f64>,
}
