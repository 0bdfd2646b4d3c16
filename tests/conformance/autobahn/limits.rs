//! Groups 9 and 10: large messages, in fragments and chops of many sizes; a thousand round trips.
//! Not for timing: nothing is measured.

use crate::case::Case;
use crate::harness::frame::{self, BINARY, TEXT};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Bytes in a pattern whose length has nothing in common with any buffer's.
fn payload(first: u8, length: usize) -> Vec<u8> {
    let pattern: &[u8] =
        if first == TEXT { b"BAsd7&jh23?" } else { b"\x00\xfe\x23\xfa\xf0\x91\x0a" };
    pattern.iter().copied().cycle().take(length).collect()
}

/// The cases of group 9.
pub fn cases() -> Vec<Case> {
    large().chain(chopped()).chain(round_trips()).collect()
}

/// One message each, whole or in fragments: made when it is its turn, since it is large.
pub fn large() -> impl Iterator<Item = Case> {
    let sizes = [64 * KIB, 256 * KIB, MIB, 4 * MIB, 8 * MIB, 16 * MIB];
    let whole = [("9.1", TEXT), ("9.2", BINARY)].into_iter().flat_map(move |(group, first)| {
        sizes.into_iter().enumerate().map(move |(n, length)| {
            let payload = payload(first, length);
            let case = Case::new(format!("{group}.{}", n + 1), "5.6");
            case.frame(first, &payload).reply(first, &payload).closes()
        })
    });
    let pieces = [64, 256, KIB, 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, MIB, 4 * MIB]
        .into_iter()
        .enumerate();
    let fragmented =
        [("9.3", TEXT), ("9.4", BINARY)].into_iter().flat_map(move |(group, first)| {
            let numbered = move |(n, size)| {
                in_pieces(Case::new(format!("{group}.{}", n + 1), "5.4"), first, 4 * MIB, size)
            };
            pieces.clone().map(numbered)
        });
    whole.chain(fragmented)
}

/// A message of so many bytes in fragments of `size`, sent in one go, and its echo.
fn in_pieces(case: Case, first: u8, length: usize, size: usize) -> Case {
    let payload = payload(first, length);
    let count = length.div_ceil(size);
    let mut sent = Vec::new();
    for (n, piece) in payload.chunks(size).enumerate() {
        let fin = if n + 1 == count { 0x80 } else { 0 };
        let opcode = if n == 0 { first & 0x0f } else { 0 };
        sent.extend(frame::frame(fin | opcode, piece));
    }
    case.send(sent).reply(first, &payload).closes()
}

/// A message of 1 MiB that arrives in small writes.
pub fn chopped() -> Vec<Case> {
    let mut cases = Vec::new();
    for (group, first) in [("9.5", TEXT), ("9.6", BINARY)] {
        for (n, chop) in [64, 128, 256, 512, 1024, 2048].into_iter().enumerate() {
            let payload = payload(first, MIB);
            let case = Case::new(format!("{group}.{}", n + 1), "5.2").chopped(chop);
            cases.push(case.frame(first, &payload).reply(first, &payload).closes());
        }
    }
    cases
}

/// A thousand messages, each sent when the one before has come back.
pub fn round_trips() -> Vec<Case> {
    let mut cases = Vec::new();
    for (group, first) in [("9.7", TEXT), ("9.8", BINARY)] {
        for (n, length) in [0, 16, 64, 256, 1024, 4096].into_iter().enumerate() {
            let payload = payload(first, length);
            let mut case = Case::new(format!("{group}.{}", n + 1), "5.6");
            for _ in 0..1000 {
                case = case.frame(first, &payload).reply(first, &payload).wait();
            }
            cases.push(case.closes());
        }
    }
    cases
}

/// Case 10.1.1: a message of 64 KiB in fragments of 1,300 bytes.
pub fn auto_fragmented() -> Case {
    in_pieces(Case::new("10.1.1", "5.4"), TEXT, 64 * KIB, 1300)
}
