//! Dead peers are reset in time, and nobody alive ever is. How evenly pings are spread, and how
//! many dead ones can go at once, is measured in `bars.rs`.

mod harness;

use std::thread::sleep;
use std::time::{Duration, Instant};

use harness::{Event, PATIENCE, RawClient, Server, assert_between, frame, ms, request};

const QUICK: [&str; 4] = ["--ping-interval", "600ms", "--pong-timeout", "400ms"];

fn quick(more: &[&str]) -> Server {
    Server::start(&[&QUICK[..], more].concat())
}

#[test]
fn a_peer_that_does_not_answer_its_ping_is_reset() {
    let server = quick(&[]);
    let begun = Instant::now();
    let mut peer = RawClient::open(&server, "/echo");
    peer.wait_for_ping();
    let asked = Instant::now();
    assert_eq!(peer.next(PATIENCE), Event::Reset);
    assert!(asked.elapsed() >= ms(350), "too early: {:?}", asked.elapsed());
    assert_between(begun.elapsed(), ms(400), ms(1000));
    let metrics = server.wait_for("the close", |m| m.closed("pong_timeout") == 1);
    assert_eq!((metrics.expired("ping"), metrics.expired("pong")), (1, 1));
    assert_eq!(metrics.value("ws_connections_active", &[]), 0.0);
}

#[test]
fn a_peer_that_dies_after_it_spoke_is_reset_in_time() {
    let server = quick(&[]);
    let mut peers: Vec<_> = (0..40).map(|_| RawClient::open(&server, "/echo")).collect();
    for round in 0..8 {
        for peer in &mut peers {
            peer.expect_echo("alive");
        }
        sleep(ms(20 * round));
    }
    let died = Instant::now();
    server.wait_for("the resets", |m| m.closed("pong_timeout") == 40);
    assert_between(died.elapsed(), ms(400), ms(1000));
}

#[test]
fn a_peer_that_answers_lives_and_its_round_trips_are_measured() {
    let server = quick(&[]);
    let mut peer = RawClient::open(&server, "/echo");
    let (frames, end) = peer.answer_pings(ms(3500));
    assert_eq!((frames.len(), end), (0, Event::Nothing));
    let metrics = server.metrics();
    let pings = metrics.value("ws_pings_sent_total", &[]);
    assert!((4.0..=8.0).contains(&pings), "{pings} pings in 3.5 s");
    assert!(metrics.value("ws_pongs_received_total", &[]) >= pings - 1.0);
    assert!(metrics.value("ws_heartbeat_rtt_seconds_count", &[]) >= pings - 1.0);
    peer.expect_echo("still in order");
}

#[test]
fn any_byte_answers_a_ping() {
    let server = quick(&["--message-timeout", "20s"]);
    let mut peer = RawClient::open(&server, "/echo");
    // One byte of one frame for each ping: no whole frame, let alone a pong.
    for byte in &frame::text("in pieces")[..5] {
        peer.wait_for_ping();
        peer.send(&[*byte]);
    }
    peer.wait_for_ping();
    peer.send(&frame::text("in pieces")[5..]);
    assert_eq!(peer.data().payload, b"in pieces");
    assert_eq!(server.metrics().closed("pong_timeout"), 0);
}

#[test]
fn a_busy_peer_is_not_pinged() {
    let server = Server::start(&["--ping-interval", "1s", "--pong-timeout", "500ms"]);
    let mut peer = RawClient::open(&server, "/echo");
    let begun = Instant::now();
    while begun.elapsed() < ms(3500) {
        peer.send(&frame::text("busy"));
        assert_eq!(peer.frame().first, frame::TEXT, "the echo and no ping");
        sleep(ms(50));
    }
    assert_eq!(server.metric("ws_pings_sent_total", &[]), 0.0);
}

#[test]
fn pings_are_answered_with_their_payload_and_unasked_pongs_are_ignored() {
    let server = Server::start(&[]);
    let mut peer = RawClient::open(&server, "/echo");
    for payload in [&b""[..], b"x", &[0xff; 125]] {
        peer.send(&frame::frame(frame::PONG, b"nobody asked"));
        peer.send(&frame::frame(frame::PING, payload));
        let pong = peer.frame();
        assert_eq!((pong.first, &pong.payload[..]), (frame::PONG, payload));
    }
    peer.expect_echo("still in order");
}

/// The pong stands behind messages that take ten pong timeouts to be let through.
#[test]
fn a_pong_held_behind_a_rate_limited_queue_reaps_nobody() {
    let server = quick(&["--message-rate", "50/s:1"]);
    let mut peer = RawClient::open(&server, "/echo");
    peer.wait_for_ping();
    peer.send(&frame::text("queued").repeat(200));
    peer.send(&frame::frame(frame::PONG, b""));
    let (echoes, end) = peer.answer_pings(ms(6000));
    assert_eq!((echoes.len(), end), (200, Event::Nothing));
    assert_eq!(server.metrics().closed("pong_timeout"), 0);
}

