//! Bytes on their way out, as a driver is given them to gather.
//! Not for what the kernel would not take: that goes back to the outbox.

use std::io::IoSlice;

use bytes::Bytes;

/// One piece of output.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    bytes: &'a [u8],
    owner: Option<&'a Bytes>,
}

impl<'a> Part<'a> {
    /// Bytes that are good until the call returns: who needs them for longer copies them. Unless
    /// they are `owner`'s: whoever holds a clone of it keeps them alive and where they are.
    pub fn new(bytes: &'a [u8], owner: Option<&'a Bytes>) -> Self {
        let is_within = |owner: &&Bytes| {
            let (of_owner, of_bytes) = (owner.as_ptr_range(), bytes.as_ptr_range());
            of_owner.start <= of_bytes.start && of_bytes.end <= of_owner.end
        };
        Part { bytes, owner: owner.filter(is_within) }
    }

    /// The bytes.
    pub fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// What keeps them alive.
    pub fn owner(self) -> Option<&'a Bytes> {
        self.owner
    }

    /// The bytes, for a vectored write.
    pub fn slice(self) -> IoSlice<'a> {
        IoSlice::new(self.bytes)
    }
}
