//! What a connection's contexts are charged with is what they take, as an allocator that counts sees it.
//! Not for what a whole server comes to: `deflate` has that.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use pulsewheel::bench::Streams;

/// Counts the bytes that are allocated and not yet freed, as they were asked for.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is handed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: `at` came from `alloc` above, which had it from the system's allocator.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The only test here: another one's allocations would be counted too.
#[test]
fn contexts_are_charged_no_less_than_they_take_and_little_more() {
    for window in 9..=15 {
        let before = LIVE.load(Ordering::Relaxed);
        let streams = Streams::new(window, 2, true);
        let taken = LIVE.load(Ordering::Relaxed) - before;
        let charged = Streams::charged(window);
        println!("window {window}: {taken} bytes, charged {charged}");
        // Each of the two may end within a page of its own.
        assert!(taken + 2 * 4096 <= charged, "{window}: {taken} bytes, charged {charged}");
        assert!(charged <= taken + taken / 10, "{window}: {taken} bytes, charged {charged}");
        drop(streams);
    }
}
