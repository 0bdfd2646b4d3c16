//! A client with control over every byte it sends, that sees every byte it gets.
//! Not a WebSocket implementation: what it sends may be as wrong as a test wants.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::frame::{self, Frame};
use super::tls::Secrecy;
use super::{PATIENCE, Server};

/// The key of the RFC's own example, and what it is answered with.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// See [`KEY`].
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// What the server did next.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// A whole frame came.
    Frame(Frame),
    /// The stream ended in good order.
    Finished,
    /// The connection was reset.
    Reset,
    /// Nothing happened in the time given.
    Nothing,
}

/// An HTTP answer.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Status line and header lines.
    pub head: String,
    /// As many bytes as `Content-Length` says.
    pub body: String,
}

impl Response {
    /// The value of the first header line of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

/// A TCP connection to the server, with TLS or without.
#[derive(Debug)]
pub struct RawClient {
    stream: TcpStream,
    unread: Vec<u8>,
    secrecy: Option<Secrecy>,
}

impl From<TcpStream> for RawClient {
    fn from(stream: TcpStream) -> Self {
        RawClient { stream, unread: Vec::new(), secrecy: None }
    }
}

impl RawClient {
    /// A connection on which nothing was sent.
    pub fn connect(server: &Server) -> Self {
        Self::try_connect(server.address()).expect("the server listens")
    }

    /// As [`connect`](Self::connect), for where it may fail.
    pub fn try_connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(RawClient { stream, unread: Vec::new(), secrecy: None })
    }

