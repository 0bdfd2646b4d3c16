//! Why a TLS connection fails, and the alert that tells its peer so (RFC 8446 section 6).
//! Not for a peer that closes in good order.

use super::record::VERSION;

/// What ended a TLS connection before its time.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Failure {
    /// A record's authentication failed: it was changed on its way, or never was for us.
    #[error("bad_record_mac")]
    BadRecordMac,
    /// A record says that it is longer than records may be.
    #[error("record_overflow")]
    RecordOverflow,
    /// A record of a kind that has no place here.
    #[error("unexpected_message")]
    UnexpectedMessage,
    /// What stands in a record is not what its kind has.
    #[error("decode_error")]
    Malformed,
    /// What came first is no TLS.
    #[error("not TLS")]
    NotTls,
    /// More records without data in a row than any honest peer sends.
    #[error("too many records without data")]
    Barren,
    /// More new keys than any honest peer asks for.
    #[error("too many key updates")]
    TooManyUpdates,
    /// The handshake takes more bytes than any honest peer's.
    #[error("the handshake is too long")]
    HandshakeTooLong,
    /// TLS 1.2 clients may ask for another handshake; it is refused.
    #[error("renegotiation")]
    Renegotiation,
    /// The peer says that it has failed: the alert's number.
    #[error("the peer sent alert {0}")]
    PeerAlert(u8),
    /// A TLS 1.2 key has sealed as many records as it may.
    #[error("the key is used up")]
    Exhausted,
    /// The handshake failed.
    #[error("{0}")]
    Handshake(rustls::Error),
    /// What can't be.
    #[error("internal error: {0}")]
    Internal(&'static str),
}

/// Levels of alerts.
const WARNING: u8 = 1;
const FATAL: u8 = 2;

/// The alert that says nothing more will come.
pub(super) const CLOSE_NOTIFY: [u8; 2] = [WARNING, alert::CLOSE_NOTIFY];

/// Numbers of alerts, by their names in the RFC.
pub(super) mod alert {
    pub const CLOSE_NOTIFY: u8 = 0;
    pub const UNEXPECTED_MESSAGE: u8 = 10;
    pub const BAD_RECORD_MAC: u8 = 20;
    pub const RECORD_OVERFLOW: u8 = 22;
    pub const HANDSHAKE_FAILURE: u8 = 40;
    pub const DECODE_ERROR: u8 = 50;
    pub const INTERNAL_ERROR: u8 = 80;
    pub const USER_CANCELED: u8 = 90;
    pub const NO_RENEGOTIATION: u8 = 100;
}

impl Failure {
    /// The alert that tells the peer, level and number; `None` where it is the peer's own doing.
    pub(super) fn alert(&self) -> Option<[u8; 2]> {
        let number = match self {
            Failure::BadRecordMac => alert::BAD_RECORD_MAC,
            Failure::RecordOverflow => alert::RECORD_OVERFLOW,
            Failure::UnexpectedMessage
            | Failure::Barren
            | Failure::TooManyUpdates
            | Failure::NotTls => alert::UNEXPECTED_MESSAGE,
            Failure::Malformed | Failure::HandshakeTooLong => alert::DECODE_ERROR,
            Failure::Handshake(_) => alert::HANDSHAKE_FAILURE,
            Failure::Exhausted | Failure::Internal(_) => alert::INTERNAL_ERROR,
            // It has no other level (RFC 5246 section 7.2.2).
            Failure::Renegotiation => return Some([WARNING, alert::NO_RENEGOTIATION]),
            Failure::PeerAlert(_) => return None,
        };
        Some([FATAL, number])
    }

    /// The alert as a record of its own for one who has no keys yet.
    pub(super) fn plain_alert(&self) -> Vec<u8> {
        let Some([level, number]) = self.alert() else { return Vec::new() };
        vec![super::record::ALERT, VERSION[0], VERSION[1], 0, 2, level, number]
    }
}
