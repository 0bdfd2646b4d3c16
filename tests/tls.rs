//! TLS on whole servers: what is promised of plain connections holds over it too.
//! How certificates are chosen and renewed, and what other makers' clients see, is shown elsewhere.

mod harness;

use std::io::{Read, Write};
use std::time::Instant;

use harness::tls::{Certificate, Secrecy, secure_client};
use harness::{Event, PATIENCE, RawClient, Server, assert_between, frame, ms, request};
use rustls::HandshakeKind;
use rustls::version::{TLS12, TLS13};

fn handshakes(server: &Server, result: &str, version: &str) -> f64 {
    server.metric("ws_tls_handshakes_total", &[("result", result), ("version", version)])
}

#[test]
fn messages_of_every_size_are_echoed_under_both_versions() {
    let certificate = Certificate::new();
    let mut server = certificate.serve(&[]);
    for (version, label) in [(&TLS12, "1.2"), (&TLS13, "1.3")] {
        let mut peer = secure_client(&server, &certificate.clients_of(version), "/echo");
        for length in [0, 1, 125, 126, 16_000, 16_370, 16_384, 20_000, 65_536, 300_000, 1 << 20] {
            let payload: Vec<u8> = (0..length).map(|at: u32| (at % 251) as u8).collect();
            peer.send(&frame::binary(&payload));
            let echo = peer.data();
            assert!(echo.first == frame::BINARY && echo.payload == payload, "{length} bytes");
        }
        assert_eq!(handshakes(&server, "full", label), 1.0);
    }
    let metrics = server.metrics();
    assert_eq!(metrics.value("ws_inbox_bytes", &[]), 0.0);
    assert_eq!(metrics.value("ws_outbox_bytes", &[]), 0.0);
    server.assert_sound();
}

#[test]
fn records_in_pieces_of_a_byte_are_read() {
    let certificate = Certificate::new();
    let server = certificate.serve(&[]);
    let mut peer = secure_client(&server, &certificate.clients(), "/echo");
    for round in 0..3 {
        let text = format!("round {round}");
        let wire = peer.secrecy().seal(&frame::text(&text));
        for byte in wire {
            peer.send_wire(&[byte]);
        }
        assert_eq!(peer.data().payload, text.as_bytes());
    }
    assert_eq!(server.metric("ws_inbox_bytes", &[]), 0.0);
}

#[test]
fn keys_may_be_updated_at_any_time() {
    let certificate = Certificate::new();
    let server = certificate.serve(&[]);
    let mut peer = secure_client(&server, &certificate.clients(), "/echo");
    for round in 0..30 {
        peer.secrecy().update_keys();
        peer.expect_echo(&format!("round {round}"));
    }
}

#[test]
fn a_client_that_comes_back_resumes_whichever_reactor_it_meets() {
    let certificate = Certificate::new();
    let server = certificate.serve(&["--reactors", "2"]);
    for (version, label) in [(&TLS12, "1.2"), (&TLS13, "1.3")] {
        let config = certificate.clients_of(version);
        let mut first = secure_client(&server, &config, "/echo");
        first.expect_echo("tickets come with the answer at the latest");
        assert_eq!(first.secrecy().kind(), Some(HandshakeKind::Full));
        for _ in 0..8 {
            let mut next = secure_client(&server, &config, "/echo");
            next.expect_echo("again");
            assert_eq!(next.secrecy().kind(), Some(HandshakeKind::Resumed));
        }
        assert_eq!(handshakes(&server, "resumed", label), 8.0);
    }
}

