//! The opening handshake (RFC 6455 section 4.2): what is upgraded and with which bytes, what is
//! refused and with which status, however the request is cut.
//! Not for paths, limits and HTTP at large; `tests/handshake.rs` has those.

use crate::case::{server_frame, shown};
use crate::harness::frame::{self, CLOSE, TEXT};
use crate::wire::{Plan, Round, Stage};

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The header lines of a good request.
const HOST: &str = "Host: a";
const UPGRADE: &str = "Upgrade: websocket";
const CONNECTION: &str = "Connection: Upgrade";
const VERSION: &str = "Sec-WebSocket-Version: 13";
const KEY_LINE: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";

/// A good request, but for one part of it that is something else.
fn request_with(from: &str, to: impl AsRef<[u8]>) -> Vec<u8> {
    let to = to.as_ref();
    let lines = ["GET /echo HTTP/1.1", HOST, UPGRADE, CONNECTION, VERSION, KEY_LINE];
    let head: String = lines.iter().flat_map(|line| [line, "\r\n"]).collect();
    assert!(from.is_empty() || head.contains(from), "{from} is part of a good request");
    // A line that is taken out takes its end along.
    let from =
        if to.is_empty() && !from.is_empty() { format!("{from}\r\n") } else { from.to_owned() };
    let at = head.find(&from).unwrap_or_else(|| panic!("{from} is a line of its own"));
    let (before, rest) = head.as_bytes().split_at(at);
    [before, to, &rest[from.len()..], b"\r\n"].concat()
}

/// A good request with a line more.
fn request_plus(line: &str) -> Vec<u8> {
    request_with(KEY_LINE, format!("{KEY_LINE}\r\n{line}"))
}

/// A good request with its lines in the opposite order.
fn reversed() -> Vec<u8> {
    let lines = ["GET /echo HTTP/1.1", KEY_LINE, VERSION, CONNECTION, UPGRADE, HOST, "", ""];
    lines.join("\r\n").into_bytes()
}

/// How a request is cut.
#[derive(Clone, Copy, Debug)]
enum Cut {
    Whole,
    /// In pieces of so many bytes.
    Pieces(usize),
    /// In two.
    At(usize),
}

fn rounds(bytes: &[u8], cut: Cut) -> Vec<Round> {
    let pieces: Vec<&[u8]> = match cut {
        Cut::Whole => vec![bytes],
        Cut::Pieces(size) => bytes.chunks(size).collect(),
        Cut::At(at) => vec![&bytes[..at], &bytes[at..]],
    };
    pieces.into_iter().map(|piece| Round { after: 0, write: piece.to_vec() }).collect()
}

/// A request with a message and a close frame right behind it: exactly the 101 answer of section
/// 4.2.2, the echo and the close frame come back.
fn upgraded(name: &str, head: &[u8], accept: &str, cut: Cut) -> Plan {
    let sent = [head, &frame::text("early"), &frame::close(1000, "")].concat();
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    let close = server_frame(CLOSE, &[0x03, 0xe8]);
    let expected = [answer.as_bytes(), &server_frame(TEXT, b"early"), &close].concat();
    Plan {
        name: format!("{name}, {cut:?}"),
        is_upgraded: false,
        rounds: rounds(&sent, cut),
        finishes: false,
        judge: Box::new(move |received| match received == expected {
            true => Ok(()),
            false => Err(format!("{} is not {}", shown(received), shown(&expected))),
        }),
    }
}

/// A request that is answered with one HTTP response and the end of the stream.
fn refused(name: &str, head: &[u8], status: u16, lines: &'static [&str], cut: Cut) -> Plan {
    Plan {
        name: format!("{name}, {cut:?}"),
        is_upgraded: false,
        rounds: rounds(head, cut),
        finishes: false,
        judge: Box::new(move |received| judge_refusal(received, status, lines)),
    }
}

fn judge_refusal(received: &[u8], status: u16, lines: &[&str]) -> Result<(), String> {
    let text = String::from_utf8_lossy(received);
    let wrong = |what: &str| Err(format!("{what} in {text:?}"));
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return wrong("no end of a head") };
    if !head.starts_with(&format!("HTTP/1.1 {status} ")) {
        return wrong(&format!("no status {status}"));
    }
    let length = format!("Content-Length: {}", body.len());
    for line in lines.iter().copied().chain([length.as_str(), "Connection: close"]) {
        if !head.lines().any(|found| found == line) {
            return wrong(&format!("no line {line:?}"));
        }
    }
    if body.is_empty() { wrong("no word of why") } else { Ok(()) }
}

