//! Sending by completions: gathered bytes go with the next submission, all others at once.
//! Not for what is kept when there is no room; that is the outbox's.

use std::io::{self, IoSlice};

use super::CompletionDriver;
use super::entry::ROOM;
use super::events::Event;
use super::ring::{Id, Op, Outcome, Ring};
use crate::io::{Part, Sending, Token, Unsent};
use crate::mutation::{self, Mutation};

impl<R: Ring> CompletionDriver<R> {
    pub(super) fn send_at_once(&mut self, token: Token, parts: &[IoSlice<'_>]) -> Sending {
        let Some(entry) = self.entries.get(token) else {
            return Sending::Failed(io::ErrorKind::NotConnected);
        };
        if entry.batch == self.batch && self.is_undecided(token) {
            return Sending::Pending;
        }
        let Some(entry) = self.entries.get(token) else { return Sending::Pending };
        let file = entry.file();
        match self.ring.send(file, parts) {
            Ok(taken) => Sending::Taken(taken),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if !entry.has(ROOM) {
                    entry.flags |= ROOM;
                    self.ring.push(Id::Room(token), Op::AwaitRoom(file));
                    self.counts.requests += 1;
                }
                Sending::Pending
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.send_at_once(token, parts)
            }
            Err(error) => Sending::Failed(error.kind()),
        }
    }

    /// What was gathered for this connection may be left over, and nothing may overtake it: true if
    /// so, and it is told when to go on.
    fn is_undecided(&mut self, token: Token) -> bool {
        self.ring.submit();
        self.take_in();
        if self.unsent.is_empty() {
            self.begin_batch();
            return false;
        }
        // Whose it is only the reactor knows.
        if let Some(entry) = self.entries.get(token) {
            self.events.push(entry, Event::Room(token));
        }
        true
    }

    pub(super) fn gather_part(&mut self, ticket: u32, token: Token, part: Part<'_>) -> Sending {
        if part.owner().is_none() {
            return self.send_at_once(token, &[part.slice()]);
        }
        let Some(entry) = self.entries.get(token) else {
            return Sending::Failed(io::ErrorKind::NotConnected);
        };
        entry.batch = self.batch;
        let file = entry.file();
        self.ring.push(Id::Send(ticket), Op::Send(file, part));
        Sending::Gathered
    }

    /// What was gathered up to here is decided.
    pub(super) fn begin_batch(&mut self) {
        self.batch = self.batch.checked_add(1).unwrap_or(1);
    }

    pub(super) fn not_all_sent(&mut self, ticket: u32, outcome: Outcome) {
        self.counts.short_sends += 1;
        let taken = match outcome {
            Outcome::Done(taken) => Ok(taken),
            Outcome::Failed(libc::EAGAIN | libc::EINTR | libc::ECANCELED) => Ok(0),
            Outcome::Failed(error) => Err(io::Error::from_raw_os_error(error).kind()),
            Outcome::Accepted(..) | Outcome::Received(_) => return,
        };
        if !mutation::is(Mutation::ForgetShortSend) {
            self.unsent.push_back(Unsent { ticket, taken });
        }
    }

    pub(super) fn has_room(&mut self, token: Token) {
        self.counts.requests -= 1;
        if let Some(entry) = self.entries.get(token) {
            entry.flags &= !ROOM;
            self.events.push(entry, Event::Room(token));
        }
    }
}
