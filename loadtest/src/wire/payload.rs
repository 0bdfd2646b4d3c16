//! What the messages say, so that every byte that comes back can be checked without keeping it.
//! Not framing or masking; that is `frame`.
//!
//! A message begins with its stamp in hexadecimal digits: which connection sent it, and its number
//! on that connection. The rest is filler from one shared text, begun at a place that the stamp
//! chooses. A receiver that knows the stamp can thus check any part of the message as it arrives.

use super::frame::Opcode;

/// How many digits a stamp takes; a shorter message carries its low-order digits only.
pub const STAMP_DIGITS: usize = 16;

const SEQUENCE_BITS: u32 = 40;
const SHIFTS: u64 = 64;

/// Names one message of a run: the connection that sent it and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Stamp(u64);

impl Stamp {
    /// The stamp of message `sequence` of connection `connection` (24 and 40 bits are kept).
    pub fn new(connection: u32, sequence: u64) -> Stamp {
        let sequence = sequence & ((1 << SEQUENCE_BITS) - 1);
        Stamp(u64::from(connection) << SEQUENCE_BITS | sequence)
    }

    /// Which connection sent the message.
    pub fn connection(self) -> u32 {
        (self.0 >> SEQUENCE_BITS) as u32
    }

    /// The message's number on its connection, from 0.
    pub fn sequence(self) -> u64 {
        self.0 & ((1 << SEQUENCE_BITS) - 1)
    }

    /// A masking key for this message, different for each; `salt` tells its frames apart.
    pub fn mask_key(self, salt: u64) -> [u8; 4] {
        (scramble(self.0 ^ salt.rotate_left(32)) as u32).to_ne_bytes()
    }

    fn keep_digits(self, digits: usize) -> Stamp {
        if digits >= STAMP_DIGITS { self } else { Stamp(self.0 & ((1 << (4 * digits)) - 1)) }
    }

    fn shift(self) -> usize {
        (self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58) as usize
    }
}

/// Spreads the bits of `x` over the whole word (the finalizer of SplitMix64).
pub fn scramble(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A message was not what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message came back changed, at byte {at}")]
pub struct Changed {
    /// The offset in the message at which it was seen.
    pub at: u64,
}

/// The messages of a run, all of one size and kind.
#[derive(Debug)]
pub struct Payloads {
    kind: Opcode,
    size: usize,
    digits: usize,
    filler: Box<[u8]>,
}

impl Payloads {
    /// Messages of `size` bytes, text or binary, whose filler is drawn from `seed`.
    pub fn new(size: usize, text: bool, seed: u64) -> Payloads {
        let byte = |i: usize| {
            let random = scramble(seed ^ (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            if text { b' ' + (random % 95) as u8 } else { random as u8 }
        };
        Payloads {
            kind: if text { Opcode::Text } else { Opcode::Binary },
            size,
            digits: size.min(STAMP_DIGITS),
            filler: (0..size + SHIFTS as usize).map(byte).collect(),
        }
    }

    /// Text or binary.
    pub fn kind(&self) -> Opcode {
        self.kind
    }

    /// The size of each message in bytes.
    pub fn size(&self) -> usize {
        self.size
    }

    /// What of `stamp` a message of this size carries.
    pub fn legible(&self, stamp: Stamp) -> Stamp {
        stamp.keep_digits(self.digits)
    }

    /// Appends bytes `from..to` of the message named `stamp`.
    pub fn append(&self, out: &mut Vec<u8>, stamp: Stamp, from: usize, to: usize) {
        let stamp = self.legible(stamp);
        for digit in from..to.min(self.digits) {
            let nibble = stamp.0 >> (4 * (self.digits - 1 - digit)) & 0xf;
            out.push(b"0123456789abcdef"[nibble as usize]);
        }
        let from = from.max(self.digits);
        if from < to {
            let shift = stamp.shift();
            out.extend_from_slice(&self.filler[shift + from..shift + to]);
        }
    }

    /// Checks `bytes`, which stand at `offset` of a message; `last` says that it ends with them.
    ///
    /// `stamp` is read from the message's first bytes: pass the same variable for each part of a
    /// message. It is whole once the message is.
    pub fn check(
        &self,
        stamp: &mut Stamp,
        offset: u64,
        bytes: &[u8],
        last: bool,
    ) -> Result<(), Changed> {
        let changed = Err(Changed { at: offset });
        let Ok(from) = usize::try_from(offset) else { return changed };
        let Some(to) = from.checked_add(bytes.len()).filter(|to| *to <= self.size) else {
            return changed;
        };
        if last && to != self.size {
            return changed;
        }
        if from == 0 {
            *stamp = Stamp(0);
        }
        let digits = self.digits.saturating_sub(from).min(bytes.len());
        let (head, rest) = bytes.split_at(digits);
        for byte in head {
            let nibble = match byte {
                b'0'..=b'9' => byte - b'0',
                b'a'..=b'f' => byte - b'a' + 10,
                _ => return changed,
            };
            stamp.0 = stamp.0 << 4 | u64::from(nibble);
        }
        let start = stamp.shift() + from + digits;
        match rest == &self.filler[start..start + rest.len()] {
            true => Ok(()),
            false => changed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(payloads: &Payloads, stamp: Stamp) -> Vec<u8> {
        let mut out = Vec::new();
        payloads.append(&mut out, stamp, 0, payloads.size());
        out
    }

    #[test]
    fn a_message_is_recognised_in_parts_of_any_size() {
        for size in [0usize, 1, 5, 15, 16, 17, 20, 1024] {
            for text in [true, false] {
                let payloads = Payloads::new(size, text, 7);
                let sent = Stamp::new(70_000, 123_456_789);
                let message = whole(&payloads, sent);
                assert_eq!(message.len(), size);
                for step in [1, 3, 16, 2000] {
                    let mut seen = Stamp::default();
                    let mut offset = 0;
                    for part in message.chunks(step) {
                        let last = offset + part.len() == size;
                        payloads.check(&mut seen, offset as u64, part, last).expect("unchanged");
                        offset += part.len();
                    }
                    assert_eq!(seen, payloads.legible(sent));
                }
            }
        }
    }

    #[test]
    fn any_changed_byte_is_seen() {
        let payloads = Payloads::new(64, true, 1);
        let sent = Stamp::new(1, 2);
        for at in 0..64 {
            let mut message = whole(&payloads, sent);
            message[at] ^= 1;
            let mut seen = Stamp::default();
            let verdict = payloads.check(&mut seen, 0, &message, true);
            assert!(verdict.is_err() || seen != sent, "byte {at}");
        }
    }

    #[test]
    fn a_message_of_another_length_is_seen() {
        let payloads = Payloads::new(20, true, 1);
        let mut message = whole(&payloads, Stamp::new(0, 0));
        let mut seen = Stamp::default();
        assert!(payloads.check(&mut seen, 0, &message[..19], true).is_err());
        message.push(b'x');
        assert!(payloads.check(&mut seen, 0, &message, true).is_err());
    }

    #[test]
    fn text_is_ascii_and_stamps_keep_their_parts() {
        let message = whole(&Payloads::new(4096, true, 3), Stamp::new(9, 9));
        assert!(message.is_ascii());
        let stamp = Stamp::new(0xff_ffff, 1 << 39);
        assert_eq!((stamp.connection(), stamp.sequence()), (0xff_ffff, 1 << 39));
    }
}
