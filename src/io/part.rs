//! Bytes on their way out, as a driver is given them to gather.
//! Not for what the kernel would not take: that goes back to the outbox.

use std::io::IoSlice;

use bytes::Bytes;

/// One piece of output.
#[derive(Clone, Copy, Debug)]
pub enum Part<'a> {
    /// Good until the call returns: who needs it for longer copies it.
    Brief(&'a [u8]),
    /// Shared by many, and kept alive by whoever holds a clone.
    Lasting(&'a Bytes),
}

impl<'a> Part<'a> {
    /// The bytes.
    pub fn bytes(self) -> &'a [u8] {
        match self {
            Part::Brief(bytes) => bytes,
            Part::Lasting(bytes) => bytes,
        }
    }

    /// The bytes, for a vectored write.
    pub fn slice(self) -> IoSlice<'a> {
        IoSlice::new(self.bytes())
    }
}
