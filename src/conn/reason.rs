//! Why a connection ended and why one was never begun: the only place where that is named.
//! Not where the decision is taken; this only says what follows from it.

use std::fmt;

/// The one reason for which a connection ended.
///
/// The log line, the label of `ws_connections_closed_total`, the code and text of the close frame
/// and what `Handler::on_close` is told all derive from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum CloseReason {
    /// The peer began the close handshake with a close frame.
    PeerClosed,
    /// The peer ended its stream without a close frame.
    PeerGone,
    /// The connection failed underneath: a reset, an unreachable host, a kernel timeout.
    PeerReset,
    /// The upgrade request was not complete in time; answered 408.
    HandshakeTimeout,
    /// The upgrade request was answered with an HTTP error.
    HandshakeRefused,
    /// A plain HTTP request was answered; there was no upgrade.
    HttpAnswered,
    /// A ping got no byte in answer within the pong timeout: the peer is dead.
    PongTimeout,
    /// No data message came or went for the idle timeout.
    IdleTimeout,
    /// A message was begun and arrived slower than the minimum rate.
    MessageTimeout,
    /// The oldest unsent byte grew older than the write timeout: the peer does not read.
    WriteTimeout,
    /// The peer did not answer our close frame within the close timeout.
    CloseTimeout,
    /// The connection reached its lifetime, or sealed as much under TLS 1.2 as its key may.
    LifetimeReached,
    /// The token that the connection was opened with has expired.
    TokenExpired,
    /// The peer broke RFC 6455: a bad frame header, a frame out of order, a bad close code.
    ProtocolError,
    /// A text message or a close reason was not UTF-8.
    InvalidUtf8,
    /// A compressed message was no deflate stream.
    InvalidDeflate,
    /// A message was, or said it would be, larger than the message limit.
    MessageTooBig,
    /// The peer sent faster than its message rate, and the policy is to close.
    RateLimited,
    /// The peer's outbox passed its bound, and the slow-consumer policy is to close.
    OutboxFull,
    /// The process-wide outbox budget was spent and this peer had the largest backlog.
    OutboxShed,
    /// The process-wide inbox budget was spent and this was the largest unfinished message.
    InboxShed,
    /// The handler asked for it.
    HandlerClosed,
    /// The handler panicked while it served this connection.
    HandlerPanic,
    /// The server drains.
    Draining,
    /// The server drains and this connection had not closed when the wait was over.
    DrainDropped,
    /// Its user opened another connection in its place.
    Replaced,
    /// TLS failed: the handshake came to nothing, a record was bad, or the peer says it has failed.
    TlsError,
    /// There was no room or no will for it; refused before a request was read.
    Refused,
}

impl CloseReason {
    /// How many reasons there are: the length of an array with one place for each.
    pub const COUNT: usize = Self::ALL.len();

    /// Every reason, in the order of [`index`](Self::index).
    pub const ALL: [Self; 28] = [
        Self::PeerClosed,
        Self::PeerGone,
        Self::PeerReset,
        Self::HandshakeTimeout,
        Self::HandshakeRefused,
        Self::HttpAnswered,
        Self::PongTimeout,
        Self::IdleTimeout,
        Self::MessageTimeout,
        Self::WriteTimeout,
        Self::CloseTimeout,
        Self::LifetimeReached,
        Self::TokenExpired,
        Self::ProtocolError,
        Self::InvalidUtf8,
        Self::InvalidDeflate,
        Self::MessageTooBig,
        Self::RateLimited,
        Self::OutboxFull,
        Self::OutboxShed,
        Self::InboxShed,
        Self::HandlerClosed,
        Self::HandlerPanic,
        Self::Draining,
        Self::DrainDropped,
        Self::Replaced,
        Self::TlsError,
        Self::Refused,
    ];

