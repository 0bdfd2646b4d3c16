//! Sending: one write for each connection that got output in this turn, and what comes of it.
//! Not for deciding what is sent; by now it is encoded and admitted.

use bytes::Bytes;

use super::core::Core;
use super::output::{Kept, Touched};
use crate::conn::{Budget, Class, CloseReason, Conn, Frame, NOWHERE, Outbox, Pause, Phase, Tick};
use crate::io::{Sending, Token};
use crate::mutation::{self, Mutation};
use crate::proto::tls::RECORD_OVERHEAD;
use crate::proto::{is_deflated, walk_frames};

/// Slices in one vectored write; far below the kernel's 1,024 (`IOV_MAX`).
const PARTS: usize = 64;

impl Core {
    /// Writes one connection's output ahead of the phase, to make room for more.
    pub fn flush_one(&mut self, token: Token) {
        let Some(conn) = self.slots.get(token) else { return };
        let place = conn.output;
        if place == NOWHERE {
            self.send_backlog(token);
        } else {
            self.flush_place(place as usize, false);
        }
    }

    /// Writes the output of one connection, or has the driver gather it where the outcome may be
    /// learned later.
    pub fn flush_place(&mut self, place: usize, may_gather: bool) {
        let Some(chain) = self.output.take(place) else { return };
        let Some(conn) = self.slots.get(chain.token) else { return };
        let has_backlog = conn.active().is_some_and(|active| !active.outbox.is_empty());
        if has_backlog {
            self.send_backlog(chain.token);
        } else if chain.bytes == 0 {
            self.after_sending(chain.token);
        } else if self.tls.has(chain.token.index) {
            self.write_sealed(&chain);
        } else if may_gather && conn.is_plain() {
            self.write_or_gather(place, &chain);
        } else {
            self.write_chain(&chain);
        }
    }

    /// Has the driver gather a chain that is a single piece.
    fn write_or_gather(&mut self, place: usize, chain: &Touched) {
        let Core { driver, output, gathered, slots, shard, .. } = self;
        let Some(part) = output.only_part(chain) else { return self.write_chain(chain) };
        match gathered.gather(&mut **driver, place, chain.token, part) {
            Sending::Gathered => {
                output.put_back(place, *chain);
                gathered.count(shard, chain.bytes, chain.messages);
                if let Some(conn) = slots.get(chain.token) {
                    conn.sent(chain.bytes, chain.messages);
                }
            }
            outcome => self.wrote(chain, outcome),
        }
    }

    /// Writes a chain straight from the turn's output; what is not taken goes to the outbox.
    fn write_chain(&mut self, chain: &Touched) {
        let Core { driver, output, .. } = self;
        let outcome = match output.only_part(chain) {
            Some(part) => driver.send(chain.token, &[part.slice()]),
            None => driver.send(chain.token, &output.slices(chain, PARTS)),
        };
        self.wrote(chain, outcome);
    }

    fn wrote(&mut self, chain: &Touched, outcome: Sending) {
        let sent = match outcome {
            Sending::Taken(sent) => sent,
            Sending::Pending | Sending::Gathered => 0,
            Sending::Failed(_) => {
                self.doom(chain.token, CloseReason::PeerReset);
                return;
            }
        };
        if sent == chain.bytes {
            self.gathered.count(&self.shard, sent, chain.messages);
            if let Some(conn) = self.slots.get(chain.token) {
                conn.sent(sent, chain.messages);
                if conn.is_plain() {
                    return;
                }
            }
            self.after_sending(chain.token);
            return;
        }
        let is_answered = sent > 0 || self.has_answered(chain.token);
        let kept = self.keep_rest(chain, sent, is_answered);
        let whole = chain.messages.saturating_sub(kept);
        self.gathered.count(&self.shard, sent, whole);
        if let Some(conn) = self.slots.get(chain.token) {
            conn.sent(sent, whole);
            conn.wake().outbox.sending = outcome == Sending::Pending;
        }
        self.send_backlog(chain.token);
    }

