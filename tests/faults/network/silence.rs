//! Peers whose packets stop in the middle of the conversation: every way, with and without bytes
//! for them on the way. Not for hosts that answer for the dead; see `reboot` and `forgetful_nat`.

use std::time::{Duration, Instant};

use crate::aftermath::aftermath;
use crate::crowd::Crowd;
use crate::harness::{Metrics, RawClient, SLACK, Server, frame};
use crate::site::{Host, Site, Way};
use crate::sockets;
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

    /// Asserts that it stands where it is said to.
    fn check(self, server: &Server) {
        let sockets = sockets::connections(server.pid(), &[server.address().port()]);
        let waiting = sockets.iter().filter(|socket| socket.unacknowledged >= 2_000).count();
        let unsent = server.metric("ws_outbox_bytes", &[]);
        match self {
            Queue::Empty => assert_eq!(waiting, 0, "{sockets:?}"),
            Queue::InKernel => assert_eq!((waiting, unsent), (SILENT, 0.0), "{sockets:?}"),
            Queue::InOutbox => assert!(waiting >= SILENT && unsent > 1e6, "{unsent} {sockets:?}"),
        }
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
    queue.check(&server);
    let metrics =
        server.wait_for("the verdict", |m| m.closed("peer_closed") + SILENT as u64 <= closed(m));
    let took = since.elapsed();
    assert_eq!(metrics.closed(reason), SILENT as u64, "{}", metrics.text());
    assert!(took <= within + SLACK, "{reason} after {took:?}, due after {within:?}");
    let left = sockets::connections(server.pid(), &[server.address().port()]);
    let orphans: Vec<_> = left.iter().filter(|socket| socket.is_orphan()).collect();
    assert!(orphans.is_empty(), "a reset leaves the kernel nothing to deliver: {orphans:?}");
    healthy.leave_unharmed();
    drop(silent.halt());
    let longest = if more.is_empty() { GIVE_UP } else { Duration::from_secs(9) };
    aftermath(&mut server, &baseline, longest);
}

/// All connections that have ended.
fn closed(metrics: &Metrics) -> u64 {
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

#[test]
fn a_firewall_that_drops_both_ways_with_a_message_on_the_way_is_as_a_dead_peer() {
    falls_silent(Queue::InKernel, |host| host.firewall(Way::Both));
}

#[test]
fn a_firewall_that_drops_both_ways_with_a_backlog_leaves_it_to_the_write_deadline() {
    falls_silent(Queue::InOutbox, |host| host.firewall(Way::Both));
}

#[test]
fn whose_pongs_are_lost_is_reset_by_the_pong_deadline() {
    falls_silent(Queue::Empty, |host| host.firewall(Way::ToServer));
}

/// The message arrives; it is its acknowledgement that does not.
#[test]
fn whose_acknowledgements_are_lost_is_reset_by_the_pong_deadline() {
    falls_silent(Queue::InKernel, |host| host.firewall(Way::ToServer));
}

#[test]
fn whose_acknowledgements_of_a_backlog_are_lost_is_reset_by_the_write_deadline() {
    falls_silent(Queue::InOutbox, |host| host.firewall(Way::ToServer));
}

#[test]
fn who_is_not_reached_by_pings_is_reset_by_the_pong_deadline() {
    falls_silent(Queue::Empty, |host| host.firewall(Way::ToPeers));
}

#[test]
fn who_is_not_reached_by_a_message_is_reset_by_the_pong_deadline() {
    falls_silent(Queue::InKernel, |host| host.firewall(Way::ToPeers));
}

#[test]
fn who_is_not_reached_by_a_backlog_is_reset_by_the_write_deadline() {
    falls_silent(Queue::InOutbox, |host| host.firewall(Way::ToPeers));
}

/// Where a route is lost, not a firewall set: this needs nothing of the kernel but routing.
#[test]
fn who_is_behind_a_black_hole_is_reset_by_the_pong_deadline() {
    for way in [Way::ToPeers, Way::ToServer, Way::Both] {
        falls_silent(Queue::InKernel, |host| host.blackhole(way));
    }
}

/// Its bytes reach us and nothing of ours reaches it. Once its kernel has sent what it may without
/// an acknowledgement, no new byte comes; the silence is counted from the last.
#[test]
fn who_speaks_and_hears_nothing_is_reset_by_the_pong_deadline_after_its_last_byte() {
    let site = Site::new();
    let host = site.host(1);
    let (mut server, baseline) = start(&[]);
    let mut peer = host.within(|| RawClient::open(&server, "/echo"));
    let received = |m: &Metrics| m.sum("ws_pongs_received_total");
    let before = received(&server.metrics());
    host.firewall(Way::ToPeers);
    let pong = frame::frame(frame::PONG, b"unasked");
    peer.send(&pong);
    let metrics = server.wait_for("a byte that comes", |m| received(m) > before);
    assert_eq!(metrics.value("ws_connections_active", &[]), 1.0);
    let mut since = Instant::now();
    let mut heard = received(&metrics);
    let metrics = server.wait_for("the verdict", |m| {
        let _ = peer.try_send(&pong);
        if received(m) > heard {
            heard = received(m);
            since = Instant::now();
        }
        m.closed("pong_timeout") + m.closed("peer_reset") > 0
    });
    let took = since.elapsed();
    assert_eq!(metrics.closed("pong_timeout"), 1, "{}", metrics.text());
    assert!(took <= PING + PONG + SLACK, "{took:?} after its last byte");
    drop(peer);
    aftermath(&mut server, &baseline, GIVE_UP);
}

/// What it says is answered, the answer is not acknowledged, and we ping nobody: then it is the
/// kernel that gives up.
#[test]
fn without_heartbeats_the_kernel_gives_up_on_who_acknowledges_nothing() {
    let site = Site::new();
    let host = site.host(1);
    let (mut server, baseline) = start(&["--ping-interval", "off", "--pong-timeout", "off"]);
    let mut peer = host.within(|| RawClient::open(&server, "/echo"));
    host.firewall(Way::ToPeers);
    let since = Instant::now();
    peer.send(&frame::text("is anybody there?"));
    let metrics = server.wait_for("the kernel's verdict", |m| m.closed("peer_reset") == 1);
    let took = since.elapsed();
    assert!(took <= GIVE_UP + SLACK, "{took:?}");
    assert!(took >= WRITE, "it judges no sooner than the server's own deadlines: {took:?}");
    assert_eq!(metrics.closed("pong_timeout"), 0);
    drop(peer);
    aftermath(&mut server, &baseline, GIVE_UP);
}

/// A cut that heals before the deadline costs nobody anything: TCP sends again.
#[test]
fn a_cut_that_heals_in_time_ends_nobody() {
    let site = Site::new();
    let host = site.host(1);
    let patient = ["--ping-interval", "6s", "--pong-timeout", "6s", "--write-timeout", "12s"];
    let (mut server, baseline) = start(&patient);
    let crowd = Crowd::gather(&server, host.peers(), "/broadcast", SILENT);
    host.firewall(Way::Both);
    Queue::InOutbox.fill(&server);
    assert!(server.metric("ws_outbox_bytes", &[]) > 0.0, "a backlog stands before the cut");
    host.open_firewall();
    server.wait_for("the backlog to leave", |m| m.value("ws_outbox_bytes", &[]) == 0.0);
    crowd.leave_unharmed();
    aftermath(&mut server, &baseline, Duration::from_secs(13));
    assert_eq!(server.metrics().closed("peer_gone"), SILENT as u64);
}
