//! What a run amounts to, as one JSON document or as a table to read.
//! Not the measuring: every number here comes from `conductor` and `tally`.

mod text;
mod zombies;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::conductor::{Outcome, Played};
use crate::plan::Traffic;
use crate::script::Act;
use crate::tally::ErrorKind;

/// The share of its CPU at which a side counts as saturated.
const SATURATED: f64 = 0.9;

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
    /// Length of the measurement, in seconds.
    pub duration_seconds: f64,
    /// Bytes of a message's payload.
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
    /// What went wrong in the whole run.
    pub errors: Errors,
    /// Echo round trips, or times from a message's intended sending to its coming to a subscriber.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_us: Option<Latency>,
    /// Pings that came during the measurement.
    pub pings: Pings,
    /// Silent connections that the server hung up on, where the scenario makes them silent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reaped: Option<Reaped>,
    /// Peers that went wrong, where the scenario has any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zombies: Option<zombies::Zombies>,
    /// The server process, where `--server-pid` names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerAccounts>,
    /// This process.
    pub generator: GeneratorAccounts,
    /// Scene by scene.
    pub scenes: Vec<SceneReport>,
    /// Whether the run was ended early.
    pub interrupted: bool,
    /// What makes the numbers doubtful.
    pub warnings: Vec<String>,
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
    /// How long it took.
    pub seconds: f64,
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
}

fn per(amount: f64, count: u64) -> Option<f64> {
    (count > 0).then(|| amount / count as f64)
}

impl Report {
    /// Sums up a run.
    pub fn of(outcome: &Outcome) -> Report {
        let plan = outcome.plan();
        let measured = outcome.played.iter().find(|played| played.scene.measured);
        let opening = outcome.played.iter().find(|played| played.scene.act == Act::Open);
        let seconds = measured.map_or(0.0, |played| played.lasted().as_secs_f64());
        let received = measured.map_or(0, |p| p.to.counts.received - p.from.counts.received);
        let sent = measured.map_or(0, |p| p.to.counts.sent - p.from.counts.sent);
        let fan_out = matches!(plan.traffic, Traffic::FanOut { .. });
        let messages = if fan_out { sent } else { received };
        let rate = |count: u64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
        let mut report = Report {
            scenario: plan.scenario,
            url: plan.target.url.clone(),
            connections: opening.map_or(0, |played| played.to.counts.opened),
            connections_wanted: plan.connections,
            connect_seconds: opening.map_or(0.0, |played| played.lasted().as_secs_f64()),
            duration_seconds: seconds,
            message_bytes: plan.size,
            messages_total: messages,
            messages_per_second: rate(messages),
            deliveries_total: fan_out.then_some(received),
            deliveries_per_second: fan_out.then(|| rate(received)),
            errors: errors(outcome),
            latency_us: latency(outcome),
            pings: pings(outcome, measured),
            reaped: reaped(outcome, measured),
            zombies: zombies::of(outcome),
            server: server(outcome, opening, measured, messages, fan_out.then_some(received)),
            generator: generator(outcome, measured, received),
            scenes: scenes(outcome),
            interrupted: outcome.interrupted,
            warnings: Vec::new(),
        };
        report.warnings = report.doubts();
        if plan.server_pid.is_some() && report.server.is_none() {
            report.warnings.push("the server process ended during the run".to_owned());
        }
        if plan.scenario != "idle" && measured.is_some_and(|played| played.to.counts.open == 0) {
            report.warnings.push("all connections were lost".to_owned());
        }
        report
    }

    /// The report as one JSON document.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("plain data has a JSON form")
    }

    /// What the reader of the numbers must know.
    fn doubts(&self) -> Vec<String> {
        let mut doubts = Vec::new();
        let idle = |server: &ServerAccounts| {
            server.cpu_share < SATURATED && server.busiest_thread_share < SATURATED
        };
        let server_idle = self.server.as_ref().is_none_or(idle);
        if self.generator.cpu_share > SATURATED && server_idle {
            doubts.push(format!(
                "the generator itself is the bottleneck ({:.0} % of its CPU used): rates and \
                 latencies say little about the server; give it more cores (--threads, --pin)",
                100.0 * self.generator.cpu_share
            ));
        }
        if self.interrupted {
            doubts.push("ended early".to_owned());
        }
        if self.connections < self.connections_wanted as u64 {
            let (open, wanted) = (self.connections, self.connections_wanted);
            doubts.push(format!("only {open} of {wanted} connections opened"));
        }
        doubts
    }
}

fn errors(outcome: &Outcome) -> Errors {
    let counts = &outcome.findings.errors;
    let kinds = ErrorKind::ALL.into_iter().filter(|kind| counts.count(*kind) > 0);
    Errors {
        total: counts.total(),
        kinds: kinds.map(|kind| (kind.name(), counts.count(kind))).collect(),
        examples: counts.examples().to_vec(),
    }
}

