//! The way out: readiness, the delay, the window, what is owed, stragglers, the second signal.

mod harness;

use std::collections::VecDeque;
use std::net::TcpStream;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use harness::{Event, Frame, PATIENCE, RawClient, SLACK, Server, frame, ms, wait_until};

/// Waits for the end of the connection as a well-behaved client does: the code it was closed with.
fn leave_when_asked(mut peer: RawClient) -> Option<u16> {
    let code = peer.data().close_code();
    peer.send(&frame::close(code.unwrap_or(1000), ""));
    assert_eq!(peer.next(PATIENCE), Event::Finished);
    code
}

#[test]
fn readiness_ends_at_once_and_the_delay_still_serves_new_connections() {
    let delay = ms(1500);
    let flags = ["--drain-delay", "1500ms", "--drain-window", "0s", "--close-timeout", "2s"];
    let mut server = Server::start(&flags);
    assert_eq!(server.admin_request("GET", "/readyz", "").0, 200);

    let begun = Instant::now();
    server.signal("TERM");
    wait_until("/readyz to turn", || server.admin_request("GET", "/readyz", "").0 == 503);
    assert!(begun.elapsed() < delay / 2, "readiness ends before anything else does");
    assert!(server.admin_request("GET", "/readyz", "").1.contains("draining"));
    assert_eq!(server.admin_request("GET", "/healthz", "").0, 200, "it is well, only leaving");

    let mut late = RawClient::open(&server, "/echo");
    late.expect_echo("whoever comes in the delay is served");
    assert!(begun.elapsed() < delay, "the machine was too slow for this to be a test");
    late.next_close(1001);
    assert!(begun.elapsed() >= delay, "nobody is asked to go before the delay is over");
    wait_until("the listener to close", || TcpStream::connect(server.address()).is_err());
    late.send(&frame::close(1001, ""));
    drop(late);
    assert!(server.wait_exit(PATIENCE).success());
}

#[test]
fn connections_are_asked_to_go_evenly_over_the_window() {
    const COUNT: usize = 200;
    let window = Duration::from_secs(4);
    let mut server = Server::start(&["--reactors", "2", "--drain-window", "4s"]);
    let peers: Vec<_> = (0..COUNT).map(|_| RawClient::open(&server, "/echo")).collect();
    let begun = Instant::now();
    let waiting: Vec<JoinHandle<_>> = peers
        .into_iter()
        .map(|peer| {
            thread::spawn(move || {
                let code = leave_when_asked(peer);
                (code, begun.elapsed())
            })
        })
        .collect();
    server.signal("TERM");

    let mut fifths = [0; 5];
    for peer in waiting {
        let (code, after) = peer.join().expect("a client is asked to go in good order");
        assert_eq!(code, Some(1001));
        assert!(after <= window + SLACK, "asked after {after:?}");
        let fifth = (after.as_secs_f64() / window.as_secs_f64() * 5.0) as usize;
        fifths[fifth.min(4)] += 1;
    }
    let mean = COUNT / fifths.len();
    for count in fifths {
        assert!((mean / 2..=mean * 3 / 2).contains(&count), "in fifths of the window: {fifths:?}");
    }
    assert!(server.wait_exit(PATIENCE).success());
    server.wait_for_log(&format!("drained: {COUNT} connections closed cleanly, 0 dropped"));
}

#[test]
fn what_waits_in_an_outbox_is_sent_before_the_close_frame() {
    const MESSAGES: usize = 200;
    let mut server = Server::start(&[
        "--drain-window",
        "0s",
        "--outbox-limit",
        "64MiB",
        "--close-timeout",
        "10s",
    ]);
    let mut reader = RawClient::connect_narrow(&server).upgraded("/broadcast");
    for number in 0..MESSAGES {
        let body = format!("{number:05}{}", "x".repeat(16 * 1024));
        let head = "Content-Type: text/plain\r\nContent-Length";
        let more = format!("{head}: {}\r\n\r\n{body}", body.len());
        let (status, answer) = server.admin_request("POST", "/publish?path=/broadcast", &more);
        assert_eq!(status, 200, "{answer}");
    }
    assert!(server.metric("ws_outbox_bytes", &[]) > 1e6, "much of it waits in the outbox");

    server.signal("TERM");
    server.wait_for_log("draining");
    for number in 0..MESSAGES {
        let message = reader.data().payload;
        assert_eq!(message[..5], *format!("{number:05}").as_bytes());
    }
    assert_eq!(leave_when_asked(reader), Some(1001));
    assert!(server.wait_exit(PATIENCE).success());
    server.wait_for_log("drained: 1 connections closed cleanly, 0 dropped");
}

