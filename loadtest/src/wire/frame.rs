//! Frame headers and masking as RFC 6455 section 5.2 lays them out: encoding, and reading a header.
//! Not the state between two reads; that is `decoder`.

/// The longest header there is: two bytes, an eight-byte length, a four-byte masking key.
pub const MAX_HEADER: usize = 14;

/// The longest payload of a control frame, in bytes (RFC 6455 section 5.5).
pub const MAX_CONTROL: u64 = 125;

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// Goes on with the message that is open.
    Continuation = 0,
    /// Begins a text message.
    Text = 1,
    /// Begins a binary message.
    Binary = 2,
    /// Begins or answers the close handshake.
    Close = 8,
    /// Asks for a sign of life.
    Ping = 9,
    /// Gives it.
    Pong = 10,
}

impl Opcode {
    /// The opcode of the low four bits of a frame's first byte; `None` where it is reserved.
    pub fn from_bits(bits: u8) -> Option<Opcode> {
        Some(match bits & 0x0f {
            0 => Opcode::Continuation,
            1 => Opcode::Text,
            2 => Opcode::Binary,
            8 => Opcode::Close,
            9 => Opcode::Ping,
            10 => Opcode::Pong,
            _ => return None,
        })
    }

    /// Whether it belongs to a control frame, which may stand between the fragments of a message.
    pub fn is_control(self) -> bool {
        self as u8 >= 8
    }
}

/// A masking key (RFC 6455 section 5.3), in the order its bytes are sent.
pub type MaskKey = [u8; 4];

/// A frame's header, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whether the message ends with this frame.
    pub fin: bool,
    /// What the frame carries.
    pub opcode: Opcode,
    /// The masking key, where the frame is masked.
    pub key: Option<MaskKey>,
    /// Payload length in bytes.
    pub length: u64,
    /// How many bytes the header itself took.
    pub size: usize,
}

/// Why bytes are no frame that may stand here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A reserved bit or opcode.
    #[error("a frame with reserved bits or a reserved opcode")]
    Reserved,
    /// A control frame that is fragmented or longer than 125 bytes.
    #[error("a control frame that is fragmented or too long")]
    Control,
    /// Masked where it must not be, or the other way round.
    #[error("a frame whose masking is not what this side expects")]
    Masking,
    /// A continuation without a message, or a new message inside another.
    #[error("a fragment out of order")]
    Fragment,
    /// A length with its top bit set.
    #[error("a frame length beyond 63 bits")]
    Length,
}

/// Reads the header at the start of `bytes`; `Ok(None)` when it is not all there yet.
pub fn read_header(bytes: &[u8]) -> Result<Option<Header>, Violation> {
    let [first, second, ..] = *bytes else { return Ok(None) };
    if first & 0x70 != 0 {
        return Err(Violation::Reserved);
    }
    let opcode = Opcode::from_bits(first).ok_or(Violation::Reserved)?;
    let fin = first & 0x80 != 0;
    let (length, after_length) = match second & 0x7f {
        126 => match bytes.get(2..4) {
            Some(field) => (u64::from(u16::from_be_bytes([field[0], field[1]])), 4),
            None => return Ok(None),
        },
        127 => match bytes.get(2..10).and_then(|field| <[u8; 8]>::try_from(field).ok()) {
            Some(field) => (u64::from_be_bytes(field), 10),
            None => return Ok(None),
        },
        short => (u64::from(short), 2),
    };
    if length >> 63 != 0 {
        return Err(Violation::Length);
    }
    if opcode.is_control() && (!fin || length > MAX_CONTROL) {
        return Err(Violation::Control);
    }
    let (key, size) = if second & 0x80 == 0 {
        (None, after_length)
    } else {
        match bytes.get(after_length..after_length + 4) {
            Some(key) => (Some([key[0], key[1], key[2], key[3]]), after_length + 4),
            None => return Ok(None),
        }
    };
    Ok(Some(Header { fin, opcode, key, length, size }))
}

/// Appends a client's frame to `out`: its header, then what `payload` appends, masked with `key`.
///
/// `length` is the payload's length in bytes; `payload` must append exactly so many.
pub fn append_frame(
    out: &mut Vec<u8>,
    fin: bool,
    opcode: Opcode,
    key: MaskKey,
    length: usize,
    payload: impl FnOnce(&mut Vec<u8>),
) {
    out.push(u8::from(fin) << 7 | opcode as u8);
    match length {
        0..=125 => out.push(0x80 | length as u8),
        126..=0xffff => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&key);
    let start = out.len();
    payload(out);
    debug_assert_eq!(out.len() - start, length);
    mask(&mut out[start..], key);
}

/// Masks or unmasks `bytes` in place, the first of them with the first byte of `key`.
pub fn mask(bytes: &mut [u8], key: MaskKey) {
    let word = u64::from_ne_bytes([key[0], key[1], key[2], key[3], key[0], key[1], key[2], key[3]]);
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for chunk in words {
        *chunk = (u64::from_ne_bytes(*chunk) ^ word).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

/// `key` as it applies to the byte `by` positions further on.
pub fn rotate(key: MaskKey, by: usize) -> MaskKey {
    let mut rotated = key;
    rotated.rotate_left(by % 4);
    rotated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_read_back_at_every_length_class() {
        for length in [0usize, 1, 7, 125, 126, 127, 65_535, 65_536, 70_000] {
            let mut out = Vec::new();
            append_frame(&mut out, true, Opcode::Binary, [1, 2, 3, 4], length, |out| {
                out.extend((0..length).map(|i| i as u8));
            });
            let header = read_header(&out).expect("legal").expect("whole");
            assert_eq!(header.length, length as u64);
            assert_eq!(header.key, Some([1, 2, 3, 4]));
            let body = &mut out[header.size..];
            mask(body, [1, 2, 3, 4]);
            assert!(body.iter().enumerate().all(|(i, byte)| *byte == i as u8));
        }
    }

    #[test]
    fn the_masking_example_of_the_rfc_holds() {
        let mut out = Vec::new();
        let key = [0x37, 0xfa, 0x21, 0x3d];
        append_frame(&mut out, true, Opcode::Text, key, 5, |out| out.extend_from_slice(b"Hello"));
        assert_eq!(out, [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
    }

    #[test]
    fn a_header_cut_anywhere_asks_for_more() {
        let mut out = Vec::new();
        append_frame(&mut out, true, Opcode::Binary, [9; 4], 70_000, |out| {
            out.resize(out.len() + 70_000, 0);
        });
        for cut in 0..MAX_HEADER {
            assert_eq!(read_header(&out[..cut]), Ok(None), "cut at {cut}");
        }
    }

    #[test]
    fn what_may_not_stand_in_a_header_is_refused() {
        assert_eq!(read_header(&[0xc1, 0]), Err(Violation::Reserved));
        assert_eq!(read_header(&[0x83, 0]), Err(Violation::Reserved));
        assert_eq!(read_header(&[0x09, 0]), Err(Violation::Control));
        assert_eq!(read_header(&[0x89, 126, 0, 126]), Err(Violation::Control));
        assert_eq!(read_header(&[0x82, 127, 255, 0, 0, 0, 0, 0, 0, 0]), Err(Violation::Length));
    }
}
