//! WebSocket frames: header checks before the payload is there, and the server's own encoding.
//! Not for messages: fragments are put together by the decoder and tungstenite.

use std::io::Cursor;

use bytes::Bytes;
use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};
use tungstenite::protocol::frame::{Frame, FrameHeader};

use super::deflate::room_for;
use super::{Kind, Violation};

pub(crate) use tungstenite::protocol::CloseFrame;

/// A control frame's payload is at most this many bytes (RFC 6455 section 5.5).
pub(super) const CONTROL_LIMIT: usize = 125;

/// The longest header a client can send: two bytes, eight of length, four of mask.
pub(super) const HEADER_LIMIT: usize = 14;

/// The bit on a message's first frame that says that it is compressed (RFC 7692 section 6).
const RSV1: u8 = 0x40;

/// The ping this server sends: empty, since any byte that comes back answers it.
pub(crate) const PING_FRAME: &[u8] = &[0x89, 0x00];

/// A client's frame header that has passed every check a header alone allows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub fin: bool,
    /// It begins a compressed message.
    pub is_deflated: bool,
    pub kind: FrameKind,
    pub mask: [u8; 4],
    pub payload: u64,
    /// The header's own length in bytes.
    pub length: usize,
}

/// What a frame is, with the reserved opcodes already refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameKind {
    Data(Kind),
    Continuation,
    Control,
}

/// What the frames before it leave to a frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowed {
    /// A message is open: it must be continued before another begins.
    pub is_open: bool,
    /// A message may be compressed: then RSV1 stands on its first frame (RFC 7692 section 6).
    pub deflates: bool,
    /// Payload bytes that the message may still have.
    pub room: usize,
}

/// Reads a header from the front of `bytes`; `None` until all of it is there.
///
/// Each byte of it is judged when it comes, so that nobody waits for the rest of a frame that
/// can't be accepted.
#[inline]
pub(super) fn parse(bytes: &[u8], allowed: Allowed) -> Result<Option<Header>, Violation> {
    let (Some(&first), second) = (bytes.first(), bytes.get(1)) else { return Ok(None) };
    check_first(first, allowed)?;
    let Some(&second) = second else { return Ok(None) };
    check_second(first, second)?;
    let is_deflated = first & RSV1 != 0;
    let room = if is_deflated { room_for(allowed.room) } else { allowed.room };
    check_length(bytes, first, second, room)?;
    let mut cursor = Cursor::new(bytes);
    let Ok(parsed) = FrameHeader::parse(&mut cursor) else {
        return Err(Violation::Protocol("malformed frame header"));
    };
    let Some((header, payload)) = parsed else { return Ok(None) };
    let Some(mask) = header.mask else {
        return Err(Violation::Protocol("unmasked frame"));
    };
    let kind = match header.opcode {
        OpCode::Data(Data::Text) => FrameKind::Data(Kind::Text),
        OpCode::Data(Data::Binary) => FrameKind::Data(Kind::Binary),
        OpCode::Data(Data::Continue) => FrameKind::Continuation,
        OpCode::Control(_) => FrameKind::Control,
        OpCode::Data(Data::Reserved(_)) => return Err(Violation::Protocol("reserved opcode")),
    };
    let length = usize::try_from(cursor.position()).unwrap_or(usize::MAX);
    Ok(Some(Header { fin: header.is_final, is_deflated, kind, mask, payload, length }))
}

fn check_first(first: u8, allowed: Allowed) -> Result<(), Violation> {
    let is_open = allowed.is_open;
    if first & 0x70 != 0 {
        let begins = !is_open && matches!(first & 0x0f, 0x1 | 0x2);
        if !(allowed.deflates && begins && first & 0x70 == RSV1) {
            return Err(Violation::Protocol("reserved bit set"));
        }
    }
    match first & 0x0f {
        0x0 if !is_open => Err(Violation::Protocol("continuation of no message")),
        0x1 | 0x2 if is_open => Err(Violation::Protocol("new message before the last one ended")),
        0x0..=0x2 => Ok(()),
        0x8..=0xa if first & 0x80 == 0 => Err(Violation::Protocol("fragmented control frame")),
        0x8..=0xa => Ok(()),
        _ => Err(Violation::Protocol("reserved opcode")),
    }
}

