//! Peers whose packets stop in the middle of the conversation: every way, with and without bytes
//! for them on the way. Not for hosts that answer for the dead; see `reboot` and `forgetful_nat`.

use std::time::Duration;

use crate::aftermath::aftermath;
use crate::crowd::{Crowd, tell_all};
use crate::harness::sockets;
use crate::harness::{Metrics, RawClient, Server, frame, wait_until};
use crate::site::{Host, Site, Way};
use crate::watch::Watch;
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
        tell_all(server, messages, size);
    }

    /// Waits until it stands where it is said to, for all of a host's peers.
    fn settle(self, server: &Server, host: &Host) {
        wait_until("the bytes to be where they should", || {
            let all = sockets::connections(server.pid(), &[server.address().port()]);
            let theirs = all.iter().filter(|socket| socket.remote == host.address());
            let waiting = theirs.filter(|socket| socket.unacknowledged >= 2_000).count();
            let unsent = server.metric("ws_outbox_bytes", &[]);
            match self {
                Queue::Empty => (waiting, unsent) == (0, 0.0),
                Queue::InKernel => (waiting, unsent) == (SILENT, 0.0),
                Queue::InOutbox => waiting == SILENT && unsent > 1e6,
            }
        });
    }

    /// Ping interval and pong timeout, in seconds. Where bytes are on the way there must be time to
    /// see them there, and what stands in an outbox must be too old before any pong is.
    fn heartbeat(self) -> u64 {
        match self {
            Queue::Empty => 1,
            Queue::InKernel => 2,
            Queue::InOutbox => 4,
        }
    }

    /// The reason for which they must end, and how soon after they fell silent.
    fn verdict(self) -> (&'static str, Duration) {
        match self {
            // A byte that came just before the cut puts off the ping by a whole interval.
            Queue::Empty | Queue::InKernel => {
                ("pong_timeout", Duration::from_secs(2 * self.heartbeat()))
            }
            Queue::InOutbox => ("write_timeout", WRITE),
        }
    }
}

