//! Sums a run up: from clocks, counters and histograms to the report's numbers.
//! Not how they are shown.

use hdrhistogram::Histogram;

use super::{
    Errors, GeneratorAccounts, HerdReport, Latency, Pings, Reach, Reaped, Report, SceneReport,
    SearchReport, ServerAccounts, StepReport, Totals, zombies,
};
use crate::args::Over;
use crate::conductor::{Outcome, Played, Step, keeps_pace};
use crate::plan::Traffic;
use crate::script::Act;
use crate::tally::{Counts, ErrorKind};
use crate::wire::payload::{Payloads, Stamp};

/// The share of its CPU at which a side counts as saturated.
const SATURATED: f64 = 0.9;

fn per(amount: f64, count: u64) -> Option<f64> {
    (count > 0).then(|| amount / count as f64)
}

impl Report {
    /// Sums up a run.
    pub fn of(outcome: &Outcome) -> Report {
        let plan = outcome.plan();
        let measured = outcome.measured();
        let opening = outcome.played.iter().find(|played| played.scene.act == Act::Open);
        let seconds = measured.map_or(0.0, |played| played.lasted().as_secs_f64());
        let received = measured.map_or(0, |p| p.to.counts.received - p.from.counts.received);
        let sent = measured.map_or(0, |p| p.to.counts.sent - p.from.counts.sent);
        let opened = measured.map_or(0, |p| p.to.counts.opened - p.from.counts.opened);
        let fan_out = matches!(plan.traffic, Traffic::FanOut { .. });
        let messages = if fan_out { sent } else { received };
        let rate = |count: u64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
        let mut report = Report {
            scenario: plan.scenario,
            url: plan.target.url.clone(),
            connections: connections(outcome, opening, measured),
            connections_wanted: plan.connections,
            connect_seconds: opening.map_or(0.0, |played| played.lasted().as_secs_f64()),
            duration_seconds: seconds,
            connects_total: opened,
            connects_per_second: rate(opened),
            connect_us: latency(&outcome.findings.connects),
            message_bytes: mean_size(&plan.payloads),
            messages_total: messages,
            messages_per_second: rate(messages),
            deliveries_total: fan_out.then_some(received),
            deliveries_per_second: fan_out.then(|| rate(received)),
            totals: totals(outcome),
            errors: errors(outcome),
            latency_us: match (plan.scenario, measured) {
                // Without --churn nothing is said.
                ("connect", Some(played)) if played.latency.is_empty() => {
                    latency(&outcome.findings.connects)
                }
                (_, played) => played.and_then(|played| latency(&played.latency)),
            },
            reach_us: reach(outcome),
            herd: herd(outcome),
            search: search(outcome),
            pings: pings(outcome, measured),
            reaped: reaped(outcome, measured),
            zombies: zombies::of(outcome),
            server: server(outcome, opening, measured, messages, fan_out.then_some(received)),
            generator: generator(outcome, measured, received),
            scenes: scenes(outcome),
            interrupted: outcome.interrupted,
            thresholds: Vec::new(),
            warnings: Vec::new(),
        };
        report.thresholds = report.judge(&plan.thresholds);
        report.warnings = report.doubts();
        if plan.server_pid.is_some() && report.server.is_none() {
            report.warnings.push("the server process ended during the run".to_owned());
        }
        if report.generator_fell_behind(outcome) {
            report.warnings.push(
                "the generator did not keep its timetable: more messages were due than were sent"
                    .to_owned(),
            );
        }
        if plan.scenario != "idle" && measured.is_some_and(|played| played.to.counts.open == 0) {
            report.warnings.push("all connections were lost".to_owned());
        }
        report
    }

