//! Whose bytes gathered sends point to, kept alive until the kernel has carried them out.
//! Not for what it would not take: that is with the outbox.

use bytes::Bytes;

/// The owners of one submission's bytes.
#[derive(Default)]
pub struct Outgoing {
    held: Vec<Bytes>,
}

impl Outgoing {
    /// Keeps an owner's bytes alive and where they are until `clear`.
    #[inline]
    pub fn keep(&mut self, owner: &Bytes) {
        // A turn's output, or a broadcast's frame, comes once for each of its receivers.
        let is_same = |last: &Bytes| last.as_ptr() == owner.as_ptr() && !last.is_empty();
        if !self.held.last().is_some_and(is_same) {
            self.held.push(owner.clone());
        }
    }

    /// True if nothing is kept.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// All that was kept has been sent, or will not be.
    pub fn clear(&mut self) {
        self.held.clear();
    }
}
