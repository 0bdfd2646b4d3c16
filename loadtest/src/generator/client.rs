//! One connection of the generator: its socket, where its stream stands, what is still unsent.
//! Not when it sends and what an answer means; those are `work` and `ledger`.

use std::io::{self, Read, Write};
use std::time::Duration;

use mio::net::TcpStream;

use crate::wire::decoder::Decoder;
use crate::wire::handshake::Upgrade;
use crate::wire::payload::Stamp;

/// How far a connection has come.
#[derive(Debug)]
pub enum Stage {
    /// connect(2) is under way.
    Connecting,
    /// The upgrade request is sent.
    Upgrading(Box<Upgrade>),
    /// Messages may flow.
    Open,
    /// We sent a close frame and wait for the server to hang up.
    Closing,
}

/// One connection.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
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
    unsent: Option<Box<Unsent>>,
}

#[derive(Debug)]
struct Unsent {
    bytes: Vec<u8>,
    at: usize,
}

/// Why a connection's socket is of no more use.
#[derive(Debug)]
pub enum Ended {
    /// The peer closed its side.
    Closed,
    /// An error: a reset, a timeout.
    Failed(io::Error),
}

impl Client {
    /// A connection whose connect(2) is under way.
    pub fn new(stream: TcpStream, id: u32, now: Duration, masked_answers: bool) -> Client {
        Client {
            stream,
            id,
            stage: Stage::Connecting,
            spoke: now,
            decoder: Decoder::new(masked_answers),
            arriving: Stamp::default(),
            sent: 0,
            received: 0,
            attempts: 0,
            unsent: None,
        }
    }

    /// The socket.
    pub fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Whether messages may flow.
    pub fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open)
    }

    /// Whether bytes wait for the kernel to take them.
    pub fn is_blocked(&self) -> bool {
        self.unsent.is_some()
    }

    /// Messages sent that have not come back.
    pub fn in_flight(&self) -> u64 {
        self.sent - self.received
    }

    /// Sends `bytes`, or keeps what the kernel does not take now; [`Client::flush`] goes on.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), Ended> {
        if let Some(unsent) = &mut self.unsent {
            unsent.bytes.extend_from_slice(bytes);
            return Ok(());
        }
        let taken = write(&self.stream, bytes)?;
        if taken < bytes.len() {
            let rest = Unsent { bytes: bytes[taken..].to_vec(), at: 0 };
            self.unsent = Some(Box::new(rest));
        }
        Ok(())
    }

    /// Sends what was kept.
    pub fn flush(&mut self) -> Result<(), Ended> {
        if let Some(unsent) = &mut self.unsent {
            unsent.at += write(&self.stream, &unsent.bytes[unsent.at..])?;
            if unsent.at == unsent.bytes.len() {
                self.unsent = None;
            }
        }
        Ok(())
    }

    /// One recv; `Ok(None)` when there is nothing now.
    pub fn receive(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, Ended> {
        loop {
            match (&self.stream).read(buffer) {
                Ok(0) => return Err(Ended::Closed),
                Ok(n) => return Ok(Some(n)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Ended::Failed(error)),
            }
        }
    }
}

/// How many bytes the kernel takes now.
fn write(mut stream: &TcpStream, bytes: &[u8]) -> Result<usize, Ended> {
    let mut taken = 0;
    while taken < bytes.len() {
        match stream.write(&bytes[taken..]) {
            Ok(n) => taken += n,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Ended::Failed(error)),
        }
    }
    Ok(taken)
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
