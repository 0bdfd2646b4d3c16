//! Slow-loris of each kind, 5,000 at once, beside good peers: each is ended by the deadline that
//! is meant for it, not before and not much after, and told why.
//! Not for one slow peer; `tests/deadlines.rs` has those.

use std::time::{Duration, Instant};

use crate::crowd::{Crowd, Ending, Peer, Reading};
use crate::harness::{TICK, frame, ms, request};
use crate::healthy::Healthy;
use crate::watched::Watched;
use crate::{LATE, alone};

const COUNT: usize = 5_000;

/// All deadlines that a loris can run into.
const DEADLINE: Duration = Duration::from_secs(3);

const CLOSE: Duration = Duration::from_millis(500);

/// The time from one drop to the next.
const DRIP: Duration = Duration::from_millis(500);

const FLAGS: [&str; 14] = [
    "--handshake-timeout",
    "3s",
    "--message-timeout",
    "3s",
    "--write-timeout",
    "3s",
    "--close-timeout",
    "500ms",
    "--ping-interval",
    "20s",
    "--max-message-size",
    "1GiB",
    "--inbox-budget",
    "1GiB",
];

/// Long enough for none to come before a loris is ended.
const PING: Duration = Duration::from_secs(20);

/// What a loris must be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Status(u16),
    Close(u16),
}

/// A way to be slow.
struct Loris {
    opening: Vec<u8>,
    /// What it sends each time; empty when it is done.
    drip: fn(usize) -> Vec<u8>,
    deadline: &'static str,
    reason: &'static str,
    told: Told,
}

fn silence(_: usize) -> Vec<u8> {
    Vec::new()
}

/// The `n`th byte of something longer than any test lasts.
fn byte_of(bytes: &[u8], n: usize) -> Vec<u8> {
    bytes.get(n..=n).expect("it is long enough").to_vec()
}

fn in_handshake(opening: Vec<u8>, drip: fn(usize) -> Vec<u8>) -> Loris {
    let (deadline, reason) = ("handshake", "handshake_timeout");
    Loris { opening, drip, deadline, reason, told: Told::Status(408) }
}

fn in_message(begin: &[u8], drip: fn(usize) -> Vec<u8>) -> Loris {
    let opening = [request("/echo", &[]).as_bytes(), begin].concat();
    // It doesn't answer the close frame either, so that is what it ends for.
    let (deadline, reason) = ("message", "close_timeout");
    Loris { opening, drip, deadline, reason, told: Told::Close(1008) }
}

/// Holds thousands of such against a server, and sees each of them off.
fn outlast(loris: &Loris) {
    let machine = alone();
    let server = Watched::start(&FLAGS);
    let healthy = Healthy::talk(&server);
    let mut crowd = Crowd::of(&server, COUNT, Reading::All, |_| loris.opening.clone());
    let first = crowd.peers[0].begun;
    let last = crowd.last_begun();
    for n in 1.. {
        let closed = server.metrics().closed(loris.reason) as usize;
        // Asked and answered before the first of them was due.
        if first.elapsed() + TICK < DEADLINE {
            assert_eq!(closed, 0, "nobody goes before the time");
        }
        if closed == COUNT {
            break;
        }
        let late = last.elapsed().saturating_sub(DEADLINE + CLOSE);
        assert!(late < LATE, "{closed} of {COUNT} are gone {late:?} after the last was due");
        crowd.send(|_| (loris.drip)(n));
        crowd.read_for(DRIP);
    }
    assert!(crowd.read_until(LATE, |peers| peers.iter().all(|peer| peer.ended.is_some())));
    for peer in &crowd.peers {
        assert_told(peer, loris.told);
    }
    assert_eq!(server.metrics().expired(loris.deadline) as usize, COUNT);
    server.assert_no_strays(LATE);
    healthy.assert_undisturbed(LATE);
    drop(crowd);
    server.aftermath(machine, PING);
}

