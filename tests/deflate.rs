//! permessage-deflate over real sockets: what is agreed on and what is then sent, bombs, broadcasts,
//! slow readers, and what contexts cost. The client's side is flate2's interface.

mod harness;

use std::time::Duration;

use harness::deflate::{DeflateClient, OFFER, RSV1, letters, prose};
use harness::distance::farthest;
use harness::{Event, PATIENCE, RawClient, Server, frame, ms, request};

const MIB: usize = 1 << 20;

fn start(mode: &str, more: &[&str]) -> Server {
    Server::start(&[&["--compression", mode, "--reactors", "1"], more].concat())
}

#[test]
fn nothing_is_agreed_unless_compression_is_on_and_a_good_offer_made() {
    for (mode, offer, agreed) in [
        ("off", OFFER, ""),
        ("shared", "permessage-bzip2", ""),
        ("shared", "permessage-deflate; server_max_window_bits=8", ""),
        (
            "shared",
            "permessage-deflate; server_max_window_bits=8, permessage-deflate",
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
        ),
        ("dedicated", OFFER, "permessage-deflate; client_max_window_bits=12"),
    ] {
        let server = start(mode, &[]);
        let mut client = DeflateClient::open(&server, "/echo", offer);
        assert_eq!(client.agreed, agreed, "{mode} {offer}");
        let text = prose(1000);
        client.raw.send(&frame::text(&text));
        let (is_small, _, message) = client.receive();
        assert_eq!((is_small, message), (!agreed.is_empty(), text.into_bytes()), "{mode} {offer}");
    }
    let server = start("shared", &[]);
    let mut client = RawClient::connect(&server);
    client.send(request("/echo", &["Sec-WebSocket-Extensions: permessage-deflate;"]).as_bytes());
    assert_eq!(client.response().status, 400, "a list that breaks its grammar");
}

#[test]
fn messages_come_back_as_they_were_in_both_modes_however_they_are_cut() {
    for mode in ["shared", "dedicated"] {
        let server = start(mode, &["--compression-min-size", "0"]);
        let mut client = DeflateClient::open(&server, "/echo", OFFER);
        for length in [0, 1, 125, 126, 5000, 65_536, MIB] {
            for opcode in [frame::TEXT, frame::BINARY] {
                let payload = prose(length).into_bytes();
                client.send(opcode, &payload);
                let (_, _, message) = client.receive();
                assert!(message == payload, "{mode}: {length} bytes in one frame");
            }
        }
        for (n, pieces) in [1, 2, 7, 50].into_iter().enumerate() {
            let payload = letters(n as u64, 3000).into_bytes();
            let small = client.small(&payload);
            let size = small.len().div_ceil(pieces);
            let parts: Vec<&[u8]> = small.chunks(size).collect();
            for (i, part) in parts.iter().enumerate() {
                let opcode = if i == 0 { 0x02 | RSV1 } else { 0x00 };
                let fin = if i + 1 == parts.len() { 0x80 } else { 0 };
                client.raw.send_dripping(&frame::frame(fin | opcode, part));
                if fin == 0 {
                    client.raw.send(&frame::frame(frame::PING, b"between"));
                    assert_eq!(client.raw.frame().first, frame::PONG);
                }
            }
            assert!(client.receive().2 == payload, "{mode}: in {pieces} pieces");
        }
        // Uncompressed messages may stand between compressed ones.
        client.raw.send(&frame::text(&prose(700)));
        assert_eq!(client.receive().2, prose(700).into_bytes());
        client.send(frame::TEXT, prose(700).as_bytes());
        assert_eq!(client.receive().2, prose(700).into_bytes());
    }
}

#[test]
fn only_what_becomes_smaller_is_sent_compressed() {
    for mode in ["shared", "dedicated"] {
        let server = start(mode, &["--compression-min-size", "100"]);
        let mut client = DeflateClient::open(&server, "/echo", OFFER);
        let mut random = fastrand::Rng::with_seed(7);
        let noise: Vec<u8> = (0..5000).map(|_| random.u8(..)).collect();
        for (payload, expected) in [
            (prose(99).into_bytes(), false),
            (prose(100).into_bytes(), true),
            (noise, false),
            (prose(5000).into_bytes(), true),
        ] {
            client.send(frame::BINARY, &payload);
            let (is_small, length, message) = client.receive();
            assert_eq!((is_small, length < payload.len()), (expected, expected), "{mode}");
            assert!(message == payload);
        }
        let metrics = server.metrics();
        assert_eq!(metrics.sum("ws_messages_compressed_total"), 2.0);
        assert_eq!(metrics.sum("ws_messages_incompressible_total"), 1.0);
        assert_eq!(metrics.sum("ws_messages_inflated_total"), 4.0);
        let before = metrics.value("ws_compressed_bytes_total", &[("side", "before")]);
        let after = metrics.value("ws_compressed_bytes_total", &[("side", "after")]);
        assert_eq!(before, 5100.0);
        assert!(0.0 < after && after < 400.0, "{after}");
        assert_eq!(metrics.value("ws_inflated_bytes_total", &[("side", "after")]), 10_199.0);
    }
}

