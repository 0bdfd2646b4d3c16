//! The admin port's HTTP server: a few blocking threads, bounded in number, time and bytes.
//! Not what is served (that is `routes`), and not fit for anything but an operator's few requests.
//!
//! One thread accepts and gives each connection a thread of its own, one request and one answer
//! long. There are at most sixteen at once; a further connection is told 503 and closed. A request
//! has five seconds in total to arrive and an answer as long to be taken, so that a peer that
//! drips bytes holds its thread no longer than one that sends nothing.

#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::string_slice))]

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use socket2::SockRef;

use super::AdminService;
use super::answer::Answer;
use super::request::{self, Head, MAX_HEAD};
use super::routes;
use crate::config::AdminToken;

/// Connections served at once: a scraper or two, a few probes, a person, and room for mistakes.
const MAX_OPEN: usize = 16;

/// Enough for the largest exposition and the service's call; a thread's default is eight times it.
const STACK_BYTES: usize = 256 * 1024;

/// How long to let be after the kernel would not give a connection, for want of descriptors mostly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// No single wait is longer, so that a thread soon sees that the server stops.
const LONGEST_WAIT: Duration = Duration::from_millis(100);

const LISTENER: Token = Token(0);
const STOP: Token = Token(1);

/// What each part of a conversation may take in total.
#[derive(Clone, Copy, Debug)]
struct Times {
    /// From accept until head and body have arrived.
    request: Duration,
    /// From the first byte of the answer until the kernel has taken the last.
    answer: Duration,
    /// How long to go on reading what an early answer left unread.
    linger: Duration,
    /// What remains of any of these once the server stops.
    stop: Duration,
}

const TIMES: Times = Times {
    request: Duration::from_secs(5),
    answer: Duration::from_secs(5),
    linger: Duration::from_secs(1),
    stop: Duration::from_secs(1),
};

/// The admin port, open until it is stopped or dropped.
#[derive(Debug)]
pub struct AdminServer {
    address: SocketAddr,
    waker: Waker,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Serves `service` on `listener`, with a thread that accepts and one for each open connection.
///
/// With a `token`, every request must present it as a bearer token. Where reactors take descriptor
/// tables of their own, call this after the last has done so: copies of the listener would live on
/// in their tables.
///
/// # Errors
///
/// What the kernel says when it has no descriptor or thread left.
pub fn start(
    listener: TcpListener,
    token: Option<AdminToken>,
    service: Arc<dyn AdminService>,
) -> io::Result<AdminServer> {
    start_with(listener, token, service, TIMES)
}

fn start_with(
    listener: TcpListener,
    token: Option<AdminToken>,
    service: Arc<dyn AdminService>,
    times: Times,
) -> io::Result<AdminServer> {
    let address = listener.local_addr()?;
    listener.set_nonblocking(true)?;
    let poll = Poll::new()?;
    let waker = Waker::new(poll.registry(), STOP)?;
    poll.registry().register(&mut SourceFd(&listener.as_raw_fd()), LISTENER, Interest::READABLE)?;
    let stopping = Arc::new(AtomicBool::new(false));
    let port =
        Port { token, service, times, stopping: stopping.clone(), open: AtomicUsize::new(0) };
    let thread = thread::Builder::new()
        .name("admin".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(move || port.accept_until_stopped(poll, listener))?;
    Ok(AdminServer { address, waker, stopping, thread: Some(thread) })
}

impl AdminServer {
    /// The address it is bound to.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves what stands in the accept queue, closes the port, and waits for the connections that
    /// are open: a second at most for their bytes, and as long as the service takes to answer.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        self.stopping.store(true, Ordering::Release);
        if let Err(error) = self.waker.wake() {
            // Its thread would never hear of it; leave it rather than wait for ever.
            log::error!("the admin port could not be stopped: {error}");
            return;
        }
        if thread.join().is_err() {
            log::error!("the admin port's thread panicked");
        }
    }
}

impl Drop for AdminServer {
    fn drop(&mut self) {
        self.end();
    }
}

/// Why the accept queue is not read any further.
enum Queue {
    Empty,
    Stuck,
}

/// What all connections share.
struct Port {
    token: Option<AdminToken>,
    service: Arc<dyn AdminService>,
    times: Times,
    stopping: Arc<AtomicBool>,
    /// Connections being served; written by the accepting thread and by each that ends.
    open: AtomicUsize,
}

impl Port {
    fn accept_until_stopped(&self, mut poll: Poll, listener: TcpListener) {
        let mut events = Events::with_capacity(4);
        let mut complained = false;
        let mut wait = None;
        // The scope's end joins the connections' threads.
        thread::scope(|scope| {
            loop {
                if let Err(error) = poll.poll(&mut events, wait)
                    && error.kind() != io::ErrorKind::Interrupted
                {
                    log::error!("the admin port closes: {error}");
                    break;
                }
                // Read before the queue is: what was queued before the stop is still served.
                let stopping = self.is_stopping();
                wait = match self.accept_all(scope, &listener, &mut complained) {
                    Queue::Empty => None,
                    // Readiness comes on an edge and will not come again for what is still queued.
                    Queue::Stuck => Some(ACCEPT_PAUSE),
                };
                if stopping {
                    break;
                }
            }
            // Closing is not enough where another descriptor table holds a copy of the listener:
            // the kernel would go on queueing connections for nobody.
            let _ = SockRef::from(&listener).shutdown(Shutdown::Both);
            drop(listener);
        });
    }

