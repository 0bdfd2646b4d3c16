//! Whatever breaks RFC 6455 is refused as soon as it shows, with a close frame that arrives, under
//! its reason; and what was in order before it is answered first.

mod harness;

use harness::{Event, PATIENCE, RawClient, Server, frame, ms};

/// A close frame's payload.
fn close_payload(code: u16, reason: &[u8]) -> Vec<u8> {
    [&code.to_be_bytes()[..], reason].concat()
}

/// Sends a good message and then what is wrong, in one segment and in two; expects the echo, the
/// close frame and the end of the stream each time.
fn refused(server: &Server, what: &str, wrong: &[u8], code: u16) {
    for is_one_segment in [true, false] {
        let mut peer = RawClient::open(server, "/echo");
        let good = frame::text("in order");
        if is_one_segment {
            peer.send(&[&good[..], wrong].concat());
        } else {
            peer.expect_echo("before");
            peer.send(&good);
            peer.send(wrong);
        }
        let echo = peer.data();
        assert_eq!(echo.payload, b"in order", "{what}: {echo:?}");
        let frame = peer.data();
        assert_eq!(frame.close_code(), Some(code), "{what}: {frame:?}");
        assert_eq!(peer.next(PATIENCE), Event::Finished, "{what}");
    }
}

/// All of these under one reason of the metrics.
fn all_refused(cases: &[(&str, Vec<u8>)], code: u16, reason: &str) {
    let mut server = Server::start(&["--message-timeout", "20s"]);
    for (what, wrong) in cases {
        refused(&server, what, wrong, code);
    }
    let count = 2 * cases.len() as u64;
    let metrics = server.wait_for("all closes", |m| m.closed(reason) == count);
    let code = code.to_string();
    assert_eq!(metrics.value("ws_close_codes_total", &[("code", &code)]), count as f64);
    server.assert_sound();
}

/// Only the bytes that show the fault are sent, never the rest of the frame.
#[test]
fn a_bad_header_is_refused_before_the_frame_is_there() {
    let mut cases = vec![
        ("unmasked", vec![0x81, 0x05]),
        ("unmasked and empty", vec![0x81, 0x00]),
        ("an unmasked ping", vec![0x89, 0x00]),
        ("a fragmented ping", vec![0x09]),
        ("a fragmented pong", vec![0x0a]),
        ("a fragmented close", vec![0x08]),
        ("a ping of 126 bytes", vec![0x89, 0xfe]),
        ("a close of 126 bytes", vec![0x88, 0xfe]),
        ("a pong of more than 65535 bytes", vec![0x8a, 0xff]),
        ("125 bytes in the two-byte form", vec![0x82, 0xfe, 0, 125]),
        ("0 bytes in the two-byte form", vec![0x82, 0xfe, 0, 0]),
        ("65535 bytes in the eight-byte form", vec![0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff]),
        ("a length with the highest bit", vec![0x82, 0xff, 0x80]),
        ("a continuation of nothing", frame::header(0x80, 5)),
        ("an unfinished continuation of nothing", frame::header(0x00, 5)),
    ];
    for bits in 1..8 {
        cases.push(("reserved bits", vec![0x81 | bits << 4]));
    }
    for opcode in (3..8).chain(11..16) {
        cases.push(("a reserved opcode", vec![0x80 | opcode]));
    }
    all_refused(&cases, 1002, "protocol_error");
}

#[test]
fn frames_out_of_order_are_refused() {
    let begun = frame::frame(0x01, b"first");
    let after = |next: Vec<u8>| [&begun[..], &next].concat();
    all_refused(
        &[
            ("text inside a message", after(frame::header(frame::TEXT, 5))),
            ("binary inside a message", after(frame::header(frame::BINARY, 5))),
            ("a new fragmented message inside one", after(frame::header(0x01, 5))),
        ],
        1002,
        "protocol_error",
    );
}

#[test]
fn bad_close_frames_are_refused() {
    let mut cases = vec![("one byte", frame::frame(frame::CLOSE, &[3]))];
    for code in [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535] {
        cases.push((
            "a code nobody may send",
            frame::frame(frame::CLOSE, &close_payload(code, b"")),
        ));
    }
    all_refused(&cases, 1002, "protocol_error");
    let bad = close_payload(1000, &[0xff]);
    let cut = close_payload(1000, &[0xe2, 0x82]);
    all_refused(
        &[
            ("a reason that is not UTF-8", frame::frame(frame::CLOSE, &bad)),
            ("a reason that is cut", frame::frame(frame::CLOSE, &cut)),
        ],
        1007,
        "invalid_utf8",
    );
}

#[test]
fn good_close_frames_are_echoed() {
    let server = Server::start(&[]);
    let codes =
        [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4999];
    for code in codes {
        let mut peer = RawClient::open(&server, "/echo");
        peer.send(&frame::close(code, "bye"));
        assert_eq!(peer.frame().close_code(), Some(code));
        assert_eq!(peer.next(PATIENCE), Event::Finished, "the server ends the stream first");
    }
    let mut peer = RawClient::open(&server, "/echo");
    peer.send(&frame::frame(frame::CLOSE, b""));
    let frame = peer.frame();
    assert_eq!((frame.first, frame.payload.len()), (frame::CLOSE, 0));
    assert_eq!(peer.next(PATIENCE), Event::Finished);
    let mut peer = RawClient::open(&server, "/echo");
    peer.send(&frame::close(1000, &"x".repeat(123)));
    assert_eq!(peer.frame().close_code(), Some(1000));
    server.wait_for("the closes", |m| m.closed("peer_closed") == codes.len() as u64 + 2);
}

