//! Whatever stands where a request should stand is answered with HTTP, and never with silence or a
//! reset; what HTTP and RFC 6455 allow is upgraded however odd it looks.

mod harness;

use harness::{Event, PATIENCE, RawClient, Server};

const GOOD: &str = "GET /echo HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const KEY_LINE: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// The good request with one thing changed.
fn with(from: &str, to: impl AsRef<[u8]>) -> Vec<u8> {
    let at = GOOD.find(from).unwrap_or_else(|| panic!("{from:?} is not in the good request"));
    let (before, rest) = GOOD.as_bytes().split_at(at);
    [before, to.as_ref(), &rest[from.len()..]].concat()
}

/// The good request with more lines.
fn plus(lines: &str) -> Vec<u8> {
    with("Host: a\r\n", format!("Host: a\r\n{lines}"))
}

/// Sends it in one segment, and in two that meet at `cut`: each time this status is answered, and
/// a refusal is followed by the end of the stream.
fn answers(server: &Server, bytes: &[u8], cut: usize, status: u16) {
    for cut in [bytes.len(), cut] {
        let mut peer = RawClient::connect(server);
        let (first, rest) = bytes.split_at(cut);
        peer.send(first);
        // The answer may be under way already, and the rest no longer be wanted.
        let _ = peer.try_send(rest);
        let response = peer.response();
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(300)]);
        assert!(response.head.starts_with("HTTP/1.1 "), "{shown:?}: {response:?}");
        assert_eq!(response.status, status, "{shown:?} cut at {cut}: {response:?}");
        if status != 101 {
            assert_eq!(response.header("Connection"), Some("close"), "{shown:?}");
            assert_eq!(peer.next(PATIENCE), Event::Finished, "{shown:?} cut at {cut}");
        }
    }
}

fn all_answer(cases: &[(u16, Vec<u8>)]) {
    let mut server = Server::start(&[]);
    for (status, bytes) in cases {
        answers(&server, bytes, bytes.len() / 2, *status);
    }
    server.assert_sound();
}

#[test]
fn other_protocols_are_told_that_this_is_http() {
    let greetings: [&[u8]; 16] = [
        // TLS: a client's first bytes, and an alert.
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x11\x11\x11\x11\x11\x11\x11\x11\x11",
        b"\x15\x03\x01\x00\x02\x02\x28",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
        b"SSH-2.0-OpenSSH_9.0\r\n",
        b"EHLO example.org\r\n",
        b"*1\r\n$4\r\nPING\r\n",
        b"stats\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET /echo HTTP/1.1\r\n\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01",
        // SOCKS 5 and 4, MQTT, a remote desktop.
        b"\x05\x01\0",
        b"\x04\x01\0\x50\x01\x02\x03\x04\0",
        b"\x10\x10\0\x04MQTT\x05\x02\0\x3c\0\x04abcd",
        b"\x03\0\0\x13\x0e\xe0\0\0\0\0\0\x01\0\x08\0\x03\0\0\0",
        // A frame without a handshake, and noise.
        b"\x81\x85aaaabbbbb",
        &[0; 64],
        &[0xff; 64],
    ];
    all_answer(&greetings.map(|greeting| (400, greeting.to_vec())));
}

#[test]
fn every_kind_of_line_that_is_not_a_request_line_is_answered_400() {
    let line = "GET /echo HTTP/1.1";
    let lines = [
        "GET /echo HTTP/0.9",
        "GET /echo HTTP/1.2",
        "GET /echo HTTP/1.11",
        "GET /echo http/1.1",
        "GET /echo XTTP/1.1",
        "GET /echo HTTP/1.1 ",
        "GET  /echo HTTP/1.1",
        "GET\t/echo\tHTTP/1.1",
        "GET  HTTP/1.1",
        "GET /ec ho HTTP/1.1",
        "GET /ec\0ho HTTP/1.1",
        " GET /echo HTTP/1.1",
        "\u{feff}GET /echo HTTP/1.1",
    ];
    let mut cases: Vec<_> = lines.iter().map(|to| (400, with(line, to))).collect();
    cases.push((400, with("/echo", b"/\xff\xfe")));
    all_answer(&cases);
}

