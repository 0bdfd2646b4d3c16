//! What is sent and how the answer is told: sizes, templates, stamps, subscriptions.
//! Not when it is sent.

mod harness;

use std::sync::{Arc, Mutex};

use harness::{clean_report, count, echo, echo_by, number, pubsub, report_with, run};
use tungstenite::Message;

const SHORT: &str = "-c 3 --warmup 0 --duration 500ms";

/// An echo, and what came to it.
fn recording_echo() -> (std::net::SocketAddr, Arc<Mutex<Vec<Message>>>) {
    let kept: Arc<Mutex<Vec<Message>>> = Arc::default();
    let record = Arc::clone(&kept);
    let (address, _) = echo_by(move |message, _| {
        record.lock().expect("alive").push(message.clone());
        message
    });
    (address, kept)
}

#[test]
fn sizes_follow_their_distribution() {
    for (size, least, most) in [
        ("77", 77, 77),
        ("100-300", 100, 300),
        ("lognormal:200,0.8,most=3KiB", 0, 3_072),
        ("exp:100,most=1KiB", 0, 1_024),
    ] {
        let (address, kept) = recording_echo();
        let line = format!("rate --url ws://{address}/ {SHORT} --rate 800 --binary --size {size}");
        let report = clean_report(&line, &[]);
        let mut sizes: Vec<usize> = kept.lock().expect("alive").iter().map(Message::len).collect();
        sizes.sort_unstable();
        let (first, last) = (sizes[0], sizes[sizes.len() - 1]);
        assert!(first >= least && last <= most, "{size}: {first} to {last}");
        assert!(least == most || last > first + 100, "{size}: {first} to {last}");
        let mean = sizes.iter().sum::<usize>() as f64 / sizes.len() as f64;
        let told = number(&report, "/message_bytes");
        assert!((0.6..1.7).contains(&(mean / told)), "{size}: {mean}, told {told}");
    }
}

#[test]
fn a_template_is_sent_as_it_reads_and_its_echo_checked_exactly() {
    let (address, kept) = recording_echo();
    let template = r#"{"from":{connection},"n":{sequence},"id":"{stamp}","pad":"{filler}"}"#;
    let line = format!("echo --url ws://{address}/ {SHORT} --size 90");
    let report = clean_report(&line, &["--message", template]);
    assert!(count(&report, "/messages_total") > 0, "{report}");
    let kept = kept.lock().expect("alive");
    let mut next = [0; 3];
    for message in kept.iter() {
        let text = message.to_text().expect("text");
        let value: serde_json::Value = serde_json::from_str(text).expect("JSON");
        let from = value["from"].as_u64().expect("a number") as usize;
        assert_eq!(value["n"], next[from], "{text}");
        next[from] += 1;
        assert!(value["id"].as_str().is_some_and(|stamp| stamp.starts_with("pw")), "{text}");
        assert_eq!(text.len(), 90, "{text}");
    }
}

#[test]
fn a_template_that_comes_back_changed_is_an_error_unless_its_stamp_is_enough() {
    let wrapping = || {
        let (address, _) = echo_by(|message, _| {
            Message::text(format!(r#"{{"reply":{}}}"#, message.to_text().expect("text")))
        });
        address
    };
    let template = ["--message", r#"{"id":"{stamp}"}"#];
    let line = format!("echo --url ws://{}/ {SHORT}", wrapping());
    let report = report_with(&line, &template);
    assert!(count(&report, "/errors/kinds/changed") > 0, "{report}");
    assert_eq!(run(&line, &template).status.code(), Some(1));

    let line = format!("echo --url ws://{}/ {SHORT} --match stamp", wrapping());
    assert!(count(&clean_report(&line, &template), "/messages_total") > 0);
}

#[test]
fn messages_without_the_stamp_pass_and_foreign_ones_do_not() {
    // Every third answer comes behind a chat message of somebody else's.
    let (address, _) = echo_by(|message, before| match before % 3 {
        0 => Message::text(format!("re: {message}")),
        _ => message,
    });
    let line = format!("echo --url ws://{address}/ {SHORT} --match stamp");
    clean_report(&line, &[]);

    let (address, _) = echo_by(|_, _| Message::text("pw0000630000000000"));
    let line = format!("echo --url ws://{address}/ {SHORT} --match stamp");
    let report = report_with(&line, &[]);
    assert!(count(&report, "/errors/kinds/out_of_order") > 0, "{report}");
}

#[test]
fn any_answer_will_do_where_the_operator_says_so() {
    let (address, seen) = echo_by(|_, before| Message::binary(before.to_be_bytes().to_vec()));
    for scenario in ["echo", "rate --rate 200"] {
        let line = format!("{scenario} --url ws://{address}/ {SHORT} --match any");
        let report = clean_report(&line, &["--message", "ask {random:9}"]);
        assert!(count(&report, "/messages_total") > 0, "{report}");
        assert_eq!(report["totals"]["sent"], report["totals"]["received"], "{report}");
    }
    assert!(harness::Seen::of(&seen.messages) > 0);
}

/// What the pub/sub server of the harness understands.
const PUBLISH: [&str; 4] = [
    "--subscribe",
    r#"{"op":"subscribe"}"#,
    "--message",
    r#"{"op":"publish","data":{"id":"{stamp}","text":"{filler:20}"}}"#,
];

#[test]
fn a_pubsub_protocol_of_any_kind_is_spoken_by_subscribe_and_message() {
    let (address, seen) = pubsub::start();
    let line = format!(
        "broadcast --url ws://{address}/ -c 10 --publishers 2 --rate 60 --warmup 200ms \
         --duration 1s"
    );
    let report = clean_report(&line, &PUBLISH);
    let published = count(&report, "/totals/sent");
    assert_eq!(published, harness::Seen::of(&seen.messages), "{report}");
    assert_eq!(count(&report, "/totals/received"), 10 * published, "{report}");
    let reach = |who: &str, point: &str| number(&report, &format!("/reach_us/{who}/{point}"));
    for point in ["p50", "p99", "max"] {
        assert!(reach("median", point) <= reach("p99", point), "{report}");
        assert!(reach("p99", point) <= reach("last", point), "{report}");
    }
    assert!(number(&report, "/latency_us/p50") < 0.5e6, "{report}");
}

#[test]
fn a_broadcast_told_by_any_message_has_the_latency_of_each() {
    let (address, _) = pubsub::start();
    let line = format!(
        "broadcast --url ws://{address}/ -c 4 --rate 50 --warmup 300ms --duration 2s --match any"
    );
    // The greeting and the answer to the subscription come before anything was published.
    let report = clean_report(&line, &PUBLISH);
    let published = count(&report, "/totals/sent");
    assert_eq!(count(&report, "/totals/received"), 4 * published, "{report}");
    assert!(number(&report, "/latency_us/p50") < 0.5e6, "{report}");
}

#[test]
fn requests_and_answers_over_a_subscription_are_told_by_their_stamp() {
    let (address, _) = pubsub::start();
    let line = format!("rate --url ws://{address}/ -c 1 --rate 100 --warmup 0 --duration 1s");
    let report = clean_report(&line, &PUBLISH);
    assert!((90..=102).contains(&count(&report, "/messages_total")), "{report}");
}

#[test]
fn echoes_over_many_frames_of_any_size_are_verified() {
    let (address, _) = echo();
    for flags in ["--size 0-5", "--size 60KiB-70KiB --binary", "--size 1-40 --pipeline 16"] {
        let line = format!("echo --url ws://{address}/ {SHORT} {flags}");
        assert!(count(&clean_report(&line, &[]), "/messages_total") > 0);
    }
}
