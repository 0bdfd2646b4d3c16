//! permessage-deflate at its limits, over real sockets: bombs, large and small, and broadcasts that are
//! compressed for each receiver. What is agreed on and said is in `deflate`.

mod harness;

use harness::deflate::{DeflateClient, OFFER, RSV1, bomb, letters, prose};
use harness::{Event, PATIENCE, Server, frame, request};

const MIB: usize = 1 << 20;

fn start(mode: &str, more: &[&str]) -> Server {
    Server::start(&[&["--compression", mode, "--reactors", "1"], more].concat())
}

/// The peak of the server's memory from here on.
fn forget_peak(server: &Server) -> u64 {
    let file = format!("/proc/{}/clear_refs", server.pid());
    std::fs::write(file, "5").expect("the kernel forgets a peak");
    server.memory("VmHWM")
}

/// Besides what the limit allows there are the message as it came, an inflater, receive buffers and
/// what the allocator rounds up.
const CONSTANT: u64 = 2 * MIB as u64;

#[test]
fn a_bomb_is_closed_with_1009_and_costs_the_limit_and_a_constant() {
    let small = bomb(64 * MIB);
    assert!(small.len() * 1000 < 64 * MIB, "{} bytes", small.len());
    for (mode, limit) in [("shared", MIB), ("dedicated", MIB), ("shared", 16 * MIB)] {
        let server = start(mode, &["--max-message-size", &format!("{limit}")]);
        DeflateClient::open(&server, "/echo", OFFER).send(frame::TEXT, b"warm up");
        let before = forget_peak(&server);
        for is_cut in [false, true] {
            let mut client = DeflateClient::open(&server, "/echo", OFFER);
            if is_cut {
                let (a, b) = small.split_at(small.len() / 2);
                client.raw.send(&frame::frame(0x02 | RSV1, a));
                client.raw.send(&frame::frame(0x80, b));
            } else {
                client.raw.send(&frame::frame(frame::BINARY | RSV1, &small));
            }
            assert_eq!(client.raw.frame().close_code(), Some(1009));
            assert_eq!(client.raw.drain(PATIENCE).1, Event::Finished);
        }
        server.wait_for("both ends", |m| m.closed("message_too_big") == 2);
        let grown = server.memory("VmHWM") - before;
        assert!(grown <= limit as u64 + CONSTANT, "{mode}: {grown} bytes for {limit}");
    }
}

/// A burst that the wire takes in one piece is not one turn's work: a message or so of it is.
#[test]
fn many_small_bombs_have_a_peers_share_of_each_turn() {
    const COUNT: usize = 50;
    for mode in ["shared", "dedicated"] {
        let server = start(mode, &[]);
        let mut client = DeflateClient::open(&server, "/echo", "permessage-deflate");
        let mut other = DeflateClient::open(&server, "/echo", "permessage-deflate");
        let text = prose(MIB);
        let burst: Vec<_> =
            (0..COUNT).map(|_| client.frame(frame::TEXT, text.as_bytes())).collect();
        let burst = burst.concat();
        let before = server.metrics();
        client.raw.send(&burst);
        for _ in 0..COUNT {
            assert!(client.receive().2 == text.as_bytes());
        }
        let label = [("phase", "receive")];
        let name = "ws_phase_carried_over_total";
        let now = server.metrics();
        let carried = now.value(name, &label) - before.value(name, &label);
        assert!(carried >= COUNT as f64 * 0.8, "{mode}: {carried} turns left some of them");
        other.send(frame::TEXT, b"all is well");
        assert_eq!(other.receive().2, b"all is well");
        assert_eq!(now.sum("ws_reads_paused_total"), before.sum("ws_reads_paused_total"));
    }
}

#[test]
fn a_message_of_exactly_the_limit_passes_and_one_byte_more_does_not() {
    for mode in ["shared", "dedicated"] {
        let server = start(mode, &["--max-message-size", "100KiB"]);
        let mut random = fastrand::Rng::with_seed(8);
        let noise: Vec<u8> = (0..100 * 1024).map(|_| random.u8(..)).collect();
        for payload in [prose(100 * 1024).into_bytes(), noise] {
            let mut client = DeflateClient::open(&server, "/echo", OFFER);
            client.send(frame::BINARY, &payload);
            assert!(client.receive().2 == payload, "{mode}");
            client.send(frame::BINARY, &[&payload[..], b"x"].concat());
            assert_eq!(client.raw.frame().close_code(), Some(1009), "{mode}");
        }
    }
}

