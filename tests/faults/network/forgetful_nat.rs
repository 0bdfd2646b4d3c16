//! A NAT between the peers and the server that forgets quiet flows after a while.
//! Not for firewalls that drop what they know; see `silence`.

use std::time::{Duration, Instant};

use crate::aftermath::aftermath;
use crate::crowd::Crowd;
use crate::harness::{Event, PATIENCE, RawClient, frame};
use crate::site::{Host, Site};
use crate::watch::Watch;
use crate::{GIVE_UP, PING, start};

/// Peers behind the NAT.
const PEERS: usize = 20;

/// What a NAT does with a packet from outside that belongs to no flow it remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unknown {
    /// It is the address's owner, after all, and answers with a reset.
    Reset,
    /// Nothing.
    Drop,
}

/// Makes the host's router a NAT that forgets a flow which is quiet for so many seconds.
fn translate(host: &Host, seconds: u8, unknown: Unknown) {
    let router = host.router();
    // With another port for each flow: what is forgotten can't be remembered as what it was.
    router.nft(
        "add table ip translate; add chain ip translate out { type nat hook postrouting priority \
         100; }; add rule ip translate out oifname north masquerade fully-random",
    );
    if unknown == Unknown::Drop {
        router.nft(
            "add chain ip translate in { type filter hook input priority 0; }; add rule ip \
             translate in iifname north drop",
        );
    }
    let forgets_after = "netfilter/nf_conntrack_tcp_timeout_established";
    router.sysctl(forgets_after, &seconds.to_string());
}

#[test]
fn a_nat_that_forgets_and_says_so_ends_its_flows_at_the_next_ping() {
    let site = Site::new();
    let host = site.host(1);
    translate(&host, 1, Unknown::Reset);
    let heartbeat = ["--ping-interval", "4s", "--pong-timeout", "1s"];
    let (mut server, baseline) = start(&heartbeat);
    let crowd = Crowd::gather(&server, host.peers(), "/echo", PEERS);
    let watch = Watch::start(&server);
    let metrics =
        server.wait_for("the end of the flows", |m| m.value("ws_connections_active", &[]) == 0.0);
    // Those whose first ping came within the second are asked once more.
    watch.assert_within(&server, Duration::from_secs(8));
    assert_eq!(metrics.closed("peer_reset"), PEERS as u64, "{}", metrics.text());
    let (gone, herd) = crowd.halt();
    assert_eq!(gone, 0, "the peers are told nothing");
    drop(herd);
    aftermath(&mut server, &baseline, Duration::from_secs(6));
}

#[test]
fn a_nat_that_forgets_and_says_nothing_leaves_it_to_the_pong_deadline() {
    let site = Site::new();
    let host = site.host(1);
    translate(&host, 1, Unknown::Drop);
    let heartbeat = ["--ping-interval", "4s", "--pong-timeout", "1s"];
    let (mut server, baseline) = start(&heartbeat);
    let crowd = Crowd::gather(&server, host.peers(), "/echo", PEERS);
    let watch = Watch::start(&server);
    let metrics =
        server.wait_for("the end of the flows", |m| m.value("ws_connections_active", &[]) == 0.0);
    watch.assert_within(&server, Duration::from_secs(8 + 1));
    assert_eq!(metrics.closed("pong_timeout"), PEERS as u64, "{}", metrics.text());
    drop(crowd.halt());
    aftermath(&mut server, &baseline, Duration::from_secs(6));
}

/// To the server a forgotten flow that speaks again comes from a stranger's port.
#[test]
fn a_peer_that_speaks_after_its_nat_forgot_it_is_told_so_and_may_come_back() {
    let site = Site::new();
    let host = site.host(1);
    translate(&host, 1, Unknown::Drop);
    let (mut server, baseline) = start(&["--ping-interval", "3s", "--pong-timeout", "1s"]);
    let mut peer = host.within(|| RawClient::open(&server, "/echo"));
    server.wait_for("the verdict on its old flow", |m| m.closed("pong_timeout") == 1);
    peer.send(&frame::text("I was asleep"));
    // A ping may have come while it slept.
    assert_eq!(peer.drain(PATIENCE).1, Event::Reset, "nobody knows it any more");
    let mut again = host.within(|| RawClient::open(&server, "/echo"));
    again.expect_echo("here I am again");
    drop((peer, again));
    aftermath(&mut server, &baseline, Duration::from_secs(5));
}

/// This is what heartbeats are for: the mapping is kept although nobody says a word.
#[test]
fn pings_more_often_than_a_nat_forgets_keep_every_flow() {
    let site = Site::new();
    let host = site.host(1);
    translate(&host, 4, Unknown::Drop);
    let (mut server, baseline) = start(&[]);
    let crowd = Crowd::gather(&server, host.peers(), "/echo", PEERS);
    let begun = Instant::now();
    server.wait_for("ten pings for each", |m| {
        m.sum("ws_pongs_received_total") >= (PEERS * 10) as f64
    });
    assert!(begun.elapsed() > 2 * Duration::from_secs(4), "pings come one an interval of {PING:?}");
    crowd.leave_unharmed();
    aftermath(&mut server, &baseline, GIVE_UP);
    // Who leaves with a ping unread leaves with a reset.
    let metrics = server.metrics();
    assert_eq!(metrics.closed("peer_gone") + metrics.closed("peer_reset"), PEERS as u64);
}
