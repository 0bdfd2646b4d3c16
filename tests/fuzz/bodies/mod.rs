//! What each fuzz target asserts, one function each that panics at a finding.
//! Not where the bytes come from: libFuzzer brings them to the targets, proptest to their twins.

pub mod admin_request;
pub mod config;
pub mod forwarded;
pub mod frames;
pub mod http_head;
pub mod inflate;
pub mod life;
pub mod outbox;
pub mod proxy_header;
pub mod rfc;
pub mod script;
pub mod tls_handshake;
pub mod wheel;
