//! The ways in which a peer goes wrong, and how long a server may take to notice each.
//! Not what they send (`bytes`) nor how they are played (`peer`).

use std::fmt;
use std::time::Duration;

/// How a peer goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Connects, sends half a request head, and nothing more.
    SilentHandshake,
    /// Sends the request head a byte at a time, and never ends it.
    DripHandshake,
    /// Opens, reads, and answers no ping.
    NoPong,
    /// Opens; then whatever comes for it is dropped, and it says nothing more: neither ACK nor FIN.
    Vanish,
    /// Opens, asks for much, and reads nothing of it.
    StopReading,
    /// Opens, and shuts its sending side.
    HalfClose,
    /// Opens, and sends what is no frame.
    Garbage,
    /// Opens, and announces a frame of 2^40 bytes.
    HugeLength,
    /// Opens, and sends one message in small fragments without a last one.
    EndlessFragments,
    /// Opens, sends half a frame, and resets the connection.
    Reset,
}

impl Kind {
    /// All kinds, in the order of their numbers.
    pub const ALL: [Kind; 10] = [
        Kind::SilentHandshake,
        Kind::DripHandshake,
        Kind::NoPong,
        Kind::Vanish,
        Kind::StopReading,
        Kind::HalfClose,
        Kind::Garbage,
        Kind::HugeLength,
        Kind::EndlessFragments,
        Kind::Reset,
    ];

    /// Its name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Kind::SilentHandshake => "silent-handshake",
            Kind::DripHandshake => "drip-handshake",
            Kind::NoPong => "no-pong",
            Kind::Vanish => "vanish",
            Kind::StopReading => "stop-reading",
            Kind::HalfClose => "half-close",
            Kind::Garbage => "garbage",
            Kind::HugeLength => "huge-length",
            Kind::EndlessFragments => "endless-fragments",
            Kind::Reset => "reset",
        }
    }

    /// The kind of that name.
    pub fn named(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether it goes wrong before it is a WebSocket connection.
    pub fn never_opens(self) -> bool {
        matches!(self, Kind::SilentHandshake | Kind::DripHandshake)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Bytes of an unfinished message that buy it another second.
const BYTES_PER_SECOND: f64 = 4096.0;

/// The deadlines that the server claims to keep, as the operator states them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claims {
    /// From accept to the end of the upgrade.
    pub handshake_timeout: Duration,
    /// From the last byte received to a ping.
    pub ping_interval: Duration,
    /// From a ping to the end of a peer that does not answer.
    pub pong_timeout: Duration,
    /// From the first byte of an unfinished message to its end, before what its bytes add.
    pub message_timeout: Duration,
    /// The age of the oldest unsent byte at which a peer that does not read is dropped.
    pub write_timeout: Duration,
    /// What a server may take beyond a deadline.
    pub grace: Duration,
}

impl Claims {
    /// How soon a server that keeps its word notices a zombie which has sent `sent` bytes since it
    /// began to go wrong. What violates the protocol needs no deadline: it is noticed at once.
    pub fn deadline(&self, kind: Kind, sent: u64) -> Duration {
        match kind {
            Kind::SilentHandshake | Kind::DripHandshake => self.handshake_timeout,
            Kind::NoPong | Kind::Vanish => self.ping_interval + self.pong_timeout,
            Kind::StopReading => self.write_timeout,
            Kind::EndlessFragments => {
                self.message_timeout + Duration::from_secs_f64(sent as f64 / BYTES_PER_SECOND)
            }
            Kind::HalfClose | Kind::Garbage | Kind::HugeLength | Kind::Reset => Duration::ZERO,
        }
    }

    /// The longest deadline of all.
    pub fn longest(&self) -> Duration {
        Kind::ALL.into_iter().map(|kind| self.deadline(kind, 0)).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_stand_in_the_order_of_their_numbers_and_are_found_by_name() {
        for (index, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, index);
            assert_eq!(Kind::named(kind.name()), Some(kind));
        }
        assert_eq!(Kind::named("werewolf"), None);
    }

    #[test]
    fn bytes_of_an_unfinished_message_buy_it_time() {
        let second = Duration::from_secs(1);
        let claims = Claims {
            handshake_timeout: second,
            ping_interval: 2 * second,
            pong_timeout: 3 * second,
            message_timeout: 4 * second,
            write_timeout: second,
            grace: second,
        };
        assert_eq!(claims.deadline(Kind::EndlessFragments, 8192), 6 * second);
        assert_eq!(claims.deadline(Kind::Vanish, 8192), 5 * second);
        assert_eq!(claims.deadline(Kind::Garbage, 8192), Duration::ZERO);
        assert_eq!(claims.longest(), 5 * second);
    }
}
