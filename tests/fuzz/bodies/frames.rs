//! Frames through the connection core: whole, and in pieces over a life with deadlines, pauses and
//! a kernel that takes what it likes. Either way they must mean what a plain reading of RFC 6455 says.
//! Not the life's own rules: those are in `life`, the reading in `rfc`.

use std::ops::ControlFlow;

use pulsewheel::Peer;
use pulsewheel::conn::{Conn, Tick};
use pulsewheel::doors::{Decoder, Event};
use pulsewheel::proto::Violation;

use super::life::Life;
use super::rfc::{Fault, Reader};
use super::script::Script;

/// The largest message, in bytes.
const LIMITS: [usize; 8] = [1, 125, 126, 300, 1_000, 4_096, 65_535, 70_000];

/// What a stream came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Read {
    pub events: Vec<Event>,
    pub fault: Option<Fault>,
}

/// The script: limit, how the stream is written, the life's settings, its steps, the stream.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let limit = script.pick(&LIMITS);
    let is_drawn_up = script.byte() % 2 == 1;
    let mut life = Life::new(&mut script, limit);
    let steps = usize::from(script.byte() % 64);
    let steps = script.slice(2 * steps);
    let stream = if is_drawn_up { draw_up(&mut script) } else { script.rest().to_vec() };

    let expected = expected(&stream, limit);
    let whole = whole(&stream, limit);
    assert_eq!(whole.events, expected.events, "decoded whole");
    assert_eq!(whole.fault, expected.fault, "decoded whole");
    life.lead(steps, &stream);
    let split = life.read;
    assert!(expected.events.starts_with(&split.events), "decoded in pieces: {:?}", split.events);
    if split.fault.is_some() {
        assert_eq!(split.events, expected.events, "decoded in pieces");
        assert_eq!(split.fault, expected.fault, "decoded in pieces");
    }
}

/// A stream from descriptions of frames, so that most of it is well formed: first byte, a byte of
/// liberties, length, payload, which is repeated up to its length.
pub fn draw_up(script: &mut Script<'_>) -> Vec<u8> {
    let mut stream = Vec::new();
    while !script.is_over() && stream.len() < 1 << 17 {
        let first = script.byte();
        let liberties = script.byte();
        let length = match liberties & 3 {
            0 | 1 => usize::from(script.byte() & 0x7f),
            2 => usize::from(script.word()) % 2_048,
            _ => usize::from(script.word()) + 4_096,
        };
        let mask = [script.byte(), 0, 0x5a, liberties];
        let given = usize::from(script.byte()).min(length);
        let given = script.slice(given);
        stream.push(first);
        let masked = if liberties & 0x80 != 0 && liberties & 0x40 != 0 { 0 } else { 0x80 };
        let size = if liberties & 0x30 == 0x30 { 127 } else { shortest(length) };
        stream.push(masked | size);
        match size {
            126 => stream.extend_from_slice(&(length as u16).to_be_bytes()),
            127 => stream.extend_from_slice(&(length as u64).to_be_bytes()),
            _ => {}
        }
        stream.extend_from_slice(&mask);
        let payload = given.iter().chain([b'a'].iter().cycle()).take(length);
        stream.extend(payload.zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    }
    stream
}

fn shortest(length: usize) -> u8 {
    match length {
        0..=125 => length as u8,
        126..=0xffff => 126,
        _ => 127,
    }
}

/// What the model makes of it, up to a close frame or a fault.
fn expected(stream: &[u8], limit: usize) -> Read {
    let mut reader = Reader::new(limit);
    let mut read = Read::default();
    for byte in stream {
        match reader.read(*byte) {
            Ok(None) => {}
            Ok(Some(event)) => {
                let is_close = matches!(event, Event::Close(..));
                read.events.push(event);
                if is_close {
                    return read;
                }
            }
            Err(fault) => {
                read.fault = Some(fault);
                return read;
            }
        }
    }
    read
}

/// What the connection core makes of all of it at once.
fn whole(stream: &[u8], limit: usize) -> Read {
    let mut conn = Conn::new(Peer::UNIX, Tick(0), false);
    let mut read = Read::default();
    let mut bytes = stream.to_vec();
    let decoded = Decoder::new(limit).decode(&mut conn, &mut bytes, Tick(0), |event| {
        let is_close = matches!(event, Event::Close(..));
        read.events.push(event);
        if is_close { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    read.fault = decoded.err().map(fault);
    read
}

/// What the connection is closed with for a violation.
pub fn fault(violation: Violation) -> Fault {
    match violation {
        Violation::Protocol(_) => Fault::Protocol,
        Violation::Utf8 | Violation::Deflate => Fault::Utf8,
        Violation::TooBig => Fault::TooBig,
    }
}
