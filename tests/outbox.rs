//! What waits to be sent is bounded for each connection and for the process, in memory as well as
//! in count, and the bound hits those who do not read and nobody else.

mod harness;

use std::io::Write;
use std::time::{Duration, Instant};

use harness::{Event, Frame, PATIENCE, RawClient, Server, frame, ms};

const MIB: u64 = 1 << 20;

/// A message of `length` bytes that tells its number.
fn numbered(number: u32, length: usize) -> Vec<u8> {
    let mut payload = number.to_be_bytes().to_vec();
    payload.resize(length, 0x5a);
    payload
}

fn number(frame: &Frame) -> u32 {
    assert_eq!(frame.first, frame::BINARY, "{:?}", frame.close_code());
    assert!(frame.payload[4..].iter().all(|byte| *byte == 0x5a));
    u32::from_be_bytes(frame.payload[..4].try_into().expect("four bytes are there"))
}

/// Broadcasts numbered messages and reads each back, so that all of them have been fanned out.
fn broadcast(talker: &mut RawClient, count: u32, length: usize) {
    for n in 0..count {
        talker.send(&frame::binary(&numbered(n, length)));
        assert_eq!(number(&talker.data()), n);
    }
}

/// Reads whatever numbered messages come until nothing has for a while.
fn read_numbers(peer: &mut RawClient) -> Vec<u32> {
    let mut numbers = Vec::new();
    loop {
        match peer.next(ms(700)) {
            Event::Frame(frame) if frame.first == frame::PING => {}
            Event::Frame(frame) => numbers.push(number(&frame)),
            Event::Nothing => return numbers,
            other => panic!("{other:?} after {} messages", numbers.len()),
        }
    }
}

#[test]
fn a_subscriber_past_its_bound_is_reset_and_the_others_get_everything() {
    let server = Server::start(&["--outbox-limit", "64KiB"]);
    let mut stalled = RawClient::connect_narrow(&server).upgraded("/broadcast");
    let mut reader = RawClient::open(&server, "/broadcast");
    let mut talker = RawClient::open(&server, "/broadcast");
    for n in 0..300 {
        talker.send(&frame::binary(&numbered(n, 10_000)));
        assert_eq!(number(&talker.data()), n);
        assert_eq!(number(&reader.data()), n);
    }
    assert_eq!(stalled.drain(PATIENCE).1, Event::Reset);
    let metrics = server.wait_for("the reset", |m| m.closed("outbox_full") == 1);
    assert_eq!(metrics.value("ws_connections_active", &[]), 2.0);
    assert_eq!(metrics.value("ws_outbox_bytes", &[]), 0.0);
}

/// Which of 300 messages reach a subscriber that reads only afterwards, and how many were dropped.
fn numbers_left_by(policy: &str) -> (Vec<u32>, f64) {
    let server = Server::start(&["--outbox-limit", "64KiB", "--slow-consumer", policy]);
    let mut stalled = RawClient::connect_narrow(&server).upgraded("/broadcast");
    let mut talker = RawClient::open(&server, "/broadcast");
    broadcast(&mut talker, 300, 10_000);
    let waiting = server.metric("ws_outbox_bytes", &[]);
    assert!(waiting <= 65_536.0, "{waiting} bytes wait");
    let numbers = read_numbers(&mut stalled);
    let labels = [("policy", &*policy.replace('-', "_"))];
    (numbers, server.metric("ws_outbox_frames_dropped_total", &labels))
}

#[test]
fn drop_oldest_keeps_what_is_new() {
    let (numbers, dropped) = numbers_left_by("drop-oldest");
    assert!(numbers.is_sorted_by(|a, b| a < b), "in order, each once: {numbers:?}");
    assert_eq!((numbers.first(), numbers.last()), (Some(&0), Some(&299)));
    assert_eq!(numbers.len() as f64 + dropped, 300.0, "each is delivered or counted");
    assert!(dropped > 0.0);
}

#[test]
fn drop_newest_keeps_what_was_there() {
    let (numbers, dropped) = numbers_left_by("drop-newest");
    let expected: Vec<u32> = (0..numbers.len() as u32).collect();
    assert_eq!(numbers, expected, "the first ones, without a gap");
    assert_eq!(numbers.len() as f64 + dropped, 300.0, "each is delivered or counted");
    assert!(dropped > 0.0);
}

