//! How the process's allocator gives memory back, and how much it holds.
//! Not an allocator: glibc's is used as it is, with two of its settings fixed.

/// Allocations from this size on get pages of their own, which go back when they are freed.
///
/// glibc raises that bound by itself each time such a block is freed, up to 32 MiB, and then keeps
/// the memory of large messages for good; setting it once stops that (mallopt(3)).
const OWN_PAGES_FROM: i32 = 20 * 1024;

/// Makes freed memory of large messages go back to the system. To be called once at start.
pub fn give_back_large_blocks() {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt changes two of the allocator's settings and touches no memory of ours.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, OWN_PAGES_FROM);
        libc::mallopt(libc::M_TRIM_THRESHOLD, OWN_PAGES_FROM);
    }
}

/// Gives whole free pages of all heaps back to the system (malloc_trim(3)). Takes about a
/// millisecond for each ten MiB of heap, so not for every turn.
pub fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim only releases memory that nothing uses.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// What the allocator holds, of all threads together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heap {
    /// Bytes in heaps that are allocated, those included that threads keep in their caches: at most
    /// seven blocks of each of 64 sizes, a quarter of a MiB for each thread.
    pub used: u64,
    /// Bytes in heaps that are free; [`trim`] gives back the whole pages among them.
    pub free: u64,
    /// Bytes of blocks that have pages of their own and go back as soon as they are freed.
    pub mapped: u64,
}

/// What the allocator holds now (mallinfo(3)); `None` where it is not glibc's. Takes each heap's
/// lock in turn and walks its free blocks, so not for every turn.
#[must_use]
pub fn heap() -> Option<Heap> {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: mallinfo2 takes nothing and returns plain numbers, under the allocator's locks.
        let told = unsafe { libc::mallinfo2() };
        Some(Heap {
            used: told.uordblks as u64,
            free: told.fordblks as u64,
            mapped: told.hblkhd as u64,
        })
    }
    #[cfg(not(target_env = "gnu"))]
    None
}

#[cfg(all(test, target_env = "gnu"))]
mod tests {
    use super::*;

    #[test]
    fn what_is_allocated_is_told_until_it_is_freed() {
        const SIZE: u64 = 512 * 1024 * 1024;
        // Never touched, so that it costs addresses and no memory. Other tests run beside this one
        // and allocate too, but not as much as that.
        let before = heap().unwrap();
        let block = Vec::<u8>::with_capacity(SIZE as usize);
        let during = heap().unwrap();
        drop(std::hint::black_box(block));
        let after = heap().unwrap();
        let held = |heap: Heap| heap.used + heap.mapped;
        assert!(held(during) > held(before) + SIZE / 2, "{before:?} {during:?}");
        assert!(held(after) < held(during) - SIZE / 2, "{during:?} {after:?}");
    }
}
