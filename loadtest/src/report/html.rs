//! The report as one HTML page that needs nothing but itself.
//! Not the plots on it (`charts`), nor the numbers; those are the parent's.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use super::charts::charts;
use super::command::command_line;
use super::escape::Escaped;
use super::plot::typographic;
use super::series::Series;
use super::{Report, SceneReport};
use crate::error::Failure;
use crate::quantity::{Quantity, number};

mod scenarios;

const STYLE: &str = include_str!("html/style.css");
const HOVER: &str = include_str!("html/hover.js");

/// What a page tells of its making.
struct Making<'a> {
    command: &'a str,
    finished: &'a str,
}

/// The page of a run that has just ended.
pub fn page(report: &Report, series: &Series) -> String {
    let finished = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let finished = finished.replace('T', " ").replace('Z', " UTC");
    render(report, series, &Making { command: &command_line(), finished: &finished })
}

/// Writes the page to a file, in place of what was there.
///
/// Fails with [`Failure::Report`], which names the file.
pub fn write(path: &Path, report: &Report, series: &Series) -> Result<(), Failure> {
    fs::write(path, page(report, series)).map_err(failure(path))
}

/// Looks before a run whether its report will find a place: nobody wants to learn that afterwards.
///
/// Fails with [`Failure::Report`], which names the file.
pub fn check(path: &Path) -> Result<(), Failure> {
    if path.exists() {
        return fs::OpenOptions::new().append(true).open(path).map(drop).map_err(failure(path));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let is_folder = folder.is_none_or(Path::is_dir);
    let missing = || io::Error::new(io::ErrorKind::NotFound, "there is no such folder");
    if is_folder { Ok(()) } else { Err(failure(path)(missing())) }
}

fn failure(path: &Path) -> impl FnOnce(io::Error) -> Failure {
    move |source| Failure::Report { path: path.to_owned(), source }
}

fn shown(quantity: Quantity, amount: f64) -> String {
    typographic(&quantity.text(amount))
}

fn render(report: &Report, series: &Series, making: &Making<'_>) -> String {
    let mut out = String::with_capacity(1 << 16);
    // Nothing may be loaded from anywhere, whatever stands on the page.
    let policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                  img-src data:";
    let (scenario, url) = (Escaped(report.scenario), Escaped(&report.url));
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <link rel=\"icon\" href=\"data:,\">\n\
         <title>{scenario} {url}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <header>\n<p class=\"kicker\">pulsewheel-loadtest</p>\n\
         <h1>{scenario} <span class=\"url\">{url}</span></h1>\n<p class=\"lead\">{lead}</p>\n\
         {badge}</header>\n",
        lead = Escaped(lead(report)),
        badge = badge(report),
    );
    for warning in &report.warnings {
        let _ = writeln!(out, "<p class=\"care\"><b>Warning:</b> {}</p>", Escaped(warning));
    }
    out.push_str(&headline(report));
    out.push_str(&verdicts(report));
    out.push_str(&scenarios::of_scenario(report));
    let plots: String = charts(report, series).iter().map(|plot| plot.figure()).collect();
    if !plots.is_empty() {
        let _ = write!(out, "<h2>Plots</h2>\n<div class=\"plots\">\n{plots}</div>\n");
    }
    let _ = write!(
        out,
        "<div class=\"pair\">\n{}{}</div>\n{}<h2>Command</h2>\n<pre>{}</pre>\n<footer>Made by \
         pulsewheel-loadtest {} on {}.</footer>\n</main>\n<script>\n{HOVER}</script>\n</body>\n\
         </html>\n",
        percentiles(report),
        errors(report),
        scenes(&report.scenes),
        Escaped(making.command),
        env!("CARGO_PKG_VERSION"),
        Escaped(making.finished)
    );
    out
}

fn lead(report: &Report) -> String {
    let connections = Quantity::Count.text(report.connections as f64);
    let seconds = number(report.duration_seconds, 3);
    let mut lead = format!("{connections} connections, measured for {seconds} s");
    if report.messages_total > 0 {
        lead += &format!(", messages of {}", Quantity::Bytes.text(report.message_bytes as f64));
    }
    if report.interrupted {
        lead += "; ended early";
    }
    lead
}

