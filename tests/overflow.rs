//! An overflow in the server's arithmetic is noticed. In a release build too: `cargo test --release --test
//! overflow`, and `tests/run` looks for the check in the binary.
//! Not where overflows could be: `conn` and `proto` compile only what says what it does at its ends.

use std::hint::black_box;

#[test]
fn an_overflow_panics_in_whatever_profile_this_is() {
    assert_eq!(pulsewheel::bench::sum(black_box(1), black_box(2)), 3);
    let outcome = std::panic::catch_unwind(|| {
        pulsewheel::bench::sum(black_box(u32::MAX), black_box(1));
    });
    let panic = outcome.expect_err("u32::MAX + 1 went on as 0");
    let message = panic.downcast_ref::<&str>().expect("the message of a panic of the language");
    assert!(message.contains("overflow"), "{message}");
}
