//! The client's side of the upgrade (RFC 6455 section 4.1): the request, and judging the answer.
//! Not the sockets, and nothing for plain TCP, which has no handshake.

use std::sync::Arc;
use std::time::Duration;

use tungstenite::handshake::{client::generate_key, derive_accept_key};

use super::request::Request;
use crate::target::Target;

/// A response head longer than this, in bytes, is taken for something that is no WebSocket server.
const MAX_HEAD: usize = 16 * 1024;

/// The longest time, in seconds, that a `Retry-After` is taken to ask for.
const LONGEST_ABSENCE: u64 = 24 * 3600;

/// An upgrade under way on one connection.
#[derive(Debug)]
pub struct Upgrade {
    key: String,
    /// What was asked for, which the answer must fit.
    request: Arc<Request>,
    head: Vec<u8>,
}

/// What the bytes that came so far amount to.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// The head is not complete.
    More,
    /// The connection is open; so many of the bytes just given belong to the head.
    Open {
        /// Bytes of the latest input that the head took; frames follow.
        consumed: usize,
    },
}

/// Why there will be no WebSocket connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The server answered with something else than 101.
    #[error("the server answered {status} {reason}{}", when(retry_after))]
    Status {
        /// The HTTP status.
        status: u16,
        /// Its reason phrase.
        reason: String,
        /// How long the server asks to wait before the next attempt, in whole seconds, where it
        /// says so (RFC 9110 section 10.2.3; a date in place of seconds is not read).
        retry_after: Option<Duration>,
    },
    /// The answer is not a correct upgrade.
    #[error("the server's answer is no WebSocket upgrade: {0}")]
    Malformed(&'static str),
    /// Subprotocols were offered and the server selected none of them.
    #[error("the server selected none of the subprotocols offered ({})", .offered.join(", "))]
    NoSubprotocol {
        /// What was offered.
        offered: Vec<String>,
    },
    /// The server selected a subprotocol that was not offered.
    #[error("the server selected the subprotocol '{selected}', which was not offered")]
    ForeignSubprotocol {
        /// What it selected.
        selected: String,
    },
}

fn when(retry_after: &Option<Duration>) -> String {
    retry_after.map_or_else(String::new, |after| format!(" (retry after {} s)", after.as_secs()))
}

impl Refusal {
    /// How long the server asks to stay away.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Refusal::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

impl Upgrade {
    /// Begins an upgrade; returns it with the request's bytes.
    pub fn begin(target: &Target) -> (Upgrade, Vec<u8>) {
        let key = generate_key();
        let bytes = target.request.with_key(&key);
        (Upgrade { key, request: Arc::clone(&target.request), head: Vec::new() }, bytes)
    }

    /// Takes bytes of the answer.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<Progress, Refusal> {
        let before = self.head.len();
        self.head.extend_from_slice(bytes);
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut response = httparse::Response::new(&mut headers);
        let size = match response.parse(&self.head) {
            Ok(httparse::Status::Complete(size)) => size,
            Ok(httparse::Status::Partial) if self.head.len() > MAX_HEAD => {
                return Err(Refusal::Malformed("its head is too long"));
            }
            Ok(httparse::Status::Partial) => return Ok(Progress::More),
            // An alert, with which a TLS server answers a plain request.
            Err(_) if self.head.starts_with(&[0x15, 3]) => {
                return Err(Refusal::Malformed("it is TLS; use wss:// or --tls"));
            }
            Err(_) => return Err(Refusal::Malformed("it is not HTTP/1.1")),
        };
        self.judge(&response)?;
        Ok(Progress::Open { consumed: size - before })
    }

