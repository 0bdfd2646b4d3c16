//! What compressed messages become; see `bodies::inflate`.
#![no_main]

#[path = "../bodies/mod.rs"]
#[allow(dead_code, reason = "each target has one of the bodies")]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::inflate::run(data));
