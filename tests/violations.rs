//! Whatever breaks RFC 6455 is counted under its reason and its close code.
//! What breaks it, and where it shows, is in `tests/conformance`.

mod harness;

use harness::{Event, PATIENCE, RawClient, Server, frame};

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

#[test]
fn each_violation_is_counted_under_its_reason_and_its_code() {
    let mut server = Server::start(&[]);
    let cases = [
        ("protocol_error", 1002, vec![0x83]),
        ("invalid_utf8", 1007, frame::frame(frame::TEXT, b"\xff")),
        ("message_too_big", 1009, frame::header(frame::BINARY, 1 << 40)),
        ("peer_closed", 1001, frame::close(1001, "")),
    ];
    for (reason, code, bytes) in &cases {
        refused(&server, reason, bytes, *code);
    }
    for (reason, code, _) in cases {
        let metrics = server.wait_for(reason, |m| m.closed(reason) == 2);
        let code = code.to_string();
        assert_eq!(metrics.value("ws_close_codes_total", &[("code", &code)]), 2.0, "{reason}");
    }
    server.assert_sound();
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
