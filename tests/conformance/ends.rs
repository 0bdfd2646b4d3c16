//! How TCP ends (RFC 6455 sections 5.5.1, 7.1 and 7.2): the last frames arrive whatever is still on
//! its way, and the server shuts its side first.
//! Not for what leads to a close; the tables have that.

use std::io::{Read, Write};
use std::thread::JoinHandle;
use std::time::Instant;

use crate::case::{judge_failure, server_frame};
use crate::harness::frame::{self, CLOSE, PING, TEXT};
use crate::harness::{Event, PATIENCE, RawClient, SLACK, Server, ms};

/// A violation, its code, and whether it is the client's own close frame instead.
fn last_words() -> [(Vec<u8>, u16); 5] {
    [
        (vec![0x81, 0x05], 1002),
        (vec![0x83], 1002),
        (frame::frame(TEXT, b"\xff"), 1007),
        (frame::header(TEXT, 1 << 40), 1009),
        (frame::close(1000, ""), 1000),
    ]
}

/// Writes on another thread until all is written or the connection is gone.
fn write_behind(peer: &RawClient, bytes: Vec<u8>) -> JoinHandle<std::io::Result<()>> {
    let mut stream = peer.stream().try_clone().expect("a socket can be cloned");
    std::thread::spawn(move || stream.write_all(&bytes))
}

/// What was on its way when the end came must not turn it into a reset; the most of it is more than
/// the server reads in one turn.
#[test]
fn the_close_frame_arrives_though_more_is_on_its_way() {
    let server = Server::start(&[]);
    for (words, code) in last_words() {
        for flood in [1, 10_000, 300_000, 20_000_000] {
            let mut peer = RawClient::open(&server, "/echo");
            let sending = write_behind(&peer, [&words[..], &vec![0xff; flood]].concat());
            assert_eq!(peer.data().close_code(), Some(code), "{words:02x?}");
            assert_eq!(peer.next(PATIENCE), Event::Finished, "{words:02x?}");
            let sent = sending.join().expect("the sender ends");
            sent.expect("the rest is read and thrown away");
        }
    }
}

/// The client reads only when all it wanted to send has gone, long after the server's FIN.
#[test]
fn the_close_frame_waits_for_who_reads_late() {
    let server = Server::start(&[]);
    for (words, code) in last_words() {
        let mut peer = RawClient::open(&server, "/echo");
        peer.send(&frame::text("first"));
        peer.send(&words);
        server.wait_for("the end to be known", |m| m.sum("ws_messages_sent_total") >= 1.0);
        for _ in 0..100 {
            peer.send(&[0xff; 1_000]);
        }
        assert_eq!(peer.data().payload, b"first", "{words:02x?}");
        peer.expect_close(code);
    }
}

#[test]
fn a_client_that_has_shut_its_side_still_gets_the_close_frame() {
    let server = Server::start(&[]);
    for (words, code) in last_words() {
        for more in [&b""[..], &[0xff; 1_000]] {
            let mut peer = RawClient::open(&server, "/echo");
            peer.send(&[&words[..], more].concat());
            peer.finish();
            peer.expect_close(code);
        }
    }
}

/// Section 7.1.1: nobody waits for the client to close, who could keep the socket.
#[test]
fn the_server_shuts_its_side_without_waiting_for_the_client() {
    let server = Server::start(&["--close-timeout", "600s"]);
    for (words, code) in last_words() {
        let mut peer = RawClient::open(&server, "/echo");
        peer.send(&words);
        peer.expect_close(code);
    }
}

#[test]
fn a_client_that_floods_on_is_dropped_at_the_close_deadline() {
    let timeout = ms(1_000);
    let server = Server::start(&["--close-timeout", "1s"]);
    let mut peer = RawClient::open(&server, "/echo");
    peer.send(&[0x83]);
    let begun = Instant::now();
    peer.expect_close(1002);
    while peer.try_send(&[0xff; 4_000]).is_ok() {
        assert!(begun.elapsed() < timeout + SLACK + PATIENCE, "it is served for ever");
    }
    server.wait_for("the slot to be free", |m| m.value("ws_slots_used", &[]) == 0.0);
}

/// Has twenty messages echoed to a client that does not read yet.
fn backlog(server: &Server) -> RawClient {
    let mut peer = RawClient::connect_narrow(server).upgraded("/echo");
    for n in 0..20 {
        peer.send(&frame::binary(&vec![n; 50_000]));
    }
    peer
}

fn expect_backlog(peer: &mut RawClient) {
    for n in 0..20 {
        assert!(peer.data().payload == vec![n; 50_000], "echo {n}");
    }
}

/// The echoes of a backlog and the close frame arrive although the peer reads them late.
#[test]
fn answers_that_wait_come_before_the_close_frame() {
    let server = Server::start(&["--outbox-limit", "4MiB"]);
    for (words, code) in last_words() {
        for shuts in [false, true] {
            let mut peer = backlog(&server);
            peer.send(&words);
            if shuts {
                peer.finish();
            }
            server.wait_for("a backlog", |m| m.value("ws_outbox_bytes", &[]) > 100_000.0);
            expect_backlog(&mut peer);
            peer.expect_close(code);
        }
    }
}

/// Sections 5.5.1 and 7.1.3: who has sent a close frame sends nothing after it, and ends when the
/// client's comes.
#[test]
fn nothing_follows_the_servers_own_close_frame() {
    let server = Server::start(&["--idle-timeout", "300ms", "--close-timeout", "600s"]);
    for (last, code) in [(frame::close(1001, ""), 1001), (frame::frame(CLOSE, b""), 1001)] {
        let mut peer = RawClient::open(&server, "/echo");
        peer.expect_echo("busy");
        let (mut received, mut stream) = (vec![0; 4], peer.stream());
        stream.read_exact(&mut received).expect("the close frame");
        assert_eq!(received[0], CLOSE);
        assert_eq!(u16::from_be_bytes([received[2], received[3]]), code);
        let mut reason = vec![0; usize::from(received[1]) - 2];
        stream.read_exact(&mut reason).expect("all of the close frame");
        received.extend(reason);
        judge_failure(&received, code).expect("a short reason stands behind the code");
        let ignored = [frame::text("too late"), frame::frame(PING, b"?"), last];
        peer.send(&ignored.concat());
        assert_eq!(peer.drain_bytes(PATIENCE), (Vec::new(), Event::Finished));
    }
}

/// A client that speaks and hangs up is answered to the end, and no close frame was asked for.
#[test]
fn what_was_asked_before_a_half_close_is_answered() {
    let server = Server::start(&[]);
    let mut peer = RawClient::open(&server, "/echo");
    let asked = [frame::text("one"), frame::frame(PING, b"two"), frame::header(TEXT, 5)];
    peer.send(&asked.concat());
    peer.finish();
    let answers = [server_frame(TEXT, b"one"), server_frame(frame::PONG, b"two")].concat();
    assert_eq!(peer.drain_bytes(PATIENCE), (answers, Event::Finished));
    let server = Server::start(&["--outbox-limit", "4MiB"]);
    let mut peer = backlog(&server);
    peer.finish();
    server.wait_for("a backlog", |m| m.value("ws_outbox_bytes", &[]) > 100_000.0);
    expect_backlog(&mut peer);
    assert_eq!(peer.next(PATIENCE), Event::Finished);
}
