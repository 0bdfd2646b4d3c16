//! A ring over the simulated kernel, as the library's completion driver asks for one.
//! Not what the kernel makes of the requests; see `kernel`.

use std::io::{self, IoSlice};
use std::time::Duration;

use bytes::Bytes;
use pulsewheel::io::completion::{Completion, File, Id, Op, Outcome, Ring, RingCounts};
use pulsewheel::io::{Accepting, Chunk, Sending};
use pulsewheel::proto::Acknowledged;

use crate::kernel::{Moment, Purpose};
use crate::net::{Event, Net, Server, SharedNet, SocketId};

/// One reactor's ring.
pub struct SimulatedRing {
    pub net: SharedNet,
    pub id: usize,
}

/// What was asked for and not handed over yet.
#[derive(Debug)]
pub enum Asked {
    Accept { waits: bool },
    Receive(File),
    Send(File, Bytes),
    AwaitRoom(File),
    AwaitEnd(File),
    Cancel(Id),
    Abort(File),
    Close(File),
}

impl From<Op<'_>> for Asked {
    fn from(op: Op<'_>) -> Self {
        match op {
            Op::Accept { waits, .. } => Asked::Accept { waits },
            Op::Receive(file) => Asked::Receive(file),
            Op::Send(file, part) => {
                let shared = part.owner().map(|owner| owner.slice_ref(part.bytes()));
                let bytes = shared.unwrap_or_else(|| Bytes::copy_from_slice(part.bytes()));
                Asked::Send(file, bytes)
            }
            Op::AwaitRoom(file) => Asked::AwaitRoom(file),
            Op::AwaitEnd(file) => Asked::AwaitEnd(file),
            Op::Cancel(id) => Asked::Cancel(id),
            Op::Abort(file) => Asked::Abort(file),
            Op::Close(file) => Asked::Close(file),
        }
    }
}

impl Net {
    /// What was asked for is begun, or done, in that order.
    fn hand_over(&mut self, port: usize) {
        while let Some((id, asked)) = self.kernel(port).asked.pop_front() {
            match asked {
                Asked::Accept { waits } => {
                    self.begin(port, id, None);
                    if !waits {
                        self.accept_now(port, id);
                    } else if !self.ports[port].queue.is_empty() {
                        self.knock(port);
                    }
                }
                Asked::Receive(file) | Asked::AwaitRoom(file) | Asked::AwaitEnd(file) => {
                    if let Some(socket) = self.file(port, file) {
                        self.begin(port, id, Some(socket));
                    }
                }
                Asked::Send(file, bytes) => self.send_gathered(port, id, file, &bytes),
                Asked::Cancel(id) => self.cancel(port, id),
                Asked::Abort(file) => self.abort_file(port, file),
                Asked::Close(file) => self.close_file(port, file),
            }
        }
    }

    fn send_gathered(&mut self, port: usize, id: Id, file: File, bytes: &[u8]) {
        let Some(socket) = self.file(port, file) else { return };
        let sending = self.send_to_file(port, socket, &[IoSlice::new(bytes)]);
        let outcome = match sending {
            Sending::Taken(taken) if taken == bytes.len() => return,
            Sending::Taken(taken) => Outcome::Done(taken),
            Sending::Failed(_) => Outcome::Failed(libc::EPIPE),
            Sending::Pending | Sending::Gathered => Outcome::Failed(libc::EAGAIN),
        };
        if let Id::Send(ticket) = id {
            self.kernel(port).undecided.insert(ticket, socket);
        }
        self.kernel(port).post(id, outcome, false);
    }

