//! The driver over the simulated kernel: what a reactor sees of the world.
//! Not the world: streams and time are the network's.

use std::io::{self, IoSlice};
use std::time::Duration;

use pulsewheel::io::{Accepting, Chunk, Done, Driver, Ending, Sending, Token};
use pulsewheel::proto::Acknowledged;

use crate::households::peer_of;
use crate::kernel::Purpose;
use crate::net::{Event, Net, Server, SharedNet, SocketId};

/// Bytes received in one go at most.
const RECEIVE_BUFFER: usize = 64 * 1024;

/// Connections accepted in one turn.
const ACCEPTS: usize = 128;

/// One reactor's driver.
pub struct SimulatedDriver {
    pub net: SharedNet,
    pub id: usize,
}

impl Net {
    fn read(&mut self, id: SocketId) -> Option<Done> {
        let part = self.faults.part(&mut self.random);
        let socket = self.socket(id);
        let token = socket.token?;
        if socket.is_ended {
            return None;
        }
        if socket.broken_here {
            socket.is_ended = true;
            return Some(Done::Ended(token, Ending::Failed(io::ErrorKind::ConnectionReset)));
        }
        let waiting = socket.up.len().min(RECEIVE_BUFFER);
        if waiting == 0 {
            if !socket.fin_here {
                return None;
            }
            socket.is_ended = true;
            return Some(Done::Ended(token, Ending::Finished));
        }
        let bytes = ((waiting as f64 * part).ceil() as usize).clamp(1, waiting);
        let taken: Box<[u8]> = socket.up.drain(..bytes).collect();
        let latency = socket.latency;
        if self.backlog(id) > 0 {
            self.after(latency, Event::Room(id));
        }
        Some(Done::Received(token, Chunk::new(taken, bytes)))
    }

    /// Puts a socket on the ready list if it may have something to read.
    pub fn make_ready(&mut self, id: SocketId) {
        let socket = self.socket(id);
        let has_more = socket.has_input();
        let (port, is_paused) = (socket.port, socket.is_paused || socket.is_ended);
        if self.ports[port].kernel.is_some() {
            if has_more {
                self.notice(id, &[Purpose::Receive]);
            }
            return;
        }
        let socket = self.socket(id);
        if socket.token.is_some() && has_more && !is_paused {
            if !std::mem::replace(&mut self.socket(id).is_ready, true) {
                self.ports[port].ready.push_back(id);
            }
            self.wake(port);
        }
    }

    fn next_ready(&mut self, port: usize) -> Option<Done> {
        while self.ports[port].ready_left > 0 {
            self.ports[port].ready_left -= 1;
            let Some(id) = self.ports[port].ready.pop_front() else { break };
            self.socket(id).is_ready = false;
            if self.socket(id).is_paused || self.socket(id).token.is_none() {
                continue;
            }
            let done = self.read(id);
            self.make_ready(id);
            if done.is_some() {
                return done;
            }
        }
        None
    }

    fn accept(&mut self, id: usize) -> Option<Done> {
        let now = self.now;
        let port = &mut self.ports[id];
        if port.accepts_left > 0 && port.accepting == Accepting::On && !port.queue.is_empty() {
            port.accepts_left -= 1;
            if port.open >= port.descriptors || port.starved_until > now {
                port.accepting = Accepting::Starved;
                return None;
            }
            let socket = port.queue.pop_front()?;
            port.open += 1;
            port.pending = Some(socket);
            let household = self.socket(socket).client % self.households;
            return Some(Done::Accepted(peer_of(household, socket)));
        }
        port.finish_listening();
        None
    }

    /// The server's end of a stream is closed; whether with a reset.
    pub fn end(&mut self, id: SocketId, with_reset: bool) {
        let socket = self.socket(id);
        let latency = socket.latency;
        socket.server = Server::Gone;
        socket.token = None;
        // To close with unread input is to reset.
        if with_reset || !socket.up.is_empty() {
            socket.down.clear();
            self.after(latency, Event::Broken(id));
        } else {
            socket.fin_down = true;
            self.push_down(id);
        }
    }