    /// Moves a chain but for its first `gone` bytes into the connection's outbox, frame by frame. How
    /// many messages that were.
    pub fn keep_rest(&mut self, chain: &Touched, gone: usize, is_answered: bool) -> u32 {
        let Core { output, slots, now, shared, .. } = self;
        let Some(conn) = slots.get(chain.token) else { return 0 };
        let budget = &shared.outbox_budget;
        let mut kept = 0;
        let keeping = Keeping {
            is_answered,
            has_takeover: conn.deflation().sends_with_takeover(),
            now: now.tick,
        };
        let outbox = &mut conn.wake().outbox;
        for (piece, gone) in output.unsent(chain, gone) {
            match piece {
                Kept::Shared(frame) => {
                    let class = keeping.class_of(frame.bytes());
                    outbox.push_as(class, frame.clone(), gone, now.tick, budget);
                    kept += 1;
                }
                Kept::Fixed(bytes) => {
                    let frame = Frame::own(Bytes::copy_from_slice(bytes));
                    outbox.push_rest(frame, gone, false, now.tick, budget);
                }
                Kept::Frames(bytes) => {
                    kept += keeping.keep_frames(outbox, bytes, gone, budget);
                }
            }
        }
        kept
    }

    /// Sends what is in the outbox until the kernel takes no more.
    pub fn send_backlog(&mut self, token: Token) {
        if self.tls.has(token.index) {
            return self.send_sealed_backlog(token);
        }
        loop {
            let room = self.settle_backlog(token).min(PARTS);
            let Core { driver, slots, shared, shard, gathered, .. } = self;
            let Some(conn) = slots.get(token) else { return };
            let Some(active) = conn.active() else { break };
            if active.outbox.sending || active.outbox.is_empty() {
                break;
            }
            let mut parts = Vec::new();
            active.outbox.parts(&mut parts, room);
            let outcome = driver.send(token, &parts);
            drop(parts);
            match outcome {
                Sending::Taken(0) => break,
                Sending::Taken(sent) => {
                    let messages = active.outbox.taken(sent, &shared.outbox_budget);
                    conn.sent(sent, messages);
                    gathered.count(shard, sent, messages);
                }
                Sending::Pending | Sending::Gathered => {
                    active.outbox.sending = true;
                    break;
                }
                Sending::Failed(_) => {
                    self.doom(token, CloseReason::PeerReset);
                    break;
                }
            }
        }
        self.after_sending(token);
    }

    /// A send that was under way in the driver is over.
    pub fn send_completed(&mut self, token: Token, bytes: usize) {
        let Some(conn) = self.slots.get(token) else { return };
        if let Some(active) = conn.active() {
            active.outbox.sending = false;
            let messages = active.outbox.taken(bytes, &self.shared.outbox_budget);
            conn.sent(bytes, messages);
            self.gathered.count(&self.shard, bytes, messages);
        }
        let Some(conn) = self.slots.get(token) else { return };
        self.output.mark(token, &mut conn.output);
    }

    /// What follows when bytes have left: a ping counts, a close is completed, reading goes on.
    pub fn after_sending(&mut self, token: Token) {
        let Some(conn) = self.slots.get(token) else { return };
        let unsent = conn.active().map_or(0, |active| active.outbox.bytes());
        // Asked for in this order, since a long queue is walked for the answer.
        if conn.has_ping_queued()
            && conn.active().is_none_or(|active| active.outbox.control_is_out())
        {
            let is_awaited = conn.control_is_out(self.now.tick, self.now.micros, &self.limits);
            self.shard.pings_sent.increment();
            if is_awaited {
                self.remember_acknowledged(token);
            }
        }
        let Some(conn) = self.slots.get(token) else { return };
        if unsent == 0 && matches!(conn.phase(), Phase::Closing | Phase::Lingering) {
            conn.start_close_clock(self.now.tick, &self.limits);
            if conn.phase() == Phase::Lingering {
                self.linger(token);
            }
        }
        let Some(conn) = self.slots.get(token) else { return };
        if conn.is_paused_for(Pause::Outbox)
            && unsent <= self.limits.outbox / 4
            && !mutation::is(Mutation::LoseOutboxWakeUp)
        {
            self.drained_outboxes.push(token);
        }
        self.account(token);
        self.arm(token);
    }

