//! Each row of the table of deadlines, on the real server and real time: not early, not late, and
//! under its own reason. Heartbeats have a file of their own, `heartbeat.rs`.

mod harness;

use std::thread::sleep;
use std::time::{Duration, Instant};

use harness::{
    Event, PATIENCE, RawClient, SLACK, Server, TICK, assert_between, frame, ms, request,
};

/// Waits for the close frame and answers it; how long that took.
fn closed_after(peer: &mut RawClient, since: Instant, code: u16) -> Duration {
    let frame = peer.data();
    let took = since.elapsed();
    assert_eq!(frame.close_code(), Some(code), "{frame:?}");
    let _ = peer.try_send(&frame::close(code, ""));
    assert_eq!(peer.next(PATIENCE), Event::Finished);
    took
}

#[test]
fn a_silent_newcomer_is_answered_408() {
    let server = Server::start(&["--handshake-timeout", "600ms"]);
    let begun = Instant::now();
    let mut peer = RawClient::connect(&server);
    assert_eq!(peer.response().status, 408);
    assert_between(begun.elapsed(), ms(600), ms(600));
    assert_eq!(peer.next(PATIENCE), Event::Finished);
    peer.finish();
    let metrics = server.wait_for("the close", |m| m.closed("handshake_timeout") == 1);
    assert_eq!((metrics.refused("handshake_timeout"), metrics.expired("handshake")), (1, 1));
}

#[test]
fn dripping_a_request_gains_no_time() {
    let server = Server::start(&["--handshake-timeout", "800ms"]);
    let begun = Instant::now();
    let mut peer = RawClient::connect(&server);
    for byte in request("/echo", &[]).bytes() {
        if begun.elapsed() > ms(800) + SLACK || peer.try_send(&[byte]).is_err() {
            break;
        }
        sleep(ms(20));
    }
    assert_eq!(peer.response().status, 408);
    assert!(begun.elapsed() + TICK >= ms(800));
    peer.finish();
    let metrics = server.wait_for("the close", |m| m.closed("handshake_timeout") == 1);
    assert_eq!(metrics.value("ws_connections_active", &[]), 0.0);
}

