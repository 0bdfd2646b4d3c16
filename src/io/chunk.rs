//! A piece of received bytes, lent by a driver for as long as it takes to deal with them.
//! Not for keeping: it goes back.

use std::ptr::NonNull;
use std::rc::Rc;

use super::region::Region;

/// Received bytes, to be unmasked in place.
#[derive(Debug)]
pub struct Chunk(Memory);

#[derive(Debug)]
enum Memory {
    Own { buffer: Box<[u8]>, length: usize },
    Lent(Lent),
}

/// Bytes in a buffer that the kernel shares with a driver.
#[derive(Debug)]
pub(super) struct Lent {
    start: NonNull<u8>,
    length: usize,
    /// Which buffer they are in.
    pub buffer: u16,
    /// What they are in is not given back before they are gone.
    region: Rc<Region>,
}

impl Lent {
    /// True if that is what they are in.
    pub(super) fn is_of(&self, region: &Rc<Region>) -> bool {
        Rc::ptr_eq(&self.region, region)
    }
}

impl Chunk {
    /// The first `length` bytes of `buffer`.
    pub fn new(buffer: Box<[u8]>, length: usize) -> Self {
        let length = length.min(buffer.len());
        Chunk(Memory::Own { buffer, length })
    }

    /// Bytes of a region, from `start` on, which are in that buffer.
    ///
    /// # Safety
    /// Until the chunk is dropped nobody else, the kernel included, reads or writes those bytes.
    pub(super) unsafe fn lent(
        region: &Rc<Region>,
        start: usize,
        length: usize,
        buffer: u16,
    ) -> Self {
        let start = region.at(start, length);
        Chunk(Memory::Lent(Lent { start, length, buffer, region: Rc::clone(region) }))
    }

    /// The bytes that came.
    #[inline]
    pub fn bytes(&mut self) -> &mut [u8] {
        match &mut self.0 {
            Memory::Own { buffer, length } => buffer.get_mut(..*length).unwrap_or_default(),
            Memory::Lent(lent) => {
                // SAFETY: the range lies in the region, which lives as long as this chunk, and is
                // the chunk's alone, as whoever made it has promised.
                unsafe { std::slice::from_raw_parts_mut(lent.start.as_ptr(), lent.length) }
            }
        }
    }

    /// How many bytes came.
    pub fn len(&self) -> usize {
        match &self.0 {
            Memory::Own { length, .. } => *length,
            Memory::Lent(lent) => lent.length,
        }
    }

    /// True for none; drivers don't report that.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The buffer that it owns, if it does.
    pub(super) fn into_buffer(self) -> Option<Box<[u8]>> {
        match self.0 {
            Memory::Own { buffer, .. } => Some(buffer),
            Memory::Lent(_) => None,
        }
    }

    /// The buffer that it was lent from, if it was.
    pub(super) fn into_lent(self) -> Option<Lent> {
        match self.0 {
            Memory::Own { .. } => None,
            Memory::Lent(lent) => Some(lent),
        }
    }
}
