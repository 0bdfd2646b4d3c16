//! A thread for each connection: a server whose deadlines are known, or that has none at all.
//! Not a server to measure; the tests ask whether the generator tells what this one does.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Output};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;
use socket2::SockRef;
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tungstenite::{Error, Message, WebSocket};

use crate::harness::server;

/// How often a waiting thread looks at its deadlines.
const LOOK: Duration = Duration::from_millis(20);

/// How a peer that is dead is let go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ending {
    /// With a reset.
    Reset,
    /// With a FIN.
    Fin,
}

/// What the server keeps.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// From accept to a whole request head.
    pub handshake: Duration,
    /// From the last byte to a ping.
    pub ping: Duration,
    /// From the ping to the end.
    pub pong: Duration,
    /// From a message's first byte to its last.
    pub message: Duration,
    /// For which a send may block.
    pub write: Duration,
    /// How the dead go.
    pub ending: Ending,
}

impl Deadlines {
    /// Each of them a second, but for ping and pong, which are half a second.
    pub const SHORT: Deadlines = Deadlines {
        handshake: Duration::from_secs(1),
        ping: Duration::from_millis(500),
        pong: Duration::from_millis(500),
        message: Duration::from_secs(1),
        write: Duration::from_secs(1),
        ending: Ending::Reset,
    };
}

/// Starts a server that keeps these deadlines.
pub fn keeping(deadlines: Deadlines) -> SocketAddr {
    server(move |stream| {
        // Peers may do as they like; what fails is one of them.
        let _ = connection(stream, deadlines);
    })
}

/// Starts one that keeps them over TLS.
pub fn keeping_over_tls(deadlines: Deadlines, config: Arc<ServerConfig>) -> SocketAddr {
    server(move |stream| {
        let session = ServerConnection::new(Arc::clone(&config)).expect("a good configuration");
        let _ = connection(StreamOwned::new(session, stream), deadlines);
    })
}

/// Starts a server that echoes, and lets go of nobody who does not close in good order.
pub fn oblivious() -> SocketAddr {
    server(|stream| {
        let Ok(mut socket) = tungstenite::accept(stream) else { return };
        while let Ok(message) = socket.read() {
            if message.is_close() {
                let _ = socket.flush();
                return;
            }
            let echo = message.is_text() || message.is_binary();
            if echo && socket.send(message).is_err() {
                break;
            }
        }
        let mut waste = [0; 4096];
        while socket.get_mut().read(&mut waste).is_ok_and(|length| length > 0) {}
        // The descriptor stays open as long as the process.
        loop {
            thread::park();
        }
    })
}

/// What a connection runs over.
trait Transport: Read + Write {
    /// The socket below.
    fn socket(&self) -> &TcpStream;
}

impl Transport for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

impl Transport for StreamOwned<ServerConnection, TcpStream> {
    fn socket(&self) -> &TcpStream {
        &self.sock
    }
}

/// A socket that remembers when bytes came.
struct Watched<T> {
    stream: T,
    heard: Instant,
    /// Since when something is unfinished.
    unfinished: Option<Instant>,
}

impl<T: Transport> Read for Watched<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.stream.read(buffer)?;
        self.heard = Instant::now();
        self.unfinished.get_or_insert(self.heard);
        Ok(length)
    }
}

impl<T: Transport> Write for Watched<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

fn connection(mut stream: impl Transport, deadlines: Deadlines) -> io::Result<()> {
    stream.socket().set_read_timeout(Some(LOOK))?;
    stream.socket().set_write_timeout(Some(deadlines.write))?;
    stream.socket().set_nodelay(true)?;
    let Some(key) = request_key(&mut stream, deadlines.handshake)? else {
        return stream.write_all(b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n");
    };
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        derive_accept_key(key.as_bytes())
    );
    stream.write_all(answer.as_bytes())?;
    let watched = Watched { stream, heard: Instant::now(), unfinished: None };
    let config = WebSocketConfig::default().max_message_size(Some(1 << 20));
    let config = config.max_frame_size(Some(1 << 20));
    messages(WebSocket::from_raw_socket(watched, Role::Server, Some(config)), deadlines)
}

