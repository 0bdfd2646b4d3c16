//! Memory that the kernel reads or writes while we hold no reference to it.
//! Not for bytes of ours: those are in vectors.

use std::io;
use std::ptr::NonNull;

/// Pages of the process, zeroed, reached through pointers alone.
#[derive(Debug)]
pub(super) struct Region {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: a mapping belongs to the process, not to a thread; whoever has the region is the only one
// of ours who reaches it.
unsafe impl Send for Region {}

impl Region {
    /// A region of that many bytes, all of them taken from the system now: it is used from end to end,
    /// and what it takes is to be seen at once.
    ///
    /// # Errors
    /// See mmap(2).
    pub fn new(length: usize) -> io::Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE;
        // SAFETY: an anonymous mapping at an address of the kernel's choice touches nothing else.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), length, protection, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        NonNull::new(start.cast())
            .map(|start| Region { start, length })
            .ok_or_else(|| io::ErrorKind::OutOfMemory.into())
    }

    /// Where `length` bytes from `offset` on are.
    ///
    /// # Panics
    /// They do not lie in the region.
    pub fn at(&self, offset: usize, length: usize) -> NonNull<u8> {
        let end = offset.checked_add(length);
        assert!(end.is_some_and(|end| end <= self.length), "outside of the region");
        // SAFETY: `offset` lies within the mapping, as was just found.
        unsafe { self.start.add(offset) }
    }

    /// How many bytes it has.
    pub fn len(&self) -> usize {
        self.length
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: this is the whole mapping that `new` made, and nobody can reach it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}
