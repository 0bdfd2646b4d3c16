//! Orders of events that a kernel can't be made to give: one reactor over a driver in memory.
//! Not the whole server, nor random orders, which the simulator tries.

mod harness;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use harness::frame;
use harness::memory::{Memory, Wire};
use pulsewheel::config::Limits;
use pulsewheel::handler::Echo;
use pulsewheel::io::Done;
use pulsewheel::reactor::{Mail, Reactor, Shared};
use pulsewheel::{Peer, bench};

/// A reactor that serves `/echo`, and its one client.
struct World {
    reactor: Reactor,
    shared: Arc<Shared>,
    wire: Rc<RefCell<Wire>>,
}

impl World {
    /// A client has connected, and has sent nothing.
    fn connected() -> Self {
        let wire = Rc::new(RefCell::new(Wire::default()));
        let driver = Box::new(Memory(Rc::clone(&wire)));
        let (reactor, shared) =
            bench::reactor("/echo", Echo, driver, Limits::default(), 1).expect("an eventfd");
        let mut world = World { reactor, shared, wire };
        world.does(Done::Accepted(Peer::UNIX));
        world
    }

    /// One turn in which this is done.
    fn does(&mut self, done: Done) {
        self.wire.borrow_mut().done.push_back(done);
        self.turn();
    }

    fn receives(&mut self, bytes: &[u8]) {
        let done = self.wire.borrow().received(bytes);
        self.does(done);
    }

    /// Writes find room again, of which the driver tells.
    fn has_room(&mut self) {
        self.wire.borrow_mut().is_full = false;
        let token = self.wire.borrow().token.expect("a client is connected");
        self.does(Done::Sent(token, 0));
    }

    fn turn(&mut self) {
        assert!(self.reactor.turn().expect("the driver never fails"));
    }

    /// Time goes by in steps in which nothing looks like a stall.
    fn passes(&mut self, time: Duration) {
        for _ in 0..time.as_millis() / 10 {
            self.wire.borrow_mut().now += 10_000;
            self.turn();
        }
    }
}

#[test]
fn a_pong_does_not_overtake_the_answer_to_the_handshake() {
    let mut world = World::connected();
    world.wire.borrow_mut().is_full = true;
    world.receives(harness::request("/echo", &[]).as_bytes());
    world.receives(&frame::frame(0x89, b""));
    world.has_room();
    world.turn();
    let wire = world.wire.borrow();
    let sent = &wire.sent;
    assert!(sent.starts_with(b"HTTP/1.1 101 "), "{:?}", String::from_utf8_lossy(sent));
    assert!(sent.ends_with(&[b'\n', 0x8a, 0]), "{:?}", String::from_utf8_lossy(sent));
}

/// The kernel took our close frame late, so the close deadline is not over when the drain is: only
/// the drain's own end asks whether the answer is there.
#[test]
fn who_has_answered_when_a_drain_ends_is_not_dropped_unheard() {
    let ends = |has_answered: bool| {
        let mut world = World::connected();
        world.receives(harness::request("/echo", &[]).as_bytes());
        world.wire.borrow_mut().is_full = true;
        world.shared.mailboxes.tell_all(|| Mail::Drain(Duration::ZERO));
        world.passes(Duration::from_secs(4));
        world.has_room();
        assert!(world.wire.borrow().sent.windows(2).any(|head| head[0] == 0x88), "it was told");
        if has_answered {
            // What a busy peer had under way stands before it.
            let under_way = world.wire.borrow().received(&frame::text("one more"));
            let answer = world.wire.borrow().received(&frame::close(1001, ""));
            world.wire.borrow_mut().unread.extend([under_way, answer]);
        }
        let limit = Limits::default().close_timeout;
        for _ in 0..limit.as_millis() / 10 {
            world.wire.borrow_mut().now += 10_000;
            let _ = world.reactor.turn().expect("the driver never fails");
            if let Some(was_reset) = world.wire.borrow().closed {
                return was_reset;
            }
        }
        panic!("it is still there");
    };
    assert!(!ends(true), "it was reset although it had answered");
    assert!(ends(false), "who had not answered was waited for no longer, and not told so");
}