fn assert_told(peer: &Peer, told: Told) {
    match told {
        Told::Status(status) => assert_eq!(peer.status(), Some(status), "{:?}", peer.received),
        Told::Close(code) => assert_eq!(peer.close_code(), Some(code), "{:?}", peer.received),
    }
    let after = peer.answered.expect("it was told") - peer.begun;
    assert!(after + TICK >= DEADLINE, "told too early: after {after:?}");
    assert!(after <= DEADLINE + LATE, "told too late: after {after:?}");
}

#[test]
fn who_never_sends_a_byte_is_told_408() {
    outlast(&in_handshake(Vec::new(), silence));
}

#[test]
fn who_drips_a_head_is_told_408() {
    outlast(&in_handshake(b"G".to_vec(), |n| byte_of(request("/echo", &[]).as_bytes(), n)));
}

#[test]
fn who_drips_header_lines_is_told_408() {
    let head = "GET /echo HTTP/1.1\r\nHost: a\r\n";
    outlast(&in_handshake(head.into(), |n| format!("X-{n}: {n}\r\n").into_bytes()));
}

#[test]
fn who_never_sends_the_blank_line_is_told_408() {
    let mut head = request("/echo", &[]);
    head.truncate(head.len() - 2);
    outlast(&in_handshake(head.into_bytes(), silence));
}

#[test]
fn who_drips_a_frame_header_is_told_1008() {
    let first = [frame::BINARY];
    outlast(&in_message(&first, |n| byte_of(&frame::header(frame::BINARY, 70_000), n)));
}

#[test]
fn who_drips_a_message_is_told_1008() {
    let begin = &frame::binary(&[7; 1000])[..20];
    outlast(&in_message(begin, |_| frame::masked(b"x")));
}

#[test]
fn who_sends_fragments_for_ever_is_told_1008() {
    outlast(&in_message(&frame::frame(0x01, b"x"), |_| frame::frame(0x00, b"x")));
}

#[test]
fn who_sends_empty_fragments_for_ever_is_told_1008() {
    outlast(&in_message(&frame::frame(0x02, b""), |_| frame::frame(0x00, b"").repeat(5)));
}

#[test]
fn who_announces_a_gigabyte_and_sends_nothing_is_told_1008() {
    outlast(&in_message(&frame::header(frame::BINARY, 1 << 30), silence));
}

#[test]
fn who_pings_in_the_middle_of_a_message_gains_no_time() {
    outlast(&in_message(&frame::frame(0x01, b"x"), |_| frame::frame(frame::PONG, b"still here")));
}

/// A message whose echo the kernel's buffers of both ends can't hold.
const UNREAD: usize = 64 * 1024;

#[test]
fn who_never_reads_is_reset_and_leaves_nothing_in_the_kernel() {
    let machine = alone();
    let flags = [&FLAGS[..], &["--outbox-budget", "2GiB", "--outbox-limit", "64KiB"]].concat();
    let server = Watched::start(&flags);
    let healthy = Healthy::talk(&server);
    let opening = [request("/echo", &[]).as_bytes(), &frame::binary(&vec![7; UNREAD])[..]].concat();
    let mut crowd = Crowd::of(&server, COUNT, Reading::Nothing, |_| opening.clone());
    // What they sent takes a while to arrive, and the clock starts then.
    server.wait_for("all to have asked", |m| m.sum("ws_messages_received_total") as usize >= COUNT);
    let last = Instant::now();
    server.wait_for("the resets", |m| {
        let closed = m.closed("write_timeout") as usize;
        let late = last.elapsed().saturating_sub(DEADLINE);
        assert!(late < LATE || closed == COUNT, "{closed} are gone {late:?} too late");
        closed == COUNT
    });
    server.assert_no_strays(LATE);
    assert_eq!(server.metrics().expired("write") as usize, COUNT);
    crowd.begin_reading();
    assert!(crowd.read_until(LATE, |peers| peers.iter().all(|peer| peer.ended.is_some())));
    for peer in &crowd.peers {
        let (ending, at) = peer.ended.expect("all have ended");
        assert_eq!(ending, Ending::Reset);
        assert!(at - peer.begun + ms(12) >= DEADLINE, "too early");
    }
    healthy.assert_undisturbed(LATE);
    drop(crowd);
    server.aftermath(machine, PING);
}
