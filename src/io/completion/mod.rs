//! The completion driver: what is asked of a ring for each connection, and what its answers mean.
//! Not for the kernel's interface; any [`Ring`] will do, the simulator's too.
//!
//! A connection has at most one receive with the ring, which goes on until it is cancelled, has
//! received a turn's share, or finds no buffer; it is asked for anew when the reason has gone. All
//! requests bear the token of their connection: what comes late, for one that has gone, is dropped,
//! and whatever it holds is given back. A socket is closed with all its requests cancelled, since
//! the kernel keeps it open for as long as it has any.

mod accepting;
mod entry;
mod events;
mod ring;
mod sending;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::time::Duration;

pub use self::accepting::waiting;
pub use self::ring::{Completion, File, Id, Op, Outcome, Ring, RingCounts};

use self::accepting::Doors;
use self::entry::{ARMED, CANCELLING, END, ENDED, Entries, HEARD, PAUSED, ROOM, STARVED};
use self::events::{Event, Events};
use super::{Accepting, Chunk, Counts, Done, Driver, Ending, Part, Sending, Token, Unsent};
use crate::mutation::{self, Mutation};
use crate::proto::Acknowledged;

/// Events handed out in one turn; the rest waits for the next.
const SHARE: usize = 1024;

/// While so many events wait, the ring is asked for no more.
const ENOUGH: usize = 2 * SHARE;

/// Waits within one look: what ended during the first is asked for anew, and has its answer in the
/// second.
const LOOKS: usize = 3;

/// Bytes that a look takes where there is no buffer.
pub const LOOKED_AT: usize = 64 * 1024;

/// A driver over a ring.
pub struct CompletionDriver<R> {
    ring: R,
    entries: Entries,
    events: Events,
    doors: Doors,
    /// Their receives found no buffer.
    starved: VecDeque<Token>,
    /// Their peers have finished, since the last wait.
    finished: Vec<Token>,
    /// Their receives ended with their share, and are asked for behind those of who had nothing.
    sated: VecDeque<Token>,
    unsent: VecDeque<Unsent>,
    /// Counts what is submitted together, round and round; never 0.
    batch: u8,
    /// Whatever was done before this turn's looks has been taken in, and nothing has been asked for
    /// since.
    has_looked: bool,
    counts: Counts,
}

impl<R: Ring> CompletionDriver<R> {
    /// A driver for up to `connections`, for which room is reserved and not touched.
    pub fn new(ring: R, connections: usize) -> Self {
        let mut entries = Entries::default();
        entries.reserve(connections);
        CompletionDriver {
            doors: Doors::new(ring.listeners()),
            ring,
            entries,
            events: Events::default(),
            starved: VecDeque::new(),
            finished: Vec::new(),
            sated: VecDeque::new(),
            unsent: VecDeque::new(),
            batch: 1,
            has_looked: false,
            counts: Counts::default(),
        }
    }

    /// The ring, for whoever simulates it.
    pub fn ring(&mut self) -> &mut R {
        &mut self.ring
    }

    /// Takes in the completions that are here.
    fn take_in(&mut self) {
        while let Some(completion) = self.ring.reap() {
            let Completion { id, outcome, has_more } = completion;
            match id {
                Id::Receive(token) => self.received(token, outcome, has_more),
                Id::Send(ticket) => self.not_all_sent(ticket, outcome),
                Id::Accept(place) => self.doors.answered(place, outcome, &mut self.counts),
                Id::Room(token) => self.has_room(token),
                Id::End(token) => self.end_changed(token, outcome, has_more),
                Id::Chore => {}
            }
        }
    }

    /// Asks for what comes from a connection, unless it is asked for or must not be.
    fn arm(&mut self, token: Token) {
        let Some(entry) = self.entries.get(token) else { return };
        if !entry.has(ARMED | STARVED | PAUSED | ENDED) {
            entry.flags = (entry.flags | ARMED) & !HEARD;
            let file = entry.file();
            self.ring.push(Id::Receive(token), Op::Receive(file));
            self.counts.requests += 1;
            self.has_looked = false;
        }
    }

