//! Thousands of peers in one thread, for what shows only in numbers.
//! Not for details of one connection: that is `RawClient`.

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::{RawClient, Server, frame, request};

/// Upgraded connections, all watched by one poll.
pub struct Herd {
    poll: Poll,
    streams: Vec<Option<TcpStream>>,
    /// Ends that were seen.
    pub gone: usize,
}

impl Herd {
    /// Connects `count` peers in one burst and upgrades all of them.
    pub fn connect(server: &Server, path: &str, count: usize) -> Self {
        pulsewheel::io::descriptors::raise_limit().expect("the limit can be raised");
        let head = request(path, &[]);
        let newcomers: Vec<RawClient> = (0..count)
            .map(|_| {
                let mut peer = RawClient::connect(server);
                peer.send(head.as_bytes());
                peer
            })
            .collect();
        let poll = Poll::new().expect("a poll can be made");
        let streams = newcomers.into_iter().enumerate().map(|(n, mut peer)| {
            assert_eq!(peer.response().status, 101);
            let stream = peer.into_stream();
            stream.set_nonblocking(true).expect("it can be made so");
            let mut stream = TcpStream::from_std(stream);
            poll.registry()
                .register(&mut stream, Token(n), Interest::READABLE)
                .expect("it can be watched");
            Some(stream)
        });
        let streams = streams.collect();
        Herd { poll, streams, gone: 0 }
    }

    /// Sends the same bytes from everyone at once.
    pub fn say(&mut self, bytes: &[u8]) {
        for mut stream in self.streams.iter().flatten() {
            stream.write_all(bytes).expect("a short message fits into the socket");
        }
    }

    /// Reads for so long, and answers pings if it is to; when each ping came.
    pub fn run(&mut self, limit: Duration, answers: bool) -> Vec<Instant> {
        let end = Instant::now() + limit;
        let mut events = Events::with_capacity(4096);
        let mut pings = Vec::new();
        let pong = frame::frame(frame::PONG, b"");
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            self.poll.poll(&mut events, Some(left)).expect("polling works");
            let now = Instant::now();
            for event in &events {
                let slot = &mut self.streams[event.token().0];
                let Some(stream) = slot else { continue };
                match read_pings(stream) {
                    Some(0) => {}
                    Some(count) => {
                        pings.extend(std::iter::repeat_n(now, count));
                        if answers {
                            let _ = stream.write_all(&pong);
                        }
                    }
                    None => {
                        *slot = None;
                        self.gone += 1;
                    }
                }
            }
        }
        pings
    }
}

/// Reads all there is: how many pings were among it, or `None` at the end.
fn read_pings(stream: &mut TcpStream) -> Option<usize> {
    let mut unread = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return None,
            Ok(n) => unread.extend_from_slice(&buffer[..n]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(_) => return None,
        }
    }
    // Frames are so small here that none is ever cut.
    let frames = std::iter::from_fn(|| frame::take(&mut unread));
    Some(frames.filter(|frame| frame.first == frame::PING).count())
}