    /// A connection with a receive buffer so small that the server soon notices who does not read.
    pub fn connect_narrow(server: &Server) -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)
            .expect("a socket can be made");
        socket.set_recv_buffer_size(4096).expect("a buffer size can be set");
        socket.connect(&server.address().into()).expect("the server listens");
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true).expect("nodelay can be set");
        RawClient { stream, unread: Vec::new(), secrecy: None }
    }

    /// A connection that has been upgraded.
    pub fn open(server: &Server, path: &str) -> Self {
        Self::connect(server).upgraded(path)
    }

    /// Upgrades this connection.
    pub fn upgraded(mut self, path: &str) -> Self {
        self.send(request(path, &[]).as_bytes());
        let response = self.response();
        assert_eq!(response.status, 101, "{response:?}");
        assert_eq!(response.header("Sec-WebSocket-Accept"), Some(ACCEPT));
        self
    }

    /// Shakes hands under TLS on this connection.
    pub fn secured(self, config: &std::sync::Arc<rustls::ClientConfig>) -> Self {
        self.try_secured(config).expect("the handshake succeeds")
    }

    /// As [`secured`](Self::secured), for where it may fail.
    pub fn try_secured(
        mut self,
        config: &std::sync::Arc<rustls::ClientConfig>,
    ) -> io::Result<Self> {
        let mut secrecy = Secrecy::new(config);
        secrecy.shake_hands(&mut self.stream, &mut self.unread)?;
        self.secrecy = Some(secrecy);
        Ok(self)
    }

    /// Its TLS.
    pub fn secrecy(&mut self) -> &mut Secrecy {
        self.secrecy.as_mut().expect("it speaks TLS")
    }

    /// The socket itself.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// The socket alone; what was read and not used is forgotten.
    pub fn into_stream(self) -> TcpStream {
        self.stream
    }

    /// Sends all of these bytes.
    pub fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).expect("the server takes what is sent");
    }

    /// Sends, where the server may have gone.
    pub fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.secrecy {
            Some(secrecy) => self.stream.write_all(&secrecy.seal(bytes)),
            None => self.stream.write_all(bytes),
        }
    }

    /// Sends bytes that are sealed already, or are to look so.
    pub fn send_wire(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the server takes what is sent");
    }

    /// Sends each byte in a segment of its own.
    pub fn send_dripping(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.send(&[*byte]);
        }
    }

    /// Ends this side of the stream.
    pub fn finish(&mut self) {
        self.stream.shutdown(Shutdown::Write).expect("an open stream can be shut");
    }

    /// One HTTP answer; panics if none comes.
    pub fn response(&mut self) -> Response {
        self.try_response(PATIENCE)
            .unwrap_or_else(|why| panic!("no HTTP answer but {why} after {:?}", self.unread_text()))
    }

    /// One HTTP answer within `limit`, where none may come.
    pub fn try_response(&mut self, limit: Duration) -> io::Result<Response> {
        let end = Instant::now() + limit;
        loop {
            if let Some(response) = self.take_response() {
                return Ok(response);
            }
            if self.fill(end)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// The next frame; panics if something else happens.
    pub fn frame(&mut self) -> Frame {
        match self.next(PATIENCE) {
            Event::Frame(frame) => frame,
            other => panic!("no frame but {other:?}"),
        }
    }

    /// The next frame that is not a ping.
    pub fn data(&mut self) -> Frame {
        loop {
            let frame = self.frame();
            if frame.first != frame::PING {
                return frame;
            }
        }
    }

    /// What happens next, within `limit`.
    pub fn next(&mut self, limit: Duration) -> Event {
        let end = Instant::now() + limit;
        loop {
            if let Some(frame) = frame::take(&mut self.unread) {
                return Event::Frame(frame);
            }
            match self.fill(end) {
                Ok(0) => return Event::Finished,
                Ok(_) => {}
                Err(error) if is_timeout(&error) => return Event::Nothing,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Event::Reset,
                Err(error) => panic!("reading failed: {error}"),
            }
        }
    }

    /// Reads frames to the end of the connection: what came, and how it ended.
    pub fn drain(&mut self, limit: Duration) -> (Vec<Frame>, Event) {
        let end = Instant::now() + limit;
        let mut frames = Vec::new();
        loop {
            match self.next(end.saturating_duration_since(Instant::now())) {
                Event::Frame(frame) => frames.push(frame),
                other => return (frames, other),
            }
        }
    }

    /// Reads to the end of the connection without looking for frames.
    pub fn drain_bytes(&mut self, limit: Duration) -> (Vec<u8>, Event) {
        let end = Instant::now() + limit;
        let event = loop {
            match self.fill(end) {
                Ok(0) => break Event::Finished,
                Ok(_) => {}
                Err(error) if is_timeout(&error) => break Event::Nothing,
                Err(_) => break Event::Reset,
            }
        };
        (std::mem::take(&mut self.unread), event)
    }

    /// Reads for so long and answers each ping at once: the other frames that came, and what
    /// ended it; [`Event::Nothing`] where the connection lives.
    pub fn answer_pings(&mut self, limit: Duration) -> (Vec<Frame>, Event) {
        let end = Instant::now() + limit;
        let mut frames = Vec::new();
        loop {
            match self.next(end.saturating_duration_since(Instant::now())) {
                Event::Frame(Frame { first: frame::PING, payload }) => {
                    let _ = self.try_send(&frame::frame(frame::PONG, &payload));
                }
                Event::Frame(frame) => frames.push(frame),
                other => return (frames, other),
            }
            if Instant::now() >= end {
                return (frames, Event::Nothing);
            }
        }
    }

    /// Waits for a ping and does not answer it.
    pub fn wait_for_ping(&mut self) {
        while self.frame().first != frame::PING {}
    }

    /// Asserts that a close frame with this code comes, then the end of the stream and no reset.
    pub fn expect_close(&mut self, code: u16) {
        let frame = self.data();
        assert_eq!(frame.close_code(), Some(code), "{frame:?}");
        assert_eq!(self.next(PATIENCE), Event::Finished);
    }

    /// Asserts that the next frame but pings closes with this code, and leaves it unanswered.
    pub fn next_close(&mut self, code: u16) {
        let frame = self.data();
        assert_eq!(frame.close_code(), Some(code), "{frame:?}");
    }

    /// Asserts that an echo comes back, so that the connection is alive and in order.
    pub fn expect_echo(&mut self, message: &str) {
        self.send(&frame::text(message));
        let frame = self.data();
        assert_eq!((frame.first, &frame.payload[..]), (frame::TEXT, message.as_bytes()));
    }

    fn unread_text(&self) -> String {
        String::from_utf8_lossy(&self.unread).into_owned()
    }

    /// Reads once, until `end` at most.
    fn fill(&mut self, end: Instant) -> io::Result<usize> {
        let left = end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        self.stream.set_read_timeout(Some(left))?;
        let mut buffer = [0; 16 * 1024];
        let n = loop {
            match self.stream.read(&mut buffer) {
                // With a timeout set a read is not taken up again by the kernel (signal(7)).
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                outcome => break outcome?,
            }
        };
        match &mut self.secrecy {
            Some(secrecy) => secrecy.open(&buffer[..n], &mut self.unread)?,
            None => self.unread.extend_from_slice(&buffer[..n]),
        }
        Ok(n)
    }

    fn take_response(&mut self) -> Option<Response> {
        let end = self.unread.windows(4).position(|bytes| bytes == b"\r\n\r\n")? + 4;
        let head = String::from_utf8(self.unread[..end].to_vec()).expect("an answer is text");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        let mut response = Response {
            status: status.unwrap_or_else(|| panic!("no status in {head:?}")),
            head,
            body: String::new(),
        };
        let length = response.header("Content-Length").map_or(0, |n| n.parse().expect("a length"));
        let body = self.unread.get(end..end + length)?;
        response.body = String::from_utf8(body.to_vec()).expect("a body is text");
        self.unread.drain(..end + length);
        Some(response)
    }
}

/// An upgrade request with extra header lines.
pub fn request(path: &str, lines: &[&str]) -> String {
    let extra: String = lines.iter().flat_map(|line| [line, "\r\n"]).collect();
    format!(
        "GET {path} HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{extra}\r\n"
    )
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
