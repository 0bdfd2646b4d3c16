//! What carries a connection's bytes: its socket, bare or under TLS, and what is still unsent.
//! Not what the bytes mean (`wire`), nor which certificates are trusted (`tls`).

use std::io::{self, Read, Write};
use std::time::Duration;

use mio::net::TcpStream;
use rustls::ClientConnection;
use socket2::SockRef;

use super::session::Session;

/// Why a connection's socket is of no more use.
#[derive(Debug)]
pub enum Ended {
    /// The peer closed its side.
    Closed,
    /// An error: a reset, a timeout.
    Failed(io::Error),
    /// What the peer sent is not acceptable as TLS.
    Tls(rustls::Error),
}

/// A socket and, where there is TLS, its session.
///
/// Readiness is edge-triggered, so on a readable event call [`Link::receive`] until it says that
/// nothing is left, and on a writable one [`Link::flush`]. Under TLS receiving may have to send
/// (handshakes, key updates); what the kernel does not take of that counts as blocked, too.
#[derive(Debug)]
pub struct Link {
    stream: TcpStream,
    // Boxed, as is what is unsent: a bare connection pays one pointer for what it does not have.
    session: Option<Box<Session>>,
    unsent: Option<Box<Unsent>>,
}

/// Bytes that were given to [`Link::send`] and have gone neither to the kernel nor into a record.
#[derive(Debug)]
struct Unsent {
    bytes: Vec<u8>,
    at: usize,
}

impl Link {
    /// A bare link; connect(2) may still be under way.
    pub fn new(stream: TcpStream) -> Link {
        Link { stream, session: None, unsent: None }
    }

    /// The socket.
    pub fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Begins a TLS handshake on a connected socket that nothing has been sent on.
    pub fn secure(&mut self, session: ClientConnection) -> Result<(), Ended> {
        self.session = Some(Box::new(Session::new(session)));
        self.flush()
    }

    /// Whether a TLS handshake is under way; [`Link::receive`] and [`Link::flush`] take it forward.
    pub fn is_handshaking(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.is_handshaking())
    }

    /// Whether bytes wait for the kernel to take them.
    pub fn is_blocked(&self) -> bool {
        self.unsent.is_some() || self.session.as_ref().is_some_and(|session| session.wants_write())
    }

    /// Sends `bytes`, or keeps what can't go now; [`Link::flush`] goes on.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), Ended> {
        if let Some(unsent) = &mut self.unsent {
            unsent.bytes.extend_from_slice(bytes);
            return Ok(());
        }
        let taken = write(&self.stream, &mut self.session, bytes)?;
        if taken < bytes.len() {
            let rest = Unsent { bytes: bytes[taken..].to_vec(), at: 0 };
            self.unsent = Some(Box::new(rest));
        }
        Ok(())
    }

    /// Sends what was kept.
    pub fn flush(&mut self) -> Result<(), Ended> {
        if let Some(unsent) = &mut self.unsent {
            unsent.at += write(&self.stream, &mut self.session, &unsent.bytes[unsent.at..])?;
            if unsent.at == unsent.bytes.len() {
                self.unsent = None;
            }
        } else if let Some(session) = &mut self.session {
            session.flush(&self.stream)?;
        }
        Ok(())
    }

    /// Bytes that have come; `Ok(None)` when there is nothing now.
    ///
    /// Without TLS that is one recv. With it as many as it takes to get something out of them, and
    /// `buffer` serves for what is still encrypted, too.
    pub fn receive(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, Ended> {
        match &mut self.session {
            None => recv(&self.stream, buffer),
            Some(session) => session.receive(&self.stream, buffer),
        }
    }

    /// Whether the latest [`Link::receive`], which brought `length` bytes into a buffer of `room`,
    /// left nothing behind that no later event would tell of. The peer's end is not seen here.
    pub fn is_drained(&self, length: usize, room: usize) -> bool {
        match &self.session {
            None => length < room,
            Some(session) => session.is_drained(),
        }
    }

    /// Takes leave before the socket is dropped: under TLS with a close_notify.
    ///
    /// A link that is to vanish with a reset, or that has unsent bytes, goes without.
    pub fn close(&mut self) {
        let Some(session) = &mut self.session else { return };
        let linger = SockRef::from(&self.stream).linger();
        let resets = linger.is_ok_and(|linger| linger == Some(Duration::ZERO));
        if self.unsent.is_none() && !resets {
            session.close(&self.stream);
        }
    }
}

/// How many of `bytes` can go now.
fn write(
    stream: &TcpStream,
    session: &mut Option<Box<Session>>,
    bytes: &[u8],
) -> Result<usize, Ended> {
    match session {
        None => send(stream, bytes),
        Some(session) => session.write(stream, bytes),
    }
}

/// How many of `bytes` the kernel takes now.
fn send(mut stream: &TcpStream, bytes: &[u8]) -> Result<usize, Ended> {
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

/// One recv; `Ok(None)` when there is nothing now.
pub(super) fn recv(mut stream: &TcpStream, buffer: &mut [u8]) -> Result<Option<usize>, Ended> {
    loop {
        match stream.read(buffer) {
            Ok(0) => return Err(Ended::Closed),
            Ok(n) => return Ok(Some(n)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Ended::Failed(error)),
        }
    }
}
