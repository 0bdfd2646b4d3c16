//! TLS where something is short: peers that end while they are paused, and floods of handshakes.
//! What holds without pressure is shown in `tls`.

mod harness;

use std::io::{Read, Write};
use std::thread;

use harness::tls::{Certificate, Secrecy, secure_client};
use harness::{Event, PATIENCE, RawClient, Server, frame};

/// Sends all of that and the end of the stream at once.
fn say_all_and_goodbye(peer: &mut RawClient, plain: &[u8]) {
    let mut wire = peer.secrecy().seal(plain);
    wire.extend(peer.secrecy().goodbye());
    peer.send_wire(&wire);
}

fn reads_paused(server: &Server, cause: &str) -> f64 {
    server.metric("ws_reads_paused_total", &[("cause", cause)])
}

#[test]
fn what_stands_before_the_end_is_served_at_the_rate_and_the_peers_close_frame_too() {
    let certificate = Certificate::new();
    let server = certificate.serve(&["--message-rate", "40/s:2"]);
    let config = certificate.clients();
    let mut peer = secure_client(&server, &config, "/echo");
    say_all_and_goodbye(&mut peer, &frame::text("x").repeat(8));
    for _ in 0..8 {
        assert_eq!(peer.data().payload, b"x");
    }
    assert_eq!(peer.next(PATIENCE), Event::Finished);
    assert!(peer.secrecy().was_told_goodbye());
    drop(peer);
    server.wait_for("the end", |m| m.closed("peer_gone") == 1);

    let mut peer = secure_client(&server, &config, "/echo");
    let plain = [&frame::text("x").repeat(8)[..], &frame::close(1000, "")].concat();
    say_all_and_goodbye(&mut peer, &plain);
    for _ in 0..8 {
        assert_eq!(peer.data().payload, b"x");
    }
    peer.expect_close(1000);
    drop(peer);
    server.wait_for("the end", |m| m.closed("peer_closed") == 1);
    assert!(reads_paused(&server, "rate") >= 2.0);
    assert_eq!(server.metric("ws_inbox_bytes", &[]), 0.0);
}

#[test]
fn a_server_that_closes_one_who_ended_while_paused_waits_for_no_close_frame() {
    let certificate = Certificate::new();
    let flags = ["--message-rate", "1/s:1", "--drain-window", "0s", "--close-timeout", "30s"];
    let mut server = certificate.serve(&flags);
    let mut peer = secure_client(&server, &certificate.clients(), "/echo");
    say_all_and_goodbye(&mut peer, &frame::text("x").repeat(60));
    server.wait_for("a pause", |m| m.value("ws_inbox_bytes", &[]) > 0.0);
    server.signal("TERM");
    assert_eq!(peer.data().payload, b"x", "one was within the rate");
    peer.next_close(1001);
    drop(peer);
    assert!(server.wait_exit(PATIENCE).success());
}

#[test]
fn what_stands_before_the_end_is_served_once_its_echoes_are_read() {
    const LENGTH: usize = 10_000;
    const COUNT: usize = 300;
    let certificate = Certificate::new();
    let server = certificate.serve(&["--outbox-limit", "64KiB", "--write-timeout", "20s"]);
    let config = certificate.clients();
    let mut peer = RawClient::connect_narrow(&server).secured(&config).upgraded("/echo");
    let mut writer = peer.stream().try_clone().expect("a socket can be had twice");
    let mut wire = peer.secrecy().seal(&frame::binary(&[7; LENGTH]).repeat(COUNT));
    wire.extend(peer.secrecy().goodbye());
    let sender = thread::spawn(move || writer.write_all(&wire));
    server.wait_for("a pause", |m| m.value("ws_reads_paused_total", &[("cause", "outbox")]) > 0.0);
    for _ in 0..COUNT {
        assert_eq!(peer.data().payload, [7; LENGTH]);
    }
    assert_eq!(peer.next(PATIENCE), Event::Finished);
    sender.join().expect("no panic").expect("all was taken");
}