fn good_requests() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let key = |key: &str| request_with(KEY, key);
    let from = request_with;
    vec![
        ("the RFC's own example (1.3)", from("", ""), ACCEPT),
        ("a key of zeros", key("AAAAAAAAAAAAAAAAAAAAAA=="), "ICX+Yqv66kxgM0FcWaLWlFLwTAI="),
        ("a key of ones", key("/////////////////////w=="), "XXpj4jYzLM2yUE0C7TIgMwTQh2g="),
        ("any other key", key("AAECAwQFBgcICQoLDA0ODw=="), "Bz3qJYTGdOe8gUSpLosEdiLKDrk="),
        ("tokens in any case", from(UPGRADE, "UPGRADE: WebSocket"), ACCEPT),
        ("a connection option in any case", from(CONNECTION, "connection: UPGRADE"), ACCEPT),
        (
            "names in any case",
            from(KEY_LINE, &KEY_LINE.to_uppercase().replace(&KEY.to_uppercase(), KEY)),
            ACCEPT,
        ),
        ("one option among several", from("Connection: ", "Connection: keep-alive, x ,"), ACCEPT),
        (
            "several lines of options",
            from(CONNECTION, "Connection: keep-alive\r\nConnection:\tUpgrade\r\nConnection: x"),
            ACCEPT,
        ),
        ("one protocol among several", from(UPGRADE, "Upgrade: h2c, websocket"), ACCEPT),
        ("several lines of protocols", from(UPGRADE, "Upgrade: h2c\r\nUpgrade: websocket"), ACCEPT),
        ("no space behind a colon", from(VERSION, "Sec-WebSocket-Version:13"), ACCEPT),
        ("spaces around a value", from(KEY, "  dGhlIHNhbXBsZSBub25jZQ== \t"), ACCEPT),
        ("lines in another order", reversed(), ACCEPT),
        ("its own origin", request_plus("Origin: http://a"), ACCEPT),
        ("subprotocols nobody speaks", request_plus("Sec-WebSocket-Protocol: x, y"), ACCEPT),
        (
            "extensions nobody speaks",
            request_plus("Sec-WebSocket-Extensions: x; a=1; b=\"c\", permessage-x"),
            ACCEPT,
        ),
        ("lines of any kind", request_plus("X-Empty:\r\nCookie: a=b; c=d"), ACCEPT),
        ("a query", from("/echo", "/echo?room=1&x=/"), ACCEPT),
        ("a whole URI", from("/echo", "http://a/echo?x"), ACCEPT),
        ("a host without a name", from(HOST, "Host:"), ACCEPT),
        ("a host with a port", from(HOST, "Host: a:80"), ACCEPT),
        ("a host that is an IPv6 address", from(HOST, "Host: [::1]:80"), ACCEPT),
        ("a host with an underscore", from(HOST, "Host: a_b.example."), ACCEPT),
    ]
}

