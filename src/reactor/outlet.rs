//! Queueing: what a handler or a fan-out sends, admitted by the outbox's bound.
//! Not for writing; the flush phase does that.

use super::core::Core;
use crate::config::SlowConsumer;
use crate::conn::{CloseReason, Frame, Phase};
use crate::handler::Outlet;
use crate::io::Token;
use crate::mutation::{self, Mutation};
use crate::proto::{Kind, Message, PING_FRAME, Peer, encode_into, frame_length};

/// A connection's output of one turn is written ahead of the flush phase from here on, in bytes.
const WRITE_EARLY: usize = 64 * 1024;

/// Whose wish it is that a message be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// It replies to the peer's own.
    ByPeer,
    /// Others have published it.
    ByOthers,
}

impl Core {
    /// Queues a data message for one connection.
    #[inline]
    pub fn queue_message(&mut self, token: Token, kind: Kind, payload: &[u8]) {
        if !self.compression.is_on() || !self.queue_compressed(token, kind, payload) {
            self.queue_plain(token, kind, payload);
        }
    }

    /// Queues it as it is.
    #[inline]
    pub fn queue_plain(&mut self, token: Token, kind: Kind, payload: &[u8]) {
        let length = frame_length(payload.len());
        if let Some(has_backlog) = self.admit_data(token, length, Asked::ByPeer) {
            self.enqueue(token, has_backlog, length, |out| encode_into(out, kind, payload));
        }
    }

    /// Queues what has been admitted: `length` bytes that `write` encodes.
    #[inline]
    pub fn enqueue(
        &mut self,
        token: Token,
        has_backlog: bool,
        length: usize,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let Core { slots, output, now, shared, .. } = self;
        let Some(conn) = slots.get(token) else { return };
        conn.data_queued(now.tick);
        if has_backlog {
            let mut bytes = Vec::with_capacity(length);
            write(&mut bytes);
            let outbox = &mut conn.wake().outbox;
            outbox.push(Frame::own(bytes.into()), true, now.tick, &shared.outbox_budget);
            self.mark_backlog(token);
        } else {
            output.frames(token, &mut conn.output, 1, write);
        }
    }

    /// Queues a shared frame, known to this turn's output as `number`. False if it found no room
    /// or the connection is closing.
    #[inline]
    pub fn queue_shared(&mut self, index: u32, number: u32, frame: &Frame) -> bool {
        let token = self.slots.token(index);
        let Some(has_backlog) = self.admit_data(token, frame.len(), Asked::ByOthers) else {
            return false;
        };
        let Core { slots, output, now, shared, .. } = self;
        let Some(conn) = slots.get(token) else { return false };
        conn.data_queued(now.tick);
        if has_backlog {
            let outbox = &mut conn.wake().outbox;
            outbox.push(frame.clone(), true, now.tick, &shared.outbox_budget);
            self.mark_backlog(token);
        } else {
            output.shared(token, &mut conn.output, number, frame.len());
        }
        true
    }

    /// Whether a data frame of `length` bytes may be queued: None for no, else whether the outbox
    /// holds unsent bytes that it must stand behind. An empty outbox takes one of any length, and
    /// one that is no more than half full takes such a reply.
    #[inline]
    pub fn admit_data(&mut self, token: Token, length: usize, asked: Asked) -> Option<bool> {
        let conn = self.slots.get(token)?;
        if !matches!(conn.phase(), Phase::Open | Phase::Handshake) {
            return None;
        }
        let waiting = self.output.bytes_for(conn.output);
        if conn.is_resting() && waiting + length <= self.limits.outbox {
            return Some(false);
        }
        let unsent = conn.active().map_or(0, |active| active.outbox.bytes());
        if mutation::is(Mutation::ForgetOutboxBound) {
            return Some(unsent > 0);
        }
        if unsent + waiting + length <= self.limits.outbox || unsent + waiting == 0 {
            return Some(unsent > 0);
        }
        // What the kernel can take now does not count against the bound.
        self.flush_one(token);
        let conn = self.slots.get(token)?;
        let unsent = conn.active().map_or(0, |active| active.outbox.bytes());
        let takes_any = match asked {
            // What asked for it was let in, and nothing more is while so much is unsent.
            Asked::ByPeer => unsent <= self.limits.outbox / 2,
            Asked::ByOthers => unsent == 0,
        };
        if takes_any || unsent + length <= self.limits.outbox {
            return Some(unsent > 0);
        }
        self.overflow(token, length).then_some(true)
    }

