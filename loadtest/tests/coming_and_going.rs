//! Connections that come, go and come back: connect, churn, herd, mixed; counted on both sides.
//! Not what they say meanwhile.

mod harness;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use harness::{
    Seen, clean_report, count, echo, echo_messages, number, parse, report, server, start,
};
use serde_json::Value;

#[test]
fn connect_opens_all_once_and_leaves_in_good_order() {
    let (address, seen) = echo();
    let report = clean_report(&format!("connect --url ws://{address}/ -c 200"), &[]);
    assert_eq!(report["connects_total"], 200, "{report}");
    assert_eq!(report["totals"]["opened"], 200, "{report}");
    assert!(number(&report, "/connects_per_second") > 0.0, "{report}");
    assert!(number(&report, "/latency_us/p50") <= number(&report, "/latency_us/max"), "{report}");
    assert_eq!(report["latency_us"], report["connect_us"], "{report}");
    assert_eq!((Seen::of(&seen.opened), Seen::of(&seen.closed)), (200, 200));
}

#[test]
fn churn_comes_speaks_once_and_goes_all_the_time() {
    let (address, seen) = echo();
    let line = format!("connect --churn --url ws://{address}/ -c 8 --warmup 200ms --duration 1s");
    let report = clean_report(&line, &[]);
    let opened = count(&report, "/totals/opened");
    assert_eq!(opened, Seen::of(&seen.opened), "{report}");
    assert_eq!(count(&report, "/totals/sent"), Seen::of(&seen.messages), "{report}");
    assert_eq!(report["totals"]["sent"], report["totals"]["received"], "{report}");
    // Each place is taken again and again; who came last may have had no time to speak.
    assert!(opened > 16 && opened - count(&report, "/totals/sent") <= 8, "{report}");
    let measured = count(&report, "/connects_total");
    assert!(measured > 0 && measured <= opened, "{report}");
    assert_eq!(report["connections"], 8, "{report}");
}

#[test]
fn churn_keeps_to_its_connect_rate() {
    let (address, _) = echo();
    let line = format!(
        "connect --churn --url ws://{address}/ -c 8 --connect-rate 50 --warmup 0 --duration 2s"
    );
    let opened = count(&clean_report(&line, &[]), "/totals/opened");
    assert!((60..=110).contains(&opened), "{opened} in 2 s at 50 a second");
}

#[test]
fn a_herd_drops_at_once_and_all_come_back() {
    for drop in ["reset", "fin"] {
        let (address, seen) = echo();
        let line = format!(
            "herd --url ws://{address}/ -c 60 --drop {drop} --backoff 300ms --warmup 0 \
             --duration 20s"
        );
        let report = clean_report(&line, &[]);
        let herd = &report["herd"];
        assert_eq!((&herd["dropped"], &herd["back"]), (&60.into(), &60.into()), "{report}");
        assert_eq!((&herd["attempts"], &herd["failed_attempts"]), (&60.into(), &0.into()));
        assert_eq!(Seen::of(&seen.opened), 120, "{report}");
        // Each proves at the end that it lives.
        assert_eq!(Seen::of(&seen.messages), 60, "{report}");
        let [half, most, all] =
            ["p50", "p99", "max"].map(|at| number(herd, &format!("/{at}_seconds")));
        assert!(0.0 < half && half <= most && most <= all && all < 15.0, "{report}");
    }
}

/// Echoes, but answers the upgrades number `first..first + refused` with 503 and a Retry-After.
fn refusing(first: u64, refused: u64, retry_after: u32) -> (SocketAddr, Arc<Seen>) {
    let (seen, upgrades) = (Arc::new(Seen::default()), AtomicU64::new(0));
    let counted = Arc::clone(&seen);
    let address = server(move |mut stream: TcpStream| {
        let number = upgrades.fetch_add(1, Ordering::SeqCst);
        if (first..first + refused).contains(&number) {
            let mut head = [0; 2048];
            let _ = stream.read(&mut head);
            let answer = format!(
                "HTTP/1.1 503 Service Unavailable\r\nRetry-After: {retry_after}\r\n\
                 Content-Length: 0\r\nConnection: close\r\n\r\n"
            );
            let _ = stream.write_all(answer.as_bytes());
            return;
        }
        let Ok(socket) = tungstenite::accept(stream) else { return };
        echo_messages(socket, &counted, &|message, _| message);
    });
    (address, seen)
}

