//! What Autobahn does not ask, from the RFC's sentences: legal streams and the bytes that break
//! each rule, where nothing is sent behind the byte that shows it.
//! Not for handshakes and the ends of TCP.

use crate::case::{Case, Cut};
use crate::harness::frame::{self, BINARY, CLOSE, PING, PONG, TEXT};
use crate::wire::Stage;

const LIMIT: usize = 1 << 20;

fn case(name: impl Into<String>, section: &'static str) -> Case {
    Case::new(name, section)
}

/// A case that has been served a message, a fragmented one and a ping before something goes wrong:
/// all three are answered, however much arrives at once.
fn served(name: impl Into<String>, section: &'static str) -> Case {
    let case = case(name, section).text("in order").ping(b"?");
    case.fragments(BINARY, &[b"as ", b"well"])
}

fn close_payload(code: u16, reason: &[u8]) -> Vec<u8> {
    [&code.to_be_bytes()[..], reason].concat()
}

/// The RFC's own examples, byte for byte, masked where it shows them unmasked (section 5.7).
fn examples() -> Vec<Case> {
    let hello = vec![0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    let pong = vec![0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    vec![
        case("a single-frame masked text message", "5.7").send(hello).reply(TEXT, b"Hello"),
        case("a fragmented text message", "5.7").fragments(TEXT, &[b"Hel", b"lo"]),
        case("a masked pong", "5.7").send(pong),
        case("256 bytes of binary in a single frame", "5.7").binary(&[7; 256]),
        case("64 KiB of binary in a single frame", "5.7").binary(&[7; 65_536]),
    ]
}

/// Messages and controls that are legal and unusual.
fn legal() -> Vec<Case> {
    let mut cases = examples();
    for mask in [[0; 4], [0xff; 4], [0, 0, 0, 1]] {
        let masked = b"masked".iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key);
        let sent = [&[0x81, 0x86][..], &mask, &masked.collect::<Vec<u8>>()].concat();
        let name = format!("the masking key {mask:02x?}");
        cases.push(case(name, "5.3").send(sent).reply(TEXT, b"masked"));
    }
    for length in [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 65] {
        let payload: Vec<u8> = (0..length).map(|n| n * 3).collect();
        cases.push(case(format!("{length} bytes to unmask"), "5.3").binary(&payload));
    }
    for length in [126, 65_535, 65_536, 65_537, LIMIT] {
        cases.push(case(format!("{length} bytes"), "5.2").binary(&vec![0xa5; length]));
    }
    let controls = |case: Case| {
        case.ping(b"ping").frame(PONG, b"pong").ping(&[0; 125]).frame(PONG, &[0; 125]).ping(b"")
    };
    let begun = controls(case("controls before, between and behind fragments", "5.4"));
    let more = controls(controls(begun.frame(0x01, b"a")).frame(0x00, b"b"));
    cases.push(controls(more.frame(0x80, b"c").reply(TEXT, b"abc")));
    cases.push(
        case("binary fragments, empty ones among them", "5.4")
            .fragments(BINARY, &[b"", b"\xff", b"", b"", b"\x00", b""]),
    );
    cases.push(case("many fragments", "5.4").fragments(TEXT, &[&b"x"[..]; 70]));
    cases.push(case("binary that is not UTF-8", "5.6").binary(b"\xc0\x80\xff\xfe"));
    cases.push(case("a ping that is not UTF-8", "5.5.2").ping(b"\xc0\x80\xff\xfe"));
    cases.push(case("messages with lengths of two forms", "6.2").text("first").binary(&[9; 130]));
    cases.push(case("messages of both kinds in turn", "6.2").text("a").binary(b"b").text("c"));
    let text = "κόσμε \u{10ffff} €";
    for cut in 0..=text.len() {
        let (a, b) = text.as_bytes().split_at(cut);
        cases.push(case(format!("text cut at {cut}"), "5.6").fragments(TEXT, &[a, b]));
    }
    cases.into_iter().map(Case::closes).collect()
}

/// Close frames that are answered with what they say.
fn good_closes() -> Vec<Case> {
    let mut cases = Vec::new();
    let codes = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014];
    for code in codes.into_iter().chain([3000, 3999, 4000, 4999]) {
        let payload = close_payload(code, b"bye");
        cases.push(served(format!("close code {code}"), "7.4.1").closes_with(&payload));
    }
    let reason = "€".repeat(41);
    cases.push(
        served("a close reason of 123 bytes", "5.5.1")
            .closes_with(&close_payload(1000, reason.as_bytes())),
    );
    let within = served("a close frame within a message", "5.5.1").frame(0x01, b"unfinished");
    cases.push(within.closes().frame(0x80, b"too late"));
    cases.push(served("garbage behind a close frame", "5.5.1").closes().send(vec![0xff; 100]));
    cases.push(
        served("half a frame behind a close frame", "5.5.1")
            .closes()
            .send(frame::header(TEXT, 1000)),
    );
    cases
}

