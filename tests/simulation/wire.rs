//! What clients put on the wire, and what they make of the server's bytes: RFC 6455, strictly.
//! Not the server's codec: nothing of it is used here.

/// The frame kinds of RFC 6455 section 5.2, by opcode.
pub const CONTINUATION: u8 = 0;
pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// What a client asks for to open a WebSocket.
pub fn upgrade(path: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: world\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    .into_bytes()
}

/// Appends one masked frame.
pub fn frame(out: &mut Vec<u8>, fin: bool, opcode: u8, payload: &[u8], mask: [u8; 4]) {
    out.push(if fin { 0x80 } else { 0 } | opcode);
    match payload.len() {
        length @ 0..=125 => out.push(0x80 | length as u8),
        length @ 126..=0xffff => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
}

/// Something whole that the server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// An HTTP answer with this status; 101 opens the WebSocket.
    Answer(u16),
    Message {
        opcode: u8,
        payload: Vec<u8>,
    },
    Ping(Vec<u8>),
    Pong,
    Close(Option<u16>),
}

/// The client's reader of one stream.
#[derive(Debug, Default)]
pub struct Reader {
    bytes: Vec<u8>,
    is_open: bool,
    is_closed: bool,
    body: Option<usize>,
}

impl Reader {
    /// Takes bytes in.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole thing; what is wrong with the bytes otherwise.
    pub fn next(&mut self) -> Result<Option<Said>, String> {
        if self.is_closed && !self.bytes.is_empty() {
            return Err(format!("{} bytes after the close frame", self.bytes.len()));
        }
        if self.is_open { self.frame() } else { self.head() }
    }

    /// Bytes of something that is not whole.
    pub fn unfinished(&self) -> usize {
        self.bytes.len()
    }

    fn head(&mut self) -> Result<Option<Said>, String> {
        if let Some(left) = &mut self.body {
            *left = left.saturating_sub(self.bytes.len());
            self.bytes.clear();
            return Ok(None);
        }
        let Some(end) = self.bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            return Ok(None);
        };
        let head = String::from_utf8_lossy(&self.bytes[..end]).into_owned();
        let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let status = status.ok_or_else(|| format!("no HTTP answer: {head:?}"))?;
        self.bytes.drain(..end + 4);
        if status == 101 {
            // The accept value of the key that every client gives (RFC 6455 section 1.3).
            if !head.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") {
                return Err(format!("a wrong answer to the handshake: {head:?}"));
            }
            self.is_open = true;
        } else {
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
            self.body = Some(length.and_then(|length| length.parse().ok()).unwrap_or(0));
        }
        Ok(Some(Said::Answer(status)))
    }

    fn frame(&mut self) -> Result<Option<Said>, String> {
        let [first, second, rest @ ..] = self.bytes.as_slice() else { return Ok(None) };
        let (first, second) = (*first, *second);
        let (opcode, short) = (first & 0x0f, usize::from(second));
        if first & 0xf0 != 0x80 || second & 0x80 != 0 {
            return Err(format!("a server's frame begins with {first:#04x} {second:#04x}"));
        }
        let (length, header) = match (short, rest) {
            (126, [a, b, ..]) => (usize::from(u16::from_be_bytes([*a, *b])), 4),
            (127, [a, b, c, d, e, f, g, h, ..]) => {
                (u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]) as usize, 10)
            }
            (126 | 127, _) => return Ok(None),
            (short, _) => (short, 2),
        };
        if length > 1 << 26 {
            return Err(format!("a frame of {length} bytes"));
        }
        if self.bytes.len() < header + length {
            return Ok(None);
        }
        let payload: Vec<u8> = self.bytes.drain(..header + length).skip(header).collect();
        self.said(opcode, payload).map(Some)
    }

    fn said(&mut self, opcode: u8, payload: Vec<u8>) -> Result<Said, String> {
        match opcode {
            TEXT if std::str::from_utf8(&payload).is_err() => Err("text is not UTF-8".into()),
            TEXT | BINARY => Ok(Said::Message { opcode, payload }),
            _ if payload.len() > 125 => Err(format!("a control frame of {}", payload.len())),
            PING => Ok(Said::Ping(payload)),
            PONG => Ok(Said::Pong),
            CLOSE => {
                self.is_closed = true;
                match payload.as_slice() {
                    [] => Ok(Said::Close(None)),
                    [a, b, ..] => Ok(Said::Close(Some(u16::from_be_bytes([*a, *b])))),
                    _ => Err("a close frame of one byte".into()),
                }
            }
            _ => Err(format!("opcode {opcode}")),
        }
    }
}