    /// A connection leaves the driver; the socket that it had.
    pub fn depart(&mut self, id: usize, token: Token, with_reset: bool) -> Option<SocketId> {
        let Some(socket) = self.ports[id].remove(token) else {
            self.breaches.push(format!("{token:?} was closed, but has no socket"));
            return None;
        };
        let now = self.now;
        let left = self.socket(socket);
        // What went in this very turn nobody could have acknowledged.
        let is_asked_for = left.tells_acknowledged && !left.broken_here && left.last_down < now;
        if !with_reset && is_asked_for && !left.down.is_empty() {
            let bytes = left.down.len();
            self.breaches
                .push(format!("{token:?} was closed and leaves {bytes} bytes as an orphan"));
        }
        Some(socket)
    }

    fn leave(&mut self, id: usize, token: Token, with_reset: bool) {
        let port = &mut self.ports[id];
        if let Some(at) = port.stillborn.iter().position(|stillborn| *stillborn == token) {
            port.stillborn.swap_remove(at);
            return;
        }
        let Some(socket) = self.depart(id, token, with_reset) else { return };
        self.end(socket, with_reset);
        self.ports[id].open -= 1;
        let (delay, kind) = (self.random.u64(0..2_000_000), self.random.u8(0..3));
        if self.chance(self.faults.stale) {
            let token = (token.generation, token.index);
            self.after(delay, Event::Stale { port: id, token, kind });
        }
    }

    /// What the peer's kernel has acknowledged.
    pub fn acknowledged(&mut self, id: SocketId) -> Option<Acknowledged> {
        let (now, socket) = (self.now, self.socket(id));
        let last = Duration::from_micros(now - socket.acknowledged_at);
        let bytes = socket.acknowledged;
        socket.tells_acknowledged.then_some(Acknowledged { bytes, last })
    }

    /// The server shuts its side.
    pub fn shut(&mut self, id: SocketId) {
        if std::mem::replace(&mut self.socket(id).fin_down, true) {
            self.breaches.push(format!("{id:?} was shut twice"));
        }
        self.push_down(id);
    }

    /// The server writes.
    pub fn send(&mut self, id: SocketId, parts: &[IoSlice<'_>]) -> Sending {
        let (now, block) = (self.now, self.faults.block(&mut self.random));
        let part = self.faults.part(&mut self.random);
        let socket = self.socket(id);
        if socket.broken_here {
            return Sending::Failed(io::ErrorKind::BrokenPipe);
        }
        if block > 0 && socket.blocked_until <= now {
            socket.blocked_until = now + block;
            self.at(now + block, Event::Writable(id));
        }
        let socket = self.socket(id);
        let room = socket.down_limit.saturating_sub(socket.down.len());
        if socket.blocked_until > now || room == 0 {
            socket.wants_write = true;
            return Sending::Pending;
        }
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let taken = ((length as f64 * part).ceil() as usize).min(room).min(length);
        let bytes = parts.iter().flat_map(|part| part.iter()).take(taken);
        socket.down.extend(bytes);
        socket.last_down = now;
        self.push_down(id);
        Sending::Taken(taken)
    }
}

impl Driver for SimulatedDriver {
    fn now(&mut self) -> u64 {
        self.net.borrow().ports[self.id].clock
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let mut net = self.net.borrow_mut();
        let now = net.now;
        let port = &mut net.ports[self.id];
        port.clock = now.max(port.clock);
        port.asked = timeout.map(|timeout| timeout.as_micros() as u64);
        port.accepts_left = ACCEPTS;
        port.ready_left = port.ready.len();
        Ok(())
    }

    fn next(&mut self) -> Option<Done> {
        let mut net = self.net.borrow_mut();
        let port = &mut net.ports[self.id];
        let done = if let Some(stale) = port.stale.pop_front() {
            Some(stale)
        } else if let Some(token) = port.writable.pop_front() {
            Some(Done::Sent(token, 0))
        } else {
            let ready = net.next_ready(self.id);
            if ready.is_some() { ready } else { net.accept(self.id) }
        };
        net.ports[self.id].progress += u64::from(done.is_some());
        done
    }