/// Receivers with contexts of their own have a copy each: as many are compressed as one turn has work
/// for, and written as they are made; the rest is sent what all share.
#[test]
fn a_large_broadcast_to_dedicated_receivers_is_bounded_in_work_and_memory() {
    const CROWD: usize = 90;
    const LENGTH: usize = 256 * 1024;
    /// What a turn compresses, `COMPRESSED` in its `work`, in such messages.
    const COMPRESSED: usize = 4 * MIB / LENGTH;
    let server = start("dedicated", &["--compression-level", "1"]);
    let shared = "permessage-deflate; server_no_context_takeover";
    let mut crowd: Vec<_> = [OFFER, shared, "none"]
        .into_iter()
        .cycle()
        .take(CROWD)
        .map(|offer| DeflateClient::open(&server, "/broadcast", offer))
        .collect();
    // Each context is made here.
    crowd[0].send(frame::TEXT, prose(600).as_bytes());
    assert!(crowd.iter_mut().all(|client| client.receive().2.len() == 600));
    let before = forget_peak(&server);
    let first = server.metrics().sum("ws_messages_compressed_total");
    let text = letters(1, LENGTH);
    crowd[2].raw.send(&frame::text(&text));
    let mut small = 0;
    for (n, client) in crowd.iter_mut().enumerate() {
        let (is_small, _, message) = client.receive();
        assert!(message == text.as_bytes(), "{n}: {} bytes", message.len());
        small += usize::from(is_small && n % 3 == 0);
        assert!(n % 3 == 0 || is_small == (n % 3 == 1), "{n}: what is shared is made once");
    }
    assert!((COMPRESSED - 1..=COMPRESSED).contains(&small), "{small}");
    let grown = server.memory("VmHWM") - before;
    assert!(grown < 8 * MIB as u64, "{grown}");
    let metrics = server.metrics();
    assert_eq!(metrics.sum("ws_messages_compressed_total") - first, small as f64 + 1.0);
    assert_eq!(metrics.sum("ws_messages_left_plain_total"), (CROWD / 3 - small) as f64);
    // And those who were left plain go on as before.
    crowd[0].send(frame::TEXT, prose(600).as_bytes());
    assert!(crowd.iter_mut().all(|client| client.receive().2 == prose(600).as_bytes()));
}

/// Nor does its echo, in the turn's output.
#[test]
fn a_large_message_leaves_no_room_as_large_behind_where_it_was_compressed_and_inflated() {
    let server = start("shared", &["--ping-interval", "off"]);
    let mut client = DeflateClient::open(&server, "/echo", "permessage-deflate");
    let heap = |server: &Server| {
        let metrics = server.metrics();
        metrics.sum("process_heap_used_bytes") + metrics.sum("process_heap_mapped_bytes")
    };
    client.send(frame::TEXT, prose(600).as_bytes());
    client.receive();
    let before = heap(&server);
    let text = letters(1, MIB);
    client.send(frame::TEXT, text.as_bytes());
    assert!(client.receive().2 == text.as_bytes());
    // Room is given up by halves, after so many turns that need little of it.
    for _ in 0..64 * 5 {
        client.raw.send(&frame::text("small"));
        assert_eq!(client.receive().2, b"small");
    }
    let kept = heap(&server) - before;
    assert!(kept < 256.0 * 1024.0, "{kept} bytes");
}

#[test]
fn what_finds_no_room_is_not_compressed_first() {
    use pulsewheel::config::{CompressionMode, SlowConsumer};
    use pulsewheel::{Connection, Handler, Message, Opening, Reject};
    const COUNT: usize = 600;
    struct Flood(String);
    impl Handler for Flood {
        type State = ();
        fn on_open(&self, _: &mut Connection<'_>, _: &Opening<'_>) -> Result<(), Reject> {
            Ok(())
        }
        fn on_message(&self, c: &mut Connection<'_>, _: &mut (), _: Message<'_>) {
            (0..COUNT).for_each(|_| c.send_text(&self.0));
        }
    }
    let mut config = harness::Embedded::config();
    config.compression.mode = CompressionMode::Shared;
    config.limits.slow_consumer = SlowConsumer::DropNewest;
    let server = pulsewheel::Server::builder().config(config);
    let server = harness::Embedded::run(server.route("/flood", Flood(letters(1, 60_000))));
    let mut client = server.connect();
    let offer = format!("Sec-WebSocket-Extensions: {OFFER}");
    client.send(request("/flood", &[&offer]).as_bytes());
    assert_eq!(client.response().status, 101);
    client.send(&frame::text("go"));
    // What is beyond the turn's work is left plain.
    let looked_at = |m: &harness::Metrics| {
        m.sum("ws_messages_compressed_total") + m.sum("ws_messages_left_plain_total")
    };
    let dropped = |m: &harness::Metrics| m.sum("ws_outbox_frames_dropped_total");
    harness::wait_until("the flood", || {
        let metrics = server.metrics();
        looked_at(&metrics) + dropped(&metrics) >= COUNT as f64
    });
    // So that there is a turn that ends after all of it.
    let turns = server.metrics().sum("ws_turns_total");
    client.send(&frame::frame(frame::PING, b""));
    harness::wait_until("its end", || server.metrics().sum("ws_turns_total") > turns);
    let metrics = server.metrics();
    assert!(dropped(&metrics) > 0.0);
    assert_eq!(looked_at(&metrics) + dropped(&metrics), COUNT as f64);
}