    /// Whether a whole head is the upgrade that was asked for.
    fn judge(&self, response: &httparse::Response<'_, '_>) -> Result<(), Refusal> {
        let value = |name: &str| {
            let field = response.headers.iter().find(|h| h.name.eq_ignore_ascii_case(name));
            field.and_then(|h| std::str::from_utf8(h.value).ok()).map(str::trim)
        };
        if response.code != Some(101) {
            let seconds = value("retry-after").and_then(|seconds| seconds.parse::<u64>().ok());
            let seconds = seconds.map(|seconds| seconds.min(LONGEST_ABSENCE));
            return Err(Refusal::Status {
                status: response.code.unwrap_or(0),
                reason: response.reason.unwrap_or("").to_owned(),
                retry_after: seconds.map(Duration::from_secs),
            });
        }
        if !value("upgrade").is_some_and(|upgrade| upgrade.eq_ignore_ascii_case("websocket")) {
            return Err(Refusal::Malformed("no `Upgrade: websocket`"));
        }
        if value("sec-websocket-accept") != Some(derive_accept_key(self.key.as_bytes()).as_str()) {
            return Err(Refusal::Malformed("a wrong Sec-WebSocket-Accept"));
        }
        if value("sec-websocket-extensions").is_some_and(|extensions| !extensions.is_empty()) {
            return Err(Refusal::Malformed("it selects an extension that was not offered"));
        }
        let offered = self.request.subprotocols();
        match value("sec-websocket-protocol") {
            // Names are compared as they are: they are case-sensitive, unlike those of headers.
            Some(selected) if !offered.iter().any(|name| name == selected) => {
                Err(Refusal::ForeignSubprotocol { selected: selected.to_owned() })
            }
            None if !offered.is_empty() => {
                Err(Refusal::NoSubprotocol { offered: offered.to_vec() })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upgrade_offering(subprotocols: &[&str]) -> Upgrade {
        let key = "dGhlIHNhbXBsZSBub25jZQ==".to_owned();
        let subprotocols: Vec<String> = subprotocols.iter().map(|name| name.to_string()).collect();
        let request = Request::new("h", "/", &[], &subprotocols).expect("good");
        Upgrade { key, request: Arc::new(request), head: Vec::new() }
    }

    fn upgrade() -> Upgrade {
        upgrade_offering(&[])
    }

    fn good_with(headers: &str) -> Vec<u8> {
        let good = str::from_utf8(GOOD).expect("text");
        good.replace("\r\n\r\n", &format!("\r\n{headers}\r\n\r\n")).into_bytes()
    }

    const GOOD: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\n\
        Connection: upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

    #[test]
    fn the_answer_of_the_rfc_opens_and_bytes_after_it_are_left() {
        let mut input = GOOD.to_vec();
        input.extend_from_slice(&[0x89, 0]);
        assert_eq!(upgrade().receive(&input), Ok(Progress::Open { consumed: GOOD.len() }));
    }

    #[test]
    fn an_answer_may_come_a_byte_at_a_time() {
        let mut upgrade = upgrade();
        for byte in &GOOD[..GOOD.len() - 1] {
            assert_eq!(upgrade.receive(&[*byte]), Ok(Progress::More));
        }
        assert_eq!(upgrade.receive(b"\n"), Ok(Progress::Open { consumed: 1 }));
    }

    #[test]
    fn refusals_say_what_the_server_answered() {
        for (header, seconds) in [
            ("Retry-After: 7", Some(7)),
            ("Retry-After: Fri, 31 Dec 2027 23:59:59 GMT", None),
            ("Server: x", None),
        ] {
            let answer = format!("HTTP/1.1 503 Service Unavailable\r\n{header}\r\n\r\n");
            let refusal = Refusal::Status {
                status: 503,
                reason: "Service Unavailable".to_owned(),
                retry_after: seconds.map(Duration::from_secs),
            };
            assert_eq!(upgrade().receive(answer.as_bytes()), Err(refusal.clone()));
            assert_eq!(refusal.to_string().contains("retry after 7 s"), seconds.is_some());
        }
        let forged = String::from_utf8_lossy(GOOD).replace("s3pP", "S3pP");
        assert!(matches!(upgrade().receive(forged.as_bytes()), Err(Refusal::Malformed(_))));
        assert!(matches!(upgrade().receive(b"SSH-2.0-x\r\n"), Err(Refusal::Malformed(_))));
        let alert = upgrade().receive(&[0x15, 3, 3, 0, 2, 2, 70]).expect_err("no HTTP");
        assert!(alert.to_string().contains("wss://"), "{alert}");
    }

    #[test]
    fn a_subprotocol_must_be_one_of_those_offered() {
        let selects = good_with("Sec-WebSocket-Protocol: v1");
        let open = |input: &[u8]| Ok(Progress::Open { consumed: input.len() });
        assert_eq!(upgrade_offering(&["v2", "v1"]).receive(&selects), open(&selects));
        let foreign = Refusal::ForeignSubprotocol { selected: "v1".to_owned() };
        assert_eq!(upgrade_offering(&["v2", "V1"]).receive(&selects), Err(foreign.clone()));
        assert_eq!(upgrade().receive(&selects), Err(foreign));
        let none = Refusal::NoSubprotocol { offered: vec!["v1".to_owned()] };
        assert_eq!(upgrade_offering(&["v1"]).receive(GOOD), Err(none));
    }

    #[test]
    fn an_extension_was_never_offered() {
        let answer = good_with("Sec-WebSocket-Extensions: permessage-deflate");
        assert!(matches!(upgrade().receive(&answer), Err(Refusal::Malformed(_))));
    }
}
