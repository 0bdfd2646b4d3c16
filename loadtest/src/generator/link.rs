//! What carries a connection's bytes: its socket, bare or under TLS, and what is still unsent.
//! Not what the bytes mean (`wire`), nor which certificates are trusted (`tls`).

use std::io::{self, Read, Write};
use std::net::Shutdown;
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

    /// Says that nothing more will be sent, and goes on receiving: under TLS with a close_notify,
    /// if the kernel takes it at once, and then with a FIN.
    pub fn shut_sending(&mut self) -> io::Result<()> {
        if let Some(session) = &mut self.session {
            session.close(&self.stream);
        }
        self.stream.shutdown(Shutdown::Write)
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::sync::{Arc, mpsc};
    use std::thread::{self, JoinHandle};

    use mio::{Events, Interest, Poll, Token};
    use rustls::crypto::ring;
    use rustls::pki_types::PrivateKeyDer;
    use rustls::{ServerConfig, ServerConnection, StreamOwned};

    use crate::args::Security;
    use crate::tls::Tls;

    type Server = StreamOwned<ServerConnection, std::net::TcpStream>;

    /// A link whose handshake is over, its poll, and the thread that serves it.
    fn linked(serve: impl FnOnce(Server) + Send + 'static) -> (Link, Poll, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let server = thread::spawn(move || {
            let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
            let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
            let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
                .with_safe_default_protocol_versions()
                .expect("versions")
                .with_no_client_auth()
                .with_single_cert(vec![made.cert.der().clone()], key);
            let config = Arc::new(config.expect("a key that fits"));
            let connection = ServerConnection::new(config).expect("a good configuration");
            serve(StreamOwned::new(connection, listener.accept().expect("a client").0));
        });
        let socket = std::net::TcpStream::connect(address).expect("a listener");
        socket.set_nonblocking(true).expect("a socket");
        let mut stream = TcpStream::from_std(socket);
        let poll = Poll::new().expect("a poll");
        let interest = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut stream, Token(0), interest).expect("registered");
        let any = Security { insecure: true, ..Security::default() };
        let session = Tls::resolve(&any, "localhost", false).expect("resolved").session();
        let mut link = Link::new(stream);
        link.secure(session.expect("a session")).expect("begun");
        let mut poll = poll;
        while link.is_handshaking() {
            wait(&mut poll);
            assert!(link.receive(&mut [0; 1024]).expect("a handshake").is_none());
        }
        (link, poll, server)
    }

    fn wait(poll: &mut Poll) {
        let mut events = Events::with_capacity(4);
        poll.poll(&mut events, Some(Duration::from_secs(10))).expect("polled");
        assert!(!events.is_empty(), "nothing happens");
    }

    fn pattern(length: usize) -> Vec<u8> {
        (0..length).map(|i| (i % 251) as u8).collect()
    }

    #[test]
    fn what_the_kernel_does_not_take_is_kept_and_goes_when_it_does() {
        let (go, may_read) = mpsc::channel();
        let bytes = pattern(16 << 20);
        let expected = bytes.clone();
        let (mut link, mut poll, server) = linked(move |mut server| {
            server.conn.complete_io(&mut server.sock).expect("a handshake");
            may_read.recv().expect("the word to go");
            let mut came = vec![0; expected.len() + 3];
            server.read_exact(&mut came).expect("all of it");
            assert!(came.starts_with(&expected) && came.ends_with(b"end"));
        });
        link.send(&bytes).expect("sent or kept");
        assert!(link.is_blocked());
        link.send(b"end").expect("kept");
        go.send(()).expect("somebody waits");
        while link.is_blocked() {
            wait(&mut poll);
            link.flush().expect("sent or kept");
        }
        server.join().expect("the server had all");
    }

    #[test]
    fn a_stream_read_into_any_buffer_is_whole_and_its_end_is_seen() {
        for room in [3, 100, 20_000, 65_536] {
            let (mut link, mut poll, server) = linked(|mut server| {
                server.write_all(&pattern(150_000)).expect("sent");
                assert_eq!(server.conn.server_name(), Some("localhost"));
                // The client has to answer this, and the server to take that answer.
                server.conn.refresh_traffic_keys().expect("keys");
                server.write_all(&pattern(50_000)).expect("sent");
                server.conn.send_close_notify();
                server.flush().expect("sent");
                assert_eq!(server.read(&mut [0; 16]).expect("a clean end"), 0);
            });
            let (mut came, mut buffer) = (Vec::new(), vec![0; room]);
            loop {
                match link.receive(&mut buffer) {
                    Ok(Some(length)) => came.extend_from_slice(&buffer[..length]),
                    Ok(None) => wait(&mut poll),
                    Err(Ended::Closed) => break,
                    Err(ended) => panic!("{ended:?}"),
                }
            }
            assert!(came == [pattern(150_000), pattern(50_000)].concat(), "{room}");
            link.close();
            drop(link);
            server.join().expect("the server saw a clean end");
        }
    }

    #[test]
    fn a_drained_link_has_nothing_that_no_event_tells_of() {
        let (mut link, mut poll, server) = linked(|mut server| {
            server.write_all(&pattern(300_000)).expect("sent");
            assert_eq!(server.read(&mut [0; 16]).expect("a clean end"), 0);
        });
        let (mut came, mut buffer) = (0, vec![0; 4_096]);
        while came < 300_000 {
            match link.receive(&mut buffer).expect("no end yet") {
                Some(length) => {
                    came += length;
                    // Once for each event, as long as anything is left, and not once more.
                    if came < 300_000 && link.is_drained(length, buffer.len()) {
                        wait(&mut poll);
                    }
                }
                None => wait(&mut poll),
            }
        }
        link.close();
        server.join().expect("the server saw a clean end");
    }
}
