//! Bytes that gathered sends point to, kept alive until the kernel has carried them out.
//! Not for what it would not take: that is with the outbox.

use std::io;

use bytes::Bytes;

use crate::io::Part;
use crate::io::region::Region;

/// Room for brief bytes in one submission; what does not fit has it made early.
const ROOM: usize = 256 * 1024;

/// Bytes for one submission.
pub struct Outgoing {
    copies: Region,
    used: usize,
    /// Whose bytes are sent from where they are.
    held: Vec<Bytes>,
}

impl Outgoing {
    /// Room for one submission.
    ///
    /// # Errors
    /// See mmap(2).
    pub fn new() -> io::Result<Self> {
        Ok(Outgoing { copies: Region::new(ROOM)?, used: 0, held: Vec::new() })
    }

    /// Keeps a part until `clear`: where its bytes are. `None` if there is no room.
    #[inline]
    pub fn keep(&mut self, part: Part<'_>) -> Option<*const u8> {
        let bytes = part.bytes();
        match part.owner() {
            None => {
                let end = self.used + bytes.len();
                if end > ROOM {
                    return None;
                }
                let start = self.copies.at(self.used, bytes.len()).as_ptr();
                // SAFETY: `start` has room for the bytes; nobody reads there until it is given to the
                // kernel, and nothing of ours is there.
                unsafe { start.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
                self.used = end;
                Some(start)
            }
            Some(owner) => {
                // A turn's output, or a broadcast's frame, comes once for each of its receivers.
                if self.held.last().is_none_or(|last| last.as_ptr() != owner.as_ptr()) {
                    self.held.push(owner.clone());
                }
                Some(bytes.as_ptr())
            }
        }
    }

    /// True if nothing is kept.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.used == 0 && self.held.is_empty()
    }

    /// All that was kept has been sent, or will not be.
    pub fn clear(&mut self) {
        self.used = 0;
        self.held.clear();
    }
}
