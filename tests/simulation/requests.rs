//! What becomes of the requests of a ring: begun, answered piece by piece and in any order of
//! connections, late, cancelled, ended; and of the sockets that they are on.
//! Not what a driver makes of the answers; that is the library's.

use pulsewheel::io::Chunk;
use pulsewheel::io::completion::{File, Id, Outcome};

use crate::households::peer_of;
use crate::kernel::{Kernel, Key, Moment, Purpose, Request};
use crate::net::{Event, Net, SocketId};

/// Longest time that a cancellation takes, in microseconds.
const CANCELLED_WITHIN: u64 = 500_000;

impl Net {
    /// The kernel's side of that reactor's ring.
    pub fn kernel(&mut self, port: usize) -> &mut Kernel {
        self.ports[port].kernel.as_mut().expect("a reactor with a ring")
    }

    /// Begins something that ends with an answer.
    pub fn begin(&mut self, port: usize, id: Id, socket: Option<SocketId>) {
        let Some(key) = Key::of(id) else { return };
        let kernel = self.kernel(port);
        kernel.serial += 1;
        let (serial, left) = (kernel.serial, kernel.shape.share);
        let request = Request { serial, socket, left, is_due: false, is_being_cancelled: false };
        let mut is_second = kernel.requests.insert(key, request).is_some();
        if let Some(socket) = socket
            && let Some(place) = self.socket(socket).watch.place(key.0)
        {
            is_second |= place.replace(key).is_some();
        }
        if is_second {
            self.breaches.push(format!("{id:?} was asked for while there is one like it"));
        }
        let Some(socket) = socket else { return };
        let looks = self.kernel(port).moment == Moment::Look;
        let has_room = self.has_room(socket);
        let socket = self.socket(socket);
        let is_due = match key.0 {
            Purpose::Accept => false,
            Purpose::Receive => socket.has_input() && (looks || !socket.is_signalled),
            Purpose::Room => {
                socket.wants_write = !has_room;
                has_room || socket.broken_here
            }
            Purpose::End => socket.fin_down || socket.broken_here,
        };
        if is_due {
            self.make_due(port, key);
        }
        if looks {
            while self.kernel(port).requests.get(&key).is_some_and(|request| request.is_due) {
                self.kernel(port).due.retain(|due| *due != key);
                self.go_on(port, key);
            }
        }
    }

    fn has_room(&mut self, socket: SocketId) -> bool {
        let (now, socket) = (self.now, self.socket(socket));
        socket.down.len() < socket.down_limit && socket.blocked_until <= now
    }

    fn make_due(&mut self, port: usize, key: Key) {
        let kernel = self.kernel(port);
        if let Some(request) = kernel.requests.get_mut(&key)
            && !std::mem::replace(&mut request.is_due, true)
        {
            kernel.due.push(key);
            self.wake(port);
        }
    }

    /// Something has become of a socket: of these, what is under way there goes on.
    pub fn notice(&mut self, socket: SocketId, purposes: &[Purpose]) {
        let port = self.socket(socket).port;
        for purpose in purposes {
            let key = self.socket(socket).watch.place(*purpose).and_then(|place| *place);
            if let Some(key) = key {
                self.make_due(port, key);
            }
        }
    }

    /// Somebody stands at the listener.
    pub fn knock(&mut self, port: usize) {
        self.kernel(port).is_knocked = true;
        self.wake(port);
    }

    /// Answers what can be answered, or most of it.
    pub fn complete(&mut self, port: usize) {
        let looks = self.kernel(port).moment == Moment::Look;
        self.kernel(port).refill();
        if looks {
            self.hear_all(port);
        }
        let mut due = std::mem::take(&mut self.kernel(port).due);
        self.random.shuffle(&mut due);
        let (late, mut later) = (self.faults.late, Vec::new());
        while let Some(key) = due.pop() {
            if !looks && self.chance(late) {
                later.push(key);
                continue;
            }
            self.go_on(port, key);
            // What is not done with goes on behind any of the others, or in the next wait.
            for key in std::mem::take(&mut self.kernel(port).due) {
                if looks || self.random.bool() {
                    let at = self.random.usize(0..=due.len());
                    due.insert(at, key);
                } else {
                    later.push(key);
                }
            }
        }
        self.kernel(port).due = later;
        if self.kernel(port).is_knocked && !self.chance(late) {
            self.kernel(port).is_knocked = false;
            self.let_in(port);
        }
    }

