//! Drivers before they are used: which one it is to be, and what must be opened for it before any
//! thread takes its own descriptor table.
//! Not for anyone to ask later which one it was.

use std::io;
use std::time::Instant;

use super::listen::Listener;
use super::uring::{self, Settings, Support, Unsupported};
use super::{Driver, EpollDriver, Waker};

/// Which driver the operator wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DriverChoice {
    /// epoll, which every Linux has.
    #[default]
    Epoll,
    /// io_uring, or none.
    IoUring,
    /// io_uring where the kernel has all that it needs, or else epoll.
    Auto,
}

/// A driver that is settled upon.
#[derive(Clone, Copy, Debug)]
pub enum DriverKind {
    /// The readiness driver.
    Epoll,
    /// The completion driver, over a ring of the kernel's.
    IoUring(Support),
}

/// What reactors need of their drivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Bytes that each reactor may receive into, where the kernel fills buffers of its own accord.
    pub buffers: usize,
    /// Descriptors that a table may have.
    pub descriptors: u64,
}

/// A driver that is not in use yet.
pub struct Seed {
    epoch: Instant,
    inner: Inner,
}

enum Inner {
    Epoll(Box<EpollDriver>),
    IoUring(Box<uring::Seed>),
}

impl DriverChoice {
    /// Settles upon a driver; with it, why it is not the other one, if that was wished for.
    ///
    /// # Errors
    /// The one that must be can't be had, and why.
    pub fn settle(self) -> Result<(DriverKind, Option<Unsupported>), Unsupported> {
        match self {
            DriverChoice::Epoll => Ok((DriverKind::Epoll, None)),
            DriverChoice::IoUring => Ok((DriverKind::IoUring(uring::support()?), None)),
            DriverChoice::Auto => Ok(match uring::support() {
                Ok(support) => (DriverKind::IoUring(support), None),
                Err(why) => (DriverKind::Epoll, Some(why)),
            }),
        }
    }
}

impl DriverKind {
    /// As the log and the metrics call it.
    pub fn name(self) -> &'static str {
        match self {
            DriverKind::Epoll => "epoll",
            DriverKind::IoUring(_) => "io_uring",
        }
    }
}

impl Seed {
    /// A driver that is not in use yet, and its waker. To be made before any thread takes its own
    /// descriptor table, so that every table has the waker.
    ///
    /// # Errors
    /// The descriptor limit, for the most part.
    pub fn new(kind: DriverKind, needs: Needs, epoch: Instant) -> io::Result<(Self, Waker)> {
        match kind {
            DriverKind::Epoll => {
                let (driver, waker) = EpollDriver::new(epoch)?;
                Ok((Seed { epoch, inner: Inner::Epoll(Box::new(driver)) }, waker))
            }
            DriverKind::IoUring(support) => {
                let Needs { buffers, descriptors } = needs;
                let (seed, waker) = uring::Seed::new(Settings { buffers, descriptors }, support)?;
                Ok((Seed { epoch, inner: Inner::IoUring(Box::new(seed)) }, waker.into()))
            }
        }
    }

    /// The driver, which accepts from these listeners. `connections` is how many the reactor may
    /// hold; room for them is reserved but not touched. To be called by the thread that uses it.
    ///
    /// # Errors
    /// A listener can't be watched, or there is no memory.
    pub fn open(self, listeners: Vec<Listener>, connections: usize) -> io::Result<Box<dyn Driver>> {
        match self.inner {
            Inner::Epoll(mut driver) => {
                driver.listen(listeners, connections)?;
                Ok(driver)
            }
            Inner::IoUring(seed) => Ok(Box::new(seed.open(self.epoch, listeners, connections)?)),
        }
    }
}