#[test]
fn the_stream_ends_with_close_notify_whoever_closes() {
    let certificate = Certificate::new();
    let mut server = certificate.serve(&["--drain-window", "0s", "--close-timeout", "500ms"]);
    let config = certificate.clients();
    let mut peer = secure_client(&server, &config, "/echo");
    peer.send(&frame::close(1000, "bye"));
    peer.expect_close(1000);
    assert!(peer.secrecy().was_told_goodbye());

    // Who says goodbye under TLS alone has gone, as with a FIN.
    let mut peer = secure_client(&server, &config, "/echo");
    let wire = peer.secrecy().goodbye();
    peer.send_wire(&wire);
    assert_eq!(peer.next(PATIENCE), Event::Finished);
    assert!(peer.secrecy().was_told_goodbye());
    drop(peer);
    server.wait_for("the end", |m| m.closed("peer_gone") == 1);
    let mut peer = secure_client(&server, &config, "/echo");
    peer.finish();
    assert_eq!(peer.next(PATIENCE), Event::Finished);
    drop(peer);
    server.wait_for("the end", |m| m.closed("peer_gone") == 2);

    // A request that comes with the end is answered, and one that is cut short too.
    let mut peer = RawClient::connect(&server).secured(&config);
    let mut wire = peer.secrecy().seal(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    wire.extend(peer.secrecy().goodbye());
    peer.send_wire(&wire);
    assert_eq!(peer.response().status, 200);
    let mut peer = RawClient::connect(&server).secured(&config);
    let mut wire = peer.secrecy().seal(b"GET / HT");
    wire.extend(peer.secrecy().goodbye());
    peer.send_wire(&wire);
    assert_eq!(peer.response().status, 400);

    let mut peer = secure_client(&server, &config, "/echo");
    server.signal("TERM");
    let close = peer.data();
    assert_eq!(close.close_code(), Some(1001));
    peer.send(&frame::close(1001, ""));
    assert_eq!(peer.next(PATIENCE), Event::Finished);
    assert!(peer.secrecy().was_told_goodbye());
    drop(peer);
    assert!(server.wait_exit(PATIENCE).success());
}

#[test]
fn http_without_tls_is_told_so_and_other_bytes_are_not_waited_on() {
    let certificate = Certificate::new();
    let server = certificate.serve(&[]);
    for request in [&request("/echo", &[])[..], "GET", "POST / HTTP/1.1\r\n\r\n"] {
        let mut peer = RawClient::connect(&server);
        peer.send(request.as_bytes());
        let response = peer.response();
        assert_eq!(response.status, 400);
        assert!(response.body.contains("wss://"), "{response:?}");
        assert_eq!(peer.next(PATIENCE), Event::Finished);
    }
    let mut peer = RawClient::connect(&server);
    peer.send(b"\x80garbage");
    let (alert, _) = peer.drain_bytes(PATIENCE);
    drop(peer);
    assert_eq!(alert, [21, 3, 3, 0, 2, 2, 10], "a fatal alert: unexpected_message");
    let metrics = server.wait_for("the ends", |m| m.value("ws_slots_used", &[]) == 0.0);
    assert_eq!(metrics.refused("plain_http"), 3);
    assert_eq!((metrics.closed("handshake_refused"), metrics.closed("tls_error")), (3, 1));
    assert_eq!(handshakes(&server, "failed", "unknown"), 1.0);
}

#[test]
fn a_record_that_was_changed_ends_the_connection_with_the_right_alert() {
    let certificate = Certificate::new();
    let server = certificate.serve(&["--log-level", "debug"]);
    let mut peer = secure_client(&server, &certificate.clients(), "/echo");
    let mut wire = peer.secrecy().seal(&frame::text("changed on its way"));
    wire[9] ^= 1;
    peer.send_wire(&wire);
    peer.stream().set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    let mut buffer = [0; 256];
    let n = peer.stream().read(&mut buffer).expect("an alert comes");
    let error = peer.secrecy().open(&buffer[..n], &mut Vec::new()).expect_err("it is an alert");
    assert!(error.to_string().contains("BadRecordMac"), "{error}");
    assert_eq!(peer.stream().read(&mut buffer).expect("then the end"), 0);
    drop(peer);
    server.wait_for("the end", |m| m.closed("tls_error") == 1);
    server.wait_for_log("bad_record_mac");
}

#[test]
fn the_handshake_has_one_deadline_and_the_answer_is_sealed_once_it_can_be() {
    let certificate = Certificate::new();
    let server = certificate.serve(&["--handshake-timeout", "500ms"]);
    let begun = Instant::now();
    let mut silent = RawClient::connect(&server);
    let mut stalled = RawClient::connect(&server);
    let hello = Secrecy::new(&certificate.clients()).outgoing();
    stalled.send(&hello[..hello.len() - 1]);
    let mut unfinished = RawClient::connect(&server);
    unfinished.send(&hello);
    let mut slow = RawClient::connect(&server).secured(&certificate.clients());
    slow.send(b"GET /echo HTTP/1.1\r\nHost: x\r\n");
    assert_eq!(slow.response().status, 408);
    assert_eq!(slow.next(PATIENCE), Event::Finished);
    drop(slow);
    assert_between(begun.elapsed(), ms(500), ms(500));
    assert_eq!(silent.drain_bytes(PATIENCE), (Vec::new(), Event::Finished));
    assert_eq!(stalled.drain_bytes(PATIENCE), (Vec::new(), Event::Finished));
    let (flight, _) = unfinished.drain_bytes(PATIENCE);
    let text = flight.windows(5).any(|bytes| bytes == b"HTTP/");
    assert!(flight[0] == 22 && !text, "its part of the handshake and no 408");
    let metrics = server.wait_for("the ends", |m| m.closed("handshake_timeout") == 4);
    assert_eq!(metrics.refused("handshake_timeout"), 4);
    assert_eq!(metrics.value("ws_inbox_bytes", &[]), 0.0);
}

#[test]
fn a_flood_of_handshakes_takes_turns_and_everyone_gets_through() {
    const CROWD: usize = 200;
    let certificate = Certificate::new();
    // A ring hands so many over little by little, so that no turn need put any off.
    let server = certificate.serve(&["--reactors", "1", "--driver", "epoll"]);
    let config = certificate.clients();
    let mut peer = secure_client(&server, &config, "/echo");
    let mut crowd: Vec<_> = (0..CROWD).map(|_| RawClient::connect(&server)).collect();
    server.wait_for("all of them", |m| m.value("ws_slots_used", &[]) == (CROWD + 1) as f64);
    // All hellos are there at once when the server wakes up.
    server.signal("STOP");
    let mut ends: Vec<_> = crowd.iter().map(|_| Secrecy::new(&config)).collect();
    for (client, end) in crowd.iter_mut().zip(&mut ends) {
        client.send(&end.outgoing());
    }
    server.signal("CONT");
    peer.expect_echo("served meanwhile");
    for (client, end) in crowd.into_iter().zip(&mut ends) {
        let mut stream = client.into_stream();
        end.shake_hands(&mut stream, &mut Vec::new()).expect("its turn comes");
        stream.write_all(&end.seal(request("/echo", &[]).as_bytes())).expect("it listens");
        let mut plain = Vec::new();
        while !plain.starts_with(b"HTTP/1.1 101") {
            let mut buffer = [0; 4096];
            let n = stream.read(&mut buffer).expect("it answers");
            assert!(n > 0);
            end.open(&buffer[..n], &mut plain).expect("it can be opened");
        }
    }
    let carried = server.metric("ws_phase_carried_over_total", &[("phase", "tls_handshakes")]);
    assert!(carried >= 1.0, "{carried}");
    let done = handshakes(&server, "full", "1.3") + handshakes(&server, "resumed", "1.3");
    assert_eq!(done, (CROWD + 1) as f64);
}

#[test]
fn a_peer_that_does_not_answer_its_ping_is_reset_and_one_that_does_lives() {
    let certificate = Certificate::new();
    let server = certificate.serve(&["--ping-interval", "600ms", "--pong-timeout", "400ms"]);
    let mut dead = secure_client(&server, &certificate.clients(), "/echo");
    let mut alive = secure_client(&server, &certificate.clients(), "/echo");
    alive.expect_echo("data once, so that more is looked at");
    let (frames, end) = alive.answer_pings(ms(1900));
    assert_eq!((frames.len(), end), (0, Event::Nothing));
    let metrics = server.wait_for("the reset", |m| m.closed("pong_timeout") == 1);
    assert!(metrics.value("ws_pongs_received_total", &[]) >= 1.0);
    assert_eq!(dead.drain(PATIENCE).1, Event::Reset);
    alive.expect_echo("still in order");
}

#[test]
fn a_record_that_drips_is_under_the_deadline_of_messages() {
    let certificate = Certificate::new();
    let server = certificate.serve(&["--message-timeout", "400ms"]);
    let mut peer = secure_client(&server, &certificate.clients(), "/echo");
    let begun = Instant::now();
    let wire = peer.secrecy().seal(&frame::text("never whole"));
    peer.send_wire(&wire[..10]);
    std::thread::sleep(ms(200));
    peer.send_wire(&wire[10..12]);
    peer.next_close(1008);
    assert_between(begun.elapsed(), ms(400), ms(400));
    server.wait_for("the close", |m| m.expired("message") == 1);
}

#[test]
fn a_proxy_header_stands_before_tls_and_a_bad_one_gets_no_http() {
    let certificate = Certificate::new();
    let flags = ["--proxy-protocol", "--trust-proxy", "127.0.0.0/8", "--log-level", "debug"];
    let server = certificate.serve(&flags);
    let mut peer = RawClient::connect(&server);
    peer.send(b"PROXY TCP4 192.0.2.7 192.0.2.1 5555 443\r\n");
    let mut peer = peer.secured(&certificate.clients()).upgraded("/echo");
    peer.expect_echo("behind a proxy");
    peer.send(&frame::close(1000, ""));
    peer.expect_close(1000);
    drop(peer);
    server.wait_for_log("peer=192.0.2.7:5555");

    // In one segment with the hello, as proxies do.
    let mut end = Secrecy::new(&certificate.clients());
    let mut stream = RawClient::connect(&server).into_stream();
    let both = [b"PROXY TCP4 192.0.2.8 192.0.2.1 5555 443\r\n", &end.outgoing()[..]].concat();
    stream.write_all(&both).expect("it listens");
    end.shake_hands(&mut stream, &mut Vec::new()).expect("the handshake succeeds");

    let mut forged = RawClient::connect(&server);
    forged.send(&Secrecy::new(&certificate.clients()).outgoing());
    assert_eq!(forged.drain_bytes(PATIENCE).0, b"");
    server.wait_for("the refusal", |m| m.refused("bad_proxy_header") == 1);
}

#[test]
fn refusals_after_the_handshake_are_sealed_and_those_before_it_say_nothing() {
    let certificate = Certificate::new();
    let server = certificate.serve(&["--max-connections", "1", "--reactors", "1"]);
    let config = certificate.clients();
    let mut first = RawClient::connect(&server).secured(&config);
    first.send(request("/nowhere", &[]).as_bytes());
    assert_eq!(first.response().status, 404);
    assert_eq!(first.next(PATIENCE), Event::Finished);
    drop(first);
    server.wait_for("room", |m| m.value("ws_slots_used", &[]) == 0.0);
    let mut kept = secure_client(&server, &config, "/echo");
    for _ in 0..40 {
        let mut peer = RawClient::connect(&server);
        assert_eq!(peer.drain_bytes(PATIENCE), (Vec::new(), Event::Finished));
    }
    assert_eq!(server.metrics().refused("full"), 40);
    kept.expect_echo("unmoved");
}

#[test]
fn unix_sockets_stay_plain() {
    let certificate = Certificate::new();
    let path = harness::scratch_path("sock");
    let unix = format!("unix:{}", path.display());
    let server = certificate.serve(&["--listen", &unix, "--listen", "127.0.0.1:0"]);
    let mut stream = std::os::unix::net::UnixStream::connect(&path).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    stream.write_all(request("/echo", &[]).as_bytes()).expect("it reads");
    let mut status = [0; 12];
    stream.read_exact(&mut status).expect("it answers");
    assert_eq!(&status, b"HTTP/1.1 101");
    secure_client(&server, &certificate.clients(), "/echo").expect_echo("and TCP does not");
}

/// What one peer does not read is held for it, and no more than may be.
mod slow_readers {
    use super::*;
    use std::sync::Arc;

    const LENGTH: usize = 10_000;

    fn numbered(number: u32) -> Vec<u8> {
        let mut payload = number.to_be_bytes().to_vec();
        payload.resize(LENGTH, 0x5a);
        payload
    }

    fn narrow(server: &Server, config: &Arc<rustls::ClientConfig>) -> RawClient {
        RawClient::connect_narrow(server).secured(config).upgraded("/broadcast")
    }

    fn broadcast(server: &Server, config: &Arc<rustls::ClientConfig>, count: u32) {
        let mut talker = secure_client(server, config, "/broadcast");
        for n in 0..count {
            talker.send(&frame::binary(&numbered(n)));
            assert_eq!(talker.data().payload, numbered(n));
        }
    }

    #[test]
    fn one_past_its_bound_is_reset_and_nothing_stays() {
        let certificate = Certificate::new();
        let server = certificate.serve(&["--outbox-limit", "64KiB"]);
        let config = certificate.clients();
        let mut stalled = narrow(&server, &config);
        broadcast(&server, &config, 300);
        assert_eq!(stalled.drain(PATIENCE).1, Event::Reset);
        let metrics = server.wait_for("the reset", |m| m.closed("outbox_full") == 1);
        assert_eq!(metrics.value("ws_outbox_bytes", &[]), 0.0);
    }

    #[test]
    fn what_is_dropped_was_not_sealed_so_that_the_rest_can_be_opened() {
        for policy in ["drop-oldest", "drop-newest"] {
            let certificate = Certificate::new();
            let flags = ["--outbox-limit", "96KiB", "--slow-consumer", policy];
            let server = certificate.serve(&flags);
            let config = certificate.clients();
            let mut stalled = narrow(&server, &config);
            broadcast(&server, &config, 300);
            let waiting = server.metric("ws_outbox_bytes", &[]);
            assert!(waiting > 0.0 && waiting <= 98_304.0, "{waiting} bytes wait");
            let mut numbers = Vec::new();
            while let Event::Frame(frame) = stalled.next(ms(500)) {
                let number = frame.payload.first_chunk().expect("a number");
                let number = u32::from_be_bytes(*number);
                assert_eq!(frame.payload, numbered(number));
                numbers.push(number);
            }
            assert!(numbers.is_sorted_by(|a, b| a < b), "in order, each once: {numbers:?}");
            assert!(numbers.len() < 300 && numbers.first() == Some(&0));
            assert_eq!(numbers.last() == Some(&299), policy == "drop-oldest");
            assert_eq!(server.metric("ws_outbox_bytes", &[]), 0.0);
        }
    }

    #[test]
    fn who_reads_late_gets_all_of_it_in_order() {
        let certificate = Certificate::new();
        let server = certificate.serve(&["--outbox-limit", "64KiB", "--write-timeout", "20s"]);
        let config = certificate.clients();
        let mut peer = RawClient::connect_narrow(&server).secured(&config).upgraded("/echo");
        let mut writer = peer.stream().try_clone().expect("a socket can be had twice");
        let wire: Vec<u8> =
            (0..300u32).flat_map(|n| peer.secrecy().seal(&frame::binary(&numbered(n)))).collect();
        let sender = std::thread::spawn(move || writer.write_all(&wire));
        server.wait_for("a pause", |m| {
            m.value("ws_reads_paused_total", &[("cause", "outbox")]) > 0.0
        });
        for n in 0..300 {
            assert_eq!(peer.data().payload, numbered(n));
        }
        sender.join().expect("no panic").expect("all was taken");
    }

    #[test]
    fn one_that_takes_nothing_is_reset_when_the_oldest_sealed_byte_is_too_old() {
        let certificate = Certificate::new();
        let flags = ["--write-timeout", "500ms", "--slow-consumer", "drop-oldest"];
        let server = certificate.serve(&flags);
        let config = certificate.clients();
        let stalled = narrow(&server, &config);
        broadcast(&server, &config, 60);
        let metrics = server.wait_for("the reset", |m| m.closed("write_timeout") == 1);
        assert_eq!(metrics.value("ws_outbox_bytes", &[]), 0.0);
        drop(stalled);
    }
}
