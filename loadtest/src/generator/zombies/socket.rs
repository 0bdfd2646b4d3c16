//! All that a zombie does to its socket, bare or under TLS.
//! Not when and why; that is `peer`.

use std::io;
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use rustls::ClientConnection;
use socket2::SockRef;

use crate::generator::link::{Ended, Link};
use crate::sys;

/// Bytes that the kernel is to hold for a peer that does not read, each way: enough to be a burden
/// to the server, and no more than thousands of them can have.
const NARROW: usize = 64 * 1024;

/// What one look at the socket gave.
#[derive(Debug)]
pub enum Received {
    /// So many bytes.
    Bytes(usize),
    /// Nothing now.
    Nothing,
    /// No more will come, and why.
    End(Ended),
}

/// A zombie's socket; it vanishes with a reset when it is dropped, and leaves no TIME_WAIT. Under
/// TLS that is without a close_notify: what goes wrong does not take leave.
#[derive(Debug)]
pub struct Socket {
    link: Link,
}

impl Socket {
    /// Takes over a socket whose connect(2) is under way.
    pub fn new(stream: TcpStream) -> Socket {
        // A socket that refuses ends with a FIN instead, at the price of a TIME_WAIT.
        let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        Socket { link: Link::new(stream) }
    }

    /// Asks for edge-triggered readiness.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        registry.register(self.link.stream(), token, interest)
    }

    /// Whether connect(2) has succeeded; its error where it has failed.
    pub fn is_connected(&mut self) -> io::Result<bool> {
        let stream = self.link.stream();
        match stream.take_error()? {
            Some(error) => Err(error),
            // Readiness may be spurious.
            None => Ok(stream.peer_addr().is_ok()),
        }
    }

    /// Begins a TLS handshake, which [`Socket::receive`] and [`Socket::flush`] take forward.
    pub fn secure(&mut self, session: ClientConnection) -> Result<(), Ended> {
        self.link.secure(session)
    }

    /// Whether a TLS handshake is under way.
    pub fn is_handshaking(&self) -> bool {
        self.link.is_handshaking()
    }

    /// Sends `bytes`; what the kernel does not take now goes with [`Socket::flush`].
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), Ended> {
        self.link.send(bytes)
    }

    /// Whether bytes wait for the kernel to take them.
    pub fn is_blocked(&self) -> bool {
        self.link.is_blocked()
    }

    /// Sends what waits.
    pub fn flush(&mut self) -> Result<(), Ended> {
        self.link.flush()
    }

    /// What has come.
    pub fn receive(&mut self, buffer: &mut [u8]) -> Received {
        match self.link.receive(buffer) {
            Ok(Some(length)) => Received::Bytes(length),
            Ok(None) => Received::Nothing,
            Err(ended) => Received::End(ended),
        }
    }

    /// Whether the connection has failed, without reading.
    pub fn has_failed(&mut self) -> bool {
        !matches!(self.is_connected(), Ok(true))
    }

    /// Lets the kernel hold little for it: a peer that asks for more than it reads.
    pub fn narrow(&mut self) -> io::Result<()> {
        let socket = SockRef::from(&*self.link.stream());
        socket.set_recv_buffer_size(NARROW)?;
        socket.set_send_buffer_size(NARROW)
    }

    /// Says that nothing more will be sent: under TLS with a close_notify, then with a FIN.
    pub fn shut_sending(&mut self) -> io::Result<()> {
        self.link.shut_sending()
    }

    /// From now on nothing that comes is received or acknowledged, but FIN and RST.
    pub fn vanish(&mut self) -> io::Result<()> {
        sys::drop_all_but_endings(self.link.stream())
    }

    /// Is there again after [`Socket::vanish`].
    pub fn come_back(&mut self) -> io::Result<()> {
        sys::drop_nothing(self.link.stream())
    }

    /// How many segments have come in.
    pub fn segments_in(&mut self) -> io::Result<u32> {
        sys::segments_in(self.link.stream())
    }
}
