//! One connection of the generator: its socket, where its stream stands, what is still unsent.
//! Not when it sends and what an answer means; those are `work` and `ledger`.

use std::time::Duration;

use mio::net::TcpStream;
use rustls::ClientConnection;

pub use super::link::Ended;
use super::link::Link;
use crate::wire::decoder::Decoder;
use crate::wire::handshake::Upgrade;
use crate::wire::payload::Stamp;

/// How far a connection has come.
#[derive(Debug)]
pub enum Stage {
    /// connect(2) is under way.
    Connecting,
    /// The TLS handshake is under way.
    Securing,
    /// The upgrade request is sent.
    Upgrading(Box<Upgrade>),
    /// Messages may flow.
    Open,
    /// We sent a close frame and wait for the server to hang up.
    Closing,
}

impl Stage {
    /// What to say of a connection that stays in this stage for too long.
    pub fn unfinished(&self) -> &'static str {
        match self {
            Stage::Connecting => "the connect was not answered in time",
            Stage::Securing => {
                "the TLS handshake was not over in time; does the server speak TLS there?"
            }
            _ => "the upgrade was not answered in time",
        }
    }
}

/// One connection.
#[derive(Debug)]
pub struct Client {
    link: Link,
    /// Its number in the run, which its messages carry.
    pub id: u32,
    /// How far it has come.
    pub stage: Stage,
    /// When it was begun or last sent something, since the start of the run.
    pub spoke: Duration,
    /// The incoming stream.
    pub decoder: Decoder,
    /// The stamp of the message that is arriving.
    pub arriving: Stamp,
    /// Messages sent, wholly or partly.
    pub sent: u64,
    /// Messages that have come.
    pub received: u64,
    /// Attempts to open it that have failed.
    pub attempts: u16,
}

impl Client {
    /// A connection whose connect(2) is under way.
    pub fn new(stream: TcpStream, id: u32, now: Duration, masked_answers: bool) -> Client {
        Client {
            link: Link::new(stream),
            id,
            stage: Stage::Connecting,
            spoke: now,
            decoder: Decoder::new(masked_answers),
            arriving: Stamp::default(),
            sent: 0,
            received: 0,
            attempts: 0,
        }
    }

    /// The socket.
    pub fn stream(&mut self) -> &mut TcpStream {
        self.link.stream()
    }

    /// Begins the TLS handshake; see [`Link::secure`].
    pub fn secure(&mut self, session: ClientConnection) -> Result<(), Ended> {
        self.stage = Stage::Securing;
        self.link.secure(session)
    }

    /// Whether the TLS handshake has just ended and nothing has followed from it yet.
    pub fn is_secured(&self) -> bool {
        matches!(self.stage, Stage::Securing) && !self.link.is_handshaking()
    }

    /// Whether messages may flow.
    pub fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open)
    }

    /// Whether bytes wait for the kernel to take them.
    pub fn is_blocked(&self) -> bool {
        self.link.is_blocked()
    }

    /// Messages sent that have not come back.
    pub fn in_flight(&self) -> u64 {
        self.sent - self.received
    }

    /// Sends `bytes`, or keeps what the kernel does not take now; [`Client::flush`] goes on.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), Ended> {
        self.link.send(bytes)
    }

    /// Sends what was kept.
    pub fn flush(&mut self) -> Result<(), Ended> {
        self.link.flush()
    }

    /// Bytes that have come; `Ok(None)` when there is nothing now.
    pub fn receive(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, Ended> {
        self.link.receive(buffer)
    }

    /// Whether the latest receive, of `length` bytes into a buffer of `room`, left nothing behind.
    pub fn is_drained(&self, length: usize, room: usize) -> bool {
        self.link.is_drained(length, room)
    }

    /// Takes leave before the connection is dropped; see [`Link::close`].
    pub fn close(&mut self) {
        self.link.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_of_the_fleet_stays_small() {
        // A million of them are to fit beside the server they test.
        assert!(size_of::<Client>() <= 192, "{}", size_of::<Client>());
    }
}
