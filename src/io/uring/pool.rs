//! The buffers that the kernel receives into: a ring of them, shared with it.
//! Not for what is in them; that is a chunk's.
//!
//! Where the kernel can (Linux 6.12) it fills a buffer bit by bit, with the bytes of many receives,
//! so that a small message does not take a buffer and a large one is not cut up. A buffer goes back
//! once the kernel is through with it and all chunks in it have come back.

use std::io;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::IoUring;
use io_uring::types::BufRingEntry;

use crate::io::Chunk;
use crate::io::region::Region;

/// The group that all receives take their buffers from.
pub const GROUP: u16 = 0;

/// `IOU_PBUF_RING_INC` (linux/io_uring.h): buffers are consumed bit by bit.
const INCREMENTAL: u16 = 2;

/// The buffers of one ring.
pub struct Pool {
    /// The kernel's ring of buffers.
    ring: Region,
    region: Rc<Region>,
    size: usize,
    buffers: Vec<Buffer>,
    tail: u16,
    lent: u64,
}

/// One buffer.
#[derive(Clone, Copy, Debug, Default)]
struct Buffer {
    /// Where the next bytes in it begin.
    filled: usize,
    /// Chunks in it that are out.
    chunks: u32,
    /// The kernel is through with it.
    is_spent: bool,
}

/// A ring of buffers that the kernel knows and that has none yet.
pub struct Registered {
    ring: Region,
    count: u16,
}

impl Registered {
    /// A ring of `count` buffers, a power of two.
    ///
    /// # Errors
    /// There is no memory for it, or the kernel does not know such rings.
    pub fn new(ring: &IoUring, count: u16, is_incremental: bool) -> io::Result<Self> {
        let entries = Region::new(usize::from(count) * size_of::<BufRingEntry>())?;
        let flags = if is_incremental { INCREMENTAL } else { 0 };
        let address = entries.at(0, entries.len()).as_ptr() as u64;
        // SAFETY: `entries` has room for `count` entries and is aligned to pages, which the kernel holds
        // on to for as long as the ring has them.
        unsafe { ring.submitter().register_buf_ring_with_flags(address, count, GROUP, flags)? };
        Ok(Registered { ring: entries, count })
    }
}

impl Pool {
    /// Gives the kernel buffers of `size` bytes each.
    ///
    /// # Errors
    /// There is no memory for them.
    pub fn new(registered: Registered, size: usize) -> io::Result<Self> {
        let Registered { ring, count } = registered;
        let region = Rc::new(Region::new(usize::from(count) * size)?);
        let buffers = vec![Buffer::default(); usize::from(count)];
        let mut pool = Pool { ring, region, size, buffers, tail: 0, lent: 0 };
        for buffer in 0..count {
            pool.provide(buffer);
        }
        Ok(pool)
    }

    /// Buffers that have chunks out.
    pub fn lent(&self) -> u64 {
        self.lent
    }

    /// The kernel has put `length` bytes into a buffer, behind those it put there before; it goes on
    /// with it if `has_more`. To be called in the order of the completions.
    pub fn filled(&mut self, buffer: u16, length: usize, has_more: bool) -> Option<Chunk> {
        let place = self.buffers.get_mut(usize::from(buffer))?;
        let start = usize::from(buffer) * self.size + place.filled;
        place.filled += length;
        place.is_spent = !has_more;
        if length == 0 {
            self.provide_if_free(buffer);
            return None;
        }
        self.lent += u64::from(place.chunks == 0);
        place.chunks += 1;
        // SAFETY: the kernel wrote these bytes and writes behind them until the buffer is provided
        // anew, which waits for the chunk to come back; no two chunks overlap, since each begins
        // where the one before it ended.
        Some(unsafe { Chunk::lent(&self.region, start, length, buffer) })
    }

    /// A chunk has come back.
    pub fn recycle(&mut self, chunk: Chunk) {
        let Some(lent) = chunk.into_lent().filter(|lent| lent.is_of(&self.region)) else { return };
        let Some(place) = self.buffers.get_mut(usize::from(lent.buffer)) else { return };
        place.chunks -= 1;
        self.lent -= u64::from(place.chunks == 0);
        self.provide_if_free(lent.buffer);
    }

    fn provide_if_free(&mut self, buffer: u16) {
        let is_free = |place: &Buffer| place.is_spent && place.chunks == 0;
        if self.buffers.get(usize::from(buffer)).is_some_and(is_free) {
            self.provide(buffer);
        }
    }

    /// Gives a buffer to the kernel.
    fn provide(&mut self, buffer: u16) {
        let Some(place) = self.buffers.get_mut(usize::from(buffer)) else { return };
        *place = Buffer::default();
        let address = self.region.at(usize::from(buffer) * self.size, self.size);
        let at = usize::from(self.tail) % self.buffers.len();
        let entry = self.ring.at(at * size_of::<BufRingEntry>(), size_of::<BufRingEntry>());
        let mut entry: NonNull<BufRingEntry> = entry.cast();
        // SAFETY: the entry lies in the ring's memory and is aligned; the kernel reads it only once
        // the tail has passed it, and does not write it while it is ours.
        let entry = unsafe { entry.as_mut() };
        entry.set_addr(address.as_ptr() as u64);
        entry.set_len(self.size as u32);
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
        let base: *const BufRingEntry = self.ring.at(0, self.ring.len()).as_ptr().cast();
        // SAFETY: `base` is the first entry of the ring, in which the kernel looks for the tail; the
        // tail is written by nobody but this pool, and read by the kernel with acquire.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(base).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }
}
