//! The message rate: who sends faster is read no faster, or closed where the policy says so.

mod harness;

use std::time::{Duration, Instant};

use harness::{Event, PATIENCE, RawClient, Server, assert_between, frame, ms};

/// Sends `count` messages at once and tells when each echo came.
fn echo_times(peer: &mut RawClient, count: usize) -> Vec<Duration> {
    let begun = Instant::now();
    peer.send(&frame::text("x").repeat(count));
    (0..count)
        .map(|_| {
            assert_eq!(peer.data().payload, b"x");
            begun.elapsed()
        })
        .collect()
}

#[test]
fn a_burst_passes_at_once_and_the_rest_at_the_rate() {
    let server = Server::start(&["--message-rate", "100/s:50"]);
    let mut peer = RawClient::open(&server, "/echo");
    let times = echo_times(&mut peer, 250);
    assert!(times[49] < ms(700), "the burst took {:?}", times[49]);
    assert_between(times[249], ms(1950), ms(2000));
    assert_between(times[149], ms(950), ms(1000));
    let metrics = server.metrics();
    assert!(metrics.value("ws_reads_paused_total", &[("cause", "rate")]) >= 1.0);
    assert!(metrics.expired("resume") >= 1);
}

#[test]
fn tokens_return_while_a_peer_is_quiet_but_no_more_than_the_burst() {
    let server = Server::start(&["--message-rate", "50/s:20"]);
    let mut peer = RawClient::open(&server, "/echo");
    echo_times(&mut peer, 20);
    std::thread::sleep(ms(1500));
    let times = echo_times(&mut peer, 40);
    assert!(times[19] < ms(350), "the burst took {:?}", times[19]);
    assert_between(times[39], ms(380), ms(400));
}

#[test]
fn fragments_and_controls_are_not_messages() {
    let server = Server::start(&["--message-rate", "10/s:5"]);
    let mut peer = RawClient::open(&server, "/echo");
    let begun = Instant::now();
    peer.send(&frame::frame(frame::PING, b"p").repeat(20));
    peer.send(&frame::frame(0x01, b"a"));
    peer.send(&frame::frame(0x00, b"b").repeat(50));
    peer.send(&frame::frame(0x80, b"c"));
    for frame in std::iter::repeat_with(|| peer.data()).take_while(|f| f.first != frame::TEXT) {
        assert_eq!(frame.first, frame::PONG);
    }
    assert!(begun.elapsed() < ms(900), "{:?}", begun.elapsed());
    assert_eq!(server.metric("ws_messages_received_total", &[]), 1.0);
}

#[test]
fn one_who_is_limited_slows_down_nobody_else() {
    let server = Server::start(&["--reactors", "1", "--message-rate", "20/s:1"]);
    let mut limited = RawClient::open(&server, "/echo");
    limited.send(&frame::text("x").repeat(1000));
    for _ in 0..20 {
        let mut other = RawClient::open(&server, "/echo");
        let begun = Instant::now();
        other.expect_echo("first");
        assert!(begun.elapsed() < ms(700), "{:?}", begun.elapsed());
    }
}

#[test]
fn a_flood_that_is_held_back_costs_little_memory() {
    let server = Server::start(&["--message-rate", "10/s:1"]);
    let resident = server.resident();
    let peers: Vec<_> = (0..20).map(|_| RawClient::open(&server, "/echo")).collect();
    for peer in &peers {
        peer.stream().set_write_timeout(Some(ms(50))).expect("a timeout can be set");
        let flood = frame::binary(&[1; 4096]).repeat(4096);
        // TCP pushes back before all of it is taken.
        let taken = std::io::Write::write_all(&mut peer.stream(), &flood);
        assert!(taken.is_err(), "16 MiB were taken at once");
    }
    let inbox = server.metric("ws_inbox_bytes", &[]);
    assert!(inbox <= 20.0 * 131_072.0, "{inbox} bytes held");
    let grown = server.resident().saturating_sub(resident);
    assert!(grown < 16 << 20, "{grown} bytes more");
}

#[test]
fn where_the_policy_is_to_close_1008_comes_after_what_was_allowed() {
    let flags = ["--message-rate", "10/s:5", "--message-rate-policy", "close"];
    let server = Server::start(&flags);
    let mut peer = RawClient::open(&server, "/echo");
    peer.send(&frame::text("x").repeat(100));
    let mut echoes = 0;
    let code = loop {
        let frame = peer.data();
        if frame.first == frame::CLOSE {
            break frame.close_code();
        }
        echoes += 1;
    };
    assert_eq!(code, Some(1008));
    assert!((5..=7).contains(&echoes), "{echoes} of 5 were let through");
    let _ = peer.try_send(&frame::close(1008, ""));
    assert_eq!(peer.next(PATIENCE), Event::Finished);
    server.wait_for("the close", |m| m.closed("rate_limited") == 1);
    let mut slow = RawClient::open(&server, "/echo");
    for _ in 0..12 {
        slow.expect_echo("within the rate");
        std::thread::sleep(ms(120));
    }
}

#[test]
fn the_total_rate_holds_for_all_connections_together() {
    let server = Server::start(&["--reactors", "2", "--message-rate-total", "100/s:20"]);
    let mut peers: Vec<_> = (0..4).map(|_| RawClient::open(&server, "/echo")).collect();
    let begun = Instant::now();
    for peer in &mut peers {
        peer.send(&frame::text("x").repeat(1000));
    }
    std::thread::sleep(ms(2000));
    let metrics = server.metrics();
    let seconds = begun.elapsed().as_secs_f64();
    let received = metrics.value("ws_messages_received_total", &[]);
    let allowed = 20.0 + 100.0 * seconds;
    assert!(received <= allowed * 1.1 + 8.0, "{received} in {seconds} s");
    assert!(received >= allowed * 0.8, "{received} in {seconds} s");
    std::thread::scope(|scope| {
        for peer in &mut peers {
            scope.spawn(|| {
                for _ in 0..20 {
                    assert_eq!(peer.data().payload, b"x", "everyone gets a share");
                }
            });
        }
    });
}
