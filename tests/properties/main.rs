//! The fuzz targets' twins on stable Rust: the same bodies, fed by proptest with bytes, with frames
//! and heads that are mostly well formed, and with every file that fuzzing has left behind.
//! Not for finding what is new at length: `tests/fuzz/run` does that.

// They are shared with the targets, whose code they are first of all.
#[path = "../fuzz/bodies/mod.rs"]
mod bodies;
mod config;
mod corpus;
mod frames;
mod handshakes;
mod heads;
mod operations;
mod proxies;
