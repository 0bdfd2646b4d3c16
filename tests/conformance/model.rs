//! What RFC 6455 makes of the bytes a client has sent so far, read from the RFC and not from the
//! server: the whole stream is looked at from its beginning each time.
//! Not fast, and not for tests of its own.

use crate::case::server_frame;
use crate::harness::frame::{CLOSE, PONG};

/// What an echo server must have said by now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Echoes and pongs, and the answer to a close frame.
    pub replies: Vec<u8>,
    /// How the connection has ended, if it has.
    pub end: Option<End>,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The client's close frame is answered; the answer is among the replies.
    Closed,
    /// The connection is failed with this code; its close frame is not among the replies, since
    /// the RFC leaves its reason to the server.
    Failed(u16),
}

/// The frame that stands at the front of what is left.
struct Frame {
    is_final: bool,
    opcode: u8,
    payload: Vec<u8>,
    /// Bytes that the whole frame takes.
    length: usize,
    /// Whether all of its payload is there.
    is_whole: bool,
}

/// A message whose first frame has come and whose last has not.
struct Message {
    opcode: u8,
    bytes: Vec<u8>,
}

/// Judges what a client sent behind its handshake, where a message may have `limit` bytes.
pub fn judge(stream: &[u8], limit: usize) -> Verdict {
    let mut verdict = Verdict::default();
    let mut message = None;
    let mut rest = stream;
    while verdict.end.is_none() {
        let outcome = match frame(rest, message.as_ref(), limit) {
            Ok(Some(frame)) => {
                let is_whole = frame.is_whole;
                let length = frame.length;
                let outcome = take(frame, &mut message, &mut verdict);
                if outcome.is_ok() && !is_whole {
                    break;
                }
                rest = rest.get(length..).unwrap_or_default();
                outcome
            }
            Ok(None) => break,
            Err(code) => Err(code),
        };
        if let Err(code) = outcome {
            verdict.end = Some(End::Failed(code));
        }
    }
    verdict
}

