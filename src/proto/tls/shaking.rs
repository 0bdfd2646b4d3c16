//! A handshake under way: rustls does it, from whole records, and hands over when it is done.
//! Not for what comes after: see `traffic`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus};
use rustls::{HandshakeKind, ProtocolVersion, ServerConfig};

use super::Failure;
use super::keys::{Half, Secret};
use super::record::Version;
use super::secrets::{self, Pair};
use super::traffic::Traffic;

/// What a peer may send in its handshake, in bytes. A browser's takes two KiB, a client with
/// post-quantum shares four.
pub(super) const HANDSHAKE_LIMIT: usize = 64 * 1024;

/// How a handshake ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Handshake {
    /// TLS 1.2, with certificate and key exchange.
    Full12,
    /// TLS 1.3, with certificate and key exchange.
    Full13,
    /// TLS 1.2, with a ticket.
    Resumed12,
    /// TLS 1.3, with a ticket.
    Resumed13,
}

impl Handshake {
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();
    /// Each of them, in the order of [`index`](Self::index).
    pub const ALL: [Self; 4] = [Self::Full12, Self::Full13, Self::Resumed12, Self::Resumed13];

    /// The place of this one in an array of [`COUNT`](Self::COUNT) elements.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The names in metric labels: result and version.
    #[must_use]
    pub const fn labels(self) -> (&'static str, &'static str) {
        match self {
            Self::Full12 => ("full", "1.2"),
            Self::Full13 => ("full", "1.3"),
            Self::Resumed12 => ("resumed", "1.2"),
            Self::Resumed13 => ("resumed", "1.3"),
        }
    }
}

/// rustls' state of one handshake.
pub(super) struct Shaking {
    connection: UnbufferedServerConnection,
    /// Bytes in front of the caller's buffer that rustls has seen and still needs.
    seen: usize,
    /// Bytes of whole records that it has been given.
    fed: usize,
    secrets: Pair,
}

/// What has come of a record.
pub(super) enum Step {
    /// More is needed.
    Waiting,
    /// The peer has gone in good order.
    Closed,
    Done(Box<Traffic>, Handshake),
}

impl Shaking {
    pub fn new(config: Arc<ServerConfig>) -> Result<Self, Failure> {
        let connection = UnbufferedServerConnection::new(config).map_err(Failure::Handshake)?;
        Ok(Shaking { connection, seen: 0, fed: 0, secrets: Pair::NONE })
    }

    /// Where the next record begins in the caller's buffer.
    pub fn seen(&self) -> usize {
        self.seen
    }

    /// Gives rustls the record that ends at `end` in `buffer`; takes out of the buffer what is
    /// needed no more, and appends what is to be sent to `wire`.
    pub fn step(
        mut self: Box<Self>,
        buffer: &mut Vec<u8>,
        end: usize,
        wire: &mut Vec<u8>,
    ) -> Result<(Option<Box<Self>>, Step), Failure> {
        self.fed = self.fed.saturating_add(end.saturating_sub(self.seen));
        if self.fed > HANDSHAKE_LIMIT {
            return Err(Failure::HandshakeTooLong);
        }
        let bytes = buffer.get_mut(..end).unwrap_or_default();
        // A peer must not be able to end a reactor, whatever slip it finds in code that parses what
        // it has sent before it has shown any key.
        let driven = catch_unwind(AssertUnwindSafe(|| self.drive(bytes, wire)));
        secrets::give(&mut self.secrets);
        let (discarded, waits) = driven.map_err(|_| Failure::Internal("rustls panicked"))?;
        match waits {
            Ok(true) => {
                buffer.drain(..discarded.min(buffer.len()));
                self.seen = end.saturating_sub(discarded);
                Ok((Some(self), Step::Waiting))
            }
            Ok(false) if self.connection.is_handshaking() => Ok((None, Step::Closed)),
            Ok(false) => {
                if discarded != end {
                    // Half a message stands where its key ends.
                    return Err(Failure::UnexpectedMessage);
                }
                buffer.drain(..discarded.min(buffer.len()));
                let (traffic, handshake) = self.finish()?;
                Ok((None, Step::Done(Box::new(traffic), handshake)))
            }
            Err(failure) => Err(failure),
        }
    }