    fn look(&mut self, token: Token) -> Option<Done> {
        let mut net = self.net.borrow_mut();
        let socket = net.ports[self.id].find(token)?;
        net.read(socket)
    }

    fn recycle(&mut self, _: Chunk) {}

    fn adopt(&mut self, token: Token) -> io::Result<()> {
        let mut net = self.net.borrow_mut();
        let now = net.now;
        let Some(id) = net.ports[self.id].pending.take() else {
            net.breaches.push(format!("{token:?} was adopted, and nothing was accepted"));
            return Ok(());
        };
        let fails = net.faults.adopt;
        if net.chance(fails) {
            net.ports[self.id].stillborn.push(token);
            net.socket(id).was_cut = true;
            net.end(id, true);
            net.ports[self.id].open -= 1;
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        if !net.ports[self.id].insert(token, id) {
            net.breaches.push(format!("{token:?} was given to a second socket"));
        }
        let socket = net.socket(id);
        socket.token = Some(token);
        socket.adopted = now;
        socket.server = Server::Open;
        net.signal(id);
        Ok(())
    }

    fn refuse(&mut self, answer: &[u8]) {
        let mut net = self.net.borrow_mut();
        let Some(id) = net.ports[self.id].pending.take() else { return };
        net.ports[self.id].refused += 1;
        let socket = net.socket(id);
        socket.up.clear();
        socket.down.extend(answer);
        net.end(id, false);
        net.ports[self.id].open -= 1;
    }

    fn receive(&mut self, token: Token, on: bool) {
        let mut net = self.net.borrow_mut();
        let Some(id) = net.ports[self.id].find(token) else { return };
        net.socket(id).is_paused = !on;
        if on {
            net.make_ready(id);
        }
    }

    fn send(&mut self, token: Token, parts: &[IoSlice<'_>]) -> Sending {
        let mut net = self.net.borrow_mut();
        let Some(id) = net.ports[self.id].find(token) else {
            return Sending::Failed(io::ErrorKind::NotConnected);
        };
        let sending = net.send(id, parts);
        net.trace.say(net.now, || format!("sent to {id:?}: {sending:?}"));
        net.ports[self.id].progress += 1;
        sending
    }

    fn acknowledged(&mut self, token: Token) -> Option<Acknowledged> {
        let mut net = self.net.borrow_mut();
        let id = net.ports[self.id].find(token)?;
        net.acknowledged(id)
    }

    fn finish(&mut self, token: Token) {
        let mut net = self.net.borrow_mut();
        let Some(id) = net.ports[self.id].find(token) else { return };
        net.shut(id);
    }

    fn close(&mut self, token: Token) {
        self.net.borrow_mut().leave(self.id, token, false);
    }

    fn reset(&mut self, token: Token) {
        self.net.borrow_mut().leave(self.id, token, true);
    }

    fn left_over(&self) -> (bool, bool) {
        let net = self.net.borrow();
        let port = &net.ports[self.id];
        (port.accepts_left == 0 && !port.queue.is_empty(), !port.ready.is_empty())
    }

    fn accepting(&self) -> Accepting {
        self.net.borrow().ports[self.id].accepting
    }

    fn resume_accepting(&mut self) {
        let mut net = self.net.borrow_mut();
        let port = &mut net.ports[self.id];
        if port.accepting == Accepting::Starved {
            port.accepting = Accepting::On;
        }
    }

    fn stop_listening(&mut self) {
        let mut net = self.net.borrow_mut();
        let port = &mut net.ports[self.id];
        if port.accepting != Accepting::Over {
            port.stopping = true;
            port.finish_listening();
        }
    }

    fn descriptors(&self) -> u64 {
        self.net.borrow().ports[self.id].open as u64
    }
}
