//! Ends that the network cuts short: close frames, FINs and answers that never arrive.
//! Not for connections that were open when it failed; see `silence`.

use std::time::Duration;

use crate::aftermath::aftermath;
use crate::crowd::{Crowd, tell_all};
use crate::harness::sockets::{self, State};
use crate::harness::{PATIENCE, RawClient, frame, wait_until};
use crate::site::{Site, Way};
use crate::watch::Watch;
use crate::{CLOSE, GIVE_UP, WRITE, start};

/// The kernel counts `TCP_USER_TIMEOUT` from its first retransmission, about a second after the first
/// attempt at the latest.
const ORPHANS: Duration = GIVE_UP.saturating_add(Duration::from_secs(1));

/// The peer has our close frame and our FIN; only its own FIN is lost.
#[test]
fn a_lost_fin_is_waited_for_as_long_as_the_close_deadline_says() {
    let site = Site::new();
    let host = site.host(1);
    let (mut server, baseline) = start(&[]);
    let before = server.metrics().closed("peer_closed");
    let mut peer = host.within(|| RawClient::open(&server, "/echo"));
    peer.send(&frame::close(1000, "goodbye"));
    peer.next_close(1000);
    host.unplug();
    let watch = Watch::start(&server);
    drop(peer);
    server.wait_for("the end", |m| m.closed("peer_closed") == before + 1);
    watch.assert_within(&server, CLOSE);
    aftermath(&mut server, &baseline, ORPHANS);
}

/// Our close frame and FIN are lost: after the close deadline slot and socket are gone.
#[test]
fn a_lost_answer_to_a_close_frame_leaves_no_orphan_beyond_its_deadline() {
    let site = Site::new();
    let host = site.host(1);
    let (mut server, baseline) = start(&[]);
    let before = server.metrics().closed("peer_closed");
    let mut peer = host.within(|| RawClient::open(&server, "/echo"));
    host.firewall(Way::ToPeers);
    peer.send(&frame::close(1000, "goodbye"));
    let watch = Watch::start(&server);
    server.wait_for("the end", |m| m.closed("peer_closed") == before + 1);
    watch.assert_within(&server, CLOSE);
    aftermath(&mut server, &baseline, ORPHANS);
    drop(peer);
}

#[test]
fn a_close_of_ours_that_is_not_heard_is_dropped_by_the_close_deadline() {
    let site = Site::new();
    let host = site.host(1);
    let quiet = ["--ping-interval", "off", "--pong-timeout", "off", "--idle-timeout", "2s"];
    let (mut server, baseline) = start(&quiet);
    let peer = host.within(|| RawClient::open(&server, "/echo"));
    host.unplug();
    let watch = Watch::start(&server);
    let metrics = server.wait_for("the drop", |m| m.closed("close_timeout") == 1);
    watch.assert_within(&server, Duration::from_secs(2) + CLOSE);
    assert_eq!(metrics.expired("idle"), 1);
    let left = sockets::connections(server.pid(), &[server.address().port()]);
    let left: Vec<_> = left.iter().filter(|it| it.state != State::TimeWait).collect();
    assert!(left.is_empty(), "it is reset: nothing stays in the kernel: {left:?}");
    drop(peer);
    aftermath(&mut server, &baseline, ORPHANS);
}

#[test]
fn half_a_request_of_a_host_that_is_unplugged_ends_with_the_handshake_deadline() {
    let site = Site::new();
    let host = site.host(1);
    let (mut server, baseline) = start(&[]);
    let mut peers: Vec<_> = (0..20).map(|_| host.within(|| RawClient::connect(&server))).collect();
    for peer in &mut peers {
        peer.send(b"GET /echo HTTP/1.1\r\nHost: a\r\n");
    }
    host.unplug();
    let watch = Watch::start(&server);
    server.wait_for("the end of all", |m| m.closed("handshake_timeout") == 20);
    watch.assert_within(&server, Duration::from_secs(2) + CLOSE);
    drop(peers);
    aftermath(&mut server, &baseline, ORPHANS);
}

/// It has said its FIN and can't be reached with its answer: the slot waits for the close deadline,
/// and then nothing of it stays with the kernel.
#[test]
fn an_answer_that_does_not_reach_who_has_finished_is_given_up_at_the_close_deadline() {
    let site = Site::new();
    let host = site.host(1);
    let (mut server, baseline) = start(&[]);
    let mut peer = host.within(|| RawClient::open(&server, "/echo"));
    host.firewall(Way::ToPeers);
    // As much as its kernel sends before the first acknowledgement.
    peer.send(&frame::binary(&[1; 9_000]));
    peer.finish();
    let watch = Watch::start(&server);
    server.wait_for("the end", |m| m.closed("peer_gone") == 1);
    watch.assert_within(&server, CLOSE);
    let orphans = sockets::connections(server.pid(), &[server.address().port()]);
    assert!(!orphans.iter().any(sockets::Socket::is_orphan), "the kernel has {orphans:?}");
    aftermath(&mut server, &baseline, ORPHANS);
    drop(peer);
}

#[test]
fn a_backlog_for_who_has_finished_and_is_not_reached_ends_by_the_write_deadline() {
    let site = Site::new();
    let host = site.host(1);
    let (mut server, baseline) = start(&["--ping-interval", "6s", "--pong-timeout", "6s"]);
    let mut peer = host.within(|| RawClient::open(&server, "/broadcast"));
    host.firewall(Way::ToPeers);
    let watch = Watch::start(&server);
    tell_all(&server, 20, 50_000);
    peer.finish();
    let metrics = server.wait_for("the end", |m| m.value("ws_connections_active", &[]) == 0.0);
    assert_eq!(metrics.closed("write_timeout"), 1, "{}", metrics.text());
    watch.assert_within(&server, WRITE);
    drop(peer);
    aftermath(&mut server, &baseline, Duration::from_secs(13));
}

#[test]
fn a_drain_ends_in_time_although_nobody_can_be_told() {
    let site = Site::new();
    let host = site.host(1);
    let heartbeat = ["--ping-interval", "60s", "--pong-timeout", "60s"];
    let flags = [&heartbeat[..], &["--drain-window", "0s"]].concat();
    let (mut server, _) = start(&flags);
    let crowd = Crowd::gather(&server, host.peers(), "/broadcast", 20);
    host.unplug();
    tell_all(&server, 20, 50_000);
    let port = server.address().port();
    server.signal("TERM");
    // Long before any pong of theirs is overdue.
    let status = server.wait_exit(PATIENCE);
    assert!(status.success(), "{status:?}");
    server.wait_for_log("20 dropped");
    // The process is gone, and what it left to the kernel is gone with it.
    wait_until("the last socket to go", || {
        let left = sockets::connections_here(&[port]);
        left.iter().all(|socket| socket.state == State::TimeWait)
    });
    drop(crowd.halt());
}
