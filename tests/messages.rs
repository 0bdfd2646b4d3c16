//! Messages come back as they were sent: at every boundary of size, in one frame or many, from one
//! peer or hundreds at once. How they may be cut and fragmented is in `tests/conformance`.

mod harness;

use harness::{RawClient, Server, frame, tungstenite_client};
use tungstenite::{Bytes, Message};

const LIMIT: usize = 1 << 20;

/// Where the length field, the receive buffer or the limit changes what happens.
const SIZES: [usize; 16] = [
    0,
    1,
    2,
    124,
    125,
    126,
    127,
    16_384,
    65_521,
    65_522,
    65_535,
    65_536,
    65_537,
    131_072,
    LIMIT - 1,
    LIMIT,
];

fn patterned(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n * 31 % 251) as u8).collect()
}

/// Text of exactly `length` bytes, with characters of one to four bytes.
fn text_of(length: usize) -> String {
    let mut text: String = "aé€\u{1f600}".repeat(length / 10);
    text.push_str(&"z".repeat(length - text.len()));
    text
}

#[test]
fn every_size_up_to_the_limit_is_echoed() {
    let mut server = Server::start(&[]);
    let mut client = tungstenite_client(&server, "/echo");
    for size in SIZES {
        let binary = Message::Binary(Bytes::from(patterned(size)));
        client.send(binary.clone()).expect("it is sent");
        assert!(client.read().expect("an echo") == binary, "{size} bytes");
        let text = text_of(size);
        assert_eq!(text.len(), size);
        client.send(Message::text(text.clone())).expect("it is sent");
        assert!(client.read().expect("an echo") == Message::text(text), "{size} bytes of text");
    }
    // The last echo is here before the reactor has counted it.
    let all = 2.0 * SIZES.len() as f64;
    let metrics = server
        .wait_for("the last echo to be counted", |m| m.value("ws_messages_sent_total", &[]) >= all);
    assert_eq!(metrics.value("ws_messages_received_total", &[]), all);
    assert_eq!(metrics.value("ws_messages_sent_total", &[]), all);
    server.assert_sound();
}

#[test]
fn the_limit_can_be_raised_and_lowered() {
    let server = Server::start(&["--max-message-size", "4MiB", "--outbox-limit", "16KiB"]);
    let mut client = tungstenite_client(&server, "/echo");
    let most = Message::Binary(Bytes::from(patterned(4 << 20)));
    client.send(most.clone()).expect("it is sent");
    assert!(client.read().expect("an echo") == most);
    let server = Server::start(&["--max-message-size", "100"]);
    let mut peer = RawClient::open(&server, "/echo");
    peer.send(&frame::binary(&[1; 100]));
    assert_eq!(peer.data().payload, [1; 100]);
    peer.send(&frame::header(frame::BINARY, 101));
    peer.expect_close(1009);
}

/// A message cut into this many equal fragments, each followed by `between`.
fn fragmented(payload: &[u8], count: usize, between: &[u8]) -> Vec<u8> {
    let size = payload.len().div_ceil(count).max(1);
    let pieces: Vec<&[u8]> = payload.chunks(size).collect();
    let mut out = Vec::new();
    for (n, piece) in pieces.iter().enumerate() {
        let fin = if n + 1 == pieces.len() { 0x80 } else { 0 };
        let opcode = if n == 0 { 2 } else { 0 };
        out.extend(frame::frame(fin | opcode, piece));
        out.extend(between);
    }
    out
}

#[test]
fn fragments_become_one_message() {
    let server = Server::start(&[]);
    let mut peer = RawClient::open(&server, "/echo");
    for size in [1, 10, 125, 1000, 65_536, 200_000, LIMIT] {
        for count in [2, 3, 10, 1000] {
            let payload = patterned(size);
            peer.send(&fragmented(&payload, count, &[]));
            let echo = peer.data();
            assert_eq!(echo.first, frame::BINARY);
            assert!(echo.payload == payload, "{size} bytes in {count} fragments");
        }
    }
}

