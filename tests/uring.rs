//! What only a driver with completions can get wrong: receives that find no buffer, requests that
//! outlive their connection, wake-ups that get lost, sockets without descriptors.
//! Not what holds for every driver: the other whole-server tests prove that, and `tests/run` runs
//! them under each. By name only, since not every machine has io_uring.

mod harness;

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use harness::sockets::{Rings, connections, descriptors, rings};
use harness::{Frame, RawClient, Server, frame, ms, request, wait_until};
use socket2::SockRef;

/// A server on rings, with these flags besides.
fn serve(flags: &[&str]) -> Server {
    let server = Server::start(&[&["--driver", "io_uring"], flags].concat());
    server.wait_for_log("driver: io_uring");
    server
}

fn open_many(server: &Server, path: &str, count: usize) -> Vec<RawClient> {
    (0..count).map(|_| RawClient::open(server, path)).collect()
}

/// Waits until the kernel's account of a server's rings is as it is to be.
fn wait_for_rings(server: &Server, what: &str, mut is_so: impl FnMut(&Rings) -> bool) {
    wait_until(what, || is_so(&rings(server.pid())));
}

/// What a server's rings hold while nobody is there, once somebody has been.
fn rings_at_rest(server: &Server) -> Rings {
    drop(RawClient::open(server, "/echo"));
    server.wait_for("it to leave", |m| m.value("ws_slots_used", &[]) == 0.0);
    wait_for_rings(server, "its socket to go", |rings| rings.sockets == 0);
    rings(server.pid())
}

/// A message that tells its sender and its place.
fn numbered(sender: usize, number: usize, size: usize) -> Vec<u8> {
    let mut bytes = format!("{sender}/{number}:").into_bytes();
    bytes.resize(size, b'.');
    bytes
}

fn binary(payload: &[u8]) -> Vec<u8> {
    frame::frame(frame::BINARY, payload)
}

fn assert_is(frame: &Frame, expected: &[u8]) {
    let head = String::from_utf8_lossy(&frame.payload[..frame.payload.len().min(20)]).into_owned();
    assert!(frame.payload == expected, "{} bytes that begin with {head}", frame.payload.len());
}

#[test]
fn a_peer_that_floods_its_reactor_does_not_keep_others_from_its_few_buffers() {
    let server = serve(&["--reactors", "1", "--io-uring-buffers", "64KiB"]);
    let mut others = open_many(&server, "/echo", 20);
    let (greedy, is_over) = (RawClient::open(&server, "/echo"), AtomicBool::new(false));
    let mut incoming = greedy.stream().try_clone().expect("a descriptor can be copied");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut greedy, message) = (greedy, binary(&[7; 256 * 1024]));
            while !is_over.load(Ordering::Relaxed) {
                greedy.send(&message);
            }
            // With its end that of the echoes comes.
            greedy.finish();
        });
        scope.spawn(move || std::io::copy(&mut incoming, &mut std::io::sink()));
        let received = || server.metric("ws_bytes_received_total", &[]);
        wait_until("the flood", || received() > 4e6);
        let before = received();
        for round in 0..50 {
            for other in &mut others {
                other.expect_echo(&format!("round {round}"));
            }
        }
        assert!(received() - before > 1e6, "it was no flood");
        is_over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn more_than_all_buffers_hold_comes_at_once_and_all_of_it_is_echoed_in_order() {
    const EACH: usize = 8;
    let server = serve(&["--reactors", "1", "--io-uring-buffers", "64KiB"]);
    let mut peers = open_many(&server, "/echo", 64);
    // While the server stands still, the kernel takes in all that fits into the sockets.
    server.signal("STOP");
    for (sender, peer) in peers.iter_mut().enumerate() {
        for number in 0..EACH {
            peer.send(&binary(&numbered(sender, number, 8 * 1024)));
        }
    }
    server.signal("CONT");
    for (sender, peer) in peers.iter_mut().enumerate() {
        for number in 0..EACH {
            assert_is(&peer.data(), &numbered(sender, number, 8 * 1024));
        }
    }
    wait_for_rings(&server, "all to be listened to again", |rings| rings.receives() == 64);
    assert!(server.metric("ws_driver_events_total", &[("event", "no_buffer")]) > 0.0);
}

#[test]
fn a_peer_beyond_its_rate_has_no_receive_with_the_kernel_until_it_is_listened_to_again() {
    let server = serve(&["--reactors", "1", "--message-rate", "20/s:5"]);
    let mut peer = RawClient::open(&server, "/echo");
    wait_for_rings(&server, "its receive", |rings| rings.receives() == 1);
    let flood: Vec<u8> = (0..30).flat_map(|n| binary(&numbered(0, n, 2000))).collect();
    peer.send(&flood);
    wait_for_rings(&server, "its receive to be cancelled", |rings| rings.receives() == 0);
    for number in 0..30 {
        assert_is(&peer.data(), &numbered(0, number, 2000));
    }
    wait_for_rings(&server, "its receive to be back", |rings| rings.receives() == 1);
}

