//! Drivers before they are used: which one it is to be, and what must be opened for it before any
//! thread takes its own descriptor table.
//! Not for anyone to ask later which one it was.

use std::os::fd::AsRawFd;
use std::time::Instant;
use std::{fmt, io};

use super::listen::Listener;
use super::original::{Copied, Original};
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
    copied: Copied,
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

    /// Connections that one driver can hold, whatever descriptors there are.
    pub fn most_connections(self) -> usize {
        match self {
            DriverKind::Epoll => usize::MAX,
            DriverKind::IoUring(_) => uring::MOST_CONNECTIONS,
        }
    }
}

/// Its name, and what it must do without on this kernel.
impl fmt::Display for DriverKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        let DriverKind::IoUring(Support { is_incremental, is_limited }) = *self else {
            return Ok(());
        };
        if !is_incremental {
            f.write_str(", each receive with a buffer of its own (Linux 6.12 lets them share)")?;
        }
        if !is_limited {
            f.write_str(", without a share for each peer in a turn (Linux 6.17 has it)")?;
        }
        Ok(())
    }
}

impl Seed {
    /// A driver that is not in use yet, its waker, and what is to be dropped in this table once the
    /// thread that uses it has its own. To be made before any thread takes its own descriptor table,
    /// so that every table has the waker.
    ///
    /// # Errors
    /// The descriptor limit, for the most part.
    pub fn new(
        kind: DriverKind,
        needs: Needs,
        epoch: Instant,
    ) -> io::Result<(Self, Waker, Original)> {
        let (inner, fd, waker) = match kind {
            DriverKind::Epoll => {
                let (driver, waker) = EpollDriver::new(epoch)?;
                let fd = driver.as_raw_fd();
                (Inner::Epoll(Box::new(driver)), fd, waker)
            }
            DriverKind::IoUring(support) => {
                let Needs { buffers, descriptors } = needs;
                let (seed, waker) = uring::Seed::new(Settings { buffers, descriptors }, support)?;
                let fd = seed.as_raw_fd();
                (Inner::IoUring(Box::new(seed)), fd, waker.into())
            }
        };
        let (original, copied) = Original::new(fd);
        Ok((Seed { epoch, copied, inner }, waker, original))
    }

    /// The calling thread has just taken its own descriptor table, and the seed with it.
    pub fn is_taken_along(&self) {
        self.copied.tell();
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
