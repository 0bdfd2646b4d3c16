//! The driver's seam: accepted, received, sent, ended; and the drivers behind it.
//! Not for connections' lives: a driver knows sockets and tokens, never why.
//!
//! The seam speaks of things done, not of readiness: epoll's driver turns the one into the other,
//! a completion driver over io_uring is told of things done, and a simulated one makes them up. Which
//! one it is, a [`Seed`] knows and nobody asks. A turn of the reactor calls [`Driver::wait`] once, then
//! [`Driver::next`] until it gives `None`, then sends and closes what the turn brought about.

#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::string_slice))]

mod chunk;
pub mod completion;
mod counts;
pub mod descriptors;
mod epoll;
pub mod listen;
pub mod memory;
mod original;
mod part;
mod probe;
mod region;
mod seed;
mod seeds;
mod uring;
mod waker;

use std::io::{self, IoSlice};
use std::time::Duration;

pub use self::chunk::Chunk;
pub use self::counts::Counts;
pub use self::epoll::EpollDriver;
pub use self::original::Original;
pub use self::part::Part;
pub use self::seed::{DriverChoice, DriverKind, Needs, Seed};
pub use self::seeds::{NoDriver, Seeds};
pub use self::uring::Unsupported;
pub use self::waker::Waker;
use crate::proto::{Acknowledged, Peer};

/// Names a connection: a slot, and which of the connections that have lived in it.
///
/// Slots are reused; a late event for a former connection carries its generation and reaches
/// nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token {
    /// The slot.
    pub index: u32,
    /// How many connections the slot had before.
    pub generation: u32,
}

/// What a driver has done.
#[derive(Debug)]
pub enum Done {
    /// A connection was accepted. It must be adopted or refused before the next call of `next`.
    Accepted(Peer),
    /// Bytes came. Hand the chunk back with `recycle` when they are dealt with.
    Received(Token, Chunk),
    /// A send that was under way is over: so many bytes were taken since. Send the rest, if any.
    Sent(Token, usize),
    /// Nothing more will come from this peer. The token stays valid until it is closed or reset.
    Ended(Token, Ending),
}

/// How a peer's stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// In good order, with a FIN.
    Finished,
    /// With an error: a reset, a timeout of the kernel, an unreachable host.
    Failed(io::ErrorKind),
}

/// What became of a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sending {
    /// So many bytes were taken at once. Fewer than given: call again for the rest.
    Taken(usize),
    /// None was taken; `Done::Sent` will say when to go on.
    Pending,
    /// Gathered, to be sent with the rest of the turn's output; `unsent` tells what was not taken.
    Gathered,
    /// The connection has failed; `Done::Ended` may or may not follow.
    Failed(io::ErrorKind),
}

/// What became of gathered bytes that were not all taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsent {
    /// As it was given to `gather`.
    pub ticket: u32,
    /// So many bytes were taken, the first ones; or the connection has failed.
    pub taken: Result<usize, io::ErrorKind>,
}

/// What accepting is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepting {
    /// Connections are taken as they come.
    On,
    /// Descriptors ran out; `resume_accepting` tries again.
    Starved,
    /// The listeners are closed.
    Over,
}

/// Sockets, seen through what has been done with them.
pub trait Driver {
    /// Microseconds since the process's epoch. Virtual in a simulation.
    fn now(&mut self) -> u64;

    /// Waits until something is done, someone wakes the driver, or `timeout` has passed;
    /// `None` waits without end. Does not wait while earlier work is left over.
    ///
    /// # Errors
    /// Only what makes the driver unusable.
    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()>;

    /// The next thing done, until this turn's share is used up. What is left waits for the next
    /// turn, behind everyone else's.
    fn next(&mut self) -> Option<Done>;

    /// Reads once more from one connection, out of turn: a last look before a verdict of silence.
    fn look(&mut self, token: Token) -> Option<Done>;

    /// Takes a chunk back.
    fn recycle(&mut self, chunk: Chunk);

    /// Serves the connection that was just accepted, under this token.
    ///
    /// # Errors
    /// The connection can't be watched and is gone.
    fn adopt(&mut self, token: Token) -> io::Result<()>;

    /// Answers the connection that was just accepted with these bytes, and closes it.
    fn refuse(&mut self, answer: &[u8]);

    /// Turns receiving off, which lets TCP hold the peer back, or on again.
    fn receive(&mut self, token: Token, on: bool);

    /// Sends as much as is taken of these parts, in one call, after what was gathered before.
    fn send(&mut self, token: Token, parts: &[IoSlice<'_>]) -> Sending;

    /// Sends this part: at once, as a driver does that does not say otherwise, or together with others
    /// by the next `submit` or `wait` at the latest. The driver keeps it alive for as long as that takes. If it says `Gathered`, all of it is taken
    /// but for what `unsent` tells, under this ticket; until then nothing more may be sent to that
    /// connection.
    fn gather(&mut self, ticket: u32, token: Token, part: Part<'_>) -> Sending {
        let _ = ticket;
        self.send(token, &[part.slice()])
    }

    /// Sends what was gathered.
    fn submit(&mut self) {}

    /// What was gathered, submitted and not all taken: to be asked after each `submit` and `wait`
    /// until it gives `None`.
    fn unsent(&mut self) -> Option<Unsent> {
        None
    }

    /// What this connection's peer's kernel has acknowledged; `None` if that can't be known,
    /// or nobody is left to acknowledge anything.
    fn acknowledged(&mut self, token: Token) -> Option<Acknowledged>;

    /// Shuts our side of the stream: a FIN follows the last byte.
    fn finish(&mut self, token: Token);

    /// Closes in good order. The token is free.
    fn close(&mut self, token: Token);

    /// Closes with a reset, forgetting unsent bytes. The token is free.
    fn reset(&mut self, token: Token);

    /// What this turn's share did not reach: (connections to accept, bytes to receive).
    fn left_over(&self) -> (bool, bool);

    /// What accepting is doing.
    fn accepting(&self) -> Accepting;

    /// Tries to accept again after descriptors ran out.
    fn resume_accepting(&mut self);

    /// Takes in what the listeners still hold, then closes them; `accepting` says when.
    fn stop_listening(&mut self);

    /// Descriptors that this driver's table has open, as far as it knows.
    fn descriptors(&self) -> u64;

    /// What has happened in the driver that only a completion driver knows.
    fn counts(&self) -> Counts {
        Counts::default()
    }
}
