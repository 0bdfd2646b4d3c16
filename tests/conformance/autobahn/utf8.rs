//! Group 6: text that is UTF-8 and text that is not, whole, in fragments and in pieces.
//! Not for where exactly bad text fails; the differential test finds that byte by byte.
//!
//! From 6.5 on the sequences follow the chapters of Markus Kuhn's UTF-8 stress test.

use crate::case::Case;
use crate::harness::frame::{self, TEXT};

/// The Greek word kosme, 11 bytes, with characters of two and three.
const KOSME: &[u8] = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5";

/// Letters of two bytes between letters of one.
const GREETING: &str = "Hello-µ@ßöäüàá-UTF-8!!";

/// A place between two of its characters.
const HALF: usize = 15;

/// [`KOSME`], then a character beyond Unicode whose second byte shows it, then ASCII.
const BEYOND: &[u8] = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4\x90\x80\x80edited";

/// The cases of group 6.
pub fn cases() -> Vec<Case> {
    let mut cases = fragmented();
    cases.extend(fail_fast());
    for (group, is_good, sequences) in sequences() {
        for (n, sequence) in sequences.into_iter().enumerate() {
            // In 6.6 and 6.11 good and bad ones stand side by side.
            let is_good = match (group, n + 1) {
                (6, length) => [2, 5, 7, 9, 11].contains(&length),
                (11, 5) => false,
                _ => is_good,
            };
            let case = Case::new(format!("6.{group}.{}", n + 1), "8.1").frame(TEXT, &sequence);
            cases.push(match is_good {
                true => case.reply(TEXT, &sequence).closes(),
                false => case.fails(1007),
            });
        }
    }
    cases
}

/// 6.1 to 6.3: empty fragments, and fragments that end within a character.
fn fragmented() -> Vec<Case> {
    let case = |group: u8, n: u8| Case::new(format!("6.{group}.{n}"), "5.6");
    let bytes = |text: &'static [u8]| text.chunks(1).collect::<Vec<_>>();
    let surrogate = [KOSME, b"\xed\xa0\x80edited"].concat();
    let mut in_bytes = case(3, 2);
    for (n, byte) in surrogate.iter().enumerate() {
        let fin = if n + 1 == surrogate.len() { 0x80 } else { 0 };
        in_bytes = in_bytes.frame(fin | u8::from(n == 0), &[*byte]);
    }
    let (first, second) = GREETING.as_bytes().split_at(HALF);
    vec![
        case(1, 1).text("").closes(),
        case(1, 2).fragments(TEXT, &[b"", b"", b""]).closes(),
        case(1, 3).fragments(TEXT, &[b"", b"middle frame payload", b""]).closes(),
        case(2, 1).text(GREETING).closes(),
        case(2, 2).fragments(TEXT, &[first, second]).closes(),
        case(2, 3).fragments(TEXT, &bytes(GREETING.as_bytes())).closes(),
        case(2, 4).fragments(TEXT, &bytes(KOSME)).closes(),
        case(3, 1).frame(TEXT, &surrogate).fails(1007),
        in_bytes.fails(1007),
    ]
}

/// 6.4: the connection fails although the rest of the message never comes.
fn fail_fast() -> Vec<Case> {
    let case = |n: u8| Case::new(format!("6.4.{n}"), "8.1");
    let fragment = |n: u8, first: &[u8], second: &[u8]| {
        case(n).frame(0x01, first).ping(b"still open").wait().frame(0x00, second).fails(1007)
    };
    let piece = |n: u8, first: usize, second: usize| {
        let masked = frame::masked(BEYOND);
        let header = frame::header(TEXT, BEYOND.len() as u64);
        let begun = case(n).send([&header[..], &masked[..first]].concat()).wait();
        begun.send(masked[first..second].to_vec()).fails(1007)
    };
    vec![
        fragment(1, KOSME, &BEYOND[11..15]),
        fragment(2, &BEYOND[..12], &BEYOND[12..13]),
        piece(3, 11, 15),
        piece(4, 12, 13),
    ]
}

