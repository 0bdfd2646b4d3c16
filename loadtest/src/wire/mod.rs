//! The bytes of a connection: frames out, frames in, the upgrade, and the contents of messages.
//! Not the sockets that carry them, nor when anything is sent: that is `generator`.
//!
//! A load generator must cost less than what it measures, so frames are encoded into one shared
//! buffer and decoded as a stream, without a buffer for each connection. tungstenite supplies the
//! key derivation of the upgrade; RFC 6455 is the source for the rest.

pub mod decoder;
pub mod frame;
pub mod handshake;
pub mod payload;
pub mod request;
pub mod template;
