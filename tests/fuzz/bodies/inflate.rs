//! Compressed messages: what the server itself made smaller comes back, noise and slips are refused or
//! read as something, and none of it is expanded past the limit.
//! Not how they are cut into frames, and not whether a compressor may be used at all.

use pulsewheel::Kind;
use pulsewheel::bench::Streams;
use pulsewheel::proto::Violation;

use super::script::Script;

/// The script: a window, a level, whether contexts are kept, a limit; then messages, each noise or
/// compressed, and some of the latter with a slip.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let window = 9 + script.byte() % 7;
    let level = 1 + script.byte() % 9;
    let takeover = script.byte() & 1 != 0;
    let limit = usize::from(script.byte()) * usize::from(script.byte());
    let mut streams = Streams::new(window, level, takeover);
    // Once a stream has been spoiled, what follows on it means nothing.
    let mut is_whole = true;
    while !script.is_over() {
        let how = script.byte();
        let kind = if how & 1 == 0 { Kind::Text } else { Kind::Binary };
        let length = usize::from(script.byte());
        let payload = script.slice(length).to_vec();
        let times = usize::from(script.byte() % 64) + 1;
        let (bytes, message) = match how & 2 {
            0 => (payload, None),
            _ => {
                let message = payload.repeat(times);
                let Some(small) = streams.compress(&message) else { continue };
                (small.to_vec(), Some(message))
            }
        };
        let mut bytes = bytes;
        let is_slipped = how & 4 != 0 && !bytes.is_empty();
        if is_slipped {
            let at = usize::from(script.byte()) % bytes.len();
            bytes[at] ^= script.byte() | 1;
        }
        let outcome = streams.inflate(kind, &bytes, limit).map(<[u8]>::to_vec);
        if let Ok(back) = &outcome {
            assert!(back.len() <= limit, "{} bytes for {limit}", back.len());
            assert!(kind == Kind::Binary || std::str::from_utf8(back).is_ok());
        }
        assert!(streams.room() <= limit, "room for {} bytes where {limit} may be", streams.room());
        match message.filter(|_| is_whole && !is_slipped) {
            Some(message) => check(kind, &message, limit, &outcome),
            None => is_whole &= !takeover,
        }
        is_whole &= outcome.is_ok() || !takeover;
    }
}

/// What must come of a message that was compressed and not spoiled.
fn check(kind: Kind, message: &[u8], limit: usize, outcome: &Result<Vec<u8>, Violation>) {
    let is_good = kind == Kind::Binary || std::str::from_utf8(message).is_ok();
    match outcome {
        Ok(back) => assert!(back == message && is_good && message.len() <= limit),
        Err(Violation::TooBig) => assert!(message.len() > limit),
        Err(Violation::Utf8) => assert!(!is_good),
        Err(other) => panic!("{other:?} for what was compressed here"),
    }
}
