//! Groups 1 to 4: whole messages, pings and pongs, reserved bits, reserved opcodes.
//! Not for fragments.

use crate::case::Case;
use crate::harness::frame::{BINARY, PING, PONG, TEXT};

/// Not UTF-8 in any place.
const BINARY_PAYLOAD: &[u8] = b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff";

const HELLO: &[u8] = b"Hello, world!";

/// The cases of the four groups.
pub fn cases() -> Vec<Case> {
    let mut cases = messages();
    cases.extend(pings());
    cases.extend(reserved_bits());
    cases.extend(reserved_opcodes());
    cases
}

/// The sizes at which the length's form changes; the last comes in chops (sections 5.2, 5.6).
fn messages() -> Vec<Case> {
    let mut cases = Vec::new();
    for (group, first, byte) in [("1.1", TEXT, b'*'), ("1.2", BINARY, 0xfe)] {
        for (n, length) in [0, 125, 126, 127, 128, 65_535, 65_536, 65_536].into_iter().enumerate() {
            let payload = vec![byte; length];
            let case = Case::new(format!("{group}.{}", n + 1), "5.6");
            let case = case.frame(first, &payload).reply(first, &payload).closes();
            cases.push(if n == 7 { case.chopped(997) } else { case });
        }
    }
    cases
}

/// Each ping is answered with its own payload, and a pong with nothing (sections 5.5.2, 5.5.3).
fn pings() -> Vec<Case> {
    let case = |n: usize| Case::new(format!("2.{n}"), "5.5.2");
    let ten = |mut case: Case| {
        for n in 0..10 {
            case = case.ping(format!("payload-{n}").as_bytes());
        }
        case.closes()
    };
    let unsolicited = b"unsolicited pong payload";
    vec![
        case(1).ping(b"").closes(),
        case(2).ping(HELLO).closes(),
        case(3).ping(BINARY_PAYLOAD).closes(),
        case(4).ping(&[0xfe; 125]).closes(),
        Case::new("2.5", "5.5").frame(PING, &[0xfe; 126]).fails(1002),
        case(6).ping(&[0xfe; 125]).closes().chopped(1),
        Case::new("2.7", "5.5.3").frame(PONG, b"").closes(),
        Case::new("2.8", "5.5.3").frame(PONG, unsolicited).closes(),
        Case::new("2.9", "5.5.3").frame(PONG, unsolicited).ping(b"ping payload").closes(),
        ten(case(10)),
        ten(case(11)).chopped(1),
    ]
}

/// No extension was negotiated, so that each of the three bits must be 0 (section 5.2).
fn reserved_bits() -> Vec<Case> {
    let case = |n: u8| Case::new(format!("3.{n}"), "5.2");
    let first = |opcode: u8, bits: u8| opcode | bits << 4;
    let between = |n: u8| {
        let hello = case(n).text("Hello, world!");
        hello.frame(first(TEXT, n), HELLO).frame(PING, b"").fails(1002)
    };
    vec![
        case(1).frame(first(TEXT, 1), HELLO).fails(1002),
        between(2),
        between(3),
        between(4).chopped(1),
        case(5).frame(first(BINARY, 5), BINARY_PAYLOAD).fails(1002),
        case(6).frame(first(BINARY, 6), HELLO).fails(1002),
        case(7).frame(first(0x88, 7), b"").fails(1002),
    ]
}

/// Opcodes 3 to 7 and 11 to 15 mean nothing (section 5.2).
fn reserved_opcodes() -> Vec<Case> {
    let mut cases = Vec::new();
    for (group, base) in [("4.1", 2), ("4.2", 10)] {
        let case = |n: u8| Case::new(format!("{group}.{n}"), "5.2");
        let reserved = |n: u8| 0x80 | (base + n);
        let between = |n: u8, payload: &[u8]| {
            let hello = case(n).text("Hello, world!");
            hello.frame(reserved(n), payload).frame(PING, b"").fails(1002)
        };
        cases.push(case(1).frame(reserved(1), b"").fails(1002));
        cases.push(case(2).frame(reserved(2), b"reserved opcode payload").fails(1002));
        cases.push(between(3, b""));
        cases.push(between(4, HELLO));
        cases.push(between(5, HELLO).chopped(1));
    }
    cases
}
