//! The readiness driver: epoll by way of mio, edge-triggered.
//! Not for anyone above `io/` to notice: readiness ends here.
//!
//! A socket is registered once, for both directions. What an edge says is remembered as a flag
//! until the kernel answers `WouldBlock`, or a short read says as much; what can't be read yet,
//! because the turn's share is used up or receiving is off, keeps its flag and its place on the
//! ready list.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Read};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll};
use socket2::Socket;

use super::listen::{Listener, answer_and_finish};
use super::{Accepting, Chunk, Done, Driver, Ending, Sending, Token, Waker, probe};
use crate::proto::{Acknowledged, Peer};

/// The one buffer that a reactor receives into, in bytes. It takes the burst of a busy peer in one
/// call and still lies in a core's cache.
const RECEIVE_BUFFER: usize = 64 * 1024;

/// Events taken from the kernel at once.
const EVENTS: usize = 1024;

/// Connections accepted in one turn; the rest waits in the kernel's queue.
const ACCEPTS: usize = 128;

/// The event of this slot and generation is the waker's, not a connection's.
const WAKER: mio::Token = mio::Token(usize::MAX);

/// Events of this generation are listeners'; connections' generations stop short of it.
const LISTENER_GENERATION: u32 = u32::MAX;

/// What is known of one socket.
#[derive(Default)]
struct Entry {
    socket: Option<Socket>,
    generation: u32,
    flags: u8,
}

/// The kernel may have bytes for us.
const READABLE: u8 = 1;
/// The event also said that the peer has finished: a short read does not mean drained.
const READ_CLOSED: u8 = 1 << 1;
/// Receiving is turned off.
const PAUSED: u8 = 1 << 2;
/// Stands on the ready list.
const READY: u8 = 1 << 3;
/// A send met a full socket buffer.
const SENDING: u8 = 1 << 4;
/// The end of the stream has been reported.
const ENDED: u8 = 1 << 5;

/// epoll behind the driver's seam.
pub struct EpollDriver {
    poll: Poll,
    events: Events,
    epoch: Instant,
    entries: Vec<Entry>,
    open: u64,
    listeners: Vec<Listener>,
    /// Whether each listener may have connections waiting.
    pending: VecDeque<usize>,
    accepting: Accepting,
    stopping: bool,
    accepted: Option<Socket>,
    accepts_left: usize,
    ready: VecDeque<Token>,
    ready_left: usize,
    writable: VecDeque<Token>,
    buffer: Option<Box<[u8]>>,
}

impl AsRawFd for EpollDriver {
    fn as_raw_fd(&self) -> RawFd {
        self.poll.as_raw_fd()
    }
}

impl EpollDriver {
    /// A driver without listeners, and its waker. To be made before any thread takes its own
    /// descriptor table, so that every table has the waker.
    ///
    /// # Errors
    /// The descriptor limit, for the most part.
    pub fn new(epoch: Instant) -> io::Result<(Self, Waker)> {
        let poll = Poll::new()?;
        let waker = mio::Waker::new(poll.registry(), WAKER)?.into();
        let driver = EpollDriver {
            poll,
            events: Events::with_capacity(EVENTS),
            epoch,
            entries: Vec::new(),
            open: 0,
            listeners: Vec::new(),
            pending: VecDeque::new(),
            accepting: Accepting::On,
            stopping: false,
            accepted: None,
            accepts_left: 0,
            ready: VecDeque::new(),
            ready_left: 0,
            writable: VecDeque::new(),
            // Not zeros: those would be pages that the first burst has to fetch.
            buffer: Some(vec![1; RECEIVE_BUFFER].into_boxed_slice()),
        };
        Ok((driver, waker))
    }

    /// Starts to accept from these listeners. `connections` is how many the reactor may hold; room
    /// for them is reserved but not touched.
    ///
    /// # Errors
    /// A listener can't be watched.
    pub fn listen(&mut self, listeners: Vec<Listener>, connections: usize) -> io::Result<()> {
        self.entries.reserve_exact(connections);
        for (index, listener) in listeners.iter().enumerate() {
            let token = pack(Token { index: index as u32, generation: LISTENER_GENERATION });
            let fd = listener.socket().as_raw_fd();
            self.poll.registry().register(&mut SourceFd(&fd), token, Interest::READABLE)?;
        }
        // Edges may have come before the registration.
        self.pending = (0..listeners.len()).collect();
        self.listeners = listeners;
        Ok(())
    }

    fn entry(&mut self, token: Token) -> Option<&mut Entry> {
        let entry = self.entries.get_mut(token.index as usize)?;
        (entry.generation == token.generation && entry.socket.is_some()).then_some(entry)
    }

