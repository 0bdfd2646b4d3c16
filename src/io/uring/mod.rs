//! The kernel's ring: io_uring(7) behind the completion driver's seam.
//! Not for what a connection's requests mean; `completion` knows.
//!
//! One thread submits and reaps, and the kernel does its work only while that thread asks for it
//! (`SINGLE_ISSUER`, `DEFER_TASKRUN`). Sockets stand in the ring's own table. A gathered send never
//! waits (`MSG_DONTWAIT`), so it is carried out, or has failed, when the call that submits it
//! returns, and its bytes are free; only a failure leaves a completion.

mod outgoing;
mod pool;
mod request;
mod seed;
mod support;
#[cfg(test)]
mod tests;
mod unsupported;
mod wake;

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

use io_uring::types::{SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, squeue};
use socket2::Socket;

pub use self::seed::{MOST_CONNECTIONS, Seed, Settings};
pub use self::support::{Support, support};
pub use self::unsupported::Unsupported;
pub use self::wake::RingWaker;

use self::outgoing::Outgoing;
use self::pool::Pool;
use self::request::{Name, Place};
use super::completion::{Completion, File, Id, Op, Outcome, Ring, RingCounts};
use super::listen::{Listener, answer_and_finish};
use super::region::Region;
use super::{Chunk, probe};
use crate::proto::Acknowledged;

/// Completions that are asked for where nothing is waited for: all that there may be.
const ALL: usize = 4096;

/// Attempts to hand requests over while the kernel has no room or no memory, before the ring is given
/// up; how many of them are made at once, and the rest between the others: a second in all.
const PATIENCE: u32 = 1000;
const EAGER: u32 = 8;
const REST: Duration = Duration::from_millis(1);

/// An error number that has made a ring unusable.
#[derive(Clone, Copy, Debug)]
struct Broken(i32);

impl From<&io::Error> for Broken {
    fn from(error: &io::Error) -> Self {
        Broken(error.raw_os_error().unwrap_or(libc::EIO))
    }
}

/// A ring of the kernel's, and what its requests point to.
///
/// Its parts are dropped in this order: the ring first.
pub struct KernelRing {
    ring: IoUring,
    pool: Pool,
    outgoing: Outgoing,
    /// Where bytes are received that find no buffer.
    scratch: Region,
    places: Box<[Place]>,
    epoch: Instant,
    listeners: Vec<Listener>,
    /// Sockets that its table has room for.
    room: usize,
    /// Taken from the ring while something else was awaited.
    aside: VecDeque<cqueue::Entry>,
    /// A descriptor of one of the sockets, for calls that take no other, until the next wait.
    installed: Option<(File, Socket)>,
    waker: RingWaker,
    /// Whom this thread has woken before.
    others: Vec<RingWaker>,
    /// It was woken in a turn, by itself or in a look: the next wait does not wait.
    is_woken: bool,
    /// What the last wait brought has been taken.
    is_in_turn: bool,
    is_limited: bool,
    /// What has made it unusable, for good: requests may be left in it that point to what is gone.
    broken: Option<Broken>,
    counts: RingCounts,
}

impl KernelRing {
    /// Hands over what was asked for if there is no room to ask for more. To be called before anything
    /// is kept for a request: what was kept is forgotten with what is handed over.
    #[inline]
    fn make_room(&mut self) {
        if self.ring.submission().is_full() {
            self.counts.queue_full += 1;
            self.hand_over();
        }
    }

    /// Asks for one thing, for which there is room.
    #[inline]
    fn put(&mut self, name: Name, entry: squeue::Entry) {
        let entry = entry.user_data(name.pack());
        // It fails only where nothing could be handed over, and then the ring is given up.
        // SAFETY: what the request points to is kept until it is completed: bytes in `outgoing`, an
        // address in `places`, a message header by the caller, who awaits it.
        let _ = unsafe { self.ring.submission().push(&entry) };
    }

    fn put_as(&mut self, name: Name, entry: squeue::Entry) {
        self.make_room();
        self.put(name, entry);
    }

    /// Hands over all that was asked for; afterwards every send is decided.
    fn hand_over(&mut self) {
        for attempt in 0..PATIENCE {
            if self.broken.is_some() {
                return;
            }
            if self.ring.submission().is_empty() {
                self.outgoing.clear();
                return;
            }
            match self.ring.submit() {
                Ok(_) => {}
                // There is no room for completions, or no memory for requests.
                Err(error) if is_passing(&error) => {
                    self.aside.extend(self.ring.completion());
                    if attempt >= EAGER {
                        std::thread::sleep(REST);
                    }
                }
                Err(error) => {
                    self.broken = Some(Broken::from(&error));
                    return;
                }
            }
        }
        self.broken = Some(Broken(libc::EBUSY));
    }

    /// The next completion, those included for which the queue had no room: what is decided is told
    /// before anything follows from it.
    #[inline]
    fn next_entry(&mut self) -> Option<cqueue::Entry> {
        if let Some(entry) = self.aside.pop_front() {
            return Some(entry);
        }
        let next = self.ring.completion().next();
        if next.is_some() { next } else { self.next_beyond_queue() }
    }

