//! The server's own reactor without a kernel: what a client sends goes in, what it gets comes out.
//! Not for several connections, time or backpressure: one client, whose kernel takes everything.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

use pulsewheel::config::Limits;
use pulsewheel::handler::Echo;
use pulsewheel::io::{Done, Ending};
use pulsewheel::reactor::Reactor;
use pulsewheel::{Peer, bench};

use crate::harness::memory::{Memory, Wire};
use crate::harness::request;

/// A reactor that serves `/echo`, and its one client at a time.
pub struct World {
    reactor: Reactor,
    wire: Rc<RefCell<Wire>>,
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
        let done = self.wire.borrow().received(bytes);
        self.wire.borrow_mut().done.push_back(done);
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
