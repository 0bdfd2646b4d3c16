//! A piece of received bytes, lent by a driver for as long as it takes to deal with them.
//! Not for keeping: one is in use at a time, and it goes back.

/// Received bytes, to be unmasked in place.
#[derive(Debug)]
pub struct Chunk {
    buffer: Box<[u8]>,
    length: usize,
}

impl Chunk {
    /// The first `length` bytes of `buffer`.
    pub fn new(buffer: Box<[u8]>, length: usize) -> Self {
        Chunk { length: length.min(buffer.len()), buffer }
    }

    /// The bytes that came.
    pub fn bytes(&mut self) -> &mut [u8] {
        self.buffer.get_mut(..self.length).unwrap_or_default()
    }

    /// How many bytes came.
    pub fn len(&self) -> usize {
        self.length
    }

    /// True for none; drivers don't report that.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    pub(super) fn into_buffer(self) -> Box<[u8]> {
        self.buffer
    }
}
