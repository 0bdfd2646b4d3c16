//! permessage-deflate (RFC 7692): what is agreed in the handshake, and messages made smaller and
//! whole again. Not for frames, which the decoder cuts, nor for who owns which state.

mod compressor;
mod inflater;
mod negotiate;

pub(crate) use self::compressor::{Compressor, compressor_memory};
pub(crate) use self::inflater::{INFLATER_MEMORY, Inflater};
pub(crate) use self::negotiate::{Agreed, Terms, negotiate};

/// What a flush ends with, and a message therefore does without (RFC 7692 section 7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// The smallest window that zlib makes raw deflate with: of 8 it silently makes 9.
pub const SMALLEST_WINDOW: u8 = 9;

/// The largest window there is (RFC 1951).
pub const LARGEST_WINDOW: u8 = 15;

/// How many window sizes there are.
pub(crate) const WINDOWS: usize = (LARGEST_WINDOW - SMALLEST_WINDOW) as usize + 1;

/// What a connection has agreed on, in the one byte that its slot has left for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deflation(u8);

impl Deflation {
    const WINDOW: u8 = 0x0f;
    const SENDS_WITH_TAKEOVER: u8 = 0x10;
    const RECEIVES_WITH_TAKEOVER: u8 = 0x20;

    /// Messages may be compressed; ours with a window of `window` bits, which is not 0.
    pub(crate) fn new(window: u8, sends_with_takeover: bool, receives_with_takeover: bool) -> Self {
        let sends = if sends_with_takeover { Self::SENDS_WITH_TAKEOVER } else { 0 };
        let receives = if receives_with_takeover { Self::RECEIVES_WITH_TAKEOVER } else { 0 };
        Deflation(window & Self::WINDOW | sends | receives)
    }

    /// True if messages may be compressed at all.
    #[inline]
    pub fn is_on(self) -> bool {
        self.0 != 0
    }

    /// The window of what we send, in bits.
    pub fn window(self) -> u8 {
        self.0 & Self::WINDOW
    }

    /// What we send refers to what we sent before.
    #[inline]
    pub fn sends_with_takeover(self) -> bool {
        self.0 & Self::SENDS_WITH_TAKEOVER != 0
    }

    /// What the peer sends refers to what it sent before.
    pub fn receives_with_takeover(self) -> bool {
        self.0 & Self::RECEIVES_WITH_TAKEOVER != 0
    }

    /// True if it has a state of its own in either direction.
    pub fn has_context(self) -> bool {
        self.sends_with_takeover() || self.receives_with_takeover()
    }

    /// Bytes that its own states take once both are made.
    pub(crate) fn memory(self) -> usize {
        let sends = if self.sends_with_takeover() { compressor_memory(self.window()) } else { 0 };
        let receives = if self.receives_with_takeover() { INFLATER_MEMORY } else { 0 };
        sends.saturating_add(receives)
    }
}