/// The groups from 6.5 on: whether their texts are good, and the texts.
fn sequences() -> Vec<(u8, bool, Vec<Vec<u8>>)> {
    let rows = |rows: &[&[u8]]| rows.iter().map(|row| row.to_vec()).collect::<Vec<_>>();
    let greetings: [&[u8]; 5] = [
        b"hello$world",
        b"hello\xc2\xa2world",
        b"hello\xe2\x82\xacworld",
        b"hello\xf0\xa4\xad\xa2world",
        KOSME,
    ];
    let mut groups = vec![
        (5, true, rows(&greetings)),
        (6, true, (1..=KOSME.len()).map(|length| KOSME[..length].to_vec()).collect()),
        (7, true, rows(&[b"\x00", b"\xc2\x80", b"\xe0\xa0\x80", b"\xf0\x90\x80\x80"])),
        (8, false, rows(&[b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80"])),
        (9, true, rows(&[b"\x7f", b"\xdf\xbf", b"\xef\xbf\xbf", b"\xf4\x8f\xbf\xbf"])),
        (10, false, rows(&[b"\xf7\xbf\xbf\xbf", b"\xfb\xbf\xbf\xbf\xbf", LAST_OF_SIX])),
        (11, true, rows(&AROUND_BORDERS)),
        (12, false, continuations()),
        (13, false, lonely_starts()),
        (14, false, rows(&CUT)),
        (15, false, vec![CUT.concat()]),
        (16, false, rows(&[b"\xfe", b"\xff", b"\xfe\xfe\xff\xff"])),
    ];
    groups.extend(overlong());
    groups.push((20, false, SURROGATES.iter().map(|one| one.to_vec()).collect()));
    let pairs = [(0, 4), (0, 6), (1, 4), (1, 6), (2, 4), (2, 6), (3, 4), (3, 6)];
    let pair = |(high, low): (usize, usize)| [SURROGATES[high], SURROGATES[low]].concat();
    groups.push((21, false, pairs.into_iter().map(pair).collect()));
    groups.push((22, true, noncharacters()));
    let specials = (0xb9..=0xbf).map(|last| vec![0xef, 0xbf, last]);
    groups.push((23, true, specials.collect()));
    groups
}

const LAST_OF_SIX: &[u8] = b"\xfd\xbf\xbf\xbf\xbf\xbf";

/// Before and behind the surrogates, the replacement character, the end of Unicode and beyond.
const AROUND_BORDERS: [&[u8]; 5] =
    [b"\xed\x9f\xbf", b"\xee\x80\x80", b"\xef\xbf\xbd", b"\xf4\x8f\xbf\xbf", b"\xf4\x90\x80\x80"];

/// The last byte of each is missing.
const CUT: [&[u8]; 10] = [
    b"\xc0",
    b"\xe0\x80",
    b"\xf0\x80\x80",
    b"\xf8\x80\x80\x80",
    b"\xfc\x80\x80\x80\x80",
    b"\xdf",
    b"\xef\xbf",
    b"\xf7\xbf\xbf",
    b"\xfb\xbf\xbf\xbf",
    b"\xfd\xbf\xbf\xbf\xbf",
];

/// Halves of UTF-16 pairs: the first four are high ones.
const SURROGATES: [&[u8]; 7] = [
    b"\xed\xa0\x80",
    b"\xed\xad\xbf",
    b"\xed\xae\x80",
    b"\xed\xaf\xbf",
    b"\xed\xb0\x80",
    b"\xed\xbe\x80",
    b"\xed\xbf\xbf",
];

/// Continuation bytes without a start: one, several, one after the other.
fn continuations() -> Vec<Vec<u8>> {
    let mut rows = vec![vec![0x80], vec![0xbf]];
    for length in 2..=6 {
        rows.push([0x80, 0xbf].into_iter().cycle().take(length).collect());
    }
    rows.push((0x80..0xbf).collect());
    rows
}

/// Start bytes of sequences of two to six bytes, each with a space behind it.
fn lonely_starts() -> Vec<Vec<u8>> {
    let ranges = [0xc0..0xdf, 0xe0..0xef, 0xf0..0xf7, 0xf8..0xfb, 0xfc..0xfd_u8];
    ranges.into_iter().map(|range| range.flat_map(|start| [start, b' ']).collect()).collect()
}

/// 6.17 to 6.19: a slash, the largest characters of the next shorter form, and NUL, written with two
/// to six bytes.
fn overlong() -> Vec<(u8, bool, Vec<Vec<u8>>)> {
    let starts: [&[u8]; 5] = [b"\xc0", b"\xe0\x80", b"\xf0\x80\x80", CUT[3], CUT[4]];
    let ending = |last: u8| starts.iter().map(|start| [start, &[last][..]].concat()).collect();
    let largest: [&[u8]; 5] = [
        b"\xc1\xbf",
        b"\xe0\x9f\xbf",
        b"\xf0\x8f\xbf\xbf",
        b"\xf8\x87\xbf\xbf\xbf",
        b"\xfc\x83\xbf\xbf\xbf\xbf",
    ];
    let largest = largest.iter().map(|row| row.to_vec()).collect();
    vec![(17, false, ending(0xaf)), (18, false, largest), (19, false, ending(0x80))]
}

/// U+FFFE and U+FFFF, and the last two of each of the sixteen planes behind: legal in UTF-8.
fn noncharacters() -> Vec<Vec<u8>> {
    let planes = (0..=16_u32).flat_map(|plane| [plane << 16 | 0xfffe, plane << 16 | 0xffff]);
    let encode = |scalar| char::from_u32(scalar).expect("a scalar value").to_string().into_bytes();
    planes.map(encode).collect()
}
