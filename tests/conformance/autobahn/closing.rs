//! Group 7: close frames, what may stand in them, and what may stand behind them.
//! Not for how TCP ends; every case sees that too.

use crate::case::Case;
use crate::harness::frame::{CLOSE, PING, TEXT};

const NORMAL: [u8; 2] = [0x03, 0xe8];

/// The cases of group 7.
pub fn cases() -> Vec<Case> {
    let mut cases = after_a_close();
    cases.extend(contents());
    let codes = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999];
    for (n, code) in codes.into_iter().enumerate() {
        cases.push(case("7.7", n + 1, "7.4").closes_with(&payload(code, b"")));
    }
    for (n, code) in [0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999].into_iter().enumerate() {
        cases.push(case("7.9", n + 1, "7.4.1").frame(CLOSE, &payload(code, b"")).fails(1002));
    }
    // Section 7.4.2 has no range for them, so nobody can have been given them.
    for (n, code) in [5000, 65_535].into_iter().enumerate() {
        cases.push(case("7.13", n + 1, "7.4.2").frame(CLOSE, &payload(code, b"")).fails(1002));
    }
    cases
}

fn case(group: &str, n: usize, section: &'static str) -> Case {
    Case::new(format!("{group}.{n}"), section)
}

fn payload(code: u16, reason: &[u8]) -> Vec<u8> {
    [&code.to_be_bytes()[..], reason].concat()
}

/// What stands before a close frame is answered, what stands behind it is not looked at.
fn after_a_close() -> Vec<Case> {
    let case = |n: usize| case("7.1", n, "5.5.1");
    let large = b"BAsd7&jh23".iter().copied().cycle().take(256 << 10).collect::<Vec<u8>>();
    vec![
        case(1).text("Hello World!").closes(),
        case(2).closes().frame(CLOSE, b""),
        case(3).closes().frame(PING, b""),
        case(4).closes().frame(TEXT, b"Hello World!"),
        case(5).frame(0x01, b"fragment1").closes().frame(0x80, b"fragment2"),
        case(6)
            .frame(TEXT, &large)
            .reply(TEXT, &large)
            .text("Hello World!")
            .closes()
            .frame(PING, b""),
    ]
}

/// No code, half a code, reasons of any length and of none that is UTF-8.
fn contents() -> Vec<Case> {
    let case = |n: usize| case("7.3", n, "5.5.1");
    let surrogate = [&b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5"[..], b"\xed\xa0\x80edited"];
    vec![
        case(1).closes_with(b""),
        case(2).frame(CLOSE, b"a").fails(1002),
        case(3).closes_with(&NORMAL),
        case(4).closes_with(&payload(1000, b"Hello World!")),
        case(5).closes_with(&payload(1000, &[b'*'; 123])),
        Case::new("7.3.6", "5.5").frame(CLOSE, &payload(1000, &[b'*'; 124])).fails(1002),
        Case::new("7.5.1", "8.1").frame(CLOSE, &payload(1000, &surrogate.concat())).fails(1007),
    ]
}
