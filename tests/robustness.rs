//! Garbage, at the level of HTTP and of frames: nothing a peer sends panics the server or makes
//! it keep memory. The garbage is random but the same in each run.

mod harness;

use fastrand::Rng;
use harness::{Event, RawClient, Server, frame, ms, request};

/// Bytes that look like what is expected, changed in a few places.
fn damaged(random: &mut Rng, good: &[u8]) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for _ in 0..random.usize(1..6) {
        let at = random.usize(..bytes.len().max(1)).min(bytes.len());
        match random.u8(..6) {
            0 => bytes.insert(at, random.u8(..)),
            1 if at < bytes.len() => drop(bytes.remove(at)),
            2 if at < bytes.len() => bytes[at] ^= 1 << random.u8(..8),
            3 => bytes.truncate(at),
            4 => bytes.splice(at..at, good[..random.usize(..good.len())].to_vec()).for_each(drop),
            _ if at < bytes.len() => bytes[at] = random.u8(..),
            _ => {}
        }
    }
    bytes
}

fn noise(random: &mut Rng) -> Vec<u8> {
    let length = random.usize(1..3000);
    std::iter::repeat_with(|| random.u8(..)).take(length).collect()
}

/// A stream of frames, most of them good.
fn frames(random: &mut Rng) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..random.usize(1..20) {
        let payload: Vec<u8> = match random.u8(..3) {
            0 => "äöü€".repeat(random.usize(..50)).into_bytes(),
            1 => noise(random),
            _ => vec![b'x'; random.usize(..200)],
        };
        let first = match random.u8(..10) {
            0 => random.u8(..),
            1..3 => frame::PING,
            3 => 0x01,
            4 => 0x00,
            5 => 0x80,
            6..8 => frame::TEXT,
            _ => frame::BINARY,
        };
        bytes.extend(frame::frame(first, &payload));
    }
    bytes
}

/// Sends in pieces, as long as the server takes them, and reads what comes meanwhile.
fn send_in_pieces(random: &mut Rng, peer: &mut RawClient, bytes: &[u8]) {
    let mut rest = bytes;
    while !rest.is_empty() {
        let n = random.usize(1..=rest.len());
        if peer.try_send(&rest[..n]).is_err() {
            return;
        }
        rest = &rest[n..];
    }
}

/// However it ends, it must end once this side is shut.
fn must_end(peer: &mut RawClient, seed: u64) {
    let _ = peer.stream().shutdown(std::net::Shutdown::Write);
    let (_, end) = peer.drain_bytes(harness::PATIENCE);
    assert_ne!(end, Event::Nothing, "seed {seed}: the server holds on to it");
}

/// Runs this for each of many seeds on a server, which must come through it.
fn survives(count: u64, life: impl Fn(&Server, &mut Rng, u64)) {
    let mut server = Server::start(&["--handshake-timeout", "2s", "--message-timeout", "2s"]);
    // What is allocated once is not what is looked for.
    for seed in 0..20 {
        life(&server, &mut Rng::with_seed(seed), seed);
    }
    let resident = server.resident();
    for seed in 0..count {
        life(&server, &mut Rng::with_seed(seed), seed);
    }
    server.wait_for("all to leave", |m| m.value("ws_slots_used", &[]) == 0.0);
    RawClient::open(&server, "/echo").expect_echo("alive and well");
    let metrics = server.metrics();
    assert_eq!(metrics.value("ws_inbox_bytes", &[]), 0.0);
    assert_eq!(metrics.value("ws_outbox_bytes", &[]), 0.0);
    let grown = server.resident().saturating_sub(resident);
    assert!(grown < 8 << 20, "{grown} bytes more");
    server.assert_sound();
}

#[test]
fn noise_instead_of_a_request() {
    survives(500, |server, random, seed| {
        let mut peer = RawClient::connect(server);
        let bytes = noise(random);
        send_in_pieces(random, &mut peer, &bytes);
        must_end(&mut peer, seed);
    });
}

#[test]
fn damaged_requests() {
    let good = request("/echo", &["Sec-WebSocket-Protocol: a, b", "Cookie: x=y", "X: é"]);
    survives(1500, |server, random, seed| {
        let mut peer = RawClient::connect(server);
        let mut bytes = damaged(random, good.as_bytes());
        bytes.extend(frames(random));
        send_in_pieces(random, &mut peer, &bytes);
        must_end(&mut peer, seed);
    });
}

#[test]
fn noise_instead_of_frames() {
    survives(500, |server, random, seed| {
        let mut peer = RawClient::open(server, "/echo");
        let bytes = noise(random);
        send_in_pieces(random, &mut peer, &bytes);
        must_end(&mut peer, seed);
    });
}

#[test]
fn damaged_frames() {
    survives(1500, |server, random, seed| {
        let path = if random.bool() { "/echo" } else { "/broadcast" };
        let mut peer = RawClient::open(server, path);
        let good = frames(random);
        let bytes = if random.u8(..4) == 0 { good } else { damaged(random, &good) };
        send_in_pieces(random, &mut peer, &bytes);
        must_end(&mut peer, seed);
    });
}

#[test]
fn peers_that_vanish_in_the_middle_of_anything() {
    survives(1500, |server, random, _| {
        let mut peer = RawClient::connect(server);
        let mut bytes = request("/broadcast", &[]).into_bytes();
        bytes.extend(frames(random));
        bytes.truncate(random.usize(..=bytes.len()));
        send_in_pieces(random, &mut peer, &bytes);
        if random.bool() {
            let socket = socket2::SockRef::from(peer.stream());
            let _ = socket.set_linger(Some(std::time::Duration::ZERO));
        }
        if random.u8(..8) == 0 {
            std::thread::sleep(ms(1));
        }
    });
}
