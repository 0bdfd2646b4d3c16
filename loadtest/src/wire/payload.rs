//! What the messages say, so that every byte that comes back can be checked without keeping it.
//! Not framing or masking; that is `frame`.
//!
//! A message begins with its stamp in hexadecimal digits: which connection sent it, and its number
//! on that connection. The rest is filler from one shared text, begun at a place that the stamp
//! chooses. A receiver that knows the stamp can thus check any part of the message as it arrives.

use super::frame::Opcode;
use super::template::Template;
use crate::dist::Dist;

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

    /// All of its bits.
    pub fn bits(self) -> u64 {
        self.0
    }

    /// The stamp that [`Stamp::bits`] was asked of.
    pub fn from_bits(bits: u64) -> Stamp {
        Stamp(bits)
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

/// The messages of a run: their kind, their sizes, and what stands in them.
#[derive(Debug)]
pub struct Payloads {
    kind: Opcode,
    sizes: Dist,
    seed: u64,
    template: Option<Template>,
    filler: Box<[u8]>,
}

impl Payloads {
    /// Messages with sizes drawn from `sizes`, text or binary, whose filler is drawn from `seed`.
    pub fn new(sizes: Dist, text: bool, seed: u64) -> Payloads {
        let byte = |i: usize| {
            let random = scramble(seed ^ (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            if text { b' ' + (random % 95) as u8 } else { random as u8 }
        };
        Payloads {
            kind: if text { Opcode::Text } else { Opcode::Binary },
            sizes,
            seed,
            template: None,
            filler: (0..sizes.most() as usize + SHIFTS as usize).map(byte).collect(),
        }
    }

    /// The same, made after a template. Such messages are checked as a whole.
    pub fn with_template(sizes: Dist, text: bool, seed: u64, template: Template) -> Payloads {
        let letter = |i: u64| b'a' + (scramble(seed ^ i) % 26) as u8;
        Payloads {
            kind: if text { Opcode::Text } else { Opcode::Binary },
            sizes,
            seed,
            template: Some(template),
            filler: (0..256).map(letter).collect(),
        }
    }

    /// Text or binary.
    pub fn kind(&self) -> Opcode {
        self.kind
    }

    /// Whether messages are made after a template.
    pub fn is_templated(&self) -> bool {
        self.template.is_some()
    }

    /// The size of the message named `stamp`, in bytes. A template may make it longer.
    pub fn size_of(&self, stamp: Stamp) -> usize {
        match self.sizes.only() {
            Some(size) => size as usize,
            None => self.sizes.draw(scramble(stamp.0 ^ self.seed.rotate_left(17))) as usize,
        }
    }

    /// What of `stamp` a message of its size carries.
    pub fn legible(&self, stamp: Stamp) -> Stamp {
        match self.template {
            Some(_) => stamp,
            None => stamp.keep_digits(self.size_of(stamp).min(STAMP_DIGITS)),
        }
    }

    /// Appends the message named `stamp`.
    pub fn append_whole(&self, out: &mut Vec<u8>, stamp: Stamp) {
        let size = self.size_of(stamp);
        match &self.template {
            Some(template) => template.append(out, stamp, size, &self.filler),
            None => self.append(out, stamp, 0, size),
        }
    }

    /// Appends bytes `from..to` of the message named `stamp`, which no template has made.
    pub fn append(&self, out: &mut Vec<u8>, stamp: Stamp, from: usize, to: usize) {
        let digits = self.size_of(stamp).min(STAMP_DIGITS);
        let stamp = stamp.keep_digits(digits);
        for digit in from..to.min(digits) {
            let nibble = stamp.0 >> (4 * (digits - 1 - digit)) & 0xf;
            out.push(b"0123456789abcdef"[nibble as usize]);
        }
        let from = from.max(digits);
        if from < to {
            let shift = stamp.shift();
            out.extend_from_slice(&self.filler[shift + from..shift + to]);
        }
    }

    /// Checks `bytes`, which stand at `offset` of a message; `last` says that it ends with them.
    ///
    /// `stamp` is read from the message's first bytes: pass the same variable for each part of a
    /// message. It is whole once the message is. `awaited` is the message that may come, where
    /// only one may; where any may, all are at least as long as a stamp.
    pub fn check(
        &self,
        stamp: &mut Stamp,
        awaited: Option<Stamp>,
        offset: u64,
        bytes: &[u8],
        last: bool,
    ) -> Result<(), Changed> {
        let changed = Err(Changed { at: offset });
        let Ok(from) = usize::try_from(offset) else { return changed };
        let to = from.saturating_add(bytes.len());
        let digits = awaited.map_or(STAMP_DIGITS, |stamp| self.size_of(stamp).min(STAMP_DIGITS));
        if from == 0 {
            *stamp = Stamp(0);
        }
        let (head, rest) = bytes.split_at(digits.saturating_sub(from).min(bytes.len()));
        for byte in head {
            let nibble = match byte {
                b'0'..=b'9' => byte - b'0',
                b'a'..=b'f' => byte - b'a' + 10,
                _ => return changed,
            };
            stamp.0 = stamp.0 << 4 | u64::from(nibble);
        }
        let size = match awaited {
            Some(stamp) => self.size_of(stamp),
            // Its own stamp tells, once it is there.
            None if to >= digits => self.size_of(*stamp),
            None => usize::MAX,
        };
        if to > size || (last && to != size) {
            return changed;
        }
        let start = stamp.shift() + from + head.len();
        match self.filler.get(start..start + rest.len()) {
            Some(expected) if rest == expected => Ok(()),
            _ => changed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dist;

    fn whole(payloads: &Payloads, stamp: Stamp) -> Vec<u8> {
        let mut out = Vec::new();
        payloads.append_whole(&mut out, stamp);
        out
    }

    #[test]
    fn a_message_is_recognised_in_parts_of_any_size() {
        for size in [0usize, 1, 5, 15, 16, 17, 20, 1024] {
            for text in [true, false] {
                let payloads = Payloads::new(Dist::fixed(size as f64), text, 7);
                let sent = Stamp::new(70_000, 123_456_789);
                let message = whole(&payloads, sent);
                assert_eq!(message.len(), size);
                for step in [1, 3, 16, 2000] {
                    let mut seen = Stamp::default();
                    let mut offset = 0;
                    for part in message.chunks(step) {
                        let last = offset + part.len() == size;
                        payloads
                            .check(&mut seen, Some(sent), offset as u64, part, last)
                            .expect("unchanged");
                        offset += part.len();
                    }
                    assert_eq!(seen, payloads.legible(sent));
                }
            }
        }
    }

    #[test]
    fn any_changed_byte_is_seen() {
        let payloads = Payloads::new(Dist::fixed(64.0), true, 1);
        let sent = Stamp::new(1, 2);
        for at in 0..64 {
            let mut message = whole(&payloads, sent);
            message[at] ^= 1;
            let mut seen = Stamp::default();
            let verdict = payloads.check(&mut seen, Some(sent), 0, &message, true);
            assert!(verdict.is_err() || seen != sent, "byte {at}");
        }
    }

    #[test]
    fn a_message_of_another_length_is_seen() {
        let payloads = Payloads::new(Dist::fixed(20.0), true, 1);
        let mut message = whole(&payloads, Stamp::new(0, 0));
        let mut seen = Stamp::default();
        assert!(payloads.check(&mut seen, None, 0, &message[..19], true).is_err());
        message.push(b'x');
        assert!(payloads.check(&mut seen, None, 0, &message, true).is_err());
    }

    #[test]
    fn sizes_that_differ_are_known_from_the_stamp() {
        let payloads = Payloads::new(dist::sizes("16-900").expect("good"), true, 5);
        let mut sizes = std::collections::HashSet::new();
        for sequence in 0..200 {
            let sent = Stamp::new(3, sequence);
            let message = whole(&payloads, sent);
            sizes.insert(message.len());
            for (awaited, step) in [(Some(sent), 7), (None, 11), (None, 1000)] {
                let mut seen = Stamp::default();
                for (index, part) in message.chunks(step).enumerate() {
                    let offset = index * step;
                    let last = offset + part.len() == message.len();
                    let verdict = payloads.check(&mut seen, awaited, offset as u64, part, last);
                    verdict.expect("unchanged");
                }
                assert_eq!(seen, sent);
            }
        }
        assert!(sizes.len() > 100, "{}", sizes.len());
    }

    #[test]
    fn text_is_ascii_and_stamps_keep_their_parts() {
        let message = whole(&Payloads::new(Dist::fixed(4096.0), true, 3), Stamp::new(9, 9));
        assert!(message.is_ascii());
        let stamp = Stamp::new(0xff_ffff, 1 << 39);
        assert_eq!((stamp.connection(), stamp.sequence()), (0xff_ffff, 1 << 39));
    }
}