    /// Sorts the kernel's events into flags and lists.
    fn sort(&mut self) {
        let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        for event in &events {
            let token = unpack(event.token());
            if event.token() == WAKER {
                continue;
            }
            if token.generation == LISTENER_GENERATION {
                let listener = token.index as usize;
                if !self.pending.contains(&listener) {
                    self.pending.push_back(listener);
                }
                continue;
            }
            let Some(entry) = self.entries.get_mut(token.index as usize) else { continue };
            // Late, for a slot that now holds another connection or none.
            if entry.generation != token.generation || entry.socket.is_none() {
                continue;
            }
            if event.is_readable() || event.is_read_closed() || event.is_error() {
                entry.flags |= READABLE;
                if event.is_read_closed() || event.is_error() {
                    entry.flags |= READ_CLOSED;
                }
                if event.is_error() || event.is_write_closed() {
                    // After the end of the peer's stream comes a failure, or the acknowledgement of
                    // ours: the end is told once more.
                    entry.flags &= !ENDED;
                }
                if entry.flags & (PAUSED | READY | ENDED) == 0 {
                    entry.flags |= READY;
                    self.ready.push_back(token);
                }
            }
            if entry.flags & SENDING != 0 && (event.is_writable() || event.is_error()) {
                entry.flags &= !SENDING;
                self.writable.push_back(token);
            }
        }
        self.events = events;
    }

    fn accept(&mut self) -> Option<Done> {
        while self.accepts_left > 0 {
            let &listener = self.pending.front()?;
            let accepted = self.listeners.get(listener)?.accept();
            match accepted {
                Ok((socket, peer)) => {
                    self.accepts_left -= 1;
                    self.accepted = Some(socket);
                    return Some(Done::Accepted(peer));
                }
                Err(error) if is_starved(&error) => {
                    self.accepting = Accepting::Starved;
                    return None;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.pending.pop_front();
                }
                // The peer gave up while it waited, or a signal came: go on with the next one.
                Err(_) => self.accepts_left -= 1,
            }
        }
        None
    }

    /// Closes the listeners once their queues are empty.
    fn finish_listening(&mut self) {
        if self.stopping && self.pending.is_empty() && self.accepting == Accepting::On {
            self.listeners.clear();
            self.accepting = Accepting::Over;
        }
    }

    fn read(&mut self, token: Token) -> Option<Done> {
        let mut buffer = self.buffer.take()?;
        let Some(entry) = self.entry(token) else {
            self.buffer = Some(buffer);
            return None;
        };
        let mut socket = entry.socket.as_ref()?;
        match socket.read(&mut buffer) {
            Ok(0) => {
                entry.flags = (entry.flags | ENDED) & !READABLE;
                self.buffer = Some(buffer);
                Some(Done::Ended(token, Ending::Finished))
            }
            Ok(length) => {
                // A short read means drained; not so where a FIN came with the data, since no
                // other edge follows it.
                if length < RECEIVE_BUFFER && entry.flags & READ_CLOSED == 0 {
                    entry.flags &= !READABLE;
                }
                Some(Done::Received(token, Chunk::new(buffer, length)))
            }
            Err(error) => {
                self.buffer = Some(buffer);
                let entry = self.entry(token)?;
                match error.kind() {
                    io::ErrorKind::WouldBlock => {
                        entry.flags &= !READABLE;
                        None
                    }
                    io::ErrorKind::Interrupted => None,
                    kind => {
                        entry.flags = (entry.flags | ENDED) & !READABLE;
                        Some(Done::Ended(token, Ending::Failed(kind)))
                    }
                }
            }
        }
    }

    /// Puts a token back behind the others if it may have more.
    fn requeue(&mut self, token: Token) {
        let Some(entry) = self.entry(token) else { return };
        if entry.flags & READABLE != 0 && entry.flags & (PAUSED | READY | ENDED) == 0 {
            entry.flags |= READY;
            self.ready.push_back(token);
        }
    }

    fn take(&mut self, token: Token) -> Option<Socket> {
        let entry = self.entry(token)?;
        entry.flags = 0;
        let socket = entry.socket.take();
        self.open -= 1;
        socket
    }
}