fn check_second(first: u8, second: u8) -> Result<(), Violation> {
    if second & 0x80 == 0 {
        return Err(Violation::Protocol("unmasked frame"));
    }
    let length = second & 0x7f;
    if is_control(first) && usize::from(length) > CONTROL_LIMIT {
        return Err(Violation::Protocol("control frame too long"));
    }
    if first & 0x0f == 0x8 && length == 1 {
        return Err(Violation::Protocol("close frame of one byte"));
    }
    Ok(())
}

fn is_control(first: u8) -> bool {
    first & 0x08 != 0
}

/// RFC 6455 section 5.2: the minimal number of bytes, and the top bit of 64 clear. What of the
/// length is there bounds what it can still become.
#[inline]
fn check_length(bytes: &[u8], first: u8, second: u8, room: usize) -> Result<(), Violation> {
    let (width, shortest) = match second & 0x7f {
        126 => (2, 126),
        127 => (8, 65_536),
        // A control frame's length has been judged, and is no part of a message.
        _ if is_control(first) => return Ok(()),
        length if usize::from(length) > room => return Err(Violation::TooBig),
        _ => return Ok(()),
    };
    if shortest > room as u64 {
        return Err(Violation::TooBig);
    }
    let mut least = 0_u64;
    let mut unknown = 0_u64;
    for byte in bytes.iter().skip(2).map(Some).chain(std::iter::repeat(None)).take(width) {
        least = least << 8 | byte.map_or(0, |byte| u64::from(*byte));
        unknown = unknown << 8 | byte.map_or(0xff, |_| 0);
    }
    if (least | unknown) < shortest {
        return Err(Violation::Protocol("length not in its shortest form"));
    }
    if least >= 1 << 63 {
        return Err(Violation::Protocol("length beyond 63 bits"));
    }
    if least > room as u64 {
        return Err(Violation::TooBig);
    }
    Ok(())
}

/// XORs `payload` with `mask`, starting `offset` bytes into the frame (RFC 6455 section 5.3).
///
/// Eight bytes at a time; compilers widen this loop to whatever the machine has.
#[inline]
pub(super) fn unmask(payload: &mut [u8], mask: [u8; 4], offset: usize) {
    let at = |i: usize| mask.get((offset.wrapping_add(i)) & 3).copied().unwrap_or(0);
    let turned = [at(0), at(1), at(2), at(3)];
    let [a, b, c, d] = turned;
    let word = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let mut chunks = payload.chunks_exact_mut(8);
    for chunk in &mut chunks {
        if let Ok(bytes) = <[u8; 8]>::try_from(&*chunk) {
            chunk.copy_from_slice(&(u64::from_ne_bytes(bytes) ^ word).to_ne_bytes());
        }
    }
    for (byte, key) in chunks.into_remainder().iter_mut().zip(turned.iter().cycle()) {
        *byte ^= key;
    }
}

/// Appends one unmasked final frame, as a server sends it.
#[inline]
pub(crate) fn encode_into(out: &mut Vec<u8>, kind: Kind, payload: &[u8]) {
    append(out, opcode_of(kind), payload);
}

/// Appends one whose payload is compressed.
pub(crate) fn encode_deflated_into(out: &mut Vec<u8>, kind: Kind, payload: &[u8]) {
    append(out, opcode_of(kind) | RSV1, payload);
}

