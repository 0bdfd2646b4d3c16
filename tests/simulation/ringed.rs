//! The library's completion driver over a simulated ring: what the world must know of what passes
//! through the driver's seam, and what must hold there.
//! Not a driver of its own; each call is handed on.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::time::Duration;

use pulsewheel::io::completion::CompletionDriver;
use pulsewheel::io::{Accepting, Chunk, Counts, Done, Driver, Part, Sending, Token, Unsent};
use pulsewheel::proto::Acknowledged;

use crate::households::socket_of;
use crate::kernel::{Kernel, Moment, Shape};
use crate::net::{Server, SharedNet};
use crate::ring::SimulatedRing;

/// Waits within which a ring that nobody uses any more has come to rest.
const LAST_WAITS: usize = 100_000;

/// A completion driver, which the world shares with its reactor.
#[derive(Clone)]
pub struct RingedDriver {
    inner: Rc<RefCell<CompletionDriver<SimulatedRing>>>,
    net: SharedNet,
    id: usize,
}

impl RingedDriver {
    pub fn new(net: &SharedNet, id: usize, shape: Shape, connections: usize) -> Self {
        net.borrow_mut().ports[id].kernel = Some(Box::new(Kernel::new(shape)));
        let ring = SimulatedRing { net: Rc::clone(net), id };
        let inner = Rc::new(RefCell::new(CompletionDriver::new(ring, connections)));
        RingedDriver { inner, net: Rc::clone(net), id }
    }

    fn at(&self, moment: Moment) {
        self.net.borrow_mut().kernel(self.id).moment = moment;
    }

    /// The wait after a turn begins: what was asked for is handed over before the time passes.
    ///
    /// # Errors
    /// What must hold when a reactor sleeps and does not.
    pub fn begin_wait(&self, timeout: Option<u64>) -> Result<(), String> {
        self.at(Moment::WaitBegins);
        // A driver that has more to hand out only hands over.
        self.net.borrow_mut().kernel(self.id).is_urgent = true;
        let waited = self.inner.borrow_mut().wait(timeout.map(Duration::from_micros));
        self.at(Moment::Turn);
        waited.map_err(|error| format!("the wait failed: {error}"))?;
        self.check()
    }

    fn check(&self) -> Result<(), String> {
        let (counts, has_events) = {
            let inner = self.inner.borrow();
            (inner.counts(), inner.left_over().1)
        };
        let mut net = self.net.borrow_mut();
        let kernel = net.kernel(self.id);
        let requests = kernel.under_way() as u64;
        if counts.requests != requests {
            return Err(format!("{} requests are counted, {requests} there", counts.requests));
        }
        if !has_events && !kernel.has_answers() && kernel.lent > 0 {
            return Err(format!("{} buffers have not come back", kernel.lent));
        }
        Ok(())
    }

    /// The reactor is gone: its ring comes to rest, and nothing is left in it.
    ///
    /// # Errors
    /// What is left.
    pub fn end(&self) -> Result<(), String> {
        let mut inner = self.inner.borrow_mut();
        for _ in 0..LAST_WAITS {
            self.net.borrow_mut().cancel_all(self.id);
            inner.wait(Some(Duration::ZERO)).map_err(|error| error.to_string())?;
            while let Some(done) = inner.next() {
                match done {
                    Done::Received(_, chunk) => inner.recycle(chunk),
                    Done::Accepted(_) => inner.refuse(&[]),
                    Done::Sent(..) | Done::Ended(..) => {}
                }
            }
            let mut net = self.net.borrow_mut();
            let kernel = net.kernel(self.id);
            if kernel.under_way_on_sockets() == 0 && !kernel.has_answers() && kernel.lent == 0 {
                net.close_ring(self.id);
                return Ok(());
            }
        }
        let mut net = self.net.borrow_mut();
        let kernel = net.kernel(self.id);
        let (requests, lent) = (kernel.under_way_on_sockets(), kernel.lent);
        Err(format!("reactor {} has ended and leaves {requests} requests, {lent} buffers", self.id))
    }

    fn leave(&self, token: Token, with_reset: bool) {
        let mut net = self.net.borrow_mut();
        if let Some(socket) = net.depart(self.id, token, with_reset) {
            net.socket(socket).token = None;
        }
    }