/// So much is queued that the pong can't even be read from the socket for a while.
#[test]
fn a_pong_that_is_not_read_while_reading_is_paused_reaps_nobody() {
    let server = quick(&["--message-rate", "20/s:1"]);
    let mut peer = RawClient::open(&server, "/echo");
    peer.wait_for_ping();
    let message = frame::binary(&vec![7; 64 * 1024]);
    let mut writer = peer.stream().try_clone().expect("a socket can be cloned");
    let sending = std::thread::spawn(move || {
        use std::io::Write;
        for _ in 0..80 {
            writer.write_all(&message)?;
        }
        writer.write_all(&frame::frame(frame::PONG, b""))
    });
    let mut echoes = 0;
    while echoes < 80 {
        match peer.next(PATIENCE) {
            Event::Frame(frame) if frame.first == frame::BINARY => echoes += 1,
            Event::Frame(_) => {}
            other => panic!("{other:?} after {echoes} echoes"),
        }
    }
    sending.join().expect("the writer ends").expect("all is written");
    assert_eq!(server.metrics().closed("pong_timeout"), 0);
}

/// The ping stands behind data in the kernel's buffers: a slow reader sees it late, five times as
/// late as a pong may be.
#[test]
fn a_slow_reader_is_not_taken_for_dead() {
    let flags = ["--ping-interval", "1s", "--pong-timeout", "1s", "--outbox-limit", "4MiB"];
    let server = Server::start(&[&flags[..], &["--write-timeout", "20s"]].concat());
    let mut slow = RawClient::connect_narrow(&server).upgraded("/broadcast");
    let mut talks = RawClient::open(&server, "/broadcast");
    for _ in 0..20 {
        talks.send(&frame::binary(&[3; 20_000]));
        assert_eq!(talks.data().payload.len(), 20_000);
    }
    let begun = Instant::now();
    let mut received = 0;
    while received < 20 {
        match slow.next(ms(40)) {
            Event::Frame(frame) if frame.first == frame::PING => {
                slow.send(&frame::frame(frame::PONG, b""));
            }
            Event::Frame(_) => {
                received += 1;
                sleep(ms(250));
            }
            Event::Nothing => {}
            other => panic!("{other:?} after {received} messages and {:?}", begun.elapsed()),
        }
    }
    assert!(begun.elapsed() > ms(4000));
    assert_eq!(slow.answer_pings(ms(1500)).1, Event::Nothing);
    let metrics = server.metrics();
    // The one that talked has been silent since, and did not answer.
    assert_eq!(metrics.closed("pong_timeout"), 1);
    assert_eq!(metrics.value("ws_connections_active", &[]), 1.0);
}

#[test]
fn a_stall_of_the_server_reaps_nobody_who_answers() {
    let server = quick(&["--handshake-timeout", "1s"]);
    let mut living: Vec<_> = (0..30).map(|_| RawClient::open(&server, "/echo")).collect();
    std::thread::scope(|scope| {
        for peer in &mut living {
            scope.spawn(|| assert_eq!(peer.answer_pings(ms(6500)).1, Event::Nothing));
        }
        let mut asked = RawClient::open(&server, "/echo");
        asked.wait_for_ping();
        let mut newcomer = RawClient::connect(&server);
        let head = request("/echo", &[]);
        newcomer.send(&head.as_bytes()[..20]);
        server.signal("STOP");
        // The stall is longer than every deadline; both of these speak during it.
        sleep(ms(1500));
        asked.send(&frame::frame(frame::PONG, b""));
        newcomer.send(&head.as_bytes()[20..]);
        sleep(ms(1500));
        server.signal("CONT");
        assert_eq!(newcomer.response().status, 101);
        for mut peer in [asked, newcomer] {
            scope.spawn(move || assert_eq!(peer.answer_pings(ms(2500)).1, Event::Nothing));
        }
    });
    let metrics = server.metrics();
    assert_eq!((metrics.closed("pong_timeout"), metrics.closed("handshake_timeout")), (0, 0));
    assert!(metrics.value("ws_stalls_total", &[]) >= 1.0);
    assert!(metrics.value("ws_connections_active", &[]) >= 30.0);
}

/// A machine that was suspended with its peers: nobody had a chance to speak meanwhile.
#[test]
fn who_was_asked_before_a_stall_has_its_time_to_answer_after_it() {
    let server = Server::start(&["--ping-interval", "2s", "--pong-timeout", "2s"]);
    let mut peer = RawClient::open(&server, "/echo");
    peer.wait_for_ping();
    server.signal("STOP");
    sleep(ms(4000));
    server.signal("CONT");
    sleep(ms(300));
    peer.send(&frame::frame(frame::PONG, b""));
    assert_eq!(peer.answer_pings(ms(1000)).1, Event::Nothing);
    assert_eq!(server.metrics().closed("pong_timeout"), 0);
}

#[test]
fn who_was_dead_before_a_stall_is_reset_after_it() {
    let server = quick(&[]);
    let mut peer = RawClient::open(&server, "/echo");
    peer.wait_for_ping();
    server.signal("STOP");
    sleep(ms(1500));
    server.signal("CONT");
    let resumed = Instant::now();
    assert_eq!(peer.next(PATIENCE), Event::Reset);
    assert!(resumed.elapsed() < Duration::from_secs(2), "after {:?}", resumed.elapsed());
    server.wait_for("the close", |m| m.closed("pong_timeout") == 1);
}
