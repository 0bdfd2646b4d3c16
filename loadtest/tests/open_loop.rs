//! Load by the clock: does the open loop keep its timetable, and does it show a stall for what it is?
//! Not the closed loop's own matters, but for what it hides.

mod harness;

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use harness::{clean_report, count, echo, echo_by, number};

/// An echo that stands still, on all connections, for a second when message number `at` has come.
fn stalling_echo(at: u64) -> std::net::SocketAddr {
    let gate = Arc::new(Mutex::new(()));
    let (address, _) = echo_by(move |message, before| {
        let passage = gate.lock().expect("alive");
        if before == at {
            thread::sleep(Duration::from_secs(1));
        }
        drop(passage);
        message
    });
    address
}

#[test]
fn a_stall_shows_in_the_open_loops_percentiles_as_long_as_it_was() {
    // 200 messages a second for 5 s; the stall begins in the middle. Of the messages due in it, one
    // that was due x seconds before its end waits for x: so (1 - x) / 5 of all wait longer than x.
    let address = stalling_echo(500);
    let line = format!("rate --url ws://{address}/ -c 10 --rate 200 --warmup 0 --duration 5s");
    let report = clean_report(&line, &[]);
    let seconds = |name: &str| number(&report, &format!("/latency_us/{name}")) / 1e6;
    let told = &report["latency_us"];
    assert!(seconds("p50") < 0.1, "{told}");
    // A tenth waits for more than half a second.
    assert!((0.4..0.7).contains(&seconds("p90")), "{told}");
    assert!((0.85..1.3).contains(&seconds("p99")), "{told}");
    assert!((0.95..1.4).contains(&seconds("max")), "{told}");
    // A fifth of them waits half a second in the mean.
    assert!((0.08..0.2).contains(&seconds("mean")), "{told}");
    // None was left out because of it.
    assert!((990..=1_001).contains(&count(&report, "/messages_total")), "{report}");
}

#[test]
fn a_connection_that_is_lost_takes_nothing_along_that_was_due() {
    // Message 100 is never answered: a second later its connection is dropped.
    let (address, _) = echo_by(|message, before| {
        if before == 100 {
            thread::sleep(Duration::from_secs(1));
            panic!("as planned");
        }
        message
    });
    let line = format!("rate --url ws://{address}/ -c 5 --rate 100 --warmup 0 --duration 4s");
    let report = harness::report(&line);
    // On the connection that is lost a message was due every 50 ms: for a second they waited, and
    // for two there was nothing to send them on. When that second was over is the machine's affair.
    let kinds = &report["errors"]["kinds"];
    let (unanswered, unsent) = (count(kinds, "/unanswered"), count(kinds, "/unsent"));
    assert!(unanswered >= 10 && unsent >= 10, "{report}");
    assert!((50..=65).contains(&(unanswered + unsent)), "{report}");
    assert!(number(&report, "/latency_us/max") > 0.9e6, "{report}");
}

#[test]
fn a_closed_loop_hides_the_same_stall() {
    let line = format!("echo --url ws://{}/ -c 4 --warmup 0 --duration 3s", stalling_echo(2_000));
    let report = clean_report(&line, &[]);
    assert!(number(&report, "/latency_us/max") > 0.9e6, "{report}");
    // One message of each connection met it, and nobody asked while it lasted.
    assert!(count(&report, "/messages_total") > 2_000, "{report}");
    assert!(number(&report, "/latency_us/p99") < 0.3e6, "{report}");
}

#[test]
fn a_rate_is_kept_whatever_the_number_of_connections() {
    for (connections, rate) in [(1, 300), (7, 500), (50, 20)] {
        let (address, seen) = echo();
        let line = format!(
            "rate --url ws://{address}/ -c {connections} --rate {rate} --warmup 500ms --duration 2s"
        );
        let report = clean_report(&line, &[]);
        let messages = number(&report, "/messages_total");
        let due = 2.0 * f64::from(rate);
        assert!((messages - due).abs() <= 0.1 * due + 2.0, "{messages} of {due}");
        assert_eq!(count(&report, "/totals/sent"), harness::Seen::of(&seen.messages), "{report}");
        assert_eq!(report["totals"]["sent"], report["totals"]["received"], "{report}");
    }
}

#[test]
fn a_ramp_spreads_the_opening_evenly() {
    let (address, _) = echo();
    let line = format!("idle --url ws://{address}/ -c 20 --ramp 1s --warmup 0 --duration 200ms");
    let report = clean_report(&line, &[]);
    let took = number(&report, "/connect_seconds");
    assert!((0.9..5.0).contains(&took), "{took}");
    assert_eq!(report["connections"], 20);
}

#[test]
fn an_overload_is_told_by_latency_and_not_by_a_lower_rate() {
    // Two milliseconds for each message, one after the other: half of what is asked for.
    let turn = Arc::new(Mutex::new(()));
    let (address, _) = echo_by(move |message, _| {
        let _turn = turn.lock().expect("alive");
        thread::sleep(Duration::from_millis(2));
        message
    });
    let line = format!("rate --url ws://{address}/ -c 4 --rate 1000 --warmup 0 --duration 1500ms");
    let report = clean_report(&line, &[]);
    let due = 1_500.0;
    assert!((number(&report, "/totals/sent") - due).abs() < 50.0, "{report}");
    assert!(number(&report, "/latency_us/p99") > 0.5e6, "{report}");
}