#[test]
fn thousands_in_one_write_come_back_in_order() {
    let server = Server::start(&["--outbox-limit", "8MiB"]);
    let mut peer = RawClient::open(&server, "/echo");
    let all: Vec<u8> = (0..5000).flat_map(|n| frame::text(&format!("message {n}"))).collect();
    let mut writer = peer.stream().try_clone().expect("a socket can be cloned");
    let sending = std::thread::spawn(move || std::io::Write::write_all(&mut writer, &all));
    for n in 0..5000 {
        assert_eq!(peer.data().payload, format!("message {n}").as_bytes());
    }
    sending.join().expect("the writer ends").expect("all is sent");
}

#[test]
fn many_connections_are_served_at_once_and_apart() {
    let mut server = Server::start(&["--reactors", "3"]);
    let server_ref = &server;
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            scope.spawn(move || mingle(server_ref, thread));
        }
    });
    server.assert_sound();
    server.wait_for("the ends", |m| m.value("ws_slots_used", &[]) == 0.0);
}

/// Fifty connections of one thread send messages in random pieces, all interleaved.
fn mingle(server: &Server, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut peers: Vec<_> = (0..50).map(|_| RawClient::open(server, "/echo")).collect();
    for round in 0..10 {
        let payloads: Vec<Vec<u8>> = (0..peers.len())
            .map(|n| format!("{seed} {n} {round} ").repeat(random.usize(1..200)).into_bytes())
            .collect();
        let mut waiting: Vec<(usize, Vec<u8>)> = payloads
            .iter()
            .map(|payload| fragmented(payload, random.usize(1..5), &[]))
            .enumerate()
            .collect();
        while !waiting.is_empty() {
            let at = random.usize(..waiting.len());
            let (peer, bytes) = &mut waiting[at];
            let n = random.usize(1..=bytes.len());
            peers[*peer].send(&bytes[..n]);
            bytes.drain(..n);
            if bytes.is_empty() {
                waiting.swap_remove(at);
            }
        }
        for (peer, payload) in peers.iter_mut().zip(&payloads) {
            assert!(peer.data().payload == *payload);
        }
    }
}

#[test]
fn a_broadcast_reaches_every_reactor_and_its_sender() {
    let server = Server::start(&["--reactors", "4"]);
    let mut peers: Vec<_> = (0..40).map(|_| RawClient::open(&server, "/broadcast")).collect();
    let mut elsewhere = RawClient::open(&server, "/echo");
    server.wait_for("all", |m| m.value("ws_connections_active", &[]) == 41.0);
    for n in 0..40 {
        let text = format!("from {n}");
        peers[n].send(&frame::text(&text));
        for peer in &mut peers {
            let heard = peer.data();
            assert_eq!((heard.first, &heard.payload[..]), (frame::TEXT, text.as_bytes()));
        }
    }
    elsewhere.expect_echo("and nobody else");
}

#[test]
fn each_subscriber_hears_each_publisher_in_order() {
    let server = Server::start(&["--reactors", "4", "--outbox-limit", "8MiB"]);
    let mut hears: Vec<_> = (0..8).map(|_| RawClient::open(&server, "/broadcast")).collect();
    let mut talks: Vec<_> = (0..4).map(|_| RawClient::open(&server, "/broadcast")).collect();
    server.wait_for("all", |m| m.value("ws_connections_active", &[]) == 12.0);
    std::thread::scope(|scope| {
        for (id, peer) in talks.iter_mut().enumerate() {
            scope.spawn(move || {
                for n in 0..500u32 {
                    peer.send(&frame::text(&format!("{id} {n}")));
                    peer.data();
                }
            });
        }
        for peer in &mut hears {
            scope.spawn(move || {
                let mut next = [0u32; 4];
                for _ in 0..2000 {
                    let heard = String::from_utf8(peer.data().payload).expect("text");
                    let (id, n) = heard.split_once(' ').expect("two numbers");
                    let id: usize = id.parse().expect("a number");
                    assert_eq!(n.parse(), Ok(next[id]), "of publisher {id}");
                    next[id] += 1;
                }
            });
        }
    });
}