/// Payload bytes that a compressed message of at most `limit` bytes may take on the wire. What does
/// not compress grows a little: a block that is only stored has five bytes of its own, and the
/// smallest blocks that compressors make are some sixty bytes long.
pub(super) fn room_for(limit: usize) -> usize {
    limit.saturating_add(limit / 8).saturating_add(64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::proto::{Kind, Violation};

    fn compressed(compressor: &mut Compressor, payload: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        compressor.compress(payload, &mut out).map(|length| out[..length].to_vec())
    }

    fn inflated(
        inflater: &mut Inflater,
        kind: Kind,
        payload: &[u8],
        limit: usize,
    ) -> Result<Vec<u8>, Violation> {
        let mut out = Vec::new();
        let length = inflater.inflate(kind, payload, limit, &mut out)?;
        assert!(out.len() <= limit, "{} bytes for a limit of {limit}", out.len());
        Ok(out[..length].to_vec())
    }

    #[test]
    fn the_examples_of_the_rfc_are_read() {
        let mut inflater = Inflater::new();
        let hello = |inflater: &mut Inflater, bytes: &[u8]| {
            String::from_utf8(inflated(inflater, Kind::Text, bytes, 100).unwrap()).unwrap()
        };
        let first = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
        assert_eq!(hello(&mut inflater, &first), "Hello");
        let second = [0xf2, 0x00, 0x11, 0x00, 0x00];
        assert_eq!(hello(&mut inflater, &second), "Hello", "with the first in mind");
        inflater.forget();
        let stored = [0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00];
        assert_eq!(hello(&mut inflater, &stored), "Hello", "without compression");
        let last = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
        assert_eq!(hello(&mut inflater, &last), "Hello", "a block that says it is the last");
        assert_eq!(hello(&mut inflater, &last[..7]), "Hello", "and nothing behind it");
        let two = [0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00];
        assert_eq!(hello(&mut inflater, &two), "Hello", "two blocks");
        assert_eq!(hello(&mut inflater, &[0x00]), "", "nothing");
    }

    #[test]
    fn a_message_is_compressed_only_where_that_makes_it_smaller() {
        let mut compressor = Compressor::new(12, 2);
        let mut noise = fastrand::Rng::with_seed(1);
        let random: Vec<u8> = (0..1000).map(|_| noise.u8(..)).collect();
        for incompressible in [&b""[..], b"a", b"ab", &random] {
            assert_eq!(compressed(&mut compressor, incompressible), None);
        }
        let text = "to be or not to be, that is the question; ".repeat(10);
        let small = compressed(&mut compressor, text.as_bytes()).unwrap();
        assert!(small.len() < text.len());
    }

    /// What it would refer to never reached the peer.
    #[test]
    fn after_a_message_that_stays_as_it_is_nothing_refers_to_it_or_what_was_before() {
        let (mut compressor, mut inflater) = (Compressor::new(15, 6), Inflater::new());
        let mut noise = fastrand::Rng::with_seed(2);
        let mut random: Vec<u8> = (0..2000).map(|_| noise.u8(..)).collect();
        let text = "all work and no play ".repeat(20);
        for _ in 0..3 {
            let small = compressed(&mut compressor, text.as_bytes()).unwrap();
            let back = inflated(&mut inflater, Kind::Text, &small, 1000).unwrap();
            assert_eq!(back, text.as_bytes());
            random.fill_with(|| noise.u8(..));
            assert_eq!(compressed(&mut compressor, &random), None);
            let both = [&random[..1000], &random[..1000]].concat();
            let small = compressed(&mut compressor, &both).unwrap();
            assert_eq!(inflated(&mut inflater, Kind::Binary, &small, 2000).unwrap(), both);
        }
    }

    #[test]
    fn with_takeover_the_same_again_costs_next_to_nothing() {
        let mut compressor = Compressor::new(12, 2);
        let mut noise = fastrand::Rng::with_seed(3);
        let text: String = (0..500).map(|_| noise.alphanumeric()).collect();
        let first = compressed(&mut compressor, text.as_bytes()).unwrap();
        let second = compressed(&mut compressor, text.as_bytes()).unwrap();
        assert!(second.len() * 10 < first.len(), "{} after {}", second.len(), first.len());
        compressor.forget();
        assert_eq!(compressed(&mut compressor, text.as_bytes()).unwrap(), first);
    }

    #[test]
    fn a_bomb_is_too_big_and_never_expanded_past_the_limit() {
        let mut compressor = Compressor::new(15, 9);
        let bomb = compressed(&mut compressor, &vec![0; 10 << 20]).unwrap();
        assert!(bomb.len() * 900 < 10 << 20, "{} bytes", bomb.len());
        for limit in [1, 1000, 16 * 1024, 1 << 20, (10 << 20) - 1] {
            // The helper asserts that the buffer stays within the limit.
            let outcome = inflated(&mut Inflater::new(), Kind::Binary, &bomb, limit);
            assert_eq!(outcome, Err(Violation::TooBig), "{limit}");
        }
        let whole = inflated(&mut Inflater::new(), Kind::Binary, &bomb, 10 << 20).unwrap();
        assert_eq!(whole.len(), 10 << 20);
    }

    #[test]
    fn what_is_no_deflate_stream_is_refused() {
        for bad in [&[0xff; 4][..], &[0x06, 0x00], &[0x01, 0x05, 0x00, 0x00, 0x00]] {
            let outcome = inflated(&mut Inflater::new(), Kind::Binary, bad, 1000);
            assert_eq!(outcome, Err(Violation::Deflate), "{bad:x?}");
        }
        // A reference to what was before the first byte.
        let far = [0xf2, 0x00, 0x11, 0x00, 0x00];
        let outcome = inflated(&mut Inflater::new(), Kind::Binary, &far, 1000);
        assert_eq!(outcome, Err(Violation::Deflate));
    }

    #[test]
    fn a_message_full_of_ends_is_refused() {
        let ends = |count: usize| [0x03, 0x00].repeat(count);
        let some = inflated(&mut Inflater::new(), Kind::Binary, &ends(10), 10);
        assert_eq!(some, Ok(Vec::new()));
        let many = inflated(&mut Inflater::new(), Kind::Binary, &ends(1000), 10);
        assert_eq!(many, Err(Violation::Deflate));
    }

    #[test]
    fn bad_text_fails_at_its_first_bad_piece_and_a_cut_off_character_at_the_end() {
        let mut compressor = Compressor::new(15, 6);
        let mut check = |bytes: &[u8], limit: usize| {
            compressor.forget();
            let small = compressed(&mut compressor, bytes).unwrap();
            inflated(&mut Inflater::new(), Kind::Text, &small, limit).map(|back| back.len())
        };
        let mut text = "é".repeat(50_000).into_bytes();
        assert_eq!(check(&text, 100_000), Ok(100_000));
        assert_eq!(check(&text[..99_999], 100_000), Err(Violation::Utf8));
        text[7] = 0xff;
        assert_eq!(check(&text, 100_000), Err(Violation::Utf8));
        assert_eq!(check(&text, 20_000), Err(Violation::Utf8), "before it is too big");
    }

    #[test]
    fn a_compressor_takes_what_is_said() {
        for window in SMALLEST_WINDOW..=LARGEST_WINDOW {
            let said = compressor_memory(window);
            assert!((140_000..=400_000).contains(&said), "{window}: {said}");
        }
        assert!(compressor_memory(12) < 175_000);
    }

    /// Words, so that there is something to refer to, and noise.
    fn payload() -> impl Strategy<Value = Vec<u8>> {
        let words =
            prop::collection::vec("[a-d]{1,6}", 0..400).prop_map(|w| w.concat().into_bytes());
        let runs = (any::<u8>(), 0..70_000_usize).prop_map(|(byte, n)| vec![byte; n]);
        prop_oneof![words, runs, prop::collection::vec(any::<u8>(), 0..3000)]
    }

    proptest! {
        #[test]
        fn what_is_compressed_is_inflated_to_the_same(
            window in SMALLEST_WINDOW..=LARGEST_WINDOW,
            level in 1..=9_u8,
            takeover in any::<bool>(),
            messages in prop::collection::vec(payload(), 1..8),
        ) {
            let (mut compressor, mut inflater) = (Compressor::new(window, level), Inflater::new());
            let (mut small, mut back) = (Vec::new(), Vec::new());
            for message in messages {
                if !takeover {
                    compressor.forget();
                    inflater.forget();
                }
                let Some(length) = compressor.compress(&message, &mut small) else { continue };
                prop_assert!(length < message.len());
                let bytes = &small[..length];
                let length = inflater.inflate(Kind::Binary, bytes, message.len(), &mut back);
                prop_assert_eq!(length, Ok(message.len()));
                prop_assert_eq!(&back[..message.len()], &message[..]);
            }
        }

        /// The client's side is another implementation's interface, with another way to flush.
        #[test]
        fn what_others_compress_is_inflated(
            messages in prop::collection::vec(payload(), 1..5),
            limit in 0..80_000_usize,
            full in any::<bool>(),
        ) {
            use flate2::{Compress, Compression, FlushCompress};
            let flush = if full { FlushCompress::Full } else { FlushCompress::Sync };
            let mut client = Compress::new(Compression::new(6), false);
            let mut inflater = Inflater::new();
            for message in messages {
                let mut bytes = Vec::with_capacity(message.len() + 100);
                client.compress_vec(&message, &mut bytes, flush).unwrap();
                // Of nothing after nothing zlib makes nothing at all.
                if bytes.is_empty() {
                    bytes.extend_from_slice(&[0, 0, 0, 0xff, 0xff]);
                }
                prop_assert!(bytes.ends_with(&TAIL));
                bytes.truncate(bytes.len() - TAIL.len());
                match inflated(&mut inflater, Kind::Binary, &bytes, limit) {
                    Ok(back) => prop_assert!(back == message && back.len() <= limit),
                    Err(violation) => {
                        prop_assert_eq!(violation, Violation::TooBig);
                        prop_assert!(message.len() > limit);
                        break;
                    }
                }
            }
        }

        #[test]
        fn no_bytes_make_the_inflater_panic_or_pass_its_limit(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..5),
            limit in 0..5000_usize,
            is_text in any::<bool>(),
        ) {
            let kind = if is_text { Kind::Text } else { Kind::Binary };
            let mut inflater = Inflater::new();
            for message in messages {
                let _ = inflated(&mut inflater, kind, &message, limit);
            }
        }
    }
}
