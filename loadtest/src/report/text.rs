//! The report as a table to read.
//! Not the numbers themselves; those are the parent's.

use std::fmt::{self, Formatter};

use super::{
    HerdReport, Latency, Pings, Reach, Reaped, Report, SceneReport, SearchReport, ServerAccounts,
};
use crate::quantity::Quantity;

/// A scene with fewer pinged seconds than this has no heartbeat worth a line.
const SECONDS_OF_PINGS: usize = 3;

fn count(number: u64) -> String {
    Quantity::Count.text(number as f64)
}

fn rate(number: f64) -> String {
    Quantity::PerSecond.text(number.round())
}

fn micros(number: f64) -> String {
    Quantity::Micros.text(number)
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}", self.scenario, self.url)?;
        self.connections(f)?;
        writeln!(f, "  measured     {:.2} s", self.duration_seconds)?;
        self.messages(f)?;
        self.latencies(f)?;
        if let Some(reaped) = &self.reaped {
            reaped_line(f, reaped)?;
        }
        if let Some(herd) = &self.herd {
            herd_lines(f, herd)?;
        }
        for scene in &self.scenes {
            pings(f, scene.name, &scene.pings)?;
        }
        if let Some(server) = &self.server {
            accounts(f, server)?;
        }
        writeln!(f, "  generator    {}", self.generator_line())?;
        if let Some(zombies) = &self.zombies {
            write!(f, "{zombies}")?;
        }
        if self.scenario == "lifecycle" {
            lifecycle(f, &self.scenes)?;
        }
        if let Some(search) = &self.search {
            search_table(f, search)?;
        }
        self.errors_and_warnings(f)
    }
}

impl Report {
    fn connections(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (opened, wanted) = (self.connections, self.connections_wanted as u64);
        write!(f, "  connections  {}", count(opened))?;
        if opened != wanted {
            write!(f, " of {}", count(wanted))?;
        }
        if self.connect_seconds > 0.0 {
            write!(f, ", opened in {:.2} s", self.connect_seconds)?;
        }
        writeln!(f)?;
        if self.connects_total > 0 {
            let (total, each) = (count(self.connects_total), rate(self.connects_per_second));
            writeln!(f, "  handshakes   {total}, {each}")?;
        }
        Ok(())
    }

    fn messages(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.messages_total > 0 {
            let (total, each) = (count(self.messages_total), rate(self.messages_per_second));
            writeln!(
                f,
                "  messages     {total} of {} bytes, {each}",
                count(self.message_bytes as u64)
            )?;
        }
        if let (Some(total), Some(each)) = (self.deliveries_total, self.deliveries_per_second) {
            writeln!(f, "  deliveries   {}, {}", count(total), rate(each))?;
        }
        Ok(())
    }