#[test]
fn a_refused_peer_that_stays_is_dropped_after_the_close_timeout() {
    let server = Server::start(&["--close-timeout", "500ms"]);
    let mut peer = RawClient::connect(&server);
    peer.send(b"GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(peer.response().status, 404);
    let begun = Instant::now();
    server.wait_for("the close", |m| m.closed("handshake_refused") == 1);
    assert_between(begun.elapsed(), ms(400), ms(500));
    assert_eq!(server.metric("ws_slots_used", &[]), 0.0);
}

#[test]
fn a_peer_without_data_messages_is_closed_with_1001_though_it_pongs() {
    let flags = ["--idle-timeout", "1s", "--ping-interval", "300ms", "--pong-timeout", "300ms"];
    let server = Server::start(&flags);
    let mut peer = RawClient::open(&server, "/echo");
    sleep(ms(200));
    peer.expect_echo("counts as data");
    let begun = Instant::now();
    let mut pings = 0;
    let code = loop {
        let frame = peer.frame();
        if frame.first != frame::PING {
            break frame.close_code();
        }
        pings += 1;
        peer.send(&frame::frame(frame::PONG, &frame.payload));
    };
    assert_between(begun.elapsed(), ms(950), ms(1000));
    assert_eq!(code, Some(1001));
    assert!(pings > 0, "a quiet peer is pinged");
    peer.send(&frame::close(1001, ""));
    assert_eq!(peer.next(PATIENCE), Event::Finished);
    let metrics = server.wait_for("the close", |m| m.closed("idle_timeout") == 1);
    assert_eq!(metrics.expired("idle"), 1);
    assert_eq!(metrics.value("ws_close_codes_total", &[("code", "1001")]), 1.0);
}

#[test]
fn data_in_either_direction_is_not_idleness() {
    let server = Server::start(&["--idle-timeout", "700ms"]);
    let mut talks = RawClient::open(&server, "/broadcast");
    let mut listens = RawClient::open(&server, "/broadcast");
    for _ in 0..15 {
        talks.expect_echo("hello");
        sleep(ms(100));
    }
    let (heard, end) = listens.answer_pings(ms(50));
    assert_eq!((heard.len(), end), (15, Event::Nothing));
    assert_eq!(server.metrics().closed("idle_timeout"), 0);
}

/// What a peer may leave unfinished.
fn unfinished() -> [(&'static str, Vec<u8>); 4] {
    [
        ("a header's first byte", vec![frame::TEXT]),
        ("a frame's payload", [frame::header(frame::BINARY, 1000), vec![1; 10]].concat()),
        ("a message's other fragments", frame::frame(0x01, b"first")),
        ("a control frame's payload", frame::header(frame::PING, 5)),
    ]
}

#[test]
fn whatever_is_begun_and_not_finished_is_closed_with_1008() {
    let server = Server::start(&["--message-timeout", "700ms"]);
    let mut peers: Vec<_> = unfinished()
        .into_iter()
        .map(|(what, bytes)| {
            let mut peer = RawClient::open(&server, "/echo");
            peer.expect_echo("before");
            peer.send(&bytes);
            (what, peer, Instant::now())
        })
        .collect();
    for (what, peer, since) in &mut peers {
        let took = closed_after_unfinished(peer, *since);
        assert!(took >= ms(650) && took <= ms(700) + SLACK, "{what}: {took:?}");
    }
    let metrics = server.wait_for("the closes", |m| m.closed("message_timeout") == 4);
    assert_eq!(metrics.expired("message"), 4);
}

/// As `closed_after`, but the peer's answer would stand inside its unfinished frame.
fn closed_after_unfinished(peer: &mut RawClient, since: Instant) -> Duration {
    let frame = peer.data();
    assert_eq!(frame.close_code(), Some(1008), "{frame:?}");
    let took = since.elapsed();
    peer.finish();
    assert_eq!(peer.next(PATIENCE), Event::Finished);
    took
}

#[test]
fn a_dripping_message_dies() {
    let server = Server::start(&["--message-timeout", "700ms"]);
    let mut peer = RawClient::open(&server, "/echo");
    peer.send(&frame::header(frame::BINARY, 1000));
    let begun = Instant::now();
    let event = loop {
        assert!(begun.elapsed() < ms(700) + SLACK, "a byte each 20 ms kept it alive");
        match peer.next(ms(20)) {
            Event::Nothing => peer.send(&[0]),
            event => break event,
        }
    };
    assert!(begun.elapsed() >= ms(650), "after {:?}", begun.elapsed());
    assert!(matches!(event, Event::Frame(frame) if frame.close_code() == Some(1008)));
}

/// Sends a binary message of 30,000 bytes in pieces of `piece` at 10,000 bytes a second, which
/// takes three times as long as the message timeout, and expects its echo.
fn arrives_in_pieces_of(piece: usize) {
    let server = Server::start(&["--message-timeout", "1s"]);
    let mut peer = RawClient::open(&server, "/echo");
    let payload = vec![7; 30_000];
    let begun = Instant::now();
    for (sent, piece) in frame::binary(&payload).chunks(piece).enumerate() {
        peer.send(piece);
        let due = Duration::from_micros((sent * piece.len()) as u64 * 100);
        sleep(due.saturating_sub(begun.elapsed()));
    }
    assert!(begun.elapsed() > ms(2_500));
    let echo = peer.data();
    assert!(echo.payload == payload, "{:?}", echo.close_code());
    assert_eq!(server.metrics().closed("message_timeout"), 0);
}

#[test]
fn a_message_that_comes_at_more_than_4_kib_a_second_lives() {
    arrives_in_pieces_of(2000);
}

#[test]
fn a_message_may_come_in_small_pieces_at_that_rate() {
    arrives_in_pieces_of(32);
}

#[test]
fn controls_inside_an_unfinished_message_gain_it_no_time() {
    let server = Server::start(&["--message-timeout", "700ms"]);
    let mut peer = RawClient::open(&server, "/echo");
    peer.send(&frame::frame(0x01, b"first"));
    let begun = Instant::now();
    let ping = frame::frame(frame::PING, &[0; 125]).repeat(16);
    loop {
        assert!(begun.elapsed() < ms(700) + SLACK, "pings kept the message open");
        match peer.next(ms(20)) {
            Event::Nothing => peer.send(&ping),
            Event::Frame(frame) if frame.first == frame::PONG => {}
            Event::Frame(frame) => break assert_eq!(frame.close_code(), Some(1008)),
            other => panic!("{other:?}"),
        }
    }
    assert!(begun.elapsed() >= ms(650), "after {:?}", begun.elapsed());
}

#[test]
fn a_peer_that_does_not_read_is_reset_after_the_write_timeout() {
    let server = Server::start(&["--write-timeout", "800ms", "--outbox-limit", "16MiB"]);
    let mut peer = RawClient::connect_narrow(&server).upgraded("/echo");
    // What is asked for must exceed both kernels' buffers.
    let message = frame::binary(&vec![1; 1 << 20]);
    peer.send(&message);
    let begun = Instant::now();
    server.wait_for("the reset", |m| m.closed("write_timeout") == 1);
    assert_between(begun.elapsed(), ms(600), ms(800));
    let (_, end) = peer.drain(PATIENCE);
    assert_eq!(end, Event::Reset);
    assert_eq!(server.metrics().expired("write"), 1);
    assert_eq!(server.metric("ws_outbox_bytes", &[]), 0.0);
}

#[test]
fn a_close_frame_that_is_not_answered_ends_in_a_reset() {
    let flags = ["--idle-timeout", "500ms", "--close-timeout", "700ms"];
    let server = Server::start(&flags);
    let mut peer = RawClient::open(&server, "/echo");
    assert_eq!(peer.data().close_code(), Some(1001));
    let begun = Instant::now();
    assert_eq!(peer.next(PATIENCE), Event::Reset);
    assert_between(begun.elapsed(), ms(650), ms(700));
    let metrics = server.wait_for("the close", |m| m.closed("close_timeout") == 1);
    assert_eq!((metrics.expired("idle"), metrics.expired("close")), (1, 1));
}

#[test]
fn messages_that_come_instead_of_the_close_frame_gain_no_time() {
    let flags = ["--max-lifetime", "500ms", "--close-timeout", "700ms"];
    let server = Server::start(&flags);
    let mut peer = RawClient::open(&server, "/echo");
    assert_eq!(peer.data().close_code(), Some(1001));
    let begun = Instant::now();
    let end = loop {
        assert!(begun.elapsed() < ms(700) + SLACK);
        let _ = peer.try_send(&frame::text("still here"));
        match peer.next(ms(50)) {
            Event::Nothing => {}
            other => break other,
        }
    };
    assert_eq!(end, Event::Reset, "and nothing is echoed after the close frame");
    assert!(begun.elapsed() >= ms(650), "after {:?}", begun.elapsed());
}

#[test]
fn lifetimes_end_with_1001_and_not_all_at_once() {
    let server = Server::start(&["--max-lifetime", "2s"]);
    let mut peers: Vec<_> =
        (0..60).map(|_| (Instant::now(), RawClient::open(&server, "/echo"))).collect();
    let mut lives: Vec<Duration> = std::thread::scope(|scope| {
        let waiting: Vec<_> = peers
            .iter_mut()
            .map(|(since, peer)| scope.spawn(|| closed_after(peer, *since, 1001)))
            .collect();
        waiting.into_iter().map(|thread| thread.join().expect("it closes")).collect()
    });
    lives.sort_unstable();
    assert_between(lives[0], ms(1790), ms(2000));
    assert_between(lives[59], ms(1790), ms(2000));
    let spread = lives[59] - lives[0];
    assert!(spread > ms(80), "the jitter of 200 ms shows: {spread:?}");
    let metrics = server.wait_for("the closes", |m| m.closed("lifetime_reached") == 60);
    assert_eq!(metrics.expired("lifetime"), 60);
}

#[test]
fn deadlines_that_are_off_never_come() {
    let flags = ["--ping-interval", "off", "--pong-timeout", "off", "--idle-timeout", "off"];
    let server = Server::start(&flags);
    let mut peer = RawClient::open(&server, "/echo");
    assert_eq!(peer.next(ms(1500)), Event::Nothing);
    peer.expect_echo("alive");
    let metrics = server.metrics();
    assert_eq!((metrics.expired("ping"), metrics.expired("idle")), (0, 0));
}