#[test]
fn stragglers_are_dropped_once_the_close_timeout_is_over() {
    let mut server = Server::start(&["--drain-window", "0s", "--close-timeout", "1s"]);
    let willing: Vec<_> = (0..2).map(|_| RawClient::open(&server, "/echo")).collect();
    let mut deaf: Vec<_> = (0..3).map(|_| RawClient::open(&server, "/echo")).collect();
    let begun = Instant::now();
    server.signal("TERM");
    for peer in willing {
        assert_eq!(leave_when_asked(peer), Some(1001));
    }
    let status = server.wait_exit(PATIENCE);
    harness::assert_between(begun.elapsed(), ms(1000), ms(1000));
    assert!(status.success(), "stragglers are no failure: {status}");
    server.wait_for_log("drained: 2 connections closed cleanly, 3 dropped");
    for peer in &mut deaf {
        peer.next_close(1001);
        assert_ne!(peer.next(PATIENCE), Event::Nothing, "the socket is gone");
    }
}

#[test]
fn a_second_signal_ends_at_once_and_is_a_failure() {
    for (first, second) in [("TERM", "TERM"), ("INT", "TERM"), ("TERM", "INT")] {
        let mut server = Server::start(&["--drain-window", "60s"]);
        let _peer = RawClient::open(&server, "/echo");
        server.signal(first);
        server.wait_for_log("draining");
        server.signal(second);
        let begun = Instant::now();
        let status = server.wait_exit(PATIENCE);
        assert!(begun.elapsed() < Duration::from_secs(2), "it waits for nobody");
        assert!(status.code().is_some_and(|code| code != 0), "{first}, {second}: {status}");
    }
}

#[test]
fn a_server_without_connections_drains_at_once() {
    for signal in ["TERM", "INT"] {
        let mut server = Server::start(&["--reactors", "4", "--drain-window", "60s"]);
        server.signal(signal);
        let begun = Instant::now();
        assert!(server.wait_exit(PATIENCE).success());
        assert!(begun.elapsed() < Duration::from_secs(5), "there is nothing to wait for");
    }
}

#[test]
fn a_request_that_is_finished_after_the_window_is_refused_with_503() {
    let flags = ["--drain-window", "500ms", "--close-timeout", "10s", "--reactors", "1"];
    let mut server = Server::start(&flags);
    let mut slow = RawClient::connect(&server);
    slow.send(b"GET /echo HTTP/1.1\r\nHost: test\r\n");
    let mut peer = RawClient::open(&server, "/echo");
    server.signal("TERM");
    // Its close frame shows that the window has passed, for one connection of two goes at its end.
    peer.next_close(1001);
    thread::sleep(ms(600));
    let request = harness::request("/echo", &[]);
    let rest = request.split_once("Host: test\r\n").expect("the request names a host").1;
    slow.send(rest.as_bytes());
    let response = slow.response();
    assert_eq!(response.status, 503, "{response:?}");
    assert!(response.header("Retry-After").is_some());
    peer.send(&frame::close(1001, ""));
    drop((slow, peer));
    assert!(server.wait_exit(PATIENCE).success());
}

#[test]
fn a_drain_under_load_loses_no_reply_that_was_owed() {
    const CLIENTS: usize = 40;
    let flags = ["--reactors", "2", "--drain-window", "2s", "--close-timeout", "20s"];
    let mut server = Server::start(&flags);
    // Answers its close frame last, so that the server can still be asked what it has counted.
    let mut last = RawClient::open(&server, "/echo");
    let (answered, answers) = mpsc::channel();
    let talkers: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (peer, answered) = (RawClient::open(&server, "/echo"), answered.clone());
            thread::spawn(move || talk_until_closed(peer, &answered))
        })
        .collect();
    // The drain begins while everyone talks.
    for _ in 0..CLIENTS * 10 {
        answers.recv_timeout(PATIENCE).expect("clients are answered");
    }
    server.signal("TERM");
    let replies: u64 = talkers.into_iter().map(|one| one.join().expect("replies are right")).sum();
    last.next_close(1001);

    let metrics = server.metrics();
    let received = metrics.sum("ws_messages_received_total") as u64;
    assert_eq!(replies, received, "each message that the server took in was answered");
    last.send(&frame::close(1001, ""));
    drop(last);
    assert!(server.wait_exit(PATIENCE).success());
    server.wait_for_log(&format!("drained: {} connections closed cleanly, 0 dropped", CLIENTS + 1));
}

/// Keeps some echo requests in flight until the server closes: how many were answered.
fn talk_until_closed(mut peer: RawClient, answered: &mpsc::Sender<()>) -> u64 {
    const IN_FLIGHT: u64 = 16;
    let (mut sent, mut replies) = (0, 0);
    let mut expected = VecDeque::new();
    loop {
        while sent < replies + IN_FLIGHT {
            expected.push_back(sent.to_string());
            peer.send(&frame::text(&sent.to_string()));
            sent += 1;
        }
        match peer.data() {
            Frame { first: frame::TEXT, payload } => {
                assert_eq!(Some(payload), expected.pop_front().map(String::into_bytes));
                replies += 1;
                let _ = answered.send(());
            }
            close => {
                assert_eq!(close.close_code(), Some(1001));
                peer.send(&frame::close(1001, ""));
                assert_eq!(peer.next(PATIENCE), Event::Finished, "nothing follows a close frame");
                return replies;
            }
        }
    }
}