    fn next_beyond_queue(&mut self) -> Option<cqueue::Entry> {
        for _ in 0..PATIENCE {
            if self.broken.is_some() || !self.ring.submission().cq_overflow() {
                return None;
            }
            self.counts.overflows += 1;
            // Whoever submits while there is an overflow has the queue filled anew.
            match self.ring.submit() {
                Err(error) if !is_passing(&error) => {
                    self.broken = Some(Broken::from(&error));
                    return None;
                }
                _ => {}
            }
            if let Some(entry) = self.ring.completion().next() {
                return Some(entry);
            }
        }
        self.broken = Some(Broken(libc::EBUSY));
        None
    }

    /// Hands over and waits for at least `wanted` completions.
    fn enter(&mut self, wanted: usize, timeout: Option<Duration>) -> io::Result<()> {
        self.is_usable()?;
        let waited = match timeout {
            Some(timeout) => {
                let timeout = Timespec::from(timeout);
                let args = SubmitArgs::new().timespec(&timeout);
                self.ring.submitter().submit_with_args(wanted, &args)
            }
            None => self.ring.submit_and_wait(wanted),
        };
        match waited {
            Ok(_) => {}
            Err(error) if error.raw_os_error() == Some(libc::ETIME) || is_passing(&error) => {}
            Err(error) => {
                self.broken = Some(Broken::from(&error));
                return Err(error);
            }
        }
        self.hand_over();
        self.is_usable()
    }

    fn is_usable(&self) -> io::Result<()> {
        self.broken.map_or(Ok(()), |Broken(error)| Err(io::Error::from_raw_os_error(error)))
    }

    /// Has one request carried out and awaits its answer, which must come at once.
    fn await_now(&mut self, entry: squeue::Entry) -> io::Result<usize> {
        self.is_usable()?;
        self.put_as(Name::Awaited, entry);
        self.hand_over();
        for _ in 0..PATIENCE {
            while let Some(completion) = self.ring.completion().next() {
                if Name::unpack(completion.user_data()) == Name::Awaited {
                    let result = completion.result();
                    return usize::try_from(result)
                        .map_err(|_| io::Error::from_raw_os_error(-result));
                }
                self.aside.push_back(completion);
            }
            // The completion queue was full.
            self.enter(1, Some(Duration::ZERO))?;
        }
        // Its answer may come yet, and would be taken for the next one's.
        self.broken = Some(Broken(libc::EBUSY));
        Err(io::ErrorKind::BrokenPipe.into())
    }