/// Only the bytes that show the fault are sent, never the rest of the frame.
fn bad_headers() -> Vec<Case> {
    let rows: [(&'static str, &'static str, &[u8]); 19] = [
        ("5.1", "unmasked text", &[0x81, 0x05]),
        ("5.1", "unmasked and empty", &[0x81, 0x00]),
        ("5.1", "an unmasked ping", &[0x89, 0x00]),
        ("5.1", "an unmasked close", &[0x88, 0x00]),
        ("5.1", "an unmasked message with a long length", &[0x82, 0x7f]),
        ("5.5", "a fragmented ping", &[0x09]),
        ("5.5", "a fragmented pong", &[0x0a]),
        ("5.5", "a fragmented close", &[0x08]),
        ("5.5", "a ping of 126 bytes or more", &[0x89, 0xfe]),
        ("5.5", "a close of 126 bytes or more", &[0x88, 0xfe]),
        ("5.5", "a pong of more than 65535 bytes", &[0x8a, 0xff]),
        ("5.5.1", "a close of one byte", &[0x88, 0x81]),
        ("5.2", "125 bytes in the two-byte form", &[0x82, 0xfe, 0, 125]),
        ("5.2", "0 bytes in the two-byte form", &[0x82, 0xfe, 0, 0]),
        ("5.2", "less than 65536 bytes in the eight-byte form", &[0x82, 0xff, 0, 0, 0, 0, 0, 0]),
        ("5.2", "a length with the highest bit", &[0x82, 0xff, 0x80]),
        ("5.2", "a length of 64 ones", &[0x82, 0xff, 0xff]),
        ("5.4", "a continuation of nothing", &[0x80]),
        ("5.4", "an unfinished continuation of nothing", &[0x00]),
    ];
    let mut cases: Vec<Case> = rows
        .into_iter()
        .map(|(section, what, bytes)| served(what, section).send(bytes.to_vec()).fails(1002))
        .collect();
    for bits in 1..8_u8 {
        for opcode in [0x81, 0x82, 0x88, 0x89, 0x8a] {
            let name = format!("reserved bits {bits} of {opcode:02x}");
            cases.push(served(name, "5.2").send(vec![opcode | bits << 4]).fails(1002));
        }
    }
    for opcode in (3..8).chain(11..16) {
        for fin in [0, 0x80] {
            let name = format!("reserved opcode {opcode} with fin {fin:02x}");
            cases.push(served(name, "5.2").send(vec![fin | opcode]).fails(1002));
        }
    }
    for (what, first) in [("text", 0x81), ("binary", 0x82), ("an unfinished text", 0x01)] {
        let begun = served(format!("{what} within a message"), "5.4").frame(0x01, b"first");
        cases.push(begun.send(vec![first]).fails(1002));
    }
    cases
}

