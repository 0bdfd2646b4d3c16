//! What a completion driver asks of a ring, and what it is told: the seam below the driver's own.
//! Not for the kernel's interface; `uring` speaks that, and the simulator has a ring of its own.

use std::io::{self, IoSlice};
use std::time::Duration;

use crate::io::{Chunk, Part, Token};
use crate::proto::{Acknowledged, Peer};

/// A socket, as the ring's table names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File(pub u32);

/// What a request is for; its completion bears the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Id {
    /// An accept, by the place of its answer.
    Accept(u32),
    /// The receive of a connection.
    Receive(Token),
    /// Gathered bytes, by their ticket.
    Send(u32),
    /// A wait for room to send.
    Room(Token),
    /// A wait for what follows the end of the peer's stream.
    End(Token),
    /// Something that matters only where it fails, and then to nobody.
    Chore,
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub enum Op<'a> {
    /// Take one connection from a listener; if there is none, wait for it or fail.
    Accept {
        /// Which of the ring's.
        listener: usize,
        /// Whether to wait.
        waits: bool,
    },
    /// Receive what comes, again and again, until about a turn's share of one peer has come.
    Receive(File),
    /// Send all of it. Only what is not taken is told: how much was.
    Send(File, Part<'a>),
    /// Tell once when there is room to send.
    AwaitRoom(File),
    /// Tell each time that a stream whose peer has finished comes nearer to its end: with an error,
    /// or without one.
    AwaitEnd(File),
    /// Have that request end, with `ECANCELED` if it has not by then.
    Cancel(Id),
    /// Have the close that follows be a reset.
    Abort(File),
    /// Close once all requests have ended.
    Close(File),
}

/// What has become of a request.
#[derive(Debug)]
pub struct Completion {
    /// As it was asked.
    pub id: Id,
    /// How it went.
    pub outcome: Outcome,
    /// The request goes on.
    pub has_more: bool,
}

/// How a request went.
#[derive(Debug)]
pub enum Outcome {
    /// A connection.
    Accepted(File, Peer),
    /// Bytes.
    Received(Chunk),
    /// So many bytes, or nothing in particular.
    Done(usize),
    /// An error number; see errno(3).
    Failed(i32),
}

/// What has happened in a ring, ever, and what there is now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingCounts {
    /// Requests were handed over early because the submission queue was full.
    pub queue_full: u64,
    /// The completion queue was full, and the kernel kept completions aside.
    pub overflows: u64,
    /// Receive buffers that are with the reactor.
    pub buffers_lent: u64,
}

/// Requests in, completions out.
///
/// Requests are carried out in the order in which they were pushed, as far as they can be at once;
/// a send is decided when the `submit` or `wait` after it returns.
pub trait Ring {
    /// Microseconds since the process's epoch.
    fn now(&mut self) -> u64;

    /// Asks for something, with the next `submit` or `wait`.
    fn push(&mut self, id: Id, op: Op<'_>);

    /// Hands over what was asked for.
    fn submit(&mut self);

    /// Hands over what was asked for and waits until something is completed, someone wakes the
    /// reactor, or the time has passed. With no time at all it takes in whatever is done.
    ///
    /// # Errors
    /// Only what makes the ring unusable.
    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()>;

    /// Takes in whatever is done, in the middle of a turn: whoever has woken the reactor meanwhile has
    /// woken it from its next wait.
    fn look(&mut self) {
        // What makes the ring unusable is met again by the next wait.
        let _ = self.wait(Some(Duration::ZERO));
    }

    /// The next completion that is here. What was decided by the last `submit` or `wait` is among
    /// them, however much that is.
    fn reap(&mut self) -> Option<Completion>;

    /// Takes a chunk back.
    fn recycle(&mut self, chunk: Chunk);

    /// Receives what is there at once, into memory of the reactor's: for a socket that has no receive
    /// with the ring, where the ring has no buffer for one.
    ///
    /// # Errors
    /// As recv(2); `WouldBlock` where nothing is there.
    fn receive(&mut self, file: File, buffer: &mut [u8]) -> io::Result<usize>;

    /// Sends as much as is taken at once, behind what was asked for before.
    ///
    /// # Errors
    /// As sendmsg(2); `WouldBlock` where there is no room.
    fn send(&mut self, file: File, parts: &[IoSlice<'_>]) -> io::Result<usize>;

    /// What the peer's kernel has acknowledged.
    fn acknowledged(&mut self, file: File) -> Option<Acknowledged>;

    /// Shuts our side of the stream, behind what was asked for before.
    fn finish(&mut self, file: File);

    /// Answers and closes.
    fn refuse(&mut self, file: File, answer: &[u8]);

    /// How many sockets its table has room for.
    fn room(&self) -> usize;

    /// How many listeners there are.
    fn listeners(&self) -> usize;

    /// Closes them.
    fn close_listeners(&mut self);

    /// What has happened.
    fn counts(&self) -> RingCounts;
}