#[test]
fn nothing_after_a_close_frame_is_looked_at() {
    let server = Server::start(&[]);
    let mut peer = RawClient::open(&server, "/echo");
    let close = frame::close(1000, "");
    peer.send(&[&close[..], &frame::text("too late"), &[0xff; 100]].concat());
    peer.expect_close(1000);
    server.wait_for("the close", |m| m.closed("peer_closed") == 1);
    assert_eq!(server.metric("ws_messages_received_total", &[]), 0.0);
}

#[test]
fn text_that_is_not_utf8_is_refused() {
    let overlong = [0xc0, 0xaf];
    let surrogate = [0xed, 0xa0, 0x80];
    let beyond = [0xf4, 0x90, 0x80, 0x80];
    let cut = [0xe2, 0x82];
    let split = [frame::frame(0x01, &[0xe2]), frame::frame(0x80, &[0x28, 0xa1])].concat();
    let unfinished = [frame::frame(0x01, b"a"), frame::frame(0x80, &cut)].concat();
    all_refused(
        &[
            ("an overlong form", frame::frame(frame::TEXT, &overlong)),
            ("a surrogate", frame::frame(frame::TEXT, &surrogate)),
            ("beyond Unicode", frame::frame(frame::TEXT, &beyond)),
            ("a character that is cut", frame::frame(frame::TEXT, &cut)),
            ("a bad continuation in the next fragment", split),
            ("a character cut at the last fragment", unfinished),
        ],
        1007,
        "invalid_utf8",
    );
}

#[test]
fn bad_utf8_fails_at_its_first_bad_piece() {
    let header = frame::header(frame::TEXT, 1000);
    let bad = [&header[..], &frame::masked(b"good so far \xff")].concat();
    let open = [frame::header(0x01, 1000), frame::masked(b"\xc0\x80")].concat();
    let second = [frame::frame(0x01, b"good"), frame::header(0x80, 100), frame::masked(b"\xfe")];
    all_refused(
        &[
            ("in an unfinished frame", bad),
            ("in an unfinished fragment", open),
            ("in a later fragment", second.concat()),
        ],
        1007,
        "invalid_utf8",
    );
}

#[test]
fn characters_may_be_split_between_fragments_and_segments() {
    let server = Server::start(&[]);
    let text = "κόσμε \u{10ffff} €";
    for cut in 0..=text.len() {
        let mut peer = RawClient::open(&server, "/echo");
        let (a, b) = text.as_bytes().split_at(cut);
        peer.send(&[frame::frame(0x01, a), frame::frame(0x80, b)].concat());
        let whole = frame::text(text);
        let (a, b) = whole.split_at(6 + cut);
        peer.send(a);
        peer.send(b);
        for _ in 0..2 {
            assert_eq!(peer.data().payload, text.as_bytes());
        }
    }
}

#[test]
fn a_message_beyond_the_limit_is_refused_before_its_payload() {
    let limit = 1 << 20;
    let most = frame::frame(0x02, &vec![1; limit - 10]);
    all_refused(
        &[
            ("one byte too many", frame::header(frame::BINARY, limit as u64 + 1)),
            ("2^63 - 1 bytes", frame::header(frame::BINARY, (1 << 63) - 1)),
            ("an endless first fragment", frame::header(0x01, 1 << 40)),
            ("a fragment too many", [&most[..], &frame::header(0x80, 11)].concat()),
        ],
        1009,
        "message_too_big",
    );
}

/// A flood that was on its way when the fault was found must not turn the close into a reset.
#[test]
fn the_close_frame_arrives_though_more_is_on_its_way() {
    let server = Server::start(&[]);
    for _ in 0..20 {
        let mut peer = RawClient::open(&server, "/echo");
        let flood = vec![0xff; 300_000];
        let sender = peer.stream().try_clone().expect("a socket can be cloned");
        let sending = std::thread::spawn(move || {
            let mut sender = &sender;
            std::io::Write::write_all(&mut sender, &[&[0x81, 0x05][..], &flood].concat())
        });
        std::thread::sleep(ms(5));
        assert_eq!(peer.data().close_code(), Some(1002));
        assert_eq!(peer.next(PATIENCE), Event::Finished);
        sending.join().expect("the sender ends").expect("the rest is read and thrown away");
    }
}

/// The echoes of a backlog and the close frame arrive although the peer reads them late.
#[test]
fn answers_that_wait_come_before_the_close_frame() {
    let server = Server::start(&["--outbox-limit", "4MiB"]);
    let mut peer = RawClient::connect_narrow(&server).upgraded("/echo");
    for n in 0..20 {
        peer.send(&frame::binary(&vec![n; 50_000]));
    }
    peer.send(&[0x83]);
    std::thread::sleep(ms(200));
    for n in 0..20 {
        assert!(peer.data().payload == vec![n; 50_000]);
    }
    peer.expect_close(1002);
}

#[test]
fn leaving_without_a_word_is_counted_as_such() {
    let server = Server::start(&[]);
    RawClient::open(&server, "/echo").finish();
    server.wait_for("the end", |m| m.closed("peer_gone") == 1);
    let peer = RawClient::open(&server, "/echo");
    let socket = socket2::SockRef::from(peer.stream());
    socket.set_linger(Some(std::time::Duration::ZERO)).expect("linger can be set");
    drop(peer);
    server.wait_for("the reset", |m| m.closed("peer_reset") == 1);
    assert_eq!(server.metric("ws_slots_used", &[]), 0.0);
}
