//! The client's side of the upgrade (RFC 6455 section 4.1): the request, and judging the answer.
//! Not the sockets, and nothing for plain TCP, which has no handshake.

use tungstenite::handshake::{client::generate_key, derive_accept_key};

use crate::target::Target;

/// A response head longer than this, in bytes, is taken for something that is no WebSocket server.
const MAX_HEAD: usize = 16 * 1024;

/// An upgrade under way on one connection.
#[derive(Debug)]
pub struct Upgrade {
    key: String,
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
    #[error("the server answered {status} {reason}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// Its reason phrase.
        reason: String,
    },
    /// The answer is not a correct upgrade.
    #[error("the server's answer is no WebSocket upgrade: {0}")]
    Malformed(&'static str),
}

impl Refusal {
    /// How long the server asks to stay away.
    pub fn retry_after(&self) -> Option<std::time::Duration> {
        None
    }
}

impl Upgrade {
    /// Begins an upgrade; returns it with the request's bytes.
    pub fn begin(target: &Target) -> (Upgrade, Vec<u8>) {
        let key = generate_key();
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n",
            target.path, target.authority
        );
        (Upgrade { key, head: Vec::new() }, request.into_bytes())
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
            Err(_) => return Err(Refusal::Malformed("it is not HTTP/1.1")),
        };
        match response.code {
            Some(101) => {}
            status => {
                return Err(Refusal::Status {
                    status: status.unwrap_or(0),
                    reason: response.reason.unwrap_or("").to_owned(),
                });
            }
        }
        let value = |name: &str| {
            let field = response.headers.iter().find(|h| h.name.eq_ignore_ascii_case(name));
            field.and_then(|h| std::str::from_utf8(h.value).ok()).map(str::trim)
        };
        if !value("upgrade").is_some_and(|upgrade| upgrade.eq_ignore_ascii_case("websocket")) {
            return Err(Refusal::Malformed("no `Upgrade: websocket`"));
        }
        if value("sec-websocket-accept") != Some(derive_accept_key(self.key.as_bytes()).as_str()) {
            return Err(Refusal::Malformed("a wrong Sec-WebSocket-Accept"));
        }
        Ok(Progress::Open { consumed: size - before })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upgrade() -> Upgrade {
        let key = "dGhlIHNhbXBsZSBub25jZQ==".to_owned();
        Upgrade { key, head: Vec::new() }
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
        let answer = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n\r\n";
        let refusal = Refusal::Status { status: 503, reason: "Service Unavailable".to_owned() };
        assert_eq!(upgrade().receive(answer), Err(refusal));
        let forged = String::from_utf8_lossy(GOOD).replace("s3pP", "S3pP");
        assert!(matches!(upgrade().receive(forged.as_bytes()), Err(Refusal::Malformed(_))));
        assert!(matches!(upgrade().receive(b"SSH-2.0-x\r\n"), Err(Refusal::Malformed(_))));
    }
}