    fn received(&mut self, token: Token, outcome: Outcome, has_more: bool) {
        if !has_more {
            self.counts.requests -= 1;
        }
        let Some(entry) = self.entries.get(token) else {
            self.counts.late += 1;
            if let Outcome::Received(chunk) = outcome
                && !mutation::is(Mutation::KeepLateBuffer)
            {
                self.ring.recycle(chunk);
            }
            return;
        };
        if !has_more {
            entry.flags &= !(ARMED | CANCELLING);
        }
        match outcome {
            Outcome::Received(chunk)
                if entry.has(PAUSED) && mutation::is(Mutation::DropAfterPause) =>
            {
                self.ring.recycle(chunk);
            }
            Outcome::Received(chunk) => {
                entry.flags |= HEARD;
                if !has_more {
                    entry.flags |= STARVED;
                    self.sated.push_back(token);
                }
                self.events.push(entry, Event::Received(token, chunk));
            }
            Outcome::Done(_) => self.ended(token, Ending::Finished),
            Outcome::Failed(libc::ENOBUFS) => {
                self.counts.no_buffer += 1;
                entry.flags |= STARVED;
                if entry.has(HEARD) {
                    // It has had what it could get, and may well be who has emptied the buffers.
                    self.sated.push_back(token);
                } else if !mutation::is(Mutation::StayHungry) {
                    self.starved.push_back(token);
                }
            }
            Outcome::Failed(libc::ECANCELED | libc::EINTR | libc::EAGAIN) => {}
            Outcome::Failed(error) => self.ended(token, failed(error)),
            Outcome::Accepted(..) => {}
        }
        if !has_more {
            self.arm(token);
        }
    }

    /// Nothing more will come. What becomes of our side is still to be learned.
    fn ended(&mut self, token: Token, ending: Ending) {
        let Some(entry) = self.entries.get(token) else { return };
        entry.flags |= ENDED;
        self.events.push(entry, Event::Ended(token, ending));
        if ending == Ending::Finished {
            self.finished.push(token);
        }
    }

    /// Those whose peer has finished, and who are still there: most are closed at once.
    fn await_ends(&mut self) {
        while let Some(token) = self.finished.pop() {
            self.await_end(token);
        }
    }

    fn await_end(&mut self, token: Token) {
        let Some(entry) = self.entries.get(token) else { return };
        if !entry.has(END) {
            entry.flags |= END;
            let file = entry.file();
            self.ring.push(Id::End(token), Op::AwaitEnd(file));
            self.counts.requests += 1;
        }
    }

    /// After the end of the peer's stream comes a failure, or the acknowledgement of ours: the end is
    /// told once more.
    fn end_changed(&mut self, token: Token, outcome: Outcome, has_more: bool) {
        if !has_more {
            self.counts.requests -= 1;
        }
        let Some(entry) = self.entries.get(token) else { return };
        if !has_more {
            entry.flags &= !END;
        }
        match outcome {
            Outcome::Failed(libc::ECANCELED) => {}
            Outcome::Failed(error) => self.events.push(entry, Event::Ended(token, failed(error))),
            _ => {
                self.events.push(entry, Event::Ended(token, Ending::Finished));
                self.await_end(token);
            }
        }
    }

    /// The receives that found no buffer: by now there are some. Then those that have had a share.
    fn feed_starved(&mut self) {
        self.starved.append(&mut self.sated);
        while let Some(token) = self.starved.pop_front() {
            if let Some(entry) = self.entries.get(token) {
                entry.flags &= !STARVED;
                self.arm(token);
            }
        }
    }

    /// No receive is with the ring: it found no buffer, or the peer is held back. A verdict can't wait
    /// until it is asked for anew.
    fn look_without_buffer(&mut self, token: Token) -> Option<Done> {
        let file = self.entries.get(token)?.file();
        let mut buffer = vec![0; LOOKED_AT].into_boxed_slice();
        match self.ring.receive(file, &mut buffer) {
            Ok(0) => self.ended(token, Ending::Finished),
            Ok(length) => return Some(Done::Received(token, Chunk::new(buffer, length))),
            Err(error) if is_nothing(error.kind()) => return None,
            Err(error) => self.ended(token, Ending::Failed(error.kind())),
        }
        let entry = self.entries.get(token)?;
        self.events.take(entry, token).map(Event::done)
    }

    fn ask_at_doors(&mut self) {
        let room = self.ring.room().saturating_sub(self.entries.open() as usize);
        self.doors.ask(&mut self.ring, room, &mut self.counts);
    }

    /// A connection goes, and its requests with it.
    fn leave(&mut self, token: Token, with_reset: bool) {
        let Some(entry) = self.entries.remove(token) else { return };
        if with_reset {
            self.ring.push(Id::Chore, Op::Abort(entry.file()));
        }
        let is_armed = entry.has(ARMED) && !entry.has(CANCELLING);
        if is_armed && !mutation::is(Mutation::LeaveReceive) {
            self.ring.push(Id::Chore, Op::Cancel(Id::Receive(token)));
        }
        if entry.has(ROOM) {
            self.ring.push(Id::Chore, Op::Cancel(Id::Room(token)));
        }
        if entry.has(END) {
            self.ring.push(Id::Chore, Op::Cancel(Id::End(token)));
        }
        self.ring.push(Id::Chore, Op::Close(entry.file()));
    }
}

impl<R: Ring> Driver for CompletionDriver<R> {
    fn now(&mut self) -> u64 {
        self.ring.now()
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.await_ends();
        self.feed_starved();
        self.ask_at_doors();
        if self.events.len() < ENOUGH {
            let is_busy = !self.events.is_empty() || self.doors.has_arrivals();
            self.ring.wait(if is_busy { Some(Duration::ZERO) } else { timeout })?;
        } else {
            self.ring.submit();
        }
        self.take_in();
        self.begin_batch();
        self.events.begin_share(SHARE);
        self.doors.begin_share();
        self.has_looked = false;
        Ok(())
    }