/// Section 5.2, byte by byte; `None` where the header is not there yet and may still be good.
fn frame(bytes: &[u8], message: Option<&Message>, limit: usize) -> Result<Option<Frame>, u16> {
    let Some(first) = bytes.first() else { return Ok(None) };
    let is_final = first >> 7 == 1;
    let opcode = first & 0b1111;
    let are_bits_clear = first >> 4 & 0b111 == 0;
    let is_in_place = match opcode {
        0 => message.is_some(),     // 5.4: continues what was begun
        1 | 2 => message.is_none(), // 5.4: messages are not interleaved
        8..=10 => is_final,         // 5.5: control frames are not fragmented
        _ => false,                 // 5.2: reserved
    };
    if !are_bits_clear || !is_in_place {
        return Err(1002);
    }
    let Some(second) = bytes.get(1) else { return Ok(None) };
    let is_masked = second >> 7 == 1;
    let short = second & 0b111_1111;
    // 5.5: at most 125 bytes; 5.5.1: a body begins with two bytes of code.
    let is_bad_control = opcode >= 8 && (short > 125 || (opcode == 8 && short == 1));
    if !is_masked || is_bad_control {
        return Err(1002);
    }
    let more = match short {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let field = bytes.get(2..).unwrap_or_default();
    let field = field.get(..more).unwrap_or(field);
    let held = message.map_or(0, |message| message.bytes.len());
    let room = if opcode >= 8 { usize::MAX } else { limit - held };
    let Some(payload) = payload_length(short, field, more, room)? else { return Ok(None) };
    let Some(mask) = bytes.get(2 + more..6 + more) else { return Ok(None) };
    let coming = bytes.get(6 + more..).unwrap_or_default();
    let coming = coming.get(..payload).unwrap_or(coming);
    let unmasked = coming.iter().enumerate().map(|(n, byte)| byte ^ mask[n % 4]).collect();
    Ok(Some(Frame {
        is_final,
        opcode,
        payload: unmasked,
        length: 6 + more + payload,
        is_whole: coming.len() == payload,
    }))
}

/// The length that the field says, or an error as soon as it can say nothing that is allowed.
fn payload_length(
    short: u8,
    field: &[u8],
    width: usize,
    room: usize,
) -> Result<Option<usize>, u16> {
    let (least, most) = match width {
        2 => (126, 0xffff),
        8 => (0x1_0000, (1 << 63) - 1),
        _ => (0, 125),
    };
    if least > room as u128 {
        return Err(1009);
    }
    // The smallest and the largest number that the field can still become.
    let number = |fill: u8| {
        let missing = std::iter::repeat_n(&fill, width - field.len());
        field.iter().chain(missing).fold(0_u128, |number, byte| number * 256 + u128::from(*byte))
    };
    let (low, high) =
        if width == 0 { (short.into(), short.into()) } else { (number(0), number(255)) };
    if high < least || low > most {
        return Err(1002);
    }
    if low > room as u128 {
        return Err(1009);
    }
    Ok((low == high).then_some(low as usize))
}

/// Sections 5.4, 5.5 and 8.1: what a frame does, as far as it is there.
fn take(frame: Frame, message: &mut Option<Message>, verdict: &mut Verdict) -> Result<(), u16> {
    if frame.opcode >= 8 {
        return if frame.is_whole { control(&frame, verdict) } else { Ok(()) };
    }
    let open = message.get_or_insert(Message { opcode: frame.opcode, bytes: Vec::new() });
    open.bytes.extend(&frame.payload);
    let is_complete = frame.is_final && frame.is_whole;
    if open.opcode == 1 {
        match utf8(&open.bytes) {
            Utf8::Bad => return Err(1007),
            Utf8::Cut if is_complete => return Err(1007),
            Utf8::Cut | Utf8::Good => {}
        }
    }
    if is_complete {
        verdict.replies.extend(server_frame(0x80 | open.opcode, &open.bytes));
        *message = None;
    }
    Ok(())
}

fn control(frame: &Frame, verdict: &mut Verdict) -> Result<(), u16> {
    match frame.opcode {
        9 => verdict.replies.extend(server_frame(PONG, &frame.payload)),
        8 => {
            if let [a, b, reason @ ..] = &frame.payload[..] {
                let code = u16::from_be_bytes([*a, *b]);
                // 7.4.1 and what IANA has registered since; 7.4.2: libraries and applications.
                if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
                    return Err(1002);
                }
                if utf8(reason) != Utf8::Good {
                    return Err(1007);
                }
            }
            verdict.replies.extend(server_frame(CLOSE, &frame.payload));
            verdict.end = Some(End::Closed);
        }
        _ => {}
    }
    Ok(())
}

/// What bytes are as UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Utf8 {
    Good,
    /// Good up to a last character of which the end is missing.
    Cut,
    Bad,
}

/// A character's first byte, and what may follow it.
type Form = (std::ops::RangeInclusive<u8>, &'static [std::ops::RangeInclusive<u8>]);

/// The grammar of RFC 3629 section 4.
const FORMS: [Form; 9] = [
    (0x00..=0x7f, &[]),
    (0xc2..=0xdf, &[0x80..=0xbf]),
    (0xe0..=0xe0, &[0xa0..=0xbf, 0x80..=0xbf]),
    (0xe1..=0xec, &[0x80..=0xbf, 0x80..=0xbf]),
    (0xed..=0xed, &[0x80..=0x9f, 0x80..=0xbf]),
    (0xee..=0xef, &[0x80..=0xbf, 0x80..=0xbf]),
    (0xf0..=0xf0, &[0x90..=0xbf, 0x80..=0xbf, 0x80..=0xbf]),
    (0xf1..=0xf3, &[0x80..=0xbf, 0x80..=0xbf, 0x80..=0xbf]),
    (0xf4..=0xf4, &[0x80..=0x8f, 0x80..=0xbf, 0x80..=0xbf]),
];

fn utf8(mut bytes: &[u8]) -> Utf8 {
    while let [first, rest @ ..] = bytes {
        let Some((_, tail)) = FORMS.iter().find(|(start, _)| start.contains(first)) else {
            return Utf8::Bad;
        };
        let there = rest.get(..tail.len()).unwrap_or(rest);
        if there.iter().zip(*tail).any(|(byte, range)| !range.contains(byte)) {
            return Utf8::Bad;
        }
        if there.len() < tail.len() {
            return Utf8::Cut;
        }
        bytes = rest.get(tail.len()..).unwrap_or_default();
    }
    Utf8::Good
}
