//! What must hold once a fault is over and everyone has gone: nothing is left, and it serves.
//! Not for what the fault itself should lead to; each test says that.

use std::time::{Duration, Instant};

use crate::harness::{Metrics, PATIENCE, RawClient, SLACK, Server, frame, ms};
use crate::sockets::{self, Socket, State};

/// What a server holds while nobody is connected.
#[derive(Debug)]
pub struct Baseline {
    descriptors: usize,
}

impl Baseline {
    /// Of a server that has just started. It serves one peer first, so that what is opened once and
    /// kept is there.
    pub fn of(server: &Server) -> Self {
        serve_one(server);
        let mut descriptors = settled_descriptors(server);
        // An admin connection may be closing while it is counted.
        for _ in 0..3 {
            descriptors = descriptors.min(settled_descriptors(server));
        }
        Baseline { descriptors }
    }
}

/// Asserts that nothing is left of connections that are all over: no slot, no byte, no wheel entry,
/// no descriptor, no socket in the kernel; that the server serves; that it logged no error.
///
/// `longest` is the longest deadline the server was given. What the kernel has on its own may take
/// that long to go (`TCP_USER_TIMEOUT`), and so may entries of the wheel that have become stale.
pub fn aftermath(server: &mut Server, baseline: &Baseline, longest: Duration) {
    let begun = Instant::now();
    nothing_is_held(server);
    every_end_has_one_reason(&server.metrics());
    no_descriptor_is_left(server, baseline);
    no_socket_is_left(server, begun + longest + SLACK);
    serve_one(server);
    no_entry_is_left(server, longest + PATIENCE);
    server.assert_sound();
    let log = server.log();
    let errors: Vec<_> = log.iter().filter(|line| line.contains("ERROR")).collect();
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
    assert_eq!(accepted, closed, "each connection was closed once, for one reason");
}

fn no_descriptor_is_left(server: &Server, baseline: &Baseline) {
    let begun = Instant::now();
    loop {
        let now = sockets::descriptors(server.pid());
        if now <= baseline.descriptors {
            return;
        }
        let before = baseline.descriptors;
        assert!(begun.elapsed() < PATIENCE, "{now} descriptors are open, {before} were before");
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

fn settled_descriptors(server: &Server) -> usize {
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