    fn send_to_file(&mut self, port: usize, id: SocketId, parts: &[IoSlice<'_>]) -> Sending {
        if self.kernel(port).undecided.values().any(|undecided| *undecided == id) {
            self.breaches.push(format!("{id:?} is sent to before what it was sent is decided"));
        }
        let is_awaited = self.socket(id).wants_write;
        let sending = self.send(id, parts);
        // Who wants to know when there is room asks.
        self.socket(id).wants_write = is_awaited;
        self.trace.say(self.now, || format!("sent to {id:?}: {sending:?}"));
        sending
    }
}

impl Net {
    /// What is there, without waiting.
    fn receive_now(&mut self, id: SocketId, buffer: &mut [u8]) -> io::Result<usize> {
        let socket = self.socket(id);
        if socket.watch.is_armed() {
            self.breaches.push(format!("{id:?} is read from beside its receive"));
        }
        let socket = self.socket(id);
        if socket.broken_here {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let length = socket.up.len().min(buffer.len());
        if length == 0 && !socket.fin_here {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        buffer.iter_mut().zip(socket.up.drain(..length)).for_each(|(to, from)| *to = from);
        let latency = socket.latency;
        if self.backlog(id) > 0 {
            self.after(latency, Event::Room(id));
        }
        Ok(length)
    }
}

impl Ring for SimulatedRing {
    fn now(&mut self) -> u64 {
        self.net.borrow().ports[self.id].clock
    }

    fn push(&mut self, id: Id, op: Op<'_>) {
        let mut net = self.net.borrow_mut();
        let kernel = net.kernel(self.id);
        if kernel.asked.len() >= kernel.shape.submissions {
            kernel.counts.queue_full += 1;
            net.hand_over(self.id);
        }
        net.kernel(self.id).asked.push_back((id, op.into()));
    }

    fn submit(&mut self) {
        self.net.borrow_mut().hand_over(self.id);
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let mut net = self.net.borrow_mut();
        net.hand_over(self.id);
        net.kernel(self.id).is_urgent = timeout == Some(Duration::ZERO);
        if net.kernel(self.id).moment != Moment::WaitBegins {
            net.complete(self.id);
        }
        Ok(())
    }

    fn reap(&mut self) -> Option<Completion> {
        let mut net = self.net.borrow_mut();
        let completion = net.kernel(self.id).reap()?;
        net.ports[self.id].progress += 1;
        net.trace.say(net.now, || format!("reactor {} is told {completion:?}", self.id));
        Some(completion)
    }

    fn recycle(&mut self, mut chunk: Chunk) {
        let mut net = self.net.borrow_mut();
        let address = chunk.bytes().as_ptr() as usize;
        if net.kernel(self.id).unpooled.take_if(|unpooled| *unpooled == address).is_some() {
            return;
        }
        match net.kernel(self.id).lent.checked_sub(1) {
            Some(lent) => net.kernel(self.id).lent = lent,
            None => net.breaches.push("a buffer was given back twice".to_owned()),
        }
    }

    fn receive(&mut self, file: File, buffer: &mut [u8]) -> io::Result<usize> {
        let mut net = self.net.borrow_mut();
        net.hand_over(self.id);
        net.kernel(self.id).unpooled = Some(buffer.as_ptr() as usize);
        match net.file(self.id, file) {
            Some(socket) => net.receive_now(socket, buffer),
            None => Err(io::Error::from_raw_os_error(libc::EBADF)),
        }
    }

    fn send(&mut self, file: File, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut net = self.net.borrow_mut();
        net.hand_over(self.id);
        let Some(socket) = net.file(self.id, file) else {
            return Err(io::Error::from_raw_os_error(libc::EBADF));
        };
        match net.send_to_file(self.id, socket, parts) {
            Sending::Taken(taken) => Ok(taken),
            Sending::Failed(kind) => Err(kind.into()),
            Sending::Pending | Sending::Gathered => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn acknowledged(&mut self, file: File) -> Option<Acknowledged> {
        let mut net = self.net.borrow_mut();
        net.hand_over(self.id);
        let socket = net.file(self.id, file)?;
        net.acknowledged(socket)
    }

    fn finish(&mut self, file: File) {
        let mut net = self.net.borrow_mut();
        net.hand_over(self.id);
        if let Some(socket) = net.file(self.id, file) {
            net.shut(socket);
            net.notice(socket, &[Purpose::End]);
        }
    }

    fn refuse(&mut self, file: File, answer: &[u8]) {
        let mut net = self.net.borrow_mut();
        net.hand_over(self.id);
        if let Some(socket) = net.file(self.id, file) {
            net.socket(socket).up.clear();
            net.socket(socket).down.extend(answer);
        }
        net.kernel(self.id).asked.push_back((Id::Chore, Asked::Close(file)));
    }

    fn room(&self) -> usize {
        self.net.borrow().ports[self.id].descriptors
    }

    fn listeners(&self) -> usize {
        1
    }

    fn close_listeners(&mut self) {
        let mut net = self.net.borrow_mut();
        if !net.kernel(self.id).has_said_empty {
            net.breaches.push("a listener was closed before it was empty".to_owned());
        }
        net.ports[self.id].accepting = Accepting::Over;
        // Who came since is reset, as by a kernel that has nowhere to move them to.
        for socket in std::mem::take(&mut net.ports[self.id].queue) {
            let latency = net.socket(socket).latency;
            net.socket(socket).server = Server::Gone;
            net.socket(socket).was_cut = true;
            net.after(latency, Event::Broken(socket));
        }
    }

    fn counts(&self) -> RingCounts {
        let net = self.net.borrow();
        net.ports[self.id].kernel.as_ref().map_or(RingCounts::default(), |kernel| RingCounts {
            buffers_lent: kernel.lent as u64,
            ..kernel.counts
        })
    }
}
