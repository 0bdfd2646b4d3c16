//! How much one turn compresses and inflates, and how much of it for one peer.
//! Not for bytes on the wire, whose share of a turn the driver keeps: these may be a thousand times
//! as many.

/// Bytes that are compressed for single connections in one go of a turn: of what its peers ask for, and
/// again of its mail. Some 20 ms of work; what goes beyond is sent as it is, which is always allowed
/// (RFC 7692 section 6).
const COMPRESSED: usize = 4 << 20;

/// Bytes that one turn inflates for all, before the rest waits for the next one: some 20 ms too.
const INFLATED: usize = 16 << 20;

/// Bytes that are inflated and compressed for one peer before the others have their turn.
const SHARE: usize = 256 * 1024;

/// What is left of each.
#[derive(Debug)]
pub struct Work {
    compressed: usize,
    inflated: usize,
    share: usize,
}

impl Work {
    pub fn new() -> Self {
        Work { compressed: COMPRESSED, inflated: INFLATED, share: SHARE }
    }

    /// A turn begins.
    #[inline]
    pub fn begin_turn(&mut self) {
        self.begin_mail();
        self.inflated = INFLATED;
    }

    /// The turn goes on with its mail.
    #[inline]
    pub fn begin_mail(&mut self) {
        self.compressed = COMPRESSED;
    }

    /// A peer's messages are about to be read.
    #[inline]
    pub fn begin_share(&mut self) {
        self.share = SHARE;
    }

    /// So many bytes are compressed.
    pub fn compress(&mut self, bytes: usize) {
        self.compressed = self.compressed.saturating_sub(bytes);
        self.share = self.share.saturating_sub(bytes);
    }

    /// So many bytes have been inflated.
    pub fn inflate(&mut self, bytes: usize) {
        self.inflated = self.inflated.saturating_sub(bytes);
        self.share = self.share.saturating_sub(bytes);
    }

    /// True once no more is to be compressed for single connections.
    #[inline]
    pub fn has_compressed_enough(&self) -> bool {
        self.compressed == 0
    }

    /// True once no more is to be inflated.
    #[inline]
    pub fn has_inflated_enough(&self) -> bool {
        self.inflated == 0
    }

    /// True once the peer's next message is to wait for the next turn.
    #[inline]
    pub fn share_is_spent(&self) -> bool {
        self.share == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_peers_and_the_rest_is_a_turns() {
        let mut work = Work::new();
        let mut peers = 0;
        while !work.has_inflated_enough() {
            work.begin_share();
            assert!(!work.share_is_spent());
            work.inflate(SHARE - 1);
            assert!(!work.share_is_spent());
            work.compress(1);
            assert!(work.share_is_spent());
            peers += 1;
        }
        assert_eq!(peers, INFLATED / SHARE + 1);
        work.compress(COMPRESSED);
        assert!(work.has_compressed_enough());
        work.begin_mail();
        assert!(!work.has_compressed_enough() && work.has_inflated_enough());
        work.begin_turn();
        assert!(!work.has_inflated_enough());
    }
}