/// Whole frames whose content is wrong.
fn bad_contents() -> Vec<Case> {
    let mut cases = Vec::new();
    for code in [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        let payload = close_payload(code, b"");
        let name = format!("close code {code}");
        cases.push(served(name, "7.4").frame(CLOSE, &payload).fails(1002));
        let payload = close_payload(code, b"with a reason");
        let name = format!("close code {code} with a reason");
        cases.push(served(name, "7.4").frame(CLOSE, &payload).fails(1002));
    }
    for reason in [&b"\xff"[..], b"good and \xe2\x82", b"\xed\xa0\x80", b"\xc0\x80"] {
        let payload = close_payload(1000, reason);
        let name = format!("the close reason {reason:02x?}");
        cases.push(served(name, "5.5.1").frame(CLOSE, &payload).fails(1007));
    }
    let header = frame::header(TEXT, 1000);
    let piece = |text: &[u8]| [&header[..], &frame::masked(text)].concat();
    let rows = [
        ("a bad byte in an unfinished frame", piece(b"good so far \xff")),
        ("a surrogate in an unfinished frame", piece(b"good so far \xed\xa0")),
        ("a bad byte in an unfinished fragment", {
            [frame::header(0x01, 1000), frame::masked(b"\xc0")].concat()
        }),
        ("a bad byte in a later fragment", {
            let second = [frame::header(0x80, 100), frame::masked(b"\xfe")].concat();
            [frame::frame(0x01, b"good"), second].concat()
        }),
        ("a bad continuation in the next fragment", {
            [frame::frame(0x01, &[0xe2]), frame::header(0x80, 2), frame::masked(&[0x28])].concat()
        }),
        ("a character cut at the end", frame::frame(TEXT, &[0xe2, 0x82])),
        ("a character cut at the last fragment", {
            [frame::frame(0x01, b"a"), frame::frame(0x80, &[0xe2, 0x82])].concat()
        }),
        ("a character cut before an empty last fragment", {
            [frame::frame(0x01, &[0xe2, 0x82]), frame::frame(0x80, b"")].concat()
        }),
    ];
    let rows = rows.into_iter().map(|(what, bytes)| served(what, "8.1").send(bytes).fails(1007));
    cases.extend(rows);
    cases
}

/// 1009, from as much of the length as can only be too much.
fn too_big() -> Vec<Case> {
    let most = frame::frame(0x02, &vec![1; LIMIT - 10]);
    let second = [&most[..], &frame::header(0x80, 11)[..2]].concat();
    let rows = [
        ("one byte too many", frame::header(BINARY, LIMIT as u64 + 1)[..10].to_vec()),
        ("2^63 - 1 bytes", frame::header(BINARY, (1 << 63) - 1)[..3].to_vec()),
        ("an endless first fragment", frame::header(0x01, 1 << 40)[..5].to_vec()),
        ("a fragment too many", second),
    ];
    rows.into_iter().map(|(what, bytes)| served(what, "7.4.1").send(bytes).fails(1009)).collect()
}

/// Nothing is processed behind a violation, no close frame either (section 7.1.7).
fn behind_a_violation() -> Vec<Case> {
    let more = |case: Case| case.frame(TEXT, b"more").frame(PING, b"?").frame(CLOSE, b"");
    let bad_text = frame::frame(TEXT, b"\xff");
    vec![
        more(served("more behind a reserved opcode", "7.1.7").frame(0x83, b"")).fails(1002),
        more(served("more behind an unmasked frame", "7.1.7").send(vec![0x81, 0])).fails(1002),
        more(served("more behind bad text", "7.1.7").send(bad_text)).fails(1007),
        more(served("a second violation", "7.1.7").frame(0x8f, b"").send(vec![0xff; 9]))
            .fails(1002),
    ]
}

/// In one write, frame by frame, byte by byte, and in two at each place of the last `tail` bytes.
fn play(cases: &[Case], tail: usize) {
    let cuts = |case: &Case| {
        let length = case.length();
        let mut cuts = vec![Cut::Own, Cut::Whole];
        if length <= 2_000 {
            cuts.push(Cut::Bytes);
            cuts.extend((length.saturating_sub(tail).max(1)..length).map(Cut::At));
        }
        cuts
    };
    let plans = cases.iter().flat_map(|case| cuts(case).into_iter().map(|cut| case.plan(cut)));
    Stage::new(LIMIT).play(plans);
}

#[test]
fn legal_streams_are_echoed() {
    play(&legal(), 200);
}

#[test]
fn good_close_frames_are_answered_and_nothing_behind_them() {
    play(&good_closes(), 30);
}

#[test]
fn a_bad_header_is_failed_by_the_byte_that_shows_it() {
    play(&bad_headers(), 12);
}

#[test]
fn bad_close_frames_and_bad_text_are_failed() {
    play(&bad_contents(), 30);
}

#[test]
fn a_message_beyond_the_limit_is_failed_before_its_payload() {
    play(&too_big(), 12);
}

#[test]
fn nothing_is_processed_behind_a_violation() {
    play(&behind_a_violation(), 60);
}