#[test]
fn after_dropping_the_stream_is_in_order_and_new_messages_come() {
    for policy in ["drop-oldest", "drop-newest"] {
        let server = Server::start(&["--outbox-limit", "32KiB", "--slow-consumer", policy]);
        let mut stalled = RawClient::connect_narrow(&server).upgraded("/broadcast");
        let mut talker = RawClient::open(&server, "/broadcast");
        broadcast(&mut talker, 200, 10_000);
        read_numbers(&mut stalled);
        broadcast(&mut talker, 3, 100);
        assert_eq!(read_numbers(&mut stalled), [0, 1, 2], "{policy}");
    }
}

#[test]
fn an_empty_outbox_takes_one_message_of_any_legal_size() {
    let server = Server::start(&["--outbox-limit", "16KiB"]);
    let mut peer = RawClient::connect_narrow(&server).upgraded("/echo");
    let payload = vec![9; 1 << 20];
    for _ in 0..3 {
        peer.send(&frame::binary(&payload));
        assert!(peer.data().payload == payload);
    }
    let mut listener = RawClient::connect_narrow(&server).upgraded("/broadcast");
    let mut talker = RawClient::open(&server, "/broadcast");
    talker.send(&frame::binary(&payload));
    assert!(talker.data().payload == payload);
    assert!(listener.data().payload == payload);
}

#[test]
fn controls_are_answered_while_data_is_queued() {
    let server = Server::start(&["--outbox-limit", "4MiB", "--write-timeout", "20s"]);
    let mut slow = RawClient::connect_narrow(&server).upgraded("/broadcast");
    let mut talker = RawClient::open(&server, "/broadcast");
    broadcast(&mut talker, 50, 20_000);
    let waiting = server.metric("ws_outbox_bytes", &[]);
    assert!(waiting > 500_000.0, "most of it waits: {waiting}");
    slow.send(&frame::frame(frame::PING, b"hello?"));
    std::thread::sleep(ms(200));
    let mut before = 0;
    while slow.frame().first != frame::PONG {
        before += 1;
    }
    assert!(before < 45, "the pong came behind {before} of 50 messages");
    assert_eq!(read_numbers(&mut slow).len() + before, 50);
}

#[test]
fn who_asks_and_does_not_read_is_read_no_further() {
    let server = Server::start(&["--write-timeout", "5s"]);
    let resident = server.resident();
    let mut peer = RawClient::connect_narrow(&server).upgraded("/echo");
    let mut healthy = RawClient::open(&server, "/echo");
    let stream = peer.stream().try_clone().expect("a socket can be cloned");
    stream.set_write_timeout(Some(ms(500))).expect("a timeout can be set");
    let message = frame::binary(&[1; 8192]);
    let mut asked = 0;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(8) {
        if std::io::Write::write_all(&mut &stream, &message).is_err() {
            break;
        }
        asked += message.len();
    }
    assert!(asked < 64 << 20, "TCP carried no pressure back: {asked} bytes were taken");
    healthy.expect_echo("not held up");
    let metrics = server.metrics();
    assert!(metrics.value("ws_outbox_bytes", &[]) <= 256.0 * 1024.0 + 8206.0);
    assert!(metrics.value("ws_reads_paused_total", &[("cause", "outbox")]) >= 1.0);
    let grown = server.resident().saturating_sub(resident);
    assert!(grown < 8 * MIB, "{grown} bytes more");
    server.wait_for("the write timeout", |m| m.closed("write_timeout") == 1);
    assert_eq!(peer.drain(PATIENCE).1, Event::Reset);
    healthy.expect_echo("still there");
}

/// Each of the replies is more than half the bound, and finds a backlog of up to half of it.
#[test]
fn who_asks_faster_than_it_reads_is_paused_and_never_reset_however_large_the_replies() {
    const COUNT: u32 = 150;
    let server = Server::start(&["--outbox-limit", "64KiB"]);
    let mut client = RawClient::connect_narrow(&server).upgraded("/echo");
    let length = |n: u32| 33_000 + (n as usize * 7_919) % 40_000;
    let mut asking = client.stream().try_clone().expect("a socket can be shared");
    let asking = std::thread::spawn(move || {
        // It fails where the connection is reset, which the reader is told too.
        let asked =
            (0..COUNT).try_for_each(|n| asking.write_all(&frame::binary(&numbered(n, length(n)))));
        assert!(asked.is_ok(), "{asked:?}");
    });
    for n in 0..COUNT {
        let frame = client.data();
        assert_eq!((number(&frame), frame.payload.len()), (n, length(n)));
    }
    asking.join().expect("all was asked");
    assert!(server.metric("ws_reads_paused_total", &[("cause", "outbox")]) > 0.0);
}

