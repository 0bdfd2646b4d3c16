//! Thousands of peers that need not be good ones: each sends what it is told and reads what comes,
//! or does not, and remembers how the server answered and ended it.
//! Not for peers that answer pings; `harness::Herd` is for those.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use std::os::fd::AsRawFd;

use crate::harness::{RawClient, Server, frame, ms};

/// So much of what came is kept of each peer.
const KEPT: usize = 1024;

/// So many newcomers connect before those that are there are read again.
const AT_ONCE: usize = 200;

/// Whether a peer reads what it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// All, as it comes.
    All,
    /// Nothing, into a receive buffer that is soon full.
    Nothing,
}

/// How a connection ended, as its peer saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With a FIN.
    Finished,
    /// With a reset.
    Reset,
}

/// A peer and what has become of it.
pub struct Peer {
    stream: TcpStream,
    reading: Reading,
    /// Just before it connected.
    pub begun: Instant,
    /// The first bytes that came, without the answer to its upgrade.
    pub received: Vec<u8>,
    /// Whether that answer has come.
    pub is_upgraded: bool,
    /// When something first came besides the answer to its upgrade.
    pub answered: Option<Instant>,
    /// How and when it was ended.
    pub ended: Option<(Ending, Instant)>,
}

/// Many of them.
pub struct Crowd {
    poll: Poll,
    events: Events,
    /// In the order in which they came.
    pub peers: Vec<Peer>,
}

impl Crowd {
    /// Nobody yet.
    pub fn new() -> Self {
        pulsewheel::io::descriptors::raise_limit().expect("the limit can be raised");
        let poll = Poll::new().expect("a poll can be made");
        Crowd { poll, events: Events::with_capacity(4096), peers: Vec::new() }
    }

    /// As many who connect and send what `opening` gives for the number of each.
    pub fn of(
        server: &Server,
        count: usize,
        reading: Reading,
        mut opening: impl FnMut(usize) -> Vec<u8>,
    ) -> Self {
        let mut crowd = Crowd::new();
        for n in 0..count {
            crowd.join(server, reading, &opening(n));
            if n % AT_ONCE == 0 {
                crowd.read_for(Duration::ZERO);
            }
        }
        crowd
    }

    /// One more, who connects and sends this.
    pub fn join(&mut self, server: &Server, reading: Reading, opening: &[u8]) {
        let begun = Instant::now();
        let mut client = match reading {
            Reading::All => RawClient::connect(server),
            Reading::Nothing => RawClient::connect_narrow(server),
        };
        // The server may be done with it before all is sent.
        let _ = client.try_send(opening);
        let stream = client.into_stream();
        stream.set_nonblocking(true).expect("it can be made so");
        self.peers.push(Peer {
            stream,
            reading,
            begun,
            received: Vec::new(),
            is_upgraded: false,
            answered: None,
            ended: None,
        });
        if reading == Reading::All {
            self.watch(self.peers.len() - 1);
        }
    }

    fn watch(&self, n: usize) {
        let fd = self.peers[n].stream.as_raw_fd();
        let registry = self.poll.registry();
        registry
            .register(&mut SourceFd(&fd), Token(n), Interest::READABLE)
            .expect("it can be watched");
    }

    /// Those who did not read begin to.
    pub fn begin_reading(&mut self) {
        for n in 0..self.peers.len() {
            if self.peers[n].reading == Reading::Nothing {
                self.peers[n].reading = Reading::All;
                self.watch(n);
            }
        }
    }

    /// Everyone who is still there sends what `bytes` gives for its number.
    pub fn send(&mut self, mut bytes: impl FnMut(usize) -> Vec<u8>) {
        for (n, peer) in self.peers.iter_mut().enumerate() {
            if peer.ended.is_none() {
                // Whoever was closed meanwhile can't, and reading will say so.
                let _ = peer.stream.write_all(&bytes(n));
            }
        }
    }

    /// Everyone ends its side of the stream.
    pub fn finish(&self) {
        for peer in &self.peers {
            // Whoever was reset meanwhile has no side to end.
            let _ = peer.stream.shutdown(Shutdown::Write);
        }
    }

    /// Everyone takes at most one byte off what came for it, whether it reads or not.
    pub fn sip(&mut self) {
        for peer in &mut self.peers {
            let _ = peer.stream.read(&mut [0]);
        }
    }

    /// Reads what comes for so long.
    pub fn read_for(&mut self, limit: Duration) {
        self.read_until(limit, |_| false);
    }

    /// Reads what comes until `done`, for so long at most; whether it was.
    pub fn read_until(&mut self, limit: Duration, mut done: impl FnMut(&[Peer]) -> bool) -> bool {
        let end = Instant::now() + limit;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let wait = left.min(ms(50));
            self.poll.poll(&mut self.events, Some(wait)).expect("polling works");
            for event in &self.events {
                self.peers[event.token().0].read();
            }
            if done(&self.peers) {
                return true;
            }
            if left.is_zero() {
                return false;
            }
        }
    }

    /// How many have seen their end.
    pub fn ended(&self) -> usize {
        self.peers.iter().filter(|peer| peer.ended.is_some()).count()
    }

    /// When the last of them connected.
    pub fn last_begun(&self) -> Instant {
        self.peers.last().expect("somebody is there").begun
    }
}

impl Peer {
    fn read(&mut self) {
        let mut buffer = [0; 16 * 1024];
        while self.ended.is_none() {
            match self.stream.read(&mut buffer) {
                Ok(0) => self.ended = Some((Ending::Finished, Instant::now())),
                Ok(n) => self.take(&buffer[..n]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => self.ended = Some((Ending::Reset, Instant::now())),
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        let room = KEPT.saturating_sub(self.received.len());
        self.received.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if !self.is_upgraded && self.received.starts_with(b"HTTP/1.1 101 ") {
            let Some(end) = self.received.windows(4).position(|four| four == b"\r\n\r\n") else {
                return;
            };
            self.received.drain(..end + 4);
            self.is_upgraded = true;
        }
        if !self.received.is_empty() {
            self.answered.get_or_insert_with(Instant::now);
        }
    }

    /// The status of the HTTP answer, if that is what came.
    pub fn status(&self) -> Option<u16> {
        let head = std::str::from_utf8(self.received.get(..12)?).ok()?;
        head.strip_prefix("HTTP/1.1 ")?.parse().ok()
    }

    /// The code of the close frame among the first frames that came, if there is one.
    pub fn close_code(&self) -> Option<u16> {
        let mut bytes = self.received.clone();
        std::iter::from_fn(|| frame::take(&mut bytes)).find_map(|frame| frame.close_code())
    }
}