impl Driver for EpollDriver {
    fn now(&mut self) -> u64 {
        self.epoch.elapsed().as_micros() as u64
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let can_accept = !self.pending.is_empty() && self.accepting == Accepting::On;
        let is_busy = !self.ready.is_empty() || !self.writable.is_empty() || can_accept;
        let timeout = if is_busy { Some(Duration::ZERO) } else { timeout };
        match self.poll.poll(&mut self.events, timeout) {
            Ok(()) => self.sort(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        self.accepts_left = ACCEPTS;
        self.ready_left = self.ready.len();
        Ok(())
    }

    fn next(&mut self) -> Option<Done> {
        if let Some(token) = self.writable.pop_front() {
            return Some(Done::Sent(token, 0));
        }
        while self.ready_left > 0 {
            self.ready_left -= 1;
            let Some(token) = self.ready.pop_front() else { break };
            let Some(entry) = self.entry(token) else { continue };
            entry.flags &= !READY;
            if entry.flags & (PAUSED | ENDED) != 0 {
                continue;
            }
            let done = self.read(token);
            self.requeue(token);
            if done.is_some() {
                return done;
            }
        }
        if self.accepting == Accepting::On {
            let done = self.accept();
            self.finish_listening();
            return done;
        }
        None
    }

    fn look(&mut self, token: Token) -> Option<Done> {
        self.entry(token).filter(|entry| entry.flags & ENDED == 0)?;
        self.read(token)
    }

    fn recycle(&mut self, chunk: Chunk) {
        self.buffer = chunk.into_buffer();
    }

    fn adopt(&mut self, token: Token) -> io::Result<()> {
        let Some(socket) = self.accepted.take() else { return Ok(()) };
        let fd = socket.as_raw_fd();
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut SourceFd(&fd), pack(token), interest)?;
        let index = token.index as usize;
        if self.entries.len() <= index {
            self.entries.resize_with(index + 1, Entry::default);
        }
        if let Some(entry) = self.entries.get_mut(index) {
            *entry = Entry { socket: Some(socket), generation: token.generation, flags: 0 };
        }
        self.open += 1;
        Ok(())
    }

    fn refuse(&mut self, answer: &[u8]) {
        let Some(socket) = self.accepted.take() else { return };
        answer_and_finish(&socket, answer);
    }

    fn receive(&mut self, token: Token, on: bool) {
        let Some(entry) = self.entry(token) else { return };
        if on {
            entry.flags &= !PAUSED;
            self.requeue(token);
        } else {
            entry.flags |= PAUSED;
        }
    }

    fn send(&mut self, token: Token, parts: &[IoSlice<'_>]) -> Sending {
        let Some(entry) = self.entry(token) else {
            return Sending::Failed(io::ErrorKind::NotConnected);
        };
        let Some(socket) = entry.socket.as_ref() else {
            return Sending::Failed(io::ErrorKind::NotConnected);
        };
        let sent = match parts {
            [part] => socket.send(part),
            parts => socket.send_vectored(parts),
        };
        match sent {
            Ok(taken) => Sending::Taken(taken),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => {
                    entry.flags |= SENDING;
                    Sending::Pending
                }
                io::ErrorKind::Interrupted => self.send(token, parts),
                kind => Sending::Failed(kind),
            },
        }
    }

    fn acknowledged(&mut self, token: Token) -> Option<Acknowledged> {
        probe::acknowledged(self.entry(token)?.socket.as_ref()?)
    }

    fn finish(&mut self, token: Token) {
        if let Some(entry) = self.entry(token)
            && let Some(socket) = &entry.socket
        {
            // It fails only where the connection is gone, which a read will say.
            let _ = socket.shutdown(Shutdown::Write);
        }
    }

    fn close(&mut self, token: Token) {
        drop(self.take(token));
    }

    fn reset(&mut self, token: Token) {
        if let Some(socket) = self.take(token) {
            let _ = socket.set_linger(Some(Duration::ZERO));
        }
    }

    fn left_over(&self) -> (bool, bool) {
        let accepts = self.accepts_left == 0 && !self.pending.is_empty();
        (accepts, !self.ready.is_empty())
    }

    fn accepting(&self) -> Accepting {
        self.accepting
    }

    fn resume_accepting(&mut self) {
        if self.accepting == Accepting::Starved {
            self.accepting = Accepting::On;
        }
    }

    fn stop_listening(&mut self) {
        if self.accepting != Accepting::Over {
            self.stopping = true;
            self.pending = (0..self.listeners.len()).collect();
            self.finish_listening();
        }
    }

    fn descriptors(&self) -> u64 {
        self.open + self.listeners.len() as u64
    }
}

fn pack(token: Token) -> mio::Token {
    mio::Token((token.generation as usize) << 32 | token.index as usize)
}

fn unpack(token: mio::Token) -> Token {
    Token { index: token.0 as u32, generation: (token.0 >> 32) as u32 }
}

/// The process's or the machine's descriptors, or the kernel's memory, are used up.
fn is_starved(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}

/// A connection as the listener gave it.
pub(super) type Incoming = (Socket, Peer);