type Refusal = (&'static str, Vec<u8>, u16);

/// Each breaks one sentence of section 4.2.1.
fn bad_requests() -> Vec<Refusal> {
    let with = |what, from, to| (what, request_with(from, to), 400);
    let plus = |what, line| (what, request_plus(line), 400);
    vec![
        with("HTTP/1.0 (4.2.1, 1)", "HTTP/1.1", "HTTP/1.0"),
        with("HTTP/2 in words (4.2.1, 1)", "HTTP/1.1", "HTTP/2.0"),
        with("no version of HTTP (4.2.1, 1)", " HTTP/1.1", ""),
        with("no request line (4.2.1, 1)", "GET /echo HTTP/1.1", "hello"),
        with("no host (4.2.1, 2)", HOST, ""),
        with("the same host twice (4.2.1, 2)", HOST, "Host: a\r\nhost: a"),
        with("two hosts (4.2.1, 2)", HOST, "Host: a\r\nHost: b"),
        with("a host with a space (4.2.1, 2)", HOST, "Host: a b"),
        with("a host with a path (4.2.1, 2)", HOST, "Host: a/b"),
        with("a host with a user (4.2.1, 2)", HOST, "Host: me@a"),
        with("no connection option (4.2.1, 4)", CONNECTION, ""),
        with("another connection option (4.2.1, 4)", CONNECTION, "Connection: keep-alive"),
        with("an option that is longer (4.2.1, 4)", CONNECTION, "Connection: Upgraded"),
        with("an option in quotes (4.2.1, 4)", CONNECTION, "Connection: \"Upgrade\""),
        with("no key (4.2.1, 5)", KEY_LINE, ""),
        with("an empty key (4.2.1, 5)", KEY, " "),
        with("a key of 15 bytes (4.2.1, 5)", KEY, "dGhlIHNhbXBsZSBub25j"),
        with("a key of 17 bytes (4.2.1, 5)", KEY, "dGhlIHNhbXBsZSBub25jZSE="),
        with("a key without padding (4.2.1, 5)", KEY, "dGhlIHNhbXBsZSBub25jZQ"),
        with("a key in another alphabet (4.2.1, 5)", KEY, "dGhlIHNhbXBsZSBub25j_-=="),
        with("a key in no alphabet (4.2.1, 5)", KEY, "dGhlIHNhbXBsZSBub25j!!=="),
        with("a key beyond ASCII (4.2.1, 5)", KEY, "dGhlIHNhbXBsZSBub25j\u{e4}=="),
        ("a key that is no text (4.2.1, 5)", request_with(KEY, b"\xff\xfe\xfd"), 400),
        with("a space in a key (4.2.1, 5)", KEY, "dGhlIHNhbXBs ZSBub25jZ=="),
        with("two keys in one line (4.2.1, 5)", KEY, &format!("{KEY}, {KEY}")),
        plus("two keys (11.3.1)", KEY_LINE),
        plus("a subprotocol that is no token (4.3)", "Sec-WebSocket-Protocol: a b"),
        plus("an empty list of subprotocols (4.3)", "Sec-WebSocket-Protocol:"),
        plus("an extension that is none (9.1)", "Sec-WebSocket-Extensions: x; a=\"b"),
        plus("an empty list of extensions (9.1)", "Sec-WebSocket-Extensions: ,"),
    ]
}

/// The versions that are not spoken, or not said once (sections 4.2.2, 4.4 and 11.3.5).
fn bad_versions() -> Vec<Refusal> {
    let with = |what, to| (what, request_with(VERSION, to), 426);
    vec![
        with("no version", ""),
        with("an empty version", "Sec-WebSocket-Version:"),
        with("version 8", "Sec-WebSocket-Version: 8"),
        with("version 0", "Sec-WebSocket-Version: 0"),
        with("version 14", "Sec-WebSocket-Version: 14"),
        with("version 12", "Sec-WebSocket-Version: 12"),
        with("version 013", "Sec-WebSocket-Version: 013"),
        with("version +13", "Sec-WebSocket-Version: +13"),
        with("a list of versions", "Sec-WebSocket-Version: 13, 8"),
        with("a list that ends with 13", "Sec-WebSocket-Version: 8, 13"),
        with("two lines of versions", "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 8"),
        ("no upgrade (4.2.1, 3)", request_with(UPGRADE, ""), 426),
        ("an empty upgrade (4.2.1, 3)", request_with(UPGRADE, "Upgrade:"), 426),
        ("another upgrade (4.2.1, 3)", request_with(UPGRADE, "Upgrade: h2c"), 426),
        ("a versioned upgrade (4.2.1, 3)", request_with(UPGRADE, "Upgrade: websocket/13"), 426),
        ("a longer upgrade (4.2.1, 3)", request_with(UPGRADE, "Upgrade: websocket2"), 426),
    ]
}

const CUTS: [Cut; 3] = [Cut::Whole, Cut::Pieces(1), Cut::Pieces(3)];

#[test]
fn good_requests_are_upgraded_and_frames_right_behind_them_served() {
    let requests = good_requests();
    let plans = requests.iter().flat_map(|(name, head, accept)| {
        CUTS.into_iter().map(|cut| upgraded(name, head, accept, cut))
    });
    Stage::new(1 << 20).play(plans);
}

#[test]
fn a_request_may_be_cut_anywhere() {
    let head = request_with("", "");
    let length = head.len() + frame::text("early").len() + frame::close(1000, "").len();
    let plans = (1..length).map(|at| upgraded("the example", &head, ACCEPT, Cut::At(at)));
    Stage::new(1 << 20).play(plans);
}

#[test]
fn bad_requests_are_answered_400() {
    let requests = bad_requests();
    let plans = requests.iter().flat_map(|(name, head, status)| {
        CUTS.into_iter().map(|cut| refused(name, head, *status, &[], cut))
    });
    Stage::new(1 << 20).play(plans);
}

#[test]
fn other_versions_and_upgrades_are_told_what_is_spoken() {
    const LINES: &[&str] = &["Sec-WebSocket-Version: 13", "Upgrade: websocket"];
    let requests = bad_versions();
    let plans = requests.iter().flat_map(|(name, head, status)| {
        CUTS.into_iter().map(|cut| refused(name, head, *status, LINES, cut))
    });
    Stage::new(1 << 20).play(plans);
}

#[test]
fn other_methods_and_paths_have_statuses_of_their_own() {
    let methods =
        ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "M-SEARCH", "get"];
    let other_method = |method| {
        refused(method, &request_with("GET", method), 405, &["Allow: GET"], Cut::Pieces(3))
    };
    let other_path = |path| refused(path, &request_with("/echo", path), 404, &[], Cut::Whole);
    let paths = ["/nowhere", "/echo/", "/Echo", "//echo"].into_iter().map(other_path);
    Stage::new(1 << 20).play(methods.into_iter().map(other_method).chain(paths));
}

/// Its sender has only shut its own side, and may read.
#[test]
fn a_request_that_has_no_end_is_answered_400() {
    let head = request_with("", "");
    let plans = (1..head.len()).map(|length| Plan {
        finishes: true,
        ..refused("an unfinished head", &head[..length], 400, &[], Cut::Whole)
    });
    Stage::new(1 << 20).play(plans);
}