    /// The slow-consumer policy: true if it has made room.
    fn overflow(&mut self, token: Token, length: usize) -> bool {
        let Some(conn) = self.slots.get(token) else { return false };
        match self.limits.slow_consumer {
            SlowConsumer::Close => {
                self.doom_now(token, CloseReason::OutboxFull);
                false
            }
            SlowConsumer::DropNewest => {
                self.shard.frames_dropped_newest.increment();
                false
            }
            SlowConsumer::DropOldest => {
                let limit = self.limits.outbox;
                let budget = &self.shared.outbox_budget;
                let outbox = &mut conn.wake().outbox;
                let dropped = outbox.drop_oldest(length, limit, budget);
                self.shard.frames_dropped_oldest.add(dropped);
                let has_room = outbox.is_empty() || outbox.bytes() + length <= limit;
                if !has_room {
                    // Only a partly written frame is left, and that can't be dropped.
                    self.shard.frames_dropped_newest.increment();
                }
                has_room
            }
        }
    }

    /// Has a connection with a backlog flushed, counted and watched at the end of the turn.
    fn mark_backlog(&mut self, token: Token) {
        let Some(conn) = self.slots.get(token) else { return };
        self.output.mark(token, &mut conn.output);
    }

    /// Queues bytes that may not be dropped: an HTTP answer, a close frame.
    pub fn queue_fixed(&mut self, token: Token, write: impl FnOnce(&mut Vec<u8>)) {
        let Core { slots, output, now, shared, .. } = self;
        let Some(conn) = slots.get(token) else { return };
        match conn.active() {
            Some(active) if !active.outbox.is_empty() => {
                let mut bytes = Vec::new();
                write(&mut bytes);
                let frame = Frame::own(bytes.into());
                active.outbox.push(frame, false, now.tick, &shared.outbox_budget);
                self.mark_backlog(token);
            }
            _ => output.fixed(token, &mut conn.output, write),
        }
    }

    /// Queues a ping or pong ahead of data.
    pub fn queue_control(&mut self, token: Token, frame: &[u8]) {
        let is_answered = self.has_answered(token);
        let Core { slots, output, now, shared, .. } = self;
        let Some(conn) = slots.get(token) else { return };
        match conn.active() {
            Some(active) if !active.outbox.is_empty() => {
                if is_answered {
                    active.outbox.push_control(frame, now.tick);
                } else {
                    // Nothing may overtake the answer to the handshake.
                    let frame = Frame::own(frame.to_vec().into());
                    active.outbox.push(frame, false, now.tick, &shared.outbox_budget);
                }
                self.mark_backlog(token);
            }
            _ => output.frames(token, &mut conn.output, 0, |out| out.extend_from_slice(frame)),
        }
    }

    /// Queues a ping, whose answer is awaited once the kernel has it.
    pub fn queue_ping(&mut self, token: Token) {
        self.queue_control(token, PING_FRAME);
        if let Some(conn) = self.slots.get(token) {
            conn.ping_queued();
        }
    }

    /// Writes a connection's output early if there is much of it, so that a turn's output stays
    /// small. True if the kernel would not take all of it.
    #[inline]
    pub fn relieve_one(&mut self, token: Token) -> bool {
        let Some(conn) = self.slots.get(token) else { return false };
        let bound = WRITE_EARLY.min(self.limits.outbox / 2);
        if self.output.bytes_for(conn.output) > bound {
            self.flush_one(token);
        }
        self.is_congested(token)
    }

    /// True if a connection has so much unsent that nothing more should be asked of it.
    #[inline]
    pub fn is_congested(&mut self, token: Token) -> bool {
        let bound = self.limits.outbox / 2;
        let Some(conn) = self.slots.get(token) else { return false };
        conn.active().is_some_and(|active| active.outbox.bytes() > bound)
    }
}

/// A connection, as its handler reaches it.
pub(super) struct Reach<'a> {
    pub core: &'a mut Core,
    pub token: Token,
    pub route: u16,
    pub peer: Peer,
    /// What the handler wants to close with.
    pub closing: Option<(u16, String)>,
}

impl<'a> Reach<'a> {
    pub fn new(core: &'a mut Core, token: Token, route: u16, peer: Peer) -> Self {
        Reach { core, token, route, peer, closing: None }
    }
}

impl Outlet for Reach<'_> {
    fn send(&mut self, message: Message<'_>) {
        if self.closing.is_none() {
            self.core.queue_message(self.token, message.kind(), message.as_bytes());
        }
    }

    fn publish(&mut self, kind: Kind, payload: &[u8]) {
        let conn = self.core.slots.get(self.token);
        if conn.is_some_and(|conn| conn.phase() == Phase::Handshake)
            && let Some(greets) = self.core.greets.get_mut(usize::from(self.route))
        {
            *greets = true;
        }
        self.core.publish(self.route, kind, payload);
    }

    fn close(&mut self, code: u16, reason: &str) {
        self.closing.get_or_insert_with(|| (code, reason.to_owned()));
    }

    fn peer(&self) -> Peer {
        self.peer
    }

    fn id(&self) -> u64 {
        u64::from(self.token.generation) << 32 | u64::from(self.token.index)
    }
}