    /// The percentiles, a column each; a row for each distribution that the run has.
    fn latencies(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut rows: Vec<(&str, &Latency)> = Vec::new();
        let what = match self.scenario {
            "broadcast" => "deliveries",
            "idle" => "heartbeats",
            "connect" if self.messages_total == 0 => "set-up",
            _ => "messages",
        };
        rows.extend(self.latency_us.as_ref().map(|latency| (what, latency)));
        if let Some(Reach { median, p99, last }) = &self.reach_us {
            rows.extend([("to half", median), ("to 99 %", p99), ("to the last", last)]);
        }
        if what != "set-up" {
            rows.extend(self.connect_us.as_ref().map(|latency| ("set-up", latency)));
        }
        if rows.is_empty() {
            return Ok(());
        }
        write!(f, "  latency     ")?;
        for name in ["p50", "p90", "p99", "p99.9", "p99.99", "max"] {
            write!(f, " {name:>9}")?;
        }
        writeln!(f)?;
        for (name, l) in rows {
            write!(f, "    {name:<10}")?;
            for value in [l.p50, l.p90, l.p99, l.p999, l.p9999, l.max] {
                write!(f, " {:>9}", micros(value))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }

    fn generator_line(&self) -> String {
        let share = 100.0 * self.generator.cpu_share;
        match self.generator.cpu_us_per_message {
            Some(cost) => format!("{share:.0} % of its CPU, {cost:.2} us a message"),
            None => format!("{share:.0} % of its CPU"),
        }
    }

    fn errors_and_warnings(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "  errors       {}", count(self.errors.total))?;
        for (kind, number) in &self.errors.kinds {
            write!(f, ", {kind} {}", count(*number))?;
        }
        for example in &self.errors.examples {
            write!(f, "\n               {example}")?;
        }
        for verdict in &self.thresholds {
            write!(f, "\n  {verdict}")?;
        }
        for warning in &self.warnings {
            write!(f, "\n  warning: {warning}")?;
        }
        Ok(())
    }
}

fn reaped_line(f: &mut Formatter<'_>, reaped: &Reaped) -> fmt::Result {
    writeln!(
        f,
        "  reaped       {}, {:.2} to {:.2} s after their last byte (median {:.2} s); {} left",
        count(reaped.total),
        reaped.min_seconds,
        reaped.max_seconds,
        reaped.p50_seconds,
        count(reaped.left)
    )
}

fn herd_lines(f: &mut Formatter<'_>, herd: &HerdReport) -> fmt::Result {
    writeln!(
        f,
        "  herd         {} dropped, {} came back: half after {:.2} s, 99 % after {:.2} s, all after {:.2} s",
        count(herd.dropped),
        count(herd.back),
        herd.p50_seconds,
        herd.p99_seconds,
        herd.max_seconds
    )?;
    writeln!(
        f,
        "  attempts     {}, of which {} failed, {} of those refused",
        count(herd.attempts),
        count(herd.failed_attempts),
        count(herd.refused_attempts)
    )
}

fn pings(f: &mut Formatter<'_>, scene: &str, pings: &Pings) -> fmt::Result {
    if pings.total == 0 || pings.by_second.len() < SECONDS_OF_PINGS {
        return Ok(());
    }
    writeln!(
        f,
        "  pings        {} in {} s of `{scene}`; a second: least {}, mean {:.1}, most {} \
         ({:.2} of the mean)",
        count(pings.total),
        pings.by_second.len(),
        count(pings.min_per_second),
        pings.mean_per_second,
        count(pings.max_per_second),
        pings.worst_over_mean
    )
}

fn accounts(f: &mut Formatter<'_>, server: &ServerAccounts) -> fmt::Result {
    write!(f, "  server CPU   {:.0} % of its cores", 100.0 * server.cpu_share)?;
    let costs = [
        (server.cpu_us_per_message, "message"),
        (server.cpu_us_per_delivery, "delivery"),
        (server.cpu_us_per_connect, "connection opened"),
    ];
    for (cost, what) in costs {
        if let Some(cost) = cost {
            write!(f, ", {cost:.2} us a {what}")?;
        }
    }
    writeln!(f)?;
    write!(
        f,
        "  server RSS   {} before, {} open, {} after measuring: {:.0} bytes a connection",
        mebibytes(server.rss_before_bytes),
        mebibytes(server.rss_open_bytes),
        mebibytes(server.rss_bytes),
        server.rss_bytes_per_connection
    )?;
    match server.kernel_bytes_per_connection {
        Some(kernel) => writeln!(f, "; kernel {} more", Quantity::Bytes.text(kernel)),
        None => writeln!(f),
    }
}

fn lifecycle(f: &mut Formatter<'_>, scenes: &[SceneReport]) -> fmt::Result {
    writeln!(f, "\n  scene                  seconds      open  server RSS  bytes a connection")?;
    for scene in scenes {
        let (name, seconds, open) = (scene.name, scene.seconds, count(scene.open));
        write!(f, "  {name:<20} {seconds:>9.2} {open:>9}")?;
        if let (Some(rss), Some(each)) =
            (scene.server_rss_bytes, scene.server_rss_bytes_per_connection)
        {
            let rss = mebibytes(rss);
            write!(f, "  {rss:>10}  {each:>18.0}")?;
        }
        writeln!(f)?;
    }
    writeln!(f)
}

fn search_table(f: &mut Formatter<'_>, search: &SearchReport) -> fmt::Result {
    let load = |load: f64| count(load.round() as u64);
    writeln!(f, "\n         {:<12} messages/s        p50        p99  server us", search.over)?;
    for step in &search.steps {
        let (name, messages) = (load(step.load), count(step.messages_per_second.round() as u64));
        let word = if step.kept { "kept" } else { "not" };
        write!(f, "  {word:<5}{name:>12} {messages:>12}")?;
        for value in step.latency_us.iter().flat_map(|l| [l.p50, l.p99]) {
            write!(f, " {:>10}", micros(value))?;
        }
        if let Some(cost) = step.cpu_us_per_message {
            write!(f, " {cost:>10.2}")?;
        }
        writeln!(f)?;
    }
    let keep = search.keep.join(", ");
    match (search.best, search.too_much) {
        (Some(best), Some(bound)) => {
            writeln!(f, "  found: {keep} up to {}, not at {}", load(best), load(bound))
        }
        (Some(best), None) => writeln!(f, "  found: {keep} up to {} at least", load(best)),
        (None, _) => writeln!(f, "  found: {keep} at no load that was tried"),
    }
}