    fn accept_all<'scope>(
        &'scope self,
        scope: &'scope thread::Scope<'scope, '_>,
        listener: &TcpListener,
        complained: &mut bool,
    ) -> Queue {
        loop {
            match listener.accept() {
                Ok((stream, _)) => {
                    *complained = false;
                    self.take(scope, stream);
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Queue::Empty,
                    io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => {}
                    _ => {
                        if !std::mem::replace(complained, true) {
                            log::warn!("the admin port cannot accept for now: {error}");
                        }
                        return Queue::Stuck;
                    }
                },
            }
        }
    }

    fn take<'scope>(&'scope self, scope: &'scope thread::Scope<'scope, '_>, stream: TcpStream) {
        if self.open.load(Ordering::Acquire) >= MAX_OPEN {
            self.turn_away(stream);
            return;
        }
        self.open.fetch_add(1, Ordering::AcqRel);
        let place = Place(&self.open);
        let spawned = thread::Builder::new()
            .name("admin-request".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, move || {
                let _place = place;
                if let Err(error) = Conversation::new(self, stream).and_then(Conversation::hold) {
                    log::debug!("a connection to the admin port failed: {error}");
                }
            });
        if let Err(error) = spawned {
            log::warn!("no thread for a connection to the admin port: {error}");
        }
    }

    /// Says 503 without ever waiting: this runs on the accepting thread.
    fn turn_away(&self, mut stream: TcpStream) {
        let answer = Answer::error(503, "too many connections to the admin port")
            .with("Retry-After", "1")
            .into_bytes(&self.service.name(), false);
        if stream.set_nonblocking(true).is_ok() {
            // A request that is already there must be read, or close() resets the connection and
            // the answer with it.
            let _ = stream.read(&mut [0; MAX_HEAD]);
            let _ = stream.write(&answer);
            let _ = stream.shutdown(Shutdown::Write);
        }
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }
}

/// One of the [`MAX_OPEN`] places, given back however its holder ends.
struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Why no request came of a connection.
enum Broken {
    /// The peer left, or the connection failed: there is nobody to answer.
    Gone(io::Error),
    /// It gets this answer, and whatever else it sends is not looked at.
    Refused(Answer),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut => {
                Self::Refused(Answer::error(408, "the request took too long to arrive"))
            }
            _ => Self::Gone(error),
        }
    }
}

impl From<Answer> for Broken {
    fn from(answer: Answer) -> Self {
        Self::Refused(answer)
    }
}

/// One connection: a request, an answer.
struct Conversation<'a> {
    port: &'a Port,
    stream: TcpStream,
    /// When the part of the conversation that is under way must be over.
    until: Instant,
    /// Whether `until` has been brought forward because the server stops.
    hurried: bool,
    /// Whether the peer may still be sending what nobody reads.
    unread: bool,
    /// Whether the answer goes without its body.
    head_only: bool,
}

