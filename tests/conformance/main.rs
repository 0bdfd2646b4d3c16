//! RFC 6455 as a client sees it, one named case for each behaviour, with raw sockets.
//! Not for metrics, limits and deadlines of this server; the other whole-server tests have those.

#[path = "../harness/mod.rs"]
mod harness;

mod autobahn;
mod beyond;
mod case;
mod differential;
mod ends;
mod handshake;
mod model;
mod streams;
mod wire;
mod world;
