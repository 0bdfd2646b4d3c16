//! pulsewheel: a WebSocket server for very many long-lived connections on one machine.
//! Not a web framework: it upgrades, keeps and cleans up connections, and answers little else.
//!
//! Connections rot: a phone leaves Wi-Fi and no FIN comes, a NAT drops a quiet flow, a reader
//! stalls and the server's queue grows. Here each such case has a named deadline or a named bound,
//! enforcing it costs O(1), and the operator sees it happen.
//!
//! # The house
//!
//! Imports run downwards only.
//!
//! | module | what it is for |
//! |---|---|
//! | `main.rs` | arguments, log, exit code |
//! | [`config`] | flags, environment and TOML become one checked [`Config`](config::Config) |
//! | [`server`] | starts reactors, owns signals, drains, joins |
//! | [`admin`] | metrics, health, publishing from outside |
//! | [`reactor`] | one event loop per core: the turn, the slab, the wheel, the mailbox |
//! | [`handler`] | what is served: the [`Handler`] trait, `echo`, `broadcast` |
//! | [`gate`] | who may come in: origins, tokens, limits; asked before a handler |
//! | [`io`] | drivers behind one seam: epoll, io_uring; sockets, listeners, descriptor tables |
//! | [`conn`] | one connection without I/O: bytes and time in, bytes and verdicts out |
//! | [`proto`] | HTTP upgrade, frames, the transcoder in front of tungstenite, TLS |
//!
//! # A server of your own
//!
//! ```no_run
//! use pulsewheel::{Connection, Handler, Message, Opening, Reject, Server};
//!
//! struct Shout;
//!
//! impl Handler for Shout {
//!     type State = ();
//!
//!     fn on_open(&self, _: &mut Connection<'_>, _: &Opening<'_>) -> Result<(), Reject> {
//!         Ok(())
//!     }
//!
//!     fn on_message(&self, connection: &mut Connection<'_>, _: &mut (), message: Message<'_>) {
//!         if let Message::Text(text) = message {
//!             connection.send_text(&text.to_uppercase());
//!         }
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::builder().route("/shout", Shout).start()?;
//! server.run_until_signalled()?;
//! # Ok(())
//! # }
//! ```

// A panic in a handler costs one connection, but one in the server's own code costs a reactor. What
// looks into a peer's bytes denies indexing too, and `conn` and `proto` unchecked arithmetic.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::todo,
        clippy::unimplemented,
    )
)]

pub mod admin;
#[doc(hidden)]
pub mod bench;
pub mod config;
pub mod conn;
#[doc(hidden)]
pub mod doors;
pub mod gate;
pub mod handler;
pub mod io;
pub mod logging;
#[doc(hidden)]
pub mod mutation;
pub mod proto;
pub mod reactor;
pub mod server;
#[cfg(feature = "simulation")]
#[doc(hidden)]
pub mod simulation;

pub use crate::conn::CloseReason;
pub use crate::gate::Claims;
pub use crate::handler::{Connection, Handler, Opening, Reject};
pub use crate::proto::{Kind, Message, Peer};
pub use crate::server::{Drainer, Publisher, Running, Server, StartError};
