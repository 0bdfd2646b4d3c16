//! Subscribers that stop reading, and such that read a byte a second, under each slow-consumer
//! policy: what waits for them is bounded, they go when their time is up, and whoever reads gets
//! every message.
//! Not for what exactly a policy drops; `tests/outbox.rs` has that.

use std::time::{Duration, Instant};

use crate::crowd::{Crowd, Ending, Reading};
use crate::harness::{Metrics, RawClient, ms, request};
use crate::healthy::Healthy;
use crate::watched::Watched;
use crate::{LATE, alone, numbered};

/// So many stop, and as many sip.
const EACH: usize = 300;

/// Good subscribers.
const READERS: usize = 8;

const MESSAGE: usize = 8 * 1024;
const OUTBOX: usize = 64 * 1024;
const WRITE: Duration = Duration::from_secs(4);
const PING: Duration = Duration::from_secs(60);

/// As many messages as the kernel's buffers and the outbox together can't hold.
const MESSAGES: u32 = 150;

fn ended_for_not_reading(metrics: &Metrics) -> usize {
    (metrics.closed("outbox_full") + metrics.closed("write_timeout")) as usize
}

/// Broadcasts to good and bad subscribers; returns when the last message was sent.
fn flood(server: &Watched, sippers: &mut Crowd) -> Instant {
    let mut talker = RawClient::open(server, "/broadcast");
    let mut readers: Vec<_> = (0..READERS).map(|_| RawClient::open(server, "/broadcast")).collect();
    let mut sipped = Instant::now();
    for n in 0..MESSAGES {
        talker.send(&numbered::message(n, MESSAGE));
        // All of them, in order, each once: whoever reads misses nothing.
        for reader in readers.iter_mut().chain([&mut talker]) {
            assert_eq!(numbered::next(reader), n);
        }
        let waiting = server.metric("ws_outbox_bytes", &[]) as usize;
        let most = (2 * EACH + READERS + 1) * (OUTBOX + MESSAGE + 512);
        assert!(waiting <= most, "{waiting} bytes wait");
        if sipped.elapsed() >= Duration::from_secs(1) {
            sipped = Instant::now();
            sippers.sip();
        }
    }
    Instant::now()
}

/// Runs bad subscribers into their end under a policy; the metrics after the flood and at the end.
fn outlast(policy: &str) -> (Metrics, Metrics) {
    let machine = alone();
    let server = Watched::start(&[
        "--slow-consumer",
        policy,
        "--outbox-limit",
        "64KiB",
        "--write-timeout",
        "4s",
        "--ping-interval",
        "60s",
    ]);
    let healthy = Healthy::talk(&server);
    let opening = request("/broadcast", &[]).into_bytes();
    let mut stopped = Crowd::of(&server, EACH, Reading::Nothing, |_| opening.clone());
    let mut sippers = Crowd::of(&server, EACH, Reading::Nothing, |_| opening.clone());
    server.wait_for("all to be in", |m| m.value("ws_connections_active", &[]) >= (2 * EACH) as f64);
    let last = flood(&server, &mut sippers);
    let flooded = server.metrics();
    let ended = loop {
        let metrics = server.metrics();
        if ended_for_not_reading(&metrics) == 2 * EACH {
            break metrics;
        }
        let late = last.elapsed().saturating_sub(WRITE);
        assert!(late < LATE, "only {} are gone", ended_for_not_reading(&metrics));
        sippers.sip();
        std::thread::sleep(ms(200));
    };
    server.assert_no_strays(LATE);
    for crowd in [&mut stopped, &mut sippers] {
        crowd.begin_reading();
        assert!(crowd.read_until(LATE, |peers| peers.iter().all(|peer| peer.ended.is_some())));
        assert!(crowd.peers.iter().all(|peer| matches!(peer.ended, Some((Ending::Reset, _)))));
    }
    healthy.assert_undisturbed(LATE);
    drop((stopped, sippers));
    server.aftermath(machine, PING);
    (flooded, ended)
}

#[test]
fn under_close_who_does_not_read_is_reset_at_the_bound() {
    let (flooded, ended) = outlast("close");
    assert!(flooded.closed("outbox_full") as usize >= EACH, "the bound acts before the time");
    assert_eq!(ended.sum("ws_outbox_frames_dropped_total"), 0.0);
}

/// Under a policy that drops, the bound costs frames and the time costs the connection.
fn drops_then_resets(policy: &str) {
    let (flooded, ended) = outlast(policy);
    let label = policy.replace('-', "_");
    let dropped = flooded.value("ws_outbox_frames_dropped_total", &[("policy", &label)]);
    assert!(dropped as usize > 2 * EACH, "{dropped} frames were dropped");
    assert_eq!(ended.closed("outbox_full"), 0);
    assert_eq!(ended.closed("write_timeout") as usize, 2 * EACH);
}

#[test]
fn under_drop_oldest_who_does_not_read_misses_frames_and_is_reset_in_time() {
    drops_then_resets("drop-oldest");
}

#[test]
fn under_drop_newest_who_does_not_read_misses_frames_and_is_reset_in_time() {
    drops_then_resets("drop-newest");
}
