//! Waking a driver from another thread, whichever it is.
//! Not for what there is to do; mailboxes hold that.

use std::sync::Arc;

use super::uring::RingWaker;

/// Wakes a driver from another thread.
#[derive(Clone, Debug)]
pub struct Waker(Means);

#[derive(Clone, Debug)]
enum Means {
    Eventfd(Arc<mio::Waker>),
    Ring(RingWaker),
    #[cfg(feature = "simulation")]
    Flag(Arc<std::sync::atomic::AtomicBool>),
}

impl Waker {
    /// Makes the driver's current or next wait return.
    pub fn wake(&self) {
        match &self.0 {
            // It fails only when the eventfd's counter is full, and then the driver is awake anyway.
            Means::Eventfd(waker) => drop(waker.wake()),
            Means::Ring(waker) => waker.wake(),
            #[cfg(feature = "simulation")]
            Means::Flag(flag) => flag.store(true, std::sync::atomic::Ordering::Relaxed),
        }
    }

    /// A waker that raises a flag, for a driver that is simulated.
    #[cfg(feature = "simulation")]
    pub fn flag(flag: Arc<std::sync::atomic::AtomicBool>) -> Self {
        Waker(Means::Flag(flag))
    }
}

impl From<mio::Waker> for Waker {
    fn from(waker: mio::Waker) -> Self {
        Waker(Means::Eventfd(Arc::new(waker)))
    }
}

impl From<RingWaker> for Waker {
    fn from(waker: RingWaker) -> Self {
        Waker(Means::Ring(waker))
    }
}
