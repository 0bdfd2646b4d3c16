//! Hosts that vanish without a word, and come back with the same address and no memory, or do not.
//! Not for packets that are lost between hosts that live; see `silence`.

use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::aftermath::aftermath;
use crate::crowd::Crowd;
use crate::harness::{Metrics, RawClient, Server, frame};
use crate::site::{Host, Site};
use crate::watch::Watch;
use crate::{GIVE_UP, PING, PONG, start};

/// Peers on the host that vanishes.
const PEERS: usize = 20;

/// The host loses its power; what its kernel would still say reaches nobody.
fn power_off(host: &mut Host, crowd: Crowd) {
    host.vanish();
    let (gone, herd) = crowd.halt();
    assert_eq!(gone, 0, "until now they lived");
    drop(herd);
}

/// From a port of the caller's choice.
fn dial_from(port: u16, server: &Server) -> RawClient {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket can be made");
    let from: SocketAddr = ([0, 0, 0, 0], port).into();
    socket.set_reuse_address(true).expect("an option can be set");
    socket.bind(&from.into()).expect("the port is free");
    socket.connect(&server.address().into()).expect("the server answers");
    RawClient::from(std::net::TcpStream::from(socket)).upgraded("/echo")
}

#[test]
fn a_host_that_does_not_come_back_is_reset_by_the_pong_deadline() {
    let site = Site::new();
    let mut host = site.host(1);
    let (mut server, baseline) = start(&[]);
    let crowd = Crowd::gather(&server, host.peers(), "/echo", PEERS);
    power_off(&mut host, crowd);
    let watch = Watch::start(&server);
    let all = |m: &Metrics| m.closed("pong_timeout") == PEERS as u64;
    server.wait_for("the verdict", all);
    watch.assert_within(&server, PING + PONG);
    aftermath(&mut server, &baseline, GIVE_UP);
}

/// The first ping meets a kernel that knows no such connection, and is answered with a reset.
#[test]
fn a_host_that_comes_back_without_memory_resets_its_old_connections_at_the_next_ping() {
    let site = Site::new();
    let mut host = site.host(1);
    let heartbeat = ["--ping-interval", "4s", "--pong-timeout", "4s"];
    let (mut server, baseline) = start(&heartbeat);
    let crowd = Crowd::gather(&server, host.peers(), "/echo", PEERS);
    power_off(&mut host, crowd);
    host.appear();
    let watch = Watch::start(&server);
    let metrics = server.wait_for("the end of the old connections", |m| {
        m.closed("peer_reset") + m.closed("pong_timeout") == PEERS as u64
    });
    // A ping that went out while the host was away is sent again, after 200 ms and then twice
    // that: it meets the reset too, long before its pong is overdue.
    assert_eq!(metrics.closed("peer_reset"), PEERS as u64, "{}", metrics.text());
    watch.assert_within(&server, Duration::from_secs(4));
    aftermath(&mut server, &baseline, Duration::from_secs(9));
}

/// With a backlog the kernel asks again before any ping is due.
#[test]
fn a_backlog_for_a_host_that_comes_back_without_memory_ends_with_a_reset() {
    let site = Site::new();
    let mut host = site.host(1);
    let heartbeat = ["--ping-interval", "9s", "--pong-timeout", "9s", "--write-timeout", "15s"];
    let (mut server, baseline) = start(&heartbeat);
    let crowd = Crowd::gather(&server, host.peers(), "/broadcast", PEERS);
    power_off(&mut host, crowd);
    let mut talker = RawClient::open(&server, "/broadcast");
    for _ in 0..20 {
        talker.send(&frame::binary(&[7; 50_000]));
        talker.data();
    }
    assert!(server.metric("ws_outbox_bytes", &[]) > 1e6, "most of it waits");
    host.appear();
    let metrics = server.wait_for("the end of the old connections", |m| {
        m.value("ws_connections_active", &[]) <= 1.0
    });
    assert_eq!(metrics.closed("peer_reset"), PEERS as u64, "{}", metrics.text());
    assert_eq!(metrics.value("ws_outbox_bytes", &[]), 0.0);
    drop(talker);
    aftermath(&mut server, &baseline, Duration::from_secs(19));
}

/// Its SYN meets the old connection, whose kernel asks back; the reset that answers this makes room
/// for the new one (RFC 9293, section 3.5.1).
#[test]
fn a_host_that_comes_back_and_dials_from_the_same_port_gets_through() {
    let site = Site::new();
    let mut host = site.host(1);
    let heartbeat = ["--ping-interval", "9s", "--pong-timeout", "9s"];
    let (mut server, baseline) = start(&heartbeat);
    let mut before = host.within(|| dial_from(40_000, &server));
    before.expect_echo("before");
    host.vanish();
    drop(before);
    host.appear();
    let mut after = host.within(|| dial_from(40_000, &server));
    after.expect_echo("after");
    let metrics = server.wait_for("the end of the old connection", |m| {
        m.value("ws_connections_active", &[]) == 1.0
    });
    assert_eq!(metrics.closed("peer_reset"), 1, "{}", metrics.text());
    after.send(&frame::close(1000, ""));
    after.expect_close(1000);
    drop(after);
    aftermath(&mut server, &baseline, Duration::from_secs(19));
}
