//! What each kind of zombie sends, byte for byte.
//! Not when; that is `peer`.

use crate::wire::frame::{Opcode, append_frame};
use crate::wire::payload::scramble;

/// The length that a huge frame announces.
const HUGE: u64 = 1 << 40;

/// Bytes of a fragment's payload, in a message that never ends.
const FRAGMENT: usize = 16;

/// Bytes of the messages that are asked for and not read.
const ECHO: usize = 64 * 1024;

/// Bytes of garbage.
const GARBAGE: usize = 256;

/// The first half of a request head.
pub fn half_head(request: &[u8]) -> &[u8] {
    &request[..request.len() / 2]
}

/// Byte number `nth` of a head that never ends: `request` without the line ends that would finish
/// it, its last value going on for ever.
pub fn dripped_head(request: &[u8], nth: usize) -> u8 {
    let unfinished = request.strip_suffix(b"\r\n\r\n").unwrap_or(request);
    unfinished.get(nth).copied().unwrap_or(b'1')
}

fn key(seed: u64) -> [u8; 4] {
    (scramble(seed ^ 0x5eed) as u32).to_ne_bytes()
}

/// Random bytes of which the first is surely no frame's: all reserved bits and a reserved opcode.
pub fn garbage(seed: u64) -> Vec<u8> {
    let random = |at: u64| scramble(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ at << 1) as u8;
    let mut bytes: Vec<u8> = (0..GARBAGE as u64).map(random).collect();
    bytes[0] = bytes[0] & 0x80 | 0x70 | 0x03;
    bytes
}

/// The header of a frame of 2^40 bytes, and none of them.
pub fn huge_length(seed: u64) -> Vec<u8> {
    let mut bytes = vec![0x80 | Opcode::Binary as u8, 0x80 | 127];
    bytes.extend_from_slice(&HUGE.to_be_bytes());
    bytes.extend_from_slice(&key(seed));
    bytes
}

/// Fragment number `nth` of a message that never ends.
pub fn fragment(seed: u64, nth: u64) -> Vec<u8> {
    let opcode = if nth == 0 { Opcode::Binary } else { Opcode::Continuation };
    let mut bytes = Vec::with_capacity(FRAGMENT + 6);
    append_frame(&mut bytes, false, opcode, key(seed ^ nth), FRAGMENT, |out| {
        out.extend((0..FRAGMENT as u64).map(|at| scramble(seed ^ nth << 8 ^ at) as u8));
    });
    bytes
}

/// The first half of a frame.
pub fn half_frame(seed: u64) -> Vec<u8> {
    let mut bytes = fragment(seed, 0);
    bytes.truncate(6 + FRAGMENT / 2);
    bytes
}

/// A message that an echo server sends back, to be sent again and again.
pub fn echo(seed: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(ECHO + 14);
    let text = |at: usize| b'a' + (at % 26) as u8;
    append_frame(&mut bytes, true, Opcode::Text, key(seed), ECHO, |out| {
        out.extend((0..ECHO).map(text));
    });
    bytes
}

/// The first byte of a pong: a sign of life that asks for nothing.
pub const LIFE: &[u8] = &[0x80 | Opcode::Pong as u8];

/// A close frame's code as it stands on the wire; 1005 where it has none (RFC 6455 section 7.4.1).
pub fn close_code(payload: &[u8]) -> u16 {
    match *payload {
        [high, low, ..] => u16::from_be_bytes([high, low]),
        _ => 1005,
    }
}

/// The status of an HTTP answer, once enough of it is there.
pub fn status(answer: &[u8]) -> Option<u16> {
    let code = answer.strip_prefix(b"HTTP/1.")?.get(2..5)?;
    std::str::from_utf8(code).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame::{Violation, mask, read_header};

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Version: 13\r\n\r\n";

    #[test]
    fn no_head_is_ever_finished() {
        let dripped: Vec<u8> = (0..300).map(|nth| dripped_head(REQUEST, nth)).collect();
        assert!(dripped.starts_with(&REQUEST[..REQUEST.len() - 4]));
        for head in [half_head(REQUEST), &dripped] {
            let mut headers = [httparse::EMPTY_HEADER; 8];
            let parsed = httparse::Request::new(&mut headers).parse(head);
            assert_eq!(parsed, Ok(httparse::Status::Partial));
        }
    }

    #[test]
    fn garbage_is_a_violation_from_its_first_byte_and_repeats_with_its_seed() {
        for seed in 0..200 {
            let bytes = garbage(seed);
            assert_eq!(read_header(&[bytes[0], 0x80]), Err(Violation::Reserved));
            assert_eq!(bytes, garbage(seed));
        }
        assert_ne!(garbage(1)[1..], garbage(2)[1..]);
    }

    #[test]
    fn a_huge_length_is_announced_and_nothing_follows() {
        let bytes = huge_length(5);
        let header = read_header(&bytes).expect("legal").expect("whole");
        assert_eq!((header.length, header.size), (1 << 40, bytes.len()));
        assert!(header.fin && header.key.is_some());
    }

    #[test]
    fn fragments_are_one_message_without_an_end() {
        for nth in 0..5 {
            let bytes = fragment(9, nth);
            let header = read_header(&bytes).expect("legal").expect("whole");
            assert!(!header.fin && header.key.is_some());
            let opcode = if nth == 0 { Opcode::Binary } else { Opcode::Continuation };
            assert_eq!((header.opcode, header.length), (opcode, 16));
            assert_eq!(bytes.len(), header.size + 16);
        }
    }

    #[test]
    fn half_a_frame_lacks_payload() {
        let bytes = half_frame(3);
        let header = read_header(&bytes).expect("legal").expect("whole");
        assert!(bytes.len() > header.size && bytes.len() < header.size + header.length as usize);
    }

    #[test]
    fn what_is_asked_for_is_text_of_64_kib() {
        let mut bytes = echo(1);
        let header = read_header(&bytes).expect("legal").expect("whole");
        mask(&mut bytes[header.size..], header.key.expect("masked"));
        assert_eq!(header.length, 65_536);
        assert!(bytes[header.size..].is_ascii());
    }

    #[test]
    fn answers_are_read_as_far_as_they_go() {
        assert_eq!(status(b"HTTP/1.1 408 Request Timeout\r\n"), Some(408));
        assert_eq!(status(b"HTTP/1.1 40"), None);
        assert_eq!(status(b"SSH-2.0-OpenSSH"), None);
        assert_eq!((close_code(&[3, 0xe8, b'x']), close_code(&[])), (1000, 1005));
    }
}