    /// Has rustls do all that it can with these bytes: how many of them it needs no more, and
    /// whether it waits for others.
    fn drive(&mut self, bytes: &mut [u8], wire: &mut Vec<u8>) -> (usize, Result<bool, Failure>) {
        let mut discarded = 0usize;
        loop {
            let rest = bytes.get_mut(discarded..).unwrap_or_default();
            let UnbufferedStatus { discard, state } = self.connection.process_tls_records(rest);
            let waits = match state {
                Ok(ConnectionState::EncodeTlsData(data)) => {
                    encode(data, wire);
                    None
                }
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    data.done();
                    None
                }
                Ok(ConnectionState::BlockedHandshake) => Some(Ok(true)),
                Ok(ConnectionState::WriteTraffic(_)) | Ok(ConnectionState::PeerClosed) => {
                    Some(Ok(false))
                }
                // Data can't be among records that come one by one and stop with the last of the
                // handshake; early data is not offered.
                Ok(_) => Some(Err(Failure::UnexpectedMessage)),
                Err(rustls::Error::AlertReceived(alert)) => {
                    Some(Err(Failure::PeerAlert(alert.into())))
                }
                Err(error) => Some(Err(Failure::Handshake(error))),
            };
            discarded = discarded.saturating_add(discard);
            if let Some(Err(failure @ Failure::Handshake(_))) = &waits {
                let rest = bytes.get_mut(discarded..).unwrap_or_default();
                if !self.take_alert(rest, wire) {
                    wire.extend(failure.plain_alert());
                }
            }
            if let Some(waits) = waits {
                return (discarded, waits);
            }
        }
    }

    /// Appends what rustls still has to send after a handshake has failed: its alert stands last, if
    /// there is one. It must not look at what it has left of its bytes again, which made it fail, nor
    /// be given fewer.
    fn take_alert(&mut self, rest: &mut [u8], wire: &mut Vec<u8>) -> bool {
        let before = wire.len();
        while self.connection.wants_write() {
            match self.connection.process_tls_records(rest).state {
                Ok(ConnectionState::EncodeTlsData(data)) => encode(data, wire),
                _ => break,
            }
        }
        wire.len() > before
    }

    /// Takes over from rustls.
    fn finish(mut self: Box<Self>) -> Result<(Traffic, Handshake), Failure> {
        let is_resumed = self.connection.handshake_kind() == Some(HandshakeKind::Resumed);
        let version = match self.connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => Version::Tls13,
            Some(ProtocolVersion::TLSv1_2) => Version::Tls12,
            _ => return Err(Failure::Internal("a version that was not offered")),
        };
        let handshake = match (version, is_resumed) {
            (Version::Tls12, false) => Handshake::Full12,
            (Version::Tls13, false) => Handshake::Full13,
            (Version::Tls12, true) => Handshake::Resumed12,
            (Version::Tls13, true) => Handshake::Resumed13,
        };
        let (mut client, mut server) = (Secret::NONE, Secret::NONE);
        if version == Version::Tls13 {
            self.secrets.client.give(&mut client);
            self.secrets.server.give(&mut server);
            if client.is_none() || server.is_none() {
                return Err(Failure::Internal("a configuration that keeps its secrets"));
            }
        }
        let (keys, _) =
            self.connection.dangerous_into_kernel_connection().map_err(Failure::Handshake)?;
        let traffic =
            Traffic::new(version, Half::new(keys.rx, client)?, Half::new(keys.tx, server)?);
        Ok((traffic, handshake))
    }
}

fn encode(mut data: EncodeTlsData<'_, ServerConnectionData>, wire: &mut Vec<u8>) {
    if let Err(EncodeError::InsufficientSize(size)) = data.encode(&mut []) {
        let end = wire.len();
        wire.resize(end.saturating_add(size.required_size), 0);
        // It fits: it has just said how long it is.
        let _ = data.encode(wire.get_mut(end..).unwrap_or_default());
    }
}
