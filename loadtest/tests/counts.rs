//! The generator's counts against the server's own: pulsewheel's metrics of the same run.
//! Not latencies; no server knows those of its clients.

mod harness;

use std::time::Duration;

use harness::embedded::Embedded;
use harness::{clean_report, count, number};
use serde_json::Value;

/// Asserts that both sides have counted the same, and that all connections ended for one reason.
fn assert_agreed(server: &Embedded, report: &Value, reason: &str) {
    server.wait_until_empty();
    let opened = count(report, "/totals/opened");
    assert_eq!(server.metric("ws_connections_accepted_total"), opened, "{report}");
    assert_eq!(server.closed(), [(reason.to_owned(), opened)], "{report}");
    let received = server.metric("ws_messages_received_total");
    assert_eq!(received, count(report, "/totals/sent"), "{report}");
    let sent = server.metric("ws_messages_sent_total");
    assert_eq!(sent, count(report, "/totals/received"), "{report}");
    assert_eq!(server.metric("ws_pings_sent_total"), count(report, "/totals/pings"), "{report}");
    assert_eq!(server.metric("ws_pongs_received_total"), count(report, "/totals/pings"));
}

#[test]
fn every_message_of_echo_and_rate_is_on_both_sides_books() {
    for scenario in ["echo --pipeline 4 -c 10", "rate --rate 700 -c 20", "echo --size 0-70000 -c 3"]
    {
        let server = Embedded::start(None);
        let url = format!("ws://{}/echo", server.address);
        let line = format!("{scenario} --url {url} --warmup 200ms --duration 700ms");
        let report = clean_report(&line, &[]);
        assert!(count(&report, "/totals/sent") > count(&report, "/messages_total"), "{report}");
        assert_agreed(&server, &report, "peer_closed");
    }
}

#[test]
fn every_delivery_of_a_broadcast_is_on_both_sides_books() {
    let server = Embedded::start(None);
    let url = format!("ws://{}/broadcast", server.address);
    let line = format!(
        "broadcast --url {url} -c 40 --publishers 3 --rate 90 --warmup 200ms --duration 1s"
    );
    let report = clean_report(&line, &[]);
    assert_agreed(&server, &report, "peer_closed");
    assert_eq!(count(&report, "/totals/received"), 40 * count(&report, "/totals/sent"));
    for point in ["p50", "max"] {
        let [median, p99, last] = ["median", "p99", "last"]
            .map(|who| number(&report, &format!("/reach_us/{who}/{point}")));
        assert!(0.0 < median && median <= p99 && p99 <= last, "{report}");
    }
}

#[test]
fn every_connection_of_churn_is_on_both_sides_books() {
    let server = Embedded::start(None);
    let url = format!("ws://{}/echo", server.address);
    let line = format!("connect --churn --url {url} -c 10 --warmup 200ms --duration 800ms");
    let report = clean_report(&line, &[]);
    assert!(count(&report, "/totals/opened") > 20, "{report}");
    assert_agreed(&server, &report, "peer_closed");
}

#[test]
fn a_herds_resets_and_returns_are_on_both_sides_books() {
    let server = Embedded::start(None);
    let url = format!("ws://{}/echo", server.address);
    let line = format!("herd --url {url} -c 50 --backoff 200ms --warmup 0 --duration 20s");
    let report = clean_report(&line, &[]);
    server.wait_until_empty();
    assert_eq!(server.metric("ws_connections_accepted_total"), 100);
    let mut closed = server.closed();
    closed.sort();
    // The first fifty by reset, the others in good order.
    assert_eq!(closed, [("peer_closed".to_owned(), 50), ("peer_reset".to_owned(), 50)], "{report}");
    assert_eq!(server.metric("ws_messages_received_total"), 50);
}

#[test]
fn every_ping_to_idle_connections_is_on_both_sides_books() {
    let server = Embedded::start(Some(Duration::from_millis(900)));
    let url = format!("ws://{}/echo", server.address);
    // The echo at the end counts as life, so that no ping crosses the goodbyes.
    let line = format!("idle --url {url} -c 30 --probes 4 --warmup 0 --duration 3s --final-echo");
    let report = clean_report(&line, &[]);
    assert_agreed(&server, &report, "peer_closed");
    // Those that ping the server themselves are alive without being asked.
    assert!((2 * 26..=4 * 30).contains(&count(&report, "/totals/pings")), "{report}");
    // The probes' round trips are the latency.
    let (half, most) = (number(&report, "/latency_us/p50"), number(&report, "/latency_us/max"));
    assert!(0.0 < half && half <= most, "{report}");
    assert_eq!(count(&report, "/totals/sent"), 30, "{report}");
}