#[test]
fn what_stands_before_the_end_is_published_once_the_mailboxes_drain() {
    const COUNT: usize = 15;
    let certificate = Certificate::new();
    let server = certificate.serve(&["--reactors", "2", "--mailbox-limit", "4KiB"]);
    let config = certificate.clients();
    // Some on each reactor, as the kernel spreads them.
    let mut crowd: Vec<_> =
        (0..12).map(|_| secure_client(&server, &config, "/broadcast")).collect();
    let mut talker = secure_client(&server, &config, "/broadcast");
    say_all_and_goodbye(&mut talker, &frame::binary(&[7; 4000]).repeat(COUNT));
    for peer in &mut crowd {
        for _ in 0..COUNT {
            assert_eq!(peer.data().payload, [7; 4000]);
        }
    }
    assert!(reads_paused(&server, "mailbox") > 0.0, "the limit was reached");
}

#[test]
fn who_is_over_a_limit_gets_no_handshake() {
    let certificate = Certificate::new();
    let config = certificate.clients();
    for (flags, reason, is_proxied) in [
        (&["--max-connections-per-ip", "1"][..], "address_full", false),
        (&["--connect-rate-per-ip", "1/m:1"], "address_rate", false),
        (&["--connect-rate", "1/m:1"], "connect_rate", false),
        (&["--max-connections", "1", "--reactors", "1"], "full", false),
        (
            &["--max-connections-per-ip", "1", "--proxy-protocol", "--trust-proxy", "127.0.0.1"],
            "address_full",
            true,
        ),
    ] {
        let server = certificate.serve(flags);
        let connect = || {
            let mut peer = RawClient::connect(&server);
            if is_proxied {
                peer.send(b"PROXY TCP4 192.0.2.7 192.0.2.1 5555 443\r\n");
            }
            peer
        };
        let mut first = connect().secured(&config).upgraded("/echo");
        let mut second = connect();
        let hello = Secrecy::new(&config).outgoing();
        // It may be shut before it has spoken.
        let _ = second.try_send(&hello);
        let (told, end) = second.drain_bytes(PATIENCE);
        assert!(told.is_empty() && end != Event::Nothing, "{reason}: {told:?}");
        server.wait_for("the refusal", |m| m.refused(reason) == 1);
        first.expect_echo("the one that was within it");
        let done: f64 = server.metrics().sum("ws_tls_handshakes_total");
        assert_eq!(done, 1.0, "{reason}");
    }
}

#[test]
fn a_handshake_that_is_not_done_counts_once_as_failed_however_it_ends() {
    let certificate = Certificate::new();
    let config = certificate.clients();
    let server = certificate.serve(&["--handshake-timeout", "300ms"]);
    let ended = |result, version| {
        server.metric("ws_tls_handshakes_total", &[("result", result), ("version", version)])
    };
    let all_gone = || server.wait_for("the ends", |m| m.value("ws_slots_used", &[]) == 0.0);
    let mut hung_up = RawClient::connect(&server);
    hung_up.send(&Secrecy::new(&config).outgoing());
    drop(hung_up);
    let mut in_the_hello = RawClient::connect(&server);
    in_the_hello.send(&Secrecy::new(&config).outgoing()[..100]);
    drop(in_the_hello);
    let mut too_slow = RawClient::connect(&server);
    too_slow.send(&Secrecy::new(&config).outgoing());
    assert_ne!(too_slow.drain_bytes(PATIENCE).1, Event::Nothing);
    drop(too_slow);
    // Who has said nothing has begun none.
    drop(RawClient::connect(&server));
    server.wait_for("all", |m| m.value("ws_connections_accepted_total", &[]) == 4.0);
    all_gone();
    assert_eq!((ended("full", "1.3"), ended("failed", "unknown")), (0.0, 3.0));

    // One that is done, with noise behind it in the same segment.
    let mut stream = RawClient::connect(&server).into_stream();
    let mut end = Secrecy::new(&config);
    stream.write_all(&end.outgoing()).expect("it listens");
    let mut last = Vec::new();
    while last.is_empty() {
        let mut buffer = [0; 4096];
        let n = stream.read(&mut buffer).expect("its part of the handshake");
        end.open(&buffer[..n], &mut Vec::new()).expect("it can be opened");
        last = end.outgoing();
    }
    last.extend([23, 3, 3, 0, 20]);
    last.extend([0; 20]);
    stream.write_all(&last).expect("it listens");
    std::io::copy(&mut stream, &mut std::io::sink()).expect("the alert, and the end");
    drop(stream);
    server.wait_for("the failure", |m| m.closed("tls_error") == 1);
    all_gone();
    assert_eq!((ended("full", "1.3"), ended("failed", "unknown")), (1.0, 3.0));
}