/// How many bytes the same message takes the first time and the second.
fn twice(server: &Server, offer: &str) -> (usize, usize) {
    let mut client = DeflateClient::open(server, "/echo", offer);
    let text = letters(1, 1500);
    let lengths = [(), ()].map(|()| {
        client.send(frame::TEXT, text.as_bytes());
        let (is_small, length, message) = client.receive();
        assert!(is_small && message == text.as_bytes());
        length
    });
    (lengths[0], lengths[1])
}

#[test]
fn dedicated_contexts_remember_and_shared_ones_do_not() {
    let server = start("dedicated", &[]);
    let (first, second) = twice(&server, "permessage-deflate");
    assert!(second * 10 < first, "{second} bytes after {first}");
    let (first, second) = twice(&server, "permessage-deflate; client_no_context_takeover");
    assert!(second * 10 < first, "{second} bytes after {first}");
    let (first, second) = twice(&server, "permessage-deflate; server_no_context_takeover");
    assert_eq!(first, second);
    let (first, second) = twice(&start("shared", &[]), "permessage-deflate");
    assert_eq!(first, second);
}

/// Inflaters take what is beyond their window where they happen to have it: so the distances are read.
#[test]
fn a_client_that_asks_for_a_small_window_is_sent_no_reference_beyond_it() {
    for mode in ["shared", "dedicated"] {
        let server = start(mode, &["--compression-window", "15", "--compression-level", "9"]);
        for bits in 9..=15_u8 {
            let offer = format!("permessage-deflate; server_max_window_bits={bits}");
            let mut client = DeflateClient::open(&server, "/echo", &offer);
            assert!(client.agreed.contains(&format!("server_max_window_bits={bits}")));
            for _ in 0..2 {
                let far = letters(u64::from(bits), 6000).repeat(3);
                client.send(frame::TEXT, far.as_bytes());
                let frame = client.raw.data();
                let distance = farthest(&frame.payload);
                assert!(distance <= 1 << bits, "{mode} {bits}: {distance}");
                assert_eq!(distance >= 6000, bits >= 13, "{mode} {bits}: what is near is found");
                assert!(client.take(&frame).2 == far.as_bytes(), "{mode} {bits}");
            }
        }
    }
}

#[test]
fn bad_data_and_bad_text_are_closed_with_1007_and_counted_apart() {
    for mode in ["shared", "dedicated"] {
        let server = start(mode, &[]);
        let mut client = DeflateClient::open(&server, "/echo", OFFER);
        client.raw.send(&frame::frame(frame::TEXT | RSV1, &[0xff; 20]));
        assert_eq!(client.raw.frame().close_code(), Some(1007));
        drop(client);
        let mut client = DeflateClient::open(&server, "/echo", OFFER);
        client.send(frame::TEXT, &[b"fine so far ", &[0xff; 300][..]].concat());
        assert_eq!(client.raw.frame().close_code(), Some(1007));
        drop(client);
        server.wait_for("both reasons", |m| {
            m.closed("invalid_deflate") == 1 && m.closed("invalid_utf8") == 1
        });
        // Neither has spoiled what others share.
        let mut client = DeflateClient::open(&server, "/echo", OFFER);
        client.send(frame::TEXT, prose(500).as_bytes());
        assert_eq!(client.receive().2, prose(500).into_bytes());
    }
}