/// How it went, in a few words.
fn badge(report: &Report) -> String {
    let failed = report.thresholds.iter().filter(|verdict| verdict.failed).count();
    if report.errors.total == 0 && report.unjudged() > 0 {
        let unjudged = number(report.unjudged() as f64, 3);
        return format!("<p class=\"badge bad\">\u{2717} {unjudged} zombies not judged</p>\n");
    }
    let (class, words) = match (report.errors.total, failed, report.thresholds.len()) {
        (0, 0, 0) => ("ok", "\u{2713} no errors".to_owned()),
        (0, 0, 1) => ("ok", "\u{2713} no errors, the threshold is kept".to_owned()),
        (0, 0, all) => ("ok", format!("\u{2713} no errors, all {all} thresholds are kept")),
        (0, failed, all) => ("bad", format!("\u{2717} {failed} of {all} thresholds failed")),
        (errors, 0, _) => ("bad", format!("\u{2717} {} errors", number(errors as f64, 3))),
        (errors, failed, all) => {
            let errors = number(errors as f64, 3);
            ("bad", format!("\u{2717} {errors} errors, {failed} of {all} thresholds failed"))
        }
    };
    format!("<p class=\"badge {class}\">{words}</p>\n")
}

/// The numbers that a reader looks for first: name, amount, and what to know beside it.
fn headline(report: &Report) -> String {
    let mut cards: Vec<(&str, String, String)> = Vec::new();
    let rate = |rate: f64| shown(Quantity::PerSecond, rate.round());
    let total = |count: u64, of: &str| format!("{} {of}", number(count as f64, 3));
    if let (Some(each), Some(all)) = (report.deliveries_per_second, report.deliveries_total) {
        cards.push(("Deliveries", rate(each), total(all, "in all")));
    }
    if report.messages_total > 0 {
        let all = total(report.messages_total, "in all");
        cards.push(("Messages", rate(report.messages_per_second), all));
    }
    if let Some(latency) = &report.latency_us {
        let at_most = format!("p99.9 {}", shown(Quantity::Micros, latency.p999));
        let slowest = format!("slowest {}", shown(Quantity::Micros, latency.max));
        cards.push(("Latency, p50", shown(Quantity::Micros, latency.p50), at_most));
        cards.push(("Latency, p99", shown(Quantity::Micros, latency.p99), slowest));
    }
    let opened = number(report.connections as f64, 3);
    let within = format!("open within {} s", number(report.connect_seconds, 3));
    cards.push(("Connections", opened, within));
    if let Some(reaped) = &report.reaped {
        let after =
            format!("median after {} s; {} left", number(reaped.p50_seconds, 3), reaped.left);
        cards.push(("Reaped", number(reaped.total as f64, 3), after));
    }
    if report.pings.total > 0 {
        let each = report.pings.mean_per_second;
        let most = format!("at most {} in a second", number(report.pings.max_per_second as f64, 3));
        cards.push(("Pings", shown(Quantity::PerSecond, each), most));
    }
    if let Some(server) = &report.server {
        let share = shown(Quantity::Share, server.cpu_share);
        match server.cpu_us_per_message {
            Some(each) if report.messages_total > 0 => {
                let each = shown(Quantity::Micros, each);
                cards.push(("Server CPU a message", each, format!("{share} of its cores")));
            }
            _ => cards.push(("Server CPU", share, "of its cores".to_owned())),
        }
        let all = shown(Quantity::Bytes, server.rss_bytes as f64);
        let each = shown(Quantity::Bytes, server.rss_bytes_per_connection.round());
        cards.push(("Server RSS", all, format!("{each} a connection")));
    }
    let share = shown(Quantity::Share, report.generator.cpu_share);
    let threads = report.generator.threads;
    let threads = format!("{threads} thread{}", if threads == 1 { "" } else { "s" });
    cards.push(("Generator CPU", share, threads));
    let card = |(name, amount, beside): &(&str, String, String)| {
        let (amount, beside) = (Escaped(amount), Escaped(beside));
        format!(
            "<div><dt>{name}</dt><dd><strong>{amount}</strong><span>{beside}</span></dd></div>\n"
        )
    };
    format!("<dl class=\"numbers\">\n{}</dl>\n", cards.iter().map(card).collect::<String>())
}

