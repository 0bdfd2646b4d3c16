//! Which requests become WebSockets (RFC 6455 section 4.2), and what the others are told.
//! Not for routing tables or limits: the caller says which paths exist.

use http::StatusCode;
use tungstenite::handshake::derive_accept_key;

use super::deflate::Agreed;
use super::grammar::{is_extension, is_list, is_token};
use super::http::{Answer, Headers, Request};

/// What a request wants, once it is known to be well formed.
pub(crate) enum Wanted {
    /// The page at `/`, `without_body` for HEAD.
    Page { without_body: bool },
    /// A WebSocket on a path that exists.
    Upgrade(Upgrade),
    /// Refused.
    Refused(Answer),
}

/// The answer to a good handshake, but for the subprotocol.
pub(crate) struct Upgrade {
    accept: String,
}

impl Upgrade {
    /// Appends the 101 answer (RFC 6455 section 4.2.2), with the subprotocol if one was selected and
    /// what was agreed of compression.
    pub(crate) fn write(
        &self,
        out: &mut Vec<u8>,
        subprotocol: Option<&str>,
        agreed: Option<&Agreed>,
    ) {
        out.extend_from_slice(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Accept: ",
        );
        out.extend_from_slice(self.accept.as_bytes());
        if let Some(subprotocol) = subprotocol {
            out.extend_from_slice(b"\r\nSec-WebSocket-Protocol: ");
            out.extend_from_slice(subprotocol.as_bytes());
        }
        if let Some(agreed) = agreed {
            out.extend_from_slice(b"\r\nSec-WebSocket-Extensions: ");
            agreed.write(out);
        }
        out.extend_from_slice(b"\r\n\r\n");
    }
}

/// Decides what becomes of a request; `is_route` says whether a WebSocket path exists.
pub(crate) fn classify(request: &Request<'_>, is_route: bool) -> Wanted {
    let headers = request.headers();
    let has = |name, token: &str| headers.elements(name).any(|e| e.eq_ignore_ascii_case(token));
    let wants_upgrade = has("Upgrade", "websocket");
    if !is_route || (request.path() == "/" && !wants_upgrade) {
        return elsewhere(request);
    }
    if request.method != "GET" {
        let answer = Answer::new(StatusCode::METHOD_NOT_ALLOWED, "a WebSocket opens with GET");
        return Wanted::Refused(answer.header("Allow: GET"));
    }
    if request.minor_version < 1 {
        return bad("a WebSocket needs HTTP/1.1");
    }
    if !has_one_host(&headers) {
        return bad("the Host header must be given once, and name a host");
    }
    if !wants_upgrade {
        return upgrade_required("this path speaks WebSocket; open it with a WebSocket client");
    }
    if !has("Connection", "upgrade") {
        return bad("the Connection header does not say Upgrade");
    }
    let mut versions = headers.all("Sec-WebSocket-Version").map(<[u8]>::trim_ascii);
    if (versions.next(), versions.next()) != (Some(b"13"), None) {
        return upgrade_required("WebSocket version 13 is spoken");
    }
    if has_body(&headers) {
        return bad("a WebSocket opens without a body");
    }
    if !is_list(headers.all("Sec-WebSocket-Protocol"), is_token) {
        return bad("Sec-WebSocket-Protocol must be a list of tokens");
    }
    if !is_list(headers.all("Sec-WebSocket-Extensions"), is_extension) {
        return bad("Sec-WebSocket-Extensions must be a list of extensions");
    }
    let mut keys = headers.all("Sec-WebSocket-Key");
    match (keys.next().map(<[u8]>::trim_ascii), keys.next()) {
        (Some(key), None) if is_key(key) => {
            Wanted::Upgrade(Upgrade { accept: derive_accept_key(key) })
        }
        _ => bad("Sec-WebSocket-Key must be given once: 16 bytes in base64"),
    }
}

/// A path without a WebSocket: the page at `/`, 404 elsewhere.
fn elsewhere(request: &Request<'_>) -> Wanted {
    match (request.path(), request.method) {
        ("/", "GET") => Wanted::Page { without_body: false },
        ("/", "HEAD") => Wanted::Page { without_body: true },
        ("/", _) => {
            let answer = Answer::new(StatusCode::METHOD_NOT_ALLOWED, "this page answers GET");
            Wanted::Refused(answer.header("Allow: GET, HEAD"))
        }
        _ => Wanted::Refused(Answer::new(
            StatusCode::NOT_FOUND,
            "no such path; GET / lists those that exist",
        )),
    }
}

/// 426, with what to upgrade to (RFC 9110 section 15.5.22).
fn upgrade_required(advice: &str) -> Wanted {
    let answer = Answer::new(StatusCode::UPGRADE_REQUIRED, advice)
        .header("Upgrade: websocket")
        .header("Sec-WebSocket-Version: 13");
    Wanted::Refused(answer)
}

