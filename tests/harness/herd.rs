//! Thousands of peers in one thread, for what shows only in numbers.
//! Not for details of one connection: that is `RawClient`.

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::{PATIENCE, RawClient, Server, frame, request};

/// Upgraded connections, all watched by one poll.
pub struct Herd {
    poll: Poll,
    peers: Vec<Option<Peer>>,
    upgraded: usize,
    /// Ends that were seen.
    pub gone: usize,
}

struct Peer {
    stream: TcpStream,
    /// What came and is not a whole answer or frame.
    unread: Vec<u8>,
    is_upgraded: bool,
}

/// So many newcomers connect before those that are there are listened to again.
const AT_ONCE: usize = 250;

impl Herd {
    /// Connects `count` peers in one burst and upgrades all of them.
    pub fn connect(server: &Server, path: &str, count: usize) -> Self {
        pulsewheel::io::descriptors::raise_limit().expect("the limit can be raised");
        let head = request(path, &[]);
        let poll = Poll::new().expect("a poll can be made");
        let mut herd = Herd { poll, peers: Vec::new(), upgraded: 0, gone: 0 };
        for n in 0..count {
            let mut peer = RawClient::connect(server);
            peer.send(head.as_bytes());
            herd.adopt(peer);
            if n % AT_ONCE == 0 {
                herd.run(Duration::ZERO, true);
            }
        }
        let begun = Instant::now();
        while herd.upgraded < count {
            assert!(begun.elapsed() < PATIENCE, "{} of {count} are upgraded", herd.upgraded);
            herd.run(Duration::from_millis(10), true);
        }
        herd
    }

    fn adopt(&mut self, peer: RawClient) {
        let stream = peer.into_stream();
        stream.set_nonblocking(true).expect("it can be made so");
        let mut stream = TcpStream::from_std(stream);
        let token = Token(self.peers.len());
        let registry = self.poll.registry();
        registry.register(&mut stream, token, Interest::READABLE).expect("it can be watched");
        self.peers.push(Some(Peer { stream, unread: Vec::new(), is_upgraded: false }));
    }

    /// Sends the same bytes from everyone at once.
    pub fn say(&mut self, bytes: &[u8]) {
        for peer in self.peers.iter_mut().flatten() {
            peer.stream.write_all(bytes).expect("a short message fits into the socket");
        }
    }

    /// Reads for so long, and answers pings if it is to; when each ping came.
    pub fn run(&mut self, limit: Duration, answers: bool) -> Vec<Instant> {
        let end = Instant::now() + limit;
        let mut events = Events::with_capacity(4096);
        let mut pings = Vec::new();
        let pong = frame::frame(frame::PONG, b"");
        loop {
            let left = end.saturating_duration_since(Instant::now());
            self.poll.poll(&mut events, Some(left)).expect("polling works");
            let now = Instant::now();
            for event in &events {
                let slot = &mut self.peers[event.token().0];
                let Some(peer) = slot else { continue };
                let was_upgraded = peer.is_upgraded;
                let is_over = !peer.read();
                let count = peer.take_pings();
                self.upgraded += usize::from(peer.is_upgraded && !was_upgraded);
                pings.extend(std::iter::repeat_n(now, count));
                if answers && count > 0 {
                    let _ = peer.stream.write_all(&pong);
                }
                if is_over {
                    *slot = None;
                    self.gone += 1;
                }
            }
            if left.is_zero() {
                return pings;
            }
        }
    }
}

impl Peer {
    /// Reads all there is; false at the end.
    fn read(&mut self) -> bool {
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return false,
                Ok(n) => self.unread.extend_from_slice(&buffer[..n]),
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        }
    }

    /// Takes the answer to the upgrade and all frames: how many were pings.
    fn take_pings(&mut self) -> usize {
        if !self.is_upgraded {
            let Some(end) = self.unread.windows(4).position(|four| four == b"\r\n\r\n") else {
                return 0;
            };
            assert!(self.unread.starts_with(b"HTTP/1.1 101 "), "it is upgraded");
            self.unread.drain(..end + 4);
            self.is_upgraded = true;
        }
        let frames = std::iter::from_fn(|| frame::take(&mut self.unread));
        frames.filter(|frame| frame.first == frame::PING).count()
    }
}