    /// A socket as a descriptor.
    fn installed(&mut self, file: File) -> io::Result<&Socket> {
        if self.installed.as_ref().is_none_or(|(installed, _)| *installed != file) {
            let fd = self.await_now(request::install(file))?;
            // SAFETY: the kernel has just opened it for us.
            let fd = unsafe { OwnedFd::from_raw_fd(fd as i32) };
            self.installed = Some((file, Socket::from(fd)));
        }
        match &self.installed {
            Some((_, socket)) => Ok(socket),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Whoever this thread has woken is told with what is handed over next; it may be itself.
    fn pass_wakes_on(&mut self) {
        let own = self.ring.as_raw_fd();
        while let Some(waker) = wake::next() {
            let ring = waker.ring();
            if ring == own {
                self.is_woken = true;
                continue;
            }
            if self.others.iter().all(|other| other.ring() != ring) {
                self.others.push(waker);
            }
            self.put_as(Name::Wake(ring), request::wake(ring));
        }
    }

    /// A completion, unless it is the ring's own affair.
    fn translate(&mut self, entry: &cqueue::Entry) -> Option<Completion> {
        let (result, flags) = (entry.result(), entry.flags());
        let has_more = cqueue::more(flags);
        let id = match Name::unpack(entry.user_data()) {
            Name::Asked(id) => id,
            Name::Eventfd => {
                self.is_woken |= self.is_in_turn;
                if !has_more {
                    self.put_as(Name::Eventfd, request::await_eventfd(self.waker.eventfd()));
                }
                return None;
            }
            Name::Wake(ring) => {
                // It came to nothing, so that ring is told the other way.
                let other = self.others.iter().find(|other| other.ring() == ring);
                other.inspect(|other| other.wake_by_eventfd());
                return None;
            }
            Name::Message => {
                self.is_woken |= self.is_in_turn;
                return None;
            }
            Name::Awaited => return None,
        };
        let chunk = cqueue::buffer_select(flags).and_then(|buffer| {
            self.pool.filled(buffer, result.max(0) as usize, cqueue::buffer_more(flags))
        });
        let outcome = match (id, chunk) {
            (_, Some(chunk)) => Outcome::Received(chunk),
            (Id::Accept(place), None) if result >= 0 => {
                let peer = self.places.get_mut(place as usize)?.take();
                Outcome::Accepted(File(result as u32), peer)
            }
            (Id::End(_), None) if result >= 0 => match result as i16 {
                events if events & libc::POLLERR != 0 => Outcome::Failed(libc::ECONNRESET),
                events if events & libc::POLLHUP == 0 && has_more => return None,
                _ => Outcome::Done(0),
            },
            (_, None) if result < 0 => Outcome::Failed(-result),
            (_, None) => Outcome::Done(result as usize),
        };
        Some(Completion { id, outcome, has_more })
    }
}

impl Ring for KernelRing {
    fn now(&mut self) -> u64 {
        self.epoch.elapsed().as_micros() as u64
    }

    #[inline]
    fn push(&mut self, id: Id, op: Op<'_>) {
        let entry = match op {
            Op::Send(file, part) => {
                let Some(owner) = part.owner() else { return };
                let bytes = part.bytes();
                // Before the first of many sends, so that others need not wait for them.
                if self.outgoing.is_empty() {
                    self.pass_wakes_on();
                }
                self.make_room();
                self.outgoing.keep(owner);
                request::send(file, bytes.as_ptr(), bytes.len())
            }
            Op::Receive(file) => request::receive(file, self.is_limited),
            Op::Accept { listener, waits } => {
                let Id::Accept(place) = id else { return };
                let Some(place) = self.places.get_mut(place as usize) else { return };
                let Some(listener) = self.listeners.get(listener) else { return };
                request::accept(listener.socket().as_raw_fd(), place, waits)
            }
            Op::AwaitRoom(file) => request::await_room(file),
            Op::AwaitEnd(file) => request::await_end(file),
            Op::Cancel(id) => request::cancel(id),
            Op::Abort(file) => request::abort(file),
            Op::Close(file) => {
                self.installed.take_if(|(installed, _)| *installed == file);
                request::close(file)
            }
        };
        self.put_as(Name::Asked(id), entry);
    }

    fn submit(&mut self) {
        self.installed = None;
        self.pass_wakes_on();
        self.hand_over();
    }

    fn look(&mut self) {
        // What makes the ring unusable is told by the next wait.
        while self.enter(ALL, Some(Duration::ZERO)).is_ok() {
            let found = self.ring.completion();
            if found.is_empty() {
                return;
            }
            self.aside.extend(found);
        }
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.is_in_turn = false;
        self.installed = None;
        self.pass_wakes_on();
        let is_woken = std::mem::take(&mut self.is_woken);
        let is_urgent = is_woken || !self.aside.is_empty() || timeout == Some(Duration::ZERO);
        if is_urgent { self.enter(ALL, Some(Duration::ZERO)) } else { self.enter(1, timeout) }
    }

    fn reap(&mut self) -> Option<Completion> {
        loop {
            let Some(entry) = self.next_entry() else {
                self.is_in_turn = true;
                return None;
            };
            let completion = self.translate(&entry);
            if completion.is_some() {
                return completion;
            }
        }
    }

    fn recycle(&mut self, chunk: Chunk) {
        self.pool.recycle(chunk);
    }

    fn receive(&mut self, file: File, buffer: &mut [u8]) -> io::Result<usize> {
        let room = buffer.len().min(self.scratch.len());
        let start = self.scratch.at(0, room).as_ptr();
        let received = self.await_now(request::receive_now(file, start, room))?;
        let received = received.min(room);
        // SAFETY: the kernel has put so many bytes there and is through with them; `buffer` is ours.
        unsafe { buffer.as_mut_ptr().copy_from_nonoverlapping(start, received) };
        Ok(received)
    }

    fn send(&mut self, file: File, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        // SAFETY: zeros are a valid header of a message.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        // An `IoSlice` is an iovec; the kernel only reads it.
        message.msg_iov = parts.as_ptr().cast_mut().cast();
        message.msg_iovlen = parts.len() as _;
        self.await_now(request::send_now(file, &message))
    }

    fn acknowledged(&mut self, file: File) -> Option<Acknowledged> {
        probe::acknowledged(self.installed(file).ok()?)
    }

    fn finish(&mut self, file: File) {
        self.hand_over();
        if let Ok(socket) = self.installed(file) {
            // It fails only where the connection is gone, which a receive will say.
            let _ = socket.shutdown(Shutdown::Write);
        }
    }

    fn refuse(&mut self, file: File, answer: &[u8]) {
        if let Ok(socket) = self.installed(file) {
            answer_and_finish(socket, answer);
        }
        self.push(Id::Chore, Op::Close(file));
    }

    fn room(&self) -> usize {
        self.room
    }

    fn listeners(&self) -> usize {
        self.listeners.len()
    }

    fn close_listeners(&mut self) {
        self.listeners.clear();
    }

    fn counts(&self) -> RingCounts {
        RingCounts { buffers_lent: self.pool.lent(), ..self.counts }
    }
}

impl Drop for KernelRing {
    fn drop(&mut self) {
        self.hand_over();
        // The last messages to them may have come to nothing.
        self.others.iter().for_each(RingWaker::wake_by_eventfd);
        wake::end();
        seed::close(&self.ring);
    }
}

/// The kernel can't now, and may be able to later.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN | libc::EBUSY | libc::ENOMEM))
}