#[test]
fn a_broadcast_is_compressed_once_for_each_set_of_parameters() {
    let server = Server::start(&["--compression", "shared", "--reactors", "3"]);
    let narrow = "permessage-deflate; server_max_window_bits=10";
    let mut crowd: Vec<_> = [OFFER; 20]
        .into_iter()
        .chain([narrow; 10])
        .chain(["none"; 5])
        .map(|offer| DeflateClient::open(&server, "/broadcast", offer))
        .collect();
    for n in 1..=3 {
        let text = format!("{n} {}", prose(2000));
        crowd[0].send(frame::TEXT, text.as_bytes());
        for client in &mut crowd {
            let (is_small, length, message) = client.receive();
            assert_eq!(message, text.as_bytes());
            assert_eq!((is_small, length < 300), (!client.agreed.is_empty(), is_small));
        }
        assert_eq!(server.metric("ws_messages_compressed_total", &[]), f64::from(2 * n));
    }
    crowd[0].send(frame::TEXT, b"short");
    assert!(crowd.iter_mut().all(|client| client.receive().2 == b"short"));
    assert_eq!(server.metric("ws_messages_compressed_total", &[]), 6.0);
}

#[test]
fn a_broadcast_reaches_dedicated_and_other_receivers_on_every_reactor() {
    let flags = ["--compression", "dedicated", "--reactors", "3"];
    let server = Server::start(&flags);
    let own_compressor = "permessage-deflate; server_no_context_takeover";
    let mut crowd: Vec<_> = [OFFER, own_compressor, "none"]
        .into_iter()
        .cycle()
        .take(30)
        .map(|offer| DeflateClient::open(&server, "/broadcast", offer))
        .collect();
    for n in 0..5 {
        let text = format!("{n} {}", letters(n, 1000));
        crowd[n as usize].send(frame::TEXT, text.as_bytes());
        for client in &mut crowd {
            assert_eq!(client.receive().2, text.as_bytes());
        }
    }
}

/// A message of which half is new, and half refers to the one before it where it may. Lengths differ,
/// or a reference into one that is missing would find the same in the one before.
fn half_new(n: u64) -> String {
    let new = 3000 + (n * 7919 % 2000) as usize;
    format!("{n} {}{}", letters(COMMON, 4000), letters(n, new))
}

/// The number of the next such message, which must be whole; `None` when none comes.
fn number_of_next(peer: &mut DeflateClient, limit: Duration) -> Option<u64> {
    loop {
        match peer.raw.next(limit) {
            Event::Frame(frame) if frame.first == frame::PING => {}
            Event::Frame(frame) => {
                let (is_small, _, text) = peer.take(&frame);
                let text = String::from_utf8(text).expect("it is text");
                let (n, _) = text.split_once(' ').expect("each has its number");
                let n: u64 = n.parse().expect("it is a number");
                assert!(is_small && text == half_new(n), "{n}");
                return Some(n);
            }
            Event::Nothing => return None,
            other => panic!("{other:?}"),
        }
    }
}

/// The seed of what all of them have.
const COMMON: u64 = 1 << 40;

/// A slow reader's stream stays whole whatever is dropped: with takeover each message is inflated
/// with those in mind that came before it.
#[test]
fn dropping_policies_leave_a_stream_with_takeover_whole() {
    const COUNT: u64 = 300;
    const BURST: u64 = 10;
    for (mode, policy) in
        [("dedicated", "drop-oldest"), ("dedicated", "drop-newest"), ("shared", "drop-oldest")]
    {
        let bounds = ["--outbox-limit", "64KiB", "--slow-consumer", policy];
        let server = start(mode, &[&bounds[..], &["--compression-window", "15"]].concat());
        let narrow = RawClient::connect_narrow(&server);
        let mut slow = DeflateClient::upgrade(narrow, "/broadcast", "permessage-deflate");
        let mut talker = DeflateClient::open(&server, "/broadcast", "permessage-deflate");
        let mut seen = Vec::new();
        for burst in 0..COUNT / BURST {
            // What comes at once is compressed at once, also what the kernel then has no room for.
            let texts: Vec<_> = (burst * BURST..(burst + 1) * BURST).map(half_new).collect();
            let frames = texts.iter().map(|text| talker.frame(frame::TEXT, text.as_bytes()));
            let frames = frames.collect::<Vec<_>>().concat();
            talker.raw.send(&frames);
            for text in &texts {
                assert!(talker.receive().2 == text.as_bytes(), "{mode} {policy}: {burst}");
            }
            if burst % 2 == 1 {
                // What it makes room for is compressed; the rest of that must not be dropped then.
                seen.extend((0..3).filter_map(|_| number_of_next(&mut slow, PATIENCE)));
            }
        }
        while let Some(n) = number_of_next(&mut slow, ms(500)) {
            seen.push(n);
        }
        assert!(seen.is_sorted_by(|a, b| a < b), "{mode} {policy}: {seen:?}");
        let dropped = server.metrics().sum("ws_outbox_frames_dropped_total");
        assert_eq!(seen.len() as f64 + dropped, COUNT as f64, "each is delivered or counted");
        assert!(dropped > 0.0);
        // And it goes on.
        talker.send(frame::TEXT, prose(3000).as_bytes());
        assert_eq!(slow.receive().2, prose(3000).into_bytes());
    }
}

