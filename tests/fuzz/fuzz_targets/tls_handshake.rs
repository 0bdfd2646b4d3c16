//! What comes before a TLS handshake is done; see `bodies::tls_handshake`.
#![no_main]

#[path = "../bodies/mod.rs"]
#[allow(dead_code, reason = "each target has one of the bodies")]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::tls_handshake::run(data));