fn falls_silent(queue: Queue, cut: impl Fn(&Host)) {
    let site = Site::new();
    let (far, near) = (site.host(1), site.host(2));
    let heartbeat = format!("{}s", queue.heartbeat());
    let (mut server, baseline) =
        start(&["--ping-interval", &heartbeat, "--pong-timeout", &heartbeat]);
    let silent = Crowd::gather(&server, far.peers(), "/broadcast", SILENT);
    let healthy = Crowd::gather(&server, near.peers(), "/broadcast", HEALTHY);
    let (reason, within) = queue.verdict();
    cut(&far);
    let watch = Watch::start(&server);
    queue.fill(&server);
    queue.settle(&server, &far);
    let metrics =
        server.wait_for("the verdict", |m| m.closed("peer_closed") + SILENT as u64 <= closed(m));
    assert_eq!(metrics.closed(reason), SILENT as u64, "{}", metrics.text());
    watch.assert_within(&server, within);
    let left = sockets::connections(server.pid(), &[server.address().port()]);
    let orphans: Vec<_> = left.iter().filter(|socket| socket.is_orphan()).collect();
    assert!(orphans.is_empty(), "a reset leaves the kernel nothing to deliver: {orphans:?}");
    healthy.leave_unharmed();
    drop(silent.halt());
    aftermath(&mut server, &baseline, Duration::from_secs(2 * queue.heartbeat() + 3));
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

/// An ICMP error is a rumour: anyone may have sent it (RFC 5927), and the path may heal.
#[test]
fn a_firewall_that_complains_by_icmp_is_a_silence_like_any_other() {
    for with in ["icmp type host-unreachable", "icmp type port-unreachable"] {
        falls_silent(Queue::InKernel, |host| host.reject(with));
    }
}

#[test]
fn a_firewall_that_answers_with_resets_ends_connections_at_the_next_packet() {
    let site = Site::new();
    let host = site.host(1);
    let (mut server, baseline) = start(&["--ping-interval", "9s", "--pong-timeout", "9s"]);
    let crowd = Crowd::gather(&server, host.peers(), "/broadcast", SILENT);
    host.reject("tcp reset");
    let watch = Watch::start(&server);
    Queue::InKernel.fill(&server);
    let metrics = server.wait_for("the resets", |m| m.value("ws_connections_active", &[]) == 0.0);
    watch.assert_within(&server, Duration::from_secs(1));
    assert_eq!(metrics.closed("peer_reset"), SILENT as u64, "{}", metrics.text());
    drop(crowd.halt());
    aftermath(&mut server, &baseline, Duration::from_secs(20));
}

/// With its interface the kernel takes away the route: what it still has to send goes nowhere.
#[test]
fn a_cable_out_of_the_server_itself_is_a_silence_like_any_other() {
    falls_silent(Queue::InKernel, Host::unplug_server);
}

#[test]
fn half_a_message_of_who_is_cut_is_given_up_with_it() {
    let site = Site::new();
    let host = site.host(1);
    let (mut server, baseline) = start(&[]);
    let mut peer = host.within(|| RawClient::open(&server, "/echo"));
    let mut half = frame::header(frame::BINARY, 60_000);
    half.extend_from_slice(&[0; 30_000]);
    peer.send(&half);
    server.wait_for("half a message", |m| m.value("ws_inbox_bytes", &[]) >= 30_000.0);
    host.unplug();
    let watch = Watch::start(&server);
    server.wait_for("the verdict", |m| m.closed("pong_timeout") == 1);
    watch.assert_within(&server, PING + PONG);
    drop(peer);
    aftermath(&mut server, &baseline, Duration::from_secs(20));
}

/// Where a route is lost, not a firewall set: this needs nothing of the kernel but routing.
#[test]
fn who_is_behind_a_black_hole_is_reset_by_the_pong_deadline() {
    for way in [Way::ToPeers, Way::ToServer, Way::Both] {
        falls_silent(Queue::InKernel, |host| host.blackhole(way));
    }
}

/// Five times over: were what they held kept on the books, the budget would be spent by then, and
/// the sixth, who holds more than a reactor's share of it, be shed.
#[test]
fn the_outbox_budget_gets_back_what_the_cut_off_held() {
    let site = Site::new();
    let host = site.host(1);
    let shed = |m: &Metrics| m.closed("outbox_shed");
    let (mut server, baseline) = start(&["--outbox-budget", "8MiB", "--ping-interval", "4s"]);
    for round in 1..=6 {
        let messages = if round == 6 { 110 } else { 40 };
        let peer = host.within(|| RawClient::open(&server, "/broadcast"));
        host.firewall(Way::Both);
        tell_all(&server, messages, 50_000);
        server.wait_for("the verdict", |m| m.closed("write_timeout") + shed(m) == round);
        drop(peer);
        host.open_firewall();
    }
    assert_eq!(shed(&server.metrics()), 0);
    aftermath(&mut server, &baseline, GIVE_UP);
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
    let mut watch = Watch::start(&server);
    let mut heard = received(&metrics);
    let metrics = server.wait_for("the verdict", |m| {
        let _ = peer.try_send(&pong);
        if received(m) > heard {
            heard = received(m);
            watch = Watch::start(&server);
        }
        m.closed("pong_timeout") + m.closed("peer_reset") > 0
    });
    assert_eq!(metrics.closed("pong_timeout"), 1, "{}", metrics.text());
    watch.assert_within(&server, PING + PONG);
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
    let watch = Watch::start(&server);
    peer.send(&frame::text("is anybody there?"));
    let metrics = server.wait_for("the kernel's verdict", |m| m.closed("peer_reset") == 1);
    let took = watch.elapsed();
    watch.assert_within(&server, GIVE_UP);
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
    // Who leaves with a ping unread leaves with a reset.
    let metrics = server.metrics();
    assert_eq!(metrics.closed("peer_gone") + metrics.closed("peer_reset"), SILENT as u64);
}
