//! The tables that only some scenarios have: zombies, search, herd, broadcast.
//! Not those of every run; they are the parent's.

use super::{section, shown, table};
use crate::quantity::{Quantity, number};
use crate::report::charts::found;
use crate::report::escape::Escaped;
use crate::report::zombies::{KindReport, Zombies};
use crate::report::{HerdReport, Latency, Reach, Report, SearchReport, StepReport};

/// A point of a distribution.
type Point = fn(&Latency) -> f64;

/// What the scenario of this run has to tell beside what all have.
pub(super) fn of_scenario(report: &Report) -> String {
    let sections = [
        report.zombies.as_ref().map(zombies),
        report.search.as_ref().map(search),
        report.herd.as_ref().map(herd),
        report.reach_us.as_ref().map(reach),
    ];
    sections.into_iter().flatten().collect()
}

fn count(count: u64) -> String {
    number(count as f64, 3)
}

fn paragraph(text: &str) -> String {
    format!("<p class=\"lead\">{}</p>\n", Escaped(text))
}

fn zombies(zombies: &Zombies) -> String {
    let heads = [
        "kind", "count", "noticed", "late", "never", "deadline", "min", "median", "p99", "max",
        "signs",
    ];
    let rows = table(&heads, zombies.kinds.iter().map(kind_row));
    let words = format!(
        "Late is what was noticed more than {} s after its deadline. Errors among the connections \
         that behave: {}.",
        number(zombies.grace_seconds, 3),
        count(zombies.healthy_errors)
    );
    section("Zombies", &format!("{}{rows}", paragraph(&words)))
}

fn kind_row(kind: &KindReport) -> Vec<String> {
    let seen = |seen: Option<u64>| seen.map_or_else(|| "?".to_owned(), count);
    let after = |seconds: Option<f64>| match seconds {
        Some(seconds) => shown(Quantity::Micros, seconds * 1e6),
        None => "\u{2013}".to_owned(),
    };
    let deadline = match kind.deadline_seconds {
        0.0 => "at once".to_owned(),
        seconds => shown(Quantity::Seconds, seconds),
    };
    vec![
        kind.kind.to_owned(),
        count(kind.count),
        seen(kind.noticed),
        count(kind.late),
        seen(kind.not_noticed),
        deadline,
        after(kind.min_seconds),
        after(kind.p50_seconds),
        after(kind.p99_seconds),
        after(kind.max_seconds),
        kind.remarks().join(", "),
    ]
}

fn search(search: &SearchReport) -> String {
    let heads = [
        if search.over == "connections" { "connections" } else { "rate asked for" },
        "",
        "messages",
        "p50",
        "p99",
        "server CPU a message",
        "server RSS",
        "why not",
    ];
    let rows: Vec<_> = search.steps.iter().map(|step| step_row(search, step)).collect();
    // Columns of what was not looked at, or did not happen, are left out.
    let told = |column: &usize| rows.iter().any(|row| !row[*column].is_empty());
    let columns: Vec<usize> = (0..heads.len()).filter(told).collect();
    let heads: Vec<&str> = columns.iter().map(|column| heads[*column]).collect();
    let row = |row: &Vec<String>| columns.iter().map(|column| row[*column].clone()).collect();
    let rows = table(&heads, rows.iter().map(row));
    section("Steps of the search", &format!("{}{rows}", paragraph(&found(search))))
}

fn step_row(search: &SearchReport, step: &StepReport) -> Vec<String> {
    let load = match search.over {
        "connections" => shown(Quantity::Count, step.load.round()),
        _ => shown(Quantity::PerSecond, step.load.round()),
    };
    let mark = if step.kept { "\u{2713} kept" } else { "\u{2717} not" };
    let latency = |point: Point| match &step.latency_us {
        Some(latency) => shown(Quantity::Micros, point(latency)),
        None => String::new(),
    };
    let maybe = |quantity: Quantity, value: Option<f64>| {
        value.map(|value| shown(quantity, value)).unwrap_or_default()
    };
    let failed = step.verdicts.iter().filter(|verdict| verdict.failed);
    let failed: Vec<String> =
        failed.map(|verdict| format!("{} was {}", verdict.metric, verdict.found)).collect();
    let why = match (step.kept, failed.is_empty()) {
        (true, _) => String::new(),
        (false, true) => "fewer messages were sent than were due".to_owned(),
        (false, false) => failed.join(", "),
    };
    vec![
        load,
        mark.to_owned(),
        shown(Quantity::PerSecond, step.messages_per_second.round()),
        latency(|latency| latency.p50),
        latency(|latency| latency.p99),
        maybe(Quantity::Micros, step.cpu_us_per_message),
        maybe(Quantity::Bytes, step.rss_bytes.map(|bytes| bytes as f64)),
        why,
    ]
}

fn herd(herd: &HerdReport) -> String {
    let seconds = |value: f64| shown(Quantity::Seconds, value);
    let rows = [
        ("dropped", count(herd.dropped)),
        ("came back", count(herd.back)),
        ("attempts", count(herd.attempts)),
        ("failed attempts", count(herd.failed_attempts)),
        ("refused by HTTP", count(herd.refused_attempts)),
        ("half were back after", seconds(herd.p50_seconds)),
        ("99 of a hundred after", seconds(herd.p99_seconds)),
        ("the last after", seconds(herd.max_seconds)),
    ];
    let rows = rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]);
    section("Herd", &table(&["what", "count or time"], rows))
}

fn reach(reach: &Reach) -> String {
    let points: [(&str, Point); 7] = [
        ("p50", |latency| latency.p50),
        ("p90", |latency| latency.p90),
        ("p99", |latency| latency.p99),
        ("p99.9", |latency| latency.p999),
        ("p99.99", |latency| latency.p9999),
        ("slowest", |latency| latency.max),
        ("mean", |latency| latency.mean),
    ];
    let rows = points.map(|(name, point)| {
        let cell = |latency: &Latency| shown(Quantity::Micros, point(latency));
        vec![name.to_owned(), cell(&reach.median), cell(&reach.p99), cell(&reach.last)]
    });
    let heads = ["of all broadcasts", "to half", "to 99 %", "to the last"];
    let words =
        "From the time at which a broadcast was due until so many of its subscribers had it.";
    let rows = table(&heads, rows.into_iter());
    section("Reach of a broadcast", &format!("{}{rows}", paragraph(words)))
}
