//! How the process's allocator gives memory back.
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
