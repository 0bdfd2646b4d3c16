//! Random streams to the server and to the model of the RFC: both must say the same, at each byte.
//! Not for behaviours with a name; a finding here becomes a case of its own.
//!
//! `CONFORMANCE_STREAMS=100000` judges so many streams instead of the usual number, and
//! `CONFORMANCE_FIRST_SEED=5` begins elsewhere. A failure names its seed.

use crate::case::{judge_failure, shown};
use crate::model::{End, Verdict, judge};
use crate::streams::{Stream, stream};
use crate::wire::{Plan, Round, Stage};
use crate::world::World;

/// Messages of so many bytes are allowed: a stream of them can be judged at each byte.
const MESSAGE_LIMIT: usize = 300;

/// Messages of so many bytes have lengths in all three forms.
const LONG_LIMIT: usize = 70_000;

/// The streams to judge: `usual` of them, or as many as the environment says.
fn streams(usual: u64, limit: usize) -> impl Iterator<Item = Stream> {
    let number = |name| std::env::var(name).ok().map(|text| text.parse().expect("a number"));
    let first: u64 = number("CONFORMANCE_FIRST_SEED").unwrap_or(0);
    let count = number("CONFORMANCE_STREAMS").unwrap_or(usual);
    (first..first + count).map(move |seed| stream(seed, limit))
}

/// Whether `received` is what the verdict asks for.
fn compare(received: &[u8], verdict: &Verdict) -> Result<(), String> {
    let Some(last) = received.strip_prefix(&verdict.replies[..]) else {
        return Err(format!("{} is not {}", shown(received), shown(&verdict.replies)));
    };
    match verdict.end {
        Some(End::Failed(code)) => judge_failure(last, code),
        _ if last.is_empty() => Ok(()),
        end => Err(format!("{} is too much for {end:?}", shown(last))),
    }
}

/// Panics unless the world's server has said what the verdict asks for.
fn check(world: &World, verdict: &Verdict, stream: &Stream, sent: usize) {
    let told = || format!("seed {}, {sent} bytes of {}", stream.seed, shown(&stream.bytes));
    if let Err(why) = compare(&world.received(), verdict) {
        panic!("{why}: {:?} after {}", verdict.end, told());
    }
    assert_eq!(world.is_finished(), verdict.end.is_some(), "the end after {}", told());
}

/// Every prefix is judged: neither side may fail a byte earlier than the other.
#[test]
fn the_reactor_agrees_with_the_model_after_every_byte() {
    let mut world = World::new(MESSAGE_LIMIT);
    for stream in streams(2_000, MESSAGE_LIMIT) {
        world.connect();
        for (n, byte) in stream.bytes.iter().enumerate() {
            world.send(&[*byte]);
            check(&world, &judge(&stream.bytes[..=n], MESSAGE_LIMIT), &stream, n + 1);
        }
        world.finish();
    }
}

#[test]
fn the_reactor_agrees_with_the_model_in_random_pieces() {
    let mut world = World::new(MESSAGE_LIMIT);
    for stream in streams(10_000, MESSAGE_LIMIT) {
        world.connect();
        let mut sent = 0;
        for piece in &stream.pieces {
            world.send(piece);
            sent += piece.len();
            check(&world, &judge(&stream.bytes[..sent], MESSAGE_LIMIT), &stream, sent);
        }
        world.finish();
    }
}

#[test]
fn the_reactor_agrees_with_the_model_on_long_messages() {
    let mut world = World::new(LONG_LIMIT);
    for stream in streams(500, LONG_LIMIT) {
        world.connect();
        for piece in &stream.pieces {
            world.send(piece);
        }
        check(&world, &judge(&stream.bytes, LONG_LIMIT), &stream, stream.bytes.len());
        world.finish();
    }
}

/// The same over sockets; a stream that ends in the middle is shut by its client.
#[test]
fn the_server_agrees_with_the_model_over_sockets() {
    let plan = |stream: Stream| {
        let verdict = judge(&stream.bytes, MESSAGE_LIMIT);
        let write = |write| Round { after: 0, write };
        Plan {
            name: format!("seed {}", stream.seed),
            is_upgraded: true,
            finishes: verdict.end.is_none(),
            rounds: stream.pieces.into_iter().map(write).collect(),
            judge: Box::new(move |received| compare(received, &verdict)),
        }
    };
    Stage::new(MESSAGE_LIMIT).play(streams(1_500, MESSAGE_LIMIT).map(plan));
}

/// Were the streams all of one kind, the comparison would show little.
#[test]
fn the_streams_end_in_every_way() {
    let mut ends: Vec<_> = (0..2_000)
        .map(|seed| judge(&stream(seed, MESSAGE_LIMIT).bytes, MESSAGE_LIMIT))
        .map(|verdict| (verdict.end, !verdict.replies.is_empty()))
        .collect();
    for end in [None, Some(End::Closed), Some(End::Failed(1002))] {
        let count = ends.iter().filter(|(found, replies)| *found == end && *replies).count();
        assert!(count > 200, "{count} of 2000 say something and end with {end:?}");
    }
    ends.retain(|(end, _)| matches!(end, Some(End::Failed(1007 | 1009))));
    assert!(ends.len() > 200, "{} of 2000 fail with 1007 or 1009", ends.len());
}

/// Every first and second byte there can be, outside a message and within one.
#[test]
fn the_reactor_agrees_with_the_model_on_every_two_bytes() {
    let mut world = World::new(MESSAGE_LIMIT);
    for begun in [&[][..], &[0x01, 0x81, 0, 0, 0, 0, b'a']] {
        for two in 0..=u16::MAX {
            let stream = Stream {
                seed: u64::from(two),
                bytes: [begun, &two.to_be_bytes()].concat(),
                pieces: Vec::new(),
            };
            world.connect();
            world.send(&stream.bytes);
            check(&world, &judge(&stream.bytes, MESSAGE_LIMIT), &stream, stream.bytes.len());
            world.finish();
        }
    }
}

/// Every close code there can be.
#[test]
fn the_reactor_agrees_with_the_model_on_every_close_code() {
    let mut world = World::new(MESSAGE_LIMIT);
    for code in 0..=u16::MAX {
        let [a, b] = code.to_be_bytes();
        let bytes = vec![0x88, 0x84, 0, 0, 0, 0, a, b, b'o', b'k'];
        let stream = Stream { seed: u64::from(code), bytes, pieces: Vec::new() };
        world.connect();
        world.send(&stream.bytes);
        check(&world, &judge(&stream.bytes, MESSAGE_LIMIT), &stream, stream.bytes.len());
        world.finish();
    }
}
