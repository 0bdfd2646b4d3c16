//! Waking a reactor that waits in its ring: by a message from another ring, or by its eventfd.
//! Not for what there is to do; mailboxes hold that.
//!
//! A thread that has a ring of its own does not make a call to wake another: the message goes with
//! what it hands over next, at the end of its turn at the latest.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;

std::thread_local! {
    /// Who is to be woken, on a thread that has a ring.
    static TO_WAKE: RefCell<Option<Vec<RingWaker>>> = const { RefCell::new(None) };
}

/// Wakes one reactor. Its descriptors mean the same in every table, since they were opened before
/// any thread had its own.
#[derive(Clone, Debug)]
pub struct RingWaker {
    ring: RawFd,
    eventfd: Arc<OwnedFd>,
}

impl RingWaker {
    /// A waker of that ring.
    ///
    /// # Errors
    /// The descriptor limit.
    pub fn new(ring: RawFd) -> io::Result<Self> {
        // SAFETY: no pointer is involved.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just opened it for us.
        let eventfd = Arc::new(unsafe { OwnedFd::from_raw_fd(fd) });
        Ok(RingWaker { ring, eventfd })
    }

    /// Makes the reactor's current or next wait return.
    pub fn wake(&self) {
        let is_left_to_ring = TO_WAKE.with_borrow_mut(|to_wake| {
            let Some(to_wake) = to_wake else { return false };
            if to_wake.iter().all(|waker| waker.ring != self.ring) {
                to_wake.push(self.clone());
            }
            true
        });
        if !is_left_to_ring {
            self.wake_by_eventfd();
        }
    }

    /// As `wake`, at once and from any thread.
    pub fn wake_by_eventfd(&self) {
        let one: u64 = 1;
        // It fails only when the counter is full, and each write is told all the same.
        // SAFETY: eight bytes are readable there.
        unsafe { libc::write(self.eventfd(), (&raw const one).cast(), size_of::<u64>()) };
    }

    /// The ring that it wakes.
    pub fn ring(&self) -> RawFd {
        self.ring
    }

    /// The eventfd that the ring watches.
    pub fn eventfd(&self) -> RawFd {
        self.eventfd.as_raw_fd()
    }
}

/// This thread has a ring from now on.
pub fn begin() {
    TO_WAKE.set(Some(Vec::new()));
}

/// This thread has no ring any more. Whom it has woken is told.
pub fn end() {
    for waker in TO_WAKE.take().into_iter().flatten() {
        waker.wake_by_eventfd();
    }
}

/// The next that this thread has woken.
pub fn next() -> Option<RingWaker> {
    TO_WAKE.with_borrow_mut(|to_wake| to_wake.as_mut()?.pop())
}
