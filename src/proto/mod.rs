//! The wire: HTTP upgrade, WebSocket frames, permessage-deflate, the transcoder before tungstenite.
//! Not for lifetimes, queues or sockets: nothing here knows the time or who is connected.

// A peer chooses every byte that comes here, so what could panic on one does not compile, and
// arithmetic says what it does at its ends.
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation,
    )
)]

mod decoder;
pub(crate) mod deflate;
mod engine;
mod forwarded;
mod frame;
mod grammar;
mod http;
mod message;
mod peer;
mod proxy;
pub mod tls;
mod upgrade;

pub(crate) use self::decoder::{Incoming, Input, Partial, Tools, decode};
pub use self::deflate::{Deflation, LARGEST_WINDOW, SMALLEST_WINDOW};
pub use self::forwarded::forwarded_client;
pub(crate) use self::frame::{
    PING_FRAME, close_frame, encode_deflated_into, encode_into, frame_length, is_deflated,
    message_in, walk_frames,
};
pub(crate) use self::http::{Answer, resource};
pub use self::http::{HEAD_LIMIT, Head, Headers, Request, parse_head};
pub use self::message::{Kind, Message};
pub use self::peer::{Acknowledged, Peer};
pub use self::proxy::{PROXY_HEADER_LIMIT, ProxyHeader, parse_proxy_header};
pub(crate) use self::upgrade::{Upgrade, Wanted, classify};

/// What a peer did that ends its connection, seen before it reaches a handler.
///
/// Each variant is one close code of RFC 6455 section 7.4.1; the text is the close frame's reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// 1002: the bytes are not the protocol.
    #[error("{0}")]
    Protocol(&'static str),
    /// 1007: text that is not UTF-8 (RFC 6455 section 8.1).
    #[error("text is not UTF-8")]
    Utf8,
    /// 1007: a compressed message that is no deflate stream (RFC 7692 names no code for it).
    #[error("the message is no deflate stream")]
    Deflate,
    /// 1009: a message beyond the configured size.
    #[error("message exceeds the size limit")]
    TooBig,
}
