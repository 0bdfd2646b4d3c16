//! Whose request a chain of proxies brings; see `bodies::forwarded`.
#![no_main]

#[path = "../bodies/mod.rs"]
#[allow(dead_code, reason = "each target has one of the bodies")]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::forwarded::run(data));
