//! The answer to the handshake comes first, however long the kernel makes it wait.
//! Not the whole server: a reactor over a driver whose first writes find no room.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::time::Duration;

use pulsewheel::config::Limits;
use pulsewheel::handler::Echo;
use pulsewheel::io::{Accepting, Chunk, Done, Driver, Sending, Token};
use pulsewheel::proto::Acknowledged;
use pulsewheel::{Peer, bench};

const UPGRADE: &[u8] = b"GET /echo HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A ping, empty and masked.
const PING: &[u8] = &[0x89, 0x80, 0, 0, 0, 0];

/// One thing done in each turn; writes find no room until all but the last were done.
struct Reluctant {
    done: VecDeque<Done>,
    is_served: bool,
    sent: Rc<RefCell<Vec<u8>>>,
}

fn received(token: Token, bytes: &[u8]) -> Done {
    Done::Received(token, Chunk::new(bytes.into(), bytes.len()))
}

impl Driver for Reluctant {
    fn now(&mut self) -> u64 {
        0
    }

    fn wait(&mut self, _: Option<Duration>) -> io::Result<()> {
        self.is_served = false;
        Ok(())
    }

    fn next(&mut self) -> Option<Done> {
        if std::mem::replace(&mut self.is_served, true) { None } else { self.done.pop_front() }
    }

    fn look(&mut self, _: Token) -> Option<Done> {
        None
    }

    fn recycle(&mut self, _: Chunk) {}

    fn adopt(&mut self, token: Token) -> io::Result<()> {
        self.done.extend([received(token, UPGRADE), received(token, PING), Done::Sent(token, 0)]);
        Ok(())
    }

    fn refuse(&mut self, _: &[u8]) {}

    fn receive(&mut self, _: Token, _: bool) {}

    fn send(&mut self, _: Token, parts: &[IoSlice<'_>]) -> Sending {
        if !self.done.is_empty() {
            return Sending::Pending;
        }
        let before = self.sent.borrow().len();
        parts.iter().for_each(|part| self.sent.borrow_mut().extend_from_slice(part));
        Sending::Taken(self.sent.borrow().len() - before)
    }

    fn acknowledged(&mut self, _: Token) -> Option<Acknowledged> {
        None
    }

    fn finish(&mut self, _: Token) {}

    fn close(&mut self, _: Token) {}

    fn reset(&mut self, _: Token) {}

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

#[test]
fn a_pong_does_not_overtake_the_answer_to_the_handshake() {
    let sent = Rc::new(RefCell::new(Vec::new()));
    let done = VecDeque::from([Done::Accepted(Peer::UNIX)]);
    let driver = Box::new(Reluctant { done, is_served: false, sent: Rc::clone(&sent) });
    let (mut reactor, _shared) =
        bench::reactor("/echo", Echo, driver, Limits::default(), 1).expect("an eventfd");
    for _ in 0..5 {
        assert!(reactor.turn().expect("the driver never fails"));
    }
    let sent = sent.borrow();
    assert!(sent.starts_with(b"HTTP/1.1 101 "), "{:?}", String::from_utf8_lossy(&sent));
    assert!(sent.ends_with(&[b'\n', 0x8a, 0]), "{:?}", String::from_utf8_lossy(&sent));
}