    fn next(&mut self) -> Option<Done> {
        while let Some(event) = self.events.next() {
            let token = event.token();
            let Some(entry) = self.entries.get(token) else {
                if let Event::Received(_, chunk) = event {
                    self.ring.recycle(chunk);
                }
                continue;
            };
            entry.queued = entry.queued.saturating_sub(1);
            return Some(event.done());
        }
        if let Some(peer) = self.doors.next() {
            return Some(Done::Accepted(peer));
        }
        if self.doors.has_crowd() && self.events.len() < ENOUGH {
            // As many more of this turn's share as stand there.
            self.ask_at_doors();
            self.ring.look();
            self.take_in();
            if let Some(peer) = self.doors.next() {
                return Some(Done::Accepted(peer));
            }
        }
        self.doors.finish(&mut self.ring);
        None
    }

    fn look(&mut self, token: Token) -> Option<Done> {
        for _ in 0..LOOKS {
            let is_idle = self.has_looked;
            if !is_idle {
                self.has_looked = true;
                self.ring.look();
                self.take_in();
            }
            let entry = self.entries.get(token)?;
            if let Some(event) = self.events.take(entry, token) {
                return Some(event.done());
            }
            if !entry.has(ARMED | ENDED) && !mutation::is(Mutation::LookIntoBuffers) {
                return self.look_without_buffer(token);
            }
            if is_idle {
                break;
            }
        }
        None
    }

    fn recycle(&mut self, chunk: Chunk) {
        self.ring.recycle(chunk);
    }

    fn adopt(&mut self, token: Token) -> io::Result<()> {
        if let Some(file) = self.doors.accepted.take() {
            self.entries.insert(token, file);
            self.arm(token);
        }
        Ok(())
    }

    fn refuse(&mut self, answer: &[u8]) {
        if let Some(file) = self.doors.accepted.take() {
            self.ring.refuse(file, answer);
        }
    }

    fn receive(&mut self, token: Token, on: bool) {
        let Some(entry) = self.entries.get(token) else { return };
        if on {
            entry.flags &= !PAUSED;
            if entry.has(CANCELLING) && mutation::is(Mutation::ArmTwice) {
                entry.flags &= !ARMED;
            }
            self.arm(token);
        } else {
            entry.flags |= PAUSED;
            if entry.has(ARMED) && !entry.has(CANCELLING) {
                entry.flags |= CANCELLING;
                self.ring.push(Id::Chore, Op::Cancel(Id::Receive(token)));
                self.counts.cancelled += 1;
                self.has_looked = false;
            }
        }
    }

    fn send(&mut self, token: Token, parts: &[IoSlice<'_>]) -> Sending {
        self.send_at_once(token, parts)
    }

    fn gather(&mut self, ticket: u32, token: Token, part: Part<'_>) -> Sending {
        self.gather_part(ticket, token, part)
    }

    fn submit(&mut self) {
        self.ring.submit();
        self.take_in();
        self.begin_batch();
    }

    fn unsent(&mut self) -> Option<Unsent> {
        self.unsent.pop_front()
    }

    fn acknowledged(&mut self, token: Token) -> Option<Acknowledged> {
        let file = self.entries.get(token)?.file();
        self.ring.acknowledged(file)
    }

    fn finish(&mut self, token: Token) {
        if let Some(entry) = self.entries.get(token) {
            let file = entry.file();
            self.ring.finish(file);
        }
    }

    fn close(&mut self, token: Token) {
        self.leave(token, false);
    }

    fn reset(&mut self, token: Token) {
        self.leave(token, true);
    }

    fn left_over(&self) -> (bool, bool) {
        (self.doors.is_left_over(), !self.events.is_empty())
    }

    fn accepting(&self) -> Accepting {
        self.doors.accepting
    }

    fn resume_accepting(&mut self) {
        if self.doors.accepting == Accepting::Starved {
            self.doors.accepting = Accepting::On;
        }
    }

    fn stop_listening(&mut self) {
        self.doors.stop(&mut self.ring);
    }

    fn descriptors(&self) -> u64 {
        self.entries.open() + self.ring.listeners() as u64
    }

    fn counts(&self) -> Counts {
        let ring = self.ring.counts();
        Counts {
            queue_full: ring.queue_full,
            overflows: ring.overflows,
            buffers_lent: ring.buffers_lent,
            ..self.counts
        }
    }
}

fn is_nothing(error: io::ErrorKind) -> bool {
    matches!(error, io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

fn failed(error: i32) -> Ending {
    Ending::Failed(io::Error::from_raw_os_error(error).kind())
}
