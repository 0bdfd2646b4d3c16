//! Ends that have something in their way: paused reading, dropped backlogs, reactors that are
//! done before the others.

mod harness;

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use harness::{Event, PATIENCE, RawClient, Server, frame, ms, request, scratch_path, wait_until};

#[test]
fn a_close_frame_that_was_held_ends_the_close_handshake() {
    let flags = ["--message-rate", "1/s:1", "--drain-window", "0s", "--close-timeout", "15s"];
    let mut server = Server::start(&flags);
    let mut peer = RawClient::open(&server, "/echo");
    let mut bytes = frame::text("slowly").repeat(60);
    bytes.extend(frame::close(1000, ""));
    peer.send(&bytes);
    server.wait_for("the pause", |m| m.value("ws_reads_paused_total", &[("cause", "rate")]) > 0.0);
    server.signal("TERM");
    let (frames, end) = peer.drain(Duration::from_secs(5));
    assert_eq!(frames.last().and_then(harness::Frame::close_code), Some(1001));
    assert_eq!(end, Event::Finished, "both sides have closed: nothing is waited for");
    drop(peer);
    assert!(server.wait_exit(PATIENCE).success());
    server.wait_for_log("drained: 1 connections closed cleanly, 0 dropped");
}

#[test]
fn a_reactor_without_connections_goes_on_until_all_are_done() {
    let flags = ["--reactors", "2", "--drain-window", "8s"];
    let server = Server::start(&flags);
    let mut peer = RawClient::open(&server, "/broadcast");
    server.signal("TERM");
    wait_until("the drain", || server.admin_request("GET", "/readyz", "").0 == 503);
    // That a reactor has nothing left to do shows nowhere.
    std::thread::sleep(ms(300));
    assert_eq!(server.admin_request("GET", "/healthz", "").0, 200, "it is leaving, and well");
    let more = "Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nlast!";
    let (status, body) = server.admin_request("POST", "/publish?path=/broadcast", more);
    assert_eq!(status, 200, "{body}");
    assert_eq!(peer.data().payload, b"last!");
}

/// Opens a path over a Unix socket, where what the kernel takes ends at a frame's end.
fn open_unix(server: &Server, path: &std::path::Path, target: &str) -> UnixStream {
    let mut stream = UnixStream::connect(path).expect("the server listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    stream.write_all(request(target, &[]).as_bytes()).expect("the server reads");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("the server answers");
        head.extend(byte);
    }
    server.wait_for("the upgrade", |m| m.value("ws_connections_active", &[]) >= 1.0);
    stream
}

#[test]
fn who_never_reads_is_still_watched_after_its_backlog_was_dropped() {
    for policy in ["drop-oldest", "drop-newest"] {
        let path = scratch_path("sock");
        let listen = format!("unix:{}", path.display());
        let timeouts = ["--write-timeout", "1s", "--ping-interval", "1s", "--pong-timeout", "1s"];
        let flags = [&["--listen", &listen, "--slow-consumer", policy][..], &timeouts].concat();
        let server = Server::start(&flags);
        let mut peer = open_unix(&server, &path, "/echo");
        peer.set_write_timeout(Some(ms(500))).expect("a timeout can be set");
        let message = frame::binary(&[7; 1000]);
        while peer.write_all(&message).is_ok() {}
        server.wait_for("the end of who never reads", |m| {
            m.value("ws_connections_active", &[]) == 0.0
        });
    }
}

#[test]
fn who_has_finished_and_never_reads_goes_after_its_backlog_was_dropped() {
    let path = scratch_path("sock");
    let listen = format!("unix:{}", path.display());
    let timeouts = ["--write-timeout", "1s", "--close-timeout", "1s", "--ping-interval", "off"];
    let both = ["--listen", &listen, "--listen", "127.0.0.1:0", "--slow-consumer", "drop-oldest"];
    let server = Server::start(&[&both[..], &timeouts, &["--pong-timeout", "off"]].concat());
    let peer = open_unix(&server, &path, "/broadcast");
    let mut talker = RawClient::open(&server, "/broadcast");
    let payload = [1; 10_000];
    for _ in 0..60 {
        talker.send(&frame::binary(&payload));
        talker.data();
    }
    assert!(server.metric("ws_outbox_bytes", &[]) > 100_000.0, "most of it waits");
    peer.shutdown(Shutdown::Write).expect("an open stream can be shut");
    server.wait_for("the end of who has gone", |m| m.value("ws_connections_active", &[]) == 1.0);
}

#[test]
fn a_publisher_is_told_how_many_it_was_queued_for_and_not_how_many_are_still_about() {
    let server = Server::start(&["--close-timeout", "60s"]);
    let mut stays = RawClient::open(&server, "/broadcast");
    let mut leaves = RawClient::open(&server, "/broadcast");
    leaves.send(&frame::close(1000, ""));
    leaves.next_close(1000);
    let more = "Content-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi";
    let (status, body) = server.admin_request("POST", "/publish?path=/broadcast", more);
    assert_eq!(status, 200, "{body}");
    assert!(body.contains("\"queued\":1}"), "{body}");
    assert_eq!(stays.data().payload, b"hi");
}

#[test]
fn a_ping_is_not_lost_where_pongs_fill_the_lane() {
    let heartbeat = ["--ping-interval", "2s", "--pong-timeout", "1s", "--write-timeout", "60s"];
    let server = Server::start(&[&heartbeat[..], &["--outbox-limit", "4MiB"]].concat());
    let mut slow = RawClient::connect_narrow(&server).upgraded("/broadcast");
    let mut talker = RawClient::open(&server, "/broadcast");
    for _ in 0..50 {
        talker.send(&frame::binary(&[1; 20_000]));
        talker.data();
    }
    slow.send(&frame::frame(frame::PING, &[b'?'; 125]).repeat(5));
    let until = std::time::Instant::now() + ms(4_500);
    while std::time::Instant::now() < until {
        talker.answer_pings(ms(200));
    }
    drop(talker);
    let (_, end) = slow.answer_pings(Duration::from_secs(6));
    assert_eq!(end, Event::Nothing, "it reads and answers every ping that comes");
    assert_eq!(server.metrics().closed("pong_timeout"), 0);
}

#[test]
fn a_head_that_is_shed_is_answered() {
    let flags = ["--reactors", "1", "--max-message-size", "16KiB", "--inbox-budget", "16KiB"];
    let server = Server::start(&flags);
    let head = format!("GET /echo HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(7_000));
    let mut peers: Vec<_> = (0..3).map(|_| RawClient::connect(&server)).collect();
    for peer in &mut peers {
        peer.send(head.as_bytes());
    }
    server.wait_for("the shed", |m| m.value("ws_inbox_sheds_total", &[]) >= 1.0);
    let answers = peers.iter_mut().filter_map(|peer| peer.try_response(ms(500)).ok());
    let statuses: Vec<u16> = answers.map(|answer| answer.status).collect();
    assert_eq!(statuses, [503], "one gives way, and is told so");
}
