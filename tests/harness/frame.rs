//! Frames as a client sends and sees them, written and read by this harness's own code.
//! Not the server's codec, so that a fault there can't hide itself here.

/// Opcodes with the FIN bit, as the first byte of a whole frame.
pub const TEXT: u8 = 0x81;
/// See [`TEXT`].
pub const BINARY: u8 = 0x82;
/// See [`TEXT`].
pub const CLOSE: u8 = 0x88;
/// See [`TEXT`].
pub const PING: u8 = 0x89;
/// See [`TEXT`].
pub const PONG: u8 = 0x8a;

/// The key every masked frame of this harness uses; not zero, so that masking does something.
pub const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A frame from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// FIN, reserved bits and opcode as they came.
    pub first: u8,
    /// The payload.
    pub payload: Vec<u8>,
}

impl Frame {
    /// The code of a close frame, if it has one.
    pub fn close_code(&self) -> Option<u16> {
        match (self.first, self.payload.get(..2)) {
            (CLOSE, Some(code)) => Some(u16::from_be_bytes([code[0], code[1]])),
            _ => None,
        }
    }
}

/// A masked frame header that announces `length` bytes, in the shortest form.
pub fn header(first: u8, length: u64) -> Vec<u8> {
    let mut out = vec![first];
    match length {
        0..=125 => out.push(0x80 | length as u8),
        126..=65_535 => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.push(0x80 | 127);
            out.extend_from_slice(&length.to_be_bytes());
        }
    }
    out.extend_from_slice(&MASK);
    out
}

/// Bytes masked with [`MASK`], as if they began a payload.
pub fn masked(payload: &[u8]) -> Vec<u8> {
    payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect()
}

/// A whole masked frame.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = header(first, payload.len() as u64);
    out.extend_from_slice(&masked(payload));
    out
}

/// A whole text message.
pub fn text(text: &str) -> Vec<u8> {
    frame(TEXT, text.as_bytes())
}

/// A whole binary message.
pub fn binary(payload: &[u8]) -> Vec<u8> {
    frame(BINARY, payload)
}

/// A close frame.
pub fn close(code: u16, reason: &str) -> Vec<u8> {
    frame(CLOSE, &[&code.to_be_bytes()[..], reason.as_bytes()].concat())
}

/// Takes one whole frame off the front of `bytes`; panics if the server masked it.
pub fn take(bytes: &mut Vec<u8>) -> Option<Frame> {
    let (&first, &second) = (bytes.first()?, bytes.get(1)?);
    assert!(second & 0x80 == 0, "a server never masks (RFC 6455 section 5.1)");
    let (start, length) = match second {
        126 => (4, u64::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))),
        127 => (10, u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)),
        short => (2, u64::from(short)),
    };
    let end = start + length as usize;
    let payload = bytes.get(start..end)?.to_vec();
    bytes.drain(..end);
    Some(Frame { first, payload })
}