#[test]
fn targets_in_every_form_are_served_or_not_found() {
    let mut cases: Vec<_> =
        ["http://a/echo", "HTTP://b/echo", "ws://a:80/echo?x=1", "/echo?http://"]
            .iter()
            .map(|target| (101, with("/echo", target)))
            .collect();
    for target in
        ["*", "echo", "?x", "/echo#x", "/x/../echo", "/%65cho", "/%zz", "/echo%00", "/\u{e9}"]
    {
        cases.push((404, with("/echo", target)));
    }
    for target in
        ["ftp://a/echo", "http:/echo", "://a/echo", "http://a/echo/", "\\echo", "/\"<>{}|^`"]
    {
        cases.push((404, with("/echo", target)));
    }
    cases.push((404, b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n".to_vec()));
    cases.push((404, b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()));
    cases.push((431, with("/echo", format!("/{}", "x".repeat(9000)))));
    all_answer(&cases);
}

#[test]
fn what_is_posted_is_answered_405_whatever_follows() {
    let mut cases = Vec::new();
    for (lines, body) in [
        ("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n"),
        ("Content-Length: 5", "hello"),
        ("Content-Length: 99999999999", "a little of it"),
        ("Content-Length: 5\r\nExpect: 100-continue", ""),
    ] {
        let posted = with("GET /echo HTTP/1.1\r\n", format!("POST /echo HTTP/1.1\r\n{lines}\r\n"));
        cases.push((405, [&posted, body.as_bytes()].concat()));
    }
    all_answer(&cases);
}

#[test]
fn odd_header_lines_are_answered_400() {
    let lines = [
        "no colon",
        ": no name",
        "X(y): z",
        "X : y",
        "\u{e9}: y",
        "X: a\0b",
        "X: a\x07b",
        "X: a\x7fb",
        "X: a\rb",
        "X: y\r\n folded",
        "X: y\r\n\tfolded",
    ];
    let mut cases: Vec<_> = lines.iter().map(|line| (400, plus(&format!("{line}\r\n")))).collect();
    cases.push((400, with("Host: a", " Host: a")));
    cases.push((400, with("Host: a", "Ho\0st: a")));
    cases.push((400, GOOD.replace("\r\n", "\r").into_bytes()));
    cases.push((400, GOOD.replace("\r\n", "\n\r").into_bytes()));
    all_answer(&cases);
}

#[test]
fn heads_that_are_too_large_are_answered_431() {
    let line = |length: usize| format!("X: {}\r\n", "y".repeat(length));
    all_answer(&[
        (431, plus(&line(9 * 1024))),
        (431, plus(&line(1 << 20))),
        (431, format!("GET /echo HTTP/1.1\r\n{}", line(9 * 1024)).into_bytes()),
        (431, plus(&"X: y\r\n".repeat(100))),
        (431, plus(&"X: y\r\n".repeat(60))),
        (101, plus(&"X: y\r\n".repeat(59))),
        (400, with(KEY, "A".repeat(5000))),
    ]);
}

/// Its bytes would be taken for frames by one side and for a body by the other.
#[test]
fn a_handshake_with_a_body_is_answered_400() {
    let bodies = [
        ("Content-Length: 5\r\n", "hello"),
        ("Content-Length: 0\r\nContent-Length: 5\r\n", "hello"),
        ("Content-Length: -1\r\n", ""),
        ("Content-Length: 99999999999999999999999\r\n", ""),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", ""),
        ("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
        ("Transfer-Encoding: \r\n", ""),
    ];
    let mut cases: Vec<_> = bodies
        .iter()
        .map(|(lines, body)| (400, [&plus(lines), body.as_bytes()].concat()))
        .collect();
    cases.push((101, plus("Content-Length: 0\r\n")));
    all_answer(&cases);
}

#[test]
fn what_only_looks_odd_is_upgraded() {
    all_answer(&[
        (101, GOOD.replace("\r\n", "\n").into_bytes()),
        (101, format!("\r\n\n\r\n{GOOD}").into_bytes()),
        (101, GOOD.replace("Sec-WebSocket", "sec-websocket").into_bytes()),
        (101, plus("X: caf\u{e9}\r\n")),
        (101, plus("X:a\tb\t\r\n")),
        (101, plus("Sec-WebSocket-Protocol: ,, a,,\r\n")),
        (101, with("Connection: Upgrade", "Connection: close, Upgrade")),
    ]);
}

#[test]
fn who_ends_in_a_request_is_refused_and_who_never_asked_is_gone() {
    let server = Server::start(&[]);
    let mut cut = RawClient::connect(&server);
    cut.send(&GOOD.as_bytes()[..GOOD.len() / 2]);
    cut.finish();
    assert_eq!(cut.response().status, 400);
    let mut silent = RawClient::connect(&server);
    silent.finish();
    assert_eq!(silent.next(PATIENCE), Event::Finished, "nothing was asked");
    let metrics = server.wait_for("the closes", |m| m.closed("handshake_refused") == 1);
    assert_eq!((metrics.refused("bad_request"), metrics.closed("peer_gone")), (1, 1));
}

#[test]
fn a_whole_request_is_answered_though_its_sender_shut_its_side() {
    let server = Server::start(&[]);
    for (status, bytes) in [(101, GOOD.as_bytes()), (400, &with(KEY_LINE, ""))] {
        let mut peer = RawClient::connect(&server);
        peer.send(bytes);
        peer.finish();
        assert_eq!(peer.response().status, status);
        assert_eq!(peer.next(PATIENCE), Event::Finished);
    }
}

#[test]
fn silence_in_a_request_is_answered_408() {
    let server = Server::start(&["--handshake-timeout", "500ms"]);
    let mut peers = ["G", "\r\n\r\n", "GET /echo HTTP/1.1\r\nHost: a\r\n"].map(|start| {
        let mut peer = RawClient::connect(&server);
        peer.send(start.as_bytes());
        peer
    });
    for peer in &mut peers {
        assert_eq!(peer.response().status, 408);
        assert_eq!(peer.next(PATIENCE), Event::Finished);
    }
    assert_eq!(server.metrics().refused("handshake_timeout"), 3);
}