    /// Whether messages were due that were not sent, through no fault of the server's.
    fn generator_fell_behind(&self, outcome: &Outcome) -> bool {
        let by_rate = outcome.measured().is_some_and(|played| played.scene.rate > 0.0);
        by_rate && !self.errors.kinds.contains_key("unsent") && !keeps_pace(outcome)
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
        let busiest = self.generator.cpu_share.max(self.generator.busiest_thread_share);
        if busiest > SATURATED && server_idle {
            let whether = if self.server.is_some() { "is" } else { "may be" };
            doubts.push(format!(
                "the generator itself {whether} the bottleneck ({:.0} % of a core in its busiest \
                 thread): rates and latencies say little about the server then; give it more \
                 cores (--threads, --pin)",
                100.0 * busiest
            ));
        }
        if self.interrupted {
            doubts.push("ended early".to_owned());
        }
        if self.unjudged() > 0 {
            let unjudged = self.unjudged();
            doubts.push(format!("{unjudged} zombies were not judged: the run has failed"));
        }
        if self.connections < self.connections_wanted as u64 {
            let (open, wanted) = (self.connections, self.connections_wanted);
            doubts.push(format!("only {open} of {wanted} connections opened"));
        }
        doubts
    }
}

fn totals(outcome: &Outcome) -> Totals {
    let counts = outcome.played.last().map(|played| played.to.counts).unwrap_or_default();
    let Counts { opened, sent, received, pings, .. } = counts;
    Totals { opened, sent, received, pings }
}

fn errors(outcome: &Outcome) -> Errors {
    let counts = &outcome.findings.errors;
    // While the run goes on, the threads still keep what they found.
    let so_far = outcome.played.last().map_or(0, |played| played.to.counts.errors);
    let kinds = ErrorKind::ALL.into_iter().filter(|kind| counts.count(*kind) > 0);
    Errors {
        total: counts.total().max(so_far),
        kinds: kinds.map(|kind| (kind.name(), counts.count(kind))).collect(),
        examples: counts.examples().to_vec(),
    }
}

