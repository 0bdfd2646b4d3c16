//! A ring before and after its life: made, disabled, by the thread that starts the server; enabled
//! and equipped by the one that uses it; emptied at the end.
//! Not for use; see the ring itself.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Instant;

use io_uring::IoUring;
use io_uring::types::CancelBuilder;

use super::outgoing::Outgoing;
use super::pool::{Pool, Registered};
use super::request::{self, Name, Place};
use super::support::Support;
use super::{KernelRing, RingWaker, wake};
use crate::io::completion::{CompletionDriver, LOOKED_AT, RingCounts, waiting};
use crate::io::listen::Listener;
use crate::io::region::Region;

/// Requests that are handed over in one call.
const REQUESTS: u32 = 1024;

/// Completions that the ring holds; beyond these the kernel keeps them aside.
const COMPLETIONS: u32 = 8192;

/// Sockets that a ring's table may have (`IORING_MAX_FIXED_FILES`).
const MOST_FILES: usize = 1 << 20;

/// Connections that a ring can hold.
pub const MOST_CONNECTIONS: usize = MOST_FILES - PASSING;

/// Sockets that are accepted and not adopted, or closed and not gone.
const PASSING: usize = 512;

/// Buffers that are consumed bit by bit: few and large, since a message that begins at the end of one
/// ends in the next, and then has to be put together.
const LARGE_BUFFERS: usize = 4;

/// Bytes of a buffer that one receive takes, where it can't be consumed bit by bit.
const SMALL_BUFFER: usize = 4096;

/// Sizes that a ring is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Bytes to receive into.
    pub buffers: usize,
    /// Descriptors that a table may have.
    pub descriptors: u64,
}

/// A ring that is not in use yet.
pub struct Seed {
    ring: IoUring,
    /// Registered now: what the kernel locks in memory for it may be refused.
    buffers: Registered,
    size: usize,
    waker: RingWaker,
    settings: Settings,
    support: Support,
}

/// A ring as all are made: one thread uses it, and completions are delivered when that asks.
///
/// # Errors
/// The kernel has none, or not of this kind; or the descriptor limit.
pub(super) fn make(requests: u32, completions: u32) -> io::Result<IoUring> {
    IoUring::builder()
        .setup_r_disabled()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_submit_all()
        .setup_cqsize(completions)
        .build(requests)
}

impl AsRawFd for Seed {
    fn as_raw_fd(&self) -> RawFd {
        self.ring.as_raw_fd()
    }
}

impl Seed {
    /// A ring, disabled, and its waker. To be made before any thread takes its own descriptor table,
    /// so that rings can send each other messages.
    ///
    /// # Errors
    /// The descriptor limit, or memory.
    pub fn new(settings: Settings, support: Support) -> io::Result<(Self, RingWaker)> {
        let ring = make(REQUESTS, COMPLETIONS)?;
        let (count, size) = divide(settings.buffers, support);
        let buffers = Registered::new(&ring, count, support.is_incremental)?;
        let waker = RingWaker::new(ring.as_raw_fd())?;
        Ok((Seed { ring, buffers, size, waker: waker.clone(), settings, support }, waker))
    }

    /// The driver that accepts from these listeners, for up to `connections`. To be called by the
    /// thread that uses it.
    ///
    /// # Errors
    /// The memory limits, for the most part.
    pub fn open(
        self,
        epoch: Instant,
        listeners: Vec<Listener>,
        connections: usize,
    ) -> io::Result<CompletionDriver<KernelRing>> {
        let Seed { ring, buffers, size, waker, settings, support } = self;
        ring.submitter().register_enable_rings()?;
        let files = (connections + PASSING).min(settings.descriptors as usize).min(MOST_FILES);
        ring.submitter().register_files_sparse(files as u32)?;
        let pool = Pool::new(buffers, size)?;
        let places =
            (0..listeners.len() * waiting(listeners.len())).map(|_| Place::new()).collect();
        let mut ring = KernelRing {
            ring,
            pool,
            outgoing: Outgoing::default(),
            scratch: Region::new(LOOKED_AT)?,
            places,
            epoch,
            listeners,
            room: files,
            aside: VecDeque::new(),
            installed: None,
            waker,
            others: Vec::new(),
            is_woken: false,
            is_in_turn: false,
            is_limited: support.is_limited,
            broken: None,
            counts: RingCounts::default(),
        };
        ring.put_as(Name::Eventfd, request::await_eventfd(ring.waker.eventfd()));
        wake::begin();
        Ok(CompletionDriver::new(ring, connections))
    }
}

/// How many buffers of which size make up so many bytes.
fn divide(bytes: usize, support: Support) -> (u16, usize) {
    if support.is_incremental {
        // Where a receive is not limited it takes a buffer's rest.
        let count = if support.is_limited { LARGE_BUFFERS } else { 4 * LARGE_BUFFERS };
        (count as u16, bytes.div_ceil(count).next_multiple_of(SMALL_BUFFER))
    } else {
        let count = (bytes / SMALL_BUFFER).clamp(16, 1 << 14);
        (count.next_power_of_two() as u16, SMALL_BUFFER)
    }
}

/// Ends all requests of a ring and closes its sockets: whoever has a copy of its descriptor would
/// keep them.
pub(super) fn close(ring: &IoUring) {
    let submitter = ring.submitter();
    // They fail only where there is nothing to end or to close.
    let _ = submitter.register_sync_cancel(None, CancelBuilder::any());
    let _ = submitter.unregister_files();
}
