//! A descriptor of which a thread has taken a copy into its own table: what is left behind is closed.
//! Not for what the copy is used for.
//!
//! A driver begins as a [`Seed`](super::Seed) in the table that all threads share, so that every
//! reactor's table gets a copy of it. Whoever uses it closes the copy in its own table; the original
//! would stay open for as long as the process lives.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What was opened in the table of this thread. Dropping it closes it there, if by then someone has
/// taken it along into another table; else it is that one's to close.
#[derive(Debug)]
pub struct Original {
    fd: RawFd,
    is_copied: Arc<AtomicBool>,
}

/// Tells an [`Original`] that it is one.
#[derive(Debug)]
pub(super) struct Copied(Arc<AtomicBool>);

impl Original {
    pub(super) fn new(fd: RawFd) -> (Self, Copied) {
        let is_copied = Arc::new(AtomicBool::new(false));
        (Original { fd, is_copied: Arc::clone(&is_copied) }, Copied(is_copied))
    }
}

impl Copied {
    /// The descriptor's owner is in another table now, and stays there.
    pub(super) fn tell(&self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Drop for Original {
    fn drop(&mut self) {
        if self.is_copied.load(Ordering::Acquire) {
            // SAFETY: the descriptor was open in this table when the copy was made, and its owner has
            // left for a table of its own: nobody else closes it here.
            drop(unsafe { OwnedFd::from_raw_fd(self.fd) });
        }
    }
}