    /// The place of this reason in an array of [`COUNT`](Self::COUNT) elements.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The name in logs and in metric labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PeerClosed => "peer_closed",
            Self::PeerGone => "peer_gone",
            Self::PeerReset => "peer_reset",
            Self::HandshakeTimeout => "handshake_timeout",
            Self::HandshakeRefused => "handshake_refused",
            Self::HttpAnswered => "http_answered",
            Self::PongTimeout => "pong_timeout",
            Self::IdleTimeout => "idle_timeout",
            Self::MessageTimeout => "message_timeout",
            Self::WriteTimeout => "write_timeout",
            Self::CloseTimeout => "close_timeout",
            Self::LifetimeReached => "lifetime_reached",
            Self::TokenExpired => "token_expired",
            Self::ProtocolError => "protocol_error",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::InvalidDeflate => "invalid_deflate",
            Self::MessageTooBig => "message_too_big",
            Self::RateLimited => "rate_limited",
            Self::OutboxFull => "outbox_full",
            Self::OutboxShed => "outbox_shed",
            Self::InboxShed => "inbox_shed",
            Self::HandlerClosed => "handler_closed",
            Self::HandlerPanic => "handler_panic",
            Self::Draining => "draining",
            Self::DrainDropped => "drain_dropped",
            Self::Replaced => "replaced",
            Self::TlsError => "tls_error",
            Self::Refused => "refused",
        }
    }

    /// The code of the close frame we send for this reason (RFC 6455, section 7.4.1).
    ///
    /// `None` where the server sends no close frame of its own: the socket is reset, the peer has
    /// gone, or the connection was never upgraded. For [`PeerClosed`](Self::PeerClosed) the reply
    /// echoes the peer's code, and for [`HandlerClosed`](Self::HandlerClosed) the handler may name
    /// another one than the 1000 given here.
    #[must_use]
    pub const fn close_code(self) -> Option<u16> {
        match self {
            Self::HandlerClosed => Some(1000),
            Self::IdleTimeout | Self::LifetimeReached | Self::Draining => Some(1001),
            Self::ProtocolError => Some(1002),
            Self::InvalidUtf8 | Self::InvalidDeflate => Some(1007),
            Self::TokenExpired | Self::Replaced => Some(1008),
            Self::MessageTimeout | Self::RateLimited => Some(1008),
            Self::MessageTooBig | Self::InboxShed => Some(1009),
            Self::HandlerPanic => Some(1011),
            Self::PeerClosed
            | Self::PeerGone
            | Self::PeerReset
            | Self::HandshakeTimeout
            | Self::HandshakeRefused
            | Self::HttpAnswered
            | Self::PongTimeout
            | Self::WriteTimeout
            | Self::CloseTimeout
            | Self::OutboxFull
            | Self::OutboxShed
            | Self::DrainDropped
            | Self::TlsError
            | Self::Refused => None,
        }
    }

    /// A short phrase for the close frame; never longer than the 123 bytes a close frame can hold.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::PeerClosed => "closed by the peer",
            Self::PeerGone => "the peer left without a close frame",
            Self::PeerReset => "the connection failed",
            Self::HandshakeTimeout => "the handshake took too long",
            Self::HandshakeRefused => "the handshake was refused",
            Self::HttpAnswered => "the request was answered",
            Self::PongTimeout => "no answer to a ping",
            Self::IdleTimeout => "no message for too long",
            Self::MessageTimeout => "a message took too long to arrive",
            Self::WriteTimeout => "the peer does not read",
            Self::CloseTimeout => "no answer to the close frame",
            Self::LifetimeReached => "the connection reached its lifetime",
            Self::TokenExpired => "the token has expired",
            Self::ProtocolError => "a frame broke the protocol",
            Self::InvalidUtf8 => "text was not valid UTF-8",
            Self::InvalidDeflate => "the message was no deflate stream",
            Self::MessageTooBig => "the message is too big",
            Self::RateLimited => "too many messages",
            Self::OutboxFull => "the peer reads too slowly",
            Self::OutboxShed => "the server is short of memory for unsent messages",
            Self::InboxShed => "the server is short of memory for unfinished messages",
            Self::HandlerClosed => "closed by the application",
            Self::HandlerPanic => "internal error",
            Self::Draining => "the server is going away",
            Self::DrainDropped => "the server went away",
            Self::Replaced => "another connection of this user took its place",
            Self::TlsError => "TLS failed",
            Self::Refused => "the server takes no connections now",
        }
    }

    /// Whether the socket is dropped with a reset (RST) rather than closed with a FIN.
    ///
    /// A peer that is dead or does not read would leave its unsent bytes in the kernel for minutes
    /// and would not see a close frame either; a reset gives the memory back at once.
    #[must_use]
    pub const fn resets(self) -> bool {
        matches!(
            self,
            Self::PongTimeout
                | Self::WriteTimeout
                | Self::CloseTimeout
                | Self::OutboxFull
                | Self::OutboxShed
                | Self::DrainDropped
        )
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a connection attempt was answered with an HTTP error instead of 101.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum RefusedReason {
    /// As many connections are open as are allowed or as descriptors permit.
    Full,
    /// The server drains and takes no new connections.
    Draining,
    /// The request or its WebSocket key was malformed.
    BadRequest,
    /// No route serves the path.
    NotFound,
    /// The path serves WebSocket, which upgrades from GET only.
    MethodNotAllowed,
    /// The peer speaks another version than 13.
    WrongVersion,
    /// The request head was larger than the limit.
    HeadTooLarge,
    /// The request head was not complete in time.
    HandshakeTimeout,
    /// The handler would not have this connection.
    HandlerRefused,
    /// The address has as many connections as it may.
    AddressFull,
    /// The address makes connections faster than it may.
    AddressRate,
    /// The table of addresses has no place for another one.
    AddressTableFull,
    /// Connections come faster than the process lets them in.
    ConnectRate,
    /// The user has as many connections as it may.
    UserFull,
    /// A trusted proxy began its connection without a good PROXY header.
    BadProxyHeader,
    /// The peer speaks HTTP without TLS on a port that speaks TLS.
    PlainHttp,
    /// The page's origin may not connect, or the request says none although one is required.
    OriginRefused,
    /// The request shows no token.
    TokenMissing,
    /// The token is malformed, or wrongly signed, or not for this server, or not valid yet.
    TokenRefused,
    /// The token has expired.
    TokenExpired,
    /// The token is good and lacks a claim that the path requires.
    ClaimMissing,
}

impl RefusedReason {
    /// How many reasons there are: the length of an array with one place for each.
    pub const COUNT: usize = Self::ALL.len();

    /// Every reason, in the order of [`index`](Self::index).
    pub const ALL: [Self; 21] = [
        Self::Full,
        Self::Draining,
        Self::BadRequest,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::WrongVersion,
        Self::HeadTooLarge,
        Self::HandshakeTimeout,
        Self::HandlerRefused,
        Self::AddressFull,
        Self::AddressRate,
        Self::AddressTableFull,
        Self::ConnectRate,
        Self::UserFull,
        Self::BadProxyHeader,
        Self::PlainHttp,
        Self::OriginRefused,
        Self::TokenMissing,
        Self::TokenRefused,
        Self::TokenExpired,
        Self::ClaimMissing,
    ];

    /// The place of this reason in an array of [`COUNT`](Self::COUNT) elements.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The name in logs and in metric labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Draining => "draining",
            Self::BadRequest => "bad_request",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::WrongVersion => "wrong_version",
            Self::HeadTooLarge => "head_too_large",
            Self::HandshakeTimeout => "handshake_timeout",
            Self::HandlerRefused => "handler_refused",
            Self::AddressFull => "address_full",
            Self::AddressRate => "address_rate",
            Self::AddressTableFull => "address_table_full",
            Self::ConnectRate => "connect_rate",
            Self::UserFull => "user_full",
            Self::BadProxyHeader => "bad_proxy_header",
            Self::PlainHttp => "plain_http",
            Self::OriginRefused => "origin_refused",
            Self::TokenMissing => "token_missing",
            Self::TokenRefused => "token_refused",
            Self::TokenExpired => "token_expired",
            Self::ClaimMissing => "claim_missing",
        }
    }

    /// The HTTP status this refusal is answered with.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Full | Self::Draining | Self::ConnectRate | Self::AddressTableFull => 503,
            // What is one client's doing and not the server's state is not 5xx: balancers count those,
            // and would take a server away for one client's greed.
            Self::AddressFull | Self::AddressRate | Self::UserFull => 429,
            Self::BadRequest | Self::BadProxyHeader | Self::PlainHttp => 400,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::WrongVersion => 426,
            Self::HeadTooLarge => 431,
            Self::HandshakeTimeout => 408,
            Self::TokenMissing | Self::TokenRefused | Self::TokenExpired => 401,
            Self::HandlerRefused | Self::OriginRefused | Self::ClaimMissing => 403,
        }
    }

    /// True where the request itself was not at fault: another time it may be taken.
    #[must_use]
    pub const fn is_for_want_of_room(self) -> bool {
        matches!(self.status(), 429 | 503)
    }
}

