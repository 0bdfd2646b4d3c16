//! Peers whose packets stop in the middle of the conversation: every way, with and without bytes
//! for them on the way. Not for hosts that answer for the dead; see `reboot` and `forgetful_nat`.

use std::time::{Duration, Instant};

use crate::aftermath::aftermath;
use crate::crowd::Crowd;
use crate::harness::{RawClient, SLACK, Server, frame};
use crate::site::{Host, Site, Way};
use crate::{GIVE_UP, PING, PONG, WRITE, start};

/// Peers that fall silent.
const SILENT: usize = 20;

/// Peers on another host, who go on.
const HEALTHY: usize = 10;

/// What the server has for the silent when they fall silent.
#[derive(Clone, Copy)]
enum Queue {
    /// Nothing but pings.
    Empty,
    /// A message that the kernel has taken and that nobody acknowledges.
    InKernel,
    /// More than the kernel takes: the rest stands in the outbox.
    InOutbox,
}

impl Queue {
    /// Sends it to everyone on `/broadcast`.
    fn fill(self, server: &Server) {
        let (messages, size) = match self {
            Queue::Empty => return,
            Queue::InKernel => (1, 2_000),
            Queue::InOutbox => (40, 50_000),
        };
        let mut talker = RawClient::open(server, "/broadcast");
        for _ in 0..messages {
            talker.send(&frame::binary(&vec![7; size]));
            talker.data();
        }
        talker.send(&frame::close(1000, ""));
        talker.expect_close(1000);
    }

    /// The reason for which they must end, and how soon after they fell silent.
    fn verdict(self) -> (&'static str, Duration) {
        match self {
            // A byte that came just before the cut puts off the ping by a whole interval.
            Queue::Empty | Queue::InKernel => ("pong_timeout", PING + PONG),
            Queue::InOutbox => ("write_timeout", WRITE),
        }
    }
}

fn falls_silent(queue: Queue, cut: impl Fn(&Host)) {
    let site = Site::new();
    let (far, near) = (site.host(1), site.host(2));
    // With bytes in the outbox the write deadline must come before any ping's.
    let slow_heartbeat = ["--ping-interval", "4s", "--pong-timeout", "4s"];
    let more: &[&str] = if matches!(queue, Queue::InOutbox) { &slow_heartbeat } else { &[] };
    let (mut server, baseline) = start(more);
    let silent = Crowd::gather(&server, far.peers(), "/broadcast", SILENT);
    let healthy = Crowd::gather(&server, near.peers(), "/broadcast", HEALTHY);
    let (reason, within) = queue.verdict();
    cut(&far);
    let since = Instant::now();
    queue.fill(&server);
    let metrics =
        server.wait_for("the verdict", |m| m.closed("peer_closed") + SILENT as u64 <= closed(m));
    let took = since.elapsed();
    assert_eq!(metrics.closed(reason), SILENT as u64, "{}", metrics.text());
    assert!(took <= within + SLACK, "{reason} after {took:?}, due after {within:?}");
    healthy.leave_unharmed();
    drop(silent.halt());
    let longest = if more.is_empty() { GIVE_UP } else { Duration::from_secs(9) };
    aftermath(&mut server, &baseline, longest);
}

/// All connections that have ended.
fn closed(metrics: &crate::harness::Metrics) -> u64 {
    metrics.sum("ws_connections_closed_total") as u64
}

#[test]
fn who_is_unplugged_is_reset_by_the_pong_deadline() {
    falls_silent(Queue::Empty, Host::unplug);
}

#[test]
fn who_is_unplugged_with_a_message_on_the_way_is_reset_by_the_pong_deadline() {
    falls_silent(Queue::InKernel, Host::unplug);
}

#[test]
fn who_is_unplugged_with_a_backlog_is_reset_by_the_write_deadline() {
    falls_silent(Queue::InOutbox, Host::unplug);
}

#[test]
fn a_firewall_that_drops_both_ways_is_as_a_dead_peer() {
    falls_silent(Queue::Empty, |host| host.firewall(Way::Both));
}