impl<'a> Conversation<'a> {
    fn new(port: &'a Port, stream: TcpStream) -> io::Result<Self> {
        // Whether an accepted socket inherits this from its listener differs among systems.
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        let until = Instant::now() + port.times.request;
        Ok(Self { port, stream, until, hurried: false, unread: true, head_only: false })
    }

    fn hold(mut self) -> io::Result<()> {
        let answer = match self.answer() {
            Ok(answer) | Err(Broken::Refused(answer)) => answer,
            Err(Broken::Gone(error)) => return Err(error),
        };
        let bytes = answer.into_bytes(&self.port.service.name(), self.head_only);
        self.allow(self.port.times.answer);
        self.write_all(&bytes)?;
        self.stream.shutdown(Shutdown::Write)?;
        if self.unread {
            self.linger();
        }
        Ok(())
    }

    fn answer(&mut self) -> Result<Answer, Broken> {
        let mut received = Vec::with_capacity(1024);
        let Head { request, length } = self.read_head(&mut received)?;
        self.head_only = request.method == "HEAD";
        let service = &*self.port.service;
        let route = routes::find(&request, self.port.token.as_ref(), service.max_publish_size())?;
        let mut body = received.split_off(length);
        self.read_body(&mut body, route.body_length(), request.expects_continue)?;
        log::debug!("admin: {} {:?}", request.method, request.path);
        // A panic in the service must cost this one answer and not the port.
        let served = catch_unwind(AssertUnwindSafe(|| route.serve(&request, &body, service)));
        Ok(served.unwrap_or_else(|_| Answer::error(500, "this should not have happened")))
    }

    /// Reads until the head is complete; `received` may then hold some of the body too.
    fn read_head(&mut self, received: &mut Vec<u8>) -> Result<Head, Broken> {
        loop {
            self.read_some(received, MAX_HEAD - received.len())?;
            if let Some(head) = request::parse(received)? {
                return Ok(head);
            }
        }
    }

    /// Reads until `body` has `length` bytes. Memory is taken as bytes arrive and not on the word
    /// of a header.
    fn read_body(
        &mut self,
        body: &mut Vec<u8>,
        length: usize,
        expects_continue: bool,
    ) -> Result<(), Broken> {
        if expects_continue && body.len() < length {
            self.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        while body.len() < length {
            self.read_some(body, length - body.len())?;
        }
        // What stands behind the request is a second one that is not served, or noise.
        self.unread = body.len() > length;
        body.truncate(length);
        Ok(())
    }

    /// Appends at least one byte and at most `limit`, or fails.
    fn read_some(&mut self, to: &mut Vec<u8>, limit: usize) -> io::Result<()> {
        let mut chunk = [0; 8 * 1024];
        let room = limit.min(chunk.len());
        loop {
            let wait = self.next_wait()?;
            self.stream.set_read_timeout(Some(wait))?;
            match self.stream.read(chunk.get_mut(..room).unwrap_or_default()) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    to.extend_from_slice(chunk.get(..count).unwrap_or_default());
                    return Ok(());
                }
                Err(error) if waits_on(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let wait = self.next_wait()?;
            self.stream.set_write_timeout(Some(wait))?;
            match self.stream.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(error) if waits_on(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads and forgets what the peer still sends until it has the answer and closes: to close
    /// before would reset the connection, and the answer could be lost with it.
    fn linger(&mut self) {
        self.allow(self.port.times.linger);
        let mut forgotten = Vec::new();
        while self.read_some(&mut forgotten, usize::MAX).is_ok() {
            forgotten.clear();
        }
    }

    /// Begins a part of the conversation that may take this long.
    fn allow(&mut self, time: Duration) {
        self.until = Instant::now() + time;
        self.hurried = false;
    }

    /// How long the next read or write may block.
    ///
    /// # Errors
    ///
    /// `TimedOut` when there is no time left.
    fn next_wait(&mut self) -> io::Result<Duration> {
        let now = Instant::now();
        if self.port.is_stopping() && !self.hurried {
            self.hurried = true;
            self.until = self.until.min(now + self.port.times.stop);
        }
        match self.until.saturating_duration_since(now) {
            Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
            left => Ok(left.min(LONGEST_WAIT)),
        }
    }
}

/// Whether a read or write merely has nothing to report yet.
fn waits_on(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests;