#[test]
fn peers_that_speak_and_reset_at_once_leave_neither_socket_nor_request() {
    let mut server = serve(&["--reactors", "2"]);
    let rest = rings_at_rest(&server);
    let upgrade = request("/echo", &[]);
    for n in 0..1500 {
        let mut peer = RawClient::connect(&server);
        // The server may be so quick that this is a connection it has refused.
        let _ = match n % 3 {
            0 => peer.try_send(upgrade.as_bytes()),
            1 => peer.try_send([upgrade.as_bytes(), &binary(&[1; 3000])].concat().as_slice()),
            _ => Ok(()),
        };
        if n % 10 == 0 && n % 3 < 2 {
            let _ = peer.try_response(ms(5000));
            let _ = peer.try_send(&binary(&[2; 100_000]));
        }
        let socket = SockRef::from(peer.stream());
        socket.set_linger(Some(Duration::ZERO)).expect("a socket can be told to reset");
    }
    server.wait_for("all to go", |m| m.value("ws_slots_used", &[]) == 0.0);
    wait_for_rings(&server, "the rings to be empty", |rings| *rings == rest);
    server.assert_sound();
}

#[test]
fn a_drain_ends_those_whose_receives_wait() {
    let mut server = serve(&["--reactors", "2", "--drain-window", "200ms"]);
    let mut peers = open_many(&server, "/echo", 100);
    wait_for_rings(&server, "all to be listened to", |rings| rings.receives() == 100);
    server.signal("TERM");
    for peer in &mut peers {
        peer.next_close(1001);
        peer.send(&frame::close(1001, ""));
    }
    assert!(server.wait_exit(harness::PATIENCE).success());
    server.wait_for_log("100 connections closed cleanly, 0 dropped");
}

#[test]
fn broadcasts_wake_reactors_that_have_nothing_to_wait_for() {
    // No deadline will come up and do in the end what a lost wake-up should have done.
    let flags = ["--reactors", "3", "--ping-interval", "off"];
    let server = serve(&flags);
    let mut peers = open_many(&server, "/broadcast", 24);
    for round in 0..100 {
        let text = format!("from {round}");
        peers[round % 24].send(&frame::text(&text));
        for peer in &mut peers {
            assert_is(&peer.data(), text.as_bytes());
        }
        // From a thread that has no ring.
        let head = format!("Content-Type: text/plain\r\nContent-Length: 5\r\n\r\n{round:5}");
        let (status, body) = server.admin_request("POST", "/publish?path=/broadcast", &head);
        assert_eq!(status, 200, "{body}");
        for peer in &mut peers {
            assert_is(&peer.data(), format!("{round:5}").as_bytes());
        }
    }
}

#[test]
fn connections_take_no_descriptors() {
    let server = serve(&["--reactors", "2"]);
    rings_at_rest(&server);
    let most = |server: &Server| descriptors(server.pid()).into_values().max();
    let before = most(&server);
    let peers = open_many(&server, "/echo", 500);
    wait_for_rings(&server, "all of them", |rings| rings.sockets == 500);
    wait_until("the admin port's descriptors to go", || most(&server) <= before);
    let ports = [server.address().port()];
    let held = connections(server.pid(), &ports);
    assert_eq!(held.iter().filter(|socket| socket.is_owned).count(), 500);
    drop(peers);
    wait_for_rings(&server, "the end of all", |rings| rings.sockets == 0);
}

#[test]
fn a_lack_of_descriptors_stops_nobody_from_coming_and_going() {
    let server = serve(&["--reactors", "1", "--shared-descriptors"]);
    let mut within = open_many(&server, "/echo", 50);
    // No more than are open: not even one for a moment is to be had.
    let open = descriptors(server.pid())[&server.pid()];
    let nofile = format!("--nofile={open}:");
    let limit =
        Command::new("prlimit").args(["--pid", &server.pid().to_string(), &nofile]).status();
    assert!(limit.is_ok_and(|status| status.success()), "prlimit is there and may do so");
    let mut newcomers = open_many(&server, "/echo", 50);
    for peer in within.iter_mut().chain(&mut newcomers) {
        peer.expect_echo("still served");
        peer.send(&frame::close(1000, ""));
        peer.expect_close(1000);
    }
    drop((within, newcomers));
    wait_for_rings(&server, "the end of all", |rings| rings.sockets == 0);
}

#[test]
fn after_a_kill_under_connections_a_server_starts_on_the_same_port_at_once() {
    for _ in 0..3 {
        let mut server = serve(&["--reactors", "2"]);
        let address = server.address().to_string();
        let clients = open_many(&server, "/echo", 200);
        server.signal("KILL");
        server.wait_exit(harness::PATIENCE);
        let next = serve(&["--listen", &address]);
        drop(clients);
        let mut client = RawClient::open(&next, "/echo");
        client.expect_echo("again");
    }
}
