//! The JSON document: the keys that scripts rely on, for every scenario; early ends.
//! Not whether the numbers are right; the scenarios' own tests ask that.

mod harness;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use harness::embedded::Embedded;
use harness::{command, number, parse, report_with};
use serde_json::Value;

/// Every scenario, as short as it can be, and whether it measures latencies.
const SCENARIOS: [(&str, bool); 12] = [
    ("echo", true),
    ("rate --rate 100", true),
    ("idle", true),
    ("idle --mute", false),
    ("broadcast --rate 50", true),
    ("connect", true),
    ("connect --churn", true),
    ("herd --backoff 100ms", false),
    ("mixed --pause 20ms", true),
    ("search --keep p99<5s --start 100 --most 100", true),
    ("lifecycle --pause 10ms --bulk 2 --bulk-size 20KiB", false),
    ("zombies --zombies 2 --mix garbage=1,half-close=1", true),
];

#[test]
fn the_keys_stand_in_every_scenarios_document() {
    let server = Embedded::start(Some(Duration::from_millis(700)));
    let own = std::process::id();
    for (scenario, measures) in SCENARIOS {
        let path = if scenario.starts_with("broadcast") { "broadcast" } else { "echo" };
        let url = format!("ws://{}/{path}", server.address);
        let duration = match scenario.split(' ').next() {
            Some("herd") => "--duration 10s",
            // They end when each is noticed.
            Some("zombies") => "",
            _ => "--duration 1200ms",
        };
        let line =
            format!("{scenario} --url {url} -c 4 --warmup 50ms {duration} --server-pid {own}");
        let report = report_with(&line, &[]);
        let name = scenario.split(' ').next().unwrap_or_default();
        assert_eq!(report["scenario"], name);
        assert_eq!(report["errors"]["total"], 0, "{line}: {report}");
        assert!(number(&report, "/duration_seconds") > 0.0, "{line}");
        for key in ["connections", "messages_total", "messages_per_second"] {
            assert!(report[key].is_number(), "{line}: {key}: {report}");
        }
        assert_eq!(report["connections"], 4, "{line}: {report}");
        let latency = report.get("latency_us").unwrap_or_else(|| panic!("{line}: no latency_us"));
        assert!(!measures || latency.is_object(), "{line}: {report}");
        for point in ["p50", "p90", "p99", "p999", "p9999", "max"] {
            assert!(latency.is_null() || latency[point].is_number(), "{line}: {point}: {report}");
        }
        for key in ["rss_bytes", "rss_bytes_per_connection"] {
            assert!(report["server"][key].is_number(), "{line}: {key}: {report}");
        }
        for key in ["cpu_us_per_message", "kernel_bytes_per_connection"] {
            assert!(report["server"].get(key).is_some(), "{line}: {key}: {report}");
        }
        for key in ["opened", "sent", "received", "pings"] {
            assert!(report["totals"][key].is_u64(), "{line}: {key}: {report}");
        }
    }
}

#[test]
fn the_servers_part_is_null_where_nobody_named_it() {
    let line = format!("rate --url tcp://{} --warmup 0 --duration 300ms -c 2", harness::tcp_echo());
    assert_eq!(report_with(&line, &[])["server"], Value::Null);
}

/// Interrupts a run once its plain lines tell that the scene `during` has begun, and returns its
/// report.
fn interrupted(line: &str, during: &str) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pulsewheel-loadtest"));
    command.args(line.split_whitespace()).args(["--output", "json"]);
    let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().expect("the binary runs");
    let mut told = BufReader::new(child.stderr.take().expect("piped")).lines();
    let begun = told.by_ref().map_while(Result::ok).any(|said| said.contains(during));
    assert!(begun, "{line}: {during} did not begin");
    let interrupt = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(interrupt.expect("kill runs").success());
    // What is still said must find a reader.
    std::thread::spawn(move || told.map_while(Result::ok).count());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(
        output.status.code(),
        Some(0),
        "{line}: {}",
        String::from_utf8_lossy(&output.stdout)
    );
    parse(line, &output)
}

#[test]
fn a_run_that_is_ended_early_still_reports() {
    for (scenario, during) in [
        ("rate --rate 200 --duration 1h", "measure"),
        ("idle --duration 1h", "measure"),
        ("connect --churn --duration 1h", "measure"),
        ("mixed --pause 20ms --duration 1h", "measure"),
        // It tells of steps and not of scenes.
        ("search --keep p99<10s --start 50 --most 100 --duration 2s", "kept"),
    ] {
        let (address, _) = harness::echo();
        let line = format!("{scenario} --url ws://{address}/ -c 3 --warmup 0");
        let report = interrupted(&line, during);
        assert_eq!(report["interrupted"], true, "{line}: {report}");
        assert!(number(&report, "/duration_seconds") < 600.0, "{line}: {report}");
        // Churn has just begun then.
        let churns = line.contains("--churn");
        assert!(churns || report["totals"]["opened"].as_u64() >= Some(3), "{line}: {report}");
    }
}

#[test]
fn a_herd_that_is_ended_early_says_who_was_not_back() {
    let (address, _) = harness::echo();
    let line = format!(
        "herd --url ws://{address}/ -c 3 --backoff 1h --backoff-max 1h --jitter 0 --warmup 0 \
         --duration 2h"
    );
    let mut command = command(&line, &[]);
    let child = command.stdout(Stdio::piped()).spawn().expect("the binary runs");
    std::thread::sleep(Duration::from_secs(3));
    let interrupt = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(interrupt.expect("kill runs").success());
    let report = parse(&line, &child.wait_with_output().expect("it ends"));
    assert_eq!(report["interrupted"], true, "{report}");
    assert_eq!((&report["herd"]["dropped"], &report["herd"]["back"]), (&3.into(), &0.into()));
    assert_eq!(report["errors"]["kinds"]["not_back"], 3, "{report}");
}

#[test]
fn an_early_end_in_a_stall_shows_the_stall() {
    // From its 50th message on the server says nothing more.
    let (address, _) = harness::echo_by(|message, before| {
        if before < 50 {
            return message;
        }
        loop {
            std::thread::park();
        }
    });
    let line = format!("rate --url ws://{address}/ -c 4 --rate 50 --warmup 0 --duration 1h");
    let mut command = command(&line, &[]);
    let child = command.stdout(Stdio::piped()).spawn().expect("the binary runs");
    std::thread::sleep(Duration::from_secs(4));
    let interrupt = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(interrupt.expect("kill runs").success());
    let output = child.wait_with_output().expect("it ends");
    let report = parse(&line, &output);
    assert_eq!((&report["interrupted"], output.status.code()), (&true.into(), Some(1)));
    assert!(report["errors"]["kinds"]["unanswered"].as_u64() > Some(40), "{report}");
    assert!(number(&report, "/latency_us/p50") > 0.5e6, "{report}");
}