    /// The last byte is with the kernel: shut our side, and go once the peer has done so too and
    /// has taken what it was sent. If it never does, the close deadline sees to it.
    fn linger(&mut self, token: Token) {
        if self.tls.is_open(token.index) {
            return self.say_goodbye(token);
        }
        let Some(conn) = self.slots.get(token) else { return };
        let reason = conn.reason().unwrap_or(CloseReason::PeerGone);
        if conn.shut() {
            self.driver.finish(token);
        }
        if conn.is_peer_done() && !self.has_undelivered(token) {
            self.doom(token, reason);
        }
    }

    /// Notes how far the peer's kernel has come when a ping leaves behind data that may still be
    /// on its way: only then can silence mean slowness. An idle peer costs no system call.
    fn remember_acknowledged(&mut self, token: Token) {
        let overhead = if self.tls.has(token.index) { RECORD_OVERHEAD } else { 0 };
        let Some(conn) = self.slots.get(token) else { return };
        if conn.has_sent_data()
            && let Some(acknowledged) = self.driver.acknowledged(token)
        {
            conn.ping_left_behind(acknowledged, overhead);
        }
    }
}

impl Conn {
    /// Nothing beyond the message that was just sent is going on.
    #[inline]
    pub(super) fn is_plain(&self) -> bool {
        self.is_resting() && self.phase() == Phase::Open && !self.has_ping_queued()
    }
}

/// How what the kernel has not taken is kept.
struct Keeping {
    /// Where the handshake's answer has not begun to leave, nothing may overtake it.
    is_answered: bool,
    /// What is compressed refers to what was before it.
    has_takeover: bool,
    now: Tick,
}

impl Keeping {
    /// With takeover these bytes have been compressed, or not, in the order in which they leave.
    fn class_of(&self, frame: &[u8]) -> Class {
        match self.has_takeover {
            true if is_deflated(frame) => Class::Bound,
            true => Class::Settled,
            false => Class::Data,
        }
    }

    /// Queues encoded frames one by one, of which the first `gone` bytes have left; how many data
    /// frames that were.
    fn keep_frames(
        &self,
        outbox: &mut Outbox,
        bytes: &[u8],
        mut gone: usize,
        budget: &Budget,
    ) -> u32 {
        let mut rest = bytes;
        let mut messages = 0;
        for (length, is_data) in walk_frames(bytes) {
            let (frame, after) = rest.split_at(length.min(rest.len()));
            rest = after;
            if gone >= length {
                gone -= length;
                continue;
            }
            if gone == 0 && !is_data && self.is_answered {
                // Pings and pongs: a peer that asks for thousands and reads none is owed the last
                // few.
                outbox.push_control(frame, self.now);
                continue;
            }
            let class = if is_data { self.class_of(frame) } else { Class::Fixed };
            let frame = Frame::own(Bytes::copy_from_slice(frame));
            outbox.push_as(class, frame, gone, self.now, budget);
            messages += u32::from(is_data);
            gone = 0;
        }
        messages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(is_answered: bool) -> Vec<u8> {
        let budget = Budget::new(1 << 20);
        let mut outbox = Outbox::default();
        outbox.push(Frame::own(Bytes::from_static(b"101")), false, Tick(0), &budget);
        let frames = b"\x8a\x01p\x81\x01d";
        let keeping = Keeping { is_answered, has_takeover: false, now: Tick(0) };
        assert_eq!(keeping.keep_frames(&mut outbox, frames, 0, &budget), 1);
        let mut parts = Vec::new();
        outbox.parts(&mut parts, PARTS);
        parts.iter().flat_map(|part| part.iter().copied()).collect()
    }

    #[test]
    fn a_pong_that_is_kept_overtakes_data_and_never_the_answer_to_the_handshake() {
        assert_eq!(kept(false), b"101\x8a\x01p\x81\x01d");
        assert_eq!(kept(true), b"\x8a\x01p101\x81\x01d");
    }
}
