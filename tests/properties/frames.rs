//! Streams of frames for the connection core: well formed, with one slip, and noise.
//! Not what must come of them: `bodies::frames` says that.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::bodies;

/// What stands before the stream: limit, raw or drawn up, settings, steps.
fn circumstances() -> impl Strategy<Value = Vec<u8>> {
    (any::<u8>(), any::<[u8; 2]>(), vec(any::<[u8; 2]>(), 0..64)).prop_map(
        |(limit, settings, steps)| {
            let mut script = vec![limit, 0, settings[0], settings[1], steps.len() as u8];
            script.extend(steps.into_iter().flatten());
            script
        },
    )
}

/// A frame as a client sends it.
fn frame(first: u8, mask: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        short @ 0..126 => frame.push(0x80 | short as u8),
        long => frame.extend([0xfe, (long >> 8) as u8, long as u8]),
    }
    frame.extend(mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// Text whose characters are of every length, cut anywhere if it is to be a fragment.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "[a-zé€\u{10000}]{0,60}".prop_map(String::into_bytes),
        vec(any::<u8>(), 0..300),
        Just(Vec::new()),
    ]
}

/// The frames of one message: its fragments with controls between them.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let controls = prop_oneof![Just(0x89u8), Just(0x8a)];
    (any::<bool>(), payload(), vec(any::<prop::sample::Index>(), 0..4), controls, any::<[u8; 4]>())
        .prop_map(|(is_text, payload, cuts, control, mask)| {
            let mut cuts: Vec<usize> =
                cuts.iter().map(|cut| cut.index(payload.len() + 1)).collect();
            cuts.sort_unstable();
            let mut stream = Vec::new();
            let (mut from, mut opcode) = (0, if is_text { 1 } else { 2 });
            for cut in cuts {
                stream.extend(frame(opcode, mask, &payload[from..cut]));
                stream.extend(frame(control, mask, b"between"));
                (from, opcode) = (cut, 0);
            }
            stream.extend(frame(0x80 | opcode, mask, &payload[from..]));
            stream
        })
}

fn close() -> impl Strategy<Value = Vec<u8>> {
    let code = prop_oneof![Just(1000u16), 990..1020u16, 2990..5010u16];
    (code, "[a-zé]{0,30}", any::<[u8; 4]>()).prop_map(|(code, reason, mask)| {
        frame(0x88, mask, &[&code.to_be_bytes()[..], reason.as_bytes()].concat())
    })
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    (vec(message(), 0..6), prop_oneof![Just(Vec::new()), close()])
        .prop_map(|(messages, close)| [messages.concat(), close].concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn good_streams_mean_the_same_however_they_arrive(
        mut script in circumstances(), stream in stream(),
    ) {
        script.extend(stream);
        bodies::frames::run(&script);
    }

    #[test]
    fn a_slip_in_a_stream_is_the_same_violation_however_it_arrives(
        mut script in circumstances(),
        mut stream in stream(),
        slips in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        end in any::<prop::sample::Index>(),
    ) {
        for (at, byte) in slips {
            if !stream.is_empty() {
                let at = at.index(stream.len());
                stream[at] = byte;
            }
        }
        stream.truncate(end.index(stream.len() + 1).max(stream.len() / 2));
        script.extend(stream);
        bodies::frames::run(&script);
    }

    #[test]
    fn drawn_up_frames_mean_the_same_however_they_arrive(
        mut script in circumstances(), frames in vec(any::<u8>(), 0..300),
    ) {
        script[1] = 1;
        script.extend(frames);
        bodies::frames::run(&script);
    }

    #[test]
    fn noise_means_the_same_however_it_arrives(noise in vec(any::<u8>(), 0..500)) {
        bodies::frames::run(&noise);
    }
}