    /// All input that is here is noticed, however late it would have been.
    fn hear_all(&mut self, port: usize) {
        let receives = |(key, request): (&Key, &Request)| Some((*key, request.socket?));
        let all: Vec<_> = self.kernel(port).requests.iter().filter_map(receives).collect();
        for (key, socket) in all {
            if key.0 == Purpose::Receive && self.socket(socket).has_input() {
                self.make_due(port, key);
            }
        }
    }

    /// One step of a request.
    fn go_on(&mut self, port: usize, key: Key) {
        let Some(request) = self.kernel(port).requests.get_mut(&key) else { return };
        request.is_due = false;
        let Some(socket) = request.socket else { return };
        let is_broken = self.socket(socket).broken_here;
        match key.0 {
            Purpose::Accept => {}
            Purpose::Receive => self.receive(port, key, socket),
            Purpose::Room => self.end_request(port, key, Outcome::Done(0)),
            Purpose::End => {
                let outcome = match is_broken {
                    true => Outcome::Failed(libc::ECONNRESET),
                    false => Outcome::Done(0),
                };
                if self.random.u8(0..4) == 0 {
                    self.end_request(port, key, outcome);
                } else {
                    self.kernel(port).post(key.id(), outcome, true);
                }
            }
        }
    }

    /// One piece of what is in a socket, or its end.
    fn receive(&mut self, port: usize, key: Key, id: SocketId) {
        let part = self.faults.part(&mut self.random);
        let kernel = self.kernel(port);
        let (size, has_buffer) = (kernel.shape.buffer_size, kernel.lent < kernel.shape.buffers);
        let socket = self.socket(id);
        if socket.broken_here {
            return self.end_request(port, key, Outcome::Failed(libc::ECONNRESET));
        }
        let waiting = socket.up.len().min(size);
        if waiting == 0 {
            if socket.fin_here {
                self.end_request(port, key, Outcome::Done(0));
            }
            return;
        }
        if !has_buffer {
            return self.end_request(port, key, Outcome::Failed(libc::ENOBUFS));
        }
        let bytes = ((waiting as f64 * part).ceil() as usize).clamp(1, waiting);
        let taken: Box<[u8]> = socket.up.drain(..bytes).collect();
        let (latency, has_input) = (socket.latency, socket.has_input());
        if self.backlog(id) > 0 {
            self.after(latency, Event::Room(id));
        }
        let kernel = self.kernel(port);
        kernel.lent += 1;
        let outcome = Outcome::Received(Chunk::new(taken, bytes));
        let Some(request) = kernel.requests.get_mut(&key) else { return };
        request.left = request.left.saturating_sub(bytes);
        if request.left == 0 {
            return self.end_request(port, key, outcome);
        }
        kernel.post(key.id(), outcome, true);
        if has_input {
            self.make_due(port, key);
        }
    }

    /// A request has its last answer.
    fn end_request(&mut self, port: usize, key: Key, outcome: Outcome) {
        let Some(request) = self.kernel(port).requests.remove(&key) else { return };
        self.kernel(port).due.retain(|due| *due != key);
        self.kernel(port).post(key.id(), outcome, false);
        let Some(socket) = request.socket else { return };
        let watch = &mut self.socket(socket).watch;
        if let Some(place) = watch.place(key.0) {
            place.take_if(|there| *there == key);
        }
        self.end_if_over(socket);
    }

    fn end_if_over(&mut self, socket: SocketId) {
        let watch = &self.socket(socket).watch;
        if watch.is_over() {
            let is_aborted = watch.is_aborted;
            self.end(socket, is_aborted);
        }
    }

