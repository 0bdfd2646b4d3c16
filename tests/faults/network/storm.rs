//! Mass events: thousands reset at once, thousands silent at once, beside others who go on.
//! Not for what one connection goes through; see `silence` and `reboot`.

use std::net::TcpStream;
use std::time::Duration;

use socket2::SockRef;

use crate::aftermath::aftermath;
use crate::crowd::{Crowd, Talker};
use crate::harness::{RawClient, Server, request};
use crate::netns::Namespace;
use crate::site::Site;
use crate::watch::Watch;
use crate::{GIVE_UP, start};

/// Connections of one reset storm.
const STORM: usize = 2_000;

/// Storms, one after the other.
const STORMS: u64 = 5;

/// Peers of one host that fall silent in one moment.
const SILENT: usize = 15_000;

/// The heartbeat of those: long enough that all are there before the first is asked.
const HEARTBEAT: Duration = Duration::from_secs(6);

fn upgraded(server: &Server, host: &Namespace, count: usize) -> Vec<TcpStream> {
    let head = request("/echo", &[]);
    let mut peers: Vec<RawClient> =
        host.within(|| (0..count).map(|_| RawClient::connect(server)).collect());
    for peer in &mut peers {
        peer.send(head.as_bytes());
    }
    let answered = peers.into_iter().map(|mut peer| {
        assert_eq!(peer.response().status, 101);
        peer.into_stream()
    });
    answered.collect()
}

#[test]
fn storms_of_resets_pass_beside_healthy_traffic() {
    let site = Site::new();
    let (stormy, calm) = (site.host(1), site.host(2));
    // Connecting them may take longer than a second's heartbeat allows those who wait.
    let heartbeat = ["--ping-interval", "12s", "--pong-timeout", "12s"];
    let (mut server, baseline) = start(&heartbeat);
    let talker = Talker::start(&server, calm.peers());
    let healthy = Crowd::gather(&server, calm.peers(), "/broadcast", 100);
    for storm in 1..=STORMS {
        let peers = upgraded(&server, stormy.peers(), STORM);
        let sockets = peers.iter().map(SockRef::from);
        for socket in sockets {
            socket.set_linger(Some(Duration::ZERO)).expect("an option can be set");
        }
        drop(peers);
        let all = storm * STORM as u64;
        let metrics = server
            .wait_for("the storm to pass", |m| m.value("ws_connections_active", &[]) <= 101.0);
        assert_eq!(metrics.closed("peer_reset"), all, "and nobody else is gone");
    }
    assert!(talker.leave() > 0);
    healthy.leave_unharmed();
    aftermath(&mut server, &baseline, Duration::from_secs(25));
}

/// Many are reset while they still stand in the kernel's queue, and are accepted dead.
#[test]
fn a_storm_of_resets_before_any_request_leaves_nothing() {
    let site = Site::new();
    let (stormy, calm) = (site.host(1), site.host(2));
    let (mut server, baseline) = start(&[]);
    let talker = Talker::start(&server, calm.peers());
    for storm in 1..=STORMS {
        stormy.within(|| {
            for _ in 0..STORM {
                let peer = RawClient::connect(&server);
                let socket = SockRef::from(peer.stream());
                socket.set_linger(Some(Duration::ZERO)).expect("an option can be set");
            }
        });
        let all = storm * STORM as u64;
        server.wait_for("the storm to pass", |m| m.closed("peer_reset") >= all);
    }
    assert!(talker.leave() > 0);
    let metrics =
        server.wait_for("the talker to leave", |m| m.value("ws_connections_active", &[]) == 0.0);
    // It may have left with a ping unread, and so with a reset as well.
    let ended = metrics.closed("peer_reset") + metrics.closed("peer_gone");
    assert_eq!(ended, STORMS * STORM as u64 + 1, "{}", metrics.text());
    aftermath(&mut server, &baseline, GIVE_UP);
}

#[test]
fn fifteen_thousand_peers_silent_at_once_are_reset_in_time_and_nobody_else_notices() {
    let limit = pulsewheel::io::descriptors::raise_limit().expect("the limit can be raised");
    assert!(limit > SILENT as u64 + 1_000, "{SILENT} peers need descriptors; {limit} are allowed");
    let site = Site::new();
    let (dying, calm) = (site.host(1), site.host(2));
    let seconds = format!("{HEARTBEAT:?}");
    let heartbeat = ["--ping-interval", &seconds, "--pong-timeout", &seconds];
    let (mut server, baseline) = start(&heartbeat);
    let talker = Talker::start(&server, calm.peers());
    let healthy = Crowd::gather(&server, calm.peers(), "/broadcast", 100);
    let silent = Crowd::gather(&server, dying.peers(), "/broadcast", SILENT);
    dying.unplug();
    let watch = Watch::start(&server);
    let metrics =
        server.wait_for("the verdict on all", |m| m.value("ws_connections_active", &[]) <= 101.0);
    assert_eq!(metrics.closed("pong_timeout"), SILENT as u64, "{}", metrics.text());
    watch.assert_within(&server, 2 * HEARTBEAT);
    assert!(talker.leave() > 0);
    healthy.leave_unharmed();
    drop(silent.halt());
    aftermath(&mut server, &baseline, GIVE_UP.max(3 * HEARTBEAT));
}