#[test]
fn contexts_are_charged_to_their_memory_and_beyond_it_shared_parameters_are_given() {
    let server = start("dedicated", &["--compression-memory", "500KiB"]);
    let is_shared = |client: &DeflateClient| client.agreed.contains("server_no_context_takeover");
    let open = || DeflateClient::open(&server, "/echo", OFFER);
    let (first, mut second, mut third) = (open(), open(), open());
    assert!(!is_shared(&first) && !is_shared(&second) && is_shared(&third));
    for client in [&mut second, &mut third] {
        client.send(frame::TEXT, prose(500).as_bytes());
        assert_eq!(client.receive().2, prose(500).into_bytes());
    }
    let metrics = server.metrics();
    assert_eq!(metrics.sum("ws_compression_agreed_total"), 3.0);
    assert_eq!(metrics.sum("ws_compression_fallbacks_total"), 1.0);
    assert_eq!(metrics.sum("ws_compression_contexts"), 2.0);
    let memory = metrics.sum("ws_compression_memory_bytes");
    assert!(400_000.0 < memory && memory <= 512_000.0, "{memory}");
    drop((first, second));
    server.wait_for("the contexts' end", |m| m.sum("ws_compression_contexts") == 0.0);
    assert_eq!(server.metric("ws_compression_memory_bytes", &[]), 0.0);
    assert!(!is_shared(&open()), "what was given back is given again");
}

#[test]
fn a_connection_that_is_refused_by_its_handler_keeps_no_context() {
    use pulsewheel::config::CompressionMode;
    use pulsewheel::{Connection, Handler, Message, Opening, Reject};
    struct Shut;
    impl Handler for Shut {
        type State = ();
        fn on_open(&self, c: &mut Connection<'_>, _: &Opening<'_>) -> Result<(), Reject> {
            c.send_text(&"you will never see this ".repeat(50));
            Err(Reject::new(403, "no"))
        }
        fn on_message(&self, _: &mut Connection<'_>, _: &mut (), _: Message<'_>) {}
    }
    let mut config = harness::Embedded::config();
    config.compression.mode = CompressionMode::Dedicated;
    let server = pulsewheel::Server::builder().config(config).route("/shut", Shut);
    let server = harness::Embedded::run(server);
    let mut client = server.connect();
    client.send(request("/shut", &[&format!("Sec-WebSocket-Extensions: {OFFER}")]).as_bytes());
    assert_eq!(client.response().status, 403);
    assert_eq!(client.drain(PATIENCE).1, Event::Finished);
    drop(client);
    harness::wait_until("its end", || server.metrics().closed("handshake_refused") == 1);
    let metrics = server.metrics();
    assert_eq!(metrics.sum("ws_compression_contexts"), 0.0);
    assert_eq!(metrics.sum("ws_compression_memory_bytes"), 0.0);
}

/// Heap that so many connections come to once each has echoed a message and rests.
fn heap_of(server: &Server, count: usize, offer: &str) -> f64 {
    let heap = || {
        let metrics = server.metrics();
        metrics.sum("process_heap_used_bytes") + metrics.sum("process_heap_mapped_bytes")
    };
    let before = heap();
    let mut crowd: Vec<_> =
        (0..count).map(|_| DeflateClient::open(server, "/echo", offer)).collect();
    let text = prose(600);
    for client in &mut crowd {
        client.send(frame::TEXT, text.as_bytes());
        assert_eq!(client.receive().0, !client.agreed.is_empty());
    }
    heap() - before
}

#[test]
fn shared_compression_adds_no_heap_to_an_idle_connection() {
    const COUNT: usize = 300;
    let server = start("shared", &["--ping-interval", "off"]);
    // The reactor's own compressor, its room and its tables are made here.
    heap_of(&server, COUNT, OFFER);
    server.wait_for("nobody", |m| m.sum("ws_slots_used") == 0.0);
    let compressed = heap_of(&server, COUNT, OFFER);
    server.wait_for("nobody", |m| m.sum("ws_slots_used") == 0.0);
    let plain = heap_of(&server, COUNT, "none");
    // No allocation takes less than 32 bytes; threads' caches make up for some in all.
    let each = (compressed - plain) / COUNT as f64;
    assert!(each < 16.0, "{each} bytes each: {compressed} and {plain}");
}
