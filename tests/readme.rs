//! The README's tables against what the server really has.

use std::fs;
use std::path::Path;

use pulsewheel::CloseReason;
use pulsewheel::admin::metrics::Exposition;
use pulsewheel::conn::Deadline;
use pulsewheel::reactor::shard::Shard;

fn readme() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap()
}

/// The cells of the row whose first cell is `name` in backticks.
fn row<'a>(readme: &'a str, name: &str) -> Option<Vec<&'a str>> {
    let start = format!("| `{name}` |");
    let row = readme.lines().find(|line| line.starts_with(&start))?;
    Some(row.trim_matches('|').split('|').map(str::trim).collect())
}

#[test]
fn every_metric_has_a_row_with_its_type() {
    let readme = readme();
    let exposition = Exposition::new(vec![Shard::new()]).render();
    let metrics: Vec<(&str, &str)> = exposition
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .map(|metric| metric.split_once(' ').unwrap())
        .collect();
    assert!(metrics.len() > 30);
    for (name, kind) in metrics {
        let suffix = match kind {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        let name = format!("{name}{suffix}");
        assert_eq!(row(&readme, &name).map(|cells| cells[1]), Some(kind), "{name}");
    }
}

#[test]
fn every_metric_that_is_named_exists() {
    let readme = readme();
    let exposition = Exposition::new(vec![Shard::new()]).render();
    let named = readme.split('`').filter(|words| words.starts_with("ws_"));
    for name in named.map(|words| words.split('{').next().unwrap()) {
        let base = name.trim_end_matches("_total").trim_end_matches("_info");
        assert!(exposition.contains(&format!("# TYPE {base} ")), "{name}");
    }
}

#[test]
fn every_deadline_has_a_row() {
    let readme = readme();
    for deadline in Deadline::ALL {
        assert!(row(&readme, deadline.as_str()).is_some(), "{deadline}");
    }
}

#[test]
fn every_close_reason_has_a_row_with_what_is_sent() {
    let readme = readme();
    for reason in CloseReason::ALL {
        let sent = match (reason.close_code(), reason.resets()) {
            _ if reason == CloseReason::PeerClosed => "the peer's own".to_owned(),
            _ if reason == CloseReason::HandlerClosed => "the handler's".to_owned(),
            (Some(code), _) => code.to_string(),
            (None, true) => "reset".to_owned(),
            (None, false) => String::new(),
        };
        assert_eq!(row(&readme, reason.as_str()).map(|cells| cells[1]), Some(&*sent), "{reason}");
    }
}

#[test]
fn the_chat_is_the_one_of_the_examples() {
    let example = include_str!("../examples/chat.rs");
    let (_, code) = example.split_once("\n\n").unwrap();
    assert!(readme().contains(code.trim_end()));
}