#[test]
fn reading_goes_on_once_the_peer_reads_again() {
    let server = Server::start(&["--write-timeout", "20s", "--outbox-limit", "64KiB"]);
    let mut peer = RawClient::connect_narrow(&server).upgraded("/echo");
    let writer = peer.stream().try_clone().expect("a socket can be cloned");
    let sending = std::thread::spawn(move || {
        for n in 0..2000 {
            std::io::Write::write_all(&mut &writer, &frame::binary(&numbered(n, 8192)))?;
        }
        std::io::Result::Ok(())
    });
    server
        .wait_for("the pause", |m| m.value("ws_reads_paused_total", &[("cause", "outbox")]) > 0.0);
    std::thread::sleep(ms(300));
    for n in 0..2000 {
        assert_eq!(number(&peer.data()), n);
    }
    sending.join().expect("the writer ends").expect("all was taken");
}

/// Opens `count` subscribers that never read.
fn stalled_subscribers(server: &Server, count: usize) -> Vec<RawClient> {
    (0..count).map(|_| RawClient::connect_narrow(server).upgraded("/broadcast")).collect()
}

#[test]
fn the_budget_of_the_process_counts_a_shared_frame_once() {
    let flags = ["--outbox-limit", "8MiB", "--outbox-budget", "16MiB", "--write-timeout", "20s"];
    let server = Server::start(&flags);
    let resident = server.resident();
    let _stalled = stalled_subscribers(&server, 40);
    let mut talker = RawClient::open(&server, "/broadcast");
    broadcast(&mut talker, 80, 50_000);
    let metrics = server.metrics();
    assert!(metrics.value("ws_outbox_bytes", &[]) > 64.0 * MIB as f64, "for 40 receivers");
    assert_eq!(metrics.value("ws_outbox_sheds_total", &[]), 0.0);
    let grown = server.resident().saturating_sub(resident);
    assert!(grown < 16 * MIB, "4 MB that 40 wait for take {grown} bytes");
}

#[test]
fn past_the_budget_the_largest_backlog_goes_first() {
    let flags = [
        ["--reactors", "1"],
        ["--outbox-limit", "8MiB"],
        ["--outbox-budget", "8MiB"],
        ["--write-timeout", "20s"],
        ["--max-message-size", "4MiB"],
    ];
    let server = Server::start(flags.as_flattened());
    let resident = server.resident();
    // Each asks for an echo it does not read: backlogs of 1 to 3 MiB, 12 MiB in all.
    let mut peers: Vec<RawClient> = Vec::new();
    for mib in [1, 1, 2, 2, 3, 3] {
        let mut peer = RawClient::connect_narrow(&server).upgraded("/echo");
        peer.send(&frame::binary(&vec![mib as u8; mib << 20]));
        peers.push(peer);
    }
    let metrics = server.wait_for("the sheds", |m| {
        m.closed("outbox_shed") >= 1 && m.value("ws_outbox_bytes", &[]) <= 8.0 * MIB as f64
    });
    let sheds = metrics.value("ws_outbox_sheds_total", &[]);
    assert!((1.0..=2.0).contains(&sheds), "{sheds} sheds");
    for (peer, mib) in peers.iter_mut().zip([1, 1, 2, 2]).take(2) {
        assert_eq!(peer.data().payload.len(), mib << 20, "a small backlog is delivered");
    }
    let grown = server.resident().saturating_sub(resident);
    assert!(grown < 24 * MIB, "{grown} bytes more");
    peers[0].expect_echo("alive");
}

#[test]
fn memory_stays_within_the_budget_on_every_reactor_together() {
    let flags = ["--reactors", "2", "--outbox-limit", "4MiB", "--outbox-budget", "16MiB"];
    let server = Server::start(&[&flags[..], &["--write-timeout", "20s"]].concat());
    let resident = server.resident();
    let mut healthy = RawClient::open(&server, "/echo");
    let mut peers: Vec<RawClient> = Vec::new();
    for _ in 0..60 {
        let mut peer = RawClient::connect_narrow(&server).upgraded("/echo");
        peer.send(&frame::binary(&vec![1; 1 << 20]));
        peers.push(peer);
    }
    let budget = 16.0 * MIB as f64;
    server.wait_for("the sheds", |m| {
        let sheds = m.closed("outbox_shed") as f64;
        sheds >= 30.0 && m.value("ws_outbox_bytes", &[]) <= budget
    });
    healthy.expect_echo("not touched");
    let grown = server.resident().saturating_sub(resident);
    assert!(grown < 48 * MIB, "{grown} bytes more with a budget of 16 MiB");
}
