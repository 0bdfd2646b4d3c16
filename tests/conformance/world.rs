//! The server's own reactor without a kernel: what a client sends goes in, what it gets comes out.
//! Not for several connections, time or backpressure: one client, whose kernel takes everything.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use pulsewheel::config::Limits;
use pulsewheel::handler::Echo;
use pulsewheel::io::{Accepting, Chunk, Done, Driver, Ending, Sending, Token};
use pulsewheel::proto::Acknowledged;
use pulsewheel::reactor::Reactor;
use pulsewheel::{Peer, bench};

use crate::harness::request;

/// A reactor that serves `/echo`, and its one client at a time.
pub struct World {
    reactor: Reactor,
    wire: Rc<RefCell<Wire>>,
}

/// What is on its way between the two.
#[derive(Default)]
struct Wire {
    now: u64,
    done: VecDeque<Done>,
    token: Option<Token>,
    sent: Vec<u8>,
    /// The server has shut its side.
    is_finished: bool,
    /// The server has closed; true for a reset.
    closed: Option<bool>,
}

impl World {
    /// A reactor for messages of up to so many bytes.
    pub fn new(message_limit: usize) -> Self {
        let wire = Rc::new(RefCell::new(Wire::default()));
        let limits = Limits {
            max_message_size: message_limit,
            ping_interval: None,
            pong_timeout: None,
            ..Limits::default()
        };
        let driver = Box::new(Memory(Rc::clone(&wire)));
        let (reactor, _) =
            bench::reactor("/echo", Echo, driver, limits, 1).expect("the system gives an eventfd");
        World { reactor, wire }
    }

    /// A client connects and is upgraded.
    pub fn connect(&mut self) {
        let peer = Peer::from(SocketAddr::from(([127, 0, 0, 1], 1)));
        let fresh = Wire { now: self.wire.borrow().now, ..Wire::default() };
        *self.wire.borrow_mut() = fresh;
        self.wire.borrow_mut().done.push_back(Done::Accepted(peer));
        self.turn();
        self.send(request("/echo", &[]).as_bytes());
        let answer = std::mem::take(&mut self.wire.borrow_mut().sent);
        assert!(answer.starts_with(b"HTTP/1.1 101 ") && answer.ends_with(b"\r\n\r\n"));
    }

    /// The client sends bytes, which the server reads at once.
    pub fn send(&mut self, bytes: &[u8]) {
        let token = self.wire.borrow().token.expect("a client is connected");
        let chunk = Chunk::new(bytes.into(), bytes.len());
        self.wire.borrow_mut().done.push_back(Done::Received(token, chunk));
        self.turn();
    }

    /// All that the client has been sent since it was upgraded.
    pub fn received(&self) -> Vec<u8> {
        self.wire.borrow().sent.clone()
    }

    /// Whether the server has shut its side of the stream.
    pub fn is_finished(&self) -> bool {
        self.wire.borrow().is_finished
    }

    /// The client shuts its side, upon which both are closed, and without a reset.
    pub fn finish(&mut self) {
        let token = self.wire.borrow().token.expect("a client is connected");
        self.wire.borrow_mut().done.push_back(Done::Ended(token, Ending::Finished));
        self.turn();
        let wire = self.wire.borrow();
        assert!(wire.is_finished, "our side is shut before the socket is closed");
        assert_eq!(wire.closed, Some(false), "closed in good order");
    }

    fn turn(&mut self) {
        assert!(self.reactor.turn().expect("the driver never fails"));
    }
}

/// The driver's side of the wire.
struct Memory(Rc<RefCell<Wire>>);

impl Driver for Memory {
    fn now(&mut self) -> u64 {
        let mut wire = self.0.borrow_mut();
        wire.now += 1;
        wire.now
    }

    fn wait(&mut self, _: Option<Duration>) -> io::Result<()> {
        Ok(())
    }

    fn next(&mut self) -> Option<Done> {
        self.0.borrow_mut().done.pop_front()
    }

    fn look(&mut self, _: Token) -> Option<Done> {
        None
    }

    fn recycle(&mut self, _: Chunk) {}

    fn adopt(&mut self, token: Token) -> io::Result<()> {
        self.0.borrow_mut().token = Some(token);
        Ok(())
    }

    fn refuse(&mut self, _: &[u8]) {
        panic!("there is room for one client");
    }

    fn receive(&mut self, _: Token, on: bool) {
        assert!(on, "nothing pauses a client that is sent everything at once");
    }

    fn send(&mut self, token: Token, parts: &[IoSlice<'_>]) -> Sending {
        let mut wire = self.0.borrow_mut();
        assert_eq!(wire.token, Some(token));
        assert!(!wire.is_finished && wire.closed.is_none(), "nothing is sent behind a FIN");
        for part in parts {
            wire.sent.extend_from_slice(part);
        }
        Sending::Taken(parts.iter().map(|part| part.len()).sum())
    }

    fn acknowledged(&mut self, _: Token) -> Option<Acknowledged> {
        None
    }

    fn finish(&mut self, _: Token) {
        self.0.borrow_mut().is_finished = true;
    }

    fn close(&mut self, _: Token) {
        self.0.borrow_mut().closed = Some(false);
    }

    fn reset(&mut self, _: Token) {
        self.0.borrow_mut().closed = Some(true);
    }

    fn left_over(&self) -> (bool, bool) {
        (false, false)
    }

    fn accepting(&self) -> Accepting {
        Accepting::On
    }

    fn resume_accepting(&mut self) {}

    fn stop_listening(&mut self) {}

    fn descriptors(&self) -> u64 {
        0
    }
}
