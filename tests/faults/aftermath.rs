//! What must hold once a fault is over and everyone has gone: nothing is left, and it serves.
//! Not for what the fault itself should lead to; each test says that.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::harness::sockets::{self, Rings, Socket, State};
use crate::harness::{Metrics, PATIENCE, RawClient, SLACK, Server, frame, ms};

/// What a server holds while nobody is connected.
#[derive(Debug)]
pub struct Baseline {
    /// Of each thread.
    descriptors: BTreeMap<u32, usize>,
    /// Where the driver has any.
    rings: Rings,
    /// By its own account.
    descriptors_used: f64,
    /// What the lines of errors that are meant to be logged contain.
    pub expected_error: Option<&'static str>,
}

impl Baseline {
    /// Of a server that has just started. It serves one peer first, so that what is opened once and
    /// kept is there.
    pub fn of(server: &Server) -> Self {
        serve_one(server);
        let descriptors_used = server.metric("ws_descriptors_used", &[]);
        let mut descriptors = settled_descriptors(server);
        // An admin connection may be closing while it is counted.
        for _ in 0..3 {
            let again = settled_descriptors(server);
            descriptors.retain(|thread, _| again.contains_key(thread));
            for (thread, count) in &mut descriptors {
                *count = again[thread].min(*count);
            }
        }
        let rings = sockets::rings(server.pid());
        Baseline { descriptors, rings, descriptors_used, expected_error: None }
    }
}

/// Asserts that nothing is left of connections that are all over: no slot, no byte, no wheel entry,
/// no descriptor, no socket in the kernel; that the server serves; that it logged no error.
///
/// `longest` is the longest deadline the server was given. What the kernel has on its own may take
/// that long to go (`TCP_USER_TIMEOUT`), and so may entries of the wheel that have become stale.
#[allow(dead_code, reason = "the host's tests ask for the two parts apart")]
pub fn aftermath(server: &mut Server, baseline: &Baseline, longest: Duration) {
    nothing_is_left(server, baseline, longest);
    nothing_is_due(server, baseline, longest);
}

/// The part of [`aftermath`] that does not wait for deadlines, but for the kernel's.
pub fn nothing_is_left(server: &Server, baseline: &Baseline, longest: Duration) {
    let begun = Instant::now();
    nothing_is_held(server);
    let metrics = server.metrics();
    every_end_has_one_reason(&metrics);
    assert_eq!(metrics.value("ws_descriptors_used", &[]), baseline.descriptors_used);
    no_descriptor_is_left(server, baseline);
    no_request_is_left(server, baseline);
    no_socket_is_left(server, begun + longest + SLACK);
    serve_one(server);
}

/// The part of [`aftermath`] that waits for the last deadline of who has gone, and then takes stock.
pub fn nothing_is_due(server: &mut Server, baseline: &Baseline, longest: Duration) {
    no_entry_is_left(server, longest + PATIENCE);
    server.assert_sound();
    let log = server.log();
    let is_expected = |line: &str| baseline.expected_error.is_some_and(|text| line.contains(text));
    let is_error = |line: &&String| line.contains("ERROR") && !is_expected(line);
    let errors: Vec<_> = log.iter().filter(is_error).collect();
    assert!(errors.is_empty(), "{errors:#?}");
}

fn nothing_is_held(server: &Server) {
    let names = [
        "ws_connections_active",
        "ws_slots_used",
        "ws_outbox_bytes",
        "ws_inbox_bytes",
        "ws_mailbox_bytes",
        "ws_accept_paused",
    ];
    server.wait_for("the last slot and byte to be free", |m| {
        names.iter().all(|name| m.value(name, &[]) == 0.0)
    });
}

fn every_end_has_one_reason(metrics: &Metrics) {
    let accepted = metrics.sum("ws_connections_accepted_total");
    let closed = metrics.sum("ws_connections_closed_total");
    let refused = metrics.refused("full") + metrics.refused("draining");
    // Those who could not even have a slot to be told so were never there to be closed.
    let turned_away = (refused - metrics.closed("refused")) as f64;
    assert_eq!(accepted, closed + turned_away, "each was closed once, for one reason");
}

/// A thread that was not there before is one that answers a request to the admin port; it ends.
fn no_descriptor_is_left(server: &Server, baseline: &Baseline) {
    let begun = Instant::now();
    loop {
        let now = sockets::descriptors(server.pid());
        let before = |thread| baseline.descriptors.get(thread).copied().unwrap_or(0);
        if now.iter().all(|(thread, count)| *count <= before(thread)) {
            return;
        }
        let before = &baseline.descriptors;
        assert!(begun.elapsed() < PATIENCE, "descriptors of threads: {now:?}, before: {before:?}");
        std::thread::sleep(ms(20));
    }
}

/// By the kernel's account: no socket in a ring's table, and nothing that waits for one.
fn no_request_is_left(server: &Server, baseline: &Baseline) {
    let begun = Instant::now();
    loop {
        let now = sockets::rings(server.pid());
        if now == baseline.rings {
            return;
        }
        let before = &baseline.rings;
        assert!(begun.elapsed() < PATIENCE, "in rings: {now:?}, before: {before:?}");
        std::thread::sleep(ms(20));
    }
}

/// The kernel may keep what it could not deliver until it gives up; what the server ought to have
/// closed it may not.
fn no_socket_is_left(server: &Server, end: Instant) {
    let ports: Vec<u16> = server.addresses().iter().map(|address| address.port()).collect();
    loop {
        let left = sockets::connections(server.pid(), &ports);
        let rotting = |socket: &&Socket| socket.is_owned || socket.state == State::CloseWait;
        let rotten: Vec<_> = left.iter().filter(rotting).collect();
        assert!(rotten.is_empty(), "no slot is used, and the kernel has {rotten:?}");
        let orphans: Vec<_> = left.iter().filter(|socket| socket.is_orphan()).collect();
        if orphans.is_empty() {
            return;
        }
        assert!(Instant::now() < end, "orphans beyond their deadline: {orphans:?}");
        std::thread::sleep(ms(20));
    }
}

fn no_entry_is_left(server: &Server, limit: Duration) {
    let begun = Instant::now();
    while server.metric("ws_wheel_entries", &[]) > 0.0 {
        let entries = server.metric("ws_wheel_entries", &[]);
        assert!(begun.elapsed() < limit, "{entries} entries are on the wheel and no connection");
        std::thread::sleep(ms(50));
    }
}

fn serve_one(server: &Server) {
    let mut peer = RawClient::open(server, "/echo");
    peer.expect_echo("after all");
    peer.send(&frame::close(1000, ""));
    peer.expect_close(1000);
    drop(peer);
    server.wait_for("the last peer to leave", |m| m.value("ws_slots_used", &[]) == 0.0);
}

fn settled_descriptors(server: &Server) -> BTreeMap<u32, usize> {
    let mut before = sockets::descriptors(server.pid());
    loop {
        std::thread::sleep(ms(20));
        let now = sockets::descriptors(server.pid());
        if now == before {
            return now;
        }
        before = now;
    }
}
