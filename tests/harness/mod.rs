//! What the whole-server tests drive the server with: its process, and clients over real sockets.
//! Not for what is proved; each test file says that for its subject.
//!
//! ```ignore
//! let server = Server::start(&["--ping-interval", "1s"]);
//! let mut peer = RawClient::open(&server, "/echo");
//! peer.send(&frame::text("hello"));
//! assert_eq!(peer.frame().payload, b"hello");
//! server.wait_for("the count", |m| m.sum("ws_messages_received_total") == 1.0);
//! ```
//!
//! Servers choose their own ports, and are killed when dropped. Whatever waits has a limit
//! ([`PATIENCE`]) that is generous, since other tests run at the same time.

#![allow(dead_code, unused_imports, reason = "each test file uses its own part of the harness")]

mod admin;
pub mod deflate;
pub mod distance;
pub mod driver;
mod embedded;
pub mod frame;
mod herd;
pub mod memory;
mod metrics;
mod raw;
pub mod server;
pub mod sockets;
mod sources;
pub mod tls;
pub mod token;

use std::time::{Duration, Instant};

pub use admin::{answer as admin_answer, ask};
pub use embedded::Embedded;
pub use frame::Frame;
pub use herd::Herd;
pub use metrics::Metrics;
pub use raw::{Event, RawClient, Response, request};
pub use server::{Server, run_to_end, scratch_path};
pub use sources::client_from;

/// How long anything that should happen soon may take on a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What a deadline may be late by, by the project's own bar.
pub const SLACK: Duration = Duration::from_secs(1);

/// Milliseconds, for short tests.
pub fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A tungstenite client on a path, which blocks for at most [`PATIENCE`] when it reads.
pub fn tungstenite_client(
    server: &Server,
    path: &str,
) -> tungstenite::WebSocket<std::net::TcpStream> {
    let stream = std::net::TcpStream::connect(server.address()).expect("the server listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    stream.set_nodelay(true).expect("nodelay can be set");
    let url = format!("ws://{}{path}", server.address());
    tungstenite::client(url, stream).expect("the upgrade succeeds").0
}

/// The server's clock moves in ticks of 10 ms, so that a deadline may come so much early.
pub const TICK: Duration = Duration::from_millis(12);

/// Asserts that something took at least `earliest`, give or take a [`TICK`], and at most `latest`
/// plus [`SLACK`].
pub fn assert_between(took: Duration, earliest: Duration, latest: Duration) {
    assert!(took + TICK >= earliest, "too early: after {took:?}, due after {earliest:?}");
    assert!(took <= latest + SLACK, "too late: after {took:?}, due after {latest:?}");
}

/// Polls until `done`, for something that no event announces; panics after [`PATIENCE`].
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(ms(10));
    }
}
