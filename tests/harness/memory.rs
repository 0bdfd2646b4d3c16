//! A driver without a kernel: one connection, whose bytes and their times the test decides.
//! Not for several connections or random faults: the simulator has those.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::time::Duration;

use pulsewheel::io::{Accepting, Chunk, Done, Driver, Sending, Token};
use pulsewheel::proto::Acknowledged;

/// What is on its way between the client and the server, and what the server has done.
#[derive(Default)]
pub struct Wire {
    /// Microseconds.
    pub now: u64,
    /// Is done in the next turn.
    pub done: VecDeque<Done>,
    /// Has come, but no readiness has told of it yet.
    pub unread: VecDeque<Done>,
    /// Writes find no room.
    pub is_full: bool,
    pub token: Option<Token>,
    pub sent: Vec<u8>,
    /// The server has shut its side.
    pub is_finished: bool,
    /// The server has closed; true for a reset.
    pub closed: Option<bool>,
}

impl Wire {
    /// Bytes from the client, as the driver gives them.
    pub fn received(&self, bytes: &[u8]) -> Done {
        let token = self.token.expect("a client is connected");
        Done::Received(token, Chunk::new(bytes.into(), bytes.len()))
    }
}

/// The server's end of the wire.
pub struct Memory(pub Rc<RefCell<Wire>>);

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
        self.0.borrow_mut().unread.pop_front()
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
        if wire.is_full {
            return Sending::Pending;
        }
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