fn latency(outcome: &Outcome) -> Option<Latency> {
    let histogram = &outcome.findings.latency;
    let at = |quantile: f64| histogram.value_at_quantile(quantile) as f64 / 1_000.0;
    (!histogram.is_empty()).then(|| Latency {
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
        p999: at(0.999),
        p9999: at(0.9999),
        max: histogram.max() as f64 / 1_000.0,
        mean: histogram.mean() / 1_000.0,
    })
}

fn pings(outcome: &Outcome, measured: Option<&Played>) -> Pings {
    let (first, end) = measured.map_or((0, 0), |played| {
        (played.from.at.as_secs_f64().ceil() as usize, played.to.at.as_secs() as usize)
    });
    let seconds = &outcome.findings.pings_by_second;
    let by_second: Vec<u64> =
        (first..end).map(|second| seconds.get(second).copied().unwrap_or(0)).collect();
    let total: u64 = by_second.iter().sum();
    let max = by_second.iter().copied().max().unwrap_or(0);
    let mean = per(total as f64, by_second.len() as u64).unwrap_or(0.0);
    Pings {
        total,
        min_per_second: by_second.iter().copied().min().unwrap_or(0),
        max_per_second: max,
        mean_per_second: mean,
        worst_over_mean: if total > 0 { max as f64 / mean } else { 0.0 },
        by_second,
    }
}

fn reaped(outcome: &Outcome, measured: Option<&Played>) -> Option<Reaped> {
    let measured = measured.filter(|played| played.scene.act == Act::Mute)?;
    let silence = &outcome.findings.reaped;
    let seconds = |nanoseconds: u64| nanoseconds as f64 / 1e9;
    Some(Reaped {
        total: silence.len(),
        left: measured.to.counts.open,
        min_seconds: if silence.is_empty() { 0.0 } else { seconds(silence.min()) },
        p50_seconds: seconds(silence.value_at_quantile(0.5)),
        max_seconds: seconds(silence.max()),
    })
}

fn server(
    outcome: &Outcome,
    opening: Option<&Played>,
    measured: Option<&Played>,
    messages: u64,
    deliveries: Option<u64>,
) -> Option<ServerAccounts> {
    let before = outcome.rss_before?;
    let (opening, measured) = (opening?, measured?);
    let cpu = measured.server_cpu()?.as_secs_f64();
    let (threads, cores) = outcome.server_threads_and_cores.unwrap_or((1, 1));
    let available = measured.lasted().as_secs_f64() * threads.min(cores).max(1) as f64;
    let rss = measured.server_rss.unwrap_or(0);
    let opened = opening.to.counts.opened;
    let connect_cpu = opening.server_cpu().map_or(0.0, |time| time.as_secs_f64());
    Some(ServerAccounts {
        cpu_seconds: cpu,
        cpu_share: if available > 0.0 { cpu / available } else { 0.0 },
        cpu_us_per_message: per(cpu * 1e6, messages),
        cpu_us_per_delivery: deliveries.and_then(|count| per(cpu * 1e6, count)),
        cpu_us_per_connect: per(connect_cpu * 1e6, opened),
        rss_before_bytes: before,
        rss_open_bytes: opening.server_rss.unwrap_or(0),
        rss_bytes: rss,
        rss_bytes_per_connection: per(rss as f64 - before as f64, opened).unwrap_or(0.0),
        busiest_thread_share: measured.busiest_server_thread.unwrap_or(0.0),
        threads,
    })
}

fn generator(outcome: &Outcome, measured: Option<&Played>, received: u64) -> GeneratorAccounts {
    let plan = outcome.plan();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let cores = if plan.pin.is_empty() { cores } else { plan.pin.len() };
    let cpu = measured.map_or(0.0, |played| played.own_cpu().as_secs_f64());
    let lasted = measured.map_or(0.0, |played| played.lasted().as_secs_f64());
    let available = lasted * plan.threads.min(cores) as f64;
    GeneratorAccounts {
        cpu_seconds: cpu,
        cpu_share: if available > 0.0 { cpu / available } else { 0.0 },
        cpu_us_per_message: per(cpu * 1e6, received),
        threads: plan.threads,
    }
}

fn scenes(outcome: &Outcome) -> Vec<SceneReport> {
    let wanted = outcome.plan().connections as f64;
    let report = |played: &Played| SceneReport {
        name: played.scene.label,
        seconds: played.lasted().as_secs_f64(),
        open: played.to.counts.open,
        messages: played.to.counts.received - played.from.counts.received,
        pings: pings(outcome, Some(played)),
        server_cpu_seconds: played.server_cpu().map(|time| time.as_secs_f64()),
        server_rss_bytes: played.server_rss,
        server_rss_bytes_per_connection: played
            .server_rss
            .zip(outcome.rss_before)
            .map(|(after, before)| (after as f64 - before as f64) / wanted),
    };
    outcome.played.iter().map(report).collect()
}