/// The key of a whole request head; `None` where it did not come in time.
fn request_key(stream: &mut impl Transport, at_most: Duration) -> io::Result<Option<String>> {
    let (begun, mut head) = (Instant::now(), Vec::new());
    while !head.ends_with(b"\r\n\r\n") {
        if begun.elapsed() > at_most {
            return Ok(None);
        }
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(_) => head.push(byte[0]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
    Ok(key.map(str::to_owned))
}

fn messages<T: Transport>(
    mut socket: WebSocket<Watched<T>>,
    deadlines: Deadlines,
) -> io::Result<()> {
    let mut pinged: Option<Instant> = None;
    loop {
        let said = match socket.read() {
            Ok(message) => {
                socket.get_mut().unfinished = None;
                pinged = None;
                match message {
                    Message::Text(_) | Message::Binary(_) => socket.send(message),
                    _ => Ok(()),
                }
            }
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {
                let Watched { heard, unfinished, .. } = *socket.get_ref();
                if unfinished.is_some_and(|since| since.elapsed() > deadlines.message) {
                    return close(&mut socket, CloseCode::Policy);
                }
                match pinged {
                    Some(pinged) if heard < pinged && pinged.elapsed() > deadlines.pong => {
                        return end(socket.get_ref(), deadlines.ending);
                    }
                    None if heard.elapsed() > deadlines.ping => {
                        pinged = Some(Instant::now());
                        socket.send(Message::Ping(Vec::new().into()))
                    }
                    _ => Ok(()),
                }
            }
            Err(Error::Capacity(_)) => return close(&mut socket, CloseCode::Size),
            Err(Error::Protocol(_)) => return close(&mut socket, CloseCode::Protocol),
            Err(_) => return Ok(()),
        };
        if said.is_err() {
            return end(socket.get_ref(), Ending::Reset);
        }
    }
}

fn end(watched: &Watched<impl Transport>, ending: Ending) -> io::Result<()> {
    let linger = (ending == Ending::Reset).then_some(Duration::ZERO);
    SockRef::from(watched.stream.socket()).set_linger(linger)
}

/// Says why, and waits until the peer has had time to read it: a close with unread input would
/// reset what was said.
fn close(socket: &mut WebSocket<Watched<impl Transport>>, code: CloseCode) -> io::Result<()> {
    let _ = socket.close(Some(CloseFrame { code, reason: "".into() }));
    let _ = socket.flush();
    let stream = &mut socket.get_mut().stream;
    stream.socket().shutdown(std::net::Shutdown::Write)?;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(5) {
        match stream.read(&mut [0; 4096]) {
            Ok(0) => break,
            Err(error) if error.kind() != ErrorKind::WouldBlock => break,
            _ => {}
        }
    }
    Ok(())
}

/// Runs the `zombies` scenario against a server.
pub fn run(address: SocketAddr, flags: &str) -> Output {
    run_at(&format!("ws://{address}/echo"), flags)
}

/// The same with a whole URL.
pub fn run_at(url: &str, flags: &str) -> Output {
    command(url, flags).output().expect("the binary runs")
}

/// The same, not yet started.
pub fn command(url: &str, flags: &str) -> Command {
    let line = format!("zombies --url {url} --warmup 0 --output json -q {flags}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_pulsewheel-loadtest"));
    command.args(line.split_whitespace());
    command
}

/// The report of a run.
pub fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}

/// What a report says about one kind.
pub fn of_kind<'a>(report: &'a Value, kind: &str) -> &'a Value {
    let kinds = report["zombies"]["kinds"].as_array().expect("a list");
    kinds.iter().find(|found| found["kind"] == kind).unwrap_or_else(|| panic!("{kind}: {report}"))
}

/// Asserts that all `count` of a kind were noticed in time, by one sign.
pub fn assert_noticed(report: &Value, kind: &str, count: u64, sign: &str) {
    let found = of_kind(report, kind);
    assert_eq!((&found["count"], &found["noticed"]), (&count.into(), &count.into()), "{report}");
    assert_eq!((&found["late"], &found["not_noticed"]), (&0.into(), &0.into()), "{report}");
    assert_eq!(found["signs"][sign], count, "{kind}: {report}");
}
