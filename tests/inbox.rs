//! Unfinished heads, frames and messages are held only as far as they came, and within a budget
//! for the whole process.

mod harness;

use harness::{RawClient, Server, frame, wait_until};

const MIB: usize = 1 << 20;

/// Sends a message's header and its first `part` bytes.
fn begin(peer: &mut RawClient, length: usize, part: usize) {
    let mut bytes = frame::header(frame::BINARY, length as u64);
    bytes.extend(frame::masked(&vec![3; length])[..part].iter());
    peer.send(&bytes);
}

/// Sends the rest of what [`begin`] began, and expects the echo.
fn complete(peer: &mut RawClient, length: usize, part: usize) {
    peer.send(&frame::masked(&vec![3; length])[part..]);
    assert!(peer.data().payload == vec![3; length]);
}

#[test]
fn an_announced_message_costs_only_what_came_of_it() {
    let flags = ["--max-message-size", "1GiB", "--inbox-budget", "1GiB"];
    let server = Server::start(&flags);
    let resident = server.resident();
    let mut peers: Vec<_> = (0..500).map(|_| RawClient::open(&server, "/echo")).collect();
    for (n, peer) in peers.iter_mut().enumerate() {
        let length = if n % 2 == 0 { 1 << 30 } else { 1 << 20 };
        peer.send(&frame::header(frame::BINARY, length));
        peer.send(&[0; 10]);
    }
    server.wait_for("the beginnings", |m| m.value("ws_inbox_bytes", &[]) > 500.0 * 10.0);
    let grown = server.resident().saturating_sub(resident);
    assert!(grown < 8 << 20, "{grown} bytes for 500 announcements");
    drop(peers);
    server.wait_for("the end", |m| m.value("ws_inbox_bytes", &[]) == 0.0);
}

#[test]
fn past_the_budget_the_largest_is_closed_with_1009_and_the_others_finish() {
    let flags = ["--inbox-budget", "4MiB", "--reactors", "1", "--message-timeout", "60s"];
    let server = Server::start(&flags);
    let mut small: Vec<_> = (0..8).map(|_| RawClient::open(&server, "/echo")).collect();
    let mut large: Vec<_> = (0..5).map(|_| RawClient::open(&server, "/echo")).collect();
    for peer in &mut small {
        begin(peer, 200_000, 100_000);
    }
    server.wait_for("the small", |m| m.value("ws_inbox_bytes", &[]) >= 800_000.0);
    for peer in &mut large {
        begin(peer, MIB, MIB - 1);
    }
    let metrics = server.wait_for("the shed", |m| m.closed("inbox_shed") >= 1);
    assert!(metrics.value("ws_inbox_sheds_total", &[]) <= 3.0);
    let mut shed = 0;
    for peer in &mut large {
        if peer.try_send(&frame::masked(&vec![3; MIB])[MIB - 1..]).is_ok() {
            let answer = peer.data();
            match answer.close_code() {
                Some(code) => {
                    assert_eq!(code, 1009);
                    shed += 1;
                }
                None => assert_eq!(answer.payload.len(), MIB),
            }
        }
    }
    assert!((1..=3).contains(&shed), "{shed} of 5 were shed");
    for peer in &mut small {
        complete(peer, 200_000, 100_000);
    }
    assert_eq!(server.metric("ws_inbox_bytes", &[]), 0.0);
}

#[test]
fn memory_stays_within_the_budget_whatever_is_begun() {
    let flags = ["--inbox-budget", "16MiB", "--reactors", "2", "--message-timeout", "60s"];
    let server = Server::start(&flags);
    let resident = server.resident();
    let mut healthy = RawClient::open(&server, "/echo");
    let mut peers: Vec<_> = (0..100).map(|_| RawClient::open(&server, "/echo")).collect();
    let mut most = 0;
    for peer in &mut peers {
        begin(peer, MIB, MIB - 1);
        most = most.max(server.resident().saturating_sub(resident));
    }
    server.wait_for("the sheds", |m| {
        m.closed("inbox_shed") >= 70 && m.value("ws_inbox_bytes", &[]) <= 16.0 * MIB as f64
    });
    assert!(most < 48 << 20, "{most} bytes at the most, with a budget of 16 MiB");
    healthy.expect_echo("not touched");
}

#[test]
fn memory_comes_back_after_large_fragmented_messages() {
    let server = Server::start(&["--reactors", "1"]);
    let mut peers: Vec<_> = (0..50).map(|_| RawClient::open(&server, "/echo")).collect();
    for peer in &mut peers {
        peer.expect_echo("awake");
    }
    let resident = server.resident();
    let payload = vec![5; MIB];
    let fragments: Vec<u8> = payload
        .chunks(10_000)
        .enumerate()
        .flat_map(|(n, piece)| {
            let first = if n == 0 { 2 } else { 0 };
            let fin = if n == MIB / 10_000 { 0x80 } else { 0 };
            frame::frame(first | fin, piece)
        })
        .collect();
    // All are unfinished at the same time.
    for peer in &mut peers {
        peer.send(&fragments[..fragments.len() - 1]);
    }
    server.wait_for("all", |m| m.value("ws_inbox_bytes", &[]) >= 49.0 * MIB as f64);
    for peer in &mut peers {
        peer.send(&fragments[fragments.len() - 1..]);
        assert!(peer.data().payload == payload);
    }
    wait_until("the memory to come back", || server.resident().saturating_sub(resident) < 6 << 20);
    assert_eq!(server.metric("ws_inbox_bytes", &[]), 0.0);
}
