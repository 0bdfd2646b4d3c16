//! The deadlines phase: who the wheel says to look at, and what is done about it.
//! Not for when deadlines fall; each connection knows its own.

use super::Reactor;
use super::core::Core;
use super::shard::Phase as BudgetedPhase;
use crate::config::SlowConsumer;
use crate::conn::{CloseReason, Deadline, Pause, Phase, RefusedReason, TICK_MICROS, Tick, Verdict};
use crate::io::{Done, Token};
use crate::mutation::{self, Mutation};
use crate::proto::Answer;

/// Connections whose memory is asked for together, ahead of looking at them.
const AHEAD: usize = 16;

/// Entries looked at in one turn; the rest waits, so that a mass expiry starves nobody.
const LOOKS: usize = 1024;

/// Bytes that are read in search of a close frame before a verdict: more than a peer that stopped
/// sending when it was told can have left unread.
const LAST_BYTES: usize = 1024 * 1024;

/// A read counts as so many bytes at least: some drivers have what came in small pieces.
const SMALL_READ: usize = 1024;

impl Reactor {
    /// Looks at the connections whose entries have come up.
    pub(super) fn expire(&mut self) {
        for look in 0..LOOKS {
            if look.is_multiple_of(AHEAD) {
                self.core.slots.warm(self.core.wheel.ahead(AHEAD));
            }
            let Some((tick, slot)) = self.core.wheel.pop() else { return };
            if look == 0 {
                self.core.note_lag(tick);
            }
            let Some(conn) = self.core.slots.at(slot) else {
                self.core.look_at_addresses(slot);
                continue;
            };
            // Else it was a former tenant's.
            if conn.armed.fired(tick) {
                self.look_at(self.core.slots.token(slot));
            }
            if self.core.output.is_full() {
                self.core.flush();
            }
        }
        self.core.carry_over_if(true, BudgetedPhase::Deadlines);
    }

    fn look_at(&mut self, token: Token) {
        let mut has_read = false;
        // Each verdict changes what is due next; a connection has fewer deadlines than this.
        for _ in 0..Deadline::COUNT {
            let core = &mut self.core;
            let Core { slots, now, limits, spread, .. } = core;
            let Some(conn) = slots.get(token) else { return };
            let Some((deadline, verdict)) = conn.expire(now.tick, limits, spread) else { break };
            if judges_silence(verdict) && !has_read && !mutation::is(Mutation::SkipLastLook) {
                has_read = true;
                if self.hear_out(token) > 0 {
                    continue;
                }
            }
            let core = &mut self.core;
            if verdict == Verdict::Silent && core.is_only_slow(token) {
                continue;
            }
            if let Some(counter) = core.shard.deadlines_expired.get(deadline.index()) {
                counter.increment();
            }
            self.carry_out(token, verdict);
            if self.core.doomed.last().is_some_and(|doomed| doomed.token == token) {
                return;
            }
        }
        if !mutation::is(Mutation::SkipRearm) {
            self.core.arm(token);
        }
    }

    fn carry_out(&mut self, token: Token, verdict: Verdict) {
        let core = &mut self.core;
        match verdict {
            Verdict::Ping => core.queue_ping(token),
            Verdict::Silent => core.doom(token, CloseReason::PongTimeout),
            Verdict::Close(reason) => core.close(token, reason, None),
            Verdict::Drop(reason) => core.doom_overdue(token, reason),
            Verdict::Slow => core.slow(token),
            Verdict::RequestTimeout => {
                let advice = "the request took too long to arrive";
                let answer = Answer::new(http::StatusCode::REQUEST_TIMEOUT, advice);
                core.refuse(token, RefusedReason::HandshakeTimeout, &answer, false);
            }
            Verdict::Resume => self.resume(token, Pause::Rate),
        }
    }

    /// What has come of one who is judged next, and is unread. Any byte shows that a peer lives; an
    /// answer to our close frame may stand behind other data. How many reads that took.
    pub(super) fn hear_out(&mut self, token: Token) -> u64 {
        let (mut reads, mut left) = (0, LAST_BYTES);
        while left > 0
            && let Some(bytes) = self.read_once_more(token)
        {
            reads += 1;
            left = left.saturating_sub(bytes.max(SMALL_READ));
            let conn = self.core.slots.get(token);
            if conn.is_none_or(|conn| conn.phase() != Phase::Closing) {
                break;
            }
        }
        reads
    }

    /// One read, out of turn. How many bytes there were; none for the end.
    fn read_once_more(&mut self, token: Token) -> Option<usize> {
        match self.core.driver.look(token)? {
            Done::Received(token, chunk) => {
                let bytes = chunk.len();
                self.received(token, chunk);
                Some(bytes)
            }
            Done::Ended(token, ending) => {
                self.core.ended(token, ending);
                Some(0)
            }
            Done::Accepted(_) | Done::Sent(..) => None,
        }
    }
}

/// Whether a verdict would be wrong if the peer had spoken and we had not yet listened.
fn judges_silence(verdict: Verdict) -> bool {
    match verdict {
        Verdict::Silent | Verdict::RequestTimeout => true,
        Verdict::Close(reason) => {
            matches!(reason, CloseReason::IdleTimeout | CloseReason::MessageTimeout)
        }
        Verdict::Drop(_) => true,
        Verdict::Ping | Verdict::Slow | Verdict::Resume => false,
    }
}

impl Core {
    fn note_lag(&mut self, due: Tick) {
        let late = u64::from(self.now.tick.since(due).0) * TICK_MICROS;
        self.shard.tick_lag.observe_micros(late + self.now.micros % TICK_MICROS);
    }

    /// Data stood before the ping and the peer's kernel has taken some of it since.
    fn is_only_slow(&mut self, token: Token) -> bool {
        let Some(conn) = self.slots.get(token) else { return false };
        if !conn.ping_is_behind() {
            return false;
        }
        let Some(acknowledged) = self.driver.acknowledged(token) else { return false };
        conn.is_only_slow(acknowledged, self.now.tick, &self.limits)
    }

    /// The oldest unsent byte is too old: the slow-consumer policy. Dropping helps only if what is
    /// overdue may be dropped; a frame that is partly written may not.
    fn slow(&mut self, token: Token) {
        let Some(conn) = self.slots.get(token) else { return };
        if self.limits.slow_consumer == SlowConsumer::Close {
            self.doom(token, CloseReason::WriteTimeout);
            return;
        }
        let overdue = self.now.tick.minus(self.limits.write);
        let outbox = &mut conn.wake().outbox;
        let dropped = outbox.drop_overdue(overdue, &self.shared.outbox_budget);
        let is_stuck = outbox.oldest().is_some_and(|oldest| oldest.has_come(overdue));
        match self.limits.slow_consumer {
            SlowConsumer::DropNewest => self.shard.frames_dropped_newest.add(dropped),
            _ => self.shard.frames_dropped_oldest.add(dropped),
        }
        if is_stuck {
            self.doom(token, CloseReason::WriteTimeout);
        } else {
            // With less unsent, reading may go on, or the end of a closing connection come.
            self.output.mark(token, &mut conn.output);
        }
    }
}
