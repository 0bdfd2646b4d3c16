//! All that a zombie does to its socket.
//! Not when and why; that is `peer`.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use socket2::SockRef;

use crate::sys;

/// Bytes that the kernel is to hold for a peer that does not read, each way: enough to be a burden
/// to the server, and no more than thousands of them can have.
const NARROW: usize = 64 * 1024;

/// What one recv gave.
#[derive(Debug)]
pub enum Received {
    /// So many bytes.
    Bytes(usize),
    /// Nothing now.
    Nothing,
    /// The server shut its side.
    Fin,
    /// The server reset the connection, or the kernel gave up on it.
    Failed(io::Error),
}

/// A zombie's socket; it vanishes with a reset when it is dropped, and leaves no TIME_WAIT.
#[derive(Debug)]
pub struct Socket {
    stream: TcpStream,
}

impl Socket {
    /// Takes over a socket whose connect(2) is under way.
    pub fn new(stream: TcpStream) -> Socket {
        // A socket that refuses ends with a FIN instead, at the price of a TIME_WAIT.
        let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        Socket { stream }
    }

    /// Asks for edge-triggered readiness.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut self.stream, token, interest)
    }

    /// Whether connect(2) has succeeded; its error where it has failed.
    pub fn is_connected(&self) -> io::Result<bool> {
        match self.stream.take_error()? {
            Some(error) => Err(error),
            // Readiness may be spurious.
            None => Ok(self.stream.peer_addr().is_ok()),
        }
    }

    /// How many of `bytes` the kernel takes now.
    pub fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match (&self.stream).write(bytes) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                taken => return taken,
            }
        }
    }

    /// One recv.
    pub fn receive(&self, buffer: &mut [u8]) -> Received {
        loop {
            match (&self.stream).read(buffer) {
                Ok(0) => return Received::Fin,
                Ok(length) => return Received::Bytes(length),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Received::Nothing,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Received::Failed(error),
            }
        }
    }

    /// Whether the connection has failed, without reading.
    pub fn has_failed(&self) -> bool {
        !matches!(self.is_connected(), Ok(true))
    }

    /// Lets the kernel hold little for it: a peer that asks for more than it reads.
    pub fn narrow(&self) -> io::Result<()> {
        let socket = SockRef::from(&self.stream);
        socket.set_recv_buffer_size(NARROW)?;
        socket.set_send_buffer_size(NARROW)
    }

    /// Says that nothing more will be sent.
    pub fn shut_sending(&self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// From now on nothing that comes is received or acknowledged, but FIN and RST.
    pub fn vanish(&self) -> io::Result<()> {
        sys::drop_all_but_endings(&self.stream)
    }

    /// Is there again after [`Socket::vanish`].
    pub fn come_back(&self) -> io::Result<()> {
        sys::drop_nothing(&self.stream)
    }

    /// How many segments have come in.
    pub fn segments_in(&self) -> io::Result<u32> {
        sys::segments_in(&self.stream)
    }
}