    /// Nobody is told of a connection that has gone.
    fn is_known(&self, done: Done) -> Done {
        if let Done::Received(token, _) | Done::Sent(token, _) | Done::Ended(token, _) = &done {
            let mut net = self.net.borrow_mut();
            if net.ports[self.id].find(*token).is_none() {
                net.breaches.push(format!("{done:?} came after it had gone"));
            }
        }
        done
    }
}

impl Driver for RingedDriver {
    fn now(&mut self) -> u64 {
        self.net.borrow().ports[self.id].clock
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        {
            let mut net = self.net.borrow_mut();
            let now = net.now;
            let port = &mut net.ports[self.id];
            port.clock = now.max(port.clock);
        }
        self.inner.borrow_mut().wait(timeout)
    }

    fn next(&mut self) -> Option<Done> {
        let done = self.inner.borrow_mut().next()?;
        let mut net = self.net.borrow_mut();
        net.ports[self.id].progress += 1;
        if let Done::Accepted(peer) = &done {
            net.ports[self.id].pending = socket_of(*peer);
        }
        drop(net);
        Some(self.is_known(done))
    }

    fn look(&mut self, token: Token) -> Option<Done> {
        self.at(Moment::Look);
        let done = self.inner.borrow_mut().look(token);
        self.at(Moment::Turn);
        done.map(|done| self.is_known(done))
    }

    fn recycle(&mut self, chunk: Chunk) {
        self.inner.borrow_mut().recycle(chunk);
    }

    fn adopt(&mut self, token: Token) -> io::Result<()> {
        {
            let mut net = self.net.borrow_mut();
            let now = net.now;
            let Some(id) = net.ports[self.id].pending.take() else {
                net.breaches.push(format!("{token:?} was adopted, and nothing was accepted"));
                return Ok(());
            };
            if !net.ports[self.id].insert(token, id) {
                net.breaches.push(format!("{token:?} was given to a second socket"));
            }
            let socket = net.socket(id);
            socket.token = Some(token);
            socket.adopted = now;
            socket.server = Server::Open;
        }
        self.inner.borrow_mut().adopt(token)
    }

    fn refuse(&mut self, answer: &[u8]) {
        {
            let mut net = self.net.borrow_mut();
            net.ports[self.id].pending = None;
            net.ports[self.id].refused += 1;
        }
        self.inner.borrow_mut().refuse(answer);
    }

    fn receive(&mut self, token: Token, on: bool) {
        {
            let mut net = self.net.borrow_mut();
            if let Some(id) = net.ports[self.id].find(token) {
                net.socket(id).is_paused = !on;
            }
        }
        self.inner.borrow_mut().receive(token, on);
    }

    fn send(&mut self, token: Token, parts: &[IoSlice<'_>]) -> Sending {
        self.net.borrow_mut().ports[self.id].progress += 1;
        self.inner.borrow_mut().send(token, parts)
    }

    fn gather(&mut self, ticket: u32, token: Token, part: Part<'_>) -> Sending {
        self.net.borrow_mut().ports[self.id].progress += 1;
        self.inner.borrow_mut().gather(ticket, token, part)
    }

    fn submit(&mut self) {
        self.inner.borrow_mut().submit();
    }

    fn unsent(&mut self) -> Option<Unsent> {
        let unsent = self.inner.borrow_mut().unsent()?;
        self.net.borrow_mut().kernel(self.id).undecided.remove(&unsent.ticket);
        Some(unsent)
    }

    fn acknowledged(&mut self, token: Token) -> Option<Acknowledged> {
        self.inner.borrow_mut().acknowledged(token)
    }

    fn finish(&mut self, token: Token) {
        self.inner.borrow_mut().finish(token);
    }

    fn close(&mut self, token: Token) {
        self.leave(token, false);
        self.inner.borrow_mut().close(token);
    }

    fn reset(&mut self, token: Token) {
        self.leave(token, true);
        self.inner.borrow_mut().reset(token);
    }

    fn left_over(&self) -> (bool, bool) {
        self.inner.borrow().left_over()
    }

    fn accepting(&self) -> Accepting {
        self.inner.borrow().accepting()
    }

    fn resume_accepting(&mut self) {
        self.inner.borrow_mut().resume_accepting();
    }

    fn stop_listening(&mut self) {
        self.inner.borrow_mut().stop_listening();
    }

    fn descriptors(&self) -> u64 {
        self.inner.borrow().descriptors()
    }

    fn counts(&self) -> Counts {
        self.inner.borrow().counts()
    }
}