#[inline]
fn opcode_of(kind: Kind) -> u8 {
    match kind {
        Kind::Text => 0x81,
        Kind::Binary => 0x82,
    }
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "each arm knows how long it is")]
fn append(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    match payload.len() {
        length @ 0..=125 => out.extend_from_slice(&[opcode, length as u8]),
        length @ 126..=0xffff => {
            let [a, b] = (length as u16).to_be_bytes();
            out.extend_from_slice(&[opcode, 126, a, b]);
        }
        length => {
            out.extend_from_slice(&[opcode, 127]);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
}

/// The bytes of the frame that `encode_into` makes of `payload` bytes.
pub(crate) fn frame_length(payload: usize) -> usize {
    payload.saturating_add(match payload {
        0..=125 => 2,
        126..=0xffff => 4,
        _ => 10,
    })
}

/// Whether a close frame may carry this code (RFC 6455 section 7.4); 1014, a bad gateway, was
/// registered after the RFC, and tungstenite does not know it.
pub(super) fn may_be_sent(code: CloseCode) -> bool {
    code.is_allowed() || u16::from(code) == 1014
}

/// Encodes a close frame; a code the wire must not carry gives an empty one (RFC 6455 section 7.4).
pub(crate) fn close_frame(code: u16, reason: &str) -> Bytes {
    let code = CloseCode::from(code);
    let end = reason.floor_char_boundary(CONTROL_LIMIT - 2);
    let payload = may_be_sent(code)
        .then(|| CloseFrame { code, reason: reason.get(..end).unwrap_or_default().into() });
    let frame = Frame::close(payload);
    let mut out = Vec::with_capacity(frame.len());
    // Writing to a Vec does not fail; an empty close frame is the harmless answer if it did.
    if frame.format(&mut out).is_err() {
        return Bytes::from_static(&[0x88, 0x00]);
    }
    out.into()
}

/// True if a frame that this server encoded is compressed.
pub(crate) fn is_deflated(frame: &[u8]) -> bool {
    frame.first().is_some_and(|first| first & RSV1 != 0)
}

/// What a data frame that this server encoded without compression carries.
pub(crate) fn message_in(frame: &[u8]) -> Option<(Kind, &[u8])> {
    let (kind, start) = match frame {
        [0x81, length, ..] => (Kind::Text, length),
        [0x82, length, ..] => (Kind::Binary, length),
        _ => return None,
    };
    let start = match start {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    Some((kind, frame.get(start..)?))
}

/// Splits bytes that this server encoded into its frames: (length of the frame, is it data?).
pub(crate) fn walk_frames(mut bytes: &[u8]) -> impl Iterator<Item = (usize, bool)> {
    std::iter::from_fn(move || {
        let mut cursor = Cursor::new(bytes);
        let (header, payload) = FrameHeader::parse(&mut cursor).ok()??;
        let length = usize::try_from(cursor.position().checked_add(payload)?).ok()?;
        bytes = bytes.get(length..)?;
        Some((
            length,
            !matches!(
                header.opcode,
                OpCode::Control(Control::Close | Control::Ping | Control::Pong)
            ),
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTSIDE: Allowed = Allowed { is_open: false, deflates: false, room: 1 << 20 };
    const INSIDE: Allowed = Allowed { is_open: true, deflates: false, room: 1 << 20 };

    fn refused(bytes: &[u8]) -> bool {
        matches!(parse(bytes, OUTSIDE), Err(Violation::Protocol(_)))
    }

    #[test]
    fn a_header_is_refused_as_soon_as_it_shows() {
        assert!(refused(&[0xc1]), "reserved bit, on the first byte");
        assert!(refused(&[0x83]), "reserved data opcode");
        assert!(refused(&[0x8b]), "reserved control opcode");
        assert!(refused(&[0x09]), "fragmented ping");
        assert!(refused(&[0x81, 0x05]), "unmasked, before the payload");
        assert!(refused(&[0x89, 0xfe]), "ping of 126 bytes, before its length");
        assert!(refused(&[0x82, 0xfe, 0, 125]), "two-byte length for 125");
        assert!(refused(&[0x82, 0xff, 0, 0, 0, 0, 0, 0]), "eight-byte length below 65536");
        assert!(refused(&[0x82, 0xff, 0x80]), "64th bit");
        assert!(refused(&[0x88, 0x81]), "close frame of one byte");
        assert!(refused(&[0x80]), "continuation of nothing, on the first byte");
        for first in [0x01, 0x82] {
            assert!(matches!(parse(&[first], INSIDE), Err(Violation::Protocol(_))));
        }
        assert!(matches!(parse(&[0x80], INSIDE), Ok(None)));
    }

    #[test]
    fn rsv1_belongs_on_the_first_frame_of_a_message_where_that_may_be_compressed() {
        let deflating = Allowed { deflates: true, ..OUTSIDE };
        for (first, allowed, is_good) in [
            (0xc1, deflating, true),
            (0x42, deflating, true),
            (0xc1, OUTSIDE, false),
            (0xc0, Allowed { deflates: true, ..INSIDE }, false),
            (0xc9, deflating, false),
            (0xc8, deflating, false),
            (0xca, deflating, false),
            (0xe1, deflating, false),
            (0xd1, deflating, false),
            (0xa1, deflating, false),
            (0xc3, deflating, false),
        ] {
            let outcome = parse(&[first], allowed);
            match is_good {
                true => assert!(matches!(outcome, Ok(None)), "{first:x}"),
                false => assert!(matches!(outcome, Err(Violation::Protocol(_))), "{first:x}"),
            }
        }
        let header = parse(&[0xc2, 0x80, 0, 0, 0, 0], deflating).unwrap().unwrap();
        assert!(header.is_deflated && header.fin);
        let header = parse(&[0x82, 0x80, 0, 0, 0, 0], deflating).unwrap().unwrap();
        assert!(!header.is_deflated);
    }

    #[test]
    fn a_compressed_message_may_be_a_little_longer_on_the_wire() {
        let allowed = Allowed { deflates: true, room: 1000, ..OUTSIDE };
        let most = u16::try_from(room_for(1000)).unwrap();
        let header = |first: u8, length: u16| {
            let [a, b] = length.to_be_bytes();
            parse(&[first, 0xfe, a, b], allowed)
        };
        assert!(matches!(header(0xc2, most), Ok(None)));
        assert!(matches!(header(0xc2, most + 1), Err(Violation::TooBig)));
        assert!(matches!(header(0x82, 1001), Err(Violation::TooBig)));
    }

    #[test]
    fn what_was_encoded_is_found_again() {
        for length in [0, 125, 126, 65_535, 65_536] {
            let payload = vec![b'x'; length];
            let mut frame = Vec::new();
            encode_into(&mut frame, Kind::Text, &payload);
            assert_eq!(message_in(&frame), Some((Kind::Text, &payload[..])));
            assert!(!is_deflated(&frame));
            frame.clear();
            encode_deflated_into(&mut frame, Kind::Binary, &payload);
            assert!(is_deflated(&frame) && message_in(&frame).is_none());
        }
        assert_eq!(message_in(PING_FRAME), None);
    }

    #[test]
    fn a_length_is_too_big_as_soon_as_it_can_only_be() {
        let is_too_big = |bytes: &[u8], room| {
            matches!(parse(bytes, Allowed { room, ..OUTSIDE }), Err(Violation::TooBig))
        };
        assert!(is_too_big(&[0x82, 0x8b], 10) && !is_too_big(&[0x82, 0x8a], 10));
        assert!(is_too_big(&[0x82, 0xfe, 0x01], 255) && !is_too_big(&[0x82, 0xfe, 0x01], 256));
        let length = [0x82, 0xff, 0, 0, 0, 0, 0, 0x10, 0, 0x01];
        assert!(is_too_big(&length, 1 << 20) && !is_too_big(&length[..9], 1 << 20));
        assert!(is_too_big(&[0x82, 0xff, 0x7f], 1 << 40));
        assert!(is_too_big(&[0x82, 0xfe], 125) && is_too_big(&[0x82, 0xff], 65_535));
        assert!(!is_too_big(&[0x89, 0x8b], 10), "a control frame is no part of a message");
    }

    #[test]
    fn a_header_is_read_once_it_is_whole() {
        let whole = [0x82, 0xfe, 0x01, 0x00, 0, 0, 0, 0];
        for cut in 0..whole.len() {
            assert!(parse(&whole[..cut], OUTSIDE).unwrap().is_none());
        }
        let header = parse(&whole, OUTSIDE).unwrap().unwrap();
        assert_eq!((header.payload, header.length, header.mask), (256, 8, [0; 4]));
    }

    #[test]
    fn unmasking_goes_on_where_it_stopped() {
        let mask = [1, 2, 3, 4];
        let plain: Vec<u8> = (0..100).collect();
        let masked: Vec<u8> = plain.iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m).collect();
        for cut in 0..masked.len() {
            let mut bytes = masked.clone();
            let (a, b) = bytes.split_at_mut(cut);
            unmask(a, mask, 0);
            unmask(b, mask, cut);
            assert_eq!(bytes, plain);
        }
    }

    #[test]
    fn encoded_frames_are_walked_one_by_one() {
        let mut out = Vec::new();
        for length in [0, 125, 126, 65_535, 65_536] {
            let before = out.len();
            encode_into(&mut out, Kind::Binary, &vec![7; length]);
            assert_eq!(out.len() - before, frame_length(length));
        }
        out.extend_from_slice(PING_FRAME);
        let lengths: Vec<_> = walk_frames(&out).collect();
        assert_eq!(lengths.len(), 6);
        assert_eq!(lengths.iter().map(|(n, _)| n).sum::<usize>(), out.len());
        assert_eq!(lengths.last(), Some(&(2, false)));
    }

    #[test]
    fn a_close_reason_is_cut_at_a_character() {
        let frame = close_frame(1008, &"é".repeat(100));
        assert_eq!(frame[1] as usize, frame.len() - 2);
        assert!(frame.len() <= 2 + CONTROL_LIMIT);
        assert!(std::str::from_utf8(&frame[4..]).is_ok());
        assert_eq!(&close_frame(1005, "never on the wire")[..], &[0x88, 0x00]);
    }
}