fn bad(advice: &str) -> Wanted {
    Wanted::Refused(Answer::new(StatusCode::BAD_REQUEST, advice))
}

/// A host, perhaps with a port, perhaps empty (RFC 9112 section 3.2).
fn has_one_host(headers: &Headers<'_>) -> bool {
    let is_allowed = |b: &u8| b.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]".contains(b);
    let mut hosts = headers.all("Host");
    match (hosts.next().map(<[u8]>::trim_ascii), hosts.next()) {
        (Some(host), None) => host.iter().all(is_allowed),
        _ => false,
    }
}

/// What one who counts bodies takes for one, and would be read here as frames: two who disagree
/// about where a request ends can be played off against each other (RFC 9112 section 11.2).
fn has_body(headers: &Headers<'_>) -> bool {
    let is_empty = |length: &[u8]| length.trim_ascii() == b"0";
    headers.get("Transfer-Encoding").is_some()
        || headers.all("Content-Length").any(|length| !is_empty(length))
}

/// Base64 of 16 bytes: 22 characters and two of padding (RFC 6455 section 4.1, point 7).
fn is_key(key: &[u8]) -> bool {
    let is_base64 = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
    match key.split_last_chunk::<2>() {
        Some((digits, b"==")) => digits.len() == 22 && digits.iter().all(is_base64),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{Head, parse_head};

    const GOOD: &str = "GET /echo HTTP/1.1\r\nHost: a\r\nUpgrade: WebSocket\r\n\
        Connection: keep-alive\r\nConnection: UPGRADE\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

    fn status(head: &str) -> u16 {
        let mut status = 0;
        let parsed = parse_head(head.as_bytes(), |request| {
            let is_route = request.path() == "/echo";
            status = match classify(&request, is_route) {
                Wanted::Page { .. } => 200,
                Wanted::Upgrade(_) => 101,
                Wanted::Refused(answer) => answer.status.as_u16(),
            };
        });
        assert!(matches!(parsed, Head::Whole(_)), "{head}");
        status
    }

    #[test]
    fn the_example_of_the_rfc_is_accepted() {
        assert_eq!(status(GOOD), 101);
        parse_head(GOOD.as_bytes(), |request| {
            let Wanted::Upgrade(upgrade) = classify(&request, true) else { panic!() };
            let mut out = Vec::new();
            upgrade.write(&mut out, Some("chat"), None);
            let text = String::from_utf8(out).unwrap();
            assert!(text.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
            assert!(text.ends_with("Sec-WebSocket-Protocol: chat\r\n\r\n"));
        });
    }

    #[test]
    fn each_fault_has_its_status() {
        let with = |from: &str, to: &str| status(&GOOD.replace(from, to));
        assert_eq!(with("GET /echo", "GET /nowhere"), 404);
        assert_eq!(with("GET /echo", "POST /echo"), 405);
        assert_eq!(with("GET /echo", "GET /"), 200);
        assert_eq!(with("HTTP/1.1", "HTTP/1.0"), 400);
        assert_eq!(with("Host: a\r\n", ""), 400);
        assert_eq!(with("Upgrade: WebSocket\r\n", ""), 426);
        assert_eq!(with("Connection: UPGRADE", "Connection: close"), 400);
        assert_eq!(with("Version: 13", "Version: 8"), 426);
        assert_eq!(with("Sec-WebSocket-Version: 13\r\n", ""), 426);
        let version = "Sec-WebSocket-Version: 13\r\n";
        assert_eq!(with(version, &format!("{version}Sec-WebSocket-Version: 8\r\n")), 426);
        for hosts in ["Host: a\r\nHost: a", "Host: a b", "Host: a/b", "Host: me@a", "Host: \u{e9}"]
        {
            assert_eq!(with("Host: a", hosts), 400, "{hosts}");
        }
        for host in ["Host:", "Host: a.example_1:80", "Host: [::1]:80", "Host: xn--caf-dma"] {
            assert_eq!(with("Host: a", host), 101, "{host}");
        }
        for body in ["Content-Length: 5", "Content-Length: -1", "Transfer-Encoding: chunked"] {
            assert_eq!(with("Host: a", &format!("Host: a\r\n{body}")), 400, "{body}");
        }
        assert_eq!(with("Host: a", "Host: a\r\nContent-Length: 0"), 101);
        for key in ["short==", "dGhlIHNhbXBsZSBub25jZQ=", "dGhlIHNhbXBsZSBub25j!Q=="] {
            assert_eq!(with("dGhlIHNhbXBsZSBub25jZQ==", key), 400);
        }
        for (name, value) in [("Protocol", "a b"), ("Protocol", ","), ("Extensions", "x;")] {
            let line = format!("Host: a\r\nSec-WebSocket-{name}: {value}");
            assert_eq!(with("Host: a", &line), 400, "{line}");
        }
        let line = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        assert_eq!(with(line, ""), 400);
        assert_eq!(with(line, &line.repeat(2)), 400);
    }
}
