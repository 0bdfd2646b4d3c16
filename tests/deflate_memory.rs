//! What a connection's contexts are charged with is what they take, as an allocator that counts sees it.
//! Not for what a whole server comes to: `deflate` has that.

#[path = "harness/counting.rs"]
mod counting;

use counting::live;
use pulsewheel::bench::Streams;

/// The only test here: another one's allocations would be counted too.
#[test]
fn contexts_are_charged_no_less_than_they_take_and_little_more() {
    for window in 9..=15 {
        let before = live();
        let streams = Streams::new(window, 2, true);
        let taken = live() - before;
        let charged = Streams::charged(window);
        println!("window {window}: {taken} bytes, charged {charged}");
        // Each of the two may end within a page of its own.
        assert!(taken + 2 * 4096 <= charged, "{window}: {taken} bytes, charged {charged}");
        assert!(charged <= taken + taken / 10, "{window}: {taken} bytes, charged {charged}");
        drop(streams);
    }
}