#[test]
fn refusals_of_a_herd_are_counted_and_are_no_errors() {
    let (address, _) = refusing(30, 25, 60);
    let line = format!(
        "herd --url ws://{address}/ -c 30 --backoff 100ms --backoff-max 400ms --warmup 0 \
         --duration 20s"
    );
    let herd = clean_report(&line, &[])["herd"].clone();
    assert_eq!((&herd["dropped"], &herd["back"]), (&30.into(), &30.into()), "{herd}");
    assert_eq!(herd["refused_attempts"], 25, "{herd}");
    assert_eq!((&herd["failed_attempts"], &herd["attempts"]), (&25.into(), &55.into()), "{herd}");
    // Nobody heeded the Retry-After.
    assert!(number(&herd, "/max_seconds") < 15.0, "{herd}");
}

#[test]
fn who_heeds_retry_after_stays_away_as_long() {
    let (address, _) = refusing(10, 10, 2);
    let line = format!(
        "herd --url ws://{address}/ -c 10 --backoff 50ms --warmup 0 --duration 20s \
         --heed-retry-after"
    );
    let herd = clean_report(&line, &[])["herd"].clone();
    assert_eq!((&herd["back"], &herd["refused_attempts"]), (&10.into(), &10.into()), "{herd}");
    assert!((2.0..15.0).contains(&number(&herd, "/max_seconds")), "{herd}");
}

#[test]
fn a_herd_that_does_not_come_back_is_an_error() {
    let (address, _) = refusing(5, 10_000, 1);
    let line = format!(
        "herd --url ws://{address}/ -c 5 --backoff 100ms --backoff-max 200ms --warmup 0 \
         --duration 1s"
    );
    let report = report(&line);
    assert_eq!(report["errors"]["kinds"]["not_back"], 5, "{report}");
    assert_eq!(report["herd"]["back"], 0, "{report}");
}

#[test]
fn mixed_repeats_with_its_seed() {
    // One burst of 1 to 50 messages each, 2 s after the beginning; the next would come at 4 s.
    let runs: Vec<_> = [7, 7, 8]
        .into_iter()
        .map(|seed| {
            let (address, seen) = echo();
            let line = format!(
                "mixed --url ws://{address}/ -c 12 --burst 1-50 --gap 1ms --pause 2s --life 1h \
                 --size 10-200 --warmup 0 --duration 3s --seed {seed} --threads 1"
            );
            (start(&line), line, seen)
        })
        .collect();
    let sent: Vec<u64> = runs
        .into_iter()
        .map(|(child, line, seen)| {
            let report = parse(&line, &child.wait_with_output().expect("it ends"));
            assert_eq!(report["errors"]["total"], 0, "{report}");
            assert_eq!(count(&report, "/totals/sent"), Seen::of(&seen.messages), "{report}");
            count(&report, "/totals/sent")
        })
        .collect();
    assert!(sent[0] > 12, "{sent:?}");
    assert_eq!(sent[0], sent[1], "the same seed");
    assert_ne!(sent[0], sent[2], "another seed");
}

#[test]
fn mixed_connections_come_and_go_without_errors() {
    let (address, seen) = echo();
    let line = format!(
        "mixed --url ws://{address}/ -c 20 --burst 1-4 --gap exp:5ms --pause lognormal:50ms,1 \
         --life exp:300ms --away exp:50ms --size lognormal:100,1 --warmup 200ms --duration 2s"
    );
    let report = clean_report(&line, &[]);
    let opened = count(&report, "/totals/opened");
    assert!(opened > 30, "they leave and come again: {report}");
    assert_eq!(opened, Seen::of(&seen.opened), "{report}");
    assert_eq!(count(&report, "/totals/sent"), Seen::of(&seen.messages), "{report}");
    assert_eq!(report["totals"]["sent"], report["totals"]["received"], "{report}");
    assert_ne!(report["latency_us"], Value::Null, "{report}");
}