fn verdicts(report: &Report) -> String {
    if report.thresholds.is_empty() {
        return String::new();
    }
    let line = |verdict: &crate::threshold::Verdict| {
        let (class, word) = if verdict.failed { ("bad", "FAILED") } else { ("ok", "ok") };
        format!(
            "<li class=\"{class}\"><span class=\"word\">{word}</span><code>{}</code><span \
             class=\"found\">{}</span></li>\n",
            Escaped(&verdict.text),
            Escaped(&verdict.found)
        )
    };
    let lines: String = report.thresholds.iter().map(line).collect();
    format!(
        "<h2>Thresholds</h2>\n<div class=\"table\"><ul class=\"verdicts\">\n{lines}</ul></div>\n"
    )
}

fn percentiles(report: &Report) -> String {
    let Some(latency) = &report.latency_us else { return String::new() };
    let rows = [
        ("p50", latency.p50),
        ("p90", latency.p90),
        ("p99", latency.p99),
        ("p99.9", latency.p999),
        ("p99.99", latency.p9999),
        ("slowest", latency.max),
        ("mean", latency.mean),
    ];
    let row = |(name, value): (&str, f64)| vec![name.to_owned(), shown(Quantity::Micros, value)];
    section("Latency", &table(&["percentile", "latency"], rows.into_iter().map(row)))
}

fn errors(report: &Report) -> String {
    let row = |(kind, count): (&&str, &u64)| vec![kind.replace('_', " "), number(*count as f64, 3)];
    let all = vec!["all kinds".to_owned(), number(report.errors.total as f64, 3)];
    let kinds = report.errors.kinds.iter().map(row);
    let mut inner = table(&["kind", "count"], kinds.chain([all]));
    if !report.errors.examples.is_empty() {
        let said = |text: &String| format!("<li>{}</li>\n", Escaped(text));
        let said: String = report.errors.examples.iter().map(said).collect();
        let _ = write!(inner, "<ul class=\"said\">\n{said}</ul>\n");
    }
    section("Errors", &inner)
}

fn scenes(scenes: &[SceneReport]) -> String {
    if scenes.is_empty() {
        return String::new();
    }
    let with_server = scenes.iter().any(|scene| scene.server_rss_bytes.is_some());
    let mut heads = vec!["scene", "seconds", "open after", "messages", "pings"];
    if with_server {
        heads.extend(["server CPU", "server RSS", "a connection"]);
    }
    let maybe = |quantity: Quantity, value: Option<f64>| {
        value.map_or_else(|| "\u{2013}".to_owned(), |value| shown(quantity, value))
    };
    let row = |scene: &SceneReport| {
        let counts = [scene.open, scene.messages, scene.pings.total];
        let mut row = vec![scene.name.to_owned(), format!("{:.2}", scene.seconds)];
        row.extend(counts.map(|count| number(count as f64, 3)));
        if with_server {
            let rss = scene.server_rss_bytes.map(|bytes| bytes as f64);
            let each = scene.server_rss_bytes_per_connection.map(f64::round);
            row.push(maybe(Quantity::Micros, scene.server_cpu_seconds.map(|s| s * 1e6)));
            row.extend([rss, each].map(|value| maybe(Quantity::Bytes, value)));
        }
        row
    };
    section("Scenes", &table(&heads, scenes.iter().map(row)))
}

fn section(title: &str, inner: &str) -> String {
    format!("<section>\n<h2>{title}</h2>\n{inner}</section>\n")
}

/// A table whose rows each begin with what the row is about.
fn table(heads: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut out = "<div class=\"table\"><table>\n<thead><tr>".to_owned();
    for head in heads {
        let _ = write!(out, "<th scope=\"col\">{}</th>", Escaped(head));
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for row in rows {
        out.push_str("<tr>");
        for (index, cell) in row.iter().enumerate() {
            let cell = Escaped(cell);
            let _ = match index {
                0 => write!(out, "<th scope=\"row\">{cell}</th>"),
                _ => write!(out, "<td>{cell}</td>"),
            };
        }
        out.push_str("</tr>\n");
    }
    out + "</tbody>\n</table></div>\n"
}

#[cfg(test)]
mod tests;
