//! Reserved bits where compression is agreed on and where it is not (RFC 7692 section 6, RFC 6455
//! section 5.2), and what may stand between the frames of a compressed message.
//! Not for what compression saves or costs: `tests/deflate.rs` has that.

use crate::harness::deflate::DeflateClient;
use crate::harness::frame::{self, BINARY, PING, PONG, TEXT};
use crate::harness::{Event, PATIENCE, Server};

/// "Hello" compressed, as in RFC 7692 section 7.2.3.1.
const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];

const OFFERED: &str = "permessage-deflate";

/// What is sent before the first byte that can't be right, and that byte.
fn misuses(is_agreed: bool) -> Vec<(&'static str, Vec<u8>, u8)> {
    let begun = [&frame::frame(0x41, &HELLO[..3])[..], &frame::frame(PING, b"")].concat();
    let plain = frame::frame(0x01, b"plain");
    let both = vec![
        ("RSV1 on a ping", Vec::new(), 0xc9),
        ("RSV1 on a pong", Vec::new(), 0xca),
        ("RSV1 on a close frame", Vec::new(), 0xc8),
        ("RSV1 on a continuation of a plain message", plain.clone(), 0xc0),
        ("RSV1 on a continuation of nothing", Vec::new(), 0xc0),
        ("RSV1 on a new message in a plain one", plain, 0xc1),
        ("RSV1 on a reserved opcode", Vec::new(), 0xc3),
        ("RSV2", Vec::new(), 0xa1),
        ("RSV3", Vec::new(), 0x91),
        ("RSV1 and RSV2", Vec::new(), 0xe1),
        ("RSV1 and RSV3", Vec::new(), 0xd2),
    ];
    let agreed = vec![
        ("RSV1 on a continuation of a compressed message", begun.clone(), 0xc0),
        ("RSV1 on a ping in a compressed message", begun.clone(), 0xc9),
        ("a new message in a compressed one", begun, 0xc1),
    ];
    let apart = vec![("RSV1 on text", Vec::new(), 0xc1), ("RSV1 on a fragment", Vec::new(), 0x42)];
    both.into_iter().chain(if is_agreed { agreed } else { apart }).collect()
}

#[test]
fn a_reserved_bit_where_it_does_not_belong_is_1002_on_its_first_byte() {
    for (mode, offer) in
        [("off", OFFERED), ("shared", "x-nothing"), ("shared", OFFERED), ("dedicated", OFFERED)]
    {
        let server = Server::start(&["--compression", mode]);
        let is_agreed = mode != "off" && offer == OFFERED;
        for (name, before, first) in misuses(is_agreed) {
            let mut peer = DeflateClient::open(&server, "/echo", offer);
            assert_eq!(!peer.agreed.is_empty(), is_agreed);
            peer.send(TEXT, b"in order");
            assert_eq!(peer.receive().2, b"in order", "{name}");
            peer.raw.send(&[&before[..], &[first]].concat());
            let (frames, end) = peer.raw.drain(PATIENCE);
            let codes: Vec<_> = frames.iter().filter_map(|frame| frame.close_code()).collect();
            assert_eq!((&codes[..], end), (&[1002][..], Event::Finished), "{mode}: {name}");
        }
    }
}

/// Byte by byte and all at once: whole, fragmented with pings between, empty fragments, and plain
/// messages before and behind.
#[test]
fn compressed_messages_may_be_fragmented_and_stand_among_others() {
    for mode in ["shared", "dedicated"] {
        let server = Server::start(&["--compression", mode]);
        let ping = frame::frame(PING, b"?");
        let stream = [
            frame::frame(0xc1, &HELLO),
            frame::text("plain"),
            frame::frame(0x41, &HELLO[..2]),
            ping.clone(),
            frame::frame(0x00, &HELLO[2..5]),
            frame::frame(0x00, b""),
            ping,
            frame::frame(0x80, &HELLO[5..]),
            frame::frame(0x42, b""),
            frame::frame(0x00, &HELLO),
            frame::frame(0x80, b""),
            frame::frame(0xc2, &[0x00]),
            frame::binary(b"plain"),
        ]
        .concat();
        let expected: [(u8, &[u8]); 8] = [
            (TEXT, b"Hello"),
            (TEXT, b"plain"),
            (PONG, b"?"),
            (PONG, b"?"),
            (TEXT, b"Hello"),
            (BINARY, b"Hello"),
            (BINARY, b""),
            (BINARY, b"plain"),
        ];
        for is_dripped in [false, true] {
            let mut peer = DeflateClient::open(&server, "/echo", OFFERED).raw;
            match is_dripped {
                true => peer.send_dripping(&stream),
                false => peer.send(&stream),
            }
            for (first, payload) in expected {
                let frame = peer.frame();
                assert_eq!((frame.first, &frame.payload[..]), (first, payload), "{mode}");
            }
        }
    }
}