    /// A request is to end; it may take a while, and other answers may come before.
    pub fn cancel(&mut self, port: usize, id: Id) {
        let Some(key) = Key::of(id) else { return };
        let stale = self.faults.stale;
        let is_late = self.chance(stale);
        let delay = self.random.u64(1..CANCELLED_WITHIN);
        let kernel = self.kernel(port);
        let Some(request) = kernel.requests.get_mut(&key) else {
            return kernel.post(Id::Chore, Outcome::Failed(libc::ENOENT), false);
        };
        request.is_being_cancelled = true;
        let serial = request.serial;
        if is_late {
            self.after(delay, Event::Cancelled { port, key, serial });
        } else {
            self.cancelled(port, key, serial);
        }
    }

    /// The time of a cancellation has come.
    pub fn cancelled(&mut self, port: usize, key: Key, serial: u64) {
        let comes_first = self.random.bool();
        let is_there = |net: &mut Net| {
            net.ports[port].kernel.as_ref().is_some_and(|kernel| {
                kernel.requests.get(&key).is_some_and(|request| request.serial == serial)
            })
        };
        if !is_there(self) {
            return;
        }
        if comes_first && key.0 == Purpose::Receive {
            self.go_on(port, key);
        } else if comes_first && key.0 == Purpose::Accept {
            self.let_in(port);
        }
        if is_there(self) {
            self.end_request(port, key, Outcome::Failed(libc::ECANCELED));
        }
        self.wake(port);
    }

    /// Every cancellation that is under way is over.
    pub fn cancel_all(&mut self, port: usize) {
        let requests = self.kernel(port).requests.iter();
        let due: Vec<_> = requests
            .filter(|(_, request)| request.is_being_cancelled)
            .map(|(key, request)| (*key, request.serial))
            .collect();
        due.into_iter().for_each(|(key, serial)| self.cancelled(port, key, serial));
    }

    /// An accept that does not wait.
    pub fn accept_now(&mut self, port: usize, id: Id) {
        let Some(key) = Key::of(id) else { return };
        if self.ports[port].queue.is_empty() {
            self.kernel(port).has_said_empty = true;
            self.end_request(port, key, Outcome::Failed(libc::EAGAIN));
        } else {
            self.let_in_one(port, key);
        }
    }

    /// Those who stand at the listener are let in, as far as anybody waits for them.
    fn let_in(&mut self, port: usize) {
        while !self.ports[port].queue.is_empty() {
            let first = self.kernel(port).requests.keys().next().copied();
            let Some(key) = first.filter(|key| key.0 == Purpose::Accept) else { return };
            self.let_in_one(port, key);
        }
    }

    fn let_in_one(&mut self, id: usize, key: Key) {
        let now = self.now;
        let port = &mut self.ports[id];
        if port.starved_until > now {
            return self.end_request(id, key, Outcome::Failed(libc::EMFILE));
        }
        let Some(socket) = port.queue.pop_front() else { return };
        port.open += 1;
        if port.open > port.descriptors {
            self.breaches.push("somebody was let in for whom there is no room".to_owned());
        }
        let household = self.socket(socket).client % self.households;
        let file = self.kernel(id).open_file(socket);
        self.end_request(id, key, Outcome::Accepted(file, peer_of(household, socket)));
    }

    /// The close that follows is a reset.
    pub fn abort_file(&mut self, port: usize, file: File) {
        if let Some(socket) = self.file(port, file) {
            self.socket(socket).watch.is_aborted = true;
        }
    }

    /// A socket leaves the table, and lives for as long as a request is left on it.
    pub fn close_file(&mut self, port: usize, file: File) {
        let Some(socket) = self.file(port, file) else { return };
        self.kernel(port).files[file.0 as usize] = None;
        self.ports[port].open -= 1;
        self.socket(socket).watch.is_closed = true;
        self.end_if_over(socket);
    }

    /// The socket that a request names.
    pub fn file(&mut self, port: usize, file: File) -> Option<SocketId> {
        let socket = self.kernel(port).file(file);
        if socket.is_none() {
            self.breaches.push(format!("{file:?} is asked for and not open"));
        }
        socket
    }

    /// The ring goes, and all that is left of it.
    pub fn close_ring(&mut self, port: usize) {
        let kernel = self.kernel(port);
        kernel.requests.clear();
        for socket in std::mem::take(&mut kernel.files).into_iter().flatten() {
            self.ports[port].open -= 1;
            self.socket(socket).was_cut = true;
            self.end(socket, true);
        }
    }
}