fn latency(histogram: &Histogram<u64>) -> Option<Latency> {
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

/// Connections that the numbers are about.
fn connections(outcome: &Outcome, opening: Option<&Played>, measured: Option<&Played>) -> u64 {
    let plan = outcome.plan();
    match (&plan.quest, opening) {
        (Some(_), _) => measured.map_or(0, |played| played.from.counts.open),
        (None, Some(opening)) => opening.to.counts.opened,
        // They come and go; so many at a time.
        (None, None) => plan.connections as u64,
    }
}

/// The mean length of some of the messages, of different connections.
fn mean_size(payloads: &Payloads) -> usize {
    const DRAWS: u32 = 500;
    let mut message = Vec::new();
    let length = |connection: u32| {
        let stamp = Stamp::new(connection, u64::from(connection));
        if !payloads.is_templated() {
            return payloads.size_of(stamp);
        }
        message.clear();
        payloads.append_whole(&mut message, stamp);
        message.len()
    };
    (0..DRAWS).map(length).sum::<usize>().div_ceil(DRAWS as usize)
}

fn reach(outcome: &Outcome) -> Option<Reach> {
    let [median, p99, last] = &outcome.findings.reach;
    Some(Reach { median: latency(median)?, p99: latency(p99)?, last: latency(last)? })
}

fn herd(outcome: &Outcome) -> Option<HerdReport> {
    let played = outcome.played.iter().find(|played| played.scene.act == Act::Herd)?;
    let findings = &outcome.findings;
    let seconds = |quantile: f64| findings.back.value_at_quantile(quantile) as f64 / 1e9;
    Some(HerdReport {
        dropped: played.from.counts.open,
        back: findings.back.len(),
        attempts: findings.attempts,
        failed_attempts: findings.failed_attempts,
        refused_attempts: findings.refused_attempts,
        p50_seconds: seconds(0.5),
        p99_seconds: seconds(0.99),
        max_seconds: seconds(1.0),
    })
}

fn search(outcome: &Outcome) -> Option<SearchReport> {
    let (quest, search) = (outcome.plan().quest.as_ref()?, outcome.search.as_ref()?);
    let step = |step: &Step| {
        let played = outcome.played.get(step.played)?;
        let received = played.to.counts.received - played.from.counts.received;
        let cpu = played.server_cpu().map(|time| time.as_secs_f64() * 1e6);
        Some(StepReport {
            load: step.load,
            kept: step.kept,
            errors: step.errors,
            messages_per_second: received as f64 / played.lasted().as_secs_f64().max(1e-9),
            connections: played.from.counts.open,
            latency_us: latency(&played.latency),
            cpu_us_per_message: cpu.and_then(|cpu| per(cpu, received)),
            rss_bytes: played.server_rss,
            verdicts: step.verdicts.clone(),
        })
    };
    Some(SearchReport {
        over: if quest.over == Over::Rate { "rate" } else { "connections" },
        keep: quest.keep.iter().map(ToString::to_string).collect(),
        best: search.best(),
        too_much: search.bound(),
        steps: outcome.steps.iter().filter_map(step).collect(),
    })
}

fn pings(outcome: &Outcome, measured: Option<&Played>) -> Pings {
    let (first, end) = measured.map_or((0, 0), |played| {
        (played.from.at.as_secs_f64().ceil() as usize, played.to.at.as_secs() as usize)
    });
    let seconds = &outcome.findings.pings_by_second;
    let by_second: Vec<u64> =
        (first..end).map(|second| seconds.get(second).copied().unwrap_or(0)).collect();
    let in_seconds: u64 = by_second.iter().sum();
    let max = by_second.iter().copied().max().unwrap_or(0);
    let mean = per(in_seconds as f64, by_second.len() as u64).unwrap_or(0.0);
    Pings {
        total: measured.map_or(0, |played| played.to.counts.pings - played.from.counts.pings),
        min_per_second: by_second.iter().copied().min().unwrap_or(0),
        max_per_second: max,
        mean_per_second: mean,
        worst_over_mean: if in_seconds > 0 { max as f64 / mean } else { 0.0 },
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
    let measured = measured?;
    // Where there was no opening, they come and go in the measurement.
    let first_opening = opening;
    let opening = opening.unwrap_or(measured);
    let cpu = measured.server_cpu()?.as_secs_f64();
    let (threads, cores) = outcome.server_threads_and_cores.unwrap_or((1, 1));
    let available = measured.lasted().as_secs_f64() * threads.min(cores).max(1) as f64;
    // A process that has died still has a CPU clock for a while, and no memory.
    let rss = measured.server_rss?;
    let opened = opening.to.counts.opened - opening.from.counts.opened;
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
        // A search over connections, or churn, has opened others than those that it holds.
        rss_bytes_per_connection: per(
            rss as f64 - before as f64,
            connections(outcome, first_opening, Some(measured)),
        )
        .unwrap_or(0.0),
        kernel_bytes_per_connection: kernel(outcome, measured)
            .and_then(|bytes| per(bytes, measured.to.counts.open)),
        busiest_thread_share: measured.busiest_server_thread.unwrap_or(0.0),
        threads,
    })
}

/// What the kernel took for sockets from before the first connection until after a scene, in bytes.
fn kernel(outcome: &Outcome, played: &Played) -> Option<f64> {
    Some(played.kernel? as f64 - outcome.kernel_before? as f64)
}

fn generator(outcome: &Outcome, measured: Option<&Played>, received: u64) -> GeneratorAccounts {
    let plan = outcome.plan();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let cores = if plan.pin.is_empty() { cores } else { plan.pin.len() };
    let cpu = measured.map_or(0.0, |played| played.own_cpu().as_secs_f64());
    let lasted = measured.map_or(0.0, |played| played.lasted().as_secs_f64());
    let available = lasted * plan.threads.min(cores) as f64;
    GeneratorAccounts {
        busiest_thread_share: measured.and_then(|played| played.busiest_own_thread).unwrap_or(0.0),
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
        from_seconds: played.from.at.as_secs_f64(),
        measured: played.scene.measured,
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
        kernel_bytes_per_connection: kernel(outcome, played).map(|bytes| bytes / wanted),
    };
    outcome.played.iter().map(report).collect()
}