impl fmt::Display for RefusedReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::{CloseReason, RefusedReason};
    use std::collections::BTreeSet;

    #[test]
    fn each_reason_stands_at_its_own_index_under_its_own_name() {
        for (place, reason) in CloseReason::ALL.iter().enumerate() {
            assert_eq!(reason.index(), place);
        }
        for (place, reason) in RefusedReason::ALL.iter().enumerate() {
            assert_eq!(reason.index(), place);
        }
        let closed: BTreeSet<_> = CloseReason::ALL.iter().map(|r| r.as_str()).collect();
        assert_eq!(closed.len(), CloseReason::COUNT);
        let refused: BTreeSet<_> = RefusedReason::ALL.iter().map(|r| r.as_str()).collect();
        assert_eq!(refused.len(), RefusedReason::COUNT);
    }

    #[test]
    fn a_reason_that_resets_sends_no_close_frame() {
        for reason in CloseReason::ALL {
            assert!(!(reason.resets() && reason.close_code().is_some()), "{reason}");
        }
    }

    #[test]
    fn every_code_may_stand_in_a_close_frame_and_every_text_fits_beside_it() {
        for reason in CloseReason::ALL {
            // 1004, 1005, 1006 and 1015 are reserved and never travel (RFC 6455, section 7.4.1).
            let code = reason.close_code();
            assert!(code.is_none_or(|c| matches!(c, 1000..=1003 | 1007..=1014)), "{reason}");
            assert!(reason.text().len() <= 123, "{reason}");
        }
    }

    #[test]
    fn every_refusal_is_an_http_error() {
        for reason in RefusedReason::ALL {
            assert!((400..600).contains(&reason.status()), "{reason}");
        }
    }
}
