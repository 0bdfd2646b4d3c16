//! The PROXY protocol's header; see `bodies::proxy_header`.
#![no_main]

#[path = "../bodies/mod.rs"]
#[allow(dead_code, reason = "each target has one of the bodies")]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::proxy_header::run(data));
